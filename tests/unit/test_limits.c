/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_limits.c — buckets and windows by a faked clock; scopes, charges, marks, lines, what outlives a restart. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "app/gateway/limits.h"
#include "app/gateway/limits_meter.h"
#include "platform/clock.h"
#include "platform/crypto.h"
#include "platform/file.h"
#include "platform/rc.h"
#include "tests/support/store_test.h"

#define MINUTE (60 * CLOCK_SECOND)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)
#define NOON (UINT64_C(1795262400) * CLOCK_SECOND) /* 2026-11-21T12:00:00Z */

static const char *folder;
static struct config config;
static struct generation generation;
static char message[320];

/* ---- the meter */

static struct limit_amounts one_call(int64_t tokens, int64_t micro_usd)
{
    return (struct limit_amounts){.of = {LIMIT_UNIT, tokens * LIMIT_UNIT, micro_usd}};
}

static bool lacks(struct limit_meter *m, const struct config_quota *q, struct limit_amounts a, uint64_t now,
                  struct limit_lack *lack)
{
    limit_meter_advance(m, q, now);
    return limit_meter_lacks(m, q, &a, now, lack);
}

static void test_bucket(void **state)
{
    (void)state;
    struct config_quota q = {.requests = {60, 0, 0}};
    struct limit_meter m = {0};
    struct limit_lack lack;
    struct limit_standing s;
    struct limit_amounts call = one_call(0, 0);
    for (unsigned i = 0; i < 60; i++) {
        assert_false(lacks(&m, &q, call, NOON, &lack));
        limit_meter_charge(&m, &call);
    }
    assert_true(lacks(&m, &q, call, NOON, &lack));
    assert_int_equal(lack.kind, LIMIT_REQUESTS);
    assert_int_equal(lack.window, PER_MINUTE);
    assert_int_equal(lack.wait_us, CLOCK_SECOND + 1); /* one of sixty a minute */
    assert_true(limit_meter_standing(&m, &q, LIMIT_REQUESTS, &s));
    assert_int_equal(s.most, 60);
    assert_int_equal(s.left, 0);
    assert_int_equal(s.reset_us, MINUTE + 1);
    assert_false(limit_meter_standing(&m, &q, LIMIT_TOKENS, &s));
    assert_true(lacks(&m, &q, call, NOON + CLOCK_SECOND - 1, &lack));
    assert_false(lacks(&m, &q, call, NOON + CLOCK_SECOND, &lack));
    limit_meter_charge(&m, &call);
    assert_true(lacks(&m, &q, call, NOON + CLOCK_SECOND, &lack));
    assert_true(lacks(&m, &q, call, NOON - DAY, &lack)); /* a clock that went back fills nothing */
    assert_false(lacks(&m, &q, call, NOON + HOUR, &lack));
    assert_true(limit_meter_standing(&m, &q, LIMIT_REQUESTS, &s));
    assert_int_equal(s.left, 60);
    assert_int_equal(s.reset_us, 0);
}

static void test_debt(void **state)
{
    (void)state;
    struct config_quota q = {.tokens = {1000, 0, 0}};
    struct limit_meter m = {0};
    struct limit_lack lack;
    struct limit_amounts call = one_call(5000, 0), more = {.of = {0, INT64_C(3000000000), 0}};
    assert_false(lacks(&m, &q, call, NOON, &lack)); /* larger than the limit: needs all of it */
    limit_meter_charge(&m, &call);
    limit_meter_charge(&m, &more);
    assert_true(lacks(&m, &q, one_call(10, 0), NOON, &lack));
    assert_int_equal(lack.kind, LIMIT_TOKENS);
    assert_int_equal(lack.wait_us / CLOCK_SECOND, 7010 * 60 / 1000);
    assert_true(lacks(&m, &q, one_call(10, 0), NOON + 7 * MINUTE, &lack));
    assert_false(lacks(&m, &q, one_call(10, 0), NOON + 8 * MINUTE, &lack));
    struct limit_amounts back = {.of = {0, INT64_C(-9000000000), 0}};
    limit_meter_charge(&m, &back); /* never more than full */
    assert_int_equal(m.owed[LIMIT_TOKENS], 0);
    q.tokens[PER_MINUTE] = 0; /* a limit that was taken away leaves no debt */
    limit_meter_charge(&m, &call);
    limit_meter_advance(&m, &q, NOON + 8 * MINUTE);
    assert_int_equal(m.owed[LIMIT_TOKENS], 0);
}

