/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/flight.c — see flight.h. The call itself is flight_call.c. */
#include "app/gateway/flight_call.h"

#include <stdio.h>

#include "app/gateway/deferred.h"
#include "app/gateway/flight_money.h"
#include "app/gateway/handed_ids.h"
#include "app/gateway/journal.h"
#include "app/gateway/reply.h"
#include "app/gateway/shadow.h"
#include "app/gateway/tenants.h"
#include "app/gateway/upstream_call.h"
#include "platform/clock.h"
#include "platform/log.h"

static struct flight *flights; /* those that may be joined or are running */
static unsigned flight_count;
static bool draining;

/* Cancelling lasts: nobody may join what is about to end. */
static void cancel(struct flight *f)
{
    f->cancelled = true;
    fiber_cancel(f->fiber);
}

void flights_drain(void)
{
    draining = true;
    for (struct flight *f = flights; f; f = f->next)
        if (f->sink_count == 0) cancel(f);
}

unsigned flights_now(void)
{
    return flight_count;
}

/* ---- what a sink may be sent */

static bool view_is_live(const struct flight *f, enum view view)
{
    return f->plain || (!f->kept && f->stream == view_is_stream(view));
}

/* Converted forms exist only when the recording is whole. */
static int converted(struct flight *f, enum view view, struct span *body)
{
    if (!f->converted[view].data) {
        struct span recorded =
            span_of(f->data, f->size); /* on failure `converted` stays empty, for the next sink too */
        enum entry_form form = f->stream ? ENTRY_STREAM : ENTRY_OBJECT;
        int rc = answer_view(request_wire(f->leader), form, view, recorded, f->arena, &f->converted[view]);
        if (rc != RC_OK) return rc;
    }
    *body = f->converted[view];
    return RC_OK;
}

/* A usage chunk that was asked for on the box's account is hidden from who did not ask. */
static bool hides_usage(const struct flight *f, const struct sink *sink)
{
    return f->stream && !f->plain && sink->view == VIEW_STREAM && f->usage_asked && sink->dialect == DIALECT_OPENAI;
}

static int view_of(struct flight *f, const struct sink *sink, struct sink_view *view)
{
    struct span body = {0};
    *view = (struct sink_view){.data = f->data, .size = f->size, .complete = f->complete};
    if (view_is_live(f, (enum view)sink->view)) {
        if (!hides_usage(f, sink)) return RC_OK;
        if (!f->complete)
            view->size = f->live.scanned; /* which event is the usage chunk is known only when it is whole */
        view->skip_from = f->live.usage_from;
        view->skip_to = f->live.usage_to;
        return RC_OK;
    }
    if (!f->complete) return RC_AGAIN;
    int rc = converted(f, (enum view)sink->view, &body);
    if (rc == RC_CORRUPT && !f->stream && !f->kept) {
        f->plain = true; /* an object that is no answer of the dialect: it goes as it came */
        return RC_OK;
    }
    view->data = body.data;
    view->size = body.size;
    return rc;
}

/* ---- heads */

static const char *sink_status(const struct flight *f, const struct sink *sink, char buffer[64])
{
    if (f->local) return f->local_status;
    if (!sink->leader) return "fwd=miss; collapsed";
    if (f->bypass) return "fwd=bypass";
    struct text status = text_on(buffer, 64);
    text_put_text(&status, f->leader->have_stale ? "fwd=stale" : "fwd=miss");
    if (f->stored_id) text_put_text(&status, "; stored");
    return buffer;
}

static void describe(const struct flight *f, const struct sink *sink, const struct sink_view *view, char buffer[64],
                     struct reply *reply)
{
    bool live = view_is_live(f, (enum view)sink->view);
    reply_defaults(reply, f->status);
    reply->content_type =
        live ? f->content_type
             : (view_is_stream((enum view)sink->view) ? "text/event-stream; charset=utf-8" : "application/json");
    reply->hit = f->local ? f->local_hit : sink->leader ? HIT_NONE : HIT_COALESCED;
    reply->cache_status = sink_status(f, sink, buffer);
    reply->miss = f->local && f->local_hit != HIT_NONE ? NULL : sink->miss;
    reply->entry = f->stored_id;
    reply->similarity = f->local_similarity;
    reply->age_s = f->local_age_s;
    reply->upstream_ms = f->local ? -1 : f->upstream_ms;
    reply->retry_after_s = f->local || !sink->leader ? f->retry_after_s : -1; /* else among the provider's lines */
    reply->should_retry = f->should_retry;
    reply->extra = sink->leader ? f->lines : (struct span){0};
    reply->own_request_id = !(sink->leader && f->request_id[0]);
    bool known = view->complete || (live && f->length >= 0 && !hides_usage(f, sink));
    reply->length = view->complete ? view->size - (view->skip_to - view->skip_from) : known ? (uint64_t)f->length : 0;
    reply->chunked = !known && sink->minor_version == 1;
    reply->until_close = !known && sink->minor_version == 0;
}

