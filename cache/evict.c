/* SPDX-License-Identifier: Apache-2.0 */
/* cache/evict.c — one list, two ways to read it. */
#include "cache/evict.h"

#include <assert.h>
#include <string.h>

#include "platform/check.h"
#include "platform/plan.h"
#include "platform/rc.h"

enum { MARK_USED = 1, MARK_PINNED = 2, MARK_LISTED = 4 };

static_assert(sizeof(struct evict_node) == 8, "9 bytes an entry, with its marks");

int evict_reserve(struct evict *evict, unsigned entries_max)
{
    void *nodes, *marks, *ghosts;
    if (entries_max >= EVICT_NONE) return RC_TOO_LARGE;
    int rc = plan_take("cache eviction", entries_max, sizeof(struct evict_node), PLAN_TOUCHED, 0, "storage.entries_max",
                       &nodes);
    if (rc == RC_OK)
        rc = plan_take("cache eviction marks", entries_max, 1, PLAN_TOUCHED, 0, "storage.entries_max", &marks);
    if (rc == RC_OK) rc = plan_take("cache eviction ghosts", EVICT_GHOSTS, 4, PLAN_TOUCHED, 0, NULL, &ghosts);
    if (rc != RC_OK) return rc;
    *evict = (struct evict){.nodes = nodes,
                            .marks = marks,
                            .ghosts = ghosts,
                            .head = EVICT_NONE,
                            .tail = EVICT_NONE,
                            .hand = EVICT_NONE,
                            .walk = EVICT_NONE};
    return RC_OK;
}

void evict_policy_set(struct evict *evict, enum evict_policy policy)
{
    evict->policy = policy;
}

void evict_clear(struct evict *evict)
{
    evict->head = evict->tail = evict->hand = evict->walk = EVICT_NONE;
    evict->count = 0;
    evict->units = 0;
}

/* ---- the list */

static void link_head(struct evict *evict, uint32_t position)
{
    struct evict_node *node = &evict->nodes[position];
    node->newer = EVICT_NONE;
    node->older = evict->head & EVICT_NONE;
    if (evict->head != EVICT_NONE)
        evict->nodes[evict->head].newer = position & EVICT_NONE;
    else
        evict->tail = position;
    evict->head = position;
}

static void unlink_node(struct evict *evict, uint32_t position)
{
    const struct evict_node *node = &evict->nodes[position];
    if (evict->hand == position) evict->hand = node->newer;
    if (evict->walk == position) evict->walk = node->newer;
    if (node->newer != EVICT_NONE)
        evict->nodes[node->newer].older = node->older;
    else
        evict->head = node->older;
    if (node->older != EVICT_NONE)
        evict->nodes[node->older].newer = node->newer;
    else
        evict->tail = node->newer;
}

static uint32_t units_of(uint64_t bytes)
{
    uint64_t units = (bytes + EVICT_UNIT - 1) / EVICT_UNIT;
    return units > UINT16_MAX ? UINT16_MAX : (uint32_t)units;
}

static uint32_t node_units(const struct evict_node *node)
{
    return (uint32_t)node->size_high << 8 | node->size_low;
}

static void node_units_set(struct evict_node *node, uint32_t units)
{
    node->size_high = (units >> 8) & 0xff;
    node->size_low = units & 0xff;
}

void evict_add(struct evict *evict, uint32_t position, uint64_t bytes, bool pinned)
{
    uint32_t units = units_of(bytes);
    node_units_set(&evict->nodes[position], units);
    evict->marks[position] = MARK_LISTED | (pinned ? MARK_PINNED : 0);
    link_head(evict, position);
    evict->count++;
    evict->units += units;
}

void evict_remove(struct evict *evict, uint32_t position)
{
    CHECK(evict->marks[position] & MARK_LISTED);
    unlink_node(evict, position);
    evict->marks[position] = 0;
    evict->count--;
    evict->units -= node_units(&evict->nodes[position]);
}

void evict_resize(struct evict *evict, uint32_t position, uint64_t bytes)
{
    uint32_t units = units_of(bytes);
    evict->units += units;
    evict->units -= node_units(&evict->nodes[position]);
    node_units_set(&evict->nodes[position], units);
}

