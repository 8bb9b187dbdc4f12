/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_config_tenants.c — entries of tenants and the prices: what is read, exact words for what is wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "app/config.h"
#include "platform/rc.h"

enum { ARENA_SIZE = 1 << 20 };

static _Alignas(65536) unsigned char memory[ARENA_SIZE];
static struct arena arena;
static struct config_report report;
static char said[8192];

static const char *no_environment(const char *name)
{
    (void)name;
    return NULL;
}

static const struct config_source source = {.file_name = "larder.yaml", .environment = no_environment};

static int load(const char *text, struct config **config)
{
    arena_reset(&arena, ARENA_SIZE);
    int rc = config_load(&arena, span_text(text), &source, config, &report);
    struct text out = text_on(said, sizeof said);
    for (unsigned i = 0; i < report.count; i++) {
        config_issue_print(&report.issues[i], &source, &out);
        text_put_char(&out, '\n');
    }
    return rc;
}

static const struct config *load_ok(const char *text)
{
    struct config *config;
    if (load(text, &config) != RC_OK) fail_msg("%s", said);
    return config;
}

static void load_says(const char *text, int rc, const char *want)
{
    struct config *config;
    assert_int_equal(load(text, &config), rc);
    assert_string_equal(said, want);
}

static void assert_span(struct span s, const char *want)
{
    assert_int_equal(s.size, strlen(want));
    assert_memory_equal(s.data, want, s.size);
}

static void test_reading(void **state)
{
    (void)state;
    const struct config *c =
        load_ok("providers: [{name: lan, dialect: openai, base_url: \"http://10.0.0.2\"}]\n"
                "tenants:\n"
                "- {name: floor, limits: {usd_per_month: 12.5, requests_per_day: 7}}\n"
                "- name: kiosk\n"
                "  group: floor\n"
                "  providers: [lan]\n"
                "  limits: {requests_per_minute: 60, tokens_per_minute: 100000, usd_per_day: 2, concurrent: 4}\n"
                "  models: [{model: \"gpt-5*\", limits: {usd_per_minute: 0.01}}, {model: \"*\", limits: "
                "{tokens_per_month: 9}}]\n");
    const struct config_tenant *floor = &c->tenants[0], *kiosk = &c->tenants[1];
    assert_int_equal(c->tenant_count, 2);
    assert_float_equal(floor->quota.usd[PER_MONTH], 12.5, 0);
    assert_int_equal(floor->quota.requests[PER_DAY], 7);
    assert_int_equal(floor->quota.requests[PER_MINUTE], 0);
    assert_int_equal(floor->provider_count, 0);
    assert_span(kiosk->group, "floor");
    assert_int_equal(kiosk->provider_count, 1);
    assert_int_equal(kiosk->providers[0], 0);
    assert_int_equal(kiosk->quota.requests[PER_MINUTE], 60);
    assert_int_equal(kiosk->quota.tokens[PER_MINUTE], 100000);
    assert_float_equal(kiosk->quota.usd[PER_DAY], 2, 0);
    assert_int_equal(kiosk->quota.concurrent, 4);
    assert_int_equal(kiosk->model_count, 2);
    assert_span(kiosk->models[0].model, "gpt-5*");
    assert_float_equal(kiosk->models[0].quota.usd[PER_MINUTE], 0.01, 0);
    assert_int_equal(kiosk->models[1].quota.tokens[PER_MONTH], 9);
}

static void test_what_is_wrong(void **state)
{
    (void)state;
    load_says("tenants: [{name: a, group: b}, {name: b}]\n", RC_INVALID,
              "larder.yaml:1:28: error: tenants.0: no entry of tenants before this one is called \"b\"\n");
    load_says("tenants: [{name: a}, {name: b, group: a}, {name: c, group: b}]\n", RC_INVALID,
              "larder.yaml:1:60: error: tenants.2: \"b\" is in a group itself\n");
    load_says("tenants: [{name: a, models: [{limits: {concurrent: 1}}]}]\n", RC_INVALID,
              "larder.yaml:1:30: error: tenants.0.models.0.model: required, and not there\n");
    load_says(
        "tenants: [{name: a, limits: {usd_per_day: -1}}]\n", RC_INVALID,
        "larder.yaml:1:43: error: tenants.0.limits.usd_per_day: \"-1\" is no number from 0 to 1000000, like 0.5\n");
    load_says("prices: cheap\n", RC_INVALID, "larder.yaml:1:9: error: prices: \"cheap\" is not builtin or file:PATH\n");
}

static int start(void **state)
{
    (void)state;
    arena_init(&arena, memory, ARENA_SIZE, NULL);
    return yaml_reserve();
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reading),
        cmocka_unit_test(test_what_is_wrong),
    };
    return cmocka_run_group_tests_name("config_tenants", tests, start, NULL);
}
