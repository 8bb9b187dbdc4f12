/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_replay_openai.c — exact bytes of both forms made from each other, and round trips. */
#include "tests/support/dialect_test.h"

static char first_memory[OUT_SIZE];

static void assert_stream(const char *object, bool include_usage, const char *want)
{
    text_clear(&out);
    assert_int_equal(replay_stream_from_object(DIALECT_OPENAI, span_text(object), include_usage, &scratch, &out),
                     RC_OK);
    assert_span(text_span(&out), want);
}

static void assert_object(const char *stream, const char *want)
{
    text_clear(&out);
    assert_int_equal(replay_object_from_stream(DIALECT_OPENAI, span_text(stream), &scratch, &out), RC_OK);
    assert_span(text_span(&out), want);
}

#define HEAD \
    "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1790000000,\"model\":\"gpt-4o\","
#define TAIL "\"system_fingerprint\":\"fp_1\",\"choices\":["
#define DELTA(delta) "{\"index\":0,\"delta\":{" delta "},\"logprobs\":null,\"finish_reason\":null}"
#define DONE "data: [DONE]\n\n"

static const char text_object[] =
    "{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion\",\"created\":1790000000,\"model\":\"gpt-4o\",\"choices\":[{"
    "\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"Caf\xc3\xa9 "
    "\xf0\x9f\x98\x80\\n\\\"q\\\"\",\"refusal\":null,"
    "\"annotations\":[]},\"logprobs\":null,\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":9,"
    "\"completion_tokens\":4,\"total_tokens\":13},\"service_tier\":\"default\",\"system_fingerprint\":\"fp_1\"}";

static void test_a_text_as_a_stream(void **state)
{
    (void)state;
    assert_stream(text_object, false,
                  HEAD "\"service_tier\":\"default\"," TAIL DELTA(
                      "\"role\":\"assistant\",\"content\":\"\",\"refusal\":null,"
                      "\"annotations\":[]") "]}\n\n" HEAD
                                            "\"service_tier\":\"default\"," TAIL DELTA(
                                                "\"content\":\"Caf\xc3\xa9 "
                                                "\xf0\x9f\x98\x80\\n\\\"q\\\""
                                                "\"") "]}\n\n" HEAD "\"service_tier\":"
                                                      "\"default\"," TAIL "{\"index\":0,\"delta\":{"
                                                      "},\"logprobs\":null,"
                                                      "\"finish_reason\":"
                                                      "\"stop\"}]}\n\n" DONE);
    assert_stream(text_object, true,
                  HEAD "\"service_tier\":\"default\"," TAIL DELTA(
                      "\"role\":\"assistant\",\"content\":\"\",\"refusal\":null,"
                      "\"annotations\":[]") "],\"usage\":null}\n\n" HEAD
                                            "\"service_tier\":\"default\"," TAIL DELTA(
                                                "\"content\":\"Caf\xc3\xa9 "
                                                "\xf0\x9f\x98\x80\\n\\\"q\\\""
                                                "\"") "],\"usage\":null}"
                                                      "\n\n" HEAD "\"service_tier\":"
                                                      "\"default\"," TAIL "{\"index\":0,\"delta\":{"
                                                      "},\"logprobs\":null,"
                                                      "\"finish_reason\":"
                                                      "\"stop\"}],\"usage\":"
                                                      "null}\n\n" HEAD "\"service_tier\":"
                                                      "\"default\"," TAIL "],\"usage\":{\"prompt_"
                                                      "tokens\":9,\"completion_"
                                                      "tokens\":4,\"total_"
                                                      "tokens\":13}}\n\n" DONE);
}

