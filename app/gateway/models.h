/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/models.h — GET /v1/models: the lists of the providers a client may use, merged, cached, offline too.
 *
 * Each provider's list is kept in the store as an entry of its own (per tenant where the client's credential pays), fresh
 * for an hour, served past that while the provider cannot be reached. The model `larder` is always listed.
 *
 * Threads: lane only, on the request's fiber.
 */
#ifndef GATEWAY_MODELS_H
#define GATEWAY_MODELS_H

#include "app/gateway/upstream_call.h"

void models_serve(struct request *r);

#endif
