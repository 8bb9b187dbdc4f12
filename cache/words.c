/* SPDX-License-Identifier: Apache-2.0 */
/* cache/words.c — see words.h. A character at a time; a word waits until it ends. */
#include "cache/words.h"

#include "cache/word_tables.h"
#include "platform/check.h"
#include "platform/fold.h"

enum { ASCII = 0x80, CHARACTER_SIZE_MAX = 4 };

struct words {
    bool (*take)(void *arg, const struct word *word);
    void *arg;
    bool stopped;
    struct word word;
};

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

static void end_word(struct words *w)
{
    if (w->word.characters > 0 && !w->stopped) w->stopped = !w->take(w->arg, &w->word);
    w->word.characters = w->word.size = 0;
    w->word.punctuation = false;
}

static void add_letter(struct words *w, uint32_t c)
{
    struct word *word = &w->word;
    if (word->characters < WORD_CHARACTERS_MAX) {
        CHECK(word->size + CHARACTER_SIZE_MAX <= sizeof word->bytes);
        word->size += (unsigned)fold_encode(c, (unsigned char *)word->bytes + word->size);
    }
    if (word->characters <= WORD_CHARACTERS_MAX) word->characters++;
}

static void add_part(struct words *w, uint32_t c)
{
    unsigned kind = kind_of(c);
    if (kind == WORD_MARK) return;
    if (kind == WORD_PUNCTUATION) end_word(w);
    add_letter(w, lower(c));
    if (kind != WORD_PUNCTUATION) return;
    w->word.punctuation = true;
    end_word(w);
}

static void add_character(struct words *w, uint32_t c)
{
    uint32_t parts[FOLD_PARTS_MAX];
    unsigned kind = kind_of(c);
    if (kind == WORD_DROP) return;
    if (kind == WORD_BLANK || kind == WORD_ALONE) end_word(w);
    if (kind == WORD_BLANK) return;
    unsigned count = fold_decompose(c, parts);
    for (unsigned i = 0; i < count; i++) add_part(w, parts[i]);
    if (kind == WORD_ALONE) end_word(w);
}

void words_read(struct span text, bool (*take)(void *arg, const struct word *word), void *arg)
{
    struct words w;
    const unsigned char *p = (const unsigned char *)text.data;
    w.take = take, w.arg = arg, w.stopped = false;
    w.word.characters = w.word.size = 0;
    w.word.punctuation = false;
    for (size_t i = 0; i < text.size && !w.stopped;) {
        uint32_t c;
        size_t size = fold_decode(p + i, text.size - i, &c);
        if (size > 0) add_character(&w, c);
        i += size > 0 ? size : 1;
    }
    end_word(&w);
}
