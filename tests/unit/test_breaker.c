/* SPDX-License-Identifier: Apache-2.0 */
/* A breaker, call by call: what opens it, who may ask meanwhile, what closes it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "app/gateway/gateway.h"
#include "platform/clock.h"
#include "platform/metric.h"
#include "platform/rc.h"

static struct config_provider cloud = {.name = SPAN_ROW("cloud"),
                                       .connect_us = 5000000,
                                       .breaker_ratio = 0.5,
                                       .breaker_calls = 20,
                                       .breaker_window_us = 30000000,
                                       .breaker_probe_us = 1000000};

static void test_health(void **state)
{
    struct provider_health health = {0};
    struct upstream_call call = {0};
    (void)state;
    clock_fake(1000000, UINT64_C(1795000000000000));
    for (unsigned i = 0; i < 9; i++) { /* connected, and broken off: that is no dead line */
        snprintf(call.message, sizeof call.message, "closed");
        health_failed(&health, &cloud, &call, RC_CLOSED);
        assert_true(health_allows(&health, &cloud));
    }
    call.reused = true;
    health_failed(&health, &cloud, &call, RC_TIMEOUT); /* a slow answer neither */
    assert_int_equal(health.connect_failures, 0);
    call.reused = false;
    for (unsigned i = 0; i < 5; i++) {
        assert_true(health_allows(&health, &cloud));
        snprintf(call.message, sizeof call.message, "%s", i == 4 ? "the last word" : "no");
        health_failed(&health, &cloud, &call, i == 2 ? RC_TIMEOUT : RC_UNREACHABLE);
    }
    assert_int_equal(health.connect_failures, 5);
    assert_int_equal(health.failing_since_us, UINT64_C(1795000000000000));
    assert_string_equal(health.last_error, "the last word");
    assert_false(health_allows(&health, &cloud));
    clock_fake_advance(999999);
    assert_false(health_allows(&health, &cloud));
    clock_fake_advance(1);
    assert_true(health_allows(&health, &cloud)); /* one probe */
    assert_false(health_allows(&health, &cloud));
    health_reached(&health, &call, &cloud);
    assert_int_equal(health.connect_failures, 0);
    assert_int_equal(health.failing_since_us, 0);
    assert_true(health_allows(&health, &cloud));
    clock_fake_off();
}

static void reply(struct provider_health *h, unsigned status)
{
    struct upstream_call call = {.head.status = status};
    health_reached(h, &call, &cloud);
}

static void test_the_share_of_failed_calls_opens(void **state)
{
    struct provider_health h = {0};
    (void)state;
    clock_fake(1000000, UINT64_C(1795000000000000));
    for (unsigned i = 0; i < 19; i++) reply(&h, i % 2 ? 503 : 200);
    assert_false(h.tripped); /* not enough calls yet */
    assert_int_equal(health_state(&h), BREAKER_CLOSED);
    reply(&h, 529);
    assert_true(h.tripped); /* ten of twenty */
    assert_int_equal(h.failing_since_us, UINT64_C(1795000000000000));
    assert_string_equal(h.last_error, "it answers with status 529");
    assert_int_equal(health_state(&h), BREAKER_OPEN);
    assert_false(health_allows(&h, &cloud));
    clock_fake_advance(1000000);
    assert_int_equal(health_state(&h), BREAKER_HALF_OPEN);
    assert_true(health_would_allow(&h)); /* takes nothing */
    assert_true(health_allows(&h, &cloud));
    assert_false(health_allows(&h, &cloud));
    reply(&h, 500); /* the probe failed: the pause begins anew */
    clock_fake_advance(999999);
    assert_false(health_allows(&h, &cloud));
    clock_fake_advance(1);
    assert_true(health_allows(&h, &cloud));
    uint64_t before = breaker_recoveries();
    reply(&h, 200);
    assert_int_equal(breaker_recoveries(), before + 1);
    assert_int_equal(health_state(&h), BREAKER_CLOSED);
    assert_int_equal(h.failing_since_us, 0);
    for (unsigned i = 0; i < 9; i++) reply(&h, 500); /* what was is forgotten */
    assert_false(h.tripped);
    clock_fake_off();
}

