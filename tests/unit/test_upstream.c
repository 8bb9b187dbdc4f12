/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_upstream.c — the pool, dead connections, the queue, cancelling. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/rc.h"
#include "tests/support/net_call.h"

/* ---- keep-alive and the pool */

static void test_one_connection_for_many_calls(void **state)
{
    struct net_peer peer;
    (void)state;
    net_peer_start(&peer, net_call_serve_ok);
    struct upstream_options o = net_call_options(peer.port);
    struct upstream *u = net_call_open(&o);
    unsigned long reuses = net_call_counter("reuses_total");
    for (unsigned i = 0; i < 20; i++) {
        net_call(u);
        net_call_expect("ok");
        assert_int_equal(outcome.status, 200);
        assert_int_equal(outcome.reused, i > 0);
        assert_false(outcome.verified);
        assert_int_equal(upstream_load(u).idle, 1);
        assert_int_equal(upstream_load(u).active, 0);
    }
    assert_int_equal(net_call_counter("reuses_total") - reuses, 19);
    assert_int_equal(atomic_load(&peer.accepted), 1);
    assert_int_equal(net_call_counter("idle_connections"), 1);
    upstream_release(u);
    assert_int_equal(net_call_counter("idle_connections"), 0);
    net_peer_stop(&peer);
}

static void wait_body(void *arg)
{
    fiber_sleep_until(net_test_in_ms(*(unsigned *)arg));
}

static void pause_lane(unsigned ms)
{
    net_test_run(wait_body, &ms);
}

static void test_idle_connections_expire(void **state)
{
    struct net_peer peer;
    (void)state;
    net_peer_start(&peer, net_call_serve_ok);
    struct upstream_options o = net_call_options(peer.port);
    o.idle_keep_us = 60000;
    struct upstream *u = net_call_open(&o);
    net_call(u);
    assert_int_equal(upstream_load(u).idle, 1);
    pause_lane(30);
    assert_int_equal(upstream_load(u).idle, 1);
    pause_lane(60);
    assert_int_equal(upstream_load(u).idle, 0);
    o.idle_keep_us = 0;
    struct upstream *none = net_call_open(&o);
    net_call(none);
    net_call_expect("ok");
    assert_int_equal(upstream_load(none).idle, 0);
    upstream_release(none);
    upstream_release(u);
    net_peer_stop(&peer);
}

static void serve_once_and_close(struct net_peer *peer, int fd, unsigned index)
{
    char request[1024];
    (void)peer;
    (void)index;
    if (net_peer_request(fd, request, sizeof request) > 0) (void)net_peer_say(fd, NET_CALL_OK);
}

static void test_closed_while_idle_is_noticed(void **state)
{
    struct net_peer peer;
    (void)state;
    net_peer_start(&peer, serve_once_and_close);
    struct upstream_options o = net_call_options(peer.port);
    struct upstream *u = net_call_open(&o);
    unsigned long retries = net_call_counter("stale_retries_total"), lost = net_call_counter("idle_lost_total");
    net_call(u);
    net_call_expect("ok");
    pause_lane(30);
    assert_int_equal(upstream_load(u).idle, 0);
    assert_int_equal(net_call_counter("idle_lost_total") - lost, 1);
    net_call(u);
    net_call_expect("ok");
    assert_int_equal(net_call_counter("stale_retries_total"), retries);
    upstream_release(u);
    net_peer_stop(&peer);
}

/* Answers once on each connection; at the second request it ends the connection without a word. */
static void serve_then_die(struct net_peer *peer, int fd, unsigned index)
{
    char request[1024];
    (void)index;
    if (net_peer_request(fd, request, sizeof request) > 0) (void)net_peer_say(fd, NET_CALL_OK);
    if (net_peer_request(fd, request, sizeof request) > 0 && peer->arg) net_peer_reset(fd);
}

static void test_dead_pooled_connection_is_retried_once(void **state)
{
    (void)state;
    for (unsigned reset = 0; reset < 2; reset++) {
        struct net_peer peer;
        net_peer_start(&peer, serve_then_die);
        peer.arg = reset ? &peer : NULL;
        struct upstream_options o = net_call_options(peer.port);
        struct upstream *u = net_call_open(&o);
        unsigned long retries = net_call_counter("stale_retries_total");
        net_call(u);
        net_call_expect("ok");
        net_call(u);
        net_call_expect("ok");
        assert_false(outcome.reused);
        assert_int_equal(net_call_counter("stale_retries_total") - retries, 1);
        assert_int_equal(atomic_load(&peer.accepted), 2);
        upstream_release(u);
        net_peer_stop(&peer);
    }
}

