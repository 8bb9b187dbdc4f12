/* SPDX-License-Identifier: Apache-2.0 */
/* net/server_exchange.c — what a handler does with its exchange, on its fiber. */
#include "net/server_private.h"

#include <arpa/inet.h>

#include "platform/check.h"
#include "platform/clock.h"
#include "platform/rc.h"

enum { BODY_PIECE = 16384 }; /* a body's first buffer: what was announced but has not come costs nothing */

void server_exchange_begin(struct slot *slot, struct span bytes, bool kept)
{
    struct exchange *x = &slot->x;
    x->arena = &slot->arena;
    x->started_us = clock_monotonic_us();
    x->early = span_of(bytes.data + x->head.size, bytes.size - x->head.size);
    x->body = span_of(x->early.data, 0);
    x->kept = kept;
    x->reply_started = x->close_after = false;
    http_chunked_start(&x->chunked);
    x->body_left = x->head.body == HTTP_BODY_SIZED ? x->head.content_length : 0;
    x->body_done = x->head.body == HTTP_BODY_NONE || (x->head.body == HTTP_BODY_SIZED && x->body_left == 0);
    slot->raw = bytes;
    slot->ignore_hangup = slot->continue_sent = false;
    slot->scratch_turn = server_scratch_turn();
}

/* Our own fault when it fails: the handler waited somewhere without exchange_keep. */
static void check_bytes(const struct exchange *x)
{
    CHECK(x->kept || slot_of(x)->scratch_turn == server_scratch_turn());
}

/* ---- keeping */

static void relocate(struct span *s, struct span from, const char *to)
{
    if (s->data >= from.data && s->data <= from.data + from.size) s->data = to + (s->data - from.data);
}

int exchange_keep(struct exchange *x)
{
    if (x->kept) return RC_OK;
    check_bytes(x);
    struct slot *slot = slot_of(x);
    struct span from = slot->raw;
    char *to = arena_take(&slot->arena, from.size, 16);
    if (!to) return RC_FULL;
    memcpy(to, from.data, from.size);
    struct span *spans[] = {&x->head.method, &x->head.target, &x->head.path, &x->head.query, &x->early, &x->body};
    for (size_t i = 0; i < sizeof spans / sizeof *spans; i++) relocate(spans[i], from, to);
    for (unsigned i = 0; i < x->head.field_count; i++) {
        relocate(&x->head.fields[i].name, from, to);
        relocate(&x->head.fields[i].value, from, to);
    }
    slot->raw = span_of(to, from.size);
    x->kept = true;
    return RC_OK;
}

/* ---- the body */

/* Decodes early bytes into `to` (which may be where they are). RC_AGAIN: they are used up. */
static int take_early(struct exchange *x, char *to, size_t capacity, size_t *size)
{
    size_t n = 0;
    int rc = RC_AGAIN;
    while (n < capacity && x->early.size > 0) {
        struct span piece, in = x->early;
        if (in.size > capacity - n) in.size = capacity - n;
        const char *start = in.data;
        if (x->head.body == HTTP_BODY_CHUNKED) {
            rc = http_chunked_run(&x->chunked, &in, &piece);
        } else {
            piece = span_of(in.data, x->body_left < in.size ? (size_t)x->body_left : in.size);
            x->body_left -= piece.size;
            in = span_of(in.data + piece.size, in.size - piece.size);
            rc = x->body_left == 0 ? RC_EMPTY : RC_OK;
        }
        if (rc == RC_INVALID) return rc;
        if (piece.size > 0) memmove(to + n, piece.data, piece.size);
        n += piece.size;
        size_t used = (size_t)(in.data - start);
        x->early = span_of(x->early.data + used, x->early.size - used);
        if (rc == RC_EMPTY) break;
    }
    if (rc == RC_EMPTY) x->body_done = true;
    *size = n;
    return n > 0 ? RC_OK : rc == RC_OK ? RC_AGAIN : rc;
}

bool server_body_is_here(const struct exchange *x, struct span *rest)
{
    *rest = x->early;
    if (x->body_done) return true;
    if (x->head.body == HTTP_BODY_SIZED) {
        if (x->body_left > rest->size) return false;
        *rest = span_of(rest->data + x->body_left, rest->size - (size_t)x->body_left);
        return true;
    }
    struct http_chunked chunked = x->chunked;
    struct span piece;
    int rc;
    do {
        rc = http_chunked_run(&chunked, rest, &piece);
    } while (rc == RC_OK);
    return rc == RC_EMPTY;
}

