/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_kv.c — rows, walks, readers beside the writer, and the layout for pages of 4 KiB and of 16 KiB. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <unistd.h>

#include "platform/rc.h"
#include "storage/kv.h"
#include "storage/layout.h"
#include "tests/support/store_test.h"

static const char *const tables[] = {"one", "two"};
static const char *folder;
static struct kv kv;

static int group_setup(void **state)
{
    (void)state;
    store_test_setup(NULL);
    return kv_reserve(1 << 20);
}

static void open_kv(uint64_t map_bytes)
{
    struct kv_options options = {
        .folder = folder, .tables = tables, .table_count = 2, .map_bytes = map_bytes, .readers = 2};
    assert_int_equal(kv_open(&kv, &options), RC_OK);
}

static int setup(void **state)
{
    (void)state;
    folder = store_test_folder();
    open_kv(16 << 20);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    kv_close(&kv);
    store_test_remove(folder);
    return 0;
}

static void layout_for_both_page_sizes(void **state)
{
    (void)state;
    assert_int_equal(layout_leaf_max(4096), 2022);
    assert_int_equal(layout_leaf_max(16384), 8166);
    assert_int_equal(layout_row_cost(4096, 2022), 18 + 2022);
    assert_int_equal(layout_row_cost(4096, 2023), 26 + 4096);
    assert_int_equal(layout_row_cost(4096, 4080), 26 + 4096);
    assert_int_equal(layout_row_cost(4096, 4081), 26 + 8192);
    assert_int_equal(layout_row_cost(4096, LAYOUT_CHUNK_MAX), 26 + 16384);  /* no fifth page */
    assert_int_equal(layout_row_cost(16384, LAYOUT_CHUNK_MAX), 26 + 16384); /* exactly one */
    assert_int_equal(layout_row_cost(16384, 8166), 18 + 8166);
    assert_int_equal(layout_row_cost(16384, 8167), 26 + 16384);

    struct layout small = layout_choose(4096, 400, 900); /* all in the leaf */
    assert_int_equal(small.row_body, 900);
    assert_int_equal(small.chunks, 0);
    struct layout page = layout_choose(4096, 400, 3500); /* all on one page of its own */
    assert_int_equal(page.row_body, 3500);
    assert_int_equal(page.chunks, 0);
    struct layout split = layout_choose(4096, 400, 5000); /* a full page, and the rest in the leaf */
    assert_int_equal(split.row_body, 5000 - 4080);
    assert_int_equal(split.chunks, 1);
    struct layout large = layout_choose(4096, 400, 40000);
    assert_int_equal(large.chunks, 3);
    struct layout wide = layout_choose(16384, 400, 5000); /* the same on large pages: still in the leaf */
    assert_int_equal(wide.row_body, 5000);
    assert_int_equal(wide.chunks, 0);
}

/* Never more than a page and a half wasted, on either page size, and every byte has its place. */
static void layout_holds_every_size(void **state)
{
    (void)state;
    static const size_t pages[] = {4096, 16384};
    for (unsigned p = 0; p < 2; p++)
        for (size_t fixed = 136; fixed < 4400; fixed += 711)
            for (size_t body = 0; body < 70000; body += 97) {
                struct layout l = layout_choose(pages[p], fixed, body);
                assert_true(l.row_body <= body);
                size_t chunked = body - l.row_body;
                assert_int_equal(l.chunks, (chunked + LAYOUT_CHUNK_MAX - 1) / LAYOUT_CHUNK_MAX);
                assert_true(fixed + l.row_body <= LAYOUT_CHUNK_MAX);
                assert_true(l.cost >= fixed + body);
                assert_true(l.cost < fixed + body + pages[p] * 3 / 2 + 26 * (l.chunks + 1));
            }
}

static void put_rows(unsigned from, unsigned to)
{
    struct kv_txn txn;
    assert_int_equal(kv_write_begin(&kv, &txn), RC_OK);
    for (unsigned i = from; i < to; i++) {
        char text[32];
        size_t size = (size_t)snprintf(text, sizeof text, "value %u", i);
        assert_int_equal(kv_append(&txn, 0, i * 2, span_of(text, size)), RC_OK);
    }
    assert_int_equal(kv_commit(&txn), RC_OK);
}

static void rows_are_kept_in_order(void **state)
{
    (void)state;
    struct kv_txn txn;
    struct span value;
    uint64_t key, rows;
    put_rows(1, 300);
    assert_int_equal(kv_read_begin(&kv, &txn), RC_OK);
    assert_int_equal(kv_count(&txn, 0, &rows), RC_OK);
    assert_int_equal(rows, 299);
    assert_int_equal(kv_get(&txn, 0, 256 * 2, &value), RC_OK);
    assert_true(span_equal(value, SPAN("value 256")));
    assert_int_equal(kv_get(&txn, 0, 257, &value), RC_NOT_FOUND);
    assert_int_equal(kv_get(&txn, 1, 2, &value), RC_NOT_FOUND);
    assert_int_equal(kv_seek(&txn, 0, 255, &key, &value), RC_OK);
    assert_int_equal(key, 256);
    for (unsigned i = 129; i < 300; i++) {
        assert_int_equal(kv_next(&txn, 0, &key, &value), RC_OK);
        assert_int_equal(key, i * 2);
    }
    assert_int_equal(kv_next(&txn, 0, &key, &value), RC_NOT_FOUND);
    assert_int_equal(kv_last(&txn, 0, &key, &value), RC_OK);
    assert_int_equal(key, 598);
    assert_int_equal(kv_previous(&txn, 0, &key, &value), RC_OK);
    assert_int_equal(key, 596);
    assert_int_equal(kv_seek(&txn, 0, 599, &key, &value), RC_NOT_FOUND);
    kv_read_end(&txn);
}

