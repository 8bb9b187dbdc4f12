/* SPDX-License-Identifier: Apache-2.0 */
/* cache/hamming_neon.c — bits counted in bytes, added in pairs across sixteen codes; the exact sums, in 16 bits, are made only
 * of turns that may hold something. */
#include <arm_neon.h>
#include <string.h>

#include "cache/hamming_kernel.h"

enum { GROUP = 8, TURN = 2 * GROUP, TURN_SIZE = TURN * HAMMING_CODE_SIZE };

/* Sixteen sums of at most 16. */
static inline uint8x16_t bits_in_bytes(const unsigned char *code, const uint8x16_t query[2])
{
    return vaddq_u8(vcntq_u8(veorq_u8(vld1q_u8(code), query[0])), vcntq_u8(veorq_u8(vld1q_u8(code + 16), query[1])));
}

static inline uint8x16_t two_codes(const unsigned char *codes, const uint8x16_t query[2])
{
    return vpaddq_u8(bits_in_bytes(codes, query), bits_in_bytes(codes + HAMMING_CODE_SIZE, query));
}

/* Eight codes in their order, two sums of at most 128 each. */
static inline __attribute__((always_inline)) uint8x16_t eight_codes(const unsigned char *codes,
                                                                    const uint8x16_t query[2])
{
    uint8x16_t a = vpaddq_u8(two_codes(codes, query), two_codes(codes + 64, query));
    uint8x16_t b = vpaddq_u8(two_codes(codes + 128, query), two_codes(codes + 192, query));
    return vpaddq_u8(a, b);
}

/* Exact: added in 16 bits. */
static void offer_group(const uint8x16_t query[2], const unsigned char *codes, size_t count, uint32_t place,
                        struct hamming_top *top)
{
    uint16_t values[GROUP];
    vst1q_u16(values, vpaddlq_u8(eight_codes(codes, query)));
    for (unsigned i = 0; i < count; i++)
        if (values[i] < top->bound) hamming_offer(top, values[i], place + i);
}

/* What a byte must not be above to be looked at. Distance 256 is 0 there, and a bound of 0 looks at zeros: needless looks,
 * never a missed code. */
static inline uint8x16_t limit_of(const struct hamming_top *top)
{
    return vdupq_n_u8((uint8_t)(top->bound > 256 ? 255 : top->bound == 0 ? 0 : top->bound - 1));
}

/* A turn holds something: seldom enough to count its bits again. Returns the new limit. */
static __attribute__((noinline)) uint8x16_t offer_turn(const uint8x16_t query[2], const unsigned char *codes,
                                                       uint32_t place, struct hamming_top *top)
{
    offer_group(query, codes, GROUP, place, top);
    offer_group(query, codes + GROUP * HAMMING_CODE_SIZE, GROUP, place + GROUP, top);
    return limit_of(top);
}

static void scan_rest(const uint8x16_t query[2], const unsigned char *codes, size_t count, uint32_t place,
                      struct hamming_top *top)
{
    unsigned char rest[GROUP * HAMMING_CODE_SIZE] = {0};
    if (count >= GROUP) {
        offer_group(query, codes, GROUP, place, top);
        codes += GROUP * HAMMING_CODE_SIZE, count -= GROUP, place += GROUP;
    }
    memcpy(rest, codes, count * HAMMING_CODE_SIZE);
    offer_group(query, rest, count, place, top);
}

static inline uint64_t any_within(uint8x16_t distances, uint8x16_t limit)
{
    uint16x8_t within = vreinterpretq_u16_u8(vcleq_u8(distances, limit));
    return vget_lane_u64(vreinterpret_u64_u8(vshrn_n_u16(within, 4)), 0);
}

/* Sixteen distances, 256 as 0. */
static inline __attribute__((always_inline)) uint8x16_t turn_distances(const unsigned char *codes,
                                                                       const uint8x16_t query[2])
{
    return vpaddq_u8(eight_codes(codes, query), eight_codes(codes + GROUP * HAMMING_CODE_SIZE, query));
}

/* At least one. What a turn found is looked at amid the next one's work: the way from vector to branch is long, and a
 * processor that runs in order would stand still. */
static void scan_turns(const uint8x16_t query[2], const unsigned char *codes, size_t turns, struct hamming_top *top)
{
    const uint8x16_t q[2] = {query[0], query[1]};
    uint8x16_t limit = limit_of(top), last = turn_distances(codes, q);
    uint32_t place = top->scanned;
    for (; --turns; place += TURN) {
        uint64_t found = any_within(last, limit);
        codes += TURN_SIZE;
        last = turn_distances(codes, q);
        if (__builtin_expect(found != 0, 0)) limit = offer_turn(q, codes - TURN_SIZE, place, top);
    }
    if (any_within(last, limit)) (void)offer_turn(q, codes, place, top);
}

void hamming_scan_neon(const uint64_t query[4], const void *codes, size_t count, struct hamming_top *top)
{
    const uint8x16_t q[2] = {vreinterpretq_u8_u64(vld1q_u64(query)), vreinterpretq_u8_u64(vld1q_u64(query + 2))};
    size_t turns = count / TURN;
    if (turns) scan_turns(q, codes, turns, top);
    scan_rest(q, (const unsigned char *)codes + turns * TURN_SIZE, count % TURN,
              top->scanned + (uint32_t)(turns * TURN), top);
}
