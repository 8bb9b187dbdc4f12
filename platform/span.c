/* SPDX-License-Identifier: Apache-2.0 */
/* platform/span.c — comparing and cutting views of bytes. */
#include "platform/span.h"

#include "platform/rc.h"

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

/* Eight bytes: those from A to Z get bit 0x20; a byte of 0x80 and above stays as it is. */
static uint64_t lower_word(uint64_t word)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), high = ones << 7;
    uint64_t low = word & ~high;
    uint64_t from_a = low + ones * (0x80 - 'A'), above_z = low + ones * (0x7f - 'Z');
    uint64_t upper = from_a & ~above_z & ~word & high;
    return word | upper >> 2;
}

static bool words_differ(const char *a, const char *b)
{
    uint64_t x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return x != y && lower_word(x) != lower_word(y);
}

bool span_equal_nocase(struct span a, struct span b)
{
    if (a.size != b.size) return false;
    size_t i = 0;
    for (; a.size - i >= sizeof(uint64_t); i += sizeof(uint64_t)) {
        if (words_differ(a.data + i, b.data + i)) return false;
    }
    if (i > 0 && i < a.size) return !words_differ(a.data + a.size - 8, b.data + a.size - 8); /* overlaps */
    for (; i < a.size; i++) {
        if (lower(a.data[i]) != lower(b.data[i])) return false;
    }
    return true;
}

bool span_starts_with(struct span s, struct span prefix)
{
    return s.size >= prefix.size && span_equal(span_of(s.data, prefix.size), prefix);
}

bool span_ends_with(struct span s, struct span suffix)
{
    if (s.size < suffix.size) return false;
    if (suffix.size == 0) return true;
    return span_equal(span_of(s.data + (s.size - suffix.size), suffix.size), suffix);
}

bool span_contains(struct span haystack, struct span needle)
{
    if (needle.size == 0) return true;
    if (haystack.size < needle.size) return false;
    return memmem(haystack.data, haystack.size, needle.data, needle.size) != NULL;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

struct span span_trim(struct span s)
{
    while (s.size > 0 && is_blank(s.data[0])) {
        s.data++;
        s.size--;
    }
    while (s.size > 0 && is_blank(s.data[s.size - 1])) s.size--;
    return s;
}

struct span span_cut(struct span s, char separator, struct span *head)
{
    const char *at = s.size > 0 ? memchr(s.data, separator, s.size) : NULL;
    if (!at) {
        *head = s;
        return s.size > 0 ? span_of(s.data + s.size, 0) : s;
    }
    size_t before = (size_t)(at - s.data);
    *head = span_of(s.data, before);
    return span_of(at + 1, s.size - before - 1);
}

int span_to_u64(struct span s, uint64_t max, uint64_t *value)
{
    if (s.size == 0) return RC_INVALID;
    uint64_t sum = 0;
    for (size_t i = 0; i < s.size; i++) {
        if (s.data[i] < '0' || s.data[i] > '9') return RC_INVALID;
        uint64_t digit = (uint64_t)(s.data[i] - '0');
        if (sum > (UINT64_MAX - digit) / 10) return RC_INVALID;
        sum = sum * 10 + digit;
    }
    if (sum > max) return RC_INVALID;
    *value = sum;
    return RC_OK;
}

/* Goes on greedily and returns to the last '*' when stuck: only the last one ever needs another try. */
bool span_glob(struct span pattern, struct span s)
{
    size_t p = 0, i = 0;
    size_t star = SIZE_MAX, star_at = 0;
    while (i < s.size) {
        if (p < pattern.size && pattern.data[p] == '*') {
            star = p++;
            star_at = i;
        } else if (p < pattern.size && (pattern.data[p] == '?' || pattern.data[p] == s.data[i])) {
            p++;
            i++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            i = ++star_at;
        } else {
            return false;
        }
    }
    while (p < pattern.size && pattern.data[p] == '*') p++;
    return p == pattern.size;
}
