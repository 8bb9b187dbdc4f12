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


@test("endpoints: Anthropic count_tokens: kept exactly, apart from messages")
def count_tokens():
    import anthropic
    up = more_upstream()
    box = Box(up)
    api = anthropic.Anthropic(base_url=box.url(), api_key=KEY, max_retries=0)
    ask = lambda text, **more: api.messages.count_tokens(  # noqa: E731
        model="claude-test-1", messages=[{"role": "user", "content": text}], **more).input_tokens
    first = ask("how long am I?")
    equal(first, 1001, "the provider's number")
    equal([ask("how long am I?"), ask("how long am I?", system="s"), ask("how long am I?", system="s")],
          [1001, 1002, 1002], "kept")
    equal(box.message("how long am I?").said["text"][:9], "Answer #3", "messages are another endpoint")
    equal(up.count(), 3, "calls")
    up.vanish()
    equal(ask("how long am I?"), 1001, "offline")
    lost = box.ask("/v1/messages/count_tokens", {"model": "claude-test-1", "messages": []}, style="x-api-key")
    equal((lost.status, json.loads(lost.body)["type"]), (503, "error"), "offline and unknown")


@test("endpoints: with a key of the box only stateless paths are served")
def stateless():
    up = more_upstream()
    box = Box(up, provider={"passthrough": None, "key": "${UPSTREAM_KEY}"}, env={"UPSTREAM_KEY": "sk-of-the-box-123456"})
    key = box.add_tenant("kiosk")
    said = client(box, key).moderations.create(input="a knife", model="omni-moderation-latest")
    equal(said.results[0].flagged, True, "moderation")
    equal(up.select()[-1].header("authorization"), "Bearer sk-of-the-box-123456", "whose key went up")
    equal(numbers(embed(box, "a", key=key)), wanted("a"), "embeddings")
    equal(client(box, key).completions.create(model="gpt-test", prompt="x").choices[0].finish_reason, "stop", "completions")
    calls = up.count()
    for method, path in (("GET", "/v1/files"), ("POST", "/v1/files"), ("POST", "/v1/batches"), ("GET", "/v1/batches/b_1"),
                         ("GET", "/v1/moderations"), ("DELETE", "/v1/models/gpt-test"), ("POST", "/v1/moderations/x"),
                         ("GET", "/v1/responses/resp_1"), ("POST", "/v1/threads")):
        equal(box.ask(path, {} if method == "POST" else b"", method=method, key=key).status, 404, method + " " + path)
    equal(box.ask("/v1/moderations", {"input": "x"}, key=None).status, 401, "without any key")
    equal(up.count(), calls, "calls")


@test("endpoints: one model of the list, in both shapes")
def one_model():
    import anthropic
    up = more_upstream()
    box = Box(up, config={"semantic": {"embedder": "ngram"}})
    equal(client(box).models.retrieve("larder").owned_by, "larder", "the box's own")
    listed = client(box).models.list().data
    for model in listed:
        equal(client(box).models.retrieve(model.id).to_dict(), model.to_dict(), model.id)
    check("larder/ngram" in [model.id for model in listed], "a name with a slash")
    equal(box.get("/v1/models/larder%2Fngram").json["id"], "larder/ngram", "percent signs")
    api = anthropic.Anthropic(base_url=box.url(), api_key=KEY, max_retries=0)
    equal(api.models.retrieve("claude-test-2").display_name, "Claude Test 2", "Anthropic's shape")
    key = box.add_tenant("kiosk")
    lost = box.get("/v1/models/nothing", key=key)
    equal((lost.status, lost.json["error"]["code"]), (404, "model_not_found"), "unknown")
    up.vanish()
    equal(client(box).models.retrieve(listed[-1].id).id, listed[-1].id, "offline")


def completion(box, prompt, stream=False, **body):
    """(text of each choice, finish reasons, id, usage) from the real client."""
    said = client(box).completions.create(model="gpt-test", prompt=prompt, stream=stream, **body)
    if not stream:
        return ([c.text for c in said.choices], [c.finish_reason for c in said.choices], said.id,
                said.usage and said.usage.to_dict())
    texts, ends, identifier, usage = {}, {}, None, None
    for chunk in said:
        identifier, usage = chunk.id, chunk.usage.to_dict() if chunk.usage else usage
        for choice in chunk.choices:
            texts[choice.index] = texts.get(choice.index, "") + choice.text
            ends[choice.index] = choice.finish_reason or ends.get(choice.index)
    return [texts[i] for i in sorted(texts)], [ends[i] for i in sorted(ends)], identifier, usage


