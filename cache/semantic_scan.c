/* SPDX-License-Identifier: Apache-2.0 */
/* cache/semantic_scan.c — pending first, then the blocks in the map: what is committed in between is seen twice, not never. */
#include "cache/semantic_scan.h"

#include <math.h>

#include "cache/inner.h"
#include "cache/rescore.h"
#include "platform/check.h"
#include "platform/rc.h"

enum { BLOCKS_AT_ONCE = 128 };

/* ---- scanning */

static int scan_pending(struct scan *scan, uint64_t space_tag, const uint64_t code[4])
{
    struct pending *pending = &cache_self.pending;
    scan->pending_count = 0;
    if (atomic_load(&pending->count) == 0) return RC_OK;
    uint64_t(*codes)[4] = scan->pending_codes = arena_take(scan->arena, PENDING_MAX * sizeof *codes, 64);
    scan->pending_ids = arena_take(scan->arena, PENDING_MAX * sizeof scan->pending_ids[0], 8);
    if (!codes || !scan->pending_ids) return RC_FULL;
    scan->pending_count = pending_collect(pending, space_tag, scan->pending_ids, codes);
    hamming_scan(code, codes, scan->pending_count, &scan->top);
    return RC_OK;
}

static int remember_block(struct scan *scan, const struct codes_block *block)
{
    if (scan->block_count == scan->blocks_room) {
        size_t size = scan->blocks_room * sizeof scan->blocks[0], more = BLOCKS_AT_ONCE * sizeof scan->blocks[0];
        if (size == 0) scan->blocks = arena_take(scan->arena, more, 8);
        if (!scan->blocks || (size > 0 && arena_extend(scan->arena, scan->blocks, size, size + more) != RC_OK))
            return RC_FULL;
        scan->blocks_room += BLOCKS_AT_ONCE;
    }
    scan->blocks[scan->block_count++] =
        (struct scan_block){.start = scan->top.scanned, .number = block->number, .codes = block->codes};
    return RC_OK;
}

/* The living codes of a block, close together. */
static unsigned gather_living(struct scan *scan, const struct codes_block *block, unsigned char *to)
{
    struct codes_slot slot;
    unsigned count = 0;
    for (unsigned i = 0; i < block->count; i++) {
        int rc = codes_walk_slot(&scan->walk, block->number, i, &slot);
        if (rc != RC_OK && rc != RC_NOT_FOUND) break;
        if (rc == RC_OK)
            memcpy(to + (size_t)count++ * CODES_CODE_SIZE, (const char *)block->codes + (size_t)i * CODES_CODE_SIZE,
                   CODES_CODE_SIZE);
    }
    return count;
}

static int scan_blocks(struct scan *scan, const uint64_t code[4])
{
    struct codes_block block;
    unsigned char *dense = NULL;
    int rc;
    if (scan->living) dense = arena_take(scan->arena, (size_t)CODES_BLOCK * CODES_CODE_SIZE, 64);
    if (scan->living && !dense) return RC_FULL;
    scan->block_count = scan->blocks_room = 0;
    while ((rc = codes_walk_next(&scan->walk, &block)) == RC_OK) {
        unsigned count = dense ? gather_living(scan, &block, dense) : block.count;
        if (count == 0) continue;
        rc = remember_block(scan, &block);
        if (rc != RC_OK) return rc;
        hamming_scan(code, dense ? (const void *)dense : block.codes, count, &scan->top);
    }
    return rc == RC_NOT_FOUND ? RC_OK : rc;
}

/* ---- from places to candidates */

static const struct scan_block *block_of(const struct scan *scan, uint32_t place)
{
    unsigned low = 0, high = scan->block_count;
    while (high - low > 1) {
        unsigned middle = (low + high) / 2;
        if (scan->blocks[middle].start <= place)
            low = middle;
        else
            high = middle;
    }
    return &scan->blocks[low];
}

/* The n-th living place of a block. */
static unsigned living_place(struct scan *scan, unsigned number, unsigned n)
{
    struct codes_slot slot;
    for (unsigned i = 0; i < CODES_BLOCK; i++)
        if (codes_walk_slot(&scan->walk, number, i, &slot) == RC_OK && n-- == 0) return i;
    return CODES_BLOCK;
}

static bool candidate_of(struct scan *scan, const struct hamming_hit *hit, struct scan_candidate *candidate)
{
    struct codes_slot slot;
    *candidate = (struct scan_candidate){.distance = hit->distance, .number = SCAN_PENDING};
    if (hit->place < scan->pending_count) {
        candidate->id = scan->pending_ids[hit->place];
        candidate->code = scan->pending_codes[hit->place];
        return true;
    }
    const struct scan_block *block = block_of(scan, hit->place);
    candidate->number = block->number;
    candidate->place = hit->place - block->start;
    if (scan->living) candidate->place = living_place(scan, block->number, candidate->place);
    if (codes_walk_slot(&scan->walk, block->number, candidate->place, &slot) != RC_OK) return false;
    candidate->id = codes_slot_id(&slot);
    candidate->random = slot.random;
    candidate->code = block->codes + (size_t)candidate->place * CODES_CODE_SIZE;
    candidate->vector_place = slot.vector;
    return true;
}

