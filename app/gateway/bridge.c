/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/bridge.c — see bridge.h: the ways in, and the small words of both languages (ends, counts, errors). */
#include "app/gateway/bridge.h"

#include "platform/rc.h"

enum { BOUND_EXTRA = 8192, OVERLOADED_THERE = 529 };

size_t bridge_bound(size_t size)
{
    return 4 * size + BOUND_EXTRA;
}

int bridge_request(enum dialect to, struct span body, struct json_scratch *scratch, struct text *out,
                   struct bridge_refusal *refusal)
{
    const struct json_value *root;
    refusal->message[0] = 0;
    int rc = json_parse(scratch, body, &root, NULL);
    if (rc != RC_OK) return rc == RC_INVALID ? RC_CORRUPT : rc;
    struct json_scratch spare = json_spare(scratch, root);
    if (spare.capacity == 0) return RC_TOO_LARGE;
    if (json_kind(json_get(root, "model")) != JSON_STRING || json_kind(json_get(root, "messages")) != JSON_ARRAY)
        return RC_CORRUPT;
    rc = to == DIALECT_ANTHROPIC ? bridge_request_to_anthropic(root, &spare, out, refusal)
                                 : bridge_request_to_openai(root, &spare, out, refusal);
    return rc == RC_OK && out->truncated ? RC_TOO_LARGE : rc;
}

/* ---- how an answer ended */

struct ending {
    struct span theirs;
    const char *ours;
};

/* A stop sequence that was met is told by one side only. */
static const struct ending to_anthropic[] = {
    {SPAN_ROW("stop"), "end_turn"},          {SPAN_ROW("length"), "max_tokens"},
    {SPAN_ROW("tool_calls"), "tool_use"},    {SPAN_ROW("function_call"), "tool_use"},
    {SPAN_ROW("content_filter"), "refusal"},
};

static const struct ending to_openai[] = {
    {SPAN_ROW("end_turn"), "stop"},       {SPAN_ROW("stop_sequence"), "stop"},
    {SPAN_ROW("max_tokens"), "length"},   {SPAN_ROW("model_context_window_exceeded"), "length"},
    {SPAN_ROW("pause_turn"), "length"}, /* not the end: never kept */
    {SPAN_ROW("tool_use"), "tool_calls"}, {SPAN_ROW("refusal"), "content_filter"},
};

static const char *find_ending(const struct ending *endings, size_t count, struct span stop)
{
    for (size_t i = 0; i < count; i++)
        if (span_equal(endings[i].theirs, stop)) return endings[i].ours;
    return NULL;
}

const char *bridge_stop(enum dialect to, const struct json_value *stop)
{
    struct span said = json_string(stop);
    return to == DIALECT_ANTHROPIC ? find_ending(to_anthropic, sizeof to_anthropic / sizeof *to_anthropic, said)
                                   : find_ending(to_openai, sizeof to_openai / sizeof *to_openai, said);
}

/* ---- tokens */

enum { TOKENS_MAX = 1000 * 1000 * 1000 };

static void take_count(const struct json_value *object, const char *name, int64_t *count)
{
    int64_t value;
    if (json_i64(json_get(object, name), &value) == RC_OK && value >= 0 && value <= TOKENS_MAX) *count = value;
}

void bridge_tokens_read(enum dialect to, const struct json_value *usage, struct bridge_tokens *tokens)
{
    if (to == DIALECT_OPENAI) {
        take_count(usage, "input_tokens", &tokens->input);
        take_count(usage, "cache_read_input_tokens", &tokens->cache_read);
        take_count(usage, "cache_creation_input_tokens", &tokens->cache_write);
        take_count(usage, "output_tokens", &tokens->output);
        return;
    }
    int64_t prompt = tokens->input + tokens->cache_read;
    take_count(usage, "prompt_tokens", &prompt);
    take_count(json_get(usage, "prompt_tokens_details"), "cached_tokens", &tokens->cache_read);
    take_count(usage, "completion_tokens", &tokens->output);
    if (tokens->cache_read > prompt) tokens->cache_read = prompt;
    tokens->input = prompt - tokens->cache_read;
}

static void put_count(struct text *out, const char *before, int64_t count)
{
    text_put_text(out, before);
    text_put_i64(out, count);
}

void bridge_tokens_put(enum dialect to, const struct bridge_tokens *t, struct text *out)
{
    if (to == DIALECT_ANTHROPIC) {
        put_count(out, "\"usage\":{\"input_tokens\":", t->input);
        put_count(out, ",\"cache_creation_input_tokens\":", t->cache_write);
        put_count(out, ",\"cache_read_input_tokens\":", t->cache_read);
        put_count(out, ",\"output_tokens\":", t->output);
    } else {
        int64_t prompt = t->input + t->cache_read + t->cache_write;
        put_count(out, "\"usage\":{\"prompt_tokens\":", prompt);
        put_count(out, ",\"completion_tokens\":", t->output);
        put_count(out, ",\"total_tokens\":", prompt + t->output);
        put_count(out, ",\"prompt_tokens_details\":{\"cached_tokens\":", t->cache_read);
        text_put_char(out, '}');
    }
    text_put_char(out, '}');
}

/* ---- errors */

unsigned bridge_status(enum dialect to, unsigned status)
{
    if (to == DIALECT_OPENAI) return status == OVERLOADED_THERE ? 503 : status;
    return status == 503 ? OVERLOADED_THERE : status;
}

/* {"error": {"message": …}}, {"error": …}, {"message": …}, or {"detail": …}: servers of the local network differ. */
static struct span message_of(const struct json_value *root)
{
    const struct json_value *error = json_get(root, "error"), *said = json_get(error, "message");
    if (json_kind(said) != JSON_STRING) said = error;
    if (json_kind(said) != JSON_STRING) said = json_get(root, "message");
    if (json_kind(said) != JSON_STRING) said = json_get(root, "detail");
    return json_string(said);
}

void bridge_error(enum dialect to, unsigned status, struct span body, struct span request_id,
                  struct json_scratch *scratch, struct text *out)
{
    const struct json_value *root = NULL;
    if (json_parse(scratch, body, &root, NULL) != RC_OK) root = NULL;
    struct span message = message_of(root);
    if (message.size == 0)
        message = SPAN("The provider refused this request and did not say why in a form known here.");
    dialect_error(to, status, NULL, message, request_id, out);
}
