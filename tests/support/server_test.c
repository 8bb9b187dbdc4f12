/* SPDX-License-Identifier: Apache-2.0 */
/* tests/support/server_test.c — see server_test.h. */
#include "tests/support/server_test.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <unistd.h>

#include "platform/rc.h"

enum { PUMP_TURNS = 60, PATIENT_TURNS = 20 };

static void serve(struct exchange *x);
static void refuse(const struct http_head *head, unsigned status, const char *reason, struct text *out);

struct arena_budget server_test_budget;
struct server server_test_server = {
    .name = "test",
    .serve = serve,
    .refuse = refuse,
    .budget = &server_test_budget,
    .limits = {.connections = 8,
               .connections_per_address = 7,
               .exchanges = 3,
               .head_readers = 2,
               .header = SERVER_TEST_HEADER_MAX,
               .arena_reserve = 1 << 20,
               .header_us = 10 * CLOCK_SECOND,
               .body_us = 20 * CLOCK_SECOND,
               .idle_us = 60 * CLOCK_SECOND},
};
struct server_limits server_test_limits;
unsigned server_test_port;

/* ---- what the handler does, by path */

static char ran[4096];
struct text server_test_ran;
struct fiber *server_test_parked;
int server_test_rc;
static size_t streamed;
struct connection *server_test_detached;
unsigned server_test_writable_calls, server_test_gone_calls;

static void reply(struct exchange *x, const char *status, struct span body)
{
    char head[256];
    bool keep = exchange_keep_alive(x);
    int size = snprintf(head, sizeof head, "HTTP/1.1 %s\r\nContent-Length: %zu\r\nConnection: %s\r\n\r\n", status,
                        body.size, keep ? "keep-alive" : "close");
    server_test_rc = exchange_send(x, head, (size_t)size);
    if (server_test_rc == RC_OK && body.size > 0) server_test_rc = exchange_send(x, body.data, body.size);
}

static void serve_echo(struct exchange *x)
{
    struct span body;
    server_test_rc = exchange_body(x, SERVER_TEST_BODY_MAX, &body);
    if (server_test_rc == RC_OK)
        reply(x, "200 OK", body);
    else if (server_test_rc != RC_CLOSED && server_test_rc != RC_CANCELLED)
        reply(x, "400 Bad", SPAN(""));
}

static void serve_wait(struct exchange *x)
{
    struct span body;
    server_test_rc = exchange_body(x, SERVER_TEST_BODY_MAX, &body);
    if (server_test_rc != RC_OK || exchange_keep(x) != RC_OK) return;
    server_test_parked = fiber_self();
    server_test_rc = fiber_park(CLOCK_NEVER);
    server_test_parked = NULL;
    if (server_test_rc == RC_OK) reply(x, "200 OK", x->body);
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
    while ((server_test_rc = exchange_body_read(x, piece, sizeof piece, &size)) == RC_OK) streamed += size;
    explicit_bzero(piece, sizeof piece); /* nothing of the next request may be left in there */
    if (server_test_rc != RC_EMPTY) return;
    char text[32];
    int length = snprintf(text, sizeof text, "%zu", streamed);
    reply(x, "200 OK", span_of(text, (size_t)length));
}

