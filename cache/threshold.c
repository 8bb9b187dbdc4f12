/* SPDX-License-Identifier: Apache-2.0 */
/* cache/threshold.c — counts per bin of score, and the walk from the top bin down. */
#include "cache/threshold.h"

#include <math.h>

enum { NO_BIN = THRESHOLD_BINS, LABEL_BIN = 15, LABEL_RIGHT = 16 };

/* The lower border of a bin, as the very number that a score is compared with when it is served. */
static float border(unsigned bin)
{
    return (float)(70 + 2 * bin) / 100;
}

static unsigned bin_of(float score)
{
    unsigned bin = NO_BIN;
    while (bin > 0 && !(score >= border(bin - 1))) bin--;
    return bin > 0 ? bin - 1 : NO_BIN;
}

void threshold_seen(struct threshold_unit *unit, float score)
{
    unsigned bin = bin_of(score);
    if (bin == NO_BIN) return;
    if (unit->seen[bin] == UINT32_MAX)
        for (unsigned i = 0; i < THRESHOLD_BINS; i++) unit->seen[i] /= 2;
    unit->seen[bin]++;
}

void threshold_label(struct threshold_unit *unit, float score, bool right)
{
    unsigned bin = bin_of(score), next = unit->next < THRESHOLD_WINDOW ? unit->next : 0;
    if (bin == NO_BIN) return;
    unit->window[next] = (uint16_t)(bin | (right ? LABEL_RIGHT : 0u));
    unit->next = (uint16_t)((next + 1) % THRESHOLD_WINDOW);
    if (unit->filled < THRESHOLD_WINDOW) unit->filled++;
    if (unit->labels < UINT32_MAX) unit->labels++;
}

void threshold_correct(struct threshold_unit *unit, float score, bool right)
{
    unsigned bin = bin_of(score), opposite = bin | (right ? 0u : (unsigned)LABEL_RIGHT);
    for (unsigned i = 0; i < unit->filled && i < THRESHOLD_WINDOW; i++) {
        unsigned newest = (unit->next + 2u * THRESHOLD_WINDOW - 1 - i) % THRESHOLD_WINDOW;
        if (unit->window[newest] != opposite) continue;
        unit->window[newest] ^= LABEL_RIGHT;
        return;
    }
    threshold_label(unit, score, right);
}

/* ---- deciding */

struct bins {
    unsigned labels[THRESHOLD_BINS], errors[THRESHOLD_BINS];
};

static void count_bins(const struct threshold_unit *unit, struct bins *bins)
{
    *bins = (struct bins){0};
    for (unsigned i = 0; i < unit->filled && i < THRESHOLD_WINDOW; i++) {
        unsigned bin = unit->window[i] & LABEL_BIN;
        if (bin >= THRESHOLD_BINS) continue;
        bins->labels[bin]++;
        bins->errors[bin] += !(unit->window[i] & LABEL_RIGHT);
    }
}

/* What serving a bin and all above it would mean. Sums weighted by traffic, not yet divided by it. */
struct sums {
    double seen, error, variance;
    unsigned labels, errors;
};

static void add_bin(struct sums *sums, double seen, unsigned labels, unsigned errors)
{
    double p = (errors + 0.25) / (labels + 0.5);
    sums->seen += seen;
    sums->error += seen * p;
    sums->variance += seen * seen * p * (1 - p) / (labels + 1.0);
    sums->labels += labels;
    sums->errors += errors;
}

static double high_error(const struct sums *sums)
{
    return (sums->error + 1.64 * sqrt(sums->variance)) / sums->seen;
}

void threshold_decide(const struct threshold_unit *unit, double delta, bool partial,
                      struct threshold_decision *decision)
{
    struct bins bins;
    struct sums sums = {0};
    double traffic = 0;
    *decision = (struct threshold_decision){.threshold = THRESHOLD_NEVER, .labels = unit->labels};
    if (unit->labels < THRESHOLD_LABELS_MIN && !partial) return;
    count_bins(unit, &bins);
    for (unsigned bin = 0; bin < THRESHOLD_BINS; bin++) traffic += unit->seen[bin];
    for (unsigned bin = THRESHOLD_BINS; bin-- > 0;) {
        add_bin(&sums, unit->seen[bin], bins.labels[bin], bins.errors[bin]);
        if (unit->seen[bin] == 0) continue; /* nothing is known of what would come there */
        double high = high_error(&sums);
        if (high > delta && sums.labels >= THRESHOLD_LABELS_MIN) break;
        if (high > delta) continue;
        decision->threshold = border(bin);
        decision->error = (float)(sums.error / sums.seen);
        decision->error_high = (float)high;
        decision->labels_above = sums.labels;
        decision->errors_above = sums.errors;
        decision->share = (float)(sums.seen / traffic);
    }
}

void wilson_interval(uint64_t errors, uint64_t count, double *low, double *high)
{
    const double z = 1.96;
    *low = 0;
    *high = 1;
    if (count == 0) return;
    double n = (double)count, p = (double)errors / n, d = 1 + z * z / n;
    double middle = p + z * z / (2 * n), half = z * sqrt(p * (1 - p) / n + z * z / (4 * n * n));
    *low = fmax(0, (middle - half) / d);
    *high = fmin(1, (middle + half) / d);
}
