/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_loop.c — order of a turn, sources removed in mid batch, the timer heap, posts from threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "platform/clock.h"
#include "platform/loop.h"
#include "platform/rc.h"

enum { TIMERS = 200 };

static char journal[64];
static unsigned journal_size;

static void note(char c)
{
    if (journal_size < sizeof journal - 1) journal[journal_size++] = c;
    journal[journal_size] = '\0';
}

static int setup(void **state)
{
    (void)state;
    return loop_reserve(TIMERS);
}

static int fresh(void **state)
{
    (void)state;
    journal_size = 0;
    journal[0] = '\0';
    return 0;
}

struct peer {
    struct loop_source source;
    struct loop_source *victim;
    int other;
    unsigned events, calls;
};

static unsigned reused_calls;

static void reused(struct loop_source *source, unsigned events)
{
    (void)source;
    (void)events;
    reused_calls++;
}

static void peer_ready(struct loop_source *source, unsigned events)
{
    struct peer *p = (struct peer *)(void *)source;
    p->events = events;
    p->calls++;
    if (p->victim) {
        loop_remove(p->victim);
        /* Its memory may be anything from here on: nobody may look at it again in this turn. */
        p->victim->events = LOOP_READ | LOOP_HANGUP;
        p->victim->ready = reused;
    }
    note('r');
}

static void peer_make(struct peer *p, unsigned events)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    *p = (struct peer){.source = {.fd = pair[0], .ready = peer_ready}, .other = pair[1]};
    assert_int_equal(loop_add(&p->source, events), RC_OK);
}

static void peer_end(struct peer *p)
{
    loop_remove(&p->source);
    close(p->source.fd);
    close(p->other);
}

static void test_events_are_those_asked_for(void **state)
{
    (void)state;
    struct peer p;
    peer_make(&p, LOOP_READ);
    loop_turn(0);
    assert_int_equal(p.calls, 0);
    assert_int_equal(write(p.other, "a", 1), 1);
    loop_turn(0);
    assert_int_equal(p.events, LOOP_READ);
    loop_change(&p.source, LOOP_WRITE);
    loop_turn(0);
    assert_int_equal(p.events, LOOP_WRITE);
    loop_change(&p.source, 0);
    loop_turn(0);
    assert_int_equal(p.calls, 2);
    loop_change(&p.source, LOOP_PEER_CLOSED);
    shutdown(p.other, SHUT_WR);
    loop_turn(0);
    assert_int_equal(p.events, LOOP_PEER_CLOSED);
    close(p.other);
    loop_change(&p.source, 0);
    loop_turn(0);
    assert_int_equal(p.events, LOOP_HANGUP);
    p.other = dup(p.source.fd);
    peer_end(&p);
}

static void test_change_without_change_asks_no_kernel(void **state)
{
    (void)state;
    struct peer p;
    peer_make(&p, LOOP_READ);
    int fd = p.source.fd;
    p.source.fd = -1; /* any system call would fail now */
    assert_int_equal(loop_change(&p.source, LOOP_READ), RC_OK);
    assert_int_equal(loop_change(&p.source, LOOP_WRITE), RC_IO);
    p.source.fd = fd;
    peer_end(&p);
}

static void test_removed_in_the_same_batch(void **state)
{
    (void)state;
    struct peer a, b;
    peer_make(&a, LOOP_READ);
    peer_make(&b, LOOP_READ);
    assert_int_equal(write(a.other, "a", 1), 1);
    assert_int_equal(write(b.other, "b", 1), 1);
    a.victim = &b.source;
    b.victim = &a.source;
    loop_turn(0);
    assert_int_equal(a.calls + b.calls, 1); /* whoever came first removed the other */
    assert_int_equal(reused_calls, 0);
    (a.calls ? &b : &a)->source.events = 0;
    peer_end(&a);
    peer_end(&b);
}

static void test_add_of_a_closed_descriptor(void **state)
{
    (void)state;
    struct loop_source source = {.fd = 9999, .ready = peer_ready};
    assert_int_equal(loop_add(&source, LOOP_READ), RC_IO);
    loop_remove(&source); /* nothing to remove, no harm */
}

struct alarm {
    struct loop_timer timer;
    unsigned fired;
    uint64_t again_us;
};

static uint64_t last_fired_us;
static unsigned fired_count;

static void alarm_fire(struct loop_timer *timer)
{
    struct alarm *a = (struct alarm *)(void *)timer;
    a->fired++;
    fired_count++;
    assert_true(timer->deadline_us >= last_fired_us);
    last_fired_us = timer->deadline_us;
    note('t');
    if (a->again_us > 0) assert_int_equal(loop_timer_set(timer, a->again_us), RC_OK);
}

static uint32_t random_state = 12345;
static uint32_t next_random(void)
{
    random_state = random_state * 1664525 + 1013904223;
    return random_state >> 8;
}

