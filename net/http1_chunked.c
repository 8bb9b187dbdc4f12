/* SPDX-License-Identifier: Apache-2.0 */
/* net/http1_chunked.c — the chunked coding (RFC 9112 section 7.1), strictly: CRLF only, sizes of at most 15 hexadecimal
 * digits, extensions and trailers are skipped within a bound. */
#include "net/http1.h"
#include "platform/rc.h"

enum {
    CHUNKED_SIZE_FIRST, /* at least one digit must come */
    CHUNKED_SIZE,
    CHUNKED_EXTENSION,
    CHUNKED_SIZE_LF,
    CHUNKED_DATA,
    CHUNKED_DATA_CR,
    CHUNKED_DATA_LF,
    CHUNKED_TRAILER_FIRST, /* start of a trailer line, or of the last one */
    CHUNKED_TRAILER,
    CHUNKED_TRAILER_LF,
    CHUNKED_END_LF,
    CHUNKED_DONE,
    CHUNKED_BROKEN,
};

enum { SIZE_DIGITS_MAX = 15, EXTENSION_MAX = 1024, TRAILERS_MAX = 8192 };

void http_chunked_start(struct http_chunked *c)
{
    *c = (struct http_chunked){0};
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

static bool is_line_text(char c)
{
    return ((unsigned char)c >= 0x20 && c != 0x7f) || c == '\t';
}

static unsigned size_step(struct http_chunked *c, char b)
{
    int digit = hex_value(b);
    if (digit >= 0) {
        if (++c->line_size > SIZE_DIGITS_MAX) return CHUNKED_BROKEN;
        c->left = c->left << 4 | (unsigned)digit;
        return CHUNKED_SIZE;
    }
    if (c->state == CHUNKED_SIZE_FIRST) return CHUNKED_BROKEN;
    if (b == '\r') return CHUNKED_SIZE_LF;
    return b == ';' ? CHUNKED_EXTENSION : CHUNKED_BROKEN;
}

static unsigned trailer_step(struct http_chunked *c, char b)
{
    if (++c->line_size > TRAILERS_MAX) return CHUNKED_BROKEN;
    if (b == '\r') return c->state == CHUNKED_TRAILER_FIRST ? CHUNKED_END_LF : CHUNKED_TRAILER_LF;
    if (c->state == CHUNKED_TRAILER_FIRST && (b == ' ' || b == '\t')) return CHUNKED_BROKEN; /* a fold */
    return is_line_text(b) ? CHUNKED_TRAILER : CHUNKED_BROKEN;
}

static unsigned after_size_line(struct http_chunked *c)
{
    c->line_size = 0;
    return c->left == 0 ? CHUNKED_TRAILER_FIRST : CHUNKED_DATA;
}

static unsigned framing_step(struct http_chunked *c, char b)
{
    switch (c->state) {
    case CHUNKED_SIZE_FIRST:
    case CHUNKED_SIZE: return size_step(c, b);
    case CHUNKED_EXTENSION:
        if (b == '\r') return CHUNKED_SIZE_LF;
        return is_line_text(b) && ++c->line_size <= EXTENSION_MAX ? CHUNKED_EXTENSION : CHUNKED_BROKEN;
    case CHUNKED_SIZE_LF: return b == '\n' ? after_size_line(c) : CHUNKED_BROKEN;
    case CHUNKED_DATA_CR: return b == '\r' ? CHUNKED_DATA_LF : CHUNKED_BROKEN;
    case CHUNKED_DATA_LF: return b == '\n' ? CHUNKED_SIZE_FIRST : CHUNKED_BROKEN;
    case CHUNKED_TRAILER_FIRST:
    case CHUNKED_TRAILER: return trailer_step(c, b);
    case CHUNKED_TRAILER_LF: return b == '\n' ? CHUNKED_TRAILER_FIRST : CHUNKED_BROKEN;
    case CHUNKED_END_LF: return b == '\n' ? CHUNKED_DONE : CHUNKED_BROKEN;
    default: return CHUNKED_BROKEN;
    }
}

static struct span take_data(struct http_chunked *c, struct span *in)
{
    size_t size = c->left < in->size ? (size_t)c->left : in->size;
    struct span out = span_of(in->data, size);
    *in = span_of(in->data + size, in->size - size);
    c->left -= size;
    if (c->left == 0) c->state = CHUNKED_DATA_CR;
    return out;
}

int http_chunked_run(struct http_chunked *c, struct span *in, struct span *out)
{
    *out = span_of(in->data, 0);
    while (c->state != CHUNKED_DONE) {
        if (c->state == CHUNKED_BROKEN) return RC_INVALID;
        if (in->size == 0) return RC_AGAIN;
        if (c->state == CHUNKED_DATA) {
            *out = take_data(c, in);
            return RC_OK;
        }
        c->state = framing_step(c, in->data[0]);
        *in = span_of(in->data + 1, in->size - 1);
    }
    return RC_EMPTY;
}

size_t http_chunk_head(char out[18], size_t size)
{
    static const char digits[] = "0123456789abcdef";
    unsigned shift = 0;
    while (shift < 60 && size >> (shift + 4) != 0) shift += 4;
    size_t n = 0;
    for (;; shift -= 4) {
        out[n++] = digits[size >> shift & 15];
        if (shift == 0) break;
    }
    out[n++] = '\r';
    out[n++] = '\n';
    return n;
}
