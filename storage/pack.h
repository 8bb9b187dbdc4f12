/* SPDX-License-Identifier: Apache-2.0 */
/* storage/pack.h — a pack: questions and answers shipped as JSON lines, matched by the question alone.
 *
 * Line:    {"q": ["question", "other wording", …], "a": "answer"}; "q" may be one string. Lines beginning with # and
 *          blank lines are skipped. Two questions that are equal after folding are an error.
 * Match:   equal after folding (platform/fold.h: NFC, case, outer blanks, runs of blanks, closing punctuation ".?!").
 * Owner:   texts are decoded into the region taken at boot; `text` of pack_load is not needed afterwards.
 * Threads: loading at boot or reload (lane), finding on the lane.
 * Fails:   RC_INVALID with the line and what is wrong; RC_FULL above the bounds.
 */
#ifndef STORAGE_PACK_H
#define STORAGE_PACK_H

#include "platform/span.h"

enum {
    PACKS_OPEN_MAX = 8, /* during a reload twice as many: the new ones before the old are released */
    PACK_QUESTIONS_MAX = 4096,
    PACK_BYTES_MAX = 1 << 20, /* of a pack's text */
    PACK_LINE_MAX = 16384,
    PACK_QUESTION_MAX = 1024,
    PACK_MEMORY = 2 << 20, /* of all packs, decoded; a page is touched when it is used */
    PACK_ERROR_MAX = 160,
};

struct pack;

int pack_reserve(void);
int pack_load(struct span name, struct span text, struct pack **loaded, char error[PACK_ERROR_MAX]);
void pack_release(struct pack *pack);
/* `question` as the client wrote it. RC_NOT_FOUND. *number is the line's, from 1. */
/* A question over 4 × PACK_QUESTION_MAX bytes is in no pack. */
int pack_find(const struct pack *pack, struct span question, struct span *answer, unsigned *number);
unsigned pack_size(const struct pack *pack); /* answers */
/* Its questions as they were written, outer blanks too, and what each is answered with. */
unsigned pack_question_count(const struct pack *pack);
struct span pack_question(const struct pack *pack, unsigned index);
struct span pack_question_answer(const struct pack *pack, unsigned index);
struct span pack_name(const struct pack *pack);

#endif