static void test_windows(void **state)
{
    (void)state;
    struct config_quota q = {.usd = {0, 2, 0}, .requests = {0, 0, 3}};
    struct limit_meter m = {0};
    struct limit_lack lack;
    assert_false(lacks(&m, &q, one_call(0, 1500000), NOON, &lack));
    struct limit_amounts first = one_call(0, 1500000), second = one_call(0, 500000);
    limit_meter_charge(&m, &first);
    assert_true(lacks(&m, &q, one_call(0, 500001), NOON, &lack));
    assert_int_equal(lack.kind, LIMIT_MONEY);
    assert_int_equal(lack.window, PER_DAY);
    assert_int_equal(lack.wait_us, 12 * HOUR); /* midnight UTC */
    assert_false(lacks(&m, &q, second, NOON, &lack));
    limit_meter_charge(&m, &second);
    assert_true(lacks(&m, &q, one_call(0, 0), NOON, &lack)); /* spent: also what has no price */
    assert_true(lacks(&m, &q, one_call(0, 0), NOON + 12 * HOUR - 1, &lack));
    assert_false(lacks(&m, &q, one_call(0, 2000000), NOON + 12 * HOUR, &lack));
    assert_false(lacks(&m, &q, one_call(0, 2000000), NOON, &lack)); /* back again: no new window, nothing forgotten */
    limit_meter_charge(&m, &first);
    assert_true(lacks(&m, &q, one_call(0, 1), NOON, &lack));
    assert_int_equal(lack.window, PER_MONTH); /* three this month, the longest wait */
    assert_int_equal(lack.kind, LIMIT_REQUESTS);
    assert_int_equal(NOON + lack.wait_us, UINT64_C(1796083200) * CLOCK_SECOND); /* 2026-12-01 */
    assert_false(lacks(&m, &q, one_call(0, 1), UINT64_C(1796083200) * CLOCK_SECOND, &lack));
    /* what was reserved before midnight and is given back after it gives nothing */
    struct limit_amounts back = {.of = {0, 0, -1000000}};
    limit_meter_charge(&m, &back);
    assert_int_equal(m.spent[LIMIT_MONEY][0], 0);
}

static void test_dates(void **state)
{
    (void)state;
    char date[LIMIT_DATE_SIZE + 1];
    limit_date(NOON + 3661 * CLOCK_SECOND, date);
    assert_string_equal(date, "2026-11-21T13:01:01Z");
    limit_date(UINT64_C(1709164800) * CLOCK_SECOND, date);
    assert_string_equal(date, "2024-02-29T00:00:00Z");
    assert_int_equal(limit_window_end_us(PER_MONTH, UINT64_C(1709164800) * CLOCK_SECOND) / CLOCK_SECOND, 1709251200);
    assert_int_equal(limit_window_end_us(PER_MONTH, UINT64_C(1798675200) * CLOCK_SECOND) / CLOCK_SECOND, 1798761600);
}

/* ---- a request's limits */

static struct request asker(const char *name, const char *model, const char *body)
{
    struct request r = {.config = &config, .generation = &generation, .tenant.kind = TENANT_VIRTUAL};
    limits_find_rules(&r, span_text(name));
    r.question.model = span_text(model);
    r.body = span_text(body);
    memcpy(r.tenant.id, name, strlen(name) < sizeof r.tenant.id ? strlen(name) : sizeof r.tenant.id);
    return r;
}

static uint64_t mark_of(const struct request *r)
{
    uint64_t first;
    memcpy(&first, r->tenant.id, sizeof first);
    return first;
}

/* Entries of the configuration are made here, as config_load would. */
static struct config_tenant *entry(const char *name, const char *group)
{
    struct config_tenant *t = &config.tenants[config.tenant_count++];
    *t = (struct config_tenant){.name = span_text(name), .group = span_text(group)};
    return t;
}

