/* SPDX-License-Identifier: Apache-2.0 */
/* app/bench/bench_replay.c — a log of requests against the production store: with the cache, and what it was without.
 *
 * Each request goes the gateway's way: exact index, calls under way, the best candidate in other words, guards, threshold.
 * Calls take the log's time, which nobody waits for: an answer is stored when the log's clock has passed its end. What the box
 * itself takes is measured on the clock of this machine; embedding included, since the gateway would embed too.
 */
#include <stdio.h>
#include <string.h>

#include "app/bench/bench_box.h"
#include "app/bench/bench_log.h"
#include "app/bench/flights.h"
#include "app/model/import.h"
#include "platform/check.h"
#include "platform/clock.h"
#include "platform/rc.h"

enum {
    VECTORS = 1024, /* of calls under way, kept for their stores; more calls are stored without */
    GUARD_ROOM = 4096,
    TURN_EVERY = 16,
};

enum outcome { OUT_EXACT, OUT_SEMANTIC, OUT_FOLLOWED, OUT_MISS, OUTCOMES };
static const char *const outcome_names[OUTCOMES] = {"exact", "semantic", "followed", "miss"};

struct kept_vector {
    struct entry_vector vector;
    int8_t bytes[EMBED_DIM_MAX];
    char guard[GUARD_ROOM];
};

static struct {
    struct bench_log log;
    struct bench_box_options box;
    float threshold;
    bool json;
    struct kept_vector *vectors;
    uint32_t free[VECTORS];
    unsigned free_count;
    struct bench_samples own[OUTCOMES], with, without; /* times of the box; of the client, with upstream */
    uint64_t saved_ms, all_ms, saved_in, all_in, saved_out, all_out;
    unsigned vetoed, skipped, failed;
} replay;

/* ---- calls under way */

static uint32_t keep_vector(const struct entry_vector *vector)
{
    if (vector->dim == 0 || vector->dim > EMBED_DIM_MAX || vector->guard.size > GUARD_ROOM || replay.free_count == 0)
        return UINT32_MAX;
    uint32_t place = replay.free[--replay.free_count];
    struct kept_vector *kept = &replay.vectors[place];
    kept->vector = *vector;
    memcpy(kept->bytes, vector->vector, vector->dim);
    if (vector->guard.size > 0) memcpy(kept->guard, vector->guard.data, vector->guard.size);
    kept->vector.vector = kept->bytes;
    kept->vector.guard = span_of(kept->guard, vector->guard.size);
    return place;
}

static struct span answer_of(const struct bench_request *request)
{
    static char made[BOX_BODY_MAX];
    static const char words[] = "an answer that was made up for a replay ";
    if (request->answer.size > 0) return request->answer;
    size_t size = (size_t)request->tokens_out * BENCH_TOKEN_BYTES;
    if (size > sizeof made) size = sizeof made;
    for (size_t i = 0; i < size; i++) made[i] = words[i % (sizeof words - 1)];
    return span_of(made, size);
}

static void store(const struct bench_flight *flight)
{
    const struct bench_request *request = &replay.log.requests[flight->request];
    struct entry_meta meta = {.created_us = clock_wall_us(),
                              .ttl_s = BOX_TTL_S,
                              .upstream_ms = request->upstream_ms,
                              .tokens_in = request->tokens_in,
                              .tokens_out = request->tokens_out,
                              .provider = "replay",
                              .model = "replay"};
    const struct entry_vector *vector = flight->item < VECTORS ? &replay.vectors[flight->item].vector : NULL;
    uint64_t id;
    memcpy(meta.tenant, request->tenant, sizeof meta.tenant);
    if (bench_box_put(&request->digest, &meta, request->text, answer_of(request), vector, &id) != RC_OK)
        replay.failed++;
    if (vector) replay.free[replay.free_count++] = flight->item;
}

/* Digests of calls under way, by a few of their bits: a list would do, there are some dozens. */
static uint64_t away[FLIGHTS_FLYING];
static unsigned away_count;

static uint64_t print_of(const struct bench_request *request)
{
    uint64_t print;
    memcpy(&print, request->digest.bytes, sizeof print);
    return print;
}

static unsigned find_away(uint64_t print)
{
    unsigned i = 0;
    while (i < away_count && away[i] != print) i++;
    return i;
}

static void land(double until_s)
{
    struct bench_flight flight;
    while (bench_flights_take(until_s, &flight)) {
        unsigned place = find_away(print_of(&replay.log.requests[flight.request]));
        CHECK(place < away_count);
        away[place] = away[--away_count];
        store(&flight);
    }
}

/* ---- one request */

static int serve(uint64_t id, const struct digest *digest)
{
    struct span body;
    int rc = bench_box_answer(id, digest, bench_box_arena(0), &body);
    if (rc == RC_OK) cache_touch(id);
    return rc;
}

