/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/flight_call.c — see flight_call.h. */
#include "app/gateway/flight_call.h"

#include <stdio.h>

#include "app/gateway/flight_bridge.h"
#include "app/gateway/flight_money.h"
#include "app/gateway/journal.h"
#include "app/gateway/retry.h"
#include "app/gateway/semantic.h"
#include "app/gateway/tenants.h"
#include "app/gateway/upstream_call.h"
#include "platform/clock.h"
#include "platform/compress.h"
#include "platform/crypto.h"
#include "platform/log.h"

enum { DECODER_RETRY_US = 5000 };

/* ---- recording */

static int record_room(struct flight *f, size_t more)
{
    size_t need = f->size + more;
    if (need <= f->capacity) return RC_OK;
    size_t capacity = f->capacity ? f->capacity * 2 : RECORD_START;
    while (capacity < need) capacity *= 2;
    /* In place, unless somebody has taken from the arena since: a sink's rest of a head, its pipelined bytes. */
    bool newest = f->data && f->data + f->capacity == (char *)f->arena->base + f->arena->used;
    if (newest && arena_extend(f->arena, f->data, f->capacity, capacity) == RC_OK) {
        f->capacity = capacity;
        return RC_OK;
    }
    char *data = arena_take(f->arena, capacity, 16);
    if (!data) return RC_FULL;
    if (f->size) memcpy(data, f->data, f->size);
    f->data = data;
    f->capacity = capacity;
    return RC_OK;
}

static size_t sendable(const struct flight *f)
{
    return f->stream && f->usage_asked ? f->live.scanned : f->size;
}

static unsigned drained_count(const struct flight *f)
{
    unsigned count = 0;
    for (const struct sink *sink = f->sinks; sink; sink = sink->next)
        count += !sink->blocked && sink->at >= sendable(f);
    return count;
}

/* Waits until every sink has had what is recorded. One that holds the others up for long is let go. */
static int wait_until_drained(struct flight *f)
{
    uint64_t patience_us = clock_monotonic_us() + LAGGARD_US;
    flight_pump(f); /* one piece of a compressed answer may fill the recording more than once */
    while (drained_count(f) < f->sink_count) {
        f->waiting_for_sinks = true;
        int rc = fiber_park(drained_count(f) ? patience_us : clock_monotonic_us() + SINK_PATIENCE_US);
        f->waiting_for_sinks = false;
        if (rc == RC_CANCELLED || rc == RC_FULL) return rc;
        if (drained_count(f) && clock_monotonic_us() >= patience_us) flight_drop_laggards(f, sendable(f));
    }
    return RC_OK;
}

/* Too large to keep: what everyone has had is let go, so that the recording becomes a window. */
static int slide(struct flight *f)
{
    flight_pump(f);
    int rc = wait_until_drained(f);
    if (rc != RC_OK) return rc;
    size_t cut = f->stream ? f->live.scanned : f->size; /* an event under way stays whole */
    memmove(f->data, f->data + cut, f->size - cut);
    f->size -= cut;
    live_stream_slide(&f->live, cut);
    for (struct sink *sink = f->sinks; sink; sink = sink->next) sink->at -= sink->at < cut ? sink->at : cut;
    return f->size >= f->leader->config->limits.parse_max ? RC_TOO_LARGE : RC_OK;
}

/* A sink that needs the other form waits for the whole: it cannot be had any more. */
static void drop_waiting_for_whole(struct flight *f)
{
    if (f->overflow) return;
    f->overflow = true;
    log_info("gateway", "an answer is larger than parse_max: it streams through and is not kept");
    flight_drop_other_form(f);
}

int flight_record(struct flight *f, struct span piece)
{
    size_t most = f->leader->config->limits.parse_max;
    f->received += piece.size;
    if (f->size + piece.size > most) {
        drop_waiting_for_whole(f);
        int rc = slide(f);
        if (rc != RC_OK) return rc;
    }
    int rc = record_room(f, piece.size);
    if (rc != RC_OK) return rc;
    memcpy(f->data + f->size, piece.data, piece.size);
    f->size += piece.size;
    if (f->stream) live_stream_scan(&f->live, span_of(f->data, f->size), &gateway.scratch);
    return RC_OK;
}

