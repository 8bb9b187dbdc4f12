/* SPDX-License-Identifier: Apache-2.0 */
/* storage/writer.h — the one thread that writes: a queue of work from the lane, commits, and what came of them.
 *
 * Queue:   a ring of records in the lane's order (storage/ring.h). Stores may be refused when it is full; deletes have a
 *          reserve of their own, and whoever needs to know waits for the commit (writer_sync, writer_purge).
 * Commit:  at COMMIT_ENTRIES stores, COMMIT_BYTES, sync_us after the first, or when somebody waits.
 * Pending: a record stays in the ring until its commit is done, so an entry that is not on disk yet is read from there
 *          (writer_read_pending): Hot need not hold it.
 * Codes:   the second environment has the same writer. A batch's deletes leave the codes first, by a commit of their own;
 *          codes of entries that were committed follow within codes_us, or CODES_EVERY of them, or before somebody's sync
 *          ends. Whatever fails there is logged and counted and costs the entries nothing: they stay exact, and the codes
 *          are made again (FATE_CODES). A damaged environment of codes is moved aside alone.
 * Failure: disk or map full: the damaged copy is deleted, the oldest entries leave, the batch is tried once more, then its
 *          stores are dropped, counted, and reported as gone; deletes are kept and tried again. The thread goes on, so a
 *          disk that has room again is used again. A broken environment is opened anew, a damaged one moved aside.
 * Ids:     given on the lane from a block whose end is durable; a new block is taken when half of one is used.
 * Owner:   one struct writer; it holds the entries' write side and reopens them.
 * Threads: everything on the lane; the thread is its own.
 */
#ifndef STORAGE_WRITER_H
#define STORAGE_WRITER_H

#include <pthread.h>

#include "platform/loop.h"
#include "storage/codes.h"
#include "storage/entries.h"
#include "storage/home.h"
#include "storage/ids.h"
#include "storage/pending.h"
#include "storage/ring.h"

enum {
    COMMIT_ENTRIES = 64,
    COMMIT_BYTES = 256 << 10,
    COMMIT_DELETES = 128, /* ids in one record, and in one commit */
    WRITER_QUEUE_MIN = 1 << 20,
    WRITER_BODIES = 4,         /* of the largest size fit the queue */
    WRITER_RESERVE = 64 << 10, /* of the queue, for what must be written */
    WRITER_EVENTS = 1024,      /* reports to the lane that may wait */
    WRITER_PURGES = 4,
    CODES_EVERY = 64,   /* codes in one commit */
    WRITER_OWED = 1024, /* deletes that could not be written yet */
};

enum writer_fate {
    FATE_GONE,     /* dropped, evicted in need or purged: it is not in the store any more */
    FATE_COST,     /* stored; `value` bytes of pages instead of what writer_put said */
    FATE_ALL_GONE, /* the environment was moved aside */
    FATE_CODES,    /* codes were lost: some entries have none */
};

struct writer_event {
    uint64_t id;
    uint32_t fate, value;
};

struct writer_limits {
    size_t body_max;
    uint64_t sync_us;
    uint64_t map_bytes;
    uint64_t codes_us; /* longest time a committed entry's code waits for its own commit */
    uint64_t codes_map_bytes;
};

struct writer_sync;
struct fiber;

struct writer_purge {
    enum { PURGE_FREE, PURGE_RUNS, PURGE_DONE } state;
    struct fiber *fiber; /* NULL: nobody waits any more */
    _Atomic bool done;
    int rc;
    unsigned removed;
};

struct writer {
    struct entries *entries;
    struct codes *codes;           /* NULL: no semantic tier */
    struct pending *pending_codes; /* with codes */
    struct home *home;
    struct ids ids;
    struct writer_limits limits;
    void (*report)(const struct writer_event *event); /* on the lane */
    struct ring ring;

    /* lane */
    uint64_t uncoded; /* stores that have a space and came without a code, or found no room for it */
    struct writer_sync *syncs;
    uint64_t ids_wait_us; /* what is left of the time to wait for the first block of ids */
    struct writer_purge purges[WRITER_PURGES];

    /* shared */
    pthread_t thread;
    bool running;
    pthread_mutex_t lock;
    pthread_cond_t work, progress;
    bool stopping, ended, ids_failed;
    uint64_t urgent;           /* commit at once up to this position */
    _Atomic unsigned pending;  /* stores in the queue */
    _Atomic uint64_t id_next;  /* of the lane; the thread looks when to make more */
    _Atomic uint64_t id_limit; /* ids below may be given */
    _Atomic uint64_t failures; /* batches lost */
    _Atomic int last_failure;
    struct loop_call call;
    _Atomic bool posted;
    struct writer_event events[WRITER_EVENTS];
    _Atomic unsigned event_head, event_tail;

