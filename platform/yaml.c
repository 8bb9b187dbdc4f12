/* SPDX-License-Identifier: Apache-2.0 */
/* platform/yaml.c — door of libyaml: its events become a tree in the arena, without recursion. */
#include "platform/yaml.h"

#include <stdarg.h>
#include <stdio.h>
#include <yaml.h>

#include "platform/check.h"
#include "platform/heap.h"
#include "platform/rc.h"

/* A mapping or sequence whose end has not come yet. */
struct open_node {
    struct yaml_node *node;
    struct yaml_node *last; /* newest child */
    bool has_key;           /* a mapping's key has come, its value has not */
    struct span key;
    unsigned key_line, key_column;
};

struct builder {
    yaml_parser_t parser;
    struct span text;
    struct arena *arena;
    struct yaml_error *error;
    struct yaml_node *root;
    struct open_node open[YAML_DEPTH_MAX];
    unsigned depth, nodes, documents;
};

int yaml_reserve(void)
{
    return heap_reserve(HEAP_YAML, YAML_REGION_SIZE, NULL);
}

__attribute__((format(printf, 4, 5))) static int fail(struct builder *b, int rc, yaml_mark_t mark, const char *format,
                                                      ...)
{
    va_list arguments;
    b->error->line = (unsigned)mark.line + 1;
    b->error->column = (unsigned)mark.column + 1;
    va_start(arguments, format);
    (void)vsnprintf(b->error->message, sizeof b->error->message, format, arguments);
    va_end(arguments);
    for (char *c = b->error->message; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f) *c = '?'; /* a quoted key may hold anything */
    return rc;
}

/* The reader is ahead of the parser: of what it refuses only the byte is known. */
static yaml_mark_t mark_at(struct span text, size_t offset)
{
    yaml_mark_t mark = {0};
    for (size_t i = 0; i < offset && i < text.size; i++) {
        mark.column++;
        if (text.data[i] != '\n') continue;
        mark.line++;
        mark.column = 0;
    }
    return mark;
}

static int fail_parser(struct builder *b)
{
    const yaml_parser_t *p = &b->parser;
    if (p->error == YAML_MEMORY_ERROR) return fail(b, RC_FULL, p->mark, "too large for the memory kept for YAML");
    if (p->error == YAML_READER_ERROR)
        return fail(b, RC_INVALID, mark_at(b->text, p->problem_offset), "%s", p->problem ? p->problem : "unreadable");
    return fail(b, RC_INVALID, p->problem_mark, "%s%s%s", p->problem ? p->problem : "not YAML", p->context ? " " : "",
                p->context ? p->context : "");
}

static bool key_exists(const struct yaml_node *mapping, struct span key)
{
    for (const struct yaml_node *n = mapping->child; n; n = n->next)
        if (span_equal(n->key, key)) return true;
    return false;
}

static int take_key(struct builder *b, struct open_node *top, const yaml_event_t *event)
{
    struct span key = span_of((const char *)event->data.scalar.value, event->data.scalar.length);
    if (key_exists(top->node, key))
        return fail(b, RC_INVALID, event->start_mark, "\"%.*s\" stands twice in one mapping",
                    (int)(key.size < 60 ? key.size : 60), key.data);
    top->key = arena_copy(b->arena, key);
    if (!top->key.data) return fail(b, RC_FULL, event->start_mark, "too large for the memory kept for it");
    top->key_line = (unsigned)event->start_mark.line + 1;
    top->key_column = (unsigned)event->start_mark.column + 1;
    top->has_key = true;
    return RC_OK;
}

static void link_node(struct builder *b, struct yaml_node *node)
{
    if (b->depth == 0) {
        b->root = node;
        return;
    }
    struct open_node *top = &b->open[b->depth - 1];
    if (top->has_key) {
        node->key = top->key;
        node->key_line = top->key_line;
        node->key_column = top->key_column;
        top->has_key = false;
    }
    if (top->last)
        top->last->next = node;
    else
        top->node->child = node;
    top->last = node;
}

