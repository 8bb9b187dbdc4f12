# SPDX-License-Identifier: Apache-2.0
"""At the edge: the line goes down, certificates are wrong, names do not resolve, keys are revoked, packs answer."""

import json
import os
import subprocess
import sys
import time

import harness
from harness import (Box, Proxy, Skip, Upstream, certs, chat_body, check, equal, is_hit, is_miss,
                     plain_upstream, same_said, test, upstream)

PATH = "/v1/chat/completions"
QUICK = {"retry": {"attempts": 2, "base": "10ms", "max": "20ms"}}


def box_and_up(**options):
    up = upstream()
    return Box(up, **options), up


# ---- offline -------------------------------------------------------------------------------------------------------

@test("offline: exact hits go on, in both forms")
def offline_hits():
    box, up = box_and_up(provider=QUICK)
    live = box.chat("known")
    up.vanish()
    for stream in (False, True):
        reply = box.chat("known", stream=stream)
        is_hit(reply)
        same_said(reply, live)


@test("offline: an expired answer is served, labelled stale")
def stale():
    box, up = box_and_up(provider=QUICK, cache={"ttl": "1s"})
    live, claude = box.chat("aging"), box.message("aging")
    time.sleep(2.1)
    up.vanish()
    for stream in (False, True):
        for ask, first in ((box.chat, live), (box.message, claude)):
            reply = ask("aging", stream=stream)
            equal((reply.status, reply.header("x-larder-hit")), (200, "stale"))
            status = reply.header("cache-status", "")
            check("larder; hit; ttl=-" in status and "detail=stale" in status, status)
            check(int(reply.header("age")) >= 2, reply.header("age"))
            same_said(reply, first)
    up.start()
    fresh = box.chat("aging", timeout=20)
    check(fresh.status == 200 and fresh.header("x-larder-hit") in ("none", "exact"), fresh)
    check("Answer #%d " % up.serial in fresh.said["text"], fresh.said["text"])


@test("offline: beyond stale_if_error nothing is served")
def too_stale():
    box, up = box_and_up(provider=QUICK, cache={"ttl": "1s", "stale_if_error": "1s"})
    box.chat("gone by")
    time.sleep(3.2)
    up.vanish()
    equal(box.chat("gone by").status, 503)


@test("offline: without an answer a clear 503 in the dialect's shape, with x-should-retry: false")
def offline_503():
    box, up = box_and_up(provider=QUICK)
    is_miss(box.chat("before"))
    up.vanish()
    for ask in (box.chat, box.message):
        for stream in (False, True):
            reply = ask("unknown %s" % stream, stream=stream)
            equal(reply.status, 503)
            equal(reply.header("x-should-retry"), "false")
            check(reply.has("retry-after"), "no Retry-After", reply.headers)
            check(reply.has("request-id") or reply.has("x-request-id"), reply.headers)
            said = reply.json
            message = said["error"]["message"]
            check("offline" in message.lower() or "cannot be reached" in message.lower(), message)
            if ask == box.message:
                equal(said["type"], "error", "Anthropic shape")
    up.start()
    end = time.monotonic() + 10
    while box.chat("back online").status != 200:
        check(time.monotonic() < end, "it never came back")
        time.sleep(0.1)


@test("offline: a box that starts without a line serves what it has")
def starts_offline():
    box, up = box_and_up(provider=QUICK)
    live = box.chat("kept over night")
    box.wait_committed()
    equal(box.terminate(), 0)
    up.vanish()
    box.start()
    reply = box.chat("kept over night", stream=True)
    is_hit(reply)
    same_said(reply, live)
    equal(box.chat("unknown").status, 503)


@test("offline: the stored answer is served when the provider only fails")
def stale_on_error():
    box, up = box_and_up(provider=QUICK, cache={"ttl": "1s"})
    live = box.chat("flaky")
    time.sleep(2.1)
    up.force = {"drop": ""}
    reply = box.chat("flaky")
    equal((reply.status, reply.header("x-larder-hit")), (200, "stale"))
    same_said(reply, live)


