/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/compare.h — do two replies say the same? The label of a candidate whose fresh answer has come.
 *
 * Equal:   after folding case and white space and dropping punctuation that stands beside no digit: the same.
 * Near:    else by the cosine of their vectors and the guards. Numbers, units or ordinals that differ make it another
 *          answer; between short answers antonyms and names too. Without those it is the same from COMPARE_SAME_MIN on
 *          and another one below COMPARE_OTHER_MAX. Between the two, and where one of two near answers negates, it cannot
 *          be told, and there is no label: a label that is often wrong is worse than none, since a threshold is learnt
 *          only where errors keep below a few percent.
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
/* Measured on pairs of answers (docs/semantic.md, tests/data/answer_pairs.jsonl). */
#define COMPARE_SAME_MIN 0.80f
#define COMPARE_OTHER_MAX 0.55f
#define COMPARE_NEGATED_MAX 0.70f /* below: where one of the two negates it is another answer */

/* What a stored or recorded reply says: the texts of its first choice, as one text. RC_CORRUPT, RC_FULL, RC_EMPTY: it
 * says nothing. */
int compare_text(enum dialect dialect, enum entry_form form, struct span body, struct arena *arena, struct span *text);

enum compare_verdict { COMPARE_SAME, COMPARE_OTHER, COMPARE_UNSURE };

struct comparison {
    enum compare_verdict verdict;
    bool equal; /* then the rest is 0 */
    float cosine;
    uint32_t vetoes; /* 1 << enum guard, those that count */
};
int compare_answers(struct span a, struct span b, struct arena *arena, struct comparison *result);

/* Their parts, pure. */
bool compare_equal(struct span a, struct span b, struct arena *arena);
struct span compare_beginning(struct span text);
enum compare_verdict compare_judge(float cosine, uint32_t vetoes);
uint32_t compare_vetoes_that_count(struct span a, struct span b, uint32_t vetoes);

#endif
