/* SPDX-License-Identifier: Apache-2.0 */
/* cache/rotate.h — vector to binary code: centre, three rounds of signs and Hadamard, 256 sign bits; and to int8.
 *
 * Fixed:   codes persist, so their making is. The 3 × width signs come from HKDF-SHA-256 of the tenant's rotation secret
 *          (RFC 5869; no salt, info "larder rotation 1"), least significant bit first, 1 is minus; width is the next
 *          power of two ≥ dim and ≥ 256, zero filled; a round is signs, then butterflies (a + b, a − b) over places 1
 *          apart, then 2, 4 … width / 2, unscaled, in float; the code's bits are outputs 0 … 255 of the last round, bit
 *          i of word i / 64 least significant first, zero counts as set.
 * Owner:   pure; the caller owns struct rotation, which is as secret as what it is made of.
 * Threads: any. rotate_select at boot; before it scalar runs.
 * Variants: scalar defines; others must give the same bits: they do the same additions in the same order.
 */
#ifndef CACHE_ROTATE_H
#define CACHE_ROTATE_H

#include <stdint.h>

#include "cache/embed.h"

struct cpu_features;

enum {
    CODE_BITS = 256,
    CODE_WORDS = CODE_BITS / 64,
    ROTATION_SECRET_SIZE = 32,
    ROTATION_ROUNDS = 3,
    ROTATION_WIDTH_MAX = 2048
};

struct rotation {
    unsigned dim, width;
    uint64_t signs[ROTATION_ROUNDS][ROTATION_WIDTH_MAX / 64];
};

/* Takes the best this processor has; NULL goes back to scalar. */
void rotate_select(const struct cpu_features *features);
const char *rotate_variant(void);

/* RC_INVALID: dim is 0 or above EMBED_DIM_MAX. */
int rotation_make(struct rotation *rotation, const unsigned char secret[ROTATION_SECRET_SIZE], unsigned dim);
/* `work`: rotation->width floats on a 64-byte border. centre may be NULL. Finite values; length does not matter. */
void rotate_code(const struct rotation *rotation, const float *vector, const float *centre, float *work,
                 uint64_t code[CODE_WORDS]);

/* Symmetric int8: q = round(127 · x / max|x|), ties to even. Returns 1 / |q|, so that cosine = Σ a·b · a_scale ·
 * b_scale; 0 when all values are 0. */
float vector_quantise(const float *vector, unsigned dim, int8_t *quantised);

#endif
