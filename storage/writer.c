/* SPDX-License-Identifier: Apache-2.0 */
/* storage/writer.c — the lane's side: queueing, waiting, reports. */
#include "storage/writer.h"

#include <errno.h>
#include <time.h>

#include "platform/check.h"
#include "platform/clock.h"
#include "platform/fiber.h"
#include "platform/fiber_sanitizer.h"
#include "platform/plan.h"
#include "platform/rc.h"
#include "storage/writer_batch.h"

enum {
    IDS_WAIT_US = 500000, /* of the lane after boot, all waits together, until the first block of ids is durable */
    WRITER_STACK = 256 * 1024 * FIBER_STACK_SCALE,
};

/* On the stack of the fiber that waits. */
struct writer_sync {
    struct writer_sync *next;
    struct fiber *fiber;
    uint64_t position;
};

static size_t queue_size(size_t body_max)
{
    size_t wanted = WRITER_BODIES * body_max;
    size_t size = WRITER_QUEUE_MIN;
    while (size < wanted) size *= 2;
    return size;
}

int writer_reserve(struct writer *writer, size_t body_max)
{
    void *memory;
    size_t size = queue_size(body_max);
    int rc = plan_take("store queue", 1, size, PLAN_LAZY, 0, "limits.parse_max", &memory);
    if (rc != RC_OK) return rc;
    ring_init(&writer->ring, memory, size);
    plan_note("store writer stack", 1, WRITER_STACK, 0, WRITER_STACK);
    writer_metrics();
    return RC_OK;
}

static void cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &attr);
    pthread_condattr_destroy(&attr);
}

static void wake_writer(struct writer *writer)
{
    pthread_mutex_lock(&writer->lock);
    pthread_cond_signal(&writer->work);
    pthread_mutex_unlock(&writer->lock);
}

void writer_sync_interval(struct writer *writer, uint64_t sync_us)
{
    pthread_mutex_lock(&writer->lock);
    writer->limits.sync_us = sync_us;
    pthread_cond_signal(&writer->work);
    pthread_mutex_unlock(&writer->lock);
}

/* ---- queueing */

/* The first record wakes the thread, which then waits for more of them by itself. */
static uint64_t publish(struct writer *writer, bool was_empty)
{
    uint64_t end = ring_publish(&writer->ring);
    bool full = atomic_load(&writer->pending) >= COMMIT_ENTRIES || ring_used(&writer->ring) >= COMMIT_BYTES;
    if (was_empty || full) wake_writer(writer);
    return end;
}

/* Until the first block of ids is durable, as far as the lane still has time for that. */
static void wait_for_ids(struct writer *writer)
{
    uint64_t start = writer_now(), end = start + writer->ids_wait_us;
    struct timespec until = {.tv_sec = (time_t)(end / 1000000), .tv_nsec = (long)(end % 1000000) * 1000};
    bool timeout = writer->ids_failed || writer->ids_wait_us == 0;
    while (atomic_load(&writer->id_limit) == 0 && !timeout)
        timeout = pthread_cond_timedwait(&writer->progress, &writer->lock, &until) == ETIMEDOUT || writer->ids_failed;
    uint64_t waited = writer_now() - start;
    writer->ids_wait_us -= waited < writer->ids_wait_us ? waited : writer->ids_wait_us;
}

bool writer_is_settled(struct writer *writer)
{
    if (!writer->running || writer->home->read_only || atomic_load(&writer->id_limit) != 0) return true;
    pthread_mutex_lock(&writer->lock);
    bool failed = writer->ids_failed;
    pthread_mutex_unlock(&writer->lock);
    return failed;
}

/* Whether an id below the durable mark is left. Right after boot the thread may still be busy making the first block
 * durable: a slow disk shall not cost the first answers. */
static bool ids_left(struct writer *writer)
{
    if (writer->id_next < atomic_load(&writer->id_limit)) return true;
    pthread_mutex_lock(&writer->lock);
    wait_for_ids(writer);
    pthread_cond_signal(&writer->work); /* it tries again to get a block */
    pthread_mutex_unlock(&writer->lock);
    return writer->id_next < atomic_load(&writer->id_limit);
}

