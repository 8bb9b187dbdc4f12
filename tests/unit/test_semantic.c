/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_semantic.c — the lookup: at once after a store, after its commit, after a restart; whose entries count.
 * Link: -Wl,--wrap=embed_text -Wl,--wrap=embed_current -Wl,--wrap=embed_ready
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sched.h>
#include <unistd.h>

#include "cache/inner.h"
#include "platform/fiber.h"
#include "platform/offload.h"
#include "platform/rc.h"
#include "tests/support/semantic_test.h"
#include "tests/support/store_test.h"

static const char *folder;
static struct cache_boot boot;

static int group_setup(void **state)
{
    (void)state;
    store_test_setup(&store_test_limits);
    return semantic_reserve();
}

static void open_all(void)
{
    assert_int_equal(cache_open(folder, &boot), RC_OK);
    assert_string_equal(boot.message, "");
    assert_int_equal(semantic_start(folder), RC_OK);
}

static void close_all(void)
{
    semantic_stop();
    cache_close();
}

static int setup(void **state)
{
    (void)state;
    folder = store_test_folder();
    open_all();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    close_all();
    store_test_remove(folder);
    return 0;
}

static struct semantic_found found;

static uint64_t nearest(unsigned topic, unsigned way, uint64_t space, uint8_t tenant)
{
    struct semantic_question question = semantic_test_question(topic, way, space, tenant);
    assert_int_equal(semantic_test_lookup(&question, &found), RC_OK);
    return found.id;
}

static uint64_t put(unsigned topic, unsigned way, uint64_t space, uint8_t tenant)
{
    struct semantic_question question = semantic_test_question(topic, way, space, tenant);
    uint64_t id = semantic_test_put(&question, topic * 100 + way, 500);
    assert_int_not_equal(id, 0);
    return id;
}

static void found_at_once_after_commit_and_after_restart(void **state)
{
    (void)state;
    assert_int_equal(nearest(1, 0, 7, 1), 0);
    assert_int_equal(found.scanned, 0);
    uint64_t one = put(1, 0, 7, 1), two = put(2, 0, 7, 1);
    assert_int_equal(nearest(1, 2, 7, 1), one);
    assert_true(found.score > 0.98f && found.score < 1.001f);
    assert_int_equal(found.scanned, 2);
    assert_int_equal(nearest(2, 0, 7, 1), two);
    assert_true(found.score > 0.9999f);
    assert_int_equal(store_test_sync(), RC_OK);
    assert_int_equal(cache_self.pending.count, 0);
    assert_int_equal(writer_codes_stored(), 2);
    assert_int_equal(nearest(1, 2, 7, 1), one);
    assert_int_equal(found.scanned, 2);
    close_all();
    open_all();
    assert_int_equal(nearest(1, 2, 7, 1), one);
    assert_int_equal(nearest(2, 1, 7, 1), two);
}

static void other_spaces_and_tenants_never_meet(void **state)
{
    (void)state;
    uint64_t one = put(1, 0, 7, 1);
    for (unsigned turn = 0; turn < 2; turn++) {
        assert_int_equal(nearest(1, 0, 8, 1), 0);
        assert_int_equal(nearest(1, 0, 7, 2), 0); /* another tenant, by mistake in the same space */
        assert_int_equal(nearest(1, 0, 7, 1), one);
        assert_int_equal(store_test_sync(), RC_OK);
    }
}

static void refresh(void *arg)
{
    *(int *)arg = semantic_refresh();
}

static void refresh_now(void)
{
    int rc;
    store_test_fiber(refresh, &rc);
    assert_int_equal(rc, RC_OK);
    assert_int_equal(store_test_sync(), RC_OK);
}

static struct semantic_stats stats(void)
{
    struct semantic_stats s;
    semantic_stats(&s);
    return s;
}

static void what_left_is_passed_over(void **state)
{
    (void)state;
    for (unsigned committed = 0; committed < 2; committed++) {
        uint64_t near = put(1, 0, 7, 1), far = put(1, 9, 7, 1);
        if (committed) assert_int_equal(store_test_sync(), RC_OK);
        assert_int_equal(nearest(1, 1, 7, 1), near);
        assert_int_equal(cache_remove(near), RC_OK);
        assert_int_equal(nearest(1, 1, 7, 1), far); /* on its way out, or not committed */
        assert_int_equal(store_test_sync(), RC_OK);
        assert_int_equal(nearest(1, 1, 7, 1), far);
        assert_int_equal(cache_remove(far), RC_OK);
        assert_int_equal(nearest(1, 1, 7, 1), 0);
        assert_int_equal(store_test_sync(), RC_OK);
        assert_int_equal(nearest(1, 1, 7, 1), 0);
        assert_int_equal(found.scanned, 0);
    }
}

