/* SPDX-License-Identifier: Apache-2.0 */
/* cache/guard_inner.h — what the guards' files share: the text that is read, its words, its multisets.
 *
 * guard.c           order of the reading, names, sets
 * guard_chars.c     UTF-8, classes of characters, lower case
 * guard_words.c     words, stems, content words, entities
 * guard_numbers.c   numbers in digits and in words, units, ordinals
 * guard_code.c      code-like tokens and quotations
 * guard_question.c  negation and question word
 * guard_pack.c      the stored form
 * guard_veto.c      two texts compared
 *
 * The rules are those of tests/eval/guard_reference.py; each function names the pattern it follows.
 */
#ifndef CACHE_GUARD_INNER_H
#define CACHE_GUARD_INNER_H

#include "cache/guard.h"
#include "cache/guard_tables.h"

enum {
    GUARD_WORDS_MAX = 256,    /* a question has at most 256 word pieces; an index fits a byte */
    GUARD_CHARS_MAX = 2048,   /* characters of a text */
    GUARD_LETTERS_MAX = 4096, /* bytes of all stems */
    GUARD_MARKS_MAX = 256,    /* numbers, units … of a text, each */
    GUARD_QUESTION_CHARS = 60,
    GUARD_NO_QUESTION = 255,
    GUARD_NO_ANTONYM = 0xFFFF,
};

/* A sorted multiset of hashes. */
struct guard_marks {
    unsigned count;
    uint64_t items[GUARD_MARKS_MAX];
};

enum { /* of a word; the first four are stored */
       WORD_CONTENT = 1 << 0,
       WORD_ENTITY = 1 << 1,
       WORD_COMMUTATIVE = 1 << 2,
       WORD_FOLDED = 1 << 3, /* a unit under its one name; `own` is its own stem */
       WORD_STORED = (1 << 4) - 1,
       WORD_FIRST = 1 << 4, /* begins a sentence */
       WORD_ALPHA = 1 << 5, /* its first character is a letter */
       WORD_CAPITAL = 1 << 6,
       WORD_CAPITALS = 1 << 7, /* all of it */
       WORD_CAPITAL_INSIDE = 1 << 8,
       WORD_DIGIT_INSIDE = 1 << 9,
       WORD_DIGITS = 1 << 10, /* nothing but digits and dots */
       WORD_I_FORM = 1 << 11, /* i'm, i'll … */
};

struct guard_word {
    uint64_t hash;                        /* of its stem */
    uint32_t initial;                     /* first character of the word, not of the unit's name */
    uint16_t at, size, chars;             /* stem in `letters` */
    uint16_t own_at, own_size, own_chars; /* of a folded one, in `own` */
    uint16_t flags;
    uint16_t antonym; /* in guard_antonyms */
    uint8_t unit;     /* as in struct guard_row; of a folded one */
    /* while reading */
    uint8_t roman;
    uint16_t row; /* 1 + place in guard_rows; 0: not listed */
};

struct guard_text {
    bool long_text, negated;
    uint8_t question; /* in guard_questions, or GUARD_NO_QUESTION */
    unsigned word_count, set_count;
    unsigned letters_size, own_size;
    struct guard_marks numbers, units, ordinals, code, quoted;
    struct guard_word words[GUARD_WORDS_MAX];
    uint8_t set[GUARD_WORDS_MAX];    /* one word of each stem, by hash */
    char letters[GUARD_LETTERS_MAX]; /* the stems, one behind the other */
    char own[GUARD_WORDS_MAX * GUARD_ROW_TEXT];
    /* while reading */
    unsigned char_count, lower_count;
    uint32_t chars[GUARD_CHARS_MAX], lower[GUARD_CHARS_MAX], piece[GUARD_CHARS_MAX];
    uint16_t kinds[GUARD_CHARS_MAX];
    char bytes[GUARD_CHARS_MAX * 4];
};

/* ---- guard_chars.c */
uint16_t guard_kind(uint32_t c);    /* KIND_ bits */
unsigned guard_decimal(uint32_t c); /* of a KIND_DECIMAL */
uint32_t guard_lower_of(uint32_t c);
/* UTF-8 → chars and kinds with quotes, dashes and blanks made straight; bad bytes count as U+FFFD. */
void guard_decode(struct guard_text *g, struct span text);
/* As Python's str.lower: U+0130 becomes two, a final sigma is one. RC_FULL over `max`. */
int guard_lower_case(const uint32_t *chars, unsigned count, uint32_t *lower, unsigned max, unsigned *lower_count);
size_t guard_encode(const uint32_t *chars, unsigned count, char *bytes); /* room for 4 bytes each */

static inline uint16_t guard_kind_of(uint32_t c)
{
    return guard_kinds[guard_pages[guard_page_index[c / GUARD_PAGE]][c % GUARD_PAGE] - 'a'];
}

static inline bool guard_is_word(uint32_t c) /* \w */
{
    return c == '_' || (guard_kind_of(c) & KIND_WORD);
}

static inline bool guard_is_small(uint32_t c)
{
    return c - 'a' < 26;
}

static inline bool guard_is_capital(uint32_t c)
{
    return c - 'A' < 26;
}

/* ---- guard.c */
void guard_clear(struct guard_text *g);
uint64_t guard_hash(const char *bytes, size_t size);
void guard_mark(struct guard_text *g, struct guard_marks *marks, uint64_t hash); /* unsorted; too many: a long text */
void guard_sort(struct guard_text *g);                                           /* marks and set, when all is read */
/* A text of at most GUARD_ROW_TEXT bytes in a sorted table of rows of `step` bytes; count when it is not there. */
unsigned guard_find(const void *rows, unsigned count, size_t step, const char *text, size_t size);

/* ---- the parts of the reading, in order */
void guard_read_quoted(struct guard_text *g);
void guard_read_code(struct guard_text *g);
void guard_read_words(struct guard_text *g);
void guard_read_numbers(struct guard_text *g);
void guard_read_negation(struct guard_text *g);
void guard_read_question(struct guard_text *g);
void guard_read_entities(struct guard_text *g);

static inline uint16_t guard_flags(const struct guard_word *word) /* ROW_ bits */
{
    return word->row ? guard_rows[word->row - 1].flags : 0;
}

/* Fills hash, antonym and count of characters from the letters. */
void guard_word_finish(struct guard_text *g, struct guard_word *word);
/* Appends a stem's bytes; a long text when they do not fit. */
bool guard_letters_add(struct guard_text *g, struct guard_word *word, const char *bytes, size_t size);
bool guard_own_add(struct guard_text *g, struct guard_word *word, const char *bytes, size_t size);

static inline const char *guard_stem(const struct guard_text *g, const struct guard_word *word)
{
    return g->letters + word->at;
}

#endif
