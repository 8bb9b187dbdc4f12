/* SPDX-License-Identifier: Apache-2.0 */
/* app/boot.c — see boot.h. */
#include "app/boot.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "app/admin/admin.h"
#include "app/bounds.h"
#include "platform/clock.h"
#include "platform/compress.h"
#include "platform/cpu.h"
#include "platform/crypto.h"
#include "platform/file.h"
#include "platform/heap.h"
#include "platform/log.h"
#include "platform/metric.h"
#include "platform/offload.h"
#include "platform/plan.h"
#include "platform/start.h"
#include "version.h"

enum {
    CONFIG_TEXT_MAX = 256 << 10,
    YAML_HEAP = 2 << 20, /* libyaml's own copies of a file of that size */
    EXIT_USAGE = 2,
};

static struct boot {
    const struct boot_options *options;
    char config_path[FILE_PATH_MAX]; /* empty: built-in default */
    char data[FILE_PATH_MAX];
    struct server api, admin;
    struct arena_budget requests_budget, admin_budget;
    struct fiber_pool background;
    struct loop_source signals;
    struct loop_timer drain_timer, hourly;
    struct arena baseline_arena;
    struct config *baseline; /* the configuration of the boot, which the plan follows: what a reload is compared with */
    uint64_t drain_deadline_us, started_us;
    bool ready, draining, reloading;
    unsigned api_port, admin_port;
} boot;

static char config_text[CONFIG_TEXT_MAX];
static size_t config_size;

uint64_t boot_uptime_us(void)
{
    return clock_monotonic_us() - boot.started_us;
}

bool boot_is_ready(void)
{
    return boot.ready && !boot.draining;
}

/* ---- configuration */

static const char *environment(const char *name)
{
    return getenv(name);
}

static void choose_config_path(const struct boot_options *options)
{
    const char *path = options->config_path ? options->config_path : file_exists("larder.yaml") ? "larder.yaml" : "";
    snprintf(boot.config_path, sizeof boot.config_path, "%s", path);
}

static void put_issue(struct text *out, const struct config_issue *issue)
{
    text_format(out, "larder: %s: ", issue->error ? "error" : "warning");
    if (issue->line)
        text_format(out, "%s:%u:%u: ", boot.config_path[0] ? boot.config_path : "built-in defaults", issue->line,
                    issue->column);
    text_format(out, "%s\n", issue->message);
}

static void put_report(struct text *out, const struct config_report *report)
{
    for (unsigned i = 0; i < report->count; i++) put_issue(out, &report->issues[i]);
    if (report->left_out) text_format(out, "larder: and %u more\n", report->left_out);
}

static int read_config(struct arena *arena, struct config **config, struct config_report *report)
{
    struct config_source source = {.file_name = boot.config_path[0] ? boot.config_path : NULL,
                                   .overrides = boot.options->overrides,
                                   .override_count = boot.options->override_count,
                                   .environment = environment};
    return config_load(arena, span_of(config_text, config_size), &source, config, report);
}

/* Reads the file, or the built-in default, into `next`. What is to be said is in `out`. */
static int load_config(struct generation *next, struct text *out)
{
    struct config_report report = {0};
    config_size = 0;
    if (boot.config_path[0]) {
        int rc = file_read(boot.config_path, config_text, sizeof config_text, &config_size);
        if (rc != RC_OK) {
            text_format(out, "larder: error: cannot read the configuration %s: %s\n", boot.config_path, rc_name(rc));
            return rc;
        }
    }
    int rc = read_config(&next->arena, &next->config, &report);
    put_report(out, &report);
    return rc;
}

/* Once more, to where no reload goes. */
static int keep_baseline(void)
{
    struct config_report report = {0};
    void *region;
    int rc = plan_take("configuration of the boot", 1, CONFIG_ARENA_SIZE, PLAN_LAZY, 0, NULL, &region);
    if (rc != RC_OK) return rc;
    arena_init(&boot.baseline_arena, region, CONFIG_ARENA_SIZE, NULL);
    return read_config(&boot.baseline_arena, &boot.baseline, &report);
}

