# SPDX-License-Identifier: Apache-2.0
"""One client's load, money and data never touch another's: virtual keys, limits, prices, and attacks on all of them."""

import json
import os
import re
import threading
import time

import harness
from harness import (Box, Skip, check, chat_body, equal, is_hit, is_miss, message_body, plain_upstream, test,
                     upstream)
from upstream_more import more_upstream

PATH = "/v1/chat/completions"
OWN = "sk-the-box-own-key-0000"
QUICK = {"retry": {"attempts": 1, "base": "10ms", "max": "20ms"}}
PRICES = "gpt-test* 2026-01-01 - 10 100 - - - -\nclaude-test* 2026-01-01 - 20 200 - - - -\n"
MODEL = os.path.abspath(os.environ.get("LARDER_MODEL",
                                       os.path.join(harness.ROOT, "models", "all-MiniLM-L6-v2.lmodel")))


def box_for(up, tenants=None, prices=PRICES, config=None, **options):
    """A box that pays with its own key, with a table of prices."""
    options.setdefault("provider", dict(QUICK, key=OWN))
    box = Box(up, config=config, autostart=False, **options)
    if prices is not None:
        path = os.path.join(box.folder, "prices.txt")
        with open(path, "w", encoding="utf-8") as out:
            out.write(prices)
        box.config["prices"] = "file:" + path
    box.config["tenants"] = tenants or []
    box.write_config()
    box.start()
    return box


def cost_of(reply, micro_in=10, micro_out=100):
    """Micro-USD by PRICES."""
    usage = reply.json["usage"]
    return usage["prompt_tokens"] * micro_in + usage["completion_tokens"] * micro_out


def money(text, word):
    """Micro-USD behind a word of `tenant show` or `tenant list`."""
    found = re.search(word + r" +([0-9]+)\.([0-9]{6}) USD", text)
    check(found, "no", word, "in", text)
    return int(found.group(1)) * 1000000 + int(found.group(2))


def limited(reply, code, detail="limit"):
    equal(reply.status, 429, "status (%s)" % reply.all()[:300])
    check(int(reply.header("retry-after")) >= 1, reply.headers)
    check("detail=" + detail in reply.header("cache-status"), reply.header("cache-status"))
    error = reply.json["error"]
    equal(error["code"], code, "code")
    return error


# ---- keys ----------------------------------------------------------------------------------------------------------

@test("tenants: a key expires, in the short cut too, and comes back by rotating", limit=40)
def expires():
    up = upstream()
    box = box_for(up)
    key = box.key_in(box.ctl("tenant", "add", "guest", "--expires", "3s"))
    is_miss(box.chat("short stay", key=key))
    is_hit(box.chat("short stay", key=key))
    is_hit(box.chat("short stay", key=key))
    check("expires" in box.ctl("tenant", "list"), "the list says nothing of it")
    time.sleep(3.2)
    for _ in range(2):
        reply = box.chat("short stay", key=key)
        equal(reply.status, 401, "status of an expired key")
        check("Incorrect API key provided" in reply.json["error"]["message"], reply.json)
    check("expired" in box.ctl("tenant", "list"), box.ctl("tenant", "list"))
    new = box.key_in(box.ctl("tenant", "rotate", "guest"))
    is_hit(box.chat("short stay", key=new))
    equal(box.chat("short stay", key=key).status, 401)
    equal(up.count(), 1, "calls")
    box.ctl("tenant", "add", "x", "--expires", "soon", code=2)


@test("tenants: rotating with a grace time takes both keys until it is over", limit=40)
def grace():
    up = upstream()
    box = box_for(up)
    old = box.add_tenant("kiosk")
    is_miss(box.chat("kept", key=old))
    new = box.key_in(box.ctl("tenant", "rotate", "kiosk", "--grace", "3s"))
    is_hit(box.chat("kept", key=old))
    is_hit(box.chat("kept", key=new))
    time.sleep(3.2)
    equal(box.chat("kept", key=old).status, 401, "after the grace time, by the short cut")
    is_hit(box.chat("kept", key=new))


@test("tenants: erasing removes key, answers and figures; the name starts anew", limit=40)
def erased():
    up = upstream()
    box = box_for(up)
    key, other = box.add_tenant("kiosk"), box.add_tenant("other")
    is_miss(box.chat("mine", key=key))
    is_miss(box.chat("mine", key=other))
    check("1 stored answers" in box.ctl("tenant", "erase", "kiosk"), "one answer is removed")
    equal(box.chat("mine", key=key).status, 401)
    is_hit(box.chat("mine", key=other))
    check("kiosk" not in box.ctl("tenant", "list"), "it is still listed")
    again = box.add_tenant("kiosk")
    is_miss(box.chat("mine", key=again))
    equal(money(box.ctl("tenant", "show", "kiosk"), "saved"), 0, "figures of the one before")


