/* SPDX-License-Identifier: Apache-2.0 */
/* cache/rescore_x86_64.c — the variants of this architecture. */
#include "cache/rescore_kernel.h"
#include "platform/cpu.h"

static bool has_avx2(const struct cpu_features *features)
{
    return features->avx2;
}

static bool has_avx512(const struct cpu_features *features)
{
    return features->avx512_vnni;
}

const struct rescore_kernel rescore_kernels[] = {
    {"avx2", rescore_dots_avx2, has_avx2},
    {"avx512", rescore_dots_avx512, has_avx512},
};
const unsigned rescore_kernel_count = sizeof rescore_kernels / sizeof rescore_kernels[0];
