/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_server_body.c — sized and chunked bodies in any pieces, and bodies nobody takes. */
#include <stdio.h>
#include <unistd.h>

#include "platform/rc.h"
#include "tests/support/server_test.h"

/* ---- bodies */

static void test_chunked_in_odd_pieces(void **state)
{
    (void)state;
    static const char text[] = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                               "5\r\nhello\r\n1;x=y\r\n,\r\n0a\r\n world 012\r\n0\r\nTrailer: z\r\n\r\n";
    int fd = client_dial();
    for (size_t piece = 1; piece <= sizeof text; piece += piece < 8 ? 1 : 13) {
        for (size_t at = 0; at < sizeof text - 1; at += piece)
            client_say_bytes(fd, text + at, sizeof text - 1 - at < piece ? sizeof text - 1 - at : piece);
        client_expect_ok(fd, "hello, world 012");
    }
    client_hang_up(fd);
}

/* The next request came with the last chunk. */
static void test_chunked_then_pipelined(void **state)
{
    (void)state;
    int fd = client_dial();
    client_say(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel");
    client_say(fd, "lo\r\n0\r\n\r\nGET /who HTTP/1.1\r\nHost: a\r\n\r\nGET /wh");
    client_expect_ok(fd, "hello");
    client_expect_ok(fd, "127.0.0.1 1 0");
    client_say(fd, "o HTTP/1.1\r\nHost: a\r\n\r\n");
    client_expect_ok(fd, "127.0.0.1 1 0");
    client_say(fd, "POST /stream HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    client_say(fd, "2\r\nab\r\n0\r\n\r\nGET"); /* in seven bytes the reader's buffer ends behind the body */
    client_say(fd, " /who HTTP/1.1\r\nHost: a\r\n\r\n");
    client_expect_ok(fd, "2");
    client_expect_ok(fd, "127.0.0.1 1 0");
    client_hang_up(fd);
}

static void test_bad_chunks(void **state)
{
    (void)state;
    static const char *const bad[] = {"x\r\n", "5\nhello", "5\r\nhelloXX", "fffffffffffffffff\r\n", "0\r\n\n"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[256];
        snprintf(text, sizeof text,
                 "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n%sGET /who HTTP/1.1\r\nHost: "
                 "a\r\n\r\n",
                 bad[i]);
        int fd = client_dial();
        client_say(fd, text);
        client_expect(fd, "HTTP/1.1 400 Bad\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        assert_int_equal(server_test_rc, RC_OK);
        client_expect_closed(fd);
        server_test_expect_ran("POST /echo;");
    }
}

static void test_large_body(void **state)
{
    (void)state;
    static char text[SERVER_TEST_BODY_MAX + 256], body[SERVER_TEST_BODY_MAX + 1];
    for (size_t i = 0; i < SERVER_TEST_BODY_MAX; i++) body[i] = (char)('a' + i % 23);
    int fd = client_dial();
    static const size_t sizes[] = {16383, 16384, 16385, 65536, 100000, SERVER_TEST_BODY_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        int head =
            snprintf(text, sizeof text, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n", sizes[i]);
        memcpy(text + head, body, sizes[i]);
        client_say_bytes(fd, text, (size_t)head + sizes[i]);
        char c = body[sizes[i]];
        body[sizes[i]] = '\0';
        client_expect_ok(fd, body);
        body[sizes[i]] = c;
    }
    client_hang_up(fd);
}

static void test_body_over_the_maximum(void **state)
{
    (void)state;
    int fd = client_dial();
    client_say(fd, "POST /small HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\n\r\n01234567890123456789");
    client_expect_ok(fd, "0+20");
    client_say(fd, "POST /small HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\n\r\n0123");
    client_say(fd, "4567890123456789");
    client_expect_ok(fd, "0+20");
    client_say(fd, "POST /small HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n01234567\r\n4\r\n89");
    client_say(fd, "01\r\n1\r\nx\r\n0\r\n\r\n");
    client_expect_ok(fd, "10+3");
    client_hang_up(fd);
}

static void test_stream_body(void **state)
{
    (void)state;
    int fd = client_dial();
    client_say(fd, "POST /stream HTTP/1.1\r\nHost: a\r\nContent-Length: 30\r\n\r\n0123456789");
    client_say(fd, "01234");
    client_say(fd, "567890123456789GET /who HTTP/1.1\r\nHost: a\r\n\r\n");
    client_expect_ok(fd, "30");
    client_expect_ok(fd, "127.0.0.1 1 0");
    client_hang_up(fd);
}

static void test_continue(void **state)
{
    (void)state;
    int fd = client_dial();
    client_say(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    client_expect(fd, "HTTP/1.1 100 Continue\r\n\r\n");
    client_expect_silence(fd);
    client_say(fd, "hel");
    client_say(fd, "lo");
    client_expect_ok(fd, "hello");
    client_say(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello");
    client_expect_ok(fd, "hello"); /* it has not waited for it */
    client_say(fd, "POST /nobody HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    client_expect(fd, "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
    client_expect_closed(fd);
}

static void test_body_timeout(void **state)
{
    (void)state;
    int fd = client_dial();
    client_say(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n");
    server_test_pass(19 * SECOND);
    client_say(fd, "hel");
    server_test_pass(19 * SECOND); /* bytes buy time */
    client_expect_silence(fd);
    server_test_pass(SECOND);
    client_expect(fd, "HTTP/1.1 400 Bad\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    client_expect_closed(fd);
}

static void test_body_not_taken(void **state)
{
    (void)state;
    int fd = client_dial();
    client_say(fd,
               "POST /nobody HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
               "POST /nobody HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
               "POST /nobody HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\nGET /who HTTP/1.1\r\nHost: a\r\n\r\n");
    client_expect(fd, "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nno");
    client_expect(fd, "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nno");
    client_expect(fd, "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
    client_say(fd, "GET /who HTTP/1.1\r\nHost: a\r\n\r\n");
    client_expect_closed(fd);
    server_test_expect_ran("POST /nobody;POST /nobody;POST /nobody;");
}

static void test_connection_ends(void **state)
{
    (void)state;
    int fd = client_dial();
    client_say(fd, "GET /who HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    client_expect(fd, "HTTP/1.1 200 OK\r\nContent-Length: 13\r\nConnection: close\r\n\r\n127.0.0.1 1 0");
    client_expect_closed(fd);
    fd = client_dial();
    client_say(fd, "GET /who HTTP/1.0\r\n\r\nGET /who HTTP/1.0\r\n\r\n");
    client_expect(fd, "HTTP/1.1 200 OK\r\nContent-Length: 13\r\nConnection: close\r\n\r\n127.0.0.1 1 0");
    client_expect_closed(fd);
    fd = client_dial();
    client_say(fd, "GET /who HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    client_expect_ok(fd, "127.0.0.1 1 0");
    client_hang_up(fd);
    server_test_expect_ran("GET /who;GET /who;GET /who;");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SERVER_TEST(test_chunked_in_odd_pieces),
        SERVER_TEST(test_chunked_then_pipelined),
        SERVER_TEST(test_bad_chunks),
        SERVER_TEST(test_large_body),
        SERVER_TEST(test_body_over_the_maximum),
        SERVER_TEST(test_stream_body),
        SERVER_TEST(test_continue),
        SERVER_TEST(test_body_timeout),
        SERVER_TEST(test_body_not_taken),
        SERVER_TEST(test_connection_ends),
    };
    return server_test_run("server_body", tests, sizeof tests / sizeof *tests);
}
