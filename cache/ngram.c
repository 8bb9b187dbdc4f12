/* SPDX-License-Identifier: Apache-2.0 */
/* cache/ngram.c — see ngram.h. */
#include "cache/ngram.h"

#include <math.h>
#include <stdlib.h>

#include "cache/model_layout.h"
#include "cache/words.h"
#include "platform/rc.h"

enum { WORD_WEIGHT = 2, RUN_WEIGHT = 1, RUN_LEAST = 3, RUN_MOST = 5 };

struct grams {
    unsigned count, max;
    bool over;
    uint32_t pair; /* hash of the word before, to go on with */
    int32_t sums[EMBED_NGRAM_DIM];
};

static uint32_t begin(char kind)
{
    return model_piece_hash_add(model_piece_hash_start(), &kind, 1);
}

static void count(struct grams *g, uint32_t hash, int32_t weight)
{
    hash = model_piece_hash_end(hash);
    g->sums[(hash >> 1) % EMBED_NGRAM_DIM] += hash & 1 ? weight : -weight;
}

/* Where the character behind the one at `at` begins, in "_word_". */
static unsigned next_character(const char *text, unsigned at, unsigned size)
{
    for (at++; at < size && ((unsigned char)text[at] & 0xC0) == 0x80;) at++;
    return at;
}

static void count_runs(struct grams *g, const struct word *word)
{
    char text[WORD_SIZE_MAX + 2];
    unsigned size = word->size + 2;
    text[0] = text[size - 1] = '_';
    memcpy(text + 1, word->bytes, word->size);
    for (unsigned from = 0; from < size; from = next_character(text, from, size)) {
        uint32_t hash = begin('c');
        unsigned at = from;
        for (unsigned n = 1; n <= RUN_MOST && at < size; n++) {
            unsigned next = next_character(text, at, size);
            hash = model_piece_hash_add(hash, text + at, next - at);
            if (n >= RUN_LEAST) count(g, hash, RUN_WEIGHT);
            at = next;
        }
    }
}

static bool take_word(void *arg, const struct word *word)
{
    struct grams *g = arg;
    if (word->punctuation) return true;
    g->over = g->count == g->max;
    if (g->over) return false;
    count(g, model_piece_hash_add(begin('w'), word->bytes, word->size), WORD_WEIGHT);
    if (g->count++ > 0) count(g, model_piece_hash_add(g->pair, word->bytes, word->size), WORD_WEIGHT);
    g->pair = model_piece_hash_add(model_piece_hash_add(begin('p'), word->bytes, word->size), " ", 1);
    count_runs(g, word);
    return true;
}

int ngram(struct span text, unsigned max, float vector[EMBED_NGRAM_DIM], unsigned *words)
{
    struct grams g = {.max = max};
    uint64_t total = 0;
    words_read(text, take_word, &g);
    *words = g.count;
    for (unsigned i = 0; i < EMBED_NGRAM_DIM; i++) total += (uint64_t)abs(g.sums[i]);
    for (unsigned i = 0; i < EMBED_NGRAM_DIM; i++) {
        double root = total ? sqrt((double)abs(g.sums[i]) / (double)total) : 0;
        vector[i] = (float)(g.sums[i] < 0 ? -root : root);
    }
    if (g.over) return RC_TOO_LARGE;
    return total ? RC_OK : RC_EMPTY;
}
