/* SPDX-License-Identifier: Apache-2.0 */
/* storage/codes_write.c — putting: into the tail, and the tail into a large block when it is full. */
#include "platform/check.h"
#include "platform/rc.h"
#include "storage/codes_format.h"

int codes_write_begin(struct codes *codes, struct kv_txn *txn)
{
    codes->dirty = 0;
    return codes_are_open(codes) ? kv_write_begin(&codes->kv, txn) : RC_IO;
}

/* ---- a block in memory */

static int load_codes(struct kv_txn *txn, uint64_t name, struct codes_run *run)
{
    struct span value;
    struct codes_header head;
    uint64_t key = codes_key(name, KIND_CODES, run->number);
    int rc = kv_get(txn, TABLE_BLOCKS, key, &value);
    if (rc == RC_NOT_FOUND) return RC_CORRUPT; /* its slots are there */
    if (rc == RC_OK) rc = codes_check(value, key, KIND_CODES, true);
    if (rc != RC_OK) return rc;
    memcpy(&head, value.data, sizeof head);
    if (head.count != run->count) return RC_CORRUPT;
    run->dim = head.dim;
    memcpy(run->codes, value.data + sizeof head, (size_t)run->count * CODES_CODE_SIZE);
    return RC_OK;
}

static int load_slots(struct kv_txn *txn, uint64_t name, struct codes_run *run)
{
    struct span value;
    uint64_t key = codes_key(name, KIND_SLOTS, run->number);
    int rc = kv_get(txn, TABLE_BLOCKS, key, &value);
    if (rc == RC_OK) rc = codes_check(value, key, KIND_SLOTS, true);
    if (rc != RC_OK) return rc;
    struct codes_slots_header head = codes_slots_head(value);
    run->count = head.count;
    run->dead = head.dead;
    memcpy(run->slots, value.data + sizeof head, (size_t)run->count * sizeof run->slots[0]);
    return RC_OK;
}

int codes_run_load(struct codes *codes, struct kv_txn *txn, uint64_t name, unsigned number, struct codes_run *run)
{
    run->number = number;
    run->count = run->dead = run->dim = 0;
    int rc = load_slots(txn, name, run);
    if (rc == RC_OK) rc = load_codes(txn, name, run);
    if (rc != RC_CORRUPT) return rc;
    atomic_fetch_add(&codes->damaged, 1);
    run->count = run->dead = run->dim = 0;
    rc = codes_run_remove(codes, txn, name, number);
    return rc == RC_OK ? RC_NOT_FOUND : rc;
}

static int remove_row(struct kv_txn *txn, uint64_t key)
{
    int rc = kv_delete(txn, TABLE_BLOCKS, key);
    return rc == RC_NOT_FOUND ? RC_OK : rc;
}

int codes_run_remove(struct codes *codes, struct kv_txn *txn, uint64_t name, unsigned number)
{
    codes->dirty += 4096; /* of the tree; an estimate is enough */
    int rc = remove_row(txn, codes_key(name, KIND_CODES, number));
    return rc == RC_OK ? remove_row(txn, codes_key(name, KIND_SLOTS, number)) : rc;
}

static int store_codes(struct codes *codes, struct kv_txn *txn, uint64_t name, const struct codes_run *run)
{
    void *room;
    struct codes_header head = {.version = CODES_VERSION, .kind = KIND_CODES, .count = run->count, .dim = run->dim};
    uint64_t key = codes_key(name, KIND_CODES, run->number);
    size_t size = codes_block_size(run->number, run->count), used = (size_t)run->count * CODES_CODE_SIZE;
    int rc = kv_put_room(txn, TABLE_BLOCKS, key, size, &room);
    if (rc != RC_OK) return rc;
    unsigned char *at = room;
    memcpy(at, &head, sizeof head);
    memcpy(at + sizeof head, run->codes, used);
    memset(at + sizeof head + used, 0, size - sizeof head - used);
    head.crc = codes_crc(key, span_of(room, size));
    memcpy(at, &head.crc, sizeof head.crc);
    codes->dirty += size;
    return RC_OK;
}

