/* SPDX-License-Identifier: Apache-2.0 */
/* tests/support/net_test.c — see net_test.h. */
#include "tests/support/net_test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "net/dns.h"
#include "net/upstream.h"
#include "platform/cpu.h"
#include "platform/crypto.h"
#include "platform/metric.h"
#include "platform/offload.h"
#include "platform/rc.h"

static struct fiber_pool fibers;

int net_test_start(void **state)
{
    static const struct tls_limits limits = {
        .sessions_client = NET_TEST_CALLS, .sessions_server = NET_TEST_CONNECTIONS, .resumptions = 4};
    (void)state;
    cpu_detect();
    assert_int_equal(loop_reserve(256), RC_OK);
    assert_int_equal(fiber_pool_reserve(&fibers, "test", 64, 65536, NULL), RC_OK);
    assert_int_equal(tls_reserve(&limits), RC_OK);
    assert_int_equal(crypto_start(), RC_OK);
    assert_int_equal(dns_reserve(getenv("NET_TEST_LAST_GOOD")), RC_OK);
    assert_int_equal(upstream_reserve(NET_TEST_PEERS, NET_TEST_CALLS), RC_OK);
    assert_int_equal(offload_start(2, 32), RC_OK);
    return 0;
}

uint64_t net_test_in_ms(unsigned ms)
{
    return clock_monotonic_us() + (uint64_t)ms * 1000;
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

void net_test_run(void (*run)(void *arg), void *arg)
{
    struct body body = {.run = run, .arg = arg};
    time_t end = time(NULL) + 20;
    assert_int_equal(fiber_start(&fibers, body_run, &body), RC_OK);
    while (!body.done) {
        assert_int_equal(loop_turn(100000), RC_OK);
        if (time(NULL) > end) fail_msg("the test hangs");
    }
}

void net_test_beside(void (*body)(void *arg), void *arg)
{
    assert_int_equal(fiber_start(&fibers, body, arg), RC_OK);
}

unsigned long net_test_metric(const char *name, const char *labels)
{
    static char buffer[128 * 1024];
    struct text out = text_on(buffer, sizeof buffer);
    char series[200];
    (void)metric_render(&out, 0);
    snprintf(series, sizeof series, "\n%s%s%s%s ", name, labels ? "{" : "", labels ? labels : "", labels ? "}" : "");
    const char *found = strstr(buffer, series);
    if (!found) fail_msg("no metric %s", series);
    return strtoul(found + strlen(series), NULL, 10);
}

/* ---- plain peers */

static int listen_any(unsigned *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 32), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    *port = ntohs(address.sin_port);
    return fd;
}

static void no_delay(int fd)
{
    int on = 1;
    assert_int_equal(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), 0);
}

struct worker {
    struct net_peer *peer;
    int fd;
    unsigned index;
};

static void *worker_run(void *arg)
{
    struct worker w = *(struct worker *)arg;
    free(arg);
    w.peer->serve(w.peer, w.fd, w.index);
    close(w.fd);
    return NULL;
}

static void *peer_run(void *arg)
{
    struct net_peer *peer = arg;
    for (;;) {
        int fd = accept(peer->fd, NULL, NULL);
        if (fd < 0 || atomic_load(&peer->stopping)) {
            if (fd >= 0) close(fd);
            return NULL;
        }
        unsigned index = atomic_load(&peer->accepted);
        if (index == NET_TEST_CONNECTIONS) {
            close(fd);
            continue;
        }
        struct worker *w = malloc(sizeof *w);
        *w = (struct worker){peer, fd, index};
        peer->fds[index] = fd;
        atomic_store(&peer->accepted, index + 1); /* before it answers: whoever has the answer may look */
        if (pthread_create(&peer->workers[index], NULL, worker_run, w) != 0) abort();
    }
}

void net_peer_start(struct net_peer *peer, void (*serve)(struct net_peer *peer, int fd, unsigned index))
{
    memset(peer, 0, sizeof *peer);
    peer->serve = serve;
    peer->fd = listen_any(&peer->port);
    assert_int_equal(pthread_create(&peer->thread, NULL, peer_run, peer), 0);
}

void net_peer_stop(struct net_peer *peer)
{
    atomic_store(&peer->stopping, true);
    shutdown(peer->fd, SHUT_RDWR);
    pthread_join(peer->thread, NULL);
    close(peer->fd);
    for (unsigned i = 0; i < atomic_load(&peer->accepted); i++) pthread_join(peer->workers[i], NULL);
}

