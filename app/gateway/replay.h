/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/replay.h — the four translations behind replay_object_from_stream and replay_stream_from_object.
 *
 * Threads: any, with a scratch of its own.
 * Fails:   RC_TOO_LARGE (scratch or out), RC_CORRUPT.
 */
#ifndef GATEWAY_REPLAY_H
#define GATEWAY_REPLAY_H

#include "app/gateway/dialect.h"

/* Of chunks of chat or (WIRE_COMPLETIONS) of legacy completions. */
int replay_openai_object(enum dialect wire, struct span stream, struct json_scratch *scratch, struct text *out);
int replay_openai_stream(const struct json_value *object, bool include_usage, struct text *out);
int replay_responses_object(struct span stream, struct json_scratch *scratch, struct text *out);
int replay_responses_stream(const struct json_value *object, struct text *out);
int replay_completions_stream(const struct json_value *object, bool include_usage, struct text *out);
int replay_anthropic_object(struct span stream, struct json_scratch *scratch, struct text *out);
/* `spare`: the scratch behind the object's tree. */
int replay_anthropic_stream(const struct json_value *object, struct json_scratch *spare, struct text *out);

#endif
