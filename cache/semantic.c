/* SPDX-License-Identifier: Apache-2.0 */
/* cache/semantic.c — one lookup: the question's vector, the nearest, the best that lives, the guards. */
#include "cache/semantic.h"

#include "cache/inner.h"
#include "cache/rotations.h"
#include "cache/semantic_scan.h"
#include "platform/check.h"
#include "platform/clock.h"
#include "platform/offload.h"
#include "platform/rc.h"

enum { GUARD_ROOM = 1024, SCAN_TRIES = 4 };

struct lookup {
    const struct semantic_question *question;
    struct arena *arena;
    struct semantic_found *found;
    const float *made;                                    /* by a remote embedder */
    uint64_t gone[SEMANTIC_DEAD_MAX + SEMANTIC_NEXT_MAX]; /* or passed over */
    unsigned gone_count;
    int rc;
};

static uint32_t since(uint64_t *start)
{
    uint64_t now = clock_monotonic_us(), took = now - *start;
    *start = now;
    return took < UINT32_MAX ? (uint32_t)took : UINT32_MAX;
}

/* ---- the question's own vector */

static int code_of(const struct semantic_question *question, const struct embedder *embedder, const float *made,
                   struct arena *arena, struct entry_vector *vector)
{
    struct rotation *rotation = arena_take(arena, sizeof *rotation, 8);
    if (!rotation) return RC_FULL;
    int rc = rotations_get(question->shared ? NULL : question->tenant, embedder->dim, rotation);
    if (rc != RC_OK) return rc;
    float *work = arena_take(arena, rotation->width * sizeof *work, 64);
    if (!work) return RC_FULL;
    rotate_code(rotation, made, embedder->centre, work, vector->code);
    return RC_OK;
}

static void guard_of(struct span text, struct arena *arena, struct guard_text *read, unsigned char *packed,
                     struct entry_vector *vector)
{
    size_t size;
    (void)arena;
    guard_read(text, read);
    if (guard_pack(read, packed, GUARD_ROOM, &size) == RC_OK) vector->guard = span_of((const char *)packed, size);
}

/* What lasts lies below the mark, what was only needed for it above. */
int semantic_vector_now(const struct semantic_question *question, const float *made, struct arena *arena,
                        struct entry_vector *vector)
{
    const struct embedder *embedder = embed_current();
    unsigned dim = embedder->dim;
    *vector = (struct entry_vector){
        .space = question->space,
        .space_tag = codes_space_tag(question->space, embedder->tag_hash),
        .shared = question->shared,
    };
    int8_t *quantised = arena_take(arena, dim, 64);
    unsigned char *packed = arena_take(arena, GUARD_ROOM, 8);
    size_t mark = arena_mark(arena);
    float *floats = made ? NULL : arena_take(arena, dim * sizeof *floats, 64);
    struct guard_text *read = arena_take(arena, guard_text_size(), 64);
    if (!quantised || !packed || !read || (!floats && !made)) return RC_FULL;
    int rc = made ? RC_OK : embed_text(question->text, floats);
    if (rc == RC_OK) rc = code_of(question, embedder, made ? made : floats, arena, vector);
    if (rc == RC_OK) {
        vector->scale = vector_quantise(made ? made : floats, dim, quantised);
        vector->vector = quantised;
        vector->dim = dim;
        guard_of(question->text, arena, read, packed, vector);
    }
    arena_rewind(arena, mark);
    return rc;
}

/* ---- candidates */

static bool was_gone(const struct lookup *lookup, uint64_t id)
{
    for (unsigned i = 0; i < lookup->gone_count; i++)
        if (lookup->gone[i] == id) return true;
    return false;
}

