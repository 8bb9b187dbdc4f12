/* SPDX-License-Identifier: Apache-2.0 */
/* storage/entries.c — opening, and the writer's half of the rows. */
#include "storage/entries.h"

#include "platform/check.h"
#include "platform/compress.h"
#include "platform/plan.h"
#include "platform/rc.h"
#include "storage/codes.h"
#include "storage/entries_format.h"
#include "storage/layout.h"

static const char *const entries_tables[ENTRIES_TABLES] = {"rows", "index", "box"};
static const char entries_name[16] = "larder entries";

int entries_reserve(struct entries *entries, size_t body_max)
{
    void *scratch;
    int rc = kv_reserve(body_max);
    if (rc == RC_OK)
        rc = plan_take("store compress", 1, compress_bound(body_max), PLAN_LAZY, 0, "limits.parse_max", &scratch);
    if (rc != RC_OK) return rc;
    entries->scratch = scratch;
    entries->scratch_size = compress_bound(body_max);
    pthread_rwlock_init(&entries->gate, NULL);
    return RC_OK;
}

/* ---- the box */

static int box_create(struct entries *entries, const struct hash_key *key)
{
    struct kv_txn txn;
    struct format_row row = {.version = ENTRIES_VERSION, .key = {key->k0, key->k1}};
    memcpy(row.name, entries_name, sizeof row.name);
    int rc = kv_write_begin(&entries->kv, &txn);
    if (rc != RC_OK) return rc;
    rc = kv_put(&txn, TABLE_BOX, BOX_FORMAT, span_of((const char *)&row, sizeof row));
    if (rc == RC_OK) rc = kv_commit(&txn);
    kv_abort(&txn);
    entries->tag_key = *key;
    return rc;
}

/* Rows that an older program would take for damaged may come now: it must refuse the store instead. */
static int box_upgrade(struct entries *entries)
{
    struct hash_key key = entries->tag_key;
    return entries->version < ENTRIES_VERSION && !entries->kv.read_only ? box_create(entries, &key) : RC_OK;
}

static int box_read(struct entries *entries, struct kv_txn *txn)
{
    struct span value;
    struct format_row row;
    uint64_t rows;
    int rc = kv_get(txn, TABLE_BOX, BOX_FORMAT, &value);
    if (rc == RC_NOT_FOUND) { /* new, or somebody else's */
        rc = kv_count(txn, TABLE_ROWS, &rows);
        return rc == RC_OK ? (rows == 0 ? RC_NOT_FOUND : RC_CORRUPT) : rc;
    }
    if (rc != RC_OK) return rc;
    if (value.size < sizeof row) return RC_CORRUPT;
    memcpy(&row, value.data, sizeof row);
    if (memcmp(row.name, entries_name, sizeof row.name) != 0) return RC_CORRUPT;
    if (row.version > ENTRIES_VERSION) return RC_VERSION;
    if (row.version < 1) return RC_CORRUPT;
    entries->version = row.version;
    entries->tag_key = (struct hash_key){row.key[0], row.key[1]};
    rc = kv_get(txn, TABLE_BOX, BOX_IDS, &value);
    if (rc == RC_OK && value.size == sizeof entries->id_mark) memcpy(&entries->id_mark, value.data, value.size);
    return rc == RC_NOT_FOUND ? RC_OK : rc;
}

/* Ids above the mark that was saved, in case only the rows survived. */
static int box_raise_mark(struct entries *entries, struct kv_txn *txn)
{
    uint64_t last;
    struct span value;
    int rc = kv_last(txn, TABLE_ROWS, &last, &value);
    if (rc == RC_OK && last >> 16 >= entries->id_mark) entries->id_mark = (last >> 16) + 1;
    return rc == RC_NOT_FOUND ? RC_OK : rc;
}

