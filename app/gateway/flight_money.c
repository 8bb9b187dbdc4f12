/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/flight_money.c — see flight_money.h. */
#include "app/gateway/flight_money.h"

#include "app/gateway/upstream_call.h"
#include "app/gateway/usage.h"
#include "app/ledger/spend.h"
#include "platform/clock.h"

static const struct config_provider *provider_of(const struct flight *f)
{
    const struct request *r = f->leader;
    return &r->config->providers[r->route->providers[f->link]];
}

/* By the name that answered, which says the version; else by the name that was asked for. */
static const struct price_row *find_price(const struct flight *f, struct span answered, uint64_t input)
{
    const struct prices *prices = &f->leader->generation->prices;
    uint64_t now_s = clock_wall_us() / CLOCK_SECOND;
    const struct price_row *row = prices_find(prices, answered, now_s, input);
    return row ? row : prices_find(prices, f->leader->question.model, now_s, input);
}

void flight_price(struct flight *f, const struct verdict *verdict)
{
    f->usage = verdict->usage;
    const struct price_row *row = find_price(f, span_text(verdict->model), usage_input(&f->usage));
    f->priced = row != NULL || payment_of(f->leader, provider_of(f)) == PAY_FREE;
    f->cost = row && payment_of(f->leader, provider_of(f)) != PAY_FREE ? price_of_usage(row, &f->usage) : 0;
    f->weighed = true;
}

/* What was not judged for the store: an answer that bypasses it. */
static void weigh(struct flight *f)
{
    struct verdict verdict;
    bool whole = f->head_known && f->complete && f->status == 200 && !f->overflow;
    if (f->weighed || !whole) return;
    verdict_of(request_wire(f->leader), f->stream, span_of(f->data, f->size), &gateway.scratch, &verdict);
    flight_price(f, &verdict);
}

/* What nobody counted: cut off, too large to be kept, or the provider does not say. By what has come, so that leaving a
 * stream before its last event is no way to have it for nothing. */
static void guess(struct flight *f)
{
    struct usage usage;
    usage_unknown(&usage);
    usage.input_uncached = (int64_t)(f->leader->body.size / LIMITS_BYTES_A_TOKEN) + 1;
    usage.output = (int64_t)(f->received / (f->stream ? LIMITS_STREAM_BYTES_A_TOKEN : LIMITS_BYTES_A_TOKEN));
    f->usage = usage;
    const struct price_row *row = find_price(f, (struct span){0}, usage_input(&usage));
    f->priced = row != NULL || payment_of(f->leader, provider_of(f)) == PAY_FREE;
    f->cost = row && payment_of(f->leader, provider_of(f)) != PAY_FREE ? price_of_usage(row, &usage) : 0;
}

static bool was_answered(const struct flight *f)
{
    return f->head_known && !f->local && f->status == 200;
}

/* The provider was asked, and nobody waited for what it says. */
static bool was_abandoned(const struct flight *f)
{
    return !f->head_known && f->cancelled && f->asked_us;
}

static void spend(struct flight *f)
{
    struct request *r = f->leader;
    struct spend_call call = {.usage = f->usage, .cost = f->cost, .priced = f->priced};
    call.by_box = payment_of(r, provider_of(f)) == PAY_BOX_KEY;
    spend_add_call(spend_key(&r->tenant), &call);
}

void flight_charge(struct flight *f)
{
    static const struct usage nothing = {0};
    struct request *r = f->leader;
    if (f->local || (!f->head_known && !was_abandoned(f))) {
        limits_give_back(r);
        return;
    }
    if (!was_answered(f) && !was_abandoned(f)) {
        limits_settle(r, &nothing, 0);
        return;
    }
    weigh(f);
    if (f->weighed && usage_is_known(&f->usage)) {
        limits_settle(r, &f->usage, f->cost);
    } else {
        guess(f);
        limits_settle_guess(r, &f->usage, f->cost);
    }
    spend(f);
}

void flight_charge_followers(const struct flight *f)
{
    for (unsigned i = 0; i < f->followed; i++) spend_add_hit(spend_key(&f->leader->tenant), HIT_COALESCED, f->cost);
}

void flight_answer_limited(struct flight *f, const struct limit_refusal *refusal)
{
    if (!f->background && flight_answer_stale(f) != RC_OK) flight_refuse_limited(f, refusal);
}

void flight_refuse_limited(struct flight *f, const struct limit_refusal *refusal)
{
    bool money = span_equal(span_text(refusal->code), SPAN("insufficient_quota"));
    flight_error(f, 429, refusal->code, refusal->message);
    f->retry_after_s = refusal->retry_after_s;
    f->should_retry = money ? "false" : NULL; /* the client's library would only try again */
    f->local_status = "fwd=miss; detail=limit";
    (void)limits_lines(f->leader, (struct span){0}, f->arena, &f->lines);
}
