/* SPDX-License-Identifier: Apache-2.0 */
/* platform/hash.c — SipHash-2-4-128 and the scalar CRC-32C. */
#include "platform/hash.h"

#include <string.h>

#include "platform/cpu.h"

#define ROTATE(x, n) (((x) << (n)) | ((x) >> (64 - (n))))

#define SIP_ROUND(v0, v1, v2, v3)                                          \
    do {                                                                   \
        (v0) += (v1), (v1) = ROTATE(v1, 13) ^ (v0), (v0) = ROTATE(v0, 32); \
        (v2) += (v3), (v3) = ROTATE(v3, 16) ^ (v2);                        \
        (v0) += (v3), (v3) = ROTATE(v3, 21) ^ (v0);                        \
        (v2) += (v1), (v1) = ROTATE(v1, 17) ^ (v2), (v2) = ROTATE(v2, 32); \
    } while (0)

/* Little endian is all we build for (x86_64, aarch64, armv7). */
static inline uint64_t load64(const unsigned char *p)
{
    uint64_t word;
    memcpy(&word, p, sizeof word);
    return word;
}

static inline uint64_t load_tail(const unsigned char *p, size_t size)
{
    uint64_t word = 0;
    for (size_t i = 0; i < size; i++) word |= (uint64_t)p[i] << (8 * i);
    return word;
}

/* Mixes `count` whole words into the state. */
static inline void absorb(struct hash_state *h, const unsigned char *p, size_t count)
{
    uint64_t v0 = h->v0, v1 = h->v1, v2 = h->v2, v3 = h->v3;
    for (size_t i = 0; i < count; i++) {
        uint64_t word = load64(p + 8 * i);
        v3 ^= word;
        SIP_ROUND(v0, v1, v2, v3);
        SIP_ROUND(v0, v1, v2, v3);
        v0 ^= word;
    }
    h->v0 = v0, h->v1 = v1, h->v2 = v2, h->v3 = v3;
}

static inline void absorb_word(struct hash_state *h, uint64_t word)
{
    absorb(h, (const unsigned char *)&word, 1);
}

void hash_start(struct hash_state *h, const struct hash_key *key)
{
    h->v0 = key->k0 ^ UINT64_C(0x736f6d6570736575);
    h->v1 = key->k1 ^ UINT64_C(0x646f72616e646f6d) ^ 0xee; /* 0xee: the 128-bit variant */
    h->v2 = key->k0 ^ UINT64_C(0x6c7967656e657261);
    h->v3 = key->k1 ^ UINT64_C(0x7465646279746573);
    h->tail = 0;
    h->size = 0;
}

void hash_add(struct hash_state *h, const void *data, size_t size)
{
    const unsigned char *p = data;
    if (size == 0) return;
    size_t kept = h->size & 7;
    h->size += size;
    if (kept) {
        size_t room = 8 - kept, part = size < room ? size : room;
        h->tail |= load_tail(p, part) << (8 * kept);
        if (part < room) return;
        absorb_word(h, h->tail);
        p += part, size -= part;
    }
    absorb(h, p, size / 8);
    h->tail = load_tail(p + (size & ~(size_t)7), size & 7);
}

struct hash128 hash_finish(struct hash_state *h)
{
    struct hash128 result;
    absorb_word(h, h->tail | (uint64_t)h->size << 56);
    uint64_t v0 = h->v0, v1 = h->v1, v2 = h->v2 ^ 0xee, v3 = h->v3;
    for (int i = 0; i < 4; i++) SIP_ROUND(v0, v1, v2, v3);
    result.low = v0 ^ v1 ^ v2 ^ v3;
    v1 ^= 0xdd;
    for (int i = 0; i < 4; i++) SIP_ROUND(v0, v1, v2, v3);
    result.high = v0 ^ v1 ^ v2 ^ v3;
    return result;
}

struct hash128 hash_of(const struct hash_key *key, const void *data, size_t size)
{
    struct hash_state h;
    const unsigned char *p = data;
    hash_start(&h, key);
    h.size = size;
    absorb(&h, p, size / 8);
    h.tail = size & 7 ? load_tail(p + (size & ~(size_t)7), size & 7) : 0;
    return hash_finish(&h);
}

/* One step of four bits a time: 64 bytes of table, and only where the CPU has no CRC instruction. */
#define CRC_BIT(x) (((x) >> 1) ^ (UINT32_C(0x82f63b78) & (0U - ((x)&1))))
#define CRC_NIBBLE(x) CRC_BIT(CRC_BIT(CRC_BIT(CRC_BIT((uint32_t)(x)))))

static const uint32_t crc_nibbles[16] = {
    CRC_NIBBLE(0),  CRC_NIBBLE(1),  CRC_NIBBLE(2),  CRC_NIBBLE(3),  CRC_NIBBLE(4),  CRC_NIBBLE(5),
    CRC_NIBBLE(6),  CRC_NIBBLE(7),  CRC_NIBBLE(8),  CRC_NIBBLE(9),  CRC_NIBBLE(10), CRC_NIBBLE(11),
    CRC_NIBBLE(12), CRC_NIBBLE(13), CRC_NIBBLE(14), CRC_NIBBLE(15),
};

uint32_t crc32c_scalar(uint32_t crc, const void *data, size_t size)
{
    const unsigned char *p = data;
    crc = ~crc;
    for (size_t i = 0; i < size; i++) {
        crc ^= p[i];
        crc = (crc >> 4) ^ crc_nibbles[crc & 15];
        crc = (crc >> 4) ^ crc_nibbles[crc & 15];
    }
    return ~crc;
}

#if !defined(__x86_64__) && !defined(__aarch64__)
uint32_t (*const crc32c_hardware)(uint32_t crc, const void *data, size_t size) = NULL;
const char *const crc32c_hardware_name = "none";
#endif

static uint32_t (*crc32c_run)(uint32_t crc, const void *data, size_t size) = crc32c_scalar;

uint32_t crc32c(uint32_t crc, const void *data, size_t size)
{
    return crc32c_run(crc, data, size);
}

void hash_select(const struct cpu_features *features)
{
    bool hardware = features && features->crc32 && crc32c_hardware;
    crc32c_run = hardware ? crc32c_hardware : crc32c_scalar;
}

const char *hash_variant(void)
{
    return crc32c_run == crc32c_scalar ? "scalar" : crc32c_hardware_name;
}
