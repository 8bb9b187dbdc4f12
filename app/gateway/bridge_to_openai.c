/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/bridge_to_openai.c — a messages request written as a completions request.
 *
 * A user's turn becomes one tool message a result, which must follow the calls, and one user message with the rest.
 * Servers differ in what arrays of parts they take, so text alone is one string: blocks are joined by a blank line.
 */
#include "app/gateway/bridge_rules.h"

struct messages {
    struct bridge_writing w;
    unsigned count;
};

static const struct bridge_field envelope[] = {
    {"model", BRIDGE_MAPPED, NULL},
    {"messages", BRIDGE_MAPPED, NULL},
    {"system", BRIDGE_MAPPED, NULL},
    {"max_tokens", BRIDGE_MAPPED, NULL},
    {"temperature", BRIDGE_MAPPED, NULL},
    {"top_p", BRIDGE_MAPPED, NULL},
    {"stop_sequences", BRIDGE_MAPPED, NULL},
    {"stream", BRIDGE_MAPPED, NULL},
    {"metadata", BRIDGE_MAPPED, NULL},
    {"tools", BRIDGE_MAPPED, NULL},
    {"tool_choice", BRIDGE_MAPPED, NULL},
    {"thinking", BRIDGE_MAPPED, NULL},
    {"context_management", BRIDGE_MAPPED, NULL},
    {"cache_control", BRIDGE_IGNORED, NULL},
    {"service_tier", BRIDGE_IGNORED, NULL},
    {"output_config", BRIDGE_UNLESS_SET, NULL},
    {"mcp_servers", BRIDGE_UNLESS_SET, NULL},
};

/* ---- images */

/* Into a string that is open: base64 and media types need no escapes, and what would is no part of them. */
static void put_inside(struct text *out, struct span s)
{
    size_t from = 0;
    for (size_t i = 0; i < s.size; i++) {
        unsigned char c = (unsigned char)s.data[i];
        if (c > ' ' && c < 0x7f && c != '"' && c != '\\') continue;
        text_put(out, s.data + from, i - from);
        from = i + 1;
    }
    if (s.size > from) text_put(out, s.data + from, s.size - from);
}

static int put_image_url(const struct bridge_writing *w, const struct bridge_place *place,
                         const struct json_value *block)
{
    const struct json_value *source = json_get(block, "source"), *type = json_get(source, "type");
    bool inlined = bridge_is(type, "base64");
    if (!inlined && !bridge_is(type, "url"))
        return bridge_refuse(w, place, SPAN("source.type"), "only base64 and url have a counterpart");
    text_put_text(w->out, "{\"type\":\"image_url\",\"image_url\":{\"url\":");
    if (!inlined) {
        json_write(w->out, json_get(source, "url"));
    } else {
        text_put_text(w->out, "\"data:");
        put_inside(w->out, json_string(json_get(source, "media_type")));
        text_put_text(w->out, ";base64,");
        put_inside(w->out, json_string(json_get(source, "data")));
        text_put_char(w->out, '"');
    }
    text_put_text(w->out, "}}");
    return RC_OK;
}

/* ---- content */

static const struct bridge_field text_fields[] = {{"type", BRIDGE_MAPPED, NULL},
                                                  {"text", BRIDGE_MAPPED, NULL},
                                                  {"cache_control", BRIDGE_IGNORED, NULL},
                                                  {"citations", BRIDGE_UNLESS_SET, NULL}};
static const struct bridge_field image_fields[] = {
    {"type", BRIDGE_MAPPED, NULL}, {"source", BRIDGE_MAPPED, NULL}, {"cache_control", BRIDGE_IGNORED, NULL}};

/* What stands in a user's turn, in a tool's result, or in the system prompt. */
static int check_block(const struct bridge_writing *w, const struct bridge_place *place, const struct json_value *block,
                       bool images)
{
    const struct json_value *type = json_get(block, "type");
    if (bridge_is(type, "text")) return BRIDGE_CHECK(w, place, block, text_fields);
    if (images && bridge_is(type, "image")) return BRIDGE_CHECK(w, place, block, image_fields);
    return bridge_refuse(w, place, SPAN("type"),
                         images ? "only text and images have a counterpart" : "only text has a counterpart");
}

