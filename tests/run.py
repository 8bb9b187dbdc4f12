#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs test programs, shows what fails, and ends with the line `N passed, N failed`.

    tests/run.py [--jobs N] --suite NAME [--runner COMMAND] [--limit SECONDS] [--alone] PROGRAM...  [--suite ...]

A program may be a command with arguments in one word; those after --alone get the machine to themselves. TAP lines count one by one; without TAP the exit code counts as one
test. A crash, a timeout, a missing plan line or a non-zero exit without a failed line is one failure more.
The exit code is 1 when anything failed.
"""
import concurrent.futures
import itertools
import os
import re
import shlex
import signal
import subprocess
import sys
import time

LIMIT = 300
TAP_LINE = re.compile(r"^(not )?ok\b(.*)$")
TAP_PLAN = re.compile(r"^1\.\.(\d+)")


def parse(words):
    """[(suite, command words, limit, alone)] in order."""
    todo, suite, runner, limit, alone, jobs = [], "tests", [], LIMIT, False, min(2, os.cpu_count() or 1)
    default = LIMIT
    words = list(words)
    while words:
        word = words.pop(0)
        if word == "--suite":
            suite, runner, limit, alone = words.pop(0), [], default, False
        elif word == "--runner":
            runner = shlex.split(words.pop(0))
        elif word == "--limit":
            limit = float(words.pop(0))
            default = limit if not todo and suite == "tests" else default
        elif word == "--alone":
            alone = True
        elif word == "--jobs":
            jobs = int(words.pop(0))
        else:
            todo.append((suite, runner + shlex.split(word), limit, alone))
    return todo, jobs


def title(command):
    """The program's own name: past a runner, `env` and its assignments, an interpreter."""
    for word in command:
        base = os.path.basename(word)
        if "=" not in word and not re.match(r"(qemu-|env$|sh$|bash$|python3?$|node$|setarch$|-)", base):
            return word.removeprefix("build/") if word.endswith(base) and "/tests/" not in word else base
    return command[-1]


def environment():
    env = dict(os.environ, CMOCKA_MESSAGE_OUTPUT="TAP")
    env.setdefault("ASAN_OPTIONS", "detect_stack_use_after_return=0:strict_string_checks=1:detect_leaks=1")
    env.setdefault("UBSAN_OPTIONS", "print_stacktrace=1:halt_on_error=1")
    env.setdefault("TSAN_OPTIONS", "halt_on_error=0:exitcode=66:second_deadlock_stack=1")
    return env


def count(output):
    """(passed, failed, skipped, planned) of TAP output."""
    passed = failed = skipped = 0
    planned = None
    for line in output.splitlines():
        if match := TAP_PLAN.match(line):
            planned = (planned or 0) + int(match.group(1))
        elif match := TAP_LINE.match(line):
            skip = re.search(r"#\s*skip", match.group(2), re.I)
            skipped += bool(skip)
            failed += bool(match.group(1) and not skip)
            passed += not match.group(1) and not skip
    return passed, failed, skipped, planned


def run(job):
    suite, command, limit, _ = job
    start = time.monotonic()
    why = ""
    try:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   env=environment(), start_new_session=True)
    except OSError as fault:
        return suite, command, (0, 1, 0), f"cannot start: {fault}", "", 0.0
    try:
        output, _ = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        why = f"no end after {limit:.0f} s"
    try:
        os.killpg(process.pid, signal.SIGKILL)   # nothing that it started outlives it
    except ProcessLookupError:
        pass
    output = output.decode("utf-8", "replace")
    passed, failed, skipped, planned = count(output)
    code = process.returncode
    if code < 0 and not why:
        why = f"killed by {signal.Signals(-code).name}"
    elif not why and planned is not None and passed + failed + skipped < planned:
        why = f"{planned} tests planned, {passed + failed + skipped} reported"
    elif not why and code and not failed:
        why = f"exit code {code}"
    if why:
        failed += 1
    elif passed + failed + skipped == 0 and planned is None:
        passed = 1
    return suite, command, (passed, failed, skipped), why, output, time.monotonic() - start


def report(result):
    suite, command, (passed, failed, skipped), why, output, seconds = result
    note = (f", {skipped} skipped" if skipped else "") + (f": {why}" if why else "")
    print(f"{'FAIL' if failed else 'ok  '} {suite:8} {title(command):40} {passed} passed, {failed} failed{note}  ({seconds:.1f} s)")
    if failed:
        lines = output.splitlines()
        cut = f"    [{len(lines) - 400} lines left out]\n" if len(lines) > 400 else ""
        print(cut + "".join(f"    {line}\n" for line in lines[-400:]), end="")
    elif skipped:
        for line in output.splitlines():
            if re.match(r"ok\b.*#\s*skip", line, re.I):
                print(f"     {line}")
    sys.stdout.flush()


def main():
    todo, jobs = parse(sys.argv[1:])
    total = [0, 0]
    for alone, group in itertools.groupby(todo, key=lambda job: job[3]):
        with concurrent.futures.ThreadPoolExecutor(1 if alone else jobs) as pool:
            for result in pool.map(run, list(group)):
                report(result)
                total[0] += result[2][0]
                total[1] += result[2][1]
    print(f"{total[0]} passed, {total[1]} failed", flush=True)
    sys.exit(1 if total[1] else 0)


main()
