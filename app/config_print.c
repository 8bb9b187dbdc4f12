/* SPDX-License-Identifier: Apache-2.0 */
/* app/config_print.c — the struct, by the table, back to text; what a reload cannot take; the reference. */
#include "app/config_table.h"

#define MASK "\"***\""

struct printer {
    const struct config *config;
    struct text *out;
    unsigned depth;
    bool dash; /* the next line begins an element of a list */
};

static const void *at_offset(const void *base, size_t offset)
{
    return (const char *)base + offset;
}

static unsigned count_at(const struct config_key *key, const void *base)
{
    return *(const unsigned *)at_offset(base, key->count_offset);
}

/* Whether YAML reads the text unquoted as itself. */
static bool is_plain(struct span s)
{
    static const struct span words[] = {{"null", 4}, {"true", 4}, {"false", 5}, {"~", 1}};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (span_equal(s, words[i])) return false;
    for (size_t i = 0; i < s.size; i++) {
        char c = s.data[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter && c != '/' && c != '_' && (i == 0 ? c != '.' : c != '.' && c != '-' && c != ':' && c != '+'))
            return false;
    }
    return s.size > 0 && s.data[s.size - 1] != ':';
}

static void put_text_value(struct text *out, struct span s)
{
    if (is_plain(s)) {
        text_put_span(out, s);
        return;
    }
    size_t from = out->size;
    text_put_json(out, s);
    /* "${" would be replaced when read again: one more $ goes in front of each. */
    for (size_t i = from; i + 1 < out->size; i++) {
        if (out->data[i] != '$' || out->data[i + 1] != '{') continue;
        size_t tail = out->size - i;
        text_put_char(out, '$');
        if (!out->truncated) memmove(out->data + i + 1, out->data + i, tail);
        i += 1;
    }
}

static void put_ratio(struct text *out, double value)
{
    text_format(out, "%.10g", value);
}

static void put_scalar(struct text *out, const struct config_key *key, const void *field)
{
    switch (key->type) {
    case TYPE_TEXT:
    case TYPE_WORD: put_text_value(out, *(const struct span *)field); break;
    case TYPE_SECRET: text_put_text(out, ((const struct span *)field)->size ? MASK : "\"\""); break;
    case TYPE_BOOL: text_put_text(out, *(const bool *)field ? "true" : "false"); break;
    case TYPE_COUNT: text_put_u64(out, *(const unsigned *)field); break;
    case TYPE_DURATION: config_put_duration(out, *(const uint64_t *)field); break;
    case TYPE_SIZE: config_put_size(out, *(const uint64_t *)field); break;
    case TYPE_CHOICE: text_put_text(out, key->choices[*(const int *)field]); break;
    case TYPE_FLAG: text_put_text(out, key->choices[*(const bool *)field]); break;
    case TYPE_THRESHOLD:
        if (*(const double *)field == 0)
            text_put_text(out, "null");
        else
            put_ratio(out, *(const double *)field);
        break;
    default: put_ratio(out, *(const double *)field); break;
    }
}

static void put_element(const struct printer *p, const struct config_key *key, const void *field, unsigned index)
{
    const struct config_header *header = (const struct config_header *)field + index;
    switch (key->type) {
    case TYPE_PROVIDERS: put_text_value(p->out, p->config->providers[((const unsigned *)field)[index]].name); break;
    case TYPE_PACKS: put_text_value(p->out, p->config->packs[((const unsigned *)field)[index]].name); break;
    case TYPE_HEADERS:
        put_text_value(p->out, header->name);
        text_put_text(p->out, ": " MASK);
        break;
    default: put_text_value(p->out, ((const struct span *)field)[index]); break;
    }
}

static void put_list(const struct printer *p, const struct config_key *key, const void *base)
{
    const void *field = at_offset(base, key->offset);
    bool addresses = key->type == TYPE_ADDRESSES, mapping = key->type == TYPE_HEADERS;
    unsigned count = addresses ? ((const struct config_addresses *)field)->count : count_at(key, base);
    text_put_char(p->out, mapping ? '{' : '[');
    for (unsigned i = 0; i < count; i++) {
        if (i > 0) text_put_text(p->out, ", ");
        put_element(p, key, field, i);
    }
    text_put_char(p->out, mapping ? '}' : ']');
}

