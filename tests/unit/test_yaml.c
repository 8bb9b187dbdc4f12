/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_yaml.c — trees with their positions, and every refusal with its place and words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "platform/heap.h"
#include "platform/rc.h"
#include "platform/yaml.h"

enum { ARENA_SIZE = 4 << 20 };

static _Alignas(65536) unsigned char memory[ARENA_SIZE];
static char big[YAML_TEXT_MAX + 64];
static struct arena arena;
static struct yaml_error error;

static struct yaml_node *read_ok(const char *text)
{
    struct yaml_node *root;
    arena_reset(&arena, ARENA_SIZE);
    int rc = yaml_read(&arena, span_text(text), &root, &error);
    if (rc != RC_OK) print_error("%u:%u: %s\n", error.line, error.column, error.message);
    assert_int_equal(rc, RC_OK);
    return root;
}

static void read_fails(struct span text, int rc, unsigned line, unsigned column, const char *message)
{
    struct yaml_node *root = (void *)big;
    arena_reset(&arena, ARENA_SIZE);
    assert_int_equal(yaml_read(&arena, text, &root, &error), rc);
    assert_null(root);
    assert_string_equal(error.message, message);
    assert_int_equal(error.line, line);
    assert_int_equal(error.column, column);
}

static void assert_span(struct span s, const char *want)
{
    assert_int_equal(s.size, strlen(want));
    assert_memory_equal(s.data, want, s.size);
}

static void test_tree_knows_where_it_stands(void **state)
{
    (void)state;
    struct yaml_node *root = read_ok(
        "# a file\nlisten:\n  api: 127.0.0.1:8080  # here\n  \"list\": [a, 'b', \"\\u20ac\"]\nempty:\nnone: {}\n");
    assert_int_equal(root->kind, YAML_MAPPING);
    assert_int_equal(root->line, 2);
    struct yaml_node *listen = root->child;
    assert_span(listen->key, "listen");
    assert_int_equal(listen->kind, YAML_MAPPING);
    assert_int_equal(listen->key_line, 2);
    assert_int_equal(listen->key_column, 1);
    struct yaml_node *api = listen->child;
    assert_span(api->key, "api");
    assert_span(api->text, "127.0.0.1:8080");
    assert_true(api->plain);
    assert_int_equal(api->line, 3);
    assert_int_equal(api->column, 8);
    assert_int_equal(api->key_column, 3);
    struct yaml_node *list = api->next;
    assert_span(list->key, "list");
    assert_int_equal(list->kind, YAML_SEQUENCE);
    assert_null(list->next);
    assert_true(list->child->plain);
    assert_span(list->child->text, "a");
    assert_int_equal(list->child->key.size, 0);
    assert_false(list->child->next->plain);
    assert_span(list->child->next->next->text, "\xe2\x82\xac");
    assert_null(list->child->next->next->next);
    struct yaml_node *empty = listen->next;
    assert_span(empty->key, "empty");
    assert_int_equal(empty->text.size, 0);
    assert_true(empty->plain);
    assert_int_equal(empty->next->kind, YAML_MAPPING);
    assert_null(empty->next->child);
    assert_null(empty->next->next);
}

static void test_texts_without_nodes_have_no_root(void **state)
{
    (void)state;
    assert_null(read_ok(""));
    assert_null(read_ok("# nothing\n\n"));
    assert_int_equal(read_ok("x")->kind, YAML_SCALAR);
    assert_int_equal(read_ok("- 1\n- 2")->kind, YAML_SEQUENCE);
    assert_int_equal(read_ok("\xef\xbb\xbf"
                             "a: 1")
                         ->kind,
                     YAML_MAPPING);
}

