/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_cache.c — the store as the gateway sees it: put, find, read, expire, replace, remove, purge, restart. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cache/inner.h"
#include "platform/clock.h"
#include "platform/file.h"
#include "platform/loop.h"
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

static void opens_fresh(void **state)
{
    (void)state;
    struct stat st;
    char path[FILE_PATH_MAX];
    assert_true(boot.fresh);
    assert_false(boot.moved_aside);
    assert_false(boot.read_only);
    assert_string_equal(boot.message, "");
    assert_int_equal(boot.entries, 0);
    assert_int_equal(file_join(path, folder, "entries"), RC_OK);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    assert_int_equal(file_join(path, folder, "entries/data.mdb"), RC_OK);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    reopen();
    assert_false(boot.fresh);
}

static void found_before_and_after_commit(void **state)
{
    (void)state;
    struct cache_found found;
    assert_int_equal(find(1, &found), RC_NOT_FOUND);
    uint64_t id = store_test_put(1, 900);
    assert_int_not_equal(id, 0);
    assert_int_equal(find(1, &found), RC_OK);
    assert_int_equal(found.id, id);
    assert_int_equal(found.state, CACHE_FRESH);
    assert_int_equal(found.ttl_s, 3600);
    assert_int_equal(stats().waiting, 1);
    assert_true(store_test_holds(1, 900)); /* from the queue */
    assert_int_equal(store_test_sync(), RC_OK);
    assert_int_equal(stats().waiting, 0);
    assert_true(store_test_holds(1, 900)); /* from disk */
    assert_int_equal(stats().entries, 1);
    assert_int_equal(stats().stored, 1);
}

/* Every size where the layout changes, plain and compressed, survives a restart. */
static void sizes_survive_a_restart(void **state)
{
    (void)state;
    static const size_t sizes[] = {0,    1,    900,  1700,  1900,  2100,  3000,   4000,
                                   4095, 4096, 8000, 16368, 20000, 70000, 300000, 1 << 20};
    enum { COUNT = sizeof sizes / sizeof sizes[0] };
    for (unsigned i = 0; i < COUNT; i++) assert_int_not_equal(store_test_put(i, sizes[i]), 0);
    for (unsigned i = 0; i < COUNT; i++) assert_true(store_test_holds(i, sizes[i]));
    assert_int_equal(store_test_sync(), RC_OK);
    for (unsigned i = 0; i < COUNT; i++) assert_true(store_test_holds(i, sizes[i]));
    uint64_t bytes = stats().bytes;
    reopen();
    assert_int_equal(boot.entries, COUNT);
    assert_int_equal(stats().bytes, bytes);
    for (unsigned i = 0; i < COUNT; i++) assert_true(store_test_holds(i, sizes[i]));
}

static void meta_comes_back_whole(void **state)
{
    (void)state;
    struct digest digest = store_test_digest(7);
    struct entry_meta meta = {.created_us = 1700000000123456,
                              .ttl_s = 5,
                              .dialect = 1,
                              .form = ENTRY_STREAM,
                              .flags = ENTRY_TOOL_CALLS | ENTRY_FALLBACK,
                              .chain_link = 3,
                              .upstream_ms = 4,
                              .tokens_in = 5,
                              .tokens_out = 6,
                              .key_id = 0,
                              .provider = "p",
                              .model = "m"};
    memset(meta.tenant, 0xA5, sizeof meta.tenant);
    memset(meta.model, 'x', ENTRY_NAME_MAX - 1);
    struct cache_answer answer;
    uint64_t id;
    assert_int_equal(cache_put(&digest, &meta, SPAN("q"), SPAN("b"), NULL, &id), RC_OK);
    assert_int_equal(store_test_sync(), RC_OK);
    assert_int_equal(store_test_read(id, 7, &answer), RC_OK);
    meta.id = id;
    assert_memory_equal(&answer.meta, &meta, sizeof meta);
    assert_true(span_equal(answer.query, SPAN("q")));
    assert_true(span_equal(answer.body, SPAN("b")));
}

static void expires_by_wall_clock(void **state)
{
    (void)state;
    struct cache_found found;
    uint64_t now = UINT64_C(1800000000) * CLOCK_SECOND;
    clock_fake(1000, now);
    store_test_put(1, 10);
    clock_fake(1000, now + 3599 * CLOCK_SECOND);
    assert_int_equal(find(1, &found), RC_OK);
    assert_int_equal(found.state, CACHE_FRESH);
    assert_int_equal(found.created_us, now);
    clock_fake(1000, now + 3600 * CLOCK_SECOND);
    assert_int_equal(find(1, &found), RC_OK);
    assert_int_equal(found.state, CACHE_EXPIRED);
    assert_int_equal(stats().expired_kept, 1);
    clock_fake(1000, now - 86400 * CLOCK_SECOND); /* it is from the future: counts as stored now */
    assert_int_equal(find(1, &found), RC_OK);
    assert_int_equal(found.state, CACHE_FRESH);
    assert_int_equal(found.created_us, now - 86400 * CLOCK_SECOND);
}

