/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/question_usage.c — asks for the usage chunk by a splice into the text, so that no other byte moves.
 *
 * Works on JSON that question_read has accepted; on anything else it only promises not to leave the body.
 */
#include "app/gateway/dialect.h"
#include "platform/rc.h"

static size_t skip_blanks(struct span s, size_t at)
{
    while (at < s.size && (s.data[at] == ' ' || (s.data[at] >= '\t' && s.data[at] <= '\r'))) at++;
    return at;
}

/* At a quote: behind the closing one. */
static size_t skip_string(struct span s, size_t at)
{
    for (at++; at < s.size && s.data[at] != '"'; at++)
        if (s.data[at] == '\\') at++;
    return at < s.size ? at + 1 : s.size;
}

/* Behind a value, by its brackets and strings alone. */
static size_t skip_value(struct span s, size_t at)
{
    size_t depth = 0;
    while (at < s.size) {
        char c = s.data[at];
        if (depth == 0 && (c == ',' || c == '}' || c == ']')) break;
        if (c == '"') {
            at = skip_string(s, at);
            continue;
        }
        if (c == '{' || c == '[') depth++;
        if (c == '}' || c == ']') depth--;
        at++;
    }
    return at;
}

/* The text of a member's value in the text of an object; empty when it is not there. */
static struct span member_text(struct span object, struct span quoted_name)
{
    size_t at = skip_blanks(object, 0) + 1;
    while ((at = skip_blanks(object, at)) < object.size && object.data[at] == '"') {
        size_t name = at, behind = skip_string(object, at);
        at = skip_blanks(object, behind);
        if (at < object.size) at = skip_blanks(object, at + 1); /* the colon */
        size_t end = skip_value(object, at);
        if (span_equal(span_of(object.data + name, behind - name), quoted_name))
            return span_of(object.data + at, end - at);
        at = end < object.size ? end + 1 : end; /* the comma */
    }
    return span_of(NULL, 0);
}

/* The body with `insert` in place of the `replace` bytes at `at`. */
static int splice(struct span body, size_t at, size_t replace, struct span insert, struct arena *arena,
                  struct span *spliced)
{
    size_t size = body.size - replace + insert.size;
    char *bytes = arena_take(arena, size, 1);
    if (!bytes) return RC_FULL;
    memcpy(bytes, body.data, at);
    memcpy(bytes + at, insert.data, insert.size);
    memcpy(bytes + at + insert.size, body.data + at + replace, body.size - at - replace);
    *spliced = span_of(bytes, size);
    return RC_OK;
}

/* Behind the brace that opens `object`, a span inside the body. */
static int splice_first_member(struct span body, struct span object, struct span with_comma, struct arena *arena,
                               struct span *spliced)
{
    size_t brace = skip_blanks(object, 0), next = skip_blanks(object, brace + 1);
    bool empty = next >= object.size || object.data[next] == '}';
    size_t at = (size_t)(object.data - body.data) + brace + 1;
    struct span insert = span_of(with_comma.data, with_comma.size - empty);
    return splice(body, at, 0, insert, arena, spliced);
}

static int splice_value(struct span body, struct span old, struct span value, struct arena *arena, struct span *spliced)
{
    while (old.size > 0 && (unsigned char)old.data[old.size - 1] <= ' ') old.size--;
    return splice(body, (size_t)(old.data - body.data), old.size, value, arena, spliced);
}

int question_add_usage(struct span body, struct json_scratch *scratch, struct arena *arena, struct span *spliced)
{
    const struct json_value *parsed;
    size_t brace = skip_blanks(body, 0);
    if (brace == body.size || body.data[brace] != '{') return RC_INVALID;
    struct span options = member_text(body, SPAN("\"stream_options\""));
    if (options.size == 0)
        return splice_first_member(body, body, SPAN("\"stream_options\":{\"include_usage\":true},"), arena, spliced);
    if (json_parse(scratch, options, &parsed, NULL) != RC_OK) return RC_INVALID;
    if (json_kind(parsed) == JSON_NULL)
        return splice_value(body, options, SPAN("{\"include_usage\":true}"), arena, spliced);
    if (json_kind(parsed) != JSON_OBJECT) return RC_INVALID;

    struct span asked = member_text(options, SPAN("\"include_usage\""));
    *spliced = body;
    if (json_is_true(json_get(parsed, "include_usage"))) return RC_OK;
    if (asked.size > 0) return splice_value(body, asked, SPAN("true"), arena, spliced);
    return splice_first_member(body, options, SPAN("\"include_usage\":true,"), arena, spliced);
}
