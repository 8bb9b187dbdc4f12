/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/forward.c — see forward.h. */
#include "app/gateway/forward.h"

#include <stdio.h>

#include "app/gateway/flight.h"
#include "app/gateway/journal.h"
#include "app/gateway/limits.h"
#include "app/gateway/reply.h"
#include "app/gateway/tenants.h"
#include "app/ledger/spend.h"
#include "platform/clock.h"

enum { PIECE_SIZE = 16384, FIRST_MAX = 8192 /* of a body, together with its head */, FRAME_ROOM = 24 };

struct passage {
    struct request *r;
    const struct config_provider *provider;
    unsigned index;
    enum payment payment;
    struct upstream_call call;
    char *buffer; /* PIECE_SIZE + FRAME_ROOM, from its first use on */
    uint64_t deadline_us, asked_us;
    bool chunked_up;
    bool cut_up; /* the provider took no more of the body: it may have said why */
    int client;  /* what is wrong with the client's half; RC_OK: nothing */
};

static bool find_provider(struct passage *p, bool stateless)
{
    const struct config *config = p->r->config;
    for (unsigned i = 0; i < config->route_count; i++) {
        const struct config_route *route = &config->routes[i];
        if (!route->any_dialect && route->dialect != p->r->dialect) continue;
        for (unsigned k = 0; k < route->provider_count; k++) {
            p->index = route->providers[k];
            p->provider = &config->providers[p->index];
            if (p->provider->dialect != p->r->dialect) continue; /* unread bytes cannot be converted */
            p->payment = payment_of(p->r, p->provider);
            if (p->payment == PAY_CLIENT || p->payment == PAY_FREE || (stateless && p->payment == PAY_BOX_KEY))
                return true;
        }
    }
    return false;
}

static int send_bytes_up(struct passage *p, const char *data, size_t size)
{
    int rc = upstream_send(&p->call, data, size, p->deadline_us);
    p->cut_up = rc == RC_CLOSED;
    return rc;
}

static char *buffer_of(struct passage *p)
{
    if (!p->buffer) p->buffer = arena_take(p->r->x->arena, PIECE_SIZE + FRAME_ROOM, 16);
    return p->buffer;
}

/* Sends one run of the request body, as a chunk where the length is not known. */
static int send_up(struct passage *p, const char *data, size_t size)
{
    char head[18];
    if (!p->chunked_up) return send_bytes_up(p, data, size);
    size_t head_size = http_chunk_head(head, size);
    int rc = send_bytes_up(p, head, head_size);
    if (rc == RC_OK) rc = send_bytes_up(p, data, size);
    return rc == RC_OK ? send_bytes_up(p, "\r\n", 2) : rc;
}

/* The client's half: what goes wrong there is not the provider's fault. */
static int read_down(struct passage *p, size_t *size, uint64_t *total)
{
    int rc = exchange_body_read(p->r->x, p->buffer, PIECE_SIZE, size);
    *total += *size;
    if (*total > p->r->config->limits.body) rc = RC_TOO_LARGE;
    if (rc != RC_OK && rc != RC_EMPTY) p->client = rc;
    return rc;
}

static int send_body(struct passage *p, struct span prefix, bool more)
{
    uint64_t total = prefix.size;
    if (!buffer_of(p)) return RC_FULL;
    int rc = prefix.size ? send_up(p, prefix.data, prefix.size) : RC_OK;
    while (rc == RC_OK && more) {
        size_t size = 0;
        rc = read_down(p, &size, &total);
        if (rc == RC_OK && size) rc = send_up(p, p->buffer, size);
    }
    if (rc == RC_EMPTY) rc = RC_OK;
    if (rc == RC_OK && p->chunked_up) rc = send_bytes_up(p, "0\r\n\r\n", 5);
    return rc == RC_CLOSED && p->cut_up ? RC_OK : rc; /* its answer counts, if there is one */
}

static int begin(struct passage *p, struct span prefix, bool more)
{
    struct request *r = p->r;
    struct span head;
    const struct http_head *asked = &r->x->head;
    if (more && prefix.size == 0 && exchange_body_is_here(r->x)) { /* head and body leave in one send */
        int rc = exchange_body(r->x, r->config->limits.body, &prefix);
        if (rc != RC_OK) return p->client = rc;
        more = false;
    }
    int64_t size = (int64_t)prefix.size;
    if (more && asked->body == HTTP_BODY_SIZED)
        size = (int64_t)asked->content_length;
    else if (more)
        size = -1;
    p->chunked_up = size < 0;
    if (upstream_head(r, asked->method, p->provider, p->payment, size, r->x->arena, &head) != RC_OK) return RC_FULL;
    p->asked_us = clock_monotonic_us();
    p->deadline_us = p->asked_us + p->provider->total_us;
    bool whole = !more;
    int rc = upstream_begin(r->generation->upstreams[p->index], &p->call, asked->method, head,
                            whole ? prefix : (struct span){0}, p->deadline_us);
    if (rc == RC_OK && !whole) rc = send_body(p, prefix, more);
    return rc == RC_OK ? upstream_reply(&p->call, p->deadline_us) : rc;
}

