# SPDX-License-Identifier: Apache-2.0
"""Processes that hold the real client libraries: one for each environment, started when first used."""

import atexit
import json
import os
import select
import shutil
import subprocess
import time

from harness import HERE, ROOT, die_with_parent
from tap import Skip

_workers = {}


class Worker:
    def __init__(self, name, command, folder, env=None):
        self.name = name
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=folder,
                                        env=dict(os.environ, **(env or {})), preexec_fn=die_with_parent)
        self.buffer = b""
        self.versions = self._line(60)

    def _line(self, timeout):
        end = time.monotonic() + timeout
        while b"\n" not in self.buffer:
            if not select.select([self.process.stdout], [], [], max(0, end - time.monotonic()))[0]:
                raise AssertionError("%s gave no answer in %d s" % (self.name, timeout))
            data = os.read(self.process.stdout.fileno(), 1 << 20)
            if not data:
                raise AssertionError("%s ended" % self.name)
            self.buffer += data
        line, _, self.buffer = self.buffer.partition(b"\n")
        return json.loads(line)

    def begin(self, **job):
        self.process.stdin.write(json.dumps(job).encode() + b"\n")
        self.process.stdin.flush()

    def end(self, timeout=25):
        return self._line(timeout)

    def run(self, timeout=25, **job):
        self.begin(**job)
        return self.end(timeout)

    def close(self):
        self.process.kill()
        self.process.wait()


def worker(kind, env=None):
    """kind: python, python-old, node. A worker with an environment of its own is not shared."""
    if kind in _workers and not env:
        return _workers[kind]
    build = os.path.join(ROOT, "build")
    if kind == "node":
        folder = os.path.join(build, "node")
        if not os.path.isdir(os.path.join(folder, "node_modules")):
            raise Skip("build/node is missing: run tests/e2e/run.sh")
        shutil.copy(os.path.join(HERE, "clients", "worker.mjs"), folder)
        made = Worker(kind, [os.environ.get("NODE", "node"), "worker.mjs"], folder, env)
    else:
        python = os.path.join(build, "venv" if kind == "python" else "venv-old", "bin", "python")
        if not os.access(python, os.X_OK):
            raise Skip("%s is missing: run tests/e2e/run.sh" % python)
        made = Worker(kind, [python, "-B", "worker.py"], os.path.join(HERE, "clients"), env)
    if env:
        atexit.register(made.close)
        return made
    _workers[kind] = made
    return made


def close_all():
    for made in _workers.values():
        made.close()


atexit.register(close_all)
