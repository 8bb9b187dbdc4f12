/* SPDX-License-Identifier: Apache-2.0 */
/* storage/writer_codes.c — the second environment: what leaves it before the entries, what follows them, and its failures,
 * which cost the entries nothing. */
#include <assert.h>

#include "platform/check.h"
#include "platform/log.h"
#include "platform/metric.h"
#include "platform/rc.h"
#include "storage/writer_batch.h"

enum { LOG_EVERY_US = 60000000, RETRY_US = 10000000, UNREAD_MAX = 3 /* failing opens before the file is given up */ };

static struct metric_histogram commit_times;
static struct metric commit_time = {.name = "larder_semantic_commit_seconds",
                                    .help = "Time a commit of codes took.",
                                    .kind = METRIC_HISTOGRAM,
                                    .histogram = &commit_times};
static struct metric commits = {
    .name = "larder_semantic_commits_total", .help = "Commits of codes.", .kind = METRIC_COUNTER};
static struct metric stored = {
    .name = "larder_semantic_stored_total", .help = "Codes that were committed.", .kind = METRIC_COUNTER};
static struct metric deleted = {
    .name = "larder_semantic_deleted_total", .help = "Codes whose entries left.", .kind = METRIC_COUNTER};
static struct metric lost = {.name = "larder_semantic_lost_total",
                             .help = "Codes that could not be kept; they are made again in the background.",
                             .kind = METRIC_COUNTER};

void writer_codes_metrics(void)
{
    metric_register(&commit_time);
    metric_register(&commits);
    metric_register(&stored);
    metric_register(&deleted);
    metric_register(&lost);
}

uint64_t writer_codes_commits(void)
{
    return metric_get(&commits);
}

uint64_t writer_codes_stored(void)
{
    return metric_get(&stored);
}

uint64_t writer_codes_deleted(void)
{
    return metric_get(&deleted);
}

uint64_t writer_codes_lost(void)
{
    return metric_get(&lost);
}

/* ---- failures */

static void say(struct writer *writer, int rc)
{
    uint64_t now = writer_now();
    if (writer->codes_logged_us != 0 && now - writer->codes_logged_us < LOG_EVERY_US) return;
    writer->codes_logged_us = now;
    log_warn("store", "cannot write to %s (%s): exact answers are kept, codes for other words will be made again",
             writer->home->codes, rc_name(rc));
}

static int open_codes(struct writer *writer)
{
    int rc = codes_open(writer->codes, writer->home->codes, writer->limits.codes_map_bytes, false);
    if (rc == RC_OK) writer_watch(&writer->codes->kv, writer->home, HOME_CODES);
    return rc;
}

/* After a failed meta page, or when it could not be opened before; at most every RETRY_US. */
static void reopen(struct writer *writer)
{
    uint64_t now = writer_now();
    if (now < writer->codes_retry_us) return;
    writer->codes_retry_us = now + RETRY_US;
    codes_close(writer->codes);
    int rc = open_codes(writer);
    writer->codes_unread = rc == RC_IO ? writer->codes_unread + 1 : 0;
    bool damaged = rc == RC_CORRUPT || writer->codes_unread >= UNREAD_MAX;
    if (damaged && home_move_aside(writer->home, HOME_CODES) == RC_OK) rc = open_codes(writer);
    if (rc != RC_OK) say(writer, rc);
}

static void start_anew(struct writer *writer)
{
    codes_close(writer->codes);
    int rc = home_move_aside(writer->home, HOME_CODES);
    log_error("store", "%s is damaged: moved aside, codes are made again in the background (%s)", writer->home->codes,
              rc_name(rc));
    (void)open_codes(writer);
}

static void failed(struct writer *writer, int rc)
{
    say(writer, rc);
    if (rc == RC_CORRUPT)
        start_anew(writer);
    else if (!codes_are_open(writer->codes) || writer->codes->kv.broken || writer->codes->kv.read_only)
        reopen(writer);
    writer_tell(writer, FATE_CODES, 0, 0);
}

static bool ready(struct writer *writer)
{
    if (!writer->codes || writer->home->read_only) return false;
    if (!codes_are_open(writer->codes) || writer->codes->kv.broken || writer->codes->kv.read_only) reopen(writer);
    return codes_are_open(writer->codes) && !writer->codes->kv.read_only;
}

