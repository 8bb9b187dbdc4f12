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

PENDING const char *guard_name(enum guard guard)
{
    (void)guard;
    return "pending";
}

PENDING size_t guard_text_size(void)
{
    return 1;
}

PENDING void guard_read(struct span text, struct guard_text *read)
{
    (void)text;
    (void)read;
}

PENDING int guard_pack(const struct guard_text *read, unsigned char *bytes, size_t room, size_t *size)
{
    (void)read;
    (void)bytes;
    (void)room;
    *size = 0;
    return RC_FULL;
}

PENDING int guard_unpack(struct span packed, struct guard_text *read)
{
    (void)packed;
    (void)read;
    return RC_VERSION;
}

PENDING uint32_t guard_vetoes(const struct guard_text *asked, const struct guard_text *stored, bool strict)
{
    (void)asked;
    (void)stored;
    (void)strict;
    return 0;
}

PENDING void threshold_seen(struct threshold_unit *unit, float score)
{
    (void)unit;
    (void)score;
}

PENDING void threshold_label(struct threshold_unit *unit, float score, bool right)
{
    (void)score;
    (void)right;
    unit->labels++;
}

PENDING void threshold_correct(struct threshold_unit *unit, float score, bool right)
{
    threshold_label(unit, score, right);
}

PENDING void threshold_decide(const struct threshold_unit *unit, double delta, bool partial,
                              struct threshold_decision *decision)
{
    (void)delta;
    (void)partial;
    *decision = (struct threshold_decision){.threshold = THRESHOLD_NEVER, .labels = unit->labels};
}

PENDING void wilson_interval(uint64_t errors, uint64_t count, double *low, double *high)
{
    (void)errors;
    (void)count;
    *low = 0;
    *high = 1;
}
