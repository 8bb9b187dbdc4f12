/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/replay_openai_stream.c — a chat.completion sent as chunks, in the order in which the API sends them.
 *
 * For each choice: the role with everything that does not grow, then each text (what is not content first, so that
 * reasoning comes before the answer), each tool call in two chunks, and the finish reason. Then, when asked for, the
 * usage chunk with empty choices; every other chunk then says `usage: null`. [DONE] at last.
 */
#include "app/gateway/replay.h"
#include "platform/rc.h"

struct chunking {
    struct text *out;
    const struct json_value *object, *choice, *message;
    bool include_usage;
    uint64_t position;           /* of the choice, for one without an index */
    size_t head_from, head_size; /* the envelope as the first chunk has it, to be copied */
};

static bool is(struct span name, const char *text)
{
    return span_equal(name, span_text(text));
}

static bool is_one_of(struct span name, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (is(name, names[i])) return true;
    return false;
}

/* What every chunk repeats; other members of the envelope go with the first one only. */
static bool repeats(struct span name)
{
    static const char *const names[] = {"id", "object", "created", "model", "service_tier", "system_fingerprint"};
    return is_one_of(name, names, sizeof names / sizeof *names);
}

static bool is_long(const struct json_value *value)
{
    return json_string(value).size > 0;
}

static void put_member(struct text *out, struct span name, const struct json_value *value)
{
    text_put_json(out, name);
    text_put_char(out, ':');
    json_write(out, value);
}

static void put_head(struct chunking *c)
{
    bool named = false;
    c->head_from = c->out->size;
    text_put_text(c->out, "data: {");
    struct json_walk walk = json_walk(c->object);
    while (json_next(&walk)) {
        if (!repeats(walk.name)) continue;
        bool object = is(walk.name, "object");
        if (object)
            text_put_text(c->out, "\"object\":\"chat.completion.chunk\"");
        else
            put_member(c->out, walk.name, walk.value);
        text_put_char(c->out, ',');
        named = named || object;
    }
    if (!named) text_put_text(c->out, "\"object\":\"chat.completion.chunk\",");
    c->head_size = c->out->size - c->head_from;
}

static void put_first_head(struct chunking *c)
{
    put_head(c);
    struct json_walk walk = json_walk(c->object);
    while (json_next(&walk)) {
        if (repeats(walk.name) || is(walk.name, "choices") || is(walk.name, "usage")) continue;
        put_member(c->out, walk.name, walk.value);
        text_put_char(c->out, ',');
    }
}

static void begin_chunk(struct chunking *c)
{
    if (c->head_size == 0)
        put_first_head(c);
    else
        text_put(c->out, c->out->data + c->head_from, c->head_size);
    text_put_text(c->out, "\"choices\":[");
}

static void end_chunk(struct chunking *c)
{
    text_put_text(c->out, c->include_usage ? "],\"usage\":null}\n\n" : "]}\n\n");
}

static void begin_delta(struct chunking *c)
{
    begin_chunk(c);
    text_put_text(c->out, "{\"index\":");
    const struct json_value *index = json_get(c->choice, "index");
    if (json_kind(index) == JSON_NUMBER)
        json_write(c->out, index);
    else
        text_put_u64(c->out, c->position);
    text_put_text(c->out, ",\"delta\":{");
}

/* Where the choice has the member: its own in the chunk that `brings` them, null in every other. */
static void put_logprobs(struct chunking *c, bool brings)
{
    const struct json_value *known = json_get(c->choice, "logprobs");
    if (!known) return;
    text_put_text(c->out, ",\"logprobs\":");
    if (brings)
        json_write(c->out, known);
    else
        text_put_text(c->out, "null");
}

static void end_delta(struct chunking *c, bool brings_logprobs)
{
    text_put_char(c->out, '}');
    put_logprobs(c, brings_logprobs);
    text_put_text(c->out, ",\"finish_reason\":null}");
    end_chunk(c);
}

/* ---- the message */

static void send_role(struct chunking *c)
{
    const char *separator = "";
    begin_delta(c);
    struct json_walk walk = json_walk(c->message);
    while (json_next(&walk)) {
        if (is(walk.name, "tool_calls") || is(walk.name, "function_call")) continue;
        bool content = is(walk.name, "content"), later = is_long(walk.value) && !is(walk.name, "role");
        if (later && !content) continue;
        text_put_text(c->out, separator);
        if (later)
            text_put_text(c->out, "\"content\":\"\"");
        else
            put_member(c->out, walk.name, walk.value);
        separator = ",";
    }
    end_delta(c, false);
}

static void send_text(struct chunking *c, struct span name, const struct json_value *value, bool logprobs)
{
    begin_delta(c);
    put_member(c->out, name, value);
    end_delta(c, logprobs);
}

static void send_texts(struct chunking *c)
{
    static const char *const apart[] = {"role", "content", "refusal"};
    const struct json_value *content = json_get(c->message, "content"), *refusal = json_get(c->message, "refusal");
    struct json_walk walk = json_walk(c->message);
    while (json_next(&walk))
        if (is_long(walk.value) && !is_one_of(walk.name, apart, 3)) send_text(c, walk.name, walk.value, false);
    if (is_long(content)) send_text(c, SPAN("content"), content, true);
    if (is_long(refusal)) send_text(c, SPAN("refusal"), refusal, !is_long(content));
}

