/* SPDX-License-Identifier: Apache-2.0 */
/* storage/entries_read.c — the readers' half of the rows: copy out, end the transaction, then verify. */
#include "platform/check.h"
#include "platform/compress.h"
#include "platform/rc.h"
#include "storage/entries_format.h"
#include "storage/layout.h"

static_assert((int)ENTRIES_STATE_PART == (int)LAYOUT_CHUNK_MAX, "a part of the state fills whole pages");

int row_open(struct span value, uint64_t id, struct row_header *h)
{
    if (value.size < sizeof *h) return RC_CORRUPT;
    memcpy(h, value.data, sizeof *h);
    if (h->crc != crc32c(0, value.data + sizeof h->crc, value.size - sizeof h->crc)) return RC_CORRUPT;
    if (h->version != ENTRIES_VERSION || h->id != id) return RC_CORRUPT;
    size_t texts = (size_t)h->provider_size + h->model_size + h->query_size;
    if (h->provider_size >= ENTRY_NAME_MAX || h->model_size >= ENTRY_NAME_MAX) return RC_CORRUPT;
    if (h->query_size > ENTRY_QUERY_MAX || value.size != sizeof *h + texts + h->row_body) return RC_CORRUPT;
    size_t chunked = h->stored_size - h->row_body;
    if (h->row_body > h->stored_size || h->stored_size > ENTRIES_BODY_MAX) return RC_CORRUPT;
    if (h->chunks != (chunked + LAYOUT_CHUNK_MAX - 1) / LAYOUT_CHUNK_MAX) return RC_CORRUPT;
    if (h->coding == CODING_PLAIN) return h->body_size == h->stored_size ? RC_OK : RC_CORRUPT;
    return h->coding == CODING_ZSTD_BLOCK ? RC_OK : RC_CORRUPT;
}

static void copy_name(char name[ENTRY_NAME_MAX], const char *from, size_t size)
{
    memset(name, 0, ENTRY_NAME_MAX);
    memcpy(name, from, size);
}

void row_meta(const struct row_header *h, struct span value, struct entry_meta *meta)
{
    *meta = (struct entry_meta){
        .id = h->id, .created_us = h->created_us, .ttl_s = h->ttl_s, .dialect = h->dialect, .form = h->form,
        .flags = h->flags, .chain_link = h->chain_link, .upstream_ms = h->upstream_ms, .tokens_in = h->tokens_in,
        .tokens_out = h->tokens_out, .key_id = h->key_id,
    };
    memcpy(meta->tenant, h->tenant, sizeof meta->tenant);
    copy_name(meta->provider, value.data + sizeof *h, h->provider_size);
    copy_name(meta->model, value.data + sizeof *h + h->provider_size, h->model_size);
}

struct span row_query(const struct row_header *h, struct span value)
{
    return span_of(value.data + sizeof *h + h->provider_size + h->model_size, h->query_size);
}

struct span row_body(const struct row_header *h, struct span value)
{
    return span_of(value.data + value.size - h->row_body, h->row_body);
}

int index_row_open(struct span value, uint64_t id, struct entry_index *index)
{
    struct index_row row;
    if (value.size != sizeof row) return RC_CORRUPT;
    memcpy(&row, value.data, sizeof row);
    if (row.crc != crc32c(crc32c(0, &id, sizeof id), &row.created_s, sizeof row - sizeof row.crc)) return RC_CORRUPT;
    if (row.version != ENTRIES_VERSION) return RC_CORRUPT;
    *index = (struct entry_index){.id = id, .flags = row.flags, .created_s = row.created_s, .ttl_s = row.ttl_s,
                                  .tenant = row.tenant, .cost = row.cost};
    memcpy(index->tag, row.tag, sizeof index->tag);
    return RC_OK;
}

/* ---- transactions, unless the environment is being opened anew */

static int read_begin(struct entries *entries, struct kv_txn *txn)
{
    pthread_rwlock_rdlock(&entries->gate);
    int rc = entries->kv.env ? kv_read_begin(&entries->kv, txn) : RC_IO;
    if (rc != RC_OK) pthread_rwlock_unlock(&entries->gate);
    return rc;
}

static void read_end(struct entries *entries, struct kv_txn *txn)
{
    kv_read_end(txn);
    pthread_rwlock_unlock(&entries->gate);
}