static uint64_t overhead_of(const struct flight *f, const struct sink *sink)
{
    uint64_t total = clock_monotonic_us() - sink->started_us, waited = f->upstream_us;
    return total > waited ? total - waited : 0;
}

/* Composes the head and sends it with the first bytes. */
static int send_head(struct flight *f, struct sink *sink, const struct sink_view *view)
{
    char buffer[64];
    struct reply reply;
    describe(f, sink, view, buffer, &reply);
    if (!reply.own_request_id) /* what the client will ask `why` with */
        memcpy(sink->id, f->request_id, sizeof sink->id);
    sink->framing = reply.chunked ? SINK_CHUNKED : reply.until_close ? SINK_UNTIL_CLOSE : SINK_SIZED;
    sink->keep_alive = sink->keep_alive && !reply.until_close && connection_keep_alive(sink->connection);
    bool chunked = sink->framing == SINK_CHUNKED;
    size_t first = chunked || (sink->framing == SINK_SIZED && view->skip_to == view->skip_from) ? view->size : 0;
    if (first > FIRST_SEND_MAX) first = FIRST_SEND_MAX;
    size_t mark = arena_mark(f->arena), room = REPLY_HEAD_MAX + reply.extra.size + first + SINK_FRAME_ROOM, sent = 0;
    char *bytes = arena_take(f->arena, room, 1);
    if (!bytes) return RC_FULL;
    struct text out = text_on(bytes, room);
    reply_head(&out, &reply, (enum dialect)sink->dialect, sink->id, sink->origin, sink->keep_alive, sink->minor_version,
               overhead_of(f, sink));
    size_t head_size = out.size;
    if (chunked)
        sink_put_first(sink, view, first, &out);
    else
        text_put(&out, view->data, first);
    if (chunked) head_size = out.size; /* a chunk is given as a whole */
    CHECK(!out.truncated);
    sink->head_sent = true;
    int rc = connection_send_try(sink->connection, out.data, out.size, &sent);
    if (rc != RC_OK && rc != RC_AGAIN) return rc;
    if (!chunked) sink->at = sent < head_size ? first : sent - head_size;
    if (sent < head_size)
        sink->head_rest = span_of(out.data + sent, out.size - sent); /* stays in the arena */
    else
        arena_rewind(f->arena, mark);
    return RC_OK;
}

/* ---- sinks and their flight */

static void unlink_sink(struct flight *f, struct sink *sink)
{
    if (sink->previous)
        sink->previous->next = sink->next;
    else
        f->sinks = sink->next;
    if (sink->next) sink->next->previous = sink->previous;
    f->sink_count--;
}

static void record(const struct flight *f, const struct sink *sink, unsigned status)
{
    struct journal_row row = {.wall_us = clock_wall_us(),
                              .entry = f->stored_id,
                              .tenant = sink->tenant,
                              .overhead_us = (uint32_t)overhead_of(f, sink),
                              .upstream_ms = f->local ? -1 : (int32_t)f->upstream_ms,
                              .status = (uint16_t)status,
                              .similarity = f->local_similarity,
                              .hit = (uint8_t)(f->local       ? f->local_hit
                                               : sink->leader ? HIT_NONE
                                                              : HIT_COALESCED),
                              .miss = f->local && f->local_hit != HIT_NONE ? NULL : sink->miss};
    memcpy(row.id, sink->id, sizeof row.id);
    memcpy(row.model, sink->model, sizeof sink->model);
    journal_row_add(&row);
}

/* Nobody waits any more: the store may still want the answer, within its budget; else the call is cancelled. */
static void nobody_waits(struct flight *f)
{
    uint64_t budget = f->leader->config->finish_for_store_us;
    if (f->complete || f->ended) return;
    bool wanted = !f->bypass && !f->overflow && budget > 0 && !draining && !(f->head_known && f->status != 200);
    if (!wanted || loop_timer_set(&f->finish_timer, clock_monotonic_us() + budget) != RC_OK) cancel(f);
}

