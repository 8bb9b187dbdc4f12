/* SPDX-License-Identifier: Apache-2.0 */
/* hal/led_fake.c — lamps in a table. */
#include "hal/led.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "hal/fake.h"
#include "platform/check.h"
#include "platform/rc.h"

enum { LAMPS_MAX = 8 };
static struct lamp {
    char name[64];
    enum led_state state;
} lamps[LAMPS_MAX];
static unsigned lamp_count;

static struct lamp *find(const char *name)
{
    for (unsigned i = 0; i < lamp_count; i++) {
        if (strcmp(lamps[i].name, name) == 0) return &lamps[i];
    }
    return NULL;
}

void led_fake_add(const char *name)
{
    CHECK(lamp_count < LAMPS_MAX);
    snprintf(lamps[lamp_count].name, sizeof lamps[0].name, "%s", name);
    lamps[lamp_count++].state = LED_OFF;
}

enum led_state led_fake_state(const char *name)
{
    const struct lamp *lamp = find(name);
    CHECK(lamp != NULL);
    return lamp->state;
}

void led_fake_clear(void)
{
    lamp_count = 0;
}

int led_set(const char *name, enum led_state state)
{
    struct lamp *lamp = find(name);
    if (name[0] == '\0' || name[0] == '.' || strchr(name, '/')) return RC_INVALID;
    if (!lamp) return RC_NOT_FOUND;
    lamp->state = state;
    return RC_OK;
}
