/* SPDX-License-Identifier: Apache-2.0 */
/* tests/support/encode_float.c — see the header. The file: u64 size of a JSON header, the header, row-major data. */
#include "tests/support/encode_float.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/check.h"

enum { DIM = ENCODE_FLOAT_DIM, HIDDEN = 1536, HEADS = 12, WIDTH = DIM / HEADS, LAYERS = 6, TOKENS_MAX = 256 };

static const char *file, *header_end;
static float x[TOKENS_MAX * DIM], q[TOKENS_MAX * DIM], k[TOKENS_MAX * DIM], v[TOKENS_MAX * DIM], y[TOKENS_MAX * DIM],
    hidden[TOKENS_MAX * HIDDEN];

static const float *tensor(const char *name)
{
    char key[128];
    snprintf(key, sizeof key, "\"%s\":", name);
    const char *at = memmem(file + 8, (size_t)(header_end - file - 8), key, strlen(key));
    CHECK(at);
    at = memmem(at, (size_t)(header_end - at), "\"data_offsets\":[", 16);
    CHECK(at);
    return (const float *)(const void *)(header_end + strtoull(at + 16, NULL, 10));
}

static const float *of_layer(unsigned layer, const char *part, const char *kind)
{
    char name[128];
    snprintf(name, sizeof name, "encoder.layer.%u.%s.%s", layer, part, kind);
    return tensor(name);
}

void encode_float_open(struct span weights)
{
    uint64_t header_size;
    CHECK(weights.size > sizeof header_size);
    file = weights.data;
    memcpy(&header_size, file, sizeof header_size);
    CHECK(header_size < weights.size - sizeof header_size);
    header_end = file + 8 + header_size;
}

typedef float lanes __attribute__((vector_size(16)));

/* Rows of 4 tokens' products share the weights they read. */
static void dot(const float *w, const float *const from[4], unsigned in, float sums[4])
{
    lanes total[4] = {{0}, {0}, {0}, {0}};
    for (unsigned c = 0; c < in; c += 4) {
        lanes a, b;
        memcpy(&a, w + c, sizeof a);
        for (unsigned t = 0; t < 4; t++) {
            memcpy(&b, from[t] + c, sizeof b);
            total[t] += a * b;
        }
    }
    for (unsigned t = 0; t < 4; t++) sums[t] = total[t][0] + total[t][1] + total[t][2] + total[t][3];
}

static void linear(unsigned layer, const char *part, const float *from, unsigned in, float *to, unsigned out,
                   unsigned tokens)
{
    const float *weight = of_layer(layer, part, "weight"), *bias = of_layer(layer, part, "bias");
    for (unsigned t = 0; t < tokens; t += 4)
        for (unsigned r = 0; r < out; r++) {
            const float *rows[4];
            float sums[4];
            for (unsigned i = 0; i < 4; i++) rows[i] = from + (size_t)(t + i < tokens ? t + i : t) * in;
            dot(weight + (size_t)r * in, rows, in, sums);
            for (unsigned i = 0; i < 4 && t + i < tokens; i++) to[(size_t)(t + i) * out + r] = sums[i] + bias[r];
        }
}

static void norm(float *row, const float *gain, const float *bias)
{
    double mean = 0, variance = 0;
    for (unsigned i = 0; i < DIM; i++) mean += row[i] / DIM;
    for (unsigned i = 0; i < DIM; i++) variance += (row[i] - mean) * (row[i] - mean) / DIM;
    for (unsigned i = 0; i < DIM; i++) row[i] = (float)((row[i] - mean) / sqrt(variance + 1e-12)) * gain[i] + bias[i];
}

static void add_norm(unsigned layer, const char *part, unsigned tokens)
{
    const float *gain = of_layer(layer, part, "weight"), *bias = of_layer(layer, part, "bias");
    for (unsigned t = 0; t < tokens; t++) {
        for (unsigned i = 0; i < DIM; i++) x[t * DIM + i] += y[t * DIM + i];
        norm(x + (size_t)t * DIM, gain, bias);
    }
}

static void attend(unsigned head, unsigned i, unsigned tokens)
{
    float score[TOKENS_MAX], most = -INFINITY, total = 0, *to = hidden + (size_t)i * DIM + (size_t)head * WIDTH;
    for (unsigned j = 0; j < tokens; j++) {
        score[j] = 0;
        for (unsigned d = head * WIDTH; d < (head + 1) * WIDTH; d++) score[j] += q[i * DIM + d] * k[j * DIM + d];
        score[j] /= sqrtf(WIDTH);
        most = fmaxf(most, score[j]);
    }
    for (unsigned j = 0; j < tokens; j++) total += score[j] = expf(score[j] - most);
    memset(to, 0, WIDTH * sizeof *to);
    for (unsigned j = 0; j < tokens; j++)
        for (unsigned d = 0; d < WIDTH; d++) to[d] += score[j] / total * v[j * DIM + head * WIDTH + d];
}

static void layer_run(unsigned layer, unsigned tokens)
{
    linear(layer, "attention.self.query", x, DIM, q, DIM, tokens);
    linear(layer, "attention.self.key", x, DIM, k, DIM, tokens);
    linear(layer, "attention.self.value", x, DIM, v, DIM, tokens);
    for (unsigned head = 0; head < HEADS; head++)
        for (unsigned i = 0; i < tokens; i++) attend(head, i, tokens);
    linear(layer, "attention.output.dense", hidden, DIM, y, DIM, tokens);
    add_norm(layer, "attention.output.LayerNorm", tokens);
    linear(layer, "intermediate.dense", x, DIM, hidden, HIDDEN, tokens);
    for (unsigned i = 0; i < tokens * HIDDEN; i++) hidden[i] = 0.5f * hidden[i] * (1 + erff(hidden[i] / sqrtf(2)));
    linear(layer, "output.dense", hidden, HIDDEN, y, DIM, tokens);
    add_norm(layer, "output.LayerNorm", tokens);
}

void encode_float(const uint16_t *ids, unsigned count, float vector[ENCODE_FLOAT_DIM])
{
    const float *word = tensor("embeddings.word_embeddings.weight"),
                *position = tensor("embeddings.position_embeddings.weight"),
                *type = tensor("embeddings.token_type_embeddings.weight");
    double length = 0;
    CHECK(count > 0 && count <= TOKENS_MAX);
    for (unsigned t = 0; t < count; t++) {
        for (unsigned i = 0; i < DIM; i++) x[t * DIM + i] = word[ids[t] * DIM + i] + position[t * DIM + i] + type[i];
        norm(x + (size_t)t * DIM, tensor("embeddings.LayerNorm.weight"), tensor("embeddings.LayerNorm.bias"));
    }
    for (unsigned layer = 0; layer < LAYERS; layer++) layer_run(layer, count);
    memset(vector, 0, DIM * sizeof *vector);
    for (unsigned t = 0; t < count; t++)
        for (unsigned i = 0; i < DIM; i++) vector[i] += x[t * DIM + i];
    for (unsigned i = 0; i < DIM; i++) length += vector[i] * vector[i];
    for (unsigned i = 0; i < DIM; i++) vector[i] /= (float)sqrt(length);
}
