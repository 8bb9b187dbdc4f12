/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/embeddings.h — POST /v1/embeddings for the box's own models: larder/minilm, larder/ngram.
 *
 * The one whose embedder is loaded answers, in OpenAI's form, to whoever may use a keyless provider; every other model
 * passes through. A text is a job of the compute pool, its piece of the reply included; between two jobs other requests
 * have their turn.
 *
 * Bounds:  EMBEDDINGS_INPUTS_MAX texts a request, MODEL_PIECES_MAX pieces a text; more is refused with 400, as is what is not
 *          text (arrays of tokens) and another number of `dimensions` than the model has.
 * Threads: lane only, on the request's fiber.
 */
#ifndef GATEWAY_EMBEDDINGS_H
#define GATEWAY_EMBEDDINGS_H

#include "app/gateway/gateway.h"

enum { EMBEDDINGS_INPUTS_MAX = 256 };

/* The name under which the loaded embedder is asked; empty: none is loaded. */
struct span embeddings_model(void);

/* r->body is the whole body. False: it asks for another model, and nothing has been sent. */
bool embeddings_serve(struct request *r);

#endif
