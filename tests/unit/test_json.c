/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_json.c — strict reading, walks, duplicates and writing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "platform/json.h"
#include "platform/rc.h"
#include "platform/text.h"

enum { TEXT_MAX = 1 << 20 };

static _Alignas(16) unsigned char memory[JSON_SCRATCH_FACTOR * TEXT_MAX + JSON_SCRATCH_EXTRA];
static struct json_scratch scratch = {memory, sizeof memory};
static struct json_error error;
static char big[TEXT_MAX + 16];

static const struct json_value *read_ok(const char *text)
{
    const struct json_value *root;
    assert_int_equal(json_parse(&scratch, span_text(text), &root, &error), RC_OK);
    assert_non_null(root);
    return root;
}

static void read_fails(const char *text, size_t size, int rc)
{
    const struct json_value *root = (const void *)text;
    error = (struct json_error){0, NULL};
    assert_int_equal(json_parse(&scratch, span_of(text, size), &root, &error), rc);
    assert_null(root);
    assert_non_null(error.message);
}

static void assert_span(struct span s, const char *want)
{
    assert_int_equal(s.size, strlen(want));
    assert_memory_equal(s.data, want, s.size);
}

static void test_parse_gives_every_kind(void **state)
{
    (void)state;
    const struct json_value *root =
        read_ok(" {\"a\":null,\"b\":[true,false],\"c\":-1.50e+3,\"d\":\"x\\u0000\\n\\u20ac\",\"e\":{}} ");
    assert_int_equal(json_kind(root), JSON_OBJECT);
    assert_int_equal(json_count(root), 5);
    assert_int_equal(json_kind(json_get(root, "a")), JSON_NULL);
    const struct json_value *array = json_get(root, "b");
    assert_int_equal(json_kind(array), JSON_ARRAY);
    assert_true(json_is_true(json_at(array, 0)));
    assert_int_equal(json_kind(json_at(array, 1)), JSON_FALSE);
    assert_null(json_at(array, 2));
    assert_span(json_number_text(json_get(root, "c")), "-1.50e+3");
    struct span d = json_string(json_get(root, "d"));
    assert_int_equal(d.size, 6);
    assert_memory_equal(d.data, "x\0\n\xe2\x82\xac", 6);
    assert_int_equal(json_count(json_get(root, "e")), 0);
    assert_null(json_get(root, "f"));
    assert_null(json_get(array, "a"));
}

static void test_absent_values_have_no_kind(void **state)
{
    (void)state;
    double number;
    int64_t integer;
    assert_int_equal(json_kind(NULL), JSON_NONE);
    assert_int_equal(json_string(NULL).size, 0);
    assert_int_equal(json_count(NULL), 0);
    assert_null(json_get(NULL, "a"));
    assert_null(json_at(NULL, 0));
    assert_false(json_is_true(NULL));
    assert_int_equal(json_i64(NULL, &integer), RC_INVALID);
    assert_int_equal(json_double(NULL, &number), RC_INVALID);
    struct json_walk walk = json_walk(NULL);
    assert_false(json_next(&walk));
}

static void test_scalars_may_be_documents(void **state)
{
    (void)state;
    assert_int_equal(json_kind(read_ok("7")), JSON_NUMBER);
    assert_int_equal(json_kind(read_ok("\"\"")), JSON_STRING);
    assert_int_equal(json_kind(read_ok("\ttrue\r\n")), JSON_TRUE);
}

static void test_parse_refuses_what_is_not_json(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",
        " ",
        "{",
        "[1,]",
        "{\"a\":1,}",
        "[1 2]",
        "{\"a\" 1}",
        "{a:1}",
        "[01]",
        "[+1]",
        "[.5]",
        "[1.]",
        "[1e]",
        "[-]",
        "[NaN]",
        "[nan]",
        "[Infinity]",
        "[-Infinity]",
        "[inf]",
        "// x\n1",
        "[1/* x */]",
        "\xef\xbb\xbf{}",
        "{} {}",
        "[1]x",
        "[\"\t\"]",
        "[\"\\x\"]",
        "[\"\\u12\"]",
        "[\"\\ud800\"]",
        "[\"\\udc00\"]",
        "['a']",
        "[tru]",
        "\"a",
        "[\"a]",
        "]",
        "[\"\xff\"]",
        "[\"\xc0\x80\"]",
        "[\"\xed\xa0\x80\"]",
        "[\"\xf4\x90\x80\x80\"]",
        "[\"\xe2\x82\"]",
        "{\"a\":1]",
        "[1}",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) read_fails(wrong[i], strlen(wrong[i]), RC_INVALID);
    read_fails("[1]\0", 4, RC_INVALID);
    read_fails("[\"a\0b\"]", 7, RC_INVALID);
}

