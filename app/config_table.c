/* SPDX-License-Identifier: Apache-2.0 */
/* app/config_table.c — every key of the configuration, a row each, in the order in which they are read and printed.
 *
 * providers and packs stand before routes, which name them.
 */
#include "app/config_table.h"

#include "platform/clock.h"

/* A row reads best as it is grouped here. */
/* clang-format off */
#define MS UINT64_C(1000)
#define SECOND CLOCK_SECOND
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)
#define KIB UINT64_C(1024)
#define MIB (KIB * 1024)
#define GIB (MIB * 1024)
#define TIB (GIB * 1024)

#define C(member) .offset = offsetof(struct config, member)
#define P(member) .offset = offsetof(struct config_provider, member)
#define R(member) .offset = offsetof(struct config_route, member)
#define T(member) .offset = offsetof(struct config_tenant, member)
#define TQ(member) .offset = offsetof(struct config_tenant, quota.member)
#define TM(member) .offset = offsetof(struct config_tenant_model, member)
#define MQ(member) .offset = offsetof(struct config_tenant_model, quota.member)
#define PACK(member) .offset = offsetof(struct config_pack, member)
#define END {.name = NULL}

static const char *const anonymous_choices[] = {"none", "loopback", "any", NULL};
static const char *const level_choices[] = {"error", "warn", "info", "debug", NULL};
static const char *const format_choices[] = {"text", "json", NULL};
static const char *const read_choices[] = {"never", "loopback", NULL};
static const char *const eviction_choices[] = {"sieve", "lru", "mmr", "cluster", NULL};
static const char *const embedder_choices[] = {"none", "minilm-int8", "ngram", "remote", NULL};
static const char *const dialect_choices[] = {"openai", "anthropic", NULL};
static const char *const usage_choices[] = {"leave", "add", NULL};
static const char *const semantic_choices[] = {"off", "learn", "preset", NULL};
static const char *const guards_choices[] = {"standard", "strict", NULL};
static const char *const sampled_choices[] = {"reuse", "fresh", NULL};
static const char *const share_choices[] = {"tenant", "box", NULL};

static const struct config_key tls_keys[] = {
    {.name = "cert", .type = TYPE_TEXT, C(listen.tls_cert), .fallback = "",
     .help = "PEM file with the chain, leaf first"},
    {.name = "key", .type = TYPE_TEXT, C(listen.tls_key), .fallback = "", .help = "PEM file with the private key"},
    END,
};

static const struct config_key admin_tls_keys[] = {
    {.name = "cert", .type = TYPE_TEXT, .built = LATER, C(listen.admin_tls_cert), .fallback = "",
     .help = "PEM file with the chain, leaf first"},
    {.name = "key", .type = TYPE_TEXT, .built = LATER, C(listen.admin_tls_key), .fallback = "",
     .help = "PEM file with the private key"},
    END,
};

static const struct config_key listen_keys[] = {
    {.name = "api", .type = TYPE_ADDRESSES, C(listen.api), .fallback = "127.0.0.1:8080",
     .help = "where clients connect: address:port, \"[v6]:port\", or a list; port 0 takes any"},
    {.name = "admin", .type = TYPE_ADDRESSES, C(listen.admin), .fallback = "127.0.0.1:9090",
     .help = "metrics, reports, web page, admin API; port 0 takes any"},
    {.name = "control", .type = TYPE_TEXT, C(listen.control), .fallback = "./var/larder.sock",
     .check = config_check_control, .help = "unix socket for `larder ctl`"},
    {.name = "serial", .type = TYPE_TEXT, .built = LATER, C(listen.serial), .fallback = "none",
     .check = config_check_serial, .help = "admin console: /dev/ttyS1:115200, stdio or none"},
    {.name = "tls", .type = TYPE_SECTION, .keys = tls_keys, .check = config_check_tls, .help = "TLS for the API port"},
    {.name = "admin_tls", .type = TYPE_SECTION, .keys = admin_tls_keys, .help = "TLS for the admin port"},
    END,
};

