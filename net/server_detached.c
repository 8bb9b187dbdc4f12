/* SPDX-License-Identifier: Apache-2.0 */
/* net/server_detached.c — replies that go on without a fiber: a follower costs its connection and nothing else. */
#include "net/server_private.h"

#include "platform/check.h"
#include "platform/rc.h"

struct connection *exchange_detach(struct exchange *x, const struct connection_owner *owner)
{
    struct connection *c = x->connection;
    CHECK(c && c->state == CONNECTION_WORKING);
    CHECK(x->body_done);
    c->keep = exchange_keep_alive(x) && x->early.size == 0; /* until somebody keeps the pipelined bytes */
    c->rest = (struct span){0};
    c->owner = owner;
    c->state = CONNECTION_DETACHED;
    c->slot = NULL;
    c->wait_events = 0;
    memset(c->attachment, 0, sizeof c->attachment);
    (void)exchange_address(x); /* while it can be asked */
    x->connection = NULL;
    c->server->detached_working++;
    if (c->gone)
        server_list_put(c, LIST_RESUME); /* its owner is told from the loop, not from in here */
    else
        (void)server_want(c, c->stream.source.source.events | LOOP_PEER_CLOSED);
    return c;
}

struct span exchange_pipelined(const struct exchange *x)
{
    return exchange_keep_alive(x) ? x->early : (struct span){0};
}

void connection_pipelined(struct connection *c, struct span rest)
{
    CHECK(c->state == CONNECTION_DETACHED && rest.size <= SERVER_SCRATCH_SIZE);
    c->rest = rest;
    c->keep = true;
}

void *connection_attachment(struct connection *c)
{
    return c->attachment;
}

bool connection_keep_alive(const struct connection *c)
{
    return c->keep && !c->gone && !c->server->draining;
}

void connection_close_after(struct connection *c)
{
    c->keep = false;
}

int connection_send_try(struct connection *c, const void *data, size_t size, size_t *sent)
{
    CHECK(c->state == CONNECTION_DETACHED);
    *sent = 0;
    if (c->gone) return RC_CLOSED;
    int rc = stream_send(&c->stream, data, size, sent);
    if (rc == RC_AGAIN) {
        c->wait_events = stream_wants(&c->stream, LOOP_WRITE);
        rc = server_want(c, c->stream.source.source.events | c->wait_events);
        if (c->list != LIST_BLOCKED) server_list_put(c, LIST_BLOCKED); /* the deadline runs */
        return rc == RC_OK ? RC_AGAIN : RC_CLOSED;
    }
    if (rc != RC_OK) {
        server_gone(c);
        server_list_put(c, LIST_RESUME);
        return RC_CLOSED;
    }
    if (c->list == LIST_BLOCKED) server_list_put(c, LIST_BUSY);
    return RC_OK;
}

void server_detached_gone(struct connection *c)
{
    server_gone(c);
    c->state = CONNECTION_ENDING;
    c->owner->gone(c);
    server_connection_close(c, true);
}

void server_detached_ready(struct connection *c, unsigned events)
{
    bool sending = c->list == LIST_BLOCKED; /* a client that is gone resets what it is sent */
    if (events & LOOP_HANGUP || (events & LOOP_PEER_CLOSED && !sending)) {
        server_detached_gone(c);
        return;
    }
    unsigned wanted = events & c->wait_events;
    if (wanted == 0) { /* pipelined bytes, or room that nobody asked for any more */
        (void)server_want(c, c->stream.source.source.events & ~events);
        return;
    }
    c->wait_events = 0;
    if (c->list == LIST_BLOCKED) server_list_put(c, LIST_BUSY);
    c->owner->writable(c); /* may end the connection */
}

void connection_finish(struct connection *c)
{
    CHECK(c->state == CONNECTION_DETACHED);
    bool keep = connection_keep_alive(c);
    c->owner = NULL;
    if (keep && c->rest.size > 0)
        keep = server_pipelined_keep(c, c->rest) == RC_OK;
    else if (keep)
        server_idle(c);
    if (!keep) server_connection_close(c, false);
}

void connection_abort(struct connection *c)
{
    if (c->state == CONNECTION_ENDING) return; /* asked from within its gone() */
    CHECK(c->state == CONNECTION_DETACHED);
    server_connection_close(c, true);
}
