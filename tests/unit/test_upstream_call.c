/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_upstream_call.c — the head that goes up, the lines that come down, who pays, and health: to the byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "app/gateway/upstream_call.h"
#include "platform/plan.h"
#include "platform/rc.h"

static struct exchange exchange;
static struct request request;
static struct arena arena;
static char bytes[65536];

static struct config_provider cloud;

static struct request *of(const char *first, const char *lines)
{
    memset(&exchange, 0, sizeof exchange);
    memset(&request, 0, sizeof request);
    arena_reset(&arena, 0);
    int size = snprintf(bytes, sizeof bytes, "%s HTTP/1.1\r\nHost: box\r\n%s\r\n", first, lines);
    assert_int_equal(http_parse_request(span_of(bytes, (size_t)size), 0, sizeof bytes, &exchange.head), RC_OK);
    request.x = &exchange;
    bool messages = span_starts_with(exchange.head.path, SPAN("/v1/messages"));
    request.dialect = messages ? DIALECT_ANTHROPIC : DIALECT_OPENAI;
    return &request;
}

static void expect_head(struct request *r, const struct config_provider *p, enum payment payment, int64_t size,
                        const char *wanted)
{
    struct span head;
    assert_int_equal(upstream_head(r, r->x->head.method, p, payment, size, &arena, &head), RC_OK);
    if (!span_equal(head, span_text(wanted))) fail_msg("%.*s", SPAN_ARG(head));
}

static void test_head(void **state)
{
    struct config_provider lan = {
        .name = SPAN("lan"), .dialect = DIALECT_OPENAI, .host = SPAN("::1"), .port = 8081, .base_path = SPAN("")};
    struct config_provider anthropic = {
        .name = SPAN("a"), .dialect = DIALECT_ANTHROPIC, .host = SPAN("h"), .port = 80, .key = SPAN("sk-ant")};
    (void)state;
    expect_head(of("POST /v1/chat/completions",
                   "Authorization: Bearer sk-client\r\nContent-Type: application/json\r\nContent-Length: 2\r\n"
                   "Connection: keep-alive, x-hop\r\nx-hop: 1\r\nTE: trailers\r\nCookie: a=b\r\nOrigin: http://o\r\n"
                   "Accept-Encoding: gzip\r\nX-Forwarded-For: 1.2.3.4\r\nVia: x\r\nx-larder-cache: no-store\r\n"
                   "Proxy-Authorization: Basic eA==\r\nExpect: 100-continue\r\nx-stainless-os: Linux\r\n"),
                &cloud, PAY_CLIENT, 2,
                "POST /v1/chat/completions HTTP/1.1\r\nHost: api.cloud.example\r\nContent-Type: application/json\r\n"
                "x-stainless-os: Linux\r\nAuthorization: Bearer sk-client\r\nAccept-Encoding: "
                "identity\r\nContent-Length: 2\r\n\r\n");
    expect_head(of("POST /v1/x?a=b", "Authorization: Bearer lk-1\r\nContent-Length: 0\r\n"), &cloud, PAY_BOX_KEY, 0,
                "POST /v1/x?a=b HTTP/1.1\r\nHost: api.cloud.example\r\nAuthorization: Bearer sk-box\r\n"
                "Accept-Encoding: identity\r\nContent-Length: 0\r\n\r\n");
    expect_head(of("GET /v1/x", "Authorization: Bearer sk-client\r\n"), &lan, PAY_FREE, 0,
                "GET /v1/x HTTP/1.1\r\nHost: [::1]:8081\r\nAccept-Encoding: identity\r\n\r\n");
    expect_head(
        of("POST /v1/messages", "x-api-key: lk-1\r\nanthropic-version: 2023-06-01\r\nTransfer-Encoding: chunked\r\n"),
        &anthropic, PAY_BOX_KEY, -1,
        "POST /v1/messages HTTP/1.1\r\nHost: h\r\nanthropic-version: 2023-06-01\r\nx-api-key: sk-ant\r\n"
        "Accept-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n");
}

