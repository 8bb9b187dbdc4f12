/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_check.c — a broken check says where, then aborts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "platform/check.h"

static void test_broken_check(void **state)
{
    (void)state;
    char text[512];
    int pipe_ends[2], status = 0;
    assert_int_equal(pipe(pipe_ends), 0);
    pid_t child = fork();
    if (child == 0) {
        struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        dup2(pipe_ends[1], STDERR_FILENO);
        int bread = 1;
        CHECK(bread == 1);
        CHECK(bread == 2);
        _exit(0);
    }
    close(pipe_ends[1]);
    assert_int_equal(waitpid(child, &status, 0), child);
    ssize_t size = read(pipe_ends[0], text, sizeof text - 1);
    close(pipe_ends[0]);
    assert_true(size > 0);
    text[size] = '\0';
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
    assert_non_null(strstr(text, "larder: check failed: bread == 2 at tests/unit/test_check.c:"));
    /* One line; an emulator may add its own. */
    const char *number = strstr(text, "test_check.c:") + sizeof "test_check.c:" - 1;
    assert_int_equal(number[strspn(number, "0123456789")], '\n');
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_broken_check)};
    return cmocka_run_group_tests_name("check", tests, NULL, NULL);
}
