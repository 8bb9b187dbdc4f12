/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/mask.c — patterns as a bit-parallel automaton: one bit a step, 64 at most, no backtracking.
 *
 * After Baeza-Yates and Gonnet, "A new approach to text searching" (1992); optional and repeated steps after Navarro and
 * Raffinot, "Flexible pattern matching in strings" (2002), chapter 4.
 */
#include "app/gateway/mask.h"

#include <stdio.h>

#include "platform/rc.h"

enum { NESTING_MAX = 3 }; /* {datetime} names {date} */

#define TEXT(literal)                  \
    {                                  \
        (literal), sizeof(literal) - 1 \
    }

static const struct {
    struct span name, pattern;
} shortcuts[] = {
    {TEXT("date"), TEXT("\\d{4}[-/.]\\d{1,2}[-/.]\\d{1,2}")},
    {TEXT("time"), TEXT("\\d{1,2}:\\d\\d:?\\d{0,2}[.]?\\d{0,9}Z?[-+]?\\d{0,2}:?\\d{0,2}")},
    {TEXT("datetime"), TEXT("{date}[T ]{time}")},
    {TEXT("uuid"), TEXT("\\x{8}-\\x{4}-\\x{4}-\\x{4}-\\x{12}")},
    {TEXT("hex"), TEXT("\\x{7}\\x+")},
    {TEXT("number"), TEXT("[-+]?\\d[\\d.,]*")},
    {TEXT("weekday"), TEXT("[MTWFS][a-z]{2,5}day")},
    {TEXT("month"), TEXT("[JFMASOND][a-z]{2,8}")},
};

/* A set of bytes, as 256 bits. */
struct bytes {
    uint64_t words[4];
};

struct compiler {
    uint64_t *accepts; /* as in struct mask; NULL: only checking */
    uint64_t loops, skips;
    unsigned steps;
    struct span text;
    size_t at;
    char *error;
};

static void bytes_add(struct bytes *set, unsigned from, unsigned to)
{
    for (unsigned c = from; c <= to; c++) set->words[c >> 6] |= UINT64_C(1) << (c & 63);
}

static int fail(struct compiler *c, const char *what)
{
    snprintf(c->error, MASK_ERROR_MAX, "%s at byte %zu of the mask", what, c->at);
    return RC_INVALID;
}

static bool add_class(struct bytes *set, char letter)
{
    switch (letter) {
    case 'd': bytes_add(set, '0', '9'); return true;
    case 'x':
        bytes_add(set, '0', '9');
        bytes_add(set, 'a', 'f');
        bytes_add(set, 'A', 'F');
        return true;
    case 'w':
        bytes_add(set, '0', '9');
        bytes_add(set, 'a', 'z');
        bytes_add(set, 'A', 'Z');
        bytes_add(set, '_', '_');
        return true;
    case 's':
        bytes_add(set, '\t', '\r');
        bytes_add(set, ' ', ' ');
        return true;
    default: return false;
    }
}

/* Behind a backslash. A letter or digit that names no class is an error, so that later classes break nobody. */
static int read_escape(struct compiler *c, struct bytes *set)
{
    if (c->at == c->text.size) return fail(c, "nothing follows the backslash");
    unsigned char letter = (unsigned char)c->text.data[c->at];
    bool alphanumeric = (letter >= '0' && letter <= '9') || (letter >= 'a' && letter <= 'z') ||
                        (letter >= 'A' && letter <= 'Z');
    if (!add_class(set, (char)letter)) {
        if (alphanumeric) return fail(c, "unknown class (there are \\d \\x \\w \\s)");
        bytes_add(set, letter, letter);
    }
    c->at++;
    return RC_OK;
}

static int read_range(struct compiler *c, struct bytes *set)
{
    unsigned char low = (unsigned char)c->text.data[c->at++], high = low;
    if (low == '\\') return read_escape(c, set);
    bool range = c->at + 1 < c->text.size && c->text.data[c->at] == '-' && c->text.data[c->at + 1] != ']';
    if (range) {
        high = (unsigned char)c->text.data[c->at + 1];
        if (high < low) return fail(c, "the range ends before it begins");
        c->at += 2;
    }
    bytes_add(set, low, high);
    return RC_OK;
}

