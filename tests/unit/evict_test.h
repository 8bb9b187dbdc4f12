/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/evict_test.h — what the tests of eviction share: one table, entries with tags of their own. */
#ifndef TESTS_EVICT_TEST_H
#define TESTS_EVICT_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "cache/evict.h"
#include "platform/rc.h"
#include "tests/support/random.h"

enum { ENTRIES = 4096 };
static struct evict evict;

static inline int group_setup(void **state)
{
    (void)state;
    return evict_reserve(&evict, ENTRIES);
}

static inline uint64_t next_tag(uint64_t *mixed)
{
    *mixed += UINT64_C(0x9E3779B97F4A7C15);
    return (*mixed ^ *mixed >> 29) * UINT64_C(0xBF58476D1CE4E5B9);
}

static inline uint64_t tag_of(uint32_t position)
{
    uint64_t mixed = position;
    return next_tag(&mixed);
}

static inline int setup(void **state)
{
    (void)state;
    evict_clear(&evict);
    evict_policy_set(&evict, EVICT_POLICY_SIEVE);
    evict_bounds_set(&evict, ENTRIES, 0);
    evict_tune(&evict, EVICT_LAMBDA_ONE / 2, 64);
    memset(evict.returns, 0, (size_t)evict.return_sets * EVICT_RETURN_WAYS * sizeof evict.returns[0]);
    return 0;
}

static inline void add(uint32_t position, uint64_t bytes, bool pinned)
{
    struct evict_new entry = {.bytes = bytes, .tag = tag_of(position), .neighbour = EVICT_NONE, .pinned = pinned};
    evict_add(&evict, position, &entry);
}

static inline void add_costing(uint32_t position, uint64_t cost)
{
    struct evict_new entry = {.bytes = 1, .tag = tag_of(position), .cost = cost, .neighbour = EVICT_NONE};
    evict_add(&evict, position, &entry);
}

static inline void add_near(uint32_t position, uint32_t neighbour, float score)
{
    struct evict_new entry = {.bytes = 1, .tag = tag_of(position), .neighbour = neighbour, .score = score};
    evict_add(&evict, position, &entry);
}

/* Removed without being remembered. */
static inline uint32_t take(void)
{
    uint32_t position = EVICT_NONE;
    assert_int_equal(evict_pick(&evict, &position), RC_OK);
    evict_remove(&evict, position);
    return position;
}

static inline void leave(uint32_t position)
{
    evict_yield(&evict, position, tag_of(position));
    evict_remove(&evict, position);
}

static inline struct evict_saved saved_of(uint32_t position)
{
    struct evict_saved saved;
    assert_true(evict_save(&evict, position, &saved));
    return saved;
}

enum { SAVED_AGE = 64 * 16 * 256, SAVED_NEAR = 64 };

static inline unsigned age_of(uint32_t position)
{
    return saved_of(position).bits / SAVED_AGE;
}

static inline unsigned near_of(uint32_t position)
{
    return saved_of(position).bits / SAVED_NEAR % 16;
}

static inline void age(uint32_t position, unsigned ticks)
{
    struct evict_saved saved = saved_of(position);
    saved.bits = saved.bits % SAVED_AGE + ticks * SAVED_AGE;
    evict_restore(&evict, position, &saved);
}

#endif
