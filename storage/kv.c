/* SPDX-License-Identifier: Apache-2.0 */
/* storage/kv.c — LMDB's calls, its errors in our words, and readers that never allocate. */
#include "storage/kv.h"

#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <unistd.h>

#include "platform/check.h"
#include "platform/cpu.h"
#include "platform/heap.h"
#include "platform/plan.h"
#include "platform/rc.h"

enum { KV_LOCK_BYTES = 4096 }; /* more than LMDB needs for the few readers */

static MDB_env *env_of(const struct kv *kv)
{
    return kv->env;
}

static MDB_txn *txn_of(const struct kv_txn *txn)
{
    return txn->txn;
}

static int kv_result(int error)
{
    switch (error) {
    case MDB_SUCCESS: return RC_OK;
    case MDB_NOTFOUND: return RC_NOT_FOUND;
    case MDB_KEYEXIST: return RC_EXISTS;
    case MDB_MAP_FULL:
    case MDB_TXN_FULL:
    case ENOSPC:
    case EDQUOT: return RC_NO_SPACE;
    case MDB_INVALID:
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_VERSION_MISMATCH:
    case MDB_INCOMPATIBLE: return RC_CORRUPT;
    case EROFS:
    case EACCES:
    case EPERM: return RC_READ_ONLY;
    case ENOMEM: return RC_FULL;
    default: return RC_IO;
    }
}

/* MDB_PANIC and everything after a failed meta page need a new environment. */
static int kv_write_result(struct kv *kv, int error)
{
    if (error == MDB_PANIC) kv->broken = true;
    return kv_result(error);
}

int kv_reserve(size_t largest)
{
    size_t all = (size_t)KV_ENVIRONMENTS * KV_HEAP + 2 * largest;
    size_t filled = KV_ID_FIXED + KV_ID_FREED * (largest / 4096 + 1) * sizeof(size_t);
    if (filled > KV_ID_LISTS) filled = KV_ID_LISTS;
    /* The codes' commits are bounded by themselves, whatever a body's size. */
    size_t ceiling = all - (size_t)KV_ENVIRONMENTS * KV_ID_LISTS + filled + KV_ID_FIXED;
    return heap_reserve_sparse(HEAP_LMDB, all, ceiling, "limits.parse_max");
}

static uint64_t kv_map_bytes(uint64_t wanted)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint64_t most = sizeof(void *) == 4 ? UINT64_C(1) << 30 : UINT64_C(1) << 44; /* 2 GiB fails on 32-bit systems */
    if (wanted > most) wanted = most;
    return (wanted + page - 1) / page * page;
}

/* LMDB makes its lock file with a hole and maps it: on a full disk the first store into the hole is a SIGBUS. So the bytes
 * are there before. The file holds nothing that outlives the process. */
static int kv_fill_lock_file(const char *folder)
{
    static const char zeros[KV_LOCK_BYTES];
    char path[FILE_PATH_MAX];
    int rc = file_join(path, folder, "lock.mdb");
    if (rc != RC_OK) return rc;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) return file_from_errno(errno);
    errno = EIO; /* of a short write */
    rc = pwrite(fd, zeros, sizeof zeros, 0) == (ssize_t)sizeof zeros ? RC_OK : file_from_errno(errno);
    close(fd);
    return rc;
}

static int kv_open_tables(struct kv *kv, const struct kv_options *options)
{
    MDB_txn *txn;
    MDB_stat stat;
    int error = mdb_txn_begin(env_of(kv), NULL, kv->read_only ? MDB_RDONLY : 0, &txn);
    if (error) return error;
    for (unsigned i = 0; i < options->table_count && !error; i++)
        error = mdb_dbi_open(txn, options->tables[i], kv->read_only ? 0 : MDB_CREATE, &kv->tables[i]);
    if (!error) error = mdb_stat(txn, kv->tables[0], &stat);
    if (error) {
        mdb_txn_abort(txn);
        return error;
    }
    kv->page_size = stat.ms_psize;
    kv->table_count = options->table_count;
    return mdb_txn_commit(txn);
}

