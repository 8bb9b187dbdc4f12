/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/semantic.c — see semantic.h. */
#include "app/gateway/semantic.h"

#include "app/config_table.h"
#include "app/gateway/answer.h"
#include "app/gateway/learn.h"
#include "app/gateway/negative.h"
#include "app/gateway/pack_words.h"
#include "app/gateway/shadow.h"
#include "app/gateway/tenants.h"
#include "platform/check.h"
#include "platform/clock.h"
#include "platform/fiber.h"
#include "platform/metric.h"

static unsigned looking;

/* ---- figures */

static const char *const skip_names[SKIPS] = {
    [SKIP_ROUTE] = "route",       [SKIP_TOOLS] = "tools",       [SKIP_MEDIA] = "media",
    [SKIP_MANY] = "many",         [SKIP_SCHEMA] = "schema",     [SKIP_HISTORY] = "history",
    [SKIP_ENDPOINT] = "endpoint", [SKIP_LONG] = "long",         [SKIP_EMPTY] = "empty",
    [SKIP_BYPASS] = "bypass",     [SKIP_WISH] = "wish",         [SKIP_SAMPLED] = "sampled",
    [SKIP_REJECTED] = "rejected", [SKIP_EMBEDDER] = "embedder", [SKIP_NOT_READY] = "not_ready",
    [SKIP_BUSY] = "busy",         [SKIP_TIMEOUT] = "timeout",   [SKIP_FAILED] = "failed",
};

enum outcome { OUTCOME_HIT, OUTCOME_BELOW, OUTCOME_VETO, OUTCOME_NOTHING, OUTCOMES };
static const char *const outcome_labels[OUTCOMES] = {"outcome=\"hit\"", "outcome=\"below\"", "outcome=\"veto\"",
                                                     "outcome=\"no_candidate\""};

enum stage { STAGE_EMBED, STAGE_SCAN, STAGE_RESCORE, STAGE_GUARDS, STAGE_ALL, STAGES };
static const char *const stage_labels[STAGES] = {"stage=\"embed\"", "stage=\"scan\"", "stage=\"rescore\"",
                                                 "stage=\"guards\"", "stage=\"semantic\""};

static struct metric skipped[SKIPS], outcomes[OUTCOMES], vetoes[GUARDS], stages[STAGES];
static struct metric_histogram stage_times[STAGES];
static char skip_labels[SKIPS][32], veto_labels[GUARDS][32];

static void register_counter(struct metric *m, const char *name, const char *labels, const char *help)
{
    m->name = name;
    m->labels = labels;
    m->help = help;
    m->kind = METRIC_COUNTER;
    metric_register(m);
}

static const char *label(char *buffer, size_t size, const char *name, const char *value)
{
    struct text out = text_on(buffer, size);
    text_format(&out, "%s=\"%s\"", name, value);
    return buffer;
}

static void register_all(void)
{
    for (unsigned i = 0; i < OUTCOMES; i++)
        register_counter(&outcomes[i], "larder_semantic_lookups_total", outcome_labels[i],
                         "Semantic lookups by what came of the best candidate");
    for (unsigned i = 0; i < SKIPS; i++)
        register_counter(&skipped[i], "larder_semantic_skipped_total",
                         label(skip_labels[i], sizeof skip_labels[0], "reason", skip_names[i]),
                         "Requests that were not looked up in other words, by reason");
    for (unsigned i = 0; i < GUARDS; i++)
        register_counter(&vetoes[i], "larder_semantic_vetoes_total",
                         label(veto_labels[i], sizeof veto_labels[0], "guard", guard_name((enum guard)i)),
                         "Best candidates that a guard spoke against");
    for (unsigned i = 0; i < STAGES; i++) {
        stages[i].name = "larder_stage_seconds";
        stages[i].labels = stage_labels[i];
        stages[i].kind = METRIC_HISTOGRAM;
        stages[i].histogram = &stage_times[i];
        metric_register(&stages[i]);
    }
}

int semantic_step_reserve(const struct config *config)
{
    register_all();
    int rc = learn_reserve();
    if (rc == RC_OK) rc = negative_reserve();
    if (rc == RC_OK) rc = shadow_reserve(config);
    return rc;
}

const char *semantic_skip_name(enum semantic_skip skip)
{
    return skip_names[skip];
}

uint64_t semantic_skipped(enum semantic_skip skip)
{
    return metric_get(&skipped[skip]);
}

/* ---- whether */

