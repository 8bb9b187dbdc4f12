/* SPDX-License-Identifier: Apache-2.0 */
/* cache/guard_pack.c — what the stored side of the guards is: words with their letters, hashes of the rest.
 *
 * Form (little-endian): version u8, tables version u32, flags u8, question u8, count of words u16; five multisets, each
 * a count u8 and its hashes, 8 bytes each, of units one byte each; then the words. A word: a byte of flags (high
 * half) and size (low half; 14: a byte follows, 15: two), for a folded unit its number u8, then the letters.
 */
#include "cache/guard_inner.h"
#include "platform/rc.h"

enum { FLAG_LONG = 1, FLAG_NEGATED = 2, SIZE_BYTE = 14, SIZE_TWO = 15 };

struct writer {
    unsigned char *bytes;
    size_t room, size;
};

struct reader {
    const unsigned char *bytes;
    size_t size, at;
    bool bad;
};

static void put(struct writer *w, uint64_t value, unsigned size)
{
    for (unsigned i = 0; i < size; i++, w->size++)
        if (w->size < w->room) w->bytes[w->size] = (unsigned char)(value >> 8 * i);
}

static uint64_t take(struct reader *r, unsigned size)
{
    uint64_t value = 0;
    if (r->size - r->at < size) {
        r->bad = true;
        return 0;
    }
    for (unsigned i = 0; i < size; i++) value |= (uint64_t)r->bytes[r->at++] << 8 * i;
    return value;
}

/* ---- multisets */

static bool put_marks(struct writer *w, const struct guard_marks *marks, unsigned item_size)
{
    if (marks->count > 255) return false;
    put(w, marks->count, 1);
    for (unsigned i = 0; i < marks->count; i++) put(w, marks->items[i], item_size);
    return true;
}

static void take_marks(struct reader *r, struct guard_marks *marks, unsigned item_size)
{
    marks->count = (unsigned)take(r, 1);
    for (unsigned i = 0; i < marks->count; i++) {
        marks->items[i] = take(r, item_size);
        if (i > 0 && marks->items[i] < marks->items[i - 1]) r->bad = true;
    }
}

/* ---- words */

static void put_word(struct writer *w, const struct guard_text *g, const struct guard_word *word)
{
    bool folded = word->flags & WORD_FOLDED;
    const char *bytes = folded ? g->own + word->own_at : guard_stem(g, word);
    unsigned size = folded ? word->own_size : word->size, code = size < SIZE_BYTE ? size
                                                                 : size < 256     ? SIZE_BYTE
                                                                                  : SIZE_TWO;
    put(w, ((unsigned)word->flags & WORD_STORED) << 4 | code, 1);
    if (code >= SIZE_BYTE) put(w, size, code == SIZE_BYTE ? 1 : 2);
    if (folded) put(w, word->unit, 1);
    for (unsigned i = 0; i < size; i++) put(w, (unsigned char)bytes[i], 1);
}

/* The first character; letters come from a file, so that nothing about them is certain. */
static uint32_t first_char(const char *bytes, size_t size)
{
    const unsigned char *b = (const unsigned char *)bytes;
    unsigned more = b[0] < 0xC0 ? 0 : b[0] < 0xE0 ? 1 : b[0] < 0xF0 ? 2 : 3;
    uint32_t c = more ? b[0] & (0x3Fu >> more) : b[0];
    for (unsigned i = 1; i <= more && i < size; i++) c = c << 6 | (b[i] & 0x3Fu);
    return c;
}

/* Whole characters only: the comparisons walk them without looking for the end of the letters. */
static bool is_whole(const char *bytes, size_t size)
{
    const unsigned char *b = (const unsigned char *)bytes;
    for (size_t i = 0, more; i < size; i += 1 + more) {
        if (b[i] >= 0x80 && (b[i] < 0xC2 || b[i] > 0xF4)) return false;
        more = b[i] < 0x80 ? 0 : b[i] < 0xE0 ? 1 : b[i] < 0xF0 ? 2 : 3;
        if (more >= size - i) return false;
        for (size_t k = 1; k <= more; k++)
            if ((b[i + k] & 0xC0) != 0x80) return false;
    }
    return true;
}

