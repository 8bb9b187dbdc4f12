/* SPDX-License-Identifier: Apache-2.0 */
/* storage/codes_format.h — the bytes of the blocks, for storage/codes*.c only. All fields little endian. */
#ifndef STORAGE_CODES_FORMAT_H
#define STORAGE_CODES_FORMAT_H

#include <assert.h>

#include "platform/hash.h"
#include "storage/codes.h"

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "blocks are written as they lie in memory");

enum codes_table { TABLE_BLOCKS, TABLE_BOX, CODES_TABLES };
enum codes_box { BOX_FORMAT = 1, BOX_EMBEDDER = 2, BOX_IDS = 3 };
enum codes_kind { KIND_CODES, KIND_SLOTS, KIND_VECTORS, KIND_LOOSE };
enum codes_flags { CODES_SEALED = 1 /* the vectors; storage issue */ };

enum {
    CODES_PAGE_HEADER = sizeof(size_t) + 8, /* of LMDB, before a value on pages of its own */
    CODES_HEADER = 64 - CODES_PAGE_HEADER,
    CODES_SLOTS_HEADER = 16,
    CODES_LOOSE_HEADER = 16,
    CODES_BLOCK_SIZE = CODES_HEADER + CODES_BLOCK * CODES_CODE_SIZE,
    CODES_SLOTS_SIZE = CODES_SLOTS_HEADER + CODES_BLOCK * 16,
    CODES_FOLD_MAX = CODES_HEADER + CODES_TAIL * (CODES_DIM_MAX + 4),
    CODES_PLACE_BITS = 7,
};
static_assert(CODES_BLOCK_SIZE + CODES_PAGE_HEADER == 32768, "a block fills eight pages of 4 KiB");
static_assert(CODES_SLOTS_SIZE + 16 == 16384, "its slots fill four");
static_assert(CODES_TAIL < 1 << CODES_PLACE_BITS, "a place in a fold");

struct codes_header {
    uint32_t crc; /* of the key and all bytes behind this field */
    uint8_t version, kind;
    uint16_t flags;
    uint32_t key_id;     /* of the sealing key; 0: not sealed */
    uint32_t count;      /* codes, vectors */
    uint32_t dim;        /* of the vectors */
    uint32_t present[4]; /* of vectors: places of the fold that are here */
    unsigned char unused[CODES_HEADER - 36];
};
static_assert(sizeof(struct codes_header) == CODES_HEADER, "no hidden bytes");

struct codes_slots_header {
    uint32_t crc;
    uint8_t version, kind;
    uint16_t flags;
    uint32_t count, dead;
};
static_assert(sizeof(struct codes_slots_header) == CODES_SLOTS_HEADER, "no hidden bytes");
static_assert(sizeof(struct codes_slot) == 16, "no hidden bytes");

struct codes_loose {
    uint32_t crc;
    uint8_t version, kind;
    uint16_t dim;
    uint32_t key_id, vector_crc; /* the vector's own CRC too, as in a fold */
};
static_assert(sizeof(struct codes_loose) == CODES_LOOSE_HEADER, "no hidden bytes");

/* One block in the writer's memory. */
struct codes_run {
    unsigned number, count, dead, dim;
    uint64_t codes[CODES_BLOCK][CODES_WORDS];
    struct codes_slot slots[CODES_BLOCK];
};

struct codes_touched { /* a fold some of whose vectors died */
    uint32_t fold;
    uint32_t live[4];
};

struct codes_scratch {
    struct codes_run tail, block, other;
    struct codes_touched touched[CODES_DELETES_MAX];
    unsigned touched_count;
    unsigned char fold[CODES_FOLD_MAX];
};

static inline uint64_t codes_key(uint64_t name, enum codes_kind kind, unsigned number)
{
    return name << 24 | (uint64_t)kind << CODES_NUMBER_BITS | number;
}
static inline unsigned codes_key_number(uint64_t key)
{
    return (unsigned)(key & CODES_TAIL_NUMBER);
}
static inline bool codes_key_is(uint64_t key, uint64_t name, enum codes_kind kind)
{
    return key >> CODES_NUMBER_BITS == (name << 2 | (unsigned)kind);
}
static inline unsigned codes_slot_fold(const struct codes_slot *slot)
{
    return slot->vector >> CODES_PLACE_BITS;
}
static inline unsigned codes_slot_place(const struct codes_slot *slot)
{
    return slot->vector & ((1u << CODES_PLACE_BITS) - 1);
}
static inline bool codes_bit(const uint32_t bits[4], unsigned n)
{
    return bits[n / 32] >> n % 32 & 1;
}
static inline void codes_bit_set(uint32_t bits[4], unsigned n)
{
    bits[n / 32] |= UINT32_C(1) << n % 32;
}
/* Bits set below n. */
static inline unsigned codes_bits_below(const uint32_t bits[4], unsigned n)
{
    unsigned count = 0;
    for (unsigned i = 0; i < n / 32; i++) count += (unsigned)__builtin_popcount(bits[i]);
    return n % 32 ? count + (unsigned)__builtin_popcount(bits[n / 32] << (32 - n % 32)) : count;
}

uint32_t codes_crc(uint64_t key, struct span value);
/* Sizes, kind, version; `whole` also the CRC. RC_CORRUPT. */
int codes_check(struct span value, uint64_t key, enum codes_kind kind, bool whole);
size_t codes_block_size(unsigned number, unsigned count);
size_t codes_slots_size(unsigned number, unsigned count);
static inline size_t codes_fold_size(unsigned count, unsigned dim)
{
    return CODES_HEADER + (size_t)count * (dim + 4u);
}

/* ---- the writer's: codes_write.c */
/* RC_NOT_FOUND: none, or it was damaged, is dropped and counted. */
int codes_run_load(struct codes *codes, struct kv_txn *txn, uint64_t name, unsigned number, struct codes_run *run);
int codes_run_store(struct codes *codes, struct kv_txn *txn, uint64_t name, struct codes_run *run);
/* Without its codes, which did not change. */
int codes_run_store_slots(struct codes *codes, struct kv_txn *txn, uint64_t name, struct codes_run *run);
int codes_run_remove(struct codes *codes, struct kv_txn *txn, uint64_t name, unsigned number);
/* Without its dead; a run of large blocks only: tails keep their places. */
void codes_run_tighten(struct codes_run *run);
void codes_run_append(struct codes_run *run, const uint64_t code[CODES_WORDS], const struct codes_slot *slot);
/* The first block of slots of the namespace with this number or above. */
int codes_slots_from(struct kv_txn *txn, uint64_t name, unsigned from, unsigned *number, struct span *value);
/* Only for memory that is copied from at once: a value in a leaf may be unaligned. */
struct codes_slots_header codes_slots_head(struct span value);
/* Writes scratch->fold, whose vectors and CRCs are in place. */
int codes_fold_store(struct codes *codes, struct kv_txn *txn, uint64_t key, struct codes_header *head);

#endif