bool exchange_body_is_here(const struct exchange *x)
{
    struct span rest;
    return server_body_is_here(x, &rest);
}

/* RC_CLOSED when it cannot be sent. A client that has begun its body does not wait for it. */
static int send_continue(struct exchange *x)
{
    static const char line[] = "HTTP/1.1 100 Continue\r\n\r\n";
    struct slot *slot = slot_of(x);
    if (!x->head.expect_continue || slot->continue_sent || x->reply_started) return RC_OK;
    slot->continue_sent = true;
    size_t sent;
    int rc = stream_send(&x->connection->stream, line, sizeof line - 1, &sent);
    return rc == RC_OK && sent == sizeof line - 1 ? RC_OK : RC_CLOSED;
}

/* Some bytes from the socket, waiting for them. */
static int receive(struct exchange *x, char *buffer, size_t capacity, size_t *size)
{
    struct connection *c = x->connection;
    uint64_t deadline = loop_now_us() + c->server->server->limits.body_us;
    bool look_first = c->stream.tls != NULL; /* decrypted bytes make no event */
    for (;;) {
        int rc = c->gone ? RC_CLOSED : RC_AGAIN;
        if (!c->gone && look_first) rc = stream_recv(&c->stream, buffer, capacity, size);
        if (rc == RC_OK) return rc;
        if (rc != RC_AGAIN) {
            server_gone(c);
            return RC_CLOSED;
        }
        rc = server_wait(c, LOOP_READ, deadline);
        if (rc != RC_OK) return rc;
        look_first = true;
    }
}

/* What is behind the body in somebody else's buffer is the next request: it goes to the arena. */
static void keep_rest(struct exchange *x)
{
    if (x->early.size == 0) return;
    x->early = arena_copy(&slot_of(x)->arena, x->early);
    if (!x->early.data) {
        x->early = span_of(NULL, 0);
        x->close_after = true;
    }
}

static int read_more(struct exchange *x, char *buffer, size_t capacity, size_t *size)
{
    int rc = exchange_keep(x);
    if (rc == RC_OK) rc = send_continue(x);
    if (capacity > SERVER_SCRATCH_SIZE) capacity = SERVER_SCRATCH_SIZE; /* so that what follows fits the scratch */
    if (x->head.body == HTTP_BODY_SIZED && x->body_left < capacity) capacity = (size_t)x->body_left;
    while (rc == RC_OK) {
        size_t got;
        rc = receive(x, buffer, capacity, &got);
        if (rc != RC_OK) break;
        x->early = span_of(buffer, got);
        rc = take_early(x, buffer, got, size);
        if (x->body_done) keep_rest(x);
        if (rc != RC_AGAIN) return rc;
        rc = RC_OK; /* framing only */
    }
    return rc;
}

int exchange_body_read(struct exchange *x, void *buffer, size_t capacity, size_t *size)
{
    *size = 0;
    CHECK(capacity > 0 && x->connection);
    check_bytes(x);
    if (x->body_done) return RC_EMPTY;
    if (x->early.size > 0) {
        int rc = take_early(x, buffer, capacity, size);
        if (rc != RC_AGAIN) return rc;
    }
    return read_more(x, buffer, capacity, size);
}

/* The body is read to its end behind what x->body holds, at most `max` bytes. */
static int gather(struct exchange *x, size_t max)
{
    struct arena *arena = &slot_of(x)->arena;
    size_t size = 0, capacity = BODY_PIECE;
    if (x->early.size > capacity) capacity = x->early.size;
    if (capacity > max) capacity = max;
    char *data = arena_take(arena, capacity, 16);
    if (!data) return RC_FULL;
    for (;;) {
        x->body = span_of(data, size);
        if (size == capacity) {
            if (size == max) return RC_TOO_LARGE;
            size_t wanted = capacity > max / 2 ? max : capacity * 2;
            if (arena_extend(arena, data, capacity, wanted) != RC_OK) return RC_FULL;
            capacity = wanted;
        }
        size_t got;
        int rc = exchange_body_read(x, data + size, capacity - size, &got);
        size += got;
        x->body = span_of(data, size);
        if (rc == RC_EMPTY || x->body_done) return RC_OK;
        if (rc != RC_OK) return rc;
    }
}