static bool take_word(struct reader *r, struct guard_text *g, struct guard_word *word)
{
    unsigned head = (unsigned)take(r, 1), code = head & 15, size = code;
    *word = (struct guard_word){.flags = (uint16_t)(head >> 4)};
    if (code >= SIZE_BYTE) size = (unsigned)take(r, code == SIZE_BYTE ? 1 : 2);
    if (word->flags & WORD_FOLDED) word->unit = (uint8_t)take(r, 1);
    if (r->bad || size == 0 || size > r->size - r->at) return false;
    const char *bytes = (const char *)r->bytes + r->at;
    r->at += size;
    if (!is_whole(bytes, size)) return false;
    word->initial = first_char(bytes, size);
    if (!(word->flags & WORD_FOLDED)) return guard_letters_add(g, word, bytes, size);
    if (word->unit == 0 || word->unit > guard_units_count) return false;
    const char *name = guard_units[word->unit - 1];
    return guard_own_add(g, word, bytes, size) && guard_letters_add(g, word, name, strnlen(name, GUARD_ROW_TEXT));
}

/* ---- the whole */

int guard_pack(const struct guard_text *read, unsigned char *bytes, size_t room, size_t *size)
{
    struct writer w = {.bytes = bytes, .room = room};
    put(&w, GUARD_VERSION, 1);
    put(&w, guard_tables_version, 4);
    put(&w, (read->long_text ? FLAG_LONG : 0u) | (read->negated ? FLAG_NEGATED : 0u), 1);
    put(&w, read->question, 1);
    put(&w, read->long_text ? 0 : read->word_count, 2);
    if (!read->long_text) {
        bool fit = put_marks(&w, &read->numbers, 8) && put_marks(&w, &read->units, 1) &&
                   put_marks(&w, &read->ordinals, 8) && put_marks(&w, &read->code, 8) &&
                   put_marks(&w, &read->quoted, 8);
        if (!fit) return RC_FULL;
        for (unsigned i = 0; i < read->word_count; i++) put_word(&w, read, &read->words[i]);
    }
    if (w.size > room) return RC_FULL;
    *size = w.size;
    return RC_OK;
}

static int take_all(struct reader *r, struct guard_text *g)
{
    unsigned flags = (unsigned)take(r, 1), question = (unsigned)take(r, 1), words = (unsigned)take(r, 2);
    if (flags > (FLAG_LONG | FLAG_NEGATED) || words > GUARD_WORDS_MAX) return RC_CORRUPT;
    if (question >= guard_questions_count && question != GUARD_NO_QUESTION) return RC_CORRUPT;
    g->long_text = flags & FLAG_LONG;
    g->negated = flags & FLAG_NEGATED;
    g->question = (uint8_t)question;
    if (g->long_text) return !r->bad && r->at == r->size ? RC_OK : RC_CORRUPT;
    take_marks(r, &g->numbers, 8);
    take_marks(r, &g->units, 1);
    take_marks(r, &g->ordinals, 8);
    take_marks(r, &g->code, 8);
    take_marks(r, &g->quoted, 8);
    for (; !r->bad && g->word_count < words; g->word_count++) {
        struct guard_word *word = &g->words[g->word_count];
        if (!take_word(r, g, word)) return RC_CORRUPT;
        guard_word_finish(g, word);
    }
    return !r->bad && r->at == r->size ? RC_OK : RC_CORRUPT;
}

int guard_unpack(struct span packed, struct guard_text *read)
{
    struct reader r = {.bytes = (const unsigned char *)packed.data, .size = packed.size};
    guard_clear(read);
    if (packed.size == 0) return RC_CORRUPT;
    if (take(&r, 1) != GUARD_VERSION || take(&r, 4) != guard_tables_version) return r.bad ? RC_CORRUPT : RC_VERSION;
    int rc = take_all(&r, read);
    if (rc == RC_OK) guard_sort(read);
    return rc;
}
