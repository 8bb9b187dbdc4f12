/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_semantic.c — the lookup: at once after a store, after its commit, after a restart; whose entries count.
 * Link: -Wl,--wrap=embed_text -Wl,--wrap=embed_current -Wl,--wrap=embed_ready
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cache/inner.h"
#include "platform/rc.h"
#include "tests/support/semantic_test.h"
#include "tests/support/store_test.h"

static const char *folder;
static struct cache_boot boot;

static int group_setup(void **state)
{
    (void)state;
    store_test_setup(&store_test_limits);
    return semantic_reserve();
}

static void open_all(void)
{
    assert_int_equal(cache_open(folder, &boot), RC_OK);
    assert_string_equal(boot.message, "");
    assert_int_equal(semantic_start(folder), RC_OK);
}

static void close_all(void)
{
    semantic_stop();
    cache_close();
}

static int setup(void **state)
{
    (void)state;
    folder = store_test_folder();
    open_all();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    close_all();
    store_test_remove(folder);
    return 0;
}

static struct semantic_found found;

static uint64_t nearest(unsigned topic, unsigned way, uint64_t space, uint8_t tenant)
{
    struct semantic_question question = semantic_test_question(topic, way, space, tenant);
    assert_int_equal(semantic_test_lookup(&question, &found), RC_OK);
    return found.id;
}

static uint64_t put(unsigned topic, unsigned way, uint64_t space, uint8_t tenant)
{
    struct semantic_question question = semantic_test_question(topic, way, space, tenant);
    uint64_t id = semantic_test_put(&question, topic * 100 + way, 500);
    assert_int_not_equal(id, 0);
    return id;
}

static void found_at_once_after_commit_and_after_restart(void **state)
{
    (void)state;
    assert_int_equal(nearest(1, 0, 7, 1), 0);
    assert_int_equal(found.scanned, 0);
    uint64_t one = put(1, 0, 7, 1), two = put(2, 0, 7, 1);
    assert_int_equal(nearest(1, 2, 7, 1), one);
    assert_true(found.score > 0.98f && found.score < 1.001f);
    assert_int_equal(found.scanned, 2);
    assert_int_equal(nearest(2, 0, 7, 1), two);
    assert_true(found.score > 0.9999f);
    assert_int_equal(store_test_sync(), RC_OK);
    assert_int_equal(cache_self.pending.count, 0);
    assert_int_equal(writer_codes_stored(), 2);
    assert_int_equal(nearest(1, 2, 7, 1), one);
    assert_int_equal(found.scanned, 2);
    close_all();
    open_all();
    assert_int_equal(nearest(1, 2, 7, 1), one);
    assert_int_equal(nearest(2, 1, 7, 1), two);
}

static void other_spaces_and_tenants_never_meet(void **state)
{
    (void)state;
    uint64_t one = put(1, 0, 7, 1);
    for (unsigned turn = 0; turn < 2; turn++) {
        assert_int_equal(nearest(1, 0, 8, 1), 0);
        assert_int_equal(nearest(1, 0, 7, 2), 0); /* another tenant, by mistake in the same space */
        assert_int_equal(nearest(1, 0, 7, 1), one);
        assert_int_equal(store_test_sync(), RC_OK);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(found_at_once_after_commit_and_after_restart, setup, teardown),
        cmocka_unit_test_setup_teardown(other_spaces_and_tenants_never_meet, setup, teardown),
    };
    return cmocka_run_group_tests(tests, group_setup, NULL);
}
