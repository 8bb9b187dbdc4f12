/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_replay_anthropic.c — exact bytes of both forms made from each other, and round trips. */
#include "tests/support/dialect_test.h"

static char first_memory[OUT_SIZE];

static void assert_stream(const char *object, const char *want)
{
    text_clear(&out);
    assert_int_equal(replay_stream_from_object(DIALECT_ANTHROPIC, span_text(object), false, &scratch, &out), RC_OK);
    assert_span(text_span(&out), want);
}

static void assert_object(const char *stream, const char *want)
{
    text_clear(&out);
    assert_int_equal(replay_object_from_stream(DIALECT_ANTHROPIC, span_text(stream), &scratch, &out), RC_OK);
    assert_span(text_span(&out), want);
}

#define EVENT(type, rest) "event: " type "\ndata: {\"type\":\"" type "\"" rest "}\n\n"
#define BLOCK(index, block) EVENT("content_block_start", ",\"index\":" index ",\"content_block\":{" block "}")
#define DELTA(index, delta) EVENT("content_block_delta", ",\"index\":" index ",\"delta\":{" delta "}")
#define STOP(index) EVENT("content_block_stop", ",\"index\":" index)
#define START                                                                                                  \
    EVENT("message_start",                                                                                     \
          ",\"message\":{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude\","   \
          "\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{\"input_tokens\":25,\"cache_" \
          "creation\":{"                                                                                       \
          "\"ephemeral_5m_input_tokens\":0},\"output_tokens\":1,\"service_tier\":\"standard\"}}")
#define END(reason)                                                                                     \
    EVENT("message_delta", ",\"delta\":{\"stop_reason\":" reason ",\"stop_sequence\":null},\"usage\":{" \
                           "\"input_tokens\":25,\"output_tokens\":15}")                                 \
    EVENT("message_stop", "")
#define MESSAGE(content, reason)                                                                               \
    "{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude\",\"content\":[" content \
    "],\"stop_reason\":" reason ",\"stop_sequence\":null,\"usage\":{\"input_tokens\":25,\"cache_creation\":{"  \
    "\"ephemeral_5m_input_tokens\":0},\"output_tokens\":15,\"service_tier\":\"standard\"}}"

static void test_a_text_as_a_stream(void **state)
{
    (void)state;
    assert_stream(MESSAGE("{\"type\":\"text\",\"text\":\"Caf\xc3\xa9\\n\",\"citations\":null}", "\"end_turn\""),
                  START BLOCK("0", "\"type\":\"text\",\"text\":\"\",\"citations\":null")
                      DELTA("0", "\"type\":\"text_delta\",\"text\":\"Caf\xc3\xa9\\n\"") STOP("0") END("\"end_turn\""));
    assert_stream(MESSAGE("{\"type\":\"text\",\"text\":\"a\",\"citations\":[{\"c\":1},{\"c\":2}]}", "\"end_turn\""),
                  START BLOCK("0", "\"type\":\"text\",\"text\":\"\",\"citations\":[]")
                      DELTA("0", "\"type\":\"text_delta\",\"text\":\"a\"")
                          DELTA("0", "\"type\":\"citations_delta\",\"citation\":{\"c\":1}")
                              DELTA("0", "\"type\":\"citations_delta\",\"citation\":{\"c\":2}") STOP("0")
                                  END("\"end_turn\""));
}

