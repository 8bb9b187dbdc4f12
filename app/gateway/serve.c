/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/serve.c — one request, from its head to its reply, top to bottom. */
#include "app/gateway/serve.h"

#include <stdio.h>

#include "app/gateway/access.h"
#include "app/gateway/answer.h"
#include "app/gateway/deferred.h"
#include "app/gateway/directives.h"
#include "app/gateway/embeddings.h"
#include "app/gateway/embeddings_cached.h"
#include "app/gateway/feedback.h"
#include "app/gateway/flight.h"
#include "app/gateway/forward.h"
#include "app/gateway/handed_ids.h"
#include "app/gateway/model_list.h"
#include "app/gateway/reply.h"
#include "app/gateway/semantic.h"
#include "app/gateway/shortcut.h"
#include "app/gateway/stateless.h"
#include "app/gateway/tenants.h"

struct endpoint_row {
    const char *path; /* of a POST */
    enum endpoint endpoint;
    enum dialect wire;
};

static const struct endpoint_row endpoints[] = {
    {"/v1/chat/completions", ENDPOINT_CHAT, DIALECT_OPENAI},
    {"/v1/messages", ENDPOINT_CHAT, DIALECT_ANTHROPIC},
    {"/v1/messages/count_tokens", ENDPOINT_CHAT, WIRE_COUNT_TOKENS},
    {"/v1/completions", ENDPOINT_CHAT, WIRE_COMPLETIONS},
    {"/v1/responses", ENDPOINT_CHAT, WIRE_RESPONSES},
    {"/v1/embeddings", ENDPOINT_EMBEDDINGS, DIALECT_OPENAI},
};

static enum dialect dialect_by_headers(const struct http_head *head)
{
    return http_field(head, "anthropic-version").data ? DIALECT_ANTHROPIC : DIALECT_OPENAI;
}

void serve_classify(struct request *r)
{
    const struct http_head *head = &r->x->head;
    for (unsigned i = 0; i < sizeof endpoints / sizeof endpoints[0]; i++)
        if (span_equal(head->path, span_text(endpoints[i].path)) && span_equal(head->method, SPAN("POST"))) {
            r->endpoint = endpoints[i].endpoint;
            r->dialect = dialect_family(endpoints[i].wire);
            r->wire = endpoints[i].wire;
            return;
        }
    r->dialect = span_starts_with(head->path, SPAN("/v1/messages")) ? DIALECT_ANTHROPIC : dialect_by_headers(head);
    bool get = span_equal(head->method, SPAN("GET")) || span_equal(head->method, SPAN("HEAD"));
    if (model_list_is_path(head->path) && get)
        r->endpoint = ENDPOINT_MODELS;
    else if (span_starts_with(head->path, SPAN("/larder/")))
        r->endpoint = ENDPOINT_OWN;
    else
        r->endpoint = span_starts_with(head->path, SPAN("/v1/")) ? ENDPOINT_PASS : ENDPOINT_UNKNOWN;
}

/* RC_DENIED: the refusal has been sent. */
static int admit(struct request *r)
{
    const char *why = NULL;
    if (access_check(r, &why) != RC_OK) {
        request_id_make(r->id);
        r->x->close_after = true;
        reply_error(r, 403, "forbidden", NULL, span_text(why));
        return RC_DENIED;
    }
    r->credential = access_credential(&r->x->head);
    r->anonymous_allowed = access_anonymous(r);
    return RC_OK;
}

/* What is announced larger than limits.body is refused before a byte of it is read. */
static int check_size(struct request *r)
{
    const struct http_head *head = &r->x->head;
    if (head->body != HTTP_BODY_SIZED || head->content_length <= r->config->limits.body) return RC_OK;
    request_id_make(r->id);
    r->x->close_after = true;
    reply_error(r, 413, "request_too_large", NULL, SPAN("The request body is larger than limits.body of the box."));
    return RC_TOO_LARGE;
}