    /* writer thread */
    bool mark_due; /* the environment does not know the newest mark of ids yet */
    uint64_t logged_us;
    uint64_t first_us; /* when the oldest record was seen */
    int io;            /* /proc/thread-self/io */
    uint64_t owed[WRITER_OWED];
    unsigned owed_count;
    uint64_t ids_found[COMMIT_DELETES];
    struct {
        uint64_t id;
        uint32_t cost;
    } costs[COMMIT_ENTRIES];
    unsigned cost_count;
    struct {
        uint64_t id;
        uint32_t random;
    } written[COMMIT_ENTRIES]; /* stores of this batch that have codes */
    unsigned written_count;
    bool codes_doubtful;      /* they may name ids that will be given again */
    uint64_t codes_oldest_us; /* since when a durable entry's code waits; 0: none */
    uint64_t codes_retry_us, codes_logged_us;
    unsigned codes_unread; /* times in a row that the file could not be opened */
};

/* Watches a map for faults (storage/home.h). */
void writer_watch(const struct kv *kv, const struct home *home, enum home_part part);
int writer_reserve(struct writer *writer, size_t body_max);
/* The entries are open (or closed, when nothing can be stored now: it will be tried again). */
int writer_start(struct writer *writer, struct entries *entries, struct home *home, const struct writer_limits *limits,
                 void (*report)(const struct writer_event *event));
/* Writes what waits, as far as the disk lets it, and ends the thread. */
void writer_stop(struct writer *writer);
void writer_sync_interval(struct writer *writer, uint64_t sync_us);
/* False until the first block of ids is durable, or cannot be made so: a put would wait for the disk, or be refused. */
bool writer_is_settled(struct writer *writer);

/* RC_OK when writer_put would take the entry now, and `deletes` ids besides. RC_FULL, RC_READ_ONLY, RC_TOO_LARGE. */
int writer_fits(struct writer *writer, const struct entry_new *entry, unsigned deletes);
/* The meta's id is ignored; *id and *cost (an estimate when the body will be compressed) are given. */
int writer_put(struct writer *writer, const struct entry_new *entry, uint64_t *id, uint32_t *cost);
/* Any number of ids. RC_FULL: nothing was queued. */
int writer_delete(struct writer *writer, const uint64_t *ids, unsigned count);
/* Code and vector of a committed entry (background work). RC_FULL, RC_READ_ONLY. */
int writer_code(struct writer *writer, uint64_t id, const struct entry_vector *vector);
/* Slots of a namespace whose entries are gone, at most COMMIT_DELETES; no ids: its damaged blocks are dropped. */
int writer_uncode(struct writer *writer, uint64_t name, const uint64_t *ids, unsigned count);
/* Codes of another embedder than this one are dropped, all of them. */
int writer_embedder(struct writer *writer, uint64_t tag_hash);
/* A part of the eviction state; the last one (shorter, maybe empty) cuts off what was behind it. */
int writer_state(struct writer *writer, unsigned part, struct span value, bool last);

/* An entry that is still in the queue; RC_NOT_FOUND. Texts lie in the arena. */
int writer_read_pending(struct writer *writer, uint64_t id, const struct digest *digest, struct arena *arena,
                        struct entry_texts *texts);
unsigned writer_pending(const struct writer *writer);

/* From a fiber. RC_OK: all that was put before is durable; else the failure of a batch in between, or RC_TIMEOUT. */
int writer_sync(struct writer *writer, uint64_t deadline_us);
/* From a fiber. Removes the tenant's (NULL: all) entries with ids given so far. */
int writer_purge(struct writer *writer, const uint8_t *tenant, unsigned *removed);
/* Bytes handed to the kernel by the thread since it started. */
uint64_t writer_bytes_written(void);
uint64_t writer_commits(void);
uint64_t writer_lost(void); /* stores whose commit failed */
uint64_t writer_codes_commits(void);
uint64_t writer_codes_stored(void);
uint64_t writer_codes_deleted(void);
uint64_t writer_codes_lost(void);
/* Closing: takes reports and lets the thread work for up to `us`. Blocks. */
void writer_wait(struct writer *writer, uint64_t us);
/* Takes reports off the queue now (the loop does it by itself). */
void writer_drain(struct writer *writer);

#endif
