/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_span.c — comparing, cutting, numbers, globs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "platform/rc.h"
#include "platform/span.h"

#define assert_span(s, text) assert_true(span_equal((s), span_text(text)))

static void test_compare(void **state)
{
    (void)state;
    assert_true(span_equal(span_of(NULL, 0), SPAN("")));
    assert_false(span_equal(SPAN("a"), SPAN("ab")));
    assert_true(span_equal_nocase(SPAN("Content-TYPE"), SPAN("content-type")));
    assert_false(span_equal_nocase(SPAN("@"), SPAN("`"))); /* only letters fold */
    assert_true(span_starts_with(SPAN("bread"), SPAN("br")));
    assert_true(span_starts_with(SPAN("bread"), SPAN("")));
    assert_false(span_starts_with(SPAN("br"), SPAN("bread")));
    assert_true(span_ends_with(SPAN("bread"), SPAN("ad")));
    assert_true(span_ends_with(span_of(NULL, 0), SPAN("")));
    assert_false(span_ends_with(SPAN("d"), SPAN("ad")));
    assert_true(span_contains(SPAN("bread"), SPAN("rea")));
    assert_true(span_contains(SPAN("bread"), SPAN("")));
    assert_false(span_contains(SPAN("bread"), SPAN("rae")));
    assert_false(span_contains(span_of(NULL, 0), SPAN("a")));
}

static void test_trim_and_cut(void **state)
{
    (void)state;
    struct span head, rest;
    assert_span(span_trim(SPAN(" \t a b\t ")), "a b");
    assert_span(span_trim(SPAN(" \t")), "");
    assert_span(span_trim(SPAN("\na")), "\na");
    rest = span_cut(SPAN("a=b=c"), '=', &head);
    assert_span(head, "a");
    assert_span(rest, "b=c");
    rest = span_cut(SPAN("abc"), '=', &head);
    assert_span(head, "abc");
    assert_int_equal(rest.size, 0);
    rest = span_cut(SPAN("="), '=', &head);
    assert_int_equal(head.size, 0);
    assert_int_equal(rest.size, 0);
    rest = span_cut(span_of(NULL, 0), '=', &head);
    assert_int_equal(head.size, 0);
}

static void test_numbers(void **state)
{
    (void)state;
    uint64_t value = 7;
    assert_int_equal(span_to_u64(SPAN("18446744073709551615"), UINT64_MAX, &value), RC_OK);
    assert_true(value == UINT64_MAX);
    assert_int_equal(span_to_u64(SPAN("18446744073709551616"), UINT64_MAX, &value), RC_INVALID);
    assert_int_equal(span_to_u64(SPAN("99999999999999999999999"), UINT64_MAX, &value), RC_INVALID);
    assert_int_equal(span_to_u64(SPAN("10"), 9, &value), RC_INVALID);
    assert_int_equal(span_to_u64(SPAN(""), 9, &value), RC_INVALID);
    assert_int_equal(span_to_u64(SPAN("+1"), 9, &value), RC_INVALID);
    assert_int_equal(span_to_u64(SPAN("1 "), 9, &value), RC_INVALID);
    assert_true(value == UINT64_MAX);
    assert_int_equal(span_to_u64(SPAN("0009"), 9, &value), RC_OK);
    assert_int_equal(value, 9);
}

static void test_globs(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *text;
        bool matches;
    } cases[] = {
        {"*", "", true},
        {"*", "gpt-4o", true},
        {"gpt-*", "gpt-4o", true},
        {"gpt-*", "gpt", false},
        {"", "", true},
        {"", "a", false},
        {"?", "", false},
        {"?", "a", true},
        {"a?c", "abc", true},
        {"a?c", "ac", false},
        {"*-mini", "gpt-4o-mini", true},
        {"*-mini", "gpt-mini-4", false},
        {"a*b*c", "aXbYbZc", true},
        {"a*b*c", "aXcYb", false},
        {"**a**", "bab", true},
        {"*a*a*a*b", "aaaaaaaa", false},
        {"claude", "Claude", false},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(span_glob(span_text(cases[i].pattern), span_text(cases[i].text)), cases[i].matches);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_compare),
        cmocka_unit_test(test_trim_and_cut),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_globs),
    };
    return cmocka_run_group_tests_name("span", tests, NULL, NULL);
}
