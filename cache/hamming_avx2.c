/* SPDX-License-Identifier: Apache-2.0 */
/* cache/hamming_avx2.c — bits counted by looking up half bytes; eight codes at a time up to one comparison. */
#include <immintrin.h>
#include <string.h>

#include "cache/hamming_kernel.h"

enum { GROUP = 8 };

/* Four sums of 64 bits each, at most 64. */
static inline __m256i bits_in_words(const void *code, __m256i query)
{
    const __m256i low = _mm256_set1_epi8(15);
    const __m256i bits = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, /**/
                                          0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
    __m256i x = _mm256_xor_si256(_mm256_loadu_si256(code), query);
    __m256i lower = _mm256_shuffle_epi8(bits, _mm256_and_si256(x, low));
    __m256i upper = _mm256_shuffle_epi8(bits, _mm256_and_si256(_mm256_srli_epi16(x, 4), low));
    return _mm256_sad_epu8(_mm256_add_epi8(lower, upper), _mm256_setzero_si256());
}

/* Four codes in one register: a lane holds half of each, as two sums with a zero byte behind each. */
static inline __m256i four_codes(const unsigned char *codes, __m256i query)
{
    __m256i a = _mm256_packus_epi32(bits_in_words(codes, query), bits_in_words(codes + 32, query));
    __m256i b = _mm256_packus_epi32(bits_in_words(codes + 64, query), bits_in_words(codes + 96, query));
    return _mm256_packus_epi16(a, b);
}

/* The distances of eight codes in their order. The last addition makes 32 bits: 256 does not fit a byte. */
static inline __m256i eight_distances(const unsigned char *codes, __m256i query)
{
    __m256i a = four_codes(codes, query), b = four_codes(codes + 4 * HAMMING_CODE_SIZE, query);
    __m256i halves = _mm256_add_epi8(_mm256_permute2x128_si256(a, b, 0x20), _mm256_permute2x128_si256(a, b, 0x31));
    return _mm256_madd_epi16(halves, _mm256_set1_epi16(1));
}

static __attribute__((noinline)) void offer_slow(__m256i distances, unsigned below, uint32_t place,
                                                 struct hamming_top *top)
{
    uint32_t values[GROUP];
    _mm256_storeu_si256((__m256i *)(void *)values, distances);
    for (; below; below &= below - 1) {
        unsigned i = (unsigned)__builtin_ctz(below);
        if (values[i] < top->bound) hamming_offer(top, values[i], place + i);
    }
}

static inline unsigned below_bound(__m256i distances, uint32_t bound)
{
    __m256i below = _mm256_cmpgt_epi32(_mm256_set1_epi32((int)bound), distances);
    return (unsigned)_mm256_movemask_ps(_mm256_castsi256_ps(below));
}

static void scan_rest(__m256i query, const unsigned char *codes, size_t count, uint32_t place, struct hamming_top *top)
{
    unsigned char rest[GROUP * HAMMING_CODE_SIZE] = {0};
    memcpy(rest, codes, count * HAMMING_CODE_SIZE);
    __m256i distances = eight_distances(rest, query);
    unsigned below = below_bound(distances, top->bound) & ((1U << count) - 1);
    if (below) offer_slow(distances, below, place, top);
}

void hamming_scan_avx2(const uint64_t query[4], const void *codes, size_t count, struct hamming_top *top)
{
    const unsigned char *code = codes;
    __m256i q = _mm256_loadu_si256((const __m256i *)(const void *)query);
    uint32_t bound = top->bound, place = top->scanned;
    for (; count >= GROUP; count -= GROUP, code += GROUP * HAMMING_CODE_SIZE, place += GROUP) {
        __m256i distances = eight_distances(code, q);
        unsigned below = below_bound(distances, bound);
        if (__builtin_expect(below != 0, 0)) {
            offer_slow(distances, below, place, top);
            bound = top->bound;
        }
    }
    if (count) scan_rest(q, code, count, place, top);
}