/* The first connection works once; all others end at once. */
static void serve_first_only(struct net_peer *peer, int fd, unsigned index)
{
    char request[1024];
    (void)peer;
    if (net_peer_request(fd, request, sizeof request) > 0 && index == 0) (void)net_peer_say(fd, NET_CALL_OK);
    if (index == 0) (void)net_peer_request(fd, request, sizeof request);
}

static void test_not_retried_twice(void **state)
{
    struct net_peer peer;
    (void)state;
    net_peer_start(&peer, serve_first_only);
    struct upstream_options o = net_call_options(peer.port);
    struct upstream *u = net_call_open(&o);
    net_call(u);
    net_call_expect("ok");
    net_call(u);
    assert_int_equal(outcome.begin, RC_OK);
    assert_int_equal(outcome.reply, RC_CLOSED);
    net_call_expect_message("closed the connection before its reply was complete");
    assert_int_equal(atomic_load(&peer.accepted), 2);
    upstream_release(u);
    net_peer_stop(&peer);
}

static void streamed_run(void *arg)
{
    struct upstream *u = arg;
    struct upstream_call c;
    uint64_t deadline = net_test_in_ms(3000);
    const char head[] = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n";
    assert_int_equal(upstream_begin(u, &c, SPAN("POST"), span_text(head), SPAN(""), deadline), RC_OK);
    assert_true(c.reused);
    int rc = upstream_send(&c, "body", 4, deadline);
    if (rc == RC_OK) rc = upstream_reply(&c, deadline);
    assert_int_equal(rc, RC_CLOSED); /* its body is gone: nothing could be sent again */
    upstream_end(&c);
}

static void test_streamed_body_is_not_retried(void **state)
{
    struct net_peer peer;
    (void)state;
    net_peer_start(&peer, serve_then_die);
    struct upstream_options o = net_call_options(peer.port);
    struct upstream *u = net_call_open(&o);
    net_call(u);
    net_call_expect("ok");
    net_test_run(streamed_run, u);
    assert_int_equal(atomic_load(&peer.accepted), 1);
    upstream_release(u);
    net_peer_stop(&peer);
}

/* ---- the bound of calls at a time */

struct crowd {
    struct upstream *upstream;
    unsigned most, done, order[6];
    int rcs[6];
    uint64_t deadline_us;
};
static struct crowd *crowd;
static unsigned crowd_next;

static void crowd_run(void *arg)
{
    struct crowd *c = arg;
    unsigned me = crowd_next++;
    struct upstream_call call_;
    struct span piece;
    int rc = upstream_begin(c->upstream, &call_, SPAN("POST"), SPAN(NET_CALL_HEAD), SPAN("body"), c->deadline_us);
    c->rcs[me] = rc;
    if (rc == RC_OK) {
        assert_true(upstream_load(c->upstream).active <= c->most);
        assert_int_equal(upstream_reply(&call_, net_test_in_ms(3000)), RC_OK);
        while (upstream_read(&call_, &piece, net_test_in_ms(3000)) == RC_OK) continue;
        upstream_end(&call_);
    }
    c->order[c->done++] = me;
}

static void crowd_start(void *arg)
{
    crowd = arg;
    crowd_next = 0;
    for (unsigned i = 0; i < 6; i++) net_test_beside(crowd_run, arg);
    assert_int_equal(upstream_load(crowd->upstream).queued, 4);
    while (crowd->done < 6) fiber_sleep_until(net_test_in_ms(5));
}

