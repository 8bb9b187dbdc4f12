/* SPDX-License-Identifier: Apache-2.0 */
/* net/upstream_private.h — what the files of the upstream module share; nobody else includes it. Threads: lane only. */
#ifndef NET_UPSTREAM_PRIVATE_H
#define NET_UPSTREAM_PRIVATE_H

#include "net/dns.h"
#include "net/upstream.h"

enum {
    UPSTREAM_BUFFER = UPSTREAM_HEAD_MAX + UPSTREAM_READ_SIZE,
    UPSTREAM_NAME_MAX = 64,
    UPSTREAM_HOST_MAX = 256,
    UPSTREAM_CREDENTIAL_MAX = 512,
};

struct upstream_connection {
    struct stream stream; /* first: its source is found from the loop's */
    struct upstream *upstream;
    char *buffer;                                               /* UPSTREAM_BUFFER bytes, while in a call */
    size_t body_at;                                             /* where body bytes are read to */
    void (*ready)(struct loop_source *source, unsigned events); /* the source's own, while the connection is idle */
    uint64_t idle_since_us;
    struct upstream_connection *older, *newer; /* among all idle ones */
};

struct upstream_waiter;

struct upstream {
    struct upstream_options options; /* spans into the texts below */
    char name[UPSTREAM_NAME_MAX], host[UPSTREAM_HOST_MAX], proxy_host[UPSTREAM_HOST_MAX];
    char proxy_authorization[UPSTREAM_CREDENTIAL_MAX];
    unsigned users; /* the configuration and the calls */
    bool released;
    unsigned active;
    struct upstream_waiter *first, *last; /* in the queue for a place under `concurrent` */
    unsigned queued;
    struct upstream_connection *idle[UPSTREAM_IDLE_MAX]; /* the newest last */
    unsigned idle_count;
    struct loop_timer timer;
    struct dns_address preferred; /* the address that answered last; size 0: none */
};

/* upstream_connect.c: name, connection, proxy and TLS; c->stream is open with RC_OK, closed otherwise. */
int upstream_connect(struct upstream_call *call, struct upstream_connection *c, uint64_t deadline_us);
void upstream_connect_register(void);
__attribute__((format(printf, 2, 3))) void upstream_say(struct upstream_call *call, const char *format, ...);

/* upstream_pool.c */
int upstream_pool_reserve(unsigned upstreams_max, unsigned calls_max);
/* A connection object with a buffer, not connected; RC_FULL. */
int upstream_connection_new(struct upstream_call *call, struct upstream_connection **connection);
/* The newest idle one, with a buffer, or NULL. */
struct upstream_connection *upstream_idle_take(struct upstream *u);
/* Back to the pool when `reusable`, else closed. */
void upstream_connection_end(struct upstream_connection *c, bool reusable);
int upstream_slot_take(struct upstream *u, uint64_t deadline_us);
void upstream_slot_give(struct upstream *u);
void upstream_user_drop(struct upstream *u);

#endif
