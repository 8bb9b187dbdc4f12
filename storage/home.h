/* SPDX-License-Identifier: Apache-2.0 */
/* storage/home.h — the data folder: its lock, the environments' folders, and what is moved aside.
 *
 * Files:   <data>/lock, <data>/ids, <data>/keys/ (storage/secrets.h); of each environment, entries and codes:
 *          <data>/NAME/{data,lock}.mdb, <data>/NAME.damaged/ (one copy, deleted first when the disk is full),
 *          <data>/faults, <data>/faults.codes (platform/start.h: faults in its map).
 * Owner:   the caller owns struct home; paths are copied.
 * Threads: one at a time (boot, then the writer).
 * Fails:   RC_EXISTS when another process holds the folder, RC_READ_ONLY, RC_IO, RC_NO_SPACE.
 */
#ifndef STORAGE_HOME_H
#define STORAGE_HOME_H

#include <stdint.h>

#include "platform/file.h"

enum { HOME_FAULTS = 2, HOME_FAULT_MINUTES = 10 };

enum home_part { HOME_ENTRIES, HOME_CODES, HOME_PARTS };

struct home {
    char folder[FILE_PATH_MAX];
    char entries[FILE_PATH_MAX];
    char codes[FILE_PATH_MAX];
    int lock;
    bool read_only;
};

/* Makes what is missing (0700), takes the lock. A folder that cannot be written is opened for reading only. */
int home_open(struct home *home, const char *data_folder);
void home_close(struct home *home);
/* NAME/ → NAME.damaged/, an older copy removed; then an empty NAME/ is made. */
int home_move_aside(struct home *home, enum home_part part);
/* Removes what is in the folder of codes: they can be made again. */
int home_empty_codes(struct home *home);
/* From now on a fault in this map is written down before the process dies of it. */
void home_watch(const struct home *home, enum home_part part, const void *map, size_t size);
/* Two faults within ten minutes before `wall_us`: the environment is not to be mapped again. */
bool home_faulted(const struct home *home, enum home_part part, uint64_t wall_us);
/* RC_NOT_FOUND when there is none. */
int home_drop_damaged(struct home *home);

#endif
