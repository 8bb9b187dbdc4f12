/* SPDX-License-Identifier: Apache-2.0 */
/* tests/kernel/test_encode.c — the encoder's variants: int8 products equal the scalar ones to the bit, float rows agree
 * with double arithmetic. Prints which variants ran and which this machine lacks. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <string.h>

#include "cache/encode.h"
#include "cache/encode_kernels.h"
#include "platform/cpu.h"
#include "tests/support/guard_page.h"
#include "tests/support/random.h"

enum { IN_MAX = 1536, OUT_MAX = 112, TOKENS_MAX = 19, GAP = 64 };
#define CANARY 0x5ca1ab1e

static int8_t weights[IN_MAX * OUT_MAX], panel_room[IN_MAX * OUT_MAX + GAP];
static int32_t row_sums[OUT_MAX + 1];
static uint8_t activations[TOKENS_MAX * IN_MAX];
static unsigned char packed_room[TOKENS_MAX * IN_MAX * ENCODE_PACKED_MAX + GAP];
static int32_t expected[TOKENS_MAX * OUT_MAX], sums[TOKENS_MAX * OUT_MAX + 2];
static uint32_t seed = 1;

/* Row-major weights into panels `shift` bytes off their border. */
static struct model_linear linear_of(unsigned in, unsigned out, unsigned shift)
{
    int8_t *panels = panel_room + shift;
    for (unsigned r = 0; r < out; r++) {
        row_sums[r + 1] = 0;
        for (unsigned c = 0; c < in; c++) {
            panels[((r / 16 * (in / 4) + c / 4) * 16 + r % 16) * 4 + c % 4] = weights[r * in + c];
            row_sums[r + 1] += weights[r * in + c];
        }
    }
    return (struct model_linear){.in = in, .out = out, .panels = panels, .row_sum = row_sums + 1};
}

static const struct pattern {
    const char *name;
    int weight[2], activation[2]; /* in turns; weights of 0: random */
} patterns[] = {
    {"random", {0, 0}, {0, 0}},
    {"least sums", {-127, -127}, {255, 255}},
    {"largest sums", {127, 127}, {255, 255}},
    {"zero", {-127, -127}, {0, 0}},
    {"alternating", {-127, 127}, {0, 255}},
    {"opposed", {-127, 127}, {255, 255}},
    {"middle", {127, -127}, {127, 128}},
};

static void fill(const struct pattern *p, unsigned in, unsigned out, unsigned tokens)
{
    for (unsigned i = 0; i < in * out; i++)
        weights[i] = (int8_t)(p->weight[0] ? p->weight[i % 2] : test_random(&seed) % 255 - 127);
    for (unsigned i = 0; i < in * tokens; i++)
        activations[i] = (uint8_t)(p->weight[0] ? p->activation[i % 2] : test_random(&seed) % 256);
}

static void expect(unsigned in, unsigned out, unsigned tokens)
{
    for (unsigned t = 0; t < tokens; t++)
        for (unsigned r = 0; r < out; r++) {
            int32_t sum = 0;
            for (unsigned c = 0; c < in; c++) sum += activations[t * in + c] * weights[r * in + c];
            expected[t * out + r] = sum;
        }
}

static void pack(const struct encode_products *products, unsigned in, unsigned tokens, unsigned char *packed)
{
    for (unsigned t = 0; t < tokens; t++) {
        struct span row = guarded(span_of((const char *)activations + (size_t)t * in, in));
        products->pack((const uint8_t *)row.data, in, packed + (size_t)t * in * products->packed_size);
    }
}

static void same_sums(const struct encode_variant *v, unsigned in, unsigned out, unsigned tokens, unsigned shift)
{
    const struct model_linear linear = linear_of(in, out, shift);
    const size_t size = (size_t)tokens * out;
    memset(sums, 0xee, sizeof sums);
    sums[0] = sums[size + 1] = CANARY;
    pack(v->products, in, tokens, packed_room + shift);
    encode_multiply(v->products, &linear, packed_room + shift, tokens, sums + 1);
    if (memcmp(sums + 1, expected, size * sizeof *sums) != 0)
        fail_msg("%s: %u columns, %u rows, %u tokens, %u bytes off: another sum", v->name, in, out, tokens, shift);
    assert_int_equal(sums[0], CANARY);
    assert_int_equal(sums[size + 1], CANARY);
}

