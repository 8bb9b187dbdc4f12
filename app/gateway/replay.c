/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/replay.c — one form of a reply made from the other, a stream without its usage chunk, a fresh reply. */
#include "app/gateway/replay.h"

#include "app/gateway/dialect_events.h"
#include "platform/rc.h"

int replay_object_from_stream(enum dialect dialect, struct span stream, struct json_scratch *scratch, struct text *out)
{
    if (dialect == WIRE_RESPONSES) return replay_responses_object(stream, scratch, out);
    return dialect_has_usage_chunk(dialect) ? replay_openai_object(dialect, stream, scratch, out)
                                            : replay_anthropic_object(stream, scratch, out);
}

int replay_stream_from_object(enum dialect dialect, struct span object, bool include_usage,
                              struct json_scratch *scratch, struct text *out)
{
    const struct json_value *root;
    int rc = json_parse(scratch, object, &root, NULL);
    if (rc != RC_OK) return rc == RC_TOO_LARGE ? rc : RC_CORRUPT;
    if (dialect == DIALECT_OPENAI) return replay_openai_stream(root, include_usage, out);
    if (dialect == WIRE_COMPLETIONS) return replay_completions_stream(root, include_usage, out);
    if (dialect == WIRE_RESPONSES) return replay_responses_stream(root, out);
    if (dialect == WIRE_COUNT_TOKENS) return RC_CORRUPT; /* it has no other form */
    struct json_scratch spare = json_spare(scratch, root);
    return replay_anthropic_stream(root, &spare, out);
}

/* The live scan finds it, so that a replay leaves out the same bytes as the relay did. */
int replay_strip_usage(struct span stream, struct json_scratch *scratch, struct text *out)
{
    struct live_stream live = {.dialect = DIALECT_OPENAI};
    if (stream.size == 0) return RC_OK;
    live_stream_scan(&live, stream, scratch);
    text_put(out, stream.data, live.usage_from);
    text_put(out, stream.data + live.usage_to, stream.size - live.usage_to);
    return out->truncated ? RC_TOO_LARGE : RC_OK;
}

/* A chunk has some 300 bytes around what it says, and the shortest tool call or choice takes 60 of the object: 16 times
 * covers replies of many tiny ones, and large replies are large by their texts, which at worst double (a control
 * character escaped twice). */
size_t replay_bound(enum dialect dialect, size_t stored_size)
{
    enum { SMALL = 16384, TINY_FACTOR = 16, FACTOR = 3, EXTRA = 4096 };
    size_t small = stored_size < SMALL ? stored_size : SMALL;
    size_t bound = EXTRA + TINY_FACTOR * small + FACTOR * (stored_size - small);
    return dialect == WIRE_RESPONSES ? 2 * bound : bound; /* each text stands in five events */
}

static void openai_object(struct span id, struct span model, uint64_t created_s, struct span answer, struct text *out)
{
    text_put_text(out, "{\"id\":");
    text_put_json(out, id);
    text_put_text(out, ",\"object\":\"chat.completion\",\"created\":");
    text_put_u64(out, created_s);
    text_put_text(out, ",\"model\":");
    text_put_json(out, model);
    text_put_text(out, ",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":");
    text_put_json(out, answer);
    text_put_text(out,
                  ",\"refusal\":null},\"logprobs\":null,\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":0,"
                  "\"completion_tokens\":0,\"total_tokens\":0}}");
}

static void response_object(struct span id, struct span model, uint64_t created_s, struct span answer, struct text *out)
{
    text_put_text(out, "{\"id\":");
    text_put_json(out, id);
    text_put_text(out, ",\"object\":\"response\",\"created_at\":");
    text_put_u64(out, created_s);
    text_put_text(out, ",\"status\":\"completed\",\"error\":null,\"incomplete_details\":null,\"instructions\":null,"
                       "\"metadata\":{},\"model\":");
    text_put_json(out, model);
    text_put_text(out, ",\"output\":[{\"id\":\"msg_larder\",\"type\":\"message\",\"status\":\"completed\","
                       "\"role\":\"assistant\",\"content\":[{\"type\":\"output_text\",\"text\":");
    text_put_json(out, answer);
    text_put_text(out, ",\"annotations\":[],\"logprobs\":[]}]}],\"parallel_tool_calls\":true,\"temperature\":null,"
                       "\"tool_choice\":\"auto\",\"tools\":[],\"top_p\":null,\"usage\":{\"input_tokens\":0,"
                       "\"input_tokens_details\":{\"cached_tokens\":0},\"output_tokens\":0,"
                       "\"output_tokens_details\":{\"reasoning_tokens\":0},\"total_tokens\":0}}");
}

static void anthropic_object(struct span id, struct span model, struct span answer, struct text *out)
{
    text_put_text(out, "{\"id\":");
    text_put_json(out, id);
    text_put_text(out, ",\"type\":\"message\",\"role\":\"assistant\",\"model\":");
    text_put_json(out, model);
    text_put_text(out, ",\"content\":[{\"type\":\"text\",\"text\":");
    text_put_json(out, answer);
    text_put_text(out, "}],\"stop_reason\":\"end_turn\",\"stop_sequence\":null,\"usage\":{\"input_tokens\":0,"
                       "\"output_tokens\":0}}");
}

void reply_object(enum dialect dialect, struct span id, struct span model, uint64_t created_s, struct span answer,
                  struct text *out)
{
    if (dialect == DIALECT_OPENAI)
        openai_object(id, model, created_s, answer, out);
    else if (dialect == WIRE_RESPONSES)
        response_object(id, model, created_s, answer, out);
    else
        anthropic_object(id, model, answer, out);
}
