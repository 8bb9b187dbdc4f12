# SPDX-License-Identifier: Apache-2.0
"""`larder bench replay`, `synthetic`, `stress` and `evict`: logs as they should and should not be, exact counts."""

import json
import os
import subprocess
import tempfile

import harness
from harness import check, equal, test


def run(*words, folder=".", wanted=0):
    done = subprocess.run([harness.LARDER, "bench", *words], capture_output=True, text=True, timeout=100, check=False,
                          cwd=folder)
    equal(done.returncode, wanted, done.stderr[-500:])
    return done


def rows(done):
    return [json.loads(line) for line in done.stdout.splitlines()]


def write(folder, *lines, name="log.jsonl"):
    path = os.path.join(folder, name)
    with open(path, "w", encoding="utf-8") as out:
        for line in lines:
            out.write((line if isinstance(line, str) else json.dumps(line)) + "\n")
    return path


ASKED = [
    {"t": 100, "text": "How do I clean the water pump?", "answer_tokens": 50, "prompt_tokens": 9, "upstream_ms": 5000},
    {"t": 101, "text": "How do I clean the water pump?", "answer_tokens": 50, "prompt_tokens": 9, "upstream_ms": 5000},
    {"t": 106, "text": "How do I clean the water pump?", "answer_tokens": 50, "prompt_tokens": 9, "upstream_ms": 5000},
    {"t": 107, "text": "how do I clean the water pump", "answer_tokens": 50, "prompt_tokens": 9, "upstream_ms": 5000},
    {"t": 108, "text": "how do I not clean the water pump", "answer_tokens": 50, "upstream_ms": 5000},
    {"t": 109, "request": {"model": "model", "messages": [
        {"role": "user", "content": "How do I clean the water pump?"}]}, "answer_tokens": 50, "upstream_ms": 5000},
    {"t": 110, "request": {"model": "other", "messages": [
        {"role": "user", "content": "How do I clean the water pump?"}]}, "answer_tokens": 50, "upstream_ms": 5000},
    {"t": 111, "text": "How do I clean the water pump?", "tenant": "another", "upstream_ms": 5000},
    "",
]


@test("bench replay: stored, followed, in other words, missed; other models and tenants never", limit=60)
def replayed():
    with tempfile.TemporaryDirectory() as folder:
        path = write(folder, *ASKED)
        said = rows(run("replay", path, "--embedder", "ngram", "--threshold", "700", "--json", folder=folder))[0]
        equal([said[kind]["count"] for kind in ("exact", "semantic", "followed", "miss")], [2, 1, 1, 4], "counts")
        equal(said["requests"], 8)
        equal(said["vetoed"], 1, "the negation")
        equal(said["entries"], 1, "stored: what was under way at the end is not")
        equal((said["skipped"], said["failed"]), (0, 0))
        equal(said["saved"]["calls"], 4)
        equal(said["saved"]["seconds"], 15.0, "followers wait")
        equal(said["saved"]["answer_tokens"], 200)
        equal(said["without"]["mean_ms"], 5000.0)
        check(2500 < said["with"]["mean_ms"] < 3500, said["with"])
        text = run("replay", path, "--embedder", "none", folder=folder).stdout
        check("exact             2   25.00" in text and "semantic          0" in text, text)
        equal(os.listdir(folder), ["log.jsonl"], "left behind")


@test("bench replay, evict: a log that makes no sense is refused with its line")
def refused():
    with tempfile.TemporaryDirectory() as folder:
        good = {"t": 5, "text": "a"}
        for lines, why in (
                ([good, {"text": "b"}], ':2: "t" is not a number of seconds'),
                ([good, {"t": 6}], ':2: neither "text" nor a "request" with a model and messages'),
                ([good, {"t": 6, "request": {"messages": []}}], ':2: "request" has no model or no messages'),
                ([good, {"t": 4, "text": "b"}], ":2: earlier than the line before"),
                ([good, "[1]"], ":2: not a JSON object"),
                ([good, "{"], ":2: not a JSON object"),
                (["", ""], ":2: there is no request in it"),
                ([], ":0: there is no request in it")):
            path = write(folder, *lines)
            for stage in ("replay", "evict"):
                done = run(stage, path, "--embedder", "ngram", folder=folder, wanted=1)
                check("error: " + path + why in done.stderr, done.stderr)
        check("cannot read the log" in run("replay", folder + "/none", folder=folder, wanted=1).stderr)
        check("which log?" in run("replay", wanted=2).stderr)
        check("no such eviction: arc" in run("stress", "--eviction", "arc", wanted=2).stderr)


@test("bench evict: what each policy would have kept of a log, exactly", limit=60)
def kept():
    with tempfile.TemporaryDirectory() as folder:
        # four questions in turn: a fifth of the working set holds one of them, which lru always has just lost
        lines = [{"t": i, "text": "question %s" % "abcd"[i % 4], "upstream_ms": 1} for i in range(40)]
        said = rows(run("evict", write(folder, *lines), "--embedder", "none", "--json", folder=folder))
        equal(said[0]["working_set"], 4)
        equal(said[0]["hit"], 0.9)
        by = {(row["policy"], row["share"]): row for row in said[1:]}
        equal(len(by), 10)
        equal(by["lru", 0.25]["hit"], 0.0)
        equal(by["lru", 0.25]["exact"], 0.0)
        twice = lines + [dict(line, t=100 + line["t"]) for line in lines]
        several = rows(run("evict", write(folder, *twice), write(folder, *lines, name="second.jsonl"), "--embedder", "none",
                           "--json", folder=folder))
        equal(several[0]["logs"], 2)


@test("bench evict: the time of a batch by each policy, and 9 bytes an entry", limit=60)
def timed():
    said = rows(run("evict", "--json"))
    equal([(row["entries"], row["policy"]) for row in said],
          [(entries, policy) for entries in (10000, 100000) for policy in ("sieve", "lru", "mmr", "cluster")])
    equal({row["bytes_per_entry"] for row in said}, {9.0})


@test("bench synthetic: related vectors hit, all answers are right, nothing is left behind", limit=90)
def synthetic():
    with tempfile.TemporaryDirectory() as folder:
        said = rows(run("synthetic", "--requests", "3000", "--entries", "300", "--clusters", "500", "--json",
                        folder=folder))[0]
        equal(said["failed"], 0)
        check(said["semantic"] > 0.2 and said["exact"] > 0.02, said)
        check(said["entries"] <= 300 and said["evicted"] > 0, said)
        equal(os.listdir(folder), [], "left behind")


@test("bench stress: many at once, no errors", limit=90)
def stress():
    with tempfile.TemporaryDirectory() as folder:
        for policy in ("sieve", "mmr"):
            said = rows(run("stress", "--seconds", "2", "--entries", "500", "--fibers", "32", "--eviction", policy, "--json",
                            folder=folder))
            equal([row["errors"] for row in said[:-1]], [0] * 6)
            check(all(row["count"] > 0 for row in said[:-1]), said)
            equal(said[-1]["error_rate"], 0.0)
            check(said[-1]["entries"] <= 500, said[-1])
        equal(os.listdir(folder), [], "left behind")


if __name__ == "__main__":
    harness.main()
