/* SPDX-License-Identifier: Apache-2.0 */
/* cache/semantic.h — the same question in other words: the best stored candidate for a text, and why not.
 *
 * One job on a compute worker: embed → code → scan of the namespace (committed blocks in the map, and what waits for its
 * commit in RAM) → int8 rescoring of the best SEMANTIC_TOP → the best live candidate's row (space, tenant, random bits
 * verified, else it is a tombstone and the next one counts) → guards. Deciding (threshold) is the caller's: Hamming
 * proposes, it never decides.
 *
 * Owner:   results lie in the caller's arena.
 * Threads: semantic_lookup from a fiber on the lane (it waits for the job); semantic_lookup_now on a worker.
 * Fails:   RC_FULL: no worker takes the job now, the arena has no room, or the table of rotation secrets is full: the
 *          semantic step is skipped; RC_AGAIN: the model is not checked yet; RC_EMPTY: no embedder; RC_TOO_LARGE: over 256
 *          pieces; RC_TIMEOUT and others: the remote embedder's.
 */
#ifndef CACHE_SEMANTIC_H
#define CACHE_SEMANTIC_H

#include "cache/cache.h"
#include "cache/guard.h"
#include "cache/rotate.h"

enum {
    SEMANTIC_TOP = 32,
    SEMANTIC_DEAD_MAX = 8, /* candidates that turn out to be gone, in one lookup; then there is none */
    SEMANTIC_NEXT_MAX = 3, /* candidates after the best one that a question may ask for */
};

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
    uint64_t passed[SEMANTIC_NEXT_MAX];                        /* what semantic_lookup_next went past */
    unsigned passed_count;
};

/* Boot, after cache_reserve. */
int semantic_reserve(void);
/* After cache_open and embed_open: secrets, the codes of another embedder go, background work begins. */
int semantic_start(const char *data_folder);
/* Before cache_close; turns the loop until background work has stopped. */
void semantic_stop(void);

/* ---- background: one pass over the index some seconds after boot, then when codes were lost or could not be made, at
 * least hourly for the figures: finds codes whose entries are gone (dropped), blocks and vectors that break their CRC (dropped), and
 * entries that have a space and no code (embedded again, one at a time, a tenth of a worker's time at most, not while jobs
 * wait). The exact tier never notices. */
/* Such a pass now, every vector read; waits for its end (fiber). RC_AGAIN: one runs already; RC_EMPTY: no embedder. */
int semantic_refresh(void);

/* Removes the tenant's entries and codes and destroys its rotation secret (fiber). */
int semantic_erase(const uint8_t tenant[ENTRY_TENANT_SIZE], unsigned *removed);

int semantic_lookup(const struct semantic_question *question, struct arena *arena, struct semantic_found *found);
/* The best live candidate but `found` and those before it, with the vector that is there. RC_NOT_FOUND: that was the last. */
int semantic_lookup_next(const struct semantic_question *question, struct arena *arena, struct semantic_found *found);
/* May name an entry that is on its way out of the store (cache_has tells). */
int semantic_lookup_now(const struct semantic_question *question, struct arena *arena, struct semantic_found *found);
/* Likewise, with dim floats that the embedder has made. */
int semantic_lookup_made_now(const struct semantic_question *question, const float *made, struct arena *arena,
                             struct semantic_found *found);
/* The question's code and vector without a lookup: what cache_put needs. A worker's; dim floats `made` as an embedder gives
 * them, NULL: it is asked. */
int semantic_vector_now(const struct semantic_question *question, const float *made, struct arena *arena,
                        struct entry_vector *vector);

/* ---- the index alone, without texts: what is near a code */
struct semantic_near {
    uint64_t id;
    unsigned distance; /* of 256 bits */
    uint32_t random;
    unsigned number, place; /* where its code is; number UINT32_MAX: not committed yet */
};
/* The k nearest, nearest first, living in the index; entries are not asked. A worker's. */
int semantic_nearest(uint64_t space_tag, const uint64_t code[CODE_WORDS], unsigned k, struct arena *arena,
                     struct semantic_near *near, unsigned *count, uint32_t *scanned);

struct semantic_stats {
    uint64_t codes, namespaces, blocks, dead; /* as of the last pass, codes since then counted on */
    uint64_t left; /* entries without a code that the running pass has not come to, or could not make */
    uint64_t waiting, reembedded, missing, damaged, dropped, passes, tenants, tenants_refused;
};
void semantic_stats(struct semantic_stats *stats);

#endif
