/* SPDX-License-Identifier: Apache-2.0 */
/* storage/codes.h — the rows of the semantic index: blocks of codes, slots and int8 vectors, a run a namespace.
 *
 * Tables:  blocks  (namespace << 24 | kind << 22 | number) → one block
 *          box     1 → format version
 *                  2 → hash of the tag of the embedder whose codes these are
 *                  3 → mark of ids: codes name only ids below it
 * Kinds:   codes    48 bytes of header (52 on 32-bit systems), 32 bytes a code: the first code lies on a 64-byte line of
 *                   its page. A full block is eight pages of 4 KiB or two of 16 KiB: 1,022 codes. The last block, number
 *                   CODES_TAIL_NUMBER, is the tail: as many codes as it holds, at most 126, so at most a page of 4 KiB; a
 *                   short one shares its leaf with other small rows. A full tail is folded into a large block.
 *          slots    16 bytes of header, 16 a code in the codes' order: {entry id, random bits, place of its vector}.
 *          vectors  one fold: header, up to 126 vectors, the CRC-32C of each. Written once; written again only, with the
 *                   living ones, when less than half of it lives. A vector is named by (fold, place in it), whatever else
 *                   left: the header says which places are present.
 *          loose    one vector of the tail, number = place in the tail.
 * Names:   40 bits of the hash of (space, embedder's tag): two that collide share blocks, harmless, since a candidate
 *          counts only if its entry says the same space, tenant and random bits.
 * Dead:    a slot of id 0 is a tombstone. In the tail the next store takes it; a large block is written anew, dense, when
 *          a fold finds room for its codes between the dead, or when half of it is dead; two that fit in one are joined.
 * Order:   entries are durable before codes refer to them; codes go before their entries do.
 * Owner:   the caller owns struct codes.
 * Threads: writing on the writer thread; walking on any worker, in a read transaction of its own, bytes are read in place.
 * Fails:   RC_CORRUPT: a tree or a format is damaged. A block that breaks its CRC or sizes is dropped and counted, its
 *          entries stay exact: not an error.
 */
#ifndef STORAGE_CODES_H
#define STORAGE_CODES_H

#include "storage/entry.h"
#include "storage/kv.h"

enum {
    CODES_VERSION = 1,
    CODES_CODE_SIZE = 32,
    CODES_WORDS = 4,
    CODES_BLOCK = 1022,
    CODES_TAIL = 126, /* and a fold of vectors */
    CODES_DIM_MAX = 1536,
    CODES_NAME_BITS = 40,
    CODES_NUMBER_BITS = 22,
    CODES_TAIL_NUMBER = (1 << CODES_NUMBER_BITS) - 1,
    CODES_DELETES_MAX = 128,   /* ids in one call */
    CODES_DIRTY_MAX = 1 << 20, /* bytes after which a transaction should be committed: KV_DIRTY_PAGES hold them */
};

struct codes_slot {
    uint32_t id_low, id_high; /* 0: dead */
    uint32_t random;
    uint32_t vector; /* fold << 7 | place; fold CODES_TAIL_NUMBER: loose */
};

static inline uint64_t codes_slot_id(const struct codes_slot *slot)
{
    return (uint64_t)slot->id_high << 32 | slot->id_low;
}

struct codes_scratch;

struct codes {
    struct kv kv;
    pthread_rwlock_t gate;         /* readers against closing and opening anew */
    _Atomic uint64_t embedder;     /* hash of the tag whose codes these are; 0: none yet */
    uint64_t id_mark;              /* ids below may be named here */
    struct codes_scratch *scratch; /* of the writer */
    size_t dirty;                  /* bytes written in this transaction */
    _Atomic uint64_t damaged;      /* blocks dropped */
};

/* Boot, once. */
int codes_reserve(struct codes *codes);
/* RC_VERSION: written by a newer Larder. */
int codes_open(struct codes *codes, const char *folder, uint64_t map_bytes, bool read_only);
void codes_close(struct codes *codes); /* waits for readers */
bool codes_are_open(const struct codes *codes);

/* The namespace whose codes of this embedder are scanned. */
uint64_t codes_space_tag(uint64_t space, uint64_t embedder);
static inline uint64_t codes_name(uint64_t space_tag)
{
    return space_tag >> (64 - CODES_NAME_BITS);
}
/* Bytes on disk that one more code with its vector takes. */
uint32_t codes_cost(unsigned dim);

/* ---- writing: inside one write transaction */
int codes_write_begin(struct codes *codes, struct kv_txn *txn);
/* RC_INVALID: dim 0, too large, or not the namespace's; RC_FULL: numbers are used up. */
int codes_put(struct codes *codes, struct kv_txn *txn, uint64_t id, uint32_t random, const struct entry_vector *vector);
/* In one pass over the namespace; ids that are not there are passed over. *deleted counts. RC_AGAIN: the transaction is
 * large: commit it and call again. */
int codes_delete(struct codes *codes, struct kv_txn *txn, uint64_t name, const uint64_t *ids, unsigned count,
                 unsigned *deleted);
/* Drops the namespace's blocks that break their CRC or have lost their other half. RC_AGAIN: as codes_delete. */
int codes_verify(struct codes *codes, struct kv_txn *txn, uint64_t name);
int codes_mark_ids(struct codes *codes, struct kv_txn *txn, uint64_t mark);
int codes_embedder_set(struct codes *codes, struct kv_txn *txn, uint64_t embedder);

/* ---- reading in place: one namespace's blocks in turn, inside one read transaction */
struct codes_block {
    const void *codes; /* count × 32 bytes, in the map; a short tail's are not aligned */
    unsigned count, number;
};

struct codes_walk {
    struct codes *codes;
    struct kv_txn txn;
    uint64_t name, key;
    bool begun;
    unsigned slots_number, slots_count; /* of the slots seen last */
    const char *slots;
};

/* RC_IO: not open now. */
int codes_walk_begin(struct codes *codes, uint64_t space_tag, struct codes_walk *walk);
int codes_walk_next(struct codes_walk *walk, struct codes_block *block); /* RC_NOT_FOUND at the end */
/* RC_NOT_FOUND: dead or not there. */
int codes_walk_slot(struct codes_walk *walk, unsigned number, unsigned place, struct codes_slot *slot);
/* Valid until the walk ends; *crc is what crc32c of its bytes must be. */
int codes_walk_vector(struct codes_walk *walk, const struct codes_slot *slot, unsigned place, const int8_t **vector,
                      unsigned *dim, uint32_t *crc);
void codes_walk_end(struct codes_walk *walk);

/* ---- looking at all of it: a worker's job in small pieces */
struct codes_census {
    uint64_t next;         /* key to go on from; 0 at the start and at the end */
    uint64_t name;         /* whose slots these are */
    bool vectors;          /* asked for: verify their CRCs too */
    unsigned count;        /* living ids found */
    unsigned bad;          /* with a damaged vector: at the end of ids, ids[CODES_BLOCK - bad …] */
    unsigned dead, blocks; /* in what was looked at */
    unsigned namespaces, broken;
};
/* Living ids of the next block of slots from census->next on; room for CODES_BLOCK ids. The CRCs of the block's codes and
 * slots are verified: `broken` is set, and `name` says where. */
int codes_census(struct codes *codes, struct codes_census *census, uint64_t *ids);

struct codes_stats {
    uint64_t rows, bytes; /* of pages in use */
};
int codes_stats(struct codes *codes, struct codes_stats *stats);

#endif
