/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_server.c — clients on loopback against a server in the same thread, under a clock that stands still:
 * what each sees to the byte, which requests ran, and that every connection is given back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/server.h"
#include "net/server_private.h"
#include "platform/clock.h"
#include "platform/loop.h"
#include "platform/rc.h"
#include "platform/text.h"

enum { HEADER_MAX = 1024, BODY_MAX = 200000, PUMP_TURNS = 20000 };

#define SECOND CLOCK_SECOND

static void serve(struct exchange *x);
static void refuse(const struct http_head *head, unsigned status, const char *reason, struct text *out);

static struct arena_budget budget;
static struct server server = {
    .name = "test", .serve = serve, .refuse = refuse, .budget = &budget,
    .limits = {.connections = 8, .connections_per_address = 7, .exchanges = 3, .head_readers = 2, .header = HEADER_MAX,
               .arena_reserve = 1 << 20, .header_us = 10 * SECOND, .body_us = 20 * SECOND, .idle_us = 60 * SECOND},
};
static struct server_limits usual;
static unsigned port;

/* ---- what the handler does, by path */

static char ran[4096]; /* "POST /echo;GET /wait;" */
static struct text ran_text;
static struct fiber *parked;
static int last_rc;
static size_t streamed;
static struct connection *detached;
static unsigned writable_calls, gone_calls;

static void reply(struct exchange *x, const char *status, struct span body)
{
    char head[256];
    bool keep = exchange_keep_alive(x);
    int size = snprintf(head, sizeof head, "HTTP/1.1 %s\r\nContent-Length: %zu\r\nConnection: %s\r\n\r\n", status, body.size,
                        keep ? "keep-alive" : "close");
    last_rc = exchange_send(x, head, (size_t)size);
    if (last_rc == RC_OK && body.size > 0) last_rc = exchange_send(x, body.data, body.size);
}

static void serve_echo(struct exchange *x)
{
    struct span body;
    last_rc = exchange_body(x, BODY_MAX, &body);
    if (last_rc == RC_OK) reply(x, "200 OK", body);
    else if (last_rc != RC_CLOSED && last_rc != RC_CANCELLED) reply(x, "400 Bad", SPAN(""));
}

static void serve_wait(struct exchange *x)
{
    struct span body;
    last_rc = exchange_body(x, BODY_MAX, &body);
    if (last_rc != RC_OK || exchange_keep(x) != RC_OK) return;
    parked = fiber_self();
    last_rc = fiber_park(CLOCK_NEVER);
    parked = NULL;
    if (last_rc == RC_OK) reply(x, "200 OK", x->body);
}

static void serve_ignore(struct exchange *x)
{
    exchange_ignore_hangup(x);
    serve_wait(x);
}

static void serve_stream(struct exchange *x)
{
    char piece[7];
    size_t size;
    streamed = 0;
    while ((last_rc = exchange_body_read(x, piece, sizeof piece, &size)) == RC_OK) streamed += size;
    if (last_rc != RC_EMPTY) return;
    char text[32];
    int length = snprintf(text, sizeof text, "%zu", streamed);
    reply(x, "200 OK", span_of(text, (size_t)length));
}

/* More than is allowed at once: refused, then streamed all the same. */
static void serve_small(struct exchange *x)
{
    struct span body;
    last_rc = exchange_body(x, 10, &body);
    if (last_rc != RC_TOO_LARGE) return;
    char buffer[64];
    size_t size, total = body.size;
    while ((last_rc = exchange_body_read(x, buffer, sizeof buffer, &size)) == RC_OK) total += size;
    char text[64];
    int length = snprintf(text, sizeof text, "%zu+%zu", body.size, total - body.size);
    reply(x, "200 OK", span_of(text, (size_t)length));
}

static void serve_nobody(struct exchange *x)
{
    reply(x, "404 Not Found", SPAN("no"));
}

static void serve_abort(struct exchange *x)
{
    last_rc = exchange_send(x, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", 43);
    exchange_abort(x);
    last_rc = exchange_send(x, "x", 1);
}

static void serve_silent(struct exchange *x)
{
    (void)x;
}

static char flood[12 << 20];

static void serve_flood(struct exchange *x)
{
    last_rc = exchange_send(x, flood, sizeof flood);
}

static void owner_writable(struct connection *c)
{
    (void)c;
    writable_calls++;
}

static void owner_gone(struct connection *c)
{
    assert_ptr_equal(c, detached);
    gone_calls++;
    detached = NULL;
    connection_abort(c); /* allowed, and nothing more to do */
}

static const struct connection_owner owner = {owner_writable, owner_gone};

static void serve_detach(struct exchange *x)
{
    struct span body;
    last_rc = exchange_body(x, BODY_MAX, &body);
    if (last_rc != RC_OK) return;
    detached = exchange_detach(x, &owner);
    memset(connection_attachment(detached), 0x5a, CONNECTION_ATTACHMENT);
}

static void serve_who(struct exchange *x)
{
    char text[96];
    struct span address = exchange_address(x);
    int size = snprintf(text, sizeof text, "%.*s %d %d", SPAN_ARG(address), exchange_is_loopback(x), exchange_is_tls(x));
    assert_ptr_equal(exchange_server(x), &server);
    reply(x, "200 OK", span_of(text, (size_t)size));
}

static const struct {
    const char *path;
    void (*serve)(struct exchange *x);
} routes[] = {
    {"/echo", serve_echo},     {"/wait", serve_wait},   {"/ignore", serve_ignore}, {"/stream", serve_stream},
    {"/small", serve_small},   {"/nobody", serve_nobody}, {"/abort", serve_abort}, {"/silent", serve_silent},
    {"/flood", serve_flood},   {"/detach", serve_detach}, {"/who", serve_who},
};

static void serve(struct exchange *x)
{
    text_format(&ran_text, "%.*s %.*s;", SPAN_ARG(x->head.method), SPAN_ARG(x->head.target));
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++)
        if (span_equal(x->head.path, span_text(routes[i].path))) routes[i].serve(x);
}

