# SPDX-License-Identifier: Apache-2.0
"""What survives: kill -9, damage, full and read-only disks, reloads; and how the operator steers the box."""

import glob
import os
import re
import signal
import stat
import struct
import subprocess
import time

import harness
from harness import Box, Skip, check, equal, is_hit, is_miss, same_said, test, upstream

NAMESPACE = ["unshare", "-rm", "sh", "-c"]


def box_and_up(**options):
    up = upstream()
    return Box(up, **options), up


def in_namespace(script):
    """Words that run the binary after `script` in a mount namespace of its own; skips where that is not permitted."""
    tried = subprocess.run(NAMESPACE + ["mount -t tmpfs none /mnt"], capture_output=True, text=True, check=False)
    if tried.returncode:
        raise Skip("mounting in a namespace of our own is not permitted: " + tried.stderr.strip()[:120])
    return NAMESPACE + [script + ' && exec "$0" "$@"']


def entries_file(box):
    found = glob.glob(os.path.join(box.data, "entries", "*.mdb"))
    found = [f for f in found if "lock" not in os.path.basename(f)]
    check(found, "no store file under", os.listdir(box.data))
    return found[0]


def overwrite(path, offset, data):
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(data)


# ---- surviving -----------------------------------------------------------------------------------------------------

@test("store: entries stored before a kill -9 survive it, ten times over", limit=60)
def kill_loop():
    box, up = box_and_up()
    firsts = []
    for round_number in range(10):
        for n in range(5):
            firsts.append(("k%d-%d" % (round_number, n), box.chat("k%d-%d" % (round_number, n), stream=n % 2 == 0)))
        box.wait_committed(0.5)
        peers = [box.peer() for _ in range(4)]           # the kill falls into work under way
        for n, peer in enumerate(peers):
            peer.send(box.request_bytes("/v1/chat/completions", harness.chat_body("w%d-%d" % (round_number, n))))
        box.kill9()
        box.start()
        for text, first in firsts:
            reply = box.chat(text)
            is_hit(reply)
            same_said(reply, first)
    for text, _ in firsts:
        equal(up.count(text), 1, "calls of " + text)


@test("store: SIGTERM commits what waits")
def commit_at_end():
    box, up = box_and_up(config={"storage": {"sync_every": "1h"}})
    box.chat("not yet committed")
    equal(box.terminate(), 0)
    box.start()
    is_hit(box.chat("not yet committed"))
    equal(up.count(), 1, "calls")


@test("store: large answers survive whole", limit=40)
def large():
    box, up = box_and_up()
    live = {size: box.chat("large [[size=%d]]" % size) for size in (3000, 5000, 17000, 200000, 900000)}
    box.wait_committed()
    box.kill9()
    box.start()
    for size, first in live.items():
        reply = box.chat("large [[size=%d]]" % size)
        is_hit(reply)
        equal(reply.body, first.body, "body of %d" % size)
        same_said(box.chat("large [[size=%d]]" % size, stream=True), first)
    equal(up.count(), 5, "calls")


@test("store: a hit that is not in Hot is the same")
def cold_hits():
    box, up = box_and_up(config={"storage": {"hot": "64KiB"}})
    live = [box.chat("cold %d [[size=9000]]" % n) for n in range(30)]
    for n, first in enumerate(live):
        reply = box.chat("cold %d [[size=9000]]" % n)
        is_hit(reply)
        equal(reply.body, first.body, "body")
    equal(up.count(), 30, "calls")


@test("damage: a broken store is moved aside, one copy kept, and the box starts cold and says so", limit=40)
def damaged():
    box, up = box_and_up()
    for round_number in (1, 2):
        box.chat("before %d" % round_number)
        box.wait_committed()
        equal(box.terminate(), 0)
        size = os.path.getsize(entries_file(box))
        overwrite(entries_file(box), 0, os.urandom(min(size, 1 << 20)))
        before = len(box.log())
        box.start()
        box.wait_log("damaged|moved aside", after=before)
        aside = [n for n in os.listdir(box.data) if "damaged" in n]
        equal(len(aside), 1, "copies kept")
        is_miss(box.chat("before %d" % round_number))
        is_hit(box.chat("before %d" % round_number))
    equal(up.count(), 4, "calls")


