/* SPDX-License-Identifier: Apache-2.0 */
/* platform/sha256.h — the two ways to SHA-256 behind platform/crypto.h; only crypto*.c, sha256*.c and their test look here.
 *
 * Threads: any.
 * Why two: mbedTLS 3.6 has no SHA-NI; 1 KiB takes it 3.5 us, the instructions 0.6 us. PSA's multipart calls cost 80 ns
 *          each on top, so the door calls mbedtls_sha256_* directly.
 */
#ifndef PLATFORM_SHA256_H
#define PLATFORM_SHA256_H

#include "platform/crypto.h"

void sha256_mbedtls_start(struct sha256 *h);
void sha256_mbedtls_add(struct sha256 *h, const void *data, size_t size);
void sha256_mbedtls_finish(struct sha256 *h, unsigned char digest[SHA256_SIZE]);

/* Mixes whole blocks of 64 bytes into the state; NULL where this build has no such instructions of our own. */
extern void (*const sha256_hardware_blocks)(uint32_t state[8], const unsigned char *data, size_t blocks);

#endif
