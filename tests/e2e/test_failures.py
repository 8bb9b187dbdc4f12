# SPDX-License-Identifier: Apache-2.0
"""The failure list: what goes wrong between the box and a provider, and what the client gets; docs/offline.md has the table.

Cut, reset and stalled streams, short objects: test_flow.py. Stale answers and the plain outage: test_edge.py, test_offline.py.
"""

import os
import subprocess
import sys
import time

import harness
from harness import Box, Proxy, Skip, check, equal, is_hit, is_miss, plain_upstream, test, upstream

QUICK = {"retry": {"attempts": 2, "base": "10ms", "max": "20ms"}, "breaker": {"probe": "200ms"}}
STATE = 'larder_provider_state{provider="%s"}'


def two_links(first=QUICK, second=None, cache=None, **options):
    """A chain: `cloud` speaks TLS and takes the client's key, `lan` needs none."""
    cloud, lan = upstream("first"), plain_upstream("second")
    lan.needs_key = False
    box = Box(cloud, provider=first, cache=cache, autostart=False, **options)
    for provider in box.config["providers"]:
        provider["name"] += "-cloud"
    lans = [{"name": "lan", "dialect": "openai", "base_url": lan.url("/v1")},
            {"name": "lan-a", "dialect": "anthropic", "base_url": lan.url()}]
    routes = [{"match": {"dialect": d}, "providers": [d + "-cloud", n], "cache": dict({"ttl": "7d"}, **(cache or {}))}
              for d, n in (("openai", "lan"), ("anthropic", "lan-a"))]
    box.write_config({"providers": box.config["providers"] + [dict(p, **(second or {})) for p in lans],
                      "routes": routes})
    return box.start(), cloud, lan


def fails(reply, status, code, *words, should_retry="false", retry_after=True):
    """Our own error in the dialect's shape: what happened, in words, and whether to come again."""
    equal(reply.status, status, "status (%s)" % reply.all()[:300])
    said = reply.json
    equal(said["error"]["code"], code)
    for word in words:
        check(word in said["error"]["message"], word, said)
    equal(reply.header("x-should-retry"), should_retry, "x-should-retry")
    equal(reply.has("retry-after"), retry_after, "Retry-After")
    equal(reply.header("x-larder-hit"), "none")
    check(reply.header("cache-status", "").startswith("larder; fwd="), reply.headers)
    if "type" in said:
        equal(said["type"], "error", "Anthropic shape")


def until(what, condition, seconds=10):
    end = time.monotonic() + seconds
    while not condition():
        check(time.monotonic() < end, "waited in vain: " + what)
        time.sleep(0.05)


# ---- the way there -------------------------------------------------------------------------------------------------

def inside(title, case, limit=60):
    @test(title, limit=limit)
    def run():
        done = subprocess.run(["unshare", "-rnm", sys.executable, "-B",
                               os.path.join(harness.HERE, "failures_inside.py"), case],
                              env=dict(os.environ, LARDER=harness.LARDER), capture_output=True, text=True,
                              timeout=limit - 5, check=False)
        if "unshare failed" in done.stderr or "not permitted" in done.stderr:
            raise Skip("unshare -rnm is not permitted here: " + done.stderr.strip()[:200])
        if "SKIP: " in done.stdout:
            raise Skip(done.stdout.partition("SKIP: ")[2].strip()[:200])
        check(done.returncode == 0, "\n" + done.stdout[-3000:] + done.stderr[-3000:])


inside("failure: dead DNS: nobody, silence, no such name; back when the name is", "dead_dns")
inside("failure: dead route", "dead_route")
inside("failure: IPv6 leads nowhere: the other family serves, nothing counts as failed", "v6_hole")
inside("failure: packets vanish before the connection stands; back by itself", "both_holes")


def tls_failure(kind, *words):
    @test("failure: TLS: %s" % kind)
    def run():
        up = upstream(kind=kind)
        box = Box(up, provider=QUICK)
        for ask in (box.chat, box.message):
            fails(ask("trust me"), 503, "offline", "cannot be reached since", *words)
        equal(up.count(), 0, "calls that reached a server which was not verified")


tls_failure("expired", "expired")
tls_failure("not_yet", "not valid")
tls_failure("wrong_host", "localhost")
tls_failure("unknown_ca", "localhost")


@test("failure: proxy down, and proxy that refuses")
def proxy():
    up, way = upstream(), Proxy().start()
    harness.tap.CLEANERS.append(way.close)
    box = Box(up, provider=dict(QUICK, proxy="http://127.0.0.1:%d" % way.port))
    is_miss(box.chat("through"))
    way.vanish()
    fails(box.chat("down"), 503, "offline", "connection refused", str(way.port))
    way.deny = True
    way.start()
    until("the refusal", lambda: "refuses to connect" in box.chat("denied").json["error"]["message"])
    fails(box.chat("denied"), 503, "offline", "proxy 127.0.0.1", "status 403")
    is_hit(box.chat("through"))
    way.deny = False
    until("the proxy", lambda: box.chat("again").status == 200)


