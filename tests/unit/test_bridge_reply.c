/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_bridge_reply.c — objects, streams and errors written in the other dialect, to the byte. */
#include "app/gateway/bridge.h"
#include "tests/support/dialect_test.h"

enum { NOW = 1700000000 };

static void assert_object(enum dialect to, const char *object, const char *want)
{
    text_clear(&out);
    assert_int_equal(bridge_object(to, span_text(object), NOW, &scratch, &out), RC_OK);
    assert_span(text_span(&out), want);
}

static void assert_no_object(enum dialect to, const char *object)
{
    text_clear(&out);
    assert_int_equal(bridge_object(to, span_text(object), NOW, &scratch, &out), RC_CORRUPT);
}

/* Events' data, ended by NULL. Returns the result of the last. */
static int convert(enum dialect to, const char *const *events)
{
    struct bridge_stream stream = {.to = to, .now_s = NOW};
    int rc = RC_OK;
    text_clear(&out);
    for (; rc == RC_OK && *events; events++) rc = bridge_stream_event(&stream, span_text(*events), &scratch, &out);
    return rc;
}

#define EVENTS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* ---- objects */

#define COMPLETION(message, finish, usage)                                                                            \
    "{\"id\":\"c1\",\"object\":\"chat.completion\",\"created\":1700000000,\"model\":\"m\",\"choices\":[{\"index\":0," \
    "\"message\":" message ",\"logprobs\":null,\"finish_reason\":" finish "}],\"usage\":" usage "}"
#define MESSAGE(content, stop, usage)                                                                       \
    "{\"id\":\"c1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"m\",\"content\":[" content "]," \
    "\"stop_reason\":" stop ",\"stop_sequence\":null,\"usage\":" usage "}"
#define USED                                                                                                          \
    "{\"prompt_tokens\":10,\"completion_tokens\":5,\"total_tokens\":15,\"prompt_tokens_details\":{\"cached_tokens\":" \
    "4}}"
#define USAGE "{\"input_tokens\":6,\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":4,\"output_tokens\":5}"
#define NONE "{\"input_tokens\":0,\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":0,\"output_tokens\":0}"

static void test_completion_as_message(void **state)
{
    (void)state;
    assert_object(DIALECT_ANTHROPIC,
                  COMPLETION("{\"role\":\"assistant\",\"content\":\"Caf\xc3\xa9 \\\"x\\\"\",\"reasoning\":\"hm\"}",
                             "\"stop\"", USED),
                  MESSAGE("{\"type\":\"text\",\"text\":\"Caf\xc3\xa9 \\\"x\\\"\"}", "\"end_turn\"", USAGE));
    assert_object(
        DIALECT_ANTHROPIC,
        COMPLETION(
            "{\"content\":\"\",\"tool_calls\":[{\"id\":\"t1\",\"type\":\"function\",\"function\":{\"name\":\"f\","
            "\"arguments\":\"{\\\"a\\\": [1.0]}\"}},{\"function\":{\"name\":\"g\",\"arguments\":\"\"}}]}",
            "\"stop\"", "null"),
        MESSAGE("{\"type\":\"tool_use\",\"id\":\"t1\",\"name\":\"f\",\"input\":{\"a\":[1.0]}},{\"type\":\"tool_use\","
                "\"id\":\"call_1\",\"name\":\"g\",\"input\":{}}",
                "\"tool_use\"", NONE));
    assert_object(DIALECT_ANTHROPIC, COMPLETION("{\"content\":\"x\"}", "\"length\"", USED),
                  MESSAGE("{\"type\":\"text\",\"text\":\"x\"}", "\"max_tokens\"", USAGE));
    assert_object(DIALECT_ANTHROPIC, COMPLETION("{\"content\":\"x\"}", "\"content_filter\"", USED),
                  MESSAGE("{\"type\":\"text\",\"text\":\"x\"}", "\"refusal\"", USAGE));
    assert_object(DIALECT_ANTHROPIC, COMPLETION("{\"content\":null,\"refusal\":\"no\"}", "\"stop\"", USED),
                  MESSAGE("{\"type\":\"text\",\"text\":\"no\"}", "\"refusal\"", USAGE));
    assert_object(DIALECT_ANTHROPIC, COMPLETION("{\"content\":\"x\"}", "null", USED),
                  MESSAGE("{\"type\":\"text\",\"text\":\"x\"}", "null", USAGE));
    assert_no_object(DIALECT_ANTHROPIC, "{}");
    assert_no_object(DIALECT_ANTHROPIC, "[");
    assert_no_object(DIALECT_ANTHROPIC, "{\"choices\":[]}");
    assert_no_object(
        DIALECT_ANTHROPIC,
        "{\"choices\":[{\"message\":{\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":\"{\"}}]}}]}");
}

