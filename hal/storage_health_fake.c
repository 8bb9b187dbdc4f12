/* SPDX-License-Identifier: Apache-2.0 */
/* hal/storage_health_fake.c — as worn as the test says. */
#include "hal/storage_health.h"

#include <stddef.h>

#include "hal/fake.h"
#include "platform/rc.h"

static struct storage_health current = {.device = "fake0"};
static int current_rc = RC_UNSUPPORTED;

void storage_health_fake_set(int rc, const struct storage_health *health)
{
    current_rc = rc;
    if (health) current = *health;
}

int storage_health_read(const char *path, struct storage_health *out)
{
    (void)path;
    *out = current;
    return current_rc;
}
