/* SPDX-License-Identifier: Apache-2.0 */
/* app/bench/sweep_avx512.c — 64 bytes a load: one for each cache line. */
#include <immintrin.h>

#include "app/bench/sweep.h"

uint64_t sweep_avx512(const void *data, size_t size)
{
    const unsigned char *p = data;
    __m512i a = _mm512_setzero_si512(), b = a, c = a, d = a;
    for (size_t i = 0; i + 512 <= size; i += 512, p += 512) {
        a = _mm512_add_epi64(a, _mm512_loadu_si512(p));
        b = _mm512_add_epi64(b, _mm512_loadu_si512(p + 64));
        c = _mm512_add_epi64(c, _mm512_loadu_si512(p + 128));
        d = _mm512_add_epi64(d, _mm512_loadu_si512(p + 192));
        a = _mm512_add_epi64(a, _mm512_loadu_si512(p + 256));
        b = _mm512_add_epi64(b, _mm512_loadu_si512(p + 320));
        c = _mm512_add_epi64(c, _mm512_loadu_si512(p + 384));
        d = _mm512_add_epi64(d, _mm512_loadu_si512(p + 448));
    }
    return (uint64_t)_mm512_reduce_add_epi64(_mm512_add_epi64(_mm512_add_epi64(a, b), _mm512_add_epi64(c, d)));
}
