/* SPDX-License-Identifier: Apache-2.0 */
/* cache/exact.c — slots, and two tables with linear probing whose removals close the gap. */
#include "cache/exact.h"

#include <assert.h>

#include "platform/check.h"
#include "platform/plan.h"
#include "platform/rc.h"

static_assert(sizeof(struct exact_slot) == 24, "what the plan and the documents promise");

int exact_reserve(struct exact *exact, unsigned entries_max)
{
    void *slots, *by_tag, *by_id;
    if (entries_max == 0 || entries_max > EXACT_ENTRIES_MAX) return RC_TOO_LARGE;
    uint32_t cells = entries_max + entries_max / 2 + 8; /* two thirds full at most: a miss looks at five cells */
    int rc = plan_take("cache index", entries_max, sizeof(struct exact_slot), PLAN_TOUCHED, 0, "storage.entries_max",
                       &slots);
    if (rc == RC_OK) rc = plan_take("cache index by tag", cells, 4, PLAN_TOUCHED, 0, "storage.entries_max", &by_tag);
    if (rc == RC_OK) rc = plan_take("cache index by id", cells, 4, PLAN_TOUCHED, 0, "storage.entries_max", &by_id);
    if (rc != RC_OK) return rc;
    *exact = (struct exact){
        .slots = slots, .by_tag = by_tag, .by_id = by_id, .capacity = entries_max, .cells = cells, .free = EXACT_NONE};
    return RC_OK;
}

void exact_key(struct exact *exact, const struct hash_key *key)
{
    exact->key = *key;
}

struct exact_tag exact_tag_of(const struct exact *exact, const struct digest *digest)
{
    struct hash128 h = hash_of(&exact->key, digest->bytes, sizeof digest->bytes);
    return (struct exact_tag){h.low, (uint16_t)h.high};
}

void exact_tag_write(struct exact_tag tag, unsigned char bytes[EXACT_TAG_SIZE])
{
    memcpy(bytes, &tag.low, sizeof tag.low);
    memcpy(bytes + sizeof tag.low, &tag.high, sizeof tag.high);
}

struct exact_tag exact_tag_read(const unsigned char bytes[EXACT_TAG_SIZE])
{
    struct exact_tag tag;
    memcpy(&tag.low, bytes, sizeof tag.low);
    memcpy(&tag.high, bytes + sizeof tag.low, sizeof tag.high);
    return tag;
}

/* ---- a table: cells that name slots. `hash` has 64 good bits: the upper 32 choose the cell, the lowest 8 the check. */

static uint64_t hash_id(uint64_t id)
{
    uint64_t h = id * UINT64_C(0x9E3779B97F4A7C15);
    return h ^ h >> 32; /* so that the low byte is mixed too */
}

static uint64_t hash_slot_tag(const struct exact_slot *slot)
{
    return slot->tag_low;
}

static uint64_t hash_slot_id(const struct exact_slot *slot)
{
    return hash_id(exact_id(slot));
}

static uint32_t home_of(const struct exact *exact, uint64_t hash)
{
    return (uint32_t)((hash >> 32) * exact->cells >> 32);
}

static uint32_t next_cell(const struct exact *exact, uint32_t cell)
{
    return cell + 1 == exact->cells ? 0 : cell + 1;
}

static uint32_t free_cell(const struct exact *exact, const uint32_t *table, uint64_t hash)
{
    uint32_t cell = home_of(exact, hash);
    while (table[cell] != 0) cell = next_cell(exact, cell);
    return cell;
}

static uint32_t cell_of(uint64_t hash, uint32_t position)
{
    return (position + 1) << 8 | (uint32_t)(hash & 0xff);
}

/* The cell that names the tag's slot, or the free one where it would be. */
static uint32_t tag_cell(const struct exact *exact, struct exact_tag tag)
{
    uint32_t cell = home_of(exact, tag.low);
    for (; exact->by_tag[cell] != 0; cell = next_cell(exact, cell)) {
        if ((exact->by_tag[cell] & 0xff) != (tag.low & 0xff)) continue;
        const struct exact_slot *slot = &exact->slots[(exact->by_tag[cell] >> 8) - 1];
        if (slot->tag_low == tag.low && slot->tag_high == tag.high) break;
    }
    return cell;
}