static size_t delete_bytes(unsigned count)
{
    unsigned records = (count + COMMIT_DELETES - 1) / COMMIT_DELETES;
    return records * (sizeof(struct ring_record) + 16) + count * sizeof(uint64_t);
}

static size_t put_bytes(const struct entry_new *entry)
{
    size_t guard = entry->vector ? entry->vector->guard.size : 0;
    return sizeof(struct record_put) + entry->query.size + guard + entry->body.size;
}

/* What the entry's row keeps of its vector. */
static struct entry_vector put_vector(const struct entry_vector *vector, char *guard)
{
    if (!vector) return (struct entry_vector){0};
    if (vector->guard.size > 0) memcpy(guard, vector->guard.data, vector->guard.size);
    return (struct entry_vector){.space = vector->space,
                                 .space_tag = vector->space_tag,
                                 .shared = vector->shared,
                                 .dim = vector->dim,
                                 .guard = span_of(guard, vector->guard.size)};
}

int writer_fits(struct writer *writer, const struct entry_new *entry, unsigned deletes)
{
    if (writer->home->read_only) return RC_READ_ONLY;
    if (entry->body.size > writer->limits.body_max || entry->query.size > ENTRY_QUERY_MAX) return RC_TOO_LARGE;
    if (!writer->running || !ids_left(writer)) return RC_FULL;
    size_t wanted = put_bytes(entry) + delete_bytes(deletes) + WRITER_RESERVE;
    return ring_fits(&writer->ring, wanted) ? RC_OK : RC_FULL;
}

int writer_put(struct writer *writer, const struct entry_new *entry, uint64_t *id, uint32_t *cost)
{
    int rc = writer_fits(writer, entry, 0);
    if (rc != RC_OK) return rc;
    bool was_empty = ring_used(&writer->ring) == 0;
    struct ring_record *record = ring_reserve(&writer->ring, put_bytes(entry));
    CHECK(record);
    *id = writer->id_next++;
    *cost = entries_cost(writer->entries, entry);
    struct record_put *put = ring_payload(record);
    *put = (struct record_put){.digest = *entry->digest,
                               .meta = *entry->meta,
                               .cost = *cost,
                               .query_size = (uint32_t)entry->query.size,
                               .body_size = (uint32_t)entry->body.size};
    memcpy(put->tag, entry->tag, ENTRIES_TAG_SIZE);
    put->meta.id = *id;
    char *texts = (char *)(put + 1);
    if (entry->query.size > 0) memcpy(texts, entry->query.data, entry->query.size);
    put->vector = put_vector(entry->vector, texts + entry->query.size);
    texts += entry->query.size + put->vector.guard.size;
    if (entry->body.size > 0) memcpy(texts, entry->body.data, entry->body.size);
    put->coded = writer->pending_codes && put->vector.dim > 0 &&
                 pending_add(writer->pending_codes, *id, put->meta.tenant, entry->vector, entry->query) == RC_OK;
    writer->uncoded += put->vector.space != 0 && !put->coded;
    record->kind = RECORD_PUT;
    record->id = *id;
    atomic_fetch_add(&writer->pending, 1);
    publish(writer, was_empty);
    return RC_OK;
}

int writer_delete(struct writer *writer, const uint64_t *ids, unsigned count)
{
    if (writer->home->read_only) return RC_READ_ONLY;
    if (!ring_fits(&writer->ring, delete_bytes(count))) return RC_FULL;
    while (count > 0) {
        bool was_empty = ring_used(&writer->ring) == 0;
        unsigned some = count < COMMIT_DELETES ? count : COMMIT_DELETES;
        struct ring_record *record = ring_reserve(&writer->ring, some * sizeof *ids);
        CHECK(record);
        memcpy(ring_payload(record), ids, some * sizeof *ids);
        record->kind = RECORD_DELETE;
        record->id = some;
        publish(writer, was_empty);
        ids += some;
        count -= some;
    }
    return RC_OK;
}

