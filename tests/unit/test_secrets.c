/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_secrets.c — rotation secrets: made once, durable, erased, torn, full, fixed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cache/rotations.h"
#include "platform/file.h"
#include "platform/log.h"
#include "platform/rc.h"
#include "storage/secrets.h"
#include "tests/support/store_test.h"

enum { HEAD = 24, ROW = 56 };

static const char *folder;

static int group_setup(void **state)
{
    (void)state;
    log_configure(LOG_ERROR, LOG_TEXT);
    store_test_setup(NULL);
    return secrets_reserve();
}

static int setup(void **state)
{
    (void)state;
    folder = store_test_folder();
    assert_int_equal(secrets_open(folder, false), RC_OK);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    secrets_close();
    store_test_remove(folder);
    return 0;
}

static void reopen(bool read_only)
{
    secrets_close();
    assert_int_equal(secrets_open(folder, read_only), RC_OK);
}

static const char *path(void)
{
    static char text[FILE_PATH_MAX];
    assert_int_equal(file_join(text, folder, "keys/rotation"), RC_OK);
    return text;
}

static off_t file_size(void)
{
    struct stat status;
    assert_int_equal(stat(path(), &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    return status.st_size;
}

struct secret {
    unsigned char bytes[SECRET_SIZE];
};

static struct secret get(unsigned n)
{
    struct secret secret;
    uint8_t tenant[ENTRY_TENANT_SIZE] = {0};
    memcpy(tenant, &n, sizeof n);
    assert_int_equal(secrets_get(n ? tenant : NULL, secret.bytes), RC_OK);
    return secret;
}

static int erase(unsigned n)
{
    uint8_t tenant[ENTRY_TENANT_SIZE] = {0};
    memcpy(tenant, &n, sizeof n);
    return secrets_erase(tenant);
}

static unsigned tenants(void)
{
    struct secrets_stats stats;
    secrets_stats(&stats);
    return stats.tenants;
}

static bool same(struct secret a, struct secret b)
{
    return memcmp(a.bytes, b.bytes, sizeof a.bytes) == 0;
}

static void made_once_and_kept(void **state)
{
    (void)state;
    unsigned char bytes[SECRET_SIZE];
    uint8_t tenant[ENTRY_TENANT_SIZE] = {1};
    assert_false(file_exists(path()));
    assert_int_equal(secrets_find(tenant, bytes), RC_NOT_FOUND);
    struct secret box = get(0), one = get(1), two = get(2);
    assert_false(same(box, one));
    assert_false(same(one, two));
    assert_true(same(one, get(1)));
    assert_int_equal(file_size(), HEAD + 3 * ROW);
    reopen(false);
    assert_int_equal(tenants(), 3);
    assert_true(same(box, get(0)));
    assert_true(same(one, get(1)));
    assert_true(same(two, get(2)));
    assert_int_equal(secrets_find(tenant, bytes), RC_OK);
    assert_memory_equal(bytes, one.bytes, sizeof bytes);
}

/* A tenant of zeros is not the box. */
static void the_box_is_nobody(void **state)
{
    (void)state;
    uint8_t zeros[ENTRY_TENANT_SIZE] = {0};
    struct secret box = get(0), other;
    assert_int_equal(secrets_get(zeros, other.bytes), RC_OK);
    assert_false(same(box, other));
}

static bool file_holds(const unsigned char *bytes)
{
    static unsigned char all[65536];
    size_t size;
    assert_int_equal(file_read(path(), all, sizeof all, &size), RC_OK);
    return memmem(all, size, bytes, SECRET_SIZE) != NULL;
}

static void erased_is_gone(void **state)
{
    (void)state;
    struct secret one = get(1), two = get(2), three = get(3);
    int old = open(path(), O_RDONLY | O_CLOEXEC);
    unsigned char before[HEAD + 3 * ROW];
    assert_true(file_holds(two.bytes));
    assert_int_equal(erase(2), RC_OK);
    assert_int_equal(erase(2), RC_NOT_FOUND);
    assert_false(file_holds(two.bytes));
    assert_int_equal(pread(old, before, sizeof before, 0), sizeof before); /* what the old file holds */
    assert_null(memmem(before, sizeof before, two.bytes, SECRET_SIZE));
    close(old);
    assert_int_equal(file_size(), HEAD + 2 * ROW);
    assert_true(same(one, get(1)));
    assert_true(same(three, get(3)));
    struct secret again = get(2);
    assert_false(same(two, again));
    reopen(false);
    assert_true(same(one, get(1)));
    assert_true(same(three, get(3)));
    assert_true(same(again, get(2)));
}

/* Cut after every byte: what was whole is there, and more can be made. */
static void a_torn_row_is_passed_over(void **state)
{
    (void)state;
    struct secret one = get(1), two = get(2);
    for (off_t size = HEAD + 2 * ROW - 1; size >= HEAD + ROW; size -= 5) {
        secrets_close();
        assert_int_equal(truncate(path(), size), 0);
        assert_int_equal(secrets_open(folder, false), RC_OK);
        assert_int_equal(tenants(), 1);
        assert_true(same(one, get(1)));
        assert_false(same(two, get(2)));
        assert_int_equal(file_size(), HEAD + 2 * ROW);
        two = get(2);
    }
    reopen(false);
    assert_true(same(two, get(2)));
}

static void patch(off_t at, unsigned char value)
{
    int fd = open(path(), O_WRONLY | O_CLOEXEC);
    assert_int_equal(pwrite(fd, &value, 1, at), 1);
    close(fd);
}

static void damage(void **state)
{
    (void)state;
    struct secret one = get(1), two = get(2);
    secrets_close();
    patch(HEAD + 20, 0x77);
    assert_int_equal(secrets_open(folder, false), RC_OK);
    assert_int_equal(tenants(), 1);
    assert_true(same(two, get(2)));
    assert_false(same(one, get(1)));
    secrets_close();
    patch(3, 'X');
    assert_int_equal(secrets_open(folder, false), RC_CORRUPT);
    uint8_t tenant[ENTRY_TENANT_SIZE] = {9};
    unsigned char bytes[SECRET_SIZE];
    assert_int_equal(secrets_get(tenant, bytes), RC_READ_ONLY); /* never written over */
}

static void read_only_makes_none(void **state)
{
    (void)state;
    struct secret one = get(1);
    reopen(true);
    uint8_t tenant[ENTRY_TENANT_SIZE] = {2};
    unsigned char bytes[SECRET_SIZE];
    assert_true(same(one, get(1)));
    assert_int_equal(secrets_get(tenant, bytes), RC_READ_ONLY);
    assert_int_equal(erase(1), RC_READ_ONLY);
}

static void the_table_is_bounded(void **state)
{
    (void)state;
    /* rows as the program wrote one, under other tenants: making 4,096 would sync as often */
    static struct {
        unsigned char head[HEAD];
        struct {
            unsigned char tenant[16], secret[32];
            uint32_t box, crc;
        } rows[SECRETS_MAX];
    } file;
    size_t size;
    (void)get(1);
    secrets_close();
    assert_int_equal(file_read(path(), &file, sizeof file, &size), RC_OK);
    for (unsigned i = 1; i < SECRETS_MAX; i++) {
        unsigned n = i + 1;
        file.rows[i] = file.rows[0];
        memcpy(file.rows[i].tenant, &n, sizeof n);
        file.rows[i].crc = crc32c(0, &file.rows[i], 52);
    }
    assert_int_equal(file_replace(path(), &file, sizeof file, 0600), RC_OK);
    assert_int_equal(secrets_open(folder, false), RC_OK);
    assert_int_equal(tenants(), SECRETS_MAX);
    uint8_t tenant[ENTRY_TENANT_SIZE] = {0xFF, 0xFF, 0xFF};
    unsigned char bytes[SECRET_SIZE];
    assert_int_equal(secrets_get(tenant, bytes), RC_FULL);
    struct secrets_stats stats;
    secrets_stats(&stats);
    assert_int_equal(stats.refused, 1);
    (void)get(0); /* the box has a place of its own */
    assert_int_equal(erase(77), RC_OK);
    assert_int_equal(secrets_get(tenant, bytes), RC_OK);
}

static void fixed_ones_need_no_file(void **state)
{
    (void)state;
    secrets_close();
    assert_int_equal(secrets_open(NULL, false), RC_OK);
    struct secret one = get(1), box = get(0);
    assert_false(same(one, box));
    assert_true(same(one, get(1)));
    assert_false(file_exists(path()));
}

static void rotations_follow_the_secrets(void **state)
{
    (void)state;
    struct rotation first, second, other;
    uint8_t tenant[ENTRY_TENANT_SIZE] = {0};
    rotations_forget(NULL);
    for (unsigned n = 1; n <= ROTATIONS_KEPT + 4; n++) {
        tenant[0] = (uint8_t)n;
        assert_int_equal(rotations_get(tenant, 384, &other), RC_OK);
        if (n == 1) first = other;
    }
    tenant[0] = 1;
    assert_int_equal(rotations_get(tenant, 384, &second), RC_OK); /* it had left, and is made again */
    assert_memory_equal(first.signs, second.signs, sizeof first.signs);
    assert_int_equal(rotations_get(tenant, 768, &other), RC_OK);
    assert_int_equal(other.width, 1024);
    assert_int_equal(secrets_erase(tenant), RC_OK);
    rotations_forget(tenant);
    assert_int_equal(rotations_get(tenant, 384, &second), RC_OK);
    assert_memory_not_equal(first.signs, second.signs, 64);
    assert_int_equal(rotations_get(NULL, 384, &other), RC_OK);
    assert_memory_not_equal(other.signs, second.signs, 64);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(made_once_and_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(the_box_is_nobody, setup, teardown),
        cmocka_unit_test_setup_teardown(erased_is_gone, setup, teardown),
        cmocka_unit_test_setup_teardown(a_torn_row_is_passed_over, setup, teardown),
        cmocka_unit_test_setup_teardown(damage, setup, teardown),
        cmocka_unit_test_setup_teardown(read_only_makes_none, setup, teardown),
        cmocka_unit_test_setup_teardown(the_table_is_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(fixed_ones_need_no_file, setup, teardown),
        cmocka_unit_test_setup_teardown(rotations_follow_the_secrets, setup, teardown),
    };
    return cmocka_run_group_tests(tests, group_setup, NULL);
}
