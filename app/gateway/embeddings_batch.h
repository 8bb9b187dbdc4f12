/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/embeddings_batch.h — what one embeddings request asks for, input by input, and how far its answer is.
 *
 * Owner:   the request's arena.
 * Threads: lane only.
 */
#ifndef GATEWAY_EMBEDDINGS_BATCH_H
#define GATEWAY_EMBEDDINGS_BATCH_H

#include "app/gateway/flight.h"
#include "cache/cache.h"

struct embeddings_item {
    struct digest digest;
    struct cache_found found;
    struct span query;  /* the text's beginning, for who looks at the store; empty for tokens */
    struct span vector; /* empty: not known yet */
    bool stored;        /* there is an entry, fresh or not */
    bool fresh;         /* the vector has just come */
};

struct embeddings_batch {
    struct request *r;
    struct span scope;
    struct embeddings_item *items;
    unsigned count, missing, hits;
    bool single, base64, lookup, keep;
    uint64_t dimensions;
    int64_t age_s, ttl_s; /* of the oldest one served; what is left of the shortest */
    bool stale;
    /* of the calls */
    struct flight_fetched fetched;
    unsigned calls;
    struct span usage, model; /* in the arena */
    int64_t prompt_tokens, total_tokens;
};

/* RC_OK, RC_FULL, or why it passes. Nothing points into the scratch afterwards. */
int embeddings_batch_read(struct embeddings_batch *b);
/* Bytes that a provider's reply has at most for one input, as far as can be said beforehand. */
size_t embeddings_reply_size(const struct embeddings_batch *b);

#endif
