/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/pack_words.c — see pack_words.h. */
#include "app/gateway/pack_words.h"

#include "app/gateway/answer.h"
#include "app/gateway/learn.h"
#include "cache/rescore.h"
#include "platform/clock.h"
#include "platform/fiber.h"
#include "platform/log.h"
#include "platform/metric.h"
#include "platform/offload.h"
#include "platform/plan.h"

enum { VECTOR_ALIGN = 64, BATCH = 64 };
#define RETRY_US (CLOCK_SECOND / 4)  /* while the model is not ready, or the pool is full */
#define PACK_KEY (UINT64_C(1) << 63) /* no entry of the store has such an id */

struct row {
    uint16_t pack, question;
    float scale;
};

static struct row *rows;
static int8_t *vectors;
static unsigned dim_max, stride;
static unsigned ready;
static struct generation *of;
static unsigned run; /* counts starts: an older one's fiber ends */
static float *work;
static bool embedding;
static struct generation *held; /* by the fiber that embeds */
static bool busy;               /* the newest start has not ended */

static double read_ready(const struct metric *metric)
{
    (void)metric;
    return (double)ready;
}

static struct metric ready_gauge = {.name = "larder_pack_questions_ready",
                                    .help = "Questions of packs that are found in other words",
                                    .kind = METRIC_GAUGE_CALL,
                                    .read = read_ready};

int pack_words_reserve(unsigned dim)
{
    void *region;
    dim_max = dim;
    metric_register(&ready_gauge);
    if (dim == 0) return RC_OK;
    stride = (dim + VECTOR_ALIGN - 1) / VECTOR_ALIGN * VECTOR_ALIGN;
    int rc = plan_take("packs vectors", PACK_WORDS_MAX, stride, PLAN_LAZY, 0, "packs", &region);
    vectors = region;
    if (rc == RC_OK) rc = plan_take("packs questions", PACK_WORDS_MAX, sizeof(struct row), PLAN_LAZY, 0, NULL, &region);
    rows = region;
    if (rc == RC_OK) rc = plan_take("packs embedding", 1, dim * sizeof(float), PLAN_LAZY, 0, NULL, &region);
    work = region;
    return rc;
}

unsigned pack_words_ready(void)
{
    return ready;
}

bool pack_words_busy(void)
{
    return busy;
}

/* ---- making the vectors */

struct job {
    struct span text;
    int8_t *vector;
    float scale;
    bool embedded; /* `work` is filled */
    int rc;
};

static void job_run(void *arg)
{
    struct job *job = arg;
    job->rc = job->embedded ? RC_OK : embed_text(job->text, work);
    if (job->rc == RC_OK) job->scale = vector_quantise(work, embed_current()->dim, job->vector);
}

static int embed_one(struct span text, struct row *row)
{
    struct job job = {.text = text, .vector = vectors + (size_t)ready * stride};
    int rc = RC_OK;
    if (embed_current()->kind == EMBED_REMOTE) rc = embed_remote(text, work);
    job.embedded = embed_current()->kind == EMBED_REMOTE;
    if (rc == RC_OK) rc = offload(job_run, &job);
    row->scale = job.scale;
    return rc == RC_OK ? job.rc : rc;
}

static bool is_passing(int rc)
{
    return rc == RC_AGAIN || rc == RC_FULL || rc == RC_TIMEOUT || rc == RC_CLOSED || rc == RC_UNREACHABLE;
}

/* Whether there is a vector now. A question that cannot be embedded stays found in the same words. */
static bool embed_patiently(struct span text, struct row *row, unsigned mine)
{
    int rc;
    while (is_passing(rc = embed_one(text, row)) && mine == run)
        if (fiber_sleep_until(clock_monotonic_us() + RETRY_US) != RC_OK) return false;
    return rc == RC_OK && mine == run;
}

static void embed_pack(unsigned pack, unsigned mine)
{
    const struct pack *p = of->packs[pack];
    for (unsigned i = 0; mine == run && i < pack_question_count(p) && ready < PACK_WORDS_MAX; i++) {
        struct row row = {.pack = (uint16_t)pack, .question = (uint16_t)i};
        if (!embed_patiently(pack_question(p, i), &row, mine)) continue;
        rows[ready++] = row;
    }
}

