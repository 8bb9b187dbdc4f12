/* SPDX-License-Identifier: Apache-2.0 */
/* app/model/safetensors.h — tensors of a safetensors file in memory: 8 bytes of length, a JSON header, row-major data.
 *
 * Owner:   the caller owns the file and the scratch; tensors point into the file.
 * Threads: one at a time a scratch.
 * Fails:   RC_INVALID: no such file, or a tensor of another type, shape or size; RC_NOT_FOUND: no such tensor.
 */
#ifndef APP_MODEL_SAFETENSORS_H
#define APP_MODEL_SAFETENSORS_H

#include "platform/json.h"

enum { SAFETENSORS_HEADER_MAX = 1 << 20 };

struct safetensors {
    const struct json_value *header;
    struct span data;
};

int safetensors_open(struct span file, struct json_scratch *scratch, struct safetensors *tensors);
/* A float32 tensor of rows × columns (columns 0: a vector). */
int safetensors_find(const struct safetensors *tensors, const char *name, uint64_t rows, uint64_t columns,
                     const float **values);

#endif
