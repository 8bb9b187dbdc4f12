# SPDX-License-Identifier: Apache-2.0
"""HTTP/1.1 as bytes on a socket: what is served, what is refused, and what never runs afterwards."""

import hashlib
import json
import socket
import time

import harness
from harness import Box, chat_body, check, equal, is_hit, is_miss, plain_upstream, test, upstream
from http_wire import Cut, Peer

PATH = "/v1/chat/completions"


def box_and_up(**options):
    up = upstream()
    return Box(up, **options), up


def body_of(text, stream=False, **more):
    return json.dumps(chat_body(text, stream, **more)).encode()


# ---- refusals ------------------------------------------------------------------------------------------------------

def smuggled(box):
    """A whole second request, to be put behind a refused one: it must never run."""
    return box.request_bytes(PATH, chat_body("smuggled"))


def refused(name, make, statuses=(400,)):
    @test("smuggling: %s is refused, the connection closed, the bytes after never run" % name)
    def run():
        box, up = box_and_up()
        with box.peer() as peer:
            peer.send(make(box) + smuggled(box))
            reply = peer.reply()
            check(reply.status in statuses, "status", reply.status, reply)
            check(json.loads(reply.body)["error"], "error shape", reply.body)
            equal(peer.rest(), b"", "bytes after the refusal")
        time.sleep(0.1)
        equal(up.count(), 0, "calls")
        is_miss(box.chat("still served"))


def raw_request(*lines, body=b"", path=PATH):
    def make(box):
        head = ["POST %s HTTP/1.1" % path, "Host: 127.0.0.1:%d" % box.api[1], "Authorization: Bearer " + harness.KEY,
                "Content-Type: application/json"] + list(lines)
        return "\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + body
    return make


BODY = body_of("refused")
CHUNKED = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
LENGTH = "Content-Length: %d" % len(BODY)

refused("both Content-Length and Transfer-Encoding",
        raw_request(LENGTH, "Transfer-Encoding: chunked", body=CHUNKED))
refused("Transfer-Encoding before Content-Length",
        raw_request("Transfer-Encoding: chunked", LENGTH, body=CHUNKED))
refused("two different Content-Lengths", raw_request(LENGTH, "Content-Length: 3", body=BODY))
refused("two equal Content-Lengths", raw_request(LENGTH, LENGTH, body=BODY))
refused("a Content-Length list", raw_request("Content-Length: %d, %d" % (len(BODY), len(BODY)), body=BODY))
refused("a folded header", raw_request("X-Fold: a\r\n b", LENGTH, body=BODY))
refused("a folded Transfer-Encoding", raw_request("Transfer-Encoding:\r\n chunked", body=CHUNKED))
refused("a blank before the colon", raw_request("Transfer-Encoding : chunked", LENGTH, body=BODY))
refused("a bare LF in the head", raw_request("X-A: b\nTransfer-Encoding: chunked", LENGTH, body=BODY))
refused("a bare CR in a value", raw_request("X-A: b\rc", LENGTH, body=BODY))
refused("a NUL in a value", raw_request("X-A: b\0c", LENGTH, body=BODY))
refused("an overflowing Content-Length", raw_request("Content-Length: 18446744073709551617", body=BODY), (400, 413))
refused("a signed Content-Length", raw_request("Content-Length: +%d" % len(BODY), body=BODY))
refused("a hex Content-Length", raw_request("Content-Length: 0x10", body=BODY))
refused("an empty Content-Length", raw_request("Content-Length: ", body=BODY))
refused("an overflowing chunk size", raw_request("Transfer-Encoding: chunked",
                                                 body=b"1000000000000000A\r\n" + BODY + b"\r\n0\r\n\r\n"), (400, 413))
refused("a negative chunk size", raw_request("Transfer-Encoding: chunked", body=b"-1\r\n" + BODY + b"\r\n0\r\n\r\n"))
refused("a chunk that is longer than its size", raw_request("Transfer-Encoding: chunked",
                                                            body=b"3\r\n" + BODY + b"\r\n0\r\n\r\n"))