/* ---- one entry */

struct copy {
    struct row_header header;
    char *stored; /* in the arena: the body itself, or what decodes to it */
    char *body;   /* NULL when stored is the body */
    size_t mark;  /* of the arena, before `stored` */
};

static int copy_chunks(struct kv_txn *txn, const struct row_header *h, char *to)
{
    size_t left = h->stored_size - h->row_body;
    for (unsigned part = 1; part <= h->chunks; part++) {
        struct span value;
        size_t size = left < LAYOUT_CHUNK_MAX ? left : LAYOUT_CHUNK_MAX;
        int rc = kv_get(txn, TABLE_ROWS, row_key(h->id, part), &value);
        if (rc != RC_OK) return rc == RC_NOT_FOUND ? RC_CORRUPT : rc;
        if (value.size != size) return RC_CORRUPT;
        memcpy(to, value.data, size);
        to += size;
        left -= size;
    }
    return RC_OK;
}

static int copy_out(struct kv_txn *txn, uint64_t id, const struct digest *digest, struct arena *arena,
                    struct entry_texts *texts, struct copy *copy)
{
    struct span value;
    struct row_header *h = &copy->header;
    int rc = kv_get(txn, TABLE_ROWS, row_key(id, 0), &value);
    if (rc == RC_OK) rc = row_open(value, id, h);
    if (rc != RC_OK) return rc;
    if (digest && memcmp(h->digest, digest->bytes, sizeof h->digest) != 0) return RC_NOT_FOUND;
    row_meta(h, value, &texts->meta);
    texts->query = arena_copy(arena, row_query(h, value));
    /* The body before what it decodes from, which is then cut off again. */
    copy->body = h->coding == CODING_PLAIN ? NULL : arena_take(arena, h->body_size + 1u, 1);
    copy->mark = arena_mark(arena);
    copy->stored = arena_take(arena, h->stored_size + 1u, 1);
    if (!texts->query.data || !copy->stored || (h->coding != CODING_PLAIN && !copy->body)) return RC_FULL;
    struct span tail = row_body(h, value);
    memcpy(copy->stored + h->stored_size - tail.size, tail.data, tail.size);
    return copy_chunks(txn, h, copy->stored);
}

static int decode(const struct copy *copy, struct arena *arena, struct span *body)
{
    const struct row_header *h = &copy->header;
    struct span stored = span_of(copy->stored, h->stored_size);
    size_t size;
    if (crc32c(0, stored.data, stored.size) != h->body_crc) return RC_CORRUPT;
    *body = stored;
    if (h->coding == CODING_PLAIN) return RC_OK;
    int rc = decompress_block(stored, copy->body, h->body_size, &size);
    if (rc != RC_OK || size != h->body_size) return RC_CORRUPT;
    *body = span_of(copy->body, size);
    arena_rewind(arena, copy->mark);
    return RC_OK;
}

int entries_read(struct entries *entries, uint64_t id, const struct digest *digest, struct arena *arena,
                 struct entry_texts *texts)
{
    struct kv_txn txn;
    struct copy copy;
    size_t start = arena_mark(arena);
    int rc = read_begin(entries, &txn);
    if (rc != RC_OK) return rc;
    rc = copy_out(&txn, id, digest, arena, texts, &copy);
    read_end(entries, &txn);
    if (rc == RC_OK) rc = decode(&copy, arena, &texts->body);
    if (rc != RC_OK) arena_rewind(arena, start);
    return rc;
}

/* ---- walks */

int entries_scan(struct entries *entries, uint64_t from, bool (*each)(void *context, const struct entry_index *index),
                 void *context, unsigned *damaged)
{
    struct kv_txn txn;
    struct span value;
    struct entry_index index;
    uint64_t id;
    *damaged = 0;
    int rc = read_begin(entries, &txn);
    if (rc != RC_OK) return rc;
    for (rc = kv_seek(&txn, TABLE_INDEX, from, &id, &value); rc == RC_OK; rc = kv_next(&txn, TABLE_INDEX, &id, &value)) {
        if (index_row_open(value, id, &index) != RC_OK) ++*damaged;
        else if (!each(context, &index)) break;
    }
    read_end(entries, &txn);
    return rc == RC_NOT_FOUND ? RC_OK : rc;
}

