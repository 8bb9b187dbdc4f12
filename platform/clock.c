/* SPDX-License-Identifier: Apache-2.0 */
/* platform/clock.c — system time, a floor under it, and an anchor once somebody trustworthy disagreed with it.
 *
 * The anchor is (wall − monotonic): wall time then follows the monotonic clock, so that a system clock that is stepped
 * later (a time daemon that comes up late) is not added on top of it.
 */
#include "platform/clock.h"

#include <stdatomic.h>
#include <sys/timex.h>
#include <time.h>

enum { AGREE_US = 2 * 1000 * 1000 };

/* A clock that was confirmed, saved and then slewed back a little is not "unset". */
#define FLOOR_SLACK_US (60 * CLOCK_SECOND)

static _Atomic uint64_t floor_us;
static _Atomic uint64_t anchor_us; /* 0: wall time is the system's */
static _Atomic bool confirmed;
static _Atomic bool faked;
static _Atomic uint64_t fake_monotonic_us, fake_wall_us;

static uint64_t read_clock(clockid_t id)
{
    struct timespec t;
    if (clock_gettime(id, &t) != 0) return 0;
    return (uint64_t)t.tv_sec * CLOCK_SECOND + (uint64_t)t.tv_nsec / 1000;
}

uint64_t clock_monotonic_us(void)
{
    if (atomic_load_explicit(&faked, memory_order_relaxed))
        return atomic_load_explicit(&fake_monotonic_us, memory_order_relaxed);
    return read_clock(CLOCK_MONOTONIC);
}

static uint64_t system_wall_us(void)
{
    if (atomic_load_explicit(&faked, memory_order_relaxed))
        return atomic_load_explicit(&fake_wall_us, memory_order_relaxed);
    return read_clock(CLOCK_REALTIME);
}

static bool below_floor(uint64_t wall_us)
{
    return wall_us + FLOOR_SLACK_US < atomic_load_explicit(&floor_us, memory_order_relaxed);
}

uint64_t clock_wall_us(void)
{
    uint64_t anchor = atomic_load_explicit(&anchor_us, memory_order_relaxed);
    if (anchor != 0) return clock_monotonic_us() + anchor;
    uint64_t wall = system_wall_us();
    if (below_floor(wall)) return atomic_load_explicit(&floor_us, memory_order_relaxed) + clock_monotonic_us();
    return wall;
}

uint64_t clock_cpu_us(void)
{
    return read_clock(CLOCK_PROCESS_CPUTIME_ID);
}

enum clock_trust clock_trust(void)
{
    if (atomic_load_explicit(&anchor_us, memory_order_relaxed) != 0) return CLOCK_CONFIRMED;
    if (below_floor(system_wall_us())) return CLOCK_UNSET;
    return atomic_load_explicit(&confirmed, memory_order_relaxed) ? CLOCK_CONFIRMED : CLOCK_PLAUSIBLE;
}

void clock_floor_set(uint64_t wall_us)
{
    atomic_store_explicit(&floor_us, wall_us, memory_order_relaxed);
}

static bool agree(uint64_t a, uint64_t b)
{
    return (a > b ? a - b : b - a) < AGREE_US;
}

void clock_confirm(uint64_t wall_us)
{
    /* A confirmed time may go back, below the floor too. */
    if (below_floor(wall_us)) clock_floor_set(wall_us);
    if (agree(system_wall_us(), wall_us)) {
        atomic_store_explicit(&anchor_us, 0, memory_order_relaxed);
    } else if (clock_trust() == CLOCK_UNSET || !agree(clock_wall_us(), wall_us)) {
        uint64_t now = clock_monotonic_us();
        atomic_store_explicit(&anchor_us, wall_us > now ? wall_us - now : 1, memory_order_relaxed);
    }
    atomic_store_explicit(&confirmed, true, memory_order_relaxed);
}

bool clock_confirm_from_kernel(void)
{
    struct timex state = {.modes = 0};
    if (adjtimex(&state) < 0) return false;
    if (state.status & STA_UNSYNC) return false;
    clock_confirm(system_wall_us());
    return true;
}

void clock_fake(uint64_t monotonic_us, uint64_t wall_us)
{
    atomic_store_explicit(&fake_monotonic_us, monotonic_us, memory_order_relaxed);
    atomic_store_explicit(&fake_wall_us, wall_us, memory_order_relaxed);
    atomic_store_explicit(&faked, true, memory_order_relaxed);
}

void clock_fake_advance(uint64_t us)
{
    atomic_fetch_add_explicit(&fake_monotonic_us, us, memory_order_relaxed);
    atomic_fetch_add_explicit(&fake_wall_us, us, memory_order_relaxed);
}

/* Back to the real clock as at start: what tests confirmed against a fake one means nothing for it. */
void clock_fake_off(void)
{
    atomic_store_explicit(&faked, false, memory_order_relaxed);
    atomic_store_explicit(&anchor_us, 0, memory_order_relaxed);
    atomic_store_explicit(&confirmed, false, memory_order_relaxed);
    atomic_store_explicit(&floor_us, 0, memory_order_relaxed);
}