static int identify_tenant(struct request *r)
{
    int rc = tenant_identify(r);
    if (rc == RC_OK) return RC_OK;
    r->x->close_after = !r->x->body_done;
    struct reply reply;
    if (rc == RC_AGAIN) {
        reply_defaults(&reply, 429);
        reply.retry_after_s = tenant_guess_wait_s(r);
        reply_error_with(r, &reply, "too_many_wrong_keys",
                         SPAN("Too many wrong virtual keys came from this address; keys that it has not used before "
                              "have to wait."));
        return RC_DENIED;
    }
    reply_defaults(&reply, 401);
    reply.should_retry = "false";
    reply_error_with(r, &reply, "invalid_api_key",
                     SPAN("Incorrect API key provided: this virtual key is not known here, was revoked or has expired. "
                          "Make one with: larder ctl "
                          "tenant add NAME"));
    return RC_DENIED;
}

/* The head has moved out of the shared scratch, or may have: what points into it is found again. */
static void look_again(struct request *r)
{
    r->credential = access_credential(&r->x->head);
    if (r->origin.size) r->origin = http_field(&r->x->head, "origin");
}

/* Before anything that may wait. */
static int keep(struct request *r)
{
    if (exchange_keep(r->x) != RC_OK) {
        reply_error(r, 503, "overloaded", NULL,
                    SPAN("The box has no memory left for this request; try again in a moment."));
        return RC_FULL;
    }
    look_again(r);
    return RC_OK;
}

/* ---- chat */

struct span gateway_scope(struct request *r)
{
    static const char *const names[] = {"openai-organization", "openai-project",    "openai-beta",
                                        "anthropic-beta",      "anthropic-version", "x-larder-namespace"};
    size_t room = 64 + r->x->head.size + sizeof names;
    char *bytes = arena_take(r->x->arena, room, 1);
    if (!bytes) return (struct span){0};
    struct text out = text_on(bytes, room);
    r->shared = r->route && r->route->share_box && tenant_is_proven(&r->tenant);
    text_put(&out, r->shared ? "box" : "own", 3);
    if (!r->shared) text_put(&out, (const char *)r->tenant.id, sizeof r->tenant.id);
    text_put_text(&out, dialect_name(request_wire(r)));
    text_put_char(&out, '?');
    text_put_span(&out, r->x->head.query);
    text_put_char(&out, 0);
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct span value = http_field(&r->x->head, names[i]);
        text_put_char(&out, (char)('0' + i));
        text_put_u64(&out, value.size);
        text_put_char(&out, ':');
        text_put_span(&out, value);
    }
    return text_span(&out);
}

/* The parts explain misses: a tenant must not learn from them what another one asked. */
static void separate_tenants(struct request *r)
{
    uint64_t tenant;
    memcpy(&tenant, r->tenant.id, sizeof tenant);
    for (unsigned part = 0; part < PARTS; part++) r->question.parts.digest[part] ^= tenant;
}

/* A question without its scope would be everybody's: no memory for it, no question. */
static int read_in_scope(struct request *r, const struct config_route *route, struct span *error)
{
    struct question_context context = {
        .dialect = request_wire(r), .scope = gateway_scope(r), .key = &gateway.space_key};
    if (!context.scope.data) return RC_FULL;
    if (route) {
        context.masks = route->masks;
        context.mask_count = route->mask_count;
    }
    return question_read(r->body, &context, &gateway.scratch, r->x->arena, &r->question, error);
}

/* The route decides about masks, and the model about the route: read once without masks when the first route that could
 * match has none, which is the rule. */
int serve_read_question(struct request *r, struct span *error)
{
    int rc = read_in_scope(r, NULL, error);
    if (rc == RC_OK) r->route = gateway_route(r->config, r->dialect, r->question.model);
    if (rc == RC_OK && r->route && (r->route->mask_count || r->route->share_box))
        rc = read_in_scope(r, r->route, error);
    if (rc == RC_OK) separate_tenants(r);
    return rc;
}

static int read_question(struct request *r)
{
    struct span error = {0};
    int rc = serve_read_question(r, &error);
    if (rc == RC_OK) return rc;
    bool theirs = rc == RC_INVALID || rc == RC_TOO_LARGE;
    reply_error(r, theirs ? 400 : 503, theirs ? "invalid_body" : "overloaded", NULL,
                error.size ? error : SPAN("The box has no memory left for this request; try again in a moment."));
    return rc;
}

