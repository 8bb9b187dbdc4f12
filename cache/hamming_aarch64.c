/* SPDX-License-Identifier: Apache-2.0 */
/* cache/hamming_aarch64.c — the variants of this architecture. */
#include "cache/hamming_kernel.h"
#include "platform/cpu.h"

static bool has_neon(const struct cpu_features *features)
{
    return features->neon;
}

const struct hamming_kernel hamming_kernels[] = {{"neon", hamming_scan_neon, has_neon}};
const unsigned hamming_kernel_count = sizeof hamming_kernels / sizeof hamming_kernels[0];
