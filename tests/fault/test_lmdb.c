/* SPDX-License-Identifier: Apache-2.0 */
/* tests/fault/test_lmdb.c — the N-th file or memory operation fails, for every N until nothing fails any more; nothing that
 * was stored before is lost, and the store stores again afterwards.
 *
 * Link: -Wl,--wrap=pwrite,--wrap=pwritev,--wrap=fdatasync,--wrap=pread,--wrap=open,--wrap=mmap
 * Link: -Wl,--wrap=heap_lmdb_malloc,--wrap=heap_lmdb_calloc,--wrap=heap_lmdb_realloc
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "platform/log.h"
#include "platform/rc.h"
#include "tests/support/store_test.h"

enum { BEFORE = 20, DURING = 8, AFTER = 4, ROUNDS_MAX = 400 };

enum operation { WRITES = 1, SYNCS = 2, READS = 4, OPENS = 8, MAPS = 16, ALLOCATIONS = 32 };

static _Atomic unsigned armed; /* which operations count */
static _Atomic int left;       /* the one that brings this to 0 fails */
static _Atomic int lasting;    /* and so do all after it */
static int error;
static bool short_write;

static bool fails(enum operation operation)
{
    if (!(atomic_load(&armed) & operation)) return false;
    int now = atomic_fetch_sub(&left, 1);
    return now == 1 || (now < 1 && atomic_load(&lasting));
}

/* What the linker makes of the wrapped names. */
ssize_t __real_pwrite(int fd, const void *data, size_t size, off_t offset);
ssize_t __wrap_pwrite(int fd, const void *data, size_t size, off_t offset);
ssize_t __real_pwritev(int fd, const struct iovec *parts, int count, off_t offset);
ssize_t __wrap_pwritev(int fd, const struct iovec *parts, int count, off_t offset);
int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
ssize_t __real_pread(int fd, void *data, size_t size, off_t offset);
ssize_t __wrap_pread(int fd, void *data, size_t size, off_t offset);
int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
void *__real_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset);
void *__real_heap_lmdb_malloc(size_t size);
void *__wrap_heap_lmdb_malloc(size_t size);
void *__real_heap_lmdb_calloc(size_t count, size_t size);
void *__wrap_heap_lmdb_calloc(size_t count, size_t size);
void *__real_heap_lmdb_realloc(void *piece, size_t size);
void *__wrap_heap_lmdb_realloc(void *piece, size_t size);

ssize_t __wrap_pwrite(int fd, const void *data, size_t size, off_t offset)
{
    if (!fails(WRITES)) return __real_pwrite(fd, data, size, offset);
    if (short_write) return __real_pwrite(fd, data, size / 2, offset);
    errno = error;
    return -1;
}

ssize_t __wrap_pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
    if (!fails(WRITES)) return __real_pwritev(fd, parts, count, offset);
    if (short_write) return __real_pwritev(fd, parts, count / 2, offset);
    errno = error;
    return -1;
}

int __wrap_fdatasync(int fd)
{
    if (!fails(SYNCS)) return __real_fdatasync(fd);
    errno = error;
    return -1;
}

ssize_t __wrap_pread(int fd, void *data, size_t size, off_t offset)
{
    if (!fails(READS)) return __real_pread(fd, data, size, offset);
    errno = error;
    return -1;
}

int __wrap_open(const char *path, int flags, ...)
{
    va_list rest;
    va_start(rest, flags);
    int mode = flags & O_CREAT ? va_arg(rest, int) : 0;
    va_end(rest);
    if (!fails(OPENS)) return __real_open(path, flags, mode);
    errno = error;
    return -1;
}

void *__wrap_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
    if (!fails(MAPS)) return __real_mmap(at, size, protection, flags, fd, offset);
    errno = error;
    return MAP_FAILED;
}

void *__wrap_heap_lmdb_malloc(size_t size)
{
    return fails(ALLOCATIONS) ? NULL : __real_heap_lmdb_malloc(size);
}