static void print_err(const struct text *text)
{
    if (text->size) fprintf(stderr, "%s", text->data);
}

/* ---- the plan: every region of the process */

static struct server_limits api_limits(const struct config *c)
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
    struct server_limits limits = api_limits(c);
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
                                 .eviction = c->storage.lru ? EVICT_LRU : EVICT_SIEVE};
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
    if (rc == RC_OK) rc = heap_reserve(HEAP_MBEDTLS, tls_heap_size(&tls) + CRYPTO_REGION_SIZE, "limits.flights");
    if (rc == RC_OK) rc = crypto_start();
    if (rc == RC_OK) rc = tls_reserve(&tls);
    if (rc == RC_OK) rc = dns_reserve(last_good);
    return rc == RC_OK ? upstream_reserve(GENERATIONS_MAX * CONFIG_PROVIDERS_MAX, c->limits.flights) : rc;
}

static int reserve_servers(const struct config *c)
{
    boot.requests_budget.limit = c->limits.memory;
    boot.admin_budget.limit = 2 << 20;
    boot.api = (struct server){.name = "api",
                               .serve = gateway_serve,
                               .refuse = gateway_refuse,
                               .limits = api_limits(c),
                               .budget = &boot.requests_budget};
    boot.admin = (struct server){.name = "admin",
                                 .serve = admin_serve,
                                 .refuse = admin_refuse,
                                 .limits = admin_limits(c),
                                 .budget = &boot.admin_budget};
    int rc = server_reserve(&boot.api);
    return rc == RC_OK ? server_reserve(&boot.admin) : rc;
}

static int reserve_all(const struct config *c)
{
    struct cache_limits cache = cache_limits_of(c);
    unsigned cores = cpu_features()->cores;
    int rc = loop_reserve(timers_of(c));
    if (rc == RC_OK) rc = offload_start(cores > 1 ? cores - 1 : 1, OFFLOAD_QUEUE_MAX);
    if (rc == RC_OK) rc = fiber_pool_reserve(&boot.background, "background", BACKGROUND_MAX, BACKGROUND_STACK, NULL);
    if (rc == RC_OK) rc = reserve_net(c);
    if (rc == RC_OK) rc = compress_reserve(c->limits.parse_max);
    if (rc == RC_OK) rc = cache_reserve(&cache);
    if (rc == RC_OK) rc = gateway_reserve(c);
    if (rc == RC_OK) rc = reserve_servers(c);
    return rc == RC_OK ? control_reserve() : rc;
}

static double read_memory(const struct metric *metric)
{
    const struct plan_term total = plan_total();
    const char *what = metric->context;
    size_t bytes = *what == 'p' ? plan_private_now() : *what == 'c' ? total.committed : total.ceiling;
    return (double)bytes;
}

static double read_trap(const struct metric *metric)
{
    (void)metric;
    return (double)heap_trap_count();
}

static double read_uptime(const struct metric *metric)
{
    (void)metric;
    return (double)boot_uptime_us() / 1e6;
}

static double read_cpu(const struct metric *metric)
{
    (void)metric;
    return (double)clock_cpu_us() / 1e6;
}

static double read_arenas(const struct metric *metric)
{
    (void)metric;
    return (double)boot.requests_budget.high;
}

