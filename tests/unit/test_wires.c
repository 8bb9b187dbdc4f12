/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_wires.c — the endpoints besides chat and messages: what is asked, what is kept, one form of a reply made
 * from the other. */
#include "tests/support/dialect_test.h"

#include "app/gateway/stateless.h"

static const struct hash_key key = {1, 2};

static struct question ask(enum dialect wire, const char *body)
{
    struct question q;
    struct span error;
    struct question_context context = {.dialect = wire, .scope = SPAN("scope"), .key = &key};
    if (question_read(span_text(body), &context, &scratch, &arena, &q, &error) != RC_OK)
        fail_msg("%.*s in %s", SPAN_ARG(error), body);
    return q;
}

static void assert_same(const char *one, const char *other, bool same)
{
    struct question a = ask(WIRE_RESPONSES, one), b = ask(WIRE_RESPONSES, other);
    assert_int_equal(memcmp(&a.digest, &b.digest, sizeof a.digest) == 0, same);
}

#define ASK(rest) "{\"model\":\"m\"," rest "}"

/* ---- questions */

static void test_what_a_response_is_asked(void **state)
{
    (void)state;
    struct question q = ask(WIRE_RESPONSES, ASK("\"input\":\"hi there\""));
    assert_int_equal(q.flags, QUESTION_SINGLE);
    assert_span(q.query, "hi there");
    assert_null(q.bypass);
    q = ask(WIRE_RESPONSES,
            ASK("\"instructions\":\"be brief\",\"stream\":true,\"input\":[{\"role\":\"user\",\"content\":[{"
                "\"type\":\"input_text\",\"text\":\"a\"},{\"type\":\"input_text\",\"text\":\"b\"}]}]"));
    assert_int_equal(q.flags, QUESTION_SINGLE | QUESTION_SYSTEM | QUESTION_STREAM);
    assert_span(q.query, "a\nb");
    q = ask(WIRE_RESPONSES, ASK("\"input\":[{\"type\":\"function_call_output\",\"call_id\":\"c\",\"output\":\"7\"}]"));
    assert_int_equal(q.flags, QUESTION_TOOLS);
    q = ask(WIRE_RESPONSES, ASK("\"input\":\"x\",\"previous_response_id\":\"resp_1\""));
    assert_int_equal(q.flags, QUESTION_HISTORY);
    assert_span(q.previous, "resp_1");
    q = ask(WIRE_RESPONSES, ASK("\"input\":\"x\",\"text\":{\"format\":{\"type\":\"json_schema\"}}"));
    assert_int_equal(q.flags, QUESTION_SCHEMA);
}

static void test_what_of_a_response_passes_by(void **state)
{
    (void)state;
    static const struct {
        const char *body, *bypass;
    } rows[] = {
        {ASK("\"input\":\"x\",\"conversation\":{\"id\":\"conv_1\"}"), "conversation"},
        {ASK("\"input\":\"x\",\"background\":true"), "background"},
        {ASK("\"input\":\"x\",\"background\":false,\"conversation\":null"), NULL},
        {ASK("\"input\":\"x\",\"prompt\":{\"id\":\"p\"}"), "prompt without version"},
        {ASK("\"input\":\"x\",\"prompt\":{\"id\":\"p\",\"version\":\"2\"}"), NULL},
        {ASK("\"input\":\"x\",\"tools\":[{\"type\":\"file_search\"}]"), "hosted tool"},
        {ASK("\"input\":\"x\",\"tools\":[{\"type\":\"function\",\"name\":\"f\"}]"), NULL},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct question q = ask(WIRE_RESPONSES, rows[i].body);
        assert_int_equal(q.bypass == NULL, rows[i].bypass == NULL);
        if (q.bypass) assert_string_equal(q.bypass, rows[i].bypass);
    }
    assert_span(ask(WIRE_RESPONSES, rows[0].body).previous, "conv_1");
}

static void test_identity_of_a_response(void **state)
{
    (void)state;
    assert_same(ASK("\"input\":\"x\""), "{ \"input\":\"x\", \"user\":\"u\",\"stream\":true, \"model\":\"m\"}", true);
    assert_same(ASK("\"input\":\"x\""), ASK("\"input\":\"x\",\"store\":false"), false);
    assert_same(ASK("\"input\":\"x\""), ASK("\"input\":\"x\",\"metadata\":{\"a\":\"b\"}"), false);
    assert_same(ASK("\"input\":\"x\""), ASK("\"input\":\"x\",\"previous_response_id\":\"r\""), false);
    assert_same(ASK("\"input\":\"x\""), ASK("\"input\":\"y\""), false);
    /* Other words of the same question have everything else in common. */
    struct question a = ask(WIRE_RESPONSES, ASK("\"input\":\"x\"")), b = ask(WIRE_RESPONSES, ASK("\"input\":\"y\"")),
                    c = ask(WIRE_RESPONSES, ASK("\"input\":\"y\",\"instructions\":\"i\""));
    assert_int_equal(a.apart.low, b.apart.low);
    assert_true(b.apart.low != c.apart.low);
}

