/* SPDX-License-Identifier: Apache-2.0 */
/* cache/encode_dotprod.c — 16 products an instruction: four rows of four columns by four columns of a token (SDOT). */
#include <arm_neon.h>
#include <stdint.h>

#include "cache/encode_kernels.h"

extern const struct encode_products encode_products_dotprod;

enum { TOKENS = 5 };

/* q − 128 fits a signed byte; 128 · row_sum goes back in where the sums start. */
static void pack(const uint8_t *q, unsigned count, void *packed)
{
    const uint8x16_t middle = vdupq_n_u8(0x80);
    for (unsigned i = 0; i < count; i += ENCODE_LANES_MAX)
        vst1q_u8((uint8_t *)packed + i, veorq_u8(vld1q_u8(q + i), middle));
}

/* Four columns of eight rows by the same of every token. */
#define FOUR_COLUMNS(k)                                                                \
    do {                                                                               \
        const int8x16_t w0 = vld1q_s8(w + 64 * (k)), w1 = vld1q_s8(w + 64 * (k) + 16); \
        _Pragma("GCC unroll 5") for (int t = 0; t < tokens; t++)                       \
        {                                                                              \
            sum[t][0] = vdotq_laneq_s32(sum[t][0], w0, x[t], k);                       \
            sum[t][1] = vdotq_laneq_s32(sum[t][1], w1, x[t], k);                       \
        }                                                                              \
    } while (0)

static inline __attribute__((always_inline)) void half_panel(const struct model_linear *l, size_t row, const int8_t *q,
                                                             int32_t *sums, const int tokens)
{
    const int8_t *w = l->panels + row / ENCODE_PANEL_ROWS * ENCODE_PANEL_ROWS * l->in + row % ENCODE_PANEL_ROWS * 4;
    int32x4_t sum[TOKENS][2];
    int8x16_t x[TOKENS];
#pragma GCC unroll 5
    for (int t = 0; t < tokens; t++)
#pragma GCC unroll 2
        for (int i = 0; i < 2; i++) sum[t][i] = vshlq_n_s32(vld1q_s32(l->row_sum + row + 4 * i), 7);
    for (size_t c = 0; c < l->in; c += 16, w += 256) {
#pragma GCC unroll 5
        for (int t = 0; t < tokens; t++) x[t] = vld1q_s8(q + (size_t)t * l->in + c);
        FOUR_COLUMNS(0);
        FOUR_COLUMNS(1);
        FOUR_COLUMNS(2);
        FOUR_COLUMNS(3);
    }
#pragma GCC unroll 5
    for (int t = 0; t < tokens; t++)
#pragma GCC unroll 2
        for (int i = 0; i < 2; i++) vst1q_s32(sums + (size_t)t * l->out + row + 4 * i, sum[t][i]);
}

static void block(const struct model_linear *linear, unsigned panel, unsigned panels, const void *packed,
                  unsigned tokens, int32_t *sums)
{
    (void)panels; /* one */
    for (size_t row = (size_t)panel * ENCODE_PANEL_ROWS, end = row + ENCODE_PANEL_ROWS; row < end; row += 8)
        switch (tokens) {
        case 5: half_panel(linear, row, packed, sums, 5); break;
        case 4: half_panel(linear, row, packed, sums, 4); break;
        case 3: half_panel(linear, row, packed, sums, 3); break;
        case 2: half_panel(linear, row, packed, sums, 2); break;
        default: half_panel(linear, row, packed, sums, 1);
        }
}

const struct encode_products encode_products_dotprod = {1, TOKENS, 1, pack, block};
