/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_erase.c — all of one tenant goes and nothing of others; cut short, it is finished.
 *
 * Link: -Wl,--wrap=semantic_lookup,--wrap=semantic_lookup_next,--wrap=embed_current,--wrap=semantic_erase
 */
#include "app/gateway/erase.h"
#include "app/gateway/feedback.h"
#include "app/gateway/journal.h"
#include "app/gateway/negative.h"
#include "storage/secrets.h"
#include "tests/unit/semantic_test.h"

/* What the next one says instead of erasing. */
static int broken = RC_OK;

int __real_semantic_erase(const uint8_t tenant[ENTRY_TENANT_SIZE], unsigned *removed);
int __wrap_semantic_erase(const uint8_t tenant[ENTRY_TENANT_SIZE], unsigned *removed);

int __wrap_semantic_erase(const uint8_t tenant[ENTRY_TENANT_SIZE], unsigned *removed)
{
    return broken == RC_OK ? __real_semantic_erase(tenant, removed) : broken;
}

static unsigned entries(void)
{
    struct cache_stats stats;
    cache_stats(&stats);
    return stats.entries;
}

static struct tenant_view view_of(const char *name)
{
    struct tenant_view view = {0};
    assert_int_equal(tenant_find(span_text(name), &view), RC_OK);
    return view;
}

static unsigned rows_of(const struct tenant *tenant)
{
    unsigned found = 0;
    const struct journal_row *row;
    for (unsigned i = 0; (row = journal_at(i)); i++) found += row->tenant == journal_tenant(tenant->id);
    return found;
}

static unsigned units_of(const struct tenant *tenant)
{
    unsigned found = 0;
    const struct learn_unit *unit;
    for (unsigned i = 0; (unit = learn_at(i)); i++)
        found += unit->key && memcmp(unit->tenant, tenant->id, sizeof unit->tenant) == 0;
    return found;
}

static bool is_on_disk(const char *name)
{
    char path[FILE_PATH_MAX];
    assert_int_equal(file_join(path, boot.data, name), RC_OK);
    return file_exists(path);
}

struct erasing {
    const char *name;
    struct erased erased;
    int rc;
};

static void erase_run(void *arg)
{
    struct erasing *e = arg;
    e->rc = erase_tenant(span_text(e->name), &e->erased);
}

static struct erasing erase(const char *name)
{
    struct erasing e = {.name = name, .rc = RC_EXISTS};
    gateway_test_fiber(erase_run, &e);
    return e;
}

static void resume_run(void *arg)
{
    (void)arg;
    erase_resume();
}

struct verdict_call {
    const char *request;
    int rc;
};

static void reject_run(void *arg)
{
    struct verdict_call *v = arg;
    v->rc = feedback_apply(span_text(v->request), NULL, true);
}

static int reject(const char *request)
{
    struct verdict_call v = {.request = request};
    gateway_test_fiber(reject_run, &v);
    return v.rc;
}

static void expect_refused(const char *fields)
{
    int fd = ask(fields, "shared", "is my key good", "");
    gateway_test_hear(fd, "invalid_api_key");
    gateway_test_expect("HTTP/1.1 401 ");
    gateway_test_leave(fd);
}

static void expect_exact(const char *fields, const char *question, const char *answer)
{
    int fd = ask(fields, "shared", question, "");
    gateway_test_hear(fd, "\"total_tokens\":2}}");
    gateway_test_expect("x-larder-hit: exact\r\n");
    gateway_test_expect(answer);
    gateway_test_leave(fd);
}

static void secret_run(void *arg)
{
    unsigned char secret[SECRET_SIZE];
    assert_int_equal(secrets_get(((const struct tenant *)arg)->id, secret), RC_OK);
}

/* Answers, a hit in other words that was reported, so a pair and a unit of labels, rows of requests, a secret. */
static struct virtual_key live(const char *name, char request[80])
{
    struct virtual_key key = virtual_key(name);
    struct tenant_view view = view_of(name);
    char question[64];
    snprintf(question, sizeof question, "what is %s", name);
    uint64_t id = store(key.fields, "own", question, name);
    (void)store(key.fields, "shared", question, name);
    find_next(id, 0.95F, 0);
    snprintf(question, sizeof question, "what was %s", name);
    expect_hit(ask(key.fields, "own", question, ""), name, "\"total_tokens\":2}}");
    const char *at = strstr(gateway_test_heard, "req_");
    snprintf(request, 80, "%.36s", at ? at : "");
    assert_int_equal(reject(request), RC_OK);
    gateway_test_fiber(secret_run, &view.tenant);
    return key;
}

