/* SPDX-License-Identifier: Apache-2.0 */
/* platform/loop.h — the lane: one thread, one epoll set, timers, and what other threads post to it.
 *
 * Owner:   sources and timers belong to their modules (embedded in their objects); the loop only links them.
 * Threads: lane only, except loop_post and loop_stop (any thread, also a signal handler for loop_stop).
 * Fails:   RC_FULL when timers or sources are above the bounds given at boot, RC_IO.
 * Order:   one turn = posted calls, ready descriptors, due timers, woken fibers, then the idle hook.
 */
#ifndef PLATFORM_LOOP_H
#define PLATFORM_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum loop_events {
    LOOP_READ = 1,
    LOOP_WRITE = 2,
    LOOP_HANGUP = 4,      /* reported always: the peer is gone (EPOLLHUP, EPOLLERR) */
    LOOP_PEER_CLOSED = 8, /* EPOLLRDHUP; asked for like READ */
};

struct loop_source {
    int fd;
    unsigned events; /* what the kernel is asked for now; loop's own */
    void (*ready)(struct loop_source *source, unsigned events);
};

struct loop_timer {
    uint64_t deadline_us; /* monotonic */
    unsigned place;       /* 1-based index in the heap, 0: not set; loop's own */
    void (*fire)(struct loop_timer *timer);
};

/* A call posted from another thread; embedded in the poster's object, free again when `run` starts. */
struct loop_call {
    struct loop_call *next;
    void (*run)(struct loop_call *call);
};

/* Boot: reserves the timer heap for `timers_max` and makes the epoll set. */
int loop_reserve(unsigned timers_max);

int loop_add(struct loop_source *source, unsigned events);
int loop_change(struct loop_source *source, unsigned events); /* no system call when nothing changes */
void loop_remove(struct loop_source *source);                 /* before close(2); pending events of it are dropped */

int loop_timer_set(struct loop_timer *timer, uint64_t deadline_us); /* moves it when set */
void loop_timer_cancel(struct loop_timer *timer);

void loop_post(struct loop_call *call);

/* Time at the start of this turn: cheap, good enough for deadlines. */
uint64_t loop_now_us(void);
/* Called once a turn after everything else, before waiting again. */
void loop_idle_hook(void (*hook)(void));
/* Runs until loop_stop. RC_IO when epoll itself fails. */
int loop_run(void);
/* One turn, waiting at most `wait_us` (tests). */
int loop_turn(uint64_t wait_us);
void loop_stop(void);

/* For platform/fiber: `run` is called once in each turn in which, or before which, loop_woken was called. */
void loop_woken_hook(void (*run)(void));
void loop_woken(void);

#endif
