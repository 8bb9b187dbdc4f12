/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/answer.c — see answer.h.
 *
 * A hit's head is kept as a template right before the body in Hot: only date, TTL, age, overhead and request id are
 * written anew, each in a field of fixed width with blanks before it (optional white space that every client takes off;
 * white space behind a value some hand on), and head and body leave in one send.
 */
#include "app/gateway/answer.h"

#include <stdio.h>

#include "app/gateway/directives.h"
#include "app/gateway/feedback.h"
#include "app/gateway/journal.h"
#include "app/gateway/limits.h"
#include "app/gateway/pack_words.h"
#include "app/gateway/reply.h"
#include "app/gateway/semantic.h"
#include "app/gateway/shortcut.h"
#include "app/gateway/tenants.h"
#include "app/gateway/upstream_call.h"
#include "app/ledger/spend.h"
#include "platform/clock.h"
#include "platform/log.h"

enum { NUMBER_WIDTH = 10, DATE_WIDTH = REPLY_DATE_SIZE, STATUS_WIDTH = 28, TIMING_WIDTH = 26 };

/* Places in a template, counted from the start of the head; kept in hot_reply.note as 16-bit halves. */
struct template
{
    unsigned size, date, ttl, age, overhead, timing, id;
};

enum view view_wanted(const struct question *q)
{
    if (!(q->flags & QUESTION_STREAM)) return VIEW_OBJECT;
    bool usage = dialect_has_usage_chunk(q->dialect) && (q->flags & QUESTION_INCLUDE_USAGE);
    return usage ? VIEW_STREAM_USAGE : VIEW_STREAM;
}

bool view_is_stream(enum view view)
{
    return view != VIEW_OBJECT;
}

int answer_view(enum dialect dialect, enum entry_form form, enum view view, struct span body, struct arena *arena,
                struct span *out)
{
    bool as_stored = form == ENTRY_OBJECT
                         ? view == VIEW_OBJECT
                         : view == VIEW_STREAM_USAGE || (view == VIEW_STREAM && !dialect_has_usage_chunk(dialect));
    if (as_stored) {
        *out = body;
        return RC_OK;
    }
    size_t room = replay_bound(dialect, body.size);
    char *buffer = arena_take(arena, room, 1);
    if (!buffer) return RC_FULL;
    struct text text = text_on(buffer, room);
    int rc;
    if (form == ENTRY_OBJECT)
        rc = replay_stream_from_object(dialect, body, view == VIEW_STREAM_USAGE, &gateway.scratch, &text);
    else if (view == VIEW_OBJECT)
        rc = replay_object_from_stream(dialect, body, &gateway.scratch, &text);
    else
        rc = replay_strip_usage(body, &gateway.scratch, &text);
    if (rc == RC_OK && text.truncated) rc = RC_TOO_LARGE;
    if (rc == RC_OK) *out = text_span(&text);
    return rc;
}

/* ---- the template of a hit's head */

static unsigned put_blank(struct text *out, const char *name, unsigned width)
{
    text_put_text(out, name);
    unsigned place = (unsigned)out->size;
    for (unsigned i = 0; i < width; i++) text_put_char(out, ' ');
    text_put(out, "\r\n", 2);
    return place;
}

static struct template template_write(struct text *out, enum dialect dialect, enum view view, uint64_t entry,
                                      size_t size)
{
    struct template t;
    text_put_text(out, "HTTP/1.1 200 OK\r\n");
    t.date = put_blank(out, "Date: ", DATE_WIDTH);
    text_put_text(out, view_is_stream(view) ? "Content-Type: text/event-stream; charset=utf-8\r\n"
                                            : "Content-Type: application/json\r\n");
    text_put_text(out, "Content-Length: ");
    text_put_u64(out, size);
    t.ttl = put_blank(out, "\r\nCache-Status: ", STATUS_WIDTH);
    text_put_text(out, "x-larder-hit: exact\r\nx-larder-entry: ");
    text_put_u64(out, entry);
    t.age = put_blank(out, "\r\nAge: ", NUMBER_WIDTH);
    t.overhead = put_blank(out, "x-larder-overhead-us: ", NUMBER_WIDTH);
    t.timing = put_blank(out, "Server-Timing: ", TIMING_WIDTH);
    t.id = put_blank(out, dialect == DIALECT_ANTHROPIC ? "request-id: " : "x-request-id: ", REQUEST_ID_SIZE);
    text_put(out, "\r\n", 2);
    t.size = (unsigned)out->size;
    return t;
}

