# SPDX-License-Identifier: Apache-2.0
"""HTTP/1.1 by hand: sends exactly the bytes a test wants and reads replies piece by piece."""

import json
import socket
import time


class Cut(Exception):
    """The connection ended before the reply did."""


class Peer:
    """One connection."""

    def __init__(self, address, timeout=10.0, source=None):
        self.socket = socket.create_connection(address, timeout, source_address=(source, 0) if source else None)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data if isinstance(data, bytes) else data.encode("latin-1"))
        return self

    def _fill(self):
        try:
            data = self.socket.recv(65536)
        except ConnectionError as error:
            raise Cut("reset") from error
        if not data:
            raise Cut("end of stream")
        self.buffer += data

    def line(self):
        while b"\n" not in self.buffer:
            self._fill()
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line.rstrip(b"\r")

    def some(self, most):
        """At least one byte, at most `most`."""
        if not self.buffer:
            self._fill()
        data, self.buffer = self.buffer[:most], self.buffer[most:]
        return data

    def exactly(self, size):
        while len(self.buffer) < size:
            self._fill()
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data

    def reply(self, method="POST"):
        return Reply(self, method)

    def rest(self, timeout=5.0):
        """Everything until the other side closes; b'' is a silent close. A side that does not close fails."""
        self.socket.settimeout(timeout)
        try:
            while True:
                self._fill()
        except Cut:
            data, self.buffer = self.buffer, b""
            return data
        except TimeoutError:
            raise AssertionError("the connection was still open after %.1f s" % timeout) from None


class Reply:
    """A reply's head; the body is read as it comes (`pieces`) or at once (`body`)."""

    def __init__(self, peer, method="POST"):
        self.peer, self.method = peer, method
        self.interim = []
        while True:
            self._head()
            if self.status >= 200:
                break
            self.interim.append(self.status)
        self.clean = None                   # known when the body has been read
        self._body = None
        self._reader = self._read()

    def _head(self):
        start = self.peer.line().decode("latin-1")
        self.version, status, self.reason = (start.split(" ", 2) + ["", ""])[:3]
        self.status = int(status)
        self.headers = []
        while line := self.peer.line():
            name, _, value = line.decode("latin-1").partition(":")
            self.headers.append((name.lower(), value.strip()))

    def header(self, name, default=None):
        for key, value in self.headers:
            if key == name.lower():
                return value
        return default

    def has(self, name):
        return self.header(name) is not None

    def _read(self):
        if self.method == "HEAD" or self.status in (204, 304):
            return
        if "chunked" in (self.header("transfer-encoding") or "").lower():
            while size := int(self.peer.line().split(b";")[0], 16):
                left = size
                while left:
                    data = self.peer.some(left)
                    left -= len(data)
                    yield data
                self.peer.exactly(2)
            while self.peer.line():
                pass
        elif self.has("content-length"):
            left = int(self.header("content-length"))
            while left:
                data = self.peer.some(left)
                left -= len(data)
                yield data
        else:
            while True:
                try:
                    yield self.peer.some(65536)
                except Cut:
                    return

    def pieces(self):
        """Yields body bytes as they arrive. Ends quietly on a cut: look at `clean`."""
        try:
            for data in self._reader: # not `yield from`: leaving this generator must not close the reader
                yield data
            self.clean = True
        except (Cut, ValueError):
            self.clean = False

    @property
    def body(self):
        if self._body is None:
            self._body = b"".join(self.pieces())
        return self._body

    def until(self, mark, timeout=8.0):
        """Reads the body until it holds `mark`; returns all read so far. Later reads go on from there."""
        self._seen = getattr(self, "_seen", b"")
        end = time.monotonic() + timeout
        for piece in self.pieces():
            self._seen += piece
            if mark in self._seen:
                return self._seen
            if time.monotonic() > end:
                break
        raise AssertionError("no %r in what came: %r" % (mark, self._seen[-400:]))

    def all(self):
        """What `until` read before, and the rest."""
        return getattr(self, "_seen", b"") + self.body

    @property
    def json(self):
        try:
            return json.loads(self.body)
        except ValueError:
            raise AssertionError("status %d, not JSON: %r" % (self.status, self.body[:400])) from None

    def events(self):
        return sse_events(self.all())

    @property
    def is_stream(self):
        return "text/event-stream" in (self.header("content-type") or "")

    @property
    def said(self):
        """The answer in one shape, whatever the dialect and form."""
        return said_of_stream(self.events()) if self.is_stream else said_of_object(self.json)

    def __repr__(self):
        return "<%d %s %r>" % (self.status, dict(self.headers), self.all()[:300])


