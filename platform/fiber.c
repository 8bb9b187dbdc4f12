/* SPDX-License-Identifier: Apache-2.0 */
/* platform/fiber.c — stacks, who runs, who is ready.
 *
 * Whoever switches to a fiber gets the lane back when that fiber waits or ends: the lane itself for a woken fiber, the
 * starter for a fresh one. A stack that has run once stays inside fiber_main between two uses, so that starting costs
 * one switch and no set-up.
 */
#include "platform/fiber.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hal/context_switch.h"
#include "platform/check.h"
#include "platform/clock.h"
#include "platform/fiber_sanitizer.h"
#include "platform/plan.h"
#include "platform/rc.h"

enum {
    NAME_MAX_SIZE = 48,
    RUNS_A_TURN = 1024,     /* then descriptors get their turn, however many wake each other */
    STACK_KEPT = 16 * 1024, /* an idle stack keeps this much */
    STACK_LOOK_EVERY = 256, /* uses, a power of two: looking costs a system call */
    PAGES_A_LOOK = 64,
};

enum fiber_state { FIBER_FREE, FIBER_RUNNING, FIBER_PARKED, FIBER_READY };

struct fiber {
    void *context;
    struct fiber *caller; /* who gets the lane back; NULL: the loop */
    struct fiber *next;   /* in the free list or the ready list */
    void (*run)(void *arg);
    void *arg;
    enum fiber_state state;
    int rc;      /* of the wait in progress */
    int kept_rc; /* of a wake that came while it ran */
    bool kept;
    bool woken; /* ready by fiber_wake, not by deadline or cancellation */
    bool cancelled;
    unsigned uses;
    struct loop_timer timer;
    struct fiber_pool *pool;
    unsigned char *stack; /* lowest usable byte */
    size_t deepest;       /* of the stack, in bytes, as last looked at */
    struct fiber_sanitizer sanitizer;
};

static struct fiber *current;
static void *lane_context;
static struct fiber_sanitizer lane_sanitizer;
static struct fiber *ready_first, *ready_last;
static const struct fiber_pool *pools[FIBER_POOLS_MAX];
static unsigned pool_count;

static void ready_run(void);

int fiber_pool_reserve(struct fiber_pool *pool, const char *name, unsigned count, size_t stack_size, const char *lower)
{
    static char names[FIBER_POOLS_MAX][2][NAME_MAX_SIZE]; /* the plan keeps pointers to them */
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    void *fibers, *stacks;
    CHECK(pool_count < FIBER_POOLS_MAX);
    CHECK(stack_size % page == 0);
    snprintf(names[pool_count][0], NAME_MAX_SIZE, "%s fibers", name);
    snprintf(names[pool_count][1], NAME_MAX_SIZE, "%s stacks", name);
    stack_size *= FIBER_STACK_SCALE;
    size_t stride = stack_size + page;
    int rc = plan_take(names[pool_count][0], count, sizeof(struct fiber), PLAN_LAZY, 0, lower, &fibers);
    if (rc == RC_OK) rc = plan_take(names[pool_count][1], count, stride, PLAN_LAZY, count * stack_size, lower, &stacks);
    if (rc != RC_OK) return rc;
    pools[pool_count++] = pool;
    *pool = (struct fiber_pool){.name = name, .fibers = fibers, .count = count, .stack_size = stack_size};
    pool->stacks = (unsigned char *)stacks + page;
    loop_woken_hook(ready_run);
    return RC_OK;
}

const struct fiber_pool *fiber_pool_at(unsigned index)
{
    return index < pool_count ? pools[index] : NULL;
}

/* Gives the lane to `to`, or back to the loop. Returns when somebody gives it back. */
static void switch_from(struct fiber *from, struct fiber *to)
{
    struct fiber_sanitizer *mine = from ? &from->sanitizer : &lane_sanitizer;
    struct fiber_sanitizer *other = to ? &to->sanitizer : &lane_sanitizer;
    current = to;
    fiber_sanitizer_leave(mine, other);
    context_switch(from ? &from->context : &lane_context, to ? to->context : lane_context);
    struct fiber_sanitizer ignored;
    fiber_sanitizer_enter(mine, &ignored);
}

