/* SPDX-License-Identifier: Apache-2.0 */
/* storage/writer_batch.c — one commit: what it covers, what it does, what happens when it fails. */
#include "storage/writer_batch.h"

#include "platform/check.h"
#include "platform/log.h"
#include "platform/metric.h"
#include "platform/rc.h"

enum { LOG_EVERY_US = 60000000 };

static struct metric_histogram commit_times;
static struct metric commits = {
    .name = "larder_store_commits_total", .help = "Commits of the store.", .kind = METRIC_COUNTER};
static struct metric commit_time = {.name = "larder_store_commit_seconds",
                                    .help = "Time a commit took.",
                                    .kind = METRIC_HISTOGRAM,
                                    .histogram = &commit_times};
static struct metric stored = {
    .name = "larder_store_stored_total", .help = "Entries that were committed.", .kind = METRIC_COUNTER};
static struct metric lost = {.name = "larder_store_dropped_total",
                             .labels = "reason=\"write_failed\"",
                             .help = "Entries that could not be kept.",
                             .kind = METRIC_COUNTER};
static struct metric crowded = {.name = "larder_store_evicted_in_need_total",
                                .help = "Oldest entries that left because disk or map was full.",
                                .kind = METRIC_COUNTER};

void writer_metrics(void)
{
    metric_register(&commits);
    metric_register(&commit_time);
    metric_register(&stored);
    metric_register(&lost);
    metric_register(&crowded);
    writer_thread_metrics();
    writer_codes_metrics();
}

uint64_t writer_commits(void)
{
    return metric_get(&commits);
}

uint64_t writer_lost(void)
{
    return metric_get(&lost);
}

/* ---- what it covers */

static bool batch_takes(struct batch *batch, const struct ring_record *record)
{
    bool first = batch->records == 0;
    if (record->kind == RECORD_PURGE) return first;
    if (batch->purge) return false;
    if (!first && batch->bytes + record->size > COMMIT_BYTES) return false;
    if (record->kind == RECORD_PUT) return batch->puts < COMMIT_ENTRIES;
    if (record->kind == RECORD_DELETE) return batch->deletes + record_ids(record) <= COMMIT_DELETES || first;
    return true;
}

static struct batch batch_measure(struct writer *writer)
{
    uint64_t position = ring_first(&writer->ring);
    struct ring_record *record;
    struct batch batch = {.end = position};
    batch.owed = writer->owed_count < COMMIT_DELETES ? writer->owed_count : COMMIT_DELETES;
    batch.deletes = batch.owed;
    while ((record = ring_at(&writer->ring, &position)) && batch_takes(&batch, record)) {
        if (record->kind == RECORD_PUT) batch.puts++;
        if (record->kind == RECORD_DELETE) batch.deletes += record_ids(record);
        if (record->kind >= RECORD_CODE) batch.codes++;
        if (record->kind == RECORD_PURGE) batch.purge = ring_payload(record);
        batch.records++;
        batch.bytes += record->size;
        position = batch.end = ring_after(position, record);
    }
    return batch;
}

/* ---- what it does */

static int delete_ids(struct kv_txn *txn, const uint64_t *ids, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        int rc = entries_delete(txn, ids[i]);
        if (rc != RC_OK && rc != RC_NOT_FOUND) return rc;
    }
    return RC_OK;
}

static int apply_put(struct writer *writer, struct kv_txn *txn, const struct record_put *put)
{
    uint32_t cost, random;
    struct entry_new entry = record_put_entry(put);
    int rc = entries_put(writer->entries, txn, &entry, &cost, &random);
    if (rc == RC_OK && put->coded) {
        writer->written[writer->written_count].id = put->meta.id;
        writer->written[writer->written_count++].random = random;
    }
    if (rc == RC_OK && cost != put->cost) {
        writer->costs[writer->cost_count].id = put->meta.id;
        writer->costs[writer->cost_count++].cost = cost;
    }
    return rc;
}

static int apply_state(struct kv_txn *txn, const struct record_state *state)
{
    int rc = entries_state_put(txn, state->part, span_of((const char *)(state + 1), state->size));
    if (rc == RC_OK && state->last) rc = entries_state_cut(txn, state->part + 1);
    return rc;
}

static int apply(struct writer *writer, struct kv_txn *txn, struct ring_record *record)
{
    void *payload = ring_payload(record);
    if (record->kind == RECORD_PUT) return apply_put(writer, txn, payload);
    if (record->kind == RECORD_DELETE) return delete_ids(txn, payload, record_ids(record));
    if (record->kind == RECORD_STATE) return apply_state(txn, payload);
    return RC_OK;
}

