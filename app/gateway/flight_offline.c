/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/flight_offline.c — when the chain of providers is spent: a stored answer past its time, a pack, or a
 * clear error. */
#include <stdio.h>

#include "app/gateway/deferred.h"
#include "app/gateway/feedback.h"
#include "app/gateway/flight_call.h"
#include "app/gateway/limits.h"
#include "app/gateway/refresh.h"
#include "app/gateway/semantic.h"
#include "app/ledger/spend.h"
#include "platform/clock.h"
#include "platform/log.h"

static void made_here(struct flight *f, unsigned status)
{
    f->local = true;
    f->upstream_us = clock_monotonic_us() - f->began_us; /* what the tries took is not ours */
    f->status = status;
    f->lines = (struct span){0};
    f->request_id[0] = 0;
    f->length = -1;
    f->head_known = true;
    f->complete = true;
}

void flight_error(struct flight *f, unsigned status, const char *code, const char *message)
{
    char *bytes = arena_take(f->arena, CODE_TEXT_MAX * 2, 1);
    if (!bytes) {
        flight_abort(f, &failure_memory);
        return;
    }
    struct text body = text_on(bytes, CODE_TEXT_MAX * 2);
    dialect_error(f->leader->dialect, status, code, span_text(message), span_text(f->leader->id), &body);
    made_here(f, status);
    f->plain = true;
    if (status == 503 && f->retry_after_s < 0) f->retry_after_s = 1;
    f->content_type = "application/json";
    f->local_hit = HIT_NONE;
    f->local_status = f->bypass ? "fwd=bypass" : "fwd=miss";
    f->data = body.data;
    f->size = body.size;
}

/* How long past its time an answer may be while no provider can be reached. */
static int64_t patience_s(const struct request *r)
{
    if (r->directives.stale_if_error >= 0) return r->directives.stale_if_error;
    return (int64_t)(r->route->stale_if_error_us / CLOCK_SECOND);
}

int flight_answer_stale(struct flight *f)
{
    struct request *r = f->leader;
    struct cache_answer answer;
    if (!r->have_stale || f->bypass) return RC_NOT_FOUND;
    uint64_t now = clock_wall_us();
    int64_t age = now > r->found.created_us ? (int64_t)((now - r->found.created_us) / CLOCK_SECOND) : 0;
    int64_t route_ttl = (int64_t)(r->route->ttl_us / CLOCK_SECOND);
    int64_t ttl = (int64_t)r->found.ttl_s < route_ttl ? (int64_t)r->found.ttl_s : route_ttl;
    if (age - ttl > patience_s(r)) return RC_NOT_FOUND;
    fiber_cancel_clear(f->fiber);
    f->arena_lent = true;
    int rc = cache_read(r->found.id, &r->question.digest, f->arena, &answer);
    f->arena_lent = false;
    if (rc != RC_OK) return RC_NOT_FOUND;
    char *status = arena_take(f->arena, 64, 1);
    if (!status) return RC_NOT_FOUND;
    snprintf(status, 64, "hit; ttl=%lld; detail=stale", (long long)(ttl - age));
    made_here(f, 200);
    f->kept = true;
    f->stream = answer.meta.form == ENTRY_STREAM;
    f->local_hit = HIT_STALE;
    f->local_status = status;
    f->local_age_s = age;
    f->stored_id = r->found.id;
    spend_add_hit(spend_key(&r->tenant), HIT_STALE, answer.meta.cost);
    f->data = (char *)(uintptr_t)answer.body.data;
    f->size = answer.body.size;
    refresh_note(r, f->arena);
    return RC_OK;
}

/* Another wording's answer: as strict as online, or as the route says for this case; past its time as a stale one. */
static bool candidate_fits(const struct request *r, const struct entry_meta *meta, int64_t *age_s, int64_t *ttl_s)
{
    *age_s = answer_age(meta->created_us, clock_wall_us());
    *ttl_s = answer_ttl(r, meta->ttl_s) - *age_s;
    bool theirs = r->shared || memcmp(meta->tenant, r->tenant.id, sizeof meta->tenant) == 0;
    bool wanted = r->directives.max_age < 0 || *age_s <= r->directives.max_age;
    return theirs && wanted && meta->dialect == request_wire(r) && !(meta->flags & ENTRY_TOOL_CALLS) &&
           -*ttl_s <= patience_s(r);
}

