/* SPDX-License-Identifier: Apache-2.0 */
/* cache/rotate_scalar.c — the definition: additions in a fixed order, so that every variant rounds alike. */
#include "cache/rotate_kernel.h"

static void apply_signs(float *work, unsigned width, const uint64_t *signs)
{
    for (unsigned i = 0; i < width; i++)
        if (signs[i / 64] >> (i % 64) & 1) work[i] = -work[i];
}

void rotate_round_scalar(float *work, unsigned width, const uint64_t *signs)
{
    apply_signs(work, width, signs);
    for (unsigned apart = 1; apart < width; apart *= 2) {
        for (unsigned from = 0; from < width; from += 2 * apart) {
            for (unsigned i = from; i < from + apart; i++) {
                float a = work[i], b = work[i + apart];
                work[i] = a + b;
                work[i + apart] = a - b;
            }
        }
    }
}
