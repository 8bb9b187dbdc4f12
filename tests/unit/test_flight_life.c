/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_flight_life.c — flights whose askers come and go, that break off, or that cannot be made. */
#include "tests/unit/flight_test.h"

/* ---- coming and going */

static void test_cut_stream_never_ends_cleanly(void **state)
{
    (void)state;
    int leader = ask("cut", STREAM), up = gateway_test_call(), object = ask("cut", "");
    gateway_test_answer(up, STREAM_HEAD);
    say_chunk(up, DELTA("half"));
    gateway_test_answer(up, "0\r\n\r\n"); /* clean for HTTP, without [DONE] */
    gateway_test_hear(leader, "");
    assert_int_equal(gateway_test_end, WAS_RESET);
    gateway_test_expect_not("\r\n0\r\n\r\n");
    gateway_test_hear(object, "");
    gateway_test_expect("HTTP/1.1 502 ");
    gateway_test_expect("upstream_cut");
    gateway_test_leave(leader);
    gateway_test_leave(object);
    close(up);
}

static void test_leader_leaves_the_follower_stays(void **state)
{
    (void)state;
    int leader = ask("leaves", STREAM), up = gateway_test_call(), follower = ask("leaves", STREAM);
    gateway_test_answer(up, STREAM_HEAD);
    say_chunk(up, DELTA("one"));
    gateway_test_leave(leader);
    gateway_test_settle();
    say_chunk(up, DELTA("two") STOP DONE);
    gateway_test_answer(up, "0\r\n\r\n");
    gateway_test_hear(follower, "[DONE]\n\n\r\n0\r\n\r\n");
    gateway_test_expect("one");
    gateway_test_expect("two");
    gateway_test_leave(follower);
    close(up);
}

static void test_finished_for_the_store(void **state)
{
    (void)state;
    int fd = ask("finished", ""), up = gateway_test_call();
    gateway_test_leave(fd);
    gateway_test_settle();
    assert_int_equal(flights_now(), 1);
    gateway_test_answer(up, gateway_test_object("kept"));
    gateway_test_settle();
    fd = ask("finished", "");
    gateway_test_hear(fd, "kept");
    gateway_test_expect("x-larder-hit: exact\r\n");
    gateway_test_leave(fd);
    close(up);
}

/* The first client's end and the second's question come in the same turn: what is being cancelled is not joined. */
static void test_a_cancelled_call_is_not_joined(void **state)
{
    (void)state;
    assert_int_equal(gateway_test_reload(retried), RC_OK);
    int second = gateway_test_dial();
    int first = ask("gone", ""), up = gateway_test_call();
    gateway_test_leave(first);
    gateway_test_say(second, gateway_test_chat(KEY, gateway_test_body("gone", "")));
    int again = gateway_test_call();
    gateway_test_answer(again, gateway_test_object("mine"));
    gateway_test_hear(second, "mine");
    gateway_test_expect("x-larder-hit: none\r\n");
    gateway_test_leave(second);
    close(up);
    close(again);
    assert_int_equal(gateway_test_reload(gateway_test_yaml), RC_OK);
}

static void test_an_older_configurations_call_is_not_joined(void **state)
{
    (void)state;
    int before = ask("reloaded", ""), up = gateway_test_call();
    assert_int_equal(gateway_test_reload(gateway_test_yaml), RC_OK);
    int after = ask("reloaded", ""), second = gateway_test_call();
    assert_int_equal(gateway_test_reload(gateway_test_yaml), RC_OK);
    assert_int_equal(gateway_test_reload(gateway_test_yaml), RC_AGAIN); /* two old ones are in use */
    gateway_test_answer(up, gateway_test_object("old"));
    gateway_test_hear(before, "old");
    gateway_test_answer(second, gateway_test_object("new"));
    gateway_test_hear(after, "new");
    gateway_test_settle();
    assert_int_equal(gateway_test_reload(gateway_test_yaml), RC_OK);
    gateway_test_leave(before);
    gateway_test_leave(after);
    close(up);
    close(second);
}

/* A place is given back when the last sink has been served, not when the provider has. */
static void test_slow_sinks_keep_the_place(void **state)
{
    static char large[60000];
    char head[120];
    (void)state;
    memset(large, 'z', sizeof large - 2);
    large[sizeof large - 2] = '\n';
    int fd[16], up[16];
    unsigned taken = 0;
    for (; taken < 12; taken++) { /* three quarters of 16 */
        char question[20];
        snprintf(question, sizeof question, "slow %u", taken);
        fd[taken] = gateway_test_dial_slow();
        gateway_test_say(fd[taken], gateway_test_chat(KEY, gateway_test_body(question, "")));
        up[taken] = gateway_test_call();
    }
    assert_int_equal(gateway.in_flight, 12);
    int refused = ask("one more", "");
    gateway_test_hear(refused, "overloaded");
    gateway_test_expect("HTTP/1.1 503 ");
    gateway_test_expect("Retry-After: 1\r\n");
    gateway_test_leave(refused);
    for (unsigned i = 0; i < taken; i++) {
        snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n\r\n",
                 sizeof large - 1);
        gateway_test_answer(up[i], head);
        gateway_test_answer(up[i], large);
    }
    gateway_test_settle();
    assert_int_equal(flights_now(), 0);
    assert_int_equal(gateway.in_flight, 12);
    for (unsigned i = 0; i < taken; i++) {
        gateway_test_hear(fd[i], "zzz\n");
        gateway_test_leave(fd[i]);
        close(up[i]);
    }
}

