#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tools/deps on a made-up lock: order of sources, DEPS_DIR, a wrong digest, a source that is gone, what is unpacked."""
import hashlib
import io
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile

TOP = pathlib.Path(__file__).resolve().parent.parent.parent


def archive(path, files):
    with tarfile.open(path, "w:gz") as tar:
        for name, text in files.items():
            info = tarfile.TarInfo("thing-1.0/" + name)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text))
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Tree:
    """A folder with tools/deps, a lock of one row with two sources, and their archives."""

    def __init__(self, folder, first_there=True, take=""):
        self.folder = pathlib.Path(folder)
        (self.folder / "tools").mkdir()
        (self.folder / "far").mkdir()
        shutil.copy(TOP / "tools" / "deps", self.folder / "tools" / "deps")
        self.one, self.two = self.folder / "far" / "one.tar.gz", self.folder / "far" / "two.tar.gz"
        sums = archive(self.one, {"src/a.c": b"same", "docs/x": b"one"}), archive(self.two, {"src/a.c": b"same", "docs/x": b"two"})
        self.lock = f"thing 1.0 MIT\n  url file://{self.one} {sums[0]}\n  url file://{self.two} {sums[1]}\n{take}"
        (self.folder / "tools" / "deps.lock").write_text(self.lock)
        if not first_there:
            self.one.unlink()

    def run(self, *words, **env):
        clean = {k: v for k, v in os.environ.items() if not k.startswith("DEPS_")}
        return subprocess.run([sys.executable, "tools/deps", *words], cwd=self.folder, env={**clean, **env}, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def kept(self):
        return sorted(p.name for p in (self.folder / "build" / "dl").iterdir())


def the_first_source_is_taken(folder):
    tree = Tree(folder)
    assert tree.run("fetch").returncode == 0
    assert tree.kept() == ["thing-one.tar.gz"], tree.kept()


def a_source_that_is_gone_is_passed_over(folder):
    tree = Tree(folder, first_there=False)
    assert tree.run("fetch").returncode == 0
    assert tree.kept() == ["thing-two.tar.gz"], tree.kept()


def no_source_left_says_which_and_what_to_do(folder):
    tree = Tree(folder, first_there=False)
    tree.two.unlink()
    run = tree.run("fetch")
    assert run.returncode == 1 and "thing 1.0" in run.stdout and "DEPS_DIR=" in run.stdout, run.stdout


def a_wrong_digest_stops(folder):
    tree = Tree(folder)
    tree.one.write_bytes(tree.one.read_bytes() + b"!")
    run = tree.run("fetch")
    assert run.returncode == 1 and "wrong digest" in run.stdout and "Remove the file" in run.stdout, run.stdout
    again = tree.run("unpack", str(tree.folder / "out"))
    assert again.returncode == 1 and not list(tree.folder.glob("out/thing/src/*")), "a bad archive was unpacked"


def a_kept_archive_is_checked_again(folder):
    tree = Tree(folder)
    assert tree.run("fetch").returncode == 0
    kept = tree.folder / "build" / "dl" / "thing-one.tar.gz"
    kept.write_bytes(b"torn")
    assert tree.run("fetch").returncode == 1


def deps_dir_takes_any_name_and_no_network(folder):
    tree = Tree(folder)
    (tree.folder / "usb").mkdir()
    tree.two.rename(tree.folder / "usb" / "whatever.bin")
    tree.one.unlink()
    run = tree.run("fetch", DEPS_DIR=str(tree.folder / "usb"))
    assert run.returncode == 0 and tree.kept() == ["thing-two.tar.gz"], run.stdout


def deps_dir_without_it_fails_although_the_source_is_there(folder):
    tree = Tree(folder)
    (tree.folder / "usb").mkdir()
    run = tree.run("fetch", DEPS_DIR=str(tree.folder / "usb"))
    assert run.returncode == 1 and "DEPS_DIR" in run.stdout, run.stdout


def both_archives_unpack_to_the_same(folder):
    seen = []
    for there in (True, False):
        sub = pathlib.Path(folder) / str(there)
        sub.mkdir()
        tree = Tree(sub, first_there=there, take="  take src/*\n")
        assert tree.run("unpack", "out").returncode == 0
        seen.append({str(p.relative_to(sub / "out")): p.read_bytes() for p in (sub / "out").rglob("*") if p.is_file()})
    assert seen[0] == seen[1] == {"thing/src/a.c": b"same"}, seen


def a_broken_lock_names_the_line(folder):
    tree = Tree(folder)
    (tree.folder / "tools" / "deps.lock").write_text(tree.lock + "  utl x y\n")
    run = tree.run("fetch")
    assert run.returncode == 1 and "line 4" in run.stdout, run.stdout


TESTS = [the_first_source_is_taken, a_source_that_is_gone_is_passed_over, no_source_left_says_which_and_what_to_do,
         a_wrong_digest_stops, a_kept_archive_is_checked_again, deps_dir_takes_any_name_and_no_network,
         deps_dir_without_it_fails_although_the_source_is_there, both_archives_unpack_to_the_same, a_broken_lock_names_the_line]


def main():
    print(f"1..{len(TESTS)}")
    failed = 0
    for number, test in enumerate(TESTS, 1):
        with tempfile.TemporaryDirectory() as folder:
            try:
                test(folder)
                print(f"ok {number} - {test.__name__}")
            except AssertionError as fault:
                failed += 1
                print(f"not ok {number} - {test.__name__}\n# {fault}")
    sys.exit(1 if failed else 0)


main()
