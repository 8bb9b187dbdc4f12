/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_upstream.c — calls against peers that answer well, badly, late, in pieces, or not at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/upstream.h"
#include "platform/rc.h"
#include "tests/support/net_test.h"

#define HEAD "POST /v1/x HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n"
#define OK_2 "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

static struct upstream_options options_to(unsigned port)
{
    return (struct upstream_options){
        .name = SPAN("prov"),
        .host = SPAN("127.0.0.1"),
        .port = port,
        .connect_us = 2 * CLOCK_SECOND,
        .first_byte_us = 2 * CLOCK_SECOND,
        .idle_us = 2 * CLOCK_SECOND,
        .idle_keep_us = 5 * CLOCK_SECOND,
    };
}

/* One call from begin to end; what came is in `body`. */
struct outcome {
    struct upstream *upstream;
    int begin, reply, read;
    unsigned status;
    bool reused, verified;
    char body[70000];
    size_t size;
    char message[UPSTREAM_MESSAGE_MAX];
    uint64_t deadline_us;
    const char *method, *head;
};

static void call_run(void *arg)
{
    struct outcome *o = arg;
    struct upstream_call call;
    struct span piece;
    uint64_t deadline = o->deadline_us ? o->deadline_us : net_test_in_ms(6000);
    o->size = 0;
    o->reply = o->read = RC_EXISTS; /* not asked for */
    o->begin = upstream_begin(o->upstream, &call, span_text(o->method ? o->method : "POST"),
                              span_text(o->head ? o->head : HEAD), SPAN("body"), deadline);
    if (o->begin == RC_OK) o->reply = upstream_reply(&call, deadline);
    o->reused = call.reused;
    o->verified = call.verified;
    if (o->reply == RC_OK) {
        o->status = call.head.status;
        while ((o->read = upstream_read(&call, &piece, deadline)) == RC_OK) {
            assert_true(piece.size > 0);
            assert_true(o->size + piece.size <= sizeof o->body);
            memcpy(o->body + o->size, piece.data, piece.size);
            o->size += piece.size;
        }
        assert_true(call.head.field_count == 0 || call.head.fields[0].name.size > 0); /* the head outlives the body */
    }
    memcpy(o->message, call.message, sizeof o->message);
    if (o->begin == RC_OK) upstream_end(&call);
}

static struct outcome outcome;

static void call(struct upstream *u)
{
    memset(&outcome, 0, sizeof outcome);
    outcome.upstream = u;
    net_test_run(call_run, &outcome);
}

static void expect_ok(const char *body)
{
    if (outcome.begin != RC_OK || outcome.reply != RC_OK) fail_msg("%s", outcome.message);
    assert_int_equal(outcome.read, RC_EMPTY);
    assert_int_equal(outcome.size, strlen(body));
    assert_memory_equal(outcome.body, body, strlen(body));
}

static struct upstream *open_to(const struct upstream_options *options)
{
    struct upstream *u = NULL;
    assert_int_equal(upstream_open(options, &u), RC_OK);
    return u;
}

static unsigned long counter(const char *name)
{
    char whole[80];
    snprintf(whole, sizeof whole, "larder_upstream_%s", name);
    return net_test_metric(whole, NULL);
}

static void expect_message(const char *part)
{
    if (!strstr(outcome.message, part)) fail_msg("\"%s\" does not say \"%s\"", outcome.message, part);
}

/* ---- keep-alive and the pool */

static void serve_ok(struct net_peer *peer, int fd, unsigned index)
{
    char request[1024];
    (void)peer;
    (void)index;
    while (net_peer_request(fd, request, sizeof request) > 0) {
        if (!strstr(request, "\r\n\r\nbody")) abort();
        if (!net_peer_say(fd, OK_2)) return;
    }
}

