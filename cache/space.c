/* SPDX-License-Identifier: Apache-2.0 */
/* cache/space.c — sizes are kept in units of 16 bytes; a used piece of no memory ends the region. */
#include "cache/space.h"

#include <assert.h>

#include "platform/check.h"

struct space_piece {
    uint32_t units;        /* with this head */
    uint32_t before;       /* units of the piece in front, 0: none */
    uint32_t used, unused; /* flag */
    /* while free: */
    struct space_piece *next, *previous;
};

enum { HEAD = 16, UNIT = SPACE_ALIGN, PIECE_MIN = 2 /* units: head and links */ };
static_assert(offsetof(struct space_piece, next) == HEAD, "memory begins where the links are");
static_assert(sizeof(struct space_piece) <= PIECE_MIN * UNIT, "a free piece holds its links");

static struct space_piece *after(const struct space_piece *piece)
{
    return (struct space_piece *)(uintptr_t)((uintptr_t)piece + (size_t)piece->units * UNIT);
}

static struct space_piece *front(const struct space_piece *piece)
{
    return (struct space_piece *)(uintptr_t)((uintptr_t)piece - (size_t)piece->before * UNIT);
}

/* ---- lists */

static unsigned octave_of(uint32_t units)
{
    return 31 - (unsigned)__builtin_clz(units);
}

static unsigned step_of(uint32_t units, unsigned octave)
{
    return octave < 3 ? (units << (3 - octave)) & (SPACE_STEPS - 1) : (units >> (octave - 3)) & (SPACE_STEPS - 1);
}

static void list_add(struct space *space, struct space_piece *piece)
{
    unsigned octave = octave_of(piece->units), step = step_of(piece->units, octave);
    piece->used = 0;
    piece->previous = NULL;
    piece->next = space->lists[octave][step];
    if (piece->next) piece->next->previous = piece;
    space->lists[octave][step] = piece;
    space->octaves |= 1u << octave;
    space->steps[octave] |= (uint8_t)(1u << step);
}

static void list_remove(struct space *space, struct space_piece *piece)
{
    unsigned octave = octave_of(piece->units), step = step_of(piece->units, octave);
    if (piece->next) piece->next->previous = piece->previous;
    if (piece->previous)
        piece->previous->next = piece->next;
    else
        space->lists[octave][step] = piece->next;
    if (space->lists[octave][step]) return;
    space->steps[octave] &= (uint8_t) ~(1u << step);
    if (space->steps[octave] == 0) space->octaves &= ~(1u << octave);
}

/* Smallest list whose every piece is large enough. */
static uint32_t round_up(uint32_t units)
{
    unsigned octave = octave_of(units);
    return octave <= 3 ? units : units + (1u << (octave - 3)) - 1;
}

static struct space_piece *list_find(const struct space *space, uint32_t units)
{
    uint32_t rounded = round_up(units);
    unsigned octave = octave_of(rounded), step = step_of(rounded, octave);
    unsigned steps = space->steps[octave] & (0xFFu << step);
    if (steps == 0) {
        uint32_t higher = octave + 1 < SPACE_OCTAVES ? space->octaves & (~0u << (octave + 1)) : 0;
        if (higher == 0) return NULL;
        octave = (unsigned)__builtin_ctz(higher);
        steps = space->steps[octave];
    }
    return space->lists[octave][__builtin_ctz(steps)];
}

/* ---- */

void space_init(struct space *space, void *base, size_t size)
{
    *space = (struct space){.base = base, .size = size / UNIT * UNIT};
    CHECK(space->size >= 4 * UNIT);
    CHECK(space->size / UNIT <= INT32_MAX);
    struct space_piece *all = base;
    *all = (struct space_piece){.units = (uint32_t)(space->size / UNIT) - 1};
    struct space_piece *end = after(all); /* its head alone */
    end->units = 0;
    end->before = all->units;
    end->used = 1;
    list_add(space, all);
}

static uint32_t units_for(size_t size)
{
    size_t units = (size + HEAD + UNIT - 1) / UNIT;
    return units < PIECE_MIN ? PIECE_MIN : (uint32_t)units;
}

size_t space_need(size_t size)
{
    return (size_t)round_up(units_for(size)) * UNIT;
}

void *space_take(struct space *space, size_t size)
{
    if (size > space->size) return NULL;
    uint32_t units = units_for(size);
    struct space_piece *piece = list_find(space, units);
    if (!piece) return NULL;
    CHECK(piece->units >= units);
    list_remove(space, piece);
    if (piece->units - units >= PIECE_MIN) {
        struct space_piece *rest = (struct space_piece *)(void *)((unsigned char *)piece + (size_t)units * UNIT);
        rest->units = piece->units - units;
        rest->before = units;
        after(rest)->before = rest->units;
        piece->units = units;
        list_add(space, rest);
    }
    piece->used = 1;
    space->used += (size_t)piece->units * UNIT;
    return (unsigned char *)piece + HEAD;
}

void space_give(struct space *space, void *memory)
{
    struct space_piece *piece = (struct space_piece *)(void *)((unsigned char *)memory - HEAD);
    CHECK(piece->used == 1);
    space->used -= (size_t)piece->units * UNIT;
    struct space_piece *next = after(piece);
    if (!next->used) {
        list_remove(space, next);
        piece->units += next->units;
    }
    if (piece->before != 0 && !front(piece)->used) {
        struct space_piece *joined = front(piece);
        list_remove(space, joined);
        joined->units += piece->units;
        piece = joined;
    }
    after(piece)->before = piece->units;
    list_add(space, piece);
}

struct space_piece *space_next(const struct space *space, struct space_piece *piece)
{
    struct space_piece *next = piece ? after(piece) : (struct space_piece *)(void *)space->base;
    return next->units == 0 ? NULL : next;
}

bool space_is_used(const struct space_piece *piece)
{
    return piece->used;
}

size_t space_piece_size(const struct space_piece *piece)
{
    return (size_t)piece->units * UNIT;
}

void *space_memory(struct space_piece *piece)
{
    return (unsigned char *)piece + HEAD;
}
