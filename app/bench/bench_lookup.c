/* SPDX-License-Identifier: Apache-2.0 */
/* app/bench/bench_lookup.c — the whole lookup after embedding over a real store: code, scan, rescoring, the candidate's
 * row, guards; and what the index takes on disk.
 *
 * The questions are made from parts, so that each has near neighbours in other words and with another number or name;
 * their vectors are those of the n-gram embedder, of the local model's width. What is timed starts with the vector.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/bench/bench.h"
#include "cache/hamming.h"
#include "cache/inner.h"
#include "cache/semantic.h"
#include "platform/check.h"
#include "platform/clock.h"
#include "platform/compress.h"
#include "platform/cpu.h"
#include "platform/fiber.h"
#include "platform/log.h"
#include "platform/offload.h"
#include "platform/rc.h"

enum {
    ASKED = 256, /* different questions */
    ROUNDS = 2001,
    TEXT_MAX = 256,
    ARENA = 8 << 20,
    BODY_MAX = 64 << 10,
    ENTRY_BYTES = 8 << 10, /* of disk for each, at most */
    STACK = 65536,
    CODE_BLOCK = 32768,
    CODE_TAIL = 4096,
    SPACE = 7,
};

static struct {
    struct arena arena;
    struct fiber_pool fibers;
    char folder[FILE_PATH_MAX];
    uint64_t entries;
    bool json, done;
    struct semantic_question questions[ASKED];
    char texts[ASKED][TEXT_MAX];
    float vectors[ASKED][EMBED_NGRAM_DIM];
    struct bench_samples whole, scan, rescore, rest; /* the parts are told in whole microseconds */
    uint64_t found;
} bench;

/* ---- questions */

static const char *const verbs[] = {"reset",  "replace", "clean",   "open",   "install", "connect", "disable", "repair",
                                    "update", "remove",  "measure", "rename", "restart", "inspect", "close",   "find"};
static const char *const things[] = {"water pump",   "main valve",  "air filter",  "control panel",
                                     "front door",   "alarm clock", "router",      "printer",
                                     "power supply", "oil tank",    "heat sensor", "ticket desk",
                                     "coffee maker", "back window", "fuse box",    "name badge"};
static const char *const places[] = {"Hamburg office", "second floor", "warehouse",    "kitchen",
                                     "Lisbon plant",   "loading dock", "meeting room", "garage",
                                     "cellar",         "north wing",   "Oslo branch",  "workshop",
                                     "reception",      "library",      "canteen",      "server room"};
static const char *const forms[] = {"How do I %s the %s in the %s number %u?", "How can I %s the %s of the %s %u?",
                                    "What is the way to %s a %s in %s %u?"};

static struct span question_text(uint64_t number, unsigned form, char text[TEXT_MAX])
{
    int size = snprintf(text, TEXT_MAX, forms[form], verbs[number % 16], things[number / 16 % 16],
                        places[number / 256 % 16], (unsigned)(number / 4096));
    return span_of(text, (size_t)size);
}

static struct semantic_question question_of(struct span text)
{
    return (struct semantic_question){.text = text, .space = SPACE};
}

/* ---- the store */

static void sync_run(void *arg)
{
    *(int *)arg = cache_sync(CLOCK_NEVER);
    bench.done = true;
}

static int wait_for_commit(void)
{
    int rc = RC_OK;
    bench.done = false;
    CHECK(fiber_start(&bench.fibers, sync_run, &rc) == RC_OK);
    while (!bench.done) CHECK(loop_turn(10000) == RC_OK);
    return rc;
}

static int put_one(uint64_t number)
{
    static const char body[] = "{\"choices\":[{\"message\":{\"content\":\"The manual says how.\"}}]}";
    char text[TEXT_MAX];
    struct digest digest = {{0}};
    struct entry_vector vector;
    struct entry_meta meta = {.created_us = clock_wall_us(), .ttl_s = 86400};
    struct semantic_question question = question_of(question_text(number, 0, text));
    uint64_t id;
    memcpy(digest.bytes, &number, sizeof number);
    arena_reset(&bench.arena, ARENA);
    int rc = semantic_vector_now(&question, NULL, &bench.arena, &vector);
    return rc == RC_OK ? cache_put(&digest, &meta, question.text, span_of(body, sizeof body - 1), &vector, &id) : rc;
}