@test("endpoints: legacy completions: objects and streams from each other")
def completions():
    up = more_upstream()
    box = Box(up)
    for number, stream in enumerate((False, True)):
        for prompt in ("once upon ½ %d" % stream, ["first %d" % stream, "second"]):
            first = completion(box, prompt, stream)
            equal(first[1], ["stop"] * (2 if isinstance(prompt, list) else 1), "finish")
            check("Answer #%d" % up.count() in first[0][0], first)
            for form in (stream, not stream):
                again = completion(box, prompt, form)
                equal(again[:3], first[:3], "stream %s from stream %s" % (form, stream))
            asked = completion(box, prompt, True, stream_options={"include_usage": True})
            equal(asked[:3], first[:3], "with usage")
            check(asked[3], "the usage chunk")
            equal(completion(box, prompt, True)[3], None, "hidden from who did not ask")
    equal(up.count(), 4, "calls")
    raw = box.ask("/v1/completions", {"model": "gpt-test", "prompt": "once upon ½ 0", "stream": True})
    check(raw.body.endswith(b"data: [DONE]\n\n") and raw.header("x-larder-hit") == "exact", raw.body)
    up.vanish()
    check("once upon" in completion(box, "once upon ½ 1")[0][0], "offline")


@test("endpoints: legacy completions: what is not kept, and what is refused")
def completions_not_kept():
    up = more_upstream()
    box = Box(up)
    for steer in ("[[length]]", "[[empty]]"):
        for _ in range(2):
            completion(box, "cut short " + steer)
    equal(up.count(), 4, "calls")
    for body in ({"prompt": "x [[clean=3]]", "stream": True}, {"prompt": "x [[cut=3]]", "stream": True}):
        for _ in range(2):
            reply = box.ask("/v1/completions", dict(body, model="gpt-test"))
            check(reply.status == 502 or not reply.clean, "a clean end", reply)
    equal(up.count(), 8, "calls")
    for body, what in (({"prompt": "x"}, "model"), ({"model": "gpt-test"}, '"prompt" is missing'),
                       ({"model": "gpt-test", "prompt": 7}, "neither a string nor an array")):
        refused = box.ask("/v1/completions", body)
        equal(refused.status, 400, what)
        check(what in refused.json["error"]["message"], refused.body)


def response(box, given, stream=False, key=KEY, **body):
    """The whole response, by the real client, and (streams) its events, checked on the way."""
    body.setdefault("model", "gpt-test")
    if not stream:
        return client(box, key).responses.create(input=given, **body).to_dict(), None
    with client(box, key).responses.create(input=given, stream=True, **body) as said:
        events = [event.to_dict() for event in said]
    equal([e["sequence_number"] for e in events], list(range(len(events))), "numbers without gaps")
    equal([events[0]["type"], events[1]["type"], events[-1]["type"]],
          ["response.created", "response.in_progress", "response.completed"], "order")
    text = "".join(e["delta"] for e in events if e["type"] == "response.output_text.delta")
    whole = "".join(p["text"] for item in events[-1]["response"]["output"] if item["type"] == "message"
                    for p in item["content"])
    equal(text, whole, "deltas")
    return events[-1]["response"], events


