/* SPDX-License-Identifier: Apache-2.0 */
/* tests/kernel/test_projection.c — the classic projection, packing, and that the cache's rotation is as good as it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <math.h>

#include "app/bench/projection.h"
#include "cache/rotate.h"
#include "platform/crypto.h"
#include "platform/rc.h"
#include "tests/support/random.h"

enum { DIM = 384, PAIRS = 150 };

static float matrix[DIM * PROJECTION_BITS_MAX];
static _Alignas(64) float work[ROTATION_WIDTH_MAX];
static uint32_t seed = 11;

static float any_float(void)
{
    return (float)(test_random(&seed) - (1 << 23)) / (float)(1 << 23);
}

static void test_binarize_sign(void **state)
{
    (void)state;
    static const float values[] = {0.0F, -0.0F, 1e-30F, -1e-30F, 5.0F, -5.0F};
    static const uint8_t want[] = {1, 1, 1, 0, 1, 0};
    uint8_t bits[6];
    binarize_sign(values, 6, bits);
    assert_memory_equal(bits, want, sizeof want);
}

static void test_pack_is_least_significant_first(void **state)
{
    (void)state;
    uint8_t bits[128] = {0};
    uint64_t words[2];
    bits[0] = bits[1] = bits[63] = bits[64] = bits[126] = 1;
    pack_codes(bits, 128, words);
    assert_true(words[0] == UINT64_C(0x8000000000000003));
    assert_true(words[1] == UINT64_C(0x4000000000000001));
}

static void test_unpack_undoes_pack(void **state)
{
    (void)state;
    uint8_t bits[PROJECTION_BITS_MAX], back[PROJECTION_BITS_MAX];
    uint64_t words[PROJECTION_WORDS_MAX];
    for (unsigned count = 64; count <= PROJECTION_BITS_MAX; count *= 2) {
        for (unsigned times = 0; times < 50; times++) {
            for (unsigned i = 0; i < count; i++) bits[i] = (uint8_t)(test_random(&seed) & 1);
            memset(words, 0xff, sizeof words);
            pack_codes(bits, count, words);
            for (unsigned i = count / 64; i < PROJECTION_WORDS_MAX; i++) assert_true(words[i] == UINT64_MAX);
            unpack_codes(words, count, back);
            assert_memory_equal(bits, back, count);
        }
    }
}

static void test_the_matrix_is_normal_and_repeatable(void **state)
{
    (void)state;
    struct random_projection projection;
    double sum = 0, squares = 0, fourth = 0;
    random_projection_make(&projection, DIM, 256, 42, matrix);
    float first = matrix[0], last = matrix[DIM * 256 - 1];
    for (unsigned i = 0; i < DIM * 256; i++) {
        double x = (double)matrix[i];
        sum += x, squares += x * x, fourth += x * x * x * x;
    }
    const double n = DIM * 256;
    assert_true(fabs(sum / n) < 0.02 && fabs(squares / n - 1) < 0.03 && fabs(fourth / n - 3) < 0.2);
    random_projection_make(&projection, DIM, 256, 42, matrix);
    assert_true(first == matrix[0] && last == matrix[DIM * 256 - 1]);
    random_projection_make(&projection, DIM, 256, 43, matrix);
    assert_false(first == matrix[0]);
    assert_int_equal(random_projection_size(DIM, 256), 393216);
}

static void test_projecting_is_the_sum_of_products(void **state)
{
    (void)state;
    static const float small[] = {1, -2, 3};
    static const float rows[3 * 64] = {[0] = 1, [1] = 2, [64] = 3, [65] = 4, [128] = 5, [129] = -6};
    struct random_projection projection = {3, 64, rows};
    float projected[64];
    uint64_t word;
    random_projection_project(&projection, small, projected);
    assert_true(projected[0] == 10.0F && projected[1] == -24.0F && projected[2] == 0.0F);
    random_projection_code(&projection, small, &word);
    assert_true(word == ~(uint64_t)2);
}

/* Two vectors at some angle, and what similarity the angle predicts. */
static double make_pair(float *a, float *b)
{
    double dot = 0, aa = 0, bb = 0;
    for (unsigned i = 0; i < DIM; i++) {
        a[i] = any_float();
        b[i] = a[i] + 0.6F * any_float();
        dot += (double)a[i] * (double)b[i], aa += (double)a[i] * (double)a[i], bb += (double)b[i] * (double)b[i];
    }
    return 1 - acos(dot / sqrt(aa * bb)) / acos(-1.0);
}

static void test_similarity_follows_the_angle_at_every_width(void **state)
{
    (void)state;
    struct random_projection projection;
    float a[DIM], b[DIM];
    uint64_t x[PROJECTION_WORDS_MAX], y[PROJECTION_WORDS_MAX];
    for (unsigned bits = 64; bits <= PROJECTION_BITS_MAX; bits *= 2) {
        double sum = 0, squares = 0;
        random_projection_make(&projection, DIM, bits, 42, matrix);
        for (unsigned i = 0; i < PAIRS; i++) {
            double want = make_pair(a, b);
            random_projection_code(&projection, a, x);
            random_projection_code(&projection, b, y);
            double error = code_similarity(x, y, bits) - want;
            sum += error, squares += error * error;
        }
        assert_true(fabs(sum / PAIRS) < 0.02);
        assert_true(sqrt(squares / PAIRS) < 0.5 / sqrt((double)bits)); /* that of independent bits */
    }
}

static void test_the_rotation_spreads_no_more_than_the_projection(void **state)
{
    (void)state;
    static const unsigned char secret[ROTATION_SECRET_SIZE] = {9};
    struct random_projection projection;
    struct rotation rotation;
    float a[DIM], b[DIM];
    uint64_t x[PROJECTION_WORDS_MAX], y[PROJECTION_WORDS_MAX];
    double gaussian = 0, rotated = 0;
    assert_int_equal(rotation_make(&rotation, secret, DIM), RC_OK);
    random_projection_make(&projection, DIM, CODE_BITS, 42, matrix);
    for (unsigned i = 0; i < PAIRS; i++) {
        double want = make_pair(a, b);
        random_projection_code(&projection, a, x);
        random_projection_code(&projection, b, y);
        gaussian += pow(code_similarity(x, y, CODE_BITS) - want, 2);
        rotate_code(&rotation, a, NULL, work, x);
        rotate_code(&rotation, b, NULL, work, y);
        rotated += pow(code_similarity(x, y, CODE_BITS) - want, 2);
    }
    print_message("mean square error: gaussian %.6f, rotation %.6f\n", gaussian / PAIRS, rotated / PAIRS);
    assert_true(rotated < gaussian * 1.25);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_binarize_sign),
        cmocka_unit_test(test_pack_is_least_significant_first),
        cmocka_unit_test(test_unpack_undoes_pack),
        cmocka_unit_test(test_the_matrix_is_normal_and_repeatable),
        cmocka_unit_test(test_projecting_is_the_sum_of_products),
        cmocka_unit_test(test_similarity_follows_the_angle_at_every_width),
        cmocka_unit_test(test_the_rotation_spreads_no_more_than_the_projection),
    };
    return crypto_start() == RC_OK ? cmocka_run_group_tests_name("projection", tests, NULL, NULL) : 1;
}
