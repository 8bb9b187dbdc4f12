/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/question.c — what a request asks: its identity, its parts, and what decides how it may be answered.
 *
 * Two passes over the tree: the first reads envelope and messages (who speaks, what is in it), the second writes the
 * canonical form, since only then is it known which message is the last of the user.
 */
#include <stdio.h>

#include "app/gateway/dialect_table.h"
#include "app/gateway/mask.h"
#include "platform/check.h"
#include "platform/rc.h"

enum role { ROLE_SYSTEM, ROLE_USER, ROLE_ASSISTANT, ROLE_TOOL, ROLE_OTHER };

struct reading {
    struct question *question;
    const struct dialect_table *table;
    struct arena *arena;
    const struct json_value *noted[NOTES]; /* by enum field_note */
    const struct json_value *last_user;    /* or the string that is the whole question */
    size_t last_user_index;
    unsigned users, others;
    const char *bypass;
};

static const struct span form = TABLE_TEXT("larder identity 1");

/* ---- errors */

static int refuse(struct span *error, const char *sentence)
{
    *error = span_text(sentence);
    return RC_INVALID;
}

static int refuse_json(int rc, struct span body, const struct json_error *failed, struct arena *arena,
                       struct span *error)
{
    enum { SENTENCE_MAX = 200 };
    if (body.size == 0) return refuse(error, "The request body is empty; a JSON object is needed.");
    *error = SPAN("The request body is not valid JSON.");
    char *sentence = arena_take(arena, SENTENCE_MAX, 1);
    if (!sentence) return rc;
    int size = rc == RC_TOO_LARGE
                   ? snprintf(sentence, SENTENCE_MAX, "The request body cannot be read: it is %s.", failed->message)
                   : snprintf(sentence, SENTENCE_MAX, "The request body is not valid JSON: %s at byte %zu.",
                              failed->message, failed->offset);
    *error = span_of(sentence, size < SENTENCE_MAX ? (size_t)size : SENTENCE_MAX - 1);
    return rc;
}

static int refuse_field(const struct reading *r, const char *what, struct span *error)
{
    enum { SENTENCE_MAX = 100 };
    char *sentence = arena_take(r->arena, SENTENCE_MAX, 1);
    if (!sentence) return RC_FULL;
    int size = snprintf(sentence, SENTENCE_MAX, "The field \"%s\" %s.", r->table->messages.data, what);
    *error = span_of(sentence, (size_t)size);
    return RC_INVALID;
}

static int check_envelope(const struct reading *r, struct span *error)
{
    const struct json_value *model = r->noted[NOTE_MODEL], *messages = r->noted[NOTE_MESSAGES];
    if (!model) return refuse(error, "The field \"model\" is missing.");
    if (json_string(model).size == 0) return refuse(error, "The field \"model\" is not a non-empty string.");
    if (!messages) return refuse_field(r, "is missing", error);
    if (r->table->text_allowed && json_kind(messages) == JSON_STRING) return RC_OK;
    if (json_kind(messages) != JSON_ARRAY)
        return refuse_field(r, r->table->text_allowed ? "is neither a string nor an array" : "is not an array", error);
    return RC_OK;
}

/* ---- envelope */

static bool is_set(const struct json_value *v)
{
    enum json_kind kind = json_kind(v);
    return kind != JSON_NONE && kind != JSON_NULL && !(kind == JSON_ARRAY && json_count(v) == 0);
}

static void flag(struct reading *r, unsigned flags)
{
    r->question->flags |= flags;
}

static void bypass(struct reading *r, const char *reason)
{
    if (!r->bypass) r->bypass = reason;
}

static bool in_list(const struct span *globs, unsigned count, struct span name)
{
    for (unsigned i = 0; i < count; i++)
        if (span_glob(globs[i], name)) return true;
    return false;
}

static void read_model(struct reading *r, const struct json_value *v)
{
    if (in_list(r->table->live_models, r->table->live_model_count, json_string(v))) bypass(r, "web search model");
}

static void read_tools(struct reading *r, const struct json_value *v)
{
    if (json_count(v) > 0) flag(r, QUESTION_TOOLS);
    struct json_walk walk = json_walk(v);
    while (json_next(&walk)) {
        const struct json_value *type = json_get(walk.value, "type");
        if (is_set(type) && !in_list(r->table->own_tools, r->table->own_tool_count, json_string(type)))
            bypass(r, "hosted tool");
    }
}

static void read_stream(struct reading *r, const struct json_value *v)
{
    if (json_is_true(v)) flag(r, QUESTION_STREAM);
}

static void read_stream_options(struct reading *r, const struct json_value *v)
{
    if (json_is_true(json_get(v, "include_usage"))) flag(r, QUESTION_INCLUDE_USAGE);
}

