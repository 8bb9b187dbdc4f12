/* SPDX-License-Identifier: Apache-2.0 */
/* platform/arena_san.c — the arena of sanitizer builds: every piece lies alone between poisoned gaps, and what was rewound
 * or reset is poisoned again. Same results as arena.c, save that the gaps count as used. */
#include "platform/arena.h"

#include <sanitizer/asan_interface.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "platform/check.h"
#include "platform/rc.h"

enum { GAP = 16 };

static size_t round_up(size_t size, size_t align)
{
    return (size + align - 1) & ~(align - 1);
}

static size_t page_up(size_t size)
{
    return round_up(size, (size_t)sysconf(_SC_PAGESIZE));
}

static int budget_charge(struct arena_budget *budget, size_t bytes)
{
    if (!budget) return RC_OK;
    size_t used = atomic_fetch_add(&budget->used, bytes) + bytes;
    if (used > budget->limit) {
        atomic_fetch_sub(&budget->used, bytes);
        return RC_FULL;
    }
    size_t high = atomic_load(&budget->high);
    while (used > high && !atomic_compare_exchange_weak(&budget->high, &high, used)) {}
    return RC_OK;
}

void arena_init(struct arena *arena, void *base, size_t reserved, struct arena_budget *budget)
{
    CHECK(reserved == page_up(reserved));
    CHECK(((uintptr_t)base & ((uintptr_t)sysconf(_SC_PAGESIZE) - 1)) == 0);
    *arena = (struct arena){.base = base, .reserved = reserved, .budget = budget};
    ASAN_POISON_MEMORY_REGION(base, reserved);
}

static int advance(struct arena *arena, size_t end)
{
    size_t wanted = page_up(end);
    if (wanted > arena->committed) {
        if (budget_charge(arena->budget, wanted - arena->committed) != RC_OK) return RC_FULL;
        arena->committed = wanted;
    }
    arena->used = end;
    if (end > arena->high) arena->high = end;
    return RC_OK;
}

/* A piece starts on a multiple of 16, so that its last byte is where its poison starts. */
void *arena_take(struct arena *arena, size_t size, size_t align)
{
    size_t gap = arena->used > 0 ? GAP : 0;
    size_t start = round_up(arena->used + gap, align > GAP ? align : GAP);
    if (start > arena->reserved || size > arena->reserved - start) return NULL;
    if (advance(arena, start + size) != RC_OK) return NULL;
    ASAN_UNPOISON_MEMORY_REGION(arena->base + start, size);
    return arena->base + start;
}

void *arena_take_zeroed(struct arena *arena, size_t size, size_t align)
{
    void *piece = arena_take(arena, size, align);
    if (piece) memset(piece, 0, size);
    return piece;
}

int arena_extend(struct arena *arena, void *piece, size_t old_size, size_t new_size)
{
    size_t start = (size_t)((unsigned char *)piece - arena->base);
    CHECK(start + old_size == arena->used);
    if (new_size > arena->reserved - start || advance(arena, start + new_size) != RC_OK) return RC_FULL;
    if (new_size < old_size) ASAN_POISON_MEMORY_REGION(arena->base + start + new_size, old_size - new_size);
    ASAN_UNPOISON_MEMORY_REGION(arena->base + start, new_size);
    return RC_OK;
}

struct span arena_copy(struct arena *arena, struct span s)
{
    char *copy = arena_take(arena, s.size + 1, 1);
    if (!copy) return span_of(NULL, 0);
    if (s.size > 0) memcpy(copy, s.data, s.size);
    copy[s.size] = '\0';
    return span_of(copy, s.size);
}

size_t arena_mark(const struct arena *arena)
{
    return arena->used;
}

void arena_rewind(struct arena *arena, size_t mark)
{
    CHECK(mark <= arena->used);
    ASAN_POISON_MEMORY_REGION(arena->base + mark, arena->used - mark);
    arena->used = mark;
}

void arena_reset(struct arena *arena, size_t keep)
{
    arena_rewind(arena, 0);
    size_t kept = page_up(keep);
    if (arena->committed <= kept) return;
    size_t back = arena->committed - kept;
    CHECK(madvise(arena->base + kept, back, MADV_DONTNEED) == 0);
    if (arena->budget) atomic_fetch_sub(&arena->budget->used, back);
    arena->committed = kept;
}
