/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/verdict.c — may a reply be kept? Completeness of an answer, not of an HTTP body. */
#include "app/gateway/dialect_events.h"
#include "app/gateway/dialect_table.h"
#include "app/gateway/usage.h"
#include "platform/rc.h"

enum {
    CHOICES_MAX = 128, /* n of the API goes to 128 */
    HAS_TEXT = 1,
    HAS_CALL = 2,
    HAS_END = 4,
    IS_SEEN = 8,
};

struct judging {
    struct verdict *verdict;
    const char *reason;
    bool terminal;
    unsigned char choices[CHOICES_MAX];
};

/* How a reply may end; `reason` is why it is not kept. */
struct ending {
    struct span name;
    const char *reason;
};

static const struct ending openai_endings[] = {
    {TABLE_TEXT("stop"), NULL},
    {TABLE_TEXT("tool_calls"), NULL},
    {TABLE_TEXT("function_call"), NULL},
    {TABLE_TEXT("length"), "finish_reason length"},
    {TABLE_TEXT("content_filter"), "finish_reason content_filter"},
};

static const struct ending anthropic_endings[] = {
    {TABLE_TEXT("end_turn"), NULL},
    {TABLE_TEXT("stop_sequence"), NULL},
    {TABLE_TEXT("tool_use"), NULL},
    {TABLE_TEXT("max_tokens"), "stop_reason max_tokens"},
    {TABLE_TEXT("refusal"), "stop_reason refusal"},
    {TABLE_TEXT("pause_turn"), "stop_reason pause_turn"},
    {TABLE_TEXT("model_context_window_exceeded"), "stop_reason model_context_window_exceeded"},
};

static void reject(struct judging *j, const char *reason)
{
    if (!j->reason) j->reason = reason;
}

static bool is_present(const struct json_value *v)
{
    return v && json_kind(v) != JSON_NULL;
}

static bool has_bytes(const struct json_value *v)
{
    return json_string(v).size > 0;
}

static void note_ending(struct judging *j, const struct ending *endings, unsigned count, const char *unknown,
                        const struct json_value *v, unsigned char *choice)
{
    if (!is_present(v)) return;
    *choice |= HAS_END;
    for (unsigned i = 0; i < count; i++) {
        if (!span_equal(endings[i].name, json_string(v))) continue;
        if (endings[i].reason) reject(j, endings[i].reason);
        return;
    }
    reject(j, unknown);
}

static void note_model(struct judging *j, const struct json_value *v)
{
    struct span name = json_string(v);
    size_t size = name.size < sizeof j->verdict->model ? name.size : sizeof j->verdict->model - 1;
    if (size == 0) return;
    memcpy(j->verdict->model, name.data, size);
    j->verdict->model[size] = '\0';
}

/* ---- OpenAI: an object and a chunk differ in `message` and `delta` only; a legacy choice (`inner` NULL) is its own message */

static void judge_openai_choice(struct judging *j, const struct json_value *choice, size_t position, const char *inner)
{
    int64_t index;
    if (json_i64(json_get(choice, "index"), &index) != RC_OK) index = (int64_t)position;
    if (index < 0 || index >= CHOICES_MAX) {
        reject(j, "too many choices");
        return;
    }
    unsigned char *bits = &j->choices[index];
    const struct json_value *message = inner ? json_get(choice, inner) : choice,
                            *calls = json_get(message, "tool_calls");
    *bits |= IS_SEEN;
    if (has_bytes(json_get(message, inner ? "content" : "text"))) *bits |= HAS_TEXT;
    if (json_count(calls) > 0 || is_present(json_get(message, "function_call"))) *bits |= HAS_CALL;
    if (has_bytes(json_get(message, "refusal"))) reject(j, "refusal");
    note_ending(j, openai_endings, TABLE_COUNT(openai_endings), "finish_reason unknown",
                json_get(choice, "finish_reason"), bits);
}

static void judge_openai(struct judging *j, const struct json_value *root, const char *inner)
{
    size_t position = 0;
    if (is_present(json_get(root, "error"))) reject(j, "error event");
    note_model(j, json_get(root, "model"));
    usage_read(DIALECT_OPENAI, json_get(root, "usage"), &j->verdict->usage);
    struct json_walk walk = json_walk(json_get(root, "choices"));
    while (json_next(&walk)) judge_openai_choice(j, walk.value, position++, inner);
}

