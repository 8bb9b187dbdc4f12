/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_config_board.c — the board's values are the defaults under a user's file, and nothing more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "app/board.h"
#include "app/config.h"
#include "app/config_table.h"
#include "platform/rc.h"

enum { ARENA_SIZE = 1 << 20, PRINT_MAX = 1 << 16 };

static _Alignas(65536) unsigned char memory[ARENA_SIZE];
static struct arena arena;
static struct config_report report;
static char said[PRINT_MAX];

static const char *environment(const char *name)
{
    return strcmp(name, "BOARD") == 0 ? "rpi5" : NULL;
}

/* `override` may be NULL. What was reported is in `said`, a line each. */
static const struct config *load(const char *text, const char *override, const char *model)
{
    const char *overrides[] = {override};
    const struct config_source source = {.file_name = "larder.yaml",
                                         .overrides = overrides,
                                         .override_count = override != NULL,
                                         .environment = environment,
                                         .model = model};
    struct config *config;
    struct text out = text_on(said, sizeof said);
    arena_init(&arena, memory, sizeof memory, NULL);
    int rc = config_load(&arena, span_text(text), &source, &config, &report);
    assert_int_equal(rc == RC_OK, config != NULL);
    for (unsigned i = 0; i < report.count; i++) {
        config_issue_print(&report.issues[i], &source, &out);
        text_put_char(&out, '\n');
    }
    return config;
}

static void assert_board(const struct config *config, const char *name, const char *why)
{
    assert_non_null(config);
    assert_string_equal(said, "");
    assert_true(span_equal(config->board_name, span_text(name)));
    assert_true(span_equal(config->board_why, span_text(why)));
}

static void test_auto_takes_the_machines_board(void **state)
{
    (void)state;
    const struct config *c = load("", NULL, "Raspberry Pi 5 Model B Rev 1.0");
    assert_board(c, "rpi5", "the model is \"Raspberry Pi 5 Model B Rev 1.0\", like \"Raspberry Pi 5*\"");
    assert_int_equal(c->limits.connections, 8192);
    assert_int_equal(c->limits.requests, 512);
    assert_true(c->limits.memory == 128 << 20);
    assert_int_equal(c->storage.entries_max, 400000);
    assert_true(c->storage.sync_us == 30000000);
    assert_true(c->limits.body == 32 << 20 && c->limits.idle_us == 120000000); /* what the board does not say */
    assert_board(load("", NULL, "Pocket\nCalculator"), "generic",
                 "the model is \"Pocket?Calculator\", which no board matches");
    assert_board(load("", NULL, NULL), "generic", "this machine does not tell its model");
    assert_board(load("board: auto\n", NULL, ""), "generic", "this machine does not tell its model");
}

static void test_a_name_beats_the_machine(void **state)
{
    (void)state;
    const struct config *c = load("board: small\n", NULL, "Raspberry Pi 5 Model B Rev 1.0");
    assert_board(c, "small", "asked for by name");
    assert_int_equal(c->limits.requests, 64);
    assert_true(c->limits.parse_max == 512 << 10);
    assert_int_equal(load("board: small\n", "board=server", NULL)->limits.requests, 1024);
    assert_board(load("board: ${BOARD}\n", NULL, NULL), "rpi5", "asked for by name");
}

static void test_generic_is_the_table(void **state)
{
    (void)state;
    struct board board;
    struct text wrong = text_on(said, sizeof said);
    arena_init(&arena, memory, sizeof memory, NULL);
    assert_int_equal(board_find(&arena, SPAN("generic"), &board, &wrong), RC_OK);
    const struct yaml_node *sections[] = {board.limits, board.storage};
    for (unsigned i = 0; i < 2; i++) {
        const struct config_key *keys = config_keys;
        while (!span_equal(span_text(keys->name), sections[i]->key)) keys++;
        for (const struct config_key *key = keys->keys; key->name; key++) {
            const struct yaml_node *node = config_child(sections[i], key->name);
            if (node) assert_true(span_equal(node->text, span_text(key->fallback)));
        }
    }
}

static void test_the_file_beats_the_board(void **state)
{
    (void)state;
    const struct config *c = load("board: rpi5\nlimits: {requests: 33, timeouts: {idle: 7s}}\nstorage:\n  hot: 2MiB\n",
                                  "storage.sync_every=1s", NULL);
    assert_board(c, "rpi5", "asked for by name");
    assert_int_equal(c->limits.requests, 33);
    assert_int_equal(c->limits.connections, 8192);
    assert_true(c->limits.idle_us == 7000000 && c->limits.header_us == 10000000);
    assert_true(c->storage.hot == 2 << 20 && c->storage.sync_us == 1000000);
    assert_int_equal(c->storage.entries_max, 400000);
    c = load("board: rpi5\nlimits:\nstorage: null\n", NULL, NULL); /* sections without members */
    assert_board(c, "rpi5", "asked for by name");
    assert_int_equal(c->limits.requests, 512);
    assert_int_equal(c->storage.entries_max, 400000);
}

