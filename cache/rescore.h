/* SPDX-License-Identifier: Apache-2.0 */
/* cache/rescore.h — dot products of one int8 vector with a few others; the integers are equal on every machine.
 *
 * Threads: any. rescore_select at boot; before it scalar runs.
 * Variants: scalar defines; avx2, avx512 (VNNI), neon, dotprod must equal it for all values −127 … 127.
 */
#ifndef CACHE_RESCORE_H
#define CACHE_RESCORE_H

#include <stdint.h>

struct cpu_features;

/* Takes the best this processor has; NULL goes back to scalar. */
void rescore_select(const struct cpu_features *features);
const char *rescore_variant(void);

/* dots[i] = Σ query · vectors[i]. Any alignment; dim at most 1536. */
void rescore_dots(const int8_t *query, const int8_t *const *vectors, unsigned count, unsigned dim, int32_t *dots);

#endif
