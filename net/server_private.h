/* SPDX-License-Identifier: Apache-2.0 */
/* net/server_private.h — what the parts of the server share; nobody else includes it.
 *
 *   server.c             boot, limits, drain, stop
 *   server_accept.c      listeners, admission
 *   server_address.c     how many connections each address holds
 *   server_connection.c  a connection's states, its events, its deadlines
 *   server_request.c     from bytes to a handler on a fiber, and on to the next request; refusals
 *   server_exchange.c    what a handler does with its exchange
 *   server_detached.c    replies that go on without a fiber
 *   server_metric.c      the counters
 *
 * Every connection is on exactly one list. Lists with a deadline are ordered by it, because all members of a list have
 * the same time to live: one timer a server serves them all, and no request sets or moves a timer.
 */
#ifndef NET_SERVER_PRIVATE_H
#define NET_SERVER_PRIVATE_H

#include <assert.h>
#include <netinet/in.h>

#include "net/server.h"
#include "platform/fiber.h"
#include "platform/metric.h"
#include "platform/pool.h"
#include "platform/text.h"

enum {
    SERVERS_MAX = 4,
    SERVER_SCRATCH_SIZE = 65536, /* one read, of all servers in turn */
    SERVER_STACK_SIZE = 32768,   /* the deepest seen was below half of it: all tests of the program pass on 16 KiB */
    SERVER_ARENA_KEEP = 16384,   /* stays with a request slot when it is put back */
    SERVER_SPARE_SLOTS = 8,      /* handshakes that were cancelled and have not noticed yet */
    SERVER_PIPELINE_TURNS = 16,  /* requests of one client before the others get a turn */
    SERVER_LINGER_BYTES = 65536,
    SERVER_HEAD_PIECE = 4096, /* first buffer of a head that comes in pieces */
};

#define SERVER_LINGER_US UINT64_C(1000000)

enum connection_state {
    CONNECTION_IDLE,      /* waits for the first byte of a request */
    CONNECTION_HANDSHAKE, /* TLS, on a fiber */
    CONNECTION_HEAD,      /* a head comes in pieces */
    CONNECTION_WORKING,   /* an exchange is at it */
    CONNECTION_DETACHED,  /* a connection_owner is at it */
    CONNECTION_PIPELINED, /* its next request came early: it starts from the loop */
    CONNECTION_ENDING,    /* its owner is being told that it is gone */
    CONNECTION_LINGER,    /* refused: what still comes is thrown away so that the client can read why */
};

enum connection_list { LIST_BUSY, LIST_IDLE, LIST_HEAD, LIST_BLOCKED, LIST_LINGER, LIST_RESUME, LISTS };

struct slot;

struct connection {
    struct stream stream; /* first: the loop's source is the connection */
    struct server_state *server;
    struct connection *before, *after;
    struct slot *slot;                    /* HANDSHAKE, HEAD, WORKING */
    const struct connection_owner *owner; /* DETACHED */
    struct span rest;                     /* DETACHED: pipelined bytes, where the owner keeps them */
    struct fiber *waiter;                 /* parked in server_wait */
    uint64_t since_us;                    /* of its place on the list */
    struct in6_addr address;              /* IPv4 mapped */
    unsigned wait_events;
    uint32_t drained; /* LINGER: bytes thrown away */
    uint8_t state, list;
    bool tls;  /* counts as one */
    bool gone; /* nothing can be sent any more; its source is out of the loop */
    bool keep; /* DETACHED: may go on to a next request */
    _Alignas(16) unsigned char attachment[CONNECTION_ATTACHMENT];
};

static_assert(sizeof(struct connection) <= 512, "what an idle connection costs");

/* A request under way, or a head being read. */
struct slot {
    struct exchange x;           /* first */
    struct server_state *server; /* NULL before its first use */
    struct arena arena;
    struct fiber *fiber;
    struct span raw; /* all bytes of this request that came with its head, and what followed */
    char *buffer;    /* HEAD */
    size_t buffer_size, buffer_capacity;
    uint32_t scratch_turn; /* whose bytes the scratch held when this request was parsed in it */
    unsigned turns;        /* requests of this fiber */
    bool working;          /* counts as one */
    bool cancelled;        /* HANDSHAKE: told to end */
    bool ignore_hangup, continue_sent;
    char address[INET6_ADDRSTRLEN];
};

struct connection_chain {
    struct connection *first, *last;
    unsigned count;
};

struct listener {
    struct loop_source source; /* first */
    struct server_state *server;
    struct tls_server *tls;
};

/* Open addressing; a place with count 0 is free. */
struct address_count {
    uint64_t key;
    uint32_t count;
};

struct address_table {
    struct address_count *places;
    unsigned mask;
};

