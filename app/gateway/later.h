/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/later.h — the one who asks what could not be asked: kept questions first, then refreshes, one at a time.
 *
 * Owner:   one fiber of the background while there is something to do; an arena and a budget of its own.
 * Threads: lane only.
 */
#ifndef GATEWAY_LATER_H
#define GATEWAY_LATER_H

#include "platform/fiber.h"

struct config;

enum { LATER_ARENA_FACTOR = 8 /* times parse_max: question read and composed, answer doubling, answer to be kept */ };

int later_reserve(const struct config *config);
/* In the loop's first turn. */
void later_start(struct fiber_pool *pool);
/* The box is stopping; flights_drain cancels the call that is out. */
void later_stop(void);
bool later_is_busy(void);

#endif
