/* SPDX-License-Identifier: Apache-2.0 */
/* cache/hamming_scalar.c — the definition: one code after the other, bits counted in parallel within a word. */
#include <string.h>

#include "cache/hamming_kernel.h"

/* Bytes of the result hold the bits set in the same byte of x: at most 8. */
static inline uint64_t bits_in_bytes(uint64_t x)
{
    x -= x >> 1 & UINT64_C(0x5555555555555555);
    x = (x & UINT64_C(0x3333333333333333)) + (x >> 2 & UINT64_C(0x3333333333333333));
    return (x + (x >> 4)) & UINT64_C(0x0f0f0f0f0f0f0f0f);
}

static inline uint32_t distance_of(const uint64_t query[4], const unsigned char *code)
{
    uint64_t words[4];
    memcpy(words, code, sizeof words);
    uint64_t sum = bits_in_bytes(words[0] ^ query[0]) + bits_in_bytes(words[1] ^ query[1]) +
                   bits_in_bytes(words[2] ^ query[2]) + bits_in_bytes(words[3] ^ query[3]);
    /* 256 does not fit a byte: sum in 16 bits */
    sum = (sum & UINT64_C(0x00ff00ff00ff00ff)) + (sum >> 8 & UINT64_C(0x00ff00ff00ff00ff));
    return (uint32_t)(sum * UINT64_C(0x0001000100010001) >> 48);
}

void hamming_scan_scalar(const uint64_t query[4], const void *codes, size_t count, struct hamming_top *top)
{
    const unsigned char *code = codes;
    for (size_t i = 0; i < count; i++, code += HAMMING_CODE_SIZE) {
        uint32_t distance = distance_of(query, code);
        if (distance < top->bound) hamming_offer(top, distance, top->scanned + (uint32_t)i);
    }
}
