#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The box under load that lasts: `make soak`; section "Soak" of docs/benchmarks.md.

    make soak ARGS="[--seconds S] [--only SECTION,...] [--outage S] [--prefer]"

Starts everything itself on loopback: a provider that fails on purpose (bench_soak_upstream), the box with all its threads
on core 0, clients that judge every byte of every answer (bench_soak); provider and clients run on core 1. Prints one line
a figure, with its bar, and writes build/soak.json. Exit code 1 when a figure falls short, also when the machine is to
blame: then the line tells how busy it was.
"""
import argparse
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import threading
import time
import urllib.request

from run import LARDER, TOOLS, TOP, Program, free_port

FAILING = 200          # of a thousand calls
SHORT_TTL = "soak-stale"   # the model whose answers are past their time at once

options = None
figures = []


# ---- what runs

class Provider:
    """The failing provider on a port of its own; can be pulled and comes back there."""

    def __init__(self, failing=0):
        self.port, self.failing, self.process = free_port(), failing, None
        self.start()

    def start(self):
        """The time, by the wall clock, from which on it is there."""
        self.process = subprocess.Popen(["taskset", "-c", "1", TOOLS / "bench_soak_upstream", str(self.port), str(self.failing)],
                                        stdout=subprocess.PIPE, text=True)
        return int(self.process.stdout.readline()) / 1e9

    def stats(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/stats", timeout=10) as reply:
            return json.load(reply)

    def stop(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()
            self.process = None


class Box(Program):
    def __init__(self, name, provider, concurrent=64, first_byte="2s", limits=""):
        self.folder = TOP / "build" / "soak" / name
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        port, self.admin = free_port(), free_port()
        self.config = self.folder / "larder.yaml"
        self.config.write_text(f"""
listen: {{api: 127.0.0.1:{port}, admin: 127.0.0.1:{self.admin}, control: {self.folder}/control.sock}}
data: {self.folder}/data
log: {{level: warn}}
limits: {{connections_per_address: 2048{limits}}}
semantic: {{embedder: none}}
providers:
  - name: soak
    dialect: openai
    base_url: "http://127.0.0.1:{provider.port}/v1"
    passthrough: true
    concurrent: {concurrent}
    timeouts: {{connect: 2s, first_byte: {first_byte}, idle: 2s}}
    retry: {{attempts: 3, base: 100ms, max: 1s}}
routes:
  - {{match: {{dialect: openai, model: {SHORT_TTL}}}, providers: [soak], packs: [], cache: {{ttl: 1s}}}}
  - {{match: {{dialect: openai, model: "*"}}, providers: [soak], packs: []}}
