/* SPDX-License-Identifier: Apache-2.0 */
/* platform/fiber.h — functions that can wait: each runs on its own guard-paged stack, on the lane.
 *
 * Owner:   a fiber_pool owns the stacks, reserved at boot; a fiber gives its stack back when its function returns.
 * Threads: lane only.
 * Fails:   RC_FULL when every stack of the pool is in use.
 * Rule:    every wait has a deadline. Cancelling is sticky: the wait in progress and all later ones return RC_CANCELLED
 *          at once until fiber_cancel_clear.
 */
#ifndef PLATFORM_FIBER_H
#define PLATFORM_FIBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/loop.h"

enum { FIBER_POOLS_MAX = 8 };

struct fiber;

struct fiber_pool {
    const char *name;
    struct fiber *fibers;
    struct fiber *free_list;
    unsigned count, used, high;
    size_t stack_size;
    unsigned char *stacks; /* of the first fiber, above its guard page */
};

/* Stacks of `stack_size` bytes (whole pages) with a guard page below each. Plan terms "<name> stacks". */
int fiber_pool_reserve(struct fiber_pool *pool, const char *name, unsigned count, size_t stack_size, const char *lower);

/* Every pool reserved so far, for metrics; NULL past the last. */
const struct fiber_pool *fiber_pool_at(unsigned index);

/* Runs `run(arg)` at once, until it first waits; then returns to the caller. Callable from a fiber too. */
int fiber_start(struct fiber_pool *pool, void (*run)(void *arg), void *arg);

struct fiber *fiber_self(void); /* NULL outside of fibers */

/* Waits until fiber_wake(self, rc) (returns that rc), the deadline (RC_TIMEOUT) or cancellation (RC_CANCELLED). */
int fiber_park(uint64_t deadline_us);
/* Makes a parked fiber ready; it runs in this turn. A wake for a fiber that is not parked is kept for its next park. */
void fiber_wake(struct fiber *fiber, int rc);
void fiber_cancel(struct fiber *fiber);
void fiber_cancel_clear(struct fiber *fiber); /* of the fiber itself, for work that goes on without its asker */
bool fiber_cancelled(void);

int fiber_sleep_until(uint64_t deadline_us); /* RC_OK at the deadline, or RC_CANCELLED */
/* Waits for one of `events` (LOOP_READ | LOOP_WRITE | LOOP_HANGUP) on a source that was added by loop_add with
 * fiber_source_add; what came is in *got (may be NULL). Another wake ends the wait too: its rc, and *got is 0. */
struct fiber_source {
    struct loop_source source;
    struct fiber *waiter;
    unsigned got;
};
int fiber_source_add(struct fiber_source *fs, int fd); /* no events asked for yet */
void fiber_source_remove(struct fiber_source *fs);
int fiber_wait(struct fiber_source *fs, unsigned events, uint64_t deadline_us, unsigned *got);

/* Deepest use of any stack of the pool, in bytes, from a fill pattern or resident pages; for metrics and the plan. */
size_t fiber_stack_high(const struct fiber_pool *pool);

#endif
