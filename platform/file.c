/* SPDX-License-Identifier: Apache-2.0 */
/* platform/file.c — small whole files. */
#include "platform/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "platform/rc.h"

int file_from_errno(int error)
{
    switch (error) {
    case 0: return RC_OK;
    case ENOENT:
    case ENOTDIR: return RC_NOT_FOUND;
    case EACCES:
    case EPERM: return RC_DENIED;
    case ENOSPC:
    case EDQUOT: return RC_NO_SPACE;
    case EROFS: return RC_READ_ONLY;
    case EEXIST: return RC_EXISTS;
    case ENAMETOOLONG:
    case EFBIG: return RC_TOO_LARGE;
    case EAGAIN:
    case EINTR: return RC_AGAIN;
    default: return RC_IO;
    }
}

static int close_after(int fd, int rc)
{
    int error = errno;
    close(fd);
    errno = error;
    return rc;
}

static int read_all(int fd, char *buffer, size_t capacity, size_t *size)
{
    size_t got = 0;
    for (;;) {
        char beyond;
        bool full = got == capacity;
        ssize_t n = read(fd, full ? &beyond : buffer + got, full ? 1 : capacity - got);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return file_from_errno(errno);
        if (n == 0) break;
        if (full) return RC_TOO_LARGE;
        got += (size_t)n;
    }
    *size = got;
    return RC_OK;
}

int file_read(const char *path, void *buffer, size_t capacity, size_t *size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return file_from_errno(errno);
    return close_after(fd, read_all(fd, buffer, capacity, size));
}

static int write_all(int fd, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t n = write(fd, data, size);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return file_from_errno(errno);
        data += n;
        size -= (size_t)n;
    }
    return fsync(fd) == 0 ? RC_OK : file_from_errno(errno);
}

static int write_new(const char *path, const void *data, size_t size, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0) return file_from_errno(errno);
    /* One left by a crash, or the umask, may have another mode. */
    int rc = fchmod(fd, mode) == 0 ? RC_OK : file_from_errno(errno);
    if (rc == RC_OK) rc = write_all(fd, data, size);
    return close_after(fd, rc);
}

int file_sync_folder(const char *folder)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return file_from_errno(errno);
    return close_after(fd, fsync(fd) == 0 ? RC_OK : file_from_errno(errno));
}

/* The rename itself is durable once its folder is. */
static int sync_folder_of(const char *path)
{
    char folder[FILE_PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t length = slash ? (size_t)(slash - path) : 0;
    if (length >= sizeof folder) return RC_TOO_LARGE;
    memcpy(folder, path, length);
    folder[length] = '\0';
    return file_sync_folder(slash == path ? "/" : slash ? folder : ".");
}

int file_replace(const char *path, const void *data, size_t size, mode_t mode)
{
    char fresh[FILE_PATH_MAX + 4];
    size_t length = strlen(path);
    if (length >= FILE_PATH_MAX) return RC_TOO_LARGE;
    memcpy(fresh, path, length);
    memcpy(fresh + length, ".new", 5);
    int rc = write_new(fresh, data, size, mode);
    if (rc == RC_OK && rename(fresh, path) != 0) rc = file_from_errno(errno);
    if (rc != RC_OK) {
        int error = errno;
        unlink(fresh);
        errno = error;
        return rc;
    }
    return sync_folder_of(path);
}

static int make_one_folder(const char *path, mode_t mode)
{
    if (mkdir(path, mode) == 0) return RC_OK;
    int error = errno;
    struct stat status;
    if (stat(path, &status) == 0 && S_ISDIR(status.st_mode)) return RC_OK;
    errno = error == EEXIST ? ENOTDIR : error;
    return error == EEXIST ? RC_EXISTS : file_from_errno(error);
}

int file_append(const char *path, const void *data, size_t size, mode_t mode)
{
    bool fresh = !file_exists(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0) return file_from_errno(errno);
    int rc = close_after(fd, write_all(fd, data, size));
    return rc == RC_OK && fresh ? sync_folder_of(path) : rc;
}

int file_make_folder(const char *path, mode_t mode)
{
    char part[FILE_PATH_MAX];
    size_t length = strlen(path);
    if (length >= sizeof part) return RC_TOO_LARGE;
    if (length == 0) return RC_INVALID;
    for (size_t i = 1; i <= length; i++) {
        if (path[i] != '/' && path[i] != '\0') continue;
        memcpy(part, path, i);
        part[i] = '\0';
        int rc = make_one_folder(part, mode);
        if (rc != RC_OK) return rc;
    }
    return RC_OK;
}

int file_lock(const char *path, int *fd)
{
    int opened = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (opened < 0) return file_from_errno(errno);
    if (flock(opened, LOCK_EX | LOCK_NB) != 0)
        return close_after(opened, errno == EWOULDBLOCK ? RC_EXISTS : file_from_errno(errno));
    *fd = opened;
    return RC_OK;
}

int file_join(char path[FILE_PATH_MAX], const char *folder, const char *name)
{
    size_t length = strlen(folder);
    while (length > 0 && folder[length - 1] == '/') length--;
    while (*name == '/') name++;
    bool slash = length > 0 || folder[0] == '/';
    size_t name_length = strlen(name);
    if (length + (slash ? 1 : 0) + name_length >= FILE_PATH_MAX) return RC_TOO_LARGE;
    memmove(path, folder, length);
    if (slash) path[length++] = '/';
    memcpy(path + length, name, name_length + 1);
    return RC_OK;
}

bool file_exists(const char *path)
{
    return access(path, F_OK) == 0;
}
