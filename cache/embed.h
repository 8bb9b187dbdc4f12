/* SPDX-License-Identifier: Apache-2.0 */
/* cache/embed.h — text to vector: which embedder is in force, and asking it.
 *
 * minilm:  tokenizer and encoder of a mapped model. ngram: hashed word and character n-grams, near-exact matches only.
 * remote:  an endpoint, asked by a function that app injects (cache never calls net). none.
 * Owner:   one embedder a process; a workspace each compute worker, taken at boot.
 * Threads: reserve and open at boot; embed_text on a worker (it computes); embed_remote from a fiber (it waits).
 * Fails:   RC_AGAIN: not ready yet (the model's CRCs are still being read); RC_CORRUPT: they were wrong; RC_TOO_LARGE: over MODEL_PIECES_MAX pieces;
 *          RC_EMPTY: no embedder, or nothing in the text to embed.
 */
#ifndef CACHE_EMBED_H
#define CACHE_EMBED_H

#include "cache/model.h"

enum { EMBED_DIM_MAX = 1536, EMBED_NGRAM_DIM = 384 };

/* In the order of semantic.embedder's choices. */
enum embed_kind { EMBED_NONE, EMBED_MINILM, EMBED_NGRAM, EMBED_REMOTE, EMBED_KINDS };

struct embedder {
    enum embed_kind kind;
    unsigned dim;
    char tag[MODEL_TAG_SIZE];
    uint64_t tag_hash;         /* inside the namespace */
    const float *centre;       /* NULL: zero */
    const struct model *model; /* of minilm, else NULL */
};

/* Boot: `workers` workspaces. */
int embed_reserve(unsigned workers);
/* `model`: the file of minilm, mapped here; the name of remote's model, part of its tag. When it fails, `message` says what
 * to do, and there is no embedder. */
int embed_open(enum embed_kind kind, const char *model, unsigned remote_dim, char *message, size_t message_size);
const struct embedder *embed_current(void);
/* The model's bytes were all read and right (a worker's job, started by app); until then embed_text says RC_AGAIN. */
int embed_check(void);
bool embed_ready(void);

/* A worker's job, or a thread of its own as long as no more than `workers` ask at a time. RC_UNSUPPORTED: remote. */
int embed_text(struct span text, float *vector);
/* Also tells the pieces (of ngram: the words, without ids): for embed-serve and /v1/embeddings, whose usage counts them.
 * RC_TOO_LARGE only when `truncate` is false; else the first MODEL_PIECES_MAX pieces are embedded. minilm embeds [CLS] and
 * [SEP] alone, too. ids may be NULL. */
int embed_text_pieces(struct span text, bool truncate, float *vector, uint16_t *ids, unsigned *count);

/* App's; NULL: no endpoint. Fills embed_current()->dim floats of length 1; RC_TIMEOUT, RC_CLOSED, RC_FULL … */
void embed_remote_set(int (*ask)(struct span text, float *vector));
int embed_remote(struct span text, float *vector);

#endif
