/* SPDX-License-Identifier: Apache-2.0 */
/* tests/fuzz/fuzz_control.c — a request line of the control socket, as anybody who may open it could send it. */
#include <stdint.h>
#include <stdlib.h>

#include "app/command.h"
#include "app/control.h"
#include "platform/check.h"
#include "platform/rc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char memory[JSON_SCRATCH_FACTOR * CONTROL_LINE_MAX + JSON_SCRATCH_EXTRA];
    struct json_scratch scratch = {memory, sizeof memory};
    struct span words[COMMAND_WORDS_MAX];
    unsigned count = 0;
    if (size > CONTROL_LINE_MAX) return 0;
    int rc = control_parse(span_of((const char *)data, size), &scratch, words, &count);
    CHECK(rc != RC_OK || (count >= 1 && count <= COMMAND_WORDS_MAX));
    size_t total = 0;
    for (unsigned i = 0; rc == RC_OK && i < count; i++)
        for (size_t k = 0; k < words[i].size; k++) total += (unsigned char)words[i].data[k];
    return total == SIZE_MAX;
}
