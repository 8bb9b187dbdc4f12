/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_pool.c — bounds, order, high water, and (sanitizer builds) double put and use after put. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "platform/pool.h"

enum { COUNT = 5, SIZE = 40 };
static _Alignas(16) unsigned char memory[COUNT * 48];

static void test_stride(void **state)
{
    (void)state;
    assert_int_equal(pool_stride(0), 16);
    assert_int_equal(pool_stride(1), 16);
    assert_int_equal(pool_stride(16), 16);
    assert_int_equal(pool_stride(SIZE), 48);
}

static void test_take_and_put(void **state)
{
    (void)state;
    struct pool pool;
    void *taken[COUNT];
    pool_init(&pool, memory, SIZE, COUNT);
    for (unsigned i = 0; i < COUNT; i++) {
        taken[i] = pool_take(&pool);
        assert_non_null(taken[i]);
        assert_int_equal(pool_index(&pool, taken[i]), i);
        assert_ptr_equal(pool_at(&pool, i), taken[i]);
        for (unsigned b = 0; b < SIZE; b++) assert_int_equal(((unsigned char *)taken[i])[b], 0);
        memset(taken[i], 0xEE, SIZE);
        assert_int_equal(pool.touched, i + 1);
    }
    assert_null(pool_take(&pool));
    assert_int_equal(pool.used, COUNT);
    pool_put(&pool, taken[1]);
    pool_put(&pool, taken[3]);
    assert_int_equal(pool.used, COUNT - 2);
    assert_ptr_equal(pool_take(&pool), taken[3]); /* the last one put back is still warm */
    assert_ptr_equal(pool_take(&pool), taken[1]);
    assert_null(pool_take(&pool));
    for (unsigned i = 0; i < COUNT; i++) pool_put(&pool, taken[i]);
    assert_int_equal(pool.used, 0);
    assert_int_equal(pool.high, COUNT);
}

static struct pool victim;

static void foreign_put(void)
{
    unsigned char other[SIZE];
    pool_put(&victim, other);
}

static void double_put(void)
{
    void *object = pool_take(&victim);
    pool_put(&victim, object);
    pool_put(&victim, object);
}

static void use_after_put(void)
{
    volatile char *object = pool_take(&victim);
    pool_put(&victim, (void *)object);
    object[20] = 1;
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

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CHECKED_BY_ASAN 1
#endif
#endif
#if !defined(CHECKED_BY_ASAN)
#define CHECKED_BY_ASAN 0
#endif

static void test_wrong_put(void **state)
{
    (void)state;
    static _Alignas(16) unsigned char other[COUNT * 48];
    pool_init(&victim, other, SIZE, COUNT);
    pool_take(&victim);
    assert_true(child_fails(foreign_put));
    if (!CHECKED_BY_ASAN) skip();
    assert_true(child_fails(double_put));
    assert_true(child_fails(use_after_put));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stride),
        cmocka_unit_test(test_take_and_put),
        cmocka_unit_test(test_wrong_put),
    };
    return cmocka_run_group_tests_name("pool", tests, NULL, NULL);
}