@test("tenants: only a keyed hash is kept, and no key stands in logs, lists or metrics", limit=40)
def hash_only():
    up = upstream()
    box = box_for(up)
    key = box.add_tenant("kiosk")
    box.chat("hello", key=key)
    new = box.key_in(box.ctl("tenant", "rotate", "kiosk", "--grace", "1h"))
    box.chat("hello", key=new)
    box.wait_committed()
    equal(os.stat(os.path.join(box.data, "keys", "tenants")).st_mode & 0o777, 0o600, "mode of the file")
    seen = box.log() + box.ctl("tenant", "list") + box.ctl("tenant", "show", "kiosk") + box.ctl("log")
    seen += box.ctl("config", "show") + box.ctl("requests") + box.admin_get("/metrics").body.decode()
    kept = seen.encode()
    for folder, _, names in os.walk(box.data):
        for name in names:
            with open(os.path.join(folder, name), "rb") as file:
                kept += file.read()
    for secret in (key, new):
        check(secret.encode() not in kept and secret[3:].encode() not in kept, "a key was kept or shown")
        check(bytes.fromhex(secret[3:]) not in kept, "a key was kept in bytes")


@test("tenants: guessing keys is slowed down by address, and gives nothing away", limit=60)
def guessing():
    up = upstream()
    box = box_for(up)
    known, fresh = box.add_tenant("known"), box.add_tenant("fresh")
    is_miss(box.chat("hello", key=known, source="127.0.0.5"))
    guess = "lk-%040x"
    for n in range(10):
        equal(box.chat("hello", key=guess % n, source="127.0.0.5").status, 401, "wrong key %d" % n)
    waits = box.chat("hello", key=guess % 99, source="127.0.0.5")
    equal(waits.status, 429, "after ten wrong keys")
    check(1 <= int(waits.header("retry-after")) <= 60, waits.headers)
    right = box.chat("hello", key=fresh, source="127.0.0.5")
    equal((right.status, right.json["error"]["code"]), (429, waits.json["error"]["code"]),
          "a right key that never came from there looks like a wrong one")
    is_hit(box.chat("hello", key=known, source="127.0.0.5"))
    is_miss(box.chat("hello", key=fresh, source="127.0.0.6"))
    is_miss(box.chat("hello", key="sk-somebody-0123456789", source="127.0.0.5"))
    said = box.message("hello", key=guess % 98)
    equal(said.status, 401, "another address: 127.0.0.1")
    equal(said.json["type"], "error")
    reply = box.ask("/v1/messages", message_body("hello"), key=guess % 97, style="x-api-key",
                    source="127.0.0.5", headers={"anthropic-version": "2023-06-01"})
    equal((reply.status, reply.json["error"]["type"]), (429, "rate_limit_error"))
    check(all(not call.key().startswith("lk-") for call in up.calls), "a virtual key left the box")
    metrics = box.metrics()
    equal(metrics['larder_wrong_keys_total{outcome="refused"}'], 11)
    equal(metrics['larder_wrong_keys_total{outcome="waits"}'], 3)


# ---- limits --------------------------------------------------------------------------------------------------------

@test("tenants: requests per minute, in both dialects: fields, 429, Retry-After; hits go on and say so", limit=60)
def requests_per_minute():
    up = upstream()
    box = box_for(up, [{"name": "kiosk", "limits": {"requests_per_minute": 2, "tokens_per_minute": 100000}}])
    key, free = box.add_tenant("kiosk"), box.add_tenant("free")
    first = box.chat("one", key=key)
    is_miss(first)
    equal((first.header("x-ratelimit-limit-requests"), first.header("x-ratelimit-remaining-requests")), ("2", "1"))
    check(re.fullmatch(r"(\d+m)?(\d+(\.\d{3})?s|\d+ms)", first.header("x-ratelimit-reset-requests")), first.headers)
    equal(first.header("x-ratelimit-limit-tokens"), "100000")
    check(90000 < int(first.header("x-ratelimit-remaining-tokens")) < 100000, first.headers)
    plain = box.chat("one", key=key)
    is_hit(plain)
    second = box.message("two", key=key)
    is_miss(second)
    equal(second.header("anthropic-ratelimit-requests-remaining"), "0")
    check(re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", second.header("anthropic-ratelimit-requests-reset")),
          second.headers)
    check(not second.has("x-ratelimit-limit-requests"), "the other dialect's fields")
    error = limited(box.chat("three", key=key), "rate_limit_exceeded")
    equal(error["type"], "rate_limit_error")
    check("kiosk" in error["message"] and "requests_per_minute" in error["message"], error)
    refused = box.message("three", key=key)
    equal((refused.status, refused.json["error"]["type"]), (429, "rate_limit_error"))
    equal(refused.header("anthropic-ratelimit-requests-remaining"), "0")
    check(refused.header("x-should-retry") is None, "a client may try again")
    for stream in (False, True):
        hit = box.chat("one", key=key, stream=stream)
        is_hit(hit)
        check(re.fullmatch(r"larder; hit; ttl=\d+; detail=limit", hit.header("cache-status")), hit.headers)
        equal(hit.header("x-ratelimit-remaining-requests"), "0")
    is_miss(box.chat("three", key=free))
    check(not box.chat("four", key=free).has("x-ratelimit-limit-requests"), "nothing is limited there")
    equal(up.count(), 4, "calls")


