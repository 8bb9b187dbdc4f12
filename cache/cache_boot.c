/* SPDX-License-Identifier: Apache-2.0 */
/* cache/cache_boot.c — opening with everything that may be wrong, closing, limits, the timer. */
#include <stdio.h>

#include "cache/hot.h"
#include "cache/inner.h"
#include "platform/check.h"
#include "platform/clock.h"
#include "platform/crypto.h"
#include "platform/plan.h"
#include "platform/rc.h"

enum { CLOSE_TRIES = 2000, TIMER_US = 60000000 };

int cache_reserve(const struct cache_limits *limits)
{
    struct cache *cache = &cache_self;
    cache->limits = *limits;
    void *times;
    int rc = exact_reserve(&cache->exact, limits->entries_max);
    if (rc == RC_OK)
        rc = plan_take("cache access times", limits->entries_max, sizeof *cache->accessed_us, PLAN_LAZY, 0,
                       "storage.entries_max", &times);
    if (rc != RC_OK) return rc;
    cache->accessed_us = times;
    if (rc == RC_OK) rc = evict_reserve(&cache->evict, limits->entries_max);
    if (rc == RC_OK) rc = hot_reserve(limits->hot_bytes);
    if (rc == RC_OK) rc = entries_reserve(&cache->entries, limits->body_max);
    if (rc == RC_OK) rc = codes_reserve(&cache->codes);
    if (rc == RC_OK) rc = pending_reserve(&cache->pending);
    if (rc == RC_OK) rc = writer_reserve(&cache->writer, limits->body_max);
    if (rc == RC_OK) cache_metrics(cache);
    return rc;
}

uint64_t cache_map_bytes(const struct cache_limits *limits)
{
    return limits->bytes_max + limits->bytes_max / 8 + CACHE_MAP_SLACK;
}

/* ---- the index from its rows */

/* In order of ids, so the newer of two entries with one tag counts, and so do the newest when there are too many. */
static void load_one(struct cache *cache, const struct entry_index *index)
{
    struct exact_tag tag = exact_tag_read(index->tag);
    uint32_t position;
    int rc = exact_add(&cache->exact, tag, index->id, index->created_s, index->ttl_s, &position);
    if (rc == RC_FULL && evict_pick(&cache->evict, &position) != RC_OK) return; /* all pinned: it stays on disk */
    if (rc != RC_OK) {
        cache_forget(cache, position);
        cache->orphans = true;
        rc = exact_add(&cache->exact, tag, index->id, index->created_s, index->ttl_s, &position);
    }
    CHECK(rc == RC_OK);
    struct evict_new worth = {
        .bytes = index->cost, .tag = tag.low, .neighbour = EVICT_NONE, .pinned = index->flags & ENTRY_PINNED};
    if (cache->accessed_us[position] != 0) cache->accessed_us[position] = 0;
    evict_add(&cache->evict, position, &worth);
}

enum { LOAD_AHEAD = 16 };

/* Rows that have been seen wait until their cells of the index have come from memory: a store of 100,000 entries is
 * loaded in two thirds of the time. */
struct loading {
    struct cache *cache;
    struct entry_index ahead[LOAD_AHEAD];
    unsigned seen, loaded;
};

static void load_next(struct loading *loading)
{
    load_one(loading->cache, &loading->ahead[loading->loaded++ % LOAD_AHEAD]);
}

static bool load_seen(void *context, const struct entry_index *index)
{
    struct loading *loading = context;
    if (loading->seen - loading->loaded == LOAD_AHEAD) load_next(loading);
    exact_prefetch(&loading->cache->exact, exact_tag_read(index->tag).low, index->id);
    loading->ahead[loading->seen++ % LOAD_AHEAD] = *index;
    return true;
}

int cache_index_load(struct cache *cache, unsigned *damaged)
{
    struct loading loading = {.cache = cache};
    int rc = entries_scan(&cache->entries, 0, load_seen, &loading, damaged);
    while (loading.loaded < loading.seen) load_next(&loading);
    return rc;
}