static void test_completions_are_for_the_same_request_only(void **state)
{
    (void)state;
    struct question q = ask(WIRE_COMPLETIONS, ASK("\"prompt\":\"once\",\"stream\":true,\"stream_options\":{"
                                                  "\"include_usage\":true}"));
    assert_int_equal(q.flags, QUESTION_EXACT | QUESTION_STREAM | QUESTION_INCLUDE_USAGE);
    assert_span(q.query, "once");
    q = ask(WIRE_COMPLETIONS, ASK("\"prompt\":[\"a\",\"b\"]"));
    assert_int_equal(q.flags, QUESTION_EXACT);
    q = ask(WIRE_COUNT_TOKENS, ASK("\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]"));
    assert_int_equal(q.flags, QUESTION_EXACT);
    struct question message = ask(DIALECT_ANTHROPIC, ASK("\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]"));
    assert_memory_not_equal(&q.digest, &message.digest, sizeof q.digest);
}

/* ---- what is kept */

static void assert_verdict(enum dialect wire, bool stream, const char *body, const char *reason, bool calls)
{
    struct verdict v;
    verdict_of(wire, stream, span_text(body), &scratch, &v);
    if (reason)
        assert_string_equal(v.reason ? v.reason : "kept", reason);
    else if (!v.storable)
        fail_msg("%s: %s", v.reason, body);
    assert_int_equal(v.storable, reason == NULL);
    assert_int_equal(v.tool_calls, calls);
}

#define RESPONSE(status, output)                                      \
    "{\"id\":\"resp_1\",\"object\":\"response\",\"status\":\"" status \
    "\",\"error\":null,\"model\":\"m\",\"output\":[" output "]}"
#define SAID(part) "{\"id\":\"msg_1\",\"type\":\"message\",\"status\":\"completed\",\"content\":[" part "]}"
#define TEXT(text) "{\"type\":\"output_text\",\"text\":\"" text "\",\"annotations\":[],\"logprobs\":[]}"
#define CALL                                                                                                        \
    "{\"id\":\"fc_1\",\"type\":\"function_call\",\"call_id\":\"c\",\"name\":\"f\",\"arguments\":\"{}\",\"status\":" \
    "\"completed\"}"
#define LAST(kind, response) \
    "event: response." kind "\ndata: {\"type\":\"response." kind "\",\"response\":" response "}\n\n"
#define DELTA "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"a\"}\n\n"

static void test_only_completed_responses_are_kept(void **state)
{
    const enum dialect w = WIRE_RESPONSES;
    (void)state;
    assert_verdict(w, false, RESPONSE("completed", SAID(TEXT("a"))), NULL, false);
    assert_verdict(w, false, RESPONSE("completed", CALL), NULL, true);
    assert_verdict(w, false, RESPONSE("incomplete", SAID(TEXT("a"))), "status incomplete", false);
    assert_verdict(w, false, RESPONSE("in_progress", ""), "status not completed", false);
    assert_verdict(w, false, RESPONSE("completed", SAID(TEXT(""))), "empty answer", false);
    assert_verdict(w, false, RESPONSE("completed", "{\"type\":\"reasoning\"}"), "empty answer", false);
    assert_verdict(w, false, RESPONSE("completed", SAID("{\"type\":\"refusal\",\"refusal\":\"no\"}")), "refusal",
                   false);
    assert_verdict(w, true, DELTA LAST("completed", RESPONSE("completed", SAID(TEXT("a")))), NULL, false);
    assert_verdict(w, true, DELTA, "stream cut", false);
    assert_verdict(w, true, DELTA LAST("incomplete", RESPONSE("incomplete", SAID(TEXT("a")))), "status incomplete",
                   false);
    assert_verdict(w, true, "event: error\ndata: {\"type\":\"error\"}\n\n" DELTA, "error event", false);
}

