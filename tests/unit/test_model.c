/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_model.c — an .lmodel as the importer makes it, and every way in which it can be damaged. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "cache/model_layout.h"
#include "platform/file.h"
#include "platform/hash.h"
#include "platform/rc.h"
#include "tests/support/guard_page.h"
#include "tests/support/model_test.h"

enum { D = MODEL_TEST_DIM, H = MODEL_TEST_HIDDEN, SECTIONS = 8 + 2 * MODEL_SECTIONS_EACH };

static struct model_header *header_of(struct span file)
{
    return (struct model_header *)(void *)(uintptr_t)file.data;
}

static void seal(struct span file)
{
    struct model_header *h = header_of(file);
    h->crc = crc32c(0, h, sizeof *h - sizeof h->crc);
}

static int opens(struct span file)
{
    struct model m;
    return model_open_bytes(file.data, file.size, &m);
}

/* ---- what the importer wrote */

static int8_t panel_value(const struct model_linear *l, unsigned row, unsigned column)
{
    return l->panels[(((size_t)(row / 16) * (l->in / 4) + column / 4) * 16 + row % 16) * 4 + column % 4];
}

static void assert_linear(const struct model_linear *l, unsigned first, const char *name, unsigned rows, unsigned in)
{
    char full[128];
    snprintf(full, sizeof full, "%s.weight", name);
    const float *weights = model_test_tensor(full, rows * in);
    snprintf(full, sizeof full, "%s.bias", name);
    const float *bias = model_test_tensor(full, rows);
    assert_int_equal(l->in, in);
    for (unsigned r = 0; r < rows; r++) {
        float most = 0;
        int32_t sum = 0;
        for (unsigned c = 0; c < in; c++) most = fmaxf(most, fabsf(weights[r * in + c]));
        assert_true(l->scale[first + r] == most / 127);
        for (unsigned c = 0; c < in; c++) {
            int q = (int)lrintf(weights[r * in + c] / (most / 127));
            assert_int_equal(panel_value(l, first + r, c), q);
            sum += q;
        }
        assert_int_equal(l->row_sum[first + r], sum);
        assert_true(l->bias[first + r] == bias[r]);
    }
}

static void assert_norm(const struct model_norm *norm, const char *name)
{
    char full[128];
    snprintf(full, sizeof full, "%s.weight", name);
    assert_memory_equal(norm->gain, model_test_tensor(full, D), D * sizeof(float));
    snprintf(full, sizeof full, "%s.bias", name);
    assert_memory_equal(norm->bias, model_test_tensor(full, D), D * sizeof(float));
}

static void test_the_importer_writes_what_the_header_promises(void **state)
{
    struct model m;
    (void)state;
    model_test_open(&m);
    assert_int_equal(model_check(&m), RC_OK);
    assert_int_equal(m.dim, D);
    assert_int_equal(m.layer_count, 2);
    assert_int_equal(m.layers[0].attention_in.out, 3 * D);
    assert_int_equal(m.layers[1].up.out, H);
    assert_int_equal(m.id_cls, model_test_id("[CLS]"));
    assert_int_equal(m.id_sep, model_test_id("[SEP]"));
    assert_int_equal(m.id_unk, model_test_id("[UNK]"));
    assert_int_equal(m.piece_size_max, strlen("straße"));
    assert_string_equal(m.licence, "nobody's");
    assert_int_equal(strncmp(m.tag, "minilm-int8/1/", 14), 0);
    assert_int_equal(strlen(m.tag), 14 + 16);
    const void *aligned[] = {m.word, m.word_scale, m.position, m.layers[1].down.panels, m.centre, m.vocabulary_hash};
    for (unsigned i = 0; i < sizeof aligned / sizeof aligned[0]; i++) assert_int_equal((uintptr_t)aligned[i] % 64, 0);
}

