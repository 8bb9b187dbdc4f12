# SPDX-License-Identifier: Apache-2.0
"""What `make soak` measures at length, here small and by behaviour only: many askers of one question, hits while every
flight is taken, stored answers while the provider is away."""

import threading
import time

import harness
from harness import Box, check, equal, is_hit, is_miss, plain_upstream, test

FORMS = (False, True)


def box_and_up(**options):
    up = plain_upstream()
    return Box(up, **options), up


def send_chat(box, text, stream=False, timeout=30):
    """A chat request whose reply is read later."""
    peer = box.peer(timeout)
    peer.send(box.request_bytes("/v1/chat/completions", harness.chat_body(text, stream)))
    return peer


def wait_until(holds, what, seconds=15):
    end = time.monotonic() + seconds
    while not holds():
        check(time.monotonic() < end, what)
        time.sleep(0.02)


@test("soak: two hundred identical requests at once are one call, every answer byte-equal", limit=90)
def identical():
    box, up = box_and_up()
    for number, stream in enumerate(FORMS):
        text = "identical %s" % stream
        peers = [send_chat(box, text + " [[hold=go%d]]" % number, stream) for _ in range(200)]
        wait_until(lambda: up.count(text) > 0, "no call")
        is_miss(box.chat("another one, behind them all %s" % stream))
        up.release("go%d" % number)
        replies = [peer.reply() for peer in peers]
        bodies = {reply.body for reply in replies}
        check(all(reply.status == 200 and reply.clean for reply in replies), {r.status for r in replies})
        equal(len(bodies), 1, "different bodies")
        equal(up.count(text), 1, "calls")
        kinds = [reply.header("x-larder-hit") for reply in replies]
        equal(kinds.count("none"), 1, "leaders")
        equal(kinds.count("coalesced"), 199, "followers")


@test("soak: a hundred followers, half of them late, each have the leader's bytes", limit=90)
def followers():
    box, up = box_and_up()
    text = "followed [[gate=10:go]] [[tokens=60]] [[pace=0.002]]"
    leader = box.chat(text, stream=True, wait=False, timeout=30)
    early = [send_chat(box, text, True) for _ in range(50)]
    leader.until(b"Answer")
    late = [send_chat(box, text, True) for _ in range(50)]
    replies = [peer.reply() for peer in early + late]         # their heads: all have joined
    equal({reply.header("x-larder-hit") for reply in replies}, {"coalesced"})
    up.release("go")
    data = leader.all()
    check(leader.clean and "token59" in leader.said["text"], leader)
    for reply in replies:
        equal(reply.all(), data, "bytes of a follower and the leader")
        check(reply.clean, "a clean end")
    equal(up.count("followed"), 1, "calls")


@test("soak: while every flight is taken hits of both forms, health and metrics are answered", limit=60)
def taken():
    flights = 8
    box, up = box_and_up(config={"limits": {"requests": 32, "flights": flights}}, provider={"concurrent": flights})
    for stream in FORMS:
        is_miss(box.chat("known %s" % stream, stream=stream))
    slow = [send_chat(box, "slow %d [[hold=go]]" % n, n % 2 == 0) for n in range(flights)]
    wait_until(lambda: up.count("slow") == flights, "not all flights are taken")
    waiting = send_chat(box, "one more")
    for _ in range(20):
        for stream in FORMS:
            for form in FORMS:
                is_hit(box.chat("known %s" % stream, stream=form))
    equal(box.admin_get("/healthz").status, 200)
    equal(box.admin_get("/readyz").status, 200)
    check(box.metrics()["larder_flights"] >= flights, "flights in the metrics")
    equal(up.count("one more"), 0, "calls of the one that waits")
    up.release("go")
    for peer in slow + [waiting]:
        equal(peer.reply().status, 200, "status when there is room again")
    equal(up.count("one more"), 1, "calls of the one that waited")


@test("soak: the provider goes away under load: every stored question is answered, fresh or stale, then new ones again", limit=90)
def pulled():
    box, up = box_and_up(provider={"retry": {"attempts": 2, "base": "10ms", "max": "20ms"},
                                   "breaker": {"probe": "100ms"}})
    box.write_config({"routes": [dict(box.config["routes"][0], match={"dialect": "openai", "model": "short"},
                                      cache={"ttl": "1s"})] + box.config["routes"]})
    box.restart()
    names = ["stored %d" % n for n in range(12)]
    said = {(name, model): box.chat(name, stream=number % 2 == 0, model=model).said["text"]
            for number, name in enumerate(names) for model in ("gpt-test", "short")}
    time.sleep(1.2)
    over, went, back = (threading.Event() for _ in range(3))
    wrong, counts = [], {"exact": 0, "stale": 0}

    def client(seed):
        number = seed
        while not over.is_set():
            number += 1
            name, model = names[number % 12], ("gpt-test", "short")[number // 12 % 2]
            after = went.is_set()
            reply = box.chat(name, stream=number // 24 % 2 == 0, model=model)
            kind = reply.header("x-larder-hit")
            right = reply.status == 200 and reply.clean and " to: %s " % name in reply.said["text"]
            after = after and not back.is_set()
            if not right or (after and reply.said["text"] != said[name, model]):
                wrong.append("%s of %s: %r" % (name, model, reply))
            elif after:
                counts[kind] = counts.get(kind, 0) + 1

    def all_asked():
        return all(box.chat(name, model="short").status == 200 for name in names)

    up.vanish()
    went.set()
    check(all_asked(), "a stale question was not answered as soon as the line was away")
    threads = [threading.Thread(target=client, args=(seed * 7,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    refused = 0
    end = time.monotonic() + 4
    while time.monotonic() < end:
        refused += box.chat("new while away %d" % refused).status == 503
    back.set()
    up.start()
    wait_until(lambda: box.chat("new once it is back").status == 200, "no fresh answer")
    over.set()
    for thread in threads:
        thread.join(20)
    check(not any(thread.is_alive() for thread in threads), "a client hangs")
    check(not wrong, len(wrong), "wrong:", "\n".join(wrong[:3]))
    check(refused and counts["exact"] and counts["stale"], refused, counts)


@test("soak: tries that failed and the pauses behind them are no overhead of the box", limit=40)
def overhead():
    box, up = box_and_up(provider={"retry": {"attempts": 3, "base": "10ms", "max": "8s"}})
    reply = box.chat("later [[status=429]] [[fail=1]] [[retry_after=2]]")
    is_miss(reply)
    equal(up.count("later"), 2, "calls")
    check(int(reply.header("x-larder-overhead-us")) < 2000000, "the two seconds that the provider asked for are counted",
          reply.headers)


if __name__ == "__main__":
    harness.main()
