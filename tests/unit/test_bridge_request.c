/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_bridge_request.c — requests written in the other dialect, to the byte, and what is refused by name. */
#include "app/gateway/bridge.h"
#include "tests/support/dialect_test.h"

static struct bridge_refusal refusal;

static int convert(enum dialect to, const char *body)
{
    text_clear(&out);
    return bridge_request(to, span_text(body), &scratch, &out, &refusal);
}

static void assert_converts(enum dialect to, const char *body, const char *want)
{
    int rc = convert(to, body);
    if (rc != RC_OK) fail_msg("%s: %s", body, refusal.message);
    assert_span(text_span(&out), want);
}

static void assert_refused(enum dialect to, const char *body, const char *field)
{
    char want[160];
    snprintf(want, sizeof want,
             "The field \"%s\" cannot be carried over to this route's provider, which speaks the %s ", field,
             to == DIALECT_OPENAI ? "OpenAI" : "Anthropic");
    int rc = convert(to, body);
    if (rc != RC_DENIED) fail_msg("%s: %d, not refused: %s", body, rc, out.data);
    if (strncmp(refusal.message, want, strlen(want)) != 0) fail_msg("%s\nfor %s", refusal.message, body);
}

/* ---- to messages */

#define HI "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"
#define HI_THERE "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"hi\"}]}]"

static void test_parameters_of_completions(void **state)
{
    (void)state;
    assert_converts(DIALECT_ANTHROPIC, "{\"model\":\"m\"," HI "}",
                    "{\"model\":\"m\",\"max_tokens\":4096," HI_THERE "}");
    assert_converts(DIALECT_ANTHROPIC,
                    "{" HI ",\"model\":\"m\",\"max_tokens\":5,\"max_completion_tokens\":7,\"temperature\":0.50,"
                    "\"top_p\":0.9,\"stop\":\"END\",\"stream\":true,\"stream_options\":{\"include_usage\":true},"
                    "\"user\":\"u\",\"n\":1,\"seed\":null,\"logprobs\":false,\"top_logprobs\":0,\"logit_bias\":{},"
                    "\"frequency_penalty\":0,\"presence_penalty\":0.0,\"response_format\":{\"type\":\"text\"},"
                    "\"modalities\":[\"text\"],\"store\":false,\"reasoning_effort\":\"none\",\"tools\":[],"
                    "\"parallel_tool_calls\":false}",
                    "{\"model\":\"m\",\"max_tokens\":7,\"temperature\":0.50,\"top_p\":0.9,\"stop_sequences\":[\"END\"],"
                    "\"stream\":true,\"metadata\":{\"user_id\":\"u\"}," HI_THERE "}");
    assert_converts(DIALECT_ANTHROPIC, "{\"model\":\"m\",\"max_tokens\":9,\"stop\":[\"a\",\"b\"]," HI "}",
                    "{\"model\":\"m\",\"max_tokens\":9,\"stop_sequences\":[\"a\",\"b\"]," HI_THERE "}");
}

