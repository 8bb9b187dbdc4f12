# SPDX-License-Identifier: Apache-2.0
"""The frameworks and programs above the client libraries, unchanged, against the box: one row of CLIENTS each.

For each form a client speaks: the first answer comes from the provider, the next ones from the store; then the
provider is gone: what is stored is still served, and a new question gives the box's 503 as that client's own exception.
"""

import json
import os
import subprocess

import harness
from clients import need, worker
from harness import ROOT, Box, check, equal, plain_upstream, test
from upstream_more import more_upstream as upstream
from wire import TAIL

QUICK = {"retry": {"attempts": 1}}
OWN = "sk-the-box-own-key-0000"
FORMS = ("object", "stream", "tools", "tools_stream")
CHAT = ("object", "stream")
OTHER = {"object": "stream", "stream": "object", "tools": "tools_stream", "tools_stream": "tools"}


class Client:
    """One client: the process that holds it, the API it speaks, its forms, and what it raises at 503 and at 401."""

    def __init__(self, name, kind, api, raises, forms=FORMS, base=None, crossing=None, **job):
        self.name, self.kind, self.api, self.forms, self.raises, self.job = name, kind, api, forms, raises, job
        self.base = base if base is not None else "/v1" if api == "openai" else ""
        self.crossing = FORMS if crossing is None else crossing     # forms whose request is the other form's too

    def title(self):
        return "%s (%s)" % (self.name, self.api)

    def ask(self, box, how, text, **job):
        given = dict({"client": self.name, "api": self.api, "how": how, "key": harness.KEY,
                      "base_url": box.url(self.base), "text": text,
                      "model": "gpt-test" if self.api == "openai" else "claude-test-1"}, **self.job)
        return worker(self.kind).run(timeout=60, **dict(given, **job))


CLIENTS = [
    Client("langchain-openai", "python-more", "openai", ("OpenAIAPIError", "OpenAIAuthenticationError")),
    Client("langchain-anthropic", "python-more", "anthropic", ("AnthropicAPIError", "AnthropicAuthenticationError")),
    Client("llamaindex", "python-more", "openai", ("InternalServerError", "AuthenticationError"),
           ("object", "stream", "tools")),
    Client("litellm", "python-more", "openai", ("ServiceUnavailableError", "AuthenticationError")),
    Client("litellm", "python-more", "anthropic", ("ServiceUnavailableError", "AuthenticationError")),
    Client("instructor", "python-more", "openai", ("InstructorRetryException", "InstructorRetryException"), ("tools",)),
    Client("ai-sdk", "node-ai", "openai", ("AI_APICallError", "AI_APICallError")),
    # it adds eager_input_streaming to a tool when it streams: another request, and another answer
    Client("ai-sdk", "node-ai", "anthropic", ("AI_APICallError", "AI_APICallError"), base="/v1", crossing=CHAT),
    Client("ai-sdk responses", "node-ai", "openai", ("AI_APICallError", "AI_APICallError"), CHAT),
    Client("openai-go", "go", "openai", ("*openai.Error", "*openai.Error")),
    Client("go-openai", "go", "openai", ("*openai.APIError", "*openai.APIError")),
]

LIBRARIES = [("python", "openai", "InternalServerError"), ("python", "anthropic", "ServiceUnavailableError"),
             ("python-old", "openai", "InternalServerError"), ("python-old", "anthropic", "InternalServerError"),
             ("node", "openai", "InternalServerError"), ("node", "anthropic", "ServiceUnavailableError")]


def question(client, how):
    return "%s asks as %s%s" % (client.title(), how, " [[tool=1]]" if how.startswith("tools") else "")


def answered(client, box, how, text, **job):
    said = client.ask(box, how, text, **job)
    check(said["ok"], client.title(), how, said)
    return said


def same_answer(said, first, what):
    for name in ("text", "finish"):
        equal(said[name], first[name], "%s: %s" % (what, name))
    equal([tool_of(t) for t in said["tools"]], [tool_of(t) for t in first["tools"]], what + ": tools")


def tool_of(tool):
    name, arguments = tool
    return name, json.loads(arguments) if isinstance(arguments, str) else arguments


def first_answer(client, box, up, how):
    text = question(client, how)
    said = answered(client, box, how, text)
    equal(up.count(), up.before + 1, "calls after the first answer to %r" % text)
    up.before += 1
    if how.startswith("tools"):
        equal(len(said["tools"]), 1, "tools")
        name, arguments = tool_of(said["tools"][0])
        check(name.lower() == "weather" and arguments["city"] == "Köln 0", said)
    else:
        check("Answer #" in said["text"] and said["text"].endswith(TAIL), said)
    return said


def fails_as(client, box, how, text, status, which, words, **job):
    said = client.ask(box, how, text, **job)
    check(not said["ok"], client.title(), how, said)
    equal(said["class"], client.raises[which], "%s raises: %s" % (client.title(), said["message"]))
    if said["status"] is not None:
        equal(said["status"], status, client.title())
    check(words in said["message"], client.title(), said["message"])


