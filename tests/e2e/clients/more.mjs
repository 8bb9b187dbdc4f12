// SPDX-License-Identifier: Apache-2.0
// Vercel's AI SDK: one JSON job a line in, one JSON result a line out (see more.py).
import { createInterface } from "node:readline";
import { APICallError, embed, generateText, jsonSchema, RetryError, streamText, tool } from "ai";
import { createOpenAI } from "@ai-sdk/openai";
import { createAnthropic } from "@ai-sdk/anthropic";

const weather = tool({
  description: "The weather of a city",
  inputSchema: jsonSchema({ type: "object", properties: { city: { type: "string" } }, required: ["city"] }),
});

async function ask(job) {
  const options = { baseURL: job.base_url, apiKey: job.key };
  if (job.how === "embed") {
    const model = createOpenAI(options).embedding(job.model);
    return { ok: true, vector: (await embed({ model, value: job.text, maxRetries: 0 })).embedding };
  }
  const model = job.client === "ai-sdk responses" ? createOpenAI(options).responses(job.model)
    : job.api === "openai" ? createOpenAI(options).chat(job.model) : createAnthropic(options)(job.model);
  const call = { model, prompt: job.text, maxRetries: 0 };
  if (job.how.startsWith("tools")) call.tools = { weather };
  if (!job.how.endsWith("stream")) {
    const said = await generateText(call);
    return { ok: true, text: said.text, finish: said.finishReason,
             tools: said.toolCalls.map((t) => [t.toolName, t.input]) };
  }
  let failed = null;
  const said = streamText({ ...call, onError: ({ error }) => { failed = error; } });
  let text = "";
  for await (const piece of said.textStream) text += piece;
  if (failed) throw failed;
  const [calls, finish, usage] = [await said.toolCalls, await said.finishReason, await said.usage];
  return { ok: true, text, finish, usage: usage.outputTokens ?? null, tools: calls.map((t) => [t.toolName, t.input]) };
}

async function run(job) {
  try {
    return await ask(job);
  } catch (error) {
    const last = RetryError.isInstance(error) ? error.lastError : error;
    return { ok: false, class: last.name, message: String(last.message),
             status: APICallError.isInstance(last) ? last.statusCode : null };
  }
}

console.log(JSON.stringify({ ready: true, node: process.version }));
for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await run(JSON.parse(line))));
}
