/* SPDX-License-Identifier: Apache-2.0 */
/* tests/fuzz/fuzz_model.c — a toy .lmodel with bytes of the input laid over it: it opens as a whole or not at all, and what
 * opens can be read, checked and looked pieces up in, whatever its sections hold.
 *
 * Input: rows of 3 bytes of place and 1 of value; then, after a row of zeros, a text. The CRCs of header and table are made
 * right again when the first byte is odd.
 */
#include <stdint.h>
#include <stdlib.h>

#include "cache/model_layout.h"
#include "cache/tokenize.h"
#include "platform/hash.h"
#include "platform/rc.h"
#include "tests/support/model_test.h"

enum { ROW = 4 };

static size_t lay_over(const uint8_t *data, size_t size, char *file, size_t file_size)
{
    size_t at = 1;
    for (; at + ROW <= size; at += ROW) {
        size_t place = data[at] | (size_t)data[at + 1] << 8 | (size_t)data[at + 2] << 16;
        if (place == 0 && data[at + 3] == 0) return at + ROW;
        file[place % file_size] = (char)data[at + 3];
    }
    return size;
}

static void seal(char *file, size_t size)
{
    struct model_header *h = (struct model_header *)(void *)file;
    size_t table = h->section_count * sizeof(struct model_section);
    if (h->section_count <= MODEL_SECTIONS_MAX && MODEL_TABLE_AT + table <= size)
        h->table_crc = crc32c(0, file + MODEL_TABLE_AT, table);
    h->crc = crc32c(0, h, sizeof *h - sizeof h->crc);
}

static void use(const struct model *model, struct span text)
{
    uint16_t ids[MODEL_PIECES_MAX];
    unsigned count;
    int rc = tokenize(model, text, ids, MODEL_PIECES_MAX, &count);
    if ((rc != RC_OK && rc != RC_TOO_LARGE) || count < 2 || count > MODEL_PIECES_MAX) abort();
    for (unsigned i = 0; i < count; i++)
        if (ids[i] >= model->vocabulary) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) return 0;
    struct model model;
    struct span file = model_test_file();
    char *bytes = (char *)(uintptr_t)file.data;
    size_t text_at = lay_over(data, size, bytes, file.size);
    if (data[0] & 1) seal(bytes, file.size);
    if (model_open_bytes(bytes, file.size, &model) != RC_OK) return 0;
    (void)model_check(&model);
    use(&model, span_of((const char *)data + text_at, size - text_at));
    return 0;
}