static struct metric memory_gauges[] = {
    {.name = "larder_memory_bytes",
     .labels = "kind=\"private\"",
     .help = "Private memory now, planned at boot, and at most",
     .kind = METRIC_GAUGE_CALL,
     .read = read_memory,
     .context = "p"},
    {.name = "larder_memory_bytes",
     .labels = "kind=\"planned\"",
     .kind = METRIC_GAUGE_CALL,
     .read = read_memory,
     .context = "c"},
    {.name = "larder_memory_bytes",
     .labels = "kind=\"ceiling\"",
     .kind = METRIC_GAUGE_CALL,
     .read = read_memory,
     .context = "x"},
    {.name = "larder_request_arenas_high_bytes",
     .help = "Most memory of all request arenas at once",
     .kind = METRIC_GAUGE_CALL,
     .read = read_arenas},
    {.name = "larder_heap_trap_total",
     .help = "Calls of the C library's allocator, which must not happen",
     .kind = METRIC_GAUGE_CALL,
     .read = read_trap},
    {.name = "process_uptime_seconds", .help = "Seconds since boot", .kind = METRIC_GAUGE_CALL, .read = read_uptime},
    {.name = "process_cpu_seconds", .help = "CPU time used", .kind = METRIC_GAUGE_CALL, .read = read_cpu},
};

static void register_metrics(void)
{
    for (unsigned i = 0; i < sizeof memory_gauges / sizeof memory_gauges[0]; i++) metric_register(&memory_gauges[i]);
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

/* ---- before anything else */

static int begin(const struct boot_options *options)
{
    int rc = start_process();
    boot.options = options;
    boot.started_us = clock_monotonic_us();
    choose_config_path(options);
    cpu_detect();
    hash_select(cpu_features());
    clock_floor_set((uint64_t)BUILD_EPOCH * CLOCK_SECOND);
    if (rc == RC_OK) rc = heap_reserve(HEAP_YAML, YAML_HEAP, NULL);
    return rc == RC_OK ? gateway_reserve_configurations() : rc;
}

static int begin_with_config(const struct boot_options *options, struct generation **next, char *said, size_t said_size)
{
    struct text out = text_on(said, said_size);
    int rc = begin(options);
    if (rc != RC_OK) {
        fprintf(stderr, "larder: error: cannot start: %s\n", rc_name(rc));
        return 1;
    }
    *next = gateway_next_generation();
    rc = load_config(*next, &out);
    print_err(&out);
    if (rc != RC_OK) return EXIT_USAGE;
    const struct config *c = (*next)->config;
    snprintf(boot.data, sizeof boot.data, "%.*s", SPAN_ARG(c->data));
    return 0;
}

int boot_check(const struct boot_options *options)
{
    static char said[16 << 10], printed[64 << 10];
    struct generation *next;
    struct text out = text_on(printed, sizeof printed);
    int code = begin_with_config(options, &next, said, sizeof said);
    if (code != 0) return code;
    config_print(next->config, &out);
    return fputs(printed, stdout) < 0;
}

int boot_control_path(const struct boot_options *options, char *path, size_t size)
{
    static char said[16 << 10];
    struct generation *next;
    int code = begin_with_config(options, &next, said, sizeof said);
    if (code == 0) snprintf(path, size, "%.*s", SPAN_ARG(next->config->listen.control));
    return code;
}

int boot_plan(const struct boot_options *options)
{
    static char said[16 << 10], printed[32 << 10];
    struct generation *next;
    struct text out = text_on(printed, sizeof printed);
    int code = begin_with_config(options, &next, said, sizeof said);
    if (code != 0) return code;
    int rc = keep_baseline();
    if (rc == RC_OK) rc = reserve_all(next->config);
    plan_measure();
    boot_print_plan(&out);
    fputs(printed, stdout);
    if (rc != RC_OK) fprintf(stderr, "larder: error: the plan does not fit: %s\n", rc_name(rc));
    return rc != RC_OK;
}

/* ---- the end */

static void drain_tick(struct loop_timer *timer)
{
    unsigned busy = server_busy(&boot.api);
    if (busy == 0 || clock_monotonic_us() >= boot.drain_deadline_us) {
        if (busy) log_warn("boot", "%u requests were still under way at the end", busy);
        loop_stop();
        return;
    }
    (void)loop_timer_set(timer, clock_monotonic_us() + CLOCK_SECOND / 50);
}

void boot_shutdown(void)
{
    if (boot.draining) return;
    boot.draining = true;
    log_info("boot", "draining: %u requests under way", server_busy(&boot.api));
    boot.drain_deadline_us = clock_monotonic_us() + (uint64_t)DRAIN_SECONDS * CLOCK_SECOND;
    server_drain(&boot.api);
    boot.drain_timer.fire = drain_tick;
    (void)loop_timer_set(&boot.drain_timer, clock_monotonic_us() + CLOCK_SECOND / 50);
}

/* ---- reload */

int boot_reload(struct text *out)
{
    char message[320] = "", names[256];
    struct text restart = text_on(names, sizeof names);
    if (boot.reloading) return RC_AGAIN;
    struct generation *next = gateway_next_generation();
    if (!next) {
        text_put_text(out, "requests of two configurations ago are still under way: try again when they have ended\n");
        return RC_AGAIN;
    }
    boot.reloading = true;
    int rc = load_config(next, out);
    if (rc == RC_OK) {
        config_restart_needed(boot.baseline, next->config, &restart);
        rc = gateway_apply(next, message, sizeof message);
    }
    boot.reloading = false;
    if (rc != RC_OK) {
        text_format(out, "%s\nthe configuration in force stays as it was\n", message);
        log_error("config", "not reloaded, the configuration in force stays: %s", out->data);
        return rc;
    }
    struct server_limits limits = api_limits(next->config);
    server_limits_set(&boot.api, &limits);
    log_info("config", "reloaded %s", boot.config_path[0] ? boot.config_path : "the built-in default");
    text_put_text(out, "reloaded\n");
    if (restart.size) text_format(out, "these changes wait for a restart: %s\n", names);
    return RC_OK;
}

static void reload_fiber(void *arg)
{
    static char said[4096];
    (void)arg;
    struct text out = text_on(said, sizeof said);
    (void)boot_reload(&out);
}

static void on_signal(struct loop_source *source, unsigned events)
{
    struct signalfd_siginfo info;
    (void)events;
    if (read(source->fd, &info, sizeof info) != sizeof info) return;
    if (info.ssi_signo == SIGHUP) {
        if (fiber_start(&boot.background, reload_fiber, NULL) != RC_OK)
            log_warn("config", "too much is going on to reload: send SIGHUP again");
        return;
    }
    if (boot.draining) loop_stop(); /* asked twice */
    boot_shutdown();
}

static int block_signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGHUP);
    return sigprocmask(SIG_BLOCK, set, NULL) == 0 ? RC_OK : RC_IO;
}