def client_test(client):
    @test("more clients: %s: misses, hits, both forms, tools, without the provider" % client.title(), limit=90)
    def run():
        up = upstream()
        up.before = 0
        box = Box(up, provider=QUICK)
        firsts = {how: first_answer(client, box, up, how) for how in client.forms}
        for when in ("online", "provider gone"):
            for how, first in firsts.items():
                for form in (how, OTHER[how]):
                    if form == how or (form in client.forms and form in client.crossing):
                        what = "%s, %s, %s after %s" % (client.title(), when, form, how)
                        same_answer(answered(client, box, form, question(client, how)), first, what)
            equal(up.count(), len(firsts), "calls, " + when)
            up.vanish()
        for how in client.forms[:2]:
            fails_as(client, box, how, "new " + how, 503, 0, "The box is offline")


for row in CLIENTS:
    client_test(row)


@test("more clients: without the provider the libraries of both raise their own exceptions, once", limit=60)
def libraries_offline():
    up = upstream()
    box = Box(up, provider=QUICK)
    up.vanish()
    for kind, api, raised in LIBRARIES:
        params = {"model": "m-test", "messages": [{"role": "user", "content": "new of " + kind}]}
        if api == "anthropic":
            params["max_tokens"] = 100
        said = worker(kind).run(api=api, how="object", base_url=box.url("/v1" if api == "openai" else ""),
                                key=harness.KEY, max_retries=2, params=params)
        equal((said["ok"], said.get("status"), said.get("class")), (False, 503, raised), "%s of %s" % (api, kind))
        check("The box is offline" in said["message"], said)
        equal(said["headers"].get("x-should-retry"), "false", "x-should-retry")


@test("more clients: the same question of another framework and language is a hit", limit=90)
def across():
    up = upstream()
    box = Box(up)
    alike = [c for c in CLIENTS if c.api == "openai" and c.name in
             ("langchain-openai", "litellm", "ai-sdk", "openai-go", "go-openai")]
    first = answered(alike[0], box, "stream", "which capital")
    for client in alike:
        for how in CHAT:
            equal(answered(client, box, how, "which capital")["text"], first["text"], client.title())
    equal(up.count(), 1, "calls")


@test("more clients: a virtual key in each: the box's key goes up, theirs never does", limit=90)
def virtual_keys():
    up = upstream()
    box = Box(up, provider={"key": OWN})
    key = box.add_tenant("kiosk")
    for number, client in enumerate(CLIENTS):
        how = client.forms[0]
        texts = [answered(client, box, how, question(client, how), key=key)["text"] for _ in range(2)]
        equal(texts[0], texts[1], client.title())
        equal(up.count(), number + 1, "calls after " + client.title())
        equal(up.calls[-1].key(), OWN, "credential upstream of " + client.title())
        check(key.encode() not in up.calls[-1].raw_head + up.calls[-1].body, "the virtual key left the box")


@test("more clients: the provider's 401 is each one's own exception, with the words they look for", limit=90)
def denied():
    up = upstream()
    box = Box(up, provider=QUICK)
    key = "sk-refused-0123456789"
    up.denied.add(key)
    for client in CLIENTS:
        words = "Incorrect API key provided" if client.api == "openai" else "invalid x-api-key"
        fails_as(client, box, client.forms[0], question(client, client.forms[0]), 401, 1, words, key=key)


@test("more clients: embeddings in base64 and in float are the same numbers to each client", limit=90)
def embeddings():
    box = Box(upstream(), {"semantic": {"embedder": "ngram"}})
    key = box.add_tenant("kiosk")
    vectors = {}
    for name in ("langchain-openai", "llamaindex", "litellm", "ai-sdk", "openai-go", "go-openai"):
        client = next(c for c in CLIENTS if c.name == name)
        vectors[name] = answered(client, box, "embed", "Wie wird das Wetter?", model="larder/ngram", key=key)["vector"]
    first = vectors["openai-go"]
    check(len(first) > 100 and any(first), "a vector", first[:5])
    for name, vector in vectors.items():
        equal(len(vector), len(first), "dimensions in " + name)
        check(max(abs(a - b) for a, b in zip(vector, first)) < 1e-6, name, vector[:5], first[:5])


# ---- programs ------------------------------------------------------------------------------------------------------

def environment(folder, env):
    return dict({"PATH": os.environ["PATH"], "HOME": folder}, **(env or {}))


def program(command, folder, env=None, code=0, timeout=60):
    done = subprocess.run(command, cwd=folder, env=environment(folder, env), stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=timeout, check=False)
    check((done.returncode == 0) == (code == 0), command, done.returncode, done.stdout[-2000:], done.stderr[-2000:])
    return done.stdout if code == 0 else done.stdout + done.stderr


def program_until(words, command, folder, env=None):
    """What a program printed until these words came; then it is ended. None when it ends without them."""
    running = subprocess.Popen(command, cwd=folder, env=environment(folder, env), stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                               preexec_fn=harness.die_with_parent)
    printed = ""
    with running:
        for line in running.stdout:
            printed = " ".join((printed + " " + line).split())
            if words in printed:
                running.kill()
                return printed
    raise AssertionError("it never said %r: %s" % (words, printed))


