/* SPDX-License-Identifier: Apache-2.0 */
/* app/bench/bench.h — `larder bench`: the table of stages, and what they share: options, memory, clock, samples.
 *
 * Output:  a line a result: with --json one JSON object, else columns. Nothing else goes to stdout.
 * Owner:   a stage's memory is taken from bench_region and given back by the end of the process.
 * Threads: main thread.
 * Fails:   exit codes: 0 done, 1 failed, 2 usage (said on stderr).
 */
#ifndef APP_BENCH_BENCH_H
#define APP_BENCH_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { BENCH_DONE = 0, BENCH_FAILED = 1, BENCH_USAGE = 2 };

/* A stage reads the words behind its name by itself. */
struct bench_stage {
    const char *name;
    const char *help; /* one line, its options included */
    int (*run)(const char *const *words, unsigned count);
};

/* `larder bench STAGE [OPTION]...`; without a stage all of the product's stages and one report (app/bench/report.h). */
int bench_run(const char *const *words, unsigned count);

/* ---- the stages, a file each */
int bench_scan_run(const char *const *words, unsigned count);
int bench_all_run(const char *const *words, unsigned count);
int bench_lookup_run(const char *const *words, unsigned count);
int bench_compare_run(const char *const *words, unsigned count);
int bench_code_run(const char *const *words, unsigned count);
int bench_projection_run(const char *const *words, unsigned count);
int bench_evict_run(const char *const *words, unsigned count);
int bench_replay_run(const char *const *words, unsigned count);
int bench_synthetic_run(const char *const *words, unsigned count);
int bench_stress_run(const char *const *words, unsigned count);

/* ---- options: `--name` for a flag, `--name VALUE` for the others */
enum bench_option_kind { BENCH_FLAG, BENCH_COUNT, BENCH_TEXT };

struct bench_option {
    const char *name; /* "--json" */
    enum bench_option_kind kind;
    void *value; /* bool, uint64_t (1 … 10^9) or const char * */
};

/* BENCH_USAGE, said on stderr: an unknown word, a value that is missing or no number. */
int bench_options(const struct bench_option *options, unsigned option_count, const char *const *words, unsigned count);
/* The level that `--kernel NAME` asks for is set (platform/cpu.h) and all variants are chosen again; NULL: the best.
 * BENCH_USAGE: no such name, or this processor lacks it. */
int bench_kernel(const char *name);

/* ---- memory: pages of the kernel, not heap; CHECKs that there are any. `huge`: may be huge pages */
void *bench_region(size_t size, bool huge);

/* ---- time and samples */
uint64_t bench_now_ns(void);

struct bench_samples {
    uint64_t *ns;
    unsigned count, capacity;
};

struct bench_summary {
    double mean_us, median_us, p99_us, least_us;
};

struct bench_samples bench_samples_take(unsigned capacity);
void bench_sample(struct bench_samples *samples, uint64_t since_ns);
/* Sorts. Percentiles are the nearest rank. */
struct bench_summary bench_summarise(struct bench_samples *samples);

/* Numbers that look random and are the same in every run. */
uint64_t bench_random(uint64_t *seed);

/* The compiler must believe that the value is used. */
static inline void bench_use(uint64_t value)
{
    __asm__ volatile("" : : "r"(value) : "memory");
}

#endif
