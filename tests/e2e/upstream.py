# SPDX-License-Identifier: Apache-2.0
"""An upstream of our own: speaks the wire formats of both providers over TLS, and misbehaves when told to.

A prompt steers its own answer with marks such as `[[slow=0.3]] [[tool]] [[cut=3]]`:

  before the head   slow=S  hold=NAME (until release(NAME))  hang  early=N (1xx replies first)  drop (close, no byte)
  status            status=N  fail=K (only the first K calls of this question)  retry_after=S  retry_ms=N
                    odd_error=html|empty  portal=page|redirect|login (somebody between answers)
  answer            tool=N  think  empty  length  refuse  filter  sequence  tokens=N  size=BYTES  no_store
  stream            pace=S  gate=N:NAME (hold after N events)  stall=N  cut=N  reset=N  clean=N (clean HTTP end early)
                    error_event=N  no_end  no_done  odd=byte|split|join|crlf|comment|fields|multiline|nospace
  body              code=gzip|zstd  frame=chunked|sized|eof  invalid (broken JSON)  short (fewer bytes than promised)

It runs on a thread of its own (class Upstream) or as a program: `upstream.py --folder DIR [--port P] [--control P]`.
"""

import argparse
import asyncio
import collections
import gzip
import hashlib
import json
import logging
import os
import socket
import struct
import sys
import tempfile
import threading
import time
import zlib

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import wire  # noqa: E402
from certs import Certs  # noqa: E402

HEAD_MAX = 256 * 1024
logging.getLogger("asyncio").setLevel(logging.CRITICAL)   # clients leave in the middle, on purpose


class Gone(Exception):
    """The peer left while we had more to say."""


class Stop(Exception):
    """This connection ends here, on purpose."""


class Call:
    """One request as it arrived, and what became of it."""

    def __init__(self, connection, head, body):
        self.connection = connection
        self.raw_head = head
        lines = head.decode("latin-1").split("\r\n")
        self.method, self.target, self.version = lines[0].split(" ", 2)
        self.path, _, self.query = self.target.partition("?")
        fields = (line.partition(":") for line in lines[1:] if line)
        self.headers = [(name.strip().lower(), value.strip()) for name, _, value in fields]
        self.body = body
        self.time = time.monotonic()
        self.serial = 0
        self.outcome = None                 # None while running, else done, gone, cut, reset, dropped
        self.events_sent = 0
        try:
            self.json = json.loads(body) if body else None
        except ValueError:
            self.json = None
        self.steer = wire.directives(wire.last_user_text(self.json))
        self.question = wire.plain_question(wire.last_user_text(self.json))

    def header(self, name, default=None):
        for key, value in self.headers:
            if key == name.lower():
                return value
        return default

    def key(self):
        bearer = self.header("authorization", "")
        return bearer[7:] if bearer.lower().startswith("bearer ") else self.header("x-api-key", "")


class Protocol(asyncio.StreamReaderProtocol):
    """Knows when the peer left, also while nobody reads."""

    def __init__(self, reader, handler, loop):
        super().__init__(reader, handler, loop=loop)
        self.gone = asyncio.Event()

    def eof_received(self):
        self.gone.set()
        return super().eof_received()

    def connection_lost(self, exc):
        self.gone.set()
        super().connection_lost(exc)


