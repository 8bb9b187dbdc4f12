/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_control.c — request lines of the control socket. */
#include "app/control.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "app/command.h"
#include "platform/rc.h"

static char memory[JSON_SCRATCH_FACTOR * CONTROL_LINE_MAX + JSON_SCRATCH_EXTRA];
static struct json_scratch scratch = {memory, sizeof memory};
static struct span words[COMMAND_WORDS_MAX];
static unsigned count;

static int parse(const char *line)
{
    return control_parse(span_text(line), &scratch, words, &count);
}

static void words_of_a_command(void **state)
{
    (void)state;
    assert_int_equal(parse("[\"cache\", \"show\", \"12\"]"), RC_OK);
    assert_int_equal(count, 3);
    assert_true(span_equal(words[0], SPAN("cache")));
    assert_true(span_equal(words[2], SPAN("12")));
}

static void what_is_not_an_array_of_words(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",       "status",   "{}",
        "[]",     "[1]",      "[\"a\",null]",
        "[\"a\"", "[\"a\"]x", "[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\",\"10\",\"11\",\"12\",\"13\"]"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) assert_int_equal(parse(wrong[i]), RC_INVALID);
}

static void an_unknown_command_says_so(void **state)
{
    (void)state;
    char said[256];
    struct text out = text_on(said, sizeof said);
    struct span word = SPAN("frobnicate");
    assert_int_equal(command_run(&word, 1, NULL, &out), RC_INVALID);
    assert_string_equal(said, "unknown command frobnicate: `help` lists them\n");
}

static void too_few_words_show_the_usage(void **state)
{
    (void)state;
    char said[256];
    struct text out = text_on(said, sizeof said);
    struct span two[] = {SPAN("cache"), SPAN("show")};
    assert_int_equal(command_run(two, 2, NULL, &out), RC_INVALID);
    assert_string_equal(said, "usage: cache show ID — one entry with question and answer\n");
}

static void help_lists_every_command(void **state)
{
    (void)state;
    char said[4096];
    struct text out = text_on(said, sizeof said);
    struct span word = SPAN("help");
    assert_int_equal(command_run(&word, 1, NULL, &out), RC_OK);
    for (size_t i = 0; i < command_count(); i++) assert_non_null(strstr(said, command_at(i)->name));
    assert_false(out.truncated);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_of_a_command),         cmocka_unit_test(what_is_not_an_array_of_words),
        cmocka_unit_test(an_unknown_command_says_so), cmocka_unit_test(too_few_words_show_the_usage),
        cmocka_unit_test(help_lists_every_command),
    };
    return cmocka_run_group_tests_name("control", tests, NULL, NULL);
}
