# SPDX-License-Identifier: Apache-2.0
"""The DNS test's inside: root of its own network and mounts, so that it can be the machine's name server."""

import fcntl
import os
import socket
import struct
import subprocess
import sys
import time

import harness
from harness import Box, Dns, check, equal, is_hit, is_miss, upstream


def loopback_up():
    with socket.socket() as s:
        flags = struct.unpack("16sh", fcntl.ioctl(s, 0x8913, struct.pack("16sh", b"lo", 0)))[1]
        fcntl.ioctl(s, 0x8914, struct.pack("16sh", b"lo", flags | 1))


def bind_over(path, text):
    own = os.path.join(harness.run_folder(), os.path.basename(path))
    with open(own, "w", encoding="ascii") as out:
        out.write(text)
    os.chmod(own, 0o644)
    subprocess.run(["mount", "--bind", own, os.path.realpath(path)], check=True)


def run():
    loopback_up()
    bind_over("/etc/resolv.conf", "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
    bind_over("/etc/hosts", "127.0.0.1 localhost\n")
    dns = Dns(port=53, records={"upstream.test": ["127.0.0.1"]})
    up = upstream()
    providers = [{"name": "openai", "dialect": "openai", "base_url": up.url("/v1", host="upstream.test"),
                  "passthrough": True, "ca": "file:" + harness.certs().ca_path,
                  "retry": {"attempts": 2, "base": "10ms", "max": "20ms"},
                  "timeouts": {"connect": "2s"}}]
    box = Box(up, {"providers": providers, "routes": [{"match": {"dialect": "openai"}, "providers": ["openai"]}]})
    is_miss(box.chat("named"))
    check(("upstream.test", 1) in dns.queries, "queries", dns.queries)
    equal(up.calls[0].connection.server_name, "upstream.test", "SNI")
    equal(up.calls[0].header("host"), "upstream.test:%d" % up.port, "Host")
    is_hit(box.chat("named"))

    asked = len(dns.queries)
    is_miss(box.chat("at once"))
    check(len(dns.queries) <= asked + 2, "asks again for each call", dns.queries)

    dns.dead = True                         # the last good address serves
    up.vanish()
    up.start()
    time.sleep(1.5)
    is_miss(box.chat("name server is dead"))
    box.wait_committed()
    equal(box.terminate(), 0, "exit code")
    box.start()
    is_miss(box.chat("dead after a restart too", timeout=25))

    dns.dead = False                        # a first address that does not answer, a second that does
    dns.records = {"upstream.test": ["::1", "127.0.0.7", "127.0.0.1"]}
    equal(box.terminate(), 0, "exit code")
    up.vanish()
    up.start()
    box.start()
    is_miss(box.chat("several addresses", timeout=25))

    dns.records = {}                        # the name is gone
    equal(box.terminate(), 0, "exit code")
    box.start()
    reply = box.chat("unknown name", timeout=25)
    check(reply.status in (200, 502, 503), reply)
    check(box.alive(), "the box died")


if __name__ == "__main__":
    failed = True
    try:
        run()
        failed = False
    finally:
        notes = [line for note in harness.tap.NOTES for line in note()] if failed else []
        print("\n".join(notes))
        while harness.tap.CLEANERS:
            harness.tap.CLEANERS.pop()()
        harness.forget_folder()
    sys.exit(0)