static void ttl_zero_is_never_fresh(void **state)
{
    (void)state;
    struct digest digest = store_test_digest(2);
    struct entry_meta meta = store_test_meta(2);
    struct cache_found found;
    uint64_t id;
    meta.ttl_s = 0;
    assert_int_equal(cache_put(&digest, &meta, SPAN(""), SPAN("x"), NULL, &id), RC_OK);
    assert_int_equal(find(2, &found), RC_OK);
    assert_int_equal(found.state, CACHE_EXPIRED);
}

static void second_answer_replaces_the_first(void **state)
{
    (void)state;
    struct cache_found found;
    struct cache_answer answer;
    uint64_t first = store_test_put(1, 100);
    uint64_t second = store_test_put(1, 200);
    assert_true(second > first);
    assert_int_equal(find(1, &found), RC_OK);
    assert_int_equal(found.id, second);
    assert_int_equal(stats().entries, 1);
    assert_int_equal(store_test_sync(), RC_OK);
    assert_int_equal(store_test_read(first, 1, &answer), RC_NOT_FOUND);
    assert_true(store_test_holds(1, 200));
    reopen();
    assert_int_equal(boot.entries, 1);
    assert_true(store_test_holds(1, 200));
}

static void another_digest_does_not_read_it(void **state)
{
    (void)state;
    struct cache_answer answer;
    uint64_t id = store_test_put(1, 100);
    assert_int_equal(store_test_read(id, 2, &answer), RC_NOT_FOUND);
    assert_int_equal(store_test_sync(), RC_OK);
    assert_int_equal(store_test_read(id, 2, &answer), RC_NOT_FOUND);
    assert_true(store_test_holds(1, 100)); /* and stays */
}

static void removed_stays_removed(void **state)
{
    (void)state;
    struct cache_found found;
    uint64_t pending = store_test_put(1, 100);
    assert_int_equal(cache_remove(pending), RC_OK);
    assert_int_equal(find(1, &found), RC_NOT_FOUND);
    uint64_t stored = store_test_put(2, 20000);
    assert_int_equal(store_test_sync(), RC_OK);
    assert_int_equal(cache_remove(stored), RC_OK);
    assert_int_equal(cache_remove(stored), RC_NOT_FOUND);
    assert_int_equal(stats().bytes, 0);
    reopen();
    assert_int_equal(boot.entries, 0);
    assert_int_equal(find(2, &found), RC_NOT_FOUND);
}

static void purges_one_tenant(void **state)
{
    (void)state;
    unsigned removed = 0, left = 0;
    struct entry_meta meta = store_test_meta(4); /* tenant 1 … 4: n % 3 and n % 5 */
    for (unsigned n = 0; n < 300; n++) assert_int_not_equal(store_test_put(n, 500), 0);
    assert_int_equal(store_test_purge(meta.tenant, &removed), RC_OK);
    assert_int_equal(removed, 20); /* one in fifteen; others share its first byte */
    for (unsigned n = 0; n < 300; n++) {
        bool gone = n % 3 == 1 && n % 5 == 4;
        assert_int_equal(store_test_holds(n, 500), !gone);
        left += !gone;
    }
    assert_int_equal(stats().entries, left);
    reopen();
    assert_int_equal(boot.entries, left);
    assert_int_equal(store_test_purge(NULL, &removed), RC_OK);
    assert_int_equal(removed, left);
    assert_int_equal(stats().entries, 0);
    assert_int_equal(stats().bytes, 0);
    reopen();
    assert_int_equal(boot.entries, 0);
}

static void ids_grow_over_restarts(void **state)
{
    (void)state;
    uint64_t last = 0;
    for (unsigned n = 0; n < 5; n++) {
        uint64_t id = store_test_put(n, 10);
        assert_true(id > last);
        last = id;
        reopen();
    }
    assert_int_equal(boot.entries, 5);
}

