/* SPDX-License-Identifier: Apache-2.0 */
/* cache/tokenize.c — see tokenize.h. */
#include "cache/tokenize.h"

#include "cache/model_layout.h"
#include "cache/words.h"
#include "platform/check.h"
#include "platform/rc.h"

struct tokens {
    const struct model *model;
    uint16_t *ids;
    unsigned room, count; /* without [SEP] */
    bool over;
};

static void put_id(struct tokens *t, uint16_t id)
{
    if (t->count < t->room)
        t->ids[t->count++] = id;
    else
        t->over = true;
}

/* The longest piece of the vocabulary at bytes[from], and where it ends; -1: none. */
static int longest_piece(const struct model *model, const struct word *word, unsigned from, unsigned *end)
{
    char piece[WORD_SIZE_MAX + 2] = "##";
    uint32_t hashes[WORD_CHARACTERS_MAX];
    uint16_t ends[WORD_CHARACTERS_MAX];
    unsigned count = 0, before = from > 0 ? 2 : 0;
    uint32_t hash = model_piece_hash_add(model_piece_hash_start(), piece, before);
    for (unsigned at = from, next; at < word->size && at - from + before < model->piece_size_max; at = next) {
        next = at + 1;
        while (next < word->size && ((unsigned char)word->bytes[next] & 0xC0) == 0x80) next++;
        hash = model_piece_hash_add(hash, word->bytes + at, next - at);
        hashes[count] = hash;
        ends[count++] = (uint16_t)next;
    }
    memcpy(piece + before, word->bytes + from, word->size - from);
    while (count-- > 0) {
        struct span candidate = span_of(piece, before + ends[count] - from);
        int id = model_piece_find(model, candidate, model_piece_hash_end(hashes[count]));
        *end = ends[count];
        if (id >= 0) return id;
    }
    return -1;
}

static bool put_word(void *arg, const struct word *word)
{
    struct tokens *t = arg;
    unsigned first = t->count;
    bool known = word->characters <= WORD_CHARACTERS_MAX;
    for (unsigned from = 0; known && from < word->size;) {
        int id = longest_piece(t->model, word, from, &from);
        known = id >= 0;
        if (known) put_id(t, (uint16_t)id);
    }
    if (!known) {
        t->count = first; /* what was taken of it does not count */
        t->over = false;
        put_id(t, t->model->id_unk);
    }
    return !t->over;
}

int tokenize(const struct model *model, struct span text, uint16_t *ids, unsigned max, unsigned *count)
{
    CHECK(max >= 2);
    struct tokens t = {.model = model, .ids = ids, .room = max - 1};
    put_id(&t, model->id_cls);
    words_read(text, put_word, &t);
    ids[t.count++] = model->id_sep;
    *count = t.count;
    return t.over ? RC_TOO_LARGE : RC_OK;
}
