/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/model_list.c — see model_list.h. */
#include "app/gateway/model_list.h"

#include "app/gateway/embeddings.h"
#include "app/gateway/flight.h"
#include "app/gateway/forward.h"
#include "app/gateway/reply.h"
#include "platform/clock.h"
#include "platform/crypto.h"

enum { ID_MAX = 256, MODELS_TTL_S = 3600, LIST_BYTES_MAX = 256 << 10 /* the longest public lists are under 100 KiB */ };

struct lists {
    struct request *r;
    struct model_entry *models;
    unsigned count;
    bool asked[CONFIG_PROVIDERS_MAX];
    unsigned refused_status; /* first refusal of a provider, and its body */
    struct span refused_body;
    enum hit_kind hit;
};

static void digest_of(const struct request *r, const struct config_provider *provider, enum payment payment,
                      struct digest *digest)
{
    struct sha256 h;
    sha256_start(&h);
    sha256_add(&h, "larder models\0", 14);
    sha256_add(&h, provider->name.data, provider->name.size);
    sha256_add(&h, provider->base_url.data, provider->base_url.size);
    if (payment == PAY_CLIENT) sha256_add(&h, r->tenant.id, sizeof r->tenant.id);
    sha256_finish(&h, digest->bytes);
}

static void keep(const struct request *r, const struct digest *digest, const struct config_provider *provider,
                 struct span body)
{
    uint64_t id;
    struct entry_meta meta = {
        .created_us = clock_wall_us(), .ttl_s = MODELS_TTL_S, .dialect = (uint8_t)r->dialect, .form = ENTRY_OBJECT};
    struct text name = text_on(meta.provider, sizeof meta.provider);
    text_put_span(&name, provider->name);
    memcpy(meta.tenant, r->tenant.id, sizeof meta.tenant);
    (void)cache_put(digest, &meta, SPAN("(list of models)"), body, NULL, &id);
}

static int read_body(struct upstream_call *call, struct arena *arena, uint64_t deadline_us, struct span *body)
{
    char *bytes = arena_take(arena, LIST_BYTES_MAX, 16);
    struct span piece;
    size_t size = 0;
    int rc = bytes ? RC_OK : RC_FULL;
    while (rc == RC_OK && (rc = upstream_read(call, &piece, deadline_us)) == RC_OK) {
        if (piece.size > LIST_BYTES_MAX - size) return RC_TOO_LARGE;
        memcpy(bytes + size, piece.data, piece.size);
        size += piece.size;
    }
    *body = span_of(bytes, size);
    return rc == RC_EMPTY ? RC_OK : rc;
}

static int fetch(struct lists *l, unsigned index, enum payment payment, struct span *body)
{
    struct request *r = l->r;
    const struct config_provider *provider = &r->config->providers[index];
    struct provider_health *health = &r->generation->health[index];
    struct upstream_call call = {0};
    struct span head;
    uint64_t deadline = clock_monotonic_us() + provider->first_byte_us;
    if (!health_allows(health, provider)) return RC_UNREACHABLE;
    struct span asked_path = r->x->head.path, asked_query = r->x->head.query;
    r->x->head.path = SPAN("/v1/models");
    r->x->head.query = provider->dialect == DIALECT_ANTHROPIC ? SPAN("limit=1000") : (struct span){0};
    int rc = upstream_head(r, SPAN("GET"), provider, payment, 0, r->x->arena, &head);
    r->x->head.path = asked_path;
    r->x->head.query = asked_query;
    if (rc == RC_OK)
        rc = upstream_begin(r->generation->upstreams[index], &call, SPAN("GET"), head, (struct span){0}, deadline);
    if (rc == RC_OK) rc = upstream_reply(&call, deadline);
    if (rc == RC_OK) rc = read_body(&call, r->x->arena, deadline, body);
    if (rc == RC_OK) {
        health_reached(health, &call, provider);
        if (call.head.status != 200 && !l->refused_status) {
            l->refused_status = call.head.status;
            l->refused_body = *body;
        }
        rc = call.head.status == 200 ? RC_OK : RC_DENIED;
    } else if (rc != RC_CANCELLED && rc != RC_FULL && rc != RC_TOO_LARGE) {
        health_failed(health, provider, &call, rc);
    }
    upstream_end(&call);
    return rc;
}

/* False: it is no list of models. */
static bool take(struct lists *l, struct span body)
{
    unsigned count = 0;
    bool more;
    if (models_read(body, &gateway.scratch, l->r->x->arena, l->models + l->count, MODELS_MAX - l->count, &count,
                    &more) != RC_OK)
        return false;
    l->count += count;
    return true;
}

