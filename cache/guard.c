/* SPDX-License-Identifier: Apache-2.0 */
/* cache/guard.c — a text read for the guards: the order of its parts, and the sets that are compared. */
#include "cache/guard.h"

#include <endian.h>

#include "cache/guard_inner.h"
#include "platform/hash.h"
#include "platform/rc.h"

static const char *const names[GUARDS] = {
    [GUARD_NUM] = "num",       [GUARD_NUM1] = "num1", [GUARD_UNIT] = "unit",   [GUARD_ORD] = "ord",
    [GUARD_NEG] = "neg",       [GUARD_ANT] = "ant",   [GUARD_AFFIX] = "affix", [GUARD_ENT_SUB] = "ent_sub",
    [GUARD_TRANSP] = "transp", [GUARD_CODE] = "code", [GUARD_QUOT] = "quot",   [GUARD_WHS] = "whs",
    [GUARD_STRICT] = "strict", [GUARD_LONG] = "long",
};

const char *guard_name(enum guard guard)
{
    return (unsigned)guard < GUARDS ? names[guard] : "unknown";
}

size_t guard_text_size(void)
{
    return sizeof(struct guard_text);
}

/* A fixed key: the hashes are stored. It makes a second text for a given hash no easier to find. */
uint64_t guard_hash(const char *bytes, size_t size)
{
    static const struct hash_key key = {0x6C6172646572u, 0x6775617264u};
    return hash_of(&key, bytes, size).low;
}

/* Eight bytes as a number that sorts as they do. */
static uint64_t sortable(const char *bytes)
{
    uint64_t value;
    memcpy(&value, bytes, sizeof value);
    return be64toh(value);
}

unsigned guard_find(const void *rows, unsigned count, size_t step, const char *text, size_t size)
{
    char key[GUARD_ROW_TEXT] = {0};
    unsigned low = 0, high = count;
    if (size > sizeof key) return count;
    for (size_t i = 0; i < size; i++) key[i] = text[i];
    uint64_t first = sortable(key), second = sortable(key + 8);
    while (low < high) {
        unsigned middle = (low + high) / 2;
        const char *row = (const char *)rows + middle * step;
        uint64_t row_first = sortable(row), row_second = sortable(row + 8);
        if (row_first == first && row_second == second) return middle;
        if (first < row_first || (first == row_first && second < row_second))
            high = middle;
        else
            low = middle + 1;
    }
    return count;
}

void guard_mark(struct guard_text *g, struct guard_marks *marks, uint64_t hash)
{
    if (marks->count == GUARD_MARKS_MAX)
        g->long_text = true;
    else
        marks->items[marks->count++] = hash;
}

static void sort_marks(struct guard_marks *marks)
{
    for (unsigned i = 1; i < marks->count; i++) {
        uint64_t item = marks->items[i];
        unsigned k = i;
        for (; k > 0 && marks->items[k - 1] > item; k--) marks->items[k] = marks->items[k - 1];
        marks->items[k] = item;
    }
}

/* One word of each stem, sorted by hash. */
static void sort_set(struct guard_text *g)
{
    g->set_count = 0;
    for (unsigned i = 0; i < g->word_count; i++) {
        uint64_t hash = g->words[i].hash;
        unsigned k = g->set_count;
        while (k > 0 && g->words[g->set[k - 1]].hash > hash) k--;
        if (k > 0 && g->words[g->set[k - 1]].hash == hash) continue;
        memmove(&g->set[k + 1], &g->set[k], (g->set_count - k) * sizeof g->set[0]);
        g->set[k] = (uint8_t)i;
        g->set_count++;
    }
}

void guard_sort(struct guard_text *g)
{
    sort_marks(&g->numbers);
    sort_marks(&g->units);
    sort_marks(&g->ordinals);
    sort_marks(&g->code);
    sort_marks(&g->quoted);
    sort_set(g);
}

void guard_clear(struct guard_text *g)
{
    g->long_text = g->negated = false;
    g->question = GUARD_NO_QUESTION;
    g->word_count = g->set_count = g->letters_size = g->own_size = g->char_count = g->lower_count = 0;
    g->numbers.count = g->units.count = g->ordinals.count = g->code.count = g->quoted.count = 0;
}

void guard_read(struct span text, struct guard_text *read)
{
    guard_clear(read);
    guard_decode(read, text);
    if (guard_lower_case(read->chars, read->char_count, read->lower, GUARD_CHARS_MAX, &read->lower_count) != RC_OK)
        read->long_text = true;
    if (read->long_text) return;
    guard_read_quoted(read);
    guard_read_code(read);
    guard_read_words(read);
    if (read->long_text) return;
    guard_read_numbers(read);
    guard_read_negation(read);
    guard_read_question(read);
    guard_read_entities(read);
    guard_sort(read);
}
