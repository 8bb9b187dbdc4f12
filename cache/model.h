/* SPDX-License-Identifier: Apache-2.0 */
/* cache/model.h — the local model as it lies in its file: one mapped `.lmodel`, weights never copied.
 *
 * File:    header, table of sections, sections on 64-byte borders; little endian. Weights are symmetric int8 per output
 *          row in panels; word vectors int8 per row; everything else float32. A CRC-32C each section.
 * Panels:  of a linear layer with `out` rows and `in` columns (multiples of 16 and 4): for each group of 16 rows, for
 *          each group of 4 columns, 16 × 4 bytes, row by row: byte (((row / 16) * (in / 4) + column / 4) * 16 + row % 16)
 *          * 4 + column % 4. One group is a register of 64 bytes with four products a lane (VNNI), or parts of it.
 * Owner:   one model a process, mapped read-only until the end.
 * Threads: opening at boot; checking on a worker; reading from any.
 * Fails:   RC_NOT_FOUND no file, RC_VERSION newer, RC_CORRUPT wrong sizes or (model_check) a wrong CRC.
 * Not here: the layout itself (cache/model_layout.h), making the file (app/model/), running it (cache/encode.h).
 */
#ifndef CACHE_MODEL_H
#define CACHE_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "platform/span.h"

enum {
    MODEL_VERSION = 1,
    MODEL_LAYERS_MAX = 12,
    MODEL_TAG_SIZE = 64,
    MODEL_ALIGN = 64,
    MODEL_PIECES_MAX = 256, /* of a text, [CLS] and [SEP] counted */
};

/* y[r] = bias[r] + s_x · scale[r] · (Σ q[c] · w[r][c] − zero_x · row_sum[r]) for activations x = s_x · (q − zero_x). */
struct model_linear {
    unsigned in, out;
    const int8_t *panels;
    const float *scale;     /* out */
    const int32_t *row_sum; /* out: Σ w */
    const float *bias;      /* out */
};

struct model_norm {
    const float *gain, *bias; /* dim */
};

struct model_layer {
    struct model_linear attention_in; /* query, key and value: 3 × dim rows */
    struct model_linear attention_out;
    struct model_norm attention_norm;
    struct model_linear up, down;
    struct model_norm down_norm;
};

struct model {
    unsigned dim, heads, layer_count, hidden, vocabulary, positions;
    float norm_epsilon;
    const int8_t *word;      /* vocabulary × dim */
    const float *word_scale; /* vocabulary */
    const float *position;   /* positions × dim, the constant token type's vector added */
    struct model_norm word_norm;
    struct model_layer layers[MODEL_LAYERS_MAX];
    const float *centre;             /* dim: mean vector of the importer's texts */
    struct span vocabulary_text;     /* pieces, each ended by LF, in the order of their ids */
    const uint32_t *vocabulary_hash; /* cache/tokenize.c's table */
    unsigned vocabulary_hash_bits;
    unsigned piece_size_max;         /* bytes of the longest piece */
    uint16_t id_cls, id_sep, id_unk; /* [CLS], [SEP], [UNK] */
    char tag[MODEL_TAG_SIZE];        /* "minilm-int8/1/…": scheme and digest; vectors of different tags never meet */
    char licence[MODEL_TAG_SIZE];
    const unsigned char *map;
    size_t map_size;
};

/* Boot. Maps and checks header, table and sizes. */
int model_open(const char *path, struct model *model);
/* All CRCs: reads every page, so a worker's job. RC_CORRUPT. */
int model_check(const struct model *model);
void model_close(struct model *model);

#endif
