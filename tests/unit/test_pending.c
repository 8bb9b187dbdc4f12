/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_pending.c — codes in RAM: the life of one, both rings going round, what is full, against a model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "platform/rc.h"
#include "storage/pending.h"
#include "tests/support/random.h"
#include "tests/support/store_test.h"

static struct pending pending;

static int group_setup(void **state)
{
    (void)state;
    store_test_setup(NULL);
    return pending_reserve(&pending);
}

static int setup(void **state)
{
    (void)state;
    pending_clear(&pending);
    return 0;
}

static uint64_t tag_of(uint64_t id)
{
    return 100 + id % 3;
}

static unsigned dim_of(uint64_t id)
{
    return id % 5 == 0 ? 1536 : 384;
}

static const uint8_t *tenant_of(uint64_t id)
{
    static const uint8_t tenants[2][ENTRY_TENANT_SIZE] = {{1}, {2}};
    return tenants[id % 2];
}

static int add(uint64_t id)
{
    int8_t bytes[1536];
    char query[4096], guard[512];
    memset(bytes, (int)(id % 100), sizeof bytes);
    memset(query, 'a' + (int)(id % 26), sizeof query);
    memset(guard, 'A' + (int)(id % 26), sizeof guard);
    struct entry_vector vector = {.space = id * 3,
                                  .space_tag = tag_of(id),
                                  .shared = id % 7 == 0,
                                  .code = {id, id * 2, id * 3, id * 4},
                                  .dim = dim_of(id),
                                  .vector = bytes,
                                  .guard = span_of(guard, id % 500)};
    return pending_add(&pending, id, tenant_of(id), &vector, span_of(query, id * 37 % 4096));
}

static unsigned collect(uint64_t tag, uint64_t *ids)
{
    static uint64_t codes[PENDING_MAX][4];
    unsigned count = pending_collect(&pending, tag, ids, codes);
    for (unsigned i = 0; i < count; i++) assert_int_equal(codes[i][3], ids[i] * 4);
    return count;
}

static void check_text(uint64_t id)
{
    struct pending_text text;
    int8_t vector[1536];
    arena_reset(&store_test_arena, 1 << 16);
    assert_int_equal(pending_read(&pending, id, &store_test_arena, &text), RC_OK);
    assert_int_equal(text.space, id * 3);
    assert_int_equal(text.shared, id % 7 == 0);
    assert_memory_equal(text.tenant, tenant_of(id), ENTRY_TENANT_SIZE);
    assert_int_equal(text.dim, dim_of(id));
    assert_int_equal(text.query.size, id * 37 % 4096);
    assert_int_equal(text.guard.size, id % 500);
    if (text.query.size) assert_int_equal(text.query.data[text.query.size - 1], 'a' + (int)(id % 26));
    if (text.guard.size) assert_int_equal(text.guard.data[text.guard.size - 1], 'A' + (int)(id % 26));
    assert_int_equal(pending_vector(&pending, id, dim_of(id), vector), RC_OK);
    assert_int_equal(vector[dim_of(id) - 1], id % 100);
    assert_int_equal(pending_vector(&pending, id, 1, vector), RC_NOT_FOUND);
}

static void the_life_of_one(void **state)
{
    (void)state;
    uint64_t ids[PENDING_MAX], id;
    uint32_t random;
    struct entry_vector vector;
    assert_int_equal(pending_oldest(&pending), UINT64_MAX);
    assert_int_equal(add(3), RC_OK);
    assert_int_equal(add(6), RC_OK);
    assert_int_equal(pending_oldest(&pending), 3);
    assert_int_equal(collect(100, ids), 2);
    assert_int_equal(collect(101, ids), 0);
    assert_int_equal(pending_take(&pending, &id, &random, &vector), RC_EMPTY); /* not durable */
    pending_settle(&pending, 6, 66, true);
    assert_int_equal(pending_take(&pending, &id, &random, &vector), RC_OK);
    assert_int_equal(id, 6);
    assert_int_equal(random, 66);
    assert_int_equal(vector.code[1], 12);
    assert_int_equal(vector.space_tag, 100);
    assert_int_equal(collect(100, ids), 2); /* seen until it is in the index */
    pending_give_back(&pending);
    assert_int_equal(pending_take(&pending, &id, &random, &vector), RC_OK);
    pending_release(&pending);
    assert_int_equal(collect(100, ids), 1);
    assert_int_equal(ids[0], 3);
    pending_settle(&pending, 3, 1, false);
    assert_int_equal(collect(100, ids), 0);
    assert_int_equal(pending.count, 0);
    assert_int_equal(pending.durable, 0);
}

