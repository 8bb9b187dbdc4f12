/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_pack.c — lines, wordings, errors by line, bounds, the starter pack. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "platform/rc.h"
#include "storage/pack.h"

static char error[PACK_ERROR_MAX];
static char text[PACK_BYTES_MAX + 16];

static int setup(void **state)
{
    (void)state;
    return pack_reserve();
}

static struct pack *load(const char *lines)
{
    struct pack *pack = NULL;
    assert_int_equal(pack_load(SPAN("test"), span_text(lines), &pack, error), RC_OK);
    assert_string_equal(error, "");
    return pack;
}

static void refuse(const char *lines, int rc, const char *message)
{
    struct pack *pack = NULL;
    assert_int_equal(pack_load(SPAN("test"), span_text(lines), &pack, error), rc);
    assert_null(pack);
    assert_string_equal(error, message);
}

static void finds_every_wording(void **state)
{
    (void)state;
    struct span answer;
    unsigned number = 0;
    struct pack *pack = load(
        "# a comment\n\n{\"q\": [\"What is it?\", \"Qu'est-ce que c'est \\u00e0\"], \"a\": \"One\\nline \\u20ac\"}\r\n"
        "  {\"q\": \"How old?\", \"a\": \"Seven\"}");
    assert_int_equal(pack_size(pack), 2);
    assert_true(span_equal(pack_name(pack), SPAN("test")));
    assert_int_equal(pack_find(pack, SPAN("  what IS  it?! "), &answer, &number), RC_OK);
    assert_true(span_equal(answer, SPAN("One\nline \xE2\x82\xAC")));
    assert_int_equal(number, 3);
    assert_int_equal(pack_find(pack, SPAN("QU'EST-CE que c'est a\xCC\x80"), &answer, &number), RC_OK);
    assert_int_equal(number, 3);
    assert_int_equal(pack_find(pack, SPAN("how old"), &answer, &number), RC_OK);
    assert_true(span_equal(answer, SPAN("Seven")));
    assert_int_equal(number, 4);
    assert_int_equal(pack_find(pack, SPAN("how older"), &answer, &number), RC_NOT_FOUND);
    assert_int_equal(pack_question_count(pack), 3); /* as written: guards read capitals and marks */
    assert_true(span_equal(pack_question(pack, 0), SPAN("What is it?")));
    assert_true(span_equal(pack_question(pack, 1), SPAN("Qu'est-ce que c'est \xC3\xA0")));
    assert_true(span_equal(pack_question_answer(pack, 1), SPAN("One\nline \xE2\x82\xAC")));
    assert_true(span_equal(pack_question(pack, 2), SPAN("How old?")));
    assert_true(span_equal(pack_question_answer(pack, 2), SPAN("Seven")));
    assert_int_equal(pack_find(pack, SPAN("?"), &answer, &number), RC_NOT_FOUND);
    assert_int_equal(pack_find(pack, SPAN(""), &answer, &number), RC_NOT_FOUND);
    memset(text, ' ', 5000);
    memcpy(text, "how old", 7);
    assert_int_equal(pack_find(pack, span_of(text, 4096), &answer, &number), RC_OK);
    assert_int_equal(pack_find(pack, span_of(text, 4097), &answer, &number), RC_NOT_FOUND);
    pack_release(pack);
}

static void refuses_by_line(void **state)
{
    (void)state;
    refuse("{\"q\":\"a\",\"a\":\"b\"}\n{\"q\":\"A?\",\"a\":\"c\"}", RC_INVALID, "line 2: the same question twice: A?");
    refuse("\n[1]", RC_INVALID, "line 2: not a JSON object");
    refuse("{\"q\":\"a\"}", RC_INVALID, "line 1: there is no \"a\"");
    refuse("{\"a\":\"a\"}", RC_INVALID, "line 1: there is no \"q\"");
    refuse("{\"q\":\"a\",\"a\":\"b\",\"c\":1}", RC_INVALID, "line 1: an unknown member: c");
    refuse("{\"q\":\"a\",\"q\":\"b\",\"a\":\"b\"}", RC_INVALID, "line 1: \"q\" twice");
    refuse("{\"q\":[],\"a\":\"b\"}", RC_INVALID, "line 1: \"q\" is an empty list");
    refuse("{\"q\":[1],\"a\":\"b\"}", RC_INVALID, "line 1: \"q\" is not a string or a list of strings");
    refuse("{\"q\":\" ?\",\"a\":\"b\"}", RC_INVALID, "line 1: an empty question:  ?");
    refuse("{\"q\":\"x\",\"a\":\"\"}", RC_INVALID, "line 1: \"a\" is not a text, or empty");
    refuse("{\"q\":\"x\",\"a\":7}", RC_INVALID, "line 1: \"a\" is not a text, or empty");
    struct pack *pack = NULL;
    assert_int_equal(pack_load(SPAN("t"), SPAN("{\"q\":"), &pack, error), RC_INVALID);
    assert_true(span_starts_with(span_text(error), SPAN("line 1: not JSON")));
}

