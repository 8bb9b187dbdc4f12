/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_rc.c — every value has its own name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "platform/rc.h"

static void test_names(void **state)
{
    (void)state;
    assert_string_equal(rc_name(RC_OK), "ok");
    assert_string_equal(rc_name(RC_NOT_FOUND), "not_found");
    assert_string_equal(rc_name(RC_EXISTS), "exists");
    assert_string_equal(rc_name(1), "unknown");
    assert_string_equal(rc_name(RC_EXISTS - 1), "unknown");
    assert_string_equal(rc_name(-2147483647 - 1), "unknown");
    for (int a = RC_EXISTS; a <= RC_OK; a++) {
        for (int b = a + 1; b <= RC_OK; b++) assert_string_not_equal(rc_name(a), rc_name(b));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_names)};
    return cmocka_run_group_tests_name("rc", tests, NULL, NULL);
}