int exchange_body(struct exchange *x, size_t max, struct span *body)
{
    CHECK(x->connection);
    check_bytes(x);
    int rc = RC_OK;
    if (!x->body_done) {
        bool sized = x->head.body == HTTP_BODY_SIZED;
        if (sized && x->body_left > max) {
            rc = RC_TOO_LARGE;
        } else if (sized && x->early.size >= x->body_left) { /* it came with the head: no copy */
            x->body = span_of(x->early.data, (size_t)x->body_left);
            x->early = span_of(x->early.data + x->body.size, x->early.size - x->body.size);
            x->body_left = 0;
            x->body_done = true;
        } else {
            rc = exchange_keep(x);
            if (rc == RC_OK) rc = gather(x, sized ? (size_t)x->body_left : max);
        }
    }
    *body = x->body;
    if (rc == RC_OK && x->body.size > max) rc = RC_TOO_LARGE;
    return rc;
}

/* ---- the reply */

/* `data` may be a view of the scratch: it is somebody else's after a wait. */
static int wait_to_send(struct exchange *x, const char **data, size_t size)
{
    struct connection *c = x->connection;
    int rc = exchange_keep(x);
    if (rc == RC_OK && server_in_scratch(*data)) {
        *data = arena_copy(x->arena, span_of(*data, size)).data;
        if (!*data) rc = RC_FULL;
    }
    if (rc == RC_OK) rc = server_wait(c, LOOP_WRITE, loop_now_us() + c->server->server->limits.body_us);
    if (rc != RC_OK) server_gone(c); /* the reply is cut: nothing else may follow it */
    return rc;
}

int exchange_send_try(struct exchange *x, const void *data, size_t size, size_t *sent)
{
    struct connection *c = x->connection;
    *sent = 0;
    if (!c || c->gone) return RC_CLOSED;
    x->reply_started = true;
    int rc = stream_send(&c->stream, data, size, sent);
    if (rc == RC_OK || rc == RC_AGAIN) return rc;
    server_gone(c);
    return RC_CLOSED;
}

int exchange_send(struct exchange *x, const void *data, size_t size)
{
    const char *at = data;
    while (size > 0) {
        size_t sent;
        int rc = exchange_send_try(x, at, size, &sent);
        if (rc == RC_OK) {
            at += sent;
            size -= sent;
        } else if (rc == RC_AGAIN) {
            rc = wait_to_send(x, &at, size);
        }
        if (rc != RC_OK) return rc;
    }
    return RC_OK;
}

void exchange_abort(struct exchange *x)
{
    if (x->connection) server_hang_up(x->connection, true);
}

bool exchange_keep_alive(const struct exchange *x)
{
    struct span rest;
    if (!x->connection || x->connection->gone || x->close_after || !x->head.keep_alive) return false;
    return !x->connection->server->draining && server_body_is_here(x, &rest);
}

void exchange_ignore_hangup(struct exchange *x)
{
    slot_of(x)->ignore_hangup = true;
}

/* ---- who is there */

struct span exchange_address(const struct exchange *x)
{
    struct slot *slot = slot_of(x);
    if (slot->address[0] == '\0' && x->connection) {
        const struct in6_addr *a = &x->connection->address;
        bool v4 = IN6_IS_ADDR_V4MAPPED(a);
        (void)inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? a->s6_addr + 12 : a->s6_addr, slot->address,
                        sizeof slot->address);
    }
    return span_text(slot->address);
}

bool exchange_is_loopback(const struct exchange *x)
{
    if (!x->connection) return false;
    const struct in6_addr *a = &x->connection->address;
    return IN6_IS_ADDR_V4MAPPED(a) ? a->s6_addr[12] == 127 : IN6_IS_ADDR_LOOPBACK(a);
}

bool exchange_is_tls(const struct exchange *x)
{
    return x->connection && x->connection->stream.tls;
}

struct server *exchange_server(const struct exchange *x)
{
    return slot_of(x)->server->server;
}
