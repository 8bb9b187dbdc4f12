/* SPDX-License-Identifier: Apache-2.0 */
/* app/boot_clock.c — the clock's floor: the last confirmed time, kept hourly in <data>/clock, so that a board without a
 * battery does not believe in 1970. */
#include "app/boot_private.h"

#include <stdio.h>

#include "platform/clock.h"
#include "platform/offload.h"
#include "version.h"

struct clock_job {
    uint64_t wall_s;
};

static void save_clock(void *arg)
{
    const struct clock_job *job = arg;
    char path[FILE_PATH_MAX], text[24];
    int size = snprintf(text, sizeof text, "%llu\n", (unsigned long long)job->wall_s);
    if (file_join(path, boot.data, "clock") == RC_OK) (void)file_replace(path, text, (size_t)size, 0600);
}

static void hourly_fiber(void *arg)
{
    (void)arg;
    struct clock_job job = {clock_wall_us() / CLOCK_SECOND};
    (void)clock_confirm_from_kernel();
    if (clock_trust() == CLOCK_CONFIRMED) (void)offload(save_clock, &job);
}

static void hourly_fire(struct loop_timer *timer)
{
    (void)fiber_start(&boot.background, hourly_fiber, NULL);
    (void)loop_timer_set(timer, clock_monotonic_us() + 3600 * CLOCK_SECOND);
}

void boot_clock_read(void)
{
    char path[FILE_PATH_MAX], text[24];
    size_t size;
    uint64_t wall_s;
    if (file_join(path, boot.data, "clock") != RC_OK || file_read(path, text, sizeof text, &size) != RC_OK) return;
    if (span_to_u64(span_trim(span_of(text, size ? size - 1 : 0)), UINT32_MAX, &wall_s) == RC_OK &&
        wall_s > (uint64_t)BUILD_EPOCH)
        clock_floor_set(wall_s * CLOCK_SECOND);
}

void boot_clock_start(void)
{
    boot.hourly.fire = hourly_fire;
    (void)loop_timer_set(&boot.hourly, clock_monotonic_us() + 60 * CLOCK_SECOND);
    (void)clock_confirm_from_kernel();
}
