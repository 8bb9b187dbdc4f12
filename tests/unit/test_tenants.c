/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_tenants.c — whose request it is: keys made, changed, revoked, kept on disk. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/gateway/tenants.h"
#include "platform/file.h"
#include "platform/rc.h"
#include "tests/support/store_test.h"

static const char *folder;
static char path[FILE_PATH_MAX];

struct call {
    int (*run)(struct span name, char key[TENANT_KEY_SIZE + 1]);
    struct span name;
    char key[TENANT_KEY_SIZE + 1];
    int rc;
};

static void run_call(void *arg)
{
    struct call *c = arg;
    c->rc = c->run(c->name, c->key);
}

static int revoke_key(struct span name, char key[TENANT_KEY_SIZE + 1])
{
    (void)key;
    return tenant_revoke(name);
}

static int change(int (*run)(struct span name, char key[TENANT_KEY_SIZE + 1]), const char *name, char *key)
{
    struct call c = {.run = run, .name = span_text(name)};
    store_test_fiber(run_call, &c);
    if (key) memcpy(key, c.key, sizeof c.key);
    return c.rc;
}

static int identify(const char *credential, struct tenant *tenant)
{
    static struct request r;
    memset(&r, 0, sizeof r);
    r.credential = span_text(credential);
    int rc = tenant_identify(&r);
    *tenant = r.tenant;
    return rc;
}

static void expect_file(const char *part, bool there)
{
    static char text[65536];
    size_t size;
    assert_int_equal(file_read(path, text, sizeof text - 1, &size), RC_OK);
    text[size] = 0;
    if ((strstr(text, part) != NULL) != there) fail_msg("%s: %s", part, text);
}

static void test_kinds(void **state)
{
    struct tenant none, one, same, other;
    (void)state;
    assert_int_equal(identify("", &none), RC_OK);
    assert_int_equal(none.kind, TENANT_LOCAL);
    assert_int_equal(identify("sk-1", &one), RC_OK);
    assert_int_equal(one.kind, TENANT_PASSTHROUGH);
    assert_int_equal(identify("sk-1", &same), RC_OK);
    assert_int_equal(identify("sk-2", &other), RC_OK);
    assert_memory_equal(one.id, same.id, sizeof one.id);
    assert_memory_not_equal(one.id, other.id, sizeof one.id);
    assert_memory_not_equal(one.id, none.id, sizeof one.id);
    assert_int_equal(identify("lk-0123456789012345678901234567890123456789", &other), RC_DENIED);
}

static void test_life_of_a_key(void **state)
{
    char first[TENANT_KEY_SIZE + 1], second[TENANT_KEY_SIZE + 1];
    struct tenant before, after;
    uint64_t epoch = gateway.epoch;
    (void)state;
    assert_int_equal(change(tenant_add, "kiosk", first), RC_OK);
    assert_int_equal(strlen(first), TENANT_KEY_SIZE);
    assert_memory_equal(first, "lk-", 3);
    assert_int_equal(gateway.epoch, epoch + 1);
    assert_int_equal(identify(first, &before), RC_OK);
    assert_int_equal(before.kind, TENANT_VIRTUAL);
    expect_file("kiosk ", true);
    expect_file(first + 3, false); /* only its hash is kept */
    assert_int_equal(change(tenant_add, "kiosk", NULL), RC_EXISTS);
    assert_int_equal(change(tenant_rotate, "kiosk", second), RC_OK);
    assert_int_equal(identify(first, &after), RC_DENIED);
    assert_int_equal(identify(second, &after), RC_OK);
    assert_memory_equal(before.id, after.id, sizeof before.id); /* its answers stay its own */
    assert_int_equal(change(revoke_key, "kiosk", NULL), RC_OK);
    assert_int_equal(identify(second, &after), RC_DENIED);
    expect_file(" revoked\n", true);
    assert_int_equal(gateway.epoch, epoch + 3);
    assert_int_equal(change(revoke_key, "nobody", NULL), RC_NOT_FOUND);
    assert_int_equal(change(tenant_rotate, "nobody", NULL), RC_NOT_FOUND);
}

static void test_names(void **state)
{
    char longest[TENANT_NAME_MAX + 2];
    (void)state;
    memset(longest, 'n', sizeof longest - 1);
    longest[sizeof longest - 1] = 0;
    assert_int_equal(change(tenant_add, longest, NULL), RC_INVALID);
    assert_int_equal(change(tenant_add, longest + 1, NULL), RC_OK);
    assert_int_equal(change(tenant_add, "", NULL), RC_INVALID);
    assert_int_equal(change(tenant_add, "two words", NULL), RC_INVALID);
    assert_int_equal(change(tenant_add, "line\nfeed", NULL), RC_INVALID);
    assert_int_equal(change(tenant_add, "Fine-1_a.b", NULL), RC_OK);
}

