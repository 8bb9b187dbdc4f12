/* SPDX-License-Identifier: Apache-2.0 */
/* tests/support/store_test.h — what tests of the store share: a folder, a lane, fibers, example entries. */
#ifndef TESTS_STORE_TEST_H
#define TESTS_STORE_TEST_H

#include "cache/cache.h"
#include "platform/arena.h"

extern struct arena store_test_arena; /* 4 MiB */
extern const struct cache_limits store_test_limits;

/* Once a process: lane, fibers, pool, crypto, compressor, arena; and the cache when limits are given. */
void store_test_setup(const struct cache_limits *limits);
/* A new empty folder under TMPDIR; removed with all in it by store_test_remove. */
const char *store_test_folder(void);
void store_test_remove(const char *folder);
/* Shell-free copy of an environment: <from>/data.mdb → <to>/data.mdb, folder made. */
void store_test_copy(const char *from, const char *to);

/* Runs `run(arg)` as a fiber and turns the loop until it is done. */
void store_test_fiber(void (*run)(void *arg), void *arg);

/* Number n's digest, meta and body are always the same. Body: `size` bytes of text that compresses somewhat. */
struct digest store_test_digest(unsigned n);
struct entry_meta store_test_meta(unsigned n);
struct span store_test_body(unsigned n, size_t size);
struct span store_test_query(unsigned n);

/* As fibers, waited for. */
int store_test_sync(void);
int store_test_read(uint64_t id, unsigned n, struct cache_answer *answer);
int store_test_purge(const uint8_t *tenant, unsigned *removed);
uint64_t store_test_put(unsigned n, size_t body_size); /* 0: refused */
/* Whether number n is found and reads back as it was put with this size. */
bool store_test_holds(unsigned n, size_t body_size);
void store_test_turns(unsigned turns);

#endif
