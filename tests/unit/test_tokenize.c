/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_tokenize.c — word pieces: the rules one by one on a toy vocabulary, the golden texts on the real one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "cache/tokenize.h"
#include "platform/file.h"
#include "platform/json.h"
#include "platform/rc.h"
#include "platform/text.h"
#include "tests/support/guard_page.h"
#include "tests/support/model_test.h"

enum { GOLDEN_MAX = 1 << 20, GOLDEN_TEXTS = 100 };

static struct model model;

/* `pieces`: with blanks between; [CLS] and [SEP] are added here. */
static void gives(const char *text, const char *pieces)
{
    uint16_t ids[MODEL_PIECES_MAX];
    unsigned count, at = 1;
    assert_int_equal(tokenize(&model, guarded(span_text(text)), ids, MODEL_PIECES_MAX, &count), RC_OK);
    assert_int_equal(ids[0], model_test_id("[CLS]"));
    for (struct span rest = span_text(pieces), one; rest.size > 0;) {
        char piece[64];
        rest = span_cut(rest, ' ', &one);
        snprintf(piece, sizeof piece, "%.*s", SPAN_ARG(one));
        if (at >= count || ids[at] != model_test_id(piece)) fail_msg("%s: piece %u is not %s", text, at, piece);
        at++;
    }
    if (at + 1 != count) fail_msg("%s: %u pieces, not %u", text, count - 2, at - 1);
    assert_int_equal(ids[at], model_test_id("[SEP]"));
}

static void test_words_and_pieces(void **state)
{
    (void)state;
    gives("", "");
    gives("hello", "hello");
    gives("hell", "hell");
    gives("helllo", "hell ##lo");
    gives("unwanted", "un ##want ##ed");
    gives("unwantedX", "un ##want ##ed ##x");
    gives("UnwantEd running", "un ##want ##ed runn ##ing");
    gives("world", "wor ##ld");
    gives(" \t\r\n hello \xC2\xA0\xE3\x80\x80 hello\xE2\x80\xA8", "hello hello");
}

static void test_what_cannot_be_taken_apart_is_unknown_as_a_whole(void **state)
{
    (void)state;
    gives("helloß", "[UNK]");
    gives("ß hello", "[UNK] hello");
    gives("straße", "straße");
    gives("я яя", "я [UNK]"); /* no ##я */
    gives("[CLS] [sep]", "[UNK] c ##l ##s [UNK] [UNK] s ##e ##p [UNK]");
}

static void test_punctuation_stands_alone(void **state)
{
    (void)state;
    gives("hello,hello", "hello , hello");
    gives("don't...", "d ##o ##n ' t . . .");
    gives("\xC2\xA1hello\xE2\x80\x94!?", "¡ hello — ! ?");
    gives("a~b", "a ~ b");
    gives("a$b", "a [UNK] b");
    gives("a\xCD\xBE"
          "b",
          "a [UNK] b"); /* Greek question mark decomposes to ';' */
}

static void test_marks_case_and_controls(void **state)
{
    (void)state;
    gives("CAFÉ cafe\xCC\x81", "cafe cafe");
    gives("Σ σ ς", "σ σ ς");
    gives("\xC4\xB0", "i"); /* I with a dot: decomposed first */
    gives("x\xCC\xA3", "x");
    gives("he\xC2\xADll\xE2\x80\x8Bo\x01\x7F", "hello"); /* soft hyphen, zero width space, controls */
    gives("\xEF\xBF\xBDhel\xEF\xBF\xBDlo", "hello");
    gives("\xEE\x80\x80hello", "hello"); /* private use */
    gives("\xCC\x81", "");
}

static void test_ideographs_stand_alone(void **state)
{
    (void)state;
    gives("漢字", "漢 字");
    gives("hello漢a", "hello 漢 a");
    gives("漢\xCC\x81字", "漢 字");
    gives("\xF0\xA0\x80\x80", "[UNK]");
    gives("\xEF\xA4\x80", "[UNK]"); /* a compatibility ideograph is one by its place */
}

static void test_bytes_that_are_no_utf8_are_dropped(void **state)
{
    (void)state;
    gives("hel\xFFlo", "hello");
    gives("hel\xC3", "h ##e ##l");
    gives("\xE6\xBC", "");
    gives("\xED\xA0\x80hello", "hello");
    gives("\xC0\xAFhello\xF8\x88\x80\x80\x80", "hello");
    gives("\x80\x80\xF4\x90\x80\x80", "");
}

