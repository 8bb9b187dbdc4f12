/* SPDX-License-Identifier: Apache-2.0 */
/* tests/support/model_test.h — a published model of toy size, for whoever needs a model that always is there.
 *
 * Uncased BERT in form: 2 layers, 32 dimensions, 2 heads, 48 hidden, 256 positions, weights from a fixed generator. Its
 * pieces: [PAD] [UNK] [CLS] [SEP], the letters and digits both ways (x and ##x), some punctuation, and model_test_pieces.
 */
#ifndef TESTS_SUPPORT_MODEL_TEST_H
#define TESTS_SUPPORT_MODEL_TEST_H

#include "app/model/import.h"
#include "cache/model.h"

enum { MODEL_TEST_DIM = 32, MODEL_TEST_HIDDEN = 48, MODEL_TEST_LAYERS = 2, MODEL_TEST_POSITIONS = 256 };

/* The three files; static memory, written anew by each call. */
struct model_source model_test_source(void);
/* Imports them: bytes of an .lmodel, on a 64-byte border, to be changed as a test likes. Static memory; made once. */
struct span model_test_file(void);
/* The same, opened. */
void model_test_open(struct model *model);
/* The id of a piece in vocab.txt; fails when there is none. */
unsigned model_test_id(const char *piece);
/* What model.safetensors says of a tensor: its values, `count` of them. */
const float *model_test_tensor(const char *name, unsigned count);
/* models/all-MiniLM-L6-v2.lmodel or LARDER_MODEL, opened; false (and a line that says so) when it is not there. */
bool model_test_real(struct model *model);

#endif