static void test_message_as_completion(void **state)
{
    (void)state;
    assert_object(
        DIALECT_OPENAI,
        MESSAGE(
            "{\"type\":\"thinking\",\"thinking\":\"hm\",\"signature\":\"s\"},{\"type\":\"text\",\"text\":\"a\\\"\"},"
            "{\"type\":\"text\",\"text\":\"b\"}",
            "\"end_turn\"", USAGE),
        COMPLETION("{\"role\":\"assistant\",\"content\":\"a\\\"b\",\"refusal\":null}", "\"stop\"", USED));
    assert_object(
        DIALECT_OPENAI,
        MESSAGE("{\"type\":\"tool_use\",\"id\":\"t1\",\"name\":\"f\",\"input\":{\"a\":[1.0]}},{\"type\":\"tool_use\","
                "\"id\":\"t2\",\"name\":\"g\",\"input\":{}}",
                "\"tool_use\"", USAGE),
        COMPLETION(
            "{\"role\":\"assistant\",\"content\":null,\"refusal\":null,\"tool_calls\":[{\"id\":\"t1\",\"type\":"
            "\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"a\\\":[1.0]}\"}},{\"id\":\"t2\",\"type\":"
            "\"function\",\"function\":{\"name\":\"g\",\"arguments\":\"{}\"}}]}",
            "\"tool_calls\"", USED));
    static const char *const ends[][2] = {{"\"stop_sequence\"", "\"stop\""},
                                          {"\"max_tokens\"", "\"length\""},
                                          {"\"refusal\"", "\"content_filter\""},
                                          {"\"pause_turn\"", "\"length\""},
                                          {"\"odd\"", "null"},
                                          {"null", "null"}};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        char message[512], completion[512];
        snprintf(message, sizeof message, MESSAGE("{\"type\":\"text\",\"text\":\"x\"}", "%s", USAGE), ends[i][0]);
        snprintf(completion, sizeof completion,
                 COMPLETION("{\"role\":\"assistant\",\"content\":\"x\",\"refusal\":null}", "%s", USED), ends[i][1]);
        assert_object(DIALECT_OPENAI, message, completion);
    }
    assert_no_object(DIALECT_OPENAI, "{\"content\":\"x\"}");
    assert_no_object(DIALECT_OPENAI, MESSAGE("{\"type\":\"server_tool_use\"}", "\"end_turn\"", USAGE));
}

/* ---- streams to messages */

#define DELTA(delta, finish) \
    "{\"id\":\"c1\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{" delta "},\"finish_reason\":" finish "}]}"
#define EVENT(type, rest) "event: " type "\ndata: {\"type\":\"" type "\"" rest "}\n\n"
#define START                                                                                                         \
    EVENT("message_start", ",\"message\":{\"id\":\"c1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"m\"," \
                           "\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":" NONE "}")
#define TEXT_BLOCK(index) \
    EVENT("content_block_start", ",\"index\":" index ",\"content_block\":{\"type\":\"text\",\"text\":\"\"}")
#define CALL_BLOCK(index, id, name)                                                                           \
    EVENT("content_block_start", ",\"index\":" index ",\"content_block\":{\"type\":\"tool_use\",\"id\":\"" id \
                                 "\",\"name\":\"" name "\",\"input\":{}}")
#define TEXT_DELTA(index, text) \
    EVENT("content_block_delta", ",\"index\":" index ",\"delta\":{\"type\":\"text_delta\",\"text\":\"" text "\"}")
#define JSON_DELTA(index, json)  \
    EVENT("content_block_delta", \
          ",\"index\":" index ",\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"" json "\"}")
#define STOP(index) EVENT("content_block_stop", ",\"index\":" index)
#define END(reason, usage)                                                                                        \
    EVENT("message_delta", ",\"delta\":{\"stop_reason\":\"" reason "\",\"stop_sequence\":null},\"usage\":" usage) \
    EVENT("message_stop", "")

