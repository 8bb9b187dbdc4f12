/* SPDX-License-Identifier: Apache-2.0 */
/* tests/fault/test_lmdb_damage.c — files that are torn, foreign, newer or damaged, an environment put back from an older copy,
 * and a second fault in the map: each handled, said, and served past.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cache/inner.h"
#include "platform/log.h"
#include "platform/rc.h"
#include "platform/start.h"
#include "storage/entries.h"
#include "tests/support/random.h"
#include "tests/support/store_test.h"

enum { ENTRIES = 60 };

static const char *program;
static const char *folder;
static struct cache_boot boot;

static size_t size_of(unsigned n)
{
    static const size_t sizes[] = {10, 900, 1900, 3000, 9000, 40000};
    return sizes[n % (sizeof sizes / sizeof sizes[0])];
}

static const char *path_of(const char *name)
{
    static char path[FILE_PATH_MAX];
    assert_int_equal(file_join(path, folder, name), RC_OK);
    return path;
}

static int setup(void **state)
{
    (void)state;
    folder = store_test_folder();
    assert_int_equal(cache_open(folder, &boot), RC_OK);
    for (unsigned n = 0; n < ENTRIES; n++) assert_int_not_equal(store_test_put(n, size_of(n)), 0);
    assert_int_equal(store_test_sync(), RC_OK);
    cache_close();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cache_close();
    store_test_remove(folder);
    return 0;
}

static off_t length(void)
{
    struct stat st;
    assert_int_equal(stat(path_of("entries/data.mdb"), &st), 0);
    return st.st_size;
}

static void write_at(const char *name, off_t offset, const void *data, size_t size)
{
    int fd = open(path_of(name), O_WRONLY);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, data, size, offset), size);
    close(fd);
}

static unsigned count_held(void)
{
    unsigned held = 0;
    for (unsigned n = 0; n < ENTRIES; n++) held += store_test_holds(n, size_of(n));
    return held;
}

/* Opens; when it was moved aside: said, empty, the copy is there, and it stores. */
static void expect_moved(const char *why)
{
    assert_int_equal(cache_open(folder, &boot), RC_OK);
    assert_true(boot.moved_aside);
    assert_true(boot.fresh);
    assert_false(boot.read_only);
    assert_int_equal(boot.entries, 0);
    assert_non_null(strstr(boot.message, why));
    assert_non_null(strstr(boot.message, "moved to entries.damaged"));
    assert_true(file_exists(path_of("entries.damaged/data.mdb")));
    assert_int_not_equal(store_test_put(1000, 500), 0);
    assert_int_equal(store_test_sync(), RC_OK);
    assert_true(store_test_holds(1000, 500));
}

static void torn_anywhere_is_moved_aside(void **state)
{
    (void)state;
    char saved[FILE_PATH_MAX];
    snprintf(saved, sizeof saved, "%s", path_of("saved"));
    store_test_copy(path_of("entries"), saved);
    off_t full = length(), step = full / 40;
    for (off_t cut = 100; cut < full; cut += step) {
        assert_int_equal(truncate(path_of("entries/data.mdb"), cut), 0);
        assert_int_equal(cache_open(folder, &boot), RC_OK);
        /* Free pages at the end may be missing: then everything is there. */
        if (!boot.moved_aside) assert_int_equal(count_held(), ENTRIES);
        if (cut < full / 2) assert_true(boot.moved_aside);
        cache_close();
        unlink(path_of("entries/lock.mdb"));
        char entries[FILE_PATH_MAX];
        snprintf(entries, sizeof entries, "%s", path_of("entries"));
        store_test_copy(saved, entries);
    }
    assert_int_equal(cache_open(folder, &boot), RC_OK);
    assert_int_equal(count_held(), ENTRIES);
}

static void an_empty_file_is_a_new_store(void **state)
{
    (void)state;
    assert_int_equal(truncate(path_of("entries/data.mdb"), 0), 0);
    assert_int_equal(cache_open(folder, &boot), RC_OK);
    assert_true(boot.fresh);
    assert_false(boot.moved_aside);
}

static void a_foreign_file_is_moved_aside(void **state)
{
    (void)state;
    static char text[65536];
    memset(text, 'x', sizeof text);
    write_at("entries/data.mdb", 0, text, sizeof text);
    expect_moved("not an LMDB file");
}

static void damaged_meta_pages_are_moved_aside(void **state)
{
    (void)state;
    static const struct {
        off_t offset;
        uint64_t value;
        const char *why;
    } cases[] = {
        /* page header 16, magic 4, version 4, address 8, map size 8, then two trees of 48 bytes with the root last */
        {16 + 4, 7, "an LMDB format that is not known here"},
        {16 + 24, 12345, "an impossible page size"},
        {16 + 24 + 48 + 40, 1 << 30, "a tree's root lies outside of the file"},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t page = (size_t)sysconf(_SC_PAGESIZE);
        for (unsigned meta = 0; meta < 2; meta++)
            write_at("entries/data.mdb", (off_t)(meta * page) + cases[i].offset, &cases[i].value, i == 2 ? 8 : 4);
        expect_moved(cases[i].why);
        cache_close();
    }
}

