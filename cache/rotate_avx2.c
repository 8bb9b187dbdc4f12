/* SPDX-License-Identifier: Apache-2.0 */
/* cache/rotate_avx2.c — eight floats a register; blocks of 64 stay in registers up to butterflies 32 apart. */
#include <immintrin.h>

#include "cache/rotate_kernel.h"

enum { LANES = 8, BLOCK = 64 };

/* Bit i of `bits` flips the sign of float i. */
static inline __m256 flipped(__m256 x, unsigned bits)
{
    const __m256i up = _mm256_setr_epi32(31, 30, 29, 28, 27, 26, 25, 24);
    __m256i signs = _mm256_sllv_epi32(_mm256_set1_epi32((int)bits), up);
    return _mm256_xor_ps(x, _mm256_castsi256_ps(_mm256_and_si256(signs, _mm256_set1_epi32(INT32_MIN))));
}

/* a + b and a − b, where `swapped` has the other of each pair and `minus` the sign bit at every b: a − b = a + (−b). */
static inline __m256 within(__m256 x, __m256 swapped, __m256 minus)
{
    return _mm256_add_ps(swapped, _mm256_xor_ps(x, minus));
}

/* Butterflies 1, 2 and 4 apart. */
static inline __m256 near_rounds(__m256 x)
{
    const float n = -0.0F;
    x = within(x, _mm256_permute_ps(x, 0xB1), _mm256_setr_ps(0, n, 0, n, 0, n, 0, n));
    x = within(x, _mm256_permute_ps(x, 0x4E), _mm256_setr_ps(0, 0, n, n, 0, 0, n, n));
    return within(x, _mm256_permute2f128_ps(x, x, 1), _mm256_setr_ps(0, 0, 0, 0, n, n, n, n));
}

static inline void butterfly(__m256 *a, __m256 *b)
{
    __m256 sum = _mm256_add_ps(*a, *b);
    *b = _mm256_sub_ps(*a, *b);
    *a = sum;
}

static inline __attribute__((always_inline)) void block(float *work, uint64_t signs)
{
    __m256 x[8];
    for (unsigned i = 0; i < 8; i++)
        x[i] = near_rounds(flipped(_mm256_load_ps(work + (size_t)i * LANES), (unsigned)(signs >> 8 * i) & 0xff));
    for (unsigned i = 0; i < 8; i += 2) butterfly(&x[i], &x[i + 1]);
    for (unsigned i = 0; i < 4; i++) butterfly(&x[i + (i & 2)], &x[i + (i & 2) + 2]);
    for (unsigned i = 0; i < 4; i++) butterfly(&x[i], &x[i + 4]);
    for (unsigned i = 0; i < 8; i++) _mm256_store_ps(work + (size_t)i * LANES, x[i]);
}

/* Butterflies `apart` and 2 × apart in one pass. */
static inline void two_rounds(float *work, unsigned width, unsigned apart)
{
    for (unsigned from = 0; from < width; from += 4 * apart) {
        for (float *p = work + from; p < work + from + apart; p += LANES) {
            __m256 a = _mm256_load_ps(p), b = _mm256_load_ps(p + apart);
            __m256 c = _mm256_load_ps(p + 2 * (size_t)apart), d = _mm256_load_ps(p + 3 * (size_t)apart);
            butterfly(&a, &b), butterfly(&c, &d);
            butterfly(&a, &c), butterfly(&b, &d);
            _mm256_store_ps(p, a), _mm256_store_ps(p + apart, b);
            _mm256_store_ps(p + 2 * (size_t)apart, c), _mm256_store_ps(p + 3 * (size_t)apart, d);
        }
    }
}

static inline void last_round(float *work, unsigned apart)
{
    for (float *p = work; p < work + apart; p += LANES) {
        __m256 a = _mm256_load_ps(p), b = _mm256_load_ps(p + apart);
        butterfly(&a, &b);
        _mm256_store_ps(p, a), _mm256_store_ps(p + apart, b);
    }
}

void rotate_round_avx2(float *work, unsigned width, const uint64_t *signs)
{
    for (unsigned i = 0; i < width; i += BLOCK) block(work + i, signs[i / 64]);
    unsigned apart = BLOCK;
    for (; 4 * apart <= width; apart *= 4) two_rounds(work, width, apart);
    if (apart < width) last_round(work, apart);
}
