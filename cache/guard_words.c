/* SPDX-License-Identifier: Apache-2.0 */
/* cache/guard_words.c — words, their stems, which of them carry content and which name something. */
#include "cache/guard_inner.h"
#include "platform/rc.h"

/* ---- stems: on characters, in place */

static bool ends_with(const uint32_t *w, unsigned size, const char *tail)
{
    size_t n = strlen(tail);
    if (size < n) return false;
    for (size_t i = 0; i < n; i++)
        if (w[size - n + i] != (uint32_t)tail[i]) return false;
    return true;
}

static unsigned without_apostrophes(uint32_t *w, unsigned size)
{
    unsigned out = 0;
    if (ends_with(w, size, "'s")) size -= 2;
    for (unsigned i = 0; i < size; i++)
        if (w[i] != '\'') w[out++] = w[i];
    return out;
}

static unsigned without_plural(uint32_t *w, unsigned size)
{
    if (size > 4 && ends_with(w, size, "ies")) {
        w[size - 3] = 'y';
        return size - 2;
    }
    if (ends_with(w, size, "sses")) return size - 2;
    bool kept = ends_with(w, size, "ss") || ends_with(w, size, "us") || ends_with(w, size, "is");
    return size > 3 && !kept && ends_with(w, size, "s") ? size - 1 : size;
}

static unsigned stem(uint32_t *w, unsigned size)
{
    size = without_plural(w, without_apostrophes(w, size));
    unsigned cut = size > 5 && ends_with(w, size, "ing") ? 3 : size > 4 && ends_with(w, size, "ed") ? 2 : 0;
    size -= cut;
    if (cut && size > 2 && w[size - 1] == w[size - 2] && (w[size - 1] > 0x7F || !strchr("lszaeiou", (int)w[size - 1])))
        size--;
    return size > 3 && w[size - 1] == 'e' ? size - 1 : size;
}

/* ---- letters */

static unsigned count_chars(const char *bytes, size_t size)
{
    unsigned count = 0;
    for (size_t i = 0; i < size; i++) count += ((unsigned char)bytes[i] & 0xC0) != 0x80;
    return count;
}

bool guard_letters_add(struct guard_text *g, struct guard_word *word, const char *bytes, size_t size)
{
    if (size > GUARD_LETTERS_MAX - g->letters_size) {
        g->long_text = true;
        return false;
    }
    word->at = (uint16_t)g->letters_size;
    word->size = (uint16_t)size;
    memcpy(g->letters + g->letters_size, bytes, size);
    g->letters_size += (unsigned)size;
    return true;
}

bool guard_own_add(struct guard_text *g, struct guard_word *word, const char *bytes, size_t size)
{
    if (size > GUARD_ROW_TEXT) return false;
    word->own_at = (uint16_t)g->own_size;
    word->own_size = (uint16_t)size;
    word->own_chars = (uint16_t)count_chars(bytes, size);
    memcpy(g->own + g->own_size, bytes, size);
    g->own_size += (unsigned)size;
    return true;
}

void guard_word_finish(struct guard_text *g, struct guard_word *word)
{
    const char *bytes = guard_stem(g, word);
    word->chars = (uint16_t)count_chars(bytes, word->size);
    word->hash = guard_hash(bytes, word->size);
    unsigned at = guard_find(guard_antonyms, guard_antonyms_count, GUARD_ROW_TEXT, bytes, word->size);
    word->antonym = at < guard_antonyms_count ? (uint16_t)at : GUARD_NO_ANTONYM;
}

/* ---- one word */

/* \d[\d.,]*(st|nd|rd|th|k|m|bn)? and nothing else. A word has no comma inside. */
static bool is_figure(const uint32_t *low, unsigned size)
{
    static const char *const tails[] = {"st", "nd", "rd", "th", "k", "m", "bn"};
    unsigned i = 0;
    if (!(guard_kind_of(low[0]) & KIND_DECIMAL)) return false;
    while (i < size && (low[i] == '.' || (guard_kind_of(low[i]) & KIND_DECIMAL))) i++;
    for (size_t t = 0; t < sizeof tails / sizeof tails[0]; t++)
        if (size - i == strlen(tails[t]) && ends_with(low, size, tails[t])) return true;
    return i == size;
}

