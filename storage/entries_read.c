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
    if (h->version < 1 || h->version > ENTRIES_ROW_VERSION || h->id != id) return RC_CORRUPT;
    if (h->version == 1) h->space[0] = h->space[1] = 0;
    size_t texts = (size_t)h->provider_size + h->model_size + h->query_size;
    if (h->provider_size >= ENTRY_NAME_MAX || h->model_size >= ENTRY_NAME_MAX) return RC_CORRUPT;
    size_t guard_max = h->version == 1 ? 0 : ENTRIES_GUARD_MAX, known = sizeof *h + texts + h->row_body;
    if (h->query_size > ENTRY_QUERY_MAX || value.size < known || value.size > known + guard_max) return RC_CORRUPT;
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
        .id = h->id,
        .created_us = h->created_us,
        .ttl_s = h->ttl_s,
        .dialect = h->dialect,
        .form = h->form,
        .flags = h->flags,
        .chain_link = h->chain_link,
        .upstream_ms = h->upstream_ms,
        .tokens_in = h->tokens_in,
        .tokens_out = h->tokens_out,
        .cost = h->cost,
        .key_id = h->key_id,
    };
    memcpy(meta->tenant, h->tenant, sizeof meta->tenant);
    copy_name(meta->provider, value.data + sizeof *h, h->provider_size);
    copy_name(meta->model, value.data + sizeof *h + h->provider_size, h->model_size);
}

struct span row_query(const struct row_header *h, struct span value)
{
    return span_of(value.data + sizeof *h + h->provider_size + h->model_size, h->query_size);
}

struct span row_guard(const struct row_header *h, struct span value)
{
    size_t before = sizeof *h + (size_t)h->provider_size + h->model_size + h->query_size;
    return span_of(value.data + before, value.size - before - h->row_body);
}

struct span row_body(const struct row_header *h, struct span value)
{
    return span_of(value.data + value.size - h->row_body, h->row_body);
}

size_t index_row_size(const struct index_row *row)
{
    return offsetof(struct index_row, cells) + row->count * sizeof row->cells[0];
}

uint32_t index_row_crc(const struct index_row *row, uint64_t key)
{
    return crc32c(crc32c(0, &key, sizeof key), &row->version, index_row_size(row) - sizeof row->crc);
}

int index_row_open(struct span value, uint64_t key, struct index_row *row)
{
    if (value.size < offsetof(struct index_row, cells) || value.size > sizeof *row) return RC_CORRUPT;
    memcpy(row, value.data, value.size);
    if (row->count > INDEX_BLOCK || index_row_size(row) != value.size) return RC_CORRUPT;
    if (row->crc != index_row_crc(row, key)) return RC_CORRUPT;
    return row->version == ENTRIES_INDEX_VERSION ? RC_OK : RC_CORRUPT;
}

