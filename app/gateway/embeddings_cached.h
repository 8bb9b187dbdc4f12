/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/embeddings_cached.h — POST /v1/embeddings for models of providers: each input is an entry of its own.
 *
 * An input's identity is its text (or its tokens), the model, every other member that counts, and the scope; not
 * `encoding_format`: one stored vector, float32 little-endian, serves both forms. Of a batch only what is missing goes
 * upstream, in one call; in several when the reply to one could be larger than parse_max. The order of the inputs stays.
 * A batch of which nothing is stored goes up as it came, and its answer comes down as it came.
 *
 * Bounds:  a batch whose vectors could take more than EMBEDDINGS_ROOM times parse_max passes uncached.
 * Threads: lane only, on the request's fiber; numbers are written by the compute pool.
 * Not here: the box's own models (embeddings.h), followers: two equal requests at once are two calls.
 */
#ifndef GATEWAY_EMBEDDINGS_CACHED_H
#define GATEWAY_EMBEDDINGS_CACHED_H

#include "app/gateway/gateway.h"

enum { EMBEDDINGS_ROOM = 3 };

/* r->body is the whole body. False: nothing of it can be kept by input (or is not understood), and nothing has been sent:
 * it passes. */
bool embeddings_cached_serve(struct request *r);

#endif
