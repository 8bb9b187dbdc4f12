/* SPDX-License-Identifier: Apache-2.0 */
/* cache/encode_math.inc.h — the encoder's float rows, written once over vector primitives; each variant's file defines
 * those and includes this, which ends in the table ENCODE_MATH.
 *
 * vec              LANES floats; + - * / are the compiler's
 * vec_all vec_load vec_store vec_min vec_max; vec_fma(a, b, c) = a · b + c, fused where the machine can
 * vec_sum vec_lowest vec_highest           of a vector's lanes
 * vec_power(n)                             2^n for whole n in −126 … 127
 * vec_sums vec_bytes                       from int32, from int8; vec_store_bytes: rounded to the nearest, 0 … 255
 */
#ifndef CACHE_ENCODE_MATH_INC_H
#define CACHE_ENCODE_MATH_INC_H

#include "cache/encode_kernels.h"

static inline float vec_root(float x)
{
    return __builtin_sqrtf(x);
}

static void embed(const int8_t *word, float scale, const float *position, unsigned count, float *y)
{
    for (unsigned i = 0; i < count; i += LANES)
        vec_store(y + i, vec_fma(vec_bytes(word + i), vec_all(scale), vec_load(position + i)));
}

static void norm(float *x, unsigned count, const struct model_norm *norm, float epsilon)
{
    vec sum = vec_all(0), squares = vec_all(0);
    for (unsigned i = 0; i < count; i += LANES) sum = sum + vec_load(x + i);
    const vec mean = vec_all(vec_sum(sum) / (float)count);
    for (unsigned i = 0; i < count; i += LANES) {
        vec off = vec_load(x + i) - mean;
        squares = vec_fma(off, off, squares);
    }
    const vec inverse = vec_all(1.0f / vec_root(vec_sum(squares) / (float)count + epsilon));
    for (unsigned i = 0; i < count; i += LANES) {
        vec unit = (vec_load(x + i) - mean) * inverse;
        vec_store(x + i, vec_fma(unit, vec_load(norm->gain + i), vec_load(norm->bias + i)));
    }
}

static struct encode_range quantise(const float *x, unsigned count, uint8_t *q)
{
    vec low = vec_load(x), high = low;
    for (unsigned i = LANES; i < count; i += LANES) {
        low = vec_min(low, vec_load(x + i));
        high = vec_max(high, vec_load(x + i));
    }
    struct encode_range range = {.low = vec_lowest(low)};
    range.step = (vec_highest(high) - range.low) / 255.0f;
    const vec inverse = vec_all(range.step > 0 ? 1.0f / range.step : 0.0f), zero = vec_all(range.low);
    for (unsigned i = 0; i < count; i += LANES)
        vec_store_bytes(q + i, vec_min((vec_load(x + i) - zero) * inverse, vec_all(255.0f)));
    return range;
}

static void unscale(const struct model_linear *linear, const int32_t *sums, struct encode_range range, const float *add,
                    float *y)
{
    const vec step = vec_all(range.step), low = vec_all(range.low);
    for (unsigned i = 0; i < linear->out; i += LANES) {
        vec product = vec_fma(low, vec_sums(linear->row_sum + i), step * vec_sums(sums + i));
        vec value = vec_fma(product, vec_load(linear->scale + i), vec_load(linear->bias + i));
        if (add) value = value + vec_load(add + i);
        vec_store(y + i, value);
    }
}

/* x · Φ(x) with erf(x / √2) = x · P(x²) / Q(x²) on |x| ≤ 5.5, least squares refitted until the largest errors were equal:
 * 1.5e-8 in exact arithmetic, 5e-7 in float; of the product 1.2e-6 at most. */
static void gelu(float *x, unsigned count)
{
    static const float p[] = {0.79788447f,     0.0677023125f,   0.00935429783f,
                              0.000337615246f, 1.27034821e-05f, 4.54980569e-08f};
    static const float q[] = {1.0f, 0.251518186f, 0.0286449658f, 0.00188434444f, 7.36403625e-05f, 1.1974659e-06f};
    for (unsigned i = 0; i < count; i += LANES) {
        const vec value = vec_load(x + i), near = vec_max(vec_min(value, vec_all(5.5f)), vec_all(-5.5f));
        const vec square = near * near;
        vec above = vec_all(p[5]), below = vec_all(q[5]);
        for (int k = 4; k >= 0; k--) {
            above = vec_fma(above, square, vec_all(p[k]));
            below = vec_fma(below, square, vec_all(q[k]));
        }
        const vec error = vec_max(vec_min(near * above / below, vec_all(1.0f)), vec_all(-1.0f));
        const vec half = value * vec_all(0.5f);
        vec_store(x + i, vec_fma(half, error, half));
    }
}

/* e^x for x ≤ 0: 2^n · e^r, |r| ≤ ln 2 / 2, Taylor to r^6: relative error 2e-7. */
static inline vec vec_exp(vec x)
{
    static const float inverse_factorial[] = {1.0f, 1.0f, 1.0f / 2, 1.0f / 6, 1.0f / 24, 1.0f / 120, 1.0f / 720};
    const vec whole = vec_all(12582912.0f); /* 1.5 · 2^23: adding it rounds to the nearest integer */
    x = vec_max(x, vec_all(-87.0f));
    const vec n = (vec_fma(x, vec_all(1.44269504f), whole)) - whole;
    const vec r = vec_fma(n, vec_all(-1.42860677e-06f), vec_fma(n, vec_all(-0.693145752f), x));
    vec y = vec_all(inverse_factorial[6]);
    for (int k = 5; k >= 0; k--) y = vec_fma(y, r, vec_all(inverse_factorial[k]));
    return y * vec_power(n);
}

