/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/gateway.c — boot of the gateway, configurations coming into force, routes. See gateway.h. */
#include "app/gateway/gateway.h"

#include <stdio.h>

#include "app/gateway/access.h"
#include "app/gateway/deferred.h"
#include "app/gateway/erase.h"
#include "app/gateway/feedback.h"
#include "app/gateway/flight.h"
#include "app/gateway/journal.h"
#include "app/gateway/later.h"
#include "app/gateway/learn.h"
#include "app/gateway/limits.h"
#include "app/gateway/negative.h"
#include "app/gateway/pack_words.h"
#include "app/gateway/semantic.h"
#include "app/gateway/shortcut.h"
#include "app/gateway/tenants.h"
#include "app/ledger/spend.h"
#include "platform/check.h"
#include "platform/crypto.h"
#include "platform/file.h"
#include "platform/log.h"
#include "platform/metric.h"
#include "platform/plan.h"

struct gateway gateway;

/* app/packs/starter.jsonl, embedded by the build. */
extern const char starter_pack[];
extern const size_t starter_pack_size;

static double read_flights(const struct metric *metric)
{
    (void)metric;
    return (double)flights_now();
}

static double read_flights_high(const struct metric *metric)
{
    (void)metric;
    return (double)gateway.flights_high;
}

static double read_offline(const struct metric *metric)
{
    (void)metric;
    unsigned failing = 0;
    for (unsigned i = 0; i < gateway.current->config->provider_count; i++)
        failing += gateway.current->health[i].failing_since_us != 0;
    return (double)failing;
}

static struct metric flights_gauge = {.name = "larder_flights",
                                      .help = "Upstream calls under way, with their followers",
                                      .kind = METRIC_GAUGE_CALL,
                                      .read = read_flights};
static struct metric flights_high_gauge = {.name = "larder_flights_high",
                                           .help = "Most flights at once since boot",
                                           .kind = METRIC_GAUGE_CALL,
                                           .read = read_flights_high};
static struct metric offline_gauge = {.name = "larder_providers_failing",
                                      .help = "Providers that cannot be reached now",
                                      .kind = METRIC_GAUGE_CALL,
                                      .read = read_offline};

static int reserve_scratch(size_t parse_max)
{
    void *region;
    size_t size = JSON_SCRATCH_FACTOR * parse_max + JSON_SCRATCH_EXTRA;
    int rc = plan_take("gateway parse scratch", 1, size, PLAN_LAZY, 0, "limits.parse_max", &region);
    gateway.scratch = (struct json_scratch){region, size};
    return rc;
}

static int reserve_generations(void)
{
    void *region;
    int rc = plan_take("gateway configurations", GENERATIONS_MAX, CONFIG_ARENA_SIZE, PLAN_LAZY, 0, NULL, &region);
    for (unsigned i = 0; rc == RC_OK && i < GENERATIONS_MAX; i++)
        arena_init(&gateway.generations[i].arena, (char *)region + (size_t)i * CONFIG_ARENA_SIZE, CONFIG_ARENA_SIZE,
                   NULL);
    return rc;
}

int gateway_reserve_configurations(void)
{
    return reserve_generations();
}

static int reserve_semantic(const struct config *config)
{
    int rc = semantic_step_reserve(config);
    if (rc == RC_OK) rc = feedback_reserve();
    return rc == RC_OK ? pack_words_reserve(embed_current()->dim) : rc;
}

int gateway_reserve(const struct config *config)
{
    gateway.parse_max = config->limits.parse_max;
    gateway.requests_max = config->limits.requests;
    int rc = reserve_scratch(config->limits.parse_max);
    if (rc == RC_OK) rc = journal_reserve();
    if (rc == RC_OK) rc = shortcut_reserve();
    if (rc == RC_OK) rc = miss_reserve();
    if (rc == RC_OK) rc = pack_reserve();
    if (rc == RC_OK) rc = reserve_semantic(config);
    if (rc == RC_OK) rc = tenants_reserve();
    if (rc == RC_OK) rc = limits_reserve();
    if (rc == RC_OK) rc = spend_reserve();
    if (rc == RC_OK) rc = later_reserve(config);
    crypto_random(&gateway.shortcut_key, sizeof gateway.shortcut_key);
    gateway.epoch = 1;
    access_learn_names();
    metric_register(&flights_gauge);
    metric_register(&flights_high_gauge);
    metric_register(&offline_gauge);
    breaker_register_metrics();
    return rc;
}

/* ---- generations */

