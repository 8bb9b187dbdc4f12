/* SPDX-License-Identifier: Apache-2.0 */
/* platform/arena.c — bump pointer over a reserved range; pages are charged as the pointer passes them. */
#include "platform/arena.h"

#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "platform/check.h"
#include "platform/rc.h"

static size_t page_up(size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return (size + page - 1) & ~(page - 1);
}

static int budget_charge(struct arena_budget *budget, size_t bytes)
{
    if (!budget) return RC_OK;
    size_t used = atomic_fetch_add_explicit(&budget->used, bytes, memory_order_relaxed) + bytes;
    if (used > budget->limit) {
        atomic_fetch_sub_explicit(&budget->used, bytes, memory_order_relaxed);
        return RC_FULL;
    }
    size_t high = atomic_load_explicit(&budget->high, memory_order_relaxed);
    while (used > high && !atomic_compare_exchange_weak_explicit(&budget->high, &high, used, memory_order_relaxed,
                                                                 memory_order_relaxed)) {}
    return RC_OK;
}

void arena_init(struct arena *arena, void *base, size_t reserved, struct arena_budget *budget)
{
    CHECK(reserved == page_up(reserved));
    CHECK(((uintptr_t)base & ((uintptr_t)sysconf(_SC_PAGESIZE) - 1)) == 0);
    *arena = (struct arena){.base = base, .reserved = reserved, .budget = budget};
}

/* Makes bytes up to `end` usable; `end` was found to be within the range. */
__attribute__((noinline)) static int commit_slow(struct arena *arena, size_t end)
{
    size_t wanted = page_up(end);
    int rc = budget_charge(arena->budget, wanted - arena->committed);
    if (rc == RC_OK) arena->committed = wanted;
    return rc;
}

static int advance(struct arena *arena, size_t end)
{
    if (end > arena->committed && commit_slow(arena, end) != RC_OK) return RC_FULL;
    arena->used = end;
    if (end > arena->high) arena->high = end;
    return RC_OK;
}

void *arena_take(struct arena *arena, size_t size, size_t align)
{
    size_t start = (arena->used + align - 1) & ~(align - 1);
    if (start > arena->reserved || size > arena->reserved - start) return NULL;
    if (advance(arena, start + size) != RC_OK) return NULL;
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
    if (new_size > arena->reserved - start) return RC_FULL;
    return advance(arena, start + new_size);
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
    arena->used = mark;
}

void arena_reset(struct arena *arena, size_t keep)
{
    arena->used = 0;
    size_t kept = page_up(keep);
    if (arena->committed <= kept) return;
    size_t back = arena->committed - kept;
    CHECK(madvise(arena->base + kept, back, MADV_DONTNEED) == 0);
    if (arena->budget) atomic_fetch_sub_explicit(&arena->budget->used, back, memory_order_relaxed);
    arena->committed = kept;
}
