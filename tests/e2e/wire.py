# SPDX-License-Identifier: Apache-2.0
"""What the two providers put on the wire, as plain data: objects, stream events, errors, headers.

Every answer holds the serial number of its call, so that a repeat from a store is provable. Content always holds
multi-byte characters, quotes and a backslash, so that careless copying shows.
"""

import hashlib
import json
import re

DIRECTIVE = re.compile(r"\[\[([a-z_]+)(?:=([^\]]*))?\]\]")
TAIL = " — déjà vu, größer, 日本語 😀, \"quoted\", back\\slash."


def short(*parts):
    return hashlib.sha256("/".join(str(p) for p in parts).encode()).hexdigest()


def padding(size, seed):
    """Words that no compressor makes much smaller."""
    words = []
    while size > 0:
        seed = short(seed)
        words.append(seed)
        size -= len(seed) + 1
    return "".join(" " + word for word in words)


def directives(text):
    """`[[slow=2]] [[tool]]` in a prompt steers the answer: {"slow": "2", "tool": ""}."""
    return {name: value for name, value in DIRECTIVE.findall(text or "")}


def plain_question(text):
    return " ".join(DIRECTIVE.sub("", text or "").split())


def content_text(content):
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return " ".join(part.get("text", "") for part in content if isinstance(part, dict) and
                        part.get("type") in ("text", "input_text"))
    return ""


def last_user_text(body):
    """The text of the last user message of either dialect ('' when there is none)."""
    if not isinstance(body, dict):
        return ""
    messages = body.get("messages")
    if not isinstance(messages, list):
        given = body.get("input")
        return given if isinstance(given, str) else ""
    for message in reversed(messages):
        if isinstance(message, dict) and message.get("role") == "user":
            text = content_text(message.get("content"))
            if text:
                return text
    return ""


class Answer:
    """What is said, before it takes a dialect's form."""

    def __init__(self, serial, name, body, steer):
        self.serial = serial
        self.steer = steer
        self.model = body.get("model", "unknown")
        self.created = 1_760_000_000 + serial
        self.key = short(name, serial)
        self.text = self._text(serial, name, plain_question(last_user_text(body)))
        self.tools = self._tools(body)
        self.thinking = "Let me think about call %d: ½ + ½ = 1." % serial if "think" in steer else None
        self.signature = "EqQBCkYIBBgCKkD" + self.key[:32] + "+/=="
        self.prompt_tokens = 7 + len(json.dumps(body.get("messages", ""))) // 4
        self.output_tokens = max(1, len(self.text) // 4)

    def _text(self, serial, name, question):
        if "empty" in self.steer:
            return ""
        if "say" in self.steer:             # only by Upstream.force: these words and no others
            return self.steer["say"]
        text = "Answer #%d of %s to: %s%s" % (serial, name, question[:160], TAIL)
        if "tokens" in self.steer:
            text += "".join(" token%d" % i for i in range(int(self.steer["tokens"])))
        if "size" in self.steer:
            text += padding(int(self.steer["size"]) - len(text), self.key)
        return text

    def _tools(self, body):
        given = body.get("tools")
        if "tool" not in self.steer or not given:
            return []
        names = [t.get("name") or t.get("function", {}).get("name") for t in given if isinstance(t, dict)]
        count = int(self.steer["tool"] or 1)
        return [{"id": self.key[40 + i:64] + self.key[:i], "name": names[i % len(names)],
                 "arguments": '{"city": "Köln %d",  "zoom": 1.0, "n": [1, 2]}' % i} for i in range(count)]

    def pieces(self):
        """The text in token-like pieces; joined they are the text."""
        return re.findall(r"\s*\S{1,6}|\s+$", self.text)


# ---- OpenAI --------------------------------------------------------------------------------------------------------

def openai_finish(answer):
    if answer.tools:
        return "tool_calls"
    for name, reason in (("length", "length"), ("filter", "content_filter")):
        if name in answer.steer:
            return reason
    return "stop"


def openai_usage(answer, choices=1):
    output = answer.output_tokens * choices
    return {"prompt_tokens": answer.prompt_tokens, "completion_tokens": output,
            "total_tokens": answer.prompt_tokens + output,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0, "accepted_prediction_tokens": 0,
                                          "rejected_prediction_tokens": 0}}


def _openai_call_id(tool):
    return "call_" + tool["id"]


