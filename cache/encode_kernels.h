/* SPDX-License-Identifier: Apache-2.0 */
/* cache/encode_kernels.h — what a variant of the encoder brings: exact int8 products, and float rows.
 *
 * Products: activations in the variant's own order (pack), sums[token][row] = Σ q · w, the same integers everywhere.
 *           Worst case 1536 · 255 · 127 < 2^26: no sum overflows while in < 2^16.
 * Floats:   written once in cache/encode_math.inc.h over a few vector primitives, compiled by each instruction set's file;
 *           variants differ by rounding. Lengths are multiples of ENCODE_LANES_MAX, alignment is free.
 * Private to cache/encode*.c and its test.
 */
#ifndef CACHE_ENCODE_KERNELS_H
#define CACHE_ENCODE_KERNELS_H

#include "cache/model.h"

struct cpu_features;

enum {
    ENCODE_LANES_MAX = 16,
    ENCODE_PANEL_ROWS = 16,
    ENCODE_PACKED_MAX = 4, /* bytes a packed activation takes at most */
    ENCODE_ROWS = 4,       /* queries attended to at a time */
};

/* A block is what fits in registers: up to tokens_max tokens by panels_max panels (or one). */
struct encode_products {
    unsigned packed_size; /* bytes an activation takes when packed */
    unsigned tokens_max, panels_max;
    void (*pack)(const uint8_t *q, unsigned count, void *packed);
    /* packed: `tokens` rows of `in`; sums: rows of `out`, filled from the panel's first row on. panels: panels_max or 1. */
    void (*block)(const struct model_linear *linear, unsigned panel, unsigned panels, const void *packed,
                  unsigned tokens, int32_t *sums);
};

/* Every panel, any number of tokens, block by block. */
void encode_multiply(const struct encode_products *kernels, const struct model_linear *linear, const void *packed,
                     unsigned tokens, int32_t *sums);

/* x ≈ low + step · q: the zero point is −low / step, not rounded. */
struct encode_range {
    float low, step;
};

/* One head of one text: rows of q, k and v lie `stride` floats apart. The result replaces q. */
struct encode_head {
    float *q;
    const float *k, *v;
    size_t stride;
    unsigned count, width;
    float *keys;   /* scratch: width × count rounded up to ENCODE_LANES_MAX */
    float *values; /* scratch: count × width */
    float *scores; /* scratch: ENCODE_ROWS × the same */
};

struct encode_math {
    void (*embed)(const int8_t *word, float scale, const float *position, unsigned count, float *y);
    void (*norm)(float *x, unsigned count, const struct model_norm *norm, float epsilon);
    struct encode_range (*quantise)(const float *x, unsigned count, uint8_t *q);
    /* y = bias + scale · (step · sums + low · row_sum), plus `add` unless NULL. */
    void (*unscale)(const struct model_linear *linear, const int32_t *sums, struct encode_range range, const float *add,
                    float *y);
    void (*gelu)(float *x, unsigned count);
    void (*attend)(const struct encode_head *head);
    /* Mean of the rows, brought to length 1. */
    void (*pool)(const float *x, unsigned rows, unsigned count, float *vector);
};

struct encode_variant {
    const char *name;
    bool (*usable)(const struct cpu_features *features);
    const struct encode_products *products;
    const struct encode_math *math;
};

/* This architecture's, best first; the last is scalar, usable everywhere. */
extern const struct encode_variant encode_variants[];
extern const unsigned encode_variant_count;

extern const struct encode_products encode_products_scalar;
extern const struct encode_math encode_math_scalar;

#endif