static int store_slots(struct codes *codes, struct kv_txn *txn, uint64_t name, const struct codes_run *run)
{
    void *room;
    struct codes_slots_header head = {
        .version = CODES_VERSION, .kind = KIND_SLOTS, .count = run->count, .dead = run->dead};
    uint64_t key = codes_key(name, KIND_SLOTS, run->number);
    size_t size = codes_slots_size(run->number, run->count), used = (size_t)run->count * sizeof run->slots[0];
    int rc = kv_put_room(txn, TABLE_BLOCKS, key, size, &room);
    if (rc != RC_OK) return rc;
    unsigned char *at = room;
    memcpy(at, &head, sizeof head);
    memcpy(at + sizeof head, run->slots, used);
    memset(at + sizeof head + used, 0, size - sizeof head - used);
    head.crc = codes_crc(key, span_of(room, size));
    memcpy(at, &head.crc, sizeof head.crc);
    codes->dirty += size;
    return RC_OK;
}

int codes_run_store(struct codes *codes, struct kv_txn *txn, uint64_t name, struct codes_run *run)
{
    if (run->count == run->dead) return codes_run_remove(codes, txn, name, run->number);
    int rc = store_codes(codes, txn, name, run);
    return rc == RC_OK ? store_slots(codes, txn, name, run) : rc;
}

int codes_run_store_slots(struct codes *codes, struct kv_txn *txn, uint64_t name, struct codes_run *run)
{
    if (run->count == run->dead) return codes_run_remove(codes, txn, name, run->number);
    return store_slots(codes, txn, name, run);
}

void codes_run_append(struct codes_run *run, const uint64_t code[CODES_WORDS], const struct codes_slot *slot)
{
    CHECK(run->count < CODES_BLOCK);
    memcpy(run->codes[run->count], code, CODES_CODE_SIZE);
    run->slots[run->count++] = *slot;
}

void codes_run_tighten(struct codes_run *run)
{
    unsigned count = run->count;
    if (run->dead == 0) return;
    run->count = run->dead = 0;
    for (unsigned i = 0; i < count; i++)
        if (codes_slot_id(&run->slots[i]) != 0) codes_run_append(run, run->codes[i], &run->slots[i]);
}

int codes_slots_from(struct kv_txn *txn, uint64_t name, unsigned from, unsigned *number, struct span *value)
{
    uint64_t key;
    int rc = kv_ceil(txn, TABLE_BLOCKS, codes_key(name, KIND_SLOTS, from), &key, value);
    if (rc == RC_OK && !codes_key_is(key, name, KIND_SLOTS)) rc = RC_NOT_FOUND;
    *number = codes_key_number(key);
    return rc;
}

/* ---- the fold */

/* Number behind the last one of a kind; the tail's own does not count. */
static int next_number(struct kv_txn *txn, uint64_t name, enum codes_kind kind, unsigned *number)
{
    struct span value;
    uint64_t key;
    *number = 0;
    int rc = kv_floor(txn, TABLE_BLOCKS, codes_key(name, kind, CODES_TAIL_NUMBER), &key, &value);
    if (rc == RC_OK && codes_key_is(key, name, kind)) *number = codes_key_number(key) + 1;
    return rc == RC_NOT_FOUND ? RC_OK : rc;
}

static bool has_room(struct span value, uint64_t key, unsigned wanted)
{
    if (codes_check(value, key, KIND_SLOTS, false) != RC_OK) return true; /* loading it will drop it */
    struct codes_slots_header head = codes_slots_head(value);
    return CODES_BLOCK - (head.count - head.dead) >= wanted;
}

