# SPDX-License-Identifier: Apache-2.0
"""Runs the real binary against our own upstream, and asks it things.

    with Box(up) as box:
        first = box.chat("hello")           # → http_wire.Reply
        box.kill9(); box.start()

At the end of each test the box must still live, end with 0 on SIGTERM, and its log must hold no crash and no heap trap.
"""

import ctypes
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
ROOT = os.path.dirname(os.path.dirname(HERE))

import tap  # noqa: E402
import wire  # noqa: E402,F401
from certs import Certs  # noqa: E402
from http_wire import Cut, Peer, Reply  # noqa: E402,F401
from tap import Skip, check, equal, test  # noqa: E402,F401
from upstream import Dns, Proxy, Upstream  # noqa: E402,F401

LARDER = os.path.abspath(os.environ.get("LARDER", os.path.join(ROOT, "build", "x86_64", "larder")))
KEEP = bool(os.environ.get("LARDER_E2E_KEEP"))
BAD_LINES = re.compile(r"heap trap|check failed|CHECK|==ERROR: |ThreadSanitizer|runtime error:|fatal SIG|stack smashing",
                       re.I)
KEY = "sk-client-0123456789abcdef"
PR_SET_PDEATHSIG = 1

_certs = None
_folder = None


def run_folder():
    """A folder for this run, removed at its end."""
    global _folder
    if not _folder:
        _folder = tempfile.mkdtemp(prefix="larder-e2e-")
    return _folder


def certs():
    global _certs
    if not _certs:
        _certs = Certs(run_folder())
    return _certs


def upstream(name="up", **options):
    """An upstream over TLS that ends with the test."""
    up = Upstream(options.pop("certs", certs()), name=name, **options).start()
    tap.CLEANERS.append(up.close)
    return up


def plain_upstream(name="lan", **options):
    return upstream(name, certs=None, **options)


def free_port():
    """A port below the range that outgoing connections take theirs from."""
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


def die_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def to_yaml(value, indent=0):
    """Block YAML of dicts, lists and scalars; strings are quoted."""
    pad = " " * indent
    if isinstance(value, dict):
        if not value:
            return " {}\n"
        text = "\n" if indent else ""
        for key, inner in value.items():
            text += "%s%s:%s" % (pad, key, to_yaml(inner, indent + 2))
        return text
    if isinstance(value, list):
        if not value:
            return " []\n"
        return "\n" + "".join("%s-%s" % (pad, "\n" + to_yaml(v, indent + 2).lstrip("\n") if isinstance(v, dict)
                                         else to_yaml(v, indent + 2)) for v in value)
    if value is None:
        return " null\n"
    if isinstance(value, bool):
        return " true\n" if value else " false\n"
    if isinstance(value, str) and not re.fullmatch(r"[A-Za-z0-9_./:*-]*[A-Za-z0-9_/]", value):
        return " %s\n" % json.dumps(value, ensure_ascii=False)
    return " %s\n" % value


def merged(base, over):
    """`over` laid on `base`; dicts merge, None removes, all else replaces."""
    out = dict(base)
    for key, value in over.items():
        if value is None and key in out:
            del out[key]
        elif isinstance(value, dict) and isinstance(out.get(key), dict):
            out[key] = merged(out[key], value)
        else:
            out[key] = value
    return out