static void template_keep(const struct template *t, struct hot_reply *hot)
{
    hot->note[0] = t->size | t->date << 16;
    hot->note[1] = t->ttl | t->age << 16;
    hot->note[2] = t->overhead | t->timing << 16;
    hot->note[3] = t->id;
}

static struct template template_of(const struct hot_reply *hot)
{
    const uint32_t *n = hot->note;
    return (struct template){.size = n[0] & 0xffff,
                             .date = n[0] >> 16,
                             .ttl = n[1] & 0xffff,
                             .age = n[1] >> 16,
                             .overhead = n[2] & 0xffff,
                             .timing = n[2] >> 16,
                             .id = n[3]};
}

static bool template_make(struct hot_reply *hot, enum dialect dialect, enum view view)
{
    char head[HOT_HEAD_ROOM];
    struct text out = text_on(head, sizeof head);
    struct template t = template_write(&out, dialect, view, hot->meta->id, hot->body_size);
    if (out.truncated || t.size > hot->head_room) return false;
    memcpy(hot->body - t.size, head, t.size);
    template_keep(&t, hot);
    return true;
}

/* Writes digits that end before `end`; returns where they begin. */
static unsigned char *put_digits(unsigned char *end, uint64_t value)
{
    do {
        *--end = (unsigned char)('0' + value % 10);
        value /= 10;
    } while (value);
    return end;
}

/* A value at the right end of its field, blanks before it. `name` stands before the digits. */
static void patch_named(unsigned char *field, unsigned width, struct span name, uint64_t value)
{
    uint64_t most = 9999999999u; /* NUMBER_WIDTH digits */
    unsigned char *at = put_digits(field + width, value < most ? value : most) - name.size;
    memcpy(at, name.data, name.size);
    memset(field, ' ', (size_t)(at - field));
}

static void patch_number(unsigned char *field, uint64_t value)
{
    patch_named(field, NUMBER_WIDTH, (struct span){"", 0}, value);
}

/* Milliseconds with three decimals. */
static void patch_timing(unsigned char *field, uint64_t us)
{
    unsigned part = (unsigned)(us % 1000);
    unsigned char *end = field + TIMING_WIDTH;
    patch_named(field, TIMING_WIDTH - 4, SPAN("larder;dur="), us / 1000);
    end[-4] = '.';
    end[-3] = (unsigned char)('0' + part / 100);
    end[-2] = (unsigned char)('0' + part / 10 % 10);
    end[-1] = (unsigned char)('0' + part % 10);
}

static void patch_date(unsigned char *field, uint64_t wall_us)
{
    memcpy(field, reply_date(wall_us), REPLY_DATE_SIZE);
}

struct hit {
    struct hot_reply *hot;
    uint64_t now_us;      /* wall */
    int64_t age_s, ttl_s; /* ttl: what is left */
    uint64_t overhead_us;
};

static void hit_patch(const struct hit *hit, const char *id)
{
    struct template t = template_of(hit->hot);
    unsigned char *head = hit->hot->body - t.size;
    patch_date(head + t.date, hit->now_us);
    patch_named(head + t.ttl, STATUS_WIDTH, SPAN("larder; hit; ttl="), (uint64_t)(hit->ttl_s > 0 ? hit->ttl_s : 0));
    patch_number(head + t.age, (uint64_t)hit->age_s);
    patch_number(head + t.overhead, hit->overhead_us);
    patch_timing(head + t.timing, hit->overhead_us);
    memcpy(head + t.id, id, REQUEST_ID_SIZE);
}

/* The socket took only a part; what it left is offered again from where it was, as TLS needs it. In a head it is copied,
 * since the next hit patches it; else the body is pinned. */
static void send_rest(struct exchange *x, struct hot_reply *hot, size_t sent, size_t total)
{
    size_t head_size = total - hot->body_size;
    struct span rest = span_of((char *)hot->body - head_size + sent, total - sent);
    if (sent < head_size) {
        rest = arena_copy(x->arena, rest);
        if (rest.data)
            (void)exchange_send(x, rest.data, rest.size);
        else
            exchange_abort(x);
        return;
    }
    hot_pin(hot);
    (void)exchange_send(x, rest.data, rest.size);
    hot_unpin(hot);
}

