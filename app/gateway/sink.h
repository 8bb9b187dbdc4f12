/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/sink.h — a client that is being sent a recording: where it is, and how its bytes are framed.
 *
 * Owner:   a sink lives in its connection's attachment and is linked to one source until it is finished or gone.
 * Threads: lane only.
 * Framing: Content-Length when the length is known at the head, else chunked; until close for HTTP/1.0.
 */
#ifndef GATEWAY_SINK_H
#define GATEWAY_SINK_H

#include "app/gateway/answer.h"

enum { SINK_FRAME_ROOM = 32 }; /* a chunk's head and end, and the last chunk */

enum sink_framing { SINK_SIZED, SINK_CHUNKED, SINK_UNTIL_CLOSE };

/* What a sink reads from: the part of a body that may be sent now, with one run of bytes left out. */
struct sink_view {
    const char *data;
    size_t size;               /* sendable now */
    size_t skip_from, skip_to; /* a hidden run; equal: none */
    bool complete;             /* nothing will follow */
};

struct sink_source; /* the flight */

struct sink {
    struct sink_source *source;
    struct sink *next, *previous;
    struct connection *connection;
    uint64_t started_us;
    uint64_t tenant;       /* as the journal keeps it */
    size_t at;             /* offset in the view */
    struct span head_rest; /* of a reply head, and the first bytes behind it, that the socket did not take whole */
    struct span origin;
    const char *miss;
    uint16_t frame_run,
        frame_at; /* of the chunk under way: its bytes, and how much of it is sent, head and end included */
    uint8_t framing, view, dialect, minor_version;
    bool leader, head_sent, framed, frame_last, ending, keep_alive, blocked;
    char id[REQUEST_ID_SIZE + 1];
    char model[40];
};
_Static_assert(sizeof(struct sink) <= CONNECTION_ATTACHMENT, "a sink lives in its connection");

/* Puts the first run, framed, behind a chunked head that has not been sent yet, with the end when that is all: at
 * most `most` bytes and SINK_FRAME_ROOM. */
void sink_put_first(struct sink *sink, const struct sink_view *view, size_t most, struct text *out);

/* Sends what the socket takes. RC_OK: all that may be sent now is out (and, when the view is complete, the end too:
 * *done), RC_AGAIN: the socket is full, anything else: the client is gone. */
int sink_pump(struct sink *sink, const struct sink_view *view, bool *done);

#endif
