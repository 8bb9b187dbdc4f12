/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/semantic.h — the semantic step of a request: whether it is allowed, its namespace, its decision.
 *
 * Owner:   nothing; the candidate's reply comes from the store.
 * Threads: lane only; waits for one job of the compute pool.
 * Not here: finding the candidate (cache/semantic.h), labels and thresholds (app/gateway/learn.h), checks of served hits
 *          (app/gateway/shadow.h).
 */
#ifndef GATEWAY_SEMANTIC_H
#define GATEWAY_SEMANTIC_H

#include "app/gateway/gateway.h"
#include "cache/semantic.h"

/* RC_OK: the reply has been sent. RC_NOT_FOUND: go upstream; r->semantic then holds the question's vector for the store
 * and the candidate to compare the fresh answer with. */
int answer_semantic(struct request *r);

#endif
