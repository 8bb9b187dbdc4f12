/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/flight_bridge.c — see flight_bridge.h. */
#include "app/gateway/flight_bridge.h"

#include "app/gateway/bridge.h"
#include "app/gateway/dialect_events.h"
#include "platform/clock.h"

enum { GATHER_START = 8192, RETRY_LINE_MAX = 48 };

struct flight_bridge {
    struct bridge_stream stream;
    char *in; /* of a stream: the event under way; else all of the body */
    size_t size, capacity;
    char *out; /* what follows from one event; NULL: none yet, or `in` has grown */
    size_t room;
};

/* ---- the request */

static int refuse(struct flight *f, const char *message)
{
    struct span kept = arena_copy(f->arena, span_text(message));
    f->refusal = kept.data;
    return kept.data ? RC_DENIED : RC_FULL;
}

static int convert_request(struct flight *f, enum dialect to, struct span *body)
{
    struct bridge_refusal refusal;
    struct span asked = f->leader->body;
    size_t room = bridge_bound(asked.size), mark = arena_mark(f->arena);
    char *bytes = arena_take(f->arena, room, 1);
    if (!bytes) return RC_FULL;
    struct text out = text_on(bytes, room);
    int rc = bridge_request(to, asked, &gateway.scratch, &out, &refusal);
    arena_rewind(f->arena, mark);
    if (rc == RC_DENIED) return refuse(f, refusal.message);
    if (rc != RC_OK)
        return refuse(f, "This request is too large to be written in the dialect of this route's provider.");
    CHECK(arena_take(f->arena, out.size, 1) == bytes); /* the rest of the room is free again */
    *body = text_span(&out);
    return RC_OK;
}

int flight_bridge_compose(struct flight *f, const struct config_provider *provider, struct span *body)
{
    const struct request *r = f->leader;
    f->bridge = NULL;
    if (provider->dialect == r->dialect) return RC_OK;
    if (request_wire(r) != r->dialect)
        return refuse(f,
                      "This endpoint is served by providers of its own dialect only, and this route has none that can "
                      "be asked: /v1/chat/completions and /v1/messages are those that are carried over.");
    if (r->question.flags & QUESTION_DUPLICATE)
        return refuse(f, "The request names a member twice, which cannot be carried over to this route's provider, "
                         "which speaks another dialect.");
    int rc = convert_request(f, provider->dialect, body);
    if (rc != RC_OK) return rc;
    f->bridge = ARENA_NEW(f->arena, struct flight_bridge);
    f->usage_asked = r->dialect == DIALECT_OPENAI && (r->question.flags & QUESTION_STREAM);
    return f->bridge ? RC_OK : RC_FULL;
}

/* ---- the head */

int flight_bridge_head(struct flight *f)
{
    enum dialect to = f->leader->dialect;
    *f->bridge = (struct flight_bridge){.stream = {.to = to, .now_s = clock_wall_us() / CLOCK_SECOND}};
    f->status = bridge_status(to, f->status);
    f->stream = f->stream && f->status == 200;
    f->content_type = f->stream ? "text/event-stream; charset=utf-8" : "application/json";
    f->length = -1;
    f->lines = (struct span){0}; /* they speak the provider's dialect, and its request id is none of the client's */
    f->request_id[0] = 0;
    f->head_known = f->stream;
    if (f->retry_after_s < 0) return RC_OK;
    char *line = arena_take(f->arena, RETRY_LINE_MAX, 1);
    if (!line) return RC_FULL;
    struct text out = text_on(line, RETRY_LINE_MAX);
    text_format(&out, "Retry-After: %lld\r\n", (long long)f->retry_after_s);
    f->lines = text_span(&out);
    return RC_OK;
}

/* ---- the body */

static int gather(struct flight *f, struct span piece, size_t most)
{
    struct flight_bridge *b = f->bridge;
    size_t need = b->size + piece.size, capacity = b->capacity ? b->capacity : GATHER_START;
    if (need > most) return RC_TOO_LARGE;
    while (capacity < need) capacity *= 2;
    if (capacity != b->capacity) {
        char *in = arena_take(f->arena, capacity, 16);
        if (!in) return RC_FULL;
        if (b->size) memcpy(in, b->in, b->size);
        b->in = in;
        b->capacity = capacity;
        b->out = NULL;
    }
    if (piece.size) memcpy(b->in + b->size, piece.data, piece.size);
    b->size = need;
    return RC_OK;
}