static void keeps_its_bounds(void **state)
{
    (void)state;
    struct pack *pack = NULL;
    size_t size = 0;
    for (unsigned i = 0; i < PACK_QUESTIONS_MAX; i++)
        size +=
            (size_t)snprintf(text + size, sizeof text - size, "{\"q\":\"question %u\",\"a\":\"answer %u\"}\n", i, i);
    assert_int_equal(pack_load(SPAN("t"), span_of(text, size), &pack, error), RC_OK);
    struct span answer;
    unsigned number;
    assert_int_equal(pack_find(pack, SPAN("Question 4095"), &answer, &number), RC_OK);
    assert_true(span_equal(answer, SPAN("answer 4095")));
    assert_int_equal(number, 4096);
    pack_release(pack);
    size += (size_t)snprintf(text + size, sizeof text - size, "{\"q\":\"one more\",\"a\":\"a\"}\n");
    assert_int_equal(pack_load(SPAN("t"), span_of(text, size), &pack, error), RC_FULL);
    assert_string_equal(error, "line 4097: more than 4096 questions");
    memset(text, '\n', sizeof text);
    assert_int_equal(pack_load(SPAN("t"), span_of(text, PACK_BYTES_MAX), &pack, error), RC_OK);
    assert_int_equal(pack_size(pack), 0);
    pack_release(pack);
    assert_int_equal(pack_load(SPAN("t"), span_of(text, PACK_BYTES_MAX + 1), &pack, error), RC_FULL);
    memset(text, 'x', PACK_LINE_MAX + 1);
    assert_int_equal(pack_load(SPAN("t"), span_of(text, PACK_LINE_MAX + 1), &pack, error), RC_INVALID);
    assert_string_equal(error, "line 1: longer than 16384 bytes");
}

/* Old and new ones together, released in any order, again and again. */
static void loads_while_others_are_there(void **state)
{
    (void)state;
    struct pack *packs[2 * PACKS_OPEN_MAX + 1] = {NULL};
    struct span answer;
    unsigned number;
    for (unsigned i = 0; i < 2 * PACKS_OPEN_MAX; i++) packs[i] = load("{\"q\":\"one\",\"a\":\"two\"}");
    assert_int_equal(pack_load(SPAN("t"), SPAN(""), &packs[2 * PACKS_OPEN_MAX], error), RC_FULL);
    for (unsigned i = 0; i < 2 * PACKS_OPEN_MAX; i += 3) {
        pack_release(packs[i]);
        packs[i] = load("{\"q\":[\"three\",\"drei\",\"tre\"],\"a\":\"four\"}");
    }
    for (unsigned i = 0; i < 2 * PACKS_OPEN_MAX; i++) {
        bool again = i % 3 == 0;
        assert_int_equal(pack_find(packs[i], again ? SPAN("drei") : SPAN("one"), &answer, &number), RC_OK);
        assert_true(span_equal(answer, again ? SPAN("four") : SPAN("two")));
        assert_int_equal(pack_find(packs[i], again ? SPAN("one") : SPAN("drei"), &answer, &number), RC_NOT_FOUND);
    }
    for (unsigned i = 0; i < 2 * PACKS_OPEN_MAX; i++) pack_release(packs[i]);
}

static void starter_pack_loads(void **state)
{
    (void)state;
    struct pack *pack = NULL;
    struct span answer;
    unsigned number;
    int fd = open("app/packs/starter.jsonl", O_RDONLY);
    assert_true(fd >= 0);
    ssize_t size = read(fd, text, sizeof text);
    close(fd);
    assert_true(size > 0);
    assert_int_equal(pack_load(SPAN("starter"), span_of(text, (size_t)size), &pack, error), RC_OK);
    assert_true(pack_size(pack) >= 40);
    assert_int_equal(pack_find(pack, SPAN("What is Larder?"), &answer, &number), RC_OK);
    assert_true(span_starts_with(answer, SPAN("Larder is one static binary")));
    assert_int_equal(pack_find(pack, SPAN("  what is\tlarder"), &answer, &number), RC_OK);
    pack_release(pack);
}

int main(void)
{
    const struct CMUnitTest pack[] = {
        cmocka_unit_test(finds_every_wording), cmocka_unit_test(refuses_by_line),
        cmocka_unit_test(keeps_its_bounds),    cmocka_unit_test(loads_while_others_are_there),
        cmocka_unit_test(starter_pack_loads),
    };
    return cmocka_run_group_tests(pack, setup, NULL);
}
