/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/replay_openai_object.c — a chat.completion put together from its chunks.
 *
 * Strings of a delta are joined, `role` and a function's `name` are taken once, anything else stands as last said.
 * Unknown members come along by the same rule; `obfuscation` (padding of streams) does not. `content` next to tool calls
 * is null when it is empty, as in the API's own objects.
 */
#include "app/gateway/replay.h"
#include "app/gateway/replay_gather.h"
#include "platform/rc.h"

enum place { ENVELOPE, CHOICE, LOGPROBS, MESSAGE, LEGACY_CALL, CALL, CALL_INNER };

/* ---- taking the chunks apart */

static bool is(struct span name, const char *text)
{
    return span_equal(name, span_text(text));
}

static uint32_t index_of(const struct json_value *object, uint32_t otherwise)
{
    int64_t index;
    if (json_i64(json_get(object, "index"), &index) != RC_OK || index < 0 || index > INT32_MAX) return otherwise;
    return (uint32_t)index;
}

/* A function's or custom tool's members: the name comes once, arguments and input grow. */
static void take_inner(struct gather *g, uint32_t place, uint32_t choice, uint32_t call, const struct json_value *inner)
{
    struct json_walk walk = json_walk(inner);
    while (json_next(&walk)) {
        struct gather_slot *slot = gather_slot(g, place, choice, call, walk.name);
        if (!is(walk.name, "name"))
            gather_take(g, slot, walk.value);
        else if (json_string(walk.value).size > 0)
            gather_put(g, slot, json_string(walk.value));
    }
}

static void take_call(struct gather *g, uint32_t choice, uint32_t call, const struct json_value *entry)
{
    struct json_walk walk = json_walk(entry);
    while (json_next(&walk)) {
        if (is(walk.name, "index")) continue;
        bool inner = is(walk.name, "function") || is(walk.name, "custom");
        bool empty = json_kind(walk.value) == JSON_STRING && json_string(walk.value).size == 0;
        struct gather_slot *slot = gather_slot(g, CALL, choice, call, walk.name);
        if (inner && json_kind(walk.value) == JSON_OBJECT) {
            gather_mark(slot);
            take_inner(g, CALL_INNER, choice, call, walk.value);
        } else if (!empty || (slot && slot->kind == GATHER_NOTHING)) {
            gather_set(g, slot, walk.value);
        }
    }
}

static void take_calls(struct gather *g, uint32_t choice, const struct json_value *calls)
{
    uint32_t position = 0;
    struct json_walk walk = json_walk(calls);
    while (json_next(&walk)) {
        take_call(g, choice, index_of(walk.value, position), walk.value);
        position++;
    }
}

static void take_delta(struct gather *g, uint32_t choice, const struct json_value *delta)
{
    struct json_walk walk = json_walk(delta);
    while (json_next(&walk)) {
        struct gather_slot *slot = gather_slot(g, MESSAGE, choice, 0, walk.name);
        if (is(walk.name, "tool_calls") && json_kind(walk.value) == JSON_ARRAY) {
            gather_mark(slot);
            take_calls(g, choice, walk.value);
        } else if (is(walk.name, "function_call") && json_kind(walk.value) == JSON_OBJECT) {
            gather_mark(slot);
            take_inner(g, LEGACY_CALL, choice, 0, walk.value);
        } else if (is(walk.name, "role")) {
            gather_set(g, slot, walk.value);
        } else {
            gather_take(g, slot, walk.value);
        }
    }
}

/* Lists of tokens grow. */
static void take_logprobs(struct gather *g, uint32_t choice, const struct json_value *logprobs)
{
    struct json_walk walk = json_walk(logprobs);
    while (json_next(&walk)) {
        struct gather_slot *slot = gather_slot(g, LOGPROBS, choice, 0, walk.name);
        if (json_kind(walk.value) != JSON_ARRAY) {
            gather_set(g, slot, walk.value);
            continue;
        }
        gather_append(g, slot, NULL);
        struct json_walk tokens = json_walk(walk.value);
        while (json_next(&tokens)) gather_append(g, slot, tokens.value);
    }
}