void *__wrap_heap_lmdb_calloc(size_t count, size_t size)
{
    return fails(ALLOCATIONS) ? NULL : __real_heap_lmdb_calloc(count, size);
}

void *__wrap_heap_lmdb_realloc(void *piece, size_t size)
{
    return fails(ALLOCATIONS) ? NULL : __real_heap_lmdb_realloc(piece, size);
}

static void arm(unsigned operations, int nth, bool all_after)
{
    atomic_store(&left, nth);
    atomic_store(&lasting, all_after);
    atomic_store(&armed, operations);
}

/* Whether something has failed since. */
static bool disarm(void)
{
    atomic_store(&armed, 0);
    return atomic_load(&left) <= 0;
}

/* ---- */

static size_t size_of(unsigned n)
{
    static const size_t sizes[] = {10, 900, 1900, 3000, 9000, 40000};
    return sizes[n % (sizeof sizes / sizeof sizes[0])];
}

static int group_setup(void **state)
{
    (void)state;
    log_configure(LOG_ERROR, LOG_TEXT);
    store_test_setup(&store_test_limits);
    return 0;
}

static void open_filled(const char *folder)
{
    struct cache_boot boot;
    assert_int_equal(cache_open(folder, &boot), RC_OK);
    for (unsigned n = 0; n < BEFORE; n++) assert_int_not_equal(store_test_put(n, size_of(n)), 0);
    assert_int_equal(store_test_sync(), RC_OK);
}

static void all_held(unsigned from, unsigned to)
{
    for (unsigned n = from; n < to; n++) assert_true(store_test_holds(n, size_of(n)));
}

/* What was put while it failed is there whole, or not at all. */
static void whole_or_gone(unsigned from, unsigned to)
{
    for (unsigned n = from; n < to; n++) {
        struct digest digest = store_test_digest(n);
        struct cache_found found;
        bool evicted;
        if (cache_find(&digest, &found, &evicted) != RC_OK) continue;
        if (!store_test_holds(n, size_of(n))) assert_int_equal(cache_find(&digest, &found, &evicted), RC_NOT_FOUND);
    }
}

static void put_while_it_fails(unsigned *next)
{
    for (unsigned i = 0; i < DURING; i++, ++*next) {
        uint64_t id = store_test_put(*next, size_of(*next));
        if (i % 4 == 3 && id != 0) (void)cache_remove(id - 1);
        if (i % 2 == 1) (void)store_test_sync();
    }
}

/* Without room the oldest leave for the newest, so they are whole or gone as well. */
static void kept(unsigned from, unsigned to)
{
    if (error == ENOSPC)
        whole_or_gone(from, to);
    else
        all_held(from, to);
}

/* One store that lives through a failure at each N in turn. */
static void run(unsigned operations, bool all_after)
{
    const char *folder = store_test_folder();
    struct cache_boot boot;
    unsigned next = BEFORE;
    bool failed = true;
    int nth = 1;
    open_filled(folder);
    for (; failed && nth < ROUNDS_MAX; nth++) {
        unsigned first = next;
        arm(operations, nth, all_after);
        put_while_it_fails(&next);
        failed = disarm();
        store_test_turns(2);
        whole_or_gone(first, next);
        kept(0, BEFORE);
        for (unsigned n = 0; n < AFTER; n++, next++) assert_int_not_equal(store_test_put(next, size_of(next)), 0);
        assert_int_equal(store_test_sync(), RC_OK);
        all_held(next - AFTER, next);
        if (nth % 16 != 0) continue;
        cache_close();
        assert_int_equal(cache_open(folder, &boot), RC_OK);
        assert_false(boot.moved_aside);
        kept(0, BEFORE);
        whole_or_gone(first, next);
    }
    assert_false(failed); /* ROUNDS_MAX is too small */
    cache_close();
    assert_int_equal(cache_open(folder, &boot), RC_OK);
    assert_false(boot.moved_aside);
    kept(0, BEFORE);
    all_held(next - AFTER, next);
    cache_close();
    store_test_remove(folder);
    print_message("          %d failures\n", nth - 2);
}

