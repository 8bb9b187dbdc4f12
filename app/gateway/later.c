/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/later.c — see later.h. */
#include "app/gateway/later.h"

#include "app/config.h"
#include "app/gateway/deferred.h"
#include "app/gateway/refresh.h"
#include "platform/clock.h"
#include "platform/plan.h"

enum { LOOK_US = 200000, EXTRA = 256 << 10 };

static struct fiber_pool *background;
static struct loop_timer timer;
static struct arena arena;
static struct arena_budget budget;
static bool busy;

int later_reserve(const struct config *config)
{
    void *region;
    size_t size = LATER_ARENA_FACTOR * config->limits.parse_max + EXTRA;
    int rc = plan_take("kept questions", 1, size, PLAN_LAZY, 0, "limits.parse_max", &region);
    if (rc != RC_OK) return rc;
    budget.limit = size;
    arena_init(&arena, region, size, &budget);
    rc = refresh_reserve();
    return rc == RC_OK ? deferred_reserve(config) : rc;
}

static void ask_fiber(void *unused)
{
    (void)unused;
    busy = true;
    if (deferred_is_due())
        deferred_step(&arena);
    else if (refresh_is_due())
        refresh_step(&arena);
    arena_reset(&arena, 0);
    busy = false;
}

static void look(struct loop_timer *fired)
{
    uint64_t pause = LOOK_US;
    if (!busy && (deferred_is_due() || refresh_is_due()) && fiber_start(background, ask_fiber, NULL) == RC_OK && !busy)
        pause = 1000; /* done without a wait: the next one */
    (void)loop_timer_set(fired, clock_monotonic_us() + pause);
}

void later_start(struct fiber_pool *pool)
{
    background = pool;
    timer.fire = look;
    (void)loop_timer_set(&timer, clock_monotonic_us() + LOOK_US);
}

void later_stop(void)
{
    loop_timer_cancel(&timer);
}

bool later_is_busy(void)
{
    return busy;
}
