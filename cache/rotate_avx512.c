/* SPDX-License-Identifier: Apache-2.0 */
/* cache/rotate_avx512.c — sixteen floats a register; blocks of 128 stay in registers up to butterflies 64 apart. */
#include <immintrin.h>

#include "cache/rotate_kernel.h"

enum { LANES = 16, BLOCK = 128 };

static inline __m512 flipped(__m512 x, __mmask16 bits)
{
    __m512i word = _mm512_castps_si512(x);
    return _mm512_castsi512_ps(_mm512_mask_xor_epi32(word, bits, word, _mm512_set1_epi32(INT32_MIN)));
}

/* a + b, and a − b where `second` has a bit; `swapped` has the other of each pair. */
static inline __m512 within(__m512 x, __m512 swapped, __mmask16 second)
{
    return _mm512_mask_sub_ps(_mm512_add_ps(x, swapped), second, swapped, x);
}

/* Butterflies 1, 2, 4 and 8 apart. */
static inline __m512 near_rounds(__m512 x)
{
    x = within(x, _mm512_permute_ps(x, 0xB1), 0xAAAA);
    x = within(x, _mm512_permute_ps(x, 0x4E), 0xCCCC);
    x = within(x, _mm512_shuffle_f32x4(x, x, 0xB1), 0xF0F0);
    return within(x, _mm512_shuffle_f32x4(x, x, 0x4E), 0xFF00);
}

static inline void butterfly(__m512 *a, __m512 *b)
{
    __m512 sum = _mm512_add_ps(*a, *b);
    *b = _mm512_sub_ps(*a, *b);
    *a = sum;
}

static inline __attribute__((always_inline)) void block(float *work, const uint64_t signs[2])
{
    __m512 x[8];
    for (unsigned i = 0; i < 8; i++)
        x[i] =
            near_rounds(flipped(_mm512_load_ps(work + (size_t)i * LANES), (__mmask16)(signs[i / 4] >> 16 * (i % 4))));
    for (unsigned i = 0; i < 8; i += 2) butterfly(&x[i], &x[i + 1]);
    for (unsigned i = 0; i < 4; i++) butterfly(&x[i + (i & 2)], &x[i + (i & 2) + 2]);
    for (unsigned i = 0; i < 4; i++) butterfly(&x[i], &x[i + 4]);
    for (unsigned i = 0; i < 8; i++) _mm512_store_ps(work + (size_t)i * LANES, x[i]);
}

/* Butterflies `apart` and 2 × apart in one pass. */
static inline void two_rounds(float *work, unsigned width, unsigned apart)
{
    for (unsigned from = 0; from < width; from += 4 * apart) {
        for (float *p = work + from; p < work + from + apart; p += LANES) {
            __m512 a = _mm512_load_ps(p), b = _mm512_load_ps(p + apart);
            __m512 c = _mm512_load_ps(p + 2 * (size_t)apart), d = _mm512_load_ps(p + 3 * (size_t)apart);
            butterfly(&a, &b), butterfly(&c, &d);
            butterfly(&a, &c), butterfly(&b, &d);
            _mm512_store_ps(p, a), _mm512_store_ps(p + apart, b);
            _mm512_store_ps(p + 2 * (size_t)apart, c), _mm512_store_ps(p + 3 * (size_t)apart, d);
        }
    }
}

static inline void last_round(float *work, unsigned apart)
{
    for (float *p = work; p < work + apart; p += LANES) {
        __m512 a = _mm512_load_ps(p), b = _mm512_load_ps(p + apart);
        butterfly(&a, &b);
        _mm512_store_ps(p, a), _mm512_store_ps(p + apart, b);
    }
}

void rotate_round_avx512(float *work, unsigned width, const uint64_t *signs)
{
    for (unsigned i = 0; i < width; i += BLOCK) block(work + i, signs + i / 64);
    unsigned apart = BLOCK;
    for (; 4 * apart <= width; apart *= 4) two_rounds(work, width, apart);
    if (apart < width) last_round(work, apart);
}
