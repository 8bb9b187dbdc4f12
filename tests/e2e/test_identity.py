# SPDX-License-Identifier: Apache-2.0
"""What counts as the same request, what request headers wish, what reply headers say, and why a miss was a miss."""

import json
import re

import harness
from harness import Box, chat_body, check, equal, is_hit, is_miss, same_said, test, upstream

PATH = "/v1/chat/completions"


def box_and_up(**options):
    up = upstream()
    return Box(up, **options), up


# ---- identity ------------------------------------------------------------------------------------------------------

@test("identity: white space and the order of known keys do not count")
def layout():
    box, up = box_and_up()
    first = box.ask(PATH, '{"model":"gpt-test","messages":[{"role":"user","content":"one"}],"temperature":0.5}')
    is_miss(first)
    for body in ('{ "temperature" : 0.5 ,\n "messages": [ { "content": "one", "role": "user" } ],'
                 ' "model": "gpt-test" }',
                 '{"messages":[{"role":"user","content":"\\u006fne"}],"temperature":0.5,"model":"gpt-test"}'):
        again = box.ask(PATH, body)
        is_hit(again)
        equal(again.body, first.body, "body")
    equal(up.count(), 1, "calls")


@test("identity: fields that do not count: stream, user, metadata, cache directives")
def ignored_fields():
    box, up = box_and_up()
    is_miss(box.chat("same"))
    for more in ({"user": "anna"}, {"metadata": {"a": "b"}}, {"stream": False}, {"store": False}):
        is_hit(box.chat("same", **more))
    is_hit(box.chat("same", stream=True, stream_options={"include_usage": True}))
    is_miss(box.message("same"))
    is_hit(box.message("same", metadata={"user_id": "anna"}))
    equal(up.count(), 2, "calls")


@test("identity: metadata counts when store is true")
def stored_metadata():
    box, up = box_and_up()
    box.chat("kept", store=True, metadata={"a": "1"})
    box.chat("kept", store=True, metadata={"a": "2"})
    equal(up.count(), 2, "calls")


@test("identity: everything else counts, unknown fields too")
def counted_fields():
    box, up = box_and_up()
    variants = [{}, {"temperature": 1}, {"temperature": 1.0}, {"reasoning_effort": "low"}, {"verbosity": "low"},
                {"seed": 7}, {"max_tokens": 5}, {"max_completion_tokens": 5}, {"surprise": 1}, {"surprise": "1"},
                {"surprise": {"a": 1, "b": 2}}, {"surprise": {"b": 2, "a": 1}}, {"model": "gpt-test-mini"},
                {"system": "be brief"}, {"response_format": {"type": "json_object"}}, {"service_tier": "flex"}]
    for round_number in range(2):
        for count, more in enumerate(variants, 1):
            reply = box.chat("vary", **more)
            equal(reply.status, 200, "status of %r" % more)
            equal(reply.header("x-larder-hit"), "exact" if round_number else "none", "hit of %r" % more)
            equal(reply.said["text"].split(" ")[1], "#%d" % count, "answer to %r" % more)
    equal(up.count(), len(variants), "calls")


@test("identity: strings are untouched: case, blanks, line ends, composed characters")
def strings():
    box, up = box_and_up()
    texts = ["write c", "write C", "write C++", "write C ", "a\nb", "a\r\nb", "\u00e9", "e\u0301"]
    for text in texts:
        is_miss(box.chat(text))
    for text in texts:
        is_hit(box.chat(text))
    equal(up.count(), len(texts), "calls")


@test("identity: the order of tools and of their parameters counts")
def tool_order():
    box, up = box_and_up()

    def tool(name, properties):
        return {"type": "function", "function": {"name": name, "parameters": {"type": "object",
                                                                              "properties": properties}}}
    one, two = {"a": {"type": "string"}, "b": {"type": "string"}}, {"b": {"type": "string"}, "a": {"type": "string"}}
    is_miss(box.chat("t", tools=[tool("x", one), tool("y", one)]))
    is_miss(box.chat("t", tools=[tool("y", one), tool("x", one)]), "differs:tools")
    is_miss(box.chat("t", tools=[tool("x", two), tool("y", one)]), "differs:tools")
    is_hit(box.chat("t", tools=[tool("x", one), tool("y", one)]))
    equal(up.count(), 3, "calls")