/* Nothing of `hot` is looked at after the send: it may be gone when a wait ends. */
static void hit_send(struct request *r, struct hit *hit)
{
    struct hot_reply *hot = hit->hot;
    size_t head_size = template_of(hot).size, sent = 0, total = head_size + hot->body_size;
    hit->overhead_us = clock_monotonic_us() - r->x->started_us;
    hit_patch(hit, r->id);
    int rc = exchange_send_try(r->x, hot->body - head_size, total, &sent);
    cache_touch(hot->meta->id);
    journal_hit(r->id, &r->tenant, span_text(hot->meta->model), hot->meta->id, hit->overhead_us);
    spend_add_hit(spend_key(&r->tenant), HIT_EXACT, hot->meta->cost);
    if ((rc == RC_OK || rc == RC_AGAIN) && sent < total) send_rest(r->x, hot, sent, total);
}

/* Whether the template fits this request: HTTP/1.1, kept alive, no browser origin, a body wanted. */
static bool plain_request(const struct request *r)
{
    return r->x->head.minor_version == 1 && r->origin.size == 0 && exchange_keep_alive(r->x) &&
           !span_equal(r->x->head.method, SPAN("HEAD"));
}

int64_t answer_age(uint64_t created_us, uint64_t now_us)
{
    return now_us > created_us ? (int64_t)((now_us - created_us) / CLOCK_SECOND) : 0;
}

/* A copy: the table changes while its user waits. */
static bool shortcut_usable(const struct request *r, struct shortcut *s)
{
    const struct shortcut *found = shortcut_find(r->shortcut);
    if (!found || !plain_request(r) || tenant_is_rejected(found->tenant) || limits_are_marked(found->tenant))
        return false;
    *s = *found;
    return clock_wall_us() / CLOCK_SECOND < s->expires_s;
}

static void shortcut_send(struct request *r, const struct shortcut *s, struct hot_reply *hot)
{
    struct hit hit = {.hot = hot, .now_us = clock_wall_us()};
    hit.age_s = answer_age(hot->meta->created_us, hit.now_us);
    hit.ttl_s = (int64_t)s->expires_s - (int64_t)(hit.now_us / CLOCK_SECOND);
    memcpy(r->tenant.id, &s->tenant, sizeof s->tenant); /* the rest of it is not known here */
    r->tenant.kind = (enum tenant_kind)s->tenant_kind;
    hit_send(r, &hit);
}

int answer_shortcut(struct request *r)
{
    struct shortcut s;
    if (!shortcut_usable(r, &s)) return RC_NOT_FOUND;
    struct hot_reply *hot = hot_find(s.entry, s.variant);
    if (!hot || hot->note[0] == 0) return RC_NOT_FOUND;
    request_id_make(r->id);
    shortcut_send(r, &s, hot);
    return RC_OK;
}

int answer_shortcut_stored(struct request *r)
{
    struct shortcut s, again;
    struct cache_answer answer;
    struct hot_reply *hot;
    struct span body;
    if (!shortcut_usable(r, &s) || !cache_has(s.entry)) return RC_NOT_FOUND;
    if (cache_read(s.entry, NULL, r->x->arena, &answer) != RC_OK) return RC_NOT_FOUND;
    /* What was removed, revoked or reloaded while this waited is looked at the long way. */
    if (!shortcut_usable(r, &again) || again.entry != s.entry || !cache_has(s.entry)) return RC_NOT_FOUND;
    if (answer.meta.chain_link != 0) return RC_NOT_FOUND;
    enum view view = (enum view)s.variant;
    enum entry_form form = (enum entry_form)answer.meta.form;
    if (answer_view(request_wire(r), form, view, answer.body, r->x->arena, &body) != RC_OK) return RC_NOT_FOUND;
    if (hot_put(&answer.meta, s.variant, HOT_HEAD_ROOM, body, &hot) != RC_OK) return RC_NOT_FOUND;
    if (!template_make(hot, r->dialect, view)) return RC_NOT_FOUND;
    shortcut_send(r, &s, hot);
    return RC_OK;
}

/* ---- the exact entry */