static void nth_write_fails(void **state)
{
    (void)state;
    error = EIO;
    run(WRITES, false);
}

static void nth_write_finds_no_space(void **state)
{
    (void)state;
    error = ENOSPC;
    run(WRITES, false);
}

static void writes_end_for_good_at_the_nth(void **state)
{
    (void)state;
    error = ENOSPC;
    run(WRITES, true);
}

static void nth_write_is_short(void **state)
{
    (void)state;
    error = EIO;
    short_write = true;
    run(WRITES, false);
    short_write = false;
}

static void nth_sync_fails(void **state)
{
    (void)state;
    error = EIO;
    run(SYNCS, false);
}

static void nth_write_or_sync_fails_and_all_after(void **state)
{
    (void)state;
    error = EIO;
    run(WRITES | SYNCS, true);
}

static void nth_allocation_fails(void **state)
{
    (void)state;
    error = ENOMEM;
    run(ALLOCATIONS, false);
}

/* A removal while nothing can be written is made up for afterwards. */
static void deletes_wait_until_they_can_be_written(void **state)
{
    (void)state;
    const char *folder = store_test_folder();
    struct cache_boot boot;
    struct cache_found found;
    bool evicted;
    open_filled(folder);
    error = EIO;
    arm(WRITES, 1, true);
    for (unsigned n = 0; n < 10; n++) {
        struct digest digest = store_test_digest(n);
        assert_int_equal(cache_find(&digest, &found, &evicted), RC_OK);
        assert_int_equal(cache_remove(found.id), RC_OK);
        assert_int_not_equal(store_test_sync(), RC_OK);
    }
    assert_true(disarm());
    assert_int_not_equal(store_test_put(100, 10), 0);
    assert_int_equal(store_test_sync(), RC_OK);
    cache_close();
    assert_int_equal(cache_open(folder, &boot), RC_OK);
    assert_int_equal(boot.entries, BEFORE - 10 + 1);
    all_held(10, BEFORE);
    cache_close();
    store_test_remove(folder);
}

/* Opening with a failure in it: refused, or opened, or served without the store; the next opening has everything. */
static void nth_operation_of_opening_fails(void **state)
{
    (void)state;
    static const unsigned kinds[] = {READS, OPENS, MAPS, WRITES | SYNCS, ALLOCATIONS};
    static const int errors[] = {EIO, EMFILE, ENOMEM};
    const char *folder = store_test_folder();
    struct cache_boot boot;
    open_filled(folder);
    cache_close();
    for (unsigned k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        bool failed = true;
        for (int nth = 1; failed && nth < ROUNDS_MAX; nth++) {
            error = errors[(unsigned)nth % 3];
            arm(kinds[k], nth, false);
            int rc = cache_open(folder, &boot);
            if (rc == RC_OK) cache_close();
            failed = disarm();
            assert_true(rc == RC_OK || boot.message[0] != '\0');
            assert_false(boot.moved_aside);
            assert_int_equal(cache_open(folder, &boot), RC_OK);
            assert_int_equal(boot.entries, BEFORE);
            cache_close();
        }
        assert_false(failed);
    }
    assert_int_equal(cache_open(folder, &boot), RC_OK);
    all_held(0, BEFORE);
    cache_close();
    store_test_remove(folder);
}

int main(void)
{
    const struct CMUnitTest lmdb[] = {
        cmocka_unit_test(nth_write_fails),
        cmocka_unit_test(nth_write_finds_no_space),
        cmocka_unit_test(writes_end_for_good_at_the_nth),
        cmocka_unit_test(nth_write_is_short),
        cmocka_unit_test(nth_sync_fails),
        cmocka_unit_test(nth_write_or_sync_fails_and_all_after),
        cmocka_unit_test(nth_allocation_fails),
        cmocka_unit_test(deletes_wait_until_they_can_be_written),
        cmocka_unit_test(nth_operation_of_opening_fails),
    };
    return cmocka_run_group_tests(lmdb, group_setup, NULL);
}
