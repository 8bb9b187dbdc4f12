#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The guards in C against guard_reference.py: the same veto lists on guard pairs, made-up texts and, with data sets, on
every (query, best candidate) pair and random pairs of them.

  guard_diff.py [--data FOLDER] [--driver FILE] [--pairs N] [--seed N]      exit code 1 when a list differs
  guard_diff.py --vectors FILE                                              writes pairs with their lists for the unit test
"""
import argparse
import json
import os
import pathlib
import platform
import random
import subprocess
import sys

import guard_reference as reference

HERE = pathlib.Path(__file__).resolve().parent
DRIVER = HERE.parent.parent / "build" / platform.machine() / "tests/eval/guard_driver"
WORDS_MAX, CHARS_MAX, LETTERS_MAX = 256, 2048, 4096

ODD = list("İıſKÅßẞΣσςΑΟΔéÉñǅǄǆªº²³¼½Ⅳⅷ⑤①٣٤٥०१२߁𝟘𝟗𝟭日本語한국ไทยअकि\u0301\u0308\u0307ʰʼ·\u200b\u200d\ufeff\u00ad😀🎉ꙭᏣᏸⓐⒶ\U00010400\U00010428𞤀一二三十㉈")
MARKS = list(".,;:?!'\"`-_/&+#()[]{}<>=|*%$€£₹¥ \t\n\r\x0b\x0c\x1c\x1f\x85\xa0\u2003\u2028\u3000‘’“”–—\\~^@\x00\x7f")
SHORT = ["a", "i", "s", "t", "x", "I", "X", "IV", "V", "VIII", "XI", "k", "m", "b", "bn", "mn", "st", "nd", "rd", "th", "0", "1", "5", "9", "00", "12", "007", "0x1F", "0xZZ", "1e5",
         "3.14", "2.50", "1,000", "12,34,567", "1,2345", "99999999999999999999", "0.1", "0.30000000000000004", "2.9999999", "1.", ".5", "e.g.", "i.e.", "C++", "C#", "F#", "a_b", "fooBar",
         "foo()", "std::vector", "os.path.join", "--flag", "-x", "a/b/c", "/usr/bin", "==", "!=", "<=", "<b>", "</p>", "&&", "||", "[]", "{}", "()", ".PDF", "U.S.A.", "AT&T", "don't",
         "I'm", "o'clock", "rock'n'roll", "the Paris's", "kilograms'", "or not", "why not", "if not", "what year", "what time", "level II", "chapter X", "World War I", "$5m", "5k",
         "5 million", "3 lakh", "two hundred and five", "one dozen", "one day", "hundred", "a thousand", "twenty five", "first", "second", "3rd", "21st", "5 kg", "10km/h", "20%", "%"]


def texts_of(data):
    sys.path.insert(0, str(HERE))
    import cache_quality
    cache_quality.DATA = data
    return {name: load() for name, load in cache_quality.LOAD.items()}


def best_pairs(sets):
    for name, (cached, asked) in sets.items():
        for row in open(HERE / f"ref_minilm_{name}.tsv", encoding="utf-8"):
            if not row.startswith("#"):
                query, best, _ = row.split("\t")
                yield asked[int(query)][0], cached[int(best)][0]


def guard_pairs():
    for row in open(HERE / "guard_pairs.jsonl", encoding="utf-8"):
        pair = json.loads(row)
        yield pair["asked"], pair["cached"]
        yield pair["cached"], pair["asked"]


class Maker:
    """Texts that meet the rules' corners: listed words, numbers, code, Unicode; and small changes of a text."""

    def __init__(self, seed, texts):
        self.r = random.Random(seed)
        lists = json.loads(subprocess.run([sys.executable, str(HERE / "guard_reference.py"), "lists"], check=True, stdout=subprocess.PIPE).stdout)
        self.lists = sorted({w for v in lists.values() for w in v if isinstance(w, str)} | {w for p in lists["ANTONYMS"] for w in p})
        self.prefixes = lists["PREFIXES"]
        self.slots = [lists["ANTONYMS"], [(q, w) for q in lists["QUESTION"] for w in lists["QUESTION"]],
                      [(f"{n} {u}", f"{n} {w}") for n in ("5", "two") for u in list(lists["UNITS"])[::7] for w in list(lists["UNITS"])[::5]],
                      [(a, b) for a in list(lists["ORDINALS"]) + ["1st", "3rd", "12th"] for b in list(lists["ORDINALS"]) + ["2nd", "3rd"]],
                      [(f"{a} {b}", f"{b} {a}") for a in ("euros", "Paris", "flights") for b in ("to dollars", "and London", "vs hotels", "Rome")],
                      [(w, p + w) for p in self.prefixes for w in ("active", "legal", "it", "me", "o", "lock", "stop", "é")],
                      [(a, b) for a in ("Berlin", "New York", "IBM", "iPhone", "GPT4", "München", "Kilograms", "USD") for b in
                       ("Paris", "NY", "international business machines", "iphones", "gpt 4", "munchen", "Grams", "Euros")],
                      [(a, b) for a in lists["ONES"] for b in ("one", "1", "two", "twenty one", "one hundred", "a hundred and one")],
                      [(n, m) for n in ("no", "not", "don't", "without", "why not", "or not") for m in ("", "really", "never", "if not")]]
        self.texts = texts
        self.vocabulary = sorted({w for t in texts[:4000] for w in t.split()}) or self.lists

    def word(self):
        r = self.r
        kind = r.random()
        if kind < 0.35:
            w = r.choice(self.lists)
        elif kind < 0.6:
            w = r.choice(self.vocabulary)
        elif kind < 0.8:
            w = r.choice(SHORT)
        elif kind < 0.9:
            w = "".join(r.choice(ODD + list("aeis")) for _ in range(r.randint(1, 6)))
        else:
            w = "".join(r.choice("abcdeéinrstuyΣς0123456789_.'-/") for _ in range(r.randint(1, 9)))
        change = r.random()
        if change < 0.1:
            w = w.upper()
        elif change < 0.25:
            w = w.capitalize()
        elif change < 0.3:
            w = r.choice(self.prefixes) + w
        elif change < 0.4:
            w += r.choice(["s", "es", "ies", "ing", "ed", "'s", "’s", "e", "ll", "++", "#", "()", "_x", ".", "?", "!"])
        return w

    def text(self):
        r = self.r
        if r.random() < 0.05:
            return "".join(r.choice(MARKS + ODD + SHORT) for _ in range(r.randint(0, 40)))
        t = "".join(self.word() + r.choice([" "] * 12 + ["", ", ", "-", "/", ".", " & ", "  ", "\n", "? ", ": ", " \"", "\" ", " '", "' ", "`"]) for _ in range(r.randint(1, 14)))
        if r.random() < 0.05:
            t = t.upper()
        elif r.random() < 0.05:
            t = t.title()
        return t.encode("utf-8", "replace").decode()

    def change(self, t):
        r = self.r
        words = t.split(" ")
        for _ in range(r.randint(1, 3)):
            i, kind = r.randrange(len(words)), r.random()
            if kind < 0.25:
                words[i] = self.word()
            elif kind < 0.4:
                k = r.randrange(len(words))
                words[i], words[k] = words[k], words[i]
            elif kind < 0.5:
                words.insert(i, self.word())
            elif kind < 0.6 and len(words) > 1:
                del words[i]
            elif kind < 0.7 and words[i]:
                k = r.randrange(len(words[i]))
                words[i] = words[i][:k] + r.choice("aeist0'. ") + words[i][k + r.randint(0, 1):]
            elif kind < 0.8:
                words[i] = r.choice(self.prefixes) + words[i]
            elif kind < 0.9:
                words[i] = r.choice([str.upper, str.capitalize, str.lower, str.swapcase])(words[i])
            else:
                words[i] = r.choice(SHORT)
        return " ".join(words).encode("utf-8", "replace").decode()

    def slotted(self):
        """The same words around one thing exchanged."""
        r = self.r
        frame = (r.choice(self.texts) if self.texts and r.random() < 0.7 else " ".join(r.choice(self.vocabulary) for _ in range(r.randint(1, 8)))).split(" ")
        one, other = r.choice(r.choice(self.slots))
        if r.random() < 0.5:
            one, other = other, one
        at = r.randint(0, len(frame))
        two = frame[:at] + [one] + frame[at:], frame[:at] + [other] + frame[at:]
        return tuple(" ".join(t).encode("utf-8", "replace").decode() for t in two)

    def pair(self):
        if self.r.random() < 0.3:
            return self.slotted()
        a = self.r.choice(self.texts) if self.texts and self.r.random() < 0.3 else self.text()
        return a, self.change(a) if self.r.random() < 0.7 else self.text()


