/* SPDX-License-Identifier: Apache-2.0 */
/* storage/pack.c — a pack is one block of the region: answers, questions, a hash table, texts. Loaded in two passes over
 * the lines, one that measures and one that writes. */
#include "storage/pack.h"

#include <stdio.h>

#include "platform/check.h"
#include "platform/fold.h"
#include "platform/hash.h"
#include "platform/json.h"
#include "platform/plan.h"
#include "platform/rc.h"

enum {
    SLOTS = 2 * PACKS_OPEN_MAX,
    FOLDED_MAX = 3 * PACK_QUESTION_MAX,
    ASKED_MAX = 4 * PACK_QUESTION_MAX,
    NAME_MAX_SIZE = 64,
    SCRATCH = JSON_SCRATCH_FACTOR * PACK_LINE_MAX + JSON_SCRATCH_EXTRA,
};

struct pack_text {
    uint32_t offset, size; /* in the block */
};

struct pack_answer {
    struct pack_text text;
    uint32_t line;
};

struct pack_question {
    struct pack_text text; /* folded */
    struct pack_text written;
    uint32_t answer, hash;
};

struct pack {
    unsigned char *block;
    size_t size; /* 0: the slot is free */
    unsigned answer_count, question_count, cells;
    struct pack_answer *answers;
    struct pack_question *questions;
    uint16_t *table; /* question + 1; 0 empty */
    size_t texts;    /* where they begin in the block */
    char name[NAME_MAX_SIZE];
    size_t name_size;
};

static struct pack packs[SLOTS];
static unsigned char *region;
static void *scratch;
/* Lane only; what is folded here is used before anything else runs. */
static char folded[3 * ASKED_MAX];

int pack_reserve(void)
{
    void *memory;
    int rc = plan_take("packs", 1, PACK_MEMORY, PLAN_LAZY, 0, "packs", &memory);
    if (rc == RC_OK) rc = plan_take("packs parsing", 1, SCRATCH, PLAN_LAZY, 0, NULL, &scratch);
    region = memory;
    return rc;
}

static uint32_t hash_text(struct span text)
{
    static const struct hash_key key;
    return (uint32_t)hash_of(&key, text.data, text.size).low;
}

/* ---- reading lines */

struct loading {
    struct pack *pack; /* NULL: measuring */
    unsigned line, answers, questions;
    size_t texts;
    char *error;
};

static int refuse(const struct loading *l, const char *what, struct span detail)
{
    int shown = detail.size > 60 ? 60 : (int)detail.size;
    snprintf(l->error, PACK_ERROR_MAX, "line %u: %s%s%.*s", l->line, what, shown > 0 ? ": " : "", shown, detail.data);
    return RC_INVALID;
}

static int refuse_full(const struct loading *l, const char *what)
{
    (void)refuse(l, what, SPAN(""));
    return RC_FULL;
}

static struct span block_text(const struct pack *pack, struct pack_text text)
{
    return span_of((const char *)pack->block + text.offset, text.size);
}

static struct pack_text add_text(struct loading *l, struct span text)
{
    struct pack_text at = {(uint32_t)l->texts, (uint32_t)text.size};
    if (l->pack) {
        CHECK(l->pack->texts + l->texts + text.size <= l->pack->size);
        at.offset += (uint32_t)l->pack->texts;
        memcpy(l->pack->block + at.offset, text.data, text.size);
    }
    l->texts += text.size;
    return at;
}

static uint16_t *find_cell(const struct pack *pack, struct span text, uint32_t hash)
{
    unsigned at = hash & (pack->cells - 1);
    for (; pack->table[at] != 0; at = (at + 1) & (pack->cells - 1)) {
        const struct pack_question *q = &pack->questions[pack->table[at] - 1];
        if (q->hash == hash && span_equal(block_text(pack, q->text), text)) break;
    }
    return &pack->table[at];
}