static int watch_signals(const sigset_t *set)
{
    boot.signals.fd = signalfd(-1, set, SFD_NONBLOCK | SFD_CLOEXEC);
    boot.signals.ready = on_signal;
    return boot.signals.fd < 0 ? RC_IO : loop_add(&boot.signals, LOOP_READ);
}

/* ---- the clock's floor, kept hourly */

struct clock_job {
    uint64_t wall_s;
};

static void save_clock(void *arg)
{
    const struct clock_job *job = arg;
    char path[FILE_PATH_MAX], text[24];
    int size = snprintf(text, sizeof text, "%llu\n", (unsigned long long)job->wall_s);
    if (file_join(path, boot.data, "clock") == RC_OK) (void)file_replace(path, text, (size_t)size, 0600);
}

static void hourly_fiber(void *arg)
{
    (void)arg;
    struct clock_job job = {clock_wall_us() / CLOCK_SECOND};
    (void)clock_confirm_from_kernel();
    if (clock_trust() == CLOCK_CONFIRMED) (void)offload(save_clock, &job);
}

static void hourly_fire(struct loop_timer *timer)
{
    (void)fiber_start(&boot.background, hourly_fiber, NULL);
    (void)loop_timer_set(timer, clock_monotonic_us() + 3600 * CLOCK_SECOND);
}

