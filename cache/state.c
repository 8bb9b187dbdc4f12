/* SPDX-License-Identifier: Apache-2.0 */
/* cache/state.c — parts out, parts in. */
#include "cache/state.h"

#include <assert.h>

#include "platform/rc.h"

struct state_head {
    uint32_t crc, count; /* CRC of what follows it */
    uint64_t below, hand;
    uint32_t record; /* bytes: what kind of policy wrote it */
    uint32_t reserved;
};
static_assert(sizeof(struct state_head) == 32, "no hidden bytes");

/* A record: 48 bits of id and the low 16 bits of hints; the long one then the neighbour's id (0: none) and the high bits. */
enum { AHEAD = 16 /* ids whose cells are asked for before they are looked up */ };
enum { RECORD_SHORT = 8, RECORD_LONG = 16, RECORDS_BYTES = ENTRIES_STATE_PART - (int)sizeof(struct state_head) };
static_assert(RECORDS_BYTES % RECORD_LONG == 0, "only the last part is shorter");
#define ID_MASK ((UINT64_C(1) << 48) - 1)

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

static uint32_t record_size(const struct state *state)
{
    return evict_samples(state->evict) ? RECORD_LONG : RECORD_SHORT;
}

/* The record of one entry; false: as good as new. */
static bool record_make(const struct state *state, uint32_t position, uint64_t record[2])
{
    struct evict_saved saved;
    if (!evict_save(state->evict, position, &saved)) return false;
    record[0] = id_at(state, position) | (uint64_t)saved.bits << 48;
    record[1] = id_at(state, saved.neighbour) | (uint64_t)(saved.bits >> 16) << 48;
    return true;
}

int state_step(struct state *state)
{
    if (!state->runs) return RC_EMPTY;
    uint32_t walk = state->evict->walk, position = EVICT_NONE, most = RECORDS_BYTES / record_size(state);
    struct state_head head = {
        .below = state->writer->id_next, .hand = id_at(state, evict_hand(state->evict)), .record = record_size(state)};
    unsigned char *at = buffer + sizeof head;
    uint64_t record[2];
    for (unsigned looked = 0; looked < 4 * most && head.count < most; looked++) {
        position = evict_walk_next(state->evict);
        if (position == EVICT_NONE) break;
        if (!record_make(state, position, record)) continue;
        memcpy(at, record, head.record);
        at += head.record;
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

static uint64_t part_id(struct span part, uint32_t record, uint32_t i)
{
    uint64_t word;
    memcpy(&word, part.data + sizeof(struct state_head) + (size_t)i * record, sizeof word);
    return word & ID_MASK;
}

static void restore_record(const struct state *state, const char *at, uint32_t size)
{
    uint64_t record[2] = {0, 0};
    memcpy(record, at, size);
    uint32_t position = exact_find_id(state->exact, record[0] & ID_MASK);
    uint32_t other = (record[1] & ID_MASK) != 0 ? exact_find_id(state->exact, record[1] & ID_MASK) : EXACT_NONE;
    struct evict_saved saved = {.bits = (uint32_t)(record[0] >> 48 | record[1] >> 48 << 16),
                                .neighbour = other != EXACT_NONE ? other : EVICT_NONE};
    if (position != EXACT_NONE) evict_restore(state->evict, position, &saved);
}

/* The head of a part that is whole, and of this policy's kind. */
static bool part_read(const struct state *state, struct span value, struct state_head *head)
{
    if (value.size < sizeof *head) return false;
    memcpy(head, value.data, sizeof *head);
    if (head->record != record_size(state)) return false;
    if (value.size != sizeof *head + (size_t)head->count * head->record) return false;
    return crc32c(0, value.data + sizeof head->crc, value.size - sizeof head->crc) == head->crc;
}

static void restore_part(void *context, struct span value)
{
    struct restoring *restoring = context;
    const struct state *state = restoring->state;
    struct state_head head;
    if (!part_read(state, value, &head)) return;
    if (head.below > restoring->below) restoring->below = head.below;
    restoring->hand = head.hand;
    for (uint32_t i = 0; i < head.count; i++) {
        if (i + AHEAD < head.count) exact_prefetch(state->exact, 0, part_id(value, head.record, i + AHEAD));
        restore_record(state, value.data + sizeof head + (size_t)i * head.record, head.record);
    }
}

/* By LRU, entries newer than the list come behind the ones that were just put at the head. */
static bool promote_newer(void *context, const struct entry_index *index)
{
    struct restoring *restoring = context;
    uint32_t position = exact_find_id(restoring->state->exact, index->id);
    if (position != EXACT_NONE) evict_touch(restoring->state->evict, position);
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
