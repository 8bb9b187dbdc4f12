/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/sink.c — see sink.h. */
#include "app/gateway/sink.h"

#include "net/http1.h"

enum { FRAME_MAX = 16384, FRAME_OVERHEAD = 32 };

/* Where a piece and its chunk framing are laid side by side, so that they leave in one send. Lane only. */
static char frame[FRAME_MAX + FRAME_OVERHEAD];

static int send_bytes(struct sink *sink, const char *data, size_t size, size_t *sent)
{
    int rc = RC_OK;
    *sent = 0;
    while (rc == RC_OK && *sent < size) {
        size_t more = 0;
        rc = connection_send_try(sink->connection, data + *sent, size - *sent, &more);
        *sent += more;
    }
    return rc;
}

static int send_pending(struct sink *sink)
{
    size_t sent = 0;
    int rc = send_bytes(sink, sink->pending + sink->pending_at, (size_t)(sink->pending_size - sink->pending_at), &sent);
    sink->pending_at = (uint8_t)(sink->pending_at + sent);
    if (rc == RC_OK) sink->pending_at = sink->pending_size = 0;
    return rc;
}

static void set_pending(struct sink *sink, const char *bytes, size_t size)
{
    memcpy(sink->pending, bytes, size);
    sink->pending_size = (uint8_t)size;
    sink->pending_at = 0;
}

static int send_head_rest(struct sink *sink)
{
    size_t sent = 0;
    int rc = send_bytes(sink, sink->head_rest.data, sink->head_rest.size, &sent);
    sink->head_rest = span_of(sink->head_rest.data + sent, sink->head_rest.size - sent);
    return rc;
}

/* The next run of bytes that may go out, hidden bytes left out. */
static struct span next_run(struct sink *sink, const struct sink_view *view)
{
    size_t end = view->size;
    if (view->skip_to > view->skip_from) {
        if (sink->at >= view->skip_from && sink->at < view->skip_to) sink->at = view->skip_to;
        if (sink->at < view->skip_from && end > view->skip_from) end = view->skip_from;
    }
    return sink->at < end ? span_of(view->data + sink->at, end - sink->at) : (struct span){0};
}

/* Chunk head, bytes and end in one send; what the socket leaves over becomes chunk_left and pending. */
static int send_chunk(struct sink *sink, struct span run)
{
    if (run.size > FRAME_MAX) run.size = FRAME_MAX;
    size_t head = http_chunk_head(frame, run.size), sent = 0;
    memcpy(frame + head, run.data, run.size);
    memcpy(frame + head + run.size, "\r\n", 2);
    int rc = send_bytes(sink, frame, head + run.size + 2, &sent);
    if (rc == RC_OK) {
        sink->at += run.size;
    } else if (rc == RC_AGAIN && sent < head) {
        if (sent == 0) return rc;
        set_pending(sink, frame + sent, head - sent);
        sink->chunk_left = run.size;
    } else if (rc == RC_AGAIN && sent < head + run.size) {
        sink->at += sent - head;
        sink->chunk_left = run.size - (sent - head);
    } else if (rc == RC_AGAIN) {
        sink->at += run.size;
        set_pending(sink, frame + sent, head + run.size + 2 - sent);
    }
    return rc;
}

static int send_raw(struct sink *sink, struct span run)
{
    size_t sent = 0;
    int rc = send_bytes(sink, run.data, run.size, &sent);
    sink->at += sent;
    return rc;
}

static int send_chunk_rest(struct sink *sink, const struct sink_view *view)
{
    size_t sent = 0;
    int rc = send_bytes(sink, view->data + sink->at, sink->chunk_left, &sent);
    sink->at += sent;
    sink->chunk_left -= sent;
    if (rc == RC_OK) set_pending(sink, "\r\n", 2);
    return rc;
}

static int send_end(struct sink *sink, bool *done)
{
    if (sink->framing == SINK_CHUNKED && !sink->ending) {
        sink->ending = true;
        set_pending(sink, "0\r\n\r\n", 5);
        int rc = send_pending(sink);
        if (rc != RC_OK) return rc;
    }
    *done = true;
    return RC_OK;
}

int sink_pump(struct sink *sink, const struct sink_view *view, bool *done)
{
    int rc = RC_OK;
    *done = false;
    while (rc == RC_OK) {
        struct span run;
        if (sink->head_rest.size)
            rc = send_head_rest(sink);
        else if (sink->pending_size)
            rc = send_pending(sink);
        else if (sink->chunk_left)
            rc = send_chunk_rest(sink, view);
        else if ((run = next_run(sink, view)).size)
            rc = sink->framing == SINK_CHUNKED ? send_chunk(sink, run) : send_raw(sink, run);
        else
            return view->complete ? send_end(sink, done) : RC_OK;
    }
    return rc;
}
