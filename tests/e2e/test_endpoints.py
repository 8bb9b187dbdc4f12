# SPDX-License-Identifier: Apache-2.0
"""The endpoints besides chat and messages, with the real clients: first from the provider, then from the store."""

import base64
import json
import struct
import time

import harness
from harness import KEY, Box, check, equal, test
from upstream_more import more_upstream, vector

EMBED = "text-embedding-3-small"


def client(box, key=KEY):
    import openai
    return openai.OpenAI(base_url=box.url("/v1"), api_key=key, max_retries=0)


def numbers(reply):
    """The vectors of a raw embeddings reply in the order of `index`, whatever their form."""
    rows = sorted(json.loads(reply.body)["data"], key=lambda row: row["index"])
    return [list(struct.unpack("<%df" % (len(base64.b64decode(e)) // 4), base64.b64decode(e))) if isinstance(e, str)
            else [struct.unpack("<f", struct.pack("<f", x))[0] for x in e] for e in (row["embedding"] for row in rows)]


def embed(box, given, key=KEY, headers=(), **body):
    return box.ask("/v1/embeddings", dict({"model": EMBED, "input": given}, **body), key=key, headers=headers)


def wanted(*inputs):
    return [vector(json.dumps(one)) for one in inputs]


@test("endpoints: embeddings: each input is an entry, one vector serves both forms")
def embeddings_forms():
    up = more_upstream()
    box = Box(up)
    first = embed(box, ["one", "two ü"])
    equal(first.header("x-larder-hit"), "none", "first")
    equal(numbers(first), wanted("one", "two ü"), "what the provider said")
    for form in ("float", "base64", None):
        again = embed(box, ["two ü", "one"], **({"encoding_format": form} if form else {}))
        equal((again.status, again.header("x-larder-hit")), (200, "exact"), "hit")
        check("larder; hit; ttl=" in again.header("cache-status") and "2 of 2" in again.header("cache-status"),
              again.header("cache-status"))
        said = json.loads(again.body)
        equal([row["index"] for row in said["data"]], [0, 1], "order")
        equal(isinstance(said["data"][0]["embedding"], str), form == "base64", "form")
        equal(numbers(again), wanted("two ü", "one"), "numbers")
        equal((said["object"], said["model"]), ("list", EMBED + "-2026"), "envelope")
        equal(said["usage"], {"prompt_tokens": 0, "total_tokens": 0}, "usage")
    equal(numbers(embed(box, "one")), wanted("one"), "a string is the same input")
    equal(up.count(), 1, "calls")
    equal(embed(box, "one", dimensions=4).header("x-larder-hit"), "none", "other dimensions")
    equal(embed(box, "one", user="me").header("x-larder-hit"), "exact", "who asks does not count")
    equal(embed(box, "One").header("x-larder-hit"), "none", "another text")
    equal(up.count(), 3, "calls")


@test("endpoints: embeddings: of a batch only what is missing goes up")
def embeddings_parts():
    up = more_upstream()
    box = Box(up)
    embed(box, ["b", "d"], encoding_format="base64")
    up.force = {"reverse": ""}
    reply = embed(box, ["a", "b", "c", "d", "a"], encoding_format="base64")
    equal(json.loads(up.select()[-1].body), {"model": EMBED, "input": ["a", "c", "a"], "encoding_format": "base64"},
          "what went up")
    equal(numbers(reply), wanted("a", "b", "c", "d", "a"), "numbers")
    equal(json.loads(reply.body)["usage"], {"prompt_tokens": 15, "total_tokens": 15}, "usage of what was asked")
    equal(reply.header("x-larder-hit"), "none", "not all were hits")
    check("fwd=miss" in reply.header("cache-status") and "2 of 5" in reply.header("cache-status"),
          reply.header("cache-status"))
    equal(embed(box, ["a", "b", "c", "d"]).header("x-larder-hit"), "exact", "now all are")
    tokens = embed(box, [[1, 2, 3], [4]])
    equal(numbers(tokens), wanted([1, 2, 3], [4]), "tokens")
    equal(numbers(embed(box, [4])), wanted([4]), "one array of tokens")
    equal(numbers(embed(box, "4")), wanted("4"), "which is not the text")
    equal(up.count(), 4, "calls")


@test("endpoints: embeddings: the openai client, offline, other tenants")
def embeddings_client():
    up = more_upstream()
    box = Box(up)
    for form in ("float", "base64", None):
        more = {"encoding_format": form} if form else {}
        said = client(box).embeddings.create(model=EMBED, input=["x", "y"], **more)
        equal([row.embedding if isinstance(row.embedding, list) else list(struct.unpack("<6f", base64.b64decode(
            row.embedding))) for row in said.data], wanted("x", "y"), "numbers")
    equal(up.count(), 1, "calls")
    equal(numbers(embed(box, "x", key="sk-other-0123456789abcdef")), wanted("x"), "another credential")
    equal(up.count(), 2, "is another tenant")
    for header in ({"x-larder-cache": "no-store"}, {"cache-control": "no-cache"}):
        equal(embed(box, "x", headers=header).header("x-larder-hit"), "none", header)
    equal(up.count(), 4, "calls")
    equal(embed(box, ["x", "z"], headers={"cache-control": "only-if-cached"}).status, 504, "only-if-cached")
    up.vanish()
    equal(numbers(embed(box, ["y", "x"])), wanted("y", "x"), "offline")
    lost = embed(box, ["y", "p", "q"])
    equal((lost.status, lost.header("x-should-retry")), (503, "false"), "offline and unknown")
    check("2 of the 3 inputs" in json.loads(lost.body)["error"]["message"], lost.body)
    box.wait_committed()
    box.kill9()
    box.start()
    equal(numbers(embed(box, ["y", "x"])), wanted("y", "x"), "after kill -9")


@test("endpoints: embeddings: past their time offline, refusals verbatim, odd replies not kept")
def embeddings_failures():
    up = more_upstream()
    box = Box(up, cache={"ttl": "1s"}, provider={"retry": {"attempts": 1}})
    embed(box, ["old", "older"])
    time.sleep(2.1)
    up.force = {"status": "500"}
    stale = embed(box, ["older", "old"])
    equal((stale.status, stale.header("x-larder-hit")), (200, "stale"), "provider fails")
    check("detail=stale" in stale.header("cache-status"), stale.header("cache-status"))
    equal(numbers(stale), wanted("older", "old"), "numbers")
    equal(embed(box, ["old", "new"]).status, 500, "not all are stored")
    up.force = {"status": "400"}
    refused = embed(box, ["old", "older"])
    equal(refused.status, 400, "a refusal is no failure")
    up.force = {"odd_rows": ""}
    equal(embed(box, ["p", "q"]).status, 200, "as it came")
    equal(embed(box, ["p", "q"]).header("x-larder-hit"), "none", "and not kept")


if __name__ == "__main__":
    harness.main()
