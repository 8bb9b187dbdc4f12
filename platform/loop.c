/* SPDX-License-Identifier: Apache-2.0 */
/* platform/loop.c — epoll, a heap of timers, and a list that other threads push to. */
#include "platform/loop.h"

#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "platform/check.h"
#include "platform/clock.h"
#include "platform/plan.h"
#include "platform/rc.h"

enum {
    BATCH = 128,
    /* A deadline this far away is measured from the turn's start; nearer ones are worth reading the clock again. */
    NEAR_US = 100 * 1000,
};

#define ATTACHED 0x80000000u /* in loop_source.events: the kernel knows this source */

struct slot {
    uint64_t deadline_us;
    struct loop_timer *timer;
};

static int epoll_fd = -1;
static int event_fd = -1;
static uint64_t now_us;

static struct slot *heap; /* heap[1] is due first */
static unsigned heap_count, heap_max;

static struct epoll_event batch[BATCH];
static int batch_count, batch_next;

static _Atomic(struct loop_call *) posted;
static atomic_bool sleeping, stop;

static void (*idle_hook)(void);
static void (*woken_hook)(void);
static bool woken;

int loop_reserve(unsigned timers_max)
{
    void *region;
    CHECK(epoll_fd < 0);
    int rc = plan_take("loop timers", (size_t)timers_max + 1, sizeof(struct slot), PLAN_LAZY, 0, NULL, &region);
    if (rc != RC_OK) return rc;
    heap = region;
    heap_max = timers_max;
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (epoll_fd < 0 || event_fd < 0) return RC_IO;
    /* Edge triggered: every write wakes, nobody has to read it. */
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.ptr = NULL};
    return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, event_fd, &event) == 0 ? RC_OK : RC_IO;
}

static uint32_t kernel_events(unsigned events)
{
    uint32_t kernel = 0;
    if (events & LOOP_READ) kernel |= EPOLLIN;
    if (events & LOOP_WRITE) kernel |= EPOLLOUT;
    if (events & LOOP_PEER_CLOSED) kernel |= EPOLLRDHUP;
    return kernel;
}

static unsigned our_events(uint32_t kernel)
{
    unsigned events = 0;
    if (kernel & EPOLLIN) events |= LOOP_READ;
    if (kernel & EPOLLOUT) events |= LOOP_WRITE;
    if (kernel & EPOLLRDHUP) events |= LOOP_PEER_CLOSED;
    if (kernel & (EPOLLHUP | EPOLLERR)) events |= LOOP_HANGUP;
    return events;
}

static int control(struct loop_source *source, int operation, unsigned events)
{
    struct epoll_event event = {.events = kernel_events(events), .data.ptr = source};
    if (epoll_ctl(epoll_fd, operation, source->fd, &event) == 0) return RC_OK;
    return errno == ENOSPC || errno == ENOMEM ? RC_FULL : RC_IO;
}

int loop_add(struct loop_source *source, unsigned events)
{
    int rc = control(source, EPOLL_CTL_ADD, events);
    source->events = rc == RC_OK ? events | ATTACHED : 0;
    return rc;
}

int loop_change(struct loop_source *source, unsigned events)
{
    CHECK(source->events & ATTACHED);
    if (source->events == (events | ATTACHED)) return RC_OK;
    int rc = control(source, EPOLL_CTL_MOD, events);
    if (rc == RC_OK) source->events = events | ATTACHED;
    return rc;
}

void loop_remove(struct loop_source *source)
{
    if (!(source->events & ATTACHED)) return;
    CHECK(control(source, EPOLL_CTL_DEL, 0) == RC_OK);
    source->events = 0;
    for (int i = batch_next; i < batch_count; i++) {
        if (batch[i].data.ptr == source) batch[i].data.ptr = NULL;
    }
}

static void slot_put(unsigned place, struct slot slot)
{
    heap[place] = slot;
    slot.timer->place = place;
}

static void sift_up(unsigned place, struct slot slot)
{
    while (place > 1 && heap[place / 2].deadline_us > slot.deadline_us) {
        slot_put(place, heap[place / 2]);
        place /= 2;
    }
    slot_put(place, slot);
}

static void sift_down(unsigned place, struct slot slot)
{
    for (;;) {
        unsigned child = place * 2;
        if (child > heap_count) break;
        if (child < heap_count && heap[child + 1].deadline_us < heap[child].deadline_us) child++;
        if (heap[child].deadline_us >= slot.deadline_us) break;
        slot_put(place, heap[child]);
        place = child;
    }
    slot_put(place, slot);
}

static void slot_settle(unsigned place, struct slot slot)
{
    if (place > 1 && heap[place / 2].deadline_us > slot.deadline_us)
        sift_up(place, slot);
    else
        sift_down(place, slot);
}

