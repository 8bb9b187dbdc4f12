/* SPDX-License-Identifier: Apache-2.0 */
/* cache/threshold.h — from which score on a candidate may be served: learnt from labels, bounded per hit.
 *
 * Rule:    labels (score, right) of the last THRESHOLD_WINDOW candidates that no guard vetoed, score ≥ 0.70, in bins of
 *          0.02, and the count of all such candidates per bin. p = (errors + 1/4) / (n + 1/2) per bin; from the top bin
 *          down, error of "serve everything from here up" is the traffic-weighted mean of p with
 *          sd = sqrt(Σ weight² · p(1 − p) / (n + 1)); the threshold is the lowest bin with error + 1.64 sd ≤ delta that had
 *          candidates; stop at the first failure once THRESHOLD_LABELS_MIN labels lie above. Below that many labels:
 *          nothing is served. Delta is an aim per hit, no proof: labels of a cache that has filled since flatter.
 * Window:  one for all bins. Every miss brings a label and of the hits only a share, so the labels of the bins that are
 *          served are pushed out and serving pauses until they are back. That costs hits and is what keeps the bound when
 *          the questions change: without fresh labels nothing is served (docs/quality.md has the figures of both).
 * Owner:   the caller owns struct threshold_unit, one a (tenant, route, embedder).
 * Threads: pure; one at a time a unit.
 */
#ifndef CACHE_THRESHOLD_H
#define CACHE_THRESHOLD_H

#include <stdbool.h>
#include <stdint.h>

enum {
    THRESHOLD_BINS = 15, /* 0.70, 0.72 … 0.98 */
    THRESHOLD_WINDOW = 1000,
    THRESHOLD_LABELS_MIN = 100,
};
#define THRESHOLD_FLOOR 0.70f
#define THRESHOLD_NEVER 2.0f /* above every score */

struct threshold_unit {
    uint16_t window[THRESHOLD_WINDOW]; /* bin, right or wrong; oldest overwritten */
    uint16_t next, filled;
    uint32_t seen[THRESHOLD_BINS]; /* all candidates, halved together when one is full */
    uint32_t labels;               /* ever */
};

/* A candidate that no guard vetoed was found, labelled or not. */
void threshold_seen(struct threshold_unit *unit, float score);
void threshold_label(struct threshold_unit *unit, float score, bool right);
/* Feedback contradicts an earlier label: the newest one of the same bin and the opposite verdict is turned round; without
 * one it is a label as any other. */
void threshold_correct(struct threshold_unit *unit, float score, bool right);

struct threshold_decision {
    float threshold;         /* THRESHOLD_NEVER: nothing is served */
    float error, error_high; /* of what it serves: estimate, and the bound that was compared with delta */
    unsigned labels, labels_above, errors_above;
    float share; /* of the candidates seen, that it would serve */
};
/* `partial`: what the rule would say with fewer labels (for reports). When nothing is served, only `labels` is told. */
void threshold_decide(const struct threshold_unit *unit, double delta, bool partial,
                      struct threshold_decision *decision);

/* Wilson score interval at 95 % (Wilson 1927) of `errors` in `count`; 0 … 1 without observations. */
void wilson_interval(uint64_t errors, uint64_t count, double *low, double *high);

#endif