struct generation *gateway_next_generation(void)
{
    for (unsigned i = 0; i < GENERATIONS_MAX; i++) {
        struct generation *g = &gateway.generations[i];
        if (!g->current && g->references == 0) {
            struct arena arena = g->arena;
            arena_reset(&arena, 0);
            *g = (struct generation){.arena = arena};
            return g;
        }
    }
    return NULL;
}

static void close_generation(struct generation *g)
{
    for (unsigned i = 0; i < CONFIG_PROVIDERS_MAX; i++) {
        if (g->upstreams[i]) upstream_release(g->upstreams[i]);
        if (g->trusts[i]) tls_trust_release(g->trusts[i]);
        g->upstreams[i] = NULL;
        g->trusts[i] = NULL;
    }
    for (unsigned i = 0; i < CONFIG_PACKS_MAX; i++) {
        if (g->packs[i]) pack_release(g->packs[i]);
        g->packs[i] = NULL;
    }
}

void generation_hold(struct generation *g)
{
    g->references++;
}

void generation_release(struct generation *g)
{
    CHECK(g->references > 0);
    g->references--;
    if (g->references == 0 && !g->current) close_generation(g);
}

int gateway_open(const char *data_folder, char *message, size_t message_size)
{
    int rc = learn_open(data_folder, message, message_size);
    if (rc == RC_OK) rc = limits_open(data_folder, message, message_size);
    if (rc == RC_OK) rc = spend_open(data_folder, message, message_size);
    if (erase_open(data_folder) != RC_OK) log_warn("gateway", "what was being erased cannot be read: erase it again");
    deferred_open(data_folder);
    return rc == RC_OK ? negative_open(data_folder, message, message_size) : rc;
}

void gateway_close(void)
{
    pack_words_stop();
    for (unsigned i = 0; i < GENERATIONS_MAX; i++) {
        struct generation *g = &gateway.generations[i];
        if (g->references == 0 && g->config) close_generation(g);
    }
}

/* As many may wait for a provider as it takes at once, or half of all that may be in or wait for a call: one slow
 * provider never keeps the others' clients out. */
static unsigned queue_of(const struct config *config, const struct config_provider *p)
{
    unsigned half = config->limits.requests / 8 * 3;
    return half > p->concurrent ? half : p->concurrent;
}

static int open_provider(struct generation *g, unsigned index, char *message, size_t message_size)
{
    const struct config_provider *p = &g->config->providers[index];
    char why[TLS_MESSAGE_MAX] = "";
    int rc = RC_OK;
    if (p->tls) {
        rc = tls_trust_load(p->ca, p->pin, &g->trusts[index], why);
        if (rc != RC_OK) {
            snprintf(message, message_size, "provider %.*s: ca %.*s cannot be used: %s", SPAN_ARG(p->name),
                     SPAN_ARG(p->ca), why);
            return rc;
        }
    }
    struct upstream_options options = {.name = p->name,
                                       .host = p->host,
                                       .port = p->port,
                                       .tls = p->tls,
                                       .trust = g->trusts[index],
                                       .proxy_host = p->proxy_host,
                                       .proxy_port = p->proxy_port,
                                       .proxy_authorization = p->proxy_authorization,
                                       .concurrent = p->concurrent,
                                       .queue = queue_of(g->config, p),
                                       .queue_us = p->first_byte_us,
                                       .connect_us = p->connect_us,
                                       .first_byte_us = p->first_byte_us,
                                       .idle_us = p->idle_us,
                                       .idle_keep_us = UINT64_C(60000000)};
    rc = upstream_open(&options, &g->upstreams[index]);
    if (rc != RC_OK)
        snprintf(message, message_size, "provider %.*s cannot be opened: %s", SPAN_ARG(p->name), rc_name(rc));
    return rc;
}

/* A pack's file is read into the configuration's arena, which lives as long as the pack. */
static int read_pack(struct generation *g, const struct config_pack *pack, struct span *text)
{
    char path[FILE_PATH_MAX];
    size_t size = 0;
    if (span_equal(pack->file, SPAN("builtin"))) {
        *text = span_of(starter_pack, starter_pack_size);
        return RC_OK;
    }
    if (pack->file.size >= sizeof path) return RC_TOO_LARGE;
    memcpy(path, pack->file.data, pack->file.size);
    path[pack->file.size] = 0;
    size_t room = CONFIG_ARENA_SIZE / 2;
    char *bytes = arena_take(&g->arena, room, 1);
    int rc = bytes ? file_read(path, bytes, room, &size) : RC_FULL;
    *text = span_of(bytes, size);
    return rc;
}

