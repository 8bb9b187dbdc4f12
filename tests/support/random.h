/* SPDX-License-Identifier: Apache-2.0 */
/* tests/support/random.h — numbers that look random and are the same in every run. */
#ifndef TESTS_RANDOM_H
#define TESTS_RANDOM_H

#include <stdint.h>

/* 0 … 2^24 − 1; low bits as good as high ones. A counter through the finalizer of MurmurHash3. */
static inline int test_random(uint32_t *seed)
{
    uint32_t x = *seed += 0x9E3779B9u;
    x = (x ^ x >> 16) * 0x85EBCA6Bu;
    x = (x ^ x >> 13) * 0xC2B2AE35u;
    return (int)((x ^ x >> 16) >> 8);
}

#endif