@test("tenants: money per day: 429 insufficient_quota, stored answers go on, also after a restart", limit=60)
def money_per_day():
    up = upstream()
    box = box_for(up, [{"name": "kiosk", "limits": {"usd_per_day": 0.02}}])
    key = box.add_tenant("kiosk")
    spent, asked = 0, 0
    while asked < 60:
        reply = box.chat("question %d" % asked, key=key, max_tokens=50)
        if reply.status == 429:
            break
        spent += cost_of(reply)
        asked += 1
    error = limited(reply, "insufficient_quota")
    equal((error["type"], reply.header("x-should-retry")), ("insufficient_quota", "false"))
    check(0 < spent <= 20000 + 10000, "spent", spent)
    equal(up.count(), asked, "calls")
    for _ in range(2):
        hit = box.chat("question 0", key=key, max_tokens=50)
        is_hit(hit)
        check("detail=limit" in hit.header("cache-status"), hit.headers)
    equal(money(box.ctl("tenant", "show", "kiosk"), "spent"), spent, "as tenant show has it")
    box.restart()
    limited(box.chat("after the restart", key=key, max_tokens=50), "insufficient_quota")
    equal(box.chat("after the restart", key=key, max_tokens=50, stream=True).status, 429, "a stream")
    hit = box.chat("question 1", key=key, max_tokens=50)
    is_hit(hit)
    equal(money(box.ctl("tenant", "show", "kiosk"), "spent"), spent, "after the restart")


@test("tenants: at a limit an expired answer is better than none", limit=40)
def stale_at_limit():
    up = upstream()
    box = box_for(up, [{"name": "kiosk", "limits": {"requests_per_day": 1}}], cache={"ttl": "1s"})
    key = box.add_tenant("kiosk")
    is_miss(first := box.chat("aging", key=key))
    time.sleep(2.1)
    reply = box.chat("aging", key=key)
    is_hit(reply, "stale")
    equal(reply.said["text"], first.said["text"])
    check("detail=stale" in reply.header("cache-status"), reply.headers)
    limited(box.chat("another", key=key), "rate_limit_exceeded")
    equal(up.count(), 1, "calls")


@test("tenants: limits survive kill -9 but for the last ten seconds", limit=60)
def survives_kill():
    up = upstream()
    box = box_for(up, [{"name": "kiosk", "limits": {"requests_per_day": 2}}])
    key = box.add_tenant("kiosk")
    is_miss(box.chat("one", key=key))
    time.sleep(11)
    is_miss(box.chat("two", key=key))
    box.kill9()
    box.start()
    is_miss(box.chat("three", key=key))             # the second was forgotten, the first was not
    limited(box.chat("four", key=key), "rate_limit_exceeded")


@test("tenants: a line that is down costs nothing; a question kept for later counts when it is asked", limit=60)
def line_down():
    up = upstream()
    box = box_for(up, [{"name": "kiosk", "limits": {"requests_per_day": 2}}])
    key = box.add_tenant("kiosk")
    is_miss(box.chat("one", key=key))
    up.vanish()
    for n in range(4):
        equal(box.chat("offline %d" % n, key=key).status, 503, "offline, and not at a limit")
    kept = box.chat("later", key=key, headers={"prefer": "respond-async"})
    equal(kept.status, 202, "kept for later")
    where = kept.json["location"] if "location" in kept.json else kept.header("location")
    up.start()
    end = time.monotonic() + 20
    while box.get(where, key=key).header("cache-status") != "larder; hit; detail=deferred":
        check(time.monotonic() < end, "it was never answered")
        time.sleep(0.2)
    limited(box.chat("two", key=key), "rate_limit_exceeded")
    equal(up.count(), 2, "calls")


