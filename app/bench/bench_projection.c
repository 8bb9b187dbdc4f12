/* SPDX-License-Identifier: Apache-2.0 */
/* app/bench/bench_projection.c — vector to code: the Gaussian projection and the rotation that the cache uses, for 1 and
 * for 1,000 embeddings; the memory of either; and what the scan does with 1,000 to 100,000 codes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/bench/bench.h"
#include "app/bench/projection.h"
#include "cache/hamming.h"
#include "cache/rotate.h"
#include "platform/check.h"
#include "platform/cpu.h"
#include "platform/file.h"
#include "platform/rc.h"

enum { BATCH = 1000, SINGLES = 300, BATCHES = 11, SCANS = 301, TOP = 32 };

static const unsigned dims[] = {384, 768, 1536}, widths[] = {64, 128, 256, 512};

struct projection_bench {
    unsigned dim, bits;
    struct random_projection gaussian;
    struct rotation rotation;
    float *vectors, *work; /* BATCH × EMBED_DIM_MAX; ROTATION_WIDTH_MAX */
    struct bench_samples samples;
    bool json;
};

typedef void make_code(struct projection_bench *bench, const float *vector, uint64_t *words);

static void gaussian_code(struct projection_bench *bench, const float *vector, uint64_t *words)
{
    random_projection_code(&bench->gaussian, vector, words);
}

/* Other widths than the product's take as many outputs of the last round. */
static void hadamard_code(struct projection_bench *bench, const float *vector, uint64_t *words)
{
    uint64_t code[CODE_WORDS];
    uint8_t bits[PROJECTION_BITS_MAX];
    if (bench->bits == CODE_BITS) {
        rotate_code(&bench->rotation, vector, NULL, bench->work, words);
        return;
    }
    rotate_code(&bench->rotation, vector, NULL, bench->work, code);
    binarize_sign(bench->work, bench->bits, bits);
    pack_codes(bits, bench->bits, words);
}

static void print_latency(struct projection_bench *bench, const char *method, unsigned embeddings, size_t bytes)
{
    struct bench_summary s = bench_summarise(&bench->samples);
    if (bench->json)
        printf("{\"stage\":\"projection\",\"method\":\"%s\",\"kernel\":\"%s\",\"dim\":%u,\"bits\":%u,\"embeddings\":%u,"
               "\"mean_us\":%.3f,\"p50_us\":%.3f,\"p99_us\":%.3f,\"matrix_bytes\":%zu}\n",
               method, strcmp(method, "hadamard") == 0 ? rotate_variant() : "plain", bench->dim, bench->bits,
               embeddings, s.mean_us, s.median_us, s.p99_us, bytes);
    else
        printf("%-8s  %4u  %4u  %10u  %10.2f  %10.2f  %10.2f  %8zu\n", method, bench->dim, bench->bits, embeddings,
               s.mean_us, s.median_us, s.p99_us, bytes);
    (void)fflush(stdout);
}

static void measure(struct projection_bench *bench, const char *method, make_code *make, size_t bytes)
{
    uint64_t words[PROJECTION_WORDS_MAX];
    bench->samples.count = 0;
    for (unsigned i = 0; i < 20; i++) make(bench, bench->vectors + (size_t)i * bench->dim, words);
    for (unsigned i = 0; i < SINGLES; i++) {
        uint64_t since = bench_now_ns();
        make(bench, bench->vectors + (size_t)i * bench->dim, words);
        bench_sample(&bench->samples, since);
    }
    print_latency(bench, method, 1, bytes);
    bench->samples.count = 0;
    for (unsigned i = 0; i < BATCHES; i++) {
        uint64_t since = bench_now_ns();
        for (unsigned j = 0; j < BATCH; j++) make(bench, bench->vectors + (size_t)j * bench->dim, words);
        bench_sample(&bench->samples, since);
    }
    print_latency(bench, method, BATCH, bytes);
    bench_use(words[0]);
}

/* Resident pages of this process. */
static size_t resident_kib(void)
{
    char text[256];
    size_t size;
    char *second;
    if (file_read("/proc/self/statm", text, sizeof text - 1, &size) != RC_OK) return 0;
    text[size] = '\0';
    (void)strtoull(text, &second, 10); /* all pages, then the resident ones */
    return (size_t)strtoull(second, NULL, 10) * cpu_features()->page_size / 1024;
}