/* ---- calls */

static bool is_inner(struct span name, const struct json_value *value)
{
    return json_kind(value) == JSON_OBJECT && (is(name, "function") || is(name, "custom"));
}

/* The member whose text is streamed: a function's arguments, a custom tool's input. */
static bool grows(struct span name)
{
    return is(name, "arguments") || is(name, "input");
}

static void put_inner_start(struct text *out, const struct json_value *inner)
{
    const char *separator = "";
    text_put_char(out, '{');
    struct json_walk walk = json_walk(inner);
    while (json_next(&walk)) {
        text_put_text(out, separator);
        if (grows(walk.name) && is_long(walk.value)) {
            text_put_json(out, walk.name);
            text_put_text(out, ":\"\"");
        } else {
            put_member(out, walk.name, walk.value);
        }
        separator = ",";
    }
    text_put_char(out, '}');
}

static void put_call_start(struct text *out, const struct json_value *call)
{
    struct json_walk walk = json_walk(call);
    while (json_next(&walk)) {
        if (is(walk.name, "index")) continue;
        text_put_char(out, ',');
        text_put_json(out, walk.name);
        text_put_char(out, ':');
        if (is_inner(walk.name, walk.value))
            put_inner_start(out, walk.value);
        else
            json_write(out, walk.value);
    }
}

static void begin_call(struct chunking *c, uint64_t number)
{
    begin_delta(c);
    text_put_text(c->out, "\"tool_calls\":[{\"index\":");
    text_put_u64(c->out, number);
}

static void send_call(struct chunking *c, uint64_t number, const struct json_value *call)
{
    begin_call(c, number);
    put_call_start(c->out, call);
    text_put_text(c->out, "}]");
    end_delta(c, false);
    struct json_walk walk = json_walk(call);
    while (json_next(&walk)) {
        struct json_walk inner = json_walk(walk.value);
        while (is_inner(walk.name, walk.value) && json_next(&inner)) {
            if (!grows(inner.name) || !is_long(inner.value)) continue;
            begin_call(c, number);
            text_put_char(c->out, ',');
            text_put_json(c->out, walk.name);
            text_put_text(c->out, ":{");
            put_member(c->out, inner.name, inner.value);
            text_put_text(c->out, "}}]");
            end_delta(c, false);
        }
    }
}

static void send_legacy_call(struct chunking *c, const struct json_value *call)
{
    const struct json_value *arguments = json_get(call, "arguments");
    begin_delta(c);
    text_put_text(c->out, "\"function_call\":");
    put_inner_start(c->out, call);
    end_delta(c, false);
    if (!is_long(arguments)) return;
    begin_delta(c);
    text_put_text(c->out, "\"function_call\":{");
    put_member(c->out, SPAN("arguments"), arguments);
    text_put_char(c->out, '}');
    end_delta(c, false);
}

static void send_calls(struct chunking *c)
{
    uint64_t number = 0;
    const struct json_value *legacy = json_get(c->message, "function_call");
    struct json_walk walk = json_walk(json_get(c->message, "tool_calls"));
    while (json_next(&walk)) send_call(c, number++, walk.value);
    if (json_kind(legacy) == JSON_OBJECT) send_legacy_call(c, legacy);
}

/* ---- the end */

static void send_finish(struct chunking *c)
{
    static const char *const apart[] = {"index", "message", "logprobs", "finish_reason"};
    begin_delta(c);
    text_put_char(c->out, '}');
    put_logprobs(c, !is_long(json_get(c->message, "content")) && !is_long(json_get(c->message, "refusal")));
    text_put_text(c->out, ",\"finish_reason\":");
    const struct json_value *reason = json_get(c->choice, "finish_reason");
    if (reason)
        json_write(c->out, reason);
    else
        text_put_text(c->out, "null");
    struct json_walk walk = json_walk(c->choice);
    while (json_next(&walk)) {
        if (is_one_of(walk.name, apart, 4)) continue;
        text_put_char(c->out, ',');
        put_member(c->out, walk.name, walk.value);
    }
    text_put_char(c->out, '}');
    end_chunk(c);
}

static void send_usage(struct chunking *c)
{
    const struct json_value *usage = json_get(c->object, "usage");
    if (!c->include_usage || json_kind(usage) != JSON_OBJECT) return;
    begin_chunk(c);
    text_put_text(c->out, "],");
    put_member(c->out, SPAN("usage"), usage);
    text_put_text(c->out, "}\n\n");
}

int replay_openai_stream(const struct json_value *object, bool include_usage, struct text *out)
{
    struct chunking c = {.out = out, .object = object, .include_usage = include_usage};
    const struct json_value *choices = json_get(object, "choices");
    if (json_kind(choices) != JSON_ARRAY || json_count(choices) == 0) return RC_CORRUPT;
    struct json_walk walk = json_walk(choices);
    for (; json_next(&walk) && !out->truncated; c.position++) {
        c.choice = walk.value;
        c.message = json_get(walk.value, "message");
        if (json_kind(c.message) != JSON_OBJECT) return RC_CORRUPT;
        send_role(&c);
        send_texts(&c);
        send_calls(&c);
        send_finish(&c);
    }
    send_usage(&c);
    text_put_text(out, "data: [DONE]\n\n");
    return out->truncated ? RC_TOO_LARGE : RC_OK;
}
