#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The guards' tables are those of the reference: what tools/guard-tables writes is what is committed."""
import pathlib
import subprocess
import sys
import tempfile
import unicodedata

TOP = pathlib.Path(__file__).resolve().parent.parent.parent


def the_tables_are_generated(folder):
    written = (TOP / "cache/guard_char_tables.c").read_text()
    if f"Database {unicodedata.unidata_version};" not in written:
        return f"this Python knows Unicode {unicodedata.unidata_version}, the tables another one"
    subprocess.run([sys.executable, TOP / "tools/guard-tables", folder], check=True)
    for name in "guard_tables.c", "guard_char_tables.c":
        assert (pathlib.Path(folder) / name).read_text() == (TOP / "cache" / name).read_text(), f"run tools/guard-tables: {name} is old"
    return ""


def main():
    with tempfile.TemporaryDirectory() as folder:
        try:
            skipped = the_tables_are_generated(folder)
        except AssertionError as e:
            print(f"not ok 1 - the_tables_are_generated\n# {e}\n1..1")
            return 1
    print(f"ok 1 - the_tables_are_generated{' # SKIP ' + skipped if skipped else ''}\n1..1")
    return 0


if __name__ == "__main__":
    sys.exit(main())
