/* SPDX-License-Identifier: Apache-2.0 */
/* platform/crypto.h — hashes, keyed hashes, sealing and randomness (mbedTLS through PSA; TLS itself is net/tls.h).
 *
 * Owner:   contexts are the caller's, on its stack or arena.
 * Threads: any, after crypto_start.
 * Fails:   only where an int is returned; a failing hash is our fault (CHECK).
 */
#ifndef PLATFORM_CRYPTO_H
#define PLATFORM_CRYPTO_H

#include "platform/span.h"

enum { SHA256_SIZE = 32, AEAD_KEY_SIZE = 32, AEAD_NONCE_SIZE = 12, AEAD_TAG_SIZE = 16 };

enum { CRYPTO_REGION_SIZE = 256 * 1024 }; /* without TLS: the PSA core, its generator and a few keys at work */

struct cpu_features;

/* Hands the library its region, seeds it and chooses the variant of SHA-256; after cpu_detect and once hal entropy
 * works. The region is HEAP_MBEDTLS: whoever needs more than CRYPTO_REGION_SIZE (TLS sessions) reserves it before. */
int crypto_start(void);

struct sha256 {
    _Alignas(16) unsigned char state[128]; /* the library's context, checked for size in crypto.c */
};
void sha256_start(struct sha256 *h);
void sha256_add(struct sha256 *h, const void *data, size_t size);
void sha256_finish(struct sha256 *h, unsigned char digest[SHA256_SIZE]);
void sha256_of(const void *data, size_t size, unsigned char digest[SHA256_SIZE]);
/* "sha-ni" (sha256_x86_64.c) or "mbedtls", which defines the result and has the instructions of ARMv8 itself. */
const char *sha256_variant(void);
void sha256_select(
    const struct cpu_features *features); /* crypto_start does; NULL: mbedTLS. Not between start and finish */

void hmac_sha256(const void *key, size_t key_size, const void *data, size_t size, unsigned char mac[SHA256_SIZE]);
/* RFC 5869 without salt; RC_TOO_LARGE above 255 × 32 bytes. */
int hkdf_sha256(const void *key, size_t key_size, const void *info, size_t info_size, void *out, size_t out_size);

void crypto_random(void *out, size_t size);
bool crypto_equal(const void *a, const void *b, size_t size); /* constant time */
void crypto_wipe(void *data, size_t size);

/* Which of the two; crypto_start chooses as below. Either works on every machine, AES slowly where the CPU has none. */
void aead_select(bool aes);
/* AES-256-GCM where the CPU has AES, else ChaCha20-Poly1305; used from the storage issue on. RC_CORRUPT when what is
 * opened is not what was sealed; RC_FULL when the library's region has no room for the key. */
int aead_seal(const unsigned char key[AEAD_KEY_SIZE], const unsigned char nonce[AEAD_NONCE_SIZE], struct span aad,
              struct span plain, unsigned char *sealed /* plain.size + AEAD_TAG_SIZE */);
int aead_open(const unsigned char key[AEAD_KEY_SIZE], const unsigned char nonce[AEAD_NONCE_SIZE], struct span aad,
              struct span sealed, unsigned char *plain);

/* Base64 (RFC 4648 section 4), and hex in lower case. Sizes of out: 4 × ceil(n / 3) and 2 × n, not terminated.
 * Decoding is strict: padding required, unused bits zero, nothing else between; hex takes both cases. RC_INVALID,
 * RC_TOO_LARGE. */
size_t base64_encode(const void *data, size_t size, char *out);
int base64_decode(struct span text, void *out, size_t capacity, size_t *size);
void hex_encode(const void *data, size_t size, char *out);
int hex_decode(struct span text, void *out, size_t size);

#endif