static void test_conversation_of_completions(void **state)
{
    (void)state;
    assert_converts(
        DIALECT_ANTHROPIC,
        "{\"model\":\"m\",\"messages\":["
        "{\"role\":\"system\",\"content\":\"Be \\\"brief\\\".\"},"
        "{\"role\":\"developer\",\"content\":[{\"type\":\"text\",\"text\":\"Caf\xc3\xa9\"}]},"
        "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"what\"},{\"type\":\"image_url\",\"image_url\":{"
        "\"url\":\"data:image/png;base64,AA+/\",\"detail\":\"auto\"}},{\"type\":\"image_url\",\"image_url\":{\"url\":"
        "\"https://x/y.png\"}}]},"
        "{\"role\":\"assistant\",\"content\":null,\"annotations\":[],\"tool_calls\":[{\"id\":\"c1\",\"type\":"
        "\"function\","
        "\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"z\\\": 1.0, \\\"a\\\":\\\"\\\\n\\\"}\"}},{\"id\":\"c2\","
        "\"type\":\"function\",\"function\":{\"name\":\"g\",\"arguments\":\"\"}}]},"
        "{\"role\":\"tool\",\"tool_call_id\":\"c1\",\"content\":\"one\"},"
        "{\"role\":\"tool\",\"tool_call_id\":\"c2\",\"content\":[{\"type\":\"text\",\"text\":\"two\"}]},"
        "{\"role\":\"user\",\"content\":\"go on\"},"
        "{\"role\":\"assistant\",\"content\":\"well\",\"refusal\":null}]}",
        "{\"model\":\"m\",\"max_tokens\":4096,"
        "\"system\":[{\"type\":\"text\",\"text\":\"Be \\\"brief\\\".\"},{\"type\":\"text\",\"text\":\"Caf\xc3\xa9\"}],"
        "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"what\"},"
        "{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"media_type\":\"image/png\",\"data\":\"AA+/\"}},"
        "{\"type\":\"image\",\"source\":{\"type\":\"url\",\"url\":\"https://x/y.png\"}}]},"
        "{\"role\":\"assistant\",\"content\":[{\"type\":\"tool_use\",\"id\":\"c1\",\"name\":\"f\",\"input\":{\"z\":1.0,"
        "\"a\":\"\\n\"}},{\"type\":\"tool_use\",\"id\":\"c2\",\"name\":\"g\",\"input\":{}}]},"
        "{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"c1\",\"content\":[{\"type\":"
        "\"text\","
        "\"text\":\"one\"}]},{\"type\":\"tool_result\",\"tool_use_id\":\"c2\",\"content\":[{\"type\":\"text\",\"text\":"
        "\"two\"}]},{\"type\":\"text\",\"text\":\"go on\"}]},"
        "{\"role\":\"assistant\",\"content\":[{\"type\":\"text\",\"text\":\"well\"}]}]}");
}

#define FUNCTION \
    "{\"type\":\"function\",\"function\":{\"name\":\"f\",\"description\":\"d\",\"parameters\":{\"b\":1,\"a\":2}}}"
#define TOOL "{\"name\":\"f\",\"description\":\"d\",\"input_schema\":{\"b\":1,\"a\":2}}"
#define TO_TOOLS(more, want)                                                                        \
    assert_converts(DIALECT_ANTHROPIC, "{\"model\":\"m\"," HI ",\"tools\":[" FUNCTION "]" more "}", \
                    "{\"model\":\"m\",\"max_tokens\":4096," HI_THERE ",\"tools\":[" TOOL "]" want "}")

static void test_tools_of_completions(void **state)
{
    (void)state;
    TO_TOOLS("", "");
    TO_TOOLS(",\"tool_choice\":\"auto\"", ",\"tool_choice\":{\"type\":\"auto\"}");
    TO_TOOLS(",\"tool_choice\":\"none\",\"parallel_tool_calls\":false", ",\"tool_choice\":{\"type\":\"none\"}");
    TO_TOOLS(",\"tool_choice\":\"required\",\"parallel_tool_calls\":true", ",\"tool_choice\":{\"type\":\"any\"}");
    TO_TOOLS(",\"parallel_tool_calls\":false",
             ",\"tool_choice\":{\"type\":\"auto\",\"disable_parallel_tool_use\":true}");
    TO_TOOLS(",\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"f\"}}",
             ",\"tool_choice\":{\"type\":\"tool\",\"name\":\"f\"}");
    assert_converts(DIALECT_ANTHROPIC,
                    "{\"model\":\"m\"," HI ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"strict\":"
                    "false}}]}",
                    "{\"model\":\"m\",\"max_tokens\":4096," HI_THERE
                    ",\"tools\":[{\"name\":\"f\",\"input_schema\":{\"type\":\"object\",\"properties\":{}}}]}");
}