static void read_clock(void)
{
    char path[FILE_PATH_MAX], text[24];
    size_t size;
    uint64_t wall_s;
    if (file_join(path, boot.data, "clock") != RC_OK || file_read(path, text, sizeof text, &size) != RC_OK) return;
    if (span_to_u64(span_trim(span_of(text, size ? size - 1 : 0)), UINT32_MAX, &wall_s) == RC_OK &&
        wall_s > (uint64_t)BUILD_EPOCH)
        clock_floor_set(wall_s * CLOCK_SECOND);
}

/* ---- serving */

static int fail(const char *what, int rc)
{
    fprintf(stderr, "larder: error: %s: %s\n", what, rc_name(rc));
    return 1;
}

static int open_store(const struct config *c)
{
    struct cache_boot found = {0};
    char message[320] = "";
    int rc = file_make_folder(boot.data, 0700);
    if (rc != RC_OK && rc != RC_READ_ONLY) {
        fprintf(stderr, "larder: error: cannot make the data folder %s: %s\n", boot.data, rc_name(rc));
        return rc;
    }
    read_clock();
    rc = cache_open(boot.data, &found);
    if (found.message[0]) log_line(rc == RC_OK ? LOG_WARN : LOG_ERROR, "store", "%s", found.message);
    if (rc != RC_OK) {
        fprintf(stderr, "larder: error: the store in %s cannot be used: %s%s%s\n", boot.data, rc_name(rc),
                found.message[0] ? ": " : "", found.message);
        return rc;
    }
    log_info("store", "%u entries in %s", found.entries, boot.data);
    rc = tenants_open(boot.data, message, sizeof message);
    if (rc != RC_OK) fprintf(stderr, "larder: error: %s\n", message);
    return rc == RC_OK ? admin_open(boot.data, c->admin_token) : rc;
}

static int listen_all(struct server *server, const struct config_addresses *addresses, struct tls_server *tls,
                      unsigned *port)
{
    for (unsigned i = 0; i < addresses->count; i++) {
        int rc = server_listen(server, addresses->at[i], tls, port);
        if (rc != RC_OK) {
            fprintf(stderr, "larder: error: cannot listen at %.*s: %s%s\n", SPAN_ARG(addresses->at[i]), rc_name(rc),
                    rc == RC_EXISTS ? " (another program has this port: change `listen`)" : "");
            return rc;
        }
    }
    return RC_OK;
}

static int load_certificate(const struct config *c, struct tls_server **tls)
{
    char certificate[FILE_PATH_MAX], key[FILE_PATH_MAX], message[TLS_MESSAGE_MAX] = "";
    *tls = NULL;
    if (c->listen.tls_cert.size == 0) return RC_OK;
    snprintf(certificate, sizeof certificate, "%.*s", SPAN_ARG(c->listen.tls_cert));
    snprintf(key, sizeof key, "%.*s", SPAN_ARG(c->listen.tls_key));
    int rc = tls_server_load(certificate, key, tls, message);
    if (rc != RC_OK) fprintf(stderr, "larder: error: listen.tls: %s\n", message);
    return rc;
}

static int open_doors(const struct config *c)
{
    char path[FILE_PATH_MAX];
    struct tls_server *tls;
    int rc = load_certificate(c, &tls);
    if (rc == RC_OK) rc = listen_all(&boot.api, &c->listen.api, tls, &boot.api_port);
    if (rc == RC_OK) rc = listen_all(&boot.admin, &c->listen.admin, NULL, &boot.admin_port);
    if (rc != RC_OK || c->listen.control.size == 0 || span_equal(c->listen.control, SPAN("none"))) return rc;
    snprintf(path, sizeof path, "%.*s", SPAN_ARG(c->listen.control));
    rc = control_listen(path);
    if (rc != RC_OK)
        fprintf(stderr, "larder: error: cannot open the control socket %s: %s\n", path,
                rc == RC_EXISTS ? "another box answers there" : rc_name(rc));
    return rc;
}

