# SPDX-License-Identifier: Apache-2.0
"""The same question in other words: answered from the box when it is the same, asked upstream when it is not."""

import json
import os
import re
import time

import harness
from clients import worker
from harness import Box, ROOT, Skip, check, equal, hit_kind, is_hit, is_miss, test, upstream

MODEL = os.path.abspath(os.environ.get("LARDER_MODEL", os.path.join(ROOT, "models", "all-MiniLM-L6-v2.lmodel")))
ASKED = "How do I reset the password of my account?"
OTHER_WORDS = "How can I reset my account's password?"


def semantic_box(up, cache=None, semantic=None, config=None, **options):
    """A box with the local model, ready to look up."""
    if not os.path.exists(MODEL):
        raise Skip("no model at %s (make model, or set LARDER_MODEL)" % MODEL)
    given = {"semantic": harness.merged({"embedder": "minilm-int8", "model": MODEL}, semantic or {})}
    box = Box(up, config=harness.merged(given, config or {}), cache=dict({"semantic": "preset"}, **(cache or {})),
              **options)
    ready(box)
    return box


def ready(box):
    box.wait_log(r"minilm-int8\S* is ready", timeout=15, after=box.log_start)


def say(up, text):
    """From now on upstream answers with these words."""
    up.force["say"] = text


def stored(box, up, question, answer, **options):
    say(up, answer)
    reply = box.chat(question, **options)
    is_miss(reply)
    return reply


def semantic_hit(reply, text):
    is_hit(reply, "semantic")
    equal(reply.said["text"], text)
    check(0.9 < float(reply.header("x-larder-similarity")) <= 1, reply.header("x-larder-similarity"))
    check(re.fullmatch(r"larder; hit; ttl=\d+; detail=semantic", reply.header("cache-status")), reply.header("cache-status"))
    check(reply.header("age") is not None and reply.header("x-larder-entry"), "Age and x-larder-entry")


# ---- served --------------------------------------------------------------------------------------------------------

@test("semantic: other words are answered from the box, as object and as stream")
def other_words():
    up = upstream()
    box = semantic_box(up)
    first = stored(box, up, ASKED, "Press the link in the mail.")
    say(up, "asked again")
    for stream in (False, True, False, True):
        semantic_hit(box.chat(OTHER_WORDS, stream=stream), "Press the link in the mail.")
    equal(box.chat(OTHER_WORDS).header("x-larder-entry"), box.chat(ASKED).header("x-larder-entry"), "entry")
    is_hit(box.chat(ASKED))
    equal(up.count(), 1, "calls")
    check(first.said["id"] == box.chat(OTHER_WORDS).said["id"], "a replay keeps its id")
    metrics = box.metrics()
    equal(metrics['larder_hits_total{kind="semantic"}'], 6, "semantic hits")
    equal(metrics['larder_semantic_lookups_total{outcome="hit"}'], 6, "lookups that hit")
    check(metrics['larder_stage_seconds_count{stage="embed"}'] >= 6, "embed stage")
    why = box.ctl("why", box.chat(OTHER_WORDS).header("x-request-id"))
    check("hit=semantic" in why and "similarity=0.9" in why, why)


@test("semantic: a real OpenAI client gets it in both forms, a real Anthropic client too")
def real_clients():
    up = upstream()
    box = semantic_box(up)
    client = worker("python")
    for api, base, model in (("openai", box.url("/v1"), "gpt-test"), ("anthropic", box.url(), "claude-test-1")):
        say(up, "The %s answer." % api)
        for how, question, kind in (("raw", ASKED, "none"), ("raw", OTHER_WORDS, "semantic"),
                                    ("raw_stream", OTHER_WORDS, "semantic"), ("stream", OTHER_WORDS, None)):
            params = {"model": model, "messages": [{"role": "user", "content": question}]}
            if api == "anthropic":
                params["max_tokens"] = 100
            said = client.run(api=api, how=how, base_url=base, key=harness.KEY, params=params)
            check(said["ok"], api, how, said)
            equal(said["text"], "The %s answer." % api, "%s %s" % (api, how))
            if kind:
                headers = {k.lower(): v for k, v in said["headers"].items()}
                equal(headers.get("x-larder-hit"), kind, "%s %s: x-larder-hit" % (api, how))
    equal(up.count(), 2, "calls")


