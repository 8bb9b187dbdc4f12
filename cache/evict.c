/* SPDX-License-Identifier: Apache-2.0 */
/* cache/evict.c — what all policies share: sizes, worth, adding, removing, the walk, the snapshot's bits. */
#include "cache/evict.h"

#include <assert.h>
#include <string.h>

#include "cache/evict_inner.h"
#include "platform/check.h"
#include "platform/plan.h"
#include "platform/rc.h"

enum { LOG_ONE = 4096, MEAN_WEIGHT = 256, CLUSTERS_DEFAULT = 10 };

static_assert(sizeof(union evict_node) == 8, "with the byte that remembers who left, 9 an entry");
static_assert(EVICT_GHOST_WAYS == 4, "a set of ghosts is 16 bytes");

int evict_reserve(struct evict *evict, unsigned entries_max)
{
    void *nodes, *ghosts, *returns;
    if (entries_max >= EVICT_NONE) return RC_TOO_LARGE;
    uint32_t return_sets = entries_max / 2 / EVICT_RETURN_WAYS + 1;
    int rc = plan_take("cache eviction", entries_max, sizeof(union evict_node), PLAN_TOUCHED, 0, "storage.entries_max",
                       &nodes);
    if (rc == RC_OK)
        rc = plan_take("cache eviction returns", return_sets, EVICT_RETURN_WAYS * sizeof(uint16_t), PLAN_TOUCHED, 0,
                       "storage.entries_max", &returns);
    if (rc == RC_OK) rc = plan_take("cache eviction ghosts", EVICT_GHOSTS, 4, PLAN_TOUCHED, 0, NULL, &ghosts);
    if (rc != RC_OK) return rc;
    *evict = (struct evict){.nodes = nodes,
                            .ghosts = ghosts,
                            .returns = returns,
                            .return_sets = return_sets,
                            .return_sets_max = return_sets,
                            .entries_max = entries_max,
                            .lambda = EVICT_LAMBDA_ONE / 2,
                            .clusters = CLUSTERS_DEFAULT};
    evict_clear(evict);
    return RC_OK;
}

void evict_clear(struct evict *evict)
{
    memset(evict->nodes, 0, evict->span * sizeof evict->nodes[0]);
    memset(evict->cluster_count, 0, sizeof evict->cluster_count);
    evict->head = evict->tail = evict->hand = evict->walk = EVICT_NONE;
    evict->count = evict->pinned = evict->span = evict->sweep = 0;
    evict->units = 0;
    evict->random = UINT64_C(0x9E3779B97F4A7C15);
    evict->mean_known = false;
}

void evict_bounds_set(struct evict *evict, unsigned entries_max, uint64_t bytes_max)
{
    evict->entries_max = entries_max;
    evict->units_max = bytes_max / EVICT_UNIT;
    uint32_t sets = entries_max / 2 / EVICT_RETURN_WAYS + 1;
    evict->return_sets = sets < evict->return_sets_max ? sets : evict->return_sets_max;
}

void evict_tune(struct evict *evict, unsigned lambda, unsigned clusters)
{
    CHECK(lambda <= EVICT_LAMBDA_ONE);
    CHECK(clusters > 0);
    CHECK(clusters <= EVICT_CLUSTERS_MAX);
    CHECK(evict->count == 0);
    evict->lambda = lambda;
    evict->clusters = clusters;
}

/* ---- from one kind of node to the other */

static void to_samples(struct evict *evict)
{
    uint32_t at = evict->tail;
    for (uint32_t i = 0; at != EVICT_NONE; i++) {
        union evict_node *node = &evict->nodes[at];
        uint32_t newer = node->links.newer;
        uint32_t age = (uint32_t)((uint64_t)(evict->count - 1 - i) * EVICT_TICKS / evict->count);
        struct evict_saved saved = {.bits = at % evict->clusters * SAMPLE_CLUSTER + age * SAMPLE_AGE,
                                    .neighbour = EVICT_NONE};
        node->place.cluster = 0;
        evict->cluster_count[0]++; /* where sample_restore finds it */
        sample_restore(evict, at, &saved);
        at = newer;
    }
    evict->head = evict->tail = evict->hand = evict->walk = EVICT_NONE;
}

static void to_lists(struct evict *evict)
{
    evict->head = evict->tail = evict->hand = evict->walk = EVICT_NONE;
    memset(evict->cluster_count, 0, sizeof evict->cluster_count);
    for (uint32_t at = 0; at < evict->span; at++) {
        union evict_node *node = &evict->nodes[at];
        if (!node_is(node, MARK_LISTED)) continue;
        if (node_hits(node) > EVICT_MARK_MAX) node_hits_set(node, EVICT_MARK_MAX);
        list_link(evict, at);
    }
}