static void evicts_by_count_and_remembers(void **state)
{
    (void)state;
    struct cache_found found;
    bool evicted;
    for (unsigned n = 0; n < 1000; n++) store_test_put(n, 10);
    assert_int_equal(stats().entries, 1000);
    struct digest kept = store_test_digest(0), left = store_test_digest(1), never = store_test_digest(5000);
    assert_int_equal(cache_find(&kept, &found, &evicted), RC_OK);
    cache_touch(found.id);
    store_test_put(1000, 10);
    assert_int_equal(stats().entries, 991); /* ten left for one */
    assert_int_equal(stats().evicted, 10);
    assert_int_equal(cache_find(&kept, &found, &evicted), RC_OK);
    assert_int_equal(cache_find(&left, &found, &evicted), RC_NOT_FOUND);
    assert_true(evicted);
    assert_int_equal(cache_find(&never, &found, &evicted), RC_NOT_FOUND);
    assert_false(evicted);
    assert_int_equal(store_test_sync(), RC_OK);
    reopen();
    assert_int_equal(boot.entries, 991);
    assert_int_equal(find(1, &found), RC_NOT_FOUND);
}

static void evicts_by_bytes(void **state)
{
    (void)state;
    struct cache_limits limits = store_test_limits;
    limits.bytes_max = 1 << 20;
    cache_limits_set(&limits);
    for (unsigned n = 0; n < 600; n++) {
        assert_int_not_equal(store_test_put(n, 3000), 0);
        assert_true(stats().bytes <= limits.bytes_max);
        if (n % 50 == 0) assert_int_equal(store_test_sync(), RC_OK);
    }
    assert_in_range(stats().entries, 180, 260);
    assert_true(store_test_holds(599, 3000));
    cache_limits_set(&store_test_limits);
}

static void pinned_never_leave(void **state)
{
    (void)state;
    struct digest digest = store_test_digest(0);
    struct entry_meta meta = store_test_meta(0);
    struct cache_found found;
    uint64_t id;
    meta.flags = ENTRY_PINNED;
    assert_int_equal(cache_put(&digest, &meta, SPAN("q"), SPAN("a"), NULL, &id), RC_OK);
    for (unsigned n = 1; n < 3000; n++) {
        assert_int_not_equal(store_test_put(n, 10), 0);
        if (n % 100 == 0) assert_int_equal(store_test_sync(), RC_OK);
    }
    assert_int_equal(find(0, &found), RC_OK);
    reopen();
    assert_int_equal(find(0, &found), RC_OK);
}

/* What was hit before a restart outlives what was not. */
static void use_outlives_a_restart(void **state)
{
    (void)state;
    struct cache_found found;
    unsigned kept = 0;
    for (unsigned n = 0; n < 1000; n++) store_test_put(n, 10);
    for (unsigned n = 0; n < 1000; n += 2) {
        assert_int_equal(find(n, &found), RC_OK);
        cache_touch(found.id);
    }
    reopen();
    for (unsigned n = 1000; n < 1400; n++) store_test_put(n, 10);
    for (unsigned n = 0; n < 1000; n += 2) kept += find(n, &found) == RC_OK;
    assert_int_equal(kept, 500);
}

static void lru_order_outlives_a_restart(void **state)
{
    (void)state;
    struct cache_limits limits = store_test_limits;
    struct cache_found found;
    limits.eviction = EVICT_POLICY_LRU;
    cache_limits_set(&limits);
    for (unsigned n = 0; n < 1000; n++) store_test_put(n, 10);
    for (unsigned n = 0; n < 500; n++) {
        assert_int_equal(find(n, &found), RC_OK);
        cache_touch(found.id);
    }
    reopen();
    store_test_put(2000, 10);
    for (unsigned n = 0; n < 500; n++) assert_int_equal(find(n, &found), RC_OK);
    for (unsigned n = 500; n < 510; n++) assert_int_equal(find(n, &found), RC_NOT_FOUND);
    assert_int_equal(find(510, &found), RC_OK);
    cache_limits_set(&store_test_limits);
}

static void a_full_queue_refuses_and_counts(void **state)
{
    (void)state;
    uint64_t before = stats().dropped;
    unsigned refused = 0, taken = 0;
    for (unsigned n = 0; n < 40; n++) {
        if (store_test_put(n, 1 << 20) != 0)
            taken++;
        else
            refused++;
    }
    assert_true(taken >= 1);
    assert_int_equal(stats().dropped - before, refused);
    assert_int_equal(store_test_sync(), RC_OK);
    assert_int_not_equal(store_test_put(100, 1 << 20), 0); /* room again */
}

static void too_large_is_refused(void **state)
{
    (void)state;
    static char big[(1 << 20) + 1];
    struct digest digest = store_test_digest(1);
    struct entry_meta meta = store_test_meta(1);
    uint64_t id;
    assert_int_equal(cache_put(&digest, &meta, SPAN("q"), span_of(big, sizeof big), NULL, &id), RC_TOO_LARGE);
    assert_int_equal(cache_put(&digest, &meta, span_of(big, ENTRY_QUERY_MAX + 1), SPAN("b"), NULL, &id), RC_TOO_LARGE);
}

