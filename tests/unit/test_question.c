/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_question.c — what is read from a request, what its identity depends on, the usage splice. */
#include "tests/support/dialect_test.h"

static struct question q;
static struct span error;
static struct question_context context;

static int read_with(enum dialect dialect, const char *body)
{
    context.dialect = dialect;
    return question_read(span_text(body), &context, &scratch, &arena, &q, &error);
}

static void read_ok(enum dialect dialect, const char *body)
{
    if (read_with(dialect, body) != RC_OK) fail_msg("%.*s in %s", SPAN_ARG(error), body);
    memset(scratch_memory, 0xA5, 4096); /* nothing may point into it */
}

static int use_scope(void **state)
{
    set_up(state);
    context = (struct question_context){.scope = SPAN("tenant 1 /v1/chat/completions")};
    return 0;
}

#undef TEST
#define TEST(name) cmocka_unit_test_setup_teardown(name, use_scope, tear_down)

/* ---- what is refused */

static void assert_refused(const char *body, int rc, const char *sentence)
{
    assert_int_equal(read_with(DIALECT_OPENAI, body), rc);
    assert_span(error, sentence);
}

static void test_refusals_are_sentences(void **state)
{
    (void)state;
    assert_refused("", RC_INVALID, "The request body is empty; a JSON object is needed.");
    assert_refused("[1]", RC_INVALID, "The request body is not a JSON object.");
    assert_refused("{}", RC_INVALID, "The field \"model\" is missing.");
    assert_refused("{\"model\":7,\"messages\":[]}", RC_INVALID, "The field \"model\" is not a non-empty string.");
    assert_refused("{\"model\":\"\",\"messages\":[]}", RC_INVALID, "The field \"model\" is not a non-empty string.");
    assert_refused("{\"model\":\"m\"}", RC_INVALID, "The field \"messages\" is missing.");
    assert_refused("{\"model\":\"m\",\"messages\":\"hi\"}", RC_INVALID, "The field \"messages\" is not an array.");
    assert_int_equal(read_with(DIALECT_OPENAI, "{\"model\":NaN}"), RC_INVALID);
    assert_true(span_starts_with(error, SPAN("The request body is not valid JSON: ")));
    assert_true(span_ends_with(error, SPAN(" at byte 9.")));
    static char deep[400];
    memset(deep, '[', 200);
    memset(deep + 200, ']', 191);
    memcpy(deep, "{\"model\":", 9);
    deep[391] = '}';
    assert_refused(deep, RC_TOO_LARGE, "The request body cannot be read: it is nested too deeply.");
    read_ok(DIALECT_OPENAI, "{\"model\":\"m\",\"messages\":[]}");
    assert_int_equal(q.flags, 0);
    assert_int_equal(q.query.size, 0);
}

/* ---- what is read */

static void test_model_and_query_are_copied_out(void **state)
{
    (void)state;
    read_ok(DIALECT_OPENAI, "{\"messages\":[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\",\"content\":"
                            "\"caf\\u00e9?\"}],\"model\":\"gpt-\\u0034o\"}");
    assert_span(q.model, "gpt-4o");
    assert_span(q.query, "caf\xc3\xa9?");
    read_ok(DIALECT_OPENAI,
            "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"first\"},{\"role\":\"user\","
            "\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"image_url\",\"image_url\":{\"url\":"
            "\"https://x/y.png\"}},{\"type\":\"text\",\"text\":\"\"},{\"type\":\"text\",\"text\":\"b\"}]}]}");
    assert_span(q.query, "a\n\nb");
    read_ok(DIALECT_ANTHROPIC,
            "{\"model\":\"c\",\"max_tokens\":9,\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":"
            "\"text\",\"text\":\"hi\"}]},{\"role\":\"assistant\",\"content\":\"{\"}]}");
    assert_span(q.query, "hi");
}

