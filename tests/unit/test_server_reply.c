/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_server_reply.c — clients that go away or read slowly, and replies without a fiber. */
#include <unistd.h>

#include "platform/rc.h"
#include "tests/support/server_test.h"

/* ---- clients that go away */

static void test_client_gone_cancels(void **state)
{
    (void)state;
    uint64_t before = server_test_counted(COUNT_CLIENT_GONE);
    for (unsigned half = 0; half < 2; half++) {
        int fd = client_dial();
        client_say(fd, "GET /wait HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_non_null(server_test_parked);
        if (half)
            shutdown(fd, SHUT_WR); /* counts as gone, see server.h */
        else
            close(fd);
        server_test_turns(4);
        assert_int_equal(server_test_rc, RC_CANCELLED);
        assert_int_equal(server_test_server.state->connections.used, 0);
        if (half) close(fd);
    }
    assert_int_equal(server_test_counted(COUNT_CLIENT_GONE), before + 2);
    int fd = client_dial(); /* asked and closed in one go: answered at once */
    assert_int_equal(send(fd, server_test_echo, sizeof server_test_echo - 1, 0), sizeof server_test_echo - 1);
    shutdown(fd, SHUT_WR);
    client_expect_ok(fd, "hello");
    client_expect_closed(fd);
}

static void test_hangup_ignored(void **state)
{
    (void)state;
    int fd = client_dial();
    client_say(fd, "GET /ignore HTTP/1.1\r\nHost: a\r\n\r\n");
    shutdown(fd, SHUT_WR);
    server_test_turns(4);
    assert_non_null(server_test_parked);
    server_test_wake();
    assert_int_equal(server_test_rc, RC_OK);
    client_expect_ok(fd, "");
    client_expect_closed(fd);
    fd = client_dial();
    client_say(fd, "GET /ignore HTTP/1.1\r\nHost: a\r\n\r\n");
    struct linger at_once = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(fd);
    server_test_turns(4);
    server_test_wake();
    assert_int_equal(server_test_rc, RC_CLOSED);
}

static void test_client_gone_in_its_body(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        int fd = client_dial();
        client_say(fd, i ? "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe"
                         : "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel");
        assert_int_equal(server_test_server.state->working, 1);
        client_hang_up(fd);
        assert_int_equal(server_test_rc, RC_CLOSED);
    }
    int fd = client_dial();
    client_say(fd, "GET /ec");
    client_hang_up(fd);
}

/* Pipelined bytes arrive while a handler works: no spinning, no loss. */
static void test_bytes_while_working(void **state)
{
    (void)state;
    int fd = client_dial();
    client_say(fd, "GET /wait HTTP/1.1\r\nHost: a\r\n\r\n");
    client_say(fd, "GET /who HTTP/1.1\r\nHost: a\r\n\r\n");
    const struct connection *c = server_test_server.state->lists[LIST_BUSY].first;
    assert_int_equal(c->stream.source.source.events & (LOOP_READ | LOOP_PEER_CLOSED), LOOP_PEER_CLOSED);
    server_test_wake();
    client_expect_ok(fd, "");
    client_expect_ok(fd, "127.0.0.1 1 0");
    client_hang_up(fd);
}

/* ---- replies */

