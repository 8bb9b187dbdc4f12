/* SPDX-License-Identifier: Apache-2.0 */
/* app/model/import.c — see import.h. */
#include "app/model/import.h"

#include <stdio.h>

#include "app/model/centre.h"
#include "app/model/quantise.h"
#include "app/model/safetensors.h"
#include "app/model/vocabulary.h"
#include "platform/compress.h"
#include "platform/file.h"
#include "platform/hash.h"
#include "platform/plan.h"
#include "platform/rc.h"

enum {
    SCRATCH_SIZE = 2 << 20,
    NAME_SIZE = 128,
    TAG_DIGEST = 8, /* bytes of a digest in the tag */
    TOKEN_TYPES = 2,
};

struct import {
    struct model model; /* points into the image */
    struct model_sections sections;
    struct safetensors tensors;
    unsigned char *image;
};

static _Alignas(16) unsigned char scratch_memory[SCRATCH_SIZE];

static int complain(const char *what, const char *which, int rc)
{
    fprintf(stderr, "larder model: error: %s%s%s (%s)\n", what, which ? ": " : "", which ? which : "", rc_name(rc));
    return rc;
}

/* Where the model's layout puts something, to write to. */
static void *place(const struct import *i, const void *in_model)
{
    return i->image + ((const unsigned char *)in_model - i->image);
}

/* ---- config.json */

static int read_number(const struct json_value *config, const char *name, unsigned *value)
{
    int64_t number;
    if (json_i64(json_get(config, name), &number) != RC_OK || number < 0 || number > UINT32_MAX)
        return complain("config.json does not say", name, RC_INVALID);
    *value = (unsigned)number;
    return RC_OK;
}

static int read_config(struct span text, struct model *model)
{
    struct json_scratch scratch = {scratch_memory, sizeof scratch_memory};
    const struct json_value *config;
    double epsilon;
    if (json_parse(&scratch, text, &config, NULL) != RC_OK)
        return complain("config.json is not JSON", NULL, RC_INVALID);
    if (!span_equal(json_string(json_get(config, "model_type")), SPAN("bert")) ||
        !span_equal(json_string(json_get(config, "hidden_act")), SPAN("gelu")))
        return complain("config.json is not of a BERT encoder with gelu", NULL, RC_UNSUPPORTED);
    int rc = read_number(config, "hidden_size", &model->dim);
    if (rc == RC_OK) rc = read_number(config, "num_attention_heads", &model->heads);
    if (rc == RC_OK) rc = read_number(config, "num_hidden_layers", &model->layer_count);
    if (rc == RC_OK) rc = read_number(config, "intermediate_size", &model->hidden);
    if (rc == RC_OK) rc = read_number(config, "max_position_embeddings", &model->positions);
    if (rc != RC_OK) return rc;
    if (json_double(json_get(config, "layer_norm_eps"), &epsilon) != RC_OK)
        return complain("config.json does not say", "layer_norm_eps", RC_INVALID);
    model->norm_epsilon = (float)epsilon;
    return RC_OK;
}

/* ---- weights */

static int find(const struct import *i, const char *prefix, const char *name, uint64_t rows, uint64_t columns,
                const float **values)
{
    char full[NAME_SIZE];
    snprintf(full, sizeof full, "%s%s", prefix, name);
    int rc = safetensors_find(&i->tensors, full, rows, columns, values);
    return rc == RC_OK ? rc : complain("model.safetensors has no such tensor, type or shape", full, rc);
}

static int take_vector(const struct import *i, const char *prefix, const char *name, const float *to)
{
    const float *values;
    int rc = find(i, prefix, name, i->model.dim, 0, &values);
    if (rc == RC_OK && quantise_copy(values, i->model.dim, place(i, to)) != RC_OK)
        rc = complain("not a finite number in", name, RC_INVALID);
    return rc;
}

static int take_norm(const struct import *i, const char *prefix, const struct model_norm *norm)
{
    int rc = take_vector(i, prefix, "LayerNorm.weight", norm->gain);
    return rc == RC_OK ? take_vector(i, prefix, "LayerNorm.bias", norm->bias) : rc;
}

static int take_linear(const struct import *i, const char *prefix, unsigned rows, unsigned first,
                       const struct model_linear *linear)
{
    const float *weights, *bias;
    const struct quantise_linear out = {linear->in, place(i, linear->panels), place(i, linear->scale),
                                        place(i, linear->row_sum), place(i, linear->bias)};
    int rc = find(i, prefix, "weight", rows, linear->in, &weights);
    if (rc == RC_OK) rc = find(i, prefix, "bias", rows, 0, &bias);
    if (rc != RC_OK) return rc;
    rc = quantise_panels(weights, bias, rows, first, &out);
    return rc == RC_OK ? rc : complain("not a finite number in", prefix, rc);
}

