/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_offload.c — jobs run elsewhere, the queue is bounded, cancellation waits for the job. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "platform/clock.h"
#include "platform/fiber.h"
#include "platform/loop.h"
#include "platform/offload.h"
#include "platform/rc.h"

enum { FIBERS = 32, QUEUE = 4 };
static struct fiber_pool pool;

static int setup(void **state)
{
    (void)state;
    assert_int_equal(loop_reserve(64), RC_OK);
    return fiber_pool_reserve(&pool, "test", FIBERS, 65536, NULL);
}

static int teardown(void **state)
{
    (void)state;
    offload_stop();
    return 0;
}

struct work {
    struct fiber *self;
    pthread_t thread;
    atomic_bool *gate;
    sigset_t mask;
    int input, output;
    int rc, park_rc;
    bool cancelled, finished;
};

static void work_run(void *arg)
{
    struct work *w = arg;
    while (w->gate && !atomic_load(w->gate)) usleep(100);
    w->thread = pthread_self();
    pthread_sigmask(SIG_BLOCK, NULL, &w->mask);
    w->output = w->input * 2;
}

static void work_fiber(void *arg)
{
    struct work *w = arg;
    w->self = fiber_self();
    w->rc = offload(work_run, w);
    w->cancelled = fiber_cancelled();
    w->finished = true;
}

static void turn_until(const bool *flag)
{
    for (unsigned i = 0; i < 1000 && !*flag; i++) loop_turn(10000);
    assert_true(*flag);
}

static void test_without_workers_it_is_full(void **state)
{
    (void)state;
    struct work w = {.input = 1};
    fiber_start(&pool, work_fiber, &w);
    assert_true(w.finished);
    assert_int_equal(w.rc, RC_FULL);
}

static void test_runs_on_a_worker_and_returns(void **state)
{
    (void)state;
    assert_int_equal(offload_start(2, QUEUE), RC_OK);
    struct work w = {.input = 21};
    fiber_start(&pool, work_fiber, &w);
    assert_false(w.finished);
    turn_until(&w.finished);
    assert_int_equal(w.rc, RC_OK);
    assert_int_equal(w.output, 42);
    assert_false(pthread_equal(w.thread, pthread_self()));
    assert_true(sigismember(&w.mask, SIGTERM));
    assert_false(w.cancelled);
}

static void test_queue_is_bounded(void **state)
{
    (void)state;
    atomic_bool gate = false;
    struct work held[2 + QUEUE];
    memset(held, 0, sizeof held);
    for (unsigned i = 0; i < 2; i++) {
        held[i].gate = &gate;
        fiber_start(&pool, work_fiber, &held[i]);
        while (offload_waiting() > 0) usleep(100);
    }
    for (unsigned i = 2; i < 2 + QUEUE; i++) {
        held[i].gate = &gate;
        fiber_start(&pool, work_fiber, &held[i]);
    }
    assert_int_equal(offload_waiting(), QUEUE);
    struct work refused = {.input = 1};
    fiber_start(&pool, work_fiber, &refused);
    assert_true(refused.finished);
    assert_int_equal(refused.rc, RC_FULL);
    atomic_store(&gate, true);
    for (unsigned i = 0; i < 2 + QUEUE; i++) turn_until(&held[i].finished);
    assert_int_equal(offload_waiting(), 0);
    assert_int_equal(offload_waiting_high(), QUEUE);
}

static void cancelled_fiber(void *arg)
{
    struct work *w = arg;
    w->self = fiber_self();
    w->rc = offload(work_run, w);
    w->cancelled = fiber_cancelled();
    fiber_cancel_clear(fiber_self());
    w->park_rc = fiber_park(CLOCK_NEVER);
    w->finished = true;
}

/* The job owns its argument until it ends: neither cancellation nor a stray wake cuts the wait, and neither is lost. */
static void test_cancellation_waits_for_the_job(void **state)
{
    (void)state;
    atomic_bool gate = false;
    struct work w = {.input = 5, .gate = &gate};
    fiber_start(&pool, cancelled_fiber, &w);
    fiber_cancel(w.self);
    loop_turn(0);
    fiber_wake(w.self, RC_EXISTS);
    loop_turn(0);
    fiber_cancel(w.self);
    loop_turn(0);
    assert_false(w.finished);
    assert_int_equal(pool.used, 1);
    atomic_store(&gate, true);
    turn_until(&w.finished);
    assert_int_equal(w.rc, RC_OK);
    assert_int_equal(w.output, 10);
    assert_true(w.cancelled);
    assert_int_equal(w.park_rc, RC_EXISTS);
}

static void many_fiber(void *arg)
{
    struct work *w = arg;
    for (int i = 0; i < 200; i++) {
        w->input = i;
        while (offload(work_run, w) == RC_FULL) fiber_sleep_until(loop_now_us() + 1000);
        assert_int_equal(w->output, 2 * i);
    }
    w->finished = true;
}

static void test_many_at_once(void **state)
{
    (void)state;
    static struct work w[FIBERS];
    for (unsigned i = 0; i < FIBERS; i++) fiber_start(&pool, many_fiber, &w[i]);
    for (unsigned i = 0; i < FIBERS; i++) {
        while (!w[i].finished) assert_int_equal(loop_turn(10000), RC_OK);
    }
    assert_int_equal(pool.used, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_workers_it_is_full),
        cmocka_unit_test(test_runs_on_a_worker_and_returns),
        cmocka_unit_test(test_queue_is_bounded),
        cmocka_unit_test(test_cancellation_waits_for_the_job),
        cmocka_unit_test(test_many_at_once),
    };
    return cmocka_run_group_tests_name("offload", tests, setup, teardown);
}
