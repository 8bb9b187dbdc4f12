/* SPDX-License-Identifier: Apache-2.0 */
/* cache/guard_veto.c — two texts compared: what speaks against giving the one's answer to the other. */
#include "cache/guard_inner.h"

enum {
    CLOSE_LEAST = 5, /* characters of stems that may be close */
    INITIALS_LEAST = 2,
    INITIALS_MOST = 5,
    JOINED_LEAST = 4,
    AFFIX_REST = 2, /* what is left without a prefix is longer */
};

/* Words of each side whose stem the other has not. */
struct only {
    unsigned count;
    uint8_t words[GUARD_WORDS_MAX]; /* 256: an index is a byte */
};

static bool same_marks(const struct guard_marks *a, const struct guard_marks *b)
{
    return a->count == b->count && memcmp(a->items, b->items, a->count * sizeof a->items[0]) == 0;
}

/* Both have any, and not the same. */
static bool differ_if_both(const struct guard_marks *a, const struct guard_marks *b)
{
    return a->count && b->count && !same_marks(a, b);
}

static bool set_has(const struct guard_text *g, uint64_t hash)
{
    unsigned low = 0, high = g->set_count;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        uint64_t found = g->words[g->set[middle]].hash;
        if (found == hash) return true;
        if (found < hash)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

static void find_only(const struct guard_text *a, const struct guard_text *b, struct only *only)
{
    only->count = 0;
    for (unsigned i = 0; i < a->set_count; i++)
        if (!set_has(b, a->words[a->set[i]].hash)) only->words[only->count++] = (uint8_t)a->set[i];
}

/* ---- antonyms, affixes */

static bool are_antonyms(uint16_t a, uint16_t b)
{
    unsigned low = 0, high = guard_antonym_pairs_count, key = (unsigned)a << 16 | b;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        unsigned pair = (unsigned)guard_antonym_pairs[middle][0] << 16 | guard_antonym_pairs[middle][1];
        if (pair == key) return true;
        if (pair < key)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

static bool has_antonyms(const struct guard_text *a, const struct only *only_a, const struct guard_text *b,
                         const struct only *only_b)
{
    for (unsigned i = 0; i < only_a->count; i++) {
        uint16_t x = a->words[only_a->words[i]].antonym;
        if (x == GUARD_NO_ANTONYM) continue;
        for (unsigned k = 0; k < only_b->count; k++) {
            uint16_t y = b->words[only_b->words[k]].antonym;
            if (y != GUARD_NO_ANTONYM && are_antonyms(x, y)) return true;
        }
    }
    return false;
}

/* Some word of `a` is a prefix and a word of `b`; of that, more than `rest` characters. */
static bool has_prefixed(const struct guard_text *a, const struct only *only_a, const struct guard_text *b,
                         unsigned rest)
{
    for (unsigned i = 0; i < only_a->count; i++) {
        const struct guard_word *word = &a->words[only_a->words[i]];
        const char *bytes = guard_stem(a, word);
        for (unsigned p = 0; p < guard_prefixes_count; p++) {
            size_t size = strnlen(guard_prefixes[p], GUARD_ROW_TEXT);
            if (word->chars <= size + rest || memcmp(bytes, guard_prefixes[p], size) != 0) continue;
            uint64_t hash = guard_hash(bytes + size, word->size - size);
            if (set_has(b, hash) && !set_has(a, hash)) return true;
        }
    }
    return false;
}

/* ---- entities */

static unsigned char_size(const char *at)
{
    unsigned char c = (unsigned char)*at;
    return c < 0x80 ? 1 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
}

struct letters {
    const char *bytes;
    unsigned size, chars;
};

static bool rest_equal(struct letters a, unsigned from_a, struct letters b, unsigned from_b)
{
    return a.size - from_a == b.size - from_b && memcmp(a.bytes + from_a, b.bytes + from_b, a.size - from_a) == 0;
}

/* Bytes and characters of the longest common beginning. */
static unsigned common(struct letters a, struct letters b, unsigned *chars)
{
    unsigned bytes = 0;
    *chars = 0;
    while (bytes < a.size && bytes < b.size) {
        unsigned size = char_size(a.bytes + bytes);
        if (size > b.size - bytes || memcmp(a.bytes + bytes, b.bytes + bytes, size) != 0) break;
        bytes += size;
        ++*chars;
    }
    return bytes;
}

/* Behind the common beginning: one replaced, or two neighbours swapped. */
static bool one_replaced(struct letters a, struct letters b, unsigned at)
{
    if (at == a.size || at == b.size) return at == a.size && at == b.size;
    unsigned a1 = at + char_size(a.bytes + at), b1 = at + char_size(b.bytes + at);
    if (rest_equal(a, a1, b, b1)) return true;
    if (a1 == a.size || b1 == b.size) return false;
    unsigned a2 = a1 + char_size(a.bytes + a1), b2 = b1 + char_size(b.bytes + b1);
    bool swapped = a1 - at == b2 - b1 && a2 - a1 == b1 - at && memcmp(a.bytes + at, b.bytes + b1, a1 - at) == 0 &&
                   memcmp(a.bytes + a1, b.bytes + at, a2 - a1) == 0;
    return swapped && rest_equal(a, a2, b, b2);
}

static bool are_close(struct letters x, struct letters y)
{
    if (x.chars < CLOSE_LEAST || y.chars < CLOSE_LEAST) return false;
    struct letters a = x.chars <= y.chars ? x : y, b = x.chars <= y.chars ? y : x;
    unsigned chars, at = common(a, b, &chars), apart = b.chars - a.chars;
    if (chars >= CLOSE_LEAST) { /* a shared beginning */
        unsigned most = a.chars - 2 > CLOSE_LEAST ? a.chars - 2 : CLOSE_LEAST;
        if (chars == a.chars || (apart <= 3 && chars >= most)) return true;
    }
    if (apart > 1) return false;
    if (apart == 0) return one_replaced(a, b, at);
    return rest_equal(a, at, b, at + char_size(b.bytes + at));
}

static bool has_close(const struct guard_text *g, struct letters e)
{
    for (unsigned i = 0; i < g->set_count; i++) {
        const struct guard_word *word = &g->words[g->set[i]];
        if (are_close(e, (struct letters){guard_stem(g, word), word->size, word->chars})) return true;
    }
    return false;
}

static uint32_t next_char(const char *bytes, unsigned size)
{
    const unsigned char *b = (const unsigned char *)bytes;
    uint32_t c = size == 1 ? b[0] : b[0] & (0x7Fu >> size);
    for (unsigned i = 1; i < size; i++) c = c << 6 | (b[i] & 0x3Fu);
    return c;
}

/* An acronym of neighbouring words. */
static bool in_initials(const struct guard_text *g, struct letters e)
{
    uint32_t chars[INITIALS_MOST];
    if (e.chars < INITIALS_LEAST || e.chars > INITIALS_MOST) return false;
    for (unsigned i = 0, at = 0, size; i < e.chars; i++, at += size) {
        size = char_size(e.bytes + at);
        chars[i] = next_char(e.bytes + at, size);
    }
    for (unsigned w = 0; w + e.chars <= g->word_count; w++) {
        unsigned i = 0;
        while (i < e.chars && g->words[w + i].initial == chars[i]) i++;
        if (i == e.chars) return true;
    }
    return false;
}

static bool in_joined(const struct guard_text *g, struct letters e)
{
    return e.chars >= JOINED_LEAST && memmem(g->letters, g->letters_size, e.bytes, e.size) != NULL;
}

/* `a` has an entity that nothing in `b` stands for. */
static bool is_foreign(const struct guard_text *a, const struct guard_text *b)
{
    for (unsigned i = 0; i < a->word_count; i++) {
        const struct guard_word *word = &a->words[i];
        if (!(word->flags & WORD_ENTITY)) continue;
        bool folded = word->flags & WORD_FOLDED;
        struct letters e = {guard_stem(a, word), word->size, word->chars};
        if (folded) e = (struct letters){a->own + word->own_at, word->own_size, word->own_chars};
        if (set_has(b, folded ? guard_hash(e.bytes, e.size) : word->hash)) continue;
        if (!has_close(b, e) && !in_initials(b, e) && !in_joined(b, e)) return true;
    }
    return false;
}

/* ---- the same content words in another order */

static unsigned next_content(const struct guard_text *g, unsigned i)
{
    while (i < g->word_count && !(g->words[i].flags & WORD_CONTENT)) i++;
    return i;
}

static unsigned first_of_stem(const struct guard_text *g, uint64_t hash)
{
    unsigned i = 0;
    while (g->words[i].hash != hash) i++;
    return i;
}

static unsigned last_of_stem(const struct guard_text *g, uint64_t hash)
{
    unsigned i = g->word_count - 1;
    while (g->words[i].hash != hash) i--;
    return i;
}

/* Neighbours around "and", "or" … or with nothing between them may change places. */
static bool may_swap(const struct guard_text *a, uint64_t first, uint64_t second)
{
    unsigned from = first_of_stem(a, first) + 1, to = last_of_stem(a, second);
    if (from >= to) return true;
    for (unsigned i = from; i < to; i++)
        if (a->words[i].flags & WORD_COMMUTATIVE) return true;
    return false;
}

/* Exactly two content words are exchanged. */
static bool are_swapped(const struct guard_text *a, const struct guard_text *b)
{
    uint64_t stems[2][2];
    unsigned places[2], differ = 0, place = 0, i = next_content(a, 0), k = next_content(b, 0);
    for (; i < a->word_count && k < b->word_count; place++) {
        if (a->words[i].hash != b->words[k].hash) {
            if (differ == 2) return false;
            stems[differ][0] = a->words[i].hash;
            stems[differ][1] = b->words[k].hash;
            places[differ++] = place;
        }
        i = next_content(a, i + 1);
        k = next_content(b, k + 1);
    }
    if (i < a->word_count || k < b->word_count || differ != 2) return false;
    if (stems[0][0] != stems[1][1] || stems[0][1] != stems[1][0]) return false;
    return !(places[1] == places[0] + 1 && may_swap(a, stems[0][0], stems[1][0]));
}

/* A content word of `a` is none of `b`. */
static bool has_unmatched(const struct guard_text *a, const struct guard_text *b)
{
    for (unsigned i = next_content(a, 0); i < a->word_count; i = next_content(a, i + 1)) {
        unsigned k = next_content(b, 0);
        while (k < b->word_count && b->words[k].hash != a->words[i].hash) k = next_content(b, k + 1);
        if (k == b->word_count) return true;
    }
    return false;
}

/* ---- all together */

static bool asks_strictly(const struct guard_text *g)
{
    return g->question != GUARD_NO_QUESTION && guard_questions[g->question].strict;
}

static uint32_t bit(enum guard guard, bool set)
{
    return set ? 1u << guard : 0;
}

/* Of the words that only one side has. */
static uint32_t word_vetoes(const struct guard_text *a, const struct guard_text *b)
{
    struct only only_a, only_b;
    find_only(a, b, &only_a);
    find_only(b, a, &only_b);
    bool affix = has_prefixed(b, &only_b, a, 0) || has_prefixed(a, &only_a, b, AFFIX_REST);
    return bit(GUARD_ANT, has_antonyms(a, &only_a, b, &only_b)) | bit(GUARD_AFFIX, affix);
}

uint32_t guard_vetoes(const struct guard_text *asked, const struct guard_text *stored, bool strict)
{
    const struct guard_text *a = asked, *b = stored;
    if (a->long_text || b->long_text) return bit(GUARD_LONG, true);
    bool numbers = same_marks(&a->numbers, &b->numbers), both = a->numbers.count && b->numbers.count;
    uint32_t vetoes = bit(GUARD_NUM, !numbers && both) | bit(GUARD_NUM1, !numbers && !both);
    vetoes |= bit(GUARD_UNIT, differ_if_both(&a->units, &b->units));
    vetoes |= bit(GUARD_ORD, differ_if_both(&a->ordinals, &b->ordinals));
    vetoes |= bit(GUARD_NEG, a->negated != b->negated);
    vetoes |= word_vetoes(a, b);
    vetoes |= bit(GUARD_ENT_SUB, is_foreign(a, b) && is_foreign(b, a));
    vetoes |= bit(GUARD_TRANSP, are_swapped(a, b));
    vetoes |= bit(GUARD_CODE, !same_marks(&a->code, &b->code));
    vetoes |= bit(GUARD_QUOT, !same_marks(&a->quoted, &b->quoted));
    vetoes |= bit(GUARD_WHS, asks_strictly(a) && asks_strictly(b) && a->question != b->question);
    return vetoes | bit(GUARD_STRICT, strict && (has_unmatched(a, b) || has_unmatched(b, a)));
}
