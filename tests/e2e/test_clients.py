# SPDX-License-Identifier: Apache-2.0
"""The real client libraries, unchanged, against the box: first answer from the provider, then from the store.

Each test asks in one form, again, and in the other form; then with the provider gone; then after kill -9. The
provider's count proves the hits, and the serial number in its text proves whose answer it is.
"""

import json

import harness
from clients import worker
from harness import Box, check, equal, test, upstream
from wire import TAIL

SCHEMA = {"type": "object", "properties": {"zip": {"type": "string"}, "city": {"type": "string"}}, "required": ["city"]}
TOOLS = {"openai": [{"type": "function", "function": {"name": "weather", "description": "w", "parameters": SCHEMA}},
                    {"type": "function", "function": {"name": "news", "parameters": SCHEMA}}],
         "anthropic": [{"name": "weather", "input_schema": SCHEMA}, {"name": "news", "input_schema": SCHEMA}]}
RUNTIMES = {"python": {}, "python async": {"async": True}, "python-old": {}, "node": {}, "node openai6": {"old": True}}
OTHER = {"object": "stream", "raw": "raw_stream", "stream": "object", "raw_stream": "raw", "helper": "object"}
FINISH = {"openai": {"plain": "stop", "usage": "stop", "tools": "tool_calls"},
          "anthropic": {"plain": "end_turn", "thinking": "end_turn", "tools": "tool_use"}}


class Asker:
    """One client library talking to one box."""

    def __init__(self, runtime, api, box):
        self.runtime, self.api, self.box = runtime, api, box
        self.worker = worker(runtime.split(" ")[0])

    def params(self, text, kind):
        body = {"model": "gpt-test" if self.api == "openai" else "claude-test-1",
                "messages": [{"role": "user", "content": text}]}
        if self.api == "anthropic":
            body["max_tokens"] = 2000
        if kind == "tools":
            body["messages"][0]["content"] += " [[tool=2]]"
            body["tools"] = TOOLS[self.api]
        if kind == "thinking":
            body["messages"][0]["content"] += " [[think]]"
            body["thinking"] = {"type": "enabled", "budget_tokens": 1024}
        return body

    def ask(self, how, text, kind="plain", **job):
        params = self.params(text, kind)
        if kind == "usage" and how in ("stream", "raw_stream", "helper"):
            params["stream_options"] = {"include_usage": True}
        base = self.box.url("/v1" if self.api == "openai" else "")
        said = self.worker.run(**dict(RUNTIMES[self.runtime], api=self.api, how=how, base_url=base,
                                      key=harness.KEY, params=params, **job))
        check(said["ok"], how, kind, said)
        if said["headers"] is not None:
            said["headers"] = {k.lower(): v for k, v in said["headers"].items()}
        return said


def same(got, want, what):
    arguments = [[json.loads(tool[2]) for tool in said["tools"]] for said in (got, want)]
    equal(arguments[0], arguments[1], what + ": arguments")
    equal([t[:2] for t in got["tools"]], [t[:2] for t in want["tools"]], what + ": tools")
    for name in ("id", "model", "text", "thinking", "signature", "finish"):
        equal(got[name], want[name], "%s: %s" % (what, name))
    if "created" in want:
        equal(got.get("created"), want["created"], what + ": created")


def first_answer(asker, up, how, text, kind):
    said = asker.ask(how, text, kind)
    equal(up.count(text), 1, "calls after the first answer")
    equal(said["finish"], FINISH[asker.api][kind], "finish")
    if kind == "tools":
        check([t[1] for t in said["tools"]] == ["weather", "news"] and "Köln 1" in said["tools"][1][2], said)
    else:
        check(text in said["text"] and said["text"].endswith(TAIL), said)
    if kind == "thinking":
        check(said["signature"].endswith("+/=="), said)
    if how.startswith("raw"):
        equal(said["headers"].get("x-larder-hit"), "none", "x-larder-hit of the first answer")
    return said


