/* SPDX-License-Identifier: Apache-2.0 */
/* app/model/quantise.c — see quantise.h; the panels' order is cache/model.h's. */
#include "app/model/quantise.h"

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "platform/rc.h"

enum { MOST = 127, PANEL_ROWS = 16, PANEL_COLUMNS = 4 };

static int scale_of(const float *row, unsigned count, float *scale)
{
    float most = 0;
    for (unsigned i = 0; i < count; i++) {
        float size = fabsf(row[i]);
        if (!isfinite(size)) return RC_INVALID;
        if (size > most) most = size;
    }
    *scale = most / MOST;
    return RC_OK;
}

static int8_t quantise(float weight, float scale)
{
    if (scale == 0) return 0;
    float q = rintf(weight / scale);
    return (int8_t)(q > MOST ? MOST : q < -MOST ? -MOST : q);
}

int quantise_rows(const float *weights, unsigned rows, unsigned columns, int8_t *quantised, float *scale)
{
    for (unsigned r = 0; r < rows; r++) {
        size_t at = (size_t)r * columns;
        if (scale_of(weights + at, columns, &scale[r]) != RC_OK) return RC_INVALID;
        for (unsigned c = 0; c < columns; c++) quantised[at + c] = quantise(weights[at + c], scale[r]);
    }
    return RC_OK;
}

static size_t panel_at(unsigned row, unsigned column, unsigned in)
{
    size_t group = (size_t)(row / PANEL_ROWS) * (in / PANEL_COLUMNS) + column / PANEL_COLUMNS;
    return (group * PANEL_ROWS + row % PANEL_ROWS) * PANEL_COLUMNS + column % PANEL_COLUMNS;
}

int quantise_panels(const float *weights, const float *bias, unsigned rows, unsigned first,
                    const struct quantise_linear *linear)
{
    for (unsigned r = 0; r < rows; r++) {
        const float *row = weights + (size_t)r * linear->in;
        unsigned out = first + r;
        int32_t sum = 0;
        if (scale_of(row, linear->in, &linear->scale[out]) != RC_OK) return RC_INVALID;
        for (unsigned c = 0; c < linear->in; c++) {
            int8_t q = quantise(row[c], linear->scale[out]);
            linear->panels[panel_at(out, c, linear->in)] = q;
            sum += q;
        }
        linear->row_sum[out] = sum;
    }
    return quantise_copy(bias, rows, linear->bias + first);
}

int quantise_copy(const float *from, unsigned count, float *to)
{
    for (unsigned i = 0; i < count; i++) {
        if (!isfinite(from[i])) return RC_INVALID;
        to[i] = from[i];
    }
    return RC_OK;
}
