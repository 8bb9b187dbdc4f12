/* SPDX-License-Identifier: Apache-2.0 */
/* storage/codes_delete.c — tombstones, blocks and folds that are mostly dead, blocks that fit in one. */
#include "platform/check.h"
#include "platform/rc.h"
#include "storage/codes_format.h"

enum { FILTER_BITS = 1024, JOIN_MAX = CODES_BLOCK * 3 / 4 };

/* What is looked for: a filter, then a binary search. */
struct wanted {
    uint64_t filter[FILTER_BITS / 64];
    uint64_t keys[CODES_DELETES_MAX]; /* sorted */
    unsigned count;
};

static void wanted_set(struct wanted *wanted, const uint64_t *keys, unsigned count)
{
    CHECK(count <= CODES_DELETES_MAX);
    memset(wanted->filter, 0, sizeof wanted->filter);
    wanted->count = count;
    for (unsigned i = 0; i < count; i++) {
        unsigned at = i;
        for (; at > 0 && wanted->keys[at - 1] > keys[i]; at--) wanted->keys[at] = wanted->keys[at - 1];
        wanted->keys[at] = keys[i];
        wanted->filter[keys[i] % FILTER_BITS / 64] |= UINT64_C(1) << keys[i] % 64;
    }
}

/* Its place among the sorted keys, or count. */
static unsigned wanted_find(const struct wanted *wanted, uint64_t key)
{
    unsigned low = 0, high = wanted->count;
    if (!(wanted->filter[key % FILTER_BITS / 64] >> key % 64 & 1)) return wanted->count;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        if (wanted->keys[middle] < key)
            low = middle + 1;
        else
            high = middle;
    }
    return low < wanted->count && wanted->keys[low] == key ? low : wanted->count;
}

struct deletion {
    struct codes *codes;
    struct kv_txn *txn;
    uint64_t name;
    struct wanted *wanted;
    unsigned deleted;
    unsigned before, before_live; /* the large block in front that was seen last; UINT_MAX: none */
};

/* ---- slots */

static bool slots_have(struct span value, const struct wanted *wanted)
{
    struct codes_slot slot;
    struct codes_slots_header head = codes_slots_head(value);
    for (unsigned i = 0; i < head.count; i++) {
        memcpy(&slot, value.data + sizeof head + i * sizeof slot, sizeof slot);
        if (wanted_find(wanted, codes_slot_id(&slot)) < wanted->count) return true;
    }
    return false;
}

static void touch_fold(struct codes_scratch *scratch, unsigned fold)
{
    for (unsigned i = 0; i < scratch->touched_count; i++)
        if (scratch->touched[i].fold == fold) return;
    CHECK(scratch->touched_count < CODES_DELETES_MAX);
    scratch->touched[scratch->touched_count++] = (struct codes_touched){.fold = fold};
}

static int kill_slots(struct deletion *deletion, struct codes_run *run)
{
    for (unsigned i = 0; i < run->count; i++) {
        struct codes_slot *slot = &run->slots[i];
        uint64_t id = codes_slot_id(slot);
        if (id == 0 || wanted_find(deletion->wanted, id) == deletion->wanted->count) continue;
        if (run->number == CODES_TAIL_NUMBER) {
            int rc = kv_delete(deletion->txn, TABLE_BLOCKS, codes_key(deletion->name, KIND_LOOSE, i));
            if (rc != RC_OK && rc != RC_NOT_FOUND) return rc;
        } else if (deletion->codes->scratch->touched_count < CODES_DELETES_MAX) {
            touch_fold(deletion->codes->scratch,
                       codes_slot_fold(slot)); /* else a copy of an id: its fold stays as it is */
        }
        *slot = (struct codes_slot){0};
        run->dead++;
        deletion->deleted++;
    }
    return RC_OK;
}

/* Moves what lives in the run into the large block in front, when both together leave room for more. */
static int join(struct deletion *deletion, struct codes_run *run, bool *joined)
{
    struct codes_run *front = &deletion->codes->scratch->other;
    *joined = false;
    if (deletion->before == UINT32_MAX || deletion->before_live + run->count > JOIN_MAX) return RC_OK;
    int rc = codes_run_load(deletion->codes, deletion->txn, deletion->name, deletion->before, front);
    if (rc != RC_OK) return rc == RC_NOT_FOUND ? RC_OK : rc;
    codes_run_tighten(front);
    if (front->count + run->count > CODES_BLOCK) return RC_OK;
    for (unsigned i = 0; i < run->count; i++) codes_run_append(front, run->codes[i], &run->slots[i]);
    rc = codes_run_store(deletion->codes, deletion->txn, deletion->name, front);
    if (rc == RC_OK) rc = codes_run_remove(deletion->codes, deletion->txn, deletion->name, run->number);
    deletion->before_live = front->count;
    *joined = rc == RC_OK;
    return rc;
}