static void test_error_says_where(void **state)
{
    (void)state;
    read_fails("{\"a\": nope}", 11, RC_INVALID);
    assert_int_equal(error.offset, 6);
    assert_string_equal(error.message, "invalid literal, expected a valid literal such as 'null'");
}

static struct span nested(size_t depth)
{
    memset(big, '[', depth);
    memset(big + depth, ']', depth);
    return span_of(big, 2 * depth);
}

static void test_depth_is_bounded(void **state)
{
    (void)state;
    const struct json_value *root;
    struct span text = nested(JSON_DEPTH_MAX);
    assert_int_equal(json_parse(&scratch, text, &root, &error), RC_OK);
    text = nested(JSON_DEPTH_MAX + 1);
    read_fails(text.data, text.size, RC_TOO_LARGE);
    assert_string_equal(error.message, "nested too deeply");
    for (size_t i = 0; i < 2 * JSON_DEPTH_MAX; i++) memcpy(big + 2 * i, i < JSON_DEPTH_MAX ? "[ " : "] ", 2);
    assert_int_equal(json_parse(&scratch, span_of(big, (size_t)4 * JSON_DEPTH_MAX), &root, &error), RC_OK);
    text = nested(TEXT_MAX / 2);
    read_fails(text.data, text.size, RC_TOO_LARGE);
    /* Many shallow containers are not depth. */
    size_t size = 0;
    big[size++] = '[';
    for (int i = 0; i < 1000; i++) size += (size_t)sprintf(big + size, "%s[{\"a\":[]}]", i ? "," : "");
    big[size++] = ']';
    assert_int_equal(json_parse(&scratch, span_of(big, size), &root, &error), RC_OK);
    assert_int_equal(json_count(root), 1000);
}

static size_t repeat(const char *head, const char *unit, const char *tail, size_t size_max)
{
    size_t size = strlen(head), each = strlen(unit);
    memcpy(big, head, size);
    while (size + each + strlen(tail) <= size_max) memcpy(big + size, unit, each), size += each;
    memcpy(big + size, tail, strlen(tail));
    return size + strlen(tail);
}

/* The factor must hold for the densest texts, at every size: yyjson grows its array by halves. */
static void test_scratch_factor_is_enough(void **state)
{
    (void)state;
    static const char *const shapes[][3] = {
        {"[1", ",1", "]"},   {"[[]", ",[]", "]"},     {"[[1", ",1", "]]"},
        {"[ 1", ",1", "]"},  {"[\"\"", ",\"\"", "]"}, {"{\"\":1", ",\"\":1", "}"},
        {"[{}", ",{}", "]"}, {"[\n1", ",1", "]"},     {"[[[[[[[[1", ",1", "]]]]]]]]"},
    };
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        for (size_t max = 20; max < TEXT_MAX; max = max * 9 / 8 + 1) {
            size_t size = repeat(shapes[s][0], shapes[s][1], shapes[s][2], max);
            struct json_scratch just = {memory, JSON_SCRATCH_FACTOR * size + JSON_SCRATCH_EXTRA};
            const struct json_value *root;
            assert_int_equal(json_parse(&just, span_of(big, size), &root, &error), RC_OK);
        }
    }
}

static void test_too_small_a_scratch_is_said(void **state)
{
    (void)state;
    size_t size = repeat("[1", ",1", "]", 4000);
    for (size_t capacity = 0; capacity < 8 * size; capacity += 97) {
        struct json_scratch small = {memory, capacity};
        const struct json_value *root;
        memset(memory + capacity, 0xa5, 64);
        assert_int_equal(json_parse(&small, span_of(big, size), &root, &error), RC_TOO_LARGE);
        for (size_t i = 0; i < 64; i++) assert_int_equal(memory[capacity + i], 0xa5);
    }
}

static void test_text_at_an_unreadable_page(void **state)
{
    (void)state;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *base = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(base != MAP_FAILED);
    assert_int_equal(mprotect(base + page, page, PROT_NONE), 0);
    static const char *const texts[] = {
        "{\"k\":[1,2,\"abc\",true,null]}", "[\"\\u", "[12", "tru", "[\"\xe2", "-", "\""};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        size_t size = strlen(texts[i]);
        const struct json_value *root;
        memcpy(base + page - size, texts[i], size);
        int rc = json_parse(&scratch, span_of(base + page - size, size), &root, &error);
        assert_int_equal(rc, i == 0 ? RC_OK : RC_INVALID);
    }
    assert_int_equal(munmap(base, 2 * page), 0);
}

