/* SPDX-License-Identifier: Apache-2.0 */
/* platform/crypto_text.c — bytes as text: base64 and hex. */
#include "platform/crypto.h"
#include "platform/rc.h"

static const char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char hex_digits[] = "0123456789abcdef";

size_t base64_encode(const void *data, size_t size, char *out)
{
    const unsigned char *p = data;
    char *start = out;
    for (; size > 0; p += 3) {
        uint32_t group = (uint32_t)p[0] << 16 | (size > 1 ? (uint32_t)p[1] << 8 : 0) | (size > 2 ? p[2] : 0);
        *out++ = base64_digits[group >> 18];
        *out++ = base64_digits[group >> 12 & 63];
        *out++ = size > 1 ? base64_digits[group >> 6 & 63] : '=';
        *out++ = size > 2 ? base64_digits[group & 63] : '=';
        size -= size < 3 ? size : 3;
    }
    return (size_t)(out - start);
}

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    if (c == '+') return 62;
    return c == '/' ? 63 : -1;
}

static size_t padding_of(struct span text)
{
    if (text.size == 0 || text.data[text.size - 1] != '=') return 0;
    return text.data[text.size - 2] == '=' ? 2 : 1;
}

int base64_decode(struct span text, void *out, size_t capacity, size_t *size)
{
    unsigned char *p = out;
    *size = 0;
    if (text.size % 4 != 0) return RC_INVALID;
    size_t padding = padding_of(text), digits = text.size - padding, bytes = text.size / 4 * 3 - padding;
    if (bytes > capacity) return RC_TOO_LARGE;
    uint32_t bits = 0;
    unsigned count = 0;
    for (size_t i = 0; i < digits; i++) {
        int value = base64_value(text.data[i]);
        if (value < 0) return RC_INVALID;
        bits = bits << 6 | (uint32_t)value;
        count += 6;
        if (count < 8) continue;
        count -= 8;
        *p++ = (unsigned char)(bits >> count);
    }
    if (bits & ((1U << count) - 1)) return RC_INVALID; /* two texts must not mean the same bytes */
    *size = bytes;
    return RC_OK;
}

void hex_encode(const void *data, size_t size, char *out)
{
    const unsigned char *p = data;
    for (size_t i = 0; i < size; i++) {
        *out++ = hex_digits[p[i] >> 4];
        *out++ = hex_digits[p[i] & 15];
    }
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int hex_decode(struct span text, void *out, size_t size)
{
    unsigned char *p = out;
    if (text.size != 2 * size) return RC_INVALID;
    for (size_t i = 0; i < size; i++) {
        int high = hex_value(text.data[2 * i]), low = hex_value(text.data[2 * i + 1]);
        if (high < 0 || low < 0) return RC_INVALID;
        p[i] = (unsigned char)(high << 4 | low);
    }
    return RC_OK;
}
