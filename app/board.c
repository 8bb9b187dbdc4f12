/* SPDX-License-Identifier: Apache-2.0 */
/* app/board.c — the embedded files, and reading one of them by the configuration's own table. See board.h. */
#include "app/board.h"

#include "app/config_table.h"
#include "platform/check.h"
#include "platform/rc.h"

/* Made by the build: name, NUL, file, NUL and so on; an empty name ends it. */
extern const char embedded_boards[];

static const char *after_nul(const char *text)
{
    return text + strlen(text) + 1;
}

const char *board_name_at(unsigned index)
{
    const char *at = embedded_boards;
    for (; *at && index > 0; index--) at = after_nul(after_nul(at));
    return *at ? at : NULL;
}

/* ---- what a file may say */

struct reading {
    struct board *board;
    struct text *wrong;
};

static int refuse(const struct reading *r, const struct yaml_node *node, const char *what)
{
    unsigned line = node->key_line ? node->key_line : node->line;
    unsigned column = node->key_line ? node->key_column : node->column;
    text_format(r->wrong, "board/%.*s.yaml:%u:%u: %.*s%s%s", SPAN_ARG(r->board->name), line, column,
                SPAN_ARG(node->key), node->key.size ? ": " : "", what);
    return RC_INVALID;
}

static const struct config_key *key_of(const struct config_key *keys, struct span name)
{
    for (; keys->name; keys++)
        if (span_equal(name, span_text(keys->name))) return keys;
    return NULL;
}

/* As deep as the table. Values are judged where every value is: when a configuration is read. */
static int check_defaults(const struct reading *r, const struct config_key *keys, const struct yaml_node *node)
{
    int rc = RC_OK;
    if (node->kind != YAML_MAPPING) return refuse(r, node, "keys with values are expected");
    for (const struct yaml_node *n = node->child; n && rc == RC_OK; n = n->next) {
        const struct config_key *key = key_of(keys, n->key);
        bool counts = key && (key->type == TYPE_COUNT || key->type == TYPE_SIZE || key->type == TYPE_DURATION);
        if (!key)
            rc = refuse(r, n, "no key of the configuration");
        else if (key->type == TYPE_SECTION)
            rc = check_defaults(r, key->keys, n);
        else if (!counts)
            rc = refuse(r, n, "a board only chooses counts, sizes and durations");
        else if (n->kind != YAML_SCALAR)
            rc = refuse(r, n, "one value is expected");
    }
    return rc;
}

static int read_defaults(const struct reading *r, struct yaml_node *node, struct yaml_node **section)
{
    *section = node;
    return check_defaults(r, key_of(config_keys, node->key)->keys, node);
}

static int read_matches(const struct reading *r, const struct yaml_node *node)
{
    struct board *board = r->board;
    if (node->kind != YAML_SEQUENCE) return refuse(r, node, "a list of globs is expected");
    for (const struct yaml_node *n = node->child; n; n = n->next) {
        if (n->kind != YAML_SCALAR || n->text.size == 0) return refuse(r, n, "a glob is expected");
        if (board->match_count == BOARD_MATCHES_MAX) return refuse(r, n, "too many globs");
        board->match[board->match_count++] = n->text;
    }
    return RC_OK;
}

static int read_member(const struct reading *r, struct yaml_node *node)
{
    struct board *board = r->board;
    if (span_equal(node->key, SPAN("limits"))) return read_defaults(r, node, &board->limits);
    if (span_equal(node->key, SPAN("storage"))) return read_defaults(r, node, &board->storage);
    if (span_equal(node->key, SPAN("match"))) return read_matches(r, node);
    if (span_equal(node->key, SPAN("about"))) {
        board->about = node->text;
        return node->kind == YAML_SCALAR ? RC_OK : refuse(r, node, "a text is expected");
    }
    if (span_equal(node->key, SPAN("ram"))) {
        bool size = node->kind == YAML_SCALAR && config_value_size(node->text, &board->ram) == RC_OK;
        return size ? RC_OK : refuse(r, node, "a size is expected, like 1GiB");
    }
    return refuse(r, node, "a board says about, ram, match, limits and storage, nothing else");
}

