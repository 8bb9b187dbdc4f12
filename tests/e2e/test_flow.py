# SPDX-License-Identifier: Apache-2.0
"""Live streams: leaders and followers, clients that leave, upstreams that fail, and what is never stored."""

import json
import random
import threading
import time

import harness
from harness import Box, check, equal, is_hit, is_miss, same_said, test, upstream
from http_wire import sse_events
from wire import TAIL


def box_and_up(**options):
    up = upstream()
    return Box(up, **options), up


def ended_badly(reply):
    """A client of either dialect sees that this stream did not end well."""
    data = reply.all()
    if reply.clean is False:
        return True
    return any(name == "error" or (d != "[DONE]" and "error" in json.loads(d) and "choices" not in json.loads(d))
               for name, d in sse_events(data))


def in_flight(up, question, number=1):
    return up.wait_calls(number, question)[number - 1]


# ---- leaders and followers -----------------------------------------------------------------------------------------

@test("coalescing: identical requests at once are one call, objects and streams together")
def together():
    for stream in (False, True):
        box, up = box_and_up()
        text = "together %s" % stream
        mark = text + (" [[gate=5:go]]" if stream else " [[hold=go]]")
        leader = box.chat(mark, stream=stream, wait=False) if stream else None
        if not stream:                      # an object's head comes with its body: send now, read later
            peers = [box.peer()]
            peers[0].send(box.request_bytes("/v1/chat/completions", harness.chat_body(mark), close=False))
        in_flight(up, text)
        kinds = [stream, stream, not stream, not stream, stream]
        peers = (peers if not stream else []) + [box.peer() for _ in kinds]
        for peer, form in zip(peers[-len(kinds):], kinds):
            peer.send(box.request_bytes("/v1/chat/completions", harness.chat_body(mark, form), close=False))
        time.sleep(0.2)
        equal(up.count(text), 1, "calls while all wait")
        up.release("go")
        replies = ([leader] if leader else []) + [p.reply() for p in peers]
        for reply in replies:
            check(TAIL in reply.said["text"] and reply.clean, reply)
            equal(reply.said["id"], replies[0].said["id"], "id")
            equal(reply.said["finish"], "stop")
        equal(up.count(text), 1, "calls")
        kinds_seen = [r.header("x-larder-hit") for r in replies]
        equal(kinds_seen, ["none"] + ["coalesced"] * (len(replies) - 1), "x-larder-hit")
        check(all("collapsed" in r.header("cache-status", "") for r in replies[1:]),
              [r.header("cache-status") for r in replies])
        is_hit(box.chat(mark, stream=stream))


@test("coalescing: Anthropic requests of both forms share one call")
def together_anthropic():
    box, up = box_and_up()
    mark = "claude [[gate=6:go]] [[think]]"
    leader = box.message(mark, stream=True, wait=False)
    in_flight(up, "claude")
    followers = []
    for stream in (True, False):
        peer = box.peer()
        peer.send(box.request_bytes("/v1/messages", harness.message_body(mark, stream),
                                    {"anthropic-version": "2023-06-01"}, style="x-api-key"))
        followers.append(peer)
    time.sleep(0.2)
    up.release("go")
    for peer in followers:
        same_said(peer.reply(), leader)
    equal(up.count(), 1, "calls")


@test("coalescing: fifty at once are one call", limit=60)
def fifty():
    box, up = box_and_up()
    peers = [box.peer() for _ in range(50)]
    for number, peer in enumerate(peers):
        peer.send(box.request_bytes("/v1/chat/completions",
                                    harness.chat_body("fifty [[slow=0.5]] [[pace=0.005]]", number % 2 == 0)))
    texts = {peer.reply().said["text"] for peer in peers}
    equal(len(texts), 1, "different answers")
    equal(up.count(), 1, "calls")


@test("coalescing: a late joiner gets the beginning at once, then the live tail")
def late_joiner():
    box, up = box_and_up()
    mark = "late [[gate=8:go]] [[tokens=20]]"
    leader = box.chat(mark, stream=True, wait=False)
    before = leader.until(b"Answer")
    late = box.chat(mark, stream=True, wait=False)
    equal(late.header("x-larder-hit"), "coalesced")
    check(b"Answer" in late.until(b"Answer"), "the beginning")
    check(up.calls[0].outcome is None, "the call was still under way")
    up.release("go")
    equal(late.all(), leader.all(), "bytes of follower and leader")
    check(late.clean and leader.clean and "token19" in late.said["text"] and len(before) < len(late.all()))
    equal(up.count(), 1, "calls")


