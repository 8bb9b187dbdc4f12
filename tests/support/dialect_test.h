/* SPDX-License-Identifier: Apache-2.0 */
/* tests/support/dialect_test.h — a scratch, an arena and an output buffer for the tests of dialects and identity. */
#ifndef TESTS_SUPPORT_DIALECT_TEST_H
#define TESTS_SUPPORT_DIALECT_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "app/gateway/dialect.h"
#include "platform/rc.h"

enum { SCRATCH_SIZE = 4 << 20, ARENA_SIZE = 2 << 20, OUT_SIZE = 1 << 20 };

static _Alignas(4096) unsigned char scratch_memory[SCRATCH_SIZE];
static _Alignas(4096) unsigned char arena_memory[ARENA_SIZE];
static char out_memory[OUT_SIZE];
static struct json_scratch scratch = {scratch_memory, sizeof scratch_memory};
static struct arena arena;
static struct text out;

static inline int set_up(void **state)
{
    (void)state;
    scratch = (struct json_scratch){scratch_memory, sizeof scratch_memory};
    arena_init(&arena, arena_memory, sizeof arena_memory, NULL);
    out = text_on(out_memory, sizeof out_memory);
    return 0;
}

static inline int tear_down(void **state)
{
    (void)state;
    arena_reset(&arena, 0);
    return 0;
}

#define assert_span(actual, expected)                                                                  \
    do {                                                                                               \
        struct span a_ = (actual), e_ = span_text(expected);                                           \
        if (!span_equal(a_, e_))                                                                       \
            fail_msg("%s:%d\n got: %.*s\nwant: %.*s", __FILE__, __LINE__, SPAN_ARG(a_), SPAN_ARG(e_)); \
    } while (0)

/* Every size of output buffer and of scratch: it fits, or says so; never a byte outside (sanitizer). */
static inline void assert_small_room_is_told(enum dialect dialect, const char *object, bool include_usage)
{
    static char whole[8192], small[8192 + 2];
    struct text stream = text_on(whole, sizeof whole);
    assert_int_equal(replay_stream_from_object(dialect, span_text(object), include_usage, &scratch, &stream), RC_OK);
    for (size_t size = 1; size < stream.size + 2; size += 13) {
        struct text to = text_on(small, size);
        int rc = replay_stream_from_object(dialect, span_text(object), include_usage, &scratch, &to);
        assert_int_equal(rc, size > stream.size ? RC_OK : RC_TOO_LARGE);
    }
    bool fitted = false;
    for (size_t size = 0; size < 16384; size += 16) {
        struct json_scratch tight = {scratch_memory, size};
        text_clear(&out);
        int rc = replay_object_from_stream(dialect, text_span(&stream), &tight, &out);
        if (fitted)
            assert_int_equal(rc, RC_OK);
        else if (rc != RC_OK)
            assert_int_equal(rc, RC_TOO_LARGE);
        fitted = rc == RC_OK;
    }
    assert_true(fitted);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