static void test_tool_calls_as_a_stream(void **state)
{
    (void)state;
    assert_stream(
        "{\"id\":\"x\",\"object\":\"chat.completion\",\"model\":\"m\",\"choices\":[{\"index\":0,\"message\":{\"role\":"
        "\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"call_1\",\"type\":\"function\",\"function\":{"
        "\"name\":"
        "\"f\",\"arguments\":\"{\\\"a\\\":1}\"}},{\"id\":\"call_2\",\"type\":\"custom\",\"custom\":{\"name\":\"g\","
        "\"input\":"
        "\"raw\"}}]},\"finish_reason\":\"tool_calls\"}]}",
        false,
#define H \
    "data: {\"id\":\"x\",\"object\":\"chat.completion.chunk\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{"
#define T "},\"finish_reason\":null}]}\n\n"
        H "\"role\":\"assistant\",\"content\":null" T H
          "\"tool_calls\":[{\"index\":0,\"id\":\"call_1\",\"type\":\"function\",\"function\":{\"name\":\"f\","
          "\"arguments\":\"\"}}]" T H
          "\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"{\\\"a\\\":1}\"}}]" T H
          "\"tool_calls\":[{\"index\":1,\"id\":\"call_2\",\"type\":\"custom\",\"custom\":{\"name\":\"g\",\"input\":"
          "\"\"}}]" T H "\"tool_calls\":[{\"index\":1,\"custom\":{\"input\":\"raw\"}}]" T H
          "},\"finish_reason\":\"tool_calls\"}]}\n\n" DONE);
}

static void test_reasoning_comes_before_the_answer(void **state)
{
    (void)state;
    assert_stream("{\"id\":\"x\",\"model\":\"m\",\"citations\":[\"u\"],\"choices\":[{\"index\":0,\"message\":{\"role\":"
                  "\"assistant\",\"content\":\"a\","
                  "\"reasoning_content\":\"r\",\"extra\":{\"k\":1}},\"finish_reason\":\"stop\",\"matched_stop\":7}]}",
                  false,
#undef H
#define H "data: {\"id\":\"x\",\"model\":\"m\",\"object\":\"chat.completion.chunk\","
                  H "\"citations\":[\"u\"],\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":"
                    "\"\",\"extra\":{\"k\":1}" T H
                    "\"choices\":[{\"index\":0,\"delta\":{\"reasoning_content\":\"r\"" T H
                    "\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"" T H
                    "\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\",\"matched_stop\":7}]}\n\n" DONE);
}

static void test_logprobs_come_with_the_text(void **state)
{
    (void)state;
#define L "data: {\"id\":\"x\",\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{"
    assert_stream("{\"id\":\"x\",\"object\":\"chat.completion\",\"choices\":[{\"index\":0,\"message\":{\"role\":"
                  "\"assistant\",\"content\":\"a\"},\"logprobs\":{\"content\":[1]},\"finish_reason\":\"stop\"}]}",
                  false,
                  L "\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":null,\"finish_reason\":null}]}\n\n" L
                    "\"content\":\"a\"},\"logprobs\":{\"content\":[1]},\"finish_reason\":null}]}\n\n" L
                    "},\"logprobs\":null,\"finish_reason\":\"stop\"}]}\n\n" DONE);
}

/* As recorded from the API: the role alone, pieces cut anywhere, padding, usage at the end. */
static void test_a_recorded_stream_as_an_object(void **state)
{
    (void)state;
#define REC                                                                                                          \
    "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1790000000,\"model\":\"gpt-4o\"," \
    "\"service_tier\":\"default\",\"system_fingerprint\":\"fp_1\",\"choices\":["
#define END "],\"usage\":null,\"obfuscation\":\"aB3\"}\n\n"
    assert_object(
        REC DELTA("\"role\":\"assistant\",\"content\":\"\",\"refusal\":null") END REC DELTA("\"content\":\"Caf\"")
            END REC DELTA("\"content\":\"\\u00e9 \\ud83d\\ude00\"") END
        ": keep-alive\n\n" REC DELTA("\"content\":\"\\n\\\"q\\\"\"") END REC
        "{\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"stop\"}" END REC
        "],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":4,\"total_tokens\":13},\"obfuscation\":\"\"}\n\n" DONE,
        "{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion\",\"created\":1790000000,\"model\":\"gpt-4o\",\"service_"
        "tier\":"
        "\"default\",\"system_fingerprint\":\"fp_1\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\","
        "\"content\":"
        "\"Caf\xc3\xa9 "
        "\xf0\x9f\x98\x80\\n\\\"q\\\"\",\"refusal\":null},\"logprobs\":null,\"finish_reason\":\"stop\"}],\"usage\":{"
        "\"prompt_tokens\":9,\"completion_tokens\":4,\"total_tokens\":13}}");
}

static void test_parallel_calls_interleaved(void **state)
{
    (void)state;
#define C(list)                                                                                                     \
    "data: {\"id\":\"x\",\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[" list "]},\"finish_reason\":null}]}" \
    "\n\n"
    assert_object(
        "data: "
        "{\"id\":\"x\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":"
        "null}]}\n\n" C("{\"index\":1,\"id\":\"b\",\"type\":\"function\",\"function\":{\"name\":\"g\",\"arguments\":"
                        "\"\"}}") C("{\"index\":0,\"id\":\"a\",\"type\":\"function\",\"function\":{\"name\":\"f\","
                                    "\"arguments\":\"{\\\"x\"}}")
            C("{\"index\":1,\"id\":\"\",\"function\":{\"name\":\"g\",\"arguments\":\"[1\"}},{\"index\":0,\"function\":{"
              "\"arguments\":\"\\\":1}\"}}") C("{\"index\":1,\"id\":null,\"function\":{\"name\":\"\",\"arguments\":\"]"
                                               "\"}}") "data: "
                                                       "{\"id\":\"x\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_"
                                                       "reason\":\"tool_calls\"}]}\n\n" DONE,
        "{\"id\":\"x\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{"
        "\"id\":\"a\","
        "\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"x\\\":1}\"}},{\"id\":\"b\",\"type\":"
        "\"function\","
        "\"function\":{\"name\":\"g\",\"arguments\":\"[1]\"}}]},\"finish_reason\":\"tool_calls\"}]}");
}

static void test_several_choices_and_logprobs(void **state)
{
    (void)state;
#define N(index, delta, logprobs, reason)                                                                \
    "data: {\"id\":\"x\",\"choices\":[{\"index\":" index ",\"delta\":{" delta "},\"logprobs\":" logprobs \
    ",\"finish_reason\":" reason "}]}\n\n"
    assert_object(
        N("1", "\"role\":\"assistant\",\"content\":\"b\"", "null", "null")
            N("0", "\"role\":\"assistant\",\"content\":\"a\"", "{\"content\":[{\"token\":\"a\"}],\"refusal\":null}",
              "null") N("0", "\"content\":\"A\"", "{\"content\":[{\"token\":\"A\"},{\"token\":\"\"}],\"refusal\":null}",
                        "null") N("1", "", "null", "\"stop\"") N("0", "", "null", "\"stop\"") DONE,
        "{\"id\":\"x\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"aA\"},\"logprobs\":{"
        "\"content\":["
        "{\"token\":\"a\"},{\"token\":\"A\"},{\"token\":\"\"}],\"refusal\":null},\"finish_reason\":\"stop\"},{"
        "\"index\":1,\"message\":{"
        "\"role\":\"assistant\",\"content\":\"b\"},\"logprobs\":null,\"finish_reason\":\"stop\"}]}");
}

static void test_what_other_servers_send(void **state)
{
    (void)state;
    /* empty id first, role in every delta, unknown members, a late fingerprint, reasoning, no object member */
    assert_object(
        "data: {\"id\":\"\",\"model\":\"\",\"choices\":[],\"prompt_filter_results\":[{\"i\":0}]}\n\n"
        "data: "
        "{\"id\":\"x\",\"model\":\"m\",\"choices\":[{\"delta\":{\"role\":\"assistant\",\"reasoning_content\":\"th\","
        "\"content\":null}}]}\n\n"
        "data: "
        "{\"id\":\"x\",\"model\":\"m\",\"choices\":[{\"delta\":{\"role\":\"assistant\",\"reasoning_content\":\"ink\"}}]"
        "}\n\n"
        "data: "
        "{\"id\":\"x\",\"model\":\"m\",\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"a\",\"reasoning_"
        "content\":null},"
        "\"finish_reason\":\"stop\",\"matched_stop\":7}],\"system_fingerprint\":\"fp\"}\n\n" DONE,
        "{\"id\":\"x\",\"model\":\"m\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"a\","
        "\"reasoning_content\":\"think\"},\"finish_reason\":\"stop\",\"matched_stop\":7}],\"prompt_filter_results\":[{"
        "\"i\":0}],"
        "\"system_fingerprint\":\"fp\"}");
    assert_object(
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"function_call\":{\"name\":\"f\",\"arguments\":\"\"}}}]}\n\n"
        "data: "
        "{\"choices\":[{\"index\":0,\"delta\":{\"function_call\":{\"arguments\":\"{}\"}},\"finish_reason\":\"function_"
        "call\"}]}\n\n" DONE,
        "{\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":null,\"function_call\":{\"name\":"
        "\"f\","
        "\"arguments\":\"{}\"}},\"finish_reason\":\"function_call\"}]}");
}

/* Object, stream, object: members move where the stream has them, nothing is lost or changed. */
static void assert_round_trip(const char *object, const char *want)
{
    struct text stream = text_on(first_memory, sizeof first_memory);
    assert_int_equal(replay_stream_from_object(DIALECT_OPENAI, span_text(object), true, &scratch, &stream), RC_OK);
    assert_true(stream.size <= replay_bound(DIALECT_OPENAI, strlen(object)));
    assert_object(stream.data, want ? want : object);
    struct verdict before, after;
    verdict_of(DIALECT_OPENAI, false, span_text(object), &scratch, &before);
    verdict_of(DIALECT_OPENAI, true, text_span(&stream), &scratch, &after);
    assert_int_equal(before.storable, after.storable);
    assert_int_equal(before.tool_calls, after.tool_calls);
    assert_string_equal(before.model, after.model);
    assert_memory_equal(&before.usage, &after.usage, sizeof before.usage);
}

#define ENVELOPE "{\"id\":\"x\",\"object\":\"chat.completion\",\"created\":1,\"model\":\"m\",\"choices\":["

static void test_round_trips(void **state)
{
    (void)state;
    assert_round_trip(
        ENVELOPE
        "{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"\\u0000\\u001f\x7f\\\\u0041 \xe2\x82\xac\"},"
        "\"logprobs\":{\"content\":[{\"token\":\"a\",\"logprob\":-0.5e-1,\"bytes\":[97],\"top_logprobs\":[]}],"
        "\"refusal\":null},"
        "\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1}}",
        ENVELOPE
        "{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"\\u0000\\u001f\\u007f\\\\u0041 \xe2\x82\xac\"},"
        "\"logprobs\":{\"content\":[{\"token\":\"a\",\"logprob\":-0.5e-1,\"bytes\":[97],\"top_logprobs\":[]}],"
        "\"refusal\":null},"
        "\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1}}");
    assert_round_trip(ENVELOPE "{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":null,\"refusal\":null,"
                               "\"tool_calls\":[{\"id\":\"a\","
                               "\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"k\\\": "
                               "\\\"v\\\"}\"}},{\"id\":\"b\",\"type\":\"function\","
                               "\"function\":{\"name\":\"g\",\"arguments\":\"\"},\"extra_content\":{\"google\":{"
                               "\"thought_signature\":\"s\"}}}]},"
                               "\"logprobs\":null,\"finish_reason\":\"tool_calls\"}]}",
                      NULL);
    assert_round_trip(ENVELOPE "{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"a\",\"refusal\":null,"
                               "\"annotations\":[{\"type\":\"t\"}]},"
                               "\"logprobs\":null,\"finish_reason\":\"stop\"},{\"index\":1,\"message\":{\"role\":"
                               "\"assistant\",\"content\":\"b\",\"refusal\":null},"
                               "\"logprobs\":null,\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":1}}",
                      NULL);
    assert_round_trip(ENVELOPE "{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":null,\"refusal\":\"I "
                               "can't\"},\"finish_reason\":\"stop\"}]}",
                      NULL);
    assert_round_trip(ENVELOPE "{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":null,\"function_call\":{"
                               "\"name\":\"f\",\"arguments\":\"{}\"}},"
                               "\"finish_reason\":\"function_call\"}]}",
                      NULL);
}

