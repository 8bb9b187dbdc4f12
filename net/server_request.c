/* SPDX-License-Identifier: Apache-2.0 */
/* net/server_request.c — from bytes to a handler on a fiber, and on to the next request.
 *
 * A request that came whole is parsed in the scratch and runs at once; when the handler returns without having waited,
 * the fiber goes on with what follows in the scratch. After a wait what follows is in the arena: it moves back to the
 * scratch, which is free whenever a fiber starts or wakes, because whoever waits has copied its bytes before.
 */
#include "net/server_private.h"

#include "net/tls.h"
#include "platform/check.h"
#include "platform/clock.h"
#include "platform/rc.h"

static _Alignas(64) char scratch[SERVER_SCRATCH_SIZE];
static uint32_t scratch_turn; /* moves on when other bytes come into the scratch */

char *server_scratch(void)
{
    scratch_turn++;
    return scratch;
}

bool server_in_scratch(const void *p)
{
    return (uintptr_t)p >= (uintptr_t)scratch && (uintptr_t)p < (uintptr_t)scratch + sizeof scratch;
}

uint32_t server_scratch_turn(void)
{
    return scratch_turn;
}

/* ---- slots */

struct slot *server_slot_take(struct server_state *s, struct connection *c)
{
    struct slot *slot = pool_take(&s->slots);
    if (!slot) return NULL;
    if (!slot->server) {
        size_t reserve = s->reserved.arena_reserve;
        arena_init(&slot->arena, s->arenas + reserve * pool_index(&s->slots, slot), reserve, s->server->budget);
    }
    slot->x.connection = c;
    slot->server = s;
    slot->fiber = NULL;
    slot->turns = 0;
    slot->working = slot->cancelled = false;
    slot->address[0] = '\0';
    c->slot = slot;
    return slot;
}

static void work_ends(struct slot *slot)
{
    if (!slot->working) return;
    slot->working = false;
    slot->server->working--;
    metric_set(&slot->server->metrics->counts[COUNT_EXCHANGES], slot->server->working);
}

static void arena_empty(struct slot *slot)
{
    struct metric *high = &slot->server->metrics->counts[COUNT_ARENA_HIGH];
    if (slot->arena.high > metric_get(high)) metric_set(high, slot->arena.high);
    arena_reset(&slot->arena, SERVER_ARENA_KEEP);
}

void server_slot_put(struct slot *slot)
{
    work_ends(slot);
    arena_empty(slot);
    if (slot->x.connection) slot->x.connection->slot = NULL;
    pool_put(&slot->server->slots, slot);
}

/* ---- refusals */

void server_refuse(struct connection *c, const struct http_head *head, unsigned status, const char *reason)
{
    static char reply[4096];
    static const struct http_head no_head;
    struct server *server = c->server->server;
    server_count_refusal(c->server, status);
    if (server->refuse && !c->gone) {
        struct text out = text_on(reply, sizeof reply);
        server->refuse(head ? head : &no_head, status, reason, &out);
        size_t sent;
        if (!out.truncated && out.size > 0) (void)stream_send(&c->stream, out.data, out.size, &sent);
    }
    server_linger(c);
}

static void refuse_and_put(struct slot *slot)
{
    struct connection *c = slot->x.connection;
    slot->x.connection = NULL;
    c->slot = NULL;
    server_refuse(c, &slot->x.head, slot->x.head.refusal, slot->x.head.reason);
    server_slot_put(slot);
}

/* ---- a handler at work */

/* Counts the request in; false: it was refused. */
static bool work_begins(struct slot *slot)
{
    struct server_state *s = slot->server;
    if (!slot->working) {
        if (s->working >= s->server->limits.exchanges) {
            slot->x.head.refusal = 503;
            slot->x.head.reason = "too many requests at once";
            return false;
        }
        slot->working = true;
        s->working++;
        server_gauge(s, COUNT_EXCHANGES, COUNT_EXCHANGES_HIGH, s->working);
    }
    server_count(s, COUNT_REQUESTS);
    return true;
}

/* The others get their turn before this client's next request. */
static bool yield(struct slot *slot)
{
    if (++slot->turns % SERVER_PIPELINE_TURNS != 0) return true;
    return exchange_keep(&slot->x) == RC_OK && fiber_sleep_until(loop_now_us() + 1) == RC_OK;
}

static bool drop(struct slot *slot, bool reset)
{
    struct connection *c = slot->x.connection;
    server_slot_put(slot);
    server_connection_close(c, reset);
    return false;
}

