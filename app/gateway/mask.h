/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/mask.h — patterns for what changes in a system prompt without changing the question: dates, times, ids.
 *
 * A route's `mask` lists patterns; what they match in a system prompt counts as one mark in the identity. Letters stand
 * for themselves, and:
 *   \d digit   \x hex digit   \w letter, digit or _   \s blank   . any byte but LF   [a-z0-9_] one of   \c  c itself
 *   after any of these:  ?  at most once   +  once or more   *  any number   {n}  n times   {n,m}  n to m times
 *   {date} 2026-03-14 (also . and /)   {time} 09:26, 9:26:53.5Z, 09:26:53+01:00   {datetime}   {uuid}   {hex} 8 or more
 *   hex digits   {number} 1,234.5   {weekday} Monday … Sunday   {month} January … December (any word shaped like one)
 * There is no choice between branches: list several patterns. Case counts. Bytes above 127 stand for themselves.
 *
 * The leftmost match wins, of several patterns there the longest. A match is at most MASK_MATCH_MAX bytes; matching costs
 * at most that many steps a byte of text, and one step where no pattern begins.
 *
 * Owner:   a compiled mask is the caller's.
 * Threads: any; pure functions.
 */
#ifndef GATEWAY_MASK_H
#define GATEWAY_MASK_H

#include "platform/span.h"

enum { MASK_STEPS_MAX = 64, MASK_MATCH_MAX = 256, MASK_ERROR_MAX = 120 };

struct mask {
    uint64_t accepts[256]; /* by byte: the steps that take it, bit i for step i */
    uint64_t first;        /* steps that a match may begin with */
    uint64_t loops;        /* steps that may be taken again */
    uint64_t skips;        /* steps that may be left out */
    uint64_t last;         /* steps after which the pattern is complete */
    bool leading_loop;     /* begins with a repeated step: no match begins inside a run that has already failed */
};

/* RC_INVALID with a sentence in `error` (terminated). */
int mask_compile(struct span pattern, struct mask *mask, char error[MASK_ERROR_MAX]);
/* For the configuration loader: is it a pattern? */
int mask_check(struct span pattern, char error[MASK_ERROR_MAX]);

struct mask_set {
    const struct mask *masks;
    unsigned count;
};

/* The next match at or after `from`. In the form that cache/canonical.h calls: `context` is a struct mask_set. */
bool mask_find(const void *context, struct span text, size_t from, size_t *start, size_t *end);

#endif
