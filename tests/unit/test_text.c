/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_text.c — what fits is there, what does not is said. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "platform/text.h"

static void test_puts(void **state)
{
    (void)state;
    char buffer[128];
    struct text t = text_on(buffer, sizeof buffer);
    assert_string_equal(t.data, "");
    text_put_text(&t, "a");
    text_put_char(&t, 'b');
    text_put_span(&t, SPAN("cd"));
    text_put_span(&t, span_of(NULL, 0));
    text_put_u64(&t, 0);
    text_put_u64(&t, UINT64_MAX);
    text_put_i64(&t, INT64_MIN);
    text_put_i64(&t, 5);
    text_put_hex(&t, "\x00\xAF", 2);
    text_format(&t, "<%d>", 42);
    assert_string_equal(t.data, "abcd018446744073709551615-9223372036854775808500af<42>");
    assert_int_equal(t.size, strlen(t.data));
    assert_false(t.truncated);
    text_clear(&t);
    assert_int_equal(t.size, 0);
    assert_string_equal(t.data, "");
}

static void test_end_of_buffer(void **state)
{
    (void)state;
    char buffer[6] = {1, 1, 1, 1, 1, 77};
    struct text t = text_on(buffer, 5);
    text_put_text(&t, "1234");
    assert_false(t.truncated);
    text_put_text(&t, "");
    assert_false(t.truncated);
    text_put_char(&t, '5');
    assert_true(t.truncated);
    assert_string_equal(buffer, "1234");
    assert_int_equal(buffer[5], 77);
    text_clear(&t);
    text_format(&t, "%s", "1234");
    assert_false(t.truncated);
    text_clear(&t);
    text_format(&t, "%s", "12345");
    assert_true(t.truncated);
    assert_int_equal(t.size, 4);
    assert_string_equal(buffer, "1234");
    assert_int_equal(buffer[5], 77);
}

static void check_json(struct span in, const char *out)
{
    char buffer[128];
    struct text t = text_on(buffer, sizeof buffer);
    text_put_json(&t, in);
    assert_string_equal(t.data, out);
}

static void test_json(void **state)
{
    (void)state;
    check_json(SPAN(""), "\"\"");
    check_json(SPAN("a\"b\\c/d"), "\"a\\\"b\\\\c/d\"");
    check_json(SPAN("\b\t\n\v\f\r\x01\x1F\x7F"), "\"\\b\\t\\n\\u000b\\f\\r\\u0001\\u001f\\u007f\"");
    check_json(span_of("\0x", 2), "\"\\u0000x\"");
    check_json(SPAN("\xC3\xA4\xE2\x82\xAC\xF0\x9F\x8D\x9E"), "\"\xC3\xA4\xE2\x82\xAC\xF0\x9F\x8D\x9E\"");
    check_json(SPAN("\xED\x9F\xBF\xF4\x8F\xBF\xBF"), "\"\xED\x9F\xBF\xF4\x8F\xBF\xBF\"");
}

/* Overlong forms, surrogates, beyond U+10FFFF, cut sequences, lone continuations. */
static void test_json_replaces_what_is_not_utf8(void **state)
{
    (void)state;
    static const char *const bad[] = {"\xC0", "\xC1", "\x80", "\xF5", "\xFF", "\xE2", "\xF0"};
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) check_json(span_text(bad[i]), "\"\xEF\xBF\xBD\"");
    check_json(SPAN("\xC0\x80"), "\"\xEF\xBF\xBD\xEF\xBF\xBD\"");
    check_json(SPAN("\xE0\x9F\xBF"), "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"");
    check_json(SPAN("\xED\xA0\x80"), "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"");
    check_json(SPAN("\xF4\x90\x80\x80z"), "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBDz\"");
    check_json(SPAN("\xE2\x82z"), "\"\xEF\xBF\xBD\xEF\xBF\xBDz\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_puts),
        cmocka_unit_test(test_end_of_buffer),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_json_replaces_what_is_not_utf8),
    };
    return cmocka_run_group_tests_name("text", tests, NULL, NULL);
}
