/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_heap.c — a region under random takes and gives keeps every byte, joins what is free, and says when it is
 * full. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "platform/heap.h"
#include "platform/heap_shim.h"
#include "platform/plan.h"
#include "platform/rc.h"

enum { REGION = 4 << 20, HELD = 500, ROUNDS = 200000 };

/* What the region itself takes of a piece; libc keeps its own books in sanitizer builds. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define TWIN 1
#endif
#endif
#if !defined(TWIN)
#define TWIN 0
#endif

static int setup(void **state)
{
    (void)state;
    assert_int_equal(heap_reserve(HEAP_LMDB, REGION, "storage.entries_max"), RC_OK);
    assert_int_equal(heap_reserve(HEAP_YAML, 1 << 20, NULL), RC_OK);
    assert_int_equal(heap_reserve(HEAP_ZLIB, 0, NULL), RC_OK);
    return heap_reserve(HEAP_CARES, 65536, NULL);
}

static void test_names_and_plan(void **state)
{
    (void)state;
    assert_string_equal(heap_name(HEAP_LMDB), "lmdb");
    assert_string_equal(heap_name(HEAP_SQLITE), "sqlite");
    assert_string_equal(plan_at(0)->name, "heap lmdb");
    assert_int_equal(plan_at(0)->reserved, REGION);
    assert_int_equal(heap_usage(HEAP_LMDB).capacity, REGION);
}

static void test_empty_region_refuses(void **state)
{
    (void)state;
    assert_null(heap_take(HEAP_ZLIB, 1));
    assert_null(heap_take(HEAP_MBEDTLS, 1)); /* never reserved */
    assert_int_equal(heap_usage(HEAP_ZLIB).refused, 1);
}

struct held {
    unsigned char *piece;
    size_t size;
    unsigned char fill;
};

static uint32_t random_state = 777;
static uint32_t next_random(void)
{
    random_state = random_state * 1664525 + 1013904223;
    return random_state >> 8;
}

static size_t random_size(void)
{
    static const size_t limits[] = {24, 120, 600, 5000, 40000};
    return next_random() % limits[next_random() % 5];
}

static void check_bytes(const struct held *h, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (h->piece[i] != h->fill) fail_msg("byte %zu of %zu is %u instead of %u", i, h->size, h->piece[i], h->fill);
    }
}

static void give(struct held *h)
{
    check_bytes(h, h->size);
    heap_give(HEAP_LMDB, h->piece);
    h->piece = NULL;
}

static void take(struct held *h)
{
    size_t size = random_size();
    unsigned kind = next_random() % 4;
    size_t align = kind == 0 ? (size_t)32 << next_random() % 8 : 16;
    if (kind == 0)
        h->piece = heap_take_aligned(HEAP_LMDB, align, size);
    else if (kind == 1)
        h->piece = heap_take_zeroed(HEAP_LMDB, 1, size);
    else
        h->piece = heap_take(HEAP_LMDB, size);
    if (!h->piece) return;
    assert_int_equal((uintptr_t)h->piece % align, 0);
    *h = (struct held){h->piece, size, 0};
    if (kind == 1) check_bytes(h, size);
    h->fill = (unsigned char)next_random();
    memset(h->piece, h->fill, size);
}

static void resize(struct held *h)
{
    size_t size = random_size();
    unsigned char *moved = heap_resize(HEAP_LMDB, h->piece, size);
    if (!moved) return;
    h->piece = moved;
    check_bytes(h, size < h->size ? size : h->size);
    memset(moved, h->fill, size);
    h->size = size;
}

static void test_random_takes_and_gives(void **state)
{
    (void)state;
    static struct held held[HELD];
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct held *h = &held[next_random() % HELD];
        if (!h->piece)
            take(h);
        else if (next_random() % 3 == 0)
            resize(h);
        else
            give(h);
    }
    for (unsigned i = 0; i < HELD; i++) {
        if (held[i].piece) give(&held[i]);
    }
    assert_int_equal(heap_usage(HEAP_LMDB).used, 0);
    assert_true(heap_usage(HEAP_LMDB).high <= REGION);
    /* All of it is one piece again. */
    void *all = heap_take(HEAP_LMDB, REGION - 16);
    assert_non_null(all);
    heap_give(HEAP_LMDB, all);
}

static void test_full_region_recovers(void **state)
{
    (void)state;
    void *pieces[64];
    unsigned count = 0;
    while (count < 64 && (pieces[count] = heap_take(HEAP_CARES, 2000)) != NULL) count++;
    assert_in_range(count, 30, 32);
    size_t refused = heap_usage(HEAP_CARES).refused;
    assert_null(heap_take(HEAP_CARES, 8000));
    assert_int_equal(heap_usage(HEAP_CARES).refused, refused + 1);
    assert_null(heap_take(HEAP_CARES, SIZE_MAX));
    assert_null(heap_take_zeroed(HEAP_CARES, SIZE_MAX / 2, 3));
    /* Four neighbours freed out of order become one place. */
    heap_give(HEAP_CARES, pieces[4]);
    heap_give(HEAP_CARES, pieces[6]);
    heap_give(HEAP_CARES, pieces[7]);
    heap_give(HEAP_CARES, pieces[5]);
    void *wide = heap_take(HEAP_CARES, 8000);
    assert_non_null(wide);
    heap_give(HEAP_CARES, wide);
    for (unsigned i = 0; i < count; i++) {
        if (i < 4 || i > 7) heap_give(HEAP_CARES, pieces[i]);
    }
    heap_give(HEAP_CARES, NULL);
    assert_int_equal(heap_usage(HEAP_CARES).used, 0);
}