static void test_what_messages_do_not_have(void **state)
{
    static const char *const rows[][2] = {
        {"\"n\":2", "n"},
        {"\"logprobs\":true", "logprobs"},
        {"\"top_logprobs\":3", "top_logprobs"},
        {"\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{}}", "response_format"},
        {"\"response_format\":{\"type\":\"json_object\"}", "response_format"},
        {"\"seed\":0", "seed"},
        {"\"temperature\":1.2", "temperature"},
        {"\"frequency_penalty\":0.1", "frequency_penalty"},
        {"\"presence_penalty\":-1", "presence_penalty"},
        {"\"logit_bias\":{\"5\":1}", "logit_bias"},
        {"\"modalities\":[\"text\",\"audio\"]", "modalities"},
        {"\"audio\":{\"voice\":\"x\"}", "audio"},
        {"\"store\":true", "store"},
        {"\"reasoning_effort\":\"low\"", "reasoning_effort"},
        {"\"prediction\":{}", "prediction"},
        {"\"web_search_options\":{}", "web_search_options"},
        {"\"functions\":[{}]", "functions"},
        {"\"tool_choice\":{\"type\":\"allowed_tools\"}", "tool_choice"},
        {"\"tools\":[{\"type\":\"custom\"}]", "tools[0].type"},
        {"\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"strict\":true}}]",
         "tools[0].function.strict"},
        {"\"quite_new\":1", "quite_new"},
    };
    static const char *const messages[][2] = {
        {"{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"system\",\"content\":\"b\"}", "messages[1].role"},
        {"{\"role\":\"function\",\"content\":\"a\"}", "messages[0].role"},
        {"{\"role\":\"user\",\"name\":\"Bob\",\"content\":\"a\"}", "messages[0].name"},
        {"{\"role\":\"user\",\"content\":5}", "messages[0].content"},
        {"{\"role\":\"user\",\"content\":[{\"type\":\"input_audio\"}]}", "messages[0].content[0].type"},
        {"{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"\"},{\"type\":\"file\"}]}",
         "messages[0].content[1].type"},
        {"{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":\"ftp://x\"}}]}",
         "messages[0].content[0].image_url.url"},
        {"{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:,x\"}}]}",
         "messages[0].content[0].image_url.url"},
        {"{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":\"http://"
         "x\",\"detail\":\"low\"}}"
         "]}",
         "messages[0].content[0].image_url.detail"},
        {"{\"role\":\"assistant\",\"content\":null,\"audio\":{\"id\":\"a\"}}", "messages[0].audio"},
        {"{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"c\",\"function\":{\"name\":\"f\","
         "\"arguments\":\"[1]\"}}]}",
         "messages[0].tool_calls[0].function.arguments"},
        {"{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"type\":\"custom\"}]}",
         "messages[0].tool_calls[0].type"},
    };
    char body[512];
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        snprintf(body, sizeof body, "{\"model\":\"m\"," HI ",%s}", rows[i][0]);
        assert_refused(DIALECT_ANTHROPIC, body, rows[i][1]);
    }
    for (size_t i = 0; i < sizeof messages / sizeof *messages; i++) {
        snprintf(body, sizeof body, "{\"model\":\"m\",\"messages\":[%s]}", messages[i][0]);
        assert_refused(DIALECT_ANTHROPIC, body, messages[i][1]);
    }
}

/* ---- to completions */

#define HELLO "{\"role\":\"user\",\"content\":\"hi\"}"