static int kv_open_readers(struct kv *kv, unsigned count)
{
    int error = 0;
    CHECK(count <= KV_READERS_MAX);
    for (unsigned i = 0; i < count && !error; i++) {
        MDB_txn *txn;
        MDB_cursor *cursor;
        error = mdb_txn_begin(env_of(kv), NULL, MDB_RDONLY, &txn);
        kv->readers[i].txn = txn;
        for (unsigned t = 0; t < kv->table_count && !error; t++) {
            error = mdb_cursor_open(txn, kv->tables[t], &cursor);
            kv->readers[i].cursors[t] = cursor;
        }
        if (error) break;
        mdb_txn_reset(txn);
        kv->reader_free[kv->readers_free++] = (unsigned char)i;
        kv->reader_count++;
    }
    return error;
}

int kv_open(struct kv *kv, const struct kv_options *options)
{
    MDB_env *env;
    memset(kv, 0, sizeof *kv);
    pthread_mutex_init(&kv->lock, NULL);
    pthread_cond_init(&kv->returned, NULL);
    int error = 0, rc = options->read_only ? RC_OK : kv_fill_lock_file(options->folder);
    if (rc != RC_OK) return rc;
    error = mdb_env_create(&env);
    if (error) return kv_result(error);
    kv->env = env;
    kv->read_only = options->read_only;
    kv->map_bytes = kv_map_bytes(options->map_bytes);
    /* No locks on a disk that cannot hold the lock file: one process reads, nobody writes. */
    unsigned flags = MDB_NOTLS | (options->read_only ? MDB_RDONLY | MDB_NOLOCK : 0);
    error = mdb_env_set_maxdbs(env, KV_TABLES_MAX);
    if (!error) error = mdb_env_set_maxreaders(env, KV_READERS_MAX + 2);
    if (!error) error = mdb_env_set_mapsize(env, (size_t)kv->map_bytes);
    if (!error) error = mdb_env_open(env, options->folder, flags, 0600);
    if (!error) error = kv_open_tables(kv, options);
    if (!error) error = kv_open_readers(kv, options->readers);
    if (error) kv_close(kv);
    return kv_result(error);
}

void kv_close(struct kv *kv)
{
    if (!kv->env) return;
    CHECK(kv->readers_free == kv->reader_count);
    for (unsigned i = 0; i < kv->reader_count; i++) {
        for (unsigned t = 0; t < kv->table_count; t++) mdb_cursor_close(kv->readers[i].cursors[t]);
        mdb_txn_abort(kv->readers[i].txn);
    }
    mdb_env_close(env_of(kv));
    pthread_mutex_destroy(&kv->lock);
    pthread_cond_destroy(&kv->returned);
    kv->env = NULL;
}

void kv_map(const struct kv *kv, const void **base, size_t *size)
{
    int fd;
    *size = 0;
    if (kv->env && mdb_env_get_fd(env_of(kv), &fd) == 0) kv_map_of(fd, base, size);
}

/* ---- transactions */

int kv_read_begin(struct kv *kv, struct kv_txn *txn)
{
    pthread_mutex_lock(&kv->lock);
    while (kv->readers_free == 0) pthread_cond_wait(&kv->returned, &kv->lock);
    int index = kv->reader_free[--kv->readers_free];
    pthread_mutex_unlock(&kv->lock);
    struct kv_reader *reader = &kv->readers[index];
    *txn = (struct kv_txn){.kv = kv, .txn = reader->txn, .reader = index};
    int error = mdb_txn_renew(reader->txn);
    for (unsigned t = 0; t < kv->table_count && !error; t++) error = mdb_cursor_renew(reader->txn, reader->cursors[t]);
    if (error) kv_read_end(txn);
    return kv_result(error);
}

