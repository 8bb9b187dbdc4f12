/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/replay_responses.c — a response as typed events, and out of its last one.
 *
 * Events in the order in which the API sends them, numbered from 0 without gaps: created and in_progress with an empty
 * response, each item begun, its texts in one delta each, done, and the whole response in `response.completed`. There is
 * no [DONE]. Items and parts of unknown types begin as they end.
 */
#include "app/gateway/dialect_events.h"
#include "app/gateway/replay.h"
#include "platform/rc.h"

struct sending {
    struct text *out;
    uint64_t number; /* of the next event */
    const struct json_value *item;
    uint64_t item_index, part_index;
};

/* A part's type, the event of its text, and the member that grows. */
struct growing {
    const char *type, *event, *member;
};

static const struct growing growing_parts[] = {
    {"output_text", "response.output_text", "text"},
    {"refusal", "response.refusal", "refusal"},
    {"reasoning_text", "response.reasoning_text", "text"},
    {"summary_text", "response.reasoning_summary_text", "text"},
};

static const struct growing growing_items[] = {
    {"function_call", "response.function_call_arguments", "arguments"},
    {"custom_tool_call", "response.custom_tool_call_input", "input"},
    {"mcp_call", "response.mcp_call_arguments", "arguments"},
};

static bool is(struct span name, const char *text)
{
    return span_equal(name, span_text(text));
}

static const struct growing *find(const struct growing *rows, unsigned count, const struct json_value *of)
{
    struct span type = json_string(json_get(of, "type"));
    for (unsigned i = 0; i < count; i++)
        if (is(type, rows[i].type) && json_kind(json_get(of, rows[i].member)) == JSON_STRING) return &rows[i];
    return NULL;
}

static const struct growing *part_of(const struct json_value *part)
{
    return find(growing_parts, sizeof growing_parts / sizeof *growing_parts, part);
}

static const struct growing *item_of(const struct json_value *item)
{
    return find(growing_items, sizeof growing_items / sizeof *growing_items, item);
}

/* ---- pieces of events */

static void begin_event(struct sending *s, const char *type, const char *step)
{
    text_put_text(s->out, "event: ");
    text_put_text(s->out, type);
    text_put_text(s->out, step);
    text_put_text(s->out, "\ndata: {\"type\":\"");
    text_put_text(s->out, type);
    text_put_text(s->out, step);
    text_put_text(s->out, "\",\"sequence_number\":");
    text_put_u64(s->out, s->number++);
}

static void end_event(struct sending *s)
{
    text_put_text(s->out, "}\n\n");
}

static void put_number(struct sending *s, const char *name, uint64_t value)
{
    text_put_text(s->out, ",\"");
    text_put_text(s->out, name);
    text_put_text(s->out, "\":");
    text_put_u64(s->out, value);
}

static void put_value(struct sending *s, const char *name, const struct json_value *value)
{
    text_put_text(s->out, ",\"");
    text_put_text(s->out, name);
    text_put_text(s->out, "\":");
    if (value)
        json_write(s->out, value);
    else
        text_put_text(s->out, "[]");
}

static void put_place(struct sending *s)
{
    const struct json_value *id = json_get(s->item, "id");
    if (id) put_value(s, "item_id", id);
    put_number(s, "output_index", s->item_index);
}

/* A text where one begins: a string is empty, a list too, a status `in_progress`, anything else as it will be. */
static const char *begun(struct span name, const struct json_value *value, const char *const *fresh, unsigned count)
{
    enum json_kind kind = json_kind(value);
    for (unsigned i = 0; i < count; i++) {
        if (!is(name, fresh[i])) continue;
        if (kind == JSON_STRING) return "\"\"";
        if (kind == JSON_ARRAY) return "[]";
    }
    return NULL;
}

static void put_begun(struct sending *s, const char *name, const struct json_value *object, const char *const *fresh,
                      unsigned count)
{
    const char *separator = "{";
    text_put_text(s->out, ",\"");
    text_put_text(s->out, name);
    text_put_text(s->out, "\":");
    struct json_walk walk = json_walk(object);
    while (json_next(&walk)) {
        const char *instead = begun(walk.name, walk.value, fresh, count);
        if (is(walk.name, "status")) instead = "\"in_progress\"";
        if (is(walk.name, "usage") || is(walk.name, "completed_at")) instead = "null";
        text_put_text(s->out, separator);
        separator = ",";
        text_put_json(s->out, walk.name);
        text_put_char(s->out, ':');
        if (instead)
            text_put_text(s->out, instead);
        else
            json_write(s->out, walk.value);
    }
    text_put_text(s->out, separator[0] == '{' ? "{}" : "}");
}

/* ---- parts */