size_t net_peer_request(int fd, char *buffer, size_t capacity)
{
    size_t size = 0, whole = SIZE_MAX;
    while (size < whole && size + 1 < capacity) {
        ssize_t got = recv(fd, buffer + size, whole == SIZE_MAX ? 1 : capacity - 1 - size, 0);
        if (got <= 0) return 0;
        size += (size_t)got;
        buffer[size] = 0;
        if (whole == SIZE_MAX && strstr(buffer, "\r\n\r\n")) {
            const char *length = strstr(buffer, "Content-Length: ");
            whole = size + (length ? strtoul(length + 16, NULL, 10) : 0);
        }
    }
    return size;
}

bool net_peer_say(int fd, const char *text)
{
    size_t size = strlen(text);
    while (size > 0) {
        ssize_t sent = send(fd, text, size, MSG_NOSIGNAL);
        if (sent <= 0) return false;
        text += sent;
        size -= (size_t)sent;
    }
    return true;
}

void net_peer_pause_ms(unsigned ms)
{
    struct timespec pause = {ms / 1000, (long)(ms % 1000) * 1000000};
    nanosleep(&pause, NULL);
}

void net_peer_reset(int fd)
{
    struct linger at_once = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

int net_test_connect(unsigned port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    no_delay(fd);
    return fd;
}

/* ---- TLS peers */

struct accepted {
    struct net_tls_peer *peer;
    int fd;
    unsigned index;
};

static void tls_serve(void *arg)
{
    struct accepted a = *(struct accepted *)arg;
    struct stream s;
    a.peer->active++;
    stream_init(&s, a.fd);
    if (tls_accept(&s, a.peer->server, net_test_in_ms(5000)) == RC_OK)
        a.peer->serve(&s, a.index);
    else
        a.peer->failed++;
    stream_close(&s, false);
    a.peer->active--;
}

static void tls_peer_run(void *arg)
{
    struct net_tls_peer *peer = arg;
    struct fiber_source source;
    peer->fiber = fiber_self();
    assert_int_equal(fiber_source_add(&source, peer->fd), RC_OK);
    while (!peer->stopping) {
        int rc = fiber_wait(&source, LOOP_READ, CLOCK_NEVER, NULL);
        int fd = accept4(peer->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (rc != RC_OK || fd < 0) continue;
        no_delay(fd);
        struct accepted a = {peer, fd, peer->accepted++};
        assert_int_equal(fiber_start(&fibers, tls_serve, &a), RC_OK); /* copies `a` before it waits */
    }
    fiber_source_remove(&source);
    close(peer->fd);
    peer->stopped = true;
}

void net_test_identity(struct tls_server **server, struct tls_trust **trust)
{
    char message[TLS_MESSAGE_MAX];
    assert_int_equal(tls_server_load(NET_TEST_DATA "ec.pem", NET_TEST_DATA "ec.key", server, message), RC_OK);
    assert_int_equal(tls_trust_load(SPAN("file:" NET_TEST_DATA "root.pem"), SPAN(""), trust, message), RC_OK);
}

void net_tls_peer_start(struct net_tls_peer *peer, struct tls_server *server,
                        void (*serve)(struct stream *s, unsigned index))
{
    *peer = (struct net_tls_peer){.serve = serve, .server = server};
    peer->fd = listen_any(&peer->port);
    assert_int_equal(fcntl(peer->fd, F_SETFL, O_NONBLOCK), 0);
    net_test_beside(tls_peer_run, peer);
}

void net_tls_peer_stop(struct net_tls_peer *peer)
{
    peer->stopping = true;
    fiber_cancel(peer->fiber);
    while (!peer->stopped || peer->active > 0) assert_int_equal(loop_turn(1000), RC_OK);
}

bool net_tls_peer_request(struct stream *s)
{
    char buffer[1024];
    size_t size = 0, done = 0;
    while (size + 1 < sizeof buffer &&
           stream_recv_wait(s, buffer + size, sizeof buffer - 1 - size, &done, net_test_in_ms(5000)) == RC_OK) {
        size += done;
        buffer[size] = 0;
        if (strstr(buffer, "\r\n\r\n")) return true;
    }
    return false;
}
