/* SPDX-License-Identifier: Apache-2.0 */
/* platform/sha256_x86_64.c — SHA-256 blocks (FIPS 180-4, 6.2.2) with the instructions of SHA-NI. */
#include "platform/sha256.h"

#include <immintrin.h>

static const _Alignas(16) uint32_t constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

#define CONSTANTS(group) _mm_load_si128((const __m128i *)(const void *)(constants + 4 * (group)))

/* Four rounds with the four schedule words in `w`. */
#define ROUNDS(group, w)                                                        \
    do {                                                                        \
        __m128i sum = _mm_add_epi32((w), CONSTANTS(group));                     \
        cdgh = _mm_sha256rnds2_epu32(cdgh, abef, sum);                          \
        abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(sum, 0x0e)); \
    } while (0)

/* The next four schedule words replace the oldest four, a; then their rounds. */
#define EXTEND(group, a, b, c, d)                                                          \
    do {                                                                                   \
        (a) = _mm_add_epi32(_mm_sha256msg1_epu32((a), (b)), _mm_alignr_epi8((d), (c), 4)); \
        (a) = _mm_sha256msg2_epu32((a), (d));                                              \
        ROUNDS(group, a);                                                                  \
    } while (0)

#define LOAD(at) _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(const void *)(at)), big_endian)

__attribute__((target("sha,sse4.1,ssse3"))) static void blocks_shani(uint32_t state[8], const unsigned char *data,
                                                                     size_t blocks)
{
    const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    /* The instructions want the state as (a b e f) and (c d g h). */
    __m128i low = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(const void *)state), 0xb1);
    __m128i high = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(const void *)(state + 4)), 0x1b);
    __m128i abef = _mm_alignr_epi8(low, high, 8);
    __m128i cdgh = _mm_blend_epi16(high, low, 0xf0);

    for (; blocks > 0; blocks--, data += 64) {
        const __m128i abef_before = abef, cdgh_before = cdgh;
        __m128i a = LOAD(data), b = LOAD(data + 16), c = LOAD(data + 32), d = LOAD(data + 48);
        ROUNDS(0, a);
        ROUNDS(1, b);
        ROUNDS(2, c);
        ROUNDS(3, d);
        EXTEND(4, a, b, c, d);
        EXTEND(5, b, c, d, a);
        EXTEND(6, c, d, a, b);
        EXTEND(7, d, a, b, c);
        EXTEND(8, a, b, c, d);
        EXTEND(9, b, c, d, a);
        EXTEND(10, c, d, a, b);
        EXTEND(11, d, a, b, c);
        EXTEND(12, a, b, c, d);
        EXTEND(13, b, c, d, a);
        EXTEND(14, c, d, a, b);
        EXTEND(15, d, a, b, c);
        abef = _mm_add_epi32(abef, abef_before);
        cdgh = _mm_add_epi32(cdgh, cdgh_before);
    }

    low = _mm_shuffle_epi32(abef, 0x1b);
    high = _mm_shuffle_epi32(cdgh, 0xb1);
    _mm_storeu_si128((__m128i *)(void *)state, _mm_blend_epi16(low, high, 0xf0));
    _mm_storeu_si128((__m128i *)(void *)(state + 4), _mm_alignr_epi8(high, low, 8));
}

void (*const sha256_hardware_blocks)(uint32_t state[8], const unsigned char *data, size_t blocks) = blocks_shani;
