/* SPDX-License-Identifier: Apache-2.0 */
/* cache/rescore_scalar.c — the definition: products summed in 32 bits. 1536 × 127 × 127 fits. */
#include "cache/rescore_kernel.h"

static int32_t dot(const int8_t *a, const int8_t *b, unsigned dim)
{
    int32_t sum = 0;
    for (unsigned i = 0; i < dim; i++) sum += a[i] * b[i];
    return sum;
}

void rescore_dots_scalar(const int8_t *query, const int8_t *const *vectors, unsigned count, unsigned dim, int32_t *dots)
{
    for (unsigned i = 0; i < count; i++) dots[i] = dot(query, vectors[i], dim);
}