packs: []
""")
        self.log = open(self.folder / "log", "ab")
        super().__init__([LARDER, "serve", "-c", self.config], port, "0", stderr=self.log)

    def metrics(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/metrics", timeout=20) as reply:
            lines = reply.read().decode().splitlines()
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines) if name and name[0] != "#"}

    def resident(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"^RssAnon:\s+(\d+)", status, re.M)[1]) / 1024

    def core(self):
        """Seconds that its lane has run, and has waited because others had the core."""
        ran, waited, _ = pathlib.Path(f"/proc/{self.process.pid}/schedstat").read_text().split()
        return int(ran) / 1e9, int(waited) / 1e9

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def end(self):
        """'' when it lived until now, ended well and complained of nothing."""
        died = self.process.poll()
        self.stop()
        self.log.close()
        said = (self.folder / "log").read_text(errors="replace")
        bad = re.findall(r".*(?:heap trap|check failed|CHECK|fatal SIG|stack smashing).*", said)
        if died is not None:
            return f"died with {died}"
        return bad[0] if bad else "" if self.process.returncode == 0 else f"ended with {self.process.returncode}"


class Clients:
    """bench_soak in the background; `result` waits for its figures."""

    def __init__(self, port, *arguments):
        self.process = subprocess.Popen(["taskset", "-c", "1", TOOLS / "bench_soak", *map(str, arguments), str(port)],
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def result(self, seconds=1200):
        out, said = self.process.communicate(timeout=seconds)
        if said:
            print("    " + said.strip().replace("\n", "\n    ")[:3000], flush=True)
        if not out:
            raise SystemExit(f"soak: the clients ended with {self.process.returncode}")
        return json.loads(out)


def ask(box, *arguments):
    return Clients(box.port, *arguments).result()


def store(box, count, *arguments):
    """Has all the known questions answered and stored, in each form that will be asked for."""
    for streaming in (0, 16):
        ask(box, "-c", 16, "-s", streaming, "-o", "-k", count, "-n", count // 16 + 1, *arguments)


# ---- what is said

def figure(section, name, value, unit, bar, holds, note=""):
    figures.append({"section": section, "name": name, "value": value, "unit": unit, "bar": bar, "pass": bool(holds), "note": note})
    shown = f"{value:,.2f}" if isinstance(value, float) else str(value)
    print(f"  {name:64} {shown:>12} {unit:6} {bar:10} {'pass' if holds else 'SHORT'}{'  ' + note if note else ''}", flush=True)


def at_most(section, name, value, unit, bound, note=""):
    figure(section, name, value, unit, f"<= {bound:g}", value <= bound, note)


def say_busy(box, begin):
    ran, waited = (now - then for now, then in zip(box.core(), begin))
    print(f"    the box's lane ran {ran:.1f} s and waited {waited:.1f} s more for its core, which other programs had", flush=True)


def healthy(section, box):
    said = box.end()
    figure(section, "the box lived, ended well and complained of nothing", said or "yes", "", "yes", not said)


def wrongs(section, *results):
    wrong, hung = (sum(r[key] for r in results) for key in ("wrong", "hung"))
    at_most(section, "wrong or mixed answers, bytes nobody asked for", wrong, "", 0,
            f"of {sum(r['answers'] for r in results):,} answers judged byte by byte")
    at_most(section, "requests that never ended", hung, "", 0)


def ms(samples, key="p99"):
    return samples.get(key, 0) / 1000


# ---- the sections

class Watch(threading.Thread):
    """Looks at the box every second: private memory and descriptors."""

    def __init__(self, box):
        super().__init__(daemon=True)
        self.box, self.over, self.rows = box, threading.Event(), []
        self.start()

    def run(self):
        while not self.over.wait(1):
            self.rows.append((self.box.resident(), self.box.descriptors()))

    def stop(self):
        self.over.set()
        self.join()
        return self.rows


def growth(rows):
    """MiB from the first minutes (after a tenth of the time, when all parts have been used once) to the last."""
    part = max(3, min(120, len(rows) // 5))
    begin = len(rows) // 10
    first, last = rows[begin:begin + part], rows[-part:]
    return statistics.median(r[0] for r in last) - statistics.median(r[0] for r in first)


def mixed():
    """256 clients, a tenth of them streaming, hits and misses, a fifth of the provider's calls failing."""
    provider = Provider(FAILING)
    box = Box("mixed", provider)
    ask(box, "-c", 16, "-s", 2, "-n", 500, "-k", 2000)         # the first of everything: pools, store, connections
    fds = box.descriptors()
    watch, begin = Watch(box), box.core()
    r = ask(box, "-c", 256, "-s", 26, "-t", 200, "-k", 2000, "-u", 200, "-d", options.seconds)
    rows = watch.stop()
    stats = provider.stats()
    failed = 1 - stats["fine"] / stats["calls"]
    seen = f"{r['exact']:,} hits, {r['none']:,} misses, {r['coalesced']:,} coalesced; {stats['calls']:,} calls, {failed:.0%} failed; " \
           f"to the clients {r['5xx']:,} 5xx, {r['4xx']:,} 4xx, {r['cut']:,} cut off"
    wrongs("mixed", r)
    print("    " + seen, flush=True)
    say_busy(box, begin)
    at_most("mixed", "added latency of a hit, p99", ms(r["added_exact"]), "ms", 5, percentiles(r["added_exact"]))
    at_most("mixed", "added latency of a miss, p99", ms(r["added_none"]), "ms", 5, percentiles(r["added_none"]))
    at_most("mixed", "overhead as the box says it (x-larder-overhead-us), p99", ms(r["overhead"]), "ms", 5, percentiles(r["overhead"]))
    at_most("mixed", "requests refused for want of room", r["refused"], "", 0)
    at_most("mixed", "private memory, growth from the first minutes to the last", growth(rows), "MiB", 1,
            f"{rows[len(rows) // 10][0]:.1f} to {rows[-1][0]:.1f}")
    nothing_kept(box, fds, rows)
    healthy("mixed", box)
    provider.stop()


