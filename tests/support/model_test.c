/* SPDX-License-Identifier: Apache-2.0 */
/* tests/support/model_test.c — see model_test.h. */
#include "tests/support/model_test.h"

#include <stdio.h>
#include <stdlib.h>

#include "app/model/safetensors.h"
#include "cache/model_layout.h"
#include "platform/check.h"
#include "platform/rc.h"
#include "platform/text.h"

enum { HEADER_ROOM = 16 << 10, WEIGHTS_MAX = 512 << 10, FILE_MAX = 512 << 10, SCRATCH = 256 << 10 };

static _Alignas(64) char weights[8 + HEADER_ROOM + WEIGHTS_MAX];
static char vocabulary[4096];
static size_t weights_size, vocabulary_size;
static unsigned pieces;

static const char config[] =
    "{\"model_type\": \"bert\", \"hidden_act\": \"gelu\", \"hidden_size\": 32, \"num_attention_heads\": 2,\n"
    " \"num_hidden_layers\": 2, \"intermediate_size\": 48, \"max_position_embeddings\": 256, \"layer_norm_eps\": "
    "1e-12}\n";

static const char more_pieces[] =
    "hello\nhell\n##lo\n##llo\nwor\n##ld\nwant\n##want\n##ed\nun\nrunn\n##ing\ncafe\nstraße\n"
    "σ\nς\nя\n漢\n字\n##漢\nx\u0323\n,\n.\n?\n!\n-\n'\n¡\n—\n~\n";

static void make_vocabulary(void)
{
    struct text out = text_on(vocabulary, sizeof vocabulary);
    text_put_text(&out, "[PAD]\n[UNK]\n[CLS]\n[SEP]\n");
    for (char c = '0'; c <= 'z'; c = c == '9' ? 'a' : (char)(c + 1)) text_format(&out, "%c\n##%c\n", c, c);
    text_put_text(&out, more_pieces);
    CHECK(!out.truncated);
    vocabulary_size = out.size;
    pieces = 0;
    for (size_t i = 0; i < out.size; i++) pieces += vocabulary[i] == '\n';
}

/* ---- model.safetensors */

struct making {
    struct text header;
    uint32_t seed;
    float *values;
    size_t count;
};

static float next_value(struct making *m)
{
    m->seed = m->seed * 1664525 + 1013904223;
    return (float)((int32_t)m->seed >> 8) / (float)(1 << 24);
}

static void tensor(struct making *m, const char *prefix, const char *name, unsigned rows, unsigned columns)
{
    size_t count = (size_t)rows * (columns ? columns : 1), begin = m->count * sizeof(float);
    CHECK((m->count + count) * sizeof(float) <= WEIGHTS_MAX);
    for (size_t i = 0; i < count; i++) m->values[m->count++] = next_value(m);
    text_format(&m->header, ",\"%s%s\":{\"dtype\":\"F32\",\"shape\":[%u", prefix, name, rows);
    if (columns) text_format(&m->header, ",%u", columns);
    text_format(&m->header, "],\"data_offsets\":[%zu,%zu]}", begin, m->count * sizeof(float));
}

static void linear(struct making *m, const char *prefix, const char *name, unsigned rows, unsigned columns)
{
    char full[128];
    snprintf(full, sizeof full, "%s%s", prefix, name);
    tensor(m, full, ".weight", rows, columns);
    tensor(m, full, ".bias", rows, 0);
}

static void layer(struct making *m, unsigned index)
{
    enum { D = MODEL_TEST_DIM, H = MODEL_TEST_HIDDEN };
    char prefix[64];
    snprintf(prefix, sizeof prefix, "encoder.layer.%u.", index);
    linear(m, prefix, "attention.self.query", D, D);
    linear(m, prefix, "attention.self.key", D, D);
    linear(m, prefix, "attention.self.value", D, D);
    linear(m, prefix, "attention.output.dense", D, D);
    tensor(m, prefix, "attention.output.LayerNorm.weight", D, 0);
    tensor(m, prefix, "attention.output.LayerNorm.bias", D, 0);
    linear(m, prefix, "intermediate.dense", H, D);
    linear(m, prefix, "output.dense", D, H);
    tensor(m, prefix, "output.LayerNorm.weight", D, 0);
    tensor(m, prefix, "output.LayerNorm.bias", D, 0);
}

