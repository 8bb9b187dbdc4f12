/* SPDX-License-Identifier: Apache-2.0 */
/* tests/support/gateway_test.c — see gateway_test.h. */
#include "tests/support/gateway_test.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "app/gateway/tenants.h"
#include "cache/cache.h"
#include "platform/clock.h"
#include "platform/file.h"
#include "platform/offload.h"
#include "tests/support/store_test.h"

enum { PATIENCE_S = 5, SETTLE_TURNS = 12, SLOW_BUFFER = 4096 };

char gateway_test_heard[GATEWAY_TEST_HEARD], gateway_test_asked[1 << 20];
size_t gateway_test_heard_size;
enum gateway_test_end gateway_test_end;

const char gateway_test_yaml[] =
    "limits: {requests: 16, flights: 16, connections: 64, parse_max: 64KiB, memory: 8MiB}\n"
    "storage: {entries_max: 1000, bytes_max: 64MiB, hot: 1MiB, sync_every: 200ms}\n"
    "providers:\n"
    "  - {name: up, dialect: openai, base_url: 'http://127.0.0.1:%u/v1', passthrough: true, retry: {attempts: 1},\n"
    "     timeouts: {connect: 2s, first_byte: 4s, idle: 4s, total: 8s}}\n"
    "routes:\n"
    "  - {match: {dialect: openai, model: '*'}, providers: [up], packs: [starter], cache: {ttl: 1h}}\n";

static const char *folder;
static int listener = -1;
static unsigned port; /* the upstream's */
static char config_path[FILE_PATH_MAX];

/* ---- time */

void gateway_test_settle(void)
{
    for (unsigned i = 0; i < SETTLE_TURNS; i++) assert_int_equal(loop_turn(i % 3 == 2 ? 2000 : 0), RC_OK);
}

void gateway_test_turn(void)
{
    assert_int_equal(loop_turn(1000), RC_OK);
}

struct body {
    void (*run)(void *arg);
    void *arg;
    bool done;
};

static void body_run(void *arg)
{
    struct body *body = arg;
    body->run(body->arg);
    body->done = true;
}

void gateway_test_fiber(void (*run)(void *arg), void *arg)
{
    struct body body = {.run = run, .arg = arg};
    time_t end = time(NULL) + PATIENCE_S;
    assert_int_equal(fiber_start(&boot.background, body_run, &body), RC_OK);
    while (!body.done) {
        assert_int_equal(loop_turn(10000), RC_OK);
        if (time(NULL) > end) fail_msg("the test hangs");
    }
}

/* ---- sockets */

static void listen_at(unsigned wanted)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)wanted), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int on = 1;
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(listener >= 0);
    assert_int_equal(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), 0);
    assert_int_equal(bind(listener, (struct sockaddr *)(void *)&address, sizeof address), 0);
    assert_int_equal(listen(listener, 64), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)(void *)&address, &size), 0);
    port = ntohs(address.sin_port);
}

static void no_delay(int fd)
{
    int on = 1;
    assert_int_equal(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), 0);
}

static int dial(int buffer)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)boot.api_port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), segment = 536;
    assert_true(fd >= 0);
    if (buffer) {
        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer), 0);
        assert_int_equal(setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &segment, sizeof segment), 0);
    }
    assert_int_equal(connect(fd, (struct sockaddr *)(void *)&address, sizeof address), 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    no_delay(fd);
    return fd;
}

int gateway_test_dial(void)
{
    return dial(0);
}

/* The box's ends are descriptors of this very process. */
static void squeeze_box(void)
{
    int small = SLOW_BUFFER;
    for (int fd = 3; fd < 1024; fd++) {
        struct sockaddr_in address;
        socklen_t size = sizeof address;
        if (getsockname(fd, (struct sockaddr *)(void *)&address, &size) != 0 || address.sin_family != AF_INET) continue;
        if (ntohs(address.sin_port) == boot.api_port) setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    }
}

int gateway_test_dial_slow(void)
{
    int fd = dial(SLOW_BUFFER);
    gateway_test_settle();
    squeeze_box();
    return fd;
}

/* Sends all, letting the other side work when the socket is full. */
static void send_all(int fd, const char *bytes, size_t size)
{
    time_t end = time(NULL) + PATIENCE_S;
    while (size > 0) {
        ssize_t sent = send(fd, bytes, size, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN) return; /* closed already: the test looks at what it hears */
        if (sent < 0) gateway_test_settle();
        if (time(NULL) > end) fail_msg("nobody takes what is sent");
        bytes += sent > 0 ? sent : 0;
        size -= sent > 0 ? (size_t)sent : 0;
    }
}