void kv_read_end(struct kv_txn *txn)
{
    struct kv *kv = txn->kv;
    mdb_txn_reset(txn_of(txn));
    pthread_mutex_lock(&kv->lock);
    kv->reader_free[kv->readers_free++] = (unsigned char)txn->reader;
    pthread_cond_signal(&kv->returned);
    pthread_mutex_unlock(&kv->lock);
    txn->txn = NULL;
}

int kv_write_begin(struct kv *kv, struct kv_txn *txn)
{
    MDB_txn *inner;
    if (kv->read_only) return RC_READ_ONLY;
    int error = mdb_txn_begin(env_of(kv), NULL, 0, &inner);
    if (error) return kv_write_result(kv, error);
    *txn = (struct kv_txn){.kv = kv, .txn = inner, .reader = -1};
    return RC_OK;
}

int kv_commit(struct kv_txn *txn)
{
    int error = mdb_txn_commit(txn_of(txn));
    txn->txn = NULL;
    if (error == 0) return RC_OK;
    /* Which step failed is not told: after a failed meta page every later call says MDB_PANIC. Asked at once. */
    MDB_txn *probe;
    int after = mdb_txn_begin(env_of(txn->kv), NULL, 0, &probe);
    if (after == 0)
        mdb_txn_abort(probe);
    else
        txn->kv->broken = true;
    return kv_write_result(txn->kv, error);
}

void kv_abort(struct kv_txn *txn)
{
    if (txn->txn) mdb_txn_abort(txn_of(txn));
    txn->txn = NULL;
}

/* ---- rows */

struct kv_key {
    unsigned char bytes[8];
};

static struct kv_key kv_key_of(uint64_t key)
{
    struct kv_key k;
    for (int i = 7; i >= 0; i--, key >>= 8) k.bytes[i] = (unsigned char)key;
    return k;
}

static uint64_t kv_key_number(const MDB_val *k)
{
    uint64_t key = 0;
    const unsigned char *bytes = k->mv_data;
    for (size_t i = 0; i < k->mv_size && i < 8; i++) key = key << 8 | bytes[i];
    return key;
}

static struct span kv_span(const MDB_val *v)
{
    return span_of(v->mv_data, v->mv_size);
}

int kv_get(struct kv_txn *txn, unsigned table, uint64_t key, struct span *value)
{
    struct kv_key bytes = kv_key_of(key);
    MDB_val k = {sizeof bytes, &bytes}, v;
    int error = mdb_get(txn_of(txn), txn->kv->tables[table], &k, &v);
    if (!error) *value = kv_span(&v);
    return kv_result(error);
}

static int kv_write(struct kv_txn *txn, unsigned table, uint64_t key, MDB_val *v, unsigned flags)
{
    struct kv_key bytes = kv_key_of(key);
    MDB_val k = {sizeof bytes, &bytes};
    int error = mdb_put(txn_of(txn), txn->kv->tables[table], &k, v, flags);
    if (error == MDB_KEYEXIST && (flags & MDB_APPEND)) /* not above all others */
        error = mdb_put(txn_of(txn), txn->kv->tables[table], &k, v, flags & ~(unsigned)MDB_APPEND);
    return kv_write_result(txn->kv, error);
}

/* LMDB takes what it stores without const and does not change it. */
static void *kv_unconst(const void *data)
{
    union {
        const void *in;
        void *out;
    } same = {.in = data};
    return same.out;
}

int kv_put(struct kv_txn *txn, unsigned table, uint64_t key, struct span value)
{
    MDB_val v = {value.size, kv_unconst(value.data)};
    return kv_write(txn, table, key, &v, 0);
}

int kv_append(struct kv_txn *txn, unsigned table, uint64_t key, struct span value)
{
    MDB_val v = {value.size, kv_unconst(value.data)};
    return kv_write(txn, table, key, &v, MDB_APPEND);
}

int kv_append_room(struct kv_txn *txn, unsigned table, uint64_t key, size_t size, void **room)
{
    MDB_val v = {size, NULL};
    int rc = kv_write(txn, table, key, &v, MDB_APPEND | MDB_RESERVE);
    *room = v.mv_data;
    return rc;
}

