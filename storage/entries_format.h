/* SPDX-License-Identifier: Apache-2.0 */
/* storage/entries_format.h — the bytes of the rows, for storage/entries*.c only. All fields little endian. */
#ifndef STORAGE_ENTRIES_FORMAT_H
#define STORAGE_ENTRIES_FORMAT_H

#include <assert.h>

#include "storage/entries.h"

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "rows are written as they lie in memory");

enum entries_table { TABLE_ROWS, TABLE_INDEX, TABLE_BOX, ENTRIES_TABLES };
enum entries_box { BOX_FORMAT = 1, BOX_IDS = 2, BOX_STATE = 1 << 16 };
enum entry_coding { CODING_PLAIN = 0, CODING_ZSTD_BLOCK = 1 };

struct row_header {
    uint32_t crc;    /* of all bytes of the row behind this field */
    uint8_t version; /* of the row: 1 has no space and no guard's bytes */
    uint8_t coding;  /* of the body */
    uint16_t chunks;
    uint8_t digest[DIGEST_SIZE];
    uint8_t tenant[ENTRY_TENANT_SIZE];
    uint64_t id;
    uint64_t created_us;
    uint32_t ttl_s;
    uint8_t dialect, form, flags, chain_link;
    uint32_t upstream_ms, tokens_in, tokens_out;
    uint32_t key_id;      /* reserved for sealing */
    uint32_t cost;        /* micro-USD; rows of before it was kept have 0 */
    uint32_t random;      /* the random bits a candidate must repeat */
    uint32_t body_size;   /* decoded */
    uint32_t stored_size; /* as stored, all chunks and the row's part */
    uint32_t row_body;    /* of it in this row */
    uint32_t body_crc;    /* of the stored bytes */
    uint16_t query_size;
    uint8_t provider_size, model_size;
    uint32_t space[2]; /* low, high; 0: exact only */
};
static_assert(sizeof(struct row_header) == 136, "no hidden bytes");
static_assert(sizeof(struct row_header) % 8 == 0, "no hidden bytes at the end");

/* Behind the header: provider, model, query, what the guards read of the query (all the rest), the body's last bytes. */
enum { ENTRIES_ROW_VERSION = 2, ENTRIES_INDEX_VERSION = 1 };

/* One row of the index for INDEX_BLOCK ids in a row: boot walks few rows, and a page of 4 KiB holds four full ones. */
enum { INDEX_BLOCK = 32 };

struct index_cell {
    uint32_t created_s, ttl_s, tenant, cost;
    uint8_t flags;
    uint8_t place; /* id modulo INDEX_BLOCK; cells are in this order */
    uint8_t tag[ENTRIES_TAG_SIZE];
};
static_assert(sizeof(struct index_cell) == 28, "no hidden bytes");

struct index_row {
    uint32_t crc; /* of the key and the bytes behind this field */
    uint8_t version, count;
    uint16_t reserved;
    struct index_cell cells[INDEX_BLOCK]; /* `count` of them are stored */
};
static_assert(sizeof(struct index_row) == 8 + INDEX_BLOCK * 28, "no hidden bytes");

struct format_row {
    char name[16];
    uint32_t version, reserved;
    uint64_t key[2];
};
static_assert(sizeof(struct format_row) == 40, "no hidden bytes");

static inline uint64_t row_key(uint64_t id, unsigned part)
{
    return id << 16 | part;
}

/* The header in aligned memory; RC_CORRUPT when the row is not whole or not of this id. */
int row_open(struct span value, uint64_t id, struct row_header *header);
void row_meta(const struct row_header *header, struct span value, struct entry_meta *meta);
struct span row_query(const struct row_header *header, struct span value);
struct span row_guard(const struct row_header *header, struct span value);
static inline uint64_t row_space(const struct row_header *header)
{
    return (uint64_t)header->space[1] << 32 | header->space[0];
}
struct span row_body(const struct row_header *header, struct span value);

size_t index_row_size(const struct index_row *row);
uint32_t index_row_crc(const struct index_row *row, uint64_t key);
/* A copy in aligned memory; RC_CORRUPT. */
int index_row_open(struct span value, uint64_t key, struct index_row *row);
struct entry_index index_cell_open(const struct index_row *row, unsigned cell, uint64_t key);

#endif