struct entry_index index_cell_open(const struct index_row *row, unsigned cell, uint64_t key)
{
    const struct index_cell *c = &row->cells[cell];
    struct entry_index index = {.id = key * INDEX_BLOCK + c->place,
                                .flags = c->flags,
                                .created_s = c->created_s,
                                .ttl_s = c->ttl_s,
                                .tenant = c->tenant,
                                .cost = c->cost};
    memcpy(index.tag, c->tag, sizeof index.tag);
    return index;
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
    memcpy(texts->digest.bytes, h->digest, sizeof h->digest);
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

/* ---- what a candidate is judged by */

static int copy_question(struct kv_txn *txn, uint64_t id, struct arena *arena, struct entry_question *question)
{
    struct span value;
    struct row_header h;
    int rc = kv_get(txn, TABLE_ROWS, row_key(id, 0), &value);
    if (rc == RC_OK) rc = row_open(value, id, &h);
    if (rc != RC_OK) return rc;
    *question = (struct entry_question){.space = row_space(&h),
                                        .random = h.random,
                                        .flags = h.flags,
                                        .created_us = h.created_us,
                                        .query = arena_copy(arena, row_query(&h, value)),
                                        .guard = arena_copy(arena, row_guard(&h, value))};
    memcpy(question->tenant, h.tenant, sizeof question->tenant);
    return question->query.data && question->guard.data ? RC_OK : RC_FULL;
}

int entries_question(struct entries *entries, uint64_t id, struct arena *arena, struct entry_question *question)
{
    struct kv_txn txn;
    size_t start = arena_mark(arena);
    int rc = read_begin(entries, &txn);
    if (rc != RC_OK) return rc;
    rc = copy_question(&txn, id, arena, question);
    read_end(entries, &txn);
    if (rc != RC_OK) arena_rewind(arena, start);
    return rc;
}

int entries_space(struct kv_txn *txn, uint64_t id, uint64_t *space, uint32_t *random)
{
    struct span value;
    struct row_header h;
    int rc = kv_get(txn, TABLE_ROWS, row_key(id, 0), &value);
    if (rc != RC_OK) return rc;
    if (value.size < sizeof h) return RC_CORRUPT;
    memcpy(&h, value.data, sizeof h);
    *space = h.version > 1 ? row_space(&h) : 0;
    *random = h.random;
    return RC_OK;
}

int entries_spaces(struct entries *entries, const uint64_t *ids, unsigned count, uint64_t *spaces)
{
    struct kv_txn txn;
    uint32_t random;
    int rc = read_begin(entries, &txn);
    if (rc != RC_OK) return rc;
    for (unsigned i = 0; i < count; i++)
        if (entries_space(&txn, ids[i], &spaces[i], &random) != RC_OK) spaces[i] = 0;
    read_end(entries, &txn);
    return RC_OK;
}

/* ---- walks */

static int walk(struct kv_txn *txn, uint64_t from, bool (*each)(void *context, const struct entry_index *index),
                void *context, unsigned *damaged)
{
    struct span value;
    struct index_row row;
    uint64_t key;
    int rc = kv_seek(txn, TABLE_INDEX, from / INDEX_BLOCK, &key, &value);
    for (; rc == RC_OK; rc = kv_next(txn, TABLE_INDEX, &key, &value)) {
        if (index_row_open(value, key, &row) != RC_OK) {
            ++*damaged;
            continue;
        }
        for (unsigned i = 0; i < row.count; i++) {
            struct entry_index index = index_cell_open(&row, i, key);
            if (index.id >= from && !each(context, &index)) return RC_OK;
        }
    }
    return rc == RC_NOT_FOUND ? RC_OK : rc;
}

int entries_scan(struct entries *entries, uint64_t from, bool (*each)(void *context, const struct entry_index *index),
                 void *context, unsigned *damaged)
{
    struct kv_txn txn;
    *damaged = 0;
    int rc = read_begin(entries, &txn);
    if (rc != RC_OK) return rc;
    rc = walk(&txn, from, each, context, damaged);
    read_end(entries, &txn);
    return rc;
}

struct of_tenant {
    struct kv_txn *txn;
    const uint8_t *tenant;
    uint32_t prefix;
    uint64_t to, next, *ids;
    unsigned max, count;
};

/* Whether the row, not only the index, names the tenant. A row that cannot be read belongs to whom its index says. */
static bool row_is_of(struct kv_txn *txn, uint64_t id, const uint8_t *tenant)
{
    struct span value;
    struct row_header header;
    if (kv_get(txn, TABLE_ROWS, row_key(id, 0), &value) != RC_OK || value.size < sizeof header) return true;
    memcpy(&header, value.data, sizeof header);
    return memcmp(header.tenant, tenant, sizeof header.tenant) == 0;
}

static bool of_tenant_each(void *context, const struct entry_index *index)
{
    struct of_tenant *of = context;
    if (index->id >= of->to) return false;
    if (of->tenant && (index->tenant != of->prefix || !row_is_of(of->txn, index->id, of->tenant))) return true;
    if (of->count == of->max) {
        of->next = index->id;
        return false;
    }
    of->ids[of->count++] = index->id;
    return true;
}

int entries_of_tenant(struct entries *entries, const uint8_t *tenant, uint64_t from, uint64_t to, uint64_t *ids,
                      unsigned max, unsigned *count, uint64_t *next)
{
    struct kv_txn txn;
    struct of_tenant of = {.txn = &txn, .tenant = tenant, .to = to, .next = to, .ids = ids, .max = max};
    unsigned damaged = 0;
    if (tenant) memcpy(&of.prefix, tenant, sizeof of.prefix);
    int rc = read_begin(entries, &txn);
    if (rc != RC_OK) return rc;
    rc = walk(&txn, from, of_tenant_each, &of, &damaged);
    read_end(entries, &txn);
    *count = of.count;
    *next = of.next;
    return rc;
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

struct listing {
    struct kv_txn *txn;
    struct arena *arena;
    struct entry_meta *metas;
    struct span *queries;
    uint64_t before;
    size_t query_max;
    unsigned count, listed;
};

static int list_one(struct listing *list, uint64_t id)
{
    struct span value;
    struct row_header header;
    if (kv_get(list->txn, TABLE_ROWS, row_key(id, 0), &value) != RC_OK || row_open(value, id, &header) != RC_OK)
        return RC_OK; /* reading it will say so */
    struct span query = row_query(&header, value);
    if (query.size > list->query_max) query.size = list->query_max;
    list->queries[list->listed] = arena_copy(list->arena, query);
    if (!list->queries[list->listed].data) return RC_FULL;
    row_meta(&header, value, &list->metas[list->listed++]);
    return RC_OK;
}

static int list_block(struct listing *list, struct span value, uint64_t key)
{
    struct index_row row;
    int rc = RC_OK;
    if (index_row_open(value, key, &row) != RC_OK) return RC_OK;
    for (unsigned i = row.count; i > 0 && rc == RC_OK && list->listed < list->count; i--) {
        uint64_t id = key * INDEX_BLOCK + row.cells[i - 1].place;
        if (id < list->before) rc = list_one(list, id);
    }
    return rc;
}

/* The newest block that may hold ids below `before`. */
static int list_start(struct kv_txn *txn, uint64_t before, uint64_t *key, struct span *value)
{
    if (before == 0) return RC_NOT_FOUND;
    int rc = kv_seek(txn, TABLE_INDEX, (before - 1) / INDEX_BLOCK, key, value);
    if (rc == RC_NOT_FOUND) return kv_last(txn, TABLE_INDEX, key, value);
    if (rc == RC_OK && *key > (before - 1) / INDEX_BLOCK) return kv_previous(txn, TABLE_INDEX, key, value);
    return rc;
}

int entries_list(struct entries *entries, uint64_t before, unsigned count, size_t query_max, struct arena *arena,
                 struct entry_meta *metas, struct span *queries, unsigned *listed)
{
    struct kv_txn txn;
    struct span value;
    struct listing list = {.txn = &txn,
                           .arena = arena,
                           .metas = metas,
                           .queries = queries,
                           .before = before,
                           .query_max = query_max,
                           .count = count};
    uint64_t key;
    *listed = 0;
    int rc = read_begin(entries, &txn);
    if (rc != RC_OK) return rc;
    for (rc = list_start(&txn, before, &key, &value); rc == RC_OK && list.listed < count;
         rc = kv_previous(&txn, TABLE_INDEX, &key, &value)) {
        rc = list_block(&list, value, key);
        if (rc != RC_OK) break;
    }
    read_end(entries, &txn);
    *listed = list.listed;
    return rc == RC_NOT_FOUND || rc == RC_FULL ? RC_OK : rc;
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