static int check_blocks(const struct bridge_writing *w, const struct bridge_place *up, const char *name,
                        const struct json_value *content, bool images)
{
    size_t index = 0;
    struct json_walk walk = json_walk(json_kind(content) == JSON_ARRAY ? content : NULL);
    while (json_next(&walk)) {
        struct bridge_place place = bridge_item(up, name, index++);
        int rc = check_block(w, &place, walk.value, images);
        if (rc != RC_OK) return rc;
    }
    return RC_OK;
}

static void begin_message(struct messages *m, const char *role)
{
    if (m->count++) text_put_char(m->w.out, ',');
    text_format(m->w.out, "{\"role\":\"%s\",\"content\":", role);
}

static int put_system(struct messages *m, const struct json_value *system)
{
    if (!bridge_given(system) || (json_kind(system) == JSON_ARRAY && json_count(system) == 0)) return RC_OK;
    int rc = check_blocks(&m->w, NULL, "system", system, false);
    begin_message(m, "system");
    bridge_put_texts(m->w.out, system, "");
    text_put_char(m->w.out, '}');
    return rc;
}

/* ---- the user's turn */

static int put_result(struct messages *m, const struct bridge_place *place, const struct json_value *block)
{
    static const struct bridge_field fields[] = {{"type", BRIDGE_MAPPED, NULL},
                                                 {"tool_use_id", BRIDGE_MAPPED, NULL},
                                                 {"content", BRIDGE_MAPPED, NULL},
                                                 {"is_error", BRIDGE_MAPPED, NULL},
                                                 {"cache_control", BRIDGE_IGNORED, NULL}};
    const struct json_value *content = json_get(block, "content");
    int rc = BRIDGE_CHECK(&m->w, place, block, fields);
    if (rc == RC_OK) rc = check_blocks(&m->w, place, "content", content, true);
    begin_message(m, "tool");
    bridge_put_texts(m->w.out, content, json_is_true(json_get(block, "is_error")) ? "Error: " : "");
    text_put_text(m->w.out, ",\"tool_call_id\":");
    text_put_json(m->w.out, json_string(json_get(block, "tool_use_id")));
    text_put_char(m->w.out, '}');
    return rc;
}

/* Parts of the user message: the blocks, and the images of results, which tool messages cannot hold. */
struct parts {
    struct messages *m;
    size_t texts, images; /* counted first */
    unsigned written;
};

static void count_blocks(struct parts *p, const struct json_value *content)
{
    struct json_walk walk = json_walk(json_kind(content) == JSON_ARRAY ? content : NULL);
    while (json_next(&walk)) {
        const struct json_value *type = json_get(walk.value, "type");
        p->texts += bridge_is(type, "text");
        p->images += bridge_is(type, "image");
        if (!bridge_is(type, "tool_result")) continue;
        struct json_walk inner = json_walk(json_get(walk.value, "content"));
        while (json_next(&inner)) p->images += bridge_is(json_get(inner.value, "type"), "image");
    }
}

static int put_part(struct parts *p, const struct bridge_place *place, const struct json_value *block, bool texts)
{
    const struct json_value *type = json_get(block, "type");
    struct text *out = p->m->w.out;
    if (!bridge_is(type, "image") && !(texts && bridge_is(type, "text"))) return RC_OK;
    if (p->written++) text_put_char(out, ',');
    if (bridge_is(type, "image")) return put_image_url(&p->m->w, place, block);
    text_put_text(out, "{\"type\":\"text\",\"text\":");
    text_put_json(out, json_string(json_get(block, "text")));
    text_put_char(out, '}');
    return RC_OK;
}

static int put_parts(struct parts *p, const struct bridge_place *up, const struct json_value *content, bool texts)
{
    int rc = RC_OK;
    size_t index = 0;
    struct json_walk walk = json_walk(json_kind(content) == JSON_ARRAY ? content : NULL);
    while (rc == RC_OK && json_next(&walk)) {
        struct bridge_place place = bridge_item(up, "content", index++);
        if (bridge_is(json_get(walk.value, "type"), "tool_result"))
            rc = put_parts(p, &place, json_get(walk.value, "content"), false);
        else
            rc = put_part(p, &place, walk.value, texts);
    }
    return rc;
}

