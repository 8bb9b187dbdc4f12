/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/bridge_to_anthropic.c — a completions request written as a messages request.
 *
 * Roles become turns: what stands for the user, tool results too, goes into one turn until the assistant speaks, since
 * all results of one round of calls must come together. Every content is an array of blocks.
 */
#include "app/gateway/bridge_rules.h"

struct turns {
    struct bridge_writing w;
    bool open, user, any_block;
    unsigned count;
};

static const struct bridge_field envelope[] = {
    {"model", BRIDGE_MAPPED, NULL},
    {"messages", BRIDGE_MAPPED, NULL},
    {"max_tokens", BRIDGE_MAPPED, NULL},
    {"max_completion_tokens", BRIDGE_MAPPED, NULL},
    {"temperature", BRIDGE_MAPPED, NULL},
    {"top_p", BRIDGE_MAPPED, NULL},
    {"stop", BRIDGE_MAPPED, NULL},
    {"stream", BRIDGE_MAPPED, NULL},
    {"stream_options", BRIDGE_IGNORED, NULL}, /* the box makes the usage chunk itself */
    {"user", BRIDGE_MAPPED, NULL},
    {"tools", BRIDGE_MAPPED, NULL},
    {"tool_choice", BRIDGE_MAPPED, NULL},
    {"parallel_tool_calls", BRIDGE_MAPPED, NULL},
    {"n", BRIDGE_UNLESS_ONE, NULL},
    {"response_format", BRIDGE_MAPPED, NULL},
    {"modalities", BRIDGE_MAPPED, NULL},
    {"logprobs", BRIDGE_UNLESS_SET, NULL},
    {"top_logprobs", BRIDGE_UNLESS_SET, NULL},
    {"frequency_penalty", BRIDGE_UNLESS_SET, NULL},
    {"presence_penalty", BRIDGE_UNLESS_SET, NULL},
    {"logit_bias", BRIDGE_UNLESS_SET, NULL},
    {"functions", BRIDGE_UNLESS_SET, NULL},
    {"store", BRIDGE_UNLESS_SET, NULL},
    {"reasoning_effort", BRIDGE_UNLESS_SET, "none"},
    {"service_tier", BRIDGE_IGNORED, NULL},
    {"metadata", BRIDGE_IGNORED, NULL}, /* labels of a kept completion, and none is kept */
    {"safety_identifier", BRIDGE_IGNORED, NULL},
    {"prompt_cache_key", BRIDGE_IGNORED, NULL},
    {"prompt_cache_retention", BRIDGE_IGNORED, NULL},
};

/* ---- content */

static void next_block(struct turns *t)
{
    if (t->any_block) text_put_char(t->w.out, ',');
    t->any_block = true;
}

static void put_text_block(struct turns *t, struct span text)
{
    if (text.size == 0) return; /* the API takes no empty text */
    next_block(t);
    text_put_text(t->w.out, "{\"type\":\"text\",\"text\":");
    text_put_json(t->w.out, text);
    text_put_char(t->w.out, '}');
}

/* "data:image/png;base64,AAAA" */
static bool cut_data_url(struct span url, struct span *type, struct span *data)
{
    if (!span_starts_with(url, SPAN("data:"))) return false;
    *data = span_cut(span_of(url.data + 5, url.size - 5), ',', type);
    if (!span_ends_with(*type, SPAN(";base64"))) return false;
    type->size -= sizeof ";base64" - 1;
    return type->size > 0;
}

static int put_image(struct turns *t, const struct bridge_place *place, const struct json_value *part)
{
    static const struct bridge_field fields[] = {{"url", BRIDGE_MAPPED, NULL}, {"detail", BRIDGE_MAPPED, NULL}};
    const struct json_value *image = json_get(part, "image_url"), *detail = json_get(image, "detail");
    struct bridge_place inside = bridge_member(place, "image_url");
    struct span url = json_string(json_get(image, "url")), type, data;
    int rc = BRIDGE_CHECK(&t->w, &inside, image, fields);
    if (rc != RC_OK) return rc;
    if (bridge_given(detail) && !bridge_is(detail, "auto") && !bridge_is(detail, "high"))
        return bridge_refuse(&t->w, &inside, SPAN("detail"), "an image is always looked at in full there");
    bool inlined = cut_data_url(url, &type, &data);
    if (!inlined && !span_starts_with(url, SPAN("http")))
        return bridge_refuse(&t->w, &inside, SPAN("url"), "neither a base64 data URL nor a web address");
    next_block(t);
    text_put_text(t->w.out, "{\"type\":\"image\",\"source\":{\"type\":");
    text_put_text(t->w.out, inlined ? "\"base64\",\"media_type\":" : "\"url\",\"url\":");
    text_put_json(t->w.out, inlined ? type : url);
    if (inlined) {
        text_put_text(t->w.out, ",\"data\":");
        text_put_json(t->w.out, data);
    }
    text_put_text(t->w.out, "}}");
    return RC_OK;
}

