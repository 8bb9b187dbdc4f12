/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/bridge_stream.c — a stream written in the other dialect, each event as it comes.
 *
 * Completions name a call by an index in each delta, messages by blocks that begin and end; what one side says at the
 * start (ids, input tokens) the other says in every chunk or at the end. The state holds just that.
 */
#include "app/gateway/bridge_rules.h"
#include "app/gateway/dialect_events.h"

static void keep(char *kept, struct span s)
{
    size_t size = s.size < BRIDGE_ID_MAX - 1 ? s.size : BRIDGE_ID_MAX - 1;
    while (size < s.size && size > 0 && ((unsigned char)s.data[size] & 0xC0) == 0x80) size--;
    if (size) memcpy(kept, s.data, size);
    kept[size] = 0;
}

/* An error inside a stream: the head has gone out, so its type is what is left to say. */
static int put_error(struct bridge_stream *b, const struct json_value *error, struct text *out)
{
    struct span message = json_string(json_kind(error) == JSON_OBJECT ? json_get(error, "message") : error);
    bool overloaded = bridge_is(json_get(error, "type"), "overloaded_error");
    unsigned status = bridge_status(b->to, overloaded ? 529 : 500);
    if (message.size == 0) message = SPAN("The provider broke off its answer and did not say why.");
    text_put_text(out, b->to == DIALECT_OPENAI ? "data: " : "event: error\ndata: ");
    dialect_error(b->to, status, NULL, message, (struct span){0}, out);
    text_put_text(out, "\n\n");
    b->ended = true;
    return RC_OK;
}

/* ---- to messages */

static void begin_event(struct text *out, const char *type)
{
    text_put_text(out, "event: ");
    text_put_text(out, type);
    text_put_text(out, "\ndata: {\"type\":\"");
    text_put_text(out, type);
    text_put_char(out, '"');
}

static void end_event(struct text *out)
{
    text_put_text(out, "}\n\n");
}

static void start_message(struct bridge_stream *b, const struct json_value *root, struct text *out)
{
    if (b->started) return;
    b->started = true;
    begin_event(out, "message_start");
    text_put_text(out, ",\"message\":{\"id\":");
    text_put_json(out, json_string(json_get(root, "id")));
    text_put_text(out, ",\"type\":\"message\",\"role\":\"assistant\",\"model\":");
    text_put_json(out, json_string(json_get(root, "model")));
    text_put_text(out, ",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,");
    bridge_tokens_put(DIALECT_ANTHROPIC, &b->tokens, out);
    text_put_char(out, '}');
    end_event(out);
}

static void close_block(struct bridge_stream *b, struct text *out)
{
    if (!b->open) return;
    begin_event(out, "content_block_stop");
    text_format(out, ",\"index\":%u", b->blocks - 1);
    end_event(out);
    b->open = false;
}

static void begin_block(struct bridge_stream *b, bool call, struct text *out)
{
    close_block(b, out);
    begin_event(out, "content_block_start");
    text_format(out, ",\"index\":%u,\"content_block\":{", b->blocks++);
    b->open = true;
    b->open_is_call = call;
}

static void begin_delta(struct bridge_stream *b, struct text *out)
{
    begin_event(out, "content_block_delta");
    text_format(out, ",\"index\":%u,\"delta\":{", b->blocks - 1);
}

static void put_text_delta(struct bridge_stream *b, const struct json_value *text, struct text *out)
{
    if (json_string(text).size == 0) return;
    if (!b->open || b->open_is_call) {
        begin_block(b, false, out);
        text_put_text(out, "\"type\":\"text\",\"text\":\"\"}");
        end_event(out);
    }
    begin_delta(b, out);
    text_put_text(out, "\"type\":\"text_delta\",\"text\":");
    text_put_json(out, json_string(text));
    text_put_char(out, '}');
    end_event(out);
}

/* Servers of the local network give each call whole, some with the same index: another id is another call. */
static bool is_other_call(const struct bridge_stream *b, const struct json_value *call, int64_t index)
{
    char id[BRIDGE_ID_MAX];
    if (!b->open || !b->open_is_call || b->call_index != index) return true;
    keep(id, json_string(json_get(call, "id")));
    return id[0] && strcmp(id, b->call_id) != 0;
}

static int begin_call(struct bridge_stream *b, const struct json_value *call, int64_t index, struct text *out)
{
    const struct json_value *name = json_get(json_get(call, "function"), "name");
    struct span id = json_string(json_get(call, "id"));
    if (json_string(name).size == 0) return RC_CORRUPT; /* goes on with a call that has ended */
    begin_block(b, true, out);
    text_put_text(out, "\"type\":\"tool_use\",\"id\":");
    if (id.size)
        text_put_json(out, id);
    else
        text_format(out, "\"call_%u\"", b->calls);
    text_put_text(out, ",\"name\":");
    json_write(out, name);
    text_put_text(out, ",\"input\":{}}");
    end_event(out);
    keep(b->call_id, id);
    b->call_index = index;
    b->calls++;
    return RC_OK;
}