static int put_results(struct messages *m, const struct bridge_place *up, const struct json_value *content)
{
    int rc = RC_OK;
    size_t index = 0;
    struct json_walk walk = json_walk(json_kind(content) == JSON_ARRAY ? content : NULL);
    while (rc == RC_OK && json_next(&walk)) {
        struct bridge_place place = bridge_item(up, "content", index++);
        rc = bridge_is(json_get(walk.value, "type"), "tool_result") ? put_result(m, &place, walk.value)
                                                                    : check_block(&m->w, &place, walk.value, true);
    }
    return rc;
}

static int put_user(struct messages *m, const struct bridge_place *place, const struct json_value *content)
{
    struct parts p = {.m = m};
    int rc = put_results(m, place, content);
    count_blocks(&p, content);
    bool string = json_kind(content) == JSON_STRING;
    if (rc != RC_OK || (!string && p.texts + p.images == 0)) return rc;
    begin_message(m, "user");
    if (string || p.images == 0) {
        bridge_put_texts(m->w.out, content, "");
    } else {
        text_put_char(m->w.out, '[');
        rc = put_parts(&p, place, content, true);
        text_put_char(m->w.out, ']');
    }
    text_put_char(m->w.out, '}');
    return rc;
}

/* ---- the assistant's turn */

/* Thinking stays behind: it is signed for the provider that thought, and its own API forgets it after the turn too. */
static bool is_thinking(const struct json_value *type)
{
    return bridge_is(type, "thinking") || bridge_is(type, "redacted_thinking");
}

static int check_assistant(struct messages *m, const struct bridge_place *up, const struct json_value *content,
                           size_t *texts, size_t *calls)
{
    static const struct bridge_field fields[] = {
        {"type", BRIDGE_MAPPED, NULL},  {"id", BRIDGE_MAPPED, NULL},      {"name", BRIDGE_MAPPED, NULL},
        {"input", BRIDGE_MAPPED, NULL}, {"caller", BRIDGE_IGNORED, NULL}, {"cache_control", BRIDGE_IGNORED, NULL}};
    int rc = RC_OK;
    size_t index = 0;
    struct json_walk walk = json_walk(json_kind(content) == JSON_ARRAY ? content : NULL);
    while (rc == RC_OK && json_next(&walk)) {
        struct bridge_place place = bridge_item(up, "content", index++);
        const struct json_value *type = json_get(walk.value, "type");
        bool call = bridge_is(type, "tool_use");
        *calls += call;
        *texts += bridge_is(type, "text");
        if (!is_thinking(type))
            rc = call ? BRIDGE_CHECK(&m->w, &place, walk.value, fields) : check_block(&m->w, &place, walk.value, false);
    }
    return rc;
}

/* The input is an object; as arguments it is that object's text inside a string. */
static int put_arguments(const struct bridge_writing *w, const struct json_value *input)
{
    struct text copy = text_on(w->spare->memory, w->spare->capacity);
    if (json_kind(input) == JSON_OBJECT)
        json_write(&copy, input);
    else
        text_put_text(&copy, "{}");
    text_put_json(w->out, text_span(&copy));
    return copy.truncated ? RC_TOO_LARGE : RC_OK;
}

static int put_calls(struct messages *m, const struct json_value *content)
{
    int rc = RC_OK;
    unsigned count = 0;
    struct text *out = m->w.out;
    text_put_text(out, ",\"tool_calls\":[");
    struct json_walk walk = json_walk(content);
    while (rc == RC_OK && json_next(&walk)) {
        if (!bridge_is(json_get(walk.value, "type"), "tool_use")) continue;
        text_put_text(out, count++ ? ",{\"id\":" : "{\"id\":");
        text_put_json(out, json_string(json_get(walk.value, "id")));
        text_put_text(out, ",\"type\":\"function\",\"function\":{\"name\":");
        text_put_json(out, json_string(json_get(walk.value, "name")));
        text_put_text(out, ",\"arguments\":");
        rc = put_arguments(&m->w, json_get(walk.value, "input"));
        text_put_text(out, "}}");
    }
    text_put_char(out, ']');
    return rc;
}

