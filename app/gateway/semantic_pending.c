/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/semantic_pending.c — stands in for the parts of the semantic tier that are not merged yet; goes with them. */
#include "app/gateway/gateway.h"
#include "cache/rescore.h"
#include "cache/threshold.h"

#define PENDING __attribute__((weak))

PENDING const struct embedder *embed_current(void)
{
    static const struct embedder none;
    return &none;
}

PENDING bool embed_ready(void)
{
    return false;
}

PENDING int embed_text(struct span text, float *vector)
{
    (void)text;
    (void)vector;
    return RC_EMPTY;
}

PENDING int embed_text_pieces(struct span text, bool truncate, float *vector, uint16_t *ids, unsigned *count)
{
    (void)truncate;
    (void)ids;
    (void)count;
    return embed_text(text, vector);
}

PENDING int embed_remote(struct span text, float *vector)
{
    return embed_text(text, vector);
}

PENDING float vector_quantise(const float *vector, unsigned dim, int8_t *quantised)
{
    (void)vector;
    (void)dim;
    (void)quantised;
    return 0;
}

PENDING void rescore_dots(const int8_t *query, const int8_t *const *vectors, unsigned count, unsigned dim,
                          int32_t *dots)
{
    for (unsigned i = 0; i < count; i++) {
        dots[i] = 0;
        for (unsigned k = 0; k < dim; k++) dots[i] += query[k] * vectors[i][k];
    }
}
