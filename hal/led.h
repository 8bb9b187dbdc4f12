/* SPDX-License-Identifier: Apache-2.0 */
/* hal/led.h — the lamps of the board.
 *
 * Threads: any; a write takes microseconds.
 * Fails:   RC_NOT_FOUND when there is no lamp of that name, RC_INVALID when the name is no name, RC_DENIED, RC_IO.
 * Who calls: app, with names from the board profile ("ACT", "green:status").
 */
#ifndef HAL_LED_H
#define HAL_LED_H

enum led_state { LED_OFF, LED_ON, LED_BLINK /* by the kernel, about once a second */ };

int led_set(const char *name, enum led_state state);

#endif