@test("damage: a store cut short is handled, the box serves", limit=40)
def torn():
    for keep in (0, 1, 5000, 12000):
        box, _ = box_and_up()
        box.chat("torn [[size=50000]]")
        box.wait_committed()
        equal(box.terminate(), 0)
        with open(entries_file(box), "r+b") as file:
            file.truncate(keep)
        box.start()
        equal(box.chat("torn [[size=50000]]").status, 200)
        is_hit(box.chat("torn [[size=50000]]"))
        box.close()


@test("damage: a foreign file in the store's place is moved aside, never overwritten")
def foreign():
    box, _ = box_and_up(autostart=False)
    os.makedirs(os.path.join(box.data, "entries"), mode=0o700)
    precious = b"These are my holiday pictures.\n" * 2000
    with open(os.path.join(box.data, "entries", "data.mdb"), "wb") as out:
        out.write(precious)
    box.start()
    is_miss(box.chat("x"))
    is_hit(box.chat("x"))
    kept = [p for p in glob.glob(os.path.join(box.data, "**", "*"), recursive=True)
            if os.path.isfile(p) and os.path.getsize(p) == len(precious)]
    check(kept and open(kept[0], "rb").read() == precious, "the foreign file is gone", os.listdir(box.data))


@test("damage: a body with a flipped byte is dropped and asked anew, never served")
def flipped():
    box, up = box_and_up()
    live = box.chat("will rot")
    box.wait_committed()
    equal(box.terminate(), 0)
    with open(entries_file(box), "rb") as file:
        data = file.read()
    mark = b"Answer #1 of up"
    places = [i for i in range(len(data)) if data.startswith(mark, i)]
    check(places, "the body is not stored in the clear")
    for place in places:
        overwrite(entries_file(box), place, b"Forged")
    box.start()
    reply = box.chat("will rot")
    is_miss(reply)
    check("Forged" not in reply.said["text"] and reply.said["text"] != live.said["text"], reply)
    is_hit(box.chat("will rot"))
    equal(up.count(), 2, "calls")
    corrupt = {k: v for k, v in box.metrics().items() if "corrupt" in k or "damaged" in k}
    check(any(v >= 1 for v in corrupt.values()), "it is counted", corrupt)


@test("damage: a fault in a map is recorded, a second one moves the store aside", limit=40)
def map_faults():
    box, _ = box_and_up()
    box.tolerated = "SIGBUS|fault|signal|BUS on unknown"
    live = [box.chat("mapped %d [[size=20000]]" % n) for n in range(20)]
    box.wait_committed()
    box.restart()                           # nothing is in RAM now
    path = entries_file(box)
    with open(path, "rb") as file:
        whole = file.read()
    for fault in (1, 2):
        os.truncate(path, 8192)             # every page beyond is a bus error
        try:
            box.chat("mapped %d [[size=20000]]" % fault, timeout=5)
        except (harness.Cut, OSError):
            pass
        code = box.process.wait(5)
        check(code != 0, "it went on with a map that faults")
        box.process = None
        overwrite(path, 0, whole)
        box.start()
        reply = box.chat("mapped 5 [[size=20000]]")
        if fault == 1:
            is_hit(reply)
            same_said(reply, live[5])
            box.restart()
        else:
            is_miss(reply)
            box.wait_log("killed the process twice")


@test("damage: a newer store is refused with a clear line and left as it is")
def newer():
    box, _ = box_and_up()
    box.chat("of the future")
    box.wait_committed()
    equal(box.terminate(), 0)
    with open(entries_file(box), "rb") as file:
        data = file.read()
    name = b"larder entries\0\0"            # the format row: this name, then the version
    check(name in data, "the format row was not found")
    at = data.find(name)
    while at >= 0:
        overwrite(entries_file(box), at + len(name), struct.pack("<I", 999))
        at = data.find(name, at + 1)
    before = open(entries_file(box), "rb").read()
    box.launch()
    code = box.process.wait(10)
    box.process = None
    check(code != 0, "it started on a newer store")
    check("newer" in box.log().lower(), box.log()[-600:])
    equal(open(entries_file(box), "rb").read() == before, True, "the store's bytes unchanged")


@test("disk: read-only: serves what is there, stores nothing, says so")
def read_only():
    first, up = box_and_up()
    live = first.chat("written before")
    first.wait_committed()
    equal(first.terminate(), 0)
    prefix = in_namespace('mount --bind "%s" "%s" && mount -o remount,bind,ro "%s"' % ((first.data,) * 3))
    box = Box(up, data=first.data, prefix=prefix)
    reply = box.chat("written before")
    is_hit(reply)
    same_said(reply, live)
    is_miss(box.chat("cannot be kept"))
    equal(box.chat("cannot be kept").status, 200)
    box.wait_log("cannot be written|read-only")


