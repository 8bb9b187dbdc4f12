/* SPDX-License-Identifier: Apache-2.0 */
/* app/bench/evict_items.h — the different requests of some logs, with their vectors and nearest neighbours.
 *
 * Neighbours: by int8 cosine among all items of the same space, as the store rescores them; the best ITEM_NEIGHBOURS from
 *          ITEM_NEAR up. All pairs are computed once, so that a study asks "who of them is stored now" and no more.
 * Owner:   this module, until the end of the process.
 */
#ifndef APP_BENCH_EVICT_ITEMS_H
#define APP_BENCH_EVICT_ITEMS_H

#include "app/bench/bench_log.h"

enum { ITEMS_MAX = 1 << 17, ITEM_NEIGHBOURS = 256 };
#define ITEM_NEAR 0.60f

struct item_neighbour {
    uint32_t item : 30;
    uint32_t guarded : 2; /* 0: not asked yet, 1: no veto, 2: vetoed */
    float score;
};

struct item {
    const struct bench_request *first; /* that asked for it */
    struct item_neighbour *neighbours; /* nearest first */
    unsigned neighbour_count;
    uint64_t tag;
};

struct items {
    struct item *items;
    unsigned count;
    int8_t *vectors; /* dim each */
    float *scales;
    unsigned dim;
};

void items_reserve(struct items *items);
/* The item of each request, in order; RC_FULL above ITEMS_MAX. */
int items_add(struct items *items, const struct bench_log *log, uint32_t *of_request);
/* Embeds all and finds the neighbours; without an embedder there are none. Progress on stderr. */
int items_relate(struct items *items);
/* Whether a guard speaks against this neighbour's answer; asked once. */
bool items_vetoed(struct items *items, uint32_t item, unsigned neighbour);

#endif
