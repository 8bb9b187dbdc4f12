/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/dialect.c — which table belongs to which dialect. */
#include "app/gateway/dialect_table.h"
#include "platform/check.h"

const struct dialect_table *dialect_table(enum dialect dialect)
{
    static const struct dialect_table *const tables[DIALECTS] = {&dialect_openai, &dialect_anthropic};
    CHECK(dialect < DIALECTS);
    return tables[dialect];
}

const char *dialect_name(enum dialect dialect)
{
    return dialect_table(dialect)->name.data;
}
