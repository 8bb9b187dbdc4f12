/* SPDX-License-Identifier: Apache-2.0 */
/* app/bench/projection.h — the classic way to a binary code: signs of a Gaussian random projection, 64 to 512 bits.
 *
 * Not what the cache uses (cache/rotate.h): what it is measured and tested against.
 * Formula: bit i = Σ x[j] · P[j][i] ≥ 0, P of independent standard normal numbers; packed least significant bit first;
 *          similarity = 1 − distance / bits.
 * Owner:   the caller owns matrix and scratch.
 * Threads: any; pure.
 */
#ifndef APP_BENCH_PROJECTION_H
#define APP_BENCH_PROJECTION_H

#include <stddef.h>
#include <stdint.h>

enum { PROJECTION_BITS_MAX = 512, PROJECTION_WORDS_MAX = PROJECTION_BITS_MAX / 64 };

struct random_projection {
    unsigned dim, bits;  /* bits: a multiple of 64, at most PROJECTION_BITS_MAX */
    const float *matrix; /* dim × bits, row by row */
};

size_t random_projection_size(unsigned dim, unsigned bits); /* bytes of the matrix */
/* The same matrix for the same seed, on every machine with the same libm. */
void random_projection_make(struct random_projection *projection, unsigned dim, unsigned bits, uint64_t seed,
                            float *matrix);
/* projected: `bits` floats. */
void random_projection_project(const struct random_projection *projection, const float *vector, float *projected);
/* Zero counts as 1. */
void binarize_sign(const float *values, unsigned count, uint8_t *bits);
/* bits: 0 or 1 a byte, count a multiple of 64. */
void pack_codes(const uint8_t *bits, unsigned count, uint64_t *words);
void unpack_codes(const uint64_t *words, unsigned count, uint8_t *bits);
/* All three at once: one embedding to `bits` / 64 words. */
void random_projection_code(const struct random_projection *projection, const float *vector, uint64_t *words);
double code_similarity(const uint64_t *a, const uint64_t *b, unsigned bits);

#endif
