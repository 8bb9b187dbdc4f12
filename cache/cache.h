/* SPDX-License-Identifier: Apache-2.0 */
/* cache/cache.h — the store of answers as the gateway sees it: find by digest, read, put, remove.
 *
 * RAM holds the exact index (24 bytes an entry), the eviction state and Hot (the busiest replies, decoded); LMDB under
 * storage/ holds the rest. The lane never walks a B-tree: cache_find and hot_* touch RAM only, cache_read is an
 * offloaded read, writes go to the writer thread.
 *
 * Owner:   this module owns all of it; spans in struct cache_answer point into the caller's arena.
 * Threads: lane only (cache_read waits, so from a fiber).
 * Fails:   a damaged, full or read-only store never stops serving: puts are dropped and counted, finds still work.
 *          Stored answers whose commit fails leave the index again (a find after a put may then miss).
 * Ids:     64-bit, never reused, increasing.
 */
#ifndef CACHE_CACHE_H
#define CACHE_CACHE_H

#include "cache/evict.h"
#include "platform/arena.h"
#include "platform/hash.h"
#include "storage/entry.h"

struct cache_limits {
    unsigned entries_max;
    uint64_t bytes_max; /* on disk; also the map's size at open, plus slack */
    size_t hot_bytes;
    size_t body_max;  /* largest body ever stored (parse_max) */
    uint64_t sync_us; /* a commit at the latest after this */
    enum evict_policy eviction;
};

struct cache_boot { /* what opening found, to be said to the operator */
    unsigned entries;
    bool fresh;       /* nothing was there */
    bool moved_aside; /* damaged: moved to <data>/entries.damaged, started cold */
    bool read_only;   /* serves what is there, stores nothing */
    char message[256];
};

/* Boot. RC_VERSION: written by a newer Larder (refused, nothing touched); RC_EXISTS: another process holds it. */
int cache_reserve(const struct cache_limits *limits);
int cache_open(const char *data_folder, struct cache_boot *boot);
/* False for as long as the disk takes after cache_open until the first answer could be stored. */
bool cache_is_settled(void);
/* Commits what waits, writes the snapshot, closes. */
void cache_close(void);
/* Reload: entries_max and bytes_max may shrink or grow within the reserved bounds. */
void cache_limits_set(const struct cache_limits *limits);

enum cache_state { CACHE_FRESH, CACHE_EXPIRED /* past its TTL, still stored */ };

struct cache_found {
    uint64_t id;
    uint64_t created_us;
    uint32_t ttl_s;
    enum cache_state state;
};

/* RC_NOT_FOUND: *evicted tells whether the digest was here lately and had to leave (a small filter, may err rarely). */
int cache_find(const struct digest *digest, struct cache_found *found, bool *evicted);
/* A hit was served: eviction state and counters, RAM only. */
void cache_touch(uint64_t id);

struct cache_answer {
    struct digest digest;
    struct entry_meta meta;
    struct span query; /* text for the guards, may be empty */
    struct span body;  /* as recorded */
};
/* Whether the entry is in the index: what is on its way out of the store is not. */
bool cache_has(uint64_t id);
/* From the writer's queue while it is not committed, else from LMDB by an offloaded job. The full digest (NULL: the
 * caller knows the entry by its id) is verified:
 * RC_NOT_FOUND when the slot was another's or the entry left; RC_CORRUPT when a CRC fails (the entry is dropped and
 * counted); RC_FULL when the arena has no room or no worker takes the job now; RC_IO when the disk does not read. */
int cache_read(uint64_t id, const struct digest *digest, struct arena *arena, struct cache_answer *answer);

/* Stores an answer. Everything is copied. *id gets the new id; it is found at once and committed later; `evicted`
 * victims leave first. vector NULL: exact only; of dim 0: its code is made in the background. RC_FULL: the writer's queue has no room (dropped, counted), RC_READ_ONLY, RC_TOO_LARGE. */
int cache_put(const struct digest *digest, const struct entry_meta *meta, struct span query, struct span body,
              const struct entry_vector *vector, uint64_t *id);
int cache_remove(uint64_t id);
/* The n entries (at most EVICT_BATCH_MAX, and more while the store is over its bytes) that the policy would miss least
 * leave now; ids[EVICT_BATCH_MAX] gets theirs. RC_EMPTY: none may; RC_FULL: the writer's queue has no room; RC_READ_ONLY. */
int cache_evict(unsigned n, uint64_t *ids, unsigned *count);
/* Removes all, or one tenant's, with ids given so far; waits for the commit (fiber). *removed counts. A cancelled wait
 * returns RC_CANCELLED and the purge goes on. */
int cache_purge(const uint8_t tenant[ENTRY_TENANT_SIZE] /* NULL: all */, unsigned *removed);
/* Waits until all that was put before is committed (fiber). RC_TIMEOUT, RC_CANCELLED, or why a commit in between failed. */
int cache_sync(uint64_t deadline_us);

/* ---- Hot: decoded replies in RAM, ready to send. `variant` is the caller's (form, usage or not).
 * An object is `head_room` bytes for the caller's head right before the body; the caller writes it. */
struct hot_reply {
    unsigned char *body; /* head_room writable bytes lie before it */
    size_t body_size, head_room;
    const struct entry_meta *meta;
    uint32_t note[4]; /* caller's own */
};
/* NULL when not there. Valid until the next hot_put or wait, unless pinned. Marks it as used. */
struct hot_reply *hot_find(uint64_t id, unsigned variant);
/* RC_FULL when it is larger than a quarter of Hot or everything is pinned. */
int hot_put(const struct entry_meta *meta, unsigned variant, size_t head_room, struct span body,
            struct hot_reply **reply);
void hot_pin(struct hot_reply *reply); /* while a send is only partly done */
void hot_unpin(struct hot_reply *reply);
void hot_drop(uint64_t id); /* every variant */

struct cache_stats {
    unsigned entries, entries_max, hot_entries, waiting;
    uint64_t bytes, bytes_max, hot_bytes, bytes_written, commits, stored, dropped, evicted, corrupt, expired_kept;
    bool read_only;
};
void cache_stats(struct cache_stats *stats);
/* Newest first: fills up to `count` metas of entries older than id `before` (UINT64_MAX: start), with the first bytes of
 * the query in queries[i] (in the arena). Commits what waits first, so that it is seen. Fiber (offloaded). */
int cache_list(uint64_t before, unsigned count, struct arena *arena, struct entry_meta *metas, struct span *queries,
               unsigned *listed);

#endif