/* To the other dialect's provider: its path, its version, its form of the box's key, and nothing of the client's. */
static void test_the_head_of_a_bridged_call(void **state)
{
    struct config_provider anthropic = {
        .name = SPAN("a"), .dialect = DIALECT_ANTHROPIC, .host = SPAN("h"), .port = 80, .key = SPAN("sk-ant")};
    struct request *r =
        of("POST /v1/chat/completions?a=b",
           "Authorization: Bearer lk-1\r\nOpenAI-Beta: x\r\nx-stainless-os: Linux\r\nUser-Agent: me\r\n");
    (void)state;
    r->endpoint = ENDPOINT_CHAT;
    expect_head(
        r, &anthropic, PAY_BOX_KEY, 2,
        "POST /v1/messages HTTP/1.1\r\nHost: h\r\nUser-Agent: me\r\nAccept: application/json, text/event-stream\r\n"
        "Content-Type: application/json\r\nanthropic-version: 2023-06-01\r\nx-api-key: sk-ant\r\n"
        "Accept-Encoding: identity\r\nContent-Length: 2\r\n\r\n");
    anthropic.headers[0] = (struct config_header){SPAN("Anthropic-Version"), SPAN("2026-10-21")};
    anthropic.header_count = 1;
    expect_head(
        r, &anthropic, PAY_FREE, 2,
        "POST /v1/messages HTTP/1.1\r\nHost: h\r\nUser-Agent: me\r\nAccept: application/json, text/event-stream\r\n"
        "Content-Type: application/json\r\nAnthropic-Version: 2026-10-21\r\n"
        "Accept-Encoding: identity\r\nContent-Length: 2\r\n\r\n");
    r = of("POST /v1/messages?beta=true", "x-api-key: lk-1\r\nanthropic-version: 2023-06-01\r\nanthropic-beta: x\r\n");
    r->endpoint = ENDPOINT_CHAT;
    expect_head(r, &cloud, PAY_BOX_KEY, 2,
                "POST /v1/chat/completions HTTP/1.1\r\nHost: api.cloud.example\r\nAccept: application/json, "
                "text/event-stream\r\nContent-Type: application/json\r\nAuthorization: Bearer sk-box\r\n"
                "Accept-Encoding: identity\r\nContent-Length: 2\r\n\r\n");
}

static void test_a_virtual_key_never_goes_up(void **state)
{
    struct span head;
    (void)state;
    struct request *r =
        of("POST /v1/x", "Authorization: Bearer sk-client\r\nx-api-key: lk-123\r\nContent-Length: 0\r\n");
    assert_int_equal(upstream_head(r, r->x->head.method, &cloud, PAY_CLIENT, 0, &arena, &head), RC_OK);
    assert_false(span_contains(head, SPAN("lk-")));
    assert_true(span_contains(head, SPAN("Authorization: Bearer sk-client\r\n")));
    r = of("POST /v1/x", "Authorization: bearer  lk-123\r\nx-api-key: sk-client\r\nContent-Length: 0\r\n");
    assert_int_equal(upstream_head(r, r->x->head.method, &cloud, PAY_CLIENT, 0, &arena, &head), RC_OK);
    assert_false(span_contains(head, SPAN("lk-")));
    assert_true(span_contains(head, SPAN("x-api-key: sk-client\r\n")));
}

static struct http_head *reply_of(const char *lines)
{
    static struct http_head head;
    int size = snprintf(bytes, sizeof bytes, "HTTP/1.1 200 OK\r\n%s\r\n", lines);
    arena_reset(&arena, 0);
    assert_int_equal(http_parse_response(span_of(bytes, (size_t)size), 0, sizeof bytes, SPAN("POST"), &head), RC_OK);
    return &head;
}

static void test_lines(void **state)
{
    struct span lines = {0};
    const char *type = "?";
    char id[REQUEST_ID_SIZE + 1];
    (void)state;
    struct http_head *head = reply_of("Content-Type: application/json; x=y\r\nContent-Length: 2\r\nDate: x\r\nServer: "
                                      "s\r\nSet-Cookie: a\r\nAlt-Svc: b\r\n"
                                      "Strict-Transport-Security: c\r\nAge: 3\r\nCache-Status: d\r\nConnection: close, "
                                      "x-hop\r\nx-hop: 1\r\nx-larder-hit: exact\r\n"
                                      "Access-Control-Allow-Origin: *\r\nx-should-retry: true\r\nx-request-id: "
                                      "req-1\r\nx-ratelimit-limit: 5\r\nRetry-After: 2\r\n");
    assert_int_equal(upstream_lines(head, &arena, &lines, &type), RC_OK);
    if (!span_equal(lines, SPAN("x-request-id: req-1\r\nx-ratelimit-limit: 5\r\nRetry-After: 2\r\n")))
        fail_msg("%.*s", SPAN_ARG(lines));
    assert_string_equal(type, "application/json; x=y");
    upstream_request_id(head, DIALECT_OPENAI, id);
    assert_string_equal(id, "req-1");
    upstream_request_id(head, DIALECT_ANTHROPIC, id);
    assert_string_equal(id, "");
    head = reply_of("request-id: 0123456789012345678901234567890123456\r\nx-b: 1\r\n"); /* 37: longer than ours */
    assert_int_equal(upstream_lines(head, &arena, &lines, &type), RC_OK);
    assert_true(span_equal(lines, SPAN("x-b: 1\r\n")));
    assert_null(type);
    upstream_request_id(head, DIALECT_ANTHROPIC, id);
    assert_string_equal(id, "");
}

static void test_a_type_longer_than_any(void **state)
{
    static char line[400];
    struct span lines;
    const char *type = "?";
    (void)state;
    memset(line, 't', sizeof line);
    memcpy(line, "Content-Type: ", 14);
    memcpy(line + 300, "\r\n", 3);
    assert_int_equal(upstream_lines(reply_of(line), &arena, &lines, &type), RC_OK);
    assert_null(type);
}

