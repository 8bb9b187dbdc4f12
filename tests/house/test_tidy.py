#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every rule of tools/tidy is broken once in a small tree and must be named; the clean tree must pass. So must tests/run.py's count."""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
SPDX = "/* SPDX-License-Identifier: Apache-2.0 */\n"
CLEAN = SPDX + """/* net/thing.c — a clean file. */
#include "net/thing.h"

#include "platform/text.h"

int thing_count(int many)
{
    return many + 1;
}
"""
HEADER = SPDX + """/* net/thing.h — its header. */
#ifndef NET_THING_H
#define NET_THING_H

int thing_count(int many);

#endif
"""
BODY = "    return many + 1;\n"
LONG = "    many += 1;\n" * 71 + BODY


def broken(text, *changes):
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    return text


# name, check, file, its text, what tidy must say
RULES = [
    ("arrow_up", "arrows", "net/thing.c", broken(CLEAN, ("platform/text.h", "cache/cache.h")), "the arrow goes up"),
    ("arrow_from_storage_to_net", "arrows", "storage/a.c", '#include "net/thing.h"\n', "the arrow goes up"),
    ("arrow_from_hal", "arrows", "hal/a.c", '#include "platform/text.h"\n', "the arrow goes up"),
    ("library_past_its_door", "arrows", "net/thing.c", broken(CLEAN, ('"platform/text.h"', "<yyjson.h>")), "at its door only"),
    ("library_in_a_public_header", "arrows", "net/tls.h", "#include <mbedtls/ssl.h>\n", "at its door only"),
    ("include_without_folder", "arrows", "net/thing.c", broken(CLEAN, ("platform/text.h", "text.h")), "from the top of the tree"),
    ("allocating_call", "bans", "net/thing.c", broken(CLEAN, ("many + 1", "(int)(long)strdup(\"\")")), "strdup is banned"),
    ("long_function", "lengths", "net/thing.c", broken(CLEAN, (BODY, LONG)), "has 72 lines, at most 70"),
    ("long_file", "lengths", "net/thing.c", CLEAN + "/* */\n" * 600, "at most 600"),
    ("no_licence_line", "form", "net/thing.c", broken(CLEAN, (SPDX, "")), "the first line is"),
    ("no_duty_comment", "form", "net/thing.c", broken(CLEAN, ("net/thing.c — ", "")), "duty comment"),
    ("wrong_guard", "form", "net/thing.h", broken(HEADER, ("NET_THING_H", "THING")), "the include guard is NET_THING_H"),
    ("condition_in_a_function", "form", "net/thing.c", broken(CLEAN, (BODY, "#ifdef X\n" + BODY + "#endif\n")), "inside a function"),
    ("typedefed_struct", "form", "net/thing.h", broken(HEADER, ("int thing", "typedef struct x x;\nint thing")), "typedef"),
    ("left_over_note", "form", "net/thing.c", broken(CLEAN, ("a clean", "TO" + "DO a clean")), "has no place"),
    ("machine_path", "form", "net/thing.c", broken(CLEAN, ("a clean", "/ro" + "ot/x a clean")), "has no place"),
    ("script_without_licence", "form", "tools/x.sh", "#!/bin/sh\n", "SPDX"),
    ("layout", "format", "net/thing.c", broken(CLEAN, (BODY, "  return many+1;\n")), "make format"),
]


class Tree:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        for name in ("tools", "net", "storage", "hal"):
            (self.folder / name).mkdir()
        for name in ("tools/tidy", "tools/tidy-ratchet", ".clang-format"):
            shutil.copy(TOP / name, self.folder / name)
        self.write("net/thing.c", CLEAN)
        self.write("net/thing.h", HEADER)
        subprocess.run(["git", "init", "-q", "."], cwd=self.folder, check=True)

    def write(self, name, text):
        (self.folder / name).write_text(text)

    def tidy(self, *words):
        return subprocess.run([sys.executable, "tools/tidy", *words], cwd=self.folder, text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)


def clean_tree_passes(tree):
    run = tree.tidy("format", "arrows", "bans", "lengths", "form")
    assert run.returncode == 0, run.stdout


def a_ban_counts_only_in_code(tree):
    tree.write("net/thing.c", broken(CLEAN, ("a clean", "free( and malloc( in a")))
    assert tree.tidy("bans").returncode == 0


def ratchet_holds_and_shrinks(tree):
    tree.write("net/thing.c", broken(CLEAN, (BODY, LONG)))
    assert tree.tidy("--lengths-seed").returncode == 0 and tree.tidy("lengths").returncode == 0
    tree.write("net/thing.c", broken(CLEAN, (BODY, "    many += 1;\n" + LONG)))
    assert "has 73 lines, at most 72" in tree.tidy("lengths").stdout
    assert tree.tidy("--lengths-update").returncode == 0 and tree.tidy("lengths").returncode == 1, "the ratchet grew"
    tree.write("net/thing.c", CLEAN)
    assert "tools/tidy-ratchet --update" in tree.tidy("lengths").stdout
    subprocess.run(["sh", "tools/tidy-ratchet", "--update"], cwd=tree.folder, check=True, stdout=subprocess.DEVNULL)
    assert tree.tidy("lengths").returncode == 0
    assert "net/thing.c" not in (tree.folder / "tools/tidy-ratchet.list").read_text()


def runner_counts(tree):
    """tests/run.py: passes, failures, skips, crash, timeout, short plan, plain exit code; the last line and the exit code."""
    def program(name, text):
        path = tree.folder / name
        path.write_text("#!/bin/sh\n" + text)
        path.chmod(0o755)
        return str(path)
    good = program("good", "echo 1..3; echo ok 1 - a; echo ok 2 - b; echo 'ok 3 # SKIP c'")
    bad = [program("bad", "echo 1..2; echo ok 1; echo not ok 2; exit 1"), program("crash", "echo 1..1; kill -ABRT $$"),
           program("slow", "sleep 60"), program("short", "echo 1..2; echo ok 1"), program("plain", "exit 3")]
    run = subprocess.run([sys.executable, TOP / "tests/run.py", "--limit", "2", "--suite", "x", good], text=True, stdout=subprocess.PIPE)
    assert run.returncode == 0 and run.stdout.splitlines()[-1] == "2 passed, 0 failed", run.stdout
    run = subprocess.run([sys.executable, TOP / "tests/run.py", "--suite", "x", "--limit", "2", good, *bad], text=True,
                         stdout=subprocess.PIPE)
    assert run.returncode == 1 and run.stdout.splitlines()[-1] == "4 passed, 5 failed", run.stdout
    assert "killed by SIGABRT" in run.stdout and "no end after 2 s" in run.stdout and "2 tests planned" in run.stdout, run.stdout


def rule_test(rule):
    def test(tree):
        tree.write(rule[2], rule[3])
        run = tree.tidy(rule[1])
        assert run.returncode == 1 and rule[4] in run.stdout, run.stdout
    test.__name__ = rule[0]
    return test


TESTS = [clean_tree_passes, a_ban_counts_only_in_code, ratchet_holds_and_shrinks, runner_counts, *map(rule_test, RULES)]


def main():
    print(f"1..{len(TESTS)}")
    failed = 0
    os.environ.pop("GIT_DIR", None)
    for number, test in enumerate(TESTS, 1):
        with tempfile.TemporaryDirectory() as folder:
            try:
                test(Tree(folder))
                print(f"ok {number} - {test.__name__}")
            except AssertionError as fault:
                failed += 1
                print(f"not ok {number} - {test.__name__}\n# {fault}")
    sys.exit(1 if failed else 0)


main()
