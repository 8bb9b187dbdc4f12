/* SPDX-License-Identifier: Apache-2.0 */
/* storage/codes_read.c — the readers' half: blocks in place, and a census of all of them. */
#include "platform/check.h"
#include "platform/rc.h"
#include "storage/codes_format.h"

/* ---- the gate: the environment may be closed and opened anew while the process runs */

static int read_begin(struct codes *codes, struct kv_txn *txn)
{
    pthread_rwlock_rdlock(&codes->gate);
    int rc = codes->kv.env ? kv_read_begin(&codes->kv, txn) : RC_IO;
    if (rc != RC_OK) pthread_rwlock_unlock(&codes->gate);
    return rc;
}

static void read_end(struct codes *codes, struct kv_txn *txn)
{
    kv_read_end(txn);
    pthread_rwlock_unlock(&codes->gate);
}

/* ---- one namespace */

int codes_walk_begin(struct codes *codes, uint64_t space_tag, struct codes_walk *walk)
{
    *walk = (struct codes_walk){.codes = codes, .name = codes_name(space_tag)};
    return read_begin(codes, &walk->txn);
}

void codes_walk_end(struct codes_walk *walk)
{
    read_end(walk->codes, &walk->txn);
}

/* A block that makes no sense is passed over: the writer, or the census, drops it. */
int codes_walk_next(struct codes_walk *walk, struct codes_block *block)
{
    struct span value;
    struct codes_header head;
    for (;;) {
        int rc = walk->begun
                     ? kv_next(&walk->txn, TABLE_BLOCKS, &walk->key, &value)
                     : kv_seek(&walk->txn, TABLE_BLOCKS, codes_key(walk->name, KIND_CODES, 0), &walk->key, &value);
        walk->begun = true;
        if (rc != RC_OK) return rc;
        if (!codes_key_is(walk->key, walk->name, KIND_CODES)) return RC_NOT_FOUND;
        if (codes_check(value, walk->key, KIND_CODES, false) != RC_OK) continue;
        memcpy(&head, value.data, sizeof head);
        *block = (struct codes_block){
            .codes = value.data + sizeof head, .count = head.count, .number = codes_key_number(walk->key)};
        return RC_OK;
    }
}

static int walk_slots(struct codes_walk *walk, unsigned number)
{
    struct span value;
    uint64_t key = codes_key(walk->name, KIND_SLOTS, number);
    if (walk->slots && walk->slots_number == number) return RC_OK;
    int rc = kv_get(&walk->txn, TABLE_BLOCKS, key, &value);
    if (rc == RC_OK) rc = codes_check(value, key, KIND_SLOTS, false);
    if (rc != RC_OK) return rc;
    walk->slots_number = number;
    walk->slots_count = codes_slots_head(value).count;
    walk->slots = value.data + CODES_SLOTS_HEADER;
    return RC_OK;
}

int codes_walk_slot(struct codes_walk *walk, unsigned number, unsigned place, struct codes_slot *slot)
{
    int rc = walk_slots(walk, number);
    if (rc != RC_OK) return rc;
    if (place >= walk->slots_count) return RC_NOT_FOUND;
    memcpy(slot, walk->slots + place * sizeof *slot, sizeof *slot);
    return codes_slot_id(slot) == 0 ? RC_NOT_FOUND : RC_OK;
}

static int loose_vector(struct codes_walk *walk, unsigned place, const int8_t **vector, unsigned *dim, uint32_t *crc)
{
    struct span value;
    struct codes_loose head;
    uint64_t key = codes_key(walk->name, KIND_LOOSE, place);
    int rc = kv_get(&walk->txn, TABLE_BLOCKS, key, &value);
    if (rc == RC_OK) rc = codes_check(value, key, KIND_LOOSE, false);
    if (rc != RC_OK) return rc;
    memcpy(&head, value.data, sizeof head);
    *vector = (const int8_t *)(const void *)(value.data + sizeof head);
    *dim = head.dim;
    *crc = head.vector_crc;
    return RC_OK;
}

int codes_walk_vector(struct codes_walk *walk, const struct codes_slot *slot, unsigned place, const int8_t **vector,
                      unsigned *dim, uint32_t *crc)
{
    struct span value;
    struct codes_header head;
    unsigned fold = codes_slot_fold(slot), at = codes_slot_place(slot);
    if (fold == CODES_TAIL_NUMBER) return loose_vector(walk, place, vector, dim, crc);
    uint64_t key = codes_key(walk->name, KIND_VECTORS, fold);
    int rc = kv_get(&walk->txn, TABLE_BLOCKS, key, &value);
    if (rc == RC_OK) rc = codes_check(value, key, KIND_VECTORS, false);
    if (rc != RC_OK) return rc;
    memcpy(&head, value.data, sizeof head);
    if (!codes_bit(head.present, at)) return RC_NOT_FOUND;
    size_t rank = codes_bits_below(head.present, at);
    const char *vectors = value.data + sizeof head;
    memcpy(crc, vectors + (size_t)head.count * head.dim + rank * sizeof *crc, sizeof *crc);
    *vector = (const int8_t *)(const void *)(vectors + rank * head.dim);
    *dim = head.dim;
    return RC_OK;
}

