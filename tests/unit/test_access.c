/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_access.c — who may speak to the API port: names, origins, credentials. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "app/gateway/access.h"
#include "platform/rc.h"

static struct exchange exchange;
static struct config config;
static struct request request;
static char bytes[4096];

/* A request whose head has these lines. */
static struct request *of(const char *lines)
{
    memset(&exchange, 0, sizeof exchange);
    memset(&request, 0, sizeof request);
    int size = snprintf(bytes, sizeof bytes, "POST /v1/chat/completions HTTP/1.1\r\n%s\r\n", lines);
    assert_int_equal(http_parse_request(span_of(bytes, (size_t)size), 0, sizeof bytes, &exchange.head), RC_OK);
    request.x = &exchange;
    request.config = &config;
    return &request;
}

static int check(const char *lines)
{
    const char *why = NULL;
    int rc = access_check(of(lines), &why);
    assert_int_equal(rc == RC_OK, why == NULL);
    return rc;
}

static void test_host(void **state)
{
    static const char *const known[] = {"localhost",  "LOCALHOST:8080", "127.0.0.1", "192.168.1.7:80",
                                        "[::1]:8080", "[fe80::1]",      "box.lan",   "Box.LAN:1"};
    static const char *const unknown[] = {
        "evil.example", "localhost.evil.example", "127.0.0.1.evil", "1.2.3", "", "box.lan.", "[evil]"};
    struct config_names names = {.at = {SPAN("box.lan")}, .count = 1};
    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!access_host_known(span_text(known[i]), &names)) fail_msg("%s", known[i]);
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        if (access_host_known(span_text(unknown[i]), &names)) fail_msg("%s", unknown[i]);
    }
}

static void test_own_name(void **state)
{
    struct config_names none = {.count = 0};
    (void)state;
    access_learn_names();
    assert_true(gateway.own_name[0] == 0 || access_host_known(span_text(gateway.own_name), &none));
    snprintf(gateway.own_name, sizeof gateway.own_name, "kitchen");
    assert_true(access_host_known(SPAN("kitchen:80"), &none));
    assert_false(access_host_known(SPAN("kitchens"), &none));
    gateway.own_name[0] = 0;
    assert_false(access_host_known(SPAN(""), &none)); /* a machine without a name has no empty one */
}

static void test_origin(void **state)
{
    (void)state;
    config = (struct config){.access.cors = {.at = {SPAN("https://app.example")}, .count = 1}};
    assert_int_equal(check("Host: localhost\r\n"), RC_OK);
    assert_int_equal(request.origin.size, 0);
    assert_int_equal(check("Host: localhost\r\nOrigin: https://app.example\r\n"), RC_OK);
    assert_true(span_equal(request.origin, SPAN("https://app.example")));
    assert_int_equal(check("Host: localhost:8080\r\nOrigin: http://localhost:8080\r\n"), RC_OK);
    assert_int_equal(request.origin.size, 0); /* the box's own pages need no leave */
    assert_int_equal(check("Host: localhost:8080\r\nOrigin: http://localhost:8081\r\n"), RC_DENIED);
    assert_int_equal(check("Host: localhost\r\nOrigin: https://evil.example\r\n"), RC_DENIED);
    assert_int_equal(check("Host: localhost\r\nOrigin: null\r\n"), RC_DENIED);
    assert_int_equal(check("Host: evil.example\r\n"), RC_DENIED);
    config.access.cors = (struct config_names){.at = {SPAN("*")}, .count = 1};
    assert_int_equal(check("Host: localhost\r\nOrigin: https://evil.example\r\n"), RC_OK);
    char lines[600] = "Host: localhost\r\nOrigin: https://";
    memset(lines + 33, 'a', 293);
    memcpy(lines + 33 + 292, "\r\n", 3);
    assert_int_equal(check(lines), RC_OK); /* 300 bytes */
    memset(lines + 33, 'a', 293);
    memcpy(lines + 33 + 293, "\r\n", 3);
    assert_int_equal(check(lines), RC_DENIED);
}

static void expect_credential(const char *lines, const char *wanted)
{
    char whole[200];
    snprintf(whole, sizeof whole, "Host: a\r\n%s", lines);
    struct span got = access_credential(&of(whole)->x->head);
    if (!span_equal(got, span_text(wanted))) fail_msg("%s: %.*s", lines, SPAN_ARG(got));
}

static void test_credential(void **state)
{
    (void)state;
    expect_credential("", "");
    expect_credential("Authorization: Bearer sk-1\r\n", "sk-1");
    expect_credential("Authorization: bearer   sk-1 \r\n", "sk-1");
    expect_credential("Authorization: sk-1\r\n", "sk-1");
    expect_credential("Authorization: Bearer\r\n", "Bearer");
    expect_credential("x-api-key: sk-2\r\n", "sk-2");
    expect_credential("Authorization: Bearer sk-1\r\nx-api-key: sk-2\r\n", "sk-1");
    expect_credential("Authorization: Bearer DUMMY_KEY\r\n", "");
    expect_credential("Authorization: Bearer not-needed\r\nx-api-key: sk-2\r\n", "sk-2");
    expect_credential("x-api-key: none\r\n", "");
    assert_true(span_equal(access_secret(SPAN("BEARER lk-1")), SPAN("lk-1")));
}

static void test_preflight(void **state)
{
    (void)state;
    struct request *r = of("Host: a\r\nAccess-Control-Request-Method: POST\r\n");
    assert_false(access_is_preflight(r)); /* a POST is none */
    r->x->head.method = SPAN("OPTIONS");
    assert_true(access_is_preflight(r));
    r = of("Host: a\r\n");
    r->x->head.method = SPAN("OPTIONS");
    assert_false(access_is_preflight(r));
}

/* There is no connection here, so nobody is loopback. */
static void test_anonymous(void **state)
{
    (void)state;
    config.access.anonymous = ANONYMOUS_ANY;
    assert_true(access_anonymous(of("Host: a\r\nVia: 1.1 proxy\r\n")));
    config.access.anonymous = ANONYMOUS_LOOPBACK;
    assert_false(access_anonymous(of("Host: a\r\n")));
    config.access.anonymous = ANONYMOUS_NONE;
    assert_false(access_anonymous(of("Host: a\r\n")));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_host),       cmocka_unit_test(test_own_name),  cmocka_unit_test(test_origin),
        cmocka_unit_test(test_credential), cmocka_unit_test(test_preflight), cmocka_unit_test(test_anonymous),
    };
    return cmocka_run_group_tests_name("access", tests, NULL, NULL);
}