static void products_equal_the_definition(void **state)
{
    static const struct {
        unsigned in, out, tokens;
    } shapes[] = {{16, 16, 1},  {32, 48, 2},   {48, 112, 3},  {64, 80, 4},    {96, 64, 5},   {128, 16, 6},
                  {384, 48, 7}, {384, 96, 8},  {48, 32, 9},   {80, 96, 11},   {1536, 48, 4}, {1536, 64, 16},
                  {16, 96, 13}, {112, 48, 17}, {384, 32, 19}, {1536, 112, 10}};
    (void)state;
    for (unsigned s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (unsigned p = 0; p < sizeof patterns / sizeof *patterns; p++) {
            const unsigned in = shapes[s].in, out = shapes[s].out, tokens = shapes[s].tokens;
            fill(&patterns[p], in, out, tokens);
            expect(in, out, tokens);
            for (unsigned v = 0; v < encode_variant_count; v++)
                for (unsigned shift = 0; shift < 4 && encode_variants[v].usable(cpu_features()); shift++)
                    same_sums(&encode_variants[v], in, out, tokens, shift * 7);
        }
}

/* Weights and packed activations that end at an unreadable page. */
static void products_read_nothing_behind(void **state)
{
    enum { IN = 144, OUT = 48, TOKENS = 5 };
    static int8_t at_end[IN * OUT];
    (void)state;
    fill(&patterns[0], IN, OUT, TOKENS);
    expect(IN, OUT, TOKENS);
    struct model_linear linear = linear_of(IN, OUT, 0);
    memcpy(at_end, linear.panels, sizeof at_end);
    for (unsigned v = 0; v < encode_variant_count; v++) {
        const struct encode_products *products = encode_variants[v].products;
        if (!encode_variants[v].usable(cpu_features())) continue;
        pack(products, IN, TOKENS, packed_room);
        linear.panels = (const int8_t *)guarded(span_of((const char *)at_end, sizeof at_end)).data;
        encode_multiply(products, &linear, packed_room, TOKENS, sums);
        assert_memory_equal(sums, expected, sizeof(int32_t) * OUT * TOKENS);
        linear.panels = at_end;
        const size_t size = (size_t)IN * TOKENS * products->packed_size;
        encode_multiply(products, &linear, guarded(span_of((const char *)packed_room, size)).data, TOKENS, sums);
        assert_memory_equal(sums, expected, sizeof(int32_t) * OUT * TOKENS);
    }
}

/* ---- float rows */

static double far(const float *got, const double *want, unsigned count)
{
    double most = 0;
    for (unsigned i = 0; i < count; i++) {
        assert_true(isfinite(got[i]));
        most = fmax(most, fabs((double)got[i] - want[i]));
    }
    return most;
}

static float between(float low, float high)
{
    return low + (high - low) * (float)test_random(&seed) / (float)(1 << 24);
}

static void gelu_is_accurate(const struct encode_variant *v)
{
    enum { COUNT = 4096 };
    static float x[COUNT];
    static double want[COUNT];
    double most = 0;
    for (unsigned part = 0; part < 32; part++) {
        for (unsigned i = 0; i < COUNT; i++) {
            x[i] = (float)(part * COUNT + i) / 4096 - 16 + between(0, 1.0f / 4096);
            want[i] = 0.5 * x[i] * (1 + erf(x[i] / sqrt(2)));
        }
        v->math->gelu(x, COUNT);
        most = fmax(most, far(x, want, COUNT));
    }
    print_message("# %s: GELU off by %.2g at most\n", v->name, most);
    assert_true(most < 3e-6);
    x[0] = 1e30f, x[1] = -1e30f, x[2] = 0;
    v->math->gelu(x, 16);
    assert_true(x[0] == 1e30f && x[1] == 0 && x[2] == 0);
}

static void quantise_keeps_the_range(const struct encode_variant *v)
{
    static float room[IN_MAX + 1];
    float *x = room + 1;
    static uint8_t q[IN_MAX];
    for (unsigned i = 0; i < IN_MAX; i++) x[i] = between(-0.25f, 3.0f);
    x[7] = -0.5f, x[IN_MAX - 3] = 4.0f;
    struct encode_range range = v->math->quantise(x, IN_MAX, q);
    assert_true(range.low == -0.5f && fabsf(range.step - 4.5f / 255) < 1e-9f);
    assert_int_equal(q[7], 0);
    assert_int_equal(q[IN_MAX - 3], 255);
    for (unsigned i = 0; i < IN_MAX; i++)
        assert_true(fabsf(range.low + range.step * q[i] - x[i]) < range.step * 0.5001f);
    for (unsigned i = 0; i < 32; i++) x[i] = 2.5f; /* one value only */
    range = v->math->quantise(x, 32, q);
    assert_true(range.low == 2.5f && range.step == 0.0f);
    for (unsigned i = 0; i < 32; i++) assert_int_equal(q[i], 0);
}

static void rows_are_scaled(const struct encode_variant *v)
{
    enum { COUNT = 48 };
    float scale[COUNT], bias[COUNT], add[COUNT], y[COUNT];
    int32_t sum[COUNT], row_sum[COUNT];
    double want[COUNT], with[COUNT];
    const struct encode_range range = {.low = -1.5f, .step = 0.0125f};
    for (unsigned i = 0; i < COUNT; i++) {
        scale[i] = between(0.001f, 0.01f), bias[i] = between(-1, 1), add[i] = between(-2, 2);
        sum[i] = test_random(&seed) % 2000000 - 1000000, row_sum[i] = test_random(&seed) % 20000 - 10000;
        want[i] = bias[i] + (double)scale[i] * ((double)range.step * sum[i] + (double)range.low * row_sum[i]);
        with[i] = want[i] + add[i];
    }
    const struct model_linear linear = {.out = COUNT, .scale = scale, .bias = bias, .row_sum = row_sum};
    v->math->unscale(&linear, sum, range, NULL, y);
    assert_true(far(y, want, COUNT) < 1e-4);
    v->math->unscale(&linear, sum, range, add, add);
    assert_true(far(add, with, COUNT) < 1e-4);
}

static void norm_and_embed_agree(const struct encode_variant *v)
{
    enum { COUNT = 384 };
    float x[COUNT], gain[COUNT], bias[COUNT];
    int8_t word[COUNT];
    double want[COUNT], mean = 0, variance = 0;
    for (unsigned i = 0; i < COUNT; i++) {
        word[i] = (int8_t)(test_random(&seed) % 255 - 127);
        gain[i] = between(0.5f, 2), bias[i] = between(-5, 5);
        want[i] = word[i] * 0.02 + bias[i];
        mean += want[i] / COUNT;
    }
    v->math->embed(word, 0.02f, bias, COUNT, x);
    assert_true(far(x, want, COUNT) < 1e-5);
    for (unsigned i = 0; i < COUNT; i++) variance += (want[i] - mean) * (want[i] - mean) / COUNT;
    for (unsigned i = 0; i < COUNT; i++) want[i] = (want[i] - mean) / sqrt(variance + 1e-12) * gain[i] + bias[i];
    v->math->norm(x, COUNT, &(struct model_norm){gain, bias}, 1e-12f);
    assert_true(far(x, want, COUNT) < 1e-5);
    memset(x, 0, sizeof x); /* no variance: the bias alone */
    v->math->norm(x, COUNT, &(struct model_norm){gain, bias}, 1e-12f);
    for (unsigned i = 0; i < COUNT; i++) assert_true(x[i] == bias[i]);
}

enum { HEAD = 32, STRIDE = 3 * HEAD + 5, LENGTH_MAX = 67 };
static float qkv[LENGTH_MAX * STRIDE], keys[HEAD * 80], values[LENGTH_MAX * HEAD], scores[ENCODE_ROWS * 80];
static double attended[LENGTH_MAX][HEAD];

static void attend_in_double(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        double score[LENGTH_MAX], most = -1e9, total = 0;
        for (unsigned j = 0; j < count; j++) {
            score[j] = 0;
            for (unsigned d = 0; d < HEAD; d++) score[j] += qkv[i * STRIDE + d] * (double)qkv[j * STRIDE + HEAD + d];
            score[j] /= sqrt(HEAD);
            most = fmax(most, score[j]);
        }
        for (unsigned j = 0; j < count; j++) total += score[j] = exp(score[j] - most);
        for (unsigned d = 0; d < HEAD; d++) {
            attended[i][d] = 0;
            for (unsigned j = 0; j < count; j++) attended[i][d] += score[j] / total * qkv[j * STRIDE + 2 * HEAD + d];
        }
    }
}

