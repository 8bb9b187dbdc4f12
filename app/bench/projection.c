/* SPDX-License-Identifier: Apache-2.0 */
/* app/bench/projection.c — Gaussian random projection, plainly. */
#include "app/bench/projection.h"

#include <math.h>
#include <string.h>

#include "app/bench/bench.h"
#include "platform/check.h"

size_t random_projection_size(unsigned dim, unsigned bits)
{
    return (size_t)dim * bits * sizeof(float);
}

/* Above 0, at most 1. */
static double unit(uint64_t *seed)
{
    return (double)((bench_random(seed) >> 11) + 1) / (double)(UINT64_C(1) << 53);
}

/* Box and Muller 1958: two uniform numbers to two normal ones. */
static void normal_pair(uint64_t *seed, float *out)
{
    const double turn = 2 * acos(-1.0);
    double radius = sqrt(-2 * log(unit(seed))), angle = turn * unit(seed);
    out[0] = (float)(radius * cos(angle));
    out[1] = (float)(radius * sin(angle));
}

void random_projection_make(struct random_projection *projection, unsigned dim, unsigned bits, uint64_t seed,
                            float *matrix)
{
    CHECK(bits % 64 == 0 && bits >= 64 && bits <= PROJECTION_BITS_MAX);
    for (size_t i = 0; i < (size_t)dim * bits; i += 2) normal_pair(&seed, matrix + i);
    *projection = (struct random_projection){dim, bits, matrix};
}

void random_projection_project(const struct random_projection *projection, const float *vector, float *projected)
{
    unsigned bits = projection->bits;
    const float *row = projection->matrix;
    memset(projected, 0, bits * sizeof *projected);
    for (unsigned j = 0; j < projection->dim; j++, row += bits) {
        float x = vector[j];
        for (unsigned i = 0; i < bits; i++) projected[i] += x * row[i];
    }
}

void binarize_sign(const float *values, unsigned count, uint8_t *bits)
{
    for (unsigned i = 0; i < count; i++) bits[i] = values[i] >= 0.0F;
}

void pack_codes(const uint8_t *bits, unsigned count, uint64_t *words)
{
    memset(words, 0, count / 64 * sizeof *words);
    for (unsigned i = 0; i < count; i++) words[i / 64] |= (uint64_t)(bits[i] & 1) << (i % 64);
}

void unpack_codes(const uint64_t *words, unsigned count, uint8_t *bits)
{
    for (unsigned i = 0; i < count; i++) bits[i] = words[i / 64] >> (i % 64) & 1;
}

void random_projection_code(const struct random_projection *projection, const float *vector, uint64_t *words)
{
    float projected[PROJECTION_BITS_MAX];
    uint8_t bits[PROJECTION_BITS_MAX];
    random_projection_project(projection, vector, projected);
    binarize_sign(projected, projection->bits, bits);
    pack_codes(bits, projection->bits, words);
}

double code_similarity(const uint64_t *a, const uint64_t *b, unsigned bits)
{
    unsigned distance = 0;
    for (unsigned i = 0; i < bits / 64; i++) distance += (unsigned)__builtin_popcountll(a[i] ^ b[i]);
    return 1.0 - (double)distance / bits;
}
