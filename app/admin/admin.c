/* SPDX-License-Identifier: Apache-2.0 */
/* app/admin/admin.c — see admin.h. */
#include "app/admin/admin.h"

#include "app/boot.h"
#include "app/gateway/access.h"
#include "platform/crypto.h"
#include "platform/file.h"
#include "platform/log.h"
#include "platform/metric.h"

enum { METRICS_TEXT_MAX = 256 << 10, READY_TEXT_MAX = 8 << 10, TOKEN_SIZE = 40, TOKEN_MAX = 256 };

static char token[TOKEN_MAX];
static size_t token_size;

static void make_token(const char *path)
{
    unsigned char random[TOKEN_SIZE / 2];
    crypto_random(random, sizeof random);
    hex_encode(random, sizeof random, token);
    token_size = TOKEN_SIZE;
    int rc = file_replace(path, token, token_size, 0600);
    if (rc == RC_OK)
        log_info("admin", "made an admin token, kept in %s", path);
    else
        log_warn("admin", "cannot keep the admin token in %s: %s", path, rc_name(rc));
}

int admin_open(const char *data_folder, struct span configured)
{
    char folder[FILE_PATH_MAX], path[FILE_PATH_MAX];
    if (configured.size > sizeof token) return RC_TOO_LARGE;
    token_size = configured.size;
    if (configured.size) {
        memcpy(token, configured.data, configured.size);
        return RC_OK;
    }
    if (file_join(folder, data_folder, "keys") != RC_OK || file_join(path, folder, "admin-token") != RC_OK)
        return RC_TOO_LARGE;
    int rc = file_read(path, token, sizeof token, &token_size);
    if (rc == RC_OK && token_size >= TOKEN_SIZE / 2) return RC_OK;
    make_token(path);
    return RC_OK;
}

static void reply(struct exchange *x, unsigned status, const char *type, struct span body)
{
    char head[512];
    struct text out = text_on(head, sizeof head);
    text_format(&out, "HTTP/1.1 %u %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nCache-Control: no-store\r\n%s\r\n",
                status, http_reason(status), type, body.size, exchange_keep_alive(x) ? "" : "Connection: close\r\n");
    if (exchange_send(x, out.data, out.size) == RC_OK && !span_equal(x->head.method, SPAN("HEAD")))
        (void)exchange_send(x, body.data, body.size);
}

static bool may_read(const struct exchange *x)
{
    struct span sent = http_field(&x->head, "authorization");
    if (gateway.current->config->admin_read_loopback && exchange_is_loopback(x)) return true;
    if (!span_starts_with(sent, SPAN("Bearer ")) || token_size == 0) return false;
    sent = span_of(sent.data + 7, sent.size - 7);
    return sent.size == token_size && crypto_equal(sent.data, token, token_size);
}

static void serve_metrics(struct exchange *x)
{
    char *bytes = arena_take(x->arena, METRICS_TEXT_MAX, 1);
    if (!bytes) {
        reply(x, 503, "text/plain", SPAN("no memory for this reply just now\n"));
        return;
    }
    if (exchange_keep(x) != RC_OK) {
        exchange_abort(x);
        return;
    }
    (void)boot_private_measure();
    struct text out = text_on(bytes, METRICS_TEXT_MAX);
    (void)metric_render(&out, 0);
    reply(x, 200, "text/plain; version=0.0.4; charset=utf-8", text_span(&out));
}

/* What a load balancer reads is the status; the lines are for people. Ready without a provider too: what is stored is
 * served. */
static void serve_ready(struct exchange *x)
{
    char *bytes = arena_take(x->arena, READY_TEXT_MAX, 1);
    if (!bytes || !boot_is_ready()) {
        boot_is_ready() ? reply(x, 200, "text/plain", SPAN("ready\n"))
                        : reply(x, 503, "text/plain", SPAN("not ready\n"));
        return;
    }
    struct text out = text_on(bytes, READY_TEXT_MAX);
    text_put_text(&out, "ready\n");
    if (may_read(x)) health_print(gateway.current, &out);
    reply(x, 200, "text/plain", text_span(&out));
}

static bool is_foreign(const struct exchange *x)
{
    struct span host = http_field(&x->head, "host"), origin = http_field(&x->head, "origin");
    if (host.data && !access_host_known(host, &gateway.current->config->access.hosts)) return true;
    return origin.data && !access_origin_same(origin, host);
}

void admin_serve(struct exchange *x)
{
    struct span path = x->head.path;
    bool get = span_equal(x->head.method, SPAN("GET")) || span_equal(x->head.method, SPAN("HEAD"));
    if (x->head.body != HTTP_BODY_NONE) x->close_after = true;
    if (is_foreign(x))
        reply(x, 403, "text/plain", SPAN("this Host or Origin may not use the admin port: see access.hosts\n"));
    else if (!get)
        reply(x, 405, "text/plain", SPAN("the admin port answers GET\n"));
    else if (span_equal(path, SPAN("/healthz")))
        reply(x, 200, "text/plain", SPAN("ok\n"));
    else if (span_equal(path, SPAN("/readyz")))
        serve_ready(x);
    else if (!may_read(x))
        reply(x, 401, "text/plain",
              SPAN("send the admin token as Authorization: Bearer (it lies in <data>/keys/admin-token)\n"));
    else if (span_equal(path, SPAN("/metrics")))
        serve_metrics(x);
    else
        reply(x, 404, "text/plain", SPAN("the admin port serves /metrics, /healthz and /readyz\n"));
}

void admin_refuse(const struct http_head *head, unsigned status, const char *reason, struct text *out)
{
    (void)head;
    text_format(out,
                "HTTP/1.1 %u %s\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s\n",
                status, http_reason(status), strlen(reason) + 1, reason);
}