static void put_name(struct printer *p, const char *name)
{
    for (unsigned i = p->dash ? 1 : 0; i < p->depth; i++) text_put_text(p->out, "  ");
    if (p->dash) text_put_text(p->out, "- ");
    p->dash = false;
    text_put_text(p->out, name);
    text_put_char(p->out, ':');
}

static void print_keys(struct printer *p, const struct config_key *keys, const void *base);

static void print_sections(struct printer *p, const struct config_key *key, const void *base)
{
    unsigned count = count_at(key, base);
    text_put_text(p->out, count ? "\n" : " []\n");
    p->depth += 2;
    for (unsigned i = 0; i < count; i++) {
        p->dash = true;
        print_keys(p, key->keys, at_offset(base, key->offset + i * key->each));
    }
    p->depth -= 2;
}

/* match.dialect is the one choice that may be absent. */
static bool is_absent(const struct config_key *key, const void *base)
{
    return key->type == TYPE_CHOICE && !key->required && !key->fallback &&
           ((const struct config_route *)base)->any_dialect;
}

static bool is_later(const struct config_key *key, const void *base)
{
    if (key->type == TYPE_CHOICE && key->choices_later >> *(const int *)at_offset(base, key->offset) & 1) return true;
    return key->built != BUILT;
}

static void print_key(struct printer *p, const struct config_key *key, const void *base)
{
    if (is_absent(key, base)) return;
    put_name(p, key->name);
    if (key->type == TYPE_SECTION) {
        text_put_char(p->out, '\n');
        p->depth++;
        print_keys(p, key->keys, base);
        p->depth--;
        return;
    }
    if (key->type == TYPE_SECTIONS) {
        print_sections(p, key, base);
        return;
    }
    text_put_char(p->out, ' ');
    if (key->type >= TYPE_TEXTS)
        put_list(p, key, base);
    else
        put_scalar(p->out, key, at_offset(base, key->offset));
    text_put_text(p->out, is_later(key, base) ? "  # not built yet\n" : "\n");
}

static void print_keys(struct printer *p, const struct config_key *keys, const void *base)
{
    for (; keys->name; keys++) print_key(p, keys, base);
}

void config_print(const struct config *config, struct text *out)
{
    struct printer printer = {.config = config, .out = out};
    text_format(out, "# board %.*s (%.*s): %.*s\n", SPAN_ARG(config->board_name), SPAN_ARG(config->board_about),
                SPAN_ARG(config->board_why));
    print_keys(&printer, config_keys, config);
}

/* ---- reload */

struct comparison {
    struct printer a, b;
    struct text *names;
    struct text path;
};

static bool grows(const struct config_key *key, const void *a, const void *b)
{
    if (key->type == TYPE_COUNT) return *(const unsigned *)b > *(const unsigned *)a;
    return *(const uint64_t *)b > *(const uint64_t *)a;
}

static void put_value(const struct printer *p, const struct config_key *key, const void *base)
{
    if (key->type >= TYPE_TEXTS)
        put_list(p, key, base);
    else
        put_scalar(p->out, key, at_offset(base, key->offset));
}

/* Values are compared as they print; secrets, which print alike, by their bytes. */
static bool differs(struct comparison *c, const struct config_key *key, const void *a, const void *b)
{
    text_clear(c->a.out);
    text_clear(c->b.out);
    if (key->type == TYPE_SECRET)
        return !span_equal(*(const struct span *)at_offset(a, key->offset),
                           *(const struct span *)at_offset(b, key->offset));
    put_value(&c->a, key, a);
    put_value(&c->b, key, b);
    return !span_equal(text_span(c->a.out), text_span(c->b.out));
}

static void compare_keys(struct comparison *c, const struct config_key *keys, const void *a, const void *b)
{
    for (; keys->name; keys++) {
        size_t mark = c->path.size;
        if (keys->type == TYPE_SECTIONS || keys->reload == RELOAD) continue;
        if (mark > 0) text_put_char(&c->path, '.');
        text_put_text(&c->path, keys->name);
        if (keys->type == TYPE_SECTION)
            compare_keys(c, keys->keys, a, b);
        else if (differs(c, keys, a, b) &&
                 (keys->reload == RESTART || grows(keys, at_offset(a, keys->offset), at_offset(b, keys->offset)))) {
            if (c->names->size > 0) text_put_text(c->names, ", ");
            text_put_span(c->names, text_span(&c->path));
        }
        c->path.size = mark;
        c->path.data[mark] = 0;
    }
}