def sse_events(data):
    """[(event name or None, data text)] of a stream's bytes."""
    events, name, lines = [], None, []
    for line in data.decode("utf-8").replace("\r\n", "\n").split("\n"):
        if line == "":
            if lines:
                events.append((name, "\n".join(lines)))
            name, lines = None, []
        elif line.startswith("event:"):
            name = line[6:].strip()
        elif line.startswith("data:"):
            lines.append(line[5:].removeprefix(" "))
    return events


def in_order(value):
    """JSON text that is the same for the same value."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def said_of_object(value):
    if value.get("type") == "message":
        blocks = value["content"]
        return {"id": value["id"], "model": value["model"], "finish": value["stop_reason"],
                "text": "".join(b["text"] for b in blocks if b["type"] == "text"),
                "thinking": "".join(b["thinking"] for b in blocks if b["type"] == "thinking"),
                "signature": "".join(b.get("signature", "") for b in blocks if b["type"] == "thinking"),
                "tools": [(b["id"], b["name"], in_order(b["input"])) for b in blocks if b["type"] == "tool_use"],
                "output_tokens": value["usage"]["output_tokens"]}
    if "choices" not in value:
        raise AssertionError("not an answer: %r" % value)
    message = value["choices"][0]["message"]
    calls = message.get("tool_calls") or []
    return {"id": value["id"], "model": value["model"], "created": value["created"],
            "finish": value["choices"][0]["finish_reason"], "text": message["content"] or "",
            "tools": [(c["id"], c["function"]["name"], c["function"]["arguments"]) for c in calls],
            "output_tokens": (value.get("usage") or {}).get("completion_tokens")}


def said_of_stream(events):
    if events and events[0][0]:
        return _said_of_anthropic(events)
    said = {"text": "", "tools": [], "finish": None, "output_tokens": None}
    calls = {}
    for _, data in events:
        if data == "[DONE]":
            continue
        chunk = json.loads(data)
        if "error" in chunk:
            raise AssertionError("an error event: %s" % data)
        said.update(id=chunk["id"], model=chunk["model"], created=chunk["created"])
        if chunk.get("usage"):
            said["output_tokens"] = chunk["usage"]["completion_tokens"]
        for choice in chunk["choices"]:
            if choice["index"]:
                continue
            delta = choice["delta"]
            said["text"] += delta.get("content") or ""
            said["finish"] = choice["finish_reason"] or said["finish"]
            for call in delta.get("tool_calls") or []:
                have = calls.setdefault(call["index"], ["", "", ""])
                have[0] += call.get("id") or ""
                have[1] += call["function"].get("name") or ""
                have[2] += call["function"].get("arguments") or ""
    said["tools"] = [tuple(calls[i]) for i in sorted(calls)]
    return said


def _said_of_anthropic(events):
    said = {"text": "", "thinking": "", "signature": "", "tools": [], "finish": None, "output_tokens": None}
    for name, data in events:
        event = json.loads(data)
        if name != event["type"]:
            raise AssertionError("event: %s carries type %s" % (name, event["type"]))
        if name == "error":
            raise AssertionError("an error event: %s" % data)
        if name == "message_start":
            said.update(id=event["message"]["id"], model=event["message"]["model"])
        elif name == "content_block_start" and event["content_block"]["type"] == "tool_use":
            block = event["content_block"]
            said["tools"].append([block["id"], block["name"], ""])
        elif name == "content_block_delta":
            delta = event["delta"]
            said["text"] += delta.get("text", "")
            said["thinking"] += delta.get("thinking", "")
            said["signature"] += delta.get("signature", "")
            if delta["type"] == "input_json_delta":
                said["tools"][-1][2] += delta["partial_json"]
        elif name == "message_delta":
            said["finish"] = event["delta"]["stop_reason"]
            said["output_tokens"] = event["usage"]["output_tokens"]
    said["tools"] = [(i, n, in_order(json.loads(a or "{}"))) for i, n, a in said["tools"]]
    return said
