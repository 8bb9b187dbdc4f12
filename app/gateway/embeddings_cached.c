/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/embeddings_cached.c — see embeddings_cached.h. */
#include "app/gateway/embeddings_cached.h"

#include <stdio.h>

#include "app/gateway/answer.h"
#include "app/gateway/directives.h"
#include "app/gateway/embedding_vector.h"
#include "app/gateway/embeddings_batch.h"
#include "app/gateway/flight.h"
#include "app/gateway/journal.h"
#include "app/gateway/reply.h"
#include "app/gateway/tenants.h"
#include "app/gateway/upstream_call.h"
#include "cache/cache.h"
#include "platform/clock.h"
#include "platform/offload.h"

enum {
    ITEM_AROUND = 64, /* bytes of our reply around one vector */
    STATUS_MAX = 96,
    MESSAGE_MAX = 320,
};

/* ---- from the store */

static void note_age(struct embeddings_batch *b, int64_t age_s, int64_t ttl_s)
{
    if (b->hits == 0 || ttl_s - age_s < b->ttl_s) b->ttl_s = ttl_s - age_s;
    if (b->hits == 0 || age_s > b->age_s) b->age_s = age_s;
    b->hits++;
}

static bool may_serve(const struct embeddings_batch *b, const struct embeddings_item *item, bool offline,
                      int64_t *age_s, int64_t *ttl_s)
{
    const struct request *r = b->r;
    *age_s = answer_age(item->found.created_us, clock_wall_us());
    *ttl_s = answer_ttl(r, item->found.ttl_s);
    if (!offline) return !r->directives.no_cache && directives_allow(&r->directives, *age_s, *ttl_s);
    int64_t patience = r->directives.stale_if_error >= 0 ? r->directives.stale_if_error
                                                         : (int64_t)(r->route->stale_if_error_us / CLOCK_SECOND);
    return *age_s - *ttl_s <= patience;
}

static void look(struct embeddings_batch *b, struct embeddings_item *item, bool offline)
{
    struct cache_answer answer;
    int64_t age_s, ttl_s;
    bool evicted;
    item->stored = cache_find(&item->digest, &item->found, &evicted) == RC_OK;
    if (!item->stored || !may_serve(b, item, offline, &age_s, &ttl_s)) return;
    if (cache_read(item->found.id, &item->digest, b->r->x->arena, &answer) != RC_OK) return;
    if (!offline && answer_is_too_late(b->r, &answer.meta)) return;
    item->vector = answer.body;
    if (!b->model.size) b->model = arena_copy(b->r->x->arena, span_text(answer.meta.model));
    b->stale = b->stale || age_s > ttl_s;
    note_age(b, age_s, ttl_s);
    cache_touch(item->found.id);
}

static void look_for_all(struct embeddings_batch *b, bool offline)
{
    b->missing = 0;
    for (unsigned i = 0; i < b->count; i++) {
        if (b->items[i].vector.size == 0 && b->lookup) look(b, &b->items[i], offline);
        b->missing += b->items[i].vector.size == 0;
    }
}

/* ---- from the provider */

/* The `most` next missing inputs from `from` on; *next: where to go on. */
static void put_missing(const struct embeddings_batch *b, const struct json_value *input, unsigned from, unsigned most,
                        unsigned *next, struct text *out)
{
    unsigned index = 0, put = 0;
    text_put_char(out, '[');
    for (struct json_walk walk = json_walk(input); json_next(&walk) && put < most; index++) {
        if (index < from || b->items[index].vector.size) continue;
        if (put++) text_put_char(out, ',');
        json_write(out, walk.value);
        *next = index + 1;
    }
    text_put_char(out, ']');
}

/* The body as it came when it asks for nothing else; else with `input` cut down and every other member as it was. */
static int compose(struct embeddings_batch *b, struct span whole, unsigned from, unsigned most, unsigned *next)
{
    const struct json_value *root;
    struct request *r = b->r;
    r->body = whole;
    *next = b->count;
    if (b->missing == b->count && b->count <= most) return RC_OK;
    size_t room = whole.size + 64; /* compact JSON is never longer than what was read */
    char *bytes = arena_take(r->x->arena, room, 1);
    if (!bytes || json_parse(&gateway.scratch, whole, &root, NULL) != RC_OK) return RC_FULL;
    struct text out = text_on(bytes, room);
    for (struct json_walk walk = json_walk(root); json_next(&walk);) {
        text_put_char(&out, out.size ? ',' : '{');
        text_put_json(&out, walk.name);
        text_put_char(&out, ':');
        if (span_equal(walk.name, SPAN("input")))
            put_missing(b, walk.value, from, most, next, &out);
        else
            json_write(&out, walk.value);
    }
    text_put_char(&out, '}');
    r->body = text_span(&out);
    return out.truncated ? RC_TOO_LARGE : RC_OK;
}

