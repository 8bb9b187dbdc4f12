/* SPDX-License-Identifier: Apache-2.0 */
/* storage/layout.c — three candidates, the cheapest wins. */
#include "storage/layout.h"

size_t layout_leaf_max(size_t page_size)
{
    size_t node_max = (((page_size - LAYOUT_PAGE_HEADER) / 2) & ~(size_t)1) - LAYOUT_NODE_PLACE;
    return node_max - LAYOUT_NODE_HEADER - LAYOUT_KEY_SIZE;
}

size_t layout_row_cost(size_t page_size, size_t value_size)
{
    size_t node = LAYOUT_NODE_PLACE + LAYOUT_NODE_HEADER + LAYOUT_KEY_SIZE;
    if (value_size <= layout_leaf_max(page_size)) return node + ((value_size + 1) & ~(size_t)1);
    size_t pages = (LAYOUT_PAGE_HEADER - 1 + value_size) / page_size + 1;
    return node + LAYOUT_PAGE_REFERENCE + pages * page_size;
}

static struct layout layout_split(size_t page_size, size_t fixed, size_t body, size_t row_body)
{
    struct layout layout = {.row_body = row_body, .cost = layout_row_cost(page_size, fixed + row_body)};
    size_t left = body - row_body;
    layout.chunks = (unsigned)((left + LAYOUT_CHUNK_MAX - 1) / LAYOUT_CHUNK_MAX);
    if (left == 0) return layout;
    size_t last = left - (size_t)(layout.chunks - 1) * LAYOUT_CHUNK_MAX;
    layout.cost += (layout.chunks - 1) * layout_row_cost(page_size, LAYOUT_CHUNK_MAX);
    layout.cost += layout_row_cost(page_size, last);
    return layout;
}

/* Bytes that chunks can hold without a partly filled page at the end, at most `body`. */
static size_t layout_whole_pages(size_t page_size, size_t body)
{
    size_t whole = body / LAYOUT_CHUNK_MAX * LAYOUT_CHUNK_MAX;
    size_t rest = body - whole;
    size_t pages = (rest + LAYOUT_PAGE_HEADER) / page_size;
    return pages > 0 ? whole + pages * page_size - LAYOUT_PAGE_HEADER : whole;
}

static struct layout layout_cheaper(struct layout a, struct layout b)
{
    return b.cost < a.cost ? b : a;
}

struct layout layout_choose(size_t page_size, size_t fixed, size_t body)
{
    struct layout best = layout_split(page_size, fixed, body, 0);
    size_t rest = body - layout_whole_pages(page_size, body);
    if (fixed + rest <= layout_leaf_max(page_size))
        best = layout_cheaper(best, layout_split(page_size, fixed, body, rest));
    if (fixed + body <= LAYOUT_CHUNK_MAX) {
        struct layout one = layout_split(page_size, fixed, body, body);
        if (one.cost <= best.cost) best = one; /* one row is read faster than two */
    }
    return best;
}
