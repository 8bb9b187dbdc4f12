/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/replay_gather.c — slots and their pieces, growing down from the end of the scratch. */
#include "app/gateway/replay_gather.h"

#include "platform/rc.h"

enum { ALIGN = 16 };

struct gather_piece {
    struct gather_piece *next;
    size_t size;
    char bytes[];
};

void gather_start(struct gather *g, const struct json_scratch *scratch)
{
    *g = (struct gather){.parse = *scratch};
    g->parse.capacity &= ~(size_t)(ALIGN - 1);
}

int gather_parse(struct gather *g, const struct event_walk *walk, struct span data, const struct json_value **root)
{
    struct json_scratch rest = walk->rest;
    int rc = json_parse(&rest, data, root, NULL);
    if (rc != RC_OK) return rc;
    g->floor = rest.capacity - json_spare(&rest, *root).capacity;
    return RC_OK;
}

/* `size` bytes from the end of the scratch, above the tree that is being read. */
static void *keep(struct gather *g, size_t size)
{
    size = (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    if (g->full || size > g->parse.capacity || g->parse.capacity - size < g->floor) {
        g->full = true;
        return NULL;
    }
    g->parse.capacity -= size;
    return (char *)g->parse.memory + g->parse.capacity;
}

static struct gather_slot *find_between(struct gather_slot *from, const struct gather_slot *to, uint32_t place,
                                        uint32_t item, uint32_t sub, struct span name)
{
    for (struct gather_slot *s = from; s != to; s = s->next)
        if (s->place == place && s->item == item && s->sub == sub && span_equal(s->name, name)) return s;
    return NULL;
}

struct gather_slot *gather_find(const struct gather *g, uint32_t place, uint32_t item, uint32_t sub, struct span name)
{
    return find_between(g->first, NULL, place, item, sub, name);
}

struct gather_slot *gather_slot(struct gather *g, uint32_t place, uint32_t item, uint32_t sub, struct span name)
{
    /* Events name their fields in one order: what is asked next mostly stands right behind what was asked last. */
    struct gather_slot *slot = find_between(g->recent, NULL, place, item, sub, name);
    if (!slot) slot = find_between(g->first, g->recent, place, item, sub, name);
    if (slot) g->recent = slot;
    if (slot) return slot;
    if (g->count == GATHER_SLOTS_MAX) g->full = true;
    char *kept_name = keep(g, name.size + 1);
    slot = keep(g, sizeof *slot);
    if (!kept_name || !slot) return NULL;
    if (name.size > 0) memcpy(kept_name, name.data, name.size);
    *slot = (struct gather_slot){.name = span_of(kept_name, name.size), .place = place, .item = item, .sub = sub};
    if (g->last)
        g->last->next = slot;
    else
        g->first = slot;
    g->last = g->recent = slot;
    g->count++;
    return slot;
}

static void add_piece(struct gather *g, struct gather_slot *slot, struct span bytes)
{
    struct gather_piece *piece = keep(g, sizeof *piece + bytes.size);
    if (!piece) return;
    /* Before the head is written: a value's text stands between the tree and here, and may overlap. */
    if (bytes.size > 0) memmove(piece->bytes, bytes.data, bytes.size);
    piece->next = NULL;
    piece->size = bytes.size;
    if (slot->last)
        slot->last->next = piece;
    else
        slot->first = piece;
    slot->last = piece;
    slot->size += bytes.size;
}

static void empty_slot(struct gather_slot *slot)
{
    slot->first = slot->last = NULL;
    slot->size = 0;
}

void gather_mark(struct gather_slot *slot)
{
    if (slot && (slot->kind == GATHER_NOTHING || slot->kind == GATHER_VALUE)) {
        empty_slot(slot);
        slot->kind = GATHER_MARK;
    }
}

void gather_add(struct gather *g, struct gather_slot *slot, struct span text)
{
    if (!slot) return;
    if (slot->kind != GATHER_TEXT) empty_slot(slot);
    slot->kind = GATHER_TEXT;
    if (text.size > 0) add_piece(g, slot, text);
}

void gather_put(struct gather *g, struct gather_slot *slot, struct span text)
{
    if (!slot) return;
    empty_slot(slot);
    gather_add(g, slot, text);
}

/* The value's JSON between the tree and what is kept; it must be moved up at once. */
static struct span write_value(struct gather *g, const struct json_value *value)
{
    size_t room = g->parse.capacity - g->floor;
    if (g->full || room == 0) {
        g->full = true;
        return span_of(NULL, 0);
    }
    struct text text = text_on((char *)g->parse.memory + g->floor, room);
    json_write(&text, value);
    if (text.truncated) g->full = true;
    return g->full ? span_of(NULL, 0) : text_span(&text);
}

/* Most fields repeat in every event: told without writing them out, where nothing is escaped. */
static bool holds_already(const struct gather_slot *slot, const struct json_value *value)
{
    if (slot->kind != GATHER_VALUE || !slot->first || slot->first != slot->last) return false;
    struct span held = span_of(slot->first->bytes, slot->first->size), string = json_string(value);
    if (json_kind(value) == JSON_NUMBER) return span_equal(held, json_number_text(value));
    if (json_kind(value) != JSON_STRING || held.size != string.size + 2 || held.data[0] != '"') return false;
    return span_equal(span_of(held.data + 1, string.size), string);
}

void gather_set(struct gather *g, struct gather_slot *slot, const struct json_value *value)
{
    if (!slot || holds_already(slot, value)) return;
    if (json_kind(value) == JSON_NULL && slot->kind != GATHER_NOTHING) return;
    struct span written = write_value(g, value);
    empty_slot(slot);
    slot->kind = GATHER_VALUE;
    if (!g->full) add_piece(g, slot, written);
}

void gather_append(struct gather *g, struct gather_slot *slot, const struct json_value *value)
{
    if (!slot) return;
    if (slot->kind != GATHER_LIST) empty_slot(slot);
    slot->kind = GATHER_LIST;
    if (!value) return;
    struct span written = write_value(g, value);
    if (!g->full) add_piece(g, slot, written);
}

void gather_take(struct gather *g, struct gather_slot *slot, const struct json_value *value)
{
    if (json_kind(value) == JSON_STRING)
        gather_add(g, slot, json_string(value));
    else
        gather_set(g, slot, value);
}

int gather_text(struct gather *g, const struct gather_slot *slot, struct span *text)
{
    *text = span_of(NULL, 0);
    if (!slot || !slot->first) return RC_OK;
    *text = span_of(slot->first->bytes, slot->size);
    if (slot->first == slot->last) return RC_OK;
    if (slot->size > g->parse.capacity) return RC_TOO_LARGE;
    char *to = g->parse.memory;
    *text = span_of(to, slot->size);
    for (const struct gather_piece *piece = slot->first; piece; piece = piece->next) {
        memcpy(to, piece->bytes, piece->size);
        to += piece->size;
    }
    return RC_OK;
}

static void write_list(const struct gather_slot *slot, struct text *out)
{
    text_put_char(out, '[');
    for (const struct gather_piece *piece = slot->first; piece; piece = piece->next) {
        if (piece != slot->first) text_put_char(out, ',');
        text_put(out, piece->bytes, piece->size);
    }
    text_put_char(out, ']');
}

void gather_write(struct gather *g, const struct gather_slot *slot, struct text *out)
{
    struct span text;
    if (slot && slot->kind == GATHER_LIST) {
        write_list(slot, out);
    } else if (slot && slot->kind == GATHER_TEXT) {
        if (gather_text(g, slot, &text) != RC_OK) g->full = true;
        text_put_json(out, text);
    } else if (slot && slot->kind == GATHER_VALUE && slot->first) {
        text_put(out, slot->first->bytes, slot->first->size);
    } else {
        text_put_text(out, "null");
    }
}