/* The item that the reply's `index` means among those asked for. */
static struct embeddings_item *asked_item(const struct embeddings_batch *b, unsigned from, unsigned next,
                                          uint64_t index)
{
    for (unsigned i = from; i < next; i++)
        if (b->items[i].vector.size == 0 && index-- == 0) return &b->items[i];
    return NULL;
}

static int take_usage(struct embeddings_batch *b, const struct json_value *usage)
{
    int64_t number;
    enum { USAGE_MAX = 1024 };
    if (json_i64(json_get(usage, "prompt_tokens"), &number) == RC_OK) b->prompt_tokens += number;
    if (json_i64(json_get(usage, "total_tokens"), &number) == RC_OK) b->total_tokens += number;
    char *bytes = arena_take(b->r->x->arena, USAGE_MAX, 1);
    if (!bytes) return RC_FULL;
    struct text out = text_on(bytes, USAGE_MAX);
    json_write(&out, usage);
    b->usage = json_kind(usage) == JSON_OBJECT && !out.truncated ? text_span(&out) : (struct span){0};
    return RC_OK;
}

/* All vectors are read before one is taken over: `index` counts those that were missing. */
static int take_data(struct embeddings_batch *b, const struct json_value *data, unsigned from, unsigned next,
                     size_t asked)
{
    struct span *vectors = arena_take_zeroed(b->r->x->arena, asked * sizeof *vectors, _Alignof(struct span));
    if (!vectors) return RC_FULL;
    if (json_count(data) != asked) return RC_INVALID;
    size_t position = 0;
    for (struct json_walk walk = json_walk(data); json_next(&walk); position++) {
        int64_t index;
        if (json_i64(json_get(walk.value, "index"), &index) != RC_OK) index = (int64_t)position;
        if (index < 0 || (size_t)index >= asked || vectors[index].size) return RC_INVALID;
        int rc = embedding_vector_read(json_get(walk.value, "embedding"), b->r->x->arena, &vectors[index]);
        if (rc != RC_OK) return rc;
    }
    for (size_t i = asked; i-- > 0;) { /* the last first: this changes who is missing */
        struct embeddings_item *item = asked_item(b, from, next, i);
        item->vector = vectors[i];
        item->fresh = true;
    }
    return RC_OK;
}

static int take_reply(struct embeddings_batch *b, unsigned from, unsigned next)
{
    const struct json_value *root;
    size_t asked = 0;
    for (unsigned i = from; i < next; i++) asked += b->items[i].vector.size == 0;
    if (json_parse(&gateway.scratch, b->fetched.body, &root, NULL) != RC_OK) return RC_INVALID;
    struct span model = json_string(json_get(root, "model"));
    int rc = take_data(b, json_get(root, "data"), from, next, asked);
    if (rc == RC_OK) rc = take_usage(b, json_get(root, "usage"));
    if (rc == RC_OK && model.size) b->model = arena_copy(b->r->x->arena, model);
    return rc;
}

static void store(const struct embeddings_batch *b, const struct embeddings_item *item)
{
    const struct request *r = b->r;
    uint64_t id;
    const struct config_provider *provider = &r->config->providers[r->route->providers[b->fetched.link]];
    struct entry_meta meta = {.created_us = clock_wall_us(), .dialect = (uint8_t)r->dialect, .form = ENTRY_OBJECT};
    meta.ttl_s = (uint32_t)(r->route->ttl_us / CLOCK_SECOND);
    meta.flags = b->fetched.link ? ENTRY_FALLBACK : 0;
    meta.chain_link = (uint8_t)b->fetched.link;
    meta.upstream_ms = (uint32_t)b->fetched.upstream_ms;
    memcpy(meta.tenant, r->tenant.id, sizeof meta.tenant);
    struct text name = text_on(meta.provider, sizeof meta.provider), model = text_on(meta.model, sizeof meta.model);
    text_put_span(&name, provider->name);
    text_put_span(&model, b->model);
    if (cache_put(&item->digest, &meta, item->query, item->vector, NULL, &id) != RC_OK)
        journal_not_stored("embedding: the writer's queue is full");
}

static bool is_answer(const struct flight_fetched *fetched)
{
    return !fetched->local && fetched->status == 200;
}

/* One call for the next missing inputs. RC_OK: taken over; RC_INVALID: `fetched` is another reply than asked for. */
static int fetch_some(struct embeddings_batch *b, struct span whole, unsigned *from)
{
    size_t most = b->r->config->limits.parse_max / embeddings_reply_size(b);
    unsigned first = *from;
    int rc = compose(b, whole, first, most ? (unsigned)most : 1, from);
    if (rc == RC_OK) rc = flight_fetch(b->r, &b->fetched);
    b->r->body = whole;
    if (rc != RC_OK) return rc;
    b->calls++;
    if (!is_answer(&b->fetched)) return RC_INVALID;
    rc = take_reply(b, first, *from);
    for (unsigned i = first; i < *from; i++)
        if (b->items[i].fresh && b->keep && !b->fetched.no_store) store(b, &b->items[i]);
    return rc;
}

