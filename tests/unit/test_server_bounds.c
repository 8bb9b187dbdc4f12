/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_server_bounds.c — every bound of the server, its address table, and its end. */
#include <stdio.h>
#include <unistd.h>

#include "platform/rc.h"
#include "tests/support/server_test.h"

/* ---- bounds */

static void test_no_exchange_is_free(void **state)
{
    (void)state;
    int busy[3], fd = client_dial();
    struct fiber *fibers[3];
    for (unsigned i = 0; i < 3; i++) {
        busy[i] = client_dial();
        client_say(busy[i], "GET /wait HTTP/1.1\r\nHost: a\r\n\r\n");
        fibers[i] = server_test_parked;
    }
    assert_int_equal(server_busy(&server_test_server), 3);
    uint64_t before = server_test_counted(COUNT_HEAD_503);
    client_say(fd, server_test_echo);
    client_expect_refused(fd, 503);
    assert_int_equal(server_test_counted(COUNT_HEAD_503), before + 1);
    for (unsigned i = 0; i < 3; i++) {
        fiber_wake(fibers[i], RC_OK);
        server_test_turns(2);
        client_expect_ok(busy[i], "");
    }
    fd = client_dial();
    client_say(fd, server_test_echo);
    client_expect_ok(fd, "hello");
    client_hang_up(fd);
    for (unsigned i = 0; i < 3; i++) client_hang_up(busy[i]);
}

static void test_no_memory(void **state)
{
    (void)state;
    server_test_budget.limit =
        atomic_load(&server_test_budget.used); /* slots may keep a few pages: fill what they have */
    int fd = client_dial();
    static char text[SERVER_TEST_HEADER_MAX + 70000];
    int head = snprintf(text, sizeof text, "POST /wait HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", 40000);
    client_say_bytes(fd, text, (size_t)head + 40000);
    server_test_turns(4);
    assert_null(server_test_parked);
    client_expect_end(fd, -1);
    close(fd);
    server_test_budget.limit = 8 << 20;
    fd = client_dial();
    client_say(fd, server_test_echo);
    client_expect_ok(fd, "hello");
    client_hang_up(fd);
}

static void test_connections_of_an_address(void **state)
{
    (void)state;
    uint64_t before = server_test_counted(COUNT_REFUSED_ADDRESS);
    int fds[7];
    for (unsigned i = 0; i < 7; i++) fds[i] = client_dial();
    int more = client_dial();
    client_expect_end(more, 0);
    close(more);
    assert_int_equal(server_test_counted(COUNT_REFUSED_ADDRESS), before + 1);
    client_hang_up(fds[0]);
    fds[0] = client_dial();
    client_say(fds[0], server_test_echo);
    client_expect_ok(fds[0], "hello");
    for (unsigned i = 0; i < 7; i++) client_hang_up(fds[i]);
}

static void test_all_connections_taken(void **state)
{
    (void)state;
    struct server_limits limits = server_test_limits;
    limits.connections = 3;
    server_limits_set(&server_test_server, &limits);
    int fds[3];
    for (unsigned i = 0; i < 3; i++) fds[i] = client_dial();
    client_say(fds[0], server_test_echo);
    client_expect_ok(fds[0], "hello"); /* now the second has been idle for longest */
    int more = client_dial();
    client_expect_closed(fds[1]);
    client_say(more, "GET /wait HTTP/1.1\r\nHost: a\r\n\r\n");
    struct fiber *first = server_test_parked;
    client_say(fds[0], "GET /wait HTTP/1.1\r\nHost: a\r\n\r\n");
    struct fiber *second = server_test_parked;
    client_say(fds[2], "GET /wait HTTP/1.1\r\nHost: a\r\n\r\n");
    int waiting = client_dial(); /* none is idle: it waits in the backlog */
    client_say(waiting, server_test_echo);
    client_expect_silence(waiting);
    assert_true(server_test_server.state->paused);
    assert_int_equal(server_test_server.state->connections.used, 3);
    server_test_wake();
    client_hang_up(fds[2]);
    client_expect_ok(waiting, "hello");
    fiber_wake(first, RC_OK);
    fiber_wake(second, RC_OK);
    server_test_turns(4);
    client_expect_ok(more, "");
    client_expect_ok(fds[0], "");
    client_hang_up(more);
    client_hang_up(fds[0]);
    client_hang_up(waiting);
}

