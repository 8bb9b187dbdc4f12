#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The scan beside FAISS IndexBinaryFlat and usearch Index.search(exact=True), one thread, in the same minutes.

    LARDER=build/x86_64/larder python3 tests/bench/peer_scan.py [--codes N]... [--rounds N] [--json] [--offline]

The peers are installed from PyPI into build/venv-peers at the first run. Each round measures Larder (a process of its own:
`larder bench scan --json`), then FAISS, then usearch on as many random codes of 256 bits, top 32, one query a call; what is
compared are medians over all rounds. Exits 1 when a bar is short, 2 when the peers cannot be had.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
VENV = TOP / "build" / "venv-peers"
FAISS = "faiss-cpu==1.15.*"
K, BITS = 32, 256
FAISS_BAR, USEARCH_BAR, SWEEP_BAR, BLOCKS_BAR = 1.7, 8.0, 1.15, 1.10


def install():
    """Runs this script again inside the environment of the peers."""
    python = VENV / "bin" / "python"
    ready = VENV / "ready"
    if not ready.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", VENV], check=True)
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        if subprocess.run([*pip, FAISS, "usearch", "numpy"], stderr=subprocess.DEVNULL).returncode != 0:
            print(f"peer_scan: no {FAISS} here, taking the newest", file=sys.stderr)
            subprocess.run([*pip, "faiss-cpu", "usearch", "numpy"], check=True)
        ready.touch()
    os.execv(python, [str(python), *sys.argv])


def median_us(call, queries, seconds):
    """At least five calls, then as many as fit."""
    times, end = [], time.perf_counter() + seconds
    call(queries[0])
    while time.perf_counter() < end or len(times) < 5:
        query = queries[len(times) % len(queries)]
        start = time.perf_counter_ns()
        call(query)
        times.append((time.perf_counter_ns() - start) / 1000)
    return statistics.median(times)


def larder(codes):
    command = [os.environ.get("LARDER", str(TOP / "build" / os.uname().machine / "larder")), "bench", "scan", "--json",
               "--codes", str(codes)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def peers(codes):
    import faiss
    import numpy
    from usearch.index import Index
    faiss.omp_set_num_threads(1)
    random = numpy.random.default_rng(codes)
    data = random.integers(0, 256, (codes, BITS // 8), dtype=numpy.uint8)
    queries = random.integers(0, 256, (16, BITS // 8), dtype=numpy.uint8)
    flat = faiss.IndexBinaryFlat(BITS)
    flat.add(data)
    # the graph is not used by an exact search: the thinnest one is the fastest to build
    index = Index(ndim=BITS, metric="hamming", dtype="b1", connectivity=2, expansion_add=1)
    index.add(numpy.arange(codes), data)
    distances, _ = flat.search(queries[:1], K)
    exact = index.search(queries[0], K, exact=True, threads=1)
    if sorted(distances[0].tolist()) != sorted(int(d) for d in exact.distances):
        sys.exit("peer_scan: the peers disagree about the nearest codes")
    return (lambda q: flat.search(q[None, :], K)), (lambda q: index.search(q, K, exact=True, threads=1)), queries


def measure(codes, rounds):
    by_faiss, by_usearch, queries = peers(codes)
    ours, faiss_us, usearch_us = [], [], []
    for _ in range(rounds):
        ours.append(larder(codes))
        faiss_us.append(median_us(by_faiss, queries, 0.3))
        usearch_us.append(median_us(by_usearch, queries, 0.3))

    def middle(name):
        return statistics.median(line[name] for line in ours)
    scan = middle("median_us")
    return {"stage": "scan_peers", "codes": codes, "kernel": ours[0]["kernel"], "rounds": rounds, "larder_us": scan,
            "sweep_us": middle("sweep_us"), "faiss_us": statistics.median(faiss_us),
            "usearch_us": statistics.median(usearch_us), "sweep_ratio": middle("sweep_ratio"),
            "blocks_ratio": middle("blocks_ratio"),
            "faiss_ratio": statistics.median(f / o["median_us"] for f, o in zip(faiss_us, ours)),
            "usearch_ratio": statistics.median(u / o["median_us"] for u, o in zip(usearch_us, ours))}


def judge(result):
    return [("time over a read-only sweep", result["sweep_ratio"], "at most", SWEEP_BAR),
            ("mapped blocks over one array", result["blocks_ratio"], "at most", BLOCKS_BAR),
            ("faster than FAISS", result["faiss_ratio"], "at least", FAISS_BAR),
            ("faster than usearch", result["usearch_ratio"], "at least", USEARCH_BAR)]


def holds(value, how, bar):
    return value <= bar if how == "at most" else value >= bar


def show(result):
    print(f"{result['codes']:,} codes, {result['kernel']}, medians of {result['rounds']} interleaved rounds: "
          f"larder {result['larder_us']:.1f} us, sweep {result['sweep_us']:.1f}, FAISS {result['faiss_us']:.1f}, "
          f"usearch {result['usearch_us']:.1f}")
    for what, value, how, bar in judge(result):
        print(f"  {'pass ' if holds(value, how, bar) else 'SHORT'}  {what}: {value:.2f} ({how} {bar})")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--codes", type=int, action="append")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--offline", action="store_true", help="only with peers that are installed already")
    arguments = parser.parse_args()
    if pathlib.Path(sys.prefix) != VENV:
        if arguments.offline and not (VENV / "ready").exists():
            print("peer_scan: skipped, the peers are not installed", file=sys.stderr)
            return 2
        try:
            install()
        except (subprocess.CalledProcessError, OSError) as error:
            print(f"peer_scan: the peers could not be installed: {error}", file=sys.stderr)
            return 2
    import faiss
    import usearch
    versions = {"faiss": faiss.__version__, "usearch": usearch.__version__}
    if not arguments.json:
        print(f"FAISS {versions['faiss']}, usearch {versions['usearch']}, one thread, top {K} of {BITS}-bit codes")
    short = False
    for codes in arguments.codes or [100_000, 1_000_000]:
        result = measure(codes, arguments.rounds)
        short = short or any(not holds(value, how, bar) for _, value, how, bar in judge(result))
        if arguments.json:
            print(json.dumps({**result, **versions}))
        else:
            show(result)
        sys.stdout.flush()
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())
