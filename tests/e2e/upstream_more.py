# SPDX-License-Identifier: Apache-2.0
"""The endpoints besides chat and messages, as the providers speak them: embeddings, moderations, legacy completions,
responses, token counts. Marks in a prompt steer as in upstream.py where they make sense."""

import base64
import hashlib
import json
import struct

import tap
import wire
from harness import certs
from upstream import Connection, Upstream

DIM = 6


def vector(text, dimensions=None):
    """Float32 numbers that only this input has."""
    numbers = []
    for at in range(dimensions or DIM):
        digest = hashlib.sha256(("%s/%d" % (text, at)).encode()).digest()
        numbers.append(struct.unpack("<f", struct.pack("<f", struct.unpack("<i", digest[:4])[0] / 2**31))[0])
    return numbers


class MoreConnection(Connection):
    async def answer(self, call):
        made = {"/embeddings": self.embeddings, "/moderations": self.moderations, "/completions": self.completions,
                "/count_tokens": self.count_tokens, "/responses": self.responses}
        name = next((name for name in made if call.path.endswith("/v1" + name) or
                     call.path.endswith("/messages" + name)), None)
        if not name or call.method != "POST":
            await super().answer(call)
            return
        dialect = self.up.dialect_of(call)
        call.steer = dict(wire.directives(prompt_of(call.json)), **self.up.force)
        await self.before_head(call)
        status = self.up.status_of(call)
        if status:
            await self.error(call, dialect, status)
        else:
            await made[name](call, dialect)

    async def say(self, call, dialect, value):
        await self.whole(call, 200, self.common(call, dialect, "application/json"), dialect.encode(value))

    async def embeddings(self, call, dialect):
        asked = call.json["input"]
        inputs = asked if isinstance(asked, list) and not isinstance(asked[0], int) else [asked]
        rows = []
        for index, one in enumerate(inputs):
            numbers = vector(json.dumps(one), call.json.get("dimensions"))
            if call.json.get("encoding_format") == "base64":
                numbers = base64.b64encode(struct.pack("<%df" % len(numbers), *numbers)).decode()
            rows.append({"object": "embedding", "index": index, "embedding": numbers})
        if "odd_rows" in self.up.force:
            rows = rows[1:]
        if "reverse" in self.up.force:      # `index` tells, not the order
            rows.reverse()
        tokens = 5 * len(inputs)
        await self.say(call, dialect, {"object": "list", "data": rows, "model": call.json["model"] + "-2026",
                                       "usage": {"prompt_tokens": tokens, "total_tokens": tokens}})

    async def moderations(self, call, dialect):
        await self.say(call, dialect, {"id": "modr-%d" % call.serial, "model": "omni-moderation-latest",
                                       "results": [{"flagged": "knife" in str(call.json["input"]),
                                                    "categories": {"violence": False},
                                                    "category_scores": {"violence": 0.01}}]})

    async def count_tokens(self, call, dialect):
        await self.say(call, dialect, {"input_tokens": 1000 + call.serial})

    async def completions(self, call, dialect):
        answer = wire.Answer(call.serial, self.up.name, {"model": call.json["model"], "messages": [
            {"role": "user", "content": prompt_of(call.json)}]}, call.steer)
        base = {"id": "cmpl-" + answer.key[:24], "object": "text_completion", "created": answer.created,
                "model": answer.model}
        count = len(call.json["prompt"]) if isinstance(call.json["prompt"], list) else 1
        usage = {"prompt_tokens": 9, "completion_tokens": answer.output_tokens, "total_tokens": 9 + answer.output_tokens}
        said = ["%d: %s" % (i, answer.text) if answer.text else "" for i in range(count)]
        finish = "length" if "length" in call.steer else "stop"
        if not call.json.get("stream"):
            choices = [{"text": said[i], "index": i, "logprobs": None, "finish_reason": finish}
                       for i in range(count)]
            await self.say(call, dialect, dict(base, choices=choices, usage=usage))
            return
        asked = (call.json.get("stream_options") or {}).get("include_usage")
        events = []
        for i in range(count):
            for at in range(0, len(said[i]), 9):
                events.append([{"text": said[i][at:at + 9], "index": i, "logprobs": None, "finish_reason": None}])
            events.append([{"text": "", "index": i, "logprobs": None, "finish_reason": finish}])
        chunks = [(None, wire.dump(dict(base, choices=c, **({"usage": None} if asked else {})))) for c in events]
        if asked:
            chunks.append((None, wire.dump(dict(base, choices=[], usage=usage))))
        await self.events(call, dialect, chunks + [(None, "[DONE]")])

    async def responses(self, call, dialect):
        answer = wire.Answer(call.serial, self.up.name, {"model": call.json["model"], "messages": [
            {"role": "user", "content": prompt_of(call.json)}], "tools": call.json.get("tools")}, call.steer)
        whole = response_object(answer, call.json)
        if call.json.get("stream"):
            await self.events(call, dialect, response_events(whole))
        else:
            await self.say(call, dialect, whole)

    async def events(self, call, dialect, events):
        headers = self.common(call, dialect, "text/event-stream; charset=utf-8") + [("transfer-encoding", "chunked")]
        await self.head(200, headers)
        for count, piece in enumerate(wire.frames(events, call.steer.get("odd", ""))):
            if count == int(call.steer.get("cut") or -1):
                await self.cut("cut")
            if count == int(call.steer.get("clean") or -1):
                break
            await self.chunk(piece)
            call.events_sent = count + 1
        await self.write(b"0\r\n\r\n")