class Connection:
    """One accepted connection: reads requests one after another and answers them."""

    count = 0

    def __init__(self, upstream, reader, writer):
        Connection.count += 1
        self.id = Connection.count
        self.up, self.reader, self.writer = upstream, reader, writer
        self.gone = writer.transport.get_protocol().gone
        self.socket = writer.get_extra_info("socket")
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        tls = writer.get_extra_info("ssl_object")
        self.server_name = getattr(tls, "larder_name", None)
        self.resumed = bool(tls and tls.session_reused)
        self.tls_version = tls.version() if tls else None

    async def run(self):
        try:
            while await self.serve_one():
                pass
        except (Gone, Stop, asyncio.IncompleteReadError, ConnectionError, asyncio.LimitOverrunError, ValueError):
            pass
        finally:
            self.writer.close()

    async def read_body(self, headers):
        if headers.get("expect", "").lower() == "100-continue":
            self.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if headers.get("transfer-encoding", "").lower() == "chunked":
            body = b""
            while True:
                size = int((await self.reader.readuntil(b"\r\n")).split(b";")[0], 16)
                body += (await self.reader.readexactly(size + 2))[:-2]
                if size == 0:
                    return body
        return await self.reader.readexactly(int(headers.get("content-length", "0")))

    async def serve_one(self):
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return False
        head = head[:-4]
        fields = {n.strip().lower(): v.strip() for n, _, v in
                  (line.partition(":") for line in head.decode("latin-1").split("\r\n")[1:])}
        body = await self.read_body(fields)
        call = Call(self, head, body)
        self.up.note(call)
        try:
            await self.answer(call)
            self.up.end(call, "done")
        except (Gone, ConnectionError):
            self.up.end(call, "gone")
            raise
        except Stop as stop:
            self.up.end(call, str(stop))
            raise
        return fields.get("connection", "").lower() != "close" and not self.up.close_after_reply

    # -- writing ---------------------------------------------------------------------------------------------------

    async def write(self, data):
        if self.gone.is_set() or self.writer.is_closing():
            raise Gone
        self.writer.write(data)
        await self.writer.drain()

    async def wait(self, event_or_seconds):
        """Waits for the time or the named event; a peer that leaves ends the wait."""
        gone = asyncio.ensure_future(self.gone.wait())
        if isinstance(event_or_seconds, str):
            other = asyncio.ensure_future(self.up.event(event_or_seconds).wait())
        else:
            other = asyncio.ensure_future(asyncio.sleep(event_or_seconds))
        await asyncio.wait({gone, other}, return_when=asyncio.FIRST_COMPLETED)
        left = not other.done()
        gone.cancel()
        other.cancel()
        if left:
            raise Gone

    async def cut(self, how):
        """Ends the TCP connection in the middle: 'cut' by FIN without a TLS goodbye, 'reset' by RST."""
        await asyncio.sleep(0.02)           # what was written before is on its way
        if how == "reset":
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()
        raise Stop(how)

    async def head(self, status, headers):
        reason = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found",
                  307: "Temporary Redirect", 413: "Payload Too Large", 429: "Too Many Requests",
                  500: "Internal Server Error", 503: "Service Unavailable"}.get(status, "Status")
        text = "HTTP/1.1 %d %s\r\n" % (status, reason) + "".join("%s: %s\r\n" % pair for pair in headers) + "\r\n"
        await self.write(text.encode("latin-1"))

    async def chunk(self, data):
        if data:
            await self.write(b"%x\r\n%s\r\n" % (len(data), data))

    async def whole(self, call, status, headers, body):
        """A reply whose body is known: sized by default, chunked or ended by closing when told."""
        framing = call.steer.get("frame", "sized")
        if call.method == "HEAD":
            await self.head(status, headers + [("content-length", str(len(body)))])
        elif framing == "chunked":
            await self.head(status, headers + [("transfer-encoding", "chunked")])
            for at in range(0, len(body), 1000):
                await self.chunk(body[at:at + 1000])
            await self.write(b"0\r\n\r\n")
        elif framing == "eof":
            await self.head(status, headers + [("connection", "close")])
            await self.write(body)
            raise Stop("done")
        else:
            promised = len(body) + (50 if "short" in call.steer else 0)
            await self.head(status, headers + [("content-length", str(promised))])
            await self.write(body)
            if "short" in call.steer:
                await self.cut("cut")

    # -- answering -------------------------------------------------------------------------------------------------

    async def answer(self, call):
        dialect = self.up.dialect_of(call)
        steer = dict(call.steer, **self.up.force)
        call.steer = steer
        await self.before_head(call)
        status = self.up.status_of(call)
        if steer.get("portal"):
            await self.portal(call, steer["portal"])
        elif status:
            await self.error(call, dialect, status)
        elif call.path.endswith("/chat/completions") or call.path.endswith("/messages"):
            await self.completion(call, dialect)
        elif call.path.endswith("/models"):
            await self.whole(call, 200, self.common(call, dialect, "application/json"),
                             dialect.encode(dialect.models()))
        elif call.path.endswith("/redirect"):
            await self.whole(call, 307, [("location", self.up.redirect_to), ("date", http_date())], b"")
        else:
            await self.echo(call, dialect)

    async def before_head(self, call):
        steer = call.steer
        for _ in range(int(steer.get("early") or 0)):
            await self.write(b"HTTP/1.1 103 Early Hints\r\nlink: </x>; rel=preload\r\n\r\n")
            await self.write(b"HTTP/1.1 102 Processing\r\n\r\n")
        if "early" in steer:
            await self.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if "slow" in steer:
            await self.wait(float(steer["slow"]))
        if "hold" in steer:
            await self.wait(steer["hold"])
        if "hang" in steer:
            await self.wait("never")
        if "drop" in steer:
            await self.cut("dropped")

    def common(self, call, dialect, kind):
        headers = [("date", http_date()), ("content-type", kind)]
        headers += dialect.headers(call.serial, wire.short(self.up.name, call.serial))
        if "no_store" in call.steer:
            headers.append(("cache-control", "no-store"))
        if "hop" in call.steer:
            headers += [("connection", "keep-alive, x-hop"), ("x-hop", "private"), ("keep-alive", "timeout=5"),
                        ("proxy-authenticate", "Basic")]
        if self.up.date:
            headers[0] = ("date", self.up.date)
        return headers

    async def error(self, call, dialect, status):
        model = call.json.get("model", "") if isinstance(call.json, dict) else ""
        body, extra = dialect.error(status, model, mask_key(call.key()))
        headers = self.common(call, dialect, "application/json") + extra
        if "retry_after" in call.steer:
            headers.append(("retry-after", call.steer["retry_after"]))
        if "retry_ms" in call.steer:
            headers.append(("retry-after-ms", call.steer["retry_ms"]))
        data = dialect.encode(body)
        if call.steer.get("odd_error") == "html":
            headers[1] = ("content-type", "text/html")
            data = b"<html><body>bad gateway</body></html>"
        elif call.steer.get("odd_error") == "empty":
            data = b""
        await self.whole(call, status, headers, data)

    async def portal(self, call, kind):
        """What hotels and trains answer to everything: no JSON, and no date to be trusted."""
        page = b"<html><body>Please log in to use this network</body></html>"
        status = {"page": 200, "redirect": 302, "login": 511}[kind]
        headers = [("content-type", "text/html; charset=utf-8"), ("date", "Thu, 01 Jan 2015 00:00:00 GMT")]
        if kind == "redirect":
            headers.append(("location", "http://portal.test/login"))
        await self.whole(call, status, headers, page)

    async def completion(self, call, dialect):
        if not isinstance(call.json, dict) or not isinstance(call.json.get("messages"), list):
            await self.error(call, dialect, 400)
            return
        answer = wire.Answer(call.serial, self.up.name, call.json, call.steer)
        if call.json.get("stream") is True:
            await self.stream(call, dialect, answer)
            return
        data = dialect.encode(dialect.object(answer, call.json))
        if "invalid" in call.steer:
            data = data[:len(data) // 2]
        headers = self.common(call, dialect, "application/json")
        if "code" in call.steer:
            coder = Coder(call.steer["code"])
            data = coder.piece(data) + coder.end()
            headers.append(("content-encoding", call.steer["code"]))
        await self.whole(call, 200, headers, data)

    async def stream(self, call, dialect, answer):
        steer = call.steer
        coder = Coder(steer.get("code", "identity"))
        headers = self.common(call, dialect, "text/event-stream; charset=utf-8")
        if not any(name == "cache-control" for name, _ in headers):
            headers.append(("cache-control", "no-cache"))
        if coder.name != "identity":
            headers.append(("content-encoding", coder.name))
        until_close = steer.get("frame") == "eof"
        headers.append(("connection", "close") if until_close else ("transfer-encoding", "chunked"))
        await self.head(200, headers)
        send = self.write if until_close else self.chunk
        gate, _, gate_name = steer.get("gate", "-1:").partition(":")
        for count, piece in enumerate(wire.frames(dialect.events(answer, call.json), steer.get("odd", ""))):
            if count == int(gate):
                await self.wait(gate_name)
            for how in ("cut", "reset"):
                if count == int(steer.get(how) or -1):
                    await self.cut(how)
            if count == int(steer.get("stall") or -1):
                await self.wait("never")
            if count == int(steer.get("clean") or -1):
                break
            await send(coder.piece(piece))
            call.events_sent = count + 1
            if "pace" in steer:
                await self.wait(float(steer["pace"]))
        await send(coder.end())
        if until_close:
            raise Stop("done")
        await self.write(b"0\r\n\r\n")

    async def echo(self, call, dialect):
        said = {"echo": True, "serial": call.serial, "method": call.method, "path": call.path, "query": call.query,
                "headers": call.headers, "body_size": len(call.body),
                "body_sha256": hashlib.sha256(call.body).hexdigest()}
        await self.whole(call, 200, self.common(call, dialect, "application/json"), wire.dump(said).encode())


class Coder:
    """Content coding in pieces; every piece can be decoded as soon as it arrives."""

    def __init__(self, name):
        self.name = name
        if name == "gzip":
            self.worker = zlib.compressobj(6, zlib.DEFLATED, 31)
        elif name == "zstd":
            import zstandard
            self.worker = zstandard.ZstdCompressor().compressobj()
            self.flush_block = zstandard.COMPRESSOBJ_FLUSH_BLOCK

    def piece(self, data):
        if self.name == "gzip":
            return self.worker.compress(data) + self.worker.flush(zlib.Z_SYNC_FLUSH)
        if self.name == "zstd":
            return self.worker.compress(data) + self.worker.flush(self.flush_block)
        return data

    def end(self):
        return self.worker.flush() if self.name in ("gzip", "zstd") else b""


def mask_key(key):
    return key[:7] + "*" * max(0, len(key) - 11) + key[-4:] if len(key) > 11 else key


def http_date(at=None):
    return time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(at))