static void finish_timer_fire(struct loop_timer *timer)
{
    struct flight *f = (struct flight *)(void *)((char *)timer - offsetof(struct flight, finish_timer));
    if (f->sink_count == 0) cancel(f);
}

static void drop(struct flight *f, struct sink *sink)
{
    unlink_sink(f, sink);
    if (f->waiting_for_sinks) fiber_wake(f->fiber, RC_OK);
    if (f->sink_count == 0) nobody_waits(f);
}

static void sink_gone(struct connection *connection)
{
    struct sink *sink = connection_attachment(connection);
    struct flight *f = (struct flight *)(void *)sink->source;
    record(f, sink, STATUS_CLIENT_GONE);
    drop(f, sink);
}

const struct failure failure_cut = {502, "upstream_cut",
                                    "The provider broke off its answer before it was complete; ask again."};
const struct failure failure_memory = {503, "overloaded",
                                       "The box has no memory left for this request; try again in a moment."};
static const struct failure failure_form = {
    502, "other_form", "The provider's answer cannot be put into the form asked for (stream or object)."};
static const struct failure failure_large = {
    503, "other_form",
    "This answer is larger than limits.parse_max of the box and is under way to another client in the other form "
    "(stream or object); ask again."};

static const struct failure *failure_of(int rc)
{
    return rc == RC_FULL ? &failure_memory : rc == RC_CORRUPT || rc == RC_TOO_LARGE ? &failure_form : &failure_cut;
}

/* Whoever has had no byte yet gets a proper error; the others see the connection break, never a clean end. */
static void send_failure(struct flight *f, struct sink *sink, const struct failure *failure)
{
    char head[REPLY_HEAD_MAX], body[512];
    struct text out = text_on(head, sizeof head), error = text_on(body, sizeof body);
    struct reply reply;
    size_t sent;
    reply_defaults(&reply, failure->status);
    reply.cache_status = "fwd=miss; detail=cut";
    reply.miss = sink->miss;
    reply.retry_after_s = failure->status == 503 ? 1 : -1;
    dialect_error((enum dialect)sink->dialect, failure->status, failure->code, span_text(failure->message),
                  span_text(sink->id), &error);
    reply.length = error.size;
    reply_head(&out, &reply, (enum dialect)sink->dialect, sink->id, sink->origin, false, sink->minor_version,
               overhead_of(f, sink));
    text_put_span(&out, text_span(&error));
    CHECK(!out.truncated && !error.truncated);
    (void)connection_send_try(sink->connection, out.data, out.size, &sent);
}

static void abort_sink(struct flight *f, struct sink *sink, const struct failure *failure)
{
    struct connection *connection = sink->connection;
    bool told = !sink->head_sent;
    if (told) send_failure(f, sink, failure);
    record(f, sink, told ? failure->status : f->status);
    drop(f, sink);
    if (told) {
        connection_close_after(connection);
        connection_finish(connection);
    } else {
        connection_abort(connection);
    }
}

static void finish_sink(struct flight *f, struct sink *sink)
{
    struct connection *connection = sink->connection;
    bool close = !sink->keep_alive || sink->framing == SINK_UNTIL_CLOSE;
    f->followed += !sink->leader && !f->local && f->status == 200;
    record(f, sink, f->status);
    drop(f, sink);
    if (close) connection_close_after(connection);
    connection_finish(connection);
}

/* Sends one sink what it may have. Frees it when it is done or gone. */
static void pump(struct flight *f, struct sink *sink)
{
    struct sink_view view;
    bool done = false;
    int rc = f->head_known ? view_of(f, sink, &view) : RC_AGAIN;
    if (rc == RC_AGAIN) return;
    if (rc == RC_OK && !sink->head_sent) rc = send_head(f, sink, &view);
    if (rc == RC_OK) rc = sink_pump(sink, &view, &done);
    sink->blocked = rc == RC_AGAIN;
    if (rc == RC_OK && done)
        finish_sink(f, sink);
    else if (rc != RC_OK && rc != RC_AGAIN)
        abort_sink(f, sink, failure_of(rc));
    else if (f->waiting_for_sinks && rc == RC_OK)
        fiber_wake(f->fiber, RC_OK);
}

