/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/dialect_completions.c — the fields of OpenAI's legacy /v1/completions.
 *
 * `prompt` is a text, an array of texts, or tokens; the answer to all of them is one entry, for the same request only.
 */
#include "app/gateway/dialect_table.h"

#define COUNTS(literal, part, note)                  \
    {                                                \
        CANONICAL_NAME(literal), 0, part, note, NULL \
    }
#define IGNORED(literal, note)                                                  \
    {                                                                           \
        CANONICAL_NAME(literal), CANONICAL_IGNORED, PART_PARAMETERS, note, NULL \
    }

static const struct canonical_field envelope_fields[] = {
    COUNTS("model", PART_MODEL, NOTE_MODEL),
    COUNTS("prompt", PARTS, NOTE_MESSAGES),
    COUNTS("temperature", PART_PARAMETERS, NOTE_TEMPERATURE),
    COUNTS("seed", PART_PARAMETERS, NOTE_SEED),
    COUNTS("n", PART_PARAMETERS, NOTE_MANY),
    COUNTS("response_format", PART_PARAMETERS, NOTE_FORMAT),
    IGNORED("stream", NOTE_STREAM),
    IGNORED("stream_options", NOTE_STREAM_OPTIONS),
    IGNORED("user", NOTE_NONE),
};

const struct dialect_table dialect_completions = {
    .name = TABLE_TEXT("completions"),
    .messages = TABLE_TEXT("prompt"),
    .text_allowed = true,
    .flags = QUESTION_EXACT,
    .envelope = {envelope_fields, TABLE_COUNT(envelope_fields), false},
};
