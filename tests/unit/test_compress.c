/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_compress.c — blocks there and back, streams in any chunking, every bound refused by name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "platform/compress.h"
#include "platform/rc.h"

enum { BLOCK_MAX = 1 << 20 };

/* LINE twenty times, as another implementation writes it. */
#define LINE "event: ping\ndata: {\"type\":\"ping\"}\n\n"
static const unsigned char in_gzip[] = {
    0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x03, 0x4b, 0x2d, 0x4b, 0xcd, 0x2b, 0xb1,
    0x52, 0x28, 0xc8, 0xcc, 0x4b, 0xe7, 0x4a, 0x49, 0x2c, 0x49, 0xb4, 0x52, 0xa8, 0x56, 0x2a, 0xa9,
    0x2c, 0x48, 0x55, 0xb2, 0x52, 0x02, 0x89, 0x29, 0xd5, 0x72, 0x71, 0xa5, 0x8e, 0x2a, 0x19, 0x55,
    0x32, 0x18, 0x95, 0x00, 0x00, 0xf0, 0x24, 0x23, 0xc8, 0xbc, 0x02, 0x00, 0x00,
};
static const unsigned char in_zlib[] = {
    0x78, 0xda, 0x4b, 0x2d, 0x4b, 0xcd, 0x2b, 0xb1, 0x52, 0x28, 0xc8, 0xcc, 0x4b, 0xe7, 0x4a, 0x49, 0x2c,
    0x49, 0xb4, 0x52, 0xa8, 0x56, 0x2a, 0xa9, 0x2c, 0x48, 0x55, 0xb2, 0x52, 0x02, 0x89, 0x29, 0xd5, 0x72,
    0x71, 0xa5, 0x8e, 0x2a, 0x19, 0x55, 0x32, 0x18, 0x95, 0x00, 0x00, 0x4e, 0xc7, 0xe3, 0xf9,
};

static unsigned char plain[BLOCK_MAX], packed[BLOCK_MAX + 8192], back[BLOCK_MAX + 8192];

static void fill_text(size_t size)
{
    for (size_t at = 0; at < size; at++) plain[at] = (unsigned char)LINE[(at * at / 977 + at) % (sizeof LINE - 1)];
}

static void fill_noise(size_t size)
{
    uint32_t seed = 3;
    for (size_t i = 0; i < size; i++) plain[i] = (unsigned char)((seed = seed * 1664525 + 1013904223) >> 24);
}

static size_t pack(size_t size)
{
    size_t packed_size;
    assert_true(compress_bound(size) <= sizeof packed);
    assert_int_equal(compress_block(span_of((const char *)plain, size), packed, sizeof packed, &packed_size), RC_OK);
    return packed_size;
}

static void test_blocks_come_back_at_every_size(void **state)
{
    (void)state;
    for (size_t size = 0; size <= BLOCK_MAX; size = size * 3 / 2 + 1) {
        for (int noise = 0; noise < 2; noise++) {
            size_t got;
            if (noise)
                fill_noise(size);
            else
                fill_text(size);
            struct span blob = span_of((const char *)packed, pack(size));
            assert_int_equal(decompress_block(blob, back, size, &got), RC_OK);
            assert_int_equal(got, size);
            assert_memory_equal(back, plain, size);
        }
    }
    fill_noise(BLOCK_MAX);
    assert_true(pack(BLOCK_MAX) > BLOCK_MAX);
}

static void test_block_bounds_are_refused(void **state)
{
    (void)state;
    size_t size;
    fill_text(10000);
    size_t packed_size = pack(10000);
    struct span blob = span_of((const char *)packed, packed_size);
    assert_int_equal(decompress_block(blob, back, 9999, &size), RC_TOO_LARGE);
    assert_int_equal(size, 0);
    assert_int_equal(compress_block(span_of((const char *)plain, 10000), back, packed_size - 1, &size), RC_TOO_LARGE);
    assert_int_equal(compress_block(span_of((const char *)plain, BLOCK_MAX + 1), back, sizeof back, &size),
                     RC_TOO_LARGE);
    assert_int_equal(pack(10000), packed_size);
}

