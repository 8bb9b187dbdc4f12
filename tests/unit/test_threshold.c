/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_threshold.c — the learnt threshold on cases worked out by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "cache/threshold.h"

static struct threshold_unit unit;

/* `count` candidates at a score, all labelled, `errors` of them wrong. */
static void add(float score, unsigned count, unsigned errors)
{
    for (unsigned i = 0; i < count; i++) {
        threshold_seen(&unit, score);
        threshold_label(&unit, score, i >= errors);
    }
}

static struct threshold_decision decide(double delta, bool partial)
{
    struct threshold_decision d;
    threshold_decide(&unit, delta, partial, &d);
    return d;
}

static int fresh(void **state)
{
    (void)state;
    unit = (struct threshold_unit){0};
    return 0;
}

static void near(double value, double expected)
{
    if (fabs(value - expected) > 1e-5) print_error("%.7f, expected %.7f\n", value, expected);
    assert_true(fabs(value - expected) <= 1e-5);
}

static void nothing_is_served_without_enough_labels(void **state)
{
    (void)state;
    struct threshold_decision d = decide(0.05, false);
    assert_true(d.threshold == THRESHOLD_NEVER && d.labels == 0 && d.share == 0);
    assert_true(decide(0.05, true).threshold == THRESHOLD_NEVER);
    add(0.99f, 99, 0);
    assert_true(decide(0.05, false).threshold == THRESHOLD_NEVER);
    assert_int_equal(decide(0.05, false).labels, 99);
    assert_true(decide(0.05, true).threshold == 0.98f);
    add(0.99f, 1, 0);
    assert_true(decide(0.05, false).threshold == 0.98f);
}

/* 100 labels at 0.99, none wrong: p = 0.25 / 100.5 = 0.0024876, sd = sqrt(p (1 − p) / 101) = 0.0049567. */
static void one_bin_by_hand(void **state)
{
    (void)state;
    add(0.99f, 100, 0);
    struct threshold_decision d = decide(0.05, false);
    near(d.error, 0.0024876);
    near(d.error_high, 0.0106165);
    near(d.share, 1);
    assert_int_equal(d.labels_above, 100);
    assert_int_equal(d.errors_above, 0);
    assert_true(decide(0.0107, false).threshold == 0.98f);
    assert_true(decide(0.0106, false).threshold == THRESHOLD_NEVER);
}

/* Two bins, 100 candidates each but 50 labels and one error in the lower: p2 = 1.25 / 50.5 = 0.0247525; error of both is
 * (p1 + p2) / 2 = 0.0136200; variance = (p1 (1 − p1) / 101 + p2 (1 − p2) / 51) / 4 = 0.00012447, high = 0.0319169. */
static void two_bins_are_weighted_by_traffic(void **state)
{
    (void)state;
    add(0.99f, 100, 0);
    add(0.97f, 50, 1);
    for (unsigned i = 0; i < 50; i++) threshold_seen(&unit, 0.97f);
    struct threshold_decision d = decide(0.05, false);
    assert_true(d.threshold == 0.96f);
    near(d.error, 0.01362);
    near(d.error_high, 0.0319169);
    assert_int_equal(d.labels_above, 150);
    assert_int_equal(d.errors_above, 1);
    d = decide(0.0319, false);
    assert_true(d.threshold == 0.98f);
    near(d.share, 0.5);
}

/* A bad bin stops the walk when 100 labels lie above; before, a good one below may still carry it. */
static void the_walk_stops_at_the_first_failure(void **state)
{
    (void)state;
    add(0.99f, 100, 0);
    add(0.93f, 100, 60);
    add(0.91f, 800, 0);
    assert_true(decide(0.05, false).threshold == 0.98f); /* bins in between that nothing was seen in are not served */
    fresh(NULL);
    add(0.99f, 10, 5);
    add(0.97f, 800, 0);
    assert_true(decide(0.05, false).threshold == 0.96f);
    assert_true(decide(0.0001, false).threshold == THRESHOLD_NEVER);
}

/* A bin that is asked for and never labelled counts as a coin toss. */
static void unlabelled_traffic_is_not_trusted(void **state)
{
    (void)state;
    add(0.97f, 200, 0);
    for (unsigned i = 0; i < 200; i++) threshold_seen(&unit, 0.93f);
    assert_true(decide(0.05, false).threshold == 0.96f);
    for (unsigned i = 0; i < 200; i++) threshold_seen(&unit, 0.99f);
    assert_true(decide(0.05, false).threshold == THRESHOLD_NEVER);
}