/* The header is filled up with blanks, so that the data begins where it always does. */
static void make_weights(void)
{
    struct making m = {.header = text_on(weights + 8, HEADER_ROOM), .seed = 7};
    m.values = (float *)(void *)(weights + 8 + HEADER_ROOM);
    text_put_text(&m.header, "{\"__metadata__\":{\"format\":\"pt\"}");
    tensor(&m, "embeddings.", "word_embeddings.weight", pieces, MODEL_TEST_DIM);
    tensor(&m, "embeddings.", "position_embeddings.weight", MODEL_TEST_POSITIONS, MODEL_TEST_DIM);
    tensor(&m, "embeddings.", "token_type_embeddings.weight", 2, MODEL_TEST_DIM);
    tensor(&m, "embeddings.", "LayerNorm.weight", MODEL_TEST_DIM, 0);
    tensor(&m, "embeddings.", "LayerNorm.bias", MODEL_TEST_DIM, 0);
    for (unsigned i = 0; i < MODEL_TEST_LAYERS; i++) layer(&m, i);
    text_put_char(&m.header, '}');
    CHECK(!m.header.truncated);
    memset(weights + 8 + m.header.size, ' ', HEADER_ROOM - m.header.size);
    uint64_t size = HEADER_ROOM;
    memcpy(weights, &size, sizeof size);
    weights_size = 8 + HEADER_ROOM + m.count * sizeof(float);
}

struct model_source model_test_source(void)
{
    make_vocabulary();
    make_weights();
    return (struct model_source){.weights = span_of(weights, weights_size),
                                 .vocabulary = span_of(vocabulary, vocabulary_size),
                                 .config = SPAN(config)};
}

struct span model_test_file(void)
{
    static _Alignas(64) char file[FILE_MAX], kept[FILE_MAX];
    static size_t size;
    if (size == 0) {
        struct span made;
        struct model_source source = model_test_source();
        const struct model_digests digests = {{1}, {2}};
        CHECK(model_import_bytes(&source, &digests, "nobody's", &made) == RC_OK && made.size <= FILE_MAX);
        memcpy(kept, made.data, made.size);
        size = made.size;
    }
    memcpy(file, kept, size);
    return span_of(file, size);
}

void model_test_open(struct model *model)
{
    struct span file = model_test_file();
    CHECK(model_open_bytes(file.data, file.size, model) == RC_OK);
}

unsigned model_test_id(const char *piece)
{
    struct span text = span_of(vocabulary, vocabulary_size), line;
    for (unsigned id = 0; text.size > 0; id++) {
        text = span_cut(text, '\n', &line);
        if (span_equal(line, span_text(piece))) return id;
    }
    check_failed("no such piece", piece, 0);
}

const float *model_test_tensor(const char *name, unsigned count)
{
    static _Alignas(16) char memory[SCRATCH];
    struct json_scratch scratch = {memory, sizeof memory};
    struct safetensors tensors;
    int64_t begin, end;
    CHECK(safetensors_open(span_of(weights, weights_size), &scratch, &tensors) == RC_OK);
    const struct json_value *offsets = json_get(json_get(tensors.header, name), "data_offsets");
    CHECK(json_i64(json_at(offsets, 0), &begin) == RC_OK && json_i64(json_at(offsets, 1), &end) == RC_OK);
    CHECK((size_t)(end - begin) == count * sizeof(float));
    return (const float *)(const void *)(tensors.data.data + begin);
}

bool model_test_real(struct model *model)
{
    const char *path = getenv("LARDER_MODEL");
    if (!path) path = MODEL_DEFAULT_PATH;
    int rc = model_open(path, model);
    if (rc != RC_OK) printf("skipped: %s: %s (`make model` obtains the local model)\n", path, rc_name(rc));
    return rc == RC_OK;
}
