/* SPDX-License-Identifier: Apache-2.0 */
/* app/bench/bench_synthetic.c — the store under vectors drawn from a distribution: hit ratio, latency, memory.
 *
 * Related, as questions are, not independent: a topic is a random direction, a cluster lies at cosine 0.6 from its topic,
 * a wording at cosine 0.93 … 1 from its cluster, so that two wordings of one cluster are 0.86 … 1 apart. Clusters are
 * asked for by Zipf's law (exponent 0.9), wordings evenly. A hit in another cluster's answer is wrong.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "app/bench/bench_box.h"
#include "platform/check.h"
#include "platform/clock.h"
#include "platform/crypto.h"
#include "platform/offload.h"
#include "platform/rc.h"

enum { DIM = EMBED_NGRAM_DIM, TOPICS = 50, WORDINGS = 20, TEXT_MAX = 128, BODY = 1200, SPACE = 7 };
#define ZIPF 0.9

static struct {
    struct bench_box_options box;
    uint64_t requests, clusters, threshold, seed;
    bool json;
    double *sums; /* of the clusters' shares */
    struct bench_samples exact, lookup, store;
    unsigned exact_hits, semantic_hits, wrong, vetoed, failed;
    float vector[DIM];
    char body[BODY];
} synthetic;

/* ---- the distribution */

/* Nearly normal: the sum of four even ones. */
static float draw(uint64_t *seed)
{
    uint64_t r = bench_random(seed);
    return (float)((r & 0xffff) + (r >> 16 & 0xffff) + (r >> 32 & 0xffff) + (r >> 48)) / 65536 - 2;
}

static void normalise(float vector[DIM])
{
    float square = 0;
    for (unsigned i = 0; i < DIM; i++) square += vector[i] * vector[i];
    for (unsigned i = 0; i < DIM; i++) vector[i] /= sqrtf(square);
}

/* Turns a unit vector away, to this cosine, in a direction of the seed's. */
static void turn(float vector[DIM], uint64_t seed, float cosine)
{
    static float away[DIM];
    float along = 0;
    for (unsigned i = 0; i < DIM; i++) away[i] = draw(&seed);
    for (unsigned i = 0; i < DIM; i++) along += away[i] * vector[i];
    for (unsigned i = 0; i < DIM; i++) away[i] -= along * vector[i];
    normalise(away);
    for (unsigned i = 0; i < DIM; i++) vector[i] = cosine * vector[i] + sqrtf(1 - cosine * cosine) * away[i];
}

static void vector_of(uint64_t cluster, uint64_t wording, float vector[DIM])
{
    uint64_t topic_seed = 1000 + cluster % TOPICS, wording_seed = 7000000 + cluster * WORDINGS + wording,
             mixed = wording_seed;
    for (unsigned i = 0; i < DIM; i++) vector[i] = draw(&topic_seed);
    normalise(vector);
    turn(vector, 500000 + cluster, 0.6f);
    turn(vector, wording_seed, 0.93f + 0.07f * (float)(bench_random(&mixed) % 1000) / 1000);
}

static void make_clusters(void)
{
    double sum = 0;
    synthetic.sums = bench_region(synthetic.clusters * sizeof synthetic.sums[0], false);
    for (uint64_t i = 0; i < synthetic.clusters; i++) synthetic.sums[i] = sum += exp(-ZIPF * log((double)(i + 1)));
}

