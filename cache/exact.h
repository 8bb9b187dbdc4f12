/* SPDX-License-Identifier: Apache-2.0 */
/* cache/exact.h — the exact index: which entry has this digest, in RAM.
 *
 * An entry's slot is 24 bytes: 80 bits of a keyed hash of the digest (the tag), 48 bits of id, seconds of creation, TTL.
 * Slots do not move; a position names one until it is removed. Two tables of 4 bytes find it, by tag and by id.
 * Owner:   the caller owns struct exact; memory is taken at boot: 24 bytes × entries_max and 2 × 4 bytes × 3/2 of it.
 * Threads: lane only.
 * Fails:   RC_FULL.
 * Equal tags: two digests share one by chance once in 2^80 / entries; nobody can aim at it without the key. What is
 *          read from disk is compared with the whole digest besides (storage/entries.h).
 */
#ifndef CACHE_EXACT_H
#define CACHE_EXACT_H

#include "platform/hash.h"
#include "storage/entry.h"

enum {
    EXACT_TAG_SIZE = 10,
    EXACT_ENTRIES_MAX = (1 << 24) - 2, /* 24 bits of a table's cell are the position */
};
#define EXACT_NONE UINT32_MAX

struct exact_slot {
    uint64_t tag_low;
    uint16_t tag_high;
    uint16_t id_high;
    uint32_t id_low; /* of a free slot: the next free one */
    uint32_t created_s;
    uint32_t ttl_s;
};

struct exact {
    struct exact_slot *slots;
    uint32_t *by_tag, *by_id; /* (position + 1) << 8 | check; 0 empty */
    uint32_t capacity, cells; /* slots; cells of a table */
    uint32_t count;
    uint32_t free;    /* first of the free slots, EXACT_NONE */
    uint32_t touched; /* slots below were used once */
    struct hash_key key;
};

struct exact_tag {
    uint64_t low;
    uint16_t high;
};

int exact_reserve(struct exact *exact, unsigned entries_max);
void exact_key(struct exact *exact, const struct hash_key *key);
struct exact_tag exact_tag_of(const struct exact *exact, const struct digest *digest);
void exact_tag_write(struct exact_tag tag, unsigned char bytes[EXACT_TAG_SIZE]);
struct exact_tag exact_tag_read(const unsigned char bytes[EXACT_TAG_SIZE]);

/* EXACT_NONE when there is none. */
uint32_t exact_find(const struct exact *exact, struct exact_tag tag);
/* Asks for the cells of a tag and an id ahead of their use: with many entries each is a miss of the processor's cache. */
void exact_prefetch(const struct exact *exact, uint64_t tag_low, uint64_t id);
uint32_t exact_find_id(const struct exact *exact, uint64_t id);
/* RC_EXISTS: an entry with this tag is there (*position); nothing changed. RC_FULL. The id may not be there already. */
int exact_add(struct exact *exact, struct exact_tag tag, uint64_t id, uint32_t created_s, uint32_t ttl_s,
              uint32_t *position);
void exact_remove(struct exact *exact, uint32_t position);
void exact_clear(struct exact *exact);

static inline const struct exact_slot *exact_at(const struct exact *exact, uint32_t position)
{
    return &exact->slots[position];
}
static inline uint64_t exact_id(const struct exact_slot *slot)
{
    return (uint64_t)slot->id_high << 32 | slot->id_low;
}

#endif
