# SPDX-License-Identifier: Apache-2.0
"""Offline is a mode: what is stored is served, the rest is kept and asked later, and all is fresh again soon."""

import os
import re
import time

import harness
from harness import Box, check, equal, is_hit, is_miss, plain_upstream, same_said, test, upstream

QUICK = {"retry": {"attempts": 2, "base": "10ms", "max": "20ms"}, "breaker": {"probe": "200ms"}}
PAID = dict(QUICK, key="sk-the-box-own-key-0000")
LATER = {"prefer": "respond-async"}
BASE = "/larder/v1/deferred/"


def paid_box(cache=None, config=None, provider=None):
    up = upstream()
    box = Box(up, config, cache, dict(PAID, **(provider or {})))
    return box, up, box.add_tenant("kiosk")


def metric(box, name):
    return box.metrics().get(name, 0)


def until(what, condition, seconds=10):
    end = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        check(time.monotonic() < end, "waited in vain: " + what)
        time.sleep(0.05)


def kept(box, text, key, ask=None, **options):
    """Asks while offline and returns where the answer will be."""
    reply = (ask or box.chat)(text, headers=LATER, key=key, **options) if ask is None or ask == box.chat else \
        ask(text, headers=dict(LATER), key=key, **options)
    equal(reply.status, 202, "status (%s)" % reply.all()[:300])
    where = reply.header("location", "")
    check(re.fullmatch(BASE + r"def_[0-9a-f]{32}", where), where)
    said = reply.json
    equal((said["status"], said["object"], said["location"]), ("waiting", "larder.deferred", where))
    equal(said["expires_at"] - said["created_at"], 7 * 86400, "seconds it is kept")
    equal(reply.header("preference-applied"), "respond-async")
    check(reply.has("retry-after") and reply.has("x-request-id") or reply.has("request-id"), reply.headers)
    return where


def fetched(box, where, key):
    return until("the answer at " + where, lambda: (r := box.get(where, key=key)).status != 202 and r)


# ---- the mode ------------------------------------------------------------------------------------------------------

@test("offline: only-if-cached and max-stale ask nobody")
def cached_only():
    up = upstream()
    box = Box(up, provider=QUICK, cache={"ttl": "1s"})
    live = box.chat("known")
    equal(box.chat("unknown", headers={"cache-control": "only-if-cached"}).status, 504)
    time.sleep(2.1)
    equal(box.chat("known", headers={"cache-control": "only-if-cached"}).status, 504)
    old = box.chat("known", headers={"cache-control": "only-if-cached, max-stale=600"})
    equal((old.status, old.header("x-larder-hit")), (200, "stale"))
    check("detail=stale" in old.header("cache-status"), old.header("cache-status"))
    same_said(old, live)
    equal(box.chat("known", headers={"cache-control": "only-if-cached, max-stale=0"}).status, 504)
    equal(up.count(), 1, "calls")


@test("offline: seen in larder_offline_seconds, larder_provider_state, ctl status and readyz; gone when it is back")
def seen():
    up = upstream()
    box = Box(up, provider=QUICK)
    is_miss(box.chat("before"))
    equal(metric(box, "larder_offline_seconds"), 0)
    equal(metric(box, 'larder_provider_state{provider="openai"}'), 0)
    up.vanish()
    for number in range(3):
        equal(box.chat("lost %d" % number).status, 503)
    check(metric(box, 'larder_provider_state{provider="openai"}') >= 1, "not open")
    until("seconds", lambda: metric(box, "larder_offline_seconds") > 0.5)
    for said in (box.ctl("status"), box.admin_get("/readyz").body.decode()):
        check(re.search(r"provider openai +cannot be reached since .*connection refused.*breaker (half-)?open", said), said)
    equal(box.admin_get("/readyz").status, 200, "a box that is offline serves what it has: it is ready")
    up.start()
    until("closed", lambda: metric(box, 'larder_provider_state{provider="openai"}') == 0)
    equal(metric(box, "larder_offline_seconds"), 0)
    check("fine, as far as known" in box.ctl("status"), box.ctl("status"))
    equal(up.count("lost"), 0, "calls: nothing is asked to see that the line is back")
    is_miss(box.chat("after"))


