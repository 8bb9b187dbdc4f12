/* SPDX-License-Identifier: Apache-2.0 */
/* app/model/quantise.h — float weights to symmetric int8 per row.
 *
 * Scheme:  scale = max|w| / 127, q = w / scale rounded to nearest, ties to even; a row of zeros has scale 0.
 * Threads: any; pure.
 * Fails:   RC_INVALID: a weight is not finite.
 */
#ifndef APP_MODEL_QUANTISE_H
#define APP_MODEL_QUANTISE_H

#include <stdint.h>

/* rows × columns, row by row. */
int quantise_rows(const float *weights, unsigned rows, unsigned columns, int8_t *quantised, float *scale);

/* Where quantise_panels writes; the arrays of a struct model_linear (cache/model.h), to write to. */
struct quantise_linear {
    unsigned in;
    int8_t *panels;
    float *scale;
    int32_t *row_sum;
    float *bias;
};

/* rows × linear->in weights and their biases, to rows first … first + rows − 1 of the panels. */
int quantise_panels(const float *weights, const float *bias, unsigned rows, unsigned first,
                    const struct quantise_linear *linear);

/* Copies `count` floats, or refuses them. */
int quantise_copy(const float *from, unsigned count, float *to);

#endif
