/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_hal_linux.c — the Linux backends, against a made-up /proc, /sys and /dev and against a pseudo terminal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <termios.h>
#include <unistd.h>

#include "hal/entropy.h"
#include "hal/identity.h"
#include "hal/led.h"
#include "hal/serial.h"
#include "hal/small_file.h"
#include "hal/storage_health.h"
#include "hal/thermal.h"
#include "hal/watchdog.h"
#include "platform/file.h"
#include "platform/rc.h"

static char root[] = "/tmp/larder-hal-XXXXXX";

static int setup(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(root));
    small_file_root(root);
    return 0;
}

static int remove_one(const char *name, const struct stat *status, int type, struct FTW *where)
{
    (void)status;
    (void)type;
    (void)where;
    return remove(name);
}

static int teardown(void **state)
{
    (void)state;
    small_file_root(NULL);
    return nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void put(const char *path, const char *text)
{
    char full[256];
    snprintf(full, sizeof full, "%s%s", root, path);
    *strrchr(full, '/') = '\0';
    assert_int_equal(file_make_folder(full, 0700), RC_OK);
    full[strlen(full)] = '/';
    assert_int_equal(file_replace(full, text, strlen(text), 0600), RC_OK);
}

static void check_file(const char *path, const char *text)
{
    char full[256], got[64];
    size_t size;
    snprintf(full, sizeof full, "%s%s", root, path);
    assert_int_equal(file_read(full, got, sizeof got - 1, &size), RC_OK);
    got[size] = '\0';
    assert_string_equal(got, text);
}

static void test_identity(void **state)
{
    (void)state;
    char text[IDENTITY_TEXT_MAX], other[IDENTITY_TEXT_MAX], small[8];
    assert_int_equal(identity_model(text, sizeof text), RC_NOT_FOUND);
    assert_string_equal(text, "");
    put("/sys/class/dmi/id/product_name", "Some PC\n");
    assert_int_equal(identity_model(text, sizeof text), RC_OK);
    assert_string_equal(text, "Some PC");
    put("/proc/device-tree/model", "Raspberry Pi 5 Model B Rev 1.0");
    assert_int_equal(identity_model(text, sizeof text), RC_OK);
    assert_string_equal(text, "Raspberry Pi 5 Model B Rev 1.0");
    assert_int_equal(identity_model(small, sizeof small), RC_TOO_LARGE);
    assert_string_equal(small, "Raspber");
    assert_int_equal(identity_serial(text, sizeof text), RC_NOT_FOUND);
    assert_int_equal(identity_machine(text, sizeof text), RC_NOT_FOUND);
    put("/etc/machine-id", "not an id\n");
    assert_int_equal(identity_machine(text, sizeof text), RC_NOT_FOUND);
    put("/etc/machine-id", "000102030405060708090a0b0c0d0e0f\n");
    assert_int_equal(identity_machine(text, sizeof text), RC_OK);
    assert_int_equal(strlen(text), 32);
    assert_int_equal(strspn(text, "0123456789abcdef"), 32);
    assert_string_not_equal(text, "000102030405060708090a0b0c0d0e0f");
    put("/etc/machine-id", "000102030405060708090a0b0c0d0e0e\n");
    assert_int_equal(identity_machine(other, sizeof other), RC_OK);
    assert_string_not_equal(text, other);
}

static void test_entropy(void **state)
{
    (void)state;
    unsigned char a[1000] = {0}, b[1000] = {0};
    assert_int_equal(entropy_read(a, sizeof a), RC_OK);
    assert_int_equal(entropy_read(b, sizeof b), RC_OK);
    assert_memory_not_equal(a, b, 16);
    assert_memory_not_equal(a + 984, b + 984, 16);
    assert_int_equal(entropy_read(a, 0), RC_OK);
}

static void test_thermal(void **state)
{
    (void)state;
    struct thermal_zone zone;
    assert_int_equal(thermal_read(0, &zone), RC_NOT_FOUND);
    put("/sys/class/thermal/thermal_zone0/type", "cpu-thermal\n");
    assert_int_equal(thermal_read(0, &zone), RC_IO);
    put("/sys/class/thermal/thermal_zone0/temp", "48312\n");
    assert_int_equal(thermal_read(0, &zone), RC_OK);
    assert_string_equal(zone.name, "cpu-thermal");
    assert_int_equal(zone.millidegrees, 48312);
    put("/sys/class/thermal/thermal_zone0/temp", "-2500\n");
    assert_int_equal(thermal_read(0, &zone), RC_OK);
    assert_int_equal(zone.millidegrees, -2500);
    put("/sys/class/thermal/thermal_zone0/temp", "warm\n");
    assert_int_equal(thermal_read(0, &zone), RC_IO);
    assert_int_equal(thermal_read(THERMAL_ZONES_MAX, &zone), RC_NOT_FOUND);
}

/* A card with a partition on which the test's own folder is said to lie. */
static void test_storage_health(void **state)
{
    (void)state;
    struct storage_health health;
    struct stat status;
    char link[256], target[256];
    assert_int_equal(stat(root, &status), 0);
    assert_int_equal(storage_health_read(root, &health), RC_NOT_FOUND);
    assert_int_equal(storage_health_read("/no/such/path", &health), RC_NOT_FOUND);
    put("/sys/devices/mmc0/block/mmcblk0/mmcblk0p2/partition", "2\n");
    put("/sys/dev/block/unused", "");
    snprintf(link, sizeof link, "%s/sys/dev/block/%u:%u", root, major(status.st_dev), minor(status.st_dev));
    snprintf(target, sizeof target, "../../devices/mmc0/block/mmcblk0/mmcblk0p2");
    assert_int_equal(symlink(target, link), 0);
    assert_int_equal(storage_health_read(root, &health), RC_UNSUPPORTED);
    assert_string_equal(health.device, "mmcblk0");
    put("/sys/devices/mmc0/block/mmcblk0/device/life_time", "0x01 0x03\n");
    put("/sys/devices/mmc0/block/mmcblk0/device/pre_eol_info", "0x02\n");
    assert_int_equal(storage_health_read(root, &health), RC_OK);
    assert_string_equal(health.device, "mmcblk0");
    assert_int_equal(health.used_percent_max, 30);
    assert_int_equal(health.reserve, STORAGE_RESERVE_WARNING);
    put("/sys/devices/mmc0/block/mmcblk0/device/life_time", "0x0b 0x00\n");
    put("/sys/devices/mmc0/block/mmcblk0/device/pre_eol_info", "0x77\n");
    assert_int_equal(storage_health_read(root, &health), RC_OK);
    assert_int_equal(health.used_percent_max, 110);
    assert_int_equal(health.reserve, STORAGE_RESERVE_UNKNOWN);
    /* Now directly on the disk. */
    assert_int_equal(unlink(link), 0);
    assert_int_equal(symlink("../../devices/mmc0/block/mmcblk0", link), 0);
    assert_int_equal(storage_health_read(root, &health), RC_OK);
    assert_string_equal(health.device, "mmcblk0");
    assert_int_equal(health.used_percent_max, 110);
}

static void test_watchdog(void **state)
{
    (void)state;
    assert_int_equal(watchdog_arm(15), RC_NOT_FOUND);
    assert_int_equal(watchdog_kick(), RC_CLOSED);
    assert_int_equal(watchdog_disarm(), RC_CLOSED);
    put("/dev/watchdog", ""); /* a file keeps what was written to it */
    assert_int_equal(watchdog_arm(15), RC_OK);
    assert_int_equal(watchdog_kick(), RC_OK);
    assert_int_equal(watchdog_kick(), RC_OK);
    assert_int_equal(watchdog_disarm(), RC_OK);
    check_file("/dev/watchdog", "kkV");
    assert_int_equal(watchdog_kick(), RC_CLOSED);
}

static void test_led(void **state)
{
    (void)state;
    assert_int_equal(led_set("ACT", LED_ON), RC_NOT_FOUND);
    put("/sys/class/leds/ACT/max_brightness", "255\n");
    put("/sys/class/leds/ACT/trigger", "[none] timer mmc0\n");
    put("/sys/class/leds/ACT/brightness", "");
    assert_int_equal(led_set("ACT", LED_ON), RC_OK);
    check_file("/sys/class/leds/ACT/brightness", "255");
    put("/sys/class/leds/ACT/brightness", "");
    assert_int_equal(led_set("ACT", LED_OFF), RC_OK);
    check_file("/sys/class/leds/ACT/brightness", "0");
    put("/sys/class/leds/ACT/trigger", "");
    assert_int_equal(led_set("ACT", LED_BLINK), RC_OK);
    check_file("/sys/class/leds/ACT/trigger", "timer");
    assert_int_equal(led_set("../leds/ACT", LED_ON), RC_INVALID);
    assert_int_equal(led_set("", LED_ON), RC_INVALID);
}

static void test_serial(void **state)
{
    (void)state;
    int master = posix_openpt(O_RDWR | O_NOCTTY), fd = -1;
    struct termios line;
    char text[8] = "";
    assert_true(master >= 0);
    assert_int_equal(grantpt(master), 0);
    assert_int_equal(unlockpt(master), 0);
    const char *name = ptsname(master);
    assert_int_equal(serial_open(name, 12345, &fd), RC_INVALID);
    assert_int_equal(serial_open("/dev/null", 9600, &fd), RC_INVALID);
    assert_int_equal(serial_open("/dev/no-such-line", 9600, &fd), RC_NOT_FOUND);
    assert_int_equal(serial_open(name, 115200, &fd), RC_OK);
    assert_int_equal(tcgetattr(fd, &line), 0);
    assert_int_equal(cfgetospeed(&line), B115200);
    assert_int_equal(line.c_lflag & (ICANON | ECHO | ISIG), 0);
    assert_int_equal(line.c_cflag & CSIZE, CS8);
    assert_int_equal(write(master, "\r\x03z", 3), 3);
    assert_int_equal(read(fd, text, sizeof text), 3); /* neither translated nor taken as an interrupt */
    assert_memory_equal(text, "\r\x03z", 3);
    assert_int_equal(read(fd, text, sizeof text), -1); /* and it does not wait */
    serial_close(fd);
    close(master);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_identity),       cmocka_unit_test(test_entropy),  cmocka_unit_test(test_thermal),
        cmocka_unit_test(test_storage_health), cmocka_unit_test(test_watchdog), cmocka_unit_test(test_led),
        cmocka_unit_test(test_serial),
    };
    return cmocka_run_group_tests_name("hal_linux", tests, setup, teardown);
}