static void refuse(const struct http_head *head, unsigned status, const char *reason, struct text *out)
{
    assert_non_null(head);
    assert_non_null(reason);
    text_format(out, "HTTP/1.1 %u\r\nConnection: close\r\n\r\n", status);
}

/* ---- clients */

static void turns(unsigned count)
{
    for (unsigned i = 0; i < count; i++) assert_int_equal(loop_turn(0), RC_OK);
}

static void pass(uint64_t us)
{
    turns(4);
    clock_fake_advance(us);
    turns(4);
}

static int dial_raw(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

static int dial(void)
{
    int fd = dial_raw();
    turns(3);
    return fd;
}

static void say_bytes(int fd, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t n = send(fd, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0) {
            assert_int_equal(errno, EAGAIN);
            n = 0;
        }
        bytes += n;
        size -= (size_t)n;
        turns(3);
    }
}

static void say(int fd, const char *text)
{
    say_bytes(fd, text, strlen(text));
}

/* One read: bytes, 0 at the end, -1 when reset, -2 when nothing comes. */
static long hear_some(int fd, char *buffer, size_t capacity)
{
    for (unsigned i = 0; i < PUMP_TURNS; i++) {
        ssize_t n = recv(fd, buffer, capacity, MSG_DONTWAIT);
        if (n >= 0) return n;
        if (errno == ECONNRESET) return -1;
        assert_int_equal(errno, EAGAIN);
        if (i > 20) usleep(50);
        turns(1);
        if (i > 60) break;
    }
    return -2;
}

static void expect(int fd, const char *text)
{
    static char buffer[BODY_MAX * 2];
    size_t size = 0, wanted = strlen(text);
    while (size < wanted) {
        long n = hear_some(fd, buffer + size, wanted - size);
        if (n <= 0) fail_msg("after \"%.*s\" came %ld instead of \"%s\"", (int)size, buffer, n, text + size);
        size += (size_t)n;
    }
    if (memcmp(buffer, text, wanted) != 0) fail_msg("\"%.*s\" is not \"%s\"", (int)size, buffer, text);
}

static void expect_ok(int fd, const char *body)
{
    static char text[BODY_MAX + 256];
    snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\nConnection: keep-alive\r\n\r\n%s", strlen(body), body);
    expect(fd, text);
}

static void expect_end(int fd, long how)
{
    char buffer[256];
    long n = hear_some(fd, buffer, sizeof buffer);
    if (n != how) fail_msg("came %ld (%.*s), not %ld", n, n > 0 ? (int)n : 0, buffer, how);
}

static void expect_silence(int fd)
{
    expect_end(fd, -2);
}

static void expect_closed(int fd)
{
    expect_end(fd, 0);
    close(fd);
    turns(3);
}

static void expect_refused(int fd, unsigned status)
{
    char text[64];
    snprintf(text, sizeof text, "HTTP/1.1 %u\r\nConnection: close\r\n\r\n", status);
    expect(fd, text);
    expect_closed(fd);
}

static void expect_ran(const char *text)
{
    if (strcmp(ran, text) != 0) fail_msg("ran \"%s\", not \"%s\"", ran, text);
    text_clear(&ran_text);
}

static void hang_up(int fd)
{
    close(fd);
    turns(4);
}

static void wake(void)
{
    assert_non_null(parked);
    fiber_wake(parked, RC_OK);
    turns(4);
}

static uint64_t counted(enum server_count which)
{
    return metric_get(&server.state->metrics->counts[which]);
}

static int setup(void **state)
{
    (void)state;
    server.limits = usual;
    budget.limit = 8 << 20;
    ran_text = text_on(ran, sizeof ran);
    parked = NULL;
    detached = NULL;
    writable_calls = gone_calls = 0;
    return 0;
}

static void listen_again(void)
{
    server.state->draining = false;
    assert_int_equal(server_listen(&server, SPAN("127.0.0.1:0"), NULL, &port), RC_OK);
}