def repeats(asker, up, how, text, kind, first, when):
    """The same form and the other one: both from the store, both the same."""
    for form in (how, OTHER[how]):
        what = "%s, %s after %s" % (when, form, how)
        said = asker.ask(form, text, kind)
        same(said, first, what)
        if form.startswith("raw"):
            equal(said["headers"].get("x-larder-hit"), "exact", what + ": x-larder-hit")
            check(said["headers"].get("age", "").isdigit(), what, "Age", said["headers"])
            check("larder; hit" in said["headers"].get("cache-status", ""), what, "Cache-Status", said["headers"])
            identifier = "x-request-id" if asker.api == "openai" else "request-id"
            check(said["headers"].get(identifier), what, identifier, said["headers"])
            if first["headers"]:
                check(said["headers"][identifier] != first["headers"][identifier], what, "the same", identifier)
        if form in ("stream", "raw_stream") and asker.api == "openai":
            equal(said["usage"] is not None, kind == "usage", what + ": a usage chunk came")
        equal(up.count(text), 1, what + ": calls")


def library_test(runtime, api, kinds, forms):
    @test("clients: %s of %s: %s" % (api, runtime, ", ".join(kinds)), limit=60)
    def run():
        up = upstream()
        box = Box(up)
        asker = Asker(runtime, api, box)
        cases = [(how, "question %s %s" % (how, kind), kind) for kind in kinds for how in forms]
        firsts = []
        for how, text, kind in cases:
            firsts.append(first_answer(asker, up, how, text, kind))
            repeats(asker, up, how, text, kind, firsts[-1], "online")
        up.vanish()
        for (how, text, kind), first in zip(cases, firsts):
            repeats(asker, up, how, text, kind, first, "upstream gone")
        box.wait_committed()
        box.kill9()
        box.start()
        for (how, text, kind), first in zip(cases, firsts):
            repeats(asker, up, how, text, kind, first, "after kill -9")
        equal(up.count(), len(cases), "all calls")


for name in RUNTIMES:
    if name != "python-old":
        library_test(name, "openai", ("plain", "usage", "tools"), ("object", "raw", "stream", "raw_stream", "helper"))
    else:
        library_test(name, "openai", ("plain", "usage", "tools"), ("raw", "raw_stream"))
    if name != "node openai6":
        library_test(name, "anthropic", ("plain", "thinking", "tools"),
                     ("object", "raw", "stream", "raw_stream", "helper"))


@test("clients: the same question of another language is a hit", limit=60)
def across_languages():
    up = upstream()
    box = Box(up)
    first = first_answer(Asker("python", "openai", box), up, "raw", "from python", "tools")
    for runtime in RUNTIMES:
        same(Asker(runtime, "openai", box).ask("raw_stream", "from python", "tools"), first, runtime)
    first = first_answer(Asker("node", "anthropic", box), up, "raw_stream", "from node", "tools")
    for runtime in ("python", "python async"):
        same(Asker(runtime, "anthropic", box).ask("raw", "from node", "tools"), first, runtime)
    equal(up.count(), 2, "calls")


@test("clients: another anthropic-version is another answer")
def versions_apart():
    up = upstream()
    box = Box(up)
    Asker("python", "anthropic", box).ask("raw", "which version")
    Asker("python-old", "anthropic", box).ask("raw", "which version")
    sent = {c.header("anthropic-version") for c in up.select("/v1/messages")}
    equal(up.count("which version"), len(sent), "calls for the versions %s" % sorted(sent))


@test("clients: the library's own retries stop when the box says so", limit=60)
def own_retries():
    up = upstream()
    box = Box(up, provider={"retry": {"attempts": 2, "base": "10ms", "max": "20ms"}})
    for runtime in ("python", "node"):
        for api, status in (("openai", 500), ("anthropic", 529)):
            asker = Asker(runtime, api, box)
            text = "broken %s %s" % (runtime, api)
            said = asker.worker.run(api=api, how="object", base_url=box.url("/v1" if api == "openai" else ""),
                                    key=harness.KEY, max_retries=2,
                                    params=asker.params(text + " [[status=%d]]" % status, "plain"))
            equal((said["ok"], said["status"]), (False, status), text)
            equal(up.count(text), 2, "calls: two attempts of the box, none of the library beyond")


