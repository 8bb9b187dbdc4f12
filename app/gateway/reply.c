/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/reply.c — see reply.h. */
#include "app/gateway/reply.h"

#include <stdio.h>

#include "app/gateway/journal.h"
#include "platform/clock.h"
#include "platform/crypto.h"

enum { ERROR_BODY_MAX = 1024 };

static const char *const hit_names[HIT_KINDS] = {"none", "exact", "semantic", "coalesced", "stale", "pack"};

void reply_defaults(struct reply *reply, unsigned status)
{
    *reply = (struct reply){
        .status = status,
        .content_type = "application/json",
        .age_s = -1,
        .upstream_ms = -1,
        .retry_after_s = -1,
        .own_request_id = true,
        .cache_status = "fwd=bypass",
    };
}

void request_id_make(char id[REQUEST_ID_SIZE + 1])
{
    static struct hash_key key;
    static uint64_t counter;
    if (counter == 0) crypto_random(&key, sizeof key);
    counter++;
    struct hash128 h = hash_of(&key, &counter, sizeof counter);
    memcpy(id, "req_", 4);
    hex_encode(&h, sizeof h, id + 4);
    id[REQUEST_ID_SIZE] = 0;
}

static void put_line(struct text *out, const char *name, const char *value)
{
    text_put_text(out, name);
    text_put(out, ": ", 2);
    text_put_text(out, value);
    text_put(out, "\r\n", 2);
}

static void put_number(struct text *out, const char *name, uint64_t value)
{
    text_put_text(out, name);
    text_put(out, ": ", 2);
    text_put_u64(out, value);
    text_put(out, "\r\n", 2);
}

static void put_framing(struct text *out, const struct reply *reply, bool keep_alive, unsigned minor_version)
{
    if (reply->chunked)
        put_line(out, "Transfer-Encoding", "chunked");
    else if (!reply->until_close && reply->status != 204 && reply->status != 304)
        put_number(out, "Content-Length", reply->length);
    if (!keep_alive)
        put_line(out, "Connection", "close");
    else if (minor_version == 0)
        put_line(out, "Connection", "keep-alive");
}

static void put_origin(struct text *out, struct span origin)
{
    if (origin.size == 0) return;
    text_put_text(out, "Access-Control-Allow-Origin: ");
    text_put_span(out, origin);
    text_put_text(out, "\r\nVary: Origin\r\nAccess-Control-Expose-Headers: *\r\n");
}

static void put_larder(struct text *out, const struct reply *reply, uint64_t overhead_us)
{
    text_put_text(out, "Cache-Status: larder; ");
    text_put_text(out, reply->cache_status);
    text_put(out, "\r\n", 2);
    put_line(out, "x-larder-hit", hit_names[reply->hit]);
    if (reply->miss) put_line(out, "x-larder-miss", reply->miss);
    if (reply->entry) put_number(out, "x-larder-entry", reply->entry);
    if (reply->age_s >= 0) put_number(out, "Age", (uint64_t)reply->age_s);
    if (reply->upstream_ms >= 0) put_number(out, "x-larder-upstream-ms", (uint64_t)reply->upstream_ms);
    put_number(out, "x-larder-overhead-us", overhead_us);
    text_format(out, "Server-Timing: larder;dur=%u.%03u", (unsigned)(overhead_us / 1000),
                (unsigned)(overhead_us % 1000));
    if (reply->upstream_ms >= 0) text_format(out, ", upstream;dur=%u", (unsigned)reply->upstream_ms);
    text_put(out, "\r\n", 2);
}

void reply_head(struct text *out, const struct reply *reply, enum dialect dialect, const char *request_id,
                struct span origin, bool keep_alive, unsigned minor_version, uint64_t overhead_us)
{
    char date[30];
    http_date(clock_wall_us(), date);
    text_format(out, "HTTP/1.1 %u %s\r\n", reply->status, http_reason(reply->status));
    put_line(out, "Date", date);
    if (reply->content_type) put_line(out, "Content-Type", reply->content_type);
    put_framing(out, reply, keep_alive, minor_version);
    put_origin(out, origin);
    put_larder(out, reply, overhead_us);
    if (reply->own_request_id) put_line(out, dialect == DIALECT_ANTHROPIC ? "request-id" : "x-request-id", request_id);
    if (reply->retry_after_s >= 0) put_number(out, "Retry-After", (uint64_t)reply->retry_after_s);
    if (reply->should_retry) put_line(out, "x-should-retry", reply->should_retry);
    text_put_span(out, reply->extra);
    text_put(out, "\r\n", 2);
}

void reply_body(struct request *r, struct reply *reply, struct span body)
{
    struct exchange *x = r->x;
    size_t room = REPLY_HEAD_MAX + reply->extra.size + body.size + 1;
    char *buffer = arena_take(x->arena, room, 1);
    uint64_t overhead = clock_monotonic_us() - x->started_us;
    if (!buffer) {
        exchange_abort(x);
        return;
    }
    struct text out = text_on(buffer, room);
    reply->length = body.size;
    reply_head(&out, reply, r->dialect, r->id, r->origin, exchange_keep_alive(x), x->head.minor_version, overhead);
    if (!span_equal(x->head.method, SPAN("HEAD"))) text_put_span(&out, body);
    (void)exchange_send(x, out.data, out.size);
    journal_reply(r, reply->status, reply->hit, reply->miss, -1, overhead);
}

void reply_error_with(struct request *r, struct reply *reply, const char *code, struct span message)
{
    char buffer[ERROR_BODY_MAX];
    struct text body = text_on(buffer, sizeof buffer);
    dialect_error(r->dialect, reply->status, code, message, span_text(r->id), &body);
    if (body.truncated) { /* the message quotes more than fits */
        body = text_on(buffer, sizeof buffer);
        dialect_error(r->dialect, reply->status, code, SPAN("The request cannot be served."), span_text(r->id), &body);
    }
    reply_body(r, reply, text_span(&body));
}

void reply_error(struct request *r, unsigned status, const char *code, const char *cache_status, struct span message)
{
    struct reply reply;
    reply_defaults(&reply, status);
    if (cache_status) reply.cache_status = cache_status;
    reply_error_with(r, &reply, code, message);
}
