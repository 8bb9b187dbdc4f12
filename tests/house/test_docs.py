#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""docs/configuration.md says what the program says; its examples are configurations; tools/docs tells when it is old."""
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
LARDER = pathlib.Path(os.environ.get("LARDER") or TOP / "build" / platform.machine() / "larder").resolve()


def run(*words, folder=TOP):
    return subprocess.run([str(w) for w in words], cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def the_page_is_up_to_date(folder):
    done = run(sys.executable, TOP / "tools/docs", "--check", LARDER)
    assert done.returncode == 0, done.stdout


def an_old_page_is_told_and_brought_up_to_date(folder):
    for name in "tools", "docs":
        (folder / name).mkdir()
    tool, page = folder / "tools/docs", folder / "docs/configuration.md"
    shutil.copy(TOP / "tools/docs", tool)
    text = (TOP / "docs/configuration.md").read_text()
    page.write_text(text.replace("| `limits.requests` | 4 to 1024 |", "| `limits.requests` | 4 to 9 |"))
    done = run(sys.executable, tool, "--check", LARDER)
    assert done.returncode == 1 and "run make docs" in done.stdout, done.stdout
    done = run(sys.executable, tool, LARDER)
    assert done.returncode == 0 and page.read_text() == text, done.stdout
    page.write_text("no marker\n")
    assert run(sys.executable, tool, LARDER).returncode == 1


def its_examples_are_configurations(folder):
    text = (TOP / "docs/configuration.md").read_text()
    examples = re.findall(r"```yaml\n(.*?)```", text, re.S)
    assert examples
    for example in examples:
        (folder / "larder.yaml").write_text(example)
        done = run(LARDER, "check", folder=folder)
        assert done.returncode == 0 and "warning" not in done.stdout, done.stdout


def its_overrides_work(folder):
    done = run(LARDER, "check", "--override", "routes.0.cache.ttl=1h", "--override", "access.hosts=[box.lan, box]", folder=folder)
    assert done.returncode == 0 and "ttl: 1h" in done.stdout and "hosts: [box.lan, box]" in done.stdout, done.stdout


def board_option_is_an_override(folder):
    one = run(LARDER, "check", "--board", "small", folder=folder)
    two = run(LARDER, "check", "--override", "board=small", folder=folder)
    assert one.returncode == 0 and one.stdout == two.stdout, one.stdout
    assert one.stdout.startswith("# board small (") and "asked for by name\n" in one.stdout
    plan = run(LARDER, "plan", "--board", "server", folder=folder)
    assert plan.returncode == 0 and plan.stdout.startswith("# board server ("), plan.stdout
    assert run(LARDER, "plan", "--board", "nosuch", folder=folder).returncode == 2
    assert run(LARDER, "plan", "--board", folder=folder).returncode == 2


TESTS = [the_page_is_up_to_date, an_old_page_is_told_and_brought_up_to_date, its_examples_are_configurations,
         its_overrides_work, board_option_is_an_override]


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
            except AssertionError as fault:
                failed += 1
                shown = str(fault).replace("\n", "\n# ")
                print(f"not ok {number} - {test.__name__}\n# {shown}")
    sys.exit(1 if failed else 0)


main()