static void test_every_weight_is_where_it_belongs(void **state)
{
    static const char *const projections[] = {"query", "key", "value"};
    struct model m;
    char name[96];
    (void)state;
    model_test_open(&m);
    assert_norm(&m.word_norm, "embeddings.LayerNorm");
    for (unsigned i = 0; i < m.layer_count; i++) {
        for (unsigned p = 0; p < 3; p++) {
            snprintf(name, sizeof name, "encoder.layer.%u.attention.self.%s", i, projections[p]);
            assert_linear(&m.layers[i].attention_in, p * D, name, D, D);
        }
        snprintf(name, sizeof name, "encoder.layer.%u.attention.output.dense", i);
        assert_linear(&m.layers[i].attention_out, 0, name, D, D);
        snprintf(name, sizeof name, "encoder.layer.%u.intermediate.dense", i);
        assert_linear(&m.layers[i].up, 0, name, H, D);
        snprintf(name, sizeof name, "encoder.layer.%u.output.dense", i);
        assert_linear(&m.layers[i].down, 0, name, D, H);
        snprintf(name, sizeof name, "encoder.layer.%u.attention.output.LayerNorm", i);
        assert_norm(&m.layers[i].attention_norm, name);
        snprintf(name, sizeof name, "encoder.layer.%u.output.LayerNorm", i);
        assert_norm(&m.layers[i].down_norm, name);
    }
}

static void test_embeddings(void **state)
{
    struct model m;
    (void)state;
    model_test_open(&m);
    const float *words = model_test_tensor("embeddings.word_embeddings.weight", m.vocabulary * D);
    for (unsigned r = 0; r < m.vocabulary; r++)
        for (unsigned c = 0; c < D; c++)
            assert_int_equal(m.word[r * D + c], lrintf(words[r * D + c] / m.word_scale[r]));
    const float *positions = model_test_tensor("embeddings.position_embeddings.weight", MODEL_TEST_POSITIONS * D);
    const float *types = model_test_tensor("embeddings.token_type_embeddings.weight", 2 * D);
    for (unsigned i = 0; i < MODEL_TEST_POSITIONS * D; i++) assert_true(m.position[i] == positions[i] + types[i % D]);
    float length = 0;
    for (unsigned c = 0; c < D; c++) {
        length += m.centre[c] * m.centre[c];
        assert_true(m.centre[c] * 4096 == rintf(m.centre[c] * 4096));
    }
    assert_true(length > 0.01F && length <= 1.01F);
}

static void test_every_piece_is_found_and_nothing_else(void **state)
{
    struct model m;
    unsigned id = 0;
    (void)state;
    model_test_open(&m);
    for (struct span text = m.vocabulary_text, line; text.size > 0; id++) {
        text = span_cut(text, '\n', &line);
        uint32_t hash = model_piece_hash_add(model_piece_hash_start(), line.data, line.size);
        assert_int_equal(model_piece_find(&m, line, model_piece_hash_end(hash)), id);
        struct span longer = span_of(line.data, line.size + 1);
        hash = model_piece_hash_add(hash, "\n", 1);
        assert_int_equal(model_piece_find(&m, longer, model_piece_hash_end(hash)), -1);
    }
    assert_int_equal(id, m.vocabulary);
}

/* ---- damage */

static void test_any_changed_byte_of_header_and_table_is_seen(void **state)
{
    (void)state;
    struct span file = model_test_file();
    char *bytes = (char *)(uintptr_t)file.data;
    size_t table_end = MODEL_TABLE_AT + SECTIONS * sizeof(struct model_section);
    for (size_t i = 0; i < table_end; i++) {
        if (i >= sizeof(struct model_header) && i < MODEL_TABLE_AT) continue;
        bytes[i] ^= 0x10;
        int rc = opens(file);
        assert_true(rc == RC_CORRUPT || (rc == RC_VERSION && i >= 8 && i < 12));
        bytes[i] ^= 0x10;
    }
    assert_int_equal(opens(file), RC_OK);
}

static void test_any_changed_section_is_seen_by_the_check(void **state)
{
    struct model m;
    (void)state;
    struct span file = model_test_file();
    char *bytes = (char *)(uintptr_t)file.data;
    const struct model_section *table = (const struct model_section *)(const void *)(bytes + MODEL_TABLE_AT);
    for (unsigned s = 0; s < SECTIONS; s++) {
        size_t last = table[s].offset + table[s].size - 1;
        bytes[last] ^= 1;
        assert_int_equal(model_open_bytes(file.data, file.size, &m), RC_OK);
        assert_int_equal(model_check(&m), RC_CORRUPT);
        bytes[last] ^= 1;
    }
    assert_int_equal(model_check(&m), RC_OK);
}