def is_long(read, text):
    """Over the bounds of the C side; it then says so instead of comparing."""
    return len(text) > CHARS_MAX - 2 or len(read.low) > WORDS_MAX or len("".join(read.stems).encode()) > LETTERS_MAX


def expected(asked, cached, strict):
    a, b = reference.Text(asked), reference.Text(cached)
    if is_long(a, asked) or is_long(b, cached):
        return ["long"]
    return reference.vetoes(a, b) + (["strict"] if strict and set(a.content) != set(b.content) else [])


def hexed(text):
    return text.encode("utf-8").hex() or "-"


def compare(driver, pairs, strict):
    lines = "".join(f"{hexed(a)} {hexed(b)}\n" for a, b in pairs)
    done = subprocess.run([driver] + ["strict"] * strict, input=lines, text=True, stdout=subprocess.PIPE)
    if done.returncode:
        sys.exit(f"error: the driver ended with {done.returncode}")
    got = done.stdout.splitlines()
    assert len(got) == len(pairs), (len(got), len(pairs))
    wrong = 0
    for (a, b), line in zip(pairs, got):
        names = line.split(" ")[0]
        want = ",".join(expected(a, b, strict)) or "-"
        if names != want:
            wrong += 1
            if wrong <= 5:
                print(f"differs: asked {a!r}, cached {b!r}: reference {want}, program {names}")
    return wrong


