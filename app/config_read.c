/* SPDX-License-Identifier: Apache-2.0 */
/* app/config_read.c — the tree, by the table, into the struct: first the default of a key, then what the file says.
 *
 * A wrong value is reported and leaves the default, so that one run names every error. Recursion follows the table
 * (at most five deep), never the input.
 */
#include "app/config_table.h"
#include "platform/rc.h"

#define QUOTE(s) (int)((s).size < CONFIG_QUOTE_MAX ? (s).size : CONFIG_QUOTE_MAX), (s).data

/* Where an array's elements are counted, and one of them. */
static unsigned *count_of(const struct config_key *key, void *base)
{
    return (unsigned *)(void *)((char *)base + key->count_offset);
}

static void *field_of(const struct config_key *key, void *base)
{
    return (char *)base + key->offset;
}

const struct yaml_node *config_child(const struct yaml_node *mapping, const char *name)
{
    if (!mapping || mapping->kind != YAML_MAPPING) return NULL;
    for (const struct yaml_node *n = mapping->child; n; n = n->next)
        if (span_equal(n->key, span_text(name))) return n;
    return NULL;
}

/* The elements of a list, within its bound; NULL when there are none or the node is none (reported). */
static const struct yaml_node *list_of(struct config_reader *reader, const struct config_key *key,
                                       const struct yaml_node *node, bool one_is_enough)
{
    unsigned count = 0;
    if (!node || config_is_null(node)) return NULL;
    if (one_is_enough && node->kind == YAML_SCALAR) return node;
    if (node->kind != YAML_SEQUENCE) {
        config_error(reader, node, "a list is expected");
        return NULL;
    }
    for (const struct yaml_node *n = node->child; n; n = n->next)
        if (++count == key->max + 1) config_error(reader, n, "more than %u of them", (unsigned)key->max);
    return node->child;
}

static bool listed(const struct span *list, unsigned count, struct span value)
{
    for (unsigned i = 0; i < count; i++)
        if (span_equal(list[i], value)) return true;
    return false;
}

static void read_texts(struct config_reader *reader, const struct config_key *key, const struct yaml_node *node,
                       void *base)
{
    struct span *list = field_of(key, base);
    unsigned *count = count_of(key, base);
    for (const struct yaml_node *n = list_of(reader, key, node, false); n && *count < key->max; n = n->next) {
        struct span value;
        if (!config_read_element(reader, n, &value)) continue;
        if (listed(list, *count, value))
            config_error(reader, n, "\"%.*s\" stands there twice", QUOTE(value));
        else
            list[(*count)++] = value;
    }
}

static void read_addresses(struct config_reader *reader, const struct config_key *key, const struct yaml_node *node,
                           void *base)
{
    struct config_addresses *list = field_of(key, base);
    struct config_key bounded = {.max = CONFIG_ADDRESSES_MAX};
    const struct yaml_node *first = list_of(reader, &bounded, node, true);
    bool one = node && node->kind == YAML_SCALAR;
    for (const struct yaml_node *n = first; n && list->count < CONFIG_ADDRESSES_MAX; n = one ? NULL : n->next) {
        struct span value;
        if (!config_read_element(reader, n, &value)) continue;
        if (config_value_address(value) != RC_OK)
            config_error(reader, n, "\"%.*s\" is no address:port, like 127.0.0.1:8080, 0.0.0.0:8080 or \"[::]:8080\"",
                         QUOTE(value));
        else if (listed(list->at, list->count, value))
            config_error(reader, n, "\"%.*s\" stands there twice", QUOTE(value));
        else
            list->at[list->count++] = value;
    }
    if (node && first == NULL && node->kind == YAML_SEQUENCE) config_error(reader, node, "an address is needed");
    if (list->count == 0) list->at[list->count++] = span_text(key->fallback);
}

static bool header_name_fits(struct span name)
{
    /* What frames a message or belongs to one connection is ours to write. */
    static const char *const ours[] = {"host",    "connection", "content-length", "transfer-encoding",  "te",
                                       "upgrade", "trailer",    "expect",         "proxy-authorization"};
    for (size_t i = 0; i < name.size; i++) {
        char c = name.data[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter && c != '-' && c != '_') return false;
    }
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
        if (span_equal_nocase(name, span_text(ours[i]))) return false;
    return name.size > 0 && name.size <= 64;
}

static bool header_given(const struct config_header *list, unsigned count, struct span name)
{
    for (unsigned i = 0; i < count; i++)
        if (span_equal_nocase(list[i].name, name)) return true;
    return false;
}

static void read_headers(struct config_reader *reader, const struct config_key *key, const struct yaml_node *node,
                         void *base)
{
    struct config_header *list = field_of(key, base);
    unsigned *count = count_of(key, base);
    if (!node || config_is_null(node)) return;
    if (node->kind != YAML_MAPPING) {
        config_error(reader, node, "names with values are expected, like {x-team: kitchen}");
        return;
    }
    for (const struct yaml_node *n = node->child; n; n = n->next) {
        struct config_header header = {.name = n->key};
        if (*count == key->max) {
            config_error(reader, n, "more than %u of them", (unsigned)key->max);
            return;
        }
        if (!header_name_fits(n->key))
            config_error(reader, n, "\"%.*s\" is no header that can be set here", QUOTE(n->key));
        else if (header_given(list, *count, n->key))
            config_error(reader, n, "\"%.*s\" stands there twice", QUOTE(n->key));
        else if (config_read_element(reader, n, &header.value))
            list[(*count)++] = header;
    }
}

