/* SPDX-License-Identifier: Apache-2.0 */
/* platform/text.c — text in a fixed buffer. */
#include "platform/text.h"

#include <stdarg.h>
#include <stdio.h>

#include "platform/check.h"

struct text text_on(char *buffer, size_t capacity)
{
    CHECK(capacity > 0);
    buffer[0] = '\0';
    return (struct text){buffer, capacity, 0, false};
}

void text_clear(struct text *t)
{
    t->size = 0;
    t->truncated = false;
    t->data[0] = '\0';
}

void text_put(struct text *t, const char *data, size_t size)
{
    size_t room = t->capacity - 1 - t->size;
    if (size > room) {
        size = room;
        t->truncated = true;
    }
    if (size == 0) return;
    memcpy(t->data + t->size, data, size);
    t->size += size;
    t->data[t->size] = '\0';
}

void text_put_char(struct text *t, char c)
{
    if (t->size + 1 >= t->capacity) {
        t->truncated = true;
        return;
    }
    t->data[t->size++] = c;
    t->data[t->size] = '\0';
}

void text_put_u64(struct text *t, uint64_t value)
{
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    text_put(t, digits + at, sizeof digits - at);
}

void text_put_i64(struct text *t, int64_t value)
{
    if (value < 0) text_put_char(t, '-');
    text_put_u64(t, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
}

static const char hex_digits[] = "0123456789abcdef";

void text_put_hex(struct text *t, const void *bytes, size_t size)
{
    const unsigned char *b = bytes;
    for (size_t i = 0; i < size; i++) {
        char pair[2] = {hex_digits[b[i] >> 4], hex_digits[b[i] & 15]};
        text_put(t, pair, 2);
    }
}

void text_format(struct text *t, const char *format, ...)
{
    size_t room = t->capacity - t->size;
    va_list args;
    va_start(args, format);
    int wanted = vsnprintf(t->data + t->size, room, format, args);
    va_end(args);
    if (wanted < 0) {
        t->data[t->size] = '\0';
        t->truncated = true;
    } else if ((size_t)wanted >= room) {
        t->size = t->capacity - 1;
        t->truncated = true;
    } else {
        t->size += (size_t)wanted;
    }
}

static bool is_continuation(const unsigned char *p)
{
    return (*p & 0xC0) == 0x80;
}

/* Length of the valid UTF-8 sequence at `p`, 0 when there is none (Unicode 15, table 3-7: no overlong forms, no
 * surrogates, nothing above U+10FFFF). */
static size_t utf8_length(const unsigned char *p, size_t left)
{
    if (p[0] < 0x80) return 1;
    if (p[0] >= 0xC2 && p[0] <= 0xDF) return left >= 2 && is_continuation(p + 1) ? 2 : 0;
    if (p[0] >= 0xE0 && p[0] <= 0xEF) {
        if (left < 3 || !is_continuation(p + 1) || !is_continuation(p + 2)) return 0;
        bool overlong = p[0] == 0xE0 && p[1] < 0xA0;
        bool surrogate = p[0] == 0xED && p[1] > 0x9F;
        return overlong || surrogate ? 0 : 3;
    }
    if (p[0] >= 0xF0 && p[0] <= 0xF4) {
        if (left < 4 || !is_continuation(p + 1) || !is_continuation(p + 2) || !is_continuation(p + 3)) return 0;
        bool overlong = p[0] == 0xF0 && p[1] < 0x90;
        bool beyond = p[0] == 0xF4 && p[1] > 0x8F;
        return overlong || beyond ? 0 : 4;
    }
    return 0;
}

static bool json_plain(unsigned char c)
{
    return c >= 0x20 && c < 0x7F && c != '"' && c != '\\';
}

/* RFC 8259 section 7. */
static void put_json_escape(struct text *t, unsigned char c)
{
    static const char short_form[] = "btn?fr";
    if (c == '"' || c == '\\') {
        char pair[2] = {'\\', (char)c};
        text_put(t, pair, 2);
    } else if (c >= '\b' && c <= '\r' && c != '\v') {
        char pair[2] = {'\\', short_form[c - '\b']};
        text_put(t, pair, 2);
    } else {
        char escape[6] = {'\\', 'u', '0', '0', hex_digits[c >> 4], hex_digits[c & 15]};
        text_put(t, escape, 6);
    }
}

void text_put_json(struct text *t, struct span s)
{
    const unsigned char *p = (const unsigned char *)s.data;
    size_t i = 0;
    text_put_char(t, '"');
    while (i < s.size) {
        size_t run = i;
        while (run < s.size && json_plain(p[run])) run++;
        text_put(t, s.data + i, run - i);
        i = run;
        if (i == s.size) break;
        size_t length = utf8_length(p + i, s.size - i);
        if (length == 0)
            text_put(t, "\xEF\xBF\xBD", 3);
        else if (length == 1)
            put_json_escape(t, p[i]);
        else
            text_put(t, s.data + i, length);
        i += length > 0 ? length : 1;
    }
    text_put_char(t, '"');
}
