/* SPDX-License-Identifier: Apache-2.0 */
/* cache/evict_list.c — sieve and lru: one list, two ways to read it. */
#include "cache/evict_inner.h"
#include "platform/rc.h"

void list_link(struct evict *evict, uint32_t position)
{
    struct evict_links *links = &evict->nodes[position].links;
    links->newer = EVICT_NONE;
    links->older = evict->head & EVICT_NONE;
    if (evict->head != EVICT_NONE)
        evict->nodes[evict->head].links.newer = position & EVICT_NONE;
    else
        evict->tail = position;
    evict->head = position;
}

void list_unlink(struct evict *evict, uint32_t position)
{
    const struct evict_links *links = &evict->nodes[position].links;
    if (evict->hand == position) evict->hand = links->newer;
    if (evict->walk == position) evict->walk = links->newer;
    if (links->newer != EVICT_NONE)
        evict->nodes[links->newer].links.older = links->older;
    else
        evict->head = links->older;
    if (links->older != EVICT_NONE)
        evict->nodes[links->older].links.newer = links->newer;
    else
        evict->tail = links->newer;
}

void list_to_head(struct evict *evict, uint32_t position)
{
    if (evict->head == position) return;
    list_unlink(evict, position);
    list_link(evict, position);
}

/* A cheap entry needs a second mark to be spared. */
static bool is_spared(const union evict_node *node)
{
    return node_hits(node) > (node_class(node) == EVICT_CHEAP ? 1 : 0);
}

static int pick_sieve(struct evict *evict, uint32_t *position)
{
    uint32_t at = evict->hand != EVICT_NONE ? evict->hand : evict->tail;
    uint32_t spare = EVICT_NONE;
    for (uint32_t step = 0; step < (EVICT_MARK_MAX + 1) * evict->count; step++) {
        union evict_node *node = &evict->nodes[at];
        bool pinned = node_is(node, MARK_PINNED);
        evict->steps++;
        if (!pinned && !is_spared(node)) {
            evict->hand = at; /* moves on when the caller removes it */
            *position = at;
            return RC_OK;
        }
        if (node_hits(node) > 0) node_hits_set(node, node_hits(node) - 1);
        if (!pinned && spare == EVICT_NONE) spare = at;
        if (step >= EVICT_STEPS_MAX && spare != EVICT_NONE) break;
        at = node->links.newer != EVICT_NONE ? node->links.newer : evict->tail;
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
        evict->steps++;
        if (!node_is(&evict->nodes[at], MARK_PINNED)) {
            *position = at;
            return RC_OK;
        }
        list_to_head(evict, at); /* pinned ones do not stand in the way next time */
    }
    return RC_EMPTY;
}

int list_pick(struct evict *evict, uint32_t *position)
{
    return evict->policy == EVICT_POLICY_SIEVE ? pick_sieve(evict, position) : pick_lru(evict, position);
}