static bool count_one(void *context, const struct entry_index *index)
{
    (void)index;
    ++*(unsigned *)context;
    return true;
}

/* Two rows of one digest, as after a kill between two commits: the newer counts, the other leaves the disk. */
static void rows_that_nobody_finds_are_swept(void **state)
{
    (void)state;
    struct kv_txn txn;
    struct hash_key key = {0, 0};
    char path[FILE_PATH_MAX];
    unsigned damaged, rows = 0;
    store_test_put(1, 10);
    cache_close();
    assert_int_equal(file_join(path, folder, "entries"), RC_OK);
    struct entries *entries = &cache_self.entries;
    assert_int_equal(entries_open(entries, path, 64 << 20, false, &key), RC_OK);
    struct digest digest = store_test_digest(1);
    struct entry_meta meta = store_test_meta(1);
    unsigned char tag[EXACT_TAG_SIZE];
    exact_key(&cache_self.exact, &entries->tag_key);
    exact_tag_write(exact_tag_of(&cache_self.exact, &digest), tag);
    struct entry_new entry = {
        .digest = &digest, .meta = &meta, .tag = tag, .query = store_test_query(1), .body = store_test_body(1, 77)};
    uint32_t cost, random;
    meta.id = entries->id_mark + 5;
    assert_int_equal(kv_write_begin(&entries->kv, &txn), RC_OK);
    assert_int_equal(entries_put(entries, &txn, &entry, &cost, &random), RC_OK);
    assert_int_equal(kv_commit(&txn), RC_OK);
    entries_close(entries);
    assert_int_equal(cache_open(folder, &boot), RC_OK);
    assert_int_equal(boot.entries, 1);
    assert_true(store_test_holds(1, 77));
    usleep(30000);
    store_test_turns(2); /* the timer */
    assert_int_equal(store_test_sync(), RC_OK);
    assert_int_equal(entries_scan(entries, 0, count_one, &rows, &damaged), RC_OK);
    assert_int_equal(rows, 1);
    assert_true(store_test_holds(1, 77));
}

struct listing {
    struct entry_meta metas[10];
    struct span queries[10];
    unsigned listed;
    uint64_t before;
    int rc;
};

static void run_list(void *arg)
{
    struct listing *l = arg;
    l->rc = cache_list(l->before, 10, &store_test_arena, l->metas, l->queries, &l->listed);
}

static void lists_newest_first(void **state)
{
    (void)state;
    static struct listing l;
    uint64_t ids[25];
    for (unsigned n = 0; n < 25; n++) ids[n] = store_test_put(n, n == 3 ? 40000 : 10);
    unsigned expect = 25;
    l.before = UINT64_MAX;
    while (expect > 0) {
        store_test_fiber(run_list, &l);
        assert_int_equal(l.rc, RC_OK);
        assert_int_equal(l.listed, expect < 10 ? expect : 10);
        for (unsigned i = 0; i < l.listed; i++) {
            assert_int_equal(l.metas[i].id, ids[--expect]);
            assert_int_equal(l.metas[i].upstream_ms, expect);
            assert_true(span_equal(l.queries[i], store_test_query(expect)));
        }
        l.before = l.metas[l.listed - 1].id;
    }
    store_test_fiber(run_list, &l);
    assert_int_equal(l.listed, 0);
}

static void a_second_process_is_refused(void **state)
{
    (void)state;
    char path[FILE_PATH_MAX];
    int fd;
    assert_int_equal(file_join(path, folder, "lock"), RC_OK);
    assert_int_equal(file_lock(path, &fd), RC_EXISTS);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest cache[] = {
        TEST(opens_fresh),
        TEST(found_before_and_after_commit),
        TEST(sizes_survive_a_restart),
        TEST(meta_comes_back_whole),
        TEST(expires_by_wall_clock),
        TEST(ttl_zero_is_never_fresh),
        TEST(second_answer_replaces_the_first),
        TEST(another_digest_does_not_read_it),
        TEST(removed_stays_removed),
        TEST(purges_one_tenant),
        TEST(ids_grow_over_restarts),
        TEST(evicts_by_count_and_remembers),
        TEST(evicts_by_bytes),
        TEST(pinned_never_leave),
        TEST(use_outlives_a_restart),
        TEST(lru_order_outlives_a_restart),
        TEST(a_full_queue_refuses_and_counts),
        TEST(too_large_is_refused),
        TEST(rows_that_nobody_finds_are_swept),
        TEST(lists_newest_first),
        TEST(a_second_process_is_refused),
    };
    return cmocka_run_group_tests(cache, group_setup, NULL);
}
