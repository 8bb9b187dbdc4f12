/* SPDX-License-Identifier: Apache-2.0 */
/* platform/heap_shim.c — the names that the libraries were compiled to call. */
#include "platform/heap_shim.h"

#include <errno.h>
#include <string.h>

static void *or_enomem(void *piece)
{
    if (!piece) errno = ENOMEM;
    return piece;
}

static char *duplicate(enum heap_region region, const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = or_enomem(heap_take(region, size));
    return copy ? memcpy(copy, text, size) : NULL;
}

static int take_aligned(enum heap_region region, void **piece, size_t align, size_t size)
{
    if (align < sizeof(void *) || (align & (align - 1)) != 0) return EINVAL;
    void *taken = heap_take_aligned(region, align, size);
    if (!taken) return ENOMEM;
    *piece = taken;
    return 0;
}

#define HEAP_SHIM_DEFINE(library, region)                                  \
    void *heap_##library##_malloc(size_t size)                             \
    {                                                                      \
        return or_enomem(heap_take(region, size));                         \
    }                                                                      \
    void *heap_##library##_calloc(size_t count, size_t size)               \
    {                                                                      \
        return or_enomem(heap_take_zeroed(region, count, size));           \
    }                                                                      \
    void *heap_##library##_realloc(void *piece, size_t size)               \
    {                                                                      \
        return or_enomem(heap_resize(region, piece, size));                \
    }                                                                      \
    void heap_##library##_free(void *piece)                                \
    {                                                                      \
        heap_give(region, piece);                                          \
    }                                                                      \
    char *heap_##library##_strdup(const char *text)                        \
    {                                                                      \
        return duplicate(region, text);                                    \
    }                                                                      \
    int heap_##library##_memalign(void **piece, size_t align, size_t size) \
    {                                                                      \
        return take_aligned(region, piece, align, size);                   \
    }

HEAP_SHIM_DEFINE(lmdb, HEAP_LMDB)
HEAP_SHIM_DEFINE(yaml, HEAP_YAML)
HEAP_SHIM_DEFINE(cares, HEAP_CARES)
HEAP_SHIM_DEFINE(mbedtls, HEAP_MBEDTLS)
HEAP_SHIM_DEFINE(zstd, HEAP_ZSTD)
HEAP_SHIM_DEFINE(yyjson, HEAP_YYJSON)
HEAP_SHIM_DEFINE(zlib, HEAP_ZLIB)
HEAP_SHIM_DEFINE(sqlite, HEAP_SQLITE)

FILE *heap_nofile_open(const char *path, const char *mode)
{
    (void)path;
    (void)mode;
    errno = ENOENT;
    return NULL;
}

int heap_nofile_close(FILE *file)
{
    (void)file;
    errno = EBADF;
    return EOF;
}