/* Hundreds of tombstones nearer than the one that lives. */
static void tombstones_do_not_crowd_out_the_living(void **state)
{
    (void)state;
    uint64_t ids[130];
    for (unsigned i = 0; i < 130; i++) {
        struct semantic_question question = semantic_test_question(1, i % 3, 7, 1);
        ids[i] = semantic_test_put(&question, 1000 + i, 100);
        assert_int_not_equal(ids[i], 0);
    }
    assert_int_equal(store_test_sync(), RC_OK);
    uint64_t living = put(1, 12, 7, 1);
    assert_int_equal(store_test_sync(), RC_OK);
    for (unsigned i = 0; i < 120; i++) assert_int_equal(cache_remove(ids[i]), RC_OK);
    for (unsigned i = 120; i < 130; i++) assert_int_equal(cache_remove(ids[i]), RC_OK);
    assert_int_equal(store_test_sync(), RC_OK);
    assert_int_equal(nearest(1, 1, 7, 1), living);
}

static void what_was_not_embedded_is_made_later(void **state)
{
    (void)state;
    semantic_test_rc = RC_FULL;
    uint64_t one = put(1, 0, 7, 1);
    semantic_test_rc = RC_OK;
    uint64_t two = put(2, 0, 7, 1);
    assert_int_equal(store_test_sync(), RC_OK);
    assert_int_equal(nearest(1, 0, 7, 1), two);
    assert_true(found.score < 0.5f);
    uint64_t before = stats().reembedded;
    refresh_now();
    assert_int_equal(stats().reembedded, before + 1);
    assert_int_equal(nearest(1, 0, 7, 1), one);
    assert_true(found.score > 0.9999f);
    refresh_now();
    assert_int_equal(stats().reembedded, before + 1);
    assert_int_equal(stats().missing, 0);
    assert_int_equal(stats().codes, 2);
    assert_int_equal(stats().namespaces, 1);
}

static bool is_found(unsigned n)
{
    struct digest digest = store_test_digest(n);
    struct cache_found exact;
    bool evicted;
    return cache_find(&digest, &exact, &evicted) == RC_OK;
}

static void another_embedder_makes_all_anew(void **state)
{
    (void)state;
    for (unsigned topic = 1; topic <= 20; topic++) put(topic, 0, 7 + topic % 3, 1);
    assert_int_equal(store_test_sync(), RC_OK);
    close_all();
    semantic_test_embedder.tag_hash++;
    semantic_test_embedder.dim = 768;
    open_all();
    assert_int_equal(store_test_sync(), RC_OK);
    assert_int_equal(nearest(5, 0, 9, 1), 0);
    for (unsigned topic = 1; topic <= 20; topic++) assert_true(is_found(topic * 100));
    uint64_t before = stats().reembedded;
    refresh_now();
    assert_int_equal(stats().reembedded, before + 20);
    assert_int_not_equal(nearest(5, 0, 9, 1), 0);
    assert_true(found.score > 0.9999f);
    assert_int_equal(found.vector.dim, 768);
    semantic_test_embedder.tag_hash--;
    semantic_test_embedder.dim = 384;
}

static void lost_codes_are_made_again(void **state)
{
    (void)state;
    char path[FILE_PATH_MAX];
    for (unsigned topic = 1; topic <= 10; topic++) put(topic, 0, 7, 1);
    assert_int_equal(store_test_sync(), RC_OK);
    close_all();
    assert_int_equal(file_join(path, folder, "codes/data.mdb"), RC_OK);
    assert_int_equal(unlink(path), 0);
    open_all();
    assert_int_equal(nearest(5, 0, 7, 1), 0);
    refresh_now();
    assert_int_not_equal(nearest(5, 0, 7, 1), 0);
    assert_int_equal(stats().codes, 10);
}