static void test_all_of_one_goes(void **state)
{
    char request[80], other_request[80];
    unsigned char secret[SECRET_SIZE];
    (void)state;
    struct virtual_key ann = live("ann", request), bob = live("bob", other_request);
    struct tenant a = view_of("ann").tenant, b = view_of("bob").tenant;
    assert_int_equal(entries(), 4);
    assert_int_equal(negative_count(), 2);
    assert_int_equal(units_of(&a), 1);
    assert_true(rows_of(&a) >= 3);
    struct erasing e = erase("ann");
    assert_int_equal(e.rc, RC_OK);
    assert_int_equal(e.erased.answers, 2);
    assert_null(e.erased.failed);
    expect_refused(ann.fields);
    assert_int_equal(entries(), 2);
    assert_int_equal(negative_count(), 1);
    assert_int_equal(units_of(&a), 0);
    assert_int_equal(rows_of(&a), 0);
    assert_int_equal(reject(request), RC_NOT_FOUND);
    assert_int_equal(secrets_find(a.id, secret), RC_NOT_FOUND);
    assert_false(is_on_disk("erasing"));
    assert_int_equal(erase("ann").rc, RC_NOT_FOUND);
    assert_int_equal(units_of(&b), 1);
    assert_true(rows_of(&b) >= 3);
    assert_int_equal(secrets_find(b.id, secret), RC_OK);
    assert_int_equal(reject(other_request), RC_OK);
    lookup.calls = 0;
    expect_exact(bob.fields, "what is bob", "bob");
    assert_int_equal(erase("bob").rc, RC_OK);
    assert_int_equal(entries(), 0);
}

static void test_what_is_cut_short_is_finished(void **state)
{
    char request[80], message[200] = "";
    (void)state;
    struct virtual_key key = live("cut", request);
    struct tenant tenant = view_of("cut").tenant;
    broken = RC_IO;
    struct erasing e = erase("cut");
    assert_int_equal(e.rc, RC_IO);
    assert_string_equal(e.erased.failed, "its answers");
    assert_int_equal(erase_unfinished(), 1);
    assert_true(is_on_disk("erasing"));
    assert_int_equal(entries(), 2);
    expect_refused(key.fields); /* whatever else */
    assert_int_equal(rows_of(&tenant), 0);
    assert_int_equal(erase("cut").rc, RC_IO); /* once more: still one */
    assert_int_equal(erase_unfinished(), 1);
    assert_int_equal(gateway_open(boot.data, message, sizeof message), RC_OK); /* as a new process would */
    assert_int_equal(erase_unfinished(), 1);
    gateway_test_fiber(resume_run, NULL);
    assert_int_equal(erase_unfinished(), 1);
    assert_true(is_on_disk("erasing"));
    broken = RC_OK;
    gateway_test_fiber(resume_run, NULL);
    assert_int_equal(erase_unfinished(), 0);
    assert_false(is_on_disk("erasing"));
    assert_int_equal(entries(), 0);
    assert_int_equal(units_of(&tenant), 0);
    assert_int_equal(erase("cut").rc, RC_NOT_FOUND);
    expect_refused(key.fields);
}

/* The client gets what it waits for; nothing of it is kept. */
static void test_an_answer_under_way_is_not_stored(void **state)
{
    (void)state;
    struct virtual_key key = virtual_key("late");
    lookup.id = 0;
    int fd = ask(key.fields, "shared", "what comes late", ""), up = gateway_test_call();
    assert_int_equal(erase("late").rc, RC_OK);
    gateway_test_answer(up, gateway_test_object("it comes late"));
    gateway_test_hear(fd, "\"total_tokens\":2}}");
    gateway_test_expect("it comes late");
    gateway_test_leave(fd);
    close(up);
    gateway_test_settle();
    assert_int_equal(entries(), 0);
}

static void test_what_remains_is_said(void **state)
{
    char bytes[1024], path[FILE_PATH_MAX];
    struct text out = text_on(bytes, sizeof bytes);
    (void)state;
    erase_print_rest(&out);
    bytes[out.size] = 0;
    assert_non_null(strstr(bytes, "nothing is sealed"));
    assert_null(strstr(bytes, "set aside"));
    assert_int_equal(file_join(path, boot.data, "entries.damaged"), RC_OK);
    assert_int_equal(file_make_folder(path, 0700), RC_OK);
    out = text_on(bytes, sizeof bytes);
    erase_print_rest(&out);
    bytes[out.size] = 0;
    assert_non_null(strstr(bytes, "entries.damaged was set aside"));
    assert_int_equal(rmdir(path), 0);
}

static const char erase_yaml[] = SEMANTIC_TEST_START "semantic: {shadow: {rate: 0}}\n" SEMANTIC_TEST_PROVIDERS
                                                     "routes:\n" SEMANTIC_TEST_ROUTE("*", "box", "semantic: preset");

static int start_here(void **state)
{
    (void)state;
    gateway_test_boot(erase_yaml);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_all_of_one_goes),
        T(test_what_is_cut_short_is_finished),
        T(test_an_answer_under_way_is_not_stored),
        T(test_what_remains_is_said),
    };
    return cmocka_run_group_tests_name("erase", tests, start_here, stop);
}
