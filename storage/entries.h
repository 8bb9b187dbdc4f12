/* SPDX-License-Identifier: Apache-2.0 */
/* storage/entries.h — the rows of the store of answers: formats, reading, writing, walking.
 *
 * Tables:  rows  (id << 16)          → header, provider, model, query, the guards' reading of it, end of the body
 *                (id << 16 | 1 …)    → the body before it, in chunks (storage/layout.h)
 *          index id / 32             → 28 bytes an entry: what RAM holds of it, so that boot does not read its page.
 *                                      Written with the row, in one commit: no snapshot can be behind it.
 *          box   1                   → format version, key of the tags
 *                2                   → ids that were given away
 *                EVICT | n           → the eviction state, in chunks (storage/writer.h)
 * Versions: 2 since rows have a space and the guards' bytes; rows of version 1 read as entries that are exact only. A
 *          store of version 1 becomes one of version 2 when it is opened for writing.
 * Wear:    keys only grow, so every table is written at its right edge: full pages, no random order tree of digests.
 *          A digest is found through RAM; the row holds all of its 32 bytes and reading verifies them.
 * Endian:  little, as every machine we run on (asserted).
 * Owner:   the caller owns struct entries.
 * Threads: as storage/kv.h.
 * Fails:   RC_CORRUPT when a row breaks its CRC or its sizes.
 */
#ifndef STORAGE_ENTRIES_H
#define STORAGE_ENTRIES_H

#include "platform/arena.h"
#include "platform/hash.h"
#include "storage/entry.h"
#include "storage/kv.h"

enum {
    ENTRIES_VERSION = 2,
    ENTRIES_TAG_SIZE = 10,
    ENTRIES_COMPRESS_FROM = 4096, /* bodies from this size on */
    ENTRIES_ID_BITS = 48,
    ENTRIES_BODY_MAX = 65535 * 16368, /* chunk numbers are 16 bits */
    ENTRIES_GUARD_MAX = 4096,         /* bytes of the guards' reading; a longer one is not kept */
};

struct entries {
    struct kv kv;
    pthread_rwlock_t gate;   /* readers against closing and opening anew while the process runs */
    struct hash_key tag_key; /* of the tags in RAM and index rows: nobody outside can aim at equal ones */
    uint32_t version;        /* of the store as it was opened */
    uint64_t id_mark;        /* ids below were given away, as this environment knows */
    unsigned char *scratch;  /* of the writer: compressed bodies */
    size_t scratch_size;
};

/* What stands in RAM and in the index. */
struct entry_index {
    uint64_t id;
    unsigned char tag[ENTRIES_TAG_SIZE];
    uint8_t flags;
    uint32_t created_s, ttl_s;
    uint32_t tenant; /* first bytes of the tenant: a candidate for its purge */
    uint32_t cost;   /* bytes of pages it takes */
};

struct entry_texts {
    struct digest digest;
    struct entry_meta meta;
    struct span query, body;
};

struct entry_new {
    const struct digest *digest;
    const struct entry_meta *meta;
    const unsigned char *tag;
    struct span query, body;
    const struct entry_vector *vector; /* NULL: exact only. Of it the row keeps space, shared and guard */
};

/* What a candidate must agree with, and what the guards need. */
struct entry_question {
    uint64_t space;
    uint32_t random;
    uint8_t flags; /* enum entry_flags */
    uint64_t created_us;
    uint8_t tenant[ENTRY_TENANT_SIZE];
    struct span query, guard;
};

/* Boot, once: region of the environment and scratch for bodies up to body_max. */
int entries_reserve(struct entries *entries, size_t body_max);
/* RC_VERSION: written by a newer Larder. `key` is stored when the environment is new. */
int entries_open(struct entries *entries, const char *folder, uint64_t map_bytes, bool read_only,
                 const struct hash_key *key);
void entries_close(struct entries *entries);          /* waits for readers */
bool entries_are_open(const struct entries *entries); /* the opener's own thread */
/* What entries_put will say of an entry whose body does not get smaller. */
uint32_t entries_cost(const struct entries *entries, const struct entry_new *entry);

/* ---- writing: inside one write transaction, newest id last */
/* *cost: bytes of pages. *random: what codes that refer to it must repeat. The meta's id is the entry's. */
int entries_put(struct entries *entries, struct kv_txn *txn, const struct entry_new *entry, uint32_t *cost,
                uint32_t *random);
/* Space and random bits of a committed row, its CRC not checked; inside any transaction. space 0: exact only. */
int entries_space(struct kv_txn *txn, uint64_t id, uint64_t *space, uint32_t *random);
/* RC_NOT_FOUND when there is none. */
int entries_delete(struct kv_txn *txn, uint64_t id);
int entries_mark_ids(struct kv_txn *txn, uint64_t mark);

/* ---- reading: each opens a transaction of its own and ends it */

/* Copies out, then verifies digest (NULL: any) and CRC, then decompresses. Texts lie in the arena. RC_FULL: it has no
 * room. A worker's job. */
int entries_read(struct entries *entries, uint64_t id, const struct digest *digest, struct arena *arena,
                 struct entry_texts *texts);

/* Header, query and guard's bytes alone, verified as entries_read does. */
int entries_question(struct entries *entries, uint64_t id, struct arena *arena, struct entry_question *question);
/* Spaces of these ids (0: none, or not there). */
int entries_spaces(struct entries *entries, const uint64_t *ids, unsigned count, uint64_t *spaces);

/* Every entry of the index in order of ids, `from` on, until `each` returns false; damaged rows of the index are left
 * out and counted. */
int entries_scan(struct entries *entries, uint64_t from, bool (*each)(void *context, const struct entry_index *index),
                 void *context, unsigned *damaged);
/* Ids of the tenant (NULL: all) in [from, to), at most `max`; *next is where to go on. Verified in the rows. */
int entries_of_tenant(struct entries *entries, const uint8_t *tenant, uint64_t from, uint64_t to, uint64_t *ids,
                      unsigned max, unsigned *count, uint64_t *next);
/* The oldest ids that are not pinned. */
int entries_oldest(struct entries *entries, uint64_t *ids, unsigned max, unsigned *count);
/* Metas newest first, ids below `before`; with the first `query_max` bytes of the query. */
int entries_list(struct entries *entries, uint64_t before, unsigned count, size_t query_max, struct arena *arena,
                 struct entry_meta *metas, struct span *queries, unsigned *listed);

/* ---- the eviction state: a value in numbered parts. The last part is shorter than ENTRIES_STATE_PART. */
enum { ENTRIES_STATE_PART = 16368 };
int entries_state_put(struct kv_txn *txn, unsigned part, struct span value);
int entries_state_cut(struct kv_txn *txn, unsigned parts); /* removes the parts from this number on */
int entries_state_read(struct entries *entries, void (*part)(void *context, struct span value), void *context);

#endif
