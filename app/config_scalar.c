/* SPDX-License-Identifier: Apache-2.0 */
/* app/config_scalar.c — one value: ${NAME} replaced, read by type into its field, judged whether it is built yet. */
#include "app/config_table.h"
#include "platform/check.h"
#include "platform/rc.h"

#define QUOTE(s) (int)((s).size < CONFIG_QUOTE_MAX ? (s).size : CONFIG_QUOTE_MAX), (s).data

bool config_is_null(const struct yaml_node *node)
{
    return node->kind == YAML_SCALAR && node->plain &&
           (node->text.size == 0 || span_equal(node->text, SPAN("null")) || span_equal(node->text, SPAN("~")));
}

/* ---- ${NAME} */

static bool name_byte(char c, bool first)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_' || (!first && c >= '0' && c <= '9');
}

/* Takes "NAME}" or "NAME:-default}" from what follows "${". */
static bool take_variable(struct config_reader *reader, const struct yaml_node *node, struct span *rest,
                          struct span *value)
{
    char name[CONFIG_QUOTE_MAX + 1];
    size_t size = 0;
    struct span inside;
    const char *close = rest->size ? memchr(rest->data, '}', rest->size) : NULL;
    while (size < CONFIG_QUOTE_MAX && size < rest->size && name_byte(rest->data[size], size == 0))
        name[size] = rest->data[size], size++;
    name[size] = 0;
    inside = span_of(rest->data, close ? (size_t)(close - rest->data) : 0);
    struct span tail = span_of(inside.data + size, close && inside.size >= size ? inside.size - size : 0);
    bool has_default = span_starts_with(tail, SPAN(":-"));
    if (!close || size == 0 || (tail.size > 0 && !has_default)) {
        config_error(reader, node, "\"${\" must go on as ${NAME} or ${NAME:-default}; write $${ for a plain ${");
        return false;
    }
    *rest = span_of(close + 1, rest->size - inside.size - 1);
    const char *found = reader->source->environment ? reader->source->environment(name) : NULL;
    *value = span_text(found);
    if (has_default && value->size == 0)
        *value = span_of(tail.data + 2, tail.size - 2);
    else if (!found)
        config_error(reader, node, "the environment has no %s; set it, or write ${%s:-default}", name, name);
    return found || has_default;
}

/* One pass; `out` NULL only measures. */
static bool expand_pass(struct config_reader *reader, const struct yaml_node *node, struct span text, char *out,
                        size_t *size)
{
    *size = 0;
    while (text.size > 0) {
        struct span piece = span_of(text.data, 1);
        if (span_starts_with(text, SPAN("$${"))) {
            piece = SPAN("${");
            text = span_of(text.data + 3, text.size - 3);
        } else if (span_starts_with(text, SPAN("${"))) {
            text = span_of(text.data + 2, text.size - 2);
            if (!take_variable(reader, node, &text, &piece)) return false;
        } else {
            text = span_of(text.data + 1, text.size - 1);
        }
        if (out && piece.size) memcpy(out + *size, piece.data, piece.size);
        *size += piece.size;
    }
    return true;
}

bool config_expand(struct config_reader *reader, const struct yaml_node *node, struct span text, struct span *expanded)
{
    size_t size;
    *expanded = text;
    if (text.size == 0 || !memchr(text.data, '$', text.size)) return true;
    if (!expand_pass(reader, node, text, NULL, &size)) return false;
    char *out = arena_take(reader->arena, size + 1, 1);
    if (!out) {
        reader->full = true;
        return false;
    }
    CHECK(expand_pass(reader, node, text, out, &size));
    out[size] = 0;
    *expanded = span_of(out, size);
    return true;
}

/* ---- scalars: each returns whether the text is such a value, and reports when not */

struct scalar {
    struct config_reader *reader;
    const struct config_key *key;
    const struct yaml_node *node; /* where it stands; NULL for a default */
    struct span text;
    bool null;
    void *field;
};

static bool too_long(const struct scalar *s)
{
    if (s->text.size < 4096) return false;
    config_error(s->reader, s->node, "longer than 4095 bytes");
    return true;
}

static bool set_text(const struct scalar *s)
{
    if (too_long(s)) return false;
    for (size_t i = 0; i < s->text.size; i++) {
        if ((unsigned char)s->text.data[i] >= ' ' && s->text.data[i] != 0x7f) continue;
        config_error(s->reader, s->node, "byte %zu is a control character (a line end?)", i + 1);
        return false;
    }
    struct span value = s->null ? SPAN("") : s->text;
    memcpy(s->field, &value, sizeof value);
    return true;
}

static bool set_bool(const struct scalar *s)
{
    bool value;
    if (config_value_bool(s->text, &value) != RC_OK) {
        config_error(s->reader, s->node, "\"%.*s\" is neither true nor false", QUOTE(s->text));
        return false;
    }
    memcpy(s->field, &value, sizeof value);
    return true;
}