static void test_a_long_query_is_cut_at_a_character(void **state)
{
    (void)state;
    static char body[ENTRY_QUERY_MAX + 200];
    for (unsigned parts = 0; parts < 2; parts++) {
        struct text text = text_on(body, sizeof body);
        text_put_text(&text, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":");
        text_put_text(&text, parts ? "[{\"type\":\"text\",\"text\":\"" : "\"");
        for (int i = 0; i < ENTRY_QUERY_MAX - 1; i++) text_put_char(&text, 'a');
        text_put_text(&text, "\xc3\xa9");
        text_put_text(&text, parts ? "\"}]}]}" : "\"}]}");
        read_ok(DIALECT_OPENAI, body);
        assert_int_equal(q.query.size, ENTRY_QUERY_MAX - 1);
        assert_int_equal(q.query.data[q.query.size - 1], 'a');
        assert_false(q.flags & QUESTION_SINGLE);
    }
}

static void assert_flags(enum dialect dialect, const char *body, unsigned flags)
{
    read_ok(dialect, body);
    if (q.flags != flags) fail_msg("flags %#x, want %#x: %s", q.flags, flags, body);
    assert_null(q.bypass);
}

#define USER "{\"role\":\"user\",\"content\":\"q\"}"
#define OPENAI(fields) "{\"model\":\"m\",\"messages\":[" USER "]" fields "}"
#define CLAUDE(fields) "{\"model\":\"c\",\"max_tokens\":5,\"messages\":[" USER "]" fields "}"

static void test_flags_of_the_envelope(void **state)
{
    (void)state;
    const unsigned single = QUESTION_SINGLE;
    assert_flags(DIALECT_OPENAI, OPENAI(""), single);
    assert_flags(DIALECT_OPENAI, OPENAI(",\"stream\":true"), single | QUESTION_STREAM);
    assert_flags(DIALECT_OPENAI, OPENAI(",\"stream\":false,\"stream_options\":null"), single);
    assert_flags(DIALECT_OPENAI, OPENAI(",\"stream\":true,\"stream_options\":{\"include_usage\":true}"),
                 single | QUESTION_STREAM | QUESTION_INCLUDE_USAGE);
    assert_flags(DIALECT_OPENAI, OPENAI(",\"n\":1"), single);
    assert_flags(DIALECT_OPENAI, OPENAI(",\"n\":2"), QUESTION_MANY);
    assert_flags(DIALECT_OPENAI, OPENAI(",\"temperature\":0.7"), single | QUESTION_SAMPLED);
    assert_flags(DIALECT_OPENAI, OPENAI(",\"temperature\":0.7,\"seed\":1"), single);
    assert_flags(DIALECT_OPENAI, OPENAI(",\"temperature\":0"), single);
    assert_flags(DIALECT_OPENAI, OPENAI(",\"response_format\":{\"type\":\"text\"}"), single);
    assert_flags(DIALECT_OPENAI, OPENAI(",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{}}"),
                 QUESTION_SCHEMA);
    assert_flags(DIALECT_OPENAI, OPENAI(",\"tools\":[]"), single);
    assert_flags(DIALECT_OPENAI, OPENAI(",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]"),
                 QUESTION_TOOLS);
    assert_flags(DIALECT_OPENAI, OPENAI(",\"functions\":[{\"name\":\"f\"}]"), QUESTION_TOOLS);
    assert_flags(DIALECT_ANTHROPIC, CLAUDE(",\"system\":\"s\""), single | QUESTION_SYSTEM);
    assert_flags(DIALECT_ANTHROPIC, CLAUDE(",\"system\":\"\""), single);
    assert_flags(DIALECT_ANTHROPIC, CLAUDE(",\"system\":[{\"type\":\"text\",\"text\":\"s\"}]"),
                 single | QUESTION_SYSTEM);
    assert_flags(DIALECT_ANTHROPIC, CLAUDE(",\"tools\":[{\"name\":\"f\",\"input_schema\":{}}]"), QUESTION_TOOLS);
    assert_flags(DIALECT_ANTHROPIC, CLAUDE(",\"tools\":[{\"type\":\"bash_20250124\",\"name\":\"bash\"}]"),
                 QUESTION_TOOLS);
    assert_flags(DIALECT_ANTHROPIC, CLAUDE(",\"output_config\":{\"effort\":\"low\"}"), single);
    assert_flags(DIALECT_ANTHROPIC, CLAUDE(",\"output_config\":{\"format\":{\"type\":\"json_schema\"}}"),
                 QUESTION_SCHEMA);
    assert_flags(DIALECT_ANTHROPIC, CLAUDE(",\"temperature\":1"), single | QUESTION_SAMPLED);
    assert_flags(DIALECT_ANTHROPIC, CLAUDE(",\"stream\":true"), single | QUESTION_STREAM);
}

