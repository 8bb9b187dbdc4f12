/* SPDX-License-Identifier: Apache-2.0 */
/* storage/writer_batch.h — the writer thread's work on the queue, for storage/writer*.c only. */
#ifndef STORAGE_WRITER_BATCH_H
#define STORAGE_WRITER_BATCH_H

#include "storage/writer.h"

enum writer_record { RECORD_PUT = 1, RECORD_DELETE, RECORD_PURGE, RECORD_STATE };

/* Payloads; texts and ids follow. */
struct record_put {
    struct digest digest;
    unsigned char tag[16];
    struct entry_meta meta;
    uint32_t query_size, body_size, cost, reserved;
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
