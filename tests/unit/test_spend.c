/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_spend.c — rows of spending by tenant, what they outlive, and the metrics. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "app/ledger/spend.h"
#include "platform/clock.h"
#include "platform/metric.h"
#include "platform/rc.h"
#include "tests/support/store_test.h"

#define NOON (UINT64_C(1795262400) * CLOCK_SECOND)

static const char *folder;
static char message[320];

static void expect_metric(const char *line)
{
    static char text[65536];
    struct text out = text_on(text, sizeof text);
    (void)metric_render(&out, 0);
    if (!strstr(text, line)) fail_msg("no \"%s\" in %s", line, text);
}

static void test_calls_and_hits(void **state)
{
    (void)state;
    struct tenant ann = {.kind = TENANT_VIRTUAL, .id = {7}}, other = {.kind = TENANT_PASSTHROUGH, .id = {9}},
                  third = {.kind = TENANT_PASSTHROUGH, .id = {8}}, nobody = {.kind = TENANT_LOCAL};
    assert_int_equal(spend_key(&ann), 7);
    assert_true(spend_key(&other) == spend_key(&third) && spend_key(&other) != spend_key(&nobody));
    clock_fake(CLOCK_SECOND, NOON);
    assert_null(spend_find(7));
    spend_add_call(7, &(struct spend_call){.usage = {6, 3, 1, -1, 20, 5}, .cost = 30, .priced = true, .by_box = true});
    spend_add_call(7, &(struct spend_call){.usage = {.input_uncached = 1, .output = 2}});
    spend_add_hit(7, HIT_EXACT, 30);
    spend_add_hit(7, HIT_SEMANTIC, 5);
    spend_add_call(spend_key(&other), &(struct spend_call){.cost = 1000000, .priced = true});
    const struct spend_row *row = spend_find(7);
    assert_int_equal(row->calls, 2);
    assert_int_equal(row->unpriced, 1);
    assert_int_equal(row->tokens_in, 11);
    assert_int_equal(row->tokens_out, 22);
    assert_int_equal(row->cost, 30);
    assert_int_equal(row->today_cost, 30);
    assert_int_equal(row->hits, 2);
    assert_int_equal(row->saved, 35);
    assert_int_equal(row->used_s, NOON / CLOCK_SECOND);
    expect_metric("larder_cost_usd_total{paid=\"box\"} 3e-05\n");
    expect_metric("larder_cost_usd_total{paid=\"client\"} 1\n");
    expect_metric("larder_saved_usd_total{kind=\"exact\"} 3e-05\n");
    expect_metric("larder_saved_usd_total{kind=\"semantic\"} 5e-06\n");
    expect_metric("larder_unpriced_calls_total 1\n");
    expect_metric("larder_tokens_total{type=\"input_uncached\"} 7\n");
    expect_metric("larder_tokens_total{type=\"cache_read\"} 3\n");
    expect_metric("larder_tokens_total{type=\"cache_write_1h\"} 0\n");
    expect_metric("larder_tokens_total{type=\"output\"} 22\n");
    expect_metric("larder_tokens_total{type=\"reasoning\"} 5\n");
    clock_fake(CLOCK_SECOND, NOON + UINT64_C(86400) * CLOCK_SECOND);
    spend_add_call(7, &(struct spend_call){.cost = 4, .priced = true});
    row = spend_find(7);
    assert_int_equal(row->cost, 34);
    assert_int_equal(row->today_cost, 4);
}

static void test_restart(void **state)
{
    (void)state;
    spend_close();
    assert_int_equal(spend_open(folder, message, sizeof message), RC_OK);
    const struct spend_row *row = spend_find(7);
    assert_non_null(row);
    assert_int_equal(row->cost, 34);
    assert_int_equal(row->saved, 35);
}

/* Keys that want the same place; taking one away keeps the others findable. */
static void test_forgetting(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 5; i++) spend_add_hit(100 + i * SPEND_ROWS, HIT_EXACT, i + 1);
    spend_add_hit(103, HIT_EXACT, 50);
    spend_forget(100 + SPEND_ROWS);
    spend_forget(12345);
    assert_null(spend_find(100 + SPEND_ROWS));
    for (uint64_t i = 0; i < 5; i++)
        if (i != 1) assert_int_equal(spend_find(100 + i * SPEND_ROWS)->saved, i + 1);
    assert_int_equal(spend_find(103)->saved, 50);
}

static void test_a_full_table(void **state)
{
    (void)state;
    for (uint64_t i = 1000; i < 1000 + 2 * SPEND_ROWS; i++) spend_add_hit(i, HIT_EXACT, 1);
    unsigned found = 0;
    for (uint64_t i = 1000; i < 1000 + 2 * SPEND_ROWS; i++) found += spend_find(i) != NULL;
    assert_true(found < SPEND_ROWS && found > SPEND_ROWS - 16);
    assert_int_equal(spend_find(7)->saved, 35);
}

static int start(void **state)
{
    (void)state;
    store_test_setup(NULL);
    folder = store_test_folder();
    assert_int_equal(spend_reserve(), RC_OK);
    return spend_open(folder, message, sizeof message);
}

static int stop(void **state)
{
    (void)state;
    clock_fake_off();
    store_test_remove(folder);
    return 0;
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_calls_and_hits),
        cmocka_unit_test(test_restart),
        cmocka_unit_test(test_forgetting),
        cmocka_unit_test(test_a_full_table),
    };
    return cmocka_run_group_tests_name("spend", tests, start, stop);
}
