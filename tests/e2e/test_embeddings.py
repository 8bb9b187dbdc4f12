# SPDX-License-Identifier: Apache-2.0
"""POST /v1/embeddings of the box's own models, with the real openai client; other models pass through."""

import base64
import json
import math
import os
import struct

import harness
from harness import ROOT, Box, Skip, check, equal, test, upstream

MODEL = os.environ.get("LARDER_MODEL") or os.path.join(ROOT, "models", "all-MiniLM-L6-v2.lmodel")
GOLDEN = os.path.join(ROOT, "tests", "data", "minilm_golden.jsonl")
DIM = 384


def golden():
    with open(GOLDEN, encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def minilm_box(up=None, **config):
    if not os.path.exists(MODEL):
        raise Skip("there is no local model: `make model` obtains it")
    box = Box(up, config=dict({"semantic": {"embedder": "minilm-int8", "model": MODEL}}, **config))
    box.wait_log(r"minilm-int8/\S+ is ready")
    return box


def client(box, key="none"):
    import openai
    return openai.OpenAI(base_url=box.url("/v1"), api_key=key, max_retries=0)


def refused(status, part, ask):
    import openai
    try:
        ask()
    except openai.APIStatusError as error:
        equal(error.status_code, status, "status")
        check(part in error.message, "message", error.message)
        return error
    raise AssertionError("not refused: " + part)


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b)) / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


def raw(box, key=None, **body):
    return box.ask("/v1/embeddings", body, key=key)


@test("embeddings: the golden texts through the openai client", limit=60)
def run_golden():
    box = minilm_box()
    rows = [row for row in golden() if row["text"] and len(row["ids"]) < 256]
    said = client(box).embeddings.create(model="larder/minilm", input=[row["text"] for row in rows])
    equal([one.index for one in said.data], list(range(len(rows))), "order")
    equal(said.model, "larder/minilm", "model")
    pieces = sum(len(row["ids"]) for row in rows)
    equal((said.usage.prompt_tokens, said.usage.total_tokens), (pieces, pieces), "usage")
    cosines = [cosine(one.embedding, row["vector"]) for one, row in zip(said.data, rows)]
    check(min(cosines) >= 0.99 and sum(cosines) / len(cosines) >= 0.998, "cosines", min(cosines))
    check(all(abs(math.sqrt(sum(x * x for x in one.embedding)) - 1) < 1e-5 for one in said.data), "unit length")


@test("embeddings: base64 and float are the same numbers; string and list are the same input")
def run_forms():
    box = minilm_box()
    text = "How do I reset my password?"
    one = raw(box, model="larder/minilm", input=text)
    equal(one.status, 200, "status")
    plain = json.loads(one.body)
    check(list(plain) == ["object", "data", "model", "usage"] and plain["object"] == "list", plain.keys())
    numbers = plain["data"][0]["embedding"]
    equal(len(numbers), DIM, "dimensions")
    coded = json.loads(raw(box, model="larder/minilm", input=[text], encoding_format="base64", dimensions=DIM).body)
    equal(list(struct.unpack("<%df" % DIM, base64.b64decode(coded["data"][0]["embedding"]))),
          [struct.unpack("<f", struct.pack("<f", x))[0] for x in numbers], "numbers")
    for form in ("float", "base64"):
        said = client(box).embeddings.create(model="larder/minilm", input=text, encoding_format=form)
        equal(said.usage.prompt_tokens, plain["usage"]["prompt_tokens"], "usage")


@test("embeddings: what is refused says why")
def run_refusals():
    box = minilm_box()
    api = client(box).embeddings
    ask = lambda **body: lambda: api.create(**dict({"model": "larder/minilm"}, **body))  # noqa: E731
    refused(400, "Arrays of tokens", ask(input=[1, 2, 3]))
    refused(400, "Arrays of tokens", ask(input=[[1, 2], [3]]))
    refused(400, "input[0] is an empty string", ask(input=""))
    refused(400, "input[1] is an empty string", ask(input=["a", ""]))
    refused(400, "257 elements", ask(input=["a"] * 257))
    refused(400, "0 elements", ask(input=[]))
    refused(400, "input[2] is longer than the 256 tokens", ask(input=["a", "b", "word " * 255, "c"]))
    refused(400, "dimensions", ask(input="a", dimensions=256))
    refused(404, "not loaded", ask(model="larder/ngram", input="a"))
    equal(raw(box, model="larder/minilm", input="a", encoding_format="hex").status, 400, "encoding_format")
    equal(raw(box, model="larder/minilm").status, 400, "no input")
    equal(raw(box, model="larder/minilm", input={"a": 1}).status, 400, "an object")
    equal(len(api.create(model="larder/minilm", input=["word " * 254] * 2).data), 2, "as long as it may be")