static void test_usage_of_a_response(void **state)
{
    struct verdict v;
    (void)state;
    verdict_of(WIRE_RESPONSES, false,
               SPAN("{\"status\":\"completed\",\"output\":[],\"usage\":{\"input_tokens\":9,\"input_tokens_details\":{"
                    "\"cached_tokens\":2},\"output_tokens\":11,\"output_tokens_details\":{\"reasoning_tokens\":3}}}"),
               &scratch, &v);
    assert_int_equal(v.usage.input_uncached, 7);
    assert_int_equal(v.usage.cache_read, 2);
    assert_int_equal(v.usage.output, 11);
    assert_int_equal(v.usage.reasoning, 3);
}

static void test_completions_and_counts(void **state)
{
    (void)state;
    assert_verdict(WIRE_COMPLETIONS, false, "{\"choices\":[{\"index\":0,\"text\":\"a\",\"finish_reason\":\"stop\"}]}",
                   NULL, false);
    assert_verdict(WIRE_COMPLETIONS, false, "{\"choices\":[{\"index\":0,\"text\":\"\",\"finish_reason\":\"stop\"}]}",
                   "empty answer", false);
    assert_verdict(WIRE_COMPLETIONS, false, "{\"choices\":[{\"index\":0,\"text\":\"a\",\"finish_reason\":\"length\"}]}",
                   "finish_reason length", false);
    assert_verdict(WIRE_COUNT_TOKENS, false, "{\"input_tokens\":12}", NULL, false);
    assert_verdict(WIRE_COUNT_TOKENS, false, "{\"input_tokens\":\"12\"}", "no finish reason", false);
}

/* ---- live */

static void test_the_end_of_a_live_response(void **state)
{
    static const char whole[] = DELTA LAST("completed", RESPONSE("completed", ""));
    (void)state;
    for (size_t piece = 1; piece < sizeof whole; piece++) {
        struct live_stream live = {.dialect = WIRE_RESPONSES};
        for (size_t at = piece; at < sizeof whole - 1; at += piece) {
            live_stream_scan(&live, span_of(whole, at), &scratch);
            assert_false(live.terminal);
        }
        live_stream_scan(&live, span_of(whole, sizeof whole - 1), &scratch);
        assert_true(live.terminal && !live.error);
        assert_int_equal(live.scanned, sizeof whole - 1);
        assert_int_equal(live.usage_to, 0);
    }
    struct live_stream live = {.dialect = WIRE_RESPONSES};
    live_stream_scan(&live, SPAN("data: {\"type\":\"response.failed\"}\n\n"), &scratch);
    assert_true(live.terminal);
    live = (struct live_stream){.dialect = WIRE_RESPONSES};
    live_stream_scan(&live, SPAN("data: [DONE]\n\n"), &scratch);
    assert_false(live.terminal);
}

/* ---- replay */

static void assert_stream(enum dialect wire, const char *object, const char *want)
{
    text_clear(&out);
    assert_int_equal(replay_stream_from_object(wire, span_text(object), false, &scratch, &out), RC_OK);
    assert_span(text_span(&out), want);
}

static void assert_object(enum dialect wire, const char *stream, const char *want)
{
    text_clear(&out);
    assert_int_equal(replay_object_from_stream(wire, span_text(stream), &scratch, &out), RC_OK);
    assert_span(text_span(&out), want);
}

#define EVENT(kind, number, rest) \
    "event: response." kind "\ndata: {\"type\":\"response." kind "\",\"sequence_number\":" number "," rest "}\n\n"
#define BEGUN                                                                                                      \
    "\"response\":{\"id\":\"resp_1\",\"object\":\"response\",\"status\":\"in_progress\",\"error\":null,\"model\":" \
    "\"m\",\"output\":[]}"
#define PLACE "\"item_id\":\"msg_1\",\"output_index\":0,\"content_index\":0,"

static void test_a_response_as_events(void **state)
{
    static const char object[] = RESPONSE("completed", SAID(TEXT("h\\u00e9")));
    (void)state;
    assert_stream(
        WIRE_RESPONSES, object,
        EVENT("created", "0", BEGUN) EVENT("in_progress", "1", BEGUN)
            EVENT("output_item.added", "2",
                  "\"output_index\":0,\"item\":{\"id\":\"msg_1\",\"type\":\"message\",\"status\":\"in_progress\","
                  "\"content\":[]}") EVENT("content_part.added", "3", PLACE "\"part\":" TEXT(""))
                EVENT("output_text.delta", "4", PLACE "\"logprobs\":[],\"delta\":\"h\xc3\xa9\"")
                    EVENT("output_text.done", "5", PLACE "\"logprobs\":[],\"text\":\"h\xc3\xa9\"")
                        EVENT("content_part.done", "6", PLACE "\"part\":" TEXT("h\xc3\xa9")) EVENT(
                            "output_item.done", "7", "\"output_index\":0,\"item\":" SAID(TEXT("h\xc3\xa9")))
                            EVENT("completed", "8", "\"response\":" RESPONSE("completed", SAID(TEXT("h\xc3\xa9")))));
    static char stream[8192];
    memcpy(stream, out.data, out.size + 1);
    assert_object(WIRE_RESPONSES, stream, RESPONSE("completed", SAID(TEXT("h\xc3\xa9"))));
    assert_true(strlen(stream) <= replay_bound(WIRE_RESPONSES, strlen(object)));
}

