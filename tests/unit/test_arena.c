/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_arena.c — alignment, growth, budget, marks, and (sanitizer builds) an overflow that is caught. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "platform/arena.h"
#include "platform/plan.h"
#include "platform/rc.h"

enum { PAGES = 16 };
static size_t page;
static unsigned char *range;

static int setup(void **state)
{
    void *region;
    (void)state;
    page = (size_t)sysconf(_SC_PAGESIZE);
    assert_int_equal(plan_take("test arena", PAGES, page, PLAN_LAZY, 0, NULL, &region), RC_OK);
    range = region;
    return 0;
}

static size_t resident_pages(void)
{
    unsigned char map[PAGES];
    size_t count = 0;
    assert_int_equal(mincore(range, PAGES * page, map), 0);
    for (size_t i = 0; i < PAGES; i++) count += map[i] & 1;
    return count;
}

static void test_pieces_are_aligned_and_apart(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, range, PAGES * page, NULL);
    unsigned char *last = NULL;
    size_t last_size = 0;
    for (size_t align = 1; align <= 64; align *= 2) {
        for (size_t size = 0; size < 70; size += 7) {
            unsigned char *piece = arena_take(&a, size, align);
            assert_non_null(piece);
            assert_int_equal((uintptr_t)piece % align, 0);
            assert_true(piece >= range);
            if (last) assert_true(piece >= last + last_size);
            memset(piece, 0xAA, size);
            last = piece;
            last_size = size;
        }
    }
    assert_int_equal(a.used, (size_t)(last + last_size - range));
    assert_int_equal(a.high, a.used);
    arena_reset(&a, 0);
    assert_int_equal(a.used, 0);
    assert_int_equal(a.committed, 0);
}

static void test_zeroed_after_reuse(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, range, PAGES * page, NULL);
    memset(arena_take(&a, 100, 16), 0xFF, 100);
    arena_reset(&a, page);
    unsigned char *piece = arena_take_zeroed(&a, 100, 16);
    for (unsigned i = 0; i < 100; i++) assert_int_equal(piece[i], 0);
    arena_reset(&a, 0);
}

static void test_range_ends(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, range, PAGES * page, NULL);
    assert_null(arena_take(&a, PAGES * page + 1, 1));
    assert_null(arena_take(&a, SIZE_MAX, 16));
    assert_int_equal(a.used, 0);
    assert_non_null(arena_take(&a, PAGES * page, 1));
    assert_null(arena_take(&a, 1, 1));
    assert_int_equal(a.used, PAGES * page);
    arena_reset(&a, 0);
}

static void test_budget_counts_whole_pages(void **state)
{
    (void)state;
    struct arena_budget budget = {.limit = 4 * page};
    struct arena a, b;
    arena_init(&a, range, 8 * page, &budget);
    arena_init(&b, range + 8 * page, 8 * page, &budget);
    assert_non_null(arena_take(&a, 1, 1));
    assert_int_equal(budget.used, page);
    assert_non_null(arena_take(&a, 2 * page, 1));
    assert_int_equal(budget.used, 3 * page);
    assert_null(arena_take(&b, page + 1, 1));
    assert_int_equal(budget.used, 3 * page); /* the refusal changed nothing */
    assert_int_equal(b.used, 0);
    assert_non_null(arena_take(&b, page, 1));
    assert_int_equal(budget.used, 4 * page);
    assert_int_equal(budget.high, 4 * page);
    arena_reset(&a, page);
    assert_int_equal(a.committed, page);
    assert_int_equal(budget.used, 2 * page);
    arena_reset(&a, 0);
    arena_reset(&b, 0);
    assert_int_equal(budget.used, 0);
    assert_int_equal(budget.high, 4 * page);
}

