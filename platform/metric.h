/* SPDX-License-Identifier: Apache-2.0 */
/* platform/metric.h — counters, gauges and histograms, and their Prometheus text.
 *
 * Owner:   each module owns its metrics as static objects and registers them at boot.
 * Threads: adding from any (relaxed atomics); registering at boot; rendering on the lane or a worker.
 * Format:  Prometheus text exposition 0.0.4. Series with one name stand together, in the order in
 *          which they were registered, under the HELP and TYPE of the first.
 * Units:   as the name says; histograms observe microseconds and render seconds.
 */
#ifndef PLATFORM_METRIC_H
#define PLATFORM_METRIC_H

#include <stdatomic.h>
#include <stdint.h>

#include "platform/text.h"

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE, METRIC_GAUGE_CALL, METRIC_COUNTER_CALL, METRIC_HISTOGRAM };

enum { METRIC_BUCKETS = 24, METRICS_MAX = 512 };

struct metric {
    const char *name;   /* "larder_hits_total" */
    const char *labels; /* "kind=\"exact\"" or NULL */
    const char *help;
    enum metric_kind kind;
    _Atomic uint64_t value;
    /* METRIC_…_CALL: asked at rendering, on the rendering thread; NAN: this series is not there now. */
    double (*read)(const struct metric *metric);
    const void *context;                /* for `read` */
    struct metric_histogram *histogram; /* METRIC_HISTOGRAM */
};

struct metric_histogram {
    _Atomic uint64_t buckets[METRIC_BUCKETS + 1]; /* upper bounds 10 us × 2^i, then +Inf; cumulated at rendering */
    _Atomic uint64_t sum_us;
};

void metric_register(struct metric *metric);

static inline void metric_add(struct metric *metric, uint64_t n)
{
    atomic_fetch_add_explicit(&metric->value, n, memory_order_relaxed);
}

static inline void metric_set(struct metric *metric, uint64_t n)
{
    atomic_store_explicit(&metric->value, n, memory_order_relaxed);
}

static inline uint64_t metric_get(const struct metric *metric)
{
    return atomic_load_explicit(&metric->value, memory_order_relaxed);
}

void metric_observe_us(struct metric *metric, uint64_t us);
/* Upper bound, in us, of the bucket that holds quantile q (0 … 1); 0 without observations. */
uint64_t metric_quantile_us(const struct metric *metric, double q);

/* Appends all series. `from` is the first series to render; returns the index to go on with when `out` has too little
 * room for the next, or METRICS_MAX when all are out: callers with a small buffer call repeatedly. */
unsigned metric_render(struct text *out, unsigned from);

#endif
