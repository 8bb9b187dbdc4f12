/* SPDX-License-Identifier: Apache-2.0 */
/* cache/rescore_avx512.c — VNNI multiplies unsigned by signed bytes: the vector is raised by 128, and 128 × Σ query taken
 * off again. Four vectors at a time share what is loaded of the query. */
#include <immintrin.h>

#include "cache/rescore_kernel.h"

enum { STEP = 64, ROWS = 4 };

static inline __m512i raised(__m512i vector)
{
    return _mm512_xor_si512(vector, _mm512_set1_epi8((char)-128));
}

static inline __mmask64 first(unsigned bytes)
{
    return bytes >= STEP ? ~(__mmask64)0 : ((__mmask64)1 << bytes) - 1;
}

static int32_t sum_of(const int8_t *query, unsigned dim)
{
    __m512i sum = _mm512_setzero_si512();
    for (unsigned i = 0; i < dim; i += STEP)
        sum = _mm512_dpbusd_epi32(sum, _mm512_set1_epi8(1), _mm512_maskz_loadu_epi8(first(dim - i), query + i));
    return _mm512_reduce_add_epi32(sum);
}

/* Four registers of sixteen sums to one of four. */
static inline __m128i four_sums(const __m512i sums[ROWS])
{
    __m512i a = _mm512_add_epi32(_mm512_unpacklo_epi32(sums[0], sums[1]), _mm512_unpackhi_epi32(sums[0], sums[1]));
    __m512i b = _mm512_add_epi32(_mm512_unpacklo_epi32(sums[2], sums[3]), _mm512_unpackhi_epi32(sums[2], sums[3]));
    __m512i c = _mm512_add_epi32(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
    __m256i d = _mm256_add_epi32(_mm512_castsi512_si256(c), _mm512_extracti64x4_epi64(c, 1));
    return _mm_add_epi32(_mm256_castsi256_si128(d), _mm256_extracti128_si256(d, 1));
}

static inline void four_dots(const int8_t *query, const int8_t *const *vectors, unsigned dim, int32_t excess,
                             int32_t *dots)
{
    const int8_t *v0 = vectors[0], *v1 = vectors[1], *v2 = vectors[2], *v3 = vectors[3];
    __m512i sums[ROWS] = {_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512(),
                          _mm512_setzero_si512()};
    unsigned i = 0;
    for (; i + STEP <= dim; i += STEP) {
        __m512i q = _mm512_loadu_si512(query + i);
        sums[0] = _mm512_dpbusd_epi32(sums[0], raised(_mm512_loadu_si512(v0 + i)), q);
        sums[1] = _mm512_dpbusd_epi32(sums[1], raised(_mm512_loadu_si512(v1 + i)), q);
        sums[2] = _mm512_dpbusd_epi32(sums[2], raised(_mm512_loadu_si512(v2 + i)), q);
        sums[3] = _mm512_dpbusd_epi32(sums[3], raised(_mm512_loadu_si512(v3 + i)), q);
    }
    if (i < dim) { /* what is not read of the query is 0 and adds nothing */
        __mmask64 part = first(dim - i);
        __m512i q = _mm512_maskz_loadu_epi8(part, query + i);
        sums[0] = _mm512_dpbusd_epi32(sums[0], raised(_mm512_maskz_loadu_epi8(part, v0 + i)), q);
        sums[1] = _mm512_dpbusd_epi32(sums[1], raised(_mm512_maskz_loadu_epi8(part, v1 + i)), q);
        sums[2] = _mm512_dpbusd_epi32(sums[2], raised(_mm512_maskz_loadu_epi8(part, v2 + i)), q);
        sums[3] = _mm512_dpbusd_epi32(sums[3], raised(_mm512_maskz_loadu_epi8(part, v3 + i)), q);
    }
    _mm_storeu_si128((__m128i *)(void *)dots, _mm_sub_epi32(four_sums(sums), _mm_set1_epi32(excess)));
}

void rescore_dots_avx512(const int8_t *query, const int8_t *const *vectors, unsigned count, unsigned dim, int32_t *dots)
{
    int32_t excess = 128 * sum_of(query, dim);
    for (; count >= ROWS; count -= ROWS, vectors += ROWS, dots += ROWS) four_dots(query, vectors, dim, excess, dots);
    if (count == 0) return;
    const int8_t *last[ROWS];
    int32_t four[ROWS];
    for (unsigned r = 0; r < ROWS; r++) last[r] = vectors[r < count ? r : 0];
    four_dots(query, last, dim, excess, four);
    for (unsigned r = 0; r < count; r++) dots[r] = four[r];
}
