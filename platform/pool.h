/* SPDX-License-Identifier: Apache-2.0 */
/* platform/pool.h — a fixed number of objects of one size.
 *
 * Owner:   the pool owns the objects; one that is taken belongs to its taker until it is put back.
 * Threads: one (the lane, for all pools of today).
 * Fails:   NULL when all are taken.
 * Sanitizer twin: pool_san.c poisons what is free and catches a double put.
 */
#ifndef PLATFORM_POOL_H
#define PLATFORM_POOL_H

#include <stddef.h>

struct pool {
    unsigned char *base;
    size_t each; /* bytes, a multiple of 16 */
    unsigned count;
    unsigned used;
    unsigned high;    /* most ever used */
    unsigned touched; /* objects below this index have been handed out once: memory above is untouched */
    void *free_list;
};

/* Bytes an object of `size` takes in a pool. */
size_t pool_stride(size_t size);
/* `base` holds count × pool_stride(size) bytes, 16-aligned, zeroed. */
void pool_init(struct pool *pool, void *base, size_t size, unsigned count);
/* Not cleared, except that an object handed out for the first time is zero. */
void *pool_take(struct pool *pool);
void pool_put(struct pool *pool, void *object);
unsigned pool_index(const struct pool *pool, const void *object);
void *pool_at(const struct pool *pool, unsigned index);

#endif
