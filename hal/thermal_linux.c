/* SPDX-License-Identifier: Apache-2.0 */
/* hal/thermal_linux.c — /sys/class/thermal. */
#include "hal/thermal.h"

#include <stdio.h>
#include <stdlib.h>

#include "hal/small_file.h"
#include "platform/rc.h"

int thermal_read(unsigned zone, struct thermal_zone *out)
{
    char path[64], text[16];
    char *end;
    if (zone >= THERMAL_ZONES_MAX) return RC_NOT_FOUND;
    snprintf(path, sizeof path, "/sys/class/thermal/thermal_zone%u/type", zone);
    int rc = small_file_read(path, out->name, sizeof out->name);
    if (rc != RC_OK && rc != RC_TOO_LARGE) return rc;
    snprintf(path, sizeof path, "/sys/class/thermal/thermal_zone%u/temp", zone);
    if (small_file_read(path, text, sizeof text) != RC_OK) return RC_IO;
    long value = strtol(text, &end, 10);
    if (end == text || *end != '\0') return RC_IO;
    out->millidegrees = (int)value;
    return RC_OK;
}
