/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/dialect.c — which table belongs to which dialect. */
#include "app/gateway/dialect_table.h"
#include "platform/check.h"

const struct dialect_table *dialect_table(enum dialect dialect)
{
    static const struct dialect_table *const tables[WIRES] = {
        [DIALECT_OPENAI] = &dialect_openai,          [DIALECT_ANTHROPIC] = &dialect_anthropic,
        [WIRE_COMPLETIONS] = &dialect_completions,   [WIRE_RESPONSES] = &dialect_responses,
        [WIRE_COUNT_TOKENS] = &dialect_count_tokens,
    };
    CHECK(dialect < WIRES);
    return tables[dialect];
}

const char *dialect_name(enum dialect dialect)
{
    return dialect_table(dialect)->name.data;
}
