/* SPDX-License-Identifier: Apache-2.0 */
/* tests/kernel/test_rotate.c — codes equal tests/data/rotate_golden.txt, every variant rounds alike, and the int8 form. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include "cache/rotate.h"
#include "cache/rotate_kernel.h"
#include "platform/cpu.h"
#include "platform/crypto.h"
#include "platform/rc.h"
#include "tests/support/random.h"

static _Alignas(64) float work[ROTATION_WIDTH_MAX], other[ROTATION_WIDTH_MAX];
static float vector[EMBED_DIM_MAX], centre[EMBED_DIM_MAX];
static unsigned char secret[ROTATION_SECRET_SIZE];
static struct rotation rotation;
static uint32_t seed = 3;

static void set_secret(void)
{
    for (unsigned i = 0; i < sizeof secret; i++) secret[i] = (unsigned char)i;
}

static float any_float(void)
{
    return (float)(test_random(&seed) - (1 << 23)) / (float)(1 << 23);
}

static void round_equals_scalar(const struct rotate_kernel *kernel, unsigned width, const uint64_t *signs)
{
    memcpy(other, work, sizeof work);
    rotate_round_scalar(other, width, signs);
    kernel->round(work, width, signs);
    assert_memory_equal(work, other, width * sizeof *work);
}

static void random_signs(uint64_t *signs)
{
    for (unsigned i = 0; i < ROTATION_WIDTH_MAX / 64; i++)
        signs[i] = (uint64_t)test_random(&seed) << 48 ^ (uint64_t)test_random(&seed) << 24 ^
                   (uint64_t)test_random(&seed);
}

static void test_random_rounds(void **state)
{
    uint64_t signs[ROTATION_WIDTH_MAX / 64];
    for (unsigned width = CODE_BITS; width <= ROTATION_WIDTH_MAX; width *= 2) {
        for (unsigned times = 0; times < 20; times++) {
            random_signs(signs);
            for (unsigned i = 0; i < width; i++) work[i] = any_float() * (times % 2 ? 1.0F : 1e-20F);
            round_equals_scalar(*state, width, signs);
            round_equals_scalar(*state, width, signs); /* larger values, more rounding */
        }
    }
}

/* Zeros of both signs, cancellation, sums that swallow small terms, subnormal numbers. */
static void test_extreme_rounds(void **state)
{
    static const float values[] = {0.0F, -0.0F, 1.0F, -1.0F, 1e30F, -1e30F, 1e-40F, 1.0000001F};
    uint64_t signs[ROTATION_WIDTH_MAX / 64];
    for (unsigned width = CODE_BITS; width <= ROTATION_WIDTH_MAX; width *= 2) {
        for (unsigned v = 0; v < 8; v++) {
            random_signs(signs);
            for (unsigned i = 0; i < width; i++) work[i] = values[v];
            round_equals_scalar(*state, width, signs);
            for (unsigned i = 0; i < width; i++) work[i] = values[(unsigned)test_random(&seed) % 8];
            round_equals_scalar(*state, width, signs);
        }
        memset(signs, 0xff, sizeof signs);
        for (unsigned i = 0; i < width; i++) work[i] = i == width - 1 ? 1.0F : 0.0F;
        round_equals_scalar(*state, width, signs);
    }
}

static void golden_vector(unsigned dim)
{
    for (unsigned i = 0; i < dim; i++) {
        vector[i] = (float)((int)((i * i + 37 * i + 11) % 1009) - 504) / 1000.0F;
        centre[i] = (float)((int)((i * 53 + 7) % 211) - 105) / 5000.0F;
    }
}

static void check_golden(struct span line)
{
    struct span word;
    char hex[17];
    uint64_t code[CODE_WORDS];
    line = span_cut(line, ' ', &word);
    unsigned dim = 0;
    for (size_t i = 0; i < word.size; i++) dim = 10 * dim + (unsigned)(word.data[i] - '0');
    line = span_cut(line, ' ', &word);
    golden_vector(dim);
    assert_int_equal(rotation_make(&rotation, secret, dim), RC_OK);
    rotate_code(&rotation, vector, span_equal(word, SPAN("centre")) ? centre : NULL, work, code);
    for (unsigned i = 0; i < CODE_WORDS; i++) {
        line = span_cut(line, ' ', &word);
        (void)snprintf(hex, sizeof hex, "%016llx", (unsigned long long)code[i]);
        assert_true(span_equal(word, span_text(hex)));
    }
}

