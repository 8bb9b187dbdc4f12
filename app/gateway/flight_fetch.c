/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/flight_fetch.c — an upstream call for a reply that is made here: see flight_fetch in flight.h. */
#include "app/gateway/flight_call.h"
#include "app/gateway/flight_money.h"
#include "app/gateway/limits.h"
#include "app/gateway/upstream_call.h"

static bool any_takes(const struct request *r)
{
    for (unsigned i = 0; i < r->route->provider_count; i++)
        if (payment_of(r, &r->config->providers[r->route->providers[i]]) != PAY_NONE) return true;
    return false;
}

static int fetched_rc(const struct flight *f)
{
    if (fiber_cancelled()) return RC_CANCELLED;
    if (f->overflow) return RC_TOO_LARGE;
    return f->complete ? RC_OK : RC_UNREACHABLE;
}

int flight_fetch(struct request *r, struct flight_fetched *fetched)
{
    if (!any_takes(r)) return RC_DENIED;
    if (!flight_place_take(r)) return RC_FULL;
    struct flight *f = flight_new(r);
    if (!f) {
        flight_place_give();
        return RC_FULL;
    }
    f->background = f->bypass = true; /* no sinks: who waits is this fiber itself */
    struct limit_refusal refusal;
    if (limits_take(r, &refusal) == RC_OK)
        flight_call(f);
    else
        flight_refuse_limited(f, &refusal);
    f->ended = true;
    flight_charge(f);
    flight_place_give();
    *fetched = (struct flight_fetched){.status = f->status, .content_type = f->content_type, .lines = f->lines};
    fetched->body = span_of(f->data, f->size);
    fetched->local = f->local;
    fetched->no_store = f->forbidden;
    fetched->upstream_ms = f->upstream_ms;
    fetched->retry_after_s = f->local ? f->retry_after_s : -1; /* else among the lines */
    fetched->link = f->link;
    memcpy(fetched->request_id, f->request_id, sizeof fetched->request_id);
    return fetched_rc(f);
}
