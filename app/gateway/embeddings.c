/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/embeddings.c — see embeddings.h. */
#include "app/gateway/embeddings.h"

#include <stdio.h>

#include "app/gateway/reply.h"
#include "app/gateway/upstream_call.h"
#include "cache/embed.h"
#include "platform/check.h"
#include "platform/clock.h"
#include "platform/crypto.h"
#include "platform/offload.h"

enum {
    NUMBER_SIZE_MAX = 17, /* "-1.23456789e-38," */
    ITEM_SIZE_MAX = 64 + EMBED_DIM_MAX * NUMBER_SIZE_MAX,
    MESSAGE_SIZE = 240,
    FULL_WAITS = 200, /* times a full queue is waited for */
    FULL_WAIT_US = 5000,
};

struct embeddings {
    struct request *r;
    struct span *inputs;
    unsigned count;
    bool base64;
    uint64_t pieces;
    struct text reply;
};

/* One text on a worker; the fiber waits and lends everything. */
struct job {
    struct embeddings *e;
    unsigned index, pieces;
    int rc;
};

static const struct span own_names[EMBED_KINDS] = {
    [EMBED_MINILM] = SPAN_ROW("larder/minilm"), [EMBED_NGRAM] = SPAN_ROW("larder/ngram")};

struct span embeddings_model(void)
{
    return own_names[embed_current()->kind];
}

static int refuse(struct request *r, unsigned status, const char *code, struct span message)
{
    reply_error(r, status, code, NULL, message);
    return RC_INVALID;
}

/* ---- reading */

static int refuse_input(struct request *r, unsigned index, const char *what)
{
    char message[MESSAGE_SIZE];
    snprintf(message, sizeof message, "Invalid input: input[%u] %s.", index, what);
    return refuse(r, 400, "invalid_input", span_text(message));
}

/* Copied: the tree lives in the lane's scratch, and jobs wait. */
static int take_input(struct embeddings *e, const struct json_value *v)
{
    enum json_kind kind = json_kind(v);
    if (kind == JSON_NUMBER || kind == JSON_ARRAY)
        return refuse(e->r, 400, "unsupported_input",
                      SPAN("Arrays of tokens are not supported by the box's own models: send `input` as text."));
    if (kind != JSON_STRING) return refuse_input(e->r, e->count, "is not a string");
    if (json_string(v).size == 0) return refuse_input(e->r, e->count, "is an empty string");
    struct span copy = arena_copy(e->r->x->arena, json_string(v));
    if (!copy.data)
        return refuse(e->r, 503, "overloaded",
                      SPAN("The box has no memory left for this request; try again in a moment."));
    e->inputs[e->count++] = copy;
    return RC_OK;
}

static int read_inputs(struct embeddings *e, const struct json_value *input)
{
    int rc = RC_OK;
    if (json_kind(input) != JSON_ARRAY) {
        if (json_kind(input) == JSON_STRING) return take_input(e, input);
        return refuse(e->r, 400, "invalid_input", SPAN("`input` is missing: a string, or an array of strings."));
    }
    if (json_count(input) == 0 || json_count(input) > EMBEDDINGS_INPUTS_MAX) {
        char message[MESSAGE_SIZE];
        snprintf(message, sizeof message, "`input` has %zu elements; the box's own models take 1 to %d at a time.",
                 json_count(input), EMBEDDINGS_INPUTS_MAX);
        return refuse(e->r, 400, "invalid_input", span_text(message));
    }
    for (struct json_walk walk = json_walk(input); rc == RC_OK && json_next(&walk);) rc = take_input(e, walk.value);
    return rc;
}

static int read_format(struct embeddings *e, const struct json_value *root)
{
    const struct json_value *format = json_get(root, "encoding_format"), *dimensions = json_get(root, "dimensions");
    struct span name = json_kind(format) <= JSON_NULL ? SPAN("float") : json_string(format);
    int64_t dim;
    e->base64 = span_equal(name, SPAN("base64"));
    if (!e->base64 && !span_equal(name, SPAN("float")))
        return refuse(e->r, 400, "invalid_encoding_format", SPAN("`encoding_format` is float or base64."));
    if (json_kind(dimensions) <= JSON_NULL) return RC_OK;
    if (json_i64(dimensions, &dim) == RC_OK && dim == embed_current()->dim) return RC_OK;
    char message[MESSAGE_SIZE];
    snprintf(message, sizeof message, "`dimensions` can only be %u for this model.", embed_current()->dim);
    return refuse(e->r, 400, "invalid_dimensions", span_text(message));
}

/* ---- a job */

static void put_numbers(struct text *out, const float *vector, unsigned dim)
{
    char number[NUMBER_SIZE_MAX + 8];
    text_put_char(out, '[');
    for (unsigned i = 0; i < dim; i++) {
        int size = snprintf(number, sizeof number, i > 0 ? ",%.9g" : "%.9g", (double)vector[i]);
        text_put(out, number, (size_t)size);
    }
    text_put_char(out, ']');
}

/* Little-endian float32, as OpenAI's clients take it. */
static void put_base64(struct text *out, const float *vector, unsigned dim)
{
    char encoded[EMBED_DIM_MAX * sizeof(float) * 4 / 3 + 4];
    text_put_char(out, '"');
    text_put(out, encoded, base64_encode(vector, dim * sizeof *vector, encoded));
    text_put_char(out, '"');
}