static void test_golden_codes(void **state)
{
    static char file[4096];
    (void)state;
    unsigned count = 0;
    int fd = open("tests/data/rotate_golden.txt", O_RDONLY);
    assert_true(fd >= 0);
    ssize_t got = read(fd, file, sizeof file);
    close(fd);
    assert_in_range(got, 1, sizeof file - 1);
    set_secret();
    for (struct span line, rest = span_of(file, (size_t)got); rest.size > 0;) {
        rest = span_cut(rest, '\n', &line);
        if (line.size == 0 || line.data[0] == '#') continue;
        check_golden(line);
        count++;
    }
    assert_int_equal(count, 10);
}

static void test_a_rotation_has_bounds(void **state)
{
    (void)state;
    set_secret();
    assert_int_equal(rotation_make(&rotation, secret, 0), RC_INVALID);
    assert_int_equal(rotation_make(&rotation, secret, EMBED_DIM_MAX + 1), RC_INVALID);
    assert_int_equal(rotation_make(&rotation, secret, EMBED_DIM_MAX), RC_OK);
    assert_int_equal(rotation.width, 2048);
    assert_int_equal(rotation_make(&rotation, secret, 1), RC_OK);
    assert_int_equal(rotation.width, 256);
    assert_int_equal(rotation_make(&rotation, secret, 384), RC_OK);
    assert_int_equal(rotation.width, 512);
    for (unsigned i = 512 / 64; i < ROTATION_WIDTH_MAX / 64; i++) assert_true(rotation.signs[0][i] == 0);
}

static unsigned distance(const uint64_t *a, const uint64_t *b)
{
    unsigned sum = 0;
    for (unsigned i = 0; i < CODE_WORDS; i++) sum += (unsigned)__builtin_popcountll(a[i] ^ b[i]);
    return sum;
}

static void test_codes_depend_on_direction_and_secret_only(void **state)
{
    (void)state;
    uint64_t code[CODE_WORDS], twice[CODE_WORDS], opposite[CODE_WORDS], foreign[CODE_WORDS];
    set_secret();
    assert_int_equal(rotation_make(&rotation, secret, 384), RC_OK);
    for (unsigned i = 0; i < 384; i++) vector[i] = any_float();
    rotate_code(&rotation, vector, NULL, work, code);
    for (unsigned i = 0; i < 384; i++) vector[i] *= 2.0F;
    rotate_code(&rotation, vector, NULL, work, twice);
    assert_memory_equal(code, twice, sizeof code);
    for (unsigned i = 0; i < 384; i++) vector[i] = -vector[i];
    rotate_code(&rotation, vector, NULL, work, opposite);
    assert_int_equal(distance(code, opposite), 256); /* no output is exactly zero here */
    secret[31] ^= 1;
    assert_int_equal(rotation_make(&rotation, secret, 384), RC_OK);
    rotate_code(&rotation, vector, NULL, work, foreign);
    assert_in_range(distance(opposite, foreign), 80, 176);
}

static void test_zero_counts_as_set(void **state)
{
    (void)state;
    uint64_t code[CODE_WORDS];
    set_secret();
    assert_int_equal(rotation_make(&rotation, secret, 384), RC_OK);
    memset(vector, 0, sizeof vector);
    rotate_code(&rotation, vector, NULL, work, code);
    for (unsigned i = 0; i < CODE_WORDS; i++) assert_true(code[i] == UINT64_MAX);
}

/* Angle and distance: at cosine c the expected distance is 256 · acos(c) / π. */
static void test_distance_follows_the_angle(void **state)
{
    (void)state;
    uint64_t a[CODE_WORDS], b[CODE_WORDS];
    double sum = 0;
    set_secret();
    assert_int_equal(rotation_make(&rotation, secret, 384), RC_OK);
    for (unsigned times = 0; times < 200; times++) {
        double dot = 0, aa = 0, bb = 0;
        for (unsigned i = 0; i < 384; i++) {
            vector[i] = any_float();
            centre[i] = vector[i] + 0.5F * any_float();
            dot += (double)vector[i] * (double)centre[i];
            aa += (double)vector[i] * (double)vector[i], bb += (double)centre[i] * (double)centre[i];
        }
        rotate_code(&rotation, vector, NULL, work, a);
        rotate_code(&rotation, centre, NULL, work, b);
        sum += distance(a, b) - 256 * acos(dot / sqrt(aa * bb)) / acos(-1.0);
    }
    assert_true(fabs(sum / 200) < 2.0);
}

