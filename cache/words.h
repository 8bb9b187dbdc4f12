/* SPDX-License-Identifier: Apache-2.0 */
/* cache/words.h — text to words as uncased BERT vocabularies see them, before they are taken apart.
 *
 * Steps:   control characters and U+FFFD go, every white space is a blank, CJK ideographs stand alone; canonical
 *          decomposition without marks (Mn), lower case; punctuation stands alone. Bytes that are no UTF-8 count as U+FFFD.
 * Tables:  cache/word_tables.c; the categories are those of Unicode 8.0, which the vocabularies were made with.
 * Owner:   a word is valid during the call that hands it over.
 * Threads: any; pure. Under 1 KiB of stack.
 */
#ifndef CACHE_WORDS_H
#define CACHE_WORDS_H

#include "platform/span.h"

enum { WORD_CHARACTERS_MAX = 100, WORD_SIZE_MAX = 4 * WORD_CHARACTERS_MAX };

struct word {
    unsigned characters; /* WORD_CHARACTERS_MAX + 1: there are more, and `bytes` holds the first ones */
    unsigned size;
    bool punctuation;
    char bytes[WORD_SIZE_MAX];
};

/* Until `take` says no, or the text ends. */
void words_read(struct span text, bool (*take)(void *arg, const struct word *word), void *arg);

#endif
