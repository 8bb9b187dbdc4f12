/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/again.c — see again.h. */
#include "app/gateway/again.h"

#include "app/gateway/reply.h"
#include "app/gateway/semantic.h"
#include "app/gateway/serve.h"
#include "app/gateway/tenants.h"
#include "app/gateway/upstream_call.h"
#include "platform/clock.h"

/* What an answer may depend on besides the body; credentials are none of it. */
static const char *const kept_fields[] = {"content-type",   "openai-organization", "openai-project",    "openai-beta",
                                          "anthropic-beta", "anthropic-version",   "x-larder-namespace"};
enum { KEPT_FIELDS = sizeof kept_fields / sizeof kept_fields[0] };

static void put_head(struct text *out, const struct request *r)
{
    const struct http_head *head = &r->x->head;
    text_format(out, "POST %.*s", SPAN_ARG(head->path));
    if (head->query.size) text_format(out, "?%.*s", SPAN_ARG(head->query));
    text_put_text(out, " HTTP/1.1\r\nHost: larder\r\n");
    for (unsigned i = 0; i < KEPT_FIELDS; i++) {
        struct span value = http_field(head, kept_fields[i]);
        if (value.size) text_format(out, "%s: %.*s\r\n", kept_fields[i], SPAN_ARG(value));
    }
    text_format(out, "Content-Length: %zu\r\n\r\n", r->body.size);
}

int again_write(const struct request *r, struct arena *arena, struct span *bytes)
{
    size_t room = AGAIN_HEAD_MAX + r->body.size;
    char *buffer = arena_take(arena, room, 1);
    if (!buffer) return RC_FULL;
    struct text out = text_on(buffer, AGAIN_HEAD_MAX);
    put_head(&out, r);
    if (out.truncated) return RC_TOO_LARGE;
    memcpy(buffer + out.size, r->body.data, r->body.size);
    *bytes = span_of(buffer, out.size + r->body.size);
    return RC_OK;
}

static bool is_payable(const struct request *r, unsigned *first)
{
    for (unsigned i = 0; i < r->route->provider_count; i++) {
        enum payment payment = payment_of(r, &r->config->providers[r->route->providers[i]]);
        if (payment != PAY_BOX_KEY && payment != PAY_FREE) continue;
        *first = r->route->providers[i];
        return true;
    }
    return false;
}

static int read_request(struct span bytes, struct arena *arena, struct request *r)
{
    struct exchange *x = r->x;
    int rc = http_parse_request(bytes, 0, AGAIN_HEAD_MAX, &x->head);
    if (rc != RC_OK || bytes.size - x->head.size != x->head.content_length) return RC_INVALID;
    r->body = x->body = span_of(bytes.data + x->head.size, bytes.size - x->head.size);
    x->arena = arena;
    x->kept = x->body_done = true;
    x->started_us = clock_monotonic_us();
    return RC_OK;
}

int again_read(struct span bytes, const struct tenant *tenant, struct arena *arena, struct request **request)
{
    struct request *r = ARENA_NEW(arena, struct request);
    struct span error = {0};
    unsigned first;
    if (r) r->x = ARENA_NEW(arena, struct exchange);
    if (!r || !r->x) return RC_FULL;
    int rc = read_request(bytes, arena, r);
    if (rc != RC_OK) return rc;
    r->generation = gateway.current;
    r->config = gateway.current->config;
    r->tenant = *tenant;
    tenant_find_rules(r);
    r->anonymous_allowed = tenant->kind == TENANT_LOCAL; /* it was when the question came */
    r->directives = (struct directives){.max_age = -1, .max_stale = -1, .stale_if_error = -1};
    if (tenant->kind == TENANT_PASSTHROUGH || !tenant_is_live(tenant)) return RC_NOT_FOUND;
    request_id_make(r->id);
    serve_classify(r);
    if (r->endpoint != ENDPOINT_CHAT) return RC_INVALID;
    rc = serve_read_question(r, &error);
    if (rc != RC_OK) return rc == RC_FULL ? RC_FULL : RC_INVALID;
    if (!r->route || !is_payable(r, &first)) return RC_NOT_FOUND;
    semantic_place(r);
    *request = r;
    return RC_OK;
}

bool again_is_online(const struct request *r)
{
    unsigned first = 0;
    return is_payable(r, &first) && r->generation->health[first].failing_since_us == 0;
}

void again_ask(struct request *r, struct flight_answer *answer)
{
    *answer = (struct flight_answer){0};
    if (!flight_place_take(r)) return;
    generation_hold(r->generation);
    (void)flight_ask(r, answer);
    generation_release(r->generation);
    flight_place_give();
}