static int read_bracket(struct compiler *c, struct bytes *set)
{
    size_t opened = c->at;
    while (c->at < c->text.size && c->text.data[c->at] != ']') {
        int rc = read_range(c, set);
        if (rc != RC_OK) return rc;
    }
    if (c->at == c->text.size) return fail(c, "the bracket is not closed");
    if (c->at == opened) return fail(c, "the bracket is empty");
    c->at++;
    return RC_OK;
}

static int read_step(struct compiler *c, struct bytes *set)
{
    char first = c->text.data[c->at++];
    switch (first) {
    case '\\': return read_escape(c, set);
    case '[': return read_bracket(c, set);
    case '.':
        bytes_add(set, 0, '\n' - 1);
        bytes_add(set, '\n' + 1, 255);
        return RC_OK;
    case '?':
    case '+':
    case '*':
    case '}':
    case ']': c->at--; return fail(c, "nothing to repeat, or a backslash is missing");
    default: bytes_add(set, (unsigned char)first, (unsigned char)first); return RC_OK;
    }
}

static bool read_number(struct compiler *c, unsigned *number)
{
    size_t from = c->at;
    *number = 0;
    for (; c->at < c->text.size && c->text.data[c->at] >= '0' && c->text.data[c->at] <= '9'; c->at++)
        if (*number <= MASK_STEPS_MAX) *number = *number * 10 + (unsigned)(c->text.data[c->at] - '0');
    return c->at > from;
}

static bool read_counts(struct compiler *c, unsigned *low, unsigned *high)
{
    c->at++;
    if (!read_number(c, low)) return false;
    *high = *low;
    if (c->at < c->text.size && c->text.data[c->at] == ',') {
        c->at++;
        if (!read_number(c, high)) return false;
    }
    return c->at < c->text.size && c->text.data[c->at++] == '}' && *low <= *high && *high > 0;
}

/* How often: `low` steps that must be taken, up to `high` in all, the last of them again and again when `loop`. */
static int read_repeat(struct compiler *c, unsigned *low, unsigned *high, bool *loop)
{
    char sign = c->at < c->text.size ? c->text.data[c->at] : 0;
    bool digit = sign == '{' && c->at + 1 < c->text.size && c->text.data[c->at + 1] >= '0' &&
                 c->text.data[c->at + 1] <= '9';
    *low = *high = 1;
    *loop = sign == '+' || sign == '*';
    if (sign == '?' || sign == '*') *low = 0;
    if (sign == '?' || sign == '*' || sign == '+') c->at++;
    if (digit && !read_counts(c, low, high)) return fail(c, "bad count (write {n} or {n,m})");
    return RC_OK;
}

static int add_steps(struct compiler *c, const struct bytes *set, unsigned low, unsigned high, bool loop)
{
    if (high > MASK_STEPS_MAX - c->steps) return fail(c, "more than 64 steps");
    uint64_t bits = (high == 64 ? UINT64_MAX : (UINT64_C(1) << high) - 1) << c->steps;
    uint64_t needed = low == 0 ? 0 : (low == 64 ? UINT64_MAX : (UINT64_C(1) << low) - 1) << c->steps;
    c->steps += high;
    c->skips |= bits & ~needed;
    if (loop) c->loops |= bits;
    for (unsigned word = 0; c->accepts && word < 4; word++)
        for (uint64_t left = set->words[word]; left; left &= left - 1)
            c->accepts[64 * word + (unsigned)__builtin_ctzll(left)] |= bits;
    return RC_OK;
}

static int compile(struct compiler *c, unsigned nesting);