static void test_a_call_as_events(void **state)
{
    (void)state;
    text_clear(&out);
    assert_int_equal(
        replay_stream_from_object(WIRE_RESPONSES, SPAN(RESPONSE("completed", CALL)), false, &scratch, &out), RC_OK);
    assert_non_null(strstr(out.data, "\"arguments\":\"\",\"status\":\"in_progress\"}"));
    assert_non_null(strstr(out.data, EVENT("function_call_arguments.delta", "3",
                                           "\"item_id\":\"fc_1\",\"output_index\":0,\"delta\":\"{}\"")));
    assert_non_null(
        strstr(out.data, EVENT("function_call_arguments.done", "4",
                               "\"item_id\":\"fc_1\",\"output_index\":0,\"name\":\"f\",\"arguments\":\"{}\"")));
}

static void test_responses_that_make_no_sense(void **state)
{
    (void)state;
    text_clear(&out);
    assert_int_equal(replay_stream_from_object(WIRE_RESPONSES, SPAN("{}"), false, &scratch, &out), RC_CORRUPT);
    assert_int_equal(replay_object_from_stream(WIRE_RESPONSES, SPAN(DELTA), &scratch, &out), RC_CORRUPT);
    assert_int_equal(replay_stream_from_object(WIRE_COUNT_TOKENS, SPAN("{}"), false, &scratch, &out), RC_CORRUPT);
    char small[64];
    struct text little = text_on(small, sizeof small);
    assert_int_equal(
        replay_stream_from_object(WIRE_RESPONSES, SPAN(RESPONSE("completed", CALL)), false, &scratch, &little),
        RC_TOO_LARGE);
}

#define CHUNK(text, finish)                                                           \
    "data: {\"id\":\"c\",\"object\":\"text_completion\",\"choices\":[{\"text\":" text \
    ",\"index\":0,\"logprobs\":null,\"finish_reason\":" finish "}]}\n\n"

static void test_completions_both_ways(void **state)
{
    static const char object[] =
        "{\"id\":\"c\",\"object\":\"text_completion\",\"choices\":[{\"text\":\"ab\",\"index\":0,"
        "\"logprobs\":null,\"finish_reason\":\"stop\"}]}";
    (void)state;
    assert_stream(WIRE_COMPLETIONS, object, CHUNK("\"ab\"", "null") CHUNK("\"\"", "\"stop\"") "data: [DONE]\n\n");
    assert_object(
        WIRE_COMPLETIONS, CHUNK("\"a\"", "null") CHUNK("\"b\"", "null") CHUNK("\"\"", "\"stop\"") "data: [DONE]\n\n",
        "{\"id\":\"c\",\"object\":\"text_completion\",\"choices\":[{\"index\":0,\"text\":\"ab\",\"logprobs\":null,"
        "\"finish_reason\":\"stop\"}]}");
}

/* ---- paths */

static void test_stateless_paths(void **state)
{
    (void)state;
    assert_true(stateless_path(SPAN("POST"), SPAN("/v1/moderations")));
    assert_false(stateless_path(SPAN("GET"), SPAN("/v1/moderations")));
    assert_false(stateless_path(SPAN("POST"), SPAN("/v1/moderations/")));
    assert_false(stateless_path(SPAN("POST"), SPAN("/v1/files")));
    assert_false(stateless_path(SPAN("POST"), SPAN("/v1/responses")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_what_a_response_is_asked),
        TEST(test_what_of_a_response_passes_by),
        TEST(test_identity_of_a_response),
        TEST(test_completions_are_for_the_same_request_only),
        TEST(test_only_completed_responses_are_kept),
        TEST(test_usage_of_a_response),
        TEST(test_completions_and_counts),
        TEST(test_the_end_of_a_live_response),
        TEST(test_a_response_as_events),
        TEST(test_a_call_as_events),
        TEST(test_responses_that_make_no_sense),
        TEST(test_completions_both_ways),
        TEST(test_stateless_paths),
    };
    return cmocka_run_group_tests_name("wires", tests, NULL, NULL);
}