static const struct config_key access_keys[] = {
    {.name = "anonymous", .type = TYPE_CHOICE, .reload = RELOAD, C(access.anonymous), .fallback = "loopback",
     .choices = anonymous_choices, .help = "who may use packs and keyless providers without a credential"},
    {.name = "hosts", .type = TYPE_TEXTS, .reload = RELOAD, C(access.hosts.at), .max = CONFIG_NAMES_MAX,
     .count_offset = offsetof(struct config, access.hosts.count),
     .help = "host names besides localhost and the machine's own; IP literals are always accepted"},
    {.name = "cors", .type = TYPE_TEXTS, .reload = RELOAD, C(access.cors.at), .max = CONFIG_NAMES_MAX,
     .count_offset = offsetof(struct config, access.cors.count), .help = "origins that browsers may come from"},
    END,
};

static const struct config_key log_keys[] = {
    {.name = "level", .type = TYPE_CHOICE, C(log_level), .fallback = "info", .choices = level_choices,
     .help = "least severe level that is written"},
    {.name = "format", .type = TYPE_CHOICE, C(log_format), .fallback = "text", .choices = format_choices,
     .help = "form of a line on stderr"},
    END,
};

static const struct config_key admin_keys[] = {
    {.name = "token", .type = TYPE_SECRET, C(admin_token), .fallback = "${LARDER_ADMIN_TOKEN:-}",
     .help = "for changes over HTTP; empty: one is made at first start, kept in <data>/keys/, its path printed"},
    {.name = "read_without_token", .type = TYPE_FLAG, C(admin_read_loopback), .fallback = "loopback",
     .choices = read_choices, .help = "who may read over HTTP without the token"},
    END,
};

static const struct config_key limit_timeout_keys[] = {
    {.name = "header", .type = TYPE_DURATION, .reload = RELOAD, C(limits.header_us), .fallback = "10s", .min = 10 * MS,
     .max = HOUR, .help = "for a request's head"},
    {.name = "body", .type = TYPE_DURATION, .reload = RELOAD, C(limits.body_us), .fallback = "60s", .min = 10 * MS,
     .max = HOUR, .help = "between two pieces of a request's body"},
    {.name = "idle", .type = TYPE_DURATION, .reload = RELOAD, C(limits.idle_us), .fallback = "120s", .min = 10 * MS,
     .max = DAY, .help = "between two requests of a connection; then it is closed in silence"},
    END,
};

static const struct config_key limit_keys[] = {
    {.name = "connections", .type = TYPE_COUNT, .reload = RELOAD_DOWN, C(limits.connections), .fallback = "2048",
     .min = 8, .max = CONFIG_CONNECTIONS_BOUND, .help = "open connections of clients"},
    {.name = "connections_per_address", .type = TYPE_COUNT, .reload = RELOAD_DOWN, C(limits.connections_per_address),
     .fallback = "512", .min = 1, .max = CONFIG_CONNECTIONS_BOUND, .help = "of them from one address"},
    {.name = "tls_connections", .type = TYPE_COUNT, .reload = RELOAD_DOWN, C(limits.tls_connections), .fallback = "256",
     .min = 1, .max = CONFIG_TLS_CONNECTIONS_BOUND, .help = "of them with TLS on the API port"},
    {.name = "requests", .type = TYPE_COUNT, .reload = RELOAD_DOWN, C(limits.requests), .fallback = "256",
     .min = CONFIG_REQUESTS_LEAST, .max = CONFIG_REQUESTS_BOUND, .help = "requests being worked on"},
    {.name = "flights", .type = TYPE_COUNT, C(limits.flights), .fallback = "128", .min = 1,
     .max = CONFIG_FLIGHTS_BOUND, .help = "upstream calls at once"},
    {.name = "body", .type = TYPE_SIZE, .reload = RELOAD, C(limits.body), .fallback = "32MiB", .min = KIB,
     .max = 4 * GIB,
     .help = "largest request body"},
    {.name = "parse_max", .type = TYPE_SIZE, .reload = RELOAD_DOWN, C(limits.parse_max), .fallback = "1MiB",
     .min = 16 * KIB, .max = 16 * MIB, .help = "larger bodies stream through uncached"},
    {.name = "header", .type = TYPE_SIZE, .reload = RELOAD_DOWN, C(limits.header), .fallback = "32KiB", .min = KIB,
     .max = CONFIG_HEADER_BOUND, .help = "largest request head"},
    {.name = "memory", .type = TYPE_SIZE, .reload = RELOAD_DOWN, C(limits.memory), .fallback = "24MiB", .min = MIB,
     .max = 16 * GIB, .help = "request arenas together"},
    {.name = "timeouts", .type = TYPE_SECTION, .keys = limit_timeout_keys, .help = "how long a client may take"},
    END,
};