@test("tenants: a group's limits count for its members together, a model's for that model", limit=60)
def groups_and_models():
    up = upstream()
    box = box_for(up, [{"name": "floor", "limits": {"requests_per_day": 4}},
                       {"name": "ann", "group": "floor",
                        "models": [{"model": "gpt-big*", "limits": {"requests_per_day": 1}}]},
                       {"name": "bob", "group": "floor"}])
    ann, bob = box.add_tenant("ann"), box.add_tenant("bob")
    is_miss(box.chat("a", key=ann, model="gpt-big-1"))
    error = limited(box.chat("b", key=ann, model="gpt-big-2"), "rate_limit_exceeded")
    check("ann" in error["message"] and "gpt-big*" in error["message"], error)
    is_miss(box.chat("b", key=ann))
    is_miss(box.chat("c", key=bob))
    is_miss(box.chat("d", key=bob, model="gpt-big-1"))
    for key in (ann, bob):
        error = limited(box.chat("e", key=key), "rate_limit_exceeded")
        check("floor" in error["message"], error)
    shown = box.ctl("tenant", "show", "ann")
    check("floor: 4 of 4 requests per day used" in shown, shown)
    check("ann gpt-big*: 1 of 1 requests per day used" in shown, shown)
    box.reload({"tenants": [{"name": "floor", "limits": {"requests_per_day": 5}}, {"name": "bob", "group": "floor"}]})
    is_miss(box.chat("e", key=bob))
    limited(box.chat("f", key=bob), "rate_limit_exceeded")


@test("tenants: calls at once; a follower is not one of them and pays nothing", limit=60)
def concurrent():
    up = upstream()
    box = box_for(up, [{"name": "kiosk", "limits": {"concurrent": 1, "requests_per_day": 2}}])
    key = box.add_tenant("kiosk")
    mark = "held [[hold=go]]"
    replies = []
    askers = [threading.Thread(target=lambda: replies.append(box.chat(mark, key=key))) for _ in range(4)]
    for asker in askers:
        asker.start()
    up.wait_calls(1, "held")
    time.sleep(0.3)
    error = limited(box.chat("another", key=key), "rate_limit_exceeded")
    check("limits.concurrent" in error["message"], error)
    up.release("go")
    for asker in askers:
        asker.join(10)
    equal(sorted(r.header("x-larder-hit") for r in replies), ["coalesced"] * 3 + ["none"], "how they were answered")
    equal(up.count(), 1, "calls")
    is_miss(box.chat("another", key=key))
    limited(box.chat("third", key=key), "rate_limit_exceeded")
    shown = box.ctl("tenant", "show", "kiosk")
    cost = cost_of([r for r in replies if r.header("x-larder-hit") == "none"][0])
    equal(money(shown, "saved"), 3 * cost, "three followers save three calls")


@test("tenants: tokens are reserved before the call and corrected after it", limit=40)
def tokens():
    up = upstream()
    box = box_for(up, [{"name": "kiosk", "limits": {"tokens_per_day": 3000}}])
    key = box.add_tenant("kiosk")
    reply = box.chat("one", key=key)                # a guess of 1024 for the answer, far more than it has
    used = reply.json["usage"]["total_tokens"]
    check("%d of 3000 tokens per day used" % used in box.ctl("tenant", "show", "kiosk"), used,
          box.ctl("tenant", "show", "kiosk"))
    cut = box.chat("two [[cut=3]]", key=key, stream=True)
    try:
        cut.all()
    except harness.Cut:
        pass
    time.sleep(0.2)
    shown = box.ctl("tenant", "show", "kiosk")
    after = int(re.search(r"(\d+) of 3000 tokens", shown).group(1))
    check(used + 1024 <= after <= used + 1024 + 100, "a cut answer is charged as guessed", after)
    equal(box.metrics()['larder_limited_total{limit="tokens"}'], 0)
    equal(box.chat("three [[status=500]]", key=key).status, 500)
    shown = box.ctl("tenant", "show", "kiosk")
    equal(int(re.search(r"(\d+) of 3000 tokens", shown).group(1)), after, "an error costs no tokens")
    limited(box.chat("four", key=key, max_tokens=2000), "rate_limit_exceeded")
    equal(box.metrics()['larder_limited_total{limit="tokens"}'], 1)
    is_miss(box.chat("four", key=key, max_tokens=100))


@test("tenants: leaving before the last event, or before the first, does not make an answer free", limit=60)
def leaving():
    up = upstream()
    box = box_for(up, [{"name": "kiosk", "limits": {"tokens_per_day": 1000000}}], config={
        "budgets": {"finish_for_store": "0s"}})
    key = box.add_tenant("kiosk")

    def used():
        return int(re.search(r"(\d+) of 1000000 tokens", box.ctl("tenant", "show", "kiosk")).group(1))

    def landed():
        end = time.monotonic() + 5
        while box.metrics()["larder_flights"] > 0:
            check(time.monotonic() < end, "the flight never ended")
            time.sleep(0.05)

    long = box.chat("long [[tokens=3000]] [[gate=2900:never]]", key=key, stream=True, wait=False)
    came = 0
    for piece in long.pieces():
        came += piece.count(b'"content"')
        if came >= 2700:
            break
    long.peer.close()
    call = up.wait_calls(1, "long")[0]
    equal(up.wait_outcome(call), "gone", "the call upstream")
    landed()
    first = used()
    check(first > 2700, "%d tokens came and %d were charged" % (came, first))
    silent = box.peer()
    silent.send(box.request_bytes(PATH, chat_body("silent [[hang]]"), key=key))
    call = up.wait_calls(1, "silent")[0]
    silent.close()
    equal(up.wait_outcome(call), "gone", "the call upstream")
    landed()
    check(used() >= first + 1024, "a call that was left is charged as guessed", first, used())