@test("identity: headers that count keep answers apart, others do not")
def counted_headers():
    box, up = box_and_up()
    apart = [{}, {"openai-organization": "org-a"}, {"openai-organization": "org-b"}, {"openai-project": "p"},
             {"openai-beta": "assistants=v2"}, {"x-larder-namespace": "run-b"}]
    for headers in apart:
        is_miss(box.chat("h", headers=headers))
    for headers in apart:
        is_hit(box.chat("h", headers=headers))
    for headers in ({"user-agent": "x"}, {"x-stainless-retry-count": "1"}, {"accept-language": "de"},
                    {"x-stainless-read-timeout": "600"}, {"accept-encoding": "gzip, deflate"},
                    {"x-request-id": "mine"}):
        is_hit(box.chat("h", headers=headers))
    for headers in ({}, {"anthropic-beta": "b-1"}, {"anthropic-version": "2026-10-21"}):
        is_miss(box.message("h", headers=headers))
        is_hit(box.message("h", headers=headers))
    equal(up.count(), len(apart) + 3, "calls")


@test("identity: credentials keep tenants apart")
def tenants_apart():
    box, up = box_and_up()
    one = box.chat("mine", key="sk-tenant-one-000000")
    two = box.chat("mine", key="sk-tenant-two-000000")
    check(one.said["text"] != two.said["text"], "two tenants share an answer")
    is_hit(box.chat("mine", key="sk-tenant-one-000000"))
    equal(up.count(), 2, "calls")


@test("identity: one tenant by either header: Bearer and x-api-key")
def either_header():
    box, up = box_and_up()
    is_miss(box.message("who"))
    body = harness.message_body("who")
    is_hit(box.ask("/v1/messages", body, headers={"anthropic-version": "2023-06-01"}, style="bearer"))
    equal(up.count(), 1, "calls")


@test("identity: duplicate JSON names are forwarded, never looked up, never stored")
def duplicate_names():
    box, up = box_and_up()
    plain = '{"model":"gpt-test","messages":[{"role":"user","content":"safe"}]}'
    is_miss(box.ask(PATH, plain))
    for body in ('{"model":"gpt-test","messages":[{"role":"user","content":"evil"}],"messages":[{"role":"user",'
                 '"content":"safe"}]}',
                 '{"model":"gpt-test","model":"gpt-test","messages":[{"role":"user","content":"safe"}]}',
                 '{"model":"gpt-test","messages":[{"role":"user","content":"x","content":"safe"}]}',
                 '{"model":"gpt-test","mess\\u0061ges":[],"messages":[{"role":"user","content":"safe"}]}'):
        before = up.count()
        for _ in range(2):
            reply = box.ask(PATH, body)
            equal((reply.status, reply.header("x-larder-hit"), reply.header("x-larder-miss")), (200, "none", "bypass"),
                  "status, hit and miss of %s" % body)
        equal(up.count(), before + 2, "calls")
        equal(up.calls[-1].body, body.encode(), "bytes upstream")
    is_hit(box.ask(PATH, plain))


@test("identity: the bytes that go upstream are the client's own")
def verbatim_upstream():
    box, up = box_and_up(provider={"stream_usage": "leave"})
    body = '{ "model" : "gpt-test",\n  "messages":[{"role":"user","content":"ü \\u00fc"}] , "zeta":1.0,"n":1e0}'
    box.ask(PATH, body)
    equal(up.calls[0].body, body.encode(), "body")
    body = '{"stream" : true, "model":"gpt-test","messages":[{"role":"user","content":"s"}]}'
    box.ask(PATH, body)
    equal(up.calls[1].body, body.encode(), "body of a stream")


