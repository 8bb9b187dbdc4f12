/* SPDX-License-Identifier: Apache-2.0 */
/* cache/rotate_kernel.h — what the variants of cache/rotate.h share; only rotate*.c, its test and its bench look here. */
#ifndef CACHE_ROTATE_KERNEL_H
#define CACHE_ROTATE_KERNEL_H

#include <stdbool.h>

#include "cache/rotate.h"

/* One round in place: signs, then the Hadamard butterflies from near to far. width: a power of two from 256 on. */
typedef void rotate_kernel_round(float *work, unsigned width, const uint64_t *signs);

struct rotate_kernel {
    const char *name;
    rotate_kernel_round *round;
    bool (*runs_on)(const struct cpu_features *features);
};

/* This architecture's own variants, slowest first (rotate_x86_64.c, rotate_aarch64.c). */
extern const struct rotate_kernel rotate_kernels[];
extern const unsigned rotate_kernel_count;

rotate_kernel_round rotate_round_scalar, rotate_round_avx2, rotate_round_neon;

#endif