#define MESSAGES(list) "{\"model\":\"m\",\"messages\":[" list "]}"

static void test_flags_of_the_messages(void **state)
{
    (void)state;
    assert_flags(DIALECT_OPENAI, MESSAGES("{\"role\":\"developer\",\"content\":\"d\"}," USER),
                 QUESTION_SINGLE | QUESTION_SYSTEM);
    assert_flags(DIALECT_OPENAI, MESSAGES(USER "," USER), 0);
    assert_flags(DIALECT_OPENAI, MESSAGES(USER ",{\"role\":\"assistant\",\"content\":\"a\"}," USER), QUESTION_HISTORY);
    assert_flags(
        DIALECT_OPENAI,
        MESSAGES(USER ",{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"c\",\"type\":\"function\","
                      "\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]},{\"role\":\"tool\",\"tool_call_id\":"
                      "\"c\",\"content\":\"7\"}"),
        QUESTION_HISTORY | QUESTION_TOOLS);
    assert_flags(DIALECT_OPENAI,
                 MESSAGES("{\"role\":\"user\",\"content\":[{\"type\":\"input_audio\",\"input_audio\":{}}]}"),
                 QUESTION_MEDIA);
    assert_flags(
        DIALECT_ANTHROPIC,
        MESSAGES(
            "{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"t\",\"content\":\"x\"}]}"),
        QUESTION_TOOLS);
    assert_flags(
        DIALECT_ANTHROPIC,
        MESSAGES(
            "{\"role\":\"user\",\"content\":[{\"type\":\"image\",\"source\":{}},{\"type\":\"text\",\"text\":\"q\"}]}"),
        QUESTION_MEDIA);
    assert_flags(DIALECT_OPENAI, MESSAGES("{\"role\":\"robot\",\"content\":\"x\"}," USER), 0);
}

static void assert_bypass(enum dialect dialect, const char *body, const char *reason)
{
    read_ok(dialect, body);
    if (!reason)
        assert_null(q.bypass);
    else if (!q.bypass)
        fail_msg("not bypassed: %s", body);
    else
        assert_string_equal(q.bypass, reason);
}