static const struct config_key storage_keys[] = {
    {.name = "entries_max", .type = TYPE_COUNT, C(storage.entries_max), .fallback = "100000", .min = 16,
     .max = 10000000,
     .help = "stored answers"},
    {.name = "bytes_max", .type = TYPE_SIZE, C(storage.bytes_max), .fallback = "2GiB", .min = MIB, .max = TIB,
     .help = "size of the store on disk"},
    {.name = "hot", .type = TYPE_SIZE, C(storage.hot), .fallback = "4MiB", .min = 64 * KIB, .max = 4 * GIB,
     .help = "decoded replies in RAM"},
    {.name = "eviction", .type = TYPE_CHOICE, C(storage.eviction), .fallback = "sieve", .choices = eviction_choices,
     .help = "which entries leave when the store is full"},
    {.name = "sync_every", .type = TYPE_DURATION, C(storage.sync_us), .fallback = "5s", .min = 10 * MS, .max = HOUR,
     .help = "longest time that a stored answer may be lost by a power cut"},
    {.name = "seal", .type = TYPE_BOOL, .built = LATER, C(storage.seal), .fallback = "false",
     .help = "encryption at rest"},
    {.name = "seal_codes", .type = TYPE_BOOL, .built = LATER, C(storage.seal_codes), .fallback = "false",
     .help = "codes in RAM only"},
    {.name = "key", .type = TYPE_TEXT, .built = LATER, C(storage.key), .fallback = "auto",
     .check = config_check_storage_key, .help = "box key: auto (a file in <data>/keys), env:NAME or hal"},
    END,
};

static const struct config_key remote_keys[] = {
    {.name = "base_url", .type = TYPE_TEXT, C(remote_base_url), .fallback = "",
     .help = "of the embedder; /embeddings is appended"},
    {.name = "key", .type = TYPE_SECRET, C(remote_key), .fallback = "", .help = "its key"},
    {.name = "model", .type = TYPE_TEXT, C(remote_model), .fallback = "", .help = "its model"},
    {.name = "dim", .type = TYPE_COUNT, C(remote_dim), .fallback = "384", .min = 8, .max = 1536,
     .help = "numbers in a vector"},
    END,
};

static const struct config_key shadow_keys[] = {
    {.name = "rate", .type = TYPE_RATIO, .reload = RELOAD, C(shadow_rate), .fallback = "0.02", .max = 1,
     .help = "share of semantic hits that are also asked upstream"},
    {.name = "per_hour_max", .type = TYPE_COUNT, .reload = RELOAD, C(shadow_per_hour_max), .fallback = "60",
     .max = 100000,
     .help = "at most so many"},
    END,
};

static const struct config_key semantic_keys[] = {
    {.name = "embedder", .type = TYPE_WORD, C(embedder), .fallback = "minilm-int8", .choices = embedder_choices,
     .help = "what turns a question into a vector"},
    {.name = "model", .type = TYPE_TEXT, C(embedder_model), .fallback = "./models/all-MiniLM-L6-v2.lmodel",
     .help = "file of the local model (`larder model import` makes it)"},
    {.name = "remote", .type = TYPE_SECTION, .keys = remote_keys, .help = "an embedder elsewhere"},
    {.name = "delta", .type = TYPE_RATIO, .reload = RELOAD, C(semantic_delta), .fallback = "0.05", .max = 1,
     .help = "bound on wrong answers per semantic hit, for learned thresholds"},
    {.name = "shadow", .type = TYPE_SECTION, .keys = shadow_keys, .help = "checks of semantic hits in the background"},
    END,
};

static const struct config_key provider_timeout_keys[] = {
    {.name = "connect", .type = TYPE_DURATION, P(connect_us), .fallback = "5s", .min = 10 * MS, .max = HOUR,
     .help = "name, connection and TLS handshake together"},
    {.name = "first_byte", .type = TYPE_DURATION, P(first_byte_us), .fallback = "60s", .min = 10 * MS, .max = DAY,
     .help = "from the request's end to the reply's first byte"},
    {.name = "idle", .type = TYPE_DURATION, P(idle_us), .fallback = "60s", .min = 10 * MS, .max = DAY,
     .help = "between two pieces of a reply"},
    {.name = "total", .type = TYPE_DURATION, P(total_us), .fallback = "600s", .min = 10 * MS, .max = DAY,
     .help = "a call with all its attempts"},
    END,
};

