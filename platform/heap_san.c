/* SPDX-License-Identifier: Apache-2.0 */
/* platform/heap_san.c — the regions of sanitizer builds: libc's allocator with its red zones, counted against the same
 * capacity. */
#include "platform/heap.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <sanitizer/allocator_interface.h>

#include "platform/check.h"
#include "platform/heap_shim.h"
#include "platform/plan.h"
#include "platform/rc.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct heap_usage usages[HEAP_REGIONS];

static const char *const plan_names[HEAP_REGIONS] = {
    [HEAP_LMDB] = "heap lmdb",       [HEAP_YAML] = "heap yaml",     [HEAP_CARES] = "heap cares",
    [HEAP_MBEDTLS] = "heap mbedtls", [HEAP_ZSTD] = "heap zstd",     [HEAP_YYJSON] = "heap yyjson",
    [HEAP_ZLIB] = "heap zlib",       [HEAP_SQLITE] = "heap sqlite",
};

const char *heap_name(enum heap_region region)
{
    return plan_names[region] + sizeof "heap " - 1;
}

int heap_reserve(enum heap_region region, size_t bytes, const char *lower)
{
    return heap_reserve_sparse(region, bytes, bytes, lower);
}

int heap_reserve_sparse(enum heap_region region, size_t bytes, size_t ceiling, const char *lower)
{
    CHECK(usages[region].capacity == 0);
    void *unused;
    int rc = bytes > 0 ? plan_take(plan_names[region], 1, bytes, PLAN_LAZY, ceiling, lower, &unused) : RC_OK;
    if (rc == RC_OK) usages[region].capacity = bytes & ~(size_t)15;
    return rc;
}

/* Whether `more` bytes (which may take the place of `less`) still belong into the region. */
static bool charge(enum heap_region region, size_t more, size_t less)
{
    struct heap_usage *u = &usages[region];
    pthread_mutex_lock(&lock);
    u->calls++;
    bool fits = more <= u->capacity && u->used - less + more <= u->capacity;
    if (fits)
        u->used = u->used - less + more;
    else
        u->refused++;
    if (u->used > u->high) u->high = u->used;
    pthread_mutex_unlock(&lock);
    return fits;
}

/* libc gives an empty piece one byte, and so says its size. */
static size_t whole_of(size_t size)
{
    return size > 0 ? size : 1;
}

static void uncharge(enum heap_region region, size_t bytes)
{
    pthread_mutex_lock(&lock);
    usages[region].used -= bytes;
    pthread_mutex_unlock(&lock);
}

void *heap_take(enum heap_region region, size_t size)
{
    size = whole_of(size);
    return charge(region, size, 0) ? malloc(size) : NULL;
}

void *heap_take_zeroed(enum heap_region region, size_t count, size_t size)
{
    size_t whole;
    if (__builtin_mul_overflow(count, size, &whole)) return NULL;
    whole = whole_of(whole);
    return charge(region, whole, 0) ? calloc(1, whole) : NULL;
}

void *heap_take_aligned(enum heap_region region, size_t align, size_t size)
{
    void *piece;
    size = whole_of(size);
    if (!charge(region, size, 0)) return NULL;
    return posix_memalign(&piece, align < sizeof(void *) ? sizeof(void *) : align, size) == 0 ? piece : NULL;
}

void *heap_resize(enum heap_region region, void *piece, size_t size)
{
    size_t held = piece ? __sanitizer_get_allocated_size(piece) : 0;
    size = whole_of(size);
    return charge(region, size, held) ? realloc(piece, size) : NULL;
}

void heap_give(enum heap_region region, void *piece)
{
    if (!piece) return;
    uncharge(region, __sanitizer_get_allocated_size(piece));
    free(piece);
}

struct heap_usage heap_usage(enum heap_region region)
{
    pthread_mutex_lock(&lock);
    struct heap_usage usage = usages[region];
    pthread_mutex_unlock(&lock);
    return usage;
}
