/* SPDX-License-Identifier: Apache-2.0 */
/* cache/encode_avx2.c — bytes widened to 16 bits, then pairs multiplied and added (vpmaddubsw would saturate); float rows
 * of 8. Fused multiply-add is not asked for: AVX2 does not promise it. */
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

enum { LANES = 8 };
typedef __m256 vec;

static inline vec vec_all(float x)
{
    return _mm256_set1_ps(x);
}

static inline vec vec_load(const float *p)
{
    return _mm256_loadu_ps(p);
}

static inline void vec_store(float *p, vec x)
{
    _mm256_storeu_ps(p, x);
}

static inline vec vec_min(vec a, vec b)
{
    return _mm256_min_ps(a, b);
}

static inline vec vec_max(vec a, vec b)
{
    return _mm256_max_ps(a, b);
}

static inline vec vec_fma(vec a, vec b, vec c)
{
    return a * b + c;
}

static inline float vec_sum(vec x)
{
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    four = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(four, _mm_movehdup_ps(four)));
}

static inline float vec_lowest(vec x)
{
    __m128 four = _mm_min_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    four = _mm_min_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_min_ss(four, _mm_movehdup_ps(four)));
}

static inline float vec_highest(vec x)
{
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    four = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(four, _mm_movehdup_ps(four)));
}

static inline vec vec_power(vec n)
{
    const __m256i exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
    return _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23));
}

static inline vec vec_sums(const int32_t *p)
{
    return _mm256_cvtepi32_ps(_mm256_loadu_si256((const void *)p));
}

static inline vec vec_bytes(const int8_t *p)
{
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const void *)p)));
}

static inline void vec_store_bytes(uint8_t *p, vec x)
{
    const __m256i whole = _mm256_cvtps_epi32(x);
    const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256(whole, 1));
    _mm_storel_epi64((void *)p, _mm_packus_epi16(words, words));
}

#define ENCODE_MATH encode_math_avx2
extern const struct encode_math ENCODE_MATH;
#include "cache/encode_math.inc.h"

/* Four bytes become two pairs of 16 bits, the even ones and the odd ones, as the weights' halves lie. */
static void pack(const uint8_t *q, unsigned count, void *packed)
{
    const __m128i low = _mm_set1_epi16(0xff);
    for (unsigned i = 0; i < count; i += ENCODE_LANES_MAX) {
        const __m128i bytes = _mm_loadu_si128((const void *)(q + i));
        const __m128i even = _mm_and_si128(bytes, low), odd = _mm_srli_epi16(bytes, 8);
        __m128i *to = (void *)((unsigned char *)packed + 2 * (size_t)i);
        _mm_storeu_si128(to, _mm_unpacklo_epi32(even, odd));
        _mm_storeu_si128(to + 1, _mm_unpackhi_epi32(even, odd));
    }
}

static inline __m256i pair(const unsigned char *packed)
{
    int32_t word;
    memcpy(&word, packed, sizeof word);
    return _mm256_set1_epi32(word);
}

static inline __attribute__((always_inline)) void
tokens_by_panel(const struct model_linear *l, unsigned panel, const unsigned char *q, int32_t *sums, const int tokens)
{
    const size_t stride = 2 * (size_t)l->in;
    const int8_t *w = l->panels + (size_t)panel * ENCODE_PANEL_ROWS * l->in;
    __m256i sum[4][2];
#pragma GCC unroll 4
    for (int t = 0; t < tokens; t++) sum[t][0] = sum[t][1] = _mm256_setzero_si256();
    for (size_t c = 0; c < stride; c += 8, w += 64) {
        /* the next panel, into L2; behind the last one too: a prefetch never faults */
        _mm_prefetch((const void *)(w + ENCODE_PANEL_ROWS * (size_t)l->in), _MM_HINT_T1);
        const __m256i first = _mm256_loadu_si256((const void *)w), second = _mm256_loadu_si256((const void *)(w + 32));
        const __m256i odd0 = _mm256_srai_epi16(first, 8), even0 = _mm256_srai_epi16(_mm256_slli_epi16(first, 8), 8);
        const __m256i odd1 = _mm256_srai_epi16(second, 8), even1 = _mm256_srai_epi16(_mm256_slli_epi16(second, 8), 8);
#pragma GCC unroll 4
        for (int t = 0; t < tokens; t++) {
            const __m256i even = pair(q + (size_t)t * stride + c), odd = pair(q + (size_t)t * stride + c + 4);
            sum[t][0] = _mm256_add_epi32(sum[t][0], _mm256_madd_epi16(even0, even));
            sum[t][1] = _mm256_add_epi32(sum[t][1], _mm256_madd_epi16(even1, even));
            sum[t][0] = _mm256_add_epi32(sum[t][0], _mm256_madd_epi16(odd0, odd));
            sum[t][1] = _mm256_add_epi32(sum[t][1], _mm256_madd_epi16(odd1, odd));
        }
    }
    int32_t *to = sums + (size_t)panel * ENCODE_PANEL_ROWS;
#pragma GCC unroll 4
    for (int t = 0; t < tokens; t++) {
        _mm256_storeu_si256((void *)(to + (size_t)t * l->out), sum[t][0]);
        _mm256_storeu_si256((void *)(to + (size_t)t * l->out + 8), sum[t][1]);
    }
}

static void block(const struct model_linear *linear, unsigned panel, unsigned panels, const void *packed,
                  unsigned tokens, int32_t *sums)
{
    (void)panels; /* one */
    switch (tokens) {
    case 4: tokens_by_panel(linear, panel, packed, sums, 4); break;
    case 3: tokens_by_panel(linear, panel, packed, sums, 3); break;
    case 2: tokens_by_panel(linear, panel, packed, sums, 2); break;
    default: tokens_by_panel(linear, panel, packed, sums, 1);
    }
}

const struct encode_products encode_products_avx2 = {2, 4, 1, pack, block};
