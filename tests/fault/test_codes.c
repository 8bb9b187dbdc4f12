/* SPDX-License-Identifier: Apache-2.0 */
/* tests/fault/test_codes.c — two environments, one truth: either is put back alone, the process is killed at any commit;
 * no wrong entry is ever named, and background work makes both agree again.
 * Link: -Wl,--wrap=embed_text -Wl,--wrap=embed_current -Wl,--wrap=embed_ready -Wl,--wrap=kv_commit
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cache/inner.h"
#include "cache/semantic_inner.h"
#include "platform/file.h"
#include "platform/log.h"
#include "platform/rc.h"
#include "tests/support/semantic_test.h"
#include "tests/support/store_test.h"

enum { SPACES = 3, TOPICS_MAX = 600, BODY = 300, TENANT = 1, KILLS_MAX = 200 };

static const char *program, *folder;
static struct semantic_found found;

/* ---- kill at the N-th commit, before or after it */

static int kill_at, kill_after;

int __real_kv_commit(struct kv_txn *txn);
int __wrap_kv_commit(struct kv_txn *txn);
int __wrap_kv_commit(struct kv_txn *txn)
{
    bool now = kill_at > 0 && --kill_at == 0;
    if (now && !kill_after) raise(SIGKILL);
    int rc = __real_kv_commit(txn);
    if (now) raise(SIGKILL);
    return rc;
}

/* ---- examples: topic t is number t, in space 1 + t modulo SPACES */

static struct semantic_question question_of(unsigned topic, unsigned way)
{
    return semantic_test_question(topic, way, 1 + topic % SPACES, TENANT);
}

static void put(unsigned topic)
{
    struct semantic_question question = question_of(topic, 0);
    assert_int_not_equal(semantic_test_put(&question, topic, BODY), 0);
}

static uint64_t id_of(unsigned topic)
{
    struct digest digest = store_test_digest(topic);
    struct cache_found exact;
    bool evicted;
    return cache_find(&digest, &exact, &evicted) == RC_OK ? exact.id : 0;
}

static void remove_one(unsigned topic)
{
    if (id_of(topic)) assert_int_equal(cache_remove(id_of(topic)), RC_OK);
}

static void open_all(void)
{
    struct cache_boot boot;
    assert_int_equal(cache_open(folder, &boot), RC_OK);
    assert_string_equal(boot.message, "");
    assert_int_equal(semantic_start(folder), RC_OK);
}

static void close_all(void)
{
    semantic_stop();
    cache_close();
}

/* Whoever is named has the very question, or another one's score. Returns how many were found by their own words. */
static unsigned check_answers(unsigned topics)
{
    unsigned own = 0;
    for (unsigned topic = 1; topic <= topics; topic++) {
        struct semantic_question question = question_of(topic, 1);
        assert_int_equal(semantic_test_lookup(&question, &found), RC_OK);
        if (found.id == 0 || found.score < 0.9f) continue;
        assert_int_equal(found.id, id_of(topic));
        own++;
    }
    return own;
}

static void refresh(void *arg)
{
    *(int *)arg = semantic_refresh();
}

static void refresh_now(void)
{
    int rc;
    uint64_t passes;
    do { /* on a slow machine the pass that follows opening runs now: what it made is committed before the next one */
        while (semantic_background.runs) store_test_turns(1);
        passes = semantic_background.passes;
        assert_int_equal(store_test_sync(), RC_OK);
    } while (semantic_background.runs || passes != semantic_background.passes);
    store_test_fiber(refresh, &rc);
    assert_int_equal(rc, RC_OK);
    assert_int_equal(store_test_sync(), RC_OK);
}

/* Every entry has one code, every code its entry. */
static void check_agree(unsigned topics)
{
    static uint64_t ids[CODES_BLOCK];
    struct codes_census census = {0};
    unsigned codes = 0, entries = 0;
    refresh_now();
    while (codes_census(&cache_self.codes, &census, ids) == RC_OK) {
        codes += census.count;
        for (unsigned i = 0; i < census.count; i++) assert_true(cache_has(ids[i]));
        if (census.next == 0) break;
    }
    for (unsigned topic = 1; topic <= topics; topic++) entries += id_of(topic) != 0;
    assert_int_equal(codes, entries);
    assert_int_equal(check_answers(topics), entries);
}

/* ---- put back alone */

static void keep(const char *name, const char *as)
{
    char from[FILE_PATH_MAX], to[FILE_PATH_MAX];
    assert_int_equal(file_join(from, folder, name), RC_OK);
    assert_int_equal(file_join(to, folder, as), RC_OK);
    store_test_copy(from, to);
}