/* A commit before the codes that wait for one have no more room: else they would be made later, in the background. */
static int fill(void)
{
    int rc = RC_OK;
    for (uint64_t i = 0; rc == RC_OK && i < bench.entries; i++) {
        rc = put_one(i);
        if (rc == RC_OK && (i + 1) % (PENDING_MAX / 2) == 0) rc = wait_for_commit();
    }
    return rc == RC_OK ? wait_for_commit() : rc;
}

static void make_questions(void)
{
    uint64_t seed = 11;
    for (unsigned i = 0; i < ASKED; i++) {
        struct span text = question_text(bench_random(&seed) % bench.entries, 1 + i % 2, bench.texts[i]);
        bench.questions[i] = question_of(text);
        CHECK(embed_text(text, bench.vectors[i]) == RC_OK);
    }
}

static int open_store(const char *parent)
{
    char message[256];
    struct cache_boot found;
    struct cache_limits limits = {.entries_max = (unsigned)bench.entries + 1024,
                                  .bytes_max = bench.entries * ENTRY_BYTES + (64 << 20),
                                  .hot_bytes = 1 << 20,
                                  .body_max = BODY_MAX,
                                  .sync_us = CLOCK_SECOND};
    arena_init(&bench.arena, bench_region(ARENA, false), ARENA, NULL);
    bench.whole = bench_samples_take(ROUNDS);
    bench.scan = bench_samples_take(ROUNDS);
    bench.rescore = bench_samples_take(ROUNDS);
    bench.rest = bench_samples_take(ROUNDS);
    int rc = loop_reserve(64);
    if (rc == RC_OK) rc = fiber_pool_reserve(&bench.fibers, "bench", 4, STACK, NULL);
    if (rc == RC_OK) rc = offload_start(1, 16);
    if (rc == RC_OK) rc = compress_reserve(BODY_MAX);
    if (rc == RC_OK) rc = cache_reserve(&limits);
    if (rc == RC_OK) rc = semantic_reserve();
    if (rc == RC_OK) rc = embed_reserve(1);
    if (rc == RC_OK) rc = embed_open(EMBED_NGRAM, "", 0, message, sizeof message);
    if (rc == RC_OK) rc = file_join(bench.folder, parent, "larder-bench-XXXXXX");
    if (rc == RC_OK && !mkdtemp(bench.folder)) rc = RC_DENIED;
    if (rc == RC_OK) rc = cache_open(bench.folder, &found);
    return rc == RC_OK ? semantic_start(bench.folder) : rc;
}

static void remove_store(void)
{
    static const char *const names[] = {"entries/data.mdb",
                                        "entries/lock.mdb",
                                        "entries",
                                        "codes/data.mdb",
                                        "codes/lock.mdb",
                                        "codes",
                                        "keys/rotation",
                                        "keys",
                                        "ids",
                                        "lock"};
    char path[FILE_PATH_MAX];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (file_join(path, bench.folder, names[i]) == RC_OK) (void)remove(path);
    (void)rmdir(bench.folder);
}

/* ---- lookups */

static void keep_us(struct bench_samples *samples, uint32_t us)
{
    samples->ns[samples->count++] = (uint64_t)us * 1000;
}

static void look_up(unsigned rounds)
{
    struct semantic_found found;
    bench.whole.count = bench.scan.count = bench.rescore.count = bench.rest.count = 0;
    bench.found = 0;
    for (unsigned i = 0; i < rounds; i++) {
        unsigned which = i % ASKED;
        arena_reset(&bench.arena, ARENA);
        uint64_t since = bench_now_ns();
        int rc = semantic_lookup_made_now(&bench.questions[which], bench.vectors[which], &bench.arena, &found);
        bench_sample(&bench.whole, since);
        CHECK(rc == RC_OK);
        CHECK(found.scanned >= bench.entries);
        keep_us(&bench.scan, found.scan_us);
        keep_us(&bench.rescore, found.rescore_us);
        keep_us(&bench.rest, found.guard_us);
        bench.found += found.id != 0;
    }
}

