/* SPDX-License-Identifier: Apache-2.0 */
/* cache/encode_scalar.c — the int8 products that the other variants must equal, and the float rows one by one. */
#include <stdint.h>
#include <string.h>

enum { LANES = 1 };
typedef float vec;

static inline vec vec_all(float x)
{
    return x;
}

static inline vec vec_load(const float *p)
{
    return *p;
}

static inline void vec_store(float *p, vec x)
{
    *p = x;
}

static inline vec vec_min(vec a, vec b)
{
    return a < b ? a : b;
}

static inline vec vec_max(vec a, vec b)
{
    return a > b ? a : b;
}

static inline vec vec_fma(vec a, vec b, vec c)
{
    return a * b + c;
}

static inline float vec_sum(vec x)
{
    return x;
}

static inline float vec_lowest(vec x)
{
    return x;
}

static inline float vec_highest(vec x)
{
    return x;
}

static inline vec vec_power(vec n)
{
    uint32_t bits = (uint32_t)((int32_t)n + 127) << 23;
    vec power;
    memcpy(&power, &bits, sizeof power);
    return power;
}

static inline vec vec_sums(const int32_t *p)
{
    return (float)*p;
}

static inline vec vec_bytes(const int8_t *p)
{
    return *p;
}

static inline void vec_store_bytes(uint8_t *p, vec x)
{
    const vec whole = 12582912.0f; /* 1.5 · 2^23 */
    *p = (uint8_t)(int32_t)(x + whole - whole);
}

#define ENCODE_MATH encode_math_scalar
#include "cache/encode_math.inc.h"

static void pack(const uint8_t *q, unsigned count, void *packed)
{
    memcpy(packed, q, count);
}

static void block(const struct model_linear *linear, unsigned panel, unsigned panels, const void *packed,
                  unsigned tokens, int32_t *sums)
{
    const uint8_t *q = packed;
    const int8_t *w = linear->panels + (size_t)panel * ENCODE_PANEL_ROWS * linear->in;
    int32_t *sum = sums + (size_t)panel * ENCODE_PANEL_ROWS;
    (void)panels, (void)tokens; /* one of each */
    memset(sum, 0, ENCODE_PANEL_ROWS * sizeof *sum);
    for (unsigned c = 0; c < linear->in; c += 4)
        for (unsigned r = 0; r < ENCODE_PANEL_ROWS; r++, w += 4)
            sum[r] += q[c] * w[0] + q[c + 1] * w[1] + q[c + 2] * w[2] + q[c + 3] * w[3];
}

const struct encode_products encode_products_scalar = {1, 1, 1, pack, block};