static void read_many(struct reading *r, const struct json_value *v)
{
    int64_t n;
    if (is_set(v) && (json_i64(v, &n) != RC_OK || n != 1)) flag(r, QUESTION_MANY);
}

static void read_temperature(struct reading *r, const struct json_value *v)
{
    double temperature;
    if (json_double(v, &temperature) == RC_OK && temperature > 0 && !is_set(r->noted[NOTE_SEED]))
        flag(r, QUESTION_SAMPLED);
}

static void read_format(struct reading *r, const struct json_value *v)
{
    if (is_set(v) && !span_equal(json_string(json_get(v, "type")), SPAN("text"))) flag(r, QUESTION_SCHEMA);
}

static void read_output_config(struct reading *r, const struct json_value *v)
{
    read_format(r, json_get(v, "format"));
}

/* Spoken answers are large and never asked twice in the same words: not kept. */
static void read_modalities(struct reading *r, const struct json_value *v)
{
    struct json_walk walk = json_walk(v);
    while (json_next(&walk))
        if (!span_equal(json_string(walk.value), SPAN("text"))) bypass(r, "modalities");
}

static void read_prompt(struct reading *r, const struct json_value *v)
{
    if (is_set(v) && !is_set(json_get(v, "version"))) bypass(r, "prompt without version");
}

static void read_previous(struct reading *r, const struct json_value *v)
{
    if (!is_set(v)) return;
    flag(r, QUESTION_HISTORY);
    r->others++;
}

static void read_conversation(struct reading *r, const struct json_value *v)
{
    if (is_set(v)) bypass(r, "conversation");
}

/* What the question goes on from. */
static struct span previous_of(const struct reading *r)
{
    const struct json_value *conversation = r->noted[NOTE_CONVERSATION];
    if (json_kind(conversation) == JSON_OBJECT) conversation = json_get(conversation, "id");
    struct span id = json_string(conversation);
    return id.size ? id : json_string(r->noted[NOTE_PREVIOUS]);
}

static bool has_text(const struct json_value *content)
{
    return json_kind(content) == JSON_STRING ? json_string(content).size > 0 : is_set(content);
}

static void read_system(struct reading *r, const struct json_value *v)
{
    if (has_text(v)) flag(r, QUESTION_SYSTEM);
}

static void (*const readers[NOTES])(struct reading *, const struct json_value *) = {
    [NOTE_MODEL] = read_model,
    [NOTE_SYSTEM] = read_system,
    [NOTE_TOOLS] = read_tools,
    [NOTE_STREAM] = read_stream,
    [NOTE_STREAM_OPTIONS] = read_stream_options,
    [NOTE_MANY] = read_many,
    [NOTE_TEMPERATURE] = read_temperature,
    [NOTE_FORMAT] = read_format,
    [NOTE_OUTPUT_CONFIG] = read_output_config,
    [NOTE_MODALITIES] = read_modalities,
    [NOTE_PREVIOUS] = read_previous,
    [NOTE_CONVERSATION] = read_conversation,
    [NOTE_PROMPT] = read_prompt,
};

static void note_member(struct reading *r, const struct canonical_member *member)
{
    const struct canonical_field *field = member->field;
    if (!field || field->note == NOTE_NONE) return;
    r->noted[field->note] = member->value;
    if (field->note == NOTE_IF_SET && is_set(member->value)) bypass(r, field->name);
    if (field->note == NOTE_IF_TRUE && json_is_true(member->value)) bypass(r, field->name);
    if (field->note == NOTE_TOOLS) read_tools(r, member->value); /* two fields share it */
}

static void read_envelope(struct reading *r)
{
    for (unsigned note = 0; note < NOTES; note++)
        if (readers[note] && note != NOTE_TOOLS && r->noted[note]) readers[note](r, r->noted[note]);
}

/* ---- messages */

static enum role role_of(const struct json_value *message)
{
    static const struct {
        struct span name;
        enum role role;
    } roles[] = {
        {TABLE_TEXT("user"), ROLE_USER},        {TABLE_TEXT("system"), ROLE_SYSTEM},
        {TABLE_TEXT("developer"), ROLE_SYSTEM}, {TABLE_TEXT("assistant"), ROLE_ASSISTANT},
        {TABLE_TEXT("tool"), ROLE_TOOL},        {TABLE_TEXT("function"), ROLE_TOOL},
    };
    struct span name = json_string(json_get(message, "role"));
    for (unsigned i = 0; i < TABLE_COUNT(roles); i++)
        if (span_equal(roles[i].name, name)) return roles[i].role;
    return ROLE_OTHER;
}

