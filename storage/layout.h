/* SPDX-License-Identifier: Apache-2.0 */
/* storage/layout.h — how an entry's bytes are split over rows so that pages are filled and few are written.
 *
 * Threads: any; pure functions of sizes.
 * Format:  LMDB 0.9 (mdb.c, "Page Header", "nodes"): a page has a 16-byte header; a leaf must hold two nodes, so a value
 *          lies in its leaf only up to about half a page, else on a run of pages of its own ("overflow") with one header
 *          for the run. A node costs 8 bytes, its key, and a 2-byte place in the page.
 * Why:     page sizes differ (4 KiB; 16 KiB on Pi 5 kernels): nothing here knows a number, all of it is computed.
 */
#ifndef STORAGE_LAYOUT_H
#define STORAGE_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>

enum {
    LAYOUT_PAGE_HEADER = 16,
    LAYOUT_NODE_HEADER = 8,
    LAYOUT_NODE_PLACE = 2,
    LAYOUT_PAGE_REFERENCE = 8, /* in the leaf, of a value that lies on pages of its own */
    LAYOUT_KEY_SIZE = 8,
    LAYOUT_PAGE_MIN = 512,
    LAYOUT_PAGE_MAX = 32768, /* LMDB's own bound */
    LAYOUT_CHUNK_PAGE = 4096,
    /* Largest value of any row: four pages of 4 KiB or one of 16 KiB, header taken off; one byte more is a fifth page. */
    LAYOUT_CHUNK_MAX = 4 * LAYOUT_CHUNK_PAGE - LAYOUT_PAGE_HEADER,
};

/* The entry's row holds its fixed part and the last `row_body` bytes of the body; the `chunks` rows hold the bytes
 * before, LAYOUT_CHUNK_MAX each but the last. */
struct layout {
    size_t row_body;
    unsigned chunks;
    size_t cost; /* bytes of pages: whole pages for runs, its share of a full leaf for a node */
};

/* Largest value that stays in its leaf. */
size_t layout_leaf_max(size_t page_size);
/* Bytes that a row with a value of this size takes. */
size_t layout_row_cost(size_t page_size, size_t value_size);
/* The cheapest split of `body` bytes behind `fixed` bytes (header, names, query; at most LAYOUT_CHUNK_MAX). */
struct layout layout_choose(size_t page_size, size_t fixed, size_t body);

#endif
