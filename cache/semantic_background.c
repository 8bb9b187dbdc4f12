/* SPDX-License-Identifier: Apache-2.0 */
/* cache/semantic_background.c — one fiber: what the index and the entries say of each other, and what is made again. */
#include "cache/inner.h"
#include "cache/rotations.h"
#include "cache/semantic.h"
#include "cache/semantic_inner.h"
#include "platform/check.h"
#include "platform/clock.h"
#include "platform/fiber.h"
#include "platform/log.h"
#include "platform/offload.h"
#include "platform/plan.h"
#include "platform/rc.h"
#include "storage/secrets.h"

enum {
    START_US = 3000000,  /* after boot: others want the disk first */
    LOOK_US = 1000000,   /* between looks whether something is to be done */
    AGAIN_US = 60000000, /* between passes, when codes are missing */
    PAUSE_US = 1000,     /* between the jobs of a pass */
    BUSY_US = 50000,     /* when other jobs wait, or a queue is full */
    SHARE = 10,          /* one part in so many of a worker's time */
    EMBED_PAUSE_MIN = 5000,
    REST_MAX_US = 1000000,
    BATCH = CODES_BLOCK,
    ARENA = 256 << 10,
    STOP_TURNS = 10000,
    STACK = 64 << 10,
};
#define EVERY_US (UINT64_C(3600) * 1000000)

struct semantic_background semantic_background;
static struct semantic_background *const self = &semantic_background;

/* ---- memory */

int semantic_background_reserve(unsigned entries_max)
{
    void *marks, *ids, *arena;
    int rc = plan_take("semantic marks", entries_max / 8 + 1, 1, PLAN_LAZY, 0, "storage.entries_max", &marks);
    if (rc == RC_OK) rc = plan_take("semantic ids", BATCH, sizeof(uint64_t), PLAN_LAZY, 0, NULL, &ids);
    if (rc == RC_OK) rc = plan_take("semantic arena", 1, ARENA, PLAN_LAZY, 0, NULL, &arena);
    if (rc == RC_OK) rc = fiber_pool_reserve(&self->fibers, "reembed", 1, STACK, NULL);
    if (rc != RC_OK) return rc;
    self->marks = marks;
    self->marks_size = entries_max / 8 + 1;
    self->ids = ids;
    arena_init(&self->arena, arena, ARENA, NULL);
    return RC_OK;
}

static void mark(uint32_t position)
{
    self->marks[position / 8] |= (unsigned char)(1u << position % 8);
}

static bool is_marked(uint32_t position)
{
    return self->marks[position / 8] >> position % 8 & 1;
}

/* ---- waiting */

static bool stopped(void)
{
    return self->stopping || fiber_cancelled();
}

static int pause_for(uint64_t us)
{
    if (stopped()) return RC_CANCELLED;
    int rc = fiber_sleep_until(clock_monotonic_us() + us);
    return stopped() ? RC_CANCELLED : rc;
}

/* Runs the job when nobody else's waits. */
static int run_job(void (*run)(void *arg), void *arg)
{
    int rc;
    self->began_us = clock_monotonic_us();
    do {
        while (offload_waiting() > 0)
            if (pause_for(BUSY_US) != RC_OK) return RC_CANCELLED;
        rc = offload(run, arg);
        if (rc == RC_FULL && pause_for(BUSY_US) != RC_OK) return RC_CANCELLED;
    } while (rc == RC_FULL);
    return rc;
}

/* After a job: so long that it took its share of a worker, or of a slow disk, and no more. */
static int rest_for(uint64_t took_us, uint64_t least)
{
    uint64_t rest = took_us * (SHARE - 1);
    if (rest > REST_MAX_US) rest = REST_MAX_US;
    return pause_for(rest > least ? rest : least);
}

/* ---- from codes to entries: which entries have one, which codes have none */

struct census_job {
    struct codes_census census;
    int rc;
};

static void census_job(void *arg)
{
    struct census_job *job = arg;
    job->rc = codes_census(&cache_self.codes, &job->census, self->ids);
}

/* A full queue takes them with the next pass. */
static void uncode(uint64_t name, const uint64_t *ids, unsigned count)
{
    self->dropped += count;
    for (unsigned from = 0; from < count; from += COMMIT_DELETES) {
        unsigned some = count - from < COMMIT_DELETES ? count - from : COMMIT_DELETES;
        if (writer_uncode(&cache_self.writer, name, ids + from, some) != RC_OK) return;
    }
}

