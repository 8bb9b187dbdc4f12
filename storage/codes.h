/* SPDX-License-Identifier: Apache-2.0 */
/* storage/codes.h — the rows of the semantic index: blocks of codes, slots and int8 vectors, a run a namespace.
 *
 * Tables:  codes   (space << 24 | block) → header, 32 bytes a code. A block is eight pages of 4 KiB: 1,022 codes; the
 *                  first code lies on a 64-byte line. The last block of a namespace is its tail: one page, 126 codes,
 *                  folded into the large one when full.
 *          slots   (space << 24 | block) → header, {entry id, random bits, 1 / length of the vector} a code, in the codes' order.
 *          vectors (space << 24 | fold)  → header, 126 vectors, written once when a tail is folded; the tail's own
 *                  vectors lie in rows of their own until then.
 *          box     1 → format version.
 *          Key: 40 bits of a keyed hash of (namespace, embedder's tag): two that collide share blocks, harmless, since a
 *          candidate counts only if its entry says the same namespace, tenant and random bits.
 * Order:   entries are durable before codes refer to them; codes go before their entries do. A slot of id 0 is free: a
 *          tombstone is reused by the next store of the namespace.
 * Owner:   the caller owns struct codes.
 * Threads: writing on the writer thread; walking on any worker, in a read transaction of its own, bytes are read in place.
 * Fails:   RC_CORRUPT: a block broke its CRC or sizes; it is dropped and counted, its entries stay exact.
 */
#ifndef STORAGE_CODES_H
#define STORAGE_CODES_H

#include "storage/entry.h"
#include "storage/kv.h"

enum { CODES_VERSION = 1, CODES_CODE_SIZE = 32, CODES_BLOCK = 1022, CODES_TAIL = 126 };

struct codes_slot {
    uint64_t id;
    uint32_t random;
    float scale;
};

struct codes {
    struct kv kv;
};

/* Boot, and again when the environment was moved aside. */
int codes_reserve(struct codes *codes, unsigned entries_max);
int codes_open(struct codes *codes, const char *folder, uint64_t map_bytes, bool read_only);
void codes_close(struct codes *codes); /* waits for readers */

/* ---- writing: inside one write transaction */
int codes_put(struct codes *codes, struct kv_txn *txn, uint64_t id, uint32_t random, const struct entry_vector *vector);
/* All of them in one pass a namespace. */
int codes_delete(struct codes *codes, struct kv_txn *txn, uint64_t space_tag, const uint64_t *ids, unsigned count);

/* ---- reading in place: one namespace's blocks in turn, inside one read transaction */
struct codes_block {
    const uint64_t *codes; /* count × 4 words, in the map */
    const struct codes_slot *slots;
    unsigned count, number;
};

struct codes_walk {
    struct codes *codes;
    struct kv_txn txn;
    uint64_t space_tag;
    uint64_t key;
};

int codes_walk_begin(struct codes *codes, uint64_t space_tag, struct codes_walk *walk);
int codes_walk_next(struct codes_walk *walk, struct codes_block *block); /* RC_NOT_FOUND at the end */
/* The vector of one code of a block; valid until the walk ends. */
int codes_walk_vector(struct codes_walk *walk, unsigned block, unsigned place, const int8_t **vector, unsigned *dim);
void codes_walk_end(struct codes_walk *walk);

#endif
