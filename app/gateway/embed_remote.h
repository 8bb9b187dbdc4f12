/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/embed_remote.h — vectors from an OpenAI-compatible embeddings endpoint (`semantic.embedder: remote`).
 *
 * Asking:  the first fiber that asks makes the call, with the texts of all that wait by then (REMOTE_BATCH at most);
 *          who comes meanwhile waits for the next call, which the first of them makes.
 * Death:   nobody waits longer than REMOTE_PATIENCE_US; after REMOTE_FAILURES calls in a row that failed nobody asks at
 *          all, but for one try each REMOTE_REST_US: the semantic step is skipped meanwhile.
 * Owner:   one endpoint a process, as configured at boot; texts and vectors stay the callers'.
 * Threads: lane only, from fibers.
 * Fails:   RC_UNREACHABLE resting or no connection; RC_FULL too many wait; RC_TIMEOUT; RC_TOO_LARGE the text; RC_INVALID
 *          the endpoint did not answer with vectors of the configured width.
 */
#ifndef GATEWAY_EMBED_REMOTE_H
#define GATEWAY_EMBED_REMOTE_H

#include "app/config.h"
#include "cache/embed.h"

enum {
    REMOTE_BATCH = 8,        /* texts a call: what the lane parses of a reply in about a millisecond */
    REMOTE_WAITING = 64,     /* fibers */
    REMOTE_TEXT_MAX = 8192,  /* bytes of one text: 256 word pieces hardly reach half of it */
    REMOTE_NUMBER_SIZE = 28, /* of a number in the reply: "-0.01234567890123456789e-05, " */
    REMOTE_PATIENCE_US = 1500000,
    REMOTE_FAILURES = 3,
    REMOTE_REST_US = 5000000,
    REMOTE_CALLS = 1, /* at a time; a place among the upstream's connections */
};

/* Boot: the buffers of one call, and the endpoint; `message` says what is wrong. Nothing unless the embedder is remote. */
int embed_remote_reserve(const struct config *config);
int embed_remote_open(const struct config *config, char *message, size_t message_size);

/* cache/embed.h's `ask`: embed_current()->dim numbers of length 1. */
int embed_remote_ask(struct span text, float *vector);

#endif
