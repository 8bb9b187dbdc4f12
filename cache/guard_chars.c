/* SPDX-License-Identifier: Apache-2.0 */
/* cache/guard_chars.c — characters as the guards see them: decoded, classed, in lower case. */
#include "cache/guard_inner.h"
#include "platform/rc.h"

enum {
    REPLACEMENT = 0xFFFD,
    CAPITAL_I_DOT = 0x130,
    DOT_ABOVE = 0x307,
    SIGMA = 0x3A3,
    SMALL_SIGMA = 0x3C3,
    FINAL_SIGMA = 0x3C2
};

uint16_t guard_kind(uint32_t c)
{
    return c <= 0x10FFFF ? guard_kind_of(c) : 0;
}

unsigned guard_decimal(uint32_t c)
{
    unsigned low = 0, high = guard_zeros_count;
    if (c < 0x80) return c - '0';
    while (high - low > 1) {
        unsigned middle = (low + high) / 2;
        if (guard_zeros[middle] <= c)
            low = middle;
        else
            high = middle;
    }
    return c - guard_zeros[low];
}

static uint32_t lower_slow(uint32_t c)
{
    unsigned low = 0, high = guard_lowers_count;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        const struct guard_lower *range = &guard_lowers[middle];
        if (c < range->first)
            high = middle;
        else if (c > range->last)
            low = middle + 1;
        else
            return (c - range->first) % range->step == 0 ? (uint32_t)((int32_t)c + range->delta) : c;
    }
    return c;
}

uint32_t guard_lower_of(uint32_t c)
{
    if (c < 0x80) return guard_is_capital(c) ? c + 32 : c;
    return guard_kind_of(c) & (KIND_UPPER | KIND_TITLE) ? lower_slow(c) : c;
}

/* ---- decoding */

static uint32_t straight(uint32_t c)
{
    switch (c) {
    case 0x2018:
    case 0x2019: return '\'';
    case 0x201C:
    case 0x201D: return '"';
    case 0x2013:
    case 0x2014: return '-';
    case 0xA0: return ' ';
    default: return c;
    }
}

/* One character of two bytes or more; `*size` bytes of it. */
static uint32_t decode_wide(const unsigned char *bytes, size_t left, size_t *size)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    unsigned first = bytes[0], count = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
    uint32_t c = first & (0x7Fu >> count);
    *size = 1;
    if (first < 0xC2 || first > 0xF4 || left < count) return REPLACEMENT;
    for (unsigned i = 1; i < count; i++) {
        if ((bytes[i] & 0xC0) != 0x80) return REPLACEMENT;
        c = c << 6 | (bytes[i] & 0x3F);
    }
    if (c < least[count] || c > 0x10FFFF || (c >= 0xD800 && c < 0xE000)) return REPLACEMENT;
    *size = count;
    return c;
}

void guard_decode(struct guard_text *g, struct span text)
{
    const unsigned char *bytes = (const unsigned char *)text.data;
    unsigned count = 0;
    for (size_t i = 0, size; i < text.size; i += size) {
        uint32_t c = bytes[i];
        size = 1;
        if (c >= 0x80) c = straight(decode_wide(bytes + i, text.size - i, &size));
        if (count == GUARD_CHARS_MAX) {
            g->long_text = true;
            break;
        }
        g->kinds[count] = guard_kind_of(c);
        g->chars[count++] = c;
    }
    g->char_count = count;
}

size_t guard_encode(const uint32_t *chars, unsigned count, char *bytes)
{
    unsigned char *out = (unsigned char *)bytes;
    for (unsigned i = 0; i < count; i++) {
        uint32_t c = chars[i];
        if (c < 0x80) {
            *out++ = (unsigned char)c;
            continue;
        }
        unsigned more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
        *out++ = (unsigned char)((0xFF00u >> (more + 1) & 0xFF) | c >> 6 * more);
        while (more-- > 0) *out++ = (unsigned char)(0x80 | (c >> 6 * more & 0x3F));
    }
    return (size_t)((char *)out - bytes);
}

/* ---- lower case */

/* Unicode Standard, 3.13, Final_Sigma: behind a cased letter and before none; what is ignorable between does not count. */
static bool sigma_is_final(const uint32_t *chars, unsigned count, unsigned at)
{
    unsigned i = at;
    while (i > 0 && (guard_kind_of(chars[i - 1]) & KIND_IGNORABLE)) i--;
    if (i == 0 || !(guard_kind_of(chars[i - 1]) & KIND_CASED)) return false;
    for (i = at + 1; i < count && (guard_kind_of(chars[i]) & KIND_IGNORABLE);) i++;
    return i == count || !(guard_kind_of(chars[i]) & KIND_CASED);
}

int guard_lower_case(const uint32_t *chars, unsigned count, uint32_t *lower, unsigned max, unsigned *lower_count)
{
    unsigned size = 0;
    for (unsigned i = 0; i < count; i++) {
        uint32_t c = chars[i];
        if (max - size < 2) return RC_FULL;
        if (c == CAPITAL_I_DOT) {
            lower[size++] = 'i';
            lower[size++] = DOT_ABOVE;
        } else if (c == SIGMA) {
            lower[size++] = sigma_is_final(chars, count, i) ? FINAL_SIGMA : SMALL_SIGMA;
        } else {
            lower[size++] = guard_lower_of(c);
        }
    }
    *lower_count = size;
    return RC_OK;
}