static int delete_in_block(struct deletion *deletion, unsigned number)
{
    struct codes_run *run = &deletion->codes->scratch->block;
    bool joined = false;
    int rc = codes_run_load(deletion->codes, deletion->txn, deletion->name, number, run);
    if (rc != RC_OK) return rc == RC_NOT_FOUND ? RC_OK : rc;
    rc = kill_slots(deletion, run);
    if (rc != RC_OK) return rc;
    bool thin = number != CODES_TAIL_NUMBER && run->dead >= CODES_BLOCK / 2;
    if (!thin) rc = codes_run_store_slots(deletion->codes, deletion->txn, deletion->name, run);
    if (thin || (number != CODES_TAIL_NUMBER && run->count - run->dead <= CODES_BLOCK / 2)) {
        codes_run_tighten(run);
        rc = join(deletion, run, &joined);
        if (rc == RC_OK && thin && !joined) rc = codes_run_store(deletion->codes, deletion->txn, deletion->name, run);
    }
    if (joined) return rc;
    deletion->before = number;
    deletion->before_live = run->count - run->dead;
    return rc;
}

static int delete_slots(struct deletion *deletion)
{
    struct span value;
    unsigned number;
    int rc = RC_OK;
    for (unsigned from = 0; from <= CODES_TAIL_NUMBER; from = number + 1) {
        if (deletion->codes->dirty > CODES_DIRTY_MAX) return RC_AGAIN;
        rc = codes_slots_from(deletion->txn, deletion->name, from, &number, &value);
        if (rc != RC_OK) break;
        uint64_t key = codes_key(deletion->name, KIND_SLOTS, number);
        if (codes_check(value, key, KIND_SLOTS, false) != RC_OK || slots_have(value, deletion->wanted)) {
            rc = delete_in_block(deletion, number);
            if (rc != RC_OK) break;
        } else if (number != CODES_TAIL_NUMBER) {
            struct codes_slots_header head = codes_slots_head(value);
            deletion->before = number;
            deletion->before_live = head.count - head.dead;
        }
    }
    return rc == RC_NOT_FOUND ? RC_OK : rc;
}

/* ---- folds */

static void live_in(struct span value, const struct wanted *folds, struct codes_touched *touched)
{
    struct codes_slot slot;
    struct codes_slots_header head = codes_slots_head(value);
    for (unsigned i = 0; i < head.count; i++) {
        memcpy(&slot, value.data + sizeof head + i * sizeof slot, sizeof slot);
        if (codes_slot_id(&slot) == 0) continue;
        unsigned at = wanted_find(folds, codes_slot_fold(&slot));
        if (at < folds->count) codes_bit_set(touched[at].live, codes_slot_place(&slot));
    }
}

/* Which vectors of the touched folds are still named by a living slot; touched is sorted by fold then. */
static int find_living(struct deletion *deletion)
{
    struct codes_scratch *scratch = deletion->codes->scratch;
    uint64_t folds[CODES_DELETES_MAX];
    struct span value;
    unsigned number;
    int rc = RC_OK;
    for (unsigned i = 0; i < scratch->touched_count; i++) folds[i] = scratch->touched[i].fold;
    wanted_set(deletion->wanted, folds, scratch->touched_count);
    for (unsigned i = 0; i < scratch->touched_count; i++)
        scratch->touched[i] = (struct codes_touched){.fold = (uint32_t)deletion->wanted->keys[i]};
    for (unsigned from = 0; from < CODES_TAIL_NUMBER; from = number + 1) {
        rc = codes_slots_from(deletion->txn, deletion->name, from, &number, &value);
        if (rc != RC_OK) break;
        if (number == CODES_TAIL_NUMBER) break;
        if (codes_check(value, codes_key(deletion->name, KIND_SLOTS, number), KIND_SLOTS, false) == RC_OK)
            live_in(value, deletion->wanted, scratch->touched);
    }
    return rc == RC_NOT_FOUND ? RC_OK : rc;
}