/* Sets, moves and cancels at random; every one fires in order and once. */
static void test_timers_in_order(void **state)
{
    (void)state;
    static struct alarm alarms[TIMERS + 1];
    clock_fake(1000000, 0);
    loop_turn(0);
    for (unsigned i = 0; i < TIMERS; i++) {
        alarms[i].timer.fire = alarm_fire;
        assert_int_equal(loop_timer_set(&alarms[i].timer, 1000001 + next_random() % 1000), RC_OK);
    }
    alarms[TIMERS].timer.fire = alarm_fire;
    assert_int_equal(loop_timer_set(&alarms[TIMERS].timer, 1000001), RC_FULL);
    unsigned cancelled = 0;
    for (unsigned i = 0; i < TIMERS; i++) {
        unsigned what = next_random() % 3;
        if (what == 0) {
            loop_timer_cancel(&alarms[i].timer);
            loop_timer_cancel(&alarms[i].timer);
            cancelled++;
        } else if (what == 1) {
            assert_int_equal(loop_timer_set(&alarms[i].timer, 1000001 + next_random() % 1000), RC_OK);
        }
    }
    last_fired_us = 0;
    fired_count = 0;
    for (unsigned i = 0; i < 1000; i += 50) {
        clock_fake_advance(50);
        loop_turn(0);
    }
    assert_int_equal(fired_count, TIMERS - cancelled);
    for (unsigned i = 0; i < TIMERS; i++) {
        assert_int_equal(alarms[i].timer.place, 0);
        assert_true(alarms[i].fired <= 1);
    }
    clock_fake_off();
    loop_turn(0);
}

static void test_a_timer_that_sets_itself_does_not_hold_the_turn(void **state)
{
    (void)state;
    clock_fake(5000000, 0);
    struct alarm a = {.timer = {.fire = alarm_fire}, .again_us = 1000000};
    last_fired_us = 0;
    loop_timer_set(&a.timer, 1000000);
    loop_turn(0);
    assert_int_equal(a.fired, 1);
    loop_turn(0);
    assert_int_equal(a.fired, 2);
    loop_timer_cancel(&a.timer);
    clock_fake_off();
    loop_turn(0);
}

static void test_wait_ends_at_the_deadline(void **state)
{
    (void)state;
    last_fired_us = 0;
    struct alarm a = {.timer = {.fire = alarm_fire}};
    uint64_t start = clock_monotonic_us();
    loop_timer_set(&a.timer, start + 20000);
    while (a.fired == 0) loop_turn(CLOCK_NEVER);
    uint64_t took = clock_monotonic_us() - start;
    assert_true(took >= 20000);
    assert_true(took < 2000000);
}

static void post_run(struct loop_call *call)
{
    (void)call;
    note('p');
}

static void woken_run(void)
{
    note('w');
}

static void idle_run(void)
{
    note('i');
}

static void test_order_of_a_turn(void **state)
{
    (void)state;
    struct peer p;
    peer_make(&p, LOOP_READ);
    assert_int_equal(write(p.other, "a", 1), 1);
    struct alarm a = {.timer = {.fire = alarm_fire}};
    last_fired_us = 0;
    loop_timer_set(&a.timer, 1);
    struct loop_call call = {.run = post_run};
    loop_post(&call);
    loop_woken_hook(woken_run);
    loop_woken();
    loop_idle_hook(idle_run);
    loop_turn(CLOCK_NEVER);
    assert_string_equal(journal, "prtwi");
    loop_idle_hook(NULL);
    peer_end(&p);
    loop_turn(0);
    assert_string_equal(journal, "prtwi");
}

enum { POSTERS = 4, POSTS = 5000 };

struct counted_call {
    struct loop_call call;
    unsigned poster, number;
};
static struct counted_call calls[POSTERS][POSTS];
static unsigned next_number[POSTERS], call_count;

static void counted_run(struct loop_call *call)
{
    struct counted_call *c = (struct counted_call *)(void *)call;
    assert_int_equal(c->number, next_number[c->poster]++); /* in the order in which one thread posted */
    if (++call_count == POSTERS * POSTS) loop_stop();
}

static void *poster_main(void *arg)
{
    struct counted_call *mine = arg;
    for (unsigned i = 0; i < POSTS; i++) loop_post(&mine[i].call);
    return NULL;
}

static void test_posts_from_threads(void **state)
{
    (void)state;
    pthread_t threads[POSTERS];
    for (unsigned i = 0; i < POSTERS; i++) {
        for (unsigned j = 0; j < POSTS; j++)
            calls[i][j] = (struct counted_call){.call = {.run = counted_run}, .poster = i, .number = j};
    }
    for (unsigned i = 0; i < POSTERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, poster_main, calls[i]), 0);
    assert_int_equal(loop_run(), RC_OK);
    for (unsigned i = 0; i < POSTERS; i++) pthread_join(threads[i], NULL);
    assert_int_equal(call_count, POSTERS * POSTS);
}

static void *late_poster(void *arg)
{
    usleep(20000);
    loop_post(arg);
    return NULL;
}

static void stop_run(struct loop_call *call)
{
    (void)call;
    loop_stop();
}

static void test_a_post_wakes_a_sleeping_lane(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 5; i++) {
        struct loop_call call = {.run = stop_run};
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, late_poster, &call), 0);
        assert_int_equal(loop_run(), RC_OK);
        pthread_join(thread, NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_events_are_those_asked_for, fresh),
        cmocka_unit_test_setup(test_change_without_change_asks_no_kernel, fresh),
        cmocka_unit_test_setup(test_removed_in_the_same_batch, fresh),
        cmocka_unit_test_setup(test_add_of_a_closed_descriptor, fresh),
        cmocka_unit_test_setup(test_timers_in_order, fresh),
        cmocka_unit_test_setup(test_a_timer_that_sets_itself_does_not_hold_the_turn, fresh),
        cmocka_unit_test_setup(test_wait_ends_at_the_deadline, fresh),
        cmocka_unit_test_setup(test_order_of_a_turn, fresh),
        cmocka_unit_test_setup(test_posts_from_threads, fresh),
        cmocka_unit_test_setup(test_a_post_wakes_a_sleeping_lane, fresh),
    };
    return cmocka_run_group_tests_name("loop", tests, setup, NULL);
}