static void test_a_hundred_characters_and_one_more(void **state)
{
    static char text[512], pieces[1024];
    (void)state;
    for (unsigned n = 99; n <= 102; n++) {
        struct text out = text_on(pieces, sizeof pieces);
        memset(text, 'z', n);
        memcpy(text + n, " a", 3);
        text_put_text(&out, n > 100 ? "[UNK]" : "z");
        for (unsigned i = 1; n <= 100 && i < n; i++) text_put_text(&out, " ##z");
        text_put_text(&out, " a");
        gives(text, pieces);
        /* marks do not count, characters of several bytes count once */
        for (unsigned i = 0; i < n; i++) memcpy(text + 3 * i, "z\xCC\x81", 3);
        memcpy(text + (size_t)3 * n, " a", 3);
        gives(text, pieces);
    }
}

static void cut(const char *text, unsigned max, int wanted, const char *last)
{
    uint16_t ids[16];
    unsigned count;
    memset(ids, 0xEE, sizeof ids);
    assert_int_equal(tokenize(&model, guarded(span_text(text)), ids, max, &count), wanted);
    if (wanted == RC_TOO_LARGE) assert_int_equal(count, max);
    assert_int_equal(ids[count - 1], model_test_id("[SEP]"));
    assert_int_equal(ids[count - 2], model_test_id(last));
    for (unsigned i = max; i < 16; i++) assert_int_equal(ids[i], 0xEEEE);
}

static void test_more_pieces_than_there_is_room_for(void **state)
{
    (void)state;
    cut("a b c", 5, RC_OK, "c");
    cut("a b c \t ", 5, RC_OK, "c");
    cut("a b c d", 5, RC_TOO_LARGE, "c");
    cut("a b unwanted", 5, RC_TOO_LARGE, "un");
    cut("a unwanted", 6, RC_OK, "##ed");
    cut("a unwanted.", 6, RC_TOO_LARGE, "##ed");
    cut("a b unwantß", 5, RC_OK, "[UNK]"); /* its pieces did not fit, it does */
    cut("a b c unwantß", 5, RC_TOO_LARGE, "c");
    cut("a", 2, RC_TOO_LARGE, "[CLS]");
}

/* ---- the real vocabulary */

static void compare(const struct model *real, const struct json_value *row)
{
    uint16_t ids[MODEL_PIECES_MAX];
    unsigned count;
    const struct json_value *wanted = json_get(row, "ids");
    struct span text = json_string(json_get(row, "text"));
    (void)tokenize(real, text, ids, MODEL_PIECES_MAX, &count);
    assert_int_equal(count, json_count(wanted));
    for (unsigned i = 0; i < count; i++) {
        int64_t id;
        assert_int_equal(json_i64(json_at(wanted, i), &id), RC_OK);
        if (ids[i] != id) fail_msg("%.*s: piece %u is %u, not %d", SPAN_ARG(text), i, ids[i], (int)id);
    }
}

static void test_the_golden_texts(void **state)
{
    static char lines[GOLDEN_MAX];
    static _Alignas(16) char memory[1 << 20];
    struct json_scratch scratch = {memory, sizeof memory};
    struct model real;
    unsigned texts = 0;
    size_t size;
    (void)state;
    if (!model_test_real(&real)) skip();
    assert_int_equal(file_read("tests/data/minilm_golden.jsonl", lines, sizeof lines, &size), RC_OK);
    for (struct span rest = span_of(lines, size), line; rest.size > 0; texts++) {
        const struct json_value *row;
        rest = span_cut(rest, '\n', &line);
        assert_int_equal(json_parse(&scratch, line, &row, NULL), RC_OK);
        compare(&real, row);
    }
    assert_int_equal(texts, GOLDEN_TEXTS);
    model_close(&real);
}

static int open_model(void **state)
{
    (void)state;
    model_test_open(&model);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words_and_pieces),
        cmocka_unit_test(test_what_cannot_be_taken_apart_is_unknown_as_a_whole),
        cmocka_unit_test(test_punctuation_stands_alone),
        cmocka_unit_test(test_marks_case_and_controls),
        cmocka_unit_test(test_ideographs_stand_alone),
        cmocka_unit_test(test_bytes_that_are_no_utf8_are_dropped),
        cmocka_unit_test(test_a_hundred_characters_and_one_more),
        cmocka_unit_test(test_more_pieces_than_there_is_room_for),
        cmocka_unit_test(test_the_golden_texts),
    };
    return cmocka_run_group_tests_name("tokenize", tests, open_model, NULL);
}