static int take_layer(const struct import *i, unsigned index)
{
    static const char *const projections[] = {"query", "key", "value"};
    const struct model_layer *layer = &i->model.layers[index];
    unsigned dim = i->model.dim;
    char prefix[NAME_SIZE];
    int rc = RC_OK;
    for (unsigned p = 0; rc == RC_OK && p < 3; p++) {
        snprintf(prefix, sizeof prefix, "encoder.layer.%u.attention.self.%s.", index, projections[p]);
        rc = take_linear(i, prefix, dim, p * dim, &layer->attention_in);
    }
    snprintf(prefix, sizeof prefix, "encoder.layer.%u.attention.output.dense.", index);
    if (rc == RC_OK) rc = take_linear(i, prefix, dim, 0, &layer->attention_out);
    snprintf(prefix, sizeof prefix, "encoder.layer.%u.attention.output.", index);
    if (rc == RC_OK) rc = take_norm(i, prefix, &layer->attention_norm);
    snprintf(prefix, sizeof prefix, "encoder.layer.%u.intermediate.dense.", index);
    if (rc == RC_OK) rc = take_linear(i, prefix, i->model.hidden, 0, &layer->up);
    snprintf(prefix, sizeof prefix, "encoder.layer.%u.output.dense.", index);
    if (rc == RC_OK) rc = take_linear(i, prefix, dim, 0, &layer->down);
    snprintf(prefix, sizeof prefix, "encoder.layer.%u.output.", index);
    return rc == RC_OK ? take_norm(i, prefix, &layer->down_norm) : rc;
}

/* One text has one token type only, so its vector is added to every position here. */
static int take_positions(const struct import *i)
{
    const float *positions, *types;
    unsigned dim = i->model.dim;
    float *out = place(i, i->model.position);
    int rc = find(i, "embeddings.", "position_embeddings.weight", i->model.positions, dim, &positions);
    if (rc == RC_OK) rc = find(i, "embeddings.", "token_type_embeddings.weight", TOKEN_TYPES, dim, &types);
    if (rc != RC_OK) return rc;
    if (quantise_copy(positions, i->model.positions * dim, out) != RC_OK)
        return complain("not a finite number in", "position_embeddings", RC_INVALID);
    for (unsigned p = 0; p < i->model.positions; p++)
        for (unsigned c = 0; c < dim; c++) out[(size_t)p * dim + c] += types[c];
    return RC_OK;
}

static int take_embeddings(const struct import *i)
{
    const float *words;
    int rc = find(i, "embeddings.", "word_embeddings.weight", i->model.vocabulary, i->model.dim, &words);
    if (rc != RC_OK) return rc;
    rc =
        quantise_rows(words, i->model.vocabulary, i->model.dim, place(i, i->model.word), place(i, i->model.word_scale));
    if (rc != RC_OK) return complain("not a finite number in", "word_embeddings", rc);
    rc = take_positions(i);
    return rc == RC_OK ? take_norm(i, "embeddings.", &i->model.word_norm) : rc;
}

/* ---- the file */

static int take_image(struct import *i)
{
    void *region;
    int rc = model_lay_out(&i->model, NULL, &i->sections);
    if (rc != RC_OK) return complain("the model has a shape that is not supported", NULL, rc);
    rc = plan_take("model file", 1, (size_t)i->sections.file_size, PLAN_LAZY, 0, NULL, &region);
    if (rc != RC_OK) return complain("there is not enough memory", NULL, rc);
    i->image = region;
    return model_lay_out(&i->model, i->image, &i->sections);
}

/* Two files whose vectors must not meet differ in it: scheme, weights, vocabulary or centre. */
static void make_tag(struct import *i, const struct model_digests *digests)
{
    struct sha256 h;
    unsigned char digest[SHA256_SIZE];
    char hex[2 * TAG_DIGEST];
    sha256_start(&h);
    sha256_add(&h, digests, sizeof *digests);
    sha256_add(&h, i->model.centre, i->model.dim * sizeof(float));
    sha256_finish(&h, digest);
    hex_encode(digest, TAG_DIGEST, hex);
    snprintf(i->model.tag, sizeof i->model.tag, "minilm-int8/%d/%.*s", MODEL_VERSION, (int)sizeof hex, hex);
}

static void write_table(struct import *i)
{
    for (unsigned s = 0; s < i->sections.count; s++) {
        struct model_section *section = &i->sections.at[s];
        section->crc = crc32c(0, i->image + section->offset, (size_t)section->size);
    }
    memcpy(i->image + MODEL_TABLE_AT, i->sections.at, i->sections.count * sizeof i->sections.at[0]);
}

