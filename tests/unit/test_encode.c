/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_encode.c — the whole encoder on a small model with random weights: variants agree, lengths around every
 * border, nothing outside or left over in the workspace matters. The published model: test_encode_model.c. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "cache/encode.h"
#include "cache/encode_kernels.h"
#include "platform/cpu.h"
#include "tests/support/random.h"

enum { DIM = 64, HIDDEN = 160, LAYERS = 2, WORDS = 300, ROOM = 1 << 20, GAP = 64 };

static struct model model;
static int8_t bytes[WORDS * DIM + LAYERS * (4 * DIM * DIM + 2 * DIM * HIDDEN)];
static float floats[1 << 16];
static int32_t row_sums[LAYERS * (5 * DIM + HIDDEN)];
static size_t bytes_used, floats_used, row_sums_used;
static _Alignas(MODEL_ALIGN) unsigned char room[ROOM + GAP];
static uint16_t ids[MODEL_PIECES_MAX];
static uint32_t seed = 7;

static float between(float low, float high)
{
    return low + (high - low) * (float)test_random(&seed) / (float)(1 << 24);
}

static const float *some_floats(size_t count, float low, float high)
{
    float *at = floats + floats_used;
    floats_used += count;
    assert_true(floats_used <= sizeof floats / sizeof *floats);
    for (size_t i = 0; i < count; i++) at[i] = between(low, high);
    return at;
}

static const int8_t *some_bytes(size_t count)
{
    int8_t *at = bytes + bytes_used;
    bytes_used += count;
    assert_true(bytes_used <= sizeof bytes);
    for (size_t i = 0; i < count; i++) at[i] = (int8_t)(test_random(&seed) % 255 - 127);
    return at;
}

static struct model_linear some_linear(unsigned in, unsigned out)
{
    int32_t *sums = row_sums + row_sums_used;
    struct model_linear l = {
        in, out, some_bytes((size_t)in * out), some_floats(out, 1e-3f, 2e-3f), sums, some_floats(out, -0.2f, 0.2f)};
    row_sums_used += out;
    assert_true(row_sums_used <= sizeof row_sums / sizeof *row_sums);
    for (unsigned i = 0; i < in * out; i++) sums[i / (16 * in) * 16 + i / 4 % 16] += l.panels[i];
    return l;
}

static struct model_norm some_norm(void)
{
    const float *gain = some_floats(DIM, 0.5f, 1.5f);
    return (struct model_norm){gain, some_floats(DIM, -0.5f, 0.5f)};
}

static int make_model(void **state)
{
    (void)state;
    cpu_detect();
    model = (struct model){.dim = DIM,
                           .heads = 4,
                           .layer_count = LAYERS,
                           .hidden = HIDDEN,
                           .vocabulary = WORDS,
                           .positions = MODEL_PIECES_MAX,
                           .norm_epsilon = 1e-12f};
    model.word = some_bytes((size_t)WORDS * DIM);
    model.word_scale = some_floats(WORDS, 0.005f, 0.02f);
    model.position = some_floats((size_t)MODEL_PIECES_MAX * DIM, -0.5f, 0.5f);
    model.word_norm = some_norm();
    for (unsigned i = 0; i < LAYERS; i++) {
        struct model_layer *l = &model.layers[i];
        l->attention_in = some_linear(DIM, 3 * DIM);
        l->attention_out = some_linear(DIM, DIM);
        l->attention_norm = some_norm();
        l->up = some_linear(DIM, HIDDEN);
        l->down = some_linear(HIDDEN, DIM);
        l->down_norm = some_norm();
    }
    for (unsigned i = 0; i < MODEL_PIECES_MAX; i++) ids[i] = (uint16_t)(test_random(&seed) % WORDS);
    ids[0] = WORDS - 1;
    return encode_work_size(&model) > ROOM;
}

/* The features under which the variant is the best one. */
static void take_variant(const struct encode_variant *v)
{
    struct cpu_features features = *cpu_features();
    encode_select(&features);
    if (strcmp(encode_variant(), v->name) != 0) features.avx512_vnni = features.dotprod = false;
    encode_select(&features);
    if (strcmp(encode_variant(), v->name) != 0) encode_select(NULL);
    assert_string_equal(encode_variant(), v->name);
}

static double cosine(const float *a, const float *b)
{
    double product = 0;
    for (unsigned i = 0; i < DIM; i++) product += a[i] * b[i];
    return product;
}

/* Around the blocks of products, the queries attended to at a time, a vector's lanes and the chunks. */
static const unsigned counts[] = {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 47, 63, 65, 100, 255, 256};
enum { COUNTS = sizeof counts / sizeof *counts };

static void variants_agree(void **state)
{
    static float want[COUNTS][DIM];
    (void)state;
    encode_select(NULL);
    for (unsigned i = 0; i < COUNTS; i++) encode(&model, ids, counts[i], room, want[i]);
    for (unsigned v = 0; v < encode_variant_count; v++) {
        if (!encode_variants[v].usable(cpu_features())) continue;
        take_variant(&encode_variants[v]);
        for (unsigned i = 0; i < COUNTS; i++) {
            float got[DIM];
            encode(&model, ids, counts[i], room, got);
            assert_true(fabs(cosine(got, got) - 1) < 1e-5);
            if (!(cosine(got, want[i]) > 0.9999))
                fail_msg("%s, %u pieces: cosine %.6f", encode_variant(), counts[i], cosine(got, want[i]));
        }
    }
    for (unsigned i = 1; i < COUNTS; i++) assert_true(cosine(want[i], want[i - 1]) < 0.99999); /* the text counts */
}

/* Neither what lay in the workspace before, nor what lies behind it. */
static void workspace_is_its_own(void **state)
{
    const size_t size = encode_work_size(&model);
    (void)state;
    for (unsigned v = 0; v < encode_variant_count; v++) {
        if (!encode_variants[v].usable(cpu_features())) continue;
        take_variant(&encode_variants[v]);
        for (unsigned i = 0; i < COUNTS; i++) {
            float first[DIM], second[DIM];
            memset(room, 0, sizeof room);
            encode(&model, ids, counts[i], room, first);
            memset(room, 0xff, sizeof room); /* no number, as float */
            encode(&model, ids, counts[i], room, second);
            assert_memory_equal(first, second, sizeof first);
            for (unsigned k = 0; k < GAP; k++) assert_int_equal(room[size + k], 0xff);
        }
    }
}

static void repeatable_is_scalar_to_the_bit(void **state)
{
    (void)state;
    for (unsigned i = 0; i < COUNTS; i++) {
        float want[DIM], got[DIM];
        encode_select(NULL);
        encode(&model, ids, counts[i], room, want);
        encode_select_repeatable(cpu_features());
        encode(&model, ids, counts[i], room, got);
        assert_memory_equal(got, want, sizeof want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(variants_agree),
        cmocka_unit_test(workspace_is_its_own),
        cmocka_unit_test(repeatable_is_scalar_to_the_bit),
    };
    return cmocka_run_group_tests(tests, make_model, NULL);
}