void flight_pump(struct flight *f)
{
    for (struct sink *sink = f->sinks, *next; sink; sink = next) {
        next = sink->next;
        if (!sink->blocked) pump(f, sink);
    }
}

static void sink_writable(struct connection *connection)
{
    struct sink *sink = connection_attachment(connection);
    sink->blocked = false;
    pump((struct flight *)(void *)sink->source, sink);
}

static const struct connection_owner sink_owner = {.writable = sink_writable, .gone = sink_gone};

static void sink_fill(struct sink *sink, struct flight *f, const struct request *r, bool leader, struct span origin)
{
    *sink = (struct sink){.source = (struct sink_source *)(void *)f, .started_us = r->x->started_us, .leader = leader};
    sink->tenant = journal_tenant(r->tenant.id);
    sink->view = (uint8_t)view_wanted(&r->question);
    sink->dialect = (uint8_t)r->dialect;
    sink->minor_version = (uint8_t)r->x->head.minor_version;
    sink->keep_alive = exchange_keep_alive(r->x);
    sink->miss = miss_text(r->miss, r->miss_part);
    sink->origin = origin;
    memcpy(sink->id, r->id, sizeof sink->id);
    size_t size = r->question.model.size < sizeof sink->model - 1 ? r->question.model.size : sizeof sink->model - 1;
    if (size) memcpy(sink->model, r->question.model.data, size);
}

static void add_sink(struct flight *f, struct request *r, bool leader)
{
    struct span origin = r->origin.size ? arena_copy(f->arena, r->origin) : (struct span){0};
    struct sink filled;
    sink_fill(&filled, f, r, leader, origin);
    struct span rest = exchange_pipelined(r->x), kept = {0};
    if (rest.size) kept = arena_copy(f->arena, rest);
    struct connection *connection = exchange_detach(r->x, &sink_owner);
    if (kept.data) connection_pipelined(connection, kept);
    struct sink *sink = connection_attachment(connection);
    *sink = filled;
    sink->connection = connection;
    sink->next = f->sinks;
    if (f->sinks) f->sinks->previous = sink;
    f->sinks = sink;
    f->sink_count++;
}

/* ---- joining */

static bool joinable(const struct flight *f, const struct request *r)
{
    bool usage = (r->question.flags & QUESTION_INCLUDE_USAGE) && (r->question.flags & QUESTION_STREAM);
    return !f->bypass && !f->background && !f->overflow && !f->ended && !f->cancelled && !f->arena_lent && !f->local &&
           !(f->head_known && f->status != 200) && f->leader->generation == r->generation &&
           memcmp(&f->leader->question.digest, &r->question.digest, sizeof r->question.digest) == 0 &&
           (!usage || f->usage_asked || !(f->leader->question.flags & QUESTION_STREAM)) &&
           !deferred_is_wanted(f->leader) && !deferred_is_wanted(r); /* a 202 is one client's */
}

int flight_join(struct request *r)
{
    bool sampled = r->route->sampled_fresh && (r->question.flags & QUESTION_SAMPLED);
    if (r->directives.no_cache || sampled) return RC_NOT_FOUND;
    for (struct flight *f = flights; f; f = f->next)
        if (joinable(f, r)) {
            loop_timer_cancel(&f->finish_timer);
            add_sink(f, r, false);
            pump(f, f->sinks);
            return RC_OK;
        }
    return RC_NOT_FOUND;
}

/* ---- leading */

static void flight_link(struct flight *f)
{
    f->next = flights;
    f->previous = NULL;
    if (flights) flights->previous = f;
    flights = f;
    flight_count++;
    if (flight_count > gateway.flights_high) gateway.flights_high = flight_count;
}

static void flight_unlink(struct flight *f)
{
    f->ended = true;
    if (f->previous)
        f->previous->next = f->next;
    else
        flights = f->next;
    if (f->next) f->next->previous = f->previous;
    flight_count--;
}

/* Everyone still here gets the rest, at the pace of their sockets. */
static void wait_for_sinks(struct flight *f)
{
    fiber_cancel_clear(f->fiber);
    while (f->sink_count) {
        f->waiting_for_sinks = true;
        (void)fiber_park(clock_monotonic_us() + SINK_PATIENCE_US);
        f->waiting_for_sinks = false;
    }
}

