/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_gateway_memory.c — every allocation of a request fails once: the client gets the right answer, a clear
 * 503, or an aborted connection; never a wrong byte, never another tenant's answer.
 *
 * Link: -Wl,--wrap=arena_take -Wl,--wrap=arena_take_zeroed -Wl,--wrap=arena_copy -Wl,--wrap=arena_extend
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/gateway/flight.h"
#include "cache/hot.h"
#include "platform/rc.h"
#include "tests/support/gateway_test.h"

#define ONE "Authorization: Bearer sk-one\r\n"
#define TWO "Authorization: Bearer sk-two\r\n"
#define STREAM ",\"stream\":true"
#define EVENTS                                                                                                     \
    "data: "                                                                                                       \
    "{\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0," \
    "\"delta\":{\"role\":\"assistant\",\"content\":\"streamed answer\"},\"finish_reason\":\"stop\"}]}\n\ndata: "   \
    "[DONE]\n\n"

void *__real_arena_take(struct arena *arena, size_t size, size_t align);
void *__real_arena_take_zeroed(struct arena *arena, size_t size, size_t align);
struct span __real_arena_copy(struct arena *arena, struct span s);
int __real_arena_extend(struct arena *arena, void *piece, size_t old_size, size_t new_size);
void *__wrap_arena_take(struct arena *arena, size_t size, size_t align);
void *__wrap_arena_take_zeroed(struct arena *arena, size_t size, size_t align);
struct span __wrap_arena_copy(struct arena *arena, struct span s);
int __wrap_arena_extend(struct arena *arena, void *piece, size_t old_size, size_t new_size);

enum { NEVER = 1 << 20 };
static atomic_uint taken, fails_at, failures; /* a job of another thread takes from an arena too */
static unsigned how_many;                     /* allocations fail from fails_at on */

static bool fails(const struct arena *arena)
{
    if (arena->budget != &boot.requests_budget) return false;
    unsigned number = atomic_fetch_add(&taken, 1), at = atomic_load(&fails_at);
    bool yes = number >= at && number - at < how_many;
    if (yes) atomic_fetch_add(&failures, 1);
    return yes;
}

void *__wrap_arena_take(struct arena *arena, size_t size, size_t align)
{
    return fails(arena) ? NULL : __real_arena_take(arena, size, align);
}

void *__wrap_arena_take_zeroed(struct arena *arena, size_t size, size_t align)
{
    return fails(arena) ? NULL : __real_arena_take_zeroed(arena, size, align);
}

struct span __wrap_arena_copy(struct arena *arena, struct span s)
{
    return fails(arena) ? (struct span){0} : __real_arena_copy(arena, s);
}

int __wrap_arena_extend(struct arena *arena, void *piece, size_t old_size, size_t new_size)
{
    return fails(arena) ? RC_FULL : __real_arena_extend(arena, piece, old_size, new_size);
}

static void fail_from(unsigned number, unsigned count)
{
    atomic_store(&taken, 0);
    atomic_store(&failures, 0);
    how_many = count;
    atomic_store(&fails_at, number);
}

/* The provider answers every call that comes; each call's answer names who paid. */
static void answer_calls(bool stream)
{
    static const char *const names[] = {"one", "two"};
    while (gateway_test_is_called()) {
        char reply[3000], answer[60];
        int up = gateway_test_accept();
        gateway_test_drink(up);
        const char *who = strstr(gateway_test_asked, "sk-two") ? names[1] : names[0];
        snprintf(answer, sizeof answer, "answer for %s", who);
        if (stream)
            snprintf(reply, sizeof reply,
                     "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n%s", EVENTS);
        else
            snprintf(reply, sizeof reply, "%s", gateway_test_object(answer));
        gateway_test_answer(up, reply);
        gateway_test_cut(up);
    }
}

/* A whole reply by its own framing, or an end. */
static bool is_whole(void)
{
    const char *blank = strstr(gateway_test_heard, "\r\n\r\n"),
               *length = strstr(gateway_test_heard, "Content-Length: ");
    if (!blank) return false;
    if (length && length < blank)
        return gateway_test_heard_size == (size_t)(blank - gateway_test_heard) + 4 + strtoul(length + 16, NULL, 10);
    return gateway_test_heard_size > 5 && strcmp(gateway_test_heard + gateway_test_heard_size - 5, "0\r\n\r\n") == 0;
}

static bool starts(const char *text)
{
    return strncmp(gateway_test_heard, text, strlen(text)) == 0;
}