static bool set_count(const struct scalar *s)
{
    uint64_t number;
    const struct config_key *key = s->key;
    if (span_to_u64(s->text, UINT64_MAX, &number) != RC_OK) {
        config_error(s->reader, s->node, "\"%.*s\" is no whole number", QUOTE(s->text));
        return false;
    }
    if (number < key->min || number > key->max) {
        bool more = number > key->max;
        config_error(s->reader, s->node, "%llu is %s than %llu, the %s there can be", (unsigned long long)number,
                     more ? "more" : "less", (unsigned long long)(more ? key->max : key->min), more ? "most" : "least");
        return false;
    }
    unsigned value = (unsigned)number;
    memcpy(s->field, &value, sizeof value);
    return true;
}

static bool set_ratio(const struct scalar *s)
{
    double value;
    const struct config_key *key = s->key;
    if (config_value_ratio(s->text, &value) != RC_OK || value < (double)key->min || value > (double)key->max) {
        config_error(s->reader, s->node, "\"%.*s\" is no number from %llu to %llu, like 0.5", QUOTE(s->text),
                     (unsigned long long)key->min, (unsigned long long)key->max);
        return false;
    }
    memcpy(s->field, &value, sizeof value);
    return true;
}

static bool set_quantity(const struct scalar *s, int (*read)(struct span text, uint64_t *value),
                         void (*put)(struct text *out, uint64_t value), const char *form)
{
    uint64_t value;
    char low[32], high[32];
    const struct config_key *key = s->key;
    if (read(s->text, &value) != RC_OK) {
        config_error(s->reader, s->node, "\"%.*s\" is no %s", QUOTE(s->text), form);
        return false;
    }
    if (value < key->min || value > key->max) {
        struct text low_text = text_on(low, sizeof low), high_text = text_on(high, sizeof high);
        put(&low_text, key->min);
        put(&high_text, key->max);
        config_error(s->reader, s->node, "\"%.*s\" is not within %s to %s", QUOTE(s->text), low, high);
        return false;
    }
    memcpy(s->field, &value, sizeof value);
    return true;
}

static bool set_duration(const struct scalar *s)
{
    return set_quantity(s, config_value_duration, config_put_duration, "duration, like 500ms, 5s, 10m, 12h or 7d");
}

static bool set_size(const struct scalar *s)
{
    return set_quantity(s, config_value_size, config_put_size, "size, like 64KiB, 32MiB or 2GiB");
}

/* Index of the choice, or -1 when reported. */
static int choice_of(const struct scalar *s)
{
    char buffer[100];
    struct text list = text_on(buffer, sizeof buffer);
    const char *const *choices = s->key->choices;
    for (int i = 0; choices[i]; i++) {
        if (span_equal(s->text, span_text(choices[i]))) return i;
        if (i > 0) text_put_text(&list, choices[i + 1] ? ", " : " or ");
        text_put_text(&list, choices[i]);
    }
    config_error(s->reader, s->node, "\"%.*s\" is not %s", QUOTE(s->text), buffer);
    return -1;
}

static bool set_choice(const struct scalar *s)
{
    int choice = choice_of(s);
    bool second = choice == 1;
    if (choice < 0) return false;
    struct span word = span_text(s->key->choices[choice]);
    if (s->key->type == TYPE_CHOICE)
        memcpy(s->field, &choice, sizeof choice);
    else if (s->key->type == TYPE_FLAG)
        memcpy(s->field, &second, sizeof second);
    else
        memcpy(s->field, &word, sizeof word);
    return true;
}

static bool set_threshold(const struct scalar *s)
{
    static const struct {
        const char *name;
        double value;
    } presets[] = {{"relaxed", 0.90}, {"standard", 0.93}, {"strict", 0.95}};
    double value = 0;
    bool known = s->null;
    for (unsigned i = 0; i < 3 && !known; i++)
        if ((known = span_equal(s->text, span_text(presets[i].name)))) value = presets[i].value;
    if (!known && (config_value_ratio(s->text, &value) != RC_OK || value < 0.5 || value > 1)) {
        config_error(s->reader, s->node, "\"%.*s\" is not relaxed, standard, strict or a number from 0.5 to 1",
                     QUOTE(s->text));
        return false;
    }
    memcpy(s->field, &value, sizeof value);
    return true;
}

static bool set_scalar(const struct scalar *s)
{
    switch (s->key->type) {
    case TYPE_TEXT:
    case TYPE_SECRET: return set_text(s);
    case TYPE_BOOL: return set_bool(s);
    case TYPE_COUNT: return set_count(s);
    case TYPE_RATIO: return set_ratio(s);
    case TYPE_DURATION: return set_duration(s);
    case TYPE_SIZE: return set_size(s);
    case TYPE_THRESHOLD: return set_threshold(s);
    default: return set_choice(s);
    }
}

/* ---- what is not built yet */