/* Marks whose code was seen; drops the codes of those that are gone, and those with a damaged vector. */
static void compare(const struct codes_census *census)
{
    uint64_t *ids = self->ids;
    unsigned dead = 0;
    for (unsigned i = 0; i < census->count; i++) {
        uint32_t position = exact_find_id(&cache_self.exact, ids[i]);
        if (position == EXACT_NONE)
            ids[dead++] = ids[i];
        else
            mark(position);
    }
    uncode(census->name, ids, dead);
    uncode(census->name, ids + CODES_BLOCK - census->bad, census->bad);
}

static int count_codes(bool vectors)
{
    struct census_job job = {.census.vectors = vectors};
    uint64_t codes = 0;
    memset(self->marks, 0, self->marks_size);
    for (;;) {
        unsigned broken = job.census.broken;
        int rc = run_job(census_job, &job);
        if (rc != RC_OK) return rc;
        if (job.rc != RC_OK) break;
        codes += job.census.count;
        if (job.census.broken > broken) (void)writer_uncode(&cache_self.writer, job.census.name, NULL, 0);
        compare(&job.census);
        if (rest_for(clock_monotonic_us() - self->began_us, PAUSE_US) != RC_OK) return RC_CANCELLED;
    }
    self->counts.codes = codes;
    self->counts.namespaces = job.census.namespaces;
    self->counts.blocks = job.census.blocks;
    self->counts.dead = job.census.dead;
    self->counts.stored = writer_codes_stored();
    self->counts.deleted = writer_codes_deleted();
    return job.rc == RC_NOT_FOUND ? RC_OK : job.rc;
}

/* ---- from entries to codes: which entries want one */

struct entries_job {
    uint64_t from, below, next;
    unsigned count;
    int rc;
};

static bool wants_code(void *context, const struct entry_index *index)
{
    struct entries_job *job = context;
    if (index->id >= job->below) return false;
    if (!(index->flags & ENTRY_WORDED)) return true;
    if (job->count == BATCH) {
        job->next = index->id;
        return false;
    }
    self->ids[job->count++] = index->id;
    return true;
}

static void entries_job(void *arg)
{
    struct entries_job *job = arg;
    unsigned damaged;
    job->count = 0;
    job->next = 0;
    job->rc = entries_scan(&cache_self.entries, job->from, wants_code, job, &damaged);
}

/* ---- one entry's code */

struct embed_job {
    uint64_t id;
    struct entry_question entry;
    struct semantic_question question;
    const float *made;
    struct entry_vector vector;
    int rc;
};

static void question_job(void *arg)
{
    struct embed_job *job = arg;
    job->rc = entries_question(&cache_self.entries, job->id, &self->arena, &job->entry);
}

static void vector_job(void *arg)
{
    struct embed_job *job = arg;
    job->rc = semantic_vector_now(&job->question, job->made, &self->arena, &job->vector);
}

static int ask_remote(struct embed_job *job)
{
    const struct embedder *embedder = embed_current();
    if (embedder->kind != EMBED_REMOTE) return RC_OK;
    float *floats = arena_take(&self->arena, embedder->dim * sizeof *floats, 64);
    CHECK(floats);
    job->made = floats;
    return embed_remote(job->question.text, floats);
}

static int make_vector(struct embed_job *job)
{
    arena_reset(&self->arena, ARENA);
    int rc = run_job(question_job, job);
    if (rc == RC_OK) rc = job->rc;
    if (rc != RC_OK) return rc;
    if (job->entry.space == 0 || job->entry.query.size == 0) return RC_EMPTY;
    job->question = (struct semantic_question){
        .text = job->entry.query, .space = job->entry.space, .shared = (job->entry.flags & ENTRY_SHARED) != 0};
    memcpy(job->question.tenant, job->entry.tenant, sizeof job->question.tenant);
    rc = ask_remote(job);
    if (rc == RC_OK) rc = run_job(vector_job, job);
    return rc == RC_OK ? job->rc : rc;
}

/* What cannot help to end the pass: this entry's own trouble. */
static bool is_its_own(int rc)
{
    return rc == RC_EMPTY || rc == RC_TOO_LARGE || rc == RC_NOT_FOUND || rc == RC_CORRUPT || rc == RC_INVALID;
}

static int embed_again(uint64_t id)
{
    struct embed_job job = {.id = id};
    uint64_t start = clock_monotonic_us();
    int rc = make_vector(&job);
    if (rc == RC_OK && cache_has(id)) {
        while ((rc = writer_code(&cache_self.writer, id, &job.vector)) == RC_FULL)
            if (pause_for(BUSY_US) != RC_OK) return RC_CANCELLED;
        if (rc == RC_OK) self->reembedded++;
    }
    if (rc != RC_OK && !is_its_own(rc)) return rc;
    return rest_for(clock_monotonic_us() - start, EMBED_PAUSE_MIN);
}

