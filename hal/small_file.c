/* SPDX-License-Identifier: Apache-2.0 */
/* hal/small_file.c — one line in, one line out. */
#include "hal/small_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "platform/check.h"
#include "platform/rc.h"

static const char *root = "";

void small_file_root(const char *folder)
{
    root = folder ? folder : "";
}

int small_file_path(char out[SMALL_FILE_PATH_MAX], const char *path)
{
    size_t before = strlen(root), size = strlen(path) + 1;
    if (before + size > SMALL_FILE_PATH_MAX) return RC_TOO_LARGE;
    memcpy(out, root, before);
    memcpy(out + before, path, size);
    return RC_OK;
}

static int open_rc(void)
{
    switch (errno) {
    case ENOENT:
    case ENOTDIR:
    case ENODEV:
    case ENXIO: return RC_NOT_FOUND;
    case EACCES:
    case EPERM: return RC_DENIED;
    default: return RC_IO;
    }
}

int small_file_read(const char *path, char *text, size_t capacity)
{
    char full[SMALL_FILE_PATH_MAX];
    CHECK(capacity > 0);
    text[0] = '\0';
    if (small_file_path(full, path) != RC_OK) return RC_NOT_FOUND;
    int fd = open(full, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return open_rc();
    ssize_t size = read(fd, text, capacity);
    close(fd);
    if (size < 0) return RC_IO;
    size_t end = 0;
    while (end < (size_t)size && text[end] != '\n' && text[end] != '\0') end++;
    if (end == capacity) {
        text[capacity - 1] = '\0';
        return RC_TOO_LARGE;
    }
    text[end] = '\0';
    return RC_OK;
}

int small_file_write(const char *path, const char *text)
{
    char full[SMALL_FILE_PATH_MAX];
    if (small_file_path(full, path) != RC_OK) return RC_NOT_FOUND;
    int fd = open(full, O_WRONLY | O_CLOEXEC);
    if (fd < 0) return open_rc();
    size_t size = strlen(text);
    ssize_t written = write(fd, text, size);
    close(fd);
    return written == (ssize_t)size ? RC_OK : RC_IO;
}