static void test_parameters_of_messages(void **state)
{
    (void)state;
    assert_converts(DIALECT_OPENAI, "{\"model\":\"m\",\"max_tokens\":9,\"messages\":[" HELLO "]}",
                    "{\"model\":\"m\",\"max_tokens\":9,\"messages\":[" HELLO "]}");
    assert_converts(
        DIALECT_OPENAI,
        "{\"model\":\"m\",\"max_tokens\":9,\"system\":\"Be \\\"brief\\\".\",\"messages\":[" HELLO "],\"temperature\":1,"
        "\"top_p\":0.5,\"stop_sequences\":[\"a\"],\"stream\":true,\"metadata\":{\"user_id\":\"u\"},"
        "\"thinking\":{\"type\":\"adaptive\"},\"service_tier\":\"auto\",\"cache_control\":{\"type\":\"ephemeral\"},"
        "\"context_management\":{\"edits\":[{\"type\":\"clear_thinking_20251015\"}]},\"mcp_servers\":[]}",
        "{\"model\":\"m\",\"max_tokens\":9,\"temperature\":1,\"top_p\":0.5,\"stop\":[\"a\"],\"stream\":true,"
        "\"stream_options\":{\"include_usage\":true},\"user\":\"u\","
        "\"messages\":[{\"role\":\"system\",\"content\":\"Be \\\"brief\\\".\"}," HELLO "]}");
}

static void test_conversation_of_messages(void **state)
{
    (void)state;
    assert_converts(
        DIALECT_OPENAI,
        "{\"model\":\"m\",\"max_tokens\":9,"
        "\"system\":[{\"type\":\"text\",\"text\":\"one\",\"cache_control\":{\"type\":\"ephemeral\"}},{\"type\":"
        "\"text\","
        "\"text\":\"t\\\"wo\"}],"
        "\"messages\":["
        "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"what\"},{\"type\":\"image\",\"source\":{"
        "\"type\":"
        "\"base64\",\"media_type\":\"image/png\",\"data\":\"AA+/\"}},{\"type\":\"image\",\"source\":{\"type\":\"url\","
        "\"url\":\"https://x/y.png\"}}]},"
        "{\"role\":\"assistant\",\"content\":[{\"type\":\"thinking\",\"thinking\":\"hm\",\"signature\":\"x\"},{"
        "\"type\":"
        "\"text\",\"text\":\"I look\"},{\"type\":\"tool_use\",\"id\":\"t1\",\"name\":\"f\",\"input\":{\"z\":1.0,\"a\":"
        "\"\\n\"}},{\"type\":\"tool_use\",\"id\":\"t2\",\"name\":\"g\",\"input\":{}}]},"
        "{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"t1\",\"content\":\"no\",\"is_"
        "error\":"
        "true},{\"type\":\"tool_result\",\"tool_use_id\":\"t2\",\"content\":[{\"type\":\"text\",\"text\":\"see\"},{"
        "\"type\":\"image\",\"source\":{\"type\":\"base64\",\"media_type\":\"image/gif\",\"data\":\"R0\"}}]},{\"type\":"
        "\"text\",\"text\":\"and\"}]},"
        "{\"role\":\"assistant\",\"content\":[{\"type\":\"tool_use\",\"id\":\"t3\",\"name\":\"f\",\"input\":{}}]},"
        "{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"t3\"}]},"
        "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\",\"text\":\"b\"}]},"
        "{\"role\":\"assistant\",\"content\":\"x\"}]}",
        "{\"model\":\"m\",\"max_tokens\":9,\"messages\":["
        "{\"role\":\"system\",\"content\":\"one\\n\\nt\\\"wo\"},"
        "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"what\"},{\"type\":\"image_url\",\"image_url\":{"
        "\"url\":\"data:image/png;base64,AA+/\"}},{\"type\":\"image_url\",\"image_url\":{\"url\":\"https://x/"
        "y.png\"}}]},"
        "{\"role\":\"assistant\",\"content\":\"I "
        "look\",\"tool_calls\":[{\"id\":\"t1\",\"type\":\"function\",\"function\":"
        "{\"name\":\"f\",\"arguments\":\"{\\\"z\\\":1.0,\\\"a\\\":\\\"\\\\n\\\"}\"}},{\"id\":\"t2\",\"type\":"
        "\"function\","
        "\"function\":{\"name\":\"g\",\"arguments\":\"{}\"}}]},"
        "{\"role\":\"tool\",\"content\":\"Error: no\",\"tool_call_id\":\"t1\"},"
        "{\"role\":\"tool\",\"content\":\"see\",\"tool_call_id\":\"t2\"},"
        "{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/"
        "gif;base64,R0\"}},{"
        "\"type\":\"text\",\"text\":\"and\"}]},"
        "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"t3\",\"type\":\"function\",\"function\":{"
        "\"name\":\"f\",\"arguments\":\"{}\"}}]},"
        "{\"role\":\"tool\",\"content\":\"\",\"tool_call_id\":\"t3\"},"
        "{\"role\":\"user\",\"content\":\"a\\n\\nb\"},"
        "{\"role\":\"assistant\",\"content\":\"x\"}]}");
}

