/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_upstream_reply.c — replies of every shape: 1xx, bodies, cuts, nonsense, late ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "platform/rc.h"
#include "tests/support/net_call.h"

/* ---- replies */

/* One call against a peer with a script; connections idle afterwards. */
static unsigned play(const struct net_call_script *script, const char *method, struct upstream_options *changed)
{
    struct net_peer peer;
    net_peer_start(&peer, net_call_serve_script);
    peer.arg = (void *)(uintptr_t)script;
    struct upstream_options o = changed ? *changed : net_call_options(peer.port);
    o.port = peer.port;
    struct upstream *u = net_call_open(&o);
    memset(&outcome, 0, sizeof outcome);
    outcome.upstream = u;
    outcome.method = method;
    net_test_run(net_call_run, &outcome);
    unsigned idle = upstream_load(u).idle;
    assert_int_equal(upstream_load(u).active, 0);
    upstream_release(u);
    net_peer_stop(&peer);
    return idle;
}

static void test_informational_replies_are_skipped(void **state)
{
    static const char reply[] = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
                                "HTTP/1.1 102 Processing\r\n\r\n" NET_CALL_OK;
    (void)state;
    for (size_t piece = 0; piece < 8; piece++) {
        struct net_call_script s = {.reply = reply, .piece = piece, .between_ms = 1};
        assert_int_equal(play(&s, NULL, NULL), 1);
        net_call_expect("ok");
        assert_int_equal(outcome.status, 200);
    }
    struct net_call_script upgrade = {.reply = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"};
    assert_int_equal(play(&upgrade, NULL, NULL), 0);
    assert_int_equal(outcome.reply, RC_INVALID);
}

static void test_chunks_split_everywhere(void **state)
{
    static const char reply[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                                "5\r\nhello\r\n1;x=y\r\n \r\n00a\r\nworld 1234\r\n0\r\nTrailer: t\r\n\r\n";
    (void)state;
    for (size_t piece = 0; piece < 12; piece++) {
        struct net_call_script s = {.reply = reply, .piece = piece};
        assert_int_equal(play(&s, NULL, NULL), 1);
        net_call_expect("hello world 1234");
    }
    /* every single cut, with a pause so that it is two reads */
    for (size_t cut = sizeof reply - 70; cut < sizeof reply - 1; cut++) {
        struct net_call_script s = {.reply = reply, .piece = cut, .between_ms = 2};
        assert_int_equal(play(&s, NULL, NULL), 1);
        net_call_expect("hello world 1234");
    }
}

static void test_bodies_by_length_close_and_none(void **state)
{
    (void)state;
    struct net_call_script until_close = {.reply = "HTTP/1.1 200 OK\r\n\r\nto the end", .close = true};
    assert_int_equal(play(&until_close, NULL, NULL), 0);
    net_call_expect("to the end");
    struct net_call_script no_content = {.reply = "HTTP/1.1 204 No Content\r\n\r\n"};
    assert_int_equal(play(&no_content, NULL, NULL), 1);
    net_call_expect("");
    struct net_call_script not_modified = {.reply = "HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n"};
    assert_int_equal(play(&not_modified, NULL, NULL), 1);
    net_call_expect("");
    struct net_call_script head = {.reply = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"};
    assert_int_equal(play(&head, "HEAD", NULL), 1);
    net_call_expect("");
    struct net_call_script empty = {.reply = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"};
    assert_int_equal(play(&empty, NULL, NULL), 1);
    net_call_expect("");
}

static void test_connection_that_must_not_be_kept(void **state)
{
    (void)state;
    struct net_call_script close = {.reply = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"};
    assert_int_equal(play(&close, NULL, NULL), 0);
    net_call_expect("ok");
    struct net_call_script old = {.reply = "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"};
    assert_int_equal(play(&old, NULL, NULL), 0);
    net_call_expect("ok");
    struct net_call_script more = {.reply = NET_CALL_OK "HTTP/1.1 200 OK\r\n"}; /* bytes nobody asked for */
    assert_int_equal(play(&more, NULL, NULL), 0);
    net_call_expect("ok");
}

static void test_cut_replies(void **state)
{
    static const char *const replies[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nonly this",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nonly this\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n20\r\nonly this",
    };
    (void)state;
    for (size_t i = 0; i < sizeof replies / sizeof replies[0]; i++) {
        struct net_call_script s = {.reply = replies[i], .close = true};
        assert_int_equal(play(&s, NULL, NULL), 0);
        assert_int_equal(outcome.reply, RC_OK);
        assert_int_equal(outcome.read, RC_CLOSED);
        assert_int_equal(outcome.size, 9);
        net_call_expect_message("prov: the reply was cut short");
    }
    struct net_call_script half_head = {.reply = "HTTP/1.1 200 OK\r\nContent-", .close = true};
    assert_int_equal(play(&half_head, NULL, NULL), 0);
    assert_int_equal(outcome.reply, RC_CLOSED);
    struct net_call_script nothing = {.reply = "", .close = true};
    assert_int_equal(play(&nothing, NULL, NULL), 0);
    assert_int_equal(outcome.reply, RC_CLOSED);
    struct net_call_script reset = {
        .reply = "HTTP/1.1 200 OK\r\n\r\nuntil", .reset = true, .piece = 1, .between_ms = 1};
    assert_int_equal(play(&reset, NULL, NULL), 0); /* a reset is not the end of a body */
    assert_int_equal(outcome.read, RC_CLOSED);
}

static void test_replies_that_are_not_http(void **state)
{
    static const char *const replies[] = {
        "SSH-2.0-OpenSSH\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nok",
        "HTTP/2.0 200 OK\r\n\r\n",
    };
    (void)state;
    for (size_t i = 0; i < sizeof replies / sizeof replies[0]; i++) {
        struct net_call_script s = {.reply = replies[i], .close = true};
        assert_int_equal(play(&s, NULL, NULL), 0);
        assert_int_equal(outcome.reply, RC_INVALID);
        net_call_expect_message("prov: not an HTTP reply (");
    }
    struct net_call_script chunk = {.reply = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n"};
    assert_int_equal(play(&chunk, NULL, NULL), 0);
    assert_int_equal(outcome.read, RC_INVALID);
}

static void test_head_that_is_too_large(void **state)
{
    static char reply[UPSTREAM_HEAD_MAX + 200];
    (void)state;
    memset(reply, 'x', sizeof reply - 1);
    memcpy(reply, "HTTP/1.1 200 OK\r\nX: ", 20);
    struct net_call_script s = {.reply = reply};
    assert_int_equal(play(&s, NULL, NULL), 0);
    assert_int_equal(outcome.reply, RC_INVALID);
    net_call_expect_message("larger than 16384");
}

static void test_large_body_behind_a_large_head(void **state)
{
    static char reply[90000];
    (void)state;
    int head = snprintf(reply, sizeof reply, "HTTP/1.1 200 OK\r\nX: %0*d\r\nContent-Length: 60000\r\n\r\n", 12000, 7);
    for (size_t i = 0; i < 60000; i++) reply[(size_t)head + i] = (char)('a' + i % 23);
    struct net_call_script s = {.reply = reply};
    assert_int_equal(play(&s, NULL, NULL), 1);
    assert_int_equal(outcome.read, RC_EMPTY);
    assert_int_equal(outcome.size, 60000);
    assert_memory_equal(outcome.body, reply + head, 60000);
}

/* ---- time */

static void test_timeouts(void **state)
{
    struct upstream_options o = net_call_options(0);
    (void)state;
    o.first_byte_us = 60000;
    struct net_call_script late = {.reply = NET_CALL_OK, .before_ms = 200};
    uint64_t before = clock_monotonic_us();
    assert_int_equal(play(&late, NULL, &o), 0);
    assert_int_equal(outcome.reply, RC_TIMEOUT);
    net_call_expect_message("prov: no reply in time");
    assert_true(clock_monotonic_us() - before >= 60000);
    o.first_byte_us = 2 * CLOCK_SECOND;
    o.idle_us = 60000;
    struct net_call_script stops = {.reply = "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nsome"};
    assert_int_equal(play(&stops, NULL, &o), 0);
    assert_int_equal(outcome.read, RC_TIMEOUT);
    net_call_expect_message("the reply stopped for too long");
    struct net_call_script slow = {
        .reply = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow", .piece = 6, .between_ms = 30};
    assert_int_equal(play(&slow, NULL, &o), 1); /* each piece in time */
    net_call_expect("slow");
}

struct early {
    struct upstream *upstream;
    uint64_t first_us, end_us;
};

static void first_byte_run(void *arg)
{
    struct early *e = arg;
    struct upstream_call c;
    struct span piece;
    uint64_t deadline = net_test_in_ms(3000);
    assert_int_equal(upstream_begin(e->upstream, &c, SPAN("POST"), SPAN(NET_CALL_HEAD), SPAN("body"), deadline), RC_OK);
    assert_int_equal(upstream_reply(&c, deadline), RC_OK);
    assert_int_equal(upstream_read(&c, &piece, deadline), RC_OK);
    e->first_us = clock_monotonic_us();
    assert_int_equal(piece.size, 3);
    while (upstream_read(&c, &piece, deadline) == RC_OK) e->end_us = clock_monotonic_us();
    upstream_end(&c);
}

static void test_first_bytes_do_not_wait_for_more(void **state)
{
    struct net_peer peer;
    struct net_call_script s = {
        .reply = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabcdef", .piece = 41, .between_ms = 150};
    (void)state;
    net_peer_start(&peer, net_call_serve_script);
    peer.arg = &s;
    struct upstream_options o = net_call_options(peer.port);
    struct early e = {.upstream = net_call_open(&o)};
    net_test_run(first_byte_run, &e);
    assert_true(e.end_us - e.first_us > 100000);
    upstream_release(e.upstream);
    net_peer_stop(&peer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_informational_replies_are_skipped),
        cmocka_unit_test(test_chunks_split_everywhere),
        cmocka_unit_test(test_bodies_by_length_close_and_none),
        cmocka_unit_test(test_connection_that_must_not_be_kept),
        cmocka_unit_test(test_cut_replies),
        cmocka_unit_test(test_replies_that_are_not_http),
        cmocka_unit_test(test_head_that_is_too_large),
        cmocka_unit_test(test_large_body_behind_a_large_head),
        cmocka_unit_test(test_timeouts),
        cmocka_unit_test(test_first_bytes_do_not_wait_for_more),
    };
    return cmocka_run_group_tests_name("upstream replies", tests, net_test_start, NULL);
}
