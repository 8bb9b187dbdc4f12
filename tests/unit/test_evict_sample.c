/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_evict_sample.c — mmr and cluster: worth, redundancy, cover, neighbours, clusters, ages. */
#include "tests/unit/evict_test.h"

/* ---- mmr and cluster. So few entries are all in the pool, so the worst of all leaves. */

static void mmr_step_by_step(void **state)
{
    (void)state;
    evict_policy_set(&evict, EVICT_POLICY_MMR);
    for (uint32_t i = 0; i < 4; i++) add(i, 1, false);
    add_near(4, 1, 0.97f);
    assert_int_equal(near_of(4), 13);
    assert_int_equal(near_of(1), 13); /* the older one is as redundant */
    assert_int_equal(saved_of(1).neighbour, 4);
    age(0, 10);
    age(1, 20);
    assert_int_equal(take(), 1);     /* the older of the two alike */
    assert_int_equal(near_of(4), 0); /* which is alone now */
    age(4, 1);
    age(2, 0);
    age(3, 500);
    assert_int_equal(take(), 3);
    assert_int_equal(take(), 0);
    evict_touch(&evict, 4); /* used, if long ago */
    age(4, 60);
    age(2, 30);
    assert_int_equal(take(), 2);
    assert_int_equal(take(), 4);
}

static void lambda_weighs_worth_against_redundancy(void **state)
{
    (void)state;
    evict_policy_set(&evict, EVICT_POLICY_MMR);
    for (unsigned lambda = 0; lambda <= EVICT_LAMBDA_ONE; lambda += EVICT_LAMBDA_ONE) {
        evict_clear(&evict);
        evict_tune(&evict, lambda, 64);
        for (uint32_t i = 0; i < 3; i++) add(i, 1, false);
        add_near(3, 2, 0.99f);
        age(0, 100);
        uint32_t victim = take();
        assert_true(lambda == 0 ? victim == 2 || victim == 3 : victim == 0);
    }
}

static void cover_passes_to_the_neighbour(void **state)
{
    (void)state;
    evict_policy_set(&evict, EVICT_POLICY_MMR);
    add(0, 1, false);
    add_near(1, 0, 0.92f);
    add_near(2, 0, 0.75f); /* too far to find the same */
    for (unsigned i = 0; i < 5; i++) evict_touch(&evict, 1);
    for (unsigned i = 0; i < 3; i++) evict_touch(&evict, 2);
    age(0, 40);
    age(1, 7);
    leave(1);
    assert_int_equal(evict_hits(&evict, 0), 5);
    assert_int_equal(age_of(0), 7);
    assert_int_equal(near_of(0), 0);
    age(2, 0);
    leave(2);
    assert_int_equal(evict_hits(&evict, 0), 5);
    assert_int_equal(age_of(0), 7);
    add_near(3, 0, 0.92f); /* taken away, not evicted: nothing passes */
    for (unsigned i = 0; i < 5; i++) evict_touch(&evict, 3);
    evict_remove(&evict, 3);
    assert_int_equal(evict_hits(&evict, 0), 5);
}

/* A position that went to another entry is nobody's neighbour. */
static void a_neighbour_that_left_is_none(void **state)
{
    (void)state;
    evict_policy_set(&evict, EVICT_POLICY_MMR);
    for (uint32_t i = 0; i < 200; i++) {
        evict_clear(&evict);
        add(0, 1, false);
        add_near(1, 0, 0.95f);
        evict_remove(&evict, 0);
        assert_int_equal(near_of(1), 0);
        struct evict_new entry = {.bytes = 1, .tag = tag_of(1000 + i), .neighbour = EVICT_NONE};
        evict_add(&evict, 0, &entry);
        if (saved_of(0).bits / SAVED_NEAR / 16 % 256 == saved_of(1).bits / SAVED_NEAR / 16 % 256) continue;
        assert_int_equal(near_of(1), 0);
    }
    evict_clear(&evict);
    add_near(5, 9, 0.95f); /* never was */
    assert_int_equal(near_of(5), 0);
    add_near(6, 6, 0.95f);
    assert_int_equal(near_of(6), 0);
}

static void cluster_step_by_step(void **state)
{
    (void)state;
    evict_policy_set(&evict, EVICT_POLICY_CLUSTER);
    evict_tune(&evict, 0, 2);
    add(0, 1, false);
    for (uint32_t i = 1; i < 5; i++) add_near(i, i - 1, 0.9f);
    unsigned cluster = saved_of(0).bits / SAVED_NEAR / 16 % 256;
    assert_int_equal(evict.cluster_count[cluster], 5);
    struct evict_new entry = {.bytes = 1, .tag = (uint64_t)(cluster + 1) << 16, .neighbour = EVICT_NONE};
    uint32_t other = 5;
    evict_add(&evict, other, &entry);
    for (uint32_t i = 1; i < 5; i++) age(i, 0);
    age(other, 400);
    age(0, 4);
    age(3, 9);
    assert_int_equal(take(), 3); /* the oldest of the larger one, not the oldest */
    assert_int_equal(take(), 0);
    assert_int_equal(evict.cluster_count[cluster], 3);
    age(1, 5);
    evict_touch(&evict, 1);
    age(1, 5); /* as good as 2 */
    age(2, 3);
    assert_int_equal(take(), 2);
    age(4, 3);
    assert_int_equal(take(), 4);
    assert_int_equal(take(), other); /* both of one now: the oldest */
    assert_int_equal(take(), 1);
    assert_int_equal(evict.cluster_count[cluster], 0);
}

/* Ages stop at their most instead of running over, and hits of the long unused fade. */
static void ages_do_not_run_over(void **state)
{
    (void)state;
    evict_policy_set(&evict, EVICT_POLICY_MMR);
    for (uint32_t i = 0; i < 128; i++) add(i, 1, false);
    evict_touch(&evict, 0);
    evict_touch(&evict, 0);
    unsigned before = age_of(0);
    for (unsigned i = 0; i < 40000; i++) {
        evict_touch(&evict, 1 + i % 127);
        assert_true(age_of(0) >= before || age_of(0) >= 2047);
        assert_true(age_of(0) < 2047 + 130);
        before = age_of(0);
    }
    assert_true(before >= 2047);
    assert_int_equal(evict_hits(&evict, 0), 0);
    assert_true(age_of(1) <= 64);
}

int main(void)
{
    const struct CMUnitTest evict_sample_tests[] = {
        cmocka_unit_test_setup(mmr_step_by_step, setup),
        cmocka_unit_test_setup(lambda_weighs_worth_against_redundancy, setup),
        cmocka_unit_test_setup(cover_passes_to_the_neighbour, setup),
        cmocka_unit_test_setup(a_neighbour_that_left_is_none, setup),
        cmocka_unit_test_setup(cluster_step_by_step, setup),
        cmocka_unit_test_setup(ages_do_not_run_over, setup),
    };
    return cmocka_run_group_tests_name("evict_sample", evict_sample_tests, group_setup, NULL);
}
