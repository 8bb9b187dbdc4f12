/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/deferred.c — keeping a question, and fetching or taking back what was kept. See deferred.h. */
#include "app/gateway/deferred.h"

#include "app/gateway/again.h"
#include "app/gateway/answer.h"
#include "app/gateway/deferred_row.h"
#include "app/gateway/reply.h"
#include "app/gateway/tenants.h"
#include "platform/clock.h"
#include "platform/crypto.h"
#include "platform/log.h"

enum { BODY_ROOM = 512, LINES_ROOM = 192, ASK_AGAIN_S = 5 };
#define ERASE_WAIT_US (UINT64_C(10) * CLOCK_SECOND)
#define PREFIX SPAN("/larder/v1/deferred/")

/* ---- what is said of a question */

static void put_id(struct text *out, const struct deferred_row *row)
{
    text_put_text(out, "def_");
    text_put_hex(out, row->id, sizeof row->id);
}

static void put_state(struct text *out, const struct deferred_row *row)
{
    uint64_t asked_s = row->asked_us / CLOCK_SECOND;
    text_put_text(out, "{\"id\":\"");
    put_id(out, row);
    text_format(out, "\",\"object\":\"larder.deferred\",\"status\":\"%s\",\"tries\":%u,\"created_at\":",
                row->state == DEFERRED_ANSWERED ? "answered" : "waiting", row->tries);
    text_put_u64(out, asked_s);
    text_put_text(out, ",\"expires_at\":");
    text_put_u64(out, asked_s + DEFERRED_KEEP_S);
    text_put_text(out, ",\"location\":\"/larder/v1/deferred/");
    put_id(out, row);
    text_put_text(out, "\"}\n");
}

static int put_accepted(const struct deferred_row *row, struct arena *arena, struct span *lines, struct span *body)
{
    char *first = arena_take(arena, LINES_ROOM, 1), *second = arena_take(arena, BODY_ROOM, 1);
    if (!first || !second) return RC_FULL;
    struct text head = text_on(first, LINES_ROOM), said = text_on(second, BODY_ROOM);
    text_put_text(&head, "Location: /larder/v1/deferred/");
    put_id(&head, row);
    text_put_text(&head, "\r\nPreference-Applied: respond-async\r\n");
    put_state(&said, row);
    *lines = text_span(&head);
    *body = text_span(&said);
    return RC_OK;
}

static void put_tenant(struct text *out, const uint8_t *tenant)
{
    struct tenant_view view;
    for (unsigned i = 0; tenant_at(i, &view); i++)
        if (memcmp(view.tenant.id, tenant, sizeof view.tenant.id) == 0) {
            text_format(out, "%.*s (%s)", SPAN_ARG(view.name), view.state);
            return;
        }
    text_put_text(out, "gone");
}

void deferred_list(struct text *out)
{
    static const char *const states[] = {"", "", "waiting", "answered"};
    char date[30];
    unsigned count = 0;
    for (unsigned i = 0; i < deferred_max; i++) {
        const struct deferred_row *row = &deferred_rows[i];
        if (row->state < DEFERRED_WAITING) continue;
        put_id(out, row);
        http_date(row->asked_us, date);
        text_format(out, "  %s  %-8s  tries=%u  tenant=", date, states[row->state], row->tries);
        put_tenant(out, row->tenant);
        text_put_char(out, '\n');
        count++;
    }
    if (count == 0) text_put_text(out, "no question is kept\n");
}

/* ---- keeping */

bool deferred_is_wanted(const struct request *r)
{
    return r->tenant.kind == TENANT_VIRTUAL && r->endpoint == ENDPOINT_CHAT && !r->bypass && r->body.size &&
           http_has_token(&r->x->head, "prefer", "respond-async");
}

/* The same question of the same tenant is kept once. */
static struct deferred_row *kept_already(const struct request *r)
{
    for (unsigned i = 0; i < deferred_max; i++) {
        struct deferred_row *row = &deferred_rows[i];
        if (row->state == DEFERRED_WAITING && !row->gone &&
            memcmp(&row->digest, &r->question.digest, sizeof row->digest) == 0 &&
            memcmp(row->tenant, r->tenant.id, sizeof row->tenant) == 0)
            return row;
    }
    return NULL;
}

/* Places taken by the tenant, or by all. */
static unsigned taken_by(const uint8_t *tenant)
{
    unsigned count = 0;
    for (unsigned i = 0; i < deferred_max; i++) {
        const struct deferred_row *row = &deferred_rows[i];
        bool taken = row->state != DEFERRED_FREE || row->busy;
        count += taken && (!tenant || memcmp(row->tenant, tenant, sizeof row->tenant) == 0);
    }
    return count;
}

