/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_clock.c — a board that boots in 1970, is confirmed, and is set back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "platform/clock.h"

#define DAY (UINT64_C(86400) * CLOCK_SECOND)
static const uint64_t built = UINT64_C(1760000000) * CLOCK_SECOND;

static int end_fake(void **state)
{
    (void)state;
    clock_fake_off();
    return 0;
}

static void test_real_clocks_move(void **state)
{
    (void)state;
    uint64_t monotonic = clock_monotonic_us(), cpu = clock_cpu_us();
    assert_true(clock_wall_us() > built);
    while (clock_monotonic_us() < monotonic + 1000) {}
    assert_true(clock_cpu_us() > cpu);
    assert_int_equal(clock_trust(), CLOCK_PLAUSIBLE);
}

static void test_unset_reads_as_floor_plus_uptime(void **state)
{
    (void)state;
    clock_fake(30 * CLOCK_SECOND, 31 * CLOCK_SECOND);
    clock_floor_set(built);
    assert_int_equal(clock_trust(), CLOCK_UNSET);
    assert_true(clock_wall_us() == built + 30 * CLOCK_SECOND);
    clock_fake_advance(5 * CLOCK_SECOND);
    assert_true(clock_wall_us() == built + 35 * CLOCK_SECOND);
    assert_true(clock_monotonic_us() == 35 * CLOCK_SECOND);
}

static void test_confirmed_then_follows_monotonic(void **state)
{
    (void)state;
    clock_fake(30 * CLOCK_SECOND, 31 * CLOCK_SECOND);
    clock_floor_set(built);
    clock_confirm(built + 100 * DAY);
    assert_int_equal(clock_trust(), CLOCK_CONFIRMED);
    assert_true(clock_wall_us() == built + 100 * DAY);
    clock_fake_advance(CLOCK_SECOND);
    assert_true(clock_wall_us() == built + 100 * DAY + CLOCK_SECOND);
    /* A time daemon comes up late and steps the system's clock: not added on top. */
    clock_fake(32 * CLOCK_SECOND, built + 100 * DAY + 2 * CLOCK_SECOND);
    assert_true(clock_wall_us() == built + 100 * DAY + 2 * CLOCK_SECOND);
    clock_confirm(built + 100 * DAY + 2 * CLOCK_SECOND);
    clock_fake(33 * CLOCK_SECOND, built + 100 * DAY + 4 * CLOCK_SECOND); /* now the system's clock leads again */
    assert_true(clock_wall_us() == built + 100 * DAY + 4 * CLOCK_SECOND);
    assert_int_equal(clock_trust(), CLOCK_CONFIRMED);
}

static void test_confirmed_may_go_back(void **state)
{
    (void)state;
    clock_fake(CLOCK_SECOND, built + 400 * DAY);
    clock_floor_set(built + 200 * DAY);
    assert_int_equal(clock_trust(), CLOCK_PLAUSIBLE);
    clock_confirm(built + 300 * DAY);
    assert_true(clock_wall_us() == built + 300 * DAY);
    clock_confirm(built + 100 * DAY); /* below the floor as well */
    assert_true(clock_wall_us() == built + 100 * DAY);
    assert_int_equal(clock_trust(), CLOCK_CONFIRMED);
    clock_fake_advance(7);
    assert_true(clock_wall_us() == built + 100 * DAY + 7);
}

/* The system's clock is right and the floor is wrong: a saved time from the future. */
static void test_confirmed_below_a_wrong_floor(void **state)
{
    (void)state;
    clock_fake(CLOCK_SECOND, built + 100 * DAY);
    clock_floor_set(built + 200 * DAY);
    assert_int_equal(clock_trust(), CLOCK_UNSET);
    clock_confirm(built + 100 * DAY);
    assert_int_equal(clock_trust(), CLOCK_CONFIRMED);
    assert_true(clock_wall_us() == built + 100 * DAY);
}

static void test_small_differences_only_confirm(void **state)
{
    (void)state;
    clock_fake(CLOCK_SECOND, built + DAY);
    clock_floor_set(built);
    clock_confirm(built + DAY + 2 * CLOCK_SECOND - 1);
    assert_int_equal(clock_trust(), CLOCK_CONFIRMED);
    assert_true(clock_wall_us() == built + DAY);
    clock_confirm(built + DAY + 2 * CLOCK_SECOND);
    assert_true(clock_wall_us() == built + DAY + 2 * CLOCK_SECOND);
    clock_confirm(built + DAY + 3 * CLOCK_SECOND); /* differs from the anchored time by one second only */
    assert_true(clock_wall_us() == built + DAY + 2 * CLOCK_SECOND);
}

static void test_set_back_by_hand_is_unset(void **state)
{
    (void)state;
    clock_fake(CLOCK_SECOND, built + DAY);
    clock_floor_set(built + DAY);
    clock_confirm(built + DAY);
    clock_fake(2 * CLOCK_SECOND, built + DAY - CLOCK_SECOND); /* slewed a little: no drama */
    assert_int_equal(clock_trust(), CLOCK_CONFIRMED);
    clock_fake(3 * CLOCK_SECOND, 0);
    assert_int_equal(clock_trust(), CLOCK_UNSET);
    assert_true(clock_wall_us() == built + DAY + 3 * CLOCK_SECOND);
}

static void test_kernel_answers(void **state)
{
    (void)state;
    bool disciplined = clock_confirm_from_kernel();
    assert_int_equal(clock_trust(), disciplined ? CLOCK_CONFIRMED : CLOCK_PLAUSIBLE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_real_clocks_move, end_fake),
        cmocka_unit_test_teardown(test_unset_reads_as_floor_plus_uptime, end_fake),
        cmocka_unit_test_teardown(test_confirmed_then_follows_monotonic, end_fake),
        cmocka_unit_test_teardown(test_confirmed_may_go_back, end_fake),
        cmocka_unit_test_teardown(test_confirmed_below_a_wrong_floor, end_fake),
        cmocka_unit_test_teardown(test_small_differences_only_confirm, end_fake),
        cmocka_unit_test_teardown(test_set_back_by_hand_is_unset, end_fake),
        cmocka_unit_test_teardown(test_kernel_answers, end_fake),
    };
    return cmocka_run_group_tests_name("clock", tests, NULL, NULL);
}
