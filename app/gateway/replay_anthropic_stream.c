/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/replay_anthropic_stream.c — a message sent as typed events, in the order in which the API sends them.
 *
 * message_start has the message without content, end and most output tokens; each block starts empty and is filled by
 * one delta a field (a tool's input by an empty one first); blocks of other types start whole; message_delta and
 * message_stop end it. `event:` is always there: clients skip an event without it.
 */
#include "app/gateway/replay.h"
#include "platform/rc.h"

struct events {
    struct text *out;
    struct json_scratch *spare;
};

static bool is(struct span name, const char *text)
{
    return span_equal(name, span_text(text));
}

static void put_member(struct text *out, struct span name, const struct json_value *value)
{
    text_put_json(out, name);
    text_put_char(out, ':');
    if (value)
        json_write(out, value);
    else
        text_put_text(out, "null");
}

static void begin_event(struct text *out, const char *type)
{
    text_put_text(out, "event: ");
    text_put_text(out, type);
    text_put_text(out, "\ndata: {\"type\":\"");
    text_put_text(out, type);
    text_put_char(out, '"');
}

static void end_event(struct text *out)
{
    text_put_text(out, "}\n\n");
}

/* ---- the message around the blocks */

static void put_start_usage(struct text *out, const struct json_value *usage)
{
    const char *separator = "";
    text_put_text(out, "\"usage\":{");
    struct json_walk walk = json_walk(usage);
    while (json_next(&walk)) {
        int64_t tokens;
        text_put_text(out, separator);
        separator = ",";
        if (is(walk.name, "output_tokens") && json_i64(walk.value, &tokens) == RC_OK)
            text_put_text(out, tokens > 0 ? "\"output_tokens\":1" : "\"output_tokens\":0");
        else
            put_member(out, walk.name, walk.value);
    }
    text_put_char(out, '}');
}

static void send_start(struct text *out, const struct json_value *message)
{
    const char *separator = "";
    begin_event(out, "message_start");
    text_put_text(out, ",\"message\":{");
    struct json_walk walk = json_walk(message);
    while (json_next(&walk)) {
        bool end = is(walk.name, "stop_reason") || is(walk.name, "stop_sequence");
        text_put_text(out, separator);
        separator = ",";
        if (is(walk.name, "content"))
            text_put_text(out, "\"content\":[]");
        else if (is(walk.name, "usage"))
            put_start_usage(out, walk.value);
        else
            put_member(out, walk.name, end ? NULL : walk.value);
    }
    text_put_char(out, '}');
    end_event(out);
}

/* The counts, which are final now; what only describes the service was said at the start. */
static void put_end_usage(struct text *out, const struct json_value *usage)
{
    const char *separator = "";
    text_put_text(out, ",\"usage\":{");
    struct json_walk walk = json_walk(usage);
    while (json_next(&walk)) {
        bool counts = json_kind(walk.value) == JSON_NUMBER || is(walk.name, "server_tool_use") ||
                      is(walk.name, "output_tokens_details");
        if (!counts) continue;
        text_put_text(out, separator);
        put_member(out, walk.name, walk.value);
        separator = ",";
    }
    text_put_char(out, '}');
}

static void send_end(struct text *out, const struct json_value *message)
{
    begin_event(out, "message_delta");
    text_put_text(out, ",\"delta\":{");
    put_member(out, SPAN("stop_reason"), json_get(message, "stop_reason"));
    text_put_char(out, ',');
    put_member(out, SPAN("stop_sequence"), json_get(message, "stop_sequence"));
    text_put_char(out, '}');
    put_end_usage(out, json_get(message, "usage"));
    end_event(out);
    begin_event(out, "message_stop");
    end_event(out);
}

/* ---- blocks */

static void begin_delta(struct text *out, uint64_t index, const char *type)
{
    begin_event(out, "content_block_delta");
    text_put_text(out, ",\"index\":");
    text_put_u64(out, index);
    text_put_text(out, ",\"delta\":{\"type\":\"");
    text_put_text(out, type);
    text_put_text(out, "\",");
}

static void end_delta(struct text *out)
{
    text_put_char(out, '}');
    end_event(out);
}

static void send_string(struct events *e, uint64_t index, const char *type, struct span name,
                        const struct json_value *value)
{
    if (json_string(value).size == 0) return;
    begin_delta(e->out, index, type);
    put_member(e->out, name, value);
    end_delta(e->out);
}

static void send_text(struct events *e, uint64_t index, const struct json_value *block)
{
    send_string(e, index, "text_delta", SPAN("text"), json_get(block, "text"));
    struct json_walk walk = json_walk(json_get(block, "citations"));
    while (json_next(&walk)) {
        begin_delta(e->out, index, "citations_delta");
        put_member(e->out, SPAN("citation"), walk.value);
        end_delta(e->out);
    }
}

static void send_thinking(struct events *e, uint64_t index, const struct json_value *block)
{
    send_string(e, index, "thinking_delta", SPAN("thinking"), json_get(block, "thinking"));
    send_string(e, index, "signature_delta", SPAN("signature"), json_get(block, "signature"));
}

static void send_partial(struct text *out, uint64_t index, struct span json)
{
    begin_delta(out, index, "input_json_delta");
    text_put_text(out, "\"partial_json\":");
    text_put_json(out, json);
    end_delta(out);
}

static void send_input(struct events *e, uint64_t index, const struct json_value *block)
{
    const struct json_value *input = json_get(block, "input");
    send_partial(e->out, index, SPAN(""));
    if (json_count(input) == 0) return;
    if (e->spare->capacity == 0) {
        e->out->truncated = true;
        return;
    }
    struct text json = text_on(e->spare->memory, e->spare->capacity);
    json_write(&json, input);
    if (json.truncated) e->out->truncated = true;
    send_partial(e->out, index, text_span(&json));
}

static const struct block_kind {
    struct span type;
    const char *empty[2]; /* members that start empty … */
    const char *as[2];    /* … written so */
    void (*send)(struct events *e, uint64_t index, const struct json_value *block);
} kinds[] = {
    {{"text", 4}, {"text", "citations"}, {"\"\"", "[]"}, send_text},
    {{"thinking", 8}, {"thinking", "signature"}, {"\"\"", "\"\""}, send_thinking},
    {{"tool_use", 8}, {"input", NULL}, {"{}", NULL}, send_input},
};

static const struct block_kind *kind_of(const struct json_value *block)
{
    struct span type = json_string(json_get(block, "type"));
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (span_equal(kinds[i].type, type)) return &kinds[i];
    return NULL;
}

/* How a member that deltas will fill is written at the start; NULL: as it is. A null stays null. */
static const char *starts_as(const struct block_kind *kind, struct span name, const struct json_value *value)
{
    if (!kind || json_kind(value) == JSON_NULL) return NULL;
    for (size_t i = 0; i < 2 && kind->empty[i]; i++)
        if (is(name, kind->empty[i])) return kind->as[i];
    return NULL;
}

static void send_block(struct events *e, uint64_t index, const struct json_value *block)
{
    const struct block_kind *kind = kind_of(block);
    const char *separator = "";
    begin_event(e->out, "content_block_start");
    text_put_text(e->out, ",\"index\":");
    text_put_u64(e->out, index);
    text_put_text(e->out, ",\"content_block\":{");
    struct json_walk walk = json_walk(block);
    while (json_next(&walk)) {
        const char *start = starts_as(kind, walk.name, walk.value);
        text_put_text(e->out, separator);
        separator = ",";
        if (!start) {
            put_member(e->out, walk.name, walk.value);
            continue;
        }
        text_put_json(e->out, walk.name);
        text_put_char(e->out, ':');
        text_put_text(e->out, start);
    }
    text_put_char(e->out, '}');
    end_event(e->out);
    if (kind) kind->send(e, index, block);
    begin_event(e->out, "content_block_stop");
    text_put_text(e->out, ",\"index\":");
    text_put_u64(e->out, index);
    end_event(e->out);
}

int replay_anthropic_stream(const struct json_value *object, struct json_scratch *spare, struct text *out)
{
    struct events e = {out, spare};
    const struct json_value *content = json_get(object, "content");
    uint64_t index = 0;
    if (json_kind(content) != JSON_ARRAY) return RC_CORRUPT;
    send_start(out, object);
    struct json_walk walk = json_walk(content);
    while (json_next(&walk) && !out->truncated) {
        if (json_string(json_get(walk.value, "type")).size == 0) return RC_CORRUPT;
        send_block(&e, index++, walk.value);
    }
    send_end(out, object);
    return out->truncated ? RC_TOO_LARGE : RC_OK;
}
