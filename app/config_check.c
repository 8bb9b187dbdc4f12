/* SPDX-License-Identifier: Apache-2.0 */
/* app/config_check.c — rules that a type cannot say: forms of texts, fields that follow, rules between keys. */
#include <sys/un.h>

#include "app/config_table.h"
#include "platform/crypto.h"
#include "platform/file.h"
#include "platform/rc.h"

#define QUOTE(s) (int)((s).size < CONFIG_QUOTE_MAX ? (s).size : CONFIG_QUOTE_MAX), (s).data

static bool path_fits(struct config_reader *reader, const struct yaml_node *node, struct span path)
{
    if (path.size == 0)
        config_error(reader, node, "a path is needed");
    else if (path.size >= FILE_PATH_MAX)
        config_error(reader, node, "a path of more than %d bytes", FILE_PATH_MAX - 1);
    return path.size > 0 && path.size < FILE_PATH_MAX;
}

static struct span after_prefix(struct span s, const char *prefix)
{
    size_t size = strlen(prefix);
    return span_starts_with(s, span_text(prefix)) ? span_of(s.data + size, s.size - size) : span_of(NULL, 0);
}

/* Letters, digits, and -_. between them: names stand in paths, headers and metrics. */
static bool name_fits(struct config_reader *reader, const struct yaml_node *node, struct span name)
{
    bool fits = name.size > 0 && name.size <= 64;
    for (size_t i = 0; fits && i < name.size; i++) {
        char c = name.data[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        fits = letter || (i > 0 && (c == '-' || c == '_' || c == '.'));
    }
    if (!fits)
        config_error(reader, node, "\"%.*s\" is no name: letters, digits, - _ and . between them, at most 64",
                     QUOTE(name));
    return fits;
}

void config_check_control(struct config_reader *reader, const struct yaml_node *node, void *base)
{
    const struct config *config = base;
    enum { MOST = sizeof((struct sockaddr_un *)0)->sun_path - 1 };
    if (path_fits(reader, node, config->listen.control) && config->listen.control.size > MOST)
        config_error(reader, node, "a socket's path has at most %d bytes", MOST);
}

void config_check_tls(struct config_reader *reader, const struct yaml_node *node, void *base)
{
    const struct config_listen *listen = &((struct config *)base)->listen;
    bool cert = listen->tls_cert.size > 0, key = listen->tls_key.size > 0;
    if (cert != key) config_error(reader, node, "cert and key are needed both; %s is missing", cert ? "key" : "cert");
    if (cert && key && path_fits(reader, node, listen->tls_cert)) (void)path_fits(reader, node, listen->tls_key);
}

void config_check_serial(struct config_reader *reader, const struct yaml_node *node, void *base)
{
    struct span serial = ((struct config *)base)->listen.serial, device, rate;
    uint64_t baud;
    if (span_equal(serial, SPAN("none")) || span_equal(serial, SPAN("stdio"))) return;
    rate = span_cut(serial, ':', &device);
    if (!span_starts_with(device, SPAN("/dev/")) || span_to_u64(rate, 4000000, &baud) != RC_OK)
        config_error(reader, node, "\"%.*s\" is not none, stdio or a device like /dev/ttyS1:115200", QUOTE(serial));
}

void config_check_data(struct config_reader *reader, const struct yaml_node *node, void *base)
{
    (void)path_fits(reader, node, ((struct config *)base)->data);
}

/* A default follows the limit it belongs to; a value that was given must fit it. */
static void clamp(struct config_reader *reader, const struct yaml_node *limits, const char *name, unsigned *value)
{
    unsigned most = reader->config->limits.connections;
    const struct yaml_node *given = config_given(limits, name);
    if (*value <= most) return;
    if (given)
        config_error(reader, given, "%s is %u, more than connections, %u", name, *value, most);
    else
        *value = most;
}

void config_check_limits(struct config_reader *reader, const struct yaml_node *node, void *base)
{
    struct config_limits *limits = &((struct config *)base)->limits;
    const struct yaml_node *parse_max = config_given(node, "parse_max");
    clamp(reader, node, "connections_per_address", &limits->connections_per_address);
    clamp(reader, node, "tls_connections", &limits->tls_connections);
    clamp(reader, node, "requests", &limits->requests);
    if (limits->parse_max <= limits->body) return;
    if (parse_max)
        config_error(reader, parse_max, "parse_max is more than body");
    else
        limits->parse_max = limits->body;
}

void config_check_storage_key(struct config_reader *reader, const struct yaml_node *node, void *base)
{
    struct span key = ((struct config *)base)->storage.key;
    bool known = span_equal(key, SPAN("auto")) || span_equal(key, SPAN("hal")) || after_prefix(key, "env:").size > 0;
    if (!known) config_error(reader, node, "\"%.*s\" is not auto, hal or env:NAME", QUOTE(key));
}

static void check_remote(struct config_reader *reader, const struct yaml_node *node, struct config *config)
{
    struct config_url url;
    if (config->remote_model.size == 0) config_error(reader, node, "embedder remote needs remote.model");
    const char *wrong = config_value_url(config->remote_base_url, &url);
    if (!wrong && url.user.size > 0) wrong = "it holds a user name or password (use remote.key)";
    if (wrong) {
        config_error(reader, node, "embedder remote needs remote.base_url; no usable URL: %s", wrong);
        return;
    }
    config->remote_tls = url.tls;
    config->remote_port = url.port;
    config->remote_path = arena_copy(reader->arena, url.path);
    config->remote_host = arena_copy(reader->arena, url.host);
    reader->full = reader->full || !config->remote_host.data || !config->remote_path.data;
}

void config_check_semantic(struct config_reader *reader, const struct yaml_node *node, void *base)
{
    struct config *config = base;
    const struct yaml_node *model = config_given(node, "model");
    if (model) (void)path_fits(reader, model, config->embedder_model);
    if (span_equal(config->embedder, SPAN("remote"))) check_remote(reader, node, config);
}

void config_check_base_url(struct config_reader *reader, const struct yaml_node *node, void *base)
{
    struct config_provider *provider = base;
    struct config_url url;
    const char *wrong = config_value_url(provider->base_url, &url);
    if (!wrong && url.user.size > 0) wrong = "it holds a user name or password (use key)";
    if (wrong) {
        config_error(reader, node, "no usable URL: %s", wrong);
        return;
    }
    provider->tls = url.tls;
    provider->port = url.port;
    provider->base_path = arena_copy(reader->arena, url.path);
    provider->host = arena_copy(reader->arena, url.host);
    reader->full = reader->full || !provider->host.data || !provider->base_path.data;
}

void config_check_ca(struct config_reader *reader, const struct yaml_node *node, void *base)
{
    struct span ca = ((struct config_provider *)base)->ca, file = after_prefix(ca, "file:");
    if (span_equal(ca, SPAN("system"))) return;
    if (span_equal(ca, SPAN("bundled")))
        config_error(reader, node, "bundled is not built yet; use system or file:PATH");
    else if (file.data)
        (void)path_fits(reader, node, file);
    else
        config_error(reader, node, "\"%.*s\" is not system, bundled or file:PATH", QUOTE(ca));
}

void config_check_pin(struct config_reader *reader, const struct yaml_node *node, void *base)
{
    struct span pin = ((struct config_provider *)base)->pin, digest = after_prefix(pin, "sha256/");
    unsigned char bytes[SHA256_SIZE + 2];
    size_t size = 0;
    if (pin.size == 0) return;
    if (base64_decode(digest, bytes, sizeof bytes, &size) != RC_OK || size != SHA256_SIZE)
        config_error(reader, node, "\"%.*s\" is not sha256/ with 44 characters of base64", QUOTE(pin));
}

/* "Basic " and base64 (RFC 7617). */
static struct span basic_authorization(struct config_reader *reader, struct span user)
{
    char *value = arena_take(reader->arena, 6 + (user.size + 2) / 3 * 4 + 1, 1);
    if (!value) {
        reader->full = true;
        return SPAN("");
    }
    memcpy(value, "Basic ", 6);
    size_t size = 6 + base64_encode(user.data, user.size, value + 6);
    value[size] = 0;
    return span_of(value, size);
}

void config_check_proxy(struct config_reader *reader, const struct yaml_node *node, void *base)
{
    struct config_provider *provider = base;
    struct config_url url;
    provider->proxy_host = provider->proxy_authorization = SPAN("");
    if (provider->proxy.size == 0) return;
    const char *wrong = config_value_url(provider->proxy, &url);
    if (!wrong && (url.tls || url.path.size > 0)) wrong = "only http://[user:password@]host:port is taken";
    if (wrong) {
        config_error(reader, node, "no usable proxy: %s", wrong); /* never the text: it may hold a password */
        return;
    }
    provider->proxy_port = url.port;
    provider->proxy_host = arena_copy(reader->arena, url.host);
    if (!provider->proxy_host.data) reader->full = true;
    if (url.user.size > 0) provider->proxy_authorization = basic_authorization(reader, url.user);
}

/* Where `member` stands, or the whole section when a default is meant. */
static const struct yaml_node *place_of(const struct yaml_node *node, const char *member)
{
    const struct yaml_node *n = config_child(node, member);
    return n ? n : node;
}

static void check_plain_http(struct config_reader *reader, const struct yaml_node *node,
                             const struct config_provider *p)
{
    if (p->tls || p->host.size == 0 || config_host_is_near(p->host)) return;
    config_warning(reader, place_of(node, "base_url"), "plain http to %.*s: %s cross the network unprotected",
                   QUOTE(p->host),
                   p->key.size || p->passthrough ? "questions, answers and keys" : "questions and answers");
}

void config_check_provider(struct config_reader *reader, const struct yaml_node *node, void *base)
{
    const struct config_provider *p = base;
    const struct config *config = reader->config;
    if (p->name.data && !name_fits(reader, place_of(node, "name"), p->name)) return;
    for (const struct config_provider *other = config->providers; p->name.data && other < p; other++)
        if (span_equal(other->name, p->name))
            config_error(reader, place_of(node, "name"), "another provider is called \"%.*s\" too", QUOTE(p->name));
    if (p->retry_base_us > p->retry_max_us)
        config_error(reader, place_of(node, "retry"), "retry.base is longer than retry.max");
    if (p->dialect == DIALECT_ANTHROPIC && span_ends_with(p->base_path, SPAN("/v1")))
        config_warning(reader, place_of(node, "base_url"),
                       "ends with /v1, which requests of this dialect bring themselves; leave it out");
    check_plain_http(reader, node, p);
}

/* A provider of the other dialect is bridged, where the route says which one its clients speak. */
static void check_bridged(struct config_reader *reader, const struct yaml_node *place, const struct config_provider *p,
                          const struct config_route *route, bool given)
{
    const char *theirs = p->dialect == DIALECT_OPENAI ? "openai" : "anthropic";
    const char *ours = route->dialect == DIALECT_OPENAI ? "openai" : "anthropic";
    if (!given)
        config_error(reader, place,
                     "provider \"%.*s\" speaks %s, the first one %s: say match.dialect, and the others "
                     "are bridged",
                     QUOTE(p->name), theirs, ours);
    else if (p->passthrough && p->key.size == 0)
        config_warning(reader, place,
                       "provider \"%.*s\" speaks %s, the route %s: no client's credential goes there, "
                       "so without a key of the box it is never asked",
                       QUOTE(p->name), theirs, ours);
}

static void check_chain(struct config_reader *reader, const struct yaml_node *node, struct config_route *route,
                        bool given)
{
    const struct config *config = reader->config;
    const struct yaml_node *place = place_of(node, "providers");
    unsigned passthrough = 0;
    for (unsigned i = 0; i < route->provider_count; i++) {
        const struct config_provider *p = &config->providers[route->providers[i]];
        passthrough += p->passthrough && p->dialect == route->dialect;
        if (p->dialect != route->dialect) check_bridged(reader, place, p, route, given);
    }
    if (passthrough > 1)
        config_error(reader, place, "%u providers with passthrough: a client's credential goes to one origin only",
                     passthrough);
    if (route->provider_count == 0 && route->pack_count == 0 && !config_child(node, "providers"))
        config_warning(reader, node, "it has neither providers nor packs, so nothing can answer");
}

void config_check_route(struct config_reader *reader, const struct yaml_node *node, void *base)
{
    struct config_route *route = base;
    bool given = config_child(config_child(node, "match"), "dialect") != NULL;
    if (route->model.size == 0) config_error(reader, place_of(node, "match"), "match.model is empty; \"*\" is any");
    route->any_dialect = !given && route->provider_count == 0;
    if (!given && route->provider_count > 0) route->dialect = reader->config->providers[route->providers[0]].dialect;
    check_chain(reader, node, route, given);
}

/* A group stands before its members, as providers before the routes that name them; groups have none themselves. */
static void check_group(struct config_reader *reader, const struct yaml_node *node, const struct config_tenant *t)
{
    const struct config_tenant *group = reader->config->tenants;
    while (group < t && !(group->name.data && span_equal(group->name, t->group))) group++;
    if (group == t)
        config_error(reader, place_of(node, "group"), "no entry of tenants before this one is called \"%.*s\"",
                     QUOTE(t->group));
    else if (group->group.size > 0)
        config_error(reader, place_of(node, "group"), "\"%.*s\" is in a group itself", QUOTE(t->group));
}

void config_check_tenant(struct config_reader *reader, const struct yaml_node *node, void *base)
{
    const struct config_tenant *t = base;
    if (t->group.size > 0) check_group(reader, node, t);
    if (!t->name.data || !name_fits(reader, place_of(node, "name"), t->name)) return;
    for (const struct config_tenant *other = reader->config->tenants; other < t; other++)
        if (span_equal(other->name, t->name))
            config_error(reader, place_of(node, "name"), "another tenant is called \"%.*s\" too", QUOTE(t->name));
}

void config_check_tenant_model(struct config_reader *reader, const struct yaml_node *node, void *base)
{
    const struct config_tenant_model *m = base;
    if (m->model.data && m->model.size == 0)
        config_error(reader, place_of(node, "model"), "model is empty; \"*\" is any");
}

void config_check_pack(struct config_reader *reader, const struct yaml_node *node, void *base)
{
    const struct config_pack *p = base;
    if (p->file.data) (void)path_fits(reader, place_of(node, "file"), p->file);
    if (!p->name.data || !name_fits(reader, place_of(node, "name"), p->name)) return;
    for (const struct config_pack *other = reader->config->packs; other < p; other++)
        if (span_equal(other->name, p->name))
            config_error(reader, place_of(node, "name"), "another pack is called \"%.*s\" too", QUOTE(p->name));
}

void config_check_prices(struct config_reader *reader, const struct yaml_node *node, void *base)
{
    struct span prices = ((struct config *)base)->prices;
    struct span file = after_prefix(prices, "file:");
    if (span_equal(prices, SPAN("builtin"))) return;
    if (file.size > 0)
        (void)path_fits(reader, node, file);
    else
        config_error(reader, node, "\"%.*s\" is not builtin or file:PATH", QUOTE(prices));
}