/* The oldest answer that its client has had. */
static struct deferred_row *oldest_fetched(const uint8_t *tenant)
{
    struct deferred_row *found = NULL;
    for (unsigned i = 0; i < deferred_max; i++) {
        struct deferred_row *row = &deferred_rows[i];
        if (row->state != DEFERRED_ANSWERED || !row->fetched || row->busy) continue;
        if (tenant && memcmp(row->tenant, tenant, sizeof row->tenant) != 0) continue;
        if (!found || row->asked_us < found->asked_us) found = row;
    }
    return found;
}

/* Fiber. Whether the tenant may keep one more: what was fetched makes room. */
static bool make_room(const uint8_t *tenant)
{
    unsigned share = deferred_max > 1 ? deferred_max / 2 : deferred_max;
    bool theirs = taken_by(tenant) >= share;
    if (!theirs && taken_by(NULL) < deferred_max) return true;
    struct deferred_row *row = oldest_fetched(theirs ? tenant : NULL);
    if (row) deferred_remove(row);
    return taken_by(tenant) < share && taken_by(NULL) < deferred_max; /* others came while this waited */
}

static struct deferred_row *take_row(const struct request *r)
{
    struct deferred_row *row = deferred_rows;
    if (!make_room(r->tenant.id)) return NULL;
    while (row->state != DEFERRED_FREE || row->busy) row++;
    *row = (struct deferred_row){.state = DEFERRED_WRITING, .asked_us = clock_wall_us()};
    crypto_random(row->id, sizeof row->id);
    memcpy(row->tenant, r->tenant.id, sizeof row->tenant);
    row->digest = r->question.digest;
    return row;
}

static int keep(const struct request *r, struct deferred_row *row, struct arena *arena)
{
    struct deferred_path path;
    struct span bytes;
    deferred_paths(row, &path);
    int rc = again_write(r, arena, &bytes);
    if (rc == RC_OK) rc = deferred_write(path.question, bytes);
    row->state = rc == RC_OK ? DEFERRED_WAITING : DEFERRED_FREE;
    if (rc != RC_OK) log_warn("deferred", "a question could not be kept: %s", rc_name(rc));
    return rc;
}

int deferred_keep(const struct request *r, struct arena *arena, struct span *lines, struct span *body)
{
    struct deferred_row *row = kept_already(r);
    if (row) return put_accepted(row, arena, lines, body);
    row = take_row(r);
    if (!row) return RC_FULL;
    int rc = put_accepted(row, arena, lines, body);
    if (rc == RC_OK) return keep(r, row, arena);
    row->state = DEFERRED_FREE;
    return rc;
}

/* ---- erasing */

static bool is_of(const struct deferred_row *row, const uint8_t tenant[ENTRY_TENANT_SIZE])
{
    return (row->state != DEFERRED_FREE || row->busy) && memcmp(row->tenant, tenant, sizeof row->tenant) == 0;
}

/* Whoever is at work with its files drops it, being told; else it is dropped here. True: there is none any more. */
static bool drop_all(const uint8_t tenant[ENTRY_TENANT_SIZE])
{
    bool none = true;
    for (unsigned i = 0; i < deferred_max; i++) {
        struct deferred_row *row = &deferred_rows[i];
        if (!is_of(row, tenant)) continue;
        none = none && !row->busy && row->state != DEFERRED_WRITING;
        if (row->state == DEFERRED_WRITING) continue;
        row->gone = true;
        if (!row->busy) deferred_remove(row);
    }
    return none;
}

int deferred_erase(const uint8_t tenant[ENTRY_TENANT_SIZE])
{
    uint64_t end_us = clock_monotonic_us() + ERASE_WAIT_US;
    while (!drop_all(tenant)) {
        uint64_t now_us = clock_monotonic_us();
        if (now_us > end_us) return RC_TIMEOUT;
        if (fiber_sleep_until(now_us + CLOCK_SECOND / 20) != RC_OK) return RC_CANCELLED;
    }
    return RC_OK;
}

/* ---- fetching */

bool deferred_is_path(struct span path)
{
    return span_starts_with(path, PREFIX);
}

/* Whoever may not see it learns nothing of it. */
static struct deferred_row *row_of(const struct request *r)
{
    uint8_t id[16];
    struct span path = r->x->head.path, name = span_of(path.data + PREFIX.size, path.size - PREFIX.size);
    if (r->tenant.kind != TENANT_VIRTUAL || name.size != DEFERRED_ID_SIZE || !span_starts_with(name, SPAN("def_")) ||
        hex_decode(span_of(name.data + 4, name.size - 4), id, sizeof id) != RC_OK)
        return NULL;
    struct deferred_row *row = deferred_find(id);
    return row && crypto_equal(row->tenant, r->tenant.id, sizeof row->tenant) ? row : NULL;
}

