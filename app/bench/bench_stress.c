/* SPDX-License-Identifier: Apache-2.0 */
/* app/bench/bench_stress.c — everything at once for a while: many fibers find, look up in other words, store, evict and
 * remove in one small store that is always full. Latencies under load, refusals, and errors, of which there may be none.
 *
 * Refused: the queue of the writer or of the workers had no room: the product's answer to overload, counted by itself.
 * Gone:    an entry left between being found and being read.
 * Error:   any other failure, or an answer that is not the one of its request.
 */
#include <stdio.h>
#include <string.h>

#include "app/bench/bench_box.h"
#include "platform/clock.h"
#include "platform/crypto.h"
#include "platform/rc.h"

enum { TEXT_MAX = 128, BODY_LEAST = 200, BODY_MOST = 6000, SAMPLES = 4 << 20, SPACE = 9 };

enum op { OP_FIND, OP_ANSWER, OP_LOOKUP, OP_STORE, OP_EVICT, OP_REMOVE, OPS };
static const char *const op_names[OPS] = {"find", "answer", "lookup", "store", "evict", "remove"};

static struct {
    struct bench_box_options box;
    bool json;
    uint64_t seed, keys, until_us, started_us, ended_us;
    struct bench_samples times[OPS];
    uint64_t done[OPS], refused[OPS], gone[OPS], errors[OPS];
} stress;

static void note(enum op op, uint64_t since_ns, int rc)
{
    stress.done[op]++;
    if (stress.times[op].count < stress.times[op].capacity) bench_sample(&stress.times[op], since_ns);
    if (rc == RC_FULL)
        stress.refused[op]++;
    else if (rc == RC_NOT_FOUND || rc == RC_EMPTY)
        stress.gone[op]++;
    else if (rc != RC_OK)
        stress.errors[op]++;
}

/* ---- requests: a key's text, digest and answer are always the same */

static struct span text_of(uint64_t key, char text[TEXT_MAX])
{
    int size = snprintf(text, TEXT_MAX, "how is part %llu of the machine number %llu kept clean",
                        (unsigned long long)(key % 97), (unsigned long long)(key / 97));
    return span_of(text, (size_t)size);
}

static struct digest digest_of(uint64_t key)
{
    struct digest digest;
    sha256_of(&key, sizeof key, digest.bytes);
    return digest;
}

static size_t body_size(uint64_t key)
{
    return BODY_LEAST + key * 2654435761u % (BODY_MOST - BODY_LEAST);
}

static bool is_body(uint64_t key, struct span body)
{
    if (body.size != body_size(key)) return false;
    for (size_t i = 0; i < body.size; i++)
        if (body.data[i] != (char)('a' + (key + i) % 23)) return false;
    return true;
}

static void store(uint64_t key, struct span text, const struct entry_vector *vector)
{
    static char body[BODY_MOST];
    struct digest digest = digest_of(key);
    struct entry_meta meta = {.created_us = clock_wall_us(),
                              .ttl_s = BOX_TTL_S,
                              .upstream_ms = (uint32_t)(500 + key % 3000),
                              .tokens_out = (uint32_t)(key % 500)};
    uint64_t id, since = bench_now_ns();
    for (size_t i = 0; i < body_size(key); i++) body[i] = (char)('a' + (key + i) % 23);
    note(OP_STORE, since, cache_put(&digest, &meta, text, span_of(body, body_size(key)), vector, &id));
}

/* ---- what a fiber does */

static bool answer(uint64_t key, struct arena *arena)
{
    struct digest digest = digest_of(key);
    struct cache_found found;
    struct span body;
    bool evicted;
    uint64_t since = bench_now_ns();
    int rc = cache_find(&digest, &found, &evicted);
    note(OP_FIND, since, RC_OK);
    if (rc != RC_OK) return false;
    since = bench_now_ns();
    rc = bench_box_answer(found.id, &digest, arena, &body);
    if (rc == RC_OK && !is_body(key, body)) rc = RC_CORRUPT;
    note(OP_ANSWER, since, rc);
    if (rc == RC_OK) cache_touch(found.id);
    return rc == RC_OK;
}

static void ask(uint64_t key, struct arena *arena)
{
    char text[TEXT_MAX];
    if (answer(key, arena)) return;
    struct semantic_found found = {0};
    struct semantic_question question = {.text = text_of(key, text), .space = SPACE};
    uint64_t since = bench_now_ns();
    int rc = semantic_lookup(&question, arena, &found);
    note(OP_LOOKUP, since, rc);
    if (rc == RC_OK) store(key, question.text, &found.vector);
}

static void evict_some(void)
{
    static uint64_t ids[EVICT_BATCH_MAX];
    unsigned count;
    uint64_t since = bench_now_ns();
    note(OP_EVICT, since, cache_evict(1 + (unsigned)(bench_random(&stress.seed) % 8), ids, &count));
}