static void test_server_state_and_live_sources_bypass(void **state)
{
    (void)state;
    assert_bypass(DIALECT_OPENAI, OPENAI(",\"conversation\":\"conv_1\""), "conversation");
    assert_bypass(DIALECT_OPENAI, OPENAI(",\"conversation\":null"), NULL);
    assert_bypass(DIALECT_OPENAI, OPENAI(",\"prompt\":{\"id\":\"p\"}"), "prompt without version");
    assert_bypass(DIALECT_OPENAI, OPENAI(",\"prompt\":{\"id\":\"p\",\"version\":\"2\"}"), NULL);
    assert_bypass(DIALECT_OPENAI, OPENAI(",\"web_search_options\":{}"), "web_search_options");
    assert_bypass(DIALECT_OPENAI, OPENAI(",\"background\":true"), "background");
    assert_bypass(DIALECT_OPENAI, OPENAI(",\"background\":false"), NULL);
    assert_bypass(DIALECT_OPENAI, OPENAI(",\"store\":true,\"metadata\":{\"a\":\"b\"}"), "store");
    assert_bypass(DIALECT_OPENAI, OPENAI(",\"store\":false"), NULL);
    assert_bypass(DIALECT_OPENAI, OPENAI(",\"modalities\":[\"text\",\"audio\"]"), "modalities");
    assert_bypass(DIALECT_OPENAI, OPENAI(",\"modalities\":[\"text\"]"), NULL);
    assert_bypass(DIALECT_OPENAI, OPENAI(",\"tools\":[{\"type\":\"web_search\"}]"), "hosted tool");
    assert_bypass(DIALECT_OPENAI, OPENAI(",\"tools\":[{\"type\":\"custom\",\"custom\":{\"name\":\"c\"}}]"), NULL);
    assert_bypass(DIALECT_OPENAI, "{\"model\":\"gpt-4o-search-preview\",\"messages\":[]}", "web search model");
    assert_bypass(DIALECT_ANTHROPIC, CLAUDE(",\"container\":\"c_1\""), "container");
    assert_bypass(DIALECT_ANTHROPIC, CLAUDE(",\"mcp_servers\":[{\"type\":\"url\",\"url\":\"https://x\"}]"),
                  "mcp_servers");
    assert_bypass(DIALECT_ANTHROPIC, CLAUDE(",\"mcp_servers\":[]"), NULL);
    assert_bypass(DIALECT_ANTHROPIC, CLAUDE(",\"tools\":[{\"type\":\"web_search_20250305\",\"name\":\"web_search\"}]"),
                  "hosted tool");
    assert_bypass(DIALECT_ANTHROPIC, CLAUDE(",\"tools\":[{\"type\":\"code_execution_20250825\",\"name\":\"x\"}]"),
                  "hosted tool");
    assert_bypass(DIALECT_ANTHROPIC, CLAUDE(",\"tools\":[{\"type\":\"text_editor_20250728\",\"name\":\"e\"}]"), NULL);
}

/* ---- identity */

static struct digest digest_of(enum dialect dialect, const char *body)
{
    read_ok(dialect, body);
    return q.digest;
}

static void assert_identity(enum dialect dialect, const char *a, const char *b, bool same)
{
    struct digest x = digest_of(dialect, a), y = digest_of(dialect, b);
    bool equal = memcmp(x.bytes, y.bytes, DIGEST_SIZE) == 0;
    if (equal != same) fail_msg("%s:\n%s\n%s", equal ? "the same" : "not the same", a, b);
}

static void test_what_does_not_count(void **state)
{
    (void)state;
    static const char *const openai[] = {
        ",\"stream\":true",
        ",\"stream_options\":{\"include_usage\":true}",
        ",\"user\":\"u\"",
        ",\"metadata\":{\"a\":\"b\"}",
        ",\"store\":false",
        ",\"prompt_cache_key\":\"k\"",
        ",\"safety_identifier\":\"s\"",
        ",\"prompt_cache_retention\":\"24h\"",
        ",\"prompt_cache_options\":{}",
    };
    for (unsigned i = 0; i < sizeof openai / sizeof *openai; i++) {
        char body[300];
        snprintf(body, sizeof body, OPENAI("%s"), openai[i]);
        assert_identity(DIALECT_OPENAI, OPENAI(""), body, true);
    }
    assert_identity(DIALECT_ANTHROPIC, CLAUDE(""), CLAUDE(",\"metadata\":{\"user_id\":\"u\"},\"stream\":true"), true);
    assert_identity(
        DIALECT_ANTHROPIC, CLAUDE(",\"system\":[{\"type\":\"text\",\"text\":\"s\"}]"),
        CLAUDE(",\"system\":[{\"type\":\"text\",\"text\":\"s\",\"cache_control\":{\"type\":\"ephemeral\"}}],"
               "\"cache_control\":{\"type\":\"ephemeral\"}"),
        true);
    assert_identity(DIALECT_ANTHROPIC, CLAUDE(",\"tools\":[{\"name\":\"f\",\"input_schema\":{\"b\":1,\"a\":2}}]"),
                    CLAUDE(",\"tools\":[{\"name\":\"f\",\"input_schema\":{\"b\":1,\"a\":2},\"cache_control\":{}}]"),
                    true);
    assert_identity(DIALECT_OPENAI,
                    "{ \"messages\" : [ {\"content\":\"q\" , \"role\":\"user\"} ],\r\n\t\"model\":\"m\"}", OPENAI(""),
                    true);
}

