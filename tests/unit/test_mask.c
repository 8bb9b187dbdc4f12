/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_mask.c — the pattern language: what matches, where, and what is refused in which words. */
#include "tests/support/dialect_test.h"

#include <time.h>

#include "app/gateway/mask.h"

static struct mask masks[4];
static char error[MASK_ERROR_MAX];

/* The text with every match as '#'. */
static void assert_masks(const char *const *patterns, unsigned count, const char *text, const char *want)
{
    char got[512];
    struct text to = text_on(got, sizeof got);
    for (unsigned i = 0; i < count; i++) {
        if (mask_compile(span_text(patterns[i]), &masks[i], error) != RC_OK) fail_msg("%s: %s", patterns[i], error);
        assert_int_equal(mask_check(span_text(patterns[i]), error), RC_OK);
    }
    struct mask_set set = {masks, count};
    struct span all = span_text(text);
    size_t from = 0, start, end;
    while (mask_find(&set, all, from, &start, &end)) {
        assert_true(from <= start && start < end && end <= all.size);
        text_put(&to, text + from, start - from);
        text_put_char(&to, '#');
        from = end;
    }
    text_put(&to, text + from, all.size - from);
    assert_string_equal(got, want);
}

static void assert_mask(const char *pattern, const char *text, const char *want)
{
    assert_masks(&pattern, 1, text, want);
}

static void test_letters_stand_for_themselves(void **state)
{
    (void)state;
    assert_mask("abc", "xabcabcx ab abc", "x##x ab #");
    assert_mask("a", "", "");
    assert_mask("Ab", "ab AB Ab", "ab AB #");
    assert_mask("\xc3\xa9", "caf\xc3\xa9", "caf#");
    assert_mask("a\\+b", "a+b aab", "# aab");
    assert_mask("\\[\\]\\{\\}\\\\", "[]{}\\", "#");
    assert_mask("aab", "aaab", "a#");
}

static void test_classes(void **state)
{
    (void)state;
    assert_mask("\\d", "a1b22", "a#b##");
    assert_mask("\\x\\x", "zaFgg0", "z#gg0");
    assert_mask("\\w+", "a_9-\xc3\xa9 Z", "#-\xc3\xa9 #");
    assert_mask("a\\sb", "a b a\tb a\nb a_b", "# # # a_b");
    assert_mask("a.c", "abc a\nc a\377c", "# a\nc #");
    assert_mask("[a-c9]+", "abcd9", "#d#");
    assert_mask("[-+]1", "-1 +1 1", "# # 1");
    assert_mask("[+-]1", "-1 +1 1", "# # 1");
    assert_mask("[\\d.]+", "v1.2.3!", "v#!");
}

static void test_repeats(void **state)
{
    (void)state;
    assert_mask("ab?c", "ac abc abbc", "# # abbc");
    assert_mask("ab*c", "ac abc abbbc", "# # #");
    assert_mask("ab+c", "ac abc abbbc", "ac # #");
    assert_mask("a{3}", "aa aaa aaaaa", "aa # #aa");
    assert_mask("a{2,4}", "a aa aaaaaa", "a # ##");
    assert_mask("a{0,2}b", "b ab aab aaab", "# # # a#");
    assert_mask("\\d+5", "1235 5 15x", "# 5 #x");
    assert_mask("id-\\w*", "id-, id-7f", "#, #");
    assert_mask("x?y?z", "z xz yz xyz", "# # # #");
    assert_mask("ax?y?", "a ax ay axy b", "# # # # b");
}