static void change_much(unsigned from)
{
    for (unsigned topic = 1; topic <= 200; topic += 3) remove_one(topic);
    assert_int_equal(store_test_sync(), RC_OK);
    for (unsigned topic = from; topic < from + 150; topic++) put(topic);
    assert_int_equal(store_test_sync(), RC_OK);
    for (unsigned topic = from; topic < from + 150; topic += 2) remove_one(topic);
    assert_int_equal(store_test_sync(), RC_OK);
}

static void put_back_alone(const char *name, bool forget_ids)
{
    char path[FILE_PATH_MAX];
    folder = store_test_folder();
    open_all();
    for (unsigned topic = 1; topic <= 200; topic++) put(topic);
    assert_int_equal(store_test_sync(), RC_OK);
    close_all();
    keep(name, "kept");
    open_all();
    change_much(201);
    close_all();
    keep("kept", name);
    assert_int_equal(file_join(path, folder, "ids"), RC_OK);
    if (forget_ids) assert_int_equal(unlink(path), 0);
    open_all();
    check_answers(400);
    for (unsigned topic = 401; topic <= 500; topic++) put(topic); /* ids may be given twice now */
    check_answers(500);
    assert_int_equal(store_test_sync(), RC_OK);
    check_answers(500);
    check_agree(500);
    close_all();
    store_test_remove(folder);
}

static void codes_are_put_back(void **state)
{
    (void)state;
    put_back_alone("codes", false);
}

static void entries_are_put_back(void **state)
{
    (void)state;
    put_back_alone("entries", false);
}

/* With the mark of ids: old codes name new entries' ids; only the random bits tell. */
static void entries_are_put_back_and_ids_forgotten(void **state)
{
    (void)state;
    put_back_alone("entries", true);
}

/* ---- killed */

static const struct cache_limits limits = {.entries_max = TOPICS_MAX + 10,
                                           .bytes_max = 64 << 20,
                                           .hot_bytes = 1 << 20,
                                           .body_max = 1 << 20,
                                           .sync_us = 5000000};

/* Each round stores, syncs, removes, syncs; told to the parent after each sync. */
static int child(void)
{
    store_test_setup(&limits);
    if (semantic_reserve() != RC_OK) return 3;
    int at = kill_at;
    kill_at = 0;
    struct cache_boot boot;
    if (cache_open(folder, &boot) != RC_OK || semantic_start(folder) != RC_OK) return 4;
    kill_at = at;
    for (unsigned round = 0; round < 6; round++) {
        for (unsigned topic = 1 + round * 20; topic <= 20 + round * 20; topic++) put(topic);
        for (unsigned topic = 1; topic <= round * 20; topic += 7 + round) remove_one(topic);
        if (store_test_sync() != RC_OK) return 5;
        unsigned done = 20 + round * 20;
        if (write(STDOUT_FILENO, &done, sizeof done) != sizeof done) return 6;
    }
    close_all();
    return 0;
}

static bool run_killed(int at, int after, unsigned *committed)
{
    int ends[2], status;
    char first[16], second[16];
    snprintf(first, sizeof first, "%d", at);
    snprintf(second, sizeof second, "%d", after);
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(ends[1], STDOUT_FILENO);
        close(ends[0]);
        close(ends[1]);
        execl(program, program, "child", folder, first, second, (char *)NULL);
        _exit(9);
    }
    close(ends[1]);
    *committed = 0;
    while (read(ends[0], committed, sizeof *committed) == sizeof *committed) continue;
    close(ends[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFSIGNALED(status)) return true;
    assert_int_equal(WEXITSTATUS(status), 0);
    return false;
}

static void killed_at_every_commit(void **state)
{
    (void)state;
    unsigned kills = 0;
    for (int after = 0; after < 2; after++)
        for (int at = 1; at < KILLS_MAX; at++) {
            unsigned committed;
            folder = store_test_folder();
            bool killed = run_killed(at, after, &committed);
            open_all();
            check_answers(120);
            check_agree(120);
            if (committed > 0) assert_int_not_equal(id_of(committed), 0);
            close_all();
            store_test_remove(folder);
            kills += killed;
            if (!killed) break;
        }
    print_message("          killed at %u places\n", kills);
    assert_true(kills >= 20);
}

static int group_setup(void **state)
{
    (void)state;
    log_configure(LOG_ERROR, LOG_TEXT);
    store_test_setup(&limits);
    return semantic_reserve();
}

int main(int argc, char **argv)
{
    program = argv[0];
    if (argc == 5 && strcmp(argv[1], "child") == 0) {
        folder = argv[2];
        kill_at = atoi(argv[3]);
        kill_after = atoi(argv[4]);
        return child();
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codes_are_put_back),
        cmocka_unit_test(entries_are_put_back),
        cmocka_unit_test(entries_are_put_back_and_ids_forgotten),
        cmocka_unit_test(killed_at_every_commit),
    };
    return cmocka_run_group_tests_name("codes", tests, group_setup, NULL);
}