/* Whether the row, not only its index row, names the tenant. A row that cannot be read belongs to whom its index says. */
static bool row_is_of(struct kv_txn *txn, uint64_t id, const uint8_t *tenant)
{
    struct span value;
    struct row_header header;
    if (kv_get(txn, TABLE_ROWS, row_key(id, 0), &value) != RC_OK || value.size < sizeof header) return true;
    memcpy(&header, value.data, sizeof header);
    return memcmp(header.tenant, tenant, sizeof header.tenant) == 0;
}

int entries_of_tenant(struct entries *entries, const uint8_t *tenant, uint64_t from, uint64_t to, uint64_t *ids,
                      unsigned max, unsigned *count, uint64_t *next)
{
    struct kv_txn txn;
    struct span value;
    struct entry_index index;
    uint64_t id;
    uint32_t prefix = 0;
    if (tenant) memcpy(&prefix, tenant, sizeof prefix);
    *count = 0;
    *next = to;
    int rc = read_begin(entries, &txn);
    if (rc != RC_OK) return rc;
    for (rc = kv_seek(&txn, TABLE_INDEX, from, &id, &value); rc == RC_OK; rc = kv_next(&txn, TABLE_INDEX, &id, &value)) {
        if (id >= to) break;
        bool candidate = !tenant || index_row_open(value, id, &index) != RC_OK || index.tenant == prefix;
        if (!candidate || (tenant && !row_is_of(&txn, id, tenant))) continue;
        if (*count == max) {
            *next = id;
            break;
        }
        ids[(*count)++] = id;
    }
    read_end(entries, &txn);
    return rc == RC_NOT_FOUND ? RC_OK : rc;
}

struct oldest {
    uint64_t *ids;
    unsigned max, count;
};

static bool oldest_each(void *context, const struct entry_index *index)
{
    struct oldest *oldest = context;
    if (!(index->flags & ENTRY_PINNED)) oldest->ids[oldest->count++] = index->id;
    return oldest->count < oldest->max;
}

int entries_oldest(struct entries *entries, uint64_t *ids, unsigned max, unsigned *count)
{
    struct oldest oldest = {ids, max, 0};
    unsigned damaged;
    int rc = entries_scan(entries, 0, oldest_each, &oldest, &damaged);
    *count = oldest.count;
    return rc;
}

/* The newest index row below `before`. */
static int list_start(struct kv_txn *txn, uint64_t before, uint64_t *id)
{
    struct span value;
    int rc = kv_seek(txn, TABLE_INDEX, before, id, &value);
    return rc == RC_OK ? kv_previous(txn, TABLE_INDEX, id, &value) : kv_last(txn, TABLE_INDEX, id, &value);
}

int entries_list(struct entries *entries, uint64_t before, unsigned count, size_t query_max, struct arena *arena,
                 struct entry_meta *metas, struct span *queries, unsigned *listed)
{
    struct kv_txn txn;
    struct span value, row;
    struct row_header header;
    uint64_t id;
    *listed = 0;
    int rc = read_begin(entries, &txn);
    if (rc != RC_OK) return rc;
    for (rc = list_start(&txn, before, &id); rc == RC_OK && *listed < count;
         rc = kv_previous(&txn, TABLE_INDEX, &id, &value)) {
        if (kv_get(&txn, TABLE_ROWS, row_key(id, 0), &row) != RC_OK || row_open(row, id, &header) != RC_OK) continue;
        struct span query = row_query(&header, row);
        if (query.size > query_max) query.size = query_max;
        queries[*listed] = arena_copy(arena, query);
        if (!queries[*listed].data) break;
        row_meta(&header, row, &metas[(*listed)++]);
    }
    read_end(entries, &txn);
    return rc == RC_NOT_FOUND ? RC_OK : rc;
}

int entries_state_read(struct entries *entries, void (*part)(void *context, struct span value), void *context)
{
    struct kv_txn txn;
    struct span value;
    int rc = read_begin(entries, &txn);
    if (rc != RC_OK) return rc;
    for (unsigned n = 0; rc == RC_OK; n++) {
        rc = kv_get(&txn, TABLE_BOX, BOX_STATE + n, &value);
        if (rc == RC_OK) part(context, value);
    }
    read_end(entries, &txn);
    return rc == RC_NOT_FOUND ? RC_OK : rc;
}