enum semantic_skip semantic_skip_of(const struct request *r)
{
    static const struct {
        unsigned flag;
        enum semantic_skip skip;
    } rows[] = {{QUESTION_TOOLS, SKIP_TOOLS},
                {QUESTION_MEDIA, SKIP_MEDIA},
                {QUESTION_MANY, SKIP_MANY},
                {QUESTION_EXACT, SKIP_ENDPOINT},
                {QUESTION_CUT, SKIP_LONG}};
    unsigned flags = r->question.flags;
    if (r->route->semantic == SEMANTIC_OFF) return SKIP_ROUTE;
    if (r->bypass) return SKIP_BYPASS;
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (flags & rows[i].flag) return rows[i].skip;
    if ((flags & QUESTION_SCHEMA) && !r->route->json_schema) return SKIP_SCHEMA;
    if ((flags & QUESTION_HISTORY) && !r->route->history) return SKIP_HISTORY;
    if (r->question.query.size == 0) return SKIP_EMPTY;
    if (r->directives.no_cache) return SKIP_WISH;
    if ((flags & QUESTION_SAMPLED) && r->route->sampled_fresh) return SKIP_SAMPLED;
    return tenant_was_rejected(&r->tenant) ? SKIP_REJECTED : SKIPS;
}

static enum semantic_skip skip_of_rc(int rc)
{
    switch (rc) {
    case RC_FULL: return SKIP_BUSY;
    case RC_AGAIN: return SKIP_NOT_READY;
    case RC_EMPTY: return SKIP_EMBEDDER;
    case RC_TOO_LARGE: return SKIP_LONG;
    case RC_TIMEOUT: return SKIP_TIMEOUT;
    default: return SKIP_FAILED;
    }
}

/* ---- where: everything but the query's text */

static uint64_t space_of(const struct request *r)
{
    struct hash_state h;
    unsigned char dialect = r->route->any_dialect ? DIALECTS : (unsigned char)r->route->dialect;
    hash_start(&h, &gateway.space_key);
    hash_add(&h, "space", 5);
    hash_add(&h, &r->question.apart, sizeof r->question.apart);
    hash_add(&h, &dialect, 1);
    hash_add(&h, r->route->model.data, r->route->model.size);
    uint64_t space = hash_finish(&h).low;
    return space ? space : 1; /* 0 is no space */
}

static uint64_t query_of(struct span text)
{
    return hash_of(&gateway.space_key, text.data, text.size).low;
}

/* ---- looking */

static void count_found(const struct semantic_found *found, uint64_t all_us)
{
    metric_observe_us(&stages[STAGE_EMBED], found->embed_us);
    metric_observe_us(&stages[STAGE_SCAN], found->scan_us);
    metric_observe_us(&stages[STAGE_RESCORE], found->rescore_us);
    metric_observe_us(&stages[STAGE_GUARDS], found->guard_us);
    metric_observe_us(&stages[STAGE_ALL], all_us);
    for (unsigned i = 0; found->id && i < GUARDS; i++)
        if (found->vetoes >> i & 1) metric_add(&vetoes[i], 1);
}

static void skip(struct request *r, enum semantic_skip why)
{
    metric_add(&skipped[why], 1);
    if (why == SKIP_LONG) r->semantic.space = 0;
}

static struct semantic_question question_of(const struct request *r)
{
    struct semantic_question question = {
        .text = r->question.query, .space = r->semantic.space, .shared = r->shared, .strict = r->route->guards_strict};
    memcpy(question.tenant, r->tenant.id, sizeof question.tenant);
    return question;
}

static int look_now(struct request *r)
{
    struct request_semantic *s = &r->semantic;
    struct semantic_question question = question_of(r);
    uint64_t began = clock_monotonic_us();
    looking++;
    int rc = semantic_lookup(&question, r->x->arena, &s->found);
    looking--;
    if (rc != RC_OK) return rc;
    s->looked = true;
    count_found(&s->found, clock_monotonic_us() - began);
    return RC_OK;
}

/* The next best candidate takes the place of the one that is there. */
static int look_on(struct request *r)
{
    struct semantic_question question = question_of(r);
    if (looking >= SEMANTIC_LOOKUPS_MAX) return RC_FULL;
    looking++;
    int rc = semantic_lookup_next(&question, r->x->arena, &r->semantic.found);
    looking--;
    return rc;
}

/* RC_OK: r->semantic.found is there. */
static int look(struct request *r)
{
    struct request_semantic *s = &r->semantic;
    enum semantic_skip why = semantic_skip_of(r);
    if (why != SKIPS && why <= SEMANTIC_NEVER) {
        skip(r, why);
        return RC_NOT_FOUND;
    }
    s->space = space_of(r);
    s->query = query_of(r->question.query);
    if (why == SKIPS && looking >= SEMANTIC_LOOKUPS_MAX) why = SKIP_BUSY;
    int rc = why == SKIPS ? look_now(r) : RC_NOT_FOUND;
    if (why == SKIPS && rc != RC_OK) {
        s->found = (struct semantic_found){0};
        why = skip_of_rc(rc);
    }
    if (why != SKIPS) skip(r, why);
    return rc;
}

void semantic_place(struct request *r)
{
    if (semantic_skip_of(r) > SEMANTIC_NEVER) r->semantic.space = space_of(r);
}