static int fetch_missing(struct embeddings_batch *b)
{
    struct span whole = b->r->body;
    int rc = RC_OK;
    for (unsigned from = 0; rc == RC_OK && from < b->count;) {
        while (from < b->count && b->items[from].vector.size) from++;
        if (from < b->count) rc = fetch_some(b, whole, &from);
    }
    return rc;
}

/* ---- the reply */

struct writing {
    struct embeddings_batch *b;
    struct text *out;
};

static void write_data(void *arg)
{
    const struct writing *w = arg;
    for (unsigned i = 0; i < w->b->count; i++) {
        text_put_text(w->out, i ? ",{\"object\":\"embedding\",\"index\":" : "{\"object\":\"embedding\",\"index\":");
        text_put_u64(w->out, i);
        text_put_text(w->out, ",\"embedding\":");
        embedding_vector_write(w->b->items[i].vector, w->b->base64, w->out);
        text_put_char(w->out, '}');
    }
}

static void put_usage(const struct embeddings_batch *b, struct text *out)
{
    if (b->calls == 1 && b->usage.size) {
        text_put_span(out, b->usage);
        return;
    }
    text_put_text(out, "{\"prompt_tokens\":");
    text_put_i64(out, b->prompt_tokens);
    text_put_text(out, ",\"total_tokens\":");
    text_put_i64(out, b->total_tokens);
    text_put_char(out, '}');
}

/* Numbers take long to write: a job of the pool, or here when its queue is full. */
static int compose_reply(struct embeddings_batch *b, struct span *body)
{
    size_t room = 256 + b->model.size * 6 + b->usage.size;
    for (unsigned i = 0; i < b->count; i++) room += ITEM_AROUND + embedding_vector_room(b->items[i].vector, b->base64);
    char *bytes = arena_take(b->r->x->arena, room, 1);
    if (!bytes) return RC_FULL;
    struct text out = text_on(bytes, room);
    struct writing writing = {b, &out};
    text_put_text(&out, "{\"object\":\"list\",\"data\":[");
    if (b->base64 || offload(write_data, &writing) != RC_OK) write_data(&writing);
    text_put_text(&out, "],\"model\":");
    text_put_json(&out, b->model);
    text_put_text(&out, ",\"usage\":");
    put_usage(b, &out);
    text_put_char(&out, '}');
    *body = text_span(&out);
    return out.truncated ? RC_TOO_LARGE : RC_OK;
}

static void refuse(struct embeddings_batch *b, unsigned status, const char *code, const char *cache_status,
                   struct span message)
{
    struct reply reply;
    reply_defaults(&reply, status);
    reply.cache_status = cache_status;
    reply.miss = miss_text(b->r->miss, b->r->miss_part);
    reply.retry_after_s = code[0] == 'o' ? 5 : -1; /* offline, overloaded */
    if (status != 503 || code[1] == 'f') reply.should_retry = "false";
    reply_error_with(b->r, &reply, code, message);
}

static void refuse_memory(struct embeddings_batch *b)
{
    refuse(b, 503, "overloaded", "fwd=miss", SPAN("The box has no room left for this request; try again in a moment."));
}

/* What the provider said, as it said it. */
static void pass_on(struct embeddings_batch *b, const char *cache_status)
{
    struct reply reply;
    const struct flight_fetched *f = &b->fetched;
    reply_defaults(&reply, f->status);
    reply.content_type = f->content_type;
    reply.cache_status = cache_status;
    reply.miss = miss_text(b->r->miss, b->r->miss_part);
    reply.extra = f->lines;
    reply.upstream_ms = f->local ? -1 : f->upstream_ms;
    reply.retry_after_s = f->retry_after_s;
    reply.own_request_id = !f->request_id[0];
    if (f->request_id[0]) memcpy(b->r->id, f->request_id, sizeof b->r->id);
    if (f->status == 408 || f->status == 409 || f->status == 429 || f->status >= 500) reply.should_retry = "false";
    reply_body(b->r, &reply, f->body);
}

