/* SPDX-License-Identifier: Apache-2.0 */
/* tests/support/net_call.h — one upstream call from begin to end, and plain peers that answer it. */
#ifndef TESTS_SUPPORT_NET_CALL_H
#define TESTS_SUPPORT_NET_CALL_H

#include "net/upstream.h"
#include "tests/support/net_test.h"

#define NET_CALL_HEAD "POST /v1/x HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n"
#define NET_CALL_OK "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

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

extern struct outcome outcome; /* of the newest call */

struct upstream_options net_call_options(unsigned port);
struct upstream *net_call_open(const struct upstream_options *options);
void net_call_run(void *outcome); /* a fiber's body */
void net_call(struct upstream *u);
void net_call_expect(const char *body);
void net_call_expect_message(const char *part);
unsigned long net_call_counter(const char *name); /* without "larder_upstream_" */

void net_call_serve_ok(struct net_peer *peer, int fd, unsigned index);

/* What net_call_serve_script says to each request; the peer's `arg`. */
struct net_call_script {
    const char *reply;
    size_t piece; /* bytes a send; 0: all */
    unsigned before_ms, between_ms;
    bool close, reset;
};

void net_call_serve_script(struct net_peer *peer, int fd, unsigned index);

#endif