struct server_state {
    struct loop_timer sweep; /* first */
    struct server *server;
    struct server_limits reserved; /* the bounds at boot */
    struct pool connections, slots;
    unsigned char *arenas; /* one of limits.arena_reserve a slot */
    struct fiber_pool fibers;
    struct connection_chain lists[LISTS];
    struct listener listeners[SERVER_LISTENERS_MAX];
    unsigned listener_count;
    struct address_table addresses;
    unsigned working, readers, tls_count;
    unsigned detached_working; /* handlers that gave their connection away and have not returned */
    bool draining, paused;     /* paused: no listener accepts */
    uint64_t resume_us;        /* when accepting is tried again after the system refused; 0: not so */
    uint64_t next_log_us;
    struct server_metrics *metrics;
    struct http_head spare_head; /* parsed into when no request can be taken */
    char names[4][32];           /* of plan terms */
};

/* ---- server_connection.c */
/* The caller has seen that there is room. */
struct connection *server_connection_open(struct server_state *s, int fd, const struct in6_addr *address);
void server_connection_close(struct connection *c, bool reset);
/* Moves it to the end of `list`; the place counts from now. */
void server_list_put(struct connection *c, enum connection_list list);
int server_want(struct connection *c, unsigned events);
void server_idle(struct connection *c);
void server_linger(struct connection *c);
void server_reader_evict(struct server_state *s);
/* The client went away: nothing can be sent any more, no event comes any more. */
void server_gone(struct connection *c);
/* The same on our side, at once: the socket is closed; the object stays until its user lets go. */
void server_hang_up(struct connection *c, bool reset);
/* Parks the calling fiber for events of the connection. RC_CLOSED when it is gone. */
int server_wait(struct connection *c, unsigned plain_events, uint64_t deadline_us);
void server_sweep(struct loop_timer *timer);
void server_connection_ready(struct loop_source *source, unsigned events);

/* ---- server_request.c */
char *server_scratch(void);
bool server_in_scratch(const void *p);
uint32_t server_scratch_turn(void);
void server_read_request(struct connection *c);
void server_read_head(struct connection *c);
void server_refuse(struct connection *c, const struct http_head *head, unsigned status, const char *reason);
struct slot *server_slot_take(struct server_state *s, struct connection *c);
void server_slot_put(struct slot *slot);
void server_reader_begin(struct slot *slot);
/* Takes pipelined bytes into a slot of their own and parses them from the loop. RC_FULL: there is none. */
int server_pipelined_keep(struct connection *c, struct span rest);
void server_pipelined_run(struct connection *c);
void server_reader_end(struct slot *slot);
void server_handshake(struct connection *c, struct tls_server *tls);

/* ---- server_exchange.c */
void server_exchange_begin(struct slot *slot, struct span bytes, bool kept);
/* Whether the rest of the body is among the bytes that are here; *rest is what follows it then. */
bool server_body_is_here(const struct exchange *x, struct span *rest);

/* ---- server_detached.c */
void server_detached_ready(struct connection *c, unsigned events);
void server_detached_gone(struct connection *c);

/* ---- server_accept.c */
void server_accept_resume(struct server_state *s);
void server_listeners_close(struct server_state *s);

/* ---- server_address.c */
uint64_t server_address_key(const struct in6_addr *address);
size_t server_address_places(unsigned connections);
void server_address_init(struct address_table *t, struct address_count *places, size_t count);
unsigned server_address_count(const struct address_table *t, uint64_t key);
void server_address_add(struct address_table *t, uint64_t key);
void server_address_remove(struct address_table *t, uint64_t key);

/* ---- server_metric.c */
enum server_count {
    COUNT_CONNECTIONS, /* gauges */
    COUNT_CONNECTIONS_HIGH,
    COUNT_EXCHANGES,
    COUNT_EXCHANGES_HIGH,
    COUNT_ARENA_HIGH,
    COUNT_ACCEPTED, /* counters from here */
    COUNT_REQUESTS,
    COUNT_CLIENT_GONE,
    COUNT_REFUSED_ADDRESS,
    COUNT_REFUSED_FULL,
    COUNT_REFUSED_TLS,
    COUNT_REFUSED_SYSTEM,
    COUNT_EVICTED_IDLE,
    COUNT_EVICTED_HEAD,
    COUNT_HEAD_400,
    COUNT_HEAD_408,
    COUNT_HEAD_413,
    COUNT_HEAD_414,
    COUNT_HEAD_431,
    COUNT_HEAD_501,
    COUNT_HEAD_503,
    COUNT_HEAD_505,
    SERVER_COUNTS,
};

struct server_metrics {
    struct metric counts[SERVER_COUNTS];
};

/* Registers the series of all servers at the first call, so that each name comes once. */
struct server_metrics *server_metrics_of(const char *name);
void server_count_refusal(struct server_state *s, unsigned status);
void server_gauge(struct server_state *s, enum server_count now, enum server_count high, uint64_t value);

static inline void server_count(struct server_state *s, enum server_count which)
{
    metric_add(&s->metrics->counts[which], 1);
}

static inline struct slot *slot_of(const struct exchange *x)
{
    return (struct slot *)(uintptr_t)x;
}

#endif
