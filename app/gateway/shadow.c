/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/shadow.c — see shadow.h. */
#include "app/gateway/shadow.h"

#include "app/gateway/answer.h"
#include "app/gateway/compare.h"
#include "app/gateway/flight.h"
#include "app/gateway/learn.h"
#include "app/gateway/upstream_call.h"
#include "platform/clock.h"
#include "platform/crypto.h"
#include "platform/log.h"
#include "platform/metric.h"
#include "platform/offload.h"

enum { WAITING_MAX = 4 /* jobs in the pool's queue: a comparison is never worth somebody's wait */ };
#define HOUR_US (UINT64_C(3600) * CLOCK_SECOND)

static unsigned checks, comparisons;
static uint64_t hour_us; /* monotonic: when the budget's hour began */
static unsigned hour_spent;

static struct metric checks_total = {.name = "larder_semantic_shadow_checks_total",
                                     .help = "Semantic hits that were also asked upstream",
                                     .kind = METRIC_COUNTER};
static struct metric left_out[] = {
    {.name = "larder_semantic_unlabelled_total",
     .labels = "reason=\"busy\"",
     .help = "Answers that a candidate's was not, or could not be, compared with",
     .kind = METRIC_COUNTER},
    {.name = "larder_semantic_unlabelled_total", .labels = "reason=\"gone\"", .kind = METRIC_COUNTER},
    {.name = "larder_semantic_unlabelled_total", .labels = "reason=\"failed\"", .kind = METRIC_COUNTER},
    {.name = "larder_semantic_unlabelled_total", .labels = "reason=\"unsure\"", .kind = METRIC_COUNTER},
};
enum left { LEFT_BUSY, LEFT_GONE, LEFT_FAILED, LEFT_UNSURE };

int shadow_reserve(const struct config *config)
{
    (void)config;
    metric_register(&checks_total);
    for (unsigned i = 0; i < sizeof left_out / sizeof left_out[0]; i++) metric_register(&left_out[i]);
    return RC_OK;
}

/* ---- comparing */

struct fresh {
    struct span body;
    enum entry_form form;
};

/* What has changed since the candidate was stored is no error of the candidate. */
static bool is_fresh(const struct request *r, const struct entry_meta *meta)
{
    return answer_age(meta->created_us, clock_wall_us()) <= answer_ttl(r, meta->ttl_s);
}

/* The texts of both answers; the candidate's is read again, it may have left meanwhile. */
static int read_both(struct request *r, const struct fresh *fresh, struct span texts[2])
{
    struct cache_answer stored;
    uint64_t id = r->semantic.found.id;
    if (!cache_has(id)) return RC_NOT_FOUND;
    int rc = cache_read(id, NULL, r->x->arena, &stored);
    if (rc == RC_OK && !is_fresh(r, &stored.meta)) rc = RC_NOT_FOUND;
    if (rc == RC_OK)
        rc = compare_text(request_wire(r), (enum entry_form)stored.meta.form, stored.body, r->x->arena, &texts[0]);
    return rc == RC_OK ? compare_text(request_wire(r), fresh->form, fresh->body, r->x->arena, &texts[1]) : rc;
}

static int compare(struct request *r, const struct fresh *fresh, enum learn_source source)
{
    struct span texts[2];
    struct comparison result;
    int rc = read_both(r, fresh, texts);
    if (rc == RC_OK) rc = compare_answers(texts[0], texts[1], r->x->arena, &result);
    if (rc != RC_OK) return rc;
    if (result.verdict == COMPARE_UNSURE)
        metric_add(&left_out[LEFT_UNSURE], 1);
    else
        learn_label(r->semantic.unit, r->semantic.found.score, result.verdict == COMPARE_SAME, source);
    return RC_OK;
}

static void label(struct request *r, const struct fresh *fresh, enum learn_source source)
{
    if (comparisons >= SHADOW_COMPARISONS_MAX || offload_waiting() >= WAITING_MAX) {
        metric_add(&left_out[LEFT_BUSY], 1);
        return;
    }
    comparisons++;
    int rc = compare(r, fresh, source);
    comparisons--;
    if (rc != RC_OK) metric_add(&left_out[rc == RC_NOT_FOUND ? LEFT_GONE : rc == RC_FULL ? LEFT_BUSY : LEFT_FAILED], 1);
}

void shadow_label_miss(struct request *r, struct span body, unsigned form)
{
    const struct semantic_found *found = &r->semantic.found;
    struct fresh fresh = {.body = body, .form = (enum entry_form)form};
    if (!r->semantic.looked || !r->semantic.unit || !found->id || found->vetoes) return;
    if (found->score < THRESHOLD_FLOOR) return;
    label(r, &fresh, LABEL_MISS);
}

/* ---- checking */

double shadow_share(bool learning, uint64_t hits, double rate)
{
    if (rate <= 0) return 0;
    if (!learning || hits > SHADOW_THEN) return rate;
    double share = hits <= SHADOW_FIRST ? 0.5 : 0.1;
    return share > rate ? share : rate;
}

static bool is_drawn(const struct request *r)
{
    enum { DRAWS = 1 << 20 };
    uint32_t draw;
    const struct learn_unit *unit = learn_find(r->semantic.unit);
    if (!unit) return false;
    double share = shadow_share(r->route->semantic == SEMANTIC_LEARN, unit->hits, r->config->shadow_rate);
    crypto_random(&draw, sizeof draw);
    return draw % DRAWS < share * DRAWS;
}

/* The first provider that would be asked can be reached, as far as known, and the box or nobody pays. */
static bool is_payable(const struct request *r)
{
    if (r->tenant.kind == TENANT_PASSTHROUGH) return false;
    for (unsigned i = 0; i < r->route->provider_count; i++) {
        unsigned index = r->route->providers[i];
        enum payment payment = payment_of(r, &r->config->providers[index]);
        if (payment == PAY_BOX_KEY || payment == PAY_FREE) return r->generation->health[index].failing_since_us == 0;
    }
    return false;
}

static bool budget_take(const struct request *r)
{
    uint64_t now = clock_monotonic_us();
    if (now - hour_us >= HOUR_US || hour_us == 0) {
        hour_us = now;
        hour_spent = 0;
    }
    if (hour_spent >= r->config->shadow_per_hour_max) return false;
    hour_spent++;
    return true;
}

void shadow_check(struct request *r)
{
    struct flight_answer answer;
    if (checks >= SHADOW_CHECKS_MAX || fiber_cancelled() || !is_payable(r) || !is_drawn(r)) return;
    if (!flight_place_take(r)) return;
    if (!budget_take(r)) {
        flight_place_give();
        return;
    }
    checks++;
    metric_add(&checks_total, 1);
    int rc = flight_ask(r, &answer);
    flight_place_give();
    if (rc == RC_OK) {
        struct fresh fresh = {.body = answer.body, .form = answer.form};
        label(r, &fresh, LABEL_SHADOW);
    }
    checks--;
}
