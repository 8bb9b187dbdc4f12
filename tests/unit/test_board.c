/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_board.c — the embedded boards: each reads, is recognised, fits its RAM; what a board may not say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "app/board.h"
#include "app/boot.h"
#include "platform/plan.h"
#include "platform/rc.h"

enum { ARENA_SIZE = 1 << 20 };

static _Alignas(65536) unsigned char memory[ARENA_SIZE];
static struct arena arena;
static char said[4096];
static struct text wrong;

/* Not at the start of the group: a planned process takes libyaml's region itself. */
static void ready_to_read(void)
{
    static bool reserved;
    if (!reserved) assert_int_equal(yaml_reserve(), RC_OK);
    reserved = true;
    arena_init(&arena, memory, sizeof memory, NULL);
    wrong = text_on(said, sizeof said);
}

/* In a process of its own: the whole boot of such a board, up to its seal. */
static int plan_fits(const char *name)
{
    char override[64];
    const char *overrides[] = {override};
    struct board board;
    (void)snprintf(override, sizeof override, "board=%s", name);
    if (!freopen("/dev/null", "w", stdout)) return 1;
    const struct boot_options options = {
        .config_path = "/dev/null", .overrides = overrides, .override_count = 1, .named_board = true};
    if (boot_plan(&options) != 0) return 2;
    arena_init(&arena, memory, sizeof memory, NULL);
    wrong = text_on(said, sizeof said);
    if (board_find(&arena, span_text(name), &board, &wrong) != RC_OK) return 3;
    /* The other half is the system's, and the page cache under the store. */
    return plan_total().ceiling <= board.ram / 2 ? 0 : 4;
}

static void test_each_board_fits_half_of_its_ram(void **state)
{
    (void)state;
    const char *name;
    unsigned count = 0;
    for (; (name = board_name_at(count)) != NULL; count++) {
        int status = -1;
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) _exit(plan_fits(name));
        assert_int_equal(waitpid(child, &status, 0), child);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) print_error("board %s: status %d\n", name, status);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
    }
    assert_int_equal(count, 5);
}

static void test_each_board_reads(void **state)
{
    (void)state;
    static const char *const names[] = {"generic", "rpi4", "rpi5", "server", "small"};
    struct board board;
    ready_to_read();
    for (unsigned i = 0; i < 5; i++) {
        assert_string_equal(board_name_at(i), names[i]);
        assert_int_equal(board_find(&arena, span_text(names[i]), &board, &wrong), RC_OK);
        assert_true(span_equal(board.name, span_text(names[i])));
        assert_true(board.about.size > 0 && board.about.size < 80);
        assert_true(board.ram >= 256 << 20);
        assert_int_equal(board.match_count > 0, strcmp(names[i], "generic") != 0);
        assert_true(board.limits && board.storage);
        assert_int_equal(wrong.size, 0);
    }
    assert_null(board_name_at(5));
    assert_null(board_name_at(6));
    assert_int_equal(board_find(&arena, SPAN("rpi"), &board, &wrong), RC_NOT_FOUND);
    assert_int_equal(board_find(&arena, SPAN(""), &board, &wrong), RC_NOT_FOUND);
}

static void test_the_model_chooses(void **state)
{
    (void)state;
    static const char *const chosen[][3] = {
        {"Raspberry Pi 4 Model B Rev 1.5", "rpi4", "Raspberry Pi 4*"},
        {"Raspberry Pi 400 Rev 1.0", "rpi4", "Raspberry Pi 4*"},
        {"Raspberry Pi Compute Module 4 Rev 1.1", "rpi4", "Raspberry Pi Compute Module 4*"},
        {"Raspberry Pi 5 Model B Rev 1.0", "rpi5", "Raspberry Pi 5*"},
        {"Raspberry Pi Zero 2 W Rev 1.0", "small", "Raspberry Pi Zero 2*"},
        {"PowerEdge R760", "server", "PowerEdge*"},
        {"Raspberry Pi 3 Model B Plus Rev 1.3", "generic", ""},
        {"An old Raspberry Pi 4", "generic", ""},
        {"Standard PC (Q35 + ICH9, 2009)", "generic", ""},
        {"", "generic", ""},
    };
    struct board board;
    ready_to_read();
    for (unsigned i = 0; i < sizeof chosen / sizeof chosen[0]; i++) {
        assert_int_equal(board_choose(&arena, span_text(chosen[i][0]), &board, &wrong), RC_OK);
        assert_true(span_equal(board.name, span_text(chosen[i][1])));
        assert_true(span_equal(board.matched, span_text(chosen[i][2])));
    }
    assert_true(arena_mark(&arena) < ARENA_SIZE / 2); /* what was read in vain is given back */
}

