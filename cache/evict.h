/* SPDX-License-Identifier: Apache-2.0 */
/* cache/evict.h — choose which entry leaves when the store is full.
 *
 * Policies: SIEVE (Zhang, Yang, Yue, Vigfusson, Rashmi: "SIEVE is Simpler than LRU", NSDI 2024): new entries at the head
 *          of one list, a hit marks its entry, a hand walks from the tail and takes the first without a mark, clearing
 *          marks as it passes. LRU: a hit moves its entry to the head, the tail leaves.
 * State:   9 bytes an entry, by its position in the exact index: two links of 24 bits with 16 bits of size in units of
 *          EVICT_UNIT, and one byte of marks.
 * Owner:   the caller owns struct evict; memory is taken at boot.
 * Threads: lane only.
 * Fails:   RC_EMPTY when nothing may leave (all pinned).
 * Not here: removing entries, when to evict (cache/cache.c); costs besides age come with the semantic tier.
 */
#ifndef CACHE_EVICT_H
#define CACHE_EVICT_H

#include <stdbool.h>
#include <stdint.h>

enum evict_policy { EVICT_POLICY_SIEVE, EVICT_POLICY_LRU };

enum {
    EVICT_UNIT = 256,       /* bytes of pages; sizes above 16 MiB count as that */
    EVICT_STEPS_MAX = 4096, /* looked at for one victim; then the next that is not pinned leaves, marked or not */
    EVICT_GHOSTS = 16384,   /* remembered victims, in sets of EVICT_GHOST_WAYS */
    EVICT_GHOST_WAYS = 4,
};
#define EVICT_NONE 0xFFFFFFu

struct evict_node {
    uint32_t newer : 24, size_low : 8;
    uint32_t older : 24, size_high : 8;
};

struct evict {
    struct evict_node *nodes;
    unsigned char *marks;
    uint32_t head, tail, hand; /* newest, oldest, where the sieve goes on (EVICT_NONE: at the tail) */
    uint32_t count;
    uint64_t units; /* of all entries */
    uint32_t walk;
    enum evict_policy policy;
    uint32_t *ghosts; /* 32 bits of the victims' tags */
};

int evict_reserve(struct evict *evict, unsigned entries_max);
void evict_policy_set(struct evict *evict, enum evict_policy policy);
void evict_clear(struct evict *evict);

void evict_add(struct evict *evict, uint32_t position, uint64_t bytes, bool pinned);
void evict_remove(struct evict *evict, uint32_t position);
void evict_touch(struct evict *evict, uint32_t position);
void evict_resize(struct evict *evict, uint32_t position, uint64_t bytes);
uint64_t evict_bytes(const struct evict *evict);

/* The entry that leaves next; the caller removes it. */
int evict_pick(struct evict *evict, uint32_t *position);

/* One walk at a time from the oldest entry to the newest, while the list changes: what is removed is passed over, what
 * moves to the head is met again. EVICT_NONE at the end. */
void evict_walk_start(struct evict *evict);
uint32_t evict_walk_next(struct evict *evict);
bool evict_marked(const struct evict *evict, uint32_t position);
uint32_t evict_hand(const struct evict *evict);
void evict_hand_set(struct evict *evict, uint32_t position);
/* As if hit now: marked, and by LRU moved to the head; also without a hit, to put a saved order back. */
void evict_promote(struct evict *evict, uint32_t position);

void evict_ghost_add(struct evict *evict, uint64_t tag);
bool evict_ghost_has(const struct evict *evict, uint64_t tag);

#endif