int kv_put_room(struct kv_txn *txn, unsigned table, uint64_t key, size_t size, void **room)
{
    MDB_val v = {size, NULL};
    int rc = kv_write(txn, table, key, &v, MDB_RESERVE);
    *room = v.mv_data;
    return rc;
}

int kv_delete(struct kv_txn *txn, unsigned table, uint64_t key)
{
    struct kv_key bytes = kv_key_of(key);
    MDB_val k = {sizeof bytes, &bytes};
    return kv_write_result(txn->kv, mdb_del(txn_of(txn), txn->kv->tables[table], &k, NULL));
}

int kv_count(struct kv_txn *txn, unsigned table, uint64_t *rows)
{
    MDB_stat stat;
    int error = mdb_stat(txn_of(txn), txn->kv->tables[table], &stat);
    if (!error) *rows = stat.ms_entries;
    return kv_result(error);
}

int kv_table_bytes(struct kv_txn *txn, unsigned table, uint64_t *bytes)
{
    MDB_stat stat;
    int error = mdb_stat(txn_of(txn), txn->kv->tables[table], &stat);
    if (!error) *bytes = (uint64_t)(stat.ms_branch_pages + stat.ms_leaf_pages + stat.ms_overflow_pages) * stat.ms_psize;
    return kv_result(error);
}

/* ---- neighbours: a cursor of their own, since a writer's walk would not survive its puts */

static int kv_near(struct kv_txn *txn, unsigned table, uint64_t from, bool below, uint64_t *key, struct span *value)
{
    struct kv_key bytes = kv_key_of(from);
    MDB_val k = {sizeof bytes, &bytes}, v;
    MDB_cursor *cursor;
    int error = mdb_cursor_open(txn_of(txn), txn->kv->tables[table], &cursor);
    if (error) return kv_result(error);
    error = mdb_cursor_get(cursor, &k, &v, MDB_SET_RANGE);
    if (below && (!error || error == MDB_NOTFOUND))
        error = mdb_cursor_get(cursor, &k, &v, error == MDB_NOTFOUND ? MDB_LAST : MDB_PREV);
    mdb_cursor_close(cursor);
    if (error) return kv_result(error);
    *key = kv_key_number(&k);
    *value = kv_span(&v);
    return RC_OK;
}

int kv_ceil(struct kv_txn *txn, unsigned table, uint64_t from, uint64_t *key, struct span *value)
{
    return kv_near(txn, table, from, false, key, value);
}

int kv_floor(struct kv_txn *txn, unsigned table, uint64_t below, uint64_t *key, struct span *value)
{
    return kv_near(txn, table, below, true, key, value);
}

/* ---- walks */

static int kv_walk(struct kv_txn *txn, unsigned table, MDB_cursor_op op, uint64_t from, uint64_t *key,
                   struct span *value)
{
    CHECK(txn->reader >= 0);
    struct kv_key bytes = kv_key_of(from);
    MDB_val k = {sizeof bytes, &bytes}, v;
    int error = mdb_cursor_get(txn->kv->readers[txn->reader].cursors[table], &k, &v, op);
    if (error) return kv_result(error);
    *key = kv_key_number(&k);
    *value = kv_span(&v);
    return RC_OK;
}

int kv_seek(struct kv_txn *txn, unsigned table, uint64_t from, uint64_t *key, struct span *value)
{
    return kv_walk(txn, table, MDB_SET_RANGE, from, key, value);
}

int kv_next(struct kv_txn *txn, unsigned table, uint64_t *key, struct span *value)
{
    return kv_walk(txn, table, MDB_NEXT, 0, key, value);
}

int kv_previous(struct kv_txn *txn, unsigned table, uint64_t *key, struct span *value)
{
    return kv_walk(txn, table, MDB_PREV, 0, key, value);
}

int kv_last(struct kv_txn *txn, unsigned table, uint64_t *key, struct span *value)
{
    return kv_walk(txn, table, MDB_LAST, 0, key, value);
}
