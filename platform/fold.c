/* SPDX-License-Identifier: Apache-2.0 */
/* platform/fold.c — NFC as Unicode Standard Annex 15 describes it (chapter 3.11 of the standard), a character at a time. */
#include "platform/fold.h"

#include "platform/fold_tables.h"
#include "platform/rc.h"

enum {
    HANGUL_FIRST = 0xAC00,
    HANGUL_COUNT = 11172,
    HANGUL_L = 0x1100,
    HANGUL_LS = 19,
    HANGUL_V = 0x1161,
    HANGUL_VS = 21,
    HANGUL_T = 0x11A7,
    HANGUL_TS = 28,
};

struct fold {
    char *out;
    size_t capacity, size;
    bool question, blank, full;
    uint32_t segment[FOLD_MARKS_MAX + 1]; /* a starter and the marks behind it, in canonical order */
    uint8_t classes[FOLD_MARKS_MAX + 1];
    unsigned count;
};

/* ---- tables */

static unsigned class_of(uint32_t c)
{
    unsigned low = 0, high = fold_classes_count;
    if (c < 0x300) return 0;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        const struct fold_class *k = &fold_classes[middle];
        if (c < k->first)
            high = middle;
        else if (c > k->first + (uint32_t)k->more)
            low = middle + 1;
        else
            return k->combining;
    }
    return 0;
}

static bool decomposition_of(uint32_t c, uint32_t *a, uint32_t *b)
{
    bool narrow = c < 0x10000;
    for (int table = 0; table < 2; table++) { /* a few narrow ones have wide parts */
        unsigned low = 0, high = table == 0 ? fold_decompositions16_count : fold_decompositions32_count;
        while (low < high && (table == 1 || narrow)) {
            unsigned middle = (low + high) / 2;
            uint32_t point = table == 0 ? fold_decompositions16[middle].point : fold_decompositions32[middle].point;
            if (point == c) {
                *a = table == 0 ? fold_decompositions16[middle].a : fold_decompositions32[middle].a;
                *b = table == 0 ? fold_decompositions16[middle].b : fold_decompositions32[middle].b;
                return true;
            }
            if (c < point)
                high = middle;
            else
                low = middle + 1;
        }
    }
    return false;
}

static struct fold_decomposition32 decomposition_at(unsigned index)
{
    if (index >= fold_decompositions16_count) return fold_decompositions32[index - fold_decompositions16_count];
    const struct fold_decomposition16 *d = &fold_decompositions16[index];
    return (struct fold_decomposition32){d->point, d->a, d->b};
}

/* 0 when the two do not compose. */
static uint32_t compose(uint32_t a, uint32_t b)
{
    if (a - HANGUL_L < HANGUL_LS && b - HANGUL_V < HANGUL_VS)
        return HANGUL_FIRST + ((a - HANGUL_L) * HANGUL_VS + (b - HANGUL_V)) * HANGUL_TS;
    if (a - HANGUL_FIRST < HANGUL_COUNT && (a - HANGUL_FIRST) % HANGUL_TS == 0 && b > HANGUL_T &&
        b < HANGUL_T + HANGUL_TS)
        return a + (b - HANGUL_T);
    unsigned low = 0, high = fold_compositions_count;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        struct fold_decomposition32 d = decomposition_at(fold_compositions[middle]);
        if (d.a == a && d.b == b) return d.point;
        if (a < d.a || (a == d.a && b < d.b))
            high = middle;
        else
            low = middle + 1;
    }
    return 0;
}

static uint32_t case_of(uint32_t c)
{
    unsigned low = 0, high = fold_cases_count;
    if (c < 0x80) return c >= 'A' && c <= 'Z' ? c + 32 : c;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        const struct fold_case *k = &fold_cases[middle];
        if (c < k->first)
            high = middle;
        else if (c > k->first + k->span)
            low = middle + 1;
        else
            return (c - k->first) % k->step == 0 ? (uint32_t)((int32_t)c + k->delta) : c;
    }
    return c;
}

static bool is_blank(uint32_t c)
{
    return (c >= 0x09 && c <= 0x0D) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

/* ---- characters */

size_t fold_decode(const unsigned char *p, size_t left, uint32_t *c)
{
    size_t size = p[0] < 0x80                   ? 1
                  : p[0] >= 0xC2 && p[0] < 0xE0 ? 2
                  : (p[0] & 0xF0) == 0xE0       ? 3
                  : p[0] >= 0xF0 && p[0] < 0xF5 ? 4
                                                : 0;
    if (size == 0 || size > left) return 0;
    *c = size == 1 ? p[0] : p[0] & (0x7Fu >> size);
    for (size_t i = 1; i < size; i++) {
        if ((p[i] & 0xC0) != 0x80) return 0;
        *c = *c << 6 | (p[i] & 0x3F);
    }
    bool valid = size < 3 ||
                 (size == 3 ? *c >= 0x800 && (*c < 0xD800 || *c > 0xDFFF) : *c >= 0x10000 && *c <= 0x10FFFF);
    return valid ? size : 0;
}

size_t fold_encode(uint32_t c, unsigned char bytes[4])
{
    static const unsigned char lead[] = {0, 0x00, 0xC0, 0xE0, 0xF0};
    size_t size = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = size; i-- > 1; c >>= 6) bytes[i] = (unsigned char)(0x80 | (c & 0x3F));
    bytes[0] = (unsigned char)(lead[size] | c);
    return size;
}