/* Puts a code into the question's namespace that names somebody else's entry. */
static void lie(unsigned topic, uint64_t space, uint64_t id, uint32_t random)
{
    struct kv_txn txn;
    struct semantic_question question = semantic_test_question(topic, 0, space, 1);
    assert_int_equal(semantic_test_lookup(&question, &found), RC_OK);
    assert_int_equal(codes_write_begin(&cache_self.codes, &txn), RC_OK);
    assert_int_equal(codes_put(&cache_self.codes, &txn, id, random, &found.vector), RC_OK);
    assert_int_equal(kv_commit(&txn), RC_OK);
}

static uint32_t random_of(uint64_t id)
{
    struct entry_question entry;
    assert_int_equal(entries_question(&cache_self.entries, id, &store_test_arena, &entry), RC_OK);
    return entry.random;
}

/* Two namespaces that share blocks by a collision, an id that was given twice, an entry that left: none is named. */
static void who_does_not_agree_does_not_count(void **state)
{
    (void)state;
    uint64_t right = put(1, 0, 7, 1), other_space = put(2, 0, 8, 1), other_tenant = put(3, 0, 7, 2);
    assert_int_equal(store_test_sync(), RC_OK);
    lie(50, 7, right, random_of(right) + 1);
    lie(51, 7, other_space, random_of(other_space));
    lie(52, 7, other_tenant, random_of(other_tenant));
    lie(53, 7, 999999, 1);
    for (unsigned topic = 50; topic <= 53; topic++) {
        assert_int_equal(nearest(topic, 0, 7, 1), right);
        assert_true(found.score < 0.5f); /* by its own code, which is far */
    }
    assert_int_equal(nearest(1, 1, 7, 1), right);
    assert_true(found.score > 0.9f);
    lie(54, 7, right, random_of(right)); /* the same lie without a fault in it is believed */
    assert_int_equal(nearest(54, 0, 7, 1), right);
    assert_true(found.score > 0.9f);
}

static void codes_go_with_damaged_entries(void **state)
{
    (void)state;
    char path[FILE_PATH_MAX];
    static char noise[16384];
    for (unsigned topic = 1; topic <= 10; topic++) put(topic, 0, 7, 1);
    assert_int_equal(store_test_sync(), RC_OK);
    close_all();
    assert_int_equal(file_join(path, folder, "entries/data.mdb"), RC_OK);
    assert_int_equal(file_replace(path, noise, sizeof noise, 0600), RC_OK);
    assert_int_equal(cache_open(folder, &boot), RC_OK);
    assert_true(boot.moved_aside);
    assert_int_equal(semantic_start(folder), RC_OK);
    assert_int_equal(nearest(5, 0, 7, 1), 0);
    assert_int_equal(found.scanned, 0);
    uint64_t id = put(5, 0, 7, 1);
    assert_int_equal(nearest(5, 0, 7, 1), id);
}

static void purge(void *arg)
{
    unsigned removed;
    assert_int_equal(semantic_erase(arg, &removed), RC_OK);
}

static void erase_takes_codes_and_secret(void **state)
{
    (void)state;
    uint8_t tenant[ENTRY_TENANT_SIZE] = {1, 1, 2, 3};
    unsigned removed;
    put(1, 0, 7, 1);
    uint64_t other = put(2, 0, 8, 2);
    assert_int_equal(store_test_sync(), RC_OK);
    put(3, 0, 7, 1);
    assert_int_equal(nearest(1, 0, 7, 1) != 0, true);
    uint64_t code[4];
    memcpy(code, found.vector.code, sizeof code);
    assert_int_equal(stats().tenants, 2);
    store_test_fiber(purge, tenant);
    assert_int_equal(stats().tenants, 1);
    assert_int_equal(nearest(1, 0, 7, 1), 0);
    assert_int_equal(found.scanned, 0);
    assert_memory_not_equal(code, found.vector.code, sizeof code); /* another rotation */
    assert_int_equal(nearest(2, 0, 8, 2), other);
    put(4, 0, 7, 1);
    assert_int_equal(store_test_purge(NULL, &removed), RC_OK);
    assert_int_equal(removed, 2);
    assert_int_equal(nearest(2, 0, 8, 2), 0);
    assert_int_equal(found.scanned, 0);
    put(5, 0, 7, 1);
    assert_int_equal(store_test_sync(), RC_OK);
    assert_int_not_equal(nearest(5, 0, 7, 1), 0);
    struct codes_stats codes;
    assert_int_equal(codes_stats(&cache_self.codes, &codes), RC_OK);
    assert_int_equal(codes.rows, 3);
}