@test("identity: stream usage is spliced in and no other byte moves")
def spliced_usage():
    box, up = box_and_up()
    body = '{ "model":"gpt-test", "stream":true , "messages":[{"role":"user","content":"ü \\u00fc"}], "zeta":1.0 }'
    reply = box.ask(PATH, body)
    sent = up.calls[0].body.decode()
    equal(up.calls[0].json.get("stream_options"), {"include_usage": True}, "stream_options upstream")
    for piece in ('"model":"gpt-test"', '"stream":true', '"messages":[{"role":"user","content":"ü \\u00fc"}]',
                  '"zeta":1.0'):
        check(piece in sent, piece, "not in", sent)
    chunks = [json.loads(d) for _, d in reply.events() if d != "[DONE]"]
    check(all(c["choices"] for c in chunks), "a usage chunk reached a client that did not ask")
    check(not any(c.get("usage") for c in chunks), "usage reached a client that did not ask")
    again = box.ask(PATH, body)
    is_hit(again)
    check(all(json.loads(d)["choices"] for _, d in again.events() if d != "[DONE]"), "usage chunk in the replay")
    asking = box.chat("other", stream=True, stream_options={"include_usage": True})
    equal(json.loads(asking.events()[-2][1])["choices"], [], "the usage chunk of who asks")


@test("identity: query strings do not hide an endpoint")
def query_strings():
    box, up = box_and_up()
    is_miss(box.message("q", path="/v1/messages?beta=true"))
    equal((up.calls[0].path, up.calls[0].query), ("/v1/messages", "beta=true"), "what went upstream")
    is_hit(box.message("q", path="/v1/messages?beta=true"))
    equal(up.count(), 1, "calls")


@test("identity: mask hides dates in a system prompt, and only there")
def mask():
    box, up = box_and_up(cache={"mask": ["[0-9]{4}-[0-9]{2}-[0-9]{2}"]})
    is_miss(box.chat("what day", system="Today is 2026-11-21. Be brief."))
    is_hit(box.chat("what day", system="Today is 2026-11-22. Be brief."))
    is_miss(box.chat("what day", system="Today is 2026-11-22. Be long."), "differs:system")
    is_miss(box.chat("on 2026-11-21", system="x"))
    is_miss(box.chat("on 2026-11-22", system="x"), "differs:query")
    equal(up.calls[0].json["messages"][0]["content"], "Today is 2026-11-21. Be brief.", "what went upstream")


@test("identity: sampled: fresh neither hits nor stores back for a temperature without a seed, others hit")
def sampled_fresh():
    box, up = box_and_up(cache={"sampled": "fresh"})
    for _ in range(2):
        reply = box.chat("roll a die", temperature=0.7)
        equal((reply.status, reply.header("x-larder-hit")), (200, "none"))
    equal(up.count(), 2, "calls with a temperature")
    for more in ({"temperature": 0.7, "seed": 5}, {"temperature": 0}, {}):
        is_miss(box.chat("roll a die", **more))
        is_hit(box.chat("roll a die", **more))
    equal(up.count(), 5, "calls")


@test("identity: share: box lets proven tenants and virtual keys share, nobody else")
def share_box():
    box, up = box_and_up(cache={"share": "box"}, provider={"key": "sk-the-box-own-key-0000"})
    one, two, three = ("sk-sharing-tenant-%d-000" % n for n in (1, 2, 3))
    box.chat("proves one", key=one)
    box.chat("proves two", key=two)
    is_miss(first := box.chat("common", key=one))
    is_hit(second := box.chat("common", key=two))
    same_said(second, first)
    is_miss(box.chat("common", key=three))
    is_hit(box.chat("common", key=box.add_tenant("kiosk")))
    equal(up.count("common"), 2, "calls")


# ---- why a miss ----------------------------------------------------------------------------------------------------

