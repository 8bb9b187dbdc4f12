#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""larder eval-serve line by line, with the n-gram embedder, which needs no model: what is served, vetoed, learnt, refused."""
import json
import os
import pathlib
import platform
import subprocess
import sys
import tempfile

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
LARDER = pathlib.Path(os.environ.get("LARDER") or TOP / "build" / platform.machine() / "larder").resolve()


class Program:
    def __init__(self, folder, *words):
        self.p = subprocess.Popen([LARDER, "eval-serve", "--embedder", "ngram", *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  text=True, encoding="utf-8", env={**os.environ, "TMPDIR": str(folder)})
        self.folder = folder

    def ask(self, **message):
        return self.line(json.dumps(message))

    def line(self, text):
        self.p.stdin.write(text + "\n")
        self.p.stdin.flush()
        return json.loads(self.p.stdout.readline())

    def end(self):
        self.p.stdin.close()
        assert self.p.wait(timeout=60) == 0
        assert list(self.folder.iterdir()) == [], "the data folder is left behind"


QUESTION = "please tell me how long the battery of the blue phone lasts"


def it_serves_what_is_near_and_nothing_else(folder):
    p = Program(folder)
    assert p.ask(op="about")["threshold"] == 0.97
    assert p.ask(op="get", ns="a", text=QUESTION) == {"hit": False, "key": None, "score": None, "veto": []}
    assert p.ask(op="put", ns="a", key="k\n1", text=QUESTION) == {"ok": True}
    got = p.ask(op="get", ns="a", text=QUESTION + "?")
    assert got["hit"] and got["key"] == "k\n1" and got["score"] > 0.99 and got["veto"] == [], got
    got = p.ask(op="get", ns="a", text="an entirely different thing")
    assert not got["hit"] and got["key"] == "k\n1" and got["score"] < 0.5, got
    got = p.ask(op="get", ns="b", text=QUESTION)
    assert got == {"hit": False, "key": None, "score": None, "veto": []}, got
    p.end()


def guards_speak_and_can_be_silenced(folder):
    asked, stored = QUESTION + " with 20 apps", QUESTION + " with 30 apps"
    for words, veto, hit in ((), ["num"], False), (("--no-guards",), [], True), (("--guards", "strict"), ["num"], False):
        p = Program(folder, "--threshold", "0.8", *words)
        p.ask(op="put", ns=1, key="0", text=stored)
        got = p.ask(op="get", ns=1, text=asked)
        assert (got["veto"], got["hit"]) == (veto, hit), (words, got)
        p.end()
    p = Program(folder, "--guards", "strict", "--threshold", "0.5")
    p.ask(op="put", ns=1, key="0", text=QUESTION)
    assert p.ask(op="get", ns=1, text=QUESTION.replace("blue", "green"))["veto"] == ["strict"]
    p.end()


def a_reset_empties_one_namespace(folder):
    p = Program(folder)
    for ns in "a", "b":
        p.ask(op="put", ns=ns, key=ns, text=QUESTION)
    assert p.ask(op="reset", ns="a") == {"ok": True}
    assert p.ask(op="get", ns="a", text=QUESTION)["key"] is None
    assert p.ask(op="get", ns="b", text=QUESTION)["key"] == "b"
    p.ask(op="put", ns="a", key="new", text=QUESTION)
    assert p.ask(op="get", ns="a", text=QUESTION)["key"] == "new"
    p.end()


def more_than_wait_for_their_commit_are_found(folder):
    p = Program(folder, "--no-guards")
    for i in range(1500):
        p.ask(op="put", ns="n", key=str(i), text=f"question {i * 7919} about thing {i * 104729} of {i}")
    for i in range(0, 1500, 50):
        got = p.ask(op="get", ns="n", text=f"question {i * 7919} about thing {i * 104729} of {i}")
        assert got["hit"] and got["key"] == str(i), got
    p.end()


def learning_serves_after_its_labels(folder):
    p = Program(folder, "--mode", "learn", "--delta", "0.05", "--shadow-rate", "0")
    p.ask(op="put", ns="n", key="0", text=QUESTION)
    for i in range(100):
        got = p.ask(op="get", ns="n", text=QUESTION)
        assert not got["hit"] and got["label"] and got["threshold"] > 1, (i, got)
        assert p.ask(op="label", ns="n", score=got["score"], right=True) == {"ok": True}
    got = p.ask(op="get", ns="n", text=QUESTION)
    assert got["hit"] and not got["label"] and abs(got["threshold"] - 0.98) < 1e-3, got
    for _ in range(20):
        p.ask(op="label", ns="n", score=got["score"], right=False)
    assert not p.ask(op="get", ns="n", text=QUESTION)["hit"]
    p.end()


def what_is_not_understood_is_said(folder):
    p = Program(folder)
    for line in "x", "{}", '{"op":"fly"}', '{"op":"get","ns":1}', '{"op":"put","ns":1,"text":"t"}', '{"op":"label","ns":1}', "[1]":
        assert "error" in p.line(line), line
    assert p.ask(op="get", ns=1, text="")["key"] is None
    assert p.ask(op="put", ns=1, key="empty", text="") == {"ok": True}
    assert p.ask(op="put", ns=1, key="long", text="word " * 2000) == {"ok": True}
    assert p.ask(op="get", ns=1, text="word " * 2000)["key"] is None
    p.end()
    for words in ["--fly", "1"], ["--threshold", "high"], ["--threshold"], ["--seal"], ["--guards", "loose"], ["--kernel", "abacus"]:
        done = subprocess.run([LARDER, "eval-serve", *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert done.returncode == 2 and "eval-serve: error" in done.stderr, (words, done)
    done = subprocess.run([LARDER, "eval-serve", "--model", "/nonexistent"], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1 and "/nonexistent" in done.stderr, done


TESTS = [it_serves_what_is_near_and_nothing_else, guards_speak_and_can_be_silenced, a_reset_empties_one_namespace,
         more_than_wait_for_their_commit_are_found, learning_serves_after_its_labels, what_is_not_understood_is_said]


def main():
    print(f"1..{len(TESTS)}")
    failed = 0
    for number, test in enumerate(TESTS, 1):
        if not LARDER.exists():
            print(f"ok {number} # SKIP there is no {LARDER}")
            continue
        with tempfile.TemporaryDirectory() as folder:
            try:
                test(pathlib.Path(folder))
                print(f"ok {number} - {test.__name__}")
            except Exception as e:
                failed += 1
                print(f"not ok {number} - {test.__name__}\n# {type(e).__name__}: {e}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
