/* SPDX-License-Identifier: Apache-2.0 */
/* app/config.c — from text to struct: tree, defaults, overrides, table. */
#include "app/config_table.h"
#include "platform/rc.h"

/* YAML takes [::]:8080 for a list; its own words for that help nobody. */
static bool line_has_address(struct span text, unsigned line)
{
    struct span head = SPAN("");
    for (unsigned i = 0; i < line; i++) text = span_cut(text, '\n', &head);
    return span_contains(head, SPAN("]:"));
}

static int fail_yaml(struct config_reader *reader, struct span text, int rc, const struct yaml_error *error)
{
    const struct yaml_node at = {.line = error->line, .column = error->column};
    const char *hint = line_has_address(text, error->line) ? "; put an IPv6 address into quotes: \"[::]:8080\"" : "";
    config_error(reader, &at, "%.130s%s", error->message, hint);
    return rc == RC_FULL ? RC_FULL : RC_INVALID;
}

static int read_tree(struct config_reader *reader, struct yaml_node *root)
{
    struct config *config = reader->config;
    reader->root = root;
    config_graft_defaults(reader, root);
    config_apply_overrides(reader, root);
    config->file = arena_copy(reader->arena,
                              span_text(reader->source->file_name ? reader->source->file_name : "built-in defaults"));
    config_read_section(reader, config_keys, root, config);
    if (reader->full) {
        config_error(reader, NULL, "the memory kept for a configuration is full");
        return RC_FULL;
    }
    return reader->report->errors ? RC_INVALID : RC_OK;
}

int config_load(struct arena *arena, struct span text, const struct config_source *source, struct config **config,
                struct config_report *report)
{
    struct config_reader reader = {.arena = arena, .source = source, .report = report};
    struct yaml_node *root;
    struct yaml_error error;
    *config = NULL;
    *report = (struct config_report){0};
    reader.path = text_on(reader.path_bytes, sizeof reader.path_bytes);

    int rc = yaml_read(arena, text, &root, &error);
    if (rc != RC_OK) return fail_yaml(&reader, text, rc, &error);
    if (!root && (root = ARENA_NEW(arena, struct yaml_node))) root->kind = YAML_MAPPING;
    reader.config = ARENA_NEW(arena, struct config);
    if (!root || !reader.config) {
        config_error(&reader, NULL, "the memory kept for a configuration is full");
        return RC_FULL;
    }
    if (root->kind != YAML_MAPPING) {
        config_error(&reader, root, "keys with values are expected");
        return RC_INVALID;
    }
    rc = read_tree(&reader, root);
    if (rc == RC_OK) *config = reader.config;
    return rc;
}