static void fresh(void)
{
    memset(&config, 0, sizeof config);
    clock_fake(CLOCK_SECOND, NOON);
    assert_int_equal(limits_open(folder, message, sizeof message), RC_OK);
}

static void test_scopes(void **state)
{
    (void)state;
    struct limit_refusal why;
    struct usage nothing = {0};
    fresh();
    entry("floor", "")->quota.requests[PER_DAY] = 4;
    struct config_tenant *ann = entry("ann", "floor");
    ann->quota.requests[PER_MINUTE] = 3;
    ann->models[0] = (struct config_tenant_model){.model = SPAN("big*"), .quota = {.requests = {0, 1, 0}}};
    ann->model_count = 1;
    entry("bob", "floor");
    struct request a = asker("ann", "small", "{}"), big = asker("ann", "big-1", "{}"), b = asker("bob", "small", "{}"),
                   nobody = asker("nobody", "small", "{}");
    assert_int_equal(limits_take(&big, &why), RC_OK);
    assert_int_equal(big.ticket.count, 3); /* own, model, group */
    limits_settle(&big, &nothing, 0);
    assert_int_equal(limits_take(&big, &why), RC_FULL);
    assert_string_equal(why.code, "rate_limit_exceeded");
    assert_string_equal(why.message, "ann has reached its limit of 1 requests per day (limits.requests_per_day of "
                                     "big*). What the box has stored is still served.");
    assert_int_equal(why.retry_after_s, 12 * 3600);
    assert_int_equal(limits_take(&a, &why), RC_OK); /* a refusal took nothing */
    limits_settle(&a, &nothing, 0);
    assert_int_equal(limits_take(&b, &why), RC_OK);
    limits_settle(&b, &nothing, 0);
    assert_int_equal(limits_take(&b, &why), RC_OK);
    limits_settle(&b, &nothing, 0);
    assert_int_equal(limits_take(&b, &why), RC_FULL); /* the group's four are gone */
    assert_non_null(strstr(why.message, "floor has reached its limit of 4 requests per day"));
    assert_int_equal(limits_take(&a, &why), RC_FULL);
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(limits_take(&nobody, &why), RC_OK);
        limits_settle(&nobody, &nothing, 0);
    }
}

static void test_concurrent(void **state)
{
    (void)state;
    struct limit_refusal why;
    struct usage nothing = {0};
    fresh();
    entry("ann", "")->quota.concurrent = 2;
    struct request r[3] = {asker("ann", "m", "{}"), asker("ann", "m", "{}"), asker("ann", "m", "{}")};
    assert_int_equal(limits_take(&r[0], &why), RC_OK);
    assert_int_equal(limits_take(&r[1], &why), RC_OK);
    assert_int_equal(limits_take(&r[2], &why), RC_FULL);
    assert_int_equal(why.retry_after_s, 1);
    assert_non_null(strstr(why.message, "its 2 calls at once (limits.concurrent)"));
    assert_false(limits_are_marked(mark_of(&r[2])));
    assert_false(limits_are_spent(&r[2]));
    limits_settle(&r[0], &nothing, 0);
    assert_int_equal(limits_take(&r[2], &why), RC_OK);
    limits_settle(&r[1], NULL, 0);
    limits_settle(&r[2], NULL, 0);
    limits_settle(&r[2], NULL, 0); /* once only */
}