/* ---- opening */

static int boot_say(struct cache_boot *boot, int rc, const char *format, const char *path, const char *detail)
{
    snprintf(boot->message, sizeof boot->message, format, path, detail);
    return rc;
}

/* On a full disk for reading only: the writer opens it anew when there is something to write. */
static int open_entries(struct cache *cache)
{
    struct hash_key key;
    uint64_t map = cache_map_bytes(&cache->limits);
    crypto_random(&key, sizeof key);
    int rc = entries_open(&cache->entries, cache->home.entries, map, cache->read_only, &key);
    if (rc != RC_NO_SPACE || cache->read_only) return rc;
    return entries_open(&cache->entries, cache->home.entries, map, true, &key) == RC_OK ? RC_OK : rc;
}

static int start_cold(struct cache *cache, struct cache_boot *boot, const char *why)
{
    if (cache->read_only)
        return boot_say(boot, RC_OK, "the store %s is damaged (%s) and cannot be moved aside: nothing is stored",
                        cache->home.entries, why);
    int rc = home_move_aside(&cache->home, HOME_ENTRIES);
    boot->moved_aside = rc == RC_OK;
    if (rc != RC_OK)
        return boot_say(boot, rc, "the store %s is damaged and cannot be moved aside: %s", cache->home.entries,
                        rc_name(rc));
    (void)boot_say(boot, rc, "the store %s was damaged (%s): moved to entries.damaged, started empty",
                   cache->home.entries, why);
    rc = open_entries(cache);
    boot->fresh = rc == RC_OK;
    return rc;
}

/* Every error but a newer version ends in serving without the store, said once. */
static int open_checked(struct cache *cache, struct cache_boot *boot)
{
    char reason[KV_REASON_MAX];
    int rc = kv_inspect(cache->home.entries, reason);
    boot->fresh = rc == RC_NOT_FOUND;
    if (!boot->fresh && home_faulted(&cache->home, HOME_ENTRIES, clock_wall_us()))
        return start_cold(cache, boot, "reading it killed the process twice");
    if (rc == RC_CORRUPT) return start_cold(cache, boot, reason);
    if (rc == RC_NOT_FOUND && cache->read_only)
        return boot_say(boot, RC_OK, "%s cannot be written (%s): nothing is stored", cache->home.folder, "read only");
    rc = open_entries(cache);
    if (rc == RC_READ_ONLY && !cache->read_only) {
        cache->read_only = cache->home.read_only = true;
        rc = open_entries(cache);
    }
    if (rc == RC_CORRUPT) return start_cold(cache, boot, "its tables do not make sense");
    if (rc == RC_VERSION)
        return boot_say(boot, rc, "%s was written by a newer Larder: use that one, or move the folder away%s",
                        cache->home.entries, "");
    return rc;
}

static int load_all(struct cache *cache, struct cache_boot *boot)
{
    unsigned damaged = 0;
    int rc = cache_index_load(cache, &damaged);
    if (rc == RC_OK) rc = state_restore(&cache->state, &cache->entries);
    metric_add(&cache->corrupt, damaged);
    if (rc == RC_CORRUPT) {
        entries_close(&cache->entries);
        exact_clear(&cache->exact);
        evict_clear(&cache->evict);
        rc = start_cold(cache, boot, "a tree does not make sense");
    }
    boot->entries = cache->exact.count;
    return rc;
}

/* ---- the codes: whatever is wrong with them, the exact tier is not concerned */

static uint64_t codes_map_bytes(const struct cache_limits *limits)
{
    uint64_t bytes = limits->bytes_max / 2 + CACHE_MAP_SLACK;
    return sizeof(void *) == 4 && bytes > CACHE_CODES_MAP_SMALL ? CACHE_CODES_MAP_SMALL : bytes;
}

