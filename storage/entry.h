/* SPDX-License-Identifier: Apache-2.0 */
/* storage/entry.h — what an entry of the store is: its identity and what is known of it besides its texts.
 *
 * Owner:   plain values, copied.
 * Here and not in cache/cache.h: the store's rows hold the same fields, and storage never includes cache.
 */
#ifndef STORAGE_ENTRY_H
#define STORAGE_ENTRY_H

#include "platform/span.h"

enum { DIGEST_SIZE = 32, ENTRY_TENANT_SIZE = 16, ENTRY_NAME_MAX = 64, ENTRY_QUERY_MAX = 4096 };

struct digest {
    unsigned char bytes[DIGEST_SIZE];
};

enum entry_form { ENTRY_OBJECT = 0, ENTRY_STREAM = 1 };

enum entry_flags {
    ENTRY_TOOL_CALLS = 1, /* exact hits only, never semantic */
    ENTRY_FALLBACK = 2,   /* answered by a later link of a chain */
    ENTRY_PINNED = 4,     /* never evicted */
    ENTRY_SEALED = 8,     /* body and query are sealed (storage issue) */
    ENTRY_WORDED = 16,    /* set by the store: it has a space, other words may find it */
    ENTRY_SHARED = 32,    /* set by the store: its code is made with the box's rotation */
};

/* What is known of an entry besides its texts; the same fields stand in its stored header. */
struct entry_meta {
    uint64_t id;
    uint64_t created_us;            /* wall */
    uint32_t ttl_s;                 /* 0: never fresh */
    uint8_t dialect;                /* app's enum dialect */
    uint8_t form;                   /* enum entry_form: how it was recorded */
    uint8_t flags;                  /* enum entry_flags */
    uint8_t chain_link;             /* which link of the route's chain answered, 0 first */
    uint32_t upstream_ms;           /* what the call took: to the last byte */
    uint32_t tokens_in, tokens_out; /* all input, cached or not */
    uint32_t cost;                  /* micro-USD that the call cost; 0: nothing, or its price is not known */
    uint32_t key_id;                /* of the sealing key; 0: not sealed */
    uint8_t tenant[ENTRY_TENANT_SIZE];
    char provider[ENTRY_NAME_MAX]; /* terminated */
    char model[ENTRY_NAME_MAX];    /* that answered; terminated, cut when longer */
};

/* What makes an entry findable in other words; stored beside it. */
struct entry_vector {
    uint64_t space;       /* keyed hash of everything but the query's text, without the embedder; 0: exact only */
    uint64_t space_tag;   /* of (space, embedder's tag): the namespace whose codes are scanned */
    bool shared;          /* coded with the box's rotation, for every tenant of the space */
    uint64_t code[4];     /* cache/rotate.h */
    unsigned dim;         /* 0: the embedder did not answer; background work makes the code later */
    const int8_t *vector; /* dim bytes */
    float scale;          /* 1 / length of the int8 vector */
    struct span guard;    /* the question as the guards read it (cache/guard.h), may be empty */
    uint64_t nearest;     /* entry whose code was nearest when this one was asked; 0: none */
    float nearest_score;  /* its cosine */
};

#endif
