/* SPDX-License-Identifier: Apache-2.0 */
/* platform/clock.h — what time it is, and whether that can be believed.
 *
 * Owner:   process-wide.
 * Threads: reading from any; confirming and faking from the lane.
 * Units:   microseconds. Monotonic time starts anywhere and never goes back; wall time counts from 1970-01-01 UTC.
 * Why:     boards without a battery boot in 1970. The floor is the build date or the last confirmed time, whichever is
 *          later; wall time below the floor is "unset" and reads as the floor plus the time since boot.
 *          A confirmed time (NTP-disciplined kernel, or Date of a verified upstream) may also go back.
 */
#ifndef PLATFORM_CLOCK_H
#define PLATFORM_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#define CLOCK_SECOND UINT64_C(1000000)
#define CLOCK_NEVER UINT64_MAX

enum clock_trust {
    CLOCK_UNSET,     /* below the floor: the board does not know */
    CLOCK_PLAUSIBLE, /* at or above the floor, nobody confirmed it */
    CLOCK_CONFIRMED,
};

uint64_t clock_monotonic_us(void);
uint64_t clock_wall_us(void);
uint64_t clock_cpu_us(void); /* CPU time of the process */
enum clock_trust clock_trust(void);

/* At boot: the later of build date and saved time. */
void clock_floor_set(uint64_t wall_us);
/* A trustworthy source says it is `wall_us` now; wall time follows it from here on (an offset is kept; the system's
 * clock is not touched). Differences under 2 s from a plausible clock only mark it confirmed. */
void clock_confirm(uint64_t wall_us);
/* Whether the kernel says its clock is disciplined (adjtimex: not STA_UNSYNC); then confirms it. */
bool clock_confirm_from_kernel(void);

/* Tests: time stands still at these values until moved; clock_fake_off returns to the real one. */
void clock_fake(uint64_t monotonic_us, uint64_t wall_us);
void clock_fake_advance(uint64_t us);
void clock_fake_off(void);

#endif
