/* SPDX-License-Identifier: Apache-2.0 */
/* app/bench/flights.c — see flights.h. */
#include "app/bench/flights.h"

#include "app/bench/bench.h"
#include "platform/check.h"

static struct bench_flight *flights;
static unsigned count;

void bench_flights_reserve(void)
{
    flights = bench_region(FLIGHTS_FLYING * sizeof flights[0], false);
}

void bench_flights_clear(void)
{
    count = 0;
}

void bench_flights_add(struct bench_flight flight)
{
    CHECK(count < FLIGHTS_FLYING);
    unsigned at = count++;
    for (; at > 0 && flights[(at - 1) / 2].done_s > flight.done_s; at = (at - 1) / 2)
        flights[at] = flights[(at - 1) / 2];
    flights[at] = flight;
}

bool bench_flights_take(double until_s, struct bench_flight *flight)
{
    if (count == 0 || flights[0].done_s > until_s) return false;
    *flight = flights[0];
    struct bench_flight last = flights[--count];
    unsigned at = 0;
    for (unsigned child = 1; child < count; child = 2 * at + 1) {
        if (child + 1 < count && flights[child + 1].done_s < flights[child].done_s) child++;
        if (flights[child].done_s >= last.done_s) break;
        flights[at] = flights[child];
        at = child;
    }
    flights[at] = last;
    return true;
}
