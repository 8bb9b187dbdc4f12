/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_compare.c — do two replies say the same? The parts that need no model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "app/gateway/compare.h"
#include "app/gateway/gateway.h"
#include "cache/guard.h"
#include "platform/file.h"
#include "platform/rc.h"

enum { ROOM = 4 << 20 };
static _Alignas(4096) unsigned char memory[ROOM], scratch[ROOM];
static struct arena arena;

static int start(void **state)
{
    (void)state;
    arena_init(&arena, memory, sizeof memory, NULL);
    gateway.scratch = (struct json_scratch){scratch, sizeof scratch};
    return 0;
}

static bool equal(const char *a, const char *b)
{
    size_t mark = arena_mark(&arena);
    bool there = compare_equal(span_text(a), span_text(b), &arena);
    assert_true(compare_equal(span_text(b), span_text(a), &arena) == there);
    assert_int_equal(arena_mark(&arena), mark);
    return there;
}

static void test_what_shapes_prose_does_not_count(void **state)
{
    (void)state;
    assert_true(equal("The capital is Paris.", "the capital  is paris"));
    assert_true(equal("Yes, of course!", "yes of course"));
    assert_true(equal("- one\n- two\n", "one two"));
    assert_true(equal("**Paris**", "**paris**."));
    assert_true(equal("It is 5.", "It is 5"));
    assert_true(equal("\"Quoted\" (well)", "quoted well"));
    assert_true(equal("Caf\xc3\x89", "cafe\xcc\x81"));
}

