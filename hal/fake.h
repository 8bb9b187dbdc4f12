/* SPDX-License-Identifier: Apache-2.0 */
/* hal/fake.h — what tests set in the fake devices, and see of what was asked of them.
 *
 * Owner:   static state of each fake; texts are copied.
 * Threads: one at a time.
 * Not here: anything of the program proper. A real backend is linked there and these names do not exist.
 */
#ifndef HAL_FAKE_H
#define HAL_FAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hal/led.h"
#include "hal/storage_health.h"

/* NULL: the system does not say. */
void identity_fake_set(const char *model, const char *serial, const char *machine);

/* Bytes follow from the seed; `rc` other than RC_OK is what entropy_read returns from now on. */
void entropy_fake_seed(uint64_t seed);
void entropy_fake_fail(int rc);

/* `zones` zones, all of this temperature; `rc` for reading the last of them. */
void thermal_fake_set(unsigned zones, int millidegrees, int rc);

void storage_health_fake_set(int rc, const struct storage_health *health);

struct watchdog_fake {
    int arm_rc; /* set by the test */
    bool armed;
    unsigned timeout_s;
    unsigned kicks; /* since it was armed */
};
struct watchdog_fake *watchdog_fake(void);

/* Lamps exist once a test added them; the state is what was last set. */
void led_fake_add(const char *name);
enum led_state led_fake_state(const char *name);
void led_fake_clear(void);

/* The other end of the line that the last serial_open returned, -1 when none; `rc` other than RC_OK makes opening fail. */
int serial_fake_peer(void);
unsigned serial_fake_baud(void);
void serial_fake_fail(int rc);

#endif