/* Entries of all tenants, coded with the box's rotation; others do not see them. */
static void the_box_shares(void **state)
{
    (void)state;
    struct semantic_question question = semantic_test_question(1, 0, 7, 1);
    question.shared = true;
    uint64_t one = semantic_test_put(&question, 100, 500);
    for (unsigned turn = 0; turn < 2; turn++) {
        question = semantic_test_question(1, 1, 7, 2);
        question.shared = true;
        assert_int_equal(semantic_test_lookup(&question, &found), RC_OK);
        assert_int_equal(found.id, one);
        assert_int_equal(nearest(1, 0, 7, 1), 0);
        assert_int_equal(store_test_sync(), RC_OK);
    }
    close_all();
    char path[FILE_PATH_MAX];
    assert_int_equal(file_join(path, folder, "codes/data.mdb"), RC_OK);
    assert_int_equal(unlink(path), 0);
    open_all();
    refresh_now();
    assert_int_equal(semantic_test_lookup(&question, &found), RC_OK);
    assert_int_equal(found.id, one);
}

static void the_nearest_codes(void **state)
{
    (void)state;
    struct semantic_near near[8];
    unsigned count;
    uint32_t scanned;
    for (unsigned way = 0; way < 20; way++) put(1, way, 7, 1);
    for (unsigned turn = 0; turn < 2; turn++) {
        nearest(1, 0, 7, 1);
        assert_int_equal(
            semantic_nearest(found.vector.space_tag, found.vector.code, 8, &store_test_arena, near, &count, &scanned),
            RC_OK);
        assert_int_equal(count, 8);
        assert_int_equal(scanned, 20);
        assert_int_equal(near[0].id, found.id);
        assert_int_equal(near[0].distance, 0);
        for (unsigned i = 1; i < count; i++) assert_true(near[i].distance >= near[i - 1].distance);
        assert_int_equal(near[0].number == UINT32_MAX, turn == 0);
        assert_int_equal(store_test_sync(), RC_OK);
    }
}

struct next {
    const struct semantic_question *question;
    int rc;
};

static void go_on(void *arg)
{
    struct next *next = arg;
    next->rc = semantic_lookup_next(next->question, &store_test_arena, &found);
}

static int next_of(const struct semantic_question *question)
{
    struct next next = {.question = question};
    store_test_fiber(go_on, &next);
    return next.rc;
}

static void the_next_best(void **state)
{
    uint64_t ids[6];
    (void)state;
    for (unsigned way = 0; way < 6; way++) ids[way] = put(1, way * 3, 7, 1);
    for (unsigned turn = 0; turn < 2; turn++) {
        struct semantic_question question = semantic_test_question(1, 0, 7, 1);
        float score = 2;
        assert_int_equal(semantic_test_lookup(&question, &found), RC_OK);
        const int8_t *vector = found.vector.vector;
        for (unsigned i = 0; i <= SEMANTIC_NEXT_MAX; i++) {
            assert_int_equal(found.id, ids[i]);
            assert_true(found.score < score);
            score = found.score;
            assert_int_equal(next_of(&question), i < SEMANTIC_NEXT_MAX ? RC_OK : RC_NOT_FOUND);
        }
        assert_ptr_equal(found.vector.vector, vector); /* not embedded again */
        assert_int_equal(found.id, ids[SEMANTIC_NEXT_MAX]);
        assert_int_equal(store_test_sync(), RC_OK);
    }
    struct semantic_question alone = semantic_test_question(2, 0, 8, 1);
    uint64_t one = put(2, 0, 8, 1);
    assert_int_equal(semantic_test_lookup(&alone, &found), RC_OK);
    assert_int_equal(found.id, one);
    assert_int_equal(next_of(&alone), RC_NOT_FOUND);
    assert_int_equal(found.id, 0);
}

static void why_there_is_no_answer(void **state)
{
    (void)state;
    struct semantic_question question = semantic_test_question(1, 0, 7, 1);
    semantic_test_rc = RC_TOO_LARGE;
    assert_int_equal(semantic_test_lookup(&question, &found), RC_TOO_LARGE);
    assert_int_equal(found.vector.dim, 0);
    semantic_test_rc = RC_OK;
    semantic_test_embedder.kind = EMBED_NONE;
    assert_int_equal(semantic_test_lookup(&question, &found), RC_EMPTY);
    semantic_test_embedder.kind = EMBED_NGRAM;
}

struct gate {
    atomic_bool open;
    atomic_uint inside, ended;
};