static int open_locked(struct entries *entries, const char *folder, uint64_t map_bytes, bool read_only,
                       const struct hash_key *key)
{
    struct kv_txn txn;
    struct kv_options options = {
        .folder = folder,
        .tables = entries_tables,
        .table_count = ENTRIES_TABLES,
        .map_bytes = map_bytes,
        .readers = KV_READERS_MAX,
        .read_only = read_only,
    };
    entries->id_mark = 1;
    entries->version = ENTRIES_VERSION;
    int rc = kv_open(&entries->kv, &options);
    if (rc != RC_OK) return rc == RC_NOT_FOUND ? RC_CORRUPT : rc; /* read only, and not our tables */
    rc = kv_read_begin(&entries->kv, &txn);
    if (rc == RC_OK) {
        rc = box_read(entries, &txn);
        if (rc == RC_OK) rc = box_raise_mark(entries, &txn);
        kv_read_end(&txn);
    }
    if (rc == RC_NOT_FOUND) rc = box_create(entries, key);
    if (rc == RC_OK) rc = box_upgrade(entries);
    if (rc != RC_OK) kv_close(&entries->kv);
    return rc;
}

int entries_open(struct entries *entries, const char *folder, uint64_t map_bytes, bool read_only,
                 const struct hash_key *key)
{
    pthread_rwlock_wrlock(&entries->gate);
    int rc = open_locked(entries, folder, map_bytes, read_only, key);
    pthread_rwlock_unlock(&entries->gate);
    return rc;
}

void entries_close(struct entries *entries)
{
    pthread_rwlock_wrlock(&entries->gate);
    kv_close(&entries->kv);
    pthread_rwlock_unlock(&entries->gate);
}

bool entries_are_open(const struct entries *entries)
{
    return entries->kv.env != NULL;
}

int entries_mark_ids(struct kv_txn *txn, uint64_t mark)
{
    return kv_put(txn, TABLE_BOX, BOX_IDS, span_of((const char *)&mark, sizeof mark));
}

/* ---- putting */

struct put_plan {
    struct row_header header;
    struct span stored; /* the body as stored */
    struct layout layout;
    size_t row_size;
};

static uint8_t name_size(const char *name)
{
    return (uint8_t)strnlen(name, ENTRY_NAME_MAX - 1);
}

/* Compresses when that makes it smaller by an eighth at least: else reading would pay for nothing. */
static enum entry_coding encode_body(struct entries *entries, struct span body, struct span *stored)
{
    size_t size;
    *stored = body;
    if (body.size < ENTRIES_COMPRESS_FROM) return CODING_PLAIN;
    if (compress_block(body, entries->scratch, entries->scratch_size, &size) != RC_OK) return CODING_PLAIN;
    if (size > body.size - body.size / 8) return CODING_PLAIN;
    *stored = span_of((const char *)entries->scratch, size);
    return CODING_ZSTD_BLOCK;
}

static uint64_t put_space(const struct entry_new *entry)
{
    return entry->vector ? entry->vector->space : 0;
}

static struct span put_guard(const struct entry_new *entry)
{
    bool kept = put_space(entry) != 0 && entry->vector->guard.size <= ENTRIES_GUARD_MAX;
    return kept ? entry->vector->guard : span_of("", 0);
}

static uint8_t put_flags(const struct entry_new *entry)
{
    unsigned flags = entry->meta->flags & ~(unsigned)(ENTRY_WORDED | ENTRY_SHARED);
    if (put_space(entry) != 0) flags |= entry->vector->shared ? ENTRY_WORDED | ENTRY_SHARED : ENTRY_WORDED;
    return (uint8_t)flags;
}

static size_t put_fixed(const struct entry_new *entry)
{
    return sizeof(struct row_header) + name_size(entry->meta->provider) + name_size(entry->meta->model) +
           entry->query.size + put_guard(entry).size;
}