static void test_no_memory(void **state)
{
    struct span lines, head;
    const char *type;
    (void)state;
    struct request *r = of("POST /v1/x", "Content-Length: 0\r\n");
    while (arena_take(&arena, 512, 1)) continue;
    assert_int_equal(upstream_head(r, r->x->head.method, &cloud, PAY_FREE, 0, &arena, &head), RC_FULL);
    struct http_head *reply =
        reply_of("x-a: 0123456789012345678901234567890123456789\r\nContent-Type: application/json\r\n");
    size_t size = 65536;
    while (size > 1 && !arena_take(&arena, size, 1)) size -= 1;
    assert_int_equal(upstream_lines(reply, &arena, &lines, &type), RC_FULL);
}

static enum payment pays(enum tenant_kind kind, bool anonymous, const char *key, bool passthrough)
{
    struct config_provider p = {.key = span_text(key), .passthrough = passthrough};
    struct request *r = of("GET /", "");
    r->tenant.kind = kind;
    memset(r->tenant.id, 7, sizeof r->tenant.id);
    r->anonymous_allowed = anonymous;
    return payment_of(r, &p);
}

/* The client's own credential never pays a provider of the other dialect. */
static void test_who_pays_across_the_bridge(void **state)
{
    struct config_provider p = {.dialect = DIALECT_ANTHROPIC, .passthrough = true};
    struct request *r = of("GET /", "");
    (void)state;
    r->tenant.kind = TENANT_PASSTHROUGH;
    r->anonymous_allowed = true;
    assert_int_equal(payment_of(r, &p), PAY_NONE);
    p.key = SPAN("k");
    assert_int_equal(payment_of(r, &p), PAY_NONE);
    r->tenant.kind = TENANT_VIRTUAL;
    assert_int_equal(payment_of(r, &p), PAY_BOX_KEY);
    r->tenant.kind = TENANT_PASSTHROUGH;
    p = (struct config_provider){.dialect = DIALECT_ANTHROPIC};
    assert_int_equal(payment_of(r, &p), PAY_FREE);
}

static void test_who_pays(void **state)
{
    (void)state;
    assert_int_equal(pays(TENANT_VIRTUAL, false, "k", true), PAY_BOX_KEY);
    assert_int_equal(pays(TENANT_VIRTUAL, false, "", true), PAY_NONE);
    assert_int_equal(pays(TENANT_VIRTUAL, false, "", false), PAY_FREE);
    assert_int_equal(pays(TENANT_PASSTHROUGH, false, "k", true), PAY_CLIENT);
    assert_int_equal(pays(TENANT_PASSTHROUGH, true, "k", false), PAY_NONE); /* the box's key is for virtual keys only */
    assert_int_equal(pays(TENANT_PASSTHROUGH, true, "", false), PAY_FREE);
    assert_int_equal(pays(TENANT_PASSTHROUGH, false, "", false), PAY_NONE); /* unproven: counts as none */
    assert_int_equal(pays(TENANT_LOCAL, true, "k", true), PAY_NONE);
    assert_int_equal(pays(TENANT_LOCAL, true, "", false), PAY_FREE);
    assert_int_equal(pays(TENANT_LOCAL, false, "", false), PAY_NONE);
}

static void expect_other(const char *text, bool other)
{
    static struct http_head head;
    int size = snprintf(bytes, sizeof bytes, "HTTP/1.1 %s\r\n\r\n", text);
    assert_int_equal(http_parse_response(span_of(bytes, (size_t)size), 0, sizeof bytes, SPAN("POST"), &head), RC_OK);
    assert_int_equal(upstream_is_other(&head) != NULL, other);
}

static void test_a_portal_is_no_provider(void **state)
{
    (void)state;
    expect_other("200 OK\r\nContent-Type: text/html; charset=utf-8", true);
    expect_other("200 OK\r\nContent-Type: TEXT/HTML", true);
    expect_other("302 Found\r\nLocation: http://portal/", true);
    expect_other("511 Network Authentication Required", true);
    expect_other("200 OK\r\nContent-Type: application/json", false);
    expect_other("200 OK\r\nContent-Type: text/event-stream", false);
    expect_other("200 OK", false);
    expect_other("502 Bad Gateway\r\nContent-Type: text/html", false); /* the provider's own: it passes as it came */
    expect_other("404 Not Found\r\nContent-Type: text/html", false);
}

static int start(void **state)
{
    void *region;
    (void)state;
    assert_int_equal(plan_take("test arena", 1, 65536, PLAN_LAZY, 0, NULL, &region), RC_OK);
    arena_init(&arena, region, 65536, NULL);
    cloud = (struct config_provider){.name = SPAN("cloud"),
                                     .dialect = DIALECT_OPENAI,
                                     .host = SPAN("api.cloud.example"),
                                     .port = 443,
                                     .tls = true,
                                     .base_path = SPAN("/v1"),
                                     .key = SPAN("sk-box"),
                                     .passthrough = true};
    return 0;
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_head),
        cmocka_unit_test(test_the_head_of_a_bridged_call),
        cmocka_unit_test(test_a_virtual_key_never_goes_up),
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_a_type_longer_than_any),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_who_pays),
        cmocka_unit_test(test_who_pays_across_the_bridge),
        cmocka_unit_test(test_a_portal_is_no_provider),
    };
    return cmocka_run_group_tests_name("upstream call", tests, start, NULL);
}
