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
void later_stop(void);

#endif
