/* SPDX-License-Identifier: Apache-2.0 */
/* app/bench/bench_evict.c — eviction: how long a batch takes, and what each policy would have kept of some logs.
 *
 * Working set: what a store without bounds would hold at the end of the log. Shares of it are the capacities.
 * Over lru:    a log's hit ratio by a policy over its hit ratio by lru; of several logs (seeds) the mean and the least. */
#include <stdio.h>
#include <string.h>

#include "app/bench/bench.h"
#include "app/bench/evict_sim.h"
#include "app/model/import.h"
#include "cache/embed.h"
#include "platform/check.h"
#include "platform/rc.h"

enum { LOGS_MAX = 16, SHARES = 2, BATCHES = 200 };

static const char *const names[EVICT_SIMS] = {"sieve", "lru", "mmr", "cluster", "(keep)"};
static const unsigned shares[SHARES] = {10, 25}; /* percent */
static const enum evict_policy lru = EVICT_POLICY_LRU;

struct study {
    struct bench_log logs[LOGS_MAX];
    uint32_t *of_request[LOGS_MAX];
    unsigned log_count;
    struct items items;
    const char *model, *embedder, *bound;
    uint64_t threshold, lambda, clusters; /* thousandths, 256ths, count */
    bool json;
    struct sim_result results[LOGS_MAX][EVICT_SIMS][SHARES];
    struct sim_result unbounded[LOGS_MAX];
};

static struct study study;

/* ---- how long a batch takes */

static struct evict_new entry_of(uint64_t *seed, unsigned count)
{
    uint64_t random = bench_random(seed);
    return (struct evict_new){.bytes = 1024 + random % 8192,
                              .tag = random,
                              .cost = 500 + random % 4000,
                              .neighbour = (uint32_t)(random >> 32) % count,
                              .score = 0.5f + (float)(random % 50) / 100};
}

static void batch_time(unsigned entries, enum evict_policy policy, struct bench_samples *samples)
{
    static struct evict evict;
    uint64_t seed = entries;
    CHECK(evict_reserve(&evict, entries) == RC_OK);
    evict_policy_set(&evict, policy);
    for (uint32_t i = 0; i < entries; i++) {
        struct evict_new entry = entry_of(&seed, entries);
        evict_add(&evict, i, &entry);
    }
    samples->count = 0;
    for (unsigned round = 0; round < BATCHES; round++) {
        uint32_t gone[EVICT_BATCH_MAX];
        unsigned wanted = evict_wanted(&evict, 1);
        for (unsigned i = 0; i < entries / 2; i++) { /* half of the hits to a tenth of the entries */
            uint32_t at = (uint32_t)(bench_random(&seed) % (i % 2 ? entries : entries / 10));
            evict_touch(&evict, at);
        }
        uint64_t since = bench_now_ns();
        for (unsigned i = 0; i < wanted; i++) {
            CHECK(evict_pick(&evict, &gone[i]) == RC_OK);
            evict_yield(&evict, gone[i], seed + gone[i]);
            evict_remove(&evict, gone[i]);
        }
        bench_sample(samples, since);
        for (unsigned i = 0; i < wanted; i++) {
            struct evict_new entry = entry_of(&seed, entries);
            evict_add(&evict, gone[i], &entry);
        }
    }
}

static void print_time(unsigned entries, enum evict_policy policy, struct bench_samples *samples, bool json)
{
    double steps = 0;
    struct bench_summary s = bench_summarise(samples);
    (void)steps;
    if (json)
        printf("{\"stage\":\"evict\",\"entries\":%u,\"batch\":%u,\"policy\":\"%s\",\"median_us\":%.1f,\"p99_us\":%.1f,"
               "\"bytes_per_entry\":%.2f}\n",
               entries, entries / EVICT_BATCH_SHARE, names[policy], s.median_us, s.p99_us,
               sizeof(union evict_node) + sizeof(uint16_t) / 2.0);
    else
        printf("%9u  %6u  %-8s  %10.1f  %10.1f\n", entries, entries / EVICT_BATCH_SHARE, names[policy], s.median_us,
               s.p99_us);
}

static void time_batches(bool json)
{
    struct bench_samples samples = bench_samples_take(BATCHES);
    if (!json) puts("  entries   batch  policy     median us      p99 us");
    for (unsigned entries = 10000; entries <= 100000; entries *= 10)
        for (int policy = 0; policy < EVICT_SIM_KEEP; policy++) {
            batch_time(entries, (enum evict_policy)policy, &samples);
            print_time(entries, (enum evict_policy)policy, &samples, json);
        }
}