static void codes_aside(struct cache *cache, struct cache_boot *boot, const char *why)
{
    int rc = cache->read_only ? RC_READ_ONLY : home_move_aside(&cache->home, HOME_CODES);
    if (boot->message[0] != '\0') return;
    (void)boot_say(boot, rc,
                   rc == RC_OK ? "the codes %s were damaged (%s): moved to codes.damaged, made again in the background"
                               : "the codes %s are damaged (%s): no answers to other words",
                   cache->home.codes, why);
}

static void open_codes(struct cache *cache, struct cache_boot *boot)
{
    char reason[KV_REASON_MAX];
    uint64_t map = codes_map_bytes(&cache->limits);
    if (boot->fresh && !cache->read_only) (void)home_empty_codes(&cache->home); /* they name what is gone */
    int rc = kv_inspect(cache->home.codes, reason);
    if (rc == RC_NOT_FOUND && cache->read_only) return;
    if (rc != RC_NOT_FOUND && home_faulted(&cache->home, HOME_CODES, clock_wall_us()))
        codes_aside(cache, boot, "reading them killed the process twice");
    else if (rc == RC_CORRUPT)
        codes_aside(cache, boot, reason);
    rc = codes_open(&cache->codes, cache->home.codes, map, cache->read_only);
    if ((rc == RC_CORRUPT || rc == RC_IO) && !cache->read_only) { /* they can be made again: not worth a second try */
        codes_aside(cache, boot, "its tables do not make sense");
        rc = codes_open(&cache->codes, cache->home.codes, map, false);
    }
    if (rc == RC_NO_SPACE) rc = codes_open(&cache->codes, cache->home.codes, map, true);
    if (rc == RC_OK) writer_watch(&cache->codes.kv, &cache->home, HOME_CODES);
    if (rc != RC_OK && boot->message[0] == '\0')
        (void)boot_say(boot, rc, "the codes %s do not open (%s): exact answers only", cache->home.codes, rc_name(rc));
}

static int start_writer(struct cache *cache)
{
    cache->writer.codes = &cache->codes;
    cache->writer.pending_codes = &cache->pending;
    pending_clear(&cache->pending);
    struct writer_limits limits = {.body_max = cache->limits.body_max,
                                   .sync_us = cache->limits.sync_us,
                                   .map_bytes = cache_map_bytes(&cache->limits),
                                   .codes_us = CACHE_CODES_LAG_US,
                                   .codes_map_bytes = codes_map_bytes(&cache->limits)};
    return writer_start(&cache->writer, &cache->entries, &cache->home, &limits, cache_report);
}

int cache_open(const char *data_folder, struct cache_boot *boot)
{
    struct cache *cache = &cache_self;
    *boot = (struct cache_boot){0};
    int rc = home_open(&cache->home, data_folder);
    if (rc == RC_EXISTS) return boot_say(boot, rc, "%s is in use by another process%s", data_folder, "");
    if (rc != RC_OK) return boot_say(boot, rc, "cannot open the data folder %s: %s", data_folder, rc_name(rc));
    cache->read_only = cache->home.read_only;
    cache->orphans = false;
    cache->sweep_from = 0;
    exact_clear(&cache->exact);
    evict_clear(&cache->evict);
    evict_policy_set(&cache->evict, cache->limits.eviction);
    evict_bounds_set(&cache->evict, cache->limits.entries_max, cache->limits.bytes_max);
    state_init(&cache->state, &cache->exact, &cache->evict, &cache->writer);
    rc = open_checked(cache, boot);
    exact_key(&cache->exact, &cache->entries.tag_key);
    if (rc == RC_OK && entries_are_open(&cache->entries)) rc = load_all(cache, boot);
    if (rc == RC_VERSION) {
        home_close(&cache->home);
        return rc;
    }
    if (rc != RC_OK) /* no room for a new one, or a disk that does not read: the writer tries again */
        (void)boot_say(boot, rc, "the store %s does not open (%s): serving without it", cache->home.entries,
                       rc_name(rc));
    writer_watch(&cache->entries.kv, &cache->home, HOME_ENTRIES);
    open_codes(cache, boot);
    rc = start_writer(cache);
    if (rc != RC_OK) cache->read_only = true;
    boot->read_only = cache->read_only;
    if (cache->read_only && boot->message[0] == '\0')
        (void)boot_say(boot, rc, "%s cannot be written%s: what is there is served, nothing is stored", data_folder,
                       " (read-only)");
    cache->open = true;
    cache->timer.fire = cache_timer;
    (void)loop_timer_set(&cache->timer, clock_monotonic_us() + (cache->orphans ? STATE_TURN_US : TIMER_US));
    return RC_OK;
}