static void borders_are_exact(void **state)
{
    (void)state;
    for (unsigned i = 0; i < THRESHOLD_BINS; i++) {
        float edge = (float)(70 + 2 * i) / 100;
        fresh(NULL);
        threshold_seen(&unit, edge);
        assert_int_equal(unit.seen[i], 1);
        threshold_seen(&unit, nextafterf(edge, 0));
        if (i > 0) assert_int_equal(unit.seen[i - 1], 1);
    }
    fresh(NULL);
    threshold_seen(&unit, 0.6999f);
    threshold_label(&unit, 0.6999f, true);
    threshold_seen(&unit, NAN);
    threshold_label(&unit, NAN, false);
    threshold_seen(&unit, 1.5f);
    for (unsigned i = 0; i < THRESHOLD_BINS; i++) assert_int_equal(unit.seen[i], i == THRESHOLD_BINS - 1);
    assert_int_equal(unit.labels, 0);
    assert_int_equal(unit.filled, 0);
}

static void old_labels_leave(void **state)
{
    (void)state;
    add(0.99f, 200, 200);
    assert_true(decide(0.05, false).threshold == THRESHOLD_NEVER);
    add(0.99f, THRESHOLD_WINDOW, 0);
    struct threshold_decision d = decide(0.05, false);
    assert_int_equal(d.errors_above, 0);
    assert_int_equal(d.labels_above, THRESHOLD_WINDOW);
    assert_int_equal(d.labels, 1200);
    assert_true(d.threshold == 0.98f);
    assert_int_equal(unit.filled, THRESHOLD_WINDOW);
    assert_int_equal(unit.next, 200);
}

/* What a file may say, whatever it is. */
static void any_bits_are_a_unit(void **state)
{
    (void)state;
    memset(&unit, 0xFF, sizeof unit);
    assert_true(decide(0.05, false).threshold == THRESHOLD_NEVER);
    threshold_seen(&unit, 0.75f);
    threshold_correct(&unit, 0.91f, false);
    threshold_label(&unit, 0.99f, false);
    assert_int_equal(decide(1, false).errors_above, 2);
    assert_true(unit.next < THRESHOLD_WINDOW);
}

static void traffic_is_halved_when_full(void **state)
{
    (void)state;
    unit.seen[3] = UINT32_MAX;
    unit.seen[5] = 10;
    threshold_seen(&unit, 0.765f);
    assert_int_equal(unit.seen[3], UINT32_MAX / 2 + 1);
    assert_int_equal(unit.seen[5], 5);
}

static void feedback_turns_a_label_round(void **state)
{
    (void)state;
    add(0.99f, 100, 0);
    threshold_correct(&unit, 0.985f, false);
    assert_int_equal(decide(0.5, false).errors_above, 1);
    assert_int_equal(decide(0.5, false).labels_above, 100);
    threshold_correct(&unit, 0.985f, true);
    assert_int_equal(decide(0.5, false).errors_above, 0);
    threshold_correct(&unit, 0.91f, false); /* nothing to contradict: a label */
    assert_int_equal(unit.labels, 101);
    threshold_correct(&unit, 0.5f, false);
    assert_int_equal(unit.labels, 101);
}

/* Values of Wilson's formula with z = 1.96. */
static void wilson_by_hand(void **state)
{
    (void)state;
    static const struct {
        uint64_t errors, count;
        double low, high;
    } cases[] = {{0, 0, 0, 1},
                 {0, 10, 0, 0.277540},
                 {5, 100, 0.021543, 0.111752},
                 {50, 100, 0.403832, 0.596168},
                 {10, 10, 0.722460, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        double low, high;
        wilson_interval(cases[i].errors, cases[i].count, &low, &high);
        near(low, cases[i].low);
        near(high, cases[i].high);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(nothing_is_served_without_enough_labels, fresh),
        cmocka_unit_test_setup(one_bin_by_hand, fresh),
        cmocka_unit_test_setup(two_bins_are_weighted_by_traffic, fresh),
        cmocka_unit_test_setup(the_walk_stops_at_the_first_failure, fresh),
        cmocka_unit_test_setup(unlabelled_traffic_is_not_trusted, fresh),
        cmocka_unit_test_setup(borders_are_exact, fresh),
        cmocka_unit_test_setup(old_labels_leave, fresh),
        cmocka_unit_test_setup(any_bits_are_a_unit, fresh),
        cmocka_unit_test_setup(traffic_is_halved_when_full, fresh),
        cmocka_unit_test_setup(feedback_turns_a_label_round, fresh),
        cmocka_unit_test(wilson_by_hand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