def embed(box, given, key):
    return box.ask("/v1/embeddings", {"model": "text-embedding-3-small", "input": given}, key=key)


@test("tenants: embeddings count and cost too; stored inputs are served at the limit, and are nobody else's", limit=40)
def embeddings():
    up = more_upstream()
    box = box_for(up, [{"name": "kiosk", "limits": {"requests_per_day": 1, "usd_per_day": 1}}],
                  prices="text-embedding-3* 2026-01-01 - 5 0 - - - -\n")
    key, other = box.add_tenant("kiosk"), box.add_tenant("other")
    first = embed(box, "counted", key)
    equal((first.status, first.header("x-larder-hit")), (200, "none"))
    usage = first.json["usage"]
    equal(money(box.ctl("tenant", "show", "kiosk"), "spent"), usage["prompt_tokens"] * 5)
    refused = embed(box, "another", key)
    equal((refused.status, refused.json["error"]["code"]), (429, "rate_limit_exceeded"))
    check(int(refused.header("retry-after")) > 0, refused.headers)
    equal(embed(box, "counted", key).header("x-larder-hit"), "exact")
    equal(embed(box, "counted", other).header("x-larder-hit"), "none", "another tenant's input")
    equal(up.count(), 2, "calls")


@test("tenants: a body too large to be read is refused where tokens or money are limited", limit=40)
def unread():
    up = upstream()
    box = box_for(up, [{"name": "paid", "limits": {"usd_per_day": 5}},
                       {"name": "counted", "limits": {"requests_per_day": 1}}])
    paid, counted = box.add_tenant("paid"), box.add_tenant("counted")
    refused = box.ask("/v1/audio/speech", {"model": "tts-1", "input": "hello"}, key=paid)
    equal((refused.status, refused.json["error"]["code"]), (403, "not_counted"), "what a path costs is not known")
    equal(box.ask("/v1/moderations", {"input": "hello"}, key=paid).status, 200, "costs nothing")
    up.reset()
    large = "x" * (1100 << 10)
    equal(box.chat(large, key=paid).status, 413, "money is limited")
    equal(box.chat(large, key=counted).status, 200, "requests are limited")
    limited(box.chat(large, key=counted), "rate_limit_exceeded")
    equal(up.count(), 1, "calls")


@test("tenants: only the providers of its list", limit=40)
def allow_list():
    up, lan = upstream(), plain_upstream()
    lan.needs_key = False
    providers = {"name": "lan", "dialect": "openai", "base_url": lan.url("/v1")}
    box = Box(up, autostart=False, provider=dict(QUICK, key=OWN))
    box.config["providers"].append(providers)
    box.config["routes"][0]["providers"] = ["openai", "lan"]
    box.config["tenants"] = [{"name": "local", "providers": ["lan"]}]
    box.write_config()
    box.start()
    key, free = box.add_tenant("local"), box.add_tenant("free")
    reply = box.chat("who answers", key=key)
    is_miss(reply)
    check("of lan" in reply.said["text"], reply.said)
    check("of up" in box.chat("who answers", key=free).said["text"], "no list, no limits")
    refused = box.message("who answers", key=key)
    equal((refused.status, refused.json["error"]["type"]), (403, "permission_error"))
    equal(up.count(path="/v1/messages"), 0, "calls")
    listed = [m["id"] for m in box.get("/v1/models", key=key).json["data"]]
    equal(up.count(path="/v1/models"), 0, "whose models are asked for")
    check("larder" in listed, listed)


# ---- prices --------------------------------------------------------------------------------------------------------

@test("prices: what calls cost and hits save, in the metrics and by tenant", limit=60)
def prices():
    up = upstream()
    box = box_for(up)
    key = box.add_tenant("kiosk")
    first = box.chat("priced", key=key)
    cost = cost_of(first)
    for stream in (False, True, False):
        is_hit(box.chat("priced", key=key, stream=stream))
    claude = box.message("priced", key=key)
    usage = claude.json["usage"]
    claude_cost = usage["input_tokens"] * 20 + usage["output_tokens"] * 200
    is_miss(box.chat("streamed", key=key, stream=True))
    mine = box.chat("priced")                       # the client's own money
    metrics = box.metrics()
    by_box = metrics['larder_cost_usd_total{paid="box"}'] * 1e6
    check(by_box > cost + claude_cost, "the stream has a cost too", by_box)
    equal(round(metrics['larder_cost_usd_total{paid="client"}'] * 1e6), cost_of(mine), "paid by the client")
    equal(round(metrics['larder_saved_usd_total{kind="exact"}'] * 1e6), 3 * cost, "saved")
    shown = box.ctl("tenant", "show", "kiosk")
    equal(money(shown, "spent"), round(by_box), "spent")
    equal(money(shown, "today"), round(by_box), "today")
    equal(money(shown, "saved"), 3 * cost, "saved")
    check("upstream   3 calls" in shown and "hits       3," in shown, shown)
    listed = box.ctl("tenant", "list")
    check(re.search(r"kiosk +active +spent .* last use (?!never)", listed), listed)
    box.restart()                                   # entries and figures keep it
    is_hit(box.chat("priced", key=key))
    equal(money(box.ctl("tenant", "show", "kiosk"), "saved"), 4 * cost, "saved, over a restart")