static void test_numbers_convert_only_when_they_fit(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int rc;
        int64_t value;
    } integers[] = {
        {"0", RC_OK, 0},
        {"-0", RC_OK, 0},
        {"9223372036854775807", RC_OK, INT64_MAX},
        {"9223372036854775808", RC_INVALID, 0},
        {"-9223372036854775808", RC_OK, INT64_MIN},
        {"-9223372036854775809", RC_INVALID, 0},
        {"1.0", RC_INVALID, 0},
        {"1e2", RC_INVALID, 0},
        {"\"5\"", RC_INVALID, 0},
        {"123456789012345678901234567890", RC_INVALID, 0},
    };
    for (size_t i = 0; i < sizeof integers / sizeof integers[0]; i++) {
        int64_t got = 0;
        assert_int_equal(json_i64(read_ok(integers[i].text), &got), integers[i].rc);
        assert_true(got == integers[i].value);
    }
    double got = 0;
    assert_int_equal(json_double(read_ok("[0.1,1]") ? json_at(read_ok("[0.1,1]"), 0) : NULL, &got), RC_OK);
    assert_true(got == 0.1);
    assert_int_equal(json_double(read_ok("-12"), &got), RC_OK);
    assert_true(got == -12.0);
    assert_int_equal(json_double(read_ok("1e999"), &got), RC_INVALID);
}

static void test_walk_keeps_the_order(void **state)
{
    (void)state;
    struct json_walk walk = json_walk(read_ok("{\"b\":[1,[2]],\"a\":{\"x\":1},\"\":3}"));
    assert_true(json_next(&walk));
    assert_span(walk.name, "b");
    assert_int_equal(json_count(walk.value), 2);
    assert_true(json_next(&walk));
    assert_span(walk.name, "a");
    assert_int_equal(json_kind(json_get(walk.value, "x")), JSON_NUMBER);
    assert_true(json_next(&walk));
    assert_span(walk.name, "");
    assert_span(json_number_text(walk.value), "3");
    assert_false(json_next(&walk));
    assert_false(json_next(&walk));
}

static int duplicate_in(const char *text)
{
    const struct json_value *root = read_ok(text);
    struct json_scratch spare = json_spare(&scratch, root);
    return json_find_duplicate(&spare, root);
}

static void test_duplicates_are_found_at_any_depth(void **state)
{
    (void)state;
    assert_int_equal(duplicate_in("{}"), RC_OK);
    assert_int_equal(duplicate_in("{\"a\":1,\"b\":1}"), RC_OK);
    assert_int_equal(duplicate_in("{\"a\":1,\"a\":1}"), RC_EXISTS);
    assert_int_equal(duplicate_in("{\"a\":1,\"A\":1,\"\":1,\"aa\":1}"), RC_OK);
    assert_int_equal(duplicate_in("{\"\":1,\"\":1}"), RC_EXISTS);
    assert_int_equal(duplicate_in("{\"a\":1,\"\\u0061\":1}"), RC_EXISTS);
    assert_int_equal(duplicate_in("{\"a\":{\"a\":{\"a\":1}}}"), RC_OK);
    assert_int_equal(duplicate_in("{\"a\":[{\"b\":1},{\"b\":1,\"c\":[{\"d\":{\"x\":1,\"y\":2,\"x\":3}}]}]}"),
                     RC_EXISTS);
    assert_int_equal(duplicate_in("[\"a\",\"a\",{\"a\":\"a\"}]"), RC_OK);
}

/* Members m0 … m(count - 1), then one more named as the i-th, or a new one when `same` is count. */
static void put_object(size_t count, size_t same, const char *prefix)
{
    size_t size = (size_t)sprintf(big, "{");
    for (size_t i = 0; i < count; i++)
        size += (size_t)sprintf(big + size, "\"%s%zu\":{\"x\":%zu},", prefix, i * 7919 % count, i);
    (void)sprintf(big + size, "\"%s%zu\":0}", prefix, same);
}

static void test_duplicates_in_large_objects(void **state)
{
    (void)state;
    static const char *const prefixes[] = {"", "m", "a_long_prefix_"};
    for (size_t count = 14; count < 60; count++) {
        for (size_t p = 0; p < 3; p++) {
            put_object(count, count, prefixes[p]);
            assert_int_equal(duplicate_in(big), RC_OK);
            for (size_t same = 0; same < count; same += 5) {
                put_object(count, same, prefixes[p]);
                assert_int_equal(duplicate_in(big), RC_EXISTS);
            }
        }
    }
    put_object(20000, 20000, "k");
    assert_int_equal(duplicate_in(big), RC_OK);
    put_object(20000, 12345, "k");
    assert_int_equal(duplicate_in(big), RC_EXISTS);
}