/* Cells behind the gap move into it unless that would put them before their home. */
static void table_close_gap(struct exact *exact, uint32_t *table, uint32_t gap,
                            uint64_t (*hash_slot)(const struct exact_slot *slot))
{
    for (uint32_t cell = next_cell(exact, gap); table[cell] != 0; cell = next_cell(exact, cell)) {
        uint32_t home = home_of(exact, hash_slot(&exact->slots[(table[cell] >> 8) - 1]));
        uint32_t from_home = cell >= home ? cell - home : cell + exact->cells - home;
        uint32_t from_gap = cell >= gap ? cell - gap : cell + exact->cells - gap;
        if (from_home < from_gap) continue;
        table[gap] = table[cell];
        gap = cell;
    }
    table[gap] = 0;
}

static void table_remove(struct exact *exact, uint32_t *table, uint32_t position,
                         uint64_t (*hash_slot)(const struct exact_slot *slot))
{
    uint32_t cell = home_of(exact, hash_slot(&exact->slots[position]));
    while (table[cell] >> 8 != position + 1) {
        CHECK(table[cell] != 0);
        cell = next_cell(exact, cell);
    }
    table_close_gap(exact, table, cell, hash_slot);
}

/* ---- */

uint32_t exact_find(const struct exact *exact, struct exact_tag tag)
{
    uint32_t cell = exact->by_tag[tag_cell(exact, tag)];
    return cell != 0 ? (cell >> 8) - 1 : EXACT_NONE;
}

void exact_prefetch(const struct exact *exact, uint64_t tag_low, uint64_t id)
{
    __builtin_prefetch(&exact->by_tag[home_of(exact, tag_low)], 1);
    __builtin_prefetch(&exact->by_id[home_of(exact, hash_id(id))], 1);
}

uint32_t exact_find_id(const struct exact *exact, uint64_t id)
{
    uint64_t hash = hash_id(id);
    for (uint32_t cell = home_of(exact, hash); exact->by_id[cell] != 0; cell = next_cell(exact, cell)) {
        if ((exact->by_id[cell] & 0xff) != (hash & 0xff)) continue;
        uint32_t position = (exact->by_id[cell] >> 8) - 1;
        if (exact_id(&exact->slots[position]) == id) return position;
    }
    return EXACT_NONE;
}

int exact_add(struct exact *exact, struct exact_tag tag, uint64_t id, uint32_t created_s, uint32_t ttl_s,
              uint32_t *position)
{
    uint32_t cell = tag_cell(exact, tag);
    if (exact->by_tag[cell] != 0) {
        *position = (exact->by_tag[cell] >> 8) - 1;
        return RC_EXISTS;
    }
    if (exact->count == exact->capacity) return RC_FULL;
    uint32_t at = exact->free;
    if (at != EXACT_NONE)
        exact->free = exact->slots[at].id_low;
    else
        at = exact->touched++;
    exact->slots[at] = (struct exact_slot){
        .tag_low = tag.low,
        .tag_high = tag.high,
        .id_high = (uint16_t)(id >> 32),
        .id_low = (uint32_t)id,
        .created_s = created_s,
        .ttl_s = ttl_s,
    };
    exact->by_tag[cell] = cell_of(tag.low, at);
    exact->by_id[free_cell(exact, exact->by_id, hash_id(id))] = cell_of(hash_id(id), at);
    exact->count++;
    *position = at;
    return RC_OK;
}

void exact_remove(struct exact *exact, uint32_t position)
{
    CHECK(exact->count > 0);
    table_remove(exact, exact->by_tag, position, hash_slot_tag);
    table_remove(exact, exact->by_id, position, hash_slot_id);
    exact->slots[position].id_low = exact->free;
    exact->free = position;
    exact->count--;
}

void exact_clear(struct exact *exact)
{
    memset(exact->by_tag, 0, (size_t)exact->cells * 4);
    memset(exact->by_id, 0, (size_t)exact->cells * 4);
    exact->count = exact->touched = 0;
    exact->free = EXACT_NONE;
}
