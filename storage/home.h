/* SPDX-License-Identifier: Apache-2.0 */
/* storage/home.h — the data folder: its lock, the environment's folder, and what is moved aside.
 *
 * Files:   <data>/lock, <data>/ids, <data>/entries/{data,lock}.mdb, <data>/entries.damaged/ (one copy, deleted first when
 *          the disk is full).
 * Owner:   the caller owns struct home; paths are copied.
 * Threads: one at a time (boot, then the writer).
 * Fails:   RC_EXISTS when another process holds the folder, RC_READ_ONLY, RC_IO, RC_NO_SPACE.
 */
#ifndef STORAGE_HOME_H
#define STORAGE_HOME_H

#include "platform/file.h"

struct home {
    char folder[FILE_PATH_MAX];
    char entries[FILE_PATH_MAX];
    int lock;
    bool read_only;
};

/* Makes what is missing (0700), takes the lock. A folder that cannot be written is opened for reading only. */
int home_open(struct home *home, const char *data_folder);
void home_close(struct home *home);
/* entries/ → entries.damaged/, an older copy removed; then an empty entries/ is made. */
int home_move_aside(struct home *home);
/* RC_NOT_FOUND when there is none. */
int home_drop_damaged(struct home *home);

#endif