static int apply_all(struct writer *writer, struct kv_txn *txn, const struct batch *batch)
{
    uint64_t position = ring_first(&writer->ring);
    struct ring_record *record;
    int rc = delete_ids(txn, writer->owed, batch->owed);
    while (rc == RC_OK && position < batch->end && (record = ring_at(&writer->ring, &position))) {
        rc = apply(writer, txn, record);
        position = ring_after(position, record);
    }
    if (rc == RC_OK && writer->mark_due) rc = entries_mark_ids(txn, writer->ids.mark);
    return rc;
}

static int timed_commit(struct writer *writer, struct kv_txn *txn)
{
    uint64_t start = writer_now();
    int rc = kv_commit(txn);
    metric_observe_us(&commit_time, writer_now() - start);
    if (rc == RC_OK) metric_add(&commits, 1);
    writer_count_bytes(writer);
    return rc;
}

static int batch_try(struct writer *writer, const struct batch *batch)
{
    struct kv_txn txn;
    writer->cost_count = writer->written_count = 0;
    if (!entries_are_open(writer->entries)) return RC_IO;
    int rc = kv_write_begin(&writer->entries->kv, &txn);
    if (rc != RC_OK) return rc;
    rc = apply_all(writer, &txn, batch);
    if (rc == RC_OK) rc = timed_commit(writer, &txn);
    kv_abort(&txn);
    return rc;
}

/* ---- when it fails */

/* LMDB calls a write that the file system cut short an input/output error. */
static const char *what_failed(int rc)
{
    return rc == RC_IO ? "input/output error: the disk is full or fails" : rc_name(rc);
}

static void log_seldom(struct writer *writer, int rc)
{
    uint64_t now = writer_now();
    if (writer->logged_us != 0 && now - writer->logged_us < LOG_EVERY_US) return;
    writer->logged_us = now;
    log_warn("store",
             "cannot write to %s (%s): answers are served, new ones are not kept until this ends; %llu dropped",
             writer->home->entries, what_failed(rc), (unsigned long long)metric_get(&lost));
}

static void batch_drop(struct writer *writer, const struct batch *batch)
{
    uint64_t position = ring_first(&writer->ring);
    struct ring_record *record;
    while (position < batch->end && (record = ring_at(&writer->ring, &position))) {
        const uint64_t *ids = ring_payload(record);
        if (record->kind == RECORD_PUT) {
            if (writer->pending_codes) pending_settle(writer->pending_codes, record->id, 0, false);
            writer_tell(writer, FATE_GONE, record->id, 0);
            metric_add(&lost, 1);
        }
        for (unsigned i = 0; record->kind == RECORD_DELETE && i < record_ids(record); i++)
            if (writer->owed_count < WRITER_OWED) writer->owed[writer->owed_count++] = ids[i];
        position = ring_after(position, record);
    }
}

static int remove_ids(struct writer *writer, const uint64_t *ids, unsigned count)
{
    struct kv_txn txn;
    if (count == 0) return RC_OK;
    writer_codes_delete(writer, ids, count);
    int rc = kv_write_begin(&writer->entries->kv, &txn);
    if (rc != RC_OK) return rc;
    rc = delete_ids(&txn, ids, count);
    if (rc == RC_OK) rc = timed_commit(writer, &txn);
    kv_abort(&txn);
    for (unsigned i = 0; rc == RC_OK && i < count; i++) writer_tell(writer, FATE_GONE, ids[i], 0);
    return rc;
}

/* The lane's policy keeps the store below its bytes; this is for when the disk is smaller than that, or the map is
 * fragmented: plain oldest first, which this thread can tell without asking the lane, as many as shall come in. LMDB uses
 * the pages that a commit freed from the second commit after it on, so there are two. */
static int make_room(struct writer *writer, unsigned wanted)
{
    unsigned count;
    if (home_drop_damaged(writer->home) == RC_OK) {
        log_warn("store", "the disk is full: deleted the damaged copy beside %s", writer->home->entries);
        return RC_OK;
    }
    if (!entries_are_open(writer->entries)) return RC_IO;
    int rc = entries_oldest(writer->entries, writer->ids_found, wanted > 1 ? wanted : 2, &count);
    if (rc == RC_OK && count > 1) rc = remove_ids(writer, writer->ids_found, count - 1);
    if (rc == RC_OK && count > 0) rc = remove_ids(writer, writer->ids_found + count - 1, 1);
    if (rc == RC_OK) metric_add(&crowded, count);
    return rc;
}