static void test_what_counts(void **state)
{
    (void)state;
    static const char *const different[] = {
        ",\"temperature\":1",
        ",\"temperature\":1.0",
        ",\"max_tokens\":1",
        ",\"max_completion_tokens\":1",
        ",\"reasoning_effort\":\"low\"",
        ",\"verbosity\":\"low\"",
        ",\"seed\":1",
        ",\"n\":1",
        ",\"stop\":[\"a\"]",
        ",\"stop\":\"a\"",
        ",\"new_field\":{\"a\":1,\"b\":2}",
        ",\"new_field\":{\"b\":2,\"a\":1}",
        ",\"tools\":[]",
        ",\"parallel_tool_calls\":false",
        ",\"response_format\":{\"type\":\"text\"}",
        ",\"previous_response_id\":\"r\"",
        ",\"logprobs\":null",
        ",\"service_tier\":\"flex\"",
    };
    enum { COUNT = sizeof different / sizeof *different };
    struct digest digests[COUNT];
    for (unsigned i = 0; i < COUNT; i++) {
        char body[300];
        snprintf(body, sizeof body, OPENAI("%s"), different[i]);
        digests[i] = digest_of(DIALECT_OPENAI, body);
        for (unsigned k = 0; k < i; k++) assert_memory_not_equal(digests[i].bytes, digests[k].bytes, DIGEST_SIZE);
    }
    assert_identity(DIALECT_OPENAI, OPENAI(""), "{\"model\":\"m2\",\"messages\":[" USER "]}", false);
    assert_identity(DIALECT_OPENAI, MESSAGES("{\"role\":\"user\",\"content\":\"q\"}"),
                    MESSAGES("{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"q\"}]}"), false);
    assert_identity(DIALECT_OPENAI, MESSAGES(USER), MESSAGES(USER "," USER), false);
    assert_identity(DIALECT_OPENAI, MESSAGES("{\"role\":\"system\",\"content\":\"s\"}," USER),
                    MESSAGES(USER ",{\"role\":\"system\",\"content\":\"s\"}"), false);
    assert_identity(DIALECT_ANTHROPIC, CLAUDE(",\"tools\":[{\"name\":\"f\",\"input_schema\":{\"b\":1,\"a\":2}}]"),
                    CLAUDE(",\"tools\":[{\"name\":\"f\",\"input_schema\":{\"a\":2,\"b\":1}}]"), false);
    assert_identity(DIALECT_ANTHROPIC,
                    MESSAGES("{\"role\":\"assistant\",\"content\":[{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"f\","
                             "\"input\":{\"a\":1,\"b\":2}}]}"),
                    MESSAGES("{\"role\":\"assistant\",\"content\":[{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"f\","
                             "\"input\":{\"b\":2,\"a\":1}}]}"),
                    false);
    /* a directive's name inside a tool's input is the tool's */
    assert_identity(
        DIALECT_ANTHROPIC,
        MESSAGES("{\"role\":\"assistant\",\"content\":[{\"type\":\"tool_use\",\"input\":{\"cache_control\":1}}]}"),
        MESSAGES("{\"role\":\"assistant\",\"content\":[{\"type\":\"tool_use\",\"input\":{}}]}"), false);
    assert_identity(
        DIALECT_OPENAI,
        MESSAGES("{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"a\",\"type\":\"function\",\"function\":{"
                 "\"name\":\"f\",\"arguments\":\"{\\\"a\\\":1}\"}}]}"),
        MESSAGES("{\"role\":\"assistant\",\"tool_calls\":[{\"function\":{\"arguments\":\"{\\\"a\\\":1}\","
                 "\"name\":\"f\"},\"type\":\"function\",\"id\":\"a\"}]}"),
        true);
}

