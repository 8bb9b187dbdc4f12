/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/dialect.h — the two wire languages of this floor: OpenAI chat/completions and Anthropic messages.
 *
 * Everything here is a pure function of bytes: what a request asks (question), whether a reply may be kept (verdict),
 * one form of a reply made from the other (replay), and the error shapes. A table per dialect names its fields.
 *
 * Owner:   spans point into the caller's body, arena or JSON scratch, as each function says.
 * Threads: any, with a scratch of its own.
 * Not here: transport, credentials, routes.
 */
#ifndef GATEWAY_DIALECT_H
#define GATEWAY_DIALECT_H

#include "cache/canonical.h"
#include "platform/arena.h"
#include "platform/json.h"
#include "platform/text.h"

/* A provider speaks one of the DIALECTS. A WIRE is the form of question and answer at one endpoint: that of the dialect's
 * own chat endpoint, or one of the others. The functions for requests, replies and replay take either. */
enum dialect {
    DIALECT_OPENAI,
    DIALECT_ANTHROPIC,
    DIALECTS,
    WIRE_COMPLETIONS = DIALECTS, /* OpenAI's legacy /v1/completions */
    WIRE_RESPONSES,              /* OpenAI's /v1/responses */
    WIRE_COUNT_TOKENS,           /* Anthropic's /v1/messages/count_tokens */
    WIRES,
};

/* Whose endpoint it is: for errors, request ids, routes. */
static inline enum dialect dialect_family(enum dialect wire)
{
    return wire == DIALECT_ANTHROPIC || wire == WIRE_COUNT_TOKENS ? DIALECT_ANTHROPIC : DIALECT_OPENAI;
}

/* Streams end with [DONE], and the usage comes in a chunk of its own to who asked for it. */
static inline bool dialect_has_usage_chunk(enum dialect wire)
{
    return wire == DIALECT_OPENAI || wire == WIRE_COMPLETIONS;
}

const char *dialect_name(enum dialect dialect); /* "openai", "anthropic", … */

/* ---- requests */

enum question_flags {
    QUESTION_STREAM = 1 << 0,
    QUESTION_INCLUDE_USAGE = 1 << 1,  /* stream_options.include_usage */
    QUESTION_DUPLICATE = 1 << 2,      /* a duplicate member name somewhere: forward, never look up or store */
    QUESTION_SYSTEM = 1 << 3,         /* has a system prompt */
    QUESTION_TOOLS = 1 << 4,          /* tools, tool calls or tool results are present */
    QUESTION_MEDIA = 1 << 5,          /* images, audio, files, content of an unknown type */
    QUESTION_MANY = 1 << 6,           /* n > 1 */
    QUESTION_SCHEMA = 1 << 7,         /* JSON schema (or JSON mode) output */
    QUESTION_HISTORY = 1 << 8,        /* an assistant turn in the history */
    QUESTION_SAMPLED = 1 << 9,        /* explicit temperature above 0 without seed */
    QUESTION_SINGLE = 1 << 10,        /* exactly one user message besides system ones, all of it in `query`, and none of
                                        tools, media, n > 1, schema: packs may answer */
    QUESTION_USAGE_SPLICED = 1 << 11, /* app's own: include_usage was added upstream */
    QUESTION_CUT = 1 << 12,           /* the query's text is longer than ENTRY_QUERY_MAX */
    QUESTION_EXACT = 1 << 13,         /* of an endpoint whose answers only the same request gets */
};

struct question {
    enum dialect dialect;
    unsigned flags;
    const char *bypass; /* why neither looked up nor stored ("conversation", "web_search_options" …; static), or NULL */
    struct span model;    /* in the arena */
    struct span query;    /* text of the last user message, parts joined by LF, in the arena, at most ENTRY_QUERY_MAX */
    struct span previous; /* id of the answer that the question goes on from, in the arena; empty: none */
    struct request_parts parts; /* short digests, for the miss reason */
    struct digest digest;       /* identity */
    struct hash128 apart;       /* of everything but the query's text, under the context's key; zero without one */
};

struct question_context {
    enum dialect dialect;
    struct span scope;        /* bytes that count besides the body: tenant, endpoint, headers that count, namespace */
    const struct span *masks; /* patterns for system prompts (mask.h) */
    unsigned mask_count;
    const struct hash_key *key; /* the box's, for `apart`: another tenant must not be able to make two of them equal */
};

/* Reads a body of one of the chat endpoints. RC_INVALID: not a JSON object, no model, no messages …, RC_TOO_LARGE: nested
 * too deeply: `error` says what in a sentence for the client (static or in the arena). RC_FULL: no room in the arena.
 * Nothing points into the scratch afterwards. Of a duplicate name in the envelope the last is read.
 * A route's masks are known only after its model: ask without, and again for a route that has some. */