def percentiles(s):
    return f"p50 {ms(s, 'p50'):.2f}, p999 {ms(s, 'p999'):.1f}, max {ms(s, 'max'):.0f} ms, of {s['count']:,}" if s["count"] else "none"


def nothing_kept(box, fds, rows):
    end = time.monotonic() + 40        # what the store still wants to the end may take finish_for_store
    while time.monotonic() < end and (box.metrics()["larder_flights"] or box.metrics().get("larder_requests", 0)):
        time.sleep(0.5)
    m = box.metrics()
    at_most("mixed", "flights left when all clients have gone", int(m["larder_flights"]), "", 0)
    idle = int(m.get("larder_upstream_idle_connections", 0))
    at_most("mixed", "descriptors left, besides idle connections to the provider", max(0, box.descriptors() - idle - fds), "", 2,
            f"at most {max(r[1] for r in rows)} under load, {fds} before")
    at_most("mixed", "answers that the heap's seal caught", int(m.get("larder_heap_trap_total", 0)), "", 0)


def together():
    """1,000 identical requests at once; then 500 followers of one stream."""
    provider = Provider()
    box = Box("together", provider)
    same = [ask(box, "-c", 1000, "-s", s, "-n", 1, "-1", "-f", f, "-D", 500, "-E", 20, "-G", 5) for f, s in ((8, 0), (12, 1000), (16, 500))]
    calls = provider.stats()["calls"]
    figure("together", "upstream calls for 1,000 identical requests, three times", calls, "", "= 3", calls == 3,
           "objects; streams; half and half")
    good = sum(r["answers"] for r in same)
    figure("together", "of 3,000 answered, each byte-equal", good, "", "= 3000", good == 3000 and not any(r["wrong"] for r in same))
    r = ask(box, "-c", 501, "-s", 501, "-n", 1, "-l", "-f", 20, "-D", 1000, "-E", 100, "-G", 20)
    figure("together", "500 followers of one stream: byte-equal answers", r["answers"], "", "= 501", r["answers"] == 501 and not r["wrong"])
    at_most("together", "lag behind whoever has an event first, the leader among them, p99", ms(r["lag"]), "ms", 20, percentiles(r["lag"]))
    figure("together", "upstream calls for them", provider.stats()["calls"] - calls, "", "= 1", provider.stats()["calls"] - calls == 1)
    wrongs("together", *same, r)
    healthy("together", box)
    provider.stop()


def occupied():
    """Hits and admin while every flight is taken by a call of 30 s."""
    provider = Provider()
    flights = 128
    box = Box("occupied", provider, concurrent=flights, first_byte="60s")
    known = ("-k", 500, "-c", 32)
    store(box, 500, "-D", 0, "-E", 5, "-G", 1)
    slow = Clients(box.port, "-c", flights, "-n", 1, "-f", 100000, "-k", 0, "-u", 1000, "-D", 30000, "-E", 5, "-G", 1)
    time.sleep(2)
    begin, taken = box.core(), [int(box.metrics()["larder_flights"])]
    hits = Clients(box.port, *known, "-s", 4, "-t", 60, "-d", 22, "-D", 0, "-E", 5, "-G", 1)
    health = Clients(box.admin, "-c", 2, "-t", 40, "-d", 22, "-g", "/healthz")
    metrics = Clients(box.admin, "-c", 1, "-t", 400, "-d", 22, "-g", "/metrics")
    r, a, m = hits.result(), health.result(), metrics.result()
    taken.append(int(box.metrics()["larder_flights"]))
    say_busy(box, begin)
    s = slow.result()
    figure("occupied", "flights taken, before and after the measurement", min(taken), "", f"= {flights}", min(taken) == flights)
    at_most("occupied", "hits meanwhile, p99", ms(r["added_exact"]), "ms", 5, percentiles(r["added_exact"]))
    at_most("occupied", "admin meanwhile: /healthz, p99", ms(a["added_other"]), "ms", 5, percentiles(a["added_other"]))
    at_most("occupied", "admin meanwhile: /metrics, p99", ms(m["added_other"]), "ms", 5, percentiles(m["added_other"]))
    figure("occupied", "the calls of 30 s, answered", s["answers"], "", f"= {flights}", s["answers"] == flights)
    wrongs("occupied", r, a, s)
    healthy("occupied", box)
    provider.stop()


