/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_upstream_connect.c — refused connections, second addresses, proxies, TLS. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/dns.h"
#include "platform/rc.h"
#include "tests/support/net_call.h"

/* ---- connecting */

static void test_refused_and_unknown(void **state)
{
    struct net_peer peer;
    (void)state;
    net_peer_start(&peer, net_call_serve_ok);
    net_peer_stop(&peer);
    struct upstream_options o = net_call_options(peer.port);
    struct upstream *u = net_call_open(&o);
    net_call(u);
    assert_int_equal(outcome.begin, RC_UNREACHABLE);
    char expected[100];
    snprintf(expected, sizeof expected, "connect to 127.0.0.1 (127.0.0.1:%u): connection refused", peer.port);
    assert_string_equal(outcome.message, expected);
    assert_int_equal(upstream_load(u).active, 0);
    upstream_release(u);
}

static void test_second_address_is_tried(void **state)
{
    struct net_peer peer;
    (void)state;
    net_peer_start(&peer, net_call_serve_ok); /* on 127.0.0.1 only; localhost has ::1 too */
    struct upstream_options o = net_call_options(peer.port);
    o.host = SPAN("localhost");
    struct upstream *u = net_call_open(&o);
    net_call(u);
    net_call_expect("ok");
    upstream_release(u);
    net_peer_stop(&peer);
}

/* A listener on 127.0.0.2 whose queue is full: the kernel drops what else comes, as a dead address does. */
struct deaf {
    int fd, waiting[3];
};