@test("semantic: what is stored serves other words after kill -9 too")
def after_a_kill():
    up = upstream()
    box = semantic_box(up)
    stored(box, up, ASKED, "Still here.")
    box.wait_committed()
    box.kill9()
    box.start()
    ready(box)
    semantic_hit(box.chat(OTHER_WORDS), "Still here.")


@test("semantic: another embedder makes codes anew; the same words hit all along, other words soon after", limit=90)
def another_embedder():
    up = upstream()
    box = semantic_box(up)
    stored(box, up, ASKED, "Press the link in the mail.")
    stored(box, up, "Where is the nearest library in town?", "on the square")
    semantic_hit(box.chat(OTHER_WORDS), "Press the link in the mail.")
    calls = up.count()
    for embedder, near in (("ngram", False), ("minilm-int8", True)):
        equal(box.terminate(), 0, "exit code on SIGTERM")
        box.write_config({"semantic": {"embedder": embedder}})
        box.start()
        is_hit(box.chat(ASKED))             # before any code is made
        wait_until(lambda: box.metrics()["larder_semantic_codes"] == 2, "codes of " + embedder, 30)
        is_hit(box.chat("Where is the nearest library in town?"))
        check(re.search(r"semantic %s\S* \(ready\), 2 codes\n" % embedder, box.ctl("status")), box.ctl("status"))
        check("0 codes made again, 0 dropped, 2 now" in box.ctl("semantic", "refresh"), "nothing is left to do")
        reply = box.chat("Where is the nearest library in town", headers={"cache-control": "only-if-cached"})
        is_hit(reply, "semantic")
        reply = box.chat(OTHER_WORDS, headers={"cache-control": "only-if-cached"})
        equal(reply.status, 200 if near else 504, embedder)
    semantic_hit(box.chat(OTHER_WORDS), "Press the link in the mail.")
    equal(up.count(), calls, "calls")


@test("semantic: a damaged model costs other words only, and is named", limit=40)
def damaged_model():
    up = upstream()
    box = semantic_box(up)
    stored(box, up, ASKED, "still exact")
    copy = os.path.join(box.folder, "damaged.lmodel")
    with open(MODEL, "rb") as model, open(copy, "wb") as damaged:
        data = bytearray(model.read())
        data[len(data) // 2] ^= 1
        damaged.write(data)
    equal(box.terminate(), 0, "exit code on SIGTERM")
    box.tolerated = "the local model is damaged"
    box.write_config({"semantic": {"model": copy}})
    box.start()
    box.wait_log("the local model is damaged: nothing similar is found. Import it anew and restart", timeout=15)
    is_hit(box.chat(ASKED))
    say(up, "asked again")
    is_miss(box.chat(OTHER_WORDS))
    is_hit(box.chat(OTHER_WORDS))
    metrics = box.metrics()
    equal(metrics['larder_semantic_skipped_total{reason="not_ready"}'], 1, "skipped")
    equal([value for name, value in metrics.items() if name.startswith("larder_semantic_ready{")], [0], "ready")
    check("the local model is damaged" in box.ctl("status"), box.ctl("status"))
    box.ctl("semantic", "refresh", code=None)
    is_hit(box.chat("Does Larder work offline?", model="larder"), "pack")
    is_miss(box.chat("Could Larder work offline at all?"))
    equal(box.terminate(), 0, "exit code on SIGTERM")
    box.write_config({"semantic": {"model": MODEL}})
    box.start()
    ready(box)
    wait_until(lambda: box.metrics()["larder_semantic_codes_left"] == 0 and
               box.metrics()["larder_semantic_codes"] == 3, "the codes that were not made", 30)
    semantic_hit(box.chat("How might I reset my account's password?"), "asked again")


@test("semantic: only-if-cached is answered, x-larder-similarity-min only tightens")
def wishes():
    up = upstream()
    box = semantic_box(up)
    stored(box, up, ASKED, "wished for")
    semantic_hit(box.chat(OTHER_WORDS, headers={"cache-control": "only-if-cached"}), "wished for")
    equal(box.chat("What is the capital of Peru?", headers={"cache-control": "only-if-cached"}).status, 504)
    semantic_hit(box.chat(OTHER_WORDS, headers={"x-larder-similarity-min": "0.5"}), "wished for")
    say(up, "fresh")
    is_miss(box.chat(OTHER_WORDS, headers={"x-larder-similarity-min": "0.999"}))
    equal(box.chat("How can I reset my account password?", headers={"x-larder-cache": "no-cache"}).said["text"], "fresh")


# ---- not served ----------------------------------------------------------------------------------------------------

@test("semantic: a number, a negation, a name, an antonym make it another question")
def guards():
    up = upstream()
    box = semantic_box(up)
    pairs = (("How do I open port 8080 on my router?", "How do I open port 9090 on my router?"),
             ("Should I restart the server after the update?", "Should I not restart the server after the update?"),
             ("How do I install Firefox on my laptop?", "How do I install Chrome on my laptop?"),
             ("How do I increase the volume of the speaker?", "How do I decrease the volume of the speaker?"))
    for question, other in pairs:
        stored(box, up, question, "To: " + question)
        say(up, "To: " + other)
        reply = box.chat(other)
        is_miss(reply)
        equal(reply.said["text"], "To: " + other)
    metrics = box.metrics()
    check(sum(value for name, value in metrics.items() if name.startswith("larder_semantic_vetoes_total")) >= 3, metrics)


@test("semantic: another tenant, system prompt, model, parameter, namespace or history never meets it")
def apart():
    up = upstream()
    box = semantic_box(up)
    stored(box, up, ASKED, "for this request only")
    say(up, "for another")
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    follow_up = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi"},
                 {"role": "user", "content": OTHER_WORDS}]
    variants = (dict(key="sk-other-0123456789"), dict(system="Answer in French."), dict(model="gpt-other"),
                dict(temperature=0.5), dict(tools=tools), dict(messages=follow_up), dict(n=2), dict(max_tokens=5),
                dict(response_format={"type": "json_object"}), dict(headers={"x-larder-namespace": "b"}),
                dict(headers={"openai-organization": "org"}))
    for variant in variants:
        reply = box.chat(OTHER_WORDS, **variant)
        is_miss(reply)
        check("for another" in reply.said["text"], variant, reply.said)
    semantic_hit(box.chat(OTHER_WORDS), "for this request only")
    skipped = {name: value for name, value in box.metrics().items() if name.startswith("larder_semantic_skipped_total")}
    for reason in ("tools", "history", "many", "schema"):
        equal(skipped['larder_semantic_skipped_total{reason="%s"}' % reason], 1, reason)


