/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/bridge_object.c — a whole answer written in the other dialect. Id, model, texts, calls and counts are kept;
 * thoughts are left out, since nobody asked for them. */
#include "app/gateway/bridge_rules.h"

static void put_stop(struct text *out, const char *stop)
{
    if (stop)
        text_format(out, "\"%s\"", stop);
    else
        text_put_text(out, "null");
}

/* ---- completion to message */

struct content {
    struct text *out;
    struct json_scratch *spare;
    unsigned blocks, calls;
};

static void next_block(struct content *c)
{
    if (c->blocks++) text_put_char(c->out, ',');
}

static void put_text_block(struct content *c, const struct json_value *text)
{
    if (json_kind(text) == JSON_STRING ? json_string(text).size == 0 : json_count(text) == 0) return;
    next_block(c);
    text_put_text(c->out, "{\"type\":\"text\",\"text\":");
    bridge_put_texts(c->out, text, "");
    text_put_char(c->out, '}');
}

static int put_input(struct content *c, const struct json_value *arguments)
{
    const struct json_value *input = NULL;
    struct span text = span_trim(json_string(arguments));
    if (json_kind(arguments) == JSON_OBJECT) input = arguments; /* some servers say it so */
    if (text.size > 0) {
        int rc = json_parse(c->spare, text, &input, NULL);
        if (rc != RC_OK) return rc == RC_TOO_LARGE ? rc : RC_CORRUPT;
        if (json_kind(input) != JSON_OBJECT) return RC_CORRUPT;
    }
    if (input)
        json_write(c->out, input);
    else
        text_put_text(c->out, "{}");
    return RC_OK;
}

static int put_call_block(struct content *c, const struct json_value *call)
{
    const struct json_value *function = json_get(call, "function");
    struct span id = json_string(json_get(call, "id"));
    if (json_string(json_get(function, "name")).size == 0) return RC_CORRUPT;
    next_block(c);
    text_put_text(c->out, "{\"type\":\"tool_use\",\"id\":");
    if (id.size)
        text_put_json(c->out, id);
    else
        text_format(c->out, "\"call_%u\"", c->calls);
    c->calls++;
    text_put_text(c->out, ",\"name\":");
    json_write(c->out, json_get(function, "name"));
    text_put_text(c->out, ",\"input\":");
    int rc = put_input(c, json_get(function, "arguments"));
    text_put_char(c->out, '}');
    return rc;
}

static int put_content(struct content *c, const struct json_value *message)
{
    int rc = RC_OK;
    put_text_block(c, json_get(message, "content"));
    put_text_block(c, json_get(message, "refusal"));
    struct json_walk walk = json_walk(json_get(message, "tool_calls"));
    while (rc == RC_OK && json_next(&walk)) rc = put_call_block(c, walk.value);
    return rc;
}

static const char *stop_of(const struct json_value *choice, const struct content *c)
{
    const char *stop = bridge_stop(DIALECT_ANTHROPIC, json_get(choice, "finish_reason"));
    const struct json_value *refusal = json_get(json_get(choice, "message"), "refusal");
    if (stop && json_string(refusal).size > 0) return "refusal";
    /* Some servers end calls with "stop". */
    return stop && c->calls && strcmp(stop, "end_turn") == 0 ? "tool_use" : stop;
}

static int object_to_anthropic(const struct json_value *root, struct json_scratch *spare, struct text *out)
{
    const struct json_value *choice = json_at(json_get(root, "choices"), 0), *message = json_get(choice, "message");
    struct content c = {.out = out, .spare = spare};
    struct bridge_tokens tokens = {0};
    if (json_kind(message) != JSON_OBJECT) return RC_CORRUPT;
    text_put_text(out, "{\"id\":");
    text_put_json(out, json_string(json_get(root, "id")));
    text_put_text(out, ",\"type\":\"message\",\"role\":\"assistant\",\"model\":");
    text_put_json(out, json_string(json_get(root, "model")));
    text_put_text(out, ",\"content\":[");
    int rc = put_content(&c, message);
    const char *stop = stop_of(choice, &c);
    text_put_text(out, "],\"stop_reason\":");
    put_stop(out, stop);
    text_put_text(out, ",\"stop_sequence\":null,");
    bridge_tokens_read(DIALECT_ANTHROPIC, json_get(root, "usage"), &tokens);
    bridge_tokens_put(DIALECT_ANTHROPIC, &tokens, out);
    text_put_char(out, '}');
    return rc;
}

/* ---- message to completion */

struct counted {
    unsigned texts, calls;
};

