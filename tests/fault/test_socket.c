/* SPDX-License-Identifier: Apache-2.0 */
/* tests/fault/test_socket.c — the N-th socket operation of a call fails, for every N until none is left to fail.
 *
 * After each: the call says what happened, nothing is held (places, connections, descriptors, TLS memory), and the next
 * call without a fault succeeds.
 * Link: -Wl,--wrap=recv,--wrap=send,--wrap=sendmsg,--wrap=socket,--wrap=connect,--wrap=epoll_ctl,--wrap=getsockopt
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "platform/heap.h"
#include "platform/rc.h"
#include "tests/support/net_call.h"

/* ---- the operations that can fail */

static atomic_uint countdown; /* 0: off; 1: the next one fails */
static atomic_uint failed_at; /* which kind, for the messages */

ssize_t __real_recv(int fd, void *buffer, size_t size, int flags);
ssize_t __wrap_recv(int fd, void *buffer, size_t size, int flags);
ssize_t __real_send(int fd, const void *data, size_t size, int flags);
ssize_t __wrap_send(int fd, const void *data, size_t size, int flags);
ssize_t __real_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags);
int __real_socket(int family, int type, int protocol);
int __wrap_socket(int family, int type, int protocol);
int __real_connect(int fd, const struct sockaddr *address, socklen_t size);
int __wrap_connect(int fd, const struct sockaddr *address, socklen_t size);
int __real_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event);
int __wrap_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event);
int __real_getsockopt(int fd, int level, int name, void *value, socklen_t *size);
int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *size);

static bool fails(unsigned kind)
{
    unsigned left = atomic_load(&countdown);
    if (left == 0) return false;
    atomic_store(&countdown, left - 1);
    if (left > 1) return false;
    atomic_store(&failed_at, kind);
    return true;
}

/* What does not block is ours; the peers' threads wait in theirs. */
ssize_t __wrap_recv(int fd, void *buffer, size_t size, int flags)
{
    if (!(flags & MSG_DONTWAIT) || !fails(1)) return __real_recv(fd, buffer, size, flags);
    errno = ECONNRESET;
    return -1;
}

ssize_t __wrap_send(int fd, const void *data, size_t size, int flags)
{
    if (!(flags & MSG_DONTWAIT) || !fails(2)) return __real_send(fd, data, size, flags);
    errno = EPIPE;
    return -1;
}

ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags)
{
    if (!fails(3)) return __real_sendmsg(fd, message, flags);
    errno = ECONNRESET;
    return -1;
}

int __wrap_socket(int family, int type, int protocol)
{
    if (!fails(4)) return __real_socket(family, type, protocol);
    errno = EMFILE;
    return -1;
}

int __wrap_connect(int fd, const struct sockaddr *address, socklen_t size)
{
    if (!fails(5)) return __real_connect(fd, address, size);
    errno = ENETUNREACH;
    return -1;
}

int __wrap_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event)
{
    if (operation == EPOLL_CTL_DEL || !fails(6)) return __real_epoll_ctl(epoll, operation, fd, event);
    errno = ENOMEM;
    return -1;
}

int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *size)
{
    if (!fails(7)) return __real_getsockopt(fd, level, name, value, size);
    errno = ENOBUFS;
    return -1;
}

/* ---- two calls in a row: a fresh connection, then the pooled one */

#define REPLY \
    "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"

struct pass {
    struct upstream *upstream;
    int rc;
    char message[UPSTREAM_MESSAGE_MAX];
};

static int one_call(struct pass *p)
{
    struct upstream_call call;
    struct span piece;
    uint64_t deadline = net_test_in_ms(3000);
    size_t size = 0;
    int rc = upstream_begin(p->upstream, &call, SPAN("POST"), SPAN(NET_CALL_HEAD), SPAN("body"), deadline);
    bool begun = rc == RC_OK;
    if (begun) rc = upstream_reply(&call, deadline);
    if (rc == RC_OK) {
        while ((rc = upstream_read(&call, &piece, deadline)) == RC_OK) size += piece.size;
        if (rc == RC_EMPTY) {
            assert_int_equal(size, 2);
            rc = RC_OK;
        }
    }
    memcpy(p->message, call.message, sizeof p->message);
    if (begun) upstream_end(&call);
    return rc;
}

static void two_calls(void *arg)
{
    struct pass *p = arg;
    p->rc = one_call(p);
    if (p->rc == RC_OK) p->rc = one_call(p);
}

