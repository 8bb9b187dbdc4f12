/* SPDX-License-Identifier: Apache-2.0 */
/* cache/evict_sample.c — mmr and cluster: the worst of a random pool, by age, hits, dearness, neighbours. */
#include "cache/evict_inner.h"
#include "platform/check.h"
#include "platform/rc.h"

enum {
    NEAR_MAX = 15,
    COVER_NEAR = 8, /* a neighbour from here on (cosine 0.85) finds the same askers */
    POOL_TRIES = 4, /* positions looked at for one of the pool, on average at most */
};

static union evict_node *node_at(const struct evict *evict, uint32_t position)
{
    return &evict->nodes[position];
}

/* ---- time */

static uint32_t age_of(const struct evict *evict, const union evict_node *node)
{
    return (evict->clock - node->place.clock) & EVICT_CLOCK_MASK;
}

static void age_set(const struct evict *evict, union evict_node *node, uint32_t age)
{
    node->place.clock = (evict->clock - age) & EVICT_CLOCK_MASK;
}

/* One entry a turn, so that no age runs over and old hits fade. */
static void sweep_one(struct evict *evict)
{
    if (evict->sweep >= evict->span) evict->sweep = 0;
    union evict_node *node = node_at(evict, evict->sweep++);
    if (!node_is(node, MARK_LISTED)) return;
    if (age_of(evict, node) > EVICT_AGE_MAX) age_set(evict, node, EVICT_AGE_MAX);
    if (age_of(evict, node) >= EVICT_TICKS && node_hits(node) > 0) node_hits_set(node, node_hits(node) - 1);
}

static void time_passes(struct evict *evict)
{
    uint32_t tick = evict->span / EVICT_TICKS;
    sweep_one(evict);
    if (++evict->ticks < tick) return;
    evict->ticks = 0;
    evict->clock = (evict->clock + 1) & EVICT_CLOCK_MASK;
}

/* ---- neighbours: a pointer counts while both are of one cluster, so one to a position that went to another is void, but for
 * one of as many as there are clusters; of mmr, which lives by it, these are always EVICT_CLUSTERS_MAX */

static bool is_neighbour(const struct evict *evict, uint32_t position, uint32_t other)
{
    if (other >= evict->span || other == position) return false;
    const union evict_node *node = node_at(evict, other);
    return node_is(node, MARK_LISTED) && node->place.cluster == node_at(evict, position)->place.cluster;
}

static unsigned near_of(const struct evict *evict, uint32_t position)
{
    const struct evict_place *place = &node_at(evict, position)->place;
    return is_neighbour(evict, position, place->neighbour) ? place->near : 0;
}

static void neighbour_set(struct evict *evict, uint32_t position, uint32_t other, unsigned near)
{
    struct evict_place *place = &node_at(evict, position)->place;
    place->neighbour = other & EVICT_NONE;
    place->near = near & NEAR_MAX;
}

static unsigned near_from(float score)
{
    float steps = (score - EVICT_NEAR) / (1 - EVICT_NEAR) * (NEAR_MAX - 1);
    return steps >= NEAR_MAX - 1 ? NEAR_MAX : 1 + (unsigned)steps;
}

static bool has_neighbour(const struct evict *evict, uint32_t position, const struct evict_new *entry)
{
    return entry->score >= EVICT_NEAR && entry->neighbour < evict->span && entry->neighbour != position &&
           node_is(node_at(evict, entry->neighbour), MARK_LISTED);
}

/* ---- entries */

void sample_add(struct evict *evict, uint32_t position, const struct evict_new *entry)
{
    struct evict_place *place = &node_at(evict, position)->place;
    bool joins = has_neighbour(evict, position, entry);
    unsigned clusters = evict->policy == EVICT_POLICY_MMR ? EVICT_CLUSTERS_MAX : evict->clusters;
    place->cluster = joins ? node_at(evict, entry->neighbour)->place.cluster
                           : (unsigned)((entry->tag >> 16) % clusters) & 0xff;
    evict->cluster_count[place->cluster]++;
    place->clock = evict->clock & EVICT_CLOCK_MASK;
    neighbour_set(evict, position, EVICT_NONE, 0);
    if (joins) {
        unsigned near = near_from(entry->score);
        neighbour_set(evict, position, entry->neighbour, near);
        if (near > near_of(evict, entry->neighbour)) neighbour_set(evict, entry->neighbour, position, near);
    }
    time_passes(evict);
}

void sample_remove(struct evict *evict, uint32_t position)
{
    unsigned cluster = node_at(evict, position)->place.cluster;
    CHECK(evict->cluster_count[cluster] > 0);
    evict->cluster_count[cluster]--;
}