static void a_newer_version_is_refused(void **state)
{
    (void)state;
    /* the format row begins with a name of 16 bytes, then the version */
    static char map[1 << 20];
    uint32_t version = ENTRIES_VERSION + 1;
    int fd = open(path_of("entries/data.mdb"), O_RDONLY);
    ssize_t size = read(fd, map, sizeof map);
    close(fd);
    unsigned found = 0;
    for (char *at = map; (at = memmem(at, (size_t)(map + size - at), "larder entries\0", 16)); at++, found++)
        write_at("entries/data.mdb", at - map + 16, &version, sizeof version);
    assert_true(found > 0);
    assert_int_equal(cache_open(folder, &boot), RC_VERSION);
    assert_non_null(strstr(boot.message, "newer Larder"));
    assert_false(file_exists(path_of("entries.damaged")));
    version = ENTRIES_VERSION; /* untouched: the older program's store is whole */
    for (char *at = map; (at = memmem(at, (size_t)(map + size - at), "larder entries\0", 16)); at++)
        write_at("entries/data.mdb", at - map + 16, &version, sizeof version);
    assert_int_equal(cache_open(folder, &boot), RC_OK);
    assert_int_equal(count_held(), ENTRIES);
}

/* One byte of each entry's body: read as damaged, dropped, counted; the others are untouched. */
static void damaged_bodies_are_dropped(void **state)
{
    (void)state;
    static char map[8 << 20];
    int fd = open(path_of("entries/data.mdb"), O_RDONLY);
    ssize_t size = read(fd, map, sizeof map);
    close(fd);
    unsigned damaged = 0;
    for (unsigned n = 0; n < ENTRIES; n += 2) {
        if (size_of(n) < 100 || size_of(n) >= 4096) continue; /* the larger ones are compressed: not to be found */
        struct span body = store_test_body(n, size_of(n));
        char *at = memmem(map, (size_t)size, body.data + body.size - 60, 60);
        assert_non_null(at);
        write_at("entries/data.mdb", at - map + 30, "#", 1);
        damaged++;
    }
    assert_int_equal(cache_open(folder, &boot), RC_OK);
    assert_int_equal(boot.entries, ENTRIES);
    assert_int_equal(count_held(), ENTRIES - damaged);
    struct cache_stats stats;
    cache_stats(&stats);
    assert_int_equal(stats.corrupt, damaged);
    assert_int_equal(stats.entries, ENTRIES - damaged);
    assert_int_equal(store_test_sync(), RC_OK);
    cache_close();
    assert_int_equal(cache_open(folder, &boot), RC_OK);
    assert_int_equal(boot.entries, ENTRIES - damaged); /* their rows are gone too */
}

/* Bytes of the compressed bodies and of everything else, one at a time: never a wrong answer. */
static void no_flipped_byte_gives_a_wrong_answer(void **state)
{
    (void)state;
    char saved[FILE_PATH_MAX], entries[FILE_PATH_MAX];
    snprintf(saved, sizeof saved, "%s", path_of("saved"));
    snprintf(entries, sizeof entries, "%s", path_of("entries"));
    store_test_copy(entries, saved);
    static char map[8 << 20];
    int fd = open(path_of("entries/data.mdb"), O_RDONLY);
    ssize_t size = read(fd, map, sizeof map);
    close(fd);
    size_t unit = (size_t)sysconf(_SC_PAGESIZE);
    uint32_t seed = 11;
    for (unsigned round = 0; round < 60; round++) {
        /* Runs of pages only: LMDB itself trusts its tree pages (that is what the watch on faults is for). */
        size_t page = 2 + (size_t)test_random(&seed) % ((size_t)size / unit - 2),
               offset = page * unit + (size_t)test_random(&seed) % unit;
        uint16_t flags;
        memcpy(&flags, map + page * unit + 10, sizeof flags);
        if (flags == 0x01 || flags == 0x02 || (flags == 0x04 && offset % unit < 16)) continue;
        char flipped = (char)(map[offset] ^ (1 << test_random(&seed) % 8));
        write_at("entries/data.mdb", (off_t)offset, &flipped, 1);
        assert_int_equal(cache_open(folder, &boot), RC_OK);
        assert_true(count_held() >= ENTRIES - 1); /* holds() compares every byte */
        cache_close();
        store_test_copy(saved, entries);
    }
}

