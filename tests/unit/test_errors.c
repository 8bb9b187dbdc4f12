/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_errors.c — our own errors, byte by byte, in both shapes. */
#include "tests/support/dialect_test.h"

static void assert_error(enum dialect dialect, unsigned status, const char *code, const char *id, const char *want)
{
    text_clear(&out);
    dialect_error(dialect, status, code, SPAN("no \"x\""), span_text(id), &out);
    assert_span(text_span(&out), want);
}

static void test_openai_shape(void **state)
{
    (void)state;
    assert_error(
        DIALECT_OPENAI, 400, NULL, "req_1",
        "{\"error\":{\"message\":\"no \\\"x\\\"\",\"type\":\"invalid_request_error\",\"param\":null,\"code\":null}}");
    assert_error(DIALECT_OPENAI, 401, "invalid_api_key", "",
                 "{\"error\":{\"message\":\"no "
                 "\\\"x\\\"\",\"type\":\"authentication_error\",\"param\":null,\"code\":\"invalid_api_key\"}}");
    assert_error(DIALECT_OPENAI, 429, "insufficient_quota", "",
                 "{\"error\":{\"message\":\"no "
                 "\\\"x\\\"\",\"type\":\"insufficient_quota\",\"param\":null,\"code\":\"insufficient_quota\"}}");
}

static void test_anthropic_shape(void **state)
{
    (void)state;
    assert_error(DIALECT_ANTHROPIC, 404, NULL, "req_1",
                 "{\"type\":\"error\",\"error\":{\"type\":\"not_found_error\",\"message\":\"no "
                 "\\\"x\\\"\"},\"request_id\":\"req_1\"}");
    assert_error(
        DIALECT_ANTHROPIC, 503, "offline", "",
        "{\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"no \\\"x\\\"\",\"code\":\"offline\"}}");
}

static void assert_type(enum dialect dialect, unsigned status, const char *type)
{
    char want[64];
    snprintf(want, sizeof want, "\"type\":\"%s\"", type);
    text_clear(&out);
    dialect_error(dialect, status, NULL, SPAN(""), SPAN(""), &out);
    assert_true(span_contains(text_span(&out), span_text(want)));
}

static void test_types_by_status(void **state)
{
    (void)state;
    static const struct {
        unsigned status;
        const char *openai, *anthropic;
    } types[] = {
        {400, "invalid_request_error", "invalid_request_error"},
        {401, "authentication_error", "authentication_error"},
        {403, "permission_error", "permission_error"},
        {404, "not_found_error", "not_found_error"},
        {413, "invalid_request_error", "request_too_large"},
        {415, "invalid_request_error", "invalid_request_error"},
        {429, "rate_limit_error", "rate_limit_error"},
        {500, "server_error", "api_error"},
        {502, "server_error", "api_error"},
        {503, "server_error", "api_error"},
        {504, "server_error", "timeout_error"},
        {529, "overloaded_error", "overloaded_error"},
    };
    for (unsigned i = 0; i < sizeof types / sizeof *types; i++) {
        assert_type(DIALECT_OPENAI, types[i].status, types[i].openai);
        assert_type(DIALECT_ANTHROPIC, types[i].status, types[i].anthropic);
    }
}

static void test_events_are_seen_by_the_live_scan(void **state)
{
    (void)state;
    dialect_error_event(DIALECT_OPENAI, "upstream_cut", SPAN("cut"), &out);
    assert_span(
        text_span(&out),
        "data: "
        "{\"error\":{\"message\":\"cut\",\"type\":\"server_error\",\"param\":null,\"code\":\"upstream_cut\"}}\n\n");
    struct live_stream live = {.dialect = DIALECT_OPENAI};
    live_stream_scan(&live, text_span(&out), &scratch);
    assert_true(live.error);
    text_clear(&out);
    dialect_error_event(DIALECT_ANTHROPIC, NULL, SPAN("cut"), &out);
    assert_span(text_span(&out),
                "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"cut\"}}\n\n");
    live = (struct live_stream){.dialect = DIALECT_ANTHROPIC};
    live_stream_scan(&live, text_span(&out), &scratch);
    assert_true(live.error);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_openai_shape),
        TEST(test_anthropic_shape),
        TEST(test_types_by_status),
        TEST(test_events_are_seen_by_the_live_scan),
    };
    return cmocka_run_group_tests_name("errors", tests, NULL, NULL);
}