static int add_question(struct loading *l, const struct json_value *value)
{
    size_t size;
    struct span text = json_string(value);
    if (json_kind(value) != JSON_STRING) return refuse(l, "\"q\" is not a string or a list of strings", SPAN(""));
    if (text.size > PACK_QUESTION_MAX) return refuse(l, "a question is longer than 1024 bytes", text);
    if (fold_question(text, folded, FOLDED_MAX, &size) != RC_OK || size == 0)
        return refuse(l, "an empty question", text);
    if (l->questions == PACK_QUESTIONS_MAX) return refuse_full(l, "more than 4096 questions");
    struct span key = span_of(folded, size);
    if (l->pack) {
        uint32_t hash = hash_text(key);
        uint16_t *cell = find_cell(l->pack, key, hash);
        if (*cell != 0) return refuse(l, "the same question twice", text);
        struct pack_question *q = &l->pack->questions[l->questions];
        *q = (struct pack_question){.text = add_text(l, key), .answer = l->answers, .hash = hash};
        q->written = add_text(l, text);
        *cell = (uint16_t)(l->questions + 1);
    } else {
        (void)add_text(l, key);
        (void)add_text(l, text);
    }
    l->questions++;
    return RC_OK;
}

static int add_questions(struct loading *l, const struct json_value *q)
{
    int rc = RC_OK;
    if (json_kind(q) != JSON_ARRAY) return add_question(l, q);
    if (json_count(q) == 0) return refuse(l, "\"q\" is an empty list", SPAN(""));
    for (struct json_walk w = json_walk(q); rc == RC_OK && json_next(&w);) rc = add_question(l, w.value);
    return rc;
}

static int check_members(const struct loading *l, const struct json_value *root)
{
    unsigned q = 0, a = 0;
    for (struct json_walk w = json_walk(root); json_next(&w);) {
        if (span_equal(w.name, SPAN("q")))
            q++;
        else if (span_equal(w.name, SPAN("a")))
            a++;
        else
            return refuse(l, "an unknown member", w.name);
    }
    if (q != 1) return refuse(l, q == 0 ? "there is no \"q\"" : "\"q\" twice", SPAN(""));
    if (a != 1) return refuse(l, a == 0 ? "there is no \"a\"" : "\"a\" twice", SPAN(""));
    return RC_OK;
}

static int add_line(struct loading *l, struct span line)
{
    struct json_scratch memory = {scratch, SCRATCH};
    struct json_error error;
    const struct json_value *root;
    if (line.size > PACK_LINE_MAX) return refuse(l, "longer than 16384 bytes", SPAN(""));
    if (json_parse(&memory, line, &root, &error) != RC_OK) return refuse(l, "not JSON", span_text(error.message));
    if (json_kind(root) != JSON_OBJECT) return refuse(l, "not a JSON object", SPAN(""));
    int rc = check_members(l, root);
    if (rc != RC_OK) return rc;
    struct span answer = json_string(json_get(root, "a"));
    if (answer.size == 0) return refuse(l, "\"a\" is not a text, or empty", SPAN(""));
    struct pack_text text = add_text(l, answer);
    if (l->pack) l->pack->answers[l->answers] = (struct pack_answer){.text = text, .line = l->line};
    rc = add_questions(l, json_get(root, "q"));
    l->answers++;
    return rc;
}

static int read_lines(struct loading *l, struct span text)
{
    int rc = RC_OK;
    while (rc == RC_OK && text.size > 0) {
        struct span line;
        text = span_cut(text, '\n', &line);
        l->line++;
        if (line.size > 0 && line.data[line.size - 1] == '\r') line.size--;
        struct span trimmed = span_trim(line);
        if (trimmed.size > 0 && trimmed.data[0] != '#') rc = add_line(l, trimmed);
    }
    return rc;
}

/* ---- blocks of the region: first fit between the packs that are there */

static bool block_is_free(const unsigned char *from, size_t size)
{
    if (size > (size_t)(region + PACK_MEMORY - from)) return false;
    for (unsigned i = 0; i < SLOTS; i++)
        if (packs[i].size > 0 && from < packs[i].block + packs[i].size && packs[i].block < from + size) return false;
    return true;
}