static void test_reset_gives_pages_back(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, range, PAGES * page, NULL);
    size_t before = resident_pages();
    memset(arena_take(&a, PAGES * page, 1), 1, PAGES * page);
    assert_int_equal(resident_pages(), PAGES);
    arena_reset(&a, 2 * page);
    assert_int_equal(resident_pages(), 2);
    arena_reset(&a, 0);
    assert_int_equal(resident_pages(), 0);
    assert_true(before <= PAGES);
}

static void test_mark_and_rewind(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, range, PAGES * page, NULL);
    arena_take(&a, 10, 1);
    size_t mark = arena_mark(&a);
    void *first = arena_take(&a, 100, 16);
    arena_rewind(&a, mark);
    assert_int_equal(a.used, mark);
    assert_ptr_equal(arena_take(&a, 100, 16), first);
    arena_reset(&a, 0);
}

static void test_extend_the_newest(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, range, PAGES * page, NULL);
    char *piece = arena_take(&a, 10, 1);
    size_t start = (size_t)((unsigned char *)piece - range);
    memset(piece, 'a', 10);
    assert_int_equal(arena_extend(&a, piece, 10, 3 * page), RC_OK);
    memset(piece + 10, 'b', 3 * page - 10);
    assert_int_equal(a.used, start + 3 * page);
    assert_int_equal(arena_extend(&a, piece, 3 * page, PAGES * page + 1), RC_FULL);
    assert_int_equal(a.used, start + 3 * page);
    assert_int_equal(arena_extend(&a, piece, 3 * page, 5), RC_OK);
    assert_int_equal(a.used, start + 5);
    assert_memory_equal(piece, "aaaaa", 5);
    arena_reset(&a, 0);
}

static void test_copy_is_terminated(void **state)
{
    (void)state;
    struct arena_budget none = {.limit = 0};
    struct arena a;
    arena_init(&a, range, PAGES * page, NULL);
    struct span copy = arena_copy(&a, SPAN("bread"));
    assert_int_equal(copy.size, 5);
    assert_string_equal(copy.data, "bread");
    struct span empty = arena_copy(&a, span_of(NULL, 0));
    assert_non_null(empty.data);
    assert_int_equal(empty.data[0], 0);
    arena_reset(&a, 0);
    arena_init(&a, range, PAGES * page, &none);
    assert_null(arena_copy(&a, SPAN("bread")).data);
    arena_reset(&a, 0);
}

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CHECKED_BY_ASAN 1
#endif
#endif
#if !defined(CHECKED_BY_ASAN)
#define CHECKED_BY_ASAN 0
#endif

static bool child_fails(void (*run)(void))
{
    pid_t child = fork();
    if (child == 0) {
        struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        close(STDERR_FILENO);
        run();
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return !(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void write_past_the_end(void)
{
    struct arena a;
    arena_init(&a, range, PAGES * page, NULL);
    volatile char *piece = arena_take(&a, 13, 1);
    arena_take(&a, 16, 16);
    piece[13] = 1;
}

static void write_after_rewind(void)
{
    struct arena a;
    arena_init(&a, range, PAGES * page, NULL);
    size_t mark = arena_mark(&a);
    volatile char *piece = arena_take(&a, 13, 1);
    arena_rewind(&a, mark);
    piece[0] = 1;
}

static void test_sanitizer_twin_catches_an_overflow(void **state)
{
    (void)state;
    if (!CHECKED_BY_ASAN) skip();
    assert_true(child_fails(write_past_the_end));
    assert_true(child_fails(write_after_rewind));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces_are_aligned_and_apart),
        cmocka_unit_test(test_zeroed_after_reuse),
        cmocka_unit_test(test_range_ends),
        cmocka_unit_test(test_budget_counts_whole_pages),
        cmocka_unit_test(test_reset_gives_pages_back),
        cmocka_unit_test(test_mark_and_rewind),
        cmocka_unit_test(test_extend_the_newest),
        cmocka_unit_test(test_copy_is_terminated),
        cmocka_unit_test(test_sanitizer_twin_catches_an_overflow),
    };
    return cmocka_run_group_tests_name("arena", tests, setup, NULL);
}
