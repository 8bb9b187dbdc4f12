/* SPDX-License-Identifier: Apache-2.0 */
/* cache/hamming.h — the nearest codes of a run by Hamming distance: popcount over 32 bytes a code, top k without a sort.
 *
 * Owner:   the caller owns struct hamming_top and the codes (any alignment; 64 is fastest).
 * Threads: any. hamming_select at boot.
 * Variants: scalar defines the result; popcnt, avx2, avx512 (VPOPCNTDQ), neon must equal it, order included.
 * Order:   of equal distance the lower place stands.
 */
#ifndef CACHE_HAMMING_H
#define CACHE_HAMMING_H

#include <stddef.h>
#include <stdint.h>

struct cpu_features;

enum { HAMMING_TOP_MAX = 64, HAMMING_CODE_SIZE = 32 };

struct hamming_hit {
    uint32_t distance;
    uint32_t place; /* among all codes scanned since the start */
};

struct hamming_top {
    unsigned k, count; /* hits[0 … count): unordered until hamming_top_finish */
    uint32_t bound;    /* a code at this distance or above cannot enter any more */
    uint32_t scanned;
    struct hamming_hit hits[HAMMING_TOP_MAX];
};

void hamming_select(const struct cpu_features *features);
const char *hamming_variant(void);

void hamming_top_start(struct hamming_top *top, unsigned k);
/* May be called for each block of a namespace in turn. */
void hamming_scan(const uint64_t query[4], const void *codes, size_t count, struct hamming_top *top);
/* Nearest first. */
void hamming_top_finish(struct hamming_top *top);

#endif
