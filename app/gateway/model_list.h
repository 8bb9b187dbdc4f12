/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/model_list.h — GET /v1/models: the lists of the providers a client may use, merged, cached, offline too.
 *
 * Each provider's list is kept in the store as an entry of its own (per tenant where the client's credential pays), fresh
 * for an hour, served past that while the provider cannot be reached. The model `larder` is always listed, the box's embedding model where it is loaded.
 *
 * Threads: lane only, on the request's fiber.
 */
#ifndef GATEWAY_MODEL_LIST_H
#define GATEWAY_MODEL_LIST_H

#include "app/gateway/upstream_call.h"

/* GET /v1/models, and /v1/models/ID: what the list says of one model, or the provider itself when it is not there. */
bool model_list_is_path(struct span path);
void model_list_serve(struct request *r);

#endif