static void wait_at_gate(void *arg)
{
    struct gate *gate = arg;
    atomic_fetch_add(&gate->inside, 1);
    while (!atomic_load(&gate->open)) sched_yield();
}

static void hold_worker(void *arg)
{
    struct gate *gate = arg;
    assert_int_equal(offload(wait_at_gate, gate), RC_OK);
    atomic_fetch_add(&gate->ended, 1);
}

/* The one worker is held, its queue is full: the answer comes at once, and everything works once there is room. */
static void a_full_queue_is_not_waited_for(void **state)
{
    enum { QUEUE = 16 };
    static struct fiber_pool fibers;
    struct gate gate = {0};
    struct semantic_question question = semantic_test_question(1, 0, 7, 1);
    (void)state;
    uint64_t one = put(1, 0, 7, 1);
    assert_int_equal(store_test_sync(), RC_OK);
    assert_int_equal(fiber_pool_reserve(&fibers, "held", QUEUE + 1, 64 << 10, NULL), RC_OK);
    for (unsigned i = 0; i <= QUEUE; i++) {
        assert_int_equal(fiber_start(&fibers, hold_worker, &gate), RC_OK);
        while (i == 0 && atomic_load(&gate.inside) == 0) sched_yield();
    }
    assert_int_equal(offload_waiting(), QUEUE);
    assert_int_equal(semantic_test_lookup(&question, &found), RC_FULL);
    assert_int_equal(atomic_load(&gate.inside), 1); /* nothing has moved meanwhile */
    assert_int_equal(offload_waiting(), QUEUE);
    atomic_store(&gate.open, true);
    while (atomic_load(&gate.ended) <= QUEUE) store_test_turns(1);
    assert_int_equal(semantic_test_lookup(&question, &found), RC_OK);
    assert_int_equal(found.id, one);
}

/* More stores than RAM holds of codes: those above wait for background work, none is lost. */
static void more_than_can_wait(void **state)
{
    (void)state;
    enum { MANY = 900 };
    uint64_t uncoded = cache_self.writer.uncoded;
    unsigned stored = 0;
    struct semantic_question question = semantic_test_question(1, 0, 7, 1);
    assert_int_equal(semantic_test_lookup(&question, &found), RC_OK);
    for (unsigned n = 0; n < MANY; n++) {
        uint64_t id;
        struct digest digest = store_test_digest(n);
        struct entry_meta meta = store_test_meta(n);
        memcpy(meta.tenant, question.tenant, sizeof meta.tenant);
        stored += cache_put(&digest, &meta, question.text, store_test_body(n, 10), &found.vector, &id) == RC_OK;
    }
    assert_int_equal(stored, MANY);
    assert_int_equal(store_test_sync(), RC_OK);
    refresh_now();
    assert_int_equal(stats().codes, MANY);
    print_message("          %u of %u codes found no room at first\n", (unsigned)(cache_self.writer.uncoded - uncoded),
                  MANY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(found_at_once_after_commit_and_after_restart, setup, teardown),
        cmocka_unit_test_setup_teardown(other_spaces_and_tenants_never_meet, setup, teardown),
        cmocka_unit_test_setup_teardown(what_left_is_passed_over, setup, teardown),
        cmocka_unit_test_setup_teardown(tombstones_do_not_crowd_out_the_living, setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_not_embedded_is_made_later, setup, teardown),
        cmocka_unit_test_setup_teardown(another_embedder_makes_all_anew, setup, teardown),
        cmocka_unit_test_setup_teardown(lost_codes_are_made_again, setup, teardown),
        cmocka_unit_test_setup_teardown(who_does_not_agree_does_not_count, setup, teardown),
        cmocka_unit_test_setup_teardown(codes_go_with_damaged_entries, setup, teardown),
        cmocka_unit_test_setup_teardown(erase_takes_codes_and_secret, setup, teardown),
        cmocka_unit_test_setup_teardown(the_box_shares, setup, teardown),
        cmocka_unit_test_setup_teardown(the_nearest_codes, setup, teardown),
        cmocka_unit_test_setup_teardown(the_next_best, setup, teardown),
        cmocka_unit_test_setup_teardown(why_there_is_no_answer, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_queue_is_not_waited_for, setup, teardown),
        cmocka_unit_test_setup_teardown(more_than_can_wait, setup, teardown),
    };
    return cmocka_run_group_tests(tests, group_setup, NULL);
}
