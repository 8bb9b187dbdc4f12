/* SPDX-License-Identifier: Apache-2.0 */
/* cache/hamming.h — the nearest codes of a run by Hamming distance: popcount over 32 bytes a code, top k without a sort.
 *
 * How:     `bound` is the k-th smallest distance so far, kept by counting how often each distance below it was seen. A
 *          code at the bound or above costs one comparison; the few below it are noted and thinned out now and then.
 * Owner:   the caller owns struct hamming_top and the codes (any alignment; 64 is fastest).
 * Threads: any. hamming_select at boot; before it scalar runs.
 * Variants: scalar defines the result; popcnt, avx2, avx512 (VPOPCNTDQ), neon must equal it, order included.
 * Order:   of equal distance the lower place stands.
 */
#ifndef CACHE_HAMMING_H
#define CACHE_HAMMING_H

#include <stddef.h>
#include <stdint.h>

struct cpu_features;

enum { HAMMING_TOP_MAX = 64, HAMMING_ROOM = HAMMING_TOP_MAX + 32, HAMMING_CODE_SIZE = 32, HAMMING_BITS = 256 };

struct hamming_hit {
    uint32_t distance;
    uint32_t place; /* among all codes scanned since the start */
};

struct hamming_top {
    unsigned k, count; /* hits[0 … count): by place, and more than k of them, until hamming_top_finish */
    uint32_t bound;    /* a code at this distance or above cannot enter any more */
    uint32_t scanned;
    unsigned inside;                /* noted below the bound: fewer than k */
    uint8_t seen[HAMMING_BITS + 1]; /* how many at each distance below the bound */
    struct hamming_hit hits[HAMMING_ROOM];
};

/* Takes the best this processor has; NULL goes back to scalar. */
void hamming_select(const struct cpu_features *features);
const char *hamming_variant(void);

/* k: 1 … HAMMING_TOP_MAX. */
void hamming_top_start(struct hamming_top *top, unsigned k);
/* May be called for each block of a namespace in turn. */
void hamming_scan(const uint64_t query[4], const void *codes, size_t count, struct hamming_top *top);
/* Nearest first; count is at most k afterwards. */
void hamming_top_finish(struct hamming_top *top);

#endif
