/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/deferred_ask.c — asking kept questions when the line is back. See deferred.h. */
#include "app/gateway/again.h"
#include "app/gateway/answer.h"
#include "app/gateway/deferred_row.h"
#include "app/gateway/retry.h"
#include "app/gateway/tenants.h"
#include "cache/cache.h"
#include "platform/clock.h"
#include "platform/log.h"

static uint64_t recoveries; /* seen so far */

static bool is_expired(const struct deferred_row *row)
{
    uint64_t now = clock_wall_us();
    return now > row->asked_us && (now - row->asked_us) / CLOCK_SECOND >= DEFERRED_KEEP_S;
}

static bool is_due(const struct deferred_row *row, uint64_t now_us)
{
    if (row->state < DEFERRED_WAITING || row->busy) return false;
    return is_expired(row) || (row->state == DEFERRED_WAITING && now_us >= row->next_us);
}

static struct deferred_row *oldest_due(void)
{
    struct deferred_row *found = NULL;
    uint64_t now_us = clock_monotonic_us();
    for (unsigned i = 0; i < deferred_max; i++) {
        struct deferred_row *row = &deferred_rows[i];
        if (is_due(row, now_us) && (!found || row->asked_us < found->asked_us)) found = row;
    }
    return found;
}

/* A provider is back: who waited for it need not wait longer. */
static void notice_recovery(void)
{
    if (recoveries == breaker_recoveries()) return;
    recoveries = breaker_recoveries();
    for (unsigned i = 0; i < deferred_max; i++) deferred_rows[i].next_us = 0;
}

bool deferred_is_due(void)
{
    notice_recovery();
    return oldest_due() != NULL;
}

static void put_off(struct deferred_row *row)
{
    uint64_t pause = (uint64_t)DEFERRED_FIRST_PAUSE_S << (row->tries < 12 ? row->tries : 12);
    if (pause > DEFERRED_MOST_PAUSE_S) pause = DEFERRED_MOST_PAUSE_S;
    row->next_us = clock_monotonic_us() + pause * CLOCK_SECOND;
}

/* Somebody may have asked the same meanwhile. */
static bool answer_from_store(struct request *r, struct flight_answer *answer)
{
    struct cache_found found;
    struct cache_answer stored;
    bool evicted;
    if (cache_find(&r->question.digest, &found, &evicted) != RC_OK ||
        answer_age(found.created_us, clock_wall_us()) > answer_ttl(r, found.ttl_s) ||
        cache_read(found.id, &r->question.digest, r->x->arena, &stored) != RC_OK || answer_is_too_late(r, &stored.meta))
        return false;
    *answer = (struct flight_answer){
        .body = stored.body, .form = (enum entry_form)stored.meta.form, .status = 200, .complete = true};
    return true;
}

/* Which replies are an answer: not those that another time or another key would change. */
static bool is_final(const struct flight_answer *a)
{
    return a->complete && a->status >= 200 && a->status != 401 && a->status != 403 && !retry_is_worth(a->status);
}

static int write_answer(const struct deferred_row *row, const struct request *r, const struct flight_answer *a)
{
    struct deferred_path path;
    size_t room = AGAIN_HEAD_MAX + a->body.size;
    char *bytes = arena_take(r->x->arena, room, 1);
    if (!bytes) return RC_FULL;
    struct text out = text_on(bytes, room);
    text_format(&out, "HTTP/1.1 %u %s\r\nx-larder-answered: %llu\r\nx-larder-form: %d\r\n", a->status,
                http_reason(a->status), (unsigned long long)clock_wall_us(), a->form == ENTRY_STREAM);
    text_format(&out, "x-larder-view: %d\r\nx-larder-dialect: %d\r\n", (int)view_wanted(&r->question),
                (int)request_wire(r));
    bool stream = a->status == 200 && view_is_stream(view_wanted(&r->question));
    text_format(&out, "Content-Type: %s\r\nContent-Length: %zu\r\n\r\n",
                stream                                ? "text/event-stream; charset=utf-8"
                : a->status != 200 && a->content_type ? a->content_type
                                                      : "application/json",
                a->body.size);
    text_put_span(&out, a->body);
    if (out.truncated) return RC_TOO_LARGE;
    deferred_paths(row, &path);
    int rc = deferred_write(path.answer, text_span(&out));
    if (rc == RC_OK) (void)file_remove(path.question); /* should it come back, the answer beside it counts */
    return rc;
}

static void say_too_large(const struct request *r, struct flight_answer *a)
{
    char *bytes = arena_take(r->x->arena, 512, 1);
    if (!bytes) return;
    struct text out = text_on(bytes, 512);
    dialect_error(r->dialect, 502, "too_large", SPAN("The answer is larger than limits.parse_max of the box."),
                  span_text(r->id), &out);
    *a = (struct flight_answer){.body = text_span(&out), .status = 502, .complete = true};
}

static void ask(struct deferred_row *row, struct request *r)
{
    struct flight_answer answer = {0};
    bool known = answer_from_store(r, &answer);
    if (!known) again_ask(r, &answer);
    bool final = answer.overflow || is_final(&answer);
    if (answer.overflow) say_too_large(r, &answer);
    row->tries++;
    if (!final) return;
    int rc = write_answer(row, r, &answer);
    if (rc == RC_OK)
        row->state = DEFERRED_ANSWERED;
    else
        log_warn("deferred", "an answer could not be kept: %s", rc_name(rc));
}

static void step(struct deferred_row *row, struct arena *arena)
{
    struct deferred_path path;
    struct span bytes;
    struct request *r = NULL;
    struct tenant tenant = {.kind = TENANT_VIRTUAL};
    memcpy(tenant.id, row->tenant, sizeof tenant.id);
    deferred_paths(row, &path);
    int rc = deferred_read(path.question, arena, gateway.parse_max + AGAIN_HEAD_MAX, &bytes);
    bool lost = rc == RC_NOT_FOUND || rc == RC_TOO_LARGE || !tenant_is_live(&tenant);
    if (rc == RC_OK) rc = again_read(bytes, &tenant, arena, &r);
    if (rc == RC_OK)
        ask(row, r);
    else if (lost || rc == RC_INVALID)
        row->gone = true; /* revoked, or no question any more */
    put_off(row);
}

void deferred_step(struct arena *arena)
{
    struct deferred_row *row = oldest_due();
    if (!row) return;
    row->busy = true;
    if (is_expired(row))
        row->gone = true;
    else
        step(row, arena);
    row->busy = false;
    if (row->gone) deferred_remove(row);
}