static void test_address_table(void **state)
{
    (void)state;
    static struct address_count places[64];
    struct address_table t;
    assert_int_equal(server_address_places(2048), 4096);
    assert_int_equal(server_address_places(32), 64);
    server_address_init(&t, places, 64);
    unsigned model[48] = {0};
    uint64_t seed = 1;
    for (unsigned step = 0; step < 20000; step++) {
        seed = seed * UINT64_C(6364136223846793005) + 1;
        unsigned key = (unsigned)(seed >> 33) % 48, used = 0;
        for (unsigned i = 0; i < 48; i++) used += model[i] > 0;
        bool add = seed >> 63 && (used < 32 || model[key] > 0);
        if (add)
            server_address_add(&t, key), model[key]++;
        else if (model[key] > 0)
            server_address_remove(&t, key), model[key]--;
        for (unsigned i = 0; i < 48; i++) assert_int_equal(server_address_count(&t, i), model[i]);
    }
    struct in6_addr a, b;
    assert_int_equal(inet_pton(AF_INET6, "2001:db8:1:2::1", &a), 1);
    assert_int_equal(inet_pton(AF_INET6, "2001:db8:1:2:ffff::2", &b), 1);
    assert_true(server_address_key(&a) == server_address_key(&b));
    assert_int_equal(inet_pton(AF_INET6, "2001:db8:1:3::1", &b), 1);
    assert_true(server_address_key(&a) != server_address_key(&b));
    assert_int_equal(inet_pton(AF_INET6, "::ffff:10.0.0.1", &a), 1);
    assert_int_equal(inet_pton(AF_INET6, "::ffff:10.0.0.2", &b), 1);
    assert_true(server_address_key(&a) != server_address_key(&b));
}

static void test_listen_addresses(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "8080",
                                      ":8080",
                                      "localhost:80",
                                      "127.0.0.1",
                                      "127.0.0.1:",
                                      "127.0.0.1:65536",
                                      "127.0.0.1:x",
                                      "::1:80",
                                      "[::1]",
                                      "[127.0.0.1]:80",
                                      "[]:80",
                                      "1.2.3.4.5:80"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (server_listen(&server_test_server, span_text(bad[i]), NULL, NULL) != RC_INVALID)
            fail_msg("\"%s\" was taken", bad[i]);
    }
    char text[64];
    snprintf(text, sizeof text, "127.0.0.1:%u", server_test_port);
    assert_int_equal(server_listen(&server_test_server, span_text(text), NULL, NULL), RC_EXISTS);
}

/* ---- the end */

static void test_drain_and_stop(void **state)
{
    (void)state;
    int idle = client_dial(), working = client_dial(), owned = client_dial(), reading = client_dial();
    client_say(working, "GET /wait HTTP/1.1\r\nHost: a\r\n\r\n");
    client_say(owned, "GET /detach HTTP/1.1\r\nHost: a\r\n\r\n");
    client_say(reading, "GET /who HTTP/1.1\r\n");
    server_drain(&server_test_server);
    server_test_turns(3);
    client_expect_closed(idle);
    assert_int_equal(server_busy(&server_test_server), 3);
    server_test_wake();
    client_expect(working, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    client_expect_closed(working);
    client_say(reading, "Host: a\r\n\r\n");
    client_expect(reading, "HTTP/1.1 200 OK\r\nContent-Length: 13\r\nConnection: close\r\n\r\n127.0.0.1 1 0");
    client_expect_closed(reading);
    assert_false(connection_keep_alive(server_test_detached));
    assert_int_equal(server_busy(&server_test_server), 1);
    server_stop(&server_test_server);
    assert_int_equal(server_test_gone_calls, 1);
    assert_int_equal(server_busy(&server_test_server), 0);
    client_expect_end(owned, -1);
    close(owned);
    server_test_listen_again();
}

static void test_stop_cuts_everything(void **state)
{
    (void)state;
    int fds[4];
    for (unsigned i = 0; i < 4; i++) fds[i] = client_dial();
    client_say(fds[0], "GET /wait HTTP/1.1\r\nHost: a\r\n\r\n");
    client_say(fds[1], "GET");
    client_say(fds[2], "\n");
    server_stop(&server_test_server);
    server_test_turns(3);
    assert_int_equal(server_test_rc, RC_CANCELLED);
    assert_int_equal(server_busy(&server_test_server), 0);
    for (unsigned i = 0; i < 4; i++) close(fds[i]);
    server_test_listen_again();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SERVER_TEST(test_no_exchange_is_free),
        SERVER_TEST(test_no_memory),
        SERVER_TEST(test_connections_of_an_address),
        SERVER_TEST(test_all_connections_taken),
        SERVER_TEST(test_address_table),
        SERVER_TEST(test_listen_addresses),
        SERVER_TEST(test_drain_and_stop),
        SERVER_TEST(test_stop_cuts_everything),
    };
    return server_test_run("server_bounds", tests, sizeof tests / sizeof *tests);
}
