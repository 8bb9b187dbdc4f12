/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/usage.c — token counts. */
#include "app/gateway/usage.h"

#include "platform/rc.h"

void usage_unknown(struct usage *usage)
{
    *usage = (struct usage){-1, -1, -1, -1, -1, -1};
}

static bool take(const struct json_value *object, const char *name, int64_t *count)
{
    int64_t value;
    if (json_i64(json_get(object, name), &value) != RC_OK || value < 0) return false;
    *count = value;
    return true;
}

static void read_openai(const struct json_value *object, struct usage *usage)
{
    int64_t prompt, read = 0, write = 0;
    usage_unknown(usage);
    const struct json_value *in = json_get(object, "prompt_tokens_details");
    bool read_known = take(in, "cached_tokens", &read) || take(object, "prompt_cache_hit_tokens", &read);
    bool write_known = take(in, "cache_write_tokens", &write);
    if (read_known) usage->cache_read = read;
    if (write_known) usage->cache_write_5m = write;
    if (take(object, "prompt_tokens", &prompt))
        usage->input_uncached = read <= prompt && write <= prompt - read ? prompt - read - write : 0;
    (void)take(object, "completion_tokens", &usage->output);
    (void)take(json_get(object, "completion_tokens_details"), "reasoning_tokens", &usage->reasoning);
}

/* The last event of a stream repeats the writes as one sum: the split of the first one is worth more. */
static void read_anthropic(const struct json_value *object, struct usage *usage)
{
    const struct json_value *split = json_get(object, "cache_creation");
    (void)take(object, "input_tokens", &usage->input_uncached);
    (void)take(object, "cache_read_input_tokens", &usage->cache_read);
    (void)take(split, "ephemeral_5m_input_tokens", &usage->cache_write_5m);
    (void)take(split, "ephemeral_1h_input_tokens", &usage->cache_write_1h);
    if (usage->cache_write_1h < 0) (void)take(object, "cache_creation_input_tokens", &usage->cache_write_5m);
    (void)take(object, "output_tokens", &usage->output);
    (void)take(json_get(object, "output_tokens_details"), "thinking_tokens", &usage->reasoning);
}

static void read_responses(const struct json_value *object, struct usage *usage)
{
    int64_t input, read = 0;
    usage_unknown(usage);
    if (take(json_get(object, "input_tokens_details"), "cached_tokens", &read)) usage->cache_read = read;
    if (take(object, "input_tokens", &input)) usage->input_uncached = read <= input ? input - read : 0;
    (void)take(object, "output_tokens", &usage->output);
    (void)take(json_get(object, "output_tokens_details"), "reasoning_tokens", &usage->reasoning);
}

void usage_read(enum dialect dialect, const struct json_value *object, struct usage *usage)
{
    if (json_kind(object) != JSON_OBJECT) return;
    if (dialect_has_usage_chunk(dialect))
        read_openai(object, usage);
    else if (dialect == WIRE_RESPONSES)
        read_responses(object, usage);
    else
        read_anthropic(object, usage);
}
