/* SPDX-License-Identifier: Apache-2.0 */
/* app/ledger/kept.h — small tables of fixed rows that live in RAM and are kept on disk as a whole.
 *
 * File:    <data>/NAME, replaced atomically within the time that its changes may wait; a kill or a power cut loses at most
 *          the changes of that time. Head with CRC, then all rows as they lie in memory. A damaged file is moved aside and
 *          said; the table then starts empty.
 * Owner:   the module whose table it is; `rows` is its memory from kept_reserve on.
 * Threads: lane; writing is a job of the compute pool, or the caller's thread in kept_close.
 * Fails:   a disk that takes nothing is logged, and tried again with the next change.
 */
#ifndef LEDGER_KEPT_H
#define LEDGER_KEPT_H

#include "platform/file.h"
#include "platform/loop.h"

struct kept {
    const char *name; /* of the file, and of the memory term */
    uint32_t version; /* of the rows' form; another one is moved aside like damage */
    size_t row_size;
    unsigned row_count;
    void *rows;

    /* its own */
    struct loop_timer timer;
    unsigned char *file; /* a copy, while it is read or written */
    uint64_t due_us;     /* monotonic: when the timer fires */
    bool dirty, saving;
    char path[FILE_PATH_MAX];
};

/* Boot: memory for rows and the copy, zeroed. */
int kept_reserve(struct kept *kept, const char *term);
/* Boot: reads the rows, or leaves them empty. Without it nothing is ever written. */
int kept_open(struct kept *kept, const char *data_folder, char *message, size_t message_size);
/* The end, when no worker runs any more: writes what has not been. */
void kept_close(struct kept *kept);
/* A row has changed: it is written within so long. */
void kept_change(struct kept *kept, uint64_t within_us);

#endif
