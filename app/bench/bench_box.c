/* SPDX-License-Identifier: Apache-2.0 */
/* app/bench/bench_box.c — see bench_box.h. */
#include "app/bench/bench_box.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "platform/check.h"
#include "platform/clock.h"
#include "platform/compress.h"
#include "platform/fiber.h"
#include "platform/file.h"
#include "platform/log.h"
#include "platform/loop.h"
#include "platform/offload.h"
#include "platform/plan.h"
#include "platform/rc.h"

enum {
    STACK = 65536,
    ARENA = 4 << 20,
    JOBS_MAX = 64,
    ENTRY_BYTES = 16 << 10,
    HOT_BYTES = 4 << 20,
    PUT_TRIES = 20000, /* of a millisecond each */
};

static struct {
    struct fiber_pool fibers;
    struct arena arenas[BOX_FIBERS_MAX];
    unsigned arena_count, running, next;
    char folder[FILE_PATH_MAX];
    void (*run)(unsigned number);
    bool open;
} box;

/* ---- opening */

static int complain(const char *what, const char *which)
{
    fprintf(stderr, "larder: error: %s: %s\n", what, which);
    return BENCH_USAGE;
}

static int policy_of(const char *name, enum evict_policy *policy)
{
    static const char *const names[] = {"sieve", "lru", "mmr", "cluster"};
    for (int i = 0; i < 4; i++)
        if (strcmp(name, names[i]) == 0) *policy = (enum evict_policy)i;
    for (int i = 0; i < 4; i++)
        if (strcmp(name, names[i]) == 0) return BENCH_DONE;
    return complain("no such eviction", name);
}

static int embedder_of(const char *name, enum embed_kind *kind)
{
    *kind = strcmp(name, "ngram") == 0 ? EMBED_NGRAM : strcmp(name, "none") == 0 ? EMBED_NONE : EMBED_MINILM;
    if (*kind != EMBED_MINILM || strcmp(name, "minilm-int8") == 0) return BENCH_DONE;
    return complain("no such embedder", name);
}

static int reserve(const struct bench_box_options *options, enum evict_policy policy)
{
    struct cache_limits limits = {.entries_max = options->entries,
                                  .bytes_max = options->bytes,
                                  .hot_bytes = HOT_BYTES,
                                  .body_max = BOX_BODY_MAX,
                                  .sync_us = CLOCK_SECOND,
                                  .eviction = policy};
    if (limits.bytes_max == 0) limits.bytes_max = (uint64_t)options->entries * ENTRY_BYTES + (64 << 20);
    box.arena_count = options->fibers;
    for (unsigned i = 0; i < box.arena_count; i++) arena_init(&box.arenas[i], bench_region(ARENA, false), ARENA, NULL);
    int rc = loop_reserve(2 * BOX_FIBERS_MAX);
    if (rc == RC_OK) rc = fiber_pool_reserve(&box.fibers, "bench", options->fibers + 1, STACK, NULL);
    if (rc == RC_OK) rc = offload_start(1, JOBS_MAX);
    if (rc == RC_OK) rc = compress_reserve(BOX_BODY_MAX);
    if (rc == RC_OK) rc = cache_reserve(&limits);
    if (rc == RC_OK) rc = semantic_reserve();
    return rc == RC_OK ? embed_reserve(2) : rc;
}

static int open_store(const char *parent)
{
    struct cache_boot found;
    int rc = file_join(box.folder, parent, "larder-bench-XXXXXX");
    if (rc == RC_OK && !mkdtemp(box.folder)) {
        box.folder[0] = '\0';
        rc = RC_DENIED;
    }
    if (rc == RC_OK) rc = cache_open(box.folder, &found);
    box.open = rc == RC_OK;
    return rc == RC_OK ? semantic_start(NULL) : rc;
}