void gateway_test_say(int fd, const char *text)
{
    send_all(fd, text, strlen(text));
}

static bool hear_some(int fd)
{
    size_t room = sizeof gateway_test_heard - 1 - gateway_test_heard_size;
    ssize_t got = recv(fd, gateway_test_heard + gateway_test_heard_size, room, 0);
    if (got > 0) gateway_test_heard_size += (size_t)got;
    if (got == 0) gateway_test_end = ENDED;
    if (got < 0 && errno != EAGAIN) gateway_test_end = WAS_RESET;
    gateway_test_heard[gateway_test_heard_size] = 0;
    return got > 0;
}

static void hear_start(void)
{
    gateway_test_heard_size = 0;
    gateway_test_heard[0] = 0;
    gateway_test_end = STILL_OPEN;
}

void gateway_test_hear_more(int fd)
{
    gateway_test_settle();
    while (hear_some(fd)) gateway_test_settle();
}

void gateway_test_hear_now(int fd)
{
    hear_start();
    gateway_test_hear_more(fd);
}

void gateway_test_hear(int fd, const char *until)
{
    time_t end = time(NULL) + PATIENCE_S;
    hear_start();
    while (gateway_test_end == STILL_OPEN) {
        assert_int_equal(loop_turn(1000), RC_OK);
        while (hear_some(fd)) continue;
        size_t size = strlen(until);
        if (size && gateway_test_heard_size >= size && memmem(gateway_test_heard, gateway_test_heard_size, until, size))
            return;
        if (time(NULL) > end) fail_msg("never heard \"%s\", only: %.2000s", until, gateway_test_heard);
    }
}

void gateway_test_expect(const char *part)
{
    if (!strstr(gateway_test_heard, part)) fail_msg("no \"%s\" in: %.3000s", part, gateway_test_heard);
}

void gateway_test_expect_not(const char *part)
{
    if (strstr(gateway_test_heard, part)) fail_msg("\"%s\" is in: %.3000s", part, gateway_test_heard);
}

void gateway_test_leave(int fd)
{
    close(fd);
}

/* ---- the upstream */

static void hear_request(int fd)
{
    size_t size = 0, whole = SIZE_MAX;
    time_t end = time(NULL) + PATIENCE_S;
    while (size < whole) {
        ssize_t got = recv(fd, gateway_test_asked + size, sizeof gateway_test_asked - 1 - size, 0);
        if (got < 0) assert_int_equal(loop_turn(1000), RC_OK);
        if (time(NULL) > end) fail_msg("the call never came whole");
        if (got == 0) fail_msg("the call broke off");
        if (got < 0) continue;
        size += (size_t)got;
        gateway_test_asked[size] = 0;
        const char *blank = strstr(gateway_test_asked, "\r\n\r\n"),
                   *length = strstr(gateway_test_asked, "Content-Length: ");
        if (blank) whole = (size_t)(blank - gateway_test_asked) + 4 + (length ? strtoul(length + 16, NULL, 10) : 0);
    }
}

static int accept_now(void)
{
    int fd = listener < 0 ? -1 : accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) no_delay(fd);
    return fd;
}

int gateway_test_call(void)
{
    time_t end = time(NULL) + PATIENCE_S;
    int fd;
    while ((fd = accept_now()) < 0) {
        assert_int_equal(loop_turn(1000), RC_OK);
        if (time(NULL) > end) fail_msg("the provider is not called");
    }
    hear_request(fd);
    return fd;
}

int gateway_test_accept(void)
{
    int fd = accept_now();
    assert_true(fd >= 0);
    return fd;
}

size_t gateway_test_drink(int fd)
{
    size_t size = 0;
    ssize_t got;
    gateway_test_settle();
    while ((got = recv(fd, gateway_test_asked, sizeof gateway_test_asked - 1, 0)) > 0) {
        gateway_test_asked[got] = 0;
        size += (size_t)got;
        gateway_test_settle();
    }
    return size;
}

void gateway_test_asked_again(int fd)
{
    hear_request(fd);
}

bool gateway_test_is_called(void)
{
    gateway_test_settle();
    struct pollfd waiting = {.fd = listener, .events = POLLIN};
    return listener >= 0 && poll(&waiting, 1, 0) == 1;
}

void gateway_test_answer(int fd, const char *text)
{
    send_all(fd, text, strlen(text));
}

void gateway_test_answer_bytes(int fd, const void *bytes, size_t size)
{
    send_all(fd, bytes, size);
}