static uint64_t draw_cluster(void)
{
    uint64_t low = 0, high = synthetic.clusters - 1;
    double at = (double)(bench_random(&synthetic.seed) >> 11) / 9007199254740992.0 * synthetic.sums[high];
    while (low < high) {
        uint64_t middle = (low + high) / 2;
        if (synthetic.sums[middle] > at)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* ---- one request */

struct look_job {
    struct semantic_question question;
    struct semantic_found found;
    int rc;
};

static void look_job(void *arg)
{
    struct look_job *job = arg;
    job->rc = semantic_lookup_made_now(&job->question, synthetic.vector, bench_box_arena(0), &job->found);
}

/* Letters only: numbers would be the guards' business. */
static struct span text_of(uint64_t cluster, uint64_t wording, char text[TEXT_MAX])
{
    char word[14] = {0};
    for (unsigned i = 0; i < sizeof word - 1; i++, cluster /= 20) word[i] = "bcdfghjklmnpqrstvwxz"[cluster % 20];
    int size = snprintf(text, TEXT_MAX, "tell me about %s in other words, wording %c", word, (int)('a' + wording % 26));
    return span_of(text, (size_t)size);
}

static void store_one(const struct digest *digest, uint64_t cluster, struct span text, struct entry_vector *vector)
{
    struct entry_meta meta = {
        .created_us = clock_wall_us(), .ttl_s = BOX_TTL_S, .upstream_ms = 2000, .tokens_in = 200, .tokens_out = 100};
    uint64_t id, since = bench_now_ns();
    memcpy(synthetic.body, &cluster, sizeof cluster);
    if (bench_box_put(digest, &meta, text, span_of(synthetic.body, BODY), vector, &id) != RC_OK) synthetic.failed++;
    bench_sample(&synthetic.store, since);
}

static bool serve(uint64_t id, const struct digest *digest, uint64_t cluster, bool *right)
{
    struct span body;
    if (bench_box_answer(id, digest, bench_box_arena(0), &body) != RC_OK) return false;
    *right = memcmp(body.data, &cluster, sizeof cluster) == 0;
    cache_touch(id);
    return true;
}

static bool serve_exact(const struct digest *digest, uint64_t cluster)
{
    struct cache_found found;
    bool evicted, right = false;
    uint64_t since = bench_now_ns();
    if (cache_find(digest, &found, &evicted) != RC_OK || !serve(found.id, digest, cluster, &right)) return false;
    bench_sample(&synthetic.exact, since);
    synthetic.exact_hits++;
    synthetic.failed += !right;
    return true;
}

static void ask(uint64_t cluster, uint64_t wording)
{
    char text[TEXT_MAX];
    uint64_t name[2] = {cluster, wording};
    struct digest digest;
    bool right = false;
    sha256_of(name, sizeof name, digest.bytes);
    if (serve_exact(&digest, cluster)) return;
    struct look_job job = {.question = {.text = text_of(cluster, wording, text), .space = SPACE}};
    vector_of(cluster, wording, synthetic.vector);
    uint64_t since = bench_now_ns();
    int rc = offload(look_job, &job);
    bench_sample(&synthetic.lookup, since);
    if (rc == RC_OK) rc = job.rc;
    CHECK(rc == RC_OK);
    bool enough = job.found.id != 0 && job.found.score >= (float)synthetic.threshold / 1000;
    synthetic.vetoed += enough && job.found.vetoes != 0;
    if (enough && job.found.vetoes == 0 && cache_has(job.found.id) && serve(job.found.id, NULL, cluster, &right)) {
        synthetic.semantic_hits++;
        synthetic.wrong += !right;
        return;
    }
    store_one(&digest, cluster, job.question.text, &job.found.vector);
}

static void run(unsigned fiber)
{
    for (uint64_t i = 0; i < synthetic.requests; i++) {
        arena_reset(bench_box_arena(fiber), SIZE_MAX);
        uint64_t cluster = draw_cluster();
        ask(cluster, bench_random(&synthetic.seed) % WORDINGS);
        if (i % 16 == 0) bench_box_yield();
    }
}

/* ---- the result */

static void print(void)
{
    struct cache_stats stats;
    cache_stats(&stats);
    struct bench_summary exact = bench_box_summarise(&synthetic.exact), lookup = bench_box_summarise(&synthetic.lookup),
                         store = bench_box_summarise(&synthetic.store);
    double n = (double)synthetic.requests, hits = synthetic.exact_hits + synthetic.semantic_hits;
    uint64_t codes = bench_box_file_bytes("codes/data.mdb"), rows = bench_box_file_bytes("entries/data.mdb");
    if (synthetic.json) {
        printf("{\"stage\":\"synthetic\",\"requests\":%llu,\"clusters\":%llu,\"entries\":%u,\"eviction\":\"%s\","
               "\"hit\":%.4f,\"exact\":%.4f,\"semantic\":%.4f,\"wrong_per_semantic\":%.5f,\"evicted\":%llu,"
               "\"exact_median_us\":%.2f,\"lookup_median_us\":%.1f,\"lookup_p99_us\":%.1f,\"store_median_us\":%.1f,"
               "\"store_p99_us\":%.1f,\"private_bytes\":%zu,\"codes_bytes\":%llu,\"rows_bytes\":%llu,\"failed\":%u}\n",
               (unsigned long long)synthetic.requests, (unsigned long long)synthetic.clusters, stats.entries,
               synthetic.box.eviction, hits / n, synthetic.exact_hits / n, synthetic.semantic_hits / n,
               synthetic.semantic_hits ? (double)synthetic.wrong / synthetic.semantic_hits : 0,
               (unsigned long long)stats.evicted, exact.median_us, lookup.median_us, lookup.p99_us, store.median_us,
               store.p99_us, bench_box_private(), (unsigned long long)codes, (unsigned long long)rows,
               synthetic.failed);
        return;
    }
    printf("%llu requests of %llu clusters, %s; %u entries at the end, %llu evicted\n",
           (unsigned long long)synthetic.requests, (unsigned long long)synthetic.clusters, synthetic.box.eviction,
           stats.entries, (unsigned long long)stats.evicted);
    printf("hits          %.2f %%: exact %.2f %%, in other words %.2f %%, of these of another cluster %u; %u vetoed\n",
           100 * hits / n, 100 * synthetic.exact_hits / n, 100 * synthetic.semantic_hits / n, synthetic.wrong,
           synthetic.vetoed);
    printf("exact hit     median %.2f us, p99 %.2f us\n", exact.median_us, exact.p99_us);
    printf("lookup        median %.1f us, p99 %.1f us (without embedding; on a worker)\n", lookup.median_us,
           lookup.p99_us);
    printf("store         median %.1f us, p99 %.1f us (evictions and waits for the disk included)\n", store.median_us,
           store.p99_us);
    printf("memory        %.1f MiB private; on disk codes and vectors %.1f MiB, rows %.1f MiB\n",
           (double)bench_box_private() / (1 << 20), (double)codes / (1 << 20), (double)rows / (1 << 20));
    if (synthetic.failed > 0) printf("not as it should be: %u stores or answers failed\n", synthetic.failed);
}

int bench_synthetic_run(const char *const *words, unsigned count)
{
    uint64_t entries = 10000;
    synthetic.requests = 50000;
    synthetic.clusters = 5000;
    synthetic.threshold = 930;
    synthetic.seed = 1;
    synthetic.box = (struct bench_box_options){.eviction = "sieve", .embedder = "ngram", .folder = ".", .fibers = 1};
    const struct bench_option options[] = {
        {"--json", BENCH_FLAG, &synthetic.json},
        {"--entries", BENCH_COUNT, &entries},
        {"--requests", BENCH_COUNT, &synthetic.requests},
        {"--clusters", BENCH_COUNT, &synthetic.clusters},
        {"--threshold", BENCH_COUNT, &synthetic.threshold},
        {"--eviction", BENCH_TEXT, &synthetic.box.eviction},
        {"--folder", BENCH_TEXT, &synthetic.box.folder},
    };
    int code = bench_options(options, sizeof options / sizeof options[0], words, count);
    if (code != BENCH_DONE) return code;
    synthetic.box.entries = (unsigned)entries;
    synthetic.exact = bench_samples_take((unsigned)synthetic.requests);
    synthetic.lookup = bench_samples_take((unsigned)synthetic.requests);
    synthetic.store = bench_samples_take((unsigned)synthetic.requests);
    memset(synthetic.body, 'x', sizeof synthetic.body);
    make_clusters();
    code = bench_box_open(&synthetic.box);
    if (code != BENCH_DONE) return code;
    bench_box_run(run, 1);
    print();
    bench_box_close();
    return synthetic.failed == 0 ? BENCH_DONE : BENCH_FAILED;
}
