/* SPDX-License-Identifier: Apache-2.0 */
/* platform/span.h — a view of bytes somebody else owns; not terminated.
 *
 * Owner:   nobody here; a span is valid as long as the bytes under it.
 * Threads: any; pure functions.
 */
#ifndef PLATFORM_SPAN_H
#define PLATFORM_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct span {
    const char *data;
    size_t size;
};

#define SPAN(literal) ((struct span){(literal), sizeof(literal) - 1})
#define SPAN_ROW(literal)              \
    {                                  \
        (literal), sizeof(literal) - 1 \
    }                                       /* in a table of spans */
#define SPAN_ARG(s) (int)(s).size, (s).data /* for "%.*s" */

static inline struct span span_of(const char *data, size_t size)
{
    return (struct span){data, size};
}

static inline struct span span_text(const char *text)
{
    return (struct span){text, text ? strlen(text) : 0};
}

static inline bool span_equal(struct span a, struct span b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

bool span_equal_nocase(struct span a, struct span b); /* ASCII letters only */
bool span_starts_with(struct span s, struct span prefix);
bool span_ends_with(struct span s, struct span suffix);
bool span_contains(struct span haystack, struct span needle);
struct span span_trim(struct span s); /* SP and HTAB at both ends */
/* Cuts at the first `separator`: *head gets what is before it, the rest is returned (empty when there was none). */
struct span span_cut(struct span s, char separator, struct span *head);
/* Decimal digits only, the whole span. RC_INVALID when empty, not a number or above `max`. */
int span_to_u64(struct span s, uint64_t max, uint64_t *value);
/* `pattern` with '*' (any run) and '?' (any one byte), the whole of `s`. O(|pattern| x |s|) at worst. */
bool span_glob(struct span pattern, struct span s);

#endif