static void test_charges(void **state)
{
    (void)state;
    struct limit_refusal why;
    struct usage usage = {.input_uncached = 50, .cache_read = 30, .output = 20};
    fresh();
    assert_int_equal(prices_read(SPAN("m 2026-01-01 - 1 10 - - - -\n"), &store_test_arena, &generation.prices, message),
                     RC_OK);
    struct config_tenant *ann = entry("ann", "");
    ann->quota.tokens[PER_DAY] = 2000;
    ann->quota.usd[PER_DAY] = 0.02;
    struct request r = asker("ann", "m", "{\"max_tokens\": 500, \"pad\": \"0123456789\"}");
    assert_int_equal(limits_take(&r, &why), RC_OK);
    assert_int_equal(r.ticket.tokens, r.body.size / LIMITS_BYTES_A_TOKEN + 1 + 500);
    assert_int_equal(r.ticket.cost, r.ticket.tokens - 500 + 5000);
    limits_settle(&r, &usage, 280);
    r.body = SPAN("{}");
    assert_int_equal(limits_take(&r, &why), RC_OK);
    limits_give_back(&r); /* no provider was there: as if it had never been */
    limits_give_back(&r);
    assert_int_equal(limits_take(&r, &why), RC_OK);
    assert_int_equal(r.ticket.tokens, 1 + LIMITS_OUTPUT_GUESS);
    limits_settle(&r, NULL, 0);                       /* cut off: the guess stands */
    assert_int_equal(limits_take(&r, &why), RC_FULL); /* 100 + 1025 used, 1025 more do not fit into 2000 */
    assert_string_equal(why.code, "rate_limit_exceeded");
    r.body = SPAN("{\"max_completion_tokens\": 100}");
    assert_int_equal(limits_take(&r, &why), RC_OK);
    usage.output = 1;
    limits_settle(&r, &usage, 10000); /* 280 + 10241 + 10000: the dollars are over */
    assert_int_equal(limits_take(&r, &why), RC_FULL);
    assert_string_equal(why.code, "insufficient_quota");
    assert_int_equal(why.retry_after_s, 12 * 3600);
    assert_true(limits_are_spent(&r));
    assert_true(limits_are_marked(mark_of(&r)));
    r.body = SPAN("{\"max_tokens\": 128000}");
    clock_fake(CLOCK_SECOND, NOON + DAY);
    assert_false(limits_are_marked(mark_of(&r)));
    assert_false(limits_are_spent(&r));
    assert_int_equal(limits_take(&r, &why), RC_OK);
    assert_int_equal(r.ticket.tokens, r.body.size / LIMITS_BYTES_A_TOKEN + 1 + LIMITS_OUTPUT_MOST);
    limits_settle(&r, &usage, 0);
    assert_int_equal(limits_take_unread(&r, &why), RC_TOO_LARGE);
}

static void test_unread(void **state)
{
    (void)state;
    struct limit_refusal why;
    fresh();
    entry("ann", "")->quota.requests[PER_DAY] = 1;
    struct request r = asker("ann", "", "");
    assert_int_equal(limits_take_unread(&r, &why), RC_OK);
    limits_give_back(&r);
    assert_int_equal(limits_take_unread(&r, &why), RC_OK);
    limits_settle(&r, NULL, 0);
    assert_int_equal(limits_take_unread(&r, &why), RC_FULL);
    entry("floor", "")->quota.usd[PER_DAY] = 1;
    entry("bob", "floor");
    r = asker("bob", "", "");
    assert_int_equal(limits_take_unread(&r, &why), RC_TOO_LARGE);
}

static void test_providers(void **state)
{
    (void)state;
    fresh();
    struct config_tenant *floor = entry("floor", ""), *ann = entry("ann", "floor");
    struct request r = asker("ann", "m", "{}");
    assert_true(limits_allow_provider(&r, 3));
    ann->providers[0] = 3;
    ann->provider_count = 1;
    assert_true(limits_allow_provider(&r, 3));
    assert_false(limits_allow_provider(&r, 2));
    floor->providers[0] = 2;
    floor->provider_count = 1;
    assert_false(limits_allow_provider(&r, 3)); /* both must */
    struct config_route route = {.providers = {3, 2}, .provider_count = 2};
    r.route = &route;
    assert_false(limits_allow_any(&r));
    floor->provider_count = 0;
    assert_true(limits_allow_any(&r));
}