static void test_what_changes_the_meaning_does(void **state)
{
    static const char *const pairs[][2] = {
        {"1.5", "15"},         {"-5 degrees", "5 degrees"},
        {"C++", "C"},          {"10:30", "10 30"},
        {"$5", "5"},           {"5%", "5"},
        {"a+b", "a b"},        {"1,000", "1.000"},
        {"yes", "no"},         {"a < b", "a > b"},
        {"it is on", "it is"}, {"", "x"},
        {"2-3", "2 3"},        {"x = 1", "x 1"},
        {"#1", "1"},
    };
    (void)state;
    for (unsigned i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
        if (equal(pairs[i][0], pairs[i][1])) fail_msg("\"%s\" and \"%s\" are not equal", pairs[i][0], pairs[i][1]);
}

static void test_the_beginning_of_a_long_answer(void **state)
{
    static char text[3 * COMPARE_TEXT_MAX];
    (void)state;
    assert_int_equal(compare_beginning(SPAN("Short. Whole")).size, 12);
    memset(text, 'x', sizeof text);
    struct span all = span_of(text, sizeof text);
    assert_int_equal(compare_beginning(all).size, COMPARE_TEXT_MAX);
    memcpy(text + 800, ". ", 2);
    assert_int_equal(compare_beginning(all).size, 801);
    memcpy(text + 900, "?\n", 2);
    assert_int_equal(compare_beginning(all).size, 901 + 1);
    memcpy(text + 950, ".5", 2); /* no end of a sentence */
    assert_int_equal(compare_beginning(all).size, 902);
    memset(text, 'x', sizeof text);
    memcpy(text + COMPARE_TEXT_MAX - 1, "\xe2\x82\xac", 3); /* it would be cut in two */
    assert_int_equal(compare_beginning(all).size, COMPARE_TEXT_MAX - 1);
    memset(text, 0x80, sizeof text); /* not UTF-8 at all */
    assert_true(compare_beginning(all).size <= COMPARE_TEXT_MAX);
}

#define BIT(guard) (UINT32_C(1) << (guard))

static void test_which_guards_count(void **state)
{
    static char text[COMPARE_SHORT_MAX + 1];
    struct span brief = SPAN("brief"), lengthy = span_of(text, sizeof text);
    const uint32_t all = BIT(GUARDS) - 1;
    (void)state;
    uint32_t ever = BIT(GUARD_NUM) | BIT(GUARD_NUM1) | BIT(GUARD_UNIT) | BIT(GUARD_ORD) | BIT(GUARD_NEG);
    uint32_t between_short = ever | BIT(GUARD_ANT) | BIT(GUARD_AFFIX) | BIT(GUARD_ENT_SUB) | BIT(GUARD_TRANSP);
    assert_int_equal(compare_vetoes_that_count(lengthy, brief, all), ever);
    assert_int_equal(compare_vetoes_that_count(brief, lengthy, all), ever);
    assert_int_equal(compare_vetoes_that_count(brief, brief, all), between_short);
    assert_int_equal(compare_vetoes_that_count(brief, brief, 0), 0);
}

static void test_verdicts(void **state)
{
    static const struct {
        float cosine;
        uint32_t vetoes;
        enum compare_verdict verdict;
    } rows[] = {
        {0.80F, 0, COMPARE_SAME},
        {0.79F, 0, COMPARE_UNSURE},
        {0.55F, 0, COMPARE_UNSURE},
        {0.54F, 0, COMPARE_OTHER},
        {0.99F, BIT(GUARD_NUM), COMPARE_OTHER},
        {0.99F, BIT(GUARD_NEG), COMPARE_UNSURE},
        {0.69F, BIT(GUARD_NEG), COMPARE_OTHER},
        {0.99F, BIT(GUARD_NEG) | BIT(GUARD_ANT), COMPARE_OTHER},
    };
    (void)state;
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(compare_judge(rows[i].cosine, rows[i].vetoes), rows[i].verdict);
}

struct pair {
    struct span a, b;
    double cosine;
    bool same;
};

static struct pair read_pair(struct span line)
{
    const struct json_value *root;
    struct pair pair = {0};
    assert_int_equal(json_parse(&gateway.scratch, line, &root, NULL), RC_OK);
    pair.a = json_string(json_get(root, "a"));
    pair.b = json_string(json_get(root, "b"));
    pair.same = json_is_true(json_get(root, "same"));
    assert_int_equal(json_double(json_get(root, "cosine"), &pair.cosine), RC_OK);
    return pair;
}

static enum compare_verdict judge(const struct pair *pair)
{
    struct guard_text *read[2];
    for (unsigned i = 0; i < 2; i++) {
        read[i] = arena_take(&arena, guard_text_size(), 64);
        assert_non_null(read[i]);
    }
    if (compare_equal(pair->a, pair->b, &arena)) return COMPARE_SAME;
    guard_read(pair->a, read[0]);
    guard_read(pair->b, read[1]);
    uint32_t vetoes = compare_vetoes_that_count(pair->a, pair->b, guard_vetoes(read[0], read[1], false));
    return compare_judge((float)pair->cosine, vetoes);
}

/* The figures of docs/semantic.md; the cosines in the file are the local model's. */
static void test_pairs_of_answers(void **state)
{
    static char text[32768];
    unsigned counts[2][3] = {{0}};
    size_t size = 0;
    (void)state;
    assert_int_equal(file_read("tests/data/answer_pairs.jsonl", text, sizeof text, &size), RC_OK);
    for (struct span line, rest = span_of(text, size); rest.size;) {
        rest = span_cut(rest, '\n', &line);
        struct pair pair = read_pair(line);
        counts[pair.same][judge(&pair)]++;
        arena_reset(&arena, 0);
    }
    print_message("same: %u same, %u other, %u unsure; different: %u same, %u other, %u unsure\n", counts[1][0],
                  counts[1][1], counts[1][2], counts[0][0], counts[0][1], counts[0][2]);
    assert_int_equal(counts[1][COMPARE_SAME], 21);
    assert_int_equal(counts[1][COMPARE_OTHER], 1);
    assert_int_equal(counts[0][COMPARE_SAME], 1);
    assert_int_equal(counts[0][COMPARE_OTHER], 29);
}

/* ---- texts of replies */

static void expect_text(enum dialect dialect, enum entry_form form, const char *body, const char *want)
{
    struct span text = {0};
    int rc = compare_text(dialect, form, span_text(body), &arena, &text);
    assert_int_equal(rc, RC_OK);
    assert_int_equal(text.size, strlen(want));
    assert_memory_equal(text.data, want, text.size);
    arena_reset(&arena, 0);
}

static void test_texts_of_every_form(void **state)
{
    (void)state;
    expect_text(DIALECT_OPENAI, ENTRY_OBJECT,
                "{\"id\":\"a\",\"object\":\"chat.completion\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,"
                "\"message\":{\"role\":\"assistant\",\"content\":\"an \\u20ac\"},\"finish_reason\":\"stop\"}]}",
                "an \xe2\x82\xac");
    expect_text(
        DIALECT_OPENAI, ENTRY_OBJECT,
        "{\"choices\":[{\"message\":{\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\",\"text\":"
        "\"b\"}]}}]}",
        "a\nb");
    expect_text(DIALECT_OPENAI, ENTRY_STREAM,
                "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{"
                "\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"on\"},\"finish_reason\":null}]}\n\n"
                "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{"
                "\"index\":0,\"delta\":{\"content\":\"e two\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n",
                "one two");
    expect_text(DIALECT_ANTHROPIC, ENTRY_OBJECT,
                "{\"id\":\"m\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"c\",\"content\":[{\"type\":"
                "\"thinking\",\"thinking\":\"hm\",\"signature\":\"s\"},{\"type\":\"text\",\"text\":\"said\"}],"
                "\"stop_reason\":\"end_turn\"}",
                "said");
    expect_text(
        DIALECT_ANTHROPIC, ENTRY_STREAM,
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"type\":\"message\","
        "\"role\":\"assistant\",\"model\":\"c\",\"content\":[],\"stop_reason\":null,\"usage\":{\"input_tokens\":1,"
        "\"output_tokens\":1}}}\n\n"
        "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{"
        "\"type\":\"text\",\"text\":\"\"}}\n\n"
        "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":"
        "\"text_delta\",\"text\":\"streamed\"}}\n\n"
        "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n"
        "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},"
        "\"usage\":{\"output_tokens\":2}}\n\n"
        "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
        "streamed");
}

static void test_replies_that_say_nothing(void **state)
{
    struct span text;
    (void)state;
    assert_int_equal(compare_text(DIALECT_OPENAI, ENTRY_OBJECT, SPAN("{\"choices\":[]}"), &arena, &text), RC_EMPTY);
    assert_int_equal(compare_text(DIALECT_OPENAI, ENTRY_OBJECT, SPAN("no json"), &arena, &text), RC_CORRUPT);
    assert_int_equal(compare_text(DIALECT_ANTHROPIC, ENTRY_OBJECT, SPAN("[1,2]"), &arena, &text), RC_EMPTY);
    struct arena small;
    static _Alignas(4096) unsigned char page[4096];
    arena_init(&small, page, sizeof page, NULL);
    assert_non_null(arena_take(&small, 4080, 1));
    assert_int_equal(compare_text(DIALECT_OPENAI, ENTRY_OBJECT, SPAN("{\"choices\":[]}     "), &small, &text), RC_FULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_shapes_prose_does_not_count),
        cmocka_unit_test(test_what_changes_the_meaning_does),
        cmocka_unit_test(test_the_beginning_of_a_long_answer),
        cmocka_unit_test(test_which_guards_count),
        cmocka_unit_test(test_verdicts),
        cmocka_unit_test(test_pairs_of_answers),
        cmocka_unit_test(test_texts_of_every_form),
        cmocka_unit_test(test_replies_that_say_nothing),
    };
    return cmocka_run_group_tests_name("compare", tests, start, NULL);
}