/* The beginning of a sized body that came with its head leaves with it. */
static struct span first_piece(struct passage *p)
{
    struct span piece = {0};
    const struct upstream_call *call = &p->call;
    bool here = call->head.body == HTTP_BODY_SIZED && call->pending.size > 0 && call->pending.size <= FIRST_MAX;
    if (!here || upstream_read_ready(&p->call, &piece) != RC_OK) return (struct span){0};
    return piece;
}

static int send_reply_head(struct passage *p, struct reply *reply)
{
    struct request *r = p->r;
    const struct http_head *head = &p->call.head;
    reply_defaults(reply, head->status);
    if (upstream_lines(head, r->x->arena, &reply->extra, &reply->content_type) != RC_OK) return RC_FULL;
    if (limits_lines(r, reply->extra, r->x->arena, &reply->extra) != RC_OK) return RC_FULL;
    char id[REQUEST_ID_SIZE + 1];
    upstream_request_id(head, r->dialect, id);
    reply->own_request_id = id[0] == 0;
    if (id[0]) memcpy(r->id, id, sizeof r->id);
    reply->upstream_ms = (int64_t)((p->call.first_byte_us - p->asked_us) / 1000);
    bool sized = head->body == HTTP_BODY_SIZED || head->body == HTTP_BODY_NONE;
    reply->length = head->body == HTTP_BODY_SIZED ? head->content_length : 0;
    struct span coding = http_field(head, "content-encoding");
    reply->chunked = !sized && r->x->head.minor_version == 1;
    reply->until_close = !sized && !reply->chunked;
    if (reply->until_close) r->x->close_after = true;
    struct span first = first_piece(p);
    size_t room = REPLY_HEAD_MAX + reply->extra.size + coding.size + first.size;
    char *bytes = arena_take(r->x->arena, room, 1);
    if (!bytes) return RC_FULL;
    struct text out = text_on(bytes, room);
    uint64_t total = clock_monotonic_us() - r->x->started_us, waited = p->call.first_byte_us - p->asked_us;
    reply_head(&out, reply, r->dialect, r->id, r->origin, exchange_keep_alive(r->x), r->x->head.minor_version,
               total > waited ? total - waited : 0);
    if (coding.size) { /* passes as it is: back over the blank line, one more field */
        out.size -= 2;
        text_format(&out, "Content-Encoding: %.*s\r\n\r\n", SPAN_ARG(coding));
    }
    text_put_span(&out, first);
    return exchange_send(r->x, out.data, out.size);
}

static int send_down(struct passage *p, const struct reply *reply, struct span piece)
{
    if (!reply->chunked) return exchange_send(p->r->x, piece.data, piece.size);
    int rc = buffer_of(p) ? RC_OK : RC_FULL;
    while (rc == RC_OK && piece.size) {
        size_t size = piece.size < PIECE_SIZE ? piece.size : PIECE_SIZE;
        size_t head = http_chunk_head(p->buffer, size);
        memcpy(p->buffer + head, piece.data, size);
        memcpy(p->buffer + head + size, "\r\n", 2);
        rc = exchange_send(p->r->x, p->buffer, head + size + 2);
        piece = span_of(piece.data + size, piece.size - size);
    }
    return rc;
}

static void relay(struct passage *p)
{
    struct reply reply;
    struct span piece;
    int rc = send_reply_head(p, &reply);
    while (rc == RC_OK && (rc = upstream_read(&p->call, &piece, p->deadline_us)) == RC_OK)
        rc = send_down(p, &reply, piece);
    if (rc == RC_EMPTY && reply.chunked) rc = exchange_send(p->r->x, "0\r\n\r\n", 5);
    if (rc != RC_OK && rc != RC_EMPTY) exchange_abort(p->r->x);
    journal_reply(p->r, reply.status, HIT_NONE, miss_text(MISS_BYPASS, PART_ROUTE), reply.upstream_ms, 0);
}

