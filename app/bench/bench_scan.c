/* SPDX-License-Identifier: Apache-2.0 */
/* app/bench/bench_scan.c — the Hamming scan of 100,000 and 1,000,000 codes: in one array, in mapped blocks as the store
 * has them, and beside it a sweep that only reads the same bytes. All take turns of several passes, whose first ones are
 * not counted: what the caches still hold of its bytes is each one's own doing. */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "app/bench/bench.h"
#include "app/bench/sweep.h"
#include "cache/hamming.h"
#include "platform/check.h"
#include "platform/cpu.h"
#include "storage/codes.h"

enum { TOP = 32, BLOCK_SIZE = 32768, BLOCK_HEADER = BLOCK_SIZE - CODES_BLOCK * CODES_CODE_SIZE, QUERIES = 16 };
enum { WARM = 4, COUNTED = 16 }; /* passes of a turn */

struct scan_bench {
    size_t codes, bytes;
    unsigned char *flat;
    const unsigned char *blocks; /* each: header, 1,022 codes */
    uint64_t queries[QUERIES][4];
    sweep_run *sweep;
    struct bench_samples scan, mapped, swept;
};

/* Behind a file, as the store's pages are; the file lives in memory. */
static unsigned char *map_file(size_t size)
{
    int fd = memfd_create("blocks", MFD_CLOEXEC);
    CHECK(fd >= 0 && ftruncate(fd, (off_t)size) == 0);
    void *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(base != MAP_FAILED);
    close(fd);
    return base;
}

static void fill(struct scan_bench *bench, size_t codes)
{
    uint64_t seed = codes;
    size_t block_count = (codes + CODES_BLOCK - 1) / CODES_BLOCK;
    bench->codes = codes;
    bench->bytes = codes * CODES_CODE_SIZE;
    bench->flat = bench_region(bench->bytes, false);
    for (size_t i = 0; i < bench->bytes; i += sizeof seed) {
        uint64_t word = bench_random(&seed);
        memcpy(bench->flat + i, &word, sizeof word);
    }
    for (unsigned i = 0; i < QUERIES * 4; i++) bench->queries[i / 4][i % 4] = bench_random(&seed);
    unsigned char *blocks = map_file(block_count * BLOCK_SIZE);
    for (size_t done = 0, at = BLOCK_HEADER; done < codes; done += CODES_BLOCK, at += BLOCK_SIZE) {
        size_t part = codes - done < CODES_BLOCK ? codes - done : CODES_BLOCK;
        memcpy(blocks + at, bench->flat + done * CODES_CODE_SIZE, part * CODES_CODE_SIZE);
    }
    bench->blocks = blocks;
}

static void scan_flat(struct scan_bench *bench, const uint64_t query[4], struct hamming_top *top)
{
    uint64_t since = bench_now_ns();
    hamming_top_start(top, TOP);
    hamming_scan(query, bench->flat, bench->codes, top);
    hamming_top_finish(top);
    bench_sample(&bench->scan, since);
}

static void scan_blocks(struct scan_bench *bench, const uint64_t query[4], struct hamming_top *top)
{
    uint64_t since = bench_now_ns();
    hamming_top_start(top, TOP);
    const unsigned char *block = bench->blocks + BLOCK_HEADER;
    for (size_t done = 0; done < bench->codes; done += CODES_BLOCK, block += BLOCK_SIZE) {
        size_t part = bench->codes - done;
        hamming_scan(query, block, part < CODES_BLOCK ? part : CODES_BLOCK, top);
    }
    hamming_top_finish(top);
    bench_sample(&bench->mapped, since);
}

static void sweep_once(struct scan_bench *bench, const uint64_t query[4], struct hamming_top *top)
{
    (void)query, (void)top;
    uint64_t since = bench_now_ns();
    bench_use(bench->sweep(bench->flat, bench->bytes));
    bench_sample(&bench->swept, since);
}

typedef void one_pass(struct scan_bench *bench, const uint64_t query[4], struct hamming_top *top);

static void one_turn(struct scan_bench *bench, one_pass *pass, struct bench_samples *samples, struct hamming_top *top)
{
    unsigned before = samples->count;
    for (unsigned i = 0; i < WARM; i++) pass(bench, bench->queries[i % QUERIES], top);
    samples->count = before;
    for (unsigned i = 0; i < COUNTED; i++) pass(bench, bench->queries[i % QUERIES], top);
}

