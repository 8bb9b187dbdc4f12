/* SPDX-License-Identifier: Apache-2.0 */
/* tests/fault/test_codes_disk.c — the N-th write or sync of the codes' file fails, for every N: the exact tier does not
 * notice, and the codes that were lost are made again afterwards. A damaged file of codes is moved aside alone.
 * Link: -Wl,--wrap=embed_text -Wl,--wrap=embed_current -Wl,--wrap=embed_ready
 * Link: -Wl,--wrap=pwrite,--wrap=pwritev,--wrap=fdatasync
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "cache/inner.h"
#include "platform/file.h"
#include "platform/log.h"
#include "platform/rc.h"
#include "tests/support/semantic_test.h"
#include "tests/support/store_test.h"

enum { BEFORE = 140, DURING = 8, ROUNDS_MAX = 60, BODY = 200, TENANT = 1 };
enum operation { WRITES = 1, SYNCS = 2 };

static const char *folder;
static struct semantic_found found;

/* ---- failures of one file */

static _Atomic unsigned armed;
static _Atomic int left, lasting;
static int error;
static bool short_write;
static dev_t device;
static ino_t inode;

static void name_file(void)
{
    char path[FILE_PATH_MAX];
    struct stat status;
    assert_int_equal(file_join(path, folder, "codes/data.mdb"), RC_OK);
    assert_int_equal(stat(path, &status), 0);
    device = status.st_dev;
    inode = status.st_ino;
}

static bool fails(int fd, enum operation operation)
{
    struct stat status;
    if (!(atomic_load(&armed) & operation) || fstat(fd, &status) != 0) return false;
    if (status.st_dev != device || status.st_ino != inode) return false;
    int now = atomic_fetch_sub(&left, 1);
    return now == 1 || (now < 1 && atomic_load(&lasting));
}

ssize_t __real_pwrite(int fd, const void *data, size_t size, off_t offset);
ssize_t __wrap_pwrite(int fd, const void *data, size_t size, off_t offset);
ssize_t __real_pwritev(int fd, const struct iovec *parts, int count, off_t offset);
ssize_t __wrap_pwritev(int fd, const struct iovec *parts, int count, off_t offset);
int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);

ssize_t __wrap_pwrite(int fd, const void *data, size_t size, off_t offset)
{
    if (!fails(fd, WRITES)) return __real_pwrite(fd, data, size, offset);
    if (short_write) return __real_pwrite(fd, data, size / 2, offset);
    errno = error;
    return -1;
}

ssize_t __wrap_pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
    if (!fails(fd, WRITES)) return __real_pwritev(fd, parts, count, offset);
    if (short_write) return __real_pwritev(fd, parts, count / 2, offset);
    errno = error;
    return -1;
}

int __wrap_fdatasync(int fd)
{
    if (!fails(fd, SYNCS)) return __real_fdatasync(fd);
    errno = error;
    return -1;
}

/* ---- */

static bool removed[4096];

static bool is_found(unsigned n)
{
    struct digest digest = store_test_digest(n);
    struct cache_found exact;
    bool evicted;
    return cache_find(&digest, &exact, &evicted) == RC_OK;
}

static void put(unsigned n)
{
    struct semantic_question question = semantic_test_question(n, 0, 1 + n % 2, TENANT);
    assert_int_not_equal(semantic_test_put(&question, n, BODY), 0);
    removed[n] = false;
}

static void remove_one(unsigned n)
{
    struct digest digest = store_test_digest(n);
    struct cache_found exact;
    bool evicted;
    assert_int_equal(cache_find(&digest, &exact, &evicted), RC_OK);
    assert_int_equal(cache_remove(exact.id), RC_OK);
    removed[n] = true;
}

static void open_all(void)
{
    struct cache_boot boot;
    assert_int_equal(cache_open(folder, &boot), RC_OK);
    assert_int_equal(semantic_start(folder), RC_OK);
}

static void close_all(void)
{
    semantic_stop();
    cache_close();
}

static void refresh(void *arg)
{
    *(int *)arg = semantic_refresh();
}

static void refresh_now(void)
{
    int rc;
    store_test_fiber(refresh, &rc);
    assert_int_equal(rc, RC_OK);
    assert_int_equal(store_test_sync(), RC_OK);
}

static void check_exact(unsigned numbers)
{
    for (unsigned n = 1; n < numbers; n++) assert_int_equal(is_found(n), !removed[n]);
}

static void check_semantic(unsigned numbers)
{
    for (unsigned n = 1; n < numbers; n++) {
        struct semantic_question question = semantic_test_question(n, 1, 1 + n % 2, TENANT);
        assert_int_equal(semantic_test_lookup(&question, &found), RC_OK);
        assert_int_equal(found.id != 0 && found.score > 0.9f, !removed[n]);
    }
}

/* The writer tries a file that broke again at most every ten seconds. */
static void retry_now(void)
{
    cache_self.writer.codes_retry_us = 0;
}

