/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_live.c — events of a live stream, whatever the pieces it comes in. */
#include "tests/support/dialect_test.h"

static struct live_stream live;

static void scan_in_pieces(enum dialect dialect, struct span body, size_t piece)
{
    live = (struct live_stream){.dialect = dialect};
    for (size_t at = 0; at < body.size;) {
        at = body.size - at < piece ? body.size : at + piece;
        live_stream_scan(&live, span_of(body.data, at), &scratch);
        assert_true(live.scanned <= at);
    }
}

/* The whole state after each way of cutting the body. */
static void assert_scan(enum dialect dialect, const char *body, size_t scanned, bool terminal, bool error, size_t from,
                        size_t to)
{
    struct span all = span_text(body);
    for (size_t piece = 1; piece <= all.size; piece++) {
        scan_in_pieces(dialect, all, piece);
        assert_int_equal(live.scanned, scanned);
        assert_int_equal(live.terminal, terminal);
        assert_int_equal(live.error, error);
        assert_int_equal(live.usage_from, from);
        assert_int_equal(live.usage_to, to);
    }
}

#define DELTA "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}],\"usage\":null}\n\n"
#define USAGE "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1}}\n\n"
#define DONE "data: [DONE]\n\n"
enum { DELTA_SIZE = sizeof DELTA - 1, USAGE_SIZE = sizeof USAGE - 1, DONE_SIZE = sizeof DONE - 1 };

static void test_openai_stream_to_its_end(void **state)
{
    (void)state;
    const enum dialect d = DIALECT_OPENAI;
    assert_scan(d, DELTA, DELTA_SIZE, false, false, 0, 0);
    assert_scan(d, DELTA DELTA "data: {\"cho", 2 * DELTA_SIZE, false, false, 0, 0);
    assert_scan(d, DELTA USAGE DONE, DELTA_SIZE + USAGE_SIZE + DONE_SIZE, true, false, DELTA_SIZE,
                DELTA_SIZE + USAGE_SIZE);
    assert_scan(d, DELTA "data:[DONE] \n\n", DELTA_SIZE + 14, true, false, 0, 0);
    assert_scan(d, DELTA "data: [DONE]", DELTA_SIZE, true, false, 0, 0);
    assert_scan(d, DELTA "data: [DONE", DELTA_SIZE, false, false, 0, 0);
}

static void test_every_line_end_closes_events(void **state)
{
    (void)state;
    const enum dialect d = DIALECT_OPENAI;
    assert_scan(d, "data: 1\r\n\r\ndata: [DONE]\r\n\r\n", 27, true, false, 0, 0);
    assert_scan(d, "data: 1\r\rdata: [DONE]\r\r:", 23, true, false, 0, 0);
    assert_scan(d, "data: 1\r\rdata: [DONE]\r\r", 9, true, false, 0, 0); /* an LF may follow */
    assert_scan(d, "data: {\"choices\":\r\ndata: [],\"usage\":{}}\r\n\r\n", 43, false, false, 0, 43);
    assert_scan(d, "data: {\"choices\":[],\"usage\":{}}\r\n\r\n: x\r\n", 35, false, false, 0, 35);
    assert_scan(d, ": ping\n\ndata: 1\n\n:\n\n", 20, false, false, 0, 0);
    assert_scan(d,
                "\xef\xbb\xbf"
                "data: {\"choices\":[],\"usage\":{}}\n\n",
                36, false, false, 0, 36);
}

static void test_only_a_usage_chunk_is_hidden(void **state)
{
    (void)state;
    const enum dialect d = DIALECT_OPENAI;
    const char *filter = "data: {\"choices\":[],\"prompt_filter_results\":[]}\n\n";
    const char *said = "data: {\"choices\":[{\"delta\":{\"content\":\"\\\"choices\\\":[] \\\"error\\\":1\"}}]}\n\n";
    const char *with = "data: {\"choices\":[{\"delta\":{}}],\"usage\":{\"prompt_tokens\":1}}\n\n";
    const char *deep = "data: {\"x\":{\"choices\":[],\"usage\":{},\"error\":{}},\"choices\":[{}]}\n\n";
    assert_scan(d, filter, strlen(filter), false, false, 0, 0);
    assert_scan(d, said, strlen(said), false, false, 0, 0);
    assert_scan(d, with, strlen(with), false, false, 0, 0);
    assert_scan(d, deep, strlen(deep), false, false, 0, 0);
    assert_scan(d, "data: {\"choices\" : [ ] , \"usage\":{}}\n\n", 38, false, false, 0, 38);
    assert_scan(d, "data: {\"choices\":\ndata: [],\"usage\":{}}\n\n", 40, false, false, 0, 40);
}