@test("offline: nobody waits for a dead line once the breaker is open, and the first fresh answer comes at once")
def nobody_waits():
    up = upstream()
    box = Box(up, provider=dict(QUICK, breaker={"probe": "300ms"}))
    is_miss(box.chat("before"))
    up.vanish()
    for number in range(3):
        equal(box.chat("opening %d" % number).status, 503)
    for number in range(20):
        reply = box.chat("open %d" % number)
        equal(reply.status, 503)
        check("cannot be reached since" in reply.json["error"]["message"], reply)
        check(int(reply.header("x-larder-overhead-us")) < 1000000, reply.headers)
    up.start()
    until("fresh", lambda: box.chat("fresh").status == 200, 5)


# ---- refresh -------------------------------------------------------------------------------------------------------

@test("refresh: what was served stale is asked anew when the line is back, with the box's key, once", limit=40)
def refresh():
    box, up, key = paid_box(cache={"ttl": "1s"})
    box.chat("paid", key=key)
    box.chat("own", key="sk-client-1")
    box.message("claude", key=key)
    time.sleep(2.1)
    up.vanish()
    for _ in range(2):
        for ask, text, who in ((box.chat, "paid", key), (box.chat, "own", "sk-client-1"), (box.message, "claude", key)):
            equal(ask(text, key=who).header("x-larder-hit"), "stale", text)
    up.start()
    up.wait_calls(2, "paid")
    up.wait_calls(2, "claude")
    until("the metric", lambda: metric(box, 'larder_refreshes_total{result="stored"}') == 2)
    call = up.select(question="paid")[1]
    equal(call.key(), "sk-the-box-own-key-0000", "credential of the refresh")
    time.sleep(0.7)
    equal([up.count(name) for name in ("paid", "own", "claude")], [2, 1, 2], "calls: a client's own money is not spent")
    check("#%d " % call.serial in box.chat("paid", key=key, headers={"cache-control": "only-if-cached, max-stale=60"})
          .said["text"], "the fresh answer is served")


@test("refresh: stays within budgets.refresh_per_hour; none at 0", limit=40)
def refresh_budget():
    for budget, wanted in ((2, 2), (0, 0)):
        box, up, key = paid_box(cache={"ttl": "1s"}, config={"budgets": {"refresh_per_hour": budget}})
        for number in range(4):
            box.chat("aging %d" % number, key=key)
        time.sleep(2.1)
        up.vanish()
        for number in range(4):
            equal(box.chat("aging %d" % number, key=key).header("x-larder-hit"), "stale")
        up.start()
        if wanted:
            up.wait_calls(4 + wanted)
        time.sleep(1.2)
        equal(up.count(), 4 + wanted, "calls with a budget of %d" % budget)


# ---- ask later -----------------------------------------------------------------------------------------------------

@test("later: kept while offline, asked when the line is back, fetched in dialect and form", limit=40)
def later():
    box, up, key = paid_box()
    up.vanish()
    asked = [(box.chat, "first", False), (box.chat, "second", True), (box.message, "third", False),
             (box.message, "fourth", True)]
    where = [kept(box, text, key, ask, stream=stream) for ask, text, stream in asked]
    for place in where:
        reply = box.get(place, key=key)
        equal((reply.status, reply.json["status"]), (202, "waiting"))
        check(reply.has("retry-after"))
    equal(metric(box, 'larder_deferred{state="waiting"}'), 4)
    listed = box.ctl("deferred", "list").strip().split("\n")
    equal(len(listed), 4)
    check(all(w.rpartition("/")[2] in " ".join(listed) for w in where) and "waiting" in listed[0] and "tenant=kiosk (active)" in listed[0],
          listed)
    up.start()
    for place, (ask, text, stream) in zip(where, asked):
        reply = fetched(box, place, key)
        equal((reply.status, reply.header("cache-status")), (200, "larder; hit; detail=deferred"), text)
        equal(reply.is_stream, stream)
        check(text in reply.said["text"] and reply.said["finish"] in ("stop", "end_turn"), reply)
        live = ask(text, stream=stream, key=key)
        is_hit(live)
        same_said(live, reply)
        again = box.get(place, key=key)
        same_said(again, reply)
    equal([c.question for c in up.calls], [text for _, text, _ in asked], "oldest first, each once")
    check(all(c.key() == "sk-the-box-own-key-0000" for c in up.calls), "credential")
    check(not any("prefer" in dict(c.headers) for c in up.calls), "Prefer is ours")