static int put_call_delta(struct bridge_stream *b, const struct json_value *call, struct text *out)
{
    int64_t index = 0;
    (void)json_i64(json_get(call, "index"), &index);
    if (is_other_call(b, call, index)) {
        int rc = begin_call(b, call, index, out);
        if (rc != RC_OK) return rc;
    }
    struct span arguments = json_string(json_get(json_get(call, "function"), "arguments"));
    if (arguments.size == 0) return RC_OK;
    begin_delta(b, out);
    text_put_text(out, "\"type\":\"input_json_delta\",\"partial_json\":");
    text_put_json(out, arguments);
    text_put_char(out, '}');
    end_event(out);
    return RC_OK;
}

static int put_choice(struct bridge_stream *b, const struct json_value *choice, struct text *out)
{
    const struct json_value *delta = json_get(choice, "delta"), *refusal = json_get(delta, "refusal");
    const char *stop = bridge_stop(DIALECT_ANTHROPIC, json_get(choice, "finish_reason"));
    int rc = RC_OK;
    put_text_delta(b, json_get(delta, "content"), out);
    put_text_delta(b, refusal, out);
    if (json_string(refusal).size) b->refused = true;
    struct json_walk walk = json_walk(json_get(delta, "tool_calls"));
    while (rc == RC_OK && json_next(&walk)) rc = put_call_delta(b, walk.value, out);
    if (stop) b->stop = stop;
    return rc;
}

static int event_to_anthropic(struct bridge_stream *b, const struct json_value *root, struct text *out)
{
    const struct json_value *choices = json_get(root, "choices"), *error = json_get(root, "error");
    if (bridge_given(error)) return put_error(b, error, out);
    if (json_kind(choices) != JSON_ARRAY) return RC_CORRUPT;
    bridge_tokens_read(DIALECT_ANTHROPIC, json_get(root, "usage"), &b->tokens);
    start_message(b, root, out);
    return json_count(choices) ? put_choice(b, json_at(choices, 0), out) : RC_OK;
}

/* Without a reason to end it was cut, whatever the end mark says. */
static int end_to_anthropic(struct bridge_stream *b, struct text *out)
{
    if (!b->started || !b->stop) return RC_CORRUPT;
    if (b->refused) b->stop = "refusal";
    if (b->calls && strcmp(b->stop, "end_turn") == 0) b->stop = "tool_use";
    close_block(b, out);
    begin_event(out, "message_delta");
    text_format(out, ",\"delta\":{\"stop_reason\":\"%s\",\"stop_sequence\":null},", b->stop);
    bridge_tokens_put(DIALECT_ANTHROPIC, &b->tokens, out);
    end_event(out);
    begin_event(out, "message_stop");
    end_event(out);
    b->ended = true;
    return RC_OK;
}

/* ---- to completions */

static void begin_chunk(const struct bridge_stream *b, struct text *out)
{
    text_put_text(out, "data: {\"id\":");
    text_put_json(out, span_text(b->id));
    text_put_text(out, ",\"object\":\"chat.completion.chunk\",\"created\":");
    text_put_u64(out, b->now_s);
    text_put_text(out, ",\"model\":");
    text_put_json(out, span_text(b->model));
    text_put_text(out, ",\"choices\":[");
}

static void begin_choice(const struct bridge_stream *b, struct text *out)
{
    begin_chunk(b, out);
    text_put_text(out, "{\"index\":0,\"delta\":{");
}

static void end_choice(const char *finish, struct text *out)
{
    text_put_text(out, "},\"logprobs\":null,\"finish_reason\":");
    if (finish)
        text_format(out, "\"%s\"", finish);
    else
        text_put_text(out, "null");
    text_put_text(out, "}]}\n\n");
}

static void put_content(const struct bridge_stream *b, struct span text, struct text *out)
{
    if (text.size == 0) return;
    begin_choice(b, out);
    text_put_text(out, "\"content\":");
    text_put_json(out, text);
    end_choice(NULL, out);
}

static void put_arguments(struct bridge_stream *b, struct span arguments, struct text *out)
{
    if (arguments.size == 0) return;
    begin_choice(b, out);
    text_format(out, "\"tool_calls\":[{\"index\":%u,\"function\":{\"arguments\":", b->calls - 1);
    text_put_json(out, arguments);
    text_put_text(out, "}}]");
    end_choice(NULL, out);
    b->arguments = true;
}

