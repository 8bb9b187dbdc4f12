/* SPDX-License-Identifier: Apache-2.0 */
/* cache/rescore.c — which variant makes the dot products. */
#include "cache/rescore.h"

#include <stddef.h>

#include "cache/rescore_kernel.h"

static const struct rescore_kernel scalar = {"scalar", rescore_dots_scalar, NULL};
static const struct rescore_kernel *chosen = &scalar;

void rescore_select(const struct cpu_features *features)
{
    chosen = &scalar;
    for (unsigned i = 0; features && i < rescore_kernel_count; i++)
        if (rescore_kernels[i].runs_on(features)) chosen = &rescore_kernels[i];
}

const char *rescore_variant(void)
{
    return chosen->name;
}

void rescore_dots(const int8_t *query, const int8_t *const *vectors, unsigned count, unsigned dim, int32_t *dots)
{
    chosen->dots(query, vectors, count, dim, dots);
}