static const struct config_key retry_keys[] = {
    {.name = "attempts", .type = TYPE_COUNT, P(retry_attempts), .fallback = "3", .min = 1, .max = 10,
     .help = "tries in all"},
    {.name = "base", .type = TYPE_DURATION, P(retry_base_us), .fallback = "500ms", .min = MS, .max = HOUR,
     .help = "first pause, doubled from try to try, with jitter"},
    {.name = "max", .type = TYPE_DURATION, P(retry_max_us), .fallback = "8s", .min = MS, .max = HOUR,
     .help = "longest pause"},
    END,
};

static const struct config_key breaker_keys[] = {
    {.name = "ratio", .type = TYPE_RATIO, P(breaker_ratio), .fallback = "0.5", .max = 1,
     .help = "share of failed calls that opens it"},
    {.name = "calls", .type = TYPE_COUNT, P(breaker_calls), .fallback = "20", .min = 1,
     .max = 10000, .help = "of at least so many"},
    {.name = "window", .type = TYPE_DURATION, P(breaker_window_us), .fallback = "30s",
     .min = SECOND,
     .max = HOUR, .help = "within this time"},
    {.name = "probe", .type = TYPE_DURATION, P(breaker_probe_us), .fallback = "1s", .min = 10 * MS, .max = HOUR,
     .help = "pause between two probes while it is open"},
    END,
};

static const struct config_key provider_keys[] = {
    {.name = "name", .type = TYPE_TEXT, .required = true, P(name), .help = "as routes call it"},
    {.name = "dialect", .type = TYPE_CHOICE, .required = true, P(dialect), .choices = dialect_choices,
     .help = "wire language"},
    {.name = "base_url", .type = TYPE_TEXT, .required = true, P(base_url), .check = config_check_base_url,
     .help = "http or https, host, port, path before /chat/completions or /v1/messages"},
    {.name = "key", .type = TYPE_SECRET, P(key), .fallback = "",
     .help = "the box's own key: spent for virtual keys only"},
    {.name = "passthrough", .type = TYPE_BOOL, P(passthrough), .fallback = "false",
     .help = "any other credential goes to this origin, whether or not key is set"},
    {.name = "stream_usage", .type = TYPE_FLAG, P(stream_usage_add), .fallback = "add", .choices = usage_choices,
     .help = "whether streams are asked for their usage chunk"},
    {.name = "ca", .type = TYPE_TEXT, P(ca), .fallback = "system", .check = config_check_ca,
     .help = "whom to trust: system, file:PATH or bundled"},
    {.name = "pin", .type = TYPE_TEXT, P(pin), .fallback = "", .check = config_check_pin,
     .help = "sha256/BASE64 of the leaf's public key"},
    {.name = "proxy", .type = TYPE_SECRET, P(proxy), .fallback = "", .check = config_check_proxy,
     .help = "http://[user:password@]host:port, asked with CONNECT"},
    {.name = "headers", .type = TYPE_HEADERS, P(headers), .max = CONFIG_HEADERS_MAX,
     .count_offset = offsetof(struct config_provider, header_count), .help = "added to every call; values are secrets"},
    {.name = "models", .type = TYPE_TEXTS, P(models), .max = CONFIG_MODELS_MAX,
     .count_offset = offsetof(struct config_provider, model_count),
     .help = "listed by /v1/models without asking; empty: the provider is asked"},
    {.name = "concurrent", .type = TYPE_COUNT, P(concurrent), .fallback = "64", .min = 1, .max = CONFIG_FLIGHTS_BOUND,
     .help = "calls to it at once"},
    {.name = "timeouts", .type = TYPE_SECTION, .keys = provider_timeout_keys, .help = "how long it may take"},
    {.name = "retry", .type = TYPE_SECTION, .keys = retry_keys, .help = "connect errors, 408, 409, 429 and 5xx"},
    {.name = "breaker", .type = TYPE_SECTION, .keys = breaker_keys, .help = "when it counts as away"},
    END,
};

