/* SPDX-License-Identifier: Apache-2.0 */
/* tests/fault/test_disk.c — a small tmpfs that runs full and gets room again, one that becomes read-only, a full map.
 * Mounting needs a namespace of one's own: without the right to make one, those tests say so and are skipped.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "platform/file.h"
#include "platform/log.h"
#include "platform/rc.h"
#include "tests/support/store_test.h"

enum { BODY = 3000, FIRST = 200 };

static const char *folder; /* of the mount */
static struct cache_boot boot;
static bool can_mount;

static bool make_namespace(void)
{
    if (unshare(CLONE_NEWNS) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return false;
    return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

static int setup(void **state)
{
    (void)state;
    folder = store_test_folder();
    if (can_mount && mount("none", folder, "tmpfs", 0, "size=4m") != 0) can_mount = false;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cache_close();
    if (can_mount) (void)umount2(folder, MNT_DETACH);
    store_test_remove(folder);
    return 0;
}

static void needs_mount(void)
{
    if (can_mount) return;
    print_message("          skipped: no right to mount a tmpfs here (%s)\n", strerror(errno));
    skip();
}

static const char *filler(void)
{
    static char path[FILE_PATH_MAX];
    assert_int_equal(file_join(path, folder, "filler"), RC_OK);
    return path;
}

static void fill_the_disk(void)
{
    static char block[4096];
    int fd = open(filler(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    assert_true(fd >= 0);
    while (write(fd, block, sizeof block) == sizeof block) {}
    close(fd);
}

static struct cache_stats stats(void)
{
    struct cache_stats s;
    cache_stats(&s);
    return s;
}

static unsigned held(unsigned from, unsigned to)
{
    unsigned count = 0;
    for (unsigned n = from; n < to; n++) count += store_test_holds(n, BODY);
    return count;
}

static void a_full_disk_serves_and_recovers(void **state)
{
    (void)state;
    needs_mount();
    char damaged[FILE_PATH_MAX];
    assert_int_equal(cache_open(folder, &boot), RC_OK);
    for (unsigned n = 0; n < FIRST; n++) assert_int_not_equal(store_test_put(n, BODY), 0);
    assert_int_equal(store_test_sync(), RC_OK);
    assert_int_equal(held(0, FIRST), FIRST);
    assert_int_equal(file_join(damaged, folder, "entries.damaged"), RC_OK);
    fill_the_disk();

    unsigned n = FIRST, after = FIRST + 200;
    for (; n < after; n++) {
        (void)store_test_put(n, BODY);
        if (n % 20 == 19) (void)store_test_sync();
    }
    store_test_turns(5);
    /* What is found reads back whole; nothing is found that is not there. */
    unsigned count = 0;
    for (unsigned i = 0; i < after; i++) {
        struct digest digest = store_test_digest(i);
        struct cache_found found;
        bool evicted;
        if (cache_find(&digest, &found, &evicted) != RC_OK) continue;
        assert_true(store_test_holds(i, BODY));
        count++;
    }
    assert_int_equal(stats().entries, count);
    assert_true(count > 0);

    assert_int_equal(unlink(filler()), 0);
    for (after = n + 100; n < after; n++) assert_int_not_equal(store_test_put(n, BODY), 0);
    assert_int_equal(store_test_sync(), RC_OK);
    assert_int_equal(held(after - 100, after), 100);
    cache_close();
    assert_int_equal(cache_open(folder, &boot), RC_OK);
    assert_false(boot.moved_aside);
    assert_int_equal(held(after - 100, after), 100);
}

static void the_damaged_copy_goes_first(void **state)
{
    (void)state;
    needs_mount();
    char path[FILE_PATH_MAX];
    assert_int_equal(file_join(path, folder, "entries.damaged"), RC_OK);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(file_join(path, folder, "entries.damaged/data.mdb"), RC_OK);
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    static char block[1 << 20];
    assert_int_equal(write(fd, block, sizeof block), sizeof block);
    close(fd);
    assert_int_equal(cache_open(folder, &boot), RC_OK);
    assert_int_not_equal(store_test_put(0, BODY), 0);
    assert_int_equal(store_test_sync(), RC_OK);
    fill_the_disk();
    for (unsigned n = 1; n < 64; n++) assert_int_not_equal(store_test_put(n, BODY), 0);
    assert_int_equal(store_test_sync(), RC_OK);
    assert_false(file_exists(path));
    assert_int_equal(held(0, 64), 64);
}

static void a_full_disk_at_boot_is_served(void **state)
{
    (void)state;
    needs_mount();
    char lock[FILE_PATH_MAX];
    assert_int_equal(cache_open(folder, &boot), RC_OK);
    for (unsigned n = 0; n < 50; n++) assert_int_not_equal(store_test_put(n, BODY), 0);
    cache_close();
    assert_int_equal(file_join(lock, folder, "entries/lock.mdb"), RC_OK);
    assert_int_equal(unlink(lock), 0);
    fill_the_disk();
    assert_int_equal(cache_open(folder, &boot), RC_OK);
    assert_false(boot.moved_aside);
    assert_int_equal(held(0, 50), 50);
    (void)store_test_put(50, BODY);
    (void)store_test_sync();
    store_test_turns(3);
    assert_true(held(0, 50) >= 40); /* a few of the oldest may have made room */
    assert_int_equal(unlink(filler()), 0);
    assert_int_not_equal(store_test_put(51, BODY), 0);
    assert_int_equal(store_test_sync(), RC_OK);
    assert_true(store_test_holds(51, BODY));
}

static void an_empty_full_disk_serves_nothing(void **state)
{
    (void)state;
    needs_mount();
    fill_the_disk();
    int rc = cache_open(folder, &boot);
    assert_string_not_equal(boot.message, "");
    if (rc == RC_OK) {
        assert_int_equal(boot.entries, 0);
        (void)store_test_put(1, BODY);
        cache_close();
    }
    assert_int_equal(unlink(filler()), 0);
    assert_int_equal(cache_open(folder, &boot), RC_OK);
    assert_int_not_equal(store_test_put(2, BODY), 0);
    assert_int_equal(store_test_sync(), RC_OK);
    assert_true(store_test_holds(2, BODY));
}

static void a_read_only_disk_is_served(void **state)
{
    (void)state;
    needs_mount();
    assert_int_equal(cache_open(folder, &boot), RC_OK);
    for (unsigned n = 0; n < 50; n++) assert_int_not_equal(store_test_put(n, BODY), 0);
    cache_close();
    assert_int_equal(mount("none", folder, "tmpfs", MS_REMOUNT | MS_RDONLY, "size=4m"), 0);
    assert_int_equal(cache_open(folder, &boot), RC_OK);
    assert_true(boot.read_only);
    assert_int_equal(boot.entries, 50);
    assert_non_null(strstr(boot.message, "cannot be written"));
    assert_int_equal(held(0, 50), 50);
    assert_int_equal(store_test_put(51, BODY), 0);
    unsigned removed;
    assert_int_equal(store_test_purge(NULL, &removed), RC_READ_ONLY);
    assert_true(stats().read_only);
    cache_close();
    assert_int_equal(mount("none", folder, "tmpfs", MS_REMOUNT, "size=4m"), 0);
    assert_int_equal(cache_open(folder, &boot), RC_OK);
    assert_int_equal(held(0, 50), 50);
    assert_int_not_equal(store_test_put(51, BODY), 0);
}

static void an_empty_read_only_disk_serves_nothing(void **state)
{
    (void)state;
    needs_mount();
    assert_int_equal(mount("none", folder, "tmpfs", MS_REMOUNT | MS_RDONLY, "size=4m"), 0);
    assert_int_equal(cache_open(folder, &boot), RC_OK);
    assert_true(boot.read_only);
    assert_int_equal(boot.entries, 0);
    assert_int_equal(store_test_put(1, BODY), 0);
    cache_close();
    assert_int_equal(mount("none", folder, "tmpfs", MS_REMOUNT, "size=4m"), 0);
}

static int group_setup(void **state)
{
    (void)state;
    log_configure(LOG_ERROR, LOG_TEXT);
    store_test_setup(&store_test_limits);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest disk[] = {
        TEST(a_full_disk_serves_and_recovers), TEST(the_damaged_copy_goes_first),
        TEST(a_full_disk_at_boot_is_served),   TEST(an_empty_full_disk_serves_nothing),
        TEST(a_read_only_disk_is_served),      TEST(an_empty_read_only_disk_serves_nothing),
    };
    can_mount = make_namespace(); /* before there are threads */
    return cmocka_run_group_tests_name("disk", disk, group_setup, NULL);
}