@test("later: survives kill -9, before and after the answer", limit=40)
def later_kill():
    box, up, key = paid_box()
    up.vanish()
    where = kept(box, "durable", key)
    box.kill9()
    folder = os.path.join(box.data, "deferred")
    (name,) = os.listdir(folder)
    equal(os.stat(os.path.join(folder, name)).st_mode & 0o777, 0o600)
    equal(os.stat(folder).st_mode & 0o777, 0o700)
    with open(os.path.join(folder, name), "rb") as file:
        text = file.read()
    check(b"durable" in text and b"lk-" not in text and b"sk-" not in text, "a credential is on disk", text)
    box.start()
    equal(box.get(where, key=key).status, 202)
    up.start()
    reply = fetched(box, where, key)
    check("durable" in reply.said["text"], reply)
    box.kill9()
    with open(os.path.join(folder, name), "wb") as file:  # as if killed between the answer and the question's end
        file.write(text)
    box.start()
    same_said(box.get(where, key=key), reply)
    time.sleep(0.6)
    equal(up.count("durable"), 1, "calls")


@test("later: only the tenant that asked; DELETE takes it back")
def later_whose():
    box, up, key = paid_box()
    other = box.add_tenant("other")
    up.vanish()
    where, gone = kept(box, "mine", key), kept(box, "taken back", key)
    for who in (other, "sk-stranger-000000", None):
        for method in ("GET", "DELETE"):
            equal(box.ask(where, method=method, key=who).status, 404, "%s by %s" % (method, who))
    for path in (BASE, BASE + "def_", BASE + "def_" + "0" * 32, where + "0", where[:-1] + "g", where + "/x"):
        equal(box.get(path, key=key).status, 404, path)
    equal(box.get(where, key="lk-" + "0" * 40).status, 401)
    reply = box.ask(gone, method="DELETE", key=key)
    equal((reply.status, reply.json["deleted"]), (200, True))
    equal(box.get(gone, key=key).status, 404)
    equal(len(os.listdir(os.path.join(box.data, "deferred"))), 1, "files")
    equal(box.ask(where, method="PUT", key=key).status, 405)
    up.start()
    equal(fetched(box, where, key).status, 200)
    equal(box.get(where, key=other).status, 404)
    equal(up.count("taken back"), 0)
    equal(box.ask(where, method="DELETE", key=key).status, 200)
    equal(os.listdir(os.path.join(box.data, "deferred")), [], "files")


@test("later: who does not ask for it, has no virtual key, or may not be stored gets the 503")
def later_not():
    box, up, key = paid_box(provider={"passthrough": True})
    up.vanish()
    for headers, who in (({}, key), (LATER, "sk-client-000000"), (dict(LATER, **{"x-larder-cache": "no-store"}), key)):
        reply = box.chat("not kept", headers=headers, key=who)
        equal((reply.status, reply.header("location")), (503, None), (headers, who))
    reply = box.chat("not kept", headers=dict(LATER, **{"cache-control": "only-if-cached"}), key=key)
    equal(reply.status, 504)
    equal(box.ctl("deferred", "list").strip(), "no question is kept")
    up.start()
    until("online", lambda: box.chat("online", headers=LATER, key=key).status == 200)


@test("later: a 202 is its own client's: the same question at the same time without the wish gets the 503")
def later_beside():
    box, up, key = paid_box(provider={"retry": {"attempts": 1}, "timeouts": {"first_byte": "700ms"}})
    peers = [box.peer() for _ in range(4)]
    for number, peer in enumerate(peers):
        peer.send(box.request_bytes("/v1/chat/completions", harness.chat_body("beside [[hang]]"), key=key,
                                    headers=LATER if number % 2 else {}))
        up.wait_calls((1, 2, 2, 3)[number], "beside")
    equal([peer.reply().status for peer in peers], [503, 202, 503, 202])
    check(box.ctl("deferred", "list").count("def_") <= 2, box.ctl("deferred", "list"))


@test("later: the same question is kept once; deferred_max bounds all, half of it one tenant")
def later_bounds():
    box, up, key = paid_box(config={"budgets": {"deferred_max": 4}})
    other = box.add_tenant("other")
    up.vanish()
    equal(len({kept(box, "twice", key) for _ in range(3)}), 1, "places")
    where = kept(box, "second", key)
    equal(box.chat("third", headers=LATER, key=key).status, 503, "the tenant's share is taken")
    kept(box, "theirs", other)
    kept(box, "twice", other)
    equal(box.chat("fifth", headers=LATER, key=other).status, 503)
    up.start()
    until("answers", lambda: box.ctl("deferred", "list").count("answered") == 4)
    equal(sorted(c.question for c in up.calls), ["second", "theirs", "twice", "twice"])
    up.vanish()
    equal(box.chat("full", headers=LATER, key=key).status, 503, "nothing was fetched: nothing makes room")
    equal(box.get(where, key=key).status, 200)
    kept(box, "has room", key)
    equal(box.get(where, key=key).status, 404, "what was fetched made room")
    equal(box.chat("full again", headers=LATER, key=key).status, 503)


