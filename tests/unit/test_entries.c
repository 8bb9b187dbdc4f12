/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_entries.c — rows of entries: what is put is read, its index cell, deleting, tenants, the eviction state. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "platform/rc.h"
#include "storage/entries.h"
#include "storage/entries_format.h"
#include "storage/layout.h"
#include "tests/support/store_test.h"

static struct entries entries;
static const char *folder;
static const struct hash_key key = {1, 2};

static int group_setup(void **state)
{
    (void)state;
    store_test_setup(NULL);
    return entries_reserve(&entries, 1 << 20);
}

static int setup(void **state)
{
    (void)state;
    folder = store_test_folder();
    assert_int_equal(entries_open(&entries, folder, 64 << 20, false, &key), RC_OK);
    arena_reset(&store_test_arena, 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    entries_close(&entries);
    store_test_remove(folder);
    return 0;
}

static void reopen(void)
{
    static const struct hash_key other = {3, 4};
    entries_close(&entries);
    assert_int_equal(entries_open(&entries, folder, 64 << 20, false, &other), RC_OK);
}

static void put(uint64_t id, unsigned n, size_t size)
{
    struct kv_txn txn;
    uint32_t cost, random;
    struct digest digest = store_test_digest(n);
    struct entry_meta meta = store_test_meta(n);
    unsigned char tag[ENTRIES_TAG_SIZE] = {(unsigned char)n};
    struct entry_new entry = {
        .digest = &digest, .meta = &meta, .tag = tag, .query = store_test_query(n), .body = store_test_body(n, size)};
    meta.id = id;
    assert_int_equal(kv_write_begin(&entries.kv, &txn), RC_OK);
    assert_int_equal(entries_put(&entries, &txn, &entry, &cost, &random), RC_OK);
    assert_true(cost > 0 &&
                (size < ENTRIES_COMPRESS_FROM ? cost == entries_cost(&entries, &entry) : cost < size + 9000));
    assert_int_equal(kv_commit(&txn), RC_OK);
}

static int delete (uint64_t id)
{
    struct kv_txn txn;
    assert_int_equal(kv_write_begin(&entries.kv, &txn), RC_OK);
    int rc = entries_delete(&txn, id);
    assert_int_equal(kv_commit(&txn), RC_OK);
    return rc;
}

static int read_number(uint64_t id, unsigned n, struct entry_texts *texts)
{
    struct digest digest = store_test_digest(n);
    return entries_read(&entries, id, &digest, &store_test_arena, texts);
}

static void put_and_read(void **state)
{
    (void)state;
    struct entry_texts texts;
    static const size_t sizes[] = {0, 1, 1500, 1900, 4095, 4096, 30000, 1 << 20};
    for (unsigned n = 0; n < 8; n++) put(n + 1, n, sizes[n]);
    for (unsigned n = 0; n < 8; n++) {
        arena_reset(&store_test_arena, 0);
        assert_int_equal(read_number(n + 1, n, &texts), RC_OK);
        assert_true(span_equal(texts.body, store_test_body(n, sizes[n])));
        assert_true(span_equal(texts.query, store_test_query(n)));
        assert_int_equal(texts.meta.id, n + 1);
        assert_int_equal(read_number(n + 1, n + 1, &texts), RC_NOT_FOUND); /* another digest */
        assert_int_equal(entries_read(&entries, n + 1, NULL, &store_test_arena, &texts), RC_OK);
    }
    assert_int_equal(read_number(99, 0, &texts), RC_NOT_FOUND);
}

static void no_room_in_the_arena_leaves_it_as_it_was(void **state)
{
    (void)state;
    struct entry_texts texts;
    struct arena small;
    static _Alignas(4096) unsigned char memory[16384];
    struct digest digest = store_test_digest(1);
    put(1, 1, 20000);
    arena_init(&small, memory, sizeof memory, NULL);
    size_t mark = arena_mark(&small);
    assert_int_equal(entries_read(&entries, 1, &digest, &small, &texts), RC_FULL);
    assert_int_equal(arena_mark(&small), mark);
}

struct seen {
    struct entry_index cells[200];
    unsigned count, stop;
};

static bool see(void *context, const struct entry_index *index)
{
    struct seen *seen = context;
    seen->cells[seen->count++] = *index;
    return seen->count != seen->stop;
}

static void the_index_is_walked_in_order(void **state)
{
    (void)state;
    static struct seen seen;
    unsigned damaged;
    for (unsigned n = 0; n < 100; n++) put(1 + n * 3, n, 10);
    assert_int_equal(delete (1 + 50 * 3), RC_OK);
    assert_int_equal(delete (1 + 50 * 3), RC_NOT_FOUND);
    reopen();
    seen = (struct seen){0};
    assert_int_equal(entries_scan(&entries, 0, see, &seen, &damaged), RC_OK);
    assert_int_equal(damaged, 0);
    assert_int_equal(seen.count, 99);
    for (unsigned i = 0; i < 99; i++) {
        unsigned n = i < 50 ? i : i + 1;
        struct entry_meta meta = store_test_meta(n);
        assert_int_equal(seen.cells[i].id, 1 + n * 3);
        assert_int_equal(seen.cells[i].tag[0], n);
        assert_int_equal(seen.cells[i].ttl_s, 3600);
        assert_int_equal(seen.cells[i].tenant, meta.tenant[0]);
        assert_true(seen.cells[i].cost >= 136 + 10);
    }
    seen = (struct seen){.stop = 5};
    assert_int_equal(entries_scan(&entries, 100, see, &seen, &damaged), RC_OK);
    assert_int_equal(seen.count, 5);
    assert_int_equal(seen.cells[0].id, 100);
}

/* Every row an emptied store has left is its format: nothing leaks. */
static void deleting_leaves_nothing(void **state)
{
    (void)state;
    struct kv_txn txn;
    uint64_t rows;
    for (unsigned n = 0; n < 70; n++) put(n + 1, n, n % 2 ? 10 : 50000);
    for (unsigned n = 0; n < 70; n++) assert_int_equal(delete ((n * 37) % 70 + 1), RC_OK);
    assert_int_equal(kv_read_begin(&entries.kv, &txn), RC_OK);
    assert_int_equal(kv_count(&txn, TABLE_ROWS, &rows), RC_OK);
    assert_int_equal(rows, 0);
    assert_int_equal(kv_count(&txn, TABLE_INDEX, &rows), RC_OK);
    assert_int_equal(rows, 0);
    assert_int_equal(kv_count(&txn, TABLE_BOX, &rows), RC_OK);
    assert_int_equal(rows, 1);
    kv_read_end(&txn);
}

static void the_key_and_the_mark_stay(void **state)
{
    (void)state;
    struct kv_txn txn;
    assert_int_equal(entries.id_mark, 1);
    put(41, 1, 10);
    reopen();
    assert_int_equal(entries.tag_key.k0, 1); /* the first one's, not the one offered now */
    assert_int_equal(entries.id_mark, 42);
    assert_int_equal(kv_write_begin(&entries.kv, &txn), RC_OK);
    assert_int_equal(entries_mark_ids(&txn, 1000), RC_OK);
    assert_int_equal(kv_commit(&txn), RC_OK);
    reopen();
    assert_int_equal(entries.id_mark, 1000);
}

static void tenants_in_pieces_and_the_oldest(void **state)
{
    (void)state;
    uint64_t ids[3], next;
    unsigned count;
    for (unsigned n = 0; n < 100; n++) put(n + 1, n, 10);
    struct entry_meta meta = store_test_meta(4); /* 4, 19, 34, 49, 64, 79, 94 */
    assert_int_equal(entries_of_tenant(&entries, meta.tenant, 0, 1000, ids, 3, &count, &next), RC_OK);
    assert_int_equal(count, 3);
    assert_int_equal(ids[2], 35);
    assert_int_equal(next, 50);
    assert_int_equal(entries_of_tenant(&entries, meta.tenant, next, 80, ids, 3, &count, &next), RC_OK);
    assert_int_equal(count, 2);
    assert_int_equal(next, 80);
    assert_int_equal(entries_oldest(&entries, ids, 3, &count), RC_OK);
    assert_int_equal(count, 3);
    assert_int_equal(ids[0], 1);
    assert_int_equal(ids[2], 3);
}

struct parts {
    char text[64];
    size_t size;
    unsigned count;
};

static void take_part(void *context, struct span value)
{
    struct parts *parts = context;
    memcpy(parts->text + parts->size, value.data, value.size);
    parts->size += value.size;
    parts->count++;
}

static void the_state_is_cut_behind_its_last_part(void **state)
{
    (void)state;
    struct kv_txn txn;
    struct parts parts = {.size = 0};
    assert_int_equal(kv_write_begin(&entries.kv, &txn), RC_OK);
    for (unsigned i = 0; i < 5; i++) assert_int_equal(entries_state_put(&txn, i, SPAN("old.")), RC_OK);
    assert_int_equal(entries_state_put(&txn, 0, SPAN("one ")), RC_OK);
    assert_int_equal(entries_state_put(&txn, 1, SPAN("two")), RC_OK);
    assert_int_equal(entries_state_cut(&txn, 2), RC_OK);
    assert_int_equal(kv_commit(&txn), RC_OK);
    reopen();
    assert_int_equal(entries_state_read(&entries, take_part, &parts), RC_OK);
    assert_int_equal(parts.count, 2);
    assert_true(span_equal(span_of(parts.text, parts.size), SPAN("one two")));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static void a_vector_leaves_its_space_and_guard(void **state)
{
    (void)state;
    static char guard[ENTRIES_GUARD_MAX + 1];
    struct kv_txn txn;
    struct entry_texts texts;
    struct entry_question question;
    uint32_t cost, random, told;
    uint64_t space;
    memset(guard, 'g', sizeof guard);
    for (unsigned i = 1; i <= 4; i++) {
        struct digest digest = store_test_digest(i);
        struct entry_meta meta = store_test_meta(i);
        unsigned char tag[ENTRIES_TAG_SIZE] = {(unsigned char)i};
        size_t size = i == 4 ? sizeof guard : i * 100; /* too long a one is not kept */
        struct entry_vector vector = {
            .space = UINT64_C(0x1122334455667788) * (i > 1), .shared = i == 3, .guard = span_of(guard, size)};
        struct entry_new entry = {.digest = &digest,
                                  .meta = &meta,
                                  .tag = tag,
                                  .query = store_test_query(i),
                                  .body = store_test_body(i, i * 3000),
                                  .vector = &vector};
        meta.id = i;
        assert_int_equal(kv_write_begin(&entries.kv, &txn), RC_OK);
        assert_int_equal(entries_put(&entries, &txn, &entry, &cost, &random), RC_OK);
        assert_int_equal(entries_space(&txn, i, &space, &told), RC_OK);
        assert_int_equal(kv_commit(&txn), RC_OK);
        assert_int_equal(space, vector.space);
        assert_int_equal(told, random);
        assert_int_equal(entries_question(&entries, i, &store_test_arena, &question), RC_OK);
        assert_int_equal(question.space, vector.space);
        assert_int_equal(question.random, random);
        assert_int_equal(question.guard.size, i == 1 || i == 4 ? 0 : size);
        assert_int_equal(question.flags & ENTRY_WORDED, i == 1 ? 0 : ENTRY_WORDED);
        assert_int_equal(question.flags & ENTRY_SHARED, i == 3 ? ENTRY_SHARED : 0);
        assert_memory_equal(question.tenant, meta.tenant, sizeof meta.tenant);
        assert_true(span_equal(question.query, store_test_query(i)));
        assert_int_equal(entries_read(&entries, i, &digest, &store_test_arena, &texts), RC_OK);
        assert_true(span_equal(texts.body, store_test_body(i, i * 3000)));
        assert_true(span_equal(texts.query, store_test_query(i)));
    }
    uint64_t ids[] = {3, 99, 1}, spaces[3];
    assert_int_equal(entries_spaces(&entries, ids, 3, spaces), RC_OK);
    assert_int_equal(spaces[0], UINT64_C(0x1122334455667788));
    assert_int_equal(spaces[1], 0);
    assert_int_equal(spaces[2], 0);
    assert_int_equal(entries_question(&entries, 99, &store_test_arena, &question), RC_NOT_FOUND);
}

/* As a store of version 1 has it: other words where the space is now, nothing between query and body. */
static void make_version_1(uint64_t id)
{
    static unsigned char copy[LAYOUT_CHUNK_MAX];
    struct kv_txn txn;
    struct span value;
    struct row_header header;
    struct format_row format;
    assert_int_equal(kv_write_begin(&entries.kv, &txn), RC_OK);
    assert_int_equal(kv_get(&txn, TABLE_ROWS, row_key(id, 0), &value), RC_OK);
    size_t size = value.size;
    memcpy(copy, value.data, size);
    memcpy(&header, copy, sizeof header);
    header.version = 1;
    header.space[0] = 7;
    memcpy(copy, &header, sizeof header);
    uint32_t crc = crc32c(0, copy + 4, size - 4);
    memcpy(copy, &crc, sizeof crc);
    assert_int_equal(kv_put(&txn, TABLE_ROWS, row_key(id, 0), span_of((const char *)copy, size)), RC_OK);
    assert_int_equal(kv_get(&txn, TABLE_BOX, BOX_FORMAT, &value), RC_OK);
    memcpy(&format, value.data, sizeof format);
    assert_int_equal(format.version, ENTRIES_VERSION);
    format.version = 1;
    assert_int_equal(kv_put(&txn, TABLE_BOX, BOX_FORMAT, span_of((const char *)&format, sizeof format)), RC_OK);
    assert_int_equal(kv_commit(&txn), RC_OK);
}

static void version_1_is_exact_only(void **state)
{
    (void)state;
    struct digest digest = store_test_digest(7);
    struct entry_texts texts;
    struct entry_question question;
    put(5, 7, 900);
    make_version_1(5);
    for (unsigned turn = 0; turn < 3; turn++) {
        entries_close(&entries);
        assert_int_equal(entries_open(&entries, folder, 64 << 20, turn == 0, &key), RC_OK);
        assert_int_equal(entries.version, turn < 2 ? 1 : ENTRIES_VERSION); /* for reading only it is left alone */
        assert_int_equal(entries_read(&entries, 5, &digest, &store_test_arena, &texts), RC_OK);
        assert_true(span_equal(texts.body, store_test_body(7, 900)));
        assert_int_equal(entries_question(&entries, 5, &store_test_arena, &question), RC_OK);
        assert_int_equal(question.space, 0);
        assert_int_equal(question.guard.size, 0);
    }
    assert_int_equal(delete (5), RC_OK);
}

int main(void)
{
    const struct CMUnitTest entries_tests[] = {
        TEST(put_and_read),
        TEST(no_room_in_the_arena_leaves_it_as_it_was),
        TEST(the_index_is_walked_in_order),
        TEST(deleting_leaves_nothing),
        TEST(the_key_and_the_mark_stay),
        TEST(tenants_in_pieces_and_the_oldest),
        TEST(the_state_is_cut_behind_its_last_part),
        TEST(a_vector_leaves_its_space_and_guard),
        TEST(version_1_is_exact_only),
    };
    return cmocka_run_group_tests_name("entries", entries_tests, group_setup, NULL);
}
