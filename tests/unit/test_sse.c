/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_sse.c — events in any chunking, and written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "net/sse.h"
#include "platform/rc.h"
#include "platform/text.h"
#include "tests/support/guard_page.h"

enum { CAPACITY = 256 };

/* Reads `in` in pieces and writes "[event|data|id]" for each event; the buffer ends at an unreadable page too. */
static const char *read_all(struct span in, size_t piece)
{
    static char out[1024], buffer[CAPACITY];
    struct text text = text_on(out, sizeof out);
    struct sse_reader r;
    sse_reader_init(&r, buffer, sizeof buffer);
    for (size_t at = 0; at < in.size; at += piece) {
        struct span part = guarded(span_of(in.data + at, in.size - at < piece ? in.size - at : piece));
        struct sse_event e;
        int rc;
        while ((rc = sse_read(&r, &part, &e)) == RC_OK)
            text_format(&text, "[%.*s|%.*s|%.*s]", SPAN_ARG(e.event), SPAN_ARG(e.data), SPAN_ARG(e.id));
        if (rc != RC_AGAIN) text_put_text(&text, rc == RC_TOO_LARGE ? "too large" : "?");
        if (rc != RC_AGAIN) break;
    }
    return out;
}

static void check(const char *in, const char *expected)
{
    for (size_t piece = 1; piece <= strlen(in); piece++) {
        const char *out = read_all(span_text(in), piece);
        if (strcmp(out, expected) != 0) fail_msg("in pieces of %zu: %s, not %s", piece, out, expected);
    }
}

static void test_wire_forms(void **state)
{
    (void)state;
    check("data: {\"a\":1}\n\ndata: [DONE]\n\n", "[|{\"a\":1}|][|[DONE]|]");
    check("event: message_start\ndata: {}\n\nevent: ping\ndata: {}\n\n", "[message_start|{}|][ping|{}|]");
    check("data: {}\nevent: late\n\n", "[late|{}|]");
    check("id: 7\nevent: e\ndata: x\n\ndata: y\n\n", "[e|x|7][|y|]");
}

static void test_line_ends(void **state)
{
    (void)state;
    check("data: a\r\n\r\ndata: b\r\n\r\n", "[|a|][|b|]");
    check("data: a\r\rdata: b\r\r", "[|a|][|b|]");
    check("data: a\n\r\ndata: b\r\n\ndata: c\r\n\rdata: d\n\n", "[|a|][|b|][|c|][|d|]");
    check("data: a\r\n\n\n\r\n\r\rdata: b\n\n", "[|a|][|b|]");
}

static void test_fields(void **state)
{
    (void)state;
    check("data:a\n\ndata: a\n\ndata:  a\n\n", "[|a|][|a|][| a|]");
    check("data: a\ndata\ndata:\ndata: b\n\n", "[|a\n\n\nb|]");
    check("data\n\n", "[||]");
    check("data:\ndata:\n\n", "[|\n|]");
    check("data: a:b: c\n\n", "[|a:b: c|]");
    check(": comment\n\n:\n\nretry: 10\n\nevent: x\n\ndata: y\n\n", "[|y|]");
    check("datax: a\n data: b\nDATA: c\ndata: d\n\n", "[|d|]");
    check("data: \xc3\xa9\xf0\x9f\x98\x80\n\n", "[|\xc3\xa9\xf0\x9f\x98\x80|]");
    check("data: unfinished\n", "");
    static const char nul_in_id[] = "id: a\0b\ndata: x\n\n";
    assert_string_equal(read_all(span_of(nul_in_id, sizeof nul_in_id - 1), 64), "[|x|]");
}

static void test_byte_order_mark(void **state)
{
    (void)state;
    check("\xef\xbb\xbf"
          "data: a\n\n",
          "[|a|]");
    check("\xef\xbb\xbf\xef\xbb\xbf"
          "data: a\n\ndata: b\n\n",
          "[|b|]");
    check("data: a\n\n\xef\xbb\xbf"
          "data: b\n\n",
          "[|a|]");
}

