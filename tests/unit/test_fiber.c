/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_fiber.c — start, park, wake, deadline, cancellation, sources, guard page. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "platform/clock.h"
#include "platform/fiber.h"
#include "platform/loop.h"
#include "platform/plan.h"
#include "platform/rc.h"

enum { FIBERS = 4 };
static struct fiber_pool pool;

static int setup(void **state)
{
    (void)state;
    assert_int_equal(loop_reserve(64), RC_OK);
    return fiber_pool_reserve(&pool, "test", FIBERS, 65536, "limits.requests");
}

struct record {
    struct fiber *self;
    int step;
    int rc;
    uint64_t deadline_us;
};

static void step_twice(void *arg)
{
    struct record *r = arg;
    r->self = fiber_self();
    r->step = 1;
    r->rc = fiber_park(r->deadline_us);
    r->step = 2;
}

static void nothing(void *arg)
{
    ++*(int *)arg;
}

static void test_runs_at_once_and_ends(void **state)
{
    (void)state;
    int runs = 0;
    assert_null(fiber_self());
    assert_int_equal(fiber_start(&pool, nothing, &runs), RC_OK);
    assert_int_equal(runs, 1);
    assert_int_equal(pool.used, 0);
    assert_int_equal(pool.high, 1);
    assert_null(fiber_self());
}

static void test_park_and_wake(void **state)
{
    (void)state;
    struct record r = {.deadline_us = CLOCK_NEVER};
    assert_int_equal(fiber_start(&pool, step_twice, &r), RC_OK);
    assert_int_equal(r.step, 1);
    assert_int_equal(pool.used, 1);
    fiber_wake(r.self, RC_CLOSED);
    assert_int_equal(r.step, 1);
    assert_int_equal(loop_turn(CLOCK_NEVER), RC_OK);
    assert_int_equal(r.step, 2);
    assert_int_equal(r.rc, RC_CLOSED);
    assert_int_equal(pool.used, 0);
}

static void test_deadline(void **state)
{
    (void)state;
    clock_fake(1000000, 0);
    assert_int_equal(loop_turn(0), RC_OK);
    struct record r = {.deadline_us = 1005000};
    fiber_start(&pool, step_twice, &r);
    clock_fake_advance(4999);
    loop_turn(0);
    assert_int_equal(r.step, 1);
    clock_fake_advance(1);
    loop_turn(0);
    assert_int_equal(r.step, 2);
    assert_int_equal(r.rc, RC_TIMEOUT);
    struct record past = {.deadline_us = 1};
    fiber_start(&pool, step_twice, &past);
    assert_int_equal(past.step, 2);
    assert_int_equal(past.rc, RC_TIMEOUT);
    clock_fake_off();
    loop_turn(0);
}

static void test_wake_beats_deadline_of_the_same_turn(void **state)
{
    (void)state;
    clock_fake(1000000, 0);
    loop_turn(0);
    struct record r = {.deadline_us = 1001000};
    fiber_start(&pool, step_twice, &r);
    fiber_wake(r.self, RC_OK);
    fiber_wake(r.self, RC_IO); /* adds nothing */
    clock_fake_advance(2000);
    loop_turn(0);
    assert_int_equal(r.rc, RC_OK);
    clock_fake_off();
    loop_turn(0);
}

static void cancel_story(void *arg)
{
    struct record *r = arg;
    r->self = fiber_self();
    r->rc = fiber_park(CLOCK_NEVER);
    assert_int_equal(r->rc, RC_CANCELLED);
    assert_int_equal(fiber_park(CLOCK_NEVER), RC_CANCELLED);
    assert_int_equal(fiber_sleep_until(CLOCK_NEVER), RC_CANCELLED);
    assert_true(fiber_cancelled());
    fiber_cancel_clear(fiber_self());
    assert_false(fiber_cancelled());
    r->step = 1;
    r->rc = fiber_park(CLOCK_NEVER);
    r->step = 2;
}

static void test_cancel_is_sticky(void **state)
{
    (void)state;
    struct record r = {0};
    fiber_start(&pool, cancel_story, &r);
    fiber_cancel(r.self);
    loop_turn(0);
    assert_int_equal(r.step, 1);
    fiber_wake(r.self, RC_AGAIN);
    loop_turn(0);
    assert_int_equal(r.step, 2);
    assert_int_equal(r.rc, RC_AGAIN);
    assert_int_equal(pool.used, 0);
}

static void ask_cancelled(void *arg)
{
    *(bool *)arg = fiber_cancelled();
}

static void test_next_user_of_a_stack_starts_fresh(void **state)
{
    (void)state;
    struct record r = {.deadline_us = CLOCK_NEVER};
    bool cancelled = true;
    fiber_start(&pool, step_twice, &r);
    fiber_cancel(r.self);
    loop_turn(0);
    assert_int_equal(r.rc, RC_CANCELLED); /* and it ended without clearing */
    fiber_start(&pool, ask_cancelled, &cancelled);
    assert_false(cancelled);
}

