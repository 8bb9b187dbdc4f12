/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_canonical.c — the canonical form byte by byte, and what may and may not change it. */
#include "tests/support/dialect_test.h"

#include "platform/hash.h"

static const struct canonical_field inner_fields[] = {{CANONICAL_NAME("note"), CANONICAL_IGNORED, 0, 0, NULL},
                                                      {CANONICAL_NAME("text"), CANONICAL_TEXT, 0, 0, NULL}};
static const struct canonical_shape inner = {inner_fields, 2, false};
static const struct canonical_shape ordered = {inner_fields, 2, true};
static const struct canonical_field known = {CANONICAL_NAME(""), 0, 0, 0, &inner};
static const struct canonical_field kept = {CANONICAL_NAME(""), 0, 0, 0, &ordered};

static struct canonical c;
static struct request_parts parts;

static struct digest digest_of(const char *json, const struct canonical_field *field, const struct canonical_mask *mask)
{
    const struct json_value *root;
    struct digest digest;
    assert_int_equal(json_parse(&scratch, span_text(json), &root, NULL), RC_OK);
    canonical_start(&c, &arena, mask);
    canonical_part(&c, PART_SYSTEM);
    canonical_value(&c, root, field);
    assert_int_equal(canonical_finish(&c, &digest, &parts), RC_OK);
    return digest;
}

static void assert_form(const char *json, const struct canonical_field *field, const char *form, size_t size)
{
    struct digest digest = digest_of(json, field, NULL), want;
    sha256_of(form, size, want.bytes);
    assert_memory_equal(digest.bytes, want.bytes, DIGEST_SIZE);
}

#define FORM(json, field, form) assert_form(json, field, form, sizeof(form) - 1)

static void assert_same(const char *a, const char *b, const struct canonical_field *field, bool same)
{
    struct digest x = digest_of(a, field, NULL), y = digest_of(b, field, NULL);
    assert_int_equal(memcmp(x.bytes, y.bytes, DIGEST_SIZE) == 0, same);
}

static void test_form_is_the_documented_one(void **state)
{
    (void)state;
    FORM("null", NULL, "n");
    FORM("[true,false]", NULL, "[\2tf");
    FORM("\"a\\u00e9\"", NULL, "\"\3a\xc3\xa9");
    FORM("-1.50e+3", NULL, "0\010-1.50e+3");
    FORM("{\"b\":1,\"a\":\"\"}", NULL, "{\2\1b0\0011\1a\"\0");
    FORM("{\"b\":1,\"a\":\"\"}", &known, "{\2\1a\"\0\1b0\0011");
    FORM("[{\"b\":{\"d\":1,\"c\":2},\"a\":1}]", &known, "[\1{\2\1a0\0011\1b{\2\1d0\0011\1c0\0012");
    FORM("{\"note\":{\"x\":[1]},\"text\":\"t\"}", &known, "{\1\4text\"\1t");
    FORM("{\"z\":1,\"note\":2,\"a\":3}", &kept, "{\2\1z0\0011\1a0\0013");
}

static void test_long_strings_have_long_sizes_and_cross_the_buffer(void **state)
{
    (void)state;
    static char json[3000], form[3000];
    for (size_t size = 100; size < 2000; size += 7) {
        memset(json, 'x', sizeof json);
        json[0] = json[size + 1] = '"';
        json[size + 2] = '\0';
        form[0] = '"';
        form[1] = (char)(size < 128 ? size : (size & 0x7f) | 0x80);
        form[2] = (char)(size >> 7);
        size_t head = size < 128 ? 2 : 3;
        memset(form + head, 'x', size);
        assert_form(json, NULL, form, head + size);
    }
}

