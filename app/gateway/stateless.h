/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/stateless.h — which paths may be asked with a key that the box holds, besides those that it understands.
 *
 * They leave nothing behind at the provider that another client of the same key could read or change: no files, no
 * batches, no stored answers. Everything else under /v1/ needs the client's own credential.
 *
 * Threads: any; pure.
 */
#ifndef GATEWAY_STATELESS_H
#define GATEWAY_STATELESS_H

#include "platform/span.h"

bool stateless_path(struct span method, struct span path);

#endif