const struct entry_vector *semantic_vector(struct request *r)
{
    if (!r->semantic.space) return NULL;
    r->semantic.found.vector.space = r->semantic.space; /* without a lookup that is all there is */
    r->semantic.found.vector.shared = r->shared;
    return &r->semantic.found.vector;
}

/* ---- deciding */

/* A client can only ask for more; what it writes wrongly is taken as asking for the most. */
static float wished_least(const struct request *r)
{
    double least = 0;
    struct span value = http_field(&r->x->head, "x-larder-similarity-min");
    if (value.data && (config_value_ratio(value, &least) != RC_OK || !(least >= 0))) least = THRESHOLD_NEVER;
    return (float)least;
}

static float threshold_of(const struct request *r, bool offline)
{
    float threshold = (float)r->route->threshold, looser = (float)r->route->offline_threshold;
    if (r->route->semantic == SEMANTIC_LEARN)
        threshold = learn_threshold(learn_find(r->semantic.unit), r->config->semantic_delta);
    return offline && looser > 0 && looser < threshold ? looser : threshold;
}

static bool is_near(const struct request *r, float score, float threshold)
{
    return score >= threshold && score >= wished_least(r);
}

static bool is_enough(const struct request *r, uint64_t key, float score, float threshold)
{
    return is_near(r, score, threshold) && negative_allows(key, r->semantic.query, score);
}

bool semantic_allows(const struct request *r, bool offline)
{
    const struct semantic_found *found = &r->semantic.found;
    return r->semantic.looked && found->id && found->vetoes == 0 &&
           is_enough(r, found->id, found->score, threshold_of(r, offline));
}

bool semantic_allows_pack(const struct request *r, uint64_t key, float score)
{
    return is_enough(r, key, score, SEMANTIC_PRESET_STANDARD);
}

static void count_outcome(const struct request *r, bool served)
{
    const struct semantic_found *found = &r->semantic.found;
    enum outcome outcome = OUTCOME_BELOW;
    if (served)
        outcome = OUTCOME_HIT;
    else if (!found->id)
        outcome = OUTCOME_NOTHING;
    else if (found->vetoes)
        outcome = OUTCOME_VETO;
    metric_add(&outcomes[outcome], 1);
}

/* ---- the step */

static bool may_go_on(const struct request *r)
{
    const struct semantic_found *found = &r->semantic.found;
    return found->id && found->vetoes == 0 && is_near(r, found->score, threshold_of(r, false)) &&
           !tenant_was_rejected(&r->tenant);
}

/* A candidate that is near enough may be past its time, or reported as wrong: then the next best may answer. A veto ends
 * it, as it does for the best. Should none answer, the first is what is compared and what stands in offline, or, if that
 * was reported, the next one that was not. */
static int answer_nearest(struct request *r)
{
    struct semantic_found *found = &r->semantic.found, kept = *found;
    for (;;) {
        if (semantic_allows(r, false) && answer_entry(r, found->id, found->score) == RC_OK) return RC_OK;
        if (!negative_allows(kept.id, r->semantic.query, kept.score) && semantic_allows(r, false)) kept = *found;
        if (!may_go_on(r) || look_on(r) != RC_OK) break;
    }
    *found = kept;
    return RC_NOT_FOUND;
}

static int answer_candidate(struct request *r)
{
    struct request_semantic *s = &r->semantic;
    struct learn_unit *unit = learn_unit_of(r, r->shared);
    s->unit = unit->key;
    learn_asked(unit, &s->found, r->config->semantic_delta);
    int rc = answer_nearest(r);
    count_outcome(r, rc == RC_OK);
    if (rc != RC_OK) return rc;
    unit = learn_find(s->unit);
    if (unit) learn_hit(unit);
    shadow_check(r);
    return RC_OK;
}

int answer_semantic(struct request *r)
{
    if (look(r) != RC_OK || tenant_was_rejected(&r->tenant)) return RC_NOT_FOUND;
    if (answer_pack(r, false) == RC_OK) return RC_OK;
    return answer_candidate(r);
}

/* Right after a start the model is being checked and the packs' vectors are being made: nobody else can answer, so this
 * waits for them a while. */
int answer_larder(struct request *r)
{
    uint64_t deadline_us = clock_monotonic_us() + SEMANTIC_LARDER_US;
    for (;;) {
        int rc = r->semantic.looked ? RC_OK : look(r);
        bool soon = rc == RC_AGAIN || (rc == RC_OK && pack_words_busy());
        if (rc == RC_OK && answer_pack(r, false) == RC_OK) return RC_OK;
        uint64_t next_us = clock_monotonic_us() + CLOCK_SECOND / 20;
        if (!soon || next_us > deadline_us || fiber_sleep_until(next_us) != RC_OK) return RC_NOT_FOUND;
    }
}
