/* SPDX-License-Identifier: Apache-2.0 */
/* app/bench/evict_sim.h — what a policy would have kept: a log run against cache/evict.c, without a store behind it.
 *
 * Simulated: a request is an exact hit when it is stored, follows when the same is being fetched, is a semantic hit when the
 *          nearest stored item of its space scores at least the threshold and no guard speaks against it, else a miss. A miss
 *          stores its answer when its call is done. Victims leave in the batches of cache/cache.c. Answers do not expire.
 * EVICT_SIM_KEEP is no policy of the product but a yardstick: it remembers how often each item was asked for since the
 *          start, whether stored or not, and lets the seldomest leave. Under a fixed popularity hardly anything does better.
 * Owner:   struct sim_result is the caller's; scratch is this module's.
 */
#ifndef APP_BENCH_EVICT_SIM_H
#define APP_BENCH_EVICT_SIM_H

#include "app/bench/evict_items.h"
#include "cache/evict.h"

enum { EVICT_SIM_KEEP = EVICT_POLICY_CLUSTER + 1, EVICT_SIMS };

struct sim_setting {
    int policy;        /* enum evict_policy or EVICT_SIM_KEEP */
    unsigned entries;  /* capacity */
    uint64_t bytes;    /* capacity; 0: no bound */
    float threshold;   /* of a semantic hit; above 1: exact hits only */
    unsigned lambda;   /* of mmr */
    unsigned clusters; /* of cluster */
};

struct sim_result {
    unsigned requests, exact, semantic, followed, stored, victims, kept;
    uint64_t kept_bytes;
    uint64_t saved_ms, spent_ms;   /* of upstream time */
    uint64_t saved_cost, all_cost; /* as evict_cost counts */
    uint64_t steps;
};

/* Once, for capacities up to `entries_max`. */
void sim_reserve(unsigned entries_max);
void sim_run(const struct sim_setting *setting, const struct bench_log *log, struct items *items,
             const uint32_t *of_request, struct sim_result *result);

#endif