/* Everything was given back, whatever the test did. */
static int teardown(void **state)
{
    (void)state;
    turns(10);
    const struct server_state *s = server.state;
    unsigned counts = 0;
    for (unsigned i = 0; i <= s->addresses.mask; i++) counts += s->addresses.places[i].count;
    if (s->connections.used + s->slots.used + s->fibers.used + s->working + s->readers + server_busy(&server) + counts == 0)
        return 0;
    print_error("left: %u connections, %u slots, %u fibers, %u working, %u readers, %u addresses\n", s->connections.used,
                s->slots.used, s->fibers.used, s->working, s->readers, counts);
    server_stop(&server);
    turns(10);
    listen_again();
    return -1;
}

/* ---- heads */

static const char echo[] = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";

static void test_one_request(void **state)
{
    (void)state;
    int fd = dial();
    say(fd, echo);
    expect_ok(fd, "hello");
    say(fd, "GET /who HTTP/1.1\r\nHost: a\r\n\r\n");
    expect_ok(fd, "127.0.0.1 1 0");
    expect_ran("POST /echo;GET /who;");
    hang_up(fd);
}

static void test_split_at_every_byte(void **state)
{
    (void)state;
    int fd = dial();
    for (size_t cut = 1; cut < sizeof echo - 1; cut++) {
        say_bytes(fd, echo, cut);
        say_bytes(fd, echo + cut, sizeof echo - 1 - cut);
        expect_ok(fd, "hello");
        expect_ran("POST /echo;");
    }
    for (size_t i = 0; i < sizeof echo - 1; i++) say_bytes(fd, echo + i, 1);
    expect_ok(fd, "hello");
    hang_up(fd);
}

static void test_pipelining(void **state)
{
    (void)state;
    int fd = dial();
    say(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n1"
            "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n2\r\n0\r\n\r\n"
            "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n3");
    expect_ok(fd, "1");
    expect_ok(fd, "2");
    expect_ok(fd, "3");
    expect_ran("POST /echo;POST /echo;POST /echo;");
    hang_up(fd);
}

/* The first waits: what follows it is kept although others use the scratch meanwhile. */
static void test_pipelining_behind_a_wait(void **state)
{
    (void)state;
    int fd = dial(), other = dial();
    say(fd, "POST /wait HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n1"
            "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n2"
            "POST /wait HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n3"
            "POST /echo HTTP/1.1\r\nHost: a\r\nConte");
    for (unsigned i = 0; i < 3; i++) {
        say(other, echo);
        expect_ok(other, "hello");
    }
    expect_silence(fd);
    wake();
    expect_ok(fd, "1");
    expect_ok(fd, "2");
    say(other, echo);
    expect_ok(other, "hello");
    wake();
    expect_ok(fd, "3");
    say(other, echo);
    expect_ok(other, "hello");
    say(fd, "nt-Length: 1\r\n\r\n4");
    expect_ok(fd, "4");
    expect_ran("POST /wait;POST /echo;POST /echo;POST /echo;POST /echo;POST /wait;POST /echo;POST /echo;POST /echo;");
    hang_up(fd);
    hang_up(other);
}

static void test_long_pipeline_takes_turns(void **state)
{
    (void)state;
    static char text[200 * 64];
    size_t size = 0;
    for (unsigned i = 0; i < 200; i++)
        size += (size_t)snprintf(text + size, sizeof text - size, "GET /echo?%u HTTP/1.1\r\nHost: a\r\n\r\n", i);
    int fd = dial();
    assert_int_equal(send(fd, text, size, 0), size);
    turns(1);
    unsigned served = 0;
    for (const char *p = ran; (p = strchr(p, ';')); p++) served++;
    assert_int_equal(served, SERVER_PIPELINE_TURNS); /* then the others */
    for (unsigned i = 0; i < 200; i++) {
        clock_fake_advance(1);
        expect_ok(fd, "");
        text_clear(&ran_text);
    }
    hang_up(fd);
}

static void test_slow_head(void **state)
{
    (void)state;
    uint64_t before = counted(COUNT_HEAD_408);
    int fd = dial();
    say(fd, "GET /echo HT");
    pass(9 * SECOND);
    say(fd, "TP/1.1\r\nHo"); /* more bytes do not buy time */
    expect_silence(fd);
    pass(SECOND);
    expect_refused(fd, 408);
    assert_int_equal(counted(COUNT_HEAD_408), before + 1);
    expect_ran("");
}

static void test_idle_ends_in_silence(void **state)
{
    (void)state;
    int fresh = dial(), used = dial();
    pass(30 * SECOND);
    say(used, echo);
    expect_ok(used, "hello");
    pass(30 * SECOND);
    expect_closed(fresh);
    expect_silence(used);
    pass(30 * SECOND);
    expect_closed(used);
}