/* What was committed while this ran is in both places. */
static bool is_known(const struct scan *scan, uint64_t id)
{
    for (unsigned i = 0; scan->pending_count > 0 && i < scan->count; i++)
        if (scan->candidates[i].id == id) return true;
    return false;
}

static unsigned find_candidates(struct scan *scan, unsigned wanted)
{
    unsigned dead = 0;
    hamming_top_finish(&scan->top);
    scan->count = 0;
    for (unsigned i = 0; i < scan->top.count && scan->count < wanted; i++) {
        struct scan_candidate *candidate = &scan->candidates[scan->count];
        if (!candidate_of(scan, &scan->top.hits[i], candidate))
            dead++;
        else if (!is_known(scan, candidate->id))
            scan->count++;
    }
    return dead;
}

static int scan_once(struct scan *scan, uint64_t space_tag, const uint64_t code[4], unsigned wanted)
{
    unsigned k = wanted + SCAN_SPARE < HAMMING_TOP_MAX ? wanted + SCAN_SPARE : HAMMING_TOP_MAX;
    hamming_top_start(&scan->top, k);
    int rc = scan_pending(scan, space_tag, code);
    if (rc != RC_OK) return rc;
    rc = codes_walk_begin(&cache_self.codes, space_tag, &scan->walk);
    scan->walks = rc == RC_OK;
    return scan->walks ? scan_blocks(scan, code) : RC_OK; /* without the index what waits in RAM is found */
}

int scan_begin(struct scan *scan, uint64_t space_tag, const uint64_t code[4], unsigned wanted, struct arena *arena)
{
    *scan = (struct scan){.arena = arena};
    CHECK(wanted <= HAMMING_TOP_MAX);
    scan->candidates = arena_take(arena, wanted * sizeof scan->candidates[0], 8);
    int rc = scan->candidates ? scan_once(scan, space_tag, code, wanted) : RC_FULL;
    scan->scanned = scan->top.scanned;
    if (rc == RC_OK && find_candidates(scan, wanted) > 0 && scan->count < wanted && scan->top.count == scan->top.k) {
        scan_end(scan);
        scan->living = true;
        rc = scan_once(scan, space_tag, code, wanted);
        scan->scanned += scan->top.scanned;
        if (rc == RC_OK) (void)find_candidates(scan, wanted);
    }
    if (rc != RC_OK) scan_end(scan);
    return rc;
}

void scan_end(struct scan *scan)
{
    if (scan->walks) codes_walk_end(&scan->walk);
    scan->walks = false;
}

/* ---- vectors */

int scan_vector(struct scan *scan, struct scan_candidate *candidate, unsigned dim)
{
    unsigned found;
    if (candidate->number == SCAN_PENDING) {
        int8_t *copy = arena_take(scan->arena, dim, 64);
        if (!copy) return RC_FULL;
        int rc = pending_vector(&cache_self.pending, candidate->id, dim, copy);
        candidate->vector = copy;
        candidate->crc = crc32c(0, copy, dim);
        return rc == RC_NOT_FOUND ? RC_AGAIN : rc;
    }
    struct codes_slot slot = {.vector = candidate->vector_place};
    int rc = codes_walk_vector(&scan->walk, &slot, candidate->place, &candidate->vector, &found, &candidate->crc);
    return rc == RC_OK && found == dim ? RC_OK : RC_NOT_FOUND;
}

static void sort_by_score(struct scan_candidate *candidates, unsigned count)
{
    for (unsigned i = 1; i < count; i++) {
        struct scan_candidate one = candidates[i];
        unsigned at = i;
        for (; at > 0 && candidates[at - 1].score < one.score; at--) candidates[at] = candidates[at - 1];
        candidates[at] = one;
    }
}

/* The length of a stored vector follows from its bytes. */
static void score_all(struct scan *scan, const int8_t *vector, unsigned dim, float scale)
{
    const int8_t *vectors[HAMMING_TOP_MAX];
    int32_t dots[HAMMING_TOP_MAX], square;
    for (unsigned i = 0; i < scan->count; i++) vectors[i] = scan->candidates[i].vector;
    rescore_dots(vector, vectors, scan->count, dim, dots);
    for (unsigned i = 0; i < scan->count; i++) {
        rescore_dots(vectors[i], &vectors[i], 1, dim, &square);
        scan->candidates[i].score = square > 0 ? (float)dots[i] * scale / sqrtf((float)square) : 0;
    }
}

int scan_rescore(struct scan *scan, const int8_t *vector, unsigned dim, float scale)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < scan->count; i++) {
        int rc = scan_vector(scan, &scan->candidates[i], dim);
        if (rc == RC_AGAIN || rc == RC_FULL) return rc;
        if (rc == RC_OK) scan->candidates[kept++] = scan->candidates[i];
    }
    scan->count = kept;
    score_all(scan, vector, dim, scale);
    sort_by_score(scan->candidates, kept);
    return RC_OK;
}
