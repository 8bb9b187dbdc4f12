/* SPDX-License-Identifier: Apache-2.0 */
/* cache/canonical.h — identity of a request: SHA-256 over a lossless canonical form of its JSON.
 *
 * White space goes; members are sorted only in objects that the dialect's table knows (envelope, message, content part);
 * elsewhere (schemas, tool parameters, arguments, unknown fields) order counts, since it changes answers; numbers count
 * as their text; strings as their decoded bytes, untouched. Every value is written with a type tag and a length, so
 * that no two different trees give the same bytes. The table also names the fields that do not count.
 *
 * Form:    null n, true t, false f, number 0 SIZE bytes, string " SIZE bytes, array [ COUNT elements, object { COUNT
 *          (SIZE name, value) …; SIZE and COUNT are base-128, low groups first. A masked string is M, then pieces
 *          (p SIZE bytes) and marks (m) in turn, then e.
 * Owner:   pure; tables are the caller's (app/gateway/dialect_*.c). Member lists lie in the caller's arena.
 * Threads: any.
 * Fails:   nothing in between; canonical_finish says whether the arena was large enough all the way.
 */
#ifndef CACHE_CANONICAL_H
#define CACHE_CANONICAL_H

#include "cache/cache.h"
#include "platform/crypto.h"
#include "platform/hash.h"
#include "platform/json.h"

enum request_part {
    PART_ROUTE, /* scope: tenant, endpoint, headers that count, namespace */
    PART_MODEL,
    PART_SYSTEM,
    PART_TOOLS,
    PART_PARAMETERS, /* every other field that counts */
    PART_HISTORY,    /* every message besides system ones and the last user message */
    PART_QUERY,      /* the last user message */
    PARTS,
};

struct request_parts {
    uint64_t digest[PARTS]; /* a keyed hash of each part (platform/hash.h); they never leave the box */
};

/* ---- tables */

enum canonical_flags {
    CANONICAL_IGNORED = 1, /* does not count */
    CANONICAL_TEXT = 2,    /* prose: a mask may apply where its part is the system prompt */
    CANONICAL_QUERY = 4,   /* where its part is the query: the question itself, when it is a string */
};

struct canonical_shape;

struct canonical_field {
    const char *name;
    unsigned char name_size;
    unsigned char flags;                 /* enum canonical_flags */
    unsigned char part;                  /* enum request_part, for fields of the envelope */
    unsigned char note;                  /* the caller's own */
    const struct canonical_shape *shape; /* of the value, or of its elements when it is an array; NULL: order counts */
};

#define CANONICAL_NAME(literal) (literal), sizeof(literal) - 1

struct canonical_shape {
    const struct canonical_field *fields;
    unsigned count;
    bool ordered; /* members keep their order, and only the flags of the fields are used */
};

struct canonical_member {
    struct span name;
    const struct json_value *value;
    const struct canonical_field *field; /* NULL: the table does not know it */
    size_t order;                        /* in the text */
};

/* Finds the next match at or after `from` in a text; false when there is none. Matches are never empty. */
struct canonical_mask {
    bool (*find)(const void *context, struct span text, size_t from, size_t *start, size_t *end);
    const void *context;
};

/* ---- writing */

struct canonical {
    struct sha256 whole;
    struct hash_state parts[PARTS + 1]; /* the last: what belongs to none */
    struct hash_state around;           /* of the query's message: all but its texts */
    struct hash_key key;
    struct hash128 apart; /* after canonical_finish: see canonical_apart */
    bool in_text;
    unsigned depth; /* of known objects */
    struct arena *arena;
    const struct canonical_mask *mask; /* NULL: none */
    enum request_part part;
    bool duplicate; /* some object had two members of one name */
    bool failed;    /* the arena was too small */
    size_t size, part_from;
    unsigned char buffer[512];
};

void canonical_start(struct canonical *c, struct arena *arena, const struct canonical_mask *mask);
/* Right after canonical_start: the parts are hashed under this key, which outsiders must not know, instead of a fixed
 * one. */
void canonical_key(struct canonical *c, const struct hash_key *key);
/* What follows belongs to this part; PARTS: to none, it counts in the whole only. */
void canonical_part(struct canonical *c, enum request_part part);
/* Counts in the part's digest only: what the whole tells by its order. */
void canonical_part_number(struct canonical *c, uint64_t number);

/* The members in the order in which they are written, with their fields; in the arena. Sets `duplicate`. */
struct canonical_member *canonical_members(struct canonical *c, const struct json_value *object,
                                           const struct canonical_shape *shape, size_t *count);

void canonical_text(struct canonical *c, struct span bytes); /* a string */
void canonical_query(struct canonical *c, struct span text); /* a string that is the question, or a text of it */
void canonical_object(struct canonical *c, size_t count);    /* `count` × (name, value) follow */
void canonical_array(struct canonical *c, size_t count);
void canonical_name(struct canonical *c, struct span name);
/* Any value. `field` says how (NULL: order counts). Recurses once a level, at most JSON_DEPTH_MAX times. */
void canonical_value(struct canonical *c, const struct json_value *value, const struct canonical_field *field);

/* RC_OK, or RC_FULL when the arena was too small. */
int canonical_finish(struct canonical *c, struct digest *digest, struct request_parts *parts);
/* After that: a hash of everything but the texts of the query (strings of PART_QUERY whose field is CANONICAL_QUERY, of the
 * message or its parts; the shape around them counts). All inputs are 128 bits wide under the key. */
struct hash128 canonical_apart(const struct canonical *c);

#endif
