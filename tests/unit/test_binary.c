/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_binary.c — the store as a table of codes: thresholds, fields, eviction.
 * Link: -Wl,--wrap=embed_text -Wl,--wrap=embed_current -Wl,--wrap=embed_ready
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cache/binary.h"
#include "cache/inner.h"
#include "platform/clock.h"
#include "platform/crypto.h"
#include "platform/rc.h"
#include "tests/support/semantic_test.h"
#include "tests/support/store_test.h"

enum { DIM = 384, BASE = 1700000000 };

static const char *folder;
static struct binary_entry entry;
static float similarity;

static int group_setup(void **state)
{
    (void)state;
    store_test_setup(&store_test_limits);
    return semantic_reserve();
}

static int setup(void **state)
{
    struct cache_boot boot;
    (void)state;
    folder = store_test_folder();
    assert_int_equal(cache_open(folder, &boot), RC_OK);
    assert_int_equal(semantic_start(folder), RC_OK);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    clock_fake_off();
    semantic_stop();
    cache_close();
    store_test_remove(folder);
    return 0;
}

/* The code of number n: n's bits of four words, far from the others'; `flips` bits of it changed. */
static void code_of(unsigned n, unsigned flips, uint64_t code[4])
{
    unsigned char bytes[SHA256_SIZE];
    sha256_of(&n, sizeof n, bytes);
    memcpy(code, bytes, sizeof bytes);
    for (unsigned i = 0; i < flips; i++) code[i % 4] ^= UINT64_C(1) << (i / 4);
}

static void vector_bytes(unsigned n, int8_t bytes[DIM])
{
    for (unsigned i = 0; i < DIM; i++) bytes[i] = (int8_t)(i * n);
}

static uint64_t insert(unsigned n)
{
    uint64_t id;
    int8_t bytes[DIM];
    struct digest digest = store_test_digest(n);
    struct entry_meta meta = store_test_meta(n);
    struct entry_vector vector = {.space = 3, .dim = DIM, .vector = bytes};
    meta.created_us = (uint64_t)BASE * 1000000 + n;
    code_of(n, 0, vector.code);
    vector_bytes(n, bytes);
    assert_int_equal(binary_insert(&digest, &meta, store_test_body(n, 100), &vector, &id), RC_OK);
    return id;
}

struct asked {
    const uint64_t *code;
    float threshold;
    int rc;
};

static void ask(void *arg)
{
    struct asked *asked = arg;
    asked->rc = binary_lookup(3, asked->code, asked->threshold, &store_test_arena, &entry, &similarity);
}

static int lookup(unsigned n, unsigned flips, float threshold)
{
    uint64_t code[4];
    struct asked asked = {.code = code, .threshold = threshold};
    code_of(n, flips, code);
    arena_reset(&store_test_arena, 0);
    store_test_fiber(ask, &asked);
    return asked.rc;
}

static void the_closest_above_the_threshold(void **state)
{
    (void)state;
    assert_int_equal(lookup(1, 0, -1), RC_NOT_FOUND);
    uint64_t ids[10];
    for (unsigned n = 0; n < 10; n++) ids[n] = insert(n);
    for (unsigned turn = 0; turn < 2; turn++) {
        for (unsigned n = 0; n < 10; n++) {
            assert_int_equal(lookup(n, 0, 1), RC_OK);
            assert_int_equal(entry.id, ids[n]);
            assert_true(similarity > 0.9999f);
        }
        assert_int_equal(lookup(4, 38, -1), RC_OK); /* 1 − 38/256 = 0.8516 */
        assert_int_equal(entry.id, ids[4]);
        assert_true(similarity > 0.851f && similarity < 0.852f);
        assert_int_equal(lookup(4, 39, -1), RC_NOT_FOUND); /* 0.8477 */
        assert_int_equal(lookup(4, 39, 0.84f), RC_OK);
        assert_int_equal(lookup(4, 0, 1.5f), RC_NOT_FOUND);
        assert_int_equal(store_test_sync(), RC_OK);
    }
}

static void the_fields_of_an_entry(void **state)
{
    (void)state;
    int8_t bytes[DIM];
    unsigned char hash[SHA256_SIZE];
    uint64_t code[4];
    uint64_t id = insert(7), now = (uint64_t)BASE * 1000000 + 90000000;
    clock_fake(clock_monotonic_us(), now);
    vector_bytes(7, bytes);
    sha256_of(bytes, sizeof bytes, hash);
    code_of(7, 0, code);
    for (unsigned turn = 0; turn < 3; turn++) {
        struct digest digest = store_test_digest(7);
        clock_fake_advance(1500);
        assert_int_equal(lookup(7, 5, -1), RC_OK);
        assert_int_equal(entry.id, id);
        assert_memory_equal(entry.code, code, sizeof code);
        assert_memory_equal(entry.embedding_hash, hash, sizeof hash);
        assert_memory_equal(entry.request_hash.bytes, digest.bytes, sizeof digest.bytes);
        assert_true(span_equal(entry.response, store_test_body(7, 100)));
        assert_int_equal(entry.created_us, (uint64_t)BASE * 1000000 + 7);
        assert_int_equal(entry.accessed_us, turn == 0 ? entry.created_us : now + turn * 1500);
        assert_int_equal(entry.access_count, turn);
        if (turn == 0) assert_int_equal(store_test_sync(), RC_OK);
    }
}

static void evicted_ones_are_not_found(void **state)
{
    (void)state;
    uint64_t ids[EVICT_BATCH_MAX];
    unsigned count, left = 0;
    for (unsigned n = 0; n < 50; n++) insert(n);
    assert_int_equal(binary_evict(20, ids, &count), RC_OK);
    assert_int_equal(count, 20);
    for (unsigned turn = 0; turn < 2; turn++) {
        left = 0;
        for (unsigned n = 0; n < 50; n++) left += lookup(n, 0, -1) == RC_OK;
        assert_int_equal(left, 30);
        assert_int_equal(store_test_sync(), RC_OK);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_closest_above_the_threshold, setup, teardown),
        cmocka_unit_test_setup_teardown(the_fields_of_an_entry, setup, teardown),
        cmocka_unit_test_setup_teardown(evicted_ones_are_not_found, setup, teardown),
    };
    return cmocka_run_group_tests(tests, group_setup, NULL);
}