@test("offline: stale-if-error=0 of a client is respected")
def client_stale():
    box, up = box_and_up(provider=QUICK, cache={"ttl": "1s"})
    box.chat("no stale")
    time.sleep(2.1)
    up.vanish()
    equal(box.chat("no stale", headers={"cache-control": "stale-if-error=0"}).status, 503)
    equal(box.chat("no stale", headers={"cache-control": "stale-if-error=600"}).status, 200)


@test("offline: a connection that died in the pool is replaced without a word")
def dead_pool():
    box, up = box_and_up(provider={"retry": {"attempts": 1}})
    is_miss(box.chat("one"))
    up.vanish()
    up.start()
    is_miss(box.chat("two"))
    equal(up.count("two"), 1)
    up.close_after_reply = True
    for number in range(4):
        is_miss(box.chat("closing %d" % number))
    equal(up.count("closing"), 4)


@test("offline: connections to the provider are kept and used again")
def pool():
    box, up = box_and_up()
    for number in range(10):
        is_miss(box.chat("kept %d" % number, stream=number % 2 == 0))
    check(up.accepted <= 2, "connections for ten calls one after another", up.accepted)


# ---- TLS towards the provider --------------------------------------------------------------------------------------

def bad_certificate(kind):
    @test("tls: a provider with %s is refused, and the reason is said" % kind)
    def run():
        up = upstream(kind=kind)
        box = Box(up, provider=QUICK)
        reply = box.chat("trust me")
        check(reply.status in (502, 503), reply)
        check(reply.json["error"]["message"], reply)
        check(not up.calls, "the request reached a server that was not verified")
        words = {"wrong_host": "name|host", "expired": "expired|date|valid", "unknown_ca": "issuer|authority|trust|CA"}
        box.wait_log(words[kind])


for one in ("wrong_host", "expired", "unknown_ca"):
    bad_certificate(one)


@test("tls: the system's authorities do not vouch for ours")
def system_ca():
    up = upstream()
    box = Box(up, provider=dict(QUICK, ca="system"))
    check(box.chat("trust me").status in (502, 503))
    equal(up.count(), 0)


@test("tls: the name is sent (SNI), sessions are resumed, 1.2 works too", limit=40)
def tls_details():
    import ssl

    class Old(Upstream):
        def context(self):
            context = super().context()
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            return context

    for make in (Upstream, Old):
        up = make(certs()).start()
        harness.tap.CLEANERS.append(up.close)
        box = Box(up)
        is_miss(box.chat("tls"))
        equal(up.calls[0].connection.server_name, "localhost", "SNI")
        equal(up.calls[0].connection.tls_version, "TLSv1.2" if make is Old else "TLSv1.3")
        up.close_after_reply = True
        for number in range(3):
            is_miss(box.chat("tls %d" % number))
        check(any(c.connection.resumed for c in up.calls), "no session was resumed (%s)" % make.__name__)


@test("tls: a pin decides: the right one is served, a wrong one refused")
def pins():
    import base64
    import hashlib
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
    with open(certs().leaf_paths()[0], "rb") as pem:
        leaf = x509.load_pem_x509_certificate(pem.read())
    spki = leaf.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    pin = "sha256/" + base64.b64encode(hashlib.sha256(spki).digest()).decode()
    for given, status in ((pin, 200), ("sha256/" + base64.b64encode(bytes(32)).decode(), 503)):
        up = upstream()
        box = Box(up, provider=dict(QUICK, pin=given))
        reply = box.chat("pinned")
        check(reply.status == status or (status == 503 and reply.status == 502), given, reply)
        equal(up.count(), 1 if status == 200 else 0, "calls")


# ---- proxy and names -----------------------------------------------------------------------------------------------

