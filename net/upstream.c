/* SPDX-License-Identifier: Apache-2.0 */
/* net/upstream.c — one exchange: send, skip 1xx, read the head, decode the body. See net/upstream.h.
 *
 * The read buffer holds the head at its front until the call ends; body bytes are read behind it, over and over.
 */
#include "net/upstream.h"

#include <stdio.h>

#include "net/upstream_private.h"
#include "platform/check.h"
#include "platform/clock.h"
#include "platform/metric.h"
#include "platform/rc.h"

static struct metric reuses = {
    .name = "larder_upstream_reuses_total",
    .help = "Calls that went over a connection from the pool.",
};
static struct metric retries = {
    .name = "larder_upstream_stale_retries_total",
    .help = "Calls sent again because a connection from the pool turned out to be dead.",
};
static struct metric bytes_in = {
    .name = "larder_upstream_bytes_total",
    .labels = "direction=\"in\"",
    .help = "Bytes of HTTP to and from upstreams.",
};
static struct metric bytes_out = {
    .name = "larder_upstream_bytes_total",
    .labels = "direction=\"out\"",
    .help = "Bytes of HTTP to and from upstreams.",
};

int upstream_reserve(unsigned upstreams_max, unsigned calls_max)
{
    int rc = upstream_pool_reserve(upstreams_max, calls_max);
    metric_register(&reuses);
    metric_register(&retries);
    metric_register(&bytes_in);
    metric_register(&bytes_out);
    upstream_connect_register();
    return rc;
}

/* After a failed send the peer's last words are here already, or there are none. */
static const uint64_t last_words_us = 100 * 1000;

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t after(uint64_t now_us, uint64_t span_us)
{
    return span_us < CLOCK_NEVER - now_us ? now_us + span_us : CLOCK_NEVER;
}

/* ---- sending */

static int connect_fresh(struct upstream_call *call, uint64_t deadline_us)
{
    struct upstream_connection *c = NULL;
    int rc = upstream_connection_new(call, &c);
    if (rc != RC_OK) {
        upstream_say(call, "%s: every upstream connection is in use", call->upstream->name);
        return rc;
    }
    call->reused = false;
    rc = upstream_connect(call, c, deadline_us);
    if (rc != RC_OK) {
        upstream_connection_end(c, false);
        return rc;
    }
    call->connection = c;
    return RC_OK;
}

/* A peer that refuses may answer and close before it has read everything: then the answer counts, not the failed send. */
static int send_request(struct upstream_call *call, uint64_t deadline_us)
{
    struct stream *s = &call->connection->stream;
    call->held = 0;
    call->cut = false;
    call->head.status = 0; /* none yet; a proxy's may stand there */
    call->sent_us = loop_now_us();
    int rc = stream_send_pair_all(s, call->request_head, call->request_body, deadline_us);
    if (rc == RC_OK) metric_add(&bytes_out, call->request_head.size + call->request_body.size);
    if (rc == RC_TIMEOUT) upstream_say(call, "%s: the request could not be sent in time", call->upstream->name);
    if (rc != RC_CLOSED && rc != RC_IO) return rc;
    call->cut = true;
    return RC_OK;
}

static void connection_drop(struct upstream_call *call)
{
    upstream_connection_end(call->connection, false);
    call->connection = NULL;
}

/* The pooled connection was dead and nothing came back over it: once more, over a fresh one. */
static int again_fresh(struct upstream_call *call, uint64_t deadline_us)
{
    metric_add(&retries, 1);
    connection_drop(call);
    int rc = connect_fresh(call, deadline_us);
    if (rc == RC_OK) rc = send_request(call, deadline_us);
    return rc;
}

static int begin(struct upstream_call *call, uint64_t deadline_us)
{
    call->connection = upstream_idle_take(call->upstream);
    call->reused = call->connection != NULL;
    int rc = RC_OK;
    if (call->reused)
        metric_add(&reuses, 1);
    else
        rc = connect_fresh(call, deadline_us);
    if (rc == RC_OK) rc = send_request(call, deadline_us);
    if (rc == RC_OK && call->cut && call->reused) rc = again_fresh(call, deadline_us);
    return rc;
}

static void call_start(struct upstream *upstream, struct upstream_call *call)
{
    /* The head's fields are large and written before they are read. */
    call->upstream = NULL;
    call->message[0] = 0;
    call->connected_us = call->first_byte_us = 0;
    call->verified = upstream->options.tls;
    call->connection = NULL;
    call->pending = SPAN("");
    call->whole = true;
    call->complete = false;
    call->body_left = 0;
}