/* The last large block when it has room, else one with room between its dead, else a new one. */
static int fold_target(struct kv_txn *txn, uint64_t name, unsigned wanted, unsigned *number)
{
    struct span value;
    unsigned end;
    int rc = next_number(txn, name, KIND_SLOTS, &end);
    if (rc == RC_OK && end > 0) rc = codes_slots_from(txn, name, end - 1, number, &value);
    if (rc == RC_OK && end > 0 && has_room(value, codes_key(name, KIND_SLOTS, end - 1), wanted)) return RC_OK;
    for (unsigned from = 0; rc == RC_OK && from + 1 < end; from = *number + 1) {
        rc = codes_slots_from(txn, name, from, number, &value);
        if (rc != RC_OK || *number >= end) break;
        if (has_room(value, codes_key(name, KIND_SLOTS, *number), wanted)) return RC_OK;
    }
    *number = end;
    if (rc == RC_OK && end == CODES_TAIL_NUMBER) return RC_FULL;
    return rc;
}

/* Copies one vector of the tail behind the others of the fold that is being made. */
static int fold_vector(struct kv_txn *txn, uint64_t name, unsigned place, unsigned dim, unsigned char *fold,
                       unsigned count, uint32_t *crc)
{
    struct span value;
    struct codes_loose loose;
    uint64_t key = codes_key(name, KIND_LOOSE, place);
    int rc = kv_get(txn, TABLE_BLOCKS, key, &value);
    if (rc == RC_OK) rc = codes_check(value, key, KIND_LOOSE, true);
    if (rc != RC_OK) return rc == RC_NOT_FOUND ? RC_CORRUPT : rc;
    memcpy(&loose, value.data, sizeof loose);
    if (loose.dim != dim) return RC_CORRUPT;
    memcpy(fold + CODES_HEADER + (size_t)count * dim, value.data + sizeof loose, dim);
    *crc = loose.vector_crc;
    return RC_OK;
}

int codes_fold_store(struct codes *codes, struct kv_txn *txn, uint64_t key, struct codes_header *head)
{
    unsigned char *fold = codes->scratch->fold;
    size_t size = codes_fold_size(head->count, head->dim);
    head->version = CODES_VERSION;
    head->kind = KIND_VECTORS;
    memcpy(fold, head, sizeof *head);
    head->crc = codes_crc(key, span_of((const char *)fold, size));
    memcpy(fold, &head->crc, sizeof head->crc);
    codes->dirty += size;
    return kv_put(txn, TABLE_BLOCKS, key, span_of((const char *)fold, size));
}

/* The living codes of the tail get vectors in one fold; its dead and damaged ones are left out. */
static int fold_vectors(struct codes *codes, struct kv_txn *txn, uint64_t name, struct codes_run *tail)
{
    uint32_t crcs[CODES_TAIL];
    unsigned fold, dim = tail->dim;
    struct codes_header head = {.dim = dim};
    int rc = next_number(txn, name, KIND_VECTORS, &fold);
    if (rc == RC_OK && fold == CODES_TAIL_NUMBER) rc = RC_FULL;
    for (unsigned i = 0; i < tail->count && rc == RC_OK; i++) {
        struct codes_slot *slot = &tail->slots[i];
        if (codes_slot_id(slot) == 0) continue;
        rc = fold_vector(txn, name, i, dim, codes->scratch->fold, head.count, &crcs[head.count]);
        if (rc == RC_CORRUPT) {
            *slot = (struct codes_slot){0};
            tail->dead++;
            atomic_fetch_add(&codes->damaged, 1);
            rc = RC_OK;
            continue;
        }
        codes_bit_set(head.present, head.count);
        slot->vector = fold << CODES_PLACE_BITS | head.count++;
    }
    if (rc != RC_OK || head.count == 0) return rc;
    memcpy(codes->scratch->fold + CODES_HEADER + (size_t)head.count * dim, crcs, head.count * sizeof crcs[0]);
    return codes_fold_store(codes, txn, codes_key(name, KIND_VECTORS, fold), &head);
}