@test("coalescing: the usage chunk goes to exactly those who asked")
def usage_of_followers():
    box, up = box_and_up()
    mark = "usage [[gate=5:go]]"
    leader = box.chat(mark, stream=True, wait=False)
    in_flight(up, "usage")
    asking = box.chat(mark, stream=True, wait=False, stream_options={"include_usage": True})
    plain = box.chat(mark, stream=True, wait=False)
    up.release("go")
    for reply, wanted in ((leader, 0), (asking, 1), (plain, 0)):
        chunks = [json.loads(d) for _, d in reply.events() if d != "[DONE]"]
        equal(len([c for c in chunks if not c["choices"]]), wanted, "usage chunks")
    equal(up.count(), 1, "calls")


@test("coalescing: the leader's client leaves, the follower still gets all")
def leader_leaves():
    for stream in (True, False):
        box, up = box_and_up()
        mark = "orphan %s [[gate=5:go]]" % stream
        leader = box.chat(mark, stream=True, wait=False)
        leader.until(b"Answer")
        follower = box.peer()
        follower.send(box.request_bytes("/v1/chat/completions", harness.chat_body(mark, stream)))
        time.sleep(0.2)
        leader.peer.close()
        time.sleep(0.3)
        equal(up.calls[0].outcome, None, "outcome of the call while the follower wants it")
        up.release("go")
        reply = follower.reply()
        check(TAIL in reply.said["text"] and reply.clean, reply)
        equal(up.calls[0].outcome or up.wait_outcome(up.calls[0]), "done", "outcome")
        is_hit(box.chat(mark))
        equal(up.count(), 1, "calls")


@test("coalescing: a follower that leaves harms nobody")
def follower_leaves():
    box, up = box_and_up()
    mark = "fickle [[gate=5:go]]"
    leader = box.chat(mark, stream=True, wait=False)
    leader.until(b"Answer")
    for _ in range(5):
        gone = box.chat(mark, stream=True, wait=False)
        gone.until(b"Answer")
        gone.peer.close()
    time.sleep(0.2)
    up.release("go")
    check(TAIL in leader.said["text"] and leader.clean)
    equal(up.count(), 1, "calls")


@test("coalescing: a slow follower does not slow the others", limit=40)
def slow_follower():
    box, up = box_and_up()
    for size, kept in ((12000, True), (900000, False)):   # six characters an event: the second is far above parse_max
        mark = "slow reader [[gate=3:go]] [[size=%d]]" % size
        leader = box.chat(mark, stream=True, wait=False)
        in_flight(up, "slow reader", 1 if kept else 2)
        slow = box.chat(mark, stream=True, wait=False)
        up.release("go")
        check(leader.all().endswith(b"data: [DONE]\n\n") and leader.clean, size)
        whole = slow.all() == leader.all() and slow.clean
        check(whole or (not kept and not slow.clean), "the slow reader's bytes differ", size)
    equal(up.count(), 2, "calls")


@test("coalescing: other tenants never join")
def other_tenants():
    box, up = box_and_up()
    mark = "private [[gate=3:go]]"
    box_leader = box.chat(mark, stream=True, wait=False, key="sk-one-00000000")
    in_flight(up, "private")
    other = box.chat(mark, stream=True, wait=False, key="sk-two-00000000")
    in_flight(up, "private", 2)
    up.release("go")
    check(box_leader.said["text"] != other.said["text"])
    equal(up.count(), 2, "calls")


@test("coalescing: no-cache and no-store do not join")
def wishes_do_not_join():
    box, up = box_and_up()
    mark = "own call [[gate=3:go]]"
    leader = box.chat(mark, stream=True, wait=False)
    in_flight(up, "own call")
    apart = [box.chat(mark, stream=True, wait=False, headers={"x-larder-cache": w}) for w in ("no-cache", "no-store")]
    in_flight(up, "own call", 3)
    up.release("go")
    equal(len({r.said["text"] for r in [leader] + apart}), 3, "different answers")