bool flight_place_take(const struct request *r)
{
    unsigned most = r->config->limits.requests / 4 * 3;
    if (gateway.in_flight >= (most ? most : 1)) return false;
    gateway.in_flight++;
    return true;
}

void flight_place_give(void)
{
    CHECK(gateway.in_flight > 0);
    gateway.in_flight--;
}

void flight_place_refuse(struct request *r)
{
    struct reply reply;
    r->x->close_after = r->x->close_after || !r->x->body_done;
    reply_defaults(&reply, 503);
    reply.retry_after_s = 1;
    reply.miss = miss_text(r->miss, r->miss_part);
    reply_error_with(
        r, &reply, "overloaded",
        SPAN("The box is busy with as many upstream calls as it may have waiting; try again in a moment."));
}

struct flight *flight_new(struct request *r)
{
    struct flight *f = ARENA_NEW(r->x->arena, struct flight);
    if (!f) return NULL;
    *f = (struct flight){
        .leader = r, .arena = r->x->arena, .fiber = fiber_self(), .length = -1, .local_age_s = -1, .retry_after_s = -1};
    f->finish_timer.fire = finish_timer_fire;
    return f;
}

static void fly(struct flight *f)
{
    struct limit_refusal refusal;
    if (limits_take(f->leader, &refusal) == RC_OK)
        flight_call(f);
    else
        flight_answer_limited(f, &refusal);
    handed_ids_take(f); /* before the client can use it */
    flight_pump(f);
    flight_store(f);
    flight_unlink(f);
    flight_charge(f);
    loop_timer_cancel(&f->finish_timer);
    wait_for_sinks(f);
    flight_charge_followers(f);
}

static enum entry_form form_of(const struct flight *f)
{
    return f->stream ? ENTRY_STREAM : ENTRY_OBJECT;
}

void flight_lead(struct request *r, bool bypass)
{
    if (!flight_place_take(r)) {
        flight_place_refuse(r);
        return;
    }
    struct flight *f = flight_new(r);
    if (!f) {
        flight_place_give();
        reply_error(r, 503, "overloaded", NULL, span_text(failure_memory.message));
        return;
    }
    f->bypass = bypass;
    flight_link(f);
    add_sink(f, r, true);
    fly(f);
    flight_place_give();
    if (f->storable) shadow_label_miss(r, span_of(f->data, f->size), form_of(f));
}

/* ---- in the background */

static void nobody_listens(struct connection *connection)
{
    (void)connection;
}

/* The reply has been sent: the connection reads its next request while this one's fiber goes on. */
static void let_client_go(struct request *r)
{
    static const struct connection_owner nobody = {.writable = nobody_listens, .gone = nobody_listens};
    struct span rest = exchange_pipelined(r->x), kept = {0};
    bool keep = exchange_keep_alive(r->x);
    if (rest.size) kept = arena_copy(r->x->arena, rest);
    struct connection *connection = exchange_detach(r->x, &nobody);
    if (kept.data) connection_pipelined(connection, kept);
    if (!keep) connection_close_after(connection);
    connection_finish(connection);
}

int flight_ask(struct request *r, struct flight_answer *answer)
{
    struct flight *f = draining ? NULL : flight_new(r);
    if (!f) return RC_FULL;
    f->background = true;
    if (r->x->connection) let_client_go(r);
    flight_link(f);
    fly(f);
    *answer = (struct flight_answer){.body = span_of(f->data, f->size),
                                     .form = form_of(f),
                                     .status = f->head_known ? f->status : 0,
                                     .content_type = f->content_type,
                                     .complete = f->complete,
                                     .storable = f->storable,
                                     .overflow = f->overflow};
    return f->storable ? RC_OK : RC_NOT_FOUND;
}

void flight_abort(struct flight *f, const struct failure *failure)
{
    while (f->sinks) abort_sink(f, f->sinks, failure);
}

void flight_drop_laggards(struct flight *f, size_t most)
{
    for (struct sink *sink = f->sinks, *next; sink; sink = next) {
        next = sink->next;
        if (sink->blocked || sink->at < most) abort_sink(f, sink, &failure_cut);
    }
}

void flight_drop_other_form(struct flight *f)
{
    for (struct sink *sink = f->sinks, *next; sink; sink = next) {
        next = sink->next;
        if (!view_is_live(f, (enum view)sink->view)) abort_sink(f, sink, &failure_large);
    }
}