static int drop_tail(struct codes *codes, struct kv_txn *txn, uint64_t name, struct codes_run *tail)
{
    int rc = codes_run_remove(codes, txn, name, CODES_TAIL_NUMBER);
    for (unsigned i = 0; i < CODES_TAIL && rc == RC_OK; i++) rc = remove_row(txn, codes_key(name, KIND_LOOSE, i));
    tail->count = tail->dead = 0;
    return rc;
}

static int fold_tail(struct codes *codes, struct kv_txn *txn, uint64_t name, struct codes_run *tail)
{
    struct codes_run *block = &codes->scratch->block;
    unsigned number;
    int rc = fold_vectors(codes, txn, name, tail);
    codes_run_tighten(tail);
    if (rc == RC_OK) rc = fold_target(txn, name, tail->count, &number);
    if (rc == RC_OK) rc = codes_run_load(codes, txn, name, number, block);
    if (rc != RC_OK && rc != RC_NOT_FOUND) return rc;
    block->dim = tail->dim;
    codes_run_tighten(block);
    for (unsigned i = 0; i < tail->count; i++) codes_run_append(block, tail->codes[i], &tail->slots[i]);
    rc = codes_run_store(codes, txn, name, block);
    return rc == RC_OK ? drop_tail(codes, txn, name, tail) : rc;
}

/* ---- putting */

static int store_loose(struct codes *codes, struct kv_txn *txn, uint64_t name, unsigned place,
                       const struct entry_vector *vector)
{
    void *room;
    struct codes_loose loose = {.version = CODES_VERSION,
                                .kind = KIND_LOOSE,
                                .dim = (uint16_t)vector->dim,
                                .vector_crc = crc32c(0, vector->vector, vector->dim)};
    uint64_t key = codes_key(name, KIND_LOOSE, place);
    size_t size = sizeof loose + vector->dim;
    int rc = kv_put_room(txn, TABLE_BLOCKS, key, size, &room);
    if (rc != RC_OK) return rc;
    unsigned char *at = room;
    memcpy(at, &loose, sizeof loose);
    memcpy(at + sizeof loose, vector->vector, vector->dim);
    loose.crc = codes_crc(key, span_of(room, size));
    memcpy(at, &loose.crc, sizeof loose.crc);
    codes->dirty += size;
    return RC_OK;
}

static unsigned place_in(const struct codes_run *tail)
{
    unsigned place = 0;
    if (tail->dead == 0) return tail->count;
    while (place < tail->count && codes_slot_id(&tail->slots[place]) != 0) place++;
    return place;
}

int codes_put(struct codes *codes, struct kv_txn *txn, uint64_t id, uint32_t random, const struct entry_vector *vector)
{
    struct codes_run *tail = &codes->scratch->tail;
    uint64_t name = codes_name(vector->space_tag);
    CHECK(id > 0);
    if (vector->dim == 0 || vector->dim > CODES_DIM_MAX) return RC_INVALID;
    int rc = codes_run_load(codes, txn, name, CODES_TAIL_NUMBER, tail);
    if (rc != RC_OK && rc != RC_NOT_FOUND) return rc;
    if (tail->count > 0 && tail->dim != vector->dim) return RC_INVALID;
    tail->dim = vector->dim;
    rc = tail->count - tail->dead == CODES_TAIL ? fold_tail(codes, txn, name, tail) : RC_OK;
    if (rc != RC_OK) return rc;
    unsigned place = place_in(tail);
    if (place < tail->count)
        tail->dead--;
    else
        tail->count++;
    memcpy(tail->codes[place], vector->code, CODES_CODE_SIZE);
    tail->slots[place] = (struct codes_slot){
        .id_low = (uint32_t)id,
        .id_high = (uint32_t)(id >> 32),
        .random = random,
        .vector = (uint32_t)CODES_TAIL_NUMBER << CODES_PLACE_BITS, /* loose, at the slot's own place */
    };
    rc = store_loose(codes, txn, name, place, vector);
    return rc == RC_OK ? codes_run_store(codes, txn, name, tail) : rc;
}
