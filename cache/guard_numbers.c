/* SPDX-License-Identifier: Apache-2.0 */
/* cache/guard_numbers.c — numbers in digits and in words, the units behind them, ordinals. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "cache/guard_inner.h"

enum {
    EXACT_DIGITS = 15,    /* an integer of so many digits is exact in a double */
    INTEGER_DIGITS = 310, /* more are infinite */
    FRACTION_DIGITS = 400,
    NUMBER_TEXT = 400, /* the largest double has 309 digits before the point */
};

/* ---- values: equal when they print alike with six decimals */

static uint64_t number_hash(double value)
{
    char text[NUMBER_TEXT];
    int size = snprintf(text, sizeof text, "%.6f", value);
    while (size > 0 && text[size - 1] == '0') size--; /* there is a point before the last zero */
    if (size > 0 && text[size - 1] == '.') size--;
    return guard_hash(text, (size_t)size);
}

static uint64_t integer_hash(uint64_t value)
{
    char text[24];
    size_t at = sizeof text;
    do {
        text[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    return guard_hash(text + at, sizeof text - at);
}

static uint64_t value_hash(double value)
{
    return value < 1e15 && value == floor(value) ? integer_hash((uint64_t)value) : number_hash(value);
}

static void add(struct guard_text *g, double value)
{
    guard_mark(g, &g->numbers, value_hash(value));
}

static void add_unit(struct guard_text *g, const struct guard_row *row)
{
    if (row && row->unit) guard_mark(g, &g->units, row->unit);
}

/* ---- numbers in digits */

static bool is_digit(const struct guard_text *g, unsigned i)
{
    if (i >= g->lower_count) return false;
    uint32_t c = g->lower[i];
    return c < 0x80 ? c - '0' < 10 : (guard_kind_of(c) & KIND_DECIMAL) != 0;
}

static unsigned digits_end(const struct guard_text *g, unsigned i)
{
    while (is_digit(g, i)) i++;
    return i;
}

/* A comma and exactly `count` digits, or more. */
static bool is_group(const struct guard_text *g, unsigned i, unsigned count)
{
    if (i >= g->lower_count || g->lower[i] != ',') return false;
    for (unsigned k = 1; k <= count; k++)
        if (!is_digit(g, i + k)) return false;
    return true;
}

/* \d{1,3}(?:,\d{3})+|\d{1,2}(?:,\d{2})+,\d{3}|\d+ */
static unsigned integer_end(const struct guard_text *g, unsigned from)
{
    unsigned end = digits_end(g, from), i = end, pairs = 0;
    if (end - from <= 3 && is_group(g, end, 3)) {
        while (is_group(g, i, 3)) i += 4;
        return i;
    }
    if (end - from > 2) return end;
    while (is_group(g, end + 3 * pairs, 2)) pairs++;
    for (; pairs > 0; pairs--)
        if (is_group(g, end + 3 * pairs, 3)) return end + 3 * pairs + 4;
    return end;
}

/* Takes the digits of [from, to) as ASCII; commas are left out, leading zeros too when `lead`. */
static size_t take_digits(const struct guard_text *g, unsigned from, unsigned to, bool lead, char *out, size_t max)
{
    size_t size = 0;
    for (unsigned i = from; i < to && size < max; i++) {
        if (g->lower[i] == ',') continue;
        unsigned digit = guard_decimal(g->lower[i]);
        if (lead && size == 0 && digit == 0) continue;
        out[size++] = (char)('0' + digit);
    }
    return size;
}

/* Digits of [from, end), and those of a fraction behind a point up to `point_end` (0: none). */
static double value_of(const struct guard_text *g, unsigned from, unsigned end, unsigned point_end)
{
    char text[INTEGER_DIGITS + FRACTION_DIGITS + 2];
    size_t size = take_digits(g, from, end, true, text, INTEGER_DIGITS);
    if (size == INTEGER_DIGITS) return (double)INFINITY;
    if (point_end == 0 && size <= EXACT_DIGITS) {
        uint64_t value = 0;
        for (size_t i = 0; i < size; i++) value = value * 10 + (uint64_t)(text[i] - '0');
        return (double)value;
    }
    if (size == 0) text[size++] = '0';
    if (point_end) {
        text[size++] = '.';
        size += take_digits(g, end + 1, point_end, false, text + size, FRACTION_DIGITS);
    }
    text[size] = '\0';
    return strtod(text, NULL);
}

struct figure {
    double value;
    bool gap; /* a blank before the suffix */
    char suffix[GUARD_ROW_TEXT + 1];
    size_t suffix_size; /* more than GUARD_ROW_TEXT: no listed word */
};

/* The match of NUMBER at `p`, its sign already passed; where it ends. */
static unsigned read_figure(const struct guard_text *g, unsigned p, struct figure *figure)
{
    unsigned end = integer_end(g, p), point_end = 0, i = end;
    if (i < g->lower_count && g->lower[i] == '.' && is_digit(g, i + 1)) i = point_end = digits_end(g, i + 1);
    figure->value = value_of(g, p, end, point_end);
    figure->gap = i < g->lower_count && (guard_kind_of(g->lower[i]) & KIND_SPACE);
    figure->suffix_size = 0;
    for (i += figure->gap; i < g->lower_count && (guard_is_small(g->lower[i]) || g->lower[i] == '%'); i++)
        if (figure->suffix_size <= GUARD_ROW_TEXT) figure->suffix[figure->suffix_size++] = (char)g->lower[i];
    return i;
}

static bool suffix_is(const struct figure *figure, const char *text)
{
    return figure->suffix_size == strlen(text) && memcmp(figure->suffix, text, figure->suffix_size) == 0;
}

static bool is_scale(const struct figure *figure, bool dollars)
{
    if (figure->gap) return false;
    if (suffix_is(figure, "k") || suffix_is(figure, "bn") || suffix_is(figure, "mn")) return true;
    return dollars && (suffix_is(figure, "m") || suffix_is(figure, "b"));
}

static void take_figure(struct guard_text *g, const struct figure *figure, bool dollars)
{
    unsigned at = guard_find(guard_rows, guard_rows_count, sizeof guard_rows[0], figure->suffix, figure->suffix_size);
    const struct guard_row *row = at < guard_rows_count ? &guard_rows[at] : NULL;
    double value = figure->value;
    if (is_scale(figure, dollars) || (row && (row->flags & ROW_SCALE) && figure->suffix_size > 2))
        value *= row ? row->value : 1;
    else
        add_unit(g, row);
    bool ordinal = suffix_is(figure, "st") || suffix_is(figure, "nd") || suffix_is(figure, "rd") ||
                   suffix_is(figure, "th");
    if (!figure->gap && ordinal)
        guard_mark(g, &g->ordinals, value_hash(trunc(value)));
    else
        add(g, value);
}

/* (?<![a-z0-9_.]) */
static bool may_begin(const struct guard_text *g, unsigned p)
{
    uint32_t c = p > 0 ? g->lower[p - 1] : ' ';
    return !(guard_is_small(c) || c - '0' < 10 || c == '_' || c == '.');
}

static void read_figures(struct guard_text *g)
{
    bool dollars = false;
    for (unsigned i = 0; i < g->lower_count; i++) dollars = dollars || g->lower[i] == '$';
    for (unsigned p = 0; p < g->lower_count;) {
        bool sign = (g->lower[p] == '-' || g->lower[p] == '+') && is_digit(g, p + 1);
        struct figure figure;
        if ((!sign && !is_digit(g, p)) || !may_begin(g, p)) {
            p++;
            continue;
        }
        p = read_figure(g, p + sign, &figure);
        take_figure(g, &figure, dollars);
    }
}

/* ---- numbers in words */

static const struct guard_row *row_at(const struct guard_text *g, unsigned i)
{
    return i < g->word_count && g->words[i].row ? &guard_rows[g->words[i].row - 1] : NULL;
}

static unsigned flags_at(const struct guard_text *g, unsigned i)
{
    const struct guard_row *row = row_at(g, i);
    return row ? row->flags : 0;
}

/* "and" in "two hundred and five" */
static bool joins(const struct guard_text *g, unsigned from, unsigned k)
{
    if (!(flags_at(g, k) & ROW_AND) || k == from || !(flags_at(g, k + 1) & (ROW_ONES | ROW_TENS))) return false;
    const struct guard_row *before = row_at(g, k - 1);
    return before && (before->flags & ROW_BIG) && (before->value == 100 || before->value == 1000);
}

/* The number whose first word is `from`; where it ends. */
static unsigned compose(const struct guard_text *g, unsigned from, double *value)
{
    double total = 0, current = 0;
    unsigned k = from;
    for (; k < g->word_count; k++) {
        const struct guard_row *row = row_at(g, k);
        unsigned flags = row ? row->flags : 0;
        if (flags & (ROW_ONES | ROW_TENS)) {
            current += row->value;
        } else if ((flags & ROW_BIG) && row->value == 100) {
            current = fmax(current, 1) * 100;
        } else if (flags & ROW_BIG) {
            total += fmax(current, 1) * row->value;
            current = 0;
        } else if (!joins(g, from, k)) {
            break;
        }
    }
    *value = total + current;
    return k;
}

static unsigned read_number_words(struct guard_text *g, unsigned i)
{
    double value;
    const struct guard_row *first = row_at(g, i);
    unsigned end = compose(g, i, &value);
    const struct guard_row *after = row_at(g, end);
    bool unit = after && after->unit;
    bool pronoun = (first->flags & ROW_ONES) && first->value == 1 && end == i + 1 && !unit; /* a lone "one" */
    if (!pronoun) add(g, value);
    if (unit) add_unit(g, after);
    return end;
}

static void read_words(struct guard_text *g)
{
    for (unsigned i = 0; i < g->word_count;) {
        unsigned flags = flags_at(g, i);
        bool scaled = i > 0 && (g->words[i - 1].flags & WORD_DIGITS); /* "5 million" was read with its digits */
        if ((flags & (ROW_ONES | ROW_TENS)) || ((flags & ROW_BIG) && !scaled)) {
            i = read_number_words(g, i);
            continue;
        }
        if (flags & ROW_ORDINAL) guard_mark(g, &g->ordinals, value_hash(row_at(g, i)->value));
        if (g->words[i].roman && i > 0 && (flags_at(g, i - 1) & ROW_ROMAN_AFTER)) add(g, g->words[i].roman);
        i++;
    }
}

static void read_currencies(struct guard_text *g)
{
    for (unsigned i = 0; i < g->lower_count; i++) {
        uint32_t c = g->lower[i];
        if (c != '$' && c != 0x20AC && c != 0xA3 && c != 0x20B9 && c != 0xA5) continue;
        size_t size = guard_encode(&c, 1, g->bytes);
        unsigned at = guard_find(guard_rows, guard_rows_count, sizeof guard_rows[0], g->bytes, size);
        if (at < guard_rows_count) add_unit(g, &guard_rows[at]);
    }
}

void guard_read_numbers(struct guard_text *g)
{
    read_figures(g);
    read_words(g);
    read_currencies(g);
}