/* What a client may find after a failure. True: a proper answer. */
static bool look(int fd, const char *wanted)
{
    gateway_test_hear_now(fd);
    for (unsigned i = 0; i < 100 && gateway_test_end == STILL_OPEN && !is_whole(); i++) {
        answer_calls(strstr(wanted, "streamed") != NULL);
        gateway_test_hear_more(fd);
    }
    bool ok = starts("HTTP/1.1 200 OK\r\n");
    if (gateway_test_end == STILL_OPEN && !is_whole())
        fail_msg("the client waits for ever: \"%s\"", gateway_test_heard);
    if (gateway_test_heard_size == 0 || gateway_test_end == WAS_RESET) return false; /* aborted */
    if (!is_whole()) fail_msg("neither whole nor aborted: %s", gateway_test_heard);
    gateway_test_expect("x-larder-overhead-us: ");
    gateway_test_expect("Content-Type: ");
    gateway_test_expect("x-request-id: ");
    if (ok)
        gateway_test_expect(wanted);
    else if (starts("HTTP/1.1 503 "))
        gateway_test_expect("overloaded");
    else
        fail_msg("neither an answer nor a 503: %.300s", gateway_test_heard);
    return ok;
}

static int ask(const char *fields, const char *question, const char *more)
{
    int fd = gateway_test_dial();
    gateway_test_say(fd, gateway_test_chat(fields, gateway_test_body(question, more)));
    return fd;
}

static void expect_nothing_left(void)
{
    gateway_test_settle();
    answer_calls(false);
    gateway_test_settle();
    assert_int_equal(gateway.in_flight, 0);
    assert_int_equal(flights_now(), 0);
    assert_int_equal(server_busy(&boot.api), 0);
}

/* A miss that is stored, then a hit of another tenant's same question: both under failures. */
static void miss_and_neighbour(unsigned number, unsigned count, bool *failed)
{
    char question[40];
    snprintf(question, sizeof question, "question %u of %u", number, count);
    fail_from(number, count);
    int one = ask(ONE, question, "");
    (void)look(one, "answer for one");
    *failed = atomic_load(&failures) > 0;
    fail_from(number, count);
    int two = ask(TWO, question, "");
    (void)look(two, "answer for two");
    fail_from(NEVER, 0);
    gateway_test_leave(one);
    gateway_test_leave(two);
    expect_nothing_left();
}

static void test_a_miss(void **state)
{
    (void)state;
    for (unsigned count = 1; count <= 1000; count += 999) {
        bool failed = true;
        unsigned number = 0;
        for (; failed; number++) miss_and_neighbour(number, count, &failed);
        assert_in_range(number, 8, 200);
    }
}

/* A stream's leader, a follower in each form, one of them with pipelined bytes. */
static void flight(unsigned number, unsigned count, bool *failed)
{
    char question[40];
    snprintf(question, sizeof question, "shared %u of %u", number, count);
    fail_from(number, count);
    int leader = ask(ONE, question, STREAM), same = ask(ONE, question, STREAM), object = ask(ONE, question, "");
    gateway_test_settle();
    (void)look(leader, "streamed answer");
    (void)look(same, "streamed answer");
    (void)look(object, "streamed answer");
    *failed = atomic_load(&failures) > 0;
    fail_from(NEVER, 0);
    gateway_test_leave(leader);
    gateway_test_leave(same);
    gateway_test_leave(object);
    expect_nothing_left();
}

static void test_a_flight(void **state)
{
    (void)state;
    for (unsigned count = 1; count <= 1000; count += 999) {
        bool failed = true;
        unsigned number = 0;
        for (; failed; number++) flight(number, count, &failed);
        assert_in_range(number, 12, 300);
    }
}

/* A stored answer in the other form, from disk. */
static void test_a_cold_hit(void **state)
{
    (void)state;
    int fd = ask(ONE, "cold", "");
    assert_true(look(fd, "answer for one"));
    gateway_test_leave(fd);
    for (unsigned count = 1; count <= 1000; count += 999) {
        bool failed = true;
        unsigned number = 0;
        for (; failed; number++) {
            hot_clear();
            fail_from(number, count);
            fd = ask(ONE, "cold", number % 2 ? STREAM : "");
            (void)look(fd, "answer for one");
            failed = atomic_load(&failures) > 0;
            fail_from(NEVER, 0);
            gateway_test_leave(fd);
            expect_nothing_left();
        }
        assert_in_range(number, 4, 200);
    }
}

static void passage(unsigned number, bool *failed)
{
    fail_from(number, 1);
    int fd = gateway_test_dial();
    gateway_test_say(fd, "POST /v1/files HTTP/1.1\r\nHost: localhost\r\n" ONE "Content-Length: 5\r\n\r\nhello");
    (void)look(fd, "answer for one");
    *failed = atomic_load(&failures) > 0;
    fail_from(NEVER, 0);
    gateway_test_leave(fd);
    expect_nothing_left();
}

static void test_a_passage(void **state)
{
    (void)state;
    bool failed = true;
    unsigned number = 0;
    for (; failed; number++) passage(number, &failed);
    assert_in_range(number, 4, 100);
    assert_int_equal(gateway.current->health[0].connect_failures, 0);
}

static int start(void **state)
{
    (void)state;
    fail_from(NEVER, 0);
    gateway_test_boot(gateway_test_yaml);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    gateway_test_stop();
    return 0;
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_miss),
        cmocka_unit_test(test_a_flight),
        cmocka_unit_test(test_a_cold_hit),
        cmocka_unit_test(test_a_passage),
    };
    return cmocka_run_group_tests_name("gateway memory", tests, start, stop);
}
