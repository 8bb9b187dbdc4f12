/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_writer.c — the ring, when commits are made, what they report, a full map, bytes written.
 *
 * Link: -Wl,--wrap=ids_save
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <time.h>
#include <unistd.h>

#include "platform/clock.h"
#include "platform/log.h"
#include "platform/rc.h"
#include "storage/writer.h"
#include "tests/support/random.h"
#include "tests/support/store_test.h"

static struct writer writer;
static struct entries entries;
static struct home home;
static const char *folder;
static unsigned gone, costs;
static uint64_t last_gone;

int __real_ids_save(struct ids *ids, uint64_t mark);
int __wrap_ids_save(struct ids *ids, uint64_t mark);

static unsigned save_ms; /* a slow disk */

int __wrap_ids_save(struct ids *ids, uint64_t mark)
{
    struct timespec pause = {.tv_nsec = (long)save_ms * 1000000};
    nanosleep(&pause, NULL);
    return __real_ids_save(ids, mark);
}

static void report(const struct writer_event *event)
{
    if (event->fate == FATE_GONE) gone++, last_gone = event->id;
    if (event->fate == FATE_COST) costs++;
}

static int group_setup(void **state)
{
    (void)state;
    log_configure(LOG_ERROR, LOG_TEXT);
    store_test_setup(NULL);
    assert_int_equal(entries_reserve(&entries, 1 << 20), RC_OK);
    return writer_reserve(&writer, 1 << 20);
}

static void start(uint64_t sync_us, uint64_t map_bytes)
{
    struct hash_key key = {1, 2};
    struct writer_limits limits = {.body_max = 1 << 20, .sync_us = sync_us, .map_bytes = map_bytes};
    folder = store_test_folder();
    gone = costs = 0;
    assert_int_equal(home_open(&home, folder), RC_OK);
    assert_int_equal(entries_open(&entries, home.entries, map_bytes, false, &key), RC_OK);
    assert_int_equal(writer_start(&writer, &entries, &home, &limits, report), RC_OK);
}

static int stop(void **state)
{
    (void)state;
    writer_stop(&writer);
    entries_close(&entries);
    home_close(&home);
    store_test_remove(folder);
    return 0;
}

static int put_rc(unsigned n, size_t size, uint64_t *id)
{
    uint32_t cost;
    struct digest digest = store_test_digest(n);
    struct entry_meta meta = store_test_meta(n);
    unsigned char tag[ENTRIES_TAG_SIZE] = {0};
    struct entry_new entry = {
        .digest = &digest, .meta = &meta, .tag = tag, .query = store_test_query(n), .body = store_test_body(n, size)};
    memcpy(tag, &n, sizeof n);
    return writer_put(&writer, &entry, id, &cost);
}

static uint64_t put(unsigned n, size_t size)
{
    uint64_t id;
    assert_int_equal(put_rc(n, size, &id), RC_OK);
    return id;
}

static void run_sync(void *arg)
{
    *(int *)arg = writer_sync(&writer, clock_monotonic_us() + 60 * CLOCK_SECOND);
}

static int sync_all(void)
{
    int rc;
    store_test_fiber(run_sync, &rc);
    return rc;
}

static void wait_for_pending(unsigned most)
{
    for (unsigned i = 0; i < 2000 && writer_pending(&writer) > most; i++) store_test_turns(1);
    assert_true(writer_pending(&writer) <= most);
}

/* ---- the ring */

static void ring_keeps_order_and_bytes(void **state)
{
    (void)state;
    static _Alignas(16) unsigned char memory[4096 + 1024]; /* what is behind the ring stays as it is */
    struct ring ring;
    uint64_t next_in = 0, next_out = 0, position = 0;
    ring_init(&ring, memory, 4096);
    uint32_t seed = 3;
    for (unsigned step = 0; step < 100000; step++) {
        struct ring_record *record;
        if (test_random(&seed) % 2) {
            size_t size = (size_t)test_random(&seed) % 600;
            if (!(record = ring_reserve(&ring, size))) {
                assert_true(ring_used(&ring) > 2000);
                continue;
            }
            record->kind = 1;
            record->id = next_in++;
            memset(ring_payload(record), (int)(record->id & 0xff), size);
            ring_publish(&ring);
        } else if ((record = ring_at(&ring, &position))) {
            unsigned char *payload = ring_payload(record);
            assert_int_equal(record->id, next_out++);
            for (size_t i = 0; i + 32 < record->size; i++) assert_int_equal(payload[i], record->id & 0xff);
            position = ring_after(position, record);
            ring_release(&ring, position);
        }
        assert_true(ring_used(&ring) <= 4096);
    }
    assert_true(next_out > 40000);
    for (size_t i = 4096; i < sizeof memory; i++) assert_int_equal(memory[i], 0);
}

