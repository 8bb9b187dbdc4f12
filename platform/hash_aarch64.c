/* SPDX-License-Identifier: Apache-2.0 */
/* platform/hash_aarch64.c — CRC-32C with the CRC instructions of ARMv8 (optional in 8.0, always there from 8.1 on). */
#include "platform/hash.h"

#include <string.h>

/* By hand instead of arm_acle.h: gcc 12 and clang 14 disagree on how its intrinsics are switched on for one function. */
static inline uint32_t crc_word(uint32_t crc, uint64_t word)
{
    __asm__(".arch_extension crc\n\tcrc32cx %w0, %w0, %x1" : "+r"(crc) : "r"(word));
    return crc;
}

static inline uint32_t crc_byte(uint32_t crc, uint32_t byte)
{
    __asm__(".arch_extension crc\n\tcrc32cb %w0, %w0, %w1" : "+r"(crc) : "r"(byte));
    return crc;
}

static uint32_t crc32c_armv8(uint32_t crc, const void *data, size_t size)
{
    const unsigned char *p = data;
    crc = ~crc;
    for (; size >= 8; p += 8, size -= 8) {
        uint64_t word;
        memcpy(&word, p, sizeof word);
        crc = crc_word(crc, word);
    }
    for (; size > 0; p++, size--) crc = crc_byte(crc, *p);
    return ~crc;
}

uint32_t (*const crc32c_hardware)(uint32_t crc, const void *data, size_t size) = crc32c_armv8;
const char *const crc32c_hardware_name = "armv8-crc";
