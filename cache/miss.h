/* SPDX-License-Identifier: Apache-2.0 */
/* cache/miss.h — why a request missed: a RAM table of the parts of recent requests, one reason per miss.
 *
 * Owner:   a fixed ring with an index, MISS_RECENT requests; equal requests are found as the newest of them.
 * Threads: lane only.
 * Reasons: never_seen, expired, evicted, differs:{route,model,system,tools,parameters,history,query}, bypass,
 *          not_storable. `differs:X` names the one part in which the nearest recent request differs when exactly one
 *          does (of several such, the newest); several differing parts are never_seen. A request that is there as a
 *          whole is not_storable or evicted, as it was settled, else (its answer is not known yet) never_seen. An answer
 *          that the store had no room for at that moment is not_storable, a stored one that could not be read for want
 *          of room is bypass: neither was evicted.
 * Cost:    explaining is eight look-ups in a hash table, remembering as many changes of it.
 */
#ifndef CACHE_MISS_H
#define CACHE_MISS_H

#include "cache/canonical.h"

enum { MISS_RECENT = 4096 };

enum miss_reason {
    MISS_NONE, /* not a miss */
    MISS_NEVER_SEEN,
    MISS_EXPIRED,
    MISS_EVICTED,
    MISS_DIFFERS, /* + part */
    MISS_BYPASS,
    MISS_NOT_STORABLE, /* seen before, and its answer could not be kept */
};

int miss_reserve(void);
/* RC_OK with reason and part by the rules above (part is PARTS unless differs); the caller overrides with EXPIRED,
 * EVICTED or BYPASS what it knows. Call before miss_remember of the same request. */
void miss_explain(const struct request_parts *parts, enum miss_reason *reason, enum request_part *part);
/* Remembers a request that went upstream; `storable` is set later by miss_settle (same parts). */
void miss_remember(const struct request_parts *parts);
void miss_settle(const struct request_parts *parts, bool storable);
/* "never_seen", "differs:system" …; static text. */
const char *miss_text(enum miss_reason reason, enum request_part part);

#endif