/* Goes on with what followed the request that is done. */
static bool pipelined(struct slot *slot, struct span rest)
{
    struct exchange *x = &slot->x;
    if (x->kept) {
        CHECK(rest.size <= SERVER_SCRATCH_SIZE);
        rest = span_of(memcpy(server_scratch(), rest.data, rest.size), rest.size);
    }
    arena_empty(slot);
    int rc = http_parse_request(rest, 0, slot->server->server->limits.header, &x->head);
    if (rc == RC_AGAIN) {
        slot->raw = rest;
        work_ends(slot);
        server_reader_begin(slot);
        return false;
    }
    if (rc != RC_OK || !work_begins(slot)) {
        refuse_and_put(slot);
        return false;
    }
    server_exchange_begin(slot, rest, false);
    return yield(slot) ? true : drop(slot, true);
}

/* After serve has returned: whether this fiber has another request to run. Else its slot is put back or reads a head. */
static bool next_request(struct slot *slot)
{
    struct exchange *x = &slot->x;
    struct connection *c = x->connection;
    if (!c) {
        slot->server->detached_working--;
        server_slot_put(slot);
        return false;
    }
    if (c->gone || !x->reply_started) return drop(slot, true);
    struct span rest;
    bool whole = server_body_is_here(x, &rest);
    bool goes_on = whole && exchange_keep_alive(x);
    if (goes_on && rest.size > 0) return pipelined(slot, rest);
    bool clean = whole && rest.size == 0;
    server_slot_put(slot);
    if (goes_on)
        server_idle(c);
    else if (clean)
        server_connection_close(c, false);
    else
        server_linger(c);
    return false;
}

static void run_requests(void *arg)
{
    struct slot *slot = arg;
    slot->fiber = fiber_self();
    do {
        slot->server->server->serve(&slot->x);
    } while (next_request(slot));
}

static void start(struct slot *slot, struct span bytes, bool kept)
{
    struct connection *c = slot->x.connection;
    struct server_state *s = slot->server;
    if (!work_begins(slot)) {
        refuse_and_put(slot);
        return;
    }
    server_exchange_begin(slot, bytes, kept);
    c->state = CONNECTION_WORKING;
    server_list_put(c, LIST_BUSY);
    if (fiber_start(&s->fibers, run_requests, slot) == RC_OK) return;
    slot->x.head.refusal = 503;
    slot->x.head.reason = "no stack is free";
    refuse_and_put(slot);
}

/* ---- heads */

static void refuse_without_slot(struct connection *c, struct span bytes)
{
    struct http_head *head = &c->server->spare_head;
    int rc = http_parse_request(bytes, 0, c->server->server->limits.header, head);
    server_refuse(c, rc == RC_OK ? head : NULL, 503, "too many requests at once");
}

void server_read_request(struct connection *c)
{
    struct server_state *s = c->server;
    size_t size;
    int rc = stream_recv(&c->stream, server_scratch(), SERVER_SCRATCH_SIZE, &size);
    if (rc == RC_AGAIN) return;
    if (rc != RC_OK) {
        server_connection_close(c, false);
        return;
    }
    struct span bytes = span_of(scratch, size);
    struct slot *slot = server_slot_take(s, c);
    if (!slot) {
        refuse_without_slot(c, bytes);
        return;
    }
    rc = http_parse_request(bytes, 0, s->server->limits.header, &slot->x.head);
    if (rc == RC_OK) {
        start(slot, bytes, false);
    } else if (rc == RC_AGAIN) {
        slot->raw = bytes;
        server_reader_begin(slot);
    } else {
        refuse_and_put(slot);
    }
}

static size_t head_limit(const struct slot *slot)
{
    return slot->server->server->limits.header;
}

/* Goes on reading the head of which slot->raw, in the scratch, is the beginning. */
void server_reader_begin(struct slot *slot)
{
    struct server_state *s = slot->server;
    struct connection *c = slot->x.connection;
    if (s->readers >= s->server->limits.head_readers) server_reader_evict(s);
    size_t capacity = slot->raw.size * 2 > SERVER_HEAD_PIECE ? slot->raw.size * 2 : SERVER_HEAD_PIECE;
    if (capacity > head_limit(slot)) capacity = head_limit(slot);
    slot->buffer = arena_take(&slot->arena, capacity, 1);
    if (!slot->buffer) {
        slot->x.head.refusal = 503;
        slot->x.head.reason = "out of request memory";
        refuse_and_put(slot);
        return;
    }
    memcpy(slot->buffer, slot->raw.data, slot->raw.size);
    slot->buffer_size = slot->raw.size;
    slot->buffer_capacity = capacity;
    s->readers++;
    slot->fiber = NULL;
    if (c->gone || server_want(c, LOOP_READ | LOOP_PEER_CLOSED) != RC_OK) {
        server_reader_end(slot);
        drop(slot, false);
        return;
    }
    c->state = CONNECTION_HEAD;
    server_list_put(c, LIST_HEAD);
}

