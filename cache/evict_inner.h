/* SPDX-License-Identifier: Apache-2.0 */
/* cache/evict_inner.h — what the parts of eviction share, for cache/evict*.c only.
 *
 * Marks:   1 listed, 2 pinned, 4 and 8 the class, 16 … 128 the hits counted. They lie at the same place in both kinds of node.
 */
#ifndef CACHE_EVICT_INNER_H
#define CACHE_EVICT_INNER_H

#include "cache/evict.h"

enum { MARK_LISTED = 1, MARK_PINNED = 2, MARK_CLASS = 4, MARK_HITS = 16 };
enum { EVICT_CLOCK_MASK = 4095, EVICT_AGE_MAX = 2047, EVICT_TICKS = 64 /* of a table */ };

static inline unsigned node_hits(const union evict_node *node)
{
    return node->links.marks / MARK_HITS;
}

static inline void node_hits_set(union evict_node *node, unsigned hits)
{
    node->links.marks = (node->links.marks % MARK_HITS + hits * MARK_HITS) & 0xff;
}

static inline enum evict_class node_class(const union evict_node *node)
{
    return (enum evict_class)(node->links.marks / MARK_CLASS % 4);
}

static inline bool node_is(const union evict_node *node, unsigned mark)
{
    return node->links.marks & mark;
}

void evict_hit(union evict_node *node, unsigned most);

/* evict_list.c */
void list_link(struct evict *evict, uint32_t position);
void list_unlink(struct evict *evict, uint32_t position);
void list_to_head(struct evict *evict, uint32_t position);
int list_pick(struct evict *evict, uint32_t *position);

/* evict_sample.c. Saved: how near, cluster, age */
enum { SAMPLE_CLUSTER = 16, SAMPLE_AGE = 16 * 256 };
void sample_add(struct evict *evict, uint32_t position, const struct evict_new *entry);
void sample_remove(struct evict *evict, uint32_t position);
void sample_touch(struct evict *evict, uint32_t position);
void sample_yield(struct evict *evict, uint32_t position);
int sample_pick(struct evict *evict, uint32_t *position);
uint32_t sample_save(const struct evict *evict, uint32_t position, uint32_t *neighbour);
void sample_restore(struct evict *evict, uint32_t position, const struct evict_saved *saved);

/* evict_ghost.c */
void return_add(struct evict *evict, uint64_t tag);
/* Whether it left of late; forgotten then. */
bool return_take(struct evict *evict, uint64_t tag);

#endif
