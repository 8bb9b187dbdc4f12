/* SPDX-License-Identifier: Apache-2.0 */
/* tests/bench/bench_semantic.c — a store of many entries with codes: what it costs to fill, on disk and in memory, and how
 * long a lookup takes after embedding. One JSON line a result.
 *
 * bench_semantic [ENTRIES [SPACES [LOOKUPS]]]; figures without codes come from a second run with SPACES 0.
 * Link: -Wl,--wrap=embed_text -Wl,--wrap=embed_current -Wl,--wrap=embed_ready
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#include "cache/hamming.h"
#include "cache/inner.h"
#include "cache/rescore.h"
#include "cache/rotations.h"
#include "platform/check.h"
#include "platform/clock.h"
#include "platform/cpu.h"
#include "platform/file.h"
#include "platform/plan.h"
#include "platform/rc.h"
#include "tests/support/semantic_test.h"
#include "tests/support/store_test.h"

enum { BODY = 900, TENANT = 1, SAMPLES_MAX = 100000, WAYS = 4 };

static uint64_t samples[SAMPLES_MAX], all_scan, all_rescore, all_guard;

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static struct entry_vector vector_of(unsigned n, unsigned spaces, int8_t *bytes)
{
    static float floats[EMBED_DIM_MAX], work[ROTATION_WIDTH_MAX] __attribute__((aligned(64)));
    static struct rotation rotation;
    const uint8_t tenant[ENTRY_TENANT_SIZE] = {TENANT, 1, 2, 3};
    uint64_t space = 1 + n % spaces;
    struct entry_vector vector = {.space = space,
                                  .space_tag = codes_space_tag(space, semantic_test_embedder.tag_hash),
                                  .dim = semantic_test_embedder.dim,
                                  .vector = bytes};
    if (rotation.dim == 0) CHECK(rotations_get(tenant, vector.dim, &rotation) == RC_OK);
    semantic_test_vector(n / WAYS, n % WAYS, vector.dim, floats);
    rotate_code(&rotation, floats, NULL, work, vector.code);
    vector.scale = vector_quantise(floats, vector.dim, bytes);
    return vector;
}

static void put(unsigned n, unsigned spaces)
{
    int8_t bytes[EMBED_DIM_MAX];
    struct entry_vector vector;
    struct digest digest = store_test_digest(n);
    struct entry_meta meta = store_test_meta(n);
    memset(meta.tenant, 0, sizeof meta.tenant);
    memcpy(meta.tenant, (uint8_t[]){TENANT, 1, 2, 3}, 4);
    if (spaces > 0) vector = vector_of(n, spaces, bytes);
    uint64_t id;
    int rc;
    while ((rc = cache_put(&digest, &meta, semantic_test_text(n / WAYS, n % WAYS), store_test_body(n, BODY),
                           spaces > 0 ? &vector : NULL, &id)) == RC_FULL ||
           atomic_load(&cache_self.pending.count) > PENDING_MAX - 2)
        if (rc == RC_OK) {
            store_test_turns(1);
            break;
        } else {
            store_test_turns(1);
        }
    CHECK(rc == RC_OK);
    if (n % COMMIT_ENTRIES == COMMIT_ENTRIES - 1) store_test_turns(1);
    while (writer_pending(&cache_self.writer) >= 4 * COMMIT_ENTRIES) store_test_turns(1);
}

static double mb_of(const char *folder, const char *name)
{
    char path[FILE_PATH_MAX];
    struct stat status;
    CHECK(file_join(path, folder, name) == RC_OK);
    return stat(path, &status) == 0 ? (double)status.st_size / 1e6 : 0;
}

static void fill(const char *folder, unsigned entries, unsigned spaces)
{
    uint64_t start = now_ns(), before = writer_bytes_written();
    for (unsigned n = 0; n < entries; n++) put(n, spaces);
    CHECK(store_test_sync() == RC_OK);
    struct codes_stats codes = {0};
    (void)codes_stats(&cache_self.codes, &codes);
    printf("{\"stage\":\"fill\",\"entries\":%u,\"spaces\":%u,\"seconds\":%.1f,\"written_per_entry\":%.0f,"
           "\"commits\":%llu,\"codes_commits\":%llu,\"codes_stored\":%llu,\"entries_mb\":%.1f,\"codes_mb\":%.1f,"
           "\"codes_used_mb\":%.1f,\"private_mb\":%.1f}\n",
           entries, spaces, (double)(now_ns() - start) / 1e9, (double)(writer_bytes_written() - before) / entries,
           (unsigned long long)writer_commits(), (unsigned long long)writer_codes_commits(),
           (unsigned long long)writer_codes_stored(), mb_of(folder, "entries/data.mdb"),
           mb_of(folder, "codes/data.mdb"), (double)codes.bytes / 1e6, (double)plan_private_now() / 1e6);
}

/* One store a commit, as on a quiet box; codes wait for six of them, as CACHE_CODES_LAG_US makes them at sync_every. */
static void trickle(unsigned spaces)
{
    enum { STORES = 600, LAG = 6 };
    uint64_t before = writer_bytes_written(), commits = writer_commits(), codes = writer_codes_commits();
    for (unsigned n = 0; n < STORES; n++) {
        put(100000000 + n, spaces);
        if (n % LAG == LAG - 1) CHECK(store_test_sync() == RC_OK);
        while (writer_pending(&cache_self.writer) > 0) store_test_turns(1);
    }
    printf("{\"stage\":\"trickle\",\"spaces\":%u,\"written_per_entry\":%.0f,\"commits\":%llu,\"codes_commits\":%llu}\n",
           spaces, (double)(writer_bytes_written() - before) / STORES, (unsigned long long)(writer_commits() - commits),
           (unsigned long long)(writer_codes_commits() - codes));
}