/* ---- one reply */

static int record(struct flight *f, struct span piece)
{
    return f->bridge ? flight_bridge_take(f, piece) : flight_record(f, piece);
}

static int record_decoded(struct flight *f, struct decoder *decoder, struct span piece, bool *ended)
{
    char out[2048];
    int rc = RC_OK;
    while (rc == RC_OK && !*ended) {
        size_t produced = 0;
        size_t before = piece.size;
        rc = decoder_run(decoder, &piece, out, sizeof out, &produced, ended);
        if (rc == RC_OK && produced) rc = record(f, span_of(out, produced));
        if (produced == 0 && (piece.size == 0 || piece.size == before)) break;
    }
    return rc;
}

static bool whole_already(const struct flight *f)
{
    return f->length >= 0 && f->size == (size_t)f->length;
}

/* Everyone is sent what has come before this waits for more, and not for each event: those that came in one read leave
 * in one send. The head of a stream does not wait for its first event. */
static int next_piece(struct flight *f, struct upstream_call *call, uint64_t deadline_us, struct span *piece)
{
    int rc = upstream_read_ready(call, piece);
    if (rc != RC_AGAIN) return rc;
    if (f->stream || f->size > 0) flight_pump(f);
    return upstream_read(call, piece, deadline_us);
}

static int relay(struct flight *f, struct upstream_call *call, struct decoder *decoder, uint64_t deadline_us)
{
    bool decoded = false;
    int rc;
    for (;;) {
        struct span piece;
        rc = next_piece(f, call, deadline_us, &piece);
        if (rc != RC_OK) break;
        rc = decoder ? record_decoded(f, decoder, piece, &decoded) : record(f, piece);
        if (rc != RC_OK) return rc;
        if (whole_already(f)) {
            f->complete = true;
            f->upstream_ms = (int64_t)((clock_monotonic_us() - f->asked_us) / 1000);
            flight_store(f);
            flight_pump(f);
        }
    }
    if (rc != RC_EMPTY) return rc;
    if (f->bridge) {
        rc = flight_bridge_end(f);
        if (rc != RC_OK) return rc;
    }
    /* Clients take a stream that ends cleanly for a complete answer, so one without its last event must not. */
    bool cut_short = f->stream && f->status == 200 && !f->live.terminal && !f->live.error;
    return (decoder && !decoded) || cut_short ? RC_CLOSED : RC_OK;
}

static int64_t retry_after_s(const struct http_head *head)
{
    int64_t ms = retry_after_ms(head, clock_wall_us());
    return ms < 0 ? -1 : (ms + 999) / 1000;
}

static int take_head(struct flight *f, const struct upstream_call *call, bool last_word)
{
    const struct http_head *head = &call->head;
    if (upstream_lines(head, f->arena, &f->lines, &f->content_type) != RC_OK) return RC_FULL;
    if (limits_lines(f->leader, f->lines, f->arena, &f->lines) != RC_OK) return RC_FULL;
    f->status = head->status;
    f->retry_after_s = retry_after_s(head);
    upstream_request_id(head, f->leader->dialect, f->request_id);
    f->stream = span_starts_with(http_field(head, "content-type"), SPAN("text/event-stream"));
    f->plain = f->status != 200;
    f->length = head->body == HTTP_BODY_SIZED ? (int64_t)head->content_length : head->body == HTTP_BODY_NONE ? 0 : -1;
    f->forbidden = http_has_token(head, "cache-control", "no-store");
    f->live.dialect = request_wire(f->leader);
    f->should_retry = last_word && f->status >= 400 ? "false" : NULL;
    uint64_t answered_us = call->first_byte_us > f->asked_us ? call->first_byte_us : f->asked_us;
    f->upstream_us = answered_us - f->tried_us; /* tries that failed and the pauses behind them are not ours either */
    f->upstream_ms = (int64_t)((answered_us - f->asked_us) / 1000);
    f->head_known = true;
    return f->bridge ? flight_bridge_head(f) : RC_OK;
}

