/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_exact.c — the exact index against a plain list, through thousands of additions and removals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cache/exact.h"
#include "platform/rc.h"
#include "tests/support/random.h"

enum { ENTRIES = 1000 };
static struct exact exact;

static int group_setup(void **state)
{
    (void)state;
    return exact_reserve(&exact, ENTRIES);
}

static int setup(void **state)
{
    (void)state;
    struct hash_key key = {3, 4};
    exact_clear(&exact);
    exact_key(&exact, &key);
    return 0;
}

static struct exact_tag tag_of(unsigned n)
{
    struct digest digest = {{0}};
    memcpy(digest.bytes, &n, sizeof n);
    return exact_tag_of(&exact, &digest);
}

static void add_find_remove(void **state)
{
    (void)state;
    uint32_t position, again;
    struct exact_tag tag = tag_of(1);
    assert_int_equal(exact_find(&exact, tag), EXACT_NONE);
    assert_int_equal(exact_add(&exact, tag, UINT64_C(0xABCDEF012345), 100, 200, &position), RC_OK);
    assert_int_equal(exact_find(&exact, tag), position);
    assert_int_equal(exact_find_id(&exact, UINT64_C(0xABCDEF012345)), position);
    assert_int_equal(exact_id(exact_at(&exact, position)), UINT64_C(0xABCDEF012345));
    assert_int_equal(exact_at(&exact, position)->created_s, 100);
    assert_int_equal(exact_at(&exact, position)->ttl_s, 200);
    assert_int_equal(exact_add(&exact, tag, 7, 1, 1, &again), RC_EXISTS);
    assert_int_equal(again, position);
    assert_int_equal(exact.count, 1);
    exact_remove(&exact, position);
    assert_int_equal(exact_find(&exact, tag), EXACT_NONE);
    assert_int_equal(exact_find_id(&exact, UINT64_C(0xABCDEF012345)), EXACT_NONE);
    assert_int_equal(exact.count, 0);
}

static void tags_are_keyed_and_round_trip(void **state)
{
    (void)state;
    unsigned char bytes[EXACT_TAG_SIZE];
    struct hash_key other = {5, 6};
    struct exact_tag tag = tag_of(1), read;
    exact_tag_write(tag, bytes);
    read = exact_tag_read(bytes);
    assert_true(read.low == tag.low && read.high == tag.high);
    exact_key(&exact, &other);
    assert_true(tag_of(1).low != tag.low);
}

static void full_says_so(void **state)
{
    (void)state;
    uint32_t position;
    for (unsigned n = 0; n < ENTRIES; n++)
        assert_int_equal(exact_add(&exact, tag_of(n), n + 1, 0, 0, &position), RC_OK);
    assert_int_equal(exact_add(&exact, tag_of(ENTRIES), 9999, 0, 0, &position), RC_FULL);
    for (unsigned n = 0; n < ENTRIES; n++) assert_int_not_equal(exact_find(&exact, tag_of(n)), EXACT_NONE);
    exact_remove(&exact, exact_find_id(&exact, 500));
    assert_int_equal(exact_add(&exact, tag_of(ENTRIES), 9999, 0, 0, &position), RC_OK);
}

/* Two digests of one tag's low half are told apart by the high half. */
static void equal_low_halves_are_two(void **state)
{
    (void)state;
    uint32_t a, b;
    struct exact_tag one = {42, 1}, two = {42, 2}, three = {42, 3};
    assert_int_equal(exact_add(&exact, one, 1, 0, 0, &a), RC_OK);
    assert_int_equal(exact_add(&exact, two, 2, 0, 0, &b), RC_OK);
    assert_int_equal(exact_find(&exact, one), a);
    assert_int_equal(exact_find(&exact, two), b);
    assert_int_equal(exact_find(&exact, three), EXACT_NONE);
    exact_remove(&exact, a);
    assert_int_equal(exact_find(&exact, two), b);
}

static void agrees_with_a_list(void **state)
{
    (void)state;
    enum { NUMBERS = 3000 };
    static uint64_t ids[NUMBERS]; /* 0: not there */
    uint64_t next = 1;
    unsigned count = 0;
    uint32_t seed = 1;
    for (unsigned step = 0; step < 60000; step++) {
        unsigned n = (unsigned)test_random(&seed) % NUMBERS;
        uint32_t position = exact_find(&exact, tag_of(n));
        assert_int_equal(position != EXACT_NONE, ids[n] != 0);
        if (ids[n] != 0) {
            assert_int_equal(exact_id(exact_at(&exact, position)), ids[n]);
            assert_int_equal(exact_find_id(&exact, ids[n]), position);
            exact_remove(&exact, position);
            assert_int_equal(exact_find_id(&exact, ids[n]), EXACT_NONE);
            ids[n] = 0;
            count--;
        } else if (count < ENTRIES) {
            ids[n] = next;
            next += 1 + (unsigned)test_random(&seed) % 70000;
            assert_int_equal(exact_add(&exact, tag_of(n), ids[n], 0, 0, &position), RC_OK);
            count++;
        }
        assert_int_equal(exact.count, count);
    }
}

int main(void)
{
    const struct CMUnitTest exact_tests[] = {
        cmocka_unit_test_setup(add_find_remove, setup),    cmocka_unit_test_setup(tags_are_keyed_and_round_trip, setup),
        cmocka_unit_test_setup(full_says_so, setup),       cmocka_unit_test_setup(equal_low_halves_are_two, setup),
        cmocka_unit_test_setup(agrees_with_a_list, setup),
    };
    return cmocka_run_group_tests_name("exact", exact_tests, group_setup, NULL);
}