static bool answer_in_other_words(const struct bench_request *request, struct semantic_found *found)
{
    struct semantic_question question = {.text = request->text, .space = request->space};
    memcpy(question.tenant, request->tenant, sizeof question.tenant);
    if (request->space == 0 || embed_current()->kind == EMBED_NONE) return false;
    int rc = semantic_lookup(&question, bench_box_arena(0), found);
    if (rc != RC_OK) {
        replay.skipped++;
        *found = (struct semantic_found){0};
        return false;
    }
    if (found->id == 0 || found->score < replay.threshold) return false;
    replay.vetoed += found->vetoes != 0;
    return found->vetoes == 0 && cache_has(found->id) && serve(found->id, NULL) == RC_OK;
}

static enum outcome ask(unsigned number)
{
    const struct bench_request *request = &replay.log.requests[number];
    struct cache_found found;
    struct semantic_found near = {0};
    bool evicted;
    if (cache_find(&request->digest, &found, &evicted) == RC_OK && serve(found.id, &request->digest) == RC_OK)
        return OUT_EXACT;
    if (find_away(print_of(request)) < away_count) return OUT_FOLLOWED;
    if (answer_in_other_words(request, &near)) return OUT_SEMANTIC;
    near.vector.space = request->space;
    away[away_count++] = print_of(request);
    bench_flights_add((struct bench_flight){
        .done_s = request->at_s + request->upstream_ms / 1000.0, .item = keep_vector(&near.vector), .request = number});
    return OUT_MISS;
}

static void account(const struct bench_request *request, enum outcome outcome, uint64_t own_ns)
{
    uint64_t upstream_ns = (uint64_t)request->upstream_ms * 1000000;
    bool saved = outcome != OUT_MISS;
    bool waits = outcome == OUT_MISS || outcome == OUT_FOLLOWED; /* a follower at most as long */
    replay.own[outcome].ns[replay.own[outcome].count++] = own_ns;
    replay.with.ns[replay.with.count++] = own_ns + (waits ? upstream_ns : 0);
    replay.without.ns[replay.without.count++] = upstream_ns;
    replay.all_ms += request->upstream_ms;
    replay.all_in += request->tokens_in;
    replay.all_out += request->tokens_out;
    replay.saved_ms += waits ? 0 : request->upstream_ms;
    replay.saved_in += saved ? request->tokens_in : 0;
    replay.saved_out += saved ? request->tokens_out : 0;
}

static void run(unsigned fiber)
{
    for (unsigned i = 0; i < replay.log.count; i++) {
        land(replay.log.requests[i].at_s);
        arena_reset(bench_box_arena(fiber), SIZE_MAX);
        uint64_t since = bench_now_ns();
        enum outcome outcome = ask(i);
        account(&replay.log.requests[i], outcome, bench_now_ns() - since);
        if (i % TURN_EVERY == 0) bench_box_yield();
    }
}

/* ---- the result */

static double percent(uint64_t part, uint64_t whole)
{
    return whole > 0 ? 100.0 * (double)part / (double)whole : 0;
}

static void print_json(void)
{
    unsigned n = replay.log.count;
    struct cache_stats stats;
    cache_stats(&stats);
    struct bench_summary with = bench_box_summarise(&replay.with), without = bench_box_summarise(&replay.without);
    printf("{\"stage\":\"replay\",\"requests\":%u,\"embedder\":\"%s\",\"eviction\":\"%s\",\"threshold\":%.3f,"
           "\"entries\":%u,\"evicted\":%llu,\"vetoed\":%u,\"skipped\":%u,\"failed\":%u,",
           n, replay.box.embedder, replay.box.eviction, (double)replay.threshold, stats.entries,
           (unsigned long long)stats.evicted, replay.vetoed, replay.skipped, replay.failed);
    for (int i = 0; i < OUTCOMES; i++) {
        struct bench_summary own = bench_box_summarise(&replay.own[i]);
        printf("\"%s\":{\"count\":%u,\"ratio\":%.4f,\"own_median_us\":%.1f,\"own_p99_us\":%.1f},", outcome_names[i],
               replay.own[i].count, percent(replay.own[i].count, n) / 100, own.median_us, own.p99_us);
    }
    printf("\"with\":{\"mean_ms\":%.1f,\"median_ms\":%.3f,\"p99_ms\":%.1f},\"without\":{\"mean_ms\":%.1f,"
           "\"median_ms\":%.3f,\"p99_ms\":%.1f},",
           with.mean_us / 1000, with.median_us / 1000, with.p99_us / 1000, without.mean_us / 1000,
           without.median_us / 1000, without.p99_us / 1000);
    printf("\"saved\":{\"calls\":%u,\"calls_ratio\":%.4f,\"seconds\":%.1f,\"prompt_tokens\":%llu,"
           "\"answer_tokens\":%llu,\"tokens_ratio\":%.4f}}\n",
           n - replay.own[OUT_MISS].count, percent(n - replay.own[OUT_MISS].count, n) / 100,
           (double)replay.saved_ms / 1000, (unsigned long long)replay.saved_in, (unsigned long long)replay.saved_out,
           percent(replay.saved_in + replay.saved_out, replay.all_in + replay.all_out) / 100);
}