static bool bypasses(const struct request *r)
{
    return r->question.bypass || (r->question.flags & QUESTION_DUPLICATE) || r->directives.no_store ||
           !r->route->exact || (r->tenant.kind == TENANT_LOCAL && !r->anonymous_allowed);
}

static void refuse_only_if_cached(struct request *r)
{
    struct reply reply;
    reply_defaults(&reply, 504);
    reply.cache_status = "fwd=miss; detail=only-if-cached";
    reply.miss = miss_text(r->miss, r->miss_part);
    reply.should_retry = "false";
    reply_error_with(r, &reply, "not_cached",
                     SPAN("Nothing stored answers this request, and only-if-cached forbids asking the provider."));
}

static void refuse_larder_model(struct request *r)
{
    reply_error(r, 404, "model_not_found", "fwd=miss; detail=pack",
                SPAN("The model `larder` answers from the box's packs only, and none of them knows this question."));
}

static void explain_miss(struct request *r, bool bypass)
{
    enum miss_reason known = r->miss;
    miss_explain(&r->question.parts, &r->miss, &r->miss_part);
    if (bypass)
        r->miss = MISS_BYPASS;
    else if (known != MISS_NONE)
        r->miss = known;
    if (!bypass) miss_remember(&r->question.parts);
}

static void answer_upstream(struct request *r, bool bypass)
{
    explain_miss(r, bypass);
    if (r->directives.only_if_cached) {
        refuse_only_if_cached(r);
        return;
    }
    flight_lead(r, bypass);
}

static int join(struct request *r)
{
    return r->bypass || r->directives.only_if_cached ? RC_NOT_FOUND : flight_join(r);
}

/* While this waited for its lookup the same may have been asked, or even answered. */
static int answer_again(struct request *r)
{
    if (r->bypass || tenant_was_rejected(&r->tenant)) return RC_NOT_FOUND;
    return answer_exact(r) == RC_OK ? RC_OK : join(r);
}

static void refuse_previous(struct request *r)
{
    struct reply reply;
    reply_defaults(&reply, 404);
    reply.cache_status = "fwd=bypass";
    reply.should_retry = "false";
    reply_error_with(
        r, &reply, "previous_response_not_found",
        SPAN("The response or conversation that this request goes on from is not known to the box as one of "
             "this key's."));
}

static void serve_question(struct request *r)
{
    r->bypass = bypasses(r);
    if (!r->bypass && !tenant_was_rejected(&r->tenant) && answer_exact(r) == RC_OK) return;
    if (answer_pack(r, false) == RC_OK) return;
    if (span_equal(r->question.model, SPAN("larder"))) {
        if (answer_larder(r) != RC_OK) refuse_larder_model(r);
        return;
    }
    if (join(r) == RC_OK || answer_semantic(r) == RC_OK) return;
    if (r->semantic.looked && answer_again(r) == RC_OK) return;
    answer_upstream(r, r->bypass);
}

static void refuse_body(struct request *r, int rc)
{
    request_id_make(r->id);
    r->x->close_after = true;
    if (rc == RC_INVALID)
        reply_error(r, 400, "invalid_body", NULL, SPAN("The chunked body is not well formed."));
    else if (rc == RC_TIMEOUT)
        reply_error(r, 408, "body_timeout", NULL,
                    SPAN("The request body did not come in time: see limits.timeouts.body."));
    else if (rc == RC_FULL)
        reply_error(r, 503, "overloaded", NULL,
                    SPAN("The box has no memory left for this request; try again in a moment."));
    else
        exchange_abort(r->x); /* the client is gone */
}

static void serve_chat(struct request *r)
{
    int rc = exchange_body(r->x, r->config->limits.parse_max, &r->body);
    look_again(r); /* it may have waited */
    if (rc != RC_OK && rc != RC_TOO_LARGE) {
        refuse_body(r, rc);
        return;
    }
    if (rc == RC_OK) {
        directives_read(&r->x->head, &r->directives);
        r->shortcut = shortcut_hash(r);
        if (!r->directives.present && answer_shortcut(r) == RC_OK) return;
    }
    request_id_make(r->id);
    if (keep(r) != RC_OK) return;
    if (rc == RC_OK && !r->directives.present && answer_shortcut_stored(r) == RC_OK) return;
    if (identify_tenant(r) != RC_OK) return;
    r->body = r->x->body;
    if (rc == RC_TOO_LARGE) {
        /* unread, it may name an answer of another client of the box's key */
        forward_stream(r, request_wire(r) != WIRE_RESPONSES, r->body, true);
        return;
    }
    if (read_question(r) != RC_OK) return;
    if (!r->route) {
        reply_error(r, 404, "model_not_found", NULL,
                    SPAN("No route of the configuration matches this model: see `routes`."));
        return;
    }
    if (handed_ids_foreign(r))
        refuse_previous(r);
    else
        serve_question(r);
}

