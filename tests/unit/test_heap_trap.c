/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_heap_trap.c — a call of libc's allocator is counted and refused, or ends the program. Called by the names
 * that the linker would lead to, since the tests themselves need the allocator. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "platform/heap.h"

void *__wrap_malloc(size_t size);
void *__wrap___libc_malloc(size_t size);
void *__wrap_realloc(void *piece, size_t size);
void __wrap_free(void *piece);
int __wrap_posix_memalign(void **piece, size_t align, size_t size);

static void test_counts_and_refuses(void **state)
{
    (void)state;
    void *piece = &piece;
    heap_trap_arm(0);
    assert_int_equal(heap_trap_count(), 0);
    errno = 0;
    assert_null(__wrap_malloc(10));
    assert_int_equal(errno, ENOMEM);
    assert_int_equal(heap_trap_count(), 1);
    assert_null(__wrap_realloc(NULL, 10));
    assert_null(__wrap___libc_malloc(10));
    assert_int_equal(__wrap_posix_memalign(&piece, 16, 10), ENOMEM);
    assert_int_equal(heap_trap_count(), 4);
    __wrap_free(NULL); /* what cleanup code does after a refusal */
    assert_int_equal(heap_trap_count(), 4);
}

static void test_aborts_when_armed_so(void **state)
{
    (void)state;
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        close(STDERR_FILENO);
        heap_trap_arm(1);
        __wrap_malloc(1);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts_and_refuses),
        cmocka_unit_test(test_aborts_when_armed_so),
    };
    return cmocka_run_group_tests_name("heap_trap", tests, NULL, NULL);
}
