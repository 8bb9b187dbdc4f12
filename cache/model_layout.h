/* SPDX-License-Identifier: Apache-2.0 */
/* cache/model_layout.h — the bytes of an `.lmodel`: header, table, order of the sections. For the reader and the importer.
 *
 * File:    struct model_header at 0, the table of sections at MODEL_TABLE_AT, then the sections in the order of
 *          model_lay_out, each on a border of MODEL_ALIGN bytes with zeros before it. The sizes follow from the header
 *          alone: a table that says anything else is damaged.
 * Pieces:  the vocabulary's table has 2^bits slots, at most three quarters of them used, probed linearly from the hash's
 *          low bits. A slot: 0 when empty, else the piece's offset in the text + 1; then its id in the upper half and
 *          the hash's upper half in the lower. model_piece_hash is FNV-1a of 32 bits (Fowler, Noll, Vo) with a closing
 *          mix (MurmurHash3's, Appleby 2011).
 * Owner:   pure.
 * Threads: any.
 */
#ifndef CACHE_MODEL_LAYOUT_H
#define CACHE_MODEL_LAYOUT_H

#include "cache/model.h"

#define MODEL_MAGIC "LMODEL\r\n"

enum {
    MODEL_MAGIC_SIZE = 8,
    MODEL_TABLE_AT = 256,
    MODEL_SECTIONS_EACH = 20, /* of a layer */
    MODEL_SECTIONS_MAX = 8 + MODEL_LAYERS_MAX * MODEL_SECTIONS_EACH,
    MODEL_DIM_MAX = 1536,
    MODEL_HIDDEN_MAX = 8192,
    MODEL_POSITIONS_MAX = 4096,
    MODEL_VOCABULARY_MAX = 65535,
    MODEL_VOCABULARY_TEXT_MAX = 4 << 20,
    MODEL_HASH_BITS_MAX = 20,
    MODEL_PIECE_SIZE_MAX = 512,
};

struct model_header {
    char magic[MODEL_MAGIC_SIZE];
    uint32_t version, section_count;
    uint64_t file_size;
    uint32_t dim, heads, layer_count, hidden, vocabulary, positions;
    float norm_epsilon;
    uint32_t vocabulary_hash_bits, piece_size_max, vocabulary_text_size;
    uint32_t id_cls, id_sep, id_unk;
    uint32_t table_crc;
    char tag[MODEL_TAG_SIZE], licence[MODEL_TAG_SIZE];
    uint32_t zero, crc; /* of all before */
};

struct model_section {
    uint64_t offset, size;
    uint32_t crc, zero;
};

struct model_sections {
    struct model_section at[MODEL_SECTIONS_MAX];
    unsigned count;
    uint64_t file_size;
};

/* Points everything in `model`, whose numbers and vocabulary_text.size are set, into the file at `base`, and lists the
 * sections (without CRC). RC_INVALID: a number is out of bounds. Reads nothing at `base`. */
int model_lay_out(struct model *model, const unsigned char *base, struct model_sections *sections);

/* model_open for bytes that are in memory already (which stay the caller's). */
int model_open_bytes(const void *bytes, size_t size, struct model *model);

static inline uint32_t model_piece_hash_start(void)
{
    return 2166136261u;
}

static inline uint32_t model_piece_hash_add(uint32_t hash, const void *data, size_t size)
{
    const unsigned char *p = data;
    for (size_t i = 0; i < size; i++) hash = (hash ^ p[i]) * 16777619u;
    return hash;
}

static inline uint32_t model_piece_hash_end(uint32_t hash)
{
    hash = (hash ^ hash >> 16) * 0x85ebca6bu;
    hash = (hash ^ hash >> 13) * 0xc2b2ae35u;
    return hash ^ hash >> 16;
}

/* The id of a piece, or -1. `hash` is its finished hash. */
int model_piece_find(const struct model *model, struct span piece, uint32_t hash);

#endif