static void test_slow_heads_evict_each_other(void **state)
{
    (void)state;
    int idle = dial(), first = dial(), second = dial(), third = dial(), working = dial();
    say(working, "GET /wait HTTP/1.1\r\nHost: a\r\n\r\n");
    say(first, "GET");
    say(second, "GET");
    assert_int_equal(server.state->readers, 2);
    say(third, "GET");
    assert_int_equal(server.state->readers, 2);
    expect_closed(first);
    say(second, " /who HTTP/1.1\r\nHost: a\r\n\r\n");
    expect_ok(second, "127.0.0.1 1 0");
    say(third, " /who HTTP/1.1\r\nHost: a\r\n\r\n");
    expect_ok(third, "127.0.0.1 1 0");
    say(idle, echo);
    expect_ok(idle, "hello");
    wake();
    expect_ok(working, "");
    hang_up(idle);
    hang_up(second);
    hang_up(third);
    hang_up(working);
}

static void test_long_heads(void **state)
{
    (void)state;
    static char text[4 * HEADER_MAX];
    for (unsigned pieces = 1; pieces <= 3; pieces++) {
        int fd = dial();
        int size = snprintf(text, sizeof text, "GET /echo HTTP/1.1\r\nHost: a\r\nX: %0*d\r\n\r\n", HEADER_MAX - 36, 1);
        assert_int_equal(size, HEADER_MAX);
        for (unsigned i = 0; i < pieces; i++) {
            size_t from = (size_t)size * i / pieces, to = (size_t)size * (i + 1) / pieces;
            say_bytes(fd, text + from, to - from);
        }
        expect_ok(fd, "");
        size = snprintf(text, sizeof text, "GET /echo HTTP/1.1\r\nHost: a\r\nX: %0*d\r\n\r\nGET /who HTTP/1.1\r\nHost: a\r\n\r\n",
                        HEADER_MAX - 35, 1);
        for (unsigned i = 0; i < pieces; i++) {
            size_t from = (size_t)size * i / pieces, to = (size_t)size * (i + 1) / pieces;
            (void)send(fd, text + from, to - from, MSG_NOSIGNAL);
            turns(3);
        }
        expect_refused(fd, 431);
        expect_ran("GET /echo;");
    }
    int fd = dial();
    memset(text, 'a', 2 * HEADER_MAX);
    memcpy(text, "GET /", 5);
    say_bytes(fd, text, HEADER_MAX);
    expect_refused(fd, 414);
    expect_ran("");
}

/* ---- bodies */

static void test_chunked_in_odd_pieces(void **state)
{
    (void)state;
    static const char text[] = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                               "5\r\nhello\r\n1;x=y\r\n,\r\n0a\r\n world 012\r\n0\r\nTrailer: z\r\n\r\n";
    int fd = dial();
    for (size_t piece = 1; piece <= sizeof text; piece += piece < 8 ? 1 : 13) {
        for (size_t at = 0; at < sizeof text - 1; at += piece)
            say_bytes(fd, text + at, sizeof text - 1 - at < piece ? sizeof text - 1 - at : piece);
        expect_ok(fd, "hello, world 012");
    }
    hang_up(fd);
}

