/* SPDX-License-Identifier: Apache-2.0 */
/* tests/bench/bench_encode.c — how long the encoder takes, one thread, per variant and number of word pieces.
 *
 *   bench_encode MODEL.lmodel [ROUNDS [TOKENS...]]       (rounds: 30)
 *
 * One JSON object a line: {"variant", "tokens", "median_us", "best_us"} of one text over and over, and "batch_us" a text
 * when a batch of as many as 256 pieces hold go one after the other. CPU time of the thread, so that other work on the machine disturbs little. The pieces are random but the same in every run and in peer_minilm.py.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "cache/encode.h"
#include "platform/check.h"
#include "platform/cpu.h"

enum { ROUNDS_MAX = 1000 };

static struct model model;
static void *work;
static float vector[1536];

static double now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int by_time(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median_us(const uint16_t *ids, unsigned tokens, unsigned texts, unsigned rounds, double *best)
{
    static double times[ROUNDS_MAX];
    for (unsigned i = 0; i < rounds + 1; i++) {
        const double start = now_us();
        for (unsigned t = 0; t < texts; t++) encode(&model, ids + (size_t)t * tokens, tokens, work, vector);
        if (i >= 1) times[i - 1] = (now_us() - start) / texts;
    }
    qsort(times, rounds, sizeof *times, by_time);
    *best = times[0];
    return times[rounds / 2];
}

static void report(unsigned tokens, unsigned rounds)
{
    static uint16_t ids[MODEL_PIECES_MAX];
    const unsigned texts = MODEL_PIECES_MAX / tokens;
    double best, best_of_batch;
    uint32_t seed = 1;
    for (unsigned i = 0; i < MODEL_PIECES_MAX; i++) {
        seed = seed * 1664525u + 1013904223u;
        ids[i] = (uint16_t)(1000 + (seed >> 8) % 20000);
    }
    const double one = median_us(ids, tokens, 1, rounds, &best);
    const double batch = median_us(ids, tokens, texts, (rounds + 3) / 4, &best_of_batch);
    printf("{\"variant\":\"%s\",\"tokens\":%u,\"median_us\":%.1f,\"best_us\":%.1f,\"batch\":%u,\"batch_us\":%.1f}\n",
           encode_variant(), tokens, one, best, texts, batch);
    fflush(stdout);
}

static void report_variant(int argc, char **argv, unsigned rounds)
{
    static const unsigned usual[] = {8, 16, 32, 64, 128};
    for (int i = 3; i < argc; i++) report((unsigned)atoi(argv[i]), rounds);
    for (unsigned i = 0; argc <= 3 && i < sizeof usual / sizeof *usual; i++) report(usual[i], rounds);
}

int main(int argc, char **argv)
{
    const unsigned rounds = argc > 2 ? (unsigned)atoi(argv[2]) : 30;
    if (argc < 2 || rounds < 1 || rounds > ROUNDS_MAX || model_open(argv[1], &model) != 0) {
        fprintf(stderr, "bench_encode MODEL.lmodel [ROUNDS [TOKENS...]]: no such model, or rounds not in 1...1000\n");
        return 2;
    }
    CHECK(model.dim <= sizeof vector / sizeof *vector);
    const size_t size = encode_work_size(&model);
    work = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(work != MAP_FAILED);
    cpu_detect();
    struct cpu_features features = *cpu_features();
    fprintf(stderr, "workspace %zu bytes\n", size);
    for (;;) {
        encode_select(&features);
        const bool last = strcmp(encode_variant(), "scalar") == 0;
        report_variant(argc, argv, last ? (rounds + 9) / 10 : rounds);
        if (last) return 0;
        if (features.avx512_vnni || features.dotprod)
            features.avx512_vnni = features.dotprod = false;
        else
            features.avx2 = features.neon = false;
    }
}
