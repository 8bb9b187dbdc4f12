/* SPDX-License-Identifier: Apache-2.0 */
/* cache/cache.c — finding, reading, storing and removing; boot is in cache_boot.c. */
#include "cache/cache.h"

#include "cache/hot.h"
#include "cache/inner.h"
#include "platform/check.h"
#include "platform/clock.h"
#include "platform/offload.h"
#include "platform/rc.h"

enum { CACHE_LIST_QUERY_MAX = 256, CACHE_LIST_SYNC_US = 2000000 };

struct cache cache_self;

static struct metric_histogram read_times;
static struct metric read_time = {.name = "larder_store_read_seconds",
                                  .help = "Time of a read from disk, waiting included.",
                                  .kind = METRIC_HISTOGRAM,
                                  .histogram = &read_times};

void cache_metrics(struct cache *cache)
{
    cache->stored = (struct metric){
        .name = "larder_store_puts_total", .kind = METRIC_COUNTER, .help = "Answers handed to the writer."};
    cache->evicted = (struct metric){
        .name = "larder_store_evicted_total", .kind = METRIC_COUNTER, .help = "Entries that left for others."};
    cache->corrupt = (struct metric){.name = "larder_store_corrupt_total",
                                     .kind = METRIC_COUNTER,
                                     .help = "Entries dropped because their bytes were damaged."};
    cache->dropped_full = (struct metric){.name = "larder_store_dropped_total",
                                          .kind = METRIC_COUNTER,
                                          .labels = "reason=\"queue_full\"",
                                          .help = "Entries that could not be kept."};
    cache->dropped_other = (struct metric){.name = "larder_store_dropped_total",
                                           .kind = METRIC_COUNTER,
                                           .labels = "reason=\"refused\"",
                                           .help = "Entries that could not be kept."};
    metric_register(&cache->dropped_full);
    metric_register(&cache->dropped_other);
    metric_register(&cache->stored);
    metric_register(&cache->evicted);
    metric_register(&cache->corrupt);
    metric_register(&read_time);
}

/* ---- forgetting: RAM only */

void cache_forget(struct cache *cache, uint32_t position)
{
    uint64_t id = exact_id(exact_at(&cache->exact, position));
    hot_drop(id);
    pending_kill(&cache->pending, id);
    evict_remove(&cache->evict, position);
    exact_remove(&cache->exact, position);
}

static int cache_drop(struct cache *cache, uint32_t position)
{
    uint64_t id = exact_id(exact_at(&cache->exact, position));
    int rc = writer_delete(&cache->writer, &id, 1);
    if (rc == RC_OK || rc == RC_READ_ONLY) cache_forget(cache, position);
    return rc;
}

void cache_report(const struct writer_event *event)
{
    struct cache *cache = &cache_self;
    uint32_t position = exact_find_id(&cache->exact, event->id);
    unsigned damaged;
    if (event->fate == FATE_ALL_GONE) {
        exact_clear(&cache->exact);
        evict_clear(&cache->evict);
        hot_clear();
        pending_kill_tenant(&cache->pending, NULL);
        cache->codes_lost++;                     /* also those of entries that come now and are in the queue already */
        (void)cache_index_load(cache, &damaged); /* what was stored since */
    } else if (event->fate == FATE_CODES) {
        cache->codes_lost++;
    } else if (position == EXACT_NONE) {
        return;
    } else if (event->fate == FATE_COST) {
        evict_resize(&cache->evict, position, event->value);
    } else {
        cache_forget(cache, position);
    }
}

/* ---- finding */

int cache_find(const struct digest *digest, struct cache_found *found, bool *evicted)
{
    struct cache *cache = &cache_self;
    struct exact_tag tag = exact_tag_of(&cache->exact, digest);
    uint32_t position = exact_find(&cache->exact, tag);
    *evicted = false;
    if (position == EXACT_NONE) {
        *evicted = evict_ghost_has(&cache->evict, tag.low);
        return RC_NOT_FOUND;
    }
    const struct exact_slot *slot = exact_at(&cache->exact, position);
    uint64_t now_s = clock_wall_us() / CLOCK_SECOND;
    uint64_t created_s = slot->created_s < now_s ? slot->created_s : now_s; /* from the future: as if stored now */
    bool fresh = now_s - created_s < slot->ttl_s;
    *found = (struct cache_found){.id = exact_id(slot),
                                  .created_us = created_s * CLOCK_SECOND,
                                  .ttl_s = slot->ttl_s,
                                  .state = fresh ? CACHE_FRESH : CACHE_EXPIRED};
    cache->expired_found += !fresh;
    return RC_OK;
}

void cache_touch(uint64_t id)
{
    struct cache *cache = &cache_self;
    uint32_t position = exact_find_id(&cache->exact, id);
    if (position == EXACT_NONE) return;
    evict_touch(&cache->evict, position);
    cache->accessed_us[position] = clock_wall_us();
    cache->state.changes++;
}