static void run_job(void *arg)
{
    struct job *job = arg;
    struct embeddings *e = job->e;
    float vector[EMBED_DIM_MAX];
    const unsigned dim = embed_current()->dim;
    job->rc = embed_text_pieces(e->inputs[job->index], false, vector, NULL, &job->pieces);
    if (job->rc != RC_OK) return;
    if (job->index > 0) text_put_char(&e->reply, ',');
    text_put_text(&e->reply, "{\"object\":\"embedding\",\"index\":");
    text_put_u64(&e->reply, job->index);
    text_put_text(&e->reply, ",\"embedding\":");
    if (e->base64)
        put_base64(&e->reply, vector, dim);
    else
        put_numbers(&e->reply, vector, dim);
    text_put_char(&e->reply, '}');
}

/* A full queue has other requests' jobs in it: they go first, for a second at most. */
static int offload_patiently(struct job *job)
{
    int rc = offload(run_job, job);
    for (unsigned i = 0; rc == RC_FULL && i < FULL_WAITS; i++) {
        if (fiber_sleep_until(clock_monotonic_us() + FULL_WAIT_US) != RC_OK) return RC_CANCELLED;
        rc = offload(run_job, job);
    }
    return rc == RC_OK ? job->rc : rc;
}

static int refuse_job(struct request *r, const struct job *job, int rc)
{
    struct reply reply;
    if (rc == RC_TOO_LARGE) {
        char what[MESSAGE_SIZE];
        snprintf(what, sizeof what, "is longer than the %d tokens this model takes", MODEL_PIECES_MAX);
        return refuse_input(r, job->index, what);
    }
    if (rc == RC_EMPTY) return refuse_input(r, job->index, "has no words");
    if (rc == RC_CANCELLED) {
        exchange_abort(r->x); /* the client is gone */
        return rc;
    }
    reply_defaults(&reply, 503);
    reply.retry_after_s = 1;
    struct span message = rc == RC_AGAIN ? SPAN("The model is still being read; try again in a moment.")
                          : rc == RC_CORRUPT
                              ? SPAN("The box's model file is damaged; its operator must import it anew.")
                              : SPAN("The box is computing too much already; try again in a moment.");
    reply_error_with(r, &reply, rc == RC_CORRUPT ? "model_damaged" : "overloaded", message);
    return rc;
}

/* ---- the reply */

static int begin_reply(struct embeddings *e)
{
    size_t room = 256 + e->count * (size_t)(64 + embed_current()->dim * NUMBER_SIZE_MAX);
    char *bytes = arena_take(e->r->x->arena, room, 1);
    if (!bytes)
        return refuse(e->r, 503, "overloaded",
                      SPAN("The box has no memory left for this request; try again in a moment."));
    e->reply = text_on(bytes, room);
    text_put_text(&e->reply, "{\"object\":\"list\",\"data\":[");
    return RC_OK;
}

static int embed_all(struct embeddings *e)
{
    for (unsigned i = 0; i < e->count; i++) {
        struct job job = {.e = e, .index = i};
        int rc = fiber_cancelled() ? RC_CANCELLED : offload_patiently(&job);
        if (rc != RC_OK) return refuse_job(e->r, &job, rc);
        e->pieces += job.pieces;
    }
    return RC_OK;
}

static void end_reply(struct embeddings *e)
{
    struct reply reply;
    text_put_text(&e->reply, "],\"model\":");
    text_put_json(&e->reply, embeddings_model());
    text_put_text(&e->reply, ",\"usage\":{\"prompt_tokens\":");
    text_put_u64(&e->reply, e->pieces);
    text_put_text(&e->reply, ",\"total_tokens\":");
    text_put_u64(&e->reply, e->pieces);
    text_put_text(&e->reply, "}}");
    CHECK(!e->reply.truncated);
    reply_defaults(&reply, 200);
    reply_body(e->r, &reply, text_span(&e->reply));
}

static void serve_own(struct request *r, const struct json_value *root)
{
    struct embeddings e = {.r = r};
    if (!payment_is_welcome(r)) {
        (void)refuse(r, 401, "invalid_api_key",
                     SPAN("The box's own models take a virtual key of the box (larder ctl tenant add NAME), or no key "
                          "where access.anonymous allows it."));
        return;
    }
    e.inputs = arena_take(r->x->arena, EMBEDDINGS_INPUTS_MAX * sizeof *e.inputs, _Alignof(struct span));
    if (!e.inputs) {
        (void)refuse(r, 503, "overloaded", SPAN("The box has no memory left for this request; try again."));
        return;
    }
    int rc = read_format(&e, root);
    if (rc == RC_OK) rc = read_inputs(&e, json_get(root, "input"));
    if (rc == RC_OK) rc = begin_reply(&e);
    if (rc == RC_OK) rc = embed_all(&e);
    if (rc == RC_OK) end_reply(&e);
}

bool embeddings_serve(struct request *r)
{
    const struct json_value *root;
    if (json_parse(&gateway.scratch, r->body, &root, NULL) != RC_OK) return false;
    struct span model = json_string(json_get(root, "model"));
    if (!span_starts_with(model, SPAN("larder/"))) return false;
    if (!span_equal(model, embeddings_model()))
        (void)refuse(r, 404, "model_not_found",
                     SPAN("This model of the box is not loaded: see semantic.embedder, and GET /v1/models."));
    else
        serve_own(r, root);
    return true;
}