def openai_object(answer, body):
    refused = "refuse" in answer.steer
    message = {"role": "assistant", "content": None if answer.tools or refused else answer.text}
    if answer.tools:
        message["tool_calls"] = [{"id": _openai_call_id(t), "type": "function",
                                  "function": {"name": t["name"], "arguments": t["arguments"]}} for t in answer.tools]
    message["refusal"] = "I can't help with that (%d)." % answer.serial if refused else None
    message["annotations"] = []
    count = int(body.get("n") or 1)
    choices = [{"index": i, "message": dict(message, content=message["content"] + " Choice %d." % i)
                if i and message["content"] else message, "logprobs": None,
                "finish_reason": openai_finish(answer)} for i in range(count)]
    return {"id": "chatcmpl-" + answer.key[:29], "object": "chat.completion", "created": answer.created,
            "model": answer.model, "choices": choices, "usage": openai_usage(answer, count),
            "service_tier": "default", "system_fingerprint": "fp_" + answer.key[:12]}


def _openai_deltas(answer, index):
    if answer.tools:
        for position, tool in enumerate(answer.tools):
            head = {"index": position, "id": _openai_call_id(tool), "type": "function",
                    "function": {"name": tool["name"], "arguments": ""}}
            if position == 0:
                yield {"role": "assistant", "content": None, "tool_calls": [head], "refusal": None}
            else:
                yield {"tool_calls": [head]}
            for piece in re.findall(r".{1,7}", tool["arguments"], re.S):
                yield {"tool_calls": [{"index": position, "function": {"arguments": piece}}]}
        return
    yield {"role": "assistant", "content": "", "refusal": None}
    if "refuse" in answer.steer:
        yield {"refusal": "I can't help with that (%d)." % answer.serial}
        return
    for piece in answer.pieces():
        yield {"content": piece}
    if index:
        yield {"content": " Choice %d." % index}


def openai_events(answer, body):
    """The stream as a list of (event name or None, data text)."""
    options = body.get("stream_options") or {}
    usage_asked = bool(options.get("include_usage"))
    base = {"id": "chatcmpl-" + answer.key[:29], "object": "chat.completion.chunk", "created": answer.created,
            "model": answer.model, "service_tier": "default", "system_fingerprint": "fp_" + answer.key[:12]}
    extra = {"usage": None} if usage_asked else {}
    if options.get("include_obfuscation", True):
        extra["obfuscation"] = answer.key[:9]

    def chunk(index, delta, finish):
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
        return (None, dump(dict(base, choices=[choice], **extra)))

    events = []
    count = int(body.get("n") or 1)
    for index in range(count):
        events += [chunk(index, delta, None) for delta in _openai_deltas(answer, index)]
    if "error_event" in answer.steer:
        return events[:int(answer.steer["error_event"] or 3)] + [(None, dump(openai_error(500, "gpt")[0]))]
    if "no_end" in answer.steer:
        return events
    events += [chunk(index, {}, openai_finish(answer)) for index in range(count)]
    if usage_asked:
        events.append((None, dump(dict(base, choices=[], **dict(extra, usage=openai_usage(answer, count))))))
    if "no_done" not in answer.steer:
        events.append((None, "[DONE]"))
    return events


def openai_error(status, model, key="sk-…"):
    """(body, extra headers) of an authentic error."""
    bodies = {
        400: ("Invalid type for 'messages[0].content': expected one of a string or array of objects, but got an "
              "integer instead.", "invalid_request_error", "messages[0].content", "invalid_type"),
        401: ("Incorrect API key provided: %s. You can find your API key at "
              "https://platform.openai.com/account/api-keys." % key, "invalid_request_error", None, "invalid_api_key"),
        403: ("Country, region, or territory not supported", "request_forbidden", None,
              "unsupported_country_region_territory"),
        404: ("The model `%s` does not exist or you do not have access to it." % model, "invalid_request_error", None,
              "model_not_found"),
        413: ("Request body too large.", "invalid_request_error", None, None),
        429: ("Rate limit reached for %s in organization org-larder on tokens per min (TPM): Limit 30000." % model,
              "tokens", None, "rate_limit_exceeded"),
        500: ("The server had an error while processing your request. Sorry about that!", "server_error", None, None),
        503: ("The engine is currently overloaded, please try again later", "server_error", None, None),
    }
    message, kind, param, code = bodies.get(status, ("Status %d" % status, "server_error", None, None))
    extra = [("x-ratelimit-remaining-tokens", "0")] if status == 429 else []
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}, extra


