/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/forward.c — see forward.h. */
#include "app/gateway/forward.h"

#include <stdio.h>

#include "app/gateway/journal.h"
#include "app/gateway/reply.h"
#include "app/gateway/tenants.h"
#include "platform/clock.h"

enum { PIECE_SIZE = 16384, FRAME_ROOM = 24 };

struct passage {
    struct request *r;
    const struct config_provider *provider;
    unsigned index;
    enum payment payment;
    struct upstream_call call;
    char *buffer; /* PIECE_SIZE + FRAME_ROOM */
    uint64_t deadline_us, asked_us;
    bool chunked_up;
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
            p->payment = payment_of(p->r, p->provider);
            if (p->payment == PAY_CLIENT || p->payment == PAY_FREE || (stateless && p->payment == PAY_BOX_KEY))
                return true;
        }
    }
    return false;
}

/* Sends one run of the request body, as a chunk where the length is not known. */
static int send_up(struct passage *p, const char *data, size_t size)
{
    char head[18];
    if (!p->chunked_up) return upstream_send(&p->call, data, size, p->deadline_us);
    size_t head_size = http_chunk_head(head, size);
    int rc = upstream_send(&p->call, head, head_size, p->deadline_us);
    if (rc == RC_OK) rc = upstream_send(&p->call, data, size, p->deadline_us);
    return rc == RC_OK ? upstream_send(&p->call, "\r\n", 2, p->deadline_us) : rc;
}

static int send_body(struct passage *p, struct span prefix, bool more)
{
    uint64_t total = prefix.size;
    int rc = prefix.size ? send_up(p, prefix.data, prefix.size) : RC_OK;
    while (rc == RC_OK && more) {
        size_t size = 0;
        rc = exchange_body_read(p->r->x, p->buffer, PIECE_SIZE, &size);
        total += size;
        if (total > p->r->config->limits.body) return RC_TOO_LARGE;
        if (rc == RC_OK && size) rc = send_up(p, p->buffer, size);
    }
    if (rc == RC_EMPTY) rc = RC_OK;
    if (rc == RC_OK && p->chunked_up) rc = upstream_send(&p->call, "0\r\n\r\n", 5, p->deadline_us);
    return rc;
}

static int begin(struct passage *p, struct span prefix, bool more)
{
    struct request *r = p->r;
    struct span head;
    const struct http_head *asked = &r->x->head;
    int64_t size = (int64_t)prefix.size;
    if (more && asked->body == HTTP_BODY_SIZED)
        size = (int64_t)asked->content_length;
    else if (more)
        size = -1;
    p->chunked_up = size < 0;
    p->buffer = arena_take(r->x->arena, PIECE_SIZE + FRAME_ROOM, 16);
    if (!p->buffer || upstream_head(r, asked->method, p->provider, p->payment, size, r->x->arena, &head) != RC_OK)
        return RC_FULL;
    p->asked_us = clock_monotonic_us();
    p->deadline_us = p->asked_us + p->provider->total_us;
    bool whole = !more;
    int rc = upstream_begin(r->generation->upstreams[p->index], &p->call, asked->method, head,
                            whole ? prefix : (struct span){0}, p->deadline_us);
    if (rc == RC_OK && !whole) rc = send_body(p, prefix, more);
    return rc == RC_OK ? upstream_reply(&p->call, p->deadline_us) : rc;
}

static int send_reply_head(struct passage *p, struct reply *reply)
{
    struct request *r = p->r;
    const struct http_head *head = &p->call.head;
    const char *type;
    reply_defaults(reply, head->status);
    reply->extra = upstream_lines(head, r->x->arena, &type);
    reply->content_type = type;
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
    size_t room = REPLY_HEAD_MAX + reply->extra.size + coding.size;
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
    return exchange_send(r->x, out.data, out.size);
}

static int send_down(struct passage *p, const struct reply *reply, struct span piece)
{
    if (!reply->chunked) return exchange_send(p->r->x, piece.data, piece.size);
    int rc = RC_OK;
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

static void say_failure(struct passage *p, int rc)
{
    struct request *r = p->r;
    char message[CONFIG_ISSUES_MAX * 10];
    struct text out = text_on(message, sizeof message);
    if (rc == RC_CANCELLED || rc == RC_CLOSED) {
        exchange_abort(r->x);
        return;
    }
    if (rc == RC_TOO_LARGE) {
        r->x->close_after = true;
        reply_error(r, 413, "request_too_large", NULL, SPAN("The request body is larger than limits.body of the box."));
        return;
    }
    text_format(&out, "Provider %.*s cannot be reached: %s", SPAN_ARG(p->provider->name),
                p->call.message[0] ? p->call.message : rc_name(rc));
    r->x->close_after = true; /* its body may not have been read to the end */
    struct reply reply;
    reply_defaults(&reply, 503);
    reply.retry_after_s = 5;
    reply.should_retry = "false";
    reply.miss = miss_text(MISS_BYPASS, PART_ROUTE);
    reply_error_with(r, &reply, "offline", text_span(&out));
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
    struct provider_health *health = &r->generation->health[p->index];
    int rc = health_allows(health, p->provider) ? begin(p, prefix, more) : RC_UNREACHABLE;
    if (rc == RC_OK) {
        health_reached(health, &p->call, p->provider);
        relay(p);
    } else {
        if (rc != RC_CANCELLED && rc != RC_FULL && rc != RC_TOO_LARGE)
            health_failed(health, p->provider, p->call.message);
        say_failure(p, rc);
    }
    upstream_end(&p->call);
}
