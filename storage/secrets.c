/* SPDX-License-Identifier: Apache-2.0 */
/* storage/secrets.c — a table in RAM and an appended file behind it. */
#include "storage/secrets.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "platform/check.h"
#include "platform/crypto.h"
#include "platform/file.h"
#include "platform/hash.h"
#include "platform/log.h"
#include "platform/plan.h"
#include "platform/rc.h"

struct secrets_head {
    char name[16];
    uint32_t version, crc; /* CRC of what is before it */
};

struct secrets_row {
    uint8_t tenant[ENTRY_TENANT_SIZE];
    unsigned char secret[SECRET_SIZE];
    uint32_t box; /* 1: the box's */
    uint32_t crc; /* of what is before it */
};
static_assert(sizeof(struct secrets_head) == 24, "no hidden bytes");
static_assert(sizeof(struct secrets_row) == 56, "no hidden bytes");

enum { ROWS_MAX = SECRETS_MAX + 1 /* the box */ };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct secrets_row *rows;
static unsigned count, refused;
static char path[FILE_PATH_MAX], folder[FILE_PATH_MAX];
static off_t file_end; /* behind the last whole row */
static bool fixed, read_only;

int secrets_reserve(void)
{
    void *memory;
    int rc = plan_take("rotation secrets", ROWS_MAX, sizeof *rows, PLAN_LAZY, 0, NULL, &memory);
    if (rc == RC_OK) rows = memory;
    return rc;
}

static struct secrets_head head_now(void)
{
    struct secrets_head head = {.name = "larder rotation", .version = SECRETS_VERSION};
    head.crc = crc32c(0, &head, offsetof(struct secrets_head, crc));
    return head;
}

static uint32_t row_crc(const struct secrets_row *row)
{
    return crc32c(0, row, offsetof(struct secrets_row, crc));
}

static unsigned find(const uint8_t *tenant)
{
    static const uint8_t zeros[ENTRY_TENANT_SIZE];
    const uint8_t *wanted = tenant ? tenant : zeros;
    for (unsigned i = 0; i < count; i++)
        if (rows[i].box == !tenant && memcmp(rows[i].tenant, wanted, ENTRY_TENANT_SIZE) == 0) return i;
    return ROWS_MAX;
}

/* ---- the file */

static int load(int fd)
{
    struct secrets_head head, now = head_now();
    struct secrets_row row;
    unsigned damaged = 0;
    ssize_t got = pread(fd, &head, sizeof head, 0);
    if (got == 0) return RC_OK; /* made, and nothing written before the power went */
    if (got != (ssize_t)sizeof head || memcmp(head.name, now.name, sizeof head.name) != 0) return RC_CORRUPT;
    if (head.crc != crc32c(0, &head, offsetof(struct secrets_head, crc))) return RC_CORRUPT;
    if (head.version > SECRETS_VERSION) return RC_VERSION;
    file_end = sizeof head;
    for (; pread(fd, &row, sizeof row, file_end) == (ssize_t)sizeof row; file_end += (off_t)sizeof row) {
        if (row.crc != row_crc(&row)) {
            damaged++;
        } else if (count < ROWS_MAX && find(row.box ? NULL : row.tenant) == ROWS_MAX) {
            rows[count++] = row;
        }
    }
    crypto_wipe(&row, sizeof row);
    if (damaged > 0)
        log_warn("store", "%u rotation secrets in %s are damaged: those tenants' codes are made anew", damaged, path);
    return RC_OK;
}

int secrets_open(const char *data_folder, bool only_read)
{
    count = refused = 0;
    file_end = 0;
    read_only = only_read;
    fixed = data_folder == NULL;
    if (fixed) return RC_OK;
    int rc = file_join(folder, data_folder, "keys");
    if (rc == RC_OK) rc = file_join(path, folder, "rotation");
    if (rc != RC_OK) return rc;
    if (!read_only) (void)file_make_folder(folder, 0700);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) return errno == ENOENT ? RC_OK : file_from_errno(errno);
    rc = load(fd);
    close(fd);
    if (rc != RC_OK) read_only = true; /* never write over what is not understood */
    return rc;
}

void secrets_close(void)
{
    pthread_mutex_lock(&lock);
    if (rows) crypto_wipe(rows, count * sizeof *rows);
    count = 0;
    pthread_mutex_unlock(&lock);
}

static int write_at(int fd, const void *data, size_t size, off_t at)
{
    errno = EIO; /* of a short write */
    return pwrite(fd, data, size, at) == (ssize_t)size ? RC_OK : file_from_errno(errno);
}

/* Over a torn row, if the last append left one. */
static int append(const struct secrets_row *row)
{
    struct secrets_head head = head_now();
    bool fresh = file_end == 0;
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) return file_from_errno(errno);
    int rc = fresh ? write_at(fd, &head, sizeof head, 0) : RC_OK;
    off_t at = fresh ? (off_t)sizeof head : file_end;
    if (rc == RC_OK) rc = write_at(fd, row, sizeof *row, at);
    if (rc == RC_OK && (fresh ? fsync(fd) : fdatasync(fd)) != 0) rc = file_from_errno(errno);
    close(fd);
    if (rc == RC_OK && fresh) rc = file_sync_folder(folder);
    if (rc == RC_OK) file_end = at + (off_t)sizeof *row;
    return rc;
}

