/* SPDX-License-Identifier: Apache-2.0 */
/* platform/sha256.c — which SHA-256 runs, padding around the hardware's blocks, HMAC (RFC 2104) and HKDF (RFC 5869). */
#include "platform/sha256.h"

#include <assert.h>
#include <string.h>

#include "platform/check.h"
#include "platform/cpu.h"
#include "platform/rc.h"

enum { BLOCK = 64 };

#if !defined(__x86_64__)
void (*const sha256_hardware_blocks)(uint32_t state[8], const unsigned char *data, size_t blocks) = NULL;
#endif

struct frame {
    uint32_t state[8];
    uint64_t size;
    unsigned char waiting[BLOCK]; /* size % BLOCK bytes that are no whole block yet */
};
static_assert(sizeof(struct frame) <= sizeof((struct sha256 *)0)->state, "our context fits");

static bool hardware;

void sha256_select(const struct cpu_features *features)
{
    hardware = features && features->sha2 && sha256_hardware_blocks;
}

const char *sha256_variant(void)
{
    return hardware ? "sha-ni" : "mbedtls";
}

static void frame_start(struct frame *f)
{
    static const uint32_t start[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    memcpy(f->state, start, sizeof start);
    f->size = 0;
}

static void frame_add(struct frame *f, const unsigned char *p, size_t size)
{
    size_t kept = (size_t)(f->size % BLOCK);
    f->size += size;
    if (kept) {
        size_t part = size < BLOCK - kept ? size : BLOCK - kept;
        memcpy(f->waiting + kept, p, part);
        if (kept + part < BLOCK) return;
        sha256_hardware_blocks(f->state, f->waiting, 1);
        p += part, size -= part;
    }
    if (size >= BLOCK) sha256_hardware_blocks(f->state, p, size / BLOCK);
    memcpy(f->waiting, p + size / BLOCK * BLOCK, size % BLOCK);
}

static void put_big_endian(unsigned char *p, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++) p[i] = (unsigned char)(value >> (8 * (bytes - 1 - i)));
}

static void frame_finish(struct frame *f, unsigned char digest[SHA256_SIZE])
{
    unsigned char last[2 * BLOCK] = {0};
    size_t kept = (size_t)(f->size % BLOCK), blocks = kept < BLOCK - 8 ? 1 : 2;
    memcpy(last, f->waiting, kept);
    last[kept] = 0x80;
    put_big_endian(last + blocks * BLOCK - 8, f->size * 8, 8);
    sha256_hardware_blocks(f->state, last, blocks);
    for (unsigned i = 0; i < 8; i++) put_big_endian(digest + 4 * i, f->state[i], 4);
}

static struct frame *frame_of(struct sha256 *h)
{
    return (struct frame *)(void *)h->state;
}

void sha256_start(struct sha256 *h)
{
    if (hardware)
        frame_start(frame_of(h));
    else
        sha256_mbedtls_start(h);
}

void sha256_add(struct sha256 *h, const void *data, size_t size)
{
    if (size == 0) return;
    if (hardware)
        frame_add(frame_of(h), data, size);
    else
        sha256_mbedtls_add(h, data, size);
}

void sha256_finish(struct sha256 *h, unsigned char digest[SHA256_SIZE])
{
    if (hardware)
        frame_finish(frame_of(h), digest);
    else
        sha256_mbedtls_finish(h, digest);
}

void sha256_of(const void *data, size_t size, unsigned char digest[SHA256_SIZE])
{
    struct sha256 h;
    sha256_start(&h);
    sha256_add(&h, data, size);
    sha256_finish(&h, digest);
}

struct hmac {
    struct sha256 inner;
    unsigned char outer_pad[BLOCK];
};

static void hmac_start(struct hmac *m, const void *key, size_t key_size)
{
    unsigned char block[BLOCK] = {0}, inner_pad[BLOCK];
    if (key_size > BLOCK)
        sha256_of(key, key_size, block);
    else if (key_size > 0)
        memcpy(block, key, key_size);
    for (size_t i = 0; i < BLOCK; i++) {
        inner_pad[i] = block[i] ^ 0x36;
        m->outer_pad[i] = block[i] ^ 0x5c;
    }
    sha256_start(&m->inner);
    sha256_add(&m->inner, inner_pad, BLOCK);
    crypto_wipe(block, sizeof block);
    crypto_wipe(inner_pad, sizeof inner_pad);
}

static void hmac_finish(struct hmac *m, unsigned char mac[SHA256_SIZE])
{
    unsigned char digest[SHA256_SIZE];
    sha256_finish(&m->inner, digest);
    sha256_start(&m->inner);
    sha256_add(&m->inner, m->outer_pad, BLOCK);
    sha256_add(&m->inner, digest, SHA256_SIZE);
    sha256_finish(&m->inner, mac);
    crypto_wipe(m, sizeof *m);
}

void hmac_sha256(const void *key, size_t key_size, const void *data, size_t size, unsigned char mac[SHA256_SIZE])
{
    struct hmac m;
    hmac_start(&m, key, key_size);
    sha256_add(&m.inner, data, size);
    hmac_finish(&m, mac);
}

int hkdf_sha256(const void *key, size_t key_size, const void *info, size_t info_size, void *out, size_t out_size)
{
    unsigned char secret[SHA256_SIZE], block[SHA256_SIZE];
    unsigned char *p = out;
    if (out_size > 255 * SHA256_SIZE) return RC_TOO_LARGE;
    hmac_sha256(NULL, 0, key, key_size, secret); /* extract: no salt is a salt of zeros */
    for (unsigned char i = 1; out_size > 0; i++) {
        struct hmac m;
        size_t part = out_size < SHA256_SIZE ? out_size : SHA256_SIZE;
        hmac_start(&m, secret, SHA256_SIZE);
        if (i > 1) sha256_add(&m.inner, block, SHA256_SIZE);
        sha256_add(&m.inner, info, info_size);
        sha256_add(&m.inner, &i, 1);
        hmac_finish(&m, block);
        memcpy(p, block, part);
        p += part, out_size -= part;
    }
    crypto_wipe(secret, sizeof secret);
    crypto_wipe(block, sizeof block);
    return RC_OK;
}