static int put_part(struct turns *t, const struct bridge_place *place, const struct json_value *part)
{
    static const struct bridge_field fields[] = {{"type", BRIDGE_MAPPED, NULL},
                                                 {"text", BRIDGE_MAPPED, NULL},
                                                 {"refusal", BRIDGE_MAPPED, NULL},
                                                 {"image_url", BRIDGE_MAPPED, NULL}};
    const struct json_value *type = json_get(part, "type");
    if (bridge_is(type, "image_url") && t->user) {
        int rc = BRIDGE_CHECK(&t->w, place, part, fields);
        return rc == RC_OK ? put_image(t, place, part) : rc;
    }
    if (!bridge_is(type, "text") && !bridge_is(type, "refusal"))
        return bridge_refuse(&t->w, place, SPAN("type"), "only text and images have a counterpart");
    int rc = BRIDGE_CHECK(&t->w, place, part, fields);
    put_text_block(t, json_string(json_get(part, bridge_is(type, "text") ? "text" : "refusal")));
    return rc;
}

static int put_content(struct turns *t, const struct bridge_place *place, const struct json_value *content)
{
    if (json_kind(content) == JSON_STRING) put_text_block(t, json_string(content));
    if (!bridge_given(content) || json_kind(content) == JSON_STRING) return RC_OK;
    if (json_kind(content) != JSON_ARRAY) return bridge_refuse(&t->w, place, SPAN("content"), "no text or parts");
    size_t index = 0;
    struct json_walk walk = json_walk(content);
    while (json_next(&walk)) {
        struct bridge_place part = bridge_item(place, "content", index++);
        int rc = put_part(t, &part, walk.value);
        if (rc != RC_OK) return rc;
    }
    return RC_OK;
}

/* ---- turns */

static void close_turn(struct turns *t)
{
    if (t->open) text_put_text(t->w.out, "]}");
    t->open = false;
}

static void open_turn(struct turns *t, bool user)
{
    if (t->open && t->user == user) return;
    close_turn(t);
    if (t->count++) text_put_char(t->w.out, ',');
    text_put_text(t->w.out, user ? "{\"role\":\"user\",\"content\":[" : "{\"role\":\"assistant\",\"content\":[");
    t->open = true;
    t->user = user;
    t->any_block = false;
}

/* The arguments are JSON inside a string; here they are an object. */
static int put_arguments(struct turns *t, const struct bridge_place *place, const struct json_value *arguments)
{
    const struct json_value *input = NULL;
    struct span text = span_trim(json_string(arguments));
    if (text.size > 0) {
        int rc = json_parse(t->w.spare, text, &input, NULL);
        if (rc == RC_TOO_LARGE) return rc;
        if (rc != RC_OK || json_kind(input) != JSON_OBJECT)
            return bridge_refuse(&t->w, place, SPAN("function.arguments"), "the text is no JSON object");
    }
    if (input)
        json_write(t->w.out, input);
    else
        text_put_text(t->w.out, "{}");
    return RC_OK;
}

static int put_call(struct turns *t, const struct bridge_place *place, const struct json_value *call)
{
    const struct json_value *function = json_get(call, "function"), *type = json_get(call, "type");
    if (bridge_given(type) && !bridge_is(type, "function"))
        return bridge_refuse(&t->w, place, SPAN("type"), "only calls of functions have a counterpart");
    next_block(t);
    text_put_text(t->w.out, "{\"type\":\"tool_use\",\"id\":");
    text_put_json(t->w.out, json_string(json_get(call, "id")));
    text_put_text(t->w.out, ",\"name\":");
    text_put_json(t->w.out, json_string(json_get(function, "name")));
    text_put_text(t->w.out, ",\"input\":");
    int rc = put_arguments(t, place, json_get(function, "arguments"));
    text_put_char(t->w.out, '}');
    return rc;
}

static int put_assistant(struct turns *t, const struct bridge_place *place, const struct json_value *message)
{
    size_t index = 0;
    open_turn(t, false);
    int rc = put_content(t, place, json_get(message, "content"));
    put_text_block(t, json_string(json_get(message, "refusal")));
    struct json_walk walk = json_walk(json_get(message, "tool_calls"));
    while (rc == RC_OK && json_next(&walk)) {
        struct bridge_place call = bridge_item(place, "tool_calls", index++);
        rc = put_call(t, &call, walk.value);
    }
    return rc;
}

