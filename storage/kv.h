/* SPDX-License-Identifier: Apache-2.0 */
/* storage/kv.h — ordered rows in the pages of one file that survives power cuts (the door of LMDB).
 *
 * Owner:   the caller owns struct kv; values point into the map until their transaction ends.
 * Threads: one writer thread; readers on any thread, each takes one of `readers` prepared transactions and gives it back
 *          (kv_read_begin never allocates). Opening and closing: no transaction may be open.
 * Fails:   RC_NO_SPACE (disk or map full), RC_CORRUPT (damaged or foreign file), RC_READ_ONLY, RC_NOT_FOUND, RC_IO.
 *          After a failed commit nothing of it is visible; `broken` is set when the environment must be opened anew.
 * Durable: kv_commit returns after fdatasync and a synchronous write of the meta page.
 * Memory:  region HEAP_LMDB, sum of the terms below; the id lists are address space that is hardly ever touched.
 */
#ifndef STORAGE_KV_H
#define STORAGE_KV_H

#include <pthread.h>
#include <stdatomic.h>

#include "platform/file.h"
#include "platform/span.h"

enum { KV_TABLES_MAX = 4, KV_READERS_MAX = 8, KV_ENVIRONMENTS = 2 /* entries, codes */ };

enum {
    /* LMDB's lists for one environment: 131,072 dirty pages of 16 bytes, 131,072 freed page numbers of 8. */
    KV_ID_LISTS = 3 << 20,
    /* What a commit fills of them: its dirty pages, and the pages of COMMIT_DELETES of the largest bodies. */
    KV_ID_FIXED = 128 << 10,
    KV_ID_FREED = 160,
    /* One commit (storage/writer.h): 256 KiB of values, as much again for partly filled pages, and the tree pages of 128
     * rows deleted in random places; besides, the largest body twice. Pages stay in LMDB's free list once taken. */
    KV_DIRTY_PAGES = 4 << 20,
    /* Numbers of free pages read to find a run of four: up to 240 records, old and new list together while it grows. */
    KV_FREE_LISTS = 3 << 20,
    KV_SMALL = 256 << 10,                                              /* environment, transactions, cursors, paths */
    KV_HEAP = KV_ID_LISTS + KV_DIRTY_PAGES + KV_FREE_LISTS + KV_SMALL, /* of one environment, without bodies */
};

struct kv_reader { /* a prepared read transaction */
    void *txn;
    void *cursors[KV_TABLES_MAX];
};

struct kv {
    void *env;
    unsigned tables[KV_TABLES_MAX];
    unsigned table_count;
    size_t page_size;
    uint64_t map_bytes;
    bool read_only;
    _Atomic bool broken;
    struct kv_reader readers[KV_READERS_MAX];
    unsigned reader_count, readers_free;
    unsigned char reader_free[KV_READERS_MAX];
    pthread_mutex_t lock;
    pthread_cond_t returned;
};

struct kv_options {
    const char *folder;        /* exists */
    const char *const *tables; /* their names */
    unsigned table_count;
    uint64_t map_bytes; /* rounded to pages, capped on 32-bit systems */
    unsigned readers;
    bool read_only;
};

/* Boot, once: takes the region for KV_ENVIRONMENTS; `largest` is the most bytes one entry holds. */
int kv_reserve(size_t largest);

/* Why an environment cannot be opened, before LMDB maps it: reads the meta pages with pread and compares them with the
 * file's length. RC_NOT_FOUND: no file (fresh). RC_CORRUPT: `reason` says what. A file may be shorter than its last page
 * says when the missing pages are all free: then the trees are walked, else only their roots and their tables' roots. */
enum { KV_REASON_MAX = 96 };
int kv_inspect(const char *folder, char reason[KV_REASON_MAX]);

int kv_open(struct kv *kv, const struct kv_options *options);
void kv_close(struct kv *kv);
/* The map, for a watch on faults in it; size 0 when it cannot be told. Boot, or when opened anew. */
void kv_map(const struct kv *kv, const void **base, size_t *size);
void kv_map_of(int file, const void **base, size_t *size);

struct kv_txn {
    struct kv *kv;
    void *txn;
    int reader; /* index, -1: the writer's */
};

/* Waits for a free reader: bounded by what the others read. */
int kv_read_begin(struct kv *kv, struct kv_txn *txn);
void kv_read_end(struct kv_txn *txn);
int kv_write_begin(struct kv *kv, struct kv_txn *txn);
int kv_commit(struct kv_txn *txn);
void kv_abort(struct kv_txn *txn);

/* A key is a number; rows are ordered by it. Big endian on disk. */
int kv_get(struct kv_txn *txn, unsigned table, uint64_t key, struct span *value);
int kv_put(struct kv_txn *txn, unsigned table, uint64_t key, struct span value);
/* As kv_put, for a key above all others of its table (else as kv_put): keeps pages full. */
int kv_append(struct kv_txn *txn, unsigned table, uint64_t key, struct span value);
/* Room for a value that the caller fills before the next call. */
int kv_append_room(struct kv_txn *txn, unsigned table, uint64_t key, size_t size, void **room);
/* The same for any key. */
int kv_put_room(struct kv_txn *txn, unsigned table, uint64_t key, size_t size, void **room);
int kv_delete(struct kv_txn *txn, unsigned table, uint64_t key);
/* The first row at `from` or above, the last row below `below`: in any transaction, also the writer's own. */
int kv_ceil(struct kv_txn *txn, unsigned table, uint64_t from, uint64_t *key, struct span *value);
int kv_floor(struct kv_txn *txn, unsigned table, uint64_t below, uint64_t *key, struct span *value);
/* Rows in the table. */
int kv_count(struct kv_txn *txn, unsigned table, uint64_t *rows);

/* Bytes of its pages, free ones not counted. */
int kv_table_bytes(struct kv_txn *txn, unsigned table, uint64_t *bytes);

/* Walks of a read transaction; one walk a table at a time. RC_NOT_FOUND at the end. */
int kv_seek(struct kv_txn *txn, unsigned table, uint64_t from, uint64_t *key, struct span *value); /* first >= from */
int kv_next(struct kv_txn *txn, unsigned table, uint64_t *key, struct span *value);
int kv_previous(struct kv_txn *txn, unsigned table, uint64_t *key, struct span *value);
int kv_last(struct kv_txn *txn, unsigned table, uint64_t *key, struct span *value);

#endif