/* ---- the rest */

/* `more`: of the body, behind `prefix`. */
static void pass(struct request *r, struct span prefix, bool more)
{
    bool stateless = stateless_path(r->x->head.method, r->x->head.path) || handed_ids_path(r);
    if (r->tenant.kind != TENANT_PASSTHROUGH && !stateless) {
        r->x->close_after = more;
        reply_error(r, 404, "not_found", "fwd=bypass",
                    SPAN("This path is not one of the box's; other /v1/ paths pass through only with the client's own "
                         "API key."));
        return;
    }
    forward_stream(r, stateless, prefix, more);
}

static void serve_pass(struct request *r)
{
    pass(r, (struct span){0}, r->x->head.body != HTTP_BODY_NONE);
}

/* Which model is asked for stands in the body. */
static void serve_embeddings(struct request *r)
{
    if (r->x->head.body == HTTP_BODY_NONE) {
        serve_pass(r);
        return;
    }
    int rc = exchange_body(r->x, r->config->limits.parse_max, &r->body);
    if (rc == RC_TOO_LARGE)
        pass(r, r->body, true);
    else if (rc != RC_OK)
        refuse_body(r, rc);
    else if (!embeddings_serve(r) && !embeddings_cached_serve(r))
        pass(r, r->body, false);
}

static void serve_unknown(struct request *r)
{
    r->x->close_after = r->x->head.body != HTTP_BODY_NONE;
    if (span_equal(r->x->head.path, SPAN("/")) && r->x->head.body == HTTP_BODY_NONE) {
        struct reply reply;
        reply_defaults(&reply, 200);
        reply.content_type = "text/plain; charset=utf-8";
        reply_body(r, &reply, SPAN("Larder is here. Point an OpenAI client at /v1, an Anthropic client at /.\n"));
        return;
    }
    reply_error(r, 404, "not_found", NULL,
                SPAN("Not found. The box serves /v1/chat/completions, /v1/responses, /v1/completions, /v1/messages, "
                     "/v1/embeddings and "
                     "/v1/models; other /v1/ paths pass through."));
}

static void serve_own(struct request *r)
{
    if (span_equal(r->x->head.path, SPAN("/larder/v1/feedback")))
        feedback_serve(r);
    else if (deferred_is_path(r->x->head.path))
        deferred_serve(r);
    else
        serve_unknown(r);
}

static void serve(struct request *r)
{
    if (admit(r) != RC_OK || check_size(r) != RC_OK) return;
    if (r->endpoint == ENDPOINT_CHAT) {
        serve_chat(r);
        return;
    }
    request_id_make(r->id);
    if (access_is_preflight(r) && r->origin.size) {
        access_answer_preflight(r);
        return;
    }
    if (keep(r) != RC_OK || identify_tenant(r) != RC_OK) return;
    if (r->endpoint == ENDPOINT_MODELS)
        model_list_serve(r);
    else if (r->endpoint == ENDPOINT_EMBEDDINGS)
        serve_embeddings(r);
    else if (r->endpoint == ENDPOINT_PASS)
        serve_pass(r);
    else if (r->endpoint == ENDPOINT_OWN)
        serve_own(r);
    else
        serve_unknown(r);
}

void gateway_serve(struct exchange *x)
{
    struct request r;
    memset(&r, 0, sizeof r);
    r.x = x;
    r.generation = gateway.current;
    r.config = gateway.current->config;
    generation_hold(r.generation);
    gateway.request_counter++;
    serve_classify(&r);
    serve(&r);
    generation_release(r.generation);
}