def outage():
    """The provider pulled under load: what is stored goes on being answered, fresh or past its time."""
    provider = Provider()
    box = Box("outage", provider)
    steady = ("-c", 64, "-k", 400, "-s", 8)
    for model in ("gpt-4o-mini", SHORT_TTL):
        store(box, 400, "-m", model)
    time.sleep(1.5)
    away, around = options.outage, 3
    seconds = away + 2 * around
    fresh = Clients(box.port, *steady, "-t", 200, "-d", seconds)
    stale = Clients(box.port, *steady, "-t", 200, "-d", seconds, "-m", SHORT_TTL)
    new = Clients(box.port, "-c", 4, "-t", 50, "-k", 0, "-u", 1000, "-f", 500000, "-d", seconds)
    time.sleep(around)
    provider.stop()
    time.sleep(away)
    back = provider.start()
    f, s, n = fresh.result(), stale.result(), new.result()
    for name, r in (("within their time", f), ("past their time", s)):
        lost = r["5xx"] + r["4xx"]
        figure("outage", f"stored questions {name} not answered in {away:g} s", lost, "", "= 0", lost == 0,
               f"{r['answers']:,} answered, {r['stale']:,} of them stale; longest pause between two {r['gap_ms']:.0f} ms; "
               f"{r['cut']} streams of the provider's were under way when it went, and cut off")
        at_most("outage", "... and streams cut off: at most those under way at that time", r["cut"], "", 8)
    at_most("outage", "first fresh answer after the line is back", n["miss_first"] - back, "s", 2,
            f"{n['5xx']:,} new questions were refused meanwhile")
    if n["5xx"] == 0 or s["stale"] == 0:
        figure("outage", "the line was away", "no", "", "yes", False)
    wrongs("outage", f, s, n)
    healthy("outage", box)
    provider.stop()


SECTIONS = {"together": together, "occupied": occupied, "outage": outage, "mixed": mixed}


def read_options():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--seconds", type=float, default=600, help="how long the mixed load lasts")
    p.add_argument("--outage", type=float, default=60, help="how long the provider is away")
    p.add_argument("--only", help="sections, by comma: " + " ".join(SECTIONS))
    p.add_argument("--prefer", action="store_true", help="as root: all that is measured runs before the machine's other programs (SCHED_FIFO)")
    o = p.parse_args()
    if o.prefer:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))  # what is started inherits it
    return o


def main():
    global options
    options = read_options()
    if os.cpu_count() < 2:
        raise SystemExit("soak: two cores are needed")
    begin = os.getloadavg()
    try:
        for name in options.only.split(",") if options.only else SECTIONS:
            print(f"{name}: {SECTIONS[name].__doc__}  (load {os.getloadavg()[0]:.1f})", flush=True)
            SECTIONS[name]()
    finally:
        about = {"load": [begin[0], os.getloadavg()[0]], "seconds": options.seconds, "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
        (TOP / "build" / "soak.json").write_text(json.dumps({"machine": about, "figures": figures}, indent=1) + "\n")
    short = sum(not f["pass"] for f in figures)
    print(f"{len(figures) - short} pass, {short} short; load {begin[0]:.1f} to {os.getloadavg()[0]:.1f}; build/soak.json")
    sys.exit(1 if short else 0)


if __name__ == "__main__":
    main()