/* out[row] = factor[row] · Σ a[row][k] · b[k] for `rows` rows and `vectors` vectors of columns. */
static inline __attribute__((always_inline)) void tile(const float *a, size_t a_stride, const float *b, size_t b_stride,
                                                       unsigned depth, float *out, size_t out_stride,
                                                       const float *factor, const int rows, const int vectors)
{
    vec sum[ENCODE_ROWS][2];
#pragma GCC unroll 4
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 2
        for (int v = 0; v < vectors; v++) sum[r][v] = vec_all(0);
    for (unsigned k = 0; k < depth; k++) {
        vec column[2];
#pragma GCC unroll 2
        for (int v = 0; v < vectors; v++) column[v] = vec_load(b + k * b_stride + v * LANES);
#pragma GCC unroll 4
        for (int r = 0; r < rows; r++) {
            const vec x = vec_all(a[(size_t)r * a_stride + k]);
#pragma GCC unroll 2
            for (int v = 0; v < vectors; v++) sum[r][v] = vec_fma(x, column[v], sum[r][v]);
        }
    }
#pragma GCC unroll 4
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 2
        for (int v = 0; v < vectors; v++)
            vec_store(out + (size_t)r * out_stride + v * LANES, sum[r][v] * vec_all(factor[r]));
}

static inline __attribute__((always_inline)) void tiles(const float *a, size_t a_stride, const float *b,
                                                        size_t b_stride, unsigned depth, unsigned columns, float *out,
                                                        size_t out_stride, const float *factor, const int rows)
{
    unsigned i = 0;
    for (; i + 2 * LANES <= columns; i += 2 * LANES)
        tile(a, a_stride, b + i, b_stride, depth, out + i, out_stride, factor, rows, 2);
    for (; i < columns; i += LANES) tile(a, a_stride, b + i, b_stride, depth, out + i, out_stride, factor, rows, 1);
}

static void multiply(const float *a, size_t a_stride, const float *b, size_t b_stride, unsigned depth, unsigned columns,
                     float *out, size_t out_stride, const float *factor, unsigned rows)
{
    switch (rows) {
    case 4: tiles(a, a_stride, b, b_stride, depth, columns, out, out_stride, factor, 4); break;
    case 3: tiles(a, a_stride, b, b_stride, depth, columns, out, out_stride, factor, 3); break;
    case 2: tiles(a, a_stride, b, b_stride, depth, columns, out, out_stride, factor, 2); break;
    default: tiles(a, a_stride, b, b_stride, depth, columns, out, out_stride, factor, 1);
    }
}

/* Leaves e^(x − highest), says the inverse of their sum. What lies behind `count` becomes 0 or nearly so. */
static float soften(float *x, unsigned count, unsigned padded)
{
    for (unsigned i = count; i < padded; i++) x[i] = -1e30f;
    vec highest = vec_load(x), sum = vec_all(0);
    for (unsigned i = LANES; i < padded; i += LANES) highest = vec_max(highest, vec_load(x + i));
    const vec top = vec_all(vec_highest(highest));
    for (unsigned i = 0; i < padded; i += LANES) {
        const vec e = vec_exp(vec_load(x + i) - top);
        sum = sum + e;
        vec_store(x + i, e);
    }
    return 1.0f / vec_sum(sum);
}

/* Keys with the tokens side by side, values without the gaps between tokens, which bring them to the same lines of a cache.
 * What stands in `keys` behind the tokens is multiplied too, but soften overwrites the scores. */
static void gather(const struct encode_head *head, unsigned padded)
{
    for (unsigned i = 0; i < head->count; i++) {
        const float *k = head->k + i * head->stride, *v = head->v + i * head->stride;
        for (unsigned d = 0; d < head->width; d++) head->keys[(size_t)d * padded + i] = k[d];
        for (unsigned d = 0; d < head->width; d += LANES)
            vec_store(head->values + i * head->width + d, vec_load(v + d));
    }
}

static void attend(const struct encode_head *head)
{
    const unsigned padded = (head->count + ENCODE_LANES_MAX - 1) / ENCODE_LANES_MAX * ENCODE_LANES_MAX;
    const float scale = 1.0f / vec_root((float)head->width), scales[ENCODE_ROWS] = {scale, scale, scale, scale};
    gather(head, padded);
    for (unsigned i = 0; i < head->count; i += ENCODE_ROWS) {
        const unsigned rows = head->count - i < ENCODE_ROWS ? head->count - i : ENCODE_ROWS;
        float *q = head->q + i * head->stride, inverse[ENCODE_ROWS];
        multiply(q, head->stride, head->keys, padded, head->width, padded, head->scores, padded, scales, rows);
        for (unsigned r = 0; r < rows; r++) inverse[r] = soften(head->scores + (size_t)r * padded, head->count, padded);
        multiply(head->scores, padded, head->values, head->width, head->count, head->width, q, head->stride, inverse,
                 rows);
    }
}

static void pool(const float *x, unsigned rows, unsigned count, float *vector)
{
    vec squares = vec_all(0);
    for (unsigned i = 0; i < count; i += LANES) {
        vec sum = vec_all(0);
        for (unsigned r = 0; r < rows; r++) sum = sum + vec_load(x + (size_t)r * count + i);
        squares = vec_fma(sum, sum, squares);
        vec_store(vector + i, sum);
    }
    const float length = vec_root(vec_sum(squares));
    const vec inverse = vec_all(length > 0 ? 1.0f / length : 0.0f); /* the mean's divisor cancels */
    for (unsigned i = 0; i < count; i += LANES) vec_store(vector + i, vec_load(vector + i) * inverse);
}

const struct encode_math ENCODE_MATH = {embed, norm, quantise, unscale, gelu, attend, pool};

#endif
