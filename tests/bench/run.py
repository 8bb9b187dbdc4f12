#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The figures of docs/benchmarks.md: `make bench`.

    make bench ARGS="[--quick] [--long] [--only SECTION,...] [--rounds N] [--seconds S] [--prefer]"

Starts everything itself on loopback: a provider in C (bench_upstream), the box, nginx as the peer, a load generator in C
(bench_load). The server under test, all its threads, runs on core 0, the load generator on core 1, unless a figure says
otherwise. What is compared is measured in turns within one run (nginx, larder, nginx, larder ...); a figure is the median
of the rounds. CPU is what the scheduler accounts to all threads of the server, divided by the requests of that run.
Prints one line a figure and writes build/bench.json. Exit code 0 also when targets are not reached: they are figures,
not tests.
"""
import argparse
import json
import os
import pathlib
import platform
import re
import shutil
import signal
import socket
import statistics
import subprocess
import time

import semantic

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
LARDER = pathlib.Path(os.environ.get("LARDER", TOP / "build" / platform.machine() / "larder")).resolve()
TOOLS = LARDER.parent / "tests" / "bench"
HOT_SET = 100          # questions asked over and over
CHAT, PASS = "/v1/chat/completions", "/v1/embeddings"

options = None
figures = []
next_question = 0


def questions(count):
    """The first number of so many questions that nobody has asked yet."""
    global next_question
    first = next_question
    next_question += count
    return first


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_port(port, process, seconds=10):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            raise SystemExit(f"bench: {process.args} ended at once")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.005)
    raise SystemExit(f"bench: nothing listens on port {port}")


# ---- what runs

class Program:
    """A started server; `pids` are the processes whose CPU counts."""

    def __init__(self, arguments, port, cores, **more):
        self.port = port
        self.process = subprocess.Popen(["taskset", "-c", cores, *map(str, arguments)], stdout=subprocess.DEVNULL, **more)
        wait_port(port, self.process)
        self.pids = [self.process.pid]

    def cpu_us(self):
        total = 0
        for pid in self.pids:
            for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
                total += int((task / "schedstat").read_text().split()[0])
        return total / 1000

    def pin(self, cores):
        for pid in self.pids:
            subprocess.run(["taskset", "-a", "-c", "-p", cores, str(pid)], check=True, stdout=subprocess.DEVNULL)

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Upstream(Program):
    def __init__(self, cores="1", gap_us=0):
        port = free_port()
        super().__init__([TOOLS / "bench_upstream", port, gap_us], port, cores)


class Larder(Program):
    def __init__(self, folder, upstream, cores="0", fresh=True, **storage):
        self.folder = pathlib.Path(folder)
        if fresh:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(parents=True)
        port = free_port()
        storage = {"hot": "4MiB", **storage}
        self.config = self.folder / "larder.yaml"
        self.config.write_text(f"""
listen: {{api: 127.0.0.1:{port}, admin: 127.0.0.1:0, control: {self.folder}/control.sock}}
data: {self.folder}/data
log: {{level: warn}}
limits: {{connections_per_address: 2048}}
semantic: {{embedder: none}}
storage: {{{", ".join(f"{k}: {v}" for k, v in storage.items())}}}
providers:
  - {{name: bench, dialect: openai, base_url: "http://127.0.0.1:{upstream.port}/v1", passthrough: true, concurrent: 128}}
  - {{name: secure, dialect: anthropic, base_url: "https://127.0.0.1:9", passthrough: true, ca: system}}
routes:
  - {{match: {{dialect: openai, model: "*"}}, providers: [bench], packs: []}}
  - {{match: {{dialect: anthropic, model: "*"}}, providers: [secure], packs: []}}