static void test_one_connection_for_many_calls(void **state)
{
    struct net_peer peer;
    (void)state;
    net_peer_start(&peer, serve_ok);
    struct upstream_options o = options_to(peer.port);
    struct upstream *u = open_to(&o);
    unsigned long reuses = counter("reuses_total");
    for (unsigned i = 0; i < 20; i++) {
        call(u);
        expect_ok("ok");
        assert_int_equal(outcome.status, 200);
        assert_int_equal(outcome.reused, i > 0);
        assert_false(outcome.verified);
        assert_int_equal(upstream_load(u).idle, 1);
        assert_int_equal(upstream_load(u).active, 0);
    }
    assert_int_equal(counter("reuses_total") - reuses, 19);
    assert_int_equal(atomic_load(&peer.accepted), 1);
    assert_int_equal(counter("idle_connections"), 1);
    upstream_release(u);
    assert_int_equal(counter("idle_connections"), 0);
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
    net_peer_start(&peer, serve_ok);
    struct upstream_options o = options_to(peer.port);
    o.idle_keep_us = 60000;
    struct upstream *u = open_to(&o);
    call(u);
    assert_int_equal(upstream_load(u).idle, 1);
    pause_lane(30);
    assert_int_equal(upstream_load(u).idle, 1);
    pause_lane(60);
    assert_int_equal(upstream_load(u).idle, 0);
    o.idle_keep_us = 0;
    struct upstream *none = open_to(&o);
    call(none);
    expect_ok("ok");
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
    if (net_peer_request(fd, request, sizeof request) > 0) (void)net_peer_say(fd, OK_2);
}

static void test_closed_while_idle_is_noticed(void **state)
{
    struct net_peer peer;
    (void)state;
    net_peer_start(&peer, serve_once_and_close);
    struct upstream_options o = options_to(peer.port);
    struct upstream *u = open_to(&o);
    unsigned long retries = counter("stale_retries_total"), lost = counter("idle_lost_total");
    call(u);
    expect_ok("ok");
    pause_lane(30);
    assert_int_equal(upstream_load(u).idle, 0);
    assert_int_equal(counter("idle_lost_total") - lost, 1);
    call(u);
    expect_ok("ok");
    assert_int_equal(counter("stale_retries_total"), retries);
    upstream_release(u);
    net_peer_stop(&peer);
}

/* Answers once on each connection; at the second request it ends the connection without a word. */
static void serve_then_die(struct net_peer *peer, int fd, unsigned index)
{
    char request[1024];
    (void)index;
    if (net_peer_request(fd, request, sizeof request) > 0) (void)net_peer_say(fd, OK_2);
    if (net_peer_request(fd, request, sizeof request) > 0 && peer->arg) net_peer_reset(fd);
}