static int convert_event(struct flight *f, struct span data, struct json_scratch *scratch)
{
    struct flight_bridge *b = f->bridge;
    if (!b->out) {
        b->room = bridge_bound(b->capacity);
        b->out = arena_take(f->arena, b->room, 1);
        if (!b->out) return RC_FULL;
    }
    struct text out = text_on(b->out, b->room);
    int rc = bridge_stream_event(&b->stream, data, scratch, &out);
    return rc == RC_OK && out.size ? flight_record(f, text_span(&out)) : rc;
}

/* The events that are whole by now. What is left of the buffer is the start of one. */
static int convert_events(struct flight *f)
{
    struct flight_bridge *b = f->bridge;
    struct event_walk walk = event_walk(span_of(b->in, b->size), &gateway.scratch);
    struct event event;
    int rc = RC_OK;
    while (rc == RC_OK && event_next(&walk, &event)) rc = convert_event(f, event.data, &walk.rest);
    b->size -= walk.at;
    memmove(b->in, b->in + walk.at, b->size);
    return rc;
}

/* An event is looked for only where a line has ended: one that comes in tiny pieces is not read over and over. */
static bool ends_a_line(struct span piece)
{
    return memchr(piece.data, '\n', piece.size) || memchr(piece.data, '\r', piece.size);
}

/* A piece may hold many events, and only the start of one stays: it is taken in slices that leave room for that. */
static int take_stream(struct flight *f, struct span piece)
{
    int rc = RC_OK;
    while (rc == RC_OK && piece.size) {
        size_t size = piece.size < GATHER_START ? piece.size : GATHER_START;
        struct span slice = span_of(piece.data, size);
        rc = gather(f, slice, BRIDGE_EVENT_MAX + GATHER_START);
        if (rc == RC_OK && ends_a_line(slice)) rc = convert_events(f);
        if (rc == RC_OK && f->bridge->size > BRIDGE_EVENT_MAX) rc = RC_TOO_LARGE;
        piece = span_of(piece.data + size, piece.size - size);
    }
    return rc;
}

int flight_bridge_take(struct flight *f, struct span piece)
{
    if (f->stream) return take_stream(f, piece);
    f->received += piece.size;
    if (f->status == 200) return gather(f, piece, f->leader->config->limits.parse_max);
    if (f->bridge->size + piece.size > BRIDGE_ERROR_MAX)
        return RC_OK; /* its beginning is no JSON: the status is told */
    return gather(f, piece, BRIDGE_ERROR_MAX);
}

/* ---- the end */

static int become_reply(struct flight *f)
{
    struct flight_bridge *b = f->bridge;
    enum dialect to = f->leader->dialect;
    struct span body = span_of(b->in, b->size);
    size_t room = bridge_bound(b->size);
    char *bytes = arena_take(f->arena, room, 1);
    if (!bytes) return RC_FULL;
    struct text out = text_on(bytes, room);
    int rc = RC_OK;
    if (f->status == 200)
        rc = bridge_object(to, body, b->stream.now_s, &gateway.scratch, &out);
    else
        bridge_error(to, f->status, body, span_text(f->leader->id), &gateway.scratch, &out);
    if (rc != RC_OK) return rc;
    f->data = out.data;
    f->size = out.size;
    f->capacity = room;
    f->head_known = true;
    return RC_OK;
}

int flight_bridge_end(struct flight *f)
{
    if (f->stream) { /* some servers close right behind the end mark, without the blank line */
        struct span tail = span_of(f->bridge->in, f->bridge->size);
        bool done = tail.size && event_line_is_done(tail);
        return done ? convert_event(f, SPAN("[DONE]"), &gateway.scratch) : RC_OK;
    }
    int rc = become_reply(f);
    if (rc == RC_OK || rc == RC_FULL) return rc;
    flight_error(f, 502, "bridge", "The provider's answer cannot be written in the dialect of this request.");
    return RC_OK;
}
