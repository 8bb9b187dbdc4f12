/* SPDX-License-Identifier: Apache-2.0 */
/* net/sse.h — server-sent events, read in any chunking and written (WHATWG HTML, section 9.2).
 *
 * Owner:   the reader borrows the caller's line buffer; an event's spans are valid until the next call.
 * Threads: one at a time a reader.
 * Fails:   RC_TOO_LARGE when one event is larger than the buffer.
 */
#ifndef NET_SSE_H
#define NET_SSE_H

#include "platform/span.h"

struct sse_event {
    struct span event; /* "" when there was no event: line */
    struct span data;  /* data: lines joined by LF, without the last one */
    struct span id;    /* "" when it had none */
};

struct sse_mark { /* bytes of the buffer */
    size_t at, size;
};

struct sse_reader {
    char *buffer; /* holds the event under way: capacity bounds one event */
    size_t capacity, size;
    size_t line_start; /* reader's own bookkeeping */
    struct sse_mark event, id;
    bool saw_cr, has_data, past_first_line, reported;
};

void sse_reader_init(struct sse_reader *r, char *buffer, size_t capacity);
/* Consumes from *in until one event is complete: RC_OK with *event, RC_AGAIN when *in is used up, RC_TOO_LARGE. A BOM
 * at the start, comments and retry: are skipped; CR, LF and CRLF end lines. An event without data is not reported. */
int sse_read(struct sse_reader *r, struct span *in, struct sse_event *event);

struct text;
/* "event: …\n" (left out when empty), "data: …\n" per line of data, "\n". */
void sse_write(struct text *out, struct span event, struct span data);

#endif