/* At a brace that does not count: a shortcut by name. */
static int compile_shortcut(struct compiler *c, unsigned nesting)
{
    struct span rest = span_of(c->text.data + c->at + 1, c->text.size - c->at - 1), name;
    (void)span_cut(rest, '}', &name);
    for (size_t i = 0; i < sizeof shortcuts / sizeof *shortcuts; i++) {
        if (!span_equal(shortcuts[i].name, name) || name.size == rest.size) continue;
        struct span outer = c->text;
        size_t behind = c->at + name.size + 2;
        c->text = shortcuts[i].pattern;
        c->at = 0;
        int rc = compile(c, nesting + 1);
        c->text = outer;
        c->at = behind;
        return rc;
    }
    return fail(c, "unknown shortcut (date time datetime uuid hex number weekday month)");
}

static int compile(struct compiler *c, unsigned nesting)
{
    if (nesting > NESTING_MAX) return fail(c, "nested too deeply");
    while (c->at < c->text.size) {
        struct bytes set = {{0}};
        unsigned low, high;
        bool loop;
        int rc;
        if (c->text.data[c->at] == '{') {
            rc = compile_shortcut(c, nesting);
        } else {
            rc = read_step(c, &set);
            if (rc == RC_OK) rc = read_repeat(c, &low, &high, &loop);
            if (rc == RC_OK) rc = add_steps(c, &set, low, high, loop);
        }
        if (rc != RC_OK) return rc;
    }
    return RC_OK;
}

/* Adds the steps that may be next without taking a byte: behind those that may be left out. */
static uint64_t with_skips(uint64_t skips, uint64_t next)
{
    for (uint64_t more; (more = (next & skips) << 1 & ~next) != 0;) next |= more;
    return next;
}

static int compile_whole(struct compiler *c)
{
    c->error[0] = '\0';
    int rc = compile(c, 0);
    if (rc != RC_OK) return rc;
    uint64_t all = c->steps == 64 ? UINT64_MAX : (UINT64_C(1) << c->steps) - 1;
    if (c->skips != all) return RC_OK;
    snprintf(c->error, MASK_ERROR_MAX, "the mask would match the empty text");
    return RC_INVALID;
}

int mask_compile(struct span pattern, struct mask *mask, char error[MASK_ERROR_MAX])
{
    memset(mask, 0, sizeof *mask);
    struct compiler c = {.accepts = mask->accepts, .text = pattern, .error = error};
    int rc = compile_whole(&c);
    if (rc != RC_OK) return rc;
    uint64_t bit = UINT64_C(1) << (c.steps - 1);
    mask->loops = c.loops;
    mask->skips = c.skips;
    mask->first = with_skips(c.skips, 1);
    for (mask->last = bit; c.skips & bit; mask->last |= bit) bit >>= 1;
    mask->leading_loop = (c.loops & 1) != 0 && (c.skips & 1) == 0;
    return RC_OK;
}

int mask_check(struct span pattern, char error[MASK_ERROR_MAX])
{
    struct compiler c = {.text = pattern, .error = error};
    return compile_whole(&c);
}

/* The longest match that begins right here; 0: none. */
static size_t match_here(const struct mask *mask, struct span text, size_t at)
{
    size_t longest = 0, limit = text.size - at < MASK_MATCH_MAX ? text.size - at : MASK_MATCH_MAX;
    uint64_t next = mask->first;
    for (size_t i = 0; i < limit; i++) {
        uint64_t taken = next & mask->accepts[(unsigned char)text.data[at + i]];
        if (taken == 0) break;
        if (taken & mask->last) longest = i + 1;
        next = with_skips(mask->skips, (taken << 1) | (taken & mask->loops));
    }
    return longest;
}

static size_t match_unless_inside(const struct mask *mask, struct span text, size_t from, size_t at)
{
    const char *data = text.data + at;
    if (mask->leading_loop && at > from && (mask->accepts[(unsigned char)data[-1]] & 1)) return 0;
    return match_here(mask, text, at);
}

bool mask_find(const void *context, struct span text, size_t from, size_t *start, size_t *end)
{
    const struct mask_set *set = context;
    for (size_t at = from; at < text.size; at++) {
        size_t longest = 0;
        for (unsigned i = 0; i < set->count; i++) {
            size_t size = match_unless_inside(&set->masks[i], text, from, at);
            if (size > longest) longest = size;
        }
        if (longest == 0) continue;
        *start = at;
        *end = at + longest;
        return true;
    }
    return false;
}
