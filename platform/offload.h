/* SPDX-License-Identifier: Apache-2.0 */
/* platform/offload.h — work that takes over about half a millisecond runs on the compute pool, not on the lane.
 *
 * Owner:   `arg` stays the caller's; the job may use it until offload returns.
 * Threads: offload from a fiber on the lane; `run` on a worker.
 * Fails:   RC_FULL when the queue is full (nothing ran): callers skip the step, they never wait unbounded.
 * Note:    the wait is not cut by cancellation or deadline: the job owns `arg` until it ends, so jobs are bounded.
 */
#ifndef PLATFORM_OFFLOAD_H
#define PLATFORM_OFFLOAD_H

/* Starts `workers` threads (cores − 1, at least 1) with fixed stacks and a queue of `queue_max` jobs. */
int offload_start(unsigned workers, unsigned queue_max);
void offload_stop(void);

int offload(void (*run)(void *arg), void *arg);

/* Jobs waiting now; most ever waiting. */
unsigned offload_waiting(void);
unsigned offload_waiting_high(void);

#endif