@test("prices: an unknown model costs nothing, is counted, and is served; a wrong file is refused by line", limit=40)
def unknown_model():
    up = upstream()
    box = box_for(up, [{"name": "kiosk", "limits": {"usd_per_day": 1}}])
    key = box.add_tenant("kiosk")
    is_miss(box.chat("hello", key=key, model="qwen-next"))
    is_hit(box.chat("hello", key=key, model="qwen-next"))
    metrics = box.metrics()
    equal(metrics["larder_unpriced_calls_total"], 1)
    equal(metrics['larder_cost_usd_total{paid="box"}'], 0)
    check("1 of models without a price" in box.ctl("tenant", "show", "kiosk"), box.ctl("tenant", "show", "kiosk"))
    path = os.path.join(box.folder, "wrong.txt")
    with open(path, "w", encoding="utf-8") as out:
        out.write("# fine\nqwen* 2026-01-01 - cheap 1 - - - -\n")
    before = len(box.log())
    box.write_config({"prices": "file:" + path})
    box.hangup()
    box.wait_log("not reloaded", after=before)
    check("line 2" in box.log()[before:], box.log()[before:])
    is_hit(box.chat("hello", key=key, model="qwen-next"))
    with open(path, "w", encoding="utf-8") as out:
        out.write("qwen* 2026-01-01 - 1 2 - - - -\n")
    box.reload({"prices": "file:" + path})
    reply = box.chat("another", key=key, model="qwen-next")
    equal(money(box.ctl("tenant", "show", "kiosk"), "spent"), cost_of(reply, 1, 2))


@test("prices: a provider without a key takes no money", limit=40)
def free_provider():
    lan = plain_upstream()
    lan.needs_key = False
    box = box_for(lan, provider={"passthrough": False})
    key = box.add_tenant("kiosk")
    is_miss(box.chat("hello", key=key))
    is_hit(box.chat("hello", key=key))
    metrics = box.metrics()
    equal(metrics['larder_cost_usd_total{paid="box"}'] + metrics['larder_cost_usd_total{paid="client"}'], 0)
    equal(metrics["larder_unpriced_calls_total"], 0)


# ---- attacks -------------------------------------------------------------------------------------------------------

def said_differs(a, b, *what):
    check(a.said["text"] != b.said["text"], "another tenant's answer", *what)


@test("isolation: exact entries, short cut, streams and stale answers are one tenant's own", limit=60)
def isolation_of_entries():
    up = upstream()
    box = box_for(up, cache={"ttl": "3s"})
    ann, bob, eve = box.add_tenant("ann"), box.add_tenant("bob"), "sk-eve-0123456789"
    mine = box.chat("secret", key=ann)
    for _ in range(3):
        is_hit(box.chat("secret", key=ann))         # it is in the short cut now
    others = []
    for key in (bob, eve, "sk-mallory-0123456789"):
        for stream in (False, True):
            reply = box.chat("secret", key=key, stream=stream, headers={"cache-control": "only-if-cached"})
            equal(reply.status, 504, "nothing stored is theirs")
        others.append(box.chat("secret", key=key))
        is_miss(others[-1])
        said_differs(others[-1], mine, key)
    equal(up.count("secret"), 4, "calls")
    time.sleep(4.1)
    up.vanish()
    for key, first in ((ann, mine), (bob, others[0]), (eve, others[1])):
        reply = box.chat("secret", key=key)
        is_hit(reply, "stale")
        equal(reply.said["text"], first.said["text"], "whose answer is served stale")
    equal(box.chat("secret", key="sk-never-seen-012345").status, 503, "nobody's")


