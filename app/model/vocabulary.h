/* SPDX-License-Identifier: Apache-2.0 */
/* app/model/vocabulary.h — the word pieces of a vocab.txt, and the table that finds them.
 *
 * Threads: any; pure.
 * Fails:   RC_INVALID: a line is empty, too long or stands twice, or [CLS], [SEP] or [UNK] is missing; RC_TOO_LARGE: too
 *          many pieces.
 */
#ifndef APP_MODEL_VOCABULARY_H
#define APP_MODEL_VOCABULARY_H

#include "cache/model_layout.h"

/* Sets model->vocabulary, vocabulary_text.size (every piece ended by LF), hash bits, longest piece and special ids. */
int vocabulary_measure(struct span text, struct model *model);
/* Writes the text and the table to where the model's layout has them. */
int vocabulary_write(struct span text, const struct model *model, char *lines, uint32_t *slots);

#endif