static void print_lookup(void)
{
    unsigned rounds = bench.whole.count;
    struct bench_summary all = bench_summarise(&bench.whole);
    double scan = bench_summarise(&bench.scan).median_us, rescore = bench_summarise(&bench.rescore).median_us,
           rest = bench_summarise(&bench.rest).median_us;
    if (bench.json)
        printf("{\"stage\":\"lookup\",\"entries\":%llu,\"kernel\":\"%s\",\"median_us\":%.2f,\"p99_us\":%.2f,"
               "\"scan_us\":%.2f,\"rescore_us\":%.2f,\"row_guards_us\":%.2f,\"lookups\":%u,\"found\":%llu}\n",
               (unsigned long long)bench.entries, hamming_variant(), all.median_us, all.p99_us, scan, rescore, rest,
               rounds, (unsigned long long)bench.found);
    else
        printf("%9llu  %-7s  %10.2f  %10.2f  %10.2f  %10.2f  %10.2f  %8llu\n", (unsigned long long)bench.entries,
               hamming_variant(), all.median_us, all.p99_us, scan, rescore, rest, (unsigned long long)bench.found);
    (void)fflush(stdout);
}

static void measure(const char *kernel)
{
    if (!bench.json) puts("  entries  kernel    median us      p99 us     scan us  rescore us   guards us     found");
    bool all = kernel && strcmp(kernel, "all") == 0;
    for (unsigned i = 0; i < CPU_LEVELS; i++) {
        const char *name = cpu_level_name((enum cpu_level)i);
        cpu_detect();
        if (all && !cpu_level_runs((enum cpu_level)i)) continue;
        CHECK(bench_kernel(all ? name : kernel) == BENCH_DONE);
        if (all && strcmp(hamming_variant(), name) != 0) continue;
        look_up(ROUNDS / 10);
        look_up(ROUNDS);
        print_lookup();
        if (!all) break;
    }
}

/* ---- what it takes */

static uint64_t code_block_bytes(void)
{
    struct codes_walk walk;
    struct codes_block block;
    struct entry_vector vector;
    uint64_t bytes = 0;
    arena_reset(&bench.arena, ARENA);
    CHECK(semantic_vector_now(&bench.questions[0], bench.vectors[0], &bench.arena, &vector) == RC_OK);
    CHECK(codes_walk_begin(&cache_self.codes, vector.space_tag, &walk) == RC_OK);
    while (codes_walk_next(&walk, &block) == RC_OK) bytes += block.count > CODES_TAIL ? CODE_BLOCK : CODE_TAIL;
    codes_walk_end(&walk);
    return bytes;
}

static uint64_t file_bytes(const char *name)
{
    char path[FILE_PATH_MAX];
    struct stat status;
    if (file_join(path, bench.folder, name) != RC_OK || stat(path, &status) != 0) return 0;
    return (uint64_t)status.st_size;
}

static void print_memory(void)
{
    uint64_t blocks = code_block_bytes(), codes = file_bytes("codes/data.mdb"), rows = file_bytes("entries/data.mdb");
    double each = (double)blocks / (double)bench.entries;
    if (bench.json)
        printf("{\"stage\":\"lookup memory\",\"entries\":%llu,\"code_bytes_per_entry\":%.2f,\"code_blocks_bytes\":%llu,"
               "\"codes_file_bytes\":%llu,\"entries_file_bytes\":%llu}\n",
               (unsigned long long)bench.entries, each, (unsigned long long)blocks, (unsigned long long)codes,
               (unsigned long long)rows);
    else
        printf("\ncode blocks: %.2f bytes an entry; codes, slots and vectors: %.1f MB; rows of the entries: %.1f MB\n",
               each, (double)codes / 1e6, (double)rows / 1e6);
}

int bench_lookup_run(const char *const *words, unsigned count)
{
    const char *kernel = NULL, *folder = ".";
    bench.entries = 100000;
    const struct bench_option options[] = {{"--json", BENCH_FLAG, &bench.json},
                                           {"--entries", BENCH_COUNT, &bench.entries},
                                           {"--kernel", BENCH_TEXT, &kernel},
                                           {"--folder", BENCH_TEXT, &folder}};
    int code = bench_options(options, 4, words, count);
    if (code == BENCH_DONE && kernel && strcmp(kernel, "all") != 0) code = bench_kernel(kernel);
    if (code != BENCH_DONE) return code;
    log_configure(LOG_WARN, LOG_TEXT);
    int rc = open_store(folder);
    if (rc == RC_OK) rc = fill();
    if (rc == RC_OK) {
        make_questions();
        measure(kernel);
        print_memory();
    } else {
        fprintf(stderr, "larder: error: no store of %llu entries in %s: %s\n", (unsigned long long)bench.entries,
                folder, rc_name(rc));
    }
    semantic_stop();
    cache_close();
    remove_store();
    return rc == RC_OK ? BENCH_DONE : BENCH_FAILED;
}
