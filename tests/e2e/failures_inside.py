# SPDX-License-Identifier: Apache-2.0
"""What the failure tests need a network of their own for: run by test_failures.py inside name spaces, one case a run."""

import socket
import sys
import time

import harness
from dns_inside import bind_over, loopback_up
from harness import Box, Dns, check, equal, is_hit, is_miss, upstream

PATIENT = {"retry": {"attempts": 2, "base": "10ms", "max": "20ms"}, "timeouts": {"connect": "1s"}}


def box_of(up, url, **provider):
    given = dict({"name": "openai", "dialect": "openai", "base_url": url, "passthrough": True,
                  "ca": "file:" + harness.certs().ca_path}, **PATIENT)
    return Box(up, {"providers": [dict(given, **provider)],
                    "routes": [{"match": {"dialect": "openai"}, "providers": ["openai"]}]})


def refused(box, text, *words):
    reply = box.chat(text, timeout=30)
    equal((reply.status, reply.json["error"]["code"]), (503, "offline"), reply.all()[:300])
    equal(reply.header("x-should-retry"), "false")
    check(reply.has("retry-after"), reply.headers)
    message = reply.json["error"]["message"]
    check(all(word in message for word in words), words, message)


def black_hole(family, address, port):
    """A listener whose queue is full: the kernel drops what comes, as a dead path does."""
    hole = socket.socket(family)
    hole.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    hole.bind((address, port))
    hole.listen(0)
    held = [hole]
    for _ in range(8):
        one = socket.socket(family)
        one.settimeout(0.3)
        held.append(one)
        try:
            one.connect((address, port))
        except TimeoutError:
            return held
    raise harness.Skip("this kernel's listeners never fill up")


def dead_dns():
    bind_over("/etc/resolv.conf", "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
    bind_over("/etc/hosts", "127.0.0.1 localhost\n")
    up = upstream()
    box = box_of(up, up.url("/v1", host="upstream.test"))
    refused(box, "nobody answers at port 53", "look up upstream.test", "no name server answers")
    dns = Dns(port=53, records={})
    dns.dead = True
    refused(box, "a name server that says nothing", "look up upstream.test")
    dns.dead = False
    refused(box, "a name that is not there", "look up upstream.test")
    equal(up.count(), 0)
    dns.records = {"upstream.test": ["127.0.0.1"]}
    end = time.monotonic() + 15
    while (reply := box.chat("there again", timeout=30)).status != 200:
        check(time.monotonic() < end, "it never came back", reply)
        time.sleep(0.1)
    dns.dead = True
    dns.records = {}
    is_hit(box.chat("there again"))


def dead_route():
    up = upstream()
    box = box_of(up, "http://192.0.2.1:9/v1")
    refused(box, "no way there", "connect to 192.0.2.1", "no route to that network")


def v6_hole():
    bind_over("/etc/hosts", "127.0.0.1 localhost\n::1 two.upstream.test\n127.0.0.1 two.upstream.test\n")
    up = upstream()
    held = black_hole(socket.AF_INET6, "::1", up.port)
    box = box_of(up, up.url("/v1", host="two.upstream.test"), timeouts={"connect": "5s"})
    is_miss(box.chat("over the other family"))
    is_miss(box.chat("and again"))
    equal(up.count(), 2)
    equal(box.metrics().get("larder_upstream_failures_total"), 0)
    for one in held:
        one.close()


def both_holes():
    up = upstream()
    port = up.port
    up.vanish()
    held = black_hole(socket.AF_INET, "127.0.0.1", port)
    box = box_of(up, "https://127.0.0.1:%d/v1" % port, timeouts={"connect": "400ms"}, breaker={"probe": "200ms"})
    for number in range(3):
        refused(box, "nothing comes back %d" % number, "connect to 127.0.0.1", "no answer in time")
    state = box.metrics()['larder_provider_state{provider="openai"}']
    check(state >= 1, "the breaker is closed", state)
    for one in held:
        one.close()
    up.start()
    end = time.monotonic() + 15
    while box.chat("back", timeout=30).status != 200:
        check(time.monotonic() < end, "it never came back")
        time.sleep(0.05)


CASES = {"dead_dns": dead_dns, "dead_route": dead_route, "v6_hole": v6_hole, "both_holes": both_holes}

if __name__ == "__main__":
    failed = True
    try:
        loopback_up()
        CASES[sys.argv[1]]()
        failed = False
    except harness.Skip as skip:
        print("SKIP: %s" % skip)
        failed = False
    finally:
        notes = [line for note in harness.tap.NOTES for line in note()] if failed else []
        print("\n".join(notes))
        while harness.tap.CLEANERS:
            harness.tap.CLEANERS.pop()()
        harness.forget_folder()
    sys.exit(0)