static void wakes_itself(void *arg)
{
    struct record *r = arg;
    fiber_wake(fiber_self(), RC_FULL);
    r->rc = fiber_park(CLOCK_NEVER);
    r->step = 1;
}

static void test_wake_of_a_running_fiber_is_kept(void **state)
{
    (void)state;
    struct record r = {0};
    fiber_start(&pool, wakes_itself, &r);
    assert_int_equal(r.step, 1);
    assert_int_equal(r.rc, RC_FULL);
}

static void sleeper(void *arg)
{
    struct record *r = arg;
    r->self = fiber_self();
    r->rc = fiber_sleep_until(r->deadline_us);
    r->step = 1;
    assert_int_equal(fiber_park(CLOCK_NEVER), RC_EXISTS); /* the wake that came while it slept */
    r->step = 2;
}

static void test_sleep_ignores_wakes_but_keeps_them(void **state)
{
    (void)state;
    clock_fake(1000000, 0);
    loop_turn(0);
    struct record r = {.deadline_us = 1003000};
    fiber_start(&pool, sleeper, &r);
    fiber_wake(r.self, RC_EXISTS);
    loop_turn(0);
    assert_int_equal(r.step, 0);
    clock_fake_advance(3000);
    loop_turn(0);
    assert_int_equal(r.rc, RC_OK);
    assert_int_equal(r.step, 2);
    clock_fake_off();
    loop_turn(0);
}

static void test_pool_is_bounded(void **state)
{
    (void)state;
    struct record r[FIBERS + 1] = {{0}};
    for (int i = 0; i < FIBERS; i++) {
        r[i].deadline_us = CLOCK_NEVER;
        assert_int_equal(fiber_start(&pool, step_twice, &r[i]), RC_OK);
    }
    assert_int_equal(fiber_start(&pool, step_twice, &r[FIBERS]), RC_FULL);
    assert_int_equal(r[FIBERS].step, 0);
    assert_int_equal(pool.used, FIBERS);
    for (int i = 0; i < FIBERS; i++) fiber_wake(r[i].self, RC_OK);
    loop_turn(0);
    assert_int_equal(pool.used, 0);
    assert_int_equal(pool.high, FIBERS);
}

struct nest {
    struct record inner;
    struct fiber *self;
    int after_start;
};

static void outer(void *arg)
{
    struct nest *n = arg;
    n->self = fiber_self();
    assert_int_equal(fiber_start(&pool, step_twice, &n->inner), RC_OK);
    assert_ptr_equal(fiber_self(), n->self);
    n->after_start = n->inner.step;
    fiber_wake(n->inner.self, RC_OK);
    fiber_park(CLOCK_NEVER);
}

static void test_a_fiber_starts_another(void **state)
{
    (void)state;
    struct nest n = {.inner = {.deadline_us = CLOCK_NEVER}};
    fiber_start(&pool, outer, &n);
    assert_int_equal(n.after_start, 1);
    loop_turn(0);
    assert_int_equal(n.inner.step, 2);
    assert_int_equal(pool.used, 1);
    fiber_wake(n.self, RC_OK);
    loop_turn(0);
    assert_int_equal(pool.used, 0);
}

struct reader {
    struct fiber *self;
    struct fiber_source source;
    int fd;
    unsigned got;
    int rc, turns;
    char byte;
};

static void read_bytes(void *arg)
{
    struct reader *r = arg;
    r->self = fiber_self();
    assert_int_equal(fiber_source_add(&r->source, r->fd), RC_OK);
    for (;;) {
        r->rc = fiber_wait(&r->source, LOOP_READ, CLOCK_NEVER, &r->got);
        r->turns++;
        if (r->rc != RC_OK || read(r->fd, &r->byte, 1) <= 0) break;
    }
    fiber_source_remove(&r->source);
    close(r->fd);
}

static void test_wait_for_a_descriptor(void **state)
{
    (void)state;
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    struct reader r = {.fd = pair[0]};
    fiber_start(&pool, read_bytes, &r);
    loop_turn(0);
    assert_int_equal(r.turns, 0);
    assert_int_equal(write(pair[1], "a", 1), 1);
    loop_turn(CLOCK_NEVER);
    assert_int_equal(r.turns, 1);
    assert_int_equal(r.got, LOOP_READ);
    assert_int_equal(r.byte, 'a');
    close(pair[1]);
    loop_turn(CLOCK_NEVER);
    assert_int_equal(r.turns, 2);
    assert_int_equal(r.got, LOOP_READ | LOOP_HANGUP);
    assert_int_equal(pool.used, 0);
}

static void park_then_wait(void *arg)
{
    struct reader *r = arg;
    r->self = fiber_self();
    assert_int_equal(fiber_source_add(&r->source, r->fd), RC_OK);
    fiber_wait(&r->source, LOOP_READ, CLOCK_NEVER, &r->got);
    r->turns = 1;
    fiber_park(CLOCK_NEVER);
    r->rc = fiber_wait(&r->source, LOOP_READ, CLOCK_NEVER, &r->got);
    r->turns = 2;
    fiber_source_remove(&r->source);
    close(r->fd);
}