static void learn_tenant(const struct flight *f, unsigned status, enum payment payment)
{
    if (payment != PAY_CLIENT) return;
    if (status == 401 || status == 403)
        tenant_reject(&f->leader->tenant);
    else if (status >= 200 && status < 300)
        tenant_accept(&f->leader->tenant);
}

/* There are few decoders, since compression is not asked for: a reply waits for one as long as its call may take. */
static int decoder_wait(enum compress_coding coding, uint64_t deadline_us, struct decoder **decoder)
{
    int rc = decoder_open(coding, decoder);
    while (rc == RC_FULL && clock_monotonic_us() < deadline_us) {
        rc = fiber_sleep_until(clock_monotonic_us() + DECODER_RETRY_US);
        if (rc == RC_OK) rc = decoder_open(coding, decoder);
    }
    return rc;
}

/* From the head on the reply is everyone's. */
static int receive(struct flight *f, struct upstream_call *call, bool last_word, uint64_t deadline_us)
{
    struct decoder *decoder = NULL;
    enum compress_coding coding = compress_coding_of(http_field(&call->head, "content-encoding"));
    int rc = coding == CODING_IDENTITY ? RC_OK : decoder_wait(coding, deadline_us, &decoder);
    if (rc == RC_CANCELLED) return rc;
    if (rc != RC_OK && rc != RC_FULL) {
        flight_error(f, 502, "coding", "The provider compressed its answer in a way the box cannot undo.");
        return RC_OK;
    }
    if (rc == RC_OK) rc = take_head(f, call, last_word);
    if (rc != RC_OK) {
        if (decoder) decoder_close(decoder);
        flight_error(f, failure_memory.status, failure_memory.code, failure_memory.message);
        return RC_OK;
    }
    if (decoder) f->length = -1;
    rc = relay(f, call, decoder, deadline_us);
    if (decoder) decoder_close(decoder);
    if (rc == RC_OK) {
        f->complete = true;
        f->upstream_ms = (int64_t)((clock_monotonic_us() - f->asked_us) / 1000);
    }
    return rc;
}

/* ---- tries, providers, the chain */

enum outcome { ANSWERED, TRY_AGAIN, GIVE_UP /* this provider */ };

struct tries {
    const struct config_provider *provider;
    unsigned index; /* of the provider */
    enum payment payment;
    struct span head, body;
    unsigned attempt;
    bool last_link;
    uint64_t deadline_us, pause_us;
};

static uint64_t pause_after(const struct tries *t, int64_t after_ms)
{
    uint32_t chance;
    crypto_random(&chance, sizeof chance);
    return retry_pause_us(t->provider, t->attempt, after_ms, chance);
}

/* A stored answer past its time is better than a provider's own failure (RFC 5861), not than its refusal. */
static bool stale_is_better(const struct flight *f, unsigned status)
{
    bool stored = f->leader->have_stale || semantic_allows(f->leader, true);
    return status >= 500 && stored && !f->bypass && !f->background;
}

/* Whether to wait for another try: not when the provider asks for more patience than there is. */
static bool waits(struct tries *t, const struct http_head *head)
{
    t->pause_us = pause_after(t, retry_after_ms(head, clock_wall_us()));
    return t->pause_us <= t->provider->retry_max_us && clock_monotonic_us() + t->pause_us < t->deadline_us;
}

static enum outcome after_head(struct flight *f, struct tries *t, struct upstream_call *call)
{
    unsigned status = call->head.status;
    bool more = t->attempt + 1 < t->provider->retry_attempts, worth = retry_is_worth(status);
    if (worth && more && waits(t, &call->head)) return TRY_AGAIN;
    if (worth && (!t->last_link || stale_is_better(f, status))) return GIVE_UP;
    int rc = receive(f, call, worth && !more, t->deadline_us);
    if (rc == RC_OK) return ANSWERED;
    log_info("gateway", "an answer of %.*s broke off: %s", SPAN_ARG(t->provider->name), rc_name(rc));
    flight_abort(f, rc == RC_FULL ? &failure_memory : &failure_cut);
    return ANSWERED;
}

