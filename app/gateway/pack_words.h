/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/pack_words.h — packs in other words: vectors of every pack's questions, made in the background.
 *
 * Match:   the nearest question of a pack that may answer, when no guard speaks against it. What score is enough is the
 *          caller's (app/gateway/semantic.h).
 * Ready:   after a configuration came into force its questions are embedded one by one; until a question's turn it is
 *          found in the same words only.
 * Owner:   a table of PACK_WORDS_MAX questions, of the configuration in force; what is more is found in the same words.
 * Threads: lane only.
 */
#ifndef GATEWAY_PACK_WORDS_H
#define GATEWAY_PACK_WORDS_H

#include "app/gateway/gateway.h"

enum { PACK_WORDS_MAX = 4096 };

/* Boot. `dim`: of the vectors; 0: there is no embedder. */
int pack_words_reserve(unsigned dim);
/* A configuration came into force: starts over. */
void pack_words_start(struct generation *generation);
/* The end, after the last turn of the loop: lets the configuration go. */
void pack_words_stop(void);
/* Questions that have a vector now; whether more will have one soon. */
unsigned pack_words_ready(void);
bool pack_words_busy(void);

struct pack_match {
    struct span answer;
    float score;
    uint64_t key; /* of the pair's entry side, as the store's entries have their id */
};
/* RC_NOT_FOUND: nothing near, or a guard speaks against the nearest. `any` as answer_pack. */
int pack_words_find(const struct request *r, bool any, struct pack_match *match);

#endif
