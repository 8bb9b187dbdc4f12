# SPDX-License-Identifier: Apache-2.0
"""A process with the Python client libraries of its environment: one JSON job a line in, one JSON result a line out.

job: api (openai, anthropic), how (object, raw, stream, raw_stream, helper), async, base_url, key, params, headers,
max_retries, timeout. result: ok with what was said, or the library's error class, status and message.
"""

import asyncio
import json
import sys

import anthropic
import openai


def client_of(job):
    library = openai if job["api"] == "openai" else anthropic
    names = {"openai": ("OpenAI", "AsyncOpenAI"), "anthropic": ("Anthropic", "AsyncAnthropic")}[job["api"]]
    return getattr(library, names[bool(job.get("async"))])(
        api_key=job.get("key") or "none", base_url=job["base_url"], max_retries=job.get("max_retries", 0),
        timeout=job.get("timeout", 15.0), default_headers=job.get("headers") or None)


def blank():
    return {"ok": True, "text": "", "thinking": "", "signature": "", "tools": [], "finish": None, "usage": None,
            "chunks": 0, "headers": None}


# ---- OpenAI --------------------------------------------------------------------------------------------------------

def openai_object(reply):
    said = blank()
    message = reply.choices[0].message
    said.update(id=reply.id, model=reply.model, created=reply.created, text=message.content or "",
                finish=reply.choices[0].finish_reason, usage=reply.usage.completion_tokens if reply.usage else None,
                tools=[[c.id, c.function.name, c.function.arguments] for c in message.tool_calls or []])
    return said


def openai_chunk(said, chunk):
    said["chunks"] += 1
    said.update(id=chunk.id, model=chunk.model, created=chunk.created)
    if chunk.usage:
        said["usage"] = chunk.usage.completion_tokens
    for choice in chunk.choices:
        said["text"] += choice.delta.content or ""
        said["finish"] = choice.finish_reason or said["finish"]
        for call in choice.delta.tool_calls or []:
            while len(said["tools"]) <= call.index:
                said["tools"].append(["", "", ""])
            have = said["tools"][call.index]
            have[0] += call.id or ""
            have[1] += call.function.name or ""
            have[2] += call.function.arguments or ""


# ---- Anthropic -----------------------------------------------------------------------------------------------------

def anthropic_object(reply):
    said = blank()
    said.update(id=reply.id, model=reply.model, finish=reply.stop_reason, usage=reply.usage.output_tokens)
    for block in reply.content:
        if block.type == "text":
            said["text"] += block.text
        elif block.type == "thinking":
            said["thinking"] += block.thinking
            said["signature"] += block.signature
        elif block.type == "tool_use":
            said["tools"].append([block.id, block.name, json.dumps(block.input, sort_keys=True, ensure_ascii=False)])
    return said


def anthropic_event(said, event):
    said["chunks"] += 1
    if event.type == "message_start":
        said.update(id=event.message.id, model=event.message.model)
    elif event.type == "content_block_start" and event.content_block.type == "tool_use":
        said["tools"].append([event.content_block.id, event.content_block.name, ""])
    elif event.type == "content_block_delta":
        delta = event.delta
        if delta.type == "text_delta":
            said["text"] += delta.text
        elif delta.type == "thinking_delta":
            said["thinking"] += delta.thinking
        elif delta.type == "signature_delta":
            said["signature"] += delta.signature
        elif delta.type == "input_json_delta":
            said["tools"][-1][2] += delta.partial_json
    elif event.type == "content_block_stop" and said["tools"] and isinstance(said["tools"][-1][2], str):
        text = said["tools"][-1][2]
        said["tools"][-1][2] = json.dumps(json.loads(text or "{}"), sort_keys=True, ensure_ascii=False)
    elif event.type == "message_delta":
        said["finish"] = event.delta.stop_reason
        said["usage"] = event.usage.output_tokens


OBJECT = {"openai": openai_object, "anthropic": anthropic_object}
EVENT = {"openai": openai_chunk, "anthropic": anthropic_event}


def calls_of(client, api):
    return client.chat.completions if api == "openai" else client.messages


def run_sync(job):
    api, how, params = job["api"], job["how"], job["params"]
    with client_of(job) as client:
        calls = calls_of(client, api)
        if how == "models":
            return dict(blank(), models=[m.id for m in client.models.list()])
        if how == "helper":
            with calls.stream(**params) as stream:
                for _ in stream:
                    pass
                return OBJECT[api](stream.get_final_completion() if api == "openai" else stream.get_final_message())
        if how in ("object", "raw"):
            reply = calls.with_raw_response.create(**params) if how == "raw" else calls.create(**params)
            said = OBJECT[api](reply.parse() if how == "raw" else reply)
            return dict(said, headers=dict(reply.headers)) if how == "raw" else said
        reply = (calls.with_raw_response if how == "raw_stream" else calls).create(stream=True, **params)
        said = blank()
        for event in reply.parse() if how == "raw_stream" else reply:
            EVENT[api](said, event)
        return dict(said, headers=dict(reply.headers)) if how == "raw_stream" else said


async def run_async(job):
    api, how, params = job["api"], job["how"], job["params"]
    async with client_of(job) as client:
        calls = calls_of(client, api)
        if how == "models":
            return dict(blank(), models=[m.id async for m in client.models.list()])
        if how == "helper":
            async with calls.stream(**params) as stream:
                async for _ in stream:
                    pass
                final = stream.get_final_completion() if api == "openai" else stream.get_final_message()
                return OBJECT[api](await final)
        if how in ("object", "raw"):
            reply = await (calls.with_raw_response.create(**params) if how == "raw" else calls.create(**params))
            parsed = reply.parse() if how == "raw" else reply
            said = OBJECT[api](await parsed if asyncio.iscoroutine(parsed) else parsed)
            return dict(said, headers=dict(reply.headers)) if how == "raw" else said
        reply = await (calls.with_raw_response if how == "raw_stream" else calls).create(stream=True, **params)
        parsed = reply.parse() if how == "raw_stream" else reply
        said = blank()
        async for event in await parsed if asyncio.iscoroutine(parsed) else parsed:
            EVENT[api](said, event)
        return dict(said, headers=dict(reply.headers)) if how == "raw_stream" else said


def run(job):
    try:
        return asyncio.run(run_async(job)) if job.get("async") else run_sync(job)
    except Exception as error:              # the library's own, and whatever a bad stream makes of it
        response = getattr(error, "response", None)
        return {"ok": False, "class": type(error).__name__, "bases": [c.__name__ for c in type(error).__mro__],
                "message": str(error), "status": getattr(error, "status_code", None),
                "body": getattr(error, "body", None), "request_id": getattr(error, "request_id", None),
                "headers": dict(response.headers) if response is not None else None}


def main():
    print(json.dumps({"openai": openai.__version__, "anthropic": anthropic.__version__}), flush=True)
    for line in sys.stdin:
        print(json.dumps(run(json.loads(line)), default=str), flush=True)


main()
