/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_sink.c — a recording's way through a socket that takes what it likes, plain or sealed.
 *
 * Link: -Wl,--wrap=connection_send_try
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/gateway/sink.h"
#include "platform/rc.h"

enum { BODY_MAX = 70000, WIRE_MAX = 200000 };

int __wrap_connection_send_try(struct connection *c, const void *data, size_t size, size_t *sent);

static char body[BODY_MAX], wire[WIRE_MAX], bytes[WIRE_MAX];
static size_t wire_size, room, sealed;
static bool seals;
static int broken;

/* A socket with `room` bytes left. As TLS: what was offered once is what will have been sent, whatever is offered next. */
int __wrap_connection_send_try(struct connection *c, const void *data, size_t size, size_t *sent)
{
    static char offered[16384];
    (void)c;
    *sent = 0;
    if (broken != RC_OK) return broken;
    if (sealed) {
        assert_true(size >= sealed);
        assert_memory_equal(data, offered, sealed);
        size = sealed;
    }
    size_t taken = size < sizeof offered ? size : sizeof offered;
    if (seals && taken > room) {
        memcpy(offered, data, taken);
        sealed = taken;
        room = 0;
        return RC_AGAIN;
    }
    if (taken > room) taken = room;
    if (taken == 0) return RC_AGAIN;
    memcpy(wire + wire_size, data, taken);
    wire_size += taken;
    room -= taken;
    sealed = 0;
    *sent = taken;
    return RC_OK;
}

static void start(struct sink *sink, enum sink_framing framing)
{
    *sink = (struct sink){.framing = (uint8_t)framing};
    wire_size = sealed = 0;
    room = SIZE_MAX;
    seals = false;
    broken = RC_OK;
}

static int fill(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof body; i++) body[i] = (char)('a' + i * 7 % 26);
    return 0;
}

static void expect_wire(const char *text)
{
    assert_int_equal(wire_size, strlen(text));
    assert_memory_equal(wire, text, wire_size);
}

/* What a client makes of the chunks; fails on any byte that is not chunked coding. */
static size_t unchunk(char *to)
{
    size_t at = 0, size = 0;
    for (;;) {
        char *end;
        size_t run = strtoul(wire + at, &end, 16);
        assert_memory_equal(end, "\r\n", 2);
        at = (size_t)(end - wire) + 2;
        memcpy(to + size, wire + at, run);
        size += run;
        at += run;
        assert_memory_equal(wire + at, "\r\n", 2);
        at += 2;
        if (run == 0) break;
    }
    assert_int_equal(at, wire_size);
    return size;
}

static void test_sized(void **state)
{
    struct sink sink;
    bool done;
    (void)state;
    start(&sink, SINK_SIZED);
    assert_int_equal(sink_pump(&sink, &(struct sink_view){.data = "hello", .size = 3}, &done), RC_OK);
    assert_false(done);
    expect_wire("hel");
    assert_int_equal(sink.at, 3);
    assert_int_equal(sink_pump(&sink, &(struct sink_view){.data = "hello", .size = 5, .complete = true}, &done), RC_OK);
    assert_true(done);
    expect_wire("hello");
}

static void test_chunked(void **state)
{
    struct sink sink;
    bool done;
    (void)state;
    start(&sink, SINK_CHUNKED);
    assert_int_equal(sink_pump(&sink, &(struct sink_view){.data = "hello", .size = 0}, &done), RC_OK);
    expect_wire("");
    assert_int_equal(sink_pump(&sink, &(struct sink_view){.data = "hello", .size = 5}, &done), RC_OK);
    assert_false(done);
    expect_wire("5\r\nhello\r\n");
    assert_int_equal(sink_pump(&sink, &(struct sink_view){.data = "hello", .size = 5, .complete = true}, &done), RC_OK);
    assert_true(done);
    expect_wire("5\r\nhello\r\n0\r\n\r\n");
}

static void test_empty(void **state)
{
    struct sink sink;
    bool done;
    (void)state;
    start(&sink, SINK_CHUNKED);
    assert_int_equal(sink_pump(&sink, &(struct sink_view){.data = NULL, .complete = true}, &done), RC_OK);
    assert_true(done);
    expect_wire("0\r\n\r\n");
    start(&sink, SINK_UNTIL_CLOSE);
    assert_int_equal(sink_pump(&sink, &(struct sink_view){.data = NULL, .complete = true}, &done), RC_OK);
    assert_true(done);
    expect_wire("");
}

static void test_hidden_run(void **state)
{
    static const struct sink_view view = {
        .data = "abcXXXdef", .size = 9, .skip_from = 3, .skip_to = 6, .complete = true};
    struct sink sink;
    bool done;
    (void)state;
    start(&sink, SINK_SIZED);
    assert_int_equal(sink_pump(&sink, &view, &done), RC_OK);
    expect_wire("abcdef");
    start(&sink, SINK_CHUNKED);
    assert_int_equal(sink_pump(&sink, &view, &done), RC_OK);
    expect_wire("3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n");
    start(&sink, SINK_SIZED);
    assert_int_equal(
        sink_pump(&sink, &(struct sink_view){.data = "XX", .size = 2, .skip_to = 2, .complete = true}, &done), RC_OK);
    assert_true(done);
    expect_wire("");
}

