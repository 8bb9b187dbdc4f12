/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/flight.h — one upstream call and everyone who waits for it.
 *
 * The asker that finds nothing stored leads: its fiber makes the call and records the reply; its own client and all
 * identical askers that come meanwhile (followers) are sinks: connections without stack or arena that are sent what has
 * been recorded so far at once, then the live tail. Recording never delays a stream. A recording larger than
 * `parse_max` is not kept: from there on nobody can join, and the slowest sink holds back reading.
 *
 * Owner:   a flight lives in its leader's request arena until the leader's fiber returns.
 * Threads: lane only.
 */
#ifndef GATEWAY_FLIGHT_H
#define GATEWAY_FLIGHT_H

#include "app/gateway/gateway.h"

/* RC_OK when the request now follows a flight (its exchange is detached: return at once); RC_NOT_FOUND. */
int flight_join(struct request *r);

/* Leads: replies to everyone, stores what may be stored. `bypass`: nobody may join and nothing is stored. */
void flight_lead(struct request *r, bool bypass);

/* A call that no client waits for, with a request whose reply has been sent: its exchange is detached first, so that the
 * client goes on; or one that has no connection (app/gateway/again.h). Stores what may be stored. RC_OK: a complete answer that may be stored; else it is none. */
struct flight_answer {
    struct span body; /* in the request's arena */
    enum entry_form form;
    unsigned status;          /* 0: no reply came */
    const char *content_type; /* NULL: none */
    bool complete, storable;
    bool overflow; /* larger than parse_max: `body` is not all of it */
};
int flight_ask(struct request *r, struct flight_answer *answer);

/* A call whose reply the caller makes into one of its own: nothing is sent, followed or stored, the provider's head lines
 * are kept. RC_OK: a whole reply, of whatever status, or an error of our own in its place (`local`). RC_UNREACHABLE: no
 * provider gave one; RC_DENIED: none takes this request's credential; RC_TOO_LARGE: more than parse_max; RC_FULL: no
 * place or memory; RC_CANCELLED: the client is gone. */
struct flight_fetched {
    unsigned status;
    const char *content_type;
    struct span lines, body; /* in the request's arena */
    char request_id[REQUEST_ID_SIZE + 1];
    bool local, no_store;
    int64_t upstream_ms, retry_after_s;
    unsigned link; /* of the chain */
};
int flight_fetch(struct request *r, struct flight_fetched *fetched);

/* A place among the requests that are in or wait for an upstream call, three quarters of all, so that there is always one
 * free for a hit. False: all are taken. */
bool flight_place_take(const struct request *r);
void flight_place_give(void);
/* Says so to the client. */
void flight_place_refuse(struct request *r);

unsigned flights_now(void);
/* The box is stopping: no call goes on for the store alone. */
void flights_drain(void);

#endif
