/* SPDX-License-Identifier: Apache-2.0 */
/* cache/evict.h — choose which entry leaves when the store is full.
 *
 * Policies: sieve   Zhang, Yang, Yue, Vigfusson, Rashmi: "SIEVE is Simpler than LRU" (NSDI 2024): new entries at the head of
 *                   one list, a hand walks from the tail and takes the first without a mark. Here the mark counts to
 *                   EVICT_MARK_MAX and the hand takes one off; an entry that comes back soon after it left starts with
 *                   a mark; a hit on a dear entry counts twice, and a cheap one is not spared for its last mark.
 *          lru      a hit moves its entry to the head, the tail leaves.
 *          mmr      of a sampled pool the lowest λ · worth − (1 − λ) · redundancy leaves (Carbonell, Goldstein: "The Use of
 *                   MMR", SIGIR 1998, with what is worth keeping in the place of relevance): worth = w / (1 + w),
 *                   w = recency · (1 + hits) · dearness; redundancy: how near the nearest entry that is still here is,
 *                   0 at EVICT_NEAR, cubed, because only those almost alike find the same askers.
 *          cluster  of a sampled pool the oldest of those in the larger clusters leaves, hits making young. An entry joins
 *                   its neighbour's cluster, one without neighbour falls into any.
 * Cost:    a pool is EVICT_POOL entries, whatever the table holds; sieve and lru look at one or a few. `steps` counts.
 * Worth:   an entry is dear or cheap when its cost for its share of the store is twice, or a quarter of, the running mean
 *          (GDSF: Cherkasova, HPL-98-69). Cost is in any one unit: evict_cost makes one of time and tokens until there
 *          are prices. Share: bytes of the bytes allowed plus one of the entries allowed, so that what is scarce counts.
 * Cover:   mmr and cluster: the neighbour of an entry that yields takes over its hits and recency, for it is what those
 *          who would have found the other find now, and is no longer redundant to it.
 * State:   8 bytes an entry by its position in the exact index: links, or neighbour, age and cluster (only one kind is in
 *          use at a time); size in 8 bits; marks. 1 byte an entry remembers who left of late.
 * Owner:   the caller owns struct evict; memory is taken at boot.
 * Threads: lane only.
 * Fails:   RC_EMPTY when nothing may leave (all pinned).
 * Not here: removing entries, when to evict (cache/cache.c).
 */
#ifndef CACHE_EVICT_H
#define CACHE_EVICT_H

#include <stdbool.h>
#include <stdint.h>

enum evict_policy { EVICT_POLICY_SIEVE, EVICT_POLICY_LRU, EVICT_POLICY_MMR, EVICT_POLICY_CLUSTER };
enum evict_class { EVICT_PLAIN, EVICT_DEAR, EVICT_CHEAP };

enum {
    EVICT_UNIT = 256, /* bytes of pages; exact up to 8 KiB, then rounded up by a sixteenth at most, up to 128 MiB */
    EVICT_STEPS_MAX = 4096, /* looked at for one victim; then the next that is not pinned leaves, marked or not */
    EVICT_POOL = 64,
    EVICT_BATCH_MAX = 1024,
    EVICT_BATCH_SHARE = 100,
    EVICT_MARK_MAX = 3,
    EVICT_HITS_MAX = 15,
    EVICT_CLUSTERS_MAX = 256,
    EVICT_LAMBDA_ONE = 256,
    EVICT_GHOSTS = 16384, /* remembered victims, in sets of EVICT_GHOST_WAYS */
    EVICT_GHOST_WAYS = 4,
    EVICT_RETURN_WAYS = 8,
};
#define EVICT_NONE 0xFFFFFFu
#define EVICT_NEAR 0.70f /* cosine from which two entries are neighbours */

struct evict_links {
    uint32_t newer : 24, size : 8;
    uint32_t older : 24, marks : 8;
};

struct evict_place {
    uint32_t neighbour : 24, size : 8;
    uint32_t clock : 12, near : 4, cluster : 8, marks : 8; /* near: 0 none, 1 … 15: cosine EVICT_NEAR … 1 */
};

union evict_node {
    struct evict_links links;
    struct evict_place place;
};

