/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/flight_bridge.h — a flight whose provider speaks the other dialect: the request is converted before it is
 * sent, the reply before it is recorded, so that followers, the store and every tier see the client's dialect only.
 *
 * A stream is converted event by event as it comes. An object or an error is gathered first, and nobody is told before
 * it is whole.
 *
 * Owner:   state lies in the flight's arena.
 * Threads: lane only, on the leader's fiber.
 */
#ifndef GATEWAY_FLIGHT_BRIDGE_H
#define GATEWAY_FLIGHT_BRIDGE_H

#include "app/gateway/flight_call.h"

/* Decides whether this link is bridged (f->bridge is set), and writes its body. RC_DENIED: this request cannot go there;
 * f->refusal says why. RC_FULL: no memory. */
int flight_bridge_compose(struct flight *f, const struct config_provider *provider, struct span *body);
/* After the head of a reply has been taken. */
int flight_bridge_head(struct flight *f);
/* Bytes of the body. */
int flight_bridge_take(struct flight *f, struct span piece);
/* The body is whole: what was gathered becomes the reply. */
int flight_bridge_end(struct flight *f);

#endif