static void test_the_window_forgets(void **state)
{
    struct provider_health h = {0};
    (void)state;
    clock_fake(60000000, UINT64_C(1795000000000000));
    for (unsigned i = 0; i < 19; i++) reply(&h, 500);
    clock_fake_advance(31000000);
    for (unsigned i = 0; i < 19; i++) reply(&h, 500);
    assert_false(h.tripped);
    clock_fake_advance(10000000); /* within one window */
    reply(&h, 500);
    assert_true(h.tripped);
    clock_fake_off();
}

/* One client's limit is not everybody's. */
static void test_refusals_do_not_open(void **state)
{
    struct provider_health h = {0};
    (void)state;
    clock_fake(1000000, UINT64_C(1795000000000000));
    for (unsigned i = 0; i < 100; i++) reply(&h, i % 2 ? 429 : 401);
    assert_int_equal(health_state(&h), BREAKER_CLOSED);
    clock_fake_off();
}

static void test_a_portal_counts_as_failed(void **state)
{
    struct provider_health h = {0};
    (void)state;
    clock_fake(1000000, UINT64_C(1795000000000000));
    health_misled(&h, &cloud, "a web page came");
    assert_string_equal(h.last_error, "cloud: a web page came");
    assert_int_not_equal(h.failing_since_us, 0);
    assert_int_equal(h.connect_failures, 0);
    reply(&h, 500); /* it is there again, and only failed */
    assert_int_equal(h.failing_since_us, 0);
    clock_fake_off();
}

static void test_probes_of_the_background(void **state)
{
    struct provider_health h = {0};
    struct upstream_call call = {0};
    (void)state;
    clock_fake(1000000, UINT64_C(1795000000000000));
    breaker_background(true);
    assert_false(health_probe_due(&h, &cloud)); /* nothing is wrong */
    snprintf(call.message, sizeof call.message, "no");
    health_failed(&h, &cloud, &call, RC_UNREACHABLE);
    assert_true(health_allows(&h, &cloud));     /* one failure: requests still try */
    assert_false(health_probe_due(&h, &cloud)); /* too soon */
    for (unsigned i = 0; i < 4; i++) health_failed(&h, &cloud, &call, RC_UNREACHABLE);
    clock_fake_advance(60000000);
    assert_false(health_allows(&h, &cloud)); /* never a request */
    assert_true(health_probe_due(&h, &cloud));
    assert_int_equal(health_state(&h), BREAKER_HALF_OPEN);
    assert_false(health_probe_due(&h, &cloud)); /* one at a time */
    health_probed(&h, &cloud, &call, RC_UNREACHABLE);
    assert_false(health_probe_due(&h, &cloud));
    clock_fake_advance(1000000);
    assert_true(health_probe_due(&h, &cloud));
    health_probed(&h, &cloud, &call, RC_OK);
    assert_int_equal(health_state(&h), BREAKER_CLOSED);
    assert_int_equal(h.failing_since_us, 0);
    h.tripped = true; /* a connection does not prove what only a call can */
    h.failing_since_us = 5;
    h.connect_failures = 1;
    clock_fake_advance(60000000);
    assert_true(health_probe_due(&h, &cloud));
    health_probed(&h, &cloud, &call, RC_OK);
    assert_int_equal(h.failing_since_us, 5);
    assert_true(health_allows(&h, &cloud)); /* a request decides */
    breaker_background(false);
    clock_fake_off();
}

