/* SPDX-License-Identifier: Apache-2.0 */
/* tests/fuzz/fuzz_http1_chunked.c — a chunked body decodes the same in one piece and in pieces (the first byte is their
 * size), and what was decoded, written as chunks again, decodes to itself. */
#include "net/http1.h"
#include "platform/check.h"
#include "platform/rc.h"
#include "tests/support/guard_page.h"

enum { INPUT_MAX = 16384 };

struct outcome {
    int rc;
    size_t size, left;
    char data[INPUT_MAX];
};

static void decode(struct span text, size_t piece, struct outcome *o)
{
    struct http_chunked c;
    http_chunked_start(&c);
    o->rc = RC_AGAIN;
    o->size = 0;
    o->left = 0;
    for (size_t at = 0; at < text.size && o->rc == RC_AGAIN;) {
        size_t size = text.size - at < piece ? text.size - at : piece;
        struct span in = guarded(span_of(text.data + at, size)), out;
        while ((o->rc = http_chunked_run(&c, &in, &out)) == RC_OK) {
            CHECK(out.size > 0 && o->size + out.size <= sizeof o->data);
            memcpy(o->data + o->size, out.data, out.size);
            o->size += out.size;
        }
        at += size;
        o->left = in.size + (text.size - at);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct outcome whole, pieces, again;
    static char wire[INPUT_MAX + 64];
    if (size < 1 || size > INPUT_MAX) return 0;
    struct span text = span_of((const char *)data + 1, size - 1);
    decode(text, INPUT_MAX, &whole);
    decode(text, (size_t)data[0] % 64 + 1, &pieces);
    CHECK(whole.rc == pieces.rc && whole.size == pieces.size);
    CHECK(memcmp(whole.data, pieces.data, whole.size) == 0);
    CHECK(whole.rc != RC_EMPTY || whole.left == pieces.left);
    if (whole.rc != RC_EMPTY || whole.size == 0) return 0;
    size_t n = http_chunk_head(wire, whole.size);
    memcpy(wire + n, whole.data, whole.size);
    memcpy(wire + n + whole.size, "\r\n0\r\n\r\n", 7);
    decode(span_of(wire, n + whole.size + 7), INPUT_MAX, &again);
    CHECK(again.rc == RC_EMPTY && again.size == whole.size && again.left == 0);
    CHECK(memcmp(again.data, whole.data, whole.size) == 0);
    return 0;
}