static void test_order_counts_only_where_it_may(void **state)
{
    (void)state;
    assert_same("{\"a\":1,\"b\":2}", " { \"b\" : 2 ,\n\"a\":1 }", &known, true);
    assert_same("{\"a\":1,\"b\":2}", "{\"b\":2,\"a\":1}", NULL, false);
    assert_same("{\"a\":1,\"b\":2}", "{\"b\":2,\"a\":1}", &kept, false);
    assert_same("{\"x\":{\"a\":1,\"b\":2}}", "{\"x\":{\"b\":2,\"a\":1}}", &known, false);
    assert_same("[1,2]", "[2,1]", &known, false);
    /* many members: the other sort */
    static char a[2000], b[2000];
    struct text forward = text_on(a, sizeof a), back = text_on(b, sizeof b);
    for (int i = 0; i < 60; i++) {
        text_format(&forward, "%s\"m%d\":%d", i ? "," : "{", i, i);
        text_format(&back, "%s\"m%d\":%d", i ? "," : "{", 59 - i, 59 - i);
    }
    text_put_char(&forward, '}');
    text_put_char(&back, '}');
    assert_same(a, b, &known, true);
    assert_same(a, b, NULL, false);
    assert_false(c.duplicate);
}

static void test_values_are_lossless(void **state)
{
    (void)state;
    assert_same("1", "1.0", NULL, false);
    assert_same("1", "\"1\"", NULL, false);
    assert_same("\"C\"", "\"c\"", NULL, false);
    assert_same("\"a\\r\\n\"", "\"a\\n\"", NULL, false);
    assert_same("\"\\u00e9\"", "\"e\\u0301\"", NULL, false);
    assert_same("\"\\u00e9\"", "\"\xc3\xa9\"", NULL, true);
    assert_same("[[1],2]", "[[1,2]]", NULL, false);
    assert_same("[[],[]]", "[[[]]]", NULL, false);
    assert_same("{\"a\":null}", "{}", NULL, false);
    assert_same("[\"a\",\"b\"]", "[\"a\\\",\\\"b\"]", NULL, false);
}

static void assert_duplicate(const char *json, const struct canonical_field *field, bool duplicate)
{
    digest_of(json, field, NULL);
    assert_int_equal(c.duplicate, duplicate);
}

static void test_duplicates_are_seen_everywhere(void **state)
{
    (void)state;
    assert_duplicate("{\"a\":1,\"b\":1}", &known, false);
    assert_duplicate("{\"a\":1,\"a\":1}", &known, true);
    assert_duplicate("{\"a\":1,\"a\":1}", &kept, true);
    assert_duplicate("[{\"x\":[{\"a\":1,\"b\":2,\"a\":3}]}]", NULL, true);
    assert_duplicate("{\"a\":1,\"\\u0061\":1}", NULL, true);
    assert_duplicate("{\"note\":{\"deep\":[{\"a\":1,\"a\":1}]}}", &known, true);
    assert_duplicate("{\"note\":1,\"note\":1}", &known, true);
    assert_duplicate("{\"a\":1,\"b\":1,\"c\":1,\"d\":1,\"e\":1,\"f\":1,\"g\":1,\"h\":1,\"i\":1,\"j\":1,\"k\":1,\"l\":1,"
                     "\"m\":1,\"n\":1,\"c\":1}",
                     NULL, true);
    assert_duplicate("{\"a\":1,\"b\":1,\"c\":1,\"d\":1,\"e\":1,\"f\":1,\"g\":1,\"h\":1,\"i\":1,\"j\":1,\"k\":1,\"l\":1,"
                     "\"m\":1,\"n\":1,\"o\":1}",
                     NULL, false);
    assert_duplicate("{\"a\":{\"a\":1},\"b\":{\"a\":1}}", NULL, false);
}

/* Every 'x' is masked. */
static bool find_x(const void *context, struct span text, size_t from, size_t *start, size_t *end)
{
    (void)context;
    for (; from < text.size; from++) {
        if (text.data[from] != 'x') continue;
        *start = from;
        *end = from + 1;
        return true;
    }
    return false;
}