static void write_header(struct import *i)
{
    const struct model *m = &i->model;
    struct model_header h = {.version = MODEL_VERSION,
                             .section_count = i->sections.count,
                             .file_size = i->sections.file_size,
                             .dim = m->dim,
                             .heads = m->heads,
                             .layer_count = m->layer_count,
                             .hidden = m->hidden,
                             .vocabulary = m->vocabulary,
                             .positions = m->positions,
                             .norm_epsilon = m->norm_epsilon,
                             .vocabulary_hash_bits = m->vocabulary_hash_bits,
                             .piece_size_max = m->piece_size_max,
                             .vocabulary_text_size = (uint32_t)m->vocabulary_text.size,
                             .id_cls = m->id_cls,
                             .id_sep = m->id_sep,
                             .id_unk = m->id_unk};
    memcpy(h.magic, MODEL_MAGIC, sizeof h.magic);
    memcpy(h.tag, m->tag, sizeof h.tag);
    memcpy(h.licence, m->licence, sizeof h.licence);
    h.table_crc = crc32c(0, i->image + MODEL_TABLE_AT, i->sections.count * sizeof i->sections.at[0]);
    h.crc = crc32c(0, &h, sizeof h - sizeof h.crc);
    memcpy(i->image, &h, sizeof h);
}

static int fill(struct import *i, const struct model_source *source)
{
    fprintf(stderr, "larder model: %u layers of %u dimensions, %u pieces: to int8\n", i->model.layer_count,
            i->model.dim, i->model.vocabulary);
    int rc = vocabulary_write(source->vocabulary, &i->model, place(i, i->model.vocabulary_text.data),
                              place(i, i->model.vocabulary_hash));
    if (rc != RC_OK) return complain("vocab.txt has a piece twice", NULL, rc);
    rc = take_embeddings(i);
    for (unsigned l = 0; rc == RC_OK && l < i->model.layer_count; l++) rc = take_layer(i, l);
    return rc;
}

int model_import_bytes(const struct model_source *source, const struct model_digests *digests, const char *licence,
                       struct span *file)
{
    static struct import import;
    struct json_scratch scratch = {scratch_memory, sizeof scratch_memory};
    import = (struct import){0};
    int rc = read_config(source->config, &import.model);
    if (rc != RC_OK) return rc;
    rc = vocabulary_measure(source->vocabulary, &import.model);
    if (rc != RC_OK) return complain("vocab.txt is not one of an uncased BERT", NULL, rc);
    rc = safetensors_open(source->weights, &scratch, &import.tensors);
    if (rc != RC_OK) return complain("model.safetensors is not a safetensors file", NULL, rc);
    rc = take_image(&import);
    if (rc == RC_OK) rc = fill(&import, source);
    if (rc != RC_OK) return rc;
    rc = centre_make(&import.model, place(&import, import.model.centre));
    if (rc != RC_OK) return complain("there is not enough memory for the encoder", NULL, rc);
    snprintf(import.model.licence, sizeof import.model.licence, "%s", licence);
    make_tag(&import, digests);
    write_table(&import);
    write_header(&import);
    *file = span_of((const char *)import.image, (size_t)import.sections.file_size);
    return RC_OK;
}

/* ---- the command */

static int make_folder_of(const char *path)
{
    char folder[FILE_PATH_MAX];
    const char *slash = strrchr(path, '/');
    if (!slash || slash == path) return RC_OK;
    int size = snprintf(folder, sizeof folder, "%.*s", (int)(slash - path), path);
    return size < (int)sizeof folder ? file_make_folder(folder, 0755) : RC_TOO_LARGE;
}

static int write_file(const char *path, struct span file)
{
    struct model made;
    int rc = model_open_bytes(file.data, file.size, &made);
    if (rc == RC_OK) rc = model_check(&made);
    if (rc != RC_OK) return complain("the file that was made cannot be read back", path, rc);
    rc = make_folder_of(path);
    if (rc == RC_OK) rc = file_replace(path, file.data, file.size, 0644);
    if (rc != RC_OK) return complain("cannot write", path, rc);
    fprintf(stderr, "larder model: %s written, %zu bytes, %s\nlarder model: licences: %s\n", path, file.size, made.tag,
            made.licence);
    return RC_OK;
}

int model_import(const struct model_import *import)
{
    struct model_source source;
    struct model_digests digests;
    struct span file;
    int rc = crypto_start();
    if (rc == RC_OK) rc = compress_reserve(SCRATCH_SIZE);
    if (rc != RC_OK) return complain("cannot start", NULL, rc);
    rc = model_source_open(import->source, &source);
    if (rc != RC_OK) return rc;
    model_source_digests(&source, &digests);
    bool known = model_source_known(&digests, !import->any);
    if (!known && !import->any) {
        fprintf(stderr, "larder model: --any imports it nevertheless, under a tag of its own\n");
        return RC_DENIED;
    }
    rc = model_import_bytes(&source, &digests,
                            known ? "weights Apache-2.0, packaging MIT" : "see the model's own files", &file);
    return rc == RC_OK ? write_file(import->output, file) : rc;
}
