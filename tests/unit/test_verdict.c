/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_verdict.c — which replies are kept, why others are not, and their token counts. */
#include "tests/support/dialect_test.h"

static struct verdict v;

static void judge(enum dialect dialect, bool stream, const char *body)
{
    verdict_of(dialect, stream, span_text(body), &scratch, &v);
    assert_int_equal(v.storable, v.complete && v.reason == NULL);
}

static void assert_kept(enum dialect dialect, bool stream, const char *body, bool tool_calls)
{
    judge(dialect, stream, body);
    if (!v.storable) fail_msg("%s: %s", v.reason, body);
    assert_int_equal(v.tool_calls, tool_calls);
}

static void assert_not_kept(enum dialect dialect, bool stream, const char *body, const char *reason, bool complete)
{
    judge(dialect, stream, body);
    if (!v.reason || strcmp(v.reason, reason) != 0) fail_msg("got %s, want %s: %s", v.reason, reason, body);
    assert_int_equal(v.complete, complete);
}

#define OBJECT(choices) \
    "{\"id\":\"c\",\"object\":\"chat.completion\",\"model\":\"gpt-4o-2024\",\"choices\":[" choices "]}"
#define CHOICE(message, reason) \
    "{\"index\":0,\"message\":{\"role\":\"assistant\"," message "},\"finish_reason\":" reason "}"
#define SECOND(message, reason) "{\"index\":1,\"message\":{" message "},\"finish_reason\":" reason "}"
#define CALL "\"tool_calls\":[{\"id\":\"t\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]"

static void test_openai_objects(void **state)
{
    (void)state;
    const enum dialect d = DIALECT_OPENAI;
    assert_kept(d, false, OBJECT(CHOICE("\"content\":\"hi\"", "\"stop\"")), false);
    assert_string_equal(v.model, "gpt-4o-2024");
    assert_kept(d, false, OBJECT(CHOICE("\"content\":\"hi\",\"refusal\":null,\"annotations\":[]", "\"stop\"")), false);
    assert_kept(d, false, OBJECT(CHOICE("\"content\":null," CALL, "\"tool_calls\"")), true);
    assert_kept(d, false, OBJECT(CHOICE("\"content\":null," CALL, "\"stop\"")), true);
    assert_kept(d, false, OBJECT(CHOICE("\"content\":null,\"function_call\":{\"name\":\"f\"}", "\"function_call\"")),
                true);
    assert_kept(d, false, OBJECT(CHOICE("\"content\":\"a\"", "\"stop\"") "," SECOND("\"content\":\"b\"", "\"stop\"")),
                false);

    assert_not_kept(d, false, OBJECT(CHOICE("\"content\":\"hi\"", "\"length\"")), "finish_reason length", true);
    assert_not_kept(d, false, OBJECT(CHOICE("\"content\":\"hi\"", "\"content_filter\"")),
                    "finish_reason content_filter", true);
    assert_not_kept(d, false, OBJECT(CHOICE("\"content\":\"hi\"", "\"model_dream\"")), "finish_reason unknown", true);
    assert_not_kept(d, false, OBJECT(CHOICE("\"content\":\"hi\"", "null")), "no finish reason", true);
    assert_not_kept(d, false, OBJECT(CHOICE("\"content\":\"\"", "\"stop\"")), "empty answer", true);
    assert_not_kept(d, false, OBJECT(CHOICE("\"content\":null", "\"stop\"")), "empty answer", true);
    assert_not_kept(d, false, OBJECT(CHOICE("\"content\":null,\"tool_calls\":[]", "\"tool_calls\"")), "empty answer",
                    true);
    assert_not_kept(d, false, OBJECT(CHOICE("\"content\":null,\"refusal\":\"no\"", "\"stop\"")), "refusal", true);
    assert_not_kept(d, false,
                    OBJECT(CHOICE("\"content\":\"a\"", "\"stop\"") "," SECOND("\"content\":\"b\"", "\"length\"")),
                    "finish_reason length", true);
    assert_not_kept(d, false,
                    OBJECT(CHOICE("\"content\":\"a\"", "\"stop\"") "," SECOND("\"content\":\"\"", "\"stop\"")),
                    "empty answer", true);
    assert_not_kept(d, false, OBJECT(""), "no answer", true);
    assert_not_kept(d, false, "{\"error\":{\"message\":\"x\"}}", "error event", true);
    assert_not_kept(d, false, "{\"id\":\"c\",\"choices\":[{\"mess", "unparsable JSON", false);
    assert_not_kept(d, false, "", "unparsable JSON", false);
    assert_not_kept(d, false, "[1]", "unparsable JSON", false);
    assert_not_kept(d, false, "{\"id\":\"c\",\"choices\":[{\"a\":1,\"a\":2}]}", "duplicate member", false);
    assert_not_kept(d, false, OBJECT("{\"index\":128,\"message\":{\"content\":\"a\"},\"finish_reason\":\"stop\"}"),
                    "too many choices", true);
}

#define CHUNK(delta, reason)                                                                                          \
    "data: {\"id\":\"c\",\"model\":\"gpt\",\"choices\":[{\"index\":0,\"delta\":{" delta "},\"finish_reason\":" reason \
    "}]}\n\n"
