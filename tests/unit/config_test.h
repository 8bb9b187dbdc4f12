/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/config_test.h — a configuration text in; a configuration or the exact words of its faults out. */
#ifndef TESTS_UNIT_CONFIG_TEST_H
#define TESTS_UNIT_CONFIG_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "app/config.h"
#include "platform/rc.h"

enum { ARENA_SIZE = 1 << 20, PRINT_MAX = 1 << 16 };

static _Alignas(65536) unsigned char memory[2][ARENA_SIZE];
static struct arena arenas[2];
static struct config_report report;
static char printed[2][PRINT_MAX];
static const char *const *overrides;
static unsigned override_count;

static inline const char *environment(const char *name)
{
    static const char *const names[][2] = {
        {"OPENAI_API_KEY", "sk-from-environment"}, {"EMPTY", ""}, {"WHILE", "3m"}, {"BAD", "two\nlines"}, {"N_1", "7"}};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(names[i][0], name) == 0) return names[i][1];
    return NULL;
}

static inline struct config_source source_of(bool file)
{
    return (struct config_source){.file_name = file ? "larder.yaml" : NULL,
                                  .overrides = overrides,
                                  .override_count = override_count,
                                  .environment = environment};
}

static inline int load(unsigned which, const char *text, struct config **config)
{
    struct config_source source = source_of(text[0] != 0);
    arena_reset(&arenas[which], ARENA_SIZE);
    return config_load(&arenas[which], span_text(text), &source, config, &report);
}

static inline void print_report(void)
{
    struct config_source source = source_of(true);
    struct text out = text_on(printed[1], PRINT_MAX);
    for (unsigned i = 0; i < report.count; i++) {
        config_issue_print(&report.issues[i], &source, &out);
        text_put_char(&out, '\n');
    }
}

static inline const struct config *load_ok(const char *text)
{
    struct config *config;
    int rc = load(0, text, &config);
    print_report();
    if (rc != RC_OK) print_error("%s", printed[1]);
    assert_int_equal(rc, RC_OK);
    assert_non_null(config);
    return config;
}

/* `said`: every issue, a line each. */
static inline void load_says(const char *text, int rc, const char *said)
{
    struct config *config;
    assert_int_equal(load(0, text, &config), rc);
    assert_int_equal(config != NULL, rc == RC_OK);
    print_report();
    assert_string_equal(printed[1], said);
}

static inline void assert_span(struct span s, const char *want)
{
    assert_int_equal(s.size, strlen(want));
    assert_memory_equal(s.data, want, s.size);
    assert_int_equal(s.data[s.size], 0);
}

#endif