/* The provider's own field for the leader, ours for a follower: each has it once. */
static void test_retry_after(void **state)
{
    (void)state;
    int leader = ask("limited", ""), up = gateway_test_call(), follower = ask("limited", "");
    gateway_test_answer(up, "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\nContent-Type: application/json\r\n"
                            "Content-Length: 2\r\n\r\n{}");
    for (unsigned i = 0; i < 2; i++) {
        int fd = i ? follower : leader;
        gateway_test_hear(fd, "{}");
        gateway_test_expect("HTTP/1.1 429 ");
        gateway_test_expect("x-should-retry: false\r\n");
        const char *at = strstr(gateway_test_heard, "Retry-After: 7\r\n");
        assert_non_null(at);
        assert_null(strstr(at + 1, "Retry-After"));
        gateway_test_leave(fd);
    }
    close(up);
}

/* Misses pipelined by a client that reads little by little: heads and first bytes wait for room at every place. */
static void test_pipelined_misses_through_a_narrow_socket(void **state)
{
    enum { MISSES = 60 };
    static char heard[MISSES * 2000];
    size_t size = 0;
    int up = -1, fd = gateway_test_dial_slow();
    unsigned answered = 0;
    (void)state;
    for (unsigned i = 0; i < MISSES; i++) {
        char question[40];
        snprintf(question, sizeof question, "narrow %u", i);
        gateway_test_say(fd, gateway_test_chat(KEY, gateway_test_body(question, i % 4 == 3 ? STREAM : "")));
    }
    for (unsigned turns = 0; turns < 4000 && strstr(heard, "answer 59") == NULL; turns++) {
        char answer[40];
        gateway_test_turn();
        if (up < 0 && gateway_test_is_called()) up = gateway_test_accept();
        if (up >= 0 && gateway_test_drink(up) > 0) {
            snprintf(answer, sizeof answer, "answer %u", answered++);
            gateway_test_answer(up, gateway_test_object(answer));
        } else {
            ssize_t some = recv(fd, heard + size, 211, 0);
            size += some > 0 ? (size_t)some : 0;
        }
    }
    const char *at = heard;
    for (unsigned i = 0; i < MISSES; i++) {
        char answer[40];
        snprintf(answer, sizeof answer, "answer %u\"", i);
        assert_memory_equal(at, "HTTP/1.1 200 OK\r\n", 17);
        const char *body = strstr(at, "\r\n\r\n") + 4, *length = strstr(at, "Content-Length: ");
        assert_true(length && length < body);
        if (i == MISSES - 1) break;
        at = body + strtoul(length + 16, NULL, 10);
        const char *said = strstr(body, answer);
        if (!said || said > at) fail_msg("not \"%s\" in %.3000s", answer, body);
    }
    gateway_test_hear_now(fd);
    gateway_test_leave(fd);
    close(up);
}

/* ---- offline */

static void test_offline_pack_in_each_form(void **state)
{
    (void)state;
    int leader = ask("What is Larder?", ""), up = gateway_test_call();
    int stream = ask("What is Larder?", STREAM);
    gateway_test_reset(up);
    gateway_test_hear(leader, "\"total_tokens\":0}}");
    gateway_test_expect("x-larder-hit: pack\r\n");
    gateway_test_expect("Content-Type: application/json\r\n");
    gateway_test_expect("\"object\":\"chat.completion\"");
    gateway_test_hear(stream, "[DONE]\n\n");
    gateway_test_expect("Content-Type: text/event-stream");
    gateway_test_expect("chat.completion.chunk");
    gateway_test_leave(leader);
    gateway_test_leave(stream);
}

static void test_provider_away(void **state)
{
    (void)state;
    int leader = ask("away", ""), up = gateway_test_call();
    int stream = ask("away", STREAM);
    gateway_test_reset(up);
    gateway_test_hear(leader, "is stored");
    gateway_test_expect("HTTP/1.1 503 ");
    gateway_test_expect("x-should-retry: false\r\n");
    gateway_test_hear(stream, "is stored");
    gateway_test_expect("HTTP/1.1 503 ");
    gateway_test_leave(leader);
    gateway_test_leave(stream);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        T(test_cut_stream_never_ends_cleanly),
        T(test_leader_leaves_the_follower_stays),
        T(test_finished_for_the_store),
        T(test_a_cancelled_call_is_not_joined),
        T(test_an_older_configurations_call_is_not_joined),
        T(test_slow_sinks_keep_the_place),
        T(test_retry_after),
        T(test_pipelined_misses_through_a_narrow_socket),
        T(test_offline_pack_in_each_form),
        T(test_provider_away),
    };
    return cmocka_run_group_tests_name("flight_life", tests, start, stop);
}
