/* SPDX-License-Identifier: Apache-2.0 */
/* tests/kernel/test_hamming.c — every variant finds what a sort by (distance, place) of all codes begins with. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cache/hamming.h"
#include "cache/hamming_kernel.h"
#include "platform/cpu.h"
#include "tests/support/guard_page.h"
#include "tests/support/random.h"

enum { CODES_MAX = 4000, SIZE = HAMMING_CODE_SIZE };

static unsigned char codes[CODES_MAX * SIZE + 64];
static uint64_t keys[CODES_MAX];
static uint64_t query[4];
static uint32_t seed = 1;

static void fill_random(unsigned char *out, size_t size)
{
    for (size_t i = 0; i < size; i++) out[i] = (unsigned char)(test_random(&seed) >> 8);
}

static void set_query(unsigned char byte)
{
    memset(query, byte, sizeof query);
}

static uint32_t distance_by_bits(const unsigned char *code)
{
    const unsigned char *q = (const unsigned char *)query;
    uint32_t distance = 0;
    for (unsigned bit = 0; bit < HAMMING_BITS; bit++) distance += (code[bit / 8] ^ q[bit / 8]) >> (bit % 8) & 1;
    return distance;
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void sort_all(const unsigned char *from, size_t count)
{
    for (size_t i = 0; i < count; i++) keys[i] = (uint64_t)distance_by_bits(from + SIZE * i) << 32 | i;
    qsort(keys, count, sizeof keys[0], by_value);
}

/* In runs of `run` codes; the last byte may be the last readable one. */
static void scan_with(const struct hamming_kernel *kernel, const unsigned char *from, size_t count, size_t run,
                      unsigned k, struct hamming_top *top)
{
    hamming_top_start(top, k);
    for (size_t done = 0; done < count || (count == 0 && done == 0); done += run) {
        size_t part = count - done < run ? count - done : run;
        kernel->scan(query, from + SIZE * done, part, top);
        top->scanned += (uint32_t)part;
        if (count == 0) break;
    }
    assert_int_equal(top->scanned, count);
    hamming_top_finish(top);
}

static void check_one(const struct hamming_kernel *kernel, const unsigned char *from, size_t count, size_t run,
                      unsigned k)
{
    struct hamming_top top;
    scan_with(kernel, from, count, run, k, &top);
    assert_int_equal(top.count, count < k ? count : k);
    for (unsigned i = 0; i < top.count; i++) {
        assert_int_equal(top.hits[i].distance, keys[i] >> 32);
        assert_int_equal(top.hits[i].place, (uint32_t)keys[i]);
    }
}

/* The variant under test: cmocka's state. */
static void check(void **state, const unsigned char *from, size_t count)
{
    static const unsigned ks[] = {1, 2, 31, 32, HAMMING_TOP_MAX};
    static const size_t runs[] = {CODES_MAX, 1022, 126, 13};
    sort_all(from, count);
    for (unsigned i = 0; i < sizeof ks / sizeof ks[0]; i++)
        for (unsigned j = 0; j < sizeof runs / sizeof runs[0]; j++) check_one(*state, from, count, runs[j], ks[i]);
}

static void test_random_codes(void **state)
{
    static const size_t counts[] = {100, 126, 1021, 1022, 1023, 1024, CODES_MAX};
    fill_random(codes, sizeof codes);
    fill_random((unsigned char *)query, sizeof query);
    for (unsigned i = 0; i < sizeof counts / sizeof counts[0]; i++) check(state, codes, counts[i]);
}

static void test_every_small_count_up_to_an_unreadable_page(void **state)
{
    unsigned char *copy = codes;
    fill_random(codes, sizeof codes);
    fill_random((unsigned char *)query, sizeof query);
    for (size_t count = 0; count <= 70; count++) {
        struct span end = guarded(span_of((const char *)copy, count * SIZE));
        check(state, (const unsigned char *)end.data, count);
    }
}

static void test_any_alignment(void **state)
{
    fill_random(codes, sizeof codes);
    fill_random((unsigned char *)query, sizeof query);
    for (unsigned offset = 0; offset < 64; offset++) check(state, codes + offset, 333);
}

static void test_all_equal(void **state)
{
    static const unsigned char bytes[] = {0x00, 0xff, 0x55, 0x01, 0x80};
    for (unsigned i = 0; i < sizeof bytes; i++) {
        for (unsigned j = 0; j < sizeof bytes; j++) {
            set_query(bytes[i]);
            memset(codes, bytes[j], sizeof codes);
            check(state, codes, 2000);
        }
    }
}

