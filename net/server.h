/* SPDX-License-Identifier: Apache-2.0 */
/* net/server.h — accept connections, read requests, hand each to a handler on a fiber, send replies.
 *
 * Three bounds: connections (an idle one holds one struct connection, nothing else), exchanges (a request being worked
 * on: fiber, arena, parsed head), and what the handler does upstream (not here). A request whose head and body came in
 * one read is parsed in the lane's shared scratch and is answered from there without a copy, as long as the handler
 * does not wait: every function below that may wait first calls exchange_keep.
 *
 * Gone:    a client that closes its sending side while a handler or an upstream keeps it waiting counts as gone, as with
 *          nginx (proxy_ignore_client_abort off): a full close looks the same until we send, and no client library
 *          half-closes. A reply that is ready or being sent goes out all the same.
 * Owner:   the server owns connections and exchanges. An exchange is the handler's until it returns or detaches it.
 * Threads: lane only.
 * Fails:   see each function. Anything but RC_OK from sending means the client is gone: return soon.
 * Not here: routes, credentials, Host and Origin rules (app/gateway), HTTP syntax (net/http1.h).
 */
#ifndef NET_SERVER_H
#define NET_SERVER_H

#include <sys/socket.h>

#include "net/http1.h"
#include "net/stream.h"
#include "platform/arena.h"

struct connection; /* opaque */
struct tls_server; /* net/tls.h: certificate and key of a listener */
struct text;

enum {
    CONNECTION_ATTACHMENT = 256, /* bytes for the owner of a detached connection */
    SERVER_LISTENERS_MAX = 8,
};

struct exchange {
    struct connection *connection;
    struct http_head head; /* spans into the scratch, or the arena after exchange_keep */
    struct arena *arena;   /* this request's, emptied when it ends */
    uint64_t started_us;   /* monotonic: when its last head byte was read */
    struct span body;      /* what exchange_body has returned; moves with exchange_keep, as head's spans do */
    struct span early;     /* server's own: bytes that came with the head and have not been taken */
    bool kept, reply_started, close_after; /* close_after: no further request on this connection */
    struct http_chunked chunked;           /* server's own: decoding of a chunked request body */
    uint64_t body_left;                    /* server's own */
    bool body_done;                        /* the whole request body has been taken */
};

struct server_limits {
    unsigned connections, connections_per_address, exchanges, head_readers; /* head_readers: requests whose head came in
                                                   pieces; when all are taken the slowest head is closed */
    unsigned tls_connections;
    size_t header;        /* bytes of a head */
    size_t arena_reserve; /* address space of one request arena */
    uint64_t header_us, body_us, idle_us;
};

struct server {
    const char *name;                  /* "api", "admin": in logs, plan terms and metrics */
    void (*serve)(struct exchange *x); /* on a fiber; replies, or detaches */
    /* A refusal before there is a request (bad head, timeouts, overload): write the whole reply into `out`. */
    void (*refuse)(const struct http_head *head, unsigned status, const char *reason, struct text *out);
    struct server_limits limits;
    struct arena_budget *budget; /* of all request arenas */
    struct server_state *state;  /* server's own */
};

/* Boot: takes the memory of the plan. */
int server_reserve(struct server *server);
/* Listens ("127.0.0.1:8080", "[::]:8080"; port 0: any). *port_out gets the port. `tls` may be NULL. RC_EXISTS: in use. */
int server_listen(struct server *server, struct span address, struct tls_server *tls, unsigned *port_out);
/* SIGHUP: new limits within the reserved bounds (arena_reserve stays). */
void server_limits_set(struct server *server, const struct server_limits *limits);
/* Stops accepting, closes idle connections, lets requests end; server_busy counts what is left. */
void server_drain(struct server *server);
unsigned server_busy(const struct server *server);
/* Closes what is left, at once. */
void server_stop(struct server *server);

/* ---- one exchange, on its fiber */

/* Copies head, body and early bytes from the shared scratch into the arena; no-op when done. RC_FULL: no memory (503).
 * A handler calls it before it waits for anything else than its client, and takes its spans from the exchange again:
 * copies of head's spans and of the body still look at the scratch. */
int exchange_keep(struct exchange *x);
/* Whole body, contiguous, decoded; sends 100 Continue if asked for. RC_TOO_LARGE above `max` (nothing is lost: it can
 * still be streamed, *body is what was read so far: nothing of a sized body), RC_FULL (no memory), RC_TIMEOUT (no byte
 * for limits.body_us), RC_CLOSED, RC_INVALID. While it waits nobody else may take from the arena. */
int exchange_body(struct exchange *x, size_t max, struct span *body);
/* Whether exchange_body would not wait: all of it has come. */
bool exchange_body_is_here(const struct exchange *x);
/* Next decoded piece; RC_EMPTY at the end of the body. Starts where exchange_body stopped. */
int exchange_body_read(struct exchange *x, void *buffer, size_t capacity, size_t *size);
/* Sends all, waiting at most limits.body_us without progress. The first call marks the reply as started. The caller has
 * composed head and framing itself. */
int exchange_send(struct exchange *x, const void *data, size_t size);
/* Sends what the socket takes now. */
int exchange_send_try(struct exchange *x, const void *data, size_t size, size_t *sent);
/* The client sees an aborted connection, never a clean end. */
void exchange_abort(struct exchange *x);
bool exchange_keep_alive(const struct exchange *x); /* whether the reply may say so */
/* The fiber is cancelled (fiber_cancelled) when the client goes away; */
void exchange_ignore_hangup(struct exchange *x); /* … unless the handler does not care */

/* The client's address as text without port ("::1", "192.168.1.7"), and whether it is loopback. */
struct span exchange_address(const struct exchange *x);
bool exchange_is_loopback(const struct exchange *x);
bool exchange_is_tls(const struct exchange *x);
struct server *exchange_server(const struct exchange *x);

/* ---- a reply that goes on without stack and arena (followers, and a leader's own client) */

struct connection_owner {
    void (*writable)(struct connection *c); /* the socket takes bytes again after RC_AGAIN */
    void (*gone)(struct connection *c);     /* the client went away, or the send deadline (limits.body_us without
                                               progress) passed; the connection is invalid after this call returns */
};

/* Bytes that already came behind this request: a detached reply that outlives the exchange's arena must copy them to
 * where they stay until connection_finish, and hand them over with connection_pipelined; else the connection closes. */
struct span exchange_pipelined(const struct exchange *x);
void connection_pipelined(struct connection *c, struct span rest);

/* Ends the exchange (arena and fiber slot are free when the handler returns) and leaves the connection to `owner`.
 * The request body must have been taken whole. */
struct connection *exchange_detach(struct exchange *x, const struct connection_owner *owner);
void *connection_attachment(struct connection *c);
/* RC_AGAIN: writable() will be called, or gone(). RC_CLOSED: gone() will be called from the loop, unless the connection
 * is aborted before. */
int connection_send_try(struct connection *c, const void *data, size_t size, size_t *sent);
bool connection_keep_alive(const struct connection *c); /* false when pipelined bytes could not be kept at detaching */
/* No further request on this connection: the reply's head says so. */
void connection_close_after(struct connection *c);
/* The reply is complete: the connection reads its next request, or closes. */
void connection_finish(struct connection *c);
void connection_abort(struct connection *c);

#endif