/* No reply came. A full queue is no fault of the provider, and another try would only wait again. */
static enum outcome no_reply(struct flight *f, struct tries *t, struct upstream_call *call, int rc)
{
    struct provider_health *health = &f->leader->generation->health[t->index];
    if (rc != RC_CANCELLED && rc != RC_FULL) health_failed(health, t->provider, call, rc);
    upstream_end(call);
    if (rc == RC_FULL) f->crowded = true;
    t->pause_us = pause_after(t, -1);
    bool again = rc != RC_CANCELLED && rc != RC_FULL && t->attempt + 1 < t->provider->retry_attempts;
    return again ? TRY_AGAIN : GIVE_UP;
}

static enum outcome try_once(struct flight *f, struct tries *t)
{
    struct request *r = f->leader;
    struct provider_health *health = &r->generation->health[t->index];
    struct upstream_call call = {0};
    f->asked_us = clock_monotonic_us();
    if (!f->tried_us) f->tried_us = f->asked_us;
    int rc =
        upstream_begin(r->generation->upstreams[t->index], &call, r->x->head.method, t->head, t->body, t->deadline_us);
    if (rc == RC_OK) rc = upstream_reply(&call, t->deadline_us);
    if (rc != RC_OK) return no_reply(f, t, &call, rc);
    const char *other = upstream_is_other(&call.head);
    if (other) {
        health_misled(health, t->provider, other);
        upstream_end(&call);
        return GIVE_UP;
    }
    health_reached(health, &call, t->provider);
    learn_tenant(f, call.head.status, t->payment);
    enum outcome outcome = after_head(f, t, &call);
    upstream_end(&call);
    return outcome;
}

static enum outcome try_provider(struct flight *f, struct tries *t)
{
    struct provider_health *health = &f->leader->generation->health[t->index];
    for (t->attempt = 0; !fiber_cancelled(); t->attempt++) {
        if (!health_allows(health, t->provider)) return GIVE_UP;
        enum outcome outcome = try_once(f, t);
        if (outcome != TRY_AGAIN) return outcome;
        uint64_t until = clock_monotonic_us() + t->pause_us;
        if (until >= t->deadline_us || fiber_sleep_until(until) != RC_OK) return GIVE_UP;
    }
    return GIVE_UP;
}

/* The body that goes up: as it came, but for the spliced usage option. */
static int compose(struct flight *f, struct tries *t)
{
    struct request *r = f->leader;
    unsigned flags = r->question.flags;
    t->body = r->body;
    f->usage_asked = (flags & QUESTION_STREAM) && (flags & QUESTION_INCLUDE_USAGE);
    int rc = flight_bridge_compose(f, t->provider, &t->body);
    if (rc != RC_OK) return rc;
    bool splice = !f->bridge && dialect_has_usage_chunk(request_wire(r)) && (flags & QUESTION_STREAM) &&
                  !f->usage_asked && !(flags & QUESTION_DUPLICATE) && t->provider->stream_usage_add;
    if (splice && question_add_usage(r->body, &gateway.scratch, f->arena, &t->body) == RC_OK)
        f->usage_asked = true;
    else if (!f->bridge)
        t->body = r->body;
    f->composed = true;
    return upstream_head(r, r->x->head.method, t->provider, t->payment, (int64_t)t->body.size, f->arena, &t->head);
}

static enum outcome ask(struct flight *f, unsigned link, bool last_link)
{
    const struct request *r = f->leader;
    unsigned index = r->route->providers[link];
    const struct config_provider *provider = &r->config->providers[index];
    struct tries t = {.provider = provider, .index = index, .payment = payment_of(r, provider), .last_link = last_link};
    t.deadline_us = clock_monotonic_us() + provider->total_us;
    f->link = link;
    int rc = compose(f, &t);
    if (rc == RC_DENIED) return GIVE_UP;
    if (rc != RC_OK) {
        flight_error(f, failure_memory.status, failure_memory.code, failure_memory.message);
        return ANSWERED;
    }
    return try_provider(f, &t);
}