/* Distance 0, 1 and 256 side by side: a sum that wraps at 256 would look nearest. */
static void test_extremes_among_each_other(void **state)
{
    set_query(0);
    memset(codes, 0xff, sizeof codes);
    for (size_t i = 0; i < CODES_MAX; i += 7) memset(codes + SIZE * i, 0, SIZE);
    for (size_t i = 3; i < CODES_MAX; i += 11) {
        memset(codes + SIZE * i, 0, SIZE);
        codes[SIZE * i + i % SIZE] = (unsigned char)(1U << (i % 8));
    }
    check(state, codes, CODES_MAX);
}

static void test_each_single_bit(void **state)
{
    set_query(0);
    memset(codes, 0, sizeof codes);
    for (unsigned i = 0; i < HAMMING_BITS; i++) codes[SIZE * i + i / 8] = (unsigned char)(1U << (i % 8));
    check(state, codes, HAMMING_BITS);
    set_query(0xff);
    check(state, codes, HAMMING_BITS);
}

/* Every code enters, so the notes are thinned out again and again; then none does; then ties only. */
static void test_falling_and_rising_distances(void **state)
{
    set_query(0);
    for (int falling = 0; falling < 2; falling++) {
        memset(codes, 0, sizeof codes);
        for (unsigned i = 0; i < CODES_MAX; i++) {
            unsigned distance = falling ? 256 - i * 256 / CODES_MAX : i * 256 / CODES_MAX;
            for (unsigned bit = 0; bit < distance; bit++) codes[SIZE * i + bit / 8] |= (unsigned char)(1U << (bit % 8));
        }
        check(state, codes, CODES_MAX);
    }
}

/* Random around few distances: the order of equals decides. */
static void test_many_ties(void **state)
{
    fill_random((unsigned char *)query, sizeof query);
    for (unsigned i = 0; i < CODES_MAX; i++) {
        memcpy(codes + SIZE * i, query, SIZE);
        for (int flips = test_random(&seed) % 4; flips > 0; flips--) {
            unsigned bit = (unsigned)test_random(&seed) % HAMMING_BITS;
            codes[SIZE * i + bit / 8] ^= (unsigned char)(1U << (bit % 8));
        }
    }
    check(state, codes, CODES_MAX);
}

static void test_the_bound_never_hides_a_better_one(void **state)
{
    struct hamming_top top;
    set_query(0);
    memset(codes, 0xff, sizeof codes);
    memset(codes + SIZE * 5, 0, SIZE);
    const struct hamming_kernel *kernel = *state;
    hamming_top_start(&top, 1);
    assert_int_equal(top.bound, 257);
    kernel->scan(query, codes, 5, &top);
    assert_int_equal(top.bound, 256);
    top.scanned = 5;
    kernel->scan(query, codes + SIZE * 5, 10, &top);
    assert_int_equal(top.bound, 0);
    hamming_top_finish(&top);
    assert_int_equal(top.count, 1);
    assert_int_equal(top.hits[0].place, 5);
}

static int run_variant(const struct hamming_kernel *kernel)
{
    static struct hamming_kernel copy;
    copy = *kernel;
#define WITH(test) cmocka_unit_test_prestate(test, &copy)
    const struct CMUnitTest tests[] = {
        WITH(test_random_codes),
        WITH(test_every_small_count_up_to_an_unreadable_page),
        WITH(test_any_alignment),
        WITH(test_all_equal),
        WITH(test_extremes_among_each_other),
        WITH(test_each_single_bit),
        WITH(test_falling_and_rising_distances),
        WITH(test_many_ties),
        WITH(test_the_bound_never_hides_a_better_one),
    };
#undef WITH
    return cmocka_run_group_tests_name(kernel->name, tests, NULL, NULL);
}

static void test_select_takes_the_best_there_is(void **state)
{
    (void)state;
    struct cpu_features none = {0};
    const char *best = "scalar";
    hamming_select(&none);
    assert_string_equal(hamming_variant(), "scalar");
    for (unsigned i = 0; i < hamming_kernel_count; i++)
        if (hamming_kernels[i].runs_on(cpu_features())) best = hamming_kernels[i].name;
    hamming_select(cpu_features());
    assert_string_equal(hamming_variant(), best);
    hamming_select(NULL);
    assert_string_equal(hamming_variant(), "scalar");
}

int main(void)
{
    const struct hamming_kernel scalar = {"scalar", hamming_scan_scalar, NULL};
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_select_takes_the_best_there_is)};
    cpu_detect();
    int failed = cmocka_run_group_tests_name("select", tests, NULL, NULL) + run_variant(&scalar);
    for (unsigned i = 0; i < hamming_kernel_count; i++) {
        bool runs = hamming_kernels[i].runs_on(cpu_features());
        print_message("hamming: %s %s\n", hamming_kernels[i].name, runs ? "runs" : "skipped: not on this processor");
        if (runs) failed += run_variant(&hamming_kernels[i]);
    }
    return failed;
}
