/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/semantic.h — the semantic step of a request: whether it is allowed, its namespace, its decision.
 *
 * Served:  the best candidate without a veto whose score reaches the threshold: learnt from the unit's labels
 *          (semantic: learn) or given (preset). x-larder-similarity-min and what was learnt of one entry only tighten.
 *          A pack's question in other words is served at the standard preset, and comes before the store's candidate.
 * Owner:   nothing; the candidate's reply comes from the store.
 * Threads: lane only; waits for one job of the compute pool, or for the remote embedder.
 * Fails:   a lookup that cannot be made is counted by reason and skipped; it is never waited for without bound.
 * Not here: finding the candidate (cache/semantic.h), labels and thresholds (app/gateway/learn.h), checks of served hits
 *          (app/gateway/shadow.h).
 */
#ifndef GATEWAY_SEMANTIC_H
#define GATEWAY_SEMANTIC_H

#include "app/gateway/gateway.h"

enum { SEMANTIC_LOOKUPS_MAX = 16 /* waiting at once; the next one is skipped */ };
#define SEMANTIC_PRESET_STANDARD 0.93f
#define SEMANTIC_LARDER_US (UINT64_C(5) * 1000 * 1000) /* a question to the packs waits this long for their vectors */

/* Why a request is not looked up. Those up to SEMANTIC_NEVER leave its answer without a vector too. */
enum semantic_skip {
    SKIP_ROUTE, /* semantic: off */
    SKIP_TOOLS,
    SKIP_MEDIA,
    SKIP_MANY,
    SKIP_SCHEMA,
    SKIP_HISTORY,
    SKIP_LONG,     /* over 256 pieces, or its text was cut */
    SKIP_EMPTY,    /* no text */
    SKIP_ENDPOINT, /* its answers are for the same request only */
    SKIP_BYPASS,
    SEMANTIC_NEVER = SKIP_BYPASS,
    SKIP_WISH, /* no-cache */
    SKIP_SAMPLED,
    SKIP_REJECTED, /* the provider refused this credential */
    SKIP_EMBEDDER, /* none */
    SKIP_NOT_READY,
    SKIP_BUSY,
    SKIP_TIMEOUT,
    SKIP_FAILED,
    SKIPS, /* none of them */
};
const char *semantic_skip_name(enum semantic_skip skip);
enum semantic_skip semantic_skip_of(const struct request *r);
uint64_t semantic_skipped(enum semantic_skip skip); /* so often since boot */

/* Boot. */
int semantic_step_reserve(const struct config *config);

/* RC_OK: the reply has been sent. RC_NOT_FOUND: go upstream; r->semantic then holds the question's vector for the store
 * and the candidate to compare the fresh answer with. */
int answer_semantic(struct request *r);
/* The same for a model of the box's own, which only packs know. */
int answer_larder(struct request *r);

/* Whether the candidate may be served now, or (`offline`) while no provider can be reached. */
bool semantic_allows(const struct request *r, bool offline);
/* Likewise for a pack's question. `key` names it among the pairs that were reported. */
bool semantic_allows_pack(const struct request *r, uint64_t key, float score);

/* Where the answer of a question that was not looked up belongs, so that other wordings find it. */
void semantic_place(struct request *r);
/* The vector to store the answer with, NULL: exact only. */
const struct entry_vector *semantic_vector(struct request *r);

#endif