def openai_headers(serial, key):
    return [("access-control-expose-headers", "X-Request-ID"), ("openai-organization", "org-larder"),
            ("openai-processing-ms", str(100 + serial)), ("openai-project", "proj_larder"),
            ("openai-version", "2020-10-01"), ("x-envoy-upstream-service-time", "412"),
            ("x-ratelimit-limit-requests", "10000"), ("x-ratelimit-limit-tokens", "30000"),
            ("x-ratelimit-remaining-requests", str(9999 - serial)), ("x-ratelimit-remaining-tokens", "29971"),
            ("x-ratelimit-reset-requests", "8.64s"), ("x-ratelimit-reset-tokens", "58ms"),
            ("x-request-id", "req_" + key[:32]), ("x-openai-proxy-wasm", "v0.1"), ("cf-cache-status", "DYNAMIC"),
            ("set-cookie", "__cf_bm=%s; path=/; HttpOnly; Secure; SameSite=None" % key[:20]),
            ("set-cookie", "_cfuvid=%s; path=/; HttpOnly; Secure" % key[20:30]),
            ("strict-transport-security", "max-age=31536000; includeSubDomains; preload"),
            ("x-content-type-options", "nosniff"), ("server", "cloudflare"), ("cf-ray", key[:16] + "-FRA"),
            ("alt-svc", 'h3=":443"; ma=86400')]


def openai_models():
    names = ["gpt-test", "gpt-test-mini", "text-embedding-test"]
    return {"object": "list", "data": [{"id": n, "object": "model", "created": 1_700_000_000 + i,
                                        "owned_by": "system"} for i, n in enumerate(names)]}


# ---- Anthropic -----------------------------------------------------------------------------------------------------

def anthropic_stop(answer):
    if answer.tools:
        return "tool_use"
    for name, reason in (("length", "max_tokens"), ("refuse", "refusal"), ("sequence", "stop_sequence"),
                         ("pause", "pause_turn")):
        if name in answer.steer:
            return reason
    return "end_turn"


def anthropic_blocks(answer):
    blocks = []
    if answer.thinking:
        blocks.append({"type": "thinking", "thinking": answer.thinking, "signature": answer.signature})
    if answer.text and "refuse" not in answer.steer:
        blocks.append({"type": "text", "text": answer.text})
    for tool in answer.tools:
        blocks.append({"type": "tool_use", "id": "toolu_" + tool["id"], "name": tool["name"],
                       "input": json.loads(tool["arguments"])})
    return blocks


def _anthropic_usage(answer, output):
    return {"input_tokens": answer.prompt_tokens, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0,
            "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
            "output_tokens": output, "service_tier": "standard"}


def anthropic_object(answer, body):
    stop = anthropic_stop(answer)
    return {"model": answer.model, "id": "msg_01" + answer.key[:22], "type": "message", "role": "assistant",
            "content": anthropic_blocks(answer), "stop_reason": stop,
            "stop_sequence": "END" if stop == "stop_sequence" else None,
            "usage": _anthropic_usage(answer, answer.output_tokens)}


def _anthropic_block_deltas(block, answer):
    if block["type"] == "thinking":
        for piece in re.findall(r".{1,9}", block["thinking"], re.S):
            yield {"type": "thinking_delta", "thinking": piece}
        yield {"type": "signature_delta", "signature": block["signature"]}
    elif block["type"] == "text":
        for piece in answer.pieces():
            yield {"type": "text_delta", "text": piece}
    else:
        arguments = next(t["arguments"] for t in answer.tools if "toolu_" + t["id"] == block["id"])
        for piece in [""] + re.findall(r".{1,7}", arguments, re.S):
            yield {"type": "input_json_delta", "partial_json": piece}


def _anthropic_block_start(block):
    empty = {"thinking": {"type": "thinking", "thinking": "", "signature": ""}, "text": {"type": "text", "text": ""}}
    if block["type"] == "tool_use":
        return dict(block, input={})
    return empty[block["type"]]


def anthropic_events(answer, body):
    """The stream as a list of (event name, data text)."""
    start = dict(anthropic_object(answer, body), content=[], stop_reason=None, stop_sequence=None,
                 usage=_anthropic_usage(answer, 1))
    events = [{"type": "message_start", "message": start}]
    for index, block in enumerate(anthropic_blocks(answer)):
        events.append({"type": "content_block_start", "index": index, "content_block": _anthropic_block_start(block)})
        if index == 0:
            events.append({"type": "ping"})
        for delta in _anthropic_block_deltas(block, answer):
            events.append({"type": "content_block_delta", "index": index, "delta": delta})
        events.append({"type": "content_block_stop", "index": index})
    if "error_event" in answer.steer:
        del events[int(answer.steer["error_event"] or 3):]
        events.append(anthropic_error(529, "claude")[0])
    elif "no_end" not in answer.steer:
        stop = anthropic_stop(answer)
        events.append({"type": "message_delta", "delta": {"stop_reason": stop, "stop_sequence":
                                                          "END" if stop == "stop_sequence" else None},
                       "usage": _anthropic_usage(answer, answer.output_tokens)})
        if "no_done" not in answer.steer:
            events.append({"type": "message_stop"})
    return [(e["type"], _padded(e)) for e in events]


