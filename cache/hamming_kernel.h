/* SPDX-License-Identifier: Apache-2.0 */
/* cache/hamming_kernel.h — what the variants of cache/hamming.h share; only hamming*.c, its test and its bench look here. */
#ifndef CACHE_HAMMING_KERNEL_H
#define CACHE_HAMMING_KERNEL_H

#include <stdbool.h>

#include "cache/hamming.h"

/* Offers every code below top->bound, in order; the first code's place is top->scanned. */
typedef void hamming_kernel_scan(const uint64_t query[4], const void *codes, size_t count, struct hamming_top *top);

struct hamming_kernel {
    const char *name;
    hamming_kernel_scan *scan;
    bool (*runs_on)(const struct cpu_features *features);
};

/* This architecture's own variants, slowest first (hamming_x86_64.c, hamming_aarch64.c). */
extern const struct hamming_kernel hamming_kernels[];
extern const unsigned hamming_kernel_count;

hamming_kernel_scan hamming_scan_scalar, hamming_scan_popcnt, hamming_scan_avx2, hamming_scan_avx512, hamming_scan_neon;

/* Notes a code whose distance is below top->bound. */
void hamming_offer(struct hamming_top *top, uint32_t distance, uint32_t place);

#endif
