/* SPDX-License-Identifier: Apache-2.0 */
/* cache/encode.h — word pieces to a unit vector: the transformer encoder of a mapped model, int8 products.
 *
 * Scheme:  activations asymmetric unsigned 8-bit per token (scale from that token's minimum and maximum, not widened; the
 *          zero point is the minimum itself, not rounded), int32 sums, equal on every machine; attention, softmax, layer
 *          norm, GELU (its error: cache/encode_math.inc.h), mean pooling in float32. The float path differs between
 *          variants by rounding only.
 * Owner:   the caller owns the workspace: encode_work_size() bytes on a 64-byte border.
 * Threads: any, with a workspace of its own. encode_select at boot.
 * Variants: scalar defines the integer products; avx2, avx512 (VNNI), neon, dotprod.
 */
#ifndef CACHE_ENCODE_H
#define CACHE_ENCODE_H

#include "cache/model.h"

struct cpu_features;

/* NULL: scalar. */
void encode_select(const struct cpu_features *features);
/* This machine's products, which are exact, and scalar's floats: the vectors of scalar to the bit, in less time. */
void encode_select_repeatable(const struct cpu_features *features);
const char *encode_variant(void);

/* Whatever the text: room for MODEL_PIECES_MAX pieces. dim, hidden and a head's width are multiples of 16. */
size_t encode_work_size(const struct model *model);
/* vector: dim floats of length 1. 1 ≤ count ≤ MODEL_PIECES_MAX. */
void encode(const struct model *model, const uint16_t *ids, unsigned count, void *work, float *vector);

#endif
