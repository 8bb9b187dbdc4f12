/* SPDX-License-Identifier: Apache-2.0 */
/* cache/hamming_avx512.c — bits of eight words counted at once (VPOPCNTDQ); sixteen codes up to one comparison. */
#include <immintrin.h>

#include "cache/hamming_kernel.h"

enum { GROUP = 16, LINE = 64 };

/* Two codes: eight sums of 64 bits each, at most 64. */
static inline __m512i bits_in_words(const unsigned char *line, __m512i query)
{
    return _mm512_popcnt_epi64(_mm512_xor_si512(_mm512_loadu_si512(line), query));
}

/* From eight times two codes to sixteen sums of 32 bits: codes 0 2 4 6, 1 3 5 7, 8 10 12 14, 9 11 13 15. Packing to words
 * and to bytes is free of loss up to 128; the last addition makes 32 bits. */
static inline __attribute__((always_inline)) __m512i sixteen_distances(const __m512i bits[8])
{
    __m512i a = _mm512_packus_epi16(_mm512_packus_epi32(bits[0], bits[1]), _mm512_packus_epi32(bits[2], bits[3]));
    __m512i b = _mm512_packus_epi16(_mm512_packus_epi32(bits[4], bits[5]), _mm512_packus_epi32(bits[6], bits[7]));
    __m512i halves = _mm512_add_epi8(_mm512_shuffle_i64x2(a, b, 0x88), _mm512_shuffle_i64x2(a, b, 0xdd));
    return _mm512_madd_epi16(halves, _mm512_set1_epi16(1));
}

static inline __attribute__((always_inline)) __m512i whole_group(const unsigned char *codes, __m512i query)
{
    __m512i bits[8];
    for (unsigned i = 0; i < 8; i++) bits[i] = bits_in_words(codes + (size_t)i * LINE, query);
    return sixteen_distances(bits);
}

/* Bits of the first codes of a group, in the order of sixteen_distances. */
static const uint16_t first_of_group[GROUP] = {0x0000, 0x0001, 0x0011, 0x0013, 0x0033, 0x0037, 0x0077, 0x007f,
                                               0x00ff, 0x01ff, 0x11ff, 0x13ff, 0x33ff, 0x37ff, 0x77ff, 0x7fff};

/* The first `count` codes of a group; nothing behind them is read. */
static inline __attribute__((always_inline)) __m512i part_group(const unsigned char *codes, size_t count, __m512i query)
{
    __m512i bits[8];
    for (unsigned i = 0; i < 8; i++) {
        __mmask8 words = 2 * i + 2 <= count ? 0xff : 2 * i < count ? 0x0f : 0;
        __m512i line = _mm512_maskz_loadu_epi64(words, codes + (size_t)i * LINE);
        bits[i] = _mm512_popcnt_epi64(_mm512_xor_si512(line, query));
    }
    return sixteen_distances(bits);
}

/* Those of the first `count` that are below the bound. */
static __attribute__((noinline)) void offer_slow(__m512i distances, size_t count, uint32_t place,
                                                 struct hamming_top *top)
{
    const __m512i order = _mm512_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15);
    uint32_t values[GROUP];
    distances = _mm512_permutexvar_epi32(order, distances);
    _mm512_storeu_si512(values, distances);
    unsigned below = _mm512_cmplt_epu32_mask(distances, _mm512_set1_epi32((int)top->bound));
    for (below &= (1U << count) - 1; below; below &= below - 1) {
        unsigned i = (unsigned)__builtin_ctz(below);
        if (values[i] < top->bound) hamming_offer(top, values[i], place + i);
    }
}

void hamming_scan_avx512(const uint64_t query[4], const void *codes, size_t count, struct hamming_top *top)
{
    const unsigned char *code = codes;
    __m512i q = _mm512_broadcast_i64x4(_mm256_loadu_si256((const __m256i *)(const void *)query));
    __m512i bound = _mm512_set1_epi32((int)top->bound);
    uint32_t place = top->scanned;
    for (; count >= GROUP; count -= GROUP, code += GROUP * HAMMING_CODE_SIZE, place += GROUP) {
        __m512i distances = whole_group(code, q);
        if (__builtin_expect(_mm512_cmplt_epu32_mask(distances, bound) != 0, 0)) {
            offer_slow(distances, GROUP, place, top);
            bound = _mm512_set1_epi32((int)top->bound);
        }
    }
    if (count == 0) return;
    __m512i distances = part_group(code, count, q);
    if (_mm512_cmplt_epu32_mask(distances, bound) & first_of_group[count]) offer_slow(distances, count, place, top);
}