static int put_assistant(struct messages *m, const struct bridge_place *place, const struct json_value *content)
{
    size_t texts = 0, calls = 0;
    int rc = check_assistant(m, place, content, &texts, &calls);
    begin_message(m, "assistant");
    if (texts == 0 && calls > 0)
        text_put_text(m->w.out, "null");
    else
        bridge_put_texts(m->w.out, content, "");
    if (rc == RC_OK && calls) rc = put_calls(m, content);
    text_put_char(m->w.out, '}');
    return rc;
}

static int put_message(struct messages *m, const struct bridge_place *place, const struct json_value *message)
{
    static const struct bridge_field fields[] = {{"role", BRIDGE_MAPPED, NULL}, {"content", BRIDGE_MAPPED, NULL}};
    const struct json_value *role = json_get(message, "role"), *content = json_get(message, "content");
    int rc = BRIDGE_CHECK(&m->w, place, message, fields);
    if (rc != RC_OK) return rc;
    if (json_kind(content) != JSON_STRING && json_kind(content) != JSON_ARRAY)
        return bridge_refuse(&m->w, place, SPAN("content"), "no text or blocks");
    if (bridge_is(role, "user")) return put_user(m, place, content);
    if (bridge_is(role, "assistant")) return put_assistant(m, place, content);
    if (!bridge_is(role, "system")) return bridge_refuse(&m->w, place, SPAN("role"), "an unknown role");
    rc = check_blocks(&m->w, place, "content", content, false);
    begin_message(m, "system");
    bridge_put_texts(m->w.out, content, "");
    text_put_char(m->w.out, '}');
    return rc;
}

static int put_messages(struct messages *m, const struct json_value *root)
{
    size_t index = 0;
    text_put_text(m->w.out, ",\"messages\":[");
    int rc = put_system(m, json_get(root, "system"));
    struct json_walk walk = json_walk(json_get(root, "messages"));
    while (rc == RC_OK && json_next(&walk)) {
        struct bridge_place place = bridge_item(NULL, "messages", index++);
        rc = put_message(m, &place, walk.value);
    }
    text_put_char(m->w.out, ']');
    return rc;
}

/* ---- tools */

static int put_tool(const struct bridge_writing *w, const struct bridge_place *place, const struct json_value *tool)
{
    static const struct bridge_field fields[] = {{"type", BRIDGE_MAPPED, NULL},
                                                 {"name", BRIDGE_MAPPED, NULL},
                                                 {"description", BRIDGE_MAPPED, NULL},
                                                 {"input_schema", BRIDGE_MAPPED, NULL},
                                                 {"strict", BRIDGE_MAPPED, NULL},
                                                 {"cache_control", BRIDGE_IGNORED, NULL},
                                                 {"defer_loading", BRIDGE_UNLESS_SET, NULL},
                                                 {"eager_input_streaming", BRIDGE_IGNORED, NULL}};
    const struct json_value *type = json_get(tool, "type");
    if (bridge_given(type) && !bridge_is(type, "custom"))
        return bridge_refuse(w, place, SPAN("type"), "tools that the provider runs or defines have no counterpart");
    int rc = BRIDGE_CHECK(w, place, tool, fields);
    text_put_text(w->out, "{\"type\":\"function\",\"function\":{\"name\":");
    text_put_json(w->out, json_string(json_get(tool, "name")));
    bridge_copy(w->out, "description", json_get(tool, "description"));
    bridge_copy(w->out, "parameters", json_get(tool, "input_schema"));
    bridge_copy(w->out, "strict", json_get(tool, "strict"));
    text_put_text(w->out, "}}");
    return rc;
}

static int put_tools(const struct bridge_writing *w, const struct json_value *tools)
{
    int rc = RC_OK;
    size_t index = 0;
    if (json_count(tools) == 0) return RC_OK;
    text_put_text(w->out, ",\"tools\":[");
    struct json_walk walk = json_walk(tools);
    while (rc == RC_OK && json_next(&walk)) {
        struct bridge_place place = bridge_item(NULL, "tools", index);
        if (index++) text_put_char(w->out, ',');
        rc = put_tool(w, &place, walk.value);
    }
    text_put_char(w->out, ']');
    return rc;
}