/* ---- what would have been kept */

static int read_logs(const char *const *paths, unsigned count)
{
    bench_log_reserve();
    items_reserve(&study.items);
    for (unsigned i = 0; i < count; i++) {
        struct bench_log *log = &study.logs[study.log_count];
        if (bench_log_read(paths[i], log) != RC_OK) return BENCH_FAILED;
        study.of_request[study.log_count] = bench_region(log->count * sizeof(uint32_t), false);
        if (items_add(&study.items, log, study.of_request[study.log_count++]) == RC_OK) continue;
        fprintf(stderr, "larder: error: more than %d different requests\n", ITEMS_MAX);
        return BENCH_FAILED;
    }
    return BENCH_DONE;
}

static int open_embedder(void)
{
    char message[640] = "";
    enum embed_kind kind = strcmp(study.embedder, "ngram") == 0  ? EMBED_NGRAM
                           : strcmp(study.embedder, "none") == 0 ? EMBED_NONE
                                                                 : EMBED_MINILM;
    int rc = embed_reserve(1);
    if (rc == RC_OK) rc = embed_open(kind, study.model, 0, message, sizeof message);
    if (rc == RC_OK) rc = embed_check();
    if (rc == RC_OK) return BENCH_DONE;
    fprintf(stderr, "larder: error: %s\n", message[0] ? message : rc_name(rc));
    return BENCH_FAILED;
}

static void run_one(unsigned log, int policy, unsigned share)
{
    const struct sim_result *all = &study.unbounded[log];
    bool by_bytes = strcmp(study.bound, "bytes") == 0;
    struct sim_setting setting = {
        .policy = policy,
        .entries = share == 0 || by_bytes ? all->kept + (share == 0 ? study.items.count : 0) : all->kept * share / 100,
        .bytes = share > 0 && by_bytes ? all->kept_bytes * share / 100 : 0,
        .threshold = (float)study.threshold / 1000,
        .lambda = (unsigned)study.lambda,
        .clusters = (unsigned)study.clusters,
    };
    if (setting.entries == 0) setting.entries = 1;
    unsigned place = share == shares[1];
    sim_run(&setting, &study.logs[log], &study.items, study.of_request[log],
            share == 0 ? &study.unbounded[log] : &study.results[log][policy][place]);
}

static double ratio(const struct sim_result *r)
{
    return (double)(r->exact + r->semantic) / r->requests;
}

/* By which part more; 0 when there is nothing to compare with. */
static double more(double one, double other)
{
    return other > 0 ? one / other - 1 : 0;
}

static double saved(const struct sim_result *r)
{
    return (double)r->saved_cost / (double)r->all_cost;
}

struct figures {
    double hit, exact, semantic, followed, over, over_least, over_most, saved, saved_over, steps;
};

static struct figures figures_of(int policy, unsigned place)
{
    struct figures f = {.over_least = 1e9, .over_most = -1e9};
    for (unsigned i = 0; i < study.log_count; i++) {
        const struct sim_result *r = &study.results[i][policy][place], *l = &study.results[i][lru][place];
        double over = more(ratio(r), ratio(l)), n = study.log_count;
        f.hit += ratio(r) / n;
        f.exact += (double)r->exact / r->requests / n;
        f.semantic += (double)r->semantic / r->requests / n;
        f.followed += (double)r->followed / r->requests / n;
        f.saved += saved(r) / n;
        f.saved_over += more(saved(r), saved(l)) / n;
        f.over += over / n;
        f.steps += r->victims > 0 ? (double)r->steps / r->victims / n : 0;
        if (over < f.over_least) f.over_least = over;
        if (over > f.over_most) f.over_most = over;
    }
    return f;
}