int64_t answer_ttl(const struct request *r, uint32_t entry_ttl_s)
{
    int64_t route_ttl = (int64_t)(r->route->ttl_us / CLOCK_SECOND);
    return entry_ttl_s < route_ttl ? (int64_t)entry_ttl_s : route_ttl;
}

struct composed {
    uint64_t entry;
    struct span body;
    enum view view;
    int64_t age_s, ttl_s; /* ttl: what is left */
    float similarity;     /* of another wording; 0: the same request */
    uint32_t cost;        /* of the call behind it */
};

/* A tenant that could not ask now is told so: a miss would be refused. */
static const char *detail_of(const struct request *r, const struct composed *c)
{
    if (limits_are_spent(r)) return "; detail=limit";
    if (c->similarity > 0) return "; detail=semantic";
    return c->ttl_s < 0 ? "; detail=stale" : "";
}

/* A plain head for what the template does not cover (a stale or semantic hit, a browser, HEAD, HTTP/1.0), then the body. */
static void send_composed(struct request *r, const struct composed *c)
{
    char status[48];
    struct reply reply;
    reply_defaults(&reply, 200);
    snprintf(status, sizeof status, "hit; ttl=%lld%s", (long long)c->ttl_s, detail_of(r, c));
    reply.cache_status = status;
    reply.hit = c->similarity > 0 ? HIT_SEMANTIC : c->ttl_s < 0 ? HIT_STALE : HIT_EXACT;
    reply.entry = r->hit_entry = c->entry;
    reply.similarity = r->similarity = c->similarity;
    reply.age_s = c->age_s;
    if (view_is_stream(c->view)) reply.content_type = "text/event-stream; charset=utf-8";
    (void)limits_lines(r, (struct span){0}, r->x->arena, &reply.extra);
    spend_add_hit(spend_key(&r->tenant), reply.hit, c->cost);
    cache_touch(c->entry);
    reply_body(r, &reply, c->body);
}

bool answer_is_too_late(const struct request *r, const struct entry_meta *meta)
{
    for (unsigned i = 0; i < meta->chain_link && i < r->route->provider_count; i++) {
        unsigned index = r->route->providers[i];
        if (!health_is_away(&r->generation->health[index], &r->config->providers[index])) return true;
    }
    return false;
}

static void remember_shortcut(const struct request *r, uint64_t entry, enum view view, int64_t age_s, int64_t ttl_s,
                              uint64_t now_us)
{
    bool simple = !r->directives.present && r->shortcut.low | r->shortcut.high;
    if (!simple || ttl_s <= age_s) return;
    uint64_t until_s = now_us / CLOCK_SECOND + (uint64_t)(ttl_s - age_s);
    if (r->tenant.expires_s && r->tenant.expires_s < until_s) until_s = r->tenant.expires_s;
    shortcut_put(r->shortcut, entry, view, until_s, r->dialect, &r->tenant);
}

static int serve_hot(struct request *r, struct hot_reply *hot, enum view view, int64_t age_s, int64_t ttl_s,
                     uint64_t now_us)
{
    if (hot->note[0] == 0 && !template_make(hot, r->dialect, view)) return RC_NOT_FOUND;
    if (hot->meta->chain_link == 0) /* a later link's answer is looked at again each time */
        remember_shortcut(r, hot->meta->id, view, age_s, ttl_s, now_us);
    if (!plain_request(r) || age_s > ttl_s || limits_are_spent(r)) {
        struct span body = arena_copy(r->x->arena, span_of((char *)hot->body, hot->body_size));
        if (!body.data) return RC_NOT_FOUND;
        struct composed c = {hot->meta->id, body, view, age_s, ttl_s - age_s, 0, hot->meta->cost};
        send_composed(r, &c);
        return RC_OK;
    }
    struct hit hit = {.hot = hot, .now_us = now_us, .age_s = age_s, .ttl_s = ttl_s - age_s};
    hit_send(r, &hit);
    return RC_OK;
}

/* Whether the entry is still there after a wait: one that was purged meanwhile must not come back through Hot. */
static bool is_still_stored(const struct request *r)
{
    struct cache_found now;
    bool evicted;
    return cache_find(&r->question.digest, &now, &evicted) == RC_OK && now.id == r->found.id;
}

