/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/bridge.h — a client of one dialect served by a provider of the other: requests, replies and errors written
 * anew in the other language. What has no counterpart there is refused by name, never dropped; docs/clients.md has the
 * table, field by field.
 *
 * Everything here is a pure function of bytes. A request goes to the provider's dialect, a reply comes back in the
 * client's; both names are given as the dialect that is written.
 *
 * Owner:   the caller's bytes; a stream's state is one fixed struct.
 * Threads: any, with a scratch of its own. Nothing points into the scratch afterwards.
 * Fails:   RC_DENIED: `refusal` names the field. RC_CORRUPT: not a reply of the provider's dialect. RC_TOO_LARGE: it does
 *          not fit `out`, the scratch, or a bound named below.
 * Not here: which provider is asked, credentials, the call (flight_bridge.h).
 */
#ifndef GATEWAY_BRIDGE_H
#define GATEWAY_BRIDGE_H

#include "app/gateway/dialect.h"

enum {
    BRIDGE_MAX_TOKENS = 4096, /* for a request without a bound, which messages must have: what each model can write */
    BRIDGE_REFUSAL_MAX = 320,
    BRIDGE_EVENT_MAX = 256 << 10, /* bytes of one event of a stream: a whole tool call may come in one */
    BRIDGE_ID_MAX = 96,           /* of a stream's id, model and tool call ids: a longer one is cut off */
    BRIDGE_ERROR_MAX = 64 << 10,  /* of a provider's error: of a longer one only the status is told */
};

/* ---- requests */

struct bridge_refusal {
    char message[BRIDGE_REFUSAL_MAX]; /* a sentence for the client, terminated; names the field by its path */
};

/* A body of the other dialect's chat endpoint, as question_read took it, written in `to`. */
int bridge_request(enum dialect to, struct span body, struct json_scratch *scratch, struct text *out,
                   struct bridge_refusal *refusal);
/* Room that is enough for all but bodies of thousands of tiny parts (then RC_TOO_LARGE). */
size_t bridge_bound(size_t size);

/* ---- replies */

/* A whole answer of status 200. `now_s`: for `created`, which messages do not have. */
int bridge_object(enum dialect to, struct span body, uint64_t now_s, struct json_scratch *scratch, struct text *out);

/* The status that means the same: 529 of messages is 503 of completions. Others stay. */
unsigned bridge_status(enum dialect to, unsigned status);
/* An error of any shape: its message in the other's shape, for the status already mapped. */
void bridge_error(enum dialect to, unsigned status, struct span body, struct span request_id,
                  struct json_scratch *scratch, struct text *out);

/* Tokens as the two count them: `input` is what no cache took part in. */
struct bridge_tokens {
    int64_t input, cache_read, cache_write, output;
};

/* A stream, event by event, from a zeroed struct with `to` and `now_s` set. */
struct bridge_stream {
    enum dialect to;
    uint64_t now_s;
    bool started, ended;
    bool refused;            /* refusal text was seen */
    bool arguments;          /* of the open tool call: some came */
    bool open, open_is_call; /* messages: a block is under way */
    unsigned blocks, calls;  /* begun so far */
    int64_t call_index;      /* completions: index of the open call there */
    struct bridge_tokens tokens;
    const char *stop; /* in the language of `to`; NULL: not said */
    char id[BRIDGE_ID_MAX], model[BRIDGE_ID_MAX], call_id[BRIDGE_ID_MAX];
};
/* One event's data. Writes the events that follow from it, which may be none. An error of the provider becomes an error
 * event and ends the stream. */
int bridge_stream_event(struct bridge_stream *b, struct span data, struct json_scratch *scratch, struct text *out);

/* ---- inside */

int bridge_request_to_anthropic(const struct json_value *root, struct json_scratch *spare, struct text *out,
                                struct bridge_refusal *refusal);
int bridge_request_to_openai(const struct json_value *root, struct json_scratch *spare, struct text *out,
                             struct bridge_refusal *refusal);

/* finish_reason as stop_reason and back; NULL: not said, or unknown. */
const char *bridge_stop(enum dialect to, const struct json_value *stop);
/* A usage object of the provider, of which what it does not say stays as it is. */
void bridge_tokens_read(enum dialect to, const struct json_value *usage, struct bridge_tokens *tokens);
/* "usage":{…} */
void bridge_tokens_put(enum dialect to, const struct bridge_tokens *tokens, struct text *out);

#endif