static void print_row(int policy, unsigned place)
{
    struct figures f = figures_of(policy, place);
    if (study.json)
        printf("{\"stage\":\"evict\",\"policy\":\"%s\",\"share\":%.2f,\"logs\":%u,\"hit\":%.4f,\"exact\":%.4f,"
               "\"semantic\":%.4f,\"followed\":%.4f,\"over_lru\":%.4f,\"over_lru_least\":%.4f,\"over_lru_most\":%.4f,"
               "\"saved\":%.4f,\"saved_over_lru\":%.4f,\"steps\":%.1f}\n",
               names[policy], shares[place] / 100.0, study.log_count, f.hit, f.exact, f.semantic, f.followed, f.over,
               f.over_least, f.over_most, f.saved, f.saved_over, f.steps);
    else
        printf("%4u %%  %-8s  %6.2f  %6.2f  %6.2f  %6.2f  %+7.1f  %+6.1f … %+5.1f  %6.2f  %+7.1f  %6.1f\n",
               shares[place], names[policy], 100 * f.hit, 100 * f.exact, 100 * f.semantic, 100 * f.followed,
               100 * f.over, 100 * f.over_least, 100 * f.over_most, 100 * f.saved, 100 * f.saved_over, f.steps);
}

static void print_unbounded(void)
{
    double hit = 0, kept = 0, requests = 0;
    for (unsigned i = 0; i < study.log_count; i++) {
        hit += ratio(&study.unbounded[i]) / study.log_count;
        kept += (double)study.unbounded[i].kept / study.log_count;
        requests += (double)study.unbounded[i].requests / study.log_count;
    }
    if (study.json) {
        printf("{\"stage\":\"evict\",\"policy\":\"unbounded\",\"logs\":%u,\"requests\":%.0f,\"working_set\":%.0f,"
               "\"threshold\":%.3f,\"embedder\":\"%s\",\"hit\":%.4f}\n",
               study.log_count, requests, kept, (double)study.threshold / 1000, study.embedder, hit);
        return;
    }
    printf("%u logs, %.0f requests each, %s, threshold %.3f; without a bound %.0f entries and %.2f %% hits\n",
           study.log_count, requests, study.embedder, (double)study.threshold / 1000, kept, 100 * hit);
    puts("capacity  policy    hit %   exact  semant.  follow  over lru %  least … most   saved %  over lru  steps");
}

static int run_study(const char *const *paths, unsigned count)
{
    int code = read_logs(paths, count);
    if (code == BENCH_DONE) code = open_embedder();
    if (code != BENCH_DONE) return code;
    int rc = items_relate(&study.items);
    if (rc != RC_OK) {
        fprintf(stderr, "larder: error: embedding: %s\n", rc_name(rc));
        return BENCH_FAILED;
    }
    sim_reserve(2 * study.items.count + 1);
    for (unsigned log = 0; log < study.log_count; log++) {
        run_one(log, lru, 0);
        for (int policy = 0; policy < EVICT_SIMS; policy++)
            for (unsigned place = 0; place < SHARES; place++) run_one(log, policy, shares[place]);
    }
    print_unbounded();
    for (unsigned place = 0; place < SHARES; place++)
        for (int policy = 0; policy < EVICT_SIMS; policy++) print_row(policy, place);
    return BENCH_DONE;
}

int bench_evict_run(const char *const *words, unsigned count)
{
    unsigned paths = 0;
    study = (struct study){.model = MODEL_DEFAULT_PATH,
                           .embedder = "minilm-int8",
                           .bound = "entries",
                           .threshold = 930,
                           .lambda = EVICT_LAMBDA_ONE / 2,
                           .clusters = 10};
    while (paths < count && words[paths][0] != '-') paths++;
    const struct bench_option options[] = {
        {"--json", BENCH_FLAG, &study.json},          {"--model", BENCH_TEXT, &study.model},
        {"--embedder", BENCH_TEXT, &study.embedder},  {"--threshold", BENCH_COUNT, &study.threshold},
        {"--bound", BENCH_TEXT, &study.bound},        {"--lambda", BENCH_COUNT, &study.lambda},
        {"--clusters", BENCH_COUNT, &study.clusters},
    };
    int code = bench_options(options, sizeof options / sizeof options[0], words + paths, count - paths);
    if (code != BENCH_DONE) return code;
    if (paths > LOGS_MAX || study.lambda > EVICT_LAMBDA_ONE || study.clusters > EVICT_CLUSTERS_MAX) {
        fprintf(stderr, "larder: error: at most %d logs, a lambda of %d, %d clusters\n", LOGS_MAX, EVICT_LAMBDA_ONE,
                EVICT_CLUSTERS_MAX);
        return BENCH_USAGE;
    }
    if (paths > 0) return run_study(words, paths);
    time_batches(study.json);
    return BENCH_DONE;
}
