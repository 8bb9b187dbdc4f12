/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/usage.h — both dialects' token counts in one record.
 *
 * OpenAI counts what it read from its prefix cache (and wrote to it) inside prompt_tokens; Anthropic counts input,
 * reads and writes apart. The record keeps them apart, so that input_uncached + cache_read + cache_write_* is all input.
 * A write without a known life time counts as cache_write_5m.
 *
 * Threads: any; pure functions.
 */
#ifndef GATEWAY_USAGE_H
#define GATEWAY_USAGE_H

#include "app/gateway/dialect.h"

void usage_unknown(struct usage *usage);
/* Takes what a `usage` object says. OpenAI says all of it each time; of Anthropic's two, what the last does not say stays. */
void usage_read(enum dialect dialect, const struct json_value *object, struct usage *usage);

#endif