/* An entry that could not be read for want of a place in the queue or of memory is still there, should no provider answer. */
static int unread(struct request *r, int rc)
{
    if (rc != RC_NOT_FOUND && rc != RC_CORRUPT) {
        r->have_stale = true;
        r->miss = MISS_BYPASS;
    }
    return RC_NOT_FOUND;
}

static int serve_cold(struct request *r, enum view view, int64_t age_s, int64_t ttl_s, uint64_t now_us)
{
    struct cache_answer answer;
    struct span body;
    int rc = cache_read(r->found.id, &r->question.digest, r->x->arena, &answer);
    if (rc != RC_OK) return unread(r, rc);
    if (answer_is_too_late(r, &answer.meta)) {
        r->have_stale = true;
        return RC_NOT_FOUND;
    }
    rc = answer_view(request_wire(r), (enum entry_form)answer.meta.form, view, answer.body, r->x->arena, &body);
    if (rc != RC_OK) {
        log_warn("gateway", "entry %llu cannot be replayed in the form asked for: %s", (unsigned long long)r->found.id,
                 rc_name(rc));
        return RC_NOT_FOUND;
    }
    struct hot_reply *hot;
    if (is_still_stored(r) && hot_put(&answer.meta, view, HOT_HEAD_ROOM, body, &hot) == RC_OK &&
        template_make(hot, r->dialect, view))
        return serve_hot(r, hot, view, age_s, ttl_s, now_us);
    struct composed c = {answer.meta.id, body, view, age_s, ttl_s - age_s, 0, answer.meta.cost};
    send_composed(r, &c);
    return RC_OK;
}

static int find(struct request *r)
{
    bool evicted = false;
    int rc = cache_find(&r->question.digest, &r->found, &evicted);
    if (rc != RC_OK && evicted) r->miss = MISS_EVICTED;
    return rc;
}

int answer_exact(struct request *r)
{
    uint64_t now_us = clock_wall_us();
    if (find(r) != RC_OK) return RC_NOT_FOUND;
    int64_t age_s = answer_age(r->found.created_us, now_us), ttl_s = answer_ttl(r, r->found.ttl_s);
    bool sampled = r->route->sampled_fresh && (r->question.flags & QUESTION_SAMPLED);
    if (r->directives.no_cache || sampled || !directives_allow(&r->directives, age_s, ttl_s)) {
        r->have_stale = true;
        r->miss = r->directives.no_cache || sampled ? MISS_BYPASS : MISS_EXPIRED;
        return RC_NOT_FOUND;
    }
    enum view view = view_wanted(&r->question);
    struct hot_reply *hot = hot_find(r->found.id, view);
    if (hot && hot->meta->chain_link == 0 && serve_hot(r, hot, view, age_s, ttl_s, now_us) == RC_OK) return RC_OK;
    return serve_cold(r, view, age_s, ttl_s, now_us);
}

/* ---- an entry that answers another wording */

static bool may_answer(const struct request *r, const struct entry_meta *meta, struct composed *c)
{
    bool theirs = r->shared || memcmp(meta->tenant, r->tenant.id, sizeof meta->tenant) == 0;
    c->age_s = answer_age(meta->created_us, clock_wall_us());
    int64_t ttl_s = answer_ttl(r, meta->ttl_s);
    c->ttl_s = ttl_s - c->age_s;
    c->cost = meta->cost;
    return theirs && meta->dialect == request_wire(r) && !(meta->flags & ENTRY_TOOL_CALLS) && c->ttl_s >= 0 &&
           directives_allow(&r->directives, c->age_s, ttl_s) && !answer_is_too_late(r, meta);
}

static int take_hot(struct request *r, struct composed *c)
{
    const struct hot_reply *hot = hot_find(c->entry, c->view);
    if (!hot || !may_answer(r, hot->meta, c)) return RC_NOT_FOUND;
    c->body = arena_copy(r->x->arena, span_of((char *)hot->body, hot->body_size));
    return c->body.data ? RC_OK : RC_NOT_FOUND;
}

