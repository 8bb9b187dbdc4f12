/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_server_tls.c — the server behind TLS: handshakes on fibers, requests in decrypted bytes that make no
 * event, bounds; and its series as they are rendered. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <unistd.h>

#include "net/server.h"
#include "net/server_private.h"
#include "platform/rc.h"
#include "platform/text.h"
#include "tests/support/net_test.h"

enum { BODY_SIZE = 100000 };

static struct arena_budget budget = {.limit = 8 << 20};
static void serve(struct exchange *x);
static void refuse(const struct http_head *head, unsigned status, const char *reason, struct text *out);
static struct server server = {
    .name = "api",
    .serve = serve,
    .refuse = refuse,
    .budget = &budget,
    .limits = {.connections = 8,
               .connections_per_address = 8,
               .exchanges = 3,
               .head_readers = 2,
               .tls_connections = 4,
               .header = 1024,
               .arena_reserve = 1 << 20,
               .header_us = CLOCK_SECOND / 2,
               .body_us = 5 * CLOCK_SECOND,
               .idle_us = 5 * CLOCK_SECOND},
};
static unsigned port;
static struct tls_trust *trust;
static struct connection *detached;

static void writable(struct connection *c)
{
    (void)c;
}

static void gone(struct connection *c)
{
    assert_ptr_equal(c, detached);
    detached = NULL;
}

static const struct connection_owner owner = {writable, gone};

static void serve(struct exchange *x)
{
    struct span body;
    char head[128];
    assert_true(exchange_is_tls(x));
    if (exchange_body(x, BODY_SIZE, &body) != RC_OK) return;
    if (span_equal(x->head.path, SPAN("/detach"))) {
        detached = exchange_detach(x, &owner);
        return;
    }
    int size = snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", body.size);
    if (exchange_send(x, head, (size_t)size) == RC_OK && body.size > 0) (void)exchange_send(x, body.data, body.size);
}

static void refuse(const struct http_head *head, unsigned status, const char *reason, struct text *out)
{
    (void)head;
    (void)reason;
    text_format(out, "HTTP/1.1 %u\r\n\r\n", status);
}

static void dial(struct stream *s)
{
    char message[TLS_MESSAGE_MAX] = "";
    stream_init(s, net_test_connect(port));
    int rc = tls_connect(s, trust, SPAN("localhost"), net_test_in_ms(5000), message);
    if (rc != RC_OK) fail_msg("%s: %s", rc_name(rc), message);
}

static void say(struct stream *s, const char *text)
{
    assert_int_equal(stream_send_all(s, text, strlen(text), net_test_in_ms(5000)), RC_OK);
}

static void expect(struct stream *s, const char *text)
{
    static char buffer[BODY_SIZE * 2];
    size_t size = 0, wanted = strlen(text);
    while (size < wanted) {
        size_t done;
        int rc = stream_recv_wait(s, buffer + size, wanted - size, &done, net_test_in_ms(5000));
        if (rc != RC_OK) fail_msg("%s after \"%.*s\" instead of \"%s\"", rc_name(rc), (int)size, buffer, text + size);
        size += done;
    }
    assert_memory_equal(buffer, text, wanted);
}