static int put_result(struct turns *t, const struct bridge_place *place, const struct json_value *message)
{
    open_turn(t, true);
    next_block(t);
    text_put_text(t->w.out, "{\"type\":\"tool_result\",\"tool_use_id\":");
    text_put_json(t->w.out, json_string(json_get(message, "tool_call_id")));
    text_put_text(t->w.out, ",\"content\":[");
    t->any_block = false;
    int rc = put_content(t, place, json_get(message, "content"));
    text_put_text(t->w.out, "]}");
    t->any_block = true;
    return rc;
}

static bool is_system(const struct json_value *message)
{
    const struct json_value *role = json_get(message, "role");
    return bridge_is(role, "system") || bridge_is(role, "developer");
}

static int put_message(struct turns *t, const struct bridge_place *place, const struct json_value *message)
{
    static const struct bridge_field fields[] = {{"role", BRIDGE_MAPPED, NULL},
                                                 {"content", BRIDGE_MAPPED, NULL},
                                                 {"tool_calls", BRIDGE_MAPPED, NULL},
                                                 {"tool_call_id", BRIDGE_MAPPED, NULL},
                                                 {"refusal", BRIDGE_MAPPED, NULL},
                                                 {"annotations", BRIDGE_UNLESS_SET, NULL},
                                                 {"reasoning", BRIDGE_IGNORED, NULL},
                                                 {"reasoning_content", BRIDGE_IGNORED, NULL},
                                                 {"function_call", BRIDGE_UNLESS_SET, NULL}};
    const struct json_value *role = json_get(message, "role");
    int rc = BRIDGE_CHECK(&t->w, place, message, fields);
    if (rc != RC_OK) return rc;
    if (is_system(message))
        return bridge_refuse(&t->w, place, SPAN("role"), "a system message must stand before the conversation there");
    if (bridge_is(role, "assistant")) return put_assistant(t, place, message);
    if (bridge_is(role, "tool")) return put_result(t, place, message);
    if (!bridge_is(role, "user")) return bridge_refuse(&t->w, place, SPAN("role"), "an unknown role");
    open_turn(t, true);
    return put_content(t, place, json_get(message, "content"));
}

/* ---- system prompts, which lead */

static int put_system(struct turns *t, const struct json_value *messages, size_t *leading)
{
    struct json_walk walk = json_walk(messages);
    int rc = RC_OK;
    *leading = 0;
    t->user = t->any_block = false;
    while (rc == RC_OK && json_next(&walk) && is_system(walk.value)) {
        static const struct bridge_field fields[] = {{"role", BRIDGE_MAPPED, NULL}, {"content", BRIDGE_MAPPED, NULL}};
        struct bridge_place place = bridge_item(NULL, "messages", *leading);
        if ((*leading)++ == 0) text_put_text(t->w.out, ",\"system\":[");
        rc = BRIDGE_CHECK(&t->w, &place, walk.value, fields);
        if (rc == RC_OK) rc = put_content(t, &place, json_get(walk.value, "content"));
    }
    if (*leading) text_put_char(t->w.out, ']');
    return rc;
}

static int put_messages(struct turns *t, const struct json_value *messages)
{
    size_t leading, index = 0;
    int rc = put_system(t, messages, &leading);
    text_put_text(t->w.out, ",\"messages\":[");
    struct json_walk walk = json_walk(messages);
    while (rc == RC_OK && json_next(&walk)) {
        struct bridge_place place = bridge_item(NULL, "messages", index++);
        if (index > leading) rc = put_message(t, &place, walk.value);
    }
    close_turn(t);
    text_put_char(t->w.out, ']');
    return rc;
}

/* ---- tools */