/* Killed while the writer has it: gone for scans, but its memory stays until the writer is done. */
static void killed_while_taken(void **state)
{
    (void)state;
    uint64_t ids[PENDING_MAX], id;
    uint32_t random;
    struct entry_vector vector;
    assert_int_equal(add(3), RC_OK);
    pending_settle(&pending, 3, 1, true);
    assert_int_equal(pending_take(&pending, &id, &random, &vector), RC_OK);
    pending_kill(&pending, 3);
    assert_int_equal(collect(100, ids), 0);
    assert_int_equal(pending.count, 1);
    assert_int_equal(vector.vector[0], 3);
    pending_give_back(&pending);
    assert_int_equal(pending_take(&pending, &id, &random, &vector), RC_EMPTY);
    assert_int_equal(pending.count, 0);
}

static void full_of_codes_or_of_bytes(void **state)
{
    (void)state;
    uint64_t id = 1;
    struct entry_vector small = {.space_tag = 1, .dim = 1, .vector = (const int8_t *)"x"};
    while (pending_add(&pending, id, tenant_of(id), &small, span_of("", 0)) == RC_OK) id++;
    assert_int_equal(id, PENDING_MAX + 1);
    pending_kill(&pending, 1);
    assert_int_equal(pending_add(&pending, id, tenant_of(id), &small, span_of("", 0)), RC_OK);
    pending_kill_tenant(&pending, NULL);
    assert_int_equal(pending.count, 0);
    size_t bytes = 0;
    for (id = 1000; add(id) == RC_OK; id++) bytes += dim_of(id) + id * 37 % 4096;
    assert_true(bytes > PENDING_BYTES * 3 / 4);
    for (uint64_t one = 1000; one < id; one++) check_text(one);
}

/* Goes round both rings many times; what must be there is known from `there`. */
static void a_long_random_life(void **state)
{
    (void)state;
    enum { IDS = 20000 };
    static unsigned char there[IDS + 1];
    uint64_t ids[PENDING_MAX], next = 1, id;
    uint32_t seed = 4, random;
    struct entry_vector vector;
    unsigned full = 0;
    memset(there, 0, sizeof there);
    while (next <= IDS) {
        unsigned what = (unsigned)test_random(&seed) % 10;
        uint64_t recent = next > 200 ? next - 1 - (unsigned)test_random(&seed) % 200 : 1;
        if (what < 6) {
            int rc = add(next);
            full += rc == RC_FULL;
            there[next] = rc == RC_OK;
            next++;
        } else if (what == 6) {
            pending_kill(&pending, recent);
            there[recent] = 0;
        } else if (what == 7) {
            bool kept = recent % 9 != 0;
            pending_settle(&pending, recent, (uint32_t)recent, kept);
            if (!kept && there[recent] == 1) there[recent] = 0;
        } else if (what == 8 && (test_random(&seed) & 15) == 0) {
            for (uint64_t one = pending_oldest(&pending); one < next; one++) {
                pending_settle(&pending, one, (uint32_t)one, true);
            }
            while (pending_take(&pending, &id, &random, &vector) == RC_OK) {
                assert_int_equal(there[id], 1);
                assert_int_equal(random, (uint32_t)id);
                assert_int_equal(vector.vector[dim_of(id) - 1], id % 100);
                there[id] = 0;
            }
            pending_release(&pending);
        }
        if (next % 97 != 0) continue;
        for (uint64_t tag = 100; tag < 103; tag++) {
            unsigned count = collect(tag, ids), expected = 0;
            for (uint64_t one = 1; one < next; one++) expected += there[one] && tag_of(one) == tag;
            assert_int_equal(count, expected);
            for (unsigned i = 0; i < count; i++) check_text(ids[i]);
        }
    }
    print_message("          %u found no room\n", full);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(the_life_of_one, setup),
        cmocka_unit_test_setup(killed_while_taken, setup),
        cmocka_unit_test_setup(full_of_codes_or_of_bytes, setup),
        cmocka_unit_test_setup(a_long_random_life, setup),
    };
    return cmocka_run_group_tests(tests, group_setup, NULL);
}