int bench_box_open(const struct bench_box_options *options)
{
    char message[640] = "";
    enum evict_policy policy = EVICT_POLICY_SIEVE;
    enum embed_kind kind;
    int code = policy_of(options->eviction, &policy);
    if (code == BENCH_DONE) code = embedder_of(options->embedder, &kind);
    if (code != BENCH_DONE) return code;
    CHECK(options->fibers <= BOX_FIBERS_MAX);
    log_configure(LOG_WARN, LOG_TEXT);
    int rc = reserve(options, policy);
    if (rc == RC_OK) rc = embed_open(kind, options->model, 0, message, sizeof message);
    if (rc == RC_OK && kind != EMBED_NONE) rc = embed_check();
    if (rc == RC_OK) rc = open_store(options->folder);
    if (rc == RC_OK) return BENCH_DONE;
    fprintf(stderr, "larder: error: no store in %s: %s\n", options->folder, message[0] ? message : rc_name(rc));
    bench_box_close();
    return BENCH_FAILED;
}

void bench_box_close(void)
{
    static const char *const names[] = {"entries/data.mdb",
                                        "entries/lock.mdb",
                                        "entries",
                                        "codes/data.mdb",
                                        "codes/lock.mdb",
                                        "codes",
                                        "keys",
                                        "ids",
                                        "faults",
                                        "lock"};
    char path[FILE_PATH_MAX];
    if (box.open) semantic_stop();
    if (box.open) cache_close();
    box.open = false;
    if (!box.folder[0]) return;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (file_join(path, box.folder, names[i]) == RC_OK) (void)remove(path);
    if (rmdir(box.folder) != 0) fprintf(stderr, "larder: %s is left behind\n", box.folder);
}

/* ---- fibers */

static void fiber_run(void *arg)
{
    unsigned number = box.next++;
    (void)arg;
    box.run(number);
    box.running--;
}

void bench_box_run(void (*run)(unsigned number), unsigned count)
{
    CHECK(count <= box.arena_count);
    box.run = run;
    box.next = 0;
    box.running = count;
    for (unsigned i = 0; i < count; i++) CHECK(fiber_start(&box.fibers, fiber_run, NULL) == RC_OK);
    while (box.running > 0) CHECK(loop_turn(10000) == RC_OK);
}

struct arena *bench_box_arena(unsigned number)
{
    return &box.arenas[number];
}

void bench_box_yield(void)
{
    (void)fiber_sleep_until(0);
}

/* ---- the store */

int bench_box_put(const struct digest *digest, const struct entry_meta *meta, struct span query, struct span body,
                  const struct entry_vector *vector, uint64_t *id)
{
    int rc = RC_FULL;
    for (unsigned i = 0; i < PUT_TRIES && rc == RC_FULL; i++) {
        rc = cache_put(digest, meta, query, body, vector, id);
        if (rc == RC_FULL) (void)fiber_sleep_until(clock_monotonic_us() + CLOCK_SECOND / 1000);
    }
    return rc;
}

int bench_box_answer(uint64_t id, const struct digest *digest, struct arena *arena, struct span *body)
{
    struct hot_reply *hot = hot_find(id, 0);
    struct cache_answer answer;
    if (hot) {
        *body = span_of((const char *)hot->body, hot->body_size);
        return RC_OK;
    }
    int rc = cache_read(id, digest, arena, &answer);
    if (rc != RC_OK) return rc;
    (void)hot_put(&answer.meta, 0, 0, answer.body, &hot);
    *body = answer.body;
    return RC_OK;
}

struct bench_summary bench_box_summarise(struct bench_samples *samples)
{
    return samples->count > 0 ? bench_summarise(samples) : (struct bench_summary){0};
}

uint64_t bench_box_file_bytes(const char *name)
{
    char path[FILE_PATH_MAX];
    struct stat status;
    if (file_join(path, box.folder, name) != RC_OK || stat(path, &status) != 0) return 0;
    return (uint64_t)status.st_blocks * 512;
}

size_t bench_box_private(void)
{
    return plan_private_now();
}
