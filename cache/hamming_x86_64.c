/* SPDX-License-Identifier: Apache-2.0 */
/* cache/hamming_x86_64.c — the variants of this architecture. */
#include "cache/hamming_kernel.h"
#include "platform/cpu.h"

static bool has_popcnt(const struct cpu_features *features)
{
    return features->popcnt;
}

static bool has_avx2(const struct cpu_features *features)
{
    return features->avx2;
}

static bool has_avx512(const struct cpu_features *features)
{
    return features->avx512_vpopcntdq;
}

const struct hamming_kernel hamming_kernels[] = {
    {"popcnt", hamming_scan_popcnt, has_popcnt},
    {"avx2", hamming_scan_avx2, has_avx2},
    {"avx512", hamming_scan_avx512, has_avx512},
};
const unsigned hamming_kernel_count = sizeof hamming_kernels / sizeof hamming_kernels[0];
