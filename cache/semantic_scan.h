/* SPDX-License-Identifier: Apache-2.0 */
/* cache/semantic_scan.h — candidates of one namespace by their codes, then by their vectors; for cache/semantic*.c only.
 *
 * Owner:   the caller owns struct scan; what it needs lies in the arena until the caller rewinds it.
 * Threads: a worker. From scan_begin to scan_end a read transaction on the codes is open: no wait in between.
 * Dead:    tombstones are scanned with the others; when they crowd out living ones the namespace is scanned once more
 *          without them.
 */
#ifndef CACHE_SEMANTIC_SCAN_H
#define CACHE_SEMANTIC_SCAN_H

#include "cache/hamming.h"
#include "platform/arena.h"
#include "storage/codes.h"
#include "storage/pending.h"

enum { SCAN_SPARE = 8 /* hits above those wanted, for the dead among them */ };
#define SCAN_PENDING UINT32_MAX /* number of what is not committed */

struct scan_candidate {
    uint64_t id;
    uint32_t distance, random;
    uint32_t number, place;
    uint32_t vector_place; /* names its vector in the index */
    float score;
    uint32_t crc;
    const int8_t *vector;
    const void *code; /* 32 bytes */
};

struct scan_block {
    uint32_t start, number;
    const char *codes;
};

struct scan {
    struct arena *arena;
    struct codes_walk walk;
    bool walks; /* the index is open */
    bool living;
    struct hamming_top top;
    struct scan_block *blocks;
    unsigned block_count, blocks_room;
    unsigned pending_count;
    uint64_t *pending_ids;
    uint64_t (*pending_codes)[4];
    struct scan_candidate *candidates;
    unsigned count;
    uint32_t scanned;
};

/* The `wanted` nearest, nearest first, in scan->candidates. RC_FULL: the arena has no room. Ends by itself unless RC_OK. */
int scan_begin(struct scan *scan, uint64_t space_tag, const uint64_t code[4], unsigned wanted, struct arena *arena);
/* Sorts them by cosine, best first; those without a vector of this dim go. RC_AGAIN: one was committed meanwhile, begin
 * again. */
int scan_rescore(struct scan *scan, const int8_t *vector, unsigned dim, float scale);
/* One's vector; RC_NOT_FOUND: none of this dim, RC_AGAIN as above. */
int scan_vector(struct scan *scan, struct scan_candidate *candidate, unsigned dim);
void scan_end(struct scan *scan);

#endif
