/* SPDX-License-Identifier: Apache-2.0 */
/* app/bench/sweep.c — with the vectors that every processor of this architecture has. */
#include "app/bench/sweep.h"

#include <string.h>

typedef uint64_t pair __attribute__((vector_size(16)));

uint64_t sweep_plain(const void *data, size_t size)
{
    const unsigned char *p = data;
    pair sums[8] = {{0}};
    for (size_t i = 0; i + 512 <= size; i += 512, p += 512) {
        for (unsigned j = 0; j < 32; j++) {
            pair word;
            memcpy(&word, p + 16 * (size_t)j, sizeof word);
            sums[j % 8] += word;
        }
    }
    for (unsigned j = 1; j < 8; j++) sums[0] += sums[j];
    return sums[0][0] + sums[0][1];
}