static void answer(struct embeddings_batch *b, unsigned served)
{
    char status[STATUS_MAX];
    struct reply reply;
    struct span body;
    int rc = compose_reply(b, &body);
    if (rc != RC_OK) {
        refuse_memory(b);
        return;
    }
    reply_defaults(&reply, 200);
    bool all = b->calls == 0;
    reply.cache_status = status;
    if (all) {
        int size = snprintf(status, sizeof status, "hit; ttl=%lld", (long long)b->ttl_s);
        if (b->stale)
            snprintf(status + size, sizeof status - (size_t)size, "; detail=stale");
        else
            snprintf(status + size, sizeof status - (size_t)size, "; detail=\"%u of %u inputs\"", served, b->count);
        reply.hit = b->stale ? HIT_STALE : HIT_EXACT;
        reply.age_s = b->age_s;
    } else {
        snprintf(status, sizeof status, "fwd=miss; detail=\"%u of %u inputs were stored\"", served, b->count);
        reply.miss = miss_text(b->r->miss, b->r->miss_part);
        reply.extra = b->fetched.lines;
        reply.upstream_ms = b->fetched.upstream_ms;
    }
    if (!all && b->fetched.request_id[0]) {
        reply.own_request_id = false;
        memcpy(b->r->id, b->fetched.request_id, sizeof b->r->id);
    }
    reply_body(b->r, &reply, body);
}

/* ---- when it cannot be had */

static void say_offline(struct embeddings_batch *b)
{
    char message[MESSAGE_MAX];
    struct text out = text_on(message, sizeof message);
    text_format(&out,
                "The box is offline: no provider of this route can be reached, and %u of the %u inputs are not stored; "
                "what is stored is still served.",
                b->missing, b->count);
    refuse(b, 503, "offline", "fwd=miss", text_span(&out));
}

static void say_unpaid(struct embeddings_batch *b)
{
    if (b->r->tenant.kind == TENANT_VIRTUAL)
        refuse(b, 503, "no_provider_key", "fwd=miss",
               SPAN("The box holds no key for the providers of this route: set `key` of a provider."));
    else
        refuse(b, 401, "invalid_api_key", "fwd=miss",
               SPAN("No credential came with this request that a provider of this route takes: send an API key."));
}

static void say_failed(struct embeddings_batch *b, int rc)
{
    if (rc == RC_CANCELLED)
        exchange_abort(b->r->x); /* the client is gone */
    else if (rc == RC_DENIED)
        say_unpaid(b);
    else if (rc == RC_UNREACHABLE)
        say_offline(b);
    else if (rc == RC_TOO_LARGE)
        refuse(
            b, 502, "reply_too_large", "fwd=miss",
            SPAN("The provider's reply is larger than limits.parse_max of the box; ask for fewer inputs at a time."));
    else if (rc == RC_INVALID && b->calls == 1 && b->hits == 0)
        pass_on(b, b->lookup ? "fwd=miss" : "fwd=bypass");
    else if (rc == RC_INVALID && !is_answer(&b->fetched))
        pass_on(b, "fwd=miss");
    else if (rc == RC_INVALID)
        refuse(b, 502, "other_form", "fwd=miss", SPAN("The provider answered the missing inputs in an unknown form."));
    else
        refuse_memory(b);
}

/* A stored vector past its time is better than a provider's own failure; only for all of them. */
static bool answer_stale(struct embeddings_batch *b, int rc)
{
    bool failed = rc == RC_UNREACHABLE || rc == RC_DENIED || (rc == RC_INVALID && b->fetched.status >= 500);
    if (!failed || !b->lookup || b->calls > (rc == RC_INVALID)) return false;
    look_for_all(b, true);
    if (b->missing) return false;
    b->calls = 0;
    answer(b, b->count);
    return true;
}

static void ask(struct embeddings_batch *b)
{
    unsigned served = b->count - b->missing;
    b->r->miss = !b->lookup ? MISS_BYPASS : MISS_NEVER_SEEN;
    if (b->r->directives.only_if_cached) {
        refuse(b, 504, "not_cached", "fwd=miss; detail=only-if-cached",
               SPAN("Not all of the inputs are stored, and only-if-cached forbids asking the provider."));
        return;
    }
    int rc = fetch_missing(b);
    if (rc == RC_OK && b->calls == 1 && served == 0)
        pass_on(b, b->keep ? "fwd=miss; stored" : "fwd=bypass");
    else if (rc == RC_OK)
        answer(b, served);
    else if (!answer_stale(b, rc))
        say_failed(b, rc);
}

bool embeddings_cached_serve(struct request *r)
{
    struct embeddings_batch b = {.r = r};
    int rc = embeddings_batch_read(&b);
    if (rc == RC_FULL) {
        refuse_memory(&b);
        return true;
    }
    if (rc != RC_OK) return false;
    directives_read(&r->x->head, &r->directives);
    b.keep = !r->directives.no_store && r->route->exact && !(r->tenant.kind == TENANT_LOCAL && !r->anonymous_allowed);
    b.lookup = b.keep && !tenant_was_rejected(&r->tenant);
    look_for_all(&b, false);
    if (b.missing)
        ask(&b);
    else
        answer(&b, b.count);
    return true;
}
