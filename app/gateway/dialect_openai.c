/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/dialect_openai.c — the fields of OpenAI chat/completions.
 *
 * Does not count: how the answer is delivered (stream, stream_options), who asks (user, safety_identifier, metadata:
 * with `store` it would, but that bypasses), provider prefix caches (prompt_cache_*, cache_control as some compatible
 * servers take it).
 * Bypasses: `store: true`, since the client expects to find the answer at the provider afterwards.
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
#define MEMBER(literal, shape)                  \
    {                                           \
        CANONICAL_NAME(literal), 0, 0, 0, shape \
    }
#define QUERY_MEMBER(literal, shape)                                           \
    {                                                                          \
        CANONICAL_NAME(literal), CANONICAL_TEXT | CANONICAL_QUERY, 0, 0, shape \
    }
#define SHAPE(fields)                        \
    {                                        \
        (fields), TABLE_COUNT(fields), false \
    }

static const struct canonical_field no_fields[1];
static const struct canonical_shape flat = {no_fields, 0, false}; /* members are scalars: sorted, nothing else known */

static const struct canonical_field call_fields[] = {MEMBER("function", &flat), MEMBER("custom", &flat)};
static const struct canonical_shape call = SHAPE(call_fields);

static const struct canonical_field part_fields[] = {
    QUERY_MEMBER("text", NULL), MEMBER("image_url", &flat),  MEMBER("input_audio", &flat),
    MEMBER("file", &flat),      IGNORED("cache_control", 0), IGNORED("prompt_cache_breakpoint", 0),
};
static const struct canonical_shape part = SHAPE(part_fields);

static const struct canonical_field message_fields[] = {
    QUERY_MEMBER("content", &part),
    MEMBER("tool_calls", &call),
    MEMBER("function_call", &flat),
    IGNORED("cache_control", 0),
};
static const struct canonical_shape message = SHAPE(message_fields);

static const struct canonical_field envelope_fields[] = {
    COUNTS("model", PART_MODEL, NOTE_MODEL, NULL),
    COUNTS("messages", PARTS, NOTE_MESSAGES, &message),
    COUNTS("temperature", PART_PARAMETERS, NOTE_TEMPERATURE, NULL),
    IGNORED("stream", NOTE_STREAM),
    IGNORED("stream_options", NOTE_STREAM_OPTIONS),
    COUNTS("tools", PART_TOOLS, NOTE_TOOLS, NULL),
    COUNTS("tool_choice", PART_TOOLS, NOTE_NONE, NULL),
    COUNTS("parallel_tool_calls", PART_TOOLS, NOTE_NONE, NULL),
    COUNTS("functions", PART_TOOLS, NOTE_TOOLS, NULL),
    COUNTS("function_call", PART_TOOLS, NOTE_NONE, NULL),
    COUNTS("n", PART_PARAMETERS, NOTE_MANY, NULL),
    COUNTS("seed", PART_PARAMETERS, NOTE_SEED, NULL),
    COUNTS("response_format", PART_PARAMETERS, NOTE_FORMAT, NULL),
    COUNTS("modalities", PART_PARAMETERS, NOTE_MODALITIES, NULL),
    IGNORED("user", NOTE_NONE),
    IGNORED("safety_identifier", NOTE_NONE),
    IGNORED("metadata", NOTE_NONE),
    IGNORED("store", NOTE_IF_TRUE),
    IGNORED("prompt_cache_key", NOTE_NONE),
    IGNORED("prompt_cache_retention", NOTE_NONE),
    IGNORED("prompt_cache_options", NOTE_NONE),
    COUNTS("prompt", PART_PARAMETERS, NOTE_PROMPT, NULL),
    COUNTS("conversation", PART_PARAMETERS, NOTE_IF_SET, NULL),
    COUNTS("web_search_options", PART_PARAMETERS, NOTE_IF_SET, NULL),
    COUNTS("search_parameters", PART_PARAMETERS, NOTE_IF_SET, NULL),
    COUNTS("plugins", PART_PARAMETERS, NOTE_IF_SET, NULL),
    COUNTS("container", PART_PARAMETERS, NOTE_IF_SET, NULL),
    COUNTS("background", PART_PARAMETERS, NOTE_IF_TRUE, NULL),
};

static const struct content_type content_types[] = {{TABLE_TEXT("text"), 0}, {TABLE_TEXT("refusal"), 0}};

static const struct span own_tools[] = {TABLE_TEXT("function"), TABLE_TEXT("custom")};

static const struct span live_models[] = {
    TABLE_TEXT("*-search-preview*"),
    TABLE_TEXT("*-search-api*"),
    TABLE_TEXT("*:online"),
};

const struct dialect_table dialect_openai = {
    .name = TABLE_TEXT("openai"),
    .messages = TABLE_TEXT("messages"),
    .envelope = SHAPE(envelope_fields),
    .content_types = content_types,
    .content_type_count = TABLE_COUNT(content_types),
    .own_tools = own_tools,
    .own_tool_count = TABLE_COUNT(own_tools),
    .live_models = live_models,
    .live_model_count = TABLE_COUNT(live_models),
};