#define DONE "data: [DONE]\n\n"

static void test_openai_streams(void **state)
{
    (void)state;
    const enum dialect d = DIALECT_OPENAI;
    const char *call = CHUNK("\"role\":\"assistant\",\"content\":null", "null")
        CHUNK("\"tool_calls\":[{\"index\":0,\"id\":\"t\",\"function\":{\"name\":\"f\",\"arguments\":\"\"}}]", "null")
            CHUNK("", "\"tool_calls\"") DONE;
    assert_kept(d, true,
                CHUNK("\"content\":\"\"", "null") CHUNK("\"content\":\"hi\"", "null") CHUNK("", "\"stop\"") DONE,
                false);
    assert_string_equal(v.model, "gpt");
    assert_kept(d, true, call, true);
    assert_kept(d, true, CHUNK("\"content\":\"hi\"", "\"stop\"") "data: [DONE]", false);
    assert_kept(d, true, CHUNK("\"content\":\"hi\"", "\"stop\"") "data:[DONE] \r\n\r\n", false);
    assert_kept(d, true,
                ": comment\r\n\r\ndata: {\"choices\":[{\"delta\":{\"content\":\"x\"},\r\ndata: "
                "\"finish_reason\":\"stop\"}]}\r\n\r\n" DONE,
                false);

    assert_not_kept(d, true, CHUNK("\"content\":\"hi\"", "\"stop\""), "stream cut", false);
    assert_not_kept(d, true, CHUNK("\"content\":\"hi\"", "null") DONE, "no finish reason", true);
    assert_not_kept(d, true, CHUNK("\"content\":\"hi\"", "\"length\"") DONE, "finish_reason length", true);
    assert_not_kept(d, true, CHUNK("\"content\":\"\"", "\"stop\"") DONE, "empty answer", true);
    assert_not_kept(d, true, CHUNK("\"refusal\":\"I\"", "null") CHUNK("", "\"stop\"") DONE, "refusal", true);
    assert_not_kept(d, true,
                    CHUNK("\"content\":\"hi\"", "null") "data: {\"error\":{\"message\":\"overloaded\"}}\n\n" DONE,
                    "error event", true);
    assert_not_kept(d, true, CHUNK("\"content\":\"hi\"", "null") "data: {\"choices\":[\n\n" DONE, "unparsable JSON",
                    true);
    assert_not_kept(d, true, "", "stream cut", false);
    assert_not_kept(d, true, DONE, "no answer", true);
    assert_not_kept(d, true, CHUNK("\"content\":\"hi\"", "\"stop\"") "data: {\"id\":", "stream cut", false);
}

static void test_openai_usage(void **state)
{
    (void)state;
    judge(DIALECT_OPENAI, false,
          "{\"choices\":[],\"usage\":{\"prompt_tokens\":100,\"completion_tokens\":20,"
          "\"prompt_tokens_details\":{\"cached_tokens\":64,\"cache_write_tokens\":6},"
          "\"completion_tokens_details\":{\"reasoning_tokens\":12}}}");
    assert_int_equal(v.usage.input_uncached, 30);
    assert_int_equal(v.usage.cache_read, 64);
    assert_int_equal(v.usage.cache_write_5m, 6);
    assert_int_equal(v.usage.cache_write_1h, -1);
    assert_int_equal(v.usage.output, 20);
    assert_int_equal(v.usage.reasoning, 12);
    judge(DIALECT_OPENAI, true,
          CHUNK("\"content\":\"x\"", "\"stop\"") "data: "
                                                 "{\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":"
                                                 "2,\"total_tokens\":11}}\n\n" DONE);
    assert_true(v.storable);
    assert_int_equal(v.usage.input_uncached, 9);
    assert_int_equal(v.usage.cache_read, -1);
    assert_int_equal(v.usage.output, 2);
    judge(DIALECT_OPENAI, false, OBJECT(""));
    assert_int_equal(v.usage.input_uncached, -1);
    assert_int_equal(v.usage.output, -1);
    judge(DIALECT_OPENAI, false, "{\"usage\":{\"prompt_tokens\":5,\"prompt_cache_hit_tokens\":3}}");
    assert_int_equal(v.usage.input_uncached, 2);
    assert_int_equal(v.usage.cache_read, 3);
    judge(DIALECT_OPENAI, false, "{\"usage\":{\"prompt_tokens\":5,\"prompt_tokens_details\":{\"cached_tokens\":9}}}");
    assert_int_equal(v.usage.input_uncached, 0);
}

#define MESSAGE(content, reason)                                                                             \
    "{\"id\":\"m\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-x\",\"content\":[" content \
    "],\"stop_reason\":" reason ",\"stop_sequence\":null,\"usage\":{\"input_tokens\":10,\"output_tokens\":3}}"
#define TEXT_BLOCK "{\"type\":\"text\",\"text\":\"hi\"}"