static void test_lines(void **state)
{
    (void)state;
    struct limit_refusal why;
    struct span out;
    fresh();
    struct config_tenant *ann = entry("ann", "");
    ann->quota.requests[PER_MINUTE] = 60;
    ann->quota.tokens[PER_MINUTE] = 6000;
    struct request r = asker("ann", "m", "{\"max_tokens\": 599}");
    assert_int_equal(limits_take(&r, &why), RC_OK);
    static const char lines[] = "x-request-id: up-1\r\nX-RateLimit-Remaining-Requests: 9999\r\nopenai-version: 1\r\n"
                                "OpenAI-Organization: the-box\r\n";
    assert_int_equal(limits_lines(&r, SPAN(lines), &store_test_arena, &out), RC_OK);
    char text[LIMITS_LINES_MAX * 2];
    memcpy(text, out.data, out.size);
    text[out.size] = 0;
    assert_string_equal(text, "x-request-id: up-1\r\nopenai-version: 1\r\n"
                              "x-ratelimit-limit-requests: 60\r\nx-ratelimit-remaining-requests: 59\r\n"
                              "x-ratelimit-reset-requests: 1.001s\r\n"
                              "x-ratelimit-limit-tokens: 6000\r\nx-ratelimit-remaining-tokens: 5396\r\n"
                              "x-ratelimit-reset-tokens: 6.041s\r\n");
    r.dialect = DIALECT_ANTHROPIC;
    assert_int_equal(limits_lines(&r, (struct span){0}, &store_test_arena, &out), RC_OK);
    memcpy(text, out.data, out.size);
    text[out.size] = 0;
    assert_string_equal(text, "anthropic-ratelimit-requests-limit: 60\r\nanthropic-ratelimit-requests-remaining: 59\r\n"
                              "anthropic-ratelimit-requests-reset: 2026-11-21T12:00:01Z\r\n"
                              "anthropic-ratelimit-tokens-limit: 6000\r\nanthropic-ratelimit-tokens-remaining: 5396\r\n"
                              "anthropic-ratelimit-tokens-reset: 2026-11-21T12:00:06Z\r\n");
    limits_settle(&r, NULL, 0);
    r.tenant.kind = TENANT_PASSTHROUGH; /* its provider's own words */
    assert_int_equal(limits_lines(&r, SPAN(lines), &store_test_arena, &out), RC_OK);
    assert_true(span_equal(out, SPAN(lines)));
}

static void test_restart(void **state)
{
    (void)state;
    struct limit_refusal why;
    struct usage nothing = {0};
    fresh();
    struct config_tenant *ann = entry("ann", "");
    ann->quota.requests[PER_DAY] = 2;
    ann->quota.requests[PER_MINUTE] = 1;
    struct request r = asker("ann", "m", "{}");
    assert_int_equal(limits_take(&r, &why), RC_OK);
    limits_settle(&r, &nothing, 0);
    limits_close();
    assert_int_equal(limits_open(folder, message, sizeof message), RC_OK);
    assert_int_equal(limits_take(&r, &why), RC_FULL);
    assert_int_equal(why.retry_after_s, 61); /* the minute's bucket, too, is as it was left */
    clock_fake(CLOCK_SECOND, NOON + HOUR);
    assert_int_equal(limits_take(&r, &why), RC_OK);
    limits_settle(&r, &nothing, 0);
    clock_fake(CLOCK_SECOND, NOON + 2 * HOUR);
    assert_int_equal(limits_take(&r, &why), RC_FULL);
    assert_int_equal(why.retry_after_s, 10 * 3600);
    limits_close();
    char path[FILE_PATH_MAX];
    assert_int_equal(file_join(path, folder, "limits"), RC_OK);
    assert_int_equal(file_replace(path, "damaged", 7, 0600), RC_OK);
    assert_int_equal(limits_open(folder, message, sizeof message), RC_OK);
    assert_int_equal(limits_take(&r, &why), RC_OK);
    limits_settle(&r, &nothing, 0);
    assert_int_equal(file_join(path, folder, "limits.damaged"), RC_OK);
    assert_true(file_exists(path));
}

static int start(void **state)
{
    static unsigned char scratch[1 << 16];
    (void)state;
    store_test_setup(NULL);
    folder = store_test_folder();
    gateway.scratch = (struct json_scratch){scratch, sizeof scratch};
    return limits_reserve();
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
        cmocka_unit_test(test_bucket),  cmocka_unit_test(test_debt),    cmocka_unit_test(test_windows),
        cmocka_unit_test(test_dates),   cmocka_unit_test(test_scopes),  cmocka_unit_test(test_concurrent),
        cmocka_unit_test(test_charges), cmocka_unit_test(test_unread),  cmocka_unit_test(test_providers),
        cmocka_unit_test(test_lines),   cmocka_unit_test(test_restart),
    };
    return cmocka_run_group_tests_name("limits", tests, start, stop);
}
