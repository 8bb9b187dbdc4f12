/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/dialect_responses.c — the fields of OpenAI's /v1/responses.
 *
 * `input` is a text or a list of items; `previous_response_id` names an immutable answer, so it counts as text and as
 * history. `store` counts: an answer that was not kept at the provider cannot stand for one that was. So does `metadata`,
 * which a stored answer carries.
 * Bypasses: what is mutable or live: `conversation`, `background`, a prompt without its version, hosted tools.
 */
#include "app/gateway/dialect_table.h"

#define COUNTS(literal, part, note, shape)            \
    {                                                 \
        CANONICAL_NAME(literal), 0, part, note, shape \
    }
#define IGNORED(literal, note)                                                  \
    {                                                                           \
        CANONICAL_NAME(literal), CANONICAL_IGNORED, PART_PARAMETERS, note, NULL \
    }
#define QUERY_MEMBER(literal, shape)                                           \
    {                                                                          \
        CANONICAL_NAME(literal), CANONICAL_TEXT | CANONICAL_QUERY, 0, 0, shape \
    }
#define SHAPE(fields)                        \
    {                                        \
        (fields), TABLE_COUNT(fields), false \
    }

static const struct canonical_field part_fields[] = {QUERY_MEMBER("text", NULL)};
static const struct canonical_shape part = SHAPE(part_fields);

static const struct canonical_field item_fields[] = {QUERY_MEMBER("content", &part)};
static const struct canonical_shape item = SHAPE(item_fields);

static const struct canonical_field envelope_fields[] = {
    COUNTS("model", PART_MODEL, NOTE_MODEL, NULL),
    COUNTS("input", PARTS, NOTE_MESSAGES, &item),
    {CANONICAL_NAME("instructions"), CANONICAL_TEXT, PART_SYSTEM, NOTE_SYSTEM, NULL},
    COUNTS("previous_response_id", PART_HISTORY, NOTE_PREVIOUS, NULL),
    COUNTS("temperature", PART_PARAMETERS, NOTE_TEMPERATURE, NULL),
    IGNORED("stream", NOTE_STREAM),
    IGNORED("stream_options", NOTE_NONE),
    COUNTS("tools", PART_TOOLS, NOTE_TOOLS, NULL),
    COUNTS("tool_choice", PART_TOOLS, NOTE_NONE, NULL),
    COUNTS("parallel_tool_calls", PART_TOOLS, NOTE_NONE, NULL),
    COUNTS("text", PART_PARAMETERS, NOTE_OUTPUT_CONFIG, NULL),
    IGNORED("user", NOTE_NONE),
    IGNORED("safety_identifier", NOTE_NONE),
    IGNORED("prompt_cache_key", NOTE_NONE),
    IGNORED("prompt_cache_retention", NOTE_NONE),
    IGNORED("prompt_cache_options", NOTE_NONE),
    COUNTS("prompt", PART_PARAMETERS, NOTE_PROMPT, NULL),
    COUNTS("conversation", PART_PARAMETERS, NOTE_CONVERSATION, NULL),
    COUNTS("background", PART_PARAMETERS, NOTE_IF_TRUE, NULL),
};

static const struct content_type content_types[] = {
    {TABLE_TEXT("input_text"), 0}, {TABLE_TEXT("output_text"), 0},    {TABLE_TEXT("text"), 0},
    {TABLE_TEXT("refusal"), 0},    {TABLE_TEXT("reasoning_text"), 0}, {TABLE_TEXT("summary_text"), 0},
};

static const struct span own_tools[] = {TABLE_TEXT("function"), TABLE_TEXT("custom"), TABLE_TEXT("local_shell"),
                                        TABLE_TEXT("apply_patch")};

static const struct span live_models[] = {
    TABLE_TEXT("*-search-preview*"),
    TABLE_TEXT("*-search-api*"),
    TABLE_TEXT("*-deep-research*"),
    TABLE_TEXT("*:online"),
};

const struct dialect_table dialect_responses = {
    .name = TABLE_TEXT("responses"),
    .messages = TABLE_TEXT("input"),
    .text_allowed = true,
    .envelope = SHAPE(envelope_fields),
    .content_types = content_types,
    .content_type_count = TABLE_COUNT(content_types),
    .own_tools = own_tools,
    .own_tool_count = TABLE_COUNT(own_tools),
    .live_models = live_models,
    .live_model_count = TABLE_COUNT(live_models),
};
