/* SPDX-License-Identifier: Apache-2.0 */
/* storage/pack.h — a pack: questions and answers shipped as JSON lines, matched by the question alone.
 *
 * Line:    {"q": ["question", "other wording", …], "a": "answer"}; "q" may be one string. Lines beginning with # and
 *          blank lines are skipped.
 * Match:   equal after folding (platform/fold.h: NFC, case, outer blanks, runs of blanks, closing punctuation ".?!").
 * Owner:   texts point into the mapped or embedded file, decoded texts into the region taken at boot.
 * Threads: loading at boot or reload (lane), finding on the lane.
 * Fails:   RC_INVALID with the line and what is wrong; RC_FULL above the bounds.
 */
#ifndef STORAGE_PACK_H
#define STORAGE_PACK_H

#include "platform/span.h"

enum { PACKS_OPEN_MAX = 8, PACK_QUESTIONS_MAX = 4096, PACK_BYTES_MAX = 1 << 20, PACK_ERROR_MAX = 160 };

struct pack;

int pack_reserve(void);
int pack_load(struct span name, struct span text, struct pack **pack, char error[PACK_ERROR_MAX]);
void pack_release(struct pack *pack);
/* `question` as the client wrote it. RC_NOT_FOUND. *number identifies the line (stable while the pack is loaded). */
int pack_find(const struct pack *pack, struct span question, struct span *answer, unsigned *number);
unsigned pack_size(const struct pack *pack);

#endif
