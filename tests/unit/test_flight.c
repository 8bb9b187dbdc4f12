/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_flight.c — one upstream call and everyone who waits for it: who shares, what each is sent. */
#include "platform/compress.h"
#include "tests/unit/flight_test.h"

/* ---- who shares */

static void test_leader_and_follower(void **state)
{
    (void)state;
    int leader = ask("shared", ""), up = gateway_test_call();
    int follower = ask("shared", "");
    assert_false(gateway_test_is_called());
    assert_int_equal(gateway.in_flight, 1);
    gateway_test_answer(up, gateway_test_object("for both"));
    gateway_test_hear(leader, "for "
                              "both\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":1,\"completion_"
                              "tokens\":1,\"total_tokens\":2}}");
    gateway_test_expect("x-larder-hit: none\r\n");
    gateway_test_expect("Cache-Status: larder; fwd=miss; stored\r\n");
    gateway_test_hear(follower, "\"total_tokens\":2}}");
    gateway_test_expect("x-larder-hit: coalesced\r\n");
    gateway_test_expect("Cache-Status: larder; fwd=miss; collapsed\r\n");
    gateway_test_expect("for both");
    gateway_test_leave(leader);
    gateway_test_leave(follower);
    close(up);
}

static void test_late_follower_of_a_stream_in_both_forms(void **state)
{
    (void)state;
    int leader = ask("forms", STREAM), up = gateway_test_call();
    gateway_test_answer(up, STREAM_HEAD);
    say_chunk(up, DELTA("early "));
    int late = ask("forms", STREAM), object = ask("forms", "");
    gateway_test_hear(late, "early ");
    gateway_test_hear_now(object);
    assert_int_equal(gateway_test_heard_size, 0);
    say_chunk(up, DELTA("tail") STOP USAGE DONE);
    gateway_test_answer(up, "0\r\n\r\n");
    gateway_test_hear(leader, "[DONE]\n\n\r\n0\r\n\r\n");
    gateway_test_expect_not("total_tokens"); /* the box asked for it, the client did not */
    gateway_test_hear(late, "[DONE]\n\n\r\n0\r\n\r\n");
    gateway_test_expect("tail");
    gateway_test_expect_not("total_tokens");
    gateway_test_hear(object, "total_tokens\":2}");
    gateway_test_expect("early tail");
    gateway_test_expect("Content-Type: application/json\r\n");
    gateway_test_leave(leader);
    gateway_test_leave(late);
    gateway_test_leave(object);
    close(up);
}

static void test_only_if_cached_does_not_follow(void **state)
{
    (void)state;
    int leader = ask("held", ""), up = gateway_test_call();
    int other = ask_with(KEY "Cache-Control: only-if-cached\r\n", "held", "");
    gateway_test_hear(other, "not_cached");
    gateway_test_expect("HTTP/1.1 504 ");
    gateway_test_answer(up, gateway_test_object("late"));
    gateway_test_hear(leader, "late");
    gateway_test_leave(leader);
    gateway_test_leave(other);
    close(up);
}