class Service:
    """An asyncio server on a thread of its own; start, stop and come back on the same port."""

    def __init__(self, host="127.0.0.1", port=0):
        self.host, self.port = host, port
        self.loop = asyncio.new_event_loop()
        self.server = None
        self.writers = set()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()

    def on_loop(self, coroutine, timeout=10):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(timeout)

    def context(self):
        return None

    async def handle(self, reader, writer):
        raise NotImplementedError

    async def _tracked(self, reader, writer):
        self.writers.add(writer)
        try:
            await self.handle(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, OSError):
            pass
        finally:
            self.writers.discard(writer)
            writer.close()

    async def _listen(self):
        loop = asyncio.get_running_loop()

        def factory():
            reader = asyncio.StreamReader(limit=HEAD_MAX, loop=loop)
            return Protocol(reader, self._tracked, loop)

        for _ in range(100):
            try:
                self.server = await loop.create_server(factory, self.host, self.port, ssl=self.context(), backlog=1024,
                                                       reuse_address=True)
                break
            except OSError:                 # the port of our former life is not free yet
                await asyncio.sleep(0.05)
        self.port = self.server.sockets[0].getsockname()[1]

    def start(self):
        self.on_loop(self._listen())
        return self

    async def _vanish(self):
        if self.server:
            self.server.close()
            self.server = None
        for writer in list(self.writers):
            writer.transport.abort()

    def vanish(self):
        """Stops listening and drops every connection; `start` brings it back on the same port."""
        self.on_loop(self._vanish())

    def close(self):
        try:
            self.vanish()
        finally:
            self.loop.call_soon_threadsafe(self.loop.stop)
            self.thread.join(5)


