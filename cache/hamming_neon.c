/* SPDX-License-Identifier: Apache-2.0 */
/* cache/hamming_neon.c — bits counted in bytes, added in pairs across eight codes; widened before a sum can reach 256. */
#include <arm_neon.h>
#include <string.h>

#include "cache/hamming_kernel.h"

enum { GROUP = 8 };

/* Sixteen sums of at most 16. */
static inline uint8x16_t bits_in_bytes(const unsigned char *code, const uint8x16_t query[2])
{
    return vaddq_u8(vcntq_u8(veorq_u8(vld1q_u8(code), query[0])), vcntq_u8(veorq_u8(vld1q_u8(code + 16), query[1])));
}

static inline uint8x16_t two_codes(const unsigned char *codes, const uint8x16_t query[2])
{
    return vpaddq_u8(bits_in_bytes(codes, query), bits_in_bytes(codes + HAMMING_CODE_SIZE, query));
}

/* The distances of eight codes in their order: two sums of at most 128 a code, added in 16 bits. */
static inline __attribute__((always_inline)) uint16x8_t eight_distances(const unsigned char *codes,
                                                                        const uint8x16_t query[2])
{
    uint8x16_t a = vpaddq_u8(two_codes(codes, query), two_codes(codes + 64, query));
    uint8x16_t b = vpaddq_u8(two_codes(codes + 128, query), two_codes(codes + 192, query));
    return vpaddlq_u8(vpaddq_u8(a, b));
}

static __attribute__((noinline)) void offer_slow(uint16x8_t distances, size_t count, uint32_t place,
                                                 struct hamming_top *top)
{
    uint16_t values[GROUP];
    vst1q_u16(values, distances);
    for (unsigned i = 0; i < count; i++)
        if (values[i] < top->bound) hamming_offer(top, values[i], place + i);
}

static void scan_rest(const uint8x16_t query[2], const unsigned char *codes, size_t count, uint32_t place,
                      struct hamming_top *top)
{
    unsigned char rest[GROUP * HAMMING_CODE_SIZE] = {0};
    memcpy(rest, codes, count * HAMMING_CODE_SIZE);
    offer_slow(eight_distances(rest, query), count, place, top);
}

static inline bool any_below(uint16x8_t distances, uint16x8_t bound)
{
    return vget_lane_u64(vreinterpret_u64_u8(vmovn_u16(vcltq_u16(distances, bound))), 0) != 0;
}

void hamming_scan_neon(const uint64_t query[4], const void *codes, size_t count, struct hamming_top *top)
{
    const unsigned char *code = codes;
    const uint8x16_t q[2] = {vreinterpretq_u8_u64(vld1q_u64(query)), vreinterpretq_u8_u64(vld1q_u64(query + 2))};
    uint16x8_t bound = vdupq_n_u16((uint16_t)top->bound);
    uint32_t place = top->scanned;
    for (; count >= GROUP; count -= GROUP, code += GROUP * HAMMING_CODE_SIZE, place += GROUP) {
        uint16x8_t distances = eight_distances(code, q);
        if (__builtin_expect(any_below(distances, bound), 0)) {
            offer_slow(distances, GROUP, place, top);
            bound = vdupq_n_u16((uint16_t)top->bound);
        }
    }
    if (count) scan_rest(q, code, count, place, top);
}
