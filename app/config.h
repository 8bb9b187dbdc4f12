/* SPDX-License-Identifier: Apache-2.0 */
/* app/config.h — the configuration: one YAML file read into one struct.
 *
 * Owner:   everything lives in the arena given to config_load; a loaded configuration is never changed. The gateway
 *          holds one and replaces it as a whole at SIGHUP.
 * Threads: loading and config_restart_needed one at a time; reading from any.
 * Fails:   RC_INVALID with every error found (bounded), each with file, line, column, value and what to do.
 * Units:   durations in microseconds, sizes in bytes.
 * Texts:   every span is followed by a NUL that it does not count, and holds no control characters.
 * How:     app/config_table.c has one row a key: name, type, field, default, range, what is built, help. Reading,
 *          printing, the reference and the comparison at a reload all walk that table.
 */
#ifndef APP_CONFIG_H
#define APP_CONFIG_H

#include "app/gateway/dialect.h"
#include "platform/yaml.h"

enum {
    CONFIG_ADDRESSES_MAX = 8,  /* a listener's: both families on a few interfaces */
    CONFIG_PROVIDERS_MAX = 16, /* clouds and LAN servers of one site */
    CONFIG_ROUTES_MAX = 64,
    CONFIG_CHAIN_MAX = 8, /* providers of one route */
    CONFIG_PACKS_MAX = 8,
    CONFIG_MASKS_MAX = 8,    /* patterns of one route */
    CONFIG_NAMES_MAX = 16,   /* hosts, origins */
    CONFIG_HEADERS_MAX = 16, /* fixed headers of one provider */
    CONFIG_MODELS_MAX = 32,  /* models named for one provider */
    CONFIG_TENANTS_MAX = 64,
    CONFIG_TENANT_MODELS_MAX = 8, /* models with limits of their own, for one tenant */
    CONFIG_ISSUES_MAX = 32,       /* errors and warnings kept of one load; errors push warnings out */
};

/* Most that the limits can be set to; app/bounds.h reserves for them and asserts that they agree. */
enum {
    CONFIG_CONNECTIONS_BOUND = 16384,
    CONFIG_REQUESTS_BOUND = 1024,
    CONFIG_FLIGHTS_BOUND = 1024,
    CONFIG_TLS_CONNECTIONS_BOUND = 4096,
    CONFIG_REQUESTS_LEAST = 4,      /* a quarter of them is kept for hits */
    CONFIG_HEADER_BOUND = 64 << 10, /* one read of the server; less than the smallest request arena */
};

enum config_anonymous { ANONYMOUS_NONE, ANONYMOUS_LOOPBACK, ANONYMOUS_ANY };

struct config_names {
    struct span at[CONFIG_NAMES_MAX];
    unsigned count;
};

struct config_addresses {
    struct span at[CONFIG_ADDRESSES_MAX];
    unsigned count;
};

struct config_listen {
    struct config_addresses api, admin;
    struct span control, serial;
    struct span tls_cert, tls_key; /* of the API port; empty: plain */
    struct span admin_tls_cert, admin_tls_key;
};

struct config_access {
    enum config_anonymous anonymous;
    struct config_names hosts, cors;
};

struct config_limits {
    unsigned connections, connections_per_address, tls_connections, requests, flights;
    uint64_t body, parse_max, header, memory;
    uint64_t header_us, body_us, idle_us;
};

struct config_storage {
    unsigned entries_max;
    uint64_t bytes_max, hot, sync_us;
    int eviction; /* enum evict_policy */
    bool seal, seal_codes;
    struct span key;
};

struct config_header {
    struct span name, value;
};

struct config_provider {
    struct span name;
    enum dialect dialect;
    struct span base_url;
    bool tls;         /* https; the next three are base_url taken apart */
    struct span host; /* an IPv6 literal without its brackets */
    unsigned port;
    struct span base_path; /* "/v1" or empty, without a closing slash */
    struct span key;       /* secret: never logged or printed */
    bool passthrough, stream_usage_add;
    struct span ca, pin; /* "system", "file:PATH", "bundled"; "sha256/…" */
    struct span proxy;   /* secret: http://[user:password@]host:port, taken apart in the next three */
    struct span proxy_host, proxy_authorization; /* authorization: the whole field value, or empty */
    unsigned proxy_port;
    struct config_header headers[CONFIG_HEADERS_MAX];
    unsigned header_count;
    struct span models[CONFIG_MODELS_MAX];
    unsigned model_count;
    unsigned concurrent;
    uint64_t connect_us, first_byte_us, idle_us, total_us;
    unsigned retry_attempts;
    uint64_t retry_base_us, retry_max_us;
    double breaker_ratio;
    unsigned breaker_calls;
    uint64_t breaker_window_us, breaker_probe_us;
};

enum config_semantic { SEMANTIC_OFF, SEMANTIC_LEARN, SEMANTIC_PRESET };

