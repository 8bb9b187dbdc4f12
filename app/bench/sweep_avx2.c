/* SPDX-License-Identifier: Apache-2.0 */
/* app/bench/sweep_avx2.c — 32 bytes a load. */
#include <immintrin.h>

#include "app/bench/sweep.h"

uint64_t sweep_avx2(const void *data, size_t size)
{
    const __m256i *p = data;
    __m256i a = _mm256_setzero_si256(), b = a, c = a, d = a;
    for (size_t i = 0; i + 512 <= size; i += 512, p += 16) {
        for (unsigned j = 0; j < 16; j += 4) {
            a = _mm256_add_epi64(a, _mm256_loadu_si256(p + j));
            b = _mm256_add_epi64(b, _mm256_loadu_si256(p + j + 1));
            c = _mm256_add_epi64(c, _mm256_loadu_si256(p + j + 2));
            d = _mm256_add_epi64(d, _mm256_loadu_si256(p + j + 3));
        }
    }
    a = _mm256_add_epi64(_mm256_add_epi64(a, b), _mm256_add_epi64(c, d));
    uint64_t words[4];
    _mm256_storeu_si256((__m256i *)(void *)words, a);
    return words[0] + words[1] + words[2] + words[3];
}
