/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/replay_gather.h — collects what the events of a stream say about one object, field by field.
 *
 * A slot is one field of the object to be: a text that grows by deltas, a list that grows, or a value of which the last
 * one stands. Slots keep the order in which they were first seen. One pass over the events, whatever their number.
 *
 * Owner:   all of it lies at the end of the JSON scratch, which shrinks by it; events are parsed in front.
 * Threads: one at a time a scratch.
 * Fails:   `full` is set when the scratch or GATHER_SLOTS_MAX does not hold it; calls are harmless from then on.
 */
#ifndef GATEWAY_REPLAY_GATHER_H
#define GATEWAY_REPLAY_GATHER_H

#include "app/gateway/dialect_events.h"
#include "platform/text.h"

enum { GATHER_SLOTS_MAX = 1024 };

struct gather_piece;

struct gather_slot {
    struct gather_slot *next;
    struct span name;
    uint32_t place, item, sub; /* which object it is a member of, as the caller numbers them */
    enum { GATHER_NOTHING, GATHER_TEXT, GATHER_VALUE, GATHER_LIST, GATHER_MARK } kind;
    struct gather_piece *first, *last;
    size_t size; /* of all pieces */
};

struct gather {
    struct json_scratch parse; /* what is left to parse in */
    size_t floor;              /* the newest tree ends here */
    struct gather_slot *first, *last, *recent;
    unsigned count;
    bool full;
};

void gather_start(struct gather *g, const struct json_scratch *scratch);
/* Parses an event's data; until the next call its values may be kept. RC_INVALID, RC_TOO_LARGE. */
int gather_parse(struct gather *g, const struct event_walk *walk, struct span data, const struct json_value **root);

/* Finds or makes one; NULL only when full. */
struct gather_slot *gather_slot(struct gather *g, uint32_t place, uint32_t item, uint32_t sub, struct span name);
struct gather_slot *gather_find(const struct gather *g, uint32_t place, uint32_t item, uint32_t sub, struct span name);

/* All of them accept a NULL slot. A null never replaces anything. */
void gather_mark(struct gather_slot *slot);                                    /* only that it was there */
void gather_add(struct gather *g, struct gather_slot *slot, struct span text); /* a text grows */
void gather_put(struct gather *g, struct gather_slot *slot, struct span text); /* a text, as a whole */
void gather_set(struct gather *g, struct gather_slot *slot, const struct json_value *value);    /* the last stands */
void gather_append(struct gather *g, struct gather_slot *slot, const struct json_value *value); /* a list grows */
/* A string grows the text, anything else is set. */
void gather_take(struct gather *g, struct gather_slot *slot, const struct json_value *value);

/* The text of a slot in one piece, in the scratch (valid until the next gather call); RC_TOO_LARGE. */
int gather_text(struct gather *g, const struct gather_slot *slot, struct span *text);
/* Appends the slot as JSON; a mark as null. */
void gather_write(struct gather *g, const struct gather_slot *slot, struct text *out);

#endif
