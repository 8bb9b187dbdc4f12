/* SPDX-License-Identifier: Apache-2.0 */
/* platform/pool_san.c — the pool of sanitizer builds: what is free is poisoned, and an object that is put back twice
 * is caught. Same order as pool.c. */
#include "platform/pool.h"

#include <sanitizer/asan_interface.h>
#include <stdint.h>

#include "platform/check.h"

enum { POOL_ALIGN = 16 };

/* In a free object. The seal is its own address mixed with a constant: live data hardly ever looks like it. */
struct link {
    struct link *next;
    uintptr_t seal;
};

static const uintptr_t seal_mask = (uintptr_t)0xF4EE0B1EC7F4EE0BULL;

size_t pool_stride(size_t size)
{
    size_t stride = (size + POOL_ALIGN - 1) & ~(size_t)(POOL_ALIGN - 1);
    return stride > 0 ? stride : POOL_ALIGN;
}

void pool_init(struct pool *pool, void *base, size_t size, unsigned count)
{
    CHECK(((uintptr_t)base & (POOL_ALIGN - 1)) == 0);
    *pool = (struct pool){.base = base, .each = pool_stride(size), .count = count};
    ASAN_POISON_MEMORY_REGION(base, pool->each * count);
}

void *pool_take(struct pool *pool)
{
    struct link *object = pool->free_list;
    if (object) {
        ASAN_UNPOISON_MEMORY_REGION(object, pool->each);
        pool->free_list = object->next;
        object->seal = 0;
    } else if (pool->touched < pool->count) {
        object = (struct link *)(void *)(pool->base + pool->each * pool->touched++);
        ASAN_UNPOISON_MEMORY_REGION(object, pool->each);
    } else {
        return NULL;
    }
    if (++pool->used > pool->high) pool->high = pool->used;
    return object;
}

void pool_put(struct pool *pool, void *object)
{
    size_t offset = (size_t)((unsigned char *)object - pool->base);
    CHECK((unsigned char *)object >= pool->base);
    CHECK(offset < pool->each * pool->touched);
    CHECK(offset % pool->each == 0);
    struct link *freed = object;
    ASAN_UNPOISON_MEMORY_REGION(freed, sizeof *freed);
    CHECK(freed->seal != ((uintptr_t)object ^ seal_mask));
    CHECK(pool->used > 0);
    freed->next = pool->free_list;
    freed->seal = (uintptr_t)object ^ seal_mask;
    pool->free_list = freed;
    pool->used--;
    ASAN_POISON_MEMORY_REGION(object, pool->each);
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