/* ---- codes */

/* They may be dropped for others' sake: background work makes them again. */
static struct ring_record *codes_record(struct writer *writer, enum writer_record kind, size_t payload)
{
    if (!ring_fits(&writer->ring, payload + WRITER_RESERVE)) return NULL;
    struct ring_record *record = ring_reserve(&writer->ring, payload);
    CHECK(record);
    record->kind = kind;
    record->id = 0;
    return record;
}

int writer_code(struct writer *writer, uint64_t id, const struct entry_vector *vector)
{
    if (writer->home->read_only) return RC_READ_ONLY;
    bool was_empty = ring_used(&writer->ring) == 0;
    struct ring_record *record = codes_record(writer, RECORD_CODE, sizeof(struct record_code) + vector->dim);
    if (!record) return RC_FULL;
    struct record_code *code = ring_payload(record);
    memcpy(code + 1, vector->vector, vector->dim);
    code->vector = *vector;
    code->vector.vector = (const int8_t *)(const void *)(code + 1);
    code->vector.guard = span_of("", 0);
    record->id = id;
    publish(writer, was_empty);
    return RC_OK;
}

int writer_uncode(struct writer *writer, uint64_t name, const uint64_t *ids, unsigned count)
{
    if (writer->home->read_only) return RC_READ_ONLY;
    CHECK(count <= COMMIT_DELETES);
    bool was_empty = ring_used(&writer->ring) == 0;
    size_t size = sizeof(struct record_uncode) + count * sizeof *ids;
    struct ring_record *record = codes_record(writer, RECORD_UNCODE, size);
    if (!record) return RC_FULL;
    struct record_uncode *uncode = ring_payload(record);
    *uncode = (struct record_uncode){.name = name, .count = count};
    if (count > 0) memcpy(uncode + 1, ids, count * sizeof *ids);
    publish(writer, was_empty);
    return RC_OK;
}

int writer_embedder(struct writer *writer, uint64_t tag_hash)
{
    if (writer->home->read_only) return RC_READ_ONLY;
    bool was_empty = ring_used(&writer->ring) == 0;
    struct ring_record *record = codes_record(writer, RECORD_EMBEDDER, sizeof(struct record_embedder));
    if (!record) return RC_FULL;
    struct record_embedder *embedder = ring_payload(record);
    embedder->tag_hash = tag_hash;
    publish(writer, was_empty);
    return RC_OK;
}

/* ---- the eviction state, and what is not committed yet */

int writer_state(struct writer *writer, unsigned part, struct span value, bool last)
{
    if (writer->home->read_only) return RC_READ_ONLY;
    CHECK(value.size <= ENTRIES_STATE_PART);
    if (!ring_fits(&writer->ring, sizeof(struct record_state) + value.size + WRITER_RESERVE)) return RC_FULL;
    bool was_empty = ring_used(&writer->ring) == 0;
    struct ring_record *record = ring_reserve(&writer->ring, sizeof(struct record_state) + value.size);
    CHECK(record);
    struct record_state *state = ring_payload(record);
    *state = (struct record_state){.part = part, .last = last, .size = (uint32_t)value.size};
    if (value.size > 0) memcpy(state + 1, value.data, value.size);
    record->kind = RECORD_STATE;
    record->id = part;
    publish(writer, was_empty);
    return RC_OK;
}

unsigned writer_pending(const struct writer *writer)
{
    return atomic_load(&writer->pending);
}

struct entry_new record_put_entry(const struct record_put *put)
{
    const char *texts = (const char *)(put + 1);
    return (struct entry_new){
        .digest = &put->digest,
        .meta = &put->meta,
        .tag = put->tag,
        .query = span_of(texts, put->query_size),
        .body = span_of(texts + put->query_size + put->vector.guard.size, put->body_size),
        .vector = &put->vector,
    };
}