/* ---- rows whose entries RAM did not take: an older answer of the same digest after a kill, or more than entries_max */

struct sweep {
    struct cache *cache;
    unsigned count;
    uint64_t next;
};

static bool sweep_one(void *context, const struct entry_index *index)
{
    struct sweep *sweep = context;
    if (exact_find_id(&sweep->cache->exact, index->id) != EXACT_NONE) return true;
    if (sweep->count == EVICT_BATCH_MAX) {
        sweep->next = index->id;
        return false;
    }
    if (!(index->flags & ENTRY_PINNED)) sweep->cache->victims[sweep->count++] = index->id;
    return true;
}

/* Deletes some of them; the rest in a later turn. Boot is not kept waiting for it. */
static void sweep_orphans(struct cache *cache)
{
    struct sweep sweep = {.cache = cache};
    unsigned damaged;
    if (!cache->orphans || cache->read_only || !entries_are_open(&cache->entries)) return;
    if (entries_scan(&cache->entries, cache->sweep_from, sweep_one, &sweep, &damaged) != RC_OK) return;
    if (sweep.count > 0 && writer_delete(&cache->writer, cache->victims, sweep.count) != RC_OK) return;
    cache->sweep_from = sweep.next;
    cache->orphans = sweep.next != 0;
}

/* ---- the timer: one part of the state a turn while one is being written, else a look once a minute */

void cache_timer(struct loop_timer *timer)
{
    struct cache *cache = &cache_self;
    uint64_t now = clock_monotonic_us();
    state_begin(&cache->state, now, false);
    bool more = state_step(&cache->state) != RC_EMPTY;
    sweep_orphans(cache);
    more |= cache->orphans;
    (void)loop_timer_set(timer, now + (more ? STATE_TURN_US : TIMER_US));
}

static void save_state(struct cache *cache)
{
    state_begin(&cache->state, clock_monotonic_us(), true);
    int rc = state_step(&cache->state);
    for (unsigned tries = 0; rc != RC_EMPTY && rc != RC_READ_ONLY && tries < CLOSE_TRIES; tries++) {
        if (rc == RC_FULL) writer_wait(&cache->writer, 1000);
        rc = state_step(&cache->state);
    }
}

bool cache_is_settled(void)
{
    return !cache_self.open || writer_is_settled(&cache_self.writer);
}

void cache_close(void)
{
    struct cache *cache = &cache_self;
    if (!cache->open) return;
    loop_timer_cancel(&cache->timer);
    if (cache->writer.running) save_state(cache);
    writer_stop(&cache->writer);
    hot_clear();
    codes_close(&cache->codes);
    entries_close(&cache->entries);
    home_close(&cache->home);
    cache->open = false;
}

void cache_limits_set(const struct cache_limits *limits)
{
    struct cache *cache = &cache_self;
    uint64_t map = cache->entries.kv.map_bytes;
    struct cache_limits *mine = &cache->limits;
    mine->entries_max = limits->entries_max < cache->exact.capacity ? limits->entries_max : cache->exact.capacity;
    mine->bytes_max = limits->bytes_max;
    if (map > 0 && cache_map_bytes(mine) > map) mine->bytes_max = (map - CACHE_MAP_SLACK) / 9 * 8;
    mine->sync_us = limits->sync_us;
    mine->eviction = limits->eviction;
    evict_policy_set(&cache->evict, mine->eviction);
    evict_bounds_set(&cache->evict, mine->entries_max, mine->bytes_max);
    if (cache->writer.running) writer_sync_interval(&cache->writer, mine->sync_us);
}