static bool is_content(const struct guard_word *word, const uint32_t *low, unsigned size)
{
    const struct guard_row *row = word->row ? &guard_rows[word->row - 1] : NULL;
    unsigned flags = row ? row->flags : 0;
    if ((flags & ROW_STOP) && !(flags & ROW_KEEP)) return false;
    if (flags & (ROW_NEGATION | ROW_TENS | ROW_SCALE)) return false;
    if ((flags & ROW_ONES) && row->value != 1) return false;
    if ((flags & ROW_ORDINAL) && row->value > 2) return false;           /* not first, second */
    if (size == 1 && !(guard_kind_of(low[0]) & KIND_WORD)) return false; /* a currency sign or % */
    return !is_figure(low, size);
}

/* What capitals and figures of the word as written tell. */
static unsigned shape(const struct guard_text *g, unsigned from, unsigned to)
{
    unsigned flags = 0, cased = 0, uncapital = 0, digits = 0, others = 0;
    for (unsigned i = from; i < to; i++) {
        unsigned kind = g->kinds[i];
        cased += (kind & KIND_UPPER) != 0;
        uncapital += (kind & (KIND_LOWER | KIND_TITLE)) != 0;
        digits += (kind & KIND_DIGIT) != 0;
        others += !(kind & KIND_DIGIT) && g->chars[i] != '.';
        if (i > from && (kind & KIND_UPPER)) flags |= WORD_CAPITAL_INSIDE;
    }
    if (g->kinds[from] & KIND_ALPHA) flags |= WORD_ALPHA;
    if (g->kinds[from] & KIND_UPPER) flags |= WORD_CAPITAL;
    if (cased && !uncapital && to - from > 1) flags |= WORD_CAPITALS;
    if (digits) flags |= WORD_DIGIT_INSIDE;
    if (digits && !others) flags |= WORD_DIGITS;
    return flags;
}

static unsigned roman_of(const struct guard_text *g, unsigned from, unsigned to)
{
    char text[GUARD_ROW_TEXT];
    if (to - from > 4) return 0;
    for (unsigned i = from; i < to; i++) {
        if (g->chars[i] != 'I' && g->chars[i] != 'V' && g->chars[i] != 'X') return 0;
        text[i - from] = (char)g->chars[i];
    }
    text[to - from] = '\0';
    for (unsigned i = 0; i < guard_romans_count; i++)
        if (strcmp(text, guard_romans[i]) == 0) return i + 1;
    return 0;
}

/* A unit goes under its one name, unless that word is often another. */
static bool is_folded(const struct guard_word *word, unsigned size)
{
    return word->row && guard_rows[word->row - 1].unit && size > 1 && !(guard_flags(word) & ROW_UNIT_NOT_WORD);
}

static bool keep_stem(struct guard_text *g, struct guard_word *word, unsigned size)
{
    bool folded = is_folded(word, size);
    size_t bytes = guard_encode(g->piece, stem(g->piece, size), g->bytes);
    if (!folded) return guard_letters_add(g, word, g->bytes, bytes);
    word->flags |= WORD_FOLDED;
    word->unit = guard_rows[word->row - 1].unit;
    const char *name = guard_units[word->unit - 1];
    return guard_own_add(g, word, g->bytes, bytes) && guard_letters_add(g, word, name, strnlen(name, GUARD_ROW_TEXT));
}

static void add_word(struct guard_text *g, unsigned from, unsigned to, bool first)
{
    unsigned size;
    if (g->word_count == GUARD_WORDS_MAX ||
        guard_lower_case(g->chars + from, to - from, g->piece, GUARD_CHARS_MAX, &size) != RC_OK) {
        g->long_text = true;
        return;
    }
    struct guard_word *word = &g->words[g->word_count];
    *word = (struct guard_word){.initial = g->piece[0], .roman = (uint8_t)roman_of(g, from, to)};
    size_t bytes = guard_encode(g->piece, size, g->bytes);
    unsigned at = guard_find(guard_rows, guard_rows_count, sizeof guard_rows[0], g->bytes, bytes);
    word->row = at < guard_rows_count ? (uint16_t)(at + 1) : 0;
    unsigned flags = shape(g, from, to) | (first ? WORD_FIRST : 0u);
    if (is_content(word, g->piece, size)) flags |= WORD_CONTENT;
    if (guard_flags(word) & ROW_COMMUTATIVE) flags |= WORD_COMMUTATIVE;
    if (size >= 2 && g->piece[0] == 'i' && g->piece[1] == '\'') flags |= WORD_I_FORM;
    word->flags = (uint16_t)flags;
    if (!keep_stem(g, word, size)) return;
    guard_word_finish(g, word);
    g->word_count++;
}

