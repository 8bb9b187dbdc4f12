/* SPDX-License-Identifier: Apache-2.0 */
/* cache/semantic.h — the same question in other words: the best stored candidate for a text, and why not.
 *
 * One job on a compute worker: embed → code → scan of the namespace (committed blocks in the map, and what waits for its
 * commit in RAM) → int8 rescoring of the best SEMANTIC_TOP → the best live candidate's row (namespace, tenant, random
 * bits verified, else it is a tombstone and the next one counts) → guards. Deciding (threshold) is the caller's: Hamming
 * proposes, it never decides.
 *
 * Owner:   results lie in the caller's arena.
 * Threads: semantic_lookup from a fiber on the lane (it waits for the job); semantic_lookup_now on a worker.
 * Fails:   RC_FULL: no worker takes the job now: the semantic step is skipped; RC_AGAIN: the model is not checked yet;
 *          RC_EMPTY: no embedder; RC_TOO_LARGE: over 256 pieces; RC_TIMEOUT and others: the remote embedder's.
 */
#ifndef CACHE_SEMANTIC_H
#define CACHE_SEMANTIC_H

#include "cache/cache.h"
#include "cache/guard.h"
#include "cache/rotate.h"

enum { SEMANTIC_TOP = 32 };

struct semantic_question {
    struct span text;
    uint64_t space;                    /* as in struct entry_vector */
    uint8_t tenant[ENTRY_TENANT_SIZE]; /* whose entries count; shared: the box's */
    bool shared;                       /* entries of every tenant in this space count (share: box) */
    bool strict;                       /* guards of a strict route */
};

struct semantic_found {
    struct entry_vector vector; /* the question's own, for cache_put when it is a miss; dim 0: could not be made */
    uint64_t id;                /* best live candidate; 0: none */
    float score;                /* its int8 cosine */
    uint32_t vetoes;            /* 1 << enum guard */
    uint32_t scanned, embed_us, scan_us, rescore_us, guard_us; /* what it took */
};

/* Boot. */
int semantic_reserve(void);

int semantic_lookup(const struct semantic_question *question, struct arena *arena, struct semantic_found *found);
int semantic_lookup_now(const struct semantic_question *question, struct arena *arena, struct semantic_found *found);

#endif