void gateway_test_cut(int fd)
{
    close(fd);
    gateway_test_settle();
}

void gateway_test_reset(int fd)
{
    struct linger at_once = {.l_onoff = 1};
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
    gateway_test_cut(fd);
}

void gateway_test_upstream_down(void)
{
    close(listener);
    listener = -1;
}

void gateway_test_upstream_up(void)
{
    listen_at(port);
}

/* ---- life */

static void write_config(const char *more)
{
    static char text[16384], providers[16384];
    struct text out = text_on(text, sizeof text);
    text_format(&out, "listen: {api: '127.0.0.1:1', admin: '127.0.0.1:2', control: none}\ndata: %s/data\n", folder);
    if (!strstr(more, "semantic:")) text_put_text(&out, "semantic: {embedder: none}\n");
    snprintf(providers, sizeof providers, more, port, port, port, port);
    text_put_text(&out, providers);
    assert_false(out.truncated);
    snprintf(config_path, sizeof config_path, "%s/larder.yaml", folder);
    assert_int_equal(file_replace(config_path, text, out.size, 0600), RC_OK);
}

static void listen_api(const struct config *c)
{
    static char certificate[FILE_PATH_MAX], key[FILE_PATH_MAX], message[TLS_MESSAGE_MAX];
    struct tls_server *tls = NULL;
    if (c->listen.tls_cert.size) {
        snprintf(certificate, sizeof certificate, "%.*s", SPAN_ARG(c->listen.tls_cert));
        snprintf(key, sizeof key, "%.*s", SPAN_ARG(c->listen.tls_key));
        assert_int_equal(tls_server_load(certificate, key, &tls, message), RC_OK);
    }
    assert_int_equal(server_listen(&boot.api, SPAN("127.0.0.1:0"), tls, &boot.api_port), RC_OK);
}

static void apply(void *arg)
{
    char message[320] = "";
    if (gateway_apply(arg, message, sizeof message) != RC_OK) fail_msg("%s", message);
}

void gateway_test_boot(const char *more)
{
    static struct boot_options options;
    struct cache_boot found = {0};
    struct generation *first;
    char message[320] = "";
    folder = store_test_folder();
    listen_at(0);
    write_config(more);
    options.config_path = config_path;
    assert_int_equal(boot_begin(&options, &first), 0);
    assert_int_equal(boot_keep_baseline(), RC_OK);
    assert_int_equal(boot_reserve_all(first->config), RC_OK);
    assert_int_equal(file_make_folder(boot.data, 0700), RC_OK);
    if (cache_open(boot.data, &found) != RC_OK) fail_msg("%s", found.message);
    assert_int_equal(semantic_start(boot.data), RC_OK);
    if (tenants_open(boot.data, message, sizeof message) != RC_OK) fail_msg("%s", message);
    if (gateway_open(boot.data, message, sizeof message) != RC_OK) fail_msg("%s", message);
    gateway_test_fiber(apply, first);
    listen_api(first->config);
}

static void reload(void *arg)
{
    static char said[4096];
    struct text out = text_on(said, sizeof said);
    *(int *)arg = boot_reload(&out);
}

int gateway_test_reload(const char *more)
{
    int rc = RC_EXISTS;
    write_config(more);
    gateway_test_fiber(reload, &rc);
    return rc;
}

void gateway_test_stop(void)
{
    gateway_test_settle();
    assert_int_equal(gateway.in_flight, 0);
    assert_int_equal(server_busy(&boot.api), 0);
    server_stop(&boot.api);
    semantic_stop();
    cache_close();
    offload_stop();
    if (listener >= 0) close(listener);
    store_test_remove(folder);
}

/* ---- ready-made bytes */

const char *gateway_test_chat(const char *fields, const char *body)
{
    static char text[1 << 20];
    snprintf(text, sizeof text,
             "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n%sContent-Length: %zu\r\n\r\n%s", fields,
             strlen(body), body);
    return text;
}

const char *gateway_test_body(const char *question, const char *more)
{
    static char texts[4][4096];
    static unsigned turn;
    char *text = texts[turn++ % 4];
    snprintf(text, sizeof texts[0], GATEWAY_TEST_ASK, question, more);
    return text;
}

const char *gateway_test_object(const char *answer)
{
    static char text[8192], body[4096];
    snprintf(
        body, sizeof body,
        "{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,"
        "\"message\":{\"role\":\"assistant\",\"content\":\"%s\"},\"finish_reason\":\"stop\"}],"
        "\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1,\"total_tokens\":2}}",
        answer);
    snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
             strlen(body), body);
    return text;
}
