/* SPDX-License-Identifier: Apache-2.0 */
/* app/boot_config.c — the configuration file: read at boot, checked, read again at SIGHUP. */
#include "app/boot_private.h"

#include <stdio.h>
#include <stdlib.h>

#include "app/board.h"
#include "cache/hamming.h"
#include "cache/rescore.h"
#include "cache/rotate.h"
#include "platform/clock.h"
#include "platform/cpu.h"
#include "platform/heap.h"
#include "platform/log.h"
#include "platform/plan.h"
#include "platform/start.h"
#include "version.h"

static char config_text[CONFIG_TEXT_MAX];
static size_t config_size;

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
                                   .environment = environment,
                                   .model = boot.model};
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
int boot_keep_baseline(void)
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

/* ---- before anything else */

static void choose_variants(void)
{
    const struct cpu_features *features = cpu_features();
    hash_select(features);
    hamming_select(features);
    rescore_select(features);
    rotate_select(features);
}

static int begin(const struct boot_options *options)
{
    int rc = start_process();
    boot.options = options;
    boot.started_us = clock_monotonic_us();
    choose_config_path(options);
    (void)identity_model(boot.model, sizeof boot.model);
    cpu_detect();
    choose_variants();
    clock_floor_set((uint64_t)BUILD_EPOCH * CLOCK_SECOND);
    if (rc == RC_OK) rc = heap_reserve(HEAP_YAML, YAML_HEAP, NULL);
    return rc == RC_OK ? gateway_reserve_configurations() : rc;
}

int boot_begin(const struct boot_options *options, struct generation **next)
{
    static char said[SAID_MAX];
    struct text out = text_on(said, sizeof said);
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
    static char printed[64 << 10];
    struct generation *next;
    struct text out = text_on(printed, sizeof printed);
    int code = boot_begin(options, &next);
    if (code != 0) return code;
    config_print(next->config, &out);
    return fputs(printed, stdout) < 0;
}

int boot_reference(void)
{
    static char printed[64 << 10];
    struct text out = text_on(printed, sizeof printed);
    if (begin(&(struct boot_options){0}) != RC_OK) return 1;
    config_print_reference(&out);
    text_put_char(&out, '\n');
    int rc = board_print_reference(&gateway_next_generation()->arena, &out);
    return fputs(printed, stdout) < 0 || out.truncated || rc != RC_OK;
}

int boot_control_path(const struct boot_options *options, char *path, size_t size)
{
    struct generation *next;
    int code = boot_begin(options, &next);
    if (code == 0) snprintf(path, size, "%.*s", SPAN_ARG(next->config->listen.control));
    return code;
}

/* ---- reload */

static void lower(unsigned *value, unsigned most)
{
    if (*value > most) *value = most;
}

/* The limits of the API port as a reload may set them: never more than the boot reserved. */
static void take_limits(const struct config *next)
{
    const struct server_limits most = boot_api_limits(boot.baseline);
    struct server_limits limits = boot_api_limits(next);
    lower(&limits.connections, most.connections);
    lower(&limits.exchanges, most.exchanges);
    lower(&limits.head_readers, most.head_readers);
    lower(&limits.tls_connections, most.tls_connections);
    if (limits.header > most.header) limits.header = most.header;
    limits.arena_reserve = most.arena_reserve; /* address space: stays, whatever parse_max is now */
    server_limits_set(&boot.api, &limits);
    size_t memory = boot.baseline->limits.memory;
    boot.requests_budget.limit = next->limits.memory < memory ? next->limits.memory : memory;
}

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
    take_limits(next->config);
    log_info("config", "reloaded %s", boot.config_path[0] ? boot.config_path : "the built-in default");
    text_put_text(out, "reloaded\n");
    if (restart.size) text_format(out, "these changes wait for a restart: %s\n", names);
    return RC_OK;
}

void boot_reload_fiber(void *arg)
{
    static char said[4096];
    (void)arg;
    struct text out = text_on(said, sizeof said);
    (void)boot_reload(&out);
}