struct looking {
    unsigned entries, spaces, lookups, right;
};

static void look(void *arg)
{
    struct looking *l = arg;
    struct semantic_found found;
    uint32_t seed = 5;
    all_scan = all_rescore = all_guard = 0;
    for (unsigned i = 0; i < l->lookups; i++) {
        seed = seed * 1664525u + 1013904223u;
        unsigned n = seed % l->entries;
        struct semantic_question question =
            semantic_test_question(n / WAYS, n % WAYS + WAYS, 1 + n % l->spaces, TENANT);
        arena_reset(&store_test_arena, 1 << 20);
        uint64_t start = now_ns();
        CHECK(semantic_lookup_now(&question, &store_test_arena, &found) == RC_OK);
        samples[i] = now_ns() - start - found.embed_us * 1000u;
        all_scan += found.scan_us, all_rescore += found.rescore_us, all_guard += found.guard_us;
        l->right += found.id == n + 1 || found.score > 0.9f;
    }
}

static void report(struct looking *l)
{
    store_test_fiber(look, l);
    qsort(samples, l->lookups, sizeof samples[0], by_size);
    printf("{\"stage\":\"lookup\",\"entries\":%u,\"spaces\":%u,\"kernel\":\"%s\",\"median_us\":%.1f,\"p99_us\":%.1f,"
           "\"scan_us\":%.1f,\"rescore_us\":%.1f,\"row_and_guards_us\":%.1f,\"found\":%.4f}\n",
           l->entries, l->spaces, hamming_variant(), (double)samples[l->lookups / 2] / 1e3,
           (double)samples[l->lookups * 99 / 100] / 1e3, (double)all_scan / l->lookups,
           (double)all_rescore / l->lookups, (double)all_guard / l->lookups, (double)l->right / l->lookups);
    l->right = 0;
}

static void report_all(struct looking *l)
{
    struct cpu_features features = *cpu_features();
    for (unsigned level = 0; level < 3; level++) {
        if (level == 1) features.avx512_vpopcntdq = features.avx512_vnni = false;
        hamming_select(level < 2 ? &features : NULL);
        rescore_select(level < 2 ? &features : NULL);
        rotate_select(level < 2 ? &features : NULL);
        report(l);
    }
}

int main(int argc, char **argv)
{
    struct looking l = {.entries = argc > 1 ? (unsigned)atoi(argv[1]) : 100000,
                        .spaces = argc > 2 ? (unsigned)atoi(argv[2]) : 1,
                        .lookups = argc > 3 ? (unsigned)atoi(argv[3]) : 2000};
    struct cache_limits limits = {.entries_max = l.entries + 1000,
                                  .bytes_max = UINT64_C(8) << 30,
                                  .hot_bytes = 1 << 20,
                                  .body_max = 1 << 20,
                                  .sync_us = 5000000};
    struct cache_boot boot;
    const char *folder = store_test_folder();
    CHECK(l.lookups <= SAMPLES_MAX);
    store_test_setup(&limits);
    CHECK(semantic_reserve() == RC_OK);
    CHECK(cache_open(folder, &boot) == RC_OK);
    CHECK(semantic_start(folder) == RC_OK);
    fill(folder, l.entries, l.spaces);
    writer_sync_interval(&cache_self.writer, 1000);
    trickle(l.spaces);
    if (l.spaces > 0) report_all(&l);
    semantic_stop();
    cache_close();
    store_test_remove(folder);
    return 0;
}
