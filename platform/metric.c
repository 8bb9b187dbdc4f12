/* SPDX-License-Identifier: Apache-2.0 */
/* platform/metric.c — the registry and its text. */
#include "platform/metric.h"

#include <inttypes.h>
#include <math.h>

#include "platform/check.h"

enum { BUCKET_FIRST_US = 10 };

static struct metric *registry[METRICS_MAX];
static unsigned registered;

static bool is_call(const struct metric *metric)
{
    return metric->kind == METRIC_GAUGE_CALL || metric->kind == METRIC_COUNTER_CALL;
}

void metric_register(struct metric *metric)
{
    CHECK(registered < METRICS_MAX);
    CHECK(metric->kind != METRIC_HISTOGRAM || metric->histogram);
    CHECK(!is_call(metric) || metric->read);
    unsigned at = registered;
    for (unsigned i = 0; i < registered; i++)
        if (strcmp(registry[i]->name, metric->name) == 0) at = i + 1;
    memmove(&registry[at + 1], &registry[at], (registered - at) * sizeof registry[0]);
    registry[at] = metric;
    registered++;
}

static unsigned bucket_of(uint64_t us)
{
    if (us <= BUCKET_FIRST_US) return 0;
    /* The smallest i with us <= 10 × 2^i. */
    uint64_t quotient = (us - 1) / BUCKET_FIRST_US;
    unsigned i = 64 - (unsigned)__builtin_clzll(quotient);
    return i < METRIC_BUCKETS ? i : METRIC_BUCKETS;
}

void metric_observe_us(struct metric *metric, uint64_t us)
{
    struct metric_histogram *h = metric->histogram;
    atomic_fetch_add_explicit(&h->buckets[bucket_of(us)], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&h->sum_us, us, memory_order_relaxed);
}

static uint64_t bucket_get(const struct metric_histogram *h, unsigned i)
{
    return atomic_load_explicit(&h->buckets[i], memory_order_relaxed);
}

uint64_t metric_quantile_us(const struct metric *metric, double q)
{
    const struct metric_histogram *h = metric->histogram;
    uint64_t total = 0;
    for (unsigned i = 0; i <= METRIC_BUCKETS; i++) total += bucket_get(h, i);
    if (total == 0) return 0;
    double wanted = q * (double)total;
    uint64_t seen = 0;
    for (unsigned i = 0; i < METRIC_BUCKETS; i++) {
        seen += bucket_get(h, i);
        if (seen > 0 && (double)seen >= wanted) return (uint64_t)BUCKET_FIRST_US << i;
    }
    return UINT64_MAX;
}

/* `more` is a label of the series itself ("le=…"), or NULL. */
static void put_series(struct text *out, const struct metric *m, const char *suffix, const char *more)
{
    text_put_text(out, m->name);
    text_put_text(out, suffix);
    if (!m->labels && !more) return;
    text_put_char(out, '{');
    if (m->labels) text_put_text(out, m->labels);
    if (m->labels && more) text_put_char(out, ',');
    if (more) text_put_text(out, more);
    text_put_char(out, '}');
}

/* Microseconds as seconds, exactly. */
static void put_seconds(struct text *out, uint64_t us)
{
    text_format(out, "%" PRIu64 ".%06" PRIu64, us / 1000000, us % 1000000);
}

static void put_histogram(struct text *out, const struct metric *m)
{
    uint64_t total = 0;
    for (unsigned i = 0; i <= METRIC_BUCKETS; i++) {
        char buffer[48];
        struct text bound = text_on(buffer, sizeof buffer);
        text_put_text(&bound, "le=\"");
        if (i < METRIC_BUCKETS)
            put_seconds(&bound, (uint64_t)BUCKET_FIRST_US << i);
        else
            text_put_text(&bound, "+Inf");
        text_put_char(&bound, '"');
        total += bucket_get(m->histogram, i);
        put_series(out, m, "_bucket", bound.data);
        text_format(out, " %" PRIu64 "\n", total);
    }
    put_series(out, m, "_sum", NULL);
    text_put_char(out, ' ');
    put_seconds(out, atomic_load_explicit(&m->histogram->sum_us, memory_order_relaxed));
    text_put_char(out, '\n');
    put_series(out, m, "_count", NULL);
    text_format(out, " %" PRIu64 "\n", total);
}

static void put_head(struct text *out, const struct metric *m)
{
    static const char *const kinds[] = {"counter", "gauge", "gauge", "counter", "histogram"};
    text_format(out, "# HELP %s %s\n# TYPE %s %s\n", m->name, m->help, m->name, kinds[m->kind]);
}

static void put_metric(struct text *out, unsigned index)
{
    const struct metric *m = registry[index];
    if (index == 0 || strcmp(registry[index - 1]->name, m->name) != 0) put_head(out, m);
    if (m->kind == METRIC_HISTOGRAM) {
        put_histogram(out, m);
        return;
    }
    double value = is_call(m) ? m->read(m) : 0;
    if (isnan(value)) return;
    put_series(out, m, "", NULL);
    if (is_call(m))
        text_format(out, " %.15g\n", value);
    else
        text_format(out, " %" PRIu64 "\n", metric_get(m));
}

unsigned metric_render(struct text *out, unsigned from)
{
    for (unsigned i = from; i < registered; i++) {
        size_t before = out->size;
        put_metric(out, i);
        if (out->truncated) {
            out->size = before;
            out->data[before] = '\0';
            out->truncated = false;
            return i;
        }
    }
    return METRICS_MAX;
}