/* ---- reading */

struct read_job {
    uint64_t id;
    const struct digest *digest;
    struct arena *arena;
    struct entry_texts texts;
    int rc;
};

static void read_job(void *arg)
{
    struct read_job *job = arg;
    job->rc = entries_read(&cache_self.entries, job->id, job->digest, job->arena, &job->texts);
}

/* The index promised what is not there: it was another's slot, or it left, or its bytes are damaged. */
static void read_failed(struct cache *cache, const struct read_job *job)
{
    uint32_t position = exact_find_id(&cache->exact, job->id);
    if (position == EXACT_NONE) return;
    const struct exact_slot *slot = exact_at(&cache->exact, position);
    bool meant = true;
    if (job->digest) {
        struct exact_tag tag = exact_tag_of(&cache->exact, job->digest);
        meant = slot->tag_low == tag.low && slot->tag_high == tag.high;
    }
    if (job->rc == RC_CORRUPT) metric_add(&cache->corrupt, 1);
    if (job->rc == RC_CORRUPT || meant) (void)cache_drop(cache, position);
}

bool cache_has(uint64_t id)
{
    return exact_find_id(&cache_self.exact, id) != EXACT_NONE;
}

int cache_read(uint64_t id, const struct digest *digest, struct arena *arena, struct cache_answer *answer)
{
    struct cache *cache = &cache_self;
    struct read_job job = {.id = id, .digest = digest, .arena = arena, .rc = RC_NOT_FOUND};
    if (writer_pending(&cache->writer) > 0) job.rc = writer_read_pending(&cache->writer, id, digest, arena, &job.texts);
    if (job.rc == RC_NOT_FOUND) {
        uint64_t start = clock_monotonic_us();
        int rc = offload(read_job, &job);
        if (rc != RC_OK) return rc;
        metric_observe_us(&read_time, clock_monotonic_us() - start);
    }
    if (job.rc == RC_CORRUPT || job.rc == RC_NOT_FOUND) read_failed(cache, &job);
    if (job.rc == RC_OK)
        *answer = (struct cache_answer){
            .digest = job.texts.digest, .meta = job.texts.meta, .query = job.texts.query, .body = job.texts.body};
    return job.rc;
}

/* ---- storing */

static unsigned evict_some(struct cache *cache, unsigned wanted, uint64_t cost)
{
    unsigned count = 0;
    uint32_t position;
    while (count < EVICT_BATCH_MAX && cache->exact.count > 0) {
        if (count >= wanted && !evict_heavy(&cache->evict, cost)) break;
        if (evict_pick(&cache->evict, &position) != RC_OK) break;
        cache->victims[count++] = exact_id(exact_at(&cache->exact, position));
        evict_yield(&cache->evict, position, exact_at(&cache->exact, position)->tag_low);
        cache_forget(cache, position);
    }
    metric_add(&cache->evicted, count);
    CHECK(count == 0 || writer_delete(&cache->writer, cache->victims, count) == RC_OK);
    return count;
}

/* Room in the queue for the entry and for the deletes of every victim, then the victims. */
static int make_room(struct cache *cache, const struct entry_new *entry, bool replaces)
{
    uint64_t cost = entries_cost(&cache->entries, entry);
    unsigned wanted = replaces ? 0 : evict_wanted(&cache->evict, cost);
    int rc = writer_fits(&cache->writer, entry, wanted > 0 ? EVICT_BATCH_MAX : 1);
    if (rc != RC_OK) return rc;
    if (wanted > 0 && evict_some(cache, wanted, cost) == 0 && cache->exact.count >= cache->limits.entries_max)
        return RC_FULL;
    return RC_OK;
}

static int put_counted(struct cache *cache, int rc)
{
    if (rc == RC_OK)
        metric_add(&cache->stored, 1);
    else
        metric_add(rc == RC_FULL ? &cache->dropped_full : &cache->dropped_other, 1);
    return rc;
}

/* What eviction must know of a new entry. */
static void account(struct cache *cache, uint32_t position, const struct entry_new *entry, uint32_t cost)
{
    const struct entry_meta *meta = entry->meta;
    uint32_t neighbour = EXACT_NONE;
    if (entry->vector && entry->vector->nearest != 0) neighbour = exact_find_id(&cache->exact, entry->vector->nearest);
    struct evict_new worth = {.bytes = cost,
                              .tag = exact_at(&cache->exact, position)->tag_low,
                              .cost = evict_cost(meta->upstream_ms, meta->tokens_in, meta->tokens_out),
                              .neighbour = neighbour != EXACT_NONE ? neighbour : EVICT_NONE,
                              .score = entry->vector ? entry->vector->nearest_score : 0,
                              .pinned = meta->flags & ENTRY_PINNED};
    if (cache->accessed_us[position] != 0) cache->accessed_us[position] = 0; /* whose place it was */
    evict_add(&cache->evict, position, &worth);
    cache->state.changes++;
}