@test("miss: never_seen, then differs by exactly one part")
def reasons():
    box, up = box_and_up()
    tools = [{"type": "function", "function": {"name": "x", "parameters": {"type": "object"}}}]
    base = {"system": "s", "temperature": 0, "tools": tools}
    is_miss(box.chat("q1", **base), "never_seen")
    is_miss(box.chat("q2", **base), "differs:query")
    is_miss(box.chat("q1", **dict(base, system="other")), "differs:system")
    is_miss(box.chat("q1", **dict(base, temperature=1)), "differs:parameters")
    is_miss(box.chat("q1", **dict(base, model="gpt-test-mini")), "differs:model")
    is_miss(box.chat("q1", headers={"x-larder-namespace": "n"}, **base), "differs:route")
    is_miss(box.chat("q1", **dict(base, tools=tools + tools)), "differs:tools")
    history = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"},
               {"role": "user", "content": "q9"}]
    other = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "c"}, {"role": "user", "content": "q9"}]
    box.ask(PATH, {"model": "gpt-h", "messages": history})
    is_miss(box.ask(PATH, {"model": "gpt-h", "messages": other}), "differs:history")
    is_hit(box.chat("q1", **base))
    check(not box.chat("q1", **base).has("x-larder-miss"), "a hit has no miss reason")
    equal(up.count(), 9, "calls")


@test("miss: expired, and the fresh answer replaces the old one")
def expired():
    box, up = box_and_up(cache={"ttl": "1s"})
    first = box.chat("short lived")
    is_hit(box.chat("short lived"))
    harness.time.sleep(2.1)
    second = box.chat("short lived")
    is_miss(second, "expired")
    check(first.said["text"] != second.said["text"], "the old answer came again")
    third = box.chat("short lived")
    is_hit(third)
    same_said(third, second)
    equal(up.count(), 2, "calls")


@test("miss: evicted, by each policy", limit=90)
def evicted():
    for policy in ("sieve", "lru", "mmr", "cluster"):
        box, _ = box_and_up(config={"storage": {"entries_max": 50, "eviction": policy}})
        for number in range(120):
            is_miss(box.chat("fill %d" % number))
        reasons_seen = [box.chat("fill %d" % n).header("x-larder-miss") for n in range(5)]
        if policy in ("sieve", "lru"):
            equal(reasons_seen, ["evicted"] * 5, "%s: reasons of the oldest" % policy)
        else:                               # they draw lots: some of the oldest may still be there
            check(set(reasons_seen) <= {"evicted", None} and reasons_seen.count("evicted") >= 2, policy, reasons_seen)
        stats = box.ctl("cache", "stats")
        check(int(re.search(r"entries\s+(\d+) of 50", stats).group(1)) <= 50, policy, stats)


@test("miss: bypass and not_storable")
def bypass():
    box, _ = box_and_up()
    box.chat("b")
    is_miss(box.chat("b", headers={"x-larder-cache": "no-cache"}), "bypass")
    is_miss(box.chat("b", headers={"x-larder-cache": "no-store"}), "bypass")
    is_miss(box.chat("cut short [[length]]"))
    is_miss(box.chat("cut short [[length]]"), "not_storable")
    is_miss(box.chat("search", web_search_options={}), "bypass")


@test("miss: one reason for each miss that is stored, in `why` and in the metrics")
def counted_reasons():
    box, _ = box_and_up()
    reply = box.chat("explain me")
    is_miss(reply, "never_seen")
    why = box.ctl("why", reply.header("x-request-id"))
    check("never_seen" in why, why)
    is_miss(box.chat("explain me too"), "differs:query")
    box.chat("explain me")
    text = "\n".join("%s %g" % pair for pair in box.metrics().items())
    for reason in ("never_seen", "query"):
        check(any("miss" in line and reason in line and line.endswith(" 1") for line in text.split("\n")), reason,
              "[" + "; ".join(line for line in text.split("\n") if "miss" in line) + "]")


# ---- request headers -----------------------------------------------------------------------------------------------

@test("request headers: no-cache asks again and stores the fresh answer")
def no_cache():
    for headers in ({"cache-control": "no-cache"}, {"x-larder-cache": "no-cache"}, {"cache-control": "max-age=0"}):
        box, up = box_and_up()
        box.chat("fresh")
        harness.time.sleep(1.1)             # so that its age is above 0
        second = box.chat("fresh", headers=headers)
        is_miss(second)
        check("Answer #2" in second.said["text"], headers, second.said["text"])
        third = box.chat("fresh")
        is_hit(third)
        same_said(third, second)
        equal(up.count(), 2, "calls with %s" % headers)


