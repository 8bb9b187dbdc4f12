/* SPDX-License-Identifier: Apache-2.0 */
/* app/bench/bench_code.c — the small stages of a lookup: a vector to its code and to int8, and rescoring 32 candidates. One
 * call is near the clock's own cost, so a sample is the mean of many. */
#include <stdio.h>
#include <string.h>

#include "app/bench/bench.h"
#include "cache/rescore.h"
#include "cache/rotate.h"
#include "platform/check.h"
#include "platform/rc.h"

enum { CALLS = 50, SAMPLES = 401, CANDIDATES = 32, SPREAD = 1024 /* vectors in L2 */ };

static const unsigned dims[] = {384, 768, 1536};

struct code_bench {
    struct rotation rotation;
    float *vector, *work;
    int8_t *quantised, *vectors; /* EMBED_DIM_MAX; SPREAD × 384 or fewer of more dimensions */
    const int8_t *candidates[CANDIDATES];
    struct bench_samples samples;
    unsigned dim;
    bool json;
};

static void print_result(struct code_bench *bench, const char *stage, const char *kernel)
{
    struct bench_summary s = bench_summarise(&bench->samples);
    if (bench->json)
        printf("{\"stage\":\"%s\",\"dim\":%u,\"kernel\":\"%s\",\"median_us\":%.4f,\"p99_us\":%.4f}\n", stage,
               bench->dim, kernel, s.median_us / CALLS, s.p99_us / CALLS);
    else
        printf("%-9s  %5u  %-7s  %10.3f  %10.3f\n", stage, bench->dim, kernel, s.median_us / CALLS, s.p99_us / CALLS);
    (void)fflush(stdout);
}

static void run_code(struct code_bench *bench)
{
    uint64_t code[CODE_WORDS] = {0};
    bench->samples.count = 0;
    for (unsigned i = 0; i < SAMPLES; i++) {
        uint64_t since = bench_now_ns();
        for (unsigned j = 0; j < CALLS; j++) {
            rotate_code(&bench->rotation, bench->vector, NULL, bench->work, code);
            bench_use(code[0]);
        }
        bench_sample(&bench->samples, since);
    }
    print_result(bench, "code", rotate_variant());
}

static void run_quantise(struct code_bench *bench)
{
    bench->samples.count = 0;
    for (unsigned i = 0; i < SAMPLES; i++) {
        uint64_t since = bench_now_ns();
        for (unsigned j = 0; j < CALLS; j++) {
            (void)vector_quantise(bench->vector, bench->dim, bench->quantised);
            bench_use((uint64_t)bench->quantised[j]);
        }
        bench_sample(&bench->samples, since);
    }
    print_result(bench, "quantise", "scalar");
}

/* Other candidates each call, out of as many as fit half a megabyte. */
static void run_rescore(struct code_bench *bench)
{
    int32_t dots[CANDIDATES];
    uint64_t seed = 5;
    unsigned spread = SPREAD * 384 / bench->dim;
    bench->samples.count = 0;
    for (unsigned i = 0; i < SAMPLES; i++) {
        uint64_t since = bench_now_ns();
        for (unsigned j = 0; j < CALLS; j++) {
            unsigned from = (unsigned)(bench_random(&seed) % spread);
            for (unsigned c = 0; c < CANDIDATES; c++)
                bench->candidates[c] = bench->vectors + (size_t)((from + c * 37) % spread) * bench->dim;
            rescore_dots(bench->quantised, bench->candidates, CANDIDATES, bench->dim, dots);
            bench_use((uint64_t)dots[0]);
        }
        bench_sample(&bench->samples, since);
    }
    print_result(bench, "rescore", rescore_variant());
}

static void run_all(struct code_bench *bench)
{
    static const unsigned char secret[ROTATION_SECRET_SIZE] = {1};
    uint64_t seed = 1;
    for (unsigned i = 0; i < EMBED_DIM_MAX; i++)
        bench->vector[i] = (float)(int64_t)(bench_random(&seed) >> 40) / (float)(1 << 23) - 1.0F;
    for (unsigned i = 0; i < SPREAD * 384; i++) bench->vectors[i] = (int8_t)((int)(bench_random(&seed) % 255) - 127);
    if (!bench->json) puts("stage        dim  kernel    median us      p99 us");
    for (unsigned d = 0; d < sizeof dims / sizeof dims[0]; d++) {
        bench->dim = dims[d];
        CHECK(rotation_make(&bench->rotation, secret, bench->dim) == RC_OK);
        run_code(bench);
        run_quantise(bench);
        run_rescore(bench);
    }
}

int bench_code_run(const char *const *words, unsigned count)
{
    static struct code_bench bench;
    const char *kernel = NULL;
    const struct bench_option options[] = {{"--json", BENCH_FLAG, &bench.json}, {"--kernel", BENCH_TEXT, &kernel}};
    int code = bench_options(options, 2, words, count);
    if (code == BENCH_DONE) code = bench_kernel(kernel);
    if (code != BENCH_DONE) return code;
    bench.vector = bench_region(EMBED_DIM_MAX * sizeof(float), false);
    bench.work = bench_region(ROTATION_WIDTH_MAX * sizeof(float), false);
    bench.quantised = bench_region(EMBED_DIM_MAX, false);
    bench.vectors = bench_region(SPREAD * 384, false);
    bench.samples = bench_samples_take(SAMPLES);
    run_all(&bench);
    return BENCH_DONE;
}