static void put_assumed(struct text *out, const struct config *c)
{
    text_put_text(out, "No larder.yaml here: running on the built-in default (`larder check` prints it).\n");
    for (unsigned i = 0; i < c->provider_count; i++)
        text_format(
            out, "  provider %.*s at %.*s: %s\n", SPAN_ARG(c->providers[i].name), SPAN_ARG(c->providers[i].base_url),
            c->providers[i].key.size ? "the clients' own keys, and the box's key from the environment for virtual keys"
                                     : "the clients' own keys");
    text_put_text(out, "  no semantic tier in this version: byte-for-byte and canonically equal questions are answered "
                       "from the box\n");
}

static void print_banner(const struct config *c)
{
    static char banner[4096];
    struct text out = text_on(banner, sizeof banner);
    const char *scheme = c->listen.tls_cert.size ? "https" : "http";
    text_format(&out, "larder %s\n", LARDER_VERSION);
    if (!boot.config_path[0]) put_assumed(&out, c);
    text_format(&out, "\nServing at  %s://127.0.0.1:%u      admin at http://127.0.0.1:%u/metrics\n\n", scheme,
                boot.api_port, boot.admin_port);
    text_put_text(&out, "Try it, no key and no network needed:\n\n");
    text_format(&out,
                "  curl -s %s://127.0.0.1:%u/v1/chat/completions -H 'content-type: application/json' -d "
                "'{\"model\":\"larder\",\"messages\":[{\"role\":\"user\",\"content\":\"What is Larder?\"}]}'\n\n",
                scheme, boot.api_port);
    text_format(&out,
                "With a real client (Python):\n\n  from openai import OpenAI\n"
                "  client = OpenAI(base_url=\"%s://127.0.0.1:%u/v1\")   # your own OPENAI_API_KEY passes through\n"
                "  print(client.chat.completions.create(model=\"gpt-4o-mini\", messages=[{\"role\": \"user\", "
                "\"content\": \"Hello\"}]).choices[0].message.content)\n\n",
                scheme, boot.api_port);
    fputs(banner, stdout);
    fflush(stdout);
}

static void close_all(void)
{
    boot.ready = false;
    server_stop(&boot.api);
    server_stop(&boot.admin);
    control_close();
    cache_close();
    offload_stop();
    log_info("boot", "stopped");
    log_stop();
}

static int serve_loop(void)
{
    boot.hourly.fire = hourly_fire;
    (void)loop_timer_set(&boot.hourly, clock_monotonic_us() + 60 * CLOCK_SECOND);
    (void)clock_confirm_from_kernel();
    boot.ready = true;
    int rc = loop_run();
    close_all();
    return rc == RC_OK ? 0 : fail("the event loop failed", rc);
}

static int start_serving(struct generation *first)
{
    char message[320] = "";
    const struct config *c = first->config;
    int rc = open_store(c);
    if (rc != RC_OK) return 1;
    rc = gateway_apply(first, message, sizeof message);
    if (rc != RC_OK) {
        fprintf(stderr, "larder: error: %s\n", message);
        return EXIT_USAGE;
    }
    rc = open_doors(c);
    if (rc != RC_OK) {
        cache_close();
        return 1;
    }
    print_banner(c);
    return serve_loop();
}

int boot_serve(const struct boot_options *options)
{
    static char said[16 << 10];
    struct generation *first;
    sigset_t signals;
    int code = begin_with_config(options, &first, said, sizeof said);
    if (code != 0) return code;
    const struct config *c = first->config;
    log_configure((enum log_level)c->log_level, (enum log_format)c->log_format);
    int rc = block_signals(&signals);
    start_faults();
    if (rc == RC_OK) rc = keep_baseline();
    if (rc == RC_OK) rc = reserve_all(c);
    if (rc != RC_OK) return fail("cannot take the planned memory (see `larder plan`)", rc);
    register_metrics();
    rc = watch_signals(&signals);
    if (rc == RC_OK) rc = log_start();
    if (rc != RC_OK) return fail("cannot start", rc);
    plan_measure();
    plan_seal();
    heap_trap_arm(getenv("LARDER_HEAP_TRAP_ABORT") != NULL);
    return start_serving(first);
}