static void test_scope_and_dialect_are_inside(void **state)
{
    (void)state;
    struct digest first = digest_of(DIALECT_OPENAI, OPENAI(""));
    uint64_t route = q.parts.digest[PART_ROUTE];
    assert_memory_not_equal(digest_of(DIALECT_ANTHROPIC, OPENAI("")).bytes, first.bytes, DIGEST_SIZE);
    context.scope = SPAN("tenant 2 /v1/chat/completions");
    assert_memory_not_equal(digest_of(DIALECT_OPENAI, OPENAI("")).bytes, first.bytes, DIGEST_SIZE);
    assert_true(q.parts.digest[PART_ROUTE] != route);
}

static void test_duplicate_names_are_flagged(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        "{\"model\":\"m\",\"model\":\"x\",\"messages\":[" USER "]}",
        MESSAGES("{\"role\":\"user\",\"content\":\"a\",\"content\":\"b\"}"),
        OPENAI(",\"metadata\":{\"a\":\"1\",\"a\":\"2\"}"),
        OPENAI(",\"tools\":[{\"type\":\"function\",\"function\":{\"parameters\":{\"x\":1,\"x\":2}}}]"),
        OPENAI(",\"stream\":true,\"stream\":false"),
    };
    for (unsigned i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        read_ok(DIALECT_OPENAI, bodies[i]);
        assert_true(q.flags & QUESTION_DUPLICATE);
    }
    read_ok(DIALECT_OPENAI, bodies[0]);
    assert_span(q.model, "x");
}

static void assert_differs(const char *a, const char *b, enum request_part part)
{
    struct request_parts x, y;
    read_ok(DIALECT_OPENAI, a);
    x = q.parts;
    read_ok(DIALECT_OPENAI, b);
    y = q.parts;
    for (unsigned i = 0; i < PARTS; i++)
        if ((x.digest[i] != y.digest[i]) != (i == part)) fail_msg("part %u:\n%s\n%s", i, a, b);
}

#define SYSTEM(text) "{\"role\":\"system\",\"content\":\"" text "\"}"
#define ANSWER(text) "{\"role\":\"assistant\",\"content\":\"" text "\"}"

static void test_parts_name_what_differs(void **state)
{
    (void)state;
    assert_differs(OPENAI(""), "{\"messages\":[" USER "],\"model\":\"m2\"}", PART_MODEL);
    assert_differs(OPENAI(""), OPENAI(",\"max_tokens\":5"), PART_PARAMETERS);
    assert_differs(OPENAI(",\"tools\":[1,2]"), OPENAI(",\"tools\":[2,1]"), PART_TOOLS);
    assert_differs(MESSAGES(SYSTEM("a") "," USER), MESSAGES(SYSTEM("b") "," USER), PART_SYSTEM);
    assert_differs(MESSAGES(USER), MESSAGES(SYSTEM("b") "," USER), PART_SYSTEM);
    assert_differs(MESSAGES(USER), MESSAGES("{\"role\":\"user\",\"content\":\"r\"}"), PART_QUERY);
    assert_differs(MESSAGES(USER "," ANSWER("a") "," USER), MESSAGES(USER "," ANSWER("b") "," USER), PART_HISTORY);
    assert_differs(MESSAGES(USER), MESSAGES(USER "," ANSWER("b") "," USER), PART_HISTORY);
    assert_differs(MESSAGES(SYSTEM("s") "," ANSWER("a") "," USER), MESSAGES(ANSWER("a") "," SYSTEM("s") "," USER),
                   PART_SYSTEM);
    assert_differs(MESSAGES(ANSWER("a") "," USER), MESSAGES(USER "," ANSWER("a")), PART_HISTORY);
}

