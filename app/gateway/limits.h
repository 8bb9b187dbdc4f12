/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/limits.h — how much a virtual key's tenant may use upstream: requests, tokens, money, calls at once.
 *
 * When:    at the step before the call upstream. What the box answers itself costs nothing and is never refused; a
 *          follower of somebody's call is not charged.
 * Scopes:  the tenant's own limits, its first entry of `models` that matches, its group's limits, and the group's first
 *          such entry. Each counts for itself; a call needs room in all of them.
 * Windows: per minute: a bucket as large as the limit, filled at its rate. Per day and month: calendar windows of UTC.
 *          A clock that goes back starts no new window and fills no bucket.
 * Charge:  before the call one request, the input's bytes / 4 and as many output tokens as asked for (LIMITS_OUTPUT_GUESS
 *          unless said, LIMITS_OUTPUT_MOST at most), priced by the table; after it what the provider counted. So a limit
 *          can be overshot by what the calls under way answer beyond the guess: bound that with `concurrent`. An answer
 *          without a usage (cut off, or too large to be kept) is charged by its bytes, at least as guessed; a call that
 *          its client left before the answer as guessed; a provider's error as nothing but a request; a call that no
 *          provider answered as nothing. A bucket may go below zero and is filled from there.
 * File:    <data>/limits, within LIMITS_SAVE_US: kill -9 or a power cut forgets at most the charges of that time.
 * Owner:   this module; a ticket belongs to its request.
 * Threads: lane only; nothing waits.
 */
#ifndef GATEWAY_LIMITS_H
#define GATEWAY_LIMITS_H

#include "app/gateway/gateway.h"

enum {
    LIMITS_SCOPES =
        640, /* tables of counters: every entry and model entry of a full configuration, and some gone ones */
    LIMITS_OUTPUT_GUESS = 1024,
    LIMITS_OUTPUT_MOST = 4096,
    LIMITS_BYTES_A_TOKEN = 4,
    LIMITS_STREAM_BYTES_A_TOKEN = 128, /* an event around each: fewer than any provider sends, so the guess is high */
    LIMITS_MARKS = 64,                 /* tenants remembered as being at a limit */
    LIMITS_LINES_MAX = 640,
};
#define LIMITS_SAVE_US (UINT64_C(10) * 1000 * 1000)

int limits_reserve(void);
int limits_open(const char *data_folder, char *message, size_t message_size);
void limits_close(void);

/* The entry of the configuration for a tenant of this name, and its group's, into r->rules. */
void limits_find_rules(struct request *r, struct span name);
/* Whether its providers list allows this one. */
bool limits_allow_provider(const struct request *r, unsigned provider);
/* Whether it allows one of the route's. */
bool limits_allow_any(const struct request *r);

/* What refuses a call. */
struct limit_refusal {
    const char *code; /* "rate_limit_exceeded", or "insufficient_quota" when the money is spent */
    int64_t retry_after_s;
    char message[200];
};

/* Takes from every scope, or from none: RC_FULL and why. RC_OK at once for everybody without limits. */
int limits_take(struct request *r, struct limit_refusal *refusal);
/* The same for a body that is not read: RC_TOO_LARGE when tokens or money are limited, since they cannot be counted. */
int limits_take_unread(struct request *r, struct limit_refusal *refusal);
/* The call is over. `usage` NULL: it is not known, the guess stands; a record of zeroes: nothing came. */
void limits_settle(struct request *r, const struct usage *usage, uint64_t cost);
/* The same when nobody counted: what was reserved, or this if it is more. */
void limits_settle_guess(struct request *r, const struct usage *usage, uint64_t cost);
/* There was no call after all. */
void limits_give_back(struct request *r);

/* Whether the tenant could make no call now, or was refused one and the time has not come: a reply from the box then says
 * so. */
bool limits_are_spent(const struct request *r);
/* The same as remembered, by the first bytes of a tenant's id: cheap, for the short cut. */
bool limits_are_marked(uint64_t tenant);

/* The provider's header lines for a virtual key's reply: without the box's own standing there (rate limits,
 * organization), with the tenant's limits per minute in the dialect's fields. RC_FULL. */
int limits_lines(const struct request *r, struct span lines, struct arena *arena, struct span *out);

/* For `tenant show`: one line a limit. */
void limits_print(const struct config *config, struct span name, struct text *out);

#endif