static void test_the_boards_values_give_way(void **state)
{
    (void)state;
    const struct config *c = load("board: server\nlimits: {connections: 100, body: 512KiB}\n", NULL, NULL);
    assert_board(c, "server", "asked for by name");
    assert_int_equal(c->limits.requests, 100);
    assert_int_equal(c->limits.connections_per_address, 100);
    assert_true(c->limits.parse_max == 512 << 10);
    assert_null(load("board: server\nlimits: {connections: 100, requests: 101}\n", NULL, NULL));
    assert_string_equal(said, "larder.yaml:2:38: error: limits: requests is 101, more than connections, 100\n");
    c = load("board: small\nlimits: {body: 64KiB}\n", NULL, NULL); /* its own parse_max is larger */
    assert_board(c, "small", "asked for by name");
    assert_true(c->limits.parse_max == 64 << 10);
}

static void test_an_unknown_name_lists_the_known(void **state)
{
    (void)state;
    assert_null(load("board: rp5\n", NULL, NULL));
    assert_string_equal(said,
                        "larder.yaml:1:8: error: board: no board is called \"rp5\"; there are auto, generic, rpi4, "
                        "rpi5, server, small; did you mean \"rpi5\"?\n");
    assert_null(load("", "board=toaster", NULL));
    assert_string_equal(said, "larder.yaml: error: --override board: board: no board is called \"toaster\"; there are "
                              "auto, generic, rpi4, rpi5, server, small\n");
    assert_null(load("board: ''\n", NULL, NULL));
    assert_string_equal(said, "larder.yaml:1:8: error: board: no board is called \"\"; there are auto, generic, rpi4, "
                              "rpi5, server, small\n");
    assert_null(load("board: [rpi5]\n", NULL, NULL));
    assert_string_equal(said, "larder.yaml:1:8: error: board: one value is expected, not a list\n");
}

static void test_the_printed_form_tells_which(void **state)
{
    (void)state;
    static char first[PRINT_MAX], second[PRINT_MAX];
    struct text a = text_on(first, PRINT_MAX), b = text_on(second, PRINT_MAX);
    config_print(load("", NULL, "Raspberry Pi 4 Model B"), &a);
    assert_memory_equal(first,
                        "# board rpi4 (Raspberry Pi 4, 400 and Compute Module 4, on an SD card): the model is "
                        "\"Raspberry Pi 4 Model B\", like \"Raspberry Pi 4*\"\n",
                        130);
    assert_non_null(strstr(first, "\nboard: auto\n"));
    config_print(load(first, NULL, "Raspberry Pi 4 Model B"), &b);
    assert_string_equal(first, second);
    struct text c = text_on(second, PRINT_MAX);
    config_print(load(first, NULL, NULL), &c); /* on another machine only the first line differs */
    assert_string_equal(strchr(first, '\n'), strchr(second, '\n'));
}

static void test_every_board_reads_as_a_configuration(void **state)
{
    (void)state;
    const char *name;
    char override[64];
    for (unsigned i = 0; (name = board_name_at(i)) != NULL; i++) {
        (void)snprintf(override, sizeof override, "board=%s", name);
        const struct config *c = load("", override, NULL);
        assert_board(c, name, "asked for by name");
        assert_true(c->limits.requests <= c->limits.connections && c->limits.flights <= c->limits.requests);
        assert_true(c->limits.connections_per_address < c->limits.connections);
    }
}

static int reserve(void **state)
{
    (void)state;
    return yaml_reserve();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_auto_takes_the_machines_board),
        cmocka_unit_test(test_a_name_beats_the_machine),
        cmocka_unit_test(test_generic_is_the_table),
        cmocka_unit_test(test_the_file_beats_the_board),
        cmocka_unit_test(test_the_boards_values_give_way),
        cmocka_unit_test(test_an_unknown_name_lists_the_known),
        cmocka_unit_test(test_the_printed_form_tells_which),
        cmocka_unit_test(test_every_board_reads_as_a_configuration),
    };
    return cmocka_run_group_tests_name("config_board", tests, reserve, NULL);
}
