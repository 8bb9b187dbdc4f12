/* SPDX-License-Identifier: Apache-2.0 */
/* cache/encode.c — the layers in their order (BERT, post-norm), over the rows of one variant. */
#include "cache/encode.h"

#include "cache/encode_kernels.h"
#include "platform/check.h"

enum { CHUNK = 32 /* tokens that are packed and multiplied at a time */ };

static const struct encode_products *products = &encode_products_scalar;
static const struct encode_math *math = &encode_math_scalar;
static const char *variant_name = "scalar";

void encode_select(const struct cpu_features *features)
{
    for (unsigned i = 0; i < encode_variant_count; i++) {
        const struct encode_variant *v = &encode_variants[i];
        if (!v->usable(features)) continue;
        products = v->products, math = v->math, variant_name = v->name;
        return;
    }
}

void encode_select_repeatable(const struct cpu_features *features)
{
    encode_select(features);
    math = &encode_math_scalar;
}

const char *encode_variant(void)
{
    return variant_name;
}

void encode_multiply(const struct encode_products *kernels, const struct model_linear *linear, const void *packed,
                     unsigned tokens, int32_t *sums)
{
    const unsigned panels = linear->out / ENCODE_PANEL_ROWS, step = kernels->panels_max;
    const unsigned blocks = (tokens + kernels->tokens_max - 1) / kernels->tokens_max;
    const unsigned char *rows = packed;
    const size_t row_size = (size_t)linear->in * kernels->packed_size;
    for (unsigned panel = 0, taken; panel < panels; panel += taken) {
        taken = panel + step <= panels ? step : 1;
        for (unsigned b = 0, t = 0, part; b < blocks; b++, t += part) {
            part = (tokens - t) / (blocks - b); /* blocks of nearly equal height: a last block of one token is slow */
            kernels->block(linear, panel, taken, rows + t * row_size, part, sums + (size_t)t * linear->out);
        }
    }
}

struct work {
    float *x;        /* tokens × dim */
    float *qkv;      /* tokens × 3 dim; the heads' results replace the queries */
    int32_t *sums;   /* CHUNK × the widest layer */
    uint8_t *packed; /* CHUNK × the widest input, as the variant packs it */
    float *row;      /* the widest layer */
    uint8_t *bytes;  /* the widest input */
    float *keys, *values, *scores;
    struct encode_range ranges[CHUNK];
};

static unsigned widest(const struct model *model)
{
    return model->hidden > 3 * model->dim ? model->hidden : 3 * model->dim;
}

static void *take(unsigned char *base, size_t *size, size_t bytes)
{
    void *part = base ? base + *size : NULL;
    *size += (bytes + MODEL_ALIGN - 1) / MODEL_ALIGN * MODEL_ALIGN;
    return part;
}

/* Cuts the workspace up, or only says its size when there is none. */
static size_t divide(const struct model *model, void *base, struct work *w)
{
    size_t size = 0;
    w->x = take(base, &size, sizeof(float) * MODEL_PIECES_MAX * model->dim);
    w->qkv = take(base, &size, sizeof(float) * MODEL_PIECES_MAX * 3 * model->dim);
    w->sums = take(base, &size, sizeof(int32_t) * CHUNK * widest(model));
    w->packed = take(base, &size, (size_t)ENCODE_PACKED_MAX * CHUNK * widest(model));
    w->row = take(base, &size, sizeof(float) * widest(model));
    w->bytes = take(base, &size, widest(model));
    w->keys = take(base, &size, sizeof(float) * MODEL_PIECES_MAX * (model->dim / model->heads));
    w->values = take(base, &size, sizeof(float) * MODEL_PIECES_MAX * (model->dim / model->heads));
    w->scores = take(base, &size, sizeof(float) * MODEL_PIECES_MAX * ENCODE_ROWS);
    return size;
}

size_t encode_work_size(const struct model *model)
{
    CHECK(model->heads > 0 && model->dim % model->heads == 0);
    CHECK(model->dim / model->heads % ENCODE_LANES_MAX == 0);
    CHECK(model->hidden % ENCODE_LANES_MAX == 0);
    struct work w;
    return divide(model, NULL, &w);
}

/* One row into the chunk's place `i`. */
static void put(struct work *w, const struct model_linear *linear, unsigned i, const float *x)
{
    w->ranges[i] = math->quantise(x, linear->in, w->bytes);
    products->pack(w->bytes, linear->in, w->packed + (size_t)i * linear->in * products->packed_size);
}

