/* SPDX-License-Identifier: Apache-2.0 */
/* platform/heap.h — fixed regions for the libraries that insist on an allocator.
 *
 * Owner:   one region a library, reserved at boot; what a library takes it gives back itself.
 * Threads: any (a lock a region).
 * Fails:   NULL when the region is exhausted; counted. The libraries turn that into their own error.
 * How:     each library is compiled with malloc, calloc, realloc, free and strdup renamed to heap_<library>_malloc …
 *          (tools/deps); the ones that offer hooks get heap_take/heap_give wrapped for their signature by their door.
 * Sanitizer twin: heap_san.c forwards to libc.
 */
#ifndef PLATFORM_HEAP_H
#define PLATFORM_HEAP_H

#include <stddef.h>

enum heap_region {
    HEAP_LMDB,
    HEAP_YAML,
    HEAP_CARES,
    HEAP_MBEDTLS,
    HEAP_ZSTD,
    HEAP_YYJSON,
    HEAP_ZLIB,
    HEAP_SQLITE,
    HEAP_REGIONS,
};

struct heap_usage {
    size_t capacity, used, high; /* bytes */
    size_t calls, refused;
};

/* Boot: reserves the region (PLAN_LAZY). Zero bytes: every take from it is refused. */
int heap_reserve(enum heap_region region, size_t bytes, const char *lower);
/* Of which no more than `ceiling` bytes are ever written to: pieces whose takers leave most of them untouched. */
int heap_reserve_sparse(enum heap_region region, size_t bytes, size_t ceiling, const char *lower);
void *heap_take(enum heap_region region, size_t size); /* 16-aligned */
void *heap_take_zeroed(enum heap_region region, size_t count, size_t size);
void *heap_resize(enum heap_region region, void *piece, size_t size);
void heap_give(enum heap_region region, void *piece);
struct heap_usage heap_usage(enum heap_region region);
const char *heap_name(enum heap_region region);

/* The trap (platform/heap_trap.c): libc's malloc and friends are linked with --wrap to it. Before the seal and after,
 * such a call is our fault: aborts when `abort_on_call`, else counts, logs, and returns NULL. */
void heap_trap_arm(int abort_on_call);
size_t heap_trap_count(void);

#endif
