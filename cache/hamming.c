/* SPDX-License-Identifier: Apache-2.0 */
/* cache/hamming.c — which variant scans, and the top k by counting distances. */
#include "cache/hamming.h"

#include <string.h>

#include "cache/hamming_kernel.h"
#include "platform/check.h"

static const struct hamming_kernel scalar = {"scalar", hamming_scan_scalar, NULL};
static const struct hamming_kernel *chosen = &scalar;

void hamming_select(const struct cpu_features *features)
{
    chosen = &scalar;
    for (unsigned i = 0; features && i < hamming_kernel_count; i++)
        if (hamming_kernels[i].runs_on(features)) chosen = &hamming_kernels[i];
}

const char *hamming_variant(void)
{
    return chosen->name;
}

void hamming_top_start(struct hamming_top *top, unsigned k)
{
    CHECK(k >= 1 && k <= HAMMING_TOP_MAX);
    top->k = k;
    top->count = top->inside = 0;
    top->bound = HAMMING_BITS + 1;
    top->scanned = 0;
    memset(top->seen, 0, sizeof top->seen);
}

void hamming_scan(const uint64_t query[4], const void *codes, size_t count, struct hamming_top *top)
{
    chosen->scan(query, codes, count, top);
    top->scanned += (uint32_t)count;
}

/* Keeps all hits below the bound and as many at the bound, lowest places first, as make k. */
static void thin_out(struct hamming_top *top)
{
    unsigned kept = 0, at_bound = top->k - top->inside;
    for (unsigned i = 0; i < top->count; i++) {
        struct hamming_hit hit = top->hits[i];
        if (hit.distance > top->bound || (hit.distance == top->bound && at_bound == 0)) continue;
        if (hit.distance == top->bound) at_bound--;
        top->hits[kept++] = hit;
    }
    top->count = kept;
}

void hamming_offer(struct hamming_top *top, uint32_t distance, uint32_t place)
{
    top->hits[top->count++] = (struct hamming_hit){distance, place};
    top->seen[distance]++;
    top->inside++;
    while (top->inside >= top->k) top->inside -= top->seen[--top->bound];
    if (top->count == HAMMING_ROOM) thin_out(top);
}

/* Counting sort: stable, so places stay in order within a distance. */
void hamming_top_finish(struct hamming_top *top)
{
    struct hamming_hit sorted[HAMMING_TOP_MAX];
    uint8_t start[HAMMING_BITS + 2] = {0};
    thin_out(top);
    for (unsigned i = 0; i < top->count; i++) start[top->hits[i].distance + 1]++;
    for (unsigned d = 1; d <= HAMMING_BITS; d++) start[d] = (uint8_t)(start[d] + start[d - 1]);
    for (unsigned i = 0; i < top->count; i++) sorted[start[top->hits[i].distance]++] = top->hits[i];
    memcpy(top->hits, sorted, top->count * sizeof sorted[0]);
}
