/* SPDX-License-Identifier: Apache-2.0 */
/* app/model/vocabulary.c — see vocabulary.h; the table's form is cache/model_layout.h's. */
#include "app/model/vocabulary.h"

#include "platform/rc.h"

enum { SPECIALS = 3 };

static struct span next_line(struct span *text)
{
    struct span line;
    *text = span_cut(*text, '\n', &line);
    if (span_ends_with(line, SPAN("\r"))) line.size--;
    return line;
}

static unsigned bits_for(unsigned count)
{
    unsigned bits = 4;
    while ((1u << bits) / 2 < count) bits++;
    return bits;
}

int vocabulary_measure(struct span text, struct model *model)
{
    static const struct span names[SPECIALS] = {SPAN_ROW("[CLS]"), SPAN_ROW("[SEP]"), SPAN_ROW("[UNK]")};
    uint16_t *ids[SPECIALS] = {&model->id_cls, &model->id_sep, &model->id_unk};
    unsigned count = 0, longest = 0, found = 0;
    size_t size = 0;
    while (text.size > 0) {
        struct span line = next_line(&text);
        if (line.size == 0 || line.size > MODEL_PIECE_SIZE_MAX) return RC_INVALID;
        if (count == MODEL_VOCABULARY_MAX) return RC_TOO_LARGE;
        for (unsigned i = 0; i < SPECIALS; i++) {
            if (!span_equal(line, names[i])) continue;
            *ids[i] = (uint16_t)count;
            found |= 1u << i;
        }
        if (line.size > longest) longest = (unsigned)line.size;
        size += line.size + 1;
        count++;
    }
    if (found != (1u << SPECIALS) - 1) return RC_INVALID;
    if (size > MODEL_VOCABULARY_TEXT_MAX) return RC_TOO_LARGE;
    model->vocabulary = count;
    model->vocabulary_text = span_of(NULL, size);
    model->vocabulary_hash_bits = bits_for(count);
    model->piece_size_max = longest;
    return RC_OK;
}

static void put_slot(const struct model *model, uint32_t *slots, uint32_t hash, uint32_t offset, uint32_t id)
{
    uint32_t mask = ((uint32_t)1 << model->vocabulary_hash_bits) - 1, slot = hash & mask;
    while (slots[2 * slot] != 0) slot = (slot + 1) & mask;
    slots[2 * slot] = offset + 1;
    slots[2 * slot + 1] = id << 16 | hash >> 16;
}

int vocabulary_write(struct span text, const struct model *model, char *lines, uint32_t *slots)
{
    uint32_t at = 0;
    for (unsigned id = 0; text.size > 0; id++) {
        struct span line = next_line(&text);
        uint32_t hash = model_piece_hash_end(model_piece_hash_add(model_piece_hash_start(), line.data, line.size));
        if (model_piece_find(model, line, hash) >= 0) return RC_INVALID;
        memcpy(lines + at, line.data, line.size);
        lines[at + line.size] = '\n';
        put_slot(model, slots, hash, at, id);
        at += (uint32_t)line.size + 1;
    }
    return RC_OK;
}