static void fiber_main(void)
{
    struct fiber *self = current;
    /* Only here the bounds of the loop's own stack come to be known; a starting fiber's are known already. */
    fiber_sanitizer_enter(&self->sanitizer, self->caller ? &self->caller->sanitizer : &lane_sanitizer);
    for (;;) {
        self->run(self->arg);
        self->state = FIBER_FREE;
        switch_from(self, self->caller);
    }
}

/* How far down pages are resident, in bytes from the top. */
static size_t stack_depth(const struct fiber *fiber)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t size = fiber->pool->stack_size;
    for (size_t at = 0; at < size; at += page * PAGES_A_LOOK) {
        unsigned char resident[PAGES_A_LOOK];
        size_t part = size - at < page * PAGES_A_LOOK ? size - at : page * PAGES_A_LOOK;
        if (mincore(fiber->stack + at, part, resident) != 0) return 0;
        for (size_t i = 0; i < part / page; i++) {
            if (resident[i] & 1) return size - at - i * page;
        }
    }
    return 0;
}

/* Of an idle stack: remembers how deep it was and gives back what it seldom needs. */
static void stack_look(struct fiber *fiber)
{
    size_t depth = stack_depth(fiber);
    if (depth > fiber->deepest) fiber->deepest = depth;
    if (depth > STACK_KEPT) (void)madvise(fiber->stack, fiber->pool->stack_size - STACK_KEPT, MADV_DONTNEED);
}

static void fiber_put(struct fiber *fiber)
{
    struct fiber_pool *pool = fiber->pool;
    loop_timer_cancel(&fiber->timer);
    if ((++fiber->uses & (STACK_LOOK_EVERY - 1)) == 0) stack_look(fiber);
    fiber->next = pool->free_list;
    pool->free_list = fiber;
    pool->used--;
}

static void enter(struct fiber *fiber)
{
    struct fiber *caller = current;
    fiber->caller = caller;
    fiber->state = FIBER_RUNNING;
    switch_from(caller, fiber);
    if (fiber->state == FIBER_FREE) fiber_put(fiber);
}

static void timer_fired(struct loop_timer *timer);

/* The page below a stack is closed here and not at boot: hundreds of them take a millisecond, and few are used soon.
 * NULL: the system has no room for one more mapping. */
static struct fiber *fiber_first_use(struct fiber_pool *pool)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    struct fiber *fiber = &pool->fibers[pool->high];
    fiber->pool = pool;
    fiber->stack = pool->stacks + (pool->stack_size + page) * pool->high;
    if (mprotect(fiber->stack - page, page, PROT_NONE) != 0) return NULL;
    fiber->timer.fire = timer_fired;
    fiber->context = context_make(fiber->stack + pool->stack_size, fiber_main);
    fiber_sanitizer_init(&fiber->sanitizer, fiber->stack, pool->stack_size);
    pool->high++;
    return fiber;
}

int fiber_start(struct fiber_pool *pool, void (*run)(void *arg), void *arg)
{
    struct fiber *fiber = pool->free_list;
    if (fiber)
        pool->free_list = fiber->next;
    else if (pool->high < pool->count)
        fiber = fiber_first_use(pool);
    if (!fiber) return RC_FULL;
    pool->used++;
    fiber->run = run;
    fiber->arg = arg;
    fiber->kept = false;
    fiber->cancelled = false;
    enter(fiber);
    return RC_OK;
}

struct fiber *fiber_self(void)
{
    return current;
}

static void make_ready(struct fiber *fiber, int rc)
{
    loop_timer_cancel(&fiber->timer);
    fiber->state = FIBER_READY;
    fiber->rc = rc;
    fiber->next = NULL;
    if (ready_last)
        ready_last->next = fiber;
    else
        ready_first = fiber;
    ready_last = fiber;
    loop_woken();
}

static void ready_run(void)
{
    for (unsigned runs = 0; ready_first && runs < RUNS_A_TURN; runs++) {
        struct fiber *fiber = ready_first;
        ready_first = fiber->next;
        if (!ready_first) ready_last = NULL;
        enter(fiber);
    }
    if (ready_first) loop_woken();
}

static void timer_fired(struct loop_timer *timer)
{
    struct fiber *fiber = (struct fiber *)(void *)((char *)timer - offsetof(struct fiber, timer));
    if (fiber->state != FIBER_PARKED) return;
    fiber->woken = false;
    make_ready(fiber, RC_TIMEOUT);
}

