/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/dialect_events.h — the events of a recorded stream, which lies contiguous (WHATWG HTML, section 9.2).
 *
 * net/sse.h reads a stream as it comes; here nothing is copied: data is a span of the body, except that data of several
 * lines is joined at the end of the scratch.
 *
 * Owner:   the caller's body and scratch; an event's spans are valid until the next call.
 * Threads: one at a time a scratch.
 */
#ifndef GATEWAY_DIALECT_EVENTS_H
#define GATEWAY_DIALECT_EVENTS_H

#include "platform/json.h"

struct event {
    struct span name; /* empty when there was no event: line */
    struct span data; /* lines joined by LF; empty when there was none, or it did not fit */
    size_t from, to;  /* where it lies in the body, the closing blank line included */
};

struct event_walk {
    struct span body;
    size_t at; /* the next event begins here; at the end: what is not a complete event */
    const struct json_scratch *scratch;
    struct json_scratch rest; /* what the event leaves of the scratch: parse its data in there */
};

struct event_walk event_walk(struct span body, const struct json_scratch *scratch);
/* The next complete event with data. */
bool event_next(struct event_walk *walk, struct event *event);
/* What follows the last complete event. */
struct span event_tail(const struct event_walk *walk);

/* The end of the line that begins or goes on at `at`: the CR or LF, or `body.size`. */
size_t event_line_end(struct span body, size_t at);
/* Behind that line's end. A CR that is the last byte counts as the whole end. */
size_t event_line_next(struct span body, size_t line_end);
/* Reads the lines of one whole event whose `from` is set (a byte order mark may open a stream). False without data. */
bool event_read(struct span lines, struct json_scratch *rest, struct event *event);

/* Whether these bytes, the start of an event, are the OpenAI end mark. Matched as a prefix: some add blanks. */
bool event_is_done(struct span data);
bool event_line_is_done(struct span unfinished);

#endif