void config_restart_needed(const struct config *old_config, const struct config *new_config, struct text *names)
{
    /* Too large for a fiber's stack; one caller at a time. Texts are at most 4095 bytes long. */
    static char buffers[2][4096 + 64];
    char path[CONFIG_PATH_TEXT_MAX];
    struct text a = text_on(buffers[0], sizeof buffers[0]), b = text_on(buffers[1], sizeof buffers[1]);
    struct comparison c = {.a = {.config = old_config, .out = &a},
                           .b = {.config = new_config, .out = &b},
                           .names = names,
                           .path = text_on(path, sizeof path)};
    compare_keys(&c, config_keys, old_config, new_config);
}

/* ---- reference */

static void put_default(struct text *out, const struct config_key *key)
{
    if (key->required)
        text_put_text(out, "required");
    else if (key->type == TYPE_HEADERS)
        text_put_text(out, "`{}`");
    else if (key->type >= TYPE_TEXTS && key->type != TYPE_ADDRESSES)
        text_put_text(out, "`[]`");
    else if (!key->fallback)
        text_put_text(out, "absent");
    else
        text_format(out, "`%s`", key->fallback[0] ? key->fallback : "\"\"");
}

static void put_values(struct text *out, const struct config_key *key)
{
    static const char *const forms[TYPE_SECTIONS + 1] = {
        [TYPE_TEXT] = "text",
        [TYPE_SECRET] = "secret text",
        [TYPE_BOOL] = "true, false",
        [TYPE_THRESHOLD] = "name or number",
        [TYPE_TEXTS] = "list",
        [TYPE_ADDRESSES] = "address or list",
        [TYPE_HEADERS] = "names with values",
        [TYPE_PROVIDERS] = "list of names",
        [TYPE_PACKS] = "list of names",
    };
    if (key->choices) {
        for (unsigned i = 0; key->choices[i]; i++)
            text_format(out, "%s%s%s", i ? ", " : "", key->choices[i],
                        key->choices_later >> i & 1 ? " (not built yet)" : "");
    } else if (forms[key->type]) {
        text_put_text(out, forms[key->type]);
    } else {
        void (*put)(struct text *, uint64_t) = key->type == TYPE_SIZE       ? config_put_size
                                               : key->type == TYPE_DURATION ? config_put_duration
                                                                            : text_put_u64;
        put(out, key->min);
        text_put_text(out, " to ");
        put(out, key->max);
    }
    if (key->max && key->type >= TYPE_TEXTS && key->type != TYPE_ADDRESSES)
        text_format(out, ", at most %u", (unsigned)key->max);
}

static void reference_keys(struct text *out, struct text *path, const struct config_key *keys)
{
    static const char *const reloads[] = {"restart", "reload", "reload, not above the boot's"};
    static const char *const builts[] = {
        [BUILT] = "", [LATER] = " (not built yet)", [LATER_SOFT] = " (not built yet; other values are kept for later)"};
    for (; keys->name; keys++) {
        size_t mark = path->size;
        if (mark > 0) text_put_char(path, '.');
        text_put_text(path, keys->name);
        if (keys->type == TYPE_SECTIONS) text_put_text(path, "[]");
        if (keys->keys) {
            reference_keys(out, path, keys->keys);
        } else {
            text_format(out, "| `%s` | ", path->data);
            put_values(out, keys);
            text_put_text(out, " | ");
            put_default(out, keys);
            bool element = strstr(path->data, "[]") != NULL; /* lists of sections are all taken at a reload */
            text_format(out, " | %s | %s%s |\n", element ? reloads[RELOAD] : reloads[keys->reload], keys->help,
                        builts[keys->built]);
        }
        path->size = mark;
        path->data[mark] = 0;
    }
}

void config_print_reference(struct text *out)
{
    char buffer[CONFIG_PATH_TEXT_MAX];
    struct text path = text_on(buffer, sizeof buffer);
    text_put_text(out, "| key | values | default | takes effect at | what |\n|---|---|---|---|---|\n");
    reference_keys(out, &path, config_keys);
}
