/* SPDX-License-Identifier: Apache-2.0 */
/* platform/hash.h — a keyed 128-bit hash for tables that outsiders can feed: SipHash-2-4 with 128-bit output
 * (Aumasson, Bernstein 2012). And CRC-32C for stored blocks (Castagnoli polynomial, RFC 3720 section 12.1).
 *
 * Threads: any; pure functions. hash_select at boot.
 * Variants: crc32c with the CPU's CRC instructions (hash_x86_64.c, hash_aarch64.c); scalar defines the result.
 */
#ifndef PLATFORM_HASH_H
#define PLATFORM_HASH_H

#include <stddef.h>
#include <stdint.h>

struct cpu_features;

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

/* Chooses the variant of crc32c for this processor; before it, scalar runs. NULL goes back to scalar. */
void hash_select(const struct cpu_features *features);
const char *hash_variant(void); /* "scalar", "sse4.2", "armv8-crc" */

/* The variants; only hash.c and its test call them. NULL where this build has none. */
uint32_t crc32c_scalar(uint32_t crc, const void *data, size_t size);
extern uint32_t (*const crc32c_hardware)(uint32_t crc, const void *data, size_t size);
extern const char *const crc32c_hardware_name;

#endif
