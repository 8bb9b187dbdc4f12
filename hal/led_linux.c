/* SPDX-License-Identifier: Apache-2.0 */
/* hal/led_linux.c — /sys/class/leds. */
#include "hal/led.h"

#include <stdio.h>
#include <string.h>

#include "hal/small_file.h"
#include "platform/rc.h"

enum { NAME_MAX_SIZE = 64, PATH_SIZE = 128 };

static void led_path(char path[PATH_SIZE], const char *name, const char *file)
{
    snprintf(path, PATH_SIZE, "/sys/class/leds/%s/%s", name, file);
}

int led_set(const char *name, enum led_state state)
{
    char path[PATH_SIZE], full[16];
    if (name[0] == '\0' || name[0] == '.' || strchr(name, '/') || strlen(name) >= NAME_MAX_SIZE) return RC_INVALID;
    led_path(path, name, "max_brightness");
    int rc = small_file_read(path, full, sizeof full);
    if (rc != RC_OK) return rc;
    led_path(path, name, "trigger");
    rc = small_file_write(path, state == LED_BLINK ? "timer" : "none");
    if (rc != RC_OK || state == LED_BLINK) return rc;
    led_path(path, name, "brightness");
    return small_file_write(path, state == LED_ON ? full : "0");
}