@test("request headers: no-store neither reads nor keeps")
def no_store():
    for headers in ({"cache-control": "no-store"}, {"x-larder-cache": "no-store"}):
        box, up = box_and_up()
        reply = box.chat("secret", headers=headers)
        is_miss(reply, "bypass")
        is_miss(box.chat("secret"))
        is_hit(box.chat("secret"))
        is_miss(box.chat("secret", headers=headers), "bypass")
        check("stored" not in reply.header("cache-status", ""), reply.header("cache-status"))
        equal(up.count(), 3, "calls with %s" % headers)


@test("request headers: only-if-cached is a hit or 504 in the dialect's shape")
def only_if_cached():
    box, up = box_and_up()
    headers = {"cache-control": "only-if-cached"}
    reply = box.chat("maybe", headers=headers)
    equal(reply.status, 504, "status of a miss")
    check(reply.json["error"]["message"], reply.json)
    reply = box.message("maybe", headers=headers)
    equal((reply.status, reply.json["type"]), (504, "error"), "status and type for Anthropic")
    check(reply.json["error"]["message"], reply.json)
    equal(up.count(), 0, "calls")
    box.chat("maybe")
    is_hit(box.chat("maybe", headers=headers))
    equal(up.count(), 1, "calls")


@test("request headers: max-age and max-stale bound the age of a hit")
def ages():
    box, up = box_and_up(cache={"ttl": "3s"})
    box.chat("old")
    is_hit(box.chat("old", headers={"cache-control": "max-age=60"}))
    harness.time.sleep(2.1)
    is_miss(box.chat("old", headers={"cache-control": "max-age=1"}))
    equal(up.count(), 2, "calls")
    harness.time.sleep(4.2)
    stale = box.chat("old", headers={"cache-control": "max-stale=60"})
    equal((stale.status, stale.header("x-larder-hit")), (200, "stale"), "a client that takes stale answers")
    check("ttl=-" in stale.header("cache-status", ""), stale.header("cache-status"))
    is_hit(box.chat("old", headers={"cache-control": "max-stale"}), "stale")
    equal(up.count(), 2, "calls")
    is_miss(box.chat("old"), "expired")


@test("request headers: the go-openai convention: no-cache with an event stream is no wish")
def go_openai():
    box, up = box_and_up()
    headers = {"cache-control": "no-cache", "accept": "text/event-stream", "connection": "keep-alive"}
    body = chat_body("from go", True)
    is_miss(box.ask(PATH, body, headers=headers, timeout=5, close=False))
    for _ in range(2):
        is_hit(box.ask(PATH, body, headers=headers, close=False))
    equal(up.count(), 1, "calls")
    is_miss(box.ask(PATH, body, headers=dict(headers, **{"x-larder-cache": "no-cache"})), "bypass")
    equal(up.count(), 2, "calls")


# ---- reply headers -------------------------------------------------------------------------------------------------

@test("reply headers: Cache-Status, Age, entry and timing of a miss and a hit")
def reply_headers():
    box, _ = box_and_up()
    miss = box.chat("headers")
    check(miss.header("cache-status", "").startswith("larder; fwd=miss"), miss.header("cache-status"))
    check("stored" in miss.header("cache-status"), miss.header("cache-status"))
    check(int(miss.header("x-larder-upstream-ms")) >= 0, miss.headers)
    check(int(miss.header("x-larder-overhead-us")) >= 0, miss.headers)
    check(not miss.has("age"), "a fresh answer has no Age")
    harness.time.sleep(1.1)
    hit = box.chat("headers")
    status = hit.header("cache-status", "")
    check(status.startswith("larder; hit; ttl="), status)
    ttl = int(status.split("ttl=")[1].split(";")[0])
    check(604_700 <= ttl <= 604_799, "ttl", ttl)
    check(1 <= int(hit.header("age")) <= 10, "age", hit.header("age"))
    check(hit.header("x-larder-entry"), "x-larder-entry", hit.headers)
    check(hit.has("x-larder-overhead-us"), hit.headers)
    check(not hit.has("x-larder-upstream-ms"), "a hit has no upstream time")
    equal(hit.header("content-type"), miss.header("content-type"), "content-type")
    bypass_reply = box.chat("headers", headers={"cache-control": "no-store"})
    check(bypass_reply.header("cache-status", "").startswith("larder; fwd=bypass"), bypass_reply.header("cache-status"))


