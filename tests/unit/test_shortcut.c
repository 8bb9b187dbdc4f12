/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_shortcut.c — what makes two requests the same bytes, and which of two slots goes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "app/gateway/shortcut.h"
#include "platform/cpu.h"
#include "platform/rc.h"

static struct exchange exchange;
static struct request request;
static char bytes[4096];

static struct hash128 hash(const char *target, const char *lines, const char *credential, bool anonymous,
                           const char *body)
{
    memset(&exchange, 0, sizeof exchange);
    memset(&request, 0, sizeof request);
    int size = snprintf(bytes, sizeof bytes, "POST %s HTTP/1.1\r\nHost: a\r\n%s\r\n", target, lines);
    assert_int_equal(http_parse_request(span_of(bytes, (size_t)size), 0, sizeof bytes, &exchange.head), RC_OK);
    request.x = &exchange;
    request.credential = span_text(credential);
    request.anonymous_allowed = anonymous;
    request.body = span_text(body);
    return shortcut_hash(&request);
}

static bool same(struct hash128 a, struct hash128 b)
{
    return a.low == b.low && a.high == b.high;
}

static void test_what_counts(void **state)
{
    struct hash128 base = hash("/v1/x", "User-Agent: one\r\n", "k", true, "body");
    (void)state;
    assert_true(same(base, hash("/v1/x", "user-agent: two\r\nx-stainless-os: Linux\r\n", "k", true, "body")));
    assert_false(same(base, hash("/v1/y", "", "k", true, "body")));
    assert_false(same(base, hash("/v1/x?beta=true", "", "k", true, "body")));
    assert_false(same(base, hash("/v1/x", "", "K", true, "body")));
    assert_false(same(base, hash("/v1/x", "", "k", false, "body")));
    assert_false(same(base, hash("/v1/x", "", "k", true, "body ")));
    assert_false(same(base, hash("/v1/x", "", "kb", true, "ody"))); /* borders count */
    static const char *const fields[] = {"openai-organization", "openai-project",    "openai-beta",
                                         "anthropic-beta",      "anthropic-version", "x-larder-namespace"};
    struct hash128 seen[6];
    for (unsigned i = 0; i < 6; i++) {
        char line[80];
        snprintf(line, sizeof line, "%s: v\r\n", fields[i]);
        seen[i] = hash("/v1/x", line, "k", true, "body");
        assert_false(same(base, seen[i]));
        for (unsigned k = 0; k < i; k++) assert_false(same(seen[k], seen[i]));
        snprintf(line, sizeof line, "%s: w\r\n", fields[i]);
        assert_false(same(seen[i], hash("/v1/x", line, "k", true, "body")));
    }
}

static void test_slots(void **state)
{
    struct tenant tenant = {.id = {1, 2, 3, 4, 5, 6, 7, 8, 9}};
    struct hash128 a = {.low = 5, .high = 1}, b = {.low = 5, .high = 2}, c = {.low = 5, .high = 3};
    (void)state;
    assert_null(shortcut_find(a));
    shortcut_put(a, 11, 1, 100, DIALECT_OPENAI, &tenant);
    shortcut_put(b, 12, 2, UINT64_MAX, DIALECT_ANTHROPIC, &tenant);
    const struct shortcut *s = shortcut_find(b);
    assert_int_equal(s->entry, 12);
    assert_int_equal(s->variant, 2);
    assert_int_equal(s->expires_s, UINT32_MAX);
    assert_memory_equal(&s->tenant, tenant.id, 8);
    assert_int_equal(shortcut_find(a)->entry, 11); /* now b is the older one */
    shortcut_put(c, 13, 0, 100, DIALECT_OPENAI, &tenant);
    assert_null(shortcut_find(b));
    assert_int_equal(shortcut_find(a)->entry, 11);
    shortcut_put(a, 14, 0, 100, DIALECT_OPENAI, &tenant); /* the same key in its own slot */
    assert_int_equal(shortcut_find(a)->entry, 14);
    assert_int_equal(shortcut_find(c)->entry, 13);
    gateway.epoch++;
    assert_null(shortcut_find(a));
    assert_null(shortcut_find(c));
    shortcut_put(b, 15, 0, 100, DIALECT_OPENAI, &tenant);
    assert_int_equal(shortcut_find(b)->entry, 15);
    assert_null(shortcut_find(a));
}

static int start(void **state)
{
    (void)state;
    cpu_detect();
    hash_select(cpu_features());
    gateway.epoch = 1;
    return shortcut_reserve();
}

int main(void)
{
    static const struct CMUnitTest tests[] = {cmocka_unit_test(test_what_counts), cmocka_unit_test(test_slots)};
    return cmocka_run_group_tests_name("shortcut", tests, start, NULL);
}