class Upstream(Service):
    def __init__(self, certs=None, kind="good", name="up", host="127.0.0.1", port=0):
        """`certs` None: plain HTTP (a LAN model server)."""
        super().__init__(host, port)
        self.name, self.certs, self.kind = name, certs, kind
        self.lock = threading.Condition()
        self.calls = []
        self.serial = 0
        self.per_question = collections.Counter()
        self.accepted = 0
        self.events = {}
        self.force = {}                     # marks laid over every prompt's own
        self.denied = set()                 # keys that get 401
        self.needs_key = True
        self.close_after_reply = False
        self.redirect_to = "/v1/elsewhere"
        self.date = None                    # a `Date` of its own

    def context(self):
        if not self.certs:
            return None
        context = self.certs.context(self.kind)
        context.sni_callback = lambda ssl_object, server_name, _: setattr(ssl_object, "larder_name", server_name)
        return context

    def url(self, path="", host="localhost"):
        return "%s://%s:%d%s" % ("https" if self.certs else "http", host, self.port, path)

    async def handle(self, reader, writer):
        self.accepted += 1
        await Connection(self, reader, writer).run()

    # -- what the tests ask ------------------------------------------------------------------------------------------

    def note(self, call):
        with self.lock:
            self.serial += 1
            call.serial = self.serial
            self.calls.append(call)
            self.per_question[call.question] += 1
            call.nth = self.per_question[call.question]
            self.lock.notify_all()

    def end(self, call, outcome):
        with self.lock:
            call.outcome = outcome
            self.lock.notify_all()

    def select(self, path=None, question=None):
        with self.lock:
            return [c for c in self.calls if (path is None or c.path == path)
                    and (question is None or question in c.question)]

    def count(self, question=None, path=None):
        return len(self.select(path, question))

    def wait_for(self, condition, timeout=8.0, what="the upstream"):
        with self.lock:
            if not self.lock.wait_for(condition, timeout):
                raise AssertionError("waited %.0f s in vain for %s" % (timeout, what))

    def wait_calls(self, number, question=None, timeout=8.0):
        def enough():
            return sum(question is None or question in c.question for c in self.calls) >= number
        self.wait_for(enough, timeout, "%d calls of %r" % (number, question))
        return self.select(question=question)

    def wait_outcome(self, call, timeout=8.0):
        self.wait_for(lambda: call.outcome is not None, timeout, "the end of call %d" % call.serial)
        return call.outcome

    def event(self, name):                  # loop thread only
        return self.events.setdefault(name, asyncio.Event())

    def release(self, name):
        """Lets every answer held under this name go on."""
        async def put():
            self.event(name).set()
        self.on_loop(put())

    def reset(self):
        with self.lock:
            self.calls.clear()
            self.per_question.clear()
        self.force, self.denied, self.needs_key, self.date = {}, set(), True, None
        self.close_after_reply = False

    # -- what an answer depends on -----------------------------------------------------------------------------------

    @staticmethod
    def dialect_of(call):
        if call.path.endswith("/messages") or "/messages/" in call.path or call.header("anthropic-version"):
            return wire.Anthropic
        return wire.OpenAI

    def status_of(self, call):
        if call.key() in self.denied or (self.needs_key and (not call.key() or call.key().startswith("sk-bad"))):
            return 401
        if "status" not in call.steer:
            return 0
        if "fail" in call.steer and call.nth > int(call.steer["fail"]):
            return 0
        return int(call.steer["status"])


