/* SPDX-License-Identifier: Apache-2.0 */
/* platform/heap_trap.c — libc's allocator leads here: nobody is meant to come.
 *
 * The program is linked with --wrap for each of: malloc calloc realloc reallocarray free aligned_alloc memalign
 * posix_memalign __libc_malloc __libc_calloc __libc_realloc __libc_free __libc_malloc_impl. The names with __libc_ are what
 * musl calls within itself (atexit beyond 32, sem_open, newlocale, the zone file of localtime …). With all of them
 * wrapped no object of the allocator is linked at all; the link map proves it.
 */
#include "platform/heap.h"

#include <errno.h>
#include <stdatomic.h>
#include <unistd.h>

#include "platform/check.h"
#include "platform/text.h"

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *piece, size_t size);
void *__wrap_reallocarray(void *piece, size_t count, size_t size);
void __wrap_free(void *piece);
void *__wrap_aligned_alloc(size_t align, size_t size);
void *__wrap_memalign(size_t align, size_t size);
int __wrap_posix_memalign(void **piece, size_t align, size_t size);
void *__wrap___libc_malloc(size_t size);
void *__wrap___libc_calloc(size_t count, size_t size);
void *__wrap___libc_realloc(void *piece, size_t size);
void __wrap___libc_free(void *piece);
void *__wrap___libc_malloc_impl(size_t size);

static atomic_int aborts;
static _Atomic size_t calls;

void heap_trap_arm(int abort_on_call)
{
    aborts = abort_on_call;
}

size_t heap_trap_count(void)
{
    return calls;
}

/* One line with write(2) for the first calls: the log may be what called. The address finds the caller in the link map
 * of a position independent program only with its base, which the program's own address gives. */
static void *trapped(const char *name, size_t size, const void *caller)
{
    enum { LINES_MAX = 16 };
    if (atomic_fetch_add(&calls, 1) < LINES_MAX) {
        char buffer[160];
        struct text t = text_on(buffer, sizeof buffer);
        text_put_text(&t, "larder: heap trap: ");
        text_put_text(&t, name);
        text_put_char(&t, ' ');
        text_put_u64(&t, size);
        text_put_text(&t, " bytes, called from heap_trap_arm ");
        text_put_i64(&t, (int64_t)((uintptr_t)caller - (uintptr_t)heap_trap_arm));
        text_put_char(&t, '\n');
        ssize_t written = write(STDERR_FILENO, t.data, t.size);
        (void)written;
    }
    CHECK(!aborts);
    errno = ENOMEM;
    return NULL;
}

#define CALLER __builtin_return_address(0)

void *__wrap_malloc(size_t size)
{
    return trapped("malloc", size, CALLER);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return trapped("calloc", count * size, CALLER);
}

void *__wrap_realloc(void *piece, size_t size)
{
    (void)piece;
    return trapped("realloc", size, CALLER);
}

void *__wrap_reallocarray(void *piece, size_t count, size_t size)
{
    (void)piece;
    return trapped("reallocarray", count * size, CALLER);
}

/* Freeing nothing is what cleanup code does after a NULL; anything else was never ours. */
void __wrap_free(void *piece)
{
    if (piece) trapped("free", 0, CALLER);
}

void *__wrap_aligned_alloc(size_t align, size_t size)
{
    (void)align;
    return trapped("aligned_alloc", size, CALLER);
}

void *__wrap_memalign(size_t align, size_t size)
{
    (void)align;
    return trapped("memalign", size, CALLER);
}

int __wrap_posix_memalign(void **piece, size_t align, size_t size)
{
    (void)align;
    *piece = trapped("posix_memalign", size, CALLER);
    return ENOMEM;
}

void *__wrap___libc_malloc(size_t size)
{
    return trapped("__libc_malloc", size, CALLER);
}

void *__wrap___libc_calloc(size_t count, size_t size)
{
    return trapped("__libc_calloc", count * size, CALLER);
}

void *__wrap___libc_realloc(void *piece, size_t size)
{
    (void)piece;
    return trapped("__libc_realloc", size, CALLER);
}

void __wrap___libc_free(void *piece)
{
    if (piece) trapped("__libc_free", 0, CALLER);
}

void *__wrap___libc_malloc_impl(size_t size)
{
    return trapped("__libc_malloc_impl", size, CALLER);
}