@test("failure: connected, then silence (half-open TCP)")
def silence():
    up = upstream()
    box = Box(up, provider=dict(QUICK, timeouts={"first_byte": "300ms"}))
    for stream in (False, True):
        fails(box.chat("black hole %s [[hang]]" % stream, stream=stream), 503, "offline", "no reply in time")
    equal(up.count(), 4, "calls: two tries each")
    is_miss(box.chat("well again"))
    check("fine" in box.ctl("status"), box.ctl("status"))


@test("failure: the next link answers when the first one is silent, drops, fails or is open")
def next_link():
    box, cloud, lan = two_links(dict(QUICK, timeouts={"first_byte": "300ms"}))
    for number, mark in enumerate(("[[hang]]", "[[drop]]", "[[status=500]]", "[[status=529]]", "[[status=429]]")):
        for ask in (box.chat, box.message):
            cloud.force = {mark.strip("[]").partition("=")[0]: mark.strip("[]").partition("=")[2]}
            reply = ask("question %d" % number, stream=number % 2 == 0)
            is_miss(reply)
            check("of second" in reply.said["text"], mark, reply.said["text"])
    equal(cloud.count(), 20, "calls of the first: two tries each")
    equal(lan.count(), 10, "calls of the second")


# ---- somebody else answers -----------------------------------------------------------------------------------------

@test("failure: captive portal: a page, a redirect, a login wall are no answer, never stored, the next link is asked")
def portal():
    for kind, words in (("page", "web page"), ("redirect", "redirect"), ("login", "511")):
        box, cloud, lan = two_links()
        cloud.force = {"portal": kind}
        for ask in (box.chat, box.message):
            reply = ask("walled")
            is_miss(reply)
            check("of second" in reply.said["text"], kind, reply.said)
        is_hit(box.chat("walled", stream=True))
        equal(cloud.count(), 2, "calls of the portal: one each, it is not asked twice")
        lan.vanish()
        fails(box.chat("nobody left"), 503, "offline", words)
        cloud.force = {}
        until("the first link again", lambda: "of first" in box.chat("walled").said["text"], 8)


@test("failure: captive portal without a next link: offline in words; what is stored is served; its date is not believed")
def portal_alone():
    up = plain_upstream()
    up.needs_key = False
    box = Box(up, provider=dict(QUICK, passthrough=False), cache={"ttl": "1s"})
    live = box.chat("known")
    time.sleep(2.1)
    up.force = {"portal": "page"}
    stale = box.chat("known")
    equal((stale.status, stale.header("x-larder-hit")), (200, "stale"))
    equal(stale.said["text"], live.said["text"])
    for ask in (box.chat, box.message):
        fails(ask("unknown"), 503, "offline", "web page")
    check("2015" not in box.ctl("status").split("\n")[1], box.ctl("status"))
    up.force = {}
    is_miss(box.chat("unknown"))


# ---- 429 and 529 ---------------------------------------------------------------------------------------------------

@test("failure: 429 with a Retry-After within our patience is waited for", limit=40)
def patient():
    up = upstream()
    box = Box(up, provider={"retry": {"attempts": 2, "base": "10ms", "max": "2s"}})
    for mark, least in (("retry_after=1", 1.0), ("retry_ms=400", 0.4)):
        reply = box.chat("limited %s [[status=429]] [[fail=1]] [[%s]]" % (mark, mark))
        is_miss(reply)
        first, second = up.select(question="limited " + mark)
        check(second.time - first.time >= least, "came back after %.2f s" % (second.time - first.time), mark)


@test("failure: 429 with a longer Retry-After goes to the client at once, and to the next link where there is one")
def impatient():
    up = upstream()
    box = Box(up, provider={"retry": {"attempts": 3, "base": "10ms", "max": "100ms"}})
    for ask in (box.chat, box.message):
        reply = ask("storm [[status=429]] [[retry_after=37]]")
        equal((reply.status, reply.header("retry-after")), (429, "37"))
        equal(reply.header("x-should-retry"), None, "tries are left: the client may come back in time")
    equal(up.count(), 2, "calls")
    box, cloud, lan = two_links({"retry": {"attempts": 3, "base": "10ms", "max": "100ms"}})
    cloud.force = {"status": "429", "retry_after": "37"}
    check("of second" in box.chat("storm").said["text"])
    equal((cloud.count(), lan.count()), (1, 1), "calls")


@test("failure: a storm of 429: every client its own, the breaker stays closed, hits go on", limit=40)
def storm():
    up = upstream()
    box = Box(up, provider={"retry": {"attempts": 2, "base": "10ms", "max": "20ms"}, "breaker": {"calls": 5}})
    is_miss(box.chat("known"))
    peers = [box.peer(20) for _ in range(30)]
    for number, peer in enumerate(peers):
        peer.send(box.request_bytes("/v1/chat/completions", harness.chat_body("storm %d [[status=429]]" % number)))
    replies = [peer.reply() for peer in peers]
    equal({(r.status, r.header("x-should-retry")) for r in replies}, {(429, "false")})
    equal({r.json["error"]["code"] for r in replies}, {"rate_limit_exceeded"}, "the provider's own words")
    equal(up.count("storm"), 60, "calls")
    equal(box.metrics()[STATE % "openai"], 0, "breaker")
    is_hit(box.chat("known"))
    is_miss(box.chat("another one"))