@test("clients: errors of the provider keep their class and words", limit=60)
def errors():
    up = upstream()
    box = Box(up, provider={"retry": {"attempts": 1}})
    wanted = {"openai": {400: "BadRequestError", 401: "AuthenticationError", 403: "PermissionDeniedError",
                         404: "NotFoundError", 429: "RateLimitError", 500: "InternalServerError"},
              "anthropic": {400: "BadRequestError", 401: "AuthenticationError", 404: "NotFoundError",
                            429: "RateLimitError", 500: "InternalServerError", 529: "OverloadedError"}}
    for runtime in ("python", "node"):
        for api, classes in wanted.items():
            asker = Asker(runtime, api, box)
            for status, name in classes.items():
                params = asker.params("error %s [[status=%d]]" % (runtime, status), "plain")
                job = {"api": api, "how": "object", "key": harness.KEY, "params": params}
                said = asker.worker.run(base_url=box.url("/v1" if api == "openai" else ""), **job)
                direct = asker.worker.run(base_url=box.url("/v1" if api == "openai" else ""), **job)
                for one in (said, direct):
                    equal((one["ok"], one["status"]), (False, status), "%s %s" % (runtime, api))
                    check(one["class"] in (name, "InternalServerError"), runtime, api, status, one["class"])
                    check(one["request_id"], runtime, api, status, "has no request id", one)
                check("Rate limit reached" in said["message"] or status != 429 or api != "openai", said["message"])


@test("clients: OpenAI's models and Anthropic's models are listed by the libraries", limit=60)
def models():
    up = upstream()
    box = Box(up)
    for runtime in ("python", "node"):
        for api, expected in (("openai", "gpt-test-mini"), ("anthropic", "claude-test-2")):
            listed = Asker(runtime, api, box).worker.run(
                api=api, how="models", base_url=box.url("/v1" if api == "openai" else ""), key=harness.KEY, params={})
            check(listed["ok"], listed)
            check(expected in listed["models"] and "larder" in listed["models"], api, runtime, listed["models"])


# ---- browser-style fetch -------------------------------------------------------------------------------------------

def fetch(box, path, origin=None, method="POST", body=None, **headers):
    head = {name.replace("_", "-"): value for name, value in headers.items()}
    if origin:
        head["origin"] = origin
    if body is not None:
        head["content-type"] = "application/json"
        head["authorization"] = "Bearer " + harness.KEY
    said = worker("node").run(api="fetch", url=box.url(path), method=method, headers=head,
                              body=json.dumps(body) if body is not None else None)
    check(said["ok"], said)
    return said


@test("clients: a browser of a foreign origin is refused")
def foreign_origin():
    up = upstream()
    box = Box(up)
    body = harness.chat_body("from a page")
    said = fetch(box, "/v1/chat/completions", "https://evil.example", body=body)
    equal(said["status"], 403, "status for a foreign Origin")
    check("error" in json.loads(said["body"]), said)
    check("access-control-allow-origin" not in said["headers"], said["headers"])
    said = fetch(box, "/v1/chat/completions", "https://evil.example", method="OPTIONS",
                 access_control_request_method="POST", access_control_request_headers="authorization,content-type")
    check("access-control-allow-origin" not in said["headers"], said["headers"])
    equal(up.count(), 0, "calls")
    equal(fetch(box, "/v1/chat/completions", body=body)["status"], 200, "status without Origin")


@test("clients: a browser of an allowed origin gets its answer, preflight included")
def allowed_origin():
    up = upstream()
    origin = "https://app.example"
    box = Box(up, {"access": {"cors": [origin]}})
    said = fetch(box, "/v1/chat/completions", origin, method="OPTIONS", access_control_request_method="POST",
                 access_control_request_headers="authorization,content-type,x-stainless-lang")
    check(said["status"] in (200, 204), said)
    equal(said["headers"].get("access-control-allow-origin"), origin, "allow-origin of the preflight")
    check("POST" in said["headers"].get("access-control-allow-methods", ""), said["headers"])
    allowed = said["headers"].get("access-control-allow-headers", "").lower()
    for name in ("authorization", "content-type", "x-stainless-lang"):
        check(allowed == "*" or name in allowed, "allow-headers", allowed)
    for count in range(2):
        for stream in (False, True):
            said = fetch(box, "/v1/chat/completions", origin, body=harness.chat_body("from a page", stream))
            equal(said["status"], 200)
            equal(said["headers"].get("access-control-allow-origin"), origin, "allow-origin of the reply")
            check("Answer #1 " in said["body"] or stream, count, said["body"])
    equal(up.count(), 1, "calls")
    said = fetch(box, "/v1/chat/completions", "https://evil.example", body=harness.chat_body("from a page"))
    equal(said["status"], 403, "another origin")


if __name__ == "__main__":
    harness.main()