static unsigned char *block_take(size_t size)
{
    if (block_is_free(region, size)) return region;
    for (unsigned i = 0; i < SLOTS; i++)
        if (packs[i].size > 0 && block_is_free(packs[i].block + packs[i].size, size))
            return packs[i].block + packs[i].size;
    return NULL;
}

static struct pack *slot_take(void)
{
    for (unsigned i = 0; i < SLOTS; i++)
        if (packs[i].size == 0) return &packs[i];
    return NULL;
}

/* Where the parts lie in a block for what was measured. */
static size_t lay_out(struct pack *pack, const struct loading *l)
{
    pack->answer_count = l->answers;
    pack->question_count = l->questions;
    pack->cells = 16;
    while (pack->cells < 2 * l->questions) pack->cells *= 2;
    size_t questions = l->answers * sizeof(struct pack_answer);
    size_t table = questions + l->questions * sizeof(struct pack_question);
    pack->texts = table + pack->cells * sizeof(uint16_t);
    return (pack->texts + l->texts + 15) & ~(size_t)15;
}

static void place(struct pack *pack, unsigned char *block, size_t size)
{
    size_t questions = pack->answer_count * sizeof(struct pack_answer);
    size_t table = questions + pack->question_count * sizeof(struct pack_question);
    pack->block = block;
    pack->size = size;
    pack->answers = (struct pack_answer *)(void *)block;
    pack->questions = (struct pack_question *)(void *)(block + questions);
    pack->table = (uint16_t *)(void *)(block + table);
    memset(pack->table, 0, pack->cells * sizeof *pack->table);
}

int pack_load(struct span name, struct span text, struct pack **loaded, char error[PACK_ERROR_MAX])
{
    struct loading measure = {.error = error}, write = {.error = error};
    struct pack *pack = slot_take();
    error[0] = '\0';
    if (!pack) return refuse_full(&measure, "too many packs");
    if (text.size > PACK_BYTES_MAX) return refuse_full(&measure, "the pack is larger than 1 MiB");
    int rc = read_lines(&measure, text);
    if (rc != RC_OK) return rc;
    size_t size = lay_out(pack, &measure);
    unsigned char *block = block_take(size);
    if (!block) return refuse_full(&measure, "no memory is left for packs");
    place(pack, block, size);
    pack->name_size = name.size < sizeof pack->name ? name.size : sizeof pack->name;
    memcpy(pack->name, name.data, pack->name_size);
    write.pack = pack;
    rc = read_lines(&write, text);
    if (rc != RC_OK)
        pack_release(pack);
    else
        *loaded = pack;
    return rc;
}

void pack_release(struct pack *pack)
{
    *pack = (struct pack){0};
}

int pack_find(const struct pack *pack, struct span question, struct span *answer, unsigned *number)
{
    size_t size;
    if (question.size > ASKED_MAX) return RC_NOT_FOUND;
    if (fold_question(question, folded, sizeof folded, &size) != RC_OK || size == 0) return RC_NOT_FOUND;
    struct span key = span_of(folded, size);
    uint16_t cell = *find_cell(pack, key, hash_text(key));
    if (cell == 0) return RC_NOT_FOUND;
    const struct pack_answer *found = &pack->answers[pack->questions[cell - 1].answer];
    *answer = block_text(pack, found->text);
    *number = found->line;
    return RC_OK;
}

unsigned pack_size(const struct pack *pack)
{
    return pack->answer_count;
}

unsigned pack_question_count(const struct pack *pack)
{
    return pack->question_count;
}

struct span pack_question(const struct pack *pack, unsigned index)
{
    CHECK(index < pack->question_count);
    return block_text(pack, pack->questions[index].written);
}

struct span pack_question_answer(const struct pack *pack, unsigned index)
{
    CHECK(index < pack->question_count);
    return block_text(pack, pack->answers[pack->questions[index].answer].text);
}

struct span pack_name(const struct pack *pack)
{
    return span_of(pack->name, pack->name_size);
}
