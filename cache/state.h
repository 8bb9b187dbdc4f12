/* SPDX-License-Identifier: Apache-2.0 */
/* cache/state.h — the eviction state on disk, so that a restart does not forget what was in use.
 *
 * What:    by sieve the marked, dear and cheap entries and the hand; by lru every entry, oldest first; by mmr and cluster
 *          every entry with its neighbour. Hints only: which entries there are is in their own rows, so a state that is
 *          old, torn, missing or of another kind of policy costs a few worse victims and nothing else.
 * Format:  parts of at most ENTRIES_STATE_PART bytes: CRC-32C, count, ids below which the list is complete, the hand's id,
 *          bytes a record, then the records: id and bits (8 bytes), or id, neighbour's id and bits (16). Each part stands
 *          for itself.
 * Wear:    written at close when there were hits or stores, and while running after STATE_CHANGES of them, at most every
 *          STATE_EVERY_US; 8 or 16 bytes an entry.
 * Threads: lane only; one part a call, so that the lane never stops for long.
 */
#ifndef CACHE_STATE_H
#define CACHE_STATE_H

#include "cache/evict.h"
#include "cache/exact.h"
#include "storage/writer.h"

enum { STATE_CHANGES = 4096, STATE_TURN_US = 20000 };
#define STATE_EVERY_US (UINT64_C(1800) * 1000000)

struct state {
    const struct exact *exact;
    struct evict *evict;
    struct writer *writer;
    unsigned part;
    unsigned changes; /* since the last one began */
    uint64_t began_us;
    bool runs;
};

void state_init(struct state *state, const struct exact *exact, struct evict *evict, struct writer *writer);
/* Begins one when it is time. */
void state_begin(struct state *state, uint64_t now_us, bool closing);
/* Queues the next part: RC_OK more to do, RC_EMPTY done, RC_FULL the queue has no room now. */
int state_step(struct state *state);
/* Puts it back, after the index was filled in order of ids. */
int state_restore(struct state *state, struct entries *entries);

#endif