static int open_pack(struct generation *g, unsigned index, char *message, size_t message_size)
{
    const struct config_pack *pack = &g->config->packs[index];
    char why[PACK_ERROR_MAX] = "";
    struct span text;
    int rc = read_pack(g, pack, &text);
    if (rc == RC_OK) rc = pack_load(pack->name, text, &g->packs[index], why);
    if (rc != RC_OK)
        snprintf(message, message_size, "pack %.*s (%.*s) cannot be loaded: %s %s", SPAN_ARG(pack->name),
                 SPAN_ARG(pack->file), rc_name(rc), why);
    return rc;
}

static int open_prices(struct generation *g, char *message, size_t message_size)
{
    char path[FILE_PATH_MAX], why[PRICES_MESSAGE_MAX] = "";
    struct span text = prices_builtin(), wanted = g->config->prices;
    int rc = RC_OK;
    if (!span_equal(wanted, SPAN("builtin"))) {
        size_t size = 0, prefix = sizeof "file:" - 1;
        char *bytes = arena_take(&g->arena, PRICES_TEXT_MAX, 1);
        snprintf(path, sizeof path, "%.*s", (int)(wanted.size - prefix), wanted.data + prefix);
        rc = bytes ? file_read(path, bytes, PRICES_TEXT_MAX, &size) : RC_FULL;
        text = span_of(bytes, size);
    }
    if (rc == RC_OK) rc = prices_read(text, &g->arena, &g->prices, why);
    if (rc != RC_OK)
        snprintf(message, message_size, "prices %.*s cannot be used: %s %s", SPAN_ARG(wanted), rc_name(rc), why);
    return rc;
}

static void inherit_health(struct generation *next)
{
    const struct generation *old = gateway.current;
    for (unsigned i = 0; old && i < next->config->provider_count; i++)
        for (unsigned k = 0; k < old->config->provider_count; k++)
            if (span_equal(next->config->providers[i].base_url, old->config->providers[k].base_url))
                next->health[i] = old->health[k];
    for (unsigned i = 0; i < CONFIG_PROVIDERS_MAX; i++) next->health[i].probing = false;
}

/* What was reserved at boot is all there is, whatever a reload asks for. */
static void keep_within_boot(struct config_limits *limits)
{
    if (limits->parse_max > gateway.parse_max) limits->parse_max = gateway.parse_max;
    if (limits->requests > gateway.requests_max) limits->requests = gateway.requests_max;
}

int gateway_apply(struct generation *next, char *message, size_t message_size)
{
    int rc = RC_OK;
    keep_within_boot(&next->config->limits);
    for (unsigned i = 0; rc == RC_OK && i < next->config->provider_count; i++)
        rc = open_provider(next, i, message, message_size);
    for (unsigned i = 0; rc == RC_OK && i < next->config->pack_count; i++)
        rc = open_pack(next, i, message, message_size);
    if (rc == RC_OK) rc = open_prices(next, message, message_size);
    if (rc != RC_OK) {
        close_generation(next);
        return rc;
    }
    inherit_health(next);
    breaker_name_metrics(next->config);
    struct generation *old = gateway.current;
    next->current = true;
    gateway.current = next;
    gateway.epoch++;
    if (old) {
        old->current = false;
        if (old->references == 0) close_generation(old);
    }
    pack_words_start(next);
    return RC_OK;
}

const struct config_route *gateway_route(const struct config *config, enum dialect dialect, struct span model)
{
    for (unsigned i = 0; i < config->route_count; i++) {
        const struct config_route *route = &config->routes[i];
        if ((route->any_dialect || route->dialect == dialect) && span_glob(route->model, model)) return route;
    }
    return NULL;
}

void gateway_refuse(const struct http_head *head, unsigned status, const char *reason, struct text *out)
{
    char body[512];
    struct text error = text_on(body, sizeof body);
    bool anthropic = head &&
                     (span_starts_with(head->path, SPAN("/v1/messages")) || http_field(head, "anthropic-version").data);
    dialect_error(anthropic ? DIALECT_ANTHROPIC : DIALECT_OPENAI, status, "refused", span_text(reason),
                  SPAN("req_refused"), &error);
    text_format(out, "HTTP/1.1 %u %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\nConnection: close\r\n",
                status, http_reason(status), error.size);
    if (status == 503) text_put_text(out, "Retry-After: 1\r\n");
    text_put_text(out, "Cache-Status: larder; fwd=bypass\r\nx-larder-hit: none\r\n\r\n");
    text_put_span(out, text_span(&error));
}