static void send_grown(struct sending *s, const struct growing *g, const struct json_value *of, const char *index)
{
    static const char *const steps[] = {".delta", ".done"};
    bool logprobs = is(span_text(g->type), "output_text");
    for (unsigned i = 0; i < 2; i++) {
        if (i == 0 && json_string(json_get(of, g->member)).size == 0) continue;
        begin_event(s, g->event, steps[i]);
        put_place(s);
        if (index) put_number(s, index, s->part_index);
        if (logprobs) put_value(s, "logprobs", json_get(of, "logprobs"));
        if (i == 1 && json_get(of, "name")) put_value(s, "name", json_get(of, "name"));
        put_value(s, i == 0 ? "delta" : g->member, json_get(of, g->member));
        end_event(s);
    }
}

static void send_annotations(struct sending *s, const struct json_value *part)
{
    uint64_t number = 0;
    struct json_walk walk = json_walk(json_get(part, "annotations"));
    while (json_next(&walk)) {
        begin_event(s, "response.output_text.annotation", ".added");
        put_place(s);
        put_number(s, "content_index", s->part_index);
        put_number(s, "annotation_index", number++);
        put_value(s, "annotation", walk.value);
        end_event(s);
    }
}

/* `what`: the events of the part itself; `index`: how its place is called. */
static void send_part(struct sending *s, const struct json_value *part, const char *what, const char *index)
{
    static const char *const fresh[] = {"text", "refusal", "annotations", "logprobs"};
    const struct growing *g = part_of(part);
    begin_event(s, what, ".added");
    put_place(s);
    put_number(s, index, s->part_index);
    put_begun(s, "part", part, fresh, sizeof fresh / sizeof *fresh);
    end_event(s);
    if (g) send_annotations(s, part);
    if (g) send_grown(s, g, part, index);
    begin_event(s, what, ".done");
    put_place(s);
    put_number(s, index, s->part_index);
    put_value(s, "part", part);
    end_event(s);
}

static void send_parts(struct sending *s, const char *member, const char *what, const char *index)
{
    struct json_walk walk = json_walk(json_get(s->item, member));
    s->part_index = 0;
    while (json_next(&walk)) {
        send_part(s, walk.value, what, index);
        s->part_index++;
    }
}

/* ---- items */

static void send_item(struct sending *s)
{
    static const char *const fresh[] = {"content", "summary", "arguments", "input"};
    struct span type = json_string(json_get(s->item, "type"));
    const struct growing *g = item_of(s->item);
    bool known = g || is(type, "message") || is(type, "reasoning");
    begin_event(s, "response.output_item", ".added");
    put_number(s, "output_index", s->item_index);
    put_begun(s, "item", s->item, fresh, known ? sizeof fresh / sizeof *fresh : 0);
    end_event(s);
    if (known && !g) send_parts(s, "summary", "response.reasoning_summary_part", "summary_index");
    if (known && !g) send_parts(s, "content", "response.content_part", "content_index");
    if (g) send_grown(s, g, s->item, NULL);
    begin_event(s, "response.output_item", ".done");
    put_number(s, "output_index", s->item_index);
    put_value(s, "item", s->item);
    end_event(s);
}

int replay_responses_stream(const struct json_value *object, struct text *out)
{
    static const char *const fresh[] = {"output"};
    struct sending s = {.out = out};
    const struct json_value *items = json_get(object, "output");
    if (json_kind(items) != JSON_ARRAY) return RC_CORRUPT;
    begin_event(&s, "response", ".created");
    put_begun(&s, "response", object, fresh, 1);
    end_event(&s);
    begin_event(&s, "response", ".in_progress");
    put_begun(&s, "response", object, fresh, 1);
    end_event(&s);
    struct json_walk walk = json_walk(items);
    for (; json_next(&walk) && !out->truncated; s.item_index++) {
        s.item = walk.value;
        send_item(&s);
    }
    begin_event(&s, "response", ".completed");
    put_value(&s, "response", object);
    end_event(&s);
    return out->truncated ? RC_TOO_LARGE : RC_OK;
}

/* ---- the object */

int replay_responses_object(struct span stream, struct json_scratch *scratch, struct text *out)
{
    struct event_walk walk = event_walk(stream, scratch);
    struct event event;
    const struct json_value *root;
    while (event_next(&walk, &event)) {
        if (event.name.size && !is(event.name, "response.completed")) continue;
        int rc = json_parse(&walk.rest, event.data, &root, NULL);
        if (rc != RC_OK) return rc == RC_TOO_LARGE ? rc : RC_CORRUPT;
        if (!is(json_string(json_get(root, "type")), "response.completed")) continue;
        json_write(out, json_get(root, "response"));
        return out->truncated ? RC_TOO_LARGE : RC_OK;
    }
    return RC_CORRUPT;
}
