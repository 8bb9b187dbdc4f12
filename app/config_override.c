/* SPDX-License-Identifier: Apache-2.0 */
/* app/config_override.c — `--override path.to.key=value`: changes the tree before anything is read from it. */
#include "app/config_table.h"
#include "platform/rc.h"

void config_append(struct yaml_node *container, struct yaml_node *member)
{
    struct yaml_node **end = &container->child;
    while (*end) end = &(*end)->next;
    *end = member;
}

/* The tree is at most YAML_DEPTH_MAX deep. */
void config_place_nodes(struct yaml_node *node, unsigned origin)
{
    for (; node; node = node->next) {
        node->line = node->key_line = 0;
        node->column = node->key_column = origin;
        config_place_nodes(node->child, origin);
    }
}

static bool is_index(struct span name, uint64_t *index)
{
    return span_to_u64(name, 9999, index) == RC_OK;
}

static struct yaml_node *new_node(struct config_reader *reader, struct span key, unsigned number)
{
    struct yaml_node *node = ARENA_NEW(reader->arena, struct yaml_node);
    key = arena_copy(reader->arena, key); /* a header's name lives on */
    if (!node || !key.data) {
        reader->full = true;
        return NULL;
    }
    *node = (struct yaml_node){
        .kind = YAML_SCALAR, .plain = true, .text = SPAN(""), .key = key, .column = number, .key_column = number};
    return node;
}

/* A place that holds nothing yet becomes what the next step of the path needs. */
static void become_container(struct yaml_node *node, struct span step)
{
    uint64_t index;
    if (!config_is_null(node)) return;
    node->kind = is_index(step, &index) ? YAML_SEQUENCE : YAML_MAPPING;
}

/* The member or element called `step`, made when it is not there; NULL when that cannot be (reported). */
static struct yaml_node *step_into(struct config_reader *reader, struct yaml_node *at, struct span step,
                                   unsigned number)
{
    const struct yaml_node said = {.column = number};
    uint64_t wanted, count = 0;
    become_container(at, step);
    if (at->kind == YAML_SCALAR || step.size == 0) {
        config_error(reader, &said, "\"%.*s\" leads nowhere: write path.to.key=value", (int)step.size, step.data);
        return NULL;
    }
    bool sequence = at->kind == YAML_SEQUENCE;
    if (sequence && !is_index(step, &wanted)) {
        config_error(reader, &said, "\"%.*s\" is no place in a list; they count from 0", (int)step.size, step.data);
        return NULL;
    }
    for (struct yaml_node *n = at->child; n; n = n->next, count++)
        if (sequence ? count == wanted : span_equal(n->key, step)) return n;
    if (sequence && wanted > count) {
        config_error(reader, &said, "the list has %u elements, %.*s is beyond its end", (unsigned)count, (int)step.size,
                     step.data);
        return NULL;
    }
    struct yaml_node *made = new_node(reader, sequence ? SPAN("") : step, number);
    if (made) config_append(at, made);
    return made;
}

/* The value as YAML, so that lists and mappings can be given; what is no YAML ([::]:8080) is plain text. */
static void put_value(struct config_reader *reader, struct yaml_node *node, struct span value, unsigned number)
{
    struct yaml_node *read;
    struct yaml_error error;
    int rc = yaml_read(reader->arena, value, &read, &error);
    if (rc == RC_FULL) reader->full = true;
    struct span key = node->key;
    struct yaml_node *next = node->next;
    if (rc == RC_OK && read) {
        *node = *read;
    } else {
        *node = (struct yaml_node){.kind = YAML_SCALAR, .plain = rc == RC_OK, .text = arena_copy(reader->arena, value)};
        if (!node->text.data) {
            node->text = SPAN("");
            reader->full = true;
        }
    }
    node->next = NULL;
    config_place_nodes(node, number);
    node->key = key;
    node->next = next;
}

static void apply(struct config_reader *reader, struct yaml_node *root, struct span text, unsigned number)
{
    const struct yaml_node said = {.column = number};
    struct span path, value = span_cut(text, '=', &path);
    if (path.size == 0 || path.size == text.size) {
        config_error(reader, &said, "write it as path.to.key=value");
        return;
    }
    struct yaml_node *at = root;
    for (unsigned depth = 0; at && path.size > 0; depth++) {
        struct span step;
        path = span_cut(path, '.', &step);
        if (depth == YAML_DEPTH_MAX - 1) {
            config_error(reader, &said, "the path is too long");
            return;
        }
        at = step_into(reader, at, step, number);
    }
    if (at) put_value(reader, at, value, number);
}

void config_apply_overrides(struct config_reader *reader, struct yaml_node *root)
{
    for (unsigned i = 0; i < reader->source->override_count; i++)
        apply(reader, root, span_text(reader->source->overrides[i]), i + 1);
}
