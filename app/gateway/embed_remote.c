/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/embed_remote.c — see embed_remote.h. */
#include "app/gateway/embed_remote.h"

#include <math.h>
#include <stdio.h>

#include "app/gateway/gateway.h"
#include "platform/check.h"
#include "platform/clock.h"
#include "platform/log.h"
#include "platform/metric.h"
#include "platform/plan.h"

enum { HEAD_SIZE = 1024, REQUEST_EXTRA = 512, REPLY_EXTRA = 4096, JSON_ESCAPE = 6 /* \u00XX for one byte */ };

enum waiting_state { WAITING_FREE, WAITING_FOR_CALL, WAITING_FOR_REPLY, WAITING_DONE };

struct waiting {
    enum waiting_state state;
    struct fiber *fiber;
    uint64_t ticket; /* whose it is: the fiber may have gone and another taken its place */
    struct span text;
    float *vector;
    int rc;
};

struct batch {
    unsigned place[REMOTE_BATCH];
    uint64_t ticket[REMOTE_BATCH];
    unsigned count;
};

static struct {
    struct upstream *upstream;
    struct span host, path, key, model;
    unsigned port, dim;
    bool tls;
    struct text head, body;
    char *reply;
    size_t reply_size;
    struct waiting waiting[REMOTE_WAITING];
    uint64_t tickets;
    bool calling;
    unsigned failures; /* in a row */
    uint64_t rest_until_us;
} remote;

static struct metric calls = {
    .name = "larder_embed_remote_calls_total", .kind = METRIC_COUNTER, .help = "Calls of the remote embedder."};
static struct metric texts = {
    .name = "larder_embed_remote_texts_total", .kind = METRIC_COUNTER, .help = "Texts in these calls."};
static struct metric failed = {
    .name = "larder_embed_remote_failures_total", .kind = METRIC_COUNTER, .help = "Calls that brought no vectors."};

/* ---- boot */

static bool is_remote(const struct config *config)
{
    return span_equal(config->embedder, SPAN("remote"));
}

int embed_remote_reserve(const struct config *config)
{
    void *region;
    if (!is_remote(config)) return RC_OK;
    size_t body = (size_t)REMOTE_BATCH * REMOTE_TEXT_MAX * JSON_ESCAPE + REQUEST_EXTRA;
    remote.reply_size = (size_t)REMOTE_BATCH * config->remote_dim * REMOTE_NUMBER_SIZE + REPLY_EXTRA;
    int rc = plan_take("embed remote buffers", 1, HEAD_SIZE + body + remote.reply_size, PLAN_LAZY, 0,
                       "semantic.embedder", &region);
    if (rc != RC_OK) return rc;
    remote.head = text_on(region, HEAD_SIZE);
    remote.body = text_on((char *)region + HEAD_SIZE, body);
    remote.reply = (char *)region + HEAD_SIZE + body;
    metric_register(&calls);
    metric_register(&texts);
    metric_register(&failed);
    return RC_OK;
}

int embed_remote_open(const struct config *config, char *message, size_t message_size)
{
    struct tls_trust *trust = NULL;
    char why[TLS_MESSAGE_MAX] = "";
    if (!is_remote(config)) return RC_OK;
    int rc = config->remote_tls ? tls_trust_load(SPAN("system"), (struct span){0}, &trust, why) : RC_OK;
    if (rc != RC_OK) {
        snprintf(message, message_size, "semantic.remote: the machine's certificates cannot be used: %s", why);
        return rc;
    }
    struct upstream_options options = {.name = SPAN("embedder"),
                                       .host = config->remote_host,
                                       .port = config->remote_port,
                                       .tls = config->remote_tls,
                                       .trust = trust,
                                       .concurrent = REMOTE_CALLS,
                                       .queue = REMOTE_CALLS,
                                       .connect_us = REMOTE_PATIENCE_US,
                                       .first_byte_us = REMOTE_PATIENCE_US,
                                       .idle_us = REMOTE_PATIENCE_US,
                                       .idle_keep_us = UINT64_C(55) * CLOCK_SECOND};
    rc = upstream_open(&options, &remote.upstream);
    if (rc != RC_OK) {
        snprintf(message, message_size, "semantic.remote: no room for another provider");
        return rc;
    }
    remote.host = config->remote_host;
    remote.port = config->remote_port;
    remote.tls = config->remote_tls;
    remote.path = config->remote_path;
    remote.key = config->remote_key;
    remote.model = config->remote_model;
    remote.dim = config->remote_dim;
    embed_remote_set(embed_remote_ask);
    return RC_OK;
}