@test("disk: a full disk drops stores, never answers, and heals", limit=90)
def disk_full():
    up = upstream()
    box = Box(up, autostart=False)
    os.makedirs(box.data, mode=0o700)
    box.prefix = in_namespace('mount -t tmpfs -o size=6m,mode=700 none "%s"' % box.data)
    box.start()
    for number in range(40):
        reply = box.chat("fills %d [[size=600000]]" % number)
        equal(reply.status, 200, "status with a full disk")
        check(len(reply.said["text"]) > 590_000 and reply.clean, "a short answer")
    box.wait_committed(1)
    check(box.alive(), "the box died")
    equal(box.chat("small").status, 200)
    box.wait_log("full|space")


@test("disk: full from the start on, then room again", limit=60)
def filled_then_freed():
    up = upstream()
    box = Box(up, autostart=False)
    os.makedirs(box.data, mode=0o700)
    box.prefix = in_namespace('mount -t tmpfs -o size=8m,mode=700 none "%s"' % box.data)
    box.start()
    inside = "/proc/%d/root%s/filler" % (box.process.pid, box.data)
    try:
        with open(inside, "wb") as filler:
            while True:
                filler.write(bytes(4096))
                filler.flush()
    except OSError:
        pass
    check(os.path.exists(inside), "the filler was not written")
    for number in range(10):
        equal(box.chat("no room %d [[size=30000]]" % number).status, 200)
    box.wait_committed(1)
    os.unlink(inside)
    time.sleep(0.5)
    for number in range(5):
        is_miss(box.chat("room again %d [[size=30000]]" % number))
    box.wait_committed(1)
    for number in range(5):
        is_hit(box.chat("room again %d [[size=30000]]" % number))


@test("disk: a full map evicts and goes on", limit=90)
def map_full():
    box, up = box_and_up(config={"storage": {"bytes_max": "4MiB", "entries_max": 1000}})
    for number in range(60):
        is_miss(box.chat("map %d [[size=250000]]" % number))
        if number % 10 == 9:
            box.wait_committed(0.3)
    box.wait_committed()
    is_hit(box.chat("map 59 [[size=250000]]"))
    is_miss(box.chat("map 0 [[size=250000]]"))
    check(os.path.getsize(entries_file(box)) < 64 << 20, "size of the store", os.path.getsize(entries_file(box)))
    box.restart()
    is_hit(box.chat("map 59 [[size=250000]]"))
    equal(up.count(), 61, "calls")


@test("store: two boxes never share a folder")
def locked():
    box, up = box_and_up()
    other = Box(up, data=box.data, autostart=False)
    code, said = other.refuses_to_start()
    equal(code, 1, "exit code")
    check(box.data in said, "the folder is named", said)
    is_miss(box.chat("still mine"))


@test("store: the folder is private, no file in it readable by others")
def private():
    box, _ = box_and_up(provider={"key": "sk-box-key-000000"})
    box.add_tenant("one")
    box.chat("x")
    box.wait_committed()
    equal(stat.S_IMODE(os.stat(box.data).st_mode), 0o700, "mode of the folder")
    for folder, _, files in os.walk(os.path.join(box.data, "keys")):
        for name in files:
            equal(stat.S_IMODE(os.stat(os.path.join(folder, name)).st_mode) & 0o077, 0, "others' rights on " + name)
    equal(stat.S_IMODE(os.stat(box.config["listen"]["control"]).st_mode), 0o600, "mode of the control socket")


# ---- signals and reloads -------------------------------------------------------------------------------------------

@test("signals: SIGTERM lets requests end, takes no new ones, exits 0")
def drain():
    box, up = box_and_up()
    stream = box.chat("draining [[gate=5:go]]", stream=True, wait=False)
    stream.until(b"Answer")
    kept = box.peer()
    kept.send(box.request_bytes("/v1/chat/completions", harness.chat_body("done before"), close=False))
    kept.reply().body
    process, box.process = box.process, None
    process.send_signal(signal.SIGTERM)
    equal(kept.rest(), b"", "an idle connection at SIGTERM")
    end = time.monotonic() + 5
    while True:
        try:
            box.peer(1).close()
            check(time.monotonic() < end, "it still listens")
            time.sleep(0.05)
        except OSError:
            break
    equal(process.poll(), None, "it left before the stream ended")
    up.release("go")
    check(stream.all().endswith(b"data: [DONE]\n\n") and stream.clean, stream)
    equal(process.wait(10), 0, "exit code")
    box.start()
    is_hit(box.chat("draining [[gate=5:go]]"))