/* The next request came with the last chunk. */
static void test_chunked_then_pipelined(void **state)
{
    (void)state;
    int fd = dial();
    say(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel");
    say(fd, "lo\r\n0\r\n\r\nGET /who HTTP/1.1\r\nHost: a\r\n\r\nGET /wh");
    expect_ok(fd, "hello");
    expect_ok(fd, "127.0.0.1 1 0");
    say(fd, "o HTTP/1.1\r\nHost: a\r\n\r\n");
    expect_ok(fd, "127.0.0.1 1 0");
    say(fd, "POST /stream HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    say(fd, "2\r\nab\r\n0\r\n\r\nGET"); /* in seven bytes the reader's buffer ends behind the body */
    say(fd, " /who HTTP/1.1\r\nHost: a\r\n\r\n");
    expect_ok(fd, "2");
    expect_ok(fd, "127.0.0.1 1 0");
    hang_up(fd);
}

static void test_bad_chunks(void **state)
{
    (void)state;
    static const char *const bad[] = {"x\r\n", "5\nhello", "5\r\nhelloXX", "fffffffffffffffff\r\n", "0\r\n\n"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[256];
        snprintf(text, sizeof text, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n%sGET /who HTTP/1.1\r\nHost: a\r\n\r\n", bad[i]);
        int fd = dial();
        say(fd, text);
        expect(fd, "HTTP/1.1 400 Bad\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        assert_int_equal(last_rc, RC_OK);
        expect_closed(fd);
        expect_ran("POST /echo;");
    }
}

static void test_large_body(void **state)
{
    (void)state;
    static char text[BODY_MAX + 256], body[BODY_MAX + 1];
    for (size_t i = 0; i < BODY_MAX; i++) body[i] = (char)('a' + i % 23);
    int fd = dial();
    static const size_t sizes[] = {16383, 16384, 16385, 65536, 100000, BODY_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        int head = snprintf(text, sizeof text, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n", sizes[i]);
        memcpy(text + head, body, sizes[i]);
        say_bytes(fd, text, (size_t)head + sizes[i]);
        char c = body[sizes[i]];
        body[sizes[i]] = '\0';
        expect_ok(fd, body);
        body[sizes[i]] = c;
    }
    hang_up(fd);
}

static void test_body_over_the_maximum(void **state)
{
    (void)state;
    int fd = dial();
    say(fd, "POST /small HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\n\r\n01234567890123456789");
    expect_ok(fd, "0+20");
    say(fd, "POST /small HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\n\r\n0123");
    say(fd, "4567890123456789");
    expect_ok(fd, "0+20");
    say(fd, "POST /small HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n01234567\r\n4\r\n89");
    say(fd, "01\r\n1\r\nx\r\n0\r\n\r\n");
    expect_ok(fd, "10+3");
    hang_up(fd);
}

static void test_stream_body(void **state)
{
    (void)state;
    int fd = dial();
    say(fd, "POST /stream HTTP/1.1\r\nHost: a\r\nContent-Length: 30\r\n\r\n0123456789");
    say(fd, "01234");
    say(fd, "567890123456789GET /who HTTP/1.1\r\nHost: a\r\n\r\n");
    expect_ok(fd, "30");
    expect_ok(fd, "127.0.0.1 1 0");
    hang_up(fd);
}

static void test_continue(void **state)
{
    (void)state;
    int fd = dial();
    say(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    expect(fd, "HTTP/1.1 100 Continue\r\n\r\n");
    expect_silence(fd);
    say(fd, "hel");
    say(fd, "lo");
    expect_ok(fd, "hello");
    say(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello");
    expect_ok(fd, "hello"); /* it has not waited for it */
    say(fd, "POST /nobody HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    expect(fd, "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
    expect_closed(fd);
}

static void test_body_timeout(void **state)
{
    (void)state;
    int fd = dial();
    say(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n");
    pass(19 * SECOND);
    say(fd, "hel");
    pass(19 * SECOND); /* bytes buy time */
    expect_silence(fd);
    pass(SECOND);
    expect(fd, "HTTP/1.1 400 Bad\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    expect_closed(fd);
}

static void test_body_not_taken(void **state)
{
    (void)state;
    int fd = dial();
    say(fd, "POST /nobody HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
            "POST /nobody HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
            "POST /nobody HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\nGET /who HTTP/1.1\r\nHost: a\r\n\r\n");
    expect(fd, "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nno");
    expect(fd, "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nno");
    expect(fd, "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
    say(fd, "GET /who HTTP/1.1\r\nHost: a\r\n\r\n");
    expect_closed(fd);
    expect_ran("POST /nobody;POST /nobody;POST /nobody;");
}

static void test_connection_ends(void **state)
{
    (void)state;
    int fd = dial();
    say(fd, "GET /who HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    expect(fd, "HTTP/1.1 200 OK\r\nContent-Length: 13\r\nConnection: close\r\n\r\n127.0.0.1 1 0");
    expect_closed(fd);
    fd = dial();
    say(fd, "GET /who HTTP/1.0\r\n\r\nGET /who HTTP/1.0\r\n\r\n");
    expect(fd, "HTTP/1.1 200 OK\r\nContent-Length: 13\r\nConnection: close\r\n\r\n127.0.0.1 1 0");
    expect_closed(fd);
    fd = dial();
    say(fd, "GET /who HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    expect_ok(fd, "127.0.0.1 1 0");
    hang_up(fd);
    expect_ran("GET /who;GET /who;GET /who;");
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
            int fd = dial();
            if (split) {
                say_bytes(fd, text, 9);
                (void)send(fd, text + 9, strlen(text) - 9, MSG_NOSIGNAL);
                turns(3);
            } else {
                say(fd, text);
            }
            (void)send(fd, "GET /who HTTP/1.1\r\nHost: a\r\n\r\n", 30, MSG_NOSIGNAL); /* the answer can still be read */
            turns(3);
            expect_refused(fd, cases[i].status);
            expect_ran("");
        }
    }
}

static void test_refusal_behind_a_request(void **state)
{
    (void)state;
    int fd = dial();
    say(fd, "GET /who HTTP/1.1\r\nHost: a\r\n\r\nGET /x\nGET /who HTTP/1.1\r\nHost: a\r\n\r\n");
    expect_ok(fd, "127.0.0.1 1 0");
    expect_refused(fd, 400);
    expect_ran("GET /who;");
}

static void test_linger_ends(void **state)
{
    (void)state;
    int fd = dial();
    say(fd, "\n");
    expect(fd, "HTTP/1.1 400\r\nConnection: close\r\n\r\n");
    assert_int_equal(server.state->lists[LIST_LINGER].count, 1);
    pass(SECOND);
    assert_int_equal(server.state->connections.used, 0);
    close(fd);
    fd = dial();
    say(fd, "\n");
    static char junk[70000];
    for (size_t sent = 0; sent < sizeof junk;) {
        ssize_t n = send(fd, junk + sent, sizeof junk - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN) break;
        if (n > 0) sent += (size_t)n;
        turns(2);
    }
    turns(4);
    assert_int_equal(server.state->connections.used, 0);
    close(fd);
}

/* ---- bounds */

static void test_no_exchange_is_free(void **state)
{
    (void)state;
    int busy[3], fd = dial();
    struct fiber *fibers[3];
    for (unsigned i = 0; i < 3; i++) {
        busy[i] = dial();
        say(busy[i], "GET /wait HTTP/1.1\r\nHost: a\r\n\r\n");
        fibers[i] = parked;
    }
    assert_int_equal(server_busy(&server), 3);
    uint64_t before = counted(COUNT_HEAD_503);
    say(fd, echo);
    expect_refused(fd, 503);
    assert_int_equal(counted(COUNT_HEAD_503), before + 1);
    for (unsigned i = 0; i < 3; i++) {
        fiber_wake(fibers[i], RC_OK);
        turns(2);
        expect_ok(busy[i], "");
    }
    fd = dial();
    say(fd, echo);
    expect_ok(fd, "hello");
    hang_up(fd);
    for (unsigned i = 0; i < 3; i++) hang_up(busy[i]);
}

static void test_no_memory(void **state)
{
    (void)state;
    budget.limit = atomic_load(&budget.used); /* slots may keep a few pages: fill what they have */
    int fd = dial();
    static char text[HEADER_MAX + 70000];
    int head = snprintf(text, sizeof text, "POST /wait HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", 40000);
    say_bytes(fd, text, (size_t)head + 40000);
    turns(4);
    assert_null(parked);
    expect_end(fd, -1);
    close(fd);
    budget.limit = 8 << 20;
    fd = dial();
    say(fd, echo);
    expect_ok(fd, "hello");
    hang_up(fd);
}

static void test_connections_of_an_address(void **state)
{
    (void)state;
    uint64_t before = counted(COUNT_REFUSED_ADDRESS);
    int fds[7];
    for (unsigned i = 0; i < 7; i++) fds[i] = dial();
    int more = dial();
    expect_end(more, 0);
    close(more);
    assert_int_equal(counted(COUNT_REFUSED_ADDRESS), before + 1);
    hang_up(fds[0]);
    fds[0] = dial();
    say(fds[0], echo);
    expect_ok(fds[0], "hello");
    for (unsigned i = 0; i < 7; i++) hang_up(fds[i]);
}

static void test_all_connections_taken(void **state)
{
    (void)state;
    struct server_limits limits = usual;
    limits.connections = 3;
    server_limits_set(&server, &limits);
    int fds[3];
    for (unsigned i = 0; i < 3; i++) fds[i] = dial();
    say(fds[0], echo);
    expect_ok(fds[0], "hello"); /* now the second has been idle for longest */
    int more = dial();
    expect_closed(fds[1]);
    say(more, "GET /wait HTTP/1.1\r\nHost: a\r\n\r\n");
    struct fiber *first = parked;
    say(fds[0], "GET /wait HTTP/1.1\r\nHost: a\r\n\r\n");
    struct fiber *second = parked;
    say(fds[2], "GET /wait HTTP/1.1\r\nHost: a\r\n\r\n");
    int waiting = dial(); /* none is idle: it waits in the backlog */
    say(waiting, echo);
    expect_silence(waiting);
    assert_true(server.state->paused);
    assert_int_equal(server.state->connections.used, 3);
    wake();
    hang_up(fds[2]);
    expect_ok(waiting, "hello");
    fiber_wake(first, RC_OK);
    fiber_wake(second, RC_OK);
    turns(4);
    expect_ok(more, "");
    expect_ok(fds[0], "");
    hang_up(more);
    hang_up(fds[0]);
    hang_up(waiting);
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
        if (add) server_address_add(&t, key), model[key]++;
        else if (model[key] > 0) server_address_remove(&t, key), model[key]--;
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
    static const char *const bad[] = {"", "8080", ":8080", "localhost:80", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536",
                                      "127.0.0.1:x", "::1:80", "[::1]", "[127.0.0.1]:80", "[]:80", "1.2.3.4.5:80"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (server_listen(&server, span_text(bad[i]), NULL, NULL) != RC_INVALID) fail_msg("\"%s\" was taken", bad[i]);
    }
    char text[64];
    snprintf(text, sizeof text, "127.0.0.1:%u", port);
    assert_int_equal(server_listen(&server, span_text(text), NULL, NULL), RC_EXISTS);
}

/* ---- clients that go away */

static void test_client_gone_cancels(void **state)
{
    (void)state;
    uint64_t before = counted(COUNT_CLIENT_GONE);
    for (unsigned half = 0; half < 2; half++) {
        int fd = dial();
        say(fd, "GET /wait HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_non_null(parked);
        if (half) shutdown(fd, SHUT_WR); /* counts as gone, see server.h */
        else close(fd);
        turns(4);
        assert_int_equal(last_rc, RC_CANCELLED);
        assert_int_equal(server.state->connections.used, 0);
        if (half) close(fd);
    }
    assert_int_equal(counted(COUNT_CLIENT_GONE), before + 2);
    int fd = dial(); /* asked and closed in one go: answered at once */
    assert_int_equal(send(fd, echo, sizeof echo - 1, 0), sizeof echo - 1);
    shutdown(fd, SHUT_WR);
    expect_ok(fd, "hello");
    expect_closed(fd);
}

static void test_hangup_ignored(void **state)
{
    (void)state;
    int fd = dial();
    say(fd, "GET /ignore HTTP/1.1\r\nHost: a\r\n\r\n");
    shutdown(fd, SHUT_WR);
    turns(4);
    assert_non_null(parked);
    wake();
    assert_int_equal(last_rc, RC_OK);
    expect_ok(fd, "");
    expect_closed(fd);
    fd = dial();
    say(fd, "GET /ignore HTTP/1.1\r\nHost: a\r\n\r\n");
    struct linger at_once = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(fd);
    turns(4);
    wake();
    assert_int_equal(last_rc, RC_CLOSED);
}

static void test_client_gone_in_its_body(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        int fd = dial();
        say(fd, i ? "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe"
                  : "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel");
        assert_int_equal(server.state->working, 1);
        hang_up(fd);
        assert_int_equal(last_rc, RC_CLOSED);
    }
    int fd = dial();
    say(fd, "GET /ec");
    hang_up(fd);
}

/* Pipelined bytes arrive while a handler works: no spinning, no loss. */
static void test_bytes_while_working(void **state)
{
    (void)state;
    int fd = dial();
    say(fd, "GET /wait HTTP/1.1\r\nHost: a\r\n\r\n");
    say(fd, "GET /who HTTP/1.1\r\nHost: a\r\n\r\n");
    const struct connection *c = server.state->lists[LIST_BUSY].first;
    assert_int_equal(c->stream.source.source.events & (LOOP_READ | LOOP_PEER_CLOSED), LOOP_PEER_CLOSED);
    wake();
    expect_ok(fd, "");
    expect_ok(fd, "127.0.0.1 1 0");
    hang_up(fd);
}

/* ---- replies */

static void test_abort_and_silence(void **state)
{
    (void)state;
    int fd = dial();
    say(fd, "GET /abort HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_int_equal(last_rc, RC_CLOSED);
    char buffer[64];
    long n;
    while ((n = hear_some(fd, buffer, sizeof buffer)) > 0) continue;
    assert_int_equal(n, -1);
    close(fd);
    fd = dial();
    say(fd, "GET /silent HTTP/1.1\r\nHost: a\r\n\r\n");
    expect_end(fd, -1);
    close(fd);
}

static size_t drink(int fd)
{
    static char buffer[65536];
    size_t total = 0;
    long n;
    while ((n = hear_some(fd, buffer, sizeof buffer)) > 0) total += (size_t)n;
    return total;
}

static void test_slow_reader(void **state)
{
    (void)state;
    int fd = dial(), small = 65536;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    say(fd, "GET /flood HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_int_equal(server.state->working, 1);
    pass(19 * SECOND);
    assert_int_equal(drink(fd), sizeof flood);
    assert_int_equal(last_rc, RC_OK);
    say(fd, "GET /flood HTTP/1.1\r\nHost: a\r\n\r\n");
    last_rc = RC_OK;
    pass(20 * SECOND);
    assert_int_equal(last_rc, RC_TIMEOUT);
    assert_true(drink(fd) < sizeof flood);
    close(fd);
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
    int fd = dial();
    for (unsigned i = 0; i < 3; i++) {
        say(fd, "POST /detach HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}");
        assert_non_null(detached);
        assert_int_equal(server.state->slots.used, 0);
        assert_int_equal(server.state->fibers.used, 0);
        assert_int_equal(server_busy(&server), 1);
        assert_true(connection_keep_alive(detached));
        assert_int_equal(((unsigned char *)connection_attachment(detached))[CONNECTION_ATTACHMENT - 1], 0x5a);
        send_all(detached, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n");
        if (i == 2) say(fd, "GET /who HTTP/1.1\r\nHost: a\r\n\r\n"); /* stays in the socket meanwhile */
        connection_finish(detached);
        detached = NULL;
        expect_ok(fd, "");
    }
    expect_ok(fd, "127.0.0.1 1 0");
    hang_up(fd);
    assert_int_equal(gone_calls, 0);
}

static void test_detach_with_pipelined_bytes(void **state)
{
    (void)state;
    int fd = dial();
    say(fd, "GET /detach HTTP/1.1\r\nHost: a\r\n\r\nGET /who HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_false(connection_keep_alive(detached));
    send_all(detached, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    connection_finish(detached);
    expect(fd, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    expect_closed(fd);
    expect_ran("GET /detach;");
}

static void test_detached_abort_and_gone(void **state)
{
    (void)state;
    int fd = dial();
    say(fd, "GET /detach HTTP/1.1\r\nHost: a\r\n\r\n");
    connection_abort(detached);
    expect_end(fd, -1);
    close(fd);
    assert_int_equal(gone_calls, 0);
    fd = dial();
    say(fd, "GET /detach HTTP/1.1\r\nHost: a\r\n\r\n");
    hang_up(fd);
    assert_int_equal(gone_calls, 1);
    assert_null(detached);
}

static void test_detached_slow_reader(void **state)
{
    (void)state;
    int fd = dial();
    say(fd, "GET /detach HTTP/1.1\r\nHost: a\r\n\r\n");
    size_t sent, total = 0;
    int rc;
    while ((rc = connection_send_try(detached, flood, sizeof flood, &sent)) == RC_OK) total += sent;
    assert_int_equal(rc, RC_AGAIN);
    assert_int_equal(server.state->lists[LIST_BLOCKED].count, 1);
    pass(19 * SECOND);
    assert_int_equal(writable_calls, 0);
    assert_int_equal(drink(fd), total);
    assert_int_equal(writable_calls, 1); /* once for each RC_AGAIN */
    assert_int_equal(server.state->lists[LIST_BLOCKED].count, 0);
    pass(40 * SECOND); /* nothing to send: no deadline */
    assert_int_equal(gone_calls, 0);
    while ((rc = connection_send_try(detached, flood, sizeof flood, &sent)) == RC_OK) continue;
    pass(19 * SECOND);
    assert_int_equal(gone_calls, 0);
    pass(SECOND);
    assert_int_equal(gone_calls, 1);
    close(fd);
}

static void test_detached_send_fails(void **state)
{
    (void)state;
    int fd = dial();
    say(fd, "GET /detach HTTP/1.1\r\nHost: a\r\n\r\n");
    struct linger at_once = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(fd);
    size_t sent; /* before the loop has seen it */
    assert_int_equal(connection_send_try(detached, "x", 1, &sent), RC_CLOSED);
    assert_int_equal(gone_calls, 0);
    turns(2);
    assert_int_equal(gone_calls, 1);
}

/* ---- the end */

static void test_drain_and_stop(void **state)
{
    (void)state;
    int idle = dial(), working = dial(), owned = dial(), reading = dial();
    say(working, "GET /wait HTTP/1.1\r\nHost: a\r\n\r\n");
    say(owned, "GET /detach HTTP/1.1\r\nHost: a\r\n\r\n");
    say(reading, "GET /who HTTP/1.1\r\n");
    server_drain(&server);
    turns(3);
    expect_closed(idle);
    assert_int_equal(server_busy(&server), 3);
    wake();
    expect(working, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    expect_closed(working);
    say(reading, "Host: a\r\n\r\n");
    expect(reading, "HTTP/1.1 200 OK\r\nContent-Length: 13\r\nConnection: close\r\n\r\n127.0.0.1 1 0");
    expect_closed(reading);
    assert_false(connection_keep_alive(detached));
    assert_int_equal(server_busy(&server), 1);
    server_stop(&server);
    assert_int_equal(gone_calls, 1);
    assert_int_equal(server_busy(&server), 0);
    expect_end(owned, -1);
    close(owned);
    listen_again();
}

static void test_stop_cuts_everything(void **state)
{
    (void)state;
    int fds[4];
    for (unsigned i = 0; i < 4; i++) fds[i] = dial();
    say(fds[0], "GET /wait HTTP/1.1\r\nHost: a\r\n\r\n");
    say(fds[1], "GET");
    say(fds[2], "\n");
    server_stop(&server);
    turns(3);
    assert_int_equal(last_rc, RC_CANCELLED);
    assert_int_equal(server_busy(&server), 0);
    for (unsigned i = 0; i < 4; i++) close(fds[i]);
    listen_again();
}

#define SERVER_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

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
        SERVER_TEST(test_smuggling),
        SERVER_TEST(test_refusal_behind_a_request),
        SERVER_TEST(test_linger_ends),
        SERVER_TEST(test_no_exchange_is_free),
        SERVER_TEST(test_no_memory),
        SERVER_TEST(test_connections_of_an_address),
        SERVER_TEST(test_all_connections_taken),
        SERVER_TEST(test_address_table),
        SERVER_TEST(test_listen_addresses),
        SERVER_TEST(test_client_gone_cancels),
        SERVER_TEST(test_hangup_ignored),
        SERVER_TEST(test_client_gone_in_its_body),
        SERVER_TEST(test_bytes_while_working),
        SERVER_TEST(test_abort_and_silence),
        SERVER_TEST(test_slow_reader),
        SERVER_TEST(test_detach_and_finish),
        SERVER_TEST(test_detach_with_pipelined_bytes),
        SERVER_TEST(test_detached_abort_and_gone),
        SERVER_TEST(test_detached_slow_reader),
        SERVER_TEST(test_detached_send_fails),
        SERVER_TEST(test_drain_and_stop),
        SERVER_TEST(test_stop_cuts_everything),
    };
    clock_fake(1000 * SECOND, UINT64_C(1795000000) * SECOND);
    usual = server.limits;
    budget.limit = 8 << 20;
    if (loop_reserve(64) != RC_OK || server_reserve(&server) != RC_OK) return 1;
    if (server_listen(&server, SPAN("127.0.0.1:0"), NULL, &port) != RC_OK) return 1;
    return cmocka_run_group_tests_name("server", tests, NULL, NULL);
}
