/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_codes.c — blocks of codes: what lies where, folds, tombstones, dense rewriting, damage, what they cost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <unistd.h>

#include "platform/crypto.h"
#include "platform/file.h"
#include "platform/plan.h"
#include "platform/rc.h"
#include "storage/codes_format.h"
#include "tests/support/random.h"
#include "tests/support/store_test.h"

enum { DIM = 384, IDS_MAX = 20000 };

static struct codes codes;
static const char *folder;
static struct kv_txn txn;
static bool writing;

/* What must be there: a namespace's number for each id, 0: gone. */
static uint64_t space_of_id[IDS_MAX];

static int group_setup(void **state)
{
    (void)state;
    store_test_setup(NULL);
    if (kv_reserve(1 << 20) != RC_OK) return 1;
    return codes_reserve(&codes);
}

static int setup(void **state)
{
    (void)state;
    folder = store_test_folder();
    memset(space_of_id, 0, sizeof space_of_id);
    assert_int_equal(codes_open(&codes, folder, 256 << 20, false), RC_OK);
    assert_int_equal(codes.kv.page_size, sysconf(_SC_PAGESIZE));
    atomic_store(&codes.damaged, 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    if (writing) kv_abort(&txn);
    writing = false;
    codes_close(&codes);
    store_test_remove(folder);
    return 0;
}

/* ---- examples: all of an entry's follows from its id */

static uint64_t tag_of(uint64_t space)
{
    return codes_space_tag(space, 1);
}

static void bytes_of(uint64_t id, unsigned what, void *to, size_t size)
{
    uint64_t seed[2] = {id, what};
    assert_int_equal(hkdf_sha256(seed, sizeof seed, "x", 1, to, size), RC_OK);
}

static struct entry_vector vector_of(uint64_t space, uint64_t id, unsigned dim)
{
    static int8_t bytes[CODES_DIM_MAX];
    struct entry_vector vector = {.space = space, .space_tag = tag_of(space), .dim = dim, .vector = bytes};
    bytes_of(id, 1, vector.code, sizeof vector.code);
    bytes_of(id, 2, bytes, dim);
    return vector;
}

static void begin(void)
{
    assert_int_equal(codes_write_begin(&codes, &txn), RC_OK);
    writing = true;
}

static void commit(void)
{
    assert_int_equal(kv_commit(&txn), RC_OK);
    writing = false;
}

static void put(uint64_t space, uint64_t id)
{
    struct entry_vector vector = vector_of(space, id, DIM);
    assert_int_equal(codes_put(&codes, &txn, id, (uint32_t)id * 7, &vector), RC_OK);
    space_of_id[id] = space;
}

static unsigned delete_ids(uint64_t space, const uint64_t *ids, unsigned count)
{
    unsigned deleted = 0, some;
    int rc;
    do {
        rc = codes_delete(&codes, &txn, codes_name(tag_of(space)), ids, count, &some);
        deleted += some;
        if (rc == RC_AGAIN) commit(), begin();
    } while (rc == RC_AGAIN);
    assert_int_equal(rc, RC_OK);
    for (unsigned i = 0; i < count; i++)
        if (space_of_id[ids[i]] == space) space_of_id[ids[i]] = 0;
    return deleted;
}

struct seen {
    unsigned blocks, codes, living, large;
};

/* Every living id of the namespace is there once, with its code, its bits and its vector; nothing else lives. */
static struct seen check_space(uint64_t space)
{
    struct codes_walk walk;
    struct codes_block block;
    struct codes_slot slot;
    struct seen seen = {0};
    static unsigned char found[IDS_MAX];
    memset(found, 0, sizeof found);
    assert_int_equal(codes_walk_begin(&codes, tag_of(space), &walk), RC_OK);
    int rc;
    while ((rc = codes_walk_next(&walk, &block)) == RC_OK) {
        seen.blocks++;
        seen.large += block.number != CODES_TAIL_NUMBER;
        if (block.number != CODES_TAIL_NUMBER) assert_int_equal((uintptr_t)block.codes % 64, 0);
        for (unsigned i = 0; i < block.count; i++) {
            seen.codes++;
            int slot_rc = codes_walk_slot(&walk, block.number, i, &slot);
            if (slot_rc == RC_NOT_FOUND) continue;
            assert_int_equal(slot_rc, RC_OK);
            uint64_t id = codes_slot_id(&slot);
            assert_in_range(id, 1, IDS_MAX - 1);
            assert_int_equal(space_of_id[id], space);
            assert_int_equal(found[id]++, 0);
            struct entry_vector vector = vector_of(space, id, DIM);
            assert_memory_equal((const char *)block.codes + i * 32, vector.code, 32);
            assert_int_equal(slot.random, (uint32_t)id * 7);
            const int8_t *bytes;
            unsigned dim;
            uint32_t crc;
            assert_int_equal(codes_walk_vector(&walk, &slot, i, &bytes, &dim, &crc), RC_OK);
            assert_int_equal(dim, DIM);
            assert_memory_equal(bytes, vector.vector, DIM);
            assert_int_equal(crc, crc32c(0, bytes, DIM));
            seen.living++;
        }
    }
    assert_int_equal(rc, RC_NOT_FOUND);
    codes_walk_end(&walk);
    unsigned expected = 0;
    for (unsigned id = 1; id < IDS_MAX; id++) expected += space_of_id[id] == space;
    assert_int_equal(seen.living, expected);
    return seen;
}

static struct codes_stats stats(void)
{
    struct codes_stats s;
    assert_int_equal(codes_stats(&codes, &s), RC_OK);
    return s;
}

/* ---- */

static void an_empty_one_has_nothing(void **state)
{
    (void)state;
    struct seen seen = check_space(1);
    assert_int_equal(seen.blocks, 0);
    assert_int_equal(stats().rows, 0);
}

/* At every count around a fold and a full block: how many blocks there are and where the first code lies. */
static void the_tail_folds_when_it_is_full(void **state)
{
    (void)state;
    uint64_t id = 0;
    for (unsigned count = 1; count <= 9 * CODES_TAIL + 1; count++) {
        begin();
        put(5, ++id);
        commit();
        unsigned folded = (count - 1) / CODES_TAIL * CODES_TAIL;
        unsigned large = (folded + CODES_TAIL * 8 - 1) / (CODES_TAIL * 8);
        bool at_edge = count % CODES_TAIL <= 1 || count < 4;
        if (!at_edge) continue;
        struct seen seen = check_space(5);
        assert_int_equal(seen.codes, count);
        assert_int_equal(seen.large, large);
        assert_int_equal(seen.blocks, large + 1);
        /* codes and slots of each block, a fold of vectors each 126, a loose vector each code of the tail */
        assert_int_equal(stats().rows, 2 * (large + 1) + folded / CODES_TAIL + (count - folded));
    }
}

static void many_in_one_transaction(void **state)
{
    (void)state;
    begin();
    for (uint64_t id = 1; id <= 3000; id++) put(1 + id % 3, id);
    commit();
    for (unsigned space = 1; space <= 3; space++) assert_int_equal(check_space(space).codes, 1000);
    codes_close(&codes);
    assert_int_equal(codes_open(&codes, folder, 256 << 20, false), RC_OK);
    for (unsigned space = 1; space <= 3; space++) check_space(space);
}

static void an_aborted_transaction_leaves_nothing(void **state)
{
    (void)state;
    begin();
    for (uint64_t id = 1; id <= 200; id++) put(1, id);
    commit();
    uint64_t rows = stats().rows;
    begin();
    for (uint64_t id = 201; id <= 400; id++) put(1, id);
    uint64_t gone[] = {1, 2, 3, 150};
    assert_int_equal(delete_ids(1, gone, 4), 4);
    kv_abort(&txn);
    writing = false;
    for (uint64_t id = 1; id <= 400; id++) space_of_id[id] = id <= 200 ? 1 : 0;
    assert_int_equal(stats().rows, rows);
    check_space(1);
}

static void a_place_in_the_tail_is_used_again(void **state)
{
    (void)state;
    begin();
    for (uint64_t id = 1; id <= 10; id++) put(1, id);
    uint64_t gone[] = {3, 7, 4000};
    assert_int_equal(delete_ids(1, gone, 3), 2);
    commit();
    assert_int_equal(check_space(1).codes, 10);
    begin();
    put(1, 11);
    put(1, 12);
    commit();
    assert_int_equal(check_space(1).codes, 10);
    begin();
    put(1, 13);
    commit();
    assert_int_equal(check_space(1).codes, 11);
}

static void the_last_one_takes_all_rows_with_it(void **state)
{
    (void)state;
    begin();
    for (uint64_t id = 1; id <= 300; id++) put(1, id);
    commit();
    for (uint64_t id = 1; id <= 300; id++) {
        begin();
        assert_int_equal(delete_ids(1, &id, 1), 1);
        commit();
        if (id % 37 == 0) check_space(1);
    }
    assert_int_equal(check_space(1).blocks, 0);
    assert_int_equal(stats().rows, 0);
}

/* A large block's dead places are taken by a fold; half dead it is written anew. */
static void dead_places_of_large_blocks(void **state)
{
    (void)state;
    uint64_t ids[CODES_DELETES_MAX];
    begin();
    for (uint64_t id = 1; id <= 1008 + 1; id++) put(1, id);
    commit();
    assert_int_equal(check_space(1).large, 1);
    for (unsigned i = 0; i < 120; i++) ids[i] = 1 + i * 8;
    begin();
    assert_int_equal(delete_ids(1, ids, 120), 120);
    commit();
    struct seen seen = check_space(1);
    assert_int_equal(seen.codes, 1009); /* tombstones */
    begin();
    for (uint64_t id = 2000; id < 2000 + 126; id++) put(1, id);
    commit();
    seen = check_space(1);
    assert_int_equal(seen.large, 1); /* 888 living and 126 more: in the same block */
    assert_int_equal(seen.codes, 888 + 126 + 1);
    for (unsigned turn = 0; turn < 5; turn++) {
        for (unsigned i = 0; i < 100; i++) ids[i] = 2 + (turn * 100 + i) * 2 - (turn * 100 + i) * 2 % 8 + 1;
        begin();
        delete_ids(1, ids, 100);
        commit();
        check_space(1);
    }
    assert_true(check_space(1).codes < 1022 / 2 + 126 + 1022 / 2);
}

static void thin_neighbours_are_joined(void **state)
{
    (void)state;
    begin();
    for (uint64_t id = 1; id <= 10 * 1008; id++) put(1, id);
    commit();
    uint64_t full = stats().bytes;
    assert_int_equal(check_space(1).large, 10);
    for (uint64_t first = 1; first <= 10 * 1008; first += 100) {
        uint64_t ids[100];
        unsigned count = 0;
        for (uint64_t id = first; id < first + 100 && id <= 10 * 1008; id++)
            if (id % 20 != 0) ids[count++] = id;
        begin();
        assert_int_equal(delete_ids(1, ids, count), count);
        commit();
    }
    struct seen seen = check_space(1);
    assert_int_equal(seen.living, 504);
    assert_in_range(seen.large, 1, 3);
    assert_true(stats().bytes * 5 < full); /* vectors of the dead went too */
}

/* A long life of puts and deletes in a few namespaces, compared with what must be there. */
static void a_long_random_life(void **state)
{
    (void)state;
    uint32_t random = 12345;
    uint64_t id = 1;
    for (unsigned turn = 0; turn < 250; turn++) {
        begin();
        for (unsigned i = 0; i < 64 && id < IDS_MAX; i++) put(1 + (unsigned)test_random(&random) % 4, id++);
        commit();
        uint64_t space = 1 + (unsigned)test_random(&random) % 4, ids[CODES_DELETES_MAX];
        unsigned count = 0, wanted = (unsigned)((unsigned)test_random(&random) % CODES_DELETES_MAX);
        for (unsigned tries = 0; count < wanted && tries < 4000; tries++) {
            uint64_t one = 1 + (unsigned)test_random(&random) % (id - 1);
            bool twice = false;
            for (unsigned i = 0; i < count; i++) twice |= ids[i] == one;
            if (space_of_id[one] == space && !twice) ids[count++] = one;
        }
        begin();
        assert_int_equal(delete_ids(space, ids, count), count);
        commit();
        if (turn % 25 == 24)
            for (uint64_t s = 1; s <= 4; s++) check_space(s);
    }
    assert_int_equal(codes.damaged, 0);
}

/* A full store for a long time, whose victims are anywhere: what the dead leave behind stays bounded. */
static void a_long_life_at_capacity(void **state)
{
    (void)state;
    enum { LIVING = 3000, BATCH = 64 };
    static uint64_t living[LIVING + BATCH];
    unsigned count = 0;
    uint32_t random = 77;
    uint64_t most = 0;
    for (uint64_t id = 1; id + BATCH < IDS_MAX;) {
        begin();
        for (unsigned i = 0; i < BATCH; i++) put(1, living[count++] = id++);
        commit();
        if (count < LIVING) continue;
        uint64_t victims[BATCH];
        for (unsigned i = 0; i < BATCH; i++) {
            unsigned at = (unsigned)test_random(&random) % count;
            victims[i] = living[at];
            living[at] = living[--count];
        }
        begin();
        assert_int_equal(delete_ids(1, victims, BATCH), BATCH);
        commit();
        if (stats().bytes > most) most = stats().bytes;
    }
    struct seen seen = check_space(1);
    print_message("          %u living of %u codes in %u blocks, at most %.0f bytes an entry\n", seen.living,
                  seen.codes, seen.blocks, (double)most / LIVING);
    assert_true(most < (uint64_t)LIVING * 2 * codes_cost(DIM));
    assert_true(seen.codes < LIVING * 3 / 2);
}

static void the_census_names_every_id_once(void **state)
{
    (void)state;
    static uint64_t ids[CODES_BLOCK];
    static unsigned char found[IDS_MAX];
    struct codes_census census = {0};
    memset(found, 0, sizeof found);
    begin();
    for (uint64_t id = 1; id <= 5000; id++) put(1 + id * id % 40, id);
    commit();
    unsigned all = 0, turns = 0;
    int rc;
    while ((rc = codes_census(&codes, &census, ids)) == RC_OK) {
        turns++;
        for (unsigned i = 0; i < census.count; i++) {
            assert_int_equal(codes_name(tag_of(space_of_id[ids[i]])), census.name);
            assert_int_equal(found[ids[i]]++, 0);
            all++;
        }
        if (census.next == 0) break;
    }
    assert_int_equal(rc, RC_NOT_FOUND);
    assert_int_equal(all, 5000);
    assert_int_equal(census.broken, 0);
    assert_int_equal(census.blocks, turns);
    unsigned spaces = 0;
    for (uint64_t s = 1; s <= 40; s++) {
        bool any = false;
        for (unsigned id = 1; id <= 5000; id++) any |= space_of_id[id] == s;
        spaces += any;
    }
    assert_int_equal(census.namespaces, spaces);
}

static void flip(uint64_t key)
{
    struct span value;
    static unsigned char copy[CODES_FOLD_MAX];
    begin();
    assert_int_equal(kv_get(&txn, TABLE_BLOCKS, key, &value), RC_OK);
    size_t size = value.size;
    memcpy(copy, value.data, size);
    copy[size / 3] ^= 1;
    assert_int_equal(kv_put(&txn, TABLE_BLOCKS, key, span_of((const char *)copy, size)), RC_OK);
    commit();
}

/* One flipped bit in a block: the census says so, verifying drops that block and nothing else. */
static void a_damaged_block_is_dropped_alone(void **state)
{
    (void)state;
    static uint64_t ids[CODES_BLOCK];
    for (unsigned kind = KIND_CODES; kind <= KIND_SLOTS; kind++) {
        begin();
        for (uint64_t id = 1; id <= 400; id++) put(1, id + kind * 1000);
        commit();
        uint64_t name = codes_name(tag_of(1));
        flip(codes_key(name, kind, 0));
        struct codes_census census = {0};
        while (codes_census(&codes, &census, ids) == RC_OK && census.next != 0) {}
        assert_int_equal(census.broken, 1);
        unsigned before = (unsigned)codes.damaged;
        begin();
        assert_int_equal(codes_verify(&codes, &txn, name), RC_OK);
        commit();
        assert_int_equal(codes.damaged, before + 1);
        struct seen seen = {0};
        for (uint64_t id = 1; id <= 378; id++) space_of_id[id + kind * 1000] = 0;
        seen = check_space(1);
        assert_int_equal(seen.living, 400 - 378);
        for (uint64_t id = 379; id <= 400; id++) {
            uint64_t one = id + kind * 1000;
            begin();
            assert_int_equal(delete_ids(1, &one, 1), 1);
            commit();
        }
    }
}

static void other_dims(void **state)
{
    (void)state;
    begin();
    for (unsigned i = 1; i <= 130; i++) {
        struct entry_vector vector = vector_of(9, i, 1536);
        assert_int_equal(codes_put(&codes, &txn, i, i, &vector), RC_OK);
    }
    struct entry_vector none = vector_of(9, 200, 0), large = vector_of(9, 200, 1536), small = vector_of(9, 200, 384);
    large.dim = 1537;
    assert_int_equal(codes_put(&codes, &txn, 200, 1, &none), RC_INVALID);
    assert_int_equal(codes_put(&codes, &txn, 200, 1, &large), RC_INVALID);
    assert_int_equal(codes_put(&codes, &txn, 200, 1, &small), RC_INVALID);
    commit();
    struct codes_walk walk;
    struct codes_slot slot;
    const int8_t *bytes;
    unsigned dim;
    uint32_t crc;
    assert_int_equal(codes_walk_begin(&codes, tag_of(9), &walk), RC_OK);
    assert_int_equal(codes_walk_slot(&walk, 0, 125, &slot), RC_OK);
    assert_int_equal(codes_walk_vector(&walk, &slot, 125, &bytes, &dim, &crc), RC_OK);
    assert_int_equal(dim, 1536);
    struct entry_vector vector = vector_of(9, 126, 1536);
    assert_memory_equal(bytes, vector.vector, 1536);
    codes_walk_end(&walk);
}

/* What small namespaces cost; the figures are printed, the bounds are wide. */
static void small_namespaces_are_cheap(void **state)
{
    (void)state;
    static const struct {
        unsigned spaces, each;
    } rows[] = {{3000, 1}, {400, 10}, {50, 100}, {1, 5000}};
    for (unsigned r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        uint64_t id = 0;
        for (unsigned each = 0; each < rows[r].each; each++) {
            begin();
            for (unsigned s = 0; s < rows[r].spaces; s++) {
                put(1000 + s, ++id);
                if (id % 512 == 0) commit(), begin();
            }
            commit();
        }
        uint64_t bytes = stats().bytes;
        print_message("          %u namespaces of %u: %.0f bytes each, %.1f an entry\n", rows[r].spaces, rows[r].each,
                      (double)bytes / rows[r].spaces, (double)bytes / (double)id);
        assert_true(bytes / rows[r].spaces < (rows[r].each == 1 ? 4096u : 2048u + rows[r].each * 1024u));
        codes_close(&codes);
        store_test_remove(folder);
        folder = store_test_folder();
        assert_int_equal(codes_open(&codes, folder, 256 << 20, false), RC_OK);
    }
}

static void a_newer_version_is_refused(void **state)
{
    (void)state;
    struct span value;
    unsigned char copy[64];
    uint32_t version = CODES_VERSION + 1;
    begin();
    assert_int_equal(kv_get(&txn, TABLE_BOX, BOX_FORMAT, &value), RC_OK);
    size_t size = value.size;
    memcpy(copy, value.data, size);
    memcpy(copy + 16, &version, sizeof version);
    assert_int_equal(kv_put(&txn, TABLE_BOX, BOX_FORMAT, span_of((const char *)copy, size)), RC_OK);
    commit();
    codes_close(&codes);
    assert_int_equal(codes_open(&codes, folder, 256 << 20, false), RC_VERSION);
    assert_false(codes_are_open(&codes));
    struct codes_walk walk;
    assert_int_equal(codes_walk_begin(&codes, 1, &walk), RC_IO);
}

static void the_embedder_is_remembered(void **state)
{
    (void)state;
    assert_int_equal(codes.embedder, 0);
    begin();
    assert_int_equal(codes_embedder_set(&codes, &txn, 4711), RC_OK);
    commit();
    codes_close(&codes);
    assert_int_equal(codes_open(&codes, folder, 256 << 20, false), RC_OK);
    assert_int_equal(codes.embedder, 4711);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_empty_one_has_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(the_tail_folds_when_it_is_full, setup, teardown),
        cmocka_unit_test_setup_teardown(many_in_one_transaction, setup, teardown),
        cmocka_unit_test_setup_teardown(an_aborted_transaction_leaves_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(a_place_in_the_tail_is_used_again, setup, teardown),
        cmocka_unit_test_setup_teardown(the_last_one_takes_all_rows_with_it, setup, teardown),
        cmocka_unit_test_setup_teardown(dead_places_of_large_blocks, setup, teardown),
        cmocka_unit_test_setup_teardown(thin_neighbours_are_joined, setup, teardown),
        cmocka_unit_test_setup_teardown(a_long_random_life, setup, teardown),
        cmocka_unit_test_setup_teardown(a_long_life_at_capacity, setup, teardown),
        cmocka_unit_test_setup_teardown(the_census_names_every_id_once, setup, teardown),
        cmocka_unit_test_setup_teardown(a_damaged_block_is_dropped_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(other_dims, setup, teardown),
        cmocka_unit_test_setup_teardown(small_namespaces_are_cheap, setup, teardown),
        cmocka_unit_test_setup_teardown(a_newer_version_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(the_embedder_is_remembered, setup, teardown),
    };
    return cmocka_run_group_tests(tests, group_setup, NULL);
}
