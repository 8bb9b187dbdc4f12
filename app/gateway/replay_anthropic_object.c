/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/replay_anthropic_object.c — a message put together from its events.
 *
 * The message as message_start has it, with what message_delta says last, and the blocks with their deltas: text and
 * thinking are joined, a signature is taken whole and byte for byte, partial JSON must come out as an object, citations
 * are listed. Blocks without deltas come along as they are; pings and unknown events do not.
 */
#include "app/gateway/replay.h"
#include "app/gateway/replay_gather.h"
#include "platform/rc.h"

enum place { ENVELOPE, USAGE, BLOCK, INPUT };

static bool is(struct span name, const char *text)
{
    return span_equal(name, span_text(text));
}

/* ---- taking the events apart */

static void take_usage(struct gather *g, const struct json_value *usage)
{
    struct json_walk walk = json_walk(usage);
    if (json_kind(usage) == JSON_OBJECT) gather_mark(gather_slot(g, ENVELOPE, 0, 0, SPAN("usage")));
    while (json_next(&walk)) gather_set(g, gather_slot(g, USAGE, 0, 0, walk.name), walk.value);
}

static void take_message(struct gather *g, const struct json_value *message)
{
    struct json_walk walk = json_walk(message);
    while (json_next(&walk)) {
        struct gather_slot *slot = gather_slot(g, ENVELOPE, 0, 0, walk.name);
        if (is(walk.name, "content"))
            gather_mark(slot);
        else if (is(walk.name, "usage"))
            take_usage(g, walk.value);
        else
            gather_set(g, slot, walk.value);
    }
}

static void take_list(struct gather *g, struct gather_slot *slot, const struct json_value *list)
{
    struct json_walk walk = json_walk(list);
    gather_append(g, slot, NULL);
    while (json_next(&walk)) gather_append(g, slot, walk.value);
}

static void take_block(struct gather *g, uint32_t index, const struct json_value *block)
{
    struct json_walk walk = json_walk(block);
    while (json_next(&walk)) {
        struct gather_slot *slot = gather_slot(g, BLOCK, index, 0, walk.name);
        bool grows = is(walk.name, "text") || is(walk.name, "thinking") || is(walk.name, "signature");
        if (grows)
            gather_take(g, slot, walk.value);
        else if (is(walk.name, "citations") && json_kind(walk.value) == JSON_ARRAY)
            take_list(g, slot, walk.value);
        else
            gather_set(g, slot, walk.value);
    }
}

static void take_delta(struct gather *g, uint32_t index, const struct json_value *delta)
{
    struct json_walk walk = json_walk(delta);
    while (json_next(&walk)) {
        if (is(walk.name, "type")) continue;
        if (is(walk.name, "partial_json")) {
            gather_slot(g, BLOCK, index, 0, SPAN("input"));
            gather_take(g, gather_slot(g, INPUT, index, 0, SPAN("")), walk.value);
        } else if (is(walk.name, "citation")) {
            gather_append(g, gather_slot(g, BLOCK, index, 0, SPAN("citations")), walk.value);
        } else if (is(walk.name, "signature")) {
            gather_put(g, gather_slot(g, BLOCK, index, 0, walk.name), json_string(walk.value));
        } else {
            gather_take(g, gather_slot(g, BLOCK, index, 0, walk.name), walk.value);
        }
    }
}

static void take_end(struct gather *g, const struct json_value *event)
{
    struct json_walk walk = json_walk(event);
    while (json_next(&walk)) {
        if (is(walk.name, "type")) continue;
        if (is(walk.name, "usage"))
            take_usage(g, walk.value);
        else if (is(walk.name, "delta"))
            take_message(g, walk.value);
        else
            gather_set(g, gather_slot(g, ENVELOPE, 0, 0, walk.name), walk.value);
    }
}

/* A block begins once, before its deltas. */
static int take_indexed(struct gather *g, const struct json_value *event, bool start)
{
    int64_t index;
    const struct json_value *block = json_get(event, "content_block");
    bool indexed = json_i64(json_get(event, "index"), &index) == RC_OK && index >= 0 && index <= INT32_MAX;
    if (!indexed || (start && json_string(json_get(block, "type")).size == 0)) return RC_CORRUPT;
    bool begun = gather_find(g, BLOCK, (uint32_t)index, 0, SPAN("type"));
    if (begun == start) return RC_CORRUPT;
    if (start)
        take_block(g, (uint32_t)index, block);
    else
        take_delta(g, (uint32_t)index, json_get(event, "delta"));
    return RC_OK;
}

static int take_event(struct gather *g, const struct json_value *event)
{
    struct span type = json_string(json_get(event, "type"));
    if (is(type, "error")) return RC_CORRUPT;
    if (is(type, "content_block_start")) return take_indexed(g, event, true);
    if (is(type, "content_block_delta")) return take_indexed(g, event, false);
    if (is(type, "message_start")) take_message(g, json_get(event, "message"));
    if (is(type, "message_delta")) take_end(g, event);
    return RC_OK;
}

