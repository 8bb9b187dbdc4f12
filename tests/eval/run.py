#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Judges the semantic tier on public data sets: `make eval DATA=FOLDER`.

  run.py --data FOLDER [--larder FILE] [--model FILE] [--driver FILE] [--out FOLDER] [--only PART,...]

FOLDER holds banking77/, clinc150/ and snips/ as published. Prints the measured tables beside those of the reference (README
of the evaluation: F float32 brute force, P int8 encoder with codes and rescoring, N hashed n-grams; +G with guards) and
every bar with pass or short. Exit code: 0 all bars pass, 1 one is short, 2 usage.
"""
import argparse
import json
import os
import pathlib
import platform
import shlex
import sys
import time

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
BUILD = HERE.parent.parent / "build" / platform.machine()
SETS = ("banking77", "clinc150", "snips")
LEVELS = (0.80, 0.85, 0.90, 0.93, 0.95, 0.97)
PARTS = ("golden", "split", "ngram", "guards", "learn")
DELTA = 0.05
# served share / errors among the served in %, by threshold, as the reference measured them
REFERENCE = {
    "banking77": {"F": "89.4 / 5.6|78.4 / 4.3|60.4 / 3.6|43.9 / 3.2|30.6 / 2.5|17.4 / 2.2", "P": "89.2 / 5.5|78.2 / 4.2|60.0 / 3.5|43.5 / 2.9|29.9 / 2.6|16.5 / 2.2",
                  "P+G": "78.3 / 5.0|69.6 / 3.8|54.9 / 3.4|40.2 / 2.8|28.2 / 2.6|16.0 / 2.0", "N": "26.5 / 6.6|15.5 / 4.4|6.5 / 4.0|3.1 / 2.1|1.6 / 2.0|1.2 / 0.0"},
    "clinc150": {"F": "49.0 / 3.9|38.7 / 2.7|25.8 / 1.6|17.1 / 1.5|11.0 / 1.5|5.3 / 1.4", "P": "48.7 / 3.7|38.4 / 2.8|25.3 / 1.5|16.7 / 1.4|10.6 / 1.5|4.9 / 1.1",
                 "P+G": "44.6 / 3.9|35.7 / 2.9|23.7 / 1.6|15.8 / 1.5|10.0 / 1.6|4.6 / 1.2", "N": "14.8 / 3.3|7.5 / 2.4|2.8 / 2.6|1.2 / 4.4|0.7 / 5.6|0.4 / 9.5"},
    "snips": {"F": "26.4 / 48.7|20.1 / 36.2|14.9 / 28.9|11.0 / 16.9|8.1 / 14.0|5.6 / 7.7", "P": "26.6 / 50.0|20.0 / 35.7|14.9 / 29.8|11.1 / 19.2|8.0 / 12.5|5.4 / 7.9",
              "P+G": "22.0 / 41.6|18.0 / 30.2|13.9 / 26.8|10.6 / 16.2|7.9 / 10.9|5.4 / 7.9", "N": "15.1 / 43.4|11.6 / 38.3|6.0 / 16.7|3.6 / 4.0|2.9 / 5.0|2.6 / -"},
}
CAPS_REFERENCE = {"banking77": "3.3 / 18.2 / 78.2", "clinc150": "0 / 29.3 / 49.7"}


class Report:
    def __init__(self):
        self.bars, self.figures = [], {}

    def bar(self, what, value, bar, ok):
        self.bars.append((what, value, bar, bool(ok)))

    def least(self, what, value, bar, unit=" %"):
        self.bar(what, f"{value:.2f}{unit}", f"≥ {bar:g}{unit}", value >= bar)

    def most(self, what, value, bar, unit=" %"):
        self.bar(what, f"{value:.2f}{unit}", f"≤ {bar:g}{unit}", value <= bar)

    def print_bars(self):
        table(("bar", "measured", "asked", ""), [(w, v, b, "pass" if ok else "SHORT") for w, v, b, ok in self.bars])
        short = [w for w, _, _, ok in self.bars if not ok]
        print(f"\neval: {len(self.bars) - len(short)} bars pass, {len(short)} short{': ' + '; '.join(short) if short else ''}")
        return 1 if short else 0


def table(head, rows):
    print("\n| " + " | ".join(head) + " |\n|" + "---|" * len(head))
    for row in rows:
        print("| " + " | ".join(str(x) for x in row) + " |")


def heading(text):
    print(f"\n## {text}", flush=True)


# ---------------------------------------------------------------- golden vectors
def golden(o, q, report):
    heading("Golden vectors: int8 encoder against float32")
    prog, wrong, cosines = q.Program(o.command("embed-serve")), 0, []
    for line in open(HERE / "minilm_golden.jsonl", encoding="utf-8"):
        want = json.loads(line)
        got = prog.ask({"op": "embed", "text": want["text"]})
        wrong += got.get("ids") != want["ids"]
        v, w = np.array(got.get("vector", np.zeros(384))), np.array(want["vector"])
        cosines.append(float(v @ w / (np.linalg.norm(v) * np.linalg.norm(w) + 1e-12)))
    prog.close()
    table(("texts", "token ids wrong", "cosine min", "mean"), [(len(cosines), wrong, f"{min(cosines):.5f}", f"{np.mean(cosines):.5f}")])
    report.bar("golden: token ids equal", f"{len(cosines) - wrong} of {len(cosines)}", f"{len(cosines)}", wrong == 0)
    report.bar("golden: int8 cosine, least", f"{min(cosines):.4f}", "≥ 0.990", min(cosines) >= 0.990)
    report.bar("golden: int8 cosine, mean", f"{np.mean(cosines):.4f}", "≥ 0.998", np.mean(cosines) >= 0.998)


# ---------------------------------------------------------------- split runs
def arrays(decisions):
    score = np.array([-9.0 if d["score"] is None else d["score"] for d in decisions])
    return score, np.array([d["right"] for d in decisions]), np.array([bool(d["veto"]) for d in decisions]), np.array([d["hit"] for d in decisions])


def served(ok, right):
    n = int(ok.sum())
    return f"{100 * n / len(ok):.1f} / " + (f"{100 * (ok & ~right).sum() / n:.1f}" if n else "-")


def largest(score, right, ok, cap):
    """Largest share served at at most `cap` errors a hit, at least 30 served; in %."""
    order = np.where(ok)[0]
    order = order[np.argsort(-score[order], kind="stable")]
    if not len(order):
        return 0.0
    counts = np.arange(1, len(order) + 1)
    errors = np.cumsum(~right[order]) / counts
    edge = np.r_[score[order][1:] != score[order][:-1], True]
    good = np.where(edge & (errors <= cap) & (counts >= 30))[0]
    return 100 * (good[-1] + 1) / len(score) if len(good) else 0.0


def run_set(q, prog, name, out, tier):
    cached, asked = q.LOAD[name]()
    decisions = q.run_pairs(prog, name, cached, asked, "split")
    with open(out / f"decisions-{name}-{tier}.jsonl", "w", encoding="utf-8") as f:
        f.writelines(json.dumps(d) + "\n" for d in decisions)
    return decisions


def reference_of(name):
    ref = {}
    for line in open(HERE / f"ref_minilm_{name}.tsv", encoding="utf-8"):
        if not line.startswith("#"):
            query, key, score = line.split("\t")
            ref[query] = (int(key), float(score))
    return ref


def compare_tables(name, ours, ngram):
    score, right, veto, _ = arrays(ours)
    rows = []
    for i, t in enumerate(LEVELS):
        ref = {k: v.split("|")[i] for k, v in REFERENCE[name].items()}
        row = [f"{t:.2f}", ref["F"], ref["P"], served(score >= t, right), ref["P+G"], served((score >= t) & ~veto, right), ref["N"]]
        if ngram:
            s, r, _, _ = arrays(ngram)
            row.append(served(s >= t, r))
        rows.append(row)
    head = ("threshold", "F", "P", "**measured**", "P+G", "**measured +G**", "N") + (("**measured N**",) if ngram else ())
    table(head, rows)


def judge_set(name, decisions, report):
    score, right, veto, hit = arrays(decisions)
    bars = {"banking77": (76, 15, 38, 3.2), "clinc150": (48, 28, 15, 1.9), "snips": (None, None, None, 18)}[name]
    n = int(hit.sum())
    error = 100 * (hit & ~right).sum() / n
    caps = [largest(score, right, ~veto, c) for c in (0.01, 0.02, 0.05)]
    if bars[0]:
        report.least(f"{name}: largest hit rate at err/hit ≤ 5 % with guards", caps[2], bars[0])
        report.least(f"{name}: largest hit rate at err/hit ≤ 2 % with guards", caps[1], bars[1])
        report.least(f"{name}: right hits at the default threshold with guards", 100 * (hit & right).mean(), bars[2])
    report.most(f"{name}: err/hit at the default threshold with guards", error, bars[3])
    return (name, f"{100 * right.mean():.1f}", f"{100 * hit.mean():.1f}", f"{100 * (hit & right).mean():.1f}", f"{error:.2f}",
            f"{100 * (hit & ~right).mean():.2f}", " / ".join(f"{c:.1f}" for c in caps), CAPS_REFERENCE.get(name, "-"))


def judge_agreement(name, decisions, report):
    ref = reference_of(name)
    want = np.array([ref[d["q"]][1] for d in decisions])
    score = arrays(decisions)[0]
    same = [100 * ((want >= t) == (score >= t)).mean() for t in LEVELS]
    report.least(f"{name}: same decision as float32 brute force, worst threshold", min(same), 98.3)
    report.least(f"{name}: same decision as float32 brute force, mean", float(np.mean(same)), 99.0)
    return (name, *(f"{s:.2f}" for s in same))


# ---------------------------------------------------------------- the same vectors, brute force
def read_vectors(path, puts, gets):
    """What eval-serve --vectors wrote: rows of (scale, code, vector) of the stored texts and of the queries."""
    row = np.dtype([("kind", "<u4"), ("dim", "<u4"), ("scale", "<f4"), ("zero", "<u4"), ("code", "<u8", 4), ("vector", "i1", 384)])
    every = np.fromfile(path, row)
    assert len(every) == puts + gets and (every["dim"] == 384).all(), "the vectors' file is not of this run"
    stored, asked = every[every["kind"] == 0], every[every["kind"] == 1]
    assert len(stored) == puts and len(asked) == gets
    return stored, asked


def brute_force(stored, asked):
    base = stored["vector"].astype(np.float32) * stored["scale"][:, None]
    best = np.empty(len(asked), np.float32)
    for i in range(0, len(asked), 512):
        block = asked[i:i + 512]
        best[i:i + 512] = ((block["vector"].astype(np.float32) * block["scale"][:, None]) @ base.T).max(axis=1)
    return best


def judge_vectors(name, decisions, stored, asked, report):
    best, score = brute_force(stored, asked), arrays(decisions)[0].astype(np.float32)
    # the sums of both are of the same integers; a score on the border may round to either side of it
    same = [100 * ((best >= t) == (score >= t))[np.abs(best - score) > 1e-6].sum() / len(best) + 100 * (np.abs(best - score) <= 1e-6).mean() for t in LEVELS]
    report.least(f"{name}: same decision as brute force over the same int8 vectors, worst threshold", min(same), 99.7)
    ref = reference_of(name)
    near = [(i, ref[d["q"]][0]) for i, d in enumerate(decisions) if ref[d["q"]][1] >= 0.80]
    inside = 0
    for i, key in near:
        distance = np.bitwise_count(stored["code"] ^ asked["code"][i]).sum(axis=1)
        inside += (distance < distance[key]).sum() + (distance[:key] == distance[key]).sum() < 32
    recall = 100 * inside / len(near)
    report.least(f"{name}: near queries with the float nearest neighbour in the top 32", recall, 99.5)
    return (name, len(near), f"{recall:.2f}", *(f"{s:.2f}" for s in same))


def split(o, q, report):
    results, agreement, brute, by_set = [], [], [], {}
    for name in SETS:
        began, path = time.time(), o.out / f"vectors-{name}.bin"
        prog = q.Program(o.command("eval-serve", "--vectors", str(path)))
        about = prog.ask({"op": "about"})
        decisions = run_set(q, prog, name, o.out, "split")
        prog.close()
        cached, asked = q.LOAD[name]()
        stored_rows, asked_rows = read_vectors(path, len(cached), len(asked))
        path.unlink()
        results.append(judge_set(name, decisions, report))
        agreement.append(judge_agreement(name, decisions, report))
        brute.append(judge_vectors(name, decisions, stored_rows, asked_rows, report))
        by_set[name] = decisions
        print(f"eval: {name}: {len(cached)} stored, {len(asked)} asked in {time.time() - began:.0f} s", flush=True)
    print(f"eval: embedder {about['embedder']}, default threshold {about['threshold']}, kernels {about['encode']}, {about['scan']}, {about['rescore']}")
    heading("As decided by the box: preset threshold, guards")
    table(("set", "best candidate right %", "served %", "right hits %", "err/hit %", "err/all %", "largest hit rate at err/hit ≤ 1 / 2 / 5 % with guards", "reference P+G"), results)
    heading("Same decision as float32 brute force, without guards, in %")
    table(("set", *(f"{t:.2f}" for t in LEVELS)), agreement)
    heading("Codes and rescoring against brute force over the same int8 vectors")
    table(("set", "near queries", "float nearest in the top 32 %", *(f"same decision at {t:.2f} %" for t in LEVELS)), brute)
    return by_set


def guard_pairs(o, q, report):
    prog = q.Program(o.command("eval-serve", "--threshold", "0.90"))
    pairs = q.run_guards(prog, q.load_guards())
    prog.close()
    heading("Guard pairs at threshold 0.90")
    rows = []
    for kind in sorted({d["kind"] for d in pairs}):
        different, same = ([d for d in pairs if d["kind"] == kind and d["right"] == r] for r in (False, True))
        rows.append((kind, len(different), sum(bool(d["veto"]) for d in different), sum(d["hit"] for d in different), len(same),
                     sum(bool(d["veto"]) for d in same), sum(d["hit"] for d in same)))
    total = ["total"] + [sum(r[i] for r in rows) for i in range(1, 7)]
    table(("kind", "different", "vetoed", "served", "same", "vetoed", "served"), rows + [total])
    report.bar("guard pairs: different vetoed", f"{total[2]} of {total[1]}", "≥ 101", total[2] >= 101)
    report.bar("guard pairs: same vetoed", f"{total[5]} of {total[4]}", "0", total[5] == 0)
    report.bar("guard pairs: different served at 0.90", f"{total[3]}", "≤ 2", total[3] <= 2)


def strict_row(o, q):
    """Commands with slots: a strict route on snips."""
    prog = q.Program(o.command("eval-serve", "--guards", "strict"))
    score, right, veto, _ = arrays(run_set(q, prog, "snips", o.out, "strict"))
    prog.close()
    heading("snips with strict guards: served / err/hit in %")
    table(tuple(f"{t:.2f}" for t in LEVELS), [tuple(served((score >= t) & ~veto, right) for t in LEVELS)])


def ngram(o, q, report):
    prog, by_set = q.Program(o.command("eval-serve", "--embedder", "ngram")), {}
    about = prog.ask({"op": "about"})
    rows = []
    for name in SETS:
        by_set[name] = run_set(q, prog, name, o.out, "ngram")
        _, right, _, hit = arrays(by_set[name])
        rows.append((name, f"{100 * right.mean():.1f}", served(hit, right)))
    prog.close()
    heading(f"The n-gram tier as decided: threshold {about['threshold']}, guards")
    table(("set", "best candidate right %", "served / err/hit %"), rows)
    ok = about["threshold"] >= 0.97 and about["guards"] != "none"
    report.bar("n-gram tier: default threshold, with guards", f"{about['threshold']:.2f}, {about['guards']}", "≥ 0.97", ok)
    return by_set


# ---------------------------------------------------------------- learning
def stream(o, q, name, seed):
    """One shuffled stream; what the box would compare with a fresh answer is labelled: same intent is right."""
    cached, asked = q.LOAD[name]()
    every = cached + asked
    prog = q.Program(o.command("eval-serve", "--mode", "learn", "--delta", str(DELTA)))
    labels, rows = {}, []
    for i in np.random.default_rng(seed).permutation(len(every)):
        text, label = every[i]
        r = prog.ask({"op": "get", "ns": name, "text": text})
        right = r["key"] is not None and label is not None and labels[r["key"]] == label
        if r["label"]:
            prog.ask({"op": "label", "ns": name, "score": r["score"], "right": bool(right)})
        if not r["hit"] or r["label"]:  # a checked hit brings a fresh answer too, and it is stored
            labels[str(i)] = label
            prog.ask({"op": "put", "ns": name, "key": str(i), "text": text})
        rows.append((r["hit"], right, r["label"], r["threshold"]))
    prog.close()
    return rows


def learn(o, q, report):
    for name in ("banking77", "clinc150"):
        rows = stream(o, q, name, 1)
        hit, right, label = (np.array([r[i] for r in rows]) for i in range(3))
        first = int(np.argmax(hit)) if hit.any() else None
        before = int(label[:first].sum()) if first is not None else 0
        wrong, n = int((hit & ~right).sum()), int(hit.sum())
        low, high = q.wilson(wrong, n)
        heading(f"Learning the threshold: {name}, {len(rows)} queries, delta {100 * DELTA:g} % a hit")
        windows = []
        for a in range(0, len(rows), 1000):
            h, r = hit[a:a + 1000], right[a:a + 1000]
            k, e = int(h.sum()), int((h & ~r).sum())
            wl, wh = q.wilson(e, k)
            threshold = rows[min(a + 999, len(rows) - 1)][3]
            windows.append((f"{a + 1} … {min(a + 1000, len(rows))}", f"{100 * k / len(h):.1f}", f"{100 * e / k:.1f} [{100 * wl:.1f}, {100 * wh:.1f}]" if k else "-",
                            int(label[a:a + 1000].sum()), "nothing is served" if threshold > 1 else f"{threshold:.2f}"))
        table(("queries", "served %", "err/hit % [95 % Wilson]", "labels", "threshold at the end"), windows)
        print(f"\n{name}: first hit at query {first + 1 if first is not None else '-'} after {before} labels; {n} served ({100 * n / len(rows):.1f} %), "
              f"{wrong} wrong: {100 * wrong / max(1, n):.2f} % of hits, interval {100 * low:.2f} … {100 * high:.2f} %; "
              f"{100 * wrong / len(rows):.2f} % of requests")
        report.bar(f"{name}: learning serves after its labels", f"first hit after {before} labels", "≥ 100", first is not None and before >= 100)
        report.bar(f"{name}: lower end of the interval of err/hit while learning", f"{100 * low:.2f} %", f"≤ {100 * DELTA:g} %", n > 0 and low <= DELTA)


# ---------------------------------------------------------------- guards
def guards(o, report):
    import guard_diff
    heading("Guards in C against guard_reference.py")
    sets = guard_diff.texts_of(str(o.data))
    texts = [t for cached, asked in sets.values() for t, _ in cached + asked]
    maker = guard_diff.Maker(7, texts)
    rows, wrong = [], 0
    for name, pairs in (("guard pairs, both ways", list(guard_diff.guard_pairs())), ("queries with their best candidates", list(guard_diff.best_pairs(sets))),
                        ("made-up texts and changed ones of the sets", [maker.pair() for _ in range(o.made_up)])):
        bad = guard_diff.compare(str(o.driver), pairs, False)
        rows.append((name, len(pairs), bad))
        wrong += bad
    table(("pairs", "count", "differ"), rows)
    report.bar("guards: veto lists that differ from the reference", f"{wrong} of {sum(r[1] for r in rows)}", "0", wrong == 0)


def options():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--data", required=True)
    ap.add_argument("--larder", default=str(BUILD / "larder"))
    ap.add_argument("--driver", default=str(BUILD / "tests/eval/guard_driver"))
    ap.add_argument("--model", default="models/all-MiniLM-L6-v2.lmodel")
    ap.add_argument("--out", default=str(BUILD / "eval"))
    ap.add_argument("--kernel", default="", help="the variant eval-serve is to use: scalar, avx2 ...")
    ap.add_argument("--only", default=",".join(PARTS))
    ap.add_argument("--made-up", type=int, default=100000)
    o = ap.parse_args()
    o.data, o.out, o.only = pathlib.Path(o.data).resolve(), pathlib.Path(o.out), o.only.split(",")
    kernel = ["--kernel", o.kernel] if o.kernel else []
    o.command = lambda verb, *words: shlex.join([o.larder, verb, "--model", o.model, *(kernel if verb == "eval-serve" else []), *words])
    missing = [s for s in SETS if not (o.data / s).is_dir()]
    if missing or set(o.only) - set(PARTS):
        ap.error(f"{o.data} has no {', '.join(missing)}" if missing else f"parts are {', '.join(PARTS)}")
    return o


def main():
    o = options()
    os.environ["DATA"] = str(o.data)
    import cache_quality as q
    q.DATA = str(o.data)
    o.out.mkdir(parents=True, exist_ok=True)
    report, by_tier = Report(), {}
    if "golden" in o.only:
        golden(o, q, report)
    if "split" in o.only:
        by_tier["minilm"] = split(o, q, report)
    if "ngram" in o.only:
        by_tier["ngram"] = ngram(o, q, report)
    if "minilm" in by_tier:
        for name in SETS:
            heading(f"{name}: served / err/hit in %, the reference and **measured**")
            compare_tables(name, by_tier["minilm"][name], by_tier.get("ngram", {}).get(name))
        guard_pairs(o, q, report)
        strict_row(o, q)
    if "guards" in o.only:
        guards(o, report)
    if "learn" in o.only:
        learn(o, q, report)
    heading("Bars")
    return report.print_bars()


if __name__ == "__main__":
    sys.exit(main())