static unsigned flags_of_type(const struct dialect_table *table, struct span type)
{
    for (unsigned i = 0; i < table->content_type_count; i++)
        if (span_equal(table->content_types[i].name, type)) return table->content_types[i].flags;
    return QUESTION_MEDIA;
}

static void read_content(struct reading *r, const struct json_value *content)
{
    if (json_kind(content) != JSON_ARRAY) return;
    struct json_walk walk = json_walk(content);
    while (json_next(&walk)) flag(r, flags_of_type(r->table, json_string(json_get(walk.value, "type"))));
}

static void read_message(struct reading *r, const struct json_value *message, size_t index)
{
    const struct json_value *content = json_get(message, "content");
    enum role role = role_of(message);
    read_content(r, content);
    switch (role) {
    case ROLE_SYSTEM: read_system(r, content); return;
    case ROLE_USER:
        r->users++;
        r->last_user = message;
        r->last_user_index = index;
        return;
    case ROLE_ASSISTANT:
        flag(r, QUESTION_HISTORY);
        if (is_set(json_get(message, "tool_calls")) || is_set(json_get(message, "function_call")))
            flag(r, QUESTION_TOOLS);
        break;
    case ROLE_TOOL: flag(r, QUESTION_TOOLS); break;
    case ROLE_OTHER:
        if (is_set(json_get(message, "type"))) flag(r, QUESTION_TOOLS); /* an item that is no message */
        break;
    }
    r->others++;
}

static void read_messages(struct reading *r)
{
    size_t index = 0;
    struct json_walk walk = json_walk(r->noted[NOTE_MESSAGES]);
    if (json_kind(r->noted[NOTE_MESSAGES]) == JSON_STRING) {
        r->last_user = r->noted[NOTE_MESSAGES];
        r->users = 1;
    }
    while (json_next(&walk)) read_message(r, walk.value, index++);
}

/* ---- the query: the last user message's text */

static struct span part_text(const struct json_value *part)
{
    return json_string(json_get(part, "text"));
}

static size_t join_texts(const struct json_value *content, char *out, size_t room)
{
    size_t size = 0;
    bool first = true;
    struct json_walk walk = json_walk(content);
    while (json_next(&walk)) {
        if (json_kind(json_get(walk.value, "text")) != JSON_STRING) continue;
        struct span text = part_text(walk.value);
        if (!first && size++ < room) out[size - 1] = '\n';
        if (size < room && text.size > 0)
            memcpy(out + size, text.data, text.size < room - size ? text.size : room - size);
        size += text.size;
        first = false;
    }
    return size;
}

static size_t cut_at_character(const char *text, size_t size, size_t room)
{
    if (size <= room) return size;
    while (room > 0 && ((unsigned char)text[room] & 0xC0) == 0x80) room--;
    return room;
}

/* *whole: nothing was cut off. */
static int take_query(struct reading *r, bool *whole)
{
    enum { ROOM = ENTRY_QUERY_MAX + 1 }; /* one more, to see what the cut would divide */
    const struct json_value *content = json_kind(r->last_user) == JSON_STRING ? r->last_user
                                                                              : json_get(r->last_user, "content");
    struct span text = json_string(content);
    size_t size = text.size;
    if (json_kind(content) == JSON_ARRAY) {
        size = join_texts(content, NULL, 0);
        char *joined = arena_take(r->arena, ROOM, 1);
        if (!joined) return RC_FULL;
        join_texts(content, joined, ROOM);
        text.data = joined;
    }
    *whole = size <= ENTRY_QUERY_MAX;
    r->question->query = arena_copy(r->arena, span_of(text.data, cut_at_character(text.data, size, ENTRY_QUERY_MAX)));
    return r->question->query.data ? RC_OK : RC_FULL;
}

/* ---- identity */

static enum request_part part_of_message(const struct reading *r, const struct json_value *message, size_t index)
{
    if (r->last_user && index == r->last_user_index) return PART_QUERY;
    return role_of(message) == ROLE_SYSTEM ? PART_SYSTEM : PART_HISTORY;
}

/* A part's digest also tells where its messages stand, so that two requests of equal parts are equal. */
static void write_messages(struct reading *r, struct canonical *c, const struct canonical_member *member)
{
    size_t index = 0, place = 0;
    canonical_part(c, PARTS);
    canonical_name(c, member->name);
    if (json_kind(member->value) == JSON_STRING) {
        canonical_part(c, PART_QUERY);
        canonical_query(c, json_string(member->value));
        return;
    }
    canonical_array(c, json_count(member->value));
    struct json_walk walk = json_walk(member->value);
    while (json_next(&walk)) {
        enum request_part part = part_of_message(r, walk.value, index);
        canonical_part(c, part);
        if (part == PART_SYSTEM) canonical_part_number(c, index);
        if (part == PART_HISTORY) canonical_part_number(c, place);
        canonical_value(c, walk.value, member->field);
        place += part != PART_SYSTEM;
        index++;
    }
}

