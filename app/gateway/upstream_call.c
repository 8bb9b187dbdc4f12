/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/upstream_call.c — see upstream_call.h. */
#include "app/gateway/upstream_call.h"

#include "app/gateway/access.h"
#include "app/gateway/limits.h"
#include "app/gateway/tenants.h"

enum {
    HEAD_EXTRA = 1024,
    CONTENT_TYPE_MAX = 256 /* of a reply; a longer one is left out */,
};

/* A credential that is neither a virtual key nor proven counts as none where nobody is paid. */
bool payment_is_welcome(const struct request *r)
{
    return r->tenant.kind == TENANT_VIRTUAL || r->anonymous_allowed ||
           (r->tenant.kind == TENANT_PASSTHROUGH && tenant_is_proven(&r->tenant));
}

enum payment payment_of(const struct request *r, const struct config_provider *provider)
{
    bool keyless = provider->key.size == 0 && !provider->passthrough;
    if (r->rules[0] && !limits_allow_provider(r, (unsigned)(provider - r->config->providers))) return PAY_NONE;
    if (r->tenant.kind == TENANT_VIRTUAL && provider->key.size) return PAY_BOX_KEY;
    bool theirs = provider->dialect == r->dialect; /* a credential goes to no provider of another API */
    if (r->tenant.kind == TENANT_PASSTHROUGH && provider->passthrough && theirs) return PAY_CLIENT;
    return keyless && payment_is_welcome(r) ? PAY_FREE : PAY_NONE;
}

/* Fields of the request that never go up: framing and credentials are written anew, the rest belongs to this hop, to a
 * browser, or to us. */
static const struct span kept_back[] = {
    SPAN_ROW("host"),
    SPAN_ROW("content-length"),
    SPAN_ROW("transfer-encoding"),
    SPAN_ROW("expect"),
    SPAN_ROW("authorization"),
    SPAN_ROW("x-api-key"),
    SPAN_ROW("accept-encoding"),
    SPAN_ROW("origin"),
    SPAN_ROW("referer"),
    SPAN_ROW("cookie"),
    SPAN_ROW("forwarded"),
    SPAN_ROW("via"),
    SPAN_ROW("prefer"),
    SPAN_ROW("proxy-authorization"),
};

static const struct span stays_with_origin[] = {
    SPAN_ROW("set-cookie"),
    SPAN_ROW("set-cookie2"),
    SPAN_ROW("alt-svc"),
    SPAN_ROW("strict-transport-security"),
    SPAN_ROW("content-length"),
    SPAN_ROW("transfer-encoding"),
    SPAN_ROW("content-encoding"),
    SPAN_ROW("content-type"),
    SPAN_ROW("date"),
    SPAN_ROW("server"),
    SPAN_ROW("age"),
    SPAN_ROW("cache-status"),
    SPAN_ROW("connection"),
    SPAN_ROW("keep-alive"),
    SPAN_ROW("access-control-allow-origin"),
    SPAN_ROW("access-control-expose-headers"),
    SPAN_ROW("x-should-retry"),
    SPAN_ROW("server-timing"),
    SPAN_ROW("trailer"),
};

static bool among(struct span name, const struct span *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (name.size == list[i].size && span_equal_nocase(name, list[i])) return true;
    return false;
}

static bool begins(struct span name, struct span prefix)
{
    return name.size >= prefix.size && span_equal_nocase(span_of(name.data, prefix.size), prefix);
}

static bool goes_up(const struct http_head *head, struct span name)
{
    return !among(name, kept_back, sizeof kept_back / sizeof kept_back[0]) && !begins(name, SPAN("x-larder-")) &&
           !begins(name, SPAN("x-forwarded-")) && !http_is_hop_by_hop(head, name);
}

static void put_path(struct text *out, const struct request *r, const struct config_provider *provider)
{
    struct span path = r->x->head.path;
    bool bridged = provider->dialect != r->dialect && r->endpoint == ENDPOINT_CHAT;
    if (bridged) path = provider->dialect == DIALECT_OPENAI ? SPAN("/v1/chat/completions") : SPAN("/v1/messages");
    text_put_span(out, provider->base_path);
    bool has_version = provider->dialect == DIALECT_OPENAI && provider->base_path.size > 0;
    if (has_version && span_starts_with(path, SPAN("/v1/"))) path = span_of(path.data + 3, path.size - 3);
    text_put_span(out, path);
    if (r->x->head.query.size && !bridged) {
        text_put_char(out, '?');
        text_put_span(out, r->x->head.query);
    }
}

static void put_field(struct text *out, struct span name, struct span value)
{
    text_put_span(out, name);
    text_put(out, ": ", 2);
    text_put_span(out, value);
    text_put(out, "\r\n", 2);
}

/* A virtual key never leaves the box, also when it comes beside a credential that does. */
static bool is_of_this_box(struct span credential)
{
    return span_starts_with(access_secret(credential), SPAN("lk-"));
}

static void put_credential(struct text *out, const struct request *r, const struct config_provider *provider,
                           enum payment payment)
{
    if (payment == PAY_CLIENT) {
        struct span authorization = http_field(&r->x->head, "authorization");
        struct span key = http_field(&r->x->head, "x-api-key");
        if (authorization.data && !is_of_this_box(authorization)) put_field(out, SPAN("Authorization"), authorization);
        if (key.data && !is_of_this_box(key)) put_field(out, SPAN("x-api-key"), key);
    } else if (payment == PAY_BOX_KEY && provider->dialect == DIALECT_ANTHROPIC) {
        put_field(out, SPAN("x-api-key"), provider->key);
    } else if (payment == PAY_BOX_KEY) {
        text_put_text(out, "Authorization: Bearer ");
        text_put_span(out, provider->key);
        text_put(out, "\r\n", 2);
    }
}

