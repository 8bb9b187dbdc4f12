/* SPDX-License-Identifier: Apache-2.0 */
/* net/server_connection.c — a connection's states, its events and its deadlines.
 *
 * READ and PEER_CLOSED are asked for once, when a connection is accepted, and left alone: a request that is answered at
 * once costs no epoll_ctl. Only an event that nobody wants just now (pipelined bytes while a handler works) drops that
 * interest, and it comes back when the connection reads again.
 */
#include "net/server_private.h"

#include "platform/check.h"
#include "platform/clock.h"
#include "platform/rc.h"

static_assert(offsetof(struct connection, stream.source.source) == 0, "the loop's source is the connection");

/* ---- lists and their deadlines */

static uint64_t time_to_live(const struct server_state *s, enum connection_list list)
{
    switch (list) {
    case LIST_IDLE: return s->server->limits.idle_us;
    case LIST_HEAD: return s->server->limits.header_us;
    case LIST_BLOCKED: return s->server->limits.body_us;
    case LIST_LINGER: return SERVER_LINGER_US;
    case LIST_RESUME: return 0;
    default: return CLOCK_NEVER;
    }
}

static uint64_t deadline_of(const struct connection *c)
{
    uint64_t ttl = time_to_live(c->server, c->list);
    return ttl == CLOCK_NEVER ? CLOCK_NEVER : c->since_us + ttl;
}

static void list_unlink(struct connection *c)
{
    struct connection_chain *chain = &c->server->lists[c->list];
    *(c->before ? &c->before->after : &chain->first) = c->after;
    *(c->after ? &c->after->before : &chain->last) = c->before;
    chain->count--;
}

static void list_append(struct connection *c, enum connection_list list)
{
    struct connection_chain *chain = &c->server->lists[list];
    c->list = (uint8_t)list;
    c->after = NULL;
    c->before = chain->last;
    *(chain->last ? &chain->last->after : &chain->first) = c;
    chain->last = c;
    chain->count++;
}

static void sweep_by(struct server_state *s, uint64_t deadline_us)
{
    if (deadline_us == CLOCK_NEVER) return;
    if (s->sweep.place == 0 || deadline_us < s->sweep.deadline_us) (void)loop_timer_set(&s->sweep, deadline_us);
}

void server_list_put(struct connection *c, enum connection_list list)
{
    list_unlink(c);
    list_append(c, list);
    c->since_us = loop_now_us();
    sweep_by(c->server, deadline_of(c));
}

/* ---- life */

struct connection *server_connection_open(struct server_state *s, int fd, const struct in6_addr *address)
{
    struct connection *c = pool_take(&s->connections);
    CHECK(c);
    memset(c, 0, offsetof(struct connection, attachment));
    c->server = s;
    stream_init(&c->stream, fd);
    c->stream.source.source.ready = server_connection_ready;
    c->address = *address;
    c->state = CONNECTION_IDLE;
    c->since_us = loop_now_us();
    list_append(c, LIST_IDLE);
    sweep_by(s, deadline_of(c));
    server_address_add(&s->addresses, server_address_key(address));
    server_gauge(s, COUNT_CONNECTIONS, COUNT_CONNECTIONS_HIGH, s->connections.used);
    return c;
}

void server_hang_up(struct connection *c, bool reset)
{
    if (c->stream.source.source.fd < 0) return;
    if (!c->gone && c->state != CONNECTION_HANDSHAKE) loop_remove(&c->stream.source.source);
    c->gone = true;
    stream_close(&c->stream, reset);
}

void server_connection_close(struct connection *c, bool reset)
{
    struct server_state *s = c->server;
    server_hang_up(c, reset);
    list_unlink(c);
    if (c->tls) s->tls_count--;
    server_address_remove(&s->addresses, server_address_key(&c->address));
    pool_put(&s->connections, c);
    metric_set(&s->metrics->counts[COUNT_CONNECTIONS], s->connections.used);
    if (s->paused) server_accept_resume(s);
}

void server_gone(struct connection *c)
{
    if (c->gone) return;
    loop_remove(&c->stream.source.source);
    c->gone = true;
    server_count(c->server, COUNT_CLIENT_GONE);
}

int server_want(struct connection *c, unsigned events)
{
    return c->gone ? RC_CLOSED : loop_change(&c->stream.source.source, events);
}

void server_idle(struct connection *c)
{
    if (c->gone || c->server->draining || server_want(c, LOOP_READ | LOOP_PEER_CLOSED) != RC_OK) {
        server_connection_close(c, false);
        return;
    }
    c->state = CONNECTION_IDLE;
    /* Decrypted bytes make no event: they are read from the sweep, which is on nobody's stack. */
    server_list_put(c, c->stream.tls ? LIST_RESUME : LIST_IDLE);
}

/* Closing with unread bytes resets the connection, and the client loses the answer it has not read. */
void server_linger(struct connection *c)
{
    if (c->gone || server_want(c, LOOP_READ | LOOP_PEER_CLOSED) != RC_OK) {
        server_connection_close(c, false);
        return;
    }
    if (!c->stream.tls) (void)shutdown(c->stream.source.source.fd, SHUT_WR);
    c->state = CONNECTION_LINGER;
    c->drained = 0;
    server_list_put(c, LIST_LINGER);
}

static void drain_ready(struct connection *c)
{
    size_t size;
    int rc;
    while ((rc = stream_recv(&c->stream, server_scratch(), SERVER_SCRATCH_SIZE, &size)) == RC_OK) {
        c->drained += (uint32_t)size;
        if (c->drained >= SERVER_LINGER_BYTES) break;
    }
    if (rc != RC_AGAIN) server_connection_close(c, false);
}