static bool is_ignored(const struct canonical_member *member)
{
    return member->field && (member->field->flags & CANONICAL_IGNORED);
}

static void write_envelope(struct reading *r, struct canonical *c, const struct canonical_member *members, size_t count)
{
    size_t counting = 0;
    for (size_t i = 0; i < count; i++) counting += !is_ignored(&members[i]);
    canonical_part(c, PARTS);
    canonical_object(c, counting);
    for (size_t i = 0; i < count; i++) {
        const struct canonical_member *member = &members[i];
        bool messages = member->value == r->noted[NOTE_MESSAGES];
        if (messages) {
            write_messages(r, c, member);
            continue;
        }
        canonical_part(c, member->field ? member->field->part : PART_PARAMETERS);
        if (!is_ignored(member)) canonical_name(c, member->name);
        canonical_value(c, member->value, member->field);
    }
}

static void write_scope(struct canonical *c, const struct question_context *context)
{
    canonical_text(c, form);
    canonical_text(c, dialect_table(context->dialect)->name);
    canonical_text(c, context->scope);
}

/* ---- all of it */

static int compile_masks(const struct question_context *context, struct arena *arena, struct mask_set *set)
{
    char error[MASK_ERROR_MAX];
    if (context->mask_count == 0) return RC_OK;
    struct mask *masks = arena_take(arena, context->mask_count * sizeof *masks, _Alignof(struct mask));
    if (!masks) return RC_FULL;
    for (unsigned i = 0; i < context->mask_count; i++)
        CHECK(mask_compile(context->masks[i], &masks[i], error) == RC_OK);
    *set = (struct mask_set){masks, context->mask_count};
    return RC_OK;
}

static int identify(struct reading *r, struct canonical *c, const struct question_context *context,
                    const struct json_value *root, struct span *error)
{
    size_t count;
    write_scope(c, context);
    struct canonical_member *members = canonical_members(c, root, &r->table->envelope, &count);
    if (c->failed) return RC_FULL;
    for (size_t i = 0; i < count; i++) note_member(r, &members[i]);
    int rc = check_envelope(r, error);
    if (rc != RC_OK) return rc;
    read_envelope(r);
    read_messages(r);
    write_envelope(r, c, members, count);
    rc = canonical_finish(c, &r->question->digest, &r->question->parts);
    if (c->duplicate) flag(r, QUESTION_DUPLICATE);
    return rc;
}

static int keep_texts(struct reading *r)
{
    struct question *q = r->question;
    const unsigned not_single = QUESTION_EXACT | QUESTION_TOOLS | QUESTION_MEDIA | QUESTION_MANY | QUESTION_SCHEMA;
    bool whole = false;
    q->bypass = r->bypass;
    q->model = arena_copy(r->arena, json_string(r->noted[NOTE_MODEL]));
    struct span previous = previous_of(r);
    if (previous.size) q->previous = arena_copy(r->arena, previous);
    if (!q->model.data || (previous.size && !q->previous.data)) return RC_FULL;
    int rc = take_query(r, &whole);
    if (!whole) flag(r, QUESTION_CUT);
    if (whole && q->query.size > 0 && r->users == 1 && r->others == 0 && !(q->flags & not_single))
        flag(r, QUESTION_SINGLE);
    return rc;
}

int question_read(struct span body, const struct question_context *context, struct json_scratch *scratch,
                  struct arena *arena, struct question *question, struct span *error)
{
    const struct json_value *root;
    struct json_error failed = {0};
    *question = (struct question){.dialect = context->dialect, .flags = dialect_table(context->dialect)->flags};
    *error = SPAN("The request does not fit the memory that is left for it.");
    int rc = json_parse(scratch, body, &root, &failed);
    if (rc != RC_OK) return refuse_json(rc, body, &failed, arena, error);
    if (json_kind(root) != JSON_OBJECT) return refuse(error, "The request body is not a JSON object.");

    struct reading r = {.question = question, .table = dialect_table(context->dialect), .arena = arena};
    struct mask_set set = {0};
    const struct canonical_mask mask = {mask_find, &set};
    struct canonical c;
    size_t mark = arena_mark(arena);
    rc = compile_masks(context, arena, &set);
    if (rc != RC_OK) return rc;
    canonical_start(&c, arena, set.count > 0 ? &mask : NULL);
    if (context->key) canonical_key(&c, context->key);
    rc = identify(&r, &c, context, root, error);
    if (rc != RC_OK) return rc; /* its sentence may lie behind the mark */
    if (context->key) question->apart = canonical_apart(&c);
    arena_rewind(arena, mark);
    return keep_texts(&r);
}