static void ring_takes_what_it_said_fits(void **state)
{
    (void)state;
    static _Alignas(16) unsigned char memory[4096];
    struct ring ring;
    ring_init(&ring, memory, sizeof memory);
    assert_false(ring_fits(&ring, 4096));
    for (unsigned turn = 0; turn < 1000; turn++) {
        size_t size = 16 + turn % 1900;
        assert_true(ring_fits(&ring, size));
        struct ring_record *record = ring_reserve(&ring, size);
        assert_non_null(record);
        record->kind = 1;
        ring_release(&ring, ring_publish(&ring));
    }
}

/* ---- when */

static void commits_at_64(void **state)
{
    (void)state;
    start(3600 * CLOCK_SECOND, 64 << 20);
    uint64_t before = writer_commits();
    for (unsigned n = 0; n < COMMIT_ENTRIES - 1; n++) put(n, 100);
    usleep(30000);
    assert_int_equal(writer_pending(&writer), COMMIT_ENTRIES - 1);
    put(100, 100);
    wait_for_pending(0);
    assert_int_equal(writer_commits(), before + 1);
}

static void commits_at_256_kib(void **state)
{
    (void)state;
    start(3600 * CLOCK_SECOND, 64 << 20);
    for (unsigned n = 0; n < 3; n++) put(n, 80000);
    usleep(30000);
    assert_int_equal(writer_pending(&writer), 3);
    put(4, 80000);
    wait_for_pending(0);
    assert_int_equal(sync_all(), RC_OK);
    store_test_turns(2);
    assert_int_equal(costs, 4); /* compressed: less than was thought */
}

static void commits_after_the_interval(void **state)
{
    (void)state;
    start(50000, 64 << 20);
    uint64_t began = clock_monotonic_us();
    put(1, 100);
    wait_for_pending(0);
    assert_in_range(clock_monotonic_us() - began, 45000, 3000000);
}

static void a_shorter_interval_counts_at_once(void **state)
{
    (void)state;
    start(3600 * CLOCK_SECOND, 64 << 20);
    put(1, 100);
    usleep(20000);
    assert_int_equal(writer_pending(&writer), 1);
    writer_sync_interval(&writer, 1000);
    wait_for_pending(0);
}

static void pending_ones_are_read_from_the_queue(void **state)
{
    (void)state;
    struct entry_texts texts;
    start(3600 * CLOCK_SECOND, 64 << 20);
    uint64_t ids[5];
    for (unsigned n = 0; n < 5; n++) ids[n] = put(n, 1000 * n);
    for (unsigned n = 0; n < 5; n++) {
        struct digest digest = store_test_digest(n), other = store_test_digest(n + 1);
        arena_reset(&store_test_arena, 0);
        assert_int_equal(writer_read_pending(&writer, ids[n], &digest, &store_test_arena, &texts), RC_OK);
        assert_true(span_equal(texts.body, store_test_body(n, 1000 * n)));
        assert_int_equal(texts.meta.id, ids[n]);
        assert_int_equal(writer_read_pending(&writer, ids[n], &other, &store_test_arena, &texts), RC_NOT_FOUND);
    }
    struct digest digest = store_test_digest(4);
    assert_int_equal(sync_all(), RC_OK);
    assert_int_equal(writer_read_pending(&writer, ids[4], &digest, &store_test_arena, &texts), RC_NOT_FOUND);
    assert_int_equal(entries_read(&entries, ids[4], &digest, &store_test_arena, &texts), RC_OK);
}

static void stopping_commits_what_waits(void **state)
{
    (void)state;
    struct entry_texts texts;
    struct digest digest = store_test_digest(9);
    start(3600 * CLOCK_SECOND, 64 << 20);
    uint64_t id = put(9, 100);
    writer_stop(&writer);
    assert_int_equal(entries_read(&entries, id, &digest, &store_test_arena, &texts), RC_OK);
}