static void test_masks_make_prompts_meet(void **state)
{
    (void)state;
    static const struct span masks[] = {{"{date}", 6}, {"session-\\w+", 11}};
    const char *a = MESSAGES(SYSTEM("Today is 2026-03-14, session-a1.") "," USER);
    const char *b = MESSAGES(SYSTEM("Today is 2027-12-01, session-zz9.") "," USER);
    assert_identity(DIALECT_OPENAI, a, b, false);
    context.masks = masks;
    context.mask_count = 2;
    assert_identity(DIALECT_OPENAI, a, b, true);
    assert_identity(DIALECT_OPENAI, a, MESSAGES(SYSTEM("Today is 2027-12-01, session-zz9!") "," USER), false);
    assert_identity(DIALECT_OPENAI, MESSAGES("{\"role\":\"user\",\"content\":\"2026-03-14\"}"),
                    MESSAGES("{\"role\":\"user\",\"content\":\"2026-03-15\"}"), false);
    assert_identity(DIALECT_ANTHROPIC, CLAUDE(",\"system\":[{\"type\":\"text\",\"text\":\"on 2026-03-14\"}]"),
                    CLAUDE(",\"system\":[{\"type\":\"text\",\"text\":\"on 2026-03-15\"}]"), true);
    assert_identity(DIALECT_ANTHROPIC, CLAUDE(",\"system\":\"on 2026-03-14\""), CLAUDE(",\"system\":\"on 2026-03-15\""),
                    true);
    assert_identity(DIALECT_ANTHROPIC, CLAUDE(",\"x\":\"2026-03-14\""), CLAUDE(",\"x\":\"2026-03-15\""), false);
}

/* The identity is durable: entries on disk are found by it. This changes only with the form's version. */
static void test_identity_is_pinned(void **state)
{
    (void)state;
    static const char form[] = "\"\021larder identity 1\"\6openai\"\035tenant 1 /v1/chat/completions"
                               "{\3\nmax_tokens0\0015\10messages[\1{\2\7content\"\1q\4role\"\4user\5model\"\1m";
    struct digest want, got = digest_of(DIALECT_OPENAI, OPENAI(",\"stream\":true,\"max_tokens\":5"));
    sha256_of(form, sizeof form - 1, want.bytes);
    assert_memory_equal(got.bytes, want.bytes, DIGEST_SIZE);
}

/* ---- the usage splice */

static void assert_spliced(const char *body, const char *want)
{
    struct span spliced = {0};
    assert_int_equal(question_add_usage(span_text(body), &scratch, &arena, &spliced), RC_OK);
    assert_span(spliced, want);
    read_ok(DIALECT_OPENAI, "{\"model\":\"m\",\"messages\":[]}");
}

static void test_usage_is_spliced_in(void **state)
{
    (void)state;
    struct span spliced;
    assert_spliced("{\"model\":\"m\"}", "{\"stream_options\":{\"include_usage\":true},\"model\":\"m\"}");
    assert_spliced(" \n{ \"model\" : 1 }\n", " \n{\"stream_options\":{\"include_usage\":true}, \"model\" : 1 }\n");
    assert_spliced("{}", "{\"stream_options\":{\"include_usage\":true}}");
    assert_spliced("{\"a\":\"}{\\\"\",\"stream_options\": {} ,\"b\":[1,{}]}",
                   "{\"a\":\"}{\\\"\",\"stream_options\": {\"include_usage\":true} ,\"b\":[1,{}]}");
    assert_spliced("{\"stream_options\":{\"include_obfuscation\":false}}",
                   "{\"stream_options\":{\"include_usage\":true,\"include_obfuscation\":false}}");
    assert_spliced("{\"x\":{\"stream_options\":{}},\"stream_options\":null }",
                   "{\"x\":{\"stream_options\":{}},\"stream_options\":{\"include_usage\":true} }");
    assert_spliced("{\"stream_options\":{\"include_usage\" : false , \"a\":1}}",
                   "{\"stream_options\":{\"include_usage\" : true , \"a\":1}}");
    assert_spliced("{\"stream_options\":{\"include_usage\":true}}", "{\"stream_options\":{\"include_usage\":true}}");
    assert_int_equal(question_add_usage(SPAN("{\"stream_options\":7}"), &scratch, &arena, &spliced), RC_INVALID);
    assert_int_equal(question_add_usage(SPAN("[]"), &scratch, &arena, &spliced), RC_INVALID);
    assert_int_equal(question_add_usage(SPAN(""), &scratch, &arena, &spliced), RC_INVALID);
}