static void test_text_stream_to_messages(void **state)
{
    (void)state;
    assert_int_equal(convert(DIALECT_ANTHROPIC, EVENTS(DELTA("\"role\":\"assistant\",\"content\":\"\"", "null"),
                                                       DELTA("\"reasoning_content\":\"hm\"", "null"),
                                                       DELTA("\"content\":\"a\\n\"", "null"),
                                                       DELTA("\"content\":\"b\"", "null"), DELTA("", "\"stop\""),
                                                       "{\"id\":\"c1\",\"choices\":[],\"usage\":" USED "}", "[DONE]")),
                     RC_OK);
    assert_span(text_span(&out),
                START TEXT_BLOCK("0") TEXT_DELTA("0", "a\\n") TEXT_DELTA("0", "b") STOP("0") END("end_turn", USAGE));
    assert_int_equal(convert(DIALECT_ANTHROPIC, EVENTS(DELTA("\"refusal\":\"no\"", "\"stop\""), "[DONE]")), RC_OK);
    assert_span(text_span(&out), START TEXT_BLOCK("0") TEXT_DELTA("0", "no") STOP("0") END("refusal", NONE));
}

#define CALL(index, id, name, arguments)                                                          \
    "{\"index\":" index ",\"id\":\"" id "\",\"type\":\"function\",\"function\":{\"name\":\"" name \
    "\",\"arguments\":\"" arguments "\"}}"
#define MORE(index, arguments) "{\"index\":" index ",\"function\":{\"arguments\":\"" arguments "\"}}"
#define CALLS(calls) DELTA("\"tool_calls\":[" calls "]", "null")

static void test_calls_stream_to_messages(void **state)
{
    (void)state;
    assert_int_equal(
        convert(DIALECT_ANTHROPIC, EVENTS(DELTA("\"content\":\"I look\"", "null"), CALLS(CALL("0", "t1", "f", "")),
                                          CALLS(MORE("0", "{\\\"a\\\"")), CALLS(MORE("0", ":1}")),
                                          CALLS(CALL("1", "t2", "g", "{}")), DELTA("", "\"tool_calls\""), "[DONE]")),
        RC_OK);
    assert_span(text_span(&out),
                START TEXT_BLOCK("0") TEXT_DELTA("0", "I look") STOP("0") CALL_BLOCK("1", "t1", "f")
                    JSON_DELTA("1", "{\\\"a\\\"") JSON_DELTA("1", ":1}") STOP("1") CALL_BLOCK("2", "t2", "g")
                        JSON_DELTA("2", "{}") STOP("2") END("tool_use", NONE));
    /* Whole calls with one index, and an end that does not say calls, as some local servers have it. */
    assert_int_equal(convert(DIALECT_ANTHROPIC, EVENTS(CALLS(CALL("0", "t1", "f", "{}") "," CALL("0", "t2", "g", "{}")),
                                                       DELTA("", "\"stop\""), "[DONE]")),
                     RC_OK);
    assert_span(text_span(&out), START CALL_BLOCK("0", "t1", "f") JSON_DELTA("0", "{}") STOP("0")
                                     CALL_BLOCK("1", "t2", "g") JSON_DELTA("1", "{}") STOP("1") END("tool_use", NONE));
    /* A call that has ended cannot go on. */
    assert_int_equal(convert(DIALECT_ANTHROPIC, EVENTS(CALLS(CALL("0", "t1", "f", "")), CALLS(CALL("1", "t2", "g", "")),
                                                       CALLS(MORE("0", "x")))),
                     RC_CORRUPT);
}

static void test_stream_to_messages_that_is_none(void **state)
{
    (void)state;
    assert_int_equal(convert(DIALECT_ANTHROPIC, EVENTS("[DONE]")), RC_CORRUPT);
    assert_int_equal(convert(DIALECT_ANTHROPIC, EVENTS(DELTA("\"content\":\"a\"", "null"), "[DONE]")), RC_CORRUPT);
    assert_int_equal(convert(DIALECT_ANTHROPIC, EVENTS("{\"x\":1}")), RC_CORRUPT);
    assert_int_equal(convert(DIALECT_ANTHROPIC, EVENTS("nonsense")), RC_CORRUPT);
    assert_int_equal(convert(DIALECT_ANTHROPIC, EVENTS("{\"error\":{\"message\":\"out\",\"type\":\"server_error\"}}",
                                                       DELTA("\"content\":\"a\"", "null"), "[DONE]")),
                     RC_OK);
    assert_span(text_span(&out),
                "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"out\"}}\n\n");
}

/* ---- streams to completions */

#define CHUNK(choices, more)                                                                                           \
    "data: "                                                                                                           \
    "{\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"m\",\"choices\":[" choices \
    "]" more "}\n\n"
