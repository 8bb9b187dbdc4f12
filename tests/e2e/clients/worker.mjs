// SPDX-License-Identifier: Apache-2.0
// The Node client libraries and fetch: one JSON job a line in, one JSON result a line out (see worker.py).
import { createInterface } from "node:readline";
import { readFileSync } from "node:fs";
import OpenAI from "openai";
import OpenAI6 from "openai6";
import Anthropic from "@anthropic-ai/sdk";

const versionOf = (name) =>
  JSON.parse(readFileSync(new URL(`./node_modules/${name}/package.json`, import.meta.url))).version;

const blank = () => ({ ok: true, text: "", thinking: "", signature: "", tools: [], finish: null, usage: null,
                       chunks: 0, headers: null });
const sorted = (value) => Array.isArray(value) ? value.map(sorted)
  : value && typeof value === "object"
    ? Object.fromEntries(Object.keys(value).sort().map((key) => [key, sorted(value[key])])) : value;

const openai = {
  make: (job) => new (job.old ? OpenAI6 : OpenAI)(options(job)),
  calls: (client) => client.chat.completions,
  final: (stream) => stream.finalChatCompletion(),
  object(reply) {
    const { message, finish_reason } = reply.choices[0];
    return { ...blank(), id: reply.id, model: reply.model, created: reply.created, text: message.content ?? "",
             finish: finish_reason, usage: reply.usage?.completion_tokens ?? null,
             tools: (message.tool_calls ?? []).map((c) => [c.id, c.function.name, c.function.arguments]) };
  },
  event(said, chunk) {
    said.chunks += 1;
    Object.assign(said, { id: chunk.id, model: chunk.model, created: chunk.created });
    if (chunk.usage) said.usage = chunk.usage.completion_tokens;
    for (const { delta, finish_reason } of chunk.choices) {
      said.text += delta.content ?? "";
      said.finish = finish_reason ?? said.finish;
      for (const call of delta.tool_calls ?? []) {
        const have = (said.tools[call.index] ??= ["", "", ""]);
        have[0] += call.id ?? "";
        have[1] += call.function?.name ?? "";
        have[2] += call.function?.arguments ?? "";
      }
    }
  },
};

const anthropic = {
  make: (job) => new Anthropic(options(job)),
  calls: (client) => client.messages,
  final: (stream) => stream.finalMessage(),
  object(reply) {
    const said = { ...blank(), id: reply.id, model: reply.model, finish: reply.stop_reason,
                   usage: reply.usage.output_tokens };
    for (const block of reply.content) {
      if (block.type === "text") said.text += block.text;
      if (block.type === "thinking") { said.thinking += block.thinking; said.signature += block.signature; }
      if (block.type === "tool_use") said.tools.push([block.id, block.name, JSON.stringify(sorted(block.input))]);
    }
    return said;
  },
  event(said, event) {
    said.chunks += 1;
    if (event.type === "message_start") Object.assign(said, { id: event.message.id, model: event.message.model });
    if (event.type === "content_block_start" && event.content_block.type === "tool_use") {
      said.tools.push([event.content_block.id, event.content_block.name, ""]);
    }
    if (event.type === "content_block_delta") {
      const { delta } = event;
      said.text += delta.text ?? "";
      said.thinking += delta.thinking ?? "";
      said.signature += delta.signature ?? "";
      if (delta.type === "input_json_delta") said.tools.at(-1)[2] += delta.partial_json;
    }
    if (event.type === "message_delta") {
      said.finish = event.delta.stop_reason;
      said.usage = event.usage.output_tokens;
      for (const tool of said.tools) tool[2] = JSON.stringify(sorted(JSON.parse(tool[2] || "{}")));
    }
  },
};

function options(job) {
  return { apiKey: job.key || "none", baseURL: job.base_url, maxRetries: job.max_retries ?? 0,
           timeout: (job.timeout ?? 15) * 1000, defaultHeaders: job.headers ?? {} };
}

async function library(job) {
  const dialect = job.api === "openai" ? openai : anthropic;
  const client = dialect.make(job);
  const calls = dialect.calls(client);
  if (job.how === "models") {
    const models = [];
    for await (const model of client.models.list()) models.push(model.id);
    return { ...blank(), models };
  }
  if (job.how === "helper") {
    const stream = calls.stream(job.params);
    for await (const _ of stream);
    return dialect.object(await dialect.final(stream));
  }
  const streamed = job.how === "stream" || job.how === "raw_stream";
  const promise = calls.create(streamed ? { ...job.params, stream: true } : job.params);
  let headers = null;
  let reply;
  if (job.how.startsWith("raw")) {
    const { data, response } = await promise.withResponse();
    reply = data;
    headers = Object.fromEntries(response.headers);
  } else {
    reply = await promise;
  }
  if (!streamed) return { ...dialect.object(reply), headers };
  const said = { ...blank(), headers };
  for await (const event of reply) dialect.event(said, event);
  return said;
}

async function browser(job) {
  const reply = await fetch(job.url, { method: job.method ?? "POST", headers: job.headers ?? {}, body: job.body,
                                       redirect: "manual" });
  return { ok: true, status: reply.status, headers: Object.fromEntries(reply.headers), body: await reply.text() };
}

async function run(job) {
  try {
    return await (job.api === "fetch" ? browser(job) : library(job));
  } catch (error) {
    return { ok: false, class: error.constructor.name, message: String(error.message), status: error.status ?? null,
             body: error.error ?? null, request_id: error.requestID ?? null,
             headers: error.headers ? Object.fromEntries(error.headers) : null };
  }
}

console.log(JSON.stringify({ openai: versionOf("openai"), openai6: versionOf("openai6"),
                             anthropic: versionOf("@anthropic-ai/sdk"), node: process.version }));
for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await run(JSON.parse(line))));
}
