/* SPDX-License-Identifier: Apache-2.0 */
/* cache/encode_neon.c — 8 products an instruction, two of them and a pairwise sum for 16; float rows of 4. */
#include <arm_neon.h>
#include <stdint.h>
#include <string.h>

enum { LANES = 4 };
typedef float32x4_t vec;

static inline vec vec_all(float x)
{
    return vdupq_n_f32(x);
}

static inline vec vec_load(const float *p)
{
    return vld1q_f32(p);
}

static inline void vec_store(float *p, vec x)
{
    vst1q_f32(p, x);
}

static inline vec vec_min(vec a, vec b)
{
    return vminq_f32(a, b);
}

static inline vec vec_max(vec a, vec b)
{
    return vmaxq_f32(a, b);
}

static inline vec vec_fma(vec a, vec b, vec c)
{
    return vfmaq_f32(c, a, b);
}

static inline float vec_sum(vec x)
{
    return vaddvq_f32(x);
}

static inline float vec_lowest(vec x)
{
    return vminvq_f32(x);
}

static inline float vec_highest(vec x)
{
    return vmaxvq_f32(x);
}

static inline vec vec_power(vec n)
{
    return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(vcvtq_s32_f32(n), vdupq_n_s32(127)), 23));
}

static inline vec vec_sums(const int32_t *p)
{
    return vcvtq_f32_s32(vld1q_s32(p));
}

static inline vec vec_bytes(const int8_t *p)
{
    int32_t word;
    memcpy(&word, p, sizeof word);
    const int16x8_t wide = vmovl_s8(vreinterpret_s8_s32(vdup_n_s32(word)));
    return vcvtq_f32_s32(vmovl_s16(vget_low_s16(wide)));
}

static inline void vec_store_bytes(uint8_t *p, vec x)
{
    const uint16x4_t words = vmovn_u32(vcvtnq_u32_f32(x));
    const uint32_t word = vget_lane_u32(vreinterpret_u32_u8(vmovn_u16(vcombine_u16(words, words))), 0);
    memcpy(p, &word, sizeof word);
}

#define ENCODE_MATH encode_math_neon
extern const struct encode_math ENCODE_MATH;
#include "cache/encode_math.inc.h"

enum { TOKENS = 3 };

/* q − 128 fits a signed byte, and two products of −128 · ±127 a signed 16-bit sum; 128 · row_sum goes back in where the
 * sums start. Each four bytes stand four times, beside four rows of weights. */
static void pack(const uint8_t *q, unsigned count, void *packed)
{
    const uint8x16_t middle = vdupq_n_u8(0x80);
    for (unsigned i = 0; i < count; i += 4) {
        uint32_t word;
        memcpy(&word, q + i, sizeof word);
        vst1q_u8((uint8_t *)packed + 4 * (size_t)i, veorq_u8(vreinterpretq_u8_u32(vdupq_n_u32(word)), middle));
    }
}

static inline int32x4_t low_rows(int32x4_t sum, int8x16_t w0, int8x16_t w1, int8x16_t x0, int8x16_t x1)
{
    const int16x8_t two = vmlal_s8(vmull_s8(vget_low_s8(w0), vget_low_s8(x0)), vget_low_s8(w1), vget_low_s8(x1));
    return vpadalq_s16(sum, two);
}

static inline int32x4_t high_rows(int32x4_t sum, int8x16_t w0, int8x16_t w1, int8x16_t x0, int8x16_t x1)
{
    return vpadalq_s16(sum, vmlal_high_s8(vmull_high_s8(w0, x0), w1, x1));
}

/* Eight rows of a panel, eight columns a turn; each register of sums holds two rows' even and odd pairs. */
static inline __attribute__((always_inline)) void half_panel(const struct model_linear *l, size_t row, const int8_t *q,
                                                             int32_t *sums, const int tokens)
{
    const size_t stride = 4 * (size_t)l->in;
    const int8_t *w = l->panels + row / ENCODE_PANEL_ROWS * ENCODE_PANEL_ROWS * l->in + row % ENCODE_PANEL_ROWS * 4;
    int32x4_t sum[TOKENS][4];
#pragma GCC unroll 3
    for (int t = 0; t < tokens; t++)
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) sum[t][i] = vdupq_n_s32(0);
    for (size_t c = 0; c < stride; c += 32, w += 128) {
        const int8x16_t w0 = vld1q_s8(w), w1 = vld1q_s8(w + 16), w2 = vld1q_s8(w + 64), w3 = vld1q_s8(w + 80);
#pragma GCC unroll 3
        for (int t = 0; t < tokens; t++) {
            const int8x16_t x0 = vld1q_s8(q + (size_t)t * stride + c), x1 = vld1q_s8(q + (size_t)t * stride + c + 16);
            sum[t][0] = low_rows(sum[t][0], w0, w2, x0, x1);
            sum[t][1] = high_rows(sum[t][1], w0, w2, x0, x1);
            sum[t][2] = low_rows(sum[t][2], w1, w3, x0, x1);
            sum[t][3] = high_rows(sum[t][3], w1, w3, x0, x1);
        }
    }
#pragma GCC unroll 3
    for (int t = 0; t < tokens; t++)
#pragma GCC unroll 2
        for (int i = 0; i < 2; i++) {
            const int32x4_t middle = vshlq_n_s32(vld1q_s32(l->row_sum + row + 4 * i), 7);
            const int32x4_t rows = vpaddq_s32(sum[t][2 * i], sum[t][2 * i + 1]);
            vst1q_s32(sums + (size_t)t * l->out + row + 4 * i, vaddq_s32(rows, middle));
        }
}

static void block(const struct model_linear *linear, unsigned panel, unsigned panels, const void *packed,
                  unsigned tokens, int32_t *sums)
{
    (void)panels; /* one */
    for (size_t row = (size_t)panel * ENCODE_PANEL_ROWS, end = row + ENCODE_PANEL_ROWS; row < end; row += 8)
        switch (tokens) {
        case 3: half_panel(linear, row, packed, sums, 3); break;
        case 2: half_panel(linear, row, packed, sums, 2); break;
        default: half_panel(linear, row, packed, sums, 1);
        }
}

const struct encode_products encode_products_neon = {4, TOKENS, 1, pack, block};
