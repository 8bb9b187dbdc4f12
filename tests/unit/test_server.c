/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_server.c — heads in pieces, pipelines, refusals and what smuggling tries: to the byte. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "platform/rc.h"
#include "tests/support/server_test.h"

/* ---- heads */

static void test_one_request(void **state)
{
    (void)state;
    int fd = client_dial();
    client_say(fd, server_test_echo);
    client_expect_ok(fd, "hello");
    client_say(fd, "GET /who HTTP/1.1\r\nHost: a\r\n\r\n");
    client_expect_ok(fd, "127.0.0.1 1 0");
    server_test_expect_ran("POST /echo;GET /who;");
    client_hang_up(fd);
}

static void test_split_at_every_byte(void **state)
{
    (void)state;
    int fd = client_dial();
    for (size_t cut = 1; cut < sizeof server_test_echo - 1; cut++) {
        client_say_bytes(fd, server_test_echo, cut);
        client_say_bytes(fd, server_test_echo + cut, sizeof server_test_echo - 1 - cut);
        client_expect_ok(fd, "hello");
        server_test_expect_ran("POST /echo;");
    }
    for (size_t i = 0; i < sizeof server_test_echo - 1; i++) client_say_bytes(fd, server_test_echo + i, 1);
    client_expect_ok(fd, "hello");
    client_hang_up(fd);
}

static void test_pipelining(void **state)
{
    (void)state;
    int fd = client_dial();
    client_say(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n1"
                   "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n2\r\n0\r\n\r\n"
                   "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n3");
    client_expect_ok(fd, "1");
    client_expect_ok(fd, "2");
    client_expect_ok(fd, "3");
    server_test_expect_ran("POST /echo;POST /echo;POST /echo;");
    client_hang_up(fd);
}

/* The first waits: what follows it is kept although others use the scratch meanwhile. */
static void test_pipelining_behind_a_wait(void **state)
{
    (void)state;
    int fd = client_dial(), other = client_dial();
    client_say(fd, "POST /wait HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n1"
                   "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n2"
                   "POST /wait HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n3"
                   "POST /echo HTTP/1.1\r\nHost: a\r\nConte");
    for (unsigned i = 0; i < 3; i++) {
        client_say(other, server_test_echo);
        client_expect_ok(other, "hello");
    }
    client_expect_silence(fd);
    server_test_wake();
    client_expect_ok(fd, "1");
    client_expect_ok(fd, "2");
    client_say(other, server_test_echo);
    client_expect_ok(other, "hello");
    server_test_wake();
    client_expect_ok(fd, "3");
    client_say(other, server_test_echo);
    client_expect_ok(other, "hello");
    client_say(fd, "nt-Length: 1\r\n\r\n4");
    client_expect_ok(fd, "4");
    server_test_expect_ran(
        "POST /wait;POST /echo;POST /echo;POST /echo;POST /echo;POST /wait;POST /echo;POST /echo;POST /echo;");
    client_hang_up(fd);
    client_hang_up(other);
}

static void test_long_pipeline_takes_turns(void **state)
{
    (void)state;
    static char text[200 * 64];
    size_t size = 0;
    for (unsigned i = 0; i < 200; i++)
        size += (size_t)snprintf(text + size, sizeof text - size, "GET /echo?%u HTTP/1.1\r\nHost: a\r\n\r\n", i);
    int fd = client_dial();
    assert_int_equal(send(fd, text, size, 0), size);
    server_test_turns(1);
    unsigned served = 0;
    for (const char *p = server_test_ran.data; (p = strchr(p, ';')); p++) served++;
    assert_int_equal(served, SERVER_PIPELINE_TURNS); /* then the others */
    for (unsigned i = 0; i < 200; i++) {
        clock_fake_advance(1);
        client_expect_ok(fd, "");
        text_clear(&server_test_ran);
    }
    client_hang_up(fd);
}

static void test_slow_head(void **state)
{
    (void)state;
    uint64_t before = server_test_counted(COUNT_HEAD_408);
    int fd = client_dial();
    client_say(fd, "GET /echo HT");
    server_test_pass(9 * SECOND);
    client_say(fd, "TP/1.1\r\nHo"); /* more bytes do not buy time */
    client_expect_silence(fd);
    server_test_pass(SECOND);
    client_expect_refused(fd, 408);
    assert_int_equal(server_test_counted(COUNT_HEAD_408), before + 1);
    server_test_expect_ran("");
}

static void test_idle_ends_in_silence(void **state)
{
    (void)state;
    int fresh = client_dial(), used = client_dial();
    server_test_pass(30 * SECOND);
    client_say(used, server_test_echo);
    client_expect_ok(used, "hello");
    server_test_pass(30 * SECOND);
    client_expect_closed(fresh);
    client_expect_silence(used);
    server_test_pass(30 * SECOND);
    client_expect_closed(used);
}

static void test_slow_heads_evict_each_other(void **state)
{
    (void)state;
    int idle = client_dial(), first = client_dial(), second = client_dial(), third = client_dial(),
        working = client_dial();
    client_say(working, "GET /wait HTTP/1.1\r\nHost: a\r\n\r\n");
    client_say(first, "GET");
    client_say(second, "GET");
    assert_int_equal(server_test_server.state->readers, 2);
    client_say(third, "GET");
    assert_int_equal(server_test_server.state->readers, 2);
    client_expect_closed(first);
    client_say(second, " /who HTTP/1.1\r\nHost: a\r\n\r\n");
    client_expect_ok(second, "127.0.0.1 1 0");
    client_say(third, " /who HTTP/1.1\r\nHost: a\r\n\r\n");
    client_expect_ok(third, "127.0.0.1 1 0");
    client_say(idle, server_test_echo);
    client_expect_ok(idle, "hello");
    server_test_wake();
    client_expect_ok(working, "");
    client_hang_up(idle);
    client_hang_up(second);
    client_hang_up(third);
    client_hang_up(working);
}

