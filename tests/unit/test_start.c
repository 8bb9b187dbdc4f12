/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_start.c — signals, limits, and a fault in a watched map that is written down. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "platform/clock.h"
#include "platform/fiber.h"
#include "platform/file.h"
#include "platform/loop.h"
#include "platform/rc.h"
#include "platform/start.h"

static char folder[] = "/tmp/larder-start-XXXXXX";
static char faults[64], damaged[64], said[64];
static struct fiber_pool pool;
static size_t page;

static int setup(void **state)
{
    (void)state;
    page = (size_t)sysconf(_SC_PAGESIZE);
    assert_non_null(mkdtemp(folder));
    snprintf(faults, sizeof faults, "%s/faults", folder);
    snprintf(damaged, sizeof damaged, "%s/damaged", folder);
    snprintf(said, sizeof said, "%s/stderr", folder);
    assert_int_equal(loop_reserve(4), RC_OK);
    return fiber_pool_reserve(&pool, "test", 2, 65536, NULL);
}

static int teardown(void **state)
{
    (void)state;
    unlink(faults);
    unlink(damaged);
    unlink(said);
    return rmdir(folder);
}

/* Runs it in a child with faults armed and stderr in a file; returns the wait status. */
static int run_child(void (*run)(void))
{
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        struct rlimit none = {0, 0}, seconds = {10, 10};
        setrlimit(RLIMIT_CORE, &none);
        setrlimit(RLIMIT_CPU, &seconds);
        signal(SIGSEGV, SIG_DFL); /* the test library's handlers would go on with the next test */
        signal(SIGBUS, SIG_DFL);
        int fd = open(said, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        dup2(fd, STDERR_FILENO);
        start_faults();
        run();
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static bool died_of(int status, int signal_number)
{
    /* A sanitizer that handled the signal before us reports and exits instead. */
    return (WIFSIGNALED(status) && WTERMSIG(status) == signal_number) ||
           (WIFEXITED(status) && WEXITSTATUS(status) != 0);
}

static bool was_said(const char *words)
{
    static char text[65536];
    size_t size = 0;
    assert_int_equal(file_read(said, text, sizeof text - 1, &size), RC_OK);
    text[size] = '\0';
    return strstr(text, words) != NULL;
}

/* Table of pointers: read-only only after relocation, so only RELRO protects it. */
static int answer(void)
{
    return 42;
}
static int (*const table[2])(void) __attribute__((used)) = {answer, answer};

static void write_to_table(void)
{
    int (*volatile * entry)(void) = (int (*volatile *)(void))(uintptr_t)&table[1];
    *entry = NULL;
}

static void test_tables_of_pointers_are_read_only(void **state)
{
    (void)state;
    assert_int_equal(start_process(), RC_OK);
    assert_int_equal(table[1](), 42);
    assert_true(died_of(run_child(write_to_table), SIGSEGV));
    assert_true(was_said("larder: fatal SIGSEGV at 0x"));
}

static void test_signals_and_limits(void **state)
{
    (void)state;
    sigset_t mask, blocked;
    struct sigaction now;
    struct rlimit limit;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM);
    sigprocmask(SIG_SETMASK, &blocked, NULL);
    signal(SIGHUP, SIG_IGN);
    assert_int_equal(start_process(), RC_OK);
    sigprocmask(SIG_SETMASK, NULL, &mask);
    assert_false(sigismember(&mask, SIGTERM));
    sigaction(SIGHUP, NULL, &now);
    assert_true(now.sa_handler == SIG_DFL);
    sigaction(SIGPIPE, NULL, &now);
    assert_true(now.sa_handler == SIG_IGN);
    getrlimit(RLIMIT_NOFILE, &limit);
    assert_true(limit.rlim_cur == limit.rlim_max);
    assert_true(start_files_max() >= 1024);
}

static unsigned char *map;

/* A page of the map lies beyond the end of its file. */
static void read_beyond_file(void)
{
    volatile unsigned char sink = map[page];
    (void)sink;
}

static void test_fault_in_a_watched_map_is_recorded(void **state)
{
    (void)state;
    int fd = open(damaged, O_RDWR | O_CREAT | O_TRUNC, 0600);
    assert_int_equal(ftruncate(fd, (off_t)page), 0);
    map = mmap(NULL, 2 * page, PROT_READ, MAP_SHARED, fd, 0);
    assert_true(map != MAP_FAILED);
    uint64_t before = clock_wall_us() - CLOCK_SECOND;
    assert_int_equal(start_watch_range("entries", map, 2 * page, faults), RC_OK);
    assert_int_equal(start_faults_recorded(faults, "entries", before), 0);
    assert_true(died_of(run_child(read_beyond_file), SIGBUS));
    assert_true(was_said("in the map of entries"));
    assert_int_equal(start_faults_recorded(faults, "entries", before), 1);
    assert_int_equal(start_faults_recorded(faults, "codes", before), 0);
    assert_int_equal(start_faults_recorded(faults, "entries", clock_wall_us() + CLOCK_SECOND), 0);
    assert_true(died_of(run_child(read_beyond_file), SIGBUS));
    assert_int_equal(start_faults_recorded(faults, "entries", before), 2);
    assert_int_equal(start_watch_range("entries", map, 0, faults), RC_OK);
    assert_true(died_of(run_child(read_beyond_file), SIGBUS));
    assert_int_equal(start_faults_recorded(faults, "entries", before), 2);
    munmap(map, 2 * page);
    close(fd);
}

static void test_watch_is_bounded(void **state)
{
    (void)state;
    char name[FILE_PATH_MAX + 1];
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    assert_int_equal(start_watch_range(name, "", 1, faults), RC_TOO_LARGE);
    assert_int_equal(start_watch_range("a", "", 1, name), RC_TOO_LARGE);
    for (unsigned i = 1; i < START_RANGES_MAX; i++) { /* "entries" has one */
        char short_name[8];
        snprintf(short_name, sizeof short_name, "r%u", i);
        assert_int_equal(start_watch_range(short_name, "", 0, faults), RC_OK);
        assert_int_equal(start_watch_range(short_name, "", 0, faults), RC_OK);
    }
    assert_int_equal(start_watch_range("one more", "", 1, faults), RC_FULL);
}

static void call_abort(void)
{
    abort();
}

static void send_itself(void)
{
    kill(getpid(), SIGSEGV);
    pause();
}

static void overflow(volatile unsigned char *below) // NOLINT(misc-no-recursion)
{
    volatile unsigned char frame[512];
    if (!pool.used) return;
    frame[(uintptr_t)below % sizeof frame] = 1;
    overflow(frame);
    frame[1] = 2;
}

static void overflow_fiber(void *arg)
{
    overflow(arg);
}

static void overflow_a_stack(void)
{
    unsigned char start = 0;
    fiber_start(&pool, overflow_fiber, &start);
}

static void *thread_abort(void *unused)
{
    abort();
    return unused;
}

static void abort_on_a_thread(void)
{
    pthread_t thread;
    pthread_create(&thread, NULL, thread_abort, NULL);
    pthread_join(thread, NULL);
}

static void test_last_words(void **state)
{
    (void)state;
    assert_true(died_of(run_child(call_abort), SIGABRT));
    assert_true(was_said("larder: fatal SIGABRT"));
    assert_true(died_of(run_child(send_itself), SIGSEGV));
    assert_true(was_said("larder: fatal SIGSEGV, code 0"));
    assert_true(died_of(run_child(overflow_a_stack), SIGSEGV)); /* there is no room left on that stack */
    assert_true(was_said("larder: fatal SIGSEGV at 0x"));
    assert_true(died_of(run_child(abort_on_a_thread), SIGABRT));
    assert_true(was_said("larder: fatal SIGABRT"));
}

static void test_foreign_file_of_faults(void **state)
{
    (void)state;
    static const char text[] =
        "entries\nentries x\n 5\ncodes 100\nentries 99\nentries 100\nentries 99999999999999999999\nentr";
    assert_int_equal(file_replace(faults, text, sizeof text - 1, 0600), RC_OK);
    assert_int_equal(start_faults_recorded(faults, "entries", 100 * CLOCK_SECOND), 1);
    assert_int_equal(start_faults_recorded(faults, "entries", 0), 2);
    assert_int_equal(start_faults_recorded(faults, "codes", 0), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tables_of_pointers_are_read_only),
        cmocka_unit_test(test_signals_and_limits),
        cmocka_unit_test(test_fault_in_a_watched_map_is_recorded),
        cmocka_unit_test(test_watch_is_bounded),
        cmocka_unit_test(test_last_words),
        cmocka_unit_test(test_foreign_file_of_faults),
    };
    return cmocka_run_group_tests_name("start", tests, setup, teardown);
}
