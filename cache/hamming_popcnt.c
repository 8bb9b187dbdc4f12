/* SPDX-License-Identifier: Apache-2.0 */
/* cache/hamming_popcnt.c — the instruction for one word at a time. */
#include <nmmintrin.h>
#include <string.h>

#include "cache/hamming_kernel.h"

static inline uint32_t distance_of(const uint64_t query[4], const unsigned char *code)
{
    uint64_t words[4];
    memcpy(words, code, sizeof words);
    return (uint32_t)(_mm_popcnt_u64(words[0] ^ query[0]) + _mm_popcnt_u64(words[1] ^ query[1]) +
                      _mm_popcnt_u64(words[2] ^ query[2]) + _mm_popcnt_u64(words[3] ^ query[3]));
}

void hamming_scan_popcnt(const uint64_t query[4], const void *codes, size_t count, struct hamming_top *top)
{
    const uint64_t q[4] = {query[0], query[1], query[2], query[3]};
    const unsigned char *code = codes;
    uint32_t bound = top->bound;
    for (size_t i = 0; i < count; i++, code += HAMMING_CODE_SIZE) {
        uint32_t distance = distance_of(q, code);
        if (distance >= bound) continue;
        hamming_offer(top, distance, top->scanned + (uint32_t)i);
        bound = top->bound;
    }
}