static int answer_semantic_offline(struct flight *f)
{
    struct request *r = f->leader;
    struct cache_answer answer;
    int64_t age_s, ttl_s;
    uint64_t id = r->semantic.found.id;
    if (f->bypass || !semantic_allows(r, true) || !cache_has(id)) return RC_NOT_FOUND;
    fiber_cancel_clear(f->fiber);
    f->arena_lent = true;
    int rc = cache_read(id, NULL, f->arena, &answer);
    f->arena_lent = false;
    if (rc != RC_OK || !cache_has(id) || !candidate_fits(r, &answer.meta, &age_s, &ttl_s)) return RC_NOT_FOUND;
    char *status = arena_take(f->arena, 64, 1);
    if (!status) return RC_NOT_FOUND;
    snprintf(status, 64, "hit; ttl=%lld; detail=semantic-offline", (long long)ttl_s);
    made_here(f, 200);
    f->kept = true;
    f->stream = answer.meta.form == ENTRY_STREAM;
    f->local_hit = HIT_SEMANTIC;
    f->local_status = status;
    f->local_age_s = age_s;
    f->local_similarity = r->semantic.found.score;
    f->stored_id = id;
    f->data = (char *)(uintptr_t)answer.body.data;
    f->size = answer.body.size;
    feedback_remember(r, id, f->local_similarity);
    cache_touch(id);
    spend_add_hit(spend_key(&r->tenant), HIT_SEMANTIC, answer.meta.cost);
    return RC_OK;
}

static int answer_pack_offline(struct flight *f)
{
    struct span body;
    struct request *r = f->leader;
    float similarity;
    if (answer_pack_object(r, true, f->arena, &body, &similarity) != RC_OK) return RC_NOT_FOUND;
    made_here(f, 200);
    f->kept = true;
    f->stream = false;
    f->local_hit = HIT_PACK;
    f->local_status = "hit; detail=pack";
    f->local_similarity = similarity;
    f->data = (char *)(uintptr_t)body.data;
    f->size = body.size;
    return RC_OK;
}

static const struct provider_health *failing(const struct request *r, struct span *name)
{
    for (unsigned i = 0; i < r->route->provider_count; i++) {
        unsigned index = r->route->providers[i];
        if (r->generation->health[index].failing_since_us) {
            *name = r->config->providers[index].name;
            return &r->generation->health[index];
        }
    }
    return NULL;
}

static void say_offline(struct flight *f)
{
    char message[CODE_TEXT_MAX], since[30];
    struct span name;
    const struct provider_health *health = failing(f->leader, &name);
    f->retry_after_s = 5;
    if (!health && f->crowded) {
        f->retry_after_s = 1;
        flight_error(
            f, 503, "overloaded",
            "The provider has as many calls of this box as `concurrent` allows, and as many wait; try again in a "
            "moment.");
        return;
    }
    f->should_retry = "false";
    if (!health) {
        flight_error(f, 503, "upstream_failed",
                     "No provider of this route gave an answer in time, and nothing stored answers this question.");
        return;
    }
    http_date(health->failing_since_us, since);
    struct text out = text_on(message, sizeof message);
    text_format(&out, "The box is offline: provider %.*s cannot be reached since %s (%s). ", SPAN_ARG(name), since,
                health->last_error);
    text_put_text(&out, f->leader->have_stale
                            ? "The stored answer is older than stale_if_error allows."
                            : "Nothing stored answers this question; what is stored is still served.");
    flight_error(f, 503, "offline", message);
}

/* Ask later: the question is kept, and the client told where its answer will be. */
static int accept_for_later(struct flight *f)
{
    struct span lines, body;
    if (f->bypass || !deferred_is_wanted(f->leader)) return RC_NOT_FOUND;
    fiber_cancel_clear(f->fiber);
    f->arena_lent = true;
    int rc = deferred_keep(f->leader, f->arena, &lines, &body);
    f->arena_lent = false;
    if (rc != RC_OK) return rc;
    made_here(f, 202);
    f->plain = true;
    f->lines = lines;
    f->content_type = "application/json";
    f->retry_after_s = 5;
    f->local_hit = HIT_NONE;
    f->local_status = "fwd=miss; detail=deferred";
    f->data = (char *)(uintptr_t)body.data;
    f->size = body.size;
    return RC_OK;
}

void flight_answer_offline(struct flight *f, bool payable)
{
    if (flight_answer_stale(f) == RC_OK || answer_pack_offline(f) == RC_OK || answer_semantic_offline(f) == RC_OK)
        return;
    if (payable) {
        if (accept_for_later(f) == RC_OK) return;
        say_offline(f);
        return;
    }
    bool virtual = f->leader->tenant.kind == TENANT_VIRTUAL;
    f->should_retry = "false";
    if (f->leader->rules[0] && !limits_allow_any(f->leader)) {
        flight_error(f, 403, "provider_not_allowed",
                     "This virtual key may not use the providers of this model: see `providers` of its tenant.");
        return;
    }
    flight_error(f, virtual ? 503 : 401, virtual ? "no_provider_key" : "invalid_api_key",
                 virtual
                     ? "The box holds no key for the providers of this route: set `key` of a provider."
                     : "No credential came with this request that a provider of this route takes: send an API key.");
}
