/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/shadow.h — labels from two answers to one question: after a miss for nothing, after a hit by a check.
 *
 * Miss:    the fresh answer is compared with that of the best candidate, once every client has been served.
 * Check:   a share of the semantic hits is also asked upstream once the client has its hit: of a learning unit half of
 *          the first SHADOW_FIRST hits, then a tenth up to SHADOW_THEN, then, as of presets from the start, shadow.rate;
 *          at most shadow.per_hour_max. Only with a key the box holds (or a keyless provider), never with a client's
 *          credential, and not while the chain fails. The fresh answer is stored as any other.
 * Owner:   the request's fiber goes on when its client has been served: its arena holds both answers.
 * Threads: lane only.
 */
#ifndef GATEWAY_SHADOW_H
#define GATEWAY_SHADOW_H

#include "app/gateway/gateway.h"

enum {
    SHADOW_FIRST = 100,
    SHADOW_THEN = 1000,
    SHADOW_CHECKS_MAX = 2,      /* calls at once */
    SHADOW_COMPARISONS_MAX = 2, /* at once; the next one is left out */
};

int shadow_reserve(const struct config *config);

/* A semantic hit has been sent. May detach the exchange. */
void shadow_check(struct request *r);
/* What a call brought, complete and storable; `form` is enum entry_form. */
void shadow_label_miss(struct request *r, struct span body, unsigned form);

/* Share of hits that are checked: of a unit with so many, learning or not. Pure. */
double shadow_share(bool learning, uint64_t hits, double rate);

#endif
