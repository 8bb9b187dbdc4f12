# SPDX-License-Identifier: Apache-2.0
"""The simulator speaks the truth: the real client libraries talk to it without Larder between them."""

import socket
import ssl

import harness
from clients import worker
from harness import certs, check, equal, plain_upstream, test, upstream
from http_wire import Cut, Peer
from wire import TAIL

TOOLS = {"openai": [{"type": "function", "function": {"name": "weather", "parameters": {
             "type": "object", "properties": {"city": {"type": "string"}}}}}],
         "anthropic": [{"name": "weather", "input_schema": {"type": "object",
                                                            "properties": {"city": {"type": "string"}}}}]}
RUNTIMES = {"python": {}, "python async": {"async": True}, "python-old": {}, "node": {}, "node openai6": {"old": True}}


def job(api, how, base, text, runtime, key="sk-test-key", **params):
    body = {"model": "m-1", "messages": [{"role": "user", "content": text}]}
    if api == "anthropic":
        body["max_tokens"] = 500
    url = base + ("/v1" if api == "openai" else "")
    return dict(RUNTIMES[runtime], api=api, how=how, base_url=url, key=key, params=dict(body, **params))


def run(api, how, up, text, runtime, **params):
    return worker(runtime.split(" ")[0]).run(**job(api, how, up.url(), text, runtime, **params))


def each_library(runtime):
    @test("simulator: %s libraries read every form" % runtime, limit=90)
    def forms():
        up = plain_upstream()
        for api in ("openai", "anthropic"):
            for how in ("object", "raw", "stream", "raw_stream", "helper"):
                said = run(api, how, up, "hello", runtime)
                check(said["ok"], api, how, said)
                check("hello" in said["text"] and said["text"].endswith(TAIL), api, how, said["text"])
                equal(said["finish"], "stop" if api == "openai" else "end_turn", "finish of %s %s" % (api, how))
                if how.startswith("raw"):
                    check("x-request-id" in said["headers"] or "request-id" in said["headers"], said["headers"])
            said = run(api, "stream", up, "hi [[tool=2]]", runtime, tools=TOOLS[api])
            whole = run(api, "object", up, "hi [[tool=2]]", runtime, tools=TOOLS[api])
            for one in (said, whole):
                check(one["ok"] and len(one["tools"]) == 2 and "Köln 1" in one["tools"][1][2], one)
                equal(one["finish"], "tool_calls" if api == "openai" else "tool_use", "finish")
        for how in ("stream", "object"):
            said = run("anthropic", how, up, "hi [[think]]", runtime)
            check(said["signature"].endswith("+/=="), said)
        said = run("openai", "stream", up, "hi", runtime, stream_options={"include_usage": True})
        check(said["usage"], "usage chunk", said)
        equal(run("openai", "stream", up, "hi", runtime)["usage"], None, "usage when not asked")

    @test("simulator: %s libraries know its errors" % runtime, limit=60)
    def errors():
        up = plain_upstream()
        for api, codes in (("openai", (400, 401, 403, 404, 429, 500, 503)),
                           ("anthropic", (400, 401, 403, 404, 413, 429, 500, 529))):
            for status in codes:
                said = run(api, "object", up, "x [[status=%d]]" % status, runtime)
                check(not said["ok"] and said["status"] == status, api, status, said)
                check(said["request_id"], api, status, "request id", said)
        said = run("openai", "object", up, "x", runtime, key="sk-bad-0123456789")
        check("Incorrect API key provided" in said["message"], said)

    @test("simulator: %s libraries see a cut and an error event" % runtime, limit=60)
    def cuts():
        up = plain_upstream()
        for api in ("openai", "anthropic"):
            for mark in ("cut=4", "reset=4", "error_event=4"):
                said = run(api, "stream", up, "x [[%s]]" % mark, runtime)
                check(not said["ok"], api, mark, said)
        for mark in ("odd=byte", "odd=split", "odd=join", "odd=crlf", "odd=comment", "odd=nospace", "frame=eof",
                     "code=gzip", "early=2"):
            if mark.startswith("early") and runtime.startswith("node"):
                continue                    # fetch takes an unasked 100 Continue for a fault
            for api in ("openai", "anthropic"):
                said = run(api, "stream", up, "x [[%s]]" % mark, runtime)
                check(said["ok"] and said["text"].endswith(TAIL), api, mark, said)