/* ---- a call */

static struct waiting *of_batch(const struct batch *batch, unsigned i)
{
    struct waiting *w = &remote.waiting[batch->place[i]];
    return w->ticket == batch->ticket[i] && w->state == WAITING_FOR_REPLY ? w : NULL;
}

/* Its own first: the caller is one of them. */
static void take(struct batch *batch, unsigned place)
{
    struct waiting *w = &remote.waiting[place];
    text_put_text(&remote.body, batch->count ? "," : "");
    text_put_json(&remote.body, w->text);
    w->state = WAITING_FOR_REPLY;
    batch->place[batch->count] = place;
    batch->ticket[batch->count++] = w->ticket;
}

static void write_body(struct batch *batch, unsigned own)
{
    text_clear(&remote.body);
    text_put_text(&remote.body, "{\"model\":");
    text_put_json(&remote.body, remote.model);
    text_put_text(&remote.body, ",\"encoding_format\":\"float\",\"input\":[");
    take(batch, own);
    for (unsigned i = 0; i < REMOTE_WAITING && batch->count < REMOTE_BATCH; i++)
        if (remote.waiting[i].state == WAITING_FOR_CALL) take(batch, i);
    text_put_text(&remote.body, "]}");
}

static void write_head(void)
{
    struct text *out = &remote.head;
    bool v6 = memchr(remote.host.data, ':', remote.host.size) != NULL;
    text_clear(out);
    text_format(out, "POST %.*s/embeddings HTTP/1.1\r\nHost: %s%.*s%s", SPAN_ARG(remote.path), v6 ? "[" : "",
                SPAN_ARG(remote.host), v6 ? "]" : "");
    if (remote.port != (remote.tls ? 443u : 80u)) text_format(out, ":%u", remote.port);
    text_format(out, "\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n", remote.body.size);
    if (remote.key.size) text_format(out, "Authorization: Bearer %.*s\r\n", SPAN_ARG(remote.key));
    text_put_text(out, "Accept-Encoding: identity\r\n\r\n");
}

static int read_reply(struct upstream_call *call, uint64_t deadline_us, size_t *size)
{
    struct span piece;
    int rc;
    *size = 0;
    while ((rc = upstream_read(call, &piece, deadline_us)) == RC_OK) {
        if (piece.size > remote.reply_size - *size) return RC_TOO_LARGE;
        memcpy(remote.reply + *size, piece.data, piece.size);
        *size += piece.size;
    }
    return rc == RC_EMPTY ? RC_OK : rc;
}

static int exchange(uint64_t deadline_us, size_t *size)
{
    struct upstream_call call = {0};
    int rc = upstream_begin(remote.upstream, &call, SPAN("POST"), text_span(&remote.head), text_span(&remote.body),
                            deadline_us);
    if (rc != RC_OK) return rc;
    rc = upstream_reply(&call, deadline_us);
    if (rc == RC_OK && call.head.status != 200) rc = RC_INVALID;
    if (rc == RC_OK) rc = read_reply(&call, deadline_us, size);
    upstream_end(&call);
    return rc;
}

/* ---- its reply */

/* Exactly as wide as configured, not all zero, every number finite; made one long. */
static int read_vector(const struct json_value *numbers, float *vector)
{
    double square = 0, number;
    unsigned i = 0;
    if (json_kind(numbers) != JSON_ARRAY || json_count(numbers) != remote.dim) return RC_INVALID;
    for (struct json_walk walk = json_walk(numbers); json_next(&walk); i++) {
        if (json_double(walk.value, &number) != RC_OK) return RC_INVALID;
        vector[i] = (float)number;
        square += number * number;
    }
    if (!isfinite(square) || square <= 0) return RC_INVALID;
    float scale = (float)(1 / sqrt(square));
    for (i = 0; i < remote.dim; i++) vector[i] *= scale;
    return RC_OK;
}

static int read_row(const struct batch *batch, const struct json_value *row, uint64_t *seen)
{
    int64_t index;
    if (json_i64(json_get(row, "index"), &index) != RC_OK || index < 0 || index >= batch->count) return RC_INVALID;
    if (*seen >> index & 1) return RC_INVALID;
    *seen |= UINT64_C(1) << index;
    struct waiting *w = of_batch(batch, (unsigned)index);
    return w ? read_vector(json_get(row, "embedding"), w->vector) : RC_OK;
}