@test("proxy: calls go through a CONNECT proxy, TLS end to end")
def proxied():
    up = upstream()
    proxy = Proxy().start()
    harness.tap.CLEANERS.append(proxy.close)
    proxy.route["upstream.test:443"] = ("127.0.0.1", up.port)
    box = Box(up, provider=dict(QUICK, proxy="http://user:secret@127.0.0.1:%d" % proxy.port))
    box.write_config({"providers": [dict(p, base_url="https://upstream.test" + ("/v1" if p["name"] == "openai" else ""))
                                    for p in box.config["providers"]]})
    box.restart()
    is_miss(box.chat("through"))
    is_miss(box.message("through"))
    equal(set(proxy.targets), {"upstream.test:443"}, "targets of the proxy")
    check("proxy-authorization: basic dxnlcjpzzwnyzxq=" in proxy.heads[0].lower(), proxy.heads[0])
    equal(up.calls[0].connection.server_name, "upstream.test", "SNI")
    equal(up.calls[0].header("proxy-authorization"), None)
    equal(up.calls[0].header("host"), "upstream.test")
    proxy.deny = True
    proxy.vanish()
    proxy.start()
    up.vanish()
    up.start()
    check(box.chat("denied").status in (502, 503))


@test("provider: plain HTTP without a key serves those without a credential (LAN server)")
def lan_provider():
    up = plain_upstream()
    up.needs_key = False
    box = Box(up, provider={"passthrough": False})
    is_miss(box.chat("lan", key=None))
    equal(up.calls[0].header("authorization"), None, "credential upstream")
    is_hit(box.chat("lan", key=None))
    is_miss(box.message("lan", key=None))
    reply = box.chat("lan two", key="sk-somebody-00000000")
    equal(reply.status, 200, "a credential that counts as none")
    equal(up.calls[-1].header("authorization"), None, "a foreign credential upstream")


@test("provider: fixed headers of the configuration are sent")
def provider_headers():
    box, up = box_and_up(provider={"headers": {"x-site": "north"}})
    box.chat("site")
    equal(up.calls[0].header("x-site"), "north")


@test("provider: access.anonymous none and any")
def anonymous():
    up = plain_upstream()
    up.needs_key = False
    box = Box(up, {"access": {"anonymous": "none"}}, provider={"passthrough": False})
    for key in (None, "sk-neither-virtual-nor-proven"):
        check(box.chat("anon", key=key).status in (401, 403), "a keyless provider for", key)
        check(box.chat(starter_questions()[0][0], model="larder", key=key).status >= 400, "a pack for", key)
    equal(up.count(), 0)
    box = Box(up, {"access": {"anonymous": "loopback"}}, provider={"passthrough": False})
    equal(box.chat("anon", key=None).status, 200)
    for name in ("forwarded", "x-forwarded-for", "via"):
        reply = box.chat("anon", key=None, headers={name: "1.2.3.4"})
        check(reply.status in (401, 403), "loopback through a proxy (%s)" % name, reply)


@test("provider: a chain falls back, and the first link's answer counts again when it is back", limit=40)
def chain():
    first, second = upstream("first"), plain_upstream("second")
    second.needs_key = False
    box = Box(first, provider=QUICK, autostart=False)
    both = box.config["providers"] + [{"name": "lan", "dialect": "openai", "base_url": second.url("/v1")}]
    routes = [{"match": {"dialect": "openai"}, "providers": ["openai", "lan"]}]
    box.write_config({"providers": both, "routes": routes})
    box.start()
    check("of first" in box.chat("chain one").said["text"])
    first.vanish()
    is_miss(reply := box.chat("chain two"))
    check("of second" in reply.said["text"], reply.said["text"])
    equal(second.calls[0].header("authorization"), None, "the client's credential at the keyless provider")
    is_hit(box.chat("chain two"))
    is_hit(box.chat("chain one"))
    first.start()
    end = time.monotonic() + 10
    while "of first" not in box.chat("chain three %f" % time.monotonic()).said["text"]:
        check(time.monotonic() < end, "the first provider is never tried again")
        time.sleep(0.2)
    is_miss(reply := box.chat("chain two"))
    check("of first" in reply.said["text"], reply.said["text"])


# ---- virtual keys --------------------------------------------------------------------------------------------------