@test("signals: SIGTERM does not wait for a fetch that only the store still wants")
def drain_orphan():
    box, up = box_and_up(config={"budgets": {"finish_for_store": "60s"}})
    stream = box.chat("nobody waits [[gate=5:never]]", stream=True, wait=False)
    stream.until(b"Answer")
    stream.peer.close()
    time.sleep(0.2)
    equal(box.terminate(5), 0, "exit code")
    equal(up.wait_outcome(up.calls[0]), "gone", "outcome of the call")


@test("signals: SIGINT ends it too")
def interrupt():
    box, _ = box_and_up()
    process, box.process = box.process, None
    process.send_signal(signal.SIGINT)
    equal(process.wait(10), 0, "exit code")


@test("signals: SIGHUP takes the new configuration without dropping a request")
def reload():
    box, up = box_and_up()
    other = upstream("second")
    stream = box.chat("over the reload [[gate=5:go]]", stream=True, wait=False)
    stream.until(b"Answer")
    kept = box.peer()
    kept.send(box.request_bytes("/v1/chat/completions", harness.chat_body("one"), close=False))
    kept.reply().body
    box.reload({"providers": [dict(p, base_url=p["base_url"].replace(str(up.port), str(other.port)))
                              for p in box.config["providers"]]})
    kept.send(box.request_bytes("/v1/chat/completions", harness.chat_body("two"), close=False))
    check("of second" in kept.reply().said["text"], "the new provider answers on the kept connection")
    up.release("go")
    check(stream.all().endswith(b"data: [DONE]\n\n") and stream.clean, stream)
    is_hit(box.chat("one"))
    equal((up.count(), other.count()), (2, 1), "calls")


@test("signals: SIGHUP with a wrong configuration keeps the old one and says what is wrong")
def wrong_reload():
    box, up = box_and_up()
    is_miss(box.chat("before"))
    for wrong, word in (("routes: [\n", "larder.yaml"), ("providerz: []\n", "providers"),
                        ("limits: {connections: many}\n", "connections"),
                        ("routes:\n  - match: {model: x}\n    providers: [nobody]\n", "nobody")):
        before = len(box.log())
        with open(box.config_path, "w", encoding="utf-8") as out:
            out.write(wrong)
        box.hangup()
        box.wait_log(word, after=before)
        is_hit(box.chat("before"))
        is_miss(box.chat("after " + word))
        check(box.alive(), "the box died")
    os.unlink(box.config_path)
    box.hangup()
    time.sleep(0.3)
    is_hit(box.chat("before"))
    equal(up.count("before"), 1, "calls")


@test("signals: twenty reloads under load drop nothing", limit=60)
def reload_storm():
    box, _ = box_and_up()
    for number in range(20):
        peers = [box.peer() for _ in range(5)]
        for n, peer in enumerate(peers):
            peer.send(box.request_bytes("/v1/chat/completions",
                                        harness.chat_body("storm %d [[slow=0.05]]" % (number * 3 + n), n % 2 == 0)))
        box.hangup()
        for peer in peers:
            reply = peer.reply()
            check(reply.status == 200 and "storm" in reply.said["text"] and reply.clean, reply)


# ---- the operator's commands ---------------------------------------------------------------------------------------

def larder(*words, code=0, folder=None):
    done = subprocess.run([harness.LARDER, *words], capture_output=True, text=True, timeout=20, check=False, cwd=folder,
                          env={"PATH": os.environ["PATH"], "HOME": folder or "/"})
    if code is not None:
        equal(done.returncode, code, "exit code of larder %s\n%s%s" % (" ".join(words), done.stdout, done.stderr))
    return done


@test("commands: exit codes: 0 done, 1 failed, 2 usage or configuration")
def command_codes():
    check(larder("version").stdout.strip(), "version printed nothing")
    check("nonsense" in larder("nonsense", code=2).stderr)
    larder("serve", "--nonsense", code=2)
    done = larder("serve", "-c", "/nonexistent/larder.yaml", code=None)
    check(done.returncode in (1, 2) and "/nonexistent/larder.yaml" in done.stderr, done)