/* Only the lane writes over released records, so what is found here stays until this returns. */
int writer_read_pending(struct writer *writer, uint64_t id, const struct digest *digest, struct arena *arena,
                        struct entry_texts *texts)
{
    uint64_t position = ring_first(&writer->ring);
    struct ring_record *record = ring_at(&writer->ring, &position);
    while (record && !(record->kind == RECORD_PUT && record->id == id)) {
        if (record->kind == RECORD_PUT && record->id > id) return RC_NOT_FOUND;
        position = ring_after(position, record);
        record = ring_at(&writer->ring, &position);
    }
    if (!record) return RC_NOT_FOUND;
    const struct record_put *put = ring_payload(record);
    struct entry_new entry = record_put_entry(put);
    if (digest && memcmp(put->digest.bytes, digest->bytes, sizeof digest->bytes) != 0) return RC_NOT_FOUND;
    size_t mark = arena_mark(arena);
    texts->digest = put->digest;
    texts->meta = put->meta;
    texts->query = arena_copy(arena, entry.query);
    texts->body = arena_copy(arena, entry.body);
    if (texts->query.data && texts->body.data) return RC_OK;
    arena_rewind(arena, mark);
    return RC_FULL;
}

/* ---- reports */

static void wake_syncs(struct writer *writer)
{
    uint64_t done = ring_first(&writer->ring);
    for (struct writer_sync *sync = writer->syncs; sync; sync = sync->next)
        if (sync->position <= done) fiber_wake(sync->fiber, RC_OK);
}

static void wake_purges(struct writer *writer)
{
    for (unsigned i = 0; i < WRITER_PURGES; i++) {
        struct writer_purge *purge = &writer->purges[i];
        if (purge->state != PURGE_RUNS || !atomic_load(&purge->done)) continue;
        purge->state = purge->fiber ? PURGE_DONE : PURGE_FREE;
        if (purge->fiber) fiber_wake(purge->fiber, RC_OK);
    }
}

void writer_drain(struct writer *writer)
{
    unsigned tail = atomic_load(&writer->event_tail);
    while (tail != atomic_load(&writer->event_head)) {
        struct writer_event event = writer->events[tail % WRITER_EVENTS];
        atomic_store(&writer->event_tail, ++tail);
        writer->report(&event);
    }
    pthread_mutex_lock(&writer->lock);
    pthread_cond_signal(&writer->work); /* it may wait for room for reports */
    pthread_mutex_unlock(&writer->lock);
    wake_syncs(writer);
    wake_purges(writer);
}

static void drain_call(struct loop_call *call)
{
    struct writer *writer = (struct writer *)(void *)((char *)call - offsetof(struct writer, call));
    atomic_store(&writer->posted, false); /* only here: until it runs, the call is in the loop's list */
    writer_drain(writer);
}

/* ---- waiting */

static void ask_for_commit(struct writer *writer, uint64_t position)
{
    pthread_mutex_lock(&writer->lock);
    if (position > writer->urgent) writer->urgent = position;
    pthread_cond_signal(&writer->work);
    pthread_mutex_unlock(&writer->lock);
}

static void sync_unlink(struct writer *writer, const struct writer_sync *sync)
{
    struct writer_sync **link = &writer->syncs;
    while (*link != sync) link = &(*link)->next;
    *link = sync->next;
}

int writer_sync(struct writer *writer, uint64_t deadline_us)
{
    struct writer_sync sync = {.fiber = fiber_self(), .position = atomic_load(&writer->ring.head)};
    uint64_t failures = atomic_load(&writer->failures);
    int rc = RC_OK;
    CHECK(sync.fiber);
    if (ring_first(&writer->ring) >= sync.position) return RC_OK;
    if (!writer->running) return RC_IO;
    sync.next = writer->syncs;
    writer->syncs = &sync;
    ask_for_commit(writer, sync.position);
    while (rc == RC_OK && ring_first(&writer->ring) < sync.position) rc = fiber_park(deadline_us);
    sync_unlink(writer, &sync);
    if (rc == RC_OK && failures != atomic_load(&writer->failures)) rc = atomic_load(&writer->last_failure);
    return rc;
}

