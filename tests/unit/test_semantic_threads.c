/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_semantic_threads.c — workers look up while the lane stores and removes and the writer folds, deletes,
 * joins and opens anew; whoever is named was stored with that very question.
 * Link: -Wl,--wrap=embed_text -Wl,--wrap=embed_current -Wl,--wrap=embed_ready
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "cache/inner.h"
#include "platform/check.h"
#include "platform/log.h"
#include "platform/plan.h"
#include "platform/rc.h"
#include "tests/support/random.h"
#include "tests/support/semantic_test.h"
#include "tests/support/store_test.h"

enum { READERS = 3, TOPICS = 1500, ARENA = 1 << 20, TENANT = 1 };

static const char *folder;
static _Atomic bool ended;
static _Atomic unsigned looked, named;
static struct arena arenas[READERS];
static uint64_t ids[TOPICS];               /* the newest of each topic */
static _Atomic unsigned topic_of[1 << 18]; /* by id: topic + 1; 0: not told yet */

static void look_once(struct arena *arena, uint32_t *seed)
{
    struct semantic_found found;
    char text[64];
    unsigned topic = (unsigned)test_random(seed) % TOPICS;
    struct semantic_question question = {.space = 1 + topic % 2, .tenant = {TENANT, 1, 2, 3}};
    question.text = span_of(text, (size_t)snprintf(text, sizeof text, "topic %u way 1", topic));
    arena_reset(arena, ARENA);
    CHECK(semantic_lookup_now(&question, arena, &found) == RC_OK);
    atomic_fetch_add(&looked, 1);
    if (found.id == 0 || found.score < 0.9f) return;
    CHECK(found.id < sizeof topic_of / sizeof topic_of[0]);
    unsigned known = atomic_load(&topic_of[found.id]);
    CHECK(known == 0 || known == topic + 1);
    atomic_fetch_add(&named, 1);
}

static void *reader(void *arg)
{
    struct arena *arena = arg;
    uint32_t seed = (uint32_t)(arena - arenas) + 1;
    while (!atomic_load(&ended)) look_once(arena, &seed);
    return NULL;
}

static void readers_while_everything_changes(void **state)
{
    (void)state;
    pthread_t threads[READERS];
    struct cache_boot boot;
    uint32_t seed = 99;
    folder = store_test_folder();
    assert_int_equal(cache_open(folder, &boot), RC_OK);
    assert_int_equal(semantic_start(folder), RC_OK);
    for (unsigned i = 0; i < READERS; i++) assert_int_equal(pthread_create(&threads[i], NULL, reader, &arenas[i]), 0);
    for (unsigned turn = 0; turn < 2500; turn++) {
        unsigned topic = (unsigned)test_random(&seed) % TOPICS;
        uint64_t id = ids[topic];
        if (id != 0 && cache_has(id) && turn % 3 != 0) {
            (void)cache_remove(id);
        } else {
            struct semantic_question question = semantic_test_question(topic, 0, 1 + topic % 2, TENANT);
            id = semantic_test_put(&question, topic, 50);
            if (id != 0) atomic_store(&topic_of[id], topic + 1), ids[topic] = id;
        }
        if (turn % 50 == 49) (void)store_test_sync();
        if (turn % 500 == 499) cache_self.codes.kv.broken = true; /* opened anew by the writer */
    }
    unsigned removed;
    assert_int_equal(store_test_purge(NULL, &removed), RC_OK);
    atomic_store(&ended, true);
    for (unsigned i = 0; i < READERS; i++) pthread_join(threads[i], NULL);
    semantic_stop();
    cache_close();
    store_test_remove(folder);
    print_message("          %u lookups, %u named an entry\n", looked, named);
    assert_true(looked > 100);
    assert_true(named > 10);
}

static int group_setup(void **state)
{
    (void)state;
    void *memory;
    struct cache_limits limits = store_test_limits;
    limits.entries_max = 4000;
    log_configure(LOG_ERROR, LOG_TEXT);
    store_test_setup(&limits);
    for (unsigned i = 0; i < READERS; i++) {
        if (plan_take("test readers", 1, ARENA, PLAN_LAZY, 0, NULL, &memory) != RC_OK) return 1;
        arena_init(&arenas[i], memory, ARENA, NULL);
    }
    return semantic_reserve();
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(readers_while_everything_changes)};
    return cmocka_run_group_tests(tests, group_setup, NULL);
}