/* ---- all of it */

/* The next block of slots at `from` or above, whatever its namespace. */
static int census_slots(struct kv_txn *txn, uint64_t from, uint64_t *key, struct span *value)
{
    int rc;
    *key = from;
    while ((rc = kv_ceil(txn, TABLE_BLOCKS, *key, key, value)) == RC_OK) {
        uint64_t name = *key >> 24;
        unsigned kind = (unsigned)(*key >> CODES_NUMBER_BITS) & 3;
        if (kind == KIND_SLOTS) return RC_OK;
        *key = codes_key(kind < KIND_SLOTS ? name : name + 1, kind < KIND_SLOTS ? KIND_SLOTS : KIND_CODES, 0);
        if (name == (UINT64_C(1) << CODES_NAME_BITS) - 1 && kind > KIND_SLOTS) return RC_NOT_FOUND;
    }
    return rc;
}

/* The vectors of one fold lie with their codes: the last verdict is the next one's too. */
struct fold_verdict {
    unsigned fold;
    bool known, whole;
};

static bool vector_is_whole(struct kv_txn *txn, uint64_t name, const struct codes_slot *slot, unsigned place,
                            struct fold_verdict *last)
{
    struct span value;
    unsigned fold = codes_slot_fold(slot);
    bool loose = fold == CODES_TAIL_NUMBER;
    if (!loose && last->known && last->fold == fold) return last->whole;
    enum codes_kind kind = loose ? KIND_LOOSE : KIND_VECTORS;
    uint64_t key = codes_key(name, kind, loose ? place : fold);
    bool whole = kv_get(txn, TABLE_BLOCKS, key, &value) == RC_OK && codes_check(value, key, kind, true) == RC_OK;
    if (!loose) *last = (struct fold_verdict){.fold = fold, .known = true, .whole = whole};
    return whole;
}

static void census_block(struct kv_txn *txn, uint64_t key, struct span value, struct codes_census *census,
                         uint64_t *ids)
{
    struct span codes;
    struct codes_slot slot;
    unsigned number = codes_key_number(key);
    uint64_t name = key >> 24, codes_at = codes_key(name, KIND_CODES, number);
    census->blocks++;
    bool right = codes_check(value, key, KIND_SLOTS, true) == RC_OK &&
                 kv_get(txn, TABLE_BLOCKS, codes_at, &codes) == RC_OK &&
                 codes_check(codes, codes_at, KIND_CODES, true) == RC_OK;
    if (!right) {
        census->broken++;
        return;
    }
    struct fold_verdict last = {0};
    struct codes_slots_header head = codes_slots_head(value);
    census->dead += head.dead;
    for (unsigned i = 0; i < head.count; i++) {
        memcpy(&slot, value.data + sizeof head + i * sizeof slot, sizeof slot);
        if (codes_slot_id(&slot) == 0) continue;
        if (census->vectors && !vector_is_whole(txn, name, &slot, i, &last))
            ids[CODES_BLOCK - ++census->bad] = codes_slot_id(&slot);
        else
            ids[census->count++] = codes_slot_id(&slot);
    }
}

int codes_census(struct codes *codes, struct codes_census *census, uint64_t *ids)
{
    struct kv_txn txn;
    struct span value;
    uint64_t key;
    census->count = census->bad = 0;
    int rc = read_begin(codes, &txn);
    if (rc != RC_OK) return rc;
    rc = census_slots(&txn, census->next, &key, &value);
    if (rc == RC_OK) {
        census->namespaces += census->next == 0 || key >> 24 != census->name;
        census->name = key >> 24;
        census_block(&txn, key, value, census, ids);
        census->next = key + 1;
    } else {
        census->next = 0;
    }
    read_end(codes, &txn);
    return rc;
}

int codes_stats(struct codes *codes, struct codes_stats *stats)
{
    struct kv_txn txn;
    int rc = read_begin(codes, &txn);
    if (rc != RC_OK) return rc;
    rc = kv_count(&txn, TABLE_BLOCKS, &stats->rows);
    if (rc == RC_OK) rc = kv_table_bytes(&txn, TABLE_BLOCKS, &stats->bytes);
    read_end(codes, &txn);
    return rc;
}