/* ---- apart: everything but the question's text */

static struct hash128 apart_of(enum dialect dialect, const char *content)
{
    char body[600];
    snprintf(body, sizeof body, "{\"model\":\"m\",\"max_tokens\":9,\"messages\":[{\"role\":\"user\",\"content\":%s}]}",
             content);
    read_ok(dialect, body);
    return q.apart;
}

static bool same(struct hash128 a, struct hash128 b)
{
    return a.low == b.low && a.high == b.high;
}

static void test_only_the_questions_text_is_left_out(void **state)
{
    static const struct hash_key key = {1, 2}, other = {1, 3};
    static const char *const shapes[] = {
        "\"a\"",
        "[{\"type\":\"text\",\"text\":\"a\"}]",
        "[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\",\"text\":\"a\"}]",
        "[{\"type\":\"text\",\"text\":[\"a\"]}]",
        "[{\"type\":\"text\",\"text\":\"a\",\"content\":\"x\"}]",
        "[{\"type\":\"text\",\"text\":\"a\",\"content\":\"y\"}]",
        "[{\"type\":\"text\",\"text\":\"a\",\"content\":[{\"type\":\"text\",\"text\":\"x\"}]}]",
        "[{\"type\":\"text\",\"text\":\"a\",\"content\":[{\"type\":\"text\",\"text\":\"y\"}]}]",
        "[{\"type\":\"text\",\"text\":\"a\",\"odd\":\"x\"}]",
        "[{\"type\":\"odd\",\"text\":\"a\"}]",
        "[\"a\"]",
        "[\"b\"]",
    };
    enum { COUNT = sizeof shapes / sizeof shapes[0] };
    struct hash128 seen[COUNT];
    (void)state;
    assert_true(same(apart_of(DIALECT_OPENAI, shapes[0]), (struct hash128){0, 0})); /* without a key there is none */
    for (enum dialect dialect = DIALECT_OPENAI; dialect < DIALECTS; dialect++) {
        context.key = &key;
        for (unsigned i = 0; i < COUNT; i++) {
            seen[i] = apart_of(dialect, shapes[i]);
            for (unsigned k = 0; k < i; k++)
                if (same(seen[i], seen[k])) fail_msg("%s and %s are one namespace", shapes[k], shapes[i]);
        }
        assert_true(same(apart_of(dialect, "\"another text, a longer one\""), seen[0]));
        assert_true(same(apart_of(dialect, "[{\"text\":\"b\",\"type\":\"text\"}]"), seen[1]));
        context.key = &other;
        assert_false(same(apart_of(dialect, shapes[0]), seen[0]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_only_the_questions_text_is_left_out),
        TEST(test_refusals_are_sentences),
        TEST(test_model_and_query_are_copied_out),
        TEST(test_a_long_query_is_cut_at_a_character),
        TEST(test_flags_of_the_envelope),
        TEST(test_flags_of_the_messages),
        TEST(test_server_state_and_live_sources_bypass),
        TEST(test_what_does_not_count),
        TEST(test_what_counts),
        TEST(test_scope_and_dialect_are_inside),
        TEST(test_duplicate_names_are_flagged),
        TEST(test_parts_name_what_differs),
        TEST(test_masks_make_prompts_meet),
        TEST(test_identity_is_pinned),
        TEST(test_usage_is_spliced_in),
    };
    return cmocka_run_group_tests_name("question", tests, NULL, NULL);
}
