/* SPDX-License-Identifier: Apache-2.0 */
/* tests/support/net_test.h — a lane for tests of net, and peers to talk to on loopback.
 *
 * Plain peers run on threads of their own with blocking sockets, so that they share nothing with what is tested.
 * TLS peers run on fibers of the same lane.
 */
#ifndef TESTS_SUPPORT_NET_TEST_H
#define TESTS_SUPPORT_NET_TEST_H

#include <pthread.h>
#include <stdatomic.h>

#include "net/stream.h"
#include "net/tls.h"
#include "platform/clock.h"

#define NET_TEST_DATA "tests/data/tls/"

enum { NET_TEST_CALLS = 8, NET_TEST_PEERS = 4, NET_TEST_CONNECTIONS = 24 };

/* Group set-up: the modules of net with small bounds, clock at 2026-11-21. Once a program. */
int net_test_start(void **state);
/* Runs `body` on a fiber and turns the loop until it has ended; fails the test after 20 s. */
void net_test_run(void (*body)(void *arg), void *arg);
/* One more fiber, beside the one that runs. */
void net_test_beside(void (*body)(void *arg), void *arg);
uint64_t net_test_in_ms(unsigned ms); /* a deadline */
/* A counter or gauge by name and labels (NULL: none), as rendered. */
unsigned long net_test_metric(const char *name, const char *labels);

struct net_peer {
    void (*serve)(struct net_peer *peer, int fd, unsigned index); /* one connection, counted from 0; closes nothing */
    void *arg;
    unsigned port;
    int fd;
    atomic_uint accepted;
    atomic_bool stopping;
    pthread_t thread;
    pthread_t workers[NET_TEST_CONNECTIONS];
    int fds[NET_TEST_CONNECTIONS];
};

/* Listens on 127.0.0.1; `serve` runs on a thread for each connection. */
void net_peer_start(struct net_peer *peer, void (*serve)(struct net_peer *peer, int fd, unsigned index));
void net_peer_stop(struct net_peer *peer);
/* Reads a head and a sized body; the number of bytes, 0 when the connection ended first. Terminated. */
size_t net_peer_request(int fd, char *buffer, size_t capacity);
bool net_peer_say(int fd, const char *text);
void net_peer_pause_ms(unsigned ms);
void net_peer_reset(int fd); /* the next close is an abort */

/* The certificate of net_tls_peers (localhost, 127.0.0.1), and who trusts it. */
void net_test_identity(struct tls_server **server, struct tls_trust **trust);

struct net_tls_peer {
    void (*serve)(struct stream *s, unsigned index); /* on a fiber, after the handshake */
    struct tls_server *server;
    unsigned port, accepted, failed, active;
    bool stopping, stopped;
    struct fiber *fiber;
    int fd;
};
void net_tls_peer_start(struct net_tls_peer *peer, struct tls_server *server,
                        void (*serve)(struct stream *s, unsigned index));
void net_tls_peer_stop(struct net_tls_peer *peer);
/* Fiber: reads up to the blank line. */
bool net_tls_peer_request(struct stream *s);
int net_test_connect(unsigned port); /* a non-blocking socket, connected */

#endif