static void test_thinking_and_tools_as_a_stream(void **state)
{
    (void)state;
    assert_stream(
        MESSAGE("{\"type\":\"thinking\",\"thinking\":\"hm\",\"signature\":\"Eq+/==\"},"
                "{\"type\":\"redacted_thinking\",\"data\":\"zz\"},"
                "{\"type\":\"tool_use\",\"id\":\"t1\",\"name\":\"f\",\"input\":{\"z\":\"a\\\"\\n\",\"a\":[1.50]}},"
                "{\"type\":\"tool_use\",\"id\":\"t2\",\"name\":\"g\",\"input\":{}}",
                "\"tool_use\""),
        START BLOCK("0", "\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"")
            DELTA("0", "\"type\":\"thinking_delta\",\"thinking\":\"hm\"")
                DELTA("0", "\"type\":\"signature_delta\",\"signature\":\"Eq+/==\"") STOP("0")
                    BLOCK("1", "\"type\":\"redacted_thinking\",\"data\":\"zz\"") STOP("1")
                        BLOCK("2", "\"type\":\"tool_use\",\"id\":\"t1\",\"name\":\"f\",\"input\":{}")
                            DELTA("2", "\"type\":\"input_json_delta\",\"partial_json\":\"\"")
                                DELTA("2", "\"type\":\"input_json_delta\",\"partial_json\":\"{\\\"z\\\":"
                                           "\\\"a\\\\\\\"\\\\n\\\",\\\"a\\\":[1.50]}\"") STOP("2")
                                    BLOCK("3", "\"type\":\"tool_use\",\"id\":\"t2\",\"name\":\"g\",\"input\":{}")
                                        DELTA("3", "\"type\":\"input_json_delta\",\"partial_json\":\"\"") STOP("3")
                                            END("\"tool_use\""));
}

static void test_a_recorded_stream_as_an_object(void **state)
{
    (void)state;
    assert_object(
        START EVENT("ping", "") BLOCK("0", "\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"")
            DELTA("0", "\"type\":\"thinking_delta\",\"thinking\":\"Let \"")
                DELTA("0", "\"type\":\"thinking_delta\",\"thinking\":\"me\"") DELTA(
                    "0", "\"type\":\"signature_delta\",\"signature\":\"Eq+/==\"") STOP("0")
                    BLOCK("1", "\"type\":\"text\",\"text\":\"\"") EVENT("ping", "") DELTA(
                        "1", "\"type\":\"text_delta\",\"text\":\"\\ud83d\\ude00 \"")
                        DELTA("1", "\"type\":\"citations_delta\",\"citation\":{\"c\":1}") DELTA(
                            "1", "\"type\":\"text_delta\",\"text\":\"x\"") STOP("1")
                            BLOCK("2", "\"type\":\"tool_use\",\"id\":\"t1\",\"name\":\"f\",\"input\":{}") DELTA(
                                "2", "\"type\":\"input_json_delta\",\"partial_json\":\"\"")
                                DELTA("2", "\"type\":\"input_json_delta\",\"partial_json\":\"{\\\"z\\\": \\\"\"") DELTA(
                                    "2", "\"type\":\"input_json_delta\",\"partial_json\":\"a\\\", \\\"a\\\": 1.50}\"")
                                    STOP("2")
                                        BLOCK("3", "\"type\":\"tool_use\",\"id\":\"t2\",\"name\":\"g\",\"input\":{}")
                                            DELTA("3", "\"type\":\"input_json_delta\",\"partial_json\":\"\"") STOP("3")
                                                BLOCK("4", "\"type\":\"server_tool_use\",\"id\":\"s\",\"name\":\"web_"
                                                           "search\",\"input\":{\"query\":\"q\"}") STOP("4")
                                                    EVENT("something_new", ",\"index\":4") END("\"tool_use\""),
        MESSAGE("{\"type\":\"thinking\",\"thinking\":\"Let me\",\"signature\":\"Eq+/==\"},"
                "{\"type\":\"text\",\"text\":\"\xf0\x9f\x98\x80 x\",\"citations\":[{\"c\":1}]},"
                "{\"type\":\"tool_use\",\"id\":\"t1\",\"name\":\"f\",\"input\":{\"z\": \"a\", \"a\": 1.50}},"
                "{\"type\":\"tool_use\",\"id\":\"t2\",\"name\":\"g\",\"input\":{}},"
                "{\"type\":\"server_tool_use\",\"id\":\"s\",\"name\":\"web_search\",\"input\":{\"query\":\"q\"}}",
                "\"tool_use\""));
}

static void assert_round_trip(const char *object)
{
    struct text stream = text_on(first_memory, sizeof first_memory);
    assert_int_equal(replay_stream_from_object(DIALECT_ANTHROPIC, span_text(object), false, &scratch, &stream), RC_OK);
    assert_true(stream.size <= replay_bound(DIALECT_ANTHROPIC, strlen(object)));
    assert_object(stream.data, object);
    struct verdict before, after;
    verdict_of(DIALECT_ANTHROPIC, false, span_text(object), &scratch, &before);
    verdict_of(DIALECT_ANTHROPIC, true, text_span(&stream), &scratch, &after);
    assert_int_equal(before.storable, after.storable);
    assert_int_equal(before.tool_calls, after.tool_calls);
    assert_memory_equal(&before.usage, &after.usage, sizeof before.usage);
    struct live_stream live = {.dialect = DIALECT_ANTHROPIC};
    live_stream_scan(&live, text_span(&stream), &scratch);
    assert_true(live.terminal);
    assert_int_equal(live.scanned, stream.size);
}

static void test_round_trips(void **state)
{
    (void)state;
    assert_round_trip(MESSAGE("{\"type\":\"text\",\"text\":\"\\u0000\\u001f\\\\u0041 \xe2\x82\xac\"}", "\"end_turn\""));
    assert_round_trip(MESSAGE("{\"type\":\"text\",\"text\":\"\"},{\"type\":\"text\",\"text\":\"b\",\"citations\":[]}",
                              "\"end_turn\""));
    assert_round_trip(MESSAGE("{\"type\":\"text\",\"text\":\"a\",\"citations\":null},{\"type\":\"text\",\"text\":\"b\","
                              "\"citations\":[{\"x\":{\"y\":[1]}}]}",
                              "\"end_turn\""));
    assert_round_trip(MESSAGE("{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"abc+/"
                              "=\"},{\"type\":\"redacted_thinking\",\"data\":\"zz\"},"
                              "{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"f\",\"input\":{\"k\":{\"n\":[1,2.0,true,"
                              "null,\"\\\"\"]}},\"caller\":{\"type\":\"direct\"}}",
                              "\"tool_use\""));
    assert_round_trip(
        MESSAGE("{\"type\":\"server_tool_use\",\"id\":\"s\",\"name\":\"w\",\"input\":{\"q\":1}},"
                "{\"type\":\"web_search_tool_result\",\"tool_use_id\":\"s\",\"content\":[{\"type\":\"r\"}]},"
                "{\"type\":\"text\",\"text\":\"x\"}",
                "\"end_turn\""));
    assert_round_trip(
        "{\"model\":\"c\",\"id\":\"m\",\"type\":\"message\",\"role\":\"assistant\",\"content\":[{\"type\":\"text\","
        "\"text\":\"a\"}],"
        "\"container\":null,\"stop_reason\":\"stop_sequence\",\"stop_sequence\":\"END\",\"usage\":{\"input_tokens\":1,"
        "\"cache_creation_input_tokens\":3,\"cache_read_input_tokens\":4,\"output_tokens\":2,\"server_tool_use\":{"
        "\"web_search_requests\":0}}}");
}

static void assert_corrupt(const char *stream)
{
    text_clear(&out);
    assert_int_equal(replay_object_from_stream(DIALECT_ANTHROPIC, span_text(stream), &scratch, &out), RC_CORRUPT);
}

static void test_nonsense_is_refused(void **state)
{
    (void)state;
    assert_corrupt("");
    assert_corrupt(END("\"end_turn\""));
    assert_corrupt("event: message_start\ndata: {\n\n");
    assert_corrupt(START EVENT("error", ",\"error\":{}"));
    assert_corrupt(START BLOCK("0", "\"type\":\"tool_use\",\"input\":{}") DELTA(
        "0", "\"type\":\"input_json_delta\",\"partial_json\":\"{\\\"a\\\":\"") END("\"tool_use\""));
    assert_corrupt(START BLOCK("0", "\"type\":\"tool_use\",\"input\":{}")
                       DELTA("0", "\"type\":\"input_json_delta\",\"partial_json\":\"[1]\"") END("\"tool_use\""));
    static const char *const objects[] = {"", "[]", "{", "{}", "{\"content\":\"x\"}"};
    for (unsigned i = 0; i < sizeof objects / sizeof *objects; i++)
        assert_int_equal(replay_stream_from_object(DIALECT_ANTHROPIC, span_text(objects[i]), false, &scratch, &out),
                         RC_CORRUPT);
}

static void test_small_room_is_told(void **state)
{
    (void)state;
    const char *object =
        MESSAGE("{\"type\":\"thinking\",\"thinking\":\"hm\",\"signature\":\"s\"},{\"type\":\"tool_use\",\"id\":\"t1\","
                "\"name\":\"f\",\"input\":{\"z\":\"a\"}}",
                "\"tool_use\"");
    assert_small_room_is_told(DIALECT_ANTHROPIC, object, false);
}

static void test_a_reply_from_a_text(void **state)
{
    (void)state;
    reply_object(DIALECT_ANTHROPIC, SPAN("msg_9"), SPAN("larder"), 1790000000, SPAN("a \"b\""), &out);
    assert_span(text_span(&out), "{\"id\":\"msg_9\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"larder\","
                                 "\"content\":[{\"type\":\"text\",\"text\":"
                                 "\"a "
                                 "\\\"b\\\"\"}],\"stop_reason\":\"end_turn\",\"stop_sequence\":null,\"usage\":{\"input_"
                                 "tokens\":0,\"output_tokens\":0}}");
    struct verdict v;
    verdict_of(DIALECT_ANTHROPIC, false, text_span(&out), &scratch, &v);
    assert_true(v.storable);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_text_as_a_stream),
        TEST(test_thinking_and_tools_as_a_stream),
        TEST(test_a_recorded_stream_as_an_object),
        TEST(test_round_trips),
        TEST(test_nonsense_is_refused),
        TEST(test_small_room_is_told),
        TEST(test_a_reply_from_a_text),
    };
    return cmocka_run_group_tests_name("replay_anthropic", tests, NULL, NULL);
}
