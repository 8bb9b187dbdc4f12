/* SPDX-License-Identifier: Apache-2.0 */
/* app/config_default.c — what stands in for providers, routes and packs when a file leaves them out.
 *
 * Everything else has its default in the table. Routes for providers of one's own: one a dialect, with all of them in
 * order (the first passthrough one only: a credential goes to one origin).
 */
#include "app/config_table.h"
#include "platform/rc.h"

struct span config_defaults_text(void)
{
    return SPAN("providers:\n"
                "  - name: openai\n"
                "    dialect: openai\n"
                "    base_url: https://api.openai.com/v1\n"
                "    key: ${OPENAI_API_KEY:-}\n"
                "    passthrough: true\n"
                "  - name: anthropic\n"
                "    dialect: anthropic\n"
                "    base_url: https://api.anthropic.com\n"
                "    key: ${ANTHROPIC_API_KEY:-}\n"
                "    passthrough: true\n"
                "routes:\n"
                "  - match: {dialect: openai, model: \"*\"}\n"
                "    providers: [openai]\n"
                "    packs: [starter]\n"
                "  - match: {dialect: anthropic, model: \"*\"}\n"
                "    providers: [anthropic]\n"
                "    packs: [starter]\n"
                "packs:\n"
                "  - {name: starter, file: builtin}\n");
}

/* Reads our own text; NULL only when the arena is full. */
static struct yaml_node *read_ours(struct config_reader *reader, struct span text)
{
    struct yaml_node *root;
    struct yaml_error error;
    if (yaml_read(reader->arena, text, &root, &error) != RC_OK || !root) {
        reader->full = true;
        return NULL;
    }
    config_place_nodes(root, 0);
    return root;
}

static void move_member(struct yaml_node *from, struct yaml_node *to, const char *name)
{
    for (struct yaml_node **at = &from->child; *at; at = &(*at)->next) {
        if (!span_equal((*at)->key, span_text(name))) continue;
        struct yaml_node *member = *at;
        *at = member->next;
        member->next = NULL;
        config_append(to, member);
        return;
    }
}

static bool scalar_is(const struct yaml_node *node, const char *text)
{
    return node && node->kind == YAML_SCALAR && span_equal(node->text, span_text(text));
}

static bool has_starter(const struct yaml_node *root)
{
    const struct yaml_node *packs = config_child(root, "packs");
    for (const struct yaml_node *n = packs && packs->kind == YAML_SEQUENCE ? packs->child : NULL; n; n = n->next)
        if (scalar_is(config_child(n, "name"), "starter")) return true;
    return false;
}

static void put_chain(struct text *out, const struct yaml_node *providers, const char *dialect)
{
    bool passthrough = false;
    unsigned count = 0;
    for (const struct yaml_node *n = providers->child; n && count < CONFIG_CHAIN_MAX; n = n->next) {
        const struct yaml_node *name = config_child(n, "name");
        bool passes = scalar_is(config_child(n, "passthrough"), "true");
        if (!name || name->kind != YAML_SCALAR || !scalar_is(config_child(n, "dialect"), dialect)) continue;
        if (passes && passthrough) continue;
        passthrough = passthrough || passes;
        if (count++ > 0) text_put_text(out, ", ");
        text_put_json(out, name->text);
    }
}

static void graft_routes(struct config_reader *reader, struct yaml_node *root)
{
    enum { ROOM = 16 * 1024 };
    static const char *const dialects[] = {"openai", "anthropic"};
    const struct yaml_node *providers = config_child(root, "providers");
    char *buffer = arena_take(reader->arena, ROOM, 1);
    if (!buffer) {
        reader->full = true;
        return;
    }
    struct text out = text_on(buffer, ROOM);
    text_put_text(&out, "routes:\n");
    for (unsigned i = 0; i < 2; i++) {
        text_format(&out, "  - match: {dialect: %s}\n    providers: [", dialects[i]);
        if (providers->kind == YAML_SEQUENCE) put_chain(&out, providers, dialects[i]);
        text_format(&out, "]\n    packs: [%s]\n", has_starter(root) ? "starter" : "");
    }
    struct yaml_node *ours = out.truncated ? NULL : read_ours(reader, text_span(&out));
    if (ours) move_member(ours, root, "routes");
}

void config_graft_defaults(struct config_reader *reader, struct yaml_node *root)
{
    struct yaml_node *ours = read_ours(reader, config_defaults_text());
    bool own_providers = config_child(root, "providers") != NULL, own_packs = config_child(root, "packs") != NULL;
    if (!ours) return;
    if (!own_packs) move_member(ours, root, "packs");
    if (!own_providers) move_member(ours, root, "providers");
    if (config_child(root, "routes")) return;
    if (own_providers || own_packs)
        graft_routes(reader, root);
    else
        move_member(ours, root, "routes");
}

static void put_provider(struct text *out, const struct config_provider *p)
{
    text_format(out, "provider %.*s at %.*s: ", SPAN_ARG(p->name), SPAN_ARG(p->base_url));
    if (p->passthrough) text_put_text(out, "a client's own credential goes there");
    text_format(out, "; the box has %s key of its own\n", p->key.size ? "a" : "no");
}

void config_print_assumed(const struct config *config, struct text *out)
{
    text_put_text(out, "API on");
    for (unsigned i = 0; i < config->listen.api.count; i++)
        text_format(out, " %.*s", SPAN_ARG(config->listen.api.at[i]));
    text_put_text(out, ", admin on");
    for (unsigned i = 0; i < config->listen.admin.count; i++)
        text_format(out, " %.*s", SPAN_ARG(config->listen.admin.at[i]));
    text_format(out, ", control socket %.*s\nstore in %.*s\n", SPAN_ARG(config->listen.control),
                SPAN_ARG(config->data));
    for (unsigned i = 0; i < config->provider_count; i++) put_provider(out, &config->providers[i]);
    for (unsigned i = 0; i < config->pack_count; i++)
        text_format(out, "pack %.*s answers the model name \"larder\"\n", SPAN_ARG(config->packs[i].name));
    text_format(out, "embedder %.*s%s\n", SPAN_ARG(config->embedder),
                span_equal(config->embedder, SPAN("none")) ? ": exact hits only" : "");
}