int upstream_begin(struct upstream *upstream, struct upstream_call *call, struct span method, struct span head,
                   struct span body, uint64_t deadline_us)
{
    call_start(upstream, call);
    call->method = method;
    call->request_head = head;
    call->request_body = body;
    int rc = upstream_slot_take(upstream, deadline_us);
    if (rc != RC_OK) {
        upstream_say(call, "%s: all %u places for calls at a time are taken", upstream->name,
                     upstream->options.concurrent);
        return rc;
    }
    upstream->users++;
    call->upstream = upstream;
    rc = begin(call, deadline_us);
    if (rc != RC_OK) upstream_end(call);
    return rc;
}

int upstream_probe(struct upstream *upstream, struct upstream_call *call, uint64_t deadline_us)
{
    call_start(upstream, call);
    upstream->users++;
    call->upstream = upstream;
    int rc = connect_fresh(call, deadline_us);
    if (rc == RC_OK) upstream_connection_end(call->connection, true);
    call->connection = NULL;
    call->upstream = NULL;
    upstream_user_drop(upstream);
    return rc;
}

int upstream_send(struct upstream_call *call, const void *data, size_t size, uint64_t deadline_us)
{
    call->whole = false;
    if (call->cut) return RC_CLOSED;
    int rc = stream_send_all(&call->connection->stream, data, size, deadline_us);
    if (rc == RC_OK) metric_add(&bytes_out, size);
    if (rc == RC_CLOSED || rc == RC_IO) call->cut = true;
    call->sent_us = loop_now_us();
    if (rc != RC_OK)
        upstream_say(call, "%s: the request's body could not be sent (%s)", call->upstream->name, rc_name(rc));
    return rc == RC_IO ? RC_CLOSED : rc;
}

/* ---- receiving */

/* Some bytes to `at`. Waits first: a reply is never there yet when its request has just left. */
static int receive(struct upstream_call *call, char *at, size_t capacity, size_t *done, uint64_t deadline_us)
{
    struct stream *s = &call->connection->stream;
    for (;;) {
        int rc = RC_OK;
        if (!stream_has_buffered(s)) rc = stream_wait(s, LOOP_READ, deadline_us);
        if (rc == RC_OK) rc = stream_recv(s, at, capacity, done);
        if (rc == RC_OK) metric_add(&bytes_in, *done);
        if (rc != RC_AGAIN) return rc;
        if (stream_wants(s, LOOP_READ) == LOOP_WRITE) rc = stream_wait(s, LOOP_WRITE, deadline_us);
        if (rc != RC_AGAIN && rc != RC_OK) return rc;
    }
}

static int head_failed(struct upstream_call *call, int rc)
{
    const char *name = call->upstream->name;
    switch (rc) {
    case RC_TIMEOUT: upstream_say(call, "%s: no reply in time", name); return rc;
    case RC_CANCELLED: upstream_say(call, "%s: cancelled", name); return rc;
    case RC_CLOSED:
    case RC_IO: upstream_say(call, "%s: closed the connection before its reply was complete", name); return RC_CLOSED;
    case RC_TOO_LARGE:
        upstream_say(call, "%s: reply head is larger than %d bytes", name, UPSTREAM_HEAD_MAX);
        return RC_INVALID;
    case RC_INVALID:
        upstream_say(call, "%s: not an HTTP reply (%s)", name, call->head.reason ? call->head.reason : "?");
        return rc;
    default: upstream_say(call, "%s: reply lost (%s)", name, rc_name(rc)); return rc;
    }
}

static uint64_t head_until(const struct upstream_call *call)
{
    const struct upstream_options *o = &call->upstream->options;
    if (call->cut) return after(loop_now_us(), last_words_us);
    return call->first_byte_us == 0 ? after(call->sent_us, o->first_byte_us) : after(loop_now_us(), o->idle_us);
}

/* One head; call->held counts it and what came behind it. */
static int head_read(struct upstream_call *call, uint64_t deadline_us)
{
    size_t seen = 0;
    for (;;) {
        if (call->held > 0) {
            struct span bytes = span_of(call->connection->buffer, call->held);
            int rc = http_parse_response(bytes, seen, UPSTREAM_HEAD_MAX, call->method, &call->head);
            if (rc != RC_AGAIN) return rc;
            seen = call->held;
        }
        size_t done = 0;
        int rc = receive(call, call->connection->buffer + call->held, UPSTREAM_BUFFER - call->held, &done,
                         earlier(deadline_us, head_until(call)));
        if (rc == RC_TIMEOUT && call->cut) rc = RC_CLOSED;
        bool dead = (rc == RC_CLOSED || rc == RC_IO) && call->first_byte_us == 0;
        if (dead && call->reused && call->whole) {
            rc = again_fresh(call, deadline_us);
            if (rc != RC_OK) return rc;
            continue;
        }
        if (rc != RC_OK) return rc;
        if (call->first_byte_us == 0) call->first_byte_us = loop_now_us();
        call->held += done;
    }
}