static int read_vectors(const struct batch *batch, struct span reply)
{
    const struct json_value *root;
    struct json_error error;
    uint64_t seen = 0;
    if (json_parse(&gateway.scratch, reply, &root, &error) != RC_OK) return RC_INVALID;
    const struct json_value *rows = json_get(root, "data");
    if (json_kind(rows) != JSON_ARRAY || json_count(rows) != batch->count) return RC_INVALID;
    for (struct json_walk walk = json_walk(rows); json_next(&walk);) {
        int rc = read_row(batch, walk.value, &seen);
        if (rc != RC_OK) return rc;
    }
    return RC_OK;
}

/* ---- whose turn it is */

static void settle(int rc)
{
    metric_add(&calls, 1);
    if (rc == RC_OK) {
        if (remote.failures >= REMOTE_FAILURES) log_info("embed", "the remote embedder answers again");
        remote.failures = 0;
        return;
    }
    metric_add(&failed, 1);
    remote.failures++;
    remote.rest_until_us = clock_monotonic_us() + REMOTE_REST_US;
    if (remote.failures == REMOTE_FAILURES)
        log_warn("embed", "the remote embedder fails (%s): nothing similar is found until it answers with %u numbers",
                 rc_name(rc), remote.dim);
}

/* The caller's client has gone: the others' texts go into the next call. */
static void give_back(const struct batch *batch)
{
    for (unsigned i = 1; i < batch->count; i++) {
        struct waiting *w = of_batch(batch, i);
        if (w) w->state = WAITING_FOR_CALL;
    }
}

static void hand_out(const struct batch *batch, int rc)
{
    for (unsigned i = 0; i < batch->count; i++) {
        struct waiting *w = of_batch(batch, i);
        if (!w) continue;
        w->state = WAITING_DONE;
        w->rc = rc;
        if (w->fiber != fiber_self()) fiber_wake(w->fiber, RC_OK);
    }
}

static void wake_next_caller(void)
{
    for (unsigned i = 0; i < REMOTE_WAITING; i++) {
        if (remote.waiting[i].state != WAITING_FOR_CALL) continue;
        fiber_wake(remote.waiting[i].fiber, RC_OK);
        return;
    }
}

static int call_for_all(unsigned own, uint64_t deadline_us)
{
    struct batch batch = {.count = 0};
    size_t size = 0;
    remote.calling = true;
    write_body(&batch, own);
    write_head();
    CHECK(!remote.body.truncated);
    int rc = remote.head.truncated ? RC_TOO_LARGE : exchange(deadline_us, &size);
    remote.calling = false;
    if (rc == RC_CANCELLED) {
        give_back(&batch);
    } else {
        if (rc == RC_OK) rc = read_vectors(&batch, span_of(remote.reply, size));
        metric_add(&texts, batch.count);
        settle(rc);
        hand_out(&batch, rc);
    }
    wake_next_caller();
    return rc;
}

static unsigned take_place(struct span text, float *vector)
{
    unsigned place = 0;
    while (place < REMOTE_WAITING && remote.waiting[place].state != WAITING_FREE) place++;
    if (place < REMOTE_WAITING)
        remote.waiting[place] = (struct waiting){.state = WAITING_FOR_CALL,
                                                 .fiber = fiber_self(),
                                                 .ticket = ++remote.tickets,
                                                 .text = text,
                                                 .vector = vector};
    return place;
}

static bool is_resting(void)
{
    if (remote.failures < REMOTE_FAILURES) return false;
    if (clock_monotonic_us() < remote.rest_until_us) return true;
    remote.rest_until_us = clock_monotonic_us() + REMOTE_REST_US; /* this one tries */
    return false;
}

int embed_remote_ask(struct span text, float *vector)
{
    uint64_t deadline_us = clock_monotonic_us() + REMOTE_PATIENCE_US;
    if (!remote.upstream) return RC_EMPTY;
    if (text.size > REMOTE_TEXT_MAX) return RC_TOO_LARGE;
    if (is_resting()) return RC_UNREACHABLE;
    unsigned place = take_place(text, vector);
    if (place == REMOTE_WAITING) return RC_FULL;
    struct waiting *w = &remote.waiting[place];
    int rc = RC_OK;
    while (rc == RC_OK && w->state != WAITING_DONE) {
        if (w->state == WAITING_FOR_CALL && !remote.calling)
            rc = call_for_all(place, deadline_us);
        else
            rc = fiber_park(deadline_us);
    }
    if (w->state == WAITING_DONE) rc = w->rc;
    bool was_next = w->state == WAITING_FOR_CALL && !remote.calling;
    w->state = WAITING_FREE;
    if (was_next) wake_next_caller();
    return rc;
}
