/* SPDX-License-Identifier: Apache-2.0 */
/* tests/support/net_call.c — see net_call.h. */
#include "tests/support/net_call.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "platform/rc.h"

struct upstream_options net_call_options(unsigned port)
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

void net_call_run(void *arg)
{
    struct outcome *o = arg;
    struct upstream_call call;
    struct span piece;
    uint64_t deadline = o->deadline_us ? o->deadline_us : net_test_in_ms(6000);
    o->size = 0;
    o->reply = o->read = RC_EXISTS; /* not asked for */
    o->begin = upstream_begin(o->upstream, &call, span_text(o->method ? o->method : "POST"),
                              span_text(o->head ? o->head : NET_CALL_HEAD), SPAN("body"), deadline);
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

struct outcome outcome;

void net_call(struct upstream *u)
{
    memset(&outcome, 0, sizeof outcome);
    outcome.upstream = u;
    net_test_run(net_call_run, &outcome);
}

void net_call_expect(const char *body)
{
    if (outcome.begin != RC_OK || outcome.reply != RC_OK) fail_msg("%s", outcome.message);
    assert_int_equal(outcome.read, RC_EMPTY);
    assert_int_equal(outcome.size, strlen(body));
    assert_memory_equal(outcome.body, body, strlen(body));
}

struct upstream *net_call_open(const struct upstream_options *options)
{
    struct upstream *u = NULL;
    assert_int_equal(upstream_open(options, &u), RC_OK);
    return u;
}

unsigned long net_call_counter(const char *name)
{
    char whole[80];
    snprintf(whole, sizeof whole, "larder_upstream_%s", name);
    return net_test_metric(whole, NULL);
}

void net_call_expect_message(const char *part)
{
    if (!strstr(outcome.message, part)) fail_msg("\"%s\" does not say \"%s\"", outcome.message, part);
}

void net_call_serve_script(struct net_peer *peer, int fd, unsigned index)
{
    const struct net_call_script *s = peer->arg;
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

void net_call_serve_ok(struct net_peer *peer, int fd, unsigned index)
{
    char request[1024];
    (void)peer;
    (void)index;
    while (net_peer_request(fd, request, sizeof request) > 0) {
        if (!strstr(request, "\r\n\r\nbody")) abort();
        if (!net_peer_say(fd, NET_CALL_OK)) return;
    }
}