@test("semantic: two virtual keys share nothing, but on a route with share: box")
def tenants():
    up = upstream()
    box = semantic_box(up, provider={"key": "sk-of-the-box"}, semantic={"shadow": {"rate": 0}})
    ann, bob = box.add_tenant("ann"), box.add_tenant("bob")
    stored(box, up, ASKED, "for ann", key=ann)
    say(up, "for bob")
    is_miss(box.chat(OTHER_WORDS, key=bob))
    semantic_hit(box.chat(OTHER_WORDS, key=ann), "for ann")
    routes = json.loads(json.dumps(box.config["routes"]))
    for route in routes:
        route["cache"]["share"] = "box"
    box.reload({"routes": routes})
    stored(box, up, "Where can I park my car near the station?", "for all", key=ann)
    say(up, "for bob")
    semantic_hit(box.chat("Where can I park the car near the station?", key=bob), "for all")


# ---- offline -------------------------------------------------------------------------------------------------------

@test("semantic: offline a looser threshold, labelled; nothing else", limit=60)
def offline():
    up = upstream()
    box = semantic_box(up, cache={"threshold": 0.995, "offline_threshold": 0.85})
    stored(box, up, ASKED, "known")
    say(up, "asked online")
    is_miss(box.chat("How can I reset my account password please?"))
    up.vanish()
    reply = box.chat(OTHER_WORDS)
    is_hit(reply, "semantic")
    check(reply.header("cache-status").endswith("; detail=semantic-offline"), reply.header("cache-status"))
    check(reply.said["text"] in ("known", "asked online"), reply.said)
    for question in ("What is the tallest mountain of Peru?", "Why can I not reset the password of my account?"):
        equal(box.chat(question).status, 503, question)