@test("keys: a virtual key spends the box's key and never leaves the box", limit=40)
def virtual_key():
    box, up = box_and_up(provider={"key": "sk-the-box-own-key-0000"})
    key = box.add_tenant("kiosk")
    check(key.startswith("lk-"), key)
    is_miss(box.chat("paid", key=key))
    call = up.calls[0]
    equal(call.header("authorization"), "Bearer sk-the-box-own-key-0000", "credential upstream")
    is_hit(box.chat("paid", key=key))
    is_miss(box.message("paid", key=key))
    check(up.calls[1].key() == "sk-the-box-own-key-0000", up.calls[1].headers)
    for seen in up.calls:
        check(key.encode() not in seen.raw_head + seen.body, "the virtual key left the box")
    is_miss(box.chat("paid"))
    equal(up.calls[2].key(), harness.KEY, "a passthrough client pays itself")
    check(key not in box.log() and "sk-the-box-own" not in box.log(), "a key stands in the log")
    check("sk-the-box-own" not in box.ctl("status"), "a key stands in the status")


@test("keys: unknown and revoked ones are 401, on the second request too, and hits stop", limit=40)
def revoked_key():
    box, up = box_and_up(provider={"key": "sk-the-box-own-key-0000"})
    key = box.add_tenant("kiosk")
    is_miss(box.chat("soon revoked", key=key))
    is_hit(box.chat("soon revoked", key=key))
    for _ in range(2):
        reply = box.chat("soon revoked", key="lk-unknown-0000000000000000000000")
        equal(reply.status, 401, "status of an unknown key")
        check(reply.json["error"]["message"], reply)
    with box.peer() as kept:
        kept.send(box.request_bytes(PATH, chat_body("soon revoked"), key=key, close=False))
        reply = kept.reply()
        is_hit(reply)
        reply.body
        box.ctl("tenant", "revoke", "kiosk")
        for _ in range(2):
            kept.send(box.request_bytes(PATH, chat_body("soon revoked"), key=key, close=False))
            reply = kept.reply()
            equal(reply.status, 401, "status on a kept connection after revoking")
            reply.body
    equal(box.message("x", key=key).status, 401)
    equal(box.message("x", key=key).json["error"]["type"], "authentication_error")
    equal(up.count(), 1, "calls")
    box.restart()
    equal(box.chat("soon revoked", key=key).status, 401, "status after a restart")


@test("keys: rotating gives a new key, the old one is 401, answers stay", limit=40)
def rotated_key():
    box, up = box_and_up(provider={"key": "sk-the-box-own-key-0000"})
    old = box.add_tenant("kiosk")
    is_miss(box.chat("kept", key=old))
    new = box.key_in(box.ctl("tenant", "rotate", "kiosk"))
    check(new != old, "the same key")
    equal(box.chat("kept", key=old).status, 401)
    is_hit(box.chat("kept", key=new))
    equal(up.count(), 1, "calls")
    box.kill9()
    box.start()
    equal(box.chat("kept", key=old).status, 401, "status after kill -9")
    equal(box.chat("other", key=new).status, 200, "status after kill -9")


@test("keys: two tenants do not share, removing one's answers leaves the other's")
def two_tenants():
    box, up = box_and_up(provider={"key": "sk-the-box-own-key-0000"})
    one, two = box.add_tenant("one"), box.add_tenant("two")
    a, b = box.chat("shared?", key=one), box.chat("shared?", key=two)
    check(a.said["text"] != b.said["text"], "shared")
    is_hit(box.chat("shared?", key=one))
    is_hit(box.chat("shared?", key=two))
    equal(up.count(), 2, "calls")


@test("keys: without the box's own key a virtual key gets a clear error, nothing goes upstream")
def key_without_money():
    box, up = box_and_up()
    key = box.add_tenant("kiosk")
    reply = box.chat("poor", key=key)
    check(reply.status >= 400, reply)
    check(reply.json["error"]["message"], reply)
    equal(up.count(), 0, "calls")


@test("keys: a client's credential gone bad stops its hits until it is good again")
def unproven():
    box, up = box_and_up(provider=QUICK)
    key = "sk-good-then-bad-000000"
    is_miss(box.chat("mine", key=key))
    is_hit(box.chat("mine", key=key))
    up.denied.add(key)
    equal(box.chat("other", key=key).status, 401)
    reply = box.chat("mine", key=key)
    equal(reply.status, 401, "a hit after a 401")
    up.denied.clear()
    equal(box.chat("third", key=key).status, 200)
    is_hit(box.chat("mine", key=key))