static int take_cold(struct request *r, struct composed *c)
{
    struct cache_answer answer;
    struct hot_reply *hot;
    if (cache_read(c->entry, NULL, r->x->arena, &answer) != RC_OK) return RC_NOT_FOUND;
    /* What was removed while this waited is not served. */
    if (!cache_has(c->entry) || !may_answer(r, &answer.meta, c)) return RC_NOT_FOUND;
    enum entry_form form = (enum entry_form)answer.meta.form;
    if (answer_view(request_wire(r), form, c->view, answer.body, r->x->arena, &c->body) != RC_OK) return RC_NOT_FOUND;
    (void)hot_put(&answer.meta, c->view, HOT_HEAD_ROOM, c->body, &hot);
    return RC_OK;
}

int answer_entry(struct request *r, uint64_t id, float similarity)
{
    struct composed c = {.entry = id, .view = view_wanted(&r->question), .similarity = similarity};
    if (!cache_has(id)) return RC_NOT_FOUND;
    int rc = take_hot(r, &c);
    if (rc != RC_OK) rc = take_cold(r, &c);
    if (rc != RC_OK || tenant_was_rejected(&r->tenant)) return RC_NOT_FOUND;
    feedback_remember(r, id, similarity);
    send_composed(r, &c);
    return RC_OK;
}

/* ---- packs */

static bool pack_may_answer(const struct request *r)
{
    const struct question *q = &r->question;
    bool kind = (q->flags & QUESTION_SINGLE) && !(q->flags & (QUESTION_TOOLS | QUESTION_MEDIA | QUESTION_MANY));
    bool system = (q->flags & QUESTION_SYSTEM) && !(r->route && r->route->packs_with_system);
    return kind && !system && payment_is_welcome(r);
}

bool answer_pack_is_open(const struct request *r, unsigned pack, bool any)
{
    bool starter = span_equal(r->config->packs[pack].file, SPAN("builtin"));
    return r->generation->packs[pack] && (!starter || any || span_equal(r->question.model, SPAN("larder")));
}

static int find_in_route(const struct request *r, bool any, struct span *answer)
{
    int rc = RC_NOT_FOUND;
    unsigned number;
    for (unsigned i = 0; rc == RC_NOT_FOUND && i < r->route->pack_count; i++)
        if (answer_pack_is_open(r, r->route->packs[i], any))
            rc = pack_find(r->generation->packs[r->route->packs[i]], r->question.query, answer, &number);
    return rc;
}

static int find_in_other_words(const struct request *r, bool any, struct span *answer, float *similarity)
{
    struct pack_match match;
    if (!r->semantic.looked || pack_words_find(r, any, &match) != RC_OK) return RC_NOT_FOUND;
    if (!semantic_allows_pack(r, match.key, match.score)) return RC_NOT_FOUND;
    *answer = match.answer;
    *similarity = match.score;
    feedback_remember(r, match.key, match.score);
    return RC_OK;
}

int answer_pack_object(const struct request *r, bool any, struct arena *arena, struct span *object, float *similarity)
{
    struct span answer;
    *similarity = 0;
    if (!r->route || !pack_may_answer(r)) return RC_NOT_FOUND;
    int rc = find_in_route(r, any, &answer);
    if (rc != RC_OK) rc = find_in_other_words(r, any, &answer, similarity);
    if (rc != RC_OK) return RC_NOT_FOUND;
    size_t room = answer.size * 2 + 2048;
    char *buffer = arena_take(arena, room, 1);
    if (!buffer) return RC_NOT_FOUND;
    struct text text = text_on(buffer, room);
    reply_object(request_wire(r), span_text(r->id), r->question.model, clock_wall_us() / CLOCK_SECOND, answer, &text);
    *object = text_span(&text);
    return text.truncated ? RC_NOT_FOUND : RC_OK;
}

int answer_pack(struct request *r, bool any)
{
    struct span object, body;
    struct reply reply;
    float similarity;
    if (answer_pack_object(r, any, r->x->arena, &object, &similarity) != RC_OK ||
        answer_view(request_wire(r), ENTRY_OBJECT, view_wanted(&r->question), object, r->x->arena, &body) != RC_OK)
        return RC_NOT_FOUND;
    reply_defaults(&reply, 200);
    reply.hit = HIT_PACK;
    reply.cache_status = "hit; detail=pack";
    reply.similarity = r->similarity = similarity;
    if (r->question.flags & QUESTION_STREAM) reply.content_type = "text/event-stream; charset=utf-8";
    reply_body(r, &reply, body);
    return RC_OK;
}
