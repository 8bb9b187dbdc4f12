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
#include "platform/clock.h"
#include "platform/file.h"
#include "platform/rc.h"
#include "tests/support/store_test.h"

static const char *folder;
static char path[FILE_PATH_MAX];

typedef int change_function(struct span name, const struct tenant_terms *terms, char key[TENANT_KEY_SIZE + 1]);

struct call {
    change_function *run;
    struct span name;
    struct tenant_terms terms;
    char key[TENANT_KEY_SIZE + 1];
    int rc;
};

static void run_call(void *arg)
{
    struct call *c = arg;
    c->rc = c->run(c->name, &c->terms, c->key);
}

static int revoke_key(struct span name, const struct tenant_terms *terms, char key[TENANT_KEY_SIZE + 1])
{
    (void)key;
    (void)terms;
    return tenant_revoke(name);
}

static int forget(struct span name, const struct tenant_terms *terms, char key[TENANT_KEY_SIZE + 1])
{
    (void)key;
    (void)terms;
    return tenant_forget(name);
}

static int change_with(change_function *run, const char *name, struct tenant_terms terms, char *key)
{
    struct call c = {.run = run, .name = span_text(name), .terms = terms};
    store_test_fiber(run_call, &c);
    if (key) memcpy(key, c.key, sizeof c.key);
    return c.rc;
}

static int change(change_function *run, const char *name, char *key)
{
    return change_with(run, name, (struct tenant_terms){0}, key);
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
    assert_int_equal(change(tenant_issue, "kiosk", first), RC_OK);
    assert_int_equal(strlen(first), TENANT_KEY_SIZE);
    assert_memory_equal(first, "lk-", 3);
    assert_int_equal(gateway.epoch, epoch + 1);
    assert_int_equal(identify(first, &before), RC_OK);
    assert_int_equal(before.kind, TENANT_VIRTUAL);
    expect_file("kiosk ", true);
    expect_file(first + 3, false); /* only its hash is kept */
    assert_int_equal(change(tenant_issue, "kiosk", NULL), RC_EXISTS);
    assert_int_equal(change(tenant_rotate, "kiosk", second), RC_OK);
    assert_int_equal(identify(first, &after), RC_DENIED);
    assert_int_equal(identify(second, &after), RC_OK);
    assert_memory_equal(before.id, after.id, sizeof before.id); /* its answers stay its own */
    assert_int_equal(change(revoke_key, "kiosk", NULL), RC_OK);
    assert_int_equal(identify(second, &after), RC_DENIED);
    expect_file(" revoked 0 - 0\n", true);
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
    assert_int_equal(change(tenant_issue, longest, NULL), RC_INVALID);
    assert_int_equal(change(tenant_issue, longest + 1, NULL), RC_OK);
    assert_int_equal(change(tenant_issue, "", NULL), RC_INVALID);
    assert_int_equal(change(tenant_issue, "two words", NULL), RC_INVALID);
    assert_int_equal(change(tenant_issue, "line\nfeed", NULL), RC_INVALID);
    assert_int_equal(change(tenant_issue, "Fine-1_a.b", NULL), RC_OK);
}

/* A disk that takes nothing: the key is not given, the old one still counts. */
static void test_no_disk(void **state)
{
    char key[TENANT_KEY_SIZE + 1], lost[TENANT_KEY_SIZE + 1], keys[FILE_PATH_MAX], away[FILE_PATH_MAX];
    struct tenant tenant;
    (void)state;
    assert_int_equal(change(tenant_issue, "safe", key), RC_OK);
    assert_int_equal(file_join(keys, folder, "keys"), RC_OK);
    assert_int_equal(file_join(away, folder, "away"), RC_OK);
    assert_int_equal(rename(keys, away), 0);
    assert_int_not_equal(change(tenant_issue, "unsafe", lost), RC_OK);
    assert_int_equal(identify(lost, &tenant), RC_DENIED);
    assert_int_not_equal(change(tenant_rotate, "safe", lost), RC_OK);
    assert_int_equal(identify(lost, &tenant), RC_DENIED);
    assert_int_equal(identify(key, &tenant), RC_OK);
    assert_int_not_equal(change(revoke_key, "safe", NULL), RC_OK);
    assert_int_equal(identify(key, &tenant), RC_OK);
    assert_int_equal(rename(away, keys), 0);
    assert_int_equal(change(tenant_issue, "unsafe", NULL), RC_OK);
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
}

static struct tenant stranger(uint64_t number)
{
    struct tenant other = {.kind = TENANT_PASSTHROUGH};
    memcpy(other.id, &number, sizeof number);
    return other;
}