static const struct config_key match_keys[] = {
    {.name = "dialect", .type = TYPE_CHOICE, R(dialect), .choices = dialect_choices,
     .help = "the clients'; providers of the other one are bridged. Absent: that of the providers, both without any"},
    {.name = "model", .type = TYPE_TEXT, R(model), .fallback = "*", .help = "glob over model names: * and ?"},
    END,
};

static const struct config_key cache_keys[] = {
    {.name = "exact", .type = TYPE_BOOL, R(exact), .fallback = "true", .help = "the same question again"},
    {.name = "semantic", .type = TYPE_CHOICE, R(semantic), .fallback = "learn", .choices = semantic_choices,
     .help = "a question that means the same"},
    {.name = "threshold", .type = TYPE_THRESHOLD, R(threshold), .fallback = "standard",
     .help = "of preset: relaxed 0.90, standard 0.93, strict 0.95, or a number"},
    {.name = "guards", .type = TYPE_FLAG, R(guards_strict), .fallback = "standard",
     .choices = guards_choices, .help = "strict: words without a partner veto too"},
    {.name = "ttl", .type = TYPE_DURATION, R(ttl_us), .fallback = "7d", .max = 3650 * DAY,
     .help = "how long an answer is fresh"},
    {.name = "stale_if_error", .type = TYPE_DURATION, R(stale_if_error_us), .fallback = "7d", .max = 3650 * DAY,
     .help = "how long after that it stands in while the provider is away"},
    {.name = "offline_threshold", .type = TYPE_THRESHOLD, R(offline_threshold), .fallback = "null",
     .help = "a looser preset while offline, labelled"},
    {.name = "sampled", .type = TYPE_FLAG, R(sampled_fresh), .fallback = "reuse", .choices = sampled_choices,
     .help = "fresh: a temperature above 0 without seed is always asked anew while online"},
    {.name = "share", .type = TYPE_FLAG, R(share_box), .fallback = "tenant", .choices = share_choices,
     .help = "who may get an answer that another tenant asked for"},
    {.name = "history", .type = TYPE_BOOL, R(history), .fallback = "false",
     .help = "semantic lookup in follow-up turns"},
    {.name = "json_schema", .type = TYPE_BOOL, R(json_schema), .fallback = "false",
     .help = "semantic lookup for schema output"},
    {.name = "mask", .type = TYPE_TEXTS, R(masks), .max = CONFIG_MASKS_MAX,
     .count_offset = offsetof(struct config_route, mask_count), .help = "patterns, in system prompts only"},
    END,
};

static const struct config_key route_keys[] = {
    {.name = "match", .type = TYPE_SECTION, .keys = match_keys, .help = "which requests; the first match wins"},
    {.name = "providers", .type = TYPE_PROVIDERS, R(providers), .max = CONFIG_CHAIN_MAX,
     .count_offset = offsetof(struct config_route, provider_count),
     .help = "a chain: the next one when the one before fails or is open"},
    {.name = "packs", .type = TYPE_PACKS, R(packs), .max = CONFIG_PACKS_MAX,
     .count_offset = offsetof(struct config_route, pack_count), .help = "packs that may answer"},
    {.name = "packs_with_system", .type = TYPE_BOOL, R(packs_with_system), .fallback = "false",
     .help = "packs answer although there is a system prompt"},
    {.name = "cache", .type = TYPE_SECTION, .keys = cache_keys, .help = "what is kept and for how long"},
    END,
};