static int put_tool(const struct bridge_writing *w, const struct bridge_place *place, const struct json_value *tool)
{
    static const struct bridge_field outer[] = {{"type", BRIDGE_MAPPED, NULL}, {"function", BRIDGE_MAPPED, NULL}};
    static const struct bridge_field inner[] = {{"name", BRIDGE_MAPPED, NULL},
                                                {"description", BRIDGE_MAPPED, NULL},
                                                {"parameters", BRIDGE_MAPPED, NULL},
                                                {"strict", BRIDGE_UNLESS_SET, NULL}};
    const struct json_value *function = json_get(tool, "function"), *parameters = json_get(function, "parameters");
    struct bridge_place inside = bridge_member(place, "function");
    if (!bridge_is(json_get(tool, "type"), "function"))
        return bridge_refuse(w, place, SPAN("type"), "only functions have a counterpart");
    int rc = BRIDGE_CHECK(w, place, tool, outer);
    if (rc == RC_OK) rc = BRIDGE_CHECK(w, &inside, function, inner);
    text_put_text(w->out, "{\"name\":");
    text_put_json(w->out, json_string(json_get(function, "name")));
    bridge_copy(w->out, "description", json_get(function, "description"));
    if (bridge_given(parameters))
        bridge_copy(w->out, "input_schema", parameters);
    else
        text_put_text(w->out, ",\"input_schema\":{\"type\":\"object\",\"properties\":{}}");
    text_put_char(w->out, '}');
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

static int put_tool_choice(const struct bridge_writing *w, const struct json_value *root)
{
    const struct json_value *choice = json_get(root, "tool_choice"), *parallel = json_get(root, "parallel_tool_calls");
    bool one = json_kind(parallel) == JSON_FALSE && json_count(json_get(root, "tools")) > 0;
    struct span name = json_string(json_get(json_get(choice, "function"), "name"));
    const char *type = "auto";
    if (!bridge_given(choice) && !one) return RC_OK;
    if (bridge_is(choice, "required"))
        type = "any";
    else if (bridge_is(choice, "none"))
        type = "none";
    else if (bridge_is(json_get(choice, "type"), "function") && name.size)
        type = "tool";
    else if (bridge_given(choice) && !bridge_is(choice, "auto"))
        return bridge_refuse(w, NULL, SPAN("tool_choice"), "only none, auto, required and one function are known");
    text_format(w->out, ",\"tool_choice\":{\"type\":\"%s\"", type);
    if (span_equal(span_text(type), SPAN("tool"))) {
        text_put_text(w->out, ",\"name\":");
        text_put_json(w->out, name);
    }
    if (one && !bridge_is(choice, "none")) text_put_text(w->out, ",\"disable_parallel_tool_use\":true");
    text_put_char(w->out, '}');
    return RC_OK;
}

/* ---- the envelope */

static int check_values(const struct bridge_writing *w, const struct json_value *root)
{
    double temperature;
    const struct json_value *format = json_get(root, "response_format");
    struct json_walk walk = json_walk(json_get(root, "modalities"));
    if (json_double(json_get(root, "temperature"), &temperature) == RC_OK && temperature > 1)
        return bridge_refuse(w, NULL, SPAN("temperature"), "above 1, the highest there");
    if (bridge_given(format) && !bridge_is(json_get(format, "type"), "text"))
        return bridge_refuse(w, NULL, SPAN("response_format"), "only text has a counterpart");
    while (json_next(&walk))
        if (!bridge_is(walk.value, "text"))
            return bridge_refuse(w, NULL, SPAN("modalities"), "only text has a counterpart");
    return RC_OK;
}

static void put_max_tokens(struct text *out, const struct json_value *root)
{
    const struct json_value *most = json_get(root, "max_completion_tokens");
    if (!bridge_given(most)) most = json_get(root, "max_tokens");
    if (bridge_given(most))
        bridge_copy(out, "max_tokens", most);
    else
        text_format(out, ",\"max_tokens\":%d", BRIDGE_MAX_TOKENS);
}

static void put_stop(struct text *out, const struct json_value *stop)
{
    if (json_kind(stop) != JSON_STRING) {
        bridge_copy(out, "stop_sequences", stop);
        return;
    }
    text_put_text(out, ",\"stop_sequences\":[");
    json_write(out, stop);
    text_put_char(out, ']');
}

static void put_parameters(struct text *out, const struct json_value *root)
{
    put_max_tokens(out, root);
    bridge_copy(out, "temperature", json_get(root, "temperature"));
    bridge_copy(out, "top_p", json_get(root, "top_p"));
    put_stop(out, json_get(root, "stop"));
    bridge_copy(out, "stream", json_get(root, "stream"));
    if (!bridge_given(json_get(root, "user"))) return;
    text_put_text(out, ",\"metadata\":{\"user_id\":");
    json_write(out, json_get(root, "user"));
    text_put_char(out, '}');
}

int bridge_request_to_anthropic(const struct json_value *root, struct json_scratch *spare, struct text *out,
                                struct bridge_refusal *refusal)
{
    struct turns t = {.w = {.out = out, .spare = spare, .refusal = refusal, .provider = "Anthropic"}};
    int rc = BRIDGE_CHECK(&t.w, NULL, root, envelope);
    if (rc == RC_OK) rc = check_values(&t.w, root);
    if (rc != RC_OK) return rc;
    text_put_text(out, "{\"model\":");
    json_write(out, json_get(root, "model"));
    put_parameters(out, root);
    rc = put_messages(&t, json_get(root, "messages"));
    if (rc == RC_OK) rc = put_tools(&t.w, json_get(root, "tools"));
    if (rc == RC_OK) rc = put_tool_choice(&t.w, root);
    text_put_char(out, '}');
    return rc;
}