/* RC_NOT_FOUND: not of this space, tenant or random bits, or not there any more. */
static int judge(const struct lookup *lookup, const struct scan_candidate *candidate, struct entry_question *entry)
{
    const struct semantic_question *question = lookup->question;
    struct pending_text text;
    if (candidate->number == SCAN_PENDING) {
        int rc = pending_read(&cache_self.pending, candidate->id, lookup->arena, &text);
        if (rc != RC_OK) return rc == RC_NOT_FOUND ? RC_AGAIN : rc;
        *entry = (struct entry_question){.space = text.space,
                                         .flags = text.shared ? ENTRY_WORDED | ENTRY_SHARED : ENTRY_WORDED,
                                         .query = text.query,
                                         .guard = text.guard};
        memcpy(entry->tenant, text.tenant, sizeof entry->tenant);
    } else {
        int rc = entries_question(&cache_self.entries, candidate->id, lookup->arena, entry);
        if (rc != RC_OK) return rc == RC_FULL ? rc : RC_NOT_FOUND;
        if (entry->random != candidate->random) return RC_NOT_FOUND;
    }
    if (entry->space != question->space) return RC_NOT_FOUND;
    if (question->shared != ((entry->flags & ENTRY_SHARED) != 0)) return RC_NOT_FOUND;
    if (!question->shared && memcmp(entry->tenant, question->tenant, sizeof entry->tenant) != 0) return RC_NOT_FOUND;
    return RC_OK;
}

static uint32_t vetoes_of(const struct lookup *lookup, const struct entry_question *entry)
{
    struct guard_text *asked = arena_take(lookup->arena, guard_text_size(), 64);
    struct guard_text *stored = arena_take(lookup->arena, guard_text_size(), 64);
    if (!asked || !stored) return UINT32_C(1) << GUARD_LONG; /* unread: never served */
    struct span packed = lookup->found->vector.guard;
    if (packed.size == 0 || guard_unpack(packed, asked) != RC_OK) guard_read(lookup->question->text, asked);
    if (entry->guard.size == 0 || guard_unpack(entry->guard, stored) != RC_OK) guard_read(entry->query, stored);
    return guard_vetoes(asked, stored, lookup->question->strict);
}

/* The best of the scan that lives. */
static int pick(struct lookup *lookup, const struct scan *scan, struct entry_question *entry)
{
    unsigned dead = 0;
    for (unsigned i = 0; i < scan->count && dead < SEMANTIC_DEAD_MAX; i++) {
        const struct scan_candidate *candidate = &scan->candidates[i];
        if (was_gone(lookup, candidate->id)) continue;
        int rc = crc32c(0, candidate->vector, lookup->found->vector.dim) == candidate->crc
                     ? judge(lookup, candidate, entry)
                     : RC_NOT_FOUND;
        if (rc == RC_OK) {
            lookup->found->id = candidate->id;
            lookup->found->score = candidate->score;
        }
        if (rc != RC_NOT_FOUND) return rc;
        dead++;
    }
    return RC_NOT_FOUND;
}

static int look(struct lookup *lookup)
{
    struct scan scan;
    struct entry_question entry;
    struct semantic_found *found = lookup->found;
    const struct entry_vector *vector = &found->vector;
    uint64_t clock = clock_monotonic_us();
    found->id = 0;
    int rc = scan_begin(&scan, vector->space_tag, vector->code, SEMANTIC_TOP, lookup->arena);
    found->scanned += scan.scanned;
    found->scan_us += since(&clock);
    if (rc != RC_OK) return rc;
    rc = scan_rescore(&scan, vector->vector, vector->dim, vector->scale);
    found->rescore_us += since(&clock);
    if (rc == RC_OK) rc = pick(lookup, &scan, &entry);
    scan_end(&scan);
    if (rc == RC_OK) found->vetoes = vetoes_of(lookup, &entry);
    found->guard_us += since(&clock); /* with the candidate's row */
    return rc == RC_NOT_FOUND ? RC_OK : rc;
}

/* What was found waiting may be committed before it is read: then it is in the index the next time. */
static int look_often(struct lookup *lookup)
{
    int rc = RC_AGAIN;
    for (unsigned i = 0; i < SCAN_TRIES && rc == RC_AGAIN; i++) {
        size_t mark = arena_mark(lookup->arena);
        rc = look(lookup);
        arena_rewind(lookup->arena, mark);
    }
    return rc == RC_AGAIN ? RC_OK : rc;
}

static void lookup_job(void *arg)
{
    struct lookup *lookup = arg;
    struct entry_vector *vector = &lookup->found->vector;
    uint64_t clock = clock_monotonic_us();
    lookup->rc = RC_OK;
    if (vector->dim == 0) {
        lookup->rc = semantic_vector_now(lookup->question, lookup->made, lookup->arena, vector);
        lookup->found->embed_us += since(&clock);
    }
    if (lookup->rc == RC_OK) lookup->rc = look_often(lookup);
    if (lookup->rc != RC_OK) lookup->found->id = 0;
    vector->nearest = lookup->found->id;
    vector->nearest_score = lookup->found->id ? lookup->found->score : 0;
}

