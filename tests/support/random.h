/* SPDX-License-Identifier: Apache-2.0 */
/* tests/support/random.h — numbers that look random and are the same in every run. */
#ifndef TESTS_RANDOM_H
#define TESTS_RANDOM_H

#include <stdint.h>

/* 0 … 2^24 − 1. The generator of Numerical Recipes, its better bits. */
static inline int test_random(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return (int)(*seed >> 8);
}

#endif