static void reply_waiting(struct request *r, const struct deferred_row *row)
{
    char bytes[BODY_ROOM];
    struct text out = text_on(bytes, sizeof bytes);
    struct reply reply;
    reply_defaults(&reply, 202);
    reply.retry_after_s = ASK_AGAIN_S;
    put_state(&out, row);
    reply_body(r, &reply, text_span(&out));
}

static uint64_t number_in(const struct http_head *head, const char *name)
{
    uint64_t value = 0;
    return span_to_u64(http_field(head, name), UINT64_MAX - 1, &value) == RC_OK ? value : 0;
}

/* In the dialect and form of the question, as deferred_ask.c wrote it down. */
static int reply_recorded(struct request *r, struct span bytes)
{
    struct reply reply;
    struct http_head *head = ARENA_NEW(r->x->arena, struct http_head);
    if (!head) return RC_FULL;
    if (http_parse_response(bytes, 0, AGAIN_HEAD_MAX, SPAN("GET"), head) != RC_OK) return RC_CORRUPT;
    struct span body = span_of(bytes.data + head->size, bytes.size - head->size), type;
    if (body.size != head->content_length) return RC_CORRUPT;
    enum view view = (enum view)(number_in(head, "x-larder-view") % VIEWS);
    enum entry_form form = number_in(head, "x-larder-form") ? ENTRY_STREAM : ENTRY_OBJECT;
    r->wire = (enum dialect)(number_in(head, "x-larder-dialect") % WIRES);
    r->dialect = dialect_family(r->wire);
    reply_defaults(&reply, head->status);
    if (head->status == 200) {
        (void)answer_view(request_wire(r), form, view, body, r->x->arena, &body);
        reply.hit = HIT_EXACT;
        reply.cache_status = "hit; detail=deferred";
        reply.age_s = answer_age(number_in(head, "x-larder-answered"), clock_wall_us());
    }
    type = arena_copy(r->x->arena, http_field(head, "content-type"));
    if (type.size) reply.content_type = type.data;
    reply_body(r, &reply, body);
    return RC_OK;
}

static void reply_answer(struct request *r, struct deferred_row *row)
{
    struct deferred_path path;
    struct span bytes;
    size_t most = r->config->limits.parse_max + AGAIN_HEAD_MAX;
    deferred_paths(row, &path);
    int rc = deferred_read(path.answer, r->x->arena, most, &bytes);
    if (rc == RC_OK) rc = reply_recorded(r, bytes);
    row = row_of(r); /* it may have left while this waited */
    if (rc == RC_OK && row) row->fetched = true;
    if (rc == RC_OK) return;
    bool busy = rc == RC_FULL;
    log_warn("deferred", "the answer in %s cannot be read: %s", path.answer, rc_name(rc));
    reply_error(r, busy ? 503 : 500, busy ? "overloaded" : "answer_lost", NULL,
                busy ? SPAN("The box is too busy to read the answer now; try again in a moment.")
                     : SPAN("The kept answer cannot be read: ask the question again."));
}

static void take_back(struct request *r, struct deferred_row *row)
{
    char bytes[128];
    struct text out = text_on(bytes, sizeof bytes);
    struct reply reply;
    text_put_text(&out, "{\"id\":\"");
    put_id(&out, row);
    text_put_text(&out, "\",\"object\":\"larder.deferred\",\"deleted\":true}\n");
    if (row->busy)
        row->gone = true; /* it is being asked: dropped when that has ended */
    else
        deferred_remove(row);
    reply_defaults(&reply, 200);
    reply_body(r, &reply, text_span(&out));
}

void deferred_serve(struct request *r)
{
    struct deferred_row *row = row_of(r);
    bool get = span_equal(r->x->head.method, SPAN("GET")) || span_equal(r->x->head.method, SPAN("HEAD"));
    r->x->close_after = r->x->close_after || r->x->head.body != HTTP_BODY_NONE;
    if (!row)
        reply_error(r, 404, "not_found", NULL,
                    SPAN("No question is kept here under this id for this key: it was never kept, taken back, or is "
                         "older than seven days."));
    else if (get && row->state == DEFERRED_WAITING)
        reply_waiting(r, row);
    else if (get)
        reply_answer(r, row);
    else if (span_equal(r->x->head.method, SPAN("DELETE")))
        take_back(r, row);
    else
        reply_error(r, 405, "method_not_allowed", NULL, SPAN("A kept question is fetched with GET, or DELETEd."));
}
