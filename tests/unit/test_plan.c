/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_plan.c — what a term says is what the kernel maps. */
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

#include "platform/log.h"
#include "platform/plan.h"
#include "platform/rc.h"

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define THREAD_SANITIZER 1
#endif
#endif
#if !defined(THREAD_SANITIZER)
#define THREAD_SANITIZER 0
#endif

static size_t page;

static int setup(void **state)
{
    (void)state;
    page = (size_t)sysconf(_SC_PAGESIZE);
    return 0;
}

static size_t resident_pages(void *base, size_t pages)
{
    unsigned char map[64];
    size_t count = 0;
    assert_in_range(pages, 1, sizeof map);
    assert_int_equal(mincore(base, pages * page, map), 0);
    for (size_t i = 0; i < pages; i++) count += map[i] & 1;
    return count;
}

static void test_terms(void **state)
{
    (void)state;
    void *touched, *lazy, *small;
    assert_int_equal(plan_take("a touched", 10, page - 1, PLAN_TOUCHED, 0, "limits.a", &touched), RC_OK);
    assert_int_equal(plan_take("b lazy", 32, page, PLAN_LAZY, 5 * page, "limits.b", &lazy), RC_OK);
    assert_int_equal(plan_take("c none", 0, page, PLAN_LAZY, 0, NULL, &small), RC_OK);
    plan_note("d stacks", 2, 8 * page, page, 16 * page);
    assert_int_equal(plan_count(), 4);
    assert_int_equal(plan_at(0)->reserved, 10 * page);
    assert_int_equal(plan_at(0)->committed, 10 * page);
    assert_int_equal(plan_at(0)->ceiling, 10 * page);
    assert_string_equal(plan_at(0)->lower, "limits.a");
    assert_int_equal(plan_at(1)->reserved, 32 * page);
    assert_int_equal(plan_at(1)->committed, 0);
    assert_int_equal(plan_at(1)->ceiling, 5 * page);
    assert_int_equal(plan_at(2)->reserved, page);
    assert_int_equal(plan_at(3)->count, 2);
    assert_int_equal(resident_pages(touched, 10), 10);
    assert_int_equal(resident_pages(lazy, 32), 0);
    plan_touched("b lazy", page + 1);
    assert_int_equal(plan_at(1)->committed, 2 * page);
    struct plan_term total = plan_total();
    assert_int_equal(total.committed, (10 + 2 + 1) * page);
    assert_int_equal(total.reserved, (10 + 32 + 1 + 16) * page);
    assert_int_equal(total.ceiling, (10 + 5 + 1 + 16) * page);
}

static void test_private_memory_is_measured(void **state)
{
    (void)state;
    void *region;
    enum { BYTES = 8 << 20 };
    assert_int_equal(plan_take("e measured", 1, BYTES, PLAN_LAZY, 0, NULL, &region), RC_OK);
    size_t before = plan_private_now();
    assert_true(before > 0);
    memset(region, 1, BYTES);
    size_t after = plan_private_now();
    assert_true(after >= before + BYTES - (1 << 20));
    if (!THREAD_SANITIZER) /* its shadow is private memory too */
        assert_true(after <= before + BYTES + (4 << 20));
    madvise(region, BYTES, MADV_DONTNEED);
    assert_true(plan_private_now() < after - BYTES / 2);
}

static void test_too_much_is_refused_by_name(void **state)
{
    (void)state;
    void *region;
    size_t count = plan_count();
    char text[2048];
    struct text tail = text_on(text, sizeof text);
    assert_int_equal(plan_take("f huge", (size_t)1 << 20, (size_t)1 << 30, PLAN_LAZY, 0, "limits.huge", &region),
                     RC_FULL);
    assert_int_equal(plan_count(), count);
    log_tail(&tail, 1);
    assert_non_null(strstr(text, "f huge"));
    assert_non_null(strstr(text, "lower limits.huge"));
}

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

static void take_after_seal(void)
{
    void *region;
    plan_seal();
    plan_take("g late", 1, 1, PLAN_LAZY, 0, NULL, &region);
}

static void note_too_many(void)
{
    for (unsigned i = 0; i <= PLAN_TERMS_MAX; i++) plan_note("h", 1, 1, 0, 0);
}

static void test_our_faults(void **state)
{
    (void)state;
    assert_true(child_fails(take_after_seal));
    assert_true(child_fails(note_too_many));
    assert_true(child_fails(plan_dry_run)); /* too late */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_terms),
        cmocka_unit_test(test_private_memory_is_measured),
        cmocka_unit_test(test_too_much_is_refused_by_name),
        cmocka_unit_test(test_our_faults),
    };
    return cmocka_run_group_tests_name("plan", tests, setup, NULL);
}