static void test_concurrent_bound_is_a_queue(void **state)
{
    struct net_peer peer;
    struct net_call_script s = {.reply = NET_CALL_OK, .before_ms = 40};
    (void)state;
    net_peer_start(&peer, net_call_serve_script);
    peer.arg = &s;
    struct upstream_options o = net_call_options(peer.port);
    o.concurrent = 2;
    struct crowd c = {.upstream = net_call_open(&o), .most = 2, .deadline_us = net_test_in_ms(3000)};
    net_test_run(crowd_start, &c);
    for (unsigned i = 0; i < 6; i++) {
        assert_int_equal(c.rcs[i], RC_OK);
        assert_int_equal(c.order[i] / 2, i / 2); /* two at a time, in the order they came */
    }
    assert_int_equal(atomic_load(&peer.accepted), 2);
    struct crowd late = {.upstream = c.upstream, .most = 2, .deadline_us = net_test_in_ms(25)};
    net_test_run(crowd_start, &late);
    unsigned full = 0;
    for (unsigned i = 0; i < 6; i++) full += late.rcs[i] == RC_FULL;
    assert_int_equal(full, 4);
    assert_int_equal(upstream_load(c.upstream).active, 0);
    assert_int_equal(upstream_load(c.upstream).queued, 0);
    upstream_release(c.upstream);
    o.queue_us = 25000; /* the queue's own patience is shorter than the call's */
    struct crowd hasty = {.upstream = net_call_open(&o), .most = 2, .deadline_us = net_test_in_ms(3000)};
    net_test_run(crowd_start, &hasty);
    full = 0;
    for (unsigned i = 0; i < 6; i++) full += hasty.rcs[i] == RC_FULL;
    assert_int_equal(full, 4);
    upstream_release(hasty.upstream);
    net_peer_stop(&peer);
}

static void test_idle_ones_make_room(void **state)
{
    struct net_peer peer;
    struct crowd c[2];
    (void)state;
    struct net_call_script s = {.reply = NET_CALL_OK, .before_ms = 20};
    net_peer_start(&peer, net_call_serve_script);
    peer.arg = &s;
    struct upstream_options o = net_call_options(peer.port);
    for (unsigned i = 0; i < 2; i++) { /* 6 connections each, 8 in all: the first's idle ones go */
        o.concurrent = 0;
        c[i] = (struct crowd){.upstream = net_call_open(&o), .most = 6, .deadline_us = net_test_in_ms(3000)};
        crowd_next = 0;
        crowd = &c[i];
    }
    for (unsigned i = 0; i < 2; i++) {
        for (unsigned k = 0; k < 6; k++) {
            crowd_next = k;
            net_test_beside(crowd_run, &c[i]);
        }
        while (c[i].done < 6) pause_lane(5);
    }
    for (unsigned k = 0; k < 6; k++) assert_int_equal(c[1].rcs[k], RC_OK);
    assert_int_equal(upstream_load(c[0].upstream).idle + upstream_load(c[1].upstream).idle, NET_TEST_CALLS);
    upstream_release(c[0].upstream);
    upstream_release(c[1].upstream);
    net_peer_stop(&peer);
}

/* ---- cancelling and releasing */

struct cancelled {
    struct outcome *o;
    struct fiber *fiber;
    bool done;
};

static void cancelled_run(void *arg)
{
    struct cancelled *c = arg;
    c->fiber = fiber_self();
    net_call_run(c->o);
    c->done = true;
}

static void cancel_body(void *arg)
{
    struct cancelled *c = arg;
    net_test_beside(cancelled_run, c);
    fiber_sleep_until(net_test_in_ms(40));
    upstream_release(c->o->upstream); /* the call goes on; the upstream goes with it */
    fiber_cancel(c->fiber);
    while (!c->done) fiber_sleep_until(net_test_in_ms(2));
}

static void test_cancelled_call_closes(void **state)
{
    struct net_peer peer;
    struct net_call_script s = {.reply = "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nsome"};
    (void)state;
    net_peer_start(&peer, net_call_serve_script);
    peer.arg = &s;
    struct upstream_options o = net_call_options(peer.port);
    memset(&outcome, 0, sizeof outcome);
    outcome.upstream = net_call_open(&o);
    struct cancelled c = {.o = &outcome};
    net_test_run(cancel_body, &c);
    assert_int_equal(outcome.read, RC_CANCELLED);
    assert_int_equal(outcome.size, 4);
    assert_int_equal(net_call_counter("idle_connections"), 0);
    net_peer_stop(&peer); /* joins: the peer saw the end */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_connection_for_many_calls),
        cmocka_unit_test(test_idle_connections_expire),
        cmocka_unit_test(test_closed_while_idle_is_noticed),
        cmocka_unit_test(test_dead_pooled_connection_is_retried_once),
        cmocka_unit_test(test_not_retried_twice),
        cmocka_unit_test(test_streamed_body_is_not_retried),
        cmocka_unit_test(test_concurrent_bound_is_a_queue),
        cmocka_unit_test(test_idle_ones_make_room),
        cmocka_unit_test(test_cancelled_call_closes),
    };
    return cmocka_run_group_tests_name("upstream", tests, net_test_start, NULL);
}
