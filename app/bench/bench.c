/* SPDX-License-Identifier: Apache-2.0 */
/* app/bench/bench.c — the table of stages and their shared tools. */
#include "app/bench/bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "cache/encode.h"
#include "cache/hamming.h"
#include "cache/rescore.h"
#include "cache/rotate.h"
#include "platform/check.h"
#include "platform/cpu.h"
#include "platform/crypto.h"
#include "platform/hash.h"
#include "platform/rc.h"
#include "platform/start.h"

static const struct bench_stage stages[] = {
    {"scan", "the Hamming scan against a read-only sweep: [--codes N] [--kernel NAME|all] [--json]", bench_scan_run},
    {"code", "vector to code, to int8, and rescoring of 32 candidates: [--kernel NAME] [--json]", bench_code_run},
    {"projection", "vector to code, Gaussian and Hadamard, and the scan's throughput: [--kernel NAME] [--json]",
     bench_projection_run},
    {"lookup",
     "the whole lookup after embedding, over a store: [--entries N] [--kernel NAME|all] [--folder DIR] [--json]",
     bench_lookup_run},
    {"compare", "two reports side by side: A.json B.json [--json]", bench_compare_run},
    {"evict", "a batch's time; of logs, what each policy would have kept: [LOG...] [--threshold 930] [--json]",
     bench_evict_run},
    {"replay",
     "a log of requests with and without the cache: LOG [--entries N] [--eviction NAME] [--threshold 930] [--folder "
     "DIR]",
     bench_replay_run},
    {"synthetic", "made-up related vectors: [--entries N] [--requests N] [--clusters N] [--folder DIR] [--json]",
     bench_synthetic_run},
    {"stress", "all at once for a while: [--seconds N] [--fibers N] [--entries N] [--folder DIR] [--json]",
     bench_stress_run},
};

static int list_stages(FILE *out)
{
    fputs("larder bench [--seconds N | --quick] [--json] [-o FILE] [--kernel NAME] [--model FILE] [--folder DIR]\n"
          "  every stage of the product on this device, N seconds each (else half a second), and the device itself;\n"
          "  the store is measured on the disk of DIR (else the current folder)\n\n"
          "larder bench STAGE [OPTION]...\n\n",
          out);
    for (size_t i = 0; i < sizeof stages / sizeof stages[0]; i++)
        fprintf(out, "  %-11s %s\n", stages[i].name, stages[i].help);
    fputs("\n  --json         one JSON object a line\n"
          "  --kernel NAME  scalar, popcnt, avx2, avx512; neon, dotprod (else the best this processor has)\n",
          out);
    return out == stderr ? BENCH_USAGE : BENCH_DONE;
}

int bench_run(const char *const *words, unsigned count)
{
    if (count == 0 || words[0][0] == '-') {
        CHECK(start_process() == RC_OK);
        return bench_all_run(words, count);
    }
    if (strcmp(words[0], "help") == 0) return list_stages(stdout);
    for (size_t i = 0; i < sizeof stages / sizeof stages[0]; i++) {
        if (strcmp(words[0], stages[i].name) != 0) continue;
        CHECK(start_process() == RC_OK);
        int code = bench_kernel(NULL);
        CHECK(crypto_start() == RC_OK);
        return code != BENCH_DONE ? code : stages[i].run(words + 1, count - 1);
    }
    fprintf(stderr, "larder: error: there is no such stage: %s\n\n", words[0]);
    return list_stages(stderr);
}

static int complain(const char *what, const char *which)
{
    fprintf(stderr, "larder: error: %s: %s\n", what, which);
    return BENCH_USAGE;
}

static const struct bench_option *find(const struct bench_option *options, unsigned count, const char *name)
{
    for (unsigned i = 0; i < count; i++)
        if (strcmp(options[i].name, name) == 0) return &options[i];
    return NULL;
}

static int set_value(const struct bench_option *option, const char *text)
{
    const uint64_t most = 1000000000;
    char *end;
    if (option->kind == BENCH_TEXT) {
        *(const char **)option->value = text;
        return BENCH_DONE;
    }
    uint64_t number = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || number == 0 || number > most)
        return complain("this option needs a number from 1 to 1000000000", option->name);
    *(uint64_t *)option->value = number;
    return BENCH_DONE;
}

int bench_options(const struct bench_option *options, unsigned option_count, const char *const *words, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        const struct bench_option *option = find(options, option_count, words[i]);
        if (!option) return complain("unknown word", words[i]);
        if (option->kind == BENCH_FLAG) {
            *(bool *)option->value = true;
            continue;
        }
        if (++i == count) return complain("this option needs a value", option->name);
        int code = set_value(option, words[i]);
        if (code != BENCH_DONE) return code;
    }
    return BENCH_DONE;
}

static void choose_variants(void)
{
    const struct cpu_features *features = cpu_features();
    hash_select(features);
    encode_select(features);
    hamming_select(features);
    rescore_select(features);
    rotate_select(features);
}

int bench_kernel(const char *name)
{
    enum cpu_level level;
    cpu_detect();
    if (name && cpu_level_find(name, &level) != RC_OK) return complain("there is no such kernel", name);
    if (name && cpu_limit(level) != RC_OK) return complain("this processor cannot run the kernel", name);
    choose_variants();
    return BENCH_DONE;
}

void *bench_region(size_t size, bool huge)
{
    const size_t huge_page = (size_t)2 << 20;
    size = (size + huge_page - 1) & ~(huge_page - 1);
    void *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(base != MAP_FAILED);
    (void)madvise(base, size, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    return base;
}

uint64_t bench_now_ns(void)
{
    struct timespec now;
    CHECK(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

struct bench_samples bench_samples_take(unsigned capacity)
{
    return (struct bench_samples){bench_region(capacity * sizeof(uint64_t), false), 0, capacity};
}

void bench_sample(struct bench_samples *samples, uint64_t since_ns)
{
    uint64_t now = bench_now_ns();
    CHECK(samples->count < samples->capacity);
    samples->ns[samples->count++] = now - since_ns;
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

struct bench_summary bench_summarise(struct bench_samples *samples)
{
    unsigned n = samples->count;
    uint64_t sum = 0;
    CHECK(n > 0);
    qsort(samples->ns, n, sizeof samples->ns[0], by_value);
    for (unsigned i = 0; i < n; i++) sum += samples->ns[i];
    unsigned middle = (n - 1) / 2, last_but_hundredth = (n * 99 + 99) / 100 - 1;
    return (struct bench_summary){
        .mean_us = (double)sum / n / 1000,
        .median_us = (double)samples->ns[middle] / 1000,
        .p99_us = (double)samples->ns[last_but_hundredth] / 1000,
        .least_us = (double)samples->ns[0] / 1000,
    };
}

/* A counter through the finalizer of SplitMix64. */
uint64_t bench_random(uint64_t *seed)
{
    uint64_t x = *seed += UINT64_C(0x9E3779B97F4A7C15);
    x = (x ^ x >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ x >> 27) * UINT64_C(0x94D049BB133111EB);
    return x ^ x >> 31;
}
