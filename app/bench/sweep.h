/* SPDX-License-Identifier: Apache-2.0 */
/* app/bench/sweep.h — reads memory once, as fast as this processor can: what a scan is measured against.
 *
 * Variants: the widest loads there are, whatever kernel is under test; the sum of all 64-bit words is the proof.
 */
#ifndef APP_BENCH_SWEEP_H
#define APP_BENCH_SWEEP_H

#include <stddef.h>
#include <stdint.h>

struct cpu_features;

/* `size` is rounded down to 512 bytes. */
typedef uint64_t sweep_run(const void *data, size_t size);

sweep_run sweep_plain, sweep_avx2, sweep_avx512;

/* The widest that runs here (sweep_x86_64.c, sweep_aarch64.c). */
sweep_run *sweep_widest(const struct cpu_features *features);

#endif
