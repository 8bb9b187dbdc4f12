/* SPDX-License-Identifier: Apache-2.0 */
/* tests/fuzz/fuzz_tokenize.c — any bytes to pieces and to n-grams: in bounds, ended by [SEP], and the first pieces are the
 * same however many there is room for.
 */
#include <stdint.h>
#include <stdlib.h>

#include "cache/ngram.h"
#include "cache/tokenize.h"
#include "platform/rc.h"
#include "tests/support/guard_page.h"
#include "tests/support/model_test.h"

enum { SMALL = 9 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct model model;
    static float vector[EMBED_NGRAM_DIM];
    if (!model.map) model_test_open(&model);
    if (size > GUARDED_MAX) return 0;
    uint16_t ids[MODEL_PIECES_MAX], few[SMALL];
    unsigned count, few_count, words;
    struct span text = guarded(span_of((const char *)data, size));
    int rc = tokenize(&model, text, ids, MODEL_PIECES_MAX, &count);
    int few_rc = tokenize(&model, text, few, SMALL, &few_count);
    if (count < 2 || count > MODEL_PIECES_MAX || ids[0] != model.id_cls || ids[count - 1] != model.id_sep) abort();
    if ((rc == RC_TOO_LARGE && count != MODEL_PIECES_MAX) || (few_rc == RC_OK) != (rc == RC_OK && count <= SMALL))
        abort();
    if (few_count != (count < SMALL ? count : SMALL) || few[few_count - 1] != model.id_sep) abort();
    (void)ngram(text, MODEL_PIECES_MAX, vector, &words);
    if (words > MODEL_PIECES_MAX) abort();
    for (unsigned i = 0; i < count; i++)
        if (ids[i] >= model.vocabulary) abort();
    return 0;
}