static void take_choice(struct gather *g, uint32_t choice, const struct json_value *entry)
{
    struct json_walk walk = json_walk(entry);
    while (json_next(&walk)) {
        if (is(walk.name, "index")) continue;
        struct gather_slot *slot = gather_slot(g, CHOICE, choice, 0, walk.name);
        if (is(walk.name, "delta")) {
            gather_mark(slot);
            take_delta(g, choice, walk.value);
        } else if (is(walk.name, "text")) {
            gather_take(g, slot, walk.value); /* of a legacy completion */
        } else if (is(walk.name, "logprobs") && json_kind(walk.value) == JSON_OBJECT) {
            gather_mark(slot);
            take_logprobs(g, choice, walk.value);
        } else {
            gather_set(g, slot, walk.value);
        }
    }
}

static void take_chunk(struct gather *g, const struct json_value *chunk)
{
    struct json_walk walk = json_walk(chunk);
    while (json_next(&walk)) {
        if (is(walk.name, "obfuscation")) continue;
        if (is(walk.name, "usage") && json_kind(walk.value) == JSON_NULL) continue;
        struct gather_slot *slot = gather_slot(g, ENVELOPE, 0, 0, walk.name);
        if (!is(walk.name, "choices")) {
            gather_set(g, slot, walk.value);
            continue;
        }
        gather_mark(slot);
        uint32_t position = 0;
        struct json_walk choices = json_walk(walk.value);
        while (json_next(&choices)) {
            take_choice(g, index_of(choices.value, position), choices.value);
            position++;
        }
    }
}

/* ---- writing the object */

struct writing {
    struct gather *g;
    struct text *out;
    bool legacy; /* text_completion: chunks and objects have one name */
};

static void put_name(struct writing *w, bool *first, struct span name)
{
    if (!*first) text_put_char(w->out, ',');
    *first = false;
    text_put_json(w->out, name);
    text_put_char(w->out, ':');
}

static void put_members(struct writing *w, uint32_t place, uint32_t choice, uint32_t call)
{
    bool first = true;
    text_put_char(w->out, '{');
    for (const struct gather_slot *s = w->g->first; s; s = s->next) {
        if (s->place != place || s->item != choice || s->sub != call) continue;
        put_name(w, &first, s->name);
        if (s->kind == GATHER_MARK)
            put_members(w, CALL_INNER, choice, call); /* only a call holds one */
        else
            gather_write(w->g, s, w->out);
    }
    text_put_char(w->out, '}');
}

/* The smallest number above `after` that a slot of this place has. */
static bool next_number(const struct gather *g, uint32_t place, const uint32_t *choice, int64_t after, uint32_t *number)
{
    int64_t best = INT64_MAX;
    for (const struct gather_slot *s = g->first; s; s = s->next) {
        if (s->place != place || (choice && s->item != *choice)) continue;
        int64_t value = choice ? s->sub : s->item;
        if (value > after && value < best) best = value;
    }
    *number = (uint32_t)best;
    return best != INT64_MAX;
}

static void put_calls(struct writing *w, uint32_t choice)
{
    uint32_t call;
    text_put_char(w->out, '[');
    for (int64_t last = -1; next_number(w->g, CALL, &choice, last, &call); last = call) {
        if (last >= 0) text_put_char(w->out, ',');
        put_members(w, CALL, choice, call);
    }
    text_put_char(w->out, ']');
}

static bool content_is_null(const struct writing *w, uint32_t choice, const struct gather_slot *content)
{
    if (!content) return true;
    if (content->kind != GATHER_TEXT || content->size > 0) return false;
    return gather_find(w->g, MESSAGE, choice, 0, SPAN("tool_calls")) ||
           gather_find(w->g, MESSAGE, choice, 0, SPAN("function_call"));
}