static void remove_one(uint64_t key)
{
    struct digest digest = digest_of(key);
    struct cache_found found;
    bool evicted;
    if (cache_find(&digest, &found, &evicted) != RC_OK) return;
    uint64_t since = bench_now_ns();
    note(OP_REMOVE, since, cache_remove(found.id));
}

static void run(unsigned fiber)
{
    struct arena *arena = bench_box_arena(fiber);
    while (clock_monotonic_us() < stress.until_us) {
        uint64_t dice = bench_random(&stress.seed);
        uint64_t key = dice % stress.keys * (dice >> 40 & 0xff) / 256; /* low ones more often */
        arena_reset(arena, SIZE_MAX);
        if (dice >> 56 < 4)
            evict_some();
        else if (dice >> 56 < 8)
            remove_one(key);
        else
            ask(key, arena);
        bench_box_yield();
    }
}

/* ---- the result */

static void print_op(enum op op)
{
    struct bench_summary s = bench_box_summarise(&stress.times[op]);
    if (stress.json)
        printf("{\"stage\":\"stress\",\"operation\":\"%s\",\"count\":%llu,\"median_us\":%.2f,\"p99_us\":%.1f,"
               "\"refused\":%llu,\"gone\":%llu,\"errors\":%llu}\n",
               op_names[op], (unsigned long long)stress.done[op], s.median_us, s.p99_us,
               (unsigned long long)stress.refused[op], (unsigned long long)stress.gone[op],
               (unsigned long long)stress.errors[op]);
    else
        printf("%-9s  %10llu  %10.2f  %10.1f  %8llu  %8llu  %8llu\n", op_names[op], (unsigned long long)stress.done[op],
               s.median_us, s.p99_us, (unsigned long long)stress.refused[op], (unsigned long long)stress.gone[op],
               (unsigned long long)stress.errors[op]);
}

static uint64_t print(void)
{
    uint64_t all = 0, errors = 0;
    struct cache_stats stats;
    cache_stats(&stats);
    for (int op = 0; op < OPS; op++) {
        all += stress.done[op];
        errors += stress.errors[op];
    }
    double seconds = (double)(stress.ended_us - stress.started_us) / CLOCK_SECOND;
    if (!stress.json) puts("operation       count   median us      p99 us   refused      gone    errors");
    for (int op = 0; op < OPS; op++) print_op((enum op)op);
    if (stress.json)
        printf("{\"stage\":\"stress\",\"fibers\":%u,\"seconds\":%.1f,\"operations_per_s\":%.0f,\"entries\":%u,"
               "\"evicted\":%llu,\"error_rate\":%.6f}\n",
               stress.box.fibers, seconds, (double)all / seconds, stats.entries, (unsigned long long)stats.evicted,
               (double)errors / (double)all);
    else
        printf("\n%u fibers, %.1f s: %.0f operations a second; %u entries at the end, %llu evicted; error rate %.6f\n",
               stress.box.fibers, seconds, (double)all / seconds, stats.entries, (unsigned long long)stats.evicted,
               (double)errors / (double)all);
    return errors;
}

int bench_stress_run(const char *const *words, unsigned count)
{
    uint64_t entries = 5000, fibers = 64, seconds = 10;
    stress.seed = 1;
    stress.box = (struct bench_box_options){.eviction = "sieve", .embedder = "ngram", .folder = "."};
    const struct bench_option options[] = {
        {"--json", BENCH_FLAG, &stress.json},
        {"--entries", BENCH_COUNT, &entries},
        {"--fibers", BENCH_COUNT, &fibers},
        {"--seconds", BENCH_COUNT, &seconds},
        {"--eviction", BENCH_TEXT, &stress.box.eviction},
        {"--folder", BENCH_TEXT, &stress.box.folder},
    };
    int code = bench_options(options, sizeof options / sizeof options[0], words, count);
    if (code != BENCH_DONE) return code;
    if (fibers > BOX_FIBERS_MAX) {
        fprintf(stderr, "larder: error: at most %d fibers\n", BOX_FIBERS_MAX);
        return BENCH_USAGE;
    }
    stress.box.entries = (unsigned)entries;
    stress.box.fibers = (unsigned)fibers;
    stress.keys = 4 * entries;
    for (int op = 0; op < OPS; op++) stress.times[op] = bench_samples_take(SAMPLES);
    code = bench_box_open(&stress.box);
    if (code != BENCH_DONE) return code;
    stress.started_us = clock_monotonic_us();
    stress.until_us = stress.started_us + seconds * CLOCK_SECOND;
    bench_box_run(run, stress.box.fibers);
    stress.ended_us = clock_monotonic_us();
    uint64_t errors = print();
    bench_box_close();
    return errors == 0 ? BENCH_DONE : BENCH_FAILED;
}
