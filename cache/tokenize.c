/* SPDX-License-Identifier: Apache-2.0 */
/* cache/tokenize.c — see tokenize.h. A character at a time; a word waits until it ends, then it is taken apart. */
#include "cache/tokenize.h"

#include "cache/model_layout.h"
#include "cache/word_tables.h"
#include "platform/check.h"
#include "platform/fold.h"
#include "platform/rc.h"

enum {
    WORD_CHARACTERS_MAX = 100,
    CHARACTER_SIZE_MAX = 4,
    ASCII = 0x80,
};

struct tokens {
    const struct model *model;
    uint16_t *ids;
    unsigned room, count; /* without [SEP] */
    bool over;
    unsigned characters; /* of the word that waits; above the maximum they are only counted */
    unsigned size;
    char word[WORD_CHARACTERS_MAX * CHARACTER_SIZE_MAX];
};

/* ---- characters */

static unsigned ascii_kind(uint32_t c)
{
    if (c == ' ' || c == '\t' || c == '\n' || c == '\r') return WORD_BLANK;
    if (c < ' ' || c == 0x7F) return WORD_DROP;
    bool letter = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
    return letter ? WORD_LETTER : WORD_PUNCTUATION;
}

static unsigned kind_of(uint32_t c)
{
    unsigned low = 0, high = word_kinds_count;
    if (c < ASCII) return ascii_kind(c);
    while (low < high) {
        unsigned middle = (low + high) / 2;
        const struct word_kind *k = &word_kinds[middle];
        if (c < k->first)
            high = middle;
        else if (c > k->first + (uint32_t)k->more)
            low = middle + 1;
        else
            return k->kind;
    }
    return WORD_LETTER;
}

static uint32_t lower(uint32_t c)
{
    unsigned low = 0, high = word_cases_count;
    if (c < ASCII) return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        const struct word_case *k = &word_cases[middle];
        if (c < k->first)
            high = middle;
        else if (c > k->first + k->span)
            low = middle + 1;
        else
            return (c - k->first) % k->step == 0 ? (uint32_t)((int32_t)c + k->delta) : c;
    }
    return c;
}

/* ---- words to pieces */

static void put_id(struct tokens *t, uint16_t id)
{
    if (t->count < t->room)
        t->ids[t->count++] = id;
    else
        t->over = true;
}

/* The longest piece of the vocabulary at word[from], and where it ends; -1: none. */
static int longest_piece(const struct tokens *t, unsigned from, unsigned *end)
{
    char piece[WORD_CHARACTERS_MAX * CHARACTER_SIZE_MAX + 2] = "##";
    uint32_t hashes[WORD_CHARACTERS_MAX];
    unsigned ends[WORD_CHARACTERS_MAX], count = 0, before = from > 0 ? 2 : 0;
    uint32_t hash = model_piece_hash_add(model_piece_hash_start(), piece, before);
    for (unsigned at = from; at < t->size && at - from + before < t->model->piece_size_max;) {
        unsigned next = at + 1;
        while (next < t->size && ((unsigned char)t->word[next] & 0xC0) == 0x80) next++;
        hash = model_piece_hash_add(hash, t->word + at, next - at);
        hashes[count] = hash;
        ends[count++] = at = next;
    }
    if (count > 0) memcpy(piece + before, t->word + from, ends[count - 1] - from);
    while (count-- > 0) {
        struct span candidate = span_of(piece, before + ends[count] - from);
        int id = model_piece_find(t->model, candidate, model_piece_hash_end(hashes[count]));
        *end = ends[count];
        if (id >= 0) return id;
    }
    return -1;
}

static void put_word(struct tokens *t)
{
    unsigned first = t->count;
    bool over = t->over;
    bool known = t->characters <= WORD_CHARACTERS_MAX;
    for (unsigned from = 0; known && from < t->size;) {
        int id = longest_piece(t, from, &from);
        known = id >= 0;
        if (known) put_id(t, (uint16_t)id);
    }
    if (!known) {
        t->count = first; /* what was taken of it does not count */
        t->over = over;
        put_id(t, t->model->id_unk);
    }
}

static void end_word(struct tokens *t)
{
    if (t->characters > 0) put_word(t);
    t->characters = t->size = 0;
}

static void add_letter(struct tokens *t, uint32_t c)
{
    unsigned char bytes[CHARACTER_SIZE_MAX];
    if (t->characters < WORD_CHARACTERS_MAX) {
        size_t size = fold_encode(c, bytes);
        CHECK(t->size + size <= sizeof t->word);
        memcpy(t->word + t->size, bytes, size);
        t->size += (unsigned)size;
    }
    if (t->characters <= WORD_CHARACTERS_MAX) t->characters++;
}

static void add_alone(struct tokens *t, uint32_t c)
{
    end_word(t);
    add_letter(t, c);
    end_word(t);
}

static void add_part(struct tokens *t, uint32_t c)
{
    unsigned kind = kind_of(c);
    if (kind == WORD_MARK) return;
    c = lower(c);
    if (kind == WORD_PUNCTUATION)
        add_alone(t, c);
    else
        add_letter(t, c);
}

static void add_character(struct tokens *t, uint32_t c)
{
    uint32_t parts[FOLD_PARTS_MAX];
    unsigned kind = kind_of(c);
    if (kind == WORD_DROP) return;
    if (kind == WORD_BLANK || kind == WORD_ALONE) end_word(t);
    if (kind == WORD_BLANK) return;
    unsigned count = fold_decompose(c, parts);
    for (unsigned i = 0; i < count; i++) add_part(t, parts[i]);
    if (kind == WORD_ALONE) end_word(t);
}

static void add_text(struct tokens *t, struct span text)
{
    const unsigned char *p = (const unsigned char *)text.data;
    for (size_t i = 0; i < text.size && !t->over;) {
        uint32_t c;
        size_t size = fold_decode(p + i, text.size - i, &c);
        if (size > 0) add_character(t, c);
        i += size > 0 ? size : 1;
    }
    end_word(t);
}

int tokenize(const struct model *model, struct span text, uint16_t *ids, unsigned max, unsigned *count)
{
    CHECK(max >= 2);
    struct tokens t = {.model = model, .ids = ids, .room = max - 1};
    put_id(&t, model->id_cls);
    add_text(&t, text);
    ids[t.count++] = model->id_sep;
    *count = t.count;
    return t.over ? RC_TOO_LARGE : RC_OK;
}