static void test_a_board_says_nothing_else(void **state)
{
    (void)state;
    static const char *const refused[][2] = {
        {"about: x\nram: 1GiB\ndata: /srv\n",
         "board/b.yaml:3:1: data: a board says about, ram, match, limits and storage, nothing else"},
        {"about: x\nram: 1GiB\nlimits: {requests: 9, reqests: 9}\n",
         "board/b.yaml:3:23: reqests: no key of the configuration"},
        {"about: x\nram: 1GiB\nstorage: {seal: true}\n",
         "board/b.yaml:3:11: seal: a board only chooses counts, sizes and durations"},
        {"about: x\nram: 1GiB\nstorage:\n  eviction: lru\n",
         "board/b.yaml:4:3: eviction: a board only chooses counts, sizes and durations"},
        {"about: x\nram: 1GiB\nlimits: {timeouts: {idle: 5s, soon: 1s}}\n",
         "board/b.yaml:3:31: soon: no key of the configuration"},
        {"about: x\nram: 1GiB\nlimits: {timeouts: 5s}\n", "board/b.yaml:3:10: timeouts: keys with values are expected"},
        {"about: x\nram: 1GiB\nlimits: {requests: [1]}\n", "board/b.yaml:3:10: requests: one value is expected"},
        {"about: x\nram: 1GiB\nlimits: 5\n", "board/b.yaml:3:1: limits: keys with values are expected"},
        {"about: x\nram: lots\n", "board/b.yaml:2:1: ram: a size is expected, like 1GiB"},
        {"about: x\nram: 1GiB\nmatch: Pi*\n", "board/b.yaml:3:1: match: a list of globs is expected"},
        {"about: x\nram: 1GiB\nmatch: [a, \"\"]\n", "board/b.yaml:3:12: a glob is expected"},
        {"about: x\nram: 1GiB\nmatch: [1, 2, 3, 4, 5, 6, 7, 8, 9]\n", "board/b.yaml:3:33: too many globs"},
        {"about: x\n", "board/b.yaml:1:1: about and ram are needed"},
        {"ram: 1GiB\n", "board/b.yaml:1:1: about and ram are needed"},
        {"", "board/b.yaml:1:1: keys with values are expected"},
        {"- x\n", "board/b.yaml:1:1: keys with values are expected"},
    };
    struct board board;
    for (unsigned i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        ready_to_read();
        assert_int_equal(board_read(&arena, SPAN("b"), span_text(refused[i][0]), &board, &wrong), RC_INVALID);
        assert_string_equal(said, refused[i][1]);
    }
    ready_to_read();
    assert_int_equal(board_read(&arena, SPAN("b"), SPAN("about: {\n"), &board, &wrong), RC_INVALID);
    assert_memory_equal(said, "board/b.yaml:2:1: ", 18);
    ready_to_read();
    assert_int_equal(board_read(&arena, SPAN("b"), SPAN("about: x\nram: 1GiB\n"), &board, &wrong), RC_OK);
    assert_true(board.ram == UINT64_C(1) << 30 && !board.limits && !board.storage);
}

static void test_the_reference_has_every_board(void **state)
{
    (void)state;
    const char *name;
    char row[64];
    ready_to_read();
    assert_int_equal(board_print_reference(&arena, &wrong), RC_OK);
    for (unsigned i = 0; (name = board_name_at(i)) != NULL; i++) {
        (void)snprintf(row, sizeof row, "| `%s` | ", name);
        assert_non_null(strstr(said, row));
    }
    assert_non_null(strstr(said, "| key | generic | rpi4 | rpi5 | server | small |\n"));
    assert_non_null(strstr(said, "| `limits.requests` | 256 | 384 | 512 | 1024 | 64 |\n"));
    assert_non_null(strstr(said, "| `limits.parse_max` | 1MiB | 1MiB | 1MiB | 1MiB | 512KiB |\n"));
    assert_non_null(strstr(said, "| `storage.sync_every` | 5s | 30s | 30s | 5s | 30s |\n"));
    assert_false(wrong.truncated);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_board_fits_half_of_its_ram),
        cmocka_unit_test(test_each_board_reads),
        cmocka_unit_test(test_the_model_chooses),
        cmocka_unit_test(test_a_board_says_nothing_else),
        cmocka_unit_test(test_the_reference_has_every_board),
    };
    return cmocka_run_group_tests_name("board", tests, NULL, NULL);
}
