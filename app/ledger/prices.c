/* SPDX-License-Identifier: Apache-2.0 */
/* app/ledger/prices.c — see prices.h. */
#include "app/ledger/prices.h"

#include <stdio.h>

#include "platform/rc.h"

enum {
    MODEL_NAME_MAX = 128, /* compared in lower case; a longer one is not known */
    DECIMALS = 6,
    WHOLE_MAX = 100000, /* USD per million tokens */
};
#define MEGA UINT64_C(1000000)
#define TOKENS_MOST UINT64_C(1000000000) /* of one call, so that no product overflows */

extern const char builtin_prices[];
extern const size_t builtin_prices_size;

struct span prices_builtin(void)
{
    return span_of(builtin_prices, builtin_prices_size);
}

/* ---- reading */

static bool word_of(struct span *line, struct span *word)
{
    size_t at = 0, end;
    while (at < line->size && (line->data[at] == ' ' || line->data[at] == '\t')) at++;
    for (end = at; end < line->size && line->data[end] != ' ' && line->data[end] != '\t';) end++;
    *word = span_of(line->data + at, end - at);
    *line = span_of(line->data + end, line->size - end);
    return word->size > 0;
}

/* Days since 1970-01-01 of a proleptic Gregorian date (H. Hinnant, days_from_civil). */
static uint64_t days_of(unsigned year, unsigned month, unsigned day)
{
    unsigned y = month <= 2 ? year - 1 : year;
    unsigned era = y / 400, of_era = y % 400;
    unsigned of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    return (uint64_t)era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static int read_date(struct span word, uint64_t *since_s)
{
    struct span part[3];
    uint64_t year, month, day;
    struct span rest = span_cut(word, '-', &part[0]);
    part[2] = span_cut(rest, '-', &part[1]);
    if (part[0].size != 4 || span_to_u64(part[0], 9999, &year) != RC_OK || year < 1970) return RC_INVALID;
    if (part[1].size != 2 || span_to_u64(part[1], 12, &month) != RC_OK || month == 0) return RC_INVALID;
    if (part[2].size != 2 || span_to_u64(part[2], 31, &day) != RC_OK || day == 0) return RC_INVALID;
    *since_s = days_of((unsigned)year, (unsigned)month, (unsigned)day) * 86400;
    return RC_OK;
}

static int read_price(struct span word, uint64_t *per_mega)
{
    struct span whole;
    uint64_t dollars, part = 0;
    struct span decimals = span_cut(word, '.', &whole);
    bool point = whole.size < word.size;
    if (span_to_u64(whole, WHOLE_MAX, &dollars) != RC_OK) return RC_INVALID;
    if (point && (decimals.size > DECIMALS || span_to_u64(decimals, MEGA, &part) != RC_OK)) return RC_INVALID;
    for (size_t i = decimals.size; point && i < DECIMALS; i++) part *= 10;
    *per_mega = dollars * MEGA + part;
    return RC_OK;
}

static const char *read_prices(struct span *line, struct price_row *row)
{
    struct span word;
    for (unsigned kind = 0; kind < PRICE_KINDS; kind++) {
        if (!word_of(line, &word)) return "nine words are expected";
        if (span_equal(word, SPAN("-")) && kind > PRICE_OUTPUT)
            row->per_mega[kind] = row->per_mega[PRICE_INPUT];
        else if (read_price(word, &row->per_mega[kind]) != RC_OK)
            return "a price is USD per million tokens, like 0.15";
    }
    return word_of(line, &word) ? "nine words are expected" : NULL;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

static const char *read_row(struct span line, struct arena *arena, struct price_row *row)
{
    struct span model, since, up_to;
    if (!word_of(&line, &model) || !word_of(&line, &since) || !word_of(&line, &up_to)) return "nine words are expected";
    if (model.size > MODEL_NAME_MAX) return "the model's glob is too long";
    char *name = arena_take(arena, model.size, 1);
    if (!name) return "no memory is left";
    for (size_t i = 0; i < model.size; i++) name[i] = lower(model.data[i]);
    *row = (struct price_row){.model = span_of(name, model.size), .up_to = UINT64_MAX};
    if (read_date(since, &row->since_s) != RC_OK) return "the date is written YYYY-MM-DD";
    if (!span_equal(up_to, SPAN("-")) && span_to_u64(up_to, TOKENS_MOST, &row->up_to) != RC_OK)
        return "up_to is a number of tokens, or -";
    return read_prices(&line, row);
}

static bool has_row(struct span line)
{
    struct span word;
    return word_of(&line, &word);
}

/* No more rows than lines, and no more than there can be. */
static size_t lines_of(struct span text)
{
    size_t lines = 1;
    for (size_t i = 0; i < text.size; i++) lines += text.data[i] == '\n';
    return lines < PRICE_ROWS_MAX ? lines : PRICE_ROWS_MAX;
}

int prices_read(struct span text, struct arena *arena, struct prices *prices, char message[PRICES_MESSAGE_MAX])
{
    *prices = (struct prices){0};
    size_t most = lines_of(text);
    struct price_row *rows = arena_take(arena, most * sizeof *rows, _Alignof(struct price_row));
    if (!rows) return RC_FULL;
    for (unsigned number = 1; text.size; number++) {
        struct span line;
        text = span_cut(text, '\n', &line);
        (void)span_cut(line, '#', &line);
        if (line.size && line.data[line.size - 1] == '\r') line.size--;
        if (!has_row(line)) continue;
        const char *wrong = prices->count == PRICE_ROWS_MAX ? "there are too many rows"
                                                            : read_row(line, arena, &rows[prices->count]);
        if (wrong) {
            snprintf(message, PRICES_MESSAGE_MAX, "line %u: %s", number, wrong);
            return RC_INVALID;
        }
        prices->count++;
    }
    prices->rows = rows;
    return RC_OK;
}

/* ---- finding */

/* Of two rows of one group, the one that counts: begun and newest, else oldest; then the smallest tier that holds it. */
static bool is_better(const struct price_row *a, const struct price_row *b, uint64_t wall_s)
{
    if (!b) return true;
    bool a_begun = a->since_s <= wall_s, b_begun = b->since_s <= wall_s;
    if (a_begun != b_begun) return a_begun;
    if (a->since_s != b->since_s) return a_begun == (a->since_s > b->since_s);
    return a->up_to < b->up_to;
}

const struct price_row *prices_find(const struct prices *prices, struct span model, uint64_t wall_s, uint64_t input)
{
    char name[MODEL_NAME_MAX];
    const struct price_row *group = NULL, *best = NULL;
    if (model.size == 0 || model.size > sizeof name) return NULL;
    for (size_t i = 0; i < model.size; i++) name[i] = lower(model.data[i]);
    for (unsigned i = 0; i < prices->count; i++) {
        const struct price_row *row = &prices->rows[i];
        if (!group && span_glob(row->model, span_of(name, model.size))) group = row;
        if (group && span_equal(row->model, group->model) && input <= row->up_to && is_better(row, best, wall_s))
            best = row;
    }
    return best;
}

/* ---- costs */

static uint64_t counted(int64_t tokens)
{
    if (tokens <= 0) return 0;
    return (uint64_t)tokens < TOKENS_MOST ? (uint64_t)tokens : TOKENS_MOST;
}

uint64_t usage_input(const struct usage *u)
{
    return counted(u->input_uncached) + counted(u->cache_read) + counted(u->cache_write_5m) +
           counted(u->cache_write_1h);
}

bool usage_is_known(const struct usage *u)
{
    return u->input_uncached >= 0 || u->output >= 0;
}

/* Whole micro-USD and their remainder apart: a sum of products would not fit. */
static void add(uint64_t *micro, uint64_t *rest, uint64_t tokens, uint64_t per_mega)
{
    *micro += tokens / MEGA * per_mega + tokens % MEGA * (per_mega / MEGA);
    *rest += tokens % MEGA * (per_mega % MEGA);
}

uint64_t price_of_usage(const struct price_row *row, const struct usage *u)
{
    uint64_t micro = 0, rest = 0;
    add(&micro, &rest, counted(u->input_uncached), row->per_mega[PRICE_INPUT]);
    add(&micro, &rest, counted(u->output), row->per_mega[PRICE_OUTPUT]);
    add(&micro, &rest, counted(u->cache_read), row->per_mega[PRICE_READ]);
    add(&micro, &rest, counted(u->cache_write_5m), row->per_mega[PRICE_WRITE_5M]);
    add(&micro, &rest, counted(u->cache_write_1h), row->per_mega[PRICE_WRITE_1H]);
    return micro + (rest + MEGA / 2) / MEGA;
}
