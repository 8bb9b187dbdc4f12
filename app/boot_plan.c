/* SPDX-License-Identifier: Apache-2.0 */
/* app/boot_plan.c — every region of the process, taken in one place, and printed. */
#include "app/boot_private.h"

#include <stdio.h>

#include "app/admin/admin.h"
#include "app/gateway/embed_remote.h"
#include "cache/semantic.h"
#include "platform/compress.h"
#include "platform/cpu.h"
#include "platform/crypto.h"
#include "platform/heap.h"
#include "platform/offload.h"
#include "platform/plan.h"

struct server_limits boot_api_limits(const struct config *c)
{
    return (struct server_limits){.connections = c->limits.connections,
                                  .connections_per_address = c->limits.connections_per_address,
                                  .exchanges = c->limits.requests,
                                  .head_readers = c->limits.requests / HEAD_READERS_PART + 1,
                                  .tls_connections = c->listen.tls_cert.size ? c->limits.tls_connections : 0,
                                  .header = c->limits.header,
                                  .arena_reserve = REQUEST_ARENA_FACTOR * c->limits.parse_max,
                                  .header_us = c->limits.header_us,
                                  .body_us = c->limits.body_us,
                                  .idle_us = c->limits.idle_us};
}

static struct server_limits admin_limits(const struct config *c)
{
    struct server_limits limits = boot_api_limits(c);
    limits.connections = ADMIN_CONNECTIONS;
    limits.connections_per_address = ADMIN_CONNECTIONS;
    limits.exchanges = ADMIN_REQUESTS;
    limits.head_readers = ADMIN_REQUESTS / 2;
    limits.tls_connections = 0;
    limits.arena_reserve = 1 << 20;
    return limits;
}

static struct cache_limits cache_limits_of(const struct config *c)
{
    return (struct cache_limits){.entries_max = c->storage.entries_max,
                                 .bytes_max = c->storage.bytes_max,
                                 .hot_bytes = c->storage.hot,
                                 .body_max = c->limits.parse_max,
                                 .sync_us = c->storage.sync_us,
                                 .eviction = (enum evict_policy)c->storage.eviction};
}

static unsigned timers_of(const struct config *c)
{
    unsigned connections = c->limits.connections + ADMIN_CONNECTIONS;
    unsigned fibers = c->limits.requests + ADMIN_REQUESTS + CONTROL_CLIENTS_MAX + BACKGROUND_MAX;
    return connections * TIMERS_PER_CONNECTION + fibers * TIMERS_PER_FIBER + 2 * c->limits.flights + 64;
}

static int reserve_net(const struct config *c)
{
    char last_good[FILE_PATH_MAX];
    struct tls_limits tls = {.sessions_client = c->limits.flights,
                             .sessions_server = c->listen.tls_cert.size ? c->limits.tls_connections : 0,
                             .resumptions = 2 * CONFIG_PROVIDERS_MAX};
    int rc = file_join(last_good, boot.data, "dns");
    if (rc == RC_OK) rc = heap_reserve(HEAP_MBEDTLS, tls_heap_size(&tls), "limits.flights");
    if (rc == RC_OK) rc = crypto_start();
    if (rc == RC_OK) rc = tls_reserve(&tls);
    if (rc == RC_OK) rc = dns_reserve(last_good);
    return rc == RC_OK ? upstream_reserve(GENERATIONS_MAX * CONFIG_PROVIDERS_MAX + REMOTE_CALLS,
                                          c->limits.flights + REMOTE_CALLS)
                       : rc;
}

static int reserve_servers(const struct config *c)
{
    boot.requests_budget.limit = c->limits.memory;
    boot.admin_budget.limit = 2 << 20;
    boot.api = (struct server){.name = "api",
                               .serve = gateway_serve,
                               .refuse = gateway_refuse,
                               .limits = boot_api_limits(c),
                               .budget = &boot.requests_budget};
    boot.admin = (struct server){.name = "admin",
                                 .serve = admin_serve,
                                 .refuse = admin_refuse,
                                 .limits = admin_limits(c),
                                 .budget = &boot.admin_budget};
    int rc = server_reserve(&boot.api);
    return rc == RC_OK ? server_reserve(&boot.admin) : rc;
}

int boot_reserve_all(const struct config *c)
{
    struct cache_limits cache = cache_limits_of(c);
    unsigned cores = cpu_features()->cores, workers = cores > 1 ? cores - 1 : 1;
    int rc = loop_reserve(timers_of(c));
    if (rc == RC_OK) rc = offload_start(workers, OFFLOAD_QUEUE_MAX);
    if (rc == RC_OK) rc = boot_embed_open(c, workers);
    if (rc == RC_OK) rc = embed_remote_reserve(c);
    if (rc == RC_OK) rc = fiber_pool_reserve(&boot.background, "background", BACKGROUND_MAX, BACKGROUND_STACK, NULL);
    if (rc == RC_OK) rc = reserve_net(c);
    if (rc == RC_OK) rc = compress_reserve(c->limits.parse_max);
    if (rc == RC_OK) rc = cache_reserve(&cache);
    if (rc == RC_OK) rc = semantic_reserve();
    if (rc == RC_OK) rc = gateway_reserve(c);
    if (rc == RC_OK) rc = reserve_servers(c);
    return rc == RC_OK ? control_reserve() : rc;
}

void boot_print_plan(struct text *out)
{
    text_format(out, "%-32s %10s %12s %12s %12s %12s\n", "term", "count", "each", "reserved", "at boot", "at most");
    for (size_t i = 0; i < plan_count(); i++) {
        const struct plan_term *t = plan_at(i);
        text_format(out, "%-32s %10zu %12zu %12zu %12zu %12zu\n", t->name, t->count, t->each, t->reserved, t->committed,
                    t->ceiling);
    }
    struct plan_term total = plan_total();
    text_format(out, "%-32s %10s %12s %12zu %12zu %12zu\n", "total, bytes", "", "", total.reserved, total.committed,
                total.ceiling);
}

int boot_plan(const struct boot_options *options)
{
    static char printed[32 << 10];
    struct generation *next;
    struct text out = text_on(printed, sizeof printed);
    if (options->named_board) plan_dry_run();
    int code = boot_begin(options, &next);
    if (code != 0) return code;
    const struct config *c = next->config;
    text_format(&out, "# board %.*s (%.*s): %.*s\n", SPAN_ARG(c->board_name), SPAN_ARG(c->board_about),
                SPAN_ARG(c->board_why));
    int rc = boot_keep_baseline();
    if (rc == RC_OK) rc = boot_reserve_all(c);
    plan_measure();
    if (boot.embedder_message[0]) text_format(&out, "# %s\n", boot.embedder_message);
    boot_print_plan(&out);
    fputs(printed, stdout);
    if (rc != RC_OK) fprintf(stderr, "larder: error: the plan does not fit: %s\n", rc_name(rc));
    return rc != RC_OK;
}