static void run(unsigned operations, bool all_after)
{
    unsigned next = 1;
    bool failed = true;
    int nth = 1;
    folder = store_test_folder();
    open_all();
    while (next <= BEFORE) put(next++);
    assert_int_equal(store_test_sync(), RC_OK);
    for (; failed && nth < ROUNDS_MAX; nth++) {
        name_file();
        atomic_store(&left, nth);
        atomic_store(&lasting, all_after);
        atomic_store(&armed, operations);
        for (unsigned i = 0; i < DURING; i++) {
            put(next++);
            if (i % 4 == 3) remove_one(next - 3);
            retry_now();
            if (i % 2 == 1) assert_int_equal(store_test_sync(), RC_OK); /* whatever becomes of the codes */
        }
        atomic_store(&armed, 0);
        failed = atomic_load(&left) <= 0;
        retry_now();
        check_exact(next);
        if (nth % 8 != 0 && failed) continue;
        put(next++); /* writes once more: an environment that broke is opened anew */
        assert_int_equal(store_test_sync(), RC_OK);
        refresh_now();
        check_semantic(next);
        close_all();
        open_all();
        check_exact(next);
        check_semantic(next);
    }
    assert_false(failed);
    close_all();
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

static void writes_end_for_good(void **state)
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

static void nth_write_or_sync_and_all_after(void **state)
{
    (void)state;
    error = EIO;
    run(WRITES | SYNCS, true);
}

static void overwrite(const char *name, off_t from, size_t size)
{
    char path[FILE_PATH_MAX], noise[8192];
    memset(noise, 0x5A, sizeof noise);
    assert_int_equal(file_join(path, folder, name), RC_OK);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    for (size_t at = 0; at < size; at += sizeof noise)
        assert_int_equal(__real_pwrite(fd, noise, sizeof noise, from + (off_t)at), sizeof noise);
    close(fd);
}

/* One byte of every copy of these in the file. */
static void flip_everywhere(const char *name, const void *bytes, size_t size)
{
    static char file[8 << 20];
    char path[FILE_PATH_MAX];
    unsigned copies = 0;
    assert_int_equal(file_join(path, folder, name), RC_OK);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    ssize_t length = read(fd, file, sizeof file);
    assert_true(length > 0 && length < (ssize_t)sizeof file);
    for (char *at = file; (at = memmem(at, (size_t)(file + length - at), bytes, size)) != NULL; at++, copies++) {
        char other = (char)(*at ^ 1);
        assert_int_equal(__real_pwrite(fd, &other, 1, at - file), 1);
    }
    close(fd);
    assert_true(copies > 0);
}

/* Meta pages, a tree, the end, a code, a vector: the entries stay, the codes come back. */
static void a_damaged_file_is_moved_aside_alone(void **state)
{
    (void)state;
    for (unsigned what = 0; what < 5; what++) {
        struct cache_boot boot;
        unsigned next = 1;
        folder = store_test_folder();
        open_all();
        while (next <= BEFORE) put(next++);
        assert_int_equal(store_test_sync(), RC_OK);
        struct semantic_question asked = semantic_test_question(8, 0, 1, TENANT);
        assert_int_equal(semantic_test_lookup(&asked, &found), RC_OK);
        int8_t vector[384];
        struct entry_vector known = found.vector;
        memcpy(vector, known.vector, sizeof vector);
        close_all();
        if (what == 0) overwrite("codes/data.mdb", 0, 8192);
        if (what == 1) overwrite("codes/data.mdb", 8192, 64 << 10);
        if (what == 2) flip_everywhere("codes/data.mdb", known.code, sizeof known.code);
        if (what == 4) flip_everywhere("codes/data.mdb", vector, sizeof vector);
        char path[FILE_PATH_MAX];
        assert_int_equal(file_join(path, folder, "codes/data.mdb"), RC_OK);
        if (what == 3) assert_int_equal(truncate(path, 20000), 0);
        assert_int_equal(cache_open(folder, &boot), RC_OK);
        assert_false(boot.moved_aside); /* the entries */
        assert_int_equal(boot.entries, BEFORE);
        if (what == 0 || what == 3) assert_non_null(strstr(boot.message, "moved to codes.damaged"));
        assert_int_equal(semantic_start(folder), RC_OK);
        check_exact(next);
        for (unsigned n = 1; n < next; n++) {
            struct semantic_question question = semantic_test_question(n, 1, 1 + n % 2, TENANT);
            assert_int_equal(semantic_test_lookup(&question, &found), RC_OK);
        }
        put(next++);
        assert_int_equal(store_test_sync(), RC_OK);
        for (unsigned turn = 0; turn < 2; turn++) refresh_now();
        check_semantic(next);
        close_all();
        store_test_remove(folder);
    }
}

static int group_setup(void **state)
{
    (void)state;
    log_configure(LOG_ERROR, LOG_TEXT);
    store_test_setup(&store_test_limits);
    return semantic_reserve();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nth_write_fails),
        cmocka_unit_test(nth_write_finds_no_space),
        cmocka_unit_test(writes_end_for_good),
        cmocka_unit_test(nth_write_is_short),
        cmocka_unit_test(nth_sync_fails),
        cmocka_unit_test(nth_write_or_sync_and_all_after),
        cmocka_unit_test(a_damaged_file_is_moved_aside_alone),
    };
    return cmocka_run_group_tests_name("codes on a failing disk", tests, group_setup, NULL);
}