static bool same_value(enum config_type type, const void *a, const void *b)
{
    static const unsigned char sizes[TYPE_SECTIONS + 1] = {
        [TYPE_BOOL] = sizeof(bool),         [TYPE_COUNT] = sizeof(unsigned),   [TYPE_RATIO] = sizeof(double),
        [TYPE_DURATION] = sizeof(uint64_t), [TYPE_SIZE] = sizeof(uint64_t),    [TYPE_CHOICE] = sizeof(int),
        [TYPE_FLAG] = sizeof(bool),         [TYPE_THRESHOLD] = sizeof(double),
    };
    struct span x, y;
    if (sizes[type]) return memcmp(a, b, sizes[type]) == 0;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return span_equal(x, y);
}

/* The choices that can be set today, the default among them. */
static void put_built_choices(struct text *out, const struct config_key *key)
{
    unsigned left = 0;
    for (unsigned pass = 0; pass < 2; pass++) {
        for (unsigned i = 0; key->choices[i]; i++) {
            bool later = key->choices_later >> i & 1;
            if (later && !span_equal(span_text(key->choices[i]), span_text(key->fallback))) continue;
            if (pass == 0)
                left++;
            else
                text_format(out, "%s%s", key->choices[i], --left > 1 ? ", " : left == 1 ? " or " : "");
        }
    }
}

static void refuse_unbuilt(const struct scalar *s)
{
    const struct config_key *key = s->key;
    char buffer[100];
    struct text list = text_on(buffer, sizeof buffer);
    if (key->choices_later) {
        put_built_choices(&list, key);
        config_error(s->reader, s->node, "\"%.*s\" is not built yet; it can be %s", QUOTE(s->text), buffer);
        return;
    }
    bool nothing = key->type == TYPE_SECRET || key->fallback[0] == 0;
    config_error(s->reader, s->node, "not built yet, so only its default can be set: %s",
                 nothing ? "nothing" : key->fallback);
}

/* A value that the file gives although its feature is still to come. `fallback` holds the default's value. */
static void judge_built(const struct scalar *s, const void *fallback)
{
    const struct config_key *key = s->key;
    /* Two choices may share one value of a flag, so choices compare by name. */
    bool is_default = key->choices ? span_equal(s->text, span_text(key->fallback))
                                   : same_value(key->type, s->field, fallback);
    bool later = key->built != BUILT;
    if (key->choices_later) later = key->choices_later >> choice_of(s) & 1;
    if (!later || (is_default && key->built == LATER_SOFT)) return;
    if (is_default)
        config_warning(s->reader, s->node, "not built yet; this is its default, so nothing changes");
    else if (key->built == LATER_SOFT)
        config_warning(s->reader, s->node, "not built yet; \"%.*s\" is kept for later", QUOTE(s->text));
    else
        refuse_unbuilt(s);
}

/* ---- keys of each type */

/* The default, in `field`: ours, so it is never wrong, except that the environment may bring anything. */
static void set_fallback(struct config_reader *reader, const struct config_key *key, void *field)
{
    static const struct yaml_node nowhere = {.line = 0};
    struct scalar s = {.reader = reader, .key = key, .node = &nowhere, .field = field};
    if (!key->fallback || !config_expand(reader, &nowhere, span_text(key->fallback), &s.text)) return;
    s.null = key->type == TYPE_THRESHOLD && span_equal(s.text, SPAN("null"));
    bool set = set_scalar(&s);
    CHECK(set || memchr(key->fallback, '$', strlen(key->fallback)));
}

void config_read_scalar(struct config_reader *reader, const struct config_key *key, const struct yaml_node *node,
                        void *base)
{
    struct scalar s = {.reader = reader, .key = key, .node = node, .field = (char *)base + key->offset};
    set_fallback(reader, key, s.field);
    if (!node) return;
    if (node->kind != YAML_SCALAR) {
        config_error(reader, node, "one value is expected, not a %s", node->kind == YAML_MAPPING ? "mapping" : "list");
        return;
    }
    s.null = config_is_null(node);
    if (!config_expand(reader, node, node->text, &s.text) || !set_scalar(&s)) return;
    if (key->built == BUILT && !key->choices_later) return;
    union {
        struct span text;
        uint64_t number;
        double ratio;
    } fallback;
    memset(&fallback, 0, sizeof fallback);
    set_fallback(reader, key, &fallback);
    judge_built(&s, &fallback);
}

bool config_read_element(struct config_reader *reader, const struct yaml_node *node, struct span *value)
{
    struct scalar s = {.reader = reader, .node = node, .field = value};
    *value = SPAN("");
    if (node->kind != YAML_SCALAR) {
        config_error(reader, node, "a list of plain values is expected");
        return false;
    }
    if (!config_expand(reader, node, node->text, &s.text)) return false;
    if (s.text.size == 0) {
        config_error(reader, node, "an element is empty");
        return false;
    }
    return set_text(&s);
}
