/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_file.c — whole files: read, replaced, locked; every refusal has its result. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "platform/file.h"
#include "platform/rc.h"

static char folder[] = "/tmp/larder-file-XXXXXX";
static char path[FILE_PATH_MAX], other[FILE_PATH_MAX];

static int setup(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(folder));
    return file_join(path, folder, "a");
}

static int remove_one(const char *name, const struct stat *status, int type, struct FTW *where)
{
    (void)status;
    (void)type;
    (void)where;
    return remove(name);
}

static int teardown(void **state)
{
    (void)state;
    return nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void test_replace_and_read(void **state)
{
    (void)state;
    char buffer[16];
    size_t size = 99;
    struct stat status;
    assert_int_equal(file_read(path, buffer, sizeof buffer, &size), RC_NOT_FOUND);
    assert_false(file_exists(path));
    umask(077);
    assert_int_equal(file_replace(path, "first", 5, 0644), RC_OK);
    assert_true(file_exists(path));
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0644);
    assert_int_equal(file_read(path, buffer, sizeof buffer, &size), RC_OK);
    assert_int_equal(size, 5);
    assert_memory_equal(buffer, "first", 5);
    assert_int_equal(file_replace(path, "second one", 10, 0600), RC_OK);
    stat(path, &status);
    assert_int_equal(status.st_mode & 0777, 0600);
    assert_int_equal(file_read(path, buffer, 10, &size), RC_OK);
    assert_int_equal(size, 10);
    size = 99;
    assert_int_equal(file_read(path, buffer, 9, &size), RC_TOO_LARGE);
    assert_int_equal(size, 99);
    assert_int_equal(file_replace(path, "", 0, 0600), RC_OK);
    assert_int_equal(file_read(path, buffer, sizeof buffer, &size), RC_OK);
    assert_int_equal(size, 0);
    file_join(other, folder, "a.new");
    assert_false(file_exists(other));
}

static void test_failed_replace_keeps_the_old(void **state)
{
    (void)state;
    char buffer[16];
    size_t size;
    assert_int_equal(file_replace(path, "old", 3, 0600), RC_OK);
    file_join(other, folder, "a.new");
    assert_int_equal(mkdir(other, 0700), 0); /* in the way of the new file */
    assert_true(file_replace(path, "new", 3, 0600) != RC_OK);
    rmdir(other);
    assert_int_equal(file_read(path, buffer, sizeof buffer, &size), RC_OK);
    assert_memory_equal(buffer, "old", 3);
    file_join(other, folder, "in the way");
    assert_int_equal(mkdir(other, 0700), 0);
    assert_true(file_replace(other, "new", 3, 0600) != RC_OK);
    file_join(other, folder, "in the way.new");
    assert_false(file_exists(other)); /* nothing is left behind */
    assert_int_equal(file_join(other, folder, "missing/a"), RC_OK);
    assert_int_equal(file_replace(other, "x", 1, 0600), RC_NOT_FOUND);
    assert_int_equal(file_replace("/proc/larder", "x", 1, 0600), RC_NOT_FOUND);
}

static void test_symbolic_link_is_not_written_through(void **state)
{
    (void)state;
    char victim[FILE_PATH_MAX], buffer[16];
    size_t size;
    file_join(victim, folder, "victim");
    file_join(other, folder, "a.new");
    assert_int_equal(file_replace(victim, "safe", 4, 0600), RC_OK);
    assert_int_equal(symlink(victim, other), 0);
    assert_true(file_replace(path, "evil", 4, 0600) != RC_OK);
    assert_int_equal(file_read(victim, buffer, sizeof buffer, &size), RC_OK);
    assert_memory_equal(buffer, "safe", 4);
    unlink(other);
}

static void test_append(void **state)
{
    char grows[FILE_PATH_MAX], got[32], link[FILE_PATH_MAX];
    size_t size = 0;
    (void)state;
    assert_int_equal(file_join(grows, folder, "grows"), RC_OK);
    assert_int_equal(file_append(grows, "one", 3, 0600), RC_OK);
    assert_int_equal(file_append(grows, "", 0, 0600), RC_OK);
    assert_int_equal(file_append(grows, " two", 4, 0600), RC_OK);
    assert_int_equal(file_read(grows, got, sizeof got, &size), RC_OK);
    assert_int_equal(size, 7);
    assert_memory_equal(got, "one two", 7);
    assert_int_equal(file_join(link, folder, "grows-link"), RC_OK);
    assert_int_equal(symlink(grows, link), 0);
    assert_true(file_append(link, "x", 1, 0600) != RC_OK);
    assert_int_equal(file_join(grows, folder, "no/such"), RC_OK);
    assert_int_equal(file_append(grows, "x", 1, 0600), RC_NOT_FOUND);
}

