/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/forward.h — what passes through unparsed and uncached: unknown /v1/ paths, and bodies above parse_max.
 *
 * Both bodies stream in pieces of fixed size; nothing is retried after the first byte.
 *
 * Threads: lane only, on the request's fiber.
 */
#ifndef GATEWAY_FORWARD_H
#define GATEWAY_FORWARD_H

#include "app/gateway/upstream_call.h"

/* `stateless`: a route that a key of the box may pay for too. `prefix`: body bytes already read; `more`: others follow. */
void forward_stream(struct request *r, bool stateless, struct span prefix, bool more);

#endif