/* ---- transactions: begun when there is something to do, committed when they are large */

struct work {
    struct writer *writer;
    struct kv_txn txn;
    bool open;
    unsigned puts, deletes;
};

static int work_begin(struct work *work)
{
    if (work->open) return RC_OK;
    int rc = codes_write_begin(work->writer->codes, &work->txn);
    work->open = rc == RC_OK;
    return rc;
}

static int work_commit(struct work *work)
{
    if (!work->open) return RC_OK;
    uint64_t start = writer_now(), mark = work->writer->ids.mark;
    struct codes *codes = work->writer->codes;
    int rc = codes->id_mark < mark ? codes_mark_ids(codes, &work->txn, mark) : RC_OK;
    if (rc == RC_OK) rc = kv_commit(&work->txn);
    if (rc != RC_OK) return rc;
    work->open = false;
    metric_observe_us(&commit_time, writer_now() - start);
    metric_add(&commits, 1);
    metric_add(&stored, work->puts);
    metric_add(&deleted, work->deletes);
    work->puts = work->deletes = 0;
    pending_release(work->writer->pending_codes);
    return RC_OK;
}

static int commit_large(struct work *work)
{
    return work->writer->codes->dirty > CODES_DIRTY_MAX ? work_commit(work) : RC_OK;
}

static int put_one(struct work *work, uint64_t id, uint32_t random, const struct entry_vector *vector)
{
    int rc = work_begin(work);
    if (rc == RC_OK) rc = codes_put(work->writer->codes, &work->txn, id, random, vector);
    if (rc == RC_INVALID || rc == RC_FULL) { /* that code alone */
        metric_add(&lost, 1);
        return RC_OK;
    }
    if (rc == RC_OK) work->puts++;
    return rc == RC_OK ? commit_large(work) : rc;
}

static int delete_some(struct work *work, uint64_t name, const uint64_t *ids, unsigned count)
{
    int rc;
    do {
        unsigned some = 0;
        rc = work_begin(work);
        if (rc == RC_OK) rc = codes_delete(work->writer->codes, &work->txn, name, ids, count, &some);
        work->deletes += some;
        int committed = rc == RC_OK || rc == RC_AGAIN ? commit_large(work) : RC_OK;
        if (committed != RC_OK) rc = committed;
    } while (rc == RC_AGAIN);
    return rc;
}

static int put_pending(struct work *work)
{
    uint64_t id;
    uint32_t random;
    struct entry_vector vector;
    int rc = RC_OK;
    while (rc == RC_OK && pending_take(work->writer->pending_codes, &id, &random, &vector) == RC_OK)
        rc = put_one(work, id, random, &vector);
    work->writer->codes_oldest_us = 0;
    return rc;
}

/* What was taken is in the index, or is given up. */
static void work_end(struct work *work, int rc)
{
    struct writer *writer = work->writer;
    if (rc == RC_OK) rc = work_commit(work);
    if (work->open) kv_abort(&work->txn);
    work->open = false;
    writer_count_bytes(writer);
    if (rc == RC_OK) return;
    writer->codes->id_mark = 0; /* whether it was written is not known */
    metric_add(&lost, work->puts);
    pending_release(writer->pending_codes);
    failed(writer, rc);
}

/* ---- deletes */

struct named {
    uint64_t name, id;
};

static void sort_by_name(struct named *named, unsigned count)
{
    for (unsigned i = 1; i < count; i++) {
        struct named one = named[i];
        unsigned at = i;
        for (; at > 0 && named[at - 1].name > one.name; at--) named[at] = named[at - 1];
        named[at] = one;
    }
}

static int delete_named(struct work *work, struct named *named, unsigned count)
{
    uint64_t ids[CODES_DELETES_MAX];
    int rc = RC_OK;
    sort_by_name(named, count);
    for (unsigned from = 0; from < count && rc == RC_OK;) {
        unsigned some = 0;
        while (from + some < count && named[from + some].name == named[from].name) {
            ids[some] = named[from + some].id;
            some++;
        }
        rc = delete_some(work, named[from].name, ids, some);
        from += some;
    }
    return rc;
}

