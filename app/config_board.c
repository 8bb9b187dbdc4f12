/* SPDX-License-Identifier: Apache-2.0 */
/* app/config_board.c — the board's defaults, put into the tree wherever the user's file and overrides say nothing.
 *
 * `board` stands before limits and storage in the table, so that its check runs before they are read.
 */
#include "app/board.h"
#include "app/config_table.h"
#include "platform/rc.h"

enum { WHY_MAX = 320 };

bool config_from_board(const struct yaml_node *node)
{
    return node->line == 0 && node->column == CONFIG_FROM_BOARD;
}

const struct yaml_node *config_given(const struct yaml_node *mapping, const char *name)
{
    const struct yaml_node *node = config_child(mapping, name);
    return node && !config_from_board(node) ? node : NULL;
}

/* Moves the members of `from` into `to`; what is there already stays. */
static void merge(struct yaml_node *to, struct yaml_node *from)
{
    struct yaml_node *next;
    for (struct yaml_node *n = from->child; n; n = next) {
        struct yaml_node *same = to->child;
        next = n->next;
        n->next = NULL;
        while (same && !span_equal(same->key, n->key)) same = same->next;
        if (!same)
            config_append(to, n);
        else if (n->kind == YAML_MAPPING && same->kind == YAML_MAPPING)
            merge(same, n); /* as deep as the table */
        else if (n->kind == YAML_MAPPING && config_is_null(same))
            same->kind = YAML_MAPPING, same->child = n->child;
    }
}

static void graft(struct yaml_node *root, struct yaml_node *limits, struct yaml_node *storage)
{
    struct yaml_node members = {.kind = YAML_MAPPING};
    if (limits) limits->next = NULL, config_append(&members, limits);
    if (storage) storage->next = NULL, config_append(&members, storage);
    config_place_nodes(members.child, CONFIG_FROM_BOARD);
    merge(root, &members);
}

/* Quoted, in one line: a model may hold anything. */
static void put_quoted(struct text *out, struct span s)
{
    text_put_char(out, '"');
    for (size_t i = 0; i < s.size; i++)
        text_put_char(out, (unsigned char)s.data[i] < ' ' || s.data[i] == 0x7f ? '?' : s.data[i]);
    text_put_char(out, '"');
}

static struct span tell_why(struct config_reader *reader, const struct board *board, struct span model, bool choose)
{
    char buffer[WHY_MAX];
    struct text out = text_on(buffer, sizeof buffer);
    if (!choose) {
        text_put_text(&out, "asked for by name");
    } else if (model.size == 0) {
        text_put_text(&out, "this machine does not tell its model");
    } else {
        text_put_text(&out, "the model is ");
        put_quoted(&out, model);
        if (board->matched.size)
            text_put_text(&out, ", like "), put_quoted(&out, board->matched);
        else
            text_put_text(&out, ", which no board matches");
    }
    return arena_copy(reader->arena, text_span(&out));
}

static const char *name_or_auto_at(const void *list, unsigned index)
{
    (void)list;
    return index == 0 ? "auto" : board_name_at(index - 1);
}

static void refuse_name(struct config_reader *reader, const struct yaml_node *node, struct span name)
{
    char buffer[100];
    struct text known = text_on(buffer, sizeof buffer);
    const char *near = config_nearest(name, name_or_auto_at, NULL), *at;
    for (unsigned i = 0; (at = name_or_auto_at(NULL, i)) != NULL; i++) text_format(&known, "%s%s", i ? ", " : "", at);
    config_error(reader, node, "no board is called \"%.*s\"; there are %s%s%s%s",
                 (int)(name.size < CONFIG_QUOTE_MAX ? name.size : CONFIG_QUOTE_MAX), name.data, buffer,
                 near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

void config_check_board(struct config_reader *reader, const struct yaml_node *node, void *base)
{
    struct config *config = base;
    struct board board;
    char said[160];
    struct text wrong = text_on(said, sizeof said);
    struct span model = span_text(reader->source->model);
    bool choose = span_equal(config->board, SPAN("auto"));
    int rc = choose ? board_choose(reader->arena, model, &board, &wrong)
                    : board_find(reader->arena, config->board, &board, &wrong);
    if (rc == RC_NOT_FOUND) {
        refuse_name(reader, node, config->board);
    } else if (rc == RC_FULL) {
        reader->full = true;
    } else if (rc != RC_OK) {
        config_error(reader, node, "%s", said);
    } else {
        config->board_name = board.name;
        config->board_about = board.about;
        config->board_why = tell_why(reader, &board, model, choose);
        reader->full = reader->full || !config->board_why.data;
        graft(reader->root, board.limits, board.storage);
    }
}
