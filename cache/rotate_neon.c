/* SPDX-License-Identifier: Apache-2.0 */
/* cache/rotate_neon.c — four floats a register; blocks of 32 stay in registers up to butterflies 16 apart. */
#include <arm_neon.h>
#include <stddef.h>

#include "cache/rotate_kernel.h"

enum { LANES = 4, BLOCK = 32 };

/* Bit i of `bits` flips the sign of float i. */
static inline float32x4_t flipped(float32x4_t x, uint32_t bits)
{
    static const int32_t up[LANES] = {31, 30, 29, 28};
    uint32x4_t signs = vshlq_u32(vdupq_n_u32(bits), vld1q_s32(up));
    return vreinterpretq_f32_u32(veorq_u32(vreinterpretq_u32_f32(x), vandq_u32(signs, vdupq_n_u32(0x80000000U))));
}

static inline void butterfly(float32x4_t *a, float32x4_t *b)
{
    float32x4_t sum = vaddq_f32(*a, *b);
    *b = vsubq_f32(*a, *b);
    *a = sum;
}

static inline float32x4_t even_halves(float32x4_t a, float32x4_t b)
{
    return vreinterpretq_f32_f64(vtrn1q_f64(vreinterpretq_f64_f32(a), vreinterpretq_f64_f32(b)));
}

static inline float32x4_t odd_halves(float32x4_t a, float32x4_t b)
{
    return vreinterpretq_f32_f64(vtrn2q_f64(vreinterpretq_f64_f32(a), vreinterpretq_f64_f32(b)));
}

/* Butterflies 1 and 2 apart within both registers. */
static inline void near_rounds(float32x4_t *x, float32x4_t *y)
{
    float32x4_t first = vtrn1q_f32(*x, *y), second = vtrn2q_f32(*x, *y);
    butterfly(&first, &second);
    float32x4_t a = vtrn1q_f32(first, second), b = vtrn2q_f32(first, second);
    first = even_halves(a, b), second = odd_halves(a, b);
    butterfly(&first, &second);
    *x = even_halves(first, second), *y = odd_halves(first, second);
}

static inline __attribute__((always_inline)) void block(float *work, uint32_t signs)
{
    float32x4_t x[8];
    for (unsigned i = 0; i < 8; i++) x[i] = flipped(vld1q_f32(work + (size_t)i * LANES), signs >> 4 * i);
    for (unsigned i = 0; i < 8; i += 2) near_rounds(&x[i], &x[i + 1]);
    for (unsigned i = 0; i < 8; i += 2) butterfly(&x[i], &x[i + 1]);
    for (unsigned i = 0; i < 4; i++) butterfly(&x[i + (i & 2)], &x[i + (i & 2) + 2]);
    for (unsigned i = 0; i < 4; i++) butterfly(&x[i], &x[i + 4]);
    for (unsigned i = 0; i < 8; i++) vst1q_f32(work + (size_t)i * LANES, x[i]);
}

/* Butterflies `apart` and 2 × apart in one pass. */
static inline void two_rounds(float *work, unsigned width, unsigned apart)
{
    for (unsigned from = 0; from < width; from += 4 * apart) {
        for (float *p = work + from; p < work + from + apart; p += LANES) {
            float32x4_t a = vld1q_f32(p), b = vld1q_f32(p + apart);
            float32x4_t c = vld1q_f32(p + 2 * (size_t)apart), d = vld1q_f32(p + 3 * (size_t)apart);
            butterfly(&a, &b), butterfly(&c, &d);
            butterfly(&a, &c), butterfly(&b, &d);
            vst1q_f32(p, a), vst1q_f32(p + apart, b);
            vst1q_f32(p + 2 * (size_t)apart, c), vst1q_f32(p + 3 * (size_t)apart, d);
        }
    }
}

static inline void last_round(float *work, unsigned apart)
{
    for (float *p = work; p < work + apart; p += LANES) {
        float32x4_t a = vld1q_f32(p), b = vld1q_f32(p + apart);
        butterfly(&a, &b);
        vst1q_f32(p, a), vst1q_f32(p + apart, b);
    }
}

void rotate_round_neon(float *work, unsigned width, const uint64_t *signs)
{
    for (unsigned i = 0; i < width; i += BLOCK) block(work + i, (uint32_t)(signs[i / 64] >> i % 64));
    unsigned apart = BLOCK;
    for (; 4 * apart <= width; apart *= 4) two_rounds(work, width, apart);
    if (apart < width) last_round(work, apart);
}