class Llm:
    """The `llm` command with a model of ours in its configuration."""

    def __init__(self, box, key=None):
        self.folder = os.path.join(box.folder, "llm")
        os.makedirs(self.folder, exist_ok=True)
        self.words = ["--key", key] if key else []
        with open(os.path.join(self.folder, "extra-openai-models.yaml"), "w", encoding="utf-8") as out:
            out.write("- model_id: boxed\n  model_name: gpt-test\n  api_base: %s\n" % box.url("/v1"))
            if key:
                out.write("  api_key_name: boxed\n")

    def ask(self, text, *words, code=0):
        command = need(os.path.join(ROOT, "build", "venv-more", "bin", "llm"), "run tests/e2e/run.sh")
        return program([command, "-m", "boxed", "-n", text, *self.words, *words], self.folder,
                       {"LLM_USER_PATH": self.folder}, code)


@test("more clients: the llm command: misses, hits, both forms, without the provider", limit=90)
def llm_command():
    up = upstream()
    box = Box(up, provider=QUICK)
    llm = Llm(box, harness.KEY)
    first = llm.ask("from a shell")
    check("Answer #1 " in first, first)
    equal(llm.ask("from a shell", "--no-stream"), first, "as object after stream")
    up.vanish()
    equal(llm.ask("from a shell"), first, "provider gone")
    said = llm.ask("a new one", code=1)
    check("The box is offline" in said and "Traceback" not in said, said)
    equal(up.count(), 1, "calls")


@test("more clients: the DUMMY_KEY of llm is no credential: a LAN server answers, the internet's is never asked",
      limit=90)
def llm_without_key():
    lan = plain_upstream()
    lan.needs_key = False
    box = Box(lan, provider={"passthrough": False})
    llm = Llm(box)
    equal(llm.ask("at home"), llm.ask("at home", "--no-stream"), "the same answer")
    equal((lan.count(), lan.calls[0].header("authorization")), (1, None), "calls, credential")
    up = upstream()
    said = Llm(Box(up)).ask("outside", code=1)
    check("key" in said.lower() and "DUMMY_KEY" not in said, said)
    equal(up.count(), 0, "calls with a place-holder for a key")


class Aider:
    """The coding agent, asked once for an edit of one file in a repository of its own."""

    WORDS = ["--yes-always", "--no-auto-commits", "--no-gitignore", "--no-check-update", "--no-show-model-warnings",
             "--no-show-release-notes", "--analytics-disable", "--no-detect-urls", "--no-pretty", "--edit-format",
             "whole", "--map-tokens", "0"]
    ENV = {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    BEFORE, AFTER = "print('hello')\n", "print('hello, world')\n"
    SAID = "Here it is:\n\nhello.py\n```\n" + AFTER + "```\n"

    def __init__(self, box, key):
        self.folder = os.path.join(box.folder, "repository")
        self.file = os.path.join(self.folder, "hello.py")
        self.words = ["--model", "openai/gpt-test", "--openai-api-base", box.url("/v1"), "--openai-api-key", key]
        prices = os.path.join(self.folder, ".aider", "caches")          # else it fetches them from the internet
        os.makedirs(prices)
        with open(os.path.join(prices, "model_prices_and_context_window.json"), "w", encoding="utf-8") as out:
            out.write('{"gpt-test": {}}')
        self.reset()
        for words in (["init", "-q"], ["add", "hello.py"],
                      ["-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "-qm", "begin"]):
            program(["git", *words], self.folder)

    def reset(self):
        with open(self.file, "w", encoding="utf-8") as out:
            out.write(self.BEFORE)

    def command(self, message, *words):
        made = need(os.path.join(ROOT, "build", "venv-aider", "bin", "aider"), "run tests/e2e/run.sh")
        return [made, *self.words, *self.WORDS, *words, "--message", message, "hello.py"]

    def edit(self, message, *words):
        """The file after it ran."""
        self.reset()
        program(self.command(message, *words), self.folder, self.ENV, timeout=100)
        with open(self.file, encoding="utf-8") as text:
            return text.read()


@test("more clients: a coding agent (aider) edits a file, again from the store, and without the provider", limit=180)
def coding_agent():
    up = upstream()
    box = Box(up, provider=QUICK)
    aider = Aider(box, harness.KEY)
    up.force = {"say": Aider.SAID}
    greet = "Make hello.py greet the world."
    equal(aider.edit(greet), Aider.AFTER, "the file after the first run")
    equal(up.count(), 1, "calls")
    equal(aider.edit(greet, "--no-stream"), Aider.AFTER, "the file, from the store, without streaming")
    up.vanish()
    equal(aider.edit(greet), Aider.AFTER, "the file, without the provider")
    aider.reset()
    said = program_until("The box is offline", aider.command("Something else."), aider.folder, Aider.ENV)
    check("litellm.ServiceUnavailableError" in said, said)
    equal(up.count(), 1, "calls")


if __name__ == "__main__":
    harness.main()
