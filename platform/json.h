/* SPDX-License-Identifier: Apache-2.0 */
/* platform/json.h — read JSON text into a tree that lives in a fixed scratch (door of yyjson).
 *
 * Owner:   the tree lives in the caller's scratch; values are valid until the scratch is used again. Strings are spans
 *          into it. What is needed after a wait is copied out first.
 * Threads: one at a time a scratch; no global state.
 * Fails:   RC_INVALID (json_error says where and what), RC_TOO_LARGE when the scratch is too small, or nesting is
 *          deeper than the bound.
 * Numbers: kept as text (json_number_text), since identity compares them so; converted only on request.
 */
#ifndef PLATFORM_JSON_H
#define PLATFORM_JSON_H

#include "platform/span.h"

enum {
    JSON_DEPTH_MAX = 128,     /* deeper input is refused: no client nests that far, and walkers may recurse */
    JSON_SCRATCH_FACTOR = 13, /* scratch bytes per input byte at worst ("[[1,1,…"), plus JSON_SCRATCH_EXTRA */
    JSON_SCRATCH_EXTRA = 4096,
};

enum json_kind { JSON_NONE, JSON_NULL, JSON_FALSE, JSON_TRUE, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

struct json_value; /* NULL is a value of kind JSON_NONE everywhere below */

struct json_scratch {
    void *memory;
    size_t capacity;
};

struct json_error {
    size_t offset;
    const char *message; /* static text */
};

int json_parse(struct json_scratch *scratch, struct span text, const struct json_value **root,
               struct json_error *error);

enum json_kind json_kind(const struct json_value *v);
struct span json_string(const struct json_value *v);      /* decoded bytes; empty for other kinds */
struct span json_number_text(const struct json_value *v); /* as written */
int json_i64(const struct json_value *v, int64_t *out);   /* RC_INVALID unless an integer in range */
int json_double(const struct json_value *v, double *out);
bool json_is_true(const struct json_value *v);
size_t json_count(const struct json_value *v); /* elements or members */

const struct json_value *json_get(const struct json_value *object, const char *name); /* first of that name, or NULL */
const struct json_value *json_at(const struct json_value *array, size_t index);       /* O(index) */

/* for (struct json_walk w = json_walk(v); json_next(&w);) … w.name (objects) and w.value */
struct json_walk {
    struct span name;
    const struct json_value *value;
    const void *cursor;
    size_t left;
    bool object;
};
struct json_walk json_walk(const struct json_value *container);
bool json_next(struct json_walk *walk);

/* Whether any object in the tree has two members of one name. O(n log n) at worst, memory from `spare` (the rest of the
 * scratch): RC_OK none, RC_EXISTS some, RC_TOO_LARGE no room to tell. */
int json_find_duplicate(struct json_scratch *spare, const struct json_value *root);

/* Bytes of the scratch the newest tree uses; `json_spare` is what is left behind it. */
struct json_scratch json_spare(const struct json_scratch *scratch, const struct json_value *root);

struct text;
/* Appends the value as compact JSON: members in order, numbers as written, strings escaped minimally. */
void json_write(struct text *out, const struct json_value *v);

#endif
