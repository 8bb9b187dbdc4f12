#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`semantic: learn` over HTTP: one shuffled stream of a public set through the real gateway, the curve by window.

    learn_stream.py --larder build/x86_64/larder --model models/all-MiniLM-L6-v2.lmodel --data FOLDER [--queries 4000] banking77

The provider answers each question with a number of its intent, so that an answer is right when its number is. Labels come from
misses and from shadow checks (a virtual key's, without the hourly bound); nothing else tells the box what is right.
"""

import argparse
import csv
import http.client
import json
import math
import os
import random
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

WINDOWS = 8


def read_set(folder, name):
    """(text, intent) pairs; a question outside of every intent is an intent of its own."""
    rows = []
    if name == "banking77":
        for part in ("train.csv", "test.csv"):
            with open(os.path.join(folder, name, part), encoding="utf-8", newline="") as lines:
                rows += [(row["text"], row["category"]) for row in csv.DictReader(lines)]
    else:
        with open(os.path.join(folder, name, "data_full.json"), encoding="utf-8") as text:
            for part in json.load(text).values():
                rows += [(text, intent if intent != "oos" else "oos %d" % (len(rows) + i))
                         for i, (text, intent) in enumerate(part)]
    random.Random(1).shuffle(rows)
    return rows


class Provider(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    answers = {}

    def log_message(self, *_):
        pass

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        said = self.answers[body["messages"][-1]["content"]]
        reply = json.dumps({
            "id": "c", "object": "chat.completion", "created": 1, "model": body["model"],
            "choices": [{"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def configuration(o, folder, api, provider):
    text = """listen: {api: '127.0.0.1:%d', admin: '127.0.0.1:%d', control: %s/control.sock}
data: %s/data
semantic: {embedder: minilm-int8, model: %s, delta: %g, shadow: {rate: 0.02, per_hour_max: 100000}}
providers: [{name: provider, dialect: openai, base_url: 'http://127.0.0.1:%d/v1', key: of-the-box}]
routes: [{match: {dialect: openai, model: '*'}, providers: [provider], cache: {semantic: learn}}]
""" % (api, free_port(), folder, folder, os.path.abspath(o.model), o.delta, provider)
    path = os.path.join(folder, "larder.yaml")
    with open(path, "w", encoding="utf-8") as out:
        out.write(text)
    return path


def wilson(errors, count, z=1.96):
    if not count:
        return 0.0, 1.0
    p, d = errors / count, 1 + z * z / count
    middle, half = (p + z * z / 2 / count) / d, z * math.sqrt(p * (1 - p) / count + z * z / 4 / count / count) / d
    return middle - half, middle + half


def ask_all(rows, answers, api, key):
    """[(semantic hit, right)] in the order of the stream."""
    connection, seen = http.client.HTTPConnection("127.0.0.1", api), []
    for text, intent in rows:
        body = json.dumps({"model": "m", "messages": [{"role": "user", "content": text}]})
        connection.request("POST", "/v1/chat/completions", body,
                           {"content-type": "application/json", "authorization": "Bearer " + key})
        reply = connection.getresponse()
        said = json.loads(reply.read())["choices"][0]["message"]["content"]
        seen.append((reply.headers["x-larder-hit"] == "semantic", said == answers[intent]))
    return seen


def report(name, seen):
    window = max(1, len(seen) // WINDOWS)
    for start in range(0, len(seen), window):
        part = seen[start:start + window]
        hits = [right for hit, right in part if hit]
        print("%s from %5d: served %5.1f %%, wrong %d of %d" % (name, start, 100 * len(hits) / len(part), hits.count(False),
                                                              len(hits)))
    hits = [right for hit, right in seen if hit]
    low, high = wilson(hits.count(False), len(hits))
    first = next((number for number, (hit, _) in enumerate(seen) if hit), None)
    print("%s: first hit after %s queries, %d served, %.2f %% of them wrong (%.2f to %.2f)" %
          (name, first, len(hits), 100 * hits.count(False) / max(1, len(hits)), 100 * low, 100 * high))


def run(o, folder):
    rows = read_set(o.data, o.set)[:o.queries]
    numbers = {}
    for _, intent in rows:
        numbers.setdefault(intent, "Answer number %d." % (len(numbers) + 1))
    for text, intent in rows:
        Provider.answers.setdefault(text, numbers[intent])
    provider = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    threading.Thread(target=provider.serve_forever, daemon=True).start()
    api = free_port()
    path = configuration(o, folder, api, provider.server_address[1])
    with open(os.path.join(folder, "log"), "w", encoding="utf-8") as log:
        box = subprocess.Popen([o.larder, "serve", "-c", path], stderr=log)
        try:
            time.sleep(2)
            said = subprocess.run([o.larder, "ctl", "-c", path, "tenant", "add", "stream"], capture_output=True, text=True,
                                  check=True).stdout
            report(o.set, ask_all(rows, numbers, api, re.search(r"lk-\w+", said).group(0)))
            print(subprocess.run([o.larder, "ctl", "-c", path, "semantic", "show"], capture_output=True, text=True,
                                 check=True).stdout)
        finally:
            box.terminate()
            box.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", choices=("banking77", "clinc150"))
    parser.add_argument("--larder", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True, help="folder with banking77/ and clinc150/")
    parser.add_argument("--queries", type=int, default=4000)
    parser.add_argument("--delta", type=float, default=0.05)
    with tempfile.TemporaryDirectory(prefix="larder-learn-") as folder:
        run(parser.parse_args(), folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
