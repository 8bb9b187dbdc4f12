/* SPDX-License-Identifier: Apache-2.0 */
/* tests/fuzz/fuzz_json.c — any bytes: read, walk, look for duplicates; what is written reads back and is written alike. */
#include <stdint.h>
#include <string.h>

#include "platform/check.h"
#include "platform/json.h"
#include "platform/rc.h"
#include "platform/text.h"

enum { INPUT_MAX = 16384 };

static _Alignas(16) unsigned char memory[2][JSON_SCRATCH_FACTOR * 6 * INPUT_MAX + JSON_SCRATCH_EXTRA];
static char written[2][6 * INPUT_MAX + 64];

static void write_to(unsigned which, const struct json_value *root, struct text *out)
{
    *out = text_on(written[which], sizeof written[which]);
    json_write(out, root);
    CHECK(!out->truncated);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct json_scratch first = {memory[0], sizeof memory[0]}, second = {memory[1], sizeof memory[1]};
    const struct json_value *root, *again;
    struct json_error error = {0, NULL};
    if (size > INPUT_MAX) return 0;
    first.capacity = JSON_SCRATCH_FACTOR * size + JSON_SCRATCH_EXTRA;
    int rc = json_parse(&first, span_of((const char *)data, size), &root, &error);
    CHECK(rc == RC_OK || rc == RC_INVALID || rc == RC_TOO_LARGE);
    CHECK(rc == RC_OK || (error.message && error.offset <= size));
    if (rc != RC_OK) return 0;

    struct text one, two;
    first.capacity = sizeof memory[0];
    struct json_scratch spare = json_spare(&first, root);
    int duplicate = json_find_duplicate(&spare, root);
    write_to(0, root, &one);
    CHECK(json_parse(&second, text_span(&one), &again, NULL) == RC_OK);
    spare = json_spare(&second, again);
    CHECK(json_find_duplicate(&spare, again) == duplicate);
    write_to(1, again, &two);
    CHECK(span_equal(text_span(&one), text_span(&two)));
    return 0;
}
