/* SPDX-License-Identifier: Apache-2.0 */
/* hal/small_file.h — the one-line files in which the kernel shows devices.
 *
 * Threads: any; small_file_root before everything else.
 * Fails:   RC_NOT_FOUND, RC_DENIED, RC_IO; RC_TOO_LARGE when the line does not fit (it is cut, and terminated).
 */
#ifndef HAL_SMALL_FILE_H
#define HAL_SMALL_FILE_H

#include <stddef.h>

enum { SMALL_FILE_PATH_MAX = 256 };

/* Tests: every path is looked up below this folder; NULL: the real ones. The text stays the caller's. */
void small_file_root(const char *folder);

/* The path as it is opened. */
int small_file_path(char out[SMALL_FILE_PATH_MAX], const char *path);

/* The first line without its end and without NUL bytes (device trees end texts so). */
int small_file_read(const char *path, char *text, size_t capacity);

int small_file_write(const char *path, const char *text);

#endif
