/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_hal.c — the fakes say what they were told, within the rules of the duty headers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>
#include <unistd.h>

#include "hal/entropy.h"
#include "hal/fake.h"
#include "hal/identity.h"
#include "hal/serial.h"
#include "hal/thermal.h"
#include "hal/watchdog.h"
#include "platform/rc.h"

static void test_identity(void **state)
{
    (void)state;
    char text[IDENTITY_TEXT_MAX], small[4];
    identity_fake_set("Board 7", NULL, "abc");
    assert_int_equal(identity_model(text, sizeof text), RC_OK);
    assert_string_equal(text, "Board 7");
    assert_int_equal(identity_serial(text, sizeof text), RC_NOT_FOUND);
    assert_string_equal(text, "");
    assert_int_equal(identity_model(small, sizeof small), RC_TOO_LARGE);
    assert_string_equal(small, "Boa");
}

static void test_entropy(void **state)
{
    (void)state;
    unsigned char a[40], b[40];
    entropy_fake_seed(5);
    assert_int_equal(entropy_read(a, sizeof a), RC_OK);
    entropy_fake_seed(5);
    assert_int_equal(entropy_read(b, sizeof b), RC_OK);
    assert_memory_equal(a, b, sizeof a);
    assert_int_equal(entropy_read(b, sizeof b), RC_OK);
    assert_memory_not_equal(a, b, sizeof a);
    entropy_fake_fail(RC_IO);
    assert_int_equal(entropy_read(a, sizeof a), RC_IO);
    entropy_fake_fail(RC_OK);
}

static void test_thermal(void **state)
{
    (void)state;
    struct thermal_zone zone;
    thermal_fake_set(2, 61500, RC_IO);
    assert_int_equal(thermal_read(0, &zone), RC_OK);
    assert_int_equal(zone.millidegrees, 61500);
    assert_string_equal(zone.name, "fake-0");
    assert_int_equal(thermal_read(1, &zone), RC_IO);
    assert_int_equal(thermal_read(2, &zone), RC_NOT_FOUND);
}

static void test_storage_health(void **state)
{
    (void)state;
    struct storage_health out;
    const struct storage_health set = {"mmcblk0", 30, STORAGE_RESERVE_WARNING};
    assert_int_equal(storage_health_read("/", &out), RC_UNSUPPORTED);
    storage_health_fake_set(RC_OK, &set);
    assert_int_equal(storage_health_read("/", &out), RC_OK);
    assert_string_equal(out.device, "mmcblk0");
    assert_int_equal(out.used_percent_max, 30);
    assert_int_equal(out.reserve, STORAGE_RESERVE_WARNING);
}

static void test_watchdog(void **state)
{
    (void)state;
    assert_int_equal(watchdog_kick(), RC_CLOSED);
    watchdog_fake()->arm_rc = RC_EXISTS;
    assert_int_equal(watchdog_arm(15), RC_EXISTS);
    watchdog_fake()->arm_rc = RC_OK;
    assert_int_equal(watchdog_arm(15), RC_OK);
    assert_int_equal(watchdog_fake()->timeout_s, 15);
    assert_int_equal(watchdog_kick(), RC_OK);
    assert_int_equal(watchdog_kick(), RC_OK);
    assert_int_equal(watchdog_fake()->kicks, 2);
    assert_int_equal(watchdog_disarm(), RC_OK);
    assert_false(watchdog_fake()->armed);
    assert_int_equal(watchdog_disarm(), RC_CLOSED);
}

static void test_led(void **state)
{
    (void)state;
    led_fake_add("ACT");
    assert_int_equal(led_set("ACT", LED_BLINK), RC_OK);
    assert_int_equal(led_fake_state("ACT"), LED_BLINK);
    assert_int_equal(led_set("PWR", LED_ON), RC_NOT_FOUND);
    assert_int_equal(led_set("../ACT", LED_ON), RC_INVALID);
    led_fake_clear();
    assert_int_equal(led_set("ACT", LED_ON), RC_NOT_FOUND);
}

static void test_serial(void **state)
{
    (void)state;
    int fd = -1, second = -1;
    char text[8] = "";
    serial_fake_fail(RC_DENIED);
    assert_int_equal(serial_open("/dev/ttyS1", 115200, &fd), RC_DENIED);
    serial_fake_fail(RC_OK);
    assert_int_equal(serial_open("/dev/ttyS1", 115200, &fd), RC_OK);
    assert_int_equal(serial_fake_baud(), 115200);
    assert_int_equal(serial_open("/dev/ttyS1", 115200, &second), RC_EXISTS);
    assert_int_equal(write(serial_fake_peer(), "help", 4), 4);
    assert_int_equal(read(fd, text, sizeof text), 4);
    assert_string_equal(text, "help");
    serial_close(fd);
    assert_int_equal(serial_fake_peer(), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_identity),       cmocka_unit_test(test_entropy),  cmocka_unit_test(test_thermal),
        cmocka_unit_test(test_storage_health), cmocka_unit_test(test_watchdog), cmocka_unit_test(test_led),
        cmocka_unit_test(test_serial),
    };
    return cmocka_run_group_tests_name("hal", tests, NULL, NULL);
}
