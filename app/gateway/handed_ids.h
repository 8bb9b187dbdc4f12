/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/handed_ids.h — which ids of answers the provider handed out to which tenant.
 *
 * Tenants that share a key of the box could else continue, read or delete each other's responses: behind one key an id is
 * all that the provider asks for. An id that is not among the newest HANDED_IDS_MAX, or was given to somebody else, is
 * unknown.
 *
 * Owner:   one table, of keyed hashes; in RAM only, so that a restart forgets them.
 * Threads: lane only.
 * Not here: clients with a credential of their own; the provider knows whose ids those are.
 */
#ifndef GATEWAY_HANDED_IDS_H
#define GATEWAY_HANDED_IDS_H

#include "app/gateway/flight_call.h"

enum { HANDED_IDS_MAX = 8192 };

/* Notes the id of a complete answer of /v1/responses. */
void handed_ids_take(const struct flight *f);
void handed_ids_note(const struct tenant *tenant, struct span id);
bool handed_ids_known(const struct tenant *tenant, struct span id);

/* Whether the question goes on from an answer that is not this tenant's. */
bool handed_ids_foreign(const struct request *r);
/* Whether the path is that of an answer of this tenant: /v1/responses/ID and what lies under it. */
bool handed_ids_path(const struct request *r);

#endif
