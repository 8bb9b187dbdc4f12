/* SPDX-License-Identifier: Apache-2.0 */
/* platform/text.h — build text in a buffer of fixed size.
 *
 * Owner:   the caller owns the bytes. `data` is always terminated (capacity counts the terminator).
 * Threads: one at a time.
 * Fails:   never in the middle: what does not fit is left out and `truncated` says so; callers look once, at the end.
 */
#ifndef PLATFORM_TEXT_H
#define PLATFORM_TEXT_H

#include "platform/span.h"

struct text {
    char *data;
    size_t capacity;
    size_t size;
    bool truncated;
};

struct text text_on(char *buffer, size_t capacity);
void text_clear(struct text *t);
void text_put(struct text *t, const char *data, size_t size);
void text_put_char(struct text *t, char c);
void text_put_u64(struct text *t, uint64_t value);
void text_put_i64(struct text *t, int64_t value);
void text_put_hex(struct text *t, const void *bytes, size_t size); /* lower case */
__attribute__((format(printf, 2, 3))) void text_format(struct text *t, const char *format, ...);
/* As a JSON string with its quotes; control characters, quote and backslash escaped, invalid UTF-8 as U+FFFD. */
void text_put_json(struct text *t, struct span s);

static inline void text_put_span(struct text *t, struct span s)
{
    text_put(t, s.data, s.size);
}

/* Inline so that the size of a literal is known where it is compiled. */
static inline void text_put_text(struct text *t, const char *terminated)
{
    text_put(t, terminated, strlen(terminated));
}

static inline struct span text_span(const struct text *t)
{
    return span_of(t->data, t->size);
}

#endif
