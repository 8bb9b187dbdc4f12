# SPDX-License-Identifier: Apache-2.0
"""The dialect bridge: real clients of one dialect, served by a provider that speaks the other one only."""

import json

import harness
from clients import worker
from harness import Box, check, equal, hit_kind, is_hit, is_miss, plain_upstream, test
from wire import TAIL

OTHER = {"openai": "anthropic", "anthropic": "openai"}
PATH = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages"}
BOX_KEY = "sk-the-box-own-key-0000"
ENDS = {"openai": ("stop", "tool_calls", "length"), "anthropic": ("end_turn", "tool_use", "max_tokens")}
SCHEMA = {"type": "object", "properties": {"zip": {"type": "string"}, "city": {"type": "string"}}}
TOOLS = {"openai": [{"type": "function", "function": {"name": n, "description": "d", "parameters": SCHEMA}}
                    for n in ("weather", "news")],
         "anthropic": [{"name": n, "input_schema": SCHEMA} for n in ("weather", "news")]}
PNG = "iVBORw0KGgo="


def bridged(api, provider=None, config=None, needs_key=False):
    """A box whose clients speak `api` and whose one provider speaks the other dialect."""
    up = plain_upstream("far")
    up.needs_key = needs_key
    box = Box(autostart=False, config=config)
    row = {"name": "far", "dialect": OTHER[api], "base_url": up.url("/v1" if api == "anthropic" else ""),
           "retry": {"attempts": 1}}
    box.write_config({"providers": [dict(row, **(provider or {}))],
                      "routes": [{"match": {"dialect": api, "model": "*"}, "providers": ["far"]}]})
    return box.start(), up


def ask(box, api, how, text, key=None, **more):
    params = {"model": "some-model", "messages": [{"role": "user", "content": text}]}
    if api == "anthropic":
        params["max_tokens"] = 300
    params.update(more)
    base = box.url("/v1" if api == "openai" else "")
    return worker("python").run(api=api, how=how, base_url=base, key=key or "sk-any-0000000", params=params)


def said_by(box, api, how, text, **more):
    said = ask(box, api, how, text, **more)
    check(said["ok"], how, text, said)
    return said


def last(up):
    call = up.calls[-1]
    equal(call.path, PATH["anthropic" if call.header("anthropic-version") else "openai"], "path upstream")
    return call.json