static void test_hang_up_while_nobody_waits(void **state)
{
    (void)state;
    int pair[2];
    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair);
    struct reader r = {.fd = pair[0]};
    fiber_start(&pool, park_then_wait, &r);
    assert_int_equal(write(pair[1], "a", 1), 1);
    loop_turn(CLOCK_NEVER);
    assert_int_equal(r.turns, 1);
    loop_turn(0); /* still readable, nobody asks: switched off */
    assert_int_equal(r.source.source.events & LOOP_READ, 0);
    close(pair[1]);
    loop_turn(0);
    assert_int_equal(r.source.source.events, 0); /* out of the set: no spinning on the hang-up */
    fiber_wake(r.self, RC_OK);
    loop_turn(0);
    assert_int_equal(r.turns, 2);
    assert_int_equal(r.rc, RC_OK);
    assert_int_equal(r.got, LOOP_READ | LOOP_HANGUP);
}

struct deep {
    size_t bytes;
    volatile unsigned char sum;
};

/* Bounded by `left`: each round takes about a quarter KiB. */
static void dig(struct deep *d, size_t left) // NOLINT(misc-no-recursion)
{
    volatile unsigned char frame[256];
    frame[left % sizeof frame] = d->sum; /* an index the compiler cannot know keeps the whole array */
    frame[0] = (unsigned char)left;
    if (left > sizeof frame) dig(d, left - sizeof frame);
    d->sum = (unsigned char)(d->sum + frame[0]);
}

static void dig_in(void *arg)
{
    struct deep *d = arg;
    dig(d, d->bytes);
}

static void test_overflow_hits_the_guard_page(void **state)
{
    (void)state;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        close(STDERR_FILENO);
        struct deep d = {.bytes = 1 << 20};
        fiber_start(&pool, dig_in, &d);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    /* A sanitizer reports and exits, the bare program dies of the fault. */
    bool died = WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV;
    bool reported = WIFEXITED(status) && WEXITSTATUS(status) != 0;
    assert_true(died || reported);
}

static void test_stack_high_and_pages_given_back(void **state)
{
    (void)state;
    struct deep d = {.bytes = 16384};
    size_t before = fiber_stack_high(&pool);
    fiber_start(&pool, dig_in, &d);
    size_t high = fiber_stack_high(&pool);
    assert_true(high >= 16384);
    assert_true(high >= before);
    assert_true(high <= pool.stack_size);
    int runs = 0;
    for (int i = 0; i < 600; i++) fiber_start(&pool, nothing, &runs);
    assert_int_equal(runs, 600);
    assert_int_equal(fiber_stack_high(&pool), high); /* remembered, though the pages are gone */
}

/* Control words and many registers live across a switch. */
static struct fiber *parked[2];
static unsigned parked_count;

static void float_story(void *arg)
{
    double *sum = arg;
    parked[parked_count++] = fiber_self();
    double a = 1.5, b = 2.25, c = 3.125;
    for (int i = 0; i < 3; i++) {
        a *= 2;
        b *= 2;
        c *= 2;
        fiber_park(CLOCK_NEVER);
    }
    *sum = a + b + c;
}

static void test_registers_survive(void **state)
{
    (void)state;
    double sums[2] = {0, 0};
    fiber_start(&pool, float_story, &sums[0]);
    fiber_start(&pool, float_story, &sums[1]);
    for (int i = 0; i < 3; i++) {
        for (unsigned f = 0; f < 2; f++) fiber_wake(parked[f], RC_OK);
        loop_turn(0);
    }
    assert_true(sums[0] == 8 * (1.5 + 2.25 + 3.125));
    assert_true(sums[1] == sums[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_runs_at_once_and_ends),
        cmocka_unit_test(test_park_and_wake),
        cmocka_unit_test(test_deadline),
        cmocka_unit_test(test_wake_beats_deadline_of_the_same_turn),
        cmocka_unit_test(test_cancel_is_sticky),
        cmocka_unit_test(test_next_user_of_a_stack_starts_fresh),
        cmocka_unit_test(test_wake_of_a_running_fiber_is_kept),
        cmocka_unit_test(test_sleep_ignores_wakes_but_keeps_them),
        cmocka_unit_test(test_pool_is_bounded),
        cmocka_unit_test(test_a_fiber_starts_another),
        cmocka_unit_test(test_wait_for_a_descriptor),
        cmocka_unit_test(test_hang_up_while_nobody_waits),
        cmocka_unit_test(test_registers_survive),
        cmocka_unit_test(test_overflow_hits_the_guard_page),
        cmocka_unit_test(test_stack_high_and_pages_given_back),
    };
    return cmocka_run_group_tests_name("fiber", tests, setup, NULL);
}
