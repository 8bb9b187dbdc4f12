/* SPDX-License-Identifier: Apache-2.0 */
/* app/bench/flights.h — calls under way in a replay's own time: a heap by when each is done.
 *
 * Owner:   this module; one a process. Not more than FLIGHTS_FLYING at a time: a CHECK.
 */
#ifndef APP_BENCH_FLIGHTS_H
#define APP_BENCH_FLIGHTS_H

#include <stdbool.h>
#include <stdint.h>

enum { FLIGHTS_FLYING = 1 << 16 };

struct bench_flight {
    double done_s;
    uint32_t item, request; /* the caller's own */
    uint32_t nearest;
    float score;
};

void bench_flights_reserve(void);
void bench_flights_clear(void);
void bench_flights_add(struct bench_flight flight);
/* The first that is done by then; false: none. */
bool bench_flights_take(double until_s, struct bench_flight *flight);

#endif
