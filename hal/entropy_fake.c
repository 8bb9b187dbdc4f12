/* SPDX-License-Identifier: Apache-2.0 */
/* hal/entropy_fake.c — the same bytes in every run (splitmix64). Tests only: anybody can guess them. */
#include "hal/entropy.h"

#include "hal/fake.h"
#include "platform/rc.h"

static uint64_t state = 1;
static int failure = RC_OK;

void entropy_fake_seed(uint64_t seed)
{
    state = seed;
}

void entropy_fake_fail(int rc)
{
    failure = rc;
}

static uint64_t next_word(void)
{
    uint64_t z = state += 0x9E3779B97F4A7C15;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    return z ^ (z >> 31);
}

int entropy_read(void *bytes, size_t size)
{
    unsigned char *out = bytes;
    if (failure != RC_OK) return failure;
    for (size_t i = 0; i < size; i++) out[i] = (unsigned char)(next_word() >> 56);
    return RC_OK;
}