/* ---- */

static void fixed_secret(const uint8_t *tenant, unsigned char secret[SECRET_SIZE])
{
    static const char name[] = "larder fixed rotation secret";
    static const uint8_t box[ENTRY_TENANT_SIZE] = "box";
    hmac_sha256(name, sizeof name - 1, tenant ? tenant : box, ENTRY_TENANT_SIZE, secret);
}

static int make(const uint8_t *tenant, unsigned char secret[SECRET_SIZE])
{
    struct secrets_row row = {.box = !tenant};
    if (read_only) return RC_READ_ONLY;
    bool has_box = find(NULL) < ROWS_MAX; /* its place is not the tenants' */
    if (count >= (unsigned)SECRETS_MAX + (!tenant || has_box)) {
        refused++;
        return RC_FULL;
    }
    if (tenant) memcpy(row.tenant, tenant, sizeof row.tenant);
    crypto_random(row.secret, sizeof row.secret);
    row.crc = row_crc(&row);
    int rc = append(&row);
    if (rc == RC_OK) {
        rows[count++] = row;
        memcpy(secret, row.secret, SECRET_SIZE);
    }
    crypto_wipe(&row, sizeof row);
    return rc;
}

static int get(const uint8_t *tenant, unsigned char secret[SECRET_SIZE], bool may_make)
{
    int rc = RC_OK;
    if (fixed) {
        fixed_secret(tenant, secret);
        return RC_OK;
    }
    pthread_mutex_lock(&lock);
    unsigned at = find(tenant);
    if (at < ROWS_MAX)
        memcpy(secret, rows[at].secret, SECRET_SIZE);
    else
        rc = may_make ? make(tenant, secret) : RC_NOT_FOUND;
    pthread_mutex_unlock(&lock);
    return rc;
}

int secrets_get(const uint8_t tenant[ENTRY_TENANT_SIZE], unsigned char secret[SECRET_SIZE])
{
    return get(tenant, secret, true);
}

int secrets_find(const uint8_t tenant[ENTRY_TENANT_SIZE], unsigned char secret[SECRET_SIZE])
{
    return get(tenant, secret, false);
}

/* ---- erase */

static int write_fresh(const char *fresh, unsigned without)
{
    struct secrets_head head = head_now();
    off_t at = sizeof head;
    int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) return file_from_errno(errno);
    int rc = write_at(fd, &head, sizeof head, 0);
    for (unsigned i = 0; i < count && rc == RC_OK; i++) {
        if (i == without) continue;
        rc = write_at(fd, &rows[i], sizeof rows[i], at);
        at += (off_t)sizeof rows[i];
    }
    if (rc == RC_OK && fsync(fd) != 0) rc = file_from_errno(errno);
    close(fd);
    return rc;
}

/* Through a handle that was opened before the rename: until the new file stands the old one stays whole. */
static int overwrite(int fd)
{
    static const unsigned char zeros[sizeof(struct secrets_row)];
    int rc = RC_OK;
    for (off_t at = 0; at < file_end && rc == RC_OK; at += (off_t)sizeof zeros) {
        size_t left = (size_t)(file_end - at);
        rc = write_at(fd, zeros, left < sizeof zeros ? left : sizeof zeros, at);
    }
    if (rc == RC_OK && fsync(fd) != 0) rc = file_from_errno(errno);
    return rc;
}

static int erase(unsigned at)
{
    char fresh[FILE_PATH_MAX];
    int rc = file_join(fresh, folder, "rotation.new");
    if (rc != RC_OK) return rc;
    int old = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    if (old < 0) return file_from_errno(errno);
    rc = write_fresh(fresh, at);
    if (rc == RC_OK && rename(fresh, path) != 0) rc = file_from_errno(errno);
    if (rc == RC_OK) rc = file_sync_folder(folder);
    if (rc != RC_OK) {
        unlink(fresh);
    } else {
        (void)overwrite(old);
        crypto_wipe(&rows[at], sizeof rows[at]);
        rows[at] = rows[--count];
        crypto_wipe(&rows[count], sizeof rows[count]);
        file_end = (off_t)(sizeof(struct secrets_head) + count * sizeof *rows);
    }
    close(old);
    return rc;
}

int secrets_erase(const uint8_t tenant[ENTRY_TENANT_SIZE])
{
    int rc = RC_NOT_FOUND;
    pthread_mutex_lock(&lock);
    unsigned at = fixed ? (unsigned)ROWS_MAX : find(tenant);
    if (at < ROWS_MAX) rc = read_only ? RC_READ_ONLY : erase(at);
    pthread_mutex_unlock(&lock);
    return rc;
}

void secrets_stats(struct secrets_stats *stats)
{
    pthread_mutex_lock(&lock);
    *stats = (struct secrets_stats){.tenants = count, .refused = refused};
    pthread_mutex_unlock(&lock);
}
