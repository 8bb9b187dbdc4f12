/* SPDX-License-Identifier: Apache-2.0 */
/* platform/hash_x86_64.c — CRC-32C with the instruction of SSE4.2. */
#include "platform/hash.h"

#include <nmmintrin.h>
#include <string.h>

__attribute__((target("sse4.2"))) static uint32_t crc32c_sse42(uint32_t crc, const void *data, size_t size)
{
    const unsigned char *p = data;
    uint64_t wide = ~crc;
    for (; size >= 8; p += 8, size -= 8) {
        uint64_t word;
        memcpy(&word, p, sizeof word);
        wide = _mm_crc32_u64(wide, word);
    }
    crc = (uint32_t)wide;
    for (; size > 0; p++, size--) crc = _mm_crc32_u8(crc, *p);
    return ~crc;
}

uint32_t (*const crc32c_hardware)(uint32_t crc, const void *data, size_t size) = crc32c_sse42;
const char *const crc32c_hardware_name = "sse4.2";