FUNCTIONS = [{"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {}}, "strict": False}]


@test("endpoints: responses: objects and typed events from each other")
def responses():
    up = more_upstream()
    box = Box(up)
    cases = [("plain", {}), ("[[think]] thoughts", {}), ("[[tool=2]] weather", {"tools": FUNCTIONS}),
             ([{"role": "user", "content": [{"type": "input_text", "text": "as parts"}]}], {"instructions": "be brief"})]
    kinds = []
    for stream in (False, True):
        for given, more in cases:
            more = dict(more, temperature=0.5 if stream else 0.25)
            calls = up.count()
            first, events = response(box, given, stream, **more)
            equal(up.count(), calls + 1, "asked")
            for form in (stream, not stream):
                again, replayed = response(box, given, form, **more)
                equal(again, first, "stream %s from stream %s" % (form, stream))
                if form and events:
                    equal(replayed, events, "byte for byte")
                elif form:
                    kinds.append([e["type"] for e in replayed])
            equal(up.count(), calls + 1, "kept")
            with client(box).responses.stream(model="gpt-test", input=given, **more) as helper:
                for event in helper:
                    pass
                equal(helper.get_final_response().id, first["id"], "the library's helper")
    live = [[e["type"] for e in response(box, given, True, **dict(more, temperature=0.5))[1]] for given, more in cases]
    once = lambda names: [n for at, n in enumerate(names) if at == 0 or names[at - 1] != n or not n.endswith("delta")]  # noqa: E731
    equal([once(names) for names in kinds], [once(names) for names in live], "the same events as the provider's")
    raw = box.ask("/v1/responses", {"model": "gpt-test", "input": "plain", "temperature": 0.25, "stream": True})
    equal(raw.header("x-larder-hit"), "exact", "hit")
    check(b"[DONE]" not in raw.body and raw.body.startswith(b"event: response.created\ndata: "), raw.body[:200])
    up.vanish()
    check("plain" in str(response(box, "plain", temperature=0.5)[0]["output"]), "offline")
    lost = box.ask("/v1/responses", {"model": "gpt-test", "input": "never asked"})
    equal((lost.status, lost.json["error"]["code"]), (503, "offline"), "offline and unknown")


@test("endpoints: responses: what is not kept and what passes by")
def responses_not_kept():
    up = more_upstream()
    box = Box(up)
    twice = [{"input": "[[length]] cut"}, {"input": "[[refuse]] no"}, {"input": "[[empty]] x"},
             {"input": "a", "conversation": "conv_1"}, {"input": "a", "background": True},
             {"input": "a", "tools": [{"type": "web_search"}]}, {"input": "a", "prompt": {"id": "pmpt_1"}}]
    for number, body in enumerate(twice):
        for stream in (False, True):
            reply = box.ask("/v1/responses", dict(body, model="gpt-test", stream=stream))
            equal(reply.status, 200, body)
        equal(up.count(), 2 * number + 2, "calls for %s" % body)
    calls = up.count()
    for how in ("cut", "clean"):
        reply = box.ask("/v1/responses", {"model": "gpt-test", "input": "[[%s=4]]" % how, "stream": True})
        check(reply.status == 502 or not reply.clean, "a clean end", reply)
    once = [{"input": "b"}, {"input": "b", "previous_response_id": "resp_1"}, {"input": "b", "store": False},
            {"input": "b", "previous_response_id": "resp_2"}, {"input": "b", "metadata": {"a": "b"}},
            {"input": "b", "prompt": {"id": "pmpt_1", "version": "2"}}, {"input": [{"role": "user", "content": "b"}]}]
    for body in once + once:
        box.ask("/v1/responses", dict(body, model="gpt-test", user="anybody", stream_options={"include_obfuscation": False}))
    equal(up.count(), calls + 2 + len(once), "each is a question of its own, asked once")
    for body, what in (({"model": "gpt-test"}, '"input" is missing'), ({"model": "gpt-test", "input": 1}, "neither")):
        check(what in box.ask("/v1/responses", body).json["error"]["message"], what)


@test("endpoints: responses: behind a key of the box an id is its tenant's own")
def handed_ids():
    up = more_upstream()
    box = Box(up, provider={"passthrough": None, "key": "sk-the-box-own-key-0000"})
    ours, theirs = box.add_tenant("ours"), box.add_tenant("theirs")
    first = response(box, "hello", key=ours)[0]["id"]
    streamed = response(box, "hello there", True, key=ours)[0]["id"]
    for known in (first, streamed):
        equal(response(box, "go on", key=ours, previous_response_id=known)[0]["previous_response_id"], known, "ours")
        equal(box.get("/v1/responses/" + known, key=ours).json["path"], "/v1/responses/" + known, "it may be read")
        calls = up.count()
        for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/input_items"), ("POST", "/cancel")):
            equal(box.ask("/v1/responses/" + known + path, method=method, key=theirs).status, 404, method + path)
        refused = box.ask("/v1/responses", {"model": "gpt-test", "input": "go on", "previous_response_id": known}, key=theirs)
        equal((refused.status, refused.json["error"]["code"]), (404, "previous_response_not_found"), "theirs")
        equal(box.get("/v1/responses/" + known, key=None).status, 404, "nobody's")
        equal(up.count(), calls, "calls")
    for body in ({"previous_response_id": "resp_never"}, {"conversation": "conv_1"}, {"conversation": {"id": "conv_1"}}):
        equal(box.ask("/v1/responses", dict(body, model="gpt-test", input="x"), key=ours).status, 404, body)


@test("endpoints: responses: a pack answers in this form too")
def responses_pack():
    box = Box(more_upstream())
    said = client(box).responses.create(model="larder", input="What is Larder?")
    check(said.output_text and said.status == "completed", said)
    equal(response(box, "What is Larder?", True, model="larder")[0]["output"][0]["content"][0]["text"], said.output_text, "stream")


@test("endpoints: responses: other words of a question get its answer")
def responses_in_other_words():
    up = more_upstream()
    box = Box(up, config={"semantic": {"embedder": "ngram"}}, cache={"semantic": "preset"})
    first = response(box, "How do I reset my password?")[0]
    raw = box.ask("/v1/responses", {"model": "gpt-test", "input": "how do I reset my password"})
    equal((raw.status, raw.header("x-larder-hit"), raw.json["id"]), (200, "semantic", first["id"]), "in other words")
    equal(response(box, "how do I reset my password", True)[0]["id"], first["id"], "as events")
    for more in ({"previous_response_id": "resp_1"}, {"instructions": "be brief"}, {"tools": FUNCTIONS}):
        raw = box.ask("/v1/responses", dict(more, model="gpt-test", input="how do I reset my password?"))
        equal(raw.header("x-larder-hit"), "none", more)
    embed(box, "How do I reset my password?")
    equal(completion(box, "Why is it raining?")[2] == completion(box, "why is it raining")[2], False, "completions are exact")


if __name__ == "__main__":
    harness.main()