#define CHOICE(delta, finish) \
    CHUNK("{\"index\":0,\"delta\":{" delta "},\"logprobs\":null,\"finish_reason\":" finish "}", "")
#define FIRST CHOICE("\"role\":\"assistant\",\"content\":\"\",\"refusal\":null", "null")
#define LAST(finish, usage) CHOICE("", "\"" finish "\"") CHUNK("", ",\"usage\":" usage) "data: [DONE]\n\n"
#define MESSAGE_START                                                                                       \
    "{\"type\":\"message_start\",\"message\":{\"id\":\"c1\",\"model\":\"m\",\"usage\":{\"input_tokens\":6," \
    "\"cache_read_input_tokens\":4,\"output_tokens\":1}}}"
#define BLOCK(block) "{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{" block "}}"
#define PART(delta) "{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{" delta "}}"
#define BLOCK_STOP "{\"type\":\"content_block_stop\",\"index\":0}"
#define MESSAGE_DELTA(stop) \
    "{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"" stop "\"},\"usage\":{\"output_tokens\":5}}"
#define MESSAGE_STOP "{\"type\":\"message_stop\"}"

static void test_text_stream_to_completions(void **state)
{
    (void)state;
    assert_int_equal(
        convert(DIALECT_OPENAI,
                EVENTS(MESSAGE_START, BLOCK("\"type\":\"thinking\",\"thinking\":\"\""), "{\"type\":\"ping\"}",
                       PART("\"type\":\"thinking_delta\",\"thinking\":\"hm\""),
                       PART("\"type\":\"signature_delta\",\"signature\":\"s\""), BLOCK_STOP,
                       BLOCK("\"type\":\"text\",\"text\":\"\""), PART("\"type\":\"text_delta\",\"text\":\"a\\n\""),
                       PART("\"type\":\"text_delta\",\"text\":\"b\""), BLOCK_STOP, MESSAGE_DELTA("end_turn"),
                       MESSAGE_STOP)),
        RC_OK);
    assert_span(text_span(&out),
                FIRST CHOICE("\"content\":\"a\\n\"", "null") CHOICE("\"content\":\"b\"", "null") LAST("stop", USED));
}

#define HEAD(index, id, name)                                                                    \
    CHOICE("\"tool_calls\":[{\"index\":" index ",\"id\":\"" id                                   \
           "\",\"type\":\"function\",\"function\":{\"name\":\"" name "\",\"arguments\":\"\"}}]", \
           "null")
#define ARGUMENTS(index, text) CHOICE("\"tool_calls\":[" MORE(index, text) "]", "null")

static void test_calls_stream_to_completions(void **state)
{
    (void)state;
    assert_int_equal(
        convert(DIALECT_OPENAI,
                EVENTS(MESSAGE_START, BLOCK("\"type\":\"tool_use\",\"id\":\"t1\",\"name\":\"f\",\"input\":{}"),
                       PART("\"type\":\"input_json_delta\",\"partial_json\":\"\""),
                       PART("\"type\":\"input_json_delta\",\"partial_json\":\"{\\\"a\\\"\""),
                       PART("\"type\":\"input_json_delta\",\"partial_json\":\":1}\""), BLOCK_STOP,
                       BLOCK("\"type\":\"tool_use\",\"id\":\"t2\",\"name\":\"g\",\"input\":{}"),
                       PART("\"type\":\"input_json_delta\",\"partial_json\":\"\""), BLOCK_STOP,
                       MESSAGE_DELTA("tool_use"), MESSAGE_STOP)),
        RC_OK);
    assert_span(text_span(&out), FIRST HEAD("0", "t1", "f") ARGUMENTS("0", "{\\\"a\\\"") ARGUMENTS("0", ":1}")
                                     HEAD("1", "t2", "g") ARGUMENTS("1", "{}") LAST("tool_calls", USED));
}