static void expect_end(struct stream *s)
{
    char c;
    size_t done;
    assert_int_equal(stream_recv_wait(s, &c, 1, &done, net_test_in_ms(5000)), RC_CLOSED);
    stream_close(s, false);
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"
#define EMPTY "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

static void requests(void *arg)
{
    (void)arg;
    struct stream s;
    dial(&s);
    say(&s, GET("/1"));
    expect(&s, EMPTY);
    say(&s, GET("/2") GET("/3") "GET /4 HT");
    expect(&s, EMPTY EMPTY);
    say(&s, "TP/1.1\r\n");
    say(&s, "Host: a\r\n\r\nPOST /5 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe");
    expect(&s, EMPTY);
    say(&s, "llo");
    expect(&s, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    say(&s, "\n");
    expect(&s, "HTTP/1.1 400\r\n\r\n");
    expect_end(&s);
}

static void test_requests(void **state)
{
    (void)state;
    net_test_run(requests, NULL);
}

/* More than a record and more than the socket takes at once, both ways. */
static void large(void *arg)
{
    (void)arg;
    static char body[BODY_SIZE + 1], reply[BODY_SIZE + 128];
    for (size_t i = 0; i < BODY_SIZE; i++) body[i] = (char)('a' + i % 23);
    struct stream s;
    dial(&s);
    snprintf(reply, sizeof reply, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", BODY_SIZE);
    for (unsigned i = 0; i < 3; i++) {
        say(&s, reply);
        say(&s, body);
        char head[64];
        snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", BODY_SIZE);
        expect(&s, head);
        expect(&s, body);
    }
    stream_close(&s, false);
}

static void test_large_bodies(void **state)
{
    (void)state;
    net_test_run(large, NULL);
}

static void detach(void *arg)
{
    (void)arg;
    struct stream s;
    dial(&s);
    for (unsigned i = 0; i < 2; i++) {
        say(&s, GET("/detach"));
        while (!detached) assert_int_equal(fiber_sleep_until(net_test_in_ms(1)), RC_OK);
        if (i == 1) say(&s, GET("/next"));
        size_t sent;
        assert_int_equal(connection_send_try(detached, EMPTY, sizeof EMPTY - 1, &sent), RC_OK);
        assert_int_equal(sent, sizeof EMPTY - 1);
        connection_finish(detached);
        detached = NULL;
        expect(&s, EMPTY);
    }
    expect(&s, EMPTY);
    say(&s, GET("/detach"));
    while (!detached) assert_int_equal(fiber_sleep_until(net_test_in_ms(1)), RC_OK);
    stream_close(&s, false);
    while (detached) assert_int_equal(fiber_sleep_until(net_test_in_ms(1)), RC_OK);
}

static void test_detached(void **state)
{
    (void)state;
    net_test_run(detach, NULL);
}

/* Silent clients only keep out others that do not shake hands, and not for long. */
static void silent(void *arg)
{
    (void)arg;
    struct stream s[3], good;
    uint64_t evicted = metric_get(&server.state->metrics->counts[COUNT_EVICTED_HEAD]);
    for (unsigned i = 0; i < 3; i++) stream_init(&s[i], net_test_connect(port));
    expect_end(&s[0]);
    assert_int_equal(metric_get(&server.state->metrics->counts[COUNT_EVICTED_HEAD]), evicted + 1);
    dial(&good);
    say(&good, GET("/"));
    expect(&good, EMPTY);
    expect_end(&s[1]);
    expect_end(&s[2]); /* its deadline */
    say(&good, GET("/"));
    expect(&good, EMPTY);
    stream_close(&good, false);
}

static void test_silent_handshakes(void **state)
{
    (void)state;
    net_test_run(silent, NULL);
}

static void crowd(void *arg)
{
    (void)arg;
    struct stream s[4], more;
    for (unsigned i = 0; i < 4; i++) dial(&s[i]);
    stream_init(&more, net_test_connect(port));
    expect_end(&more);
    stream_close(&s[0], false);
    assert_int_equal(fiber_sleep_until(net_test_in_ms(50)), RC_OK);
    dial(&more);
    say(&more, GET("/"));
    expect(&more, EMPTY);
    stream_close(&more, false);
    for (unsigned i = 1; i < 4; i++) stream_close(&s[i], false);
}

static void test_bound_on_tls_connections(void **state)
{
    (void)state;
    net_test_run(crowd, NULL);
}

static void garbage(void *arg)
{
    (void)arg;
    struct stream s;
    stream_init(&s, net_test_connect(port));
    say(&s, GET("/"));
    char buffer[64];
    size_t done;
    int rc;
    while ((rc = stream_recv_wait(&s, buffer, sizeof buffer, &done, net_test_in_ms(5000))) == RC_OK) continue;
    assert_true(rc == RC_CLOSED || rc == RC_IO);
    stream_close(&s, false);
}

static void test_plain_http_on_the_tls_port(void **state)
{
    (void)state;
    net_test_run(garbage, NULL);
}

static void test_series(void **state)
{
    (void)state;
    assert_int_equal(net_test_metric("larder_server_refused_total", "server=\"api\",reason=\"tls\""), 1);
    assert_int_equal(net_test_metric("larder_server_refusals_total", "server=\"api\",status=\"400\""), 1);
    assert_int_equal(net_test_metric("larder_server_requests_total", "server=\"admin\""), 0);
    assert_true(net_test_metric("larder_server_requests_total", "server=\"api\"") >= 15);
    assert_true(net_test_metric("larder_server_connections_high", "server=\"api\"") >= 4);
}

static int start(void **state)
{
    char message[TLS_MESSAGE_MAX];
    struct tls_server *certificate;
    (void)net_test_start(state);
    if (tls_trust_load(SPAN("file:" NET_TEST_DATA "root.pem"), SPAN(""), &trust, message) != RC_OK) return -1;
    if (tls_server_load(NET_TEST_DATA "ec.pem", NET_TEST_DATA "ec.key", &certificate, message) != RC_OK) return -1;
    if (server_reserve(&server) != RC_OK) return -1;
    return server_listen(&server, SPAN("127.0.0.1:0"), certificate, &port) == RC_OK ? 0 : -1;
}

static int all_given_back(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 100 && server.state->connections.used > 0; i++) assert_int_equal(loop_turn(10000), RC_OK);
    const struct server_state *s = server.state;
    return s->connections.used + s->slots.used + s->fibers.used + s->working + s->readers + s->tls_count == 0 ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_requests, all_given_back),
        cmocka_unit_test_teardown(test_large_bodies, all_given_back),
        cmocka_unit_test_teardown(test_detached, all_given_back),
        cmocka_unit_test_teardown(test_silent_handshakes, all_given_back),
        cmocka_unit_test_teardown(test_bound_on_tls_connections, all_given_back),
        cmocka_unit_test_teardown(test_plain_http_on_the_tls_port, all_given_back),
        cmocka_unit_test(test_series),
    };
    return cmocka_run_group_tests_name("server_tls", tests, start, NULL);
}