static void test_damaged_blocks_never_come_back(void **state)
{
    (void)state;
    size_t size;
    fill_text(5000);
    size_t packed_size = pack(5000);
    for (size_t cut = 0; cut < packed_size; cut++)
        assert_int_equal(decompress_block(span_of((const char *)packed, cut), back, 5000, &size), RC_CORRUPT);
    for (size_t i = 0; i < packed_size; i++) {
        packed[i] ^= 0x55; /* may decode to other bytes: the store has its own checksum; it must only not break out */
        memset(back + 5000, 0xa5, 16);
        (void)decompress_block(span_of((const char *)packed, packed_size), back, 5000, &size);
        assert_int_equal(back[5000], 0xa5);
        packed[i] ^= 0x55;
    }
    assert_int_equal(decompress_block(SPAN("hello, this is no frame"), back, 5000, &size), RC_CORRUPT);
}

static void test_codings_are_known_by_name(void **state)
{
    (void)state;
    assert_int_equal(compress_coding_of(SPAN("")), CODING_IDENTITY);
    assert_int_equal(compress_coding_of(SPAN(" Identity ")), CODING_IDENTITY);
    assert_int_equal(compress_coding_of(SPAN("GZIP")), CODING_GZIP);
    assert_int_equal(compress_coding_of(SPAN("x-gzip")), CODING_GZIP);
    assert_int_equal(compress_coding_of(SPAN("deflate")), CODING_GZIP);
    assert_int_equal(compress_coding_of(SPAN("zstd")), CODING_ZSTD);
    assert_int_equal(compress_coding_of(SPAN("br")), CODING_UNKNOWN);
    assert_int_equal(compress_coding_of(SPAN("gzip, zstd")), CODING_UNKNOWN);
}

/* Feeds `chunk` bytes a time into room for `room`; returns the rc and what came out. */
static int decode(enum compress_coding coding, const unsigned char *data, size_t size, size_t chunk, size_t room,
                  size_t *total, bool *ended)
{
    struct decoder *d;
    int rc = RC_OK;
    *total = 0;
    *ended = false;
    assert_int_equal(decoder_open(coding, &d), RC_OK);
    for (size_t at = 0; at < size && rc == RC_OK; at += chunk) {
        struct span in = span_of((const char *)data + at, size - at < chunk ? size - at : chunk);
        size_t produced = 1;
        while (rc == RC_OK && (in.size > 0 || produced > 0)) {
            assert_true(*total + room <= sizeof back);
            rc = decoder_run(d, &in, back + *total, room, &produced, ended);
            *total += produced;
        }
    }
    decoder_close(d);
    return rc;
}

static void assert_lines(const unsigned char *data, size_t size, enum compress_coding coding)
{
    static const size_t chunks[] = {1, 2, 7, 1000}, rooms[] = {1, 3, 64, 4096};
    char want[20 * (sizeof LINE - 1) + 1] = "";
    for (int i = 0; i < 20; i++) memcpy(want + (size_t)i * (sizeof LINE - 1), LINE, sizeof LINE - 1);
    for (size_t c = 0; c < 4; c++) {
        for (size_t r = 0; r < 4; r++) {
            size_t total;
            bool ended;
            assert_int_equal(decode(coding, data, size, chunks[c], rooms[r], &total, &ended), RC_OK);
            assert_true(ended);
            assert_int_equal(total, sizeof want - 1);
            assert_memory_equal(back, want, total);
        }
    }
}

static void test_streams_decode_in_any_chunking(void **state)
{
    (void)state;
    size_t size;
    assert_lines(in_gzip, sizeof in_gzip, CODING_GZIP);
    assert_lines(in_zlib, sizeof in_zlib, CODING_GZIP);
    for (size_t i = 0; i < 20; i++) memcpy(plain + i * (sizeof LINE - 1), LINE, sizeof LINE - 1);
    size = pack(20 * (sizeof LINE - 1));
    assert_lines(packed, size, CODING_ZSTD);
}

static void test_members_may_follow_each_other(void **state)
{
    (void)state;
    size_t total;
    bool ended;
    memcpy(packed, in_gzip, sizeof in_gzip);
    memcpy(packed + sizeof in_gzip, in_gzip, sizeof in_gzip);
    assert_int_equal(decode(CODING_GZIP, packed, 2 * sizeof in_gzip, 5, 100, &total, &ended), RC_OK);
    assert_true(ended);
    assert_int_equal(total, 40 * (sizeof LINE - 1));
}