@test("embeddings: who may ask; the list of models")
def run_access():
    box = minilm_box(upstream())
    key = box.add_tenant("kiosk")
    equal(len(client(box, key).embeddings.create(model="larder/minilm", input="a").data), 1, "with a virtual key")
    check("larder/minilm" in [m.id for m in client(box, key).models.list().data], "listed")
    box.reload({"access": {"anonymous": "none"}})
    for stranger in ("none", "sk-someone-0123456789"):
        refused(401, "virtual key", lambda: client(box, stranger).embeddings.create(model="larder/minilm", input="a"))
    equal(len(client(box, key).embeddings.create(model="larder/minilm", input="a").data), 1, "still with a virtual key")


@test("embeddings: other models pass through, with and without an embedder")
def run_pass():
    up = upstream()
    body = json.dumps({"model": "text-embedding-3-small", "input": "hello there"}).encode()
    for box in (minilm_box(up), Box(up)):
        reply = box.ask("/v1/embeddings", body)
        last = up.select("/v1/embeddings")[-1]
        equal((last.method, last.path, last.body), ("POST", "/v1/embeddings", body), "what went up")
        equal(dict(reply.headers).get("x-larder-hit"), "none", "x-larder-hit")
        equal(raw(box, model="text-embedding-3-small", input="x").status, 401, "without a key of one's own")


@test("embeddings: ngram needs no model and knows words only")
def run_ngram():
    box = Box(config={"semantic": {"embedder": "ngram"}})
    api = client(box).embeddings
    said = api.create(model="larder/ngram", input=["reset my password", "Reset my password!", "a wooden boat"])
    a, b, c = (one.embedding for one in said.data)
    equal(len(a), DIM, "dimensions")
    equal(a, b, "case and punctuation")
    check(cosine(a, c) < 0.3, "other words", cosine(a, c))
    refused(400, "has no words", lambda: api.create(model="larder/ngram", input="?!"))
    check("larder/ngram" in [m.id for m in client(box).models.list().data], "listed")


@test("embeddings: a model that is missing or damaged is said, and the box serves")
def run_without_model():
    box = Box(config={"semantic": {"embedder": "minilm-int8", "model": "./nowhere.lmodel"}})
    box.wait_log("nowhere.lmodel cannot be used: there is no such file")
    refused(404, "not loaded", lambda: client(box).embeddings.create(model="larder/minilm", input="a"))
    equal(box.chat("What is Larder?", key=None, model="larder").status, 200, "the pack")
    if not os.path.exists(MODEL):
        raise Skip("there is no local model: `make model` obtains it")
    with open(MODEL, "rb") as file:
        whole = bytearray(file.read())
    for name, change, what in (("short", lambda b: b[:-64], "it is damaged"), ("magic", lambda b: b"X" + b[1:], "it is damaged")):
        path = os.path.join(box.folder, name)
        with open(path, "wb") as out:
            out.write(change(bytes(whole)))
        other = Box(config={"semantic": {"embedder": "minilm-int8", "model": path}})
        other.wait_log(what)
    whole[len(whole) // 2] ^= 1
    path = os.path.join(box.folder, "bit")
    with open(path, "wb") as out:
        out.write(whole)
    other = Box(config={"semantic": {"embedder": "minilm-int8", "model": path}})
    other.wait_log("the local model is damaged")
    refused(503, "damaged", lambda: client(other).embeddings.create(model="larder/minilm", input="a"))


@test("embeddings: a long request leaves the lane to others", limit=60)
def run_lane():
    box = minilm_box()
    peer = box.peer(timeout=50)
    peer.send(box.request_bytes("/v1/embeddings", {"model": "larder/minilm", "input": ["word " * 250] * 64}, key=None))
    equal(box.chat("What is Larder?", key=None, model="larder").status, 200, "a pack's answer meanwhile")
    peer.socket.setblocking(False)
    try:
        early = peer.socket.recv(1)
    except BlockingIOError:
        early = b""
    peer.socket.settimeout(50)
    equal(early, b"", "the long reply came first")
    equal(len(json.loads(peer.reply("POST").body)["data"]), 64, "texts")


if __name__ == "__main__":
    harness.main()