@test("keys: a client's credential is never on disk or in the log")
def no_traces():
    box, _ = box_and_up()
    key = "sk-never-written-8f3a1c77"
    box.chat("x", key=key)
    box.message("x", key=key)
    box.chat("bad", key="sk-bad-never-written-8f3a1c77")
    box.wait_committed()
    equal(box.terminate(), 0)
    for folder, _, files in os.walk(box.folder):
        for name in files:
            with open(os.path.join(folder, name), "rb") as file:
                check(b"never-written-8f3a1c77" not in file.read(), "the credential stands in", name)


# ---- models --------------------------------------------------------------------------------------------------------

@test("models: lists are merged, both shapes, with larder among them, offline too", limit=40)
def models():
    box, up = box_and_up(provider=QUICK)
    lan = plain_upstream()
    lan.needs_key = False
    both = box.config["providers"] + [{"name": "lan", "dialect": "openai", "base_url": lan.url("/v1"),
                                       "models": ["lan-model"]}]
    routes = [{"match": {"dialect": "openai", "model": "lan-*"}, "providers": ["lan"]}] + box.config["routes"]
    box.write_config({"providers": both, "routes": routes})
    box.restart()

    def check_lists(when):
        reply = box.get("/v1/models")
        equal(reply.status, 200, when)
        ids = [m["id"] for m in reply.json["data"]]
        check("larder" in ids and "gpt-test" in ids, when, ids)
        equal(len(ids), len(set(ids)), when + ": duplicates")
        check(all(m["object"] == "model" and m["created"] >= 0 for m in reply.json["data"]), reply.json)
        reply = box.get("/v1/models", headers={"anthropic-version": "2023-06-01"}, style="x-api-key")
        ids = [m["id"] for m in reply.json["data"]]
        check("larder" in ids and "claude-test-1" in ids, when, ids)
        check("has_more" in reply.json and all(m["type"] == "model" for m in reply.json["data"]), reply.json)

    check_lists("online")
    up.vanish()
    lan.vanish()
    check_lists("offline")
    box.restart()
    reply = box.get("/v1/models")
    check(reply.status == 200 and "larder" in [m["id"] for m in reply.json["data"]], reply)


# ---- packs ---------------------------------------------------------------------------------------------------------

def starter_questions():
    """Questions of the starter pack, as its source has them."""
    path = os.path.join(harness.ROOT, "app", "packs", "starter.jsonl")
    if not os.path.exists(path):
        raise Skip("app/packs/starter.jsonl is missing")
    with open(path, encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines if line.strip() and not line.startswith("#")]
    rows = [(question, row["a"]) for row in rows for question in row["q"]]
    check(len(rows) >= 30, "questions in the pack", len(rows))
    return rows


@test("packs: the starter pack answers under the model larder, without key or provider, in every form")
def starter():
    box = Box(None)
    for question, answer in starter_questions()[:5] + starter_questions()[-3:]:
        for text in (question, question.upper(), "  %s \n" % question):
            for stream in (False, True):
                reply = box.chat(text, stream=stream, model="larder", key=None)
                is_hit(reply, "pack")
                equal((reply.said["text"], reply.said["model"], reply.said["finish"]), (answer, "larder", "stop"))
                reply = box.message(text, stream=stream, model="larder", key=None)
                is_hit(reply, "pack")
                equal((reply.said["text"], reply.said["model"], reply.said["finish"]), (answer, "larder", "end_turn"))


@test("packs: the model larder never goes upstream; without a match it is 404")
def larder_model():
    box, up = box_and_up()
    for ask, kind in ((box.chat, None), (box.message, "not_found_error")):
        reply = ask("something that no pack knows 12345", model="larder")
        equal(reply.status, 404)
        check(reply.json["error"]["message"], reply)
        if kind:
            equal(reply.json["error"]["type"], kind)
    equal(up.count(), 0, "calls")