static void test_abort_and_silence(void **state)
{
    (void)state;
    int fd = client_dial();
    client_say(fd, "GET /abort HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_int_equal(server_test_rc, RC_CLOSED);
    char buffer[64];
    long n;
    while ((n = client_hear(fd, buffer, sizeof buffer)) > 0) continue;
    assert_int_equal(n, -1);
    close(fd);
    fd = client_dial();
    client_say(fd, "GET /silent HTTP/1.1\r\nHost: a\r\n\r\n");
    client_expect_end(fd, -1);
    close(fd);
}

static void test_slow_reader(void **state)
{
    (void)state;
    int fd = client_dial(), small = 65536;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    client_say(fd, "GET /flood HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_int_equal(server_test_server.state->working, 1);
    server_test_pass(19 * SECOND);
    assert_int_equal(client_drink(fd), sizeof server_test_flood);
    assert_int_equal(server_test_rc, RC_OK);
    client_say(fd, "GET /flood HTTP/1.1\r\nHost: a\r\n\r\n");
    server_test_rc = RC_OK;
    server_test_pass(20 * SECOND);
    assert_int_equal(server_test_rc, RC_TIMEOUT);
    assert_true(client_drink(fd) < sizeof server_test_flood);
    close(fd);
}

/* Half-closing tools get what is being sent, with and without a fiber. */
static void test_half_closed_while_sending(void **state)
{
    (void)state;
    int fd = client_dial();
    client_say(fd, "GET /flood HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_int_equal(server_test_server.state->working, 1);
    shutdown(fd, SHUT_WR);
    server_test_turns(4);
    assert_int_equal(client_drink(fd), sizeof server_test_flood);
    assert_int_equal(server_test_rc, RC_OK);
    client_hang_up(fd);
    fd = client_dial();
    client_say(fd, "GET /detach HTTP/1.1\r\nHost: a\r\n\r\n");
    size_t sent, total = 0;
    while (connection_send_try(server_test_detached, server_test_flood, sizeof server_test_flood, &sent) == RC_OK)
        total += sent;
    shutdown(fd, SHUT_WR);
    server_test_turns(4);
    assert_int_equal(server_test_gone_calls, 0);
    assert_int_equal(client_drink(fd), total);
    assert_int_equal(server_test_writable_calls, 1);
    connection_finish(server_test_detached);
    client_expect_closed(fd);
}

static void send_all(struct connection *c, const char *text)
{
    size_t sent;
    assert_int_equal(connection_send_try(c, text, strlen(text), &sent), RC_OK);
    assert_int_equal(sent, strlen(text));
}

static void test_detach_and_finish(void **state)
{
    (void)state;
    int fd = client_dial();
    for (unsigned i = 0; i < 3; i++) {
        client_say(fd, "POST /detach HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}");
        assert_non_null(server_test_detached);
        assert_int_equal(server_test_server.state->slots.used, 0);
        assert_int_equal(server_test_server.state->fibers.used, 0);
        assert_int_equal(server_busy(&server_test_server), 1);
        assert_true(connection_keep_alive(server_test_detached));
        assert_int_equal(((unsigned char *)connection_attachment(server_test_detached))[CONNECTION_ATTACHMENT - 1],
                         0x5a);
        send_all(server_test_detached, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n");
        if (i == 2) client_say(fd, "GET /who HTTP/1.1\r\nHost: a\r\n\r\n"); /* stays in the socket meanwhile */
        connection_finish(server_test_detached);
        server_test_detached = NULL;
        client_expect_ok(fd, "");
    }
    client_expect_ok(fd, "127.0.0.1 1 0");
    client_hang_up(fd);
    assert_int_equal(server_test_gone_calls, 0);
}

static void test_detach_with_pipelined_bytes(void **state)
{
    (void)state;
    int fd = client_dial();
    client_say(fd, "GET /detach HTTP/1.1\r\nHost: a\r\n\r\nGET /who HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_false(connection_keep_alive(server_test_detached));
    send_all(server_test_detached, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    connection_finish(server_test_detached);
    client_expect(fd, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    client_expect_closed(fd);
    server_test_expect_ran("GET /detach;");
}

/* Complete, cut and refused requests behind a detached one. */
static void test_detach_keeps_pipelined_bytes(void **state)
{
    (void)state;
    static const char reply[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n";
    int fd = client_dial();
    client_say(fd, "GET /keep HTTP/1.1\r\nHost: a\r\n\r\nGET /who HTTP/1.1\r\nHost: a\r\n\r\n"
                   "GET /keep HTTP/1.1\r\nHost: a\r\n\r\nGET /who");
    assert_true(connection_keep_alive(server_test_detached));
    send_all(server_test_detached, reply);
    connection_finish(server_test_detached);
    client_expect_ok(fd, "");
    client_expect_ok(fd, "127.0.0.1 1 0");
    send_all(server_test_detached, reply);
    connection_finish(server_test_detached);
    client_expect_ok(fd, "");
    client_say(fd, " HTTP/1.1\r\nHost: a\r\n\r\nGET /keep HTTP/1.1\r\nHost: a\r\n\r\n\n");
    client_expect_ok(fd, "127.0.0.1 1 0");
    send_all(server_test_detached, reply);
    connection_finish(server_test_detached);
    client_expect_ok(fd, "");
    client_expect_refused(fd, 400);
    server_test_expect_ran("GET /keep;GET /who;GET /keep;GET /who;GET /keep;");
    fd = client_dial(); /* gone before its next request starts: it never does */
    client_say(fd, "GET /keep HTTP/1.1\r\nHost: a\r\n\r\nGET /who HTTP/1.1\r\nHost: a\r\n\r\n");
    send_all(server_test_detached, reply);
    client_hang_up(fd);
    assert_int_equal(server_test_gone_calls, 1);
    server_test_expect_ran("GET /keep;");
}

static void test_detached_abort_and_gone(void **state)
{
    (void)state;
    int fd = client_dial();
    client_say(fd, "GET /detach HTTP/1.1\r\nHost: a\r\n\r\n");
    connection_abort(server_test_detached);
    client_expect_end(fd, -1);
    close(fd);
    assert_int_equal(server_test_gone_calls, 0);
    fd = client_dial();
    client_say(fd, "GET /detach HTTP/1.1\r\nHost: a\r\n\r\n");
    client_hang_up(fd);
    assert_int_equal(server_test_gone_calls, 1);
    assert_null(server_test_detached);
}

static void test_detached_slow_reader(void **state)
{
    (void)state;
    int fd = client_dial();
    client_say(fd, "GET /detach HTTP/1.1\r\nHost: a\r\n\r\n");
    size_t sent, total = 0;
    int rc;
    while ((rc = connection_send_try(server_test_detached, server_test_flood, sizeof server_test_flood, &sent)) ==
           RC_OK)
        total += sent;
    assert_int_equal(rc, RC_AGAIN);
    assert_int_equal(server_test_server.state->lists[LIST_BLOCKED].count, 1);
    server_test_pass(19 * SECOND);
    assert_int_equal(server_test_writable_calls, 0);
    assert_int_equal(client_drink(fd), total);
    assert_int_equal(server_test_writable_calls, 1); /* once for each RC_AGAIN */
    assert_int_equal(server_test_server.state->lists[LIST_BLOCKED].count, 0);
    server_test_pass(40 * SECOND); /* nothing to send: no deadline */
    assert_int_equal(server_test_gone_calls, 0);
    while ((rc = connection_send_try(server_test_detached, server_test_flood, sizeof server_test_flood, &sent)) ==
           RC_OK)
        continue;
    server_test_pass(19 * SECOND);
    assert_int_equal(server_test_gone_calls, 0);
    server_test_pass(SECOND);
    assert_int_equal(server_test_gone_calls, 1);
    close(fd);
}

static void test_detached_send_fails(void **state)
{
    (void)state;
    int fd = client_dial();
    client_say(fd, "GET /detach HTTP/1.1\r\nHost: a\r\n\r\n");
    struct linger at_once = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(fd);
    size_t sent; /* before the loop has seen it */
    assert_int_equal(connection_send_try(server_test_detached, "x", 1, &sent), RC_CLOSED);
    assert_int_equal(server_test_gone_calls, 0);
    server_test_turns(2);
    assert_int_equal(server_test_gone_calls, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SERVER_TEST(test_client_gone_cancels),         SERVER_TEST(test_hangup_ignored),
        SERVER_TEST(test_client_gone_in_its_body),     SERVER_TEST(test_bytes_while_working),
        SERVER_TEST(test_abort_and_silence),           SERVER_TEST(test_slow_reader),
        SERVER_TEST(test_half_closed_while_sending),   SERVER_TEST(test_detach_and_finish),
        SERVER_TEST(test_detach_with_pipelined_bytes), SERVER_TEST(test_detach_keeps_pipelined_bytes),
        SERVER_TEST(test_detached_abort_and_gone),     SERVER_TEST(test_detached_slow_reader),
        SERVER_TEST(test_detached_send_fails),
    };
    return server_test_run("server_reply", tests, sizeof tests / sizeof *tests);
}