/* What comes while the first block of ids is being made durable is kept. */
static void a_slow_disk_costs_no_first_answers(void **state)
{
    (void)state;
    save_ms = 250;
    start(5000000, 64 << 20);
    assert_false(writer_is_settled(&writer));
    uint64_t first = put(1, 100), second = put(2, 100);
    assert_true(writer_is_settled(&writer));
    save_ms = 0;
    assert_int_equal(second, first + 1);
    assert_int_equal(sync_all(), RC_OK);
    assert_int_equal(gone, 0);
}

static void ids_go_on_past_their_block(void **state)
{
    (void)state;
    start(3600 * CLOCK_SECOND, 64 << 20);
    uint64_t first = put(0, 10);
    writer.id_next = first + IDS_BLOCK - 3; /* as after many stores */
    for (unsigned n = 1; n < 3; n++) put(n, 10);
    assert_int_equal(sync_all(), RC_OK);
    for (unsigned n = 3; n < 100; n++) put(n, 10);
    assert_true(atomic_load(&writer.id_limit) > writer.id_next);
    assert_int_equal(sync_all(), RC_OK);
}

/* A map of 1 MiB takes new entries for ever: the oldest leave. */
static void a_full_map_lets_the_oldest_go(void **state)
{
    (void)state;
    struct entry_texts texts;
    uint64_t id = 0;
    start(3600 * CLOCK_SECOND, 1 << 20);
    for (unsigned n = 0; n < 1500; n++) {
        id = put(n, 1500);
        if (n % 16 == 15) (void)sync_all();
    }
    assert_int_equal(sync_all(), RC_OK);
    store_test_turns(3);
    assert_true(gone > 500);
    struct digest newest = store_test_digest(1499);
    assert_int_equal(entries_read(&entries, id, &newest, &store_test_arena, &texts), RC_OK);
    assert_true(last_gone < id);
    assert_int_equal(writer_lost(), 0);
}

/* The budget of flash: a question of 0.3 KB and an answer of 0.9 KB, in a store that has some thousand already. */
static void bytes_written_stay_in_their_budget(void **state)
{
    (void)state;
    start(3600 * CLOCK_SECOND, 256 << 20);
    if (access("/proc/thread-self/io", R_OK) != 0) {
        print_message("          skipped: this kernel does not count bytes written\n");
        skip();
    }
    for (unsigned n = 0; n < 6400; n++) {
        put(n, 900 + 260);
        if (n % 64 == 63) assert_int_equal(sync_all(), RC_OK);
    }
    uint64_t start_bytes = writer_bytes_written();
    for (unsigned n = 0; n < 640; n++) {
        put(n, 900 + 260);
        if (n % 32 == 31) assert_int_equal(sync_all(), RC_OK);
    }
    uint64_t together = (writer_bytes_written() - start_bytes) / 640;
    start_bytes = writer_bytes_written();
    for (unsigned n = 0; n < 40; n++) {
        put(n, 900 + 260);
        assert_int_equal(sync_all(), RC_OK);
    }
    uint64_t alone = (writer_bytes_written() - start_bytes) / 40;
    print_message("          %llu bytes an entry at 32 a commit, %llu alone\n", (unsigned long long)together,
                  (unsigned long long)alone);
    assert_true(together > 0 && together <= 16384);
    assert_true(alone <= 81920);
}

#define TEST(name) cmocka_unit_test_teardown(name, stop)

int main(void)
{
    const struct CMUnitTest writer_tests[] = {
        cmocka_unit_test(ring_keeps_order_and_bytes),
        cmocka_unit_test(ring_takes_what_it_said_fits),
        TEST(commits_at_64),
        TEST(commits_at_256_kib),
        TEST(commits_after_the_interval),
        TEST(a_shorter_interval_counts_at_once),
        TEST(pending_ones_are_read_from_the_queue),
        TEST(stopping_commits_what_waits),
        TEST(a_slow_disk_costs_no_first_answers),
        TEST(ids_go_on_past_their_block),
        TEST(a_full_map_lets_the_oldest_go),
        TEST(bytes_written_stay_in_their_budget),
    };
    return cmocka_run_group_tests_name("writer", writer_tests, group_setup, NULL);
}
