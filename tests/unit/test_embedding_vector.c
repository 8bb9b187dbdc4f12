/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_embedding_vector.c — vectors of embeddings replies: read from either form, written in either. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "app/gateway/embedding_vector.h"
#include "platform/rc.h"

static unsigned char scratch_bytes[1 << 16];
static _Alignas(4096) unsigned char arena_bytes[1 << 16];

static int read_text(const char *json, struct arena *arena, struct span *vector)
{
    struct json_scratch scratch = {scratch_bytes, sizeof scratch_bytes};
    const struct json_value *root;
    assert_int_equal(json_parse(&scratch, span_text(json), &root, NULL), RC_OK);
    return embedding_vector_read(root, arena, vector);
}

static void check_forms(const char *numbers, const char *base64)
{
    struct arena arena;
    struct span vector = {0}, same = {0};
    char buffer[256];
    arena_init(&arena, arena_bytes, sizeof arena_bytes, NULL);
    assert_int_equal(read_text(numbers, &arena, &vector), RC_OK);
    assert_int_equal(read_text(base64, &arena, &same), RC_OK);
    assert_true(span_equal(vector, same));
    struct text out = text_on(buffer, sizeof buffer);
    embedding_vector_write(vector, true, &out);
    assert_string_equal(out.data, base64);
    assert_true(out.size <= embedding_vector_room(vector, true));
    text_clear(&out);
    embedding_vector_write(vector, false, &out);
    assert_string_equal(out.data, numbers);
    assert_true(out.size <= embedding_vector_room(vector, false));
}

static void test_both_forms(void **state)
{
    (void)state;
    check_forms("[1,-2.5,0]", "\"AACAPwAAIMAAAAAA\"");
    check_forms("[0.1,3.4028235e+38,-1.1754944e-38]", "\"zczMPf//f38AAICA\"");
}

static void test_digits_of_a_double_are_rounded(void **state)
{
    struct arena arena;
    struct span vector = {0};
    char buffer[64];
    (void)state;
    arena_init(&arena, arena_bytes, sizeof arena_bytes, NULL);
    assert_int_equal(read_text("[-0.006929283495992422, 0.30000000000000004]", &arena, &vector), RC_OK);
    struct text out = text_on(buffer, sizeof buffer);
    embedding_vector_write(vector, false, &out);
    assert_string_equal(out.data, "[-0.0069292835,0.3]");
}

static void test_long_vector_in_groups(void **state)
{
    struct arena arena;
    struct span vector = {0}, again = {0};
    static char numbers[4096], coded[4096];
    (void)state;
    arena_init(&arena, arena_bytes, sizeof arena_bytes, NULL);
    struct text out = text_on(numbers, sizeof numbers), base64 = text_on(coded, sizeof coded);
    for (int i = 0; i < 101; i++) text_format(&out, "%s%d.25", i ? "," : "[", i);
    text_put_char(&out, ']');
    assert_int_equal(read_text(numbers, &arena, &vector), RC_OK);
    assert_int_equal(vector.size, 404);
    embedding_vector_write(vector, true, &base64);
    assert_int_equal(base64.size, 404 / 3 * 4 + 4 + 2);
    assert_int_equal(read_text(coded, &arena, &again), RC_OK);
    assert_true(span_equal(vector, again));
}

static void test_refused(void **state)
{
    static const char *const bad[] = {
        "[]", "\"\"", "[1,\"2\"]", "[1e39]", "\"AACA\"", "\"not base64!\"", "\"AADAfw==\"" /* not a number */,
        "{}", "7",
    };
    struct arena arena;
    struct span vector;
    (void)state;
    arena_init(&arena, arena_bytes, sizeof arena_bytes, NULL);
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(read_text(bad[i], &arena, &vector), RC_INVALID);
    arena_init(&arena, arena_bytes, 4096, NULL);
    assert_non_null(arena_take(&arena, 4090, 1));
    assert_int_equal(read_text("[1,2,3]", &arena, &vector), RC_FULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_forms),
        cmocka_unit_test(test_digits_of_a_double_are_rounded),
        cmocka_unit_test(test_long_vector_in_groups),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
