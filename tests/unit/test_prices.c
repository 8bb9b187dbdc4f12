/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_prices.c — rows of prices read, found by model, date and length, and costs to the micro-dollar. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "app/ledger/prices.h"
#include "platform/rc.h"
#include "tests/support/guard_page.h"
#include "tests/support/store_test.h"

enum { DAY = 86400, JAN_2026 = 1767225600, OCT_7_2026 = 1791331200 };

static char message[PRICES_MESSAGE_MAX];

static struct prices read_table(const char *text)
{
    struct prices prices;
    message[0] = 0;
    arena_reset(&store_test_arena, 0);
    int rc = prices_read(guarded(span_text(text)), &store_test_arena, &prices, message);
    if (rc != RC_OK) fail_msg("%s", message);
    return prices;
}

static void wrong(const char *text, const char *why)
{
    struct prices prices;
    assert_int_equal(prices_read(guarded(span_text(text)), &store_test_arena, &prices, message), RC_INVALID);
    assert_string_equal(message, why);
}

static uint64_t price(const struct prices *prices, const char *model, uint64_t at_s, uint64_t input,
                      enum price_kind kind)
{
    const struct price_row *row = prices_find(prices, span_text(model), at_s, input);
    return row ? row->per_mega[kind] : UINT64_MAX;
}

static void test_reading(void **state)
{
    (void)state;
    struct prices p = read_table("# a comment\n\n  \t\nA-Model* 2026-01-01 - 0.15 0.6 - 1.25 - 2 # behind it\r\n"
                                 "b 1970-01-01 1000 1 2 0 0 0 0");
    assert_int_equal(p.count, 2);
    assert_true(span_equal(p.rows[0].model, SPAN("a-model*")));
    assert_int_equal(p.rows[0].since_s, JAN_2026);
    assert_true(p.rows[0].up_to == UINT64_MAX);
    static const uint64_t want[PRICE_KINDS] = {150000, 600000, 150000, 1250000, 150000, 2000000};
    assert_memory_equal(p.rows[0].per_mega, want, sizeof want);
    assert_int_equal(p.rows[1].since_s, 0);
    assert_int_equal(p.rows[1].up_to, 1000);
    assert_int_equal(p.rows[1].per_mega[PRICE_READ], 0);
    p = read_table("m 2024-02-29 - 100000 0.000001 - - - -\n");
    assert_int_equal(p.rows[0].since_s, UINT64_C(19782) * DAY);
    assert_true(p.rows[0].per_mega[PRICE_INPUT] == UINT64_C(100000000000));
    assert_int_equal(p.rows[0].per_mega[PRICE_OUTPUT], 1);
    assert_int_equal(read_table("").count, 0);
}

static void test_what_is_wrong(void **state)
{
    (void)state;
    wrong("\nm 2026-01-01 - 1 2 - - -\n", "line 2: nine words are expected");
    wrong("m 2026-01-01 - 1 2 - - - - -\n", "line 1: nine words are expected");
    wrong("m 2026-01-01\n", "line 1: nine words are expected");
    wrong("m 2026-13-01 - 1 2 - - - -\n", "line 1: the date is written YYYY-MM-DD");
    wrong("m 26-01-01 - 1 2 - - - -\n", "line 1: the date is written YYYY-MM-DD");
    wrong("m 2026-1-01 - 1 2 - - - -\n", "line 1: the date is written YYYY-MM-DD");
    wrong("m 2026-01-00 - 1 2 - - - -\n", "line 1: the date is written YYYY-MM-DD");
    wrong("m 2026-01-01 1k 1 2 - - - -\n", "line 1: up_to is a number of tokens, or -");
    wrong("m 2026-01-01 - -1 2 - - - -\n", "line 1: a price is USD per million tokens, like 0.15");
    wrong("m 2026-01-01 - 1 - - - - -\n", "line 1: a price is USD per million tokens, like 0.15");
    wrong("m 2026-01-01 - 1 2. - - - -\n", "line 1: a price is USD per million tokens, like 0.15");
    wrong("m 2026-01-01 - 1 0.1234567 - - - -\n", "line 1: a price is USD per million tokens, like 0.15");
    wrong("m 2026-01-01 - 100001 1 - - - -\n", "line 1: a price is USD per million tokens, like 0.15");
}

