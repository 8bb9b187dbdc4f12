/* SPDX-License-Identifier: Apache-2.0 */
/* cache/guard_code.c — tokens that look like code, kept letter by letter, and quoted strings. */
#include "cache/guard_inner.h"
#include "platform/rc.h"

/* Ends of runs around the place looked at, so that a long run is walked once. */
struct scan {
    const struct guard_text *g;
    unsigned run_end;    /* of \w */
    unsigned underscore; /* last one of the run with \w behind it; 0: none */
    unsigned small_end;  /* of [a-z] */
    unsigned path_end;   /* of [\w.-] */
    unsigned path_match; /* 0, or where a path that begins in that run ends */
};

static uint32_t at(const struct scan *s, unsigned i)
{
    return i < s->g->char_count ? s->g->chars[i] : 0;
}

static bool is_word(const struct scan *s, unsigned i)
{
    return i < s->g->char_count && (s->g->chars[i] == '_' || (s->g->kinds[i] & KIND_WORD));
}

static bool is_path(const struct scan *s, unsigned i) /* [\w.-] */
{
    return is_word(s, i) || at(s, i) == '.' || at(s, i) == '-';
}

static bool is_ascii_letter(uint32_t c)
{
    return guard_is_small(c) || guard_is_capital(c);
}

static unsigned word_run(const struct scan *s, unsigned i)
{
    while (is_word(s, i)) i++;
    return i;
}

static void look_around(struct scan *s, unsigned p)
{
    if (p >= s->run_end) {
        s->run_end = word_run(s, p);
        s->underscore = 0;
        for (unsigned i = p; i + 1 < s->run_end; i++)
            if (at(s, i) == '_') s->underscore = i;
    }
    if (p >= s->small_end)
        for (s->small_end = p; guard_is_small(at(s, s->small_end));) s->small_end++;
}

/* ---- the alternatives in their order; each returns where it ends, or 0 */

static unsigned match_call(const struct scan *s, unsigned p) /* [A-Za-z_][\w]*\(\) */
{
    bool start = is_ascii_letter(at(s, p)) || at(s, p) == '_';
    return start && at(s, s->run_end) == '(' && at(s, s->run_end + 1) == ')' ? s->run_end + 2 : 0;
}

static unsigned match_snake(const struct scan *s, unsigned p) /* [A-Za-z]\w*_\w+ */
{
    return is_ascii_letter(at(s, p)) && s->underscore > p ? s->run_end : 0;
}

static unsigned match_camel(const struct scan *s, unsigned p) /* [a-z]+[A-Z]\w* */
{
    return guard_is_small(at(s, p)) && guard_is_capital(at(s, s->small_end)) ? s->run_end : 0;
}

static unsigned match_scope(const struct scan *s, unsigned p) /* [A-Za-z]\w*::\w+ */
{
    unsigned e = s->run_end;
    if (!is_ascii_letter(at(s, p)) || at(s, e) != ':' || at(s, e + 1) != ':' || !is_word(s, e + 2)) return 0;
    return word_run(s, e + 2);
}

static unsigned match_member(const struct scan *s, unsigned p) /* [A-Za-z]\w*(?:\.[a-z]\w+)+(?![\w]) */
{
    unsigned e = s->run_end;
    if (!is_ascii_letter(at(s, p))) return 0;
    while (at(s, e) == '.' && guard_is_small(at(s, e + 1)) && is_word(s, e + 2)) e = word_run(s, e + 2);
    return e > s->run_end ? e : 0;
}

static unsigned match_plus(const struct scan *s, unsigned p) /* [A-Z]\+\+ */
{
    return guard_is_capital(at(s, p)) && at(s, p + 1) == '+' && at(s, p + 2) == '+' ? p + 3 : 0;
}

static unsigned match_sharp(const struct scan *s, unsigned p) /* [A-Za-z]# */
{
    return is_ascii_letter(at(s, p)) && at(s, p + 1) == '#' ? p + 2 : 0;
}

static unsigned match_suffix(const struct scan *s, unsigned p) /* \.[A-Z]{3}\b */
{
    if (at(s, p) != '.') return 0;
    for (unsigned i = 1; i <= 3; i++)
        if (!guard_is_capital(at(s, p + i))) return 0;
    return is_word(s, p + 4) ? 0 : p + 4;
}

static unsigned match_option(const struct scan *s, unsigned p) /* --[a-z][\w-]+ */
{
    unsigned e = p + 3;
    if (at(s, p) != '-' || at(s, p + 1) != '-' || !guard_is_small(at(s, p + 2))) return 0;
    while (is_word(s, e) || at(s, e) == '-') e++;
    return e > p + 3 ? e : 0;
}

static unsigned match_path(struct scan *s, unsigned p) /* [\w.-]*\/[\w./-]*\/[\w./-]* */
{
    if (!is_path(s, p) && at(s, p) != '/') return 0;
    if (p > s->path_end || s->path_end == 0) {
        bool second = false;
        for (s->path_end = p; is_path(s, s->path_end);) s->path_end++;
        unsigned e = s->path_end;
        if (at(s, e) == '/')
            for (e++; is_path(s, e) || at(s, e) == '/'; e++) second = second || at(s, e) == '/';
        s->path_match = second ? e : 0;
    }
    return s->path_match;
}