/* What stands first decomposes further, what stands second does not. */
unsigned fold_decompose(uint32_t c, uint32_t parts[FOLD_PARTS_MAX])
{
    uint32_t waiting[FOLD_PARTS_MAX], a, b;
    unsigned waits = 0, count = 0;
    if (c - HANGUL_FIRST < HANGUL_COUNT) {
        uint32_t s = c - HANGUL_FIRST;
        parts[count++] = HANGUL_L + s / (HANGUL_VS * HANGUL_TS);
        parts[count++] = HANGUL_V + s / HANGUL_TS % HANGUL_VS;
        if (s % HANGUL_TS != 0) parts[count++] = HANGUL_T + s % HANGUL_TS;
        return count;
    }
    while (c >= 0xC0 && decomposition_of(c, &a, &b)) {
        if (b != 0 && waits < FOLD_PARTS_MAX - 1) waiting[waits++] = b;
        c = a;
    }
    parts[count++] = c;
    while (waits > 0) parts[count++] = waiting[--waits];
    return count;
}

/* ---- writing */

static void put_bytes(struct fold *f, const unsigned char *bytes, size_t size)
{
    if (f->full || f->capacity - f->size < size) {
        f->full = true;
        return;
    }
    memcpy(f->out + f->size, bytes, size);
    f->size += size;
}

static void put_point(struct fold *f, uint32_t c)
{
    unsigned char bytes[4];
    put_bytes(f, bytes, fold_encode(c, bytes));
}

static void put_blank(struct fold *f)
{
    if (f->blank && f->size > 0) put_bytes(f, (const unsigned char *)" ", 1);
    f->blank = false;
}

static void emit(struct fold *f, uint32_t c)
{
    if (!f->question) {
        put_point(f, c);
        return;
    }
    if (is_blank(c)) {
        f->blank = true;
        return;
    }
    put_blank(f);
    put_point(f, case_of(c));
}

/* ---- composing */

static void segment_compose(struct fold *f)
{
    unsigned kept = 1, last = 0;
    if (f->count == 0 || f->classes[0] != 0) return;
    for (unsigned i = 1; i < f->count; i++) {
        uint32_t c = last < f->classes[i] ? compose(f->segment[0], f->segment[i]) : 0;
        if (c != 0) {
            f->segment[0] = c;
            continue;
        }
        last = f->classes[i];
        f->segment[kept] = f->segment[i];
        f->classes[kept++] = f->classes[i];
    }
    f->count = kept;
}

static void segment_flush(struct fold *f)
{
    segment_compose(f);
    for (unsigned i = 0; i < f->count; i++) emit(f, f->segment[i]);
    f->count = 0;
}

static void segment_start(struct fold *f, uint32_t c)
{
    segment_compose(f);
    uint32_t both = f->count == 1 && f->classes[0] == 0 ? compose(f->segment[0], c) : 0;
    if (both == 0) {
        segment_flush(f);
        both = c;
    }
    f->segment[0] = both;
    f->classes[0] = 0;
    f->count = 1;
}

static void segment_add(struct fold *f, uint32_t c)
{
    unsigned class = class_of(c);
    if (class == 0) {
        segment_start(f, c);
        return;
    }
    if (f->count == FOLD_MARKS_MAX + 1) segment_flush(f);
    unsigned at = f->count++;
    for (; at > 0 && f->classes[at - 1] > class; at--) {
        f->segment[at] = f->segment[at - 1];
        f->classes[at] = f->classes[at - 1];
    }
    f->segment[at] = c;
    f->classes[at] = (uint8_t) class;
}

static void add_point(struct fold *f, uint32_t c)
{
    uint32_t parts[FOLD_PARTS_MAX];
    unsigned count = fold_decompose(c, parts);
    for (unsigned i = 0; i < count; i++) segment_add(f, parts[i]);
}

/* ---- reading */

static void add_invalid(struct fold *f, const unsigned char *byte)
{
    segment_flush(f);
    put_blank(f);
    put_bytes(f, byte, 1);
}

static void fold_text(struct fold *f, struct span text)
{
    const unsigned char *p = (const unsigned char *)text.data;
    for (size_t i = 0; i < text.size && !f->full;) {
        uint32_t c;
        size_t size = fold_decode(p + i, text.size - i, &c);
        if (size == 0)
            add_invalid(f, p + i);
        else
            add_point(f, c);
        i += size > 0 ? size : 1;
    }
    segment_flush(f);
}

static bool take_end(struct fold *f, struct span end)
{
    if (!span_ends_with(span_of(f->out, f->size), end)) return false;
    f->size -= end.size;
    return true;
}

static void strip_closing(struct fold *f)
{
    static const char *const closing[] = {".",           "?", "!", " ", "\xEF\xBC\x8E", "\xEF\xBC\x9F", "\xEF\xBC\x81",
                                          "\xE3\x80\x82"};
    for (size_t i = 0; i < sizeof closing / sizeof closing[0];) i = take_end(f, span_text(closing[i])) ? 0 : i + 1;
}

int fold_question(struct span text, char *out, size_t capacity, size_t *size)
{
    struct fold f = {.out = out, .capacity = capacity, .question = true};
    fold_text(&f, text);
    if (f.full) return RC_TOO_LARGE;
    strip_closing(&f);
    *size = f.size;
    return RC_OK;
}

int fold_nfc(struct span text, char *out, size_t capacity, size_t *size)
{
    struct fold f = {.out = out, .capacity = capacity};
    fold_text(&f, text);
    *size = f.size;
    return f.full ? RC_TOO_LARGE : RC_OK;
}