static void print_text(void)
{
    unsigned n = replay.log.count;
    struct cache_stats stats;
    cache_stats(&stats);
    struct bench_summary with = bench_box_summarise(&replay.with), without = bench_box_summarise(&replay.without);
    printf("%u requests, %s, threshold %.3f, %s; %u entries at the end, %llu evicted, %u vetoed\n\n", n,
           replay.box.embedder, (double)replay.threshold, replay.box.eviction, stats.entries,
           (unsigned long long)stats.evicted, replay.vetoed);
    puts("           requests       %   box, median us      p99 us");
    for (int i = 0; i < OUTCOMES; i++) {
        struct bench_summary own = bench_box_summarise(&replay.own[i]);
        printf("%-9s  %8u  %6.2f  %15.1f  %10.1f\n", outcome_names[i], replay.own[i].count,
               percent(replay.own[i].count, n), own.median_us, own.p99_us);
    }
    puts("\n                 mean ms   median ms      p99 ms");
    printf("with cache    %10.1f  %10.3f  %10.1f\n", with.mean_us / 1000, with.median_us / 1000, with.p99_us / 1000);
    printf("without       %10.1f  %10.3f  %10.1f\n\n", without.mean_us / 1000, without.median_us / 1000,
           without.p99_us / 1000);
    printf("saved: %u of %u calls (%.1f %%), %.0f of %.0f s (%.1f %%), %llu tokens of questions and %llu of answers "
           "(%.1f %%)\n",
           n - replay.own[OUT_MISS].count, n, percent(n - replay.own[OUT_MISS].count, n),
           (double)replay.saved_ms / 1000, (double)replay.all_ms / 1000, percent(replay.saved_ms, replay.all_ms),
           (unsigned long long)replay.saved_in, (unsigned long long)replay.saved_out,
           percent(replay.saved_in + replay.saved_out, replay.all_in + replay.all_out));
    if (replay.skipped > 0 || replay.failed > 0)
        printf("not as it should be: %u lookups skipped, %u stores failed\n", replay.skipped, replay.failed);
}

static void take_samples(void)
{
    for (int i = 0; i < OUTCOMES; i++) replay.own[i] = bench_samples_take(replay.log.count);
    replay.with = bench_samples_take(replay.log.count);
    replay.without = bench_samples_take(replay.log.count);
    replay.vectors = bench_region(VECTORS * sizeof replay.vectors[0], false);
    for (unsigned i = 0; i < VECTORS; i++) replay.free[replay.free_count++] = i;
    bench_flights_reserve();
}

int bench_replay_run(const char *const *words, unsigned count)
{
    uint64_t entries = 100000, threshold = 930;
    replay.box = (struct bench_box_options){
        .eviction = "sieve", .embedder = "minilm-int8", .model = MODEL_DEFAULT_PATH, .folder = ".", .fibers = 1};
    const struct bench_option options[] = {
        {"--json", BENCH_FLAG, &replay.json},
        {"--entries", BENCH_COUNT, &entries},
        {"--threshold", BENCH_COUNT, &threshold},
        {"--bytes", BENCH_COUNT, &replay.box.bytes},
        {"--eviction", BENCH_TEXT, &replay.box.eviction},
        {"--embedder", BENCH_TEXT, &replay.box.embedder},
        {"--model", BENCH_TEXT, &replay.box.model},
        {"--folder", BENCH_TEXT, &replay.box.folder},
    };
    if (count == 0 || words[0][0] == '-') {
        fputs("larder: error: which log? larder bench replay LOG [OPTION]...\n", stderr);
        return BENCH_USAGE;
    }
    int code = bench_options(options, sizeof options / sizeof options[0], words + 1, count - 1);
    if (code != BENCH_DONE) return code;
    replay.box.entries = (unsigned)entries;
    replay.threshold = (float)threshold / 1000;
    bench_log_reserve();
    if (bench_log_read(words[0], &replay.log) != RC_OK) return BENCH_FAILED;
    take_samples();
    code = bench_box_open(&replay.box);
    if (code != BENCH_DONE) return code;
    bench_box_run(run, 1);
    if (replay.json)
        print_json();
    else
        print_text();
    bench_box_close();
    return BENCH_DONE;
}