/* Which namespace an entry's code is in, its row tells. */
static int delete_at_most(struct work *work, const uint64_t *ids, unsigned count)
{
    uint64_t spaces[CODES_DELETES_MAX], embedder = work->writer->codes->embedder;
    struct named named[CODES_DELETES_MAX];
    unsigned named_count = 0;
    if (entries_spaces(work->writer->entries, ids, count, spaces) != RC_OK) return RC_OK; /* tombstones, then */
    for (unsigned i = 0; i < count; i++)
        if (spaces[i] != 0)
            named[named_count++] =
                (struct named){.name = codes_name(codes_space_tag(spaces[i], embedder)), .id = ids[i]};
    return delete_named(work, named, named_count);
}

/* One commit for all that leaves and what waited to come in. */
static void delete_end(struct work *work, int rc)
{
    if (rc == RC_OK && work->open) rc = put_pending(work);
    work_end(work, rc);
}

void writer_codes_delete(struct writer *writer, const uint64_t *ids, unsigned count)
{
    static_assert((int)COMMIT_DELETES <= (int)CODES_DELETES_MAX, "a record's ids fit one call");
    struct work work = {.writer = writer};
    if (count == 0 || !ready(writer) || !entries_are_open(writer->entries)) return;
    delete_end(&work, delete_at_most(&work, ids, count));
}

/* Ids of several records together: one pass over a namespace for all of them. */
static int gather(struct work *work, uint64_t *gathered, unsigned *have, const uint64_t *ids, unsigned count)
{
    int rc = RC_OK;
    for (unsigned i = 0; i < count && rc == RC_OK; i++) {
        gathered[(*have)++] = ids[i];
        if (*have < CODES_DELETES_MAX) continue;
        rc = delete_at_most(work, gathered, *have);
        *have = 0;
    }
    return rc;
}

void writer_codes_before(struct writer *writer, const struct batch *batch)
{
    uint64_t position = ring_first(&writer->ring), gathered[CODES_DELETES_MAX];
    struct work work = {.writer = writer};
    struct ring_record *record;
    unsigned have = 0;
    if (batch->deletes == 0 || !ready(writer) || !entries_are_open(writer->entries)) return;
    int rc = gather(&work, gathered, &have, writer->owed, batch->owed);
    while (rc == RC_OK && position < batch->end && (record = ring_at(&writer->ring, &position))) {
        if (record->kind == RECORD_DELETE)
            rc = gather(&work, gathered, &have, ring_payload(record), record_ids(record));
        position = ring_after(position, record);
    }
    if (rc == RC_OK && have > 0) rc = delete_at_most(&work, gathered, have);
    delete_end(&work, rc);
}

/* When the mark of ids was lost, or put back from a copy: ids that codes name will be given to others. */
void writer_codes_doubt(struct writer *writer)
{
    if (!writer->codes_doubtful) return;
    writer->codes_doubtful = false;
    log_warn("store", "the mark of ids in %s is older than the codes: they are made anew in the background",
             writer->home->folder);
    writer_codes_clear(writer);
    writer_tell(writer, FATE_CODES, 0, 0);
}

/* Before all entries leave. Codes of those that come after are pending still. */
void writer_codes_clear(struct writer *writer)
{
    struct codes *codes = writer->codes;
    if (!ready(writer)) return;
    uint64_t embedder = codes->embedder;
    struct work work = {.writer = writer};
    codes_close(codes);
    int rc = home_empty_codes(writer->home);
    if (rc == RC_OK) rc = open_codes(writer);
    if (rc == RC_OK) rc = work_begin(&work);
    if (rc == RC_OK) rc = codes_embedder_set(codes, &work.txn, embedder);
    work_end(&work, rc);
}

/* ---- after the entries' commit */

/* A code that was made in the background, of an entry that is still the same. */
static int apply_code(struct work *work, const struct ring_record *record, const struct record_code *code)
{
    struct kv_txn txn;
    uint64_t space = 0;
    uint32_t random = 0;
    struct entries *entries = work->writer->entries;
    if (!entries_are_open(entries) || kv_read_begin(&entries->kv, &txn) != RC_OK) return RC_OK;
    int rc = entries_space(&txn, record->id, &space, &random);
    kv_read_end(&txn);
    if (rc != RC_OK || space != code->vector.space) return RC_OK;
    return put_one(work, record->id, random, &code->vector);
}