static void test_folders(void **state)
{
    (void)state;
    struct stat status;
    file_join(other, folder, "x/y//z/");
    assert_int_equal(file_make_folder(other, 0700), RC_OK);
    assert_int_equal(file_make_folder(other, 0700), RC_OK);
    assert_int_equal(stat(other, &status), 0);
    assert_true(S_ISDIR(status.st_mode));
    assert_int_equal(file_make_folder("", 0700), RC_INVALID);
    assert_int_equal(file_replace(path, "", 0, 0600), RC_OK);
    assert_int_equal(file_make_folder(path, 0700), RC_EXISTS); /* a file is in the way */
    assert_int_equal(file_make_folder("/", 0700), RC_OK);
}

struct seen {
    unsigned count, stop;
    size_t bytes;
};

static int see(void *context, const char *name)
{
    struct seen *seen = context;
    seen->bytes += strlen(name);
    return ++seen->count == seen->stop ? RC_FULL : RC_OK;
}

static void test_each_and_remove(void **state)
{
    char many[FILE_PATH_MAX], name[80];
    struct seen seen = {0}, some = {.stop = 7}, none = {0};
    (void)state;
    assert_int_equal(file_join(many, folder, "many"), RC_OK);
    assert_int_equal(file_each(many, see, &none), RC_NOT_FOUND);
    assert_int_equal(file_make_folder(many, 0700), RC_OK);
    assert_int_equal(file_each(many, see, &none), RC_OK);
    assert_int_equal(none.count, 0);
    for (unsigned i = 0; i < 100; i++) { /* more than one read of the folder holds */
        snprintf(name, sizeof name, "many/%060u", i);
        assert_int_equal(file_join(other, folder, name), RC_OK);
        assert_int_equal(file_replace(other, "x", 1, 0600), RC_OK);
    }
    assert_int_equal(file_each(many, see, &seen), RC_OK);
    assert_int_equal(seen.count, 100);
    assert_int_equal(seen.bytes, 6000);
    assert_int_equal(file_each(many, see, &some), RC_FULL);
    assert_int_equal(some.count, 7);
    assert_int_equal(file_remove(other), RC_OK);
    assert_int_equal(file_remove(other), RC_NOT_FOUND);
    seen = (struct seen){0};
    assert_int_equal(file_each(many, see, &seen), RC_OK);
    assert_int_equal(seen.count, 99);
}

static void test_join(void **state)
{
    (void)state;
    char out[FILE_PATH_MAX], long_name[FILE_PATH_MAX];
    assert_int_equal(file_join(out, "a", "b"), RC_OK);
    assert_string_equal(out, "a/b");
    assert_int_equal(file_join(out, "a//", "/b"), RC_OK);
    assert_string_equal(out, "a/b");
    assert_int_equal(file_join(out, "/", "b"), RC_OK);
    assert_string_equal(out, "/b");
    assert_int_equal(file_join(out, "", "b"), RC_OK);
    assert_string_equal(out, "b");
    memset(long_name, 'n', sizeof long_name);
    long_name[FILE_PATH_MAX - 3] = '\0';
    assert_int_equal(file_join(out, "a", long_name), RC_OK);
    assert_int_equal(strlen(out), FILE_PATH_MAX - 1);
    assert_int_equal(file_join(out, "ab", long_name), RC_TOO_LARGE);
}

static void test_lock_is_exclusive(void **state)
{
    (void)state;
    int fd = -1, status = 0;
    file_join(other, folder, "lock");
    assert_int_equal(file_lock(other, &fd), RC_OK);
    pid_t child = fork();
    if (child == 0) {
        int own;
        _exit(file_lock(other, &own) == RC_EXISTS ? 0 : 1);
    }
    waitpid(child, &status, 0);
    assert_int_equal(WEXITSTATUS(status), 0);
    close(fd);
    assert_int_equal(file_lock(other, &fd), RC_OK);
    close(fd);
}

static void test_results_of_errors(void **state)
{
    (void)state;
    assert_int_equal(file_from_errno(0), RC_OK);
    assert_int_equal(file_from_errno(ENOENT), RC_NOT_FOUND);
    assert_int_equal(file_from_errno(EACCES), RC_DENIED);
    assert_int_equal(file_from_errno(ENOSPC), RC_NO_SPACE);
    assert_int_equal(file_from_errno(EDQUOT), RC_NO_SPACE);
    assert_int_equal(file_from_errno(EROFS), RC_READ_ONLY);
    assert_int_equal(file_from_errno(EIO), RC_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replace_and_read),
        cmocka_unit_test(test_failed_replace_keeps_the_old),
        cmocka_unit_test(test_symbolic_link_is_not_written_through),
        cmocka_unit_test(test_append),
        cmocka_unit_test(test_folders),
        cmocka_unit_test(test_each_and_remove),
        cmocka_unit_test(test_join),
        cmocka_unit_test(test_lock_is_exclusive),
        cmocka_unit_test(test_results_of_errors),
    };
    return cmocka_run_group_tests_name("file", tests, setup, teardown);
}
