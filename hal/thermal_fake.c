/* SPDX-License-Identifier: Apache-2.0 */
/* hal/thermal_fake.c — as hot as the test says. */
#include "hal/thermal.h"

#include <stdio.h>

#include "hal/fake.h"
#include "platform/rc.h"

static unsigned zone_count = 1;
static int degrees = 45000;
static int last_rc = RC_OK;

void thermal_fake_set(unsigned zones, int millidegrees, int rc)
{
    zone_count = zones;
    degrees = millidegrees;
    last_rc = rc;
}

int thermal_read(unsigned zone, struct thermal_zone *out)
{
    if (zone >= zone_count || zone >= THERMAL_ZONES_MAX) return RC_NOT_FOUND;
    if (zone == zone_count - 1 && last_rc != RC_OK) return last_rc;
    snprintf(out->name, sizeof out->name, "fake-%u", zone);
    out->millidegrees = degrees;
    return RC_OK;
}