/* Made-up credentials push out neither proofs nor the refusals that stop somebody's hits. */
static void test_a_flood_of_credentials(void **state)
{
    struct tenant good, bad;
    (void)state;
    assert_int_equal(identify("sk-good", &good), RC_OK);
    assert_int_equal(identify("sk-bad", &bad), RC_OK);
    tenant_accept(&good);
    tenant_accept(&bad);
    tenant_reject(&bad);
    for (uint64_t i = 1; i <= 20 * TENANT_PROOFS; i++) {
        struct tenant other = stranger(i);
        tenant_reject(&other);
    }
    assert_true(tenant_is_proven(&good));
    assert_true(tenant_was_rejected(&bad));
    struct tenant last = stranger(20 * TENANT_PROOFS);
    assert_true(tenant_was_rejected(&last));
}

static void test_proofs_end(void **state)
{
    struct tenant one;
    (void)state;
    uint64_t now = clock_wall_us();
    assert_int_equal(identify("sk-a-day", &one), RC_OK);
    tenant_accept(&one);
    clock_fake(1, now + (TENANT_PROOF_S - 60) * CLOCK_SECOND);
    assert_true(tenant_is_proven(&one));
    clock_fake(1, now + (TENANT_PROOF_S + 60) * CLOCK_SECOND);
    assert_false(tenant_is_proven(&one));
    /* while a provider that takes such credentials is away: as long as stale_if_error */
    static struct config config = {.provider_count = 1, .route_count = 1};
    static struct generation generation = {.config = &config};
    config.providers[0].passthrough = true;
    config.routes[0].stale_if_error_us = 2 * TENANT_PROOF_S * CLOCK_SECOND;
    gateway.current = &generation;
    assert_false(tenant_is_proven(&one));
    generation.health[0].failing_since_us = now;
    assert_true(tenant_is_proven(&one));
    clock_fake(1, now + (2 * TENANT_PROOF_S + 60) * CLOCK_SECOND);
    assert_false(tenant_is_proven(&one));
    gateway.current = NULL;
    clock_fake(1, now - 3600 * CLOCK_SECOND); /* a clock that went back */
    assert_true(tenant_is_proven(&one));
    tenant_accept(&one);
    clock_fake_off();
}

static void test_proofs_are_kept(void **state)
{
    struct tenant good, bad;
    char message[320] = "";
    (void)state;
    assert_int_equal(identify("sk-kept-good", &good), RC_OK);
    assert_int_equal(identify("sk-kept-bad", &bad), RC_OK);
    tenant_accept(&good);
    tenant_accept(&bad);
    tenant_reject(&bad);
    tenants_close();
    assert_int_equal(tenants_proofs_open(folder, message, sizeof message), RC_OK);
    assert_true(tenant_is_proven(&good));
    assert_false(tenant_is_proven(&bad));
    assert_true(tenant_was_rejected(&bad));
}

static void test_expiry(void **state)
{
    char first[TENANT_KEY_SIZE + 1], second[TENANT_KEY_SIZE + 1];
    struct tenant tenant;
    struct tenant_view view;
    uint64_t now = clock_wall_us(), now_s = now / CLOCK_SECOND;
    (void)state;
    clock_fake(1, now);
    assert_int_equal(change_with(tenant_issue, "guest", (struct tenant_terms){.expires_s = 3600}, first), RC_OK);
    assert_int_equal(identify(first, &tenant), RC_OK);
    assert_int_equal(tenant.expires_s, now_s + 3600);
    clock_fake(1, now + 3599 * CLOCK_SECOND);
    assert_int_equal(identify(first, &tenant), RC_OK);
    clock_fake(1, now + 3600 * CLOCK_SECOND);
    assert_int_equal(identify(first, &tenant), RC_DENIED);
    assert_int_equal(tenant_find(SPAN("guest"), &view), RC_OK);
    assert_string_equal(view.state, "expired");
    /* a new key of an expired tenant: no grace for the old one, and no end unless said */
    assert_int_equal(change_with(tenant_rotate, "guest", (struct tenant_terms){.grace_s = 60}, second), RC_OK);
    assert_int_equal(identify(first, &tenant), RC_DENIED);
    assert_int_equal(identify(second, &tenant), RC_OK);
    assert_int_equal(tenant.expires_s, 0);
    clock_fake_off();
}

static void test_grace(void **state)
{
    char first[TENANT_KEY_SIZE + 1], second[TENANT_KEY_SIZE + 1], third[TENANT_KEY_SIZE + 1];
    struct tenant old, new;
    uint64_t now = clock_wall_us();
    (void)state;
    clock_fake(1, now);
    assert_int_equal(change(tenant_issue, "slow", first), RC_OK);
    assert_int_equal(change_with(tenant_rotate, "slow", (struct tenant_terms){.grace_s = 60}, second), RC_OK);
    assert_int_equal(identify(first, &old), RC_OK);
    assert_int_equal(identify(second, &new), RC_OK);
    assert_memory_equal(old.id, new.id, sizeof old.id);
    assert_int_equal(old.expires_s, now / CLOCK_SECOND + 60); /* so that no short cut outlives it */
    assert_int_equal(new.expires_s, 0);
    clock_fake(1, now + 60 * CLOCK_SECOND);
    assert_int_equal(identify(first, &old), RC_DENIED);
    assert_int_equal(identify(second, &new), RC_OK);
    assert_int_equal(change_with(tenant_rotate, "slow", (struct tenant_terms){.grace_s = 60}, third), RC_OK);
    assert_int_equal(change(revoke_key, "slow", NULL), RC_OK); /* both */
    assert_int_equal(identify(second, &old), RC_DENIED);
    assert_int_equal(identify(third, &new), RC_DENIED);
    clock_fake_off();
}