int loop_timer_set(struct loop_timer *timer, uint64_t deadline_us)
{
    struct slot slot = {deadline_us, timer};
    timer->deadline_us = deadline_us;
    if (timer->place != 0) {
        slot_settle(timer->place, slot);
        return RC_OK;
    }
    if (heap_count == heap_max) return RC_FULL;
    sift_up(++heap_count, slot);
    return RC_OK;
}

void loop_timer_cancel(struct loop_timer *timer)
{
    unsigned place = timer->place;
    if (place == 0) return;
    CHECK(place <= heap_count);
    CHECK(heap[place].timer == timer);
    timer->place = 0;
    struct slot last = heap[heap_count--];
    if (last.timer != timer) slot_settle(place, last);
}

void loop_post(struct loop_call *call)
{
    struct loop_call *first = atomic_load(&posted);
    do {
        call->next = first;
    } while (!atomic_compare_exchange_weak(&posted, &first, call));
    /* The lane says that it sleeps before it looks at the list, this looks after it has put the call there: one of the
     * two sees the other. A call that is not the first has a first one whose poster took care. */
    if (!first && atomic_load(&sleeping)) (void)eventfd_write(event_fd, 1);
}

void loop_stop(void)
{
    int error = errno;
    atomic_store(&stop, true);
    (void)eventfd_write(event_fd, 1);
    errno = error;
}

uint64_t loop_now_us(void)
{
    if (now_us == 0) now_us = clock_monotonic_us();
    return now_us;
}

void loop_idle_hook(void (*hook)(void))
{
    idle_hook = hook;
}

void loop_woken_hook(void (*run)(void))
{
    woken_hook = run;
}

void loop_woken(void)
{
    woken = true;
}

/* Milliseconds for epoll, rounded up: waking too early would only mean to wait again. */
static int wait_ms(uint64_t wait_us)
{
    if (woken || atomic_load(&posted)) return 0;
    if (heap_count > 0) {
        uint64_t due = heap[1].deadline_us;
        uint64_t now = due < now_us + NEAR_US ? clock_monotonic_us() : now_us;
        uint64_t left = due > now ? due - now : 0;
        if (left < wait_us) wait_us = left;
    }
    if (wait_us == CLOCK_NEVER) return -1;
    uint64_t ms = wait_us / 1000 + (wait_us % 1000 != 0);
    return ms < INT_MAX ? (int)ms : INT_MAX;
}

static void run_posted(void)
{
    if (!atomic_load_explicit(&posted, memory_order_relaxed)) return;
    struct loop_call *newest = atomic_exchange(&posted, NULL);
    struct loop_call *oldest = NULL;
    while (newest) {
        struct loop_call *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest) {
        struct loop_call *call = oldest;
        oldest = call->next;
        call->run(call);
    }
}

static void run_ready(int count)
{
    batch_count = count;
    batch_next = 0;
    while (batch_next < batch_count) {
        const struct epoll_event *event = &batch[batch_next++];
        struct loop_source *source = event->data.ptr;
        if (!source) continue;
        /* What was asked for may have changed since the kernel reported. */
        unsigned events = our_events(event->events) & (source->events | LOOP_HANGUP);
        if (events != 0) source->ready(source, events);
    }
    batch_count = 0;
}

/* At most as many as are set now: a timer that sets itself again at once does not hold up the turn. */
static void run_timers(void)
{
    for (unsigned left = heap_count; left > 0 && heap_count > 0 && heap[1].deadline_us <= now_us; left--) {
        struct loop_timer *timer = heap[1].timer;
        loop_timer_cancel(timer);
        timer->fire(timer);
    }
}

int loop_turn(uint64_t wait_us)
{
    int timeout = 0;
    CHECK(epoll_fd >= 0);
    /* Between this store and the wait a post writes the eventfd, so none is slept through. */
    atomic_store(&sleeping, true);
    if (!atomic_load(&stop)) timeout = wait_ms(wait_us);
    int count = epoll_wait(epoll_fd, batch, BATCH, timeout);
    atomic_store(&sleeping, false);
    if (count < 0 && errno != EINTR) return RC_IO;
    now_us = clock_monotonic_us();
    run_posted();
    run_ready(count > 0 ? count : 0);
    run_timers();
    if (woken) {
        woken = false;
        woken_hook();
    }
    if (idle_hook) idle_hook();
    return RC_OK;
}

int loop_run(void)
{
    int rc = RC_OK;
    while (rc == RC_OK && !atomic_load(&stop)) rc = loop_turn(CLOCK_NEVER);
    atomic_store(&stop, false);
    return rc;
}