@test("reply headers: a live stream does not say what it cannot know")
def stream_headers():
    box, _ = box_and_up()
    live = box.chat("streamed", stream=True)
    status = live.header("cache-status", "")
    check(status.startswith("larder; fwd=miss") and "stored" not in status, status)
    hit = box.chat("streamed", stream=True)
    is_hit(hit)
    check(hit.header("content-type", "").startswith("text/event-stream"), hit.headers)


@test("reply headers: request ids are fresh on every reply")
def request_ids():
    box, up = box_and_up()
    seen = {box.chat("ids").header("x-request-id") for _ in range(4)}
    seen |= {box.chat("ids", stream=True).header("x-request-id")}
    check(len(seen) == 5 and None not in seen, "x-request-id", seen)
    seen = {box.message("ids").header("request-id") for _ in range(4)}
    check(len(seen) == 4 and None not in seen, "request-id", seen)
    refused = box.chat("x", key=None)
    check(refused.status >= 400 and refused.has("x-request-id"), refused)
    equal(up.count("ids"), 2, "calls")


@test("reply headers: nothing of another exchange is replayed, hop-by-hop fields are dropped")
def not_replayed():
    box, _ = box_and_up()
    for ask in (box.chat, box.message):
        miss = ask("hop [[hop]]")
        is_miss(miss)
        for name in ("x-hop", "proxy-authenticate", "keep-alive", "alt-svc", "strict-transport-security"):
            check(not miss.has(name), "relayed", name, miss.headers)
        hit = ask("hop [[hop]]")
        is_hit(hit)
        forbidden = ("set-cookie", "alt-svc", "strict-transport-security", "x-hop", "proxy-authenticate", "cf-ray",
                     "openai-processing-ms", "retry-after")
        for name, value in hit.headers:
            check(name not in forbidden and "ratelimit" not in name, "replayed", name, value)


@test("reply headers: a relayed answer keeps what a client relies on")
def relayed():
    box, _ = box_and_up()
    miss = box.chat("limits")
    for name in ("x-ratelimit-remaining-requests", "x-ratelimit-limit-tokens", "openai-processing-ms"):
        check(miss.has(name), "lost", name, miss.headers)
    miss = box.message("limits")
    check(miss.has("anthropic-ratelimit-requests-limit"), miss.headers)


@test("replay: byte-equal in the stored form, same id and content in the other")
def replays():
    box, _ = box_and_up()
    for ask in (box.chat, box.message):
        live = ask("object form")
        equal(ask("object form").body, live.body, "object")
        same_said(ask("object form", stream=True), live)
        live = ask("stream form [[odd=crlf]]", stream=True)
        replayed = ask("stream form [[odd=crlf]]", stream=True)
        is_hit(replayed)
        equal(replayed.body, live.body, "stream")
        same_said(ask("stream form [[odd=crlf]]"), live)


@test("replay: tools, parallel tools and thinking across forms")
def replay_tools():
    box, up = box_and_up()
    tools = [{"type": "function", "function": {"name": n, "parameters": {"type": "object"}}} for n in ("x", "y")]
    for first_stream in (False, True):
        text = "tools %s [[tool=2]]" % first_stream
        live = box.chat(text, stream=first_stream, tools=tools)
        equal(live.said["finish"], "tool_calls")
        check('"zoom": 1.0' in live.said["tools"][0][2], live.said)
        for stream in (False, True):
            reply = box.chat(text, stream=stream, tools=tools)
            is_hit(reply)
            same_said(reply, live)
        text = "blocks %s [[tool=2]] [[think]]" % first_stream
        given = [{"name": n, "input_schema": {"type": "object"}} for n in ("x", "y")]
        live = box.message(text, stream=first_stream, tools=given)
        for stream in (False, True):
            reply = box.message(text, stream=stream, tools=given)
            is_hit(reply)
            same_said(reply, live)
    equal(up.count(), 4, "calls")