static void test_forgetting(void **state)
{
    char one[TENANT_KEY_SIZE + 1], two[TENANT_KEY_SIZE + 1];
    struct tenant before, after;
    (void)state;
    assert_int_equal(change(tenant_issue, "goes", one), RC_OK);
    assert_int_equal(change(tenant_issue, "stays", two), RC_OK);
    assert_int_equal(identify(one, &before), RC_OK);
    assert_int_equal(change(forget, "goes", NULL), RC_OK);
    expect_file("goes ", false);
    assert_int_equal(identify(one, &after), RC_DENIED);
    assert_int_equal(identify(two, &after), RC_OK);
    assert_int_equal(change(forget, "goes", NULL), RC_NOT_FOUND);
    assert_int_equal(change(tenant_issue, "goes", one), RC_OK); /* the name is free; whose it was is not */
    assert_int_equal(identify(one, &after), RC_OK);
    assert_memory_not_equal(before.id, after.id, sizeof before.id);
}

static void test_guesses(void **state)
{
    (void)state;
    struct tenant_address one = tenant_address_of(SPAN("192.168.1.7")), two = tenant_address_of(SPAN("192.168.1.8")),
                          six = tenant_address_of(SPAN("2001:db8:1:2:3:4:5:6")),
                          near = tenant_address_of(SPAN("2001:db8:1:2::9")), none = tenant_address_of(SPAN("")),
                          odd = tenant_address_of(SPAN("not an address"));
    uint64_t now = 1000 * CLOCK_SECOND;
    assert_true(one.prefix != two.prefix && six.prefix == near.prefix && one.prefix != six.prefix);
    assert_int_equal(none.prefix, 0);
    assert_int_equal(odd.prefix, 0);
    assert_int_not_equal(tenant_address_of(SPAN("::1")).prefix, 0);
    for (unsigned i = 0; i < TENANT_GUESSES; i++) {
        assert_int_equal(tenant_guess_wait_us(one, now), 0);
        tenant_guess_wrong(one, now);
    }
    assert_int_equal(tenant_guess_wait_us(one, now + 1), TENANT_GUESS_WINDOW_S * CLOCK_SECOND - 1);
    assert_int_equal(tenant_guess_wait_us(two, now), 0);
    assert_int_equal(tenant_guess_wait_us(one, now + TENANT_GUESS_WINDOW_S * CLOCK_SECOND), 0);
    tenant_guess_wrong(one, now + TENANT_GUESS_WINDOW_S * CLOCK_SECOND); /* a new window */
    assert_int_equal(tenant_guess_wait_us(one, now + TENANT_GUESS_WINDOW_S * CLOCK_SECOND), 0);
    for (unsigned i = 0; i < 3 * TENANT_GUESSES; i++) tenant_guess_wrong(none, now);
    assert_int_equal(tenant_guess_wait_us(none, now), 0);
}

/* What was written before keys could expire. */
static void test_an_older_file(void **state)
{
    static const char old[] = "# older\nancient 00112233445566778899aabbccddeeff ffeeddccbbaa99887766554433221100 "
                              "1700000000 active\ngone 10112233445566778899aabbccddeeff "
                              "efeeddccbbaa99887766554433221100 1700000000 revoked\n";
    struct tenant_view view;
    char message[320] = "";
    (void)state;
    assert_int_equal(file_replace(path, old, sizeof old - 1, 0600), RC_OK);
    assert_int_equal(tenants_open(folder, message, sizeof message), RC_OK);
    assert_int_equal(tenant_find(SPAN("ancient"), &view), RC_OK);
    assert_string_equal(view.state, "active");
    assert_int_equal(view.expires_s, 0);
    assert_int_equal(view.created_s, 1700000000);
    assert_int_equal(tenant_find(SPAN("gone"), &view), RC_OK);
    assert_string_equal(view.state, "revoked");
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
    assert_int_equal(tenants_reserve(), RC_OK);
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
        cmocka_unit_test(test_kinds),         cmocka_unit_test(test_life_of_a_key),
        cmocka_unit_test(test_names),         cmocka_unit_test(test_no_disk),
        cmocka_unit_test(test_trust),         cmocka_unit_test(test_a_flood_of_credentials),
        cmocka_unit_test(test_proofs_end),    cmocka_unit_test(test_proofs_are_kept),
        cmocka_unit_test(test_expiry),        cmocka_unit_test(test_grace),
        cmocka_unit_test(test_forgetting),    cmocka_unit_test(test_guesses),
        cmocka_unit_test(test_an_older_file), cmocka_unit_test(test_a_damaged_file),
    };
    return cmocka_run_group_tests_name("tenants", tests, start, stop);
}