static void test_stream_to_completions_that_is_none(void **state)
{
    (void)state;
    assert_int_equal(convert(DIALECT_OPENAI, EVENTS(MESSAGE_STOP)), RC_CORRUPT);
    assert_int_equal(convert(DIALECT_OPENAI, EVENTS(MESSAGE_START, MESSAGE_START)), RC_CORRUPT);
    assert_int_equal(convert(DIALECT_OPENAI, EVENTS(MESSAGE_START, MESSAGE_STOP)), RC_CORRUPT);
    assert_int_equal(convert(DIALECT_OPENAI, EVENTS(MESSAGE_START, BLOCK("\"type\":\"server_tool_use\""))), RC_CORRUPT);
    assert_int_equal(
        convert(DIALECT_OPENAI, EVENTS(MESSAGE_START, PART("\"type\":\"input_json_delta\",\"partial_json\":\"x\""))),
        RC_CORRUPT);
    assert_int_equal(convert(DIALECT_OPENAI, EVENTS("{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\","
                                                    "\"message\":\"Overloaded\"}}",
                                                    MESSAGE_START)),
                     RC_OK);
    assert_span(text_span(&out),
                "data: {\"error\":{\"message\":\"Overloaded\",\"type\":\"server_error\",\"param\":null,"
                "\"code\":null}}\n\n");
}

/* ---- errors and bounds */

static void assert_error(enum dialect to, unsigned status, const char *body, const char *want)
{
    text_clear(&out);
    bridge_error(to, bridge_status(to, status), span_text(body), SPAN("req_1"), &scratch, &out);
    assert_span(text_span(&out), want);
}

static void test_errors(void **state)
{
    (void)state;
    assert_int_equal(bridge_status(DIALECT_OPENAI, 529), 503);
    assert_int_equal(bridge_status(DIALECT_OPENAI, 503), 503);
    assert_int_equal(bridge_status(DIALECT_ANTHROPIC, 503), 529);
    assert_int_equal(bridge_status(DIALECT_ANTHROPIC, 429), 429);
    assert_error(DIALECT_OPENAI, 429,
                 "{\"type\":\"error\",\"error\":{\"type\":\"rate_limit_error\",\"message\":\"slow\"}}",
                 "{\"error\":{\"message\":\"slow\",\"type\":\"rate_limit_error\",\"param\":null,\"code\":null}}");
    assert_error(DIALECT_ANTHROPIC, 503, "{\"error\":\"model is loading\"}",
                 "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"model is loading\"},"
                 "\"request_id\":\"req_1\"}");
    assert_error(DIALECT_ANTHROPIC, 404, "<html>",
                 "{\"type\":\"error\",\"error\":{\"type\":\"not_found_error\",\"message\":\"The provider refused this "
                 "request and did not say why in a form known here.\"},\"request_id\":\"req_1\"}");
}

static void test_small_rooms_are_told(void **state)
{
    static const char completion[] = COMPLETION("{\"content\":\"ab\"}", "\"stop\"", USED);
    static char small[1024];
    (void)state;
    assert_object(DIALECT_ANTHROPIC, completion, MESSAGE("{\"type\":\"text\",\"text\":\"ab\"}", "\"end_turn\"", USAGE));
    for (size_t size = 1; size < out.size + 2; size++) {
        struct text tight = text_on(small, size);
        int rc = bridge_object(DIALECT_ANTHROPIC, span_text(completion), NOW, &scratch, &tight);
        assert_int_equal(rc, size > out.size ? RC_OK : RC_TOO_LARGE);
    }
    struct bridge_stream stream = {.to = DIALECT_ANTHROPIC};
    struct text tight = text_on(small, 64);
    assert_int_equal(bridge_stream_event(&stream, span_text(DELTA("", "null")), &scratch, &tight), RC_TOO_LARGE);
}

/* An id that is longer than the state holds is cut between two characters. */
static void test_a_long_id_is_cut(void **state)
{
    static char start[512], id[BRIDGE_ID_MAX * 2];
    struct bridge_stream stream = {.to = DIALECT_OPENAI};
    (void)state;
    for (size_t i = 0; i + 2 < sizeof id; i += 2) memcpy(id + i, "\xc3\xa9", 2);
    snprintf(start, sizeof start, "{\"type\":\"message_start\",\"message\":{\"id\":\"%s\"}}", id);
    text_clear(&out);
    assert_int_equal(bridge_stream_event(&stream, span_text(start), &scratch, &out), RC_OK);
    assert_int_equal(strlen(stream.id), BRIDGE_ID_MAX - 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_completion_as_message),
        TEST(test_message_as_completion),
        TEST(test_text_stream_to_messages),
        TEST(test_calls_stream_to_messages),
        TEST(test_stream_to_messages_that_is_none),
        TEST(test_text_stream_to_completions),
        TEST(test_calls_stream_to_completions),
        TEST(test_stream_to_completions_that_is_none),
        TEST(test_errors),
        TEST(test_small_rooms_are_told),
        TEST(test_a_long_id_is_cut),
    };
    return cmocka_run_group_tests_name("bridge reply", tests, NULL, NULL);
}
