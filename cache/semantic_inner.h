/* SPDX-License-Identifier: Apache-2.0 */
/* cache/semantic_inner.h — the background fiber's state, for cache/semantic*.c only. Lane only but for the figures. */
#ifndef CACHE_SEMANTIC_INNER_H
#define CACHE_SEMANTIC_INNER_H

#include <stdatomic.h>

#include "platform/arena.h"
#include "platform/fiber.h"

struct semantic_counts { /* of a whole pass, and what the writer had counted then */
    _Atomic uint64_t codes, namespaces, blocks, dead, stored, deleted;
};

struct semantic_background {
    struct fiber_pool fibers;
    struct fiber *fiber;
    struct arena arena;   /* of the entry that is embedded again */
    unsigned char *marks; /* a bit a position of the exact index: its code was seen */
    size_t marks_size;
    uint64_t *ids; /* of one job */
    bool stopping, runs, incomplete;
    uint64_t began_us; /* the last job */
    uint64_t ended_us, seen_lost, seen_uncoded;
    _Atomic uint64_t reembedded, missing, left, dropped, passes; /* read by whoever renders metrics */
    struct semantic_counts counts;
};

extern struct semantic_background semantic_background;

int semantic_background_reserve(unsigned entries_max);
int semantic_background_start(void);
void semantic_background_stop(void);

#endif