static int drop_damaged(struct work *work, uint64_t name)
{
    int rc;
    do {
        rc = work_begin(work);
        if (rc == RC_OK) rc = codes_verify(work->writer->codes, &work->txn, name);
        int committed = rc == RC_AGAIN ? work_commit(work) : RC_OK;
        if (committed != RC_OK) rc = committed;
    } while (rc == RC_AGAIN);
    return rc;
}

static int apply_embedder(struct work *work, uint64_t tag_hash)
{
    struct writer *writer = work->writer;
    struct codes *codes = writer->codes;
    if (codes->embedder == tag_hash) return RC_OK;
    int rc = work_commit(work);
    if (rc == RC_OK && codes->embedder != 0) {
        log_info("store", "another embedder: the codes in %s are made anew in the background", writer->home->codes);
        codes_close(codes);
        rc = home_empty_codes(writer->home);
        if (rc == RC_OK) rc = open_codes(writer);
        if (rc == RC_OK) writer_tell(writer, FATE_CODES, 0, 0);
    }
    if (rc == RC_OK) rc = work_begin(work);
    return rc == RC_OK ? codes_embedder_set(codes, &work->txn, tag_hash) : rc;
}

static int apply(struct work *work, struct ring_record *record)
{
    void *payload = ring_payload(record);
    if (record->kind == RECORD_CODE) return apply_code(work, record, payload);
    if (record->kind == RECORD_EMBEDDER) return apply_embedder(work, ((struct record_embedder *)payload)->tag_hash);
    if (record->kind != RECORD_UNCODE) return RC_OK;
    const struct record_uncode *uncode = payload;
    if (uncode->count == 0) return drop_damaged(work, uncode->name);
    return delete_some(work, uncode->name, (const uint64_t *)(uncode + 1), (unsigned)uncode->count);
}

static bool asked_for(struct writer *writer, uint64_t end)
{
    pthread_mutex_lock(&writer->lock);
    bool asked = writer->stopping || writer->urgent >= end;
    pthread_mutex_unlock(&writer->lock);
    return asked;
}

void writer_codes_after(struct writer *writer, const struct batch *batch)
{
    uint64_t position = ring_first(&writer->ring);
    struct work work = {.writer = writer};
    struct ring_record *record;
    int rc = RC_OK;
    if (!writer->codes) return;
    bool waits = atomic_load(&writer->pending_codes->durable) > 0;
    if (waits && writer->codes_oldest_us == 0) writer->codes_oldest_us = writer_now();
    if (batch->codes > 0 && ready(writer)) {
        while (rc == RC_OK && position < batch->end && (record = ring_at(&writer->ring, &position))) {
            rc = apply(&work, record);
            position = ring_after(position, record);
        }
        if (rc == RC_OK) rc = put_pending(&work);
        work_end(&work, rc);
    } else if (writer_now() >= writer_codes_due(writer) || (waits && asked_for(writer, batch->end))) {
        writer_codes_flush(writer);
    }
}

uint64_t writer_codes_due(const struct writer *writer)
{
    if (!writer->codes || writer->codes_oldest_us == 0) return UINT64_MAX;
    unsigned durable = atomic_load(&writer->pending_codes->durable);
    if (durable == 0) return UINT64_MAX;
    return durable >= CODES_EVERY ? 0 : writer->codes_oldest_us + writer->limits.codes_us;
}

void writer_codes_flush(struct writer *writer)
{
    struct work work = {.writer = writer};
    writer->codes_oldest_us = 0;
    if (!writer->codes || atomic_load(&writer->pending_codes->durable) == 0) return;
    if (ready(writer)) {
        work_end(&work, put_pending(&work));
        return;
    }
    uint64_t id;
    uint32_t random;
    struct entry_vector vector;
    while (pending_take(writer->pending_codes, &id, &random, &vector) == RC_OK) metric_add(&lost, 1);
    pending_release(writer->pending_codes);
    writer_tell(writer, FATE_CODES, 0, 0);
}
