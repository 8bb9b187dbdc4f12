/* SPDX-License-Identifier: Apache-2.0 */
/* app/model/centre.h — the mean vector of a fixed list of everyday questions (app/model/centre_texts.c).
 *
 * Fixed:   the centre is in the embedder's tag, and codes persist: list and rounding do not change within a scheme
 *          version. Computed with the encoder's scalar floats; the mean is rounded to whole 1/4096, so that the last
 *          bits of a compiler's floats do not show.
 * Threads: one; a process that imports.
 */
#ifndef APP_MODEL_CENTRE_H
#define APP_MODEL_CENTRE_H

#include "cache/model.h"

extern const struct span centre_texts[];
extern const unsigned centre_texts_count;

/* centre: dim floats. RC_FULL: no memory for the encoder's workspace. */
int centre_make(const struct model *model, float *centre);

#endif
