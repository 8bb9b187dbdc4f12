/* SPDX-License-Identifier: Apache-2.0 */
/* storage/ids.c — two records, the one with the later turn counts. */
#include "storage/ids.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "platform/file.h"
#include "platform/hash.h"
#include "platform/rc.h"

enum { IDS_FILE_SIZE = 4096, IDS_RECORD_GAP = 2048 };

struct ids_record {
    char name[8];
    uint64_t mark, turn;
    uint32_t crc, reserved;
};
static_assert(sizeof(struct ids_record) == 32, "no hidden bytes");

static uint32_t record_crc(const struct ids_record *record)
{
    return crc32c(0, record, offsetof(struct ids_record, crc));
}

static void record_take(struct ids *ids, const struct ids_record *record, unsigned *good)
{
    if (memcmp(record->name, "larder i", sizeof record->name) != 0 || record->crc != record_crc(record)) return;
    ++*good;
    if (record->turn < ids->turn) return;
    ids->turn = record->turn;
    if (record->mark > ids->mark) ids->mark = record->mark;
}

static int ids_create(struct ids *ids, const char *path, const char *data_folder)
{
    char zeros[IDS_FILE_SIZE] = {0};
    ids->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (ids->fd < 0) return file_from_errno(errno);
    if (pwrite(ids->fd, zeros, sizeof zeros, 0) != (ssize_t)sizeof zeros) return file_from_errno(errno);
    int folder = open(data_folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0) return file_from_errno(errno);
    int failed = fsync(ids->fd) | fsync(folder);
    close(folder);
    return failed ? RC_IO : RC_OK;
}

int ids_open(struct ids *ids, const char *data_folder, uint64_t floor)
{
    char path[FILE_PATH_MAX];
    struct ids_record records[2] = {0};
    unsigned good = 0;
    *ids = (struct ids){.fd = -1, .mark = floor > 0 ? floor : 1};
    int rc = file_join(path, data_folder, "ids");
    if (rc != RC_OK) return rc;
    ids->fd = open(path, O_RDWR | O_CLOEXEC);
    if (ids->fd < 0 && errno == ENOENT) return ids_create(ids, path, data_folder);
    if (ids->fd < 0) return file_from_errno(errno);
    for (int i = 0; i < 2; i++) {
        if (pread(ids->fd, &records[i], sizeof records[i], (off_t)i * IDS_RECORD_GAP) != (ssize_t)sizeof records[i])
            break;
        record_take(ids, &records[i], &good);
    }
    /* A file that was made and never written is all zeros: nothing was given away then. */
    static const struct ids_record none;
    bool untouched = memcmp(&records[0], &none, sizeof none) == 0 && memcmp(&records[1], &none, sizeof none) == 0;
    if (good == 0 && !untouched) ids->mark += IDS_LOST;
    return RC_OK;
}

int ids_save(struct ids *ids, uint64_t mark)
{
    if (ids->fd < 0) return RC_READ_ONLY;
    struct ids_record record = {.name = "larder i", .mark = mark, .turn = ids->turn + 1};
    record.crc = record_crc(&record);
    off_t offset = (off_t)(record.turn & 1) * IDS_RECORD_GAP;
    errno = 0;
    if (pwrite(ids->fd, &record, sizeof record, offset) != (ssize_t)sizeof record) return file_from_errno(errno);
    if (fdatasync(ids->fd) != 0) return file_from_errno(errno);
    ids->turn = record.turn;
    ids->mark = mark;
    return RC_OK;
}

void ids_close(struct ids *ids)
{
    if (ids->fd >= 0) close(ids->fd);
    ids->fd = -1;
}