@test("packs: a starter question in three other wordings is answered offline, other questions are not", limit=60)
def packs_in_other_words():
    up = upstream()
    box = semantic_box(up)
    wait_for_packs(box)
    up.vanish()
    exact = box.chat("Does Larder work offline?").said["text"]
    for model in ("larder", "gpt-test"):
        for words in ("Could Larder work offline?", "Will Larder work when offline?", "Can Larder work while it is offline?"):
            reply = box.chat(words, model=model)
            is_hit(reply, "pack")
            equal(reply.said["text"], exact)
            check(float(reply.header("x-larder-similarity")) >= 0.93, reply.header("x-larder-similarity"))
        for words in ("Does Larder not work offline?", "Does Redis work offline?", "Does Larder 2 work offline?"):
            equal(box.chat(words, model=model).status, 404 if model == "larder" else 503, words)
    stream = box.chat("Could Larder work offline?", model="larder", stream=True)
    equal(stream.said["text"], exact)
    equal(box.chat("Could Larder work offline?", model="larder", system="Be brief.").status, 404)


@test("packs: other words are answered right after the start too")
def packs_at_once():
    box = semantic_box(None)
    box.restart()
    reply = box.chat("Could Larder work offline?", model="larder", key=None)
    is_hit(reply, "pack")
    box.reload({"log": {"level": "debug"}})
    is_hit(box.chat("Will Larder work when offline?", model="larder", key=None), "pack")
    equal(box.chat("Does Redis work offline?", model="larder", key=None).status, 404)


def wait_for_packs(box):
    end = time.monotonic() + 30
    want = sum(len(json.loads(line)["q"]) for line in open(os.path.join(ROOT, "app", "packs", "starter.jsonl"),
                                                            encoding="utf-8") if line.startswith("{"))
    while box.metrics()["larder_pack_questions_ready"] < want:
        check(time.monotonic() < end, "the pack's questions are not ready")
        time.sleep(0.1)


# ---- learning ------------------------------------------------------------------------------------------------------

THINGS = ("toaster kettle printer router camera phone tablet laptop monitor keyboard speaker headset radio clock lamp fan "
          "heater fridge freezer oven microwave dishwasher washer dryer vacuum mixer blender grill scale thermostat doorbell "
          "alarm scanner projector drone watch bike scooter car truck boat train elevator gate fence pump drill saw sander "
          "mower shredder safe piano guitar drum violin flute trumpet organ harp").split()


def teach(box, up, things):
    """Each thing is asked for three times: the answers after the first label the candidates before them."""
    for number, thing in enumerate(things):
        say(up, "The code of the %s is %d." % (thing, 1000 + THINGS.index(thing) * 17))
        for words in ("What is the code of the %s?", "Can you tell me the code of the %s?",
                      "Please tell me the code of the %s."):
            box.chat(words % thing)


def labels_of(box):
    found = re.search(r"labels\s+(\d+) that count", box.ctl("semantic", "show"))
    return int(found.group(1)) if found else 0


@test("semantic: learn serves nothing until its labels say from where on, then only that", limit=120)
def learn():
    up = upstream()
    box = semantic_box(up, cache={"semantic": "learn"})
    teach(box, up, THINGS[:10])
    equal(box.metrics()['larder_hits_total{kind="semantic"}'], 0, "hits before it has learnt")
    shown = box.ctl("semantic", "show")
    check("too few labels yet" in shown and "would" in shown, shown)
    teach(box, up, THINGS[10:])
    wait_until(lambda: labels_of(box) >= 100, "100 labels")
    shown = box.ctl("semantic", "show")
    check(re.search(r"threshold 0\.\d\d: serves", shown), shown)
    say(up, "The code of the window is 77.")
    is_miss(box.chat("What is the code of the window?"))
    say(up, "not asked")
    reply = box.chat("Can you tell me the code of the window?")
    is_hit(reply, "semantic")
    equal(reply.said["text"], "The code of the window is 77.")
    say(up, "The code of the ladder is 78.")
    is_miss(box.chat("What is the code of the ladder?"))


def wait_until(holds, what, seconds=10):
    end = time.monotonic() + seconds
    while not holds():
        check(time.monotonic() < end, "never: " + what)
        time.sleep(0.1)


@test("semantic: labels outlive kill -9 but for the newest", limit=60)
def labels_last():
    up = upstream()
    box = semantic_box(up, cache={"semantic": "learn"})
    teach(box, up, THINGS[:20])
    wait_until(lambda: labels_of(box) >= 30, "30 labels")
    before = labels_of(box)
    time.sleep(0.5)
    box.kill9()
    box.start()
    ready(box)
    check(25 <= labels_of(box) <= before, "labels before and after the kill", before, labels_of(box))
    box.restart()
    ready(box)
    check(labels_of(box) >= 25, "labels after an orderly end")