static void assert_stripped(const char *stream, const char *want)
{
    text_clear(&out);
    assert_int_equal(replay_strip_usage(span_text(stream), &scratch, &out), RC_OK);
    assert_span(text_span(&out), want);
}

static void test_the_usage_chunk_is_stripped(void **state)
{
    (void)state;
#define D "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}],\"usage\":null}\n\n"
    assert_stripped(D "data: {\"choices\":[],\"usage\":{}}\n\n" DONE, D DONE);
    assert_stripped(D DONE, D DONE);
    assert_stripped("", "");
}

static void test_nonsense_is_refused(void **state)
{
    (void)state;
    static const char *const objects[] = {
        "", "[]", "{", "{}", "{\"choices\":[]}", "{\"choices\":[{}]}", "{\"choices\":[7]}"};
    for (unsigned i = 0; i < sizeof objects / sizeof *objects; i++)
        assert_int_equal(replay_stream_from_object(DIALECT_OPENAI, span_text(objects[i]), true, &scratch, &out),
                         RC_CORRUPT);
    static const char *const streams[] = {"", DONE, "data: {\n\n", "data: []\n\n", ("data: {\"choices\":[]}\n\n" DONE)};
    for (unsigned i = 0; i < sizeof streams / sizeof *streams; i++)
        assert_int_equal(replay_object_from_stream(DIALECT_OPENAI, span_text(streams[i]), &scratch, &out), RC_CORRUPT);
}