@test("commands: check says line, column and the nearest name, and masks secrets")
def check_command():
    folder = os.path.join(harness.run_folder(), "check")
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, "larder.yaml")

    def run(text, code):
        with open(path, "w", encoding="utf-8") as out:
            out.write(text)
        done = larder("check", "-c", path, code=code, folder=folder)
        return done.stdout + done.stderr

    good = "providers:\n  - name: p\n    dialect: openai\n    base_url: https://localhost:1/v1\n    key: sk-secret-77\n"
    said = run(good, 0)
    check("sk-secret-77" not in said and "localhost:1" in said, said)
    said = run("listen:\n  appi: 127.0.0.1:1\n", 2)
    check("larder.yaml:2:3" in said and "api" in said, said)
    said = run("data: ${LARDER_NO_SUCH_NAME}\n", 2)
    check("LARDER_NO_SUCH_NAME" in said, said)
    said = run("storage: {sync_every: fast}\n", 2)
    check("fast" in said and "sync_every" in said, said)
    said = run("providers:\n  - name: p\n", 2)
    check("dialect" in said and "base_url" in said, said)
    said = run("storage: {seal: true}\n", 2)
    check("seal" in said, said)
    said = larder("check", "-c", path, "--override", "nothing.like.this=1", code=2).stderr
    check("nothing" in said, said)


@test("commands: --override changes one value")
def override():
    box, up = box_and_up(autostart=False)
    box.start("--override", "routes.0.cache.ttl=1s")
    box.chat("short")
    time.sleep(2.1)
    is_miss(box.chat("short"), "expired")


@test("commands: ctl status, cache stats, show, purge")
def ctl_cache():
    box, up = box_and_up()
    entry = None
    for number in range(3):
        box.chat("ctl %d" % number)
        reply = box.chat("ctl %d" % number)
        is_hit(reply)
        entry = reply.header("x-larder-entry")
    check(box.ctl("status").strip(), "status is empty")
    stats = box.ctl("cache", "stats")
    check("3" in stats, stats)
    box.wait_committed()
    shown = box.ctl("cache", "show", entry)
    check("gpt-test" in shown, shown)
    box.ctl("cache", "purge", "all")
    for number in range(3):
        is_miss(box.chat("ctl %d" % number))
    equal(up.count(), 6, "calls")
    box.kill9()
    box.start()


@test("commands: a purge is durable at once")
def purge_durable():
    box, up = box_and_up()
    box.chat("to be purged")
    box.wait_committed()
    box.ctl("cache", "purge", "all")
    box.kill9()
    box.start()
    is_miss(box.chat("to be purged"))
    equal(up.count(), 2, "calls")


@test("commands: ctl tenant, why, plan, config reload, shutdown")
def ctl_rest():
    box, _ = box_and_up()
    box.add_tenant("kiosk")
    check("kiosk" in box.ctl("tenant", "list"), "tenants are not listed")
    reply = box.chat("why")
    check("never_seen" in box.ctl("why", reply.header("x-request-id")))
    check("connections" in box.ctl("plan"), "plan")
    box.ctl("config", "reload")
    is_hit(box.chat("why"))
    process, box.process = box.process, None
    box.ctl("shutdown")
    equal(process.wait(10), 0, "exit code after shutdown")
    said = box.ctl("status", code=1)
    check("control.sock" in said, "what to do when the box is away", said)


@test("commands: a wrong ctl word is refused with help, the box unharmed")
def ctl_wrong():
    box, _ = box_and_up()
    for words in (("nonsense",), ("cache", "nonsense"), ("cache", "show", "not-an-id"), ("tenant", "add"),
                  ("tenant", "add", "x" * 500), ("why", "nobody-asked-this")):
        said = box.ctl(*words, code=None)
        check(said or True)
        done = subprocess.run(box.command("ctl", "-c", box.config_path, *words), capture_output=True, text=True,
                              timeout=10, check=False, cwd=box.folder)
        check(done.returncode != 0, "exit code of", words, done)
        check((done.stdout + done.stderr).strip(), "nothing said for", words)
    is_miss(box.chat("fine"))


# ---- the admin port ------------------------------------------------------------------------------------------------