def prompt_of(body):
    """The text that is asked about, of any of these endpoints."""
    if not isinstance(body, dict):
        return ""
    given = body.get("prompt") or body.get("input") or wire.last_user_text(body)
    if isinstance(given, list):
        texts = [one if isinstance(one, str) else wire.content_text(one.get("content")) for one in given
                 if isinstance(one, (str, dict))]
        given = texts[-1] if texts else ""
    return given if isinstance(given, str) else ""


def response_object(answer, body):
    """A whole response as POST /v1/responses gives it."""
    short = answer.key[:30]
    items = []
    if answer.thinking:
        items.append({"id": "rs_" + short, "type": "reasoning",
                      "summary": [{"type": "summary_text", "text": answer.thinking}]})
    for tool in answer.tools:
        items.append({"id": "fc_" + tool["id"], "type": "function_call", "status": "completed", "name": tool["name"],
                      "call_id": "call_" + tool["id"], "arguments": tool["arguments"]})
    if not answer.tools:
        part = {"type": "output_text", "text": answer.text, "annotations": [], "logprobs": []}
        if "refuse" in answer.steer:
            part = {"type": "refusal", "refusal": "I cannot."}
        items.append({"id": "msg_" + short, "type": "message", "status": "completed", "role": "assistant",
                      "content": [part]})
    status = "incomplete" if "length" in answer.steer else "completed"
    return {"id": "resp_" + short, "object": "response", "created_at": answer.created, "status": status, "error": None,
            "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
            "instructions": body.get("instructions"), "metadata": {}, "model": answer.model, "output": items,
            "parallel_tool_calls": True, "temperature": 1.0, "tool_choice": "auto", "tools": body.get("tools") or [],
            "top_p": 1.0, "max_output_tokens": None, "previous_response_id": body.get("previous_response_id"),
            "reasoning": {"effort": None, "summary": None}, "store": body.get("store", True),
            "text": {"format": {"type": "text"}}, "truncation": "disabled",
            "usage": {"input_tokens": 9, "input_tokens_details": {"cached_tokens": 2}, "output_tokens": 11,
                      "output_tokens_details": {"reasoning_tokens": 3}, "total_tokens": 20}, "user": None}


def response_events(whole):
    """The typed events of a response, numbered."""
    said = []

    def event(kind, **members):
        said.append((kind, wire.dump(dict({"type": kind, "sequence_number": len(said)}, **members))))

    begun = dict(whole, status="in_progress", output=[], usage=None, incomplete_details=None)
    event("response.created", response=begun)
    event("response.in_progress", response=begun)
    for at, item in enumerate(whole["output"]):
        empty = {"message": {"content": []}, "function_call": {"arguments": ""}, "reasoning": {"summary": []}}
        event("response.output_item.added", output_index=at,
              item=dict(item, **empty[item["type"]], **({"status": "in_progress"} if "status" in item else {})))
        place = {"item_id": item["id"], "output_index": at}
        if item["type"] == "function_call":
            for text in (item["arguments"][:7], item["arguments"][7:]):
                event("response.function_call_arguments.delta", delta=text, **place)
            event("response.function_call_arguments.done", arguments=item["arguments"], name=item["name"], **place)
        for number, part in enumerate(item.get("content", [])):
            name, text = ("output_text", "text") if part["type"] == "output_text" else ("refusal", "refusal")
            inner = dict(place, content_index=number)
            event("response.content_part.added", part=dict(part, **{text: ""}), **inner)
            for begin in range(0, len(part[text]), 11):
                event("response.%s.delta" % name, delta=part[text][begin:begin + 11], **inner,
                      **({"logprobs": []} if name == "output_text" else {}))
            event("response.%s.done" % name, **inner, **{text: part[text]})
            event("response.content_part.done", part=part, **inner)
        for number, part in enumerate(item.get("summary", [])):
            inner = dict(place, summary_index=number)
            event("response.reasoning_summary_part.added", part=dict(part, text=""), **inner)
            event("response.reasoning_summary_text.delta", delta=part["text"], **inner)
            event("response.reasoning_summary_text.done", text=part["text"], **inner)
            event("response.reasoning_summary_part.done", part=part, **inner)
        event("response.output_item.done", output_index=at, item=item)
    event("response." + whole["status"], response=whole)
    return said


class MoreUpstream(Upstream):
    async def handle(self, reader, writer):
        self.accepted += 1
        await MoreConnection(self, reader, writer).run()


def more_upstream(name="up", **options):
    """As harness.upstream, with these endpoints."""
    up = MoreUpstream(options.pop("certs", certs()), name=name, **options).start()
    tap.CLEANERS.append(up.close)
    return up
