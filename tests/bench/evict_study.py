# SPDX-License-Identifier: Apache-2.0
"""Request logs over public question sets, and what `larder bench evict` makes of them. See docs/eviction.md.

    python3 tests/bench/evict_study.py DATA=folder [OUT=folder] [SEEDS=5] [ALPHA=0.9] [WITHIN=0] [PASSES=1] [DRIFT=0]
                                       [SETS=banking77,clinc150,snips,all] [LARDER=program] [options of larder bench evict]

DATA holds banking77/{train,test}.csv, clinc150/data_full.json, snips/*.json, azure_llm_2023/AzureLLMInferenceTrace_conv.csv.

A log is one pass (PASSES: several) over the trace: each arrival gets its time and its tokens from there, and a question: a
cluster by Zipf's law with exponent ALPHA over the clusters in an order drawn by the seed, then one of its questions by
Zipf's law with exponent WITHIN (0: all alike). With probability DRIFT an arrival makes two clusters change their ranks.
Clusters are the sets' labels: an intent of banking77 or clinc150 (questions out of scope left out), an intent of snips with
all its slots' values. The set `all` is a box that serves three applications: each arrival is of one of the sets, all alike,
and then of a cluster of that one.
"""
import bisect
import csv
import datetime
import glob
import itertools
import json
import os
import random
import subprocess
import sys


def banking77(data):
    for part in ("train", "test"):
        with open(f"{data}/banking77/{part}.csv", encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                yield row["category"], row["text"]


def clinc150(data):
    with open(f"{data}/clinc150/data_full.json", encoding="utf-8") as file:
        parts = json.load(file)
    for name in ("train", "val", "test"):
        for text, intent in parts[name]:
            yield intent, text


def read_snips(path):
    with open(path, "rb") as file:
        raw = file.read()
    try:
        return json.loads(raw.decode("utf-8"))
    except UnicodeDecodeError:
        return json.loads(raw.decode("latin-1"))


def snips(data):
    for path in sorted(glob.glob(f"{data}/snips/*.json")):
        for intent, items in read_snips(path).items():
            for item in items:
                slots = sorted((piece["entity"], piece["text"].lower().strip()) for piece in item["data"]
                               if piece.get("entity", "object_select") != "object_select")
                yield (intent, *slots), "".join(piece["text"] for piece in item["data"])


SETS = {"banking77": banking77, "clinc150": clinc150, "snips": snips}


def clusters_of(pairs):
    clusters, seen = {}, set()
    for label, text in pairs:
        text = " ".join(text.split())
        if text and text not in seen:
            seen.add(text)
            clusters.setdefault(label, []).append(text)
    return [clusters[label] for label in sorted(clusters, key=str)]


def arrivals_of(data):
    with open(f"{data}/azure_llm_2023/AzureLLMInferenceTrace_conv.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    times = [datetime.datetime.fromisoformat(row["TIMESTAMP"][:26]).timestamp() for row in rows]
    return [(time - times[0], int(row["ContextTokens"]), int(row["GeneratedTokens"]))
            for time, row in zip(times, rows)]


class Zipf:
    def __init__(self, count, exponent):
        self.sums = list(itertools.accumulate((i + 1) ** -exponent for i in range(count)))

    def draw(self, dice):
        return bisect.bisect_left(self.sums, dice.random() * self.sums[-1])


def write_log(path, sets, arrivals, seed, settings):
    dice = random.Random(seed)
    sets = [[dice.sample(texts, len(texts)) for texts in dice.sample(clusters, len(clusters))] for clusters in sets]
    ranks = {len(clusters): Zipf(len(clusters), float(settings["ALPHA"])) for clusters in sets}
    sizes = {len(texts) for clusters in sets for texts in clusters}
    within = {size: Zipf(size, float(settings["WITHIN"])) for size in sizes}
    length = arrivals[-1][0] + 1
    answers = {}  # a question's answer has the same length every time
    with open(path, "w", encoding="utf-8") as out:
        for turn in range(int(settings["PASSES"])):
            for time, context, generated in arrivals:
                clusters = dice.choice(sets)
                if dice.random() < float(settings["DRIFT"]):
                    a, b = dice.randrange(len(clusters)), dice.randrange(len(clusters))
                    clusters[a], clusters[b] = clusters[b], clusters[a]
                texts = clusters[ranks[len(clusters)].draw(dice)]
                text = texts[within[len(texts)].draw(dice)]
                context, generated = answers.setdefault(text, (context, generated))
                line = {"t": round(turn * length + time, 6), "text": text, "prompt_tokens": context,
                        "answer_tokens": generated}
                out.write(json.dumps(line, ensure_ascii=False) + "\n")


def main(words):
    settings = {"OUT": "build/evict", "SEEDS": "5", "ALPHA": "0.9", "WITHIN": "0", "PASSES": "1", "DRIFT": "0",
                "SETS": ",".join(SETS) + ",all", "LARDER": "build/x86_64/larder"}
    settings.update(word.split("=", 1) for word in words if "=" in word and not word.startswith("-"))
    options = [word for word in words if "=" not in word or word.startswith("-")]
    if "DATA" not in settings:
        sys.exit(__doc__)
    os.makedirs(settings["OUT"], exist_ok=True)
    arrivals = arrivals_of(settings["DATA"])
    for name in settings["SETS"].split(","):
        sets = [clusters_of(SETS[one](settings["DATA"])) for one in (SETS if name == "all" else [name])]
        paths = [f"{settings['OUT']}/{name}-{seed}.jsonl" for seed in range(1, int(settings["SEEDS"]) + 1)]
        for seed, path in enumerate(paths, 1):
            write_log(path, sets, arrivals, seed, settings)
        questions = sum(len(texts) for clusters in sets for texts in clusters)
        print(f"{name}: {questions} questions in {sum(map(len, sets))} clusters", flush=True)
        subprocess.run([settings["LARDER"], "bench", "evict", *paths, *options], check=True)


if __name__ == "__main__":
    main(sys.argv[1:])
