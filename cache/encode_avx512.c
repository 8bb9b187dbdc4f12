/* SPDX-License-Identifier: Apache-2.0 */
/* cache/encode_avx512.c — 64 products an instruction (VNNI); float rows of 16. */
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

enum { LANES = 16 };
typedef __m512 vec;

static inline vec vec_all(float x)
{
    return _mm512_set1_ps(x);
}

static inline vec vec_load(const float *p)
{
    return _mm512_loadu_ps(p);
}

static inline void vec_store(float *p, vec x)
{
    _mm512_storeu_ps(p, x);
}

static inline vec vec_min(vec a, vec b)
{
    return _mm512_min_ps(a, b);
}

static inline vec vec_max(vec a, vec b)
{
    return _mm512_max_ps(a, b);
}

static inline vec vec_fma(vec a, vec b, vec c)
{
    return _mm512_fmadd_ps(a, b, c);
}

static inline float vec_sum(vec x)
{
    return _mm512_reduce_add_ps(x);
}

static inline float vec_lowest(vec x)
{
    return _mm512_reduce_min_ps(x);
}

static inline float vec_highest(vec x)
{
    return _mm512_reduce_max_ps(x);
}

static inline vec vec_power(vec n)
{
    const __m512i exponent = _mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127));
    return _mm512_castsi512_ps(_mm512_slli_epi32(exponent, 23));
}

static inline vec vec_sums(const int32_t *p)
{
    return _mm512_cvtepi32_ps(_mm512_loadu_si512(p));
}

static inline vec vec_bytes(const int8_t *p)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const void *)p)));
}

static inline void vec_store_bytes(uint8_t *p, vec x)
{
    _mm_storeu_si128((void *)p, _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(x)));
}

#define ENCODE_MATH encode_math_avx512
extern const struct encode_math ENCODE_MATH;
#include "cache/encode_math.inc.h"

static void pack(const uint8_t *q, unsigned count, void *packed)
{
    memcpy(packed, q, count);
}

static inline __m512i four(const uint8_t *q)
{
    int32_t word;
    memcpy(&word, q, sizeof word);
    return _mm512_set1_epi32(word);
}

/* `tokens` × `panels` registers of sums: a panel's 64 bytes are read once for all the tokens. Meanwhile the next panels come
 * into L2 (behind the last ones too: a prefetch never faults); without that a pass over all weights waits for them. */
static inline __attribute__((always_inline)) void tokens_by_panels(const struct model_linear *l, unsigned panel,
                                                                   const uint8_t *q, int32_t *sums, const int tokens,
                                                                   const int panels)
{
    const size_t panel_size = (size_t)l->in * ENCODE_PANEL_ROWS;
    const int8_t *w = l->panels + panel * panel_size;
    __m512i sum[8][3];
#pragma GCC unroll 8
    for (int t = 0; t < tokens; t++)
#pragma GCC unroll 3
        for (int p = 0; p < panels; p++) sum[t][p] = _mm512_setzero_si512();
    for (size_t c = 0; c < l->in; c += 4) {
        __m512i weight[3];
#pragma GCC unroll 3
        for (int p = 0; p < panels; p++)
            _mm_prefetch((const void *)(w + (size_t)(panels + p) * panel_size + c * ENCODE_PANEL_ROWS), _MM_HINT_T1);
#pragma GCC unroll 3
        for (int p = 0; p < panels; p++)
            weight[p] = _mm512_loadu_si512(w + (size_t)p * panel_size + c * ENCODE_PANEL_ROWS);
#pragma GCC unroll 8
        for (int t = 0; t < tokens; t++) {
            const __m512i x = four(q + (size_t)t * l->in + c);
#pragma GCC unroll 3
            for (int p = 0; p < panels; p++) sum[t][p] = _mm512_dpbusd_epi32(sum[t][p], x, weight[p]);
        }
    }
    int32_t *to = sums + (size_t)panel * ENCODE_PANEL_ROWS;
#pragma GCC unroll 8
    for (int t = 0; t < tokens; t++)
#pragma GCC unroll 3
        for (int p = 0; p < panels; p++)
            _mm512_storeu_si512(to + (size_t)t * l->out + p * ENCODE_PANEL_ROWS, sum[t][p]);
}

static void three_panels(const struct model_linear *linear, unsigned panel, const uint8_t *q, unsigned tokens,
                         int32_t *sums)
{
    switch (tokens) {
    case 8: tokens_by_panels(linear, panel, q, sums, 8, 3); break;
    case 7: tokens_by_panels(linear, panel, q, sums, 7, 3); break;
    case 6: tokens_by_panels(linear, panel, q, sums, 6, 3); break;
    case 5: tokens_by_panels(linear, panel, q, sums, 5, 3); break;
    case 4: tokens_by_panels(linear, panel, q, sums, 4, 3); break;
    case 3: tokens_by_panels(linear, panel, q, sums, 3, 3); break;
    case 2: tokens_by_panels(linear, panel, q, sums, 2, 3); break;
    default: tokens_by_panels(linear, panel, q, sums, 1, 3);
    }
}

static void one_panel(const struct model_linear *linear, unsigned panel, const uint8_t *q, unsigned tokens,
                      int32_t *sums)
{
    switch (tokens) {
    case 8: tokens_by_panels(linear, panel, q, sums, 8, 1); break;
    case 7: tokens_by_panels(linear, panel, q, sums, 7, 1); break;
    case 6: tokens_by_panels(linear, panel, q, sums, 6, 1); break;
    case 5: tokens_by_panels(linear, panel, q, sums, 5, 1); break;
    case 4: tokens_by_panels(linear, panel, q, sums, 4, 1); break;
    case 3: tokens_by_panels(linear, panel, q, sums, 3, 1); break;
    case 2: tokens_by_panels(linear, panel, q, sums, 2, 1); break;
    default: tokens_by_panels(linear, panel, q, sums, 1, 1);
    }
}

static void block(const struct model_linear *linear, unsigned panel, unsigned panels, const void *packed,
                  unsigned tokens, int32_t *sums)
{
    if (panels == 3)
        three_panels(linear, panel, packed, tokens, sums);
    else
        one_panel(linear, panel, packed, tokens, sums);
}

const struct encode_products encode_products_avx512 = {1, 8, 3, pack, block};
