/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_boot_metrics.c — after a boot's reservations every pool and heap has its series, and all of them fit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "app/boot_private.h"
#include "platform/heap.h"
#include "platform/metric.h"
#include "platform/offload.h"
#include "platform/plan.h"

enum { REPLY_MAX = 256 << 10 }; /* what /metrics has room for */

static char printed[REPLY_MAX];

static int boot_up(void **state)
{
    static const char *const overrides[] = {"board=small"};
    static const struct boot_options options = {
        .config_path = "/dev/null", .overrides = overrides, .override_count = 1, .named_board = true};
    struct generation *first;
    (void)state;
    plan_dry_run();
    if (boot_begin(&options, &first) != 0 || boot_keep_baseline() != RC_OK) return 1;
    if (boot_reserve_all(first->config) != RC_OK) return 1;
    boot_register_metrics();
    gateway.current = first; /* some series are about the configuration in force */
    return 0;
}

static int stop(void **state)
{
    (void)state;
    offload_stop();
    return 0;
}

static void test_high_water_marks_are_there(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "larder_fibers{pool=\"api\"} 0\n",
        "larder_fibers_high{pool=\"admin\"} 0\n",
        "larder_fibers_max{pool=\"api\"} 64\n",
        "larder_fibers_max{pool=\"background\"} 12\n",
        "larder_stack_high_bytes{pool=\"control\"} 0\n",
        "larder_stack_high_bytes{pool=\"dns\"} 0\n",
        "larder_heap_bytes{library=\"lmdb\",kind=\"used\"} ",
        "larder_heap_bytes{library=\"mbedtls\",kind=\"high\"} ",
        "larder_heap_bytes{library=\"yaml\",kind=\"capacity\"} ",
        "larder_heap_refused_total{library=\"yaml\"} 0\n",
        "# TYPE larder_heap_refused_total counter\n",
        "# TYPE larder_heap_trap_total counter\n",
        "larder_offload_waiting_high 0\n",
        "larder_request_arenas_high_bytes 0\n",
    };
    struct text out = text_on(printed, sizeof printed);
    assert_int_equal(metric_render(&out, 0), METRICS_MAX);
    for (unsigned i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        if (heap_usage(HEAP_YAML).capacity == 0 && strstr(lines[i], "library=")) continue; /* the sanitizers' twin */
        if (!strstr(printed, lines[i])) print_error("no %s", lines[i]);
        assert_non_null(strstr(printed, lines[i]));
    }
    assert_null(strstr(printed, "library=\"sqlite\"")); /* has no memory yet */
    assert_true(out.size < REPLY_MAX / 2);
}

static void test_every_name_is_explained_once(void **state)
{
    (void)state;
    struct text out = text_on(printed, sizeof printed);
    metric_render(&out, 0);
    struct span text = text_span(&out), line, rest;
    while (text.size > 0) {
        text = span_cut(text, '\n', &line);
        if (!span_starts_with(line, SPAN("# TYPE "))) continue;
        for (rest = text; rest.size > 0;) {
            struct span other;
            rest = span_cut(rest, '\n', &other);
            assert_false(span_equal(line, other));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_high_water_marks_are_there),
        cmocka_unit_test(test_every_name_is_explained_once),
    };
    return cmocka_run_group_tests_name("boot_metrics", tests, boot_up, stop);
}