/* Entries put after the copy are unknown; ids stay unique; nothing is answered wrongly. */
static void an_older_copy_put_back(void **state)
{
    (void)state;
    char saved[FILE_PATH_MAX], entries[FILE_PATH_MAX];
    struct cache_found found;
    bool evicted;
    uint64_t last = 0;
    snprintf(saved, sizeof saved, "%s", path_of("saved"));
    snprintf(entries, sizeof entries, "%s", path_of("entries"));
    store_test_copy(entries, saved);
    for (unsigned round = 0; round < 3; round++) {
        assert_int_equal(cache_open(folder, &boot), RC_OK);
        for (unsigned n = ENTRIES; n < 2 * ENTRIES; n++) {
            uint64_t id = store_test_put(n, size_of(n + round)); /* other answers to the same questions each time */
            assert_true(id > last);
            last = id;
        }
        assert_int_equal(store_test_sync(), RC_OK);
        cache_close();
        store_test_copy(saved, entries);
        assert_int_equal(cache_open(folder, &boot), RC_OK);
        assert_false(boot.moved_aside);
        assert_int_equal(boot.entries, ENTRIES);
        assert_int_equal(count_held(), ENTRIES);
        for (unsigned n = ENTRIES; n < 2 * ENTRIES; n++) {
            struct digest digest = store_test_digest(n);
            assert_int_equal(cache_find(&digest, &found, &evicted), RC_NOT_FOUND);
        }
        cache_close();
    }
}

static void a_lost_file_of_ids_is_made_again(void **state)
{
    (void)state;
    uint64_t before, after;
    assert_int_equal(cache_open(folder, &boot), RC_OK);
    before = store_test_put(500, 10);
    assert_int_equal(store_test_sync(), RC_OK);
    cache_close();
    assert_int_equal(unlink(path_of("ids")), 0);
    assert_int_equal(cache_open(folder, &boot), RC_OK);
    after = store_test_put(501, 10);
    assert_true(after > before);
    assert_int_equal(store_test_sync(), RC_OK);
    cache_close();
    write_at("ids", 0, "garbage", 7);
    write_at("ids", 2048, "garbage", 7);
    assert_int_equal(cache_open(folder, &boot), RC_OK);
    assert_true(store_test_put(502, 10) > after);
}

/* ---- a fault in the map */

/* Opens, cuts the file under the map, reads: dies of SIGBUS, which is written down. On this thread: it is the map that is
 * tested, not the pool. */
static int child(const char *data)
{
    struct entry_texts texts;
    struct cache_found found;
    struct digest digest = store_test_digest(5);
    bool evicted;
    folder = data;
    if (start_process() != RC_OK) return 7;
    start_faults();
    store_test_setup(&store_test_limits);
    if (cache_open(folder, &boot) != RC_OK || boot.moved_aside) return 3;
    if (cache_find(&digest, &found, &evicted) != RC_OK) return 4;
    if (truncate(path_of("entries/data.mdb"), 2 * sysconf(_SC_PAGESIZE)) != 0) return 5;
    (void)entries_read(&cache_self.entries, found.id, &digest, &store_test_arena, &texts);
    return 6;
}

static int run_child(void)
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        int null = open("/dev/null", O_WRONLY);
        dup2(null, STDERR_FILENO);
        execl(program, program, "child", folder, (char *)NULL);
        _exit(9);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void second_fault_in_a_map_moves_it_aside(void **state)
{
    (void)state;
    char saved[FILE_PATH_MAX], entries[FILE_PATH_MAX];
    snprintf(saved, sizeof saved, "%s", path_of("saved"));
    snprintf(entries, sizeof entries, "%s", path_of("entries"));
    store_test_copy(entries, saved);
    for (unsigned fault = 1; fault <= 2; fault++) {
        int status = run_child();
        /* A sanitizer reports the fault itself and exits: 1, or the 66 that tests/run.py asks of the thread sanitizer. */
        assert_true(WIFSIGNALED(status) ? WTERMSIG(status) == SIGBUS
                                        : WEXITSTATUS(status) == 1 || WEXITSTATUS(status) == 66);
        store_test_copy(saved, entries);
        if (fault == 2) break;
        assert_int_equal(cache_open(folder, &boot), RC_OK);
        assert_false(boot.moved_aside);
        assert_int_equal(count_held(), ENTRIES);
        cache_close();
    }
    expect_moved("reading it killed the process twice");
    cache_close();
    assert_int_equal(cache_open(folder, &boot), RC_OK); /* the new one is not blamed */
    assert_false(boot.moved_aside);
    assert_true(store_test_holds(1000, 500));
}

static int group_setup(void **state)
{
    (void)state;
    log_configure(LOG_ERROR, LOG_TEXT);
    store_test_setup(&store_test_limits);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
    program = argv[0];
    if (argc == 3 && strcmp(argv[1], "child") == 0) return child(argv[2]);
    const struct CMUnitTest damage[] = {
        TEST(torn_anywhere_is_moved_aside),         TEST(an_empty_file_is_a_new_store),
        TEST(a_foreign_file_is_moved_aside),        TEST(damaged_meta_pages_are_moved_aside),
        TEST(a_newer_version_is_refused),           TEST(damaged_bodies_are_dropped),
        TEST(no_flipped_byte_gives_a_wrong_answer), TEST(an_older_copy_put_back),
        TEST(a_lost_file_of_ids_is_made_again),     TEST(second_fault_in_a_map_moves_it_aside),
    };
    return cmocka_run_group_tests_name("damage", damage, group_setup, NULL);
}
