/* SPDX-License-Identifier: Apache-2.0 */
/* tests/fuzz/fuzz_config.c — any text, on a stack of 64 KiB: a configuration that prints and reads back, or errors that
 * say so. The first line, when it begins with "#!", is an override. */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>

#include "app/config.h"
#include "platform/check.h"
#include "platform/rc.h"
#include "platform/text.h"

enum { ARENA_SIZE = 4 << 20, PRINT_MAX = 1 << 20 };

static _Alignas(65536) unsigned char memory[ARENA_SIZE];
static char printed[PRINT_MAX], override_text[256];
static struct span input;

static const char *environment(const char *name)
{
    return name[0] == 'A' ? "value" : NULL;
}

static void load(void)
{
    static struct config_report report;
    const char *overrides[] = {override_text};
    struct config_source source = {
        .file_name = "f", .overrides = overrides, .override_count = override_text[0] != 0, .environment = environment};
    struct arena arena;
    struct config *config;
    struct text out = text_on(printed, sizeof printed);
    arena_init(&arena, memory, sizeof memory, NULL);
    int rc = config_load(&arena, input, &source, &config, &report);
    CHECK((rc == RC_OK) == (config != NULL) && (rc == RC_OK) == (report.errors == 0));
    CHECK(report.count <= CONFIG_ISSUES_MAX);
    for (unsigned i = 0; i < report.count; i++) config_issue_print(&report.issues[i], &source, &out);
    if (rc != RC_OK) return;
    out = text_on(printed, sizeof printed);
    config_print(config, &out);
    CHECK(out.size > 0);
    out = text_on(printed, sizeof printed);
    config_print_assumed(config, &out);
    config_restart_needed(config, config, &out);
}

/* One thread for all inputs: its small stack is the point, not its start. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static bool waiting;

static void *work(void *unused)
{
    (void)unused;
    CHECK(pthread_mutex_lock(&lock) == 0);
    for (;;) {
        while (!waiting) CHECK(pthread_cond_wait(&changed, &lock) == 0);
        load();
        waiting = false;
        CHECK(pthread_cond_broadcast(&changed) == 0);
    }
}

static void start(void)
{
    pthread_attr_t attributes;
    pthread_t thread;
    CHECK(yaml_reserve() == RC_OK);
    CHECK(pthread_attr_init(&attributes) == 0);
    CHECK(pthread_attr_setstacksize(&attributes, 64 * 1024) == 0);
    CHECK(pthread_create(&thread, &attributes, work, NULL) == 0);
}

static void take_override(void)
{
    override_text[0] = 0;
    if (!span_starts_with(input, SPAN("#!"))) return;
    struct span line, rest = span_cut(input, '\n', &line);
    (void)snprintf(override_text, sizeof override_text, "%.*s", (int)line.size - 2, line.data + 2);
    input = rest;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool started;
    if (!started) start();
    started = true;
    CHECK(pthread_mutex_lock(&lock) == 0);
    input = span_of((const char *)data, size);
    take_override();
    waiting = true;
    CHECK(pthread_cond_broadcast(&changed) == 0);
    while (waiting) CHECK(pthread_cond_wait(&changed, &lock) == 0);
    CHECK(pthread_mutex_unlock(&lock) == 0);
    return 0;
}