/* More than is allowed at once: refused, then streamed all the same. */
static void serve_small(struct exchange *x)
{
    struct span body;
    server_test_rc = exchange_body(x, 10, &body);
    if (server_test_rc != RC_TOO_LARGE) return;
    char buffer[64];
    size_t size, total = body.size;
    while ((server_test_rc = exchange_body_read(x, buffer, sizeof buffer, &size)) == RC_OK) total += size;
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
    server_test_rc = exchange_send(x, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", 43);
    exchange_abort(x);
    server_test_rc = exchange_send(x, "x", 1);
}

static void serve_silent(struct exchange *x)
{
    (void)x;
}

char server_test_flood[12 << 20];

static void serve_flood(struct exchange *x)
{
    server_test_rc = exchange_send(x, server_test_flood, sizeof server_test_flood);
}

static void owner_writable(struct connection *c)
{
    (void)c;
    server_test_writable_calls++;
}

static void owner_gone(struct connection *c)
{
    assert_ptr_equal(c, server_test_detached);
    server_test_gone_calls++;
    server_test_detached = NULL;
    connection_abort(c); /* allowed, and nothing more to do */
}

static const struct connection_owner owner = {owner_writable, owner_gone};

static void serve_detach(struct exchange *x)
{
    struct span body;
    server_test_rc = exchange_body(x, SERVER_TEST_BODY_MAX, &body);
    if (server_test_rc != RC_OK) return;
    server_test_detached = exchange_detach(x, &owner);
    memset(connection_attachment(server_test_detached), 0x5a, CONNECTION_ATTACHMENT);
}

/* What followed the request is kept until the reply is complete. */
static void serve_detach_keep(struct exchange *x)
{
    static char kept[1024];
    struct span rest = exchange_pipelined(x);
    memcpy(kept, rest.data, rest.size);
    serve_detach(x);
    connection_pipelined(server_test_detached, span_of(kept, rest.size));
}

static void serve_who(struct exchange *x)
{
    char text[96];
    struct span address = exchange_address(x);
    int size =
        snprintf(text, sizeof text, "%.*s %d %d", SPAN_ARG(address), exchange_is_loopback(x), exchange_is_tls(x));
    assert_ptr_equal(exchange_server(x), &server_test_server);
    reply(x, "200 OK", span_of(text, (size_t)size));
}

static const struct {
    const char *path;
    void (*serve)(struct exchange *x);
} routes[] = {
    {"/echo", serve_echo},   {"/wait", serve_wait},     {"/ignore", serve_ignore},    {"/stream", serve_stream},
    {"/small", serve_small}, {"/nobody", serve_nobody}, {"/abort", serve_abort},      {"/silent", serve_silent},
    {"/flood", serve_flood}, {"/detach", serve_detach}, {"/keep", serve_detach_keep}, {"/who", serve_who},
};

static void serve(struct exchange *x)
{
    text_format(&server_test_ran, "%.*s %.*s;", SPAN_ARG(x->head.method), SPAN_ARG(x->head.target));
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

void server_test_turns(unsigned count)
{
    for (unsigned i = 0; i < count; i++) assert_int_equal(loop_turn(0), RC_OK);
}

void server_test_pass(uint64_t us)
{
    server_test_turns(4);
    clock_fake_advance(us);
    server_test_turns(4);
}

static int dial_raw(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)server_test_port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

int client_dial(void)
{
    int fd = dial_raw();
    server_test_turns(3);
    return fd;
}

void client_say_bytes(int fd, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t n = send(fd, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0) {
            assert_int_equal(errno, EAGAIN);
            n = 0;
        }
        bytes += n;
        size -= (size_t)n;
        server_test_turns(3);
    }
}

void client_say(int fd, const char *text)
{
    client_say_bytes(fd, text, strlen(text));
}

/* One read: bytes, 0 at the end, -1 when reset, -2 when nothing comes. */
long client_hear(int fd, char *buffer, size_t capacity)
{
    for (unsigned i = 0; i < PUMP_TURNS; i++) {
        ssize_t n = recv(fd, buffer, capacity, MSG_DONTWAIT);
        if (n >= 0) return n;
        if (errno == ECONNRESET) return -1;
        assert_int_equal(errno, EAGAIN);
        if (i > PATIENT_TURNS) usleep(50);
        server_test_turns(1);
    }
    return -2;
}

void client_expect(int fd, const char *text)
{
    static char buffer[SERVER_TEST_BODY_MAX * 2];
    size_t size = 0, wanted = strlen(text);
    while (size < wanted) {
        long n = client_hear(fd, buffer + size, wanted - size);
        if (n <= 0) fail_msg("after \"%.*s\" came %ld instead of \"%s\"", (int)size, buffer, n, text + size);
        size += (size_t)n;
    }
    if (memcmp(buffer, text, wanted) != 0) fail_msg("\"%.*s\" is not \"%s\"", (int)size, buffer, text);
}

void client_expect_ok(int fd, const char *body)
{
    static char text[SERVER_TEST_BODY_MAX + 256];
    snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\nConnection: keep-alive\r\n\r\n%s",
             strlen(body), body);
    client_expect(fd, text);
}

