/* SPDX-License-Identifier: Apache-2.0 */
/* platform/file_list.c — a folder's names, without the C library's heap. See file.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "platform/file.h"
#include "platform/rc.h"

/* As the kernel lays it out: getdents64(2). */
struct entry {
    uint64_t inode;
    int64_t offset;
    unsigned short size;
    unsigned char type;
    char name[];
};

static int visit_all(const char *bytes, size_t size, int (*visit)(void *context, const char *name), void *context)
{
    int rc = RC_OK;
    for (size_t at = 0; rc == RC_OK && at < size;) {
        const struct entry *entry = (const struct entry *)(const void *)(bytes + at);
        bool self = strcmp(entry->name, ".") == 0 || strcmp(entry->name, "..") == 0;
        if (!self) rc = visit(context, entry->name);
        at += entry->size;
    }
    return rc;
}

int file_each(const char *folder, int (*visit)(void *context, const char *name), void *context)
{
    _Alignas(struct entry) char bytes[1024];
    int rc = RC_OK;
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return file_from_errno(errno);
    while (rc == RC_OK) {
        long got = syscall(SYS_getdents64, fd, bytes, sizeof bytes);
        if (got < 0) rc = file_from_errno(errno);
        if (got <= 0) break;
        rc = visit_all(bytes, (size_t)got, visit, context);
    }
    close(fd);
    return rc;
}

int file_remove(const char *path)
{
    return unlink(path) == 0 ? RC_OK : file_from_errno(errno);
}
