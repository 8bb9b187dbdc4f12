# SPDX-License-Identifier: Apache-2.0
"""`larder bench`: the report of this device, two of them compared, and what it says when it cannot."""

import json
import os
import subprocess
import tempfile

import harness
from harness import check, equal, test

STAGES = {"tokenize", "encode", "code", "scan", "rescore", "guards", "store read", "commit", "TLS handshake", "AEAD", "SHA-256"}


def run(folder, code, *words):
    done = subprocess.run([harness.LARDER, "bench", *words], capture_output=True, text=True, timeout=40, check=False,
                          cwd=folder, env={"LARDER_HEAP_TRAP_ABORT": "1"})
    equal(done.returncode, code, done.stderr)
    return done.stderr if code else done.stdout


def report(folder, name, *words):
    path = os.path.join(folder, name)
    equal(run(folder, 0, "--quick", "--json", "-o", path, *words), "")
    with open(path, encoding="utf-8") as file:
        return json.load(file)


@test("bench: a report of every stage and of the device, as JSON and as text", limit=60)
def whole():
    with tempfile.TemporaryDirectory() as folder:
        said = report(folder, "a.json")
        equal(os.listdir(folder), ["a.json"], "left behind")
        equal(said["larder_bench"], 1)
        device = said["device"]
        check(device["cores"] >= 1 and device["page_size"] >= 4096 and device["cpu"], device)
        check(device["kernel"].startswith("Linux ") and device["arch"] == os.uname().machine, device)
        check(device["clock"] in ("unset", "plausible", "confirmed"), device)
        for key in ("board", "machine", "governor", "time", "celsius_before", "celsius_after"):
            check(key in device, key)
        check({row["stage"] for row in said["stages"]} >= STAGES, said["stages"])
        for row in said["stages"]:
            if "skipped" in row:
                check("no model at " in row["skipped"], row)
                continue
            check(0 < row["median_us"] <= row["p99_us"] and row["count"] >= 5 and row["batch"] >= 1, row)
        text = run(folder, 0, "--quick", "--kernel", "scalar")
        for stage in STAGES:
            check("\n" + stage + " " in text, stage, text)
        check("\nscan           100,000 codes, best 32       scalar " in text, text)


@test("bench: what cannot run here is skipped with the reason, the rest is measured")
def skipped():
    with tempfile.TemporaryDirectory() as folder:
        said = report(folder, "a.json", "--folder", "/proc/nowhere")
        skips = {row["stage"]: row["skipped"] for row in said["stages"] if "skipped" in row}
        for stage in ("store read", "commit", "TLS handshake"):
            check("--folder" in skips[stage], skips)
        check("scan" not in skips and "SHA-256" not in skips, skips)


@test("bench: two reports side by side, with ratios")
def compared():
    with tempfile.TemporaryDirectory() as folder:
        said = report(folder, "a.json", "--folder", "/proc/nowhere")
        said["device"]["board"] = "Slow Board"
        for row in said["stages"]:
            if "median_us" in row:
                row["median_us"] *= 4
        said["stages"].append({"stage": "only here", "detail": "", "median_us": 1, "p99_us": 1})
        with open(os.path.join(folder, "b.json"), "w", encoding="utf-8") as file:
            json.dump(said, file)
        text = run(folder, 0, "compare", "a.json", "b.json")
        check("B  b.json: Slow Board, " in text and "in A only: 0, in B only: 1." in text, text)
        rows = [json.loads(line) for line in run(folder, 0, "compare", "a.json", "b.json", "--json").splitlines()]
        check({"scan", "AEAD", "SHA-256"} <= {row["stage"] for row in rows}, rows)
        check(all(3.9 < row["ratio"] < 4.1 for row in rows), rows)


@test("bench: files that cannot be compared are refused, each for its reason")
def refused():
    with tempfile.TemporaryDirectory() as folder:
        def file(name, text):
            with open(os.path.join(folder, name), "w", encoding="utf-8") as out:
                out.write(text)
            return name
        row = '{"larder_bench":%d,"device":{},"stages":[{"stage":"%s","detail":"","median_us":%s,"p99_us":2}]}'
        good = file("good", row % (1, "scan", "1.5"))
        for name, text, why in (("no.json", "hello", "is no JSON"), ("other", '{"figures":[]}', "is no report of"),
                                ("newer", row % (2, "scan", "1"), "has version 2 of the report"),
                                ("else", row % (1, "code", "1"), "no measured stage in common"),
                                ("zero", row % (1, "scan", "0"), "no measured stage in common"),
                                ("empty", "", "is no JSON"), ("long", "[" + "1," * 40000 + "1]", "cannot be read")):
            check(why in run(folder, 1, "compare", good, file(name, text)), name)
            check(why in run(folder, 1, "compare", name, good), name)
        check("does not exist" in run(folder, 1, "compare", good, "nowhere"))
        check("two files" in run(folder, 2, "compare", good))
        check("unknown word" in run(folder, 2, "--frobnicate"))
        check("needs a value" in run(folder, 2, "-o"))
        check("no such kernel" in run(folder, 2, "--kernel", "abacus"))
        check("no such stage" in run(folder, 2, "frobnicate"))


@test("bench: the whole lookup over a store, each kernel, and what the index takes", limit=60)
def lookup():
    with tempfile.TemporaryDirectory() as folder:
        rows = [json.loads(line) for line in
                run(folder, 0, "lookup", "--entries", "2000", "--kernel", "all", "--json").splitlines()]
        equal(os.listdir(folder), [], "left behind")
        looked = [row for row in rows if row["stage"] == "lookup"]
        check("scalar" in {row["kernel"] for row in looked}, rows)
        for row in looked:
            check(row["entries"] == 2000 and row["found"] == row["lookups"] and row["median_us"] > 0, row)
        memory = rows[-1]
        equal(memory["stage"], "lookup memory")
        check(32 < memory["code_bytes_per_entry"] < 40 and memory["codes_file_bytes"] > 2000 * 416, memory)
        check("no store of" in run(folder, 1, "lookup", "--folder", "/proc/nowhere"))


if __name__ == "__main__":
    harness.main()
