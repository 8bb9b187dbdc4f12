/* SPDX-License-Identifier: Apache-2.0 */
/* hal/watchdog_fake.c — counts kicks, bites nobody. */
#include "hal/watchdog.h"

#include "hal/fake.h"
#include "platform/check.h"
#include "platform/rc.h"

static struct watchdog_fake dog;

struct watchdog_fake *watchdog_fake(void)
{
    return &dog;
}

int watchdog_arm(unsigned timeout_s)
{
    CHECK(!dog.armed);
    if (dog.arm_rc != RC_OK) return dog.arm_rc;
    dog.armed = true;
    dog.timeout_s = timeout_s;
    dog.kicks = 0;
    return RC_OK;
}

int watchdog_kick(void)
{
    if (!dog.armed) return RC_CLOSED;
    dog.kicks++;
    return RC_OK;
}

int watchdog_disarm(void)
{
    if (!dog.armed) return RC_CLOSED;
    dog.armed = false;
    return RC_OK;
}
