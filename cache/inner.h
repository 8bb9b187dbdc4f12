/* SPDX-License-Identifier: Apache-2.0 */
/* cache/inner.h — the parts of the one cache, for cache/cache*.c only. */
#ifndef CACHE_INNER_H
#define CACHE_INNER_H

#include "cache/cache.h"
#include "cache/evict.h"
#include "cache/exact.h"
#include "cache/state.h"
#include "platform/metric.h"
#include "storage/writer.h"

enum {
    CACHE_CODES_LAG_US = 30000000,     /* longest time a committed entry's code waits for others to be committed with */
    CACHE_CODES_MAP_SMALL = 256 << 20, /* where addresses are 32 bits */
    CACHE_MAP_SLACK = 64 << 20,        /* and an eighth: tree pages, half-filled pages, pages not free yet */
};

struct cache {
    struct home home;
    struct entries entries;
    struct codes codes;
    struct pending pending;
    struct writer writer;
    struct exact exact;
    struct evict evict;
    uint64_t *accessed_us; /* by position in the exact index; wall time of the last hit, 0: none since it came */
    struct state state;
    struct cache_limits limits;
    bool open, read_only;
    bool orphans; /* there are rows that RAM does not know */
    uint64_t sweep_from;
    uint64_t expired_found;
    uint64_t codes_lost; /* times: some entries have no code any more */
    uint64_t victims[EVICT_BATCH_MAX];
    struct loop_timer timer;
    struct metric stored, evicted, corrupt, dropped_full, dropped_other;
};

extern struct cache cache_self;

int cache_index_load(struct cache *cache, unsigned *damaged);
void cache_forget(struct cache *cache, uint32_t position);
void cache_report(const struct writer_event *event);
void cache_timer(struct loop_timer *timer);
void cache_metrics(struct cache *cache);
uint64_t cache_map_bytes(const struct cache_limits *limits);

#endif