for name in RUNTIMES:
    each_library(name)


@test("simulator: models have one path and two shapes")
def models():
    up = plain_upstream()
    for runtime in ("python", "node"):
        equal(run("openai", "models", up, "", runtime)["models"], ["gpt-test", "gpt-test-mini", "text-embedding-test"])
        equal(run("anthropic", "models", up, "", runtime)["models"], ["claude-test-2", "claude-test-1"])


@test("simulator: libraries verify its certificate")
def tls():
    up = upstream()
    trusting = {"SSL_CERT_FILE": certs().ca_path, "NODE_EXTRA_CA_CERTS": certs().ca_path}
    for kind in ("python", "node"):
        one = worker(kind, trusting)
        said = one.run(**job("openai", "stream", up.url(), "hello", kind))
        one.close()
        check(said["ok"] and said["text"].endswith(TAIL), kind, said)
    said = worker("python").run(**job("openai", "object", up.url(), "hello", "python"))
    equal(said["ok"], False, "a client without our authority")


@test("simulator: bad certificates are refused by a careful client")
def bad_certificates():
    context = ssl.create_default_context(cafile=certs().ca_path)
    for kind in ("wrong_host", "expired", "unknown_ca"):
        up = upstream(kind, kind=kind)
        try:
            with socket.create_connection(("127.0.0.1", up.port)) as raw:
                context.wrap_socket(raw, server_hostname="localhost").close()
            raise AssertionError(kind + " was accepted")
        except ssl.SSLCertVerificationError:
            pass


def post(up, text, stream=False, source=None):
    peer = Peer(("127.0.0.1", up.port), 10, source)
    body = harness.json.dumps(harness.chat_body(text, stream)).encode()
    peer.send(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer sk-1\r\n"
              b"content-length: %d\r\n\r\n" % len(body) + body)
    return peer


@test("simulator: counts calls, holds and releases, knows who left")
def control():
    up = plain_upstream()
    held = post(up, "first [[hold=a]]")
    call = up.wait_calls(1, "first")[0]
    equal(call.outcome, None, "outcome while held")
    up.release("a")
    equal(held.reply().status, 200)
    equal(up.wait_outcome(call), "done")
    gated = post(up, "second [[gate=3:b]]", True)
    reply = gated.reply()
    reply.until(b"Answer")
    gated.close()
    equal(up.wait_outcome(up.wait_calls(1, "second")[0]), "gone", "outcome after the client left")
    equal(up.count("first"), 1)
    equal(up.count(), 2)


@test("simulator: leaving over TLS is seen too")
def gone_tls():
    up = upstream()
    context = ssl.create_default_context(cafile=certs().ca_path)
    raw = context.wrap_socket(socket.create_connection(("127.0.0.1", up.port)), server_hostname="localhost")
    body = harness.json.dumps(harness.chat_body("tls [[gate=3:never]]", True)).encode()
    raw.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer sk-1\r\n"
                b"content-length: %d\r\n\r\n" % len(body) + body)
    check(b"200 OK" in raw.recv(65536))
    raw.close()
    equal(up.wait_outcome(up.wait_calls(1)[0]), "gone")


@test("simulator: cut, reset, drop, short and broken replies")
def faults():
    up = plain_upstream()
    for mark in ("cut=3", "reset=3"):
        reply = post(up, "x [[%s]]" % mark, True).reply()
        check(b"Answer" in reply.body and reply.clean is False, mark, reply)
    try:
        post(up, "x [[drop]]").reply()
        raise AssertionError("a dropped call answered")
    except Cut:
        pass
    reply = post(up, "x [[short]]").reply()
    check(len(reply.body) > 100 and reply.clean is False, reply)
    reply = post(up, "x [[no_end]]", True).reply()
    check(b"[DONE]" not in reply.body and reply.clean, reply)


