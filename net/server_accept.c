/* SPDX-License-Identifier: Apache-2.0 */
/* net/server_accept.c — listeners, and who is let in. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include "net/server_private.h"
#include "platform/clock.h"
#include "platform/log.h"
#include "platform/rc.h"

enum { ACCEPT_BATCH = 64, BACKLOG = 1024 };

#define RETRY_US (CLOCK_SECOND / 10)
#define LOG_EVERY_US (10 * CLOCK_SECOND)

static void listeners_want(struct server_state *s, unsigned events)
{
    for (unsigned i = 0; i < s->listener_count; i++) (void)loop_change(&s->listeners[i].source, events);
}

static void pause_accepting(struct server_state *s)
{
    s->paused = true;
    listeners_want(s, 0);
}

void server_accept_resume(struct server_state *s)
{
    s->paused = false;
    s->resume_us = 0;
    if (!s->draining) listeners_want(s, LOOP_READ);
}

/* Refusals come in floods: one line in ten seconds, the counters have the rest. */
static void refused(struct server_state *s, enum server_count why, const char *text)
{
    server_count(s, why);
    if (loop_now_us() < s->next_log_us) return;
    s->next_log_us = loop_now_us() + LOG_EVERY_US;
    log_warn("net", "%s: connections are refused: %s (larder_server_refused_total counts them)", s->server->name, text);
}

/* Whether another connection has, or can be given, a place. */
static bool has_room(const struct server_state *s)
{
    return s->connections.used < s->server->limits.connections || s->lists[LIST_IDLE].first;
}

/* The one that has been idle for longest makes room. */
static void make_room(struct server_state *s)
{
    if (s->connections.used < s->server->limits.connections) return;
    server_count(s, COUNT_EVICTED_IDLE);
    server_connection_close(s->lists[LIST_IDLE].first, false);
}

static struct in6_addr address_of(const struct sockaddr_storage *peer)
{
    struct in6_addr address = {0};
    if (peer->ss_family == AF_INET6) return ((const struct sockaddr_in6 *)(const void *)peer)->sin6_addr;
    if (peer->ss_family != AF_INET) return address;
    address.s6_addr[10] = address.s6_addr[11] = 0xff;
    memcpy(address.s6_addr + 12, &((const struct sockaddr_in *)(const void *)peer)->sin_addr, 4);
    return address;
}

static bool admitted(struct server_state *s, const struct in6_addr *address, bool tls)
{
    const struct server_limits *limits = &s->server->limits;
    if (server_address_count(&s->addresses, server_address_key(address)) >= limits->connections_per_address) {
        refused(s, COUNT_REFUSED_ADDRESS, "one address holds limits.connections_per_address of them");
        return false;
    }
    if (tls && s->tls_count >= limits->tls_connections) {
        refused(s, COUNT_REFUSED_TLS, "limits.tls_connections is reached");
        return false;
    }
    return true;
}

static void take(struct listener *listener, int fd, const struct in6_addr *address)
{
    struct server_state *s = listener->server;
    struct connection *c;
    if (!admitted(s, address, listener->tls != NULL)) {
        close(fd);
        return;
    }
    make_room(s);
    c = server_connection_open(s, fd, address);
    server_count(s, COUNT_ACCEPTED);
    if (listener->tls) {
        c->tls = true;
        s->tls_count++;
        server_handshake(c, listener->tls);
    } else if (loop_add(&c->stream.source.source, LOOP_READ | LOOP_PEER_CLOSED) != RC_OK) {
        refused(s, COUNT_REFUSED_SYSTEM, "the system takes no further descriptor to watch");
        server_connection_close(c, true);
    }
}

/* No descriptor or memory: level-triggered readiness would spin, so look again later. */
static void accept_failed(struct server_state *s)
{
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ECONNABORTED || errno == EINTR) return;
    refused(s, COUNT_REFUSED_SYSTEM, strerror(errno));
    pause_accepting(s);
    s->resume_us = loop_now_us() + RETRY_US;
    if (s->sweep.place == 0 || s->sweep.deadline_us > s->resume_us) (void)loop_timer_set(&s->sweep, s->resume_us);
}