static size_t resident_bytes(const void *piece, size_t size)
{
    static unsigned char map[REGION / 4096 + 2];
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uintptr_t start = (uintptr_t)piece & ~(page - 1);
    size_t pages = ((uintptr_t)piece + size - start + page - 1) / page, count = 0;
    assert_int_equal(mincore((void *)start, pages * page, map), 0);
    for (size_t i = 0; i < pages; i++) count += map[i] & 1;
    return count * page;
}

static void test_large_pieces_come_untouched(void **state)
{
    (void)state;
    if (TWIN) skip();
    void *list = heap_take(HEAP_LMDB, 3 << 20);
    assert_non_null(list);
    assert_true(resident_bytes(list, 3 << 20) <= 65536);
    memset(list, 1, 3 << 20);
    assert_true(resident_bytes(list, 3 << 20) >= 3 << 20);
    heap_give(HEAP_LMDB, list);
    list = heap_take_zeroed(HEAP_LMDB, 3, 1 << 20); /* known to be zero: not written */
    assert_true(resident_bytes(list, 3 << 20) <= 65536);
    heap_give(HEAP_LMDB, list);
}

static void test_resize_in_place(void **state)
{
    (void)state;
    if (TWIN) skip();
    char *a = heap_take(HEAP_YAML, 1000);
    char *b = heap_take(HEAP_YAML, 1000);
    char *c = heap_take(HEAP_YAML, 1000);
    heap_give(HEAP_YAML, b);
    assert_ptr_equal(heap_resize(HEAP_YAML, a, 1900), a);   /* into the gap behind it */
    assert_ptr_equal(heap_resize(HEAP_YAML, a, 100), a);    /* and back */
    assert_ptr_equal(heap_resize(HEAP_YAML, c, 500000), c); /* the last one grows freely */
    assert_null(heap_resize(HEAP_YAML, c, 2 << 20));        /* c is untouched */
    assert_non_null(heap_resize(HEAP_YAML, NULL, 10));
    assert_true(heap_usage(HEAP_YAML).used >= 500000);
}

static void test_shims(void **state)
{
    (void)state;
    char *copy = heap_yaml_strdup("larder");
    assert_string_equal(copy, "larder");
    copy = heap_yaml_realloc(copy, 100);
    assert_string_equal(copy, "larder");
    heap_yaml_free(copy);
    unsigned *numbers = heap_yaml_calloc(10, sizeof *numbers);
    assert_int_equal(numbers[9], 0);
    heap_yaml_free(numbers);
    void *aligned = NULL;
    assert_int_equal(heap_lmdb_memalign(&aligned, 4096, 100000), 0);
    assert_int_equal((uintptr_t)aligned % 4096, 0);
    heap_lmdb_free(aligned);
    assert_int_equal(heap_lmdb_memalign(&aligned, 24, 1), EINVAL);
    assert_int_equal(heap_zlib_memalign(&aligned, 64, 1), ENOMEM);
    errno = 0;
    assert_null(heap_zlib_malloc(5));
    assert_int_equal(errno, ENOMEM);
    errno = 0;
    assert_null(heap_nofile_open("/etc/resolv.conf", "r"));
    assert_int_equal(errno, ENOENT);
    assert_int_equal(heap_nofile_close(NULL), EOF);
}

static void *thread_main(void *arg)
{
    uint32_t seed = (uint32_t)(uintptr_t)arg;
    for (unsigned i = 0; i < 20000; i++) {
        seed = seed * 1664525 + 1013904223;
        size_t size = (seed >> 10) % 3000 + 1;
        unsigned char *piece = heap_take(HEAP_LMDB, size);
        if (!piece) return NULL;
        piece[0] = (unsigned char)seed;
        piece[size - 1] = (unsigned char)seed;
        if (piece[0] != (unsigned char)seed) return NULL;
        heap_give(HEAP_LMDB, piece);
    }
    return arg;
}

static void test_threads(void **state)
{
    (void)state;
    pthread_t threads[3];
    for (uintptr_t i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, thread_main, (void *)(i + 1)), 0);
    for (uintptr_t i = 0; i < 3; i++) {
        void *result = NULL;
        pthread_join(threads[i], &result);
        assert_ptr_equal(result, (void *)(i + 1));
    }
    assert_int_equal(heap_usage(HEAP_LMDB).used, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_and_plan),
        cmocka_unit_test(test_empty_region_refuses),
        cmocka_unit_test(test_random_takes_and_gives),
        cmocka_unit_test(test_full_region_recovers),
        cmocka_unit_test(test_large_pieces_come_untouched),
        cmocka_unit_test(test_resize_in_place),
        cmocka_unit_test(test_shims),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests_name("heap", tests, setup, NULL);
}