int cache_put(const struct digest *digest, const struct entry_meta *meta, struct span query, struct span body,
              const struct entry_vector *vector, uint64_t *id)
{
    struct cache *cache = &cache_self;
    struct exact_tag tag = exact_tag_of(&cache->exact, digest);
    unsigned char bytes[EXACT_TAG_SIZE];
    struct entry_new entry = {
        .digest = digest, .meta = meta, .tag = bytes, .query = query, .body = body, .vector = vector};
    uint32_t cost, position;
    exact_tag_write(tag, bytes);
    if (cache->read_only || !cache->open) return put_counted(cache, RC_READ_ONLY);
    int rc = make_room(cache, &entry, exact_find(&cache->exact, tag) != EXACT_NONE);
    if (rc == RC_OK) rc = writer_put(&cache->writer, &entry, id, &cost);
    if (rc != RC_OK) return put_counted(cache, rc);
    position = exact_find(&cache->exact, tag);
    if (position != EXACT_NONE) (void)cache_drop(cache, position); /* the older answer to the same request */
    rc = exact_add(&cache->exact, tag, *id, (uint32_t)(meta->created_us / CLOCK_SECOND), meta->ttl_s, &position);
    CHECK(rc == RC_OK);
    account(cache, position, &entry, cost);
    return put_counted(cache, RC_OK);
}

int cache_evict(unsigned n, uint64_t *ids, unsigned *count)
{
    struct cache *cache = &cache_self;
    struct entry_new none = {0};
    *count = 0;
    if (cache->read_only || !cache->open) return RC_READ_ONLY;
    unsigned wanted = n < EVICT_BATCH_MAX ? n : EVICT_BATCH_MAX;
    int rc = writer_fits(&cache->writer, &none, EVICT_BATCH_MAX);
    if (rc != RC_OK || wanted == 0) return rc;
    *count = evict_some(cache, wanted, 0);
    memcpy(ids, cache->victims, *count * sizeof ids[0]);
    return *count > 0 ? RC_OK : RC_EMPTY;
}

int cache_remove(uint64_t id)
{
    struct cache *cache = &cache_self;
    uint32_t position = exact_find_id(&cache->exact, id);
    if (position == EXACT_NONE) return RC_NOT_FOUND;
    return cache_drop(cache, position);
}

int cache_purge(const uint8_t tenant[ENTRY_TENANT_SIZE], unsigned *removed)
{
    struct cache *cache = &cache_self;
    if (tenant)
        hot_drop_tenant(tenant);
    else
        hot_clear();
    pending_kill_tenant(&cache->pending, tenant);
    return writer_purge(&cache->writer, tenant, removed);
}

int cache_sync(uint64_t deadline_us)
{
    return writer_sync(&cache_self.writer, deadline_us);
}

/* ---- looking */

void cache_stats(struct cache_stats *stats)
{
    struct cache *cache = &cache_self;
    *stats = (struct cache_stats){
        .entries = cache->exact.count,
        .entries_max = cache->limits.entries_max,
        .hot_entries = hot_count(),
        .waiting = writer_pending(&cache->writer),
        .bytes = evict_bytes(&cache->evict),
        .bytes_max = cache->limits.bytes_max,
        .hot_bytes = hot_used(),
        .bytes_written = writer_bytes_written(),
        .commits = writer_commits(),
        .stored = metric_get(&cache->stored),
        .dropped = metric_get(&cache->dropped_full) + metric_get(&cache->dropped_other) + writer_lost(),
        .evicted = metric_get(&cache->evicted),
        .corrupt = metric_get(&cache->corrupt),
        .expired_kept = cache->expired_found,
        .read_only = cache->read_only,
    };
}

struct list_job {
    uint64_t before;
    unsigned count;
    struct arena *arena;
    struct entry_meta *metas;
    struct span *queries;
    unsigned *listed;
    int rc;
};

static void list_job(void *arg)
{
    struct list_job *job = arg;
    job->rc = entries_list(&cache_self.entries, job->before, job->count, CACHE_LIST_QUERY_MAX, job->arena, job->metas,
                           job->queries, job->listed);
}

/* What is not on disk yet is committed first: whoever lists wants to see it. */
int cache_list(uint64_t before, unsigned count, struct arena *arena, struct entry_meta *metas, struct span *queries,
               unsigned *listed)
{
    struct list_job job = {before, count, arena, metas, queries, listed, RC_OK};
    *listed = 0;
    (void)cache_sync(clock_monotonic_us() + CACHE_LIST_SYNC_US);
    int rc = offload(list_job, &job);
    return rc == RC_OK ? job.rc : rc;
}
