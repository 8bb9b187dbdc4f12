/* SPDX-License-Identifier: Apache-2.0 */
/* storage/codes.c — opening, the format of one block, what it costs. */
#include "storage/codes.h"

#include "platform/check.h"
#include "platform/plan.h"
#include "platform/rc.h"
#include "storage/codes_format.h"

static const char *const codes_tables[CODES_TABLES] = {"blocks", "box"};
static const char codes_format_name[16] = "larder codes";

struct codes_format_row {
    char name[16];
    uint32_t version, reserved;
};

int codes_reserve(struct codes *codes)
{
    void *scratch;
    int rc = plan_take("codes scratch", 1, sizeof(struct codes_scratch), PLAN_LAZY, 0, NULL, &scratch);
    if (rc != RC_OK) return rc;
    codes->scratch = scratch;
    pthread_rwlock_init(&codes->gate, NULL);
    return RC_OK;
}

/* ---- the box */

static int box_create(struct codes *codes)
{
    struct kv_txn txn;
    struct codes_format_row row = {.version = CODES_VERSION};
    memcpy(row.name, codes_format_name, sizeof row.name);
    int rc = kv_write_begin(&codes->kv, &txn);
    if (rc != RC_OK) return rc;
    rc = kv_put(&txn, TABLE_BOX, BOX_FORMAT, span_of((const char *)&row, sizeof row));
    if (rc == RC_OK) rc = kv_commit(&txn);
    kv_abort(&txn);
    return rc;
}

static int box_number(struct kv_txn *txn, enum codes_box key, uint64_t *number)
{
    struct span value;
    *number = 0;
    int rc = kv_get(txn, TABLE_BOX, key, &value);
    if (rc == RC_OK && value.size == sizeof *number) memcpy(number, value.data, sizeof *number);
    return rc == RC_NOT_FOUND ? RC_OK : rc;
}

static int box_read(struct codes *codes, struct kv_txn *txn)
{
    struct span value;
    struct codes_format_row row;
    uint64_t rows, embedder;
    int rc = kv_get(txn, TABLE_BOX, BOX_FORMAT, &value);
    if (rc == RC_NOT_FOUND) { /* new, or somebody else's */
        rc = kv_count(txn, TABLE_BLOCKS, &rows);
        return rc == RC_OK ? (rows == 0 ? RC_NOT_FOUND : RC_CORRUPT) : rc;
    }
    if (rc != RC_OK) return rc;
    if (value.size != sizeof row) return RC_CORRUPT;
    memcpy(&row, value.data, sizeof row);
    if (memcmp(row.name, codes_format_name, sizeof row.name) != 0) return RC_CORRUPT;
    if (row.version > CODES_VERSION) return RC_VERSION;
    if (row.version != CODES_VERSION) return RC_CORRUPT; /* no older one exists */
    rc = box_number(txn, BOX_EMBEDDER, &embedder);
    codes->embedder = embedder;
    return rc == RC_OK ? box_number(txn, BOX_IDS, &codes->id_mark) : rc;
}

static int open_locked(struct codes *codes, const char *folder, uint64_t map_bytes, bool read_only)
{
    struct kv_txn txn;
    struct kv_options options = {
        .folder = folder,
        .tables = codes_tables,
        .table_count = CODES_TABLES,
        .map_bytes = map_bytes,
        .readers = KV_READERS_MAX,
        .read_only = read_only,
    };
    codes->embedder = codes->id_mark = 0;
    int rc = kv_open(&codes->kv, &options);
    if (rc != RC_OK) return rc == RC_NOT_FOUND ? RC_CORRUPT : rc;
    rc = kv_read_begin(&codes->kv, &txn);
    if (rc == RC_OK) {
        rc = box_read(codes, &txn);
        kv_read_end(&txn);
    }
    if (rc == RC_NOT_FOUND && !read_only) rc = box_create(codes);
    if (rc != RC_OK) kv_close(&codes->kv);
    return rc;
}