static void readers_see_their_moment(void **state)
{
    (void)state;
    struct kv_txn before, after, writer;
    struct span value;
    put_rows(1, 10);
    assert_int_equal(kv_read_begin(&kv, &before), RC_OK);
    assert_int_equal(kv_write_begin(&kv, &writer), RC_OK);
    assert_int_equal(kv_delete(&writer, 0, 2), RC_OK);
    assert_int_equal(kv_delete(&writer, 0, 3), RC_NOT_FOUND);
    assert_int_equal(kv_put(&writer, 0, 4, SPAN("changed")), RC_OK);
    assert_int_equal(kv_commit(&writer), RC_OK);
    assert_int_equal(kv_read_begin(&kv, &after), RC_OK);
    assert_int_equal(kv_get(&before, 0, 2, &value), RC_OK);
    assert_int_equal(kv_get(&after, 0, 2, &value), RC_NOT_FOUND);
    assert_int_equal(kv_get(&before, 0, 4, &value), RC_OK);
    assert_true(span_equal(value, SPAN("value 2")));
    assert_int_equal(kv_get(&after, 0, 4, &value), RC_OK);
    assert_true(span_equal(value, SPAN("changed")));
    kv_read_end(&before);
    kv_read_end(&after);
}

static void aborted_leaves_nothing(void **state)
{
    (void)state;
    struct kv_txn txn;
    struct span value;
    assert_int_equal(kv_write_begin(&kv, &txn), RC_OK);
    assert_int_equal(kv_put(&txn, 0, 1, SPAN("x")), RC_OK);
    kv_abort(&txn);
    assert_int_equal(kv_read_begin(&kv, &txn), RC_OK);
    assert_int_equal(kv_get(&txn, 0, 1, &value), RC_NOT_FOUND);
    kv_read_end(&txn);
}

static void append_below_the_last_is_a_put(void **state)
{
    (void)state;
    struct kv_txn txn;
    struct span value;
    assert_int_equal(kv_write_begin(&kv, &txn), RC_OK);
    assert_int_equal(kv_append(&txn, 0, 9, SPAN("nine")), RC_OK);
    assert_int_equal(kv_append(&txn, 0, 5, SPAN("five")), RC_OK);
    assert_int_equal(kv_append(&txn, 0, 9, SPAN("new")), RC_OK);
    assert_int_equal(kv_commit(&txn), RC_OK);
    assert_int_equal(kv_read_begin(&kv, &txn), RC_OK);
    assert_int_equal(kv_get(&txn, 0, 5, &value), RC_OK);
    assert_int_equal(kv_get(&txn, 0, 9, &value), RC_OK);
    assert_true(span_equal(value, SPAN("new")));
    kv_read_end(&txn);
}

static void a_full_map_says_so(void **state)
{
    (void)state;
    static char big[16000];
    struct kv_txn txn;
    kv_close(&kv);
    open_kv(256 << 10);
    int rc = RC_OK;
    assert_int_equal(kv_write_begin(&kv, &txn), RC_OK);
    for (unsigned i = 0; i < 100 && rc == RC_OK; i++) rc = kv_append(&txn, 0, i, span_of(big, sizeof big));
    assert_int_equal(rc, RC_NO_SPACE);
    kv_abort(&txn);
    put_rows(1, 5); /* and goes on */
}

static void the_map_is_found(void **state)
{
    (void)state;
    const void *base = NULL;
    size_t size = 0;
    struct kv_txn txn;
    struct span value;
    put_rows(1, 5);
    kv_map(&kv, &base, &size);
    assert_int_equal(size, 16 << 20);
    assert_int_equal(kv_read_begin(&kv, &txn), RC_OK);
    assert_int_equal(kv_get(&txn, 0, 4, &value), RC_OK);
    assert_true((const char *)base < value.data && value.data < (const char *)base + size);
    kv_read_end(&txn);
}

static void whole_files_pass_inspection(void **state)
{
    (void)state;
    char reason[KV_REASON_MAX];
    assert_int_equal(kv_inspect(folder, reason), RC_OK);
    put_rows(1, 2000);
    assert_int_equal(kv_inspect(folder, reason), RC_OK);
    assert_string_equal(reason, "");
    assert_int_equal(kv_inspect("/nonexistent", reason), RC_NOT_FOUND);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest kv_tests[] = {
        cmocka_unit_test(layout_for_both_page_sizes),
        cmocka_unit_test(layout_holds_every_size),
        TEST(rows_are_kept_in_order),
        TEST(readers_see_their_moment),
        TEST(aborted_leaves_nothing),
        TEST(append_below_the_last_is_a_put),
        TEST(a_full_map_says_so),
        TEST(the_map_is_found),
        TEST(whole_files_pass_inspection),
    };
    return cmocka_run_group_tests_name("kv", kv_tests, group_setup, NULL);
}
