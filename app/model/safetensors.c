/* SPDX-License-Identifier: Apache-2.0 */
/* app/model/safetensors.c — see safetensors.h. */
#include "app/model/safetensors.h"

#include "platform/rc.h"

enum { LENGTH_SIZE = 8 };

int safetensors_open(struct span file, struct json_scratch *scratch, struct safetensors *tensors)
{
    uint64_t size;
    if (file.size < LENGTH_SIZE) return RC_INVALID;
    memcpy(&size, file.data, sizeof size);
    if (size > file.size - LENGTH_SIZE || size > SAFETENSORS_HEADER_MAX) return RC_INVALID;
    struct span header = span_of(file.data + LENGTH_SIZE, (size_t)size);
    tensors->data = span_of(header.data + header.size, file.size - LENGTH_SIZE - header.size);
    if (json_parse(scratch, header, &tensors->header, NULL) != RC_OK) return RC_INVALID;
    return json_kind(tensors->header) == JSON_OBJECT ? RC_OK : RC_INVALID;
}

static bool number_is(const struct json_value *array, size_t index, uint64_t wanted)
{
    int64_t value;
    return json_i64(json_at(array, index), &value) == RC_OK && value >= 0 && (uint64_t)value == wanted;
}

static bool shape_is(const struct json_value *shape, uint64_t rows, uint64_t columns)
{
    if (json_count(shape) != (columns ? 2 : 1) || !number_is(shape, 0, rows)) return false;
    return columns == 0 || number_is(shape, 1, columns);
}

int safetensors_find(const struct safetensors *tensors, const char *name, uint64_t rows, uint64_t columns,
                     const float **values)
{
    int64_t begin, end;
    uint64_t size = rows * (columns ? columns : 1) * sizeof(float);
    const struct json_value *tensor = json_get(tensors->header, name);
    if (!tensor) return RC_NOT_FOUND;
    if (!span_equal(json_string(json_get(tensor, "dtype")), SPAN("F32"))) return RC_INVALID;
    if (!shape_is(json_get(tensor, "shape"), rows, columns)) return RC_INVALID;
    const struct json_value *offsets = json_get(tensor, "data_offsets");
    if (json_i64(json_at(offsets, 0), &begin) != RC_OK || json_i64(json_at(offsets, 1), &end) != RC_OK)
        return RC_INVALID;
    if (begin < 0 || end < begin || (uint64_t)end > tensors->data.size || (uint64_t)(end - begin) != size)
        return RC_INVALID;
    const char *at = tensors->data.data + begin;
    if ((uintptr_t)at % _Alignof(float) != 0) return RC_INVALID;
    *values = (const float *)(const void *)at;
    return RC_OK;
}
