/* SPDX-License-Identifier: Apache-2.0 */
/* cache/state.c — parts out, parts in. */
#include "cache/state.h"

#include <assert.h>

#include "platform/rc.h"

struct state_head {
    uint32_t crc, count; /* CRC of what follows it */
    uint64_t below, hand;
};
static_assert(sizeof(struct state_head) == 24, "no hidden bytes");

enum { AHEAD = 16 /* ids whose cells are asked for before they are looked up */ };
enum { ID_BYTES = 6, PART_IDS = (ENTRIES_STATE_PART - (int)sizeof(struct state_head)) / ID_BYTES };

/* Lane only, filled and queued in one call. */
static unsigned char buffer[ENTRIES_STATE_PART];

void state_init(struct state *state, const struct exact *exact, struct evict *evict, struct writer *writer)
{
    *state = (struct state){.exact = exact, .evict = evict, .writer = writer};
}

void state_begin(struct state *state, uint64_t now_us, bool closing)
{
    bool due = state->changes >= STATE_CHANGES && now_us - state->began_us >= STATE_EVERY_US;
    if (!(closing ? state->changes > 0 : due && !state->runs)) return;
    state->runs = true;
    state->part = 0;
    state->changes = 0;
    state->began_us = now_us;
    evict_walk_start(state->evict);
}

static uint64_t id_at(const struct state *state, uint32_t position)
{
    return position == EVICT_NONE ? 0 : exact_id(exact_at(state->exact, position));
}

static bool is_listed(const struct state *state, uint32_t position)
{
    return state->evict->policy == EVICT_POLICY_LRU || evict_marked(state->evict, position);
}

int state_step(struct state *state)
{
    if (!state->runs) return RC_EMPTY;
    uint32_t walk = state->evict->walk, position = EVICT_NONE;
    struct state_head head = {.below = state->writer->id_next, .hand = id_at(state, evict_hand(state->evict))};
    unsigned char *at = buffer + sizeof head;
    for (unsigned looked = 0; looked < 4 * PART_IDS && head.count < PART_IDS; looked++) {
        position = evict_walk_next(state->evict);
        if (position == EVICT_NONE) break;
        if (!is_listed(state, position)) continue;
        uint64_t id = id_at(state, position);
        memcpy(at, &id, ID_BYTES);
        at += ID_BYTES;
        head.count++;
    }
    bool last = position == EVICT_NONE;
    memcpy(buffer, &head, sizeof head);
    head.crc = crc32c(0, buffer + sizeof head.crc, (size_t)(at - buffer) - sizeof head.crc);
    memcpy(buffer, &head.crc, sizeof head.crc);
    int rc = writer_state(state->writer, state->part, span_of((const char *)buffer, (size_t)(at - buffer)), last);
    if (rc != RC_OK) {
        state->evict->walk = walk; /* the list has not changed meanwhile */
        return rc;
    }
    state->part++;
    if (last) state->runs = false;
    return last ? RC_EMPTY : RC_OK;
}

struct restoring {
    struct state *state;
    uint64_t below, hand;
};

static uint64_t part_id(struct span part, uint32_t i)
{
    uint64_t id = 0;
    memcpy(&id, part.data + sizeof(struct state_head) + (size_t)i * ID_BYTES, ID_BYTES);
    return id;
}

static void restore_part(void *context, struct span value)
{
    struct restoring *restoring = context;
    struct state_head head;
    if (value.size < sizeof head) return;
    memcpy(&head, value.data, sizeof head);
    if (value.size != sizeof head + (size_t)head.count * ID_BYTES) return;
    if (crc32c(0, value.data + sizeof head.crc, value.size - sizeof head.crc) != head.crc) return;
    if (head.below > restoring->below) restoring->below = head.below;
    restoring->hand = head.hand;
    for (uint32_t i = 0; i < head.count; i++) {
        if (i + AHEAD < head.count) exact_prefetch(restoring->state->exact, 0, part_id(value, i + AHEAD));
        uint32_t position = exact_find_id(restoring->state->exact, part_id(value, i));
        if (position != EXACT_NONE) evict_promote(restoring->state->evict, position);
    }
}

/* By LRU, entries newer than the list come behind the ones that were just put at the head. */
static bool promote_newer(void *context, const struct entry_index *index)
{
    struct restoring *restoring = context;
    uint32_t position = exact_find_id(restoring->state->exact, index->id);
    if (position != EXACT_NONE) evict_promote(restoring->state->evict, position);
    return true;
}

int state_restore(struct state *state, struct entries *entries)
{
    struct restoring restoring = {.state = state};
    unsigned damaged;
    int rc = entries_state_read(entries, restore_part, &restoring);
    if (rc != RC_OK || restoring.below == 0) return rc;
    uint32_t hand = restoring.hand != 0 ? exact_find_id(state->exact, restoring.hand) : EXACT_NONE;
    if (hand != EXACT_NONE) evict_hand_set(state->evict, hand);
    if (state->evict->policy != EVICT_POLICY_LRU) return RC_OK;
    return entries_scan(entries, restoring.below, promote_newer, &restoring, &damaged);
}
