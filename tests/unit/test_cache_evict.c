/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_cache_evict.c — the store and its eviction: what is told at a store, snapshots, evicting when asked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cache/inner.h"
#include "platform/clock.h"
#include "platform/rc.h"
#include "tests/support/store_test.h"

static const char *folder;
static struct cache_boot boot;

static int group_setup(void **state)
{
    (void)state;
    store_test_setup(&store_test_limits);
    return 0;
}

static int setup(void **state)
{
    (void)state;
    folder = store_test_folder();
    assert_int_equal(cache_open(folder, &boot), RC_OK);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    clock_fake_off();
    cache_close();
    store_test_remove(folder);
    return 0;
}

static void reopen(void)
{
    cache_close();
    assert_int_equal(cache_open(folder, &boot), RC_OK);
}

static struct cache_stats stats(void)
{
    struct cache_stats s;
    cache_stats(&s);
    return s;
}

static int find(unsigned n, struct cache_found *found)
{
    struct digest digest = store_test_digest(n);
    bool evicted;
    return cache_find(&digest, found, &evicted);
}

static uint64_t put_near(unsigned n, uint64_t nearest, float score)
{
    struct digest digest = store_test_digest(n);
    struct entry_meta meta = store_test_meta(n);
    struct entry_vector vector = {.nearest = nearest, .nearest_score = score};
    uint64_t id = 0;
    int rc = cache_put(&digest, &meta, store_test_query(n), store_test_body(n, 10), &vector, &id);
    return rc == RC_OK ? id : 0;
}

static struct evict_saved saved_of(uint64_t id)
{
    struct evict_saved saved;
    assert_true(evict_save(&cache_self.evict, exact_find_id(&cache_self.exact, id), &saved));
    return saved;
}

/* Neighbours told at a store reach eviction, and what it knows of them outlives a restart, hits and all. */
static void neighbours_outlive_a_restart(void **state)
{
    (void)state;
    struct cache_limits limits = store_test_limits;
    limits.eviction = EVICT_POLICY_MMR;
    cache_limits_set(&limits);
    uint64_t first = store_test_put(1, 10), second = put_near(2, first, 0.95f), third = put_near(3, 12345, 0.95f);
    for (unsigned i = 0; i < 3; i++) cache_touch(second);
    for (unsigned n = 10; n < 500; n++) store_test_put(n, 10);
    struct evict_saved before = saved_of(second);
    assert_int_equal(before.neighbour, exact_find_id(&cache_self.exact, first));
    assert_int_equal(saved_of(first).neighbour, exact_find_id(&cache_self.exact, second));
    assert_int_equal(saved_of(third).neighbour, EVICT_NONE);
    reopen();
    assert_int_equal(saved_of(second).bits, before.bits);
    assert_int_equal(saved_of(second).neighbour, exact_find_id(&cache_self.exact, first));
    assert_int_equal(saved_of(first).neighbour, exact_find_id(&cache_self.exact, second));
    assert_int_equal(evict_hits(&cache_self.evict, exact_find_id(&cache_self.exact, second)), 3);
    cache_limits_set(&store_test_limits); /* a snapshot of the other kind is passed over */
    reopen();
    assert_int_equal(stats().entries, 493);
    cache_limits_set(&store_test_limits);
}

static void some_are_evicted_when_asked(void **state)
{
    (void)state;
    static uint64_t ids[EVICT_BATCH_MAX];
    unsigned count = 7;
    struct cache_found found;
    assert_int_equal(cache_evict(3, ids, &count), RC_EMPTY);
    assert_int_equal(count, 0);
    uint64_t first = store_test_put(0, 10), second = store_test_put(1, 10);
    store_test_put(2, 10);
    cache_touch(first);
    assert_int_equal(cache_evict(0, ids, &count), RC_OK);
    assert_int_equal(count, 0);
    assert_int_equal(cache_evict(1, ids, &count), RC_OK);
    assert_int_equal(count, 1);
    assert_int_equal(ids[0], second);
    assert_int_equal(find(1, &found), RC_NOT_FOUND);
    assert_int_equal(store_test_sync(), RC_OK);
    reopen();
    assert_int_equal(find(0, &found), RC_OK);
    assert_int_equal(find(1, &found), RC_NOT_FOUND);
    assert_int_equal(cache_evict(5, ids, &count), RC_OK);
    assert_int_equal(count, 2);
    assert_int_equal(stats().entries, 0);
}

/* Whatever the policy: bounds hold, the pinned stay. */
static void bounds_hold_by_each_policy(void **state)
{
    (void)state;
    for (int policy = 0; policy < 4; policy++) {
        struct cache_limits limits = store_test_limits;
        struct entry_meta meta = store_test_meta(0);
        struct digest digest = store_test_digest(0);
        struct cache_found found;
        uint64_t pinned, id = 0;
        limits.eviction = (enum evict_policy)policy;
        limits.entries_max = 200;
        limits.bytes_max = 1 << 20;
        cache_limits_set(&limits);
        meta.flags = ENTRY_PINNED;
        assert_int_equal(cache_put(&digest, &meta, SPAN("q"), SPAN("b"), NULL, &pinned), RC_OK);
        for (unsigned n = 1; n < 1500; n++) {
            id = n % 3 ? put_near(n, id, 0.9f) : store_test_put(n, n % 50 == 0 ? 60000 : 500);
            if (id == 0) assert_int_equal(store_test_sync(), RC_OK); /* the queue was full */
            if (n % 5 == 0) cache_touch(id);
            assert_true(stats().entries <= 200);
            assert_true(stats().bytes <= 1 << 20);
        }
        assert_true(stats().entries > 10);
        assert_int_equal(find(0, &found), RC_OK);
        assert_int_equal(found.id, pinned);
        assert_int_equal(cache_remove(pinned), RC_OK);
    }
    cache_limits_set(&store_test_limits);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest cache_evict_tests[] = {
        TEST(neighbours_outlive_a_restart),
        TEST(some_are_evicted_when_asked),
        TEST(bounds_hold_by_each_policy),
    };
    return cmocka_run_group_tests_name("cache_evict", cache_evict_tests, group_setup, NULL);
}