static void put_host(struct text *out, const struct config_provider *provider)
{
    text_put_text(out, "Host: ");
    bool v6 = memchr(provider->host.data, ':', provider->host.size) != NULL;
    text_put_text(out, v6 ? "[" : "");
    text_put_span(out, provider->host);
    text_put_text(out, v6 ? "]" : "");
    if (provider->port != (provider->tls ? 443u : 80u)) {
        text_put_char(out, ':');
        text_put_u64(out, provider->port);
    }
    text_put(out, "\r\n", 2);
}

static bool has_header(const struct config_provider *provider, struct span name)
{
    for (unsigned i = 0; i < provider->header_count; i++)
        if (span_equal_nocase(provider->headers[i].name, name)) return true;
    return false;
}

/* The client's fields are its own dialect's (versions, betas, what its library is): to a provider of the other one goes
 * only what the converted request needs. */
static void put_bridged_fields(struct text *out, const struct request *r, const struct config_provider *provider)
{
    struct span agent = http_field(&r->x->head, "user-agent");
    if (agent.size) put_field(out, SPAN("User-Agent"), agent);
    text_put_text(out, "Accept: application/json, text/event-stream\r\nContent-Type: application/json\r\n");
    if (provider->dialect == DIALECT_ANTHROPIC && !has_header(provider, SPAN("anthropic-version")))
        text_put_text(out, "anthropic-version: 2023-06-01\r\n");
}

static void put_client_fields(struct text *out, const struct request *r)
{
    for (unsigned i = 0; i < r->x->head.field_count; i++)
        if (goes_up(&r->x->head, r->x->head.fields[i].name))
            put_field(out, r->x->head.fields[i].name, r->x->head.fields[i].value);
}

static size_t head_room(const struct request *r, const struct config_provider *provider)
{
    size_t size = HEAD_EXTRA + r->x->head.size + provider->base_path.size + provider->host.size + provider->key.size;
    for (unsigned i = 0; i < provider->header_count; i++)
        size += provider->headers[i].name.size + provider->headers[i].value.size + 4;
    return size;
}

int upstream_head(const struct request *r, struct span method, const struct config_provider *provider,
                  enum payment payment, int64_t body_size, struct arena *arena, struct span *head)
{
    size_t room = head_room(r, provider);
    char *buffer = arena_take(arena, room, 1);
    if (!buffer) return RC_FULL;
    struct text out = text_on(buffer, room);
    text_put_span(&out, method);
    text_put_char(&out, ' ');
    put_path(&out, r, provider);
    text_put_text(&out, " HTTP/1.1\r\n");
    put_host(&out, provider);
    if (provider->dialect == r->dialect)
        put_client_fields(&out, r);
    else
        put_bridged_fields(&out, r, provider);
    put_credential(&out, r, provider, payment);
    for (unsigned i = 0; i < provider->header_count; i++)
        put_field(&out, provider->headers[i].name, provider->headers[i].value);
    text_put_text(&out, "Accept-Encoding: identity\r\n");
    if (body_size < 0)
        text_put_text(&out, "Transfer-Encoding: chunked\r\n\r\n");
    else if (body_size > 0 || span_equal(method, SPAN("POST"))) {
        text_put_text(&out, "Content-Length: ");
        text_put_i64(&out, body_size);
        text_put(&out, "\r\n\r\n", 4);
    } else
        text_put(&out, "\r\n", 2);
    *head = text_span(&out);
    return out.truncated ? RC_TOO_LARGE : RC_OK;
}

int upstream_lines(const struct http_head *head, struct arena *arena, struct span *lines, const char **content_type)
{
    char *buffer = arena_take(arena, head->size + 1, 1);
    struct span type = http_field(head, "content-type");
    struct span kept = arena_copy(arena, type.size <= CONTENT_TYPE_MAX ? type : (struct span){0});
    if (!buffer || !kept.data) return RC_FULL;
    *content_type = kept.size ? kept.data : NULL;
    struct text out = text_on(buffer, head->size + 1);
    bool long_id = http_field(head, "x-request-id").size > REQUEST_ID_SIZE ||
                   http_field(head, "request-id").size > REQUEST_ID_SIZE;
    for (unsigned i = 0; i < head->field_count; i++) {
        struct span name = head->fields[i].name;
        if (long_id && (span_equal_nocase(name, SPAN("x-request-id")) || span_equal_nocase(name, SPAN("request-id"))))
            continue; /* ours stands for it */
        if (!among(name, stays_with_origin, sizeof stays_with_origin / sizeof stays_with_origin[0]) &&
            !begins(name, SPAN("x-larder-")) && !http_is_hop_by_hop(head, name))
            put_field(&out, name, head->fields[i].value);
    }
    *lines = text_span(&out);
    return out.truncated ? RC_FULL : RC_OK;
}

void upstream_request_id(const struct http_head *head, enum dialect dialect, char id[REQUEST_ID_SIZE + 1])
{
    struct span value = http_field(head, dialect == DIALECT_ANTHROPIC ? "request-id" : "x-request-id");
    size_t size = value.size <= REQUEST_ID_SIZE ? value.size : 0;
    if (size) memcpy(id, value.data, size);
    id[size] = 0;
}

const char *upstream_is_other(const struct http_head *head)
{
    struct span type = http_field(head, "content-type");
    if (head->status == 511) return "a network that wants a login stands between (status 511)";
    if (head->status >= 300 && head->status < 400)
        return "it sends calls elsewhere (a redirect, which is not followed)";
    if (head->status < 300 && begins(type, SPAN("text/html"))) return "a web page came where an answer should be";
    return NULL;
}
