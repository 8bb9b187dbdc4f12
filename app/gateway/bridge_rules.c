/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/bridge_rules.c — see bridge_rules.h. */
#include "app/gateway/bridge_rules.h"

enum { NAME_SHOWN = 64 };

static void put_place(struct text *out, const struct bridge_place *place)
{
    if (!place) return;
    put_place(out, place->up);
    if (place->up) text_put_char(out, '.');
    text_put_text(out, place->name);
    if (place->indexed) text_format(out, "[%zu]", place->index);
}

int bridge_refuse(const struct bridge_writing *w, const struct bridge_place *place, struct span name, const char *why)
{
    struct text out = text_on(w->refusal->message, sizeof w->refusal->message);
    text_put_text(&out, "The field \"");
    put_place(&out, place);
    if (place && name.size) text_put_char(&out, '.');
    text_put(&out, name.data, name.size < NAME_SHOWN ? name.size : NAME_SHOWN);
    text_format(&out, "\" cannot be carried over to this route's provider, which speaks the %s dialect", w->provider);
    if (why) text_format(&out, ": %s", why);
    text_put_text(&out, ".");
    return RC_DENIED;
}

bool bridge_given(const struct json_value *v)
{
    return json_kind(v) != JSON_NONE && json_kind(v) != JSON_NULL;
}

bool bridge_is(const struct json_value *v, const char *text)
{
    return json_kind(v) == JSON_STRING && span_equal(json_string(v), span_text(text));
}

static bool says_nothing(const struct json_value *v)
{
    double number;
    switch (json_kind(v)) {
    case JSON_FALSE: return true;
    case JSON_NUMBER: return json_double(v, &number) == RC_OK && number == 0.0;
    case JSON_STRING: return json_string(v).size == 0;
    case JSON_ARRAY:
    case JSON_OBJECT: return json_count(v) == 0;
    default: return false;
    }
}

static bool allowed(const struct bridge_field *field, const struct json_value *v)
{
    int64_t number;
    if (field->neutral && bridge_is(v, field->neutral)) return true;
    if (field->rule == BRIDGE_UNLESS_SET) return says_nothing(v);
    if (field->rule == BRIDGE_UNLESS_ONE) return json_i64(v, &number) == RC_OK && number == 1;
    return true;
}

int bridge_check(const struct bridge_writing *w, const struct bridge_place *place, const struct json_value *object,
                 const struct bridge_field *fields, size_t count)
{
    struct json_walk walk = json_walk(object);
    while (json_next(&walk)) {
        size_t i = 0;
        if (!bridge_given(walk.value)) continue;
        while (i < count && !span_equal(walk.name, span_text(fields[i].name))) i++;
        if (i == count || !allowed(&fields[i], walk.value)) return bridge_refuse(w, place, walk.name, NULL);
    }
    return RC_OK;
}

void bridge_copy(struct text *out, const char *name, const struct json_value *v)
{
    if (!bridge_given(v)) return;
    text_format(out, ",\"%s\":", name);
    json_write(out, v);
}

/* Takes the closing quote off, or the opening one of what follows, so that texts of any length join without a copy. */
static void append_json(struct text *out, struct span s)
{
    size_t at = out->size - 1; /* over the closing quote */
    out->size = at;
    text_put_json(out, s);
    if (out->truncated || out->size < at + 2) return;
    memmove(out->data + at, out->data + at + 1, out->size - at - 1);
    out->size--;
    out->data[out->size] = 0;
}

void bridge_put_texts(struct text *out, const struct json_value *content, const char *prefix)
{
    bool first = true;
    if (out->truncated) return;
    text_put_json(out, span_text(prefix));
    if (out->truncated) return;
    if (json_kind(content) == JSON_STRING) append_json(out, json_string(content));
    struct json_walk walk = json_walk(json_kind(content) == JSON_ARRAY ? content : NULL);
    while (json_next(&walk)) {
        const struct json_value *text = json_get(walk.value, "text");
        if (!text) text = json_get(walk.value, "refusal");
        if (json_kind(text) != JSON_STRING) continue;
        if (!first && !out->truncated) append_json(out, SPAN("\n\n"));
        if (!out->truncated) append_json(out, json_string(text));
        first = false;
    }
}
