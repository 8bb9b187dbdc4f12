/* SPDX-License-Identifier: Apache-2.0 */
/* cache/tokenize.h — text to the word pieces of an uncased BERT vocabulary (Devlin et al. 2018; WordPiece, longest match).
 *
 * Steps:   words (cache/words.h), then the longest piece from the left, "##" inside a word; a word that cannot be taken
 *          apart or has over 100 characters is [UNK]. [CLS] and [SEP] in the text are plain text.
 * Owner:   pure; the vocabulary is the mapped model's.
 * Threads: any. Takes no memory but its stack (under 2 KiB).
 */
#ifndef CACHE_TOKENIZE_H
#define CACHE_TOKENIZE_H

#include "cache/model.h"

/* ids[0] is [CLS], the last one [SEP]. RC_TOO_LARGE: the text has more than `max` pieces; then ids holds the first ones,
 * with [SEP] at the end, *count is max. */
int tokenize(const struct model *model, struct span text, uint16_t *ids, unsigned max, unsigned *count);

#endif
