/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/feedback.c — see feedback.h. */
#include "app/gateway/feedback.h"

#include "app/gateway/learn.h"
#include "app/gateway/negative.h"
#include "app/gateway/reply.h"
#include "app/gateway/tenants.h"
#include "platform/plan.h"

enum said { SAID_NOTHING, SAID_WRONG, SAID_RIGHT };

struct hit {
    char id[REQUEST_ID_SIZE + 1];
    uint8_t tenant_kind, said;
    uint8_t tenant[ENTRY_TENANT_SIZE];
    float score;
    uint64_t entry, query, unit;
};

static struct hit *hits;
static uint64_t written;

int feedback_reserve(void)
{
    void *region;
    int rc = plan_take("semantic hits", FEEDBACK_HITS, sizeof(struct hit), PLAN_LAZY, 0, NULL, &region);
    hits = region;
    return rc;
}

void feedback_remember(const struct request *r, uint64_t entry, float score)
{
    struct hit *hit = &hits[written++ % FEEDBACK_HITS];
    *hit = (struct hit){.tenant_kind = (uint8_t)r->tenant.kind,
                        .score = score,
                        .entry = entry,
                        .query = r->semantic.query,
                        .unit = r->semantic.unit};
    memcpy(hit->id, r->id, sizeof hit->id);
    memcpy(hit->tenant, r->tenant.id, sizeof hit->tenant);
}

static bool is_of(const struct hit *hit, const struct tenant *tenant)
{
    return !tenant || (hit->tenant_kind == tenant->kind && memcmp(hit->tenant, tenant->id, sizeof hit->tenant) == 0);
}

static struct hit *find(struct span id, const struct tenant *tenant)
{
    uint64_t count = written < FEEDBACK_HITS ? written : FEEDBACK_HITS;
    for (uint64_t back = 1; back <= count; back++) {
        struct hit *hit = &hits[(written - back) % FEEDBACK_HITS];
        if (span_equal(id, span_text(hit->id)) && is_of(hit, tenant)) return hit;
    }
    return NULL;
}

int feedback_apply(struct span request, const struct tenant *tenant, bool wrong)
{
    struct hit *hit = find(request, tenant);
    enum said said = wrong ? SAID_WRONG : SAID_RIGHT;
    if (!hit) return RC_NOT_FOUND;
    if (hit->said != said) learn_label(hit->unit, hit->score, !wrong, LABEL_FEEDBACK);
    hit->said = (uint8_t)said;
    if (!wrong) return RC_OK;
    struct hit copy = *hit; /* its place may be taken while this waits */
    return negative_add(copy.entry, copy.query, copy.tenant, copy.score);
}

int feedback_reject_entry(uint64_t entry)
{
    static const uint8_t nobody[ENTRY_TENANT_SIZE];
    return negative_add(entry, 0, nobody, NEGATIVE_ALWAYS);
}

void feedback_erase(const uint8_t tenant[ENTRY_TENANT_SIZE])
{
    for (unsigned i = 0; i < FEEDBACK_HITS; i++)
        if (memcmp(hits[i].tenant, tenant, sizeof hits[i].tenant) == 0) hits[i] = (struct hit){0};
}

/* ---- over HTTP */

struct told {
    struct span request;
    bool wrong;
};

static const char *read_body(struct span body, struct arena *arena, struct told *told)
{
    const struct json_value *root;
    if (json_parse(&gateway.scratch, body, &root, NULL) != RC_OK || json_kind(root) != JSON_OBJECT)
        return "The body is not a JSON object like {\"request\": \"req_...\", \"verdict\": \"wrong\"}.";
    struct span request = json_string(json_get(root, "request")), verdict = json_string(json_get(root, "verdict"));
    const struct json_value *note = json_get(root, "note");
    if (request.size == 0) return "\"request\" is missing: the id in the reply's x-request-id or request-id field.";
    if (!span_equal(verdict, SPAN("wrong")) && !span_equal(verdict, SPAN("right")))
        return "\"verdict\" is \"wrong\" or \"right\".";
    if (note && json_kind(note) != JSON_STRING && json_kind(note) != JSON_NULL) return "\"note\" is a string.";
    told->wrong = span_equal(verdict, SPAN("wrong"));
    told->request = arena_copy(arena, request);
    return told->request.data ? NULL : "The request does not fit the memory that is left for it.";
}

static void reply_done(struct request *r, const struct told *told)
{
    char bytes[160];
    struct text out = text_on(bytes, sizeof bytes);
    struct reply reply;
    reply_defaults(&reply, 200);
    text_put_text(&out, "{\"request\":");
    text_put_json(&out, told->request);
    text_format(&out, ",\"verdict\":\"%s\",\"removed\":%s}\n", told->wrong ? "wrong" : "right",
                told->wrong ? "true" : "false");
    reply_body(r, &reply, text_span(&out));
}

static void apply(struct request *r, const struct told *told)
{
    int rc = feedback_apply(told->request, &r->tenant, told->wrong);
    if (rc == RC_OK)
        reply_done(r, told);
    else if (rc == RC_NOT_FOUND)
        reply_error(r, 404, "request_not_found", NULL,
                    SPAN("This id is none of the newest semantic hits of this key. Only hits of kind semantic or pack "
                         "that came in other words can be judged; for a fresh answer to the rest send x-larder-cache: "
                         "no-cache."));
    else
        reply_error(r, 503, "not_kept", NULL,
                    SPAN("The verdict is in force, but could not be written to disk: after a restart it is forgotten. "
                         "See the box's log and disk."));
}

static bool is_welcome(struct request *r)
{
    if (r->tenant.kind != TENANT_LOCAL || r->anonymous_allowed) return true;
    r->x->close_after = true;
    reply_error(r, 401, "invalid_api_key", NULL, SPAN("Send the API key of the request that is judged."));
    return false;
}

void feedback_serve(struct request *r)
{
    struct told told;
    struct span body;
    if (!span_equal(r->x->head.method, SPAN("POST"))) {
        r->x->close_after = r->x->head.body != HTTP_BODY_NONE;
        reply_error(r, 405, "method_not_allowed", NULL, SPAN("Feedback is sent with POST."));
        return;
    }
    if (!is_welcome(r)) return;
    int rc = exchange_body(r->x, FEEDBACK_BODY_MAX, &body);
    if (rc != RC_OK) {
        r->x->close_after = true;
        reply_error(r, rc == RC_TOO_LARGE ? 413 : 400, "invalid_body", NULL,
                    SPAN("The body did not come whole, or is larger than 8 KiB."));
        return;
    }
    const char *wrong = read_body(body, r->x->arena, &told);
    if (wrong)
        reply_error(r, 400, "invalid_body", NULL, span_text(wrong));
    else
        apply(r, &told);
}