@test("isolation: coalescing, entry numbers and feedback", limit=60)
def isolation_of_flights():
    up = upstream()
    box = box_for(up)
    ann, bob = box.add_tenant("ann"), box.add_tenant("bob")
    mark = "in flight [[gate=3:go]]"
    leader = box.chat(mark, stream=True, wait=False, key=ann)
    up.wait_calls(1, "in flight")
    other = box.chat(mark, stream=True, wait=False, key=bob)
    up.wait_calls(2, "in flight")
    up.release("go")
    said_differs(leader, other)
    mine = box.chat("judged", key=ann)
    hit = box.chat("judged", key=ann)
    request = hit.header("x-request-id")
    for key in (bob, "sk-eve-0123456789"):
        reply = box.ask("/larder/v1/feedback", {"request": request, "verdict": "wrong"}, key=key)
        check(reply.status in (400, 403, 404, 409), "another tenant's request was judged", reply)
    is_hit(box.chat("judged", key=ann))
    check(mine.status == 200)


@test("isolation: in other words", limit=60)
def isolation_of_wordings():
    if not os.path.exists(MODEL):
        raise Skip("no model at %s (make model, or set LARDER_MODEL)" % MODEL)
    up = upstream()
    box = box_for(up, config={"semantic": {"embedder": "minilm-int8", "model": MODEL, "shadow": {"rate": 0}}},
                  cache={"semantic": "preset", "threshold": 0.9})
    box.wait_log(r"minilm-int8\S* is ready", timeout=15, after=box.log_start)
    ann, bob = box.add_tenant("ann"), box.add_tenant("bob")
    asked, again = "How do I reset the password of my account?", "How can I reset my account's password?"
    mine = box.chat(asked, key=ann)
    is_hit(box.chat(again, key=ann), "semantic")
    for key in (bob, "sk-eve-0123456789"):
        reply = box.chat(again, key=key)
        is_miss(reply)
        check(reply.header("x-larder-similarity") is None, "a similarity gives away that something is near")
        said_differs(reply, mine)
    up.vanish()
    equal(box.chat("How could I reset my account's password?", key="sk-new-0123456789").status, 503, "offline")


@test("isolation: why a miss says nothing of what others asked", limit=40)
def isolation_of_reasons():
    up = upstream()
    box = box_for(up)
    ann, bob = box.add_tenant("ann"), box.add_tenant("bob")
    is_miss(box.chat("a", key=ann, system="the plan"))
    is_miss(box.chat("b", key=ann, system="the plan"), "differs:query")
    is_miss(box.chat("b", key=bob, system="the plan"), "never_seen")


@test("isolation: a namespace cannot be chosen so that it meets another tenant's", limit=40)
def namespaces():
    up = upstream()
    box = box_for(up)
    ann, bob = box.add_tenant("ann"), box.add_tenant("bob")
    with open(os.path.join(box.data, "keys", "tenants"), encoding="utf-8") as file:
        row = [line.split(" ") for line in file if line.startswith("ann ")][0]
    mine = box.chat("apart", key=ann, headers={"x-larder-namespace": "n"})
    is_hit(box.chat("apart", key=ann, headers={"x-larder-namespace": "n"}))
    for name in ("n", "", "own" + row[1], row[1], row[2], "ann", "n0:", "1:n"):
        reply = box.chat("apart", key=bob, headers={"x-larder-namespace": name})
        is_miss(reply)
        said_differs(reply, mine, name)
    # pieces of the scope that slide into each other
    is_miss(box.chat("slide", key=ann, headers={"openai-beta": "ab", "x-larder-namespace": "c"}))
    is_miss(box.chat("slide", key=ann, headers={"openai-beta": "a", "x-larder-namespace": "bc"}))
    is_miss(box.chat("slide", key=ann, headers={"openai-beta": "abc"}))
    check(all(call.header("x-larder-namespace") is None for call in up.calls), "it went upstream")


@test("isolation: a revoked key's answers are nobody's, over restarts too", limit=60)
def revoked_cache():
    up = upstream()
    box = box_for(up)
    ann, bob = box.add_tenant("ann"), box.add_tenant("bob")
    mine = box.chat("left behind", key=ann)
    is_hit(box.chat("left behind", key=ann))
    box.ctl("tenant", "revoke", "ann")
    equal(box.chat("left behind", key=ann).status, 401, "by the short cut")
    said_differs(box.chat("left behind", key=bob), mine)
    box.restart()
    equal(box.chat("left behind", key=ann).status, 401, "after a restart")
    up.vanish()
    equal(box.chat("left behind", key=ann).status, 401, "offline")


@test("isolation: a refused credential stays refused over a restart, a proven one stays proven", limit=60)
def proofs_last():
    up = upstream()
    box = box_for(up, cache={"share": "box"})
    good, bad = "sk-stays-good-000000", "sk-turned-bad-000000"
    for key in (good, bad):
        is_miss(box.chat("proves it", key=key))
    is_miss(box.chat("common", key=good))
    is_miss(box.chat("mine", key=bad))
    is_hit(box.chat("mine", key=bad))
    up.denied.add(bad)
    equal(box.chat("anything", key=bad).status, 401)
    time.sleep(0.5)                                 # a refusal is written at once
    box.kill9()
    box.start()
    for question in ("mine", "common"):
        equal(box.chat(question, key=bad).status, 401, "a hit after kill -9")
    box.restart()
    up.vanish()
    is_hit(box.chat("common", key=good))
    check(box.chat("common", key=bad).status != 200, "offline a refused credential gets a shared answer")
    check(box.chat("common", key="sk-nobody-knows-0000").status != 200, "an unproven one")