@test("coalescing: followers of a failing call see the failure, and the next asker asks anew")
def failing_leader():
    box, up = box_and_up(provider={"retry": {"attempts": 1}})
    mark = "fails [[hold=go]] [[status=400]] [[fail=1]]"
    peers = []
    for _ in range(3):
        peers.append(box.peer())
        peers[-1].send(box.request_bytes("/v1/chat/completions", harness.chat_body(mark)))
        in_flight(up, "fails")
    time.sleep(0.2)
    up.release("go")
    replies = [p.reply() for p in peers]
    equal([r.status for r in replies], [400] * 3, "statuses")
    equal({r.body for r in replies} == {replies[0].body}, True, "same error")
    equal(up.count(), 1, "calls")
    is_miss(box.chat(mark))
    equal(up.count(), 2, "calls")


@test("coalescing: a retry does not join a dead flight")
def dead_flight():
    box, up = box_and_up(provider={"retry": {"attempts": 1}})
    mark = "dead [[cut=4]]"
    first = box.chat(mark, stream=True)
    check(ended_badly(first), first)
    second = box.chat(mark, stream=True, headers={"x-stainless-retry-count": "1"})
    check(ended_badly(second), second)
    equal(up.count(), 2, "calls")


# ---- clients that leave --------------------------------------------------------------------------------------------

@test("leaving: all leave and the store does not want it: upstream is cancelled at once")
def cancelled():
    box, up = box_and_up(config={"budgets": {"finish_for_store": "0s"}})
    reply = box.chat("leaves [[gate=4:never]]", stream=True, wait=False)
    reply.until(b"Answer")
    reply.peer.close()
    equal(up.wait_outcome(up.calls[0], 5), "gone", "outcome of the call")
    with box.peer() as peer:                # also before the first byte
        peer.send(box.request_bytes("/v1/chat/completions", harness.chat_body("early [[hold=never]]")))
        call = in_flight(up, "early")
    equal(up.wait_outcome(call, 5), "gone", "outcome of the call that had not answered")
    is_miss(box.chat("leaves"))


@test("leaving: the store finishes what nobody waits for, within its budget")
def finished_for_store():
    box, up = box_and_up(config={"budgets": {"finish_for_store": "20s"}})
    mark = "wanted [[gate=4:go]]"
    reply = box.chat(mark, stream=True, wait=False)
    reply.until(b"Answer")
    reply.peer.close()
    time.sleep(0.3)
    equal(up.calls[0].outcome, None, "outcome while the store wants it")
    up.release("go")
    equal(up.wait_outcome(up.calls[0]), "done", "outcome")
    time.sleep(0.2)
    is_hit(box.chat(mark))
    equal(up.count(), 1, "calls")


@test("leaving: the budget of finishing for the store ends")
def finish_budget():
    box, up = box_and_up(config={"budgets": {"finish_for_store": "500ms"}})
    reply = box.chat("too long [[gate=4:never]]", stream=True, wait=False)
    reply.until(b"Answer")
    reply.peer.close()
    equal(up.wait_outcome(up.calls[0], 6), "gone", "outcome of the call")


@test("leaving: what no store may keep is cancelled at once")
def bypass_cancelled():
    box, up = box_and_up(config={"budgets": {"finish_for_store": "20s"}})
    reply = box.chat("unkept [[gate=4:never]]", stream=True, wait=False, headers={"x-larder-cache": "no-store"})
    reply.until(b"Answer")
    reply.peer.close()
    equal(up.wait_outcome(up.calls[0], 5), "gone", "outcome of the call")


# ---- upstream fails in the middle ----------------------------------------------------------------------------------

def never_a_clean_end(mark):
    @test("cut: a stream with [[%s]] ends in an abort or an error event, and is not stored" % mark)
    def run():
        box, up = box_and_up(config={"limits": {}}, provider={"timeouts": {"idle": "1s"}})
        for ask in (box.chat, box.message):
            before = up.count()
            text = "broken [[%s]]" % mark
            for count in (1, 2):
                reply = ask(text, stream=True)
                check(b"Answer" in reply.all(), "what came before the cut", reply)
                check(ended_badly(reply), "a clean end", reply.all()[-300:])
                check(b"[DONE]" not in reply.all() and b"message_stop" not in reply.all(), reply)
                equal(up.count() - before, count, "calls")
        is_miss(box.chat("whole"))


