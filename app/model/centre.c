/* SPDX-License-Identifier: Apache-2.0 */
/* app/model/centre.c — see centre.h. */
#include "app/model/centre.h"

#include <math.h>

#include "cache/encode.h"
#include "cache/model_layout.h"
#include "cache/tokenize.h"
#include "platform/cpu.h"
#include "platform/plan.h"
#include "platform/rc.h"

enum { GRID = 4096 };

int centre_make(const struct model *model, float *centre)
{
    static double sums[MODEL_DIM_MAX];
    static float vector[MODEL_DIM_MAX];
    uint16_t ids[MODEL_PIECES_MAX];
    unsigned count;
    void *work;
    int rc = plan_take("model encoder workspace", 1, encode_work_size(model), PLAN_LAZY, 0, NULL, &work);
    if (rc != RC_OK) return rc;
    encode_select_repeatable(cpu_features());
    for (unsigned c = 0; c < model->dim; c++) sums[c] = 0;
    for (unsigned i = 0; i < centre_texts_count; i++) {
        (void)tokenize(model, centre_texts[i], ids, MODEL_PIECES_MAX, &count);
        encode(model, ids, count, work, vector);
        for (unsigned c = 0; c < model->dim; c++) sums[c] += (double)vector[c];
    }
    for (unsigned c = 0; c < model->dim; c++) centre[c] = (float)(rint(sums[c] / centre_texts_count * GRID) / GRID);
    return RC_OK;
}
