/* SPDX-License-Identifier: Apache-2.0 */
/* cache/rescore_kernel.h — what the variants of cache/rescore.h share; only rescore*.c, its test and its bench look here. */
#ifndef CACHE_RESCORE_KERNEL_H
#define CACHE_RESCORE_KERNEL_H

#include <stdbool.h>

#include "cache/rescore.h"

typedef void rescore_kernel_dots(const int8_t *query, const int8_t *const *vectors, unsigned count, unsigned dim,
                                 int32_t *dots);

struct rescore_kernel {
    const char *name;
    rescore_kernel_dots *dots;
    bool (*runs_on)(const struct cpu_features *features);
};

/* This architecture's own variants, slowest first (rescore_x86_64.c, rescore_aarch64.c). */
extern const struct rescore_kernel rescore_kernels[];
extern const unsigned rescore_kernel_count;

rescore_kernel_dots rescore_dots_scalar, rescore_dots_avx2, rescore_dots_avx512, rescore_dots_neon,
    rescore_dots_dotprod;

#endif
