/* SPDX-License-Identifier: Apache-2.0 */
/* net/server.c — a server's memory, limits and end. */
#include "net/server.h"

#include <stdio.h>
#include <unistd.h>

#include "net/server_private.h"
#include "platform/check.h"
#include "platform/plan.h"
#include "platform/rc.h"

static struct server_state states[SERVERS_MAX];
static unsigned state_count;

static unsigned slots_of(const struct server_limits *limits)
{
    return limits->exchanges + limits->head_readers + SERVER_SPARE_SLOTS;
}

/* A handler needs a stack, and so does a handshake. */
static unsigned fibers_of(const struct server_limits *limits)
{
    return limits->tls_connections > 0 ? slots_of(limits) : limits->exchanges;
}

static int take_term(struct server_state *s, unsigned name, const char *what, size_t count, size_t each, size_t ceiling,
                     const char *lower, void **region)
{
    snprintf(s->names[name], sizeof s->names[name], "%s %s", s->server->name, what);
    return plan_take(s->names[name], count, each, PLAN_LAZY, ceiling, lower, region);
}

static int reserve_memory(struct server_state *s)
{
    const struct server_limits *limits = &s->reserved;
    size_t places = server_address_places(limits->connections);
    size_t ceiling = s->server->budget ? s->server->budget->limit : 0;
    void *connections, *slots, *arenas, *addresses;
    int rc = take_term(s, 0, "connections", limits->connections, pool_stride(sizeof(struct connection)), 0,
                       "limits.connections", &connections);
    if (rc == RC_OK)
        rc = take_term(s, 1, "requests", slots_of(limits), pool_stride(sizeof(struct slot)), 0, "limits.requests",
                       &slots);
    if (rc == RC_OK)
        rc = take_term(s, 2, "request arenas", slots_of(limits), limits->arena_reserve, ceiling, "limits.memory",
                       &arenas);
    if (rc == RC_OK)
        rc = take_term(s, 3, "addresses", places, sizeof(struct address_count), 0, "limits.connections", &addresses);
    if (rc == RC_OK)
        rc = fiber_pool_reserve(&s->fibers, s->server->name, fibers_of(limits), SERVER_STACK_SIZE, "limits.requests");
    if (rc != RC_OK) return rc;
    pool_init(&s->connections, connections, sizeof(struct connection), limits->connections);
    pool_init(&s->slots, slots, sizeof(struct slot), slots_of(limits));
    s->arenas = arenas;
    server_address_init(&s->addresses, addresses, places);
    return RC_OK;
}

static void check_limits(const struct server_limits *l, const struct server_limits *most)
{
    CHECK(l->connections > 0 && l->connections <= most->connections);
    CHECK(l->exchanges > 0 && l->exchanges <= most->exchanges);
    CHECK(l->head_readers > 0 && l->head_readers <= most->head_readers);
    CHECK(l->tls_connections <= most->tls_connections);
    CHECK(l->header > 0 && l->header <= SERVER_SCRATCH_SIZE && l->header < l->arena_reserve);
    CHECK(l->arena_reserve == most->arena_reserve);
}

int server_reserve(struct server *server)
{
    static bool scratch_noted;
    CHECK(state_count < SERVERS_MAX);
    struct server_state *s = &states[state_count++];
    *s = (struct server_state){.server = server, .reserved = server->limits};
    check_limits(&server->limits, &server->limits);
    s->sweep.fire = server_sweep;
    s->metrics = server_metrics_of(server->name);
    server->state = s;
    if (!scratch_noted) plan_note("net scratch", 1, SERVER_SCRATCH_SIZE, 0, SERVER_SCRATCH_SIZE);
    scratch_noted = true;
    return reserve_memory(s);
}

/* Lists stay in order: the time to live of all their members changes at once. */
void server_limits_set(struct server *server, const struct server_limits *limits)
{
    struct server_state *s = server->state;
    check_limits(limits, &s->reserved);
    server->limits = *limits;
    (void)loop_timer_set(&s->sweep, loop_now_us());
}

static void close_all(struct server_state *s, enum connection_list list)
{
    while (s->lists[list].first) server_connection_close(s->lists[list].first, false);
}

void server_drain(struct server *server)
{
    struct server_state *s = server->state;
    s->draining = true;
    server_listeners_close(s);
    close_all(s, LIST_IDLE);
}

unsigned server_busy(const struct server *server)
{
    const struct server_state *s = server->state;
    return s->connections.used - s->lists[LIST_IDLE].count + s->detached_working;
}

static void stop_one(struct connection *c)
{
    switch (c->state) {
    case CONNECTION_HANDSHAKE: fiber_cancel(c->slot->fiber); break;
    case CONNECTION_WORKING: /* its fiber lets go of it */
        server_hang_up(c, true);
        fiber_cancel(c->slot->fiber);
        break;
    case CONNECTION_DETACHED: server_detached_gone(c); break;
    case CONNECTION_PIPELINED:
        server_slot_put(c->slot);
        server_connection_close(c, true);
        break;
    case CONNECTION_HEAD:
        server_reader_end(c->slot);
        server_slot_put(c->slot);
        server_connection_close(c, true);
        break;
    default: server_connection_close(c, false); break;
    }
}

void server_stop(struct server *server)
{
    struct server_state *s = server->state;
    server_drain(server);
    for (enum connection_list list = 0; list < LISTS; list++) {
        struct connection *next;
        for (struct connection *c = s->lists[list].first; c; c = next) {
            next = c->after;
            stop_one(c);
        }
    }
}
