/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_crypto.c — digests, keyed hashes and sealing against published vectors; both SHA-256 are one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "platform/cpu.h"
#include "platform/crypto.h"
#include "platform/heap.h"
#include "platform/rc.h"
#include "platform/sha256.h"

static unsigned char bytes[4096], out[4096];

static void assert_hex(const unsigned char *data, size_t size, const char *want)
{
    char hex[513];
    hex_encode(data, size, hex);
    hex[2 * size] = 0;
    assert_string_equal(hex, want);
}

static size_t from_hex(const char *hex, unsigned char *data)
{
    size_t size = strlen(hex) / 2;
    assert_int_equal(hex_decode(span_text(hex), data, size), RC_OK);
    return size;
}

static int use_library(void **state)
{
    (void)state;
    sha256_select(NULL);
    return 0;
}

static int use_best(void **state)
{
    (void)state;
    sha256_select(cpu_features());
    return 0;
}

/* FIPS 180-4 examples (NIST's example values for SHA-256). */
static void test_sha256_equals_fips_180(void **state)
{
    (void)state;
    unsigned char digest[SHA256_SIZE];
    sha256_of(NULL, 0, digest);
    assert_hex(digest, 32, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    sha256_of("abc", 3, digest);
    assert_hex(digest, 32, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    const char *two = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    sha256_of(two, strlen(two), digest);
    assert_hex(digest, 32, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    struct sha256 h;
    sha256_start(&h);
    memset(bytes, 'a', 1000);
    for (int i = 0; i < 1000; i++) sha256_add(&h, bytes, 1000);
    sha256_finish(&h, digest);
    assert_hex(digest, 32, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

static void test_sha256_in_pieces_equals_at_once(void **state)
{
    (void)state;
    unsigned char whole[SHA256_SIZE], pieces[SHA256_SIZE];
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (unsigned char)(i * 131 + (i >> 8));
    for (size_t size = 0; size < 300; size++) {
        sha256_of(bytes, size, whole);
        for (size_t step = 1; step < 140; step += 9) {
            struct sha256 h;
            sha256_start(&h);
            for (size_t at = 0; at < size; at += step) sha256_add(&h, bytes + at, size - at < step ? size - at : step);
            sha256_finish(&h, pieces);
            assert_memory_equal(pieces, whole, SHA256_SIZE);
        }
    }
}

static void test_sha256_variants_are_equal(void **state)
{
    (void)state;
    unsigned char plain[SHA256_SIZE], hardware[SHA256_SIZE];
    sha256_select(cpu_features());
    print_message("variants: mbedtls and %s ran\n", sha256_variant());
    if (strcmp(sha256_variant(), "mbedtls") == 0) print_message("sha-ni skipped: not in this build or CPU\n");
    uint32_t seed = 7;
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (unsigned char)((seed = seed * 1664525 + 1013904223) >> 24);
    for (size_t size = 0; size < sizeof bytes - 3; size += size < 400 ? 1 : 61) {
        struct sha256 h;
        sha256_mbedtls_start(&h);
        sha256_mbedtls_add(&h, bytes + (size & 3), size);
        sha256_mbedtls_finish(&h, plain);
        sha256_of(bytes + (size & 3), size, hardware);
        assert_memory_equal(plain, hardware, SHA256_SIZE);
    }
    memset(bytes, 0xff, sizeof bytes);
    sha256_of(bytes, sizeof bytes, hardware);
    sha256_select(NULL);
    assert_string_equal(sha256_variant(), "mbedtls");
    sha256_of(bytes, sizeof bytes, plain);
    assert_memory_equal(plain, hardware, SHA256_SIZE);
}

static void test_hmac_equals_rfc_4231(void **state)
{
    (void)state;
    unsigned char mac[SHA256_SIZE], key[131];
    memset(key, 0x0b, 20);
    hmac_sha256(key, 20, "Hi There", 8, mac);
    assert_hex(mac, 32, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    hmac_sha256("Jefe", 4, "what do ya want for nothing?", 28, mac);
    assert_hex(mac, 32, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(key, 0xaa, sizeof key);
    hmac_sha256(key, sizeof key, "Test Using Larger Than Block-Size Key - Hash Key First", 54, mac);
    assert_hex(mac, 32, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

static void test_hkdf_equals_rfc_5869(void **state)
{
    (void)state;
    unsigned char key[22];
    memset(key, 0x0b, sizeof key);
    /* Appendix A.3: no salt, no info. */
    assert_int_equal(hkdf_sha256(key, sizeof key, NULL, 0, out, 42), RC_OK);
    assert_hex(out, 42, "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8");
    assert_int_equal(hkdf_sha256(key, sizeof key, "a", 1, out, 32), RC_OK);
    assert_int_equal(hkdf_sha256(key, sizeof key, "b", 1, out + 32, 32), RC_OK);
    assert_memory_not_equal(out, out + 32, 32);
    static unsigned char huge[255 * SHA256_SIZE + 1];
    assert_int_equal(hkdf_sha256(key, sizeof key, NULL, 0, huge, sizeof huge), RC_TOO_LARGE);
    assert_int_equal(hkdf_sha256(key, sizeof key, NULL, 0, huge, sizeof huge - 1), RC_OK);
    assert_memory_equal(huge, "\x8d\xa4\xe7\x75", 4);
}

static void test_random_differs_and_equal_compares(void **state)
{
    (void)state;
    unsigned char a[4096], b[4096];
    crypto_random(a, sizeof a);
    crypto_random(b, sizeof b);
    assert_memory_not_equal(a, b, 32);
    assert_memory_not_equal(a + 4064, b + 4064, 32);
    memcpy(b, a, sizeof a);
    assert_true(crypto_equal(a, b, sizeof a));
    b[4095] ^= 1;
    assert_false(crypto_equal(a, b, sizeof a));
    assert_true(crypto_equal(a, b, 0));
    crypto_wipe(a, sizeof a);
    for (size_t i = 0; i < sizeof a; i++) assert_int_equal(a[i], 0);
}

static void test_aead_opens_only_what_was_sealed(void **state)
{
    (void)state;
    unsigned char key[AEAD_KEY_SIZE] = {1}, nonce[AEAD_NONCE_SIZE] = {2}, sealed[64], plain[64];
    struct span aad = SPAN("tenant"), text = SPAN("the quick brown fox");
    assert_int_equal(aead_seal(key, nonce, aad, text, sealed), RC_OK);
    struct span blob = span_of((const char *)sealed, text.size + AEAD_TAG_SIZE);
    assert_int_equal(aead_open(key, nonce, aad, blob, plain), RC_OK);
    assert_memory_equal(plain, text.data, text.size);
    assert_int_equal(aead_open(key, nonce, SPAN("other"), blob, plain), RC_CORRUPT);
    for (size_t i = 0; i < blob.size; i++) {
        sealed[i] ^= 1;
        assert_int_equal(aead_open(key, nonce, aad, blob, plain), RC_CORRUPT);
        sealed[i] ^= 1;
    }
    assert_int_equal(aead_open(key, nonce, aad, span_of(blob.data, AEAD_TAG_SIZE - 1), plain), RC_CORRUPT);
    key[31] ^= 1;
    assert_int_equal(aead_open(key, nonce, aad, blob, plain), RC_CORRUPT);
    key[31] ^= 1;
    assert_int_equal(aead_seal(key, nonce, span_of(NULL, 0), span_of(NULL, 0), sealed), RC_OK);
    assert_int_equal(aead_open(key, nonce, span_of(NULL, 0), span_of((const char *)sealed, AEAD_TAG_SIZE), plain),
                     RC_OK);
}

/* AES-256-GCM test case 14 of the algorithm's submission to NIST (McGrew, Viega 2004). */
static void test_aead_is_aes_gcm_where_the_cpu_has_aes(void **state)
{
    (void)state;
    unsigned char key[AEAD_KEY_SIZE] = {0}, nonce[AEAD_NONCE_SIZE] = {0}, plain[16] = {0};
    if (!cpu_features()->aes) skip();
    assert_int_equal(aead_seal(key, nonce, span_of(NULL, 0), span_of((const char *)plain, 16), out), RC_OK);
    assert_hex(out, 32, "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919");
}

static void test_base64_equals_rfc_4648(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
        {"\xff\xef\xbe", "/+++"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        char text[16];
        size_t size = base64_encode(pairs[i][0], strlen(pairs[i][0]), text);
        assert_int_equal(size, strlen(pairs[i][1]));
        assert_memory_equal(text, pairs[i][1], size);
        assert_int_equal(base64_decode(span_of(text, size), out, sizeof out, &size), RC_OK);
        assert_int_equal(size, strlen(pairs[i][0]));
        assert_memory_equal(out, pairs[i][0], size);
    }
    static const char *const wrong[] = {"Z",    "Zg",   "Zg=",      "Zh==", "Zm9=",  "=",
                                        "====", "Z===", "Zg==Zg==", "Zm 9", "Zm9\n", "Zm-_"};
    size_t size;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_int_equal(base64_decode(span_text(wrong[i]), out, sizeof out, &size), RC_INVALID);
    assert_int_equal(base64_decode(SPAN("Zm9vYmFy"), out, 5, &size), RC_TOO_LARGE);
    assert_int_equal(base64_decode(SPAN("Zm9vYg=="), out, 4, &size), RC_OK);
}

static void test_hex_takes_both_cases_and_nothing_else(void **state)
{
    (void)state;
    assert_int_equal(hex_decode(SPAN("00fFa9"), out, 3), RC_OK);
    assert_hex(out, 3, "00ffa9");
    assert_int_equal(hex_decode(SPAN("0g"), out, 1), RC_INVALID);
    assert_int_equal(hex_decode(SPAN("000"), out, 1), RC_INVALID);
    assert_int_equal(hex_decode(SPAN(""), out, 0), RC_OK);
    assert_int_equal(from_hex("0102", out), 2);
}

static int start(void **state)
{
    (void)state;
    cpu_detect();
    return crypto_start() == RC_OK && heap_usage(HEAP_MBEDTLS).calls > 0 ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_sha256_equals_fips_180, use_library),
        cmocka_unit_test_setup(test_sha256_equals_fips_180, use_best),
        cmocka_unit_test_setup(test_sha256_in_pieces_equals_at_once, use_library),
        cmocka_unit_test_setup(test_sha256_in_pieces_equals_at_once, use_best),
        cmocka_unit_test(test_sha256_variants_are_equal),
        cmocka_unit_test_setup(test_hmac_equals_rfc_4231, use_library),
        cmocka_unit_test_setup(test_hmac_equals_rfc_4231, use_best),
        cmocka_unit_test(test_hkdf_equals_rfc_5869),
        cmocka_unit_test(test_random_differs_and_equal_compares),
        cmocka_unit_test(test_aead_opens_only_what_was_sealed),
        cmocka_unit_test(test_aead_is_aes_gcm_where_the_cpu_has_aes),
        cmocka_unit_test(test_base64_equals_rfc_4648),
        cmocka_unit_test(test_hex_takes_both_cases_and_nothing_else),
    };
    return cmocka_run_group_tests_name("crypto", tests, start, NULL);
}