static struct writer_purge *purge_take(struct writer *writer)
{
    for (unsigned i = 0; i < WRITER_PURGES; i++)
        if (writer->purges[i].state == PURGE_FREE) return &writer->purges[i];
    return NULL;
}

int writer_purge(struct writer *writer, const uint8_t *tenant, unsigned *removed)
{
    *removed = 0;
    CHECK(fiber_self());
    if (writer->home->read_only) return RC_READ_ONLY;
    struct writer_purge *purge = purge_take(writer);
    struct ring_record *record = purge ? ring_reserve(&writer->ring, sizeof(struct record_purge)) : NULL;
    if (!record) return RC_FULL;
    struct record_purge *payload = ring_payload(record);
    *payload =
        (struct record_purge){.all = !tenant, .slot = (uint32_t)(purge - writer->purges), .below = writer->id_next};
    if (tenant) memcpy(payload->tenant, tenant, sizeof payload->tenant);
    record->kind = RECORD_PURGE;
    record->id = 0;
    purge->state = PURGE_RUNS;
    purge->fiber = fiber_self();
    atomic_store(&purge->done, false);
    ask_for_commit(writer, publish(writer, false));
    int rc = RC_OK;
    while (rc == RC_OK && purge->state == PURGE_RUNS) rc = fiber_park(CLOCK_NEVER);
    if (purge->state == PURGE_RUNS) { /* cancelled: it goes on without us */
        purge->fiber = NULL;
        return rc;
    }
    *removed = purge->removed;
    rc = purge->rc;
    purge->state = PURGE_FREE;
    return rc;
}

/* ---- start and stop */

int writer_start(struct writer *writer, struct entries *entries, struct home *home, const struct writer_limits *limits,
                 void (*report)(const struct writer_event *event))
{
    writer->entries = entries;
    writer->home = home;
    writer->limits = *limits;
    writer->report = report;
    writer->call.run = drain_call;
    writer->stopping = writer->ended = writer->ids_failed = false;
    writer->mark_due = true;
    writer->ids_wait_us = IDS_WAIT_US;
    pthread_mutex_init(&writer->lock, NULL);
    cond_init(&writer->work);
    cond_init(&writer->progress);
    atomic_store(&writer->id_limit, 0);
    if (home->read_only) return RC_OK;
    int rc = ids_open(&writer->ids, home->folder, entries->id_mark);
    writer->id_next = writer->ids.mark;
    writer->codes_doubtful = writer->codes && writer->codes->id_mark > writer->ids.mark;
    if (rc != RC_OK && writer->ids.fd < 0) return rc;
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, WRITER_STACK);
    writer->running = pthread_create(&writer->thread, &attr, writer_main, writer) == 0;
    pthread_attr_destroy(&attr);
    return writer->running ? RC_OK : RC_FULL;
}

void writer_wait(struct writer *writer, uint64_t us)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += (long)us * 1000;
    if (until.tv_nsec >= 1000000000) until.tv_sec++, until.tv_nsec -= 1000000000;
    ask_for_commit(writer, atomic_load(&writer->ring.head));
    pthread_mutex_lock(&writer->lock);
    pthread_cond_timedwait(&writer->progress, &writer->lock, &until);
    pthread_mutex_unlock(&writer->lock);
    writer_drain(writer);
}

void writer_stop(struct writer *writer)
{
    if (!writer->running) return;
    pthread_mutex_lock(&writer->lock);
    writer->stopping = true;
    bool ended = writer->ended;
    pthread_mutex_unlock(&writer->lock);
    while (!ended) { /* its reports must be taken, or it waits for room for them */
        writer_wait(writer, 10000);
        pthread_mutex_lock(&writer->lock);
        ended = writer->ended;
        pthread_mutex_unlock(&writer->lock);
    }
    pthread_join(writer->thread, NULL);
    writer->running = false;
    writer_drain(writer);
    ids_close(&writer->ids);
}
