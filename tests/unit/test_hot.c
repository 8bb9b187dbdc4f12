/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_hot.c — Hot: found, replaced, evicted, pinned, dropped; and its memory through random sizes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cache/hot.h"
#include "cache/space.h"
#include "platform/rc.h"
#include "tests/support/random.h"

enum { BYTES = 256 << 10 };
static char text[BYTES];

static int group_setup(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof text; i++) text[i] = (char)(i * 7);
    return hot_reserve(BYTES);
}

static int setup(void **state)
{
    (void)state;
    hot_clear();
    return 0;
}

static struct entry_meta meta_of(uint64_t id)
{
    struct entry_meta meta = {.id = id, .ttl_s = 9};
    meta.tenant[0] = (uint8_t)(id % 4);
    return meta;
}

static struct hot_reply *put(uint64_t id, unsigned variant, size_t size)
{
    struct entry_meta meta = meta_of(id);
    struct hot_reply *reply = NULL;
    assert_int_equal(hot_put(&meta, variant, 64, span_of(text + id % 100, size), &reply), RC_OK);
    memset(reply->body - 64, 0xEE, 64); /* the caller's head */
    return reply;
}

static void check(uint64_t id, unsigned variant, size_t size)
{
    struct hot_reply *reply = hot_find(id, variant);
    assert_non_null(reply);
    assert_int_equal(reply->body_size, size);
    assert_int_equal(reply->head_room, 64);
    assert_int_equal(reply->meta->id, id);
    assert_int_equal(reply->meta->ttl_s, 9);
    assert_memory_equal(reply->body, text + id % 100, size);
}

static void found_by_id_and_variant(void **state)
{
    (void)state;
    put(7, 0, 100)->note[2] = 5;
    put(7, 1, 200);
    put(8, 0, 0);
    check(7, 0, 100);
    check(7, 1, 200);
    check(8, 0, 0);
    assert_int_equal(hot_find(7, 0)->note[2], 5);
    assert_null(hot_find(7, 2));
    assert_null(hot_find(9, 0));
    assert_int_equal(hot_count(), 3);
    put(7, 0, 300); /* replaces */
    check(7, 0, 300);
    assert_int_equal(hot_count(), 3);
    hot_drop(7);
    assert_null(hot_find(7, 0));
    assert_null(hot_find(7, 1));
    check(8, 0, 0);
    hot_clear();
    assert_int_equal(hot_used(), 0);
}

static void too_large_is_refused(void **state)
{
    (void)state;
    struct entry_meta meta = meta_of(1);
    struct hot_reply *reply;
    assert_int_equal(hot_put(&meta, 0, 64, span_of(text, BYTES / 4), &reply), RC_FULL);
    assert_int_equal(hot_put(&meta, 0, BYTES, span_of(text, 1), &reply), RC_FULL);
    assert_int_equal(hot_put(&meta, 0, 64, span_of(text, BYTES / 4 - 1024), &reply), RC_OK);
}

static void the_used_stay(void **state)
{
    (void)state;
    for (uint64_t id = 0; id < 2000; id++) {
        put(id, 0, 1000);
        for (uint64_t kept = 0; kept < 10 && kept <= id; kept++) assert_non_null(hot_find(kept, 0));
    }
    assert_in_range(hot_count(), 150, 200);
    check(0, 0, 1000);
    check(1999, 0, 1000);
    assert_null(hot_find(500, 0));
}

static void pinned_stay_also_when_dropped(void **state)
{
    (void)state;
    struct hot_reply *held = put(1, 0, 5000);
    hot_pin(held);
    hot_pin(held);
    for (uint64_t id = 100; id < 1000; id++) put(id, 0, 3000);
    check(1, 0, 5000);
    hot_drop(1);
    assert_null(hot_find(1, 0));
    for (uint64_t id = 100; id < 1000; id++) put(id, 0, 3000);
    assert_memory_equal(held->body, text + 1, 5000); /* not found, but still being sent */
    hot_unpin(held);
    for (uint64_t id = 100; id < 1000; id++) put(id, 0, 3000);
    assert_memory_equal(held->body, text + 1, 5000);
    hot_unpin(held);
    hot_clear();
    assert_int_equal(hot_used(), 0);
}