@test("admin: healthz, readyz and metrics; counts are right")
def admin():
    box, _ = box_and_up()
    equal(box.admin_get("/healthz").status, 200)
    equal(box.admin_get("/readyz").status, 200)
    equal(box.admin_get("/nothing").status, 404)
    for text in ("a", "a", "a", "b"):
        box.chat(text)
    reply = box.admin_get("/metrics")
    check(reply.header("content-type", "").startswith("text/plain"), reply.headers)
    values = box.metrics()

    def total(*words):
        return sum(v for k, v in values.items() if all(w in k for w in words))
    equal(total("hits", "exact"), 2, "exact hits in %s" % [k for k in values if "hit" in k])
    misses = {k: v for k, v in values.items() if "miss" in k}
    check(any("never_seen" in k and v == 1 for k, v in misses.items()), misses)
    names = " ".join(values)
    for word in ("arena", "larder_"):
        check(word in names, "no metric named", word)
    for line in reply.body.decode().split("\n"):
        check(not line or line.startswith("# ") or line.rpartition(" ")[2], line)


@test("admin: a foreign Host or Origin is refused")
def admin_host():
    box, _ = box_and_up()
    for name, value in (("Host", "evil.example"), ("Origin", "https://evil.example")):
        with harness.Peer(box.admin, 5) as peer:
            own = "" if name == "Host" else "Host: 127.0.0.1:%d\r\n" % box.admin[1]
            peer.send("GET /metrics HTTP/1.1\r\n%s%s: %s\r\nConnection: close\r\n\r\n" % (own, name, value))
            check(peer.reply("GET").status in (400, 403, 421), name)


# ---- memory --------------------------------------------------------------------------------------------------------

def memory_of(box):
    """(private now, planned at boot, ceiling) in KiB, as the box says."""
    found = re.search(r"(\d+) KiB private now, (\d+) KiB planned at boot, (\d+) KiB at most", box.ctl("status"))
    check(found, "no memory line in", box.ctl("status"))
    return tuple(int(number) for number in found.groups())


def private_kib(pid):
    with open("/proc/%d/smaps_rollup" % pid, encoding="ascii") as lines:
        rows = {line.split(":")[0]: int(line.split()[1]) for line in lines if line.startswith("Private_")}
    return rows["Private_Clean"] + rows["Private_Dirty"]


@test("memory: within 10 % of the boot figure after boot, never above the ceiling under full load", limit=180)
def memory():
    box, _ = box_and_up()
    now, planned, ceiling = memory_of(box)
    if planned == 0 or "asan" in harness.LARDER or "san" in os.path.basename(os.path.dirname(harness.LARDER)):
        raise Skip("a sanitizer build has other memory")
    check(now <= planned * 1.1, "private memory after boot: %d KiB, planned: %d KiB" % (now, planned))
    most = now
    for round_number in range(3):
        peers = [box.peer(40) for _ in range(150)]
        for n, peer in enumerate(peers):
            peer.send(box.request_bytes("/v1/chat/completions", harness.chat_body(
                "m %d [[size=%d]]" % (round_number * 100 + n, 5000 if n % 10 else 60000), n % 2 == 0)))
        for peer in peers:
            check(peer.reply().status in (200, 503), "status under load")
            peer.close()
        most = max(most, memory_of(box)[0])
    check(most <= ceiling, "private memory under load: %d KiB, ceiling: %d KiB" % (most, ceiling))
    print("# memory: %d KiB after boot (planned %d), at most %d (ceiling %d); the kernel says %d KiB private"
          % (now, planned, most, ceiling, private_kib(box.process.pid)))


@test("limits: more requests than places: 503 with Retry-After, hits go on", limit=60)
def overload():
    box, up = box_and_up(config={"limits": {"requests": 16, "flights": 8}}, provider={"retry": {"attempts": 1}})
    is_miss(box.chat("a known one"))
    peers = [box.peer(20) for _ in range(30)]
    for number, peer in enumerate(peers):
        peer.send(box.request_bytes("/v1/chat/completions", harness.chat_body("busy %d [[hold=go]]" % number)))
    time.sleep(0.5)
    is_hit(box.chat("a known one"))
    check(up.count("busy") <= 8, "flights", up.count("busy"))
    up.release("go")
    replies = [p.reply() for p in peers]
    check({r.status for r in replies} <= {200, 503}, {r.status for r in replies})
    turned_away = [r for r in replies if r.status == 503]
    check(turned_away, "nobody was turned away")
    for reply in turned_away:
        check(reply.has("retry-after") and reply.json["error"]["message"], reply)
    is_hit(box.chat("a known one"))


if __name__ == "__main__":
    harness.main()