static void put_message(struct writing *w, uint32_t choice)
{
    const struct gather_slot *role = gather_find(w->g, MESSAGE, choice, 0, SPAN("role"));
    const struct gather_slot *content = gather_find(w->g, MESSAGE, choice, 0, SPAN("content"));
    text_put_text(w->out, "{\"role\":");
    if (role && role->kind == GATHER_VALUE)
        gather_write(w->g, role, w->out);
    else
        text_put_text(w->out, "\"assistant\"");
    text_put_text(w->out, ",\"content\":");
    gather_write(w->g, content_is_null(w, choice, content) ? NULL : content, w->out);
    for (const struct gather_slot *s = w->g->first; s; s = s->next) {
        bool first = false;
        if (s->place != MESSAGE || s->item != choice || s == role || s == content) continue;
        put_name(w, &first, s->name);
        if (s->kind != GATHER_MARK)
            gather_write(w->g, s, w->out);
        else if (is(s->name, "tool_calls"))
            put_calls(w, choice);
        else
            put_members(w, LEGACY_CALL, choice, 0);
    }
    text_put_char(w->out, '}');
}

static void put_choice(struct writing *w, uint32_t choice)
{
    text_put_text(w->out, "{\"index\":");
    text_put_u64(w->out, choice);
    for (const struct gather_slot *s = w->g->first; s; s = s->next) {
        bool first = false, delta = is(s->name, "delta");
        if (s->place != CHOICE || s->item != choice) continue;
        put_name(w, &first, delta ? SPAN("message") : s->name);
        if (s->kind != GATHER_MARK)
            gather_write(w->g, s, w->out);
        else if (delta)
            put_message(w, choice);
        else
            put_members(w, LOGPROBS, choice, 0);
    }
    text_put_char(w->out, '}');
}

static void put_choices(struct writing *w)
{
    uint32_t choice;
    text_put_char(w->out, '[');
    for (int64_t last = -1; next_number(w->g, CHOICE, NULL, last, &choice); last = choice) {
        if (last >= 0) text_put_char(w->out, ',');
        put_choice(w, choice);
    }
    text_put_char(w->out, ']');
}

static void put_envelope(struct writing *w)
{
    bool first = true;
    text_put_char(w->out, '{');
    for (const struct gather_slot *s = w->g->first; s; s = s->next) {
        if (s->place != ENVELOPE) continue;
        put_name(w, &first, s->name);
        if (s->kind == GATHER_MARK)
            put_choices(w);
        else if (is(s->name, "object") && !w->legacy)
            text_put_text(w->out, "\"chat.completion\"");
        else
            gather_write(w->g, s, w->out);
    }
    text_put_char(w->out, '}');
}

/* ---- */

static int take_stream(struct gather *g, struct span stream, const struct json_scratch *scratch)
{
    gather_start(g, scratch);
    struct event_walk walk = event_walk(stream, &g->parse);
    struct event event;
    while (!g->full && event_next(&walk, &event) && !event_is_done(event.data)) {
        const struct json_value *chunk;
        int rc = gather_parse(g, &walk, event.data, &chunk);
        if (rc != RC_OK) return rc == RC_INVALID ? RC_CORRUPT : rc;
        if (json_kind(chunk) != JSON_OBJECT) return RC_CORRUPT;
        take_chunk(g, chunk);
    }
    return g->full ? RC_TOO_LARGE : RC_OK;
}

int replay_openai_object(enum dialect wire, struct span stream, struct json_scratch *scratch, struct text *out)
{
    struct gather g;
    uint32_t choice;
    int rc = take_stream(&g, stream, scratch);
    if (rc != RC_OK) return rc;
    if (!next_number(&g, CHOICE, NULL, -1, &choice)) return RC_CORRUPT;
    put_envelope(&(struct writing){&g, out, wire == WIRE_COMPLETIONS});
    return g.full || out->truncated ? RC_TOO_LARGE : RC_OK;
}