def sources(o):
    yield "guard pairs, both ways", list(guard_pairs())
    texts = []
    if o.data:
        sets = texts_of(o.data)
        yield "queries with their best candidates", list(best_pairs(sets))
        texts = [t for cached, asked in sets.values() for t, _ in cached + asked]
        r = random.Random(o.seed)
        yield "random pairs of the data sets", [(r.choice(texts), r.choice(texts)) for _ in range(o.pairs // 2)]
    maker = Maker(o.seed, texts)
    yield "made-up texts", [maker.pair() for _ in range(o.pairs)]


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--data", default="")
    ap.add_argument("--driver", default=str(DRIVER))
    ap.add_argument("--pairs", type=int, default=60000)
    ap.add_argument("--seed", type=int, default=7)
    ap.add_argument("--vectors", default="")
    o = ap.parse_args()
    if o.vectors:
        maker = Maker(o.seed, [a for a, _ in guard_pairs()])
        pairs = list(guard_pairs()) + [maker.pair() for _ in range(1500)]
        with open(o.vectors, "w", encoding="utf-8") as f:
            f.write("# guard_diff.py --vectors: asked, cached, vetoes of guard_reference.py with strict; texts as UTF-8 in hex\n")
            for a, b in pairs:
                f.write(f"{hexed(a)} {hexed(b)} {','.join(expected(a, b, True)) or '-'}\n")
        return 0
    total = wrong = 0
    for name, pairs in sources(o):
        bad = compare(o.driver, pairs, False) + compare(o.driver, pairs[::3], True)
        print(f"guards: {name}: {len(pairs)} pairs, {bad} differ")
        total, wrong = total + len(pairs), wrong + bad
    print(f"guards: {total} pairs, {wrong} differ from guard_reference.py")
    return 1 if wrong else 0


if __name__ == "__main__":
    os.environ["PYTHONIOENCODING"] = "utf-8"
    sys.exit(main())