class Box:
    """The program under test with a folder, a configuration and a log of its own."""

    def __init__(self, up=None, config=None, cache=None, provider=None, autostart=True, data=None, env=None,
                 prefix=(), expect_exit=0):
        """`config` is merged over the default; `cache` goes to every route, `provider` to every provider."""
        self.folder = tempfile.mkdtemp(prefix="box-", dir=run_folder())
        self.config_path = os.path.join(self.folder, "larder.yaml")
        self.log_path = os.path.join(self.folder, "log")
        self.data = data or os.path.join(self.folder, "data")
        self.api = ("127.0.0.1", free_port())
        self.admin = ("127.0.0.1", free_port())
        self.env = dict({"PATH": os.environ["PATH"], "HOME": self.folder, "LARDER_HEAP_TRAP_ABORT": "1"},
                        **(env or {}))
        self.env.update({name: value for name, value in os.environ.items() if name.endswith("SAN_OPTIONS")})
        self.prefix = list(prefix)          # words before the binary, e.g. unshare
        self.process = None
        self.expect_exit = expect_exit
        self.tolerated = None               # pattern of alarming log lines that this test provokes
        self.config = merged(self.default_config(up, cache or {}, provider or {}), config or {})
        self.write_config()
        tap.NOTES.append(self.note)
        tap.CLEANERS.append(self.close)
        if autostart:
            self.start()

    def default_config(self, up, cache, provider):
        config = {
            "listen": {"api": "%s:%d" % self.api, "admin": "%s:%d" % self.admin,
                       "control": os.path.join(self.folder, "control.sock")},
            "data": self.data,
            "storage": {"sync_every": "200ms"},
            "semantic": {"embedder": "none"},
        }
        if up:
            common = {"passthrough": True}
            if up.certs:
                common["ca"] = "file:" + up.certs.ca_path
            config["providers"] = [
                merged(dict({"name": "openai", "dialect": "openai", "base_url": up.url("/v1")}, **common), provider),
                merged(dict({"name": "anthropic", "dialect": "anthropic", "base_url": up.url()}, **common), provider)]
            config["routes"] = [
                {"match": {"dialect": name, "model": "*"}, "providers": [name], "packs": ["starter"],
                 "cache": dict({"ttl": "7d"}, **cache)} for name in ("openai", "anthropic")]
        return config

    def write_config(self, change=None):
        if change:
            self.config = merged(self.config, change)
        with open(self.config_path, "w", encoding="utf-8") as out:
            out.write(to_yaml(self.config))

    # -- life ------------------------------------------------------------------------------------------------------

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return False

    def command(self, *words):
        return self.prefix + [LARDER] + list(words)

    def launch(self, *options):
        if not os.access(LARDER, os.X_OK):
            raise AssertionError("no binary at %s (set LARDER)" % LARDER)
        self.log_start = len(self.log())
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self.command("serve", "-c", self.config_path, *options), cwd=self.folder,
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.env,
                                            preexec_fn=die_with_parent)
        return self

    def start(self, *options, timeout=15.0):
        self.launch(*options)
        end = time.monotonic() + timeout
        while True:
            if self.process.poll() is not None and self.move_away():
                return self.start(*options, timeout=timeout)
            if self.process.poll() is not None:
                raise AssertionError("the box ended with %d at start" % self.process.returncode)
            try:
                if self.admin_get("/readyz").status == 200:
                    return self
            except (OSError, Cut):
                pass
            if time.monotonic() > end:
                raise AssertionError("the box was not ready after %.0f s" % timeout)
            time.sleep(0.02)

    def move_away(self):
        """Takes other ports when somebody else got ours first; False when that is not what happened."""
        said = self.log()[self.log_start:]
        if "another program has this port" not in said:
            return False
        text = json.dumps(self.config["listen"])
        for old in (self.api, self.admin):
            text = text.replace(":%d" % old[1], ":%d" % free_port())
        self.config["listen"] = json.loads(text)
        api = self.config["listen"]["api"]
        self.api = (self.api[0], int((api if isinstance(api, str) else api[0]).rpartition(":")[2]))
        self.admin = ("127.0.0.1", int(self.config["listen"]["admin"].rpartition(":")[2]))
        self.write_config()
        return True

    def refuses_to_start(self, timeout=10.0):
        """Starts a box that must end by itself; returns (exit code, what it said)."""
        self.launch()
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError("the box runs, it should have refused") from None
        self.process = None
        return code, self.log()

    def terminate(self, timeout=15.0):
        """SIGTERM; returns the exit code."""
        process, self.process = self.process, None
        process.send_signal(signal.SIGTERM)
        try:
            return process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError("the box still ran %.0f s after SIGTERM" % timeout) from None

    def kill9(self):
        process, self.process = self.process, None
        process.kill()
        process.wait()

    def restart(self):
        equal(self.terminate(), 0, "exit code on SIGTERM")
        return self.start()

    def hangup(self):
        self.process.send_signal(signal.SIGHUP)

    def reload(self, change):
        """Writes the changed configuration, sends SIGHUP and waits until the box says that it read it."""
        before = len(self.log())
        self.write_config(change)
        self.hangup()
        self.wait_log(r"reloaded", after=before)
        check("not reloaded" not in self.log()[before:], "the box refused the configuration")

    def close(self):
        try:
            if self.process:
                if self.process.poll() is not None:
                    raise AssertionError("the box died with %d" % self.process.returncode)
                traps = [name for name, value in self.metrics().items() if "heap_trap" in name and value]
                check(not traps, "heap trap metric", traps)
                equal(self.terminate(), self.expect_exit, "exit code on SIGTERM")
            bad = [line for line in self.log().split("\n") if BAD_LINES.search(line)
                   and not (self.tolerated and re.search(self.tolerated, line, re.I))]
            check(not bad, "the box's log says:", "\n".join(bad[:5]))
            if not KEEP:                    # after a fault the log is still to be shown; all goes at the run's end
                shutil.rmtree(self.folder, ignore_errors=True)
        finally:
            if self.process and self.process.poll() is None:
                self.process.kill()
                self.process.wait()

    def alive(self):
        return self.process is not None and self.process.poll() is None

    # -- what it says ------------------------------------------------------------------------------------------------

    def log(self):
        try:
            with open(self.log_path, encoding="utf-8", errors="replace") as log:
                return log.read()
        except OSError:
            return ""

    def note(self):
        text = re.sub(r"(?m)^larder \d[^\n]*\n(?:\n(?:(?!larder:)[^\d\n=][^\n]*\n)+)*", "(said where it serves)\n", self.log())
        lines = text.rstrip().split("\n")
        report = [at for at, line in enumerate(lines) if re.search(r"==ERROR: |WARNING: Thread|runtime error: ", line)]
        lines = lines[report[0]:][:40] if report else lines[-40:]
        return ["log of the box:"] + ["  | " + line[:300] for line in lines]

    def wait_log(self, pattern, timeout=5.0, after=0):
        end = time.monotonic() + timeout
        while not re.search(pattern, self.log()[after:], re.I):
            if time.monotonic() > end:
                raise AssertionError("the log never said %r" % pattern)
            time.sleep(0.02)

    def ctl(self, *words, code=0):
        """Runs `larder ctl`; returns what it printed."""
        done = subprocess.run(self.command("ctl", "-c", self.config_path, *words), cwd=self.folder, env=self.env,
                              capture_output=True, text=True, timeout=15, check=False)
        if code is not None:
            equal(done.returncode, code, "exit code of ctl %s (%s%s)" % (" ".join(words), done.stdout, done.stderr))
        return done.stdout + (done.stderr if code else "")

    def add_tenant(self, name):
        """Makes a virtual key."""
        return self.key_in(self.ctl("tenant", "add", name))

    @staticmethod
    def key_in(text):
        found = re.search(r"\blk-[A-Za-z0-9_.-]+", text)
        check(found, "no virtual key in", text)
        return found.group(0)

    def admin_get(self, path):
        with Peer(self.admin, 5) as peer:
            peer.send("GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: close\r\n\r\n" % (path, self.admin[1]))
            reply = peer.reply("GET")
            reply.body
            return reply

    def metrics(self):
        """{'name{labels}': value} of /metrics."""
        reply = self.admin_get("/metrics")
        equal(reply.status, 200, "status of /metrics")
        values = {}
        for line in reply.body.decode().split("\n"):
            if line and not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                values[name] = float(value)
        return values

    def wait_committed(self, seconds=0.7):
        """Longer than sync_every of the test configuration, so that what was stored is on disk."""
        time.sleep(seconds)

    # -- asking --------------------------------------------------------------------------------------------------------

    def peer(self, timeout=10.0, source=None):
        return Peer(self.api, timeout, source)

    def url(self, path=""):
        return "http://127.0.0.1:%d%s" % (self.api[1], path)

    def request_bytes(self, path, body=b"", headers=(), method="POST", key=KEY, style="bearer", close=False):
        """A plain, correct request; a header of the same name in `headers` replaces ours, None removes it."""
        if not isinstance(body, bytes):
            body = (body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)).encode()
        head = {"host": "127.0.0.1:%d" % self.api[1], "content-type": "application/json"}
        if key and style == "bearer":
            head["authorization"] = "Bearer " + key
        elif key:
            head["x-api-key"] = key
        if method not in ("GET", "HEAD", "OPTIONS", "DELETE") or body:
            head["content-length"] = str(len(body))
        if close:
            head["connection"] = "close"
        for name, value in dict(headers).items():
            if value is None:
                head.pop(name.lower(), None)
            else:
                head[name.lower()] = value
        text = "%s %s HTTP/1.1\r\n" % (method, path) + "".join("%s: %s\r\n" % pair for pair in head.items()) + "\r\n"
        return text.encode() + body

    def ask(self, path, body=b"", wait=True, timeout=15.0, source=None, **options):
        """One request on a connection of its own. `wait` False: the reply's head only, read on yourself."""
        peer = self.peer(timeout, source)
        peer.send(self.request_bytes(path, body, **options))
        reply = peer.reply(options.get("method", "POST"))
        if wait:
            reply.body
            peer.close()
        return reply

    def get(self, path, **options):
        return self.ask(path, method="GET", **options)

    def chat(self, text, stream=False, wait=True, headers=(), key=KEY, source=None, timeout=15.0, path=None, **body):
        """An OpenAI chat request."""
        return self.ask(path or "/v1/chat/completions", chat_body(text, stream, **body), wait, timeout=timeout,
                        headers=headers, key=key, source=source)

    def message(self, text, stream=False, wait=True, headers=(), key=KEY, timeout=15.0, path=None, **body):
        """An Anthropic messages request."""
        headers = dict({"anthropic-version": "2023-06-01"}, **dict(headers))
        return self.ask(path or "/v1/messages", message_body(text, stream, **body), wait, timeout=timeout,
                        headers=headers, key=key, style="x-api-key")


