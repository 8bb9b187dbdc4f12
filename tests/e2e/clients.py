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


def need(path, what):
    if not os.path.exists(path):
        raise Skip("%s is missing: %s" % (os.path.relpath(path, ROOT), what))
    return path


def start_node(program, env):
    folder = os.path.join(ROOT, "build", "node")
    need(os.path.join(folder, "node_modules"), "run tests/e2e/run.sh")
    shutil.copy(os.path.join(HERE, "clients", program), folder)
    return Worker(program, [os.environ.get("NODE", "node"), program], folder, env)


def start_python(name, folder, program, env):
    python = need(os.path.join(ROOT, "build", folder, "bin", "python"), "run tests/e2e/run.sh")
    return Worker(name, [python, "-B", program], os.path.join(HERE, "clients"), env)


def start(kind, env):
    if kind in ("node", "node-ai"):
        return start_node("worker.mjs" if kind == "node" else "more.mjs", env)
    if kind == "go":
        return Worker(kind, [need(os.path.join(ROOT, "build", "go", "worker"), "run tests/e2e/run.sh")], HERE, env)
    folder, program = {"python": ("venv", "worker.py"), "python-old": ("venv-old", "worker.py"),
                       "python-more": ("venv-more", "more.py")}[kind]
    quiet = {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}        # LiteLLM would fetch prices from the internet
    return start_python(kind, folder, program, dict(quiet, **(env or {})))


def worker(kind, env=None):
    """kind: python, python-old, python-more, node, node-ai, go. One with an environment of its own is not shared."""
    if kind in _workers and not env:
        return _workers[kind]
    made = start(kind, env)
    if env:
        atexit.register(made.close)
        return made
    _workers[kind] = made
    return made


def close_all():
    for made in _workers.values():
        made.close()


atexit.register(close_all)
