/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/semantic_pending.c — stands in for the parts of the semantic tier that are not merged yet; goes with them. */
#include "app/gateway/gateway.h"
#include "cache/threshold.h"

#define PENDING __attribute__((weak))

PENDING int semantic_lookup(const struct semantic_question *question, struct arena *arena, struct semantic_found *found)
{
    (void)question;
    (void)arena;
    *found = (struct semantic_found){0};
    return RC_EMPTY;
}

PENDING void threshold_seen(struct threshold_unit *unit, float score)
{
    (void)unit;
    (void)score;
}

PENDING void threshold_label(struct threshold_unit *unit, float score, bool right)
{
    (void)score;
    (void)right;
    unit->labels++;
}

PENDING void threshold_correct(struct threshold_unit *unit, float score, bool right)
{
    threshold_label(unit, score, right);
}

PENDING void threshold_decide(const struct threshold_unit *unit, double delta, bool partial,
                              struct threshold_decision *decision)
{
    (void)delta;
    (void)partial;
    *decision = (struct threshold_decision){.threshold = THRESHOLD_NEVER, .labels = unit->labels};
}

PENDING void wilson_interval(uint64_t errors, uint64_t count, double *low, double *high)
{
    (void)errors;
    (void)count;
    *low = 0;
    *high = 1;
}