/* ---- lists of names that another list defines */

static const char *provider_name_at(const void *list, unsigned index)
{
    const struct config *config = list;
    return index < config->provider_count && config->providers[index].name.data ? config->providers[index].name.data
                                                                                : NULL;
}

static const char *pack_name_at(const void *list, unsigned index)
{
    const struct config *config = list;
    return index < config->pack_count && config->packs[index].name.data ? config->packs[index].name.data : NULL;
}

static void read_references(struct config_reader *reader, const struct config_key *key, const struct yaml_node *node,
                            void *base)
{
    bool providers = key->type == TYPE_PROVIDERS;
    const char *(*name_at)(const void *, unsigned) = providers ? provider_name_at : pack_name_at;
    unsigned total = providers ? reader->config->provider_count : reader->config->pack_count;
    unsigned *list = field_of(key, base), *count = count_of(key, base);
    for (const struct yaml_node *n = list_of(reader, key, node, false); n && *count < key->max; n = n->next) {
        struct span value;
        unsigned index = 0, before = 0;
        if (!config_read_element(reader, n, &value)) continue;
        while (index < total && !span_equal(value, span_text(name_at(reader->config, index)))) index++;
        while (before < *count && list[before] != index) before++;
        if (index < total && before == *count) {
            list[(*count)++] = index;
            continue;
        }
        const char *near = index < total ? NULL : config_nearest(value, name_at, reader->config);
        if (index < total)
            config_error(reader, n, "\"%.*s\" stands there twice", QUOTE(value));
        else
            config_error(reader, n, "no %s is called \"%.*s\"%s%s%s", providers ? "provider" : "pack", QUOTE(value),
                         near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
    }
}

/* ---- sections */

static void read_key(struct config_reader *reader, const struct config_key *key, const struct yaml_node *node,
                     void *base);

/* Lists of sections: each element is a struct of its own. */
static void read_sections(struct config_reader *reader, const struct config_key *key, const struct yaml_node *node,
                          void *base)
{
    unsigned *count = count_of(key, base);
    for (const struct yaml_node *n = list_of(reader, key, node, false); n && *count < key->max; n = n->next) {
        void *element = (char *)field_of(key, base) + *count * key->each;
        size_t mark = config_path_push_index(reader, *count);
        (*count)++;
        if (n->kind != YAML_MAPPING) {
            config_error(reader, n, "keys with values are expected");
        } else {
            config_read_section(reader, key->keys, n, element);
            key->check(reader, n, element);
        }
        config_path_pop(reader, mark);
    }
}

static void read_one_section(struct config_reader *reader, const struct config_key *key, const struct yaml_node *node,
                             void *base)
{
    if (node && config_is_null(node)) node = NULL;
    if (node && node->kind != YAML_MAPPING) {
        config_error(reader, node, "keys with values are expected");
        node = NULL;
    }
    config_read_section(reader, key->keys, node, base);
    if (key->check) key->check(reader, node, base);
}

static void read_key(struct config_reader *reader, const struct config_key *key, const struct yaml_node *node,
                     void *base)
{
    unsigned errors = reader->report->errors;
    switch (key->type) {
    case TYPE_SECTION: read_one_section(reader, key, node, base); return;
    case TYPE_SECTIONS: read_sections(reader, key, node, base); return;
    case TYPE_TEXTS: read_texts(reader, key, node, base); break;
    case TYPE_ADDRESSES: read_addresses(reader, key, node, base); break;
    case TYPE_HEADERS: read_headers(reader, key, node, base); break;
    case TYPE_PROVIDERS:
    case TYPE_PACKS: read_references(reader, key, node, base); break;
    default: config_read_scalar(reader, key, node, base); break;
    }
    if (key->check && reader->report->errors == errors) key->check(reader, node, base);
}

static bool key_known(const struct config_key *keys, struct span name)
{
    for (; keys->name; keys++)
        if (span_equal(name, span_text(keys->name))) return true;
    return false;
}

static bool is_missing(const struct yaml_node *node)
{
    return !node || (node->kind == YAML_SCALAR && node->text.size == 0);
}

void config_read_section(struct config_reader *reader, const struct config_key *keys, const struct yaml_node *node,
                         void *base)
{
    for (const struct yaml_node *n = node ? node->child : NULL; n; n = n->next)
        if (!key_known(keys, n->key)) config_unknown_key(reader, n, keys);
    for (const struct config_key *key = keys; key->name; key++) {
        const struct yaml_node *value = config_child(node, key->name);
        size_t mark = config_path_push(reader, span_text(key->name));
        if (key->required && is_missing(value))
            config_error(reader, value ? value : node, "required, and not there");
        else
            read_key(reader, key, value, base);
        config_path_pop(reader, mark);
    }
}
