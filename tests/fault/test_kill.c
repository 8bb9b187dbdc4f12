/* SPDX-License-Identifier: Apache-2.0 */
/* tests/fault/test_kill.c — kill -9 of a process that stores, again and again: every entry that it reported as committed is
 * there, every other is whole or absent, ids only grow.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "platform/clock.h"
#include "platform/crypto.h"
#include "platform/log.h"
#include "platform/rc.h"
#include "tests/support/random.h"
#include "tests/support/store_test.h"

enum { ROUNDS = 32, NUMBERS_MAX = 60000, PER_ROUND_MAX = 1500 };

static const char *program;
static const struct cache_limits limits = {
    .entries_max = NUMBERS_MAX,
    .bytes_max = 256 << 20,
    .hot_bytes = 1 << 20,
    .body_max = 1 << 20,
    .sync_us = 2000,
};

static size_t size_of(unsigned n)
{
    static const size_t sizes[] = {10, 900, 1900, 3000, 9000, 30000};
    return sizes[n % (sizeof sizes / sizeof sizes[0])];
}

/* What the child tells: numbers up to `number` with ids up to `id` are committed, except the removed ones (every tenth). */
struct progress {
    unsigned number;
    uint64_t id;
};

static int child(const char *folder, unsigned first)
{
    struct cache_boot boot;
    store_test_setup(&limits);
    if (cache_open(folder, &boot) != RC_OK || boot.moved_aside) return 3;
    for (unsigned n = first; n < first + PER_ROUND_MAX; n++) {
        uint64_t id = store_test_put(n, size_of(n));
        if (id == 0) return 4;
        if (n % 10 == 9) (void)cache_remove(id);
        if (n % 7 != 6) continue;
        struct progress progress = {n, id};
        if (store_test_sync() != RC_OK) return 5;
        if (write(STDOUT_FILENO, &progress, sizeof progress) != sizeof progress) return 6;
    }
    cache_close();
    return 0;
}

static pid_t spawn(const char *folder, unsigned first, int *out)
{
    int ends[2];
    char number[16];
    assert_int_equal(pipe(ends), 0);
    snprintf(number, sizeof number, "%u", first);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(ends[1], STDOUT_FILENO);
        close(ends[0]);
        close(ends[1]);
        execl(program, program, "child", folder, number, (char *)NULL);
        _exit(9);
    }
    close(ends[1]);
    *out = ends[0];
    return pid;
}

/* Kills it some milliseconds after its first report; returns the last one. */
static struct progress run_and_kill(const char *folder, unsigned first, unsigned delay_ms)
{
    struct progress last = {0}, next;
    int out, status;
    pid_t pid = spawn(folder, first, &out);
    uint64_t until = CLOCK_NEVER;
    while (clock_monotonic_us() < until) {
        struct pollfd p = {.fd = out, .events = POLLIN};
        if (poll(&p, 1, 1) == 0) continue;
        if (read(out, &next, sizeof next) != sizeof next) break;
        last = next;
        if (until == CLOCK_NEVER) until = clock_monotonic_us() + delay_ms * 1000;
    }
    kill(pid, SIGKILL);
    while (read(out, &next, sizeof next) == sizeof next) last = next; /* what it said before it died */
    close(out);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
    return last;
}

static unsigned check(const char *folder, const unsigned char *committed, unsigned numbers)
{
    struct cache_boot boot;
    struct cache_found found;
    bool evicted;
    unsigned held = 0;
    assert_int_equal(cache_open(folder, &boot), RC_OK);
    assert_false(boot.moved_aside);
    assert_string_equal(boot.message, "");
    for (unsigned n = 0; n < numbers; n++) {
        struct digest digest = store_test_digest(n);
        int rc = cache_find(&digest, &found, &evicted);
        if (committed[n]) assert_int_equal(rc, n % 10 == 9 ? RC_NOT_FOUND : RC_OK);
        if (rc != RC_OK) continue;
        assert_true(store_test_holds(n, size_of(n)));
        held++;
    }
    struct cache_stats stats;
    cache_stats(&stats);
    assert_int_equal(stats.entries, held);
    assert_int_equal(stats.corrupt, 0);
    cache_close();
    return held;
}

static void kill_loop(void **state)
{
    (void)state;
    static unsigned char committed[NUMBERS_MAX];
    const char *folder = store_test_folder();
    unsigned first = 0, held = 0, cut = 0;
    uint64_t id = 0;
    uint32_t seed = 7;
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct progress last = run_and_kill(folder, first, (unsigned)test_random(&seed) % 12);
        assert_true(last.id > id);
        id = last.id;
        assert_true(last.number >= first);
        memset(committed + first, 1, last.number - first + 1);
        cut += last.number + 1 < first + PER_ROUND_MAX;
        unsigned next = first + PER_ROUND_MAX;
        if (round % 4 == 3 || round + 1 == ROUNDS) held = check(folder, committed, next);
        first = next;
    }
    print_message("          %u rounds, %u of them cut in the middle, %u entries held\n", ROUNDS, cut, held);
    assert_true(cut >= ROUNDS / 2);
    store_test_remove(folder);
}

static int group_setup(void **state)
{
    (void)state;
    log_configure(LOG_ERROR, LOG_TEXT);
    store_test_setup(&limits);
    return 0;
}

int main(int argc, char **argv)
{
    program = argv[0];
    if (argc == 4 && strcmp(argv[1], "child") == 0) return child(argv[2], (unsigned)strtoul(argv[3], NULL, 10));
    const struct CMUnitTest kill_tests[] = {cmocka_unit_test(kill_loop)};
    return cmocka_run_group_tests_name("kill", kill_tests, group_setup, NULL);
}