static int embedder_state(void)
{
    const struct embedder *embedder = embed_current();
    if (embedder->kind == EMBED_NONE || embedder->dim == 0) return RC_EMPTY;
    return embed_ready() ? RC_OK : RC_AGAIN;
}

int semantic_lookup_now(const struct semantic_question *question, struct arena *arena, struct semantic_found *found)
{
    return semantic_lookup_made_now(question, NULL, arena, found);
}

int semantic_lookup_made_now(const struct semantic_question *question, const float *made, struct arena *arena,
                             struct semantic_found *found)
{
    struct lookup lookup = {.question = question, .arena = arena, .found = found, .made = made};
    *found = (struct semantic_found){0};
    int rc = embedder_state();
    if (rc != RC_OK) return rc;
    lookup_job(&lookup);
    return lookup.rc;
}

static int ask_remote(struct lookup *lookup)
{
    const struct embedder *embedder = embed_current();
    uint64_t clock = clock_monotonic_us();
    if (embedder->kind != EMBED_REMOTE) return RC_OK;
    float *floats = arena_take(lookup->arena, embedder->dim * sizeof *floats, 64);
    if (!floats) return RC_FULL;
    int rc = embed_remote(lookup->question->text, floats);
    lookup->found->embed_us += since(&clock);
    lookup->made = floats;
    return rc;
}

/* An entry may leave while the job runs: then the next one counts. */
static int look_for_living(struct lookup *lookup)
{
    struct semantic_found *found = lookup->found;
    int rc;
    do {
        if (found->id) lookup->gone[lookup->gone_count++] = found->id;
        rc = offload(lookup_job, lookup);
        if (rc == RC_OK) rc = lookup->rc;
    } while (rc == RC_OK && found->id && !cache_has(found->id) &&
             lookup->gone_count < found->passed_count + SEMANTIC_DEAD_MAX);
    if (rc == RC_OK && found->id && !cache_has(found->id)) found->id = 0;
    return rc;
}

int semantic_lookup(const struct semantic_question *question, struct arena *arena, struct semantic_found *found)
{
    struct lookup lookup = {.question = question, .arena = arena, .found = found};
    *found = (struct semantic_found){0};
    int rc = embedder_state();
    if (rc == RC_OK) rc = ask_remote(&lookup);
    return rc == RC_OK ? look_for_living(&lookup) : rc;
}

int semantic_lookup_next(const struct semantic_question *question, struct arena *arena, struct semantic_found *found)
{
    struct lookup lookup = {.question = question, .arena = arena, .found = found};
    if (!found->id || found->vector.dim == 0 || found->passed_count == SEMANTIC_NEXT_MAX) return RC_NOT_FOUND;
    found->passed[found->passed_count++] = found->id;
    memcpy(lookup.gone, found->passed, found->passed_count * sizeof found->passed[0]);
    lookup.gone_count = found->passed_count;
    found->id = 0;
    found->score = 0;
    found->vetoes = 0;
    int rc = look_for_living(&lookup);
    return rc == RC_OK && !found->id ? RC_NOT_FOUND : rc;
}

/* ---- the index alone */

int semantic_nearest(uint64_t space_tag, const uint64_t code[CODE_WORDS], unsigned k, struct arena *arena,
                     struct semantic_near *near, unsigned *count, uint32_t *scanned)
{
    struct scan scan;
    size_t mark = arena_mark(arena);
    int rc = scan_begin(&scan, space_tag, code, k, arena);
    *count = rc == RC_OK ? scan.count : 0;
    *scanned = scan.scanned;
    for (unsigned i = 0; i < *count; i++) {
        const struct scan_candidate *c = &scan.candidates[i];
        near[i] = (struct semantic_near){
            .id = c->id, .distance = c->distance, .random = c->random, .number = c->number, .place = c->place};
    }
    scan_end(&scan);
    arena_rewind(arena, mark);
    return rc;
}
