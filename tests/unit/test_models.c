/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_models.c — lists of models in both shapes, read, merged and written. */
#include "tests/support/dialect_test.h"

static struct model_entry models[MODELS_MAX];
static unsigned count;
static bool has_more;

static int read(const char *body, unsigned max)
{
    int rc = models_read(span_text(body), &scratch, &arena, models, max, &count, &has_more);
    memset(scratch_memory, 0xA5, 4096);
    return rc;
}

static void assert_written(enum dialect dialect, const char *want)
{
    text_clear(&out);
    models_write(dialect, models, count, &out);
    assert_span(text_span(&out), want);
}

static const char openai_list[] =
    "{\"object\":\"list\",\"data\":[{\"id\":\"gpt-4o\",\"object\":\"model\",\"created\":1715367049,"
    "\"owned_by\":\"system\"},{\"id\":\"o\\\"1\",\"object\":\"model\",\"created\":7,\"owned_by\":\"x\"}]}";
static const char anthropic_list[] =
    "{\"data\":[{\"type\":\"model\",\"id\":\"claude-a\",\"display_name\":\"Claude A\",\"created_at\":"
    "\"2024-02-29T12:34:56Z\"}],\"has_more\":true,\"first_id\":\"claude-a\",\"last_id\":\"claude-a\"}";

static void test_openai_shape(void **state)
{
    (void)state;
    assert_int_equal(read(openai_list, MODELS_MAX), RC_OK);
    assert_int_equal(count, 2);
    assert_false(has_more);
    assert_span(models[1].id, "o\"1");
    assert_span(models[1].owner, "x");
    assert_int_equal(models[0].created_s, 1715367049);
    assert_written(DIALECT_OPENAI,
                   "{\"object\":\"list\",\"data\":[{\"id\":\"gpt-4o\",\"object\":\"model\",\"created\":1715367049,"
                   "\"owned_by\":\"system\"},{\"id\":\"o\\\"1\",\"object\":\"model\",\"created\":7,\"owned_by\":\"x\"},"
                   "{\"id\":\"larder\",\"object\":\"model\",\"created\":0,\"owned_by\":\"larder\"}]}");
}

static void test_anthropic_shape(void **state)
{
    (void)state;
    assert_int_equal(read(anthropic_list, MODELS_MAX), RC_OK);
    assert_int_equal(count, 1);
    assert_true(has_more);
    assert_int_equal(models[0].created_s, 1709210096);
    assert_span(models[0].owner, "anthropic");
    assert_written(DIALECT_ANTHROPIC,
                   "{\"data\":[{\"type\":\"model\",\"id\":\"claude-a\",\"display_name\":\"Claude A\",\"created_at\":"
                   "\"2024-02-29T12:34:56Z\"},{\"type\":\"model\",\"id\":\"larder\",\"display_name\":\"Larder, from "
                   "the box's own packs\","
                   "\"created_at\":\"1970-01-01T00:00:00Z\"}],\"has_more\":false,\"first_id\":\"claude-a\",\"last_id\":"
                   "\"larder\"}");
}

static void test_lists_are_merged_without_doubles(void **state)
{
    (void)state;
    unsigned first, second;
    assert_int_equal(read(openai_list, MODELS_MAX), RC_OK);
    first = count;
    const char *more = "{\"data\":[{\"id\":\"gpt-4o\",\"created\":1},{\"id\":\"larder\",\"owned_by\":\"us\"},{\"id\":"
                       "\"z\"},{\"id\":\"z\"},{\"x\":1}]}";
    assert_int_equal(
        models_read(span_text(more), &scratch, &arena, models + first, MODELS_MAX - first, &second, &has_more), RC_OK);
    assert_int_equal(second, 4);
    count = first + second;
    assert_written(DIALECT_OPENAI,
                   "{\"object\":\"list\",\"data\":[{\"id\":\"gpt-4o\",\"object\":\"model\",\"created\":1715367049,"
                   "\"owned_by\":\"system\"},{\"id\":\"o\\\"1\",\"object\":\"model\",\"created\":7,\"owned_by\":\"x\"},"
                   "{\"id\":\"larder\",\"object\":\"model\",\"created\":0,\"owned_by\":\"us\"},"
                   "{\"id\":\"z\",\"object\":\"model\",\"created\":0,\"owned_by\":\"\"}]}");
}

static void test_the_empty_list_has_larder(void **state)
{
    (void)state;
    count = 0;
    assert_written(DIALECT_OPENAI, "{\"object\":\"list\",\"data\":[{\"id\":\"larder\",\"object\":\"model\",\"created\":"
                                   "0,\"owned_by\":\"larder\"}]}");
    assert_written(
        DIALECT_ANTHROPIC,
        "{\"data\":[{\"type\":\"model\",\"id\":\"larder\",\"display_name\":\"Larder, from the box's own packs\","
        "\"created_at\":\"1970-01-01T00:00:00Z\"}],\"has_more\":false,\"first_id\":\"larder\",\"last_id\":\"larder\"}");
}

static void test_bounds_and_nonsense(void **state)
{
    (void)state;
    assert_int_equal(read(openai_list, 1), RC_OK);
    assert_int_equal(count, 1);
    assert_int_equal(read("{\"data\":7}", MODELS_MAX), RC_INVALID);
    assert_int_equal(read("{}", MODELS_MAX), RC_INVALID);
    assert_int_equal(read("<html>", MODELS_MAX), RC_INVALID);
    assert_int_equal(count, 0);
    assert_int_equal(read("[{\"id\":\"a\"}]", MODELS_MAX), RC_OK);
    assert_int_equal(count, 1);
}

static void test_dates(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t time_s;
    } dates[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"2000-02-29T23:59:59Z", 951868799},
        {"2100-03-01T00:00:00Z", 4107542400},
        {"2026-10-21T02:30:00+02:30", 1792540800},
        {"2026-10-20T23:00:00.5-01:00", 1792540800},
        {"1969-12-31T23:59:59Z", -1},
        {"yesterday", 0},
        {"", 0},
        {"2026", 0},
    };
    for (unsigned i = 0; i < sizeof dates / sizeof *dates; i++) {
        char body[200];
        snprintf(body, sizeof body, "[{\"type\":\"model\",\"id\":\"a\",\"created_at\":\"%s\"}]", dates[i].text);
        assert_int_equal(read(body, 1), RC_OK);
        assert_int_equal(models[0].created_s, dates[i].time_s);
    }
    /* every day of 400 years goes through both directions */
    for (int64_t day = 0; day < 146097; day += 13) {
        models[0] = (struct model_entry){.id = SPAN("a"), .created_s = day * 86400 + 1};
        count = 1;
        text_clear(&out);
        models_write(DIALECT_ANTHROPIC, models, 1, &out);
        assert_int_equal(read(out.data, 1), RC_OK);
        assert_int_equal(models[0].created_s, day * 86400 + 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_openai_shape),
        TEST(test_anthropic_shape),
        TEST(test_lists_are_merged_without_doubles),
        TEST(test_the_empty_list_has_larder),
        TEST(test_bounds_and_nonsense),
        TEST(test_dates),
    };
    return cmocka_run_group_tests_name("models", tests, NULL, NULL);
}
