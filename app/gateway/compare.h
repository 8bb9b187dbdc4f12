/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/compare.h — do two replies say the same? The label of a candidate whose fresh answer has come.
 *
 * Equal:   after folding case and white space and dropping punctuation that stands beside no digit: right.
 * Near:    else cosine of their vectors ≥ COMPARE_COSINE_MIN, and no guard on numbers, units, ordinals or negation speaks
 *          against it; between short answers none on antonyms and names either.
 * Long:    of each answer only the first COMPARE_TEXT_MAX bytes are looked at, up to the last end of a sentence.
 * Owner:   texts and work lie in the caller's arena.
 * Threads: lane; compare_answers waits for a job of the compute pool (fiber).
 * Fails:   RC_FULL, RC_AGAIN, RC_EMPTY, RC_TIMEOUT …: it cannot be told now; no label.
 */
#ifndef GATEWAY_COMPARE_H
#define GATEWAY_COMPARE_H

#include "app/gateway/dialect.h"
#include "storage/entry.h"

enum {
    COMPARE_TEXT_MAX = 1000, /* about what the embedder reads */
    COMPARE_SHORT_MAX = 160,
    COMPARE_FOLD_MAX = 16384, /* longer ones are equal only byte by byte: folding runs on the lane */
};
/* Measured on pairs of answers (docs/semantic.md). */
#define COMPARE_COSINE_MIN 0.80f

/* What a stored or recorded reply says: the texts of its first choice, as one text. RC_CORRUPT, RC_FULL, RC_EMPTY: it
 * says nothing. */
int compare_text(enum dialect dialect, enum entry_form form, struct span body, struct arena *arena, struct span *text);

struct comparison {
    bool same, equal;
    float cosine;    /* 0 when they are equal */
    uint32_t vetoes; /* 1 << enum guard */
};
int compare_answers(struct span a, struct span b, struct arena *arena, struct comparison *result);

/* Their parts, pure. */
bool compare_equal(struct span a, struct span b, struct arena *arena);
struct span compare_beginning(struct span text);
uint32_t compare_vetoes_that_count(struct span a, struct span b, uint32_t vetoes);

#endif