/* ---- Anthropic: one answer, choice 0 */

static void judge_block(struct judging *j, const struct json_value *block)
{
    struct span type = json_string(json_get(block, "type"));
    if (span_equal(type, SPAN("tool_use"))) j->choices[0] |= HAS_CALL;
    if (has_bytes(json_get(block, "text"))) j->choices[0] |= HAS_TEXT;
}

static void judge_message(struct judging *j, const struct json_value *message)
{
    j->choices[0] |= IS_SEEN;
    note_model(j, json_get(message, "model"));
    usage_read(DIALECT_ANTHROPIC, json_get(message, "usage"), &j->verdict->usage);
    struct json_walk walk = json_walk(json_get(message, "content"));
    while (json_next(&walk)) judge_block(j, walk.value);
}

static void judge_stop_reason(struct judging *j, const struct json_value *holder)
{
    note_ending(j, anthropic_endings, TABLE_COUNT(anthropic_endings), "stop_reason unknown",
                json_get(holder, "stop_reason"), &j->choices[0]);
}

static void judge_anthropic_event(struct judging *j, const struct json_value *root)
{
    struct span type = json_string(json_get(root, "type"));
    if (span_equal(type, SPAN("content_block_delta"))) {
        judge_block(j, json_get(root, "delta"));
    } else if (span_equal(type, SPAN("content_block_start"))) {
        judge_block(j, json_get(root, "content_block"));
    } else if (span_equal(type, SPAN("message_start"))) {
        judge_message(j, json_get(root, "message"));
    } else if (span_equal(type, SPAN("message_delta"))) {
        judge_stop_reason(j, json_get(root, "delta"));
        usage_read(DIALECT_ANTHROPIC, json_get(root, "usage"), &j->verdict->usage);
    } else if (span_equal(type, SPAN("message_stop"))) {
        j->terminal = true;
    } else if (span_equal(type, SPAN("error"))) {
        reject(j, "error event");
    }
}

static void judge_anthropic_object(struct judging *j, const struct json_value *root)
{
    if (span_equal(json_string(json_get(root, "type")), SPAN("error"))) reject(j, "error event");
    judge_message(j, root);
    judge_stop_reason(j, root);
}

/* ---- OpenAI responses: the last event holds all of it */

static void judge_item(struct judging *j, const struct json_value *item)
{
    struct span type = json_string(json_get(item, "type"));
    if (span_equal(type, SPAN("reasoning"))) return;
    if (!span_equal(type, SPAN("message"))) {
        j->choices[0] |= HAS_CALL;
        return;
    }
    struct json_walk walk = json_walk(json_get(item, "content"));
    while (json_next(&walk)) {
        if (has_bytes(json_get(walk.value, "text"))) j->choices[0] |= HAS_TEXT;
        if (is_present(json_get(walk.value, "refusal"))) reject(j, "refusal");
    }
}

static void judge_response(struct judging *j, const struct json_value *response)
{
    struct span status = json_string(json_get(response, "status"));
    j->choices[0] |= IS_SEEN | HAS_END;
    if (is_present(json_get(response, "error"))) reject(j, "error event");
    if (span_equal(status, SPAN("incomplete")))
        reject(j, "status incomplete");
    else if (!span_equal(status, SPAN("completed")))
        reject(j, "status not completed");
    note_model(j, json_get(response, "model"));
    usage_read(WIRE_RESPONSES, json_get(response, "usage"), &j->verdict->usage);
    struct json_walk walk = json_walk(json_get(response, "output"));
    while (json_next(&walk)) judge_item(j, walk.value);
}

static void judge_response_event(struct judging *j, const struct json_value *root)
{
    static const struct span last[] = {TABLE_TEXT("response.completed"), TABLE_TEXT("response.incomplete"),
                                       TABLE_TEXT("response.failed")};
    struct span type = json_string(json_get(root, "type"));
    if (span_equal(type, SPAN("error"))) reject(j, "error event");
    for (unsigned i = 0; i < TABLE_COUNT(last); i++) {
        if (!span_equal(type, last[i])) continue;
        j->terminal = true;
        judge_response(j, json_get(root, "response"));
    }
}