void client_expect_end(int fd, long how)
{
    char buffer[256];
    long n = client_hear(fd, buffer, sizeof buffer);
    if (n != how) fail_msg("came %ld (%.*s), not %ld", n, n > 0 ? (int)n : 0, buffer, how);
}

void client_expect_silence(int fd)
{
    client_expect_end(fd, -2);
}

void client_expect_closed(int fd)
{
    client_expect_end(fd, 0);
    close(fd);
    server_test_turns(3);
}

void client_expect_refused(int fd, unsigned status)
{
    char text[64];
    snprintf(text, sizeof text, "HTTP/1.1 %u\r\nConnection: close\r\n\r\n", status);
    client_expect(fd, text);
    client_expect_closed(fd);
}

void server_test_expect_ran(const char *text)
{
    if (strcmp(server_test_ran.data, text) != 0) fail_msg("ran \"%s\", not \"%s\"", server_test_ran.data, text);
    text_clear(&server_test_ran);
}

void client_hang_up(int fd)
{
    close(fd);
    server_test_turns(4);
}

void server_test_wake(void)
{
    assert_non_null(server_test_parked);
    fiber_wake(server_test_parked, RC_OK);
    server_test_turns(4);
}

uint64_t server_test_counted(enum server_count which)
{
    return metric_get(&server_test_server.state->metrics->counts[which]);
}

int server_test_setup(void **state)
{
    (void)state;
    server_test_server.limits = server_test_limits;
    server_test_budget.limit = 8 << 20;
    server_test_ran = text_on(ran, sizeof ran);
    server_test_parked = NULL;
    server_test_detached = NULL;
    server_test_writable_calls = server_test_gone_calls = 0;
    return 0;
}

void server_test_listen_again(void)
{
    server_test_server.state->draining = false;
    assert_int_equal(server_listen(&server_test_server, SPAN("127.0.0.1:0"), NULL, &server_test_port), RC_OK);
}

/* Everything was given back, whatever the test did. */
int server_test_teardown(void **state)
{
    (void)state;
    server_test_turns(10);
    const struct server_state *s = server_test_server.state;
    unsigned counts = 0;
    for (unsigned i = 0; i <= s->addresses.mask; i++) counts += s->addresses.places[i].count;
    if (s->connections.used + s->slots.used + s->fibers.used + s->working + s->readers +
            server_busy(&server_test_server) + counts ==
        0)
        return 0;
    print_error("left: %u connections, %u slots, %u fibers, %u working, %u readers, %u addresses\n",
                s->connections.used, s->slots.used, s->fibers.used, s->working, s->readers, counts);
    server_stop(&server_test_server);
    server_test_turns(10);
    server_test_listen_again();
    return -1;
}

size_t client_drink(int fd)
{
    static char buffer[65536];
    size_t total = 0;
    long n;
    while ((n = client_hear(fd, buffer, sizeof buffer)) > 0) total += (size_t)n;
    return total;
}

int server_test_run(const char *name, const struct CMUnitTest *tests, size_t count)
{
    clock_fake(1000 * CLOCK_SECOND, UINT64_C(1795000000) * CLOCK_SECOND);
    server_test_limits = server_test_server.limits;
    server_test_budget.limit = 8 << 20;
    if (loop_reserve(64) != RC_OK || server_reserve(&server_test_server) != RC_OK) return 1;
    if (server_listen(&server_test_server, SPAN("127.0.0.1:0"), NULL, &server_test_port) != RC_OK) return 1;
    return _cmocka_run_group_tests(name, tests, count, NULL, NULL);
}
