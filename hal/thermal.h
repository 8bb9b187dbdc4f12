/* SPDX-License-Identifier: Apache-2.0 */
/* hal/thermal.h — how hot the board is.
 *
 * Units:   thousandths of a degree Celsius.
 * Threads: any; a read takes microseconds, on some boards a millisecond (a bus behind it): not on the lane.
 * Fails:   RC_NOT_FOUND when there is no such zone, RC_IO when its sensor does not answer.
 * Who calls: metrics and status, every few seconds at most.
 */
#ifndef HAL_THERMAL_H
#define HAL_THERMAL_H

#include <stddef.h>

enum { THERMAL_ZONES_MAX = 16, THERMAL_NAME_MAX = 32 };

struct thermal_zone {
    char name[THERMAL_NAME_MAX]; /* "cpu-thermal" */
    int millidegrees;
};

/* Zones are numbered from 0 without gaps. */
int thermal_read(unsigned zone, struct thermal_zone *out);

#endif