static void body_start(struct upstream_call *call)
{
    size_t head = call->head.size;
    call->connection->body_at = (head + 63) & ~(size_t)63;
    call->pending = span_of(call->connection->buffer + head, call->held - head);
    call->body_left = call->head.content_length;
    call->complete = call->head.body == HTTP_BODY_NONE || (call->head.body == HTTP_BODY_SIZED && call->body_left == 0);
    http_chunked_start(&call->chunked);
}

int upstream_reply(struct upstream_call *call, uint64_t deadline_us)
{
    CHECK(call->connection);
    for (;;) {
        call->head.reason = NULL;
        int rc = head_read(call, deadline_us);
        if (!call->connection) return rc; /* the second connection could not be made: the message is there */
        if (rc == RC_OK && call->head.status == 101) rc = RC_INVALID;
        if (rc != RC_OK) return head_failed(call, rc);
        if (call->head.status >= 200) break;
        call->held -= call->head.size;
        memmove(call->connection->buffer, call->connection->buffer + call->head.size, call->held);
    }
    body_start(call);
    return RC_OK;
}

static int body_fill(struct upstream_call *call, uint64_t deadline_us)
{
    struct upstream_connection *c = call->connection;
    size_t done = 0, room = UPSTREAM_BUFFER - c->body_at;
    uint64_t until = earlier(deadline_us, after(loop_now_us(), call->upstream->options.idle_us));
    int rc = receive(call, c->buffer + c->body_at, room < UPSTREAM_READ_SIZE ? room : UPSTREAM_READ_SIZE, &done, until);
    if (rc == RC_OK) call->pending = span_of(c->buffer + c->body_at, done);
    return rc;
}

static int body_failed(struct upstream_call *call, int rc)
{
    const char *name = call->upstream->name;
    if (rc == RC_TIMEOUT)
        upstream_say(call, "%s: the reply stopped for too long", name);
    else if (rc == RC_CANCELLED)
        upstream_say(call, "%s: cancelled", name);
    else if (rc == RC_INVALID)
        upstream_say(call, "%s: the reply's chunks are malformed", name);
    else
        upstream_say(call, "%s: the reply was cut short", name);
    return rc == RC_IO ? RC_CLOSED : rc;
}

/* Decodes what is pending: RC_OK with a piece, RC_EMPTY at the end, RC_AGAIN when more must be read. */
static int body_take(struct upstream_call *call, struct span *piece)
{
    if (call->complete) return RC_EMPTY;
    if (call->head.body == HTTP_BODY_CHUNKED) {
        int rc;
        do rc = http_chunked_run(&call->chunked, &call->pending, piece);
        while (rc == RC_OK && piece->size == 0);
        call->complete = rc == RC_EMPTY;
        return rc;
    }
    if (call->pending.size == 0) return RC_AGAIN;
    *piece = call->pending;
    if (call->head.body == HTTP_BODY_SIZED) {
        if (piece->size > call->body_left) piece->size = (size_t)call->body_left;
        call->body_left -= piece->size;
        call->complete = call->body_left == 0;
    }
    call->pending = span_of(call->pending.data + piece->size, call->pending.size - piece->size);
    return RC_OK;
}

int upstream_read_ready(struct upstream_call *call, struct span *piece)
{
    *piece = SPAN("");
    int rc = body_take(call, piece);
    return rc == RC_OK || rc == RC_EMPTY || rc == RC_AGAIN ? rc : body_failed(call, rc);
}

int upstream_read(struct upstream_call *call, struct span *piece, uint64_t deadline_us)
{
    *piece = SPAN("");
    for (;;) {
        int rc = body_take(call, piece);
        if (rc == RC_OK || rc == RC_EMPTY) return rc;
        if (rc == RC_AGAIN) rc = body_fill(call, deadline_us);
        if (rc == RC_OK) continue;
        if (rc == RC_CLOSED && call->head.body == HTTP_BODY_UNTIL_CLOSE) {
            call->complete = true;
            return RC_EMPTY;
        }
        return body_failed(call, rc);
    }
}

/* Whether the next exchange may follow on this connection. A caller that has all it wanted need not have read the last
 * chunk: if it is here it is taken. */
static bool reusable(struct upstream_call *call)
{
    struct span rest;
    if (call->first_byte_us == 0 || call->head.status < 200 || call->cut || !call->head.keep_alive) return false;
    if (!call->complete && (call->head.body != HTTP_BODY_CHUNKED || body_take(call, &rest) != RC_EMPTY)) return false;
    return call->pending.size == 0;
}

void upstream_end(struct upstream_call *call)
{
    struct upstream *u = call->upstream;
    if (!u) return;
    if (call->connection) upstream_connection_end(call->connection, reusable(call));
    call->connection = NULL;
    call->upstream = NULL;
    upstream_slot_give(u);
    upstream_user_drop(u);
}