def _padded(event):
    """This provider pads its events with blanks before the closing brace."""
    text = dump(event)
    return text[:-1] + " " * (len(text) % 7) + "}"


def anthropic_error(status, model, key=""):
    bodies = {400: ("invalid_request_error", "messages.0.content: Input should be a valid string"),
              401: ("authentication_error", "invalid x-api-key"),
              403: ("permission_error", "Your API key does not have permission to use the specified resource."),
              404: ("not_found_error", "model: %s" % model),
              413: ("request_too_large", "Request exceeds the maximum size"),
              429: ("rate_limit_error", "This request would exceed your account's rate limit."),
              500: ("api_error", "Internal server error"),
              529: ("overloaded_error", "Overloaded")}
    kind, message = bodies.get(status, ("api_error", "Status %d" % status))
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_011error"}, []


def anthropic_headers(serial, key):
    return [("anthropic-ratelimit-input-tokens-limit", "400000"),
            ("anthropic-ratelimit-input-tokens-remaining", str(400000 - serial)),
            ("anthropic-ratelimit-requests-limit", "4000"), ("anthropic-ratelimit-requests-remaining", "3999"),
            ("request-id", "req_011" + key[:21]), ("anthropic-organization-id", "larder-org"),
            ("strict-transport-security", "max-age=31536000; includeSubDomains; preload"),
            ("x-envoy-upstream-service-time", "812"), ("via", "1.1 google"), ("cf-cache-status", "DYNAMIC"),
            ("x-robots-tag", "none"), ("server", "cloudflare"), ("cf-ray", key[:16] + "-FRA"),
            ("set-cookie", "_cfuvid=%s; path=/; HttpOnly; Secure" % key[20:30])]


def anthropic_models():
    names = [("claude-test-2", "Claude Test 2"), ("claude-test-1", "Claude Test 1")]
    rows = [{"type": "model", "id": i, "display_name": d, "created_at": "2026-0%d-01T00:00:00Z" % (9 - n)}
            for n, (i, d) in enumerate(names)]
    return {"data": rows, "has_more": False, "first_id": rows[0]["id"], "last_id": rows[-1]["id"]}


def dump(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


# ---- streams as bytes ----------------------------------------------------------------------------------------------

def frame(event, odd=""):
    """One server-sent event as bytes; `odd` picks a legal but unusual spelling."""
    name, data = event
    lines = ["event: " + name] if name else []
    if odd == "multiline" and data.startswith("{"):
        data = json.dumps(json.loads(data), ensure_ascii=False, indent=1)
    if odd == "comment":
        lines.insert(0, ": keep-alive")
    if odd == "fields":
        lines = ["id: 7", "retry: 3000", "unknown: field"] + lines
    lines += [("data:" if odd == "nospace" else "data: ") + part for part in data.split("\n")]
    end = "\r\n" if odd == "crlf" else "\n"
    return (end.join(lines) + end + end).encode()


def frames(events, odd=""):
    """The events as the list of byte strings that are written one by one."""
    whole = [frame(event, odd) for event in events]
    if odd == "comment":
        whole.insert(1, b": PROCESSING\n\n")
    if odd == "byte":
        return [bytes([b]) for b in b"".join(whole)]
    if odd == "split":                      # three bytes at a time: borders fall inside characters
        flat = b"".join(whole)
        return [flat[i:i + 3] for i in range(0, len(flat), 3)]
    if odd == "join":
        return [b"".join(whole)]
    return whole


class OpenAI:
    name = "openai"
    object, events, error, headers = map(staticmethod, (openai_object, openai_events, openai_error, openai_headers))
    models = staticmethod(openai_models)

    @staticmethod
    def encode(value):                      # this provider indents its objects
        return (json.dumps(value, ensure_ascii=False, indent=2) + "\n").encode()


class Anthropic:
    name = "anthropic"
    object, events, error, headers = map(staticmethod, (anthropic_object, anthropic_events, anthropic_error,
                                                        anthropic_headers))
    models = staticmethod(anthropic_models)

    @staticmethod
    def encode(value):
        return dump(value).encode()
