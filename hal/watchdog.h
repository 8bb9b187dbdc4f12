/* SPDX-License-Identifier: Apache-2.0 */
/* hal/watchdog.h — the hardware that restarts the board when nobody kicks it any more.
 *
 * Owner:   one watchdog, process-wide.
 * Threads: one at a time.
 * Fails:   RC_NOT_FOUND without a device, RC_DENIED, RC_EXISTS when somebody else has it, RC_UNSUPPORTED when it cannot be
 *          stopped (then it was armed and stays so), RC_IO.
 * Units:   seconds; the device may choose the nearest it can.
 * Who calls: app, on boards whose profile wants it: armed at boot, kicked from the lane's idle hook, disarmed at an orderly end
 *          only. A process that dies leaves it armed: that is the point.
 */
#ifndef HAL_WATCHDOG_H
#define HAL_WATCHDOG_H

int watchdog_arm(unsigned timeout_s);
int watchdog_kick(void); /* RC_CLOSED when not armed */
int watchdog_disarm(void);

#endif
