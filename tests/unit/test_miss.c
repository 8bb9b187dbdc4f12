/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_miss.c — one reason per miss, and the ring's turning. */
#include "tests/support/dialect_test.h"

#include "cache/miss.h"

static enum miss_reason reason;
static enum request_part part;

static int reserve(void **state)
{
    (void)state;
    return miss_reserve();
}

#undef TEST
#define TEST(name) cmocka_unit_test_setup(name, reserve)

/* A request as seven small numbers. */
static struct request_parts request(uint64_t route, uint64_t model, uint64_t system, uint64_t tools,
                                    uint64_t parameters, uint64_t history, uint64_t query)
{
    return (struct request_parts){{route, model, system, tools, parameters, history, query}};
}

static void assert_reason(struct request_parts parts, const char *want)
{
    miss_explain(&parts, &reason, &part);
    assert_string_equal(miss_text(reason, part), want);
    if (reason != MISS_DIFFERS) assert_int_equal(part, PARTS);
}

static void test_one_differing_part_is_named(void **state)
{
    (void)state;
    struct request_parts base = request(1, 2, 3, 4, 5, 6, 7);
    assert_reason(base, "never_seen");
    miss_remember(&base);
    static const char *const want[PARTS] = {"differs:route",      "differs:model",   "differs:system", "differs:tools",
                                            "differs:parameters", "differs:history", "differs:query"};
    for (unsigned i = 0; i < PARTS; i++) {
        struct request_parts other = base;
        other.digest[i] = 99;
        assert_reason(other, want[i]);
        other.digest[(i + 3) % PARTS] = 98;
        assert_reason(other, "never_seen");
    }
}

static void test_the_newest_of_several_decides(void **state)
{
    (void)state;
    struct request_parts query = request(1, 2, 3, 4, 5, 6, 70), model = request(1, 20, 3, 4, 5, 6, 7);
    struct request_parts asked = request(1, 2, 3, 4, 5, 6, 7);
    miss_remember(&query);
    assert_reason(asked, "differs:query");
    miss_remember(&model);
    assert_reason(asked, "differs:model");
    miss_remember(&query); /* again: it is the newest now */
    assert_reason(asked, "differs:query");
}

static void test_the_same_request_tells_its_end(void **state)
{
    (void)state;
    struct request_parts a = request(1, 2, 3, 4, 5, 6, 7), b = request(1, 2, 3, 4, 5, 6, 8);
    miss_settle(&a, true); /* unknown: nothing happens */
    miss_remember(&a);
    miss_remember(&b);
    assert_reason(a, "never_seen");
    miss_settle(&a, false);
    assert_reason(a, "not_storable");
    assert_reason(b, "never_seen");
    miss_settle(&a, true);
    assert_reason(a, "evicted");
    miss_remember(&a);
    assert_reason(a, "never_seen");
}

/* Four thousand requests that differ in the query only share one key; the oldest ones leave one by one. */
static void test_the_ring_forgets_the_oldest(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < MISS_RECENT + 100; i++) {
        struct request_parts r = request(1, 2, 3, 4, 5, 6, 1000 + i);
        miss_remember(&r);
        miss_settle(&r, false);
    }
    for (uint64_t i = 0; i < MISS_RECENT + 100; i++)
        assert_reason(request(1, 2, 3, 4, 5, 6, 1000 + i), i < 100 ? "differs:query" : "not_storable");
    assert_reason(request(1, 2, 3, 4, 50, 6, 1000), "never_seen");
    assert_reason(request(1, 2, 3, 4, 50, 6, 1000 + MISS_RECENT), "differs:parameters");
    /* others push all of them out */
    for (uint64_t i = 0; i < MISS_RECENT; i++) {
        struct request_parts r = request(i, i, i, i, i, i, i);
        miss_remember(&r);
    }
    assert_reason(request(1, 2, 3, 4, 5, 6, 1000 + MISS_RECENT), "never_seen");
    assert_reason(request(5, 5, 5, 5, 5, 5, 6), "differs:query");
}

/* A slow and simple twin: a list, newest last, of the last MISS_RECENT that were remembered. */
enum { TWIN_REQUESTS = MISS_RECENT * 2 };
static struct request_parts list[TWIN_REQUESTS];
static unsigned listed;

static enum request_part twin_explain(const struct request_parts *parts)
{
    unsigned oldest = listed < MISS_RECENT ? 0 : listed - MISS_RECENT;
    for (unsigned i = listed; i-- > oldest;)
        if (memcmp(&list[i], parts, sizeof *parts) == 0) return PARTS;
    for (unsigned i = listed; i-- > oldest;) {
        unsigned differing = 0, last = 0;
        for (unsigned k = 0; k < PARTS && differing < 2; k++)
            if (list[i].digest[k] != parts->digest[k]) {
                differing++;
                last = k;
            }
        if (differing == 1) return (enum request_part)last;
    }
    return PARTS;
}

static void test_random_requests_agree_with_a_list(void **state)
{
    (void)state;
    uint64_t seed = 88172645463325252u;
    listed = 0;
    while (listed < TWIN_REQUESTS) {
        struct request_parts r;
        for (unsigned k = 0; k < PARTS; k++) {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            r.digest[k] = seed % (k == PART_QUERY ? 200 : 4);
        }
        miss_explain(&r, &reason, &part);
        assert_int_equal(part, twin_explain(&r));
        miss_remember(&r);
        list[listed++] = r;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_one_differing_part_is_named),       TEST(test_the_newest_of_several_decides),
        TEST(test_the_same_request_tells_its_end),    TEST(test_the_ring_forgets_the_oldest),
        TEST(test_random_requests_agree_with_a_list),
    };
    return cmocka_run_group_tests_name("miss", tests, NULL, NULL);
}