static void test_long_heads(void **state)
{
    (void)state;
    static char text[4 * SERVER_TEST_HEADER_MAX];
    for (unsigned pieces = 1; pieces <= 3; pieces++) {
        int fd = client_dial();
        int size = snprintf(text, sizeof text, "GET /echo HTTP/1.1\r\nHost: a\r\nX: %0*d\r\n\r\n",
                            SERVER_TEST_HEADER_MAX - 36, 1);
        assert_int_equal(size, SERVER_TEST_HEADER_MAX);
        for (unsigned i = 0; i < pieces; i++) {
            size_t from = (size_t)size * i / pieces, to = (size_t)size * (i + 1) / pieces;
            client_say_bytes(fd, text + from, to - from);
        }
        client_expect_ok(fd, "");
        size = snprintf(text, sizeof text,
                        "GET /echo HTTP/1.1\r\nHost: a\r\nX: %0*d\r\n\r\nGET /who HTTP/1.1\r\nHost: a\r\n\r\n",
                        SERVER_TEST_HEADER_MAX - 35, 1);
        for (unsigned i = 0; i < pieces; i++) {
            size_t from = (size_t)size * i / pieces, to = (size_t)size * (i + 1) / pieces;
            (void)send(fd, text + from, to - from, MSG_NOSIGNAL);
            server_test_turns(3);
        }
        client_expect_refused(fd, 431);
        server_test_expect_ran("GET /echo;");
    }
    int fd = client_dial();
    memset(text, 'a', 2 * SERVER_TEST_HEADER_MAX);
    memcpy(text, "GET /", 5);
    client_say_bytes(fd, text, SERVER_TEST_HEADER_MAX);
    client_expect_refused(fd, 414);
    server_test_expect_ran("");
}

/* ---- smuggling */

static void test_smuggling(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        unsigned status;
    } cases[] = {
        {"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\n", 400},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 0\r\n\r\n", 400},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", 400},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nX: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nX: y\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n", 400},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551616\r\n\r\n", 400},
        {"POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
        {"GET /echo HTTP/1.1\r\n\r\n", 400},
        {"GET /echo HTTP/3.0\r\nHost: a\r\n\r\n", 505},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (unsigned split = 0; split < 2; split++) {
            char text[512];
            snprintf(text, sizeof text, "%sGET /who HTTP/1.1\r\nHost: a\r\n\r\n", cases[i].text);
            int fd = client_dial();
            if (split) {
                client_say_bytes(fd, text, 9);
                (void)send(fd, text + 9, strlen(text) - 9, MSG_NOSIGNAL);
                server_test_turns(3);
            } else {
                client_say(fd, text);
            }
            (void)send(fd, "GET /who HTTP/1.1\r\nHost: a\r\n\r\n", 30, MSG_NOSIGNAL); /* the answer can still be read */
            server_test_turns(3);
            client_expect_refused(fd, cases[i].status);
            server_test_expect_ran("");
        }
    }
}

static void test_refusal_behind_a_request(void **state)
{
    (void)state;
    int fd = client_dial();
    client_say(fd, "GET /who HTTP/1.1\r\nHost: a\r\n\r\nGET /x\nGET /who HTTP/1.1\r\nHost: a\r\n\r\n");
    client_expect_ok(fd, "127.0.0.1 1 0");
    client_expect_refused(fd, 400);
    server_test_expect_ran("GET /who;");
}

static void test_linger_ends(void **state)
{
    (void)state;
    int fd = client_dial();
    client_say(fd, "\n");
    client_expect(fd, "HTTP/1.1 400\r\nConnection: close\r\n\r\n");
    assert_int_equal(server_test_server.state->lists[LIST_LINGER].count, 1);
    server_test_pass(SECOND);
    assert_int_equal(server_test_server.state->connections.used, 0);
    close(fd);
    fd = client_dial();
    client_say(fd, "\n");
    static char junk[70000];
    for (size_t sent = 0; sent < sizeof junk;) {
        ssize_t n = send(fd, junk + sent, sizeof junk - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN) break;
        if (n > 0) sent += (size_t)n;
        server_test_turns(2);
    }
    server_test_turns(4);
    assert_int_equal(server_test_server.state->connections.used, 0);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SERVER_TEST(test_one_request),
        SERVER_TEST(test_split_at_every_byte),
        SERVER_TEST(test_pipelining),
        SERVER_TEST(test_pipelining_behind_a_wait),
        SERVER_TEST(test_long_pipeline_takes_turns),
        SERVER_TEST(test_slow_head),
        SERVER_TEST(test_idle_ends_in_silence),
        SERVER_TEST(test_slow_heads_evict_each_other),
        SERVER_TEST(test_long_heads),
        SERVER_TEST(test_smuggling),
        SERVER_TEST(test_refusal_behind_a_request),
        SERVER_TEST(test_linger_ends),
    };
    return server_test_run("server", tests, sizeof tests / sizeof *tests);
}