void server_reader_end(struct slot *slot)
{
    if (slot->cancelled) return; /* was counted out when it was told to end */
    slot->server->readers--;
}

static int reader_grow(struct slot *slot)
{
    if (slot->buffer_size < slot->buffer_capacity) return RC_OK;
    size_t capacity = slot->buffer_capacity * 2 < head_limit(slot) ? slot->buffer_capacity * 2 : head_limit(slot);
    int rc = arena_extend(&slot->arena, slot->buffer, slot->buffer_capacity, capacity);
    if (rc == RC_OK) slot->buffer_capacity = capacity;
    return rc;
}

static void reader_done(struct slot *slot, int rc)
{
    server_reader_end(slot);
    if (rc == RC_OK)
        start(slot, span_of(slot->buffer, slot->buffer_size), true);
    else
        refuse_and_put(slot);
}

void server_read_head(struct connection *c)
{
    struct slot *slot = c->slot;
    int rc;
    do {
        if (reader_grow(slot) != RC_OK) {
            slot->x.head.refusal = 503;
            slot->x.head.reason = "out of request memory";
            reader_done(slot, RC_FULL);
            return;
        }
        size_t size, seen = slot->buffer_size;
        rc = stream_recv(&c->stream, slot->buffer + seen, slot->buffer_capacity - seen, &size);
        if (rc == RC_AGAIN) return;
        if (rc != RC_OK) {
            server_reader_end(slot);
            drop(slot, false);
            return;
        }
        slot->buffer_size += size;
        rc = http_parse_request(span_of(slot->buffer, slot->buffer_size), seen, head_limit(slot), &slot->x.head);
        if (rc != RC_AGAIN) {
            reader_done(slot, rc);
            return;
        }
    } while (c->stream.tls); /* decrypted bytes make no event */
}

/* ---- pipelined bytes of a reply that went on without its exchange */

int server_pipelined_keep(struct connection *c, struct span rest)
{
    struct slot *slot = server_slot_take(c->server, c);
    if (!slot) return RC_FULL;
    char *bytes = arena_take(&slot->arena, rest.size, 16);
    if (!bytes) {
        server_slot_put(slot);
        return RC_FULL;
    }
    memcpy(bytes, rest.data, rest.size);
    slot->raw = span_of(bytes, rest.size);
    c->state = CONNECTION_PIPELINED;
    server_list_put(c, LIST_RESUME);
    return RC_OK;
}

void server_pipelined_run(struct connection *c)
{
    struct slot *slot = c->slot;
    int rc = http_parse_request(slot->raw, 0, head_limit(slot), &slot->x.head);
    if (rc == RC_OK)
        start(slot, slot->raw, true);
    else if (rc == RC_AGAIN)
        server_reader_begin(slot);
    else
        refuse_and_put(slot);
}

/* ---- TLS: a handshake counts as a head that comes in pieces */

static void run_handshake(void *arg)
{
    struct slot *slot = arg;
    struct connection *c = slot->x.connection;
    slot->fiber = fiber_self();
    struct tls_server *tls = (struct tls_server *)(void *)slot->buffer;
    uint64_t deadline = loop_now_us() + slot->server->server->limits.header_us;
    int rc = tls_accept(&c->stream, tls, deadline);
    bool cancelled = slot->cancelled;
    server_reader_end(slot);
    server_slot_put(slot);
    c->state = CONNECTION_IDLE;
    c->gone = true; /* not in the loop yet */
    stream_unwatch(&c->stream);
    c->stream.source.source.ready = server_connection_ready;
    if (rc != RC_OK || cancelled || loop_add(&c->stream.source.source, LOOP_READ | LOOP_PEER_CLOSED) != RC_OK) {
        server_connection_close(c, false);
        return;
    }
    c->gone = false;
    server_idle(c);
}

void server_handshake(struct connection *c, struct tls_server *tls)
{
    struct server_state *s = c->server;
    if (s->readers >= s->server->limits.head_readers) server_reader_evict(s);
    struct slot *slot = server_slot_take(s, c);
    if (!slot) {
        c->gone = true;
        server_connection_close(c, false);
        return;
    }
    s->readers++;
    slot->buffer = (char *)tls;
    c->state = CONNECTION_HANDSHAKE;
    server_list_put(c, LIST_HEAD);
    if (fiber_start(&s->fibers, run_handshake, slot) == RC_OK) return;
    server_reader_end(slot);
    server_slot_put(slot);
    c->gone = true;
    server_connection_close(c, false);
}