static void test_who_may_stand_in(void **state)
{
    struct provider_health h = {0};
    struct upstream_call call = {0};
    (void)state;
    clock_fake(1000000, UINT64_C(1795000000000000));
    assert_false(health_is_away(&h, &cloud));
    health_failed(&h, &cloud, &call, RC_CLOSED); /* it is not open, so nobody looks by himself */
    assert_true(health_is_away(&h, &cloud));
    clock_fake_advance(9999999);
    assert_true(health_is_away(&h, &cloud));
    clock_fake_advance(1);
    assert_false(health_is_away(&h, &cloud)); /* this one finds out */
    assert_true(health_is_away(&h, &cloud));
    health_failed(&h, &cloud, &call, RC_UNREACHABLE);
    clock_fake_advance(60000000);
    assert_true(health_is_away(&h, &cloud)); /* the background looks */
    reply(&h, 200);
    assert_false(health_is_away(&h, &cloud));
    h.tripped = true;
    h.failing_since_us = 1;
    h.next_probe_us = clock_monotonic_us() + 1;
    assert_true(health_is_away(&h, &cloud));
    clock_fake_advance(1);
    assert_false(health_is_away(&h, &cloud));
    assert_false(health_is_away(&h, &cloud)); /* only the call itself takes the probe */
    clock_fake_off();
}

static void test_offline_is_when_nobody_answers(void **state)
{
    static struct config config = {.provider_count = 3};
    static struct generation g = {.config = &config};
    (void)state;
    for (unsigned i = 0; i < 3; i++) config.providers[i].name = SPAN("p");
    assert_int_equal(health_offline_since(&g), 0); /* nobody was asked */
    g.health[0] = (struct provider_health){.asked = true, .failing_since_us = 7};
    assert_int_equal(health_offline_since(&g), 7);
    g.health[1] = (struct provider_health){.asked = true, .failing_since_us = 9};
    assert_int_equal(health_offline_since(&g), 9);
    g.health[1].failing_since_us = 0;
    assert_int_equal(health_offline_since(&g), 0);
}

static void test_seen(void **state)
{
    static struct config config = {.provider_count = 1};
    static struct generation g = {.config = &config};
    static char bytes[65536];
    (void)state;
    clock_fake(1000000, UINT64_C(1795000000000000));
    config.providers[0] = cloud;
    gateway.current = &g;
    breaker_register_metrics();
    breaker_name_metrics(&config);
    struct text out = text_on(bytes, sizeof bytes);
    health_print(&g, &out);
    assert_string_equal(bytes, "provider cloud            fine, as far as known\n");
    g.health[0] = (struct provider_health){.asked = true,
                                           .tripped = true,
                                           .failing_since_us = UINT64_C(1794999940000000),
                                           .next_probe_us = 9000000,
                                           .last_error = "gone"};
    out = text_on(bytes, sizeof bytes);
    health_print(&g, &out);
    assert_non_null(strstr(bytes, "(gone), breaker open\n"));
    out = text_on(bytes, sizeof bytes);
    (void)metric_render(&out, 0);
    assert_non_null(strstr(bytes, "larder_offline_seconds 60\n"));
    assert_non_null(strstr(bytes, "larder_provider_state{provider=\"cloud\"} 2\n"));
    assert_null(strstr(bytes, "larder_provider_state{} ")); /* places without a provider are no series */
    assert_null(strstr(bytes, "nan"));
    gateway.current = NULL;
    clock_fake_off();
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_health),
        cmocka_unit_test(test_the_share_of_failed_calls_opens),
        cmocka_unit_test(test_the_window_forgets),
        cmocka_unit_test(test_refusals_do_not_open),
        cmocka_unit_test(test_a_portal_counts_as_failed),
        cmocka_unit_test(test_probes_of_the_background),
        cmocka_unit_test(test_who_may_stand_in),
        cmocka_unit_test(test_offline_is_when_nobody_answers),
        cmocka_unit_test(test_seen),
    };
    return cmocka_run_group_tests_name("breaker", tests, NULL, NULL);
}