/* The number is the answer. */
static void judge_count(struct judging *j, const struct json_value *root)
{
    int64_t count;
    j->choices[0] |= IS_SEEN;
    if (json_i64(json_get(root, "input_tokens"), &count) == RC_OK && count >= 0) j->choices[0] |= HAS_TEXT | HAS_END;
}

/* ---- both */

/* Readers differ about which of two members of one name counts, and so would the other form: such a reply is not kept. */
static int parse_object(struct json_scratch *scratch, struct span text, const struct json_value **root,
                        const char **reason)
{
    *reason = "unparsable JSON";
    if (json_parse(scratch, text, root, NULL) != RC_OK || json_kind(*root) != JSON_OBJECT) return RC_INVALID;
    struct json_scratch spare = json_spare(scratch, *root);
    *reason = "duplicate member";
    return json_find_duplicate(&spare, *root);
}

static void judge_event(struct judging *j, enum dialect dialect, const struct event *event, struct json_scratch *rest)
{
    const struct json_value *root;
    const char *reason;
    if (dialect_has_usage_chunk(dialect) && event_is_done(event->data)) {
        j->terminal = true;
        return;
    }
    if (span_equal(event->name, SPAN("error"))) reject(j, "error event");
    if (parse_object(rest, event->data, &root, &reason) != RC_OK) {
        reject(j, reason);
        return;
    }
    if (dialect_has_usage_chunk(dialect))
        judge_openai(j, root, dialect == DIALECT_OPENAI ? "delta" : NULL);
    else if (dialect == WIRE_RESPONSES)
        judge_response_event(j, root);
    else
        judge_anthropic_event(j, root);
}

static void judge_stream(struct judging *j, enum dialect dialect, struct span body, struct json_scratch *scratch)
{
    struct event_walk walk = event_walk(body, scratch);
    struct event event;
    while (!j->terminal && event_next(&walk, &event)) judge_event(j, dialect, &event, &walk.rest);
    if (dialect_has_usage_chunk(dialect) && event_line_is_done(event_tail(&walk))) j->terminal = true;
    if (!j->terminal) reject(j, "stream cut");
}

static void judge_object(struct judging *j, enum dialect dialect, struct span body, struct json_scratch *scratch)
{
    const struct json_value *root;
    const char *reason;
    if (parse_object(scratch, body, &root, &reason) != RC_OK) {
        reject(j, reason);
        return;
    }
    j->terminal = true;
    if (dialect_has_usage_chunk(dialect))
        judge_openai(j, root, dialect == DIALECT_OPENAI ? "message" : NULL);
    else if (dialect == WIRE_RESPONSES)
        judge_response(j, root);
    else if (dialect == WIRE_COUNT_TOKENS)
        judge_count(j, root);
    else
        judge_anthropic_object(j, root);
}

static void judge_choices(struct judging *j)
{
    bool any = false;
    for (unsigned i = 0; i < CHOICES_MAX; i++) {
        unsigned char bits = j->choices[i];
        if (!(bits & IS_SEEN)) continue;
        any = true;
        if (!(bits & HAS_END)) reject(j, "no finish reason");
        if (!(bits & (HAS_TEXT | HAS_CALL))) reject(j, "empty answer");
        if (bits & HAS_CALL) j->verdict->tool_calls = true;
    }
    if (!any) reject(j, "no answer");
}

void verdict_of(enum dialect dialect, bool stream, struct span body, struct json_scratch *scratch,
                struct verdict *verdict)
{
    struct judging j = {.verdict = verdict};
    *verdict = (struct verdict){0};
    usage_unknown(&verdict->usage);
    if (stream)
        judge_stream(&j, dialect, body, scratch);
    else
        judge_object(&j, dialect, body, scratch);
    judge_choices(&j);
    verdict->complete = j.terminal;
    verdict->reason = j.reason;
    verdict->storable = j.terminal && !j.reason;
}
