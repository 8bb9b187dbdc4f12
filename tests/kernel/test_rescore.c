/* SPDX-License-Identifier: Apache-2.0 */
/* tests/kernel/test_rescore.c — every variant gives the same integers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cache/rescore.h"
#include "cache/rescore_kernel.h"
#include "platform/cpu.h"
#include "tests/support/guard_page.h"
#include "tests/support/random.h"

enum { DIM_MAX = 1536, COUNT_MAX = 33, ROOM = DIM_MAX + 64 };

static int8_t query[ROOM], rows[COUNT_MAX][ROOM];
static const int8_t *vectors[COUNT_MAX];
static uint32_t seed = 7;

static int8_t any_value(void)
{
    return (int8_t)(test_random(&seed) % 255 - 127);
}

static void fill_random(void)
{
    for (unsigned i = 0; i < ROOM; i++) query[i] = any_value();
    for (unsigned r = 0; r < COUNT_MAX; r++)
        for (unsigned i = 0; i < ROOM; i++) rows[r][i] = any_value();
}

static void point_at(unsigned offset)
{
    for (unsigned r = 0; r < COUNT_MAX; r++) vectors[r] = rows[r] + (offset ? (offset + r) % 64 : 0);
}

static void check(void **state, const int8_t *q, unsigned count, unsigned dim)
{
    const struct rescore_kernel *kernel = *state;
    int32_t dots[COUNT_MAX + 1];
    memset(dots, 0x5a, sizeof dots);
    kernel->dots(q, vectors, count, dim, dots);
    for (unsigned r = 0; r < count; r++) {
        int64_t want = 0;
        for (unsigned i = 0; i < dim; i++) want += (int64_t)q[i] * vectors[r][i];
        assert_int_equal(dots[r], want);
    }
    assert_int_equal(dots[count], 0x5a5a5a5a);
}

static void test_random_at_any_count(void **state)
{
    static const unsigned dims[] = {384, 768, 1536};
    fill_random();
    point_at(0);
    for (unsigned d = 0; d < 3; d++)
        for (unsigned count = 0; count <= COUNT_MAX; count++) check(state, query, count, dims[d]);
}

static void test_any_dim(void **state)
{
    fill_random();
    point_at(0);
    for (unsigned dim = 1; dim <= 300; dim++) check(state, query, 5, dim);
    for (unsigned dim = 1500; dim <= DIM_MAX; dim++) check(state, query, 3, dim);
}

static void test_any_alignment(void **state)
{
    fill_random();
    for (unsigned offset = 0; offset < 64; offset++) {
        point_at(offset);
        check(state, query + offset, COUNT_MAX, 384);
    }
}

/* The sums that 16 bits, or the sign of a bias, would spoil. */
static void test_extremes(void **state)
{
    static const int8_t values[] = {-127, 0, 127, 1, -1};
    point_at(0);
    for (unsigned a = 0; a < sizeof values; a++) {
        for (unsigned b = 0; b < sizeof values; b++) {
            memset(query, values[a], sizeof query);
            memset(rows, values[b], sizeof rows);
            check(state, query, COUNT_MAX, DIM_MAX);
            for (unsigned i = 0; i < ROOM; i += 2) query[i] = (int8_t)-query[i];
            check(state, query, COUNT_MAX, DIM_MAX);
        }
    }
}

static void test_nothing_is_read_past_the_end(void **state)
{
    static const unsigned dims[] = {1, 15, 16, 31, 33, 63, 65, 100, 384, 385};
    fill_random();
    for (unsigned d = 0; d < sizeof dims / sizeof dims[0]; d++) {
        struct span end = guarded(span_of((const char *)rows[0], dims[d]));
        point_at(0);
        vectors[0] = vectors[3] = (const int8_t *)end.data;
        check(state, query, 4, dims[d]);
        vectors[0] = vectors[3] = rows[1];
        check(state, (const int8_t *)end.data, 4, dims[d]);
    }
}

static int run_variant(const struct rescore_kernel *kernel)
{
    static struct rescore_kernel copy;
    copy = *kernel;
#define WITH(test) cmocka_unit_test_prestate(test, &copy)
    const struct CMUnitTest tests[] = {
        WITH(test_random_at_any_count),          WITH(test_any_dim), WITH(test_any_alignment), WITH(test_extremes),
        WITH(test_nothing_is_read_past_the_end),
    };
#undef WITH
    return cmocka_run_group_tests_name(kernel->name, tests, NULL, NULL);
}

static void test_select_takes_the_best_there_is(void **state)
{
    (void)state;
    struct cpu_features none = {0};
    const char *best = "scalar";
    rescore_select(&none);
    assert_string_equal(rescore_variant(), "scalar");
    for (unsigned i = 0; i < rescore_kernel_count; i++)
        if (rescore_kernels[i].runs_on(cpu_features())) best = rescore_kernels[i].name;
    rescore_select(cpu_features());
    assert_string_equal(rescore_variant(), best);
    rescore_select(NULL);
    assert_string_equal(rescore_variant(), "scalar");
}

int main(void)
{
    const struct rescore_kernel scalar = {"scalar", rescore_dots_scalar, NULL};
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_select_takes_the_best_there_is)};
    cpu_detect();
    int failed = cmocka_run_group_tests_name("select", tests, NULL, NULL) + run_variant(&scalar);
    for (unsigned i = 0; i < rescore_kernel_count; i++) {
        bool runs = rescore_kernels[i].runs_on(cpu_features());
        print_message("rescore: %s %s\n", rescore_kernels[i].name, runs ? "runs" : "skipped: not on this processor");
        if (runs) failed += run_variant(&rescore_kernels[i]);
    }
    return failed;
}