static void test_quantise(void **state)
{
    (void)state;
    static const float halves[] = {127.0F, 0.5F, 1.5F, 2.5F, -0.5F, -1.5F, -127.0F, 0.0F};
    static const int8_t want[] = {127, 0, 2, 2, 0, -2, -127, 0};
    int8_t q[EMBED_DIM_MAX];
    float scale = vector_quantise(halves, 8, q);
    assert_memory_equal(q, want, sizeof want);
    assert_true(scale == (float)(1.0 / sqrt(2 * 127.0 * 127.0 + 12.0)));
    memset(vector, 0, sizeof vector);
    q[0] = q[383] = 1;
    assert_true(vector_quantise(vector, 384, q) == 0.0F);
    assert_int_equal(q[0] | q[383], 0);
}

static void test_quantised_cosine_is_near_the_true_one(void **state)
{
    (void)state;
    static int8_t a[384], b[384];
    for (unsigned times = 0; times < 50; times++) {
        double dot = 0, aa = 0, bb = 0;
        int32_t sum = 0;
        for (unsigned i = 0; i < 384; i++) {
            vector[i] = any_float() * 1e-3F;
            centre[i] = vector[i] + any_float() * 1e-3F;
            dot += (double)vector[i] * (double)centre[i];
            aa += (double)vector[i] * (double)vector[i], bb += (double)centre[i] * (double)centre[i];
        }
        float scale = vector_quantise(vector, 384, a) * vector_quantise(centre, 384, b);
        for (unsigned i = 0; i < 384; i++) sum += a[i] * b[i];
        assert_true(fabs((double)sum * (double)scale - dot / sqrt(aa * bb)) < 0.002);
    }
}

/* What a remote embedder may send: huge, tiny, one value only. */
static void test_quantise_extremes(void **state)
{
    (void)state;
    int8_t q[4];
    static const float huge[] = {3e38F, -3e38F, 1.0F, 0.0F}, tiny[] = {1e-45F, -1e-45F, 0.0F, 0.0F};
    assert_true(vector_quantise(huge, 4, q) > 0.0F);
    assert_true(q[0] == 127 && q[1] == -127 && q[3] == 0);
    assert_true(vector_quantise(tiny, 4, q) > 0.0F);
    assert_true(q[0] == 127 && q[1] == -127 && q[2] == 0);
}

static int run_variant(const struct rotate_kernel *kernel)
{
    static struct rotate_kernel copy;
    copy = *kernel;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(test_random_rounds, &copy),
        cmocka_unit_test_prestate(test_extreme_rounds, &copy),
    };
    return cmocka_run_group_tests_name(kernel->name, tests, NULL, NULL);
}

static void test_select_takes_the_best_there_is(void **state)
{
    (void)state;
    struct cpu_features none = {0};
    const char *best = "scalar";
    rotate_select(&none);
    assert_string_equal(rotate_variant(), "scalar");
    for (unsigned i = 0; i < rotate_kernel_count; i++)
        if (rotate_kernels[i].runs_on(cpu_features())) best = rotate_kernels[i].name;
    rotate_select(cpu_features());
    assert_string_equal(rotate_variant(), best);
}

static int run_codes(const char *name)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden_codes),
        cmocka_unit_test(test_a_rotation_has_bounds),
        cmocka_unit_test(test_codes_depend_on_direction_and_secret_only),
        cmocka_unit_test(test_zero_counts_as_set),
        cmocka_unit_test(test_distance_follows_the_angle),
        cmocka_unit_test(test_quantise),
        cmocka_unit_test(test_quantised_cosine_is_near_the_true_one),
        cmocka_unit_test(test_quantise_extremes),
    };
    return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}

int main(void)
{
    const struct rotate_kernel scalar = {"scalar", rotate_round_scalar, NULL};
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_select_takes_the_best_there_is)};
    cpu_detect();
    if (crypto_start() != RC_OK) return 1;
    int failed = run_variant(&scalar) + run_codes("codes with scalar");
    failed += cmocka_run_group_tests_name("select", tests, NULL, NULL);
    failed += run_codes("codes with the best variant");
    for (unsigned i = 0; i < rotate_kernel_count; i++) {
        bool runs = rotate_kernels[i].runs_on(cpu_features());
        print_message("rotate: %s %s\n", rotate_kernels[i].name, runs ? "runs" : "skipped: not on this processor");
        if (runs) failed += run_variant(&rotate_kernels[i]);
    }
    return failed;
}