static int put_tool_choice(const struct bridge_writing *w, const struct json_value *choice)
{
    const struct json_value *type = json_get(choice, "type");
    if (!bridge_given(choice)) return RC_OK;
    if (bridge_is(type, "auto"))
        text_put_text(w->out, ",\"tool_choice\":\"auto\"");
    else if (bridge_is(type, "none"))
        text_put_text(w->out, ",\"tool_choice\":\"none\"");
    else if (bridge_is(type, "any"))
        text_put_text(w->out, ",\"tool_choice\":\"required\"");
    else if (bridge_is(type, "tool")) {
        text_put_text(w->out, ",\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":");
        text_put_json(w->out, json_string(json_get(choice, "name")));
        text_put_text(w->out, "}}");
    } else
        return bridge_refuse(w, NULL, SPAN("tool_choice.type"), "only auto, any, none and tool are known");
    if (json_is_true(json_get(choice, "disable_parallel_tool_use")))
        text_put_text(w->out, ",\"parallel_tool_calls\":false");
    return RC_OK;
}

/* ---- the envelope */

/* `adaptive` leaves it to the model whether it thinks: one that does not is what was asked for. */
static int check_thinking(const struct bridge_writing *w, const struct json_value *thinking)
{
    const struct json_value *type = json_get(thinking, "type");
    if (!bridge_given(thinking) || bridge_is(type, "disabled") || bridge_is(type, "adaptive")) return RC_OK;
    return bridge_refuse(w, NULL, SPAN("thinking"), "a budget for thinking has no counterpart; turn thinking off");
}

/* Clearing thinking asks for nothing here, where none is carried over. */
static int check_context(const struct bridge_writing *w, const struct json_value *management)
{
    struct json_walk walk = json_walk(json_get(management, "edits"));
    while (json_next(&walk))
        if (!span_starts_with(json_string(json_get(walk.value, "type")), SPAN("clear_thinking_")))
            return bridge_refuse(w, NULL, SPAN("context_management"), "only clearing of thinking is known");
    return RC_OK;
}

static int check_values(const struct bridge_writing *w, const struct json_value *root)
{
    static const struct bridge_field metadata[] = {{"user_id", BRIDGE_MAPPED, NULL}};
    struct bridge_place place = bridge_member(NULL, "metadata");
    int rc = check_thinking(w, json_get(root, "thinking"));
    if (rc == RC_OK) rc = check_context(w, json_get(root, "context_management"));
    return rc == RC_OK ? BRIDGE_CHECK(w, &place, json_get(root, "metadata"), metadata) : rc;
}

static void put_parameters(struct text *out, const struct json_value *root)
{
    bridge_copy(out, "max_tokens", json_get(root, "max_tokens"));
    bridge_copy(out, "temperature", json_get(root, "temperature"));
    bridge_copy(out, "top_p", json_get(root, "top_p"));
    bridge_copy(out, "stop", json_get(root, "stop_sequences"));
    bridge_copy(out, "stream", json_get(root, "stream"));
    if (json_is_true(json_get(root, "stream"))) text_put_text(out, ",\"stream_options\":{\"include_usage\":true}");
    bridge_copy(out, "user", json_get(json_get(root, "metadata"), "user_id"));
}

int bridge_request_to_openai(const struct json_value *root, struct json_scratch *spare, struct text *out,
                             struct bridge_refusal *refusal)
{
    struct messages m = {.w = {.out = out, .spare = spare, .refusal = refusal, .provider = "OpenAI"}};
    int rc = BRIDGE_CHECK(&m.w, NULL, root, envelope);
    if (rc == RC_OK) rc = check_values(&m.w, root);
    if (rc != RC_OK) return rc;
    text_put_text(out, "{\"model\":");
    json_write(out, json_get(root, "model"));
    put_parameters(out, root);
    rc = put_messages(&m, root);
    if (rc == RC_OK) rc = put_tools(&m.w, json_get(root, "tools"));
    if (rc == RC_OK) rc = put_tool_choice(&m.w, json_get(root, "tool_choice"));
    text_put_char(out, '}');
    return rc;
}