static void everything_pinned_refuses(void **state)
{
    (void)state;
    struct hot_reply *held[64], *reply;
    unsigned count = 0;
    struct entry_meta meta = meta_of(99);
    while (count < 64) {
        meta.id = 1000 + count;
        if (hot_put(&meta, 0, 64, span_of(text, 9000), &reply) != RC_OK) break;
        hot_pin(held[count++] = reply);
    }
    assert_in_range(count, 20, 40);
    assert_int_equal(hot_put(&meta, 0, 64, span_of(text, 20000), &reply), RC_FULL);
    for (unsigned i = 0; i < count; i++) hot_unpin(held[i]);
    assert_int_equal(hot_put(&meta, 0, 64, span_of(text, 60000), &reply), RC_OK);
}

static void a_tenant_leaves(void **state)
{
    (void)state;
    for (uint64_t id = 0; id < 40; id++) put(id, (unsigned)id % 2, 100);
    uint8_t tenant[ENTRY_TENANT_SIZE] = {3};
    hot_drop_tenant(tenant);
    assert_int_equal(hot_count(), 30);
    for (uint64_t id = 0; id < 40; id++) assert_int_equal(hot_find(id, (unsigned)id % 2) != NULL, id % 4 != 3);
}

/* Small ones everywhere, then a large one: neighbours make room in a row. */
static void a_large_one_finds_room_among_small_ones(void **state)
{
    (void)state;
    struct hot_reply *pinned = NULL;
    for (uint64_t id = 0; id < 300; id++) {
        struct hot_reply *reply = put(id, 0, 500);
        if (id == 250) hot_pin(pinned = reply);
    }
    put(1000, 0, BYTES / 4 - 1000);
    check(1000, 0, BYTES / 4 - 1000);
    check(250, 0, 500);
    assert_true(hot_count() > 100);
    hot_unpin(pinned);
}

static void random_sizes_keep_their_bytes(void **state)
{
    (void)state;
    enum { IDS = 300 };
    static size_t sizes[IDS];
    uint32_t seed = 2;
    for (unsigned step = 0; step < 20000; step++) {
        unsigned id = (unsigned)test_random(&seed) % IDS;
        if (test_random(&seed) % 3 == 0) {
            sizes[id] =
                (size_t)(test_random(&seed) % 100 == 0 ? test_random(&seed) % 60000 : test_random(&seed) % 3000);
            put(id, 0, sizes[id]);
        } else if (test_random(&seed) % 20 == 0) {
            hot_drop(id);
        } else if (hot_find(id, 0)) {
            check(id, 0, sizes[id]);
        }
        assert_true(hot_used() <= BYTES);
    }
}

/* ---- the allocator alone */

static void space_joins_neighbours(void **state)
{
    (void)state;
    static _Alignas(16) unsigned char region[65536];
    struct space space;
    void *pieces[64];
    space_init(&space, region, sizeof region);
    for (unsigned round = 0; round < 3; round++) {
        unsigned count = 0;
        while (count < 64 && (pieces[count] = space_take(&space, 1000))) count++;
        assert_in_range(count, 60, 64);
        for (unsigned i = round; i < count + round; i++) space_give(&space, pieces[i % count]);
        assert_int_equal(space.used, 0);
        struct space_piece *all = space_next(&space, NULL);
        assert_false(space_is_used(all));
        assert_null(space_next(&space, all)); /* one piece again */
    }
    assert_null(space_take(&space, 65536));
    assert_null(space_take(&space, SIZE_MAX));
    assert_non_null(space_take(&space, 0));
}

int main(void)
{
    const struct CMUnitTest hot[] = {
        cmocka_unit_test_setup(found_by_id_and_variant, setup),
        cmocka_unit_test_setup(too_large_is_refused, setup),
        cmocka_unit_test_setup(the_used_stay, setup),
        cmocka_unit_test_setup(pinned_stay_also_when_dropped, setup),
        cmocka_unit_test_setup(everything_pinned_refuses, setup),
        cmocka_unit_test_setup(a_tenant_leaves, setup),
        cmocka_unit_test_setup(a_large_one_finds_room_among_small_ones, setup),
        cmocka_unit_test_setup(random_sizes_keep_their_bytes, setup),
        cmocka_unit_test(space_joins_neighbours),
    };
    return cmocka_run_group_tests_name("hot", hot, group_setup, NULL);
}