static void print_memory(const struct projection_bench *bench, size_t before, size_t after)
{
    size_t rotation = ROTATION_ROUNDS * bench->rotation.width / 8;
    if (bench->json)
        printf("{\"stage\":\"projection_memory\",\"dim\":%u,\"bits\":%u,\"gaussian_bytes\":%zu,\"hadamard_bytes\":%zu,"
               "\"resident_before_kib\":%zu,\"resident_after_kib\":%zu}\n",
               bench->dim, bench->bits, random_projection_size(bench->dim, bench->bits), rotation, before, after);
    else
        printf("memory    %4u  %4u  resident %zu KiB before the Gaussian matrix, %zu KiB with it; signs %zu bytes\n",
               bench->dim, bench->bits, before, after, rotation);
}

static void run_projection(struct projection_bench *bench)
{
    static const unsigned char secret[ROTATION_SECRET_SIZE] = {1};
    size_t before = resident_kib(), bytes = random_projection_size(bench->dim, bench->bits);
    float *matrix = bench_region(bytes, false);
    random_projection_make(&bench->gaussian, bench->dim, bench->bits, 42, matrix);
    size_t after = resident_kib();
    CHECK(rotation_make(&bench->rotation, secret, bench->dim) == RC_OK);
    measure(bench, "gaussian", gaussian_code, bytes);
    measure(bench, "hadamard", hadamard_code, ROTATION_ROUNDS * (size_t)bench->rotation.width / 8);
    print_memory(bench, before, after);
}

static void run_hamming(struct projection_bench *bench, size_t codes, uint64_t *words)
{
    struct hamming_top top;
    bench->samples.count = 0;
    for (unsigned i = 0; i < SCANS; i++) {
        uint64_t since = bench_now_ns();
        hamming_top_start(&top, TOP);
        hamming_scan(words + 4 * (size_t)i, words, codes, &top);
        hamming_top_finish(&top);
        if (i > 0) bench_sample(&bench->samples, since); /* the first warms up */
    }
    struct bench_summary s = bench_summarise(&bench->samples);
    double rate = (double)codes / s.median_us * 1e6;
    if (bench->json)
        printf(
            "{\"stage\":\"hamming\",\"codes\":%zu,\"kernel\":\"%s\",\"mean_us\":%.3f,\"p50_us\":%.3f,\"p99_us\":%.3f,"
            "\"entries_per_s\":%.0f}\n",
            codes, hamming_variant(), s.mean_us, s.median_us, s.p99_us, rate);
    else
        printf("hamming   %9zu codes  %-7s  %10.2f  %10.2f  %10.2f  %.0f entries/s\n", codes, hamming_variant(),
               s.mean_us, s.median_us, s.p99_us, rate);
}

static void run_all(struct projection_bench *bench)
{
    uint64_t seed = 1, *words = bench_region(100000 * HAMMING_CODE_SIZE, false);
    for (size_t i = 0; i < (size_t)BATCH * EMBED_DIM_MAX; i++)
        bench->vectors[i] = (float)(int64_t)(bench_random(&seed) >> 40) / (float)(1 << 23) - 1.0F;
    for (size_t i = 0; i < 400000; i++) words[i] = bench_random(&seed);
    if (!bench->json) puts("method     dim  bits  embeddings     mean us      p50 us      p99 us     bytes");
    for (unsigned d = 0; d < sizeof dims / sizeof dims[0]; d++) {
        for (unsigned b = 0; b < sizeof widths / sizeof widths[0]; b++) {
            bench->dim = dims[d], bench->bits = widths[b];
            run_projection(bench);
        }
    }
    for (size_t codes = 1000; codes <= 100000; codes *= 10) run_hamming(bench, codes, words);
}

int bench_projection_run(const char *const *words, unsigned count)
{
    static struct projection_bench bench;
    const char *kernel = NULL;
    const struct bench_option options[] = {{"--json", BENCH_FLAG, &bench.json}, {"--kernel", BENCH_TEXT, &kernel}};
    int code = bench_options(options, 2, words, count);
    if (code == BENCH_DONE) code = bench_kernel(kernel);
    if (code != BENCH_DONE) return code;
    bench.vectors = bench_region((size_t)BATCH * EMBED_DIM_MAX * sizeof(float), false);
    bench.work = bench_region(ROTATION_WIDTH_MAX * sizeof(float), false);
    bench.samples = bench_samples_take(SINGLES + SCANS);
    run_all(&bench);
    return BENCH_DONE;
}