int question_read(struct span body, const struct question_context *context, struct json_scratch *scratch,
                  struct arena *arena, struct question *question, struct span *error);

/* The body (as question_read took it) with stream_options.include_usage spliced in and no other byte moved (OpenAI
 * streams). The body itself when it asks already. RC_INVALID: stream_options is something else; leave it alone. */
int question_add_usage(struct span body, struct json_scratch *scratch, struct arena *arena, struct span *spliced);

/* ---- replies */

struct usage {
    int64_t input_uncached, cache_read, cache_write_5m, cache_write_1h, output, reasoning; /* -1: not said */
};

struct verdict {
    bool storable;
    bool complete; /* the terminal event or a whole object was seen */
    bool tool_calls;
    const char *reason; /* when not storable: "finish_reason length", "stream cut", "error event" …; static */
    char model[64];     /* that answered; terminated */
    struct usage usage;
};

/* Judges a whole recorded reply of status 200. `stream`: body is SSE. Walks events with the scratch; no state. */
void verdict_of(enum dialect dialect, bool stream, struct span body, struct json_scratch *scratch,
                struct verdict *verdict);

/* Follows a live stream in a growing buffer: finds event borders, the terminal event, and the OpenAI usage chunk that
 * must be hidden from a client that did not ask for it. Offsets count from the start of the body. */
struct live_stream {
    enum dialect dialect;
    size_t scanned;              /* up to here events are complete */
    bool terminal;               /* [DONE] or message_stop was seen */
    bool error;                  /* an error event was seen */
    size_t usage_from, usage_to; /* the usage chunk's event, 0 and 0 until seen */
    size_t line, looked;         /* its own: the line under way, and how far it has been searched for its end */
};
/* Call with every piece, from a zeroed struct with its dialect set. Each byte is looked at once, ordinary deltas are not
 * parsed. What is found does not depend on the pieces. */
void live_stream_scan(struct live_stream *live, struct span body, struct json_scratch *scratch);
/* The first `cut` bytes of the buffer, all scanned, were let go: offsets count from the new start. A usage chunk that was
 * among them stays known (usage_to is not 0). */
void live_stream_slide(struct live_stream *live, size_t cut);

/* ---- replay: one form made from the other. out gets the body; RC_TOO_LARGE when it does not fit, RC_CORRUPT when the
 * stored body does not make sense. id, created, model, content, tool calls, thinking and signatures are kept. */
int replay_object_from_stream(enum dialect dialect, struct span stream, struct json_scratch *scratch, struct text *out);
int replay_stream_from_object(enum dialect dialect, struct span object, bool include_usage,
                              struct json_scratch *scratch, struct text *out);
/* An OpenAI stream without its usage chunk. `usage: null` on the other chunks stays, as in the live relay. */
int replay_strip_usage(struct span stream, struct json_scratch *scratch, struct text *out);
/* Room that the functions above need, but for replies of thousands of tiny choices or calls (then RC_TOO_LARGE). */
size_t replay_bound(enum dialect dialect, size_t stored_size);

/* A fresh reply in object form around a text (packs). */
void reply_object(enum dialect dialect, struct span id, struct span model, uint64_t created_s, struct span answer,
                  struct text *out);

/* ---- errors and lists */

/* Body of an error in the dialect's shape. `type` in that dialect's vocabulary is chosen from the status. `code` may be
 * NULL (null in OpenAI's shape, left out in Anthropic's). `request_id` stands in Anthropic's shape only; empty: not. */
void dialect_error(enum dialect dialect, unsigned status, const char *code, struct span message, struct span request_id,
                   struct text *out);
/* An error as an event inside a stream that has already begun. */
void dialect_error_event(enum dialect dialect, const char *code, struct span message, struct text *out);

struct model_entry {
    struct span id, owner, display_name;
    int64_t created_s;
};
enum { MODELS_MAX = 1024 };
/* Reads a provider's list (either shape; which is found out) into `models` (spans in the arena): *count of them, at most
 * `max`. RC_INVALID: no list of models. Lists are merged by reading them one behind the other into one array. */
int models_read(struct span body, struct json_scratch *scratch, struct arena *arena, struct model_entry *models,
                unsigned max, unsigned *count, bool *has_more);
/* Each id once, the first one stands; `larder` is always there. */
/* One of them as GET /v1/models/ID gives it; false: it is not there. */
bool models_write_one(enum dialect dialect, const struct model_entry *models, unsigned count, struct span id,
                      struct text *out);
void models_write(enum dialect dialect, const struct model_entry *models, unsigned count, struct text *out);

#endif
