/* SPDX-License-Identifier: Apache-2.0 */
/* net/sse.c — the buffer holds, from its start, the data so far and behind it the line under way; at its end, growing
 * downwards, the id and the event's type. */
#include "net/sse.h"

#include "platform/rc.h"
#include "platform/text.h"

void sse_reader_init(struct sse_reader *r, char *buffer, size_t capacity)
{
    *r = (struct sse_reader){.buffer = buffer, .capacity = capacity, .reported = true};
}

static void start_event(struct sse_reader *r)
{
    r->size = r->line_start = 0;
    r->event = r->id = (struct sse_mark){r->capacity, 0};
    r->has_data = r->reported = false;
}

static size_t lowest_mark(const struct sse_reader *r)
{
    return r->event.at < r->id.at ? r->event.at : r->id.at;
}

/* The value is the end of the line under way. It goes up to the lowest free place at the buffer's end, never below
 * where it is now: the line fitted, so does it. What was set before is dropped first. */
static void set_mark(struct sse_reader *r, struct sse_mark *mark, struct sse_mark *other, struct span value)
{
    if (other->at <= mark->at) { /* also when it is empty */
        memmove(r->buffer + other->at + mark->size, r->buffer + other->at, other->size);
        other->at += mark->size;
    }
    *mark = (struct sse_mark){other->at - value.size, value.size};
    memmove(r->buffer + mark->at, value.data, value.size);
}

static void add_data(struct sse_reader *r, struct span value)
{
    memmove(r->buffer + r->line_start, value.data, value.size);
    r->line_start += value.size;
    r->buffer[r->line_start++] = '\n'; /* there is room: the line was "data" at least */
    r->has_data = true;
}

static struct span first_line_without_bom(struct sse_reader *r, struct span line)
{
    bool bom = !r->past_first_line && span_starts_with(line, SPAN("\xef\xbb\xbf"));
    r->past_first_line = true;
    return bom ? span_of(line.data + 3, line.size - 3) : line;
}

/* RC_OK: the line was empty and an event is complete. */
static int take_line(struct sse_reader *r)
{
    struct span line = first_line_without_bom(r, span_of(r->buffer + r->line_start, r->size - r->line_start));
    if (line.size == 0) {
        if (r->has_data) return RC_OK;
        start_event(r);
        return RC_AGAIN;
    }
    struct span name, value = span_cut(line, ':', &name);
    if (value.size > 0 && value.data[0] == ' ') value = span_of(value.data + 1, value.size - 1);
    if (value.size == 0) value = span_of(line.data, 0);
    if (span_equal(name, SPAN("data")))
        add_data(r, value);
    else if (span_equal(name, SPAN("event")))
        set_mark(r, &r->event, &r->id, value);
    else if (span_equal(name, SPAN("id")) && !memchr(value.data, '\0', value.size))
        set_mark(r, &r->id, &r->event, value);
    r->size = r->line_start;
    return RC_AGAIN;
}

static size_t line_length(struct span in)
{
    const char *lf = memchr(in.data, '\n', in.size);
    size_t size = lf ? (size_t)(lf - in.data) : in.size;
    const char *cr = memchr(in.data, '\r', size);
    return cr ? (size_t)(cr - in.data) : size;
}

static void report(struct sse_reader *r, struct sse_event *event)
{
    event->data = span_of(r->buffer, r->line_start - 1);
    event->event = span_of(r->buffer + r->event.at, r->event.size);
    event->id = span_of(r->buffer + r->id.at, r->id.size);
    r->reported = true;
}

int sse_read(struct sse_reader *r, struct span *in, struct sse_event *event)
{
    if (r->reported) start_event(r);
    while (in->size > 0) {
        if (r->saw_cr && in->data[0] == '\n') {
            r->saw_cr = false;
            *in = span_of(in->data + 1, in->size - 1);
            continue;
        }
        r->saw_cr = false;
        size_t size = line_length(*in);
        if (size > lowest_mark(r) - r->size) return RC_TOO_LARGE;
        memcpy(r->buffer + r->size, in->data, size);
        r->size += size;
        bool ended = size < in->size;
        if (ended) r->saw_cr = in->data[size++] == '\r';
        *in = span_of(in->data + size, in->size - size);
        if (ended && take_line(r) == RC_OK) {
            report(r, event);
            return RC_OK;
        }
    }
    return RC_AGAIN;
}

void sse_write(struct text *out, struct span event, struct span data)
{
    if (event.size > 0) {
        text_put(out, "event: ", 7);
        text_put(out, event.data, line_length(event));
        text_put_char(out, '\n');
    }
    for (bool more = true; more;) {
        size_t size = data.size > 0 ? line_length(data) : 0;
        text_put(out, "data: ", 6);
        text_put(out, data.data, size);
        text_put_char(out, '\n');
        more = size < data.size;
        if (!more) break;
        size_t end = size + 1;
        if (data.data[size] == '\r' && end < data.size && data.data[end] == '\n') end++;
        data = span_of(data.data + end, data.size - end);
    }
    text_put_char(out, '\n');
}
