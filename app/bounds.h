/* SPDX-License-Identifier: Apache-2.0 */
/* app/bounds.h — the built-in bounds: what a configuration may ask for at most, and how the terms hang together.
 *
 * Each module's header names its own terms; the memory plan (`larder plan`) is their sum for the configuration in force.
 */
#ifndef APP_BOUNDS_H
#define APP_BOUNDS_H

#include <assert.h>

#include "app/control.h"
#include "app/gateway/gateway.h"
#include "app/gateway/sink.h"
#include "app/gateway/tenants.h"
#include "cache/cache.h"
#include "net/dns.h"

enum {
    CONNECTIONS_MAX = 16384,
    REQUESTS_MAX = 1024,    /* being worked on: fiber, arena */
    FLIGHTS_MAX = 1024,     /* upstream calls */
    BACKGROUND_MAX = 12,    /* reload, trust loading, clock, questions kept: a fiber each; probes */
    ADMIN_CONNECTIONS = 64, /* a few browsers and scrapers */
    ADMIN_REQUESTS = 8,
    HEAD_READERS_PART = 8, /* one request in so many may be one whose head comes in pieces */
    TIMERS_PER_CONNECTION = 1,
    TIMERS_PER_FIBER = 1,
    REQUEST_ARENA_FACTOR =
        16, /* times parse_max of address space: body, canonical copy, recording and its doubling, two
                                   converted forms of twice its size, a read entry */
    OFFLOAD_QUEUE_MAX = 64,
    BACKGROUND_STACK = 64 << 10,
    DRAIN_SECONDS = 30, /* longest wait for requests under way at the end */
};

static_assert(REQUESTS_MAX <= CONNECTIONS_MAX, "a request has a connection");
static_assert(FLIGHTS_MAX <= REQUESTS_MAX, "a flight has a leader");
static_assert((int)CONFIG_TENANTS_MAX <= (int)TENANTS_MAX, "every configured tenant has a row");
static_assert(sizeof(struct sink) <= (size_t)CONNECTION_ATTACHMENT, "a follower costs its connection");

#endif
