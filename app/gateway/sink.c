/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/sink.c — see sink.h. */
#include "app/gateway/sink.h"

#include "net/http1.h"

enum { FRAME_MAX = 16384 };
_Static_assert(FRAME_MAX + SINK_FRAME_ROOM <= UINT16_MAX, "places in a frame are 16 bits");

/* Where a piece and its chunk framing are laid side by side, so that they leave in one send. Lane only. */
static char frame[FRAME_MAX + SINK_FRAME_ROOM];

#define LAST_CHUNK "0\r\n\r\n"

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

static bool is_end(struct sink *sink, const struct sink_view *view)
{
    return view->complete && next_run(sink, view).size == 0;
}

/* The last chunk of a complete view carries the empty one behind it. */
static void frame_open(struct sink *sink, const struct sink_view *view, size_t run)
{
    struct sink behind = {.at = sink->at + run};
    sink->frame_run = (uint16_t)(run < FRAME_MAX ? run : FRAME_MAX);
    sink->frame_last = run > 0 && run <= FRAME_MAX && is_end(&behind, view);
    sink->frame_at = 0;
    sink->framed = true;
}

void sink_put_first(struct sink *sink, const struct sink_view *view, size_t most, struct text *out)
{
    char head[18];
    struct span run = next_run(sink, view);
    if (run.size == 0) return;
    if (run.size > most) run.size = most;
    text_put(out, head, http_chunk_head(head, run.size));
    text_put_span(out, run);
    text_put(out, "\r\n", 2);
    sink->at += run.size;
    sink->ending = is_end(sink, view);
    if (sink->ending) text_put(out, LAST_CHUNK, sizeof LAST_CHUNK - 1);
}

/* Chunk head, bytes and end in one send. Laid out the same way until the socket has taken all of it: TLS has sealed what
 * it was offered before, whatever has been recorded since. */
static int send_frame(struct sink *sink, const struct sink_view *view)
{
    size_t run = sink->frame_run, head = http_chunk_head(frame, run), sent = 0;
    if (run) memcpy(frame + head, view->data + sink->at, run);
    memcpy(frame + head + run, "\r\n" LAST_CHUNK, 2 + sizeof LAST_CHUNK - 1);
    size_t size = head + run + 2 + (sink->frame_last ? sizeof LAST_CHUNK - 1 : 0);
    int rc = send_bytes(sink, frame + sink->frame_at, size - sink->frame_at, &sent);
    sink->frame_at = (uint16_t)(sink->frame_at + sent);
    if (rc != RC_OK) return rc;
    sink->at += run;
    sink->framed = false;
    sink->ending = sink->ending || sink->frame_last;
    return RC_OK;
}

static int send_raw(struct sink *sink, struct span run)
{
    size_t sent = 0;
    int rc = send_bytes(sink, run.data, run.size, &sent);
    sink->at += sent;
    return rc;
}

/* What is next: more of the view, or the empty chunk behind its end. False when there is nothing to send now. */
static bool next_piece(struct sink *sink, const struct sink_view *view, struct span *run)
{
    *run = next_run(sink, view);
    bool chunked = sink->framing == SINK_CHUNKED, end = run->size == 0 && view->complete && chunked && !sink->ending;
    sink->ending = sink->ending || end;
    if (end || (chunked && run->size)) frame_open(sink, view, run->size);
    return end || run->size > 0;
}

int sink_pump(struct sink *sink, const struct sink_view *view, bool *done)
{
    int rc = RC_OK;
    struct span run;
    *done = false;
    while (rc == RC_OK) {
        if (sink->head_rest.size)
            rc = send_head_rest(sink);
        else if (sink->framed)
            rc = send_frame(sink, view);
        else if (!next_piece(sink, view, &run))
            break;
        else if (!sink->framed)
            rc = send_raw(sink, run);
    }
    *done = rc == RC_OK && view->complete;
    return rc;
}