static void put_plan(struct entries *entries, const struct entry_new *entry, struct put_plan *plan)
{
    const struct entry_meta *meta = entry->meta;
    struct row_header *h = &plan->header;
    uint64_t space = put_space(entry);
    *h = (struct row_header){
        .version = ENTRIES_ROW_VERSION,
        .id = meta->id,
        .created_us = meta->created_us,
        .ttl_s = meta->ttl_s,
        .dialect = meta->dialect,
        .form = meta->form,
        .flags = put_flags(entry),
        .chain_link = meta->chain_link,
        .upstream_ms = meta->upstream_ms,
        .tokens_in = meta->tokens_in,
        .tokens_out = meta->tokens_out,
        .cost = meta->cost,
        .key_id = meta->key_id,
        .body_size = (uint32_t)entry->body.size,
        .query_size = (uint16_t)entry->query.size,
        .provider_size = name_size(meta->provider),
        .model_size = name_size(meta->model),
        .space = {(uint32_t)space, (uint32_t)(space >> 32)},
    };
    memcpy(h->digest, entry->digest->bytes, sizeof h->digest);
    memcpy(h->tenant, meta->tenant, sizeof h->tenant);
    h->random = (uint32_t)hash_of(&entries->tag_key, h, sizeof *h).low;
    h->coding = (uint8_t)encode_body(entries, entry->body, &plan->stored);
    size_t fixed = put_fixed(entry);
    plan->layout = layout_choose(entries->kv.page_size, fixed, plan->stored.size);
    h->chunks = (uint16_t)plan->layout.chunks;
    h->stored_size = (uint32_t)plan->stored.size;
    h->row_body = (uint32_t)plan->layout.row_body;
    h->body_crc = crc32c(0, plan->stored.data, plan->stored.size);
    plan->row_size = fixed + plan->layout.row_body;
}

static unsigned char *append_bytes(unsigned char *to, const char *from, size_t size)
{
    if (size > 0) memcpy(to, from, size);
    return to + size;
}

static int put_row(struct kv_txn *txn, const struct entry_new *entry, const struct put_plan *plan)
{
    void *room;
    const struct row_header *h = &plan->header;
    int rc = kv_append_room(txn, TABLE_ROWS, row_key(h->id, 0), plan->row_size, &room);
    if (rc != RC_OK) return rc;
    unsigned char *row = room;
    unsigned char *at = append_bytes(row, (const char *)h, sizeof *h);
    at = append_bytes(at, entry->meta->provider, h->provider_size);
    at = append_bytes(at, entry->meta->model, h->model_size);
    at = append_bytes(at, entry->query.data, entry->query.size);
    at = append_bytes(at, put_guard(entry).data, put_guard(entry).size);
    at = append_bytes(at, plan->stored.data + plan->stored.size - h->row_body, h->row_body);
    CHECK(at == row + plan->row_size);
    uint32_t crc = crc32c(0, row + sizeof crc, plan->row_size - sizeof crc);
    memcpy(row, &crc, sizeof crc);
    return RC_OK;
}

static int put_chunks(struct kv_txn *txn, const struct put_plan *plan)
{
    struct span left = span_of(plan->stored.data, plan->stored.size - plan->header.row_body);
    for (unsigned part = 1; part <= plan->layout.chunks; part++) {
        size_t size = left.size < LAYOUT_CHUNK_MAX ? left.size : LAYOUT_CHUNK_MAX;
        int rc = kv_append(txn, TABLE_ROWS, row_key(plan->header.id, part), span_of(left.data, size));
        if (rc != RC_OK) return rc;
        left = span_of(left.data + size, left.size - size);
    }
    CHECK(left.size == 0);
    return RC_OK;
}

/* ---- the index: the row of the id's block, read, changed, written back */

static int index_write(struct kv_txn *txn, uint64_t key, struct index_row *row)
{
    if (row->count == 0) return kv_delete(txn, TABLE_INDEX, key);
    row->crc = index_row_crc(row, key);
    struct span value = span_of((const char *)row, index_row_size(row));
    return kv_put(txn, TABLE_INDEX, key, value);
}

/* Ids grow, so a new cell is the last of its row. A row that was damaged is begun anew. */
static int put_index(struct kv_txn *txn, const struct entry_new *entry, uint32_t cost)
{
    const struct entry_meta *meta = entry->meta;
    uint64_t key = meta->id / INDEX_BLOCK;
    struct index_row row;
    struct span value;
    int rc = kv_get(txn, TABLE_INDEX, key, &value);
    if (rc != RC_OK && rc != RC_NOT_FOUND) return rc;
    bool fresh = rc == RC_NOT_FOUND;
    if (fresh || index_row_open(value, key, &row) != RC_OK) row = (struct index_row){.version = ENTRIES_INDEX_VERSION};
    CHECK(row.count < INDEX_BLOCK);
    struct index_cell *cell = &row.cells[row.count++];
    *cell = (struct index_cell){
        .created_s = (uint32_t)(meta->created_us / 1000000),
        .ttl_s = meta->ttl_s,
        .cost = cost,
        .flags = put_flags(entry),
        .place = (uint8_t)(meta->id % INDEX_BLOCK),
    };
    memcpy(&cell->tenant, meta->tenant, sizeof cell->tenant);
    memcpy(cell->tag, entry->tag, sizeof cell->tag);
    if (!fresh) return index_write(txn, key, &row);
    row.crc = index_row_crc(&row, key);
    return kv_append(txn, TABLE_INDEX, key, span_of((const char *)&row, index_row_size(&row)));
}