#define TO_FUNCTIONS(more, want)                                                                                \
    assert_converts(DIALECT_OPENAI,                                                                             \
                    "{\"model\":\"m\",\"max_tokens\":9,\"messages\":[" HELLO "],\"tools\":[" TOOL "]" more "}", \
                    "{\"model\":\"m\",\"max_tokens\":9,\"messages\":[" HELLO "],\"tools\":[" FUNCTION "]" want "}")

static void test_tools_of_messages(void **state)
{
    (void)state;
    TO_FUNCTIONS("", "");
    TO_FUNCTIONS(",\"tool_choice\":{\"type\":\"auto\",\"disable_parallel_tool_use\":true}",
                 ",\"tool_choice\":\"auto\",\"parallel_tool_calls\":false");
    TO_FUNCTIONS(",\"tool_choice\":{\"type\":\"any\"}", ",\"tool_choice\":\"required\"");
    TO_FUNCTIONS(",\"tool_choice\":{\"type\":\"none\"}", ",\"tool_choice\":\"none\"");
    TO_FUNCTIONS(",\"tool_choice\":{\"type\":\"tool\",\"name\":\"f\"}",
                 ",\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"f\"}}");
    assert_converts(DIALECT_OPENAI,
                    "{\"model\":\"m\",\"max_tokens\":9,\"messages\":[" HELLO
                    "],\"tools\":[{\"type\":\"custom\",\"name\":"
                    "\"f\",\"input_schema\":{},\"strict\":true,\"cache_control\":{\"type\":\"ephemeral\"}}]}",
                    "{\"model\":\"m\",\"max_tokens\":9,\"messages\":[" HELLO "],\"tools\":[{\"type\":\"function\","
                    "\"function\":{\"name\":\"f\",\"parameters\":{},\"strict\":true}}]}");
}

