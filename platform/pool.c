/* SPDX-License-Identifier: Apache-2.0 */
/* platform/pool.c — a free list through the objects themselves; what was put back last is taken first (still warm). */
#include "platform/pool.h"

#include <stdint.h>

#include "platform/check.h"

enum { POOL_ALIGN = 16 };

struct link {
    struct link *next;
};

size_t pool_stride(size_t size)
{
    size_t stride = (size + POOL_ALIGN - 1) & ~(size_t)(POOL_ALIGN - 1);
    return stride > 0 ? stride : POOL_ALIGN;
}

void pool_init(struct pool *pool, void *base, size_t size, unsigned count)
{
    CHECK(((uintptr_t)base & (POOL_ALIGN - 1)) == 0);
    *pool = (struct pool){.base = base, .each = pool_stride(size), .count = count};
}

void *pool_take(struct pool *pool)
{
    struct link *object = pool->free_list;
    if (object)
        pool->free_list = object->next;
    else if (pool->touched < pool->count)
        object = (struct link *)(void *)(pool->base + pool->each * pool->touched++);
    else
        return NULL;
    if (++pool->used > pool->high) pool->high = pool->used;
    return object;
}

void pool_put(struct pool *pool, void *object)
{
    CHECK(pool->used > 0);
    CHECK((unsigned char *)object >= pool->base);
    CHECK((unsigned char *)object < pool->base + pool->each * pool->touched);
    struct link *freed = object;
    freed->next = pool->free_list;
    pool->free_list = freed;
    pool->used--;
}

unsigned pool_index(const struct pool *pool, const void *object)
{
    return (unsigned)((size_t)((const unsigned char *)object - pool->base) / pool->each);
}

void *pool_at(const struct pool *pool, unsigned index)
{
    CHECK(index < pool->count);
    return pool->base + pool->each * index;
}