static int add_node(struct builder *b, enum yaml_kind kind, const yaml_event_t *event)
{
    if (++b->nodes > YAML_NODES_MAX)
        return fail(b, RC_TOO_LARGE, event->start_mark, "more than %d values", YAML_NODES_MAX);
    struct yaml_node *node = ARENA_NEW(b->arena, struct yaml_node);
    if (!node) return fail(b, RC_FULL, event->start_mark, "too large for the memory kept for it");
    node->kind = kind;
    node->line = (unsigned)event->start_mark.line + 1;
    node->column = (unsigned)event->start_mark.column + 1;
    if (kind == YAML_SCALAR) {
        node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
        node->text = arena_copy(b->arena, span_of((const char *)event->data.scalar.value, event->data.scalar.length));
        if (!node->text.data) return fail(b, RC_FULL, event->start_mark, "too large for the memory kept for it");
    }
    link_node(b, node);
    if (kind == YAML_SCALAR) return RC_OK;
    if (b->depth == YAML_DEPTH_MAX)
        return fail(b, RC_TOO_LARGE, event->start_mark, "nested deeper than %d", YAML_DEPTH_MAX);
    b->open[b->depth++] = (struct open_node){.node = node};
    return RC_OK;
}

/* Whether the event stands where a mapping wants a key. */
static struct open_node *wants_key(struct builder *b)
{
    struct open_node *top = b->depth > 0 ? &b->open[b->depth - 1] : NULL;
    return top && top->node->kind == YAML_MAPPING && !top->has_key ? top : NULL;
}

static int refuse_decoration(struct builder *b, const yaml_event_t *event, const yaml_char_t *anchor,
                             const yaml_char_t *tag)
{
    if (anchor) return fail(b, RC_INVALID, event->start_mark, "anchors (&%.60s) are not taken", (const char *)anchor);
    if (tag) return fail(b, RC_INVALID, event->start_mark, "tags (%.60s) are not taken", (const char *)tag);
    return RC_OK;
}

static int take_scalar(struct builder *b, const yaml_event_t *event)
{
    int rc = refuse_decoration(b, event, event->data.scalar.anchor, event->data.scalar.tag);
    if (rc != RC_OK) return rc;
    struct open_node *top = wants_key(b);
    return top ? take_key(b, top, event) : add_node(b, YAML_SCALAR, event);
}

static int take_start(struct builder *b, enum yaml_kind kind, const yaml_event_t *event, const yaml_char_t *anchor,
                      const yaml_char_t *tag)
{
    int rc = refuse_decoration(b, event, anchor, tag);
    if (rc != RC_OK) return rc;
    if (wants_key(b)) return fail(b, RC_INVALID, event->start_mark, "a key must be a plain name");
    return add_node(b, kind, event);
}

static int take_event(struct builder *b, const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_SCALAR_EVENT: return take_scalar(b, event);
    case YAML_SEQUENCE_START_EVENT:
        return take_start(b, YAML_SEQUENCE, event, event->data.sequence_start.anchor, event->data.sequence_start.tag);
    case YAML_MAPPING_START_EVENT:
        return take_start(b, YAML_MAPPING, event, event->data.mapping_start.anchor, event->data.mapping_start.tag);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT: b->depth--; return RC_OK;
    case YAML_ALIAS_EVENT:
        return fail(b, RC_INVALID, event->start_mark, "aliases (*%.60s) are not taken",
                    (const char *)event->data.alias.anchor);
    case YAML_DOCUMENT_START_EVENT:
        if (++b->documents > 1) return fail(b, RC_INVALID, event->start_mark, "a second document begins here");
        return RC_OK;
    default: return RC_OK;
    }
}

static int build(struct builder *b)
{
    for (;;) {
        yaml_event_t event;
        if (!yaml_parser_parse(&b->parser, &event)) return fail_parser(b);
        yaml_event_type_t type = event.type;
        int rc = take_event(b, &event);
        yaml_event_delete(&event);
        if (rc != RC_OK || type == YAML_STREAM_END_EVENT) return rc;
    }
}

int yaml_read(struct arena *arena, struct span text, struct yaml_node **root, struct yaml_error *error)
{
    struct builder b = {.text = text, .arena = arena, .error = error};
    *root = NULL;
    *error = (struct yaml_error){0};
    if (text.size > YAML_TEXT_MAX)
        return fail(&b, RC_TOO_LARGE, (yaml_mark_t){0}, "longer than %d bytes", YAML_TEXT_MAX);
    if (!yaml_parser_initialize(&b.parser)) return fail(&b, RC_FULL, (yaml_mark_t){0}, "no memory is kept for YAML");
    yaml_parser_set_encoding(&b.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&b.parser, (const unsigned char *)(text.size ? text.data : ""), text.size);
    int rc = build(&b);
    yaml_parser_delete(&b.parser);
    if (rc == RC_OK) *root = b.root;
    return rc;
}