static void attention_agrees(const struct encode_variant *v, unsigned count, float spread)
{
    for (unsigned i = 0; i < LENGTH_MAX * STRIDE; i++) qkv[i] = between(-spread, spread);
    attend_in_double(count);
    const float behind = qkv[count * STRIDE - STRIDE + HEAD];
    struct encode_head head = {qkv, qkv + HEAD, qkv + 2 * HEAD, STRIDE, count, HEAD, keys, values, scores};
    v->math->attend(&head);
    for (unsigned i = 0; i < count; i++) assert_true(far(qkv + i * STRIDE, attended[i], HEAD) < 1e-5 * spread * spread);
    assert_true(qkv[count * STRIDE - STRIDE + HEAD] == behind);
}

static void pool_agrees(const struct encode_variant *v)
{
    enum { COUNT = 384, ROWS = 7 };
    static float x[ROWS * COUNT], vector[COUNT];
    double want[COUNT], length = 0;
    for (unsigned i = 0; i < ROWS * COUNT; i++) x[i] = between(-1, 2);
    for (unsigned i = 0; i < COUNT; i++) {
        want[i] = 0;
        for (unsigned r = 0; r < ROWS; r++) want[i] += x[r * COUNT + i];
        length += want[i] * want[i];
    }
    for (unsigned i = 0; i < COUNT; i++) want[i] /= sqrt(length);
    v->math->pool(x, ROWS, COUNT, vector);
    assert_true(far(vector, want, COUNT) < 1e-6);
}