void evict_policy_set(struct evict *evict, enum evict_policy policy)
{
    bool sampled = evict_samples(evict);
    evict->policy = policy;
    if (sampled == evict_samples(evict)) return;
    if (sampled)
        to_lists(evict);
    else
        to_samples(evict);
}

/* ---- sizes: 32 steps as they are, then 16 an octave, rounded up */

static uint32_t size_of(uint64_t bytes)
{
    uint64_t units = (bytes + EVICT_UNIT - 1) / EVICT_UNIT;
    if (units < 32) return (uint32_t)units;
    unsigned shift = 59 - (unsigned)__builtin_clzll(units);
    uint64_t steps = (units + (UINT64_C(1) << shift) - 1) >> shift; /* 16 … 32 */
    uint64_t size = 16 * (uint64_t)shift + steps;
    return size > UINT8_MAX ? UINT8_MAX : (uint32_t)size;
}

static uint64_t units_of(uint32_t size)
{
    return size < 32 ? size : (uint64_t)(16 + size % 16) << (size / 16 - 1);
}

/* ---- worth */

uint64_t evict_cost(uint32_t upstream_ms, uint32_t tokens_in, uint32_t tokens_out)
{
    return (uint64_t)upstream_ms + tokens_in + 4 * (uint64_t)tokens_out;
}

static int32_t log2_of(uint64_t x)
{
    unsigned octave = 63 - (unsigned)__builtin_clzll(x);
    uint64_t rest = x << (63 - octave) << 1; /* behind the leading one: a straight line will do */
    return (int32_t)(octave * LOG_ONE + (uint32_t)(rest >> 52));
}

/* Dear or cheap beside what was stored so far. */
static enum evict_class classify(struct evict *evict, uint64_t units, uint64_t cost)
{
    if (cost == 0) return EVICT_PLAIN;
    uint64_t share = (UINT64_C(1) << 32) / (evict->entries_max ? evict->entries_max : 1);
    if (evict->units_max > 0) share += (units << 32) / evict->units_max;
    int32_t density = log2_of(cost) - log2_of(share > 0 ? share : 1);
    if (!evict->mean_known) evict->mean = density;
    evict->mean_known = true;
    int32_t above = density - evict->mean;
    evict->mean += above / MEAN_WEIGHT;
    if (above >= LOG_ONE) return EVICT_DEAR;
    return above <= -2 * LOG_ONE ? EVICT_CHEAP : EVICT_PLAIN;
}

/* ---- entries */

void evict_add(struct evict *evict, uint32_t position, const struct evict_new *entry)
{
    union evict_node *node = &evict->nodes[position];
    CHECK(!node_is(node, MARK_LISTED));
    uint32_t size = size_of(entry->bytes);
    enum evict_class class = classify(evict, units_of(size), entry->cost);
    node->links.size = size & 0xff;
    node->links.marks = (MARK_LISTED | (entry->pinned ? MARK_PINNED : 0) | (unsigned)class * MARK_CLASS) & 0xff;
    if (return_take(evict, entry->tag)) evict_hit(node, EVICT_MARK_MAX);
    if (position >= evict->span) evict->span = position + 1;
    evict->count++;
    evict->pinned += entry->pinned;
    evict->units += units_of(size);
    if (evict_samples(evict))
        sample_add(evict, position, entry);
    else
        list_link(evict, position);
}

void evict_remove(struct evict *evict, uint32_t position)
{
    union evict_node *node = &evict->nodes[position];
    CHECK(node_is(node, MARK_LISTED));
    if (evict_samples(evict))
        sample_remove(evict, position);
    else
        list_unlink(evict, position);
    evict->count--;
    evict->pinned -= node_is(node, MARK_PINNED);
    evict->units -= units_of(node->links.size);
    node->links.marks = 0;
}

void evict_resize(struct evict *evict, uint32_t position, uint64_t bytes)
{
    union evict_node *node = &evict->nodes[position];
    uint32_t size = size_of(bytes);
    evict->units += units_of(size);
    evict->units -= units_of(node->links.size);
    node->links.size = size & 0xff;
}

uint64_t evict_bytes(const struct evict *evict)
{
    return evict->units * EVICT_UNIT;
}

void evict_hit(union evict_node *node, unsigned most)
{
    unsigned hits = node_hits(node) + (node_class(node) == EVICT_DEAR ? 2 : 1);
    node_hits_set(node, hits < most ? hits : most);
}