static void test_cut_and_damaged_streams_are_seen(void **state)
{
    (void)state;
    size_t total;
    bool ended;
    for (size_t cut = 0; cut < sizeof in_gzip; cut++) {
        assert_int_equal(decode(CODING_GZIP, in_gzip, cut, 9, 100, &total, &ended), RC_OK);
        assert_false(ended);
    }
    memcpy(packed, in_gzip, sizeof in_gzip);
    packed[sizeof in_gzip - 5] ^= 1; /* its checksum */
    assert_int_equal(decode(CODING_GZIP, packed, sizeof in_gzip, 9, 100, &total, &ended), RC_CORRUPT);
    assert_int_equal(decode(CODING_GZIP, (const unsigned char *)"plain text", 10, 10, 100, &total, &ended), RC_CORRUPT);
    assert_int_equal(decode(CODING_ZSTD, (const unsigned char *)"plain text", 10, 10, 100, &total, &ended), RC_CORRUPT);
}

static void test_large_streams_pass_through_the_window(void **state)
{
    (void)state;
    size_t total;
    bool ended;
    fill_text(BLOCK_MAX);
    size_t size = pack(BLOCK_MAX);
    assert_int_equal(decode(CODING_ZSTD, packed, size, 1000, 777, &total, &ended), RC_OK);
    assert_true(ended);
    assert_int_equal(total, BLOCK_MAX);
    assert_memory_equal(back, plain, BLOCK_MAX);
}

/* RFC 8878, 3.1.1.1.2: a window descriptor with exponent e means 2^(10 + e) bytes. Then one empty raw block. */
static void test_windows_are_bounded(void **state)
{
    (void)state;
    size_t total;
    bool ended;
    unsigned char frame[] = {0x28, 0xb5, 0x2f, 0xfd, 0x00, (COMPRESS_WINDOW_LOG - 10) << 3, 0x01, 0x00, 0x00};
    assert_int_equal(decode(CODING_ZSTD, frame, sizeof frame, 99, 100, &total, &ended), RC_OK);
    assert_true(ended);
    frame[5] = (COMPRESS_WINDOW_LOG + 1 - 10) << 3;
    assert_int_equal(decode(CODING_ZSTD, frame, sizeof frame, 99, 100, &total, &ended), RC_TOO_LARGE);
}

static void test_decoders_are_counted(void **state)
{
    (void)state;
    struct decoder *gzip[COMPRESS_STREAMS_GZIP], *zstd[COMPRESS_STREAMS_ZSTD], *more;
    for (unsigned i = 0; i < COMPRESS_STREAMS_GZIP; i++) assert_int_equal(decoder_open(CODING_GZIP, &gzip[i]), RC_OK);
    for (unsigned i = 0; i < COMPRESS_STREAMS_ZSTD; i++) assert_int_equal(decoder_open(CODING_ZSTD, &zstd[i]), RC_OK);
    assert_int_equal(decoder_open(CODING_GZIP, &more), RC_FULL);
    assert_int_equal(decoder_open(CODING_ZSTD, &more), RC_FULL);
    assert_null(more);
    decoder_close(gzip[3]);
    assert_int_equal(decoder_open(CODING_GZIP, &more), RC_OK);
    assert_ptr_equal(more, gzip[3]);
    for (unsigned i = 0; i < COMPRESS_STREAMS_GZIP; i++) decoder_close(gzip[i]);
    for (unsigned i = 0; i < COMPRESS_STREAMS_ZSTD; i++) decoder_close(zstd[i]);
    assert_int_equal(decoder_open(CODING_IDENTITY, &more), RC_UNSUPPORTED);
    assert_int_equal(decoder_open(CODING_UNKNOWN, &more), RC_UNSUPPORTED);
    assert_lines(in_gzip, sizeof in_gzip, CODING_GZIP);
}

static int start(void **state)
{
    (void)state;
    return compress_reserve(BLOCK_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocks_come_back_at_every_size),
        cmocka_unit_test(test_block_bounds_are_refused),
        cmocka_unit_test(test_damaged_blocks_never_come_back),
        cmocka_unit_test(test_codings_are_known_by_name),
        cmocka_unit_test(test_streams_decode_in_any_chunking),
        cmocka_unit_test(test_members_may_follow_each_other),
        cmocka_unit_test(test_cut_and_damaged_streams_are_seen),
        cmocka_unit_test(test_large_streams_pass_through_the_window),
        cmocka_unit_test(test_windows_are_bounded),
        cmocka_unit_test(test_decoders_are_counted),
    };
    return cmocka_run_group_tests_name("compress", tests, start, NULL);
}
