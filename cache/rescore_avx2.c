/* SPDX-License-Identifier: Apache-2.0 */
/* cache/rescore_avx2.c — |query| times the vector with the query's signs: two products of at most 127 × 127 fit 16 bits. */
#include <immintrin.h>

#include "cache/rescore_kernel.h"

enum { STEP = 32, ROWS = 4 };

static inline __m256i load(const int8_t *from)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)from);
}

static inline __m256i add_products(__m256i sum, __m256i query, __m256i magnitude, const int8_t *vector)
{
    __m256i pairs = _mm256_maddubs_epi16(magnitude, _mm256_sign_epi8(load(vector), query));
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

static inline int32_t rest(const int8_t *query, const int8_t *vector, unsigned from, unsigned dim)
{
    int32_t sum = 0;
    for (unsigned i = from; i < dim; i++) sum += query[i] * vector[i];
    return sum;
}

static void four_dots(const int8_t *query, const int8_t *const *vectors, unsigned dim, int32_t *dots)
{
    __m256i sums[ROWS] = {_mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256(),
                          _mm256_setzero_si256()};
    unsigned i = 0;
    for (; i + STEP <= dim; i += STEP) {
        __m256i q = load(query + i), magnitude = _mm256_abs_epi8(q);
        for (unsigned r = 0; r < ROWS; r++) sums[r] = add_products(sums[r], q, magnitude, vectors[r] + i);
    }
    __m256i all = _mm256_hadd_epi32(_mm256_hadd_epi32(sums[0], sums[1]), _mm256_hadd_epi32(sums[2], sums[3]));
    __m128i four = _mm_add_epi32(_mm256_castsi256_si128(all), _mm256_extracti128_si256(all, 1));
    _mm_storeu_si128((__m128i *)(void *)dots, four);
    for (unsigned r = 0; i < dim && r < ROWS; r++) dots[r] += rest(query, vectors[r], i, dim);
}

void rescore_dots_avx2(const int8_t *query, const int8_t *const *vectors, unsigned count, unsigned dim, int32_t *dots)
{
    for (; count >= ROWS; count -= ROWS, vectors += ROWS, dots += ROWS) four_dots(query, vectors, dim, dots);
    if (count == 0) return;
    const int8_t *last[ROWS];
    int32_t four[ROWS];
    for (unsigned r = 0; r < ROWS; r++) last[r] = vectors[r < count ? r : 0];
    four_dots(query, last, dim, four);
    for (unsigned r = 0; r < count; r++) dots[r] = four[r];
}