static void test_refusals_say_what_and_where(void **state)
{
    (void)state;
    read_fails(SPAN("a: &x 1\n"), RC_INVALID, 1, 4, "anchors (&x) are not taken");
    read_fails(SPAN("a: 1\nb: *x\n"), RC_INVALID, 2, 4, "aliases (*x) are not taken");
    read_fails(SPAN("a: !!str 1\n"), RC_INVALID, 1, 4, "tags (tag:yaml.org,2002:str) are not taken");
    read_fails(SPAN("a: !x [1]\n"), RC_INVALID, 1, 4, "tags (!x) are not taken");
    read_fails(SPAN("a: 1\n---\nb: 2\n"), RC_INVALID, 2, 1, "a second document begins here");
    read_fails(SPAN("a:\n  b: 1\n  c: 2\n  b: 3\n"), RC_INVALID, 4, 3, "\"b\" stands twice in one mapping");
    read_fails(SPAN("\"a\\n\": 1\n\"a\\n\": 1\n"), RC_INVALID, 2, 1, "\"a?\" stands twice in one mapping");
    read_fails(SPAN("? [1, 2]\n: 3\n"), RC_INVALID, 1, 3, "a key must be a plain name");
    read_fails(SPAN("a: [1, 2\nb: 3\n"), RC_INVALID, 2, 2,
               "did not find expected ',' or ']' while parsing a flow sequence");
    read_fails(SPAN("a: 1\n\tb: 2\n"), RC_INVALID, 2, 1,
               "found a tab character that violates indentation while scanning a plain scalar");
    read_fails(SPAN("a: 1\nb: \"\xff\"\n"), RC_INVALID, 2, 5, "invalid leading UTF-8 octet");
    read_fails(SPAN("a: 1\n b: 2\n"), RC_INVALID, 2, 3, "mapping values are not allowed in this context");
}

static size_t nest(size_t depth)
{
    memset(big, '[', depth);
    memset(big + depth, ']', depth);
    return 2 * depth;
}

static void test_depth_count_and_size_are_bounded(void **state)
{
    (void)state;
    struct yaml_node *root;
    assert_int_equal(yaml_read(&arena, span_of(big, nest(YAML_DEPTH_MAX)), &root, &error), RC_OK);
    read_fails(span_of(big, nest(YAML_DEPTH_MAX + 1)), RC_TOO_LARGE, 1, 17, "nested deeper than 16");
    size_t size = 0;
    for (int i = 0; i < YAML_NODES_MAX - 1; i++) memcpy(big + size, "- 1\n", 4), size += 4;
    arena_reset(&arena, ARENA_SIZE);
    assert_int_equal(yaml_read(&arena, span_of(big, size), &root, &error), RC_OK);
    memcpy(big + size, "- 1\n", 4);
    read_fails(span_of(big, size + 4), RC_TOO_LARGE, YAML_NODES_MAX, 3, "more than 8192 values");
    memset(big, 'x', sizeof big);
    arena_reset(&arena, ARENA_SIZE);
    assert_int_equal(yaml_read(&arena, span_of(big, YAML_TEXT_MAX), &root, &error), RC_OK);
    assert_int_equal(root->text.size, YAML_TEXT_MAX);
    read_fails(span_of(big, YAML_TEXT_MAX + 1), RC_TOO_LARGE, 1, 1, "longer than 262144 bytes");
}

static void test_a_full_arena_is_said(void **state)
{
    (void)state;
    static const char text[] = "a: [1, 2, 3]\nb: {c: some text, d: more}\n";
    struct yaml_node *root = NULL;
    int rc = RC_FULL;
    for (size_t room = 0; rc == RC_FULL && room < 8192; room += 8) {
        arena_init(&arena, memory, ARENA_SIZE, NULL);
        assert_non_null(arena_take(&arena, ARENA_SIZE - room, 1));
        rc = yaml_read(&arena, span_text(text), &root, &error);
        assert_true(rc == RC_OK ||
                    (root == NULL && strcmp(error.message, "too large for the memory kept for it") == 0));
    }
    assert_int_equal(rc, RC_OK);
    arena_init(&arena, memory, ARENA_SIZE, NULL);
}

static void test_the_library_gives_everything_back(void **state)
{
    (void)state;
    size_t before = heap_usage(HEAP_YAML).used;
    (void)read_ok("a: [1, {b: c}]\n");
    read_fails(SPAN("a: [1, {b: &c d}]\n"), RC_INVALID, 1, 12, "anchors (&c) are not taken");
    (void)read_ok("a: [1, {b: c}]\n");
    assert_int_equal(heap_usage(HEAP_YAML).used, before);
}

static int start(void **state)
{
    (void)state;
    arena_init(&arena, memory, ARENA_SIZE, NULL);
    return yaml_reserve();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tree_knows_where_it_stands),  cmocka_unit_test(test_texts_without_nodes_have_no_root),
        cmocka_unit_test(test_refusals_say_what_and_where), cmocka_unit_test(test_depth_count_and_size_are_bounded),
        cmocka_unit_test(test_a_full_arena_is_said),        cmocka_unit_test(test_the_library_gives_everything_back),
    };
    return cmocka_run_group_tests_name("yaml", tests, start, NULL);
}