static void test_small_room_is_told(void **state)
{
    (void)state;
    assert_small_room_is_told(DIALECT_OPENAI, text_object, true);
}

static void test_a_reply_from_a_text(void **state)
{
    (void)state;
    reply_object(DIALECT_OPENAI, SPAN("chatcmpl-9"), SPAN("larder"), 1790000000, SPAN("a \"b\""), &out);
    assert_span(
        text_span(&out),
        "{\"id\":\"chatcmpl-9\",\"object\":\"chat.completion\",\"created\":1790000000,\"model\":\"larder\",\"choices\":"
        "[{"
        "\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"a "
        "\\\"b\\\"\",\"refusal\":null},\"logprobs\":null,"
        "\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":0,\"completion_tokens\":0,\"total_tokens\":0}}");
    struct verdict v;
    verdict_of(DIALECT_OPENAI, false, text_span(&out), &scratch, &v);
    assert_true(v.storable);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_text_as_a_stream),
        TEST(test_tool_calls_as_a_stream),
        TEST(test_reasoning_comes_before_the_answer),
        TEST(test_logprobs_come_with_the_text),
        TEST(test_a_recorded_stream_as_an_object),
        TEST(test_parallel_calls_interleaved),
        TEST(test_several_choices_and_logprobs),
        TEST(test_what_other_servers_send),
        TEST(test_round_trips),
        TEST(test_the_usage_chunk_is_stripped),
        TEST(test_nonsense_is_refused),
        TEST(test_small_room_is_told),
        TEST(test_a_reply_from_a_text),
    };
    return cmocka_run_group_tests_name("replay_openai", tests, NULL, NULL);
}