for one in ("cut=6", "reset=6", "stall=6", "clean=6", "error_event=6"):
    never_a_clean_end(one)


@test("cut: an upstream that ends cleanly without finish reason or terminal event is not stored")
def no_end():
    box, up = box_and_up()
    for mark in ("no_end", "no_done"):
        for ask in (box.chat, box.message):
            before = up.count()
            for count in (1, 2):
                reply = ask("unfinished [[%s]]" % mark, stream=True)
                check(mark == "no_done" or ended_badly(reply), "a clean end", reply.all()[-300:])
                equal(up.count() - before, count, "calls of " + mark)


@test("cut: an object that is cut short or broken is no answer and is not stored")
def cut_objects():
    box, up = box_and_up(provider={"retry": {"attempts": 1}})
    for ask in (box.chat, box.message):
        for count in (1, 2):
            try:
                reply = ask("short [[short]]")
                check(reply.clean is False or reply.status >= 500, "a cut object looks whole", reply)
            except harness.Cut:
                pass
        before = up.count()
        for count in (1, 2):
            reply = ask("broken [[invalid]]")
            equal(up.count() - before, count, "calls of a broken object")


@test("cut: a call that drops before its first byte is tried again, then 502 or 503 with x-should-retry: false")
def dropped():
    box, up = box_and_up(provider={"retry": {"attempts": 2, "base": "10ms", "max": "20ms"}})
    reply = box.chat("drops [[drop]]")
    check(reply.status in (502, 503, 504), reply)
    equal(reply.header("x-should-retry"), "false", "x-should-retry")
    check(reply.json["error"]["message"], reply)
    check(up.count() >= 2, "calls", up.count())


@test("relay: the first byte of a stream comes before the second is made")
def first_byte():
    box, _ = box_and_up()
    reply = box.chat("live [[gate=2:never]]", stream=True, wait=False)
    equal(reply.status, 200)
    check(b"Answer" in reply.until(b"Answer"))
    reply.peer.close()


@test("relay: every odd spelling of a stream arrives whole and hits", limit=60)
def odd_streams():
    box, up = box_and_up()
    for odd in ("byte", "split", "join", "crlf", "comment", "fields", "multiline", "nospace"):
        for ask in (box.chat, box.message):
            before = up.count()
            text = "odd %s [[odd=%s]]" % (odd, odd)
            live = ask(text, stream=True)
            check(TAIL in live.said["text"] and live.clean, odd, live)
            for stream in (True, False):
                again = ask(text, stream=stream)
                is_hit(again)
                same_said(again, live)
            equal(up.count() - before, 1, "calls of " + odd)


@test("relay: chunked, sized and close-delimited replies")
def framings():
    box, up = box_and_up()
    for frame in ("chunked", "sized", "eof"):
        for stream in (False, True):
            text = "frame %s %s [[frame=%s]]" % (frame, stream, frame)
            live = box.chat(text, stream=stream)
            check(TAIL in live.said["text"] and live.clean, frame, live)
            again = box.chat(text, stream=stream)
            is_hit(again)
            same_said(again, live)
    equal(up.count(), 6, "calls")


@test("relay: gzip and zstd replies are decoded for the client and stored decoded")
def coded():
    box, up = box_and_up()
    for code in ("gzip", "zstd"):
        for stream in (False, True):
            for ask in (box.chat, box.message):
                before = up.count()
                text = "coded %s %s [[code=%s]]" % (code, stream, code)
                live = ask(text, stream=stream)
                equal(live.header("content-encoding"), None, "content-encoding")
                check(TAIL in live.said["text"] and live.clean, code, live)
                for form in (True, False):
                    again = ask(text, stream=form)
                    is_hit(again)
                    equal(again.header("content-encoding"), None, "content-encoding of a hit")
                    same_said(again, live)
                equal(up.count() - before, 1, "calls")


