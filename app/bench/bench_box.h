/* SPDX-License-Identifier: Apache-2.0 */
/* app/bench/bench_box.h — the production store with its semantic tier in a temporary folder, driven by fibers.
 *
 * Owner:   one a process; the folder goes with it.
 * Threads: main thread is the lane.
 * Fails:   said on stderr.
 */
#ifndef APP_BENCH_BENCH_BOX_H
#define APP_BENCH_BENCH_BOX_H

#include "app/bench/bench.h"
#include "cache/embed.h"
#include "cache/semantic.h"

enum { BOX_FIBERS_MAX = 256, BOX_BODY_MAX = 256 << 10, BOX_TTL_S = 30 * 24 * 3600 };

struct bench_box_options {
    unsigned entries;
    uint64_t bytes; /* 0: 16 KiB an entry */
    const char *eviction, *embedder, *model, *folder;
    unsigned fibers;
};

/* BENCH_DONE, BENCH_FAILED or BENCH_USAGE. */
int bench_box_open(const struct bench_box_options *options);
void bench_box_close(void);

/* Runs `count` fibers of run(number) side by side until all are done. */
void bench_box_run(void (*run)(unsigned number), unsigned count);
/* Of the fiber with this number. */
struct arena *bench_box_arena(unsigned number);
/* Lets others run. */
void bench_box_yield(void);

/* Stores, waiting while the writer is behind, where the gateway would not store. */
int bench_box_put(const struct digest *digest, const struct entry_meta *meta, struct span query, struct span body,
                  const struct entry_vector *vector, uint64_t *id);
/* The answer of an entry as the gateway serves it: from Hot, else read from the store and put there. */
int bench_box_answer(uint64_t id, const struct digest *digest, struct arena *arena, struct span *body);
/* Zeros when nothing was sampled. */
struct bench_summary bench_box_summarise(struct bench_samples *samples);
uint64_t bench_box_file_bytes(const char *name);
size_t bench_box_private(void);

#endif