static void test_masks_reach_prose_of_the_system_prompt_only(void **state)
{
    (void)state;
    static const struct canonical_mask mask = {find_x, NULL};
    struct digest want, got = digest_of("{\"text\":\"axbx\",\"xx\":\"x\"}", &known, &mask);
    static const char form[] = "{\2\4textMp\1amp\1bmp\0e\2xx\"\1x";
    sha256_of(form, sizeof form - 1, want.bytes);
    assert_memory_equal(got.bytes, want.bytes, DIGEST_SIZE);
    /* without a match the form is the plain one, so that a mask that never matches changes nothing */
    got = digest_of("{\"text\":\"ab\"}", &known, &mask);
    want = digest_of("{\"text\":\"ab\"}", &known, NULL);
    assert_memory_equal(got.bytes, want.bytes, DIGEST_SIZE);

    const struct json_value *root;
    struct digest other;
    assert_int_equal(json_parse(&scratch, SPAN("{\"text\":\"ax\"}"), &root, NULL), RC_OK);
    canonical_start(&c, &arena, &mask);
    canonical_part(&c, PART_QUERY);
    canonical_value(&c, root, &known);
    assert_int_equal(canonical_finish(&c, &other, &parts), RC_OK);
    want = digest_of("{\"text\":\"ax\"}", &known, NULL);
    assert_memory_equal(other.bytes, want.bytes, DIGEST_SIZE);
}

static void write_two_parts(const char *first, const char *second, uint64_t number)
{
    struct digest digest;
    canonical_start(&c, &arena, NULL);
    canonical_part(&c, PART_MODEL);
    canonical_text(&c, span_text(first));
    canonical_part(&c, PARTS);
    canonical_text(&c, SPAN("between"));
    canonical_part(&c, PART_QUERY);
    canonical_part_number(&c, number);
    canonical_text(&c, span_text(second));
    assert_int_equal(canonical_finish(&c, &digest, &parts), RC_OK);
}

static void test_parts_are_hashed_apart(void **state)
{
    (void)state;
    static char long_text[1500];
    memset(long_text, 'y', sizeof long_text - 1);
    write_two_parts("one", "two", 7);
    struct request_parts before = parts;
    write_two_parts("one", "three", 7);
    for (unsigned i = 0; i < PARTS; i++) assert_int_equal(parts.digest[i] == before.digest[i], i != PART_QUERY);
    write_two_parts("one", "two", 8);
    for (unsigned i = 0; i < PARTS; i++) assert_int_equal(parts.digest[i] == before.digest[i], i != PART_QUERY);
    write_two_parts(long_text, "two", 7);
    for (unsigned i = 0; i < PARTS; i++) assert_int_equal(parts.digest[i] == before.digest[i], i != PART_MODEL);
    before = parts;
    long_text[700] = 'z';
    write_two_parts(long_text, "two", 7);
    for (unsigned i = 0; i < PARTS; i++) assert_int_equal(parts.digest[i] == before.digest[i], i != PART_MODEL);
}

static void test_a_small_arena_is_told(void **state)
{
    (void)state;
    const struct json_value *root;
    struct digest digest;
    struct arena small;
    arena_init(&small, arena_memory, 4096, NULL);
    static char json[8000];
    struct text text = text_on(json, sizeof json);
    for (int i = 0; i < 500; i++) text_format(&text, "%s\"m%d\":%d", i ? "," : "{", i, i);
    text_put_char(&text, '}');
    assert_int_equal(json_parse(&scratch, text_span(&text), &root, NULL), RC_OK);
    canonical_start(&c, &small, NULL);
    canonical_value(&c, root, &known);
    assert_int_equal(canonical_finish(&c, &digest, &parts), RC_FULL);
    arena_reset(&small, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_form_is_the_documented_one),     TEST(test_long_strings_have_long_sizes_and_cross_the_buffer),
        TEST(test_order_counts_only_where_it_may), TEST(test_values_are_lossless),
        TEST(test_duplicates_are_seen_everywhere), TEST(test_masks_reach_prose_of_the_system_prompt_only),
        TEST(test_parts_are_hashed_apart),         TEST(test_a_small_arena_is_told),
    };
    return cmocka_run_group_tests_name("canonical", tests, NULL, NULL);
}
