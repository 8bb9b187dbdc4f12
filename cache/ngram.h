/* SPDX-License-Identifier: Apache-2.0 */
/* cache/ngram.h — text to vector without a model: hashed words, pairs of words, and runs of 3 to 5 characters.
 *
 * Scheme:  of the words of cache/words.h that are no punctuation: each word and each pair of neighbours counts 2, each run of
 *          3, 4 and 5 characters of "_word_" counts 1; a feature's hash (FNV-1a with a closing mix, as in
 *          cache/model_layout.h) chooses one of 384 sums and the sign (signed feature hashing, Weinberger et al. 2009). A
 *          number of the vector is the signed square root of its sum, so the length is 1 without rounding to speak of;
 *          all but that root is in integers, so the vector is the same on every machine.
 * Use:     near-exact matches only: it knows nothing of meaning.
 * Threads: any; pure. Under 4 KiB of stack (a worker's).
 * Fails:   RC_EMPTY: no word (the vector is zero); RC_TOO_LARGE: more than `max` words; then the first ones count.
 */
#ifndef CACHE_NGRAM_H
#define CACHE_NGRAM_H

#include "cache/embed.h"

#define NGRAM_TAG "ngram/1"

int ngram(struct span text, unsigned max, float vector[EMBED_NGRAM_DIM], unsigned *words);

#endif