static void listener_ready(struct loop_source *source, unsigned events)
{
    (void)events;
    struct listener *listener = (struct listener *)(void *)source;
    struct server_state *s = listener->server;
    for (unsigned n = 0; n < ACCEPT_BATCH && !s->paused; n++) {
        if (!has_room(s)) {
            refused(s, COUNT_REFUSED_FULL, "limits.connections is reached and none is idle; they wait in the backlog");
            pause_accepting(s);
            return;
        }
        struct sockaddr_storage peer;
        socklen_t size = sizeof peer;
        int fd = accept4(source->fd, (struct sockaddr *)&peer, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            accept_failed(s);
            return;
        }
        struct in6_addr address = address_of(&peer);
        take(listener, fd, &address);
    }
}

/* ---- listening */

/* "127.0.0.1:8080", "[::1]:8080" */
static int parse_address(struct span text, struct sockaddr_storage *address, socklen_t *size)
{
    size_t colon = text.size;
    while (colon > 0 && text.data[colon - 1] != ':') colon--;
    uint64_t port;
    if (colon < 2 || span_to_u64(span_of(text.data + colon, text.size - colon), 65535, &port) != RC_OK)
        return RC_INVALID;
    struct span host = span_of(text.data, colon - 1);
    bool v6 = host.size > 2 && host.data[0] == '[' && host.data[host.size - 1] == ']';
    if (v6) host = span_of(host.data + 1, host.size - 2);
    char name[INET6_ADDRSTRLEN];
    if (host.size >= sizeof name) return RC_INVALID;
    memcpy(name, host.data, host.size);
    name[host.size] = '\0';
    memset(address, 0, sizeof *address);
    struct sockaddr_in *in = (struct sockaddr_in *)(void *)address;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)(void *)address;
    if (v6)
        in6->sin6_port = htons((uint16_t)port);
    else
        in->sin_port = htons((uint16_t)port);
    address->ss_family = v6 ? AF_INET6 : AF_INET;
    *size = v6 ? sizeof *in6 : sizeof *in;
    void *bytes = v6 ? (void *)&in6->sin6_addr : (void *)&in->sin_addr;
    return inet_pton(address->ss_family, name, bytes) == 1 ? RC_OK : RC_INVALID;
}

static int bind_and_listen(int fd, const struct sockaddr_storage *address, socklen_t size)
{
    int on = 1, off = 0;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* accepted sockets inherit it */
    if (address->ss_family == AF_INET6) (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (bind(fd, (const struct sockaddr *)address, size) == 0 && listen(fd, BACKLOG) == 0) return RC_OK;
    if (errno == EADDRINUSE) return RC_EXISTS;
    if (errno == EACCES || errno == EPERM) return RC_DENIED;
    return errno == EADDRNOTAVAIL || errno == EAFNOSUPPORT ? RC_UNREACHABLE : RC_IO;
}

static unsigned port_of(int fd)
{
    struct sockaddr_storage bound = {0};
    socklen_t size = sizeof bound;
    if (getsockname(fd, (struct sockaddr *)&bound, &size) != 0) return 0;
    return ntohs(bound.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)(void *)&bound)->sin6_port
                                             : ((struct sockaddr_in *)(void *)&bound)->sin_port);
}

int server_listen(struct server *server, struct span address, struct tls_server *tls, unsigned *port_out)
{
    struct server_state *s = server->state;
    struct sockaddr_storage bound;
    socklen_t size;
    int rc = parse_address(address, &bound, &size);
    if (rc != RC_OK) return rc;
    if (s->listener_count == SERVER_LISTENERS_MAX) return RC_FULL;
    int fd = socket(bound.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return errno == EAFNOSUPPORT ? RC_UNREACHABLE : RC_IO;
    rc = bind_and_listen(fd, &bound, size);
    struct listener *listener = &s->listeners[s->listener_count];
    *listener = (struct listener){.source = {.fd = fd, .ready = listener_ready}, .server = s, .tls = tls};
    if (rc == RC_OK) rc = loop_add(&listener->source, LOOP_READ);
    if (rc != RC_OK) {
        close(fd);
        return rc;
    }
    s->listener_count++;
    if (port_out) *port_out = port_of(fd);
    return RC_OK;
}

void server_listeners_close(struct server_state *s)
{
    for (unsigned i = 0; i < s->listener_count; i++) {
        loop_remove(&s->listeners[i].source);
        close(s->listeners[i].source.fd);
    }
    s->listener_count = 0;
}
