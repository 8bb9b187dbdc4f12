/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/replay_completions_stream.c — a text_completion sent as chunks.
 *
 * For each choice: its text, with its log probabilities, in one chunk; then one that ends it. Then, when asked for, the
 * usage chunk with empty choices; every other chunk then says `usage: null`. [DONE] at last.
 */
#include "app/gateway/replay.h"
#include "platform/rc.h"

struct chunking {
    struct text *out;
    const struct json_value *object;
    bool include_usage;
};

static bool is(struct span name, const char *text)
{
    return span_equal(name, span_text(text));
}

static void put_member(struct text *out, struct span name, const struct json_value *value)
{
    text_put_json(out, name);
    text_put_char(out, ':');
    json_write(out, value);
}

static void begin_chunk(const struct chunking *c)
{
    text_put_text(c->out, "data: {");
    struct json_walk walk = json_walk(c->object);
    while (json_next(&walk)) {
        if (is(walk.name, "choices") || is(walk.name, "usage")) continue;
        put_member(c->out, walk.name, walk.value);
        text_put_char(c->out, ',');
    }
    text_put_text(c->out, "\"choices\":[");
}

static void end_chunk(const struct chunking *c)
{
    text_put_text(c->out, c->include_usage ? "],\"usage\":null}\n\n" : "]}\n\n");
}

/* `last`: the chunk that ends the choice; else the one with everything but the finish reason. */
static void send_choice(const struct chunking *c, const struct json_value *choice, bool last)
{
    const char *separator = "{";
    begin_chunk(c);
    struct json_walk walk = json_walk(choice);
    while (json_next(&walk)) {
        text_put_text(c->out, separator);
        separator = ",";
        text_put_json(c->out, walk.name);
        text_put_char(c->out, ':');
        if (is(walk.name, "index") || is(walk.name, "finish_reason") == last)
            json_write(c->out, walk.value);
        else
            text_put_text(c->out, is(walk.name, "text") ? "\"\"" : "null");
    }
    text_put_char(c->out, '}');
    end_chunk(c);
}

static void send_usage(const struct chunking *c)
{
    const struct json_value *usage = json_get(c->object, "usage");
    if (!c->include_usage || json_kind(usage) != JSON_OBJECT) return;
    begin_chunk(c);
    text_put_text(c->out, "],");
    put_member(c->out, SPAN("usage"), usage);
    text_put_text(c->out, "}\n\n");
}

int replay_completions_stream(const struct json_value *object, bool include_usage, struct text *out)
{
    const struct chunking c = {out, object, include_usage};
    const struct json_value *choices = json_get(object, "choices");
    if (json_kind(choices) != JSON_ARRAY || json_count(choices) == 0) return RC_CORRUPT;
    struct json_walk walk = json_walk(choices);
    while (json_next(&walk) && !out->truncated) {
        if (json_kind(json_get(walk.value, "text")) != JSON_STRING) return RC_CORRUPT;
        send_choice(&c, walk.value, false);
        send_choice(&c, walk.value, true);
    }
    send_usage(&c);
    text_put_text(out, "data: [DONE]\n\n");
    return out->truncated ? RC_TOO_LARGE : RC_OK;
}