static void measure(struct scan_bench *bench, unsigned turns)
{
    struct hamming_top flat, blocks;
    bench->scan.count = bench->mapped.count = bench->swept.count = 0;
    for (unsigned i = 0; i < turns; i++) {
        one_turn(bench, sweep_once, &bench->swept, NULL);
        one_turn(bench, scan_flat, &bench->scan, &flat);
        one_turn(bench, scan_blocks, &bench->mapped, &blocks);
        CHECK(flat.count == blocks.count && memcmp(flat.hits, blocks.hits, flat.count * sizeof flat.hits[0]) == 0);
    }
}

static void print_result(struct scan_bench *bench, bool json)
{
    struct bench_summary scan = bench_summarise(&bench->scan), mapped = bench_summarise(&bench->mapped),
                         swept = bench_summarise(&bench->swept);
    double sweep_ratio = scan.median_us / swept.median_us, block_ratio = mapped.median_us / scan.median_us;
    if (json)
        printf(
            "{\"stage\":\"scan\",\"codes\":%zu,\"kernel\":\"%s\",\"top\":%d,\"median_us\":%.2f,\"p99_us\":%.2f,"
            "\"sweep_us\":%.2f,\"blocks_us\":%.2f,\"sweep_ratio\":%.3f,\"blocks_ratio\":%.3f,\"codes_per_s\":%.0f}\n",
            bench->codes, hamming_variant(), TOP, scan.median_us, scan.p99_us, swept.median_us, mapped.median_us,
            sweep_ratio, block_ratio, (double)bench->codes / scan.median_us * 1e6);
    else
        printf("%9zu  %-7s  %10.2f  %10.2f  %10.2f  %6.3f  %10.2f  %6.3f\n", bench->codes, hamming_variant(),
               scan.median_us, scan.p99_us, swept.median_us, sweep_ratio, mapped.median_us, block_ratio);
    (void)fflush(stdout);
}

static void run_size(size_t codes, const char *kernel, sweep_run *sweep, bool json)
{
    struct scan_bench bench = {.sweep = sweep};
    unsigned turns = codes <= 200000 ? 61 : codes <= 2000000 ? 15 : 3;
    fill(&bench, codes);
    bench.scan = bench_samples_take(turns * COUNTED + WARM);
    bench.mapped = bench_samples_take(turns * COUNTED + WARM);
    bench.swept = bench_samples_take(turns * COUNTED + WARM);
    for (unsigned i = 0; i < CPU_LEVELS; i++) {
        const char *name = cpu_level_name((enum cpu_level)i);
        if (strcmp(kernel, "all") == 0) {
            cpu_detect();
            if (!cpu_level_runs((enum cpu_level)i)) continue;
            CHECK(bench_kernel(name) == BENCH_DONE && strlen(hamming_variant()) > 0);
            if (strcmp(hamming_variant(), name) != 0) continue; /* a level the scan has no variant for */
        }
        measure(&bench, turns);
        print_result(&bench, json);
        if (strcmp(kernel, "all") != 0) break;
    }
    munmap(bench.flat, bench.bytes);
}

int bench_scan_run(const char *const *words, unsigned count)
{
    bool json = false;
    uint64_t codes = 0;
    const char *kernel = NULL;
    const struct bench_option options[] = {
        {"--json", BENCH_FLAG, &json}, {"--codes", BENCH_COUNT, &codes}, {"--kernel", BENCH_TEXT, &kernel}};
    int code = bench_options(options, 3, words, count);
    if (code != BENCH_DONE) return code;
    bool all = kernel && strcmp(kernel, "all") == 0;
    sweep_run *sweep = sweep_widest(cpu_features());
    if (!all) code = bench_kernel(kernel);
    if (code != BENCH_DONE) return code;
    if (!json) puts("    codes  kernel    median us      p99 us    sweep us   ratio   blocks us   ratio");
    if (codes) {
        run_size((size_t)codes, all ? "all" : "", sweep, json);
        return BENCH_DONE;
    }
    run_size(100000, all ? "all" : "", sweep, json);
    run_size(1000000, all ? "all" : "", sweep, json);
    return BENCH_DONE;
}