def chat_body(text, stream=False, system=None, **more):
    messages = [{"role": "system", "content": system}] if system else []
    body = {"model": "gpt-test", "messages": messages + [{"role": "user", "content": text}]}
    if stream:
        body["stream"] = True
    return dict(body, **more)


def message_body(text, stream=False, **more):
    body = {"model": "claude-test-1", "max_tokens": 1000, "messages": [{"role": "user", "content": text}]}
    if stream:
        body["stream"] = True
    return dict(body, **more)


def hit_kind(reply):
    return reply.header("x-larder-hit")


def is_hit(reply, kind="exact"):
    equal(reply.status, 200, "status (%s)" % reply.all()[:300])
    equal(reply.header("x-larder-hit"), kind, "x-larder-hit (miss: %s)" % reply.header("x-larder-miss"))


def is_miss(reply, reason=None):
    equal(reply.status, 200, "status (%s)" % reply.all()[:300])
    equal(reply.header("x-larder-hit"), "none", "x-larder-hit")
    if reason:
        equal(reply.header("x-larder-miss"), reason, "x-larder-miss")


def same_said(got, want, *skip):
    """Two replies say the same, whatever their form."""
    a, b = got.said, want.said
    for name in set(a) & set(b) - set(skip):
        if name == "output_tokens" and None in (a[name], b[name]):
            continue
        equal(a[name], b[name], name)


def forget_folder():
    if _folder and not KEEP:
        shutil.rmtree(_folder, ignore_errors=True)


def main():
    try:
        code = tap.main()
    finally:
        forget_folder()
    sys.exit(code)