static unsigned descriptors(void)
{
    unsigned count = 0;
    for (int fd = 0; fd < 256; fd++) count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static void settle(void *unused)
{
    (void)unused;
    fiber_sleep_until(net_test_in_ms(40)); /* for the peer to see the end */
}

static void nothing_is_held(struct upstream *u, unsigned before, unsigned n)
{
    struct upstream_load load = upstream_load(u);
    assert_int_equal(load.active, 0);
    assert_int_equal(load.queued, 0);
    assert_true(load.idle <= 1);
    net_test_run(settle, NULL);
    for (unsigned i = 0; i < 50 && descriptors() > before + 2 * upstream_load(u).idle; i++) net_test_run(settle, NULL);
    unsigned now = descriptors(), idle = upstream_load(u).idle;
    if (now != before + 2 * idle) /* both ends are here */
        fail_msg("operation %u (kind %u): %u descriptors became %u, %u idle", n, atomic_load(&failed_at), before, now,
                 idle);
}

/* Fails operation 1, 2, 3 … of a pass over a new upstream until a pass needs fewer; how many that were. */
static unsigned fail_each(const struct upstream_options *options)
{
    for (unsigned n = 1; n < 500; n++) {
        struct pass p = {.rc = RC_EXISTS};
        unsigned before = descriptors();
        assert_int_equal(upstream_open(options, &p.upstream), RC_OK);
        atomic_store(&countdown, n);
        net_test_run(two_calls, &p);
        bool done = atomic_exchange(&countdown, 0) != 0;
        if (p.rc != RC_OK) {
            bool named = p.rc == RC_UNREACHABLE || p.rc == RC_CLOSED || p.rc == RC_IO || p.rc == RC_INVALID ||
                         p.rc == RC_FULL;
            if (!named)
                fail_msg("operation %u (kind %u): %s \"%s\"", n, atomic_load(&failed_at), rc_name(p.rc), p.message);
            if (p.message[0] == 0) fail_msg("operation %u (kind %u): no message", n, atomic_load(&failed_at));
        }
        nothing_is_held(p.upstream, before, n);
        net_test_run(two_calls, &p);
        if (p.rc != RC_OK) fail_msg("after operation %u (kind %u): %s", n, atomic_load(&failed_at), p.message);
        upstream_release(p.upstream);
        net_test_run(settle, NULL);
        if (done) return n - 1;
    }
    fail_msg("the fault is never reached");
    return 0;
}

static void serve(struct net_peer *peer, int fd, unsigned index)
{
    char request[512];
    (void)peer;
    (void)index;
    while (net_peer_request(fd, request, sizeof request) > 0 && net_peer_say(fd, REPLY)) continue;
}

static void test_plain_calls(void **state)
{
    struct net_peer peer;
    (void)state;
    net_peer_start(&peer, serve);
    struct upstream_options o = net_call_options(peer.port);
    unsigned operations = fail_each(&o);
    assert_true(operations >= 8);
    net_peer_stop(&peer);
}

static void tls_serve(struct stream *s, unsigned index)
{
    (void)index;
    while (net_tls_peer_request(s)) {
        char body[4];
        size_t done = 0;
        (void)stream_recv_wait(s, body, sizeof body, &done, net_test_in_ms(2000));
        if (stream_send_all(s, REPLY, sizeof REPLY - 1, net_test_in_ms(2000)) != RC_OK) return;
    }
}

static void test_tls_calls(void **state)
{
    struct net_tls_peer peer;
    struct tls_server *server = NULL;
    struct tls_trust *trust = NULL;
    (void)state;
    net_test_identity(&server, &trust);
    net_tls_peer_start(&peer, server, tls_serve);
    struct upstream_options o = net_call_options(peer.port);
    o.tls = true;
    o.trust = trust;
    size_t used = heap_usage(HEAP_MBEDTLS).used;
    unsigned operations = fail_each(&o);
    assert_true(operations >= 20);
    net_tls_peer_stop(&peer);
    assert_true(heap_usage(HEAP_MBEDTLS).used <= used + 8192); /* tables of the generator grow once */
    tls_trust_release(trust);
    tls_server_release(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_calls),
        cmocka_unit_test(test_tls_calls),
    };
    return cmocka_run_group_tests_name("socket faults", tests, net_test_start, NULL);
}
