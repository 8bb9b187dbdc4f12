/* SPDX-License-Identifier: Apache-2.0 */
/* cache/space.h — pieces of any size in one region, taken and given back in constant time.
 *
 * How:     two-level segregated fit (Masmano, Ripoll, Crespo, Real: "TLSF: a new dynamic memory allocator for real-time
 *          systems", ECRTS 2004): free pieces in lists by size, eight to an octave; neighbours join at once.
 * Waste:   16 bytes a piece, and what good fit leaves (an eighth at most is skipped in the search).
 * Owner:   the caller gives the region (16-aligned, at most 32 GiB).
 * Threads: one.
 * Fails:   NULL.
 */
#ifndef CACHE_SPACE_H
#define CACHE_SPACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SPACE_ALIGN = 16, SPACE_OCTAVES = 32, SPACE_STEPS = 8 };

struct space_piece;

struct space {
    unsigned char *base;
    size_t size, used;
    uint32_t octaves; /* bit: some list of the octave has pieces */
    uint8_t steps[SPACE_OCTAVES];
    struct space_piece *lists[SPACE_OCTAVES][SPACE_STEPS];
};

void space_init(struct space *space, void *base, size_t size);
void *space_take(struct space *space, size_t size);
void space_give(struct space *space, void *memory);
/* Bytes that taking `size` needs in a row to be sure. */
size_t space_need(size_t size);

/* Pieces in the order of their addresses; NULL: from the first, and at the end. */
struct space_piece *space_next(const struct space *space, struct space_piece *piece);
bool space_is_used(const struct space_piece *piece);
size_t space_piece_size(const struct space_piece *piece);
void *space_memory(struct space_piece *piece);

#endif
