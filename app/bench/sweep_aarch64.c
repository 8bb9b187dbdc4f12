/* SPDX-License-Identifier: Apache-2.0 */
/* app/bench/sweep_aarch64.c — every vector has 16 bytes here. */
#include "app/bench/sweep.h"

sweep_run *sweep_widest(const struct cpu_features *features)
{
    (void)features;
    return sweep_plain;
}