for api in OTHER:
    def text(api=api):
        box, up = bridged(api)
        stop = {"stop_sequences" if api == "anthropic" else "stop": ["END"]}
        first = said_by(box, api, "object", "hello", **stop)
        equal(first["text"], "Answer #1 of far to: hello" + TAIL)
        equal(first["finish"], ENDS[api][0])
        check(first["usage"] > 0, first)
        equal(first["model"], "some-model")
        sent = last(up)
        equal(sent["stop" if api == "anthropic" else "stop_sequences"], ["END"])
        equal(sent["max_tokens"], 300 if api == "anthropic" else 4096)
        for how in ("object", "stream", "helper"):
            equal(said_by(box, api, how, "hello", **stop)["text"], first["text"], how)
        equal(up.count(), 1, "calls upstream")
        box.wait_committed()
        box.kill9()
        box.start()
        equal(said_by(box, api, "stream", "hello", **stop)["text"], first["text"], "after kill -9")
        equal(up.count(), 1, "calls upstream")
    test("bridge: %s client, object, then hits in both forms" % api, limit=60)(text)

    def stream(api=api):
        box, up = bridged(api)
        for count, odd in enumerate(("", "byte", "split", "join", "crlf", "comment", "multiline", "nospace")):
            want = "odd %d" % count
            said = said_by(box, api, "stream", "%s [[odd=%s]]" % (want, odd))
            equal(said["text"], "Answer #%d of far to: %s%s" % (count + 1, want, TAIL), odd)
            equal(said["finish"], ENDS[api][0], odd)
            check(said["chunks"] > 5, "pieces", said["chunks"])
        if api == "anthropic":
            equal(last(up)["stream_options"], {"include_usage": True})
            check(said["usage"] > 0, said)
        else:
            equal(said["usage"], None, "usage nobody asked for")
            more = said_by(box, api, "stream", "with usage", stream_options={"include_usage": True})
            check(more["usage"] > 0, more)
        before = up.count()
        equal(said_by(box, api, "object", "odd 7 [[odd=nospace]]")["text"], said["text"], "replayed as an object")
        equal(up.count(), before, "calls upstream")
    test("bridge: %s client, streams however they are cut" % api, limit=60)(stream)

    def tools(api=api):
        box, up = bridged(api)
        first = said_by(box, api, "object", "call [[tool=2]]", tools=TOOLS[api])
        equal([call[1] for call in first["tools"]], ["weather", "news"])
        equal(json.loads(first["tools"][1][2]), {"city": "Köln 1", "zoom": 1.0, "n": [1, 2]})
        equal(first["finish"], ENDS[api][1])
        streamed = said_by(box, api, "stream", "call again [[tool=2]]", tools=TOOLS[api])
        equal([json.loads(call[2]) for call in streamed["tools"]], [json.loads(c[2]) for c in first["tools"]])
        equal(streamed["finish"], ENDS[api][1])
        ids = [call[0] for call in first["tools"]]
        if api == "openai":
            turns = [{"role": "assistant", "content": None, "tool_calls": [
                {"id": i, "type": "function", "function": {"name": n, "arguments": a}} for i, n, a in first["tools"]]}]
            turns += [{"role": "tool", "tool_call_id": i, "content": "sunny"} for i in ids]
        else:
            turns = [{"role": "assistant", "content": [{"type": "tool_use", "id": i, "name": n, "input": json.loads(a)}
                                                       for i, n, a in first["tools"]]},
                     {"role": "user", "content": [{"type": "tool_result", "tool_use_id": i, "content": "sunny"}
                                                  for i in ids]}]
        messages = [{"role": "user", "content": "call"}] + turns + [{"role": "user", "content": "so?"}]
        said_by(box, api, "object", "", messages=messages, tools=TOOLS[api])
        sent = json.dumps(last(up)["messages"])
        for one in ids:
            equal(sent.count(one), 2, "id of a call and its result")
        check("sunny" in sent and "so?" in sent, sent)
    test("bridge: %s client, tools there and back" % api, limit=60)(tools)

    def errors(api=api):
        box, up = bridged(api)
        for theirs, status in ((400, 400), (404, 404), (429, 429), (500, 500),
                               (529, 503) if api == "openai" else (503, 529)):
            up.force = {"status": str(theirs), "retry_after": "7"}
            reply = box.ask(PATH[api], dict(harness.message_body("e %d" % theirs)), key=None)
            equal(reply.status, status, "status of %d" % theirs)
            body = json.loads(reply.body)
            equal(body.get("type") == "error", api == "anthropic", "shape")
            check(len(body["error"]["message"]) > 4 and body["error"]["type"], body)
            equal(reply.header("retry-after"), "7")
            equal(reply.header("x-ratelimit-remaining-tokens"), None, "the provider's own fields")
        up.force = {"status": "429", "odd_error": "html"}
        reply = box.ask(PATH[api], harness.message_body("html"), key=None)
        check("did not say why" in json.loads(reply.body)["error"]["message"], reply.body)
        up.force = {}
        library = ask(box, api, "object", "lib [[status=429]]")
        equal(library["ok"], False)
        equal(library["status"], 429)
        broken = box.ask(PATH[api], harness.message_body("broken [[invalid]]"), key=None)
        equal(broken.status, 502)
        is_miss(box.ask(PATH[api], harness.message_body("then"), key=None))
    test("bridge: %s client, errors in its own shape" % api, limit=60)(errors)

    def cut(api=api):
        box, up = bridged(api)
        for how in ("cut=4", "reset=4", "clean=4", "no_end"):
            reply = box.ask(PATH[api], harness.message_body("c [[%s]]" % how, stream=True), wait=False, key=None)
            if how.startswith("reset") and reply.status == 502:
                continue                    # the reset threw away what the box had not read yet
            equal(reply.status, 200)
            reply.all()
            equal(reply.clean, False, "a clean end of a stream that was cut (%s)" % how)
        for how in ("cut=3", "clean=3"):
            said = ask(box, api, "stream", "d [[%s]]" % how)
            equal(said["ok"], False, "the library sees %s" % how)
        reply = box.ask(PATH[api], harness.message_body("err [[error_event=4]]", stream=True), key=None)
        check(b"error" in reply.body and b"message_stop" not in reply.body and b"[DONE]" not in reply.body, reply.body)
        length = said_by(box, api, "stream", "long [[length]]")
        equal(length["finish"], ENDS[api][2])
        said_by(box, api, "object", "long [[length]]")
        equal(up.count("long"), 2, "an unfinished answer is not kept")
    test("bridge: %s client, a cut stays a cut" % api, limit=60)(cut)

    def live(api=api):
        box, up = bridged(api)
        body = harness.message_body("live [[gate=4:go]]", stream=True)
        first = box.ask(PATH[api], body, wait=False, key=None)
        second = box.ask(PATH[api], body, wait=False, key=None)
        equal(hit_kind(first), "none")
        equal(hit_kind(second), "coalesced")
        first.until(b"Answer")              # while the provider still holds the rest back
        second.until(b"Answer")
        up.release("go")
        equal(first.body, second.body, "leader and follower")
        equal(up.count(), 1)
        is_hit(box.ask(PATH[api], body, key=None))
    test("bridge: %s client, live and followed" % api, limit=60)(live)

    def money(api=api):
        box, up = bridged(api, {"key": BOX_KEY, "passthrough": True}, needs_key=True)
        key = box.add_tenant("kiosk")
        equal(box.ask(PATH[api], harness.message_body("mine"), key="sk-client-000000").status, 401)
        equal(up.count(), 0, "a client's credential at a provider of the other dialect")
        is_miss(box.ask(PATH[api], harness.message_body("paid"), key=key))
        equal(up.calls[0].key(), BOX_KEY)
        equal(up.calls[0].header("x-api-key"), BOX_KEY if api == "openai" else None)
        check(key.encode() not in up.calls[0].raw_head + up.calls[0].body, "the virtual key left the box")
    test("bridge: %s client, only the box's key goes there" % api, limit=60)(money)