@test("packs: other models are not answered online, but when no provider can take them")
def packs_offline():
    box, up = box_and_up(provider=QUICK)
    question, answer = starter_questions()[0]
    is_miss(box.chat(question))
    up.vanish()
    reply = box.chat(question, model="gpt-other")
    is_hit(reply, "pack")
    equal((reply.said["text"], reply.said["model"]), (answer, "gpt-other"))
    reply = box.message(question, model="claude-other")
    is_hit(reply, "pack")
    equal(box.chat(question, model="gpt-other", system="You are a pirate.").status, 503, "with a system prompt")
    tools = [{"type": "function", "function": {"name": "x", "parameters": {"type": "object"}}}]
    equal(box.chat(question, model="gpt-other", tools=tools).status, 503, "with tools")


@test("packs: two-turn requests are not answered from packs")
def packs_single_turn():
    box = Box(None)
    question, _ = starter_questions()[0]
    messages = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"},
                {"role": "user", "content": question}]
    equal(box.ask(PATH, {"model": "larder", "messages": messages}, key=None).status, 404)


@test("packs: no configuration, no network: the box says what it assumed and answers")
def no_network():
    folder = os.path.join(harness.run_folder(), "bare")
    os.makedirs(folder, exist_ok=True)
    question, answer = starter_questions()[0]
    script = os.path.join(folder, "run.py")
    with open(script, "w", encoding="utf-8") as out:
        out.write(BARE % {"e2e": harness.HERE})
    done = subprocess.run(["unshare", "-rn", sys.executable, "-B", script, harness.LARDER, question], cwd=folder,
                          capture_output=True, text=True, timeout=25, check=False)
    if "unshare failed" in done.stderr:
        raise Skip("unshare -rn is not permitted here: " + done.stderr.strip())
    check(done.returncode == 0, done.stdout, done.stderr)
    said = json.loads(done.stdout.strip().split("\n")[-1])
    equal((said["status"], said["hit"], said["text"]), (200, "pack", answer))
    check("built-in" in done.stdout + said["log"], said["log"])


BARE = '''
import json, subprocess, sys, time
sys.path.insert(0, %(e2e)r)
from http_wire import Peer
from harness import chat_body, die_with_parent
subprocess.run(["ip", "link", "set", "lo", "up"], check=False)
import fcntl, socket, struct
with socket.socket() as s:                                  # the same without the ip tool
    flags = struct.unpack("16sh", fcntl.ioctl(s, 0x8913, struct.pack("16sh", b"lo", 0)))[1]
    fcntl.ioctl(s, 0x8914, struct.pack("16sh", b"lo", flags | 1))
box = subprocess.Popen([sys.argv[1], "serve"], stderr=subprocess.PIPE,
                       env={"PATH": "/usr/bin:/bin", "HOME": "."}, preexec_fn=die_with_parent)
body = json.dumps(chat_body(sys.argv[2], model="larder")).encode()
for _ in range(200):
    try:
        peer = Peer(("127.0.0.1", 8080), 5)
        break
    except OSError:
        time.sleep(0.05)
peer.send(b"POST /v1/chat/completions HTTP/1.1\\r\\nHost: localhost:8080\\r\\nContent-Length: %%d\\r\\n"
          b"Connection: close\\r\\n\\r\\n" %% len(body) + body)
reply = peer.reply()
text = reply.said["text"] if reply.status == 200 else reply.body.decode()
box.terminate()
log = box.stderr.read().decode()
print(json.dumps({"status": reply.status, "hit": reply.header("x-larder-hit"), "text": text, "log": log,
                  "exit": box.wait()}))
'''


# ---- names ---------------------------------------------------------------------------------------------------------

@test("dns: names resolve, both families are tried, the last good address serves when DNS is down", limit=60)
def dns():
    """Runs itself again inside name spaces of its own, where port 53 and /etc/resolv.conf are free to use."""
    done = subprocess.run(["unshare", "-rnm", sys.executable, "-B", os.path.join(harness.HERE, "dns_inside.py")],
                          env=dict(os.environ, LARDER=harness.LARDER), capture_output=True, text=True, timeout=55,
                          check=False)
    if "unshare failed" in done.stderr or "not permitted" in done.stderr:
        raise Skip("unshare -rnm is not permitted here: " + done.stderr.strip()[:200])
    check(done.returncode == 0, "\n" + done.stdout[-3000:] + done.stderr[-3000:])


if __name__ == "__main__":
    harness.main()
