/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/again.h — a question that outlives its client: as bytes, and asked once more in the background.
 *
 * The bytes are an HTTP request of our own: path, the headers that change answers, the body; no credential, no address.
 * It is asked with the keys the box holds, or of keyless providers, never otherwise.
 *
 * Owner:   the caller owns bytes and arena; what again_read makes lives in the arena.
 * Threads: lane only; again_ask waits.
 */
#ifndef GATEWAY_AGAIN_H
#define GATEWAY_AGAIN_H

#include "app/gateway/flight.h"

enum { AGAIN_HEAD_MAX = 4096 /* a question with longer headers is not kept */ };

/* Bytes of the question in the arena. RC_TOO_LARGE, RC_FULL. */
int again_write(const struct request *r, struct arena *arena, struct span *bytes);

/* A request of this tenant out of bytes, which must stay; under the configuration in force, which must not
 * change before again_ask.
 * RC_INVALID: no question any more; RC_NOT_FOUND: no route, or nobody to pay, or no such virtual key; RC_FULL. */
int again_read(struct span bytes, const struct tenant *tenant, struct arena *arena, struct request **request);

/* Whether the first provider of the chain that would take it can be reached, as far as known. */
bool again_is_online(const struct request *r);

/* Asks the chain; stores what may be stored. */
void again_ask(struct request *r, struct flight_answer *answer);

#endif
