# SPDX-License-Identifier: Apache-2.0
"""Questions in other words with an embeddings endpoint instead of the local model: asked in batches, never waited for."""

import json
import re
import threading
import time
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import harness
from harness import Box, check, equal, is_hit, is_miss, test, upstream

DIM = 256
ASKED = "How do I reset the password of my account?"
OTHER_WORDS = "How can I reset my account's password?"
DULL = set("how do i the of my can a is what to".split())


def vector(text):
    """Bags of content words: texts of the same words are the same direction."""
    numbers = [0.0] * DIM
    for word in re.findall(r"[a-z0-9]+", text.lower().replace("'s", "")):
        if word not in DULL:
            numbers[zlib.crc32(word.encode()) % DIM] += 3.0
    numbers[0] += 0.001
    return numbers


class Embedder:
    """An OpenAI-compatible endpoint that can be told to fail, stall, or answer nonsense."""

    def __init__(self):
        self.calls, self.inputs, self.keys, self.mode, self.delay = 0, [], set(), "fine", 0.0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                outer.calls += 1
                outer.keys.add(self.headers.get("authorization"))
                outer.inputs.append(body["input"])
                time.sleep(outer.delay)
                status, reply = outer.answer(self.path, body)
                try:
                    self.send_response(status)
                    self.send_header("content-type", "application/json")
                    self.send_header("content-length", str(len(reply)))
                    self.end_headers()
                    self.wfile.write(reply)
                except OSError:
                    pass

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, path, body):
        if path != "/v1/embeddings" or body["model"] != "bag-of-words" or body["encoding_format"] != "float":
            return 400, b"{}"
        if self.mode == "error":
            return 500, b"{}"
        if self.mode == "nonsense":
            return 200, b"<html>welcome</html>"
        vectors = [vector(text) for text in body["input"]]
        if self.mode == "narrow":
            vectors = [v[:-1] for v in vectors]
        if self.mode == "infinite":
            return 200, json.dumps({"data": [{"index": 0, "embedding": [1e300] * DIM}]}).encode()
        if self.mode == "twice":
            return 200, json.dumps({"data": [{"index": 0, "embedding": v} for v in vectors + vectors][:len(vectors)]}).encode()
        rows = [{"object": "embedding", "index": i, "embedding": v} for i, v in enumerate(vectors)]
        return 200, json.dumps({"object": "list", "data": rows[::-1]}).encode()


def box_with(up, embedder, **more):
    remote = {"base_url": "http://127.0.0.1:%d/v1" % embedder.port, "key": "sk-embed", "model": "bag-of-words", "dim": DIM}
    return Box(up, config=harness.merged({"semantic": {"embedder": "remote", "remote": remote}}, more),
               cache={"semantic": "preset"})


def together(box, questions):
    """Asks them all at once; each must be answered."""
    statuses = []
    threads = [threading.Thread(target=lambda q=q: statuses.append(box.chat(q).status)) for q in questions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    equal(statuses, [200] * len(questions), "statuses")


def stored(box, up, question, answer):
    up.force["say"] = answer
    reply = box.chat(question)
    is_miss(reply)
    return reply


@test("remote embedder: other words are answered from the box, its key goes along, the local path says so")
def other_words():
    up, embedder = upstream(), Embedder()
    box = box_with(up, embedder)
    stored(box, up, ASKED, "Press the link in the mail.")
    reply = box.chat(OTHER_WORDS)
    is_hit(reply, "semantic")
    equal(reply.said["text"], "Press the link in the mail.")
    equal(embedder.keys, {"Bearer sk-embed"})
    equal(up.count(), 1, "calls")
    is_miss(box.chat("How can I reset the password of account 7?"))
    metrics = box.metrics()
    check(metrics["larder_embed_remote_texts_total"] >= 3, metrics["larder_embed_remote_texts_total"])
    equal(metrics["larder_embed_remote_failures_total"], 0, "failures")


@test("remote embedder: whoever asks meanwhile goes into the next call, eight at most")
def batches():
    up, embedder = upstream(), Embedder()
    box = box_with(up, embedder)
    box.chat("warm the connection")
    embedder.calls, embedder.inputs, embedder.delay = 0, [], 0.15
    together(box, ["question number %d about topic%d" % (i, i) for i in range(17)])
    sizes = [len(texts) for texts in embedder.inputs]
    asked = sorted(text for texts in embedder.inputs for text in texts if text.startswith("question number"))
    equal(len(asked), len(set(asked)), "texts asked twice")
    check(8 < len(asked) <= 17, "texts", len(asked))  # on a slow machine one may have given up
    check(max(sizes) <= 8 and len(sizes) < 8, sizes)


@test("remote embedder: its death costs no answer; it is left alone, and asked again when it is back")
def death():
    up, embedder = upstream(), Embedder()
    box = box_with(up, embedder)
    stored(box, up, ASKED, "Still the same.")
    embedder.mode = "error"
    for letter in "abcdef":
        is_miss(box.chat("a question while it fails, " + letter))
    calls = embedder.calls
    is_miss(box.chat("one more while it rests"))
    equal(embedder.calls, calls, "calls while it rests")
    check("the remote embedder fails" in box.log(), "said so once")
    is_hit(box.chat(ASKED))
    embedder.mode = "fine"
    deadline = time.monotonic() + 20
    while box.chat(OTHER_WORDS, headers={"cache-control": "only-if-cached"}).status != 200:
        check(time.monotonic() < deadline, "it is back, and nobody asks it")
        time.sleep(0.5)
    check(box.metrics()["larder_embed_remote_failures_total"] >= 3, "failures are counted")


@test("remote embedder: what is no vector of the configured width is not one")
def nonsense():
    for mode in ("nonsense", "narrow", "infinite", "twice"):
        up, embedder = upstream(), Embedder()
        embedder.mode = mode
        box = box_with(up, embedder)
        if mode == "twice":
            embedder.delay = 0.2
            together(box, ["%s asked %d" % (mode, i) for i in range(4)])
        else:
            is_miss(box.chat("asked of " + mode))
        check(box.metrics()["larder_embed_remote_failures_total"] >= 1, mode)
        check(box.alive(), mode)


@test("remote embedder: one that stalls holds nobody for long, and a question goes on to its provider")
def stall():
    up, embedder = upstream(), Embedder()
    box = box_with(up, embedder)
    embedder.delay = 30.0
    for i in range(3):
        is_miss(box.chat("stalled %s" % "xyz"[i], timeout=10))
    before = embedder.calls
    is_miss(box.chat("and at rest"))
    equal(embedder.calls, before, "calls while it rests")


@test("remote embedder: what is missing in its section is an error with its name")
def configuration():
    up, embedder = upstream(), Embedder()
    for key in ("base_url", "model"):
        given = {"base_url": "http://127.0.0.1:9/v1", "model": "m"}
        box = box_with(up, embedder)
        box.terminate()
        box.write_config({"semantic": {"remote": dict(given, **{key: ""})}})
        code, log = box.refuses_to_start()
        equal(code, 2, "exit code")
        check("remote." + key in log, key, log)


if __name__ == "__main__":
    harness.main()
