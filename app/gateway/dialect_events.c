/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/dialect_events.c — cuts a recorded stream into events. */
#include "app/gateway/dialect_events.h"

/* Bytes of `word` that are zero get their top bit set (exact for the lowest one, which is all we ask). */
static uint64_t zero_bytes(uint64_t word)
{
    return (word - UINT64_C(0x0101010101010101)) & ~word & UINT64_C(0x8080808080808080);
}

size_t event_line_end(struct span body, size_t at)
{
    const uint64_t lf = UINT64_C(0x0a0a0a0a0a0a0a0a), cr = UINT64_C(0x0d0d0d0d0d0d0d0d);
    for (; body.size - at >= sizeof(uint64_t); at += sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, body.data + at, sizeof word);
        if (zero_bytes(word ^ lf) | zero_bytes(word ^ cr)) break;
    }
    while (at < body.size && body.data[at] != '\n' && body.data[at] != '\r') at++;
    return at;
}

size_t event_line_next(struct span body, size_t line_end)
{
    if (line_end == body.size) return line_end;
    bool pair = body.data[line_end] == '\r' && line_end + 1 < body.size && body.data[line_end + 1] == '\n';
    return line_end + (pair ? 2 : 1);
}

/* The value of a line `field: value` whose field is `name`, one blank after the colon taken off. */
static bool line_value(struct span line, struct span name, struct span *value)
{
    if (!span_starts_with(line, name)) return false;
    *value = span_of(line.data + name.size, line.size - name.size);
    if (value->size == 0) return true;
    if (value->data[0] != ':') return false;
    size_t colon = value->size > 1 && value->data[1] == ' ' ? 2 : 1;
    *value = span_of(value->data + colon, value->size - colon);
    return true;
}

/* Second and later data lines: all of them move to the end of the scratch, which shrinks by what the event may need. */
static void join_data(struct span *data, struct span line, size_t whole, struct json_scratch *rest, char **joined)
{
    if (!*joined) {
        size_t room = whole + 16;
        if (room > rest->capacity || data->size > whole) {
            *data = span_of(NULL, 0);
            return;
        }
        rest->capacity = (rest->capacity - room) & ~(size_t)15;
        *joined = (char *)rest->memory + rest->capacity;
        if (data->size > 0) memcpy(*joined, data->data, data->size);
        data->data = *joined;
    }
    (*joined)[data->size++] = '\n';
    if (line.size > 0) memcpy(*joined + data->size, line.data, line.size);
    data->size += line.size;
}

bool event_read(struct span lines, struct json_scratch *rest, struct event *event)
{
    bool has_data = false;
    char *joined = NULL;
    event->name = event->data = span_of(NULL, 0);
    size_t bom = event->from == 0 && span_starts_with(lines, SPAN("\xEF\xBB\xBF")) ? 3 : 0;
    for (size_t at = bom; at < lines.size;) {
        size_t end = event_line_end(lines, at);
        struct span line = span_of(lines.data + at, end - at), value;
        at = event_line_next(lines, end);
        if (line_value(line, SPAN("data"), &value)) {
            if (has_data)
                join_data(&event->data, value, lines.size, rest, &joined);
            else
                event->data = value;
            has_data = true;
        } else if (line_value(line, SPAN("event"), &value)) {
            event->name = value;
        }
    }
    return has_data;
}

struct event_walk event_walk(struct span body, const struct json_scratch *scratch)
{
    return (struct event_walk){.body = body, .scratch = scratch, .rest = *scratch};
}

/* Behind the blank line that closes the event at `from`; 0 when there is none. */
static size_t event_end(struct span body, size_t from)
{
    for (size_t at = from; at < body.size;) {
        size_t end = event_line_end(body, at);
        if (end == body.size) return 0;
        size_t next = event_line_next(body, end);
        if (end == at) return next;
        at = next;
    }
    return 0;
}

bool event_next(struct event_walk *walk, struct event *event)
{
    for (size_t end; (end = event_end(walk->body, walk->at)) > 0;) {
        event->from = walk->at;
        event->to = walk->at = end;
        walk->rest = *walk->scratch;
        if (event_read(span_of(walk->body.data + event->from, end - event->from), &walk->rest, event)) return true;
    }
    return false;
}

struct span event_tail(const struct event_walk *walk)
{
    if (walk->at == walk->body.size) return span_of(NULL, 0);
    return span_of(walk->body.data + walk->at, walk->body.size - walk->at);
}

bool event_is_done(struct span data)
{
    return span_starts_with(data, SPAN("[DONE]"));
}

bool event_line_is_done(struct span unfinished)
{
    struct span value;
    return line_value(unfinished, SPAN("data"), &value) && event_is_done(value);
}