packs: []
""")
        self.log = open(self.folder / "log", "ab")
        self.exec_time = time.monotonic()
        super().__init__([LARDER, "serve", "-c", self.config], port, cores, stderr=self.log)

    def ctl(self, *words):
        run = subprocess.run([LARDER, "ctl", "-c", self.config, *words], capture_output=True, text=True, check=True)
        return run.stdout

    def stats(self):
        text = self.ctl("cache", "stats")
        return {m[1]: int(m[2]) for m in re.finditer(r"^(\S.*?)  +(\d+)", text, re.M)}

    def settled(self, seconds=30):
        """Waits until all is committed."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.stats().get("waiting", 0):
            time.sleep(0.1)

    def memory(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return {k: int(re.search(rf"^{k}:\s+(\d+)", status, re.M)[1]) * 1024 for k in ("RssAnon", "RssFile", "RssShmem")}

    def written(self):
        return int(re.search(r"^write_bytes: (\d+)", pathlib.Path(f"/proc/{self.process.pid}/io").read_text(), re.M)[1])


class Nginx(Program):
    """As well as it can be set up for this: one worker, everything kept alive, cache files held open, bodies in memory."""

    def __init__(self, folder, upstream, cores="0"):
        folder = pathlib.Path(folder)
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "cache").mkdir(parents=True)
        port = free_port()
        temp = "\n".join(f"    {kind}_temp_path {folder}/{kind};"
                         for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        user = "user root;" if os.getuid() == 0 else ""
        (folder / "nginx.conf").write_text(f"""
{user} worker_processes 1; daemon off; pid {folder}/pid; error_log {folder}/error.log crit;
events {{ worker_connections 4096; accept_mutex off; multi_accept on; }}
http {{
    access_log off; keepalive_requests 1000000000; keepalive_timeout 600s; tcp_nodelay on; sendfile {options.nginx_sendfile};
    default_type application/json; server_tokens off;
    client_body_buffer_size 64k; client_body_in_single_buffer on;
    open_file_cache max=200000 inactive=1h; open_file_cache_valid 1h; open_file_cache_min_uses 1;
{temp}
    proxy_cache_path {folder}/cache levels=1:2 keys_zone=answers:64m max_size=4g inactive=7d use_temp_path=off;
    proxy_http_version 1.1; proxy_set_header Connection "";
    upstream provider {{ server 127.0.0.1:{upstream.port}; keepalive 256; keepalive_requests 1000000000; keepalive_timeout 600s; }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location = {CHAT} {{
            proxy_pass http://provider;
            proxy_cache answers; proxy_cache_methods POST; proxy_cache_valid 200 7d;
            proxy_cache_key "$request_uri $http_authorization $request_body";
            add_header X-Cache "hit: $upstream_cache_status";
        }}
        location = /stream {{ proxy_pass http://provider; proxy_buffering off; }}
        location / {{ proxy_pass http://provider; }}
    }}
}}
""")
        super().__init__(["nginx", "-p", folder, "-c", folder / "nginx.conf"], port, cores)
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        while not children.read_text().split():
            time.sleep(0.01)
        time.sleep(0.1)
        self.pids = [int(p) for p in children.read_text().split() if "worker" in
                     pathlib.Path(f"/proc/{p}/cmdline").read_bytes().decode(errors="replace")]


def load(server, *arguments, cores="1", seconds=None, requests=None, expect=None):
    """One run of the load generator; its figures, and the server's CPU a request."""
    command = ["taskset", "-c", cores, str(TOOLS / "bench_load"), *map(str, arguments)]
    command += ["-n", str(requests)] if requests else ["-d", str(seconds or options.seconds)]
    if expect:
        command += ["-e", expect]
    before = server.cpu_us() if server else 0
    run = subprocess.run([*command, str(server.port)], capture_output=True, text=True, timeout=900)
    if run.returncode != 0:
        raise SystemExit(f"bench: {' '.join(command)}: {run.stderr[:600]}")
    result = json.loads(run.stdout)
    result["cpu"] = (server.cpu_us() - before) / result["requests"]
    return result


HIT = {"larder": "x-larder-hit: exact", "nginx": "X-Cache: hit: HIT"}


def rounds(measures, count=None):
    """measures: name → function giving a result. In turns; name → list of results."""
    results = {name: [] for name in measures}
    for _ in range(count or options.rounds):
        for name, measure in measures.items():
            results[name].append(measure())
    return results


def median(results, key):
    return statistics.median(r[key] for r in results)


# ---- what is said

def figure(section, name, value, unit, target=None, limit=None, peer=None, note=""):
    """`limit` is ("<=" or ">=", bound) in the figure's unit."""
    reached = None
    if limit:
        reached = value <= limit[1] if limit[0] == "<=" else value >= limit[1]
    row = {"section": section, "name": name, "value": round(value, 3), "unit": unit, "target": target, "reached": reached,
           "peer": None if peer is None else round(peer, 3), "ratio": None if not peer else round(value / peer, 3), "note": note}
    figures.append(row)
    verdict = {True: "reached", False: "NOT REACHED", None: "-"}[reached]
    beside = "" if peer is None else f"  peer {peer:,.2f}, ratio {value / peer:.2f}"
    print(f"  {name:58} {value:>12,.2f} {unit:9} {verdict:12} {target or ''}{beside}{'  ' + note if note else ''}", flush=True)


def limited(results):
    busy = median(results, "own_cpu")
    return f"the load generator used {busy * 100:.0f} % of its core" + (": it is the limit" if busy > 0.9 else "")


# ---- the sections

def warm(server, first, count=HOT_SET, *more):
    load(server, "-c", 4, "-f", first, "-k", count, *more, requests=2 * count)
    load(server, "-c", 4, "-f", first, "-k", count, *more, requests=2 * count)


def hits(w, cores="0", section="hits", title=""):
    first = questions(HOT_SET)
    for name in ("nginx", "larder"):
        warm(w[name], first)
        w[name].pin(cores)

    def run(name, connections):
        return lambda: load(w[name], "-c", connections, "-f", first, "-k", HOT_SET, expect=HIT[name])

    r = rounds({"nginx": run("nginx", 32), "larder": run("larder", 32)})
    cpu, peer = median(r["larder"], "cpu"), median(r["nginx"], "cpu")
    figure(section, f"exact hit, 32 connections{title}: CPU a hit", cpu, "us", "<= 0.7 x nginx", ("<=", 0.7 * peer), peer)
    rate, peer = median(r["larder"], "rate"), median(r["nginx"], "rate")
    figure(section, f"exact hit, 32 connections{title}: hits a second", rate, "/s", ">= 1.3 x nginx", (">=", 1.3 * peer), peer,
           limited(r["larder"]))
    r = rounds({"nginx": run("nginx", 256), "larder": run("larder", 256)})
    p99, peer = median(r["larder"], "p99"), median(r["nginx"], "p99")
    figure(section, f"exact hit, 256 connections{title}: p99", p99, "us", "<= nginx", ("<=", peer), peer)
    for name in ("nginx", "larder"):
        w[name].pin("0")


WRK = """
local n = {first}
wrk.method = "POST"
for name, value in pairs({{["Content-Type"] = "application/json", ["Accept"] = "application/json",
    ["User-Agent"] = "OpenAI/Python 2.8.0", ["Authorization"] = "Bearer sk-bench-0123456789abcdef0123456789"}}) do
    wrk.headers[name] = value
end
wrk.body = '{{"model":"gpt-4o-mini","messages":[{{"role":"user","content":"' .. string.rep("q", 240) .. n .. '"}}]}}'
"""


def second_opinion(w):
    """The exact hit once more with a load generator that is not ours: one question, wrk."""
    script = w.folder / "post.lua"
    script.write_text(WRK.format(first=questions(1)))

    def run(name, seconds=None):
        def measure():
            before = w[name].cpu_us()
            out = subprocess.run(["taskset", "-c", "1", "wrk", "-t1", "-c32", f"-d{max(1, round(seconds or options.seconds))}s",
                                  "-s", script, f"http://127.0.0.1:{w[name].port}{CHAT}"], capture_output=True, text=True, check=True).stdout
            count, rate = int(re.search(r"(\d+) requests in", out)[1]), float(re.search(r"Requests/sec: +([\d.]+)", out)[1])
            return {"rate": rate, "cpu": (w[name].cpu_us() - before) / count}
        return measure

    names = ("nginx", "larder")
    for name in names:
        run(name, 1)()
    r = rounds({name: run(name) for name in names})
    cpu, peer = median(r["larder"], "cpu"), median(r["nginx"], "cpu")
    figure("wrk", "exact hit by wrk, 32 connections: CPU a hit", cpu, "us", "<= 0.7 x nginx", ("<=", 0.7 * peer), peer)
    rate, peer = median(r["larder"], "rate"), median(r["nginx"], "rate")
    figure("wrk", "exact hit by wrk, 32 connections: hits a second", rate, "/s", ">= 1.3 x nginx", (">=", 1.3 * peer), peer)


def two_cores(w):
    hits(w, cores="0,1", section="two cores", title=", two cores")
    def store():
        return load(w["larder"], "-c", 8, "-f", questions(2000), requests=2000)
    w["larder"].pin("0,1")
    r = rounds({"larder": store})
    w["larder"].pin("0")
    figure("two cores", "miss that stores, two cores: CPU on all threads", median(r["larder"], "cpu"), "us", "<= 40 us", ("<=", 40))


def replay(w):
    plain, streamed = questions(HOT_SET), questions(HOT_SET)
    warm(w["larder"], plain)
    warm(w["larder"], streamed, HOT_SET, "-s")
    r = rounds({"plain": lambda: load(w["larder"], "-c", 1, "-f", plain, "-k", HOT_SET, expect=HIT["larder"]),
                "stream": lambda: load(w["larder"], "-c", 1, "-s", "-f", streamed, "-k", HOT_SET, expect=HIT["larder"])})
    value, peer = median(r["stream"], "first_p50"), median(r["plain"], "first_p50")
    figure("replay", "replayed stream, 1 connection: first byte p50", value, "us", "<= 1.05 x plain hit", ("<=", 1.05 * peer), peer)


def cold(w):
    """Every hit is read from the disk's pages: Hot is smaller than the questions in turn."""
    box = Larder(w.folder / "cold", w["upstream"], hot="64KiB")
    try:
        count = 2000
        first, hot = questions(count), questions(HOT_SET)
        load(box, "-c", 8, "-f", first, "-k", count, requests=count)
        box.settled()
        warm(w["larder"], hot)
        r = rounds({"hot": lambda: load(w["larder"], "-c", 1, "-f", hot, "-k", HOT_SET, expect=HIT["larder"]),
                    "cold": lambda: load(box, "-c", 1, "-f", first, "-k", count, expect=HIT["larder"])})
        added = median(r["cold"], "p50") - median(r["hot"], "p50")
        figure("cold", "hit not in Hot, 1 connection: added at p50", added, "us", "<= 100 us", ("<=", 100))
        r = rounds({"cold": lambda: load(box, "-c", 32, "-f", first, "-k", count, expect=HIT["larder"])})
        figure("cold", "hit not in Hot, 32 connections: CPU", median(r["cold"], "cpu"), "us", "<= 20 us", ("<=", 20))
        figure("cold", "hit not in Hot, 32 connections: hits a second", median(r["cold"], "rate"), "/s")
    finally:
        box.stop()


def passing(w):
    for name in ("upstream", "nginx", "larder"):
        w[name].pin("0")

    def run(name, *more):
        return lambda: load(w[name], "-c", 1, "-f", 0, *more, cores="0")

    names = ("upstream", "nginx", "larder")
    r = rounds({name: run(name, "-p", PASS) for name in names})
    direct = median(r["upstream"], "p50")
    added, peer = median(r["larder"], "p50") - direct, median(r["nginx"], "p50") - direct
    figure("pass", "pass-through, all on one core: added at the median", added, "us", "<= 30 us", ("<=", 30), peer)
    cpu, peer = median(r["larder"], "cpu"), median(r["nginx"], "cpu")
    figure("pass", "pass-through: CPU", cpu, "us", "<= 25 us", ("<=", 25), peer)
    r = rounds({"larder": run("larder", "-H", "x-larder-cache: no-store")})
    figure("pass", "chat, parsed but not stored: CPU", median(r["larder"], "cpu"), "us")
    for name in names:
        w[name].pin("1" if name == "upstream" else "0")


def storing(w):
    count = 1000 if options.quick else 4000
    r = rounds({"nginx": lambda: load(w["nginx"], "-c", 8, "-f", questions(count), requests=count),
                "larder": lambda: load(w["larder"], "-c", 8, "-f", questions(count), requests=count, expect="fwd=miss")})
    stats = w["larder"].stats()
    figure("store", "miss that stores, 8 connections: CPU on all threads", median(r["larder"], "cpu"), "us", "<= 40 us", ("<=", 40),
           median(r["nginx"], "cpu"), f"of all so far {stats['stored']:,} stored, {stats['dropped']:,} dropped because the disk was behind")


def first_byte(w):
    slow = Upstream(cores="1", gap_us=1000)
    box = Larder(w.folder / "first", slow)
    peer = Nginx(w.folder / "first-nginx", slow)
    count = 300

    def run(program, cores, *more):
        return lambda: load(program, "-c", 1, "-s", "-f", questions(count), *more, requests=count, cores=cores)

    try:
        for where, cores in (("all on one core", "0"), ("box alone on its core", "1")):
            slow.pin(cores)
            r = rounds({"direct": run(slow, cores), "nginx": run(peer, cores, "-p", "/stream"), "larder": run(box, cores)})
            added, other = (median(r[name], "first_p50") - median(r["direct"], "first_p50") for name in ("larder", "nginx"))
            figure("first", f"first streamed byte of a miss, {where}: added at the median", added, "us", "<= 100 us", ("<=", 100),
                   other, "the peer relays and does not store")
    finally:
        peer.stop()
        box.stop()
        slow.stop()


def memory(w):
    box = Larder(w.folder / "memory", w["upstream"])
    try:
        time.sleep(0.5)
        idle = box.memory()
        figure("memory", "private memory, idle", idle["RssAnon"] / 2 ** 20, "MiB", "<= 12 MiB", ("<=", 12))
        first = questions(HOT_SET)
        warm(box, first)
        load(box, "-c", 256, "-f", first, "-k", HOT_SET, expect=HIT["larder"])
        busy = box.memory()
        figure("memory", "private memory, 256 connections", busy["RssAnon"] / 2 ** 20, "MiB", "<= 24 MiB", ("<=", 24), note=
               f"file pages beside it {(busy['RssFile'] + busy['RssShmem']) / 2 ** 20:.1f} MiB")
        if options.long:
            memory_long(box)
    finally:
        box.stop()


def fill(box, first, count):
    """Until all are stored: what the queue had no room for is asked again."""
    for _ in range(5):
        load(box, "-c", 8, "-f", first, "-k", count, requests=count)
        box.settled(60)
        if box.stats()["entries"] >= count:
            return


def memory_long(box):
    entries, total = 100000, 1000000
    first = questions(entries)
    load(box, "-c", 64, "-f", first, "-k", entries, requests=entries)
    box.settled(60)
    samples = []
    for _ in range(10):
        load(box, "-c", 64, "-f", first, "-k", entries, requests=total // 10)
        samples.append(box.memory()["RssAnon"] / 2 ** 20)
    half = statistics.median(samples[:5])  # a byte a request that nobody gives back would be a MiB
    figure("memory", "private memory after 1,000,000 requests over 100,000", samples[-1], "MiB", "<= 24 MiB", ("<=", 24))
    figure("memory", "... growth from the first 500,000 to the end", samples[-1] - half, "MiB",
           "flat: <= 0.5 MiB", ("<=", 0.5),
           note=" ".join(f"{s:.2f}" for s in samples))


def cold_start(w):
    entries, first = 100000, 50000000
    kept = options.keep and (w.folder / "start" / "data").exists()
    box = Larder(w.folder / "start", w["upstream"], fresh=not kept)
    try:
        if not kept:
            fill(box, first, entries)
        stored = box.stats()["entries"]
    finally:
        box.stop()
    os.sync()  # what the disk still has to write would be measured too
    time.sleep(1)
    times = []
    for _ in range(max(5, options.rounds)):
        times.append(start_once(box, first))
    figure("start", f"exec to first answer, {stored:,} entries stored", statistics.median(times) * 1000, "ms", "<= 20 ms", ("<=", 20),
           note="of several: " + " ".join(f"{t * 1000:.1f}" for t in times))


def start_once(box, first):
    """Seconds from before exec to the last byte of a hit from the store."""
    run = subprocess.run(["taskset", "-c", "1", TOOLS / "bench_load", "-n", "1", "-f", str(first), "-e", HIT["larder"], str(box.port),
                          LARDER, "serve", "-c", box.config], capture_output=True, text=True, timeout=60)
    if run.returncode != 0:
        raise SystemExit(f"bench: starting: {run.stderr[-900:]}")
    return json.loads(run.stdout)["start"]


def size(_):
    figure("size", "binary", LARDER.stat().st_size / 2 ** 20, "MiB", "<= 3 MiB", ("<=", 3))


def written(w):
    box = Larder(w.folder / "written", w["upstream"], sync_every="1s")
    try:
        load(box, "-c", 1, "-f", questions(64), requests=64)
        time.sleep(1.5)
        box.settled()
        r = {32: [], 1: []}
        for _ in range(options.rounds):
            for count in r:
                before = box.written()
                load(box, "-c", 1, "-f", questions(count), requests=count)
                time.sleep(1.4)
                box.settled()
                r[count].append((box.written() - before) / count / 1024)
        figure("written", "bytes a stored exchange, 32 a commit", statistics.median(r[32]), "KiB", "<= 16 KiB", ("<=", 16))
        figure("written", "bytes a stored exchange, alone", statistics.median(r[1]), "KiB", "<= 80 KiB", ("<=", 80))
        first = questions(HOT_SET)
        warm(box, first)
        time.sleep(2.5)
        before = box.written()
        result = load(box, "-c", 32, "-f", first, "-k", HOT_SET, expect=HIT["larder"])
        time.sleep(1.5)
        figure("written", "bytes a hit", (box.written() - before) / result["requests"], "bytes", "0", ("<=", 0))
    finally:
        box.stop()


SECTIONS = {"size": size, "hits": hits, "wrk": second_opinion, "replay": replay, "cold": cold, "pass": passing, "store": storing, "first": first_byte,
            "memory": memory, "written": written, "start": cold_start, "two": two_cores,
            **semantic.Sections(LARDER, figure, lambda: options).all()}


class World(dict):
    """The servers that several sections share, started when first asked for."""

    def __init__(self, folder):
        super().__init__()
        self.folder = folder

    def __missing__(self, name):
        makers = {"upstream": lambda: Upstream(), "nginx": lambda: Nginx(self.folder / "nginx", self["upstream"]),
                  "larder": lambda: Larder(self.folder / "larder", self["upstream"])}
        self[name] = makers[name]()
        return self[name]

    def stop(self):
        for program in reversed(list(self.values())):
            program.stop()


def machine():
    model = re.search(r"^model name\s*:\s*(.*)", pathlib.Path("/proc/cpuinfo").read_text(), re.M)
    version = subprocess.run([LARDER, "version"], capture_output=True, text=True).stdout.strip()
    peer = subprocess.run(["nginx", "-v"], capture_output=True, text=True).stderr.strip()
    return {"cpu": model[1] if model else platform.machine(), "cores": os.cpu_count(), "kernel": platform.release(),
            "load": os.getloadavg(), "larder": version, "nginx": peer, "rounds": options.rounds, "seconds": options.seconds,
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}


def prefer():
    """Where the kernel groups processes by session, a process's own nice value counts within its session only."""
    os.setpriority(os.PRIO_PROCESS, 0, -10)
    group = pathlib.Path("/proc/self/autogroup")
    if group.exists():
        if os.getpgrp() != os.getpid():
            os.setsid()
        group.write_text("-10")


def read_options():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--quick", action="store_true", help="three rounds of one second: a rough look")
    p.add_argument("--long", action="store_true", help="also 1,000,000 requests over 100,000 entries")
    p.add_argument("--only", help="sections, by comma: " + " ".join(SECTIONS))
    p.add_argument("--rounds", type=int)
    p.add_argument("--seconds", type=float)
    p.add_argument("--folder", help="where the stores lie (nginx's and the box's alike); default: build/bench")
    p.add_argument("--table", action="store_true", help="measure nothing: print the last run as a table")
    p.add_argument("--prefer", action="store_true", help="as root: all that is measured runs before the machine's other programs")
    p.add_argument("--keep", action="store_true", help="start: use the filled store of the last run")
    p.add_argument("--nginx-sendfile", default="off", choices=("on", "off"))
    o = p.parse_args()
    o.rounds = o.rounds or (3 if o.quick else 5)
    if o.prefer:
        prefer()
    o.seconds = o.seconds or (1 if o.quick else 2.5)
    return o


def table():
    """The last run's figures as docs/benchmarks.md has them."""
    print("| figure | target | measured | peer | ratio | |\n|---|---|---|---|---|---|")
    for f in json.loads((TOP / "build" / "bench.json").read_text())["figures"]:
        verdict = {True: "reached", False: "**not reached**", None: ""}[f["reached"]]
        value, peer = (f"{v:,.0f}" if v >= 1000 else f"{v:.3g}" for v in (f["value"], f["peer"] or 0))
        beside = f"{peer} | {f['ratio']}" if f["ratio"] else "|"
        print(f"| {f['name']} | {f['target'] or ''} | {value} {f['unit']} | {beside} | {verdict} |")


def main():
    global options
    options = read_options()
    if options.table:
        table()
        return
    if os.cpu_count() < 2:
        raise SystemExit("bench: two cores are needed")
    folder = pathlib.Path(options.folder or TOP / "build" / "bench").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    world = World(folder)
    about = machine()
    print(f"{about['larder']}; {about['nginx']}; {about['cpu']}, {about['cores']} cores, Linux {about['kernel']}; "
          f"median of {options.rounds}, {options.seconds} s each", flush=True)
    try:
        for name in options.only.split(",") if options.only else SECTIONS:
            print(name, flush=True)
            SECTIONS[name](world)
    finally:
        world.stop()
        (TOP / "build" / "bench.json").write_text(json.dumps({"machine": about, "figures": figures}, indent=1) + "\n")
    missed = [f for f in figures if f["reached"] is False]
    print(f"{sum(f['reached'] is True for f in figures)} reached, {len(missed)} not reached; build/bench.json")


if __name__ == "__main__":
    main()