uint64_t evict_bytes(const struct evict *evict)
{
    return evict->units * EVICT_UNIT;
}

void evict_promote(struct evict *evict, uint32_t position)
{
    if (evict->policy == EVICT_POLICY_SIEVE) {
        evict->marks[position] |= MARK_USED;
        return;
    }
    if (evict->head == position) return;
    unlink_node(evict, position);
    link_head(evict, position);
}

void evict_touch(struct evict *evict, uint32_t position)
{
    CHECK(evict->marks[position] & MARK_LISTED);
    evict_promote(evict, position);
}

/* ---- victims */

static int pick_sieve(struct evict *evict, uint32_t *position)
{
    uint32_t at = evict->hand != EVICT_NONE ? evict->hand : evict->tail;
    uint32_t spare = EVICT_NONE;
    for (uint32_t step = 0; step < 2 * evict->count; step++) {
        unsigned char *mark = &evict->marks[at];
        bool pinned = *mark & MARK_PINNED;
        if (!pinned && !(*mark & MARK_USED)) {
            evict->hand = at; /* moves on when the caller removes it */
            *position = at;
            return RC_OK;
        }
        *mark &= (unsigned char)~MARK_USED;
        if (!pinned && spare == EVICT_NONE) spare = at;
        if (step >= EVICT_STEPS_MAX && spare != EVICT_NONE) break;
        at = evict->nodes[at].newer != EVICT_NONE ? evict->nodes[at].newer : evict->tail;
    }
    if (spare == EVICT_NONE) return RC_EMPTY;
    evict->hand = at;
    *position = spare;
    return RC_OK;
}

static int pick_lru(struct evict *evict, uint32_t *position)
{
    for (uint32_t step = 0; step < evict->count; step++) {
        uint32_t at = evict->tail;
        if (!(evict->marks[at] & MARK_PINNED)) {
            *position = at;
            return RC_OK;
        }
        evict_promote(evict, at); /* pinned ones do not stand in the way next time */
    }
    return RC_EMPTY;
}

int evict_pick(struct evict *evict, uint32_t *position)
{
    if (evict->count == 0) return RC_EMPTY;
    return evict->policy == EVICT_POLICY_SIEVE ? pick_sieve(evict, position) : pick_lru(evict, position);
}

/* ---- the walk */

void evict_walk_start(struct evict *evict)
{
    evict->walk = evict->tail;
}

uint32_t evict_walk_next(struct evict *evict)
{
    uint32_t at = evict->walk;
    if (at != EVICT_NONE) evict->walk = evict->nodes[at].newer;
    return at;
}

bool evict_marked(const struct evict *evict, uint32_t position)
{
    return evict->marks[position] & MARK_USED;
}

uint32_t evict_hand(const struct evict *evict)
{
    return evict->hand;
}

void evict_hand_set(struct evict *evict, uint32_t position)
{
    evict->hand = position;
}

/* ---- ghosts: a few recent victims, by 32 bits of their tags; the oldest of a set is overwritten about first */

static uint32_t ghost_print(uint64_t tag)
{
    uint32_t print = (uint32_t)(tag >> 8);
    return print != 0 ? print : 1;
}

static uint32_t *ghost_set(const struct evict *evict, uint64_t tag)
{
    uint32_t sets = EVICT_GHOSTS / EVICT_GHOST_WAYS;
    return &evict->ghosts[(uint32_t)((tag >> 40) * sets >> 24) * EVICT_GHOST_WAYS];
}

void evict_ghost_add(struct evict *evict, uint64_t tag)
{
    uint32_t *set = ghost_set(evict, tag);
    memmove(set + 1, set, (EVICT_GHOST_WAYS - 1) * sizeof *set);
    set[0] = ghost_print(tag);
}

bool evict_ghost_has(const struct evict *evict, uint64_t tag)
{
    const uint32_t *set = ghost_set(evict, tag);
    for (unsigned i = 0; i < EVICT_GHOST_WAYS; i++)
        if (set[i] == ghost_print(tag)) return true;
    return false;
}