static int count_blocks(const struct json_value *content, struct counted *counted)
{
    struct json_walk walk = json_walk(content);
    while (json_next(&walk)) {
        const struct json_value *type = json_get(walk.value, "type");
        counted->texts += bridge_is(type, "text");
        counted->calls += bridge_is(type, "tool_use");
        if (!bridge_is(type, "text") && !bridge_is(type, "tool_use") && !bridge_is(type, "thinking") &&
            !bridge_is(type, "redacted_thinking"))
            return RC_CORRUPT;
    }
    return RC_OK;
}

/* The blocks' texts as one string. A block's border is none in the answer, so nothing stands between. */
static int put_joined(struct text *out, const struct json_value *content, const struct json_scratch *spare)
{
    struct text joined = text_on(spare->memory, spare->capacity);
    struct json_walk walk = json_walk(content);
    while (json_next(&walk))
        if (bridge_is(json_get(walk.value, "type"), "text"))
            text_put_span(&joined, json_string(json_get(walk.value, "text")));
    text_put_json(out, text_span(&joined));
    return joined.truncated ? RC_TOO_LARGE : RC_OK;
}

static int put_calls(struct text *out, const struct json_value *content, const struct json_scratch *spare)
{
    unsigned count = 0;
    text_put_text(out, ",\"tool_calls\":[");
    struct json_walk walk = json_walk(content);
    while (json_next(&walk)) {
        struct text input = text_on(spare->memory, spare->capacity);
        if (!bridge_is(json_get(walk.value, "type"), "tool_use")) continue;
        text_put_text(out, count++ ? ",{\"id\":" : "{\"id\":");
        text_put_json(out, json_string(json_get(walk.value, "id")));
        text_put_text(out, ",\"type\":\"function\",\"function\":{\"name\":");
        text_put_json(out, json_string(json_get(walk.value, "name")));
        text_put_text(out, ",\"arguments\":");
        json_write(&input, json_get(walk.value, "input"));
        text_put_json(out, text_span(&input));
        text_put_text(out, "}}");
        if (input.truncated) return RC_TOO_LARGE;
    }
    text_put_char(out, ']');
    return RC_OK;
}

static int put_message(struct text *out, const struct json_value *content, const struct json_scratch *spare)
{
    struct counted counted = {0};
    int rc = count_blocks(content, &counted);
    text_put_text(out, "{\"role\":\"assistant\",\"content\":");
    if (counted.texts || !counted.calls) {
        if (rc == RC_OK) rc = put_joined(out, content, spare);
    } else
        text_put_text(out, "null");
    text_put_text(out, ",\"refusal\":null");
    if (rc == RC_OK && counted.calls) rc = put_calls(out, content, spare);
    text_put_char(out, '}');
    return rc;
}

static int object_to_openai(const struct json_value *root, uint64_t now_s, struct json_scratch *spare, struct text *out)
{
    const struct json_value *content = json_get(root, "content");
    const char *stop = bridge_stop(DIALECT_OPENAI, json_get(root, "stop_reason"));
    struct bridge_tokens tokens = {0};
    if (json_kind(content) != JSON_ARRAY) return RC_CORRUPT;
    text_put_text(out, "{\"id\":");
    text_put_json(out, json_string(json_get(root, "id")));
    text_put_text(out, ",\"object\":\"chat.completion\",\"created\":");
    text_put_u64(out, now_s);
    text_put_text(out, ",\"model\":");
    text_put_json(out, json_string(json_get(root, "model")));
    text_put_text(out, ",\"choices\":[{\"index\":0,\"message\":");
    int rc = put_message(out, content, spare);
    text_put_text(out, ",\"logprobs\":null,\"finish_reason\":");
    put_stop(out, stop);
    text_put_text(out, "}],");
    bridge_tokens_read(DIALECT_OPENAI, json_get(root, "usage"), &tokens);
    bridge_tokens_put(DIALECT_OPENAI, &tokens, out);
    text_put_char(out, '}');
    return rc;
}

int bridge_object(enum dialect to, struct span body, uint64_t now_s, struct json_scratch *scratch, struct text *out)
{
    const struct json_value *root;
    int rc = json_parse(scratch, body, &root, NULL);
    if (rc != RC_OK) return rc == RC_TOO_LARGE ? rc : RC_CORRUPT;
    struct json_scratch spare = json_spare(scratch, root);
    if (spare.capacity == 0) return RC_TOO_LARGE;
    rc = to == DIALECT_ANTHROPIC ? object_to_anthropic(root, &spare, out) : object_to_openai(root, now_s, &spare, out);
    return rc == RC_OK && out->truncated ? RC_TOO_LARGE : rc;
}
