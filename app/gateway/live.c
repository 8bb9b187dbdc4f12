/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/live.c — follows a live stream: where events end, and the few events that matter to the relay.
 *
 * An ordinary delta is told by two searches in its text; only what looks like a usage chunk or an error is parsed, since
 * the same words may stand in an answer's text.
 */
#include "app/gateway/dialect.h"
#include "app/gateway/dialect_events.h"
#include "platform/rc.h"

static const char *find(struct span text, struct span word)
{
    return text.size < word.size ? NULL : memmem(text.data, text.size, word.data, word.size);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* "choices" : [ ] with any blanks. */
static bool has_empty_choices(struct span data)
{
    static const char wanted[] = ":[]";
    const char *at = find(data, SPAN("\"choices\"")), *end = data.data + data.size;
    if (!at) return false;
    at += sizeof "\"choices\"" - 1;
    for (size_t i = 0; i < sizeof wanted - 1; i++, at++) {
        while (at < end && is_blank(*at)) at++;
        if (at == end || *at != wanted[i]) return false;
    }
    return true;
}

static void look_at_openai(struct live_stream *live, const struct event *event, struct json_scratch *rest)
{
    const struct json_value *root;
    if (event_is_done(event->data)) {
        live->terminal = true;
        return;
    }
    bool maybe_usage = live->usage_to == 0 && has_empty_choices(event->data);
    bool maybe_error = find(event->data, SPAN("\"error\"")) != NULL;
    if (span_equal(event->name, SPAN("error"))) live->error = true;
    if (!maybe_usage && !maybe_error) return;
    if (json_parse(rest, event->data, &root, NULL) != RC_OK) return;
    const struct json_value *error = json_get(root, "error"), *choices = json_get(root, "choices");
    if (error && json_kind(error) != JSON_NULL) live->error = true;
    bool empty = json_kind(choices) == JSON_ARRAY && json_count(choices) == 0;
    if (live->usage_to > 0 || !empty || json_kind(json_get(root, "usage")) != JSON_OBJECT) return;
    live->usage_from = event->from;
    live->usage_to = event->to;
}

/* The event's name tells; clients skip events without one, so its type decides only where the name is missing. */
static void look_at_anthropic(struct live_stream *live, const struct event *event, struct json_scratch *rest)
{
    const struct json_value *root = NULL;
    struct span type = event->name;
    if (type.size == 0) {
        if (!find(event->data, SPAN("\"message_stop\"")) && !find(event->data, SPAN("\"error\""))) return;
        if (json_parse(rest, event->data, &root, NULL) != RC_OK) return;
        type = json_string(json_get(root, "type"));
    }
    if (span_equal(type, SPAN("message_stop"))) live->terminal = true;
    if (span_equal(type, SPAN("error"))) live->error = true;
}

/* As above: by its name, or by its type where that is missing. */
static void look_at_responses(struct live_stream *live, const struct event *event, struct json_scratch *rest)
{
    const struct json_value *root = NULL;
    struct span type = event->name;
    if (type.size == 0) {
        if (json_parse(rest, event->data, &root, NULL) != RC_OK) return;
        type = json_string(json_get(root, "type"));
    }
    if (span_equal(type, SPAN("response.completed")) || span_equal(type, SPAN("response.incomplete")) ||
        span_equal(type, SPAN("response.failed")))
        live->terminal = true;
    if (span_equal(type, SPAN("error"))) live->error = true;
}

static void end_event(struct live_stream *live, struct span body, size_t to, const struct json_scratch *scratch)
{
    struct event event = {.from = live->scanned, .to = to};
    struct json_scratch rest = *scratch;
    live->scanned = to;
    if (!event_read(span_of(body.data + event.from, to - event.from), &rest, &event)) return;
    if (dialect_has_usage_chunk(live->dialect))
        look_at_openai(live, &event, &rest);
    else if (live->dialect == WIRE_RESPONSES)
        look_at_responses(live, &event, &rest);
    else
        look_at_anthropic(live, &event, &rest);
}

/* The end of the line under way; `body.size` when it has not come. A CR waits for what follows it, so that the pieces of a
 * stream never decide where its events end. */
static size_t line_end(const struct live_stream *live, struct span body)
{
    size_t end = event_line_end(body, live->looked);
    return end + 1 == body.size && body.data[end] == '\r' ? body.size : end;
}

void live_stream_scan(struct live_stream *live, struct span body, struct json_scratch *scratch)
{
    while (live->looked < body.size) {
        size_t end = line_end(live, body);
        if (end == body.size) {
            live->looked = body.data[end - 1] == '\r' ? end - 1 : end;
            break;
        }
        size_t next = event_line_next(body, end);
        bool blank = end == live->line;
        live->line = live->looked = next;
        if (blank) end_event(live, body, next, scratch);
    }
    /* Some servers close right behind the end mark, without the blank line. */
    if (dialect_has_usage_chunk(live->dialect) && live->scanned < body.size &&
        event_line_is_done(span_of(body.data + live->scanned, body.size - live->scanned)))
        live->terminal = true;
}

void live_stream_slide(struct live_stream *live, size_t cut)
{
    live->scanned -= live->scanned < cut ? live->scanned : cut;
    live->line -= live->line < cut ? live->line : cut;
    live->looked -= live->looked < cut ? live->looked : cut;
    if (live->usage_to <= cut) {
        live->usage_from = live->usage_to; /* an empty run: nothing of it is left to hide */
        return;
    }
    live->usage_from -= live->usage_from < cut ? live->usage_from : cut;
    live->usage_to -= cut;
}