static void deaf_open(struct deaf *d, unsigned port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    assert_int_equal(inet_pton(AF_INET, "127.0.0.2", &address.sin_addr), 1);
    d->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(d->fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(d->fd, 0), 0);
    for (unsigned i = 0; i < 3; i++) {
        d->waiting[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        (void)connect(d->waiting[i], (struct sockaddr *)&address, sizeof address);
    }
}

static void deaf_close(struct deaf *d)
{
    for (unsigned i = 0; i < 3; i++) close(d->waiting[i]);
    close(d->fd);
}

static void test_dead_address_costs_its_head_start_once(void **state)
{
    static const char hosts[] = "127.0.0.2 two.test\n127.0.0.1 two.test\n127.0.0.2 dead.test\n";
    char path[] = "/tmp/larder-test-hosts-XXXXXX";
    struct net_peer peer;
    struct deaf deaf;
    (void)state;
    int fd = mkstemp(path);
    assert_int_equal(write(fd, hosts, sizeof hosts - 1), sizeof hosts - 1);
    close(fd);
    dns_files_set("/dev/null", path);
    net_peer_start(&peer, net_call_serve_ok);
    deaf_open(&deaf, peer.port);
    struct upstream_options o = net_call_options(peer.port);
    o.host = SPAN("two.test");
    o.idle_keep_us = 0; /* each call connects */
    struct upstream *u = net_call_open(&o);
    for (unsigned i = 0; i < 3; i++) {
        uint64_t before = clock_monotonic_us();
        net_call(u);
        net_call_expect("ok");
        uint64_t took = clock_monotonic_us() - before;
        assert_true(i == 0 ? took >= 249000 : took < 200000); /* then the one that answered goes first */
    }
    upstream_release(u);
    o.host = SPAN("dead.test");
    o.connect_us = 100000;
    u = net_call_open(&o);
    net_call(u);
    assert_int_equal(outcome.begin, RC_UNREACHABLE);
    net_call_expect_message("connect to dead.test (127.0.0.2:");
    net_call_expect_message("no answer in time");
    upstream_release(u);
    deaf_close(&deaf);
    net_peer_stop(&peer);
    unlink(path);
}

/* ---- proxies */

struct relay {
    unsigned target;
    const char *answer; /* instead of connecting */
    atomic_uint seen_authorization;
};

static void *pump(void *arg)
{
    int *fds = arg;
    char buffer[4096];
    ssize_t got;
    while ((got = recv(fds[0], buffer, sizeof buffer, 0)) > 0) {
        if (send(fds[1], buffer, (size_t)got, MSG_NOSIGNAL) != got) break;
    }
    shutdown(fds[1], SHUT_WR);
    return NULL;
}

static void serve_proxy(struct net_peer *peer, int fd, unsigned index)
{
    struct relay *relay = peer->arg;
    char request[1024], expected[64];
    (void)index;
    if (net_peer_request(fd, request, sizeof request) == 0) return;
    snprintf(expected, sizeof expected, "CONNECT larder.test:%u HTTP/1.1\r\nHost: larder.test:%u\r\n", relay->target,
             relay->target);
    if (strncmp(request, expected, strlen(expected)) != 0) {
        (void)net_peer_say(fd, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        return;
    }
    if (strstr(request, "\r\nProxy-Authorization: Basic dTpw\r\n")) atomic_fetch_add(&relay->seen_authorization, 1);
    if (relay->answer) {
        (void)net_peer_say(fd, relay->answer);
        return;
    }
    int target = net_test_connect(relay->target);
    (void)fcntl(target, F_SETFL, 0);
    (void)net_peer_say(fd, "HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n");
    int up[2] = {fd, target}, down[2] = {target, fd};
    pthread_t thread;
    if (pthread_create(&thread, NULL, pump, up) != 0) abort();
    pump(down);
    shutdown(fd, SHUT_RDWR);
    pthread_join(thread, NULL);
    close(target);
}

static struct upstream_options through(unsigned proxy_port, unsigned port)
{
    struct upstream_options o = net_call_options(port);
    o.host = SPAN("larder.test");
    o.proxy_host = SPAN("127.0.0.1");
    o.proxy_port = proxy_port;
    o.proxy_authorization = SPAN("Basic dTpw");
    return o;
}

static void test_through_a_proxy(void **state)
{
    struct net_peer target, proxy;
    (void)state;
    net_peer_start(&target, net_call_serve_ok);
    net_peer_start(&proxy, serve_proxy);
    struct relay relay = {.target = target.port};
    proxy.arg = &relay;
    struct upstream_options o = through(proxy.port, target.port);
    struct upstream *u = net_call_open(&o);
    for (unsigned i = 0; i < 3; i++) {
        net_call(u);
        net_call_expect("ok");
        assert_int_equal(outcome.reused, i > 0);
    }
    assert_int_equal(atomic_load(&relay.seen_authorization), 1);
    upstream_release(u);
    net_peer_stop(&proxy);
    net_peer_stop(&target);
}

static void test_proxies_that_refuse(void **state)
{
    static const struct {
        const char *answer, *message;
    } cases[] = {
        {"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 3\r\n\r\nno!", "status 407 (its credentials"},
        {"HTTP/1.1 502 Bad Gateway\r\n\r\n", "refuses to connect to larder.test: status 502"},
        {"SSH-2.0\r\n\r\n", "its answer is not HTTP"},
        {"HTTP/1.1 200 OK\r\n\r\nextra", "its answer is not HTTP"},
        {"", "it closed the connection"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct net_peer proxy;
        struct relay relay = {.target = 9, .answer = cases[i].answer};
        net_peer_start(&proxy, serve_proxy);
        proxy.arg = &relay;
        struct upstream_options o = through(proxy.port, 9);
        struct upstream *u = net_call_open(&o);
        net_call(u);
        assert_int_equal(outcome.begin, RC_UNREACHABLE);
        net_call_expect_message(cases[i].message);
        upstream_release(u);
        net_peer_stop(&proxy);
        if (i > 0) continue;
        u = net_call_open(&o); /* and nobody there at all */
        net_call(u);
        assert_int_equal(outcome.begin, RC_UNREACHABLE);
        net_call_expect_message("connection refused");
        upstream_release(u);
    }
}

/* ---- TLS */

static void tls_answer(struct stream *s, unsigned index)
{
    (void)index;
    while (net_tls_peer_request(s)) {
        char body[4];
        size_t done = 0;
        (void)stream_recv_wait(s, body, sizeof body, &done, net_test_in_ms(50));
        if (stream_send_all(s, NET_CALL_OK, sizeof NET_CALL_OK - 1, net_test_in_ms(2000)) != RC_OK) return;
    }
}

static void test_over_tls(void **state)
{
    struct net_tls_peer peer;
    struct tls_server *server = NULL;
    struct tls_trust *trust = NULL;
    (void)state;
    net_test_identity(&server, &trust);
    net_tls_peer_start(&peer, server, tls_answer);
    struct upstream_options o = net_call_options(peer.port);
    o.tls = true;
    o.trust = trust;
    struct upstream *u = net_call_open(&o);
    for (unsigned i = 0; i < 5; i++) {
        net_call(u);
        net_call_expect("ok");
        assert_true(outcome.verified);
        assert_int_equal(outcome.reused, i > 0);
    }
    assert_int_equal(upstream_load(u).idle, 1);
    upstream_release(u);
    o.host = SPAN("wrong.localhost");
    u = net_call_open(&o);
    net_call(u);
    assert_int_equal(outcome.begin, RC_UNTRUSTED);
    net_call_expect_message("connect to wrong.localhost:");
    net_call_expect_message("it is for another name");
    upstream_release(u);
    net_tls_peer_stop(&peer);
    tls_trust_release(trust);
    tls_server_release(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused_and_unknown),
        cmocka_unit_test(test_second_address_is_tried),
        cmocka_unit_test(test_dead_address_costs_its_head_start_once),
        cmocka_unit_test(test_through_a_proxy),
        cmocka_unit_test(test_proxies_that_refuse),
        cmocka_unit_test(test_over_tls),
    };
    return cmocka_run_group_tests_name("upstream connections", tests, net_test_start, NULL);
}