static const struct config_key tenant_limit_keys[] = {
    {.name = "requests_per_minute", .type = TYPE_COUNT, TQ(requests[PER_MINUTE]), .fallback = "0",
     .max = 1000000000, .help = "calls upstream; hits are free; 0: no limit"},
    {.name = "requests_per_day", .type = TYPE_COUNT, TQ(requests[PER_DAY]), .fallback = "0",
     .max = 1000000000, .help = "likewise, from midnight to midnight UTC"},
    {.name = "requests_per_month", .type = TYPE_COUNT, TQ(requests[PER_MONTH]), .fallback = "0",
     .max = 1000000000, .help = "likewise, a calendar month UTC"},
    {.name = "tokens_per_minute", .type = TYPE_COUNT, TQ(tokens[PER_MINUTE]), .fallback = "0",
     .max = 4000000000, .help = "input and output of those calls; 0: no limit"},
    {.name = "tokens_per_day", .type = TYPE_COUNT, TQ(tokens[PER_DAY]), .fallback = "0",
     .max = 4000000000, .help = "likewise, from midnight to midnight UTC"},
    {.name = "tokens_per_month", .type = TYPE_COUNT, TQ(tokens[PER_MONTH]), .fallback = "0",
     .max = 4000000000, .help = "likewise, a calendar month UTC"},
    {.name = "usd_per_minute", .type = TYPE_RATIO, TQ(usd[PER_MINUTE]), .fallback = "0", .max = 1000000,
     .help = "money that the box's keys may cost for it, by `prices`; 0: no limit"},
    {.name = "usd_per_day", .type = TYPE_RATIO, TQ(usd[PER_DAY]), .fallback = "0", .max = 1000000,
     .help = "likewise, from midnight to midnight UTC"},
    {.name = "usd_per_month", .type = TYPE_RATIO, TQ(usd[PER_MONTH]), .fallback = "0", .max = 1000000,
     .help = "likewise, a calendar month UTC"},
    {.name = "concurrent", .type = TYPE_COUNT, TQ(concurrent), .fallback = "0",
     .max = CONFIG_REQUESTS_BOUND, .help = "calls upstream at once; 0: no limit"},
    END,
};

static const struct config_key tenant_model_limit_keys[] = {
    {.name = "requests_per_minute", .type = TYPE_COUNT, MQ(requests[PER_MINUTE]), .fallback = "0",
     .max = 1000000000, .help = "calls upstream; hits are free; 0: no limit"},
    {.name = "requests_per_day", .type = TYPE_COUNT, MQ(requests[PER_DAY]), .fallback = "0",
     .max = 1000000000, .help = "likewise, from midnight to midnight UTC"},
    {.name = "requests_per_month", .type = TYPE_COUNT, MQ(requests[PER_MONTH]), .fallback = "0",
     .max = 1000000000, .help = "likewise, a calendar month UTC"},
    {.name = "tokens_per_minute", .type = TYPE_COUNT, MQ(tokens[PER_MINUTE]), .fallback = "0",
     .max = 4000000000, .help = "input and output of those calls; 0: no limit"},
    {.name = "tokens_per_day", .type = TYPE_COUNT, MQ(tokens[PER_DAY]), .fallback = "0",
     .max = 4000000000, .help = "likewise, from midnight to midnight UTC"},
    {.name = "tokens_per_month", .type = TYPE_COUNT, MQ(tokens[PER_MONTH]), .fallback = "0",
     .max = 4000000000, .help = "likewise, a calendar month UTC"},
    {.name = "usd_per_minute", .type = TYPE_RATIO, MQ(usd[PER_MINUTE]), .fallback = "0", .max = 1000000,
     .help = "money that the box's keys may cost for it, by `prices`; 0: no limit"},
    {.name = "usd_per_day", .type = TYPE_RATIO, MQ(usd[PER_DAY]), .fallback = "0", .max = 1000000,
     .help = "likewise, from midnight to midnight UTC"},
    {.name = "usd_per_month", .type = TYPE_RATIO, MQ(usd[PER_MONTH]), .fallback = "0", .max = 1000000,
     .help = "likewise, a calendar month UTC"},
    {.name = "concurrent", .type = TYPE_COUNT, MQ(concurrent), .fallback = "0",
     .max = CONFIG_REQUESTS_BOUND, .help = "calls upstream at once; 0: no limit"},
    END,
};

static const struct config_key tenant_model_keys[] = {
    {.name = "model", .type = TYPE_TEXT, .required = true, TM(model), .help = "glob over model names: * and ?"},
    {.name = "limits", .type = TYPE_SECTION, .keys = tenant_model_limit_keys, .help = "what it may use of these models"},
    END,
};

static const struct config_key tenant_keys[] = {
    {.name = "name", .type = TYPE_TEXT, .required = true, T(name), .help = "as `larder ctl tenant` calls it"},
    {.name = "group", .type = TYPE_TEXT, T(group), .fallback = "",
     .help = "an entry before this one, whose limits count for all its members together"},
    {.name = "providers", .type = TYPE_PROVIDERS, T(providers), .max = CONFIG_PROVIDERS_MAX,
     .count_offset = offsetof(struct config_tenant, provider_count), .help = "all that it may use; empty: any"},
    {.name = "limits", .type = TYPE_SECTION, .keys = tenant_limit_keys, .help = "what it may use"},
    {.name = "models", .type = TYPE_SECTIONS, T(models), .max = CONFIG_TENANT_MODELS_MAX, .keys = tenant_model_keys,
     .each = sizeof(struct config_tenant_model), .count_offset = offsetof(struct config_tenant, model_count),
     .check = config_check_tenant_model, .help = "limits for some models, besides; the first match counts"},
    END,
};

