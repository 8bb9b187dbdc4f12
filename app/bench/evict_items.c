/* SPDX-License-Identifier: Apache-2.0 */
/* app/bench/evict_items.c — see evict_items.h. */
#include "app/bench/evict_items.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/bench/bench.h"
#include "cache/embed.h"
#include "cache/guard.h"
#include "cache/rescore.h"
#include "cache/rotate.h"
#include "platform/check.h"
#include "platform/rc.h"

enum { CELLS = 2 * ITEMS_MAX, CHUNK = 64, TELL_EVERY = 4096 };

static uint32_t *cells; /* item + 1, by digest; open addressing */

void items_reserve(struct items *items)
{
    cells = bench_region(CELLS * sizeof cells[0], false);
    *items = (struct items){.items = bench_region(ITEMS_MAX * sizeof items->items[0], false)};
}

static uint64_t tag_of(const struct digest *digest)
{
    uint64_t tag;
    memcpy(&tag, digest->bytes, sizeof tag);
    return tag;
}

static int item_of(struct items *items, const struct bench_request *request, uint32_t *item)
{
    uint64_t tag = tag_of(&request->digest);
    uint32_t cell = (uint32_t)(tag % CELLS);
    for (; cells[cell] != 0; cell = (cell + 1) % CELLS) {
        *item = cells[cell] - 1;
        if (memcmp(&items->items[*item].first->digest, &request->digest, DIGEST_SIZE) == 0) return RC_OK;
    }
    if (items->count == ITEMS_MAX) return RC_FULL;
    *item = items->count++;
    items->items[*item] = (struct item){.first = request, .tag = tag};
    cells[cell] = *item + 1;
    return RC_OK;
}

int items_add(struct items *items, const struct bench_log *log, uint32_t *of_request)
{
    for (unsigned i = 0; i < log->count; i++)
        if (item_of(items, &log->requests[i], &of_request[i]) != RC_OK) return RC_FULL;
    return RC_OK;
}

/* ---- vectors */

static int embed_all(struct items *items)
{
    static float vector[EMBED_DIM_MAX];
    items->dim = embed_current()->dim;
    items->vectors = bench_region((size_t)items->count * items->dim, false);
    items->scales = bench_region(items->count * sizeof items->scales[0], false);
    for (unsigned i = 0; i < items->count; i++) {
        const struct bench_request *request = items->items[i].first;
        if (request->space == 0) continue;
        int rc = embed_text(request->text, vector);
        if (rc == RC_OK)
            items->scales[i] = vector_quantise(vector, items->dim, items->vectors + (size_t)i * items->dim);
        else if (rc != RC_TOO_LARGE && rc != RC_EMPTY) /* these are never compared */
            return rc;
        if (i % TELL_EVERY == TELL_EVERY - 1) fprintf(stderr, "embedded %u of %u texts\n", i + 1, items->count);
    }
    return RC_OK;
}

/* ---- neighbours */

static int by_score(const void *a, const void *b)
{
    const struct item_neighbour *x = a, *y = b;
    if (x->score != y->score) return x->score < y->score ? 1 : -1;
    return x->item < y->item ? -1 : x->item > y->item;
}

/* Those of one chunk that are near enough go behind `found`. */
static unsigned relate_chunk(const struct items *items, uint32_t item, uint32_t from, struct item_neighbour *found)
{
    const int8_t *vectors[CHUNK] = {NULL};
    int32_t dots[CHUNK] = {0};
    unsigned chunk = items->count - from < CHUNK ? items->count - from : CHUNK, count = 0;
    for (unsigned i = 0; i < chunk; i++) vectors[i] = items->vectors + (size_t)(from + i) * items->dim;
    rescore_dots(items->vectors + (size_t)item * items->dim, vectors, chunk, items->dim, dots);
    for (unsigned i = 0; i < chunk; i++) {
        float score = (float)dots[i] * items->scales[item] * items->scales[from + i];
        if (score < ITEM_NEAR || from + i == item) continue;
        if (items->items[from + i].first->space != items->items[item].first->space) continue;
        found[count++] = (struct item_neighbour){.item = (from + i) & (ITEMS_MAX - 1), .score = score};
    }
    return count;
}

static void relate(struct items *items, uint32_t item, struct item_neighbour *room, struct item_neighbour *kept)
{
    unsigned count = 0;
    if (items->scales[item] > 0)
        for (uint32_t from = 0; from < items->count; from += CHUNK)
            count += relate_chunk(items, item, from, room + count);
    qsort(room, count, sizeof room[0], by_score);
    if (count > ITEM_NEIGHBOURS) count = ITEM_NEIGHBOURS;
    memcpy(kept, room, count * sizeof room[0]);
    items->items[item].neighbours = kept;
    items->items[item].neighbour_count = count;
}

bool items_vetoed(struct items *items, uint32_t item, unsigned neighbour)
{
    static struct guard_text *asked, *stored;
    if (!asked) asked = bench_region(guard_text_size(), false);
    if (!stored) stored = bench_region(guard_text_size(), false);
    struct item_neighbour *near = &items->items[item].neighbours[neighbour];
    if (near->guarded == 0) {
        guard_read(items->items[item].first->text, asked);
        guard_read(items->items[near->item].first->text, stored);
        near->guarded = guard_vetoes(asked, stored, false) ? 2 : 1;
    }
    return near->guarded == 2;
}

int items_relate(struct items *items)
{
    if (embed_current()->kind == EMBED_NONE) return RC_OK;
    int rc = embed_all(items);
    if (rc != RC_OK) return rc;
    struct item_neighbour *room = bench_region(items->count * sizeof room[0], false);
    struct item_neighbour *kept = bench_region((size_t)items->count * ITEM_NEIGHBOURS * sizeof kept[0], false);
    for (unsigned i = 0; i < items->count; i++) relate(items, i, room, kept + (size_t)i * ITEM_NEIGHBOURS);
    return RC_OK;
}