/* A sink's pipelined bytes lie behind the recording, which must grow all the same. */
static void test_recording_grows_behind_a_sinks_bytes(void **state)
{
    static char piece[6000];
    (void)state;
    memset(piece, 'x', sizeof piece - 1);
    int leader = ask("grows", ""), up = gateway_test_call();
    gateway_test_answer(up, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n");
    gateway_test_answer(up, piece);
    gateway_test_settle();
    int follower = gateway_test_dial();
    gateway_test_say(follower, gateway_test_chat(KEY, gateway_test_body("grows", "")));
    gateway_test_say(follower, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    gateway_test_settle();
    for (unsigned i = 0; i < 5; i++) gateway_test_answer(up, piece);
    gateway_test_answer(up, "end");
    gateway_test_cut(up);
    gateway_test_hear(leader, "xend\r\n0\r\n\r\n");
    assert_true(gateway_test_heard_size > 6 * (sizeof piece - 1));
    gateway_test_hear(follower, "Larder is here");
    gateway_test_expect("xend");
    gateway_test_leave(leader);
    gateway_test_leave(follower);
}

/* ---- what cannot be made */

static void test_broken_conversion_fails_every_sink(void **state)
{
    (void)state;
    int leader = ask("broken", STREAM), up = gateway_test_call();
    int first = ask("broken", ""), second = ask("broken", "");
    gateway_test_answer(up, STREAM_HEAD);
    say_chunk(up, DELTA("fine"));
    say_chunk(up, "data: {this is no JSON\n\n" DONE);
    gateway_test_answer(up, "0\r\n\r\n");
    gateway_test_hear(leader, "[DONE]\n\n\r\n0\r\n\r\n");
    gateway_test_hear(first, "");
    gateway_test_expect("HTTP/1.1 502 ");
    gateway_test_expect("other_form");
    gateway_test_hear(second, "");
    gateway_test_expect("HTTP/1.1 502 ");
    gateway_test_expect_not("fine");
    gateway_test_leave(leader);
    gateway_test_leave(first);
    gateway_test_leave(second);
    close(up);
}

static void test_object_that_is_no_answer_goes_as_it_came(void **state)
{
    (void)state;
    int fd = ask("odd", STREAM), up = gateway_test_call();
    gateway_test_answer(up, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 14\r\n\r\nno answer at.\n");
    gateway_test_hear(fd, "no answer at.\n");
    gateway_test_expect("Content-Type: text/plain\r\n");
    gateway_test_expect("Content-Length: 14\r\n");
    gateway_test_expect_not("stored");
    gateway_test_leave(fd);
    close(up);
}

/* The body of what was heard, out of its chunks; fails on any byte that is not chunked coding. */
static size_t unchunk(char *to)
{
    const char *at = strstr(gateway_test_heard, "\r\n\r\n") + 4;
    size_t size = 0, run;
    do {
        char *end;
        run = strtoul(at, &end, 16);
        assert_memory_equal(end, "\r\n", 2);
        memcpy(to + size, end + 2, run);
        size += run;
        at = end + 2 + run;
        assert_memory_equal(at, "\r\n", 2);
        at += 2;
    } while (run);
    assert_int_equal(at - gateway_test_heard, gateway_test_heard_size);
    return size;
}

static char wanted[200000], got[200000];

/* A chunk that the sink shall see byte for byte. */
static void say_wanted(int up, const char *text)
{
    strcat(wanted, text);
    say_chunk(up, text);
}

static void test_too_large_for_the_other_form(void **state)
{
    static char piece[8001];
    (void)state;
    wanted[0] = 0;
    int leader = ask("large", STREAM), up = gateway_test_call();
    int object = ask("large", "");
    gateway_test_answer(up, STREAM_HEAD);
    for (unsigned i = 0; i < 20; i++) {
        for (size_t k = 0; k < sizeof piece - 1; k++) piece[k] = (char)('a' + (k * 7 + i) % 26);
        char start[80];
        snprintf(start, sizeof start, "data: {\"id\":\"%u\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"", i);
        say_wanted(up, start);
        say_wanted(up, piece);
        say_wanted(up, "\"}}]}\n\n");
    }
    gateway_test_hear(object, "");
    gateway_test_expect("HTTP/1.1 503 ");
    gateway_test_expect("Retry-After: 1\r\n");
    gateway_test_expect("limits.parse_max");
    int joiner = ask("large", ""); /* nobody joins now: it is a call of its own */
    int second = gateway_test_call();
    gateway_test_answer(second, gateway_test_object("short"));
    gateway_test_hear(joiner, "short");
    say_wanted(up, STOP);
    say_chunk(up, USAGE);
    say_wanted(up, DONE);
    gateway_test_answer(up, "0\r\n\r\n");
    gateway_test_hear(leader, "[DONE]\n\n\r\n0\r\n\r\n");
    assert_int_equal(unchunk(got), strlen(wanted));
    assert_memory_equal(got, wanted, strlen(wanted));
    gateway_test_leave(leader);
    gateway_test_leave(object);
    gateway_test_leave(joiner);
    close(up);
    close(second);
}

/* ---- framing */

static void test_hidden_usage_promises_no_length(void **state)
{
    static const char body[] = DELTA("sized") STOP USAGE DONE;
    char head[160];
    (void)state;
    int fd = ask("sized stream", STREAM), up = gateway_test_call();
    snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %zu\r\n\r\n",
             sizeof body - 1);
    gateway_test_answer(up, head);
    gateway_test_settle();
    gateway_test_answer(up, body);
    gateway_test_hear(fd, "[DONE]\n\n\r\n0\r\n\r\n");
    gateway_test_expect_not("total_tokens");
    gateway_test_expect_not("Content-Length");
    gateway_test_say(fd, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"); /* the same connection goes on */
    gateway_test_hear(fd, "Larder is here");
    gateway_test_leave(fd);
    close(up);
}

static void test_http_1_0(void **state)
{
    (void)state;
    int fd = gateway_test_dial();
    char request[600];
    const char *body = gateway_test_body("old", STREAM);
    snprintf(request, sizeof request,
             "POST /v1/chat/completions HTTP/1.0\r\nHost: localhost\r\n" KEY "Content-Length: %zu\r\n\r\n%s",
             strlen(body), body);
    gateway_test_say(fd, request);
    int up = gateway_test_call();
    gateway_test_answer(up, STREAM_HEAD);
    say_chunk(up, DELTA("old") STOP DONE);
    gateway_test_answer(up, "0\r\n\r\n");
    gateway_test_hear(fd, "");
    assert_int_equal(gateway_test_end, ENDED);
    gateway_test_expect_not("Transfer-Encoding");
    gateway_test_expect_not("Content-Length");
    gateway_test_expect("Connection: close\r\n");
    assert_memory_equal(gateway_test_heard + gateway_test_heard_size - 14, DONE, 14);
    gateway_test_leave(fd);
    close(up);
}

static void test_no_content(void **state)
{
    (void)state;
    int fd = ask("none", ""), up = gateway_test_call();
    gateway_test_answer(up, "HTTP/1.1 204 No Content\r\n\r\n");
    gateway_test_hear(fd, "\r\n\r\n");
    gateway_test_expect("HTTP/1.1 204 ");
    gateway_test_expect_not("Content-Length");
    gateway_test_expect_not("Content-Type");
    gateway_test_say(fd, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    gateway_test_hear(fd, "Larder is here");
    gateway_test_leave(fd);
    close(up);
}

/* gzip of 300,000 times 'x' */
static const unsigned char squeezed[] = {
    0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x03, 0xed, 0xc1, 0x01, 0x0d, 0x00, 0x00, 0x00, 0xc2, 0xa0,
    0xda, 0x8f, 0x6f, 0x0f, 0x07, 0x14, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xfc, 0x18, 0xcd, 0x2a, 0xc8, 0xb3, 0xe0, 0x93,
    0x04, 0x00,
};

/* 325 bytes that become 300,000: the recording is filled many times by one piece. */
static void test_compressed_above_parse_max(void **state)
{
    char head[200];
    (void)state;
    int fd = ask("squeezed", ""), up = gateway_test_call();
    snprintf(head, sizeof head,
             "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Encoding: gzip\r\nContent-Length: %zu\r\n\r\n",
             sizeof squeezed);
    gateway_test_answer(up, head);
    gateway_test_answer_bytes(up, squeezed, sizeof squeezed);
    gateway_test_hear(fd, "\r\n0\r\n\r\n");
    unsigned long count = 0;
    const char *body = strstr(gateway_test_heard, "\r\n\r\n") + 4;
    for (const char *c = body; *c; c++) count += *c == 'x';
    assert_int_equal(count, 300000);
    gateway_test_expect_not("gzip");
    gateway_test_leave(fd);
    close(up);
}

static void test_compressed_and_damaged(void **state)
{
    (void)state;
    int leader = ask("damaged", ""), up = gateway_test_call();
    int stream = ask("damaged", STREAM);
    gateway_test_answer(
        up,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: 40\r\n\r\n");
    gateway_test_answer_bytes(up, squeezed, 12);
    gateway_test_answer(up, "this is no gzip any more....");
    gateway_test_hear(stream, "");
    gateway_test_expect("HTTP/1.1 502 ");
    gateway_test_expect("upstream_cut");
    gateway_test_hear(leader, "");
    gateway_test_expect_not("\"choices\"");
    gateway_test_leave(leader);
    gateway_test_leave(stream);
    close(up);
}

/* More compressed replies than decoders: they wait their turn. */
static void test_compressed_waits_for_a_decoder(void **state)
{
    static const unsigned char frame[] = {0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58, 0x19, 0x00, 0x00, 'a', 'b', 'c'};
    struct decoder *taken[COMPRESS_STREAMS_ZSTD];
    (void)state;
    for (unsigned i = 0; i < COMPRESS_STREAMS_ZSTD; i++) assert_int_equal(decoder_open(CODING_ZSTD, &taken[i]), RC_OK);
    int fd = ask("waits", ""), up = gateway_test_call();
    gateway_test_answer(
        up, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Encoding: zstd\r\nContent-Length: 12\r\n\r\n");
    gateway_test_answer_bytes(up, frame, sizeof frame);
    gateway_test_hear_now(fd);
    assert_int_equal(gateway_test_heard_size, 0);
    decoder_close(taken[1]);
    gateway_test_hear(fd, "abc");
    gateway_test_expect("HTTP/1.1 200 OK\r\n");
    decoder_close(taken[0]);
    gateway_test_leave(fd);
    close(up);
}

static void test_unknown_coding(void **state)
{
    (void)state;
    int fd = ask("br", ""), up = gateway_test_call();
    gateway_test_answer(
        up,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: br\r\nContent-Length: 3\r\n\r\nabc");
    gateway_test_hear(fd, "\"code\":\"coding\"");
    gateway_test_expect("HTTP/1.1 502 ");
    gateway_test_expect_not("abc");
    gateway_test_leave(fd);
    close(up);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        T(test_leader_and_follower),
        T(test_late_follower_of_a_stream_in_both_forms),
        T(test_only_if_cached_does_not_follow),
        T(test_recording_grows_behind_a_sinks_bytes),
        T(test_broken_conversion_fails_every_sink),
        T(test_object_that_is_no_answer_goes_as_it_came),
        T(test_too_large_for_the_other_form),
        T(test_hidden_usage_promises_no_length),
        T(test_http_1_0),
        T(test_no_content),
        T(test_compressed_above_parse_max),
        T(test_compressed_and_damaged),
        T(test_compressed_waits_for_a_decoder),
        T(test_unknown_coding),
    };
    return cmocka_run_group_tests_name("flight", tests, start, stop);
}