static int delete_index(struct kv_txn *txn, uint64_t id)
{
    uint64_t key = id / INDEX_BLOCK;
    struct index_row row;
    struct span value;
    unsigned left = 0;
    int rc = kv_get(txn, TABLE_INDEX, key, &value);
    if (rc != RC_OK) return rc;
    if (index_row_open(value, key, &row) != RC_OK) return RC_NOT_FOUND; /* nobody finds them any more */
    for (unsigned i = 0; i < row.count; i++)
        if (row.cells[i].place != id % INDEX_BLOCK) row.cells[left++] = row.cells[i];
    if (left == row.count) return RC_NOT_FOUND;
    row.count = (uint8_t)left;
    return index_write(txn, key, &row);
}

/* With what the index of codes will take besides. */
static uint32_t put_cost(const struct entries *entries, const struct entry_new *entry, const struct layout *layout)
{
    size_t index = layout_row_cost(entries->kv.page_size, sizeof(struct index_row)) / INDEX_BLOCK;
    return (uint32_t)(layout->cost + index) + (put_space(entry) != 0 ? codes_cost(entry->vector->dim) : 0);
}

uint32_t entries_cost(const struct entries *entries, const struct entry_new *entry)
{
    if (!entries_are_open(entries)) return 0;
    struct layout layout = layout_choose(entries->kv.page_size, put_fixed(entry), entry->body.size);
    return put_cost(entries, entry, &layout);
}

int entries_put(struct entries *entries, struct kv_txn *txn, const struct entry_new *entry, uint32_t *cost,
                uint32_t *random)
{
    struct put_plan plan;
    CHECK(entry->meta->id > 0);
    CHECK(entry->meta->id >> ENTRIES_ID_BITS == 0);
    CHECK(entry->query.size <= ENTRY_QUERY_MAX);
    CHECK(entry->body.size <= ENTRIES_BODY_MAX);
    put_plan(entries, entry, &plan);
    *cost = put_cost(entries, entry, &plan.layout);
    *random = plan.header.random;
    int rc = put_row(txn, entry, &plan);
    if (rc == RC_OK) rc = put_chunks(txn, &plan);
    if (rc == RC_OK) rc = put_index(txn, entry, *cost);
    return rc;
}

/* ---- deleting */

int entries_delete(struct kv_txn *txn, uint64_t id)
{
    struct span value;
    struct row_header header = {0};
    int rc = kv_get(txn, TABLE_ROWS, row_key(id, 0), &value);
    if (rc != RC_OK && rc != RC_NOT_FOUND) return rc;
    if (rc == RC_OK && value.size >= sizeof header) memcpy(&header, value.data, sizeof header);
    if (rc == RC_OK) rc = kv_delete(txn, TABLE_ROWS, row_key(id, 0));
    for (unsigned part = header.chunks; part > 0 && (rc == RC_OK || rc == RC_NOT_FOUND); part--)
        rc = kv_delete(txn, TABLE_ROWS, row_key(id, part));
    if (rc != RC_OK && rc != RC_NOT_FOUND) return rc;
    int index = delete_index(txn, id);
    return index == RC_NOT_FOUND ? rc : index;
}

/* ---- the eviction state */

int entries_state_put(struct kv_txn *txn, unsigned part, struct span value)
{
    CHECK(value.size <= ENTRIES_STATE_PART);
    return kv_put(txn, TABLE_BOX, BOX_STATE + part, value);
}

int entries_state_cut(struct kv_txn *txn, unsigned parts)
{
    int rc = RC_OK;
    while (rc == RC_OK) rc = kv_delete(txn, TABLE_BOX, BOX_STATE + parts++);
    return rc == RC_NOT_FOUND ? RC_OK : rc;
}