struct evict {
    union evict_node *nodes;
    uint32_t head, tail, hand; /* newest, oldest, where the sieve goes on (EVICT_NONE: at the tail) */
    uint32_t count, pinned;
    uint32_t span;  /* positions below were in use */
    uint64_t units; /* of all entries */
    uint32_t walk;
    uint64_t steps; /* entries looked at since the start, to find victims */
    enum evict_policy policy;
    uint32_t *ghosts;  /* 32 bits of the victims' tags */
    uint16_t *returns; /* 16 bits of the tags of the last victims, about half a table of them */
    uint32_t return_sets, return_sets_max;
    uint64_t units_max, entries_max; /* shares are of these */
    int32_t mean;                    /* of log2(cost / share), in 1/4096 */
    bool mean_known;
    unsigned lambda;   /* of EVICT_LAMBDA_ONE */
    unsigned clusters; /* at most EVICT_CLUSTERS_MAX */
    uint32_t cluster_count[EVICT_CLUSTERS_MAX];
    uint32_t clock, ticks; /* a tick is a 64th of the table used or stored */
    uint32_t sweep;
    uint64_t random;
};

struct evict_new {
    uint64_t bytes;
    uint64_t tag;       /* of the exact index: whether it returns */
    uint64_t cost;      /* to make it anew; 0: not known, counts as the mean */
    uint32_t neighbour; /* position of the entry whose code was nearest, or EVICT_NONE */
    float score;        /* its cosine */
    bool pinned;
};

int evict_reserve(struct evict *evict, unsigned entries_max);
void evict_clear(struct evict *evict);
/* Kept entries keep their order as far as the new policy has one. */
void evict_policy_set(struct evict *evict, enum evict_policy policy);
void evict_bounds_set(struct evict *evict, unsigned entries_max, uint64_t bytes_max);
/* λ of mmr in 1/EVICT_LAMBDA_ONE, at boot a half; clusters of cluster, at boot 10. Before the first entry. */
void evict_tune(struct evict *evict, unsigned lambda, unsigned clusters);

/* Milliseconds and tokens as one number: a token of an answer counts as four of a question (what most price lists say
 * within a factor of two), a token of a question as a millisecond. Prices, when there are any, take the tokens' place. */
uint64_t evict_cost(uint32_t upstream_ms, uint32_t tokens_in, uint32_t tokens_out);

void evict_add(struct evict *evict, uint32_t position, const struct evict_new *entry);
void evict_remove(struct evict *evict, uint32_t position);
void evict_touch(struct evict *evict, uint32_t position);
void evict_resize(struct evict *evict, uint32_t position, uint64_t bytes);
uint64_t evict_bytes(const struct evict *evict);

/* How many must leave for one more of this size: none while there is room, else a hundredth of all, so that not every store
 * evicts, at most EVICT_BATCH_MAX. evict_heavy: its bytes do not fit yet. */
unsigned evict_wanted(const struct evict *evict, uint64_t bytes);
bool evict_heavy(const struct evict *evict, uint64_t bytes);
/* The entry that leaves next; the caller lets it yield, then removes it. */
int evict_pick(struct evict *evict, uint32_t *position);
/* It leaves for others: it is remembered, and its neighbour takes over. */
void evict_yield(struct evict *evict, uint32_t position, uint64_t tag);

/* One walk at a time over all entries, while they change: what is removed is passed over. sieve, lru: from the oldest to the
 * newest, what moves to the head is met again; else by position. EVICT_NONE at the end. */
void evict_walk_start(struct evict *evict);
uint32_t evict_walk_next(struct evict *evict);
uint32_t evict_hand(const struct evict *evict);
void evict_hand_set(struct evict *evict, uint32_t position);

/* What a snapshot keeps of an entry. */
struct evict_saved {
    uint32_t bits;
    uint32_t neighbour; /* EVICT_NONE: none */
};
/* False: as good as new, need not be kept. */
bool evict_save(const struct evict *evict, uint32_t position, struct evict_saved *saved);
/* By lru it moves to the head besides: restored from the oldest to the newest. */
void evict_restore(struct evict *evict, uint32_t position, const struct evict_saved *saved);

void evict_ghost_add(struct evict *evict, uint64_t tag);
bool evict_ghost_has(const struct evict *evict, uint64_t tag);

static inline bool evict_samples(const struct evict *evict)
{
    return evict->policy >= EVICT_POLICY_MMR;
}

/* For tests and figures. */
unsigned evict_hits(const struct evict *evict, uint32_t position);
enum evict_class evict_class_of(const struct evict *evict, uint32_t position);

#endif