static void test_anthropic_objects(void **state)
{
    (void)state;
    const enum dialect d = DIALECT_ANTHROPIC;
    assert_kept(d, false, MESSAGE(TEXT_BLOCK, "\"end_turn\""), false);
    assert_string_equal(v.model, "claude-x");
    assert_int_equal(v.usage.input_uncached, 10);
    assert_int_equal(v.usage.output, 3);
    assert_kept(d, false, MESSAGE(TEXT_BLOCK, "\"stop_sequence\""), false);
    assert_kept(d, false, MESSAGE("{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"f\",\"input\":{}}", "\"tool_use\""),
                true);
    assert_not_kept(d, false, MESSAGE(TEXT_BLOCK, "\"max_tokens\""), "stop_reason max_tokens", true);
    assert_not_kept(d, false, MESSAGE(TEXT_BLOCK, "\"refusal\""), "stop_reason refusal", true);
    assert_not_kept(d, false, MESSAGE(TEXT_BLOCK, "\"pause_turn\""), "stop_reason pause_turn", true);
    assert_not_kept(d, false, MESSAGE(TEXT_BLOCK, "\"something\""), "stop_reason unknown", true);
    assert_not_kept(d, false, MESSAGE(TEXT_BLOCK, "null"), "no finish reason", true);
    assert_not_kept(d, false, MESSAGE("", "\"end_turn\""), "empty answer", true);
    assert_not_kept(d, false,
                    MESSAGE("{\"type\":\"thinking\",\"thinking\":\"hm\",\"signature\":\"s\"}", "\"end_turn\""),
                    "empty answer", true);
    assert_not_kept(d, false, "{\"type\":\"error\",\"error\":{}}", "error event", true);
}

#define EVENT(type, rest) "event: " type "\ndata: {\"type\":\"" type "\"" rest "}\n\n"
#define START                                                                                                        \
    EVENT("message_start",                                                                                           \
          ",\"message\":{\"id\":\"m\",\"model\":\"claude-y\",\"content\":[],\"usage\":{"                             \
          "\"input_tokens\":7,\"cache_creation_input_tokens\":30,\"cache_read_input_tokens\":5,\"cache_creation\":{" \
          "\"ephemeral_5m_input_tokens\":10,\"ephemeral_1h_input_tokens\":20},\"output_tokens\":1}}")
#define TEXT_EVENTS                                                                                  \
    EVENT("content_block_start", ",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}") \
    EVENT("ping", "")                                                                                \
    EVENT("content_block_delta", ",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"hi\"}") \
    EVENT("content_block_stop", ",\"index\":0")
#define END(reason)                                                                                     \
    EVENT("message_delta", ",\"delta\":{\"stop_reason\":" reason ",\"stop_sequence\":null},\"usage\":{" \
                           "\"input_tokens\":7,\"cache_creation_input_tokens\":30,\"output_tokens\":42}")
#define STOP EVENT("message_stop", "")

static void test_anthropic_streams(void **state)
{
    (void)state;
    const enum dialect d = DIALECT_ANTHROPIC;
    assert_kept(d, true, START TEXT_EVENTS END("\"end_turn\"") STOP, false);
    assert_string_equal(v.model, "claude-y");
    assert_int_equal(v.usage.input_uncached, 7);
    assert_int_equal(v.usage.cache_read, 5);
    assert_int_equal(v.usage.cache_write_5m, 10);
    assert_int_equal(v.usage.cache_write_1h, 20);
    assert_int_equal(v.usage.output, 42);
    assert_kept(d, true,
                START EVENT("content_block_start", ",\"index\":0,\"content_block\":{\"type\":\"tool_use\",\"id\":"
                                                   "\"t\",\"name\":\"f\",\"input\":{}}") END("\"tool_use\"") STOP,
                true);
    assert_not_kept(d, true, START TEXT_EVENTS END("\"end_turn\""), "stream cut", false);
    assert_not_kept(d, true, START TEXT_EVENTS STOP, "no finish reason", true);
    assert_not_kept(d, true, START TEXT_EVENTS END("\"max_tokens\"") STOP, "stop_reason max_tokens", true);
    assert_not_kept(d, true, START END("\"end_turn\"") STOP, "empty answer", true);
    assert_not_kept(d, true, START TEXT_EVENTS EVENT("error", ",\"error\":{\"type\":\"overloaded_error\"}"),
                    "error event", false);
    assert_not_kept(d, true, STOP, "no answer", true);
    assert_not_kept(d, true, START "data: [DONE]\n\n", "unparsable JSON", false);
}

/* 1 MiB of one event must not be parsed twice, and a small scratch is a reason, not a crash. */
static void test_a_small_scratch_is_a_reason(void **state)
{
    (void)state;
    struct json_scratch small = {scratch_memory, 512};
    verdict_of(DIALECT_OPENAI, false, span_text(OBJECT(CHOICE("\"content\":\"hi\"", "\"stop\""))), &small, &v);
    assert_false(v.storable);
    assert_string_equal(v.reason, "unparsable JSON");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_openai_objects),    TEST(test_openai_streams),    TEST(test_openai_usage),
        TEST(test_anthropic_objects), TEST(test_anthropic_streams), TEST(test_a_small_scratch_is_a_reason),
    };
    return cmocka_run_group_tests_name("verdict", tests, NULL, NULL);
}
