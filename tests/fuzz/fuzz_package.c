/* SPDX-License-Identifier: Apache-2.0 */
/* tests/fuzz/fuzz_package.c — a package of a model from any bytes: zip, and what is in it as safetensors. */
#include <stdint.h>
#include <stdlib.h>

#include "app/model/safetensors.h"
#include "app/model/zip.h"
#include "platform/compress.h"
#include "platform/rc.h"
#include "tests/support/guard_page.h"

enum { UNPACKED_MAX = 1 << 16, SCRATCH = 1 << 20 };

static _Alignas(16) char scratch_memory[SCRATCH];

static void read_tensors(struct span file)
{
    struct json_scratch scratch = {scratch_memory, SCRATCH};
    struct safetensors tensors;
    const float *values;
    if (safetensors_open(file, &scratch, &tensors) != RC_OK) return;
    if (safetensors_find(&tensors, "t", 2, 3, &values) != RC_OK) return;
    volatile float sum = 0;
    for (unsigned i = 0; i < 6; i++) sum = sum + values[i];
}

static void read_package(struct span archive)
{
    static char unpacked[UNPACKED_MAX];
    struct zip zip;
    struct zip_file file;
    if (zip_open(archive, &zip) != RC_OK) return;
    if (zip_find(&zip, SPAN("t"), &file) != RC_OK || file.size > UNPACKED_MAX) return;
    if (zip_read(&zip, &file, unpacked) == RC_OK) read_tensors(guarded(span_of(unpacked, file.size)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool reserved;
    if (!reserved && compress_reserve(1 << 16) != RC_OK) abort();
    reserved = true;
    if (size > GUARDED_MAX) return 0;
    struct span input = guarded(span_of((const char *)data, size));
    read_tensors(input);
    static char copy[GUARDED_MAX]; /* guarded() has one place */
    if (size > 0) memcpy(copy, data, size);
    read_package(span_of(copy, size));
    return 0;
}