void sample_touch(struct evict *evict, uint32_t position)
{
    union evict_node *node = node_at(evict, position);
    node->place.clock = evict->clock & EVICT_CLOCK_MASK;
    evict_hit(node, EVICT_HITS_MAX);
    time_passes(evict);
}

void sample_yield(struct evict *evict, uint32_t position)
{
    const union evict_node *node = node_at(evict, position);
    uint32_t other = node->place.neighbour;
    if (near_of(evict, position) == 0) return;
    union evict_node *heir = node_at(evict, other);
    if (heir->place.neighbour == position) neighbour_set(evict, other, EVICT_NONE, 0);
    if (node->place.near < COVER_NEAR) return;
    unsigned hits = node_hits(heir) + node_hits(node);
    node_hits_set(heir, hits < EVICT_HITS_MAX ? hits : EVICT_HITS_MAX);
    if (age_of(evict, node) < age_of(evict, heir)) heir->place.clock = node->place.clock;
}

/* ---- victims: the higher, the sooner it leaves */

static int64_t rank_mmr(const struct evict *evict, uint32_t position)
{
    static const unsigned dearness[4] = {[EVICT_PLAIN] = 2, [EVICT_DEAR] = 4, [EVICT_CHEAP] = 1};
    const union evict_node *node = node_at(evict, position);
    uint64_t recency = 4096 * EVICT_TICKS / (EVICT_TICKS + age_of(evict, node));
    uint64_t w = recency * (1 + node_hits(node)) * dearness[node_class(node)] / 2;
    int64_t worth = (int64_t)(4096 * w / (4096 + w));
    int64_t near = near_of(evict, position);
    int64_t redundancy = 4096 * near * near * near / (NEAR_MAX * NEAR_MAX * NEAR_MAX);
    return (EVICT_LAMBDA_ONE - (int64_t)evict->lambda) * redundancy - (int64_t)evict->lambda * worth;
}

/* One of a cluster above the mean before any other, then the longest unused for its hits. */
static int64_t rank_cluster(const struct evict *evict, uint32_t position)
{
    const union evict_node *node = node_at(evict, position);
    bool large = (uint64_t)evict->cluster_count[node->place.cluster] * evict->clusters >= evict->count;
    return (large ? INT64_C(1) << 32 : 0) + 4096 * (int64_t)age_of(evict, node) / (1 + node_hits(node));
}

static uint32_t random_position(struct evict *evict)
{
    evict->random ^= evict->random << 13;
    evict->random ^= evict->random >> 7;
    evict->random ^= evict->random << 17;
    return (uint32_t)((evict->random >> 32) * evict->span >> 32);
}

static bool may_leave(const struct evict *evict, uint32_t position)
{
    return (node_at(evict, position)->links.marks & (MARK_LISTED | MARK_PINNED)) == MARK_LISTED;
}

/* A table of holes or of pinned entries: the next that may leave. */
static uint32_t next_that_may(struct evict *evict)
{
    uint32_t at = random_position(evict);
    while (!may_leave(evict, at)) {
        at = at + 1 < evict->span ? at + 1 : 0;
        evict->steps++;
    }
    return at;
}

int sample_pick(struct evict *evict, uint32_t *position)
{
    int64_t (*rank)(const struct evict *, uint32_t) = evict->policy == EVICT_POLICY_MMR ? rank_mmr : rank_cluster;
    int64_t highest = INT64_MIN;
    unsigned pool = 0;
    for (unsigned tries = 0; tries < EVICT_POOL * POOL_TRIES && pool < EVICT_POOL; tries++) {
        uint32_t at = random_position(evict);
        evict->steps++;
        if (!may_leave(evict, at)) continue;
        int64_t this = rank(evict, at);
        if (this > highest) *position = at;
        if (this > highest) highest = this;
        pool++;
    }
    if (pool == 0) *position = next_that_may(evict);
    return RC_OK;
}

/* ---- the snapshot */

uint32_t sample_save(const struct evict *evict, uint32_t position, uint32_t *neighbour)
{
    const union evict_node *node = node_at(evict, position);
    unsigned near = near_of(evict, position);
    if (near > 0) *neighbour = node->place.neighbour;
    return near + node->place.cluster * SAMPLE_CLUSTER + age_of(evict, node) * SAMPLE_AGE;
}

/* Of two neighbours one is put back first: its pointer counts as soon as the other has its cluster again. */
void sample_restore(struct evict *evict, uint32_t position, const struct evict_saved *saved)
{
    union evict_node *node = node_at(evict, position);
    unsigned cluster = saved->bits / SAMPLE_CLUSTER % 256;
    sample_remove(evict, position);
    node->place.cluster = cluster & 0xff;
    evict->cluster_count[cluster]++;
    age_set(evict, node, saved->bits / SAMPLE_AGE);
    neighbour_set(evict, position, saved->neighbour, saved->bits % SAMPLE_CLUSTER);
}
