/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/feedback.h — what clients and the administrator say about semantic hits.
 *
 * POST /larder/v1/feedback {"request": id, "verdict": "wrong"|"right", "note"?} from the tenant that made the request.
 * Wrong:   the pair is never served again, on disk before the reply says so (app/gateway/negative.h), and the unit's labels
 *          learn it. Right: a label.
 * Owner:   a ring of the newest FEEDBACK_HITS semantic hits; no prompts or answers in it.
 * Threads: lane; applying waits for the disk (fiber).
 */
#ifndef GATEWAY_FEEDBACK_H
#define GATEWAY_FEEDBACK_H

#include "app/gateway/gateway.h"

enum { FEEDBACK_HITS = 2048, FEEDBACK_BODY_MAX = 8192 };

int feedback_reserve(void);
/* A semantic hit, or a pack's in other words, is about to be sent under r->id. */
void feedback_remember(const struct request *r, uint64_t entry, float score);

/* The handler of the endpoint. */
void feedback_serve(struct request *r);

/* `tenant` NULL: the administrator. RC_NOT_FOUND: none of the newest hits (or another tenant's); else what the disk said. */
int feedback_apply(struct span request, const struct tenant *tenant, bool wrong);
/* The entry answers exact requests only from now on. */
int feedback_reject_entry(uint64_t entry);
/* A tenant's hits are forgotten. */
void feedback_erase(const uint8_t tenant[ENTRY_TENANT_SIZE]);

#endif