class Proxy(Service):
    """A CONNECT proxy that counts. `deny` answers 403, `slow_head` sends its answer in two pieces."""

    def __init__(self, host="127.0.0.1", port=0):
        super().__init__(host, port)
        self.targets = []
        self.heads = []
        self.deny = False
        self.route = {}                     # "host:port" → (host, port) really dialled

    def url(self):
        return "http://%s:%d" % (self.host, self.port)

    async def handle(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        self.heads.append(head)
        method, target, _ = head.split("\r\n")[0].split(" ", 2)
        self.targets.append(target)
        if method != "CONNECT" or self.deny:
            writer.write(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n")
            await writer.drain()
            return
        host, _, port = target.rpartition(":")
        host, port = self.route.get(target, (host.strip("[]"), int(port)))
        far_reader, far_writer = await asyncio.open_connection(host, port)
        self.writers.add(far_writer)
        writer.write(b"HTTP/1.1 200 Connection est")
        await asyncio.sleep(0.01)
        writer.write(b"ablished\r\nvia: 1.1 test\r\n\r\n")
        await asyncio.gather(self.pump(reader, far_writer), self.pump(far_reader, writer))
        self.writers.discard(far_writer)

    @staticmethod
    async def pump(reader, writer):
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except (ConnectionError, OSError):
            pass
        finally:
            writer.close()


class Dns:
    """A tiny name server (UDP): A and AAAA from a table, NXDOMAIN for the rest, silence when dead."""

    def __init__(self, host="127.0.0.1", port=0, records=None):
        self.records = records or {}        # name → list of addresses, v4 and v6 mixed
        self.dead = False
        self.ttl = 1
        self.queries = []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((host, port))
        self.port = self.socket.getsockname()[1]
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while True:
            try:
                data, peer = self.socket.recvfrom(2048)
            except OSError:
                return
            if len(data) >= 12 and not self.dead:
                reply = self._reply(data)
                if reply:
                    self.socket.sendto(reply, peer)

    def _reply(self, data):
        labels, at = [], 12
        while data[at]:
            labels.append(data[at + 1:at + 1 + data[at]].decode("latin-1"))
            at += 1 + data[at]
        name = ".".join(labels).lower()
        kind = struct.unpack(">H", data[at + 1:at + 3])[0]
        question = data[12:at + 5]
        self.queries.append((name, kind))
        found = self.records.get(name)
        families = {1: socket.AF_INET, 28: socket.AF_INET6}
        answers = b""
        count = 0
        for address in found or []:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            if families.get(kind) == family:
                raw = socket.inet_pton(family, address)
                answers += b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, self.ttl, len(raw)) + raw
                count += 1
        flags = 0x8580 if found is not None else 0x8583
        return data[:2] + struct.pack(">HHHHH", flags, 1, count, 0, 0) + question + answers

    def close(self):
        self.socket.close()


class Control(Service):
    """Plain HTTP on loopback for other programs: GET /calls; POST /reset, /vanish, /start, /force, /release."""

    def __init__(self, upstream, port=0):
        super().__init__("127.0.0.1", port)
        self.up = upstream

    async def handle(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        path = head.split(" ")[1]
        size = [int(line.split(":")[1]) for line in head.split("\r\n") if line.lower().startswith("content-length")]
        body = await reader.readexactly(size[0]) if size else b""
        reply = await asyncio.get_running_loop().run_in_executor(None, self.act, path, body)
        data = json.dumps(reply).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%s" % (len(data), data))
        await writer.drain()

    def act(self, path, body):
        if path == "/calls":
            return [{"serial": c.serial, "path": c.path, "question": c.question, "outcome": c.outcome,
                     "connection": c.connection.id} for c in self.up.select()]
        if path == "/force":
            self.up.force = json.loads(body)
        elif path == "/release":
            self.up.release(json.loads(body))
        elif path in ("/reset", "/vanish", "/start"):
            getattr(self.up, path[1:])()
        return {"ok": True, "port": self.up.port}


def main():
    parser = argparse.ArgumentParser(description="Larder's upstream simulator")
    parser.add_argument("--folder", help="where the certificates go (default: a temporary one)")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--control", type=int, default=0)
    parser.add_argument("--plain", action="store_true", help="HTTP without TLS")
    given = parser.parse_args()
    folder = given.folder or tempfile.mkdtemp(prefix="larder-upstream-")
    os.makedirs(folder, exist_ok=True)
    certs = None if given.plain else Certs(folder)
    upstream = Upstream(certs, port=given.port).start()
    control = Control(upstream, given.control).start()
    print(json.dumps({"url": upstream.url(), "control": control.port, "ca": certs.ca_path if certs else None}),
          flush=True)
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