static unsigned match_hex(const struct scan *s, unsigned p) /* \b0x[0-9a-fA-F]+\b */
{
    unsigned e = p + 2;
    if (at(s, p) != '0' || at(s, p + 1) != 'x' || (p > 0 && is_word(s, p - 1))) return 0;
    while (at(s, e) - '0' < 10 || at(s, e) - 'a' < 6 || at(s, e) - 'A' < 6) e++;
    return e > p + 2 && !is_word(s, e) ? e : 0;
}

static unsigned match_tag(const struct scan *s, unsigned p) /* <[a-z/][^>]{0,40}> */
{
    if (at(s, p) != '<' || !(guard_is_small(at(s, p + 1)) || at(s, p + 1) == '/')) return 0;
    for (unsigned i = 0; i <= 40 && p + 2 + i < s->g->char_count; i++)
        if (at(s, p + 2 + i) == '>') return p + 3 + i;
    return 0;
}

static unsigned match_operator(const struct scan *s, unsigned p) /* [=!<>]=|&&|\|\||<…>|\[\]|\{\}|\(\) */
{
    uint32_t c = at(s, p), next = at(s, p + 1);
    if (next == '=' && (c == '=' || c == '!' || c == '<' || c == '>')) return p + 2;
    if (next == c && (c == '&' || c == '|')) return p + 2;
    if (c == '<') return match_tag(s, p);
    bool pair = (c == '[' && next == ']') || (c == '{' && next == '}') || (c == '(' && next == ')');
    return pair ? p + 2 : 0;
}

static unsigned match(struct scan *s, unsigned p)
{
    unsigned end = 0;
    if (is_word(s, p)) look_around(s, p);
    if (is_ascii_letter(at(s, p)) || at(s, p) == '_') {
        end = match_call(s, p);
        if (!end) end = match_snake(s, p);
        if (!end) end = match_camel(s, p);
        if (!end) end = match_scope(s, p);
        if (!end) end = match_member(s, p);
        if (!end) end = match_plus(s, p);
        if (!end) end = match_sharp(s, p);
    }
    if (!end) end = match_suffix(s, p);
    if (!end) end = match_option(s, p);
    if (!end) end = match_path(s, p);
    if (!end) end = match_hex(s, p);
    return end ? end : match_operator(s, p);
}

void guard_read_code(struct guard_text *g)
{
    struct scan s = {.g = g};
    for (unsigned p = 0; p < g->char_count;) {
        unsigned end = g->chars[p] == ' ' ? 0 : match(&s, p);
        if (end) guard_mark(g, &g->code, guard_hash(g->bytes, guard_encode(g->chars + p, end - p, g->bytes)));
        p = end ? end : p + 1;
    }
}

/* ---- quotations */

static bool is_space(const struct guard_text *g, unsigned i)
{
    return (g->kinds[i] & KIND_SPACE) != 0;
}

/* The closing mark of what opens at `p`: at most 200 characters on, in the same line; 0: none. */
static unsigned closing(const struct guard_text *g, unsigned p)
{
    for (unsigned i = p + 1; i < g->char_count && i <= p + 201; i++) {
        if (g->chars[i] == '\n') return 0;
        if (g->chars[i] == g->chars[p]) return i;
    }
    return 0;
}

/* (?=[\s.,;:?!)]|$) */
static bool ends_quote(const struct guard_text *g, unsigned i)
{
    return i == g->char_count || is_space(g, i) ||
           (g->chars[i] < 0x80 && g->chars[i] && strchr(".,;:?!)", (int)g->chars[i]));
}

/* "…", `…`, or '…' between blanks or marks; where it closes, 0: nothing opens at `p`. */
static unsigned quote_end(const struct guard_text *g, unsigned p)
{
    uint32_t c = g->chars[p];
    if (c != '"' && c != '`' && c != '\'') return 0;
    if (c == '\'' && p > 0 && !is_space(g, p - 1)) return 0;
    unsigned end = closing(g, p), least = c == '\'' ? 2 : 1;
    if (end == 0 || end - p - 1 < least) return 0;
    return c == '\'' && !ends_quote(g, end + 1) ? 0 : end;
}

static bool is_trailing(uint32_t c)
{
    return c == '.' || c == ',' || c == '?' || c == '!';
}

void guard_read_quoted(struct guard_text *g)
{
    for (unsigned p = 0; p < g->char_count; p++) {
        unsigned end = quote_end(g, p), from = p + 1, size;
        if (end == 0) continue;
        p = end;
        while (from < end && is_space(g, from)) from++;
        while (end > from && is_space(g, end - 1)) end--;
        if (guard_lower_case(g->chars + from, end - from, g->piece, GUARD_CHARS_MAX, &size) != RC_OK) continue;
        while (size > 0 && is_trailing(g->piece[size - 1])) size--;
        guard_mark(g, &g->quoted, guard_hash(g->bytes, guard_encode(g->piece, size, g->bytes)));
    }
}
