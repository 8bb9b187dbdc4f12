/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/dialect_table.h — what the two dialects' tables say to question.c: fields, content types, tools.
 *
 * A field that stands in no table counts in the identity, with the order of its members. So a new field of an API never
 * mixes two answers; adding it here only lets more requests meet.
 *
 * Owner:   const data; dialect_openai.c and dialect_anthropic.c.
 */
#ifndef GATEWAY_DIALECT_TABLE_H
#define GATEWAY_DIALECT_TABLE_H

#include "app/gateway/dialect.h"

/* What question.c does with a field of the envelope besides counting it. */
enum field_note {
    NOTE_NONE,
    NOTE_MODEL,
    NOTE_MESSAGES,
    NOTE_SYSTEM,
    NOTE_TOOLS,
    NOTE_STREAM,
    NOTE_STREAM_OPTIONS,
    NOTE_MANY, /* n */
    NOTE_TEMPERATURE,
    NOTE_SEED,
    NOTE_FORMAT,        /* {"type": …}: a schema or JSON mode */
    NOTE_OUTPUT_CONFIG, /* {"format": {"type": …}} */
    NOTE_MODALITIES,
    NOTE_PREVIOUS,     /* id of the answer before */
    NOTE_CONVERSATION, /* its id, or an object with it: mutable */
    NOTE_PROMPT,       /* a stored prompt: mutable unless its version is given */
    NOTE_IF_SET,       /* present, not null, not []: bypasses the cache under its own name */
    NOTE_IF_TRUE,
    NOTES,
};

/* A content part's or block's type and what its presence means. */
struct content_type {
    struct span name;
    unsigned flags; /* enum question_flags */
};

struct dialect_table {
    struct span name;
    struct span messages; /* the field that holds them, as errors name it */
    bool text_allowed;    /* it may be one string: the question itself */
    unsigned flags;       /* of every question: enum question_flags */
    struct canonical_shape envelope;
    const struct content_type *content_types; /* any other type is QUESTION_MEDIA */
    unsigned content_type_count;
    const struct span
        *own_tools; /* tool types that the client runs; a trailing '*' matches any end. Others are hosted */
    unsigned own_tool_count;
    const struct span *live_models; /* globs of models that search the web by themselves */
    unsigned live_model_count;
};

extern const struct dialect_table dialect_openai, dialect_anthropic, dialect_completions, dialect_responses,
    dialect_count_tokens;
const struct dialect_table *dialect_table(enum dialect dialect);

#define TABLE_COUNT(array) (sizeof(array) / sizeof *(array))
#define TABLE_TEXT(literal)            \
    {                                  \
        (literal), sizeof(literal) - 1 \
    }

#endif