/* A disk that takes nothing: the key is not given, the old one still counts. */
static void test_no_disk(void **state)
{
    char key[TENANT_KEY_SIZE + 1], lost[TENANT_KEY_SIZE + 1], keys[FILE_PATH_MAX], away[FILE_PATH_MAX];
    struct tenant tenant;
    (void)state;
    assert_int_equal(change(tenant_add, "safe", key), RC_OK);
    assert_int_equal(file_join(keys, folder, "keys"), RC_OK);
    assert_int_equal(file_join(away, folder, "away"), RC_OK);
    assert_int_equal(rename(keys, away), 0);
    assert_int_not_equal(change(tenant_add, "unsafe", lost), RC_OK);
    assert_int_equal(identify(lost, &tenant), RC_DENIED);
    assert_int_not_equal(change(tenant_rotate, "safe", lost), RC_OK);
    assert_int_equal(identify(lost, &tenant), RC_DENIED);
    assert_int_equal(identify(key, &tenant), RC_OK);
    assert_int_not_equal(change(revoke_key, "safe", NULL), RC_OK);
    assert_int_equal(identify(key, &tenant), RC_OK);
    assert_int_equal(rename(away, keys), 0);
    assert_int_equal(change(tenant_add, "unsafe", NULL), RC_OK);
}

static void test_trust(void **state)
{
    struct tenant one, local;
    (void)state;
    assert_int_equal(identify("sk-trust", &one), RC_OK);
    assert_int_equal(identify("", &local), RC_OK);
    assert_false(tenant_is_proven(&one));
    assert_false(tenant_was_rejected(&one));
    tenant_accept(&one);
    assert_true(tenant_is_proven(&one));
    tenant_reject(&one);
    tenant_reject(&one);
    assert_false(tenant_is_proven(&one));
    assert_true(tenant_was_rejected(&one));
    tenant_accept(&one);
    assert_false(tenant_was_rejected(&one));
    tenant_reject(&local);
    assert_false(tenant_was_rejected(&local));
    assert_false(tenant_is_proven(&local));
    tenant_reject(&one);
    for (unsigned i = 0; i < TENANTS_REJECTED - 1; i++) {
        struct tenant other = {.kind = TENANT_PASSTHROUGH};
        uint64_t first = i + 1;
        memcpy(other.id, &first, sizeof first);
        tenant_reject(&other);
    }
    assert_true(tenant_was_rejected(&one)); /* the newest TENANTS_REJECTED are kept */
}

/* Last: the tables are read behind what is there. */
static void test_a_damaged_file(void **state)
{
    char message[320] = "";
    (void)state;
    assert_int_equal(file_replace(path, "# fine\nkiosk not-hex\n", 21, 0600), RC_OK);
    assert_int_equal(tenants_open(folder, message, sizeof message), RC_INVALID);
    assert_non_null(strstr(message, "line 2"));
    char secret[FILE_PATH_MAX];
    assert_int_equal(file_join(secret, folder, "keys/box"), RC_OK);
    assert_int_equal(file_replace(secret, "short", 5, 0600), RC_OK);
    assert_int_equal(tenants_open(folder, message, sizeof message), RC_INVALID);
    assert_non_null(strstr(message, "32 bytes"));
}

static int start(void **state)
{
    char message[320] = "", secret[FILE_PATH_MAX];
    struct stat status;
    (void)state;
    store_test_setup(NULL);
    folder = store_test_folder();
    gateway.epoch = 1;
    assert_int_equal(tenants_open(folder, message, sizeof message), RC_OK);
    assert_int_equal(file_join(secret, folder, "keys/box"), RC_OK);
    assert_int_equal(stat(secret, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    assert_int_equal(status.st_size, 32);
    return file_join(path, folder, "keys/tenants");
}

static int stop(void **state)
{
    (void)state;
    store_test_remove(folder);
    return 0;
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds),   cmocka_unit_test(test_life_of_a_key), cmocka_unit_test(test_names),
        cmocka_unit_test(test_no_disk), cmocka_unit_test(test_trust),         cmocka_unit_test(test_a_damaged_file),
    };
    return cmocka_run_group_tests_name("tenants", tests, start, stop);
}
