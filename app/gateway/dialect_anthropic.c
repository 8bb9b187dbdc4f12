/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/dialect_anthropic.c — the fields of Anthropic messages.
 *
 * Does not count: stream, metadata (who asks), cache_control wherever the API takes it (a directive to the provider's
 * prefix cache), diagnostics. A tool's definition keeps the order of its members.
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
#define TEXT_MEMBER(literal, shape)                          \
    {                                                        \
        CANONICAL_NAME(literal), CANONICAL_TEXT, 0, 0, shape \
    }
#define QUERY_MEMBER(literal, shape)                                           \
    {                                                                          \
        CANONICAL_NAME(literal), CANONICAL_TEXT | CANONICAL_QUERY, 0, 0, shape \
    }
#define SHAPE(fields)                        \
    {                                        \
        (fields), TABLE_COUNT(fields), false \
    }

static const struct canonical_shape block; /* a tool result holds blocks */

static const struct canonical_field source_fields[] = {MEMBER("content", &block)};
static const struct canonical_shape source = SHAPE(source_fields);

static const struct canonical_field block_fields[] = {
    QUERY_MEMBER("text", NULL), MEMBER("source", &source),   TEXT_MEMBER("content", &block),
    MEMBER("input", NULL),      IGNORED("cache_control", 0),
};
static const struct canonical_shape block = SHAPE(block_fields);

static const struct canonical_field message_fields[] = {QUERY_MEMBER("content", &block), IGNORED("cache_control", 0)};
static const struct canonical_shape message = SHAPE(message_fields);

static const struct canonical_field tool_fields[] = {IGNORED("cache_control", 0)};
static const struct canonical_shape tool = {tool_fields, TABLE_COUNT(tool_fields), true};

static const struct canonical_field envelope_fields[] = {
    COUNTS("model", PART_MODEL, NOTE_MODEL, NULL),
    COUNTS("messages", PARTS, NOTE_MESSAGES, &message),
    {CANONICAL_NAME("system"), CANONICAL_TEXT, PART_SYSTEM, NOTE_SYSTEM, &block},
    COUNTS("temperature", PART_PARAMETERS, NOTE_TEMPERATURE, NULL),
    IGNORED("stream", NOTE_STREAM),
    COUNTS("tools", PART_TOOLS, NOTE_TOOLS, &tool),
    COUNTS("tool_choice", PART_TOOLS, NOTE_NONE, NULL),
    COUNTS("output_format", PART_PARAMETERS, NOTE_FORMAT, NULL),
    COUNTS("output_config", PART_PARAMETERS, NOTE_OUTPUT_CONFIG, NULL),
    IGNORED("metadata", NOTE_NONE),
    IGNORED("cache_control", NOTE_NONE),
    IGNORED("diagnostics", NOTE_NONE),
    COUNTS("container", PART_PARAMETERS, NOTE_IF_SET, NULL),
    COUNTS("mcp_servers", PART_PARAMETERS, NOTE_IF_SET, NULL),
};

static const struct content_type content_types[] = {
    {TABLE_TEXT("text"), 0},
    {TABLE_TEXT("thinking"), 0},
    {TABLE_TEXT("redacted_thinking"), 0},
    {TABLE_TEXT("tool_use"), QUESTION_TOOLS},
    {TABLE_TEXT("tool_result"), QUESTION_TOOLS},
    {TABLE_TEXT("server_tool_use"), QUESTION_TOOLS},
    {TABLE_TEXT("web_search_tool_result"), QUESTION_TOOLS},
};

/* Tools that the client runs, or that look at nothing but the request. */
static const struct span own_tools[] = {
    TABLE_TEXT("custom"),     TABLE_TEXT("bash_*"),   TABLE_TEXT("text_editor_*"),
    TABLE_TEXT("computer_*"), TABLE_TEXT("memory_*"), TABLE_TEXT("tool_search_tool_*"),
};

const struct dialect_table dialect_anthropic = {
    .name = TABLE_TEXT("anthropic"),
    .messages = TABLE_TEXT("messages"),
    .envelope = SHAPE(envelope_fields),
    .content_types = content_types,
    .content_type_count = TABLE_COUNT(content_types),
    .own_tools = own_tools,
    .own_tool_count = TABLE_COUNT(own_tools),
};

/* The same body; its answer is a number. */
const struct dialect_table dialect_count_tokens = {
    .name = TABLE_TEXT("count_tokens"),
    .messages = TABLE_TEXT("messages"),
    .flags = QUESTION_EXACT,
    .envelope = SHAPE(envelope_fields),
    .content_types = content_types,
    .content_type_count = TABLE_COUNT(content_types),
    .own_tools = own_tools,
    .own_tool_count = TABLE_COUNT(own_tools),
};