# ---- taking back ---------------------------------------------------------------------------------------------------

def feedback(box, key=harness.KEY, **body):
    return box.ask("/larder/v1/feedback", body, key=key)


@test("semantic: a reported hit does not come again, not after kill -9 either")
def reported():
    up = upstream()
    box = semantic_box(up)
    stored(box, up, ASKED, "a wrong answer")
    hit = box.chat(OTHER_WORDS)
    semantic_hit(hit, "a wrong answer")
    request = hit.header("x-request-id")
    equal(feedback(box, request=request, verdict="maybe").status, 400)
    equal(feedback(box, key="sk-somebody-else-00", request=request, verdict="wrong").status, 404)
    semantic_hit(box.chat(OTHER_WORDS), "a wrong answer")
    reply = feedback(box, request=request, verdict="wrong", note="that is for another account")
    equal(reply.status, 200)
    equal(json.loads(reply.body), {"request": request, "verdict": "wrong", "removed": True})
    box.wait_committed()
    box.kill9()
    box.start()
    ready(box)
    say(up, "a right answer")
    is_miss(box.chat(OTHER_WORDS))
    is_hit(box.chat(ASKED))
    equal(box.chat(OTHER_WORDS).said["text"], "a right answer")


@test("semantic: larder ctl cache reject takes back a hit, or an entry for all other words")
def rejected_by_hand():
    up = upstream()
    box = semantic_box(up)
    stored(box, up, ASKED, "by hand")
    hit = box.chat(OTHER_WORDS)
    semantic_hit(hit, "by hand")
    check("rejected" in box.ctl("cache", "reject", hit.header("x-request-id")), "what it says")
    say(up, "fresh")
    is_miss(box.chat(OTHER_WORDS))
    first = stored(box, up, "Where is the nearest library in town?", "on the square")
    entry = first.header("x-larder-entry") or box.chat("Where is the nearest library in town?").header("x-larder-entry")
    semantic_hit(box.chat("Where is the nearest library of the town?"), "on the square")
    box.ctl("cache", "reject", entry)
    say(up, "fresh")
    is_miss(box.chat("Where is the nearest library of this town?"))
    is_hit(box.chat("Where is the nearest library in town?"))
    check("2 pairs" in box.ctl("semantic", "show"), box.ctl("semantic", "show"))
    box.ctl("cache", "reject", "req_unknown", code=1)


# ---- checks --------------------------------------------------------------------------------------------------------

@test("semantic: hits are checked in the background with the box's key, never with a client's", limit=60)
def shadow():
    up = upstream()
    box = semantic_box(up, provider={"key": "sk-of-the-box"}, semantic={"shadow": {"rate": 1.0, "per_hour_max": 10}})
    ann = box.add_tenant("ann")
    stored(box, up, ASKED, "The code is 5.", key=ann)
    say(up, "The code is 6.")
    semantic_hit(box.chat(OTHER_WORDS, key=ann), "The code is 5.")
    up.wait_calls(2)
    equal(up.calls[1].key(), "sk-of-the-box", "whose key")
    wait_until(lambda: box.metrics()["larder_semantic_shadow_checks_total"] == 1, "a check")
    wait_until(lambda: box.metrics()['larder_semantic_labels_total{source="shadow",verdict="wrong"}'] == 1, "a label")
    metrics = box.metrics()
    equal(metrics['larder_semantic_false_hit_ratio{per="hit",bound="estimate"}'], 1, "share of wrong hits")
    check(0 < metrics['larder_semantic_false_hit_ratio{per="hit",bound="low"}'] < 1, metrics)
    reply = box.chat(OTHER_WORDS, key=ann)          # the check's answer was stored
    is_hit(reply)
    equal(reply.said["text"], "The code is 6.")
    stored(box, up, "Where is the nearest library in town?", "on the square")
    say(up, "not asked")
    semantic_hit(box.chat("Where is the nearest library of the town?"), "on the square")
    time.sleep(0.5)
    equal(up.count(), 3, "calls: a client's own key is never spent on a check")


if __name__ == "__main__":
    harness.main()