static int start_completion(struct bridge_stream *b, const struct json_value *message, struct text *out)
{
    if (b->started || json_kind(message) != JSON_OBJECT) return RC_CORRUPT;
    b->started = true;
    keep(b->id, json_string(json_get(message, "id")));
    keep(b->model, json_string(json_get(message, "model")));
    bridge_tokens_read(DIALECT_OPENAI, json_get(message, "usage"), &b->tokens);
    begin_choice(b, out);
    text_put_text(out, "\"role\":\"assistant\",\"content\":\"\",\"refusal\":null");
    end_choice(NULL, out);
    return RC_OK;
}

static int start_block(struct bridge_stream *b, const struct json_value *block, struct text *out)
{
    const struct json_value *type = json_get(block, "type"), *input = json_get(block, "input");
    b->open_is_call = bridge_is(type, "tool_use");
    if (bridge_is(type, "text")) put_content(b, json_string(json_get(block, "text")), out);
    if (!b->open_is_call)
        return bridge_is(type, "text") || bridge_is(type, "thinking") || bridge_is(type, "redacted_thinking")
                   ? RC_OK
                   : RC_CORRUPT;
    begin_choice(b, out);
    text_format(out, "\"tool_calls\":[{\"index\":%u,\"id\":", b->calls++);
    text_put_json(out, json_string(json_get(block, "id")));
    text_put_text(out, ",\"type\":\"function\",\"function\":{\"name\":");
    text_put_json(out, json_string(json_get(block, "name")));
    text_put_text(out, ",\"arguments\":\"\"}}]");
    end_choice(NULL, out);
    b->arguments = false;
    return json_count(input) == 0 ? RC_OK : RC_CORRUPT; /* it comes in deltas */
}

static int put_delta(struct bridge_stream *b, const struct json_value *delta, struct text *out)
{
    const struct json_value *type = json_get(delta, "type");
    if (bridge_is(type, "text_delta")) put_content(b, json_string(json_get(delta, "text")), out);
    if (!bridge_is(type, "input_json_delta")) return RC_OK; /* thoughts and their signatures stay behind */
    if (!b->open_is_call) return RC_CORRUPT;
    put_arguments(b, json_string(json_get(delta, "partial_json")), out);
    return RC_OK;
}

/* No input at all is an empty object; clients parse the arguments as JSON. */
static void stop_block(struct bridge_stream *b, struct text *out)
{
    if (b->open_is_call && !b->arguments) put_arguments(b, SPAN("{}"), out);
    b->open_is_call = false;
}

static int stop_completion(struct bridge_stream *b, struct text *out)
{
    if (!b->stop) return RC_CORRUPT;
    begin_choice(b, out);
    end_choice(b->stop, out);
    begin_chunk(b, out);
    text_put_text(out, "],");
    bridge_tokens_put(DIALECT_OPENAI, &b->tokens, out);
    text_put_text(out, "}\n\ndata: [DONE]\n\n");
    b->ended = true;
    return RC_OK;
}

static int event_to_openai(struct bridge_stream *b, const struct json_value *root, struct text *out)
{
    const struct json_value *type = json_get(root, "type");
    if (bridge_is(type, "ping")) return RC_OK;
    if (bridge_is(type, "error")) return put_error(b, json_get(root, "error"), out);
    if (bridge_is(type, "message_start")) return start_completion(b, json_get(root, "message"), out);
    if (!b->started) return RC_CORRUPT;
    if (bridge_is(type, "content_block_start")) return start_block(b, json_get(root, "content_block"), out);
    if (bridge_is(type, "content_block_delta")) return put_delta(b, json_get(root, "delta"), out);
    if (bridge_is(type, "content_block_stop")) stop_block(b, out);
    if (bridge_is(type, "message_delta")) {
        const char *stop = bridge_stop(DIALECT_OPENAI, json_get(json_get(root, "delta"), "stop_reason"));
        bridge_tokens_read(DIALECT_OPENAI, json_get(root, "usage"), &b->tokens);
        if (stop) b->stop = stop;
    }
    return bridge_is(type, "message_stop") ? stop_completion(b, out) : RC_OK; /* kinds to come are none of ours */
}

/* ---- either */

int bridge_stream_event(struct bridge_stream *b, struct span data, struct json_scratch *scratch, struct text *out)
{
    const struct json_value *root;
    if (b->ended || data.size == 0) return RC_OK;
    if (b->to == DIALECT_ANTHROPIC && event_is_done(data)) {
        int rc = end_to_anthropic(b, out);
        return rc == RC_OK && out->truncated ? RC_TOO_LARGE : rc;
    }
    int rc = json_parse(scratch, data, &root, NULL);
    if (rc != RC_OK) return rc == RC_TOO_LARGE ? rc : RC_CORRUPT;
    if (json_kind(root) != JSON_OBJECT) return RC_CORRUPT;
    rc = b->to == DIALECT_ANTHROPIC ? event_to_anthropic(b, root, out) : event_to_openai(b, root, out);
    return rc == RC_OK && out->truncated ? RC_TOO_LARGE : rc;
}