/* Sizes that are alike in their low byte, and equal bytes as far as the shorter goes. */
static void test_long_names_are_not_taken_for_short_ones(void **state)
{
    (void)state;
    char name[301];
    memset(name, 'a', 300);
    name[300] = 0;
    put_object(20, 20, "m");
    size_t size = strlen(big) - 1;
    (void)sprintf(big + size, ",\"%s\":1,\"%s\":2}", name, name + 256);
    assert_int_equal(duplicate_in(big), RC_OK);
    (void)sprintf(big + size, ",\"%s\":1,\"%s\":2}", name, name);
    assert_int_equal(duplicate_in(big), RC_EXISTS);
}

static void test_duplicate_search_says_when_it_has_no_room(void **state)
{
    (void)state;
    put_object(40, 40, "m");
    const struct json_value *root = read_ok(big);
    struct json_scratch none = {memory + sizeof memory - 100, 100};
    assert_int_equal(json_find_duplicate(&none, root), RC_TOO_LARGE);
}

static void test_spare_begins_behind_the_tree(void **state)
{
    (void)state;
    put_object(40, 40, "m");
    const struct json_value *root = read_ok(big);
    struct json_scratch spare = json_spare(&scratch, root);
    assert_true(spare.capacity < scratch.capacity &&
                spare.capacity > scratch.capacity - 40 * 16 * 4 - strlen(big) - 200);
    assert_ptr_equal((char *)spare.memory + spare.capacity, memory + sizeof memory);
    memset(spare.memory, 0xff, 4096);
    assert_int_equal(json_count(root), 41);
    assert_span(json_number_text(json_get(json_get(root, "m39"), "x")), "1");
}

static void test_write_gives_compact_text_back(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{}",
        "[]",
        "null",
        "\"a\\\"b\\\\\"",
        "[[],{},[]]",
        "{\"a\":{},\"b\":[]}",
        "[1.0,1e5,-0]",
        "{\"a\":[1,{\"b\":null}],\"c\":true}",
        "[[[]],[[1],2],3]",
        "{\"a\":{\"b\":{\"c\":1}},\"d\":[false]}",
        "[{},1]",
    };
    char buffer[256];
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct text out = text_on(buffer, sizeof buffer);
        json_write(&out, read_ok(texts[i]));
        assert_string_equal(buffer, texts[i]);
    }
    struct text out = text_on(buffer, sizeof buffer);
    json_write(&out, json_get(read_ok(" { \"a\" : [ 1 , { \"b\" : 2 } ] , \"c\" : 3 } "), "a"));
    assert_string_equal(buffer, "[1,{\"b\":2}]");
    out = text_on(buffer, sizeof buffer);
    struct span deep = nested(JSON_DEPTH_MAX);
    const struct json_value *root;
    assert_int_equal(json_parse(&scratch, deep, &root, &error), RC_OK);
    out = text_on(big + TEXT_MAX / 2, TEXT_MAX / 2);
    json_write(&out, root);
    assert_memory_equal(out.data, big, deep.size);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse_gives_every_kind),
        cmocka_unit_test(test_absent_values_have_no_kind),
        cmocka_unit_test(test_scalars_may_be_documents),
        cmocka_unit_test(test_parse_refuses_what_is_not_json),
        cmocka_unit_test(test_error_says_where),
        cmocka_unit_test(test_depth_is_bounded),
        cmocka_unit_test(test_scratch_factor_is_enough),
        cmocka_unit_test(test_too_small_a_scratch_is_said),
        cmocka_unit_test(test_text_at_an_unreadable_page),
        cmocka_unit_test(test_numbers_convert_only_when_they_fit),
        cmocka_unit_test(test_walk_keeps_the_order),
        cmocka_unit_test(test_duplicates_are_found_at_any_depth),
        cmocka_unit_test(test_duplicates_in_large_objects),
        cmocka_unit_test(test_long_names_are_not_taken_for_short_ones),
        cmocka_unit_test(test_duplicate_search_says_when_it_has_no_room),
        cmocka_unit_test(test_spare_begins_behind_the_tree),
        cmocka_unit_test(test_write_gives_compact_text_back),
    };
    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