static void embed_all(void *arg)
{
    struct generation *g = arg;
    unsigned mine = run;
    embedding = true;
    generation_hold(g);
    held = g;
    for (unsigned pack = 0; mine == run && pack < g->config->pack_count; pack++) embed_pack(pack, mine);
    if (held) generation_release(g); /* else pack_words_stop did, while a question was at a worker */
    held = NULL;
    embedding = false;
    if (mine == run) busy = false;
    if (mine == run) log_debug("gateway", "%u questions of packs are found in other words", ready);
}

/* The fiber of an older configuration uses the same work: it ends first, within one question. */
static void start(void *arg)
{
    unsigned mine = run;
    while (embedding)
        if (fiber_sleep_until(clock_monotonic_us() + CLOCK_SECOND / 200) != RC_OK || mine != run) return;
    if (mine == run) embed_all(arg);
}

void pack_words_start(struct generation *generation)
{
    run++;
    ready = 0;
    busy = false;
    of = generation;
    bool possible = embed_current()->kind != EMBED_NONE && embed_current()->dim <= dim_max;
    if (!possible || generation->config->pack_count == 0) return;
    busy = true;
    if (fiber_start(&learn_background, start, generation) == RC_OK) return;
    busy = false;
    log_warn("gateway", "too much is going on: packs are found in the same words only, until the next reload");
}

void pack_words_stop(void)
{
    run++;
    if (held) generation_release(held);
    held = NULL;
}

/* ---- finding */

static bool is_open(const struct request *r, unsigned pack, bool any)
{
    for (unsigned i = 0; i < r->route->pack_count; i++)
        if (r->route->packs[i] == pack) return answer_pack_is_open(r, pack, any);
    return false;
}

struct best {
    unsigned row;
    float score;
};

static void look_at(const struct request *r, unsigned from, unsigned count, const bool *open, struct best *best)
{
    const struct entry_vector *asked = &r->semantic.found.vector;
    const int8_t *list[BATCH];
    int32_t dots[BATCH];
    for (unsigned i = 0; i < count; i++) list[i] = vectors + (size_t)(from + i) * stride;
    rescore_dots(asked->vector, list, count, asked->dim, dots);
    for (unsigned i = 0; i < count; i++) {
        float score = (float)dots[i] * asked->scale * rows[from + i].scale;
        if (open[rows[from + i].pack] && score > best->score) *best = (struct best){from + i, score};
    }
}

static bool guards_allow(const struct request *r, struct span stored)
{
    size_t mark = arena_mark(r->x->arena);
    struct guard_text *asked = arena_take(r->x->arena, guard_text_size(), VECTOR_ALIGN);
    struct guard_text *known = arena_take(r->x->arena, guard_text_size(), VECTOR_ALIGN);
    bool allowed = asked && known;
    if (allowed) {
        guard_read(r->question.query, asked);
        guard_read(stored, known);
        allowed = guard_vetoes(asked, known, r->route->guards_strict) == 0;
    }
    arena_rewind(r->x->arena, mark);
    return allowed;
}

int pack_words_find(const struct request *r, bool any, struct pack_match *match)
{
    bool open[CONFIG_PACKS_MAX];
    struct best best = {.score = 0};
    const struct entry_vector *asked = &r->semantic.found.vector;
    if (r->generation != of || asked->dim == 0 || asked->dim != embed_current()->dim) return RC_NOT_FOUND;
    for (unsigned i = 0; i < CONFIG_PACKS_MAX; i++) open[i] = i < r->config->pack_count && is_open(r, i, any);
    for (unsigned from = 0; from < ready; from += BATCH)
        look_at(r, from, ready - from < BATCH ? ready - from : BATCH, open, &best);
    if (best.score <= 0) return RC_NOT_FOUND;
    const struct pack *pack = of->packs[rows[best.row].pack];
    struct span question = pack_question(pack, rows[best.row].question);
    if (!guards_allow(r, question)) return RC_NOT_FOUND;
    match->answer = pack_question_answer(pack, rows[best.row].question);
    match->score = best.score;
    match->key = hash_of(&gateway.space_key, match->answer.data, match->answer.size).low | PACK_KEY;
    return RC_OK;
}
