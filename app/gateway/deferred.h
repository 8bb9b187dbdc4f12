/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/deferred.h — ask later: a question that cannot be answered now is kept, asked when the line is back, and
 * its answer fetched at /larder/v1/deferred/ID, which the 202 named.
 *
 * Who:      a client with a virtual key that says `Prefer: respond-async` (RFC 7240), for a chat question that a store may
 *           keep; at most budgets.deferred_max at once, half of them (at least one) for one tenant; an
 *           answer that was fetched makes room when there is none.
 * Kept:     <data>/deferred/ID-TENANT-TIME.question, durable before the 202 leaves; once asked, .answer stands for it.
 *           Body and headers that count, no credential. DEFERRED_KEEP_S after the asking both are removed.
 * Asked:    oldest first, one at a time, with the box's keys, also stored as any other answer. No reply, 5xx, 429, 401, 403
 *           and the like: once more later; any other status is the answer.
 *
 * Owner:    rows of this module; the files are theirs.
 * Threads:  lane only; what touches files waits.
 */
#ifndef GATEWAY_DEFERRED_H
#define GATEWAY_DEFERRED_H

#include "app/gateway/gateway.h"

enum {
    DEFERRED_ID_SIZE = 36, /* "def_" and 32 hex digits */
    DEFERRED_KEEP_S = 7 * 86400,
    DEFERRED_FIRST_PAUSE_S = 1, /* doubled from try to try */
    DEFERRED_MOST_PAUSE_S = 600,
};

int deferred_reserve(const struct config *config);
/* Boot: reads the folder. What cannot be read is said and left. */
void deferred_open(const char *data_folder);

/* Whether the client would have it so. */
bool deferred_is_wanted(const struct request *r);
/* Keeps it; the arena may not be used by others meanwhile. `lines` and `body` of the 202, in the arena. RC_FULL: as many
 * as there may be; file errors. Fiber. */
int deferred_keep(const struct request *r, struct arena *arena, struct span *lines, struct span *body);

/* GET and DELETE of /larder/v1/deferred/ID. */
bool deferred_is_path(struct span path);
void deferred_serve(struct request *r);

bool deferred_is_due(void);
void deferred_step(struct arena *arena);

/* A tenant's questions and answers are removed, files too (fiber; what is being asked just now is waited for).
 * RC_TIMEOUT: that took too long. */
int deferred_erase(const uint8_t tenant[ENTRY_TENANT_SIZE]);

/* One line a question, oldest first. */
void deferred_list(struct text *out);

#endif
