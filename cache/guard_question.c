/* SPDX-License-Identifier: Apache-2.0 */
/* cache/guard_question.c — whether a text denies, and what it asks for. */
#include "cache/guard_inner.h"

/* \btext\b at `p`, when only the first `limit` characters count. */
static bool stands_at(const struct guard_text *g, unsigned p, unsigned limit, const char *text, size_t size)
{
    if (size > limit - p) return false;
    for (size_t i = 0; i < size; i++)
        if (g->lower[p + i] != (uint32_t)text[i]) return false;
    return p + size == limit || !guard_is_word(g->lower[p + size]);
}

static bool border(const struct guard_text *g, unsigned p)
{
    return p == 0 || !guard_is_word(g->lower[p - 1]);
}

/* \b(or not|why not|if not)\b */
static bool is_mild(const struct guard_text *g)
{
    static const struct span forms[] = {SPAN_ROW("or not"), SPAN_ROW("why not"), SPAN_ROW("if not")};
    for (unsigned p = 0; p < g->lower_count; p++) {
        if (!border(g, p)) continue;
        for (size_t f = 0; f < sizeof forms / sizeof forms[0]; f++)
            if (stands_at(g, p, g->lower_count, forms[f].data, forms[f].size)) return true;
    }
    return false;
}

void guard_read_negation(struct guard_text *g)
{
    unsigned count = 0;
    for (unsigned i = 0; i < g->word_count; i++) count += (guard_flags(&g->words[i]) & ROW_NEGATION) != 0;
    g->negated = count > 1 || (count == 1 && !is_mild(g));
}

/* \bwhat (year|time|date|day)\b */
static bool asks_when(const struct guard_text *g, unsigned p, unsigned limit)
{
    static const struct span forms[] = {SPAN_ROW("what year"), SPAN_ROW("what time"), SPAN_ROW("what date"),
                                        SPAN_ROW("what day")};
    for (size_t f = 0; f < sizeof forms / sizeof forms[0]; f++)
        if (stands_at(g, p, limit, forms[f].data, forms[f].size)) return true;
    return false;
}

void guard_read_question(struct guard_text *g)
{
    unsigned limit = g->lower_count < GUARD_QUESTION_CHARS ? g->lower_count : GUARD_QUESTION_CHARS;
    unsigned best = guard_questions_count;
    bool when = false;
    for (unsigned p = 0; p < limit; p++) {
        if ((g->lower[p] != 'w' && g->lower[p] != 'h') || !border(g, p)) continue;
        for (unsigned q = 0; q < best; q++) {
            const char *text = guard_questions[q].text;
            if (stands_at(g, p, limit, text, strnlen(text, GUARD_ROW_TEXT))) best = q;
        }
        when = when || asks_when(g, p, limit);
    }
    if (best == guard_question_what && when) best = guard_question_when;
    if (best == guard_question_whose) best = guard_question_who;
    g->question = best < guard_questions_count ? (uint8_t)best : GUARD_NO_QUESTION;
}