static int take_stream(struct gather *g, struct span stream, const struct json_scratch *scratch)
{
    gather_start(g, scratch);
    struct event_walk walk = event_walk(stream, &g->parse);
    struct event event;
    while (!g->full && event_next(&walk, &event)) {
        const struct json_value *root;
        int rc = gather_parse(g, &walk, event.data, &root);
        if (rc == RC_OK) rc = take_event(g, root);
        if (rc != RC_OK) return rc == RC_TOO_LARGE ? rc : RC_CORRUPT;
    }
    return g->full ? RC_TOO_LARGE : RC_OK;
}

/* ---- writing the object */

static void put_name(struct text *out, bool *first, struct span name)
{
    if (!*first) text_put_char(out, ',');
    *first = false;
    text_put_json(out, name);
    text_put_char(out, ':');
}

/* The tool's input as the model wrote it, when it is an object. */
static int put_input(struct gather *g, const struct gather_slot *whole, const struct gather_slot *pieces,
                     struct text *out)
{
    struct span text;
    const struct json_value *parsed;
    if (!pieces || pieces->size == 0) {
        if (whole->kind == GATHER_NOTHING)
            text_put_text(out, "{}");
        else
            gather_write(g, whole, out);
        return RC_OK;
    }
    int rc = gather_text(g, pieces, &text);
    if (rc != RC_OK) return rc;
    size_t taken = text.data == (const char *)g->parse.memory ? (text.size + 15) & ~(size_t)15 : 0;
    if (taken > g->parse.capacity) return RC_TOO_LARGE;
    struct json_scratch rest = {(char *)g->parse.memory + taken, g->parse.capacity - taken};
    rc = json_parse(&rest, text, &parsed, NULL);
    if (rc != RC_OK) return rc == RC_TOO_LARGE ? rc : RC_CORRUPT;
    text_put_span(out, text);
    return json_kind(parsed) == JSON_OBJECT ? RC_OK : RC_CORRUPT;
}

static int put_block(struct gather *g, uint32_t index, struct text *out)
{
    bool first = true;
    int rc = RC_OK;
    text_put_char(out, '{');
    for (const struct gather_slot *s = g->first; s && rc == RC_OK; s = s->next) {
        if (s->place != BLOCK || s->item != index) continue;
        put_name(out, &first, s->name);
        if (is(s->name, "input"))
            rc = put_input(g, s, gather_find(g, INPUT, index, 0, SPAN("")), out);
        else
            gather_write(g, s, out);
    }
    text_put_char(out, '}');
    return rc;
}

/* The smallest block above `after`; false when there is none. */
static bool next_block(const struct gather *g, int64_t after, uint32_t *index)
{
    int64_t best = INT64_MAX;
    for (const struct gather_slot *s = g->first; s; s = s->next)
        if (s->place == BLOCK && s->item > after && s->item < best) best = s->item;
    *index = (uint32_t)best;
    return best != INT64_MAX;
}

static int put_content(struct gather *g, struct text *out)
{
    uint32_t index;
    int rc = RC_OK;
    text_put_char(out, '[');
    for (int64_t last = -1; rc == RC_OK && next_block(g, last, &index); last = index) {
        if (last >= 0) text_put_char(out, ',');
        rc = put_block(g, index, out);
    }
    text_put_char(out, ']');
    return rc;
}

static void put_usage(struct gather *g, struct text *out)
{
    bool first = true;
    text_put_char(out, '{');
    for (const struct gather_slot *s = g->first; s; s = s->next) {
        if (s->place != USAGE) continue;
        put_name(out, &first, s->name);
        gather_write(g, s, out);
    }
    text_put_char(out, '}');
}

static int put_message(struct gather *g, struct text *out)
{
    bool first = true;
    int rc = RC_OK;
    text_put_char(out, '{');
    for (const struct gather_slot *s = g->first; s && rc == RC_OK; s = s->next) {
        if (s->place != ENVELOPE) continue;
        put_name(out, &first, s->name);
        if (is(s->name, "content"))
            rc = put_content(g, out);
        else if (s->kind == GATHER_MARK)
            put_usage(g, out);
        else
            gather_write(g, s, out);
    }
    text_put_char(out, '}');
    return rc;
}

int replay_anthropic_object(struct span stream, struct json_scratch *scratch, struct text *out)
{
    struct gather g;
    int rc = take_stream(&g, stream, scratch);
    if (rc != RC_OK) return rc;
    if (!gather_find(&g, ENVELOPE, 0, 0, SPAN("content"))) return RC_CORRUPT;
    rc = put_message(&g, out);
    if (rc != RC_OK) return rc;
    return g.full || out->truncated ? RC_TOO_LARGE : RC_OK;
}
