/* SPDX-License-Identifier: Apache-2.0 */
/* net/upstream.h — calls to a provider: pooled connections, TLS, proxy, one HTTP exchange at a time on each.
 *
 * Owner:   an upstream (one a provider) is the configuration's; a call is its fiber's until upstream_end.
 * Threads: lane only.
 * Fails:   RC_UNREACHABLE (DNS, connect, proxy), RC_UNTRUSTED, RC_TIMEOUT, RC_CLOSED (ended too early), RC_INVALID (not
 *          HTTP), RC_FULL (its `concurrent` bound: the queue is full, or its
 *          time is over), RC_CANCELLED. call->message says
 *          what happened in words, with the host.
 * Retry:   one transparent retry on a fresh connection when a pooled one turns out dead before any reply byte came and
 *          the request is held whole; everything else is the caller's policy.
 */
#ifndef NET_UPSTREAM_H
#define NET_UPSTREAM_H

#include "net/http1.h"
#include "net/tls.h"
#include "platform/arena.h"

enum {
    UPSTREAM_IDLE_MAX = 16,
    UPSTREAM_MESSAGE_MAX = 200,
    UPSTREAM_READ_SIZE = 16384,
    UPSTREAM_HEAD_MAX = 16384,  /* of a reply, each of its 1xx too */
    UPSTREAM_ADDRESSES_MAX = 8, /* tried for one connection */
};

struct upstream_options {
    struct span name; /* provider's, for logs */
    struct span host;
    unsigned port;
    bool tls;
    struct tls_trust *trust;
    struct span proxy_host; /* CONNECT proxy (also for plain http targets); empty: none */
    unsigned proxy_port;
    struct span proxy_authorization; /* whole field value, or empty */
    unsigned concurrent;             /* calls at a time; 0: no bound */
    unsigned queue;                  /* callers waiting for that, the next one is refused at once; 0: no bound */
    uint64_t queue_us;               /* so long at most; 0: to the call's deadline */
    uint64_t connect_us, first_byte_us, idle_us;
    uint64_t idle_keep_us; /* pooled connections are closed after this long unused */
};

struct upstream; /* opaque */

/* `upstreams_max` providers, `calls_max` flights; read buffers come from here. Connections, idle ones too, are at most
 * `calls_max`: a new one takes the place of the one longest idle, so that is how many client sessions TLS needs.
 * One timer an upstream. */
int upstream_reserve(unsigned upstreams_max, unsigned calls_max);
int upstream_open(const struct upstream_options *options, struct upstream **upstream);
void upstream_release(struct upstream *upstream); /* pooled connections close; calls under way go on */

struct upstream_call {
    struct upstream *upstream;
    struct http_head head; /* of the reply, after upstream_reply */
    char message[UPSTREAM_MESSAGE_MAX];
    uint64_t connected_us, first_byte_us; /* monotonic, 0 until then */
    bool reused;
    bool verified; /* over TLS, and the peer proved who it is: its Date may set the clock */
    struct span method, request_head, request_body; /* module's own from here on: for the one retry */
    struct upstream_connection *connection;
    struct http_chunked chunked;
    uint64_t body_left, sent_us;
    size_t held;               /* bytes in the read buffer while the head is not complete */
    struct span pending;       /* read, not decoded yet */
    bool whole, complete, cut; /* request held whole; body taken whole; the request could not be sent to its end */
};

/* Sends a request: `head` is the whole composed head (request line to blank line), `body` what is held whole. Both must
 * stay until upstream_reply has returned. On failure nothing is held and upstream_end may be left out. */
int upstream_begin(struct upstream *upstream, struct upstream_call *call, struct span method, struct span head,
                   struct span body, uint64_t deadline_us);
/* Connects, with proxy and TLS, outside of the bound of calls, and leaves the connection to the pool. Fails as
 * upstream_begin does; nothing is held either way. */
int upstream_probe(struct upstream *upstream, struct upstream_call *call, uint64_t deadline_us);
/* More request body, already framed (bodies that stream through). */
int upstream_send(struct upstream_call *call, const void *data, size_t size, uint64_t deadline_us);
/* Waits for the final reply head; any number of 1xx is skipped. Spans of call->head stay valid until upstream_end. */
int upstream_reply(struct upstream_call *call, uint64_t deadline_us);
/* Next body bytes, decoded from chunking, as they come: *piece is a view valid until the next call. RC_EMPTY at the
 * end; RC_CLOSED when the body was cut short; RC_TIMEOUT after options.idle_us without a byte. */
int upstream_read(struct upstream_call *call, struct span *piece, uint64_t deadline_us);
/* The same of what has come already: RC_AGAIN where upstream_read would wait. */
int upstream_read_ready(struct upstream_call *call, struct span *piece);
/* Connections under way and waiting in the pool; callers in the queue for the `concurrent` bound. */
struct upstream_load {
    unsigned active, idle, queued;
};
struct upstream_load upstream_load(const struct upstream *upstream);
/* Gives the connection back to the pool when the exchange was complete and may be reused, else closes it. */
void upstream_end(struct upstream_call *call);

#endif