static void float_rows_agree(void **state)
{
    (void)state;
    for (unsigned i = 0; i < encode_variant_count; i++) {
        const struct encode_variant *v = &encode_variants[i];
        if (!v->usable(cpu_features())) continue;
        gelu_is_accurate(v);
        quantise_keeps_the_range(v);
        rows_are_scaled(v);
        norm_and_embed_agree(v);
        pool_agrees(v);
        for (unsigned count = 1; count <= LENGTH_MAX; count += count < 20 ? 1 : 47)
            for (float spread = 0.5f; spread < 10; spread *= 4) attention_agrees(v, count, spread);
    }
}

static void select_takes_the_best(void **state)
{
    struct cpu_features none = {.cores = 1};
    (void)state;
    encode_select(NULL);
    assert_string_equal(encode_variant(), "scalar");
    encode_select(cpu_features());
    for (unsigned i = 0; i < encode_variant_count; i++)
        if (encode_variants[i].usable(cpu_features())) {
            assert_string_equal(encode_variant(), encode_variants[i].name);
            break;
        }
    encode_select(&none);
    assert_string_equal(encode_variant(), "scalar");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_equal_the_definition),
        cmocka_unit_test(products_read_nothing_behind),
        cmocka_unit_test(float_rows_agree),
        cmocka_unit_test(select_takes_the_best),
    };
    cpu_detect();
    for (unsigned i = 0; i < encode_variant_count; i++)
        print_message("# encode %s: %s\n", encode_variants[i].name,
                      encode_variants[i].usable(cpu_features()) ? "runs" : "skipped, this machine lacks it");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
