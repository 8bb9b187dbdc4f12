/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/retry.h — whether a failed call is worth another one, and after which pause. Pure.
 *
 * Tried again: no connection, no reply, 408, 409, 429 and 5xx, as long as nobody has had a byte of the reply.
 * Pause:       `retry.base` doubled from try to try, up to `retry.max`, the second half of it by chance, so that many
 *              clients of one outage do not come back together; longer when the provider asks for longer. One that asks
 *              for more than `retry.max`, or than the deadline leaves, is not waited for: its answer goes out at once.
 * Threads:     any.
 */
#ifndef GATEWAY_RETRY_H
#define GATEWAY_RETRY_H

#include "app/config.h"
#include "net/http1.h"

bool retry_is_worth(unsigned status);

/* What the reply asks for: retry-after-ms, else Retry-After in seconds or as a date (RFC 9110 section 10.2.3), in ms; at
 * most a day; -1: nothing that makes sense. */
int64_t retry_after_ms(const struct http_head *head, uint64_t wall_us);

/* Before the try after number `attempt` (from 0). `chance`: any random bits. */
uint64_t retry_pause_us(const struct config_provider *provider, unsigned attempt, int64_t after_ms, uint32_t chance);

#endif