@test("later: a disk that takes nothing gives no promise; lost and damaged files are said, and harm nothing else")
def later_disk():
    box, up, key = paid_box()
    folder = os.path.join(box.data, "deferred")
    up.vanish()
    lost, damaged, whole = [kept(box, text, key) for text in ("lost", "damaged", "whole")]

    def file_of(where):
        return os.path.join(folder, next(n for n in os.listdir(folder) if where.rpartition("_")[2] in n))

    os.remove(file_of(lost))
    with open(file_of(damaged), "wb") as file:
        file.write(b"POST /v1/chat/completions HTTP/1.1\r\nHost: larder\r\nContent-Length: 99\r\n\r\nshort")
    os.rename(folder, folder + ".away")
    equal(box.chat("no promise", headers=LATER, key=key).status, 503)
    os.rename(folder + ".away", folder)
    up.start()
    equal(fetched(box, whole, key).status, 200)
    for where in (lost, damaged):
        equal(fetched(box, where, key).status, 404)
    with open(file_of(whole), "r+b") as file:
        file.truncate(100)
    equal(box.get(whole, key=key).status, 500)
    equal(up.count(), 1, "calls")
    equal(box.ask(whole, method="DELETE", key=key).status, 200)


@test("later: a provider's refusal is the answer; what another time may change is asked again", limit=40)
def later_refused():
    box, up, key = paid_box(provider={"retry": {"attempts": 1}})
    up.vanish()
    bad, slow, cut, long = [kept(box, text, key) for text in (
        "bad [[status=400]]", "slow [[status=503]] [[fail=1]]", "cut [[short]] [[fail=1]]", "long [[length]]")]
    up.start()
    reply = fetched(box, bad, key)
    equal((reply.status, reply.header("x-larder-hit")), (400, "none"))
    check(reply.json["error"]["message"], reply)
    equal(fetched(box, slow, key).status, 200)
    equal(up.count("slow"), 2, "calls")
    equal(fetched(box, long, key).said["finish"], "length")
    is_miss(box.chat("long [[length]]", key=key))
    equal(box.get(cut, key=key).status, 202, "a cut answer is none")
    box.ask(cut, method="DELETE", key=key)


@test("later: revoked keys' questions are not asked; old ones expire", limit=40)
def later_ends():
    box, up, key = paid_box()
    other = box.add_tenant("other")
    up.vanish()
    kept(box, "revoked", key)
    old = kept(box, "old", other)
    box.ctl("tenant", "revoke", "kiosk")
    equal(box.terminate(), 0)
    folder = os.path.join(box.data, "deferred")
    for name in os.listdir(folder):
        if old.rpartition("_")[2] in name:
            stem, _, kind = name.rpartition(".")
            past = "%016x" % (int(stem[-16:], 16) - (7 * 86400 + 5) * 1000000)
            os.rename(os.path.join(folder, name), os.path.join(folder, stem[:-16] + past + "." + kind))
    with open(os.path.join(folder, "half.question.new"), "w", encoding="ascii") as file:
        file.write("cut short by a power cut")
    up.start()
    box.start()
    until("removed", lambda: os.listdir(folder) == [])
    equal(box.get(old, key=other).status, 404)
    equal(up.count(), 0, "calls")


@test("later: a keyless LAN server counts, and a stale answer comes before the 202")
def later_lan():
    lan = plain_upstream()
    lan.needs_key = False
    box = Box(lan, provider=dict(QUICK, passthrough=False), cache={"ttl": "1s"})
    key = box.add_tenant("kiosk")
    box.chat("stale one", key=key)
    time.sleep(2.1)
    lan.vanish()
    equal(box.chat("stale one", headers=LATER, key=key).header("x-larder-hit"), "stale")
    where = kept(box, "new one", key)
    lan.start()
    check("new one" in fetched(box, where, key).said["text"])


if __name__ == "__main__":
    harness.main()
