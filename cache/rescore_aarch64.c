/* SPDX-License-Identifier: Apache-2.0 */
/* cache/rescore_aarch64.c — the variants of this architecture. */
#include "cache/rescore_kernel.h"
#include "platform/cpu.h"

static bool has_neon(const struct cpu_features *features)
{
    return features->neon;
}

static bool has_dotprod(const struct cpu_features *features)
{
    return features->dotprod;
}

const struct rescore_kernel rescore_kernels[] = {
    {"neon", rescore_dots_neon, has_neon},
    {"dotprod", rescore_dots_dotprod, has_dotprod},
};
const unsigned rescore_kernel_count = sizeof rescore_kernels / sizeof rescore_kernels[0];
