/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/probe.h — connects to providers that could not be reached, so that no client has to find out.
 *
 * Name, connection, proxy and TLS are tried, and the connection is left to the pool; nothing is asked on it.
 *
 * Owner:   one fiber of the background a provider while its probe is out.
 * Threads: lane only.
 */
#ifndef GATEWAY_PROBE_H
#define GATEWAY_PROBE_H

#include "platform/fiber.h"

enum { PROBES_MAX = 4 /* at once */ };

/* In the loop's first turn. */
void probe_start(struct fiber_pool *pool);
/* The box is stopping: no further probe, and those that are out are cancelled. */
void probe_stop(void);
unsigned probe_running(void);

#endif
