/* SPDX-License-Identifier: Apache-2.0 */
/* app/boot_metrics.c — what the process as a whole uses, and the most it ever used, as metrics. */
#include "app/boot_private.h"

#include <stdio.h>

#include "platform/check.h"
#include "platform/clock.h"
#include "platform/heap.h"
#include "platform/metric.h"
#include "platform/offload.h"
#include "platform/plan.h"
#include "platform/rc.h"

static size_t private_bytes;

static void measure(void *arg)
{
    *(size_t *)arg = plan_private_now();
}

size_t boot_private_measure(void)
{
    size_t bytes = 0;
    if (offload(measure, &bytes) == RC_OK) private_bytes = bytes;
    return private_bytes;
}

size_t boot_private_last(void)
{
    return private_bytes;
}

static double read_memory(const struct metric *metric)
{
    const struct plan_term total = plan_total();
    const char *what = metric->context;
    size_t bytes = *what == 'p' ? boot_private_last() : *what == 'c' ? total.committed : total.ceiling;
    return (double)bytes;
}

static double read_trap(const struct metric *metric)
{
    (void)metric;
    return (double)heap_trap_count();
}

static double read_waiting_high(const struct metric *metric)
{
    (void)metric;
    return offload_waiting_high();
}

static double read_uptime(const struct metric *metric)
{
    (void)metric;
    return (double)boot_uptime_us() / 1e6;
}

static double read_cpu(const struct metric *metric)
{
    (void)metric;
    return (double)clock_cpu_us() / 1e6;
}

static double read_arenas(const struct metric *metric)
{
    (void)metric;
    return (double)boot.requests_budget.high;
}

static struct metric memory_gauges[] = {
    {.name = "larder_memory_bytes",
     .labels = "kind=\"private\"",
     .help = "Private memory now, planned at boot, and at most",
     .kind = METRIC_GAUGE_CALL,
     .read = read_memory,
     .context = "p"},
    {.name = "larder_memory_bytes",
     .labels = "kind=\"planned\"",
     .kind = METRIC_GAUGE_CALL,
     .read = read_memory,
     .context = "c"},
    {.name = "larder_memory_bytes",
     .labels = "kind=\"ceiling\"",
     .kind = METRIC_GAUGE_CALL,
     .read = read_memory,
     .context = "x"},
    {.name = "larder_request_arenas_high_bytes",
     .help = "Most memory of all request arenas at once",
     .kind = METRIC_GAUGE_CALL,
     .read = read_arenas},
    {.name = "larder_heap_trap_total",
     .help = "Calls of the C library's allocator, which must not happen",
     .kind = METRIC_COUNTER_CALL,
     .read = read_trap},
    {.name = "larder_offload_waiting_high",
     .help = "Most jobs that waited for a worker at once",
     .kind = METRIC_GAUGE_CALL,
     .read = read_waiting_high},
    {.name = "process_uptime_seconds", .help = "Seconds since boot", .kind = METRIC_GAUGE_CALL, .read = read_uptime},
    {.name = "process_cpu_seconds", .help = "CPU time used", .kind = METRIC_GAUGE_CALL, .read = read_cpu},
};

/* ---- a series for each stack pool and each library's heap */

struct series {
    const char *name, *help;
    enum metric_kind kind;
    const char *label; /* with the pool's or library's name for %s */
    double (*read)(const struct metric *metric);
};

enum { LABEL_MAX = 64, POOL_SERIES = 4, HEAP_SERIES = 4 };

static double read_fibers(const struct metric *metric)
{
    return ((const struct fiber_pool *)metric->context)->used;
}

static double read_fibers_high(const struct metric *metric)
{
    return ((const struct fiber_pool *)metric->context)->high;
}

static double read_fibers_max(const struct metric *metric)
{
    return ((const struct fiber_pool *)metric->context)->count;
}

static double read_stack_high(const struct metric *metric)
{
    return (double)fiber_stack_high(metric->context);
}

static const struct series pool_series[POOL_SERIES] = {
    {"larder_fibers", "Fibers at work", METRIC_GAUGE_CALL, "pool=\"%s\"", read_fibers},
    {"larder_fibers_high", "Most fibers at once since boot", METRIC_GAUGE_CALL, "pool=\"%s\"", read_fibers_high},
    {"larder_fibers_max", "Fibers there are stacks for", METRIC_GAUGE_CALL, "pool=\"%s\"", read_fibers_max},
    {"larder_stack_high_bytes", "Deepest use of any fiber's stack, in whole pages", METRIC_GAUGE_CALL, "pool=\"%s\"",
     read_stack_high},
};

static struct heap_usage usage_of(const struct metric *metric)
{
    return heap_usage(*(const enum heap_region *)metric->context);
}

static double read_heap_used(const struct metric *metric)
{
    return (double)usage_of(metric).used;
}

static double read_heap_high(const struct metric *metric)
{
    return (double)usage_of(metric).high;
}

static double read_heap_capacity(const struct metric *metric)
{
    return (double)usage_of(metric).capacity;
}

static double read_heap_refused(const struct metric *metric)
{
    return (double)usage_of(metric).refused;
}

#define HEAP_BYTES \
    "larder_heap_bytes", "Memory of a library: taken now, most since boot, all there is", METRIC_GAUGE_CALL

static const struct series heap_series[HEAP_SERIES] = {
    {HEAP_BYTES, "library=\"%s\",kind=\"used\"", read_heap_used},
    {HEAP_BYTES, "library=\"%s\",kind=\"high\"", read_heap_high},
    {HEAP_BYTES, "library=\"%s\",kind=\"capacity\"", read_heap_capacity},
    {"larder_heap_refused_total", "Takes that a library's memory had no room for", METRIC_COUNTER_CALL,
     "library=\"%s\"", read_heap_refused},
};

static void register_series(struct metric *metric, char label[LABEL_MAX], const struct series *series, const char *name,
                            const void *context)
{
    int size = snprintf(label, LABEL_MAX, series->label, name);
    CHECK(size < LABEL_MAX);
    *metric = (struct metric){.name = series->name,
                              .labels = label,
                              .help = series->help,
                              .kind = series->kind,
                              .read = series->read,
                              .context = context};
    metric_register(metric);
}

static void register_pools(void)
{
    static struct metric metrics[FIBER_POOLS_MAX][POOL_SERIES];
    static char labels[FIBER_POOLS_MAX][POOL_SERIES][LABEL_MAX];
    const struct fiber_pool *pool;
    for (unsigned i = 0; (pool = fiber_pool_at(i)) != NULL; i++)
        for (unsigned k = 0; k < POOL_SERIES; k++)
            register_series(&metrics[i][k], labels[i][k], &pool_series[k], pool->name, pool);
}

static void register_heaps(void)
{
    static struct metric metrics[HEAP_REGIONS][HEAP_SERIES];
    static char labels[HEAP_REGIONS][HEAP_SERIES][LABEL_MAX];
    static enum heap_region regions[HEAP_REGIONS];
    for (unsigned i = 0; i < HEAP_REGIONS; i++) {
        regions[i] = (enum heap_region)i;
        if (heap_usage(regions[i]).capacity == 0) continue; /* nobody uses it yet */
        for (unsigned k = 0; k < HEAP_SERIES; k++)
            register_series(&metrics[i][k], labels[i][k], &heap_series[k], heap_name(regions[i]), &regions[i]);
    }
}

void boot_register_metrics(void)
{
    for (unsigned i = 0; i < sizeof memory_gauges / sizeof memory_gauges[0]; i++) metric_register(&memory_gauges[i]);
    register_pools();
    register_heaps();
}
