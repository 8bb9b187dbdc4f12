/* SPDX-License-Identifier: Apache-2.0 */
/* platform/hash.h — a keyed 128-bit hash for tables that outsiders can feed: SipHash-2-4 with 128-bit output
 * (Aumasson, Bernstein 2012). And CRC-32C for stored blocks (Castagnoli polynomial, RFC 3720 section 12.1).
 *
 * Threads: any; pure functions.
 */
#ifndef PLATFORM_HASH_H
#define PLATFORM_HASH_H

#include <stddef.h>
#include <stdint.h>

struct hash_key {
    uint64_t k0, k1;
};

struct hash128 {
    uint64_t low, high;
};

struct hash_state {
    uint64_t v0, v1, v2, v3, tail;
    size_t size;
};

void hash_start(struct hash_state *h, const struct hash_key *key);
void hash_add(struct hash_state *h, const void *data, size_t size);
struct hash128 hash_finish(struct hash_state *h);
struct hash128 hash_of(const struct hash_key *key, const void *data, size_t size);

uint32_t crc32c(uint32_t crc, const void *data, size_t size); /* start with 0 */

#endif