static const struct config_key budget_keys[] = {
    {.name = "refresh_per_hour", .type = TYPE_COUNT, .reload = RELOAD, C(refresh_per_hour), .fallback = "60",
     .max = 100000, .help = "stale entries fetched anew in the background"},
    {.name = "deferred_max", .type = TYPE_COUNT, C(deferred_max), .fallback = "100", .max = 10000,
     .help = "questions kept for when the line is back"},
    {.name = "finish_for_store", .type = TYPE_DURATION, .reload = RELOAD, C(finish_for_store_us), .fallback = "30s",
     .max = HOUR, .help = "how long a call goes on for the store alone"},
    END,
};

static const struct config_key pack_keys[] = {
    {.name = "name", .type = TYPE_TEXT, .required = true, PACK(name), .help = "as routes call it"},
    {.name = "file", .type = TYPE_TEXT, .required = true, PACK(file), .help = "path, or builtin"},
    END,
};

const struct config_key config_keys[] = {
    {.name = "listen", .type = TYPE_SECTION, .keys = listen_keys, .help = "where the box can be reached"},
    {.name = "access", .type = TYPE_SECTION, .keys = access_keys, .help = "who may come"},
    {.name = "data", .type = TYPE_TEXT, C(data), .fallback = "./var", .check = config_check_data,
     .help = "the store; created with mode 0700"},
    {.name = "board", .type = TYPE_TEXT, C(board), .fallback = "auto", .check = config_check_board,
     .help = "whose defaults limits and storage take: auto (by the machine's model), or a name of the table of boards"},
    {.name = "log", .type = TYPE_SECTION, .keys = log_keys, .help = "lines on stderr"},
    {.name = "admin", .type = TYPE_SECTION, .keys = admin_keys, .help = "the admin port"},
    {.name = "limits", .type = TYPE_SECTION, .keys = limit_keys, .check = config_check_limits,
     .help = "at most the built-in bounds"},
    {.name = "storage", .type = TYPE_SECTION, .keys = storage_keys, .help = "the store on disk"},
    {.name = "semantic", .type = TYPE_SECTION, .keys = semantic_keys, .check = config_check_semantic,
     .help = "answers to questions that mean the same"},
    {.name = "packs", .type = TYPE_SECTIONS, .reload = RELOAD, C(packs), .max = CONFIG_PACKS_MAX, .keys = pack_keys,
     .each = sizeof(struct config_pack), .count_offset = offsetof(struct config, pack_count),
     .check = config_check_pack, .help = "prepared questions and answers"},
    {.name = "providers", .type = TYPE_SECTIONS, .reload = RELOAD, C(providers), .max = CONFIG_PROVIDERS_MAX,
     .keys = provider_keys, .each = sizeof(struct config_provider),
     .count_offset = offsetof(struct config, provider_count), .check = config_check_provider,
     .help = "LLM APIs and servers"},
    {.name = "routes", .type = TYPE_SECTIONS, .reload = RELOAD, C(routes), .max = CONFIG_ROUTES_MAX, .keys = route_keys,
     .each = sizeof(struct config_route), .count_offset = offsetof(struct config, route_count),
     .check = config_check_route, .help = "which provider answers what, and what is kept; the first match wins"},
    {.name = "tenants", .type = TYPE_SECTIONS, .reload = RELOAD, C(tenants), .max = CONFIG_TENANTS_MAX,
     .keys = tenant_keys, .each = sizeof(struct config_tenant), .count_offset = offsetof(struct config, tenant_count),
     .check = config_check_tenant, .help = "limits of the virtual keys that `larder ctl tenant add` makes"},
    {.name = "budgets", .type = TYPE_SECTION, .keys = budget_keys, .help = "what the background may spend"},
    {.name = "prices", .type = TYPE_TEXT, .reload = RELOAD, C(prices), .fallback = "builtin",
     .check = config_check_prices, .help = "builtin, or file:PATH with dated rows per model"},
    END,
};
/* clang-format on */