refused("a chunk size ended by a bare LF", raw_request("Transfer-Encoding: chunked",
                                                       body=b"%x\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)))
refused("Transfer-Encoding: identity", raw_request("Transfer-Encoding: identity", LENGTH, body=BODY), (400, 501))
refused("Transfer-Encoding: chunked twice", raw_request("Transfer-Encoding: chunked", "Transfer-Encoding: chunked",
                                                        body=CHUNKED))
refused("Transfer-Encoding: xchunked", raw_request("Transfer-Encoding: xchunked", body=CHUNKED), (400, 501))
refused("a head over the limit", raw_request("X-Big: " + "a" * 40000, LENGTH, body=BODY), (400, 431))
refused("too many headers", raw_request(*["X-%d: y" % i for i in range(300)], LENGTH, body=BODY), (400, 431))


@test("smuggling: a second Host, a missing Host and odd versions are refused")
def host_and_version():
    box, up = box_and_up()
    host = "Host: 127.0.0.1:%d" % box.api[1]
    for head, statuses in (("POST %s HTTP/1.1\r\n%s\r\n%s" % (PATH, host, host), (400,)),
                           ("POST %s HTTP/1.1" % PATH, (400,)),
                           ("POST %s HTTP/2.0\r\n%s" % (PATH, host), (400, 505)),
                           ("POST %s HTTP/1.2\r\n%s" % (PATH, host), (400, 505)),
                           ("POST %s HTTP/0.9\r\n%s" % (PATH, host), (400, 505)),
                           ("POST  %s HTTP/1.1\r\n%s" % (PATH, host), (400,)),
                           ("POST %s\r\n%s" % (PATH, host), (400,))):
        with box.peer() as peer:
            peer.send(("%s\r\n%s\r\n\r\n" % (head, LENGTH)).encode() + BODY)
            reply = peer.reply()
            check(reply.status in statuses, head, reply.status)
            reply.body
            equal(peer.rest(), b"", "bytes after the refusal of " + head)
    equal(up.count(), 0, "calls")


@test("host: names besides our own are refused, IP literals and localhost are served")
def hosts():
    box, up = box_and_up(config={"access": {"hosts": ["box.lan"]}})
    port = box.api[1]
    for host in ("localhost:%d" % port, "127.0.0.1:%d" % port, "[::1]:%d" % port, "192.168.7.7", "box.lan",
                 "BOX.LAN:80", socket.gethostname()):
        equal(box.chat("host", headers={"host": host}).status, 200, "status for Host " + host)
    for host in ("evil.example", "evil.example:%d" % port, "localhost.evil.example"):
        reply = box.chat("host", headers={"host": host})
        check(reply.status in (400, 403, 421), "status for Host", host, reply.status)
        check(reply.json["error"]["message"], reply)
    equal(up.count(), 1, "calls")


# ---- requests that are fine ----------------------------------------------------------------------------------------

@test("http: keep-alive carries many requests on one connection")
def keep_alive():
    box, up = box_and_up()
    with box.peer() as peer:
        for number in range(6):
            stream = number % 2 == 1
            peer.send(box.request_bytes(PATH, chat_body("again", stream), close=False))
            reply = peer.reply()
            equal(reply.status, 200)
            check("#1 " in reply.said["text"] and reply.clean, number, reply)
    equal(up.count(), 1, "calls")


@test("http: pipelined requests are answered in order")
def pipelining():
    box, up = box_and_up()
    for name in "abc":
        box.chat("pipe " + name)
    with box.peer() as peer:
        order = ["a", "b", "c", "new", "a", "b"]
        peer.send(b"".join(box.request_bytes(PATH, chat_body("pipe " + n), close=False) for n in order))
        for name in order:
            reply = peer.reply()
            check("pipe " + name in reply.said["text"], name, reply.said["text"])
    equal(up.count(), 4, "calls")


@test("http: pipelined behind streams, byte by byte too")
def pipelined_streams():
    box, _ = box_and_up()
    with box.peer() as peer:
        data = b"".join(box.request_bytes(PATH, chat_body("p%d" % n, True), close=False) for n in range(3))
        for at in range(0, len(data), 7):
            peer.send(data[at:at + 7])
        for number in range(3):
            reply = peer.reply()
            check("p%d" % number in reply.said["text"] and reply.clean, number, reply)


@test("http: chunked request bodies, with extensions and trailers")
def chunked_requests():
    box, up = box_and_up()
    body = body_of("in chunks")
    host = ("POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAuthorization: Bearer %s\r\nTransfer-Encoding: chunked\r\n\r\n"
            % (PATH, box.api[1], harness.KEY)).encode()
    pieces = b"".join(b"%x\r\n%s\r\n" % (len(body[i:i + 9]), body[i:i + 9]) for i in range(0, len(body), 9))
    with box.peer() as peer:
        for _ in range(2):
            peer.send(host + pieces + b"0\r\n\r\n")
            check("in chunks" in peer.reply().said["text"])
        peer.send(host + b"%X;name=value\r\n%s\r\n0\r\nx-trailer: y\r\n\r\n" % (len(body), body))
        is_hit(reply := peer.reply())
        check("in chunks" in reply.said["text"])
        peer.send(box.request_bytes(PATH, chat_body("in chunks"), close=False))
        is_hit(peer.reply())
    equal(up.count(), 1, "calls")


@test("http: 100-continue is sent when asked for, and only then")
def expect_continue():
    box, up = box_and_up()
    body = body_of("may I")
    with box.peer() as peer:
        peer.send(box.request_bytes(PATH, b"", {"expect": "100-continue", "content-length": str(len(body))},
                                    close=False))
        equal(peer.line(), b"HTTP/1.1 100 Continue")
        equal(peer.line(), b"")
        peer.send(body)
        reply = peer.reply()
        equal((reply.status, reply.interim), (200, []))
        reply.body
        peer.send(box.request_bytes(PATH, chat_body("may I"), close=False))
        equal(peer.reply().interim, [], "1xx replies nobody asked for")
    equal(up.count(), 1, "calls")


@test("http: HEAD gives a head without a body and the connection goes on")
def head():
    box, _ = box_and_up()
    with box.peer() as peer:
        peer.send(box.request_bytes("/v1/models", method="HEAD", close=False))
        reply = peer.reply("HEAD")
        equal(reply.status, 200)
        equal(reply.body, b"")
        peer.send(box.request_bytes("/v1/models", method="GET", close=False))
        reply = peer.reply("GET")
        equal(reply.status, 200)
        check(reply.json["data"], reply)


@test("http: HTTP/1.0 is answered in HTTP/1.0's ways and closed")
def http_1_0():
    box, _ = box_and_up()
    for stream in (False, True):
        for again in range(2):
            with box.peer() as peer:
                request = box.request_bytes(PATH, chat_body("old %s" % stream, stream), close=False)
                peer.send(request.replace(b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", 1))
                reply = peer.reply()
                equal(reply.status, 200)
                check(not reply.has("transfer-encoding"), "chunked in HTTP/1.0", reply.headers)
                check("old" in reply.said["text"], reply)
                equal(peer.rest(), b"", "after the reply (%d)" % again)


@test("http: Connection: close is honoured after a miss, a hit and a stream")
def connection_close():
    box, _ = box_and_up()
    for stream in (False, True, False, True):
        with box.peer() as peer:
            peer.send(box.request_bytes(PATH, chat_body("bye", stream), close=True))
            reply = peer.reply()
            check("bye" in reply.said["text"] and reply.clean)
            equal(peer.rest(), b"")


@test("http: bytes one at a time")
def trickle():
    box, _ = box_and_up()
    with box.peer() as peer:
        for byte in box.request_bytes(PATH, chat_body("drip"), close=False):
            peer.send(bytes([byte]))
        equal(peer.reply().status, 200)


@test("http: idle connections are closed in silence")
def idle():
    box, _ = box_and_up(config={"limits": {"timeouts": {"idle": "700ms"}}})
    with box.peer() as fresh, box.peer() as used:
        used.send(box.request_bytes(PATH, chat_body("then idle"), close=False))
        used.reply().body
        equal(used.rest(6), b"", "bytes on a used idle connection")
        equal(fresh.rest(6), b"", "bytes on a fresh idle connection")


@test("limits: slow heads are closed")
def slow_heads():
    box, up = box_and_up(config={"limits": {"timeouts": {"header": "700ms", "idle": "60s"}}})
    with box.peer() as peer:
        request = box.request_bytes(PATH, chat_body("slow"))
        end = time.monotonic() + 5
        try:
            for byte in request[:60]:
                peer.send(bytes([byte]))
                time.sleep(0.1)
                check(time.monotonic() < end)
            raise AssertionError("a head may take for ever")
        except (BrokenPipeError, ConnectionResetError):
            pass
    with box.peer() as peer:
        peer.send(b"POST /v1/chat/comp")
        said = peer.rest(6)
        check(said == b"" or said.startswith(b"HTTP/1.1 408"), said)
    equal(up.count(), 0, "calls")
    is_miss(box.chat("fast"))


@test("limits: slow bodies are closed, a slow head holds nobody up")
def slow_bodies():
    box, up = box_and_up(config={"limits": {"timeouts": {"body": "700ms"}}})
    with box.peer() as peer:
        peer.send(box.request_bytes(PATH, b"", {"content-length": "500"}) + b'{"model":')
        is_miss(box.chat("meanwhile"))
        said = peer.rest(6)
        check(said == b"" or said.startswith(b"HTTP/1.1 408"), said)
    equal(up.count(), 1, "calls")


@test("limits: connections per address")
def per_address():
    box, _ = box_and_up(config={"limits": {"connections_per_address": 4}})
    peers = [box.peer() for _ in range(4)]
    for peer in peers:
        peer.send(box.request_bytes(PATH, chat_body("mine"), close=False))
        equal(peer.reply().status, 200)
    try:
        with box.peer() as fifth:
            fifth.send(box.request_bytes(PATH, chat_body("mine"), close=True))
            said = fifth.rest(4)
            check(said == b"" or b" 429 " in said[:20] or b" 503 " in said[:20], "a fifth connection", said[:300])
    except (ConnectionError, Cut):
        pass
    equal(box.chat("mine", source="127.0.0.9").status, 200, "another address")
    for peer in peers:
        peer.close()
    harness.time.sleep(0.1)
    is_hit(box.chat("mine"))


@test("limits: a body over the limit is 413")
def body_limit():
    box, up = box_and_up(config={"limits": {"body": "2MiB"}})
    with box.peer() as peer:
        peer.send(box.request_bytes(PATH, b"", {"content-length": str(3 << 20)}))
        reply = peer.reply()
        equal(reply.status, 413)
        check(reply.json["error"]["message"], reply)
    equal(up.count(), 0, "calls")


@test("limits: a body over parse_max streams through uncached", limit=60)
def over_parse_max():
    box, up = box_and_up()
    big = body_of("large " + "x" * (3 << 20))
    for count in (1, 2):
        reply = box.ask(PATH, big)
        equal((reply.status, reply.header("x-larder-hit")), (200, "none"))
        check("fwd=bypass" in reply.header("cache-status", ""), reply.header("cache-status"))
        check("large" in reply.said["text"], reply)
        equal(up.count(), count, "calls")
    equal(up.calls[-1].body, big, "bytes upstream")
    reply = box.ask(PATH, body_of("large stream " + "x" * (3 << 20), True))
    check("large stream" in reply.said["text"], reply)
    with box.peer() as peer:
        peer.send(box.request_bytes(PATH, b"", {"content-length": None, "transfer-encoding": "chunked"}, close=False))
        for at in range(0, len(big), 100_000):
            piece = big[at:at + 100_000]
            peer.send(b"%x\r\n%s\r\n" % (len(piece), piece))
        peer.send(b"0\r\n\r\n")
        equal(peer.reply().status, 200)
    equal(up.calls[-1].body, big, "bytes upstream of a chunked request")


@test("limits: JSON nested too deep is refused in the dialect's shape")
def depth():
    box, _ = box_and_up()
    deep = "[" * 5000 + "]" * 5000
    reply = box.ask(PATH, '{"model":"gpt-test","messages":[{"role":"user","content":"d"}],"x":%s}' % deep)
    check(reply.status in (200, 400), reply)
    if reply.status == 400:
        check(reply.json["error"]["message"], reply)
    is_miss(box.chat("after the depth"))


@test("errors: bodies that are no request are 400, never 500, and the next one is served")
def not_a_request():
    box, up = box_and_up()
    for body in ("", "nonsense", "[1,2]", '"text"', "null", "17", '{"model":"gpt-test"}', '{"messages":[]}',
                 '{"model":"gpt-test","messages":"x"}', '{"model":7,"messages":[]}', '{"model":"gpt-test","messages":[',
                 '{"model":"gpt-test","messages":[{"role":"user","content":NaN}]}', "{}", "\xff\xfe", '{"model":"a"}}'):
        reply = box.ask(PATH, body.encode("latin-1"))
        check(reply.status == 400, "status of", body, reply)
        check(reply.json["error"]["message"], body, reply)
        check(reply.json["error"]["type"] == "invalid_request_error", body, reply)
    reply = box.ask("/v1/messages", b"nonsense", headers={"anthropic-version": "2023-06-01"}, style="x-api-key")
    equal((reply.status, reply.json["type"], reply.json["error"]["type"]), (400, "error", "invalid_request_error"))
    is_miss(box.chat("fine"))
    check(up.count("fine") == 1)


@test("errors: unknown paths outside /v1/ are ours, in a clear shape")
def unknown_path():
    box, up = box_and_up()
    reply = box.ask("/nowhere", method="GET")
    equal(reply.status, 404)
    check(reply.json["error"]["message"], reply)
    equal(up.count(), 0, "calls")


# ---- pass-through --------------------------------------------------------------------------------------------------

@test("pass-through: unknown paths go upstream with the client's own credential, uncached")
def pass_through():
    box, up = box_and_up()
    for count in (1, 2):
        reply = box.ask("/v1/moderations?limit=2", b'{"input":"x"}')
        equal(reply.status, 200)
        said = reply.json
        equal((said["path"], said["query"], said["method"]), ("/v1/moderations", "limit=2", "POST"))
        equal(dict(said["headers"])["authorization"], "Bearer " + harness.KEY, "credential upstream")
        equal(said["serial"], count, "serial")
        check("bypass" in reply.header("cache-status", "fwd=bypass"), reply.header("cache-status"))
    reply = box.get("/v1/files/file-abc")
    equal((reply.status, reply.json["method"]), (200, "GET"))
    reply = box.ask("/v1/files/file-abc", method="DELETE")
    equal((reply.status, reply.json["method"]), (200, "DELETE"))
    before = up.count()
    reply = box.ask("/v1/moderations", b'{"input":"x"}', key=None)
    check(reply.status in (401, 403, 404), "without a credential", reply)
    check(reply.json["error"]["message"], reply)
    equal(up.count(), before, "calls without a credential")


@test("pass-through: what goes upstream has our Host and no hop-by-hop or forwarding field")
def upstream_headers():
    box, up = box_and_up()
    box.chat("h", headers={"connection": "keep-alive, x-private", "x-private": "1", "proxy-authorization": "Basic eA==",
                           "te": "trailers", "x-mine": "kept", "x-larder-namespace": "n", "cookie": "a=b"})
    call = up.calls[0]
    equal(call.header("host"), "localhost:%d" % up.port)
    equal(call.header("x-mine"), "kept")
    for name in ("x-private", "proxy-authorization", "te", "x-larder-namespace", "x-forwarded-for"):
        equal(call.header(name), None, name)
    equal(call.header("authorization"), "Bearer " + harness.KEY)


@test("pass-through: a redirect is not followed and its target gets no credential")
def redirect():
    box, up = box_and_up()
    other = plain_upstream("other")
    up.redirect_to = other.url("/v1/stolen")
    reply = box.get("/v1/redirect")
    equal(reply.status, 307)
    equal(other.count(), 0, "calls at the redirect's target")


@test("pass-through: large replies and large uploads stream", limit=60)
def large_replies():
    box, _ = box_and_up()
    reply = box.chat("big [[size=6000000]]", timeout=30)
    check(len(reply.said["text"]) > 5_900_000 and reply.clean, len(reply.body))
    reply = box.chat("big stream [[size=100000]]", stream=True, timeout=30)
    check(len(reply.said["text"]) > 99_000 and reply.clean, len(reply.body))
    sent = bytes(range(256)) * 8192
    reply = box.ask("/v1/files", sent, headers={"content-type": "application/octet-stream"})
    equal(reply.json["body_sha256"], hashlib.sha256(sent).hexdigest(), "upload")


@test("http: several addresses, both families")
def addresses():
    if not socket.has_ipv6 or not harness.os.path.exists("/proc/net/if_inet6"):
        raise harness.Skip("no IPv6 here")
    up = upstream()
    box = Box(up, autostart=False)
    second = harness.free_port()
    box.write_config({"listen": {"api": ["127.0.0.1:%d" % box.api[1], "[::1]:%d" % second]}})
    try:
        box.start()
    except AssertionError:
        if "00000000000000000000000000000001" in open("/proc/net/if_inet6", encoding="ascii").read():
            raise
        raise harness.Skip("no IPv6 loopback here") from None
    is_miss(box.chat("both"))
    box.api = ("::1", second)
    is_hit(box.chat("both"))


@test("tls: the API port serves TLS with its own certificate")
def api_tls():
    import ssl
    up = upstream()
    cert, key = harness.certs().leaf_paths()
    box = Box(up, {"listen": {"tls": {"cert": cert, "key": key}}})
    context = ssl.create_default_context(cafile=harness.certs().ca_path)
    for stream in (False, True, False):
        peer = Peer(box.api)
        peer.socket = context.wrap_socket(peer.socket, server_hostname="localhost")
        peer.send(box.request_bytes(PATH, chat_body("over tls", stream)))
        reply = peer.reply()
        check("over tls" in reply.said["text"] and reply.clean, reply)
        peer.close()
    equal(up.count(), 1, "calls")
    with box.peer() as plain:
        plain.send(box.request_bytes(PATH, chat_body("not tls")))
        check(not plain.rest(8).startswith(b"HTTP/1.1 200"), "plain text on a TLS port")
    peer = Peer(box.api)
    peer.socket = context.wrap_socket(peer.socket, server_hostname="localhost")
    peer.send(box.request_bytes(PATH, chat_body("over tls")))
    is_hit(peer.reply())


if __name__ == "__main__":
    harness.main()
