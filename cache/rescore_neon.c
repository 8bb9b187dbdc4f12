/* SPDX-License-Identifier: Apache-2.0 */
/* cache/rescore_neon.c — two products of at most 127 × 127 are added in 16 bits, then pairs in 32. */
#include <arm_neon.h>

#include "cache/rescore_kernel.h"

enum { STEP = 32, ROWS = 4 };

static inline int32x4_t add_products(int32x4_t sum, int8x16_t q0, int8x16_t q1, const int8_t *vector)
{
    int8x16_t v0 = vld1q_s8(vector), v1 = vld1q_s8(vector + 16);
    int16x8_t a = vmlal_high_s8(vmull_s8(vget_low_s8(v0), vget_low_s8(q0)), v0, q0);
    int16x8_t b = vmlal_high_s8(vmull_s8(vget_low_s8(v1), vget_low_s8(q1)), v1, q1);
    return vpadalq_s16(vpadalq_s16(sum, a), b);
}

static inline int32_t rest(const int8_t *query, const int8_t *vector, unsigned from, unsigned dim)
{
    int32_t sum = 0;
    for (unsigned i = from; i < dim; i++) sum += query[i] * vector[i];
    return sum;
}

static void four_dots(const int8_t *query, const int8_t *const *vectors, unsigned dim, int32_t *dots)
{
    const int8_t *v0 = vectors[0], *v1 = vectors[1], *v2 = vectors[2], *v3 = vectors[3];
    int32x4_t s0 = vdupq_n_s32(0), s1 = s0, s2 = s0, s3 = s0;
    unsigned i = 0;
    for (; i + STEP <= dim; i += STEP) {
        int8x16_t q0 = vld1q_s8(query + i), q1 = vld1q_s8(query + i + 16);
        s0 = add_products(s0, q0, q1, v0 + i);
        s1 = add_products(s1, q0, q1, v1 + i);
        s2 = add_products(s2, q0, q1, v2 + i);
        s3 = add_products(s3, q0, q1, v3 + i);
    }
    vst1q_s32(dots, vpaddq_s32(vpaddq_s32(s0, s1), vpaddq_s32(s2, s3)));
    for (unsigned r = 0; i < dim && r < ROWS; r++) dots[r] += rest(query, vectors[r], i, dim);
}

void rescore_dots_neon(const int8_t *query, const int8_t *const *vectors, unsigned count, unsigned dim, int32_t *dots)
{
    for (; count >= ROWS; count -= ROWS, vectors += ROWS, dots += ROWS) four_dots(query, vectors, dim, dots);
    if (count == 0) return;
    const int8_t *last[ROWS];
    int32_t four[ROWS];
    for (unsigned r = 0; r < ROWS; r++) last[r] = vectors[r < count ? r : 0];
    four_dots(query, last, dim, four);
    for (unsigned r = 0; r < count; r++) dots[r] = four[r];
}
