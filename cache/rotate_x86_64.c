/* SPDX-License-Identifier: Apache-2.0 */
/* cache/rotate_x86_64.c — the variants of this architecture. */
#include "cache/rotate_kernel.h"
#include "platform/cpu.h"

static bool has_avx2(const struct cpu_features *features)
{
    return features->avx2;
}

static bool has_avx512(const struct cpu_features *features)
{
    return features->avx512_vpopcntdq || features->avx512_vnni; /* F is enough */
}

const struct rotate_kernel rotate_kernels[] = {
    {"avx2", rotate_round_avx2, has_avx2},
    {"avx512", rotate_round_avx512, has_avx512},
};
const unsigned rotate_kernel_count = sizeof rotate_kernels / sizeof rotate_kernels[0];
