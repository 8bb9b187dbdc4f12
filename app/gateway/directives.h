/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/directives.h — what a client allows the cache to do (RFC 9111 section 5.2.1, RFC 5861 section 4).
 *
 * Threads: any; pure.
 */
#ifndef GATEWAY_DIRECTIVES_H
#define GATEWAY_DIRECTIVES_H

#include "app/gateway/gateway.h"

/* Cache-Control and x-larder-cache. `no-cache` beside `Accept: text/event-stream` is some clients' convention for
 * streams, not a wish, and is ignored; x-larder-cache: no-cache always counts. */
void directives_read(const struct http_head *head, struct directives *d);

/* Whether an entry of this age (seconds) may be served: fresh, or as stale as the client says it takes. */
bool directives_allow(const struct directives *d, int64_t age_s, int64_t ttl_s);

#endif
