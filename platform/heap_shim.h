/* SPDX-License-Identifier: Apache-2.0 */
/* platform/heap_shim.h — libc's allocator by other names, one set a library, for code that was compiled to call them.
 *
 * Owner:   see heap.h.
 * Threads: any.
 * Fails:   as libc's: NULL and ENOMEM.
 * Who calls: only library code built with -Dmalloc=heap_<library>_malloc and so on; the doors of our own use heap.h.
 *          heap_nofile_open and _close stand for fopen and fclose in libraries whose file functions we never call.
 */
#ifndef PLATFORM_HEAP_SHIM_H
#define PLATFORM_HEAP_SHIM_H

#include <stddef.h>
#include <stdio.h>

#include "platform/heap.h"

/* As heap_take, at a multiple of `align` (a power of two). */
void *heap_take_aligned(enum heap_region region, size_t align, size_t size);

#define HEAP_SHIM_DECLARE(library)                            \
    void *heap_##library##_malloc(size_t size);               \
    void *heap_##library##_calloc(size_t count, size_t size); \
    void *heap_##library##_realloc(void *piece, size_t size); \
    void heap_##library##_free(void *piece);                  \
    char *heap_##library##_strdup(const char *text);          \
    int heap_##library##_memalign(void **piece, size_t align, size_t size); /* posix_memalign's signature */

HEAP_SHIM_DECLARE(lmdb)
HEAP_SHIM_DECLARE(yaml)
HEAP_SHIM_DECLARE(cares)
HEAP_SHIM_DECLARE(mbedtls)
HEAP_SHIM_DECLARE(zstd)
HEAP_SHIM_DECLARE(yyjson)
HEAP_SHIM_DECLARE(zlib)
HEAP_SHIM_DECLARE(sqlite)

FILE *heap_nofile_open(const char *path, const char *mode); /* ENOENT */
int heap_nofile_close(FILE *file);                          /* EOF */

#endif
