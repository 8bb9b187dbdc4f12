/* SPDX-License-Identifier: Apache-2.0 */
/* app/bench/bench_store.c — the store's stages, on the disk of the folder that was named: reading an entry that the page
 * cache holds, and durable commits. */
#include <stdio.h>
#include <string.h>

#include "app/bench/report.h"
#include "platform/check.h"
#include "platform/clock.h"
#include "platform/compress.h"
#include "platform/crypto.h"
#include "platform/rc.h"
#include "storage/entries.h"

enum {
    SMALL = 2 << 10,  /* a body that is stored as it is */
    LARGE = 16 << 10, /* one that is compressed */
    EACH = 500,       /* entries of either size */
    BATCH = 64,       /* as many as the writer commits at most */
    MAP = 1 << 30,
    ARENA = 1 << 20,
};

static struct {
    struct entries entries;
    struct arena arena;
    char body[LARGE];
    uint64_t next; /* id */
    uint64_t seed;
    uint64_t from; /* ids that are read: EACH of them */
    unsigned puts; /* of a commit */
    size_t size;
    int rc;
} store = {.next = 1};

/* Words, so that it compresses as answers do. */
static void fill_body(void)
{
    static const char words[8][8] = {"answer ", "water ",  "because", " which ",
                                     "value ",  "of the ", "several", " stored"};
    for (size_t i = 0; i + 8 <= LARGE; i += 8) memcpy(store.body + i, words[bench_random(&store.seed) % 8], 8);
}

static int put_one(struct kv_txn *txn, size_t size)
{
    struct digest digest = {{0}};
    unsigned char tag[ENTRIES_TAG_SIZE] = {0};
    struct entry_meta meta = {.id = store.next++, .created_us = clock_wall_us(), .ttl_s = 3600};
    memcpy(digest.bytes, &meta.id, sizeof meta.id);
    struct entry_new entry = {.digest = &digest,
                              .meta = &meta,
                              .tag = tag,
                              .query = SPAN("How do I reset the password of the router?"),
                              .body = span_of(store.body, size)};
    uint32_t cost, random;
    return entries_put(&store.entries, txn, &entry, &cost, &random);
}

static int commit(unsigned puts, size_t size)
{
    struct kv_txn txn;
    int rc = kv_write_begin(&store.entries.kv, &txn);
    if (rc != RC_OK) return rc;
    for (unsigned i = 0; rc == RC_OK && i < puts; i++) rc = put_one(&txn, size);
    if (rc == RC_OK) rc = kv_commit(&txn);
    kv_abort(&txn);
    return rc;
}

static void run_read(void *context, uint64_t times)
{
    struct entry_texts texts;
    (void)context;
    for (uint64_t i = 0; i < times; i++) {
        uint64_t id = store.from + bench_random(&store.seed) % EACH;
        arena_reset(&store.arena, ARENA);
        if (entries_read(&store.entries, id, NULL, &store.arena, &texts) != RC_OK) store.rc = RC_IO;
        bench_use(texts.body.size);
    }
}

/* Full disks: what fits is measured. */
static void run_commit(void *context, uint64_t times)
{
    (void)context;
    for (uint64_t i = 0; i < times && store.rc == RC_OK; i++) store.rc = commit(store.puts, store.size);
}

static int open_store(const struct bench_report *report)
{
    struct hash_key key;
    void *memory = bench_region(ARENA, false);
    arena_init(&store.arena, memory, ARENA, NULL);
    fill_body();
    crypto_random(&key, sizeof key);
    int rc = compress_reserve(LARGE);
    if (rc == RC_OK) rc = entries_reserve(&store.entries, LARGE);
    if (rc == RC_OK) rc = entries_open(&store.entries, report->folder, MAP, false, &key);
    for (unsigned i = 0; rc == RC_OK && i < EACH; i += 50) rc = commit(50, SMALL);
    for (unsigned i = 0; rc == RC_OK && i < EACH; i += 50) rc = commit(50, LARGE);
    return rc;
}

static void time_commit(struct bench_report *report, const char *detail, unsigned puts)
{
    store.puts = puts;
    store.size = SMALL;
    store.rc = RC_OK;
    bench_time(report, "commit", detail, "", run_commit, NULL);
    if (store.rc == RC_OK) return;
    report->results[report->count - 1].skipped = "the disk of its folder is full, or failed: see --folder";
}

void bench_store_stages(struct bench_report *report)
{
    const char *why = report->no_folder;
    if (!why && open_store(report) != RC_OK) why = "its folder takes no store: see --folder";
    if (why) {
        bench_skip(report, "store read", "", why);
        bench_skip(report, "commit", "", why);
        return;
    }
    store.from = 1;
    bench_time(report, "store read", "2 KiB, cached", "", run_read, NULL);
    store.from = 1 + EACH;
    bench_time(report, "store read", "16 KiB of zstd, cached", "", run_read, NULL);
    CHECK(store.rc == RC_OK);
    time_commit(report, "1 entry of 2 KiB, durable", 1);
    time_commit(report, "64 entries of 2 KiB, durable", BATCH);
    entries_close(&store.entries);
}