@test("bridge: system prompts and images both ways", limit=60)
def images():
    box, up = bridged("anthropic")
    said_by(box, "anthropic", "object", [
        {"type": "text", "text": "look"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}],
        system=[{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}])
    equal(last(up)["messages"], [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "look"}, {
            "type": "image_url", "image_url": {"url": "data:image/png;base64," + PNG}}]}])
    box, up = bridged("openai")
    said_by(box, "openai", "object", "", messages=[
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "look"}, {
            "type": "image_url", "image_url": {"url": "data:image/png;base64," + PNG}}]}])
    sent = last(up)
    equal(sent["system"], [{"type": "text", "text": "Be brief."}])
    equal(sent["messages"], [{"role": "user", "content": [
        {"type": "text", "text": "look"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}]}])


@test("bridge: what cannot be carried over is refused by name, and nothing is sent", limit=60)
def refused():
    for api, more, field in (("openai", {"n": 2}, "n"), ("openai", {"seed": 1}, "seed"),
                             ("openai", {"response_format": {"type": "json_object"}}, "response_format"),
                             ("anthropic", {"top_k": 5}, "top_k"),
                             ("anthropic", {"thinking": {"type": "enabled", "budget_tokens": 1024}}, "thinking")):
        box, up = bridged(api)
        said = ask(box, api, "object", "no", extra_body=more)
        equal((said["ok"], said.get("status")), (False, 400), field)
        reply = box.ask(PATH[api], dict(harness.message_body("no"), **more), key=None)
        equal(reply.status, 400)
        message = json.loads(reply.body)["error"]["message"]
        check(message.startswith('The field "%s" cannot be carried over' % field), message)
        equal(reply.header("x-should-retry"), "false")
        equal(up.count(), 0, "calls upstream")


@test("bridge: thoughts of the provider are left out", limit=60)
def thoughts():
    box, up = bridged("openai")
    for how in ("object", "stream"):
        said = said_by(box, "openai", how, "deep %s [[think]]" % how)
        check("Let me think" not in json.dumps(said) and said["text"].startswith("Answer #"), said)


@test("bridge: a fallback of the other dialect behind a provider of one's own", limit=60)
def fallback():
    near, far = plain_upstream("near"), plain_upstream("far")
    near.needs_key = far.needs_key = False
    box = Box(autostart=False)
    box.write_config({
        "providers": [{"name": "near", "dialect": "anthropic", "base_url": near.url(), "retry": {"attempts": 1}},
                      {"name": "far", "dialect": "openai", "base_url": far.url("/v1")}],
        "routes": [{"match": {"dialect": "anthropic"}, "providers": ["near", "far"]}]})
    box.start()
    check("of near" in said_by(box, "anthropic", "object", "one")["text"])
    near.vanish()
    check("of far" in said_by(box, "anthropic", "stream", "three")["text"])
    check("of near" in said_by(box, "anthropic", "object", "one")["text"], "a hit")
    reply = box.ask(PATH["anthropic"], dict(harness.message_body("four"), top_k=4), key=None)
    equal(reply.status, 503, "the own provider could have answered: it is away")


if __name__ == "__main__":
    harness.main()
