# SPDX-License-Identifier: Apache-2.0
"""The smallest test runner that serves: named functions in, TAP lines out, a time limit for each."""

import signal
import sys
import time
import traceback

TESTS = []
CLEANERS = []                               # called after each test, newest first; may raise to fail it
NOTES = []                                  # callables that give lines for a failed test's diagnostics


class Skip(Exception):
    """This machine cannot run the test; the reason is printed."""


class TimeLimit(BaseException):
    """Not an Exception: a broad except in a test must not swallow it."""


def test(title, limit=30):
    """Registers a function as the test with this title; `limit` in seconds."""
    def take(function):
        TESTS.append((title, limit, function))
        return function
    return take


def check(condition, *what):
    """Assert that says what it saw."""
    if not condition:
        raise AssertionError(" ".join(w if isinstance(w, str) else repr(w) for w in what) or "check failed")


def equal(got, want, what="value"):
    if got != want:
        raise AssertionError("%s: got %s, want %s" % (what, clip(got), clip(want)))


def clip(value, size=1200):
    text = repr(value)
    return text if len(text) <= size else text[:size] + "… (%d characters)" % len(text)


def _late(*_):
    raise TimeLimit()


def _run(function, limit):
    """Returns None, a Skip, or the text of what went wrong."""
    signal.signal(signal.SIGALRM, _late)
    signal.setitimer(signal.ITIMER_REAL, limit)
    wrong = None
    try:
        function()
    except Skip as skip:
        wrong = skip
    except TimeLimit:
        wrong = "over its time limit of %d s\n%s" % (limit, traceback.format_exc(limit=-4))
    except Exception:
        wrong = traceback.format_exc(limit=-4)
    notes = [line for note in list(NOTES) for line in note()] if isinstance(wrong, str) else []
    signal.setitimer(signal.ITIMER_REAL, 20)
    while CLEANERS:
        try:
            CLEANERS.pop()()
        except TimeLimit:
            wrong = "%s\ncleaning up took too long" % (wrong or "")
            break
        except Exception as fault:
            if not isinstance(wrong, str):
                wrong = ""
                notes = [line for note in list(NOTES) for line in note()]
            wrong += "at the end: %s" % fault
    signal.setitimer(signal.ITIMER_REAL, 0)
    NOTES.clear()
    return "\n".join([wrong] + notes) if isinstance(wrong, str) else wrong


def main():
    """Runs the registered tests; arguments are parts of titles. Exit code 0 when none failed."""
    wanted = [a for a in sys.argv[1:] if not a.startswith("-")]
    chosen = [t for t in TESTS if not wanted or any(w in t[0] for w in wanted)]
    if "-l" in sys.argv:
        print("\n".join(title for title, _, _ in chosen))
        return 0
    print("1..%d" % len(chosen), flush=True)
    failed = 0
    for number, (title, limit, function) in enumerate(chosen, 1):
        start = time.monotonic()
        wrong = _run(function, limit)
        if wrong is None:
            print("ok %d - %s # %.2fs" % (number, title, time.monotonic() - start), flush=True)
        elif isinstance(wrong, Skip):
            print("ok %d - %s # SKIP %s" % (number, title, wrong), flush=True)
        else:
            failed += 1
            print("not ok %d - %s" % (number, title))
            print("\n".join("#   " + line for line in wrong.strip().split("\n")), flush=True)
    return 1 if failed else 0
