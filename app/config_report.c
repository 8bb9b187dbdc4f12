/* SPDX-License-Identifier: Apache-2.0 */
/* app/config_report.c — errors and warnings with their place; the path of the key being read; near names. */
#include <stdarg.h>
#include <stdio.h>

#include "app/config_table.h"

/* The slot for one more; errors push out the newest warning. */
static struct config_issue *issue_slot(struct config_report *report, bool error)
{
    if (report->count < CONFIG_ISSUES_MAX) return &report->issues[report->count++];
    report->left_out++;
    for (unsigned i = CONFIG_ISSUES_MAX; error && i-- > 0;)
        if (!report->issues[i].error) return &report->issues[i];
    return NULL;
}

/* Line 0 is a node that the file does not hold: column tells which override made it, or what else. */
static void put_origin(struct config_reader *reader, const struct yaml_node *node, struct text *out)
{
    if (node->line > 0) return;
    if (node->column == 0) {
        text_put_text(out, "built-in default: ");
        return;
    }
    if (config_from_board(node)) {
        text_format(out, "board %.*s: ", SPAN_ARG(reader->config->board_name));
        return;
    }
    struct span name;
    (void)span_cut(span_text(reader->source->overrides[node->column - 1]), '=', &name);
    text_put_text(out, "--override ");
    text_put_span(out, span_of(name.data, name.size < CONFIG_QUOTE_MAX ? name.size : CONFIG_QUOTE_MAX));
    text_put_text(out, ": ");
}

static void report(struct config_reader *reader, bool error, const struct yaml_node *node, const char *format,
                   va_list arguments)
{
    char said[sizeof((struct config_issue *)0)->message];
    /* What the built-in default made is wrong only when the file is, and that is said already. */
    if (error && node && node->line == 0 && node->column == 0 && reader->report->errors > 0) return;
    struct config_issue *issue = issue_slot(reader->report, error);
    if (error) reader->report->errors++;
    if (!issue) return;
    *issue = (struct config_issue){.error = error};
    struct text out = text_on(issue->message, sizeof issue->message);
    if (node) {
        issue->line = node->line;
        issue->column = node->line ? node->column : 0;
        put_origin(reader, node, &out);
    }
    if (reader->path.size > 0) {
        text_put_span(&out, text_span(&reader->path));
        text_put_text(&out, ": ");
    }
    (void)vsnprintf(said, sizeof said, format, arguments);
    text_put_text(&out, said);
    for (char *c = issue->message; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f) *c = '?'; /* a quoted value may hold anything */
}

void config_error(struct config_reader *reader, const struct yaml_node *node, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    report(reader, true, node, format, arguments);
    va_end(arguments);
}

void config_warning(struct config_reader *reader, const struct yaml_node *node, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    report(reader, false, node, format, arguments);
    va_end(arguments);
}

size_t config_path_push(struct config_reader *reader, struct span name)
{
    size_t mark = reader->path.size;
    if (mark > 0) text_put_char(&reader->path, '.');
    text_put_span(&reader->path, span_of(name.data, name.size < CONFIG_QUOTE_MAX ? name.size : CONFIG_QUOTE_MAX));
    return mark;
}

size_t config_path_push_index(struct config_reader *reader, unsigned index)
{
    size_t mark = reader->path.size;
    text_put_char(&reader->path, '.');
    text_put_u64(&reader->path, index);
    return mark;
}

void config_path_pop(struct config_reader *reader, size_t mark)
{
    reader->path.size = mark;
    reader->path.data[mark] = 0;
}

enum { NAME_MAX_COMPARED = 40 };

/* Levenshtein's distance, one row at a time; both at most NAME_MAX_COMPARED long. */
static unsigned distance(struct span a, struct span b)
{
    unsigned char row[NAME_MAX_COMPARED + 1];
    for (size_t k = 0; k <= b.size; k++) row[k] = (unsigned char)k;
    for (size_t i = 0; i < a.size; i++) {
        unsigned char corner = row[0];
        row[0] = (unsigned char)(i + 1);
        for (size_t k = 0; k < b.size; k++) {
            unsigned char above = row[k + 1];
            unsigned char best = (unsigned char)(corner + (a.data[i] != b.data[k]));
            if (above + 1 < best) best = (unsigned char)(above + 1);
            if (row[k] + 1 < best) best = (unsigned char)(row[k] + 1);
            row[k + 1] = best;
            corner = above;
        }
    }
    return row[b.size];
}

const char *config_nearest(struct span name, const char *(*name_at)(const void *list, unsigned index), const void *list)
{
    const char *best = NULL, *candidate;
    if (name.size > NAME_MAX_COMPARED) return NULL;
    unsigned limit = name.size < 6 ? 2 : (unsigned)name.size / 3; /* more is another word */
    for (unsigned i = 0; (candidate = name_at(list, i)) != NULL; i++) {
        struct span other = span_text(candidate);
        unsigned d = other.size > NAME_MAX_COMPARED ? limit + 1 : distance(name, other);
        if (d > limit || d >= other.size) continue;
        best = candidate;
        if (d == 0) break;
        limit = d - 1;
    }
    return best;
}

static const char *key_name_at(const void *list, unsigned index)
{
    return ((const struct config_key *)list)[index].name;
}

void config_unknown_key(struct config_reader *reader, const struct yaml_node *node, const struct config_key *keys)
{
    struct yaml_node at = {.line = node->key_line, .column = node->key_column};
    const char *near = config_nearest(node->key, key_name_at, keys);
    char buffer[128];
    struct text known = text_on(buffer, sizeof buffer);
    size_t mark = config_path_push(reader, node->key);
    for (const struct config_key *k = keys; k->name; k++) {
        if (k != keys) text_put_text(&known, ", ");
        text_put_text(&known, k->name);
    }
    if (near)
        config_error(reader, &at, "unknown key; did you mean \"%s\"?", near);
    else
        config_error(reader, &at, "unknown key; known here: %s%s", buffer, known.truncated ? " ..." : "");
    config_path_pop(reader, mark);
}

void config_issue_print(const struct config_issue *issue, const struct config_source *source, struct text *out)
{
    if (issue->line > 0)
        text_format(out, "%s:%u:%u: ", source->file_name ? source->file_name : "built-in default", issue->line,
                    issue->column);
    else if (source->file_name)
        text_format(out, "%s: ", source->file_name);
    text_put_text(out, issue->error ? "error: " : "warning: ");
    text_put_text(out, issue->message);
}