static void test_shortcuts(void **state)
{
    (void)state;
    assert_mask("{date}", "Today is 2026-03-14, was 2026/3/1.", "Today is #, was #.");
    assert_mask("{time}", "at 09:26, 9:26:53.589Z or 09:26:53+01:00!", "at #, # or #!");
    assert_mask("{datetime}", "now 2026-03-14T09:26:53Z now", "now # now");
    assert_mask("{uuid}", "id 123e4567-e89b-12d3-a456-426614174000;", "id #;");
    assert_mask("{hex}", "commit 8abaa89 8abaa89f 0123456789abcdef", "commit 8abaa89 # #");
    assert_mask("{number}", "-1,234.5 x 7", "# x #");
    assert_mask("{weekday}, {month} \\d{1,2}", "It is Saturday, March 14 again", "It is # again");
    assert_mask("on {date}\\.", "on 2026-03-14.", "#");
}

static void test_leftmost_then_longest_of_several(void **state)
{
    (void)state;
    assert_masks((const char *const[]){"ab", "abcd", "c"}, 3, "abcde abc c", "#e ## #");
    assert_masks((const char *const[]){"{date}", "{uuid}"}, 2, "2026-03-14 123e4567-e89b-12d3-a456-426614174000",
                 "# #");
}

static void assert_refused(const char *pattern, const char *want)
{
    assert_int_equal(mask_check(span_text(pattern), error), RC_INVALID);
    assert_string_equal(error, want);
    assert_int_equal(mask_compile(span_text(pattern), &masks[0], error), RC_INVALID);
    assert_string_equal(error, want);
}

static void test_bad_patterns_say_why(void **state)
{
    (void)state;
    assert_refused("", "the mask would match the empty text");
    assert_refused("a*b?", "the mask would match the empty text");
    assert_refused("a\\", "nothing follows the backslash at byte 2 of the mask");
    assert_refused("\\q", "unknown class (there are \\d \\x \\w \\s) at byte 1 of the mask");
    assert_refused("+a", "nothing to repeat, or a backslash is missing at byte 0 of the mask");
    assert_refused("[ab", "the bracket is not closed at byte 3 of the mask");
    assert_refused("[]", "the bracket is empty at byte 1 of the mask");
    assert_refused("[b-a]", "the range ends before it begins at byte 2 of the mask");
    assert_refused("a{2", "bad count (write {n} or {n,m}) at byte 3 of the mask");
    assert_refused("a{3,2}", "bad count (write {n} or {n,m}) at byte 6 of the mask");
    assert_refused("a{0}", "bad count (write {n} or {n,m}) at byte 4 of the mask");
    assert_refused("a{65}", "more than 64 steps at byte 5 of the mask");
    assert_refused("{dates}",
                   "unknown shortcut (date time datetime uuid hex number weekday month) at byte 0 of the mask");
    assert_refused("{date",
                   "unknown shortcut (date time datetime uuid hex number weekday month) at byte 0 of the mask");
    assert_int_equal(mask_check(SPAN("a{64}"), error), RC_OK);
    assert_mask("a{64}", "b", "b");
}

/* A leading run must not be tried again from each of its bytes, and no match is longer than the bound. */
static void test_long_texts_cost_linear_time(void **state)
{
    (void)state;
    static char text[1 << 20];
    size_t start, end;
    memset(text, 'a', sizeof text);
    assert_int_equal(mask_compile(SPAN("\\w+@"), &masks[0], error), RC_OK);
    struct mask_set set = {masks, 1};
    clock_t before = clock();
    assert_false(mask_find(&set, span_of(text, sizeof text), 0, &start, &end));
    assert_true((double)(clock() - before) / CLOCKS_PER_SEC < 1.0);
    assert_int_equal(mask_compile(SPAN("a+"), &masks[0], error), RC_OK);
    assert_true(mask_find(&set, span_of(text, sizeof text), 5, &start, &end));
    assert_int_equal(start, 5);
    assert_int_equal(end, 5 + MASK_MATCH_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_letters_stand_for_themselves),
        TEST(test_classes),
        TEST(test_repeats),
        TEST(test_shortcuts),
        TEST(test_leftmost_then_longest_of_several),
        TEST(test_bad_patterns_say_why),
        TEST(test_long_texts_cost_linear_time),
    };
    return cmocka_run_group_tests_name("mask", tests, NULL, NULL);
}