static void refuse(struct request *r, unsigned status, const char *code, const char *message)
{
    r->x->close_after = true; /* its body may not have been read to the end */
    reply_error(r, status, code, NULL, span_text(message));
}

static void say_client_failed(struct request *r, int rc)
{
    if (rc == RC_TOO_LARGE)
        refuse(r, 413, "request_too_large", "The request body is larger than limits.body of the box.");
    else if (rc == RC_INVALID)
        refuse(r, 400, "invalid_body", "The chunked body is not well formed.");
    else if (rc == RC_TIMEOUT)
        refuse(r, 408, "body_timeout", "The request body did not come in time: see limits.timeouts.body.");
    else
        exchange_abort(r->x); /* the client is gone */
}

static void say_unreachable(struct passage *p, int rc)
{
    char message[CONFIG_ISSUES_MAX * 10];
    struct text out = text_on(message, sizeof message);
    struct reply reply;
    text_format(&out, "Provider %.*s cannot be reached: %s", SPAN_ARG(p->provider->name),
                p->call.message[0] ? p->call.message : rc_name(rc));
    p->r->x->close_after = true;
    reply_defaults(&reply, 503);
    reply.retry_after_s = 5;
    reply.should_retry = "false";
    reply.miss = miss_text(MISS_BYPASS, PART_ROUTE);
    reply_error_with(p->r, &reply, "offline", text_span(&out));
}

static void say_failure(struct passage *p, int rc)
{
    if (p->client != RC_OK)
        say_client_failed(p->r, p->client);
    else if (rc == RC_CANCELLED)
        exchange_abort(p->r->x);
    else if (rc == RC_FULL)
        refuse(p->r, 503, "overloaded", "The box has no room left for this request; try again in a moment.");
    else
        say_unreachable(p, rc);
}

static void pass(struct passage *p, struct span prefix, bool more)
{
    struct provider_health *health = &p->r->generation->health[p->index];
    if (!health_allows(health, p->provider)) {
        say_failure(p, RC_UNREACHABLE);
        return;
    }
    int rc = begin(p, prefix, more);
    if (rc == RC_OK) {
        health_reached(health, &p->call, p->provider);
        relay(p);
    } else {
        if (p->client == RC_OK && rc != RC_CANCELLED && rc != RC_FULL) health_failed(health, p->provider, &p->call, rc);
        say_failure(p, rc);
    }
    upstream_end(&p->call);
}

/* RC_DENIED: the refusal has been sent. */
static int take_limits(struct passage *p, bool more)
{
    struct request *r = p->r;
    struct limit_refusal refusal;
    struct reply reply;
    int rc = limits_take_unread(r, &refusal);
    if (rc == RC_OK) return rc;
    if (rc == RC_TOO_LARGE) {
        if (r->endpoint == ENDPOINT_CHAT)
            refuse(r, 413, "request_too_large",
                   "Tokens or money of this tenant are limited, and a body above limits.parse_max cannot be counted.");
        else
            refuse(r, 403, "not_counted",
                   "Tokens or money of this tenant are limited, and what a call of this path costs cannot be counted.");
        return RC_DENIED;
    }
    r->x->close_after = more;
    reply_defaults(&reply, 429);
    reply.retry_after_s = refusal.retry_after_s;
    reply.cache_status = "fwd=bypass; detail=limit";
    reply_error_with(r, &reply, refusal.code, span_text(refusal.message));
    return RC_DENIED;
}

void forward_stream(struct request *r, bool stateless, struct span prefix, bool more)
{
    struct passage *p = ARENA_NEW(r->x->arena, struct passage);
    if (!p) {
        exchange_abort(r->x);
        return;
    }
    p->r = r;
    if (!find_provider(p, stateless)) {
        r->x->close_after = more;
        reply_error(r, r->tenant.kind == TENANT_VIRTUAL ? 404 : 401, "no_provider", "fwd=bypass",
                    r->tenant.kind == TENANT_VIRTUAL
                        ? SPAN("This path is not served with a virtual key.")
                        : SPAN("This path passes through only with the client's own credential: send an API key."));
        return;
    }
    if (!flight_place_take(r)) {
        flight_place_refuse(r);
        return;
    }
    if (take_limits(p, more) == RC_OK) {
        pass(p, prefix, more);
        limits_settle(r, NULL, 0);
        if (p->payment == PAY_BOX_KEY) spend_add_call(spend_key(&r->tenant), &(struct spend_call){.by_box = true});
    }
    flight_place_give();
}
