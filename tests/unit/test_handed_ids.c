/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_handed_ids.c — an id is known to the tenant that got it, and to nobody else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "app/gateway/handed_ids.h"

static const struct tenant ours = {.kind = TENANT_VIRTUAL, .id = {1}}, theirs = {.kind = TENANT_VIRTUAL, .id = {2}};

static bool path_known(const struct tenant *tenant, const char *path)
{
    static struct exchange x;
    struct request r = {.x = &x, .tenant = *tenant};
    x.head.path = span_text(path);
    return handed_ids_path(&r);
}

static void test_an_id_is_its_tenants_own(void **state)
{
    (void)state;
    assert_false(handed_ids_known(&ours, SPAN("resp_1")));
    handed_ids_note(&ours, SPAN("resp_1"));
    handed_ids_note(&ours, SPAN(""));
    assert_true(handed_ids_known(&ours, SPAN("resp_1")));
    assert_false(handed_ids_known(&theirs, SPAN("resp_1")));
    assert_false(handed_ids_known(&ours, SPAN("resp_")));
    assert_false(handed_ids_known(&ours, SPAN("")));
    assert_true(path_known(&ours, "/v1/responses/resp_1"));
    assert_true(path_known(&ours, "/v1/responses/resp_1/input_items"));
    assert_false(path_known(&theirs, "/v1/responses/resp_1"));
    assert_false(path_known(&ours, "/v1/responses/resp_12"));
    assert_false(path_known(&ours, "/v1/responses/"));
    assert_false(path_known(&ours, "/v1/responses"));
    assert_false(path_known(&ours, "/v1/files/resp_1"));
}

static void test_questions_that_go_on(void **state)
{
    struct request r = {.tenant = theirs, .question = {.previous = SPAN("resp_1")}};
    (void)state;
    handed_ids_note(&ours, SPAN("resp_1"));
    assert_true(handed_ids_foreign(&r));
    r.tenant.kind = TENANT_PASSTHROUGH; /* the provider knows whose it is */
    assert_false(handed_ids_foreign(&r));
    r.tenant = ours;
    assert_false(handed_ids_foreign(&r));
    r.tenant = theirs;
    r.question.previous = (struct span){0};
    assert_false(handed_ids_foreign(&r));
}

static void test_old_ids_make_room(void **state)
{
    char id[32];
    unsigned known = 0;
    (void)state;
    for (unsigned i = 0; i < 4 * HANDED_IDS_MAX; i++) {
        int size = snprintf(id, sizeof id, "resp_%u", i);
        handed_ids_note(&ours, span_of(id, (size_t)size));
        assert_true(handed_ids_known(&ours, span_of(id, (size_t)size)));
    }
    for (unsigned i = 0; i < 4 * HANDED_IDS_MAX; i++) {
        int size = snprintf(id, sizeof id, "resp_%u", i);
        known += handed_ids_known(&ours, span_of(id, (size_t)size));
    }
    assert_int_equal(known, HANDED_IDS_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_id_is_its_tenants_own),
        cmocka_unit_test(test_questions_that_go_on),
        cmocka_unit_test(test_old_ids_make_room),
    };
    return cmocka_run_group_tests_name("handed_ids", tests, NULL, NULL);
}
