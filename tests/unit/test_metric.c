/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_metric.c — the text, buckets, quantiles, and rendering in pieces. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "platform/metric.h"

static struct metric hits_exact = {.name = "larder_hits_total",
                                   .labels = "kind=\"exact\"",
                                   .help = "Requests answered from the store.",
                                   .kind = METRIC_COUNTER};
static struct metric hits_stale = {.name = "larder_hits_total",
                                   .labels = "kind=\"stale\"",
                                   .help = "Requests answered from the store.",
                                   .kind = METRIC_COUNTER};
static struct metric depth = {.name = "larder_queue", .help = "Waiting.", .kind = METRIC_GAUGE};

static double read_half(const struct metric *metric)
{
    return *(const double *)metric->context / 2;
}
static const double seven = 7;
static struct metric half = {
    .name = "larder_half_total", .help = "Half.", .kind = METRIC_COUNTER_CALL, .read = read_half, .context = &seven};

static struct metric_histogram histogram;
static struct metric latency = {.name = "larder_latency_seconds",
                                .labels = "stage=\"hit\"",
                                .help = "Time.",
                                .kind = METRIC_HISTOGRAM,
                                .histogram = &histogram};

static int setup(void **state)
{
    (void)state;
    metric_register(&hits_exact);
    metric_register(&depth);
    metric_register(&half);
    metric_register(&hits_stale); /* stands with its name all the same */
    metric_register(&latency);
    return 0;
}

static const char head[] = "# HELP larder_hits_total Requests answered from the store.\n"
                           "# TYPE larder_hits_total counter\n"
                           "larder_hits_total{kind=\"exact\"} 3\n"
                           "larder_hits_total{kind=\"stale\"} 0\n"
                           "# HELP larder_queue Waiting.\n"
                           "# TYPE larder_queue gauge\n"
                           "larder_queue 12\n"
                           "# HELP larder_half_total Half.\n"
                           "# TYPE larder_half_total counter\n"
                           "larder_half_total 3.5\n"
                           "# HELP larder_latency_seconds Time.\n"
                           "# TYPE larder_latency_seconds histogram\n"
                           "larder_latency_seconds_bucket{stage=\"hit\",le=\"0.000010\"} 2\n"
                           "larder_latency_seconds_bucket{stage=\"hit\",le=\"0.000020\"} 3\n";
static const char tail[] = "larder_latency_seconds_bucket{stage=\"hit\",le=\"83.886080\"} 5\n"
                           "larder_latency_seconds_bucket{stage=\"hit\",le=\"+Inf\"} 6\n"
                           "larder_latency_seconds_sum{stage=\"hit\"} 100.000130\n"
                           "larder_latency_seconds_count{stage=\"hit\"} 6\n";

static void test_text(void **state)
{
    (void)state;
    static char buffer[16384];
    struct text out = text_on(buffer, sizeof buffer);
    metric_add(&hits_exact, 1);
    metric_add(&hits_exact, 2);
    metric_set(&depth, 12);
    assert_int_equal(metric_get(&hits_exact), 3);
    assert_int_equal(metric_quantile_us(&latency, 0.5), 0);
    static const uint64_t observed[] = {0, 10, 11, 40, 69, 100000000};
    for (unsigned i = 0; i < 6; i++) metric_observe_us(&latency, observed[i]);
    assert_int_equal(metric_render(&out, 0), METRICS_MAX);
    assert_memory_equal(out.data, head, sizeof head - 1);
    assert_string_equal(out.data + out.size - (sizeof tail - 1), tail);
    assert_int_equal(metric_render(&out, METRICS_MAX), METRICS_MAX);
}

static void test_in_pieces(void **state)
{
    (void)state;
    static char whole[16384], pieces[16384], small[1900];
    struct text all = text_on(whole, sizeof whole), joined = text_on(pieces, sizeof pieces);
    metric_render(&all, 0);
    unsigned from = 0, rounds = 0;
    while (from != METRICS_MAX) {
        struct text piece = text_on(small, sizeof small);
        from = metric_render(&piece, from);
        assert_false(piece.truncated);
        assert_true(piece.size > 0);
        text_put_span(&joined, text_span(&piece));
        rounds++;
    }
    assert_true(rounds > 1);
    assert_string_equal(pieces, whole);
}

static void test_quantiles(void **state)
{
    (void)state;
    struct metric_histogram h = {.sum_us = 0};
    struct metric m = {.name = "q", .kind = METRIC_HISTOGRAM, .histogram = &h};
    for (unsigned i = 0; i < 99; i++) metric_observe_us(&m, 15);
    metric_observe_us(&m, 1000);
    assert_int_equal(metric_quantile_us(&m, 0), 20);
    assert_int_equal(metric_quantile_us(&m, 0.5), 20);
    assert_int_equal(metric_quantile_us(&m, 0.99), 20);
    assert_int_equal(metric_quantile_us(&m, 1), 1280);
    metric_observe_us(&m, UINT64_MAX);
    assert_true(metric_quantile_us(&m, 1) == UINT64_MAX);
    /* Bounds belong to their bucket. */
    for (unsigned i = 0; i < METRIC_BUCKETS; i++) {
        struct metric_histogram one = {.sum_us = 0};
        m.histogram = &one;
        metric_observe_us(&m, UINT64_C(10) << i);
        assert_int_equal(one.buckets[i], 1);
        metric_observe_us(&m, (UINT64_C(10) << i) + 1);
        assert_int_equal(one.buckets[i + 1], 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_in_pieces),
        cmocka_unit_test(test_quantiles),
    };
    return cmocka_run_group_tests_name("metric", tests, setup, NULL);
}
