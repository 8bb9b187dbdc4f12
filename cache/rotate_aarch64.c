/* SPDX-License-Identifier: Apache-2.0 */
/* cache/rotate_aarch64.c — the variants of this architecture. */
#include "cache/rotate_kernel.h"
#include "platform/cpu.h"

static bool has_neon(const struct cpu_features *features)
{
    return features->neon;
}

const struct rotate_kernel rotate_kernels[] = {{"neon", rotate_round_neon, has_neon}};
const unsigned rotate_kernel_count = sizeof rotate_kernels / sizeof rotate_kernels[0];
