/* SPDX-License-Identifier: Apache-2.0 */
/* platform/arena.h — memory that is taken piece by piece and freed as a whole.
 *
 * Owner:   whoever holds the arena; its address range was reserved at boot.
 * Threads: one at a time (a fiber may lend its arena to the offloaded job it waits for). The shared budget is lane only,
 *          except that a job may draw on it through its arena: it is atomic.
 * Fails:   NULL when the range or the shared budget is exhausted; nothing changes then.
 * Sanitizer twin: arena_san.c hands every piece out separately with poisoned gaps between.
 */
#ifndef PLATFORM_ARENA_H
#define PLATFORM_ARENA_H

#include <stdatomic.h>
#include <stddef.h>

#include "platform/span.h"

/* Pages committed by all arenas that share it, in bytes. */
struct arena_budget {
    size_t limit;
    _Atomic size_t used;
    _Atomic size_t high;
};

struct arena {
    unsigned char *base;
    size_t reserved;  /* bytes of address space, whole pages */
    size_t committed; /* bytes charged to the budget, whole pages */
    size_t used;
    size_t high;                 /* most ever used */
    struct arena_budget *budget; /* NULL: none */
};

/* Puts an arena on `reserved` bytes at `base` (page aligned, from plan_take). */
void arena_init(struct arena *arena, void *base, size_t reserved, struct arena_budget *budget);

/* `align` is a power of two up to 64. The bytes are not cleared. */
void *arena_take(struct arena *arena, size_t size, size_t align);
void *arena_take_zeroed(struct arena *arena, size_t size, size_t align);

/* Grows the newest piece in place (its address stays). `piece` must be the last one taken. */
int arena_extend(struct arena *arena, void *piece, size_t old_size, size_t new_size);

/* Copies; a NUL follows that is not counted. data == NULL when there is no room. */
struct span arena_copy(struct arena *arena, struct span s);

/* Marks and returns to a mark: everything taken since is gone. */
size_t arena_mark(const struct arena *arena);
void arena_rewind(struct arena *arena, size_t mark);

/* Empties; pages above `keep` bytes go back to the system and to the budget. */
void arena_reset(struct arena *arena, size_t keep);

#define ARENA_NEW(arena, type) ((type *)arena_take_zeroed((arena), sizeof(type), _Alignof(type)))

#endif