/* The slowest head makes room: a client that sends its heads in pieces only ever drives out others that do. */
void server_reader_evict(struct server_state *s)
{
    struct connection *c = s->lists[LIST_HEAD].first;
    while (c && c->slot->cancelled) c = c->after;
    if (!c) return;
    server_count(s, COUNT_EVICTED_HEAD);
    if (c->state == CONNECTION_HANDSHAKE) {
        server_reader_end(c->slot);
        c->slot->cancelled = true;
        fiber_cancel(c->slot->fiber);
        return;
    }
    server_reader_end(c->slot);
    server_slot_put(c->slot);
    server_connection_close(c, false);
}

/* ---- waiting, on the handler's fiber */

int server_wait(struct connection *c, unsigned plain_events, uint64_t deadline_us)
{
    if (c->gone) return RC_CLOSED;
    unsigned events = stream_wants(&c->stream, plain_events);
    int rc = server_want(c, c->stream.source.source.events | events);
    if (rc != RC_OK) return rc;
    c->wait_events = events;
    c->waiter = fiber_self();
    rc = fiber_park(deadline_us);
    c->waiter = NULL;
    if (events & LOOP_WRITE && !c->gone) (void)server_want(c, c->stream.source.source.events & ~(unsigned)LOOP_WRITE);
    return rc;
}

static bool waiter_wakes(struct connection *c, unsigned events)
{
    unsigned wanted = c->wait_events | LOOP_HANGUP;
    if (c->wait_events & LOOP_READ) wanted |= LOOP_PEER_CLOSED;
    if (!c->waiter || !(events & wanted)) return false;
    fiber_wake(c->waiter, RC_OK);
    c->waiter = NULL; /* once: a wake that finds nobody parked would spoil a later wait */
    return true;
}

/* See server.h about PEER_CLOSED. Whoever is being sent to shows by a reset that it is gone. */
static void working_ready(struct connection *c, unsigned events)
{
    if (waiter_wakes(c, events)) return;
    bool ignored = c->slot->ignore_hangup || (c->waiter && c->wait_events & LOOP_WRITE);
    if (events & LOOP_HANGUP || (events & LOOP_PEER_CLOSED && !ignored)) {
        server_gone(c);
        if (!c->slot->ignore_hangup) fiber_cancel(c->slot->fiber);
        return;
    }
    unsigned unwanted = events & (LOOP_READ | LOOP_PEER_CLOSED);
    (void)server_want(c, c->stream.source.source.events & ~unwanted);
}

/* Its next request is about to start from the sweep: bytes can wait, a client that went away is noted. */
static void pipelined_ready(struct connection *c, unsigned events)
{
    if (events & LOOP_HANGUP)
        server_gone(c);
    else
        (void)server_want(c, c->stream.source.source.events & ~events);
}

/* ---- events */

void server_connection_ready(struct loop_source *source, unsigned events)
{
    struct connection *c = (struct connection *)(void *)source;
    switch (c->state) {
    case CONNECTION_IDLE: server_read_request(c); break;
    case CONNECTION_HEAD: server_read_head(c); break;
    case CONNECTION_WORKING: working_ready(c, events); break;
    case CONNECTION_DETACHED: server_detached_ready(c, events); break;
    case CONNECTION_LINGER: drain_ready(c); break;
    case CONNECTION_PIPELINED: pipelined_ready(c, events); break;
    default: check_failed("an event for a connection without a reader", __FILE__, __LINE__);
    }
}

/* ---- deadlines */

static void resume(struct connection *c)
{
    if (c->state == CONNECTION_DETACHED) {
        server_detached_gone(c);
        return;
    }
    if (c->state == CONNECTION_PIPELINED) {
        server_pipelined_run(c);
        return;
    }
    server_list_put(c, LIST_IDLE);
    server_read_request(c);
}

static void head_expired(struct connection *c)
{
    struct slot *slot = c->slot;
    if (c->state == CONNECTION_HANDSHAKE) { /* its fiber's own deadline ends it */
        server_list_put(c, LIST_HEAD);
        return;
    }
    server_reader_end(slot);
    server_slot_put(slot);
    server_refuse(c, NULL, 408, "the head of the request took too long");
}

static void expire(struct connection *c)
{
    switch (c->list) {
    case LIST_IDLE: server_connection_close(c, false); break; /* in silence: clients take a 408 for an answer */
    case LIST_HEAD: head_expired(c); break;
    case LIST_BLOCKED: server_detached_gone(c); break;
    case LIST_LINGER: server_connection_close(c, false); break;
    case LIST_RESUME: resume(c); break;
    default: check_failed("a list without a deadline", __FILE__, __LINE__);
    }
}

void server_sweep(struct loop_timer *timer)
{
    struct server_state *s = (struct server_state *)(void *)timer;
    uint64_t now = loop_now_us(), next = CLOCK_NEVER;
    for (enum connection_list list = LIST_IDLE; list < LISTS; list++) {
        for (unsigned left = s->lists[list].count; left > 0; left--) { /* those that come while at it wait */
            struct connection *c = s->lists[list].first;
            if (!c || deadline_of(c) > now) break;
            expire(c);
        }
        struct connection *first = s->lists[list].first;
        if (first && deadline_of(first) < next) next = deadline_of(first);
    }
    if (s->resume_us != 0 && s->resume_us <= now) server_accept_resume(s);
    if (s->resume_us != 0 && s->resume_us < next) next = s->resume_us;
    sweep_by(s, next);
}