int codes_open(struct codes *codes, const char *folder, uint64_t map_bytes, bool read_only)
{
    pthread_rwlock_wrlock(&codes->gate);
    int rc = open_locked(codes, folder, map_bytes, read_only);
    pthread_rwlock_unlock(&codes->gate);
    return rc;
}

void codes_close(struct codes *codes)
{
    pthread_rwlock_wrlock(&codes->gate);
    kv_close(&codes->kv);
    pthread_rwlock_unlock(&codes->gate);
}

bool codes_are_open(const struct codes *codes)
{
    return codes->kv.env != NULL;
}

int codes_embedder_set(struct codes *codes, struct kv_txn *txn, uint64_t embedder)
{
    int rc = kv_put(txn, TABLE_BOX, BOX_EMBEDDER, span_of((const char *)&embedder, sizeof embedder));
    if (rc == RC_OK) codes->embedder = embedder;
    return rc;
}

int codes_mark_ids(struct codes *codes, struct kv_txn *txn, uint64_t mark)
{
    int rc = kv_put(txn, TABLE_BOX, BOX_IDS, span_of((const char *)&mark, sizeof mark));
    if (rc == RC_OK) codes->id_mark = mark;
    return rc;
}

/* ---- names and sizes */

uint64_t codes_space_tag(uint64_t space, uint64_t embedder)
{
    struct hash_key key = {space, embedder};
    return hash_of(&key, "space tag", 9).low;
}

uint32_t codes_cost(unsigned dim)
{
    return CODES_CODE_SIZE + (uint32_t)sizeof(struct codes_slot) + dim + 4;
}

size_t codes_block_size(unsigned number, unsigned count)
{
    return number == CODES_TAIL_NUMBER ? CODES_HEADER + (size_t)count * CODES_CODE_SIZE : CODES_BLOCK_SIZE;
}

size_t codes_slots_size(unsigned number, unsigned count)
{
    return number == CODES_TAIL_NUMBER ? CODES_SLOTS_HEADER + (size_t)count * sizeof(struct codes_slot)
                                       : CODES_SLOTS_SIZE;
}

/* ---- one block */

uint32_t codes_crc(uint64_t key, struct span value)
{
    return crc32c(crc32c(0, &key, sizeof key), value.data + sizeof(uint32_t), value.size - sizeof(uint32_t));
}

static bool size_is_right(struct span value, uint64_t key, enum codes_kind kind)
{
    struct codes_header head;
    unsigned number = codes_key_number(key);
    unsigned most = number == CODES_TAIL_NUMBER ? CODES_TAIL : CODES_BLOCK;
    if (value.size < CODES_SLOTS_HEADER) return false;
    if (kind == KIND_SLOTS) {
        struct codes_slots_header slots = codes_slots_head(value);
        return slots.count <= most && slots.dead <= slots.count && value.size == codes_slots_size(number, slots.count);
    }
    if (kind == KIND_LOOSE) {
        struct codes_loose loose;
        memcpy(&loose, value.data, sizeof loose);
        return loose.dim <= CODES_DIM_MAX && value.size == sizeof loose + loose.dim;
    }
    if (value.size < sizeof head) return false;
    memcpy(&head, value.data, sizeof head);
    if (kind == KIND_CODES) return head.count <= most && value.size == codes_block_size(number, head.count);
    return head.count <= CODES_TAIL && head.dim <= CODES_DIM_MAX &&
           value.size == codes_fold_size(head.count, head.dim) && codes_bits_below(head.present, 127) == head.count;
}

/* The head of every kind begins with the same three fields. */
int codes_check(struct span value, uint64_t key, enum codes_kind kind, bool whole)
{
    struct codes_slots_header head;
    if (!size_is_right(value, key, kind)) return RC_CORRUPT;
    memcpy(&head, value.data, sizeof head);
    if (head.version != CODES_VERSION || head.kind != kind) return RC_CORRUPT;
    return whole && head.crc != codes_crc(key, value) ? RC_CORRUPT : RC_OK;
}

struct codes_slots_header codes_slots_head(struct span value)
{
    struct codes_slots_header head;
    CHECK(value.size >= sizeof head);
    memcpy(&head, value.data, sizeof head);
    return head;
}