@test("relay: a coded stream is decoded as it comes")
def coded_live():
    box, _ = box_and_up()
    for code in ("gzip", "zstd"):
        reply = box.chat("live %s [[code=%s]] [[gate=4:never]]" % (code, code), stream=True, wait=False)
        check(b"Answer" in reply.until(b"Answer"), code)
        reply.peer.close()


@test("relay: any number of 1xx replies before the answer")
def early_hints():
    box, up = box_and_up()
    for early in (0, 1, 7):
        for stream in (False, True):
            text = "early %d %s [[early=%d]]" % (early, stream, early)
            live = box.chat(text, stream=stream)
            equal((live.status, live.interim), (200, []))
            check(TAIL in live.said["text"], live)
            is_hit(box.chat(text, stream=stream))
    equal(up.count(), 6, "calls")


# ---- what is never stored ------------------------------------------------------------------------------------------

@test("storing: length, refusals, content filter, empty answers, no-store: never; stop sequences: yes")
def never_stored():
    box, up = box_and_up()
    cases = [(box.chat, m, False) for m in ("length", "refuse", "filter", "empty", "no_store")]
    cases += [(box.message, m, False) for m in ("length", "refuse", "empty", "no_store", "pause")]
    cases += [(box.message, "sequence", True), (box.chat, "tokens=3", True)]
    for ask, mark, stored in cases:
        for stream in (False, True):
            before = up.count()
            text = "%s %s [[%s]]" % (mark, stream, mark)
            first = ask(text, stream=stream)
            equal(first.status, 200)
            check(first.clean and not ended_badly(first) if stream else True, mark, first)
            again = ask(text, stream=stream)
            equal(again.header("x-larder-hit"), "exact" if stored else "none", "%s, stream %s" % (mark, stream))
            equal(up.count() - before, 1 if stored else 2, "calls of %s" % mark)


@test("storing: an Anthropic warm-up with max_tokens 0 is not stored")
def warm_up():
    box, up = box_and_up()
    for _ in range(2):
        equal(box.message("warm [[empty]] [[length]]", max_tokens=0).status, 200)
    equal(up.count(), 2, "calls")


@test("storing: tool calls are stored for exact hits, with and without content")
def tool_calls_stored():
    box, up = box_and_up()
    tools = [{"type": "function", "function": {"name": "x", "parameters": {"type": "object"}}}]
    live = box.chat("call [[tool]]", tools=tools)
    again = box.chat("call [[tool]]", tools=tools)
    is_hit(again)
    same_said(again, live)
    equal(up.count(), 1, "calls")


# ---- all at once ------------------------------------------------------------------------------------------------------

MARKS = ("", "", "", "[[slow=0.02]]", "[[pace=0.001]]", "[[odd=byte]]", "[[odd=split]]", "[[code=gzip]]",
         "[[code=zstd]]", "[[early=2]]", "[[frame=eof]]", "[[frame=chunked]]", "[[size=30000]]", "[[cut=5]]",
         "[[reset=5]]", "[[drop]]", "[[error_event=5]]", "[[status=500]]", "[[status=429]]", "[[length]]", "[[empty]]",
         "[[no_end]]", "[[short]]")
BROKEN = ("cut", "reset", "drop", "error_event", "status", "empty", "no_end", "short")


def ask_once(ask, question, stream, headers, leaves):
    reply = ask(question, stream=stream, wait=False, headers=headers)
    data = b"" if leaves else reply.all()
    reply.peer.close()
    return reply, data


def is_in_other_form(reply, data):
    """Joined a call whose answer, in the other form, became too large to be converted: told to ask again."""
    return reply.status == 503 and b'"other_form"' in data and reply.header("retry-after") == "1"


def one_of_many(box, dice, wrong):
    mark = dice.choice(MARKS)
    question = "chaos %d %s" % (dice.randrange(8), mark)
    ask = dice.choice((box.chat, box.message))
    stream = dice.random() < 0.5
    headers = dice.choice(({}, {}, {}, {"x-larder-cache": "no-cache"}, {"x-larder-cache": "no-store"}))
    leaves = dice.random() < 0.25
    try:
        for _ in range(3):   # as every client library does
            reply, data = ask_once(ask, question, stream, headers, leaves)
            if not is_in_other_form(reply, data):
                break
    except (harness.Cut, OSError):
        data, reply = b"", None
    if leaves:
        return
    broken = any(name in mark for name in BROKEN)
    good = reply is not None and reply.status == 200 and reply.clean
    if good and not broken and question.split(" [")[0] not in reply.said["text"]:
        wrong.append("%s: %r" % (question, data[:300]))
    if not good and not broken:
        wrong.append("%s (stream %s, %s): %r" % (question, stream, headers, reply))