static void test_any_other_length_is_refused(void **state)
{
    (void)state;
    struct span file = model_test_file();
    for (size_t size = 0; size < file.size; size += size < 8192 ? 1 : 997)
        assert_int_equal(opens(guarded(span_of(file.data, size))), RC_CORRUPT);
    assert_int_equal(opens(guarded(file)), RC_OK);
}

static void set_and_expect(struct span file, uint32_t *field, uint32_t value, int rc)
{
    uint32_t before = *field;
    *field = value;
    seal(file);
    assert_int_equal(opens(file), rc);
    *field = before;
    seal(file);
    assert_int_equal(opens(file), RC_OK);
}

static void test_numbers_out_of_bounds_are_refused_though_the_crc_is_right(void **state)
{
    (void)state;
    struct span file = model_test_file();
    struct model_header *h = header_of(file);
    uint32_t *shape[] = {&h->dim, &h->heads, &h->layer_count, &h->hidden, &h->vocabulary, &h->positions};
    for (unsigned i = 0; i < sizeof shape / sizeof shape[0]; i++) {
        set_and_expect(file, shape[i], 0, RC_CORRUPT);
        set_and_expect(file, shape[i], UINT32_MAX, RC_CORRUPT);
        set_and_expect(file, shape[i], *shape[i] * 2, RC_CORRUPT);
        set_and_expect(file, shape[i], *shape[i] + 1, RC_CORRUPT);
    }
    set_and_expect(file, &h->version, 2, RC_VERSION);
    set_and_expect(file, &h->version, 0, RC_CORRUPT);
    set_and_expect(file, &h->section_count, SECTIONS - 1, RC_CORRUPT);
    set_and_expect(file, &h->vocabulary_hash_bits, 40, RC_CORRUPT);
    set_and_expect(file, &h->vocabulary_hash_bits, 4, RC_CORRUPT);
    set_and_expect(file, &h->vocabulary_text_size, 0, RC_CORRUPT);
    set_and_expect(file, &h->piece_size_max, 513, RC_CORRUPT);
    set_and_expect(file, &h->id_cls, h->vocabulary, RC_CORRUPT);
    set_and_expect(file, &h->id_sep, 65536, RC_CORRUPT);
    memset(h->tag, 'x', sizeof h->tag);
    seal(file);
    assert_int_equal(opens(file), RC_CORRUPT);
}

/* ---- files */

static void test_opening_files(void **state)
{
    char folder[] = "/tmp/larder-model-XXXXXX", path[64];
    struct model m;
    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/m.lmodel", folder);
    assert_int_equal(model_open(path, &m), RC_NOT_FOUND);
    assert_int_equal(model_open(folder, &m), RC_CORRUPT);
    assert_int_equal(file_replace(path, "", 0, 0600), RC_OK);
    assert_int_equal(model_open(path, &m), RC_CORRUPT);
    struct span file = model_test_file();
    assert_int_equal(file_replace(path, file.data, file.size, 0600), RC_OK);
    assert_int_equal(model_open(path, &m), RC_OK);
    assert_int_equal(model_check(&m), RC_OK);
    assert_int_equal(m.map_size, file.size);
    model_close(&m);
    assert_null(m.map);
    unlink(path);
    rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_importer_writes_what_the_header_promises),
        cmocka_unit_test(test_every_weight_is_where_it_belongs),
        cmocka_unit_test(test_embeddings),
        cmocka_unit_test(test_every_piece_is_found_and_nothing_else),
        cmocka_unit_test(test_any_changed_byte_of_header_and_table_is_seen),
        cmocka_unit_test(test_any_changed_section_is_seen_by_the_check),
        cmocka_unit_test(test_any_other_length_is_refused),
        cmocka_unit_test(test_numbers_out_of_bounds_are_refused_though_the_crc_is_right),
        cmocka_unit_test(test_opening_files),
    };
    return cmocka_run_group_tests_name("model", tests, NULL, NULL);
}