@test("isolation: forged fields make nobody local, and a page of the same machine may not ask", limit=40)
def forged():
    lan = plain_upstream()
    lan.needs_key = False
    box = Box(lan, provider={"passthrough": False})
    equal(box.chat("hello", key=None).status, 200, "loopback without a credential")
    for name in ("x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "forwarded", "via", "X-Forwarded-For"):
        reply = box.chat("hello", key=None, headers={name: "127.0.0.1"})
        check(reply.status in (401, 403), name, reply.status)
    calls = lan.count()
    port = box.api[1]
    for host in ("evil.example", "evil.example:%d" % port, "localhost.evil.example", "127.0.0.1.evil.example"):
        equal(box.chat("rebound", key=None, headers={"host": host}).status, 403, "Host: " + host)
    for origin in ("http://evil.example", "null", "http://localhost:1", "https://127.0.0.1:%d" % (port + 1)):
        equal(box.chat("rebound", key=None, headers={"origin": origin}).status, 403, "Origin: " + origin)
        preflight = box.ask(PATH, method="OPTIONS", key=None, headers={
            "origin": origin, "access-control-request-method": "POST"})
        equal(preflight.status, 403, "preflight of " + origin)
        check(not preflight.has("access-control-allow-origin"), preflight.headers)
    equal(lan.count(), calls, "calls")


@test("isolation: credentials reach no fallback origin, no redirect, and the box's lines reach no tenant", limit=60)
def credentials_stay():
    up, lan = upstream(), plain_upstream()
    lan.needs_key = False
    box = Box(up, autostart=False, provider=dict(QUICK, key=OWN))
    box.config["providers"].append({"name": "lan", "dialect": "openai", "base_url": lan.url("/v1")})
    box.config["routes"][0]["providers"] = ["openai", "lan"]
    box.write_config()
    box.start()
    key, mine = box.add_tenant("kiosk"), "sk-client-own-0123456789"
    reply = box.chat("answered", key=key)
    for name in ("x-ratelimit-limit-requests", "x-ratelimit-remaining-tokens", "openai-organization",
                 "openai-project"):
        check(not reply.has(name), "the box's own standing is told to a tenant", name, reply.headers)
    check(box.chat("answered", key=mine).has("openai-organization"), "a client's own standing is its own")
    up.vanish()
    for credential in (key, mine):
        for style in ("bearer", "x-api-key"):
            reply = box.ask(PATH, chat_body("fallback " + credential + style), key=credential, style=style)
            if credential == key:
                equal(reply.status, 200, "the LAN server answers")
    for call in lan.calls:
        check(not call.key(), "a credential went to the fallback", call.headers)
        raw = call.raw_head.decode("latin-1")
        check(OWN not in raw and mine not in raw.split("fallback")[0], "a credential went to the fallback")
        check("lk-" not in raw, "a virtual key left the box")
    up.start()
    up.redirect_to = lan.url("/v1/stolen")
    before = lan.count()
    deadline = time.monotonic() + 8
    while True:
        reply = box.ask("/v1/redirect", {"a": 1}, key=mine)
        if reply.status == 307 or time.monotonic() > deadline:
            break
        time.sleep(0.2)
    equal(reply.status, 307, "a redirect is the client's to follow")
    equal(lan.count(), before, "the box followed it")


@test("isolation: other /v1/ paths and lists of models with a virtual key touch nothing of the box's account", limit=40)
def other_paths():
    up = upstream()
    box = box_for(up)
    ann = box.add_tenant("ann")
    for method, path in (("GET", "/v1/files"), ("GET", "/v1/files/file-abc"), ("DELETE", "/v1/files/file-abc"),
                         ("GET", "/v1/batches"), ("GET", "/v1/responses/resp_1"), ("POST", "/v1/files"),
                         ("GET", "/v1/organization/usage/completions"), ("GET", "/v1/messages/batches"),
                         ("DELETE", "/v1/responses/resp_1"), ("GET", "/v1/fine_tuning/jobs")):
        reply = box.ask(path, b"" if method != "POST" else b"{}", method=method, key=ann)
        check(reply.status in (400, 401, 403, 404, 405), "%s %s gave %d" % (method, path, reply.status))
    equal([call.path for call in up.calls], [], "what went upstream with the box's key")
    models = json.dumps(box.get("/v1/models", key=ann).json)
    check(OWN not in models, "a key in the list")


if __name__ == "__main__":
    harness.main()