static void test_dead_pooled_connection_is_retried_once(void **state)
{
    (void)state;
    for (unsigned reset = 0; reset < 2; reset++) {
        struct net_peer peer;
        net_peer_start(&peer, serve_then_die);
        peer.arg = reset ? &peer : NULL;
        struct upstream_options o = options_to(peer.port);
        struct upstream *u = open_to(&o);
        unsigned long retries = counter("stale_retries_total");
        call(u);
        expect_ok("ok");
        call(u);
        expect_ok("ok");
        assert_false(outcome.reused);
        assert_int_equal(counter("stale_retries_total") - retries, 1);
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
    if (net_peer_request(fd, request, sizeof request) > 0 && index == 0) (void)net_peer_say(fd, OK_2);
    if (index == 0) (void)net_peer_request(fd, request, sizeof request);
}

static void test_not_retried_twice(void **state)
{
    struct net_peer peer;
    (void)state;
    net_peer_start(&peer, serve_first_only);
    struct upstream_options o = options_to(peer.port);
    struct upstream *u = open_to(&o);
    call(u);
    expect_ok("ok");
    call(u);
    assert_int_equal(outcome.begin, RC_OK);
    assert_int_equal(outcome.reply, RC_CLOSED);
    expect_message("closed the connection before its reply was complete");
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
    struct upstream_options o = options_to(peer.port);
    struct upstream *u = open_to(&o);
    call(u);
    expect_ok("ok");
    net_test_run(streamed_run, u);
    assert_int_equal(atomic_load(&peer.accepted), 1);
    upstream_release(u);
    net_peer_stop(&peer);
}

/* ---- replies */

struct script {
    const char *reply;
    size_t piece; /* bytes a send; 0: all */
    unsigned before_ms, between_ms;
    bool close, reset;
};

static void serve_script(struct net_peer *peer, int fd, unsigned index)
{
    const struct script *s = peer->arg;
    char request[1024];
    (void)index;
    while (net_peer_request(fd, request, sizeof request) > 0) {
        net_peer_pause_ms(s->before_ms);
        size_t size = strlen(s->reply), piece = s->piece ? s->piece : size;
        for (size_t at = 0; at < size; at += piece) {
            if (send(fd, s->reply + at, size - at < piece ? size - at : piece, MSG_NOSIGNAL) < 0) return;
            if (s->piece) net_peer_pause_ms(s->between_ms);
        }
        if (s->reset) net_peer_reset(fd);
        if (s->close || s->reset) return;
    }
}

/* One call against a peer with a script; connections idle afterwards. */
static unsigned play(const struct script *script, const char *method, struct upstream_options *changed)
{
    struct net_peer peer;
    net_peer_start(&peer, serve_script);
    peer.arg = (void *)(uintptr_t)script;
    struct upstream_options o = changed ? *changed : options_to(peer.port);
    o.port = peer.port;
    struct upstream *u = open_to(&o);
    memset(&outcome, 0, sizeof outcome);
    outcome.upstream = u;
    outcome.method = method;
    net_test_run(call_run, &outcome);
    unsigned idle = upstream_load(u).idle;
    assert_int_equal(upstream_load(u).active, 0);
    upstream_release(u);
    net_peer_stop(&peer);
    return idle;
}

static void test_informational_replies_are_skipped(void **state)
{
    static const char reply[] = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
                                "HTTP/1.1 102 Processing\r\n\r\n" OK_2;
    (void)state;
    for (size_t piece = 0; piece < 8; piece++) {
        struct script s = {.reply = reply, .piece = piece, .between_ms = 1};
        assert_int_equal(play(&s, NULL, NULL), 1);
        expect_ok("ok");
        assert_int_equal(outcome.status, 200);
    }
    struct script upgrade = {.reply = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"};
    assert_int_equal(play(&upgrade, NULL, NULL), 0);
    assert_int_equal(outcome.reply, RC_INVALID);
}

static void test_chunks_split_everywhere(void **state)
{
    static const char reply[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                                "5\r\nhello\r\n1;x=y\r\n \r\n00a\r\nworld 1234\r\n0\r\nTrailer: t\r\n\r\n";
    (void)state;
    for (size_t piece = 0; piece < 12; piece++) {
        struct script s = {.reply = reply, .piece = piece};
        assert_int_equal(play(&s, NULL, NULL), 1);
        expect_ok("hello world 1234");
    }
    /* every single cut, with a pause so that it is two reads */
    for (size_t cut = sizeof reply - 70; cut < sizeof reply - 1; cut++) {
        struct script s = {.reply = reply, .piece = cut, .between_ms = 2};
        assert_int_equal(play(&s, NULL, NULL), 1);
        expect_ok("hello world 1234");
    }
}

static void test_bodies_by_length_close_and_none(void **state)
{
    (void)state;
    struct script until_close = {.reply = "HTTP/1.1 200 OK\r\n\r\nto the end", .close = true};
    assert_int_equal(play(&until_close, NULL, NULL), 0);
    expect_ok("to the end");
    struct script no_content = {.reply = "HTTP/1.1 204 No Content\r\n\r\n"};
    assert_int_equal(play(&no_content, NULL, NULL), 1);
    expect_ok("");
    struct script not_modified = {.reply = "HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n"};
    assert_int_equal(play(&not_modified, NULL, NULL), 1);
    expect_ok("");
    struct script head = {.reply = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"};
    assert_int_equal(play(&head, "HEAD", NULL), 1);
    expect_ok("");
    struct script empty = {.reply = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"};
    assert_int_equal(play(&empty, NULL, NULL), 1);
    expect_ok("");
}

static void test_connection_that_must_not_be_kept(void **state)
{
    (void)state;
    struct script close = {.reply = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"};
    assert_int_equal(play(&close, NULL, NULL), 0);
    expect_ok("ok");
    struct script old = {.reply = "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"};
    assert_int_equal(play(&old, NULL, NULL), 0);
    expect_ok("ok");
    struct script more = {.reply = OK_2 "HTTP/1.1 200 OK\r\n"}; /* bytes nobody asked for */
    assert_int_equal(play(&more, NULL, NULL), 0);
    expect_ok("ok");
}

static void test_cut_replies(void **state)
{
    static const char *const replies[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nonly this",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nonly this\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n20\r\nonly this",
    };
    (void)state;
    for (size_t i = 0; i < sizeof replies / sizeof replies[0]; i++) {
        struct script s = {.reply = replies[i], .close = true};
        assert_int_equal(play(&s, NULL, NULL), 0);
        assert_int_equal(outcome.reply, RC_OK);
        assert_int_equal(outcome.read, RC_CLOSED);
        assert_int_equal(outcome.size, 9);
        expect_message("prov: the reply was cut short");
    }
    struct script half_head = {.reply = "HTTP/1.1 200 OK\r\nContent-", .close = true};
    assert_int_equal(play(&half_head, NULL, NULL), 0);
    assert_int_equal(outcome.reply, RC_CLOSED);
    struct script nothing = {.reply = "", .close = true};
    assert_int_equal(play(&nothing, NULL, NULL), 0);
    assert_int_equal(outcome.reply, RC_CLOSED);
    struct script reset = {.reply = "HTTP/1.1 200 OK\r\n\r\nuntil", .reset = true, .piece = 1, .between_ms = 1};
    assert_int_equal(play(&reset, NULL, NULL), 0); /* a reset is not the end of a body */
    assert_int_equal(outcome.read, RC_CLOSED);
}

static void test_replies_that_are_not_http(void **state)
{
    static const char *const replies[] = {
        "SSH-2.0-OpenSSH\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nok",
        "HTTP/2.0 200 OK\r\n\r\n",
    };
    (void)state;
    for (size_t i = 0; i < sizeof replies / sizeof replies[0]; i++) {
        struct script s = {.reply = replies[i], .close = true};
        assert_int_equal(play(&s, NULL, NULL), 0);
        assert_int_equal(outcome.reply, RC_INVALID);
        expect_message("prov: not an HTTP reply (");
    }
    struct script chunk = {.reply = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n"};
    assert_int_equal(play(&chunk, NULL, NULL), 0);
    assert_int_equal(outcome.read, RC_INVALID);
}

static void test_head_that_is_too_large(void **state)
{
    static char reply[UPSTREAM_HEAD_MAX + 200];
    (void)state;
    memset(reply, 'x', sizeof reply - 1);
    memcpy(reply, "HTTP/1.1 200 OK\r\nX: ", 20);
    struct script s = {.reply = reply};
    assert_int_equal(play(&s, NULL, NULL), 0);
    assert_int_equal(outcome.reply, RC_INVALID);
    expect_message("larger than 16384");
}

static void test_large_body_behind_a_large_head(void **state)
{
    static char reply[90000];
    (void)state;
    int head = snprintf(reply, sizeof reply, "HTTP/1.1 200 OK\r\nX: %0*d\r\nContent-Length: 60000\r\n\r\n", 12000, 7);
    for (size_t i = 0; i < 60000; i++) reply[(size_t)head + i] = (char)('a' + i % 23);
    struct script s = {.reply = reply};
    assert_int_equal(play(&s, NULL, NULL), 1);
    assert_int_equal(outcome.read, RC_EMPTY);
    assert_int_equal(outcome.size, 60000);
    assert_memory_equal(outcome.body, reply + head, 60000);
}

/* ---- time */

static void test_timeouts(void **state)
{
    struct upstream_options o = options_to(0);
    (void)state;
    o.first_byte_us = 60000;
    struct script late = {.reply = OK_2, .before_ms = 200};
    uint64_t before = clock_monotonic_us();
    assert_int_equal(play(&late, NULL, &o), 0);
    assert_int_equal(outcome.reply, RC_TIMEOUT);
    expect_message("prov: no reply in time");
    assert_true(clock_monotonic_us() - before >= 60000);
    o.first_byte_us = 2 * CLOCK_SECOND;
    o.idle_us = 60000;
    struct script stops = {.reply = "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nsome"};
    assert_int_equal(play(&stops, NULL, &o), 0);
    assert_int_equal(outcome.read, RC_TIMEOUT);
    expect_message("the reply stopped for too long");
    struct script slow = {.reply = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow", .piece = 6, .between_ms = 30};
    assert_int_equal(play(&slow, NULL, &o), 1); /* each piece in time */
    expect_ok("slow");
}

struct early {
    struct upstream *upstream;
    uint64_t first_us, end_us;
};

static void first_byte_run(void *arg)
{
    struct early *e = arg;
    struct upstream_call c;
    struct span piece;
    uint64_t deadline = net_test_in_ms(3000);
    assert_int_equal(upstream_begin(e->upstream, &c, SPAN("POST"), SPAN(HEAD), SPAN("body"), deadline), RC_OK);
    assert_int_equal(upstream_reply(&c, deadline), RC_OK);
    assert_int_equal(upstream_read(&c, &piece, deadline), RC_OK);
    e->first_us = clock_monotonic_us();
    assert_int_equal(piece.size, 3);
    while (upstream_read(&c, &piece, deadline) == RC_OK) e->end_us = clock_monotonic_us();
    upstream_end(&c);
}

static void test_first_bytes_do_not_wait_for_more(void **state)
{
    struct net_peer peer;
    struct script s = {.reply = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabcdef", .piece = 41, .between_ms = 150};
    (void)state;
    net_peer_start(&peer, serve_script);
    peer.arg = &s;
    struct upstream_options o = options_to(peer.port);
    struct early e = {.upstream = open_to(&o)};
    net_test_run(first_byte_run, &e);
    assert_true(e.end_us - e.first_us > 100000);
    upstream_release(e.upstream);
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
    int rc = upstream_begin(c->upstream, &call_, SPAN("POST"), SPAN(HEAD), SPAN("body"), c->deadline_us);
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
    struct script s = {.reply = OK_2, .before_ms = 40};
    (void)state;
    net_peer_start(&peer, serve_script);
    peer.arg = &s;
    struct upstream_options o = options_to(peer.port);
    o.concurrent = 2;
    struct crowd c = {.upstream = open_to(&o), .most = 2, .deadline_us = net_test_in_ms(3000)};
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
    net_peer_stop(&peer);
}

static void test_idle_ones_make_room(void **state)
{
    struct net_peer peer;
    struct crowd c[2];
    (void)state;
    struct script s = {.reply = OK_2, .before_ms = 20};
    net_peer_start(&peer, serve_script);
    peer.arg = &s;
    struct upstream_options o = options_to(peer.port);
    for (unsigned i = 0; i < 2; i++) { /* 6 connections each, 8 in all: the first's idle ones go */
        o.concurrent = 0;
        c[i] = (struct crowd){.upstream = open_to(&o), .most = 6, .deadline_us = net_test_in_ms(3000)};
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
    call_run(c->o);
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
    struct script s = {.reply = "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nsome"};
    (void)state;
    net_peer_start(&peer, serve_script);
    peer.arg = &s;
    struct upstream_options o = options_to(peer.port);
    memset(&outcome, 0, sizeof outcome);
    outcome.upstream = open_to(&o);
    struct cancelled c = {.o = &outcome};
    net_test_run(cancel_body, &c);
    assert_int_equal(outcome.read, RC_CANCELLED);
    assert_int_equal(outcome.size, 4);
    assert_int_equal(counter("idle_connections"), 0);
    net_peer_stop(&peer); /* joins: the peer saw the end */
}

/* ---- connecting */

static void test_refused_and_unknown(void **state)
{
    struct net_peer peer;
    (void)state;
    net_peer_start(&peer, serve_ok);
    net_peer_stop(&peer);
    struct upstream_options o = options_to(peer.port);
    struct upstream *u = open_to(&o);
    call(u);
    assert_int_equal(outcome.begin, RC_UNREACHABLE);
    char expected[100];
    snprintf(expected, sizeof expected, "connect to 127.0.0.1 (127.0.0.1:%u): connection refused", peer.port);
    assert_string_equal(outcome.message, expected);
    assert_int_equal(upstream_load(u).active, 0);
    upstream_release(u);
}

static void test_second_address_is_tried(void **state)
{
    struct net_peer peer;
    (void)state;
    net_peer_start(&peer, serve_ok); /* on 127.0.0.1 only; localhost has ::1 too */
    struct upstream_options o = options_to(peer.port);
    o.host = SPAN("localhost");
    struct upstream *u = open_to(&o);
    call(u);
    expect_ok("ok");
    upstream_release(u);
    net_peer_stop(&peer);
}

/* ---- proxies */

struct relay {
    unsigned target;
    const char *answer; /* instead of connecting */
    atomic_uint seen_authorization;
};

static void *pump(void *arg)
{
    int *fds = arg;
    char buffer[4096];
    ssize_t got;
    while ((got = recv(fds[0], buffer, sizeof buffer, 0)) > 0) {
        if (send(fds[1], buffer, (size_t)got, MSG_NOSIGNAL) != got) break;
    }
    shutdown(fds[1], SHUT_WR);
    return NULL;
}

static void serve_proxy(struct net_peer *peer, int fd, unsigned index)
{
    struct relay *relay = peer->arg;
    char request[1024], expected[64];
    (void)index;
    if (net_peer_request(fd, request, sizeof request) == 0) return;
    snprintf(expected, sizeof expected, "CONNECT larder.test:%u HTTP/1.1\r\nHost: larder.test:%u\r\n", relay->target,
             relay->target);
    if (strncmp(request, expected, strlen(expected)) != 0) {
        (void)net_peer_say(fd, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        return;
    }
    if (strstr(request, "\r\nProxy-Authorization: Basic dTpw\r\n")) atomic_fetch_add(&relay->seen_authorization, 1);
    if (relay->answer) {
        (void)net_peer_say(fd, relay->answer);
        return;
    }
    int target = net_test_connect(relay->target);
    (void)fcntl(target, F_SETFL, 0);
    (void)net_peer_say(fd, "HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n");
    int up[2] = {fd, target}, down[2] = {target, fd};
    pthread_t thread;
    if (pthread_create(&thread, NULL, pump, up) != 0) abort();
    pump(down);
    shutdown(fd, SHUT_RDWR);
    pthread_join(thread, NULL);
    close(target);
}

static struct upstream_options through(unsigned proxy_port, unsigned port)
{
    struct upstream_options o = options_to(port);
    o.host = SPAN("larder.test");
    o.proxy_host = SPAN("127.0.0.1");
    o.proxy_port = proxy_port;
    o.proxy_authorization = SPAN("Basic dTpw");
    return o;
}

static void test_through_a_proxy(void **state)
{
    struct net_peer target, proxy;
    (void)state;
    net_peer_start(&target, serve_ok);
    net_peer_start(&proxy, serve_proxy);
    struct relay relay = {.target = target.port};
    proxy.arg = &relay;
    struct upstream_options o = through(proxy.port, target.port);
    struct upstream *u = open_to(&o);
    for (unsigned i = 0; i < 3; i++) {
        call(u);
        expect_ok("ok");
        assert_int_equal(outcome.reused, i > 0);
    }
    assert_int_equal(atomic_load(&relay.seen_authorization), 1);
    upstream_release(u);
    net_peer_stop(&proxy);
    net_peer_stop(&target);
}

static void test_proxies_that_refuse(void **state)
{
    static const struct {
        const char *answer, *message;
    } cases[] = {
        {"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 3\r\n\r\nno!", "status 407 (its credentials"},
        {"HTTP/1.1 502 Bad Gateway\r\n\r\n", "refuses to connect to larder.test: status 502"},
        {"SSH-2.0\r\n\r\n", "its answer is not HTTP"},
        {"HTTP/1.1 200 OK\r\n\r\nextra", "its answer is not HTTP"},
        {"", "it closed the connection"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct net_peer proxy;
        struct relay relay = {.target = 9, .answer = cases[i].answer};
        net_peer_start(&proxy, serve_proxy);
        proxy.arg = &relay;
        struct upstream_options o = through(proxy.port, 9);
        struct upstream *u = open_to(&o);
        call(u);
        assert_int_equal(outcome.begin, RC_UNREACHABLE);
        expect_message(cases[i].message);
        upstream_release(u);
        net_peer_stop(&proxy);
        if (i > 0) continue;
        u = open_to(&o); /* and nobody there at all */
        call(u);
        assert_int_equal(outcome.begin, RC_UNREACHABLE);
        expect_message("connection refused");
        upstream_release(u);
    }
}

/* ---- TLS */

static void tls_answer(struct stream *s, unsigned index)
{
    (void)index;
    while (net_tls_peer_request(s)) {
        char body[4];
        size_t done = 0;
        (void)stream_recv_wait(s, body, sizeof body, &done, net_test_in_ms(50));
        if (stream_send_all(s, OK_2, sizeof OK_2 - 1, net_test_in_ms(2000)) != RC_OK) return;
    }
}

static void test_over_tls(void **state)
{
    struct net_tls_peer peer;
    struct tls_server *server = NULL;
    struct tls_trust *trust = NULL;
    char message[TLS_MESSAGE_MAX];
    (void)state;
    assert_int_equal(tls_server_load(NET_TEST_DATA "ec.pem", NET_TEST_DATA "ec.key", &server, message), RC_OK);
    assert_int_equal(tls_trust_load(SPAN("file:" NET_TEST_DATA "root.pem"), SPAN(""), &trust, message), RC_OK);
    net_tls_peer_start(&peer, server, tls_answer);
    struct upstream_options o = options_to(peer.port);
    o.tls = true;
    o.trust = trust;
    struct upstream *u = open_to(&o);
    for (unsigned i = 0; i < 5; i++) {
        call(u);
        expect_ok("ok");
        assert_true(outcome.verified);
        assert_int_equal(outcome.reused, i > 0);
    }
    assert_int_equal(upstream_load(u).idle, 1);
    upstream_release(u);
    o.host = SPAN("wrong.localhost");
    u = open_to(&o);
    call(u);
    assert_int_equal(outcome.begin, RC_UNTRUSTED);
    expect_message("connect to wrong.localhost:");
    expect_message("it is for another name");
    upstream_release(u);
    net_tls_peer_stop(&peer);
    tls_trust_release(trust);
    tls_server_release(server);
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
        cmocka_unit_test(test_informational_replies_are_skipped),
        cmocka_unit_test(test_chunks_split_everywhere),
        cmocka_unit_test(test_bodies_by_length_close_and_none),
        cmocka_unit_test(test_connection_that_must_not_be_kept),
        cmocka_unit_test(test_cut_replies),
        cmocka_unit_test(test_replies_that_are_not_http),
        cmocka_unit_test(test_head_that_is_too_large),
        cmocka_unit_test(test_large_body_behind_a_large_head),
        cmocka_unit_test(test_timeouts),
        cmocka_unit_test(test_first_bytes_do_not_wait_for_more),
        cmocka_unit_test(test_concurrent_bound_is_a_queue),
        cmocka_unit_test(test_idle_ones_make_room),
        cmocka_unit_test(test_cancelled_call_closes),
        cmocka_unit_test(test_refused_and_unknown),
        cmocka_unit_test(test_second_address_is_tried),
        cmocka_unit_test(test_through_a_proxy),
        cmocka_unit_test(test_proxies_that_refuse),
        cmocka_unit_test(test_over_tls),
    };
    return cmocka_run_group_tests_name("upstream", tests, net_test_start, NULL);
}