static void test_what_completions_do_not_have(void **state)
{
    static const char *const rows[][2] = {
        {"\"top_k\":5", "top_k"},
        {"\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":1024}", "thinking"},
        {"\"context_management\":{\"edits\":[{\"type\":\"clear_tool_uses_20250919\"}]}", "context_management"},
        {"\"output_config\":{\"effort\":\"low\"}", "output_config"},
        {"\"mcp_servers\":[{}]", "mcp_servers"},
        {"\"container\":\"c\"", "container"},
        {"\"metadata\":{\"team\":\"x\"}", "metadata.team"},
        {"\"tool_choice\":{\"type\":\"odd\"}", "tool_choice.type"},
        {"\"tools\":[{\"type\":\"web_search_20250305\",\"name\":\"web_search\"}]", "tools[0].type"},
        {"\"tools\":[{\"name\":\"f\",\"input_schema\":{},\"defer_loading\":true}]", "tools[0].defer_loading"},
        {"\"system\":[{\"type\":\"image\"}]", "system[0].type"},
    };
    static const char *const blocks[][2] = {
        {"{\"type\":\"document\"}", "messages[0].content[0].type"},
        {"{\"type\":\"search_result\"}", "messages[0].content[0].type"},
        {"{\"type\":\"text\",\"text\":\"a\",\"citations\":[{}]}", "messages[0].content[0].citations"},
        {"{\"type\":\"image\",\"source\":{\"type\":\"file\",\"file_id\":\"f\"}}", "messages[0].content[0].source.type"},
        {"{\"type\":\"tool_result\",\"content\":[{\"type\":\"document\"}]}", "messages[0].content[0].content[0].type"},
    };
    char body[512];
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        snprintf(body, sizeof body, "{\"model\":\"m\",\"messages\":[" HELLO "],%s}", rows[i][0]);
        assert_refused(DIALECT_OPENAI, body, rows[i][1]);
    }
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) {
        snprintf(body, sizeof body, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[%s]}]}",
                 blocks[i][0]);
        assert_refused(DIALECT_OPENAI, body, blocks[i][1]);
    }
    assert_refused(
        DIALECT_OPENAI,
        "{\"model\":\"m\",\"messages\":[{\"role\":\"assistant\",\"content\":[{\"type\":\"server_tool_use\"}]}]}",
        "messages[0].content[0].type");
    assert_refused(DIALECT_OPENAI, "{\"model\":\"m\",\"messages\":[{\"role\":\"odd\",\"content\":\"\"}]}",
                   "messages[0].role");
    assert_refused(DIALECT_OPENAI, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":7}]}",
                   "messages[0].content");
}

/* ---- room */

static void test_small_rooms_are_told(void **state)
{
    static const char *const bodies[] = {
        [DIALECT_ANTHROPIC] = "{\"model\":\"m\"," HI ",\"tools\":[" FUNCTION "]}",
        [DIALECT_OPENAI] =
            "{\"model\":\"m\",\"max_tokens\":9,\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":"
            "\"text\",\"text\":\"a\"},{\"type\":\"text\",\"text\":\"b\"},{\"type\":\"image\",\"source\":{"
            "\"type\":\"base64\",\"media_type\":\"image/png\",\"data\":\"AA\"}}]},{\"role\":\"user\","
            "\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\",\"text\":\"b\"}]}]}"};
    static char small[1024];
    (void)state;
    for (enum dialect to = DIALECT_OPENAI; to < DIALECTS; to++) {
        assert_int_equal(convert(to, bodies[to]), RC_OK);
        for (size_t size = 1; size < out.size + 2; size++) {
            struct text tight = text_on(small, size);
            int rc = bridge_request(to, span_text(bodies[to]), &scratch, &tight, &refusal);
            assert_int_equal(rc, size > out.size ? RC_OK : RC_TOO_LARGE);
        }
    }
    for (size_t size = 0; size < 4096; size += 16) {
        struct json_scratch tight = {scratch_memory, size};
        text_clear(&out);
        int rc = bridge_request(DIALECT_OPENAI, span_text(bodies[DIALECT_OPENAI]), &tight, &out, &refusal);
        assert_true(rc == RC_OK || rc == RC_TOO_LARGE);
    }
    assert_int_equal(convert(DIALECT_OPENAI, "{"), RC_CORRUPT);
    assert_int_equal(convert(DIALECT_OPENAI, "2"), RC_CORRUPT);
    assert_int_equal(convert(DIALECT_ANTHROPIC, "{\"model\":\"m\"}"), RC_CORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_parameters_of_completions), TEST(test_conversation_of_completions),
        TEST(test_tools_of_completions),      TEST(test_what_messages_do_not_have),
        TEST(test_parameters_of_messages),    TEST(test_conversation_of_messages),
        TEST(test_tools_of_messages),         TEST(test_what_completions_do_not_have),
        TEST(test_small_rooms_are_told),
    };
    return cmocka_run_group_tests_name("bridge request", tests, NULL, NULL);
}