@test("replay: Anthropic events are complete and in order, their index and usage right")
def anthropic_order():
    box, _ = box_and_up()
    given = [{"name": "x", "input_schema": {"type": "object"}}]
    box.message("order [[tool]] [[think]]", tools=given)
    events = [(n, json.loads(d)) for n, d in box.message("order [[tool]] [[think]]", stream=True, tools=given).events()]
    names = [n for n, _ in events if n != "ping"]
    equal(names[0], "message_start")
    equal(names[-2:], ["message_delta", "message_stop"])
    equal([n for n in names if n != "content_block_delta"][1:-2], ["content_block_start", "content_block_stop"] * 3)
    starts = [e for n, e in events if n == "content_block_start"]
    equal([s["index"] for s in starts], [0, 1, 2], "indexes")
    equal([s["content_block"]["type"] for s in starts], ["thinking", "text", "tool_use"])
    equal(starts[2]["content_block"]["input"], {}, "input at the start of a tool block")
    kinds = [e["delta"]["type"] for n, e in events if n == "content_block_delta" and e["index"] == 0]
    equal(kinds[-1], "signature_delta", "last delta of thinking")
    pieces = [e["delta"]["partial_json"] for n, e in events if n == "content_block_delta" and e["index"] == 2]
    equal(pieces[0], "", "first piece of a tool's input")
    start = events[0][1]["message"]
    equal((start["content"], start["stop_reason"]), ([], None), "message_start")
    check(events[-2][1]["usage"]["output_tokens"] > 0, events[-2])


@test("replay: OpenAI chunks are complete: role, finish, usage only when asked, [DONE]")
def openai_order():
    box, _ = box_and_up()
    box.chat("order")
    for asked in (False, True):
        options = {"stream_options": {"include_usage": True}} if asked else {}
        reply = box.chat("order", stream=True, **options)
        is_hit(reply)
        events = reply.events()
        equal(events[-1], (None, "[DONE]"), "last event")
        chunks = [json.loads(d) for _, d in events[:-1]]
        equal({c["object"] for c in chunks}, {"chat.completion.chunk"})
        equal(chunks[0]["choices"][0]["delta"].get("role"), "assistant", "role of the first delta")
        finishing = chunks[-2 if asked else -1]
        equal(finishing["choices"][0]["finish_reason"], "stop")
        usage = [c for c in chunks if not c["choices"]]
        equal(len(usage), 1 if asked else 0, "usage chunks")
        if asked:
            check(usage[0]["usage"]["total_tokens"] > 0, usage)


@test("replay: n > 1 comes back whole in both forms")
def many_choices():
    box, up = box_and_up()
    live = box.chat("two please", n=2)
    equal(len(live.json["choices"]), 2)
    again = box.chat("two please", n=2)
    is_hit(again)
    equal(again.body, live.body)
    stream = box.chat("two please", n=2, stream=True)
    texts = {}
    for _, data in stream.events():
        for choice in json.loads(data)["choices"] if data != "[DONE]" else []:
            texts[choice["index"]] = texts.get(choice["index"], "") + (choice["delta"].get("content") or "")
    equal(texts, {c["index"]: c["message"]["content"] for c in live.json["choices"]}, "texts of the stream")
    check(up.count() in (1, 2), "calls", up.count())


@test("short cut: byte-identical repeats hit; reload with another ttl or route is not served by a stale short cut")
def short_cut():
    box, up = box_and_up()
    for _ in range(4):
        box.chat("again")
    equal(up.count(), 1, "calls")
    harness.time.sleep(2.1)
    routes = [dict(r, cache={"ttl": "1s"}) for r in box.config["routes"]]
    box.reload({"routes": routes})
    reply = box.chat("again")
    is_miss(reply)
    equal(up.count(), 2, "calls after the reload with ttl 1s")
    routes = [dict(r, cache={"ttl": "7d", "exact": False}) for r in box.config["routes"]]
    box.reload({"routes": routes})
    for _ in range(2):
        reply = box.chat("again")
        equal((reply.status, reply.header("x-larder-hit")), (200, "none"), "with exact off")
    equal(up.count(), 4, "calls after the reload with exact off")


if __name__ == "__main__":
    harness.main()