static unsigned chunk_of(unsigned tokens, unsigned at)
{
    return tokens - at < CHUNK ? tokens - at : CHUNK;
}

static void embed(const struct model *model, const uint16_t *ids, unsigned count, float *x)
{
    for (unsigned i = 0; i < count; i++, x += model->dim) {
        CHECK(ids[i] < model->vocabulary);
        math->embed(model->word + (size_t)ids[i] * model->dim, model->word_scale[ids[i]],
                    model->position + (size_t)i * model->dim, model->dim, x);
        math->norm(x, model->dim, &model->word_norm, model->norm_epsilon);
    }
}

static void query_key_value(const struct model *model, const struct model_linear *in, unsigned tokens, struct work *w)
{
    for (unsigned at = 0, count; at < tokens; at += count) {
        count = chunk_of(tokens, at);
        for (unsigned i = 0; i < count; i++) put(w, in, i, w->x + (size_t)(at + i) * model->dim);
        encode_multiply(products, in, w->packed, count, w->sums);
        for (unsigned i = 0; i < count; i++)
            math->unscale(in, w->sums + (size_t)i * in->out, w->ranges[i], NULL, w->qkv + (size_t)(at + i) * in->out);
    }
}

static void attend(const struct model *model, unsigned count, struct work *w)
{
    const unsigned width = model->dim / model->heads;
    for (unsigned h = 0; h < model->heads; h++) {
        float *q = w->qkv + (size_t)h * width;
        struct encode_head head = {.q = q,
                                   .k = q + model->dim,
                                   .v = q + 2 * (size_t)model->dim,
                                   .stride = 3 * (size_t)model->dim,
                                   .count = count,
                                   .width = width,
                                   .keys = w->keys,
                                   .values = w->values,
                                   .scores = w->scores};
        math->attend(&head);
    }
}

/* x ← norm(x + y) for the chunk's row `i`, y being the layer's output. */
static void add_norm(const struct model *model, const struct model_linear *linear, const struct model_norm *norm,
                     const struct work *w, unsigned i, float *x)
{
    math->unscale(linear, w->sums + (size_t)i * linear->out, w->ranges[i], x, x);
    math->norm(x, model->dim, norm, model->norm_epsilon);
}

static void attention_out(const struct model *model, const struct model_layer *layer, float *x, const float *heads,
                          unsigned count, struct work *w)
{
    const struct model_linear *out = &layer->attention_out;
    for (unsigned i = 0; i < count; i++) put(w, out, i, heads + (size_t)i * 3 * model->dim);
    encode_multiply(products, out, w->packed, count, w->sums);
    for (unsigned i = 0; i < count; i++) add_norm(model, out, &layer->attention_norm, w, i, x + (size_t)i * model->dim);
}

static void feed_forward(const struct model *model, const struct model_layer *layer, float *x, unsigned count,
                         struct work *w)
{
    const struct model_linear *up = &layer->up, *down = &layer->down;
    for (unsigned i = 0; i < count; i++) put(w, up, i, x + (size_t)i * model->dim);
    encode_multiply(products, up, w->packed, count, w->sums);
    for (unsigned i = 0; i < count; i++) {
        math->unscale(up, w->sums + (size_t)i * up->out, w->ranges[i], NULL, w->row);
        math->gelu(w->row, up->out);
        put(w, down, i, w->row);
    }
    encode_multiply(products, down, w->packed, count, w->sums);
    for (unsigned i = 0; i < count; i++) add_norm(model, down, &layer->down_norm, w, i, x + (size_t)i * model->dim);
}

void encode(const struct model *model, const uint16_t *ids, unsigned count, void *work, float *vector)
{
    struct work w;
    CHECK(count > 0);
    CHECK(count <= MODEL_PIECES_MAX);
    divide(model, work, &w);
    embed(model, ids, count, w.x);
    for (unsigned l = 0; l < model->layer_count; l++) {
        const struct model_layer *layer = &model->layers[l];
        query_key_value(model, &layer->attention_in, count, &w);
        attend(model, count, &w);
        for (unsigned at = 0, part; at < count; at += part) {
            float *x = w.x + (size_t)at * model->dim;
            part = chunk_of(count, at);
            attention_out(model, layer, x, w.qkv + (size_t)at * 3 * model->dim, part, &w);
            feed_forward(model, layer, x, part, &w);
        }
    }
    math->pool(w.x, count, model->dim, vector);
}