@test("chaos: sixteen clients, every fault at once: right answers, nobody hangs, the box lives", limit=90)
def chaos():
    box, up = box_and_up(provider={"retry": {"attempts": 2, "base": "5ms", "max": "10ms"}})
    wrong = []

    def client(seed):
        dice = random.Random(seed)
        for _ in range(40):
            one_of_many(box, dice, wrong)

    threads = [threading.Thread(target=client, args=(seed,)) for seed in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    check(not any(thread.is_alive() for thread in threads), "a client hangs")
    check(not wrong, len(wrong), "wrong:", "\n".join(wrong[:5]))
    is_miss(box.chat("after the chaos"))
    end = time.monotonic() + 8
    while any(call.outcome is None for call in up.select()):
        check(time.monotonic() < end, "calls left open", [c.question for c in up.select() if c.outcome is None])
        time.sleep(0.05)


# ---- errors --------------------------------------------------------------------------------------------------------

@test("errors: the provider's errors pass verbatim and are never stored", limit=60)
def verbatim_errors():
    box, up = box_and_up(provider={"retry": {"attempts": 1}})
    for ask, statuses in ((box.chat, (400, 403, 404, 413, 429, 500, 503)),
                          (box.message, (400, 403, 404, 413, 429, 500, 529))):
        for status in statuses:
            for stream in (False, True):
                text = "error %d [[status=%d]] [[retry_after=3]]" % (status, status)
                before = up.count()
                replies = [ask(text, stream=stream) for _ in range(2)]
                dialect = harness.wire.OpenAI if ask == box.chat else harness.wire.Anthropic
                model = "gpt-test" if ask == box.chat else "claude-test-1"
                wanted = dialect.encode(dialect.error(status, model)[0])
                for reply in replies:
                    equal(reply.status, status)
                    equal(reply.body, wanted, "body of %d" % status)
                    check(reply.has("x-request-id") or reply.has("request-id"), reply.headers)
                    if status in (429, 503):
                        equal(reply.header("retry-after"), "3", "retry-after")
                equal(up.count() - before, 2, "calls of %d" % status)


@test("errors: 401 passes verbatim, with the words clients look for")
def verbatim_401():
    box, up = box_and_up()
    reply = box.chat("who", key="sk-bad-0123456789")
    equal(reply.status, 401)
    check("Incorrect API key provided" in reply.json["error"]["message"], reply)
    equal(up.count(), 1, "calls: a 401 is not tried again")


@test("errors: 500 and 529 are tried again, then passed on with x-should-retry: false")
def retried():
    box, up = box_and_up(provider={"retry": {"attempts": 3, "base": "10ms", "max": "40ms"}})
    for ask, status in ((box.chat, 500), (box.message, 529), (box.chat, 503), (box.chat, 429)):
        name = "heals %d" % status
        reply = ask("%s [[status=%d]] [[fail=2]]" % (name, status))
        equal(reply.status, 200, "status after two failures of %d" % status)
        equal(up.count(name), 3, "calls")
        name = "stays %d" % status
        reply = ask("%s [[status=%d]]" % (name, status))
        equal(reply.status, status)
        equal(up.count(name), 3, "calls")
        equal(reply.header("x-should-retry"), "false", "x-should-retry")
    for status in (400, 404):
        equal(box.chat("never again [[status=%d]]" % status).status, status)
    equal(up.count("never again"), 2, "calls")


@test("errors: bodies that are no JSON pass as they are")
def odd_errors():
    box, _ = box_and_up(provider={"retry": {"attempts": 1}})
    reply = box.chat("html [[status=502]] [[odd_error=html]]")
    equal((reply.status, reply.body), (502, b"<html><body>bad gateway</body></html>"))
    reply = box.chat("none [[status=500]] [[odd_error=empty]]")
    equal((reply.status, reply.body), (500, b""))


if __name__ == "__main__":
    harness.main()