static int embed_batch(struct entries_job *job)
{
    int rc = RC_OK;
    for (unsigned i = 0; i < job->count && rc == RC_OK; i++) {
        uint32_t position = exact_find_id(&cache_self.exact, self->ids[i]);
        if (position == EXACT_NONE || is_marked(position)) continue;
        rc = embed_again(self->ids[i]);
        if (rc == RC_OK && self->left > 0) self->left--;
        if (rc == RC_OK && self->seen_lost != cache_self.codes_lost) rc = RC_NO_SPACE; /* in vain just now */
    }
    return rc;
}

static int count_batch(struct entries_job *job)
{
    for (unsigned i = 0; i < job->count; i++) {
        uint32_t position = exact_find_id(&cache_self.exact, self->ids[i]);
        self->left += position != EXACT_NONE && !is_marked(position);
    }
    return RC_OK;
}

static int go_over(uint64_t below, int (*batch)(struct entries_job *job))
{
    struct entries_job job = {.below = below};
    do {
        job.from = job.next;
        int rc = run_job(entries_job, &job);
        if (rc == RC_OK) rc = job.rc;
        if (rc == RC_OK) rc = batch(&job);
        if (rc == RC_OK) rc = rest_for(0, PAUSE_US);
        if (rc != RC_OK) return rc;
    } while (job.next != 0);
    return RC_OK;
}

/* Counted first: whoever asks how far it is learns how far there is to go. */
static int make_missing(uint64_t below)
{
    self->left = 0;
    int rc = go_over(below, count_batch);
    self->missing = self->left;
    if (rc == RC_OK && self->left > 0) rc = go_over(below, embed_batch);
    if (rc == RC_OK) self->left = 0; /* what left meanwhile */
    return rc;
}

/* ---- passes */

/* Entries whose codes are on their way are none of its business: ids from `below` on. */
static int pass(bool vectors)
{
    struct cache *cache = &cache_self;
    uint64_t next = cache->writer.id_next, oldest = pending_oldest(&cache->pending);
    self->seen_lost = cache->codes_lost;
    self->seen_uncoded = cache->writer.uncoded;
    int rc = count_codes(vectors);
    if (rc == RC_OK && embed_ready()) rc = make_missing(oldest < next ? oldest : next);
    self->passes += rc == RC_OK;
    self->incomplete = rc != RC_OK || !embed_ready();
    self->ended_us = clock_monotonic_us();
    return rc;
}

static int run_pass(bool vectors)
{
    if (embed_current()->kind == EMBED_NONE || cache_self.read_only) return RC_EMPTY;
    if (self->runs) return RC_AGAIN;
    self->runs = true;
    int rc = pass(vectors);
    self->runs = false;
    return rc;
}

int semantic_refresh(void)
{
    return run_pass(true);
}

static bool is_due(uint64_t now)
{
    const struct cache *cache = &cache_self;
    bool missing = self->incomplete || self->seen_lost != cache->codes_lost ||
                   self->seen_uncoded != cache->writer.uncoded;
    if (self->ended_us == 0) return true;
    return now - self->ended_us >= (missing ? (uint64_t)AGAIN_US : EVERY_US);
}

static void background(void *arg)
{
    (void)arg;
    int rc = pause_for(START_US);
    while (rc == RC_OK) {
        if (embed_ready() && is_due(clock_monotonic_us()))
            (void)run_pass(self->ended_us == 0); /* vectors are read once a boot */
        rc = pause_for(LOOK_US);
    }
    self->fiber = NULL;
}

static void begin(void *arg)
{
    self->fiber = fiber_self();
    background(arg);
}

int semantic_background_start(void)
{
    self->stopping = self->incomplete = false;
    self->ended_us = 0;
    self->counts.codes = self->counts.namespaces = self->counts.blocks = self->counts.dead = 0;
    self->counts.stored = writer_codes_stored();
    self->counts.deleted = writer_codes_deleted();
    return fiber_start(&self->fibers, begin, NULL);
}

void semantic_background_stop(void)
{
    self->stopping = true;
    if (self->fiber) fiber_cancel(self->fiber);
    for (unsigned turn = 0; self->fiber && turn < STOP_TURNS; turn++)
        if (loop_turn(1000) != RC_OK) return;
}