static void test_finding(void **state)
{
    (void)state;
    struct prices p = read_table("fine-mini 2026-01-01 - 1 1 - - - -\n"
                                 "fine* 2026-10-07 - 7 1 - - - -\n"
                                 "fine* 2026-01-01 - 5 1 - - - -\n"
                                 "long 2026-01-01 - 20 1 - - - -\n"
                                 "long 2026-01-01 1000 10 1 - - - -\n"
                                 "long 2025-01-01 - 99 1 - - - -\n");
    assert_int_equal(price(&p, "fine-mini", JAN_2026, 0, PRICE_INPUT), 1000000);
    assert_int_equal(price(&p, "Fine-Large", JAN_2026, 0, PRICE_INPUT), 5000000);
    assert_int_equal(price(&p, "fine-large", OCT_7_2026 - 1, 0, PRICE_INPUT), 5000000);
    assert_int_equal(price(&p, "fine-large", OCT_7_2026, 0, PRICE_INPUT), 7000000);
    assert_int_equal(price(&p, "fine-large", 0, 0, PRICE_INPUT), 5000000); /* before the first one: that one */
    assert_int_equal(price(&p, "long", JAN_2026, 1000, PRICE_INPUT), 10000000);
    assert_int_equal(price(&p, "long", JAN_2026, 1001, PRICE_INPUT), 20000000);
    assert_true(price(&p, "other", JAN_2026, 0, PRICE_INPUT) == UINT64_MAX);
    assert_true(price(&p, "", JAN_2026, 0, PRICE_INPUT) == UINT64_MAX);
}

static void test_costs(void **state)
{
    (void)state;
    struct prices p = read_table("m 2026-01-01 - 3 15 0.30 3.75 - 6\nfree 2026-01-01 - 0 0 0 0 0 0\n");
    const struct price_row *row = &p.rows[0];
    struct usage usage = {1000, 2000, 300, 40, 500, 100};
    /* 1000 × 3 + 2000 × 0.30 + 300 × 3.75 + 40 × 6 + 500 × 15; reasoning is part of the output */
    assert_int_equal(price_of_usage(row, &usage), 3000 + 600 + 1125 + 240 + 7500);
    assert_int_equal(usage_input(&usage), 3340);
    usage = (struct usage){-1, -1, -1, -1, -1, -1};
    assert_int_equal(price_of_usage(row, &usage), 0);
    assert_false(usage_is_known(&usage));
    usage.output = 0;
    assert_true(usage_is_known(&usage));
    usage = (struct usage){.cache_read = 1};
    assert_int_equal(price_of_usage(row, &usage), 0); /* 0.3 micro-dollars */
    usage.cache_read = 2;
    assert_int_equal(price_of_usage(row, &usage), 1);
    usage = (struct usage){.input_uncached = INT64_MAX, .output = INT64_MAX};
    assert_true(price_of_usage(row, &usage) == UINT64_C(1000000000) * 18); /* counts are cut, nothing overflows */
    assert_int_equal(price_of_usage(&p.rows[1], &usage), 0);
}

static void test_builtin(void **state)
{
    (void)state;
    struct prices p;
    arena_reset(&store_test_arena, 0);
    int rc = prices_read(prices_builtin(), &store_test_arena, &p, message);
    if (rc != RC_OK) fail_msg("%s", message);
    assert_true(p.count > 40);
    assert_int_equal(price(&p, "gpt-4o-mini-2024-07-18", OCT_7_2026, 10, PRICE_INPUT), 150000);
    assert_int_equal(price(&p, "gpt-4o-mini", OCT_7_2026, 10, PRICE_READ), 75000);
    assert_int_equal(price(&p, "gpt-5", OCT_7_2026, 10, PRICE_OUTPUT), 10000000);
    assert_int_equal(price(&p, "gpt-6.1-sol", OCT_7_2026, 272000, PRICE_INPUT), 2000000);
    assert_int_equal(price(&p, "gpt-6.1-sol", OCT_7_2026, 272001, PRICE_INPUT), 4000000);
    assert_int_equal(price(&p, "gpt-6.1-sol", OCT_7_2026, 272001, PRICE_OUTPUT), 15000000);
    assert_int_equal(price(&p, "claude-sonnet-5-5", OCT_7_2026 - 1, 10, PRICE_READ), 200000);
    assert_int_equal(price(&p, "claude-sonnet-5-5", OCT_7_2026, 10, PRICE_READ), 100000);
    assert_int_equal(price(&p, "claude-opus-4-5-20251101", OCT_7_2026, 10, PRICE_WRITE_1H), 10000000);
    assert_int_equal(price(&p, "claude-opus-4-1-20250805", OCT_7_2026, 10, PRICE_INPUT), 15000000);
    assert_true(price(&p, "llama3.2", OCT_7_2026, 10, PRICE_INPUT) == UINT64_MAX);
    for (unsigned i = 0; i < p.count; i++) /* no row stands behind a wider glob that hides it */
        assert_true(prices_find(&p, p.rows[i].model, OCT_7_2026, 10) != NULL);
}

static int start(void **state)
{
    (void)state;
    store_test_setup(NULL);
    return 0;
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reading), cmocka_unit_test(test_what_is_wrong), cmocka_unit_test(test_finding),
        cmocka_unit_test(test_costs),   cmocka_unit_test(test_builtin),
    };
    return cmocka_run_group_tests_name("prices", tests, start, NULL);
}