void writer_watch(const struct kv *kv, const struct home *home, enum home_part part)
{
    const void *map;
    size_t size;
    kv_map(kv, &map, &size);
    if (size > 0) home_watch(home, part, map, size);
}

/* Reading needs it as much as writing: after a failed meta page LMDB refuses both. Costs less than a millisecond, once or
 * twice a failed batch. */
static int reopen(struct writer *writer)
{
    struct entries *entries = writer->entries;
    struct hash_key key = entries->tag_key;
    entries_close(entries);
    int rc = entries_open(entries, writer->home->entries, writer->limits.map_bytes, false, &key);
    writer->mark_due = true;
    bool open = rc == RC_OK || /* at least for reading */
                entries_open(entries, writer->home->entries, writer->limits.map_bytes, true, &key) == RC_OK;
    if (open) writer_watch(&entries->kv, writer->home, HOME_ENTRIES);
    return rc;
}

static bool must_reopen(const struct writer *writer)
{
    const struct entries *entries = writer->entries;
    return !entries_are_open(entries) || entries->kv.broken || entries->kv.read_only; /* opened so on a full disk */
}

static int start_cold(struct writer *writer)
{
    entries_close(writer->entries);
    int rc = home_move_aside(writer->home, HOME_ENTRIES);
    log_error("store", "%s is damaged: moved to %s.damaged, starting empty (%s)", writer->home->entries,
              writer->home->entries, rc_name(rc));
    writer_tell(writer, FATE_ALL_GONE, 0, 0);
    writer->owed_count = 0;
    writer_codes_clear(writer); /* they named what is gone */
    return rc == RC_OK ? reopen(writer) : rc;
}

/* One more chance, after what the error asks for. */
static int batch_again(struct writer *writer, const struct batch *batch, int rc)
{
    if (must_reopen(writer)) (void)reopen(writer);
    if (rc == RC_NO_SPACE) (void)make_room(writer, batch->puts);
    if (rc == RC_CORRUPT) (void)start_cold(writer);
    rc = batch_try(writer, batch);
    if (must_reopen(writer)) (void)reopen(writer);
    return rc;
}

/* ---- purges */

static int purge_run(struct writer *writer, const struct record_purge *purge, unsigned *removed)
{
    uint64_t from = 0;
    int rc = RC_OK;
    while (rc == RC_OK && from < purge->below) {
        unsigned count;
        rc = entries_of_tenant(writer->entries, purge->all ? NULL : purge->tenant, from, purge->below,
                               writer->ids_found, COMMIT_DELETES, &count, &from);
        if (rc == RC_OK) rc = remove_ids(writer, writer->ids_found, count);
        if (rc == RC_OK) *removed += count;
    }
    return rc;
}

static void batch_purge(struct writer *writer, const struct record_purge *record)
{
    struct writer_purge *purge = &writer->purges[record->slot];
    purge->removed = 0;
    if (record->all) writer_codes_clear(writer);
    purge->rc = purge_run(writer, record, &purge->removed);
    atomic_store(&purge->done, true);
}

/* ---- */

static void batch_done(struct writer *writer, const struct batch *batch)
{
    for (unsigned i = 0; i < writer->written_count; i++)
        pending_settle(writer->pending_codes, writer->written[i].id, writer->written[i].random, true);
    for (unsigned i = 0; i < writer->cost_count; i++)
        writer_tell(writer, FATE_COST, writer->costs[i].id, writer->costs[i].cost);
    writer->owed_count -= batch->owed;
    memmove(writer->owed, writer->owed + batch->owed, writer->owed_count * sizeof writer->owed[0]);
    writer->mark_due = false;
    metric_add(&stored, batch->puts);
}

void writer_batch(struct writer *writer)
{
    struct batch batch = batch_measure(writer);
    int rc = RC_OK;
    if (batch.purge) {
        batch_purge(writer, batch.purge);
    } else {
        writer_codes_before(writer, &batch);
        rc = batch_try(writer, &batch);
        if (rc != RC_OK) rc = batch_again(writer, &batch, rc);
        if (rc == RC_OK) batch_done(writer, &batch);
    }
    if (rc != RC_OK) {
        atomic_store(&writer->last_failure, rc);
        atomic_fetch_add(&writer->failures, 1);
        batch_drop(writer, &batch);
        log_seldom(writer, rc);
    }
    writer_codes_after(writer, &batch);
    atomic_fetch_sub(&writer->pending, batch.puts);
    ring_release(&writer->ring, batch.end);
}
