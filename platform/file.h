/* SPDX-License-Identifier: Apache-2.0 */
/* platform/file.h — whole small files, replaced atomically.
 *
 * Owner:   the caller owns buffers and paths.
 * Threads: any; these block (boot, the writer thread, or an offloaded job).
 * Fails:   RC_NOT_FOUND, RC_TOO_LARGE, RC_NO_SPACE, RC_READ_ONLY, RC_DENIED, RC_IO; errno is left as the system set it.
 */
#ifndef PLATFORM_FILE_H
#define PLATFORM_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum { FILE_PATH_MAX = 512 }; /* with terminator; longer paths are refused at configuration */

/* Reads all of it; RC_TOO_LARGE when it does not fit. *size without terminator; no terminator is added. */
int file_read(const char *path, void *buffer, size_t capacity, size_t *size);
/* Writes <path>.new, fsync, rename, fsync of the folder: after a power cut the old or the new content, whole. */
int file_replace(const char *path, const void *data, size_t size, mode_t mode);
/* Appends and syncs; makes the file when there is none. A failure may leave a part of the data behind. */
int file_append(const char *path, const void *data, size_t size, mode_t mode);
/* Makes what was made, renamed or removed in it durable. */
int file_sync_folder(const char *folder);
int file_make_folder(const char *path, mode_t mode); /* with parents; an existing one is fine */
/* An exclusive lock held until the process ends; RC_EXISTS when another process holds it. *fd keeps it. */
int file_lock(const char *path, int *fd);
/* Joins with one '/'; RC_TOO_LARGE above FILE_PATH_MAX. */
int file_join(char path[FILE_PATH_MAX], const char *folder, const char *name);
/* Every name in a folder but . and .., in no order, until `visit` returns other than RC_OK: what it returned. */
int file_each(const char *folder, int (*visit)(void *context, const char *name), void *context);
int file_remove(const char *path); /* durable after file_sync_folder */
bool file_exists(const char *path);
int file_from_errno(int error); /* errno → rc */

#endif