@test("simulator: vanishes and comes back on its port")
def vanish():
    up = plain_upstream()
    kept = post(up, "one")
    kept.reply().body
    up.vanish()
    equal(kept.rest(), b"", "what a kept connection says")
    try:
        post(up, "two")
        raise AssertionError("it still listens")
    except ConnectionRefusedError:
        pass
    port = up.port
    up.start()
    equal(up.port, port)
    equal(post(up, "three").reply().status, 200)


@test("simulator: fails only the first calls when told")
def fail_first():
    up = plain_upstream()
    got = [post(up, "x [[status=500]] [[fail=2]]").reply().status for _ in range(3)]
    equal(got, [500, 500, 200])


@test("simulator: 200 calls at once")
def many():
    up = plain_upstream()
    peers = [post(up, "n %d" % i) for i in range(200)]
    equal({p.reply().status for p in peers}, {200})
    equal(up.count(), 200)


@test("simulator: proxy tunnels and counts")
def proxy():
    up = upstream()
    way = harness.Proxy().start()
    harness.tap.CLEANERS.append(way.close)
    context = ssl.create_default_context(cafile=certs().ca_path)
    raw = socket.create_connection((way.host, way.port))
    raw.sendall(b"CONNECT localhost:%d HTTP/1.1\r\nhost: localhost:%d\r\n\r\n" % (up.port, up.port))
    got = b""
    while b"\r\n\r\n" not in got:
        got += raw.recv(1000)
    check(got.startswith(b"HTTP/1.1 200"), got)
    inner = context.wrap_socket(raw, server_hostname="localhost")
    inner.sendall(b"GET /v1/models HTTP/1.1\r\nhost: x\r\nauthorization: Bearer k\r\n\r\n")
    check(b"200 OK" in inner.recv(65536))
    inner.close()
    equal(way.targets, ["localhost:%d" % up.port])


@test("simulator: name server answers, denies and plays dead")
def names():
    dns = harness.Dns(records={"up.test": ["127.0.0.1", "::1"]})
    question = lambda name, kind: (b"\x12\x34\x01\x00\x00\x01" + bytes(6) + b"".join(  # noqa: E731
        bytes([len(p)]) + p.encode() for p in name.split(".")) + b"\0" + bytes([0, kind, 0, 1]))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        asker.settimeout(0.5)
        for name, kind, code, count in (("up.test", 1, 0, 1), ("up.test", 28, 0, 1), ("no.test", 1, 3, 0)):
            asker.sendto(question(name, kind), ("127.0.0.1", dns.port))
            reply = asker.recv(500)
            equal((reply[3] & 15, reply[7]), (code, count), name)
        dns.dead = True
        asker.sendto(question("up.test", 1), ("127.0.0.1", dns.port))
        try:
            asker.recv(500)
            raise AssertionError("a dead server answered")
        except TimeoutError:
            pass
    dns.close()


@test("simulator: its control port steers it")
def control_port():
    from upstream import Control
    up = plain_upstream()
    port = Control(up).start()
    harness.tap.CLEANERS.append(port.close)

    def ask(method, path, body=b""):
        with Peer(("127.0.0.1", port.port)) as peer:
            peer.send(b"%s %s HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % (method, path, len(body)) + body)
            return peer.reply().json

    equal(ask(b"POST", b"/force", b'{"status": "503"}')["ok"], True)
    equal(post(up, "x").reply().status, 503)
    equal([c["question"] for c in ask(b"GET", b"/calls")], ["x"])
    ask(b"POST", b"/reset")
    equal(ask(b"GET", b"/calls"), [])



if __name__ == "__main__":
    harness.main()