/* ---- all words */

static bool is_letter(const struct guard_text *g, unsigned i) /* [^\W_] */
{
    return i < g->char_count && (g->kinds[i] & KIND_WORD);
}

static bool is_decimal(const struct guard_text *g, unsigned i)
{
    return (g->kinds[i] & KIND_DECIMAL) != 0;
}

static bool is_one_of(uint32_t c, const char *set)
{
    return c < 0x80 && c && strchr(set, (int)c);
}

static bool is_sign(uint32_t c) /* [$€£₹¥%] */
{
    return c == '$' || c == '%' || c == 0x20AC || c == 0xA3 || c == 0x20B9 || c == 0xA5;
}

/* [^\W_]+(?:['.&/_-][^\W_]+)*(?:\+\+|#)? from `i` on, which is a letter; its end. */
static unsigned word_end(const struct guard_text *g, unsigned i)
{
    for (;;) {
        while (is_letter(g, i)) i++;
        if (i + 1 >= g->char_count || !is_one_of(g->chars[i], "'.&/_-") || !is_letter(g, i + 1)) break;
        i++;
    }
    if (i + 1 < g->char_count && g->chars[i] == '+' && g->chars[i + 1] == '+') return i + 2;
    return i < g->char_count && g->chars[i] == '#' ? i + 1 : i;
}

/* [-/&]|(?<=\D)\.|\.(?=\D): a dot between two digits does not divide. */
static bool divides(const struct guard_text *g, unsigned i)
{
    uint32_t c = g->chars[i];
    return c == '-' || c == '/' || c == '&' || (c == '.' && !(is_decimal(g, i - 1) && is_decimal(g, i + 1)));
}

static void add_parts(struct guard_text *g, unsigned from, unsigned to, bool first)
{
    unsigned start = from;
    for (unsigned i = from; i <= to; i++) {
        if (i < to && !divides(g, i)) continue;
        if (i > start) add_word(g, start, i, first && start == from);
        start = i + 1;
    }
}

void guard_read_words(struct guard_text *g)
{
    bool first = true; /* of a sentence: nothing but blanks since its border */
    for (unsigned i = 0; i < g->char_count && !g->long_text;) {
        uint32_t c = g->chars[i];
        if (is_letter(g, i) || is_sign(c)) {
            unsigned end = is_letter(g, i) ? word_end(g, i) : i + 1;
            add_parts(g, i, end, first);
            first = false;
            i = end;
            continue;
        }
        if (!(g->kinds[i] & KIND_SPACE)) first = is_one_of(c, ".?!:\"");
        i++;
    }
}

/* ---- entities */

void guard_read_entities(struct guard_text *g)
{
    unsigned alpha = 0, capitals = 0, capital = 0;
    for (unsigned i = 0; i < g->word_count; i++) {
        unsigned flags = g->words[i].flags;
        if (!(flags & WORD_ALPHA)) continue;
        alpha++;
        capitals += (flags & WORD_CAPITALS) != 0;
        capital += (flags & WORD_CAPITAL) != 0;
    }
    if (alpha >= 3 && capitals > 0.6 * alpha) return; /* shouted: capitals tell nothing */
    bool title = alpha >= 4 && capital > 0.7 * alpha;
    for (unsigned i = 0; i < g->word_count; i++) {
        struct guard_word *word = &g->words[i];
        unsigned flags = word->flags, strong = WORD_CAPITALS | WORD_DIGIT_INSIDE | WORD_CAPITAL_INSIDE;
        if (!(flags & WORD_ALPHA) || (flags & WORD_I_FORM) || (guard_flags(word) & ROW_STOP)) continue;
        if ((flags & strong) || ((flags & WORD_CAPITAL) && !title && !(flags & WORD_FIRST))) word->flags |= WORD_ENTITY;
    }
}
