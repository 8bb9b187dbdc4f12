/* SPDX-License-Identifier: Apache-2.0 */
/* tests/fuzz/fuzz_sse.c — a stream of events reads the same in one piece and in pieces (the first byte is their size),
 * and each event, written, reads as itself. The second byte is the buffer's capacity. */
#include "net/sse.h"
#include "platform/check.h"
#include "platform/rc.h"
#include "platform/text.h"
#include "tests/support/guard_page.h"

enum { INPUT_MAX = 8192, LOG_MAX = 1 << 16 };

static void check_round_trip(const struct sse_event *e)
{
    static char wire[8 * INPUT_MAX], buffer[2 * INPUT_MAX];
    struct text out = text_on(wire, sizeof wire);
    sse_write(&out, e->event, e->data);
    CHECK(!out.truncated);
    struct sse_reader r;
    sse_reader_init(&r, buffer, sizeof buffer);
    struct span in = text_span(&out);
    struct sse_event copy;
    CHECK(sse_read(&r, &in, &copy) == RC_OK);
    CHECK(in.size == 0 && span_equal(copy.event, e->event));
    CHECK(memchr(e->data.data, '\r', e->data.size) || span_equal(copy.data, e->data));
}

/* All events as one text; the reader's buffer is a heap-like block of exactly `capacity` bytes, ended by a canary. */
static int read_all(struct span text, size_t piece, size_t capacity, struct text *log)
{
    static char buffer[INPUT_MAX + 1];
    buffer[capacity] = '#';
    struct sse_reader r;
    sse_reader_init(&r, buffer, capacity);
    int rc = RC_AGAIN;
    for (size_t at = 0; at < text.size && rc == RC_AGAIN; at += piece) {
        struct span in = guarded(span_of(text.data + at, text.size - at < piece ? text.size - at : piece));
        struct sse_event e;
        while ((rc = sse_read(&r, &in, &e)) == RC_OK) {
            CHECK(e.event.size + e.data.size + e.id.size <= capacity);
            text_put_span(log, e.event);
            text_put_char(log, '\1');
            text_put_span(log, e.data);
            text_put_char(log, '\2');
            text_put_span(log, e.id);
            if (piece >= text.size) check_round_trip(&e);
        }
    }
    CHECK(buffer[capacity] == '#');
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char a[LOG_MAX], b[LOG_MAX];
    if (size < 2 || size > INPUT_MAX) return 0;
    struct span text = span_of((const char *)data + 2, size - 2);
    size_t capacity = data[1] == 255 ? INPUT_MAX : (size_t)data[1] + 1;
    struct text whole = text_on(a, sizeof a), pieces = text_on(b, sizeof b);
    int rc = read_all(text, INPUT_MAX, capacity, &whole);
    CHECK(read_all(text, (size_t)data[0] % 32 + 1, capacity, &pieces) == rc);
    CHECK(rc == RC_AGAIN || rc == RC_TOO_LARGE);
    CHECK(span_equal(text_span(&whole), text_span(&pieces)));
    return 0;
}