/* The living vectors close up in scratch->fold; those that break their CRC are left out. */
static void gather(struct codes_scratch *scratch, struct span value, const struct codes_header *head,
                   const uint32_t live[4], struct codes_header *left)
{
    uint32_t crcs[CODES_TAIL], crc;
    size_t dim = head->dim;
    const char *vectors = value.data + sizeof *head, *sums = vectors + head->count * dim;
    unsigned char *to = scratch->fold + CODES_HEADER;
    *left = (struct codes_header){.dim = head->dim, .flags = head->flags, .key_id = head->key_id};
    for (unsigned place = 0, rank = 0; place < CODES_TAIL; place++) {
        if (!codes_bit(head->present, place)) continue;
        const char *vector = vectors + rank * dim;
        memcpy(&crc, sums + rank++ * sizeof crc, sizeof crc);
        if (!codes_bit(live, place) || crc32c(0, vector, dim) != crc) continue;
        memcpy(to + left->count * dim, vector, dim);
        codes_bit_set(left->present, place);
        crcs[left->count++] = crc;
    }
    memcpy(to + left->count * dim, crcs, left->count * sizeof crcs[0]);
}

static int shrink_fold(struct deletion *deletion, const struct codes_touched *touched)
{
    struct span value;
    struct codes_header head, left;
    struct codes *codes = deletion->codes;
    uint64_t key = codes_key(deletion->name, KIND_VECTORS, touched->fold);
    unsigned live = codes_bits_below(touched->live, 127);
    int rc = kv_get(deletion->txn, TABLE_BLOCKS, key, &value);
    if (rc == RC_NOT_FOUND) return RC_OK;
    if (rc == RC_OK && live > 0) rc = codes_check(value, key, KIND_VECTORS, false);
    if (rc == RC_CORRUPT) {
        atomic_fetch_add(&codes->damaged, 1);
        live = 0;
        rc = RC_OK;
    }
    if (rc != RC_OK) return rc;
    if (live == 0) return kv_delete(deletion->txn, TABLE_BLOCKS, key);
    memcpy(&head, value.data, sizeof head);
    if (live * 2 > head.count || codes->dirty > 2 * CODES_DIRTY_MAX) return RC_OK;
    gather(codes->scratch, value, &head, touched->live, &left);
    return codes_fold_store(codes, deletion->txn, key, &left);
}

/* ---- */

int codes_delete(struct codes *codes, struct kv_txn *txn, uint64_t name, const uint64_t *ids, unsigned count,
                 unsigned *deleted)
{
    struct wanted wanted;
    struct deletion deletion = {.codes = codes, .txn = txn, .name = name, .wanted = &wanted, .before = UINT32_MAX};
    codes->scratch->touched_count = 0;
    wanted_set(&wanted, ids, count);
    int rc = delete_slots(&deletion), again = rc;
    *deleted = deletion.deleted;
    if ((rc != RC_OK && rc != RC_AGAIN) || codes->scratch->touched_count == 0) return rc;
    rc = find_living(&deletion);
    for (unsigned i = 0; i < codes->scratch->touched_count && rc == RC_OK; i++)
        rc = shrink_fold(&deletion, &codes->scratch->touched[i]);
    return rc == RC_OK ? again : rc;
}

/* ---- damage */

static int verify_slots(struct codes *codes, struct kv_txn *txn, uint64_t name)
{
    struct span value;
    unsigned number;
    int rc = RC_OK;
    for (unsigned from = 0; rc == RC_OK && from <= CODES_TAIL_NUMBER; from = number + 1) {
        rc = codes_slots_from(txn, name, from, &number, &value);
        if (rc != RC_OK) break;
        rc = codes_run_load(codes, txn, name, number, &codes->scratch->block);
        if (rc == RC_NOT_FOUND) rc = RC_OK;
        if (codes->dirty > CODES_DIRTY_MAX) return RC_AGAIN;
    }
    return rc == RC_NOT_FOUND ? RC_OK : rc;
}

/* Codes whose slots are gone. */
static int verify_codes(struct codes *codes, struct kv_txn *txn, uint64_t name)
{
    struct span value;
    uint64_t key = codes_key(name, KIND_CODES, 0);
    int rc;
    while ((rc = kv_ceil(txn, TABLE_BLOCKS, key, &key, &value)) == RC_OK && codes_key_is(key, name, KIND_CODES)) {
        unsigned number = codes_key_number(key);
        rc = kv_get(txn, TABLE_BLOCKS, codes_key(name, KIND_SLOTS, number), &value);
        if (rc == RC_NOT_FOUND) {
            atomic_fetch_add(&codes->damaged, 1);
            rc = codes_run_remove(codes, txn, name, number);
        }
        if (rc != RC_OK) return rc;
        key++;
    }
    return rc == RC_NOT_FOUND ? RC_OK : rc;
}

int codes_verify(struct codes *codes, struct kv_txn *txn, uint64_t name)
{
    int rc = verify_codes(codes, txn, name);
    return rc == RC_OK ? verify_slots(codes, txn, name) : rc;
}
