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

static void put_line(struct text *out, struct span name, const char *value)
{
    text_put_span(out, name);
    text_put(out, ": ", 2);
    text_put_text(out, value);
    text_put(out, "\r\n", 2);
}

static void put_number(struct text *out, struct span name, uint64_t value)
{
    text_put_span(out, name);
    text_put(out, ": ", 2);
    text_put_u64(out, value);
    text_put(out, "\r\n", 2);
}

static void put_framing(struct text *out, const struct reply *reply, bool keep_alive, unsigned minor_version)
{
    if (reply->chunked)
        put_line(out, SPAN("Transfer-Encoding"), "chunked");
    else if (!reply->until_close && reply->status != 204 && reply->status != 304)
        put_number(out, SPAN("Content-Length"), reply->length);
    if (!keep_alive)
        put_line(out, SPAN("Connection"), "close");
    else if (minor_version == 0)
        put_line(out, SPAN("Connection"), "keep-alive");
}

static void put_origin(struct text *out, struct span origin)
{
    if (origin.size == 0) return;
    text_put_text(out, "Access-Control-Allow-Origin: ");
    text_put_span(out, origin);
    text_put_text(out, "\r\nVary: Origin\r\nAccess-Control-Expose-Headers: *\r\n");
}

static void put_timing(struct text *out, const struct reply *reply, uint64_t overhead_us)
{
    unsigned part = (unsigned)(overhead_us % 1000);
    char decimals[] = {'.', (char)('0' + part / 100), (char)('0' + part / 10 % 10), (char)('0' + part % 10)};
    text_put_text(out, "Server-Timing: larder;dur=");
    text_put_u64(out, overhead_us / 1000);
    text_put(out, decimals, sizeof decimals);
    if (reply->upstream_ms >= 0) {
        text_put_text(out, ", upstream;dur=");
        text_put_u64(out, (uint64_t)reply->upstream_ms);
    }
    text_put(out, "\r\n", 2);
}

const char *reply_date(uint64_t wall_us)
{
    static char date[REPLY_DATE_SIZE + 1];
    static uint64_t second = UINT64_MAX;
    if (wall_us / CLOCK_SECOND != second) {
        second = wall_us / CLOCK_SECOND;
        http_date(wall_us, date);
    }
    return date;
}

static void put_larder(struct text *out, const struct reply *reply, uint64_t overhead_us)
{
    text_put_text(out, "Cache-Status: larder; ");
    text_put_text(out, reply->cache_status);
    text_put(out, "\r\n", 2);
    put_line(out, SPAN("x-larder-hit"), hit_names[reply->hit]);
    if (reply->miss) put_line(out, SPAN("x-larder-miss"), reply->miss);
    if (reply->entry) put_number(out, SPAN("x-larder-entry"), reply->entry);
    if (reply->similarity > 0) text_format(out, "x-larder-similarity: %.4f\r\n", (double)reply->similarity);
    if (reply->age_s >= 0) put_number(out, SPAN("Age"), (uint64_t)reply->age_s);
    if (reply->upstream_ms >= 0) put_number(out, SPAN("x-larder-upstream-ms"), (uint64_t)reply->upstream_ms);
    put_number(out, SPAN("x-larder-overhead-us"), overhead_us);
    put_timing(out, reply, overhead_us);
}

void reply_head(struct text *out, const struct reply *reply, enum dialect dialect, const char *request_id,
                struct span origin, bool keep_alive, unsigned minor_version, uint64_t overhead_us)
{
    text_put_text(out, "HTTP/1.1 ");
    text_put_u64(out, reply->status);
    text_put_char(out, ' ');
    text_put_text(out, http_reason(reply->status));
    text_put_text(out, "\r\nDate: ");
    text_put(out, reply_date(clock_wall_us()), REPLY_DATE_SIZE);
    text_put(out, "\r\n", 2);
    if (reply->content_type) put_line(out, SPAN("Content-Type"), reply->content_type);
    put_framing(out, reply, keep_alive, minor_version);
    put_origin(out, origin);
    put_larder(out, reply, overhead_us);
    if (reply->own_request_id)
        put_line(out, dialect == DIALECT_ANTHROPIC ? SPAN("request-id") : SPAN("x-request-id"), request_id);
    if (reply->retry_after_s >= 0) put_number(out, SPAN("Retry-After"), (uint64_t)reply->retry_after_s);
    if (reply->should_retry) put_line(out, SPAN("x-should-retry"), reply->should_retry);
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