/* Type and id are set again and again, longer, shorter and empty, in both orders. */
static void test_marks_move(void **state)
{
    (void)state;
    check("event: aaaa\nid: 12\nevent: b\ndata: x\n\n", "[b|x|12]");
    check("event: a\nid: 12\nevent: bbbbbb\ndata: x\nid: 3456\n\n", "[bbbbbb|x|3456]");
    check("id: 1\nevent: a\nid\nevent: bb\nid: 999\ndata: x\n\n", "[bb|x|999]");
    check("event: aaaaaaaa\nid\nevent: b\nevent\ndata: x\n\n", "[|x|]");
    char text[4000] = "", line[64];
    for (unsigned i = 0; i < 50; i++) { /* nothing is lost of the buffer */
        snprintf(line, sizeof line, "event: %.*s\nid: %.*s\n", (int)(i * 7 % 30), "eeeeeeeeeeeeeeeeeeeeeeeeeeeeee",
                 (int)(i * 11 % 20), "iiiiiiiiiiiiiiiiiiii");
        strcat(text, line);
    }
    strcat(text, "data: x\n\n");
    check(text, "[eeeeeeeeeeeee|x|iiiiiiiiiiiiiiiiiii]");
    text[0] = '\0';
    for (unsigned i = 0; i < 50; i++) strcat(text, "event: aaaaaaaaaa\nid\n");
    strcat(text, "data: x\n\n");
    check(text, "[aaaaaaaaaa|x|]");
}

static void test_capacity(void **state)
{
    (void)state;
    char text[CAPACITY * 2];
    int size = snprintf(text, sizeof text, "data: %0*d\n\n", CAPACITY - 6, 1);
    assert_int_equal(strlen(read_all(span_of(text, (size_t)size), 1000)), CAPACITY - 6 + 4);
    assert_int_equal(strlen(read_all(span_of(text, (size_t)size), 3)), CAPACITY - 6 + 4);
    size = snprintf(text, sizeof text, "data: %0*d\n\n", CAPACITY - 5, 1);
    assert_string_equal(read_all(span_of(text, (size_t)size), 1000), "too large");
    size = snprintf(text, sizeof text, "event: %0*d\ndata: xy\n\n", CAPACITY - 7, 1); /* no room beside the type */
    assert_string_equal(read_all(span_of(text, (size_t)size), 1000), "too large");
    size = snprintf(text, sizeof text, "event: %0*d\ndata: x\n\n", CAPACITY - 7 - 7, 1);
    assert_int_equal(strlen(read_all(span_of(text, (size_t)size), 5)), CAPACITY - 14 + 5);
}

static void check_written(const char *event, const char *data, const char *expected)
{
    char buffer[256];
    struct text out = text_on(buffer, sizeof buffer);
    sse_write(&out, span_text(event), guarded(span_text(data)));
    assert_string_equal(buffer, expected);
}

static void test_write(void **state)
{
    (void)state;
    check_written("", "{}", "data: {}\n\n");
    check_written("ping", "", "event: ping\ndata: \n\n");
    check_written("", "a\nb\r\nc\rd", "data: a\ndata: b\ndata: c\ndata: d\n\n");
    check_written("", "a\n", "data: a\ndata: \n\n");
    check_written("x\ndata: forged", "a", "event: x\ndata: a\n\n");
    char buffer[64];
    struct text out = text_on(buffer, sizeof buffer);
    sse_write(&out, SPAN("e"), SPAN("a\n\nb"));
    check(buffer, "[e|a\n\nb|]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wire_forms),      cmocka_unit_test(test_line_ends),  cmocka_unit_test(test_fields),
        cmocka_unit_test(test_byte_order_mark), cmocka_unit_test(test_marks_move), cmocka_unit_test(test_capacity),
        cmocka_unit_test(test_write),
    };
    return cmocka_run_group_tests_name("sse", tests, NULL, NULL);
}