static void test_openai_errors(void **state)
{
    (void)state;
    const enum dialect d = DIALECT_OPENAI;
    assert_scan(d, DELTA "data: {\"error\":{\"message\":\"x\"}}\n\n", DELTA_SIZE + 33, false, true, 0, 0);
    assert_scan(d, "event: error\ndata: {}\n\n", 23, false, true, 0, 0);
    assert_scan(d, "data: {\"error\":null}\n\n", 22, false, false, 0, 0);
}

#define EVENT(type) "event: " type "\ndata: {\"type\":\"" type "\"}\n\n"

static void test_anthropic_ends_and_errors(void **state)
{
    (void)state;
    const enum dialect d = DIALECT_ANTHROPIC;
    const char *body = EVENT("message_start") EVENT("ping") EVENT("message_stop");
    assert_scan(d, body, strlen(body), true, false, 0, 0);
    body = EVENT("message_start") EVENT("error");
    assert_scan(d, body, strlen(body), false, true, 0, 0);
    body = "data: {\"type\":\"message_stop\"}\n\n";
    assert_scan(d, body, strlen(body), true, false, 0, 0);
    body = "event: content_block_delta\ndata: {\"delta\":{\"text\":\"\\\"message_stop\\\" \\\"error\\\"\"}}\n\n";
    assert_scan(d, body, strlen(body), false, false, 0, 0);
    body = "data: [DONE]\n\n";
    assert_scan(d, body, strlen(body), false, false, 0, 0);
}

/* What was sent is let go; the events that follow are found where they stand now. */
static void test_a_window_slides(void **state)
{
    (void)state;
    const char *body = DELTA USAGE DELTA "data: [DO";
    live = (struct live_stream){.dialect = DIALECT_OPENAI};
    live_stream_scan(&live, span_of(body, DELTA_SIZE + 9), &scratch);
    live_stream_slide(&live, DELTA_SIZE);
    assert_int_equal(live.scanned, 0);
    assert_int_equal(live.line, 0);
    assert_int_equal(live.looked, 9);
    live_stream_scan(&live, span_text(body + DELTA_SIZE), &scratch);
    assert_int_equal(live.usage_from, 0);
    assert_int_equal(live.usage_to, USAGE_SIZE);
    assert_int_equal(live.scanned, USAGE_SIZE + DELTA_SIZE);
    live_stream_slide(&live, USAGE_SIZE + DELTA_SIZE);
    assert_true(live.usage_to > 0 && live.usage_from == live.usage_to);
    assert_false(live.terminal);
    live_stream_scan(&live, SPAN("data: [DONE]\n\n"), &scratch);
    assert_true(live.terminal);
    assert_int_equal(live.scanned, 14);
}

/* A long event in small pieces is looked at once. */
static void test_long_lines_cost_linear_time(void **state)
{
    (void)state;
    static char body[1 << 20];
    memset(body, 'x', sizeof body);
    memcpy(body, "data: ", 6);
    live = (struct live_stream){.dialect = DIALECT_OPENAI};
    for (size_t size = 1; size <= sizeof body; size += 16) {
        live_stream_scan(&live, span_of(body, size), &scratch);
        assert_int_equal(live.looked, size);
    }
    assert_int_equal(live.scanned, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_openai_stream_to_its_end),
        TEST(test_every_line_end_closes_events),
        TEST(test_only_a_usage_chunk_is_hidden),
        TEST(test_openai_errors),
        TEST(test_anthropic_ends_and_errors),
        TEST(test_long_lines_cost_linear_time),
        TEST(test_a_window_slides),
    };
    return cmocka_run_group_tests_name("live", tests, NULL, NULL);
}
