/* SPDX-License-Identifier: Apache-2.0 */
/* storage/writer_batch.h — the writer thread's work on the queue, for storage/writer*.c only. */
#ifndef STORAGE_WRITER_BATCH_H
#define STORAGE_WRITER_BATCH_H

#include "storage/writer.h"

enum writer_record {
    RECORD_PUT = 1,
    RECORD_DELETE,
    RECORD_PURGE,
    RECORD_STATE,
    RECORD_CODE,
    RECORD_UNCODE,
    RECORD_EMBEDDER
};

/* Payloads; texts and ids follow. */
struct record_put {
    struct digest digest;
    unsigned char tag[16];
    struct entry_meta meta;
    struct entry_vector vector; /* its guard lies behind the query; the vector itself in storage/pending.h */
    uint32_t query_size, body_size, cost, coded;
};

struct record_code { /* the vector's bytes follow */
    struct entry_vector vector;
};

struct record_uncode { /* ids follow */
    uint64_t name, count;
};

struct record_embedder {
    uint64_t tag_hash;
};

struct record_purge {
    uint8_t tenant[ENTRY_TENANT_SIZE];
    uint32_t all, slot;
    uint64_t below; /* ids */
};

struct record_state {
    uint32_t part, last, size, reserved;
};

struct entry_new record_put_entry(const struct record_put *put);
static inline unsigned record_ids(const struct ring_record *record)
{
    return (unsigned)(record->id); /* of a delete: how many */
}

struct batch {
    uint64_t end;
    unsigned records, puts, deletes, owed, codes;
    size_t bytes;
    const struct record_purge *purge;
};

/* ---- writer_codes.c: none of these fails for its caller */
/* What is about to leave the entries leaves the codes before. */
void writer_codes_before(struct writer *writer, const struct batch *batch);
void writer_codes_delete(struct writer *writer, const uint64_t *ids, unsigned count);
void writer_codes_clear(struct writer *writer);
void writer_codes_doubt(struct writer *writer);
/* What the batch says about codes, and those that waited long enough. */
void writer_codes_after(struct writer *writer, const struct batch *batch);
/* When codes must be written at the latest; UINT64_MAX: none wait. */
uint64_t writer_codes_due(const struct writer *writer);
void writer_codes_flush(struct writer *writer);
void writer_codes_metrics(void);

/* One commit from the front of the queue; releases what it covers. */
void writer_batch(struct writer *writer);
/* Queues a report; waits for the lane when the queue of reports is full. */
void writer_tell(struct writer *writer, enum writer_fate fate, uint64_t id, uint32_t value);
/* Makes a new block of ids durable. */
int writer_ids(struct writer *writer);
uint64_t writer_now(void);

void *writer_main(void *arg);

void writer_metrics(void);
void writer_thread_metrics(void);
void writer_count_bytes(struct writer *writer);

#endif
