/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_stream.c — plain streams over socket pairs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "platform/rc.h"
#include "tests/support/net_test.h"

struct pair {
    struct stream s;
    int peer;
};

static void pair_open(struct pair *p)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    stream_init(&p->s, fds[0]);
    p->peer = fds[1];
}

static void pair_close(struct pair *p)
{
    stream_close(&p->s, false);
    assert_int_equal(p->s.source.source.fd, -1);
    close(p->peer);
}

static void test_moves_bytes_without_a_loop(void **state)
{
    struct pair p;
    char buffer[16];
    size_t done = 9;
    (void)state;
    pair_open(&p);
    assert_int_equal(stream_recv(&p.s, buffer, sizeof buffer, &done), RC_AGAIN);
    assert_int_equal(done, 0);
    assert_int_equal(stream_wants(&p.s, LOOP_READ), LOOP_READ);
    assert_int_equal(write(p.peer, "hello", 5), 5);
    assert_int_equal(stream_recv(&p.s, buffer, 3, &done), RC_OK);
    assert_int_equal(done, 3);
    assert_int_equal(stream_recv(&p.s, buffer, sizeof buffer, &done), RC_OK);
    assert_int_equal(done, 2);
    assert_memory_equal(buffer, "lo", 2);
    assert_int_equal(stream_send(&p.s, "back", 4, &done), RC_OK);
    assert_int_equal(done, 4);
    assert_int_equal(read(p.peer, buffer, sizeof buffer), 4);
    assert_false(p.s.watched);
    assert_false(stream_has_buffered(&p.s));
    pair_close(&p);
}

static void test_sends_two_pieces_in_one_call(void **state)
{
    struct pair p;
    char buffer[16];
    size_t done = 0;
    (void)state;
    pair_open(&p);
    assert_int_equal(stream_send_pair(&p.s, SPAN("head"), SPAN("body"), &done), RC_OK);
    assert_int_equal(done, 8);
    assert_int_equal(stream_send_pair(&p.s, SPAN("one"), SPAN(""), &done), RC_OK);
    assert_int_equal(stream_send_pair(&p.s, SPAN(""), SPAN("two"), &done), RC_OK);
    assert_int_equal(read(p.peer, buffer, sizeof buffer), 14);
    assert_memory_equal(buffer, "headbodyonetwo", 14);
    pair_close(&p);
}

static void test_tells_end_from_reset(void **state)
{
    struct pair p;
    char buffer[4];
    size_t done = 0;
    (void)state;
    pair_open(&p);
    close(p.peer);
    assert_int_equal(stream_recv(&p.s, buffer, sizeof buffer, &done), RC_CLOSED);
    assert_int_equal(stream_send(&p.s, "x", 1, &done), RC_CLOSED); /* and no SIGPIPE */
    p.peer = -1;
    stream_close(&p.s, false);
    stream_close(&p.s, false); /* a second time is nothing */
}

static void reset_serve(struct net_peer *peer, int fd, unsigned index)
{
    (void)peer;
    (void)index;
    char buffer[4];
    (void)recv(fd, buffer, sizeof buffer, 0);
    net_peer_reset(fd);
}

static void reset_body(void *arg)
{
    struct net_peer *peer = arg;
    struct stream s;
    char buffer[4];
    size_t done = 0;
    stream_init(&s, net_test_connect(peer->port));
    assert_int_equal(stream_send_all(&s, "x", 1, net_test_in_ms(1000)), RC_OK);
    assert_int_equal(stream_recv_wait(&s, buffer, sizeof buffer, &done, net_test_in_ms(3000)), RC_IO);
    stream_close(&s, true);
}

static void test_reset_is_io(void **state)
{
    struct net_peer peer;
    (void)state;
    net_peer_start(&peer, reset_serve);
    net_test_run(reset_body, &peer);
    net_peer_stop(&peer);
}

static void wait_body(void *arg)
{
    struct pair *p = arg;
    char buffer[8];
    size_t done = 0;
    uint64_t before = clock_monotonic_us();
    assert_int_equal(stream_recv_wait(&p->s, buffer, sizeof buffer, &done, net_test_in_ms(30)), RC_TIMEOUT);
    assert_true(clock_monotonic_us() - before >= 29000);
    assert_true(p->s.watched);
    assert_int_equal(write(p->peer, "abc", 3), 3);
    assert_int_equal(stream_recv_wait(&p->s, buffer, sizeof buffer, &done, net_test_in_ms(1000)), RC_OK);
    assert_int_equal(done, 3);
    stream_unwatch(&p->s);
    assert_false(p->s.watched);
    assert_true(p->s.source.source.fd >= 0);
    close(p->peer);
    assert_int_equal(stream_recv_wait(&p->s, buffer, sizeof buffer, &done, net_test_in_ms(1000)), RC_CLOSED);
    p->peer = -1;
}

static void test_waits_with_a_deadline(void **state)
{
    struct pair p;
    (void)state;
    pair_open(&p);
    net_test_run(wait_body, &p);
    pair_close(&p);
}

struct flood {
    struct pair p;
    size_t taken;
    bool wrong;
};

static void drain(void *arg)
{
    struct flood *f = arg;
    struct stream s;
    unsigned char buffer[7001];
    size_t done = 0;
    stream_init(&s, f->p.peer);
    while (stream_recv_wait(&s, buffer, sizeof buffer, &done, net_test_in_ms(5000)) == RC_OK) {
        for (size_t i = 0; i < done; i++) f->wrong |= buffer[i] != (unsigned char)((f->taken + i) * 7 >> 3);
        f->taken += done;
        fiber_sleep_until(net_test_in_ms(1));
    }
    stream_close(&s, false);
}

static void flood_body(void *arg)
{
    static unsigned char big[1000000];
    struct flood *f = arg;
    for (size_t i = 0; i < sizeof big; i++) big[i] = (unsigned char)(i * 7 >> 3);
    net_test_beside(drain, f);
    struct span first = span_of((char *)big, 333333), second = span_of((char *)big + 333333, sizeof big - 333333);
    assert_int_equal(stream_send_pair_all(&f->p.s, first, second, net_test_in_ms(10000)), RC_OK);
    stream_close(&f->p.s, false);
    while (f->taken < sizeof big) fiber_sleep_until(net_test_in_ms(5));
}

static void test_sends_all_through_a_slow_reader(void **state)
{
    struct flood f = {.taken = 0};
    (void)state;
    pair_open(&f.p);
    net_test_run(flood_body, &f);
    assert_int_equal(f.taken, 1000000);
    assert_false(f.wrong);
}

static void stuck_body(void *arg)
{
    static char big[4000000];
    struct pair *p = arg;
    assert_int_equal(stream_send_all(&p->s, big, sizeof big, net_test_in_ms(50)), RC_TIMEOUT);
}

static void test_stops_sending_at_the_deadline(void **state)
{
    struct pair p;
    (void)state;
    pair_open(&p);
    net_test_run(stuck_body, &p);
    pair_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_moves_bytes_without_a_loop),    cmocka_unit_test(test_sends_two_pieces_in_one_call),
        cmocka_unit_test(test_tells_end_from_reset),          cmocka_unit_test(test_reset_is_io),
        cmocka_unit_test(test_waits_with_a_deadline),         cmocka_unit_test(test_sends_all_through_a_slow_reader),
        cmocka_unit_test(test_stops_sending_at_the_deadline),
    };
    return cmocka_run_group_tests_name("stream", tests, net_test_start, NULL);
}
