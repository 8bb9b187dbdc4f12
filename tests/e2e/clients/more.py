# SPDX-License-Identifier: Apache-2.0
"""A process with the Python frameworks above the client libraries: one JSON job a line in, one JSON result a line out.

job: client, how (object, stream, tools, tools_stream, embed), base_url, key, model, text. result: ok with text, tools
as [name, arguments] and finish, or the class, the classes it derives from and the message of what the framework raised.
Nothing is set but what a program of that framework sets: address, key, model.
"""

import asyncio
import json
import sys

WEATHER = {"type": "function", "function": {
    "name": "weather", "description": "The weather of a city",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}


def blank(text="", tools=(), finish=None):
    return {"ok": True, "text": text or "", "tools": [list(t) for t in tools], "finish": finish}


# ---- LangChain -----------------------------------------------------------------------------------------------------

def langchain_said(message):
    parts = message.content if isinstance(message.content, list) else [{"type": "text", "text": message.content}]
    text = "".join(part if isinstance(part, str) else part.get("text", "") for part in parts)
    about = message.response_metadata
    return blank(text, [(t["name"], t["args"]) for t in message.tool_calls],
                 about.get("finish_reason") or about.get("stop_reason"))


def langchain(job, model):
    bound = model.bind_tools([WEATHER]) if job["how"].startswith("tools") else model
    if job.get("async"):
        return langchain_said(asyncio.run(bound.ainvoke(job["text"])))
    if job["how"].endswith("stream"):
        whole = None
        for chunk in bound.stream(job["text"]):
            whole = chunk if whole is None else whole + chunk
        return langchain_said(whole)
    return langchain_said(bound.invoke(job["text"]))


def langchain_openai(job):
    from langchain_openai import ChatOpenAI, OpenAIEmbeddings
    if job["how"] == "embed":
        model = OpenAIEmbeddings(base_url=job["base_url"], api_key=job["key"], model=job["model"],
                                 check_embedding_ctx_length=False)
        return dict(blank(), vector=model.embed_query(job["text"]))
    return langchain(job, ChatOpenAI(base_url=job["base_url"], api_key=job["key"], model=job["model"]))


def langchain_anthropic(job):
    from langchain_anthropic import ChatAnthropic
    return langchain(job, ChatAnthropic(base_url=job["base_url"], api_key=job["key"], model=job["model"],
                                        max_tokens=1000))


# ---- LlamaIndex ----------------------------------------------------------------------------------------------------

def weather(city: str) -> str:
    """The weather of a city."""
    return city


def llamaindex(job):
    from llama_index.llms.openai_like import OpenAILike
    if job["how"] == "embed":
        from llama_index.embeddings.openai import OpenAIEmbedding
        model = OpenAIEmbedding(api_base=job["base_url"], api_key=job["key"], model_name=job["model"])
        return dict(blank(), vector=model.get_query_embedding(job["text"]))
    model = OpenAILike(api_base=job["base_url"], api_key=job["key"], model=job["model"], is_chat_model=True,
                       is_function_calling_model=True)
    if job["how"].startswith("tools"):
        from llama_index.core.tools import FunctionTool
        said = model.chat_with_tools([FunctionTool.from_defaults(weather)], user_msg=job["text"])
        return blank(said.message.content, [(c.tool_name, c.tool_kwargs) for c in
                                            model.get_tool_calls_from_response(said)])
    if job["how"] == "stream":
        return blank("".join(piece.delta or "" for piece in model.stream_complete(job["text"])))
    return blank(model.complete(job["text"]).text)


# ---- LiteLLM -------------------------------------------------------------------------------------------------------

def litellm(job):
    import litellm as library
    library.suppress_debug_info = True
    given = {"model": "%s/%s" % (job["api"], job["model"]), "api_base": job["base_url"], "api_key": job["key"]}
    if job["how"] == "embed":
        return dict(blank(), vector=library.embedding(input=[job["text"]], **given).data[0]["embedding"])
    given["messages"] = [{"role": "user", "content": job["text"]}]
    if job["how"].startswith("tools"):
        given["tools"] = [WEATHER]
    if job["how"].endswith("stream"):
        said = library.stream_chunk_builder(list(library.completion(stream=True, **given)))
    else:
        said = library.completion(**given)
    choice = said.choices[0]
    return blank(choice.message.content, [(c.function.name, c.function.arguments) for c in
                                          choice.message.tool_calls or []], choice.finish_reason)


# ---- instructor ----------------------------------------------------------------------------------------------------

def instructor(job):
    import instructor as library
    import openai
    from pydantic import BaseModel

    class Weather(BaseModel):
        city: str

    client = library.from_openai(openai.OpenAI(base_url=job["base_url"], api_key=job["key"]))
    given = {"model": job["model"], "messages": [{"role": "user", "content": job["text"]}]}
    if job["how"] == "tools_stream":
        said = list(client.chat.completions.create_partial(response_model=Weather, **given))[-1]
    else:
        said = client.chat.completions.create(response_model=Weather, max_retries=1, **given)
    return blank("", [("Weather", said.model_dump())])


CLIENTS = {"langchain-openai": langchain_openai, "langchain-anthropic": langchain_anthropic, "llamaindex": llamaindex,
           "litellm": litellm, "instructor": instructor}


def causes(error):
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def run(job):
    try:
        return CLIENTS[job["client"]](job)
    except Exception as error:              # what the framework raises is what the test asks about
        status = [e.status_code for e in causes(error) if getattr(e, "status_code", None)]
        return {"ok": False, "class": type(error).__name__, "bases": [c.__name__ for c in type(error).__mro__],
                "message": str(error), "status": status[0] if status else None}


def main():
    out, sys.stdout = sys.stdout, sys.stderr       # a framework that prints shall not break the protocol
    print(json.dumps({"ready": True}), file=out, flush=True)
    for line in sys.stdin:
        print(json.dumps(run(json.loads(line)), default=str), file=out, flush=True)


main()