static void add_provider(struct lists *l, unsigned index)
{
    struct request *r = l->r;
    const struct config_provider *provider = &r->config->providers[index];
    enum payment payment = payment_of(r, provider);
    struct digest digest;
    struct cache_found found;
    struct cache_answer answer;
    struct span body;
    bool evicted;
    if (payment == PAY_NONE || l->asked[index]) return;
    l->asked[index] = true;
    digest_of(r, provider, payment, &digest);
    bool stored = cache_find(&digest, &found, &evicted) == RC_OK;
    if (stored && found.state == CACHE_FRESH && cache_read(found.id, &digest, r->x->arena, &answer) == RC_OK) {
        l->hit = HIT_EXACT;
        (void)take(l, answer.body);
        return;
    }
    int rc = RC_FULL;
    if (flight_place_take(r)) {
        rc = fetch(l, index, payment, &body);
        flight_place_give();
    }
    if (rc == RC_OK) {
        if (take(l, body)) keep(r, &digest, provider, body);
    } else if (stored && rc != RC_DENIED && cache_read(found.id, &digest, r->x->arena, &answer) == RC_OK) {
        l->hit = HIT_STALE;
        (void)take(l, answer.body);
    }
    for (unsigned i = 0; i < provider->model_count && l->count < MODELS_MAX; i++)
        l->models[l->count++] = (struct model_entry){.id = provider->models[i], .owner = provider->name};
}

static void refused(struct lists *l)
{
    struct reply reply;
    reply_defaults(&reply, l->refused_status);
    reply.should_retry = "false";
    reply_body(l->r, &reply, l->refused_body);
}

static const struct span one_prefix = SPAN_ROW("/v1/models/");

bool model_list_is_path(struct span path)
{
    return span_equal(path, SPAN("/v1/models")) || (span_starts_with(path, one_prefix) && path.size > one_prefix.size);
}

static unsigned digit_of(char c)
{
    return c >= '0' && c <= '9' ? (unsigned)(c - '0') : (unsigned)((c | 0x20) - 'a' + 10);
}

/* The id behind the prefix, percent signs undone; empty for the whole list. */
static struct span asked_id(const struct request *r, char id[ID_MAX])
{
    struct span path = r->x->head.path;
    struct text out = text_on(id, ID_MAX);
    for (size_t i = one_prefix.size; i < path.size; i++) {
        unsigned high = i + 2 < path.size ? digit_of(path.data[i + 1]) : 16,
                 low = i + 2 < path.size ? digit_of(path.data[i + 2]) : 16;
        bool coded = path.data[i] == '%' && high < 16 && low < 16;
        text_put_char(&out, coded ? (char)(high << 4 | low) : path.data[i]);
        if (coded) i += 2;
    }
    return out.truncated ? (struct span){0} : text_span(&out);
}

static void reply_list(struct lists *l, struct text *out)
{
    struct reply reply;
    reply_defaults(&reply, 200);
    reply.hit = l->hit;
    reply.cache_status = l->hit == HIT_NONE ? "fwd=miss" : l->hit == HIT_STALE ? "hit; detail=stale" : "hit";
    reply_body(l->r, &reply, text_span(out));
}

/* A provider may know models that it does not list. */
static void serve_one(struct lists *l, struct text *out)
{
    char id[ID_MAX];
    struct request *r = l->r;
    if (models_write_one(r->dialect, l->models, l->count, asked_id(r, id), out))
        reply_list(l, out);
    else if (r->tenant.kind == TENANT_PASSTHROUGH)
        forward_stream(r, false, (struct span){0}, false);
    else
        reply_error(r, 404, "model_not_found", "fwd=miss",
                    SPAN("No provider of the box lists this model: see GET /v1/models."));
}

void model_list_serve(struct request *r)
{
    struct lists l = {.r = r, .hit = HIT_NONE};
    l.models = arena_take(r->x->arena, MODELS_MAX * sizeof *l.models, 16);
    size_t room = 64 << 10;
    char *bytes = arena_take(r->x->arena, room * 4, 1);
    if (!l.models || !bytes) {
        reply_error(r, 503, "overloaded", NULL, SPAN("The box has no memory left for this request; try again."));
        return;
    }
    l.models[l.count++] =
        (struct model_entry){.id = SPAN("larder"), .owner = SPAN("larder"), .display_name = SPAN("Larder")};
    if (r->dialect == DIALECT_OPENAI && embeddings_model().size) /* Anthropic's API has no embeddings */
        l.models[l.count++] = (struct model_entry){.id = embeddings_model(), .owner = SPAN("larder")};
    unsigned own = l.count;
    for (unsigned i = 0; i < r->config->route_count; i++) {
        const struct config_route *route = &r->config->routes[i];
        if (route->any_dialect || route->dialect == r->dialect)
            for (unsigned k = 0; k < route->provider_count; k++) add_provider(&l, route->providers[k]);
    }
    if (l.count == own && l.refused_status) {
        refused(&l);
        return;
    }
    struct text out = text_on(bytes, room * 4);
    if (!span_equal(r->x->head.path, SPAN("/v1/models"))) {
        serve_one(&l, &out);
        return;
    }
    models_write(r->dialect, l.models, l.count, &out);
    if (out.truncated) {
        reply_error(r, 502, "too_many_models", NULL, SPAN("The providers list more models than the box can merge."));
        return;
    }
    reply_list(&l, &out);
}