struct config_route {
    bool any_dialect; /* match.dialect absent and no providers; with providers theirs is taken */
    enum dialect dialect;
    struct span model;                    /* glob */
    unsigned providers[CONFIG_CHAIN_MAX]; /* indexes into config.providers */
    unsigned provider_count;
    unsigned packs[CONFIG_PACKS_MAX]; /* indexes into config.packs */
    unsigned pack_count;
    bool packs_with_system;
    bool exact;
    uint64_t ttl_us, stale_if_error_us;
    bool sampled_fresh, share_box, history, json_schema;
    enum config_semantic semantic;
    double threshold, offline_threshold; /* similarity; offline 0: none */
    bool guards_strict;
    struct span masks[CONFIG_MASKS_MAX];
    unsigned mask_count;
};

enum quota_window { PER_MINUTE, PER_DAY, PER_MONTH, QUOTA_WINDOWS };

/* 0: no limit. */
struct config_quota {
    unsigned requests[QUOTA_WINDOWS], tokens[QUOTA_WINDOWS];
    double usd[QUOTA_WINDOWS];
    unsigned concurrent;
};

struct config_tenant_model {
    struct span model; /* glob */
    struct config_quota quota;
};

struct config_tenant {
    struct span name, group;                  /* group: an entry before this one, or empty */
    unsigned providers[CONFIG_PROVIDERS_MAX]; /* indexes into config.providers: all it may use; none: any */
    unsigned provider_count;
    struct config_quota quota;
    struct config_tenant_model models[CONFIG_TENANT_MODELS_MAX];
    unsigned model_count;
};

struct config_pack {
    struct span name, file; /* file: path or "builtin" */
};

struct config {
    struct span file; /* its path, or "built-in defaults" */
    struct config_listen listen;
    struct config_access access;
    struct span data, board;
    struct span board_name, board_about, board_why; /* which one `board` came to, and how */
    int log_level, log_format;                      /* platform/log.h */
    struct span admin_token;
    bool admin_read_loopback;
    struct config_limits limits;
    struct config_storage storage;
    struct span embedder;       /* "none", "minilm-int8" … */
    struct span embedder_model; /* path */
    struct span remote_base_url, remote_key, remote_model;
    unsigned remote_dim;
    struct span remote_host, remote_path; /* from remote_base_url */
    unsigned remote_port;
    bool remote_tls;
    double semantic_delta, shadow_rate;
    unsigned shadow_per_hour_max;
    struct config_provider providers[CONFIG_PROVIDERS_MAX];
    unsigned provider_count;
    struct config_route routes[CONFIG_ROUTES_MAX];
    unsigned route_count;
    struct config_tenant tenants[CONFIG_TENANTS_MAX];
    unsigned tenant_count;
    struct config_pack packs[CONFIG_PACKS_MAX];
    unsigned pack_count;
    unsigned refresh_per_hour, deferred_max;
    uint64_t finish_for_store_us;
    struct span prices; /* "builtin" or "file:PATH" */
};

struct config_source {
    const char *file_name;        /* for messages; NULL: built-in defaults */
    const char *const *overrides; /* "routes.0.cache.ttl=1h" … */
    unsigned override_count;
    const char *(*environment)(const char *name); /* getenv, or a test's */
    const char *model;                            /* of this machine (hal/identity.h); NULL: unknown */
};

struct config_issue {
    bool error; /* else a warning */
    unsigned line, column;
    char message[200];
};

struct config_report {
    struct config_issue issues[CONFIG_ISSUES_MAX];
    unsigned count, errors, left_out;
};

/* `text` empty: the built-in default. RC_OK may come with warnings; RC_INVALID has at least one error, RC_FULL means
 * that the arena is too small (reported as an error too). Takes about 100 KiB of the arena and six times the text.
 * yaml_reserve comes before. Needs about 8 KiB of stack. */
int config_load(struct arena *arena, struct span text, const struct config_source *source, struct config **config,
                struct config_report *report);
/* "FILE:LINE:COLUMN: error: MESSAGE" without a line end; what came from an override or the default has no line. */
void config_issue_print(const struct config_issue *issue, const struct config_source *source, struct text *out);
/* Resolved form as YAML, secrets masked. */
void config_print(const struct config *config, struct text *out);
/* Every key with type, default, whether a reload takes it, and help, as a Markdown table. */
void config_print_reference(struct text *out);
/* What the built-in default took for granted, a line each, for `larder serve` without a file. */
void config_print_assumed(const struct config *config, struct text *out);
/* The YAML that stands in for providers, routes and packs when a file leaves them out. */
struct span config_defaults_text(void);
/* Names of changed settings that take effect only after a restart, comma separated; empty when none. Compare with the
 * configuration of the boot, not the last one: what a limit may grow to is what the boot reserved. */
void config_restart_needed(const struct config *old_config, const struct config *new_config, struct text *names);

#endif