static void test_head_rest_goes_first(void **state)
{
    struct sink sink;
    bool done;
    (void)state;
    start(&sink, SINK_CHUNKED);
    sink.head_rest = SPAN("head\r\n\r\n");
    room = 3;
    assert_int_equal(sink_pump(&sink, &(struct sink_view){.data = "x", .size = 1}, &done), RC_AGAIN);
    expect_wire("hea");
    room = SIZE_MAX;
    assert_int_equal(sink_pump(&sink, &(struct sink_view){.data = "x", .size = 1}, &done), RC_OK);
    expect_wire("head\r\n\r\n1\r\nx\r\n");
}

static void test_gone(void **state)
{
    struct sink sink;
    bool done;
    (void)state;
    start(&sink, SINK_SIZED);
    broken = RC_CLOSED;
    assert_int_equal(sink_pump(&sink, &(struct sink_view){.data = "x", .size = 1, .complete = true}, &done), RC_CLOSED);
    assert_false(done);
}

/* The socket fills up at every byte of the wire, while more is recorded. */
static void cut_everywhere(enum sink_framing framing, bool sealing, const char *whole)
{
    for (size_t cut = 0; cut <= strlen(whole); cut++) {
        struct sink sink;
        bool done = false;
        start(&sink, framing);
        seals = sealing;
        room = cut;
        int rc = sink_pump(&sink, &(struct sink_view){.data = "hello, you", .size = 5}, &done);
        assert_true(rc == RC_OK || rc == RC_AGAIN);
        size_t more = cut;
        while (!done) {
            room = more++;
            rc = sink_pump(&sink, &(struct sink_view){.data = "hello, you", .size = 10, .complete = true}, &done);
            assert_true(rc == (done ? RC_OK : RC_AGAIN));
        }
        expect_wire(whole);
    }
}

static void test_every_cut_plain(void **state)
{
    (void)state;
    cut_everywhere(SINK_SIZED, false, "hello, you");
    cut_everywhere(SINK_UNTIL_CLOSE, false, "hello, you");
}

/* Where the chunks lie depends on the cut: the client's view does not. */
static void test_every_cut_chunked(void **state)
{
    (void)state;
    for (unsigned sealing = 0; sealing < 2; sealing++)
        for (size_t cut = 0; cut <= 30; cut++) {
            struct sink sink;
            bool done = false;
            start(&sink, SINK_CHUNKED);
            seals = sealing;
            room = cut;
            (void)sink_pump(&sink, &(struct sink_view){.data = "hello, you", .size = 5}, &done);
            for (size_t more = 1; !done; more++) {
                room = more;
                (void)sink_pump(&sink, &(struct sink_view){.data = "hello, you", .size = 10, .complete = true}, &done);
            }
            assert_int_equal(unchunk(bytes), 10);
            assert_memory_equal(bytes, "hello, you", 10);
        }
}

static void test_large_body_through_a_narrow_socket(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < 4; kind++) {
        struct sink sink;
        bool done = false;
        size_t recorded = 0;
        start(&sink, kind & 1 ? SINK_CHUNKED : SINK_SIZED);
        seals = kind & 2;
        srand(kind);
        while (!done) {
            recorded += (size_t)rand() % 9000;
            if (recorded > sizeof body) recorded = sizeof body;
            room = (size_t)rand() % (seals ? 40000 : 7000);
            struct sink_view view = {.data = body,
                                     .size = recorded,
                                     .skip_from = 30000,
                                     .skip_to = recorded >= 35000 ? 35000 : 30000,
                                     .complete = recorded == sizeof body};
            if (recorded > 30000 && recorded < 35000) view.size = 30000;
            (void)sink_pump(&sink, &view, &done);
        }
        if (kind & 1)
            assert_int_equal(unchunk(bytes), sizeof body - 5000);
        else
            memcpy(bytes, wire, wire_size), assert_int_equal(wire_size, sizeof body - 5000);
        assert_memory_equal(bytes, body, 30000);
        assert_memory_equal(bytes + 30000, body + 35000, sizeof body - 35000);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sized),
        cmocka_unit_test(test_chunked),
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_hidden_run),
        cmocka_unit_test(test_head_rest_goes_first),
        cmocka_unit_test(test_gone),
        cmocka_unit_test(test_every_cut_plain),
        cmocka_unit_test(test_every_cut_chunked),
        cmocka_unit_test(test_large_body_through_a_narrow_socket),
    };
    return cmocka_run_group_tests_name("sink", tests, fill, NULL);
}
