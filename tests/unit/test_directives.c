/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_directives.c — what a client allows the cache to do. */
#include "app/gateway/directives.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct http_head head;

static void field(const char *name, const char *value)
{
    head.fields[head.field_count++] = (struct http_field){span_text(name), span_text(value)};
}

static struct directives read_fresh(const char *name, const char *value)
{
    struct directives d;
    head.field_count = 0;
    if (name) field(name, value);
    directives_read(&head, &d);
    return d;
}

static void nothing_said(void **state)
{
    (void)state;
    struct directives d = read_fresh(NULL, NULL);
    assert_false(d.present || d.no_cache || d.no_store || d.only_if_cached);
    assert_int_equal(d.max_age, -1);
    assert_int_equal(d.max_stale, -1);
    assert_int_equal(d.stale_if_error, -1);
}

static void a_list_with_blanks_case_and_quotes(void **state)
{
    (void)state;
    struct directives d = read_fresh("Cache-Control", " Max-Age=\"30\" ,ONLY-if-cached,, stale-if-error=9");
    assert_true(d.present);
    assert_true(d.only_if_cached);
    assert_int_equal(d.max_age, 30);
    assert_int_equal(d.stale_if_error, 9);
}

static void max_stale_with_and_without_value(void **state)
{
    (void)state;
    struct directives d = read_fresh("cache-control", "max-stale");
    assert_true(d.any_stale);
    assert_true(directives_allow(&d, 1000000, 1));
    d = read_fresh("cache-control", "max-stale=10");
    assert_true(directives_allow(&d, 70, 60));
    assert_false(directives_allow(&d, 71, 60));
}

static void an_unreadable_number_is_the_strictest(void **state)
{
    (void)state;
    struct directives d = read_fresh("cache-control", "max-age=soon");
    assert_int_equal(d.max_age, 0);
    assert_false(directives_allow(&d, 1, 60));
}

static void no_cache_beside_an_event_stream_is_a_convention(void **state)
{
    (void)state;
    struct directives d;
    head.field_count = 0;
    field("Cache-Control", "no-cache");
    field("Accept", "text/event-stream");
    directives_read(&head, &d);
    assert_false(d.no_cache);
    field("x-larder-cache", "no-cache");
    directives_read(&head, &d);
    assert_true(d.no_cache);
}

static void another_larder_field_takes_the_long_way(void **state)
{
    (void)state;
    assert_true(read_fresh("X-Larder-Similarity-Min", "0.9").present);
    assert_false(read_fresh("x-larder-namespace", "b").present);
}

static void age_against_ttl_and_max_age(void **state)
{
    (void)state;
    struct directives d = read_fresh(NULL, NULL);
    assert_true(directives_allow(&d, 60, 60));
    assert_false(directives_allow(&d, 61, 60));
    d = read_fresh("cache-control", "max-age=5");
    assert_true(directives_allow(&d, 5, 60));
    assert_false(directives_allow(&d, 6, 60));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_said),
        cmocka_unit_test(a_list_with_blanks_case_and_quotes),
        cmocka_unit_test(max_stale_with_and_without_value),
        cmocka_unit_test(an_unreadable_number_is_the_strictest),
        cmocka_unit_test(no_cache_beside_an_event_stream_is_a_convention),
        cmocka_unit_test(another_larder_field_takes_the_long_way),
        cmocka_unit_test(age_against_ttl_and_max_age),
    };
    return cmocka_run_group_tests_name("directives", tests, NULL, NULL);
}