int fiber_park(uint64_t deadline_us)
{
    struct fiber *self = current;
    CHECK(self);
    if (self->cancelled) return RC_CANCELLED;
    if (self->kept) {
        self->kept = false;
        return self->kept_rc;
    }
    if (deadline_us <= loop_now_us()) return RC_TIMEOUT;
    if (deadline_us != CLOCK_NEVER && loop_timer_set(&self->timer, deadline_us) != RC_OK) return RC_FULL;
    self->state = FIBER_PARKED;
    switch_from(self, self->caller);
    return self->rc;
}

/* A wake beats a deadline or a cancellation that has made the fiber ready in the same turn: what it waited for is there.
 * A second wake before it has run adds nothing, it will see all that happened. */
void fiber_wake(struct fiber *fiber, int rc)
{
    CHECK(fiber->state != FIBER_FREE);
    if (fiber->state == FIBER_PARKED) {
        fiber->woken = true;
        make_ready(fiber, rc);
    } else if (fiber->state == FIBER_READY && !fiber->woken) {
        fiber->woken = true;
        fiber->rc = rc;
    } else if (fiber->state == FIBER_RUNNING) {
        fiber->kept = true;
        fiber->kept_rc = rc;
    }
}

void fiber_cancel(struct fiber *fiber)
{
    CHECK(fiber->state != FIBER_FREE);
    fiber->cancelled = true;
    if (fiber->state != FIBER_PARKED) return;
    fiber->woken = false;
    make_ready(fiber, RC_CANCELLED);
}

void fiber_cancel_clear(struct fiber *fiber)
{
    fiber->cancelled = false;
}

bool fiber_cancelled(void)
{
    return current && current->cancelled;
}

int fiber_sleep_until(uint64_t deadline_us)
{
    bool stray = false;
    int stray_rc = RC_OK;
    int rc;
    while ((rc = fiber_park(deadline_us)) != RC_TIMEOUT && rc != RC_CANCELLED && rc != RC_FULL) {
        stray = true;
        stray_rc = rc;
    }
    if (stray) fiber_wake(current, stray_rc);
    return rc == RC_TIMEOUT ? RC_OK : rc;
}

static void source_ready(struct loop_source *source, unsigned events)
{
    struct fiber_source *fs = (struct fiber_source *)(void *)source; /* its first member */
    if (fs->waiter) {
        fs->got = events;
        fiber_wake(fs->waiter, RC_OK);
        fs->waiter = NULL;
        return;
    }
    /* Nobody asks just now, and the kernel would report it in every turn. A hang-up cannot be switched off, only
     * remembered. */
    if (events & LOOP_HANGUP)
        loop_remove(source);
    else
        (void)loop_change(source, 0);
}

int fiber_source_add(struct fiber_source *fs, int fd)
{
    *fs = (struct fiber_source){.source = {.fd = fd, .ready = source_ready}};
    return loop_add(&fs->source, 0);
}

void fiber_source_remove(struct fiber_source *fs)
{
    loop_remove(&fs->source);
    fs->waiter = NULL;
}

int fiber_wait(struct fiber_source *fs, unsigned events, uint64_t deadline_us, unsigned *got)
{
    CHECK(current);
    CHECK(!fs->waiter);
    fs->got = 0;
    if (fs->source.events == 0)
        fs->got = events | LOOP_HANGUP; /* hung up while nobody waited: reading or writing tells how */
    int rc = RC_OK;
    if (fs->got == 0) {
        rc = loop_change(&fs->source, events);
        fs->waiter = current;
    }
    if (fs->got == 0 && rc == RC_OK) rc = fiber_park(deadline_us);
    fs->waiter = NULL;
    if (got) *got = fs->got;
    return fs->got != 0 ? RC_OK : rc;
}

size_t fiber_stack_high(const struct fiber_pool *pool)
{
    size_t deepest = 0;
    for (unsigned i = 0; i < pool->high; i++) {
        size_t depth = stack_depth(&pool->fibers[i]);
        if (pool->fibers[i].deepest > depth) depth = pool->fibers[i].deepest;
        if (depth > deepest) deepest = depth;
    }
    return deepest;
}
