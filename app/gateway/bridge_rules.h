/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/bridge_rules.h — which members of an object have a counterpart in the other dialect.
 *
 * A table names every member that is not refused; an unknown one is. A null member is one that was not sent.
 *
 * Owner:   the caller's tree and texts.
 * Threads: any.
 */
#ifndef GATEWAY_BRIDGE_RULES_H
#define GATEWAY_BRIDGE_RULES_H

#include "app/gateway/bridge.h"
#include "platform/rc.h"

enum bridge_rule {
    BRIDGE_MAPPED,     /* the caller reads it */
    BRIDGE_IGNORED,    /* a hint that changes no answer: price, routing, bookkeeping */
    BRIDGE_UNLESS_SET, /* refused unless it says nothing: false, 0, "", [] or {} */
    BRIDGE_UNLESS_ONE, /* refused unless 1 */
};

struct bridge_field {
    const char *name;
    enum bridge_rule rule;
    const char *neutral; /* besides, this text is no wish either; NULL: none */
};

/* Where in the request: "messages[3].content[0]". Written on the way down, read when something is refused. */
struct bridge_place {
    const struct bridge_place *up;
    const char *name;
    size_t index;
    bool indexed;
};

struct bridge_writing {
    struct text *out;
    struct json_scratch *spare; /* for text inside the tree that is JSON itself */
    struct bridge_refusal *refusal;
    const char *provider; /* the dialect that is written */
};

static inline struct bridge_place bridge_member(const struct bridge_place *up, const char *name)
{
    return (struct bridge_place){.up = up, .name = name};
}

static inline struct bridge_place bridge_item(const struct bridge_place *up, const char *name, size_t index)
{
    return (struct bridge_place){.up = up, .name = name, .index = index, .indexed = true};
}

/* RC_DENIED: the member `name` at `place` cannot be carried over; `why` may say more. Either may be NULL. */
int bridge_refuse(const struct bridge_writing *w, const struct bridge_place *place, struct span name, const char *why);

/* Every member of `object` by the table. */
int bridge_check(const struct bridge_writing *w, const struct bridge_place *place, const struct json_value *object,
                 const struct bridge_field *fields, size_t count);
#define BRIDGE_CHECK(w, place, object, fields) bridge_check(w, place, object, fields, sizeof(fields) / sizeof *(fields))

/* False for NULL and null. */
bool bridge_given(const struct json_value *v);
bool bridge_is(const struct json_value *v, const char *text);
/* ,"name": and the value as it came; nothing when it was not given. */
void bridge_copy(struct text *out, const char *name, const struct json_value *v);

/* The texts of an array of parts or of a string, joined by a blank line, as one JSON string. */
void bridge_put_texts(struct text *out, const struct json_value *content, const char *prefix);

#endif