int board_read(struct arena *arena, struct span name, struct span text, struct board *board, struct text *wrong)
{
    const struct reading r = {board, wrong};
    struct yaml_node *root;
    struct yaml_error error;
    *board = (struct board){.name = name};
    int rc = yaml_read(arena, text, &root, &error);
    if (rc != RC_OK) {
        text_format(wrong, "board/%.*s.yaml:%u:%u: %s", SPAN_ARG(name), error.line, error.column, error.message);
        return rc;
    }
    const struct yaml_node nothing = {.line = 1, .column = 1};
    if (!root || root->kind != YAML_MAPPING) return refuse(&r, root ? root : &nothing, "keys with values are expected");
    for (struct yaml_node *n = root->child; n && rc == RC_OK; n = n->next) rc = read_member(&r, n);
    if (rc == RC_OK && (board->about.size == 0 || board->ram == 0)) rc = refuse(&r, root, "about and ram are needed");
    return rc;
}

/* ---- which */

static int read_embedded(struct arena *arena, const char *name, struct board *board, struct text *wrong)
{
    return board_read(arena, span_text(name), span_text(after_nul(name)), board, wrong);
}

int board_find(struct arena *arena, struct span name, struct board *board, struct text *wrong)
{
    const char *at;
    for (unsigned i = 0; (at = board_name_at(i)) != NULL; i++)
        if (span_equal(name, span_text(at))) return read_embedded(arena, at, board, wrong);
    return RC_NOT_FOUND;
}

static bool recognise(struct board *board, struct span model)
{
    for (unsigned i = 0; i < board->match_count; i++) {
        if (!span_glob(board->match[i], model)) continue;
        board->matched = board->match[i];
        return true;
    }
    return false;
}

int board_choose(struct arena *arena, struct span model, struct board *board, struct text *wrong)
{
    const char *name;
    size_t mark = arena_mark(arena);
    for (unsigned i = 0; (name = board_name_at(i)) != NULL; i++) {
        int rc = read_embedded(arena, name, board, wrong);
        if (rc != RC_OK || recognise(board, model)) return rc;
        arena_rewind(arena, mark);
    }
    int rc = board_find(arena, SPAN("generic"), board, wrong);
    CHECK(rc != RC_NOT_FOUND);
    return rc;
}

/* ---- the reference */

static void put_board(struct text *out, const struct board *board)
{
    text_format(out, "| `%.*s` | %.*s | ", SPAN_ARG(board->name), SPAN_ARG(board->about));
    config_put_size(out, board->ram);
    text_put_text(out, " | ");
    for (unsigned i = 0; i < board->match_count; i++)
        text_format(out, "%s`%.*s`", i ? ", " : "", SPAN_ARG(board->match[i]));
    text_put_text(out, board->match_count ? " |\n" : "what no other one matches |\n");
}

static const struct yaml_node *default_of(const struct board *board, bool limits, const struct config_key *key)
{
    return config_child(limits ? board->limits : board->storage, key->name);
}

/* The keys that any board sets; a board that does not has the built-in default. Sections are left out: none does. */
static void put_keys(struct text *out, const char *section, const struct board *boards, unsigned count)
{
    bool limits = strcmp(section, "limits") == 0;
    for (const struct config_key *key = key_of(config_keys, span_text(section))->keys; key->name; key++) {
        unsigned set = 0;
        for (unsigned i = 0; i < count; i++) set += default_of(&boards[i], limits, key) != NULL;
        if (set == 0 || key->type == TYPE_SECTION) continue;
        text_format(out, "| `%s.%s` |", section, key->name);
        for (unsigned i = 0; i < count; i++) {
            const struct yaml_node *node = default_of(&boards[i], limits, key);
            text_format(out, " %.*s |", SPAN_ARG(node ? node->text : span_text(key->fallback)));
        }
        text_put_char(out, '\n');
    }
}

int board_print_reference(struct arena *arena, struct text *out)
{
    struct board *boards = arena_take(arena, BOARDS_MAX * sizeof *boards, _Alignof(struct board));
    unsigned count = 0;
    const char *name;
    if (!boards) return RC_FULL;
    text_put_text(out, "| board | for | RAM, at least | model |\n|---|---|---|---|\n");
    for (; (name = board_name_at(count)) != NULL; count++) {
        CHECK(count < BOARDS_MAX);
        int rc = read_embedded(arena, name, &boards[count], out);
        if (rc != RC_OK) return rc;
        put_board(out, &boards[count]);
    }
    text_put_text(out, "\n| key |");
    for (unsigned i = 0; i < count; i++) text_format(out, " %.*s |", SPAN_ARG(boards[i].name));
    text_put_text(out, "\n|---|");
    for (unsigned i = 0; i < count; i++) text_put_text(out, "---|");
    text_put_char(out, '\n');
    put_keys(out, "limits", boards, count);
    put_keys(out, "storage", boards, count);
    return RC_OK;
}