static unsigned last_payable(const struct request *r)
{
    unsigned last = CONFIG_CHAIN_MAX;
    for (unsigned i = 0; i < r->route->provider_count; i++)
        if (payment_of(r, &r->config->providers[r->route->providers[i]]) != PAY_NONE) last = i;
    return last;
}

/* No provider of the route could be asked this, and none ever can. */
static void refuse_bridged(struct flight *f)
{
    f->should_retry = "false";
    flight_error(f, 400, "not_bridged", f->refusal);
}

void flight_call(struct flight *f)
{
    f->began_us = clock_monotonic_us();
    const struct request *r = f->leader;
    unsigned last = last_payable(r);
    enum outcome outcome = GIVE_UP;
    for (unsigned link = 0; link < r->route->provider_count && outcome == GIVE_UP && !fiber_cancelled(); link++)
        if (payment_of(r, &r->config->providers[r->route->providers[link]]) != PAY_NONE)
            outcome = ask(f, link, link == last);
    if (outcome == ANSWERED || f->background || (fiber_cancelled() && f->sink_count == 0)) return;
    if (f->refusal && !f->composed)
        refuse_bridged(f);
    else
        flight_answer_offline(f, last != CONFIG_CHAIN_MAX);
}

/* ---- keeping */

static void meta_fill(const struct flight *f, const struct verdict *verdict, struct entry_meta *meta)
{
    const struct request *r = f->leader;
    const struct config_provider *provider = &r->config->providers[r->route->providers[f->link]];
    *meta = (struct entry_meta){.created_us = clock_wall_us(), .dialect = (uint8_t)request_wire(r)};
    meta->ttl_s = (uint32_t)(r->route->ttl_us / CLOCK_SECOND);
    meta->form = f->stream ? ENTRY_STREAM : ENTRY_OBJECT;
    meta->flags = (uint8_t)((verdict->tool_calls ? ENTRY_TOOL_CALLS : 0) | (f->link ? ENTRY_FALLBACK : 0));
    meta->chain_link = (uint8_t)f->link;
    meta->upstream_ms = (uint32_t)f->upstream_ms;
    meta->tokens_in = (uint32_t)usage_input(&verdict->usage);
    meta->cost = f->cost < UINT32_MAX ? (uint32_t)f->cost : UINT32_MAX;
    meta->tokens_out = verdict->usage.output > 0 ? (uint32_t)verdict->usage.output : 0;
    memcpy(meta->tenant, r->tenant.id, sizeof meta->tenant);
    struct text name = text_on(meta->provider, sizeof meta->provider), model = text_on(meta->model, sizeof meta->model);
    text_put_span(&name, provider->name);
    text_put_text(&model, verdict->model);
}

void flight_store(struct flight *f)
{
    struct request *r = f->leader;
    struct verdict verdict;
    struct entry_meta meta;
    if (f->judged || f->bypass || f->local || !f->complete) return;
    f->judged = true;
    if (f->status != 200 || f->overflow || f->forbidden) {
        miss_settle(&r->question.parts, false);
        return;
    }
    verdict_of(request_wire(r), f->stream, span_of(f->data, f->size), &gateway.scratch, &verdict);
    flight_price(f, &verdict);
    f->storable = verdict.storable;
    if (!verdict.storable) {
        miss_settle(&r->question.parts, false);
        journal_not_stored(verdict.reason);
        return;
    }
    meta_fill(f, &verdict, &meta);
    if (!tenant_is_live(&r->tenant)) return; /* erased or revoked meanwhile */
    const struct entry_vector *vector = meta.flags & ENTRY_TOOL_CALLS ? NULL : semantic_vector(r);
    int rc = cache_put(&r->question.digest, &meta, r->question.query, span_of(f->data, f->size), vector, &f->stored_id);
    miss_settle(&r->question.parts, rc == RC_OK); /* a full queue takes none: it was never there to be evicted */
    if (rc != RC_OK) {
        f->stored_id = 0;
        journal_not_stored(rc_name(rc));
    }
}