void evict_touch(struct evict *evict, uint32_t position)
{
    union evict_node *node = &evict->nodes[position];
    CHECK(node_is(node, MARK_LISTED));
    if (evict_samples(evict))
        sample_touch(evict, position);
    else if (evict->policy == EVICT_POLICY_LRU)
        list_to_head(evict, position);
    else
        evict_hit(node, EVICT_MARK_MAX);
}

/* ---- victims */

bool evict_heavy(const struct evict *evict, uint64_t bytes)
{
    return evict->units_max > 0 && evict->units + (bytes + EVICT_UNIT - 1) / EVICT_UNIT > evict->units_max;
}

unsigned evict_wanted(const struct evict *evict, uint64_t bytes)
{
    bool crowded = evict->count >= evict->entries_max;
    if (!crowded && !evict_heavy(evict, bytes)) return 0;
    unsigned batch = evict->count / EVICT_BATCH_SHARE;
    unsigned over = crowded ? evict->count - (unsigned)evict->entries_max + 1 : 0;
    if (batch < over) batch = over;
    if (batch < 1) batch = 1;
    return batch > EVICT_BATCH_MAX ? EVICT_BATCH_MAX : batch;
}

int evict_pick(struct evict *evict, uint32_t *position)
{
    if (evict->count == evict->pinned) return RC_EMPTY;
    return evict_samples(evict) ? sample_pick(evict, position) : list_pick(evict, position);
}

void evict_yield(struct evict *evict, uint32_t position, uint64_t tag)
{
    evict_ghost_add(evict, tag);
    return_add(evict, tag);
    if (evict_samples(evict)) sample_yield(evict, position);
}

/* ---- the walk */

void evict_walk_start(struct evict *evict)
{
    evict->walk = evict_samples(evict) ? 0 : evict->tail;
}

static uint32_t walk_positions(struct evict *evict)
{
    while (evict->walk < evict->span)
        if (node_is(&evict->nodes[evict->walk++], MARK_LISTED)) return evict->walk - 1;
    return EVICT_NONE;
}

uint32_t evict_walk_next(struct evict *evict)
{
    uint32_t at = evict->walk;
    if (evict_samples(evict)) return walk_positions(evict);
    if (at != EVICT_NONE) evict->walk = evict->nodes[at].links.newer;
    return at;
}

uint32_t evict_hand(const struct evict *evict)
{
    return evict->hand;
}

void evict_hand_set(struct evict *evict, uint32_t position)
{
    if (!evict_samples(evict)) evict->hand = position;
}

/* ---- the snapshot: 4 bits of hits, 2 of class, then what samples add */

enum { SAVED_CLASS = 16, SAVED_REST = 64 };

bool evict_save(const struct evict *evict, uint32_t position, struct evict_saved *saved)
{
    const union evict_node *node = &evict->nodes[position];
    *saved = (struct evict_saved){.bits = node_hits(node) + (unsigned)node_class(node) * SAVED_CLASS,
                                  .neighbour = EVICT_NONE};
    if (evict_samples(evict)) saved->bits += sample_save(evict, position, &saved->neighbour) * SAVED_REST;
    return evict->policy != EVICT_POLICY_SIEVE || saved->bits != 0;
}

void evict_restore(struct evict *evict, uint32_t position, const struct evict_saved *saved)
{
    union evict_node *node = &evict->nodes[position];
    unsigned most = evict_samples(evict) ? EVICT_HITS_MAX : EVICT_MARK_MAX;
    unsigned hits = saved->bits % SAVED_CLASS, class = saved->bits / SAVED_CLASS % 4;
    unsigned kept = node->links.marks & (MARK_LISTED | MARK_PINNED);
    CHECK(node_is(node, MARK_LISTED));
    node->links.marks = (kept + (class <= EVICT_CHEAP ? class : EVICT_PLAIN) * MARK_CLASS) & 0xff;
    node_hits_set(node, hits < most ? hits : most);
    struct evict_saved rest = {.bits = saved->bits / SAVED_REST, .neighbour = saved->neighbour};
    if (evict_samples(evict)) sample_restore(evict, position, &rest);
    if (evict->policy == EVICT_POLICY_LRU) list_to_head(evict, position);
}

/* ---- looking */

unsigned evict_hits(const struct evict *evict, uint32_t position)
{
    return node_hits(&evict->nodes[position]);
}

enum evict_class evict_class_of(const struct evict *evict, uint32_t position)
{
    return node_class(&evict->nodes[position]);
}
