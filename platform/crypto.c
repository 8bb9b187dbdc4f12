/* SPDX-License-Identifier: Apache-2.0 */
/* platform/crypto.c — door of mbedTLS's crypto: PSA for randomness and sealing, its plain SHA-256 (see sha256.h). */
#include "platform/crypto.h"

#include <assert.h>
#include <mbedtls/constant_time.h>
#include <mbedtls/entropy.h>
#include <mbedtls/platform.h>
#include <mbedtls/platform_util.h>
#include <mbedtls/sha256.h>
#include <psa/crypto.h>

#include "hal/entropy.h"
#include "platform/check.h"
#include "platform/cpu.h"
#include "platform/heap.h"
#include "platform/rc.h"
#include "platform/sha256.h"

static_assert(sizeof(mbedtls_sha256_context) <= sizeof((struct sha256 *)0)->state, "the library's context fits");

static void *region_take(size_t count, size_t size)
{
    return heap_take_zeroed(HEAP_MBEDTLS, count, size);
}

static void region_give(void *piece)
{
    if (piece) heap_give(HEAP_MBEDTLS, piece);
}

/* The library's only source of entropy (MBEDTLS_ENTROPY_HARDWARE_ALT); its prototype is in a private header. */
int mbedtls_hardware_poll(void *context, unsigned char *out, size_t size, size_t *filled);

int mbedtls_hardware_poll(void *context, unsigned char *out, size_t size, size_t *filled)
{
    (void)context;
    *filled = 0;
    if (entropy_read(out, size) != RC_OK) return MBEDTLS_ERR_ENTROPY_SOURCE_FAILED;
    *filled = size;
    return 0;
}

int crypto_start(void)
{
    if (heap_usage(HEAP_MBEDTLS).capacity == 0) {
        int rc = heap_reserve(HEAP_MBEDTLS, CRYPTO_REGION_SIZE, NULL);
        if (rc != RC_OK) return rc;
    }
    if (mbedtls_platform_set_calloc_free(region_take, region_give) != 0) return RC_IO;
    sha256_select(cpu_features());
    aead_select(cpu_features()->aes);
    switch (psa_crypto_init()) {
    case PSA_SUCCESS: return RC_OK;
    case PSA_ERROR_INSUFFICIENT_MEMORY: return RC_FULL;
    default: return RC_IO;
    }
}

static mbedtls_sha256_context *context_of(struct sha256 *h)
{
    return (mbedtls_sha256_context *)(void *)h->state;
}

void sha256_mbedtls_start(struct sha256 *h)
{
    mbedtls_sha256_init(context_of(h));
    CHECK(mbedtls_sha256_starts(context_of(h), 0) == 0);
}

void sha256_mbedtls_add(struct sha256 *h, const void *data, size_t size)
{
    CHECK(mbedtls_sha256_update(context_of(h), data, size) == 0);
}

void sha256_mbedtls_finish(struct sha256 *h, unsigned char digest[SHA256_SIZE])
{
    CHECK(mbedtls_sha256_finish(context_of(h), digest) == 0);
}

void crypto_random(void *out, size_t size)
{
    CHECK(psa_generate_random(out, size) == PSA_SUCCESS);
}

bool crypto_equal(const void *a, const void *b, size_t size)
{
    return mbedtls_ct_memcmp(a, b, size) == 0;
}

void crypto_wipe(void *data, size_t size)
{
    mbedtls_platform_zeroize(data, size);
}

static bool aead_is_aes;

void aead_select(bool aes)
{
    aead_is_aes = aes;
}

static psa_algorithm_t aead_algorithm(void)
{
    return aead_is_aes ? PSA_ALG_GCM : PSA_ALG_CHACHA20_POLY1305;
}

static int from_psa(psa_status_t status)
{
    switch (status) {
    case PSA_SUCCESS: return RC_OK;
    case PSA_ERROR_INVALID_SIGNATURE: return RC_CORRUPT;
    case PSA_ERROR_INSUFFICIENT_MEMORY: return RC_FULL;
    default: return RC_INVALID;
    }
}

static int key_import(const unsigned char key[AEAD_KEY_SIZE], psa_key_usage_t usage, psa_key_id_t *id)
{
    psa_key_attributes_t attributes = PSA_KEY_ATTRIBUTES_INIT;
    bool gcm = aead_algorithm() == PSA_ALG_GCM;
    psa_set_key_usage_flags(&attributes, usage);
    psa_set_key_algorithm(&attributes, aead_algorithm());
    psa_set_key_type(&attributes, gcm ? PSA_KEY_TYPE_AES : PSA_KEY_TYPE_CHACHA20);
    return from_psa(psa_import_key(&attributes, key, AEAD_KEY_SIZE, id));
}

int aead_seal(const unsigned char key[AEAD_KEY_SIZE], const unsigned char nonce[AEAD_NONCE_SIZE], struct span aad,
              struct span plain, unsigned char *sealed)
{
    psa_key_id_t id;
    size_t size;
    int rc = key_import(key, PSA_KEY_USAGE_ENCRYPT, &id);
    if (rc != RC_OK) return rc;
    rc = from_psa(psa_aead_encrypt(id, aead_algorithm(), nonce, AEAD_NONCE_SIZE, (const uint8_t *)aad.data, aad.size,
                                   (const uint8_t *)plain.data, plain.size, sealed, plain.size + AEAD_TAG_SIZE, &size));
    CHECK(psa_destroy_key(id) == PSA_SUCCESS);
    return rc;
}

int aead_open(const unsigned char key[AEAD_KEY_SIZE], const unsigned char nonce[AEAD_NONCE_SIZE], struct span aad,
              struct span sealed, unsigned char *plain)
{
    psa_key_id_t id;
    size_t size;
    if (sealed.size < AEAD_TAG_SIZE) return RC_CORRUPT;
    int rc = key_import(key, PSA_KEY_USAGE_DECRYPT, &id);
    if (rc != RC_OK) return rc;
    rc = from_psa(psa_aead_decrypt(id, aead_algorithm(), nonce, AEAD_NONCE_SIZE, (const uint8_t *)aad.data, aad.size,
                                   (const uint8_t *)sealed.data, sealed.size, plain, sealed.size - AEAD_TAG_SIZE,
                                   &size));
    CHECK(psa_destroy_key(id) == PSA_SUCCESS);
    return rc;
}
