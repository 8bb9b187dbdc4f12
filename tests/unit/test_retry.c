/* SPDX-License-Identifier: Apache-2.0 */
/* Which failures are worth another try, and after which pause. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "app/gateway/retry.h"
#include "platform/rc.h"

static const struct config_provider cloud = {.retry_base_us = 500000, .retry_max_us = 8000000};
#define NOW UINT64_C(784111777000000) /* Sun, 06 Nov 1994 08:49:37 GMT */

static int64_t asks(const char *lines)
{
    static char bytes[1024];
    static struct http_head head;
    int size = snprintf(bytes, sizeof bytes, "HTTP/1.1 429 Too Many Requests\r\n%s\r\n", lines);
    assert_int_equal(http_parse_response(span_of(bytes, (size_t)size), 0, sizeof bytes, SPAN("POST"), &head), RC_OK);
    return retry_after_ms(&head, NOW);
}

static void test_statuses(void **state)
{
    (void)state;
    static const unsigned worth[] = {408, 409, 429, 500, 502, 503, 504, 529},
                          not [] = {200, 301, 400, 401, 403, 404, 413, 422};
    for (unsigned i = 0; i < 8; i++) {
        assert_true(retry_is_worth(worth[i]));
        assert_false(retry_is_worth(not [i]));
    }
}

static void test_what_the_provider_asks(void **state)
{
    (void)state;
    assert_int_equal(asks(""), -1);
    assert_int_equal(asks("Retry-After: 3\r\n"), 3000);
    assert_int_equal(asks("Retry-After: 0\r\n"), 0);
    assert_int_equal(asks("Retry-After: 2.5\r\n"), 2000);
    assert_int_equal(asks("retry-after-ms: 250\r\nRetry-After: 3\r\n"), 250); /* the finer one first */
    assert_int_equal(asks("retry-after-ms: 250.75\r\n"), 250);
    assert_int_equal(asks("retry-after-ms: soon\r\nRetry-After: 3\r\n"), 3000);
    assert_int_equal(asks("Retry-After: Sun, 06 Nov 1994 08:49:47 GMT\r\n"), 10000);
    assert_int_equal(asks("Retry-After: Sun, 06 Nov 1994 08:00:00 GMT\r\n"), 0);
    assert_int_equal(asks("Retry-After: -3\r\n"), -1);
    assert_int_equal(asks("Retry-After: whenever\r\n"), -1);
    assert_int_equal(asks("Retry-After: 99999999\r\n"), 86400000);
}

static void test_pauses(void **state)
{
    (void)state;
    assert_int_equal(retry_pause_us(&cloud, 0, -1, 0), 250000);
    assert_int_equal(retry_pause_us(&cloud, 0, -1, 512), 375000);
    assert_int_equal(retry_pause_us(&cloud, 1, -1, 0), 500000);
    assert_int_equal(retry_pause_us(&cloud, 4, -1, 0), 4000000);
    assert_int_equal(retry_pause_us(&cloud, 9, -1, 0), 4000000); /* never above retry.max */
    assert_in_range(retry_pause_us(&cloud, 60, -1, UINT32_MAX), 4000000, 8000000);
    assert_int_equal(retry_pause_us(&cloud, 0, 3000, 0), 3000000);
    assert_int_equal(retry_pause_us(&cloud, 0, 1, 0), 250000);       /* never sooner than ours */
    assert_int_equal(retry_pause_us(&cloud, 0, 60000, 0), 60000000); /* the caller does not wait for that */
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_statuses),
        cmocka_unit_test(test_what_the_provider_asks),
        cmocka_unit_test(test_pauses),
    };
    return cmocka_run_group_tests_name("retry", tests, NULL, NULL);
}