@test("failure: 529 passes with its words; when half of the calls fail the breaker opens, and one call closes it", limit=40)
def overloaded():
    up = upstream()
    box = Box(up, provider={"retry": {"attempts": 2, "base": "10ms", "max": "20ms"},
                            "breaker": {"calls": 6, "probe": "400ms"}})
    for number in range(2):
        reply = box.message("busy %d [[status=529]]" % number)
        equal((reply.status, reply.header("x-should-retry")), (529, "false"))
        equal(reply.json["error"]["type"], "overloaded_error")
    equal(box.metrics()[STATE % "anthropic"], 0)
    up.force = {"status": "529"}
    box.message("the last straw")
    check(box.metrics()[STATE % "anthropic"] >= 1, "the breaker is closed")
    before = up.count()
    fails(box.message("not asked"), 503, "offline", "it answers with status 529")
    equal(up.count(), before, "calls while it is open")
    check("breaker" in box.ctl("status"), box.ctl("status"))
    time.sleep(0.5)
    fails(box.message("the probe"), 503, "offline", "status 529")
    equal(up.count(), before + 1, "calls: one probe, no second try")
    up.force = {}
    until("closed", lambda: box.message("well %f" % time.monotonic()).status == 200)
    equal(box.metrics()[STATE % "anthropic"], 0)
    equal(box.metrics()[STATE % "openai"], 0, "the other provider's breaker")


@test("failure: a fallback's answer is served while the breaker is open, and not after", limit=40)
def fallback():
    box, cloud, lan = two_links({"retry": {"attempts": 1}, "breaker": {"calls": 4, "probe": "300ms"}})
    cloud.force = {"status": "500"}
    for number in range(5):
        check("of second" in box.chat("question %d" % number).said["text"])
    reply = box.chat("question 0")
    is_hit(reply)
    check("of second" in reply.said["text"], reply.said)
    cloud.force = {}
    until("closed", lambda: "of first" in box.chat("fresh %f" % time.monotonic()).said["text"])
    reply = box.chat("question 0")
    is_miss(reply)
    check("of first" in reply.said["text"], reply.said)


# ---- overload ------------------------------------------------------------------------------------------------------

@test("overload: a provider's queue is bounded, the newest is refused first; hits, health and admin go on", limit=60)
def crowded():
    up = upstream()
    box = Box(up, config={"limits": {"requests": 16, "flights": 16}}, provider={"concurrent": 1,
                                                                              "retry": {"attempts": 1}})
    is_miss(box.chat("known"))
    peers = [box.peer(30) for _ in range(10)]
    for number, peer in enumerate(peers):
        peer.send(box.request_bytes("/v1/chat/completions", harness.chat_body("crowd %d [[hold=go]]" % number)))
        time.sleep(0.05)
    refused = [peer.reply() for peer in peers[7:]]       # one is asked, six wait, three came too late
    for reply in refused:
        fails(reply, 503, "overloaded", "as many wait", should_retry=None)
        equal(reply.header("retry-after"), "1")
    equal(up.count("crowd"), 1, "calls at once")
    is_hit(box.chat("known"))
    for path in ("/healthz", "/readyz", "/metrics"):
        equal(box.admin_get(path).status, 200, path)
    check("1 flights" in box.ctl("status") or "flights now" in box.ctl("status"))
    up.release("go")
    equal([peer.reply().status for peer in peers[:7]], [200] * 7)
    equal([c.question for c in up.select(question="crowd")], ["crowd %d" % n for n in range(7)], "in the order they came")


@test("overload: nobody waits in the queue longer than timeouts.first_byte", limit=40)
def queue_deadline():
    up = upstream()
    box = Box(up, provider={"concurrent": 1, "retry": {"attempts": 3}, "timeouts": {"first_byte": "600ms"}})
    first = box.chat("long answer [[gate=3:go]]", stream=True, wait=False)
    first.until(b"Answer")
    fails(box.chat("waits in vain"), 503, "overloaded", should_retry=None)
    equal(box.metrics()[STATE % "openai"], 0, "a full queue is not the provider's fault")
    up.release("go")
    check(first.said["finish"] == "stop" and first.clean)
    is_miss(box.chat("has a place"))
    equal(up.count("waits in vain"), 0)


@test("overload: a full provider's question goes to the next link")
def crowded_chain():
    box, cloud, lan = two_links({"concurrent": 1, "timeouts": {"first_byte": "500ms"}})
    first = box.chat("long answer [[gate=3:go]]", stream=True, wait=False)
    first.until(b"Answer")
    check("of second" in box.chat("elsewhere").said["text"])
    cloud.release("go")
    check("of first" in first.said["text"])
    reply = box.chat("elsewhere")
    check("of first" in reply.said["text"], "the first link can be reached: its answer counts", reply.said)


if __name__ == "__main__":
    harness.main()
