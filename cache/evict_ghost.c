/* SPDX-License-Identifier: Apache-2.0 */
/* cache/evict_ghost.c — who left: for the reason of a miss for long and surely, for a second chance shortly and roughly. */
#include <string.h>

#include "cache/evict_inner.h"

/* ---- ghosts: a few recent victims, by 32 bits of their tags; the oldest of a set is overwritten about first */

static uint32_t ghost_print(uint64_t tag)
{
    uint32_t print = (uint32_t)(tag >> 8);
    return print != 0 ? print : 1;
}

static uint32_t *ghost_set(const struct evict *evict, uint64_t tag)
{
    uint32_t sets = EVICT_GHOSTS / EVICT_GHOST_WAYS;
    return &evict->ghosts[(uint32_t)((tag >> 40) * sets >> 24) * EVICT_GHOST_WAYS];
}

void evict_ghost_add(struct evict *evict, uint64_t tag)
{
    uint32_t *set = ghost_set(evict, tag);
    memmove(set + 1, set, (EVICT_GHOST_WAYS - 1) * sizeof *set);
    set[0] = ghost_print(tag);
}

bool evict_ghost_has(const struct evict *evict, uint64_t tag)
{
    const uint32_t *set = ghost_set(evict, tag);
    for (unsigned i = 0; i < EVICT_GHOST_WAYS; i++)
        if (set[i] == ghost_print(tag)) return true;
    return false;
}

/* ---- returns: the victims of the last half table. A longer memory takes in what is asked for once in a while only, and
 * costs hits (docs/eviction.md). */

static uint16_t return_print(uint64_t tag)
{
    uint16_t print = (uint16_t)tag;
    return print != 0 ? print : 1;
}

static uint16_t *return_set(const struct evict *evict, uint64_t tag)
{
    return &evict->returns[(size_t)((tag >> 32) * evict->return_sets >> 32) * EVICT_RETURN_WAYS];
}

void return_add(struct evict *evict, uint64_t tag)
{
    uint16_t *set = return_set(evict, tag);
    memmove(set + 1, set, (EVICT_RETURN_WAYS - 1) * sizeof *set);
    set[0] = return_print(tag);
}

bool return_take(struct evict *evict, uint64_t tag)
{
    uint16_t *set = return_set(evict, tag);
    for (unsigned i = 0; i < EVICT_RETURN_WAYS; i++) {
        if (set[i] != return_print(tag)) continue;
        set[i] = 0;
        return true;
    }
    return false;
}
